/* Clients: one operation at a time each, on any node. Every acknowledged write is read back at once
 * on another node. Between busy times there are times of reads only and of silence: a busy log
 * hides mistakes in voting, because the next entry repairs what a lost vote broke. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim_int.h"

#define SLACK_US 600000

static struct sim_op *op_at(struct pc_sim *sim, uint64_t tag)
{
    return tag >= 1 && tag <= sim->ops_n ? &sim->ops[tag - 1] : NULL;
}

/* Takes its number, its deadline and its way to the node. */
static uint64_t op_send(struct pc_sim *sim, struct sim_op *op)
{
    struct pc_node_opts defaults;
    pc_node_opts_default(&defaults);
    const struct sim_node *node = &sim->nodes[op->node];
    pc_ms bound_ms = defaults.leader_wait_ms;
    bound_ms += op->type != PC_REQUEST_GET ? defaults.request_timeout_ms : 0;
    op->tag = sim->ops_n + 1;
    op->life = node->life;
    op->v0 = sim->ghost.visible_max;
    op->is_serene = sim->is_serene;
    op->deadline_us = sim->now_us + bound_ms * 1000 + SLACK_US;
    if (sim->ops_n == sim->ops_cap) {
        sim->ops_cap = sim->ops_cap == 0 ? 256 : sim->ops_cap * 2;
        sim->ops = pc_xrealloc(sim->ops, sim->ops_cap * sizeof *sim->ops);
    }
    sim->ops[sim->ops_n++] = *op;
    sim_at(sim, 0,
        (struct sim_event){
            .type = SIM_EV_REQUEST, .node = op->node, .life = node->life, .a = op->tag});
    return op->tag;
}

static struct sim_op new_op(struct pc_sim *sim, uint32_t node, int client, size_t key)
{
    (void)sim;
    return (struct sim_op){.node = node, .client = client, .key = key};
}

static void make_write(struct pc_sim *sim, struct sim_op *op, enum pc_op kind, pc_ms ttl_ms)
{
    op->type = PC_REQUEST_WRITE;
    op->op = kind;
    op->ttl_ms = ttl_ms;
    op->has_ttl = kind == PC_OP_EXPIRE || ttl_ms > 0;
    op->value = ++sim->next_value;
    op->value_len = 24 + pc_prng_below(&sim->rng_client, 100);
    if (pc_prng_chance(&sim->rng_client, 30000)) {
        op->value_len = 4000 + pc_prng_below(&sim->rng_client, 20000);
    }
    if (sim->params.value_more_max > 0) {
        op->value_len += pc_prng_below(&sim->rng_snap, sim->params.value_more_max);
    }
}

static void make_read(struct sim_op *op, bool local)
{
    op->type = PC_REQUEST_GET;
    op->consistency = local ? PC_CONSISTENCY_LOCAL : PC_CONSISTENCY_LINEARIZABLE;
}

/* The request as the node sees it; buffers are the caller's. */
static void fill_request(const struct pc_sim *sim, const struct sim_op *op,
    struct pc_request *request, char *key, struct pc_buf *value)
{
    struct pc_slice name = pc_slice_of(key, sim_key_name(op->key, key));
    *request = (struct pc_request){.tag = op->tag, .type = op->type};
    if (op->type == PC_REQUEST_MEMBER) {
        request->member = op->member;
        return;
    }
    if (op->type == PC_REQUEST_GET) {
        request->consistency =
            sim->params.plant == PC_SIM_PLANT_READ_NO_WAIT ? PC_CONSISTENCY_LOCAL : op->consistency;
        request->key = name;
        return;
    }
    request->command = (struct pc_command){.op = op->op,
        .has_ttl = op->has_ttl,
        .ttl_ms = op->ttl_ms,
        .key = name,
        .condition = op->condition,
        .if_version = op->if_version};
    if (op->op == PC_OP_SET) {
        char number[24];
        int len = snprintf(number, sizeof number, "%" PRIu64 ":", op->value);
        pc_buf_append(value, number, (size_t)len);
        while (value->len < op->value_len) {
            pc_buf_append_u8(value, 'x');
        }
        request->command.value = pc_slice_of(value->data, value->len);
        request->command.content_type = sim_flip_content_type(sim, op->value);
    }
}

