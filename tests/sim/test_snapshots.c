/* Named histories of snapshots: a node that was away for longer than the log goes back, power that
 * goes while one is made or taken over, sources that vanish, damage at rest, and a founder that has
 * nothing any more. What must be true of each snapshot and each log is checked all along (B.15). */
#include <stdio.h>
#include <string.h>

#include "sim/sim_kit.h"

#define NODES 3
#define WAIT_MS 20000

/* Snapshots of a few entries, which the log goes for at once, and clients that let it grow. */
static struct pc_sim *started(uint64_t seed, uint64_t log_keep_bytes)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, NODES);
    params.snapshot_log_bytes = 16 << 10;
    params.log_keep_bytes = log_keep_bytes;
    params.value_more_max = 16 << 10;
    params.think_us = 3000;
    params.keys_n = 64;
    params.disk_write_us = 2000; /* long enough to be caught in the middle */
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    return sim;
}

static size_t a_follower(struct pc_sim *sim)
{
    int leader = pc_sim_leader(sim);
    assert_true(leader >= 0);
    return ((size_t)leader + 1) % NODES;
}

static struct pc_raft_status raft_of(struct pc_sim *sim, size_t node)
{
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, node)), &status);
    return status;
}

static struct pc_sim_stats stats_of(const struct pc_sim *sim)
{
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    return stats;
}

static void must_reach(
    struct pc_sim *sim, bool (*condition)(struct pc_sim *sim, void *arg), void *arg)
{
    bool reached = pc_sim_run_until(sim, condition, arg, WAIT_MS);
    must_hold(sim);
    assert_true(reached);
}

/* Every log that there is begins behind this entry. */
static bool logs_begin_behind(struct pc_sim *sim, void *arg)
{
    for (size_t i = 0; i < NODES; i++) {
        if (pc_sim_is_up(sim, i) && raft_of(sim, i).first <= *(pc_index *)arg + 1) {
            return false;
        }
    }
    return true;
}

static bool has_caught_up(struct pc_sim *sim, void *arg)
{
    size_t node = *(size_t *)arg;
    int leader = pc_sim_leader(sim);
    return leader >= 0 && pc_sim_is_up(sim, node) &&
           raft_of(sim, node).commit == raft_of(sim, (size_t)leader).last;
}

static bool is_fetching(struct pc_sim *sim, void *arg)
{
    size_t node = *(size_t *)arg;
    struct pc_node_status status;
    if (!pc_sim_is_up(sim, node)) {
        return false;
    }
    struct pc_instant now = {.us = pc_sim_now_us_at(sim, node)};
    pc_node_status(pc_sim_node(sim, node), now, &status);
    for (size_t i = 0; i < status.checks_n; i++) {
        const char *text = status.checks[i].text;
        if (strstr(text, "asking for a snapshot") || strstr(text, "snapshot of entry")) {
            return true;
        }
    }
    return false;
}

static bool has_damage_mended(struct pc_sim *sim, void *arg)
{
    (void)arg;
    return stats_of(sim).snaps_fetched > 0;
}

/* Takes a follower away until nobody has the entries that it needs next. */
static size_t one_is_away(struct pc_sim *sim)
{
    size_t node = a_follower(sim);
    pc_index last = raft_of(sim, node).last;
    pc_sim_crash(sim, node, PC_SIM_FS_KILL);
    pc_sim_clients(sim, true);
    must_reach(sim, logs_begin_behind, &last);
    return node;
}

/* ---- taking one over */

static void away__past_the_dropped_log__comes_back_by_a_snapshot(void **state)
{
    (void)state;
    struct pc_sim *sim = started(11, 0);
    size_t node = one_is_away(sim);
    pc_sim_clients(sim, false);
    assert_int_equal(stats_of(sim).snaps_installed, 0);
    pc_sim_start(sim, node);
    must_reach(sim, has_caught_up, &node);
    assert_int_equal(stats_of(sim).snaps_fetched, 1);
    assert_int_equal(stats_of(sim).snaps_installed, 1);
    assert_true(raft_of(sim, node).first > 1);
    finish(sim);
}

