/* What the tests of snapshots share: snapshots as a model, written through the real writer, and
 * whether what is on the disk is one of them, whole. */
#ifndef PC_TEST_SNAP_FIXTURE_H
#define PC_TEST_SNAP_FIXTURE_H

#include "support/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/snap/snap_int.h"
#include "pcache/prng.h"
#include "support/sim_fs.h"

#define TEST_DIR "/data"
#define CHUNKS_MAX 16

struct model {
    struct pc_snapshot_meta meta;
    struct pc_buf config;
    struct pc_buf chunks[CHUNKS_MAX];
    uint32_t chunks_n;
};

/* One item, of a value of up to bytes_max bytes. */
static inline void model_make_chunk(
    struct model *model, uint32_t number, struct pc_prng *prng, size_t bytes_max, pc_index version)
{
    struct pc_buf value = {0};
    size_t len = 1 + pc_prng_below(prng, bytes_max);
    for (size_t k = 0; k < len; k++) {
        pc_buf_append_u8(&value, (uint8_t)pc_prng_next(prng));
    }
    char key[16];
    (void)snprintf(key, sizeof key, "key%u", number);
    struct pc_item item = {.key = pc_slice_str(key), .version = version, .created = 1};
    assert_ok(pc_blob_new(pc_slice_of(value.data, value.len), &item.value));
    struct pc_wire_chunk chunk = {.items_n = 0};
    pc_wire_chunk_begin(&chunk);
    (void)pc_wire_chunk_add(&chunk, &item);
    pc_wire_chunk_take(&chunk, &model->chunks[number]);
    struct pc_stored_item stored = {.key = item.key,
        .value = pc_blob_slice(item.value),
        .version = item.version,
        .created = item.created};
    pc_store_digest_add(&model->meta.digest, &stored);
    pc_blob_unref(item.value);
    pc_buf_destroy(&value);
}

/* The same index, seed and number give the same snapshot, of items of entry `version`. Values of up
 * to bytes_max bytes. */
static inline void model_make_of(struct model *model, pc_index index, uint64_t seed,
    uint32_t chunks_n, size_t bytes_max, pc_index version)
{
    struct pc_prng prng;
    pc_prng_seed(&prng, seed * 1000 + index);
    *model = (struct model){.chunks_n = chunks_n};
    struct pc_cluster_config config = {.members_n = 1};
    memset(config.history, 7, sizeof config.history);
    config.members[0].id = 11;
    config.members[0].votes = true;
    memcpy(config.members[0].name, "node1", 6);
    pc_wire_encode_config(&config, &model->config);
    for (uint32_t i = 0; i < chunks_n; i++) {
        model_make_chunk(model, i, &prng, bytes_max, version);
    }
    model->meta.base = (struct pc_raft_base){.index = index, .term = 3, .stamp_ms = index * 10};
    pc_put_u64(model->meta.base.chain.b, pc_prng_next(&prng));
    memset(model->meta.history, 7, sizeof model->meta.history);
    model->meta.config_index = 1;
    model->meta.config = pc_slice_of(model->config.data, model->config.len);
    model->meta.items = chunks_n;
}

static inline void model_make(
    struct model *model, pc_index index, uint64_t seed, uint32_t chunks_n, size_t bytes_max)
{
    model_make_of(model, index, seed, chunks_n, bytes_max, 1);
}

static inline void model_clear(struct model *model)
{
    pc_buf_destroy(&model->config);
    for (uint32_t i = 0; i < model->chunks_n; i++) {
        pc_buf_destroy(&model->chunks[i]);
    }
}

static inline struct pc_slice model_chunk(const struct model *model, uint32_t i)
{
    return pc_slice_of(model->chunks[i].data, model->chunks[i].len);
}

/* The hash by its definition. */
static inline struct pc_hash model_hash(const struct model *model)
{
    struct pc_hash hash = pc_snap_chain_begin(&model->meta.base);
    for (uint32_t i = 0; i < model->chunks_n; i++) {
        hash = pc_snap_chain_next(&hash, model_chunk(model, i));
    }
    struct pc_buf meta = {0};
    pc_wire_encode_snapshot_meta(&model->meta, &meta);
    hash = pc_snap_chain_next(&hash, pc_slice_of(meta.data, meta.len));
    pc_buf_destroy(&meta);
    return hash;
}

