/* gossip.h: sealed UDP datagrams that carry SWIM messages, on the same port number as the bus.
 * Layout and key schedule: docs/PROTOCOL.md. */
#ifndef PCACHE_GOSSIP_H
#define PCACHE_GOSSIP_H

#include <event2/event.h>

#include "pcache/addr.h"
#include "pcache/swim.h"

struct pc_gossip; /* opaque; used by the engine thread only */

/* Head and authenticator of a datagram, and what that leaves for a message: the budget to give to
 * pc_swim_opts.packet_bytes_max. */
#define PC_GOSSIP_OVERHEAD_BYTES 60
#define PC_GOSSIP_MESSAGE_BYTES_MAX (PC_GOSSIP_PACKET_BYTES_MAX - PC_GOSSIP_OVERHEAD_BYTES)

struct pc_resolver;

struct pc_gossip_opts {
    struct event_base *base;
    const char *listen; /* "host", the address the bus listens on */
    uint16_t port;      /* the bus's port */
    const char *cluster;
    uint8_t cluster_key[32];
    pc_node_id self;
    uint64_t generation; /* strictly grows with every start: no nonce is ever used twice */
    /* An authentic message came from `from`; borrowed. */
    void (*recv)(void *context, const struct pc_addr *from, const struct pc_swim_msg *msg);
    /* A seed name was resolved (see pc_gossip_resolve). */
    void (*resolved)(void *context, const struct pc_addr *addr);
    struct pc_resolver *resolver; /* shared; outlives the gossip. NULL: it opens its own */
    void *context;
};

PC_MUST_CHECK pc_err pc_gossip_open(
    const struct pc_gossip_opts *opts, struct pc_gossip **out, struct pc_error *error);
/* Closes the socket and frees. */
void pc_gossip_close(struct pc_gossip *gossip);
uint16_t pc_gossip_port(const struct pc_gossip *gossip); /* that it is bound to */

/* Seals and sends; a message over PC_GOSSIP_PACKET_BYTES_MAX when sealed is a bug (asserted).
 * Losses are not reported. */
void pc_gossip_send(
    struct pc_gossip *gossip, const struct pc_addr *to, const struct pc_swim_msg *msg);

/* Resolves "host:port" off the engine thread; every address found comes to opts.resolved. At most
 * 32 at a time; a failure is logged. */
void pc_gossip_resolve(struct pc_gossip *gossip, const char *address);

/* Counted since the start. */
struct pc_gossip_stats {
    uint64_t sent, received, bytes_sent, bytes_received;
    uint64_t rejected_key, rejected_replay, rejected_malformed, rejected_rate, rejected_old_boot;
    uint64_t rejected_version; /* datagrams of another version */
};
void pc_gossip_stats(const struct pc_gossip *gossip, struct pc_gossip_stats *stats);

#endif
