/* Every call of the API against the real server and a fake node. */
#include "fake_client.h"
#include "support/test.h"

#include <jansson.h>
#include <string.h>

#include "pcache/os.h"

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
#define TAIL " HTTP/1.1\r\nHost: h\r\n"

/* Asks and compares status and body. */
static void expect(struct bench *bench, const char *request, int status, const char *body)
{
    struct answer answer;
    ask(bench, &answer, "%s", request);
    assert_string_equal(answer_text(&answer), body);
    assert_int_equal(answer.status, status);
    answer_destroy(&answer);
}

static void expect_code(struct bench *bench, const char *request, int status, const char *code)
{
    struct answer answer;
    ask(bench, &answer, "%s", request);
    assert_int_equal(answer.status, status);
    assert_string_equal(answer_header(&answer, "Content-Type"), "application/problem+json");
    json_t *problem = json_loads(answer_text(&answer), 0, NULL);
    assert_non_null(problem);
    assert_string_equal(json_string_value(json_object_get(problem, "code")), code);
    assert_int_equal(json_integer_value(json_object_get(problem, "status")), status);
    assert_true(json_is_string(json_object_get(problem, "type")));
    assert_true(json_is_string(json_object_get(problem, "title")));
    assert_true(json_is_string(json_object_get(problem, "detail")));
    assert_true(json_is_boolean(json_object_get(problem, "retryable")));
    json_decref(problem);
    answer_destroy(&answer);
}

static void kv__put_then_get__echoes_bytes_and_type(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    ask(bench, &answer,
        "PUT /v1/kv/a%%2Fb" TAIL "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
    assert_int_equal(answer.status, 201);
    assert_string_equal(answer_header(&answer, "ETag"), "\"1\"");
    assert_string_equal(answer_header(&answer, "Content-Length"), "0");
    answer_destroy(&answer);
    ask(bench, &answer, "GET /v1/kv/a%%2fb" TAIL "\r\n");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer), "hello");
    assert_string_equal(answer_header(&answer, "Content-Type"), "text/plain");
    assert_string_equal(answer_header(&answer, "ETag"), "\"1\"");
    assert_string_equal(answer_header(&answer, "X-PC-Applied"), "1");
    assert_string_equal(answer_header(&answer, "X-PC-Node"), "node1");
    assert_string_equal(answer_header(&answer, "X-PC-Leader"), "node1");
    assert_string_equal(answer_header(&answer, "Cache-Control"), "no-store");
    assert_string_equal(answer_header(&answer, "X-Content-Type-Options"), "nosniff");
    assert_null(answer_header(&answer, "X-PC-TTL-Ms"));
    answer_destroy(&answer);
    ask(bench, &answer, "HEAD /v1/kv/a/b" TAIL "\r\n");
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_header(&answer, "Content-Length"), "5");
    answer_destroy(&answer);
    expect(bench, "PUT /v1/kv/a/b" TAIL "Content-Length: 0\r\n\r\n", 200, "");
    expect(bench, "GET /v1/kv/a/b" TAIL "\r\n", 200, "");
}

