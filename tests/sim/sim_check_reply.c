/* What clients are told, against the ghost: B.21, B.24, B.31. A read says at which index it was
 * made, so two questions settle it: is that index new enough, and is this the state there? */
#include <inttypes.h>

#include "sim/sim_int.h"

static void check_value(struct pc_sim *sim, const struct sim_node *node, const struct sim_op *op,
    const struct pc_reply *reply)
{
    const struct sim_version *want = sim_ghost_visible(&sim->ghost, op->key, reply->index);
    bool found = reply->status == PC_REPLY_OK;
    if (found != (want != NULL)) {
        sim_fail(sim, PC_SIM_B31, "%s: key %zu at %" PRIu64 " is %s, but reads as %s", node->name,
            op->key, reply->index, want != NULL ? "there" : "absent", found ? "there" : "absent");
        return;
    }
    if (!found) {
        return;
    }
    if (reply->version != want->index ||
        !pc_slice_equal(pc_blob_slice(reply->value), want->bytes)) {
        sim_fail(sim, PC_SIM_B31,
            "%s: key %zu at %" PRIu64 " has version %" PRIu64 ", but reads as version %" PRIu64
            " or another value",
            node->name, op->key, reply->index, want->index, reply->version);
    }
    if (!pc_slice_equal(
            pc_slice_str(reply->content_type), sim_flip_content_type(sim, want->value))) {
        sim_fail(sim, PC_SIM_B31, "%s: key %zu at %" PRIu64 " has the content type \"%s\"",
            node->name, op->key, reply->index, reply->content_type);
    }
    pc_ms left =
        want->deadline_ms == 0 ? 0 : want->deadline_ms - sim->ghost.v[reply->index].stamp_ms;
    if (reply->expires != (want->deadline_ms != 0) || reply->ttl_ms != left) {
        sim_fail(sim, PC_SIM_B31,
            "%s: key %zu at %" PRIu64 " has %" PRIu64 " ms to live, but %" PRIu64 " are told",
            node->name, op->key, reply->index, left, reply->ttl_ms);
    }
}

static void check_read(struct pc_sim *sim, struct sim_node *node, const struct sim_op *op,
    const struct pc_reply *reply)
{
    bool linear = op->consistency == PC_CONSISTENCY_LINEARIZABLE;
    if (reply->index > sim->ghost.last) {
        sim_fail(sim, PC_SIM_B5, "%s: a read at %" PRIu64 ", which is not committed", node->name,
            reply->index);
        return;
    }
    if (linear && reply->index < op->v0) {
        sim_fail(sim, PC_SIM_B21,
            "%s: a linearizable read of key %zu at %" PRIu64 " began when %" PRIu64 " was visible",
            node->name, op->key, reply->index, op->v0);
    }
    if (reply->index < node->shown) {
        sim_fail(sim, PC_SIM_B24, "%s shows %" PRIu64 " after it showed %" PRIu64, node->name,
            reply->index, node->shown);
    }
    node->shown = reply->index;
    if (linear && op->client >= 0) {
        struct sim_client *client = &sim->clients[op->client];
        if (reply->index < client->last_index) {
            sim_fail(sim, PC_SIM_B24, "client %d reads at %" PRIu64 " after it saw %" PRIu64,
                op->client, reply->index, client->last_index);
        }
        client->last_index = reply->index;
    }
    if (!sim_flip_excuses(node, op->key)) {
        check_value(sim, node, op, reply);
    }
    sim->stats.linear_reads += linear ? 1 : 0;
    sim->stats.local_reads += linear ? 0 : 1;
}

static bool outcome_equal(const struct pc_outcome *a, const struct pc_outcome *b)
{
    return a->existed == b->existed && a->changed == b->changed && a->version == b->version &&
           a->deadline_ms == b->deadline_ms && a->unmet == b->unmet;
}

/* Asks what the client asked for, not what the log has of it: a condition that got lost on the way,
 * or was judged too early, is one that was not kept. */
static void check_condition(struct pc_sim *sim, const struct sim_node *node,
    const struct sim_op *op, const struct pc_reply *reply)
{
    pc_index before = sim->ghost.v[reply->index].before;
    bool holds = sim_condition_holds(op->condition, op->if_version, before);
    if (reply->outcome.unmet == holds) {
        sim_fail(sim, PC_SIM_K1,
            "%s: the write of key %zu at %" PRIu64 " under condition %d, version %" PRIu64
            ", met version %" PRIu64 ", and is told to be %s",
            node->name, op->key, reply->index, (int)op->condition, op->if_version, before,
            holds ? "not done" : "done");
    }
    sim->stats.conditions_met += op->condition != PC_IF_ANY && holds ? 1 : 0;
    sim->stats.conditions_unmet += holds ? 0 : 1;
}

