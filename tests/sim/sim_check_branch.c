/* What a branch may do, against a model of it: A.1 to A.4. The model knows the base by the ghost,
 * and the records as they left the node; what a key shows after record n follows by folding those
 * of the key, which has nothing in common with how the node does it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim_int.h"

struct sim_branch *sim_branch_of(struct sim_node *node, const uint8_t id[16])
{
    struct sim_branches *b = &node->branches;
    for (size_t i = b->n; i-- > 0;) {
        if (memcmp(b->v[i].id, id, sizeof b->v[i].id) == 0) {
            return &b->v[i];
        }
    }
    return NULL;
}

/* ---- A.4: it begins only where nobody is heard; A.3: on what is committed */

static bool is_voter(const struct sim_node *node, pc_node_id id)
{
    const struct pc_cluster_config *config = pc_node_config(node->node);
    for (size_t i = 0; i < config->members_n; i++) {
        if (config->members[i].id == id) {
            return config->members[i].votes;
        }
    }
    return false;
}

void sim_check_branch_hears(
    struct pc_sim *sim, struct sim_node *node, const struct pc_node_event *event)
{
    bool is_hello = event->type == PC_NODE_PEER_UP || event->type == PC_NODE_PEER_MET;
    bool is_datagram = event->type == PC_NODE_SWIM && event->u.swim->type == PC_SWIM_RECV;
    if ((event->type == PC_NODE_RECV && is_voter(node, event->u.msg->from)) ||
        (is_datagram && is_voter(node, event->u.swim->msg->from)) ||
        (is_hello && is_voter(node, event->u.hello->id))) {
        node->branches.heard_us = sim->now_us;
    }
}

static void check_alone(struct pc_sim *sim, const struct sim_node *node)
{
    uint64_t silence_us = sim->now_us - node->branches.heard_us;
    /* By its own clock, which may run fast. */
    uint64_t least_us = sim->params.solo_after_ms * 1000 / 100 * 97;
    if (silence_us < least_us) {
        sim_fail(sim, PC_SIM_A4, "%s opens a branch %" PRIu64 " ms after it heard another node",
            node->name, silence_us / 1000);
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *other = &sim->nodes[i];
        if (other != node && is_voter(node, other->id) &&
            pc_node_peer_is_up(node->node, other->id)) {
            sim_fail(
                sim, PC_SIM_A4, "%s opens a branch, and is linked to %s", node->name, other->name);
        }
    }
}

void sim_check_branch_begins(
    struct pc_sim *sim, struct sim_node *node, const struct pc_node_branch *begin)
{
    struct sim_branches *b = &node->branches;
    const struct pc_branch_base *base = &begin->base;
    const struct sim_ghost *ghost = &sim->ghost;
    check_alone(sim, node);
    b->begun_us = sim->now_us;
    bool is_committed = base->index > 0 && base->index <= ghost->last &&
                        ghost->v[base->index].term == base->term &&
                        pc_hash_equal(&ghost->v[base->index].chain, &base->chain);
    if (!is_committed) {
        sim_fail(sim, PC_SIM_A3, "%s opens a branch on entry %" PRIu64 ", which is not committed",
            node->name, base->index);
    }
    struct sim_branch *known = sim_branch_of(node, begin->id);
    if (known != NULL) {
        if (memcmp(&known->base, base, sizeof *base) != 0) {
            sim_fail(sim, PC_SIM_A3, "%s goes on with a branch on another base", node->name);
        }
        sim_trace_line(sim, "%s goes on with its branch on %" PRIu64, node->name, base->index);
        return;
    }
    if (b->n == b->cap) {
        b->cap = b->cap == 0 ? 4 : b->cap * 2;
        b->v = pc_xrealloc(b->v, b->cap * sizeof *b->v);
    }
    struct sim_branch *branch = &b->v[b->n++];
    *branch = (struct sim_branch){.base = *base};
    memcpy(branch->id, begin->id, sizeof branch->id);
    sim_trace_line(sim, "%s opens a branch on %" PRIu64, node->name, base->index);
}

/* ---- A.2: its records */