static void kv__form_type__is_stored_as_octets(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    ask(bench, &answer,
        "PUT /v1/kv/a" TAIL
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 1\r\n\r\nx");
    answer_destroy(&answer);
    ask(bench, &answer, "GET /v1/kv/a" TAIL "\r\n");
    assert_string_equal(answer_header(&answer, "Content-Type"), "application/octet-stream");
    answer_destroy(&answer);
    expect_code(bench, "PUT /v1/kv/a" TAIL "Content-Type: t\xe9xt\r\nContent-Length: 1\r\n\r\nx",
        400, "bad_content_type");
}

/* What another node let into the log must not become fields, or an answer, of its own here. */
static void kv__stored_type_with_line_end__ends_the_field_there(void **state)
{
    struct bench *bench = *state;
    expect(bench, "PUT /v1/kv/a" TAIL "Content-Length: 1\r\n\r\nx", 201, "");
    static const char type[] = "text/plain\r\nX-Evil: 1\r\n\r\nHTTP/1.1 200 OK";
    memcpy(bench->node.items[0].content_type, type, sizeof type);
    struct answer answer;
    ask(bench, &answer, "GET /v1/kv/a" TAIL "\r\n");
    assert_string_equal(answer_header(&answer, "Content-Type"), "text/plain");
    assert_null(answer_header(&answer, "X-Evil"));
    assert_string_equal(answer_text(&answer), "x");
    answer_destroy(&answer);
}

static void kv__keys__are_any_bytes(void **state)
{
    struct bench *bench = *state;
    expect(bench, "PUT /v1/kv/%00%2525%ff" TAIL "Content-Length: 1\r\n\r\nx", 201, "");
    assert_memory_equal(bench->node.items[0].key, "\0%25\xff", 5);
    assert_int_equal(bench->node.items[0].key_len, 5);
    expect(bench, "PUT /v1/kv/x/" TAIL "Content-Length: 1\r\n\r\ny", 201, "");
    expect(bench, "GET /v1/kv/x/" TAIL "\r\n", 200, "y");
    expect_code(bench, "GET /v1/kv/x" TAIL "\r\n", 404, "not_found");
    expect_code(bench, "GET /v1/kv/" TAIL "\r\n", 400, "empty_key");
    expect_code(bench, "GET /v1/kv/a%2" TAIL "\r\n", 400, "bad_percent");
    expect_code(bench, "GET /v1/kv/a%zz" TAIL "\r\n", 400, "bad_percent");
    char request[1200] = "PUT /v1/kv/";
    memset(request + 11, 'k', 1024);
    (void)snprintf(
        request + 11 + 1024, sizeof request - 11 - 1024, "%s", TAIL "Content-Length: 1\r\n\r\nx");
    expect(bench, request, 201, "");
    memset(request + 11, 'k', 1025);
    (void)snprintf(
        request + 11 + 1025, sizeof request - 11 - 1025, "%s", TAIL "Content-Length: 1\r\n\r\nx");
    expect_code(bench, request, 400, "key_too_long");
}

static void kv__ttl__is_set_changed_and_cleared(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    ask(bench, &answer, "PUT /v1/kv/a?ttl=30s" TAIL "Content-Length: 1\r\n\r\nx");
    assert_string_equal(answer_header(&answer, "X-PC-TTL-Ms"), "30000");
    answer_destroy(&answer);
    ask(bench, &answer, "GET /v1/kv/a" TAIL "\r\n");
    assert_string_equal(answer_header(&answer, "X-PC-TTL-Ms"), "30000");
    answer_destroy(&answer);
    expect(bench, "PATCH /v1/kv/a" TAIL "Content-Length: 14\r\n\r\n{\"ttl\": \"2m\" }", 200,
        "{\"version\":2,\"ttl_ms\":120000}\n");
    expect(bench, "PATCH /v1/kv/a" TAIL "Content-Length: 12\r\n\r\n{\"ttl\":null}", 200,
        "{\"version\":3,\"ttl_ms\":null}\n");
    expect_code(
        bench, "PATCH /v1/kv/b" TAIL "Content-Length: 12\r\n\r\n{\"ttl\":null}", 404, "not_found");
    expect_code(
        bench, "PATCH /v1/kv/a" TAIL "Content-Length: 10\r\n\r\n{\"ttl\":30}", 400, "bad_ttl");
    expect_code(
        bench, "PATCH /v1/kv/a" TAIL "Content-Length: 12\r\n\r\n{\"ttl\":\"30\"}", 400, "bad_ttl");
    expect_code(bench, "PATCH /v1/kv/a" TAIL "Content-Length: 22\r\n\r\n{\"ttl\":null,\"incr\": 1}",
        400, "bad_body");
    expect_code(bench, "PATCH /v1/kv/a" TAIL "Content-Length: 2\r\n\r\n[]", 400, "bad_body");
    expect_code(bench, "PATCH /v1/kv/a" TAIL "Content-Length: 1\r\n\r\n{", 400, "bad_json");
    expect(bench, "PATCH /v1/kv/a" TAIL "Content-Length: 11\r\n\r\n{\"ttl\":\"0\"}", 200,
        "{\"version\":0,\"ttl_ms\":0}\n");
    expect_code(bench, "GET /v1/kv/a" TAIL "\r\n", 404, "not_found");
}

static void kv__query__is_checked(void **state)
{
    struct bench *bench = *state;
    expect_code(bench, "PUT /v1/kv/a?ttl=30" TAIL "Content-Length: 1\r\n\r\nx", 400, "bad_ttl");
    expect_code(bench, "PUT /v1/kv/a?ttl=" TAIL "Content-Length: 1\r\n\r\nx", 400, "bad_ttl");
    expect_code(bench, "PUT /v1/kv/a?ttl=-1s" TAIL "Content-Length: 1\r\n\r\nx", 400, "bad_ttl");
    expect_code(
        bench, "PUT /v1/kv/a?ttl=9999999h" TAIL "Content-Length: 1\r\n\r\nx", 400, "bad_ttl");
    expect_code(
        bench, "PUT /v1/kv/a?tll=1s" TAIL "Content-Length: 1\r\n\r\nx", 400, "unknown_parameter");
    expect_code(bench, "GET /v1/kv/a?ttl=1s" TAIL "\r\n", 400, "unknown_parameter");
    expect_code(bench, "GET /v1/kv/a?consistency=weak" TAIL "\r\n", 400, "bad_consistency");
    expect_code(bench, "GET /v1/kv/a?consistency=local&consistency=local" TAIL "\r\n", 400,
        "repeated_parameter");
    assert_int_equal(bench->node.submitted, 0);
    expect_code(bench, "GET /v1/kv/a?consistency=local" TAIL "\r\n", 404, "not_found");
    assert_int_equal(bench->node.last_consistency, PC_CONSISTENCY_LOCAL);
    expect_code(bench, "GET /v1/kv/a?" TAIL "\r\n", 404, "not_found");
    assert_int_equal(bench->node.last_consistency, PC_CONSISTENCY_LINEARIZABLE);
}

static void kv__delete__is_204_in_any_case(void **state)
{
    struct bench *bench = *state;
    expect(bench, "PUT /v1/kv/a" TAIL "Content-Length: 1\r\n\r\nx", 201, "");
    expect(bench, "DELETE /v1/kv/a" TAIL "\r\n", 204, "");
    expect(bench, "DELETE /v1/kv/a" TAIL "\r\n", 204, "");
    expect_code(bench, "GET /v1/kv/a" TAIL "\r\n", 404, "not_found");
}

static void kv__large_value_with_expect__comes_back_whole(void **state)
{
    struct bench *bench = *state;
    size_t size = 1024 * 1024;
    char *value = pc_xalloc(size);
    for (size_t i = 0; i < size; i++) {
        value[i] = (char)(i * 31 + i / 253);
    }
    struct client client;
    struct answer answer;
    client_open(bench, &client);
    client_text(
        &client, "PUT /v1/kv/big" TAIL "Content-Length: 1048576\r\nExpect: 100-continue\r\n\r\n");
    client_answer(&client, &answer, true);
    assert_int_equal(answer.status, 100);
    assert_true(client_send(&client, value, size));
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 201);
    answer_destroy(&answer);
    client_text(&client, "GET /v1/kv/big" TAIL "\r\n");
    client_answer(&client, &answer, false);
    assert_int_equal(answer.body.len, size);
    assert_memory_equal(answer.body.data, value, size);
    answer_destroy(&answer);
    client_close(&client);
    free(value);
}

