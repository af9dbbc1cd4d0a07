/* SWIM may only advise (B.49): nodes are told arbitrary things about each other, well-formed and
 * authentic, of any member, any life and any state. What the log promises must not depend on a word
 * of it. What nodes then think of each other is worth nothing, and is not compared with the truth
 * in such a run. */
#include <string.h>

#include "pcache/wire_swim.h"
#include "sim/sim_int.h"

static struct pc_prng *dice(struct pc_sim *sim)
{
    return &sim->rng_class[PC_SIM_FAULT_SWIM_LIES];
}

static const struct sim_node *some_node(struct pc_sim *sim)
{
    return &sim->nodes[pc_prng_below(dice(sim), sim->params.nodes_n)];
}

static uint64_t near_or_far(struct pc_sim *sim, uint64_t value)
{
    switch (pc_prng_below(dice(sim), 6)) {
    case 0:
        return value > 0 ? value - 1 : 0;
    case 1:
        return value + 1;
    case 2:
        return pc_prng_next(dice(sim)) >> 1;
    default:
        return value;
    }
}

static void invent_member(struct pc_sim *sim, struct pc_member *out)
{
    const struct sim_node *node = some_node(sim);
    *out = (struct pc_member){.id = node->id, .addr = sim_node_addr(node->index)};
    memcpy(out->name, node->name, sizeof node->name);
    out->generation = near_or_far(sim, node->generation);
    out->incarnation = (uint32_t)pc_prng_below(dice(sim), 12);
    out->state = (enum pc_member_state)pc_prng_between(dice(sim), PC_MEMBER_ALIVE, PC_MEMBER_LEFT);
    out->accuser = some_node(sim)->id;
    if (pc_prng_chance(dice(sim), 50000)) {
        out->id = pc_prng_next(dice(sim)) | 1;
        out->name[0] = 'x';
    }
    if (pc_prng_chance(dice(sim), 50000)) {
        out->addr = sim_node_addr(some_node(sim)->index);
    }
}

static void invent_msg(struct pc_sim *sim, struct pc_swim_msg *out)
{
    const struct sim_node *from = some_node(sim);
    *out = (struct pc_swim_msg){
        .type = (enum pc_swim_msg_type)pc_prng_between(dice(sim), PC_SWIM_PING, PC_SWIM_PULL),
        .from = from->id,
        .from_generation = near_or_far(sim, from->generation),
        .nonce = pc_prng_next(dice(sim)),
        .target_id = some_node(sim)->id,
        .target = sim_node_addr(some_node(sim)->index),
    };
    out->pages = out->type == PC_SWIM_PUSH || out->type == PC_SWIM_PULL ? 1 : 0;
    out->updates_n = (uint32_t)pc_prng_between(dice(sim), 0, 4);
    for (uint32_t i = 0; i < out->updates_n; i++) {
        invent_member(sim, &out->updates[i]);
    }
}

void sim_lies_tell(struct pc_sim *sim)
{
    struct sim_node *node = &sim->nodes[some_node(sim)->index];
    struct pc_swim_msg said, heard;
    invent_msg(sim, &said);
    if (node->node == NULL || node->paused) {
        return;
    }
    struct pc_buf bytes = {0};
    bool fits = pc_wire_encode_swim(&said, &bytes) == PC_OK &&
                pc_wire_decode_swim(pc_slice_of(bytes.data, bytes.len), &heard) == PC_OK;
    pc_buf_destroy(&bytes);
    if (fits) {
        sim->stats.lies++;
        struct pc_swim_event event = {
            .type = PC_SWIM_RECV, .addr = sim_node_addr(some_node(sim)->index), .msg = &heard};
        sim_node_swim(sim, node, &event);
    }
}

/* Planted: a driver for which a dead voter need not be asked any more. */
void sim_lies_believe(struct pc_sim *sim, const struct sim_node *node, pc_node_id dead)
{
    const struct sim_node *peer = sim_node_by_id(sim, dead);
    bool believes = sim->params.plant == PC_SIM_PLANT_SWIM_DECIDES && peer != NULL;
    if (!believes || node->role != PC_RAFT_LEADER) {
        return;
    }
    struct pc_msg msg = {.type = PC_MSG_RAFT, .from = dead, .to = node->id};
    msg.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND_RESP, .from = dead, .to = node->id};
    msg.raft.term = node->term;
    msg.raft.u.append_resp.accepted = true;
    msg.raft.u.append_resp.match = node->mem.last;
    struct sim_packet *packet = pc_xalloc(sizeof *packet);
    packet->from_life = peer->life;
    packet->to_life = node->life;
    packet->protocol = PC_PROTOCOL_FIRST;
    pc_wire_encode_msg_as(&msg, packet->protocol, &packet->bytes);
    sim_at(sim, 0,
        (struct sim_event){.type = SIM_EV_LOOSE,
            .node = node->index,
            .peer = peer->index,
            .life = node->life,
            .data = packet});
}