void sim_check_branch_record(
    struct pc_sim *sim, struct sim_node *node, const struct pc_node_branch *put)
{
    struct sim_branch *branch = sim_branch_of(node, put->id);
    struct pc_command command;
    if (branch == NULL || put->record.number != branch->n + 1 ||
        pc_wire_decode_command(pc_blob_slice(put->record.command), &command) != PC_OK) {
        sim_fail(sim, PC_SIM_A2, "%s makes record %" PRIu64 " of a branch that has %zu", node->name,
            put->record.number, branch != NULL ? branch->n : 0);
        return;
    }
    if (node->branches.heard_us >= node->branches.begun_us) {
        sim_fail(sim, PC_SIM_A4, "%s writes on in its branch, though it has heard another voter",
            node->name);
    }
    if (branch->n == branch->cap) {
        branch->cap = branch->cap == 0 ? 16 : branch->cap * 2;
        branch->v = pc_xrealloc(branch->v, branch->cap * sizeof *branch->v);
    }
    struct sim_branch_write *write = &branch->v[branch->n++];
    *write = (struct sim_branch_write){
        .command = pc_blob_ref(put->record.command),
        .stamp_ms = put->record.stamp_ms,
        .key = (size_t)sim_key_parse(command.key),
        .op = command.op,
        .has_ttl = command.has_ttl,
        .ttl_ms = command.ttl_ms,
    };
    for (size_t i = 0; i < command.value.len && command.value.data[i] != ':'; i++) {
        write->value = write->value * 10 + (uint64_t)(command.value.data[i] - '0');
    }
    if (command.op == PC_OP_SET) {
        sim_check_branched_value(sim, write->value);
    }
}

void sim_check_branch_written(struct sim_node *node, const uint8_t id[16], uint64_t number)
{
    struct sim_branch *branch = sim_branch_of(node, id);
    PC_ASSERT(branch != NULL && number >= branch->written && number <= branch->n);
    branch->written = number;
}

static bool is_record(const struct sim_branch *branch, const struct pc_branch_record *record)
{
    return record->number >= 1 && record->number <= branch->n &&
           record->stamp_ms == branch->v[record->number - 1].stamp_ms &&
           pc_slice_equal(pc_blob_slice(record->command),
               pc_blob_slice(branch->v[record->number - 1].command));
}

void sim_check_branch_found(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_branch_found *found = &node->branches.found;
    if (found->where[0] != '\0') {
        sim_trace_line(sim, "%s finds a branch in disorder: %s", node->name, found->where);
    }
    if (found->writer == NULL) {
        return;
    }
    struct sim_branch *branch = sim_branch_of(node, pc_branch_writer_head(found->writer)->id);
    if (branch == NULL || found->records_n < branch->written) {
        sim_fail(sim, PC_SIM_A2, "%s had %" PRIu64 " durable records in its branch, but finds %zu",
            node->name, branch != NULL ? branch->written : 0, found->records_n);
        return;
    }
    for (size_t i = 0; i < found->records_n; i++) {
        if (found->records[i].number != i + 1 || !is_record(branch, &found->records[i])) {
            sim_fail(sim, PC_SIM_A2, "%s finds another record %zu than it made", node->name, i + 1);
            return;
        }
    }
    while (branch->n > found->records_n) { /* never durable, and gone */
        pc_blob_unref(branch->v[--branch->n].command);
    }
    branch->written = found->records_n;
}

struct files {
    struct pc_sim *sim;
    struct sim_node *node;
    const struct sim_branch *branch;
    size_t files_n;
};

static void look_at_file(struct files *files, const char *path)
{
    struct pc_branch_reader *reader = NULL;
    struct pc_error error;
    pc_err err = pc_branch_reader_open(pc_sim_fs_port(files->node->fs), path, &reader, &error);
    if (err != PC_OK ||
        memcmp(pc_branch_reader_info(reader)->head.id, files->branch->id, 16) != 0) {
        pc_branch_reader_close(reader);
        return;
    }
    files->files_n++;
    struct pc_branch_record record;
    uint64_t number = 0;
    bool is_right = true;
    while (is_right && (err = pc_branch_reader_next(reader, &record, &error)) == PC_OK) {
        number++;
        is_right = record.number == number && is_record(files->branch, &record);
        pc_branch_record_clear(&record);
    }
    pc_branch_reader_close(reader);
    if (!is_right || number < files->branch->written) {
        sim_fail(files->sim, PC_SIM_A2,
            "%s: %s has %" PRIu64 " records as they were made, of %" PRIu64 " that were durable",
            files->node->name, path, is_right ? number : number - 1, files->branch->written);
    }
}

