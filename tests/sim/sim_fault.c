/* Faults that strike: each class by itself, at times of its own. Those that are always there
 * (delay, loss, duplication, slow turns, drift) are in the parameters and drawn where they act. */
#include <inttypes.h>

#include "sim/sim_int.h"

static void schedule(struct pc_sim *sim, enum pc_sim_fault fault, uint64_t from_ms)
{
    uint64_t gap_us =
        sim_exponential_us(&sim->rng_class[fault], sim->params.fault_gap_ms[fault] * 1000);
    sim_at(
        sim, from_ms * 1000 + gap_us + 1000, (struct sim_event){.type = SIM_EV_FAULT, .a = fault});
}

void sim_fault_begin(struct pc_sim *sim)
{
    sim->chaos = true;
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        if (sim->params.fault[i] && pc_sim_fault_strikes((enum pc_sim_fault)i)) {
            schedule(sim, (enum pc_sim_fault)i, sim->params.faults_from_ms);
        }
    }
}

static struct sim_node *any_node(struct pc_sim *sim)
{
    return &sim->nodes[pc_prng_below(sim->rng_fault, sim->params.nodes_n)];
}

/* The leader in half of the cases: faults elsewhere change little. */
static struct sim_node *worthy_node(struct pc_sim *sim)
{
    int leader = pc_sim_leader(sim);
    return leader >= 0 && pc_prng_chance(sim->rng_fault, 500000) ? &sim->nodes[leader]
                                                                 : any_node(sim);
}

/* ---- lines */

static int *cuts_of(struct pc_sim *sim, uint32_t from, uint32_t to, bool streams)
{
    return streams ? &sim->stream_cuts[from][to] : &sim->cuts[from][to];
}

static void cut_for(struct pc_sim *sim, uint32_t from, uint32_t to, bool streams, uint64_t ms)
{
    if (from == to) {
        return;
    }
    (*cuts_of(sim, from, to, streams))++;
    sim_at(sim, ms * 1000,
        (struct sim_event){
            .type = SIM_EV_UNCUT, .node = from, .peer = to, .a = sim->heals * 2 + streams});
}

void sim_fault_cut(struct pc_sim *sim, uint32_t from, uint32_t to, uint64_t ms)
{
    cut_for(sim, from, to, false, ms);
}

void sim_fault_uncut(struct pc_sim *sim, const struct sim_event *event)
{
    if (event->a / 2 == sim->heals) {
        int *cuts = cuts_of(sim, event->node, event->peer, event->a % 2 == 1);
        PC_ASSERT(*cuts > 0);
        (*cuts)--;
    }
}

static void strike_one_way(struct pc_sim *sim, uint64_t ms)
{
    uint32_t from = worthy_node(sim)->index, to = any_node(sim)->index;
    if (from != to) {
        bool away = pc_prng_chance(sim->rng_fault, 500000);
        sim_trace_line(sim, "cut one way %s %s %s for %" PRIu64 " ms", sim->nodes[from].name,
            away ? "->" : "<-", sim->nodes[to].name, ms);
        sim_fault_cut(sim, away ? from : to, away ? to : from, ms);
    }
}

static void strike_partition(struct pc_sim *sim, uint64_t ms)
{
    static const char *const modes[] = {"split", "isolated", "deaf", "mute", "bridge"};
    uint32_t n = (uint32_t)sim->params.nodes_n;
    uint64_t mode = pc_prng_below(sim->rng_fault, 5);
    uint32_t one = worthy_node(sim)->index, two = any_node(sim)->index;
    uint64_t side = pc_prng_below(sim->rng_fault, UINT64_C(1) << n);
    /* Whom the gossip knows alive must not be alone: datagrams pass in some of those runs. */
    bool streams = sim->params.solo && pc_prng_chance(sim->rng_fault, 250000);
    sim->stats.partitions++;
    sim_trace_line(sim, "partition%s: %s, %s%s%s, for %" PRIu64 " ms", streams ? " of streams" : "",
        modes[mode], sim->nodes[one].name, mode == 4 ? " and " : "",
        mode == 4 ? sim->nodes[two].name : "", ms);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < n; j++) {
            bool cuts = mode == 0   ? (side >> i & 1) != (side >> j & 1)
                        : mode == 1 ? (i == one) != (j == one)
                        : mode == 2 ? j == one
                        : mode == 3 ? i == one
                                    : (i == one && j == two) || (i == two && j == one);
            if (cuts) {
                cut_for(sim, i, j, streams, ms);
            }
        }
    }
}

