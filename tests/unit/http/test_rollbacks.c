#define _GNU_SOURCE
/* Branches over HTTP: how their answers are marked, and what is said of closed ones. */
#include "fake_client.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "pcache/os.h"

#define NAME "20261123T002101Z-abababab-2.kvr"

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

static void send_get(struct bench *bench, struct client *client, const char *version)
{
    char text[256];
    (void)snprintf(
        text, sizeof text, "GET /v1/rollbacks/" NAME " HTTP/%s\r\nHost: h\r\n\r\n", version);
    client_open(bench, client);
    client_text(client, text);
    AWAIT(bench, bench->node.rollback_tag != 0);
    assert_int_equal(bench->node.rollback_what, PC_HTTP_ROLLBACK_READ);
    assert_string_equal(bench->node.rollback_name, NAME);
}

/* Answers the question that waits. */
static void give(struct bench *bench, struct pc_http_rollback_answer answer, const char *lines)
{
    struct pc_buf bytes = {0};
    pc_buf_append(&bytes, lines, strlen(lines));
    answer.tag = bench->node.rollback_tag;
    answer.lines = &bytes;
    bench->node.rollback_tag = 0;
    pc_http_rollback_answer(bench->http, &answer);
    pc_buf_destroy(&bytes);
}

static bool has(const struct client *client, const char *text)
{
    return client->in.len >= strlen(text) &&
           memmem(client->in.data, client->in.len, text, strlen(text)) != NULL;
}

static void answer__of_a_branch__is_marked(void **state)
{
    struct bench *bench = *state;
    static const char *const requests[] = {
        "PUT /v1/kv/k HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nv",
        "GET /v1/kv/k HTTP/1.1\r\nHost: h\r\n\r\n", "GET /v1/kv/none HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /api/cache/none/ HTTP/1.1\r\nHost: h\r\n\r\n",
        "DELETE /v1/kv/k HTTP/1.1\r\nHost: h\r\n\r\n"};
    for (int solo = 1; solo >= 0; solo--) {
        bench->node.solo = solo == 1;
        for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
            struct answer answer;
            ask(bench, &answer, "%s", requests[i]);
            const char *branch = answer_header(&answer, "X-PC-Branch");
            assert_int_equal(branch != NULL, solo);
            if (solo == 1) {
                assert_string_equal(branch, "abababababababababababababababab");
                assert_string_equal(answer_header(&answer, "X-PC-Durability"), "solo");
            }
            answer_destroy(&answer);
        }
    }
}

static void status__branch_open__says_so(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    bench->node.rollbacks = 3;
    ask(bench, &answer, "GET /v1/status HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(answer_text(&answer),
        "\"solo\":{\"state\":\"off\",\"branch\":null,\"base\":0,\"records\":0,\"open_ms\":0,"
        "\"due_in_ms\":null},\"rollbacks_pending\":3"));
    answer_destroy(&answer);
    bench->node.solo = true;
    ask(bench, &answer, "GET /v1/status HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(
        strstr(answer_text(&answer), "\"solo\":{\"state\":\"open\",\"branch\":"
                                     "\"abababababababababababababababab\",\"base\":41"));
    answer_destroy(&answer);
    ask(bench, &answer, "GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(answer_text(&answer), "\npcached_solo 1\n"));
    assert_non_null(strstr(answer_text(&answer), "\npcached_rollbacks_pending 3\n"));
    answer_destroy(&answer);
}

