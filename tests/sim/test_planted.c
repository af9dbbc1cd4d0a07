/* The simulator itself: bugs that the driver is given must be caught, each within so many seeds, by
 * the rule that it breaks; and where that rule is not looked at, by what comes of it. A simulator
 * that finds nothing proves nothing. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim.h"
#include "support/test.h"

#define BIT(property) (UINT64_C(1) << (property))

/* Runs seeds from 1 on until one fails; returns which, 0 for none. */
static uint64_t first_caught(
    enum pc_sim_plant plant, uint64_t ignored, uint64_t seeds_max, enum pc_sim_property *property)
{
    for (uint64_t seed = 1; seed <= seeds_max; seed++) {
        struct pc_sim_params params;
        pc_sim_params_draw(&params, seed, 0);
        /* What goes wrong has to do with no change of members: runs without are shorter. */
        pc_sim_params_leave_out(&params, PC_SIM_FAULT_MEMBERS);
        pc_sim_params_leave_out(&params, PC_SIM_FAULT_WIPED);
        pc_sim_params_leave_out(&params, PC_SIM_FAULT_DEATH);
        params.plant = plant;
        params.ignored = ignored;
        struct pc_sim *sim = pc_sim_new(&params);
        pc_sim_run(sim);
        bool failed = pc_sim_failed(sim);
        if (failed) {
            *property = pc_sim_failure(sim);
            printf("    %s: caught by %s after %" PRIu64 " seeds: %s\n", pc_sim_plant_name(plant),
                pc_sim_property_number(*property), seed, pc_sim_failure_text(sim));
        }
        pc_sim_delete(sim);
        if (failed) {
            return seed;
        }
    }
    return 0;
}

/* Fails the test unless one of `expected` (a bit set) catches the bug in time. */
static void expect_caught(
    enum pc_sim_plant plant, uint64_t ignored, uint64_t seeds_max, uint64_t expected)
{
    enum pc_sim_property property = PC_SIM_PROPERTIES_N;
    if (ignored != 0 && PC_TEST_STRIDE > 1) {
        skip(); /* hundreds of seeds, which have nothing to do with memory */
    }
    uint64_t seed = first_caught(plant, ignored, seeds_max, &property);
    if (seed == 0) {
        fail_msg("%s was not caught within %" PRIu64 " seeds", pc_sim_plant_name(plant), seeds_max);
    }
    if ((expected & BIT(property)) == 0) {
        fail_msg("%s was caught by %s", pc_sim_plant_name(plant), pc_sim_property_number(property));
    }
}

static void ack_before_fsync__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_ACK_BEFORE_FSYNC, 0, 3, BIT(PC_SIM_B7) | BIT(PC_SIM_B9));
}

static void ack_before_fsync__disk_rules_not_checked__loses_a_committed_entry(void **state)
{
    (void)state;
    uint64_t rules = BIT(PC_SIM_B7) | BIT(PC_SIM_B9) | BIT(PC_SIM_I1);
    expect_caught(PC_SIM_PLANT_ACK_BEFORE_FSYNC, rules, 200,
        BIT(PC_SIM_B4) | BIT(PC_SIM_B5) | BIT(PC_SIM_B6) | BIT(PC_SIM_B34));
}

static void vote_not_persisted__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_VOTE_NOT_PERSISTED, 0, 3, BIT(PC_SIM_B8));
}

static void vote_not_persisted__disk_rule_not_checked__votes_twice(void **state)
{
    (void)state;
    expect_caught(
        PC_SIM_PLANT_VOTE_NOT_PERSISTED, BIT(PC_SIM_B8), 400, BIT(PC_SIM_I1) | BIT(PC_SIM_B10));
    expect_caught(PC_SIM_PLANT_VOTE_NOT_PERSISTED, BIT(PC_SIM_B8) | BIT(PC_SIM_I1), 400,
        BIT(PC_SIM_B10) | BIT(PC_SIM_B1) | BIT(PC_SIM_B3));
}

/* What a log that rots away is in doubt about is told by the term on the disk, which is as wrong.
 */
static void vote_not_persisted__votes_not_checked__elects_two_leaders(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_VOTE_NOT_PERSISTED,
        BIT(PC_SIM_B8) | BIT(PC_SIM_B10) | BIT(PC_SIM_I1) | BIT(PC_SIM_B36), 1000,
        BIT(PC_SIM_B1) | BIT(PC_SIM_B3) | BIT(PC_SIM_B4));
}

static void read_without_waiting__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_READ_NO_WAIT, 0, 5, BIT(PC_SIM_B21));
}

static void read_without_waiting__index_not_checked__a_client_goes_back(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_READ_NO_WAIT, BIT(PC_SIM_B21), 20, BIT(PC_SIM_B24));
}

static void leader_counts_unsynced_self__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_LEADER_SELF, 0, 20, BIT(PC_SIM_B7));
}

static void forward_duplicated__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_DUP_FORWARD, 0, 50, BIT(PC_SIM_B25));
}

static void expiry_by_wall_clock__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_WALL_TTL, 0, 20, BIT(PC_SIM_B31));
}

static void generation_kept__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(
        PC_SIM_PLANT_GENERATION_KEPT, 0, 50, BIT(PC_SIM_B25) | BIT(PC_SIM_B34) | BIT(PC_SIM_B43));
}

static void generation_kept__clients_not_checked__incarnation_falls(void **state)
{
    (void)state;
    uint64_t consequences = BIT(PC_SIM_B21) | BIT(PC_SIM_B25) | BIT(PC_SIM_B31) | BIT(PC_SIM_B34) |
                            BIT(PC_SIM_B50) | BIT(PC_SIM_R1);
    expect_caught(PC_SIM_PLANT_GENERATION_KEPT, consequences, 200,
        BIT(PC_SIM_B42) | BIT(PC_SIM_B43) | BIT(PC_SIM_B44));
}

