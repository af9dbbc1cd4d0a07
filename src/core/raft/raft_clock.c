/* Cluster time: one clock for deadlines, carried by the log.
 *
 * A node's estimate is a stamp it was told plus the monotonic time since. A new leader starts from
 * the lower median of its vote quorum's estimates, never below the last stamp in its log; so one
 * member with a wild clock moves nothing, and a change of leader neither shortens nor restarts a
 * time-to-live. Wall clocks count only after a start from disk alone. */
#include "raft_int.h"

pc_ms pc_raft_clock_ms(const struct pc_raft *r, struct pc_instant now)
{
    pc_ms estimate = r->clock_ms + pc_instant_ms_between(r->clock_at, now);
    pc_ms last = raft_log_last_stamp(&r->log);
    estimate = estimate > last ? estimate : last;
    /* Above that no message of this node would be taken any more. */
    return estimate < PC_CLOCK_MS_MAX ? estimate : PC_CLOCK_MS_MAX;
}

pc_ms raft_clock_now(const struct pc_raft *r)
{
    return pc_raft_clock_ms(r, r->now);
}

pc_ms raft_clock_stamp(const struct pc_raft *r)
{
    pc_ms stamp = raft_clock_now(r);
    PC_ASSERT(stamp >= raft_log_last_stamp(&r->log));
    return stamp;
}

void raft_clock_follow(struct pc_raft *r, pc_ms leader_ms)
{
    PC_ASSERT(r->role != PC_RAFT_LEADER);
    r->clock_ms = leader_ms;
    r->clock_at = r->now;
}

void raft_clock_lead(struct pc_raft *r)
{
    PC_ASSERT(r->role == PC_RAFT_CANDIDATE);
    uint64_t estimates[PC_VOTERS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < r->config.voters_n; i++) {
        if (r->votes[i]) {
            estimates[n++] = r->vote_clocks[i];
        }
    }
    PC_ASSERT(n >= raft_quorum_size(r->config.voters_n));
    r->clock_ms = raft_quorum_median(estimates, n);
    r->clock_at = r->now;
}