static void cache__values__are_echoed_byte_for_byte(void **state)
{
    struct bench *bench = *state;
    static const char *const values[] = {"5", "-1.50e3", "true", "null", "\"\"", "[]",
        "{\"b\": 1,  \"a\":[ 2 ]}", "123456789012345678901234567890", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct answer answer;
        ask(bench, &answer, "POST /api/cache/sync/" TAIL "Content-Length: %zu\r\n\r\n%s",
            strlen(values[i]), values[i]);
        assert_int_equal(answer.status, 201);
        char wanted[256];
        (void)snprintf(wanted, sizeof wanted,
            "{\"message\":\"Cache key set success\",\"payload\":{\"key\":\"sync\",\"value\":%s}}\n",
            values[i]);
        assert_string_equal(answer_text(&answer), wanted);
        answer_destroy(&answer);
        (void)snprintf(wanted, sizeof wanted,
            "{\"message\":\"Cache key get success\",\"payload\":{\"key\":\"sync\",\"value\":%s}}\n",
            values[i]);
        expect(bench, "GET /api/cache/sync" TAIL "\r\n", 200, wanted);
    }
}

static void cache__bad_json__is_refused_in_the_envelope(void **state)
{
    struct bench *bench = *state;
    static const char *const bodies[] = {"{", "nope", "1 2", "\"\xff\"", "[1,]"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct answer answer;
        ask(bench, &answer, "POST /api/cache/a/" TAIL "Content-Length: %zu\r\n\r\n%s",
            strlen(bodies[i]), bodies[i]);
        assert_int_equal(answer.status, 400);
        json_t *root = json_loads(answer_text(&answer), 0, NULL);
        assert_true(json_is_string(json_object_get(root, "message")));
        assert_int_equal(json_object_size(json_object_get(root, "payload")), 0);
        assert_int_equal(json_object_size(root), 2);
        json_decref(root);
        answer_destroy(&answer);
    }
    assert_int_equal(bench->node.submitted, 0);
    expect(bench, "POST /api/cache/a" TAIL "Content-Length: 0\r\n\r\n", 400,
        "{\"message\":\"The body is not JSON: it is empty\",\"payload\":{}}");
}

