/* Answers. Every one leaves through pc_http_send: length, caching and sniffing fields, counters and
 * the decision whether the connection stays open are made in one place.
 *
 * evhttp keeps each field of an answer in three pieces of memory of its own and prints it with
 * printf. Half of the time of a short answer went there. So the fields are put together here, and
 * given to evhttp as the end of the reason phrase:
 *
 *     HTTP/1.1 200 OK CRLF ETag: "7" CRLF X-PC-Node: node1    CRLF Date: ... CRLF ... CRLF CRLF
 *                  \__________ the phrase ________________/
 *
 * Only what evhttp itself looks for, Content-Length and Connection, is left to it as a field. */
#include "http_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Below this a copy is cheaper than a reference with its bookkeeping. Arbitrary. */
#define BODY_COPY_MAX 2048
#define SCRATCH_KEPT_MAX (64 * 1024)
/* All fields of an answer: names and numbers of ours, a content type, two node names. */
#define PHRASE_BYTES_MAX 2048
#define COMMON_FIELDS "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff"
PC_STATIC_ASSERT(PHRASE_BYTES_MAX > PC_CONTENT_TYPE_BYTES_MAX + 2 * PC_NAME_BYTES_MAX + 1024,
    "the fields of an answer fit");

/* Content types come out of the log: bytes that another node has checked. A field ends at the first
 * control character all the same, for what follows it would be a field of its own. */
static size_t value_len(const char *value)
{
    size_t n = 0;
    while ((unsigned char)value[n] >= ' ' && value[n] != 0x7f) {
        n++;
    }
    return n;
}

void pc_http_header(struct pc_http_conn *conn, const char *name, const char *value)
{
    PC_ASSERT(conn->request != NULL);
    struct pc_buf *fields = &conn->http->fields;
    pc_buf_append(fields, "\r\n", 2);
    pc_buf_append(fields, name, strlen(name));
    pc_buf_append(fields, ": ", 2);
    pc_buf_append(fields, value, value_len(value));
}

/* A field that evhttp acts upon. */
static void header_of_evhttp(struct pc_http_conn *conn, const char *name, const char *value)
{
    if (evhttp_add_header(evhttp_request_get_output_headers(conn->request), name, value) != 0) {
        pc_out_of_memory(strlen(value));
    }
}

void pc_http_header_u64(struct pc_http_conn *conn, const char *name, uint64_t v)
{
    char text[21];
    (void)pc_http_u64_text(v, text);
    pc_http_header(conn, name, text);
}

struct evbuffer *pc_http_body(struct pc_http_conn *conn)
{
    return evhttp_request_get_output_buffer(conn->request);
}

static void blob_release(const void *data, size_t len, void *blob)
{
    (void)data;
    (void)len;
    pc_blob_unref(blob);
}

void pc_http_body_blob(struct pc_http_conn *conn, struct pc_blob *blob)
{
    struct pc_slice bytes = pc_blob_slice(blob);
    struct evbuffer *body = pc_http_body(conn);
    if (bytes.len <= BODY_COPY_MAX) {
        (void)evbuffer_add(body, bytes.data, bytes.len);
        return;
    }
    struct pc_blob *kept = pc_blob_ref(blob);
    if (evbuffer_add_reference(body, bytes.data, bytes.len, blob_release, kept) != 0) {
        pc_blob_unref(kept);
    }
}

static void count_answer(struct pc_http_conn *conn, int status)
{
    static const int codes[PC_HTTP_CODES_N] = {
#define CODE_ROW(code) code,
        PC_HTTP_CODE_LIST(CODE_ROW)
#undef CODE_ROW
    };
    int at = 0;
    while (at < PC_HTTP_CODES_N - 1 && codes[at] != status) {
        at++;
    }
    conn->http->answers[conn->route][at]++;
}

static bool must_close(const struct pc_http_conn *conn)
{
    return conn->http->draining || conn->requests >= conn->http->opts.requests_per_connection_max;
}

