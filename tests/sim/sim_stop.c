/* A stop in order, step by step as the daemon does it (pcached/reactor_drain.c):
 *
 *   HAND_OVER   leadership goes to another voter; everything is still served
 *   ANNOUNCE    the balancer turns away little by little
 *   FINISH      nothing is accepted any more; what is in flight is answered
 *   gone        SWIM says goodbye, the log is written and synced, peers see the process end
 *
 * What was acknowledged is on disk before; that everything else that was written is, too, is shown
 * by cutting the power right afterwards. */
#include <inttypes.h>

#include "sim/sim_int.h"

#define POLL_US 10000
#define HAND_OVER_MS 1500
#define FINISH_MS 3000

static void move_to(struct pc_sim *sim, struct sim_node *node, enum sim_stop to)
{
    static const char *const words[] = {"", "hands over", "announces its end", "finishes"};
    sim_trace_line(sim, "%s %s", node->name, words[to]);
    node->stop = to;
    node->stop_since_us = sim->now_us;
}

static void poll_later(struct pc_sim *sim, const struct sim_node *node)
{
    sim_at(sim, POLL_US,
        (struct sim_event){.type = SIM_EV_STOP, .node = node->index, .life = node->life});
}

static size_t in_flight(const struct pc_sim *sim, const struct sim_node *node)
{
    size_t n = 0;
    for (size_t i = sim->ops_open_from; i < sim->ops_n; i++) {
        n += sim->ops[i].node == node->index && !sim->ops[i].done ? 1 : 0;
    }
    return n;
}

static void leave(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_swim_event goodbye = {.type = PC_SWIM_LEAVE};
    node->says_goodbye = true;
    sim_node_swim(sim, node, &goodbye);
    if (node->node != NULL && !sim->failed) {
        sim_node_turn(sim, node);
    }
    if (node->node == NULL || sim->failed || !sim_disk_finish(sim, node)) {
        return;
    }
    size_t unanswered = in_flight(sim, node);
    if (unanswered > 0 && sim->is_serene) {
        sim_fail(sim, PC_SIM_S1, "%s ends with %zu requests unanswered", node->name, unanswered);
    }
    sim_trace_line(sim, "%s ends", node->name);
    sim->stats.stops++;
    bool dark = pc_prng_chance(&sim->rng_life, 500000);
    sim_node_end(sim, node, dark ? PC_SIM_FS_LOSE_ALL : PC_SIM_FS_KILL, node->disk.durable);
    sim_node_start_later(sim, node);
}

void sim_stop_begin(struct pc_sim *sim, struct sim_node *node)
{
    if (node->stop != SIM_STOP_NONE || node->log_failed) {
        return;
    }
    move_to(sim, node, SIM_STOP_HAND_OVER);
    if (sim->params.plant == PC_SIM_PLANT_STOP_AT_ONCE) {
        leave(sim, node);
        return;
    }
    struct pc_node_event event = {.type = PC_NODE_DRAIN};
    sim_node_step(sim, node, &event);
    poll_later(sim, node);
}

/* A second signal skips what is left of the waiting. */
void sim_stop_now(struct pc_sim *sim, struct sim_node *node)
{
    if (node->stop != SIM_STOP_NONE && !node->log_failed) {
        leave(sim, node);
    }
}

void sim_stop_poll(struct pc_sim *sim, struct sim_node *node)
{
    uint64_t waited_ms = (sim->now_us - node->stop_since_us) / 1000;
    bool yields = sim->params.auto_shrink && !pc_node_may_stop(node->node);
    bool leads = (node->role == PC_RAFT_LEADER && sim->params.nodes_n > 1) || yields;
    if (node->log_failed) {
        return; /* it ends anyway */
    }
    if (node->stop == SIM_STOP_HAND_OVER && (!leads || waited_ms >= HAND_OVER_MS)) {
        move_to(sim, node, SIM_STOP_ANNOUNCE);
    } else if (node->stop == SIM_STOP_ANNOUNCE && waited_ms >= sim->params.drain_delay_ms) {
        move_to(sim, node, SIM_STOP_FINISH);
    } else if (node->stop == SIM_STOP_FINISH &&
               (in_flight(sim, node) == 0 || waited_ms >= FINISH_MS)) {
        leave(sim, node);
        return;
    }
    poll_later(sim, node);
}

/* Every node up, caught up and ready: when an operator may stop one. */
bool sim_stop_is_fine(const struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (node->node == NULL || node->stop != SIM_STOP_NONE) {
            return false;
        }
        struct pc_node_status status;
        pc_node_status(node->node, sim_node_now(sim, node), &status);
        if (!status.ready) {
            return false;
        }
    }
    return pc_sim_leader(sim) >= 0;
}
