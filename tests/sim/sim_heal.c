/* After the faults: the cluster must come together by itself (B.50), and everything that was
 * acknowledged must be readable on every node (B.34). */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim_int.h"

struct why {
    char text[160];
};

static bool swim_agrees(const struct pc_sim *sim, const struct sim_node *node, struct why *why)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *other = &sim->nodes[i];
        if (!sim_member_counts(sim, other) || other->is_frozen) {
            continue;
        }
        const struct pc_member *seen = pc_swim_find(pc_node_swim(node->node), other->id);
        if (seen == NULL || seen->state != PC_MEMBER_ALIVE ||
            seen->generation != other->generation) {
            (void)snprintf(
                why->text, sizeof why->text, "%s does not see %s alive", node->name, other->name);
            return false;
        }
    }
    return true;
}

/* Does this node agree with the leader in term, log and state? */
static bool log_agrees(const struct sim_node *node, const struct sim_node *leader, struct why *why)
{
    struct pc_raft_status mine, theirs;
    pc_raft_status(pc_node_raft(node->node), &mine);
    pc_raft_status(pc_node_raft(leader->node), &theirs);
    struct pc_hash digest = pc_store_digest(pc_node_store(node->node));
    struct pc_hash wanted = pc_store_digest(pc_node_store(leader->node));
    bool same = node->applied == mine.last && mine.term == theirs.term &&
                mine.leader == leader->id && node->applied == leader->applied &&
                mine.last == theirs.last && theirs.commit == theirs.last &&
                pc_hash_equal(&digest, &wanted);
    if (!same) {
        (void)snprintf(why->text, sizeof why->text,
            "%s (term %" PRIu64 ", applied %" PRIu64 ", last %" PRIu64
            ") is behind %s (term %" PRIu64 ", applied %" PRIu64 ", last %" PRIu64 ")",
            node->name, mine.term, node->applied, mine.last, leader->name, theirs.term,
            leader->applied, theirs.last);
    }
    return same;
}

/* A log that was full looks for space now and then, not at once. */
static bool has_space(struct pc_sim *sim, const struct sim_node *node, struct why *why)
{
    struct pc_node_status status;
    pc_node_status(node->node, sim_node_now(sim, node), &status);
    if (status.log_full) {
        (void)snprintf(why->text, sizeof why->text, "%s still has a full log", node->name);
    }
    bool is_alone = sim->params.solo && strcmp(status.solo.state, "waiting") != 0;
    if (is_alone) {
        (void)snprintf(why->text, sizeof why->text, "%s still has a branch", node->name);
    }
    return !status.log_full && !is_alone;
}

static bool is_converged(struct pc_sim *sim, void *arg)
{
    struct why *why = arg;
    int leader = pc_sim_leader(sim);
    if (leader < 0 || sim->nodes[leader].is_frozen) {
        (void)snprintf(why->text, sizeof why->text, "there is no leader");
        return false;
    }
    sim_member_tend(sim);
    const char *unsettled = sim_member_unsettled(sim);
    if (unsettled != NULL) {
        (void)snprintf(why->text, sizeof why->text, "%s", unsettled);
        return false;
    }
    if (!sim_client_all_done(sim)) {
        (void)snprintf(why->text, sizeof why->text, "requests are not answered");
        return false;
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (!sim_member_counts(sim, node) || node->is_frozen) {
            continue;
        }
        if (node->node == NULL || node->stop != SIM_STOP_NONE || node->log_failed) {
            (void)snprintf(why->text, sizeof why->text, "%s is down, or stops", node->name);
            return false;
        }
        if (!pc_sim_is_sound(sim, i)) {
            (void)snprintf(
                why->text, sizeof why->text, "the memory of %s is not sound", node->name);
            return false;
        }
        bool lied = sim->params.fault[PC_SIM_FAULT_SWIM_LIES];
        if (!has_space(sim, node, why) || !log_agrees(node, &sim->nodes[leader], why) ||
            (!lied && !swim_agrees(sim, node, why))) {
            return false;
        }
    }
    return true;
}

static bool reads_done(struct pc_sim *sim, void *arg)
{
    (void)arg;
    return sim_client_all_done(sim);
}

/* Every key on every node; sim_check_reply compares each with the ghost. */
static void read_everything(struct pc_sim *sim)
{
    size_t first = sim->ops_n;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        bool counts =
            sim_member_counts(sim, &sim->nodes[i]) && sim_check_spare_serves(sim, &sim->nodes[i]);
        for (size_t key = 0; key < sim->params.keys_n && counts; key++) {
            (void)pc_sim_read(sim, i, key, false);
        }
    }
    bool done = pc_sim_run_until(sim, reads_done, NULL, 5000);
    for (size_t i = first; i < sim->ops_n && done; i++) {
        enum pc_reply_status status = sim->ops[i].result.status;
        if (status != PC_REPLY_OK && status != PC_REPLY_NOT_FOUND) {
            sim_fail(sim, PC_SIM_B34, "key %zu cannot be read on %s in the end: status %d",
                sim->ops[i].key, sim->nodes[sim->ops[i].node].name, (int)status);
        }
    }
}

static void check_acknowledged(struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        bool has_all =
            node->applied >= sim->ghost.acked_max && node->mem.last >= sim->ghost.acked_max;
        if (sim_member_counts(sim, node) && !has_all) {
            sim_fail(sim, PC_SIM_B34, "%s ends at %" PRIu64 ", but %" PRIu64 " was acknowledged",
                node->name, node->applied, sim->ghost.acked_max);
        }
    }
}

bool sim_heal_converge(struct pc_sim *sim, const char *where)
{
    struct why why = {{0}};
    bool converged = pc_sim_run_until(sim, is_converged, &why, sim->params.heal_max_ms);
    if (!converged && !sim->failed) {
        sim_fail(sim, PC_SIM_B50, "%s not converged %" PRIu64 " ms after healing: %s", where,
            sim->params.heal_max_ms, why.text);
    }
    return converged && !sim->failed;
}

void sim_heal_and_verify(struct pc_sim *sim)
{
    uint64_t from_us = sim->now_us;
    if (!sim_heal_converge(sim, "all in all")) {
        return;
    }
    uint64_t took_ms = (sim->now_us - from_us) / 1000;
    sim->stats.heal_ms_max = took_ms;
    sim_trace_line(sim, "converged after %" PRIu64 " ms", took_ms);
    check_acknowledged(sim);
    sim_protocol_check_new(sim);
    read_everything(sim);
    for (size_t i = 0; i < sim->params.nodes_n && !sim->failed; i++) {
        sim_check_branch_files(sim, &sim->nodes[i]);
    }
}
