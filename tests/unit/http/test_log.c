#define _GNU_SOURCE
/* GET /v1/log: what is asked of the disk, when, and what clients get for it. */
#include "fake_client.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/limits.h"
#include "pcache/os.h"

static int setup(void **state)
{
    static struct bench bench;
    bench_init(&bench);
    bench_open(&bench);
    bench.node.log_last = 9;
    bench.node.applied = 9;
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    return 0;
}

#define CALL(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static void client_get(struct bench *bench, struct client *client, const char *query)
{
    char text[256];
    (void)snprintf(text, sizeof text, "GET /v1/log%s HTTP/1.1\r\nHost: h\r\n\r\n", query);
    client_open(bench, client);
    client_text(client, text);
}

/* Answers the read that was asked for. */
static void give(struct bench *bench, pc_err err, size_t n, const char *lines)
{
    struct pc_buf bytes = {0};
    AWAIT(bench, bench->node.log_tag != 0);
    pc_buf_append(&bytes, lines, strlen(lines));
    struct pc_http_log_page page = {.tag = bench->node.log_tag,
        .err = err,
        .text = err != PC_OK ? "log-1.seg: damaged at offset 7" : NULL,
        .n = n,
        .lines = &bytes};
    bench->node.log_tag = 0;
    pc_http_log_page(bench->http, &page);
    pc_buf_destroy(&bytes);
}

static void assert_field(const struct answer *answer, const char *name, const char *want)
{
    const char *value = answer_header(answer, name);
    assert_non_null(value);
    assert_string_equal(value, want);
}

/* Takes client's answer, which is of this status and has these words in its body. */
static void expect(struct client *client, int status, const char *words)
{
    struct answer answer;
    client_answer(client, &answer, false);
    assert_int_equal(answer.status, status);
    assert_non_null(strstr(answer_text(&answer), words));
    answer_destroy(&answer);
    client_close(client);
}

/* Entry `next` is not there yet. */
static void expect_nothing(struct client *client, const char *next)
{
    struct answer answer;
    client_answer(client, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.body.len, 0);
    assert_field(&answer, "X-PC-Next", next);
    answer_destroy(&answer);
    client_close(client);
}

static void page__whole__says_where_to_go_on(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    bench->node.log_oldest = 2;
    client_get(bench, &client, "?from=3&limit=4");
    give(bench, PC_OK, 4, "a\nb\nc\nd\n");
    assert_int_equal(bench->node.log_first, 3);
    assert_int_equal(bench->node.log_upto, 6);
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer), "a\nb\nc\nd\n");
    assert_field(&answer, "Content-Type", "application/x-ndjson");
    assert_field(&answer, "Content-Length", "8");
    assert_field(&answer, "X-PC-Next", "7");
    assert_field(&answer, "X-PC-Oldest", "2");
    assert_field(&answer, "X-PC-Applied", "9");
    assert_field(&answer, "X-PC-Node", "node1");
    assert_null(answer_header(&answer, "X-PC-Branch"));
    answer_destroy(&answer);
    client_close(&client);
}

/* The disk gave less than was asked for; nothing in the query is the oldest on. */
static void page__cut_by_its_bytes__ends_where_they_do(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    bench->node.log_oldest = 5;
    client_get(bench, &client, "");
    give(bench, PC_OK, 2, "a\nb\n");
    assert_int_equal(bench->node.log_first, 5);
    assert_int_equal(bench->node.log_upto, 9);
    client_answer(&client, &answer, false);
    assert_field(&answer, "X-PC-Next", "7");
    answer_destroy(&answer);
    client_close(&client);
}

static void limit__not_given__is_the_default(void **state)
{
    struct bench *bench = *state;
    struct client client;
    bench->node.log_last = bench->node.applied = 1000000;
    client_get(bench, &client, "?from=10");
    give(bench, PC_OK, 1, "a\n");
    assert_int_equal(bench->node.log_upto, 9 + PC_FEED_ENTRIES_DEFAULT);
    expect(&client, 200, "a\n");
    client_get(bench, &client, "?limit=100000&from=999995");
    give(bench, PC_OK, 1, "b\n");
    assert_int_equal(bench->node.log_upto, 1000000);
    expect(&client, 200, "b\n");
}

