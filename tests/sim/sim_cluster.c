/* The run: one loop takes the next event and gives it to whom it concerns. Everything else is in
 * the file named after it. Each subsystem has dice of its own, so that a change in one leaves the
 * draws of the others as they were. */
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

void sim_at(struct pc_sim *sim, uint64_t delay_us, struct sim_event event)
{
    event.at_us = sim->now_us + delay_us;
    sim_queue_push(&sim->queue, event);
}

/* -ln(u) from a table of eighths would do; the number of leading zeros of a random word is
 * geometric, and with a uniform part in between that is close enough, in integers. */
uint64_t sim_exponential_us(struct pc_prng *rng, uint64_t mean_us)
{
    if (mean_us == 0) {
        return 0;
    }
    uint64_t word = pc_prng_next(rng) | 1;
    uint64_t doublings = 0;
    while ((word >> 63) == 0 && doublings < 28) {
        word <<= 1;
        doublings++;
    }
    /* Each doubling stands for ln 2 = 0.693 of the mean. */
    uint64_t part = pc_prng_below(rng, 693);
    return (doublings * 693 + part) * mean_us / 1000;
}

void sim_event_drop(struct sim_event *event)
{
    if (event->type == SIM_EV_LOOSE || event->type == SIM_EV_DATAGRAM) {
        sim_packet_free(event->data);
    } else {
        free(event->data);
    }
    event->data = NULL;
}

struct pc_sim *pc_sim_new(const struct pc_sim_params *params)
{
    PC_ASSERT(params->nodes_n >= 1 && params->nodes_n <= PC_SIM_NODES_MAX);
    PC_ASSERT(params->keys_n >= 1 && params->keys_n <= PC_SIM_KEYS_MAX);
    PC_ASSERT(params->clients_n <= PC_SIM_CLIENTS_MAX);
    struct pc_sim *sim = pc_xalloc(sizeof *sim);
    sim->params = *params;
    pc_prng_seed(&sim->rng_net, params->seed * 8 + 1);
    pc_prng_seed(&sim->rng_disk, params->seed * 8 + 2);
    pc_prng_seed(&sim->rng_life, params->seed * 8 + 3);
    pc_prng_seed(&sim->rng_client, params->seed * 8 + 4);
    sim_params_seed(&sim->rng_snap, params->seed, "snap");
    sim_params_seed(&sim->rng_condition, params->seed, "condition");
    sim_params_seed(&sim->rng_branch, params->seed, "branch");
    pc_prng_seed(&sim->rng_node, params->seed * 8 + 5);
    sim_params_seed(&sim->rng_rot, params->seed, "ROT");
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        sim_params_seed(&sim->rng_class[i], params->seed, pc_sim_fault_name((enum pc_sim_fault)i));
    }
    sim->rng_fault = &sim->rng_class[0];
    sim_ghost_create(&sim->ghost);
    PC_ASSERT(sim_founders(params) <= PC_SIM_FOUNDERS_MAX);
    for (uint32_t i = 0; i < params->nodes_n; i++) {
        sim_node_create(sim, i);
    }
    sim->ages = params->fault[PC_SIM_FAULT_PROTOCOLS];
    return sim;
}

void pc_sim_delete(struct pc_sim *sim)
{
    if (sim == NULL) {
        return;
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        sim_node_destroy(sim, &sim->nodes[i]);
    }
    for (size_t i = 0; i < sim->attic_n; i++) {
        sim_medium_destroy(&sim->attic[i]);
    }
    free(sim->attic);
    struct sim_event event;
    while (sim_queue_pop(&sim->queue, &event)) {
        sim_event_drop(&event);
    }
    sim_net_clear(sim);
    sim_seal_forget(sim);
    sim_ghost_destroy(&sim->ghost);
    sim_config_destroy(sim);
    free(sim->queue.v);
    free(sim->ops);
    free(sim);
}

/* Events that a process sees only when it runs. */
static bool waits_for_process(enum sim_event_type type)
{
    switch (type) {
    case SIM_EV_WAKE:
    case SIM_EV_TURN:
    case SIM_EV_LINK:
    case SIM_EV_LOOSE:
    case SIM_EV_DATAGRAM:
    case SIM_EV_LOST:
    case SIM_EV_JOIN:
    case SIM_EV_DISK_SYNC:
    case SIM_EV_DISK_WRITE:
    case SIM_EV_LOAD:
    case SIM_EV_SNAP:
    case SIM_EV_BRANCH:
    case SIM_EV_LIFE:
    case SIM_EV_REQUEST:
    case SIM_EV_UNREADABLE:
    case SIM_EV_EXIT:
    case SIM_EV_STOP:
        return true;
    default:
        return false;
    }
}

