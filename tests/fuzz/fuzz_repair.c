/* A node whose log has a gap, among peers that may answer anything. The input is a program: who
 * comes and goes, what is answered to the node's questions, how its disk takes what it is given.
 *
 *     B.38  while the gap is open the node sends nothing of Raft: no vote, no acknowledgement; and
 *           it answers no client
 *     B.41  what has closed a gap is what stood there, whoever sent it
 *
 * and where a leader proves that it was never committed, the log is cut in front of it, no sooner.
 */
#include "fuzz/kit/raft_craft.h"

#include <stdio.h>

#include "pcache/node.h"

#define OPS_MAX 200
#define ENTRIES 24

struct world {
    struct pc_node *node;
    struct pc_node_effects fx;
    struct pc_instant now;
    struct pc_entries truth;
    struct pc_node_gap gap;
    struct pc_fetch asked; /* the latest question, and whom */
    pc_node_id asked_whom;
    struct pc_node_repair todo; /* type 0: nothing */
    struct pc_entries put;      /* of the gap so far */
    bool closed, over;
    bool proof; /* a leader has said that it has others */
    uint64_t tags_n;
};

static void make_truth(struct world *w)
{
    static const struct pc_hash none;
    for (pc_index i = 1; i <= ENTRIES; i++) {
        enum pc_entry_kind kind = i == 1 ? PC_ENTRY_CONFIG : PC_ENTRY_COMMAND;
        struct pc_entry entry = {.index = i,
            .term = 1 + i / 8,
            .stamp_ms = 1000 + i,
            .kind = kind,
            .body = craft_body(kind, 0, i == 1 ? 2 : (uint32_t)i)};
        entry.chain = pc_entry_chain(i == 1 ? &none : &w->truth.v[i - 2].chain, &entry);
        pc_entries_push(&w->truth, &entry);
        pc_entry_clear(&entry);
    }
}

static struct pc_hash chain_of(const struct world *w, pc_index index)
{
    return index == 0 ? (struct pc_hash){{0}} : w->truth.v[index - 1].chain;
}

static void start(struct world *w, const struct fuzz_op *op)
{
    static const uint8_t history[16] = {9}; /* of craft_body */
    struct pc_node_opts opts = {0};
    pc_node_opts_default(&opts);
    pc_raft_opts_default(&opts.raft);
    pc_swim_opts_default(&opts.swim);
    opts.id = CRAFT_SELF;
    opts.generation = 3;
    opts.swim.packet_bytes_max = 1340;
    opts.members_n = 3;
    (void)snprintf(opts.name, sizeof opts.name, "node1");
    for (unsigned i = 0; i < 3; i++) {
        (void)snprintf(opts.members[i], sizeof opts.members[i], "node%u", i + 1);
    }
    w->gap.first = 1 + op->a % ENTRIES;
    w->gap.last = w->gap.first + op->b % (ENTRIES + 1 - w->gap.first);
    w->gap.floor = op->c % w->gap.first;
    w->gap.before = chain_of(w, w->gap.first - 1);
    w->gap.anchor = chain_of(w, w->gap.last);
    w->gap.floor_chain = chain_of(w, w->gap.floor);
    struct pc_node_restored restored = {
        .raft = {.term = w->truth.v[ENTRIES - 1].term, .last = ENTRIES, .wall_ms = 5000},
        .config_entry = w->gap.first > 1 ? &w->truth.v[0] : NULL,
        .gaps = &w->gap,
        .gaps_n = 1,
        .history = history};
    struct pc_error error = {0};
    FUZZ_CHECK("a log with a gap starts",
        pc_node_new(&opts, &restored, w->now, &w->node, &error) == PC_OK);
}

/* ---- what a step does */
static void take_repairs(struct world *w)
{
    for (size_t i = 0; i < w->fx.repairs_n; i++) {
        FUZZ_CHECK("one thing at a time", w->todo.type == 0);
        w->todo = w->fx.repairs[i];
        w->fx.repairs[i].entries = (struct pc_entries){0};
    }
}

