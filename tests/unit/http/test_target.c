/* The pure parsers behind the head: targets, durations, JSON, base64, UTF-8, pending tags. */
#include "edge/http/http_int.h"
#include "support/test.h"

#include <string.h>

static struct pc_http_target target;
static struct pc_http_problem problem;

static bool parse(const char *text, enum evhttp_cmd_type method)
{
    return pc_http_target_parse(pc_slice_str(text), method, &target, &problem);
}

static void expect_key(const char *text, const char *key, size_t len)
{
    assert_true(parse(text, EVHTTP_REQ_GET));
    assert_int_equal(target.key_len, len);
    assert_memory_equal(target.key, key, len);
}

static void target__keys__are_decoded_once(void **state)
{
    (void)state;
    expect_key("/v1/kv/a", "a", 1);
    expect_key("/v1/kv/%61%2f/%00", "a//\0", 4);
    expect_key("/v1/kv/%2525", "%25", 3);
    expect_key("/v1/kv/a+b", "a+b", 3);
    expect_key("/v1/kv/a/", "a/", 2);
    expect_key("/v1/kv/../x", "../x", 4);
    expect_key("/api/cache/a/", "a", 1);
    expect_key("/api/cache/a//", "a/", 2);
    expect_key("/api/cache/a%2F", "a/", 2);
    expect_key("/api/cache//a", "/a", 2);
    expect_key("/api/cache/a/?consistency=local", "a", 1);
    expect_key("/v1/kv/a?", "a", 1);
}

static void target__bad_keys__are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *code;
    } cases[] = {{"/v1/kv/", "empty_key"}, {"/api/cache/", "empty_key"},
        {"/api/cache//", "empty_key"}, {"/v1/kv/?ttl=1s", "empty_key"}, {"/v1/kv/%", "bad_percent"},
        {"/v1/kv/%4", "bad_percent"}, {"/v1/kv/%4g", "bad_percent"}, {"/v1/kv/a%", "bad_percent"},
        {"/nowhere", "no_such_route"}, {"/", "no_such_route"}, {"/v1/kvx/a", "no_such_route"},
        {"/readyz/", "no_such_route"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_false(parse(cases[i].text, EVHTTP_REQ_GET));
        assert_string_equal(problem.code, cases[i].code);
    }
}

static void target__paths__find_their_routes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum pc_http_route route;
    } cases[] = {{"/v1/status", PC_HTTP_ROUTE_STATUS}, {"/v1/leader", PC_HTTP_ROUTE_LEADER},
        {"/v1/members", PC_HTTP_ROUTE_MEMBERS}, {"/v1/leader/transfer", PC_HTTP_ROUTE_TRANSFER},
        {"/api/health", PC_HTTP_ROUTE_HEALTH}, {"/api/health/", PC_HTTP_ROUTE_HEALTH},
        {"/livez", PC_HTTP_ROUTE_LIVEZ}, {"/readyz?", PC_HTTP_ROUTE_READYZ},
        {"/healthz", PC_HTTP_ROUTE_HEALTHZ}, {"/metrics", PC_HTTP_ROUTE_METRICS},
        {"/version", PC_HTTP_ROUTE_VERSION}, {"/v1/kv/x", PC_HTTP_ROUTE_KV},
        {"/v1/kv", PC_HTTP_ROUTE_NONE}, {"/api/health//", PC_HTTP_ROUTE_NONE},
        {"", PC_HTTP_ROUTE_NONE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t path_len = 0;
        assert_int_equal(
            pc_http_target_route(pc_slice_str(cases[i].path), &path_len), cases[i].route);
    }
}

static void target__queries__are_per_route_and_method(void **state)
{
    (void)state;
    assert_true(parse("/v1/kv/a?ttl=2h", EVHTTP_REQ_PUT));
    assert_true(target.has_ttl);
    assert_int_equal(target.ttl_ms, 7200000);
    assert_true(parse("/v1/kv/a?ttl=%32h&", EVHTTP_REQ_PUT));
    assert_int_equal(target.ttl_ms, 7200000);
    assert_true(parse("/v1/kv/a?consistency=linearizable", EVHTTP_REQ_HEAD));
    assert_false(parse("/v1/kv/a?consistency=local", EVHTTP_REQ_PUT));
    assert_string_equal(problem.detail, "unknown query parameter consistency");
    assert_false(parse("/v1/kv/a?x", EVHTTP_REQ_DELETE));
    assert_string_equal(problem.detail, "unknown query parameter x");
    assert_false(parse("/v1/kv/a?ttl=1s&ttl=1s", EVHTTP_REQ_PUT));
    assert_string_equal(problem.code, "repeated_parameter");
    assert_false(parse("/v1/kv/a?ttl=%4", EVHTTP_REQ_PUT));
    assert_string_equal(problem.code, "bad_parameter");
    assert_true(parse("/v1/leader/transfer?target=node2", EVHTTP_REQ_POST));
    assert_string_equal(target.name, "node2");
    assert_false(parse("/v1/leader/transfer?target=a%00b", EVHTTP_REQ_POST));
    char text[200] = "/v1/leader/transfer?target=";
    memset(text + strlen(text), 'n', 64);
    assert_false(parse(text, EVHTTP_REQ_POST));
    assert_false(parse("/livez?x=1", EVHTTP_REQ_GET));
}

