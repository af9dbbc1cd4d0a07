/* A snapshot's bytes: chunks and metas. What decodes, encodes to the same bytes; what can be loaded
 * is a sound store, and a snapshot of that, loaded, is the same state. */
#include "fuzz/kit/fuzz.h"

#include "pcache/limits.h"
#include "pcache/wire.h"

/* What one chunk says, as items with blobs of their own, encoded anew. */
static void check_chunk_again(struct pc_slice bytes)
{
    struct pc_wire_chunk chunk = {0};
    struct pc_wire_chunk_reader r = pc_wire_chunk_reader_of(bytes);
    struct pc_stored_item in;
    bool has_room = true;
    pc_wire_chunk_begin(&chunk);
    while (has_room && pc_wire_chunk_next(&r, &in)) {
        struct pc_item item = {.key = in.key,
            .content_type = in.content_type,
            .version = in.version,
            .created = in.created,
            .deadline_ms = in.deadline_ms};
        FUZZ_CHECK("memory", pc_blob_new(in.value, &item.value) == PC_OK);
        has_room = pc_wire_chunk_add(&chunk, &item);
        pc_blob_unref(item.value);
    }
    if (has_room) {
        FUZZ_CHECK("one encoding per chunk", pc_slice_equal(pc_wire_chunk_end(&chunk), bytes));
    }
    pc_buf_destroy(&chunk.bytes);
}

/* Loads all that a chunk has. False when the store refuses something, or the bytes end badly. */
static bool load(struct pc_store *store, struct pc_slice bytes)
{
    struct pc_wire_chunk_reader r = pc_wire_chunk_reader_of(bytes);
    struct pc_stored_item item;
    while (pc_wire_chunk_next(&r, &item)) {
        FUZZ_CHECK("wire.h", item.key.len <= PC_KEY_BYTES_MAX);
        FUZZ_CHECK("wire.h", item.content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
        if (pc_store_load(store, &item) != PC_OK) {
            return false;
        }
    }
    return pc_wire_chunk_finish(&r) == PC_OK;
}

static bool add(void *context, const struct pc_item *item)
{
    return pc_wire_chunk_add(context, item);
}

/* A snapshot of the store, as far as it fits one chunk, is the same state when it is loaded. */
static void check_snapshot(struct pc_store *store)
{
    struct pc_store_opts opts = {.hash_seed = {7}};
    struct pc_store *other = pc_store_new(&opts);
    struct pc_wire_chunk chunk = {0};
    struct pc_store_snapshot info;
    bool complete = false;
    pc_wire_chunk_begin(&chunk);
    pc_store_snapshot_begin(store, &info);
    while (!complete && chunk.bytes.len < PC_SNAPSHOT_CHUNK_BYTES) {
        FUZZ_CHECK("next", pc_store_snapshot_next(store, 3, add, &chunk, &complete) == PC_OK);
    }
    if (complete) {
        pc_store_load_begin(other, info.items);
        FUZZ_CHECK("loads again", load(other, pc_wire_chunk_end(&chunk)));
        FUZZ_CHECK("same state",
            pc_store_load_end(other, info.applied, info.stamp_ms, &info.digest) == PC_OK);
        pc_store_check(other);
    }
    pc_store_delete(other);
    pc_buf_destroy(&chunk.bytes);
}

static void try_chunk(struct pc_slice bytes)
{
    struct pc_store_opts opts = {.hash_seed = {3}};
    struct pc_store *store = pc_store_new(&opts);
    pc_store_load_begin(store, bytes.len);
    bool loaded = load(store, bytes);
    pc_store_check(store);
    if (loaded) {
        check_chunk_again(bytes);
        struct pc_hash digest = pc_store_digest(store);
        if (pc_store_load_end(store, UINT64_C(1) << 52, 1000, &digest) == PC_OK) {
            check_snapshot(store);
            struct pc_command tick = {.op = PC_OP_TICK};
            FUZZ_CHECK("goes on",
                pc_store_apply(store, (UINT64_C(1) << 52) + 1, 2000, &tick, NULL) == PC_OK);
            pc_store_check(store);
        }
    }
    pc_store_delete(store);
}

static void try_meta(struct pc_slice bytes)
{
    struct pc_snapshot_meta meta;
    if (pc_wire_decode_snapshot_meta(bytes, &meta) != PC_OK) {
        return;
    }
    FUZZ_CHECK("wire.h", meta.config_index >= 1 && meta.config_index <= meta.base.index);
    FUZZ_CHECK("wire.h", meta.config.len <= PC_SNAPSHOT_CONFIG_BYTES_MAX);
    struct pc_buf again = {0};
    pc_wire_encode_snapshot_meta(&meta, &again);
    FUZZ_CHECK("one encoding per meta", pc_slice_equal(pc_slice_of(again.data, again.len), bytes));
    pc_buf_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    try_chunk(pc_slice_of(in.at, size));
    try_meta(pc_slice_of(in.at, size));
    return 0;
}
