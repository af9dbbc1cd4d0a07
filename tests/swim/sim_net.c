/* Machines, datagrams and CPU time.
 *
 * A starved member stands still for 0.2 to 2 s, then runs for 20 to 120 ms, again and again, as
 * under a CPU quota or a scheduler with better things to do. Datagrams wait in its socket, which
 * holds SOCKET_MAX of them; it handles them, and what fell due meanwhile, once it runs. A slow one
 * always runs, but takes 20 to 100 ms for each event.
 *
 * Both queues are binary heaps: a thousand members send and wake tens of thousands of times a
 * second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/swim/swim_int.h"
#include "pcache/assert.h"
#include "pcache/gossip.h"
#include "pcache/wire_swim.h"
#include "swim/swimsim.h"

/* The default receive buffer of Linux takes about as many small datagrams. */
#define SOCKET_MAX 256
#define IP_UDP_HEAD_BYTES 28
#define GENERATION 100
/* Identities of the product are 64 random bits: these take as many bytes. */
#define ID_SHIFT 48
/* All assertions follow every step of so many members in all, of more members fewer steps. */
#define CHECKED_MEMBERS 5

struct swimsim_packet {
    struct pc_instant at;
    uint64_t seq; /* of equal times the one sent earlier */
    size_t from, to;
    bool in_socket;
    size_t len;
    uint8_t bytes[];
};

/* ---- the heap of datagrams */
static bool packet_earlier(const struct swimsim_packet *a, const struct swimsim_packet *b)
{
    return a->at.us != b->at.us ? a->at.us < b->at.us : a->seq < b->seq;
}

