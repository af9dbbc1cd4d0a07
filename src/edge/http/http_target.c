/* From the raw request target to route, key and parameters.
 *
 * The target is parsed here and nowhere else, from the bytes as they came: a key is percent-decoded
 * exactly once, so %2F, %00 and %25 are ordinary bytes of a key, and a slash inside it is one too.
 */
#include "http_int.h"

#include <string.h>

enum query_parameter {
    QUERY_TTL = 1,
    QUERY_CONSISTENCY = 2,
    QUERY_TARGET = 4,
    QUERY_FROM = 8,
    QUERY_LIMIT = 16,
    QUERY_WAIT = 32,
};

#define GET_HEAD (EVHTTP_REQ_GET | EVHTTP_REQ_HEAD)

static const struct route {
    const char *name;
    const char *path; /* whole path, or its beginning when it ends in a slash with a key behind */
    const char *allow;
    unsigned methods;
    bool has_key;
    bool optional_slash; /* one slash more at the end is the same path */
    bool has_member;     /* the name of a member is behind the path, ... */
    bool has_verb;       /* ... and a verb behind that */
    bool has_name;       /* the name of a file is behind the path */
} routes[PC_HTTP_ROUTES_N] = {
    [PC_HTTP_ROUTE_NONE] = {.name = "none", .path = "", .allow = ""},
    [PC_HTTP_ROUTE_KV] = {"kv", "/v1/kv/", "GET, HEAD, PUT, DELETE, PATCH",
        GET_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH, .has_key = true},
    [PC_HTTP_ROUTE_CACHE] = {"cache", "/api/cache/", "GET, HEAD, POST, DELETE, PATCH",
        GET_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE | EVHTTP_REQ_PATCH, .has_key = true,
        .optional_slash = true},
    [PC_HTTP_ROUTE_HEALTH] = {"health", "/api/health", "GET, HEAD", .methods = GET_HEAD,
        .optional_slash = true},
    [PC_HTTP_ROUTE_STATUS] = {"status", "/v1/status", "GET, HEAD", .methods = GET_HEAD},
    [PC_HTTP_ROUTE_MEMBERS] = {"members", "/v1/members", "GET, HEAD, POST",
        .methods = GET_HEAD | EVHTTP_REQ_POST},
    [PC_HTTP_ROUTE_MEMBER] = {"member", "/v1/members/", "DELETE", EVHTTP_REQ_DELETE,
        .has_member = true},
    [PC_HTTP_ROUTE_MEMBER_CHANGE] = {"member_change", "/v1/members/", "POST", EVHTTP_REQ_POST,
        .has_member = true, .has_verb = true},
    [PC_HTTP_ROUTE_LEADER] = {"leader", "/v1/leader", "GET, HEAD", .methods = GET_HEAD},
    [PC_HTTP_ROUTE_TRANSFER] = {"transfer", "/v1/leader/transfer", "POST",
        .methods = EVHTTP_REQ_POST},
    [PC_HTTP_ROUTE_SNAPSHOT] = {"snapshot", "/v1/snapshot", "GET, POST",
        .methods = EVHTTP_REQ_GET | EVHTTP_REQ_POST},
    [PC_HTTP_ROUTE_ROLLBACKS] = {"rollbacks", "/v1/rollbacks", "GET", .methods = EVHTTP_REQ_GET},
    [PC_HTTP_ROUTE_ROLLBACK] = {"rollback", "/v1/rollbacks/", "GET, POST, DELETE",
        .methods = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_DELETE, .has_name = true},
    [PC_HTTP_ROUTE_LOG] = {"log", "/v1/log", "GET", .methods = EVHTTP_REQ_GET},
    [PC_HTTP_ROUTE_LIVEZ] = {"livez", "/livez", "GET, HEAD", .methods = GET_HEAD},
    [PC_HTTP_ROUTE_READYZ] = {"readyz", "/readyz", "GET, HEAD", .methods = GET_HEAD},
    [PC_HTTP_ROUTE_HEALTHZ] = {"healthz", "/healthz", "GET, HEAD", .methods = GET_HEAD},
    [PC_HTTP_ROUTE_METRICS] = {"metrics", "/metrics", "GET, HEAD", .methods = GET_HEAD},
    [PC_HTTP_ROUTE_VERSION] = {"version", "/version", "GET, HEAD", .methods = GET_HEAD},
};