void sim_client_request(struct pc_sim *sim, struct sim_node *node, uint64_t tag)
{
    struct sim_op *op = op_at(sim, tag);
    PC_ASSERT(op != NULL && !op->done);
    op->arrived = true;
    sim_check_spare_asked(node, op);
    char key[16];
    struct pc_buf value = {0};
    struct pc_request request;
    fill_request(sim, op, &request, key, &value);
    struct pc_node_event event = {.type = PC_NODE_CLIENT};
    event.u.request = &request;
    sim_node_step(sim, node, &event);
    pc_buf_destroy(&value);
}

/* ---- answers */

/* For a compare-and-set: what this client knows to stand there. */
static void client_learns(struct pc_sim *sim, const struct sim_op *op)
{
    const struct pc_sim_op_result *result = &op->result;
    bool read = op->type == PC_REQUEST_GET;
    bool knows = result->status == PC_REPLY_OK || (read && result->status == PC_REPLY_NOT_FOUND);
    if (op->client >= 0 && knows && op->type != PC_REQUEST_MEMBER) {
        struct sim_client *client = &sim->clients[op->client];
        client->has_seen = true;
        client->seen_key = op->key;
        client->seen_version = result->status == PC_REPLY_OK ? result->version : 0;
    }
}

static void client_next(struct pc_sim *sim, const struct sim_op *op)
{
    if (op->type == PC_REQUEST_MEMBER) {
        sim_member_answered(sim, op);
    }
    if (op->client < 0) {
        return;
    }
    struct sim_client *client = &sim->clients[op->client];
    client->op = 0;
    bool wrote = op->type == PC_REQUEST_WRITE && op->result.status == PC_REPLY_OK && !op->died;
    if (wrote) {
        client->verify = true;
        client->verify_key = op->key;
        client->verify_not = op->node;
    }
    uint64_t pause = wrote ? 0 : sim_exponential_us(&sim->rng_client, sim->params.think_us);
    sim_at(sim, pause, (struct sim_event){.type = SIM_EV_CLIENT, .a = (uint64_t)op->client});
}

/* Planted: the node looks at its wall clock whether the item has expired. */
static void expire_by_wall(
    const struct pc_sim *sim, const struct sim_node *node, struct pc_reply *reply)
{
    bool due = reply->expires && reply->index <= sim->ghost.last &&
               sim->ghost.v[reply->index].stamp_ms + reply->ttl_ms <= sim_node_wall_ms(sim, node);
    if (due) {
        reply->status = PC_REPLY_NOT_FOUND;
    }
}

uint64_t sim_client_value(const struct pc_reply *reply)
{
    struct pc_slice bytes = pc_blob_slice(reply->value);
    uint64_t number = 0;
    for (size_t i = 0; i < bytes.len && bytes.data[i] != ':'; i++) {
        number = number * 10 + (uint64_t)(bytes.data[i] - '0');
    }
    return number;
}

void sim_client_reply(struct pc_sim *sim, struct sim_node *node, const struct pc_reply *given)
{
    struct sim_op *op = op_at(sim, given->tag);
    if (op == NULL || op->done || op->node != node->index || op->life != node->life) {
        sim_fail(sim, PC_SIM_R1, "%s answers request %" PRIu64 ", which waits for no answer",
            node->name, given->tag);
        return;
    }
    struct pc_reply reply = *given;
    if (sim->params.plant == PC_SIM_PLANT_WALL_TTL && op->type == PC_REQUEST_GET) {
        expire_by_wall(sim, node, &reply);
    }
    if (op->type == PC_REQUEST_MEMBER) {
        sim_trace_line(sim, "%s answers about %s: %d %s", node->name, op->member.name,
            (int)reply.status, reply.text);
        sim_check_member_reply(sim, node, op, reply.status);
    } else {
        sim_check_reply(sim, node, op, &reply);
    }
    sim_trace_mix(sim, reply.index * 16 + reply.status);
    op->done = true;
    op->result = (struct pc_sim_op_result){
        .done = true,
        .status = reply.status,
        .index = reply.index,
        .version = op->type == PC_REQUEST_GET ? reply.version : reply.outcome.version,
        .value = op->type == PC_REQUEST_GET && reply.status == PC_REPLY_OK
                     ? sim_client_value(&reply)
                     : 0,
        .is_alone = reply.has_branch,
        .unmet = op->type == PC_REQUEST_WRITE && reply.outcome.unmet,
    };
    client_learns(sim, op);
    client_next(sim, op);
}

