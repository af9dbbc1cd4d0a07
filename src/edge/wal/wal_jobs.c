/* What the log thread is asked for by whoever keeps the log short: its front goes, or all of it.
 *
 * A reset has its place in the order of the batches. Those in front of it belong to the log that is
 * replaced: it would be in vain to write them, and where space is short they might never be
 * written, while the reset needs what they wait for. Their votes are another matter. */
#include "pcache/assert.h"
#include "wal_thread.h"

static bool has_reset(const struct pc_wal_thread *thread)
{
    const struct write_job *job = thread->backlog;
    while (job != NULL && !job->is_reset) {
        job = job->next;
    }
    return job != NULL;
}

pc_err pc_wal_jobs_void(struct pc_wal_thread *thread, struct pc_error *error)
{
    uint64_t seq = 0;
    bool any = false;
    while (has_reset(thread) && !thread->backlog->is_reset) {
        const struct write_job *job = thread->backlog;
        pc_err err = job->voted ? PC_OK : pc_wal_write_vote(thread->wal, &job->batch, error);
        if (err != PC_OK) {
            return err;
        }
        seq = job->batch.seq;
        any = true;
        pc_wal_thread_next(thread);
    }
    if (any) {
        struct pc_wal_done done = {.type = PC_WAL_SYNCED, .seq = seq};
        pc_wal_thread_report(thread, &done);
    }
    return PC_OK;
}

pc_err pc_wal_jobs_reset(struct pc_wal_thread *thread, struct pc_error *error)
{
    PC_ASSERT(thread->backlog->is_reset);
    pc_err err = pc_wal_reset(thread->wal, &thread->backlog->base, error);
    if (err == PC_OK) {
        pc_wal_thread_next(thread);
        struct pc_wal_done done = {.type = PC_WAL_RESET};
        pc_wal_thread_report(thread, &done);
    }
    return err;
}

void pc_wal_jobs_drop(struct pc_wal_thread *thread, pc_index upto)
{
    struct pc_error error;
    pc_err err = thread->wal->whole ? pc_wal_drop_begin(thread->wal, upto, &error) : PC_OK;
    if (err != PC_OK) {
        pc_wal_thread_fail(thread, &error);
        return;
    }
    struct pc_wal_done done = {.type = PC_WAL_DROPPED, .first = thread->wal->start.index + 1};
    pc_wal_thread_report(thread, &done);
}

void pc_wal_thread_drop(struct pc_wal_thread *thread, pc_index upto)
{
    pc_worker_lock(&thread->worker);
    PC_ASSERT(!thread->worker.stopping);
    thread->drop_upto = thread->drops && thread->drop_upto > upto ? thread->drop_upto : upto;
    thread->drops = true;
    pc_worker_wake(&thread->worker);
    pc_worker_unlock(&thread->worker);
}

void pc_wal_thread_reset(struct pc_wal_thread *thread, const struct pc_raft_base *base)
{
    struct write_job *job = pc_xalloc(sizeof *job);
    job->is_reset = true;
    job->base = *base;
    pc_wal_thread_queue(thread, job);
}
