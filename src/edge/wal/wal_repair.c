/* Repairs on the log thread: entries are put aside for a gap, and the log is opened anew when all
 * gaps are closed, or given up. Nothing else is written meanwhile; loads go on. */
#include <stdlib.h>

#include "pcache/assert.h"
#include "wal_thread.h"

/* What is short is not final here: nothing was promised yet. */
static void serve_put(struct pc_wal_thread *thread, struct repair_job *job)
{
    struct pc_wal_done done = {.type = PC_WAL_REPAIRED};
    done.err = pc_wal_repair_put(
        thread->wal, job->gap, job->entries.v, job->entries.n, &done.closed, &done.error);
    pc_wal_thread_report(thread, &done);
}

static void serve_reopen(struct pc_wal_thread *thread, bool cut, const struct pc_raft_base *base)
{
    struct pc_error error;
    struct pc_wal_done done = {.type = PC_WAL_REOPENED};
    pc_err err = cut ? pc_wal_repair_cut(thread->wal, &error) : PC_OK;
    done.recovered = pc_xalloc(sizeof *done.recovered);
    if (err == PC_OK) {
        err = pc_wal_reopen(&thread->wal, base, done.recovered, &error);
    }
    if (err == PC_OK && done.recovered->last > 0) {
        pc_err loaded = pc_wal_load(thread->wal, 1, 1, 1, &done.entries, &error);
        err = loaded == PC_E_NOT_FOUND ? PC_OK : loaded;
    }
    if (err != PC_OK) {
        pc_wal_recovered_clear(done.recovered);
        free(done.recovered);
        pc_wal_thread_fail(thread, &error);
        return;
    }
    pc_wal_thread_report(thread, &done);
}

void pc_wal_repair_serve(struct pc_wal_thread *thread, struct repair_job *job)
{
    if (job == NULL) {
        return;
    }
    if (job->answer == PC_WAL_REPAIRED) {
        serve_put(thread, job);
    } else {
        serve_reopen(thread, job->cut, job->has_base ? &job->base : NULL);
    }
    pc_entries_clear(&job->entries);
    free(job);
}

static void repair_queue(struct pc_wal_thread *thread, const struct repair_job *job)
{
    struct repair_job *queued = pc_xalloc(sizeof *queued);
    *queued = *job;
    pc_worker_lock(&thread->worker);
    PC_ASSERT(!thread->worker.stopping && thread->repair == NULL);
    thread->repair = queued;
    pc_worker_wake(&thread->worker);
    pc_worker_unlock(&thread->worker);
}

void pc_wal_thread_repair(struct pc_wal_thread *thread, size_t gap, struct pc_entries *entries)
{
    struct repair_job job = {.answer = PC_WAL_REPAIRED, .gap = gap, .entries = *entries};
    *entries = (struct pc_entries){0};
    repair_queue(thread, &job);
}

void pc_wal_thread_reopen(struct pc_wal_thread *thread, bool cut, const struct pc_raft_base *base)
{
    struct repair_job job = {.answer = PC_WAL_REOPENED, .cut = cut, .has_base = base != NULL};
    if (base != NULL) {
        job.base = *base;
    }
    repair_queue(thread, &job);
}
