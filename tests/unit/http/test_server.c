/* The server's behaviour over time: keep-alive, pipelining, clients that go away, caps, draining.
 */
#include "fake_client.h"
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "pcache/os.h"

static struct bench bench;

#define TAIL " HTTP/1.1\r\nHost: h\r\n"
#define PUT_X "PUT /v1/kv/x" TAIL "Content-Length: 1\r\n\r\nx"

static int teardown(void **state)
{
    (void)state;
    bench_close(&bench);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    return 0;
}

#define SERVER(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static void expect_answer(struct client *client, int status)
{
    struct answer answer;
    client_answer(client, &answer, false);
    assert_int_equal(answer.status, status);
    answer_destroy(&answer);
}

static void pipelined__fifty_requests__are_answered_in_order(void **state)
{
    (void)state;
    bench_open(&bench);
    char requests[50 * 120];
    size_t len = 0;
    for (int i = 0; i < 25; i++) {
        len += (size_t)snprintf(requests + len, sizeof requests - len,
            "PUT /v1/kv/x" TAIL "Content-Length: 2\r\n\r\n%02dGET /v1/kv/x" TAIL "\r\n", i);
    }
    struct client client;
    client_open(&bench, &client);
    assert_true(client_send(&client, requests, len));
    for (int i = 0; i < 25; i++) {
        struct answer answer;
        expect_answer(&client, i == 0 ? 201 : 200);
        client_answer(&client, &answer, false);
        assert_int_equal(strtol(answer_text(&answer), NULL, 10), i);
        answer_destroy(&answer);
    }
    assert_false(client.closed);
    client_close(&client);
    assert_int_equal(bench.node.submitted, 50);
}

static void pipelined__fault_in_the_third__is_answered_third(void **state)
{
    (void)state;
    bench_open(&bench);
    struct client client;
    client_open(&bench, &client);
    bench.node.hold = true;
    client_text(&client, PUT_X PUT_X "PUT /v1/kv/x" TAIL "Content-Length: x\r\n\r\n" PUT_X);
    AWAIT(&bench, bench.node.replies_n == 1);
    fake_node_release(&bench.node);
    expect_answer(&client, 201);
    AWAIT(&bench, bench.node.replies_n == 1);
    bench.node.hold = false;
    fake_node_release(&bench.node);
    expect_answer(&client, 200);
    expect_answer(&client, 400);
    client_await_close(&client);
    assert_int_equal(client.in.len, 0);
    client_close(&client);
    assert_int_equal(bench.node.submitted, 2);
}

/* Bytes behind a pending request must neither be parsed nor grow without bound. */
static void pipelined__flood_behind_a_pending_request__is_bounded(void **state)
{
    (void)state;
    bench_open(&bench);
    struct client client;
    client_open(&bench, &client);
    bench.node.hold = true;
    client_text(&client, PUT_X);
    AWAIT(&bench, bench.node.replies_n == 1);
    static char flood[4 * 1024 * 1024];
    memset(flood, 'z', sizeof flood);
    size_t sent = 0;
    ssize_t n = 0;
    for (int stuck = 0; stuck<200; stuck = n> 0 ? 0 : stuck + 1) {
        n = send(client.fd, flood, sizeof flood, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 64 * 1024 * 1024);
        bench_turn(&bench);
    }
    bench.node.hold = false;
    fake_node_release(&bench.node);
    expect_answer(&client, 201);
    expect_answer(&client, 400);
    client_close(&client);
}

static void keep_alive__request_cap__closes(void **state)
{
    (void)state;
    bench.opts.requests_per_connection_max = 3;
    bench_open(&bench);
    struct client client;
    client_open(&bench, &client);
    for (int i = 0; i < 3; i++) {
        struct answer answer;
        client_text(&client, "GET /livez" TAIL "\r\n");
        client_answer(&client, &answer, false);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer_header(&answer, "Connection") != NULL, i == 2);
        answer_destroy(&answer);
    }
    client_await_close(&client);
    client_close(&client);
}

