/* What is known of a peer, by id, and the question whether its process is gone.
 *
 * The end of a connection alone says little: the peer may have cut it, or a middle box. So one
 * plain connect to its last address follows at once:
 *
 *   refused, unreachable, or no answer within PC_BUS_CONFIRM_MS    lost
 *   connected, then reset within that time                         lost
 *   connected and still so at the end of that time                 not lost
 *
 * The second line is there because a dying process closes its descriptors one by one: its listening
 * socket may take our connection in a moment before it goes, and resets it then. A paused process
 * stays connected (its kernel answers): that is for the election timeout to find. */
#define _GNU_SOURCE
#include "bus_int.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/assert.h"

struct bus_peer *bus_peer_find(struct pc_bus *bus, pc_node_id id)
{
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (peer->id == id) {
            return peer;
        }
    }
    return NULL;
}

static bool has_use(const struct bus_peer *peer)
{
    return peer->in != NULL || peer->out != NULL || peer->probe_fd >= 0;
}

/* Forgets the peer that was met first among those without a connection. */
static bool make_room(struct pc_bus *bus)
{
    struct bus_peer *peer;
    TAILQ_FOREACH(peer, &bus->peers, entry)
    {
        if (!has_use(peer)) {
            bus_peer_delete(peer);
            return true;
        }
    }
    return false;
}

struct bus_peer *bus_peer_get(struct pc_bus *bus, pc_node_id id)
{
    PC_ASSERT(id != 0);
    struct bus_peer *peer = bus_peer_find(bus, id);
    if (peer != NULL) {
        return peer;
    }
    if (bus->peers_n >= PC_MEMBERS_MAX && !make_room(bus)) {
        return NULL;
    }
    peer = pc_xalloc(sizeof *peer);
    peer->bus = bus;
    peer->id = id;
    peer->probe_fd = -1;
    TAILQ_INSERT_TAIL(&bus->peers, peer, entry);
    bus->peers_n++;
    return peer;
}

static void probe_stop(struct bus_peer *peer)
{
    if (peer->probe_fd >= 0) {
        event_free(peer->probe_event);
        peer->probe_event = NULL;
        (void)close(peer->probe_fd);
        peer->probe_fd = -1;
        peer->probe_connected = false;
    }
}

void bus_peer_delete(struct bus_peer *peer)
{
    PC_ASSERT(peer->in == NULL && peer->out == NULL);
    probe_stop(peer);
    TAILQ_REMOVE(&peer->bus->peers, peer, entry);
    peer->bus->peers_n--;
    free(peer);
}

static void tell_lost(struct bus_peer *peer, const char *why)
{
    probe_stop(peer);
    if (!peer->lost_told) {
        peer->lost_told = true;
        pc_log_limited(BUS_LOG_LINK, PC_LOG_WARN, "peer is gone", "id", pc_log_id(peer->id),
            "reason", why, NULL);
        peer->bus->ops.lost(peer->bus->ops.context, peer->id);
    }
}

/* What only this host lacks (ports, memory) says nothing about the peer. */
static bool tells_of_peer(int error)
{
    return error != EADDRNOTAVAIL && error != EAGAIN && error != EMFILE && error != ENFILE &&
           error != ENOBUFS && error != ENOMEM && error != EACCES && error != EPERM;
}

static void probe_failed(struct bus_peer *peer, int error)
{
    if (tells_of_peer(error)) {
        tell_lost(peer, strerror(error));
    } else {
        probe_stop(peer);
    }
}

static void on_probe(evutil_socket_t fd, short what, void *arg);

static void probe_wait(struct bus_peer *peer, short what)
{
    struct pc_instant now = pc_clock_now();
    uint64_t us = peer->probe_end.us > now.us ? peer->probe_end.us - now.us : 0;
    struct timeval left = {
        .tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    if (peer->probe_event != NULL) {
        event_free(peer->probe_event);
    }
    peer->probe_event = event_new(peer->bus->base, peer->probe_fd, what, on_probe, peer);
    PC_ASSERT(peer->probe_event != NULL);
    event_add(peer->probe_event, &left);
}

/* Something came on the connected probe. EOF or bytes come from a living process. */
static void probe_read(struct bus_peer *peer)
{
    uint8_t byte;
    ssize_t got = recv(peer->probe_fd, &byte, 1, 0);
    if (got < 0 && errno != EAGAIN && errno != EINTR) {
        tell_lost(peer, strerror(errno));
    } else {
        probe_stop(peer);
    }
}

static void on_probe(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct bus_peer *peer = arg;
    if (peer->probe_connected) {
        if ((what & EV_READ) != 0) {
            probe_read(peer);
        } else {
            probe_stop(peer);
        }
        return;
    }
    if ((what & EV_WRITE) == 0) {
        tell_lost(peer, "no answer");
        return;
    }
    int error = bus_socket_connect_result(peer->probe_fd);
    if (error != 0) {
        probe_failed(peer, error);
        return;
    }
    peer->probe_connected = true;
    probe_wait(peer, EV_READ);
}

static void probe_start(struct bus_peer *peer)
{
    if (peer->probe_fd >= 0 || pc_addr_is_none(&peer->addr)) {
        return;
    }
    peer->probe_fd = bus_socket_connect(&peer->addr);
    if (peer->probe_fd < 0) {
        probe_failed(peer, errno);
        return;
    }
    peer->probe_end = pc_instant_add_ms(pc_clock_now(), PC_BUS_CONFIRM_MS);
    probe_wait(peer, EV_WRITE);
}

void bus_peer_on_hello(
    struct bus_peer *peer, const char *name, uint64_t generation, const uint8_t *boot)
{
    PC_ASSERT(generation >= peer->generation);
    bool later_life = peer->generation != 0 && generation > peer->generation;
    peer->generation = generation;
    (void)snprintf(peer->name, sizeof peer->name, "%s", name);
    memcpy(peer->boot, boot, sizeof peer->boot);
    probe_stop(peer);
    if (later_life) {
        if (peer->in != NULL) {
            bus_conn_close(peer->in, BUS_END_OURS, "of an earlier life of the peer");
        }
        if (peer->out != NULL) {
            bus_conn_close(peer->out, BUS_END_OURS, "of an earlier life of the peer");
        }
        tell_lost(peer, "it has started anew");
    }
    peer->lost_told = false;
}

void bus_peer_on_end(struct bus_peer *peer, struct bus_conn *conn, enum bus_end end)
{
    struct pc_bus *bus = peer->bus;
    if (peer->in == conn) {
        peer->in = NULL;
    }
    bool was_link = peer->out == conn;
    if (was_link) {
        peer->out = NULL;
    }
    if (bus->closing) {
        return;
    }
    if (was_link) {
        bus->ops.down(bus->ops.context, peer->id);
    }
    if (end == BUS_END_BYE) {
        tell_lost(peer, "it said goodbye");
    } else if (end == BUS_END_PEER && !peer->lost_told) {
        probe_start(peer);
    }
}
