/* A follower asks for a read index, and gets one (6.4). */
#include "raft_int.h"

void raft_recv_read(struct pc_raft *r, const struct pc_raft_msg *m)
{
    if (r->role == PC_RAFT_LEADER && m->term <= r->term) {
        raft_read_add(r, m->u.read.ctx, m->from);
        return;
    }
    struct pc_raft_msg answer = raft_msg(r, PC_RAFT_MSG_READ_RESP, m->from);
    answer.u.read.ctx = m->u.read.ctx;
    answer.u.read.index = 0;
    raft_send(r, &answer, 0);
}

void raft_recv_read_resp(struct pc_raft *r, const struct pc_raft_msg *m)
{
    /* An answer of another term may come from a leader that was deposed meanwhile. */
    bool usable = m->term == r->term && m->from == r->leader;
    raft_read_report(r, m->u.read.ctx, usable ? m->u.read.index : 0);
}