const char *pc_http_route_name(enum pc_http_route route)
{
    return routes[route].name;
}

unsigned pc_http_route_methods(enum pc_http_route route)
{
    return routes[route].methods;
}

const char *pc_http_route_allow(enum pc_http_route route)
{
    return routes[route].allow;
}

static bool route_matches(const struct route *route, struct pc_slice path)
{
    size_t len = strlen(route->path);
    if (path.len < len || memcmp(path.data, route->path, len) != 0) {
        return false;
    }
    if (route->has_member) {
        bool is_verb = path.len > len && memchr(path.data + len, '/', path.len - len) != NULL;
        return path.len > len && is_verb == route->has_verb;
    }
    if (route->has_name) {
        return path.len > len;
    }
    return route->has_key || path.len == len ||
           (route->optional_slash && path.len == len + 1 && path.data[len] == '/');
}

enum pc_http_route pc_http_target_route(struct pc_slice target, size_t *path_len)
{
    const uint8_t *query = target.len > 0 ? memchr(target.data, '?', target.len) : NULL;
    struct pc_slice path = target;
    path.len = query != NULL ? (size_t)(query - target.data) : target.len;
    *path_len = path.len;
    for (int i = PC_HTTP_ROUTE_NONE + 1; i < PC_HTTP_ROUTES_N; i++) {
        if (route_matches(&routes[i], path)) {
            return (enum pc_http_route)i;
        }
    }
    return PC_HTTP_ROUTE_NONE;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decodes once. Returns the decoded length; SIZE_MAX when a % has no two hex digits behind
 * it. Writes at most `max` bytes: a longer result is only counted. */
static size_t percent_decode(struct pc_slice in, uint8_t *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++, n++) {
        uint8_t c = in.data[i];
        if (c == '%') {
            int high = in.len - i > 2 ? hex_value(in.data[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_value(in.data[i + 2]);
            if (low < 0) {
                return SIZE_MAX;
            }
            c = (uint8_t)(high * 16 + low);
            i += 2;
        }
        if (n < max) {
            out[n] = c;
        }
    }
    return n;
}

static bool key_parse(
    struct pc_slice raw, struct pc_http_target *out, struct pc_http_problem *problem)
{
    if (routes[out->route].optional_slash && raw.len > 0 && raw.data[raw.len - 1] == '/') {
        raw.len--;
    }
    size_t len = percent_decode(raw, out->key, sizeof out->key);
    if (len == SIZE_MAX) {
        pc_http_problem_set(
            problem, 400, "bad_percent", "%s", "% must be followed by two hex digits");
        return false;
    }
    if (len == 0) {
        pc_http_problem_set(problem, 400, "empty_key", "a key has at least one byte");
        return false;
    }
    if (len > sizeof out->key) {
        pc_http_problem_set(problem, 400, "key_too_long", "the key is too long");
        problem->has_limit = true;
        problem->limit = sizeof out->key;
        problem->actual = len;
        return false;
    }
    out->key_len = len;
    return true;
}

static enum pc_member_op verb_op(struct pc_slice verb)
{
    static const struct {
        const char *text;
        enum pc_member_op op;
    } verbs[] = {{"promote", PC_MEMBER_PROMOTE}, {"demote", PC_MEMBER_DEMOTE},
        {"replace", PC_MEMBER_REPLACE}};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (pc_slice_equal(verb, pc_slice_str(verbs[i].text))) {
            return verbs[i].op;
        }
    }
    return (enum pc_member_op)0;
}

static bool name_parse(
    struct pc_slice raw, struct pc_http_target *out, struct pc_http_problem *problem)
{
    uint8_t name[PC_NAME_BYTES_MAX];
    size_t len = percent_decode(raw, name, sizeof name);
    if (len > sizeof name || !pc_http_member_name_valid(pc_slice_of(name, len))) {
        pc_http_problem_set(problem, 400, "bad_name", "a name is 1 to 63 of A-Z a-z 0-9 . _ -");
        return false;
    }
    memcpy(out->name, name, len);
    out->name[len] = '\0';
    return true;
}

/* "node4" or "node4/promote" */
static bool member_parse(
    struct pc_slice rest, struct pc_http_target *out, struct pc_http_problem *problem)
{
    const uint8_t *slash = memchr(rest.data, '/', rest.len);
    struct pc_slice raw = rest;
    out->op = PC_MEMBER_REMOVE;
    if (slash != NULL) {
        raw.len = (size_t)(slash - rest.data);
        out->op = verb_op(pc_slice_of(slash + 1, rest.len - raw.len - 1));
    }
    if ((int)out->op == 0) {
        pc_http_problem_set(problem, 404, "no_such_route", "there is nothing at this path");
        return false;
    }
    return name_parse(raw, out, problem);
}

static unsigned parameters_of(enum pc_http_route route, enum evhttp_cmd_type method)
{
    bool store = route == PC_HTTP_ROUTE_KV || route == PC_HTTP_ROUTE_CACHE;
    if (store && (method == EVHTTP_REQ_PUT || method == EVHTTP_REQ_POST)) {
        return QUERY_TTL;
    }
    if (store && (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD)) {
        return QUERY_CONSISTENCY;
    }
    if (route == PC_HTTP_ROUTE_LOG) {
        return QUERY_FROM | QUERY_LIMIT | QUERY_WAIT;
    }
    return route == PC_HTTP_ROUTE_TRANSFER ? QUERY_TARGET : 0;
}

static unsigned parameter_of(struct pc_slice name)
{
    static const struct {
        const char *name;
        unsigned parameter;
    } parameters[] = {{"ttl", QUERY_TTL}, {"consistency", QUERY_CONSISTENCY},
        {"target", QUERY_TARGET}, {"from", QUERY_FROM}, {"limit", QUERY_LIMIT},
        {"wait", QUERY_WAIT}};
    for (size_t i = 0; i < sizeof parameters / sizeof parameters[0]; i++) {
        if (pc_slice_equal(name, pc_slice_str(parameters[i].name))) {
            return parameters[i].parameter;
        }
    }
    return 0;
}

/* Decimal digits: 1..max. */
static bool number_parse(struct pc_slice text, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || n > max / 10) {
            return false;
        }
        n = n * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out = n;
    return n > 0 && n <= max;
}

