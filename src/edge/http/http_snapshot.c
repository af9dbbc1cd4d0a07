/* Snapshots for whoever wants to keep one: POST has one made, GET is the newest one, as the file
 * that it is on the node's disk.
 *
 *     GET --> the first piece is asked for --> there: head and piece are sent
 *                                                 |
 *              the next one is asked for <-- it has left
 *
 * So a download holds one piece in memory, however large the file and however slow the client is;
 * the engine does not read, and never waits. A file that was replaced meanwhile is read to its end,
 * as long as pieces are asked for (PC_SNAP_HOLD_MS). Where a piece cannot be had once the head is
 * out, the connection ends before the announced length is there: that is how the client knows. */
#include "http_int.h"

#include <stdlib.h>
#include <string.h>

/* Tells these tags from all others of the snapshot thread. */
#define STREAM_TAG (UINT64_C(1) << 63)

static uint64_t stream_tag(const struct pc_http *http, const struct pc_http_stream *stream)
{
    uint64_t at = (uint64_t)(stream - http->streams);
    PC_ASSERT(at < PC_HTTP_STREAMS_MAX);
    return STREAM_TAG | (uint64_t)stream->generation << 8 | at;
}

static struct pc_http_stream *stream_find(struct pc_http *http, uint64_t tag)
{
    struct pc_http_stream *stream = &http->streams[tag % 256 % PC_HTTP_STREAMS_MAX];
    return stream->conn != NULL && stream_tag(http, stream) == tag ? stream : NULL;
}

void pc_http_stream_drop(struct pc_http_conn *conn)
{
    if (conn->stream != NULL) {
        PC_ASSERT(conn->stream->conn == conn);
        conn->stream->conn = NULL;
        conn->stream = NULL;
    }
}

static void stream_refuse(
    struct pc_http_conn *conn, int status, const char *code, const char *detail, bool retryable)
{
    struct pc_http_problem problem;
    pc_http_stream_drop(conn);
    pc_http_problem_set(&problem, status, code, "%s", detail);
    problem.retryable = retryable;
    problem.retry_after = retryable;
    pc_http_send_problem(conn, &problem);
}

/* Before the head is out this is an answer; afterwards it can only be cut short. */
static void stream_fail(
    struct pc_http_conn *conn, int status, const char *code, const char *detail, bool retryable)
{
    if (conn->state == PC_HTTP_CONN_BUSY) {
        stream_refuse(conn, status, code, detail, retryable);
    } else {
        pc_http_stream_drop(conn);
        pc_http_guard_end(conn);
    }
}

void pc_http_stream_overdue(struct pc_http_conn *conn)
{
    stream_fail(conn, 503, "overloaded", "the disk did not give the snapshot in time", true);
}

static void stream_read(struct pc_http_stream *stream)
{
    struct pc_http *http = stream->conn->http;
    stream->is_reading = http->opts.ops.snapshot_read(http->opts.ops.context,
        stream_tag(http, stream), stream->index, stream->offset, PC_HTTP_PIECE_BYTES);
    if (!stream->is_reading) {
        stream_fail(stream->conn, 503, "overloaded", "too many snapshots are being read", true);
    }
}

static void on_drained(struct evhttp_connection *evcon, void *context)
{
    (void)evcon;
    struct pc_http_conn *conn = context;
    if (conn->stream != NULL && !conn->stream->is_reading && conn->state == PC_HTTP_CONN_WRITING) {
        pc_http_guard_progress(conn);
        stream_read(conn->stream);
    }
}

static void stream_start(struct pc_http_stream *stream, const struct pc_http_piece *piece)
{
    struct pc_http_conn *conn = stream->conn;
    char disposition[128];
    (void)snprintf(
        disposition, sizeof disposition, "attachment; filename=\"%.64s\"", piece->file_name);
    stream->index = piece->index;
    stream->size = piece->file_bytes;
    pc_http_header_u64(conn, "X-PC-Index", piece->index);
    pc_http_header_u64(conn, "X-PC-Term", piece->term);
    pc_http_header(conn, "Content-Disposition", disposition);
    pc_http_send_start(conn, 200, "application/octet-stream", piece->file_bytes);
}

static void release_bytes(const void *data, size_t len, void *context)
{
    (void)data;
    (void)len;
    free(context);
}

/* Hands the piece to evhttp, which asks for the next one when it has left. */
static void stream_send(struct pc_http_stream *stream, struct pc_buf *bytes)
{
    struct pc_http_conn *conn = stream->conn;
    struct evbuffer *out = evbuffer_new();
    if (out == NULL ||
        evbuffer_add_reference(out, bytes->data, bytes->len, release_bytes, bytes->data) != 0) {
        pc_out_of_memory(bytes->len);
    }
    stream->offset += bytes->len;
    *bytes = (struct pc_buf){0};
    if (stream->offset < stream->size) {
        evhttp_send_reply_chunk_with_cb(conn->request, out, on_drained, conn);
    } else {
        pc_http_stream_drop(conn);
        evhttp_send_reply_chunk(conn->request, out);
        evhttp_send_reply_end(conn->request);
    }
    evbuffer_free(out);
}

