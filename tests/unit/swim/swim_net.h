/* swim_net.h: a cluster of SWIM machines in one process, with one clock and a bad network.
 *
 * Time jumps from event to event; everything follows from the seed. A node's life (its machine)
 * ends with a crash; its id, name, address and generation outlive it. After every step the machine
 * checks itself, and the net checks what only an onlooker can see. Functions are static so that
 * the tests of two modules may include it. */
#ifndef PC_TEST_SWIM_NET_H
#define PC_TEST_SWIM_NET_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/prng.h"
#include "pcache/swim.h"

#define NET_NODES_MAX 40
#define NET_INLINE static inline

struct net_packet {
    struct pc_instant at;
    uint64_t seq; /* of equal times the earlier sent */
    size_t from, to;
    struct pc_swim_msg msg;
};

struct net_node {
    struct pc_swim *swim; /* NULL = down */
    struct pc_member self;
    /* The last that this life has said of each node, for invariant 43. */
    uint64_t seen_generation[NET_NODES_MAX];
    uint32_t seen_incarnation[NET_NODES_MAX];
    struct pc_instant paused_until;
};

struct net {
    struct net_node nodes[NET_NODES_MAX];
    size_t n;
    struct pc_instant now;
    struct pc_prng prng;
    uint32_t loss_per_million;
    bool cut[NET_NODES_MAX][NET_NODES_MAX]; /* [from][to] */
    struct net_packet *flying;
    size_t flying_n, flying_cap;
    uint64_t packets;
    struct pc_swim_opts opts;
    struct pc_swim_effects effects;
    /* Members declared dead in the view of an up node while they were up: who may be one. */
    size_t false_deaths;
    void (*on_send)(const struct pc_swim_msg *msg, size_t packet_bytes_max);
};

NET_INLINE void net_create(struct net *net, size_t n, uint64_t seed)
{
    *net = (struct net){.n = n, .now = {.us = 1000000}};
    assert_true(n <= NET_NODES_MAX);
    pc_prng_seed(&net->prng, seed);
    pc_swim_opts_default(&net->opts);
    for (size_t i = 0; i < n; i++) {
        struct pc_member *self = &net->nodes[i].self;
        self->id = 1000 + 7 * i;
        (void)snprintf(self->name, sizeof self->name, "node%zu", i);
        char text[PC_ADDR_TEXT_MAX];
        (void)snprintf(text, sizeof text, "10.0.0.%zu:7946", i + 1);
        assert_ok(pc_addr_parse(text, &self->addr));
        self->generation = 100;
        self->state = PC_MEMBER_ALIVE;
    }
}

NET_INLINE void net_destroy(struct net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        pc_swim_delete(net->nodes[i].swim);
    }
    free(net->flying);
    pc_swim_effects_destroy(&net->effects);
}

NET_INLINE struct pc_addr net_addr(const struct net *net, size_t i)
{
    (void)net;
    struct pc_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = 7946};
    addr.ip[15] = (uint8_t)(i + 1);
    return addr;
}

NET_INLINE size_t net_at(const struct net *net, const struct pc_addr *addr)
{
    for (size_t i = 0; i < net->n; i++) {
        struct pc_addr own = net_addr(net, i);
        if (pc_addr_equal(&own, addr)) {
            return i;
        }
    }
    return net->n;
}

NET_INLINE void net_fly(struct net *net, size_t from, const struct pc_swim_out *out)
{
    size_t to = net_at(net, &out->to);
    net->packets++;
    if (net->on_send != NULL) {
        net->on_send(&out->msg, net->opts.packet_bytes_max);
    }
    bool lost = pc_prng_chance(&net->prng, net->loss_per_million);
    uint64_t delay_us = pc_prng_between(&net->prng, 200, 15000);
    if (to == net->n || lost || net->cut[from][to]) {
        return;
    }
    if (net->flying_n == net->flying_cap) {
        net->flying_cap = net->flying_cap == 0 ? 64 : net->flying_cap * 2;
        net->flying = realloc(net->flying, net->flying_cap * sizeof *net->flying);
        assert_non_null(net->flying);
    }
    net->flying[net->flying_n++] = (struct net_packet){.at = {net->now.us + delay_us},
        .seq = net->packets,
        .from = from,
        .to = to,
        .msg = out->msg};
}

