/* The branch thread. One queue, done in order:
 *
 *     engine --begin, put ..., end, questions--> [jobs] --> thread --[done]--> engine
 *
 * Records that have queued up while one sync was under way share the next one. A question waits for
 * the records in front of it and those behind it wait for the question; a client asks rarely, for a
 * bounded piece, and mostly when no branch is open. A list waits until all files of closed branches
 * were looked at, a piece at a time, whenever nothing else is queued; nothing waits for that but
 * lists.
 *
 * After a failure the branch takes no more records: the node answers for what was durable, and
 * closes. When even that fails the file stays under the name of an open branch, and is closed
 * before the next one begins, before the next list, or at the next start. */
#include <stdlib.h>
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"
#include "pcache/os.h"

#define BATCH_BYTES (4u << 20)

enum branch_job_type { JOB_BEGIN, JOB_PUT, JOB_END, JOB_LIST, JOB_READ, JOB_NOTE, JOB_REMOVE };

struct branch_job {
    struct branch_job *next;
    enum branch_job_type type;
    uint64_t tag;
    struct pc_branch_head head;     /* BEGIN, but for node and name */
    struct pc_branch_record record; /* PUT */
    char name[PC_BRANCH_NAME_BYTES];
    struct pc_branch_place place;
};

struct branch_done {
    struct branch_done *next;
    struct pc_branch_done done;
};

struct pc_branch_thread {
    struct pc_worker worker; /* its lock guards from here ... */
    struct branch_job *jobs;
    struct branch_job **jobs_end;
    size_t asks_n;
    struct branch_done *done;
    struct branch_done **done_end;
    uint64_t pending; /* ... to here */

    /* The thread's own. */
    const struct pc_fs *fs;
    char dir[BRANCH_DIR_BYTES_MAX];
    struct pc_branch_head self;
    struct pc_branch_writer *writer; /* NULL = no branch, or none that could be opened */
    bool has_failed;                 /* up to the end records are dropped */
    bool is_left;                    /* a file that could not be closed may be there */
    struct branch_index closed;
    bool is_looked_through;   /* all of `closed` is known */
    struct branch_job *lists; /* that wait for it */
};

/* ---- completions */

/* Queues a completion; takes what it owns over. */
static void report(struct pc_branch_thread *thread, const struct pc_branch_done *done)
{
    struct branch_done *item = pc_xalloc(sizeof *item);
    item->done = *done;
    pc_worker_lock(&thread->worker);
    *thread->done_end = item;
    thread->done_end = &item->next;
    pc_worker_unlock(&thread->worker);
    pc_worker_notify(&thread->worker);
}

static void report_failure(
    struct pc_branch_thread *thread, pc_err err, const struct pc_error *error)
{
    struct pc_branch_done done = {.type = PC_BRANCH_FAILED, .err = err, .error = *error};
    report(thread, &done);
}

static void set_pending(struct pc_branch_thread *thread)
{
    pc_worker_lock(&thread->worker);
    thread->pending = thread->closed.n + (thread->is_left ? 1 : 0);
    pc_worker_unlock(&thread->worker);
}

static pc_err list_closed(struct pc_branch_thread *thread, struct pc_error *error)
{
    pc_err err = pc_branch_index_update(&thread->closed, error);
    if (err == PC_OK) {
        thread->is_looked_through = false; /* perhaps */
        set_pending(thread);
    }
    return err;
}

/* ---- the open branch */

static void settle(struct pc_branch_thread *thread)
{
    struct pc_error ignored;
    if (thread->is_left && thread->writer == NULL) {
        pc_err err = pc_branch_settle(thread->fs, thread->dir, pc_clock_wall_ms(), &ignored);
        thread->is_left = err != PC_OK;
    }
}

