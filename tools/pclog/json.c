/* The committed entries of a log as JSON, an object a line, for whoever reads the log as a feed:
 *
 *   {"index":2,"term":2,"time_ms":5000,"kind":"command","request":"<node>/<boot>/<seq>",
 *    "op":"set","key":"k","value":"v","content_type":"text/plain","ttl_ms":700}
 *
 * A command with a condition has "if": "version" (and "if_version": 7), "absent" or "present".
 * What is not UTF-8 comes as key_b64, value_b64. An entry of which this program cannot read the
 * body comes with body_b64 alone: the nodes that applied it made nothing of it either. What is not
 * committed is left out, for it may never have been. */
#include <inttypes.h>

#include "pcache/json.h"
#include "pcache/snap.h"
#include "pclog_int.h"

#define LOAD_BYTES (1024 * 1024)

/* It was done only where this held: whoever replays the feed judges it as the nodes did. */
static void set_condition(json_t *object, const struct pc_command *command)
{
    static const char *const names[] = {NULL, "version", "absent", "present"};
    if (command->condition != PC_IF_ANY) {
        pc_json_set_text(object, "if", names[command->condition]);
    }
    if (command->condition == PC_IF_VERSION) {
        pc_json_set_number(object, "if_version", command->if_version);
    }
}

static bool set_command(json_t *object, const struct pc_entry *entry)
{
    struct pc_command command;
    if (pc_wire_decode_command(pc_blob_slice(entry->body), &command) != PC_OK) {
        return false;
    }
    pc_json_set_request(object, entry->req.node, entry->req.boot, entry->req.seq);
    pc_json_set_command(object, &command);
    set_condition(object, &command);
    return true;
}

static bool set_config(json_t *object, const struct pc_entry *entry)
{
    static const char *const wants[] = {"voter", "replica", "spare"};
    struct pc_cluster_config config;
    if (pc_wire_decode_config(pc_blob_slice(entry->body), &config) != PC_OK) {
        return false;
    }
    pc_json_set_hex(object, "history", config.history);
    json_t *members = json_array();
    for (size_t i = 0; i < config.members_n; i++) {
        const struct pc_cluster_member *member = &config.members[i];
        json_t *one = json_object();
        pc_json_set_text(one, "name", member->name);
        pc_json_set_id(one, "id", member->id);
        pc_json_set_text(one, "want", wants[member->want]);
        (void)json_object_set_new(one, "votes", json_boolean(member->votes));
        (void)json_array_append_new(members, one);
    }
    (void)json_object_set_new(object, "members", members);
    return true;
}

static void print_entry(FILE *out, const struct pc_entry *entry)
{
    static const char *const kinds[] = {
        [PC_ENTRY_NOOP] = "noop",
        [PC_ENTRY_CONFIG] = "config",
        [PC_ENTRY_COMMAND] = "command",
    };
    json_t *object = json_object();
    pc_json_set_number(object, "index", entry->index);
    pc_json_set_number(object, "term", entry->term);
    pc_json_set_number(object, "time_ms", entry->stamp_ms);
    pc_json_set_text(object, "kind", kinds[entry->kind]);
    bool is_known = entry->kind == PC_ENTRY_COMMAND  ? set_command(object, entry)
                    : entry->kind == PC_ENTRY_CONFIG ? set_config(object, entry)
                                                     : true;
    if (!is_known) {
        pc_json_set_base64(object, "body_b64", pc_blob_slice(entry->body));
    }
    (void)json_dumpf(object, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    (void)fputc('\n', out);
    json_decref(object);
}

static pc_err print_entries(
    struct pc_wal *wal, pc_index first, pc_index last, FILE *out, struct pc_error *error)
{
    pc_err err = PC_OK;
    while (first <= last && err == PC_OK) {
        struct pc_entries entries = {0};
        err = pc_wal_load(wal, first, last, LOAD_BYTES, &entries, error);
        for (size_t i = 0; i < entries.n && err == PC_OK; i++) {
            print_entry(out, &entries.v[i]);
        }
        first += entries.n;
        pc_entries_clear(&entries);
        if (err == PC_OK && ferror(out)) {
            err = pc_error_set(error, PC_E_IO, "the output cannot be written");
        }
    }
    return err;
}

static pc_err find_base(
    const struct pc_fs *fs, const char *dir, struct pc_raft_base *out, struct pc_error *error)
{
    struct pc_snap_found found = {0};
    *out = (struct pc_raft_base){0};
    pc_err err = pc_snap_find(fs, dir, true, &found, error);
    if (err == PC_OK) {
        *out = pc_snap_reader_info(found.reader)->base;
        pc_snap_reader_close(found.reader);
    }
    return err == PC_E_NOT_FOUND ? PC_OK : err;
}

static pc_err open_log(const struct pc_fs *fs, const char *dir, struct pc_wal **wal,
    struct pc_wal_recovered *got, struct pc_error *error)
{
    struct pc_wal_opts opts = {.dir = dir, .read_only = true};
    pc_err err = find_base(fs, dir, &opts.base, error);
    return err == PC_OK ? pc_wal_open(fs, &opts, wal, got, error) : err;
}

/* What is not lost, from entry `from` on. */
static pc_err print_log(struct pc_wal *wal, const struct pc_wal_recovered *got, pc_index from,
    FILE *out, struct pc_error *error)
{
    if (got->gaps_n > 0 || got->open) {
        return pc_error_set(
            error, PC_E_CORRUPT, "%s", got->gaps_n > 0 ? got->gaps[0].where : got->where);
    }
    if (from != 0 && from < got->first) {
        return pc_error_set(error, PC_E_NOT_FOUND,
            "entry %" PRIu64 " is not in this log any more: it begins with entry %" PRIu64, from,
            got->first);
    }
    pc_index first = got->first > from ? got->first : from;
    return first > 0 ? print_entries(wal, first, got->commit, out, error) : PC_OK;
}

pc_err pclog_dump_json(
    const struct pc_fs *fs, const char *dir, pc_index from, FILE *out, struct pc_error *error)
{
    char below[4096];
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error other;
    pc_err err = open_log(fs, dir, &wal, &got, error);
    int used = snprintf(below, sizeof below, "%s/log", dir);
    if (err == PC_E_NOT_FOUND && used > 0 && (size_t)used < sizeof below) {
        err = open_log(fs, below, &wal, &got, &other);
        *error = err != PC_OK && err != PC_E_NOT_FOUND ? other : *error;
    }
    if (err != PC_OK) {
        return err;
    }
    err = print_log(wal, &got, from, out, error);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    return err;
}
