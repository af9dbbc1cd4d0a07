/* Answers to AppendEntries at the leader. They may come late, twice, or out of order. */
#include "raft_int.h"

static void append_resp_rejected(
    struct pc_raft *r, struct raft_progress *p, const struct pc_raft_msg *m)
{
    pc_index prev = m->u.append_resp.match;
    bool stale = (p->state == RAFT_PROBE && prev != p->next - 1) ||
                 (p->state == RAFT_PIPELINE && prev <= p->match);
    if (stale) {
        return;
    }
    /* One step back per term, not per entry: where our log has no term above the follower's hint.
     */
    pc_index agree =
        raft_log_agree_at_most(&r->log, m->u.append_resp.hint, m->u.append_resp.hint_term);
    PC_ASSERT(agree <= raft_log_last(&r->log));
    if (p->state == RAFT_SNAPSHOT) {
        if (agree + 1 >= raft_log_oldest(&r->log)) {
            raft_progress_on_rejected(p, agree + 1); /* it has what it lacked, from wherever */
        }
        return;
    }
    pc_index before = prev > 0 ? prev - 1 : 0;
    raft_progress_on_rejected(p, (agree < before ? agree : before) + 1);
}

void raft_recv_append_resp(struct pc_raft *r, const struct pc_raft_msg *m)
{
    if (m->term > r->term) {
        raft_become_follower(r, m->term, 0);
        return;
    }
    struct raft_progress *p =
        r->role == PC_RAFT_LEADER && m->term == r->term ? raft_peer_find(r, m->from) : NULL;
    if (p == NULL || m->u.append_resp.match > raft_log_last(&r->log) ||
        m->u.append_resp.round > r->round) {
        return;
    }
    PC_ASSERT(r->role == PC_RAFT_LEADER && p->round_acked <= r->round);
    p->heard_at = r->now;
    if (m->u.append_resp.round > p->round_acked) {
        p->round_acked = m->u.append_resp.round;
        raft_read_maybe_confirm(r);
    }
    r->suspended = r->suspended && !p->votes; /* a replica makes no quorum with this node */
    if (!m->u.append_resp.accepted) {
        append_resp_rejected(r, p, m);
    } else if (raft_progress_on_accepted(p, m->u.append_resp.match)) {
        raft_commit_maybe_advance(r);
        raft_transfer_maybe_send(r);
    }
    raft_fetch_note(r, p, m);
}