/* PC_OK also when there is none. */
static pc_err end_writer(
    struct pc_branch_thread *thread, struct pc_branch_info *info, struct pc_error *error)
{
    struct pc_error ignored;
    *info = (struct pc_branch_info){0};
    if (thread->writer == NULL) {
        settle(thread);
        return PC_OK;
    }
    pc_err err = pc_branch_writer_end(thread->writer, pc_clock_wall_ms(), info, error);
    pc_branch_writer_close(thread->writer);
    thread->writer = NULL;
    thread->is_left = err != PC_OK;
    if (err == PC_OK && info->name[0] != '\0') {
        /* The node waits: it need not be read for the list. */
        pc_branch_index_add(&thread->closed, info);
    }
    (void)list_closed(thread, &ignored);
    return err;
}

static pc_err begin_new(
    struct pc_branch_thread *thread, const struct pc_branch_head *head, struct pc_error *error)
{
    pc_err err = pc_branch_writer_begin(thread->fs, thread->dir, head, &thread->writer, error);
    if (err == PC_E_EXISTS) {
        thread->is_left = true;
        settle(thread);
        err = pc_branch_writer_begin(thread->fs, thread->dir, head, &thread->writer, error);
    }
    return err;
}

static void serve_begin(struct pc_branch_thread *thread, struct branch_job *job)
{
    struct pc_branch_info info;
    struct pc_error error = {0};
    pc_err err = PC_OK;
    bool is_same = thread->writer != NULL && memcmp(pc_branch_writer_head(thread->writer)->id,
                                                 job->head.id, sizeof job->head.id) == 0;
    if (thread->writer != NULL && !is_same) {
        err = end_writer(thread, &info, &error);
    }
    if (err == PC_OK && is_same) {
        err = pc_branch_writer_resume(thread->writer, pc_clock_wall_ms(), &error);
    } else if (err == PC_OK) {
        job->head.node = thread->self.node;
        memcpy(job->head.name, thread->self.name, sizeof job->head.name);
        job->head.begun_ms = pc_clock_wall_ms();
        err = begin_new(thread, &job->head, &error);
    }
    thread->has_failed = err != PC_OK;
    if (err != PC_OK) {
        report_failure(thread, err, &error);
    } else {
        report(thread, &(struct pc_branch_done){.type = PC_BRANCH_BEGUN});
    }
}

static void serve_end(struct pc_branch_thread *thread)
{
    struct pc_branch_done done = {.type = PC_BRANCH_ENDED};
    struct pc_error error = {0};
    pc_err err = end_writer(thread, &done.info, &error);
    thread->has_failed = false;
    if (err != PC_OK) {
        set_pending(thread);
        report_failure(thread, err, &error);
    } else {
        report(thread, &done);
    }
}

/* The next job when it is a record and there is room for it in the batch; else NULL. */
static struct branch_job *next_put(struct pc_branch_thread *thread)
{
    struct branch_job *job = NULL;
    pc_worker_lock(&thread->worker);
    if (thread->jobs != NULL && thread->jobs->type == JOB_PUT) {
        job = thread->jobs;
        thread->jobs = job->next;
        thread->jobs_end = thread->jobs == NULL ? &thread->jobs : thread->jobs_end;
    }
    pc_worker_unlock(&thread->worker);
    return job;
}

static void job_free(struct branch_job *job)
{
    pc_branch_record_clear(&job->record);
    free(job);
}

/* Puts the record, and those that queue behind it; then one sync for all. Takes the job over. */
static void serve_puts(struct pc_branch_thread *thread, struct branch_job *job)
{
    struct pc_error error = {0};
    uint64_t number = 0;
    bool is_taken = !thread->has_failed && thread->writer != NULL;
    while (job != NULL) {
        if (is_taken) {
            number = job->record.number;
            pc_branch_writer_put(thread->writer, &job->record);
        }
        job_free(job);
        bool is_full = is_taken && pc_branch_writer_waiting(thread->writer) >= BATCH_BYTES;
        job = is_full ? NULL : next_put(thread);
    }
    if (!is_taken) {
        return; /* the node knows already */
    }
    pc_err err = pc_branch_writer_sync(thread->writer, &error);
    thread->has_failed = err != PC_OK;
    if (err != PC_OK) {
        report_failure(thread, err, &error);
    } else {
        report(thread, &(struct pc_branch_done){.type = PC_BRANCH_WRITTEN, .number = number});
    }
}

