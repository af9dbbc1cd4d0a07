/* The guard: stands between the socket and evhttp, by public API of libevent 2.1.12 only.
 *
 * evhttp answers some faults itself, in HTML and before any callback, and reads others differently
 * from what is on the wire (docs/HTTP.md, "What is refused"). So every connection gets a callback
 * on the *input buffer* of its bufferevent, which libevent runs before evhttp's read callback:
 *
 *   input buffer   [ checked: evhttp may have it | not looked at yet ]
 *                                                ^ conn->checked
 *
 * The guard lets one request pass at a time. Bytes behind it stay unexamined until evhttp has
 * flushed the reply, so a fault in the third of ten pipelined requests is answered third. On a
 * fault it drains the buffer: evhttp never parses it.
 *
 * What is surprising:
 *  - evhttp tells nobody when it frees a connection that never carried a request. The guard holds a
 *    reference to each bufferevent; one whose event callback is NULL has been freed by evhttp.
 *  - A connection is ended by telling evhttp of an error on it (bufferevent_trigger_event). evhttp
 *    then frees its part, shuts the sending side down and leaves the socket to the last reference:
 *    ours. What the client still sends is read and thrown away for a moment, as closing with unread
 *    bytes would reset the connection and could destroy the answer on its way (RFC 9112, 9.6).
 *  - evhttp does not read while a request is answered, but does while the reply is written, with
 *    nobody to look at the bytes: the guard stops that by itself. */
#include "http_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "pcache/os.h"

#define LINGER_MS 1000
#define LINGERING_MAX 256         /* sockets beside connections_max that are being closed */
#define UNCHECKED_BYTES_MAX 65536 /* pipelined bytes kept while a reply is written */
#define ANSWER_MS 15000           /* longer than any deadline of the node */
#define BODY_BYTES_PER_SECOND (256 * 1024)

static void conn_move(
    struct pc_http_conn *conn, enum pc_http_conn_state to, struct pc_instant deadline)
{
#define BIT(state) (1u << PC_HTTP_CONN_##state)
    static const unsigned successors[] = {
        [PC_HTTP_CONN_IDLE] = BIT(HEAD) | BIT(DOOMED),
        [PC_HTTP_CONN_HEAD] = BIT(BODY) | BIT(READY) | BIT(DOOMED),
        [PC_HTTP_CONN_BODY] = BIT(READY) | BIT(DOOMED),
        [PC_HTTP_CONN_READY] = BIT(BUSY) | BIT(DOOMED),
        [PC_HTTP_CONN_BUSY] = BIT(WRITING) | BIT(DOOMED),
        [PC_HTTP_CONN_WRITING] = BIT(IDLE) | BIT(DOOMED),
        [PC_HTTP_CONN_DOOMED] = BIT(LINGER),
        [PC_HTTP_CONN_LINGER] = 0,
    };
#undef BIT
    PC_ASSERT((successors[conn->state] >> to & 1) != 0);
    conn->state = to;
    conn->deadline = deadline;
}

static struct pc_instant deadline_in(const struct pc_http *http, pc_ms ms)
{
    return pc_instant_add_ms(pc_http_now(http), ms);
}

/* Nothing evhttp could parse from now on; the rest happens in guard_on_reap. */
static void conn_doom(struct pc_http_conn *conn, enum pc_http_fault refusal)
{
    struct pc_http *http = conn->http;
    if (conn->state == PC_HTTP_CONN_DOOMED || conn->state == PC_HTTP_CONN_LINGER) {
        return;
    }
    conn->refusal = refusal;
    if (refusal != PC_HTTP_FAULT_NONE) {
        http->rejected[refusal]++;
    }
    if (conn->counted) {
        conn->counted = false;
        http->conns_n--;
        http->lingering_n++;
    }
    conn_move(conn, PC_HTTP_CONN_DOOMED, PC_INSTANT_NEVER);
    conn->next_doomed = http->doomed;
    http->doomed = conn;
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    (void)evbuffer_drain(input, evbuffer_get_length(input));
    conn->checked = 0;
    event_active(http->reap, EV_TIMEOUT, 0);
}

void pc_http_guard_end(struct pc_http_conn *conn)
{
    conn_doom(conn, PC_HTTP_FAULT_NONE);
}

