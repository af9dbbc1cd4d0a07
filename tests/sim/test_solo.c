/* Nodes that are alone: a branch is opened, survives its node, and gives way to the cluster. */
#include <stdio.h>
#include <string.h>

#include "sim/sim_kit.h"

#define NODES 3

static bool is_in_state(struct pc_sim *sim, size_t node, const char *state)
{
    struct pc_node_status status;
    if (!pc_sim_is_up(sim, node)) {
        return false;
    }
    pc_node_status(
        pc_sim_node(sim, node), (struct pc_instant){.us = pc_sim_now_us_at(sim, node)}, &status);
    return strcmp(state, "due") == 0 ? status.solo.is_due : strcmp(status.solo.state, state) == 0;
}

struct wanted {
    size_t node;
    const char *state;
};

static bool is_wanted(struct pc_sim *sim, void *arg)
{
    const struct wanted *wanted = arg;
    return is_in_state(sim, wanted->node, wanted->state);
}

static void wait_for_state(struct pc_sim *sim, size_t node, const char *state, uint64_t ms)
{
    struct wanted wanted = {.node = node, .state = state};
    bool reached = pc_sim_run_until(sim, is_wanted, &wanted, ms);
    must_hold(sim);
    assert_true(reached);
}

static void cut_off(struct pc_sim *sim, size_t node, bool cut)
{
    for (size_t i = 0; i < NODES; i++) {
        if (i != node) {
            pc_sim_cut(sim, node, i, cut);
            pc_sim_cut(sim, i, node, cut);
        }
    }
}

/* A calm cluster; *alone is no leader, *other leads. */
static struct pc_sim *started_solo(uint64_t seed, size_t *alone, size_t *other)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, NODES);
    params.solo = true;
    params.solo_after_ms = 1000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    *other = (size_t)pc_sim_leader(sim);
    *alone = (*other + 1) % NODES;
    return sim;
}

/* The number of the write. */
static uint64_t must_write(struct pc_sim *sim, size_t node, size_t key, bool is_alone)
{
    uint64_t op = pc_sim_write(sim, node, PC_OP_SET, key, 0);
    struct pc_sim_op_result result = outcome(sim, op);
    assert_int_equal(result.status, PC_REPLY_OK);
    assert_int_equal(result.is_alone, is_alone);
    return op;
}

/* The value that is there; the answer is marked, or is not. */
static uint64_t must_read(struct pc_sim *sim, size_t node, size_t key, bool is_alone)
{
    struct pc_sim_op_result result = outcome(sim, pc_sim_read(sim, node, key, false));
    assert_int_equal(result.status, PC_REPLY_OK);
    assert_int_equal(result.is_alone, is_alone);
    return result.value;
}

static void branch__node_is_killed_and_starts_again__goes_on_and_gives_way(void **state)
{
    (void)state;
    size_t alone, other;
    struct pc_sim *sim = started_solo(3, &alone, &other);
    (void)must_write(sim, other, 1, false);
    uint64_t old = must_read(sim, alone, 1, false);
    cut_off(sim, alone, true);
    wait_for_state(sim, alone, "open", 20000);
    (void)must_write(sim, alone, 1, true);
    uint64_t fresh = must_read(sim, alone, 1, true);
    assert_true(fresh != old);
    (void)must_write(sim, other, 2, false);
    uint64_t cluster = must_read(sim, other, 2, false);
    pc_sim_crash(sim, alone, PC_SIM_FS_LOSE_ALL);
    pc_sim_start(sim, alone);
    wait_for_state(sim, alone, "open", 20000);
    assert_int_equal(must_read(sim, alone, 1, true), fresh);
    (void)must_write(sim, alone, 3, true);
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    assert_int_equal(stats.branches_opened, 1);
    assert_int_equal(stats.branches_resumed, 1);
    cut_off(sim, alone, false);
    wait_for_state(sim, alone, "waiting", 20000);
    assert_int_equal(must_read(sim, alone, 1, false), old);
    assert_int_equal(must_read(sim, alone, 2, false), cluster);
    assert_int_equal(outcome(sim, pc_sim_read(sim, alone, 3, false)).status, PC_REPLY_NOT_FOUND);
    finish(sim);
}

