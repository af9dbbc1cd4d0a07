/* Raft messages, each an array behind [PC_MSG_RAFT, ...]:
 *
 *     VOTE         type term pre transfer last_index last_term
 *     VOTE_RESP    type term pre granted clock_ms
 *     APPEND       type term prev_index prev_term prev_chain commit round clock_ms [entry ...]
 *     APPEND_RESP  type term accepted match hint hint_term round [fetching, when it is not 0]
 *     READ         type term ctx index            (READ_RESP the same)
 *     TIMEOUT_NOW  type term
 *     SNAPSHOT     type term first commit round clock_ms
 *
 * There is one way to encode a message: an APPEND_RESP with a fetching of 0 has no such field. */
#include <string.h>

#include "pcache/protocol.h"
#include "pcache/wire_entry.h"
#include "wire_int.h"

/* A sender ends a message at the first entry that would take it over the target, so that its bodies
 * have less than the target and one entry more, whatever their number adds to them. */
PC_STATIC_ASSERT(PC_APPEND_BYTES_MAX + PC_ENTRY_BYTES_MAX +
                         PC_APPEND_ENTRIES_MAX * PC_ENTRY_OVERHEAD_BYTES_MAX + 4096 <=
                     PC_FRAME_BYTES_MAX,
    "a message of as many entries as there may be in one fits a frame");

/* How many values follow for a type, type and term included; 0 = no such type. An APPEND_RESP may
 * have one more. */
static uint32_t raft_arity(enum pc_raft_msg_type type)
{
    switch (type) {
    case PC_RAFT_MSG_VOTE:
        return 6;
    case PC_RAFT_MSG_VOTE_RESP:
        return 5;
    case PC_RAFT_MSG_APPEND:
        return 9;
    case PC_RAFT_MSG_APPEND_RESP:
        return 7;
    case PC_RAFT_MSG_READ:
    case PC_RAFT_MSG_READ_RESP:
        return 4;
    case PC_RAFT_MSG_TIMEOUT_NOW:
        return 2;
    case PC_RAFT_MSG_SNAPSHOT:
        return 6;
    }
    return 0;
}

static void append_encode(const struct pc_raft_msg *m, struct pc_mpack_writer *w)
{
    pc_mpack_write_uint(w, m->u.append.prev_index);
    pc_mpack_write_uint(w, m->u.append.prev_term);
    pc_mpack_write_bin(w, pc_slice_of(m->u.append.prev_chain.b, sizeof m->u.append.prev_chain.b));
    pc_mpack_write_uint(w, m->u.append.commit);
    pc_mpack_write_uint(w, m->u.append.round);
    pc_mpack_write_uint(w, m->u.append.clock_ms);
    pc_mpack_write_array(w, (uint32_t)m->entries.n);
    for (size_t i = 0; i < m->entries.n; i++) {
        pc_wire_encode_entry(&m->entries.v[i], w->buf);
    }
}

/* Does it say so, where this protocol is spoken? Who does not know of fetching sends entries. */
static bool raft_says_fetching(const struct pc_raft_msg *m, uint8_t protocol)
{
    return protocol >= PC_PROTOCOL_MEMBERS && m->type == PC_RAFT_MSG_APPEND_RESP &&
           m->u.append_resp.fetching > 0;
}

static void append_resp_encode(
    const struct pc_raft_msg *m, uint8_t protocol, struct pc_mpack_writer *w)
{
    pc_mpack_write_bool(w, m->u.append_resp.accepted);
    pc_mpack_write_uint(w, m->u.append_resp.match);
    pc_mpack_write_uint(w, m->u.append_resp.hint);
    pc_mpack_write_uint(w, m->u.append_resp.hint_term);
    pc_mpack_write_uint(w, m->u.append_resp.round);
    if (raft_says_fetching(m, protocol)) {
        pc_mpack_write_uint(w, m->u.append_resp.fetching);
    }
}

static void snapshot_encode(const struct pc_raft_msg *m, struct pc_mpack_writer *w)
{
    pc_mpack_write_uint(w, m->u.snapshot.first);
    pc_mpack_write_uint(w, m->u.snapshot.commit);
    pc_mpack_write_uint(w, m->u.snapshot.round);
    pc_mpack_write_uint(w, m->u.snapshot.clock_ms);
}