/* What the others keep for it is sent as entries. */
static void away__within_the_log_that_is_kept__needs_none(void **state)
{
    (void)state;
    struct pc_sim *sim = started(11, 64 << 20);
    size_t node = a_follower(sim);
    pc_sim_crash(sim, node, PC_SIM_FS_KILL);
    pc_sim_clients(sim, true);
    pc_sim_run_for(sim, 3000);
    pc_sim_clients(sim, false);
    assert_true(stats_of(sim).snaps_made > 10);
    assert_int_equal(raft_of(sim, a_follower(sim) == node ? (node + 1) % NODES : node).first, 1);
    pc_sim_start(sim, node);
    must_reach(sim, has_caught_up, &node);
    assert_int_equal(stats_of(sim).snaps_fetched, 0);
    finish(sim);
}

/* At each call to the disk in turn, from the first chunk on until everything is well. */
static void install__power_cut_at_any_call__comes_back_with_everything(void **state)
{
    (void)state;
    bool reached = true;
    size_t cuts = 0;
    for (uint64_t calls = 0; reached; calls += (calls < 12 ? 1u : 4u) * PC_TEST_STRIDE) {
        struct pc_sim *sim = started(12, 0);
        size_t node = one_is_away(sim);
        pc_sim_clients(sim, false);
        pc_sim_start(sim, node);
        must_reach(sim, is_fetching, &node);
        pc_sim_cut_power(sim, node, calls);
        must_reach(sim, has_caught_up, &node);
        pc_sim_run_for(sim, 1000);
        reached = stats_of(sim).crashes_in_write > 0;
        cuts += reached ? 1 : 0;
        finish(sim);
        assert_true(calls < 200);
    }
    assert_true(cuts > 12 / PC_TEST_STRIDE);
}

/* The one that is fetched from goes, and the others have made newer ones meanwhile. */
static void fetch__source_dies__goes_on_with_a_newer_one(void **state)
{
    (void)state;
    for (uint64_t seed = 20; seed < 26; seed += PC_TEST_STRIDE) {
        struct pc_sim *sim = started(seed, 0);
        size_t node = one_is_away(sim);
        size_t leader = (size_t)pc_sim_leader(sim);
        size_t other = NODES - node - leader;
        pc_sim_start(sim, node);
        must_reach(sim, is_fetching, &node);
        pc_sim_crash(sim, seed % 2 == 0 ? leader : other, PC_SIM_FS_POWER_CUT);
        pc_sim_run_for(sim, 1500);
        must_hold(sim);
        pc_sim_start(sim, seed % 2 == 0 ? leader : other);
        pc_sim_run_for(sim, 500);
        pc_sim_clients(sim, false);
        must_reach(sim, has_caught_up, &node);
        assert_true(stats_of(sim).snaps_fetched >= 1);
        finish(sim);
    }
}

/* Leadership moves while a snapshot of the leader before is fetched, and entries come, too. */
static void fetch__leadership_moves__the_older_snapshot_does_no_harm(void **state)
{
    (void)state;
    for (uint64_t seed = 30; seed < 36; seed += PC_TEST_STRIDE) {
        struct pc_sim *sim = started(seed, 0);
        size_t node = one_is_away(sim);
        size_t leader = (size_t)pc_sim_leader(sim);
        pc_sim_start(sim, node);
        must_reach(sim, is_fetching, &node);
        pc_sim_transfer(sim, leader, NODES - node - leader);
        pc_sim_run_for(sim, 300);
        pc_sim_clients(sim, false);
        must_reach(sim, has_caught_up, &node);
        finish(sim);
    }
}

/* ---- making one */

static void making__power_cut_at_any_call__finds_a_snapshot_and_the_log_behind_it(void **state)
{
    (void)state;
    for (uint64_t calls = 0; calls < 60; calls += 5 * PC_TEST_STRIDE) {
        struct pc_sim *sim = started(13, 0);
        pc_index dropped = 1;
        pc_sim_clients(sim, true);
        must_reach(sim, logs_begin_behind, &dropped);
        size_t node = a_follower(sim);
        pc_sim_cut_power(sim, node, calls);
        pc_sim_run_for(sim, 1500);
        must_hold(sim);
        pc_sim_clients(sim, false);
        assert_true(stats_of(sim).crashes_in_write > 0);
        assert_true(stats_of(sim).snaps_found > 0);
        finish(sim);
    }
}

