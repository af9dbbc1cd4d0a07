/* /v1/rollbacks: the closed branches of this node, what is in them, the note that one is replayed,
 * and their removal. The branch
 * thread looks: a connection waits for it as for a piece of a download. */
#include "http_int.h"

#include <string.h>

static enum pc_http_rollback_ask ask_of(const struct pc_http_conn *conn)
{
    return conn->route == PC_HTTP_ROUTE_ROLLBACKS ? PC_HTTP_ROLLBACK_LIST
           : conn->method == EVHTTP_REQ_DELETE    ? PC_HTTP_ROLLBACK_REMOVE
           : conn->method == EVHTTP_REQ_POST      ? PC_HTTP_ROLLBACK_NOTE
                                                  : PC_HTTP_ROLLBACK_READ;
}

static bool rollback_ask(struct pc_http_stream *stream)
{
    const struct pc_http_opts *opts = &stream->conn->http->opts;
    struct pc_http_target target;
    pc_http_route_target(stream->conn, &target);
    return opts->ops.rollback_ask(opts->ops.context, pc_http_stream_tag(stream),
        ask_of(stream->conn), target.name, &stream->place);
}

void pc_http_rollback_request(struct pc_http_conn *conn)
{
    pc_http_stream_open(conn, rollback_ask);
}

static void put_number(struct pc_buf *out, const char *before, uint64_t number)
{
    pc_http_text(out, before);
    pc_http_json_u64(out, number);
}

static void put_rollback(struct pc_buf *out, const struct pc_http_rollback *rollback)
{
    char id[33];
    pc_hex_encode(rollback->branch, sizeof rollback->branch, id);
    pc_http_text(out, "{\"name\":");
    pc_http_json_string(out, pc_slice_str(rollback->name));
    pc_http_text(out, ",\"branch\":\"");
    pc_http_text(out, id);
    put_number(out, "\",\"base\":", rollback->base);
    put_number(out, ",\"records\":", rollback->records);
    put_number(out, ",\"lost\":", rollback->lost);
    put_number(out, ",\"begun_ms\":", rollback->begun_ms);
    if (rollback->is_closed) {
        put_number(out, ",\"closed_ms\":", rollback->closed_ms);
    } else {
        pc_http_text(out, ",\"closed_ms\":null");
    }
    put_number(out, ",\"bytes\":", rollback->bytes);
    pc_http_text(out, rollback->is_replayed ? ",\"replayed\":true}" : ",\"replayed\":false}");
}

static void send_list(struct pc_http_conn *conn, const struct pc_http_rollback_answer *answer)
{
    struct pc_buf *out = &conn->http->scratch;
    pc_http_stream_drop(conn);
    pc_buf_reset(out);
    pc_http_text(out, "{\"rollbacks\":[");
    for (size_t i = 0; i < answer->n; i++) {
        pc_http_text(out, i > 0 ? "," : "");
        put_rollback(out, &answer->v[i]);
    }
    pc_http_text(out, "]}\n");
    pc_http_send_scratch(conn, 200, PC_HTTP_JSON);
}

static void send_lines(struct pc_http_stream *stream, const struct pc_http_rollback_answer *answer)
{
    if (stream->conn->state == PC_HTTP_CONN_BUSY) {
        pc_http_send_start(stream->conn, 200, PC_HTTP_LINES, PC_HTTP_LENGTH_UNKNOWN);
    }
    stream->place = answer->place;
    pc_http_stream_send(stream, answer->lines, answer->is_last);
}

static void send_problem(struct pc_http_conn *conn, const struct pc_http_rollback_answer *answer)
{
    bool is_note = ask_of(conn) == PC_HTTP_ROLLBACK_NOTE;
    const char *text = answer->text != NULL ? answer->text : "the file cannot be read";
    if (answer->err == PC_E_NOT_FOUND) {
        pc_http_stream_fail(
            conn, 404, "no_rollback", "this node has no closed branch of this name", false);
    } else if (is_note && answer->err == PC_E_EXISTS) {
        pc_http_stream_fail(
            conn, 409, "replayed", "a replay of this branch was noted before", false);
    } else {
        pc_http_stream_fail(
            conn, 500, is_note ? "replay_not_noted" : "rollback_unreadable", text, false);
    }
}

void pc_http_rollback_answer(struct pc_http *http, const struct pc_http_rollback_answer *answer)
{
    struct pc_http_stream *stream = pc_http_stream_take(http, answer->tag);
    if (stream == NULL) {
        return; /* the client has gone, or is about to be let go */
    }
    struct pc_http_conn *conn = stream->conn;
    enum pc_http_rollback_ask ask = ask_of(conn);
    if (answer->err != PC_OK) {
        send_problem(conn, answer);
    } else if (ask == PC_HTTP_ROLLBACK_LIST) {
        send_list(conn, answer);
    } else if (ask == PC_HTTP_ROLLBACK_READ) {
        send_lines(stream, answer);
    } else {
        pc_http_stream_drop(conn);
        pc_http_send(conn, 204, NULL);
    }
}
