/* swim.h: membership and failure detection (Das, Gupta, Motivala: SWIM, DSN 2002), as a pure
 * machine.
 *
 * Time, randomness (seed) and messages are inputs; datagrams, member changes and the next wake-up
 * are outputs. SWIM only advises: no safety argument of the log rests on it.
 *
 * A member is a node id; its address and name are data about it. Incarnations are ordered pairs
 * (generation, incarnation): the generation grows with every start of the node, so a restarted node
 * overrides whatever was said of its earlier life. */
#ifndef PCACHE_SWIM_H
#define PCACHE_SWIM_H

#include "pcache/addr.h"
#include "pcache/limits.h"
#include "pcache/time.h"

struct pc_swim; /* opaque */

enum pc_member_state {
    PC_MEMBER_ALIVE = 1,
    PC_MEMBER_SUSPECT = 2,
    PC_MEMBER_DEAD = 3,
    PC_MEMBER_LEFT = 4,
};

/* What is said of one member: the unit of gossip. */
struct pc_member {
    pc_node_id id;
    char name[PC_NAME_BYTES_MAX + 1];
    struct pc_addr addr; /* of its gossip and bus port */
    uint64_t generation;
    uint32_t incarnation; /* within the generation; raised by the member itself only */
    enum pc_member_state state;
    pc_node_id accuser; /* SUSPECT, DEAD: who found out by its own probes (0 = not known), so
                           that a rumour told twice does not count as two accusers */
};

struct pc_swim_opts {
    struct pc_member self; /* state ALIVE, incarnation 0; addr may be none: peers fill it in from
                              the datagram's source, and SWIM learns it from an ack. The node's own
                              statements start at incarnation 1: 0 is what others may say of a life
                              of which they know only the generation */
    uint64_t seed;
    /* Times of a probe: stretched by 1 + local health of the member that probes. */
    pc_ms probe_interval_ms;  /* 1000: one probe per interval: ring and shuffled round (SWIM 4.3) */
    pc_ms probe_timeout_ms;   /* 100: direct ack, then indirect probes */
    pc_ms probe_verdict_ms;   /* 300: from the ping to suspicion; at most the interval */
    uint32_t indirect_probes; /* 3 */
    uint32_t verifiers;       /* 8: members that, hearing of a suspicion, probe the suspect at
                                 once, on average; 0 = wait for the round */
    uint32_t health_max;      /* 8: bound of local health; 0 = it is not used */
    pc_ms late_ms;            /* 100: woken later than this, the machine excuses what it missed;
                                 PC_SWIM_LATE_NEVER = never */
    pc_ms suspicion_min_ms;   /* 1000: in a cluster of up to four; the larger the longer */
    pc_ms suspicion_max_ms;   /* 5000: with few confirmations */
    pc_ms gossip_interval_ms; /* 100: extra dissemination beside piggybacking */
    uint32_t gossip_fanout;   /* 3 */
    pc_ms push_pull_interval_ms; /* 5000 */
    size_t packet_bytes_max;     /* byte budget of one message's encoding; updates stop before it */
};

#define PC_SWIM_LATE_NEVER UINT64_MAX

void pc_swim_opts_default(struct pc_swim_opts *opts); /* everything but `self` and `seed` */

enum pc_swim_msg_type {
    PC_SWIM_PING = 1,
    PC_SWIM_ACK = 2,
    PC_SWIM_PING_REQ = 3, /* please ping `target` for me */
    PC_SWIM_GOSSIP = 4,   /* updates only */
    PC_SWIM_PUSH = 5,     /* join and anti-entropy: a page of all members; asks for PULL */
    PC_SWIM_PULL = 6,     /* the answer: a page of all members */
    PC_SWIM_NACK = 7,     /* `target` does not answer me either, but I am here */
    PC_SWIM_DIGEST = 8,   /* anti-entropy: what my table comes to; answer PUSH if yours differs */
};