/* ---- ends */
static void fd_register(struct pc_http_conn *conn)
{
    struct pc_http *http = conn->http;
    conn->fd = bufferevent_getfd(conn->bev);
    if (conn->fd < 0) {
        return;
    }
    size_t at = (size_t)conn->fd;
    if (at >= http->by_fd_n) {
        size_t n = http->by_fd_n < 64 ? 64 : http->by_fd_n;
        while (n <= at) {
            n *= 2;
        }
        http->by_fd = pc_xrealloc(http->by_fd, n * sizeof(struct pc_http_conn *));
        memset(http->by_fd + http->by_fd_n, 0, (n - http->by_fd_n) * sizeof(struct pc_http_conn *));
        http->by_fd_n = n;
    }
    PC_ASSERT(http->by_fd[at] == NULL);
    http->by_fd[at] = conn;
}

static void conn_release(struct pc_http_conn *conn)
{
    struct pc_http *http = conn->http;
    PC_ASSERT(conn->request == NULL && conn->slot == UINT32_MAX);
    if (conn->linger != NULL) {
        event_free(conn->linger);
    }
    if (conn->fd >= 0) {
        http->by_fd[conn->fd] = NULL;
    }
    if (conn->counted) {
        http->conns_n--;
    } else {
        http->lingering_n--;
    }
    *conn->link = conn->next;
    if (conn->next != NULL) {
        conn->next->link = conn->link;
    }
    (void)evbuffer_remove_cb_entry(bufferevent_get_input(conn->bev), conn->entry);
    (void)bufferevent_decref(conn->bev);
    free(conn);
}

static void linger_on_read(evutil_socket_t fd, short what, void *context)
{
    (void)what;
    char thrown_away[16384];
    ssize_t n = recv(fd, thrown_away, sizeof thrown_away, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_release(context);
    }
}

