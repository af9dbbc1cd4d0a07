/* The frozen rest (B.50 to B.52): a random majority, the core, is healed; the others stay as broken
 * as they are, or get worse: dead, standing still, cut off, deaf or mute. The core must come
 * together and serve as if they did not exist, and they must not disturb it.
 *
 *   chaos -> core heals, rest frozen -> core converged -> quiet window -> everybody heals
 *
 * No node outside has a line in both directions to one inside: it could then lead that part of the
 * core, rightly, and the rest of the core would wait. */
#include <inttypes.h>
#include <stdio.h>

#include "sim/sim_int.h"

#define ELECTION_MS 1000 /* the longest election timeout */
#define WINDOW_MS (3 * ELECTION_MS)
#define DISTURB_US 200000

static struct pc_prng *dice(struct pc_sim *sim)
{
    return &sim->rng_life;
}

/* ---- who is in, and what becomes of the others */

static void choose_core(struct pc_sim *sim)
{
    size_t n = sim->params.nodes_n, majority = n / 2 + 1, left = 0;
    for (size_t i = 0; i < n; i++) {
        sim->nodes[i].is_frozen = true;
        left += sim->nodes[i].is_lost ? 0 : 1;
    }
    PC_ASSERT(left >= majority);
    size_t max = left < n ? left : n - 1;
    size_t size = (size_t)pc_prng_between(dice(sim), majority, max > majority ? max : majority);
    while (size > 0) {
        struct sim_node *node = &sim->nodes[pc_prng_below(dice(sim), n)];
        if (node->is_frozen && !node->is_lost) {
            node->is_frozen = false;
            size--;
        }
    }
}

static void cut_off(struct pc_sim *sim, const struct sim_node *out)
{
    static const char *const words[] = {"cut off", "deaf", "mute", "deaf or mute, line by line"};
    uint64_t mode = pc_prng_below(dice(sim), 4);
    sim_trace_line(sim, "%s stays outside, %s", out->name, words[mode]);
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        bool hears = mode == 2 || (mode == 3 && pc_prng_chance(dice(sim), 500000));
        bool speaks = mode == 1 || (mode == 3 && !hears);
        if (!sim->nodes[i].is_frozen) {
            sim->cuts[i][out->index] = hears ? 0 : 1;
            sim->cuts[out->index][i] = speaks ? 0 : 1;
        }
    }
}

static void freeze(struct pc_sim *sim, struct sim_node *out)
{
    uint64_t fate = pc_prng_below(dice(sim), 10);
    if (out->node != NULL && fate < 2) {
        sim_node_crash(sim, out, PC_SIM_FS_POWER_CUT);
    } else if (out->node != NULL && fate < 4 && !out->paused) {
        sim_node_pause(sim, out, 1);
    }
    cut_off(sim, out);
}

static void heal_core(struct pc_sim *sim)
{
    sim->chaos = false;
    sim->heals++;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        for (size_t j = 0; j < sim->params.nodes_n; j++) {
            sim->cuts[i][j] = sim->stream_cuts[i][j] = 0;
        }
    }
    for (size_t i = 0; i < sim->params.nodes_n && !sim->failed; i++) {
        if (sim->nodes[i].is_frozen) {
            freeze(sim, &sim->nodes[i]);
        } else {
            sim_fault_end_at(sim, &sim->nodes[i]);
            sim_disk_measure(sim, &sim->nodes[i]); /* or it would take up to a second to be seen */
        }
    }
    sim_net_hurry(sim);
}

/* ---- the core, converged and undisturbed */

/* A write and a read on every node inside; returns the number of the first. */
static uint64_t ask_core(struct pc_sim *sim)
{
    uint64_t first = sim->ops_n + 1;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (!node->is_frozen && node->node != NULL && node->stop == SIM_STOP_NONE) {
            (void)pc_sim_write(sim, i, PC_OP_SET, i % sim->params.keys_n, 0);
            (void)pc_sim_read(sim, i, i % sim->params.keys_n, false);
        }
    }
    return first;
}

static pc_term core_term(const struct pc_sim *sim)
{
    pc_term term = 0;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (!node->is_frozen && node->node != NULL && node->term > term) {
            term = node->term;
        }
    }
    return term;
}

/* Planted: somebody outside answers the leader from a term ahead, again and again. */
static void disturb(struct pc_sim *sim)
{
    int leader = pc_sim_leader(sim);
    size_t out = 0;
    while (out < sim->params.nodes_n && !sim->nodes[out].is_frozen) {
        out++;
    }
    if (leader < 0 || out == sim->params.nodes_n) {
        return;
    }
    struct sim_node *node = &sim->nodes[leader];
    struct pc_msg msg = {.type = PC_MSG_RAFT, .from = sim->nodes[out].own_id, .to = node->id};
    msg.raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_APPEND_RESP, .from = msg.from, .to = node->id, .term = node->term + 1};
    struct pc_node_event event = {.type = PC_NODE_RECV};
    event.u.msg = &msg;
    sim_node_step(sim, node, &event);
}

static void watch_window(struct pc_sim *sim)
{
    pc_term before = core_term(sim);
    uint64_t first = ask_core(sim);
    uint64_t until_us = sim->now_us + WINDOW_MS * 1000;
    while (sim->now_us < until_us && !sim->failed) {
        if (sim->params.plant == PC_SIM_PLANT_OUTSIDER_DISTURBS) {
            disturb(sim);
        }
        pc_sim_run_for(sim, DISTURB_US / 1000);
    }
    uint64_t raises = core_term(sim) - before;
    sim->stats.window_raises += raises;
    if (raises > 1) {
        sim_fail(sim, PC_SIM_B52, "the term in the core went up %" PRIu64 " times in %d ms", raises,
            WINDOW_MS);
    }
    for (uint64_t tag = first; tag <= sim->ops_n && !sim->failed; tag++) {
        const struct sim_op *op = &sim->ops[tag - 1];
        bool answered =
            op->done && !op->died &&
            (op->result.status == PC_REPLY_OK || op->result.status == PC_REPLY_NOT_FOUND);
        if (!answered && raises == 0 && op->life == sim->nodes[op->node].life) {
            sim_fail(sim, PC_SIM_B50, "%s, in the core, did not do what it was asked: status %d",
                sim->nodes[op->node].name, (int)op->result.status);
        }
    }
}

void sim_core_run(struct pc_sim *sim)
{
    choose_core(sim);
    sim_trace_line(sim, "the core heals, the others do not");
    heal_core(sim);
    (void)ask_core(sim);
    uint64_t from_us = sim->now_us;
    if (sim_heal_converge(sim, "in the core")) {
        uint64_t took_ms = (sim->now_us - from_us) / 1000;
        sim->stats.cores++;
        sim->stats.core_ms_max = took_ms;
        sim_trace_line(sim, "the core has converged after %" PRIu64 " ms", took_ms);
        watch_window(sim);
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        sim->nodes[i].is_frozen = false;
    }
}
