/* The leader's side of replication (3.5, 10.2): what to send to whom, and when an entry is
 * committed. */
#include "raft_int.h"

void raft_propose(struct pc_raft *r, const struct pc_raft_proposal *v, size_t n)
{
    PC_ASSERT(pc_raft_can_propose(r));
    raft_config_assert_step(r, v, n);
    struct pc_hash chain;
    bool known = raft_log_chain_at(&r->log, raft_log_last(&r->log), &chain);
    PC_ASSERT(known);
    for (size_t i = 0; i < n; i++) {
        struct pc_entry entry = {
            .index = raft_log_last(&r->log) + 1,
            .term = r->term,
            .stamp_ms = raft_clock_stamp(r),
            .req = v[i].req,
            .body = v[i].body,
            .kind = v[i].kind,
        };
        entry.chain = pc_entry_chain(&chain, &entry);
        chain = entry.chain;
        raft_write_append(r, &entry);
    }
}

/* An AppendEntries to p that follows on prev; entries are added by the caller. */
static struct pc_raft_msg append_begin(
    struct pc_raft *r, const struct raft_progress *p, pc_index prev)
{
    struct pc_raft_msg m = raft_msg(r, PC_RAFT_MSG_APPEND, p->id);
    m.u.append.prev_index = prev;
    m.u.append.prev_term = raft_log_term_at(&r->log, prev);
    m.u.append.prev_chain = (struct pc_hash){{0}};
    (void)raft_log_chain_at(&r->log, prev, &m.u.append.prev_chain);
    m.u.append.commit = r->commit;
    m.u.append.round = r->round;
    m.u.append.clock_ms = raft_clock_now(r);
    return m;
}

static void append_finish(
    struct pc_raft *r, struct raft_progress *p, struct pc_raft_msg *m, size_t bytes)
{
    pc_index last = m->u.append.prev_index + m->entries.n;
    if (m->entries.n > 0) {
        raft_progress_on_sent(p, last, bytes);
    } else {
        p->heartbeat = false;
    }
    p->commit_sent = r->commit < last ? r->commit : last;
    p->beat = false;
    raft_send(r, m, 0);
}

static bool append_has_room(const struct pc_raft_msg *m, size_t bytes, size_t more)
{
    return m->entries.n < PC_APPEND_ENTRIES_MAX &&
           (m->entries.n == 0 || bytes + more <= PC_APPEND_BYTES_MAX);
}

/* One message with entries from memory. */
static void append_from_memory(struct pc_raft *r, struct raft_progress *p)
{
    struct pc_raft_msg m = append_begin(r, p, p->next - 1);
    size_t bytes = 0;
    pc_index last = raft_log_last(&r->log);
    for (pc_index i = p->next; i <= last; i++) {
        const struct pc_entry *entry = raft_log_get(&r->log, i);
        PC_ASSERT(entry != NULL);
        size_t more = pc_entry_bytes(entry);
        if (!append_has_room(&m, bytes, more)) {
            break;
        }
        pc_entries_push(&m.entries, entry);
        bytes += more;
    }
    append_finish(r, p, &m, bytes);
}

/* Whether all of one load may be sent when it comes: what does not fit the window then has been
 * read for nothing. Two messages in a row hold more than one message's bytes or entries. */
static bool load_has_room(const struct raft_progress *p)
{
    const size_t msgs =
        2 * (PC_LOAD_BYTES_MAX / PC_APPEND_BYTES_MAX +
                PC_LOAD_BYTES_MAX / PC_ENTRY_OVERHEAD_BYTES_MAX / PC_APPEND_ENTRIES_MAX);
    PC_ASSERT(msgs < PC_INFLIGHT_MSGS_MAX);
    return p->inflight_n == 0 ||
           (p->inflight_n + msgs <= PC_INFLIGHT_MSGS_MAX &&
               p->inflight_bytes + PC_LOAD_BYTES_MAX <= PC_INFLIGHT_BYTES_MAX);
}

static void peer_send_entries(struct pc_raft *r, struct raft_progress *p)
{
    pc_index last = raft_log_last(&r->log);
    PC_ASSERT(p->next >= raft_log_oldest(&r->log));
    while (p->next <= last && raft_progress_is_open(p)) {
        if (p->next < raft_log_first(&r->log)) {
            bool may_load = !p->load_failed || p->heartbeat;
            if (may_load && load_has_room(p)) {
                p->loading = true;
                p->load_failed = false;
                raft_load_request(r, p->id, p->next, raft_log_first(&r->log) - 1);
            }
            break;
        }
        append_from_memory(r, p);
    }
}

