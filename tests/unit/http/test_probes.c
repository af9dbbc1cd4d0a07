/* What hostile or broken clients send: one test for each row of the table in docs/HTTP.md, "What is
 * refused", against the real evhttp. */
#include "fake_client.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/os.h"

static int setup(void **state)
{
    static struct bench bench;
    bench_init(&bench);
    bench.opts.value_bytes_max = 65536;
    bench.opts.request_deadline_ms = 200;
    bench_open(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    return 0;
}

#define PROBE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
#define TAIL " HTTP/1.1\r\nHost: h\r\n"
#define HIDDEN "GET /livez" TAIL "\r\n"

/* The bytes get exactly one answer, as problem+json with this code, and then the connection ends:
 * nothing behind them was taken for a request. */
static void refused_n(
    struct bench *bench, const char *bytes, size_t len, int status, const char *code)
{
    struct client client;
    struct answer answer;
    client_open(bench, &client);
    (void)client_send(&client, bytes, len);
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, status);
    assert_string_equal(answer_header(&answer, "Content-Type"), "application/problem+json");
    assert_string_equal(answer_header(&answer, "Connection"), "close");
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "\"code\":\"%s\"", code);
    if (strstr(answer_text(&answer), wanted) == NULL) {
        fail_msg("not %s: %s", code, answer_text(&answer));
    }
    answer_destroy(&answer);
    client_await_close(&client);
    assert_int_equal(client.in.len, 0);
    client_close(&client);
    assert_int_equal(bench->node.submitted, 0);
    assert_int_equal(pc_http_in_flight(bench->http), 0);
}

#define REFUSED(bench, bytes, status, code)                                                        \
    refused_n(bench, "" bytes, sizeof bytes - 1, status, code)

static size_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0, resident = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &pages, &resident), 2);
    (void)fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void endless_chunk_size__is_not_buffered(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    client_open(bench, &client);
    client_text(&client, "PUT /v1/kv/a" TAIL "Transfer-Encoding: chunked\r\n\r\n");
    static char digits[65536];
    memset(digits, '0', sizeof digits);
    size_t before = resident_bytes();
    for (int i = 0; i < 1024 && client_send(&client, digits, sizeof digits); i++) {
        assert_true(resident_bytes() < before + 8 * 1024 * 1024);
    }
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 411);
    answer_destroy(&answer);
    client_await_close(&client);
    client_close(&client);
}

static void endless_line__is_not_buffered(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    client_open(bench, &client);
    static char letters[65536];
    memset(letters, 'a', sizeof letters);
    client_text(&client, "GET /livez" TAIL "X: ");
    size_t before = resident_bytes();
    for (int i = 0; i < 1024 && client_send(&client, letters, sizeof letters); i++) {
        assert_true(resident_bytes() < before + 8 * 1024 * 1024);
    }
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 431);
    answer_destroy(&answer);
    client_await_close(&client);
    client_close(&client);
}

/* A byte now and then resets a timeout that counts from the last read, but no absolute deadline. */
static void slow_head__is_cut_at_its_deadline(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    client_open(bench, &client);
    struct pc_instant begin = pc_clock_now();
    client_text(&client, "GET /livez" TAIL);
    unsigned sent = 0;
    while (client.in.len == 0) {
        assert_true(pc_instant_ms_between(begin, pc_clock_now()) < 3000);
        if (pc_instant_ms_between(begin, pc_clock_now()) / 20 > sent &&
            client_send(&client, "x", 1)) {
            sent++;
        }
        bench_turn(bench);
        char byte;
        if (recv(client.fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0) {
            break;
        }
    }
    assert_true(sent >= 3);
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 408);
    answer_destroy(&answer);
    client_await_close(&client);
    client_close(&client);
}

static void slow_body__is_cut_at_its_deadline(void **state)
{
    struct bench *bench = *state;
    REFUSED(bench, "PUT /v1/kv/a" TAIL "Content-Length: 10\r\n\r\nabc", 408, "request_timeout");
}

/* The deadline grows with the body: what is due for a small one is not for a large one. */
static void large_body__has_more_time(void **state)
{
    struct bench *bench = *state;
    struct client small, client;
    struct answer answer;
    bench->node.clock_at = pc_clock_now();
    client_open(bench, &client);
    client_text(&client, "PUT /v1/kv/a" TAIL "Content-Length: 65536\r\n\r\n");
    client_open(bench, &small);
    client_text(&small, "PUT /v1/kv/a" TAIL "Content-Length: 10\r\n\r\n");
    ask(bench, &answer, HIDDEN); /* behind those two: they have been read */
    answer_destroy(&answer);
    bench->node.clock_skip_ms = 449;
    client_answer(&small, &answer, false); /* all deadlines are looked at together */
    assert_int_equal(answer.status, 408);
    answer_destroy(&answer);
    client_wait(&client);
    assert_int_equal(client.in.len, 0);
    bench->node.clock_skip_ms = 450;
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 408);
    answer_destroy(&answer);
    client_close(&small);
    client_close(&client);
}

