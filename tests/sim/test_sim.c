/* Named histories of whole clusters, and the simulator's own promise: one seed, one run. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sim/sim_kit.h"

#define NODES 3

static struct pc_sim *calm(size_t nodes_n)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, 7, nodes_n);
    return pc_sim_new(&params);
}

/* A cluster with a leader; which is told. */
static struct pc_sim *started(size_t nodes_n, size_t *leader)
{
    return started_calm(7, nodes_n, leader);
}

static void must_write(struct pc_sim *sim, size_t node, size_t key, pc_ms ttl_ms)
{
    struct pc_sim_op_result r = outcome(sim, pc_sim_write(sim, node, PC_OP_SET, key, ttl_ms));
    assert_int_equal(r.status, PC_REPLY_OK);
}

static enum pc_reply_status read_status(struct pc_sim *sim, size_t node, size_t key)
{
    return outcome(sim, pc_sim_read(sim, node, key, false)).status;
}

/* ---- the simulator */

static uint64_t hash_of(uint64_t seed)
{
    struct pc_sim_params params;
    pc_sim_params_draw(&params, seed, 0);
    struct pc_sim *sim = pc_sim_new(&params);
    pc_sim_run(sim);
    must_hold(sim);
    uint64_t hash = pc_sim_trace_hash(sim);
    pc_sim_delete(sim);
    return hash;
}

static void run__same_seed_twice__is_the_same_run(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        assert_true(hash_of(seed) == hash_of(seed));
    }
    assert_false(hash_of(1) == hash_of(2));
}

static void run__sizes_1_to_5__all_properties_hold(void **state)
{
    (void)state;
    for (size_t nodes_n = 1; nodes_n <= 5; nodes_n++) {
        for (uint64_t seed = 100; seed < 104; seed++) {
            struct pc_sim_params params;
            pc_sim_params_draw(&params, seed, nodes_n);
            struct pc_sim *sim = pc_sim_new(&params);
            pc_sim_run(sim);
            must_hold(sim);
            struct pc_sim_stats stats;
            pc_sim_stats(sim, &stats);
            assert_true(stats.elections_won > 0 && stats.linear_reads > 0);
            pc_sim_delete(sim);
        }
    }
}

/* ---- formation and identity */

static void formation__a_member_is_missing__nobody_forms_until_it_comes(void **state)
{
    (void)state;
    struct pc_sim *sim = calm(NODES);
    pc_sim_start(sim, 0);
    pc_sim_run_for(sim, 3000);
    pc_sim_start(sim, 1);
    pc_sim_run_for(sim, 3000);
    must_hold(sim);
    for (size_t i = 0; i < 2; i++) {
        struct pc_raft_status status;
        pc_raft_status(pc_node_raft(pc_sim_node(sim, i)), &status);
        assert_int_equal(status.last, 0);
        assert_int_equal(status.term, 0);
    }
    pc_sim_start(sim, 2);
    wait_for_leader(sim, 2000);
    must_write(sim, 2, 0, 0);
    finish(sim);
}

static void formation__one_member__leads_itself(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(1, &leader);
    must_write(sim, 0, 3, 0);
    pc_sim_crash(sim, 0, PC_SIM_FS_LOSE_ALL);
    pc_sim_start(sim, 0);
    wait_for_leader(sim, 3000);
    assert_int_equal(read_status(sim, 0, 3), PC_REPLY_OK);
    finish(sim);
}

static void wiped_node__comes_back__is_refused_with_both_ids(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    size_t victim = (leader + 1) % NODES;
    must_write(sim, leader, 1, 0);
    pc_node_id old_id = pc_sim_node_id(sim, victim);
    pc_sim_crash(sim, victim, PC_SIM_FS_KILL);
    pc_sim_wipe(sim, victim);
    pc_sim_start(sim, victim);
    pc_sim_run_for(sim, 2000);
    must_hold(sim);
    char was[20], is[20];
    (void)snprintf(was, sizeof was, "%016" PRIx64, old_id);
    (void)snprintf(is, sizeof is, "%016" PRIx64, pc_sim_node_id(sim, victim));
    assert_non_null(strstr(pc_sim_refusal(sim, victim), was));
    assert_non_null(strstr(pc_sim_refusal(sim, victim), is));
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, victim)), &status);
    assert_int_equal(status.last, 0);
    must_write(sim, leader, 2, 0);
    assert_int_equal(read_status(sim, (leader + 2) % NODES, 1), PC_REPLY_OK);
    pc_sim_delete(sim);
}

/* ---- deaths */

