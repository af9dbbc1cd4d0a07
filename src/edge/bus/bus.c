/* The owner's side of the bus: opening, dialing, sending, closing, and the listening socket.
 *
 * pc_bus_send seals into the connection's output buffer; the socket is written once per turn, by
 * pc_bus_flush or at the latest by flush_event, which the first message of a turn activates. */
#define _GNU_SOURCE
#include "bus_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/assert.h"

#define ACCEPTS_PER_TURN 16
#define ACCEPT_PAUSE_MS 100

/* ---- accepting */
static void accept_resume(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct pc_bus *bus = arg;
    event_add(bus->accept_event, NULL);
}

/* The listening socket stays readable while there is no descriptor for what it holds: without a
 * pause the loop would spin. */
static void accept_failed(struct pc_bus *bus, int error)
{
    bool transient = error == EAGAIN || error == EWOULDBLOCK || error == EINTR ||
                     error == ECONNABORTED || error == EPROTO;
    if (transient) {
        return;
    }
    pc_log_limited(BUS_LOG_REJECT, PC_LOG_ERROR, "cannot accept a peer's connection", "reason",
        strerror(error), NULL);
    struct timeval pause = {.tv_usec = ACCEPT_PAUSE_MS * 1000};
    event_del(bus->accept_event);
    event_add(bus->accept_pause, &pause);
}

static void take_connection(struct pc_bus *bus, int fd, const struct sockaddr_storage *from)
{
    struct pc_addr addr;
    pc_os_addr_of((const struct sockaddr *)from, &addr);
    if (bus->unauthenticated_n >= PC_BUS_UNAUTHENTICATED_MAX) {
        bus->stats.rejected_limit++;
        char text[PC_ADDR_TEXT_MAX];
        pc_addr_format(&addr, text);
        pc_log_limited(BUS_LOG_REJECT, PC_LOG_WARN, "too many unauthenticated connections",
            "address", text, NULL);
        (void)close(fd);
        return;
    }
    (void)bus_conn_accepted(bus, fd, &addr);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    (void)what;
    struct pc_bus *bus = arg;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int fd = accept4(listen_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            accept_failed(bus, errno);
            return;
        }
        take_connection(bus, fd, &from);
    }
}

/* ---- deferred work */
static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    pc_bus_flush(arg);
}

static void reap(struct pc_bus *bus)
{
    struct bus_conn *conn;
    while ((conn = TAILQ_FIRST(&bus->dead)) != NULL) {
        TAILQ_REMOVE(&bus->dead, conn, entry);
        bus_conn_free(conn);
    }
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    reap(arg);
}

/* ---- opening and closing */
static struct event *event_of(
    struct pc_bus *bus, int fd, short what, void (*callback)(evutil_socket_t, short, void *))
{
    struct event *event = event_new(bus->base, fd, what, callback, bus);
    PC_ASSERT(event != NULL);
    return event;
}

static void bus_init(struct pc_bus *bus, const struct pc_bus_opts *opts)
{
    bus->base = opts->base;
    bus->ops = opts->ops;
    bus->resolver = opts->resolver;
    memcpy(bus->cluster_key, opts->cluster_key, sizeof bus->cluster_key);
    crypto_generichash(bus->cluster_id, sizeof bus->cluster_id, (const uint8_t *)opts->cluster,
        strlen(opts->cluster), NULL, 0);
    pc_entropy(bus->boot, sizeof bus->boot);
    pc_prng_seed(&bus->prng, opts->seed);
    bus->protocols = opts->protocols.max != 0 ? opts->protocols : pc_protocols_spoken();
    TAILQ_INIT(&bus->conns);
    TAILQ_INIT(&bus->dirty);
    TAILQ_INIT(&bus->dead);
    TAILQ_INIT(&bus->links);
    TAILQ_INIT(&bus->peers);
}

static void bus_free(struct pc_bus *bus)
{
    if (bus->owns_resolver) {
        pc_resolver_close(bus->resolver);
    }
    sodium_memzero(bus->cluster_key, sizeof bus->cluster_key);
    free(bus);
}

