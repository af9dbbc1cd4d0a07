/* Calls that change the members, and what is told of them. */
#include "fake_client.h"
#include "support/test.h"

#include <jansson.h>
#include <stdio.h>
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

/* One call; body NULL = a head without any length. */
static void call(struct bench *bench, struct answer *answer, const char *method, const char *target,
    const char *body)
{
    char length[48] = "";
    if (body != NULL) {
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    }
    ask(bench, answer, "%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n%s", method, target, length,
        body != NULL ? body : "");
}

static void expect(struct bench *bench, const char *method, const char *target, const char *body,
    int status, const char *part)
{
    struct answer answer;
    call(bench, &answer, method, target, body);
    if (answer.status != status || strstr(answer_text(&answer), part) == NULL) {
        fail_msg("%s %s %s: %d %s", method, target, body, answer.status, answer_text(&answer));
    }
    answer_destroy(&answer);
}

static void add__each_role__is_asked_of_the_node(void **state)
{
    struct bench *bench = *state;
    const struct pc_member_change *asked = &bench->node.last_change;
    expect(bench, "POST", "/v1/members", "{\"name\":\"node4\"}", 201,
        "{\"name\":\"node4\",\"role\":\"voter\"}\n");
    assert_int_equal(asked->op, PC_MEMBER_ADD);
    assert_int_equal(asked->want, PC_WANT_VOTER);
    assert_string_equal(asked->name, "node4");
    expect(bench, "POST", "/v1/members", "{\"role\":\"replica\",\"name\":\"a.B_c-9\"}", 201,
        "{\"name\":\"a.B_c-9\",\"role\":\"replica\"}\n");
    assert_int_equal(asked->want, PC_WANT_REPLICA);
    assert_string_equal(asked->name, "a.B_c-9");
    expect(bench, "POST", "/v1/members", "{\"name\":\"n\",\"role\":\"spare\"}", 201, "\"spare\"");
    assert_int_equal(asked->want, PC_WANT_SPARE);
}

