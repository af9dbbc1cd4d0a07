/* The snapshot thread. Writes are one queue, done in order; reads are another one, and go first: a
 * peer waits for each of them, and the chunks of a write are bounded.
 *
 *     engine --begin, put ..., finish--> [jobs] --+
 *                                                 +--> thread --[done]--> engine
 *     engine --read--------------------> [reads] -+
 *
 * A write ends with FINISHED or FAILED, or is given up. What is still queued under its tag after
 * that is dropped by the tag alone, so the engine need not wait for anything before it begins the
 * next one.
 *
 * A snapshot that has been replaced stays open as long as somebody reads it, though its name is
 * gone: a transfer that takes longer than the time between two snapshots would never end otherwise.
 * The price is its space on the disk until then. */
#include "snap_thread.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

/* Queues a completion; takes what it owns over. */
static void report(struct pc_snap_thread *thread, const struct pc_snap_done *done)
{
    struct snap_done *item = pc_xalloc(sizeof *item);
    item->done = *done;
    pc_worker_lock(&thread->worker);
    *thread->done_end = item;
    thread->done_end = &item->next;
    pc_worker_unlock(&thread->worker);
    pc_worker_notify(&thread->worker);
}

static void job_free(struct snap_job *job)
{
    pc_buf_destroy(&job->bytes);
    free(job);
}

/* ---- what chunks are read from */
static void source_close(struct snap_source *source)
{
    pc_snap_reader_close(source->reader);
    *source = (struct snap_source){0};
}

/* Where a replaced snapshot is held: a free place, or that of the one unused for longest. */
static struct snap_source *place_to_hold(struct pc_snap_thread *thread)
{
    struct snap_source *place = &thread->held[0];
    for (size_t i = 0; i < SNAP_HELD_MAX; i++) {
        struct snap_source *source = &thread->held[i];
        if (source->reader == NULL) {
            return source;
        }
        place = source->used_at_us < place->used_at_us ? source : place;
    }
    source_close(place);
    return place;
}

static void open_newest(struct pc_snap_thread *thread, struct pc_error *error, pc_err *err)
{
    char name[PC_SNAP_NAME_BYTES];
    struct snap_path path;
    pc_snap_name(SNAP_WHOLE, thread->newest.index, name);
    PC_ASSERT(pc_snap_path(thread->dir, name, &path));
    *err = pc_snap_reader_open(thread->fs, path.text, &thread->newest.reader, error);
}

static void replace_newest(struct pc_snap_thread *thread, pc_index index)
{
    struct snap_source *newest = &thread->newest;
    if (newest->reader != NULL && newest->used_at_us > 0 && newest->index != index) {
        *place_to_hold(thread) = *newest;
        *newest = (struct snap_source){0};
    }
    source_close(newest);
    newest->index = index;
    struct pc_error ignored;
    pc_err later; /* a read tries again */
    open_newest(thread, &ignored, &later);
}

static struct snap_source *source_of(struct pc_snap_thread *thread, pc_index index)
{
    if (thread->newest.index == index) {
        return &thread->newest;
    }
    for (size_t i = 0; i < SNAP_HELD_MAX; i++) {
        if (thread->held[i].reader != NULL && thread->held[i].index == index) {
            return &thread->held[i];
        }
    }
    return NULL;
}

/* Index 0 is that of a newest one that is not there, too. */
static pc_err source_open(
    struct pc_snap_thread *thread, pc_index index, struct snap_source **out, struct pc_error *error)
{
    struct snap_source *source = index == 0 ? NULL : source_of(thread, index);
    if (source == NULL) {
        return pc_error_set(error, PC_E_NOT_FOUND, "there is no such snapshot (any more)");
    }
    pc_err err = PC_OK;
    if (source->reader == NULL) {
        open_newest(thread, error, &err);
    }
    if (err == PC_OK) {
        source->used_at_us = pc_clock_monotonic_us();
        *out = source;
    }
    return err;
}

static pc_err read_chunk(struct pc_snap_thread *thread, const struct snap_read *read,
    struct pc_snap_done *done, struct pc_error *error)
{
    struct snap_source *source;
    struct pc_slice chunk;
    struct pc_buf *out = &done->bytes;
    pc_err err = source_open(thread, read->index, &source, error);
    if (err == PC_OK) {
        err = pc_snap_reader_chunk(source->reader, read->number, out, &chunk, error);
    }
    if (err == PC_OK) {
        memmove(out->data, chunk.data, chunk.len);
        out->len = chunk.len;
    }
    return err;
}