NET_INLINE size_t net_of_id(const struct net *net, pc_node_id id)
{
    for (size_t i = 0; i < net->n; i++) {
        if (net->nodes[i].self.id == id) {
            return i;
        }
    }
    return net->n;
}

/* Invariant 43, seen from outside: no view is ahead of the member's own word, or goes back. */
NET_INLINE void net_check_views(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    const struct pc_member *members;
    size_t n = pc_swim_members(node->swim, &members);
    for (size_t k = 0; k < n; k++) {
        size_t who = net_of_id(net, members[k].id);
        if (who == net->n) {
            continue;
        }
        assert_true(members[k].generation >= node->seen_generation[who]);
        if (members[k].generation == node->seen_generation[who]) {
            assert_true(members[k].incarnation >= node->seen_incarnation[who]);
        }
        node->seen_generation[who] = members[k].generation;
        node->seen_incarnation[who] = members[k].incarnation;
        const struct net_node *subject = &net->nodes[who];
        if (subject->swim != NULL && members[k].generation == subject->self.generation) {
            const struct pc_member *own = pc_swim_find(subject->swim, subject->self.id);
            assert_true(members[k].incarnation <= own->incarnation);
        }
    }
}

NET_INLINE void net_step(struct net *net, size_t i, struct pc_swim_event *event)
{
    struct net_node *node = &net->nodes[i];
    event->now = net->now;
    pc_swim_step(node->swim, event, &net->effects);
    pc_swim_check(node->swim);
    for (size_t k = 0; k < net->effects.changed_n; k++) {
        const struct pc_member *changed = &net->effects.changed[k];
        size_t who = net_of_id(net, changed->id);
        if (changed->state == PC_MEMBER_DEAD && who < net->n && net->nodes[who].swim != NULL &&
            changed->generation == net->nodes[who].self.generation) {
            net->false_deaths++;
        }
    }
    for (size_t k = 0; k < net->effects.out_n; k++) {
        net_fly(net, i, &net->effects.out[k]);
    }
    net->effects.out_n = net->effects.changed_n = 0;
    net_check_views(net, i);
}

NET_INLINE void net_start(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    assert_null(node->swim);
    struct pc_swim_opts opts = net->opts;
    opts.self = node->self;
    opts.seed = pc_prng_next(&net->prng);
    node->swim = pc_swim_new(&opts, net->now);
    memset(node->seen_generation, 0, sizeof node->seen_generation);
    memset(node->seen_incarnation, 0, sizeof node->seen_incarnation);
}

NET_INLINE void net_crash(struct net *net, size_t i)
{
    pc_swim_delete(net->nodes[i].swim);
    net->nodes[i].swim = NULL;
    net->nodes[i].self.generation++;
}

NET_INLINE void net_join(struct net *net, size_t i, size_t seed)
{
    struct pc_swim_event event = {.type = PC_SWIM_JOIN, .addr = net_addr(net, seed)};
    net_step(net, i, &event);
}

NET_INLINE void net_event(struct net *net, size_t i, enum pc_swim_event_type type, pc_node_id id)
{
    struct pc_swim_event event = {.type = type, .id = id};
    net_step(net, i, &event);
}

NET_INLINE struct pc_instant net_wake_at(const struct net *net, size_t i)
{
    const struct net_node *node = &net->nodes[i];
    if (node->swim == NULL) {
        return PC_INSTANT_NEVER;
    }
    struct pc_instant at = pc_swim_wake_at(node->swim);
    return at.us > node->paused_until.us ? at : node->paused_until;
}

NET_INLINE bool net_earlier(const struct net_packet *a, const struct net_packet *b)
{
    return a->at.us != b->at.us ? a->at.us < b->at.us : a->seq < b->seq;
}

NET_INLINE void net_deliver(struct net *net, size_t k)
{
    struct net_packet packet = net->flying[k];
    net->flying[k] = net->flying[--net->flying_n];
    struct net_node *node = &net->nodes[packet.to];
    if (node->swim == NULL) {
        return;
    }
    if (node->paused_until.us > net->now.us) {
        packet.at = node->paused_until; /* waits in the socket */
        net->flying[net->flying_n++] = packet;
        return;
    }
    struct pc_swim_event event = {
        .type = PC_SWIM_RECV, .addr = net_addr(net, packet.from), .msg = &packet.msg};
    net_step(net, packet.to, &event);
}

