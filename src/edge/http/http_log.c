/* GET /v1/log: the committed entries of the log, a page at a time.
 *
 *     request --> nothing there yet: waits (?wait=) --> entry `from` is applied and on the disk
 *                                                             |
 *     at once: it is there ------------------------------> queued
 *                                                             | in order, one at a time
 *     answer: whole, with its length <--- lines <--- thread <-+ ops.log_read
 *
 * A page is read only while clients have taken most of those before it, so what this costs is
 * bounded: PC_FEED_UNSENT_BYTES_MAX and one page, however many clients there are and however slow
 * they read. An answer begins when all of it is there: it is whole, or it is a problem.
 *
 * Nothing is decided at the moment of the request: whatever waits is looked at once per turn. A
 * client that is let go by then is not in the list any more. */
#include "http_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- the list */

static struct pc_http_log_ask *ask_find(struct pc_http_log *log, const struct pc_http_conn *conn)
{
    for (size_t i = 0; i < log->asks_n; i++) {
        if (log->asks[i].conn == conn) {
            return &log->asks[i];
        }
    }
    return NULL;
}

static void ask_remove(struct pc_http_log *log, struct pc_http_log_ask *ask)
{
    size_t at = (size_t)(ask - log->asks);
    PC_ASSERT(at < log->asks_n);
    log->asks_n--;
    memmove(ask, ask + 1, (log->asks_n - at) * sizeof *ask);
}

void pc_http_log_let_go(struct pc_http_conn *conn)
{
    struct pc_http_log *log = &conn->http->log;
    struct pc_http_log_ask *ask = ask_find(log, conn);
    PC_ASSERT(log->unsent_bytes >= conn->log_bytes);
    log->unsent_bytes -= conn->log_bytes;
    conn->log_bytes = 0;
    if (ask != NULL) {
        ask_remove(log, ask);
    }
}

/* Who waits for entries is not read from, so nobody has noticed those that have gone. */
static void drop_left(struct pc_http_log *log)
{
    for (size_t i = log->asks_n; i > 0; i--) {
        if (pc_http_guard_is_left(log->asks[i - 1].conn)) {
            pc_http_guard_end(log->asks[i - 1].conn);
            ask_remove(log, &log->asks[i - 1]);
        }
    }
}

/* ---- answers; each of them ends conn's request */

static void put_headers(
    struct pc_http_conn *conn, const struct pc_node_log_span *span, pc_index next)
{
    pc_http_answer_headers(conn, span->applied);
    pc_http_header_u64(conn, "X-PC-Next", next);
    pc_http_header_u64(conn, "X-PC-Oldest", span->oldest);
    if (span->has_branch) {
        pc_http_mark_branch(conn, span->branch);
    }
}

static void send_compacted(
    struct pc_http_conn *conn, pc_index from, const struct pc_node_log_span *span)
{
    struct pc_http_problem problem;
    pc_http_problem_set(&problem, 410, "compacted",
        "entry %llu is not in this node's log any more, which begins with %llu: read a snapshot"
        " (GET /v1/snapshot), and go on from its X-PC-Index + 1",
        (unsigned long long)from, (unsigned long long)span->oldest);
    problem.oldest = span->oldest;
    pc_http_send_problem(conn, &problem);
}

/* Entry `from` is not there yet. */
static void send_nothing(
    struct pc_http_conn *conn, pc_index from, const struct pc_node_log_span *span)
{
    pc_index known = span->applied > span->last ? span->applied : span->last;
    if (from > known + 1) {
        struct pc_http_problem problem;
        pc_http_problem_set(&problem, 416, "out_of_range",
            "this node has applied entries up to %llu: it lags behind who said %llu, or that is of"
            " another log",
            (unsigned long long)span->applied, (unsigned long long)from);
        problem.retryable = true;
        problem.retry_after = true;
        problem.has_applied = true;
        problem.applied = span->applied;
        pc_http_send_problem(conn, &problem);
        return;
    }
    put_headers(conn, span, from);
    pc_http_send(conn, 200, PC_HTTP_LINES);
}

static void send_busy(struct pc_http_conn *conn, const char *why)
{
    struct pc_http_problem problem;
    pc_http_problem_set(&problem, 503, "overloaded", "%s", why);
    problem.retryable = true;
    problem.retry_after = true;
    pc_http_send_problem(conn, &problem);
}

static void release_lines(const void *data, size_t len, void *context)
{
    (void)data;
    (void)len;
    free(context);
}

static void send_page(struct pc_http_conn *conn, const struct pc_http_log_page *page, pc_index next)
{
    struct pc_http_log *log = &conn->http->log;
    struct pc_node_log_span span;
    PC_ASSERT(page->n > 0 && page->lines->len > 0 && conn->log_bytes == 0);
    pc_node_log_span(conn->http->opts.node, &span);
    put_headers(conn, &span, next);
    conn->log_bytes = page->lines->len;
    log->unsent_bytes += conn->log_bytes;
    log->entries_total += page->n;
    if (evbuffer_add_reference(pc_http_body(conn), page->lines->data, page->lines->len,
            release_lines, page->lines->data) != 0) {
        pc_out_of_memory(page->lines->len);
    }
    *page->lines = (struct pc_buf){0};
    pc_http_send(conn, 200, PC_HTTP_LINES);
}

