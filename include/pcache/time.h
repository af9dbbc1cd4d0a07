/* time.h: instants of the monotonic clock (CLOCK_BOOTTIME), kept apart from durations by type.
 *
 * The core never reads a clock; it is told the instant with every event. */
#ifndef PCACHE_TIME_H
#define PCACHE_TIME_H

#include "pcache/types.h"

/* Microseconds since an arbitrary start (the host's boot). Comparable within one host only. */
struct pc_instant {
    uint64_t us;
};

#define PC_INSTANT_NEVER ((struct pc_instant){.us = UINT64_MAX})

/* `ms` after t; PC_INSTANT_NEVER when that cannot be represented. */
static inline struct pc_instant pc_instant_add_ms(struct pc_instant t, pc_ms ms)
{
    if (t.us == UINT64_MAX || ms > (UINT64_MAX - t.us) / 1000) {
        return PC_INSTANT_NEVER;
    }
    return (struct pc_instant){.us = t.us + ms * 1000};
}

/* Whole milliseconds from `start` to `end`; 0 when end is not after start. */
static inline pc_ms pc_instant_ms_between(struct pc_instant start, struct pc_instant end)
{
    return end.us > start.us ? (end.us - start.us) / 1000 : 0;
}

/* True when `t` has been reached at `now`. */
static inline bool pc_instant_is_due(struct pc_instant t, struct pc_instant now)
{
    return t.us <= now.us;
}

/* The earlier one. */
static inline struct pc_instant pc_instant_min(struct pc_instant a, struct pc_instant b)
{
    return a.us < b.us ? a : b;
}

#endif
