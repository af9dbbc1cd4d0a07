/* SWIM: who is there, and who is up.
 *
 * Every probe_interval a member pings one other. No ack within probe_timeout: it asks some third
 * members to ping on its behalf, because a lost packet or one bad path is likelier than a crash.
 * Nothing by probe_verdict: the target becomes SUSPECT, and the news spreads. The suspect
 * hears of it like everybody else and refutes by a higher incarnation, which only it may raise. If
 * it does not, each member declares it DEAD on its own clock. News travels as gossip: updates ride
 * on pings and acks, each told 3 * ceil(log2(n + 1)) times by everyone who learns it.
 *
 *                 our probe failed, or        nobody refuted within
 *      +-------+  hearsay    +---------+     the suspicion time   +------+
 *      | ALIVE | ----------> | SUSPECT | -----------------------> | DEAD |
 *      +-------+             +---------+                          +------+
 *         ^  ^   higher incarnation |                                |
 *         |  +----------------------+--------------------------------+
 *         |        higher generation (the node was started again)    |
 *         +-----------------------------[ LEFT ]<--- its own word ---+ from any state
 *
 * Where this departs from the paper, and why:
 *
 *  - A member is an id, not an address, and its incarnations are pairs (generation, incarnation).
 *    A restarted node has a higher generation: it is up at once, whatever was said of its former
 *    life, and packets of that former life are ignored whoever delays them.
 *  - Lifeguard, whole. The suspicion time starts long (a lone accuser may be the sick one) and
 *    shrinks with each further member whose own probe failed; updates therefore carry the accuser.
 *    Helpers that get no answer say so, and a member that hears neither ack nor nack trusts itself
 *    less (swim_health.c): its probes slow down, and so do its verdicts. Beside it, a node that
 *    finds itself woken up late, having been paused or starved, drops its probe and gives every
 *    suspect the lost time back: that keeps the starved from burying each other, which local
 *    health, learnt from failures, is too slow for. docs/TESTING.md has the figures of both.
 *  - Every other probe goes round a ring of all live members, so that none waits long for its turn.
 *  - Confirmation is not left to the round: some of those who hear of a suspicion probe the suspect
 *    at once, so that a death takes about the shortest suspicion time in a cluster of any size.
 *  - In a cluster of three there is one helper. So the direct ping is repeated beside the indirect
 *    ones, and authenticated bytes on the peer bus (PC_SWIM_CONTACT) count as an ack.
 *  - A repeated ping carries the sender's own record: who answers always knows whom it answers. A
 *    message to a member that is not ALIVE here carries that record, so it can refute without luck.
 *  - Gossip alone loses an update now and then for ever. Every few seconds digests of whole tables
 *    are compared, also with one member believed dead: that is how healed partitions find together.
 *  - A dead member is remembered, or stale gossip would bring it back to life.
 *
 * Failure modes. A one-way cut between two members is bridged by helpers; in a cluster of two it is
 * a death on both sides until it heals. Acks later than an interval are as good as lost. A table
 * that is full of live members ignores further ones. The machine advises: being wrong here costs a
 * dial or an election, never data. */
#include "swim_int.h"

#include <stdlib.h>

#include "pcache/assert.h"

PC_STATIC_ASSERT(PC_SWIM_HEAD_BYTES_MAX + 2 * PC_SWIM_UPDATE_BYTES_MAX < PC_GOSSIP_PACKET_BYTES_MAX,
    "a packet has room for the receiver's own record and one more");

void pc_swim_opts_default(struct pc_swim_opts *opts)
{
    struct pc_member self = opts->self;
    uint64_t seed = opts->seed;
    *opts = (struct pc_swim_opts){
        .self = self,
        .seed = seed,
        .probe_interval_ms = 1000,
        .probe_timeout_ms = 100,
        .probe_verdict_ms = 300,
        .indirect_probes = 3,
        .verifiers = 8,
        .health_max = 8,
        .late_ms = 100,
        .suspicion_min_ms = 1000,
        .suspicion_max_ms = 5000,
        .gossip_interval_ms = 100,
        .gossip_fanout = 3,
        .push_pull_interval_ms = 5000,
        .packet_bytes_max = 1300,
    };
}

void pc_swim_effects_destroy(struct pc_swim_effects *effects)
{
    free(effects->out);
    free(effects->changed);
    *effects = (struct pc_swim_effects){0};
}

