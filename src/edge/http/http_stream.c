/* Connections that wait for a thread with a disk, and answers that come from it piece by piece.
 *
 *     asked for --> the first piece is there: head and piece are sent
 *                                                 |
 *              the next one is asked for <-- it has left
 *
 * So a download holds one piece in memory, however long it is and however slow the client; the
 * engine does not read, and never waits. Where a piece cannot be had once the head is out, the
 * connection ends before the answer is complete: that is how the client knows. */
#include "http_int.h"

#include <stdlib.h>

/* Tells these tags from all others. */
#define STREAM_TAG (UINT64_C(1) << 63)

uint64_t pc_http_stream_tag(const struct pc_http_stream *stream)
{
    const struct pc_http *http = stream->conn->http;
    uint64_t at = (uint64_t)(stream - http->streams);
    PC_ASSERT(at < PC_HTTP_STREAMS_MAX);
    return STREAM_TAG | (uint64_t)stream->generation << 8 | at;
}

struct pc_http_stream *pc_http_stream_take(struct pc_http *http, uint64_t tag)
{
    struct pc_http_stream *stream = &http->streams[tag % 256 % PC_HTTP_STREAMS_MAX];
    if (stream->conn == NULL || pc_http_stream_tag(stream) != tag) {
        return NULL;
    }
    stream->is_reading = false;
    enum pc_http_conn_state state = stream->conn->state;
    return state == PC_HTTP_CONN_BUSY || state == PC_HTTP_CONN_WRITING ? stream : NULL;
}

void pc_http_stream_drop(struct pc_http_conn *conn)
{
    if (conn->stream != NULL) {
        PC_ASSERT(conn->stream->conn == conn);
        conn->stream->conn = NULL;
        conn->stream = NULL;
    }
}

void pc_http_stream_refuse(
    struct pc_http_conn *conn, int status, const char *code, const char *detail, bool retryable)
{
    struct pc_http_problem problem;
    pc_http_stream_drop(conn);
    pc_http_problem_set(&problem, status, code, "%s", detail);
    problem.retryable = retryable;
    problem.retry_after = retryable;
    pc_http_send_problem(conn, &problem);
}

void pc_http_stream_fail(
    struct pc_http_conn *conn, int status, const char *code, const char *detail, bool retryable)
{
    if (conn->state == PC_HTTP_CONN_BUSY) {
        pc_http_stream_refuse(conn, status, code, detail, retryable);
    } else {
        pc_http_stream_drop(conn);
        pc_http_guard_end(conn);
    }
}

void pc_http_stream_overdue(struct pc_http_conn *conn)
{
    pc_http_stream_fail(conn, 503, "overloaded", "the disk did not answer in time", true);
}

static void stream_ask(struct pc_http_stream *stream)
{
    stream->is_reading = stream->ask(stream);
    if (!stream->is_reading) {
        pc_http_stream_fail(stream->conn, 503, "overloaded", "too many files are being read", true);
    }
}

void pc_http_stream_open(struct pc_http_conn *conn, pc_http_stream_ask *ask)
{
    struct pc_http *http = conn->http;
    struct pc_http_stream *stream = http->streams;
    while (stream < http->streams + PC_HTTP_STREAMS_MAX && stream->conn != NULL) {
        stream++;
    }
    if (stream == http->streams + PC_HTTP_STREAMS_MAX) {
        pc_http_stream_refuse(conn, 503, "overloaded", "too many files are being read", true);
        return;
    }
    *stream =
        (struct pc_http_stream){.conn = conn, .generation = stream->generation + 1, .ask = ask};
    conn->stream = stream;
    stream_ask(stream);
}

static void on_drained(struct evhttp_connection *evcon, void *context)
{
    (void)evcon;
    struct pc_http_conn *conn = context;
    if (conn->stream != NULL && !conn->stream->is_reading && conn->state == PC_HTTP_CONN_WRITING) {
        pc_http_guard_progress(conn);
        stream_ask(conn->stream);
    }
}

static void release_bytes(const void *data, size_t len, void *context)
{
    (void)data;
    (void)len;
    free(context);
}

void pc_http_stream_send(struct pc_http_stream *stream, struct pc_buf *bytes, bool is_last)
{
    struct pc_http_conn *conn = stream->conn;
    struct evbuffer *out = evbuffer_new();
    if (out == NULL ||
        evbuffer_add_reference(out, bytes->data, bytes->len, release_bytes, bytes->data) != 0) {
        pc_out_of_memory(bytes->len);
    }
    *bytes = (struct pc_buf){0};
    if (!is_last) {
        evhttp_send_reply_chunk_with_cb(conn->request, out, on_drained, conn);
    } else {
        pc_http_stream_drop(conn);
        evhttp_send_reply_chunk(conn->request, out);
        evhttp_send_reply_end(conn->request);
    }
    evbuffer_free(out);
}