static void leader__is_killed__another_leads_within_300_ms(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    must_write(sim, leader, 4, 0);
    pc_sim_run_for(sim, 1000);
    uint64_t killed_ms = pc_sim_now_ms(sim);
    pc_sim_crash(sim, leader, PC_SIM_FS_KILL);
    wait_for_leader(sim, 3000);
    assert_true(pc_sim_now_ms(sim) - killed_ms < 300);
    size_t next = (size_t)pc_sim_leader(sim);
    assert_true(next != leader);
    assert_int_equal(read_status(sim, NODES - leader - next, 4), PC_REPLY_OK);
    must_write(sim, NODES - leader - next, 5, 0);
    pc_sim_start(sim, leader);
    assert_int_equal(read_status(sim, leader, 5), PC_REPLY_OK);
    finish(sim);
}

static void all_nodes__lose_power_at_once__keep_what_was_acknowledged(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    for (size_t key = 0; key < 8; key++) {
        must_write(sim, key % NODES, key, 0);
    }
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_crash(sim, i, i == leader ? PC_SIM_FS_LOSE_ALL : PC_SIM_FS_POWER_CUT);
    }
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 5000);
    for (size_t key = 0; key < 8; key++) {
        assert_int_equal(read_status(sim, (key + 1) % NODES, key), PC_REPLY_OK);
    }
    finish(sim);
}

static void two_of_three__are_down__writes_are_refused_and_local_reads_served(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    must_write(sim, leader, 6, 0);
    pc_sim_run_for(sim, 500);
    size_t left = (leader + 1) % NODES;
    pc_sim_crash(sim, leader, PC_SIM_FS_KILL);
    pc_sim_crash(sim, (leader + 2) % NODES, PC_SIM_FS_KILL);
    pc_sim_run_for(sim, 2000);
    uint64_t write = pc_sim_write(sim, left, PC_OP_SET, 7, 0);
    assert_int_equal(outcome(sim, write).status, PC_REPLY_NO_LEADER);
    assert_int_equal(outcome(sim, pc_sim_read(sim, left, 6, true)).status, PC_REPLY_OK);
    assert_int_equal(read_status(sim, left, 6), PC_REPLY_NO_LEADER);
    finish(sim);
}

static void ttl__leader_changes__expires_neither_early_nor_late(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    must_write(sim, leader, 9, 3000);
    uint64_t written_ms = pc_sim_now_ms(sim);
    pc_sim_crash(sim, leader, PC_SIM_FS_KILL);
    wait_for_leader(sim, 3000);
    size_t next = (size_t)pc_sim_leader(sim);
    pc_sim_run_for(sim, written_ms + 2500 - pc_sim_now_ms(sim));
    assert_int_equal(read_status(sim, next, 9), PC_REPLY_OK);
    pc_sim_run_for(sim, written_ms + 3600 - pc_sim_now_ms(sim));
    assert_int_equal(read_status(sim, next, 9), PC_REPLY_NOT_FOUND);
    pc_sim_start(sim, leader);
    assert_int_equal(read_status(sim, leader, 9), PC_REPLY_NOT_FOUND);
    finish(sim);
}

/* ---- leadership and lines */

static bool target_leads(struct pc_sim *sim, void *arg)
{
    return pc_sim_leader(sim) == *(int *)arg;
}

static void transfer__under_load__moves_and_no_write_is_lost(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    pc_sim_clients(sim, true);
    for (int round = 0; round < 6; round++) {
        pc_sim_run_for(sim, 300);
        int target = (pc_sim_leader(sim) + 1) % NODES;
        pc_sim_transfer(sim, (size_t)pc_sim_leader(sim), (size_t)target);
        assert_true(pc_sim_run_until(sim, target_leads, &target, 500));
    }
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    assert_true(stats.acked_writes > 50);
    assert_int_equal(stats.unknown_writes + stats.refused_writes + stats.failed_reads, 0);
    finish(sim);
}

/* Three nodes take a compare-and-set of one version at once: one is done. */
static void compare_and_set__on_all_nodes_at_once__one_is_done(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    must_write(sim, 0, 5, 0);
    pc_index version = outcome(sim, pc_sim_read(sim, 1, 5, false)).version;
    uint64_t ops[NODES];
    for (size_t i = 0; i < NODES; i++) {
        ops[i] = pc_sim_write_if(sim, i, 5, PC_IF_VERSION, version);
    }
    size_t done = 0;
    pc_index after = 0;
    for (size_t i = 0; i < NODES; i++) {
        struct pc_sim_op_result r = outcome(sim, ops[i]);
        assert_int_equal(r.status, PC_REPLY_OK);
        done += r.unmet ? 0 : 1;
        after = r.unmet ? after : r.version;
        assert_true(r.version > version); /* also told by what is not done */
    }
    assert_int_equal(done, 1);
    assert_int_equal(outcome(sim, pc_sim_read(sim, 2, 5, false)).version, after);
    finish(sim);
}

