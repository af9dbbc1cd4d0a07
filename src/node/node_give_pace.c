/* How fast this node gives entries to those that are far behind: as fast as they ask, as long as
 * its own writes do not come to the disk later for it. The leader waits for those: with a voter
 * that is away, for those of every other node, perhaps.
 *
 *     a write handed to the disk ---- took_us ----> it is durable
 *
 *     nothing is given      calm_us follows took_us: so long it takes when all is well
 *     something is given    busy_us does.  busy_us well above calm_us: the pause between two ranges
 *                           doubles; back near it: the pause gets shorter, a sixteenth at a time,
 *                           for what was relieved shows at once. No writes: no pause.
 *
 * The time between the two events has in it whatever may be short: the disk, which may serve the
 * peer too, the log thread, the processors, on which the peer may run. So nothing has to be known
 * of machines. Who gives does not know how the leader fares, but feels what it would.
 *
 * The pause has an upper bound, for a node that is away is missed: at worst a range each 20 ms, all
 * peers together, some 50,000 small entries a second of each giver. The one that asks has its
 * answers in time with it (node_catchup_int.h), and where it does not, the leader sends. */
#include "node_int.h"

/* Given so long ago, it bears on nothing any more. */
#define GIVE_RECENT_MS 100
/* A pause begins with this ... */
#define GIVE_PAUSE_US_MIN 1000
/* ... and is judged anew so often, that what was changed shows first. */
#define GIVE_JUDGE_MS 10
/* What own writes may take longer beside half of the usual: no more than some range takes. */
#define GIVE_SLACK_US 500
/* A clock that jumped says nothing. */
#define GIVE_TOOK_US_MAX 10000000

static bool gave_lately(const struct pc_node *n)
{
    return n->pace.gave && pc_instant_ms_between(n->pace.gave_at, n->now) <
                               GIVE_RECENT_MS + n->pace.pause_us / 1000;
}

static void smooth(uint64_t *value, uint64_t sample, unsigned share)
{
    *value = *value == 0 ? sample : *value - *value / share + sample / share;
}

static void pace_judge(struct node_pace *pace)
{
    uint64_t bound = pace->calm_us + pace->calm_us / 2 + GIVE_SLACK_US;
    if (pace->busy_us > bound) {
        uint64_t longer =
            pace->pause_us < GIVE_PAUSE_US_MIN ? GIVE_PAUSE_US_MIN : 2 * pace->pause_us;
        pace->pause_us = longer < NODE_GIVE_PAUSE_US_MAX ? longer : NODE_GIVE_PAUSE_US_MAX;
    } else if (pace->busy_us < bound - bound / 4) {
        uint64_t shorter = pace->pause_us - pace->pause_us / 16;
        pace->pause_us = shorter < GIVE_PAUSE_US_MIN / 8 ? 0 : shorter;
    }
}

void node_pace_written(struct pc_node *n, uint64_t seq)
{
    if (n->pace.seq == 0) {
        n->pace.seq = seq;
        n->pace.written_at = n->now;
    }
}

void node_pace_stored(struct pc_node *n, uint64_t seq)
{
    struct node_pace *pace = &n->pace;
    if (pace->seq == 0 || seq < pace->seq || n->now.us < pace->written_at.us) {
        return;
    }
    uint64_t took_us = n->now.us - pace->written_at.us;
    pace->seq = 0;
    pace->stored_at = n->now;
    took_us = took_us < GIVE_TOOK_US_MAX ? took_us : GIVE_TOOK_US_MAX;
    if (!gave_lately(n)) {
        smooth(&pace->calm_us, took_us, 32);
        pace->busy_us = 0;
        return;
    }
    if (pace->calm_us == 0) {
        pace->calm_us = took_us; /* there was no calm yet: nothing better is known */
    }
    smooth(&pace->busy_us, took_us, 8);
    if (pc_instant_ms_between(pace->judged_at, n->now) >= GIVE_JUDGE_MS) {
        pace->judged_at = n->now;
        pace_judge(pace);
    }
}

void node_pace_given(struct pc_node *n, size_t slot)
{
    if (pc_instant_ms_between(n->pace.stored_at, n->now) >= GIVE_RECENT_MS && n->pace.seq == 0) {
        n->pace.pause_us = 0; /* nobody writes */
    }
    n->pace.last_slot = slot;
    n->pace.gave = true;
    n->pace.gave_at = n->now;
}

struct pc_instant node_pace_next_at(const struct pc_node *n)
{
    struct pc_instant next = n->pace.gave_at;
    next.us += n->pace.pause_us;
    return next;
}

void node_pace_check(const struct pc_node *n)
{
    PC_ASSERT(n->pace.pause_us <= NODE_GIVE_PAUSE_US_MAX);
    PC_ASSERT(n->pace.calm_us <= GIVE_TOOK_US_MAX && n->pace.busy_us <= GIVE_TOOK_US_MAX);
    PC_ASSERT_IMPLIES(n->pace.seq != 0, n->pace.seq <= n->disk.written_seq);
}
