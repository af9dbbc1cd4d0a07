/* Local health (Lifeguard): how far a member mistrusts itself.
 *
 * A counter from 0 to health_max. Whatever speaks for a fault on our side raises it: a probe that
 * failed while the helpers, which should have said at least that they cannot reach the target
 * either, were silent too; and that others suspect us. An ack in time lowers it. The times of a
 * probe are stretched by one more than it, so a member that is starved of CPU, or sits behind a bad
 * link, asks less often, waits longer, and hardly accuses anybody. Nor does it turn the suspicions
 * of others into deaths as soon as they do (swim_suspect.c): it is the last to hear refutations.
 *
 *     +1  a probe failed and there was nobody to help      -1  a probe was answered
 *     +1  for each helper whose nack is missing
 *     +1  we had to refute what was said of us */
#include "swim_int.h"

#include "pcache/assert.h"

void pc_swim_health_worsen(struct pc_swim *swim, uint32_t by)
{
    uint32_t room = swim->opts.health_max - swim->health;
    PC_ASSERT(swim->health <= swim->opts.health_max);
    swim->health += by < room ? by : room;
}

void pc_swim_health_improve(struct pc_swim *swim)
{
    PC_ASSERT(swim->health <= swim->opts.health_max);
    swim->health -= swim->health > 0;
}

pc_ms pc_swim_health_stretch(const struct pc_swim *swim, pc_ms ms)
{
    PC_ASSERT(ms > 0);
    return ms * (1 + (pc_ms)swim->health);
}
