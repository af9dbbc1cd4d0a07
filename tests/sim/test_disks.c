/* Named histories of disks: calls that fail, and disks that are not those a node left behind. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim_kit.h"

#define NODES 3

static struct pc_sim *started(size_t *leader)
{
    return started_calm(5, NODES, leader);
}

static void must_write(struct pc_sim *sim, size_t node, size_t key)
{
    struct pc_sim_op_result r = outcome(sim, pc_sim_write(sim, node, PC_OP_SET, key, 0));
    assert_int_equal(r.status, PC_REPLY_OK);
}

static void must_read(struct pc_sim *sim, size_t node, size_t key)
{
    struct pc_sim_op_result r = outcome(sim, pc_sim_read(sim, node, key, false));
    assert_int_equal(r.status, PC_REPLY_OK);
}

static bool is_up(struct pc_sim *sim, void *arg)
{
    return pc_sim_is_up(sim, *(size_t *)arg);
}

static bool is_down(struct pc_sim *sim, void *arg)
{
    return !pc_sim_is_up(sim, *(size_t *)arg);
}

static bool has_refused(struct pc_sim *sim, void *arg)
{
    return pc_sim_has_refused(sim, *(size_t *)arg);
}

static void must_refuse(struct pc_sim *sim, size_t node)
{
    pc_sim_start(sim, node);
    bool refused = pc_sim_run_until(sim, has_refused, &node, 1000);
    must_hold(sim);
    assert_true(refused);
    assert_false(pc_sim_is_up(sim, node));
}

/* ---- calls that fail */

static void sync__fails_on_the_leader__it_ends_and_nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(&leader);
    must_write(sim, leader, 1);
    pc_sim_fail_call(sim, leader, PC_SIM_FS_SYNC, 0);
    uint64_t write = pc_sim_write(sim, leader, PC_OP_SET, 2, 0);
    assert_int_not_equal(outcome(sim, write).status, PC_REPLY_OK);
    assert_true(pc_sim_run_until(sim, is_down, &leader, 500));
    wait_for_leader(sim, 4000);
    must_read(sim, (leader + 1) % NODES, 1);
    assert_true(pc_sim_run_until(sim, is_up, &leader, 3000));
    must_read(sim, leader, 1);
    must_write(sim, leader, 2);
    finish(sim);
}

static void write__fails_at_any_call__the_node_comes_back_with_all_it_had(void **state)
{
    (void)state;
    for (uint64_t skip = 0; skip < 6; skip++) {
        size_t leader;
        struct pc_sim *sim = started(&leader);
        size_t other = (leader + 1) % NODES;
        must_write(sim, leader, 1);
        pc_sim_run_for(sim, 500); /* the lives of its peers are noted: no write but the log's */
        pc_sim_fail_call(sim, other, PC_SIM_FS_WRITE, skip);
        for (size_t key = 2; key < 10; key++) {
            must_write(sim, leader, key);
        }
        struct pc_sim_stats stats;
        pc_sim_stats(sim, &stats);
        assert_int_equal(stats.failed_logs, 1);
        finish(sim);
    }
}

/* A log that cannot be read is not a torn one: nothing of it may be cut. The first two reads are of
 * the identity, whose slots stand in for each other. */
static void recovery__a_read_fails__nothing_is_cut_and_the_next_start_has_all(void **state)
{
    (void)state;
    uint64_t skip = 0;
    for (bool reached = true; reached; skip++) {
        size_t leader;
        struct pc_sim *sim = started(&leader);
        size_t other = (leader + 1) % NODES;
        for (size_t key = 0; key < 4; key++) {
            must_write(sim, leader, key);
        }
        pc_sim_crash(sim, other, PC_SIM_FS_KILL);
        pc_sim_fail_call(sim, other, PC_SIM_FS_READ, skip);
        pc_sim_start(sim, other);
        struct pc_sim_stats stats;
        pc_sim_stats(sim, &stats);
        assert_true(skip >= 4 || stats.failed_starts == 0);
        reached = skip < 4 || stats.failed_starts == 1;
        bool up = pc_sim_run_until(sim, is_up, &other, 2000);
        must_hold(sim);
        assert_true(up);
        if (reached) {
            must_read(sim, other, 3);
            finish(sim);
        } else {
            pc_sim_delete(sim); /* the fault still waits for its call */
        }
    }
    assert_true(skip > 7);
}

/* ---- other disks */

static void log__is_lost__the_node_refuses_until_its_own_disk_is_back(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(&leader);
    size_t victim = (leader + 1) % NODES;
    must_write(sim, victim, 1);
    pc_sim_crash(sim, victim, PC_SIM_FS_KILL);
    pc_sim_lose_log(sim, victim);
    must_refuse(sim, victim);
    must_write(sim, leader, 2);
    pc_sim_own_disk(sim, victim);
    pc_sim_start(sim, victim);
    must_read(sim, victim, 2);
    finish(sim);
}

static void identity__is_lost__the_node_refuses_until_its_own_disk_is_back(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(&leader);
    size_t victim = (leader + 1) % NODES;
    must_write(sim, victim, 1);
    pc_sim_crash(sim, victim, PC_SIM_FS_KILL);
    pc_sim_lose_identity(sim, victim);
    must_refuse(sim, victim);
    pc_sim_own_disk(sim, victim);
    pc_sim_start(sim, victim);
    must_read(sim, victim, 1);
    finish(sim);
}

static void disks__of_two_nodes_are_exchanged__both_refuse(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(&leader);
    size_t one = (leader + 1) % NODES, two = (leader + 2) % NODES;
    must_write(sim, one, 1);
    must_write(sim, two, 2);
    pc_sim_crash(sim, one, PC_SIM_FS_KILL);
    pc_sim_crash(sim, two, PC_SIM_FS_KILL);
    pc_sim_swap_disks(sim, one, two);
    must_refuse(sim, one);
    must_refuse(sim, two);
    pc_sim_own_disk(sim, one);
    pc_sim_start(sim, one);
    pc_sim_own_disk(sim, two);
    pc_sim_start(sim, two);
    wait_for_leader(sim, 4000);
    must_read(sim, one, 2);
    must_read(sim, two, 1);
    finish(sim);
}

static void empty_disk__own_one_put_back_later__is_the_old_voter_again(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(&leader);
    size_t victim = (leader + 1) % NODES, third = (leader + 2) % NODES;
    must_write(sim, victim, 1);
    pc_sim_crash(sim, victim, PC_SIM_FS_KILL);
    pc_sim_wipe(sim, victim);
    pc_sim_start(sim, victim);
    pc_sim_run_for(sim, 1000);
    must_write(sim, leader, 2);
    pc_sim_own_disk(sim, victim);
    pc_sim_start(sim, victim);
    must_read(sim, victim, 2);
    pc_sim_crash(sim, third, PC_SIM_FS_KILL);
    must_write(sim, leader, 3); /* its vote counts again */
    finish(sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(sync__fails_on_the_leader__it_ends_and_nothing_acknowledged_is_lost),
    PC_TEST(write__fails_at_any_call__the_node_comes_back_with_all_it_had),
    PC_TEST(recovery__a_read_fails__nothing_is_cut_and_the_next_start_has_all),
    PC_TEST(log__is_lost__the_node_refuses_until_its_own_disk_is_back),
    PC_TEST(identity__is_lost__the_node_refuses_until_its_own_disk_is_back),
    PC_TEST(disks__of_two_nodes_are_exchanged__both_refuse),
    PC_TEST(empty_disk__own_one_put_back_later__is_the_old_voter_again),
};

PC_TEST_MAIN("disks", tests)
