/* Leadership transfer (3.10): stop taking proposals, bring the target up to date, tell it to
 * campaign at once. When it has not taken over within an election timeout, this leader goes on. */
#include "raft_int.h"

/* The most advanced voter that answers; the one that did not take over last time only when there is
 * no other. */
struct raft_progress *raft_transfer_best(struct pc_raft *r)
{
    struct raft_progress *best = NULL;
    for (size_t i = 0; i < r->peers_n; i++) {
        struct raft_progress *p = &r->peers[i];
        if (!p->votes || pc_instant_ms_between(p->heard_at, r->now) >= r->opts.election_min_ms) {
            continue;
        }
        bool failed = p->id == r->transfer_failed_to;
        bool best_failed = best != NULL && best->id == r->transfer_failed_to;
        if (best == NULL || best_failed || (!failed && p->match > best->match)) {
            best = p;
        }
    }
    return best;
}

void raft_transfer_begin(struct pc_raft *r, pc_node_id target)
{
    if (r->role != PC_RAFT_LEADER || r->transferring) {
        return;
    }
    struct raft_progress *p = target != 0 ? raft_peer_find(r, target) : raft_transfer_best(r);
    if (p == NULL || !p->votes) {
        return;
    }
    PC_ASSERT(p->id != r->opts.id && r->transfer_to == 0);
    r->transferring = true;
    r->transfer_sent = false;
    r->transfer_to = p->id;
    r->transfer_until = pc_instant_add_ms(r->now, r->opts.election_min_ms);
    raft_transfer_maybe_send(r);
}

/* A leader whose disk hangs still hears and is heard, so nobody would replace it; but in the end it
 * has to stop taking writes. It hands over to a peer whose disk is ahead of its own, if there is
 * one; where all disks are slow, staying is no worse. */
void raft_transfer_maybe_begin(struct pc_raft *r)
{
    if (!raft_disk_is_stalled(r) || !pc_instant_is_due(r->hand_over_after, r->now)) {
        return;
    }
    struct raft_progress *best = raft_transfer_best(r);
    if (best != NULL && best->match > r->durable) {
        r->hand_over_after = pc_instant_add_ms(r->now, 2 * r->opts.election_max_ms);
        raft_transfer_begin(r, best->id);
    }
}

void raft_transfer_maybe_send(struct pc_raft *r)
{
    if (!r->transferring || r->transfer_sent) {
        return;
    }
    struct raft_progress *p = raft_peer_find(r, r->transfer_to);
    PC_ASSERT(p != NULL && p->id != r->opts.id);
    if (p->match < raft_log_last(&r->log)) {
        return;
    }
    struct pc_raft_msg m = raft_msg(r, PC_RAFT_MSG_TIMEOUT_NOW, p->id);
    raft_send(r, &m, 0);
    r->transfer_sent = true;
}

void raft_transfer_give_up(struct pc_raft *r)
{
    PC_ASSERT(r->transferring && r->transfer_to != 0);
    r->transfer_failed_to = r->transfer_to;
    raft_transfer_end(r);
}

void raft_transfer_end(struct pc_raft *r)
{
    r->transferring = false;
    r->transfer_sent = false;
    r->transfer_to = 0;
}

void raft_recv_timeout_now(struct pc_raft *r, const struct pc_raft_msg *m)
{
    /* Acted on only in its term and from its leader: a late one is void. */
    if (m->term != r->term || m->from != r->leader || r->role != PC_RAFT_FOLLOWER) {
        return;
    }
    if (!raft_config_may_stand(r)) {
        return;
    }
    r->campaign_transfer = true;
    raft_election_campaign(r);
}