static void on_closed(void *arg, const char *name)
{
    char path[128];
    bool fits = pc_branch_path("/data", name, path, sizeof path);
    PC_ASSERT(fits);
    look_at_file(arg, path);
}

void sim_check_branch_files(struct pc_sim *sim, struct sim_node *node)
{
    for (size_t i = 0; i < node->branches.n && !sim->failed; i++) {
        struct files files = {.sim = sim, .node = node, .branch = &node->branches.v[i]};
        struct pc_error error;
        if (files.branch->written == 0) {
            continue;
        }
        look_at_file(&files, "/data/" PC_BRANCH_OPEN_NAME);
        pc_err err = pc_branch_list(pc_sim_fs_port(node->fs), "/data", on_closed, &files, &error);
        if (!sim->failed && (err != PC_OK || files.files_n != 1)) {
            sim_fail(sim, PC_SIM_A2,
                "%s: a branch of %" PRIu64 " durable records stands in %zu files", node->name,
                files.branch->written, files.files_n);
        }
    }
}

/* ---- A.1, A.3: what is answered from it */

struct state {
    bool exists;
    uint64_t value;
    pc_ms deadline_ms;
    pc_index version;
};

static void expire(struct state *state, pc_ms now_ms)
{
    state->exists = state->exists && (state->deadline_ms == 0 || state->deadline_ms > now_ms);
}

static struct pc_outcome fold(struct state *state, const struct sim_branch *branch, uint64_t number)
{
    const struct sim_branch_write *write = &branch->v[number - 1];
    struct state before;
    pc_index version =
        ((pc_index)(0x10000 + branch->id[0] * 256 + branch->id[1]) << 36) + 2 * number;
    expire(state, write->stamp_ms);
    before = *state;
    pc_ms deadline_ms = write->has_ttl ? write->stamp_ms + write->ttl_ms : 0;
    bool ends = write->has_ttl && write->ttl_ms == 0;
    if (write->op == PC_OP_SET) {
        *state = (struct state){!ends, write->value, deadline_ms, version};
    } else if (write->op == PC_OP_DELETE) {
        state->exists = false;
    } else if (write->op == PC_OP_EXPIRE && before.exists) {
        *state = (struct state){!ends, before.value, deadline_ms, version};
    } else if (before.exists && before.deadline_ms != 0) {
        *state = (struct state){true, before.value, 0, version};
    }
    return (struct pc_outcome){
        .existed = before.exists,
        .changed =
            before.exists != state->exists || (state->exists && state->version != before.version),
        .version = state->exists ? state->version : 0,
        .deadline_ms = state->exists ? state->deadline_ms : 0,
    };
}

/* The key after record `number`; what that record did. */
static struct state state_at(const struct pc_sim *sim, const struct sim_branch *branch, size_t key,
    uint64_t number, struct pc_outcome *last)
{
    const struct sim_version *base = sim_ghost_visible(&sim->ghost, key, branch->base.index);
    struct state state = {0};
    if (base != NULL) {
        state = (struct state){true, base->value, base->deadline_ms, base->index};
    }
    for (uint64_t i = 1; i <= number; i++) {
        if (branch->v[i - 1].key == key) {
            *last = fold(&state, branch, i);
        }
    }
    return state;
}

