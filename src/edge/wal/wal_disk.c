/* What the log thread measures of its disk, for whoever asked (pc_wal_thread_watch): the free space
 * of its file system, and how long the last syncs took. Both are facts; what they mean is the
 * node's business (src/node/node_disk.c).
 *
 * It looks between groups, so never while the disk hangs: the engine sees that by what does not
 * come back. The median rather than the mean: one sync that took a second because something else
 * wrote is no slow disk. */
#include "wal_thread.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define LOOK_EVERY_US UINT64_C(1000000)
/* Syncs longer ago say nothing about the disk now, and fewer than these nothing at all. */
#define RECENT_US UINT64_C(5000000)
#define RECENT_MIN 3

void pc_wal_disk_note_sync(struct pc_wal_thread *thread)
{
    struct wal_disk *disk = &thread->disk;
    const struct pc_wal_stats *stats = &thread->wal->stats;
    bool is_anew = stats->syncs < disk->syncs; /* the log was opened again */
    uint64_t syncs = is_anew ? 0 : stats->syncs - disk->syncs;
    if (syncs > 0) {
        struct wal_sync_time *slot = &disk->recent[disk->recent_n++ % WAL_SYNCS_KEPT];
        slot->at_us = pc_clock_monotonic_us();
        slot->us = (stats->sync_us_total - disk->sync_us) / syncs;
    }
    disk->syncs = stats->syncs;
    disk->sync_us = stats->sync_us_total;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* The lower median of the syncs that ended lately; 0 when they are too few. */
static uint64_t recent_sync_us(const struct wal_disk *disk, uint64_t now_us)
{
    uint64_t v[WAL_SYNCS_KEPT];
    size_t kept = disk->recent_n < WAL_SYNCS_KEPT ? (size_t)disk->recent_n : WAL_SYNCS_KEPT;
    size_t n = 0;
    for (size_t i = 0; i < kept; i++) {
        if (now_us - disk->recent[i].at_us < RECENT_US) {
            v[n++] = disk->recent[i].us;
        }
    }
    if (n < RECENT_MIN) {
        return 0;
    }
    qsort(v, n, sizeof v[0], compare_u64);
    uint64_t median = v[(n - 1) / 2];
    return median > 0 ? median : 1;
}

/* Space that the log itself has taken or given back: what the next look is not to wait for. */
static uint64_t space_taken(const struct pc_wal *wal)
{
    return wal->segments_n + wal->fills_n + (pc_wal_spare_is_complete(wal) ? 1 : 0);
}

bool pc_wal_disk_is_due(const struct pc_wal_thread *thread)
{
    const struct wal_disk *disk = &thread->disk;
    bool may = disk->watched && thread->wal != NULL && !thread->failed;
    return may && (disk->now || space_taken(thread->wal) != disk->taken ||
                      pc_clock_monotonic_us() >= disk->look_at_us);
}

void pc_wal_disk_look(struct pc_wal_thread *thread)
{
    struct wal_disk *disk = &thread->disk;
    const struct pc_wal *wal = thread->wal;
    struct pc_error ignored;
    struct pc_wal_done done = {.type = PC_WAL_DISK};
    PC_ASSERT(pc_wal_disk_is_due(thread));
    disk->now = false;
    disk->taken = space_taken(wal);
    disk->look_at_us = pc_clock_monotonic_us() + LOOK_EVERY_US;
    pc_err err = wal->fs->space(
        wal->fs->context, wal->dir, &done.disk.free_bytes, &done.disk.total_bytes, &ignored);
    if (err != PC_OK) {
        done.disk = (struct pc_disk_report){0}; /* unknown: the writes themselves will tell */
    }
    done.disk.sync_us = recent_sync_us(disk, pc_clock_monotonic_us());
    pc_wal_thread_report(thread, &done);
}

void pc_wal_thread_watch(struct pc_wal_thread *thread)
{
    pc_worker_lock(&thread->worker);
    thread->watch = true;
    pc_worker_wake(&thread->worker);
    pc_worker_unlock(&thread->worker);
}
