/* Named histories of bits that flip in the memory of a node: who finds it, what clients are told
 * meanwhile and afterwards, and what gets onto disks. F.1 to F.3 and B.30 are looked at all the
 * time. */
#include "sim/sim_kit.h"

#define KEYS 12
#define FOUND_MS 8000

static struct pc_sim *cluster(uint64_t seed, size_t nodes_n, uint64_t snapshot_log_bytes)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, nodes_n);
    params.fault[PC_SIM_FAULT_FLIP] = true;
    params.disk_measured = true;
    params.keys_n = KEYS;
    params.snapshot_log_bytes = snapshot_log_bytes;
    params.tail_bytes_max = 2048;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < nodes_n; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    return sim;
}

static void write_all(struct pc_sim *sim, size_t node)
{
    for (size_t i = 0; i < 2 * KEYS; i++) { /* versions are not those of the origin */
        size_t key = i % KEYS;
        uint64_t op = pc_sim_write(sim, node, PC_OP_SET, key, key % 3 == 0 ? 60000 : 0);
        assert_int_equal(outcome(sim, op).status, PC_REPLY_OK);
    }
    pc_sim_run_for(sim, 500);
    must_hold(sim);
}

static struct pc_sim_stats stats_of(struct pc_sim *sim)
{
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    return stats;
}

static struct pc_node_status status_of(struct pc_sim *sim, size_t node)
{
    struct pc_node_status status;
    pc_node_status(
        pc_sim_node(sim, node), (struct pc_instant){pc_sim_now_us_at(sim, node)}, &status);
    return status;
}

static bool is_sound(struct pc_sim *sim, void *arg)
{
    return pc_sim_is_sound(sim, *(size_t *)arg);
}

static void wait_until_sound(struct pc_sim *sim, size_t node)
{
    bool sound = pc_sim_run_until(sim, is_sound, &node, FOUND_MS);
    must_hold(sim);
    assert_true(sound);
}

static uint64_t read_value(struct pc_sim *sim, size_t node, size_t key, bool local)
{
    struct pc_sim_op_result result = outcome(sim, pc_sim_read(sim, node, key, local));
    assert_int_equal(result.status, PC_REPLY_OK);
    return result.value;
}

/* Whatever of it flips, once: it is found by the node itself, and once. */
static void flip_and_wait(struct pc_sim *sim, size_t node, enum pc_sim_flip what)
{
    uint64_t found = stats_of(sim).flips_found, resyncs = status_of(sim, node).digest_check.resyncs;
    size_t key = what == PC_SIM_FLIP_DEADLINE ? 3 : what == PC_SIM_FLIP_TYPE ? SIZE_MAX : 5;
    assert_true(pc_sim_flip(sim, node, what, key));
    assert_false(pc_sim_is_sound(sim, node));
    wait_until_sound(sim, node);
    assert_int_equal(stats_of(sim).flips_found, found + 1);
    assert_int_equal(status_of(sim, node).digest_check.resyncs, resyncs + 1);
}

static void flip_everything(struct pc_sim *sim, size_t node)
{
    static const enum pc_sim_flip all[] = {PC_SIM_FLIP_VALUE, PC_SIM_FLIP_VERSION,
        PC_SIM_FLIP_CREATED, PC_SIM_FLIP_DEADLINE, PC_SIM_FLIP_KEY, PC_SIM_FLIP_TYPE,
        PC_SIM_FLIP_DIGEST};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        flip_and_wait(sim, node, all[i]);
    }
}

static void follower__a_bit_of_anything_flips__is_found_and_the_state_made_anew(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct pc_sim *sim = cluster(seed, 3, 0);
        size_t leader = (size_t)pc_sim_leader(sim), follower = (leader + 1) % 3;
        write_all(sim, leader);
        flip_everything(sim, follower);
        assert_int_equal(pc_sim_leader(sim), leader);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(status_of(sim, i).digest_check.resyncs > 0, i == follower ? 1 : 0);
            (void)read_value(sim, i, 4, true);
        }
        finish(sim);
    }
}

static void leader__a_bit_of_anything_flips__another_leads_and_nothing_is_lost(void **state)
{
    (void)state;
    struct pc_sim *sim = cluster(5, 3, 0);
    size_t leader = (size_t)pc_sim_leader(sim);
    write_all(sim, leader);
    uint64_t value = read_value(sim, leader, 4, false);
    flip_and_wait(sim, leader, PC_SIM_FLIP_VALUE);
    wait_for_leader(sim, 4000);
    assert_int_not_equal(pc_sim_leader(sim), leader);
    assert_int_equal(read_value(sim, leader, 4, false), value);
    flip_everything(sim, leader);
    flip_everything(sim, (size_t)pc_sim_leader(sim));
    finish(sim);
}

