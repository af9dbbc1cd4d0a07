/* One probe per interval, and the pings that others ask of us.
 *
 *     t = 0                  probe_timeout                              probe_interval
 *     |-- PING --> target ---|-- PING --> target again -----------------|-- no ack: suspect it,
 *     |                      |-- PING_REQ --> helpers -- PING --> target|   start the next probe
 *     |<------ ACK ----------|<------------------ ACK (relayed) --------|
 *
 * The nonce is drawn anew for every probe: an ack that comes after its interval matches nothing. */
#include "swim_int.h"

#include "pcache/assert.h"

static void send_ping(struct pc_swim *swim, size_t i, uint64_t nonce)
{
    const struct pc_member *target = &swim->members[i];
    PC_ASSERT(i > 0 && i < swim->n);
    PC_ASSERT(!pc_addr_is_none(&target->addr));
    struct pc_swim_msg *msg = pc_swim_send(swim, &target->addr, PC_SWIM_PING);
    msg->nonce = nonce;
    msg->target_id = target->id;
    pc_swim_piggyback(swim, msg, target->id);
}

static void send_ack(
    struct pc_swim *swim, pc_node_id to, const struct pc_addr *addr, uint64_t nonce, pc_node_id who)
{
    struct pc_swim_msg *msg = pc_swim_send(swim, addr, PC_SWIM_ACK);
    msg->nonce = nonce;
    msg->target_id = who;
    if (who == swim->opts.self.id) {
        msg->target = *addr;
    }
    pc_swim_piggyback(swim, msg, to);
}

static void probe_start(struct pc_swim *swim)
{
    PC_ASSERT(swim->probe.target == 0);
    size_t i = pc_swim_round_next(swim);
    if (i == 0) {
        return;
    }
    const struct pc_member *target = &swim->members[i];
    swim->probe = (struct swim_probe){
        .target = target->id,
        .nonce = pc_prng_next(&swim->prng),
        .generation = target->generation,
        .incarnation = target->incarnation,
        .started_at = swim->now,
        .indirect_at = pc_instant_add_ms(swim->now, swim->opts.probe_timeout_ms),
    };
    swim->stats.probes++;
    send_ping(swim, i, swim->probe.nonce);
}

static void probe_indirectly(struct pc_swim *swim)
{
    struct swim_probe *probe = &swim->probe;
    PC_ASSERT(probe->target != 0 && !probe->acked);
    probe->indirect_at = PC_INSTANT_NEVER;
    size_t i = pc_swim_index(swim, probe->target);
    if (i == 0 || !pc_swim_is_live(&swim->members[i])) {
        return;
    }
    size_t helpers = pc_swim_draw(swim, SWIM_LIVE, probe->target, swim->opts.indirect_probes);
    for (size_t k = 0; k < helpers; k++) {
        const struct pc_member *helper = &swim->members[swim->scratch[k]];
        struct pc_swim_msg *msg = pc_swim_send(swim, &helper->addr, PC_SWIM_PING_REQ);
        msg->nonce = probe->nonce;
        msg->target_id = probe->target;
        msg->target = swim->members[i].addr;
        pc_swim_piggyback(swim, msg, helper->id);
        swim->stats.indirect_probes++;
    }
    send_ping(swim, i, probe->nonce);
}

static void probe_finish(struct pc_swim *swim)
{
    struct swim_probe probe = swim->probe;
    swim->probe = (struct swim_probe){0};
    size_t i = probe.target != 0 ? pc_swim_index(swim, probe.target) : 0;
    if (probe.acked || i == 0) {
        return;
    }
    const struct pc_member *target = &swim->members[i];
    bool spoke_since =
        target->generation != probe.generation || target->incarnation != probe.incarnation;
    if (spoke_since || !pc_swim_is_live(target)) {
        return;
    }
    PC_ASSERT(swim->now.us > probe.started_at.us);
    swim->stats.probe_failures++;
    pc_swim_suspect(swim, i);
}

void pc_swim_probe_tick(struct pc_swim *swim)
{
    const struct swim_probe *probe = &swim->probe;
    if (pc_instant_is_due(swim->probe_at, swim->now)) {
        probe_finish(swim);
        probe_start(swim);
        swim->probe_at = pc_instant_add_ms(swim->now, swim->opts.probe_interval_ms);
    } else if (probe->target != 0 && !probe->acked &&
               pc_instant_is_due(probe->indirect_at, swim->now)) {
        probe_indirectly(swim);
    }
}