static void flying_push(struct swimsim *sim, struct swimsim_packet *packet)
{
    if (sim->flying_n == sim->flying_cap) {
        sim->flying_cap = sim->flying_cap == 0 ? 256 : sim->flying_cap * 2;
        sim->flying = pc_xrealloc(sim->flying, sim->flying_cap * sizeof(*sim->flying));
    }
    size_t i = sim->flying_n++;
    while (i > 0 && packet_earlier(packet, sim->flying[(i - 1) / 2])) {
        sim->flying[i] = sim->flying[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    sim->flying[i] = packet;
}

static struct swimsim_packet *flying_pop(struct swimsim *sim)
{
    struct swimsim_packet *first = sim->flying[0];
    struct swimsim_packet *last = sim->flying[--sim->flying_n];
    size_t i = 0;
    for (size_t child = 1; child < sim->flying_n; child = 2 * i + 1) {
        bool right =
            child + 1 < sim->flying_n && packet_earlier(sim->flying[child + 1], sim->flying[child]);
        child += right;
        if (!packet_earlier(sim->flying[child], last)) {
            break;
        }
        sim->flying[i] = sim->flying[child];
        i = child;
    }
    sim->flying[i] = last;
    return first;
}

/* ---- the heap of members by the time of their next wake-up */
static bool wakes_earlier(const struct swimsim *sim, size_t a, size_t b)
{
    uint64_t at = sim->wake_at[a].us;
    return at != sim->wake_at[b].us ? at < sim->wake_at[b].us : a < b;
}

static void wakes_put(struct swimsim *sim, size_t place, size_t who)
{
    sim->wakes[place] = who;
    sim->members[who].wake_place = place;
}

static void wakes_set(struct swimsim *sim, size_t who, struct pc_instant at)
{
    sim->wake_at[who] = at;
    size_t i = sim->members[who].wake_place;
    while (i > 0 && wakes_earlier(sim, who, sim->wakes[(i - 1) / 2])) {
        wakes_put(sim, i, sim->wakes[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (size_t child = 2 * i + 1; child < sim->n; child = 2 * i + 1) {
        bool right =
            child + 1 < sim->n && wakes_earlier(sim, sim->wakes[child + 1], sim->wakes[child]);
        child += right;
        if (!wakes_earlier(sim, sim->wakes[child], who)) {
            break;
        }
        wakes_put(sim, i, sim->wakes[child]);
        i = child;
    }
    wakes_put(sim, i, who);
}

/* ---- CPU time */
/* When a member that has something to do now gets to do it. Asked about times that never fall. */
static struct pc_instant runs_at(struct swimsim *sim, struct swimsim_member *member)
{
    if (!member->starved) {
        return sim->now;
    }
    if (sim->params->slow) {
        return member->go_at.us > sim->now.us ? member->go_at : sim->now;
    }
    while (pc_instant_is_due(member->go_at, sim->now)) {
        member->stop_at = pc_instant_add_ms(member->go_at, pc_prng_between(&member->cpu, 20, 120));
        member->go_at =
            pc_instant_add_ms(member->stop_at, pc_prng_between(&member->cpu, 200, 2000));
    }
    return pc_instant_is_due(member->stop_at, sim->now) ? member->go_at : sim->now;
}

/* ---- datagrams */
static struct pc_addr addr_of(size_t i)
{
    struct pc_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = 7946};
    addr.ip[14] = (uint8_t)(i >> 8);
    addr.ip[15] = (uint8_t)i;
    return addr;
}

static size_t index_of(const struct pc_addr *addr)
{
    return (size_t)addr->ip[14] << 8 | addr->ip[15];
}

static void fly(struct swimsim *sim, size_t from, const struct pc_swim_out *out)
{
    size_t to = index_of(&out->to);
    PC_ASSERT(to < sim->n && to != from);
    pc_buf_reset(&sim->text);
    pc_err err = pc_wire_encode_swim(&out->msg, &sim->text);
    PC_ASSERT(err == PC_OK && sim->text.len <= PC_GOSSIP_MESSAGE_BYTES_MAX);
    if (sim->calm) {
        sim->result->packets++;
        sim->result->bytes += sim->text.len + PC_GOSSIP_OVERHEAD_BYTES + IP_UDP_HEAD_BYTES;
    }
    bool lost = pc_prng_chance(&sim->net, sim->params->loss_ppm);
    uint64_t delay_us = pc_prng_between(&sim->net, 100, 5000);
    if (lost || (sim->params->one_way && from == 0 && to == 1)) {
        return;
    }
    struct swimsim_packet *packet = pc_xalloc(sizeof *packet + sim->text.len);
    packet->at.us = sim->now.us + delay_us;
    packet->seq = ++sim->seq;
    packet->from = from;
    packet->to = to;
    packet->in_socket = false;
    packet->len = sim->text.len;
    memcpy(packet->bytes, sim->text.data, sim->text.len);
    flying_push(sim, packet);
}

/* ---- what an onlooker sees */
static void observe_death(struct swimsim *sim, size_t who, size_t subject_i, uint32_t incarnation)
{
    struct swimsim_member *subject = &sim->members[subject_i];
    if (subject_i == sim->victim) {
        if (sim->known_at[who].us == 0) {
            sim->known_at[who] = sim->now;
        }
    } else if (incarnation > subject->buried && sim->victim == sim->n) {
        subject->buried = incarnation;
        sim->result->false_deaths += !subject->starved;
        sim->result->false_deaths_starved += subject->starved;
    }
}

static void observe(struct swimsim *sim, size_t who, const struct pc_member *changed)
{
    size_t subject = (size_t)(changed->id >> ID_SHIFT) - 1;
    if (changed->state == PC_MEMBER_DEAD) {
        observe_death(sim, who, subject, changed->incarnation);
    } else if (changed->state == PC_MEMBER_SUSPECT && subject == sim->victim &&
               sim->suspected_at.us == 0) {
        sim->suspected_at = sim->now;
    }
}

static void step(struct swimsim *sim, size_t i, struct pc_swim_event *event)
{
    struct swimsim_member *member = &sim->members[i];
    event->now = sim->now;
    pc_swim_step(member->swim, event, &sim->effects);
    if (sim->result->steps % (1 + sim->n * sim->n / (CHECKED_MEMBERS * CHECKED_MEMBERS)) == 0) {
        pc_swim_check(member->swim);
    }
    for (size_t k = 0; k < sim->effects.changed_n; k++) {
        observe(sim, i, &sim->effects.changed[k]);
    }
    for (size_t k = 0; k < sim->effects.out_n; k++) {
        fly(sim, i, &sim->effects.out[k]);
    }
    sim->effects.out_n = sim->effects.changed_n = 0;
    sim->result->steps++;
    if (member->starved && sim->params->slow) {
        member->go_at = pc_instant_add_ms(sim->now, pc_prng_between(&member->cpu, 20, 100));
    }
    wakes_set(sim, i, pc_swim_wake_at(member->swim));
}

/* ---- time */
static void deliver(struct swimsim *sim, struct swimsim_packet *packet)
{
    struct swimsim_member *to = &sim->members[packet->to];
    struct pc_swim_msg msg;
    pc_err err = pc_wire_decode_swim(pc_slice_of(packet->bytes, packet->len), &msg);
    PC_ASSERT(err == PC_OK && to->swim != NULL);
    struct pc_swim_event event = {.type = PC_SWIM_RECV, .addr = addr_of(packet->from), .msg = &msg};
    step(sim, packet->to, &event);
}

static void arrive(struct swimsim *sim, struct swimsim_packet *packet)
{
    struct swimsim_member *to = &sim->members[packet->to];
    to->queued -= packet->in_socket;
    struct pc_instant at = runs_at(sim, to);
    bool waits = at.us > sim->now.us;
    if (to->swim == NULL || (waits && to->queued == SOCKET_MAX)) {
        free(packet);
        return;
    }
    if (waits) {
        packet->at = at;
        packet->in_socket = true;
        to->queued++;
        flying_push(sim, packet);
        return;
    }
    deliver(sim, packet);
    free(packet);
}

static void wake(struct swimsim *sim, size_t who)
{
    struct pc_instant at = runs_at(sim, &sim->members[who]);
    if (at.us > sim->now.us) {
        wakes_set(sim, who, at);
        return;
    }
    struct pc_swim_event event = {.type = PC_SWIM_WAKE};
    step(sim, who, &event);
}

bool swimsim_turn(struct swimsim *sim, struct pc_instant until)
{
    struct pc_instant wake_at = sim->wake_at[sim->wakes[0]];
    struct pc_instant packet_at = sim->flying_n > 0 ? sim->flying[0]->at : PC_INSTANT_NEVER;
    struct pc_instant at = pc_instant_min(wake_at, packet_at);
    if (at.us > until.us) {
        sim->now = until;
        return false;
    }
    sim->now.us = at.us > sim->now.us ? at.us : sim->now.us;
    if (packet_at.us <= wake_at.us) {
        arrive(sim, flying_pop(sim));
    } else {
        wake(sim, sim->wakes[0]);
    }
    return true;
}

void swimsim_crash(struct swimsim *sim, size_t victim)
{
    PC_ASSERT(sim->victim == sim->n);
    sim->victim = victim;
    sim->crashed_at = sim->now;
    pc_swim_delete(sim->members[victim].swim);
    sim->members[victim].swim = NULL;
    wakes_set(sim, victim, PC_INSTANT_NEVER);
    for (size_t i = 0; i < sim->n; i++) {
        const struct pc_swim *swim = sim->members[i].swim;
        const struct pc_member *view =
            swim != NULL ? pc_swim_find(swim, sim->members[victim].self.id) : NULL;
        if (view != NULL && view->state == PC_MEMBER_DEAD) {
            sim->known_at[i] = sim->now;
        }
    }
}

/* ---- setting up */
static void create_member(struct swimsim *sim, size_t i)
{
    struct swimsim_member *member = &sim->members[i];
    struct pc_member *self = &member->self;
    *self = (struct pc_member){.id = (pc_node_id)(i + 1) << ID_SHIFT,
        .addr = addr_of(i),
        .generation = GENERATION,
        .state = PC_MEMBER_ALIVE};
    (void)snprintf(self->name, sizeof self->name, "node%zu", i + 1);
    struct pc_swim_opts opts = sim->params->opts;
    opts.self = *self;
    opts.seed = pc_prng_next(&sim->net);
    member->swim = pc_swim_new(&opts, sim->now);
    member->starved = i >= sim->n - sim->params->starved;
    pc_prng_seed(&member->cpu, opts.seed + 1);
    member->go_at = sim->now;
    wakes_put(sim, i, i);
    sim->wake_at[i] = PC_INSTANT_NEVER;
}

/* Tells a member of all others, as in a cluster that formed long ago: nothing of it is news. */
static void introduce(struct swimsim *sim, size_t i)
{
    struct pc_swim *swim = sim->members[i].swim;
    struct pc_swim_msg msg = {.type = PC_SWIM_GOSSIP,
        .from = sim->members[i == 0 ? 1 : 0].self.id,
        .from_generation = GENERATION};
    struct pc_swim_event event = {
        .type = PC_SWIM_RECV, .now = sim->now, .addr = addr_of(i == 0), .msg = &msg};
    for (size_t k = 0; k < sim->n; k++) {
        if (k != i) {
            msg.updates[msg.updates_n] = sim->members[k].self;
            msg.updates[msg.updates_n++].incarnation = 1;
        }
        if (msg.updates_n == PC_SWIM_UPDATES_MAX || k + 1 == sim->n) {
            pc_swim_step(swim, &event, &sim->effects);
            sim->effects.out_n = sim->effects.changed_n = 0;
            msg.updates_n = 0;
        }
    }
    PC_ASSERT(swim->n == sim->n);
    for (size_t k = 0; k < swim->n; k++) {
        swim->peers[k].sent = pc_swim_transmit_limit(swim->n);
    }
    wakes_set(sim, i, pc_swim_wake_at(swim));
}

void swimsim_create(
    struct swimsim *sim, const struct swimsim_params *params, struct swimsim_result *result)
{
    PC_ASSERT(params->members >= 2 && params->members <= PC_MEMBERS_MAX);
    PC_ASSERT(params->starved < params->members);
    *sim = (struct swimsim){.params = params,
        .n = params->members,
        .victim = params->members,
        .now = {.us = 1000000},
        .result = result};
    pc_prng_seed(&sim->net, params->seed);
    sim->members = pc_xalloc(sim->n * sizeof *sim->members);
    sim->wakes = pc_xalloc(sim->n * sizeof *sim->wakes);
    sim->wake_at = pc_xalloc(sim->n * sizeof *sim->wake_at);
    sim->known_at = pc_xalloc(sim->n * sizeof *sim->known_at);
    for (size_t i = 0; i < sim->n; i++) {
        create_member(sim, i);
    }
    for (size_t i = 0; i < sim->n; i++) {
        introduce(sim, i);
    }
}

void swimsim_destroy(struct swimsim *sim)
{
    for (size_t i = 0; i < sim->n; i++) {
        pc_swim_delete(sim->members[i].swim);
    }
    for (size_t k = 0; k < sim->flying_n; k++) {
        free(sim->flying[k]);
    }
    free(sim->flying);
    free(sim->members);
    free(sim->wakes);
    free(sim->wake_at);
    free(sim->known_at);
    pc_buf_destroy(&sim->text);
    pc_swim_effects_destroy(&sim->effects);
}