static void clients__work_while_bits_flip_in_turn__are_told_what_is_right_in_the_end(void **state)
{
    (void)state;
    struct pc_sim *sim = cluster(9, 3, 8 << 10);
    write_all(sim, 0);
    pc_sim_clients(sim, true);
    for (size_t round = 0; round < 12; round++) {
        size_t node = round % 3, key = round % KEYS;
        for (size_t tries = 0; tries < 50 && !pc_sim_flip(sim, node, PC_SIM_FLIP_VALUE, key);
             tries++) {
            key = (key + 1) % KEYS;
            pc_sim_run_for(sim, 20);
        }
        wait_until_sound(sim, node);
    }
    pc_sim_clients(sim, false);
    assert_true(stats_of(sim).flips >= 8);
    finish(sim);
}

static bool is_made(struct pc_sim *sim, void *arg)
{
    return stats_of(sim).snaps_made >= *(uint64_t *)arg;
}

/* The snapshot is given up; those that come after are right (F.3), and one is made all the same. */
static void snapshot__a_bit_flips_before_it_is_made__does_not_get_into_it(void **state)
{
    (void)state;
    for (uint64_t seed = 21; seed <= 22; seed++) {
        struct pc_sim *sim = cluster(seed, 3, 4 << 10);
        write_all(sim, 0);
        size_t node = (size_t)pc_sim_leader(sim);
        node = seed % 2 == 0 ? node : (node + 1) % 3;
        uint64_t made = stats_of(sim).snaps_made;
        uint64_t later = made + 6;
        assert_true(pc_sim_flip(sim, node, PC_SIM_FLIP_VALUE, 4));
        for (size_t i = 0; i < 150; i++) { /* before the next look at the memory, mostly */
            (void)pc_sim_write(sim, (node + 1) % 3, PC_OP_SET, 5 + i % 7, 0);
        }
        bool again = pc_sim_run_until(sim, is_made, &later, 8000);
        must_hold(sim);
        assert_true(again);
        wait_until_sound(sim, node);
        assert_int_equal(stats_of(sim).flips_found, 1);
        finish(sim);
    }
}

/* Values so large, and disks so slow, that a snapshot takes its time while items change. */
static struct pc_sim *cluster_with_long_snapshots(uint64_t seed)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, 3);
    params.fault[PC_SIM_FAULT_FLIP] = true;
    params.disk_measured = true;
    params.clients_n = 12;
    params.think_us = 5000;
    params.local_ppm = 0;
    params.keys_n = 64;
    params.value_more_max = 120 << 10;
    params.snapshot_log_bytes = 512 << 10;
    params.disk_write_us = 10000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < 3; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    pc_sim_clients(sim, true);
    return sim;
}

/* What is not given yet, and what is kept aside for it as it was. */
static void snapshot__bits_flip_while_it_is_made__does_not_have_them(void **state)
{
    (void)state;
    static const enum pc_sim_flip what[] = {PC_SIM_FLIP_VALUE, PC_SIM_FLIP_ASIDE};
    uint64_t flips = 0;
    for (size_t i = 0; i < 2; i++) {
        struct pc_sim *sim = cluster_with_long_snapshots(61 + i);
        size_t node = (size_t)pc_sim_leader(sim);
        bool done = false;
        for (size_t ms = 0; ms < 8000 && !done; ms++) {
            pc_sim_run_for(sim, 1);
            done =
                status_of(sim, node).snapshot_is_due && pc_sim_flip(sim, node, what[i], SIZE_MAX);
        }
        must_hold(sim);
        assert_true(done);
        wait_until_sound(sim, node);
        pc_sim_clients(sim, false);
        flips += stats_of(sim).flips;
        finish(sim);
    }
    assert_int_equal(flips, 2);
}

/* A restart from the snapshot that was made before is the end of what flipped. */
static void restart__from_its_own_snapshot_before_it_was_found__is_whole(void **state)
{
    (void)state;
    for (uint64_t seed = 31; seed <= 31; seed++) {
        struct pc_sim *sim = cluster(seed, 3, 2 << 10);
        write_all(sim, 0);
        uint64_t some = stats_of(sim).snaps_made + 3;
        for (size_t i = 0; i < 60; i++) {
            (void)pc_sim_write(sim, i % 3, PC_OP_SET, i % KEYS, 0);
        }
        assert_true(pc_sim_run_until(sim, is_made, &some, 8000));
        pc_sim_run_for(sim, 1000);
        size_t node = (size_t)pc_sim_leader(sim);
        uint64_t value = read_value(sim, (node + 1) % 3, 4, false);
        assert_true(pc_sim_flip(sim, node, PC_SIM_FLIP_VALUE, 4));
        pc_sim_crash(sim, node, PC_SIM_FS_KILL);
        assert_true(pc_sim_is_sound(sim, node));
        uint64_t snaps = stats_of(sim).snaps_found;
        pc_sim_start(sim, node);
        wait_for_leader(sim, 4000);
        assert_true(stats_of(sim).snaps_found > snaps);
        assert_int_equal(read_value(sim, node, 4, false), value);
        assert_int_equal(stats_of(sim).flips_found, 0);
        finish(sim);
    }
}

