/* /v1/kv/{key}: raw bytes in, raw bytes out. */
#include "http_int.h"

#include <string.h>

/* What a body is called that comes without a useful type. */
#define OCTET_STREAM "application/octet-stream"

static bool is_type(const char *text, const char *type)
{
    size_t len = strlen(type);
    return evutil_ascii_strncasecmp(text, type, len) == 0 &&
           (text[len] == '\0' || text[len] == ';' || text[len] == ' ');
}

/* The type to store: empty for octets, and for what curl -d says of any body. */
static bool content_type_of(struct pc_http_conn *conn, struct pc_slice *out)
{
    const char *text =
        evhttp_find_header(evhttp_request_get_input_headers(conn->request), "Content-Type");
    if (text == NULL || is_type(text, "application/x-www-form-urlencoded") ||
        is_type(text, OCTET_STREAM)) {
        *out = pc_slice_of(NULL, 0);
        return true;
    }
    *out = pc_slice_str(text);
    for (size_t i = 0; i < out->len; i++) {
        if (out->data[i] < 0x20 || out->data[i] > 0x7e) {
            return false;
        }
    }
    return out->len <= PC_CONTENT_TYPE_BYTES_MAX;
}

static void kv_put(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    struct pc_request request = {.type = PC_REQUEST_WRITE,
        .command = {.op = PC_OP_SET,
            .has_ttl = target->has_ttl,
            .ttl_ms = target->ttl_ms,
            .key = pc_slice_of(target->key, target->key_len),
            .value = pc_http_route_body(conn)}};
    if (!content_type_of(conn, &request.command.content_type)) {
        struct pc_http_problem problem;
        pc_http_problem_set(&problem, 400, "bad_content_type",
            "Content-Type must be printable ASCII of at most %d bytes", PC_CONTENT_TYPE_BYTES_MAX);
        pc_http_send_problem(conn, &problem);
        return;
    }
    pc_http_submit_write(conn, &request);
}

static void kv_patch(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    struct pc_http_ttl_change change;
    struct pc_http_problem problem;
    if (!pc_http_ttl_change_parse(pc_http_route_body(conn), &change, &problem)) {
        pc_http_send_problem(conn, &problem);
        return;
    }
    struct pc_request request = {.type = PC_REQUEST_WRITE,
        .command = {.op = change.persist ? PC_OP_PERSIST : PC_OP_EXPIRE,
            .has_ttl = !change.persist,
            .ttl_ms = change.ttl_ms,
            .key = pc_slice_of(target->key, target->key_len)}};
    pc_http_submit_write(conn, &request);
}

void pc_http_kv_request(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    struct pc_request request = {.type = PC_REQUEST_GET,
        .consistency = target->consistency,
        .key = pc_slice_of(target->key, target->key_len)};
    if (conn->method == EVHTTP_REQ_PUT) {
        kv_put(conn, target);
        return;
    }
    if (conn->method == EVHTTP_REQ_PATCH) {
        kv_patch(conn, target);
        return;
    }
    if (conn->method == EVHTTP_REQ_DELETE) {
        request.type = PC_REQUEST_WRITE;
        request.command = (struct pc_command){.op = PC_OP_DELETE, .key = request.key};
        pc_http_submit_write(conn, &request);
        return;
    }
    pc_http_submit(conn, &request);
}

static void header_etag(struct pc_http_conn *conn, pc_index version)
{
    char text[24] = "\"";
    size_t len = pc_http_u64_text(version, text + 1);
    text[len + 1] = '"';
    text[len + 2] = '\0';
    pc_http_header(conn, "ETag", text);
}

void pc_http_answer_headers(struct pc_http_conn *conn, pc_index index)
{
    const char *leader = pc_http_leader_name(conn->http);
    pc_http_header_u64(conn, "X-PC-Applied", index);
    pc_http_header(conn, "X-PC-Node", conn->http->node_name);
    if (leader[0] != '\0') {
        pc_http_header(conn, "X-PC-Leader", leader);
    }
}

void pc_http_local_headers(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    if (!conn->local) {
        return;
    }
    if (reply->quorum.has_age) {
        pc_http_header_u64(conn, "X-PC-Age-Ms", reply->quorum.age_ms);
    }
    if (reply->quorum.lost) {
        pc_http_header(conn, "X-PC-Quorum", "lost");
    }
}

static bool client_has(const struct pc_http_conn *conn, pc_index version)
{
    const char *tags =
        evhttp_find_header(evhttp_request_get_input_headers(conn->request), "If-None-Match");
    return tags != NULL && pc_http_none_match_has(tags, version);
}

