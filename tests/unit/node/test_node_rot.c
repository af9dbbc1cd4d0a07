/* Entries in front of the snapshot that cannot be read back, and a snapshot that may be no better.
 */
#include "unit/node/node_snaps.h"

#define WRITES 40

/* Three nodes with the same WRITES and more entries, all of them on disk only after a start. Each
 * makes a snapshot and drops its log up to `upto`. */
static struct net *net_with_snapshots(pc_index upto)
{
    struct net *net = net_new_formed(3);
    for (uint64_t k = 1; k <= WRITES; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%u", (unsigned)k);
        net_set(net, 1, k, key, "v");
        net_settle(net);
        net->nodes[1].replies_n = 0;
    }
    net_run(net, 500);
    for (size_t i = 1; i <= 3; i++) {
        net->nodes[i].opts.raft.tail_bytes_max = 1;
        snaps_attach(net, i);
        snaps_make(net, i, upto);
    }
    return net;
}

static void end(struct net *net)
{
    snaps_detach_all(net);
    net_delete(net);
}

/* With its snapshot, or without any. */
static void restart(struct net *net, size_t i, bool with_snapshot)
{
    struct net_node *node = &net->nodes[i];
    net_crash(net, i);
    snaps_forget_asked(snaps_of(net, i));
    struct pc_term_run runs[64];
    struct pc_node_snapshot snapshot = snaps_found(net, i);
    if (with_snapshot && node->commit < snapshot.meta.base.index) {
        node->commit = snapshot.meta.base.index;
    }
    struct pc_node_restored restored = net_restored(node, runs);
    restored.raft.first = node->dropped_upto + 1;
    restored.snapshot = with_snapshot ? &snapshot : NULL;
    net_start_with(net, i, &restored);
}

static void write_more(struct net *net, size_t leader, unsigned count)
{
    for (unsigned k = 1; k <= count; k++) {
        net_set(net, leader, 5000 + k, "more", "v");
        snaps_run(net, 20);
        net->nodes[leader].replies_n = 0;
    }
}

static void assert_all_have(struct net *net, pc_index index)
{
    for (size_t i = 1; i <= 3; i++) {
        struct pc_node_status status = net_status(net, i);
        assert_false(status.failed);
        assert_true(status.applied >= index);
        assert_true(status.ready);
    }
}

/* Its vote is given by what it has acknowledged, readable or not. */
static void assert_votes_by(struct net *net, size_t i, pc_index last)
{
    struct pc_raft_status raft = net_status(net, i).raft;
    assert_int_equal(raft.last, last);
    assert_int_equal(raft.doubt, 0);
}

static void replay__meets_rot__waits_for_a_peers_snapshot(void **state)
{
    (void)state;
    for (pc_index rotten = 1; rotten <= 25; rotten += 12) {
        struct net *net = net_with_snapshots(0);
        struct net_node *node = &net->nodes[3];
        pc_index all = net_status(net, 3).raft.last;
        node->rots_from = rotten;
        node->rots_upto = rotten + 5;
        restart(net, 3, false);
        snaps_run(net, 1000);
        struct pc_node_status status = net_status(net, 3);
        assert_false(status.failed || status.ready);
        assert_int_equal(status.applied, rotten - 1); /* alone as it is */
        assert_true(node->loads_answered < 20);
        assert_votes_by(net, 3, all);
        net_connect_all(net, 3);
        snaps_run(net, 3000);
        assert_true(net_has_note(net, 3, PC_NOTE_REPAIR));
        write_more(net, net_leader(net), 3);
        assert_all_have(net, all + 3);
        end(net);
    }
}

/* Where nobody else could have them there is nothing to wait for. */
static void replay__meets_rot_and_has_no_peer__ends_the_node(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    net_run(net, 3000);
    net_set(net, 1, 1, "key", "v");
    net_settle(net);
    net->nodes[1].opts.raft.tail_bytes_max = 1;
    net->nodes[1].rots_from = net->nodes[1].rots_upto = 2;
    net_crash(net, 1);
    net_start(net, 1);
    net_run(net, 3000);
    assert_true(net_status(net, 1).failed);
    net_delete(net);
}

/* The snapshot cannot be loaded, and what it would be made of again cannot be read. */
static void snapshot__damaged_and_the_log_rotten__is_fetched_from_a_peer(void **state)
{
    (void)state;
    for (pc_index dropped = 0; dropped <= 10; dropped += 10) {
        struct net *net = net_with_snapshots(dropped);
        struct net_node *node = &net->nodes[3];
        pc_index all = net_status(net, 3).raft.last;
        pc_index base = snaps_of(net, 3)->newest.base.index;
        node->rots_from = 15;
        node->rots_upto = 16;
        restart(net, 3, true);
        snaps_of(net, 3)->read_err = PC_E_CORRUPT;
        snaps_run(net, 1000);
        assert_false(net_status(net, 3).failed || net_status(net, 3).ready);
        assert_votes_by(net, 3, all);
        snaps_of(net, 3)->read_err = PC_OK;
        net_connect_all(net, 3);
        snaps_run(net, 5000);
        write_more(net, net_leader(net), 3);
        assert_all_have(net, all + 3);
        assert_true(snaps_of(net, 3)->newest.base.index >= (dropped > 0 ? base : 16));
        end(net);
    }
}

