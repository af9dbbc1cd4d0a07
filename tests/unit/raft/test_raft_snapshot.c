/* Logs that do not begin at 1: what is gone, who needs a snapshot, and one that is taken over. */
#include "unit/raft/raft_net.h"

/* Leader 1 of three, with entries to 2 + n on all disks but that of 3, which is away from entry 3
 * on. */
static struct net *net_with_laggard(size_t n)
{
    struct net *net = net_new_members("v123", 3);
    net->opts.tail_bytes_max = 0;
    for (pc_node_id id = 1; id <= 3; id++) {
        net_crash(net, id);
        net_start(net, id);
    }
    net_elect(net, 1);
    net->cut[1][3] = net->cut[2][3] = true;
    for (size_t i = 0; i < n; i++) {
        net_propose(net, 1, "x");
        net_settle(net);
    }
    assert_int_equal(net_status(net, 1).commit, 2 + n);
    return net;
}

static void reconnect(struct net *net)
{
    memset(net->cut, 0, sizeof net->cut);
}

static void compacted__status_and_terms__begin_behind_the_snapshot(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    assert_int_equal(net_status(net, 1).first, 1);
    net_compact(net, 1, 5);
    assert_int_equal(net_status(net, 1).first, 6);
    pc_term term = net_status(net, 1).term;
    assert_int_equal(pc_raft_term_at(net->nodes[1].raft, 5), term);
    assert_int_equal(pc_raft_term_at(net->nodes[1].raft, 8), term);
    assert_int_equal(pc_raft_term_at(net->nodes[1].raft, 0), 0);
    net_compact(net, 1, 8); /* all of it */
    assert_int_equal(net_status(net, 1).first, 9);
    net_propose(net, 1, "y");
    net_settle(net);
    assert_int_equal(net_status(net, 2).commit, 9);
    net_delete(net);
}

static void compacted__what_is_in_memory__is_sent_all_the_same(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 3);
    net_elect(net, 1);
    net->cut[1][3] = true;
    net_propose(net, 1, "x");
    net_settle(net);
    net_compact(net, 1, 3);
    assert_int_equal(net_status(net, 1).first, 1);
    reconnect(net);
    net_run(net, 200);
    assert_int_equal(net->nodes[3].needs_n, 0);
    net_assert_converged(net);
    net_delete(net);
}

static void started__behind_a_snapshot__goes_on(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    net_compact(net, 1, 8);
    net_compact(net, 2, 5);
    for (pc_node_id id = 1; id <= 2; id++) {
        net_crash(net, id);
        net_start(net, id);
    }
    assert_int_equal(net_status(net, 1).last, 8);
    assert_int_equal(net_status(net, 1).commit, 8);
    assert_int_equal(net_status(net, 1).first, 9);
    assert_int_equal(pc_raft_config_get(net->nodes[1].raft)->voters_n, 3);
    net_elect(net, 1);
    net_propose(net, 1, "y");
    net_settle(net);
    assert_int_equal(net_status(net, 2).last, 10);
    net_delete(net);
}

/* The process ended when the snapshot of a later term had its name, and before the slots of term
 * and vote said so. */
static void started__snapshot_of_a_later_term_is_all_there_is__takes_its_term(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    struct pc_raft_base base = {.index = 8, .term = 7, .stamp_ms = 5};
    struct pc_raft_restored restored = {
        .term = 6,
        .vote = 2,
        .last = 8,
        .first = 9,
        .commit = 8,
        .base = &base,
        .config = {.index = 1, .voters_n = 3, .voters = {1, 2, 3}},
    };
    struct pc_raft_opts opts = net->opts;
    struct pc_raft_status status;
    opts.id = 1;
    struct pc_raft *raft = pc_raft_new(&opts, &restored, net->now);
    pc_raft_check(raft);
    pc_raft_status(raft, &status);
    assert_int_equal(status.term, 7);
    assert_int_equal(status.vote, 0);
    assert_int_equal(pc_raft_term_at(raft, 8), 7);
    pc_raft_delete(raft);
    net_delete(net);
}

