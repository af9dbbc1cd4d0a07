#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pcache/limits.h"
#include "pcache/os.h"

static void split_address__forms__are_told_apart(void **state)
{
    (void)state;
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port = 0;
    assert_ok(pc_os_split_address("node-1.example:7946", host, sizeof host, &port));
    assert_string_equal(host, "node-1.example");
    assert_int_equal(port, 7946);
    assert_ok(pc_os_split_address("[::1]:0", host, sizeof host, &port));
    assert_string_equal(host, "::1");
    assert_int_equal(port, 0);
    static const char *const bad[] = {"", "host", "host:", ":1", "::1:80", "[]:80", "h:65536",
        "h:-1", "h:1x", "h: 1", "h:000001"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(pc_os_split_address(bad[i], host, sizeof host, &port), PC_E_INVALID);
    }
    assert_int_equal(pc_os_split_address("abcd:1", host, 4, &port), PC_E_INVALID);
}

static void listen_tcp__port_in_use__names_this_process(void **state)
{
    (void)state;
    struct pc_error error = {0};
    int first = -1;
    int second = -1;
    assert_ok(pc_os_listen_tcp("127.0.0.1:0", &first, &error));
    assert_true(fcntl(first, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
    uint16_t port = pc_os_local_port(first);
    assert_true(port > 0);
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    assert_int_equal(pc_os_listen_tcp(address, &second, &error), PC_E_EXISTS);
    assert_int_equal(second, -1);
    char holder[32];
    (void)snprintf(holder, sizeof holder, "pid %d ", (int)getpid());
    assert_non_null(strstr(error.text, holder));
    (void)snprintf(holder, sizeof holder, "port %u", port);
    assert_non_null(strstr(error.text, holder));
    close(first);
    assert_ok(pc_os_listen_tcp(address, &second, &error));
    close(second);
}

static void bind_udp__port_in_use__is_refused(void **state)
{
    (void)state;
    struct pc_error error = {0};
    int first;
    int second;
    assert_ok(pc_os_bind_udp("127.0.0.1", 0, &first, &error));
    uint16_t port = pc_os_local_port(first);
    assert_int_equal(pc_os_bind_udp("127.0.0.1", port, &second, &error), PC_E_EXISTS);
    assert_non_null(strstr(error.text, "in use by pid"));
    close(first);
}

static void listen_tcp__bad_address__is_invalid(void **state)
{
    (void)state;
    struct pc_error error = {0};
    int fd;
    assert_int_equal(pc_os_listen_tcp("nonsense", &fd, &error), PC_E_INVALID);
    assert_int_equal(pc_os_listen_tcp("192.0.2.1:0", &fd, &error), PC_E_INVALID);
    assert_non_null(strstr(error.text, "192.0.2.1"));
}

static void sockaddr__both_families__come_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"127.0.0.1:7946", "[2001:db8::7]:1"};
    for (size_t i = 0; i < 2; i++) {
        struct pc_addr addr;
        struct pc_addr back;
        struct sockaddr_storage storage;
        assert_ok(pc_addr_parse(texts[i], &addr));
        assert_true(pc_os_sockaddr_of(&addr, AF_INET6, &storage) > 0);
        pc_os_addr_of((struct sockaddr *)&storage, &back);
        assert_true(pc_addr_equal(&addr, &back));
        socklen_t len = pc_os_sockaddr_of(&addr, AF_INET, &storage);
        assert_int_equal(len > 0, i == 0);
        if (len > 0) {
            pc_os_addr_of((struct sockaddr *)&storage, &back);
            assert_true(pc_addr_equal(&addr, &back));
        }
    }
}

/* ---- the resolver */
struct answers {
    int calls;
    size_t addrs_n;
    struct pc_addr first;
    char error[128];
    struct pc_resolver *resolver;
    uint64_t cancel; /* ticket to cancel from inside the answer */
};

static void on_answer(void *context, const struct pc_addr *addrs, size_t addrs_n, const char *error)
{
    struct answers *answers = context;
    answers->calls++;
    answers->addrs_n = addrs_n;
    if (addrs_n > 0) {
        answers->first = addrs[0];
    }
    (void)snprintf(answers->error, sizeof answers->error, "%s", error != NULL ? error : "");
    if (answers->cancel != 0) {
        pc_resolver_cancel(answers->resolver, answers->cancel);
    }
}