static bool client_has_closed(const struct pc_http_conn *conn)
{
    char byte;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void conn_linger(struct pc_http_conn *conn)
{
    struct pc_http *http = conn->http;
    conn_move(conn, PC_HTTP_CONN_LINGER, deadline_in(http, LINGER_MS));
    if (conn->fd < 0 || http->lingering_n > LINGERING_MAX || client_has_closed(conn)) {
        conn_release(conn);
        return;
    }
    conn->linger = event_new(http->opts.base, conn->fd, EV_READ | EV_PERSIST, linger_on_read, conn);
    if (conn->linger == NULL || event_add(conn->linger, NULL) != 0) {
        conn_release(conn);
    }
}

/* evhttp is about to free its part of the connection. */
static void guard_on_close(struct evhttp_connection *evcon, void *context)
{
    struct pc_http_conn *conn = context;
    PC_ASSERT(conn->evcon == evcon);
    conn->evcon = NULL;
    pc_http_pending_drop(&conn->http->pending, conn);
    pc_http_stream_drop(conn);
    pc_http_log_let_go(conn);
    struct evhttp_request *request = conn->request;
    if (request != NULL) {
        conn->request = NULL;
        conn->http->in_flight_n--;
        evhttp_request_set_on_complete_cb(request, NULL, NULL);
        /* After an error evhttp has cut an unanswered request loose and left it to us. */
        if (evhttp_request_get_connection(request) == NULL) {
            evhttp_request_free(request);
        }
    }
    conn->gone = true; /* too late for an answer, should one be due */
    conn_doom(conn, PC_HTTP_FAULT_NONE);
}

static void guard_on_reap(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct pc_http *http = context;
    while (http->doomed != NULL) {
        struct pc_http_conn *conn = http->doomed;
        http->doomed = conn->next_doomed;
        if (conn->fd < 0) {
            fd_register(conn);
        }
        bool flushed = evbuffer_get_length(bufferevent_get_output(conn->bev)) == 0;
        if (conn->refusal != PC_HTTP_FAULT_NONE && conn->fd >= 0 && !conn->gone && flushed) {
            pc_http_refusal_send(conn);
        }
        if (!conn->gone) {
            bufferevent_trigger_event(conn->bev, BEV_EVENT_READING | BEV_EVENT_ERROR, 0);
            conn->gone = true;
        }
        conn_linger(conn);
    }
}

/* ---- bytes on their way in */
/* Shows the bytes behind `checked` to the head parser. */
static enum pc_http_head_result head_advance(struct pc_http_conn *conn)
{
    struct evbuffer *input = bufferevent_get_input(conn->bev);
    enum pc_http_head_result result = PC_HTTP_HEAD_MORE;
    while (result == PC_HTTP_HEAD_MORE && conn->checked < evbuffer_get_length(input)) {
        struct evbuffer_ptr at;
        struct evbuffer_iovec piece;
        if (evbuffer_ptr_set(input, &at, conn->checked, EVBUFFER_PTR_SET) != 0 ||
            evbuffer_peek(input, -1, &at, &piece, 1) < 1) {
            break;
        }
        size_t used = 0;
        result = pc_http_head_feed(
            &conn->head, &conn->http->limits, pc_slice_of(piece.iov_base, piece.iov_len), &used);
        conn->checked += used;
    }
    return result;
}

static void body_advance(struct pc_http_conn *conn)
{
    size_t there = evbuffer_get_length(bufferevent_get_input(conn->bev)) - conn->checked;
    size_t n = conn->body_left < there ? (size_t)conn->body_left : there;
    conn->checked += n;
    conn->body_left -= n;
    if (conn->body_left == 0) {
        conn_move(conn, PC_HTTP_CONN_READY, PC_INSTANT_NEVER);
    }
}

static void head_done(struct pc_http_conn *conn)
{
    conn->body_left = conn->head.content_length;
    pc_ms more_ms = conn->body_left * 1000 / BODY_BYTES_PER_SECOND;
    conn_move(conn, PC_HTTP_CONN_BODY, pc_instant_add_ms(conn->deadline, more_ms));
    body_advance(conn);
}

/* Looks at what has come for the present state. */
static void guard_advance(struct pc_http_conn *conn)
{
    size_t unchecked = evbuffer_get_length(bufferevent_get_input(conn->bev)) - conn->checked;
    if (conn->state == PC_HTTP_CONN_IDLE && unchecked > 0) {
        conn->head = (struct pc_http_head){0};
        conn_move(
            conn, PC_HTTP_CONN_HEAD, deadline_in(conn->http, conn->http->opts.request_deadline_ms));
    }
    switch (conn->state) {
    case PC_HTTP_CONN_HEAD: {
        enum pc_http_head_result result = head_advance(conn);
        if (result == PC_HTTP_HEAD_BAD) {
            conn_doom(conn, conn->head.fault);
        } else if (result == PC_HTTP_HEAD_DONE) {
            head_done(conn);
        }
        break;
    }
    case PC_HTTP_CONN_BODY:
        body_advance(conn);
        break;
    case PC_HTTP_CONN_IDLE:
    case PC_HTTP_CONN_READY:
    case PC_HTTP_CONN_BUSY:
    case PC_HTTP_CONN_WRITING:
    case PC_HTTP_CONN_DOOMED:
    case PC_HTTP_CONN_LINGER:
        if (unchecked > UNCHECKED_BYTES_MAX) {
            (void)bufferevent_disable(conn->bev, EV_READ); /* evhttp reads on after the reply */
        }
        break;
    }
}

static void guard_on_input(
    struct evbuffer *input, const struct evbuffer_cb_info *info, void *context)
{
    struct pc_http_conn *conn = context;
    if (conn->state == PC_HTTP_CONN_DOOMED || conn->state == PC_HTTP_CONN_LINGER) {
        if (info->n_added > 0) {
            (void)evbuffer_drain(input, evbuffer_get_length(input));
        }
        return;
    }
    conn->checked -= info->n_deleted < conn->checked ? info->n_deleted : conn->checked;
    if (info->n_added == 0) {
        return;
    }
    if (conn->fd < 0) {
        fd_register(conn);
    }
    guard_advance(conn);
}

/* ---- requests */
/* The reply has left. evhttp reads the next request now, or closes: then whatever the guard makes
 * of further bytes is void, see guard_on_close. */
static void guard_on_complete(struct evhttp_request *request, void *context)
{
    struct pc_http_conn *conn = context;
    PC_ASSERT(conn->request == request);
    conn->request = NULL;
    conn->http->in_flight_n--;
    pc_http_log_let_go(conn);
    if (conn->state == PC_HTTP_CONN_DOOMED) {
        return; /* the last bytes left in the very turn in which their time was over */
    }
    PC_ASSERT(conn->state == PC_HTTP_CONN_WRITING);
    conn_move(conn, PC_HTTP_CONN_IDLE, deadline_in(conn->http, conn->http->opts.idle_ms));
    guard_advance(conn);
}

struct pc_http_conn *pc_http_guard_take(struct pc_http *http, struct evhttp_request *request)
{
    struct evhttp_connection *evcon = evhttp_request_get_connection(request);
    struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);
    size_t fd = (size_t)bufferevent_getfd(bev);
    PC_ASSERT(fd < http->by_fd_n && http->by_fd[fd] != NULL);
    struct pc_http_conn *conn = http->by_fd[fd];
    PC_ASSERT(conn->bev == bev && conn->request == NULL);
    (void)bufferevent_disable(
        bev, EV_READ); /* else evhttp would end the process at the next byte */
    conn->evcon = evcon;
    evhttp_connection_set_closecb(evcon, guard_on_close, conn);
    conn->request = request;
    http->in_flight_n++;
    /* evhttp must have taken exactly what the guard let pass; if the two ever disagree about where
     * a request ends, that is what smuggling is made of. */
    if (conn->state != PC_HTTP_CONN_READY || conn->checked != 0) {
        conn_doom(conn, PC_HTTP_FAULT_FRAMING);
        return NULL;
    }
    evhttp_request_set_on_complete_cb(request, guard_on_complete, conn);
    conn_move(conn, PC_HTTP_CONN_BUSY, deadline_in(http, ANSWER_MS));
    conn->requests++;
    return conn;
}

