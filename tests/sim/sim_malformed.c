/* Messages that decode and make no sense (M4): of a member, in the current term, with contents that
 * no member ever sends. They must be ignored: nothing of the node may change. Besides, bytes of
 * real messages are damaged and decoded: that must end, and what decodes must encode to the same
 * bytes. */
#include <inttypes.h>
#include <string.h>

#include "sim/sim_int.h"

static struct pc_prng *dice(struct pc_sim *sim)
{
    return &sim->rng_class[PC_SIM_FAULT_MALFORMED];
}

static void push_entry(struct pc_raft_msg *m, pc_index index, pc_term term, pc_ms stamp_ms)
{
    struct pc_entry entry = {
        .index = index, .term = term, .stamp_ms = stamp_ms, .kind = PC_ENTRY_NOOP};
    pc_err err = pc_blob_new(pc_slice_of(NULL, 0), &entry.body);
    PC_ASSERT(err == PC_OK);
    pc_entries_push(&m->entries, &entry);
    pc_entry_clear(&entry);
}

enum nonsense {
    ENTRY_TOO_FAR = 0, /* leaves a gap */
    ENTRY_OF_THE_FUTURE,
    ENTRY_TERMS_FALL,
    ENTRY_STAMPS_FALL,
    ACK_BEYOND_THE_LOG,
    ACK_OF_NO_ROUND,
    VOTE_UNASKED,
    READ_UNASKED,
    NONSENSE_N,
};

static void invent_append(
    struct pc_sim *sim, const struct sim_node *node, enum nonsense kind, struct pc_raft_msg *m)
{
    pc_index last = node->mem.last;
    bool believed = sim->params.plant == PC_SIM_PLANT_NONSENSE_MENDED;
    m->type = PC_RAFT_MSG_APPEND;
    m->u.append.prev_index = last;
    m->u.append.prev_term = node->mem.term[last];
    m->u.append.prev_chain = node->mem.chain[last];
    if (kind == ENTRY_TOO_FAR) {
        push_entry(m, believed ? last + 1 : last + 2, node->term, UINT64_MAX / 4);
    } else if (kind == ENTRY_OF_THE_FUTURE) {
        push_entry(m, last + 1, node->term + 1, UINT64_MAX / 4);
    } else if (kind == ENTRY_TERMS_FALL) {
        push_entry(m, last + 1, node->term, UINT64_MAX / 4);
        push_entry(m, last + 2, node->term - 1, UINT64_MAX / 4);
    } else {
        push_entry(m, last + 1, node->term, 2);
        push_entry(m, last + 2, node->term, 1);
    }
    if (believed && kind == ENTRY_TOO_FAR) {
        m->entries.v[0].chain = pc_entry_chain(&node->mem.chain[last], &m->entries.v[0]);
    }
}

static void invent(
    struct pc_sim *sim, const struct sim_node *node, enum nonsense kind, struct pc_raft_msg *m)
{
    switch (kind) {
    case ACK_BEYOND_THE_LOG:
        m->type = PC_RAFT_MSG_APPEND_RESP;
        m->u.append_resp.accepted = true;
        m->u.append_resp.match = node->mem.last + pc_prng_between(dice(sim), 1, 1000);
        break;
    case ACK_OF_NO_ROUND:
        m->type = PC_RAFT_MSG_APPEND_RESP;
        m->u.append_resp.accepted = true;
        m->u.append_resp.match = node->mem.last;
        m->u.append_resp.round = UINT64_MAX - pc_prng_below(dice(sim), 10);
        break;
    case VOTE_UNASKED:
        m->type = PC_RAFT_MSG_VOTE_RESP;
        m->u.vote_resp.granted = true;
        m->u.vote_resp.pre = pc_prng_chance(dice(sim), 500000);
        break;
    case READ_UNASKED:
        m->type = PC_RAFT_MSG_READ_RESP;
        m->u.read.ctx = pc_prng_next(dice(sim)) << 1;
        m->u.read.index = node->mem.last + pc_prng_below(dice(sim), 1000);
        break;
    default:
        invent_append(sim, node, kind, m);
        break;
    }
}

static bool status_equal(const struct pc_raft_status *a, const struct pc_raft_status *b)
{
    return a->role == b->role && a->term == b->term && a->vote == b->vote &&
           a->leader == b->leader && a->last == b->last && a->durable == b->durable &&
           a->commit == b->commit && a->transferring == b->transferring;
}

