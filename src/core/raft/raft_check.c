/* The invariants that one machine's state can show; those between machines are the simulator's.
 *
 *   R1  applied <= commit <= last, durable <= last
 *   R2  everything above commit is in memory
 *   R3  indexes are consecutive, terms and stamps do not fall, the chain links
 *   R4  a leader voted for itself and leads its own term
 *   R5  progress: match < next, match <= last, in flight within the window
 *   R7  under doubt: a follower without a vote, and no durable entry of a later term
 *   R6  a held message waits for a write that is not durable yet
 *   R8  configs: the last one is in force, all but the first are above commit and in the log
 *   R9  terms are known from the one before the oldest entry on; what is gone was committed
 *   R10 a leader's peers are the members of the config in force and those who leave, and exactly
 *       its voters count: never a learner
 *   R11 what is acknowledged in this term is in the log; a peer that needs a snapshot is sent none
 *       of it */
#include "raft_int.h"

static void check_log(const struct pc_raft *r)
{
    pc_index last = raft_log_last(&r->log);
    PC_ASSERT(r->applied <= r->commit && r->commit <= last && r->durable <= last); /* R1 */
    PC_ASSERT(raft_log_first(&r->log) <= r->commit + 1);                           /* R2 */
    struct pc_hash chain = r->log.base.chain;
    pc_term term = 0;
    pc_ms stamp = r->log.base_stamp_ms;
    size_t bytes = 0;
    for (pc_index i = raft_log_first(&r->log); i <= last; i++) { /* R3 */
        const struct pc_entry *entry = raft_log_get(&r->log, i);
        struct pc_hash follows = pc_entry_chain(&chain, entry);
        PC_ASSERT(pc_hash_equal(&follows, &entry->chain));
        PC_ASSERT(entry->term >= term && entry->stamp_ms >= stamp);
        PC_ASSERT(entry->term == raft_log_term_at(&r->log, i));
        chain = entry->chain;
        term = entry->term;
        stamp = entry->stamp_ms;
        bytes += pc_entry_bytes(entry);
    }
    PC_ASSERT(bytes == r->log.bytes);
    PC_ASSERT(raft_log_last_term(&r->log) <= r->term);
}

static void check_configs(const struct pc_raft *r)
{
    const struct raft_configs *configs = &r->configs; /* R8 */
    PC_ASSERT(configs->n > 0 && configs->v[configs->n - 1].index == r->config.index);
    PC_ASSERT(configs->v[0].index <= r->commit || configs->v[0].index == 0);
    PC_ASSERT(r->config.index <= raft_log_last(&r->log));
    for (size_t i = 1; i < configs->n; i++) {
        PC_ASSERT(configs->v[i].index > r->commit);
        PC_ASSERT(configs->v[i].index > configs->v[i - 1].index);
        PC_ASSERT(raft_config_is_valid(&configs->v[i]));
    }
}

static void check_start(const struct pc_raft *r)
{
    const struct raft_log *log = &r->log; /* R9 */
    PC_ASSERT(log->disk_first > 0 && log->disk_first <= r->commit + 1);
    pc_index oldest = raft_log_oldest(log);
    PC_ASSERT((log->runs_n == 0) == (raft_log_last(log) == 0));
    PC_ASSERT(log->runs_n == 0 || log->runs[0].first <= (oldest > 1 ? oldest - 1 : 1));
    for (size_t i = 1; i < log->runs_n; i++) {
        PC_ASSERT(log->runs[i - 1].first < log->runs[i].first);
        PC_ASSERT(log->runs[i - 1].term < log->runs[i].term);
    }
}

static void check_peers(const struct pc_raft *r)
{
    size_t voters = 0, members = 0;
    for (size_t i = 0; i < r->peers_n; i++) { /* R10 */
        const struct raft_progress *p = &r->peers[i];
        bool votes = raft_config_has_voter(&r->config, p->id);
        bool learns = raft_config_has_learner(&r->config, p->id);
        PC_ASSERT(p->id != r->opts.id && p->votes == votes && p->leaving == !(votes || learns));
        voters += votes ? 1 : 0;
        members += votes || learns ? 1 : 0;
        PC_ASSERT_IMPLIES(p->state == RAFT_SNAPSHOT, p->inflight_n == 0 && !p->loading); /* R11 */
    }
    bool votes = raft_config_has_voter(&r->config, r->opts.id);
    bool learns = raft_config_has_learner(&r->config, r->opts.id);
    PC_ASSERT(voters + (votes ? 1 : 0) == r->config.voters_n);
    PC_ASSERT(members + (votes || learns ? 1 : 0) == r->config.voters_n + r->config.learners_n);
}

static void check_leader(const struct pc_raft *r)
{
    check_peers(r);
    PC_ASSERT(r->vote == r->opts.id && r->leader == r->opts.id); /* R4 */
    PC_ASSERT(raft_log_term_at(&r->log, r->term_start) == r->term);
    PC_ASSERT(r->round_quorum <= r->round);
    for (size_t i = 0; i < r->peers_n; i++) { /* R5 */
        const struct raft_progress *p = &r->peers[i];
        PC_ASSERT(p->match < p->next && p->match <= raft_log_last(&r->log));
        PC_ASSERT(p->next <= raft_log_last(&r->log) + 1);
        PC_ASSERT(p->inflight_n <= PC_INFLIGHT_MSGS_MAX);
        PC_ASSERT_IMPLIES(p->inflight_n == 0, p->inflight_bytes == 0);
        PC_ASSERT(p->round_acked <= r->round);
    }
}

void pc_raft_check(const struct pc_raft *r)
{
    check_log(r);
    check_configs(r);
    check_start(r);
    PC_ASSERT(r->acked <= raft_log_last(&r->log)); /* R11 */
    PC_ASSERT_IMPLIES(r->suspended, r->role == PC_RAFT_LEADER && r->opts.suspend_alone);
    PC_ASSERT_IMPLIES(r->suspended, r->reads_n == 0);
    if (r->role == PC_RAFT_LEADER) {
        check_leader(r);
    }
    if (r->doubt != 0) { /* R7 */
        PC_ASSERT(r->role == PC_RAFT_FOLLOWER && r->vote == 0 && r->term > r->doubt);
        PC_ASSERT(raft_log_term_at(&r->log, r->durable) <= r->doubt);
    }
    PC_ASSERT(r->synced_seq <= r->write_seq && r->synced_seq <= r->voted_seq);
    PC_ASSERT(r->term_seq <= raft_write_barrier(r));
    PC_ASSERT_IMPLIES(r->transferring, r->role == PC_RAFT_LEADER && r->transfer_to != 0);
    PC_ASSERT_IMPLIES(r->role != PC_RAFT_LEADER, r->peers_n == 0 && r->reads_n == 0);
    for (size_t i = 0; i < r->held_n; i++) { /* R6 */
        bool waits = r->held[i].need > r->synced_seq || r->held[i].need_vote > r->voted_seq;
        PC_ASSERT(waits);
        PC_ASSERT(r->held[i].need <= raft_write_barrier(r));
        PC_ASSERT(r->held[i].need_vote <= raft_write_barrier(r));
    }
    size_t unsynced = 0;
    for (size_t i = 0; i < r->marks_n; i++) {
        unsynced += r->marks[i].bytes;
    }
    PC_ASSERT(unsynced == r->unsynced_bytes);
    for (size_t i = 1; i < r->marks_n; i++) {
        PC_ASSERT(r->marks[i - 1].seq < r->marks[i].seq);
    }
}