static void step(struct world *w, struct pc_node_event *event)
{
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = w->now};
    event->now = w->now;
    pc_node_step(w->node, event, &w->fx);
    pc_node_step(w->node, &turn, &w->fx);
    pc_node_check(w->node);
    for (size_t i = 0; i < w->fx.msgs_n; i++) {
        const struct pc_msg *msg = &w->fx.msgs[i];
        /* A leader whose term is too low to prove anything is told so. */
        bool tells_term = msg->type == PC_MSG_RAFT && msg->raft.type == PC_RAFT_MSG_APPEND_RESP &&
                          !msg->raft.u.append_resp.accepted;
        FUZZ_CHECK("B.38", tells_term || (msg->type != PC_MSG_RAFT && msg->type != PC_MSG_FORWARD));
        if (msg->type == PC_MSG_FETCH) {
            w->asked = msg->fetch;
            w->asked_whom = msg->to;
            FUZZ_CHECK("asks for what it lacks",
                msg->fetch.first > w->gap.floor && msg->fetch.last <= w->gap.last);
        }
    }
    for (size_t i = 0; i < w->fx.replies_n; i++) {
        FUZZ_CHECK("B.38", w->fx.replies[i].status != PC_REPLY_OK &&
                               w->fx.replies[i].status != PC_REPLY_NOT_FOUND);
    }
    FUZZ_CHECK("B.38", w->fx.writes_n == 0);
    take_repairs(w);
    pc_node_effects_clear(&w->fx);
}

/* ---- answers. a: who, b: how many, c: what is wrong, d: numbers */
static void answer(struct world *w, const struct fuzz_op *op)
{
    pc_node_id from = (op->a & 7) != 0 ? w->asked_whom : 2u + op->a % CRAFT_PEERS;
    struct pc_msg out, msg = {.type = PC_MSG_ENTRIES, .from = from, .to = CRAFT_SELF};
    struct pc_fetch *fetch = &msg.fetch;
    if (from == 0) {
        return;
    }
    fetch->nonce = w->asked.nonce + ((op->c & 1) != 0 ? op->d % 3 : 0);
    fetch->first = (op->c & 2) != 0 ? fuzz_near(w->asked.first, (uint8_t)op->d, 3) : w->asked.first;
    fetch->term = fuzz_near(w->truth.v[ENTRIES - 1].term, (op->c & 4) != 0 ? (uint8_t)op->d : 0, 9);
    fetch->leads = (op->c & 8) != 0;
    fetch->has_last = (op->c & 16) != 0 ? op->d % (ENTRIES + 4) : ENTRIES;
    for (pc_index i = 0; i < op->b % (ENTRIES + 1u); i++) {
        pc_index index = fetch->first + i;
        if (index == 0 || index > ENTRIES) {
            break;
        }
        struct pc_entry entry = {0};
        pc_entry_copy(&entry, &w->truth.v[index - 1]);
        if ((op->c & 32) != 0 && i == (op->d >> 8) % 8) {
            /* Another entry, well linked to the one before. */
            struct pc_hash prev = i > 0 ? fetch->v.v[i - 1].chain : chain_of(w, index - 1);
            entry.req.seq += 1;
            entry.chain = pc_entry_chain(&prev, &entry);
        }
        entry.chain.b[2] ^= (op->c & 64) != 0 && i == (op->d >> 11) % 8;
        pc_entries_push(&fetch->v, &entry);
        pc_entry_clear(&entry);
    }
    w->proof = w->proof || fetch->leads;
    if (craft_through_wire(&msg, &out)) {
        struct pc_node_event event = {.type = PC_NODE_RECV, .u.msg = &out};
        step(w, &event);
        pc_msg_clear(&out);
    }
}

/* ---- the log */
static void check_closed(const struct world *w)
{
    for (size_t i = 0; i < w->put.n; i++) {
        const struct pc_entry *entry = &w->put.v[i];
        FUZZ_CHECK("B.41", pc_hash_equal(&entry->chain, &w->truth.v[entry->index - 1].chain));
        FUZZ_CHECK("B.41", pc_slice_equal(pc_blob_slice(entry->body),
                               pc_blob_slice(w->truth.v[entry->index - 1].body)));
    }
}