void pc_http_snapshot_piece(struct pc_http *http, const struct pc_http_piece *piece)
{
    struct pc_http_stream *stream = stream_find(http, piece->tag);
    struct pc_http_conn *conn = stream != NULL ? stream->conn : NULL;
    bool is_wanted =
        conn != NULL && (conn->state == PC_HTTP_CONN_BUSY || conn->state == PC_HTTP_CONN_WRITING);
    if (!is_wanted) {
        return; /* the client has gone, or is about to be let go */
    }
    stream->is_reading = false;
    bool is_other = stream->index != 0 && piece->index != stream->index;
    if (piece->err == PC_E_NOT_FOUND && stream->index == 0) {
        stream_fail(conn, 404, "no_snapshot",
            "this node has no snapshot yet: POST to this path makes one", false);
    } else if (piece->err != PC_OK || is_other || piece->bytes->len == 0) {
        stream_fail(conn, 500, "snapshot_unreadable",
            piece->text != NULL ? piece->text : "the snapshot cannot be read", false);
    } else {
        if (stream->index == 0) {
            stream_start(stream, piece);
        }
        stream_send(stream, piece->bytes);
    }
}

/* The file could be read and would arrive with the right length, but nothing could be made of it.
 */
static bool newest_is_damaged(const struct pc_http *http)
{
    struct pc_node_status status;
    pc_node_status(http->opts.node, pc_http_now(http), &status);
    return status.snapshot_is_damaged;
}

static void stream_open(struct pc_http_conn *conn)
{
    struct pc_http *http = conn->http;
    if (newest_is_damaged(http)) {
        stream_refuse(conn, 500, "snapshot_unreadable",
            "this node's newest snapshot is damaged: take that of another node, or wait until"
            " this one has another (status: snapshot.damaged is false)",
            false);
        return;
    }
    struct pc_http_stream *stream = http->streams;
    while (stream < http->streams + PC_HTTP_STREAMS_MAX && stream->conn != NULL) {
        stream++;
    }
    if (stream == http->streams + PC_HTTP_STREAMS_MAX) {
        stream_refuse(conn, 503, "overloaded", "too many snapshots are being read", true);
        return;
    }
    *stream = (struct pc_http_stream){.conn = conn, .generation = stream->generation + 1};
    conn->stream = stream;
    stream_read(stream);
}

/* ---- making one */

void pc_http_snapshot_request(struct pc_http_conn *conn)
{
    struct pc_http_problem problem;
    if (conn->method == EVHTTP_REQ_GET) {
        stream_open(conn);
    } else if (pc_http_route_body(conn).len > 0) {
        pc_http_problem_set(&problem, 400, "bad_body", "this call takes no body");
        pc_http_send_problem(conn, &problem);
    } else {
        pc_http_submit(conn, &(struct pc_request){.type = PC_REQUEST_SNAPSHOT});
    }
}

static void put_number(struct pc_buf *out, const char *before, uint64_t number)
{
    pc_http_text(out, before);
    pc_http_json_u64(out, number);
}

void pc_http_snapshot_reply(struct pc_http_conn *conn, const struct pc_reply *reply)
{
    struct pc_buf *out = &conn->http->scratch;
    struct pc_http_problem problem;
    pc_buf_reset(out);
    switch (reply->status) {
    case PC_REPLY_OK:
        put_number(out, "{\"index\":", reply->snapshot.index);
        put_number(out, ",\"term\":", reply->snapshot.term);
        put_number(out, ",\"items\":", reply->snapshot.items);
        put_number(out, ",\"bytes\":", reply->snapshot.bytes);
        put_number(out, ",\"ms\":", reply->took_ms);
        pc_http_text(out, "}\n");
        pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
        break;
    case PC_REPLY_TIMEOUT:
    case PC_REPLY_UNKNOWN:
        if (reply->index == 0) { /* the node has not even said what the order is of */
            stream_refuse(conn, 503, "snapshot_failed",
                "the node does not answer: it may make one or not", true);
            break;
        }
        put_number(out, "{\"at_least\":", reply->index);
        put_number(out, ",\"ms\":", reply->took_ms);
        pc_http_text(out, "}\n");
        pc_http_send_scratch(conn, 202, PC_HTTP_JSON);
        break;
    case PC_REPLY_REFUSED:
        stream_refuse(conn, 503, "snapshot_failed", reply->text, true);
        break;
    default:
        pc_http_problem_of_reply(&problem, reply->status, false);
        pc_http_send_problem(conn, &problem);
        break;
    }
}