static void keep_alive__http_1_0__closes_unless_asked(void **state)
{
    (void)state;
    bench_open(&bench);
    struct client client;
    client_open(&bench, &client);
    client_text(&client, "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect_answer(&client, 200);
    client_text(&client, "GET /livez HTTP/1.0\r\n\r\n");
    expect_answer(&client, 200);
    client_await_close(&client);
    client_close(&client);
}

static void keep_alive__closing_reply__is_the_last(void **state)
{
    (void)state;
    bench_open(&bench);
    static const char *const behind[] = {PUT_X, "PUT /v1/kv/x" TAIL "X : y\r\n\r\n", "PUT /v1/"};
    for (size_t i = 0; i < 3; i++) {
        struct client client;
        client_open(&bench, &client);
        char bytes[256];
        int len = snprintf(
            bytes, sizeof bytes, "GET /livez" TAIL "Connection: close\r\n\r\n%s", behind[i]);
        assert_true(client_send(&client, bytes, (size_t)len));
        expect_answer(&client, 200);
        client_await_close(&client);
        assert_int_equal(client.in.len, 0);
        client_close(&client);
    }
    assert_int_equal(bench.node.submitted, 0);
}

static void keep_alive__idle__is_closed(void **state)
{
    (void)state;
    bench.opts.idle_ms = 60;
    bench_open(&bench);
    struct client silent, used;
    client_open(&bench, &silent);
    client_open(&bench, &used);
    client_text(&used, "GET /livez" TAIL "\r\n");
    expect_answer(&used, 200);
    client_await_close(&silent);
    client_await_close(&used);
    assert_int_equal(used.in.len + silent.in.len, 0);
    client_close(&silent);
    client_close(&used);
}

static void pending__client_closes__the_late_reply_is_ignored(void **state)
{
    (void)state;
    bench_open(&bench);
    bench.node.hold = true;
    struct client clients[8];
    for (size_t i = 0; i < 8; i++) {
        client_open(&bench, &clients[i]);
        client_text(&clients[i], PUT_X);
    }
    AWAIT(&bench, bench.node.replies_n == 8);
    assert_int_equal(pc_http_in_flight(bench.http), 8);
    for (size_t i = 0; i < 8; i++) {
        struct linger hard = {.l_onoff = 1, .l_linger = 0}; /* half of them by reset */
        if (i % 2 == 0) {
            (void)setsockopt(clients[i].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        }
        client_close(&clients[i]);
    }
    bench_turn(&bench);
    fake_node_release(&bench.node);
    AWAIT(&bench, pc_http_in_flight(bench.http) == 0);
}

static void pending__server_closes__nothing_is_left(void **state)
{
    (void)state;
    bench_open(&bench);
    bench.node.hold = true;
    struct client clients[3];
    for (size_t i = 0; i < 3; i++) {
        client_open(&bench, &clients[i]);
        client_text(&clients[i], i == 0 ? PUT_X : i == 1 ? "GET /li" : "");
    }
    AWAIT(&bench, bench.node.replies_n == 1);
    /* teardown closes with a request pending, one half read and one not begun */
    for (size_t i = 0; i < 3; i++) {
        client_close(&clients[i]);
    }
}

static void pending__no_reply_ever__is_answered_504(void **state)
{
    (void)state;
    bench_open(&bench);
    bench.node.hold = true;
    struct client client;
    client_open(&bench, &client);
    client_text(&client, PUT_X);
    AWAIT(&bench, bench.node.replies_n == 1);
    bench.node.clock_skip_ms = 20000;
    struct answer answer;
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 504);
    assert_non_null(strstr(answer_text(&answer), "outcome_unknown"));
    answer_destroy(&answer);
    fake_node_release(&bench.node); /* too late: ignored */
    client_text(&client, "GET /livez" TAIL "\r\n");
    expect_answer(&client, 200);
    client_close(&client);
}

static void pending__over_the_cap__is_503(void **state)
{
    (void)state;
    bench.opts.in_flight_max = 2;
    bench_open(&bench);
    bench.node.hold = true;
    struct client clients[3];
    for (size_t i = 0; i < 3; i++) {
        client_open(&bench, &clients[i]);
        client_text(&clients[i], PUT_X);
        AWAIT(&bench, pc_http_in_flight(bench.http) == (i < 2 ? i + 1 : 2));
    }
    struct answer answer;
    client_answer(&clients[2], &answer, false);
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer_header(&answer, "Retry-After"), "1");
    assert_non_null(strstr(answer_text(&answer), "too_many_requests"));
    answer_destroy(&answer);
    fake_node_release(&bench.node);
    expect_answer(&clients[0], 201);
    expect_answer(&clients[1], 200);
    bench.node.hold = false;
    client_text(&clients[2], PUT_X); /* its connection goes on */
    expect_answer(&clients[2], 200);
    for (size_t i = 0; i < 3; i++) {
        client_close(&clients[i]);
    }
}

