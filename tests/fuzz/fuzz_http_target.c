/* Everything textual of a request but its head. The first byte chooses: targets with their keys and
 * queries, durations, conditions, PATCH bodies, JSON. */
#include "fuzz/kit/fuzz.h"

#include <jansson.h>
#include <stdio.h>

#include "edge/http/http_int.h"

static const enum evhttp_cmd_type methods[] = {EVHTTP_REQ_GET, EVHTTP_REQ_HEAD, EVHTTP_REQ_PUT,
    EVHTTP_REQ_POST, EVHTTP_REQ_DELETE, EVHTTP_REQ_PATCH, EVHTTP_REQ_OPTIONS};

/* A target with the same key, every byte of it escaped. */
static void check_key(const struct pc_http_target *target, enum evhttp_cmd_type method)
{
    FUZZ_CHECK("key bounds", target->key_len >= 1 && target->key_len <= PC_KEY_BYTES_MAX);
    struct pc_buf text = {0};
    const char *path = target->route == PC_HTTP_ROUTE_KV ? "/v1/kv/" : "/api/cache/";
    pc_buf_append(&text, path, strlen(path));
    for (size_t i = 0; i < target->key_len; i++) {
        char escaped[4];
        (void)snprintf(escaped, sizeof escaped, "%%%02x", target->key[i]);
        pc_buf_append(&text, escaped, 3);
    }
    struct pc_http_target again;
    struct pc_http_problem problem;
    FUZZ_CHECK("an escaped key is a key",
        pc_http_target_parse(pc_slice_of(text.data, text.len), method, &again, &problem));
    FUZZ_CHECK("decoded exactly once", pc_slice_equal(pc_slice_of(again.key, again.key_len),
                                           pc_slice_of(target->key, target->key_len)));
    FUZZ_CHECK("same route", again.route == target->route);
    pc_buf_destroy(&text);
}

static void try_target(struct pc_slice text, enum evhttp_cmd_type method)
{
    struct pc_http_target target;
    struct pc_http_problem problem = {0};
    if (!pc_http_target_parse(text, method, &target, &problem)) {
        struct pc_buf out = {0};
        FUZZ_CHECK("a refusal has a status", problem.status >= 400 && problem.status < 500);
        pc_http_problem_write(&problem, false, &out);
        char why[128];
        FUZZ_CHECK("problems are JSON",
            pc_http_json_valid(pc_slice_of(out.data, out.len), why, sizeof why));
        pc_buf_destroy(&out);
        return;
    }
    FUZZ_CHECK("the method fits", (pc_http_route_methods(target.route) & method) != 0);
    FUZZ_CHECK("ttl bound", !target.has_ttl || target.ttl_ms <= PC_TTL_MS_MAX);
    FUZZ_CHECK("names end", memchr(target.name, '\0', sizeof target.name) != NULL);
    if (target.route == PC_HTTP_ROUTE_KV || target.route == PC_HTTP_ROUTE_CACHE) {
        check_key(&target, method);
    }
}

static void try_ttl(struct pc_slice text)
{
    pc_ms ms = 0;
    if (!pc_http_ttl_parse(text, &ms)) {
        return;
    }
    FUZZ_CHECK("ttl bound", ms <= PC_TTL_MS_MAX);
    char canonical[32];
    int len = snprintf(canonical, sizeof canonical, "%llums", (unsigned long long)ms);
    pc_ms again = 0;
    FUZZ_CHECK("its own milliseconds",
        pc_http_ttl_parse(pc_slice_of(canonical, (size_t)len), &again) && again == ms);
}

/* As either field of a write. Whatever is taken for a version is found again by its one tag. */
static void try_condition(struct pc_slice bytes, bool is_match)
{
    char text[512];
    size_t len = bytes.len < sizeof text - 1 ? bytes.len : sizeof text - 1;
    if (len > 0) {
        memcpy(text, bytes.data, len);
    }
    text[len] = '\0';
    struct pc_http_condition found;
    struct pc_http_problem problem = {0};
    if (!pc_http_condition_parse(
            is_match ? text : NULL, is_match ? NULL : text, &found, &problem)) {
        FUZZ_CHECK("a refusal has a status", problem.status == 400);
        return;
    }
    FUZZ_CHECK("a field is a condition", found.condition != PC_IF_ANY);
    FUZZ_CHECK("a version or never",
        (found.condition == PC_IF_VERSION && !found.never) == (found.version != 0));
    FUZZ_CHECK("version bound", found.version <= PC_VERSION_MAX);
    if (found.version != 0) {
        FUZZ_CHECK("a read knows the tag", pc_http_none_match_has(text, found.version));
        FUZZ_CHECK("no other one", !pc_http_none_match_has(text, found.version + 1));
    }
}

static void try_patch(struct pc_slice body)
{
    struct pc_http_ttl_change change;
    struct pc_http_problem problem = {0};
    if (pc_http_ttl_change_parse(body, &change, &problem)) {
        FUZZ_CHECK("ttl bound", change.persist || change.ttl_ms <= PC_TTL_MS_MAX);
    } else {
        FUZZ_CHECK("a refusal has a status", problem.status == 400);
    }
}

/* Whatever the bytes are, as a JSON string they are one, and UTF-8 comes back as it was. */
static void try_json(struct pc_slice bytes)
{
    char why[128];
    (void)pc_http_json_valid(bytes, why, sizeof why);
    struct pc_buf out = {0};
    pc_http_json_string(&out, bytes);
    struct pc_slice text = pc_slice_of(out.data, out.len);
    FUZZ_CHECK("a string is JSON",
        memchr(out.data, 0, out.len) != NULL || pc_http_json_valid(text, why, sizeof why));
    json_t *value =
        json_loadb((const char *)out.data, out.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    FUZZ_CHECK("a string is JSON", json_is_string(value));
    if (pc_http_utf8_valid(bytes)) {
        FUZZ_CHECK("UTF-8 comes back", pc_slice_equal(bytes, pc_slice_of(json_string_value(value),
                                                                 json_string_length(value))));
    }
    json_decref(value);
    pc_buf_destroy(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    uint8_t what = fuzz_u8(&in);
    struct pc_slice rest = pc_slice_of(in.at, fuzz_left(&in));
    switch (what & 3) {
    case 0:
        try_target(rest, methods[(what >> 2) % (sizeof methods / sizeof methods[0])]);
        break;
    case 1:
        if ((what & 4) != 0) {
            try_condition(rest, (what & 8) == 0);
        } else {
            try_ttl(rest);
        }
        break;
    case 2:
        try_patch(rest);
        break;
    default:
        try_json(rest);
        break;
    }
    return 0;
}
