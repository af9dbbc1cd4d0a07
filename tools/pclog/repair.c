/* Offline repair: entries that a log has lost, from the log of another node that is stopped, too.
 * They are judged as those of a peer are: by the hash chain alone. */
#include <inttypes.h>

#include "pcache/limits.h"
#include "pclog_int.h"

/* Entries first..last of the other log, for this gap. */
static pc_err fill_from(struct pc_wal *wal, size_t gap, pc_index first, pc_index last,
    struct pc_wal *source, struct pc_error *error)
{
    bool closed = false;
    while (!closed) {
        struct pc_entries some = {0};
        pc_err err = pc_wal_load(source, first, last, PC_LOAD_BYTES_MAX, &some, error);
        if (err == PC_OK) {
            err = pc_wal_repair_put(wal, gap, some.v, some.n, &closed, error);
            first += some.n;
        }
        pc_entries_clear(&some);
        if (err != PC_OK) {
            return err;
        }
        if (!closed && first > last) {
            return pc_error_set(error, PC_E_INVALID, "the other log ends otherwise");
        }
    }
    return PC_OK;
}

static void fill_all(struct pc_wal *wal, const struct pc_wal_recovered *lost, struct pc_wal *source,
    FILE *out, FILE *err_out)
{
    for (size_t i = 0; i < lost->gaps_n; i++) {
        const struct pc_wal_gap *gap = &lost->gaps[i];
        struct pc_error error;
        pc_err err = fill_from(wal, i, gap->first, gap->last, source, &error);
        if (err == PC_E_INVALID && gap->floor + 1 < gap->first) {
            err = fill_from(wal, i, gap->floor + 1, gap->last, source, &error);
        }
        if (err == PC_OK) {
            fprintf(out, "repaired: entries %" PRIu64 "..%" PRIu64 "\n", gap->first, gap->last);
        } else {
            fprintf(err_out, "pclog: entries %" PRIu64 "..%" PRIu64 ": %s\n", gap->first, gap->last,
                error.text);
        }
    }
}

/* The other log is opened without its snapshot: all that it has may be of use. */
pc_err pclog_repair(const struct pc_fs *fs, const char *dir, const struct pc_raft_base *base,
    const char *from, FILE *out, FILE *err_out, struct pc_error *error)
{
    struct pc_wal *source = NULL;
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered there, lost;
    struct pc_wal_opts opts = {.dir = from, .read_only = true, .damage = PC_WAL_DAMAGE_REPAIR};
    pc_err err = pc_wal_open(fs, &opts, &source, &there, error);
    if (err != PC_OK) {
        return err;
    }
    pc_wal_recovered_clear(&there);
    opts.dir = dir;
    opts.base = *base;
    opts.read_only = false;
    err = pc_wal_open(fs, &opts, &wal, &lost, error);
    if (err == PC_OK) {
        fill_all(wal, &lost, source, out, err_out);
        pc_wal_recovered_clear(&lost);
        pc_wal_close(wal);
    }
    pc_wal_close(source);
    return err;
}