static void defer(struct sim_node *node, const struct sim_event *event)
{
    if (node->deferred_n == node->deferred_cap) {
        node->deferred_cap = node->deferred_cap == 0 ? 64 : node->deferred_cap * 2;
        node->deferred = pc_xrealloc(node->deferred, node->deferred_cap * sizeof *node->deferred);
    }
    node->deferred[node->deferred_n++] = *event;
}

static void join_others(struct pc_sim *sim, struct sim_node *node)
{
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        const struct pc_member *known = pc_swim_find(pc_node_swim(node->node), sim->nodes[i].id);
        if (i == node->index || (known != NULL && known->state == PC_MEMBER_ALIVE)) {
            continue;
        }
        struct pc_swim_event join = {.type = PC_SWIM_JOIN, .addr = sim_node_addr(i)};
        sim_node_swim(sim, node, &join);
        if (node->node == NULL) {
            return;
        }
    }
    sim_at(sim, 1000000,
        (struct sim_event){.type = SIM_EV_JOIN, .node = node->index, .life = node->life});
}

static void dispatch_node(struct pc_sim *sim, struct sim_node *node, struct sim_event *event)
{
    switch (event->type) {
    case SIM_EV_WAKE:
        sim_node_wake(sim, node);
        break;
    case SIM_EV_TURN:
        sim_node_turn(sim, node);
        break;
    case SIM_EV_LINK:
        sim_net_link(sim, event);
        break;
    case SIM_EV_LOOSE:
        sim_net_loose(sim, node, event->peer, event->data);
        break;
    case SIM_EV_DATAGRAM:
        sim_udp_recv(sim, node, event->peer, event->data);
        break;
    case SIM_EV_LOST:
        sim_net_lost(sim, node, event);
        break;
    case SIM_EV_JOIN:
        join_others(sim, node);
        break;
    case SIM_EV_DISK_WRITE:
        sim_disk_write(sim, node);
        break;
    case SIM_EV_DISK_SYNC:
        sim_disk_sync(sim, node);
        break;
    case SIM_EV_LOAD:
        sim_disk_load(sim, node, event->data);
        break;
    case SIM_EV_SNAP:
        sim_snap_act(sim, node);
        break;
    case SIM_EV_BRANCH:
        sim_branch_act(sim, node);
        break;
    case SIM_EV_LIFE:
        sim_note_life(sim, node, event->data);
        break;
    case SIM_EV_UNREADABLE:
        sim_protocol_exit(sim, node);
        break;
    case SIM_EV_EXIT:
        sim_disk_exit(sim, node);
        break;
    case SIM_EV_STOP:
        sim_stop_poll(sim, node);
        break;
    default:
        PC_ASSERT(event->type == SIM_EV_REQUEST);
        sim_client_request(sim, node, event->a);
        break;
    }
}

#define MONITOR_US 200000

static void monitor(struct pc_sim *sim)
{
    sim_client_check_hang(sim);
    if (sim->params.serene && !sim->is_serene) {
        sim->is_serene = sim_stop_is_fine(sim);
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (sim->nodes[i].node != NULL) {
            if (sim->nodes[i].flip.body == NULL) {
                pc_node_check(sim->nodes[i].node);
            }
            sim_flip_look(sim, &sim->nodes[i], MONITOR_US);
            sim_check_swim(sim, &sim->nodes[i]);
            sim_check_caps(sim, &sim->nodes[i]);
        }
        if (sim->now_us / MONITOR_US % 5 == i % 5) {
            sim_disk_measure(sim, &sim->nodes[i]);
        }
    }
    sim_config_check_all(sim);
    sim_at(sim, MONITOR_US, (struct sim_event){.type = SIM_EV_MONITOR});
}

/* What would make a broken node better. */
static bool mends(enum sim_event_type type)
{
    return type == SIM_EV_START || type == SIM_EV_RESUME || type == SIM_EV_FAST_DISK ||
           type == SIM_EV_SPACE || type == SIM_EV_OWN_DISK;
}

