/* A snapshot as bytes: its meta, and chunks of items.
 *
 *     meta   [ history bin 16, index, term, stamp_ms, chain bin 16, config index, config bin,
 *              digest bin 16, items ]
 *     chunk  [ [ key bin, value bin, version, created, deadline_ms, content type bin ], ... ]
 *
 * Canonical like everything else here, the count in front of a chunk's items too. It is known only
 * when the last of them is there, and takes one, three or five bytes: the builder leaves room for
 * five and the finished chunk begins where the head needs it to.
 *
 * What items say is judged by the store that loads them; here only lengths are bounded. */
#include <string.h>

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/mpack.h"
#include "pcache/wire.h"

#define META_FIELDS 9
#define ITEM_FIELDS 6
#define ITEM_HEAD_BYTES_MAX 1
#define CHUNK_HEAD_BYTES_MAX 5

/* Heads of key, value and type, and three numbers. */
PC_STATIC_ASSERT(ITEM_HEAD_BYTES_MAX + 3 + 5 + 2 + 3 * 9 + CHUNK_HEAD_BYTES_MAX <=
                     PC_SNAPSHOT_ITEM_OVERHEAD_BYTES_MAX,
    "an item's overhead has its bound");

/* ---- meta */

static bool meta_makes_sense(const struct pc_snapshot_meta *meta)
{
    struct pc_cluster_config config;
    return meta->base.index >= 1 && meta->base.term >= 1 && meta->config_index >= 1 &&
           meta->config_index <= meta->base.index &&
           pc_wire_decode_config(meta->config, &config) == PC_OK;
}

void pc_wire_encode_snapshot_meta(const struct pc_snapshot_meta *meta, struct pc_buf *out)
{
    PC_ASSERT(meta->config.len <= PC_SNAPSHOT_CONFIG_BYTES_MAX);
    PC_ASSERT(meta->base.term <= PC_TERM_MAX && meta->base.stamp_ms <= PC_CLOCK_MS_MAX);
    PC_ASSERT(meta_makes_sense(meta));
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, META_FIELDS);
    pc_mpack_write_bin(&w, pc_slice_of(meta->history, sizeof meta->history));
    pc_mpack_write_uint(&w, meta->base.index);
    pc_mpack_write_uint(&w, meta->base.term);
    pc_mpack_write_uint(&w, meta->base.stamp_ms);
    pc_mpack_write_bin(&w, pc_slice_of(meta->base.chain.b, sizeof meta->base.chain.b));
    pc_mpack_write_uint(&w, meta->config_index);
    pc_mpack_write_bin(&w, meta->config);
    pc_mpack_write_bin(&w, pc_slice_of(meta->digest.b, sizeof meta->digest.b));
    pc_mpack_write_uint(&w, meta->items);
}

static void read_16(struct pc_mpack_reader *r, uint8_t out[16])
{
    struct pc_slice bytes = pc_mpack_read_bin(r, 16);
    if (bytes.len == 16) {
        memcpy(out, bytes.data, 16);
    } else {
        pc_mpack_fail(r);
    }
}

pc_err pc_wire_decode_snapshot_meta(struct pc_slice bytes, struct pc_snapshot_meta *out)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_snapshot_meta meta = {0};
    if (pc_mpack_read_array(&r) != META_FIELDS) {
        return PC_E_MALFORMED;
    }
    read_16(&r, meta.history);
    meta.base.index = pc_mpack_read_uint(&r, UINT64_MAX);
    meta.base.term = pc_mpack_read_uint(&r, PC_TERM_MAX);
    meta.base.stamp_ms = pc_mpack_read_uint(&r, PC_CLOCK_MS_MAX);
    read_16(&r, meta.base.chain.b);
    meta.config_index = pc_mpack_read_uint(&r, UINT64_MAX);
    meta.config = pc_mpack_read_bin(&r, PC_SNAPSHOT_CONFIG_BYTES_MAX);
    read_16(&r, meta.digest.b);
    meta.items = pc_mpack_read_uint(&r, UINT64_MAX);
    if (pc_mpack_finish(&r) != PC_OK || !meta_makes_sense(&meta)) {
        return PC_E_MALFORMED;
    }
    *out = meta;
    return PC_OK;
}

/* ---- chunks */