static void reply_get(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    header_etag(conn, reply->version);
    if (reply->expires) {
        pc_http_header_u64(conn, "X-PC-TTL-Ms", reply->ttl_ms);
    }
    pc_http_answer_headers(conn, reply->index);
    pc_http_local_headers(conn, reply);
    if (client_has(conn, reply->version)) {
        pc_http_send(conn, 304, NULL);
        return;
    }
    pc_http_body_blob(conn, reply->value);
    pc_http_send(conn, 200, reply->content_type[0] != '\0' ? reply->content_type : OCTET_STREAM);
}

static pc_ms outcome_ttl_ms(const struct pc_reply *reply)
{
    return reply->outcome.deadline_ms > reply->stamp_ms
               ? reply->outcome.deadline_ms - reply->stamp_ms
               : 0;
}

static void reply_patch(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    struct pc_buf *out = &conn->http->scratch;
    pc_buf_reset(out);
    pc_http_text(out, "{\"version\":");
    pc_http_json_u64(out, reply->outcome.version);
    pc_http_text(out, ",\"ttl_ms\":");
    if (reply->outcome.version > 0 && reply->outcome.deadline_ms == 0) {
        pc_http_text(out, "null");
    } else {
        pc_http_json_u64(out, outcome_ttl_ms(reply));
    }
    pc_http_text(out, "}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

static void reply_write(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    pc_http_answer_headers(conn, reply->index);
    if (conn->method == EVHTTP_REQ_DELETE) {
        pc_http_send(conn, 204, NULL);
        return;
    }
    if (reply->outcome.version > 0) {
        header_etag(conn, reply->outcome.version);
    }
    if (reply->outcome.deadline_ms > 0) {
        pc_http_header_u64(conn, "X-PC-TTL-Ms", outcome_ttl_ms(reply));
    }
    if (conn->method == EVHTTP_REQ_PATCH) {
        reply_patch(conn, reply);
        return;
    }
    pc_http_send(conn, reply->outcome.existed ? 200 : 201, NULL);
}

static void reply_unmet(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    struct pc_http_problem problem;
    pc_index version = reply->outcome.version;
    if (version > 0) {
        header_etag(conn, version);
        pc_http_problem_set(&problem, 412, "condition_failed",
            "not done: what stands there has version %llu", (unsigned long long)version);
    } else {
        pc_http_problem_set(
            &problem, 412, "condition_failed", "not done: there is nothing under this key");
    }
    if (reply->outcome.deadline_ms > 0) {
        pc_http_header_u64(conn, "X-PC-TTL-Ms", outcome_ttl_ms(reply));
    }
    pc_http_answer_headers(conn, reply->index);
    problem.has_version = true;
    problem.version = version;
    pc_http_send_problem(conn, &problem);
}

/* A member could not read it: the reply says who. */
static void reply_refused(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    struct pc_http_problem problem;
    pc_http_problem_set(&problem, 501, "member_too_old",
        "not done: conditions are not known to all: %s", reply->text);
    pc_http_send_problem(conn, &problem);
}

bool pc_http_kv_not_done(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    bool unmet = reply->status == PC_REPLY_OK && conn->write && reply->outcome.unmet;
    bool refused = reply->status == PC_REPLY_REFUSED;
    if (unmet) {
        reply_unmet(conn, reply);
    } else if (refused) {
        reply_refused(conn, reply);
    }
    return unmet || refused;
}

void pc_http_kv_reply(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    enum pc_reply_status status = reply->status;
    if (pc_http_kv_not_done(conn, reply)) {
        return;
    }
    /* EXPIRE with ttl 0 leaves nothing behind as well, but found something. */
    if (status == PC_REPLY_OK && conn->method == EVHTTP_REQ_PATCH && !reply->outcome.existed) {
        status = PC_REPLY_NOT_FOUND;
    }
    if (status != PC_REPLY_OK) {
        struct pc_http_problem problem;
        pc_http_problem_of_reply(&problem, status, conn->write);
        pc_http_problem_explain(&problem, status, conn);
        if (status == PC_REPLY_NOT_FOUND) {
            pc_http_answer_headers(conn, reply->index);
            pc_http_local_headers(conn, reply);
        }
        pc_http_send_problem(conn, &problem);
    } else if (conn->write) {
        reply_write(conn, reply);
    } else {
        reply_get(conn, reply);
    }
}
