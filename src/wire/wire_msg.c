/* Messages between nodes:
 *
 *     [ RAFT, raft message ]
 *     [ FORWARD, boot, 0, [ [ seq, attempt, command bin ], ... ] ]
 *     [ FORWARD_REFUSED, boot, reason, [ [ seq, attempt ], ... ] ]
 *     [ FORM, entry ]
 *     [ FETCH, nonce, first, last ]
 *     [ ENTRIES, nonce, first, term, leads, last, commit, [ entry, ... ] ]
 *     [ DISK, level, free bytes, median of syncs in us (, bytes in all: from DISK_SIZE on) ]
 *     [ DIGEST, index, digest bin ]
 *     SNAP_ASK, SNAP_META, SNAP_GET, SNAP_CHUNK: wire_snapshot_msg.c
 *     MEMBER, MEMBER_RESULT, INVITE: wire_member.c */
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/protocol.h"
#include "pcache/wire_entry.h"
#include "wire_int.h"

/* One message never carries more forwarded commands than one node lets wait. */
#define FORWARD_ITEMS_MAX PC_PENDING_REQUESTS_MAX

void pc_msg_clear(struct pc_msg *msg)
{
    pc_raft_msg_clear(&msg->raft);
    for (size_t i = 0; i < msg->forward.items_n; i++) {
        pc_blob_unref(msg->forward.items[i].body);
    }
    free(msg->forward.items);
    pc_entry_clear(&msg->form);
    pc_entries_clear(&msg->fetch.v);
    pc_raw_entries_clear(&msg->fetch.raw);
    pc_blob_unref(msg->snapshot.body);
    free(msg->member);
    *msg = (struct pc_msg){0};
}

static void forward_encode(const struct pc_msg *msg, struct pc_mpack_writer *w)
{
    bool with_body = msg->type == PC_MSG_FORWARD;
    pc_mpack_write_array(w, 4);
    pc_mpack_write_uint(w, msg->type);
    pc_mpack_write_uint(w, msg->forward.boot);
    pc_mpack_write_uint(w, msg->forward.reason);
    pc_mpack_write_array(w, (uint32_t)msg->forward.items_n);
    for (size_t i = 0; i < msg->forward.items_n; i++) {
        const struct pc_forward_item *item = &msg->forward.items[i];
        pc_mpack_write_array(w, with_body ? 3 : 2);
        pc_mpack_write_uint(w, item->seq);
        pc_mpack_write_uint(w, item->attempt);
        if (with_body) {
            PC_ASSERT(item->body != NULL);
            pc_mpack_write_bin(w, pc_blob_slice(item->body));
        }
    }
}

static void fetch_encode(const struct pc_msg *msg, struct pc_mpack_writer *w)
{
    const struct pc_fetch *fetch = &msg->fetch;
    bool is_answer = msg->type == PC_MSG_ENTRIES;
    pc_mpack_write_array(w, is_answer ? 8 : 4);
    pc_mpack_write_uint(w, msg->type);
    pc_mpack_write_uint(w, fetch->nonce);
    pc_mpack_write_uint(w, fetch->first);
    if (!is_answer) {
        pc_mpack_write_uint(w, fetch->last);
        return;
    }
    pc_mpack_write_uint(w, fetch->term);
    pc_mpack_write_uint(w, fetch->leads ? 1 : 0);
    pc_mpack_write_uint(w, fetch->has_last);
    pc_mpack_write_uint(w, fetch->commit);
    PC_ASSERT(fetch->v.n == 0 || fetch->raw.n == 0);
    pc_mpack_write_array(w, (uint32_t)(fetch->v.n + fetch->raw.n));
    for (size_t i = 0; i < fetch->v.n; i++) {
        pc_wire_encode_entry(&fetch->v.v[i], w->buf);
    }
    pc_buf_append(w->buf, fetch->raw.bytes.data, fetch->raw.bytes.len);
}

static void disk_encode(const struct pc_disk_msg *disk, uint8_t protocol, struct pc_mpack_writer *w)
{
    bool with_size = protocol >= PC_PROTOCOL_DISK_SIZE;
    pc_mpack_write_array(w, with_size ? 5 : 4);
    pc_mpack_write_uint(w, PC_MSG_DISK);
    pc_mpack_write_uint(w, disk->level);
    pc_mpack_write_uint(w, disk->free_bytes);
    pc_mpack_write_uint(w, disk->sync_us);
    if (with_size) {
        pc_mpack_write_uint(w, disk->total_bytes);
    }
}

void pc_wire_encode_msg(const struct pc_msg *msg, struct pc_buf *out)
{
    pc_wire_encode_msg_as(msg, pc_protocols_spoken().max, out);
}

