/* The resolver's thread, with a name server that the tests hold up: this getaddrinfo stands in for
 * the C library's. Names that begin with "held" wait until they are let go. */
#define _GNU_SOURCE
#include "support/test.h"

#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/os.h"

#define ASKED_MAX 8
#define WAIT_MS 10000

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool is_held;
    char asked[ASKED_MAX][32]; /* names that reached the thread, in order */
    size_t asked_n, answered_n;
} server = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int answer_with_loopback(struct addrinfo **out)
{
    struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in));
    if (info == NULL) {
        return EAI_MEMORY;
    }
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(7)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    memcpy(info + 1, &addr, sizeof addr);
    info->ai_family = AF_INET;
    info->ai_addr = (struct sockaddr *)(void *)(info + 1);
    info->ai_addrlen = sizeof addr;
    *out = info;
    return 0;
}

int getaddrinfo(
    const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
    (void)service;
    if ((hints->ai_flags & AI_NUMERICHOST) != 0) {
        return EAI_NONAME;
    }
    pthread_mutex_lock(&server.lock);
    if (server.asked_n < ASKED_MAX) {
        (void)snprintf(server.asked[server.asked_n], sizeof server.asked[0], "%s", name);
    }
    server.asked_n++;
    pthread_cond_broadcast(&server.changed);
    while (server.is_held && strncmp(name, "held", 4) == 0) {
        pthread_cond_wait(&server.changed, &server.lock);
    }
    server.answered_n++;
    pthread_cond_broadcast(&server.changed);
    pthread_mutex_unlock(&server.lock);
    return strcmp(name, "unknown") == 0 ? EAI_NONAME : answer_with_loopback(out);
}

void freeaddrinfo(struct addrinfo *info)
{
    free(info);
}

static void server_hold(bool is_held)
{
    pthread_mutex_lock(&server.lock);
    server.is_held = is_held;
    pthread_cond_broadcast(&server.changed);
    pthread_mutex_unlock(&server.lock);
}

/* Waits until `count` names, *n of the server, have come so far. */
static void server_await(const size_t *n, size_t count)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    int rc = 0;
    pthread_mutex_lock(&server.lock);
    while (rc == 0 && *n < count) {
        rc = pthread_cond_timedwait(&server.changed, &server.lock, &until);
    }
    pthread_mutex_unlock(&server.lock);
    assert_int_equal(rc, 0);
}

struct fixture {
    struct event_base *base;
    struct pc_resolver *resolver;
};

static void fixture_open(struct fixture *f)
{
    struct pc_error error;
    server.asked_n = server.answered_n = 0;
    server_hold(true);
    f->base = event_base_new();
    assert_non_null(f->base);
    assert_ok(pc_resolver_open(f->base, &f->resolver, &error));
}

static void fixture_close(struct fixture *f)
{
    pc_resolver_close(f->resolver);
    event_base_free(f->base);
}

struct answers {
    int calls, failures;
};

static void on_answer(void *context, const struct pc_addr *addrs, size_t addrs_n, const char *error)
{
    (void)addrs;
    struct answers *answers = context;
    answers->calls++;
    assert_int_equal(error != NULL, addrs_n == 0);
    answers->failures += error != NULL;
}

static uint64_t ask(struct fixture *f, const char *address, struct answers *answers)
{
    uint64_t ticket = pc_resolver_ask(f->resolver, address, on_answer, answers);
    assert_true(ticket > 0);
    return ticket;
}

static void run_until(struct fixture *f, const struct answers *answers, int calls)
{
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), WAIT_MS);
    while (answers->calls < calls && !pc_instant_is_due(end, pc_clock_now())) {
        struct timeval pause = {.tv_usec = 10000};
        event_base_loopexit(f->base, &pause);
        event_base_dispatch(f->base);
    }
    assert_int_equal(answers->calls, calls);
}