/* Cluster time alone decides what is there. */
static void create__until_the_old_one_expires__is_not_done(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    assert_false(outcome(sim, pc_sim_write_if(sim, 1, 6, PC_IF_ABSENT, 0)).unmet);
    assert_true(outcome(sim, pc_sim_write_if(sim, 2, 6, PC_IF_ABSENT, 0)).unmet);
    must_write(sim, 0, 6, 800);
    assert_true(outcome(sim, pc_sim_write_if(sim, 0, 6, PC_IF_ABSENT, 0)).unmet);
    pc_sim_run_for(sim, 2000);
    assert_false(outcome(sim, pc_sim_write_if(sim, 0, 6, PC_IF_ABSENT, 0)).unmet);
    finish(sim);
}

static void forwarded_write__refused_by_a_leader_that_hands_over__is_done_once(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    size_t other = (leader + 2) % NODES;
    struct pc_sim_stats stats = {0};
    for (int i = 0; i < 20 && stats.refusals == 0; i++) {
        leader = (size_t)pc_sim_leader(sim);
        other = (leader + 2) % NODES;
        uint64_t write = pc_sim_write(sim, other, PC_OP_SET, 11, 0);
        pc_sim_transfer(sim, leader, (leader + 1) % NODES);
        assert_int_equal(outcome(sim, write).status, PC_REPLY_OK);
        wait_for_leader(sim, 2000);
        pc_sim_run_for(sim, 500);
        pc_sim_stats(sim, &stats);
    }
    assert_true(stats.refusals > 0);
    assert_int_equal(read_status(sim, leader, 11), PC_REPLY_OK);
    finish(sim);
}

static void leader__cannot_send__is_replaced_and_follows_afterwards(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    must_write(sim, leader, 12, 0);
    for (size_t i = 0; i < NODES; i++) {
        if (i != leader) {
            pc_sim_cut(sim, leader, i, true);
        }
    }
    uint64_t stuck = pc_sim_write(sim, leader, PC_OP_SET, 13, 0);
    pc_sim_run_for(sim, 4000);
    must_hold(sim);
    assert_true(pc_sim_leader(sim) >= 0 && pc_sim_leader(sim) != (int)leader);
    assert_int_not_equal(outcome(sim, stuck).status, PC_REPLY_OK);
    must_write(sim, (size_t)pc_sim_leader(sim), 14, 0);
    finish(sim);
}

static void follower__cannot_hear__does_not_disturb_the_others(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    size_t deaf = (leader + 1) % NODES;
    pc_sim_run_for(sim, 500);
    struct pc_raft_status before, after;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, leader)), &before);
    for (size_t i = 0; i < NODES; i++) {
        if (i != deaf) {
            pc_sim_cut(sim, i, deaf, true);
        }
    }
    pc_sim_run_for(sim, 5000);
    must_hold(sim);
    pc_raft_status(pc_node_raft(pc_sim_node(sim, leader)), &after);
    assert_int_equal(after.role, PC_RAFT_LEADER);
    assert_int_equal(after.term, before.term);
    must_write(sim, leader, 15, 0);
    finish(sim);
}

static bool leads(struct pc_sim *sim, void *arg)
{
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, *(size_t *)arg)), &status);
    return status.role == PC_RAFT_LEADER;
}

static void follower__disk_is_full__still_votes(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started(NODES, &leader);
    size_t full = (leader + 1) % NODES, other = (leader + 2) % NODES;
    pc_sim_space(sim, full, false);
    struct pc_sim_stats stats = {0};
    for (int i = 0; i < 300 && stats.full_episodes == 0; i++) {
        must_write(sim, leader, 5, 0);
        pc_sim_stats(sim, &stats);
    }
    assert_int_equal(stats.full_episodes, 1);
    pc_sim_crash(sim, leader, PC_SIM_FS_KILL);
    assert_true(pc_sim_run_until(sim, leads, &other, 4000));
    assert_int_equal(pc_sim_leader(sim), -1); /* nothing can be committed */
    pc_sim_space(sim, full, true);
    wait_for_leader(sim, 3000);
    must_write(sim, full, 6, 0);
    finish(sim);
}

