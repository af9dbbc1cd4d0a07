/* What passes between the engine and the log thread: jobs in, completions out, in the order of
 * their queues. */
#include <stdlib.h>

#include "pcache/assert.h"
#include "wal_thread.h"

/* A load that lacks something is answered after this long: the engine asks again at once. */
#define LATE_US UINT64_C(100000)

/* ---- the thread's side */
/* Queues a completion; takes the item over. */
static void report_item(struct pc_wal_thread *thread, struct done_item *item)
{
    item->next = NULL;
    pc_worker_lock(&thread->worker);
    *thread->done_end = item;
    thread->done_end = &item->next;
    if (thread->wal != NULL) { /* it is gone when it could not be opened anew */
        pc_wal_stats(thread->wal, &thread->stats);
    }
    pc_worker_unlock(&thread->worker);
    pc_worker_notify(&thread->worker);
}

static struct done_item *done_item_new(const struct pc_wal_done *done)
{
    struct done_item *item = pc_xalloc(sizeof *item);
    item->done = *done;
    return item;
}

void pc_wal_thread_report(struct pc_wal_thread *thread, const struct pc_wal_done *done)
{
    report_item(thread, done_item_new(done));
}

void pc_wal_thread_report_late(struct pc_wal_thread *thread, const struct pc_wal_done *done)
{
    struct done_item *item = done_item_new(done);
    if (thread->late == NULL) {
        thread->late_at_us = pc_clock_monotonic_us() + LATE_US;
    }
    item->next = thread->late;
    thread->late = item;
}

void pc_wal_thread_flush_late(struct pc_wal_thread *thread)
{
    while (thread->late != NULL) {
        struct done_item *item = thread->late;
        thread->late = item->next;
        report_item(thread, item);
    }
}

/* ---- the engine's side */
void pc_wal_thread_queue(struct pc_wal_thread *thread, struct write_job *job)
{
    pc_worker_lock(&thread->worker);
    PC_ASSERT(!thread->worker.stopping);
    *thread->writes_end = job;
    thread->writes_end = &job->next;
    pc_worker_unlock(&thread->worker);
    pc_worker_wake(&thread->worker); /* not before: it would wake up to a held lock */
}

void pc_wal_thread_write(struct pc_wal_thread *thread, struct pc_wal_batch *batch)
{
    struct write_job *job = pc_xalloc(sizeof *job);
    job->batch = *batch;
    batch->entries = (struct pc_entries){0};
    pc_wal_thread_queue(thread, job);
}

static void add_load(struct pc_wal_thread *thread, const struct load_job *load)
{
    struct load_job *job = pc_xalloc(sizeof *job);
    *job = *load;
    pc_worker_lock(&thread->worker);
    *thread->loads_end = job;
    thread->loads_end = &job->next;
    pc_worker_wake(&thread->worker);
    pc_worker_unlock(&thread->worker);
}

void pc_wal_thread_load(
    struct pc_wal_thread *thread, uint64_t tag, pc_index first, pc_index last, size_t bytes_max)
{
    struct load_job load = {.tag = tag, .first = first, .last = last, .bytes_max = bytes_max};
    add_load(thread, &load);
}

void pc_wal_thread_load_raw(
    struct pc_wal_thread *thread, uint64_t tag, pc_index first, pc_index last, size_t bytes_max)
{
    struct load_job load = {
        .tag = tag, .first = first, .last = last, .bytes_max = bytes_max, .raw = true};
    add_load(thread, &load);
}

bool pc_wal_thread_poll(struct pc_wal_thread *thread, struct pc_wal_done *out)
{
    pc_worker_lock(&thread->worker);
    struct done_item *item = thread->done;
    if (item != NULL) {
        thread->done = item->next;
        if (thread->done == NULL) {
            thread->done_end = &thread->done;
        }
    }
    pc_worker_unlock(&thread->worker);
    if (item == NULL) {
        return false;
    }
    *out = item->done;
    free(item);
    return true;
}

void pc_wal_thread_stats(struct pc_wal_thread *thread, struct pc_wal_stats *stats)
{
    pc_worker_lock(&thread->worker);
    *stats = thread->stats;
    pc_worker_unlock(&thread->worker);
}
