/* If-Match and If-None-Match: how they are read, and what they do to each call. */
#include "edge/http/http_int.h"
#include "fake_client.h"
#include "support/test.h"

#include <string.h>

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
#define PUT "PUT /v1/kv/a" TAIL "Content-Length: 1\r\n"

static void expect(struct bench *bench, const char *request, int status, const char *part)
{
    struct answer answer;
    ask(bench, &answer, "%s", request);
    assert_int_equal(answer.status, status);
    assert_non_null(strstr(answer_text(&answer), part));
    answer_destroy(&answer);
}

static void expect_etag(struct bench *bench, const char *request, int status, const char *etag)
{
    struct answer answer;
    ask(bench, &answer, "%s", request);
    assert_int_equal(answer.status, status);
    const char *got = answer_header(&answer, "ETag");
    if (etag == NULL) {
        assert_null(got);
    } else {
        assert_string_equal(got, etag);
    }
    answer_destroy(&answer);
}

static void parse__what_a_write_may_carry__becomes_a_condition(void **state)
{
    (void)state;
    static const struct {
        const char *match, *none_match;
        enum pc_condition condition;
        pc_index version;
        bool never;
    } cases[] = {
        {NULL, NULL, PC_IF_ANY, 0, false},
        {"\"1\"", NULL, PC_IF_VERSION, 1, false},
        {" \t\"88213\" ", NULL, PC_IF_VERSION, 88213, false},
        {"\"9007199254740991\"", NULL, PC_IF_VERSION, PC_VERSION_MAX, false},
        {"*", NULL, PC_IF_PRESENT, 0, false},
        {" * ", NULL, PC_IF_PRESENT, 0, false},
        {NULL, "*", PC_IF_ABSENT, 0, false},
        {"W/\"7\"", NULL, PC_IF_VERSION, 0, true},
        {"\"9007199254740992\"", NULL, PC_IF_VERSION, 0, true},
        {"\"18446744073709551623\"", NULL, PC_IF_VERSION, 0, true},
        {"\"0\"", NULL, PC_IF_VERSION, 0, true},
        {"\"07\"", NULL, PC_IF_VERSION, 0, true},
        {"\"7a\"", NULL, PC_IF_VERSION, 0, true},
        {"\"-7\"", NULL, PC_IF_VERSION, 0, true},
        {"\"\"", NULL, PC_IF_VERSION, 0, true},
        {"\"*\"", NULL, PC_IF_VERSION, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_http_condition out = {.version = 99};
        struct pc_http_problem problem;
        assert_true(pc_http_condition_parse(cases[i].match, cases[i].none_match, &out, &problem));
        assert_int_equal(out.condition, cases[i].condition);
        assert_int_equal(out.version, cases[i].version);
        assert_int_equal(out.never, cases[i].never);
    }
}

static void parse__what_a_write_may_not_carry__is_refused(void **state)
{
    (void)state;
    static const char *const matches[] = {"", " ", "7", "\"7", "7\"", "\"7\" x", "\"7\",\"8\"",
        "\"7\",", "*, \"7\"", "**", "w/\"7\"", "W/", "W/7", "\"", "\"7 8\"", "'7'"};
    static const char *const none_matches[] = {"", "\"7\"", "W/\"7\"", "*,*", "\"7\", *"};
    struct pc_http_condition out;
    struct pc_http_problem problem;
    for (size_t i = 0; i < sizeof matches / sizeof matches[0]; i++) {
        assert_false(pc_http_condition_parse(matches[i], NULL, &out, &problem));
        assert_string_equal(problem.code, "bad_condition");
        assert_int_equal(problem.status, 400);
    }
    for (size_t i = 0; i < sizeof none_matches / sizeof none_matches[0]; i++) {
        assert_false(pc_http_condition_parse(NULL, none_matches[i], &out, &problem));
        assert_string_equal(problem.code, "bad_condition");
    }
    assert_false(pc_http_condition_parse("*", "*", &out, &problem));
}

static void none_match__of_a_read__compares_every_tag(void **state)
{
    (void)state;
    assert_true(pc_http_none_match_has("\"7\"", 7));
    assert_true(pc_http_none_match_has("W/\"7\"", 7));
    assert_true(pc_http_none_match_has("\"1\", \"x,y\" , W/\"7\"", 7));
    assert_true(pc_http_none_match_has("*", 7));
    assert_false(pc_http_none_match_has("\"8\"", 7));
    assert_false(pc_http_none_match_has("\"07\", \"77\"", 7));
    assert_false(pc_http_none_match_has("7", 7));
    assert_false(pc_http_none_match_has("\"8\" \"7\"", 7));
    assert_false(pc_http_none_match_has("", 7));
    assert_false(pc_http_none_match_has("\"8\",", 7));
}

static void put__if_match__replaces_that_version_only(void **state)
{
    struct bench *bench = *state;
    expect(bench, PUT "If-Match: \"1\"\r\n\r\nx", 412, "\"version\":null");
    expect_etag(bench, PUT "\r\nx", 201, "\"2\"");
    expect_etag(bench, PUT "If-Match: \"2\"\r\n\r\ny", 200, "\"3\"");
    struct answer answer;
    ask(bench, &answer, "%s", PUT "If-Match: \"2\"\r\n\r\nz");
    assert_int_equal(answer.status, 412);
    assert_string_equal(answer_header(&answer, "ETag"), "\"3\"");
    assert_string_equal(answer_header(&answer, "Content-Type"), "application/problem+json");
    assert_string_equal(answer_header(&answer, "X-PC-Applied"), "4");
    assert_non_null(strstr(answer_text(&answer), "\"code\":\"condition_failed\""));
    assert_non_null(strstr(answer_text(&answer), "\"retryable\":false,\"version\":3}"));
    answer_destroy(&answer);
    expect(bench, "GET /v1/kv/a" TAIL "\r\n", 200, "y");
    expect_etag(bench, PUT "If-Match: *\r\n\r\nw", 200, "\"5\"");
}

static void put__if_none_match__creates_once(void **state)
{
    struct bench *bench = *state;
    expect_etag(bench, PUT "If-None-Match: *\r\n\r\nx", 201, "\"1\"");
    expect_etag(bench, PUT "If-None-Match: *\r\n\r\ny", 412, "\"1\"");
    expect(bench, "GET /v1/kv/a" TAIL "\r\n", 200, "x");
}

static void delete_and_patch__if_match__act_on_that_version_only(void **state)
{
    struct bench *bench = *state;
    expect_etag(bench, PUT "\r\nx", 201, "\"1\"");
    expect_etag(bench, "DELETE /v1/kv/a" TAIL "If-Match: \"9\"\r\n\r\n", 412, "\"1\"");
    expect(bench,
        "PATCH /v1/kv/a" TAIL "If-Match: \"9\"\r\nContent-Length: 13\r\n\r\n{\"ttl\": \"1m\"}", 412,
        "\"version\":1");
    struct answer answer;
    ask(bench, &answer, "%s",
        "PATCH /v1/kv/a" TAIL "If-Match: \"1\"\r\nContent-Length: 13\r\n\r\n{\"ttl\": \"1m\"}");
    assert_int_equal(answer.status, 200);
    answer_destroy(&answer);
    ask(bench, &answer, "%s", "DELETE /v1/kv/a" TAIL "If-Match: \"1\"\r\n\r\n");
    assert_int_equal(answer.status, 412);
    assert_string_equal(answer_header(&answer, "X-PC-TTL-Ms"), "60000");
    answer_destroy(&answer);
    expect_etag(bench, "DELETE /v1/kv/a" TAIL "If-Match: \"4\"\r\n\r\n", 204, NULL);
    expect_etag(bench, "DELETE /v1/kv/a" TAIL "If-Match: *\r\n\r\n", 412, NULL);
    expect(bench,
        "PATCH /v1/kv/a" TAIL "If-Match: \"4\"\r\nContent-Length: 13\r\n\r\n{\"ttl\": \"1m\"}", 412,
        "\"version\":null");
}

static void write__condition_is_bad_or_never_holds__does_not_reach_the_node(void **state)
{
    struct bench *bench = *state;
    expect_etag(bench, PUT "\r\nx", 201, "\"1\"");
    size_t submitted = bench->node.submitted;
    expect(bench, PUT "If-Match: 1\r\n\r\ny", 400, "bad_condition");
    expect(bench, PUT "If-Match: \"1\", \"2\"\r\n\r\ny", 400, "no list");
    expect(bench, PUT "If-Match: \"1\"\r\nif-match: \"1\"\r\n\r\ny", 400, "twice");
    expect(bench, PUT "If-Match: \"1\"\r\nIf-None-Match: *\r\n\r\ny", 400, "one of");
    expect(bench, PUT "If-None-Match: \"1\"\r\n\r\ny", 400, "* only");
    expect(bench, PUT "If-Match: W/\"1\"\r\n\r\ny", 412, "condition_failed");
    expect(bench, "DELETE /v1/kv/a" TAIL "If-Match: 1\r\n\r\n", 400, "bad_condition");
    assert_int_equal(bench->node.submitted, submitted);
}

static void cache__conditions__hold_in_its_envelope(void **state)
{
    struct bench *bench = *state;
    expect(bench, "POST /api/cache/a/" TAIL "If-None-Match: *\r\nContent-Length: 1\r\n\r\n1", 201,
        "success");
    struct answer answer;
    ask(bench, &answer, "%s",
        "POST /api/cache/a/" TAIL "If-None-Match: *\r\nContent-Length: 1\r\n\r\n2");
    assert_int_equal(answer.status, 412);
    assert_string_equal(answer_header(&answer, "ETag"), "\"1\"");
    assert_string_equal(answer_text(&answer),
        "{\"message\":\"not done: what stands there has version 1\",\"payload\":{}}");
    answer_destroy(&answer);
    expect(bench, "DELETE /api/cache/a/" TAIL "If-Match: \"1\"\r\n\r\n", 200, "expired");
}

static void get__if_none_match__is_told_that_it_has_it(void **state)
{
    struct bench *bench = *state;
    expect_etag(bench, PUT "\r\nx", 201, "\"1\"");
    struct answer answer;
    struct client client;
    client_open(bench, &client);
    client_text(&client, "GET /v1/kv/a" TAIL "If-None-Match: \"1\"\r\n\r\n");
    client_answer(&client, &answer, true); /* a 304 has no body, and no length either */
    assert_int_equal(answer.status, 304);
    assert_string_equal(answer_header(&answer, "ETag"), "\"1\"");
    assert_null(answer_header(&answer, "Content-Length"));
    answer_destroy(&answer);
    client_text(&client, "GET /v1/kv/a" TAIL "If-None-Match: \"2\"\r\n\r\n");
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer_text(&answer), "x");
    answer_destroy(&answer);
    client_close(&client);
}

static void write__a_member_is_too_old__is_refused_by_name(void **state)
{
    struct bench *bench = *state;
    bench->node.force = PC_REPLY_REFUSED;
    expect(bench, PUT "If-None-Match: *\r\n\r\nx", 501, "\"code\":\"member_too_old\"");
    expect(bench, PUT "If-None-Match: *\r\n\r\nx", 501, "node3 speaks protocol 1");
}

static const struct CMUnitTest tests[] = {
    PC_TEST(parse__what_a_write_may_carry__becomes_a_condition),
    PC_TEST(parse__what_a_write_may_not_carry__is_refused),
    PC_TEST(none_match__of_a_read__compares_every_tag),
    CALL(put__if_match__replaces_that_version_only),
    CALL(put__if_none_match__creates_once),
    CALL(delete_and_patch__if_match__act_on_that_version_only),
    CALL(write__condition_is_bad_or_never_holds__does_not_reach_the_node),
    CALL(cache__conditions__hold_in_its_envelope),
    CALL(get__if_none_match__is_told_that_it_has_it),
    CALL(write__a_member_is_too_old__is_refused_by_name),
};
PC_TEST_MAIN("http_conditions", tests)