static void cancel__of_waiting_questions__leaves_the_thread_to_the_others(void **state)
{
    (void)state;
    struct fixture f;
    struct answers answers = {0}, silent = {0};
    fixture_open(&f);
    (void)ask(&f, "held:1", &answers);
    server_await(&server.asked_n, 1);
    uint64_t first = ask(&f, "first:1", &silent);
    (void)ask(&f, "middle:1", &answers);
    uint64_t last = ask(&f, "last:1", &silent);
    pc_resolver_cancel(f.resolver, first);
    pc_resolver_cancel(f.resolver, last);
    pc_resolver_cancel(f.resolver, last); /* once more changes nothing */
    (void)ask(&f, "unknown:1", &answers);
    server_hold(false);
    run_until(&f, &answers, 3);
    assert_int_equal(answers.failures, 1);
    assert_int_equal(silent.calls, 0);
    assert_int_equal(server.asked_n, 3);
    assert_string_equal(server.asked[0], "held");
    assert_string_equal(server.asked[1], "middle");
    assert_string_equal(server.asked[2], "unknown");
    fixture_close(&f);
}

static void cancel__of_waiting_questions__makes_room_at_once(void **state)
{
    (void)state;
    struct fixture f;
    struct answers answers = {0}, silent = {0};
    uint64_t tickets[PC_RESOLVER_QUEUE_MAX];
    fixture_open(&f);
    (void)ask(&f, "held:1", &answers);
    server_await(&server.asked_n, 1);
    for (size_t i = 1; i < PC_RESOLVER_QUEUE_MAX; i++) {
        tickets[i] = ask(&f, "dropped:1", &silent);
    }
    assert_true(pc_resolver_ask(f.resolver, "more:1", on_answer, &answers) == 0);
    for (size_t i = 1; i < PC_RESOLVER_QUEUE_MAX; i++) {
        pc_resolver_cancel(f.resolver, tickets[i]);
    }
    for (size_t i = 1; i < PC_RESOLVER_QUEUE_MAX; i++) {
        (void)ask(&f, "more:1", &answers);
    }
    assert_true(pc_resolver_ask(f.resolver, "more:1", on_answer, &answers) == 0);
    server_hold(false);
    run_until(&f, &answers, PC_RESOLVER_QUEUE_MAX);
    assert_int_equal(silent.calls, 0);
    assert_int_equal(server.asked_n, PC_RESOLVER_QUEUE_MAX);
    fixture_close(&f);
}

static void cancel__of_the_running_question__is_silent_and_frees_its_place(void **state)
{
    (void)state;
    struct fixture f;
    struct answers answers = {0}, silent = {0};
    fixture_open(&f);
    uint64_t running = ask(&f, "held:1", &silent);
    server_await(&server.asked_n, 1);
    pc_resolver_cancel(f.resolver, running);
    (void)ask(&f, "next:1", &answers);
    server_hold(false);
    run_until(&f, &answers, 1);
    assert_int_equal(silent.calls, 0);
    for (int i = 0; i < PC_RESOLVER_QUEUE_MAX; i++) {
        (void)ask(&f, "next:1", &answers);
    }
    run_until(&f, &answers, 1 + PC_RESOLVER_QUEUE_MAX);
    fixture_close(&f);
}

/* The thread is left to end by itself; what it still touches must be there. */
static void close__while_the_thread_is_held_up__does_not_wait(void **state)
{
    (void)state;
    struct fixture f;
    struct answers silent = {0};
    fixture_open(&f);
    (void)ask(&f, "held:1", &silent);
    server_await(&server.asked_n, 1);
    (void)ask(&f, "waiting:1", &silent);
    fixture_close(&f);
    server_hold(false);
    server_await(&server.answered_n, 1);
    assert_int_equal(silent.calls, 0);
    assert_int_equal(server.asked_n, 1);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(cancel__of_waiting_questions__leaves_the_thread_to_the_others),
    PC_TEST(cancel__of_waiting_questions__makes_room_at_once),
    PC_TEST(cancel__of_the_running_question__is_silent_and_frees_its_place),
    PC_TEST(close__while_the_thread_is_held_up__does_not_wait),
};

PC_TEST_MAIN("resolver", tests)
