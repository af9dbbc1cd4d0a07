/* Lost entries that the peers have dropped: a snapshot stands for them. */
#include "unit/node/node_lost.h"
#include "unit/node/node_snaps.h"

/* The log of node 3 is opened anew behind this snapshot; what it does not cover may stay missing.
 */
static void restore_behind(struct net *net, struct lost *lost, const struct pc_raft_base *base)
{
    struct net_node *node = &net->nodes[3];
    struct pc_node_gap gap = lost->gap;
    for (size_t k = node->disk.n; k < base->index; k++) {
        pc_entries_push(&node->disk, &net->nodes[1].disk.v[k]); /* never to be loaded */
    }
    node->dropped_upto = base->index;
    node->commit = base->index;
    bool is_covered = gap.last <= base->index;
    for (pc_index k = base->index + 1 - gap.first; is_covered && k < lost->rest.n; k++) {
        pc_entries_push(&node->disk, &lost->rest.v[k]);
    }
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(node, runs);
    restored.raft.first = base->index + 1;
    restored.config_entry = NULL; /* the log has none any more: the snapshot does */
    if (!is_covered) {
        gap.first = gap.floor = base->index + 1;
        gap.floor--;
        gap.before = gap.floor_chain = base->chain;
        restored.raft.last = gap.first + lost->rest.n - 1;
        restored.gaps = &gap;
        restored.gaps_n = 1;
        for (size_t k = 0; k < gap.first - lost->gap.first; k++) {
            pc_entry_clear(&lost->rest.v[k]);
        }
        lost->rest.n -= gap.first - lost->gap.first;
        memmove(lost->rest.v, lost->rest.v + (gap.first - lost->gap.first),
            lost->rest.n * sizeof *lost->rest.v);
        lost->gap = gap;
    }
    struct pc_node_event event = {.type = PC_NODE_RESTORED};
    event.u.restored = &restored;
    net_do(net, 3, &event);
}

/* Repairs node 3 until it is whole; returns the base of the first snapshot that helped. */
static pc_index run_with_snapshots(struct net *net, struct lost *lost)
{
    pc_index base = 0;
    for (int i = 0; i < 400 && is_repairing(net, 3); i++) {
        snaps_run(net, 10);
        struct pc_node_repair *repair = &net->nodes[3].repair;
        if (repair->type == PC_NODE_REPAIR_REOPEN && repair->base.index > 0) {
            assert_int_equal(base, 0);
            base = repair->base.index;
            struct pc_raft_base of = repair->base;
            *repair = (struct pc_node_repair){0};
            restore_behind(net, lost, &of);
        } else {
            (void)carry_out(net, 3, lost);
        }
    }
    assert_false(is_repairing(net, 3));
    assert_false(lost->cuts);
    return base;
}

/* Everybody has made a snapshot and dropped its log in front of it. */
static void gap__dropped_by_all_peers__is_covered_by_their_snapshot(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    pc_index all = net_status(net, 1).applied;
    for (size_t i = 1; i <= 3; i++) {
        snaps_attach(net, i);
    }
    snaps_make(net, 1, 30);
    snaps_make(net, 2, 30);
    struct lost lost = lose(net, 3, 10, 25);
    net_connect_all(net, 3);
    assert_int_equal(run_with_snapshots(net, &lost), all);
    net_set(net, 1, 5, "after", "v");
    snaps_run(net, 1000);
    assert_true(net_status(net, 3).applied > all);
    assert_true(net_status(net, 3).formed);
    assert_false(net_status(net, 3).failed);
    pc_entries_clear(&lost.rest);
    snaps_detach_all(net);
    net_delete(net);
}

/* The snapshot ends in the gap, and the peers have what is behind it. */
static void gap__covered_in_part_by_a_snapshot__gets_the_rest_as_entries(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t i = 1; i <= 3; i++) {
        snaps_attach(net, i);
    }
    for (uint64_t i = 1; i <= WRITES; i++) {
        net_set(net, 1, 1000 + i, "k", "v");
        net_settle(net);
        if (i == 15) {
            net_run(net, 200);
            snaps_make(net, 1, 15);
            snaps_make(net, 2, 15);
        }
    }
    net_run(net, 200);
    pc_index base = snaps_of(net, 1)->newest.base.index, all = net_status(net, 1).applied;
    struct lost lost = lose(net, 3, 10, 25);
    assert_true(base > 10 && base < 25);
    net_connect_all(net, 3);
    assert_int_equal(run_with_snapshots(net, &lost), base);
    assert_true(lost.reopens);
    snaps_run(net, 1000);
    assert_int_equal(net_status(net, 3).applied, all);
    pc_entries_clear(&lost.rest);
    snaps_detach_all(net);
    net_delete(net);
}

/* Not even entry 1 is left of what the cluster began with. */
static void whole_log__lost_and_its_beginning_dropped__comes_back_by_a_snapshot(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    uint8_t history[16];
    memcpy(history, net_status(net, 1).history, sizeof history);
    for (size_t i = 1; i <= 3; i++) {
        snaps_attach(net, i);
    }
    for (size_t i = 1; i <= 2; i++) { /* nor has anybody entry 1 in memory */
        net_crash(net, i);
        net_start(net, i);
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    assert_int_not_equal(net_leader(net), 0);
    snaps_make(net, 1, 30);
    snaps_make(net, 2, 30);
    net_crash(net, 3);
    pc_entries_clear(&net->nodes[3].disk);
    net->nodes[3].commit = 0;
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[3], runs);
    restored.history = history;
    restored.raft.doubt = net->nodes[3].term;
    restored.raft.term = ++net->nodes[3].term;
    restored.raft.vote = net->nodes[3].vote = 0;
    net_start_with(net, 3, &restored);
    net_connect_all(net, 3);
    snaps_run(net, 6000);
    struct pc_node_status status = net_status(net, 3);
    assert_true(status.formed);
    assert_int_equal(status.applied, net_status(net, 1).applied);
    snaps_detach_all(net);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(gap__dropped_by_all_peers__is_covered_by_their_snapshot),
    PC_TEST(gap__covered_in_part_by_a_snapshot__gets_the_rest_as_entries),
    PC_TEST(whole_log__lost_and_its_beginning_dropped__comes_back_by_a_snapshot),
};
PC_TEST_MAIN("node_repair_snapshot", tests)
