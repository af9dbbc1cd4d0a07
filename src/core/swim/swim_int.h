/* swim_int.h: what the files of the SWIM machine share.
 *
 * Invariants, by the numbers that the simulator prints:
 *   42  self is ALIVE or LEFT in its own table; hearing worse of itself at incarnation j, it says
 *       j + 1.
 *   43  only self raises its own incarnation; what others hold of a member never goes back.
 *   44  records are joined by (generation, incarnation, state), see pc_swim_record_join.
 *   45  a member that this node declared dead had been suspect here for suspicion_min_ms.
 */
#ifndef PC_SWIM_INT_H
#define PC_SWIM_INT_H

#include "pcache/prng.h"
#include "pcache/swim.h"

/* The first accuser and the three more that Lifeguard finds enough. */
#define SWIM_ACCUSERS_MAX 4

/* Pings on behalf of others at a time. When more are asked for, the oldest is forgotten, which
 * costs its asker one relayed ack. Nothing is special about the number: three helpers per probe
 * and one probe per member and interval make about three relays per node. */
#define SWIM_RELAYS_MAX 32

/* Suspects that wait for our own probe. More at a time are left to the round. */
#define SWIM_DOUBTS_MAX 8

/* How long a member that left or died stays known at least. After that it is forgotten, but only
 * to make room in a full table: who forgets too early believes old gossip. */
#define SWIM_FORGET_AFTER_MS 60000

/* What this node keeps about a member beside what is said of it. */
struct swim_peer {
    uint64_t change;              /* number of its latest change here: newer news goes first */
    uint32_t sent;                /* times the present record was gossiped */
    struct pc_instant since;      /* when the present state came */
    struct pc_instant contact_at; /* last authenticated bytes by another way */
    struct pc_instant nudged_at;  /* last ping out of turn */
    /* The latest suspicion; kept after it, for the check of invariant 45. */
    struct pc_instant suspected_at;
    struct pc_instant deadline; /* when it becomes death */
    bool declared;              /* DEAD by our own judgement, not by hearsay */
    pc_node_id accusers[SWIM_ACCUSERS_MAX];
    uint32_t accusers_n;
    uint32_t confirmations_max; /* further accusers that bring the time down to the minimum */
};

/* The probe under way: there is one at a time. */
struct swim_probe {
    pc_node_id target; /* 0 = none */
    uint64_t nonce;
    uint64_t generation;  /* of the target when the probe began: when it has spoken since, */
    uint32_t incarnation; /* a missing ack says nothing */
    struct pc_instant started_at;
    struct pc_instant indirect_at; /* NEVER once done */
    struct pc_instant verdict_at;
    uint32_t helpers_n; /* asked to ping the target */
    uint32_t nacks_n;   /* of them, those that said it does not answer them either */
};

/* A ping that we sent because `asker` could not reach `target`. */
struct swim_relay {
    uint64_t nonce;       /* of our ping */
    uint64_t asked_nonce; /* of the asker's */
    pc_node_id target;    /* 0 = free */
    pc_node_id asker;
    struct pc_addr asker_addr;
    struct pc_instant nack_at; /* NEVER once sent */
};

struct pc_swim {
    struct pc_swim_opts opts;
    struct pc_prng prng;
    struct pc_instant now;           /* of the event being handled, or the last one */
    struct pc_swim_effects *effects; /* of the step under way, else NULL */

    /* members[0] is self, the others follow by id; peers[i] belongs to members[i]. */
    struct pc_member *members;
    struct swim_peer *peers;
    uint32_t *scratch; /* room for one index per member: who was drawn */
    uint32_t *news;    /* the same: whose record is news */
    size_t n, cap;

    /* Everybody but self, in the order of this round of probes. */
    pc_node_id *order;
    size_t order_next;
    bool ring_turn; /* the last probe was that of the ring */

    struct swim_probe probe;
    struct swim_relay relays[SWIM_RELAYS_MAX];
    size_t relay_next;
    struct pc_instant nack_at; /* not after the first of the relays' */

    /* Members that others suspect and that we mean to probe out of turn, first come first. */
    pc_node_id doubts[SWIM_DOUBTS_MAX];
    size_t doubts_n;

    uint32_t health; /* 0..health_max: how ill this node itself seems to be */

    /* What spares a walk over a table of a thousand members at every step. */
    size_t live_n;             /* 0 = to be counted anew */
    bool no_news, no_suspects; /* true only if there are none */

    struct pc_instant probe_at, gossip_at, push_pull_at, wake_at;
    uint64_t change;
    struct pc_swim_stats stats;
};