static void branch__all_others_die__those_that_come_back_know_nothing_of_it(void **state)
{
    (void)state;
    size_t alone, other;
    struct pc_sim *sim = started_solo(4, &alone, &other);
    (void)must_write(sim, other, 1, false);
    for (size_t i = 0; i < NODES; i++) {
        if (i != alone) {
            pc_sim_crash(sim, i, PC_SIM_FS_POWER_CUT);
        }
    }
    wait_for_state(sim, alone, "open", 20000);
    (void)must_write(sim, alone, 1, true);
    (void)must_write(sim, alone, 2, true);
    pc_sim_start(sim, other);
    wait_for_state(sim, alone, "waiting", 20000);
    wait_for_leader(sim, 20000);
    assert_int_equal(outcome(sim, pc_sim_read(sim, alone, 2, false)).status, PC_REPLY_NOT_FOUND);
    finish(sim);
}

static void cut_streams_off(struct pc_sim *sim, size_t node, bool cut)
{
    for (size_t i = 0; i < NODES; i++) {
        if (i != node) {
            pc_sim_cut_streams(sim, node, i, cut);
        }
    }
}

/* The others are there for the gossip, and are a quorum: nothing to be done beside them. */
static void streams_cut__datagrams_pass__no_branch_opens_and_an_open_one_is_closed(void **state)
{
    (void)state;
    size_t alone, other;
    struct pc_sim_stats stats;
    struct pc_sim *sim = started_solo(40, &alone, &other);
    (void)must_write(sim, other, 1, false);
    cut_streams_off(sim, alone, true);
    pc_sim_run_for(sim, 30000);
    must_hold(sim);
    pc_sim_stats(sim, &stats);
    assert_int_equal(stats.branches_opened, 0);
    cut_off(sim, alone, true);
    wait_for_state(sim, alone, "open", 20000);
    (void)must_write(sim, alone, 1, true);
    cut_off(sim, alone, false);
    wait_for_state(sim, alone, "waiting", 20000); /* the streams are cut as before */
    pc_sim_run_for(sim, 30000);
    must_hold(sim);
    assert_false(is_in_state(sim, alone, "open"));
    pc_sim_stats(sim, &stats);
    assert_int_equal(stats.branches_opened, 1);
    cut_streams_off(sim, alone, false);
    pc_sim_run_for(sim, 3000);
    (void)must_write(sim, alone, 2, false);
    finish(sim);
}

/* The power goes at every call that the branch makes to its disk, from its beginning to its end. */
static void branch__power_goes_at_any_call__what_was_answered_is_in_one_file(void **state)
{
    (void)state;
    for (uint64_t calls = 0; calls < 24; calls++) {
        size_t alone, other;
        struct pc_sim *sim = started_solo(5 + calls, &alone, &other);
        (void)must_write(sim, other, 1, false);
        (void)must_read(sim, alone, 1, false);
        cut_off(sim, alone, true);
        wait_for_state(sim, alone, calls < 8 ? "due" : "open", 20000);
        pc_sim_cut_power(sim, alone, calls < 8 ? calls : calls - 8);
        pc_sim_run_for(sim, calls < 8 ? 1500 : 0);
        for (size_t key = 0; key < 6 && pc_sim_is_up(sim, alone); key++) {
            uint64_t op = pc_sim_write(sim, alone, PC_OP_SET, key, 0);
            bool done = pc_sim_run_until(sim, op_done, &op, 10000);
            assert_true(done);
        }
        cut_off(sim, alone, false);
        pc_sim_run_for(sim, 1000);
        must_hold(sim);
        finish(sim);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(branch__node_is_killed_and_starts_again__goes_on_and_gives_way),
    PC_TEST(branch__all_others_die__those_that_come_back_know_nothing_of_it),
    PC_TEST(streams_cut__datagrams_pass__no_branch_opens_and_an_open_one_is_closed),
    PC_TEST(branch__power_goes_at_any_call__what_was_answered_is_in_one_file),
};

PC_TEST_MAIN("solo", tests)
