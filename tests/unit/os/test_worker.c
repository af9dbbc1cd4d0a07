/* A thread beside the engine: jobs go in, results come out, the eventfd tells, the end is the
 * thread's own. Also run under the thread sanitizer. */
#define _GNU_SOURCE
#include "support/test.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "pcache/os.h"

#define JOBS 1000u
#define DEADLINE_MS 10000

struct adder {
    struct pc_worker worker;
    unsigned queued; /* jobs, each of which adds one */
    unsigned sum;
    uint64_t until_us; /* of a wait without a job */
    unsigned timeouts;
    bool signals_blocked;
    char name[16];
};

static void *adder_run(void *context)
{
    struct adder *adder = context;
    sigset_t blocked;
    int rc = pthread_sigmask(SIG_BLOCK, NULL, &blocked);
    pc_worker_lock(&adder->worker);
    adder->signals_blocked = rc == 0 && sigismember(&blocked, SIGTERM) == 1;
    while (!adder->worker.stopping || adder->queued > 0) {
        if (adder->queued == 0) {
            bool in_time = pc_worker_wait(&adder->worker, adder->until_us);
            if (!in_time) {
                adder->timeouts++;
                adder->until_us = UINT64_MAX;
                pc_worker_notify(&adder->worker);
            }
            continue;
        }
        adder->queued--;
        adder->sum++;
        pc_worker_notify(&adder->worker);
    }
    pc_worker_unlock(&adder->worker);
    return NULL;
}

static void adder_start(struct adder *adder, int fd, uint64_t until_us)
{
    *adder = (struct adder){.until_us = until_us};
    pc_worker_start(&adder->worker, "pc-test-adder", fd, adder_run, adder);
}

static void adder_queue(struct adder *adder)
{
    pc_worker_lock(&adder->worker);
    adder->queued++;
    pc_worker_wake(&adder->worker);
    pc_worker_unlock(&adder->worker);
}

static int eventfd_open(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static uint64_t eventfd_await(int fd)
{
    struct pollfd waits = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&waits, 1, DEADLINE_MS), 1);
    uint64_t count = 0;
    assert_int_equal(read(fd, &count, sizeof count), sizeof count);
    return count;
}

static void worker__jobs_queued__each_is_done_and_told(void **state)
{
    (void)state;
    int fd = eventfd_open();
    struct adder adder;
    adder_start(&adder, fd, UINT64_MAX);
    for (unsigned i = 0; i < JOBS; i++) {
        adder_queue(&adder);
    }
    uint64_t told = 0;
    while (told < JOBS) {
        told += eventfd_await(fd);
    }
    pc_worker_lock(&adder.worker);
    assert_int_equal(adder.sum, JOBS);
    assert_int_equal(adder.timeouts, 0);
    pc_worker_unlock(&adder.worker);
    pc_worker_stop(&adder.worker);
    assert_int_equal(told, JOBS);
    pc_worker_destroy(&adder.worker);
    (void)close(fd);
}

/* The owner looks at what is left after the end, under the lock as ever. */
static void worker__stopped_with_jobs_queued__ends_when_its_thread_says_so(void **state)
{
    (void)state;
    struct adder adder;
    adder_start(&adder, -1, UINT64_MAX);
    for (unsigned i = 0; i < JOBS; i++) {
        adder_queue(&adder);
    }
    pc_worker_stop(&adder.worker);
    pc_worker_lock(&adder.worker);
    assert_int_equal(adder.sum, JOBS);
    pc_worker_unlock(&adder.worker);
    pc_worker_destroy(&adder.worker);
}

static void worker__nothing_to_do__wait_ends_at_its_time_and_not_before(void **state)
{
    (void)state;
    int fd = eventfd_open();
    struct adder adder;
    uint64_t until_us = pc_clock_monotonic_us() + 20000;
    adder_start(&adder, fd, until_us);
    assert_int_equal(eventfd_await(fd), 1);
    assert_true(pc_clock_monotonic_us() >= until_us);
    pc_worker_lock(&adder.worker);
    assert_int_equal(adder.timeouts, 1);
    pc_worker_unlock(&adder.worker);
    pc_worker_stop(&adder.worker);
    pc_worker_destroy(&adder.worker);
    (void)close(fd);
}

static void worker__started__has_its_name_and_leaves_signals_to_the_engine(void **state)
{
    (void)state;
    struct adder adder;
    adder_start(&adder, -1, UINT64_MAX);
    assert_int_equal(pthread_getname_np(adder.worker.thread, adder.name, sizeof adder.name), 0);
    assert_string_equal(adder.name, "pc-test-adder");
    pc_worker_stop(&adder.worker);
    assert_true(adder.signals_blocked);
    sigset_t blocked;
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    assert_int_equal(sigismember(&blocked, SIGTERM), 0);
    pc_worker_destroy(&adder.worker);
}

/* A reader that never looks must not hold the thread up. */
static void worker__eventfd_full__is_not_waited_for(void **state)
{
    (void)state;
    int fd = eventfd_open();
    uint64_t full = UINT64_MAX - 1;
    assert_int_equal(write(fd, &full, sizeof full), sizeof full);
    struct adder adder;
    adder_start(&adder, fd, UINT64_MAX);
    adder_queue(&adder);
    pc_worker_stop(&adder.worker);
    assert_int_equal(adder.sum, 1);
    pc_worker_destroy(&adder.worker);
    (void)close(fd);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(worker__jobs_queued__each_is_done_and_told),
    PC_TEST(worker__stopped_with_jobs_queued__ends_when_its_thread_says_so),
    PC_TEST(worker__nothing_to_do__wait_ends_at_its_time_and_not_before),
    PC_TEST(worker__started__has_its_name_and_leaves_signals_to_the_engine),
    PC_TEST(worker__eventfd_full__is_not_waited_for),
};

PC_TEST_MAIN("worker", tests)