/* from, limit and wait. */
static bool log_parameter_set(unsigned parameter, struct pc_slice value, struct pc_http_target *out,
    struct pc_http_problem *problem)
{
    uint64_t limit = out->limit;
    bool ok = true;
    if (parameter == QUERY_FROM && !number_parse(value, INT64_MAX, &out->from)) {
        ok = false;
        pc_http_problem_set(problem, 400, "bad_from", "from must be an index: 1 or more");
    } else if (parameter == QUERY_LIMIT && !number_parse(value, PC_FEED_ENTRIES_MAX, &limit)) {
        ok = false;
        pc_http_problem_set(
            problem, 400, "bad_limit", "limit must be 1 to %d entries", PC_FEED_ENTRIES_MAX);
    } else if (parameter == QUERY_WAIT &&
               (!pc_http_ttl_parse(value, &out->wait_ms) || out->wait_ms > PC_FEED_WAIT_MS_MAX)) {
        ok = false;
        pc_http_problem_set(problem, 400, "bad_wait",
            "wait must be like 500ms or 30s, and at most %d s", PC_FEED_WAIT_MS_MAX / 1000);
    }
    out->limit = (uint32_t)limit;
    return ok;
}

/* Sets one parameter from its decoded value. */
static bool parameter_set(unsigned parameter, struct pc_slice value, struct pc_http_target *out,
    struct pc_http_problem *problem)
{
    if (parameter == QUERY_TTL) {
        out->has_ttl = true;
        if (!pc_http_ttl_parse(value, &out->ttl_ms)) {
            pc_http_problem_set(
                problem, 400, "bad_ttl", "ttl must be like 500ms, 30s, 5m, 2h or 0");
            return false;
        }
        return true;
    }
    if (parameter == QUERY_CONSISTENCY) {
        bool local = pc_slice_equal(value, pc_slice_str("local"));
        if (!local && !pc_slice_equal(value, pc_slice_str("linearizable"))) {
            pc_http_problem_set(
                problem, 400, "bad_consistency", "consistency must be local or linearizable");
            return false;
        }
        out->consistency = local ? PC_CONSISTENCY_LOCAL : PC_CONSISTENCY_LINEARIZABLE;
        return true;
    }
    if (parameter != QUERY_TARGET) {
        return log_parameter_set(parameter, value, out, problem);
    }
    if (value.len > PC_NAME_BYTES_MAX || (value.len > 0 && memchr(value.data, 0, value.len))) {
        pc_http_problem_set(problem, 400, "bad_target", "target must be the name of a node");
        return false;
    }
    memcpy(out->name, value.data, value.len);
    out->name[value.len] = '\0';
    return true;
}

