/* Messages by which a node gets a snapshot from another one:
 *
 *     [ SNAP_ASK,   nonce, at least this index ]
 *     [ SNAP_META,  nonce, bytes, chunks, hash bin 16, meta bin ]
 *                                                  meta empty: has none; the rest is 0 then
 *     [ SNAP_GET,   nonce, index, chunk ]
 *     [ SNAP_CHUNK, nonce, index, chunk, bytes bin ]      bytes empty: the snapshot is gone
 *
 * Meta and chunk stand in a bin each, as in a snapshot's file, and so come out as one piece. */
#include <string.h>

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "wire_int.h"

#define META_BYTES_MAX (PC_SNAPSHOT_CONFIG_BYTES_MAX + 128)

uint32_t wire_snapshot_msg_fields(enum pc_msg_type type)
{
    switch (type) {
    case PC_MSG_SNAP_ASK:
        return 2;
    case PC_MSG_SNAP_GET:
        return 3;
    case PC_MSG_SNAP_META:
        return 5;
    default:
        PC_ASSERT(type == PC_MSG_SNAP_CHUNK);
        return 4;
    }
}

/* A META of who has no snapshot. */
static bool says_nothing(const struct pc_snapshot_msg *m)
{
    static const struct pc_hash zero;
    return m->bytes == 0 && m->chunks == 0 && memcmp(m->hash.b, zero.b, sizeof zero.b) == 0;
}

void wire_snapshot_msg_encode(const struct pc_msg *msg, struct pc_mpack_writer *w)
{
    const struct pc_snapshot_msg *m = &msg->snapshot;
    pc_mpack_write_uint(w, m->nonce);
    if (msg->type == PC_MSG_SNAP_META) {
        PC_ASSERT(m->body != NULL || says_nothing(m));
        pc_mpack_write_uint(w, m->bytes);
        pc_mpack_write_uint(w, m->chunks);
        pc_mpack_write_bin(w, pc_slice_of(m->hash.b, sizeof m->hash.b));
    } else {
        pc_mpack_write_uint(w, m->index);
    }
    if (msg->type == PC_MSG_SNAP_GET || msg->type == PC_MSG_SNAP_CHUNK) {
        pc_mpack_write_uint(w, m->chunk);
    }
    if (msg->type == PC_MSG_SNAP_META || msg->type == PC_MSG_SNAP_CHUNK) {
        PC_ASSERT(pc_blob_slice(m->body).len <= PC_SNAPSHOT_CHUNK_BYTES_MAX);
        pc_mpack_write_bin(w, pc_blob_slice(m->body));
    }
}

static pc_err body_decode(struct pc_mpack_reader *r, size_t max, struct pc_snapshot_msg *m)
{
    struct pc_slice body = pc_mpack_read_bin(r, max);
    return r->failed || body.len == 0 ? PC_OK : pc_blob_new(body, &m->body);
}

static pc_err meta_decode(struct pc_mpack_reader *r, struct pc_snapshot_msg *m)
{
    m->bytes = pc_mpack_read_uint(r, UINT64_MAX);
    m->chunks = (uint32_t)pc_mpack_read_uint(r, UINT32_MAX);
    struct pc_slice hash = pc_mpack_read_bin(r, sizeof m->hash.b);
    if (hash.len == sizeof m->hash.b) {
        memcpy(m->hash.b, hash.data, hash.len);
    } else {
        pc_mpack_fail(r);
    }
    pc_err err = body_decode(r, META_BYTES_MAX, m);
    if (err != PC_OK) {
        return err;
    }
    struct pc_snapshot_meta meta;
    bool makes_sense = m->body == NULL
                           ? says_nothing(m)
                           : pc_wire_decode_snapshot_meta(pc_blob_slice(m->body), &meta) == PC_OK;
    if (!makes_sense) {
        pc_mpack_fail(r);
    }
    return PC_OK;
}

pc_err wire_snapshot_msg_decode(struct pc_mpack_reader *r, struct pc_msg *msg)
{
    struct pc_snapshot_msg *m = &msg->snapshot;
    m->nonce = pc_mpack_read_uint(r, UINT64_MAX);
    if (msg->type == PC_MSG_SNAP_META) {
        return meta_decode(r, m);
    }
    m->index = pc_mpack_read_uint(r, UINT64_MAX);
    if (msg->type == PC_MSG_SNAP_ASK) {
        return PC_OK;
    }
    m->chunk = (uint32_t)pc_mpack_read_uint(r, UINT32_MAX);
    if (m->index == 0) {
        pc_mpack_fail(r);
    }
    return msg->type == PC_MSG_SNAP_GET ? PC_OK : body_decode(r, PC_SNAPSHOT_CHUNK_BYTES_MAX, m);
}
