/* One probe per interval, and at most one at a time.
 *
 *     t = 0                  probe_timeout              probe_verdict          probe_interval
 *     |-- PING --> target ---|-- PING --> target again ---|-- no ack: suspect ...|-- next probe
 *     |                      |-- PING_REQ --> helpers     |   it at once         |
 *     |<------ ACK ----------|<------ ACK, NACK ----------|                      |
 *
 * All of these times are stretched by local health. The interval sets the cost, the verdict comes
 * as soon as an answer is overdue: waiting for the interval to end would tell nothing more.
 *
 * A member that hears of a suspicion need not wait for its round to come to the suspect: it draws
 * lots, so that about `verifiers` members do, and probes it at once. Either it becomes a further
 * accuser, which shortens the suspicion, or its ping is how the suspect learns what is said of it,
 * and the ack brings the refutation.
 *
 * The nonce is drawn anew for every probe: an ack that comes after its verdict matches nothing. */
#include "swim_int.h"

#include <string.h>

#include "pcache/assert.h"

static void probe_start(struct pc_swim *swim, size_t i)
{
    const struct pc_member *target = &swim->members[i];
    const struct pc_swim_opts *opts = &swim->opts;
    PC_ASSERT(swim->probe.target == 0);
    PC_ASSERT(i > 0 && pc_swim_is_live(target));
    pc_ms timeout = pc_swim_health_stretch(swim, opts->probe_timeout_ms);
    pc_ms verdict = pc_swim_health_stretch(swim, opts->probe_verdict_ms);
    swim->probe = (struct swim_probe){
        .target = target->id,
        .nonce = pc_prng_next(&swim->prng),
        .generation = target->generation,
        .incarnation = target->incarnation,
        .started_at = swim->now,
        .indirect_at = pc_instant_add_ms(swim->now, timeout),
        .verdict_at = pc_instant_add_ms(swim->now, verdict),
    };
    swim->stats.probes++;
    /* Who does not know its own address yet asks for it so; others save the bytes: almost always
     * the target knows us, and if not, the second ping introduces us. */
    pc_swim_send_ping(swim, i, swim->probe.nonce, pc_addr_is_none(&swim->members[0].addr));
}

static void probe_indirectly(struct pc_swim *swim)
{
    struct swim_probe *probe = &swim->probe;
    PC_ASSERT(probe->target != 0);
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
    probe->helpers_n = (uint32_t)helpers;
    pc_swim_send_ping(swim, i, probe->nonce, true);
}

/* The time for an answer is over. */
static void probe_judge(struct pc_swim *swim)
{
    struct swim_probe probe = swim->probe;
    swim->probe = (struct swim_probe){0};
    size_t i = pc_swim_index(swim, probe.target);
    if (i == 0) {
        return;
    }
    const struct pc_member *target = &swim->members[i];
    bool spoke_since =
        target->generation != probe.generation || target->incarnation != probe.incarnation;
    if (spoke_since || !pc_swim_is_live(target)) {
        return;
    }
    PC_ASSERT(swim->now.us > probe.started_at.us);
    PC_ASSERT(probe.nacks_n <= probe.helpers_n);
    swim->stats.probe_failures++;
    pc_swim_health_worsen(swim, probe.helpers_n > 0 ? probe.helpers_n - probe.nacks_n : 1);
    pc_swim_suspect(swim, i);
}

void pc_swim_doubt(struct pc_swim *swim, size_t i)
{
    PC_ASSERT(i > 0 && swim->members[i].state == PC_MEMBER_SUSPECT);
    PC_ASSERT(swim->doubts_n <= SWIM_DOUBTS_MAX);
    /* All but the suspect and its accuser hear of it. */
    size_t hearers = pc_swim_live_n(swim);
    hearers = hearers > 3 ? hearers - 2 : 1;
    bool drawn = pc_prng_below(&swim->prng, hearers) < swim->opts.verifiers;
    if (drawn && swim->doubts_n < SWIM_DOUBTS_MAX) {
        swim->doubts[swim->doubts_n++] = swim->members[i].id;
    }
}