/* One "name=value" of the query. `seen` collects the parameters that were there. */
static bool pair_parse(struct pc_slice pair, unsigned allowed, unsigned *seen,
    struct pc_http_target *out, struct pc_http_problem *problem)
{
    const uint8_t *equals = memchr(pair.data, '=', pair.len);
    size_t name_len = equals != NULL ? (size_t)(equals - pair.data) : pair.len;
    unsigned parameter = parameter_of(pc_slice_of(pair.data, name_len)) & allowed;
    if (parameter == 0) {
        pc_http_problem_set(problem, 400, "unknown_parameter", "unknown query parameter %.*s",
            (int)(name_len < 64 ? name_len : 64), (const char *)pair.data);
        return false;
    }
    if ((*seen & parameter) != 0) {
        pc_http_problem_set(problem, 400, "repeated_parameter", "query parameter %.*s twice",
            (int)name_len, (const char *)pair.data);
        return false;
    }
    *seen |= parameter;
    uint8_t value[PC_NAME_BYTES_MAX + 1];
    size_t skip = equals != NULL ? name_len + 1 : pair.len;
    size_t len =
        percent_decode(pc_slice_of(pair.data + skip, pair.len - skip), value, sizeof value);
    if (len > sizeof value) {
        pc_http_problem_set(problem, 400, "bad_parameter", "bad value for query parameter %.*s",
            (int)name_len, (const char *)pair.data);
        return false;
    }
    return parameter_set(parameter, pc_slice_of(value, len), out, problem);
}

static bool query_parse(struct pc_slice query, unsigned allowed, struct pc_http_target *out,
    struct pc_http_problem *problem)
{
    unsigned seen = 0;
    for (size_t at = 0; at < query.len;) {
        const uint8_t *end = memchr(query.data + at, '&', query.len - at);
        size_t len = end != NULL ? (size_t)(end - query.data) - at : query.len - at;
        struct pc_slice pair = pc_slice_of(query.data + at, len);
        if (len > 0 && !pair_parse(pair, allowed, &seen, out, problem)) {
            return false;
        }
        at += len + 1;
    }
    return true;
}

static bool method_check(
    enum pc_http_route route, enum evhttp_cmd_type method, struct pc_http_problem *problem)
{
    if (route == PC_HTTP_ROUTE_NONE) {
        pc_http_problem_set(problem, 404, "no_such_route", "there is nothing at this path");
        return false;
    }
    if ((routes[route].methods & method) == 0) {
        pc_http_problem_set(
            problem, 405, "method_not_allowed", "this path allows %s", routes[route].allow);
        problem->allow = routes[route].allow;
        return false;
    }
    return true;
}

bool pc_http_target_parse(struct pc_slice target, enum evhttp_cmd_type method,
    struct pc_http_target *out, struct pc_http_problem *problem)
{
    size_t path_len = 0;
    enum pc_http_route route = pc_http_target_route(target, &path_len);
    out->route = route;
    out->has_ttl = false;
    out->ttl_ms = 0;
    out->consistency = PC_CONSISTENCY_LINEARIZABLE;
    out->key_len = 0;
    out->name[0] = '\0';
    out->op = (enum pc_member_op)0;
    out->from = 0;
    out->limit = PC_FEED_ENTRIES_DEFAULT;
    out->wait_ms = 0;
    if (!method_check(route, method, problem)) {
        return false;
    }
    size_t skip = strlen(routes[route].path);
    struct pc_slice rest = pc_slice_of(target.data + skip, path_len > skip ? path_len - skip : 0);
    if ((routes[route].has_key && !key_parse(rest, out, problem)) ||
        (routes[route].has_member && !member_parse(rest, out, problem)) ||
        (routes[route].has_name && !name_parse(rest, out, problem))) {
        return false;
    }
    if (path_len == target.len) {
        return true;
    }
    struct pc_slice query = pc_slice_of(target.data + path_len + 1, target.len - path_len - 1);
    return query_parse(query, parameters_of(route, method), out, problem);
}
