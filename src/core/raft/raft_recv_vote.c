/* RequestVote and PreVote (3.4, 3.6.1, 9.6). */
#include "raft_int.h"

static bool vote_log_is_up_to_date(const struct pc_raft *r, const struct pc_raft_msg *m)
{
    pc_term last_term = raft_log_last_term(&r->log);
    if (m->u.vote.last_term != last_term) {
        return m->u.vote.last_term > last_term;
    }
    return m->u.vote.last_index >= raft_log_last(&r->log);
}

/* The answer waits until term and vote are durable, and for nothing else: entries that are still on
 * their way to the disk were counted in the candidate's disfavour, and that does no harm. */
static void vote_answer(struct pc_raft *r, const struct pc_raft_msg *m, bool granted)
{
    struct pc_raft_msg answer = raft_msg(r, PC_RAFT_MSG_VOTE_RESP, m->from);
    answer.u.vote_resp.pre = m->u.vote.pre;
    answer.u.vote_resp.granted = granted;
    answer.u.vote_resp.clock_ms = raft_clock_now(r);
    raft_send(r, &answer, 0);
}

/* A pre-vote changes nothing here: it says what this node would do. */
static void recv_prevote(struct pc_raft *r, const struct pc_raft_msg *m)
{
    bool granted = m->term > r->term && vote_log_is_up_to_date(r, m);
    vote_answer(r, m, granted);
}

void raft_recv_vote(struct pc_raft *r, const struct pc_raft_msg *m)
{
    /* The candidate's config may name voters that this log does not know of yet, this node among
     * them (4.2.3): it is the candidate who counts. */
    if (r->config.index == 0 && raft_log_last(&r->log) == 0) {
        return;
    }
    if (raft_leader_is_fresh(r) && !m->u.vote.transfer) {
        return; /* 4.2.3: not even the term is taken over */
    }
    if (r->doubt != 0) {
        return; /* it cannot tell whose log is up to date: its own was longer than it is */
    }
    if (m->u.vote.pre) {
        recv_prevote(r, m);
        return;
    }
    if (raft_disk_is_behind(r)) {
        return;
    }
    if (m->term < r->term) {
        vote_answer(r, m, false);
        return;
    }
    if (m->term > r->term) {
        raft_become_follower(r, m->term, 0);
    }
    bool may = r->vote == 0 || r->vote == m->from;
    if (!may || r->leader != 0 || !vote_log_is_up_to_date(r, m)) {
        vote_answer(r, m, false);
        return;
    }
    if (r->role == PC_RAFT_PRECANDIDATE) {
        /* It asked in this term without having voted in it: somebody else stands already. */
        raft_become_follower(r, r->term, 0);
    }
    PC_ASSERT(r->role == PC_RAFT_FOLLOWER);
    if (r->vote == 0) {
        r->vote = m->from;
        raft_write_vote(r);
    }
    raft_election_reset(r);
    PC_ASSERT(r->vote == m->from && r->leader == 0);
    vote_answer(r, m, true);
}
