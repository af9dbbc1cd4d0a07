/* A note waits for a disk, which may take seconds: until it is there Raft does without that peer,
 * and everything else goes on. A failed sync is final, as everywhere: nothing is tried again. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "lives.h"
#include "pcache/assert.h"

struct lives_thread {
    struct lives *lives;
    int notify_fd;
    pthread_t thread;

    pthread_mutex_t lock; /* guards from here ... */
    pthread_cond_t wake;
    struct pc_life waiting[PC_LIVES_MAX];
    size_t waiting_n;
    struct pc_life done[PC_LIVES_MAX];
    size_t done_n;
    pc_err err; /* of the note that failed */
    bool err_told;
    struct pc_error error;
    bool stopping; /* ... to here */
};

static void lock(struct lives_thread *t)
{
    int rc = pthread_mutex_lock(&t->lock);
    PC_ASSERT(rc == 0);
}

static void unlock(struct lives_thread *t)
{
    int rc = pthread_mutex_unlock(&t->lock);
    PC_ASSERT(rc == 0);
}

static void notify(const struct lives_thread *t)
{
    uint64_t one = 1;
    ssize_t put = write(t->notify_fd, &one, sizeof one);
    (void)put; /* full: whoever reads it is told already */
}

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
    lock(t);
    while (!t->stopping) {
        if (t->waiting_n == 0 || t->err != PC_OK) {
            pthread_cond_wait(&t->wake, &t->lock);
            continue;
        }
        struct pc_life life = list_take(t->waiting, &t->waiting_n);
        unlock(t);
        struct pc_error error = {0};
        pc_err err = lives_note(t->lives, &life, &error);
        lock(t);
        if (err == PC_OK) {
            list_put(t->done, &t->done_n, &life);
        } else {
            t->err = err;
            t->error = error;
        }
        notify(t);
    }
    unlock(t);
    return NULL;
}

struct lives_thread *lives_thread_start(struct lives *lives, int notify_fd)
{
    struct lives_thread *t = pc_xalloc(sizeof *t);
    t->lives = lives;
    t->notify_fd = notify_fd;
    int rc = pthread_mutex_init(&t->lock, NULL);
    PC_ASSERT(rc == 0);
    rc = pthread_cond_init(&t->wake, NULL);
    PC_ASSERT(rc == 0);
    rc = pthread_create(&t->thread, NULL, lives_run, t);
    PC_ASSERT(rc == 0);
    return t;
}

void lives_thread_stop(struct lives_thread *t)
{
    if (t == NULL) {
        return;
    }
    lock(t);
    t->stopping = true;
    pthread_cond_signal(&t->wake);
    unlock(t);
    int rc = pthread_join(t->thread, NULL);
    PC_ASSERT(rc == 0);
    pthread_cond_destroy(&t->wake);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

void lives_thread_note(struct lives_thread *t, const struct pc_life *life)
{
    lock(t);
    list_put(t->waiting, &t->waiting_n, life);
    pthread_cond_signal(&t->wake);
    unlock(t);
}

bool lives_thread_poll(
    struct lives_thread *t, struct pc_life *life, pc_err *err, struct pc_error *error)
{
    lock(t);
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
    unlock(t);
    return has_done || has_failed;
}