static void connections__over_the_cap__are_503_and_closed(void **state)
{
    (void)state;
    bench.opts.connections_max = 2;
    bench_open(&bench);
    struct client first, second, third;
    client_open(&bench, &first);
    client_open(&bench, &second);
    client_text(&first, "GET /livez" TAIL "\r\n");
    expect_answer(&first, 200);
    client_text(&second, "GET /livez" TAIL "\r\n");
    expect_answer(&second, 200);
    client_open(&bench, &third);
    struct answer answer;
    client_answer(&third, &answer, false);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer_text(&answer), "too_many_connections"));
    assert_string_equal(answer_header(&answer, "Retry-After"), "1");
    answer_destroy(&answer);
    client_await_close(&third);
    client_close(&third);
    client_close(&first);
    for (int tries = 0;; tries++) { /* the place comes free when the server sees the end */
        assert_true(tries < 1000);
        client_open(&bench, &third);
        client_text(&third, "GET /livez" TAIL "\r\n");
        client_answer(&third, &answer, false);
        int status = answer.status;
        answer_destroy(&answer);
        client_close(&third);
        if (status == 200) {
            break;
        }
    }
    client_close(&second);
}

/* More sockets than are kept for closing ones: the rest waits, and the server comes back. */
static void connections__flood__is_survived(void **state)
{
    (void)state;
    bench.opts.connections_max = 4;
    bench_open(&bench);
    static struct client flood[400];
    for (size_t i = 0; i < 400; i++) {
        client_open(&bench, &flood[i]);
        bench_turn(&bench);
    }
    for (size_t i = 0; i < 400; i++) {
        client_close(&flood[i]);
    }
    struct client client;
    struct answer answer = {0};
    for (int tries = 0; answer.status != 200; tries++) {
        assert_true(tries < 1000);
        client_open(&bench, &client);
        client_text(&client, "GET /livez" TAIL "\r\n");
        client_answer(&client, &answer, false);
        answer_destroy(&answer);
        client_close(&client);
    }
}

static void reading__client_that_takes_nothing__is_cut(void **state)
{
    (void)state;
    bench.opts.write_deadline_ms = 100;
    bench.opts.value_bytes_max = PC_VALUE_BYTES_MAX;
    bench_open(&bench);
    size_t size = PC_VALUE_BYTES_MAX;
    char *value = pc_xalloc(size);
    struct client client;
    client_open(&bench, &client);
    client_text(&client, "PUT /v1/kv/x" TAIL "Content-Length: 8388608\r\n\r\n");
    assert_true(client_send(&client, value, size));
    expect_answer(&client, 201);
    client_text(&client, "GET /v1/kv/x" TAIL "\r\n");
    AWAIT(&bench, bench.node.submitted == 2);
    AWAIT(&bench, pc_http_in_flight(bench.http) == 0);
    client_await_close(&client);
    assert_true(client.in.len < size);
    client_close(&client);
    free(value);
}