static void failed_sync_believed__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_SYNC_BELIEVED, 0, 100, BIT(PC_SIM_B9) | BIT(PC_SIM_B39));
}

static void failed_sync_believed__disk_rules_not_checked__loses_what_it_reported(void **state)
{
    (void)state;
    uint64_t rules = BIT(PC_SIM_B7) | BIT(PC_SIM_B9) | BIT(PC_SIM_B39) | BIT(PC_SIM_B50);
    expect_caught(PC_SIM_PLANT_SYNC_BELIEVED, rules, 400, BIT(PC_SIM_B36) | BIT(PC_SIM_B4));
}

static void swim_decides__planted__commits_without_a_majority(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_SWIM_DECIDES, BIT(PC_SIM_B50) | BIT(PC_SIM_I1), 100, BIT(PC_SIM_B7));
}

static void swim_decides__commit_rule_not_checked__loses_a_committed_entry(void **state)
{
    (void)state;
    uint64_t ignored = BIT(PC_SIM_B50) | BIT(PC_SIM_B7) | BIT(PC_SIM_I1);
    expect_caught(PC_SIM_PLANT_SWIM_DECIDES, ignored, 1000,
        BIT(PC_SIM_B4) | BIT(PC_SIM_B5) | BIT(PC_SIM_B6) | BIT(PC_SIM_B34) | BIT(PC_SIM_B36) |
            BIT(PC_SIM_B21));
}

static void outsider_disturbs__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_OUTSIDER_DISTURBS, 0, 30, BIT(PC_SIM_B52));
}

static void nonsense_mended__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_NONSENSE_MENDED, BIT(PC_SIM_B3), 50, BIT(PC_SIM_M4));
}

static void replay_taken__planted__is_caught(void **state)
{
    (void)state;
    uint64_t swim = BIT(PC_SIM_B42) | BIT(PC_SIM_B43) | BIT(PC_SIM_B44) | BIT(PC_SIM_B45);
    expect_caught(PC_SIM_PLANT_REPLAY_TAKEN, swim, 50, BIT(PC_SIM_M2));
}

static void wiped_admitted__planted__is_caught(void **state)
{
    (void)state;
    expect_caught(PC_SIM_PLANT_WIPED_ADMITTED, 0, 100, BIT(PC_SIM_B14));
}

/* ---- making a failing run small */

static size_t classes_n(const struct pc_sim_params *params)
{
    size_t n = 0;
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        n += params->fault[i] ? 1 : 0;
    }
    return n;
}

static void shrink__of_a_planted_bug__is_smaller_and_breaks_still(void **state)
{
    (void)state;
    struct pc_sim_params drawn, small;
    bool breaks = false;
    for (uint64_t seed = 1; seed <= 20 && !breaks; seed++) {
        pc_sim_params_draw(&drawn, seed, 0);
        drawn.plant = PC_SIM_PLANT_LEADER_SELF;
        breaks = pc_sim_breaks(&drawn, PC_SIM_B7);
    }
    assert_true(breaks);
    small = drawn;
    pc_sim_shrink(&small, PC_SIM_B7);
    assert_true(pc_sim_breaks(&small, PC_SIM_B7));
    assert_true(small.chaos_ms < drawn.chaos_ms);
    assert_true(classes_n(&small) < classes_n(&drawn));
    assert_true(small.nodes_n <= drawn.nodes_n && small.clients_n < drawn.clients_n);
    assert_int_equal(small.seed, drawn.seed);
}

static void shrink__of_a_run_that_holds__leaves_it_as_it_is(void **state)
{
    (void)state;
    struct pc_sim_params drawn, small;
    pc_sim_params_draw(&drawn, 2, 1);
    drawn.chaos_ms = 500;
    small = drawn;
    assert_false(pc_sim_breaks(&drawn, PC_SIM_B7));
    pc_sim_shrink(&small, PC_SIM_B7);
    assert_memory_equal(&small, &drawn, sizeof drawn);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(ack_before_fsync__planted__is_caught),
    PC_TEST(ack_before_fsync__disk_rules_not_checked__loses_a_committed_entry),
    PC_TEST(vote_not_persisted__planted__is_caught),
    PC_TEST(vote_not_persisted__disk_rule_not_checked__votes_twice),
    PC_TEST(vote_not_persisted__votes_not_checked__elects_two_leaders),
    PC_TEST(read_without_waiting__planted__is_caught),
    PC_TEST(read_without_waiting__index_not_checked__a_client_goes_back),
    PC_TEST(leader_counts_unsynced_self__planted__is_caught),
    PC_TEST(forward_duplicated__planted__is_caught),
    PC_TEST(expiry_by_wall_clock__planted__is_caught),
    PC_TEST(generation_kept__planted__is_caught),
    PC_TEST(generation_kept__clients_not_checked__incarnation_falls),
    PC_TEST(failed_sync_believed__planted__is_caught),
    PC_TEST(failed_sync_believed__disk_rules_not_checked__loses_what_it_reported),
    PC_TEST(swim_decides__planted__commits_without_a_majority),
    PC_TEST(swim_decides__commit_rule_not_checked__loses_a_committed_entry),
    PC_TEST(outsider_disturbs__planted__is_caught),
    PC_TEST(shrink__of_a_planted_bug__is_smaller_and_breaks_still),
    PC_TEST(shrink__of_a_run_that_holds__leaves_it_as_it_is),
    PC_TEST(nonsense_mended__planted__is_caught),
    PC_TEST(replay_taken__planted__is_caught),
    PC_TEST(wiped_admitted__planted__is_caught),
};

PC_TEST_MAIN("planted", tests)
