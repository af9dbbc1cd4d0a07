/* One TCP connection: raw events instead of bufferevents, so that a frame is sealed into the very
 * memory that send(2) reads and opened in the very memory that recv(2) filled.
 *
 * Output is written once per turn (bus.c), not per message; the write event is armed only while
 * the socket is full. Before the other side has authenticated at most PC_BUS_HANDSHAKE_BYTES_MAX
 * bytes of it are held. */
#define _GNU_SOURCE
#include "bus_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/assert.h"

#define CONNECT_TIMEOUT_MS 1000
/* One connection's share of a turn of the event loop. */
#define READS_PER_TURN 8
#define READ_BYTES_PER_TURN (1024 * 1024)
/* Buffers above this give their memory back when they are empty. */
#define BUFFER_KEEP_BYTES (1024 * 1024)

static void on_readable(evutil_socket_t fd, short what, void *arg);
static void on_writable(evutil_socket_t fd, short what, void *arg);
static void on_deadline(evutil_socket_t fd, short what, void *arg);

/* ---- lifecycle */
static const bool may_follow[BUS_CONN_CLOSED + 1][BUS_CONN_CLOSED + 1] = {
    [BUS_CONN_CONNECTING] = {[BUS_CONN_GREETING] = true, [BUS_CONN_CLOSED] = true},
    [BUS_CONN_GREETING] = {[BUS_CONN_HELLO] = true, [BUS_CONN_CLOSED] = true},
    [BUS_CONN_HELLO] = {[BUS_CONN_UP] = true, [BUS_CONN_CLOSED] = true},
    [BUS_CONN_UP] = {[BUS_CONN_CLOSED] = true},
};

static void grow_input(struct bus_conn *conn, size_t cap)
{
    conn->in = pc_xrealloc(conn->in, cap);
    conn->in_cap = cap;
}

void bus_conn_move(struct bus_conn *conn, enum bus_conn_state to)
{
    PC_ASSERT(may_follow[conn->state][to]);
    bool unauthenticated = !bus_conn_is_outgoing(conn) && conn->state != BUS_CONN_UP;
    conn->state = to;
    if (unauthenticated && (to == BUS_CONN_UP || to == BUS_CONN_CLOSED)) {
        PC_ASSERT(conn->bus->unauthenticated_n > 0);
        conn->bus->unauthenticated_n--;
    }
    if (to == BUS_CONN_UP) {
        event_del(conn->deadline);
        grow_input(conn, BUS_IN_BYTES);
    }
}

static void set_deadline(struct bus_conn *conn, pc_ms ms)
{
    struct timeval in = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(conn->deadline, &in);
}

