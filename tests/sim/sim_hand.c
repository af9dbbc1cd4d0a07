/* Scenarios by hand: what a test may do to a cluster, and what it may ask. */
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

uint64_t pc_sim_now_ms(const struct pc_sim *sim)
{
    return sim->now_us / 1000;
}

const struct pc_sim_params *pc_sim_params(const struct pc_sim *sim)
{
    return &sim->params;
}

void pc_sim_start(struct pc_sim *sim, size_t node)
{
    PC_ASSERT(node < sim->params.nodes_n && sim->nodes[node].node == NULL);
    sim_node_start(sim, &sim->nodes[node]);
}

void pc_sim_crash(struct pc_sim *sim, size_t node, enum pc_sim_fs_crash how)
{
    PC_ASSERT(node < sim->params.nodes_n);
    if (sim->nodes[node].node != NULL) {
        sim_node_crash(sim, &sim->nodes[node], how);
    }
}

void pc_sim_wipe(struct pc_sim *sim, size_t index)
{
    struct sim_node *node = &sim->nodes[index];
    PC_ASSERT(node->node == NULL);
    sim_medium_wipe(sim, node);
}

void pc_sim_lose_log(struct pc_sim *sim, size_t node)
{
    sim_medium_lose(sim, &sim->nodes[node], true);
}

void pc_sim_lose_identity(struct pc_sim *sim, size_t node)
{
    sim_medium_lose(sim, &sim->nodes[node], false);
}

void pc_sim_swap_disks(struct pc_sim *sim, size_t node, size_t with_other)
{
    sim_medium_swap(sim, &sim->nodes[node], &sim->nodes[with_other]);
}

void pc_sim_own_disk(struct pc_sim *sim, size_t index)
{
    struct sim_node *node = &sim->nodes[index];
    node->is_lost = false;
    sim_medium_restore(sim, node);
}

void pc_sim_keep_copy(struct pc_sim *sim, size_t node)
{
    sim_medium_keep_copy(&sim->nodes[node]);
}

void pc_sim_put_copy(struct pc_sim *sim, size_t node)
{
    sim_medium_put_copy(sim, &sim->nodes[node]);
}

void pc_sim_fail_call(struct pc_sim *sim, size_t node, enum pc_sim_fs_op op, uint64_t skip)
{
    pc_sim_fs_fail(sim->nodes[node].fs, op, skip, PC_E_IO);
}

void pc_sim_cut_power(struct pc_sim *sim, size_t node, uint64_t calls)
{
    pc_sim_fs_power_off_after(sim->nodes[node].fs, calls);
}

bool pc_sim_damage_log(struct pc_sim *sim, size_t node)
{
    PC_ASSERT(sim->nodes[node].node == NULL && sim->params.rot_ppm > 0);
    return sim_rot_now(&sim->nodes[node], false);
}

bool pc_sim_damage_front(struct pc_sim *sim, size_t node)
{
    PC_ASSERT(sim->nodes[node].node == NULL);
    return sim_rot_now(&sim->nodes[node], true);
}

bool pc_sim_damage_snapshot(struct pc_sim *sim, size_t node)
{
    PC_ASSERT(sim->nodes[node].node == NULL);
    return sim_rot_snap_now(sim, &sim->nodes[node]);
}

bool pc_sim_has_refused(const struct pc_sim *sim, size_t node)
{
    return sim->nodes[node].has_refused;
}

void pc_sim_renew(struct pc_sim *sim, size_t index)
{
    struct sim_node *node = &sim->nodes[index];
    PC_ASSERT(node->node == NULL);
    sim_medium_renew(sim, node);
    node->joins = true;
    node->is_absent = false;
}

void pc_sim_old_disk(struct pc_sim *sim, size_t from, size_t into)
{
    sim_medium_old_disk(sim, &sim->nodes[from], &sim->nodes[into]);
}

const struct pc_cluster_config *pc_sim_members(const struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    return config != NULL ? &config->members : NULL;
}

void pc_sim_cut(struct pc_sim *sim, size_t from, size_t to, bool cut)
{
    PC_ASSERT(from != to && from < sim->params.nodes_n && to < sim->params.nodes_n);
    sim->cuts[from][to] = cut ? 1 : 0;
    sim_trace_line(
        sim, "%s -> %s %s", sim->nodes[from].name, sim->nodes[to].name, cut ? "cut" : "joined");
}

void pc_sim_cut_streams(struct pc_sim *sim, size_t a, size_t b, bool cut)
{
    PC_ASSERT(a != b && a < sim->params.nodes_n && b < sim->params.nodes_n);
    sim->stream_cuts[a][b] = sim->stream_cuts[b][a] = cut ? 1 : 0;
    sim_trace_line(sim, "streams of %s and %s %s", sim->nodes[a].name, sim->nodes[b].name,
        cut ? "cut" : "joined");
}

void pc_sim_space(struct pc_sim *sim, size_t node, bool is_there)
{
    pc_sim_fs_set_capacity(sim->nodes[node].fs, is_there ? UINT64_MAX : 1);
    sim_trace_line(sim, "%s: space %s", sim->nodes[node].name, is_there ? "again" : "is gone");
}

void pc_sim_stop(struct pc_sim *sim, size_t node)
{
    sim_stop_begin(sim, &sim->nodes[node]);
}

void pc_sim_stop_again(struct pc_sim *sim, size_t node)
{
    sim_stop_now(sim, &sim->nodes[node]);
}

void pc_sim_transfer(struct pc_sim *sim, size_t node, size_t target)
{
    struct pc_node_event event = {.type = PC_NODE_TRANSFER};
    event.u.transfer_target = sim->nodes[target].id;
    sim_node_step(sim, &sim->nodes[node], &event);
}

int pc_sim_leader(const struct pc_sim *sim)
{
    int leader = -1;
    pc_term term = 0;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (sim->nodes[i].node == NULL) {
            continue;
        }
        struct pc_raft_status status;
        pc_raft_status(pc_node_raft(sim->nodes[i].node), &status);
        if (status.leader_ready && status.term > term) {
            leader = (int)i;
            term = status.term;
        }
    }
    return leader;
}

bool pc_sim_is_up(const struct pc_sim *sim, size_t node)
{
    return sim->nodes[node].node != NULL;
}

const struct pc_node *pc_sim_node(const struct pc_sim *sim, size_t node)
{
    return sim->nodes[node].node;
}

const char *pc_sim_refusal(const struct pc_sim *sim, size_t node)
{
    return sim->nodes[node].refusal;
}

pc_node_id pc_sim_node_id(const struct pc_sim *sim, size_t node)
{
    return sim->nodes[node].id;
}

uint64_t pc_sim_now_us_at(const struct pc_sim *sim, size_t node)
{
    return sim_node_now(sim, &sim->nodes[node]).us;
}