/* ---- questions */

static void answer(struct pc_branch_thread *thread, struct pc_branch_done *done)
{
    pc_worker_lock(&thread->worker);
    PC_ASSERT(thread->asks_n > 0);
    thread->asks_n--;
    pc_worker_unlock(&thread->worker);
    report(thread, done);
}

static void tell_list(struct pc_branch_thread *thread, uint64_t tag)
{
    struct pc_branch_done done = {.type = PC_BRANCH_LISTED, .tag = tag};
    done.infos_n = thread->closed.n;
    done.infos = done.infos_n > 0 ? pc_xalloc(done.infos_n * sizeof *done.infos) : NULL;
    for (size_t i = 0; i < done.infos_n; i++) {
        done.infos[i] = thread->closed.v[i].info;
    }
    answer(thread, &done);
}

/* Looks on at what lies there; lists that wait are answered at the end of it. */
static void look_on(struct pc_branch_thread *thread)
{
    thread->is_looked_through = !pc_branch_index_look(&thread->closed);
    while (thread->is_looked_through && thread->lists != NULL) {
        struct branch_job *job = thread->lists;
        thread->lists = job->next;
        tell_list(thread, job->tag);
        free(job);
    }
}

/* Takes the job over. */
static void serve_list(struct pc_branch_thread *thread, struct branch_job *job)
{
    struct pc_branch_done done = {.type = PC_BRANCH_LISTED, .tag = job->tag};
    settle(thread);
    done.err = list_closed(thread, &done.error);
    if (done.err != PC_OK) {
        free(job);
        answer(thread, &done);
        return;
    }
    job->next = thread->lists;
    thread->lists = job;
    look_on(thread);
}

/* Records up to a piece's length, and behind the last one the end. */
static pc_err put_lines(struct pc_branch_reader *reader, struct pc_branch_done *done)
{
    const struct pc_branch_info *info = pc_branch_reader_info(reader);
    while (done->lines.len < PC_BRANCH_READ_BYTES) {
        struct pc_branch_record record;
        pc_err err = pc_branch_reader_next(reader, &record, &done->error);
        if (err == PC_E_CORRUPT) {
            pc_branch_reader_skip(reader);
        } else if (err == PC_E_NOT_FOUND) {
            pc_branch_json_end(info, &done->lines);
            done->is_last = true;
            return PC_OK;
        } else if (err != PC_OK) {
            return err;
        } else {
            pc_branch_json_record(&info->head, &record, &done->lines);
            pc_branch_record_clear(&record);
        }
    }
    return PC_OK;
}

static pc_err read_lines(
    struct pc_branch_thread *thread, const struct branch_job *job, struct pc_branch_done *done)
{
    char path[BRANCH_DIR_BYTES_MAX + 96];
    struct pc_branch_reader *reader = NULL;
    if (!pc_branch_name_is_valid(job->name) ||
        !pc_branch_path(thread->dir, job->name, path, sizeof path)) {
        return pc_error_set(&done->error, PC_E_NOT_FOUND, "no closed branch has this name");
    }
    pc_err err = pc_branch_reader_open(thread->fs, path, &reader, &done->error);
    if (err != PC_OK) {
        return err;
    }
    pc_branch_reader_seek(reader, &job->place);
    if (job->place.at == 0) {
        pc_branch_json_head(&pc_branch_reader_info(reader)->head, &done->lines);
    }
    err = put_lines(reader, done);
    done->place = pc_branch_reader_place(reader);
    pc_branch_reader_close(reader);
    return err;
}

