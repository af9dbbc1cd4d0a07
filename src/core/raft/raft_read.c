/* Linearizable reads without a log entry: ReadIndex (6.4).
 *
 * 1. A read waits until an entry of the leader's own term is committed: before that the commit
 * index may be behind what an earlier leader acknowledged.
 * 2. At the end of a turn all waiting reads get the commit index and the number of a fresh round.
 * 3. Every AppendEntries carries the newest round. When a majority has echoed it, no newer leader
 * can have committed anything before the round began: the reads of that round are confirmed.
 *
 * Rounds are counters of this leader's term, never numbers a caller chose (etcd-io/raft#397). One
 * round is under way at a time: reads that come meanwhile share the next one. */
#include "raft_int.h"

static void read_answer(struct pc_raft *r, const struct raft_read *read, pc_index index)
{
    if (read->from == 0) {
        raft_read_report(r, read->ctx, index);
        return;
    }
    struct pc_raft_msg m = raft_msg(r, PC_RAFT_MSG_READ_RESP, read->from);
    m.u.read.ctx = read->ctx;
    m.u.read.index = index;
    raft_send(r, &m, 0);
}

void raft_read_add(struct pc_raft *r, uint64_t ctx, pc_node_id from)
{
    PC_ASSERT(r->role == PC_RAFT_LEADER);
    struct raft_read read = {.ctx = ctx, .from = from};
    if (r->suspended) { /* who asks asks again, and that without end */
        read_answer(r, &read, 0);
        return;
    }
    if (r->reads_n == r->reads_cap) {
        r->reads_cap = r->reads_cap == 0 ? 16 : r->reads_cap * 2;
        r->reads = pc_xrealloc(r->reads, r->reads_cap * sizeof *r->reads);
    }
    r->reads[r->reads_n++] = read;
}

void raft_read_begin_round(struct pc_raft *r)
{
    PC_ASSERT(r->role == PC_RAFT_LEADER && r->round_quorum <= r->round);
    bool under_way = r->round > r->round_quorum;
    if (under_way || r->reads_n == 0 || r->commit < r->term_start) {
        return;
    }
    r->round++;
    for (size_t i = 0; i < r->reads_n; i++) {
        PC_ASSERT(r->reads[i].index == 0);
        r->reads[i].index = r->commit;
        r->reads[i].round = r->round;
    }
    for (size_t i = 0; i < r->peers_n; i++) {
        r->peers[i].beat = true;
    }
    raft_read_maybe_confirm(r); /* a cluster of one needs nobody */
}

static uint64_t read_round_of(const struct raft_progress *p)
{
    return p->round_acked;
}

void raft_read_maybe_confirm(struct pc_raft *r)
{
    uint64_t acked[PC_VOTERS_MAX];
    size_t n = raft_peers_voters(r, read_round_of, r->round, acked);
    uint64_t quorum = raft_quorum_reached(acked, n);
    if (quorum <= r->round_quorum) {
        return;
    }
    PC_ASSERT(r->role == PC_RAFT_LEADER && quorum <= r->round);
    r->round_quorum = quorum;
    size_t kept = 0;
    for (size_t i = 0; i < r->reads_n; i++) {
        if (r->reads[i].index > 0 && r->reads[i].round <= quorum) {
            read_answer(r, &r->reads[i], r->reads[i].index);
        } else {
            r->reads[kept++] = r->reads[i];
        }
    }
    r->reads_n = kept;
}

void raft_read_refuse_all(struct pc_raft *r)
{
    for (size_t i = 0; i < r->reads_n; i++) {
        read_answer(r, &r->reads[i], 0);
    }
    r->reads_n = 0;
}
