/* Answers to RequestVote and PreVote. */
#include "raft_int.h"

void raft_recv_vote_resp(struct pc_raft *r, const struct pc_raft_msg *m)
{
    int position = raft_voter_position(r, m->from);
    if (position < 0) {
        return;
    }
    if (m->term > r->term) {
        raft_become_follower(r, m->term, 0);
        return;
    }
    bool asked = m->u.vote_resp.pre ? r->role == PC_RAFT_PRECANDIDATE
                                    : r->role == PC_RAFT_CANDIDATE && m->term == r->term;
    if (!asked || !m->u.vote_resp.granted) {
        return;
    }
    PC_ASSERT((size_t)position < r->config.voters_n && m->from != r->opts.id);
    r->votes[position] = true;
    r->vote_clocks[position] = m->u.vote_resp.clock_ms;
    raft_election_count(r);
}