static void serve_read(struct pc_branch_thread *thread, const struct branch_job *job)
{
    struct pc_branch_done done = {.type = PC_BRANCH_READ, .tag = job->tag};
    done.err = read_lines(thread, job, &done);
    if (done.err != PC_OK) {
        pc_buf_destroy(&done.lines);
    }
    answer(thread, &done);
}

static void serve_note(struct pc_branch_thread *thread, const struct branch_job *job)
{
    struct pc_branch_done done = {.type = PC_BRANCH_NOTED, .tag = job->tag};
    struct branch_path path;
    if (pc_branch_name_is_valid(job->name) &&
        pc_branch_path(thread->dir, job->name, path.text, sizeof path.text)) {
        done.err = pc_branch_note_replay(thread->fs, path.text, &done.error);
    } else {
        done.err = pc_error_set(&done.error, PC_E_NOT_FOUND, "no closed branch has this name");
    }
    answer(thread, &done);
}

static void serve_remove(struct pc_branch_thread *thread, const struct branch_job *job)
{
    struct pc_branch_done done = {.type = PC_BRANCH_REMOVED, .tag = job->tag};
    struct pc_error ignored;
    done.err = pc_branch_remove(thread->fs, thread->dir, job->name, &done.error);
    (void)list_closed(thread, &ignored);
    answer(thread, &done);
}

/* ---- the thread */

static void serve(struct pc_branch_thread *thread, struct branch_job *job)
{
    switch (job->type) {
    case JOB_BEGIN:
        serve_begin(thread, job);
        break;
    case JOB_PUT:
        serve_puts(thread, job);
        return; /* taken over */
    case JOB_END:
        serve_end(thread);
        break;
    case JOB_LIST:
        serve_list(thread, job);
        return; /* taken over */
    case JOB_READ:
        serve_read(thread, job);
        break;
    case JOB_NOTE:
        serve_note(thread, job);
        break;
    case JOB_REMOVE:
        serve_remove(thread, job);
        break;
    }
    job_free(job);
}

/* The next one; NULL: none. */
static struct branch_job *next_job(struct pc_branch_thread *thread)
{
    struct branch_job *job = thread->jobs;
    if (job != NULL) {
        thread->jobs = job->next;
        thread->jobs_end = thread->jobs == NULL ? &thread->jobs : thread->jobs_end;
    }
    return job;
}

static void *branch_run(void *arg)
{
    struct pc_branch_thread *thread = arg;
    struct pc_error ignored;
    settle(thread);
    (void)list_closed(thread, &ignored);
    pc_worker_lock(&thread->worker);
    while (!thread->worker.stopping || thread->jobs != NULL) {
        struct branch_job *job = next_job(thread);
        if (job == NULL && thread->is_looked_through) {
            (void)pc_worker_wait(&thread->worker, UINT64_MAX);
            continue;
        }
        pc_worker_unlock(&thread->worker);
        if (job != NULL) {
            serve(thread, job);
        }
        if (job == NULL || thread->lists != NULL) { /* however busy a branch is */
            look_on(thread);
        }
        pc_worker_lock(&thread->worker);
    }
    pc_worker_unlock(&thread->worker);
    return NULL;
}

struct pc_branch_thread *pc_branch_thread_start(const struct pc_fs *fs, const char *dir,
    const struct pc_branch_head *self, struct pc_branch_writer *writer, int notify_fd)
{
    struct pc_branch_thread *thread = pc_xalloc(sizeof *thread);
    PC_ASSERT(strlen(dir) < sizeof thread->dir);
    thread->fs = fs;
    memcpy(thread->dir, dir, strlen(dir) + 1);
    thread->closed = (struct branch_index){.fs = fs, .dir = thread->dir};
    thread->self = *self;
    thread->writer = writer;
    thread->is_left = writer == NULL; /* perhaps one that find could not close */
    thread->jobs_end = &thread->jobs;
    thread->done_end = &thread->done;
    pc_worker_start(&thread->worker, "pcached-branch", notify_fd, branch_run, thread);
    return thread;
}

