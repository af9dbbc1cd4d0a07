/* Programs of different age in one cluster (C4). A program is the range of protocols that it
 * speaks; all else is this build: what an older one does not know is kept from it on the way, and
 * in its own log it refuses it, as the daemon does.
 *
 *   first 1       this build 1 to 2       next 1 to 3       far 3: nothing in common with the
 * others
 *
 * An operator rolls a program out, machine by machine; half-way he may think better of it, and roll
 * another one out. A machine whose program cannot read its log stays down until it gets another
 * one. In the end all run this build. */
#include <string.h>

#include "sim/sim_int.h"

static const struct pc_protocols programs[] = {{1, 1}, {1, 2}, {1, 3}, {3, 3}};
enum program { FIRST = 0, THIS, NEXT, FAR, PROGRAMS_N };

static struct pc_prng *dice(struct pc_sim *sim)
{
    return &sim->rng_class[PC_SIM_FAULT_PROTOCOLS];
}

static bool is_same(struct pc_protocols a, struct pc_protocols b)
{
    return a.min == b.min && a.max == b.max;
}

/* Where no request may fail: none that the others may have to shut out. */
static enum program any_program(struct pc_sim *sim)
{
    static const enum program all[] = {FIRST, FIRST, FIRST, THIS, THIS, THIS, NEXT, NEXT, FAR};
    enum program drawn = all[pc_prng_below(dice(sim), sizeof all / sizeof all[0])];
    return sim->params.serene && drawn != NEXT ? THIS : drawn;
}

void sim_protocol_begin(struct pc_sim *sim)
{
    if (!sim->ages) {
        return;
    }
    uint64_t kind = pc_prng_below(dice(sim), 10);
    sim->rolled_out = any_program(sim);
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        enum program mixed = (enum program)pc_prng_below(dice(sim), FAR);
        sim->nodes[i].installed = programs[kind < 5 ? FIRST : kind < 7 ? THIS : mixed];
    }
}

static void install(struct pc_sim *sim, struct sim_node *node, struct pc_protocols program)
{
    char text[16];
    pc_protocols_format(program, text);
    sim_trace_line(sim, "%s: a program of protocol %s is installed", node->name, text);
    sim->stats.programs_exchanged++;
    node->installed = program;
}

/* The next machine that has not got it, in the order of a roll. */
static struct sim_node *next_to_get(struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        struct sim_node *node = &sim->nodes[(sim->rolled_from + i) % sim->params.nodes_n];
        if (!node->is_absent && !is_same(node->installed, programs[sim->rolled_out])) {
            return node;
        }
    }
    return NULL;
}

static void restart(struct pc_sim *sim, struct sim_node *node)
{
    uint64_t how = pc_prng_below(dice(sim), 10);
    if (node->node == NULL) {
        if (node->is_unreadable) {
            sim_node_start_later(sim, node);
        }
    } else if (sim->params.serene || (how < 6 && !node->paused)) {
        sim_stop_begin(sim, node);
    } else {
        sim_node_crash(sim, node, how < 8 ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
        sim_node_start_later(sim, node);
    }
}

void sim_protocol_strike(struct pc_sim *sim)
{
    bool may = !sim->params.serene || (sim->is_serene && sim_stop_is_fine(sim));
    bool thinks_better = pc_prng_chance(dice(sim), 100000);
    if (!may) {
        return;
    }
    if (thinks_better || next_to_get(sim) == NULL) {
        sim->rolled_out = any_program(sim);
        sim->rolled_from = (size_t)pc_prng_below(dice(sim), sim->params.nodes_n);
    }
    struct sim_node *node = next_to_get(sim);
    if (node != NULL) {
        install(sim, node, programs[sim->rolled_out]);
        restart(sim, node);
    }
}

void sim_protocol_renew(struct pc_sim *sim, struct sim_node *node)
{
    if (sim->ages && sim->chaos && pc_prng_chance(dice(sim), 500000)) {
        install(sim, node, programs[any_program(sim)]);
    }
}

void sim_protocol_settle(struct pc_sim *sim, struct sim_node *node)
{
    if (!sim->ages) {
        return;
    }
    node->installed = pc_protocols_spoken();
    if (node->node != NULL && !is_same(node->speaks, node->installed)) {
        sim->is_serene = false;
        for (size_t i = sim->ops_open_from; i < sim->ops_n; i++) {
            sim->ops[i].is_serene = false;
        }
        sim_node_crash(sim, node, PC_SIM_FS_KILL);
    }
}

void sim_protocol_unreadable(struct pc_sim *sim, struct sim_node *node, const char *text)
{
    PC_ASSERT(node->node == NULL);
    sim_trace_line(sim, "%s refuses its log: %s", node->name, text);
    sim->stats.unreadable_logs++;
    node->is_unreadable = true;
    bool is_named = strstr(text, "is written in protocol ") != NULL &&
                    strstr(text, "and this program speaks ") != NULL;
    if (!sim->ages || !is_named) {
        sim_fail(sim, PC_SIM_P2, "%s refuses its log: %s", node->name, text);
    }
}

void sim_protocol_exit(struct pc_sim *sim, struct sim_node *node)
{
    char text[sizeof node->refusal];
    memcpy(text, node->refusal, sizeof text);
    sim_node_crash(sim, node, PC_SIM_FS_KILL);
    sim_protocol_unreadable(sim, node, text);
}

void sim_protocol_died(const struct pc_sim *sim, struct sim_node *node)
{
    if (node->speaks.max < PC_PROTOCOL_CONDITIONS) {
        node->older_until_us = sim->now_us;
    }
}

/* ---- by hand */

void pc_sim_install(struct pc_sim *sim, size_t node, struct pc_protocols program)
{
    PC_ASSERT(sim->ages);
    install(sim, &sim->nodes[node], program);
}

bool pc_sim_cannot_read(const struct pc_sim *sim, size_t node)
{
    return sim->nodes[node].is_unreadable;
}