static void carry_out(struct world *w, const struct fuzz_op *op)
{
    struct pc_node_repair todo = w->todo;
    w->todo = (struct pc_node_repair){0};
    if (todo.type == PC_NODE_REPAIR_PUT) {
        pc_index first = todo.entries.v[0].index;
        if (first == w->gap.first || first == w->gap.floor + 1) {
            pc_entries_clear(&w->put); /* it begins anew */
        }
        for (size_t i = 0; i < todo.entries.n; i++) {
            pc_entries_push(&w->put, &todo.entries.v[i]);
        }
        bool ok = (op->a & 7) != 7;
        w->closed = ok && w->put.v[w->put.n - 1].index == w->gap.last;
        if (!ok) {
            pc_entries_clear(&w->put);
        }
        if (w->closed) {
            check_closed(w);
        }
        struct pc_node_event event = {.type = PC_NODE_REPAIR_DONE};
        event.u.repair.ok = ok;
        event.u.repair.closed = w->closed;
        step(w, &event);
    } else if (todo.type == PC_NODE_REPAIR_REOPEN) {
        FUZZ_CHECK("only what is closed is opened anew", w->closed);
        w->over = true;
    } else if (todo.type == PC_NODE_REPAIR_CUT) {
        FUZZ_CHECK("only a leader's word cuts", w->proof);
        w->over = true;
    }
    pc_entries_clear(&todo.entries);
}

/* ---- the rest */
static void peer_event(struct world *w, const struct fuzz_op *op)
{
    struct pc_node_event event = {.type = (op->a & 1) != 0 ? PC_NODE_PEER_DOWN : PC_NODE_PEER_UP};
    struct pc_error error = {0};
    struct pc_peer_hello hello = {.id = 2 + op->b % 2, .generation = 1 + op->c % 4};
    hello.history[0] = 9;
    (void)snprintf(hello.name, sizeof hello.name, "node%u", (unsigned)hello.id);
    if (event.type == PC_NODE_PEER_UP) {
        if (pc_node_admit(w->node, &hello, &error) != PC_OK) {
            return;
        }
        event.u.hello = &hello;
    } else {
        event.u.peer = hello.id;
    }
    step(w, &event);
}

static void others_event(struct world *w, const struct fuzz_op *op)
{
    struct pc_msg out, msg = {.type = PC_MSG_FETCH, .from = 2 + op->a % 2, .to = CRAFT_SELF};
    msg.fetch.nonce = 1 + op->b;
    msg.fetch.first = 1 + op->c % ENTRIES;
    msg.fetch.last = msg.fetch.first + op->d % 8;
    if (craft_through_wire(&msg, &out)) {
        struct pc_node_event event = {.type = PC_NODE_RECV, .u.msg = &out};
        step(w, &event);
        pc_msg_clear(&out);
    }
}

static void request(struct world *w, const struct fuzz_op *op)
{
    struct pc_request request = {.tag = w->tags_n++, .type = PC_REQUEST_GET};
    request.consistency = (op->a & 1) != 0 ? PC_CONSISTENCY_LOCAL : PC_CONSISTENCY_LINEARIZABLE;
    request.key = pc_slice_str("k1");
    struct pc_node_event event = {.type = PC_NODE_CLIENT, .u.request = &request};
    step(w, &event);
}

static void run_op(struct world *w, const struct fuzz_op *op)
{
    struct pc_msg msg;
    struct pc_node_event wake = {.type = PC_NODE_WAKE};
    switch (op->code % 8) {
    case 0:
        peer_event(w, op);
        break;
    case 1:
    case 2:
        answer(w, op);
        break;
    case 3:
        carry_out(w, op);
        break;
    case 4:
        if (pc_node_wake_at(w->node).us != UINT64_MAX && pc_node_wake_at(w->node).us > w->now.us) {
            w->now = pc_node_wake_at(w->node);
        }
        step(w, &wake);
        break;
    case 5:
        if (craft_raft_msg(pc_node_raft(w->node), op, &msg)) {
            struct pc_node_event event = {.type = PC_NODE_RECV, .u.msg = &msg};
            step(w, &event);
            pc_msg_clear(&msg);
        }
        break;
    case 6:
        others_event(w, op);
        break;
    default:
        request(w, op);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct fuzz_op op;
    if (!fuzz_next(&in, &op)) {
        return 0;
    }
    struct world *w = pc_xalloc(sizeof *w);
    w->now.us = 1000 * 1000;
    make_truth(w);
    start(w, &op);
    for (int i = 0; i < OPS_MAX && !w->over && fuzz_next(&in, &op); i++) {
        run_op(w, &op);
    }
    pc_entries_clear(&w->todo.entries);
    pc_entries_clear(&w->put);
    pc_entries_clear(&w->truth);
    pc_node_delete(w->node);
    pc_node_effects_destroy(&w->fx);
    free(w);
    return 0;
}