/* evhttp adds the length of what it sends, and knows that a 204 has none (RFC 9110, 8.6). Of a HEAD
 * it cannot know what the length would be. */
static void send_length(struct pc_http_conn *conn, int status)
{
    struct evbuffer *body = pc_http_body(conn);
    bool is_old = conn->head.version == 0; /* evhttp gives HTTP/1.0 a length only if kept alive */
    bool has_length = status != 204 && status != 304;
    if (has_length && (conn->method == EVHTTP_REQ_HEAD || is_old)) {
        char text[21];
        (void)pc_http_u64_text(evbuffer_get_length(body), text);
        header_of_evhttp(conn, "Content-Length", text);
    }
    if (conn->method == EVHTTP_REQ_HEAD) {
        (void)evbuffer_drain(body, evbuffer_get_length(body));
    }
}

/* What every answer has but its length; the fields so far become the phrase. */
static void send_head(
    struct pc_http_conn *conn, int status, const char *type, char phrase[PHRASE_BYTES_MAX])
{
    PC_ASSERT(conn->request != NULL && conn->state == PC_HTTP_CONN_BUSY);
    struct pc_buf *fields = &conn->http->fields;
    count_answer(conn, status);
    if (type != NULL) {
        pc_http_header(conn, "Content-Type", type);
    }
    if (must_close(conn)) {
        header_of_evhttp(conn, "Connection", "close");
    }
    pc_buf_append(fields, COMMON_FIELDS, sizeof COMMON_FIELDS); /* with its NUL */
    struct pc_slice reason = pc_slice_str(pc_http_phrase(status));
    PC_ASSERT(reason.len + fields->len <= PHRASE_BYTES_MAX);
    memcpy(phrase, reason.data, reason.len);
    memcpy(phrase + reason.len, fields->data, fields->len);
    pc_buf_reset(fields);
    pc_http_guard_writing(conn);
}

void pc_http_send(struct pc_http_conn *conn, int status, const char *type)
{
    struct evhttp_request *request = conn->request;
    char phrase[PHRASE_BYTES_MAX];
    send_head(conn, status, type, phrase);
    send_length(conn, status);
    evhttp_send_reply(request, status, phrase, NULL);
}

void pc_http_send_start(struct pc_http_conn *conn, int status, const char *type, uint64_t length)
{
    char phrase[PHRASE_BYTES_MAX], text[21];
    if (length == PC_HTTP_LENGTH_UNKNOWN && conn->head.version == 0 && !must_close(conn)) {
        header_of_evhttp(conn, "Connection", "close"); /* HTTP/1.0 has no other end */
    }
    send_head(conn, status, type, phrase);
    if (length != PC_HTTP_LENGTH_UNKNOWN) {
        (void)pc_http_u64_text(length, text);
        header_of_evhttp(conn, "Content-Length", text);
    }
    evhttp_send_reply_start(conn->request, status, phrase);
}

void pc_http_send_scratch(struct pc_http_conn *conn, int status, const char *type)
{
    struct pc_buf *scratch = &conn->http->scratch;
    (void)evbuffer_add(pc_http_body(conn), scratch->data, scratch->len);
    pc_buf_reset(scratch);
    if (scratch->cap > SCRATCH_KEPT_MAX) {
        pc_buf_destroy(scratch);
    }
    pc_http_send(conn, status, type);
}

void pc_http_send_problem(struct pc_http_conn *conn, const struct pc_http_problem *problem)
{
    bool envelope = conn->route == PC_HTTP_ROUTE_CACHE;
    pc_buf_reset(&conn->http->scratch);
    pc_http_problem_write(problem, envelope, &conn->http->scratch);
    if (problem->allow != NULL) {
        pc_http_header(conn, "Allow", problem->allow);
    }
    if (problem->retry_after) {
        pc_http_header(conn, "Retry-After", "1");
    }
    pc_http_send_scratch(
        conn, problem->status, envelope ? PC_HTTP_JSON : "application/problem+json");
}
