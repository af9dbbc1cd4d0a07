/* AppendEntries at a follower (3.5).
 *
 * Everything a peer can get wrong is looked at before anything is changed. An entry whose chain
 * value does not follow from ours means that the two logs are not what their terms claim: it is
 * refused, counted and never acknowledged. */
#include "raft_int.h"

void raft_append_reject(
    struct pc_raft *r, pc_node_id to, pc_index prev, uint64_t round, pc_index hint)
{
    struct pc_raft_msg answer = raft_msg(r, PC_RAFT_MSG_APPEND_RESP, to);
    PC_ASSERT(hint <= raft_log_last(&r->log));
    answer.u.append_resp.accepted = false;
    answer.u.append_resp.match = prev;
    answer.u.append_resp.round = round;
    answer.u.append_resp.hint = hint;
    /* Below what is here at all everything is committed: no leader has to be told of its term. */
    bool is_known = hint + 1 >= raft_log_oldest(&r->log);
    answer.u.append_resp.hint_term = is_known ? raft_log_term_at(&r->log, hint) : 0;
    answer.u.append_resp.fetching = raft_fetching_until(r);
    raft_send(r, &answer, 0);
}

static void append_accept(struct pc_raft *r, const struct pc_raft_msg *m, pc_index match)
{
    PC_ASSERT(r->role == PC_RAFT_FOLLOWER && m->term == r->term);
    PC_ASSERT(match <= raft_log_last(&r->log));
    struct pc_raft_msg answer = raft_msg(r, PC_RAFT_MSG_APPEND_RESP, m->from);
    answer.u.append_resp.accepted = true;
    answer.u.append_resp.round = m->u.append.round;
    bool is_new_round = m->u.append.round > r->round_echoed;
    r->round_echoed = is_new_round ? m->u.append.round : r->round_echoed;
    answer.u.append_resp.match = match;
    answer.u.append_resp.fetching = raft_fetching_until(r);
    if (answer.u.append_resp.fetching > 0) {
        answer.u.append_resp.hint = raft_log_last(&r->log);
        answer.u.append_resp.hint_term = raft_log_last_term(&r->log);
    }
    r->acked = match > r->acked ? match : r->acked;
    r->snapshot_hints = 0;
    if (match <= r->durable) {
        raft_send(r, &answer, 0);
        return;
    }
    if (m->entries.n > 0) {
        raft_send(r, &answer, raft_write_barrier(r));
    }
    if (is_new_round || m->entries.n == 0) {
        /* Neither a read nor the leader's place may wait for this node's disk: say at once that it
         * was heard, with what is durable. */
        answer.u.append_resp.match = r->durable;
        raft_send(r, &answer, 0);
    }
}

/* Indexes consecutive, terms and stamps not falling, nothing newer than the message's term, and
 * configs that can be read. */
static bool append_is_well_formed(const struct pc_raft *r, const struct pc_raft_msg *m)
{
    pc_term term = m->u.append.prev_term;
    pc_ms stamp = 0;
    if (m->u.append.prev_index > UINT64_MAX - m->entries.n) {
        return false;
    }
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct pc_entry *entry = &m->entries.v[i];
        bool ok = entry->index == m->u.append.prev_index + 1 + i && entry->term >= term &&
                  entry->term > 0 && entry->term <= m->term && entry->stamp_ms >= stamp &&
                  raft_config_is_readable(r, entry);
        if (!ok) {
            return false;
        }
        term = entry->term;
        stamp = entry->stamp_ms;
    }
    return true;
}

/* Does every entry of the message carry the chain value that follows from our log? */
static bool append_chain_fits(const struct pc_raft *r, const struct pc_raft_msg *m)
{
    static const struct pc_hash unknown = {{0}};
    struct pc_hash chain;
    pc_index prev = m->u.append.prev_index;
    bool known = raft_log_chain_at(&r->log, prev, &chain);
    bool told = prev == 0 || !pc_hash_equal(&m->u.append.prev_chain, &unknown);
    if (known && told && !pc_hash_equal(&m->u.append.prev_chain, &chain)) {
        return false;
    }
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct pc_entry *entry = &m->entries.v[i];
        struct pc_hash mine;
        bool is_committed = entry->index <= r->commit;
        if (is_committed && raft_log_chain_at(&r->log, entry->index, &mine) &&
            !pc_hash_equal(&mine, &entry->chain)) {
            return false;
        }
        if (known) {
            struct pc_hash follows = pc_entry_chain(&chain, entry);
            if (!pc_hash_equal(&follows, &entry->chain)) {
                return false;
            }
        }
        chain = entry->chain;
        known = true;
    }
    return true;
}

