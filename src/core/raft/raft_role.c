/* Changes of role. Every way into a role goes through here.
 *
 *             timeout            pre-vote quorum         vote quorum
 *   FOLLOWER ---------> PRECANDIDATE -------> CANDIDATE -------> LEADER
 *      ^  ^                  |                   |                 |
 *      |  +------------------+-------------------+                 |
 *      |         higher term, or a leader of this term             |
 *      +-----------------------------------------------------------+
 *                higher term, or no majority heard for an election timeout */
#include "raft_int.h"

#include <string.h>

int raft_voter_position(const struct pc_raft *r, pc_node_id id)
{
    for (size_t i = 0; i < r->config.voters_n; i++) {
        if (r->config.voters[i] == id) {
            return (int)i;
        }
    }
    return -1;
}

static void role_leave_leader(struct pc_raft *r)
{
    raft_read_refuse_all(r);
    raft_transfer_end(r);
    r->transfer_failed_to = 0;
    /* What this leader's clock said stays the estimate, now as a follower. */
    r->clock_ms = raft_clock_now(r);
    r->clock_at = r->now;
    r->peers_n = 0;
    r->suspended = false;
}

/* 4.2.2. The commit index was told to everybody in this turn; whoever is most advanced has the
 * entry or wins nothing, and then the others' timeouts decide. */
void raft_maybe_retire(struct pc_raft *r)
{
    bool is_out = r->role == PC_RAFT_LEADER && raft_voter_position(r, r->opts.id) < 0 &&
                  r->config.index <= r->commit;
    if (!is_out) {
        return;
    }
    const struct raft_progress *best = raft_transfer_best(r);
    if (best != NULL) {
        PC_ASSERT(best->votes && !best->leaving);
        struct pc_raft_msg m = raft_msg(r, PC_RAFT_MSG_TIMEOUT_NOW, best->id);
        raft_send(r, &m, 0);
    }
    raft_become_follower(r, r->term, 0);
}

void raft_become_follower(struct pc_raft *r, pc_term term, pc_node_id leader)
{
    PC_ASSERT(term >= r->term);
    if (r->role == PC_RAFT_LEADER) {
        role_leave_leader(r);
    }
    if (term > r->term) {
        r->term = term;
        r->vote = 0;
        r->round_echoed = 0;
        r->acked = 0;
        raft_write_vote(r);
    }
    r->role = PC_RAFT_FOLLOWER;
    r->leader = leader;
    r->campaign_transfer = false;
    raft_election_reset(r);
}

/* Counts where this node is a voter of the config in force: it may stand without. */
static void role_vote_for_self(struct pc_raft *r)
{
    int self = raft_voter_position(r, r->opts.id);
    if (self >= 0) {
        r->votes[self] = true;
        r->vote_clocks[self] = raft_clock_now(r);
    }
}

void raft_become_precandidate(struct pc_raft *r)
{
    PC_ASSERT(r->role != PC_RAFT_LEADER);
    PC_ASSERT(raft_config_may_stand(r));
    r->role = PC_RAFT_PRECANDIDATE;
    r->leader = 0;
    memset(r->votes, 0, sizeof r->votes);
    role_vote_for_self(r);
    raft_election_reset(r);
}

void raft_become_candidate(struct pc_raft *r)
{
    PC_ASSERT(r->role != PC_RAFT_LEADER);
    PC_ASSERT(raft_config_may_stand(r));
    r->role = PC_RAFT_CANDIDATE;
    r->leader = 0;
    r->term++;
    r->vote = r->opts.id;
    r->round_echoed = 0;
    r->acked = 0;
    raft_write_vote(r);
    memset(r->votes, 0, sizeof r->votes);
    role_vote_for_self(r);
    r->elections_started++;
    raft_election_reset(r);
}

void raft_become_leader(struct pc_raft *r)
{
    PC_ASSERT(r->role == PC_RAFT_CANDIDATE);
    PC_ASSERT(r->vote == r->opts.id);
    raft_clock_lead(r);
    r->role = PC_RAFT_LEADER;
    r->leader = r->opts.id;
    r->elections_won++;
    r->campaign_transfer = false;
    r->leader_lost = false;
    r->round = 0;
    r->round_quorum = 0;
    r->reads_n = 0;
    r->heartbeat_at = r->now;
    r->peers_n = 0;
    r->suspended = false;
    r->fetching = 0;
    raft_peers_sync(r);
    /* 3.6.2: nothing of earlier terms counts as committed until an entry of this term is. */
    struct pc_entry noop = {
        .index = raft_log_last(&r->log) + 1,
        .term = r->term,
        .stamp_ms = raft_clock_stamp(r),
        .kind = PC_ENTRY_NOOP,
    };
    struct pc_hash chain;
    bool known = raft_log_chain_at(&r->log, noop.index - 1, &chain);
    PC_ASSERT(known);
    noop.chain = pc_entry_chain(&chain, &noop);
    r->term_start = noop.index;
    raft_write_append(r, &noop);
}
