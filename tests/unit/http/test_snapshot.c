/* Snapshots over HTTP: ordered, and downloaded piece by piece. */
#include "fake_client.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "pcache/os.h"

#define PIECE (256 * 1024)
#define FILE_BYTES (5 * PIECE + 1234)
#define GET_SNAPSHOT "GET /v1/snapshot HTTP/1.1\r\nHost: h\r\n\r\n"
#define POST_SNAPSHOT "POST /v1/snapshot HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"

static int setup(void **state)
{
    static struct bench bench;
    bench_init(&bench);
    bench_open(&bench);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    bench_close(*state);
    return 0;
}

#define CALL(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static void make_file(struct bench *bench, size_t bytes)
{
    struct pc_buf *file = &bench->node.snapshot;
    for (size_t i = 0; i < bytes; i++) {
        pc_buf_append_u8(file, (uint8_t)(i * 31 + i / 251));
    }
}

/* A download of several pieces, of which the first one is asked for and waits. */
static void download_begin_held(struct bench *bench, struct client *client)
{
    make_file(bench, FILE_BYTES);
    bench->node.snapshot_held = true;
    client_open(bench, client);
    client_text(client, GET_SNAPSHOT);
    AWAIT(bench, bench->node.piece_tag != 0);
}

static void expect_problem(
    struct bench *bench, const char *method, int status, const char *code, const char *part)
{
    struct answer answer;
    char wanted[64];
    ask(bench, &answer, "%s", strcmp(method, "POST") == 0 ? POST_SNAPSHOT : GET_SNAPSHOT);
    (void)snprintf(wanted, sizeof wanted, "\"code\":\"%s\"", code);
    if (answer.status != status || strstr(answer_text(&answer), wanted) == NULL ||
        strstr(answer_text(&answer), part) == NULL) {
        fail_msg("%s: %d %s", method, answer.status, answer_text(&answer));
    }
    answer_destroy(&answer);
}

static void download__of_a_large_file__gives_it_byte_by_byte(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    make_file(bench, FILE_BYTES);
    client_open(bench, &client);
    for (int round = 0; round < 2; round++) { /* the connection stays as good as new */
        client_text(&client, GET_SNAPSHOT);
        client_answer(&client, &answer, false);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.body.len, FILE_BYTES);
        assert_memory_equal(answer.body.data, bench->node.snapshot.data, FILE_BYTES);
        assert_string_equal(answer_header(&answer, "X-PC-Index"), "42");
        assert_string_equal(answer_header(&answer, "Content-Type"), "application/octet-stream");
        assert_string_equal(answer_header(&answer, "Content-Disposition"),
            "attachment; filename=\"snap-000000000000002a.snp\"");
        assert_null(answer_header(&answer, "Transfer-Encoding"));
        answer_destroy(&answer);
    }
    assert_int_equal(bench->node.snapshot_reads, 12);
    client_close(&client);
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

static void download__of_a_small_file__is_one_piece(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    make_file(bench, 10);
    ask(bench, &answer, GET_SNAPSHOT);
    assert_int_equal(answer.body.len, 10);
    assert_int_equal(bench->node.snapshot_reads, 1);
    answer_destroy(&answer);
}

static void download__without_a_snapshot__is_a_problem(void **state)
{
    struct bench *bench = *state;
    expect_problem(bench, "GET", 404, "no_snapshot", "POST to this path");
    make_file(bench, 10);
    bench->node.snapshot_err = PC_E_IO;
    expect_problem(bench, "GET", 500, "snapshot_unreadable", "what the disk says");
}

/* Its bytes would come as announced, and be of no use where they are needed. */
static void download__of_what_is_known_to_be_damaged__is_refused(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    make_file(bench, 10);
    bench->node.snapshot_damaged = true;
    expect_problem(bench, "GET", 500, "snapshot_unreadable", "that of another node");
    assert_int_equal(bench->node.snapshot_reads, 0);
    ask(bench, &answer, "GET /v1/status HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(answer_text(&answer), "\"damaged\":true"));
    answer_destroy(&answer);
    bench->node.snapshot_damaged = false;
    ask(bench, &answer, GET_SNAPSHOT);
    assert_int_equal(answer.status, 200);
    answer_destroy(&answer);
}