void pc_wire_encode_msg_as(const struct pc_msg *msg, uint8_t protocol, struct pc_buf *out)
{
    PC_ASSERT(protocol >= pc_wire_msg_protocol(msg));
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    switch (msg->type) {
    case PC_MSG_RAFT:
        pc_mpack_write_array(&w, 2);
        pc_mpack_write_uint(&w, msg->type);
        wire_raft_encode(&msg->raft, protocol, &w);
        break;
    case PC_MSG_FORWARD:
    case PC_MSG_FORWARD_REFUSED:
        forward_encode(msg, &w);
        break;
    case PC_MSG_FORM:
        pc_mpack_write_array(&w, 2);
        pc_mpack_write_uint(&w, msg->type);
        pc_wire_encode_entry(&msg->form, out);
        break;
    case PC_MSG_FETCH:
    case PC_MSG_ENTRIES:
        fetch_encode(msg, &w);
        break;
    case PC_MSG_SNAP_ASK:
    case PC_MSG_SNAP_META:
    case PC_MSG_SNAP_GET:
    case PC_MSG_SNAP_CHUNK:
        pc_mpack_write_array(&w, 1 + wire_snapshot_msg_fields(msg->type));
        pc_mpack_write_uint(&w, msg->type);
        wire_snapshot_msg_encode(msg, &w);
        break;
    case PC_MSG_MEMBER:
    case PC_MSG_MEMBER_RESULT:
    case PC_MSG_INVITE:
        wire_member_encode(msg, &w);
        break;
    case PC_MSG_DISK:
        disk_encode(&msg->disk, protocol, &w);
        break;
    case PC_MSG_DIGEST:
        pc_mpack_write_array(&w, 3);
        pc_mpack_write_uint(&w, msg->type);
        pc_mpack_write_uint(&w, msg->digest.index);
        pc_mpack_write_bin(&w, pc_slice_of(msg->digest.hash.b, sizeof msg->digest.hash.b));
        break;
    }
}

static pc_err forward_decode(struct pc_mpack_reader *r, struct pc_msg *msg)
{
    bool with_body = msg->type == PC_MSG_FORWARD;
    msg->forward.boot = pc_mpack_read_uint(r, UINT64_MAX);
    msg->forward.reason = (enum pc_refusal)pc_mpack_read_uint(r, PC_REFUSAL_PROTOCOL);
    uint32_t n = pc_mpack_read_array(r);
    if (r->failed || n > FORWARD_ITEMS_MAX) {
        pc_mpack_fail(r);
        return PC_OK;
    }
    msg->forward.items = pc_xalloc((n + 1) * sizeof *msg->forward.items);
    for (uint32_t i = 0; i < n && !r->failed; i++) {
        struct pc_forward_item *item = &msg->forward.items[msg->forward.items_n++];
        if (pc_mpack_read_array(r) != (with_body ? 3U : 2U)) {
            pc_mpack_fail(r);
        }
        item->seq = pc_mpack_read_uint(r, UINT64_MAX);
        item->attempt = (uint32_t)pc_mpack_read_uint(r, UINT32_MAX);
        if (with_body) {
            struct pc_slice body = pc_mpack_read_bin(r, PC_COMMAND_BYTES_MAX);
            struct pc_command command;
            if (r->failed || pc_wire_decode_command(body, &command) != PC_OK) {
                pc_mpack_fail(r);
            } else if (pc_blob_new(body, &item->body) != PC_OK) {
                return PC_E_NOMEM;
            }
        }
    }
    return PC_OK;
}

static pc_err form_decode(struct pc_mpack_reader *r, struct pc_msg *msg)
{
    struct pc_slice bytes = pc_mpack_skip(r);
    pc_err err = r->failed ? PC_OK : pc_wire_decode_entry(bytes, &msg->form);
    if (err == PC_E_NOMEM) {
        return err;
    }
    if (err != PC_OK || msg->form.kind != PC_ENTRY_CONFIG) {
        pc_mpack_fail(r);
    }
    return PC_OK;
}

/* Entries first, first + 1, ... */
static pc_err fetched_decode(struct pc_mpack_reader *r, struct pc_fetch *fetch)
{
    uint32_t n = pc_mpack_read_array(r);
    if (n > PC_APPEND_ENTRIES_MAX) {
        pc_mpack_fail(r);
    }
    for (uint32_t i = 0; i < n && !r->failed; i++) {
        struct pc_entry entry;
        pc_err err = pc_wire_read_entry(r, &entry);
        if (err != PC_OK) {
            return err == PC_E_NOMEM ? err : PC_OK;
        }
        if (entry.index - fetch->first != i) {
            pc_mpack_fail(r);
        }
        pc_entries_take(&fetch->v, &entry);
    }
    return PC_OK;
}

static pc_err fetch_decode(struct pc_mpack_reader *r, struct pc_msg *msg)
{
    struct pc_fetch *fetch = &msg->fetch;
    fetch->nonce = pc_mpack_read_uint(r, UINT64_MAX);
    fetch->first = pc_mpack_read_uint(r, UINT64_MAX);
    if (msg->type == PC_MSG_FETCH) {
        fetch->last = pc_mpack_read_uint(r, UINT64_MAX);
        if (fetch->first == 0 || fetch->last < fetch->first) {
            pc_mpack_fail(r);
        }
        return PC_OK;
    }
    fetch->term = pc_mpack_read_uint(r, UINT64_MAX);
    fetch->leads = pc_mpack_read_uint(r, 1) == 1;
    fetch->has_last = pc_mpack_read_uint(r, UINT64_MAX);
    fetch->commit = pc_mpack_read_uint(r, UINT64_MAX);
    return r->failed ? PC_OK : fetched_decode(r, fetch);
}