static struct bus_conn *conn_new(struct pc_bus *bus, int fd, const struct pc_addr *addr)
{
    struct bus_conn *conn = pc_xalloc(sizeof *conn);
    conn->bus = bus;
    conn->fd = fd;
    conn->addr = *addr;
    conn->read_event = event_new(bus->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
    conn->write_event = event_new(bus->base, fd, EV_WRITE, on_writable, conn);
    conn->deadline = evtimer_new(bus->base, on_deadline, conn);
    PC_ASSERT(conn->read_event != NULL && conn->write_event != NULL && conn->deadline != NULL);
    grow_input(conn, PC_BUS_HANDSHAKE_BYTES_MAX);
    bus_socket_tune(fd);
    TAILQ_INSERT_TAIL(&bus->conns, conn, entry);
    return conn;
}

struct bus_conn *bus_conn_accepted(struct pc_bus *bus, int fd, const struct pc_addr *addr)
{
    struct bus_conn *conn = conn_new(bus, fd, addr);
    conn->state = BUS_CONN_GREETING;
    bus->unauthenticated_n++;
    event_add(conn->read_event, NULL);
    set_deadline(conn, PC_BUS_HANDSHAKE_MS);
    return conn;
}

struct bus_conn *bus_conn_dialled(struct bus_link *link, const struct pc_addr *addr)
{
    int fd = bus_socket_connect(addr);
    if (fd < 0) {
        return NULL;
    }
    struct bus_conn *conn = conn_new(link->bus, fd, addr);
    conn->link = link;
    conn->state = BUS_CONN_CONNECTING;
    event_add(conn->write_event, NULL);
    set_deadline(conn, CONNECT_TIMEOUT_MS);
    return conn;
}

static void log_end(const struct bus_conn *conn, enum bus_end end, const char *why)
{
    char addr[PC_ADDR_TEXT_MAX];
    pc_addr_format(&conn->addr, addr);
    const char *way = bus_conn_is_outgoing(conn) ? "out" : "in";
    if (conn->peer != NULL) {
        pc_log_limited(BUS_LOG_LINK, end == BUS_END_REFUSED ? PC_LOG_DEBUG : PC_LOG_INFO,
            "connection ended", "way", way, "id", pc_log_id(conn->peer->id), "address", addr,
            "reason", why, NULL);
    } else {
        pc_log_limited(BUS_LOG_LINK, PC_LOG_DEBUG, "connection ended before it was authenticated",
            "way", way, "address", addr, "reason", why, NULL);
    }
}

/* Gives everything up but the memory, which callers up the stack may still look at. */
static void release(struct bus_conn *conn)
{
    struct pc_bus *bus = conn->bus;
    event_free(conn->read_event);
    event_free(conn->write_event);
    event_free(conn->deadline);
    (void)close(conn->fd);
    conn->fd = -1;
    if (conn->dirty) {
        conn->dirty = false;
        TAILQ_REMOVE(&bus->dirty, conn, dirty_entry);
    }
    sodium_memzero(&conn->push, sizeof conn->push);
    sodium_memzero(&conn->pull, sizeof conn->pull);
    sodium_memzero(conn->pull_key, sizeof conn->pull_key);
    sodium_memzero(conn->secret_key, sizeof conn->secret_key);
    TAILQ_REMOVE(&bus->conns, conn, entry);
    TAILQ_INSERT_TAIL(&bus->dead, conn, entry);
    event_active(bus->reap_event, 0, 0);
}

void bus_conn_close(struct bus_conn *conn, enum bus_end end, const char *why)
{
    PC_ASSERT(conn->state != BUS_CONN_CLOSED);
    struct bus_peer *peer = conn->peer;
    struct bus_link *link = conn->link;
    log_end(conn, end, why);
    bus_conn_move(conn, BUS_CONN_CLOSED);
    release(conn);
    if (link != NULL) {
        bus_link_on_end(link, peer != NULL);
    }
    if (peer != NULL) {
        bus_peer_on_end(peer, conn, end);
    }
}

void bus_conn_reject(struct bus_conn *conn, uint64_t *counter, const char *why)
{
    (*counter)++;
    char addr[PC_ADDR_TEXT_MAX];
    pc_addr_format(&conn->addr, addr);
    pc_log_limited(BUS_LOG_REJECT, PC_LOG_WARN, "connection rejected", "way",
        bus_conn_is_outgoing(conn) ? "out" : "in", "address", addr, "reason", why, NULL);
    bus_conn_close(conn, BUS_END_OURS, why);
}

void bus_conn_free(struct bus_conn *conn)
{
    PC_ASSERT(conn->state == BUS_CONN_CLOSED);
    pc_buf_destroy(&conn->out);
    free(conn->in);
    free(conn);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bus_conn *conn = arg;
    if (conn->state == BUS_CONN_CONNECTING) {
        bus_conn_close(conn, BUS_END_OURS, "connect timed out");
        return;
    }
    bus_conn_reject(conn, &conn->bus->stats.rejected_timeout, "no handshake in time");
}

/* ---- output */
size_t bus_conn_pending(const struct bus_conn *conn)
{
    return conn->out.len - conn->out_at;
}

void bus_conn_mark_dirty(struct bus_conn *conn)
{
    if (!conn->dirty) {
        conn->dirty = true;
        TAILQ_INSERT_TAIL(&conn->bus->dirty, conn, dirty_entry);
        event_active(conn->bus->flush_event, 0, 0);
    }
}

/* Keeps the buffer from growing by what has long been written. */
static void compact_output(struct bus_conn *conn)
{
    size_t left = bus_conn_pending(conn);
    if (left == 0) {
        conn->out_at = 0;
        pc_buf_reset(&conn->out);
        if (conn->out.cap > BUFFER_KEEP_BYTES) {
            pc_buf_destroy(&conn->out);
        }
    } else if (conn->out_at > BUFFER_KEEP_BYTES && conn->out_at > left) {
        memmove(conn->out.data, conn->out.data + conn->out_at, left);
        conn->out.len = left;
        conn->out_at = 0;
    }
}

void bus_conn_flush(struct bus_conn *conn)
{
    if (conn->dirty) {
        conn->dirty = false;
        TAILQ_REMOVE(&conn->bus->dirty, conn, dirty_entry);
    }
    while (bus_conn_pending(conn) > 0) {
        ssize_t sent =
            send(conn->fd, conn->out.data + conn->out_at, bus_conn_pending(conn), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            event_add(conn->write_event, NULL);
            break;
        }
        if (sent < 0) {
            bus_conn_close(conn, BUS_END_PEER, strerror(errno));
            return;
        }
        conn->out_at += (size_t)sent;
        conn->bus->stats.bytes_sent += (uint64_t)sent;
    }
    compact_output(conn);
}

static void on_connected(struct bus_conn *conn)
{
    int error = bus_socket_connect_result(conn->fd);
    if (error != 0) {
        bus_conn_close(conn, BUS_END_OURS, strerror(error));
        return;
    }
    event_add(conn->read_event, NULL);
    set_deadline(conn, PC_BUS_HANDSHAKE_MS);
    bus_handshake_begin(conn);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bus_conn *conn = arg;
    if (conn->state == BUS_CONN_CONNECTING) {
        on_connected(conn);
    } else {
        bus_conn_flush(conn);
    }
}

/* ---- input */
static void recv_msg(struct bus_conn *conn, struct pc_slice body)
{
    struct pc_bus *bus = conn->bus;
    struct pc_msg msg = {0};
    pc_err err = pc_wire_decode_msg_as(body, conn->protocol, conn->peer->id, bus->self, &msg);
    if (err != PC_OK) {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, pc_err_text(err));
        return;
    }
    bus->ops.recv(bus->ops.context, &msg);
    pc_msg_clear(&msg);
}