/* ---- histories that once went wrong */

/* Long lines, so that there is time between two messages; streams stand for long. */
static struct pc_sim *started_slow(size_t *leader)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, 11, NODES);
    params.delay_min_us = 5000;
    params.stall_max_us = 10000000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < NODES; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 3000);
    *leader = (size_t)pc_sim_leader(sim);
    return sim;
}

struct follows {
    size_t node;
    pc_node_id leader;
};

static bool follows_leader(struct pc_sim *sim, void *arg)
{
    const struct follows *follows = arg;
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, follows->node)), &status);
    return status.leader == follows->leader;
}

/* 1. `reader` asks for a read index; the leader's round is not confirmed, for `other` is mute.
 * 2. reader dies and is back at once; its first acknowledgement confirms the round.
 * 3. The answer to the dead reader is under way when a write is acknowledged on the leader.
 * 4. A read begins on reader. The answer of 3 arrives: it must not be taken for this read's. */
static void read__answer_to_an_earlier_life_arrives__is_not_taken(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_slow(&leader);
    size_t reader = (leader + 1) % NODES, other = (leader + 2) % NODES;
    must_write(sim, leader, 1, 0);
    pc_sim_run_for(sim, 200);
    pc_sim_cut(sim, other, leader, true);
    (void)pc_sim_read(sim, reader, 1, false);
    pc_sim_run_for(sim, 8);
    pc_sim_crash(sim, reader, PC_SIM_FS_KILL);
    pc_sim_start(sim, reader);
    struct follows follows = {reader, pc_sim_node_id(sim, leader)};
    assert_true(pc_sim_run_until(sim, follows_leader, &follows, 500));
    pc_sim_cut(sim, leader, reader, true);
    pc_sim_run_for(sim, 20);
    pc_sim_cut(sim, other, leader, false);
    must_write(sim, leader, 1, 0);
    uint64_t read = pc_sim_read(sim, reader, 1, false);
    pc_sim_run_for(sim, 20);
    pc_sim_cut(sim, leader, reader, false);
    assert_int_equal(outcome(sim, read).status, PC_REPLY_OK);
    finish(sim);
}

/* A refusal that comes after the time to wait for a leader ends the request: it does not begin to
 * wait anew. */
static void forwarded_write__refused_late__is_answered_in_time(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_slow(&leader);
    size_t asked = (leader + 1) % NODES, next = (leader + 2) % NODES;
    pc_sim_run_for(sim, 200);
    pc_sim_cut(sim, asked, leader, true);
    pc_sim_cut(sim, asked, next, true);
    uint64_t write = pc_sim_write(sim, asked, PC_OP_SET, 2, 0);
    pc_sim_run_for(sim, 2600);
    int target = (int)next;
    pc_sim_transfer(sim, leader, next);
    assert_true(pc_sim_run_until(sim, target_leads, &target, 200));
    pc_sim_cut(sim, asked, leader, false);
    assert_int_equal(outcome(sim, write).status, PC_REPLY_NO_LEADER);
    finish(sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(run__same_seed_twice__is_the_same_run),
    PC_TEST(run__sizes_1_to_5__all_properties_hold),
    PC_TEST(formation__a_member_is_missing__nobody_forms_until_it_comes),
    PC_TEST(formation__one_member__leads_itself),
    PC_TEST(wiped_node__comes_back__is_refused_with_both_ids),
    PC_TEST(leader__is_killed__another_leads_within_300_ms),
    PC_TEST(all_nodes__lose_power_at_once__keep_what_was_acknowledged),
    PC_TEST(two_of_three__are_down__writes_are_refused_and_local_reads_served),
    PC_TEST(ttl__leader_changes__expires_neither_early_nor_late),
    PC_TEST(transfer__under_load__moves_and_no_write_is_lost),
    PC_TEST(compare_and_set__on_all_nodes_at_once__one_is_done),
    PC_TEST(create__until_the_old_one_expires__is_not_done),
    PC_TEST(forwarded_write__refused_by_a_leader_that_hands_over__is_done_once),
    PC_TEST(leader__cannot_send__is_replaced_and_follows_afterwards),
    PC_TEST(follower__cannot_hear__does_not_disturb_the_others),
    PC_TEST(follower__disk_is_full__still_votes),
    PC_TEST(read__answer_to_an_earlier_life_arrives__is_not_taken),
    PC_TEST(forwarded_write__refused_late__is_answered_in_time),
};

PC_TEST_MAIN("sim", tests)