static void peer_replicate(struct pc_raft *r, struct raft_progress *p)
{
    if (p->state != RAFT_SNAPSHOT && p->next < raft_log_oldest(&r->log)) {
        raft_progress_on_gone(p);
    }
    if (p->state == RAFT_SNAPSHOT) {
        if (p->beat || p->heartbeat) {
            raft_snapshot_hint(r, p);
        }
        return;
    }
    if (!raft_fetch_waits(r, p)) {
        peer_send_entries(r, p);
    }
    pc_index known = p->next - 1 < r->commit ? p->next - 1 : r->commit;
    bool tell_commit = p->state == RAFT_PIPELINE && p->commit_sent < known;
    if (p->beat || p->heartbeat || tell_commit) {
        struct pc_raft_msg m = append_begin(r, p, p->next - 1);
        append_finish(r, p, &m, 0);
    }
}

void raft_replicate(struct pc_raft *r)
{
    PC_ASSERT(r->role == PC_RAFT_LEADER);
    for (size_t i = 0; i < r->peers_n; i++) {
        peer_replicate(r, &r->peers[i]);
    }
    raft_peers_let_go(r);
}

/* One message with as many of the n > 0 entries as it holds. Returns how many. */
static size_t append_from_load(
    struct pc_raft *r, struct raft_progress *p, const struct pc_entry *v, size_t n)
{
    struct pc_raft_msg m = append_begin(r, p, p->next - 1);
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        PC_ASSERT(v[i].index == p->next + i);
        PC_ASSERT(v[i].term == raft_log_term_at(&r->log, v[i].index));
        size_t more = pc_entry_bytes(&v[i]);
        if (!append_has_room(&m, bytes, more)) {
            break;
        }
        pc_entries_push(&m.entries, &v[i]);
        bytes += more;
    }
    size_t sent = m.entries.n;
    PC_ASSERT(sent > 0);
    append_finish(r, p, &m, bytes);
    return sent;
}

void raft_recv_loaded(struct pc_raft *r, pc_node_id peer, const struct pc_entries *entries)
{
    struct raft_progress *p = r->role == PC_RAFT_LEADER ? raft_peer_find(r, peer) : NULL;
    if (p == NULL || !p->loading) {
        return;
    }
    p->loading = false;
    /* A load that fails may go on failing: it is tried at the pace of heartbeats. What a rejection
     * has overtaken, and what the window has no room for, is asked for anew with the next turn. */
    p->load_failed = entries->n == 0;
    bool fits = entries->n > 0 && entries->v[0].index == p->next &&
                p->next <= raft_log_last(&r->log) && p->next >= raft_log_oldest(&r->log) &&
                !raft_fetch_waits(r, p);
    size_t sent = 0;
    while (fits && sent < entries->n && raft_progress_is_open(p)) {
        sent += append_from_load(r, p, entries->v + sent, entries->n - sent);
    }
}

static uint64_t replicate_match_of(const struct raft_progress *p)
{
    return p->match;
}

/* 3.6.2: counting replicas commits entries of the current term only; older ones come along. */
void raft_commit_maybe_advance(struct pc_raft *r)
{
    PC_ASSERT(r->role == PC_RAFT_LEADER);
    uint64_t reached[PC_VOTERS_MAX];
    size_t n = raft_peers_voters(r, replicate_match_of, r->durable, reached);
    pc_index index = raft_quorum_reached(reached, n);
    if (index > r->commit && raft_log_term_at(&r->log, index) == r->term) {
        PC_ASSERT(index <= raft_log_last(&r->log));
        r->commit = index;
        raft_config_on_commit(r);
    }
}

static uint64_t replicate_heard_of(const struct raft_progress *p)
{
    return p->heard_at.us;
}

/* When a majority, this node included if it votes, was last heard: the newest instant t such that
 * most voters answered at t or later. */
static struct pc_instant heartbeat_quorum_heard_at(const struct pc_raft *r)
{
    uint64_t heard[PC_VOTERS_MAX];
    size_t n = raft_peers_voters(r, replicate_heard_of, r->now.us, heard);
    return (struct pc_instant){.us = raft_quorum_reached(heard, n)};
}

void raft_heartbeat(struct pc_raft *r)
{
    PC_ASSERT(r->role == PC_RAFT_LEADER);
    pc_ms silence = pc_instant_ms_between(heartbeat_quorum_heard_at(r), r->now);
    bool may_stay =
        r->opts.suspend_alone && r->config.voters_n == 2 && raft_voter_position(r, r->opts.id) >= 0;
    r->suspended = silence >= r->opts.election_max_ms && may_stay;
    if (r->suspended) {
        raft_read_refuse_all(r);
    }
    if (silence >= r->opts.election_max_ms && !may_stay) {
        raft_become_follower(r, r->term, 0); /* check-quorum, 6.2 */
        return;
    }
    for (size_t i = 0; i < r->peers_n; i++) {
        r->peers[i].heartbeat = true;
    }
    r->heartbeat_at = pc_instant_add_ms(r->now, r->opts.heartbeat_ms);
    raft_transfer_maybe_begin(r);
}