void sim_client_node_died(struct pc_sim *sim, const struct sim_node *node)
{
    for (size_t i = sim->ops_open_from; i < sim->ops_n; i++) {
        struct sim_op *op = &sim->ops[i];
        if (op->node == node->index && !op->done) {
            op->done = true;
            op->died = true;
            op->result = (struct pc_sim_op_result){.done = true, .died = true};
            client_next(sim, op);
        }
    }
}

/* ---- no request waits for ever */

void sim_client_resumed(struct pc_sim *sim, const struct sim_node *node, uint64_t paused_us)
{
    for (size_t i = sim->ops_open_from; i < sim->ops_n; i++) {
        if (sim->ops[i].node == node->index && !sim->ops[i].done) {
            sim->ops[i].deadline_us += paused_us;
        }
    }
}

void sim_client_check_hang(struct pc_sim *sim)
{
    while (sim->ops_open_from < sim->ops_n && sim->ops[sim->ops_open_from].done) {
        sim->ops_open_from++;
    }
    for (size_t i = sim->ops_open_from; i < sim->ops_n; i++) {
        const struct sim_op *op = &sim->ops[i];
        bool late = !op->done && sim->now_us > op->deadline_us && !sim->nodes[op->node].paused;
        if (late) {
            sim_fail(sim, PC_SIM_R1, "%s has not answered a %s in time", sim->nodes[op->node].name,
                op->type == PC_REQUEST_GET     ? "read"
                : op->type == PC_REQUEST_WRITE ? "write"
                                               : "request about members");
        }
    }
}

bool sim_client_all_done(struct pc_sim *sim)
{
    for (size_t i = sim->ops_open_from; i < sim->ops_n; i++) {
        if (!sim->ops[i].done && !sim->nodes[sim->ops[i].node].is_frozen) {
            return false;
        }
    }
    return true;
}

/* ---- what clients do */

/* A node that is up and, when there is a choice, not `not`; false when there is none. */
static bool pick_node(struct pc_sim *sim, uint32_t not, uint32_t *out)
{
    uint32_t n = (uint32_t)sim->params.nodes_n;
    uint32_t from = (uint32_t)pc_prng_below(&sim->rng_client, n);
    bool found = false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (from + i) % n;
        const struct sim_node *node = &sim->nodes[at];
        bool turned_away =
            node->stop == SIM_STOP_FINISH ||
            (node->stop != SIM_STOP_NONE && pc_prng_chance(&sim->rng_client, 500000));
        if (node->node == NULL || turned_away || (at == not &&found)) {
            continue;
        }
        *out = at;
        found = true;
        if (at != not ) {
            break;
        }
    }
    return found;
}

static void choose_write(struct pc_sim *sim, struct sim_op *op)
{
    struct pc_prng *rng = &sim->rng_client;
    uint64_t dice = pc_prng_below(rng, 100);
    pc_ms ttl = pc_prng_chance(rng, 20000) ? 0 : pc_prng_between(rng, 1, 3000);
    if (dice < 45) {
        make_write(sim, op, PC_OP_SET, 0);
    } else if (dice < 70) {
        make_write(sim, op, PC_OP_SET, ttl);
        op->has_ttl = true;
    } else if (dice < 82) {
        make_write(sim, op, PC_OP_DELETE, 0);
    } else if (dice < 93) {
        make_write(sim, op, PC_OP_EXPIRE, ttl);
    } else {
        make_write(sim, op, PC_OP_PERSIST, 0);
    }
}

/* Most often of what the client has seen last, which somebody else may have changed since: that is
 * what conditions are for. */
static void choose_condition(struct pc_sim *sim, const struct sim_client *client, struct sim_op *op)
{
    struct pc_prng *rng = &sim->rng_condition;
    if (!pc_prng_chance(rng, sim->params.condition_ppm)) {
        return;
    }
    uint64_t dice = pc_prng_below(rng, 10);
    bool by_sight = client->has_seen && dice < 7;
    if (by_sight) {
        op->key = client->seen_key;
        op->condition = client->seen_version != 0 ? PC_IF_VERSION : PC_IF_ABSENT;
        op->if_version = client->seen_version;
    } else if (dice < 8) {
        op->condition = PC_IF_VERSION;
        op->if_version = pc_prng_between(rng, 1, sim->ghost.visible_max + 3);
    } else {
        op->condition = dice < 9 ? PC_IF_ABSENT : PC_IF_PRESENT;
    }
}

