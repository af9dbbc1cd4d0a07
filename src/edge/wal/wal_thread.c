/* The log thread. The engine queues batches and loads; the thread takes everything that has queued
 * up, joins what may be joined to one large batch, writes, syncs once, and reports the highest
 * sequence number. While the disk works on one group the next one gathers: the slower the disk, the
 * larger the groups. Loads are answered before a group is written, so they wait for one sync at
 * most.
 *
 *               a write lacks space (or a               there is again
 *               descriptor, or memory)
 *      RUNNING -----------------------> FULL ------------------------> RUNNING
 *         |                              | retried every second, loads and votes go on
 *         +------- any other failure ----+--> FAILED (loads go on, nothing is promised any more)
 *
 * The queues have no bound of their own: blocking the engine would stop its heartbeats. The engine
 * bounds them: core/raft takes no entries, of clients or of a leader, while RAFT_WRITES_BEHIND
 * writes or RAFT_UNSYNCED_BYTES_MAX of entries wait for their sync, and one peer has one load under
 * way. What comes on top is what was accepted in the turn that reached the bound.
 *
 * Idle time is used: the next segment gets its zeros, a little at a time, and a note says how far
 * the log is durable. Files of dropped segments go one in a turn, whether there is much to write or
 * nothing: what waits, waits for one of them at most. */
#include "wal_thread.h"

#include <stdlib.h>

#include "pcache/assert.h"

#define GROUP_BYTES_MAX (4u << 20)
/* Written before a sync. Whoever uses the disk waits while it takes that much, and until then the
 * engine does not hear of what is durable already; a disk is about as fast with twice as much. */
#define SYNC_BYTES_MAX (8u << 20)
#define RETRY_US UINT64_C(1000000)
/* Long enough that a busy node never writes notes, short enough to come before most accidents. */
#define NOTE_AFTER_US UINT64_C(50000)
/* Behind this share of a full segment its successor is prepared also between groups. */
#define SPARE_HURRY_PERCENT 75

static void write_job_free(struct write_job *job)
{
    pc_entries_clear(&job->batch.entries);
    free(job);
}

static void drop_backlog(struct pc_wal_thread *thread)
{
    while (thread->backlog != NULL) {
        struct write_job *job = thread->backlog;
        thread->backlog = job->next;
        write_job_free(job);
    }
    thread->backlog_end = &thread->backlog;
}

void pc_wal_thread_fail(struct pc_wal_thread *thread, const struct pc_error *error)
{
    thread->failed = true;
    drop_backlog(thread);
    struct pc_wal_done done = {.type = PC_WAL_FAILED, .err = error->code, .error = *error};
    pc_wal_thread_report(thread, &done);
}

static size_t entries_bytes(const struct pc_entries *entries)
{
    size_t bytes = 0;
    for (size_t i = 0; i < entries->n; i++) {
        bytes += pc_entry_bytes(&entries->v[i]);
    }
    return bytes;
}

/* Moves the entries of `from` to the end of `to`. */
static void join_entries(struct pc_entries *to, struct pc_entries *from)
{
    if (from->n == 0) {
        return;
    }
    if (to->n + from->n > to->cap) {
        to->cap = (to->n + from->n) * 2;
        to->v = pc_xrealloc(to->v, to->cap * sizeof *to->v);
    }
    for (size_t i = 0; i < from->n; i++) {
        to->v[to->n++] = from->v[i];
    }
    free(from->v);
    *from = (struct pc_entries){0};
}

/* Joins the jobs behind the first one to it as long as they only append. What the batch says is
 * then final: a try after FULL writes exactly the same bytes again. */
static void join_backlog(struct pc_wal_thread *thread)
{
    struct write_job *head = thread->backlog;
    size_t bytes = entries_bytes(&head->batch.entries);
    while (head->next != NULL && !head->next->is_reset && !head->next->batch.has_vote &&
           head->next->batch.truncate_from == 0) {
        struct write_job *job = head->next;
        bytes += entries_bytes(&job->batch.entries);
        if (bytes > GROUP_BYTES_MAX) {
            break;
        }
        join_entries(&head->batch.entries, &job->batch.entries);
        head->batch.seq = job->batch.seq;
        head->batch.commit =
            job->batch.commit > head->batch.commit ? job->batch.commit : head->batch.commit;
        head->next = job->next;
        write_job_free(job);
    }
    if (head->next == NULL) {
        thread->backlog_end = &head->next;
    }
}