void pc_http_guard_writing(struct pc_http_conn *conn)
{
    conn_move(
        conn, PC_HTTP_CONN_WRITING, deadline_in(conn->http, conn->http->opts.write_deadline_ms));
}

void pc_http_guard_progress(struct pc_http_conn *conn)
{
    PC_ASSERT(conn->state == PC_HTTP_CONN_WRITING);
    conn->deadline = deadline_in(conn->http, conn->http->opts.write_deadline_ms);
}

void pc_http_guard_wait(struct pc_http_conn *conn, pc_ms ms)
{
    PC_ASSERT(conn->state == PC_HTTP_CONN_BUSY);
    conn->deadline = deadline_in(conn->http, ms > 0 ? ms : ANSWER_MS);
}

bool pc_http_guard_is_left(const struct pc_http_conn *conn)
{
    return client_has_closed(conn);
}

/* evhttp would wait until the socket says that it takes bytes, which it nearly always does: three
 * system calls and a turn of the loop for nothing. So the reply is written here, and evhttp told
 * that it has left. What does not fit, and every error, is left to the loop as usual. */
void pc_http_guard_flush(struct pc_http_conn *conn)
{
    struct evbuffer *output = bufferevent_get_output(conn->bev);
    if (conn->state != PC_HTTP_CONN_WRITING || evbuffer_get_length(output) == 0) {
        return;
    }
    (void)evbuffer_unfreeze(output, 1); /* a bufferevent keeps others from taking bytes */
    int written = evbuffer_write(output, conn->fd);
    (void)evbuffer_freeze(output, 1);
    if (written > 0 && evbuffer_get_length(output) == 0) {
        bufferevent_trigger(conn->bev, EV_WRITE, 0);
    }
}

/* ---- accepting and sweeping */
static void accept_pause(struct pc_http *http, bool pause)
{
    if (http->bound == NULL || http->paused == pause) {
        return;
    }
    struct evconnlistener *listener = evhttp_bound_socket_get_listener(http->bound);
    (void)(pause ? evconnlistener_disable(listener) : evconnlistener_enable(listener));
    http->paused = pause;
}

static void sweep_arm(struct pc_http *http)
{
    struct timeval interval = {.tv_sec = (time_t)(http->sweep_ms / 1000),
        .tv_usec = (suseconds_t)(http->sweep_ms % 1000 * 1000)};
    if (event_pending(http->sweep, EV_TIMEOUT, NULL) == 0) {
        (void)event_add(http->sweep, &interval);
    }
}