static void disk_decode(struct pc_mpack_reader *r, uint8_t protocol, struct pc_disk_msg *disk)
{
    disk->level = (enum pc_space_level)pc_mpack_read_uint(r, PC_SPACE_FULL);
    disk->free_bytes = pc_mpack_read_uint(r, UINT64_MAX);
    disk->sync_us = pc_mpack_read_uint(r, UINT64_MAX);
    if (protocol >= PC_PROTOCOL_DISK_SIZE) {
        disk->total_bytes = pc_mpack_read_uint(r, UINT64_MAX);
    }
}

static void digest_decode(struct pc_mpack_reader *r, struct pc_digest_msg *digest)
{
    digest->index = pc_mpack_read_uint(r, UINT64_MAX);
    struct pc_slice hash = pc_mpack_read_bin(r, sizeof digest->hash.b);
    if (digest->index == 0 || hash.len != sizeof digest->hash.b) {
        pc_mpack_fail(r);
        return;
    }
    memcpy(digest->hash.b, hash.data, hash.len);
}

/* How many elements the outer array of a message has; 0 for an unknown type. */
static uint32_t msg_arity(enum pc_msg_type type, uint8_t protocol)
{
    switch (type) {
    case PC_MSG_RAFT:
    case PC_MSG_FORM:
        return 2;
    case PC_MSG_FORWARD:
    case PC_MSG_FORWARD_REFUSED:
    case PC_MSG_FETCH:
        return 4;
    case PC_MSG_DIGEST:
        return 3;
    case PC_MSG_DISK:
        return protocol >= PC_PROTOCOL_DISK_SIZE ? 5 : 4;
    case PC_MSG_ENTRIES:
        return 8;
    case PC_MSG_SNAP_ASK:
    case PC_MSG_SNAP_META:
    case PC_MSG_SNAP_GET:
    case PC_MSG_SNAP_CHUNK:
        return 1 + wire_snapshot_msg_fields(type);
    case PC_MSG_MEMBER:
    case PC_MSG_MEMBER_RESULT:
    case PC_MSG_INVITE:
        return wire_member_arity(type);
    }
    return 0;
}

pc_err pc_wire_decode_msg(struct pc_slice bytes, pc_node_id from, pc_node_id to, struct pc_msg *out)
{
    return pc_wire_decode_msg_as(bytes, pc_protocols_spoken().max, from, to, out);
}

pc_err pc_wire_decode_msg_as(
    struct pc_slice bytes, uint8_t protocol, pc_node_id from, pc_node_id to, struct pc_msg *out)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_msg msg = {.from = from, .to = to};
    uint32_t n = pc_mpack_read_array(&r);
    msg.type = (enum pc_msg_type)pc_mpack_read_uint(&r, PC_MSG_DIGEST);
    uint32_t arity = msg_arity(msg.type, protocol);
    if (r.failed || arity == 0 || n != arity) {
        return PC_E_MALFORMED;
    }
    pc_err err = PC_OK;
    switch (msg.type) {
    case PC_MSG_RAFT:
        msg.raft.from = from;
        msg.raft.to = to;
        err = wire_raft_decode(&r, protocol, &msg.raft);
        break;
    case PC_MSG_FORWARD:
    case PC_MSG_FORWARD_REFUSED:
        err = forward_decode(&r, &msg);
        break;
    case PC_MSG_FORM:
        err = form_decode(&r, &msg);
        break;
    case PC_MSG_FETCH:
    case PC_MSG_ENTRIES:
        err = fetch_decode(&r, &msg);
        break;
    case PC_MSG_SNAP_ASK:
    case PC_MSG_SNAP_META:
    case PC_MSG_SNAP_GET:
    case PC_MSG_SNAP_CHUNK:
        err = wire_snapshot_msg_decode(&r, &msg);
        break;
    case PC_MSG_MEMBER:
    case PC_MSG_MEMBER_RESULT:
    case PC_MSG_INVITE:
        wire_member_decode(&r, &msg);
        break;
    case PC_MSG_DISK:
        disk_decode(&r, protocol, &msg.disk);
        break;
    case PC_MSG_DIGEST:
        digest_decode(&r, &msg.digest);
        break;
    default:
        pc_mpack_fail(&r);
        break;
    }
    if (err == PC_OK) {
        err = pc_mpack_finish(&r);
    }
    if (err == PC_OK && protocol < pc_wire_msg_protocol(&msg)) {
        err = PC_E_MALFORMED;
    }
    if (err != PC_OK) {
        pc_msg_clear(&msg);
        return err;
    }
    *out = msg;
    return PC_OK;
}