/* While entries have no room: the votes of all that waits are stored all the same, in order. Term
 * and vote never depend on entries that are not durable yet. */
static pc_err write_votes(struct pc_wal_thread *thread, struct pc_error *error)
{
    for (struct write_job *job = thread->backlog; job != NULL; job = job->next) {
        if (!job->batch.has_vote || job->voted) {
            continue;
        }
        pc_err err = pc_wal_write_vote(thread->wal, &job->batch, error);
        if (err != PC_OK) {
            return err;
        }
        job->voted = true;
        struct pc_wal_done done = {.type = PC_WAL_VOTED, .seq = job->batch.seq};
        pc_wal_thread_report(thread, &done);
    }
    return PC_OK;
}

static void become_full(struct pc_wal_thread *thread, const struct pc_error *error)
{
    thread->retry_at_us = pc_clock_monotonic_us() + RETRY_US;
    thread->disk.now = true;
    if (!thread->full) {
        thread->full = true;
        struct pc_wal_done done = {.type = PC_WAL_FULL, .err = error->code, .error = *error};
        pc_wal_thread_report(thread, &done);
    }
}

void pc_wal_thread_next(struct pc_wal_thread *thread)
{
    struct write_job *job = thread->backlog;
    thread->backlog = job->next;
    if (thread->backlog == NULL) {
        thread->backlog_end = &thread->backlog;
    }
    write_job_free(job);
}

/* Writes the backlog, as one batch where possible, as far as one sync is to go. *wrote: one was
 * written, the last one is *seq. */
static pc_err write_backlog(
    struct pc_wal_thread *thread, bool *wrote, uint64_t *seq, struct pc_error *error)
{
    pc_err void_err = pc_wal_jobs_void(thread, error);
    if (void_err != PC_OK) {
        return void_err;
    }
    size_t bytes = 0;
    while (thread->backlog != NULL && bytes < SYNC_BYTES_MAX) {
        if (thread->backlog->is_reset) {
            pc_err err = pc_wal_jobs_reset(thread, error);
            if (err != PC_OK) {
                return err;
            }
            continue;
        }
        if (!thread->full) {
            join_backlog(thread);
        }
        struct write_job *job = thread->backlog;
        struct pc_wal_batch batch = job->batch;
        batch.has_vote = batch.has_vote && !job->voted;
        bytes += entries_bytes(&batch.entries);
        pc_err err = pc_wal_write(thread->wal, &batch, error);
        if (pc_wal_is_shortage(err) && job->batch.has_vote && !job->voted) {
            job->voted = true;
            struct pc_wal_done done = {.type = PC_WAL_VOTED, .seq = job->batch.seq};
            become_full(thread, error);
            pc_wal_thread_report(thread, &done);
        }
        if (err != PC_OK) {
            return err;
        }
        *wrote = true;
        *seq = job->batch.seq;
        pc_wal_thread_next(thread);
    }
    return PC_OK;
}

/* One group: what waits, as far as one sync is to go, and one report. */
static void serve_writes(struct pc_wal_thread *thread)
{
    struct pc_error error;
    uint64_t seq = 0;
    bool wrote = false;
    bool was_full = thread->full;
    pc_err err = write_backlog(thread, &wrote, &seq, &error);
    pc_err sync_err = PC_OK;
    bool stalls = pc_wal_is_shortage(err);
    if (wrote && (err == PC_OK || stalls)) {
        struct pc_error sync_error;
        sync_err = pc_wal_sync(thread->wal, &sync_error);
        error = sync_err == PC_OK ? error : sync_error;
    }
    if (sync_err != PC_OK || (err != PC_OK && !stalls)) {
        pc_wal_thread_fail(thread, &error);
        return;
    }
    thread->wrote_at_us = pc_clock_monotonic_us();
    if (wrote) {
        struct pc_wal_done done = {.type = PC_WAL_SYNCED, .seq = seq};
        pc_wal_thread_report(thread, &done);
    }
    if (stalls) {
        become_full(thread, &error);
        err = write_votes(thread, &error);
        if (err != PC_OK) {
            pc_wal_thread_fail(thread, &error);
        }
    } else if (was_full) {
        thread->full = false;
        struct pc_wal_done done = {.type = PC_WAL_FULL_END};
        pc_wal_thread_report(thread, &done);
    }
}

