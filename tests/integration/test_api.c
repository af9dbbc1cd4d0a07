/* What clients of either API see, on every node of a cluster, as curl would send it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integration/kit/cluster.h"

#define MIB (1024 * 1024)
#define PROBLEM "application/problem+json"

static const struct it_client *send_text(
    struct it_cluster *c, size_t i, const char *method, const char *target, const char *body)
{
    return it_call(c, i, method, target, NULL, body, body != NULL ? strlen(body) : 0);
}

static void expect(const struct it_client *answer, int status, const char *body)
{
    if (answer->status != status || strcmp(answer->body, body) != 0) {
        fail_msg("wanted %d %s, but it is %d %s", status, body, answer->status, answer->body);
    }
}

static void expect_header(const struct it_client *answer, const char *name, const char *value)
{
    char have[256];
    assert_string_equal(it_client_header(answer, name, have, sizeof have), value);
}

/* ---- /api/cache */
static void expect_pair(const struct it_client *answer, int status, const char *message,
    const char *key, const char *value)
{
    char body[512];
    (void)snprintf(body, sizeof body,
        "{\"message\":\"%s\",\"payload\":{\"key\":\"%s\",\"value\":%s}}\n", message, key, value);
    expect(answer, status, body);
    expect_header(answer, "Content-Type", "application/json");
}

static void cache__set_get_delete__on_all_nodes_with_and_without_slash(void **state)
{
    (void)state;
    static const char *const values[] = {"42", "\"text\"", "[1, 2,3]", "{\"a\": {\"b\": null}}",
        "true", "false", "null", "\"\"", "[]", "-1.50e3", "\"\\u0000 \\ud83d\\ude00\""};
    static const char *const paths[] = {"/api/cache/sync", "/api/cache/sync/"};
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        size_t writer = v % 3;
        const char *path = paths[v % 2];
        expect_pair(send_text(c, writer, "POST", path, values[v]), 201, "Cache key set success",
            "sync", values[v]);
        for (size_t i = 0; i < 6; i++) {
            expect_pair(
                it_get(c, i / 2, paths[i % 2]), 200, "Cache key get success", "sync", values[v]);
        }
        for (size_t twice = 0; twice < 2; twice++) {
            expect(send_text(c, (writer + 1) % 3, "DELETE", paths[twice], NULL), 200,
                "{\"message\":\"Cache key expired\",\"payload\":{}}\n");
        }
        expect(it_get(c, (writer + 2) % 3, path), 404,
            "{\"message\":\"Cache key not found\",\"payload\":{}}");
    }
}

static void cache__bad_json__is_refused_in_the_envelope_and_not_stored(void **state)
{
    (void)state;
    static const char *const bad[] = {"{", "nul", "", "[1,]", "{\"a\":1} 2", "\"\xff\"", "'x'"};
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct it_client *answer = send_text(c, i % 3, "POST", "/api/cache/k/", bad[i]);
        assert_int_equal(answer->status, 400);
        expect_header(answer, "Content-Type", "application/json");
        it_contains(answer->body, "{\"message\":\"");
        it_contains(answer->body, "\"payload\":{}}");
        assert_int_equal(it_get(c, (i + 1) % 3, "/api/cache/k")->status, 404);
    }
}

static void cache__ttl_calls__answer_as_documented(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    assert_int_equal(send_text(c, 0, "POST", "/api/cache/k/?ttl=1h", "1")->status, 201);
    expect(send_text(c, 1, "PATCH", "/api/cache/k/", "{\"ttl\": \"30s\"}"), 200,
        "{\"message\":\"Cache key ttl set\",\"payload\":{\"key\":\"k\",\"ttl_ms\":30000}}\n");
    expect(send_text(c, 2, "PATCH", "/api/cache/k", "{\"ttl\": null}"), 200,
        "{\"message\":\"Cache key ttl set\",\"payload\":{\"key\":\"k\",\"ttl_ms\":null}}\n");
    char ttl[32];
    assert_string_equal(
        it_client_header(it_get(c, 0, "/v1/kv/k"), "X-PC-TTL-Ms", ttl, sizeof ttl), "");
    expect(send_text(c, 2, "PATCH", "/api/cache/none/", "{\"ttl\": null}"), 404,
        "{\"message\":\"Cache key not found\",\"payload\":{}}");
    assert_int_equal(send_text(c, 2, "PATCH", "/api/cache/k/", "{\"ttl\": -1}")->status, 400);
    assert_int_equal(send_text(c, 0, "POST", "/api/cache/k/?ttl=soon", "2")->status, 400);
    expect_pair(it_get(c, 1, "/api/cache/k/"), 200, "Cache key get success", "k", "1");
}