static void ttl__texts__mean_what_they_say(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1 = refused */
    } cases[] = {{"500ms", 500}, {"30s", 30000}, {"5m", 300000}, {"2h", 7200000}, {"0", 0},
        {"0s", 0}, {"876000h", (int64_t)PC_TTL_MS_MAX}, {"876001h", -1}, {"30", -1}, {"", -1},
        {"s", -1}, {"-1s", -1}, {"+1s", -1}, {"1.5s", -1}, {"1 s", -1}, {"1S", -1}, {"1d", -1},
        {"00", -1}, {"99999999999999999999s", -1}, {"1s ", -1}, {"1sx", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pc_ms ms = 0;
        bool ok = pc_http_ttl_parse(pc_slice_str(cases[i].text), &ms);
        assert_int_equal(ok, cases[i].ms >= 0);
        assert_true(!ok || ms == (pc_ms)cases[i].ms);
    }
}

static void json__strings__are_escaped(void **state)
{
    (void)state;
    struct pc_buf out = {0};
    pc_http_json_string(&out, pc_slice_of("a\"\\\n\x01\0\xc3\xa9\xff", 9));
    static const char wanted[] = "\"a\\\"\\\\\\n\\u0001\\u0000\xc3\xa9\\ufffd\"";
    assert_int_equal(out.len, sizeof wanted - 1);
    assert_memory_equal(out.data, wanted, sizeof wanted - 1);
    pc_buf_destroy(&out);
}

static void json__depth_and_text__are_checked(void **state)
{
    (void)state;
    char why[160];
    char text[200];
    memset(text, '[', 100);
    memset(text + 32, ']', 32);
    assert_true(pc_http_json_valid(pc_slice_of(text, 64), why, sizeof why));
    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    assert_false(pc_http_json_valid(pc_slice_of(text, 66), why, sizeof why));
    assert_string_equal(why, "nested deeper than 32");
    memset(text, '[', sizeof text);
    text[0] = '"';
    text[1] = '\\';
    text[2] = '"';
    text[sizeof text - 1] = '"';
    assert_true(pc_http_json_valid(pc_slice_of(text, sizeof text), why, sizeof why));
    assert_false(pc_http_json_valid(pc_slice_of("1\0x", 3), why, sizeof why));
    assert_false(pc_http_json_valid(pc_slice_of("\"", 1), why, sizeof why));
    assert_false(pc_http_json_valid(pc_slice_of("\"\\", 2), why, sizeof why));
}

static void utf8__only_shortest_forms_of_characters__are_valid(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {{"", true}, {"a", true}, {"\xc3\xa9", true}, {"\xe2\x82\xac", true},
        {"\xf0\x9f\x98\x80", true}, {"\xf4\x8f\xbf\xbf", true}, {"\xc0\x80", false},
        {"\xc1\xbf", false}, {"\xe0\x9f\xbf", false}, {"\xed\xa0\x80", false},
        {"\xf0\x8f\xbf\xbf", false}, {"\xf4\x90\x80\x80", false}, {"\xf5\x80\x80\x80", false},
        {"\x80", false}, {"\xc3", false}, {"\xe2\x82", false}, {"\xc3(", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(pc_http_utf8_valid(pc_slice_str(cases[i].text)), cases[i].valid);
    }
}

static void base64__all_remainders__are_padded(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="}, {"\xff\xfe", "//4="}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_buf out = {0};
        pc_http_base64(&out, pc_slice_str(cases[i][0]));
        assert_int_equal(out.len, strlen(cases[i][1]));
        assert_memory_equal(out.len > 0 ? (const char *)out.data : "", cases[i][1], out.len);
        pc_buf_destroy(&out);
    }
}

static void u64__edges__are_written(void **state)
{
    (void)state;
    char text[21];
    assert_int_equal(pc_http_u64_text(0, text), 1);
    assert_string_equal(text, "0");
    assert_int_equal(pc_http_u64_text(UINT64_MAX, text), 20);
    assert_string_equal(text, "18446744073709551615");
}

static void pending__old_tag__finds_nothing(void **state)
{
    (void)state;
    struct pc_http_pending pending;
    struct pc_http_conn a = {.slot = UINT32_MAX}, b = {.slot = UINT32_MAX};
    uint64_t tag_a = 0, tag_b = 0;
    pc_http_pending_create(&pending, 1);
    assert_true(pc_http_pending_add(&pending, &a, &tag_a));
    assert_false(pc_http_pending_add(&pending, &b, &tag_b));
    pc_http_pending_drop(&pending, &a);
    assert_true(pc_http_pending_add(&pending, &b, &tag_b));
    assert_null(pc_http_pending_take(&pending, tag_a));
    assert_null(pc_http_pending_take(&pending, tag_b + 1));
    assert_null(pc_http_pending_take(&pending, 0));
    assert_ptr_equal(pc_http_pending_take(&pending, tag_b), &b);
    assert_null(pc_http_pending_take(&pending, tag_b));
    assert_int_equal(pending.used, 0);
    pc_http_pending_destroy(&pending);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(target__keys__are_decoded_once),
    PC_TEST(target__bad_keys__are_named),
    PC_TEST(target__paths__find_their_routes),
    PC_TEST(target__queries__are_per_route_and_method),
    PC_TEST(ttl__texts__mean_what_they_say),
    PC_TEST(json__strings__are_escaped),
    PC_TEST(json__depth_and_text__are_checked),
    PC_TEST(utf8__only_shortest_forms_of_characters__are_valid),
    PC_TEST(base64__all_remainders__are_padded),
    PC_TEST(u64__edges__are_written),
    PC_TEST(pending__old_tag__finds_nothing),
};
PC_TEST_MAIN("http_target", tests)