/* What may come when, after the frame has proved authentic. */
static void recv_frame(struct bus_conn *conn, struct pc_slice inner, unsigned char tag)
{
    struct pc_bus *bus = conn->bus;
    bool up = conn->state == BUS_CONN_UP;
    enum bus_frame_kind kind = (enum bus_frame_kind)inner.data[0];
    struct pc_slice body = pc_slice_of(inner.data + 1, inner.len - 1);
    bool last = kind == BUS_FRAME_BYE || kind == BUS_FRAME_REFUSED;
    bool final = tag == crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    if (last != final) {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, "stream ends in the wrong place");
    } else if (kind == BUS_FRAME_MSG && up && !bus_conn_is_outgoing(conn)) {
        recv_msg(conn, body);
    } else if (kind == BUS_FRAME_HELLO && !up) {
        bus_handshake_recv_hello(conn, body);
    } else if (kind == BUS_FRAME_REFUSED && (up || bus_conn_is_outgoing(conn))) {
        bus_handshake_recv_refused(conn, body);
    } else if (kind == BUS_FRAME_BYE && up) {
        bus_conn_close(conn, BUS_END_BYE, "the peer says goodbye");
    } else {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, "a frame out of place");
    }
}

static size_t sealed_bytes_max(const struct bus_conn *conn)
{
    size_t head = sizeof conn->push_header + BUS_FRAME_HEAD_BYTES;
    return conn->state == BUS_CONN_UP ? BUS_SEALED_BYTES_MAX : PC_BUS_HANDSHAKE_BYTES_MAX - head;
}

/* Makes room for a frame of which only the beginning is here. Its length is bounded by
 * sealed_bytes_max but still a peer's number: no memory for it must not end the process. */
