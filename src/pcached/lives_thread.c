/* A note waits for a disk, which may take seconds: until it is there Raft does without that peer,
 * and everything else goes on. A failed sync is final, as everywhere: nothing is tried again. */
#include <stdlib.h>
#include <string.h>

#include "lives.h"
#include "pcache/assert.h"
#include "pcache/os.h"

struct lives_thread {
    struct lives *lives;
    struct pc_worker worker; /* its lock guards what follows */
    struct pc_life waiting[PC_LIVES_MAX];
    size_t waiting_n;
    struct pc_life done[PC_LIVES_MAX];
    size_t done_n;
    pc_node_id kept[PC_LIVES_KEPT_MAX];
    size_t kept_n;
    pc_err err; /* of the note that failed */
    bool err_told;
    struct pc_error error;
};

/* Of one id only the newest counts. A list that is full has no place for a new id: that peer asks
 * again when it is met again. */
static void list_put(struct pc_life *v, size_t *n, const struct pc_life *life)
{
    for (size_t i = 0; i < *n; i++) {
        if (v[i].id == life->id) {
            v[i] = v[i].generation < life->generation ? *life : v[i];
            return;
        }
    }
    if (*n < PC_LIVES_MAX) {
        v[(*n)++] = *life;
    }
}

static struct pc_life list_take(struct pc_life *v, size_t *n)
{
    PC_ASSERT(*n > 0);
    struct pc_life first = v[0];
    for (size_t i = 1; i < *n; i++) {
        v[i - 1] = v[i];
    }
    (*n)--;
    return first;
}

static void *lives_run(void *arg)
{
    struct lives_thread *t = arg;
    pc_worker_lock(&t->worker);
    while (!t->worker.stopping) {
        if (t->waiting_n == 0 || t->err != PC_OK) {
            (void)pc_worker_wait(&t->worker, UINT64_MAX);
            continue;
        }
        struct pc_life life = list_take(t->waiting, &t->waiting_n);
        lives_keep(t->lives, t->kept, t->kept_n);
        pc_worker_unlock(&t->worker);
        struct pc_error error = {0};
        pc_err err = lives_note(t->lives, &life, &error);
        pc_worker_lock(&t->worker);
        if (err == PC_OK) {
            list_put(t->done, &t->done_n, &life);
        } else {
            t->err = err;
            t->error = error;
        }
        pc_worker_notify(&t->worker);
    }
    pc_worker_unlock(&t->worker);
    return NULL;
}

struct lives_thread *lives_thread_start(struct lives *lives, int notify_fd)
{
    struct lives_thread *t = pc_xalloc(sizeof *t);
    t->lives = lives;
    pc_worker_start(&t->worker, "pcached-lives", notify_fd, lives_run, t);
    return t;
}

void lives_thread_stop(struct lives_thread *t)
{
    if (t == NULL) {
        return;
    }
    pc_worker_stop(&t->worker);
    pc_worker_destroy(&t->worker);
    free(t);
}

void lives_thread_note(
    struct lives_thread *t, const struct pc_life *life, const pc_node_id *kept, size_t kept_n)
{
    PC_ASSERT(kept_n <= PC_LIVES_KEPT_MAX);
    pc_worker_lock(&t->worker);
    memcpy(t->kept, kept, kept_n * sizeof kept[0]);
    t->kept_n = kept_n;
    list_put(t->waiting, &t->waiting_n, life);
    pc_worker_wake(&t->worker);
    pc_worker_unlock(&t->worker);
}

bool lives_thread_poll(
    struct lives_thread *t, struct pc_life *life, pc_err *err, struct pc_error *error)
{
    pc_worker_lock(&t->worker);
    bool has_done = t->done_n > 0;
    bool has_failed = !has_done && t->err != PC_OK && !t->err_told;
    if (has_done) {
        *life = list_take(t->done, &t->done_n);
        *err = PC_OK;
    } else if (has_failed) {
        *err = t->err;
        *error = t->error;
        t->err_told = true;
    }
    pc_worker_unlock(&t->worker);
    return has_done || has_failed;
}