static void cache__missing_and_expired__say_so(void **state)
{
    struct bench *bench = *state;
    static const char missing[] = "{\"message\":\"Cache key not found\",\"payload\":{}}";
    expect(bench, "GET /api/cache/a/" TAIL "\r\n", 404, missing);
    expect(
        bench, "PATCH /api/cache/a/" TAIL "Content-Length: 12\r\n\r\n{\"ttl\":null}", 404, missing);
    expect(bench, "DELETE /api/cache/a/" TAIL "\r\n", 200,
        "{\"message\":\"Cache key expired\",\"payload\":{}}\n");
    expect(bench, "POST /api/cache/a/?ttl=5m" TAIL "Content-Length: 1\r\n\r\n1", 201,
        "{\"message\":\"Cache key set success\",\"payload\":{\"key\":\"a\",\"value\":1}}\n");
    expect(bench, "PATCH /api/cache/a/" TAIL "Content-Length: 13\r\n\r\n{\"ttl\":\"30s\"}", 200,
        "{\"message\":\"Cache key ttl set\",\"payload\":{\"key\":\"a\",\"ttl_ms\":30000}}\n");
    expect(bench, "PATCH /api/cache/a" TAIL "Content-Length: 12\r\n\r\n{\"ttl\":null}", 200,
        "{\"message\":\"Cache key ttl set\",\"payload\":{\"key\":\"a\",\"ttl_ms\":null}}\n");
}

static void cache__foreign_values_and_keys__come_as_base64(void **state)
{
    struct bench *bench = *state;
    expect(bench, "PUT /v1/kv/%ffa" TAIL "Content-Length: 4\r\n\r\n{\"x\"", 201, "");
    expect(bench, "GET /api/cache/%ffa/" TAIL "\r\n", 200,
        "{\"message\":\"Cache key get success\",\"payload\":{\"key_b64\":\"/2E=\","
        "\"value\":\"eyJ4Ig==\",\"encoding\":\"base64\"}}\n");
    /* The type alone does not make it JSON. */
    expect(bench,
        "PUT /v1/kv/b" TAIL "Content-Type: application/json\r\nContent-Length: 4\r\n\r\n{\"x\"",
        201, "");
    expect(bench, "GET /api/cache/b/" TAIL "\r\n", 200,
        "{\"message\":\"Cache key get success\",\"payload\":{\"key\":\"b\","
        "\"value\":\"eyJ4Ig==\",\"encoding\":\"base64\"}}\n");
    /* One slash is dropped, inner ones and encoded ones belong to the key. */
    expect(bench, "POST /api/cache/x/y//" TAIL "Content-Length: 1\r\n\r\n1", 201,
        "{\"message\":\"Cache key set success\",\"payload\":{\"key\":\"x/y/\",\"value\":1}}\n");
}