static pc_err read_raw(struct pc_snap_thread *thread, const struct snap_read *read,
    struct pc_snap_done *done, struct pc_error *error)
{
    struct snap_source *source;
    pc_index index = read->index != 0 ? read->index : thread->newest.index;
    pc_err err = source_open(thread, index, &source, error);
    if (err == PC_OK) {
        done->info = *pc_snap_reader_info(source->reader);
        err = pc_snap_reader_raw(source->reader, read->offset, read->max, &done->bytes, error);
    }
    return err;
}

static void serve_read(struct pc_snap_thread *thread, const struct snap_read *read)
{
    struct pc_snap_done done = {.type = PC_SNAP_READ, .tag = read->tag};
    done.err = read->is_raw ? read_raw(thread, read, &done, &done.error)
                            : read_chunk(thread, read, &done, &done.error);
    if (done.err != PC_OK) {
        pc_buf_destroy(&done.bytes);
    }
    pc_worker_lock(&thread->worker);
    --*(read->is_raw ? &thread->raw_reads_n : &thread->reads_n);
    pc_worker_unlock(&thread->worker);
    report(thread, &done);
}

/* ---- writing */
/* The write is over: it has failed, or its writer has finished. */
static void end_write(struct pc_snap_thread *thread, bool keep)
{
    if (keep) {
        pc_snap_writer_close(thread->writer);
    } else {
        pc_snap_writer_abort(thread->writer);
    }
    thread->writer = NULL;
    thread->write_tag = 0;
}

static void fail_write(struct pc_snap_thread *thread, pc_err err, const struct pc_error *error)
{
    struct pc_snap_done done = {
        .type = PC_SNAP_FAILED, .tag = thread->write_tag, .err = err, .error = *error};
    end_write(thread, err == PC_E_NO_SPACE || err == PC_E_AGAIN || err == PC_E_NOMEM);
    report(thread, &done);
}

static void serve_begin(struct pc_snap_thread *thread, const struct snap_job *job)
{
    struct pc_error error;
    end_write(thread, true);
    thread->write_tag = job->tag;
    pc_err err = pc_snap_writer_open(thread->fs, thread->dir, &job->base,
        job->has_hash ? &job->hash : NULL, &thread->writer, &error);
    if (err != PC_OK) {
        fail_write(thread, err, &error);
        return;
    }
    struct pc_snap_done done = {
        .type = PC_SNAP_BEGUN, .tag = job->tag, .chunks = pc_snap_writer_chunks(thread->writer)};
    report(thread, &done);
}

static void serve_put(struct pc_snap_thread *thread, const struct snap_job *job)
{
    struct pc_error error;
    pc_err err =
        pc_snap_writer_put(thread->writer, pc_slice_of(job->bytes.data, job->bytes.len), &error);
    if (err != PC_OK) {
        fail_write(thread, err, &error);
        return;
    }
    struct pc_snap_done done = {
        .type = PC_SNAP_WRITTEN, .tag = job->tag, .chunks = pc_snap_writer_chunks(thread->writer)};
    report(thread, &done);
}

static void serve_finish(struct pc_snap_thread *thread, const struct snap_job *job)
{
    struct pc_error error;
    struct pc_snap_done done = {.type = PC_SNAP_FINISHED, .tag = job->tag};
    pc_err err = pc_snap_writer_finish(thread->writer, &job->meta, &done.info, &error);
    if (err != PC_OK) {
        fail_write(thread, err, &error);
        return;
    }
    end_write(thread, true);
    replace_newest(thread, done.info.base.index);
    done.chunks = done.info.chunks;
    report(thread, &done);
}

static void serve_set_aside(struct pc_snap_thread *thread, pc_index index)
{
    struct pc_snap_done done = {.type = PC_SNAP_SET_ASIDE};
    if (thread->newest.index == index) {
        source_close(&thread->newest);
    }
    done.err = pc_snap_set_aside(thread->fs, thread->dir, index, &done.error);
    report(thread, &done);
}

static void serve_job(struct pc_snap_thread *thread, struct snap_job *job)
{
    size_t bytes = job->bytes.len;
    if (job->type == SNAP_JOB_PUT) { /* room first: WRITTEN says that there is */
        pc_worker_lock(&thread->worker);
        thread->jobs_bytes -= bytes;
        pc_worker_unlock(&thread->worker);
    }
    if (job->type == SNAP_JOB_BEGIN) {
        serve_begin(thread, job);
    } else if (job->type == SNAP_JOB_SET_ASIDE) {
        serve_set_aside(thread, job->base.index);
    } else if (job->tag == thread->write_tag) {
        switch (job->type) {
        case SNAP_JOB_PUT:
            serve_put(thread, job);
            break;
        case SNAP_JOB_FINISH:
            serve_finish(thread, job);
            break;
        default:
            end_write(thread, job->keep);
            break;
        }
    }
    job_free(job);
}