static void serve_load(struct pc_wal_thread *thread, const struct load_job *job)
{
    struct pc_wal_done done = {.type = PC_WAL_LOADED, .tag = job->tag, .first = job->first};
    if (thread->wal == NULL) {
        done.err = pc_error_set(&done.error, PC_E_NOT_FOUND, "there is no log any more");
    } else if (job->raw) {
        done.err = pc_wal_load_raw(
            thread->wal, job->first, job->last, job->bytes_max, &done.raw, &done.error);
    } else {
        done.err = pc_wal_load(
            thread->wal, job->first, job->last, job->bytes_max, &done.entries, &done.error);
    }
    if (pc_wal_is_shortage(done.err)) {
        pc_wal_thread_report_late(thread, &done);
    } else {
        pc_wal_thread_report(thread, &done);
    }
}

static void serve_loads(struct pc_wal_thread *thread, struct load_job *job)
{
    while (job != NULL) {
        struct load_job *next = job->next;
        serve_load(thread, job);
        free(job);
        job = next;
    }
}

static unsigned filled_percent(struct pc_wal *wal)
{
    return (unsigned)(wal->next_block * UINT64_C(100) / pc_wal_newest(wal)->blocks);
}

static bool spare_is_due(const struct pc_wal_thread *thread, unsigned percent)
{
    struct pc_wal *wal = thread->wal;
    if (wal == NULL || !wal->whole || wal->segments_n == 0) {
        return false;
    }
    bool complete = pc_wal_spare_is_complete(wal);
    return !thread->failed && !thread->full && !complete && filled_percent(wal) > percent &&
           pc_clock_monotonic_us() >= thread->spare_at_us;
}

static void prepare_spare(struct pc_wal_thread *thread)
{
    struct pc_error error;
    pc_err err = pc_wal_spare_step(thread->wal, 0, &error);
    if (err != PC_OK) {
        /* Whatever it is, the write that needs the segment will find it out and report it. */
        thread->disk.now = err == PC_E_NO_SPACE;
        thread->spare_at_us = pc_clock_monotonic_us() + RETRY_US;
    }
}

/* What to do when nothing is queued; UINT64_MAX: nothing until somebody calls. */
static uint64_t idle_until_us(const struct pc_wal_thread *thread)
{
    const struct pc_wal *wal = thread->wal;
    if (thread->failed || !wal->whole) {
        return UINT64_MAX;
    }
    if (thread->full) {
        return thread->retry_at_us;
    }
    if (wal->durable_block < wal->entries_block) {
        return wal->fsync == PC_FSYNC_INTERVAL ? wal->synced_at_us + wal->interval_us : UINT64_MAX;
    }
    bool note = wal->noted_block < wal->entries_block && wal->entries_block > 1 &&
                wal->next_block < pc_wal_newest(thread->wal)->blocks;
    return note ? thread->wrote_at_us + NOTE_AFTER_US : UINT64_MAX;
}

static void do_idle_work(struct pc_wal_thread *thread)
{
    struct pc_wal *wal = thread->wal;
    struct pc_error error;
    uint64_t due_us = idle_until_us(thread);
    if (thread->full || due_us == UINT64_MAX || pc_clock_monotonic_us() < due_us) {
        return;
    }
    pc_err err = wal->durable_block < wal->entries_block ? pc_wal_sync(wal, &error)
                                                         : pc_wal_note_durable(wal, &error);
    if (err != PC_OK) {
        pc_wal_thread_fail(thread, &error);
    }
}

static bool can_watch(const struct pc_wal_thread *thread)
{
    return thread->watch && thread->wal != NULL && !thread->failed;
}

static bool files_wait(const struct pc_wal_thread *thread)
{
    return !thread->failed && thread->wal->whole && thread->wal->doomed_n > 0;
}

static bool has_jobs(const struct pc_wal_thread *thread)
{
    return thread->writes != NULL || thread->loads != NULL || thread->repair != NULL ||
           thread->drops || thread->worker.stopping || can_watch(thread) != thread->disk.watched;
}

/* Waits, with the lock held, until there is something to do. */
static void wait_for_work(struct pc_wal_thread *thread)
{
    if (files_wait(thread) || spare_is_due(thread, 50)) {
        return;
    }
    uint64_t until_us = idle_until_us(thread);
    if (thread->disk.watched && thread->disk.look_at_us < until_us) {
        until_us = thread->disk.look_at_us;
    }
    if (thread->late != NULL && thread->late_at_us < until_us) {
        until_us = thread->late_at_us;
    }
    bool goes_on = true;
    while (goes_on && !has_jobs(thread)) {
        goes_on = pc_worker_wait(&thread->worker, until_us);
    }
}

