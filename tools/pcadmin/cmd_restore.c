/* snapshot restore: from a snapshot to the data directory of one node, with which a new cluster
 * begins. Its history is a new one, so nobody takes it for the old cluster: nodes of that are
 * refused, and clients see another history. The other members are invited by name; they come with
 * empty directories, fetch the data, and vote by themselves. */
#include "pcadmin_int.h"

#include <string.h>

#include "fresh_dir.h"
#include "pcache/os.h"

/* The first voter by name, or the first one at all. */
static const char *default_name(const struct pc_cluster_config *config)
{
    for (size_t i = 0; i < config->members_n; i++) {
        if (config->members[i].votes) {
            return config->members[i].name;
        }
    }
    return config->members_n > 0 ? config->members[0].name : "";
}

static int report(const struct args *args, const struct fresh_dir *dir, const char *name,
    const struct pc_raft_base *base, uint64_t items)
{
    static const struct column columns[] = {{"", "data_dir", false}, {"", "name", false},
        {"", "id", false}, {"", "history", false}, {"", "index", false}, {"", "term", false},
        {"", "items", false}};
    char history[33], id[24];
    pc_hex_encode(dir->members.history, 16, history);
    (void)snprintf(id, sizeof id, "%016llx", (unsigned long long)dir->id);
    const struct cell cells[] = {cell_text(dir->data_dir), cell_text(name), cell_text(id),
        cell_text(history), cell_number(base->index), cell_number(base->term), cell_number(items)};
    struct out out;
    out_open(&out, args->form, stdout);
    out_record(&out, columns, cells, sizeof cells / sizeof cells[0]);
    if (args->form == OUTPUT_TABLE && dir->members.members_n > 1) {
        fprintf(stdout, "Start %s on it; then, each with an empty data directory:", name);
        for (size_t i = 0; i < dir->members.members_n; i++) {
            const char *other = dir->members.members[i].name;
            if (strcmp(other, name) != 0) {
                fprintf(stdout, " %s", other);
            }
        }
        fprintf(stdout, ".\n");
    }
    return out_close(&out);
}

static int restore(
    const struct args *args, struct pc_snap_reader *reader, const struct pc_snap_content *content)
{
    struct fresh_dir dir = {.data_dir = args->data_dir, .wall_ms = pc_clock_wall_ms()};
    struct pc_cluster_config old;
    struct pc_raft_base base;
    struct pc_error error;
    uint8_t history[16];
    int lock;
    pc_entropy(history, sizeof history);
    while (dir.id == 0) {
        dir.id = pc_entropy_u64();
    }
    pc_err err = pc_wire_decode_config(pc_snap_reader_meta(reader)->config, &old);
    if (err != PC_OK) {
        (void)pc_error_set(&error, err, "the members in the snapshot: %s", pc_err_text(err));
    }
    const char *name = args->name != NULL ? args->name : err == PC_OK ? default_name(&old) : "";
    if (err == PC_OK) {
        err = fresh_members(&old, name, dir.id, args->members, history, &dir.members, &error);
    }
    if (err == PC_OK) {
        err = fresh_dir_lock(dir.data_dir, &lock, &error);
    }
    if (err == PC_OK) {
        err = fresh_dir_make(pc_fs_posix(), &dir, reader, &base, &error);
    }
    if (err != PC_OK) {
        fprintf(stderr, "pcadmin: %s\n", error.text);
        return exit_of_error(err);
    }
    return report(args, &dir, name, &base, content->items);
}

int run_snapshot_restore(const struct args *args)
{
    if (args->data_dir == NULL || args->data_dir[0] == '\0') {
        fprintf(stderr, "pcadmin: snapshot restore needs --data-dir DIR\n");
        return EXIT_USAGE;
    }
    int status = EXIT_YES;
    struct pc_snap_content content;
    struct pc_snap_reader *reader = snapshot_open(args->positionals[0], &content, &status);
    if (reader != NULL) {
        status = restore(args, reader, &content);
        pc_snap_reader_close(reader);
    }
    return status;
}
