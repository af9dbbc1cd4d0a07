/* Looks into a snapshot: everything in it is read, checked and decoded. Loading it as a node would
 * takes as much memory as the node, and finds a key that stands there twice, too. */
#include <inttypes.h>

#include "pcache/os.h"
#include "pcache/snap.h"
#include "pclog_int.h"

struct seen {
    struct pc_store *store; /* NULL = not loaded */
    struct pc_snap_content content;
};

static pc_err load_item(void *arg, const struct pc_stored_item *item)
{
    return pc_store_load(arg, item);
}

static void print_hex(FILE *out, const char *what, const struct pc_hash *hash)
{
    char text[33];
    pc_hex_encode(hash->b, sizeof hash->b, text);
    fprintf(out, "%s %s\n", what, text);
}

static void print_good(FILE *out, struct pc_snap_reader *reader, const struct seen *seen)
{
    const struct pc_snap_info *info = pc_snap_reader_info(reader);
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(reader);
    fprintf(out,
        "good: %s, entries 1..%" PRIu64 ", term %" PRIu64 ", stamp %" PRIu64 ", %" PRIu64
        " bytes\n",
        info->name, info->base.index, info->base.term, info->base.stamp_ms, info->file_bytes);
    fprintf(out, "items: %" PRIu64 ", %" PRIu64 " bytes of data in %u chunks\n",
        seen->content.items, seen->content.data_bytes, info->chunks);
    fprintf(out, "config: entry %" PRIu64, meta->config_index);
    pclog_print_config(out, meta->config);
    print_hex(out, "\nchain:", &info->base.chain);
    print_hex(out, "digest:", &meta->digest);
    print_hex(out, "hash:", &info->hash);
}

/* The check, and all of it loaded as at a start. */
static pc_err load(struct pc_snap_reader *reader, struct seen *seen, struct pc_error *error)
{
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(reader);
    struct pc_store_opts opts;
    pc_entropy(opts.hash_seed, sizeof opts.hash_seed);
    seen->store = pc_store_new(&opts);
    pc_store_load_begin(seen->store, 0);
    pc_err err = pc_snap_check(reader, load_item, seen->store, &seen->content, error);
    if (err == PC_OK && pc_store_load_end(seen->store, meta->base.index, meta->base.stamp_ms,
                            &meta->digest) != PC_OK) {
        err = pc_error_set(error, PC_E_CORRUPT, "%s: its items have another digest",
            pc_snap_reader_info(reader)->name);
    }
    return err;
}

static void ignore_name(void *arg, const char *name)
{
    (void)arg;
    (void)name;
}

/* A file, a log directory, or the data directory above it. */
static pc_err open_any(
    const struct pc_fs *fs, const char *path, struct pc_snap_found *found, struct pc_error *error)
{
    struct pc_error other;
    if (fs->list(fs->context, path, ignore_name, NULL, &other) == PC_E_NOT_FOUND) {
        return pc_snap_reader_open(fs, path, &found->reader, error);
    }
    pc_err err = pc_snap_find(fs, path, true, found, error);
    char below[4096];
    int used = snprintf(below, sizeof below, "%s/log", path);
    if (err != PC_E_NOT_FOUND || used <= 0 || (size_t)used >= sizeof below) {
        return err;
    }
    err = pc_snap_find(fs, below, true, found, &other);
    if (err != PC_E_NOT_FOUND) {
        *error = other;
    }
    return err;
}

pc_err pclog_snapshot(const struct pc_fs *fs, const char *path, bool loads, FILE *out,
    FILE *err_out, struct pc_error *error)
{
    struct pc_snap_found found = {0};
    struct seen seen = {0};
    pc_err err = open_any(fs, path, &found, error);
    if (err != PC_OK) {
        return err;
    }
    err = loads ? load(found.reader, &seen, error)
                : pc_snap_check(found.reader, NULL, NULL, &seen.content, error);
    if (err == PC_OK) {
        print_good(out, found.reader, &seen);
    }
    pc_store_delete(seen.store);
    pc_snap_reader_close(found.reader);
    if (err == PC_OK && found.damages > 0) { /* the older one is good, this one is not */
        err = pc_error_set(error, PC_E_CORRUPT, "%.*s", (int)sizeof found.where, found.where);
    } else if (found.damages > 0) {
        fprintf(err_out, "pclog: %s\n", found.where);
    }
    return err;
}

pc_err pclog_find_base(const struct pc_fs *fs, const char *dir, struct pc_raft_base *out,
    FILE *err_out, struct pc_error *error)
{
    struct pc_snap_found found = {0};
    pc_err err = pc_snap_find(fs, dir, true, &found, error);
    if (err == PC_E_NOT_FOUND) {
        *out = (struct pc_raft_base){0};
        return PC_OK;
    }
    if (err != PC_OK) {
        return err;
    }
    *out = pc_snap_reader_info(found.reader)->base;
    pc_snap_reader_close(found.reader);
    if (found.damages > 0 && err_out != NULL) {
        fprintf(err_out, "pclog: %s\n", found.where);
    }
    return PC_OK;
}