static void length_and_transfer_encoding__is_refused(void **state)
{
    struct bench *bench = *state;
    REFUSED(bench,
        "PUT /v1/kv/a" TAIL
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN,
        411, "transfer_encoding");
    REFUSED(bench,
        "PUT /v1/kv/a" TAIL
        "Transfer-Encoding: gzip, chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" HIDDEN,
        411, "transfer_encoding");
    REFUSED(bench, "PUT /v1/kv/a" TAIL "Transfer-Encoding: identity\r\n\r\n" HIDDEN, 411,
        "transfer_encoding");
    REFUSED(bench, "GET /livez" TAIL "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411,
        "transfer_encoding");
}

static void two_lengths__are_refused(void **state)
{
    struct bench *bench = *state;
    REFUSED(bench, "PUT /v1/kv/a" TAIL "Content-Length: 0\r\nContent-Length: 32\r\n\r\n" HIDDEN,
        400, "bad_content_length");
    REFUSED(bench, "PUT /v1/kv/a" TAIL "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400,
        "bad_content_length");
}

static void space_before_colon__is_refused(void **state)
{
    REFUSED(*state, "PUT /v1/kv/a" TAIL "Content-Length : 33\r\n\r\n" HIDDEN, 400,
        "space_before_colon");
}

static void odd_lengths__are_refused(void **state)
{
    REFUSED(*state, "PUT /v1/kv/a" TAIL "Content-Length: +3\r\n\r\nabc", 400, "bad_content_length");
    REFUSED(
        *state, "PUT /v1/kv/a" TAIL "Content-Length: 0x3\r\n\r\nabc", 400, "bad_content_length");
    REFUSED(
        *state, "PUT /v1/kv/a" TAIL "Content-Length: 3,3\r\n\r\nabc", 400, "bad_content_length");
}

static void odd_lines__are_refused(void **state)
{
    REFUSED(*state, "GET /livez HTTP/1.1\nHost: h\n\n", 400, "bad_line_end");
    REFUSED(*state, "GET /livez" TAIL "X: a\r\n b\r\n\r\n", 400, "folded_header");
    REFUSED(*state, "GET /livez" TAIL "X: a\0b\r\n\r\n", 400, "bad_header_value");
    REFUSED(*state, "GET /live\tz" TAIL "\r\n", 400, "bad_target");
    REFUSED(*state, "GET /livez HTTP/1.9\r\nHost: h\r\n\r\n", 505, "bad_version");
    REFUSED(*state, "GET /livez" TAIL ": x\r\n\r\n", 400, "bad_header_name");
    REFUSED(*state, "\r\n\r\nGET /livez" TAIL "\r\n", 400, "bad_request_line");
    REFUSED(*state, "\x16\x03\x01\x02", 400, "bad_request_line"); /* TLS knocks */
}

static void odd_hosts__are_refused(void **state)
{
    REFUSED(*state, "GET /livez HTTP/1.1\r\n\r\n", 400, "bad_host");
    REFUSED(*state, "GET /livez" TAIL "Host: h\r\n\r\n", 400, "bad_host");
}

static void body_where_none_belongs__is_refused(void **state)
{
    REFUSED(*state, "GET /livez" TAIL "Content-Length: 32\r\n\r\n" HIDDEN, 400, "unexpected_body");
    REFUSED(*state, "DELETE /v1/kv/a" TAIL "Content-Length: 1\r\n\r\nx", 400, "unexpected_body");
}

static void large_targets_and_heads__are_refused(void **state)
{
    struct bench *bench = *state;
    static char bytes[1024 * 1024];
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes, "GET /v1/kv/", 11);
    refused_n(bench, bytes, 9000, 414, "target_too_long");
    refused_n(bench, bytes, sizeof bytes, 414, "target_too_long");
    size_t at = (size_t)snprintf(bytes, sizeof bytes, "GET /livez" TAIL);
    for (int i = 0; i < 10000; i++) {
        at += (size_t)snprintf(bytes + at, sizeof bytes - at, "X-%d: y\r\n", i);
    }
    refused_n(bench, bytes, at, 431, "too_many_headers");
    at = (size_t)snprintf(bytes, sizeof bytes, "GET /livez" TAIL "X: ");
    memset(bytes + at, 'a', 9000);
    refused_n(bench, bytes, at + 9000, 431, "head_too_large");
}