/* The client must not take the piece it has for the whole. */
static void download__that_breaks__ends_before_its_length(void **state)
{
    struct bench *bench = *state;
    struct client client;
    download_begin_held(bench, &client);
    fake_node_piece(&bench->node);
    AWAIT(bench, bench->node.piece_tag != 0); /* the first one has left */
    bench->node.snapshot_err = PC_E_NOT_FOUND;
    fake_node_piece(&bench->node);
    client_await_close(&client);
    assert_true(client.in.len >= PIECE && client.in.len < FILE_BYTES);
    client_close(&client);
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

/* No piece is read before the one in front of it has left. */
static void download__of_a_client_that_does_not_read__holds_little(void **state)
{
    struct bench *bench = *state;
    struct client client;
    make_file(bench, 64 * PIECE);
    client_open(bench, &client);
    int small = 4096;
    assert_int_equal(setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    client_text(&client, GET_SNAPSHOT);
    size_t seen = SIZE_MAX;
    while (seen != bench->node.snapshot_reads) { /* until the socket takes no more */
        seen = bench->node.snapshot_reads;
        for (int i = 0; i < 200; i++) {
            bench_turn(bench);
        }
    }
    assert_true(seen < 48);
    bench->node.clock_skip_ms = 20000; /* longer than it has for a piece */
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
    client_close(&client);
}

/* A piece that comes for a download that has ended is nobody's. */
static void download__whose_client_goes__is_forgotten(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    download_begin_held(bench, &client);
    fake_node_piece(&bench->node);
    AWAIT(bench, bench->node.piece_tag != 0);
    client_close(&client);
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
    fake_node_piece(&bench->node);
    bench->node.snapshot_held = false;
    ask(bench, &answer, GET_SNAPSHOT);
    assert_int_equal(answer.body.len, FILE_BYTES);
    answer_destroy(&answer);
}

static void download__one_too_many__is_refused(void **state)
{
    struct bench *bench = *state;
    struct client clients[4];
    make_file(bench, FILE_BYTES);
    bench->node.snapshot_held = true;
    for (size_t i = 0; i < 4; i++) {
        client_open(bench, &clients[i]);
        client_text(&clients[i], GET_SNAPSHOT);
        AWAIT(bench, bench->node.snapshot_reads == i + 1);
    }
    expect_problem(bench, "GET", 503, "overloaded", "too many");
    for (size_t i = 0; i < 4; i++) {
        client_close(&clients[i]);
    }
    bench->node.clock_skip_ms = 60000; /* a closed connection is seen when its answer is due */
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

static void download__that_the_disk_never_gives__is_answered(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    download_begin_held(bench, &client);
    bench->node.clock_skip_ms = 60000;
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 503);
    answer_destroy(&answer);
    client_close(&client);
}

static void order__done__says_what_there_is(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    ask(bench, &answer, POST_SNAPSHOT);
    assert_int_equal(answer.status, 200);
    assert_string_equal(
        answer_text(&answer), "{\"index\":43,\"term\":3,\"items\":11,\"bytes\":2222,\"ms\":5}\n");
    answer_destroy(&answer);
    bench->node.force = PC_REPLY_TIMEOUT;
    bench->node.applied = 77;
    ask(bench, &answer, POST_SNAPSHOT);
    assert_int_equal(answer.status, 202);
    assert_string_equal(answer_text(&answer), "{\"at_least\":77,\"ms\":5}\n");
    answer_destroy(&answer);
}

static void order__not_done__says_why(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    bench->node.force = PC_REPLY_REFUSED;
    expect_problem(bench, "POST", 503, "snapshot_failed", "the disk is too slow");
    bench->node.force = PC_REPLY_LOADING;
    expect_problem(bench, "POST", 503, "loading", "");
    ask(bench, &answer, "POST /v1/snapshot HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(answer.status, 400);
    answer_destroy(&answer);
    ask(bench, &answer, "DELETE /v1/snapshot HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(answer.status, 405);
    assert_string_equal(answer_header(&answer, "Allow"), "GET, POST");
    answer_destroy(&answer);
}

/* Without an index nobody can wait for what was ordered. */
static void order__overdue__is_not_taken_for_accepted(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    bench->node.hold = true;
    client_open(bench, &client);
    client_text(&client, POST_SNAPSHOT);
    AWAIT(bench, bench->node.submitted == 1);
    bench->node.clock_skip_ms = 120000;
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer_text(&answer), "snapshot_failed"));
    answer_destroy(&answer);
    client_close(&client);
    bench->node.hold = false;
    fake_node_release(&bench->node);
}

static const struct CMUnitTest tests[] = {
    CALL(download__of_a_large_file__gives_it_byte_by_byte),
    CALL(download__of_a_small_file__is_one_piece),
    CALL(download__without_a_snapshot__is_a_problem),
    CALL(download__of_what_is_known_to_be_damaged__is_refused),
    CALL(download__that_breaks__ends_before_its_length),
    CALL(download__of_a_client_that_does_not_read__holds_little),
    CALL(download__whose_client_goes__is_forgotten),
    CALL(download__one_too_many__is_refused),
    CALL(download__that_the_disk_never_gives__is_answered),
    CALL(order__done__says_what_there_is),
    CALL(order__not_done__says_why),
    CALL(order__overdue__is_not_taken_for_accepted),
};

PC_TEST_MAIN("http_snapshot", tests)