static void reserve_frame(struct bus_conn *conn, size_t frame)
{
    if (frame <= conn->in_cap) {
        return;
    }
    PC_ASSERT(conn->state == BUS_CONN_UP);
    uint8_t *grown = realloc(conn->in, frame);
    if (grown == NULL) {
        bus_conn_close(conn, BUS_END_OURS, pc_err_text(PC_E_NOMEM));
        return;
    }
    conn->in = grown;
    conn->in_cap = frame;
}

/* Uses one greeting, stream header or frame at `at`. Returns its length; 0 = not all of it is here,
 * or the connection has ended. */
static size_t take_one(struct bus_conn *conn, size_t at)
{
    uint8_t *bytes = conn->in + at;
    size_t len = conn->in_len - at;
    if (conn->state == BUS_CONN_GREETING) {
        return len > 0 ? bus_handshake_recv_greeting(conn, bytes, len) : 0;
    }
    if (!conn->pull_ready) {
        if (len < sizeof conn->push_header) {
            return 0;
        }
        bus_frame_pull_start(conn, bytes);
        return sizeof conn->push_header;
    }
    if (len < BUS_FRAME_HEAD_BYTES) {
        return 0;
    }
    size_t sealed = pc_get_u32(bytes);
    if (sealed < BUS_SEALED_BYTES_MIN || sealed > sealed_bytes_max(conn)) {
        bus_conn_reject(conn, &conn->bus->stats.rejected_malformed, "frame length out of bounds");
        return 0;
    }
    if (len < BUS_FRAME_HEAD_BYTES + sealed) {
        reserve_frame(conn, BUS_FRAME_HEAD_BYTES + sealed);
        return 0;
    }
    struct pc_slice inner;
    unsigned char tag;
    if (!bus_frame_open(conn, bytes, sealed, &inner, &tag)) {
        bus_conn_reject(conn, &conn->bus->stats.rejected_key,
            "frame is not authentic: another cluster key, a replay or damage");
        return 0;
    }
    conn->bus->stats.frames_received++;
    recv_frame(conn, inner, tag);
    return BUS_FRAME_HEAD_BYTES + sealed;
}

static void shrink_input(struct bus_conn *conn)
{
    if (conn->in_len == 0 && conn->in_cap > BUFFER_KEEP_BYTES) {
        grow_input(conn, BUS_IN_BYTES);
    }
}

/* Uses whatever is complete. Returns false when the connection has ended. */
static bool take_all(struct bus_conn *conn)
{
    size_t at = 0;
    for (;;) {
        size_t used = take_one(conn, at);
        if (conn->state == BUS_CONN_CLOSED) {
            return false;
        }
        if (used == 0) {
            break;
        }
        at += used;
    }
    conn->in_len -= at;
    memmove(conn->in, conn->in + at, conn->in_len);
    return true;
}

/* One recv. Returns what came; 0 = nothing for now, or the connection has ended. */
static size_t fill_input(struct bus_conn *conn)
{
    size_t room = conn->in_cap - conn->in_len;
    PC_ASSERT(room > 0);
    ssize_t got = recv(conn->fd, conn->in + conn->in_len, room, 0);
    if (got > 0) {
        conn->in_len += (size_t)got;
        conn->bus->stats.bytes_received += (uint64_t)got;
        return (size_t)got;
    }
    if (got == 0) {
        bus_conn_close(conn, BUS_END_PEER, "closed by the other side");
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        bus_conn_close(conn, BUS_END_PEER, strerror(errno));
    }
    return 0;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct bus_conn *conn = arg;
    size_t total = 0;
    for (int i = 0; i < READS_PER_TURN && total < READ_BYTES_PER_TURN; i++) {
        size_t room = conn->in_cap - conn->in_len;
        size_t got = fill_input(conn);
        if (got == 0 || !take_all(conn)) {
            break;
        }
        total += got;
        if (got < room) {
            break; /* the socket is empty: asking again would only cost a call */
        }
    }
    if (conn->state != BUS_CONN_CLOSED) {
        shrink_input(conn);
    }
}