static void feed(struct pc_sim *sim, struct sim_node *node, const struct pc_msg *msg, int kind)
{
    struct pc_raft_status before, after;
    pc_raft_status(pc_node_raft(node->node), &before);
    struct pc_node_event event = {
        .type = PC_NODE_RECV, .now = sim_node_now(sim, node), .u.msg = msg};
    size_t writes = node->fx.writes_n;
    pc_node_step(node->node, &event, &node->fx);
    pc_raft_status(pc_node_raft(node->node), &after);
    sim->stats.nonsense++;
    if (!status_equal(&before, &after) || writes != node->fx.writes_n) {
        sim_fail(sim, PC_SIM_M4,
            "%s takes nonsense number %d to heart: term %" PRIu64 " to %" PRIu64 ", last %" PRIu64
            " to %" PRIu64,
            node->name, kind, before.term, after.term, before.last, after.last);
    }
}

/* Even nonsense comes from a life that has noted that it is met: whoever speaks has. */
static bool has_spoken(struct pc_sim *sim, const struct sim_node *node, const struct sim_node *from)
{
    const struct sim_conn *conn = sim_net_conn(sim, node->index, from->index);
    const struct pc_peer_hello *hello = &conn->hello[node->index < from->index ? 0 : 1];
    return from->identity.has_met && hello->id == from->id && hello->generation == from->generation;
}

void sim_malformed_tell(struct pc_sim *sim)
{
    struct sim_node *node = &sim->nodes[pc_prng_below(dice(sim), sim->params.nodes_n)];
    const struct sim_node *from = &sim->nodes[pc_prng_below(dice(sim), sim->params.nodes_n)];
    enum nonsense kind = (enum nonsense)pc_prng_below(dice(sim), NONSENSE_N);
    bool is_fine = node->node != NULL && !node->paused && !node->log_failed && from != node &&
                   !node->turn_due && node->mem.last > 0 && node->term > 1;
    bool may_have_asked = kind == VOTE_UNASKED &&
                          (node->role == PC_RAFT_CANDIDATE || node->role == PC_RAFT_PRECANDIDATE);
    if (!is_fine || may_have_asked || !has_spoken(sim, node, from)) {
        return;
    }
    struct pc_msg said = {.type = PC_MSG_RAFT, .from = from->own_id, .to = node->id};
    struct pc_msg heard = {0};
    said.raft = (struct pc_raft_msg){.from = said.from, .to = said.to, .term = node->term};
    invent(sim, node, kind, &said.raft);
    struct pc_buf bytes = {0};
    pc_wire_encode_msg(&said, &bytes);
    struct pc_slice slice = pc_slice_of(bytes.data, bytes.len);
    if (pc_wire_decode_msg(slice, said.from, said.to, &heard) == PC_OK) {
        feed(sim, node, &heard, (int)kind);
        pc_msg_clear(&heard);
    }
    pc_msg_clear(&said);
    pc_buf_destroy(&bytes);
}

void sim_malformed_bytes(struct pc_sim *sim, struct pc_slice bytes)
{
    bool due = sim->chaos && sim->params.fault[PC_SIM_FAULT_MALFORMED] && bytes.len > 0 &&
               pc_prng_chance(dice(sim), 50000);
    if (!due) {
        return;
    }
    struct pc_buf bad = {0}, again = {0};
    pc_buf_append(&bad, bytes.data, bytes.len);
    for (uint64_t n = pc_prng_between(dice(sim), 1, 4); n > 0; n--) {
        bad.data[pc_prng_below(dice(sim), bad.len)] = (uint8_t)pc_prng_next(dice(sim));
    }
    bad.len = pc_prng_chance(dice(sim), 300000) ? pc_prng_below(dice(sim), bad.len) : bad.len;
    struct pc_msg msg = {0};
    if (pc_wire_decode_msg(pc_slice_of(bad.data, bad.len), 1, 2, &msg) == PC_OK) {
        pc_wire_encode_msg(&msg, &again);
        if (again.len != bad.len || memcmp(again.data, bad.data, bad.len) != 0) {
            sim_fail(sim, PC_SIM_W1, "damaged bytes decode to a message (type %d) of other bytes",
                (int)msg.type);
        }
        pc_msg_clear(&msg);
    }
    sim->stats.nonsense++;
    pc_buf_destroy(&bad);
    pc_buf_destroy(&again);
}