/* ---- processes */

static void strike_crash(struct pc_sim *sim, enum pc_sim_fs_crash how)
{
    struct sim_node *node = worthy_node(sim);
    if (node->node != NULL) {
        sim_node_crash(sim, node, how);
        sim_node_start_later(sim, node);
    }
}

static void strike_all_power(struct pc_sim *sim)
{
    sim_trace_line(sim, "power cut everywhere");
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        struct sim_node *node = &sim->nodes[i];
        enum pc_sim_fs_crash how =
            pc_prng_chance(sim->rng_fault, 500000) ? PC_SIM_FS_LOSE_ALL : PC_SIM_FS_POWER_CUT;
        if (node->node != NULL) {
            sim_node_crash(sim, node, how);
        } else {
            pc_sim_fs_crash(node->fs, how);
            node->disk.kept = node->disk.durable;
        }
        sim_node_start_later(sim, node);
    }
}

static void strike_pause(struct pc_sim *sim)
{
    struct sim_node *node = worthy_node(sim);
    if (node->node != NULL && !node->paused) {
        sim_node_pause(sim, node, pc_prng_between(sim->rng_fault, 1, sim->params.pause_max_ms));
    }
}

static void strike_transfer(struct pc_sim *sim)
{
    struct sim_node *node = worthy_node(sim);
    if (node->node == NULL || node->paused) {
        return;
    }
    struct pc_node_event event = {.type = PC_NODE_TRANSFER};
    bool any = pc_prng_chance(sim->rng_fault, 500000);
    event.u.transfer_target = any ? 0 : any_node(sim)->id;
    sim->stats.transfers += node->role == PC_RAFT_LEADER ? 1 : 0;
    sim_trace_line(sim, "%s is to hand leadership over", node->name);
    sim_node_step(sim, node, &event);
}

static void strike_spurious_lost(struct pc_sim *sim)
{
    struct sim_node *node = any_node(sim), *peer = worthy_node(sim);
    if (node->node == NULL || node->paused || peer == node) {
        return;
    }
    struct pc_node_event event = {.type = PC_NODE_PEER_LOST};
    event.u.peer = peer->id;
    sim_trace_line(sim, "%s is told that %s is lost", node->name, peer->name);
    sim_node_step(sim, node, &event);
}

static void strike_stop(struct pc_sim *sim)
{
    struct sim_node *node = worthy_node(sim);
    bool again = pc_prng_chance(sim->rng_fault, 100000);
    if (node->node == NULL || node->paused) {
        return;
    }
    if (sim->params.serene) {
        if (sim->is_serene && sim_stop_is_fine(sim)) {
            sim_stop_begin(sim, node);
        }
    } else if (node->stop == SIM_STOP_NONE) {
        sim_stop_begin(sim, node);
    } else if (again) {
        sim_stop_now(sim, node);
    }
}

/* ---- disks */

static void strike_disk(struct pc_sim *sim, uint64_t ms)
{
    struct sim_node *node = worthy_node(sim);
    node->disk.slow = true;
    sim_trace_line(sim, "%s: slow disk for %" PRIu64 " ms", node->name, ms);
    sim_at(sim, ms * 1000, (struct sim_event){.type = SIM_EV_FAST_DISK, .node = node->index});
}

static void strike_full(struct pc_sim *sim, uint64_t ms)
{
    struct sim_node *node = worthy_node(sim);
    if (node->node == NULL) {
        return;
    }
    uint64_t left = pc_prng_below(sim->rng_fault, 2 * sim->params.segment_bytes);
    bool none = pc_prng_chance(sim->rng_fault, 500000);
    pc_sim_fs_set_capacity(node->fs, none ? 1 : pc_sim_fs_used(node->fs) + left);
    sim_trace_line(sim, "%s: no space for %" PRIu64 " ms", node->name, ms);
    sim_at(sim, ms * 1000,
        (struct sim_event){.type = SIM_EV_SPACE, .node = node->index, .a = ++node->capacity_token});
}