/* What a turn serves. */
struct work {
    struct load_job *loads;
    struct repair_job *repair;
    bool drops;
    pc_index drop_upto;
};

/* Takes everything that is queued. False when the thread is to end and nothing is left. */
static bool take_work(struct pc_wal_thread *thread, struct work *work)
{
    pc_worker_lock(&thread->worker);
    bool goes_on = thread->backlog != NULL && !thread->full && !thread->failed;
    if (!has_jobs(thread) && !goes_on) {
        wait_for_work(thread);
    }
    if (thread->writes != NULL) {
        *thread->backlog_end = thread->writes;
        thread->backlog_end = thread->writes_end;
        thread->writes = NULL;
        thread->writes_end = &thread->writes;
    }
    *work = (struct work){.loads = thread->loads,
        .repair = thread->repair,
        .drops = thread->drops,
        .drop_upto = thread->drop_upto};
    thread->repair = NULL;
    thread->drops = false;
    thread->loads = NULL;
    thread->loads_end = &thread->loads;
    thread->disk.watched = can_watch(thread);
    bool stopping = thread->worker.stopping;
    pc_worker_unlock(&thread->worker);
    return !stopping;
}

/* One turn. */
static void serve(struct pc_wal_thread *thread, const struct work *work, bool goes_on)
{
    serve_loads(thread, work->loads);
    if (thread->late != NULL && (!goes_on || pc_clock_monotonic_us() >= thread->late_at_us)) {
        pc_wal_thread_flush_late(thread);
    }
    if (work->drops && !thread->failed) {
        pc_wal_jobs_drop(thread, work->drop_upto);
    }
    if (thread->failed) {
        drop_backlog(thread);
        return;
    }
    bool idle = thread->backlog == NULL;
    bool may_try = !thread->full || !goes_on || pc_clock_monotonic_us() >= thread->retry_at_us;
    if (!idle && may_try) {
        serve_writes(thread);
        while (!goes_on && thread->backlog != NULL && !thread->full && !thread->failed) {
            serve_writes(thread); /* the last turn leaves nothing */
        }
    } else if (!idle) {
        struct pc_error error;
        pc_err err = write_votes(thread, &error);
        if (err != PC_OK) {
            pc_wal_thread_fail(thread, &error);
        }
    } else {
        do_idle_work(thread);
    }
    if (spare_is_due(thread, idle ? 50 : SPARE_HURRY_PERCENT)) {
        prepare_spare(thread);
    }
    if (files_wait(thread)) {
        pc_wal_unlink_one(thread->wal);
    }
}

static void *run(void *arg)
{
    struct pc_wal_thread *thread = arg;
    bool goes_on = true;
    while (goes_on) {
        struct work work;
        goes_on = take_work(thread, &work);
        serve(thread, &work, goes_on);
        pc_wal_repair_serve(thread, work.repair);
        if (thread->wal != NULL) {
            pc_wal_disk_note_sync(thread);
        }
        if (pc_wal_disk_is_due(thread)) {
            pc_wal_disk_look(thread);
        }
    }
    drop_backlog(thread);
    return NULL;
}

struct pc_wal_thread *pc_wal_thread_start(struct pc_wal *wal, int notify_fd)
{
    PC_ASSERT(wal != NULL && !wal->read_only);
    struct pc_wal_thread *thread = pc_xalloc(sizeof *thread);
    thread->wal = wal;
    thread->writes_end = &thread->writes;
    thread->loads_end = &thread->loads;
    thread->done_end = &thread->done;
    thread->backlog_end = &thread->backlog;
    thread->wrote_at_us = pc_clock_monotonic_us();
    pc_wal_stats(wal, &thread->stats);
    pc_worker_start(&thread->worker, "pcached-log", notify_fd, run, thread);
    return thread;
}

void pc_wal_thread_stop(struct pc_wal_thread *thread)
{
    pc_worker_stop(&thread->worker);
    struct pc_wal_done done;
    while (pc_wal_thread_poll(thread, &done)) {
        pc_entries_clear(&done.entries);
        pc_raw_entries_clear(&done.raw);
        if (done.recovered != NULL) {
            pc_wal_recovered_clear(done.recovered);
            free(done.recovered);
        }
    }
    pc_wal_close(thread->wal);
    pc_worker_destroy(&thread->worker);
    free(thread);
}