static void add__bad_bodies__are_named_and_not_asked(void **state)
{
    struct bench *bench = *state;
    static const char long_name[] =
        "{\"name\":\"0123456789012345678901234567890123456789012345678901234567890123\"}";
    static const struct {
        const char *body, *code;
    } cases[] = {{"", "bad_json"}, {"{", "bad_json"}, {"[]", "bad_body"}, {"{}", "bad_body"},
        {"{\"name\":5}", "bad_body"}, {"{\"role\":\"voter\"}", "bad_body"},
        {"{\"name\":\"a\",\"x\":1}", "bad_body"}, {"{\"name\":\"\"}", "bad_name"},
        {"{\"name\":\"a b\"}", "bad_name"}, {"{\"name\":\"a/b\"}", "bad_name"},
        {"{\"name\":\"a\\u0000\"}", "bad_name"}, {long_name, "bad_name"},
        {"{\"name\":\"a\",\"role\":\"king\"}", "bad_role"},
        {"{\"name\":\"a\",\"role\":null}", "bad_role"},
        {"{\"name\":\"a\",\"name\":\"b\"}", "bad_json"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char code[48];
        (void)snprintf(code, sizeof code, "\"code\":\"%s\"", cases[i].code);
        expect(bench, "POST", "/v1/members", cases[i].body, 400, code);
    }
    assert_int_equal(bench->node.submitted, 0);
}

static void change__each_verb__is_asked_of_the_node(void **state)
{
    struct bench *bench = *state;
    const struct pc_member_change *asked = &bench->node.last_change;
    static const struct {
        const char *method, *target;
        int status;
        enum pc_member_op op;
        const char *answer;
    } cases[] = {
        {"DELETE", "/v1/members/node4", 204, PC_MEMBER_REMOVE, ""},
        {"POST", "/v1/members/node4/promote", 200, PC_MEMBER_PROMOTE,
            "{\"name\":\"node4\",\"change\":\"promote\"}\n"},
        {"POST", "/v1/members/node4/demote", 200, PC_MEMBER_DEMOTE,
            "{\"name\":\"node4\",\"change\":\"demote\"}\n"},
        {"POST", "/v1/members/%6eode4/replace", 200, PC_MEMBER_REPLACE,
            "{\"name\":\"node4\",\"change\":\"replace\"}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer;
        call(bench, &answer, cases[i].method, cases[i].target,
            cases[i].method[0] == 'P' ? "" : NULL);
        assert_int_equal(answer.status, cases[i].status);
        assert_string_equal(answer_text(&answer), cases[i].answer);
        answer_destroy(&answer);
        assert_int_equal(asked->op, cases[i].op);
        assert_string_equal(asked->name, "node4");
    }
}

static void change__bad_paths_and_bodies__are_refused(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *method, *target, *body;
        int status;
        const char *part;
    } cases[] = {
        {"POST", "/v1/members/node4/crown", "", 404, "no_such_route"},
        {"POST", "/v1/members/node4/promote/", "", 404, "no_such_route"},
        {"POST", "/v1/members/node4/", "", 404, "no_such_route"},
        {"POST", "/v1/members//promote", "", 400, "bad_name"},
        {"DELETE", "/v1/members/a%20b", NULL, 400, "bad_name"},
        {"DELETE", "/v1/members/%zz", NULL, 400, "bad_name"},
        {"DELETE", "/v1/members/0123456789012345678901234567890123456789012345678901234567890123",
            NULL, 400, "bad_name"},
        {"DELETE", "/v1/members/", NULL, 404, "no_such_route"},
        {"DELETE", "/v1/members/node4?force=1", NULL, 400, "unknown_parameter"},
        {"POST", "/v1/members/node4/promote", "{}", 400, "bad_body"},
        {"GET", "/v1/members/node4", NULL, 405, "allows DELETE"},
        {"GET", "/v1/members/node4/promote", NULL, 405, "allows POST"},
        {"DELETE", "/v1/members", NULL, 405, "allows GET, HEAD, POST"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        expect(
            bench, cases[i].method, cases[i].target, cases[i].body, cases[i].status, cases[i].part);
    }
    assert_int_equal(bench->node.submitted, 0);
}

static void replies__every_status__has_its_code(void **state)
{
    struct bench *bench = *state;
    static const struct {
        enum pc_reply_status status;
        int code;
        const char *part;
    } cases[] = {
        {PC_REPLY_REFUSED, 409, "\"detail\":\"node2 does not answer: \\\"no\\\"\""},
        {PC_REPLY_REFUSED, 409, "\"code\":\"refused\",\"retryable\":false"},
        {PC_REPLY_NO_LEADER, 503, "\"code\":\"no_leader\",\"retryable\":true"},
        {PC_REPLY_UNKNOWN, 504, "the change may or may not take effect"},
        {PC_REPLY_TIMEOUT, 504, "\"code\":\"outcome_unknown\",\"retryable\":false"},
        {PC_REPLY_LOG_FULL, 507, "log_full"},
        {PC_REPLY_STOPPING, 503, "stopping"},
        {PC_REPLY_OVERLOADED, 503, "overloaded"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench->node.force = cases[i].status;
        expect(bench, "POST", "/v1/members", "{\"name\":\"node4\"}", cases[i].code, cases[i].part);
        expect(bench, "DELETE", "/v1/members/node4", NULL, cases[i].code, cases[i].part);
    }
}

/* The node says nothing for too long: it may have been done. */
static void no_reply__overdue__outcome_is_unknown(void **state)
{
    struct bench *bench = *state;
    struct client client;
    struct answer answer;
    bench->node.hold = true;
    client_open(bench, &client);
    client_text(&client, "DELETE /v1/members/node4 HTTP/1.1\r\nHost: h\r\n\r\n");
    AWAIT(bench, bench->node.submitted == 1);
    bench->node.clock_skip_ms = 120000;
    client_answer(&client, &answer, false);
    assert_int_equal(answer.status, 504);
    assert_non_null(strstr(answer_text(&answer), "outcome_unknown"));
    answer_destroy(&answer);
    client_close(&client);
    bench->node.hold = false;
    fake_node_release(&bench->node);
}

/* ---- what is told */

static json_t *get_json(struct bench *bench, const char *target)
{
    struct answer answer;
    call(bench, &answer, "GET", target, NULL);
    assert_int_equal(answer.status, 200);
    json_t *object = json_loads(answer_text(&answer), 0, NULL);
    assert_non_null(object);
    answer_destroy(&answer);
    return object;
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "(none)";
}

static void members__growing__tell_what_each_is_to_be_and_how_far_it_is(void **state)
{
    struct bench *bench = *state;
    bench->node.growing = true;
    json_t *object = get_json(bench, "/v1/members");
    const json_t *members = json_object_get(object, "members");
    assert_int_equal(json_array_size(members), 6);
    const json_t *voter = json_array_get(members, 1), *learner = json_array_get(members, 3);
    const json_t *invited = json_array_get(members, 4), *stranger = json_array_get(members, 5);
    assert_string_equal(text_of(voter, "want"), "voter");
    assert_true(json_is_true(json_object_get(voter, "votes")));
    assert_int_equal(json_integer_value(json_object_get(voter, "percent")), 100);
    assert_null(json_object_get(voter, "eta_ms"));
    assert_string_equal(text_of(learner, "role"), "learner");
    assert_string_equal(text_of(learner, "want"), "voter");
    assert_true(json_is_false(json_object_get(learner, "votes")));
    assert_int_equal(json_integer_value(json_object_get(learner, "percent")), 81);
    assert_int_equal(json_integer_value(json_object_get(learner, "eta_ms")), 2900);
    assert_string_equal(text_of(invited, "role"), "invited");
    assert_string_equal(text_of(invited, "want"), "replica");
    assert_true(json_is_null(json_object_get(invited, "id")));
    assert_null(json_object_get(invited, "percent"));
    assert_true(json_is_null(json_object_get(stranger, "want")));
    json_decref(object);
}

static void status__voters_die__tells_what_may_still_fail(void **state)
{
    struct bench *bench = *state;
    json_t *object = get_json(bench, "/v1/status");
    assert_int_equal(json_integer_value(json_object_get(object, "voters")), 3);
    assert_int_equal(json_integer_value(json_object_get(object, "quorum")), 2);
    assert_int_equal(json_integer_value(json_object_get(object, "redundancy")), 1);
    assert_int_equal(json_array_size(json_object_get(object, "must_survive")), 0);
    json_decref(object);
    bench->node.up_n = 2;
    object = get_json(bench, "/v1/status");
    const json_t *redundancy = json_object_get(object, "redundancy");
    assert_true(json_is_integer(redundancy) && json_integer_value(redundancy) == 0);
    const json_t *names = json_object_get(object, "must_survive");
    assert_int_equal(json_array_size(names), 2);
    assert_string_equal(json_string_value(json_array_get(names, 1)), "node2");
    json_decref(object);
    bench->node.up_n = 1;
    object = get_json(bench, "/v1/status");
    assert_true(json_is_null(json_object_get(object, "redundancy")));
    assert_int_equal(json_integer_value(json_object_get(object, "voters_up")), 1);
    json_decref(object);
}

static const struct CMUnitTest tests[] = {
    CALL(add__each_role__is_asked_of_the_node),
    CALL(add__bad_bodies__are_named_and_not_asked),
    CALL(change__each_verb__is_asked_of_the_node),
    CALL(change__bad_paths_and_bodies__are_refused),
    CALL(replies__every_status__has_its_code),
    CALL(no_reply__overdue__outcome_is_unknown),
    CALL(members__growing__tell_what_each_is_to_be_and_how_far_it_is),
    CALL(status__voters_die__tells_what_may_still_fail),
};

PC_TEST_MAIN("members", tests)