static void list__two__are_an_array(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    struct pc_http_rollback v[] = {{.name = NAME,
                                       .base = 41,
                                       .records = 2,
                                       .begun_ms = 5,
                                       .is_closed = true,
                                       .closed_ms = 9,
                                       .bytes = 700},
        {.name = "x", .records = 1, .lost = 4, .is_replayed = true}};
    client_open(bench, &client);
    client_text(&client, "GET /v1/rollbacks HTTP/1.1\r\nHost: h\r\n\r\n");
    AWAIT(bench, bench->node.rollback_tag != 0);
    assert_int_equal(bench->node.rollback_what, PC_HTTP_ROLLBACK_LIST);
    give(bench, (struct pc_http_rollback_answer){.v = v, .n = 2}, "");
    client_answer(&client, &answer, false);
    assert_string_equal(answer_text(&answer),
        "{\"rollbacks\":[{\"name\":\"" NAME
        "\",\"branch\":\"00000000000000000000000000000000\",\"base\":41,\"records\":2,\"lost\":0,"
        "\"begun_ms\":5,\"closed_ms\":9,\"bytes\":700,\"replayed\":false},"
        "{\"name\":\"x\",\"branch\":\"00000000000000000000000000000000\",\"base\":0,\"records\":1,"
        "\"lost\":4,\"begun_ms\":0,\"closed_ms\":null,\"bytes\":0,"
        "\"replayed\":true}]}\n");
    answer_destroy(&answer);
    client_close(&client);
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

static void read__in_pieces__is_one_answer(void **state)
{
    struct bench *bench = *state;
    struct client client;
    send_get(bench, &client, "1.1");
    give(bench, (struct pc_http_rollback_answer){.place = {{600, 1, 1, 7}}}, "one\n");
    AWAIT(bench, bench->node.rollback_tag != 0); /* the first one has left */
    assert_int_equal(bench->node.rollback_place.v[0], 600);
    assert_int_equal(bench->node.rollback_place.v[3], 7);
    give(bench, (struct pc_http_rollback_answer){.is_last = true}, "two\n");
    while (!has(&client, "\r\n0\r\n\r\n")) {
        assert_false(client.closed);
        client_wait(&client);
    }
    assert_true(has(&client, "Content-Type: application/x-ndjson\r\n"));
    assert_true(has(&client, "Transfer-Encoding: chunked\r\n"));
    assert_true(has(&client, "\r\n4\r\none\n\r\n4\r\ntwo\n\r\n0\r\n\r\n"));
    client_close(&client);
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

/* HTTP/1.0 knows no pieces: its answer ends with the connection. */
static void read__for_an_old_client__ends_with_the_connection(void **state)
{
    struct bench *bench = *state;
    struct client client;
    send_get(bench, &client, "1.0");
    give(bench, (struct pc_http_rollback_answer){.place = {{600, 1, 1, 7}}}, "one\n");
    AWAIT(bench, bench->node.rollback_tag != 0);
    give(bench, (struct pc_http_rollback_answer){.is_last = true}, "two\n");
    client_await_close(&client);
    assert_true(has(&client, "\r\n\r\none\ntwo\n"));
    client_close(&client);
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

static void read__that_breaks__has_no_end(void **state)
{
    struct bench *bench = *state;
    struct client client;
    send_get(bench, &client, "1.1");
    give(bench, (struct pc_http_rollback_answer){.place = {{600, 1, 1, 7}}}, "one\n");
    AWAIT(bench, bench->node.rollback_tag != 0);
    give(bench, (struct pc_http_rollback_answer){.err = PC_E_IO, .text = "no"}, "");
    client_await_close(&client);
    assert_true(has(&client, "one\n"));
    assert_false(has(&client, "0\r\n\r\n"));
    client_close(&client);
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
}

static void expect(struct bench *bench, const char *request, struct pc_http_rollback_answer given,
    int status, const char *part)
{
    struct client client;
    struct answer answer;
    client_open(bench, &client);
    client_text(&client, request);
    AWAIT(bench, bench->node.rollback_tag != 0);
    give(bench, given, "");
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, status);
    assert_non_null(strstr(answer_text(&answer), part));
    answer_destroy(&answer);
    client_close(&client);
}

static void calls__that_fail__are_problems(void **state)
{
    struct bench *bench = *state;
    struct pc_http_rollback_answer none = {.err = PC_E_NOT_FOUND};
    struct pc_http_rollback_answer broken = {.err = PC_E_IO, .text = "what the disk says"};
    static const char get[] = "GET /v1/rollbacks/" NAME " HTTP/1.1\r\nHost: h\r\n\r\n";
    static const char delete[] = "DELETE /v1/rollbacks/" NAME " HTTP/1.1\r\nHost: h\r\n\r\n";
    expect(bench, get, none, 404, "\"code\":\"no_rollback\"");
    expect(bench, get, broken, 500, "what the disk says");
    expect(bench, delete, none, 404, "\"code\":\"no_rollback\"");
    expect(bench, delete, (struct pc_http_rollback_answer){0}, 204, "");
    assert_int_equal(bench->node.rollback_what, PC_HTTP_ROLLBACK_REMOVE);
    static const char post[] =
        "POST /v1/rollbacks/" NAME " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
    expect(bench, post, none, 404, "\"code\":\"no_rollback\"");
    expect(bench, post, broken, 500, "\"code\":\"replay_not_noted\"");
    expect(bench, post, (struct pc_http_rollback_answer){.err = PC_E_EXISTS}, 409,
        "\"code\":\"replayed\"");
    expect(bench, post, (struct pc_http_rollback_answer){0}, 204, "");
    assert_int_equal(bench->node.rollback_what, PC_HTTP_ROLLBACK_NOTE);
    struct answer answer;
    ask(bench, &answer, "GET /v1/rollbacks/a%%2fb HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(answer.status, 400);
    answer_destroy(&answer);
    ask(bench, &answer, "DELETE /v1/rollbacks HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(answer.status, 405);
    answer_destroy(&answer);
    ask(bench, &answer, "GET /v1/rollbacks/ HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(answer.status, 404);
    answer_destroy(&answer);
}

static void read__client_gone__is_forgotten(void **state)
{
    struct bench *bench = *state;
    struct client client;
    send_get(bench, &client, "1.1");
    client_close(&client);
    give(bench, (struct pc_http_rollback_answer){.place = {{600, 1, 1, 7}}}, "one\n");
    AWAIT(bench, pc_http_in_flight(bench->http) == 0);
    if (bench->node.rollback_tag != 0) {
        give(bench, (struct pc_http_rollback_answer){.is_last = true}, "two\n");
    }
    assert_int_equal(pc_http_in_flight(bench->http), 0);
}

static const struct CMUnitTest tests[] = {
    CALL(answer__of_a_branch__is_marked),
    CALL(status__branch_open__says_so),
    CALL(list__two__are_an_array),
    CALL(read__in_pieces__is_one_answer),
    CALL(read__for_an_old_client__ends_with_the_connection),
    CALL(read__that_breaks__has_no_end),
    CALL(calls__that_fail__are_problems),
    CALL(read__client_gone__is_forgotten),
};
PC_TEST_MAIN("http_rollbacks", tests)
