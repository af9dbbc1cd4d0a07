/* bus.h: sealed TCP frames between peers. Layouts: docs/PROTOCOL.md.
 *
 * A link is simplex: each node dials every peer and sends on the connection that it dialled; on an
 * accepted connection it only receives (after the handshake, in which both sides speak). So there
 * is one outgoing and one incoming connection per peer and no tie to break.
 *
 * Nothing a peer says is believed before its HELLO frame has decrypted under keys derived from the
 * cluster key; nothing of a connection outlives a frame that fails to decrypt. */
#ifndef PCACHE_BUS_H
#define PCACHE_BUS_H

#include <event2/event.h>

#include "pcache/addr.h"
#include "pcache/node.h"

struct pc_bus; /* opaque; used by the engine thread only */

/* What the bus tells its owner. Called from libevent callbacks; implementations step the node. */
struct pc_bus_ops {
    void *context;
    /* Fills in what this node says of itself; called for each handshake. */
    void (*hello)(void *context, struct pc_peer_hello *out);
    /* May this peer talk to us? On an error its text is sent to the peer and logged, at most once
     * in PC_BUS_REFUSAL_LOG_MS per peer. */
    pc_err (*admit)(void *context, const struct pc_peer_hello *hello, struct pc_error *error);
    /* The peer is admitted; told for either direction, before any of its messages. May be NULL. */
    void (*met)(void *context, const struct pc_peer_hello *hello);
    /* An outgoing link is ready to carry messages. `peer` is its numeric address. */
    void (*up)(void *context, const struct pc_peer_hello *hello, const struct pc_addr *peer);
    /* The outgoing link to this peer is gone. */
    void (*down)(void *context, pc_node_id peer);
    /* The peer's process is gone. Told once per life of it, when
     *  - a connection (of either direction) ended with EOF or reset, and one immediate reconnect to
     *    the peer's last numeric address was refused or stayed unanswered for PC_BUS_CONFIRM_MS, or
     *  - it said goodbye (pc_bus_close on the other side), or
     *  - a later life of it (a higher generation) has authenticated. */
    void (*lost)(void *context, pc_node_id peer);
    /* A peer told us why it does not talk to us: PC_E_STALE or PC_E_SUPERSEDED as in
     * pc_node_admit, PC_E_AUTH for everything else. The bus has logged it, at most once in
     * PC_BUS_REFUSAL_LOG_MS per peer; this is called every time. */
    void (*refused)(void *context, pc_err why, const char *text);
    /* A decoded message; borrowed. */
    void (*recv)(void *context, const struct pc_msg *msg);
};

#define PC_BUS_CONFIRM_MS 50
#define PC_BUS_REFUSAL_LOG_MS 60000

struct pc_bus_opts {
    struct event_base *base;
    const char *listen;      /* "host:port", port 0 = any free one (tests) */
    const char *cluster;     /* name; its hash binds every handshake and datagram */
    uint8_t cluster_key[32]; /* copied; the caller wipes its own */
    struct pc_bus_ops ops;
    struct pc_resolver *resolver;  /* shared; outlives the bus. NULL: the bus opens its own */
    uint64_t seed;                 /* jitter of the reconnect back-off */
    struct pc_protocols protocols; /* that are spoken; {0, 0} = those of this build */
};

/* Opens the listening socket. Errors: PC_E_EXISTS the port is in use (text names it, and the
 * process when it can be found), PC_E_INVALID, PC_E_IO. */
PC_MUST_CHECK pc_err pc_bus_open(
    const struct pc_bus_opts *opts, struct pc_bus **out, struct pc_error *error);
/* Says goodbye to every peer, so that they need not find out. Not to be called from a callback; no
 * callback is called from it. NULL is allowed. */
void pc_bus_close(struct pc_bus *bus);
uint16_t pc_bus_port(const struct pc_bus *bus);

/* Adds a peer to dial for ever, by name and configured address ("host:port", DNS or numeric;
 * resolved again at every try, off the engine thread). A known name gets the new address: used from
 * the next try, which comes at once unless one is under way or the link is up. NULL: no address is
 * configured for it, and a known one stays; it is then dialled where a hint says, and where it
 * comes in from on the port that it says it listens on; until there is either, not at all. */
void pc_bus_dial(struct pc_bus *bus, const char *name, const char *address);

/* Takes it back: the peer of this name is not dialled any more, and its connections of both
 * directions end (`down` is called, `lost` is not). It may still come in, if `admit` lets it. A
 * name that is not dialled is ignored. Not to be called from a callback. */
void pc_bus_forget(struct pc_bus *bus, const char *name);

/* Says where else the peer of this name may be: an address learned, not configured, and therefore
 * possibly wrong. Tries take the configured address and the last hint in turn, the configured one
 * first; an address that proves to be another peer's is not tried again until the hint changes. A
 * none address takes the hint back. Repeating a hint changes nothing; a name that is not dialled is
 * ignored. */
void pc_bus_hint(struct pc_bus *bus, const char *name, const struct pc_addr *addr);

/* Queues a message on the outgoing link to msg->to. False when there is no link up, or an older
 * protocol is spoken there that does not have this message (counted): nothing was queued. A peer
 * whose queue passes PC_BUS_QUEUE_BYTES_MAX is cut. */
bool pc_bus_send(struct pc_bus *bus, const struct pc_msg *msg);

/* Writes what was queued to the sockets now: to be called at the end of a turn. Without it the same
 * happens when the event loop next turns. */
void pc_bus_flush(struct pc_bus *bus);

struct pc_bus_stats {
    uint64_t frames_sent, frames_received, bytes_sent, bytes_received;
    uint64_t handshakes_ok;
    uint64_t rejected_key;       /* did not decrypt: wrong key, replay or damage */
    uint64_t rejected_cluster;   /* another cluster's name */
    uint64_t rejected_version;   /* no protocol in common, or not this handshake */
    uint64_t rejected_malformed; /* oversized, undecodable */
    uint64_t rejected_identity;  /* refused by `admit` */
    uint64_t rejected_timeout;   /* no handshake in time */
    uint64_t rejected_limit;     /* too many unauthenticated connections */
    uint64_t withheld;           /* messages that their receivers do not know yet: not sent */
};
void pc_bus_stats(const struct pc_bus *bus, struct pc_bus_stats *stats);

#endif
