/* The committed entries of a log as JSON, an object a line (src/edge/json/json_entry.c), for
 * whoever reads the log as a feed. What is not committed is left out, for it may never have been.
 */
#include <inttypes.h>

#include "pcache/json.h"
#include "pcache/snap.h"
#include "pclog_int.h"

#define LOAD_BYTES (1024 * 1024)

static void print_entry(FILE *out, const struct pc_entry *entry)
{
    struct pc_buf line = {0};
    pc_json_append_entry(entry, &line);
    (void)fwrite(line.data, 1, line.len, out);
    pc_buf_destroy(&line);
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