/* swim_member.c: the table, and how records are joined. */
bool pc_swim_record_join(struct pc_member *into, const struct pc_member *said);
bool pc_swim_is_live(const struct pc_member *member); /* ALIVE or SUSPECT */
size_t pc_swim_live_n(struct pc_swim *swim);          /* self counted while it has not left */
/* The index of `id`, or 0 when it is unknown or self. */
size_t pc_swim_index(const struct pc_swim *swim, pc_node_id id);
void pc_swim_hear(struct pc_swim *swim, const struct pc_member *said);
/* Self says something new: a higher incarnation in this state. */
void pc_swim_announce(struct pc_swim *swim, enum pc_member_state state, uint32_t incarnation);
/* Reports members[i] to the caller and gossips its record anew. */
void pc_swim_note_change(struct pc_swim *swim, size_t i, bool visible);

/* swim_round.c: who is next. */
void pc_swim_round_insert(struct pc_swim *swim, pc_node_id id);
void pc_swim_round_remove(struct pc_swim *swim, pc_node_id id);
size_t pc_swim_round_next(struct pc_swim *swim); /* index of the member to probe; 0 = nobody */
size_t pc_swim_round_successor(const struct pc_swim *swim); /* the same, of the ring */
/* Up to `want` different members of this kind, drawn at random, never self nor `except`: their
 * indices are in swim->scratch. Returns how many. */
enum swim_kind { SWIM_LIVE, SWIM_DEAD };
size_t pc_swim_draw(struct pc_swim *swim, enum swim_kind kind, pc_node_id except, size_t want);

/* swim_probe.c */
void pc_swim_probe_tick(struct pc_swim *swim);
struct pc_instant pc_swim_probe_due(const struct pc_swim *swim); /* when to tick next */
void pc_swim_probe_reset(struct pc_swim *swim); /* forget the probe under way, start afresh */
/* Somebody else suspects members[i]: probe it soon, or leave that to others. */
void pc_swim_doubt(struct pc_swim *swim, size_t i);
void pc_swim_nudge(struct pc_swim *swim, size_t i);
void pc_swim_contact(struct pc_swim *swim, size_t i);
void pc_swim_recv_ping(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg);
void pc_swim_recv_ack(struct pc_swim *swim, const struct pc_swim_msg *msg);
void pc_swim_recv_nack(struct pc_swim *swim, const struct pc_swim_msg *msg);

/* swim_relay.c: pings on behalf of others. */
void pc_swim_recv_ping_req(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg);
/* True when the ack answers one of them, and was passed on. */
bool pc_swim_relay_ack(struct pc_swim *swim, const struct pc_swim_msg *msg);
void pc_swim_relay_tick(struct pc_swim *swim);

/* swim_health.c */
void pc_swim_health_worsen(struct pc_swim *swim, uint32_t by);
void pc_swim_health_improve(struct pc_swim *swim);
pc_ms pc_swim_health_stretch(const struct pc_swim *swim, pc_ms ms);

/* swim_suspect.c */
pc_ms pc_swim_suspicion_ms(const struct pc_swim_opts *opts, uint32_t confirmations,
    uint32_t confirmations_max, size_t live_n);
void pc_swim_suspect(struct pc_swim *swim, size_t i); /* our own probe of it failed */
void pc_swim_suspicion_begin(struct pc_swim *swim, size_t i);
void pc_swim_suspicion_confirm(struct pc_swim *swim, size_t i, pc_node_id accuser);
void pc_swim_suspicion_tick(struct pc_swim *swim);
void pc_swim_suspicion_postpone(struct pc_swim *swim, uint64_t by_us);

/* swim_gossip.c: messages, and what rides on them. */
uint32_t pc_swim_transmit_limit(size_t live_n);
size_t pc_swim_update_bytes(const struct pc_member *member); /* at most, encoded */
size_t pc_swim_updates_budget(const struct pc_swim *swim);
/* A new message in the effects, empty but for its head; valid until the next one. */
struct pc_swim_msg *pc_swim_send(
    struct pc_swim *swim, const struct pc_addr *to, enum pc_swim_msg_type type);
/* `introduced`: with our own record, so that the receiver knows whom it answers. */
void pc_swim_send_ping(struct pc_swim *swim, size_t i, uint64_t nonce, bool introduced);
/* An ACK or NACK for member `to` about member `who`. */
struct pc_swim_msg *pc_swim_send_answer(struct pc_swim *swim, enum pc_swim_msg_type type,
    pc_node_id to, const struct pc_addr *addr, uint64_t nonce, pc_node_id who);
/* Fills the message with updates for member `to_id` (0 = not known). */
void pc_swim_piggyback(struct pc_swim *swim, struct pc_swim_msg *msg, pc_node_id to_id);
bool pc_swim_has_news(struct pc_swim *swim);
void pc_swim_gossip_tick(struct pc_swim *swim);
void pc_swim_gossip_now(struct pc_swim *swim);

/* swim_sync.c: push-pull. */
void pc_swim_push(struct pc_swim *swim, const struct pc_addr *to);
void pc_swim_recv_push(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg);
/* The same for two tables that hold the same of the same members, whatever their order. */
uint64_t pc_swim_digest(const struct pc_swim *swim);
void pc_swim_recv_digest(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg);
void pc_swim_sync_tick(struct pc_swim *swim);

#endif
