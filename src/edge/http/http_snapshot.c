/* Snapshots for whoever wants to keep one: POST has one made, GET is the newest one, as the file
 * that it is on the node's disk, piece by piece (http_stream.c). A file that was replaced meanwhile
 * is read to its end, as long as pieces are asked for (PC_SNAP_HOLD_MS). */
#include "http_int.h"

#include <string.h>

static bool stream_ask(struct pc_http_stream *stream)
{
    const struct pc_http_ops *ops = &stream->conn->http->opts.ops;
    return ops->snapshot_read(ops->context, pc_http_stream_tag(stream), stream->index,
        stream->offset, PC_HTTP_PIECE_BYTES);
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

void pc_http_snapshot_piece(struct pc_http *http, const struct pc_http_piece *piece)
{
    struct pc_http_stream *stream = pc_http_stream_take(http, piece->tag);
    if (stream == NULL) {
        return; /* the client has gone, or is about to be let go */
    }
    struct pc_http_conn *conn = stream->conn;
    bool is_other = stream->index != 0 && piece->index != stream->index;
    if (piece->err == PC_E_NOT_FOUND && stream->index == 0) {
        pc_http_stream_fail(conn, 404, "no_snapshot",
            "this node has no snapshot yet: POST to this path makes one", false);
    } else if (piece->err != PC_OK || is_other || piece->bytes->len == 0) {
        pc_http_stream_fail(conn, 500, "snapshot_unreadable",
            piece->text != NULL ? piece->text : "the snapshot cannot be read", false);
    } else {
        if (stream->index == 0) {
            stream_start(stream, piece);
        }
        stream->offset += piece->bytes->len;
        pc_http_stream_send(stream, piece->bytes, stream->offset >= stream->size);
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

static void download(struct pc_http_conn *conn)
{
    struct pc_http *http = conn->http;
    if (newest_is_damaged(http)) {
        pc_http_stream_refuse(conn, 500, "snapshot_unreadable",
            "this node's newest snapshot is damaged: take that of another node, or wait until"
            " this one has another (status: snapshot.damaged is false)",
            false);
        return;
    }
    pc_http_stream_open(conn, stream_ask);
}

/* ---- making one */

void pc_http_snapshot_request(struct pc_http_conn *conn)
{
    struct pc_http_problem problem;
    if (conn->method == EVHTTP_REQ_GET) {
        download(conn);
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
            pc_http_stream_refuse(conn, 503, "snapshot_failed",
                "the node does not answer: it may make one or not", true);
            break;
        }
        put_number(out, "{\"at_least\":", reply->index);
        put_number(out, ",\"ms\":", reply->took_ms);
        pc_http_text(out, "}\n");
        pc_http_send_scratch(conn, 202, PC_HTTP_JSON);
        break;
    case PC_REPLY_REFUSED:
        pc_http_stream_refuse(conn, 503, "snapshot_failed", reply->text, true);
        break;
    default:
        pc_http_problem_of_reply(&problem, reply->status, false);
        pc_http_send_problem(conn, &problem);
        break;
    }
}