static void length_over_the_limit__is_refused_before_the_body(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    client_open(bench, &client);
    client_text(
        &client, "PUT /v1/kv/a" TAIL "Content-Length: 65537\r\nExpect: 100-continue\r\n\r\n");
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 413);
    assert_non_null(strstr(answer_text(&answer), "\"limit\":65536,\"actual\":65537"));
    answer_destroy(&answer);
    client_close(&client);
    /* A client that sends on regardless can still read its answer. */
    static char body[2 * 1024 * 1024];
    client_open(bench, &client);
    client_text(&client, "PUT /v1/kv/a" TAIL "Content-Length: 2097152\r\n\r\n");
    assert_true(client_send(&client, body, sizeof body));
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 413);
    answer_destroy(&answer);
    client_close(&client);
}

static void expectations__are_met_or_refused(void **state)
{
    REFUSED(*state, "PUT /v1/kv/a" TAIL "Content-Length: 1\r\nExpect: tea\r\n\r\nx", 417,
        "bad_expectation");
}

static void missing_length__is_asked_for(void **state)
{
    REFUSED(*state, "PUT /v1/kv/a" TAIL "\r\n", 411, "length_required");
    REFUSED(*state, "POST /v1/leader/transfer" TAIL "Connection: keep-alive\r\n\r\n", 411,
        "length_required");
}

static void unknown_methods__are_405_with_allow(void **state)
{
    struct bench *bench = *state;
    static const char *const methods[] = {"OPTIONS", "TRACE", "CONNECT", "PROPFIND", "FOO"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct answer answer;
        ask(bench, &answer, "%s /v1/kv/a" TAIL "\r\n", methods[i]);
        assert_int_equal(answer.status, 405);
        assert_string_equal(answer_header(&answer, "Allow"), "GET, HEAD, PUT, DELETE, PATCH");
        answer_destroy(&answer);
    }
}

static void refusal_on_cache_path__is_an_envelope(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    ask(bench, &answer, "POST /api/cache/a/" TAIL "Transfer-Encoding: chunked\r\n\r\n");
    assert_int_equal(answer.status, 411);
    assert_string_equal(answer_header(&answer, "Content-Type"), "application/json");
    assert_string_equal(answer_text(&answer),
        "{\"message\":\"Transfer-Encoding is refused: send a length\",\"payload\":{}}");
    answer_destroy(&answer);
}

/* Every single cut of a request into two reads gives the answer of the whole. */
static void every_cut__gives_the_same_answer(void **state)
{
    struct bench *bench = *state;
    static const char good[] = "PUT /v1/kv/a" TAIL "Content-Length: 3\r\n\r\nabc";
    static const char bad[] = "PUT /v1/kv/a" TAIL "Content-Length: 3\r\nX : y\r\n\r\nabc";
    for (size_t cut = 1; cut < sizeof bad - 1; cut++) {
        struct client client;
        struct answer answer;
        client_open(bench, &client);
        assert_true(client_send(&client, bad, cut));
        bench_turn(bench);
        (void)client_send(&client, bad + cut, sizeof bad - 1 - cut);
        client_answer(&client, &answer, false);
        assert_int_equal(answer.status, 400);
        answer_destroy(&answer);
        client_close(&client);
        if (cut < sizeof good - 1) {
            client_open(bench, &client);
            assert_true(client_send(&client, good, cut));
            bench_turn(bench);
            assert_true(client_send(&client, good + cut, sizeof good - 1 - cut));
            client_answer(&client, &answer, false);
            assert_true(answer.status == 201 || answer.status == 200);
            answer_destroy(&answer);
            client_close(&client);
        }
    }
}

static const struct CMUnitTest tests[] = {
    PROBE(endless_chunk_size__is_not_buffered),
    PROBE(endless_line__is_not_buffered),
    PROBE(slow_head__is_cut_at_its_deadline),
    PROBE(slow_body__is_cut_at_its_deadline),
    PROBE(large_body__has_more_time),
    PROBE(length_and_transfer_encoding__is_refused),
    PROBE(two_lengths__are_refused),
    PROBE(space_before_colon__is_refused),
    PROBE(odd_lengths__are_refused),
    PROBE(odd_lines__are_refused),
    PROBE(odd_hosts__are_refused),
    PROBE(body_where_none_belongs__is_refused),
    PROBE(large_targets_and_heads__are_refused),
    PROBE(length_over_the_limit__is_refused_before_the_body),
    PROBE(expectations__are_met_or_refused),
    PROBE(missing_length__is_asked_for),
    PROBE(unknown_methods__are_405_with_allow),
    PROBE(refusal_on_cache_path__is_an_envelope),
    PROBE(every_cut__gives_the_same_answer),
};
PC_TEST_MAIN("http_probes", tests)