void wire_raft_encode(const struct pc_raft_msg *m, uint8_t protocol, struct pc_mpack_writer *w)
{
    pc_mpack_write_array(w, raft_arity(m->type) + (raft_says_fetching(m, protocol) ? 1 : 0));
    pc_mpack_write_uint(w, m->type);
    pc_mpack_write_uint(w, m->term);
    switch (m->type) {
    case PC_RAFT_MSG_VOTE:
        pc_mpack_write_bool(w, m->u.vote.pre);
        pc_mpack_write_bool(w, m->u.vote.transfer);
        pc_mpack_write_uint(w, m->u.vote.last_index);
        pc_mpack_write_uint(w, m->u.vote.last_term);
        break;
    case PC_RAFT_MSG_VOTE_RESP:
        pc_mpack_write_bool(w, m->u.vote_resp.pre);
        pc_mpack_write_bool(w, m->u.vote_resp.granted);
        pc_mpack_write_uint(w, m->u.vote_resp.clock_ms);
        break;
    case PC_RAFT_MSG_APPEND:
        append_encode(m, w);
        break;
    case PC_RAFT_MSG_APPEND_RESP:
        append_resp_encode(m, protocol, w);
        break;
    case PC_RAFT_MSG_READ:
    case PC_RAFT_MSG_READ_RESP:
        pc_mpack_write_uint(w, m->u.read.ctx);
        pc_mpack_write_uint(w, m->u.read.index);
        break;
    case PC_RAFT_MSG_TIMEOUT_NOW:
        break;
    case PC_RAFT_MSG_SNAPSHOT:
        snapshot_encode(m, w);
        break;
    }
}

static pc_err entries_decode(struct pc_mpack_reader *r, struct pc_entries *entries)
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
        pc_entries_take(entries, &entry);
    }
    return PC_OK;
}

static pc_err append_decode(struct pc_mpack_reader *r, struct pc_raft_msg *m)
{
    m->u.append.prev_index = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.append.prev_term = pc_mpack_read_uint(r, UINT64_MAX);
    struct pc_slice chain = pc_mpack_read_bin(r, sizeof m->u.append.prev_chain.b);
    if (chain.len == sizeof m->u.append.prev_chain.b) {
        memcpy(m->u.append.prev_chain.b, chain.data, chain.len);
    } else {
        pc_mpack_fail(r);
    }
    m->u.append.commit = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.append.round = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.append.clock_ms = pc_mpack_read_uint(r, PC_CLOCK_MS_MAX);
    return entries_decode(r, &m->entries);
}

static void append_resp_decode(struct pc_mpack_reader *r, struct pc_raft_msg *m, bool is_fetching)
{
    m->u.append_resp.accepted = pc_mpack_read_bool(r);
    m->u.append_resp.match = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.append_resp.hint = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.append_resp.hint_term = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.append_resp.round = pc_mpack_read_uint(r, UINT64_MAX);
    if (is_fetching) {
        m->u.append_resp.fetching = pc_mpack_read_uint(r, UINT64_MAX);
        if (m->u.append_resp.fetching == 0) {
            pc_mpack_fail(r);
        }
    }
}

static void snapshot_decode(struct pc_mpack_reader *r, struct pc_raft_msg *m)
{
    m->u.snapshot.first = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.snapshot.commit = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.snapshot.round = pc_mpack_read_uint(r, UINT64_MAX);
    m->u.snapshot.clock_ms = pc_mpack_read_uint(r, PC_CLOCK_MS_MAX);
}

pc_err wire_raft_decode(struct pc_mpack_reader *r, uint8_t protocol, struct pc_raft_msg *m)
{
    uint32_t n = pc_mpack_read_array(r);
    m->type = (enum pc_raft_msg_type)pc_mpack_read_uint(r, PC_RAFT_MSG_SNAPSHOT);
    m->term = pc_mpack_read_uint(r, PC_TERM_MAX);
    bool is_fetching = protocol >= PC_PROTOCOL_MEMBERS && m->type == PC_RAFT_MSG_APPEND_RESP &&
                       n == raft_arity(m->type) + 1;
    if (r->failed || raft_arity(m->type) == 0 || (n != raft_arity(m->type) && !is_fetching)) {
        pc_mpack_fail(r);
        return PC_OK;
    }
    switch (m->type) {
    case PC_RAFT_MSG_VOTE:
        m->u.vote.pre = pc_mpack_read_bool(r);
        m->u.vote.transfer = pc_mpack_read_bool(r);
        m->u.vote.last_index = pc_mpack_read_uint(r, UINT64_MAX);
        m->u.vote.last_term = pc_mpack_read_uint(r, UINT64_MAX);
        break;
    case PC_RAFT_MSG_VOTE_RESP:
        m->u.vote_resp.pre = pc_mpack_read_bool(r);
        m->u.vote_resp.granted = pc_mpack_read_bool(r);
        m->u.vote_resp.clock_ms = pc_mpack_read_uint(r, PC_CLOCK_MS_MAX);
        break;
    case PC_RAFT_MSG_APPEND:
        return append_decode(r, m);
    case PC_RAFT_MSG_APPEND_RESP:
        append_resp_decode(r, m, is_fetching);
        break;
    case PC_RAFT_MSG_READ:
    case PC_RAFT_MSG_READ_RESP:
        m->u.read.ctx = pc_mpack_read_uint(r, UINT64_MAX);
        m->u.read.index = pc_mpack_read_uint(r, UINT64_MAX);
        break;
    case PC_RAFT_MSG_TIMEOUT_NOW:
        break;
    case PC_RAFT_MSG_SNAPSHOT:
        snapshot_decode(r, m);
        break;
    }
    return PC_OK;
}
