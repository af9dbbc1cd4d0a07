/* node_lost.h: nodes of node_net.h that have lost entries of their logs, and the repair that they
 * ask for, which the test carries out. */
#ifndef NODE_LOST_H
#define NODE_LOST_H

#include "unit/node/node_net.h"

#define WRITES 40

/* Three nodes, node 1 leads, every node has the same WRITES and more entries. */
static inline struct net *net_with_writes(void)
{
    struct net *net = net_new_formed(3);
    for (uint64_t i = 1; i <= WRITES; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", (unsigned)i);
        net_set(net, 1, 1000 + i, key, "v");
        net_settle(net);
        net_assert_reply(net, 1, 1000 + i, PC_REPLY_OK);
        net->nodes[1].replies_n = 0;
    }
    net_run(net, 200);
    assert_int_equal(net->nodes[2].disk.n, net->nodes[1].disk.n);
    assert_int_equal(net->nodes[3].disk.n, net->nodes[1].disk.n);
    return net;
}

/* What the disk of a node with a gap holds: `disk` up to the gap, `rest` with and behind it. */
struct lost {
    struct pc_node_gap gap;
    struct pc_entries rest;
    bool reopens;
    bool cuts;
};

static inline void move_rest(struct net_node *node, struct lost *lost, pc_index from)
{
    for (size_t k = from - 1; k < node->disk.n; k++) {
        pc_entries_push(&lost->rest, &node->disk.v[k]);
    }
    while (node->disk.n >= from) {
        pc_entry_clear(&node->disk.v[--node->disk.n]);
    }
}

/* Crashes node i and starts it without first..last, with this doubt noted. */
static inline struct lost lose_under_doubt(
    struct net *net, size_t i, pc_index first, pc_index last, pc_term doubt)
{
    struct net_node *node = &net->nodes[i];
    struct lost lost = {.gap = {.first = first, .last = last}};
    uint8_t history[16];
    memcpy(history, net_status(net, i).history, 16);
    net_crash(net, i);
    lost.gap.anchor = node->disk.v[last - 1].chain;
    lost.gap.before = first > 1 ? node->disk.v[first - 2].chain : (struct pc_hash){{0}};
    lost.gap.floor = first > 3 ? first - 3 : first - 1;
    lost.gap.floor_chain =
        lost.gap.floor > 0 ? node->disk.v[lost.gap.floor - 1].chain : (struct pc_hash){{0}};
    pc_index all = node->disk.n;
    move_rest(node, &lost, first);
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(node, runs);
    restored.raft.last = all;
    restored.raft.doubt = doubt;
    restored.gaps = &lost.gap;
    restored.gaps_n = 1;
    restored.history = history;
    net_start_with(net, i, &restored);
    return lost;
}

static inline struct lost lose(struct net *net, size_t i, pc_index first, pc_index last)
{
    return lose_under_doubt(net, i, first, last, 0);
}

static inline void restore(struct net *net, size_t i, struct lost *lost)
{
    struct net_node *node = &net->nodes[i];
    struct pc_term_run runs[64];
    if (!lost->cuts) {
        for (size_t k = lost->gap.last + 1 - lost->gap.first; k < lost->rest.n; k++) {
            pc_entries_push(&node->disk, &lost->rest.v[k]);
        }
    }
    struct pc_node_restored restored = net_restored(node, runs);
    if (lost->cuts) {
        restored.raft.doubt = node->term;
        restored.raft.term = ++node->term;
        restored.raft.vote = node->vote = 0;
    }
    struct pc_node_event event = {.type = PC_NODE_RESTORED};
    event.u.restored = &restored;
    net_do(net, i, &event);
}

/* Does what the node wants done; false when that is nothing. */
static inline bool carry_out(struct net *net, size_t i, struct lost *lost)
{
    struct net_node *node = &net->nodes[i];
    struct pc_node_repair repair = node->repair;
    node->repair = (struct pc_node_repair){0};
    if (repair.type == PC_NODE_REPAIR_PUT) {
        for (size_t k = 0; k < repair.entries.n; k++) {
            const struct pc_entry *entry = &repair.entries.v[k];
            assert_int_equal(entry->index, node->disk.n + 1);
            const struct pc_entry *want = &lost->rest.v[entry->index - lost->gap.first];
            assert_true(pc_hash_equal(&entry->chain, &want->chain));
            pc_entries_push(&node->disk, entry);
        }
        struct pc_node_event event = {.type = PC_NODE_REPAIR_DONE};
        event.u.repair.ok = true;
        event.u.repair.closed = node->disk.n >= lost->gap.last;
        net_do(net, i, &event);
    } else if (repair.type != 0) {
        lost->reopens = repair.type == PC_NODE_REPAIR_REOPEN;
        lost->cuts = repair.type == PC_NODE_REPAIR_CUT;
        restore(net, i, lost);
    }
    pc_entries_clear(&repair.entries);
    return repair.type != 0;
}

static inline void run_repair(struct net *net, size_t i, struct lost *lost, pc_ms ms)
{
    for (pc_ms past = 0; past < ms; past += 50) {
        while (carry_out(net, i, lost)) {
            net_settle(net);
        }
        net_run(net, 50);
    }
}

static inline bool is_repairing(const struct net *net, size_t i)
{
    struct pc_node_status status = net_status(net, i);
    return strcmp(status.role, "repairing") == 0;
}

#endif
