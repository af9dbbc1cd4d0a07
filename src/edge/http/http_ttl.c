/* Durations as people write them, and the body of a PATCH. */
#include "http_int.h"

#include <jansson.h>
#include <string.h>

static pc_ms unit_ms(struct pc_slice unit)
{
    static const struct {
        const char *text;
        pc_ms ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (pc_slice_equal(unit, pc_slice_str(units[i].text))) {
            return units[i].ms;
        }
    }
    return 0;
}

bool pc_http_ttl_parse(struct pc_slice text, pc_ms *out)
{
    uint64_t n = 0;
    size_t digits = 0;
    while (digits < text.len && text.data[digits] >= '0' && text.data[digits] <= '9') {
        n = n * 10 + (uint64_t)(text.data[digits] - '0');
        if (n > PC_TTL_MS_MAX) {
            return false;
        }
        digits++;
    }
    if (digits == 1 && text.len == 1 && n == 0) {
        *out = 0;
        return true;
    }
    pc_ms unit = unit_ms(pc_slice_of(text.data + digits, text.len - digits));
    if (digits == 0 || unit == 0 || n > PC_TTL_MS_MAX / unit) {
        return false;
    }
    *out = n * unit;
    return true;
}

static void refuse(struct pc_http_problem *problem, const char *code, const char *detail)
{
    pc_http_problem_set(problem, 400, code, "%s", detail);
}

/* Reads the one member that is allowed. */
static bool ttl_change_read(
    const json_t *object, struct pc_http_ttl_change *out, struct pc_http_problem *problem)
{
    const json_t *ttl = json_object_get(object, "ttl");
    if (ttl == NULL || json_object_size(object) != 1) {
        refuse(problem, "bad_body", "the body must be an object with the one member \"ttl\"");
        return false;
    }
    if (json_is_null(ttl)) {
        *out = (struct pc_http_ttl_change){.persist = true};
        return true;
    }
    pc_ms ms = 0;
    if (!json_is_string(ttl) ||
        !pc_http_ttl_parse(pc_slice_of(json_string_value(ttl), json_string_length(ttl)), &ms)) {
        refuse(problem, "bad_ttl", "ttl must be null or a string like 500ms, 30s, 5m or 2h");
        return false;
    }
    *out = (struct pc_http_ttl_change){.ttl_ms = ms};
    return true;
}

bool pc_http_ttl_change_parse(
    struct pc_slice body, struct pc_http_ttl_change *out, struct pc_http_problem *problem)
{
    char why[128];
    if (!pc_http_json_valid(body, why, sizeof why)) {
        pc_http_problem_set(problem, 400, "bad_json", "the body is not JSON: %s", why);
        return false;
    }
    json_error_t error;
    json_t *object = json_loadb((const char *)body.data, body.len,
        JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (object == NULL) {
        pc_http_problem_set(problem, 400, "bad_json", "the body is not JSON: %s", error.text);
        return false;
    }
    bool ok = json_is_object(object);
    if (ok) {
        ok = ttl_change_read(object, out, problem);
    } else {
        refuse(problem, "bad_body", "the body must be an object with the one member \"ttl\"");
    }
    json_decref(object);
    return ok;
}