void pc_branch_thread_stop(struct pc_branch_thread *thread)
{
    struct pc_branch_done done;
    if (thread == NULL) {
        return;
    }
    pc_worker_stop(&thread->worker);
    while (pc_branch_thread_poll(thread, &done)) {
        free(done.infos);
        pc_buf_destroy(&done.lines);
    }
    while (thread->lists != NULL) {
        struct branch_job *job = thread->lists;
        thread->lists = job->next;
        free(job);
    }
    pc_worker_destroy(&thread->worker);
    pc_branch_writer_close(thread->writer);
    pc_branch_index_clear(&thread->closed);
    free(thread);
}

/* ---- what the engine asks for */

static void queue(struct pc_branch_thread *thread, struct branch_job *job)
{
    pc_worker_lock(&thread->worker);
    *thread->jobs_end = job;
    thread->jobs_end = &job->next;
    pc_worker_wake(&thread->worker);
    pc_worker_unlock(&thread->worker);
}

static struct branch_job *job_new(enum branch_job_type type)
{
    struct branch_job *job = pc_xalloc(sizeof *job);
    job->type = type;
    return job;
}

void pc_branch_thread_begin(struct pc_branch_thread *thread, const uint8_t id[16],
    const uint8_t history[16], const struct pc_branch_base *base)
{
    struct branch_job *job = job_new(JOB_BEGIN);
    memcpy(job->head.id, id, 16);
    memcpy(job->head.history, history, 16);
    job->head.base = *base;
    queue(thread, job);
}

void pc_branch_thread_put(struct pc_branch_thread *thread, struct pc_branch_record *record)
{
    struct branch_job *job = job_new(JOB_PUT);
    job->record = *record;
    record->command = NULL;
    record->before = NULL;
    queue(thread, job);
}

void pc_branch_thread_end(struct pc_branch_thread *thread)
{
    queue(thread, job_new(JOB_END));
}

static bool ask(struct pc_branch_thread *thread, enum branch_job_type type, uint64_t tag,
    const char *name, const struct pc_branch_place *place)
{
    pc_worker_lock(&thread->worker);
    bool has_room = thread->asks_n < PC_BRANCH_ASKS_MAX;
    thread->asks_n += has_room ? 1 : 0;
    pc_worker_unlock(&thread->worker);
    if (!has_room) {
        return false;
    }
    struct branch_job *job = job_new(type);
    size_t len = name != NULL ? strlen(name) : 0;
    job->tag = tag;
    if (len > 0 && len < sizeof job->name) { /* a longer one is no file's */
        memcpy(job->name, name, len + 1);
    }
    if (place != NULL) {
        job->place = *place;
    }
    queue(thread, job);
    return true;
}

bool pc_branch_thread_list(struct pc_branch_thread *thread, uint64_t tag)
{
    return ask(thread, JOB_LIST, tag, NULL, NULL);
}

bool pc_branch_thread_read(struct pc_branch_thread *thread, uint64_t tag, const char *name,
    const struct pc_branch_place *place)
{
    return ask(thread, JOB_READ, tag, name, place);
}

bool pc_branch_thread_note(struct pc_branch_thread *thread, uint64_t tag, const char *name)
{
    return ask(thread, JOB_NOTE, tag, name, NULL);
}

bool pc_branch_thread_remove(struct pc_branch_thread *thread, uint64_t tag, const char *name)
{
    return ask(thread, JOB_REMOVE, tag, name, NULL);
}

uint64_t pc_branch_thread_pending(struct pc_branch_thread *thread)
{
    pc_worker_lock(&thread->worker);
    uint64_t pending = thread->pending;
    pc_worker_unlock(&thread->worker);
    return pending;
}

bool pc_branch_thread_poll(struct pc_branch_thread *thread, struct pc_branch_done *out)
{
    pc_worker_lock(&thread->worker);
    struct branch_done *item = thread->done;
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