void sim_client_act(struct pc_sim *sim, size_t number)
{
    struct sim_client *client = &sim->clients[number];
    if (!sim->clients_on || client->op != 0) {
        return;
    }
    uint32_t node;
    bool idle =
        sim->phase == SIM_PHASE_IDLE && !client->verify && !pc_prng_chance(&sim->rng_client, 50000);
    if (idle || !pick_node(sim, client->verify ? client->verify_not : UINT32_MAX, &node)) {
        sim_at(sim, 50000, (struct sim_event){.type = SIM_EV_CLIENT, .a = number});
        return;
    }
    size_t key = (size_t)pc_prng_below(&sim->rng_client, sim->params.keys_n);
    struct sim_op op = new_op(sim, node, (int)number, client->verify ? client->verify_key : key);
    bool writes = sim->phase == SIM_PHASE_BUSY && pc_prng_chance(&sim->rng_client, 650000);
    if (client->verify) {
        make_read(&op, false);
        client->verify = false;
    } else if (writes) {
        choose_write(sim, &op);
        choose_condition(sim, client, &op);
    } else {
        make_read(&op, pc_prng_chance(&sim->rng_client, sim->params.local_ppm));
    }
    client->op = op_send(sim, &op);
}

void sim_client_phase(struct pc_sim *sim)
{
    if (!sim->clients_on) {
        return;
    }
    uint64_t dice = pc_prng_below(&sim->rng_client, 10);
    sim->phase = dice < 5 ? SIM_PHASE_BUSY : dice < 8 ? SIM_PHASE_READS : SIM_PHASE_IDLE;
    sim_at(sim, pc_prng_between(&sim->rng_client, 300000, 2500000),
        (struct sim_event){.type = SIM_EV_PHASE});
}

void pc_sim_clients(struct pc_sim *sim, bool on)
{
    bool begins = on && !sim->clients_on;
    sim->clients_on = on;
    if (!begins) {
        return;
    }
    sim->phase = SIM_PHASE_BUSY;
    sim_at(sim, 1500000, (struct sim_event){.type = SIM_EV_PHASE});
    for (size_t i = 0; i < sim->params.clients_n; i++) {
        sim_at(sim, pc_prng_below(&sim->rng_client, 100000),
            (struct sim_event){.type = SIM_EV_CLIENT, .a = i});
    }
}

uint64_t sim_client_member(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_member_change *change)
{
    static const char *const words[] = {"?", "add", "remove", "promote", "demote", "replace"};
    const struct sim_config *members = sim_config_committed(sim);
    struct sim_op op = new_op(sim, node->index, -1, 0);
    op.type = PC_REQUEST_MEMBER;
    op.member = *change;
    op.since = members != NULL ? members->index : 0;
    sim_trace_line(sim, "%s is asked to %s %s%s", node->name, words[change->op], change->name,
        change->op != PC_MEMBER_ADD || change->want == PC_WANT_VOTER ? ""
        : change->want == PC_WANT_SPARE                              ? " as a spare"
                                                                     : " as a replica");
    return op_send(sim, &op);
}

/* ---- operations of a test */

uint64_t pc_sim_write(struct pc_sim *sim, size_t node, enum pc_op kind, size_t key, pc_ms ttl_ms)
{
    struct sim_op op = new_op(sim, (uint32_t)node, -1, key);
    make_write(sim, &op, kind, ttl_ms);
    op.value_len = 24;
    return op_send(sim, &op);
}

uint64_t pc_sim_write_if(
    struct pc_sim *sim, size_t node, size_t key, enum pc_condition condition, pc_index if_version)
{
    struct sim_op op = new_op(sim, (uint32_t)node, -1, key);
    make_write(sim, &op, PC_OP_SET, 0);
    op.value_len = 24;
    op.condition = condition;
    op.if_version = if_version;
    return op_send(sim, &op);
}

uint64_t pc_sim_read(struct pc_sim *sim, size_t node, size_t key, bool local)
{
    struct sim_op op = new_op(sim, (uint32_t)node, -1, key);
    make_read(&op, local);
    return op_send(sim, &op);
}

uint64_t pc_sim_member(
    struct pc_sim *sim, size_t node, enum pc_member_op op, enum pc_member_want want, size_t subject)
{
    struct pc_member_change change = {.op = op, .want = want};
    memcpy(change.name, sim->nodes[subject].name, sizeof sim->nodes[subject].name);
    return sim_client_member(sim, &sim->nodes[node], &change);
}

struct pc_sim_op_result pc_sim_result(const struct pc_sim *sim, uint64_t tag)
{
    PC_ASSERT(tag >= 1 && tag <= sim->ops_n);
    return sim->ops[tag - 1].result;
}