static inline struct pc_sim_fs *disk_new(uint64_t seed)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(seed);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    assert_ok(port->mkdir(port->context, TEST_DIR, &error));
    assert_ok(port->sync_dir(port->context, "/", &error));
    return fs;
}

/* Writes the model, as one's own or as received; what an interrupted one has left is gone on with.
 */
static inline pc_err write_model(
    const struct pc_fs *fs, const struct model *model, bool received, struct pc_error *error)
{
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    struct pc_hash hash = model_hash(model);
    pc_err err = pc_snap_writer_open(
        fs, TEST_DIR, &model->meta.base, received ? &hash : NULL, &writer, error);
    if (err != PC_OK) {
        return err;
    }
    for (uint32_t i = pc_snap_writer_chunks(writer); i < model->chunks_n && err == PC_OK; i++) {
        err = pc_snap_writer_put(writer, model_chunk(model, i), error);
    }
    if (err == PC_OK) {
        err = pc_snap_writer_finish(writer, &model->meta, &info, error);
    }
    if (err == PC_OK) {
        assert_true(pc_hash_equal(&info.hash, &hash));
        assert_int_equal(info.chunks, model->chunks_n);
    }
    pc_snap_writer_close(writer);
    return err;
}

static inline void write_ok(struct pc_sim_fs *fs, const struct model *model)
{
    struct pc_error error;
    assert_ok(write_model(pc_sim_fs_port(fs), model, false, &error));
}

/* Every byte of it is the model's. */
static inline void assert_reader_is(struct pc_snap_reader *reader, const struct model *model)
{
    const struct pc_snap_info *info = pc_snap_reader_info(reader);
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(reader);
    struct pc_hash hash = model_hash(model);
    struct pc_error error;
    assert_true(pc_snap_base_equal(&info->base, &model->meta.base));
    assert_int_equal(info->chunks, model->chunks_n);
    assert_true(pc_hash_equal(&info->hash, &hash));
    assert_true(pc_slice_equal(meta->config, model->meta.config));
    assert_true(pc_hash_equal(&meta->digest, &model->meta.digest));
    assert_int_equal(meta->items, model->meta.items);
    assert_int_equal(meta->config_index, model->meta.config_index);
    assert_memory_equal(meta->history, model->meta.history, 16);
    struct pc_buf room = {0};
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < model->chunks_n; i++) {
        struct pc_slice chunk;
        assert_ok(pc_snap_reader_chunk(reader, i, &room, &chunk, &error));
        assert_true(pc_slice_equal(chunk, model_chunk(model, i)));
        bytes += chunk.len;
    }
    assert_int_equal(info->bytes, bytes);
    pc_buf_destroy(&room);
    assert_ok(pc_snap_verify(reader, NULL, NULL, &error));
}

/* A start finds the model, nothing damaged. */
static inline void assert_found(struct pc_sim_fs *fs, const struct model *model)
{
    struct pc_snap_found found;
    struct pc_error error;
    assert_ok(pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, false, &found, &error));
    assert_int_equal(found.damages, 0);
    assert_string_equal(found.where, "");
    assert_reader_is(found.reader, model);
    pc_snap_reader_close(found.reader);
}

static inline void assert_found_none(struct pc_sim_fs *fs, pc_err want)
{
    struct pc_snap_found found;
    struct pc_error error = {0};
    assert_int_equal(pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, false, &found, &error), want);
    assert_true(error.text[0] != '\0');
}

static inline const char *file_of(pc_index index)
{
    static char path[64];
    (void)snprintf(path, sizeof path, TEST_DIR "/snap-%016" PRIx64 ".snp", index);
    return path;
}

static inline const char *part_of(pc_index index)
{
    static char path[64];
    (void)snprintf(path, sizeof path, TEST_DIR "/snap-%016" PRIx64 ".part", index);
    return path;
}

static inline bool exists(const struct pc_sim_fs *fs, const char *path)
{
    return pc_sim_fs_file_bytes(fs, path) != UINT64_MAX;
}

#endif
