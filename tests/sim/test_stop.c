/* Stops in order: who is asked before the end is answered, and what was written is there. */
#include <inttypes.h>
#include <stdio.h>

#include "sim/sim_kit.h"

#define NODES 3

static struct pc_sim *started(void)
{
    return started_calm(9, NODES, NULL);
}

static bool has_stopped(struct pc_sim *sim, void *arg)
{
    (void)arg;
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    return stats.stops == *(uint64_t *)arg;
}

static bool all_ready(struct pc_sim *sim, void *arg)
{
    (void)arg;
    for (size_t i = 0; i < NODES; i++) {
        struct pc_node_status status;
        if (!pc_sim_is_up(sim, i)) {
            return false;
        }
        struct pc_instant now = {.us = pc_sim_now_us_at(sim, i)};
        pc_node_status(pc_sim_node(sim, i), now, &status);
        if (!status.ready) {
            return false;
        }
    }
    return pc_sim_leader(sim) >= 0;
}

static void must_reach(
    struct pc_sim *sim, bool (*done)(struct pc_sim *sim, void *arg), void *arg, uint64_t ms)
{
    bool reached = pc_sim_run_until(sim, done, arg, ms);
    must_hold(sim);
    assert_true(reached);
}

static void rolling_restart__under_load__fails_no_request(void **state)
{
    (void)state;
    struct pc_sim *sim = started();
    must_reach(sim, all_ready, NULL, 2000);
    pc_sim_clients(sim, true);
    uint64_t stops = 0;
    for (int round = 0; round < 9; round++) {
        pc_sim_run_for(sim, 100);
        /* The leader every other time. */
        size_t node = round % 2 == 0 ? (size_t)pc_sim_leader(sim) : (size_t)round % NODES;
        pc_sim_stop(sim, node);
        stops++;
        must_reach(sim, has_stopped, &stops, 3000);
        must_reach(sim, all_ready, NULL, 3000);
    }
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    assert_true(stats.acked_writes > 100);
    assert_int_equal(stats.unknown_writes + stats.refused_writes + stats.failed_reads, 0);
    pc_sim_heal(sim);
    must_hold(sim);
    pc_sim_delete(sim);
}

static void leader__is_stopped__another_leads_before_it_ends(void **state)
{
    (void)state;
    struct pc_sim *sim = started();
    must_reach(sim, all_ready, NULL, 2000);
    int old = pc_sim_leader(sim);
    uint64_t stops = 1;
    pc_sim_stop(sim, (size_t)old);
    pc_sim_run_for(sim, 150);
    assert_true(pc_sim_is_up(sim, (size_t)old));
    assert_true(pc_sim_leader(sim) >= 0 && pc_sim_leader(sim) != old);
    must_reach(sim, has_stopped, &stops, 3000);
    pc_sim_heal(sim);
    must_hold(sim);
    pc_sim_delete(sim);
}

/* Nobody can take over: the node waits as long as it is to, and ends all the same. */
static void leader__stopped_when_alone__ends_in_time(void **state)
{
    (void)state;
    struct pc_sim *sim = started();
    must_reach(sim, all_ready, NULL, 2000);
    size_t leader = (size_t)pc_sim_leader(sim);
    for (size_t i = 0; i < NODES; i++) {
        if (i != leader) {
            pc_sim_crash(sim, i, PC_SIM_FS_KILL);
        }
    }
    uint64_t write = pc_sim_write(sim, leader, PC_OP_SET, 1, 0), stops = 1;
    pc_sim_stop(sim, leader);
    uint64_t from_ms = pc_sim_now_ms(sim);
    must_reach(sim, has_stopped, &stops, 6000);
    assert_true(pc_sim_now_ms(sim) - from_ms < 5500);
    assert_int_not_equal(pc_sim_result(sim, write).status, PC_REPLY_OK);
    pc_sim_heal(sim);
    must_hold(sim);
    pc_sim_delete(sim);
}

static void node__signalled_twice__ends_at_once_and_keeps_what_it_wrote(void **state)
{
    (void)state;
    struct pc_sim *sim = started();
    must_reach(sim, all_ready, NULL, 2000);
    pc_sim_clients(sim, true);
    uint64_t stops = 0;
    for (size_t round = 0; round < 6; round++) {
        pc_sim_run_for(sim, 200);
        size_t node = (size_t)pc_sim_leader(sim);
        pc_sim_stop(sim, node);
        pc_sim_stop_again(sim, node);
        assert_false(pc_sim_is_up(sim, node));
        stops++;
        must_reach(sim, all_ready, NULL, 5000);
    }
    must_reach(sim, has_stopped, &stops, 1);
    pc_sim_heal(sim);
    must_hold(sim);
    pc_sim_delete(sim);
}

/* Returns the first of `seeds` serene runs in which a property breaks, 0 for none. */
static uint64_t first_broken(enum pc_sim_plant plant, uint64_t seeds, enum pc_sim_property *which)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct pc_sim_params params;
        pc_sim_params_draw_serene(&params, seed);
        params.plant = plant;
        struct pc_sim *sim = pc_sim_new(&params);
        pc_sim_run(sim);
        bool failed = pc_sim_failed(sim);
        if (failed) {
            *which = pc_sim_failure(sim);
            printf("    seed %" PRIu64 ": %s\n", seed, pc_sim_failure_text(sim));
        }
        pc_sim_delete(sim);
        if (failed) {
            return seed;
        }
    }
    return 0;
}

static void operator__stops_and_hands_over_all_the_time__no_request_fails(void **state)
{
    (void)state;
    enum pc_sim_property which;
    assert_int_equal(first_broken(PC_SIM_PLANT_NONE, 20 / PC_TEST_STRIDE, &which), 0);
}

static void stop_at_once__planted__is_caught(void **state)
{
    (void)state;
    enum pc_sim_property which = PC_SIM_PROPERTIES_N;
    assert_int_not_equal(first_broken(PC_SIM_PLANT_STOP_AT_ONCE, 20, &which), 0);
    assert_int_equal(which, PC_SIM_S1);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(rolling_restart__under_load__fails_no_request),
    PC_TEST(leader__is_stopped__another_leads_before_it_ends),
    PC_TEST(leader__stopped_when_alone__ends_in_time),
    PC_TEST(operator__stops_and_hands_over_all_the_time__no_request_fails),
    PC_TEST(stop_at_once__planted__is_caught),
    PC_TEST(node__signalled_twice__ends_at_once_and_keeps_what_it_wrote),
};

PC_TEST_MAIN("stop", tests)