/* The index of the next suspect that waits for our own probe; 0 = none. */
static size_t next_doubt(struct pc_swim *swim)
{
    while (swim->doubts_n > 0) {
        size_t i = pc_swim_index(swim, swim->doubts[0]);
        swim->doubts_n--;
        memmove(swim->doubts, swim->doubts + 1, swim->doubts_n * sizeof *swim->doubts);
        if (i != 0 && swim->members[i].state == PC_MEMBER_SUSPECT) {
            return i;
        }
    }
    return 0;
}

static void probe_next(struct pc_swim *swim)
{
    size_t i = next_doubt(swim);
    if (i != 0) {
        swim->stats.verifications++;
    } else if (pc_instant_is_due(swim->probe_at, swim->now)) {
        pc_ms interval = pc_swim_health_stretch(swim, swim->opts.probe_interval_ms);
        swim->probe_at = pc_instant_add_ms(swim->now, interval);
        i = pc_swim_round_next(swim);
    }
    if (i != 0) {
        probe_start(swim, i);
    }
}

void pc_swim_probe_tick(struct pc_swim *swim)
{
    const struct swim_probe *probe = &swim->probe;
    if (probe->target != 0 && pc_instant_is_due(probe->verdict_at, swim->now)) {
        probe_judge(swim);
    } else if (probe->target != 0 && pc_instant_is_due(probe->indirect_at, swim->now)) {
        probe_indirectly(swim);
    }
    if (probe->target == 0) {
        probe_next(swim);
    }
}

struct pc_instant pc_swim_probe_due(const struct pc_swim *swim)
{
    const struct swim_probe *probe = &swim->probe;
    PC_ASSERT_IMPLIES(probe->target == 0, swim->doubts_n == 0);
    return probe->target == 0 ? swim->probe_at
                              : pc_instant_min(probe->indirect_at, probe->verdict_at);
}

void pc_swim_probe_reset(struct pc_swim *swim)
{
    swim->probe = (struct swim_probe){0};
    swim->doubts_n = 0;
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
        pc_swim_send_ping(swim, i, pc_prng_next(&swim->prng), true);
    }
}

/* As good as an ack, but says nothing of how we fare ourselves: the bus has its own buffers. */
void pc_swim_contact(struct pc_swim *swim, size_t i)
{
    if (i == 0) {
        return;
    }
    PC_ASSERT(i < swim->n);
    swim->peers[i].contact_at = swim->now;
    if (swim->probe.target == swim->members[i].id) {
        swim->probe = (struct swim_probe){0};
    }
    pc_swim_nudge(swim, i);
}

static bool introduces(const struct pc_swim_msg *msg)
{
    for (uint32_t i = 0; i < msg->updates_n; i++) {
        if (msg->updates[i].id == msg->from) {
            return true;
        }
    }
    return false;
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
    struct pc_swim_msg *ack =
        pc_swim_send_answer(swim, PC_SWIM_ACK, msg->from, from, msg->nonce, self);
    if (introduces(msg)) {
        ack->target = *from;
    }
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

static bool answers_probe(const struct pc_swim *swim, const struct pc_swim_msg *msg)
{
    const struct swim_probe *probe = &swim->probe;
    return probe->target != 0 && probe->target == msg->target_id && probe->nonce == msg->nonce;
}

void pc_swim_recv_ack(struct pc_swim *swim, const struct pc_swim_msg *msg)
{
    PC_ASSERT(msg->type == PC_SWIM_ACK);
    if (answers_probe(swim, msg)) {
        swim->stats.acks++;
        swim->probe = (struct swim_probe){0};
        pc_swim_health_improve(swim);
        learn_address(swim, msg);
    } else if (!pc_swim_relay_ack(swim, msg)) {
        swim->stats.messages_ignored++;
    }
}

void pc_swim_recv_nack(struct pc_swim *swim, const struct pc_swim_msg *msg)
{
    struct swim_probe *probe = &swim->probe;
    PC_ASSERT(msg->type == PC_SWIM_NACK);
    if (answers_probe(swim, msg) && probe->nacks_n < probe->helpers_n) {
        swim->stats.nacks++;
        probe->nacks_n++;
    } else {
        swim->stats.messages_ignored++;
    }
}
