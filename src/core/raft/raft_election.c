/* Who becomes leader: section 3.4, with PreVote (9.6) and the rule that a voter which hears a
 * leader does not help to replace it (4.2.3). One addition: the transport may know that the
 * leader's process has died. That voids the freshness on this node, for campaigning and for
 * granting; it is only ever a reason to start an election earlier, so nothing safe depends on it.
 */
#include "raft_int.h"

void raft_election_reset(struct pc_raft *r)
{
    pc_ms min = r->opts.election_min_ms;
    pc_ms max = r->opts.election_max_ms;
    if (r->leader_lost && r->role != PC_RAFT_FOLLOWER) {
        /* A split vote right after a death: everybody knows that there is no leader to disturb. */
        min = r->opts.lost_leader_jitter_ms;
        max = 4 * r->opts.lost_leader_jitter_ms;
    }
    PC_ASSERT(r->role != PC_RAFT_LEADER && min <= max);
    pc_ms wait = pc_prng_between(&r->prng, min, max);
    r->election_at = pc_instant_add_ms(r->now, wait);
}

bool raft_leader_is_fresh(const struct pc_raft *r)
{
    if (r->role == PC_RAFT_LEADER) {
        return true; /* check-quorum ends this within an election timeout */
    }
    return r->leader != 0 && !pc_instant_is_due(r->fresh_until, r->now);
}

void raft_leader_lost(struct pc_raft *r, pc_node_id peer)
{
    if (peer == 0 || peer != r->leader || r->role == PC_RAFT_LEADER) {
        return;
    }
    r->leader = 0;
    r->leader_lost = true;
    r->fresh_until = r->now;
    pc_ms wait = pc_prng_between(&r->prng, 0, r->opts.lost_leader_jitter_ms);
    r->election_at = pc_instant_min(r->election_at, pc_instant_add_ms(r->now, wait));
}

static void election_ask(struct pc_raft *r, pc_node_id voter)
{
    bool pre = r->role == PC_RAFT_PRECANDIDATE;
    PC_ASSERT(pre || r->role == PC_RAFT_CANDIDATE);
    PC_ASSERT_IMPLIES(!pre, r->vote == r->opts.id);
    struct pc_raft_msg m = raft_msg(r, PC_RAFT_MSG_VOTE, voter);
    m.term = pre ? r->term + 1 : r->term;
    m.u.vote.pre = pre;
    m.u.vote.transfer = r->campaign_transfer;
    m.u.vote.last_index = raft_log_last(&r->log);
    m.u.vote.last_term = raft_log_last_term(&r->log);
    raft_send(r, &m, 0);
}

static void election_ask_all(struct pc_raft *r)
{
    for (size_t i = 0; i < r->config.voters_n; i++) {
        if (r->config.voters[i] != r->opts.id) {
            election_ask(r, r->config.voters[i]);
        }
    }
}

/* The question of a campaign that began while the peer was away was lost. Where it was the peer
 * that the quorum lacked, its answer ends the outage. */
void raft_election_peer_up(struct pc_raft *r, pc_node_id peer)
{
    bool stands = r->role == PC_RAFT_PRECANDIDATE || r->role == PC_RAFT_CANDIDATE;
    int position = raft_voter_position(r, peer);
    if (stands && position >= 0 && !r->votes[position]) {
        election_ask(r, peer);
    }
}

static size_t election_votes(const struct pc_raft *r)
{
    size_t votes = 0;
    for (size_t i = 0; i < r->config.voters_n; i++) {
        votes += r->votes[i] ? 1 : 0;
    }
    PC_ASSERT(votes <= r->config.voters_n);
    return votes;
}

static void election_stand(struct pc_raft *r)
{
    PC_ASSERT(!raft_disk_is_behind(r)); /* its own vote has to be written */
    raft_become_candidate(r);
    election_ask_all(r);
    raft_election_count(r);
}

void raft_election_count(struct pc_raft *r)
{
    if (election_votes(r) < raft_quorum_size(r->config.voters_n)) {
        return;
    }
    if (r->role == PC_RAFT_PRECANDIDATE) {
        if (!raft_disk_is_behind(r)) { /* it may be by now: the next timeout asks again */
            election_stand(r);
        }
    } else if (r->role == PC_RAFT_CANDIDATE) {
        raft_become_leader(r);
    }
}

void raft_election_campaign(struct pc_raft *r)
{
    PC_ASSERT(r->role != PC_RAFT_LEADER);
    if (!raft_config_may_stand(r) || r->doubt != 0 || raft_disk_is_behind(r) ||
        raft_disk_is_stalled(r)) {
        r->campaign_transfer = false;
        raft_election_reset(r);
        return;
    }
    if (r->campaign_transfer) {
        election_stand(r);
        r->campaign_transfer = false; /* the leader's order covers one election (3.10) */
        return;
    }
    raft_become_precandidate(r);
    election_ask_all(r);
    raft_election_count(r);
}