static void check_marked_read(struct pc_sim *sim, const struct sim_node *node,
    const struct sim_branch *branch, const struct sim_op *op, const struct pc_reply *reply)
{
    struct pc_outcome ignored;
    struct state want = state_at(sim, branch, op->key, reply->index, &ignored);
    expire(&want, reply->stamp_ms);
    bool found = reply->status == PC_REPLY_OK;
    bool is_right = found == want.exists;
    if (found && is_right) {
        pc_ms left = want.deadline_ms == 0 ? 0 : want.deadline_ms - reply->stamp_ms;
        is_right = reply->version == want.version && sim_client_value(reply) == want.value &&
                   reply->expires == (want.deadline_ms != 0) && reply->ttl_ms == left;
    }
    if (!is_right) {
        sim_fail(sim, PC_SIM_A1,
            "%s: key %zu after record %" PRIu64 " is %s, version %" PRIu64
            ", but reads as %s, version %" PRIu64,
            node->name, op->key, reply->index, want.exists ? "there" : "absent", want.version,
            found ? "there" : "absent", reply->version);
    }
    sim->stats.branch_reads++;
}

static void check_unmet(struct pc_sim *sim, const struct sim_node *node,
    const struct sim_branch *branch, const struct sim_op *op, const struct pc_reply *reply)
{
    struct pc_outcome ignored;
    struct state now = state_at(sim, branch, op->key, reply->index, &ignored);
    expire(&now, reply->stamp_ms);
    if (sim_condition_holds(op->condition, op->if_version, now.exists ? now.version : 0)) {
        sim_fail(sim, PC_SIM_K1,
            "%s: in a branch a write of key %zu whose condition holds is not"
            " done",
            node->name, op->key);
    }
}

static void check_marked_write(struct pc_sim *sim, const struct sim_node *node,
    const struct sim_branch *branch, const struct sim_op *op, const struct pc_reply *reply)
{
    if (reply->outcome.unmet) {
        check_unmet(sim, node, branch, op, reply);
        return;
    }
    const struct sim_branch_write *write = reply->index > 0 ? &branch->v[reply->index - 1] : NULL;
    if (write == NULL || write->key != op->key || write->op != op->op ||
        (op->op == PC_OP_SET && write->value != op->value)) {
        sim_fail(sim, PC_SIM_A2, "%s acknowledges record %" PRIu64 ", which is another write's",
            node->name, reply->index);
        return;
    }
    struct pc_outcome ignored, want;
    struct state before = state_at(sim, branch, op->key, reply->index - 1, &ignored);
    expire(&before, write->stamp_ms);
    (void)state_at(sim, branch, op->key, reply->index, &want);
    if (!sim_condition_holds(op->condition, op->if_version, before.exists ? before.version : 0)) {
        sim_fail(sim, PC_SIM_K1,
            "%s: in a branch a write of key %zu whose condition does not hold"
            " is done",
            node->name, op->key);
    }
    const struct pc_outcome *told = &reply->outcome;
    if (told->existed != want.existed || told->changed != want.changed ||
        told->version != want.version || told->deadline_ms != want.deadline_ms) {
        sim_fail(sim, PC_SIM_A1,
            "%s: record %" PRIu64 " is told as existed %d changed %d version %" PRIu64
            " deadline %" PRIu64 ", but is %d %d %" PRIu64 " %" PRIu64,
            node->name, reply->index, told->existed, told->changed, told->version,
            told->deadline_ms, want.existed, want.changed, want.version, want.deadline_ms);
    }
    sim->stats.branch_writes++;
}

void sim_check_branch_reply(struct pc_sim *sim, struct sim_node *node, const struct sim_op *op,
    const struct pc_reply *reply)
{
    const struct sim_branch *branch = sim_branch_of(node, reply->branch);
    struct pc_store_stats stats;
    if (branch == NULL || reply->index > branch->written) {
        sim_fail(sim, PC_SIM_A2,
            "%s answers from record %" PRIu64 " of its branch, of which %" PRIu64 " are durable",
            node->name, reply->index, branch != NULL ? branch->written : 0);
        return;
    }
    pc_store_stats(pc_node_store(node->node), &stats);
    if (stats.applied != branch->base.index) {
        sim_fail(sim, PC_SIM_A3,
            "%s answers from its branch on %" PRIu64 " while its state is that of %" PRIu64,
            node->name, branch->base.index, stats.applied);
        return;
    }
    if (op->type == PC_REQUEST_GET) {
        check_marked_read(sim, node, branch, op, reply);
    } else {
        check_marked_write(sim, node, branch, op, reply);
    }
}