/* While a reply waits for its reader nobody parses what comes in: it must not pile up. */
static void reading__flood_behind_an_unread_reply__is_bounded(void **state)
{
    (void)state;
    bench.opts.value_bytes_max = PC_VALUE_BYTES_MAX;
    bench_open(&bench);
    char *bytes = pc_xalloc(PC_VALUE_BYTES_MAX);
    struct client client;
    client_open(&bench, &client);
    client_text(&client, "PUT /v1/kv/x" TAIL "Content-Length: 8388608\r\n\r\n");
    assert_true(client_send(&client, bytes, PC_VALUE_BYTES_MAX));
    expect_answer(&client, 201);
    for (int i = 0; i < 2; i++) { /* more than the kernel keeps for a client */
        client_text(&client, "GET /v1/kv/x" TAIL "\r\n");
    }
    AWAIT(&bench, bench.node.submitted >= 2);
    size_t sent = 0;
    ssize_t n = 0;
    for (int stuck = 0; stuck<200; stuck = n> 0 ? 0 : stuck + 1) {
        n = send(client.fd, bytes, PC_VALUE_BYTES_MAX, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        assert_true(sent < 48 * 1024 * 1024);
        bench_turn(&bench);
    }
    client_close(&client);
    free(bytes);
}

static void drain__answers_close_and_idle_ends(void **state)
{
    (void)state;
    bench_open(&bench);
    struct client idle, busy, late;
    client_open(&bench, &idle);
    client_text(&idle, "GET /livez" TAIL "\r\n");
    expect_answer(&idle, 200);
    bench.node.hold = true;
    client_open(&bench, &busy);
    client_text(&busy, PUT_X);
    AWAIT(&bench, bench.node.replies_n == 1);
    pc_http_drain_begin(bench.http);
    struct answer answer;
    client_open(&bench, &late);
    client_text(&late, "GET /livez" TAIL "\r\n");
    client_answer(&late, &answer, false);
    assert_string_equal(answer_header(&answer, "Connection"), "close");
    answer_destroy(&answer);
    client_await_close(&late);
    client_close(&late);
    pc_http_drain_stop_accepting(bench.http);
    client_await_close(&idle);
    client_close(&idle);
    assert_int_equal(pc_http_in_flight(bench.http), 1);
    fake_node_release(&bench.node);
    client_answer(&busy, &answer, false);
    assert_int_equal(answer.status, 201);
    assert_string_equal(answer_header(&answer, "Connection"), "close");
    answer_destroy(&answer);
    client_await_close(&busy);
    client_close(&busy);
    assert_int_equal(pc_http_in_flight(bench.http), 0);
}

static void open__port_in_use__is_said(void **state)
{
    (void)state;
    bench_open(&bench);
    char listen[32];
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", (unsigned)pc_http_port(bench.http));
    struct pc_http_opts opts = bench.opts;
    opts.listen = listen;
    struct pc_http *second = NULL;
    struct pc_error error;
    assert_int_equal(pc_http_open(&opts, &second, &error), PC_E_EXISTS);
    if (strstr(error.text, strchr(listen, ':') + 1) == NULL) {
        fail_msg("no port in: %s", error.text);
    }
    opts.idle_ms = 0;
    assert_int_equal(pc_http_open(&opts, &second, &error), PC_E_INVALID);
}

static const struct CMUnitTest tests[] = {
    SERVER(pipelined__fifty_requests__are_answered_in_order),
    SERVER(pipelined__fault_in_the_third__is_answered_third),
    SERVER(pipelined__flood_behind_a_pending_request__is_bounded),
    SERVER(keep_alive__request_cap__closes),
    SERVER(keep_alive__http_1_0__closes_unless_asked),
    SERVER(keep_alive__closing_reply__is_the_last),
    SERVER(keep_alive__idle__is_closed),
    SERVER(pending__client_closes__the_late_reply_is_ignored),
    SERVER(pending__server_closes__nothing_is_left),
    SERVER(pending__no_reply_ever__is_answered_504),
    SERVER(pending__over_the_cap__is_503),
    SERVER(connections__over_the_cap__are_503_and_closed),
    SERVER(connections__flood__is_survived),
    SERVER(reading__client_that_takes_nothing__is_cut),
    SERVER(reading__flood_behind_an_unread_reply__is_bounded),
    SERVER(drain__answers_close_and_idle_ends),
    SERVER(open__port_in_use__is_said),
};
PC_TEST_MAIN("http_server", tests)