/* Out of descriptors, most likely: wait for the next sweep instead of trying in a tight loop. */
static void guard_on_accept_error(struct evconnlistener *listener, void *context)
{
    (void)listener;
    struct pc_http *http = context;
    pc_log_limited(PC_HTTP_LOG_BUCKET, PC_LOG_WARN, "http cannot accept a connection", "error",
        strerror(errno), NULL);
    accept_pause(http, true);
    sweep_arm(http);
}

static struct bufferevent *guard_on_accept(struct event_base *base, void *context)
{
    struct pc_http *http = context;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    struct pc_http_conn *conn = pc_xalloc(sizeof *conn);
    if (bev == NULL) {
        pc_out_of_memory(sizeof *conn);
    }
    bufferevent_incref(bev);
    *conn = (struct pc_http_conn){.http = http,
        .bev = bev,
        .fd = -1,
        .slot = UINT32_MAX,
        .link = &http->conns,
        .next = http->conns,
        .deadline = deadline_in(http, http->opts.idle_ms)};
    if (conn->next != NULL) {
        conn->next->link = &conn->next;
    }
    http->conns = conn;
    conn->entry = evbuffer_add_cb(bufferevent_get_input(bev), guard_on_input, conn);
    http->connections_total++;
    conn->counted = http->conns_n < http->opts.connections_max;
    if (conn->counted) {
        http->conns_n++;
    } else {
        http->lingering_n++;
        conn_doom(conn, PC_HTTP_FAULT_CONNECTIONS); /* answered once evhttp has set the socket */
    }
    if (http->lingering_n >= LINGERING_MAX) {
        accept_pause(http, true);
    }
    sweep_arm(http);
    return bev;
}

static void sweep_conn(struct pc_http_conn *conn, struct pc_instant now)
{
    bufferevent_data_cb on_read = NULL, on_write = NULL;
    bufferevent_event_cb on_event = NULL;
    void *context = NULL;
    bufferevent_getcb(conn->bev, &on_read, &on_write, &on_event, &context);
    if (on_event == NULL && !conn->gone) {
        conn->gone = true;
        conn_doom(conn, PC_HTTP_FAULT_NONE);
        return;
    }
    if (!pc_instant_is_due(conn->deadline, now)) {
        return;
    }
    switch (conn->state) {
    case PC_HTTP_CONN_HEAD:
    case PC_HTTP_CONN_BODY:
        conn_doom(conn, PC_HTTP_FAULT_TIMEOUT);
        break;
    case PC_HTTP_CONN_BUSY:
        pc_http_answer_overdue(conn);
        break;
    case PC_HTTP_CONN_LINGER:
        conn_release(conn);
        break;
    case PC_HTTP_CONN_IDLE:
    case PC_HTTP_CONN_READY:
    case PC_HTTP_CONN_WRITING:
        pc_http_guard_end(conn);
        break;
    case PC_HTTP_CONN_DOOMED:
        break;
    }
}

static void guard_on_sweep(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    struct pc_http *http = context;
    struct pc_instant now = pc_http_now(http);
    struct pc_http_conn *next = NULL;
    for (struct pc_http_conn *conn = http->conns; conn != NULL; conn = next) {
        next = conn->next;
        sweep_conn(conn, now);
    }
    if (http->lingering_n < LINGERING_MAX) {
        accept_pause(http, false);
    }
    if (http->conns != NULL || http->paused) {
        sweep_arm(http);
    }
}

void pc_http_guard_attach(struct pc_http *http)
{
    http->sweep = evtimer_new(http->opts.base, guard_on_sweep, http);
    http->reap = evtimer_new(http->opts.base, guard_on_reap, http);
    if (http->sweep == NULL || http->reap == NULL) {
        pc_out_of_memory(sizeof *http);
    }
    evhttp_set_bevcb(http->evhttp, guard_on_accept, http);
    evconnlistener_set_error_cb(
        evhttp_bound_socket_get_listener(http->bound), guard_on_accept_error);
}

void pc_http_guard_release_all(struct pc_http *http)
{
    while (http->conns != NULL) {
        conn_release(http->conns);
    }
    http->doomed = NULL;
    event_free(http->sweep);
    event_free(http->reap);
}