static void routes__unknown_and_wrong_method__are_said(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *request;
        int status;
        const char *allow;
    } cases[] = {
        {"POST /v1/kv/a" TAIL "Content-Length: 0\r\n\r\n", 405, "GET, HEAD, PUT, DELETE, PATCH"},
        {"PUT /api/cache/a" TAIL "Content-Length: 0\r\n\r\n", 405,
            "GET, HEAD, POST, DELETE, PATCH"},
        {"GET /v1/leader/transfer" TAIL "\r\n", 405, "POST"},
        {"DELETE /v1/status" TAIL "\r\n", 405, "GET, HEAD"},
        {"OPTIONS /readyz" TAIL "\r\n", 405, "GET, HEAD"},
        {"BREW /v1/kv/pot" TAIL "\r\n", 405, "GET, HEAD, PUT, DELETE, PATCH"},
        {"BREW /nowhere" TAIL "\r\n", 404, NULL}, {"GET /" TAIL "\r\n", 404, NULL},
        {"GET /v1/kv" TAIL "\r\n", 404, NULL}, {"GET /v1/status/" TAIL "\r\n", 404, NULL},
        {"GET /index.html" TAIL "\r\n", 404, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer;
        ask(bench, &answer, "%s", cases[i].request);
        assert_int_equal(answer.status, cases[i].status);
        if (cases[i].allow != NULL) {
            assert_string_equal(answer_header(&answer, "Allow"), cases[i].allow);
        }
        answer_destroy(&answer);
    }
}