static void peer__needs_what_is_gone__is_told_and_goes_on_behind_the_snapshot(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    struct pc_raft_peer_status peer;
    net_compact(net, 1, 6);
    reconnect(net);
    net_run(net, 200);
    assert_true(net->nodes[3].needs_n > 1); /* with every hint */
    assert_int_equal(net->nodes[3].need.at_least, 6);
    assert_int_equal(net->nodes[3].need.leader, 1);
    assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    assert_true(peer.needs_snapshot);
    assert_int_equal(net_leader(net), 1); /* a hint is as good as a heartbeat */
    net_run(net, 3000);
    assert_int_equal(net_status(net, 3).elections_started, 0);
    assert_int_equal(net_status(net, 3).leader, 1);
    net_install(net, 3, 1);
    assert_int_equal(net_status(net, 3).commit, 6);
    assert_int_equal(net_status(net, 3).first, 7);
    net_run(net, 200);
    net_assert_converged(net);
    assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    assert_false(peer.needs_snapshot);
    net_delete(net);
}

static void peer__answers_a_hint__counts_for_reads(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    net_compact(net, 1, 6);
    net_crash(net, 2);
    reconnect(net);
    net_run(net, 200);
    net_read(net, 1, 4);
    net_settle(net);
    assert_int_equal(net->nodes[1].reads_n, 1);
    assert_int_equal(net->nodes[1].reads[0].index, 8);
    net_delete(net);
}

static void peer__has_it_from_elsewhere_meanwhile__needs_no_snapshot(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    net_compact(net, 1, 6);
    reconnect(net);
    net_run(net, 100);
    size_t before = net->nodes[3].needs_n;
    net_offer(net, 3, 2, 3, 8);
    net_run(net, 200);
    assert_true(net->nodes[3].needs_n <= before + 1);
    net_assert_converged(net);
    assert_int_equal(net_status(net, 3).first, 1);
    net_delete(net);
}

/* Its log is long enough, and another one: no APPEND ever fits, and no hint is left out. */
static void peer__long_log_that_is_another__is_told_in_the_end(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 3);
    net->opts.tail_bytes_max = 0;
    for (pc_node_id id = 1; id <= 3; id++) {
        net_crash(net, id);
        for (int i = 0; i < 8; i++) {
            net_disk_add(net, id, id == 3 ? 2 : 3, id == 3 ? "lost" : "kept");
        }
        net->nodes[id].commit = id == 3 ? 1 : 9;
        net_start(net, id);
    }
    net->cut[1][3] = true;
    net_elect(net, 1);
    net_compact(net, 1, 7);
    reconnect(net);
    net_run(net, 50);
    net_run(net, 500);
    assert_true(net->nodes[3].needs_n > 0);
    assert_int_equal(net->nodes[3].need.at_least, 7);
    assert_int_equal(net_status(net, 3).last, 9);
    net_install(net, 3, 1);
    assert_int_equal(net_status(net, 3).last, 7);
    net_run(net, 300);
    net_assert_converged(net);
    net_delete(net);
}

static void load__gone_meanwhile__is_given_up(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    reconnect(net);
    net->load_max = 0; /* loads fail */
    net_sleep(net, 50);
    net_time_out(net, 1);
    while (net->nodes[1].loads_n == 0) {
        assert_true(net->msgs_n > 0);
        net_deliver_at(net, 0);
    }
    struct net_node *node = &net->nodes[1];
    struct pc_entries entries = {0};
    for (pc_index i = node->loads[0].first; i <= node->loads[0].last; i++) {
        pc_entries_push(&entries, net_disk_at(node, i));
    }
    node->loads_n = 0;
    net_compact(net, 1, 6);
    struct pc_raft_event event = {.type = PC_RAFT_LOADED};
    event.u.loaded.peer = 3;
    event.u.loaded.entries = &entries;
    net_drop_all(net);
    net_do(net, 1, &event);
    pc_entries_clear(&entries);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND, 1, 3), 0);
    net_run(net, 200);
    assert_true(net->nodes[3].needs_n > 0);
    net_delete(net);
}

/* ---- taking one over */