static void from__in_front_of_the_oldest__is_gone(void **state)
{
    struct bench *bench = *state;
    struct client client;
    bench->node.log_oldest = 5;
    client_get(bench, &client, "?from=4");
    expect(&client, 410, "\"code\":\"compacted\",\"retryable\":false,\"oldest\":5}");
    client_get(bench, &client, "?from=4&wait=30s");
    expect(&client, 410, "GET /v1/snapshot");
    assert_int_equal(bench->node.log_reads, 0);
}

static void from__behind_the_end__is_nothing_yet_or_out_of_range(void **state)
{
    struct bench *bench = *state;
    struct client client;
    client_get(bench, &client, "?from=10");
    expect_nothing(&client, "10");
    client_get(bench, &client, "?from=11");
    expect(&client, 416, "\"code\":\"out_of_range\",\"retryable\":true,\"applied\":9}");
    bench->node.applied = 12; /* the disk of this node lags behind the others' */
    client_get(bench, &client, "?from=13");
    expect_nothing(&client, "13");
    client_get(bench, &client, "?from=14");
    expect(&client, 416, "\"applied\":12");
    assert_int_equal(bench->node.log_reads, 0);
}

static void from__not_given_while_the_oldest_goes__is_the_next_oldest(void **state)
{
    struct bench *bench = *state;
    struct client client;
    client_get(bench, &client, "?limit=2");
    AWAIT(bench, bench->node.log_tag != 0);
    bench->node.log_oldest = 4;
    give(bench, PC_E_NOT_FOUND, 0, "");
    give(bench, PC_OK, 2, "four\nfive\n");
    assert_int_equal(bench->node.log_first, 4);
    assert_int_equal(bench->node.log_upto, 5);
    expect(&client, 200, "four\nfive\n");
}

/* What was installed lies behind what was applied: a snapshot that is still being read. */
static void from__while_nothing_is_applied__is_the_first_to_come(void **state)
{
    struct bench *bench = *state;
    struct client client;
    bench->node.log_oldest = 41;
    bench->node.log_last = 40;
    bench->node.applied = 0;
    client_get(bench, &client, "");
    expect_nothing(&client, "41");
    client_get(bench, &client, "?from=42");
    expect(&client, 416, "\"applied\":0");
}

