#define _GNU_SOURCE
#include <time.h>

#include "pcache/assert.h"
#include "pcache/os.h"

static struct timespec clock_read(clockid_t clock)
{
    struct timespec now;
    int rc = clock_gettime(clock, &now);
    PC_ASSERT(rc == 0);
    PC_ASSERT(now.tv_sec >= 0);
    return now;
}

/* BOOTTIME, not MONOTONIC: a host that was suspended must find its deadlines passed. */
struct pc_instant pc_clock_now(void)
{
    struct timespec now = clock_read(CLOCK_BOOTTIME);
    uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    return (struct pc_instant){.us = us};
}

uint64_t pc_clock_monotonic_us(void)
{
    struct timespec now = clock_read(CLOCK_MONOTONIC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

pc_ms pc_clock_wall_ms(void)
{
    struct timespec now = clock_read(CLOCK_REALTIME);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