static void install__entry_is_here__tail_stays(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    net_offer(net, 3, 2, 3, 8);
    (void)net_sync(net, 3);
    assert_int_equal(net_status(net, 3).commit, 2);
    net_compact(net, 1, 6);
    net_install(net, 3, 1);
    assert_int_equal(net_status(net, 3).commit, 6);
    assert_int_equal(net_status(net, 3).last, 8);
    assert_int_equal(net->nodes[3].queue_n, 0); /* nothing is written anew */
    reconnect(net);
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

static void install__log_ends_before__begins_anew_and_survives_a_crash(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    net_compact(net, 1, 6);
    net_install(net, 3, 1);
    assert_int_equal(net_status(net, 3).last, 6);
    assert_int_equal(net_status(net, 3).durable, 6);
    assert_int_equal(net->nodes[3].queue_n, 1);
    assert_true(net->nodes[3].queue[0].has_reset);
    net_crash(net, 3); /* before the log's own files say so */
    net_start(net, 3);
    assert_int_equal(net_status(net, 3).last, 6);
    reconnect(net);
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

/* Entries that were on their way to the disk are void, and so is what was to be said of them. */
static void install__acknowledgements_held_back__are_dropped(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(2);
    net->nodes[3].holds_disk = true;
    reconnect(net);
    net_run(net, 200);
    assert_true(net->nodes[3].queue_n > 0);
    assert_int_equal(net_status(net, 3).last, 4);
    net->cut[1][3] = true;
    for (int i = 0; i < 4; i++) {
        net_propose(net, 1, "y");
        net_settle(net);
    }
    net_compact(net, 1, 7);
    net_drop_all(net);
    net_install(net, 3, 1);
    net->nodes[3].holds_disk = false;
    net_drop_all(net);
    (void)net_sync(net, 3);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND_RESP, 3, 0), 0);
    assert_int_equal(net_status(net, 3).durable, 7);
    reconnect(net);
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

/* The leader of this term has, and was told, another entry at that place: it is deposed, and does
 * not know. What was acknowledged to it may go, but not in the term in which it was. */
static void install__another_entry_acknowledged_in_this_term__ends_the_term(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    struct pc_raft_status before = net_status(net, 2);
    struct pc_raft_config config = *pc_raft_config_get(net->nodes[2].raft);
    struct pc_raft_install install = {.base = {.index = 9, .term = before.term}, .config = &config};
    install.base.stamp_ms = net_disk_at(&net->nodes[2], 8)->stamp_ms;
    install.base.chain.b[0] = 1;
    net->cut[1][2] = false;
    net_propose(net, 1, "y");
    net->nodes[1].holds_disk = true;
    net->nodes[2].applies_nothing = true;
    net_settle(net); /* 2 has 9 durable and has said so; 3 and 1 have not */
    assert_int_equal(net_status(net, 2).commit, 8);
    net->nodes[2].floor = install.base;
    net->nodes[2].floor_config = config;
    pc_entries_clear(&net->nodes[2].disk);
    struct pc_raft_event event = {.type = PC_RAFT_INSTALL};
    event.u.install = &install;
    net->nodes[2].term = before.term + 1;
    struct pc_raft_effects fx = {0};
    struct pc_raft_event turn = {.type = PC_RAFT_TURN, .now = net->now};
    event.now = net->now;
    pc_raft_step(net->nodes[2].raft, &event, &fx);
    pc_raft_step(net->nodes[2].raft, &turn, &fx);
    assert_int_equal(fx.writes_n, 2); /* a crash in between must not show the old term alone */
    assert_true(fx.writes[0].has_vote && !fx.writes[0].has_reset);
    assert_int_equal(fx.writes[0].term, before.term + 1);
    assert_true(fx.writes[1].has_reset && !fx.writes[1].has_vote);
    pc_raft_effects_destroy(&fx);
    pc_raft_check(net->nodes[2].raft);
    assert_int_equal(net_status(net, 2).term, before.term + 1);
    assert_int_equal(net_status(net, 2).leader, 0);
    assert_int_equal(net_status(net, 2).last, 9);
    net_delete(net);
}

/* What was acknowledged may have been by the process before this one. */
static void install__another_entry_on_disk_since_before_a_restart__ends_the_term(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    net->cut[1][2] = net->cut[1][3] = true;
    net_crash(net, 2);
    net_start(net, 2);
    struct pc_raft_status before = net_status(net, 2);
    assert_int_equal(before.last, 8);
    assert_true(before.commit < 8);
    struct pc_raft_config config = *pc_raft_config_get(net->nodes[2].raft);
    struct pc_raft_install install = {.base = {.index = 8, .term = before.term}, .config = &config};
    install.base.stamp_ms = net_disk_at(&net->nodes[2], 8)->stamp_ms;
    install.base.chain.b[0] = 1;
    struct pc_raft_event event = {.type = PC_RAFT_INSTALL, .now = net->now};
    event.u.install = &install;
    struct pc_raft_effects fx = {0};
    pc_raft_step(net->nodes[2].raft, &event, &fx);
    pc_raft_effects_destroy(&fx);
    pc_raft_check(net->nodes[2].raft);
    assert_int_equal(net_status(net, 2).term, before.term + 1);
    net_delete(net);
}

static void install__configs__are_those_of_the_snapshot(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    net->opts.tail_bytes_max = 0;
    net_crash(net, 1);
    net_start(net, 1);
    net_elect(net, 1);
    net_change(net, 1, "v123 l4");
    net_settle(net);
    net_propose(net, 1, "x");
    net_settle(net);
    net_compact(net, 1, 4);
    net_join(net, 4);
    net_run(net, 200);
    assert_int_equal(net->nodes[4].need.at_least, 4);
    net_install(net, 4, 1);
    assert_int_equal(pc_raft_config_get(net->nodes[4].raft)->index, 3);
    assert_int_equal(pc_raft_config_get(net->nodes[4].raft)->learners[0], 4);
    net_run(net, 200);
    net_assert_converged(net);
    net_crash(net, 4);
    net_start(net, 4);
    assert_int_equal(pc_raft_config_get(net->nodes[4].raft)->learners[0], 4);
    net_delete(net);
}

/* A node in doubt about its log's end: the snapshot's term is behind it. */
static void install__of_a_later_term__ends_doubt(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(6);
    net_crash(net, 3);
    while (net->nodes[3].disk.n > 1) { /* what was behind it is lost, and it may have voted */
        pc_entry_clear(&net->nodes[3].disk.v[--net->nodes[3].disk.n]);
    }
    net->nodes[3].doubt = 1;
    net->nodes[3].vote = 0;
    net->nodes[3].commit = 1;
    net_start(net, 3);
    assert_int_equal(net_status(net, 3).doubt, 1);
    net_compact(net, 1, 6);
    net_install(net, 3, 1);
    assert_int_equal(net_status(net, 3).doubt, 0);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(compacted__status_and_terms__begin_behind_the_snapshot),
    PC_TEST(compacted__what_is_in_memory__is_sent_all_the_same),
    PC_TEST(started__behind_a_snapshot__goes_on),
    PC_TEST(started__snapshot_of_a_later_term_is_all_there_is__takes_its_term),
    PC_TEST(peer__needs_what_is_gone__is_told_and_goes_on_behind_the_snapshot),
    PC_TEST(peer__answers_a_hint__counts_for_reads),
    PC_TEST(peer__has_it_from_elsewhere_meanwhile__needs_no_snapshot),
    PC_TEST(peer__long_log_that_is_another__is_told_in_the_end),
    PC_TEST(load__gone_meanwhile__is_given_up),
    PC_TEST(install__entry_is_here__tail_stays),
    PC_TEST(install__log_ends_before__begins_anew_and_survives_a_crash),
    PC_TEST(install__acknowledgements_held_back__are_dropped),
    PC_TEST(install__another_entry_acknowledged_in_this_term__ends_the_term),
    PC_TEST(install__another_entry_on_disk_since_before_a_restart__ends_the_term),
    PC_TEST(install__configs__are_those_of_the_snapshot),
    PC_TEST(install__of_a_later_term__ends_doubt),
};

PC_TEST_MAIN("raft_snapshot", tests)
