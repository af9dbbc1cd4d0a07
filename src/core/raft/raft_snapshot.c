/* A log that does not begin at 1: what is gone from the disk, who needs a snapshot, and a snapshot
 * taken over.
 *
 *      1 .... first - 1 | first ........ commit ........ last
 *      in a snapshot    | on disk or in memory
 *      (its term known) |
 *
 * Why taking over a snapshot of `base` loses nothing that was acknowledged to anybody. Its content
 * is the committed entries 1..base.index, which every leader to come has (leader completeness).
 *
 * 1. The log here has that very entry: by the chain everything up to it is the same. Nothing is
 *    removed; only commit rises, to an entry that is committed.
 * 2. It ends before base.index: what goes are entries up to there, and each of them that is
 *    committed is in the snapshot.
 * 3. It has another entry e at base.index. Entries at or below base.index: as in 2. An entry d
 * above it rests on e by its chain; a committed one rests on the committed entry. So d is not
 * committed.
 * 4. Nor will d be, though this node may have acknowledged it in its present term T to a leader L
 *    that is still alive. Let T1 > T be the first term whose leader did not have e: there is one,
 *    for L has e, and the leader that committed past `base` has not. The voters of T1 form a
 *    majority. None of them had acknowledged an entry of term T at or behind e to L before it
 * voted: its vote went to a log that was not behind its own, whose last term was T at most (a later
 * one would have brought e), and a log of term T as long as its own has e. And after that vote it
 * acknowledges nothing in T. So L does not find a majority for any entry of T behind e, with or
 * without this node, which is in T and hence no voter of T1.
 * 5. Therefore L is no leader that matters; when this node has acknowledged e to it in T, it goes
 * on to T + 1 <= T1, so that never in one term an entry is acknowledged and then dropped. L learns
 *    by that to step down.
 * 6. What was promised of the old log and is still held back is dropped: to the world, lost
 * messages.
 * 7. Votes: the log that the node compares with a candidate's ends at base afterwards, a committed
 *    entry. Who is refused for it could not become leader of a later term with its log anyway. */
#include "raft_int.h"

/* ---- the leader */

void raft_snapshot_hint(struct pc_raft *r, struct raft_progress *p)
{
    PC_ASSERT(r->role == PC_RAFT_LEADER && p->state == RAFT_SNAPSHOT);
    struct pc_raft_msg m = raft_msg(r, PC_RAFT_MSG_SNAPSHOT, p->id);
    m.u.snapshot.first = raft_log_oldest(&r->log);
    m.u.snapshot.commit = r->commit;
    m.u.snapshot.round = r->round;
    m.u.snapshot.clock_ms = raft_clock_now(r);
    PC_ASSERT(m.u.snapshot.first > 1 && m.u.snapshot.first <= r->commit + 1);
    p->beat = false;
    p->heartbeat = false;
    raft_send(r, &m, 0);
}

/* ---- the follower */

static void snapshot_report(struct pc_raft *r, pc_index at_least)
{
    struct pc_raft_effects *fx = r->fx;
    if (fx->snapshots_n == fx->snapshots_cap) {
        fx->snapshots_cap = fx->snapshots_cap == 0 ? 4 : fx->snapshots_cap * 2;
        fx->snapshots = pc_xrealloc(fx->snapshots, fx->snapshots_cap * sizeof *fx->snapshots);
    }
    fx->snapshots[fx->snapshots_n++] =
        (struct pc_raft_snapshot_need){.at_least = at_least, .leader = r->leader};
}

void raft_recv_snapshot(struct pc_raft *r, const struct pc_raft_msg *m)
{
    pc_index first = m->u.snapshot.first;
    if (first < 2 || !raft_leader_hear(r, m, first - 1, raft_log_last(&r->log))) {
        return;
    }
    PC_ASSERT(r->role == PC_RAFT_FOLLOWER && r->leader == m->from);
    if (first - 1 > r->commit) {
        /* A log that goes on behind `first` may be the leader's, only not known committed: then the
         * next thing is an APPEND. Where the hints go on, it is another one. */
        r->snapshot_hints += r->snapshot_hints < RAFT_SNAPSHOT_HINTS ? 1 : 0;
        if (raft_log_last(&r->log) < first - 1 || r->snapshot_hints == RAFT_SNAPSHOT_HINTS) {
            snapshot_report(r, first - 1);
        }
    }
    raft_append_reject(r, m->from, first - 1, m->u.snapshot.round, raft_log_last(&r->log));
    raft_clock_follow(r, m->u.snapshot.clock_ms);
}

void raft_compacted(struct pc_raft *r, pc_index first)
{
    PC_ASSERT(first > 0 && first <= r->commit + 1 && first <= r->durable + 1);
    raft_log_compact(&r->log, first);
}

void raft_install(struct pc_raft *r, const struct pc_raft_install *install)
{
    const struct pc_raft_base *base = &install->base;
    PC_ASSERT(base->index > r->commit && base->term > 0);
    PC_ASSERT(install->config->index > 0 && install->config->index <= base->index);
    const struct pc_entry *mine = raft_log_get(&r->log, base->index);
    bool has =
        mine != NULL && mine->term == base->term && pc_hash_equal(&mine->chain, &base->chain);
    bool has_acked_another = !has && r->acked >= base->index;
    pc_term term = r->term + (has_acked_another ? 1 : 0);
    term = term > base->term ? term : base->term;
    if (term > r->term || r->role != PC_RAFT_FOLLOWER) {
        raft_become_follower(r, term, 0);
    }
    if (!has) {
        raft_write_reset(r, base);
    }
    PC_ASSERT(raft_log_last(&r->log) >= base->index);
    r->commit = base->index;
    r->applied = base->index;
    r->durable = r->durable > base->index ? r->durable : base->index;
    r->snapshot_hints = 0;
    raft_config_on_install(r, install->config);
    if (base->term > r->doubt) {
        r->doubt = 0; /* the leader of that term had everything that was committed before */
    }
}
