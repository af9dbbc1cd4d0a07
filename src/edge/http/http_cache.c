/* /api/cache/{key}/: the calls of PyCache. Values are JSON, stored and echoed byte for byte. */
#include "http_int.h"

#include <string.h>

static void cache_post(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    struct pc_slice body = pc_http_route_body(conn);
    char why[160];
    if (!pc_http_json_valid(body, why, sizeof why)) {
        struct pc_http_problem problem;
        pc_http_problem_set(&problem, 400, "bad_json", "The body is not JSON: %s", why);
        pc_http_send_problem(conn, &problem);
        return;
    }
    struct pc_request request = {.type = PC_REQUEST_WRITE,
        .command = {.op = PC_OP_SET,
            .has_ttl = target->has_ttl,
            .ttl_ms = target->ttl_ms,
            .key = pc_slice_of(target->key, target->key_len),
            .value = body,
            .content_type = pc_slice_str(PC_HTTP_JSON)}};
    pc_http_submit_write(conn, &request);
}

void pc_http_cache_request(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    if (conn->method == EVHTTP_REQ_POST) {
        cache_post(conn, target);
    } else {
        pc_http_kv_request(conn, target); /* one keyspace: these ask the same of the node */
    }
}

/* `{"message": ..., "payload": {"key": ...` with the key again taken from the request's target. */
static struct pc_buf *envelope_begin(struct pc_http_conn *conn, const char *message)
{
    struct pc_http_target target;
    pc_http_route_target(conn, &target);
    struct pc_slice key = pc_slice_of(target.key, target.key_len);
    struct pc_buf *out = &conn->http->scratch;
    pc_buf_reset(out);
    pc_http_text(out, "{\"message\":");
    pc_http_json_string(out, pc_slice_str(message));
    pc_http_text(out, ",\"payload\":{");
    if (pc_http_utf8_valid(key)) {
        pc_http_text(out, "\"key\":");
        pc_http_json_string(out, key);
    } else {
        pc_http_text(out, "\"key_b64\":\"");
        pc_http_base64(out, key);
        pc_buf_append_u8(out, '"');
    }
    return out;
}

/* Empties the scratch buffer into the body, so that a value can follow by reference. */
static void flush(struct pc_http_conn *conn)
{
    struct pc_buf *out = &conn->http->scratch;
    (void)evbuffer_add(pc_http_body(conn), out->data, out->len);
    pc_buf_reset(out);
}

static bool is_json(const struct pc_reply *reply)
{
    size_t len = strlen(PC_HTTP_JSON);
    if (evutil_ascii_strncasecmp(reply->content_type, PC_HTTP_JSON, len) != 0 ||
        (reply->content_type[len] != '\0' && reply->content_type[len] != ';')) {
        return false;
    }
    /* PUT /v1/kv takes any bytes under any type: look before they become part of ours. */
    char why[160];
    return pc_http_json_valid(pc_blob_slice(reply->value), why, sizeof why);
}

static void reply_get(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    struct pc_buf *out = envelope_begin(conn, "Cache key get success");
    pc_http_local_headers(conn, reply);
    if (is_json(reply)) {
        pc_http_text(out, ",\"value\":");
        flush(conn);
        pc_http_body_blob(conn, reply->value);
        pc_http_text(out, "}}\n");
    } else {
        pc_http_text(out, ",\"value\":\"");
        pc_http_base64(out, pc_blob_slice(reply->value));
        pc_http_text(out, "\",\"encoding\":\"base64\"}}\n");
    }
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

static void reply_post(struct pc_http_conn *conn)
{
    struct pc_buf *out = envelope_begin(conn, "Cache key set success");
    pc_http_text(out, ",\"value\":");
    flush(conn);
    (void)evbuffer_add_buffer(pc_http_body(conn), evhttp_request_get_input_buffer(conn->request));
    pc_http_text(out, "}}\n");
    pc_http_send_scratch(conn, 201, PC_HTTP_JSON);
}

static void reply_patch(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    struct pc_buf *out = envelope_begin(conn, "Cache key ttl set");
    pc_ms deadline = reply->outcome.deadline_ms;
    pc_http_text(out, ",\"ttl_ms\":");
    if (reply->outcome.version > 0 && deadline == 0) {
        pc_http_text(out, "null");
    } else {
        pc_http_json_u64(out, deadline > reply->stamp_ms ? deadline - reply->stamp_ms : 0);
    }
    pc_http_text(out, "}}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

void pc_http_cache_reply(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    enum pc_reply_status status = reply->status;
    if (pc_http_kv_not_done(conn, reply)) {
        return;
    }
    if (status == PC_REPLY_OK && conn->method == EVHTTP_REQ_PATCH && !reply->outcome.existed) {
        status = PC_REPLY_NOT_FOUND;
    }
    if (status != PC_REPLY_OK) {
        struct pc_http_problem problem;
        pc_http_problem_of_reply(&problem, status, conn->write);
        pc_http_problem_explain(&problem, status, conn);
        if (status == PC_REPLY_NOT_FOUND) {
            pc_http_local_headers(conn, reply);
        }
        pc_http_send_problem(conn, &problem);
    } else if (!conn->write) {
        reply_get(conn, reply);
    } else if (conn->method == EVHTTP_REQ_POST) {
        reply_post(conn);
    } else if (conn->method == EVHTTP_REQ_PATCH) {
        reply_patch(conn, reply);
    } else {
        pc_http_text(&conn->http->scratch, "{\"message\":\"Cache key expired\",\"payload\":{}}\n");
        pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
    }
}