static void assert_opts(const struct pc_swim_opts *opts)
{
    PC_ASSERT(opts->self.id != 0);
    PC_ASSERT(opts->self.state == PC_MEMBER_ALIVE && opts->self.incarnation == 0);
    PC_ASSERT(opts->self.name[0] != '\0');
    PC_ASSERT(opts->probe_timeout_ms > 0 && opts->probe_timeout_ms < opts->probe_verdict_ms);
    PC_ASSERT(opts->probe_verdict_ms <= opts->probe_interval_ms);
    PC_ASSERT(opts->suspicion_min_ms > 0 && opts->suspicion_min_ms <= opts->suspicion_max_ms);
    PC_ASSERT(opts->gossip_interval_ms > 0 && opts->push_pull_interval_ms > 0);
    PC_ASSERT(opts->packet_bytes_max >= PC_SWIM_HEAD_BYTES_MAX + 2 * PC_SWIM_UPDATE_BYTES_MAX);
}

static struct pc_instant earliest_suspicion(struct pc_swim *swim)
{
    struct pc_instant at = PC_INSTANT_NEVER;
    if (swim->no_suspects) {
        return at;
    }
    swim->no_suspects = true;
    for (size_t i = 1; i < swim->n; i++) {
        if (swim->members[i].state == PC_MEMBER_SUSPECT) {
            at = pc_instant_min(at, swim->peers[i].deadline);
            swim->no_suspects = false;
        }
    }
    return at;
}

static void schedule(struct pc_swim *swim)
{
    struct pc_instant at = PC_INSTANT_NEVER;
    if (swim->n > 1) {
        if (swim->members[0].state == PC_MEMBER_ALIVE) {
            at = pc_instant_min(pc_swim_probe_due(swim), swim->push_pull_at);
            at = pc_instant_min(at, earliest_suspicion(swim));
            at = pc_instant_min(at, swim->nack_at);
        }
        if (pc_swim_has_news(swim)) {
            at = pc_instant_min(at, swim->gossip_at);
        }
    }
    /* What fell due while there was nothing to do is due now, not late. */
    swim->wake_at = at.us > swim->now.us ? at : swim->now;
}

struct pc_swim *pc_swim_new(const struct pc_swim_opts *opts, struct pc_instant now)
{
    assert_opts(opts);
    struct pc_swim *swim = pc_xalloc(sizeof *swim);
    swim->opts = *opts;
    swim->now = now;
    pc_prng_seed(&swim->prng, opts->seed);
    swim->cap = 8;
    swim->members = pc_xalloc(swim->cap * sizeof *swim->members);
    swim->peers = pc_xalloc(swim->cap * sizeof *swim->peers);
    swim->scratch = pc_xalloc(swim->cap * sizeof *swim->scratch);
    swim->news = pc_xalloc(swim->cap * sizeof *swim->news);
    swim->order = pc_xalloc(swim->cap * sizeof *swim->order);
    swim->members[0] = opts->self;
    swim->members[0].incarnation = 1;
    swim->peers[0].since = now;
    swim->n = 1;
    /* Nodes started together must not probe and sync in step for ever. */
    swim->probe_at = pc_instant_add_ms(now, pc_prng_below(&swim->prng, opts->probe_interval_ms));
    swim->gossip_at = now;
    swim->nack_at = PC_INSTANT_NEVER;
    swim->push_pull_at = pc_instant_add_ms(now,
        pc_prng_between(&swim->prng, opts->push_pull_interval_ms / 2, opts->push_pull_interval_ms));
    schedule(swim);
    return swim;
}

void pc_swim_delete(struct pc_swim *swim)
{
    if (swim != NULL) {
        free(swim->members);
        free(swim->peers);
        free(swim->scratch);
        free(swim->news);
        free(swim->order);
        free(swim);
    }
}

/* The sender's header alone proves that this life of it is up. Its own records start at
 * incarnation 1, so they override what we make up here. */
static void revive(struct pc_swim *swim, size_t i, const struct pc_addr *from, uint64_t generation)
{
    struct pc_member said = swim->members[i];
    PC_ASSERT(generation > said.generation);
    said.generation = generation;
    said.incarnation = 0;
    said.state = PC_MEMBER_ALIVE;
    said.addr = *from;
    said.accuser = 0;
    pc_swim_hear(swim, &said);
}

static void dispatch(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    switch (msg->type) {
    case PC_SWIM_PING:
        pc_swim_recv_ping(swim, from, msg);
        return;
    case PC_SWIM_ACK:
        pc_swim_recv_ack(swim, msg);
        return;
    case PC_SWIM_PING_REQ:
        pc_swim_recv_ping_req(swim, from, msg);
        return;
    case PC_SWIM_NACK:
        pc_swim_recv_nack(swim, msg);
        return;
    case PC_SWIM_PUSH:
        pc_swim_recv_push(swim, from, msg);
        return;
    case PC_SWIM_DIGEST:
        pc_swim_recv_digest(swim, from, msg);
        return;
    case PC_SWIM_GOSSIP:
    case PC_SWIM_PULL:
        return; /* nothing but updates */
    }
    swim->stats.messages_ignored++;
}