/* Takes over the entries that are not here yet; the log agrees at prev. False when an entry
 * contradicts one of the same term. */
static bool append_store(struct pc_raft *r, const struct pc_raft_msg *m)
{
    for (size_t i = 0; i < m->entries.n; i++) {
        const struct pc_entry *entry = &m->entries.v[i];
        if (entry->index <= r->commit) {
            continue;
        }
        if (entry->index <= raft_log_last(&r->log)) {
            const struct pc_entry *mine = raft_log_get(&r->log, entry->index);
            PC_ASSERT(mine != NULL); /* above commit: always in memory */
            if (mine->term == entry->term) {
                if (!pc_hash_equal(&mine->chain, &entry->chain)) {
                    return false;
                }
                continue;
            }
            raft_write_truncate(r, entry->index);
        }
        if (entry->stamp_ms < raft_log_last_stamp(&r->log) ||
            entry->term < raft_log_last_term(&r->log)) {
            return false;
        }
        raft_write_append(r, entry);
    }
    return true;
}

static void append_take(struct pc_raft *r, const struct pc_raft_msg *m)
{
    pc_index prev = m->u.append.prev_index;
    pc_index last_new = prev + m->entries.n;
    if (last_new <= r->commit) {
        append_accept(r, m, r->commit); /* late: all of it is committed here already */
        return;
    }
    bool agrees =
        prev <= r->commit || (prev <= raft_log_last(&r->log) &&
                                 raft_log_term_at(&r->log, prev) == m->u.append.prev_term);
    if (!agrees) {
        pc_index hint = raft_log_agree_at_most(&r->log, prev, m->u.append.prev_term);
        raft_append_reject(r, m->from, prev, m->u.append.round, hint);
        return;
    }
    if (m->entries.n > 0 && raft_disk_is_behind(r)) {
        return; /* no answer: the leader's window fills, and it waits */
    }
    if (!append_chain_fits(r, m) || !append_store(r, m)) {
        r->divergence++;
        return;
    }
    pc_index commit = m->u.append.commit < last_new ? m->u.append.commit : last_new;
    if (commit > r->commit) {
        PC_ASSERT(commit <= raft_log_last(&r->log));
        r->commit = commit;
        raft_config_on_commit(r);
    }
    append_accept(r, m, last_new);
}

bool raft_leader_hear(struct pc_raft *r, const struct pc_raft_msg *m, pc_index prev, pc_index hint)
{
    if (r->config.index == 0 && !r->joining) {
        return false; /* it waits for entry 1 to come by formation, or to be invited */
    }
    if (m->term < r->term) {
        /* Our term makes the old leader step down. */
        raft_append_reject(r, m->from, prev, 0, hint);
        return false;
    }
    if (m->term == r->term && r->role == PC_RAFT_LEADER) {
        r->divergence++; /* two leaders in one term: not by our rules */
        return false;
    }
    if (m->term > r->term || r->role != PC_RAFT_FOLLOWER) {
        raft_become_follower(r, m->term, m->from);
    }
    r->leader = m->from;
    r->leader_lost = false;
    r->fresh_until = pc_instant_add_ms(r->now, r->opts.election_min_ms);
    raft_election_reset(r);
    PC_ASSERT(r->role == PC_RAFT_FOLLOWER && r->term == m->term);
    return true;
}

void raft_recv_append(struct pc_raft *r, const struct pc_raft_msg *m)
{
    pc_index prev = m->u.append.prev_index;
    pc_index hint = raft_log_agree_at_most(&r->log, prev, m->u.append.prev_term);
    if (append_is_well_formed(r, m) && raft_leader_hear(r, m, prev, hint)) {
        append_take(r, m);
        raft_clock_follow(r, m->u.append.clock_ms);
    }
}