/* Asks node 3, as node 1, for entries from `first` on; returns how many come. */
static size_t fetch_from_3(struct net *net, pc_index first)
{
    struct pc_msg msg = {.type = PC_MSG_FETCH, .from = net->nodes[1].opts.id};
    msg.to = net->nodes[3].opts.id;
    msg.fetch.nonce = 77;
    msg.fetch.first = first;
    msg.fetch.last = first + 5;
    net_recv(net, 3, &msg);
    while (net->nodes[3].loads_n > 0) {
        net_load_answer(net, 3, 100);
    }
    struct pc_msg answer = net_hold(net, PC_MSG_ENTRIES, 3, 1);
    size_t count = answer.fetch.v.n + answer.fetch.raw.n;
    pc_msg_clear(&answer);
    return count;
}

/* Peers ask for what is rotten before there is a snapshot again: no node that ends for it would
 * ever get one. */
static void rot__asked_for_without_a_snapshot_that_loads__ends_nobody(void **state)
{
    (void)state;
    struct net *net = net_with_snapshots(10);
    struct net_node *node = &net->nodes[3];
    pc_index all = net_status(net, 3).raft.last;
    pc_index base = snaps_of(net, 3)->newest.base.index;
    node->rots_from = 15;
    node->rots_upto = 16;
    restart(net, 3, true);
    snaps_of(net, 3)->read_err = PC_E_CORRUPT;
    snaps_run(net, 500);
    net_connect(net, 3, 1);
    net_drop(net, PC_MSG_SNAP_ASK, 3, 1);
    assert_int_equal(fetch_from_3(net, 12), 3);
    assert_int_equal(fetch_from_3(net, 15), 0);
    assert_int_equal(net_status(net, 3).raft.first, base + 1);
    assert_int_equal(fetch_from_3(net, 12), 0); /* nothing in front of it any more */
    assert_false(net_status(net, 3).failed || net_status(net, 3).ready);
    assert_votes_by(net, 3, all);
    snaps_of(net, 3)->read_err = PC_OK;
    net_connect_all(net, 3);
    write_more(net, net_leader(net), 2);
    snaps_run(net, 5000);
    assert_all_have(net, all + 2);
    end(net);
}

/* A peer lags, and the leader has not loaded the snapshot yet that stands for what it lacks. */
static void rot__asked_for_while_the_snapshot_is_loaded__is_given_up_at_once(void **state)
{
    (void)state;
    struct net *net = net_with_snapshots(0);
    struct net_node *node = &net->nodes[1];
    pc_index base = snaps_of(net, 1)->newest.base.index;
    pc_index all = net_status(net, 1).raft.last;
    net_crash(net, 2);
    while (net->nodes[2].disk.n > 8) {
        pc_entry_clear(&net->nodes[2].disk.v[--net->nodes[2].disk.n]);
    }
    net->nodes[2].commit = 8;
    node->rots_from = 15;
    node->rots_upto = 16;
    restart(net, 1, true);
    snaps_of(net, 1)->read_err = PC_E_AGAIN; /* it takes its time */
    net_start(net, 2);
    net_connect_all(net, 2);
    net_connect_all(net, 1);
    net_crash(net, 3);
    for (int i = 0; i < 50 && net_leader(net) != 1; i++) {
        snaps_run(net, 100);
    }
    assert_int_equal(net_leader(net), 1);
    node->loads_answered = 0;
    snaps_run(net, 1000);
    assert_int_equal(net_status(net, 1).applied, 0);
    assert_int_equal(net_status(net, 1).raft.first, base + 1);
    assert_true(node->loads_answered < 10);
    restart(net, 3, true);
    net_connect_all(net, 3);
    snaps_of(net, 1)->read_err = PC_OK;
    snaps_run(net, 5000);
    write_more(net, net_leader(net), 2);
    snaps_run(net, 500);
    assert_all_have(net, all + 2);
    end(net);
}

/* Nothing is wrong with the log: a descriptor was missing. */
static void load__fails_for_want_of_something__is_tried_again_in_a_while(void **state)
{
    (void)state;
    struct net *net = net_with_snapshots(0);
    struct net_node *node = &net->nodes[3];
    pc_index all = net_status(net, 3).raft.last;
    node->holds_loads = true;
    restart(net, 3, false);
    size_t tries = 0;
    for (int i = 0; i < 100; i++) {
        snaps_run(net, 10);
        for (; node->loads_n > 0; tries++) {
            net_load_answer(net, 3, 0);
        }
    }
    assert_in_range(tries, 3, 7);
    node->holds_loads = false;
    snaps_run(net, 500);
    assert_false(net_status(net, 3).failed);
    assert_true(net_status(net, 3).applied >= node->commit && node->commit + 3 > all);
    end(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(replay__meets_rot__waits_for_a_peers_snapshot),
    PC_TEST(replay__meets_rot_and_has_no_peer__ends_the_node),
    PC_TEST(snapshot__damaged_and_the_log_rotten__is_fetched_from_a_peer),
    PC_TEST(rot__asked_for_without_a_snapshot_that_loads__ends_nobody),
    PC_TEST(rot__asked_for_while_the_snapshot_is_loaded__is_given_up_at_once),
    PC_TEST(load__fails_for_want_of_something__is_tried_again_in_a_while),
};
PC_TEST_MAIN("node_rot", tests)