static void cache__health__says_who_and_whether_ready(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    for (size_t i = 0; i < 6; i++) {
        const struct it_client *answer =
            it_get(c, i / 2, i % 2 == 0 ? "/api/health/" : "/api/health");
        assert_int_equal(answer->status, 200);
        it_contains(answer->body, "{\"message\":\"It works!!!\",\"payload\":{");
        it_contains(answer->body, c->node[i / 2].name);
        it_contains(answer->body, "\"ready\":true");
    }
}

static void cache__keys_and_values_of_the_other_api__are_shown(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    assert_int_equal(it_call(c, 0, "PUT", "/v1/kv/a/b%2fc%20%25", NULL, "\0\1x", 3)->status, 201);
    expect(it_get(c, 1, "/api/cache/a/b/c%20%25/"), 200,
        "{\"message\":\"Cache key get success\",\"payload\":{\"key\":\"a/b/c "
        "%\",\"value\":\"AAF4\","
        "\"encoding\":\"base64\"}}\n");
    assert_int_equal(send_text(c, 2, "POST", "/api/cache/%ff/", "[]")->status, 201);
    it_contains(c->node[2].client.body, "\"key_b64\":\"/w==\"");
    expect(it_get(c, 0, "/v1/kv/%FF"), 200, "[]");
    expect_header(&c->node[0].client, "Content-Type", "application/json");
    /* One slash is dropped here, none there. */
    assert_int_equal(send_text(c, 0, "POST", "/api/cache/s//", "1")->status, 201);
    expect(it_get(c, 1, "/v1/kv/s/"), 200, "1");
    assert_int_equal(it_get(c, 1, "/v1/kv/s")->status, 404);
}

/* ---- /v1/kv */
static void all_bytes_key(char *out)
{
    for (int byte = 0; byte < 256; byte++) {
        (void)snprintf(out + 3 * byte, 4, "%%%02x", byte);
    }
}

static void kv__key_of_all_bytes__is_one_key(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    char target[800] = "/v1/kv/";
    all_bytes_key(target + strlen(target));
    assert_int_equal(send_text(c, 0, "PUT", target, "all")->status, 201);
    expect(it_get(c, 1, target), 200, "all");
    target[strlen(target) - 1] = 'e'; /* %fe instead of %ff */
    assert_int_equal(it_get(c, 1, target)->status, 404);
    char *longest = malloc(1100);
    assert_non_null(longest);
    (void)snprintf(longest, 1100, "/v1/kv/%01024d", 1);
    assert_int_equal(send_text(c, 2, "PUT", longest, "long")->status, 201);
    expect(it_get(c, 0, longest), 200, "long");
    (void)snprintf(longest, 1100, "/v1/kv/%01025d", 1);
    assert_int_equal(send_text(c, 2, "PUT", longest, "too long")->status / 100, 4);
    free(longest);
}

static void kv__values_from_empty_to_one_mebibyte__come_back_byte_for_byte(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 511, 4096, 65537, MIB - 1, MIB};
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    uint8_t *value = malloc(MIB + 1);
    assert_non_null(value);
    for (size_t i = 0; i <= MIB; i++) {
        value[i] = (uint8_t)(i * 7 + i / 251);
    }
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        assert_int_equal(it_call(c, s % 3, "PUT", "/v1/kv/v", NULL, value, sizes[s])->status,
            s == 0 ? 201 : 200);
        for (size_t i = 0; i < 3; i++) {
            const struct it_client *answer = it_get(c, i, "/v1/kv/v");
            assert_int_equal(answer->status, 200);
            assert_int_equal(answer->body_len, sizes[s]);
            assert_memory_equal(answer->body, value, sizes[s]);
        }
    }
    const struct it_client *answer = it_call(c, 0, "PUT", "/v1/kv/v", NULL, value, MIB + 1);
    assert_int_equal(answer->status, 413);
    expect_header(answer, "Content-Type", PROBLEM);
    assert_int_equal(it_get(c, 1, "/v1/kv/v")->body_len, MIB);
    free(value);
    it_cluster_await_equal(c);
}

