/* Looks into a snapshot: everything in it is read, checked and decoded. The digest is taken at its
 * word unless all of it is loaded as a node would: that takes as much memory as the node. */
#include <inttypes.h>

#include "pcache/os.h"
#include "pcache/snap.h"
#include "pclog_int.h"

struct seen {
    pc_index upto;
    struct pc_store *store; /* NULL = not loaded */
    uint64_t items;
    uint64_t data_bytes;
};

static pc_err on_chunk(void *arg, uint32_t number, struct pc_slice chunk, struct pc_error *error)
{
    struct seen *seen = arg;
    struct pc_wire_chunk_reader reader = pc_wire_chunk_reader_of(chunk);
    struct pc_stored_item item;
    while (pc_wire_chunk_next(&reader, &item)) {
        if (item.version > seen->upto) {
            return pc_error_set(error, PC_E_CORRUPT,
                "chunk %u: an item of version %" PRIu64 ", behind the snapshot", number,
                item.version);
        }
        pc_err err = seen->store != NULL ? pc_store_load(seen->store, &item) : PC_OK;
        if (err != PC_OK) {
            return pc_error_set(error, err, "chunk %u: item %" PRIu64 " of all: %s", number,
                seen->items, err == PC_E_CORRUPT ? "out of range, or there twice" : "no memory");
        }
        seen->items++;
        seen->data_bytes += item.key.len + item.value.len + item.content_type.len;
    }
    return pc_wire_chunk_finish(&reader) == PC_OK
               ? PC_OK
               : pc_error_set(error, PC_E_CORRUPT, "chunk %u: not an array of items", number);
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
    fprintf(out, "items: %" PRIu64 ", %" PRIu64 " bytes of data in %u chunks\n", seen->items,
        seen->data_bytes, info->chunks);
    fprintf(out, "config: entry %" PRIu64, meta->config_index);
    pclog_print_config(out, meta->config);
    print_hex(out, "\nchain:", &info->base.chain);
    print_hex(
        out, seen->store != NULL ? "digest, that of the items loaded:" : "digest:", &meta->digest);
    print_hex(out, "hash:", &info->hash);
}

/* Everything in it. */
static pc_err verify(struct pc_snap_reader *reader, struct seen *seen, struct pc_error *error)
{
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(reader);
    seen->upto = meta->base.index;
    pc_err err = pc_snap_verify(reader, on_chunk, seen, error);
    if (err == PC_OK && seen->items != meta->items) {
        err = pc_error_set(error, PC_E_CORRUPT, "%s: has %" PRIu64 " items, its meta says %" PRIu64,
            pc_snap_reader_info(reader)->name, seen->items, meta->items);
    }
    return err;
}

/* The same, loaded as at a start. */
static pc_err load(struct pc_snap_reader *reader, struct seen *seen, struct pc_error *error)
{
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(reader);
    struct pc_store_opts opts;
    pc_entropy(opts.hash_seed, sizeof opts.hash_seed);
    seen->store = pc_store_new(&opts);
    pc_store_load_begin(seen->store, 0);
    pc_err err = verify(reader, seen, error);
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
    err = loads ? load(found.reader, &seen, error) : verify(found.reader, &seen, error);
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