/* Runs the earliest event if it is not after `until`; else moves the clock there. */
NET_INLINE bool net_turn(struct net *net, struct pc_instant until)
{
    struct pc_instant at = until;
    size_t packet = net->flying_n;
    size_t node = net->n;
    for (size_t i = 0; i < net->n; i++) {
        if (net_wake_at(net, i).us < at.us) {
            at = net_wake_at(net, i);
            node = i;
        }
    }
    for (size_t k = 0; k < net->flying_n; k++) {
        const struct net_packet *best = packet < net->flying_n ? &net->flying[packet] : NULL;
        if (net->flying[k].at.us < at.us || (best != NULL && net_earlier(&net->flying[k], best))) {
            at = net->flying[k].at;
            packet = k;
        }
    }
    net->now = at;
    if (packet < net->flying_n) {
        net_deliver(net, packet);
        return true;
    }
    if (node < net->n) {
        net_event(net, node, PC_SWIM_WAKE, 0);
        return true;
    }
    return false;
}

NET_INLINE void net_run(struct net *net, pc_ms ms)
{
    struct pc_instant until = pc_instant_add_ms(net->now, ms);
    while (net_turn(net, until)) {
    }
}

/* What node i holds of node k; 0 when it does not know it. */
NET_INLINE enum pc_member_state net_view(const struct net *net, size_t i, size_t k)
{
    const struct pc_member *member = pc_swim_find(net->nodes[i].swim, net->nodes[k].self.id);
    return member != NULL ? member->state : (enum pc_member_state)0;
}

NET_INLINE bool net_all_hold(const struct net *net, size_t k, enum pc_member_state state)
{
    for (size_t i = 0; i < net->n; i++) {
        if (i != k && net->nodes[i].swim != NULL && net_view(net, i, k) != state) {
            return false;
        }
    }
    return true;
}

/* All up nodes hold the same records of everybody. */
NET_INLINE bool net_converged(const struct net *net)
{
    const struct pc_member *first = NULL;
    size_t first_n = 0;
    size_t first_i = 0;
    for (size_t i = 0; i < net->n; i++) {
        if (net->nodes[i].swim == NULL) {
            continue;
        }
        if (first == NULL) {
            first_n = pc_swim_members(net->nodes[i].swim, &first);
            first_i = i;
        }
        const struct pc_member *members;
        if (pc_swim_members(net->nodes[i].swim, &members) != first_n) {
            return false;
        }
        for (size_t k = 0; k < first_n; k++) {
            const struct pc_member *a = pc_swim_find(net->nodes[first_i].swim, members[k].id);
            if (a == NULL || a->state != members[k].state ||
                a->generation != members[k].generation ||
                a->incarnation != members[k].incarnation ||
                !pc_addr_equal(&a->addr, &members[k].addr)) {
                return false;
            }
        }
    }
    return true;
}

/* Runs until every up node holds node k in `state`; the milliseconds it took. Fails after `max`. */
NET_INLINE pc_ms net_run_until_all_hold(
    struct net *net, size_t k, enum pc_member_state state, pc_ms max)
{
    struct pc_instant start = net->now;
    struct pc_instant until = pc_instant_add_ms(start, max);
    while (!net_all_hold(net, k, state)) {
        if (!net_turn(net, until)) {
            fail_msg("node%zu is not in state %d everywhere after %llu ms", k, (int)state,
                (unsigned long long)max);
        }
    }
    return pc_instant_ms_between(start, net->now);
}

/* Starts everybody, joins all to node 0, and waits until all know all. */
NET_INLINE void net_form(struct net *net)
{
    for (size_t i = 0; i < net->n; i++) {
        net_start(net, i);
    }
    for (size_t i = 1; i < net->n; i++) {
        net_join(net, i, 0);
    }
    for (size_t k = 0; k < net->n; k++) {
        (void)net_run_until_all_hold(net, k, PC_MEMBER_ALIVE, 10000);
    }
}

/* The completeness bound of invariant 46 for the options in use, in which local health is 1. */
NET_INLINE pc_ms net_death_bound_ms(const struct net *net)
{
    pc_ms rounds = 0;
    while ((UINT64_C(1) << rounds) < net->n + 1) {
        rounds++;
    }
    return (2 * net->n - 1) * net->opts.probe_interval_ms + net->opts.suspicion_max_ms +
           3 * rounds * net->opts.gossip_interval_ms + net->opts.push_pull_interval_ms;
}

#endif