/* One after the other, as fast as entries come, on all nodes at once; then all hosts die. */
static void making__in_quick_succession__the_newest_one_counts(void **state)
{
    (void)state;
    struct pc_sim_params params;
    pc_sim_params_calm(&params, 14, NODES);
    params.snapshot_log_bytes = 1;
    params.value_more_max = 4 << 10;
    params.think_us = 2000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    pc_sim_clients(sim, true);
    pc_sim_run_for(sim, 2000);
    must_hold(sim);
    assert_true(stats_of(sim).snaps_made > 200);
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_crash(sim, i, PC_SIM_FS_LOSE_ALL);
    }
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    pc_sim_run_for(sim, 1500);
    pc_sim_clients(sim, false);
    assert_int_equal(stats_of(sim).snaps_found, NODES);
    finish(sim);
}

/* ---- damage at rest */

static size_t one_is_damaged(struct pc_sim *sim, pc_index *dropped)
{
    size_t node = a_follower(sim);
    pc_sim_clients(sim, true);
    if (dropped != NULL) {
        must_reach(sim, logs_begin_behind, dropped);
    } else {
        pc_sim_run_for(sim, 1500);
    }
    pc_sim_clients(sim, false);
    pc_sim_run_for(sim, 500);
    pc_sim_crash(sim, node, PC_SIM_FS_KILL);
    assert_true(pc_sim_damage_snapshot(sim, node));
    pc_sim_start(sim, node);
    must_hold(sim);
    return node;
}

static void damage__log_goes_back_to_its_beginning__is_replayed(void **state)
{
    (void)state;
    struct pc_sim *sim = started(15, 64 << 20);
    size_t node = one_is_damaged(sim, NULL);
    must_reach(sim, has_caught_up, &node);
    pc_sim_run_for(sim, 1000);
    assert_int_equal(stats_of(sim).snaps_fetched, 0);
    finish(sim);
}

static void damage__log_was_dropped__another_comes_from_a_peer(void **state)
{
    (void)state;
    struct pc_sim *sim = started(15, 0);
    pc_index dropped = 1;
    size_t node = one_is_damaged(sim, &dropped);
    must_reach(sim, has_damage_mended, NULL);
    must_reach(sim, has_caught_up, &node);
    finish(sim);
}

/* Nothing on the node's disk has the state, and nothing is wrong with its vote. */
static void damage__of_the_log_in_front_as_well__another_comes_from_a_peer(void **state)
{
    (void)state;
    struct pc_sim *sim = started(40, 64 << 20);
    size_t node = a_follower(sim);
    pc_sim_clients(sim, true);
    pc_sim_run_for(sim, 2500);
    pc_sim_clients(sim, false);
    pc_sim_run_for(sim, 500);
    pc_sim_crash(sim, node, PC_SIM_FS_KILL);
    assert_true(pc_sim_damage_front(sim, node));
    assert_true(pc_sim_damage_snapshot(sim, node));
    pc_sim_start(sim, node);
    must_hold(sim);
    must_reach(sim, has_damage_mended, NULL);
    must_reach(sim, has_caught_up, &node);
    assert_true(stats_of(sim).loads_spared > 0);
    finish(sim);
}