static void query__not_as_it_should_be__is_refused(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *query, *code;
    } cases[] = {{"?from=0", "bad_from"}, {"?from=", "bad_from"}, {"?from=-1", "bad_from"},
        {"?from=9223372036854775808", "bad_from"}, {"?from=99999999999999999999", "bad_from"},
        {"?from=1x", "bad_from"}, {"?limit=0", "bad_limit"}, {"?limit=100001", "bad_limit"},
        {"?limit=1.5", "bad_limit"}, {"?wait=61s", "bad_wait"}, {"?wait=5", "bad_wait"},
        {"?from=1&from=2", "repeated_parameter"}, {"?to=1", "unknown_parameter"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client;
        client_get(bench, &client, cases[i].query);
        expect(&client, 400, cases[i].code);
    }
    struct answer answer;
    ask(bench, &answer, "POST /v1/log HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(answer.status, 405);
    answer_destroy(&answer);
    assert_int_equal(bench->node.log_reads, 0);
}

static void wait__entry_comes__is_answered_with_it(void **state)
{
    struct bench *bench = *state;
    struct client client;
    client_get(bench, &client, "?from=12&wait=30s");
    bench->node.applied = bench->node.log_last = 11;
    for (int i = 0; i < 20; i++) {
        client_wait(&client);
    }
    assert_int_equal(bench->node.log_reads, 0);
    bench->node.applied = 12; /* not on the disk yet */
    client_wait(&client);
    assert_int_equal(bench->node.log_reads, 0);
    bench->node.log_last = 12;
    give(bench, PC_OK, 1, "l\n");
    assert_int_equal(bench->node.log_first, 12);
    expect(&client, 200, "l\n");
}

static void wait__nothing_comes__ends_in_time(void **state)
{
    struct bench *bench = *state;
    struct client overdue, client, lagging;
    bench->node.clock_at = pc_clock_now();
    client_open(bench, &overdue);
    client_text(&overdue, "GET /livez HTTP/1.1\r\n");
    client_get(bench, &client, "?from=10&wait=30s");
    client_get(bench, &lagging, "?from=12&wait=30s");
    AWAIT(bench, pc_http_in_flight(bench->http) == 2);
    bench->node.clock_skip_ms = 29000;        /* longer than any other answer may take */
    expect(&overdue, 408, "request_timeout"); /* all deadlines are looked at together */
    client_wait(&client);
    client_wait(&lagging);
    assert_int_equal(client.in.len + lagging.in.len, 0);
    bench->node.clock_skip_ms = 30001;
    expect_nothing(&client, "10");
    expect(&lagging, 416, "out_of_range");
}

static void wait__draining__ends_at_once(void **state)
{
    struct bench *bench = *state;
    struct client client;
    client_get(bench, &client, "?from=10&wait=30s");
    client_wait(&client);
    pc_http_drain_begin(bench->http);
    expect_nothing(&client, "10");
    client_get(bench, &client, "?from=10&wait=30s");
    expect_nothing(&client, "10");
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

static void asks__several__are_read_one_at_a_time_in_order(void **state)
{
    struct bench *bench = *state;
    struct client clients[3];
    static const char *const queries[] = {"?from=1", "?from=2", "?from=3"};
    static const char *const lines[] = {"one\n", "two\n", "three\n"};
    for (size_t i = 0; i < 3; i++) {
        client_get(bench, &clients[i], queries[i]);
        AWAIT(bench, pc_http_in_flight(bench->http) == i + 1);
    }
    assert_int_equal(bench->node.log_reads, 1); /* the fake one asserts it for all */
    for (size_t i = 0; i < 3; i++) {
        give(bench, PC_OK, 1, lines[i]);
        assert_int_equal(bench->node.log_first, i + 1);
        expect(&clients[i], 200, lines[i]);
    }
}

/* Those who wait for entries are in nobody's way. */
static void asks__behind_one_that_waits__are_served(void **state)
{
    struct bench *bench = *state;
    struct client waiting, client;
    client_get(bench, &waiting, "?from=10&wait=30s");
    client_wait(&waiting);
    client_get(bench, &client, "?from=9");
    give(bench, PC_OK, 1, "nine\n");
    expect(&client, 200, "nine\n");
    client_close(&waiting);
}

static void client__does_not_read__keeps_pages_from_being_read(void **state)
{
    struct bench *bench = *state;
    struct client slow, client;
    size_t len = PC_FEED_UNSENT_BYTES_MAX + 8 * 1024 * 1024; /* more than sockets hold */
    char *lines = malloc(len + 1);
    assert_non_null(lines);
    memset(lines, 'x', len);
    lines[len] = '\0';
    client_get(bench, &slow, "?from=1");
    give(bench, PC_OK, 1, lines);
    free(lines);
    client_get(bench, &client, "?from=2");
    for (int i = 0; i < 50; i++) {
        bench_turn(bench);
    }
    assert_int_equal(bench->node.log_reads, 1);
    client_close(&slow); /* whatever it held goes with it */
    give(bench, PC_OK, 1, "two\n");
    expect(&client, 200, "two\n");
}

static void page__that_cannot_be_read__is_a_problem(void **state)
{
    struct bench *bench = *state;
    struct client client;
    client_get(bench, &client, "?from=3");
    give(bench, PC_E_CORRUPT, 0, "");
    expect(&client, 500,
        "entry 3 cannot be read: log-1.seg: damaged at offset 7; other nodes have it\","
        "\"code\":\"log_unreadable\",\"retryable\":false");
    client_get(bench, &client, "?from=3");
    give(bench, PC_E_AGAIN, 0, "");
    expect(&client, 503, "\"retryable\":true");
    client_get(bench, &client, "?from=3");
    AWAIT(bench, bench->node.log_tag != 0);
    bench->node.log_oldest = 4; /* dropped while it was on its way to the disk */
    give(bench, PC_E_NOT_FOUND, 0, "");
    expect(&client, 410, "\"oldest\":4");
    client_get(bench, &client, "?from=4");
    give(bench, PC_E_NOT_FOUND, 0, "");
    expect(&client, 503, "\"retryable\":true");
}

static void disk__does_not_answer__ends_the_request(void **state)
{
    struct bench *bench = *state;
    struct client client;
    client_get(bench, &client, "?from=3");
    AWAIT(bench, bench->node.log_tag != 0);
    bench->node.clock_skip_ms = 16000;
    expect(&client, 503, "could not be read in time");
    client_get(bench, &client, "?from=4");
    AWAIT(bench, pc_http_in_flight(bench->http) == 1);
    assert_int_equal(bench->node.log_reads, 1);
    give(bench, PC_OK, 1, "three\n"); /* for nobody any more */
    give(bench, PC_OK, 1, "four\n");
    expect(&client, 200, "four\n");
}

static void asks__too_many__are_refused_but_for_those_that_left(void **state)
{
    struct bench *bench = *state;
    static struct client clients[PC_FEED_ASKS_MAX];
    struct client one_more;
    for (size_t i = 0; i < PC_FEED_ASKS_MAX; i++) {
        client_get(bench, &clients[i], "?from=10&wait=30s");
        AWAIT(bench, pc_http_in_flight(bench->http) == i + 1);
    }
    client_get(bench, &one_more, "?from=10");
    expect(&one_more, 503, "too many requests wait for the log");
    for (size_t i = 0; i < PC_FEED_ASKS_MAX; i += 2) {
        client_close(&clients[i]);
    }
    client_get(bench, &one_more, "?from=10");
    expect_nothing(&one_more, "10");
    AWAIT(bench, pc_http_in_flight(bench->http) == PC_FEED_ASKS_MAX / 2);
    for (size_t i = 1; i < PC_FEED_ASKS_MAX; i += 2) {
        client_close(&clients[i]);
    }
}

static void page__of_a_node_alone__is_marked(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    bench->node.solo = true;
    client_get(bench, &client, "?from=9");
    give(bench, PC_OK, 1, "nine\n");
    client_answer(&client, &answer, false);
    assert_field(&answer, "X-PC-Branch", "abababababababababababababababab");
    assert_field(&answer, "X-PC-Durability", "solo");
    answer_destroy(&answer);
    client_close(&client);
}

static void metrics__after_a_page__count_it(void **state)
{
    struct bench *bench = *state;
    struct client client, waiting;
    struct answer answer;
    client_get(bench, &client, "?from=3");
    give(bench, PC_OK, 7, "x\n");
    expect(&client, 200, "x\n");
    client_get(bench, &waiting, "?from=10&wait=30s");
    AWAIT(bench, pc_http_in_flight(bench->http) == 1);
    ask(bench, &answer, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(answer_text(&answer), "\npcached_feed_entries_total 7\n"));
    assert_non_null(strstr(answer_text(&answer), "\npcached_feed_requests 1\n"));
    assert_non_null(strstr(answer_text(&answer), "\npcached_feed_unsent_bytes 0\n"));
    assert_non_null(
        strstr(answer_text(&answer), "pcached_http_requests_total{route=\"log\",code=\"200\"} 1"));
    answer_destroy(&answer);
    client_close(&waiting);
}

static const struct CMUnitTest tests[] = {
    CALL(page__whole__says_where_to_go_on),
    CALL(page__cut_by_its_bytes__ends_where_they_do),
    CALL(limit__not_given__is_the_default),
    CALL(from__in_front_of_the_oldest__is_gone),
    CALL(from__behind_the_end__is_nothing_yet_or_out_of_range),
    CALL(from__not_given_while_the_oldest_goes__is_the_next_oldest),
    CALL(from__while_nothing_is_applied__is_the_first_to_come),
    CALL(query__not_as_it_should_be__is_refused),
    CALL(wait__entry_comes__is_answered_with_it),
    CALL(wait__nothing_comes__ends_in_time),
    CALL(wait__draining__ends_at_once),
    CALL(asks__several__are_read_one_at_a_time_in_order),
    CALL(asks__behind_one_that_waits__are_served),
    CALL(client__does_not_read__keeps_pages_from_being_read),
    CALL(page__that_cannot_be_read__is_a_problem),
    CALL(disk__does_not_answer__ends_the_request),
    CALL(asks__too_many__are_refused_but_for_those_that_left),
    CALL(page__of_a_node_alone__is_marked),
    CALL(metrics__after_a_page__count_it),
};
PC_TEST_MAIN("http_log", tests)