/* Runs the loop until `calls` answers came, at most 10 s. */
static void run_until(struct event_base *base, const struct answers *answers, int calls)
{
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), 10000);
    while (answers->calls < calls && !pc_instant_is_due(end, pc_clock_now())) {
        struct timeval pause = {.tv_usec = 10000};
        event_base_loopexit(base, &pause);
        event_base_dispatch(base);
    }
    assert_int_equal(answers->calls, calls);
}

static void resolver__names_and_numbers__are_answered_from_the_loop(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct pc_resolver *resolver;
    struct pc_error error;
    assert_ok(pc_resolver_open(base, &resolver, &error));
    struct answers answers = {0};

    assert_true(pc_resolver_ask(resolver, "127.0.0.1:7946", on_answer, &answers) > 0);
    assert_int_equal(answers.calls, 0);
    run_until(base, &answers, 1);
    assert_int_equal(answers.addrs_n, 1);
    char text[PC_ADDR_TEXT_MAX];
    pc_addr_format(&answers.first, text);
    assert_string_equal(text, "127.0.0.1:7946");

    assert_true(pc_resolver_ask(resolver, "localhost:81", on_answer, &answers) > 0);
    run_until(base, &answers, 2);
    assert_true(answers.addrs_n >= 1);
    assert_int_equal(answers.first.port, 81);

    assert_true(pc_resolver_ask(resolver, "nonsense", on_answer, &answers) > 0);
    run_until(base, &answers, 3);
    assert_int_equal(answers.addrs_n, 0);
    assert_string_equal(answers.error, "not host:port");
    pc_resolver_close(resolver);
    event_base_free(base);
}

static void resolver__cancelled__stays_silent(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct pc_resolver *resolver;
    struct pc_error error;
    assert_ok(pc_resolver_open(base, &resolver, &error));
    struct answers first = {.resolver = resolver};
    struct answers silent = {0};
    struct answers last = {0};
    /* Both are finished before the loop turns: the first answer must be able to stop the second. */
    assert_true(pc_resolver_ask(resolver, "127.0.0.1:1", on_answer, &first) > 0);
    first.cancel = pc_resolver_ask(resolver, "127.0.0.1:2", on_answer, &silent);
    uint64_t ticket = pc_resolver_ask(resolver, "localhost:3", on_answer, &silent);
    pc_resolver_cancel(resolver, ticket);
    assert_true(pc_resolver_ask(resolver, "localhost:4", on_answer, &last) > 0);
    run_until(base, &last, 1);
    assert_int_equal(first.calls, 1);
    assert_int_equal(silent.calls, 0);
    pc_resolver_close(resolver);
    event_base_free(base);
}

static void resolver__full_queue__refuses_and_recovers(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct pc_resolver *resolver;
    struct pc_error error;
    assert_ok(pc_resolver_open(base, &resolver, &error));
    struct answers answers = {0};
    for (int i = 0; i < PC_RESOLVER_QUEUE_MAX; i++) {
        assert_true(pc_resolver_ask(resolver, "127.0.0.1:1", on_answer, &answers) > 0);
    }
    assert_true(pc_resolver_ask(resolver, "127.0.0.1:1", on_answer, &answers) == 0);
    run_until(base, &answers, PC_RESOLVER_QUEUE_MAX);
    assert_true(pc_resolver_ask(resolver, "127.0.0.1:1", on_answer, &answers) > 0);
    pc_resolver_close(resolver);
    event_base_free(base);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(split_address__forms__are_told_apart),
    PC_TEST(listen_tcp__port_in_use__names_this_process),
    PC_TEST(bind_udp__port_in_use__is_refused),
    PC_TEST(listen_tcp__bad_address__is_invalid),
    PC_TEST(sockaddr__both_families__come_back),
    PC_TEST(resolver__names_and_numbers__are_answered_from_the_loop),
    PC_TEST(resolver__cancelled__stays_silent),
    PC_TEST(resolver__full_queue__refuses_and_recovers),
};

PC_TEST_MAIN("socket", tests)