/* The leader has it, and a peer that has nothing asks: the snapshot is given instead, at once. */
static void damage__of_every_log_in_front__costs_a_peer_no_more_than_a_snapshot(void **state)
{
    (void)state;
    struct pc_sim *sim = started(50, 64 << 20);
    size_t away = a_follower(sim);
    pc_sim_crash(sim, away, PC_SIM_FS_KILL);
    pc_sim_clients(sim, true);
    pc_sim_run_for(sim, 3000);
    pc_sim_clients(sim, false);
    for (size_t i = 0; i < NODES; i++) {
        if (i != away) {
            pc_sim_crash(sim, i, PC_SIM_FS_KILL);
            assert_true(pc_sim_damage_front(sim, i));
            pc_sim_start(sim, i);
        }
    }
    pc_sim_start(sim, away);
    wait_for_leader(sim, 8000);
    must_reach(sim, has_caught_up, &away);
    assert_in_range(stats_of(sim).loads_spared, 1, 8);
    assert_true(stats_of(sim).snaps_fetched > 0);
    finish(sim);
}

/* The entries between its snapshot and the end of its log: peers have only what became of them. */
static void gap__peers_have_dropped_the_entries__is_closed_by_a_snapshot(void **state)
{
    (void)state;
    struct pc_sim_params params;
    pc_sim_params_calm(&params, 17, NODES);
    params.rot_ppm = 1; /* for damage that is repaired */
    params.snapshot_log_bytes = 64 << 10;
    params.value_more_max = 16 << 10;
    params.think_us = 3000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    pc_sim_clients(sim, true);
    pc_sim_run_for(sim, 1000);
    size_t node = a_follower(sim);
    pc_index last = raft_of(sim, node).last;
    pc_sim_crash(sim, node, PC_SIM_FS_KILL);
    must_reach(sim, logs_begin_behind, &last);
    pc_sim_clients(sim, false);
    assert_true(pc_sim_damage_log(sim, node));
    pc_sim_start(sim, node);
    must_reach(sim, has_caught_up, &node);
    assert_int_equal(stats_of(sim).snaps_fetched, 1);
    finish(sim);
}

/* ---- a founder that has nothing any more */

static bool is_formed(struct pc_sim *sim, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < NODES; i++) {
        if (pc_sim_is_up(sim, i) && raft_of(sim, i).last > 0) {
            return true;
        }
    }
    return false;
}

static void founder__lost_entry_1_that_nobody_has__is_let_in_again(void **state)
{
    (void)state;
    struct pc_sim_params params;
    pc_sim_params_calm(&params, 16, NODES);
    params.snapshot_log_bytes = 16 << 10;
    params.value_more_max = 16 << 10;
    params.think_us = 3000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    must_reach(sim, is_formed, NULL);
    size_t node = 0;
    while (raft_of(sim, node).last > 0) {
        node++;
    }
    assert_true(node < NODES);
    pc_sim_crash(sim, node, PC_SIM_FS_LOSE_ALL);
    wait_for_leader(sim, 4000);
    pc_index first = 1;
    pc_sim_clients(sim, true);
    must_reach(sim, logs_begin_behind, &first);
    pc_sim_clients(sim, false);
    pc_sim_start(sim, node);
    must_reach(sim, has_caught_up, &node);
    assert_int_equal(stats_of(sim).snaps_fetched, 1);
    finish(sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(away__past_the_dropped_log__comes_back_by_a_snapshot),
    PC_TEST(away__within_the_log_that_is_kept__needs_none),
    PC_TEST(install__power_cut_at_any_call__comes_back_with_everything),
    PC_TEST(fetch__source_dies__goes_on_with_a_newer_one),
    PC_TEST(fetch__leadership_moves__the_older_snapshot_does_no_harm),
    PC_TEST(making__power_cut_at_any_call__finds_a_snapshot_and_the_log_behind_it),
    PC_TEST(making__in_quick_succession__the_newest_one_counts),
    PC_TEST(damage__log_goes_back_to_its_beginning__is_replayed),
    PC_TEST(damage__log_was_dropped__another_comes_from_a_peer),
    PC_TEST(damage__of_the_log_in_front_as_well__another_comes_from_a_peer),
    PC_TEST(damage__of_every_log_in_front__costs_a_peer_no_more_than_a_snapshot),
    PC_TEST(gap__peers_have_dropped_the_entries__is_closed_by_a_snapshot),
    PC_TEST(founder__lost_entry_1_that_nobody_has__is_let_in_again),
};

PC_TEST_MAIN("sim_snapshots", tests)
