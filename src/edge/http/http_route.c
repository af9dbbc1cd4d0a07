/* From a whole request to the function that serves it, and from a reply of the node back to it. */
#include "http_int.h"

#include <string.h>

/* evhttp keeps the target as a C string; the guard has refused any NUL in it. */
static struct pc_slice raw_target(const struct pc_http_conn *conn)
{
    return pc_slice_str(evhttp_request_get_uri(conn->request));
}

void pc_http_route_target(struct pc_http_conn *conn, struct pc_http_target *out)
{
    struct pc_http_problem problem;
    bool ok = pc_http_target_parse(raw_target(conn), conn->method, out, &problem);
    PC_ASSERT(ok); /* it was parsed once already */
}

struct pc_slice pc_http_route_body(struct pc_http_conn *conn)
{
    struct evbuffer *input = evhttp_request_get_input_buffer(conn->request);
    size_t len = evbuffer_get_length(input);
    return len == 0 ? pc_slice_of(NULL, 0) : pc_slice_of(evbuffer_pullup(input, -1), len);
}

/* Calls that change the members; a GET of theirs is an operator's question like any other. */
static bool is_member_change(const struct pc_http_conn *conn)
{
    return conn->route == PC_HTTP_ROUTE_MEMBER || conn->route == PC_HTTP_ROUTE_MEMBER_CHANGE ||
           (conn->route == PC_HTTP_ROUTE_MEMBERS && conn->method == EVHTTP_REQ_POST);
}

void pc_http_route_request(struct evhttp_request *request, void *context)
{
    struct pc_http_conn *conn = pc_http_guard_take(context, request);
    if (conn == NULL) {
        return;
    }
    conn->method = evhttp_request_get_command(request);
    struct pc_http_target target;
    struct pc_http_problem problem;
    bool ok = pc_http_target_parse(raw_target(conn), conn->method, &target, &problem);
    conn->route = target.route;
    if (!ok) {
        pc_http_send_problem(conn, &problem);
    } else if (target.route == PC_HTTP_ROUTE_KV) {
        pc_http_kv_request(conn, &target);
    } else if (target.route == PC_HTTP_ROUTE_CACHE) {
        pc_http_cache_request(conn, &target);
    } else if (is_member_change(conn)) {
        pc_http_member_request(conn, &target);
    } else if (target.route == PC_HTTP_ROUTE_SNAPSHOT) {
        pc_http_snapshot_request(conn);
    } else if (target.route == PC_HTTP_ROUTE_ROLLBACKS || target.route == PC_HTTP_ROUTE_ROLLBACK) {
        pc_http_rollback_request(conn);
    } else if (target.route == PC_HTTP_ROUTE_LOG) {
        pc_http_log_request(conn, &target);
    } else if (target.route == PC_HTTP_ROUTE_METRICS) {
        pc_http_metrics_request(conn);
    } else {
        pc_http_admin_request(conn, &target);
    }
}

void pc_http_submit(struct pc_http_conn *conn, struct pc_request *request)
{
    struct pc_http *http = conn->http;
    if (!pc_http_pending_add(&http->pending, conn, &request->tag)) {
        struct pc_http_problem problem;
        pc_http_problem_set(
            &problem, 503, "too_many_requests", "this node has too many requests in flight");
        problem.retryable = true;
        problem.retry_after = true;
        problem.has_limit = true;
        problem.limit = http->pending.cap;
        problem.actual = http->pending.used + UINT64_C(1);
        pc_http_send_problem(conn, &problem);
        return;
    }
    conn->write = request->type != PC_REQUEST_GET;
    conn->local = !conn->write && request->consistency == PC_CONSISTENCY_LOCAL;
    http->opts.ops.submit(http->opts.ops.context, request);
}

void pc_http_mark_branch(struct pc_http_conn *conn, const uint8_t id[16])
{
    char text[33];
    pc_hex_encode(id, 16, text);
    pc_http_header(conn, "X-PC-Branch", text);
    pc_http_header(conn, "X-PC-Durability", "solo");
}

static void reply_give(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    if (reply->has_branch) { /* such an answer says so, whatever it is */
        pc_http_mark_branch(conn, reply->branch);
    }
    if (conn->route == PC_HTTP_ROUTE_CACHE) {
        pc_http_cache_reply(conn, reply);
    } else if (is_member_change(conn)) {
        pc_http_member_reply(conn, reply);
    } else if (conn->route == PC_HTTP_ROUTE_SNAPSHOT) {
        pc_http_snapshot_reply(conn, reply);
    } else {
        pc_http_kv_reply(conn, reply);
    }
}

void pc_http_reply(struct pc_http *http, const struct pc_reply *reply)
{
    struct pc_http_conn *conn = pc_http_pending_take(&http->pending, reply->tag);
    if (conn != NULL) {
        reply_give(conn, reply);
        pc_http_guard_flush(conn);
    }
}

void pc_http_answer_overdue(struct pc_http_conn *conn)
{
    if (conn->stream != NULL) {
        pc_http_stream_overdue(conn);
        return;
    }
    if (pc_http_log_overdue(conn)) {
        return;
    }
    struct pc_reply reply = {.status = conn->write ? PC_REPLY_UNKNOWN : PC_REPLY_TIMEOUT};
    pc_http_pending_drop(&conn->http->pending, conn);
    reply_give(conn, &reply);
}