/* ---- the thread */
/* Closes what has not been read for long, without the lock: closing the last handle of a large file
 * frees its space, which takes a while. Returns when to look again; UINT64_MAX = never. */
static uint64_t release_held(struct pc_snap_thread *thread)
{
    pc_worker_lock(&thread->worker);
    uint64_t hold_us = thread->hold_us;
    pc_worker_unlock(&thread->worker);
    uint64_t now = pc_clock_monotonic_us();
    uint64_t next = UINT64_MAX;
    for (size_t i = 0; i < SNAP_HELD_MAX; i++) {
        struct snap_source *source = &thread->held[i];
        if (source->reader == NULL) {
            continue;
        }
        uint64_t until = source->used_at_us + hold_us;
        if (until <= now) {
            source_close(source);
        } else if (until < next) {
            next = until;
        }
    }
    return next;
}

/* Waits, with the lock held, until there is something to do or the time has come. */
static void wait_for_work(struct pc_snap_thread *thread, uint64_t until_us)
{
    bool goes_on = true;
    while (goes_on && thread->jobs == NULL && thread->reads == NULL && !thread->worker.stopping) {
        goes_on = pc_worker_wait(&thread->worker, until_us);
    }
}

/* Takes all reads and the first job. False when the thread is to end and no job is left. */
static bool take_work(
    struct pc_snap_thread *thread, struct snap_job **job, struct snap_read **reads)
{
    uint64_t until_us = release_held(thread);
    pc_worker_lock(&thread->worker);
    wait_for_work(thread, until_us);
    *reads = thread->reads;
    thread->reads = NULL;
    thread->reads_end = &thread->reads;
    *job = thread->jobs;
    if (*job != NULL) {
        thread->jobs = (*job)->next;
        thread->jobs_end = thread->jobs == NULL ? &thread->jobs : thread->jobs_end;
    }
    bool goes_on = *job != NULL || !thread->worker.stopping;
    pc_worker_unlock(&thread->worker);
    return goes_on;
}

static void *run(void *arg)
{
    struct pc_snap_thread *thread = arg;
    bool goes_on = true;
    while (goes_on) {
        struct snap_job *job = NULL;
        struct snap_read *reads = NULL;
        goes_on = take_work(thread, &job, &reads);
        while (reads != NULL) {
            struct snap_read *read = reads;
            reads = read->next;
            serve_read(thread, read);
            free(read);
        }
        if (job != NULL) {
            serve_job(thread, job);
        }
    }
    end_write(thread, true);
    return NULL;
}

struct pc_snap_thread *pc_snap_thread_start(
    const struct pc_fs *fs, const char *dir, struct pc_snap_reader *newest, int notify_fd)
{
    PC_ASSERT(strlen(dir) < SNAP_DIR_BYTES_MAX);
    struct pc_snap_thread *thread = pc_xalloc(sizeof *thread);
    thread->fs = fs;
    memcpy(thread->dir, dir, strlen(dir) + 1);
    thread->jobs_end = &thread->jobs;
    thread->reads_end = &thread->reads;
    thread->done_end = &thread->done;
    thread->hold_us = PC_SNAP_HOLD_MS * UINT64_C(1000);
    if (newest != NULL) {
        thread->newest = (struct snap_source){
            .index = pc_snap_reader_info(newest)->base.index, .reader = newest};
    }
    pc_worker_start(&thread->worker, "pcached-snap", notify_fd, run, thread);
    return thread;
}

void pc_snap_thread_stop(struct pc_snap_thread *thread)
{
    pc_worker_stop(&thread->worker);
    struct pc_snap_done done;
    while (pc_snap_thread_poll(thread, &done)) {
        pc_buf_destroy(&done.bytes);
    }
    source_close(&thread->newest);
    for (size_t i = 0; i < SNAP_HELD_MAX; i++) {
        source_close(&thread->held[i]);
    }
    pc_worker_destroy(&thread->worker);
    free(thread);
}