static void kv__headers__tell_version_type_and_node(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c);
    char first[32], second[32];
    const struct it_client *answer =
        it_call(c, 0, "PUT", "/v1/kv/k?ttl=1h", "Content-Type: text/plain\r\n", "v", 1);
    assert_int_equal(answer->status, 201);
    (void)it_client_header(answer, "ETag", first, sizeof first);
    assert_true(first[0] == '"' && strtoull(first + 1, NULL, 10) > 0);
    for (size_t i = 0; i < 3; i++) {
        answer = it_call(c, i, "HEAD", "/v1/kv/k", NULL, NULL, 0);
        assert_int_equal(answer->status, 200);
        expect_header(answer, "ETag", first);
        expect_header(answer, "Content-Type", "text/plain");
        expect_header(answer, "Content-Length", "1");
        expect_header(answer, "X-PC-Node", c->node[i].name);
        expect_header(answer, "X-PC-Leader", c->node[leader].name);
        char ttl[32];
        unsigned long long ttl_ms =
            strtoull(it_client_header(answer, "X-PC-TTL-Ms", ttl, sizeof ttl), NULL, 10);
        assert_in_range(ttl_ms, 3500000, 3600000);
    }
    answer = it_call(
        c, 1, "PUT", "/v1/kv/k", "Content-Type: application/x-www-form-urlencoded\r\n", "w", 1);
    assert_int_equal(answer->status, 200);
    (void)it_client_header(answer, "ETag", second, sizeof second);
    assert_true(strtoull(second + 1, NULL, 10) > strtoull(first + 1, NULL, 10));
    answer = it_get(c, 2, "/v1/kv/k");
    expect_header(answer, "ETag", second);
    expect_header(answer, "Content-Type", "application/octet-stream");
    expect_header(answer, "X-PC-TTL-Ms", "");
    assert_int_equal(send_text(c, 2, "DELETE", "/v1/kv/k", NULL)->status, 204);
    assert_int_equal(it_get(c, 0, "/v1/kv/k")->status, 404);
    assert_int_equal(send_text(c, 0, "DELETE", "/v1/kv/k", NULL)->status, 204);
}

static void mistakes__of_a_client__are_problems_not_pages(void **state)
{
    (void)state;
    static const struct {
        const char *method, *target;
        int status;
    } cases[] = {
        {"GET", "/", 404},
        {"GET", "/v1/nothing", 404},
        {"GET", "/v1/kv/", 400},
        {"GET", "/v1/kv/%zz", 400},
        {"GET", "/v1/kv/k?consistency=maybe", 400},
        {"POST", "/v1/status", 405},
        {"DELETE", "/readyz", 405},
        {"GET", "/v1/leader/transfer", 405},
    };
    struct it_cluster *c = it_cluster_new(1);
    it_cluster_start(c);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct it_client *answer = it_call(
            c, 0, cases[i].method, cases[i].target, NULL, cases[i].method[0] == 'P' ? "" : NULL, 0);
        if (answer->status != cases[i].status) {
            fail_msg("%s %s: %d", cases[i].method, cases[i].target, answer->status);
        }
        expect_header(answer, "Content-Type", PROBLEM);
        it_contains(answer->body, "\"detail\":");
        char allow[64];
        (void)it_client_header(answer, "Allow", allow, sizeof allow);
        assert_int_equal(allow[0] != '\0', cases[i].status == 405);
    }
    it_contains(it_get(c, 0, "/version")->body, "\"version\":");
}

static const struct it_test tests[] = {
    IT_TEST(cache__set_get_delete__on_all_nodes_with_and_without_slash),
    IT_TEST(cache__bad_json__is_refused_in_the_envelope_and_not_stored),
    IT_TEST(cache__ttl_calls__answer_as_documented),
    IT_TEST(cache__health__says_who_and_whether_ready),
    IT_TEST(cache__keys_and_values_of_the_other_api__are_shown),
    IT_TEST(kv__key_of_all_bytes__is_one_key),
    IT_TEST(kv__values_from_empty_to_one_mebibyte__come_back_byte_for_byte),
    IT_TEST(kv__headers__tell_version_type_and_node),
    IT_TEST(mistakes__of_a_client__are_problems_not_pages),
};
IT_MAIN(tests)
