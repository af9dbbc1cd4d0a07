/* A thread beside the engine. What it does is its owner's; here is what is the same for all of
 * them: one lock, one condition, one way to end, one eventfd that tells the engine.
 *
 *   engine --lock, queue, wake--> [owner's queues] --wait, take--> thread
 *          <---- eventfd: poll -- [owner's results] <--lock, put, notify--'
 *
 * The thread ends when it sees `stopping`; whether it first does what is queued is its owner's
 * choice. Its condition runs on the monotonic clock: a clock that is set must neither hurry nor
 * hold up what waits. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "pcache/assert.h"
#include "pcache/os.h"

#define NAME_BYTES_MAX 15 /* the kernel's limit */

/* Signals are the business of the engine thread: a thread inherits what its maker blocks. */
static void thread_create(struct pc_worker *worker, void *(*run)(void *), void *context)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int rc = pthread_create(&worker->thread, NULL, run, context);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    PC_ASSERT(rc == 0); /* at start only: a process that cannot have one thread cannot go on */
}

void pc_worker_start(
    struct pc_worker *worker, const char *name, int notify_fd, void *(*run)(void *), void *context)
{
    PC_ASSERT(strlen(name) <= NAME_BYTES_MAX);
    *worker = (struct pc_worker){.notify_fd = notify_fd};
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    PC_ASSERT(rc == 0);
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    PC_ASSERT(rc == 0);
    rc = pthread_mutex_init(&worker->mutex, NULL);
    PC_ASSERT(rc == 0);
    rc = pthread_cond_init(&worker->woken, &attr);
    PC_ASSERT(rc == 0);
    (void)pthread_condattr_destroy(&attr);
    thread_create(worker, run, context);
    (void)pthread_setname_np(worker->thread, name); /* only ever looked at by people */
}

void pc_worker_stop(struct pc_worker *worker)
{
    pc_worker_lock(worker);
    PC_ASSERT(!worker->stopping);
    worker->stopping = true;
    pc_worker_wake(worker);
    pc_worker_unlock(worker);
    int rc = pthread_join(worker->thread, NULL);
    PC_ASSERT(rc == 0);
}

void pc_worker_destroy(struct pc_worker *worker)
{
    PC_ASSERT(worker->stopping);
    int rc = pthread_cond_destroy(&worker->woken);
    PC_ASSERT(rc == 0);
    rc = pthread_mutex_destroy(&worker->mutex);
    PC_ASSERT(rc == 0);
}

void pc_worker_lock(struct pc_worker *worker)
{
    int rc = pthread_mutex_lock(&worker->mutex);
    PC_ASSERT(rc == 0);
}

void pc_worker_unlock(struct pc_worker *worker)
{
    int rc = pthread_mutex_unlock(&worker->mutex);
    PC_ASSERT(rc == 0);
}

void pc_worker_wake(struct pc_worker *worker)
{
    int rc = pthread_cond_signal(&worker->woken);
    PC_ASSERT(rc == 0);
}

bool pc_worker_wait(struct pc_worker *worker, uint64_t until_us)
{
    int rc = 0;
    if (until_us == UINT64_MAX) {
        rc = pthread_cond_wait(&worker->woken, &worker->mutex);
    } else {
        struct timespec until = {
            .tv_sec = (time_t)(until_us / 1000000), .tv_nsec = (long)(until_us % 1000000) * 1000};
        rc = pthread_cond_timedwait(&worker->woken, &worker->mutex, &until);
    }
    PC_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void pc_worker_notify(const struct pc_worker *worker)
{
    uint64_t one = 1;
    ssize_t n = 0;
    do { /* an eventfd that is full (EAGAIN) has told its reader already */
        n = worker->notify_fd < 0 ? 0 : write(worker->notify_fd, &one, sizeof one);
    } while (n < 0 && errno == EINTR);
}