/* Updates fit one datagram: at most packet_bytes_max when encoded (wire.h). */
#define PC_SWIM_UPDATES_MAX 32

struct pc_swim_msg {
    enum pc_swim_msg_type type;
    pc_node_id from;
    uint64_t from_generation;
    uint64_t nonce;        /* PING, ACK, PING_REQ, NACK: random 64 bits, so an old ack never
                              matches; DIGEST: the digest */
    pc_node_id target_id;  /* PING: whom the sender means (0 = whoever has the address, a join);
                              PING_REQ: whom to ping; ACK: who answers; NACK: who does not */
    struct pc_addr target; /* PING_REQ: its address; ACK, of a ping that carries its sender's
                              record: the source address the pinger was seen under, so a node
                              behind an empty `advertise` learns its own */
    uint32_t page;         /* PUSH, PULL: number of this page, 0.. */
    uint32_t pages;        /* and how many there are */
    uint32_t updates_n;
    struct pc_member updates[PC_SWIM_UPDATES_MAX];
};

enum pc_swim_event_type {
    PC_SWIM_WAKE = 1, /* wake_at was reached (spurious ones are harmless) */
    PC_SWIM_RECV,     /* an authenticated message came from `addr` */
    PC_SWIM_JOIN,     /* push-pull with the seed at `addr` (numeric, just resolved) */
    PC_SWIM_CONTACT,  /* authenticated bytes of member `id` came by another way (the bus) */
    PC_SWIM_LEAVE,    /* say goodbye: LEFT is told to gossip_fanout members at once */
};

struct pc_swim_event {
    enum pc_swim_event_type type;
    struct pc_instant now;
    struct pc_addr addr;           /* RECV, JOIN */
    pc_node_id id;                 /* CONTACT */
    const struct pc_swim_msg *msg; /* RECV; borrowed */
};

/* One datagram to send. */
struct pc_swim_out {
    struct pc_addr to;
    struct pc_swim_msg msg;
};

/* Effects are appended; the caller empties them (n = 0) when done. Zero-initialised is empty. */
struct pc_swim_effects {
    struct pc_swim_out *out;
    size_t out_n, out_cap;
    struct pc_member *changed; /* members whose state, address or generation changed, newest last */
    size_t changed_n, changed_cap;
};
void pc_swim_effects_destroy(struct pc_swim_effects *effects);

/* A machine that knows only itself. */
struct pc_swim *pc_swim_new(const struct pc_swim_opts *opts, struct pc_instant now);
void pc_swim_delete(struct pc_swim *swim);

/* Advances the machine by one event. Never fails: bad content of a message is counted, and
 * ignored. */
void pc_swim_step(
    struct pc_swim *swim, const struct pc_swim_event *event, struct pc_swim_effects *effects);

/* When to step with WAKE next. */
struct pc_instant pc_swim_wake_at(const struct pc_swim *swim);

/* Members known, self first, then by id. Borrowed until the next step. */
size_t pc_swim_members(const struct pc_swim *swim, const struct pc_member **out);
/* The member with this id, or NULL. Borrowed until the next step. */
const struct pc_member *pc_swim_find(const struct pc_swim *swim, pc_node_id id);

struct pc_swim_stats {
    uint64_t probes, acks, probe_failures, indirect_probes, refutations, suspicions, deaths;
    uint64_t nacks, verifications;
    uint64_t messages_ignored; /* stale, for somebody else, or over a bound */
    uint32_t health;           /* local health now: 0 is well, health_max is worst */
};
void pc_swim_stats(const struct pc_swim *swim, struct pc_swim_stats *stats);

/* Bytes that the encoding of an update may take at most (wire.h asserts it). */
#define PC_SWIM_UPDATE_BYTES_MAX 128
#define PC_SWIM_HEAD_BYTES_MAX 96

/* Asserts the invariants 42..45 that one state can show. */
void pc_swim_check(const struct pc_swim *swim);

#endif