static void two_of_five__in_different_items__both_are_made_anew(void **state)
{
    (void)state;
    struct pc_sim *sim = cluster(41, 5, 0);
    size_t leader = (size_t)pc_sim_leader(sim), other = (leader + 2) % 5;
    write_all(sim, leader);
    uint64_t first = read_value(sim, leader, 4, false), second = read_value(sim, leader, 7, false);
    assert_true(pc_sim_flip(sim, leader, PC_SIM_FLIP_VALUE, 4));
    assert_false(pc_sim_flip(sim, other, PC_SIM_FLIP_VALUE, 4)); /* no longer whole everywhere */
    assert_true(pc_sim_flip(sim, other, PC_SIM_FLIP_VERSION, 7));
    assert_false(pc_sim_flip(sim, (leader + 1) % 5, PC_SIM_FLIP_VALUE, 8)); /* one too many */
    wait_until_sound(sim, leader);
    wait_until_sound(sim, other);
    assert_int_equal(stats_of(sim).flips_found, 2);
    wait_for_leader(sim, 4000);
    assert_int_equal(read_value(sim, leader, 4, true), first);
    assert_int_equal(read_value(sim, other, 7, true), second);
    finish(sim);
}

/* Its own pass over the memory finds nothing: it holds what it has applied. The others tell it,
 * also where time goes on because of items with a deadline. A bit that changes nothing is in some.
 */
static void entry__is_applied_wrongly_by_a_follower__the_majority_says_so(void **state)
{
    (void)state;
    uint64_t found = 0;
    for (uint64_t seed = 71; seed <= 74; seed++) {
        struct pc_sim *sim = cluster(seed, seed % 2 == 0 ? 5 : 3, 0);
        size_t leader = (size_t)pc_sim_leader(sim), follower = (leader + 1) % 3;
        write_all(sim, leader);
        assert_true(pc_sim_flip(sim, follower, PC_SIM_FLIP_ENTRY, SIZE_MAX));
        assert_true(pc_sim_is_sound(sim, follower)); /* there is no entry yet */
        for (size_t i = 0; i < 50 && stats_of(sim).flips == 0; i++) {
            uint64_t op = pc_sim_write(sim, leader, PC_OP_SET, 4, 0);
            assert_int_equal(outcome(sim, op).status, PC_REPLY_OK);
        }
        assert_int_equal(stats_of(sim).flips, 1);
        wait_until_sound(sim, follower);
        assert_int_equal(stats_of(sim).flips_found + stats_of(sim).flips_gone, 1);
        assert_int_equal(status_of(sim, follower).digest_check.resyncs, stats_of(sim).flips_found);
        assert_true(status_of(sim, leader).digest_check.alarms <= 1);
        assert_int_equal(status_of(sim, leader).digest_check.resyncs, 0);
        assert_int_equal(pc_sim_leader(sim), leader);
        (void)read_value(sim, follower, 4, true);
        found += stats_of(sim).flips_found;
        finish(sim);
    }
    assert_true(found >= 3);
}

/* The last item goes, and what is left of the digest is not that of an empty store. */
static void last_item__is_removed_after_it_flipped__the_node_lives_and_finds_it(void **state)
{
    (void)state;
    struct pc_sim *sim = cluster(51, 3, 0);
    size_t leader = (size_t)pc_sim_leader(sim), follower = (leader + 1) % 3;
    (void)outcome(sim, pc_sim_write(sim, leader, PC_OP_SET, 4, 0));
    pc_sim_run_for(sim, 300);
    assert_true(pc_sim_flip(sim, follower, PC_SIM_FLIP_VALUE, 4));
    (void)outcome(sim, pc_sim_write(sim, leader, PC_OP_DELETE, 4, 0));
    wait_until_sound(sim, follower);
    assert_true(pc_sim_is_up(sim, follower));
    assert_int_equal(stats_of(sim).flips_found, 1);
    finish(sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(follower__a_bit_of_anything_flips__is_found_and_the_state_made_anew),
    PC_TEST(leader__a_bit_of_anything_flips__another_leads_and_nothing_is_lost),
    PC_TEST(clients__work_while_bits_flip_in_turn__are_told_what_is_right_in_the_end),
    PC_TEST(snapshot__a_bit_flips_before_it_is_made__does_not_get_into_it),
    PC_TEST(snapshot__bits_flip_while_it_is_made__does_not_have_them),
    PC_TEST(restart__from_its_own_snapshot_before_it_was_found__is_whole),
    PC_TEST(two_of_five__in_different_items__both_are_made_anew),
    PC_TEST(entry__is_applied_wrongly_by_a_follower__the_majority_says_so),
    PC_TEST(last_item__is_removed_after_it_flipped__the_node_lives_and_finds_it),
};

PC_TEST_MAIN("flips", tests)