/* Is the entry at the acknowledged index what this client asked for? */
static bool is_own_entry(
    const struct pc_sim *sim, const struct sim_node *node, const struct sim_op *op, pc_index index)
{
    const struct sim_committed *entry = &sim->ghost.v[index];
    struct pc_command command;
    struct pc_slice body = pc_blob_slice(sim->ghost.bodies[index]);
    return entry->req.node == node->id && entry->req.boot == node->generation &&
           pc_wire_decode_command(body, &command) == PC_OK && command.op == op->op &&
           sim_key_parse(command.key) == (int)op->key &&
           (op->op != PC_OP_SET || entry->value == op->value);
}

static void check_written(struct pc_sim *sim, struct sim_node *node, const struct sim_op *op,
    const struct pc_reply *reply)
{
    if (reply->index == 0 || reply->index > sim->ghost.last ||
        !is_own_entry(sim, node, op, reply->index)) {
        sim_fail(sim, PC_SIM_B34,
            "%s acknowledges a write at %" PRIu64 ", where it is not committed", node->name,
            reply->index);
        return;
    }
    if (reply->index <= op->v0) {
        sim_fail(sim, PC_SIM_B21, "%s: a write at %" PRIu64 " began when %" PRIu64 " was visible",
            node->name, reply->index, op->v0);
    }
    const struct sim_committed *entry = &sim->ghost.v[reply->index];
    bool is_excused = sim_flip_excuses(node, op->key);
    if (!is_excused) {
        check_condition(sim, node, op, reply);
    }
    bool is_told_right = is_excused || outcome_equal(&reply->outcome, &entry->outcome);
    if (!is_told_right || reply->stamp_ms != entry->stamp_ms) {
        sim_fail(sim, PC_SIM_B31,
            "%s: the outcome of the write at %" PRIu64
            " is told as existed %d changed %d unmet %d version %" PRIu64 " deadline %" PRIu64
            ", but is %d %d %d %" PRIu64 " %" PRIu64,
            node->name, reply->index, reply->outcome.existed, reply->outcome.changed,
            reply->outcome.unmet, reply->outcome.version, reply->outcome.deadline_ms,
            entry->outcome.existed, entry->outcome.changed, entry->outcome.unmet,
            entry->outcome.version, entry->outcome.deadline_ms);
    }
    if (reply->index > sim->ghost.acked_max) {
        sim->ghost.acked_max = reply->index;
    }
    if (op->client >= 0) {
        sim->clients[op->client].last_index = reply->index;
    }
    sim->stats.acked_writes++;
}

/* A client asks whoever runs, a balancer nobody who is not ready. And what waited when a snapshot
 * took the place of entries that were not applied yet may have been among them. */
static bool is_owed_to_snapshot(const struct pc_sim *sim, const struct sim_node *node,
    const struct sim_op *op, const struct pc_reply *reply)
{
    if (reply->status == PC_REPLY_LOADING) {
        struct pc_node_status status;
        pc_node_status(node->node, sim_node_now(sim, node), &status);
        return !status.ready;
    }
    return reply->status == PC_REPLY_UNKNOWN && op->tag <= node->snap.loaded_tag;
}

void sim_check_reply(
    struct pc_sim *sim, struct sim_node *node, struct sim_op *op, const struct pc_reply *reply)
{
    bool read = op->type == PC_REQUEST_GET;
    bool answered = reply->status == PC_REPLY_OK || (read && reply->status == PC_REPLY_NOT_FOUND);
    if (!answered && op->is_serene && !is_owed_to_snapshot(sim, node, op, reply) &&
        !sim_protocol_owes(op, reply)) {
        sim_fail(sim, PC_SIM_S1, "%s fails a %s with status %d", node->name,
            read ? "read" : "write", (int)reply->status);
    }
    if (!answered) {
        sim_protocol_check_refused(sim, op, reply);
        sim->stats.failed_reads += read ? 1 : 0;
        sim->stats.unknown_writes += !read && reply->status == PC_REPLY_UNKNOWN ? 1 : 0;
        if (!read && reply->status != PC_REPLY_UNKNOWN) {
            sim->stats.refused_writes++;
            sim_check_refused(sim, op);
        }
        return;
    }
    sim_check_spare_answer(sim, node, op);
    if (reply->has_branch) {
        sim_check_branch_reply(sim, node, op, reply);
        return;
    }
    if (read) {
        check_read(sim, node, op, reply);
    } else {
        check_written(sim, node, op, reply);
    }
    if (reply->index > sim->ghost.visible_max) {
        sim->ghost.visible_max = reply->index;
    }
}