void pc_wire_chunk_begin(struct pc_wire_chunk *chunk)
{
    static const uint8_t head[CHUNK_HEAD_BYTES_MAX] = {0};
    chunk->items_n = 0;
    pc_buf_reset(&chunk->bytes);
    pc_buf_append(&chunk->bytes, head, sizeof head);
}

static bool has_room(const struct pc_wire_chunk *chunk)
{
    return chunk->bytes.len < PC_SNAPSHOT_CHUNK_BYTES;
}

bool pc_wire_chunk_add(struct pc_wire_chunk *chunk, const struct pc_item *item)
{
    PC_ASSERT(chunk->bytes.len >= CHUNK_HEAD_BYTES_MAX && has_room(chunk));
    struct pc_slice value = pc_blob_slice(item->value);
    PC_ASSERT(item->key.len <= PC_KEY_BYTES_MAX && value.len <= PC_VALUE_BYTES_MAX);
    PC_ASSERT(item->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    struct pc_mpack_writer w = pc_mpack_writer_of(&chunk->bytes);
    pc_mpack_write_array(&w, ITEM_FIELDS);
    pc_mpack_write_bin(&w, item->key);
    pc_mpack_write_bin(&w, value);
    pc_mpack_write_uint(&w, item->version);
    pc_mpack_write_uint(&w, item->created);
    pc_mpack_write_uint(&w, item->deadline_ms);
    pc_mpack_write_bin(&w, item->content_type);
    chunk->items_n++;
    return has_room(chunk);
}

struct pc_slice pc_wire_chunk_end(struct pc_wire_chunk *chunk)
{
    PC_ASSERT(chunk->bytes.len >= CHUNK_HEAD_BYTES_MAX);
    PC_ASSERT(chunk->bytes.len <= PC_SNAPSHOT_CHUNK_BYTES_MAX);
    struct pc_buf head = {0};
    struct pc_mpack_writer w = pc_mpack_writer_of(&head);
    pc_mpack_write_array(&w, chunk->items_n);
    PC_ASSERT(head.len <= CHUNK_HEAD_BYTES_MAX);
    size_t gap = CHUNK_HEAD_BYTES_MAX - head.len;
    memcpy(chunk->bytes.data + gap, head.data, head.len);
    pc_buf_destroy(&head);
    return pc_slice_of(chunk->bytes.data + gap, chunk->bytes.len - gap);
}

void pc_wire_chunk_take(struct pc_wire_chunk *chunk, struct pc_buf *out)
{
    struct pc_slice bytes = pc_wire_chunk_end(chunk);
    memmove(chunk->bytes.data, bytes.data, bytes.len);
    *out = (struct pc_buf){.data = chunk->bytes.data, .len = bytes.len, .cap = chunk->bytes.cap};
    *chunk = (struct pc_wire_chunk){0};
}

struct pc_wire_chunk_reader pc_wire_chunk_reader_of(struct pc_slice bytes)
{
    struct pc_wire_chunk_reader reader = {.mpack = pc_mpack_reader_of(bytes)};
    reader.left = pc_mpack_read_array(&reader.mpack);
    return reader;
}

bool pc_wire_chunk_next(struct pc_wire_chunk_reader *reader, struct pc_stored_item *item)
{
    struct pc_mpack_reader *r = &reader->mpack;
    if (r->failed || reader->left == 0) {
        return false;
    }
    if (pc_mpack_read_array(r) != ITEM_FIELDS) {
        pc_mpack_fail(r);
    }
    struct pc_stored_item read = {0};
    read.key = pc_mpack_read_bin(r, PC_KEY_BYTES_MAX);
    read.value = pc_mpack_read_bin(r, PC_VALUE_BYTES_MAX);
    read.version = pc_mpack_read_uint(r, UINT64_MAX);
    read.created = pc_mpack_read_uint(r, UINT64_MAX);
    read.deadline_ms = pc_mpack_read_uint(r, UINT64_MAX);
    read.content_type = pc_mpack_read_bin(r, PC_CONTENT_TYPE_BYTES_MAX);
    if (r->failed) {
        return false;
    }
    reader->left--;
    *item = read;
    return true;
}

pc_err pc_wire_chunk_finish(const struct pc_wire_chunk_reader *reader)
{
    return reader->left == 0 ? pc_mpack_finish(&reader->mpack) : PC_E_MALFORMED;
}