static void hear_updates(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    for (uint32_t i = 0; i < msg->updates_n; i++) {
        struct pc_member said = msg->updates[i];
        if (said.id == msg->from && pc_addr_is_none(&said.addr)) {
            said.addr = *from;
        }
        pc_swim_hear(swim, &said);
    }
}

static void recv_msg(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    bool sane = msg->from != 0 && msg->from != swim->opts.self.id &&
                msg->updates_n <= PC_SWIM_UPDATES_MAX && !pc_addr_is_none(from);
    size_t i = sane ? pc_swim_index(swim, msg->from) : 0;
    if (!sane || (i != 0 && msg->from_generation < swim->members[i].generation)) {
        swim->stats.messages_ignored++;
        return;
    }
    hear_updates(swim, from, msg);
    i = pc_swim_index(swim, msg->from);
    if (i == 0) {
        /* Strangers get no reply, of whatever size: a ping or push introduces its sender. */
        swim->stats.messages_ignored++;
        return;
    }
    if (msg->from_generation > swim->members[i].generation) {
        revive(swim, i, from, msg->from_generation);
    }
    dispatch(swim, from, msg);
    /* A ping and a push were answered with what we hold of the sender. Others must be told. */
    i = pc_swim_index(swim, msg->from);
    if (i != 0 && msg->type != PC_SWIM_PING && msg->type != PC_SWIM_PUSH) {
        pc_swim_nudge(swim, i);
    }
}

static void leave(struct pc_swim *swim)
{
    if (swim->members[0].state == PC_MEMBER_LEFT) {
        return;
    }
    pc_swim_announce(swim, PC_MEMBER_LEFT, swim->members[0].incarnation);
    pc_swim_probe_reset(swim);
    pc_swim_gossip_now(swim);
}

static void wake(struct pc_swim *swim)
{
    if (swim->members[0].state == PC_MEMBER_ALIVE) {
        pc_swim_probe_tick(swim);
        pc_swim_relay_tick(swim);
        pc_swim_suspicion_tick(swim);
        pc_swim_sync_tick(swim);
    }
    pc_swim_gossip_tick(swim);
}

/* Time in which this node did not run says nothing about the others: their acks and refutations
 * may lie unread in the socket. */
static void forgive_lost_time(struct pc_swim *swim)
{
    struct pc_instant due = swim->wake_at;
    if (pc_instant_ms_between(due, swim->now) <= swim->opts.late_ms) {
        return;
    }
    pc_swim_probe_reset(swim);
    pc_swim_suspicion_postpone(swim, swim->now.us - due.us);
}

void pc_swim_step(
    struct pc_swim *swim, const struct pc_swim_event *event, struct pc_swim_effects *effects)
{
    PC_ASSERT(swim->effects == NULL);
    swim->effects = effects;
    /* Events may have been stamped before others that were handled earlier. */
    swim->now.us = event->now.us > swim->now.us ? event->now.us : swim->now.us;
    forgive_lost_time(swim);
    switch (event->type) {
    case PC_SWIM_WAKE:
        break;
    case PC_SWIM_RECV:
        recv_msg(swim, &event->addr, event->msg);
        break;
    case PC_SWIM_JOIN:
        PC_ASSERT(!pc_addr_is_none(&event->addr));
        pc_swim_push(swim, &event->addr);
        break;
    case PC_SWIM_CONTACT:
        pc_swim_contact(swim, pc_swim_index(swim, event->id));
        break;
    case PC_SWIM_LEAVE:
        leave(swim);
        break;
    }
    wake(swim);
    schedule(swim);
    swim->effects = NULL;
}

struct pc_instant pc_swim_wake_at(const struct pc_swim *swim)
{
    return swim->wake_at;
}

size_t pc_swim_members(const struct pc_swim *swim, const struct pc_member **out)
{
    *out = swim->members;
    return swim->n;
}

const struct pc_member *pc_swim_find(const struct pc_swim *swim, pc_node_id id)
{
    if (id == swim->opts.self.id) {
        return &swim->members[0];
    }
    size_t i = pc_swim_index(swim, id);
    return i != 0 ? &swim->members[i] : NULL;
}

void pc_swim_stats(const struct pc_swim *swim, struct pc_swim_stats *stats)
{
    *stats = swim->stats;
    stats->health = swim->health;
}