pc_err pc_bus_open(const struct pc_bus_opts *opts, struct pc_bus **out, struct pc_error *error)
{
    if (sodium_init() < 0) {
        return pc_error_set(error, PC_E_IO, "open bus: libsodium does not start");
    }
    struct pc_bus *bus = pc_xalloc(sizeof *bus);
    bus_init(bus, opts);
    pc_err err = pc_os_listen_tcp(opts->listen, &bus->listen_fd, error);
    if (err != PC_OK) {
        bus_free(bus);
        return pc_error_wrap(error, "open bus");
    }
    if (bus->resolver == NULL) {
        err = pc_resolver_open(opts->base, &bus->resolver, error);
        if (err != PC_OK) {
            (void)close(bus->listen_fd);
            bus_free(bus);
            return pc_error_wrap(error, "open bus");
        }
        bus->owns_resolver = true;
    }
    bus->port = pc_os_local_port(bus->listen_fd);
    bus->accept_event = event_of(bus, bus->listen_fd, EV_READ | EV_PERSIST, on_accept);
    bus->accept_pause = event_of(bus, -1, 0, accept_resume);
    bus->flush_event = event_of(bus, -1, 0, on_flush);
    bus->reap_event = event_of(bus, -1, 0, on_reap);
    event_add(bus->accept_event, NULL);
    *out = bus;
    return PC_OK;
}

/* The goodbye is best effort: one try to write it behind what is still queued. */
static void conn_say_goodbye(struct bus_conn *conn)
{
    if (conn->state == BUS_CONN_UP) {
        bus_frame_push_bye(conn);
        bus_conn_flush(conn);
    }
    if (conn->state != BUS_CONN_CLOSED) {
        bus_conn_close(conn, BUS_END_OURS, "this node closes its bus");
    }
}

void pc_bus_close(struct pc_bus *bus)
{
    if (bus == NULL) {
        return;
    }
    bus->closing = true;
    struct bus_conn *conn;
    struct bus_link *link;
    struct bus_peer *peer;
    while ((conn = TAILQ_FIRST(&bus->conns)) != NULL) {
        conn_say_goodbye(conn);
    }
    while ((link = TAILQ_FIRST(&bus->links)) != NULL) {
        bus_link_delete(link);
    }
    while ((peer = TAILQ_FIRST(&bus->peers)) != NULL) {
        bus_peer_delete(peer);
    }
    reap(bus);
    event_free(bus->accept_event);
    event_free(bus->accept_pause);
    event_free(bus->flush_event);
    event_free(bus->reap_event);
    (void)close(bus->listen_fd);
    bus_free(bus);
}

uint16_t pc_bus_port(const struct pc_bus *bus)
{
    return bus->port;
}

/* ---- the owner's calls */
void pc_bus_dial(struct pc_bus *bus, const char *name, const char *address)
{
    struct bus_link *link = bus_link_find(bus, name);
    if (link != NULL) {
        bus_link_set_address(link, address != NULL ? address : link->address);
    } else {
        (void)bus_link_new(bus, name, address != NULL ? address : "");
    }
}

void pc_bus_forget(struct pc_bus *bus, const char *name)
{
    struct bus_link *link = bus_link_find(bus, name);
    if (link == NULL) {
        return;
    }
    if (link->conn != NULL) {
        bus_conn_close(link->conn, BUS_END_OURS, "the peer is not dialled any more");
    }
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->in != NULL && strcmp(peer->name, name) == 0) {
            bus_conn_close(peer->in, BUS_END_OURS, "the peer is not dialled any more");
        }
    }
    bus_link_delete(link);
}

void pc_bus_hint(struct pc_bus *bus, const char *name, const struct pc_addr *addr)
{
    struct bus_link *link = bus_link_find(bus, name);
    if (link != NULL) {
        bus_link_set_hint(link, addr);
    }
}

bool pc_bus_send(struct pc_bus *bus, const struct pc_msg *msg)
{
    const struct bus_peer *peer = bus_peer_find(bus, msg->to);
    if (peer == NULL || peer->out == NULL) {
        return false;
    }
    struct bus_conn *conn = peer->out;
    if (pc_wire_msg_protocol(msg) > conn->protocol) {
        bus->stats.withheld++;
        return false;
    }
    if (bus_conn_pending(conn) > PC_BUS_QUEUE_BYTES_MAX) {
        bus_conn_close(conn, BUS_END_OURS, "the peer does not take its messages");
        return false;
    }
    size_t begin = bus_frame_begin(conn, BUS_FRAME_MSG);
    pc_wire_encode_msg_as(msg, conn->protocol, &conn->out);
    bus_frame_end(conn, begin);
    return true;
}

void pc_bus_flush(struct pc_bus *bus)
{
    struct bus_conn *conn;
    while ((conn = TAILQ_FIRST(&bus->dirty)) != NULL) {
        bus_conn_flush(conn);
    }
    (void)event_del(bus->flush_event); /* done: no turn of the loop for it */
}

void pc_bus_stats(const struct pc_bus *bus, struct pc_bus_stats *stats)
{
    *stats = bus->stats;
}