static void queue_job(struct pc_snap_thread *thread, struct snap_job *job)
{
    pc_worker_lock(&thread->worker);
    PC_ASSERT(!thread->worker.stopping && (job->tag != 0 || job->type == SNAP_JOB_SET_ASIDE));
    *thread->jobs_end = job;
    thread->jobs_end = &job->next;
    pc_worker_wake(&thread->worker);
    pc_worker_unlock(&thread->worker);
}

void pc_snap_thread_begin(struct pc_snap_thread *thread, uint64_t tag,
    const struct pc_raft_base *base, const struct pc_hash *hash)
{
    struct snap_job *job = pc_xalloc(sizeof *job);
    *job = (struct snap_job){
        .type = SNAP_JOB_BEGIN, .tag = tag, .base = *base, .has_hash = hash != NULL};
    if (hash != NULL) {
        job->hash = *hash;
    }
    queue_job(thread, job);
}

bool pc_snap_thread_put(struct pc_snap_thread *thread, uint64_t tag, struct pc_buf *chunk)
{
    pc_worker_lock(&thread->worker);
    bool room =
        thread->jobs_bytes == 0 || thread->jobs_bytes + chunk->len <= PC_SNAP_QUEUE_BYTES_MAX;
    thread->jobs_bytes += room ? chunk->len : 0;
    pc_worker_unlock(&thread->worker);
    if (!room) {
        return false;
    }
    struct snap_job *job = pc_xalloc(sizeof *job);
    *job = (struct snap_job){.type = SNAP_JOB_PUT, .tag = tag, .bytes = *chunk};
    *chunk = (struct pc_buf){0};
    queue_job(thread, job);
    return true;
}

void pc_snap_thread_finish(
    struct pc_snap_thread *thread, uint64_t tag, const struct pc_snapshot_meta *meta)
{
    struct snap_job *job = pc_xalloc(sizeof *job);
    *job = (struct snap_job){.type = SNAP_JOB_FINISH, .tag = tag, .meta = *meta};
    pc_buf_append(&job->bytes, meta->config.data, meta->config.len);
    job->meta.config = pc_slice_of(job->bytes.data, job->bytes.len);
    queue_job(thread, job);
}

void pc_snap_thread_abort(struct pc_snap_thread *thread, uint64_t tag, bool keep)
{
    struct snap_job *job = pc_xalloc(sizeof *job);
    *job = (struct snap_job){.type = SNAP_JOB_ABORT, .tag = tag, .keep = keep};
    queue_job(thread, job);
}

void pc_snap_thread_set_aside(struct pc_snap_thread *thread, pc_index index)
{
    struct snap_job *job = pc_xalloc(sizeof *job);
    *job = (struct snap_job){.type = SNAP_JOB_SET_ASIDE, .base = {.index = index}};
    queue_job(thread, job);
}

static bool queue_read(struct pc_snap_thread *thread, const struct snap_read *asked)
{
    struct snap_read *read = pc_xalloc(sizeof *read);
    *read = *asked;
    pc_worker_lock(&thread->worker);
    PC_ASSERT(!thread->worker.stopping);
    size_t *waiting = read->is_raw ? &thread->raw_reads_n : &thread->reads_n;
    bool room = *waiting < (read->is_raw ? PC_SNAP_RAW_READS_MAX : PC_SNAP_READS_MAX);
    if (room) {
        ++*waiting;
        *thread->reads_end = read;
        thread->reads_end = &read->next;
        pc_worker_wake(&thread->worker);
    }
    pc_worker_unlock(&thread->worker);
    if (!room) {
        free(read);
    }
    return room;
}

bool pc_snap_thread_read(
    struct pc_snap_thread *thread, uint64_t tag, pc_index index, uint32_t number)
{
    return queue_read(thread, &(struct snap_read){.tag = tag, .index = index, .number = number});
}

bool pc_snap_thread_read_raw(
    struct pc_snap_thread *thread, uint64_t tag, pc_index index, uint64_t offset, size_t max)
{
    return queue_read(
        thread, &(struct snap_read){
                    .tag = tag, .index = index, .is_raw = true, .offset = offset, .max = max});
}

bool pc_snap_thread_poll(struct pc_snap_thread *thread, struct pc_snap_done *out)
{
    pc_worker_lock(&thread->worker);
    struct snap_done *item = thread->done;
    if (item != NULL) {
        thread->done = item->next;
        thread->done_end = thread->done == NULL ? &thread->done : thread->done_end;
    }
    pc_worker_unlock(&thread->worker);
    if (item == NULL) {
        return false;
    }
    *out = item->done;
    free(item);
    return true;
}