void pc_swim_probe_reset(struct pc_swim *swim)
{
    swim->probe = (struct swim_probe){0};
    swim->probe_at = swim->now;
}

/* Pings a member that speaks though we hold it for suspect or dead, so that it hears of that: the
 * ping carries our record of it. At most once per probe interval. */
void pc_swim_nudge(struct pc_swim *swim, size_t i)
{
    PC_ASSERT(i > 0 && i < swim->n);
    enum pc_member_state state = swim->members[i].state;
    struct swim_peer *peer = &swim->peers[i];
    bool recently = peer->nudged_at.us != 0 && !pc_instant_is_due(pc_instant_add_ms(peer->nudged_at,
                                                                      swim->opts.probe_interval_ms),
                                                   swim->now);
    bool wrong = state == PC_MEMBER_SUSPECT || state == PC_MEMBER_DEAD;
    if (wrong && !recently && swim->members[0].state == PC_MEMBER_ALIVE) {
        peer->nudged_at = swim->now;
        send_ping(swim, i, pc_prng_next(&swim->prng));
    }
}

void pc_swim_contact(struct pc_swim *swim, size_t i)
{
    if (i == 0) {
        return;
    }
    PC_ASSERT(i < swim->n);
    swim->peers[i].contact_at = swim->now;
    if (swim->probe.target == swim->members[i].id) {
        swim->probe.acked = true;
    }
    pc_swim_nudge(swim, i);
}

void pc_swim_recv_ping(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    pc_node_id self = swim->opts.self.id;
    PC_ASSERT(msg->type == PC_SWIM_PING);
    if (msg->target_id != 0 && msg->target_id != self) {
        /* Somebody had this address before us; its failure must not be hidden. */
        swim->stats.messages_ignored++;
        return;
    }
    send_ack(swim, msg->from, from, msg->nonce, self);
}

void pc_swim_recv_ping_req(
    struct pc_swim *swim, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    PC_ASSERT(msg->type == PC_SWIM_PING_REQ);
    if (msg->target_id == swim->opts.self.id) {
        send_ack(swim, msg->from, from, msg->nonce, msg->target_id);
        return;
    }
    /* Only to a member, at its own address: nobody directs our packets anywhere else. */
    size_t i = pc_swim_index(swim, msg->target_id);
    if (i == 0) {
        swim->stats.messages_ignored++;
        return;
    }
    struct swim_relay *relay = &swim->relays[swim->relay_next];
    swim->relay_next = (swim->relay_next + 1) % SWIM_RELAYS_MAX;
    *relay = (struct swim_relay){
        .nonce = pc_prng_next(&swim->prng),
        .asked_nonce = msg->nonce,
        .target = msg->target_id,
        .asker = msg->from,
        .asker_addr = *from,
    };
    send_ping(swim, i, relay->nonce);
}

/* Without `advertise` a node knows its own address only from those it talks to. The first answer
 * is taken, and told under a new incarnation, so that all hold the same one. */
static void learn_address(struct pc_swim *swim, const struct pc_swim_msg *msg)
{
    struct pc_member *self = &swim->members[0];
    bool direct = msg->from == msg->target_id;
    if (!direct || !pc_addr_is_none(&self->addr) || pc_addr_is_none(&msg->target) ||
        self->state != PC_MEMBER_ALIVE || self->incarnation == UINT32_MAX) {
        return;
    }
    self->addr = msg->target;
    self->incarnation++;
    pc_swim_note_change(swim, 0, true);
}

static void relay_ack(struct pc_swim *swim, struct swim_relay *relay)
{
    PC_ASSERT(relay->target != 0 && relay->asker != 0);
    struct swim_relay done = *relay;
    *relay = (struct swim_relay){0};
    send_ack(swim, done.asker, &done.asker_addr, done.asked_nonce, done.target);
}

void pc_swim_recv_ack(struct pc_swim *swim, const struct pc_swim_msg *msg)
{
    PC_ASSERT(msg->type == PC_SWIM_ACK);
    struct swim_probe *probe = &swim->probe;
    if (probe->target != 0 && probe->target == msg->target_id && probe->nonce == msg->nonce) {
        swim->stats.acks += !probe->acked;
        probe->acked = true;
        learn_address(swim, msg);
        return;
    }
    for (size_t k = 0; k < SWIM_RELAYS_MAX; k++) {
        struct swim_relay *relay = &swim->relays[k];
        if (relay->target != 0 && relay->target == msg->from && relay->nonce == msg->nonce) {
            relay_ack(swim, relay);
            return;
        }
    }
    swim->stats.messages_ignored++;
}