static void send_unread(
    struct pc_http_conn *conn, const struct pc_http_log_page *page, pc_index from)
{
    struct pc_node_log_span span;
    struct pc_http_problem problem;
    pc_node_log_span(conn->http->opts.node, &span);
    const char *text = page->text != NULL ? page->text : "the disk does not give it";
    if (page->err == PC_E_NOT_FOUND && from < span.oldest) {
        send_compacted(conn, from, &span); /* it went while it was asked for */
    } else if (page->err == PC_E_NOT_FOUND || page->err == PC_E_AGAIN || page->err == PC_E_NOMEM) {
        send_busy(conn, text);
    } else {
        pc_http_problem_set(&problem, 500, "log_unreadable",
            "entry %llu cannot be read: %.180s; other nodes have it", (unsigned long long)from,
            text);
        pc_http_send_problem(conn, &problem);
    }
}

/* ---- serving */

static void read_begin(
    struct pc_http *http, const struct pc_http_log_ask *ask, const struct pc_node_log_span *span)
{
    pc_index last = span->last;
    if (last - ask->from >= ask->limit) {
        last = ask->from + ask->limit - 1;
    }
    http->log.reading = ask->number;
    http->opts.ops.log_read(http->opts.ops.context, ask->number, ask->from, last);
}

/* Looks at all of them; true when one was answered, and the list is another one. */
static bool serve_one(struct pc_http *http)
{
    struct pc_http_log *log = &http->log;
    struct pc_node_log_span span;
    pc_node_log_span(http->opts.node, &span);
    for (size_t i = 0; i < log->asks_n; i++) {
        struct pc_http_log_ask *ask = &log->asks[i];
        struct pc_http_conn *conn = ask->conn;
        if (ask->number == log->reading || conn->state != PC_HTTP_CONN_BUSY) {
            continue;
        }
        ask->from = ask->is_oldest ? span.oldest : ask->from;
        pc_index from = ask->from;
        bool is_over = from > span.last && (!ask->waits || http->draining);
        if (from < span.oldest || is_over) {
            ask_remove(log, ask);
            (is_over ? send_nothing : send_compacted)(conn, from, &span);
            pc_http_guard_flush(conn);
            return true;
        }
        if (from <= span.last && ask->waits) {
            ask->waits = false;
            pc_http_guard_wait(conn, 0);
        }
        if (from <= span.last && log->reading == 0 &&
            log->unsent_bytes < PC_FEED_UNSENT_BYTES_MAX) {
            read_begin(http, ask, &span);
        }
    }
    return false;
}

void pc_http_turn(struct pc_http *http)
{
    bool goes_on = http->log.asks_n > 0;
    while (goes_on) {
        goes_on = serve_one(http);
    }
}

void pc_http_log_request(struct pc_http_conn *conn, const struct pc_http_target *target)
{
    struct pc_http_log *log = &conn->http->log;
    if (log->asks_n == PC_FEED_ASKS_MAX) {
        drop_left(log);
    }
    if (log->asks_n == PC_FEED_ASKS_MAX) {
        send_busy(conn, "too many requests wait for the log");
        return;
    }
    log->asks[log->asks_n++] = (struct pc_http_log_ask){.conn = conn,
        .number = ++log->number,
        .from = target->from,
        .limit = target->limit,
        .is_oldest = target->from == 0,
        .waits = target->wait_ms > 0};
    pc_http_guard_wait(conn, target->wait_ms);
}

/* The oldest entry, which somebody wanted whichever that is, has gone meanwhile. */
static bool is_to_be_read_anew(const struct pc_http *http, const struct pc_http_log_ask *ask)
{
    struct pc_node_log_span span;
    pc_node_log_span(http->opts.node, &span);
    return ask->is_oldest && ask->from < span.oldest;
}

void pc_http_log_page(struct pc_http *http, const struct pc_http_log_page *page)
{
    struct pc_http_log *log = &http->log;
    size_t at = 0;
    PC_ASSERT(page->tag == log->reading);
    log->reading = 0;
    while (at < log->asks_n && log->asks[at].number != page->tag) {
        at++;
    }
    if (at == log->asks_n || log->asks[at].conn->state != PC_HTTP_CONN_BUSY ||
        (page->err == PC_E_NOT_FOUND && is_to_be_read_anew(http, &log->asks[at]))) {
        return; /* the client has gone, or the next turn sees to it */
    }
    struct pc_http_log_ask ask = log->asks[at];
    ask_remove(log, &log->asks[at]);
    if (page->err == PC_OK) {
        send_page(ask.conn, page, ask.from + page->n);
    } else {
        send_unread(ask.conn, page, ask.from);
    }
    pc_http_guard_flush(ask.conn);
}

bool pc_http_log_overdue(struct pc_http_conn *conn)
{
    struct pc_http_log *log = &conn->http->log;
    struct pc_http_log_ask *ask = ask_find(log, conn);
    if (ask == NULL) {
        return false;
    }
    struct pc_node_log_span span;
    struct pc_http_log_ask was = *ask;
    pc_node_log_span(conn->http->opts.node, &span);
    ask_remove(log, ask);
    if (was.waits && was.from > span.last) {
        send_nothing(conn, was.from, &span);
    } else {
        send_busy(conn, "the log could not be read in time");
    }
    return true;
}