static void dispatch_world(struct pc_sim *sim, struct sim_event *event)
{
    struct sim_node *node = &sim->nodes[event->node];
    if (node->is_frozen && mends(event->type)) {
        node->start_pending = node->start_pending && event->type != SIM_EV_START;
        return;
    }
    switch (event->type) {
    case SIM_EV_START:
        node->start_pending = false;
        if (node->node == NULL) {
            sim_node_start(sim, node);
        }
        break;
    case SIM_EV_RESUME:
        if (node->paused && node->pause_token == event->a) {
            sim_node_resume(sim, node);
        }
        break;
    case SIM_EV_CONNECT:
        sim_net_connect(sim, event);
        break;
    case SIM_EV_CLIENT:
        sim_client_act(sim, (size_t)event->a);
        break;
    case SIM_EV_PHASE:
        sim_client_phase(sim);
        break;
    case SIM_EV_FAULT:
        sim_fault_strike(sim, (enum pc_sim_fault)event->a);
        break;
    case SIM_EV_UNCUT:
        sim_fault_uncut(sim, event);
        break;
    case SIM_EV_FAST_DISK:
        node->disk.slow = false;
        break;
    case SIM_EV_SPACE:
        sim_fault_space(sim, node, event->a);
        break;
    case SIM_EV_MACHINE:
        sim_member_machine(sim, node, (enum pc_member_op)event->a);
        break;
    case SIM_EV_OWN_DISK:
        if (node->exchange == event->a) {
            sim_medium_restore(sim, node);
            sim_node_start_later(sim, node);
        }
        break;
    default:
        PC_ASSERT(event->type == SIM_EV_MONITOR);
        monitor(sim);
        break;
    }
}

static void dispatch(struct pc_sim *sim, struct sim_event *event)
{
    struct sim_node *node = &sim->nodes[event->node];
    bool stale = event->life != 0 && event->life != node->life;
    if (!waits_for_process(event->type)) {
        dispatch_world(sim, event);
    } else if (!stale && node->node != NULL && node->paused) {
        defer(node, event);
        event->data = NULL;
    } else if (!stale && node->node != NULL) {
        dispatch_node(sim, node, event);
    }
    sim_event_drop(event);
}

static bool advance(struct pc_sim *sim, uint64_t until_us)
{
    if (sim->failed || sim->queue.n == 0 || sim->queue.v[0].at_us > until_us) {
        return false;
    }
    struct sim_event event;
    (void)sim_queue_pop(&sim->queue, &event);
    PC_ASSERT(event.at_us >= sim->now_us);
    sim->now_us = event.at_us;
    sim->stats.events++;
    sim_trace_mix(sim, event.at_us);
    sim_trace_mix(sim, (uint64_t)event.type << 48 | (uint64_t)event.node << 40 |
                           (uint64_t)event.peer << 32 | (event.a & UINT32_MAX));
    dispatch(sim, &event);
    return true;
}

void pc_sim_run_for(struct pc_sim *sim, uint64_t ms)
{
    uint64_t until_us = sim->now_us + ms * 1000;
    if (!sim->monitoring) {
        sim->monitoring = true;
        sim_at(sim, 0, (struct sim_event){.type = SIM_EV_MONITOR});
    }
    while (advance(sim, until_us)) {
    }
    if (!sim->failed) {
        sim->now_us = until_us;
    }
}

bool pc_sim_run_until(
    struct pc_sim *sim, bool (*done)(struct pc_sim *sim, void *arg), void *arg, uint64_t ms)
{
    uint64_t until_us = sim->now_us + ms * 1000;
    while (!sim->failed) {
        if (done(sim, arg)) {
            return true;
        }
        if (sim->now_us >= until_us) {
            return false;
        }
        pc_sim_run_for(sim, 5);
    }
    return false;
}

void pc_sim_run(struct pc_sim *sim)
{
    sim_protocol_begin(sim);
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        sim->nodes[i].start_pending = true;
        sim_at(sim, pc_prng_below(&sim->rng_node, 200000),
            (struct sim_event){.type = SIM_EV_START, .node = i});
    }
    pc_sim_clients(sim, true);
    sim_fault_begin(sim);
    pc_sim_run_for(sim, sim->params.chaos_ms);
    pc_sim_heal(sim);
}

void pc_sim_heal(struct pc_sim *sim)
{
    if (!sim->failed) {
        pc_sim_clients(sim, false);
        bool is_formed = sim->ghost.last > 0; /* that takes all members */
        if (sim->params.frozen_rest && is_formed) {
            sim_core_run(sim);
        }
    }
    if (!sim->failed) {
        sim_fault_end_all(sim);
        sim_heal_and_verify(sim);
    }
    if (!sim->failed && sim->params.deaths) {
        sim_spare_run(sim);
        if (!sim->failed) {
            sim_fault_end_all(sim);
            sim_heal_and_verify(sim);
        }
    }
}