static void replies__every_status__has_its_code(void **state)
{
    struct bench *bench = *state;
    static const struct {
        enum pc_reply_status status;
        int get, put;
        const char *get_code, *put_code;
    } cases[] = {{PC_REPLY_NO_LEADER, 503, 503, "no_leader", "no_leader"},
        {PC_REPLY_UNKNOWN, 504, 504, "outcome_unknown", "outcome_unknown"},
        {PC_REPLY_TIMEOUT, 504, 504, "timeout", "outcome_unknown"},
        {PC_REPLY_OVERLOADED, 503, 503, "overloaded", "overloaded"},
        {PC_REPLY_LOG_FULL, 507, 507, "log_full", "log_full"},
        {PC_REPLY_LOADING, 503, 503, "loading", "loading"},
        {PC_REPLY_SPARE, 503, 503, "spare", "spare"},
        {PC_REPLY_STOPPING, 503, 503, "stopping", "stopping"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench->node.force = cases[i].status;
        expect_code(bench, "GET /v1/kv/a" TAIL "\r\n", cases[i].get, cases[i].get_code);
        expect_code(bench, "PUT /v1/kv/a" TAIL "Content-Length: 0\r\n\r\n", cases[i].put,
            cases[i].put_code);
    }
    struct answer answer;
    bench->node.force = PC_REPLY_LOG_FULL;
    ask(bench, &answer, "PUT /v1/kv/a" TAIL "Content-Length: 0\r\n\r\n");
    assert_non_null(strstr(answer_text(&answer), "its reserve left: node2, node3\""));
    answer_destroy(&answer);
    bench->node.force = PC_REPLY_NO_LEADER;
    ask(bench, &answer, "GET /v1/kv/a" TAIL "\r\n");
    assert_string_equal(answer_header(&answer, "Retry-After"), "1");
    answer_destroy(&answer);
    expect(bench, "GET /api/cache/a" TAIL "\r\n", 503,
        "{\"message\":\"not done: no leader could be reached in time\",\"payload\":{}}");
}

static void status__shape__is_as_promised(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    ask(bench, &answer, "GET /v1/status" TAIL "\r\n");
    json_t *root = json_loads(answer_text(&answer), 0, NULL);
    assert_non_null(root);
    assert_string_equal(json_string_value(json_object_get(root, "node")), "node1");
    assert_string_equal(json_string_value(json_object_get(root, "id")), "00000000000000a1");
    assert_string_equal(json_string_value(json_object_get(root, "role")), "leader");
    assert_string_equal(json_string_value(json_object_get(root, "leader")), "node1");
    assert_int_equal(json_integer_value(json_object_get(root, "term")), 7);
    assert_true(json_is_integer(json_object_get(root, "commit")));
    assert_true(json_is_integer(json_object_get(root, "applied")));
    assert_int_equal(json_string_length(json_object_get(root, "digest")), 32);
    assert_true(json_is_true(json_object_get(root, "ready")));
    assert_string_equal(json_string_value(json_object_get(root, "fsync")), "always");
    json_t *members = json_object_get(root, "members");
    assert_int_equal(json_array_size(members), 3);
    json_t *first = json_array_get(members, 0);
    assert_string_equal(json_string_value(json_object_get(first, "address")), "127.0.0.1:7946");
    assert_string_equal(json_string_value(json_object_get(first, "state")), "alive");
    assert_true(json_is_null(json_object_get(json_array_get(members, 2), "id")));
    json_decref(root);
    answer_destroy(&answer);
    bench->node.no_leader = true;
    expect(bench, "GET /v1/leader" TAIL "\r\n", 200,
        "{\"leader\":null,\"id\":null,\"term\":7,\"self\":false}\n");
}

static void transfer__leader__hands_over_and_follower_refuses(void **state)
{
    struct bench *bench = *state;
    expect(bench, "POST /v1/leader/transfer" TAIL "\r\n", 202, "{\"target\":null}\n");
    assert_int_equal(bench->node.transfers, 1);
    expect(bench, "POST /v1/leader/transfer?target=node2" TAIL "\r\n", 202,
        "{\"target\":\"node2\"}\n");
    assert_int_equal(bench->node.transferred, 0xb2);
    expect(bench,
        "POST /v1/leader/transfer" TAIL "Content-Length: 18\r\n\r\n{\"target\":\"node2\"}", 202,
        "{\"target\":\"node2\"}\n");
    expect_code(bench, "POST /v1/leader/transfer?target=nobody" TAIL "\r\n", 400, "bad_target");
    expect_code(bench, "POST /v1/leader/transfer?target=node1" TAIL "\r\n", 400, "bad_target");
    expect_code(bench, "POST /v1/leader/transfer" TAIL "Content-Length: 9\r\n\r\n{\"to\":\"x\"}",
        400, "bad_json");
    expect_code(bench, "POST /v1/leader/transfer" TAIL "Content-Length: 10\r\n\r\n{\"to\":\"x\"}",
        400, "bad_body");
    assert_int_equal(bench->node.transfers, 3);
    bench->node.leading = false;
    expect_code(bench, "POST /v1/leader/transfer" TAIL "\r\n", 409, "not_leader");
    struct answer answer;
    ask(bench, &answer, "POST /v1/leader/transfer" TAIL "\r\n");
    assert_non_null(strstr(answer_text(&answer), "\"leader\":\"node2\""));
    answer_destroy(&answer);
}

static const char *local_header(struct bench *bench, struct answer *answer, const char *name)
{
    ask(bench, answer, "GET /v1/kv/a?consistency=local" TAIL "\r\n");
    return answer_header(answer, name);
}

static void local_read__without_a_quorum__is_marked_and_says_its_age(void **state)
{
    struct bench *bench = *state;
    struct answer answer;
    expect(bench, "PUT /v1/kv/a" TAIL "Content-Length: 1\r\n\r\nx", 201, "");
    bench->node.age_ms = 40;
    assert_null(local_header(bench, &answer, "X-PC-Quorum"));
    assert_string_equal(answer_header(&answer, "X-PC-Age-Ms"), "40");
    answer_destroy(&answer);
    bench->node.up_n = 1;
    bench->node.age_ms = 7100;
    assert_string_equal(local_header(bench, &answer, "X-PC-Quorum"), "lost");
    assert_string_equal(answer_header(&answer, "X-PC-Age-Ms"), "7100");
    assert_int_equal(answer.status, 200);
    answer_destroy(&answer);
    static const char *const others[] = {"GET /v1/kv/none?consistency=local" TAIL "\r\n",
        "GET /api/cache/a/?consistency=local" TAIL "\r\n",
        "GET /api/cache/none/?consistency=local" TAIL "\r\n"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        ask(bench, &answer, "%s", others[i]);
        assert_string_equal(answer_header(&answer, "X-PC-Quorum"), "lost");
        assert_string_equal(answer_header(&answer, "X-PC-Age-Ms"), "7100");
        answer_destroy(&answer);
    }
    ask(bench, &answer, "GET /v1/kv/a" TAIL "\r\n"); /* that is known to be fresh */
    assert_null(answer_header(&answer, "X-PC-Quorum"));
    assert_null(answer_header(&answer, "X-PC-Age-Ms"));
    answer_destroy(&answer);
}

/* What comes between reading and answering makes the value no younger. */
static void local_read__answered_later__tells_the_age_it_was_read_at(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    expect(bench, "PUT /v1/kv/a" TAIL "Content-Length: 1\r\n\r\nx", 201, "");
    bench->node.hold = true;
    bench->node.up_n = 1;
    bench->node.age_ms = 7100;
    size_t asked = bench->node.submitted;
    client_open(bench, &client);
    client_text(&client, "GET /v1/kv/a?consistency=local" TAIL "\r\n");
    AWAIT(bench, bench->node.submitted == asked + 1);
    bench->node.up_n = 3;
    bench->node.age_ms = 0;
    bench->node.hold = false;
    fake_node_release(&bench->node);
    client_answer(&client, &answer, false);
    assert_string_equal(answer_header(&answer, "X-PC-Age-Ms"), "7100");
    assert_string_equal(answer_header(&answer, "X-PC-Quorum"), "lost");
    answer_destroy(&answer);
    client_close(&client);
}

static void refused(struct bench *bench, const char *request, int status, const char *code)
{
    struct answer answer;
    ask(bench, &answer, "%s", request);
    assert_int_equal(answer.status, status);
    bool is_named = strstr(answer_text(&answer),
                        "no quorum: 1 of 3 voters answers; missing: node2, node3") != NULL;
    assert_int_equal(is_named, strcmp(code, "no_quorum") == 0);
    assert_non_null(strstr(answer_text(&answer), code));
    if (status == 503) {
        assert_string_equal(answer_header(&answer, "Retry-After"), "1");
    }
    answer_destroy(&answer);
}

static void refusal__without_a_quorum__names_who_is_missing(void **state)
{
    static const char put[] = "PUT /v1/kv/a" TAIL "Content-Length: 1\r\n\r\nx";
    static const char get[] = "GET /v1/kv/a" TAIL "\r\n";
    struct bench *bench = *state;
    bench->node.force = PC_REPLY_NO_LEADER;
    refused(bench, put, 503, "no_leader"); /* there may be one any moment */
    bench->node.up_n = 1;
    refused(bench, put, 503, "no_quorum");
    refused(bench, get, 503, "no_quorum");
    refused(bench, "DELETE /v1/members/node2" TAIL "\r\n", 503, "no_quorum");
    bench->node.force = PC_REPLY_TIMEOUT;
    refused(bench, get, 503, "no_quorum");
    bench->node.force = PC_REPLY_UNKNOWN; /* it may have been done: nothing else may be said */
    refused(bench, put, 504, "outcome_unknown");
}

static void health__ready_and_not__differ(void **state)
{
    struct bench *bench = *state;
    expect(bench, "GET /livez" TAIL "\r\n", 200, "ok\n");
    expect(
        bench, "GET /readyz" TAIL "\r\n", 200, "[+]log ok\n[~]leader none 0.4s\n[+]catchup ok\n");
    expect(bench, "GET /api/health/" TAIL "\r\n", 200,
        "{\"message\":\"It works!!!\",\"payload\":{\"node\":\"node1\",\"role\":\"leader\","
        "\"leader\":\"node1\",\"ready\":true}}\n");
    bench->node.ready = false;
    expect(bench, "GET /readyz" TAIL "\r\n", 503,
        "[+]log ok\n[~]leader none 0.4s\n[-]catchup 81% eta 3s\n");
    struct answer answer;
    ask(bench, &answer, "GET /healthz" TAIL "\r\n");
    assert_int_equal(answer.status, 503);
    json_t *root = json_loads(answer_text(&answer), 0, NULL);
    assert_true(json_is_false(json_object_get(root, "ready")));
    assert_int_equal(json_array_size(json_object_get(root, "checks")), 3);
    json_decref(root);
    answer_destroy(&answer);
    expect(bench, "GET /livez" TAIL "\r\n", 200, "ok\n");
}

static void metrics__after_some_requests__count_them(void **state)
{
    struct bench *bench = *state;
    expect(bench, "PUT /v1/kv/a" TAIL "Content-Length: 1\r\n\r\nx", 201, "");
    expect_code(bench, "GET /v1/kv/b" TAIL "\r\n", 404, "not_found");
    expect_code(bench, "GET /a HTTP/1.1\r\n\r\n", 400, "bad_host");
    struct answer answer;
    ask(bench, &answer, "GET /metrics" TAIL "\r\n");
    const char *text = answer_text(&answer);
    static const char *const wanted[] = {"\npcached_role{role=\"leader\"} 1\n",
        "\npcached_role{role=\"voter\"} 0\n", "\npcached_term 7\n", "\npcached_applied_index 1\n",
        "\npcached_elections_started_total 3\n",
        "\npcached_http_requests_total{route=\"kv\",code=\"201\"} 1\n",
        "\npcached_http_requests_total{route=\"kv\",code=\"404\"} 1\n",
        "\npcached_http_rejected_total{reason=\"bad_host\"} 1\n", "\npcached_voters 3\n",
        "\npcached_voters_up 3\n", "\npcached_quorum_lost 0\n",
        "\npcached_members{state=\"suspect\"} 1\n", "\npcached_store_items 11\n",
        "\npcached_http_in_flight 1\n", "\npcached_fake 1\n"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (strstr(text, wanted[i]) == NULL) {
            fail_msg("no %s", wanted[i]);
        }
    }
    answer_destroy(&answer);
}

static const struct CMUnitTest tests[] = {
    CALL(kv__put_then_get__echoes_bytes_and_type),
    CALL(kv__form_type__is_stored_as_octets),
    CALL(kv__stored_type_with_line_end__ends_the_field_there),
    CALL(kv__keys__are_any_bytes),
    CALL(kv__ttl__is_set_changed_and_cleared),
    CALL(kv__query__is_checked),
    CALL(kv__delete__is_204_in_any_case),
    CALL(kv__large_value_with_expect__comes_back_whole),
    CALL(cache__values__are_echoed_byte_for_byte),
    CALL(cache__bad_json__is_refused_in_the_envelope),
    CALL(cache__missing_and_expired__say_so),
    CALL(cache__foreign_values_and_keys__come_as_base64),
    CALL(routes__unknown_and_wrong_method__are_said),
    CALL(replies__every_status__has_its_code),
    CALL(status__shape__is_as_promised),
    CALL(transfer__leader__hands_over_and_follower_refuses),
    CALL(local_read__without_a_quorum__is_marked_and_says_its_age),
    CALL(local_read__answered_later__tells_the_age_it_was_read_at),
    CALL(refusal__without_a_quorum__names_who_is_missing),
    CALL(health__ready_and_not__differ),
    CALL(metrics__after_some_requests__count_them),
};
PC_TEST_MAIN("http_calls", tests)