void sim_fault_space(struct pc_sim *sim, struct sim_node *node, uint64_t token)
{
    if (node->capacity_token == token) {
        pc_sim_fs_set_capacity(node->fs, UINT64_MAX);
        sim_trace_line(sim, "%s: space again", node->name);
    }
}

static void strike_wall(struct pc_sim *sim)
{
    struct sim_node *node = any_node(sim);
    node->wall_offset_ms += (int64_t)pc_prng_below(sim->rng_fault, 7200000) - 3600000;
}

/* Something is said that nobody of the cluster has said, or not now. */
static void strike_words(struct pc_sim *sim, enum pc_sim_fault fault)
{
    if (fault == PC_SIM_FAULT_REPLAY) {
        sim_seal_replay(sim);
    } else if (fault == PC_SIM_FAULT_MALFORMED) {
        sim_malformed_tell(sim);
    } else {
        PC_ASSERT(fault == PC_SIM_FAULT_SWIM_LIES);
        sim_lies_tell(sim);
    }
}

void sim_fault_strike(struct pc_sim *sim, enum pc_sim_fault fault)
{
    if (!sim->chaos) {
        return;
    }
    sim->rng_fault = &sim->rng_class[fault];
    uint64_t ms = pc_prng_between(sim->rng_fault, 50, sim->params.partition_max_ms);
    switch (fault) {
    case PC_SIM_FAULT_ONE_WAY:
        strike_one_way(sim, ms);
        break;
    case PC_SIM_FAULT_PARTITION:
        strike_partition(sim, ms);
        break;
    case PC_SIM_FAULT_KILL:
        strike_crash(sim, PC_SIM_FS_KILL);
        break;
    case PC_SIM_FAULT_POWER_CUT:
        strike_crash(sim, PC_SIM_FS_POWER_CUT);
        break;
    case PC_SIM_FAULT_PAUSE:
        strike_pause(sim);
        break;
    case PC_SIM_FAULT_SLOW_DISK:
        strike_disk(sim, ms);
        break;
    case PC_SIM_FAULT_WALL_CLOCK:
        strike_wall(sim);
        break;
    case PC_SIM_FAULT_TRANSFER:
        strike_transfer(sim);
        break;
    case PC_SIM_FAULT_ALL_POWER_CUT:
        strike_all_power(sim);
        break;
    case PC_SIM_FAULT_SPURIOUS_LOST:
        strike_spurious_lost(sim);
        break;
    case PC_SIM_FAULT_WIPED:
        sim_member_lose_disk(sim);
        break;
    case PC_SIM_FAULT_MEMBERS:
        sim_member_strike(sim);
        break;
    case PC_SIM_FAULT_DEATH:
        sim_spare_strike(sim);
        break;
    case PC_SIM_FAULT_FLIP:
        sim_flip_strike(sim, worthy_node(sim));
        break;
    case PC_SIM_FAULT_PROTOCOLS:
        sim_protocol_strike(sim);
        break;
    case PC_SIM_FAULT_STOP:
        strike_stop(sim);
        break;
    case PC_SIM_FAULT_REPLAY:
    case PC_SIM_FAULT_MALFORMED:
    case PC_SIM_FAULT_SWIM_LIES:
        strike_words(sim, fault);
        break;
    default:
        PC_ASSERT(fault == PC_SIM_FAULT_LOG_FULL);
        strike_full(sim, ms * 2);
        break;
    }
    schedule(sim, fault, 0);
}

void sim_fault_end_at(struct pc_sim *sim, struct sim_node *node)
{
    sim_protocol_settle(sim, node);
    sim_medium_restore(sim, node);
    node->disk.slow = false;
    pc_sim_fs_set_capacity(node->fs, UINT64_MAX);
    pc_sim_fs_power_off_after(node->fs, UINT64_MAX / 2);
    sim_disk_arm(sim, node, false);
    if (node->node == NULL && !sim->failed) {
        sim_node_start(sim, node);
    } else if (node->paused) {
        sim_node_resume(sim, node);
    }
}

void sim_fault_end_all(struct pc_sim *sim)
{
    sim_trace_line(sim, "heal");
    sim->chaos = false;
    sim->heals++;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        for (size_t j = 0; j < sim->params.nodes_n; j++) {
            sim->cuts[i][j] = sim->stream_cuts[i][j] = 0;
        }
        sim_fault_end_at(sim, &sim->nodes[i]);
    }
    sim_net_hurry(sim);
}
