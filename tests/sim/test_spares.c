/* Spares and auto_shrink in whole clusters: what the swarm must have seen, and histories that it
 * meets seldom. */
#include <string.h>

#include "sim/sim_kit.h"

#define SPARE 3
#define DEAD_AFTER_MS 2000

/* Three founders and a spare, which has everything. */
static struct pc_sim *started_with_spare(uint64_t seed, size_t *leader)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, 4);
    params.founders_n = 3;
    params.spares_n = 1;
    params.dead_after_ms = DEAD_AFTER_MS;
    params.replaces_lost = true;
    params.heal_max_ms = 60 * 1000;
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < 4; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    pc_sim_run_for(sim, 5000);
    must_hold(sim);
    *leader = (size_t)pc_sim_leader(sim);
    return sim;
}

static void cut_off(struct pc_sim *sim, size_t node, bool cut)
{
    for (size_t i = 0; i < 4; i++) {
        if (i != node) {
            pc_sim_cut(sim, node, i, cut);
            pc_sim_cut(sim, i, node, cut);
        }
    }
}

static bool votes(const struct pc_sim *sim, size_t node)
{
    const struct pc_cluster_config *config = pc_sim_members(sim);
    for (size_t i = 0; i < config->members_n; i++) {
        if (config->members[i].id == pc_sim_node_id(sim, node)) {
            return config->members[i].votes;
        }
    }
    return false;
}

static bool spare_votes(struct pc_sim *sim, void *arg)
{
    (void)arg;
    return votes(sim, SPARE);
}

static void must_write(struct pc_sim *sim, size_t node)
{
    uint64_t write = pc_sim_write(sim, node, PC_OP_SET, 1, 0);
    assert_int_equal(outcome(sim, write).status, PC_REPLY_OK);
}

/* ---- the swarm */

static void swarm__eight_runs__has_seen_what_it_is_to_check(void **state)
{
    (void)state;
    struct pc_sim_stats all = {0};
    size_t runs = 0, with_spares = 0, with_shrink = 0;
    for (uint64_t seed = 1; runs < 8; seed++) {
        struct pc_sim_params params;
        pc_sim_params_draw(&params, seed, 3);
        if (params.dead_after_ms == 0) {
            continue;
        }
        struct pc_sim *sim = pc_sim_new(&params);
        pc_sim_run(sim);
        must_hold(sim);
        struct pc_sim_stats stats;
        pc_sim_stats(sim, &stats);
        pc_sim_stats_add(&all, &stats);
        pc_sim_delete(sim);
        runs++;
        with_spares += params.spares_n > 0 ? 1 : 0;
        with_shrink += params.auto_shrink ? 1 : 0;
    }
    assert_true(with_spares > 1 && with_shrink > 1);
    assert_true(all.long_deaths > 2);
    assert_true(all.places_taken > 2);   /* the dead lose them to spares */
    assert_true(all.votes_taken > 1);    /* auto_shrink */
    assert_true(all.votes_regained > 1); /* who returns votes again, at once or as a spare */
    assert_true(all.survived > 4);
}

/* ---- a take-over */

/* A voter is dead, and its spare loses its power at any moment, without a word: two of three live,
 * and go on all the time, whatever has become of the take-over. */
static void spare__loses_power_around_a_take_over__stops_nobody(void **state)
{
    (void)state;
    for (uint64_t ms = 1500; ms <= 4000; ms += 400) {
        size_t leader;
        struct pc_sim *sim = started_with_spare(ms, &leader);
        size_t dead = (leader + 1) % 3;
        pc_sim_crash(sim, dead, PC_SIM_FS_POWER_CUT);
        pc_sim_run_for(sim, ms);
        cut_off(sim, SPARE, true);
        for (size_t i = 0; i < 5; i++) {
            must_write(sim, (leader + 2 * (i % 2)) % 3);
            pc_sim_run_for(sim, 500);
        }
        must_hold(sim);
        assert_int_equal(pc_sim_leader(sim), (int)leader);
        pc_sim_start(sim, dead);
        pc_sim_run_for(sim, 12000);
        must_hold(sim);
        assert_true(votes(sim, dead)); /* the spare is dead by now, and it is its spare */
        cut_off(sim, SPARE, false);
        finish(sim);
    }
}

/* Any voter dies, then any other; the first one returns before and is the spare of the second. */
static void voters__die_one_by_one_as_spares_return__the_cluster_goes_on(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_with_spare(3, &leader);
    pc_sim_clients(sim, true);
    pc_sim_crash(sim, leader, PC_SIM_FS_LOSE_ALL);
    assert_true(pc_sim_run_until(sim, spare_votes, NULL, 12000));
    size_t next = (size_t)pc_sim_leader(sim);
    pc_sim_crash(sim, next, PC_SIM_FS_KILL);
    pc_sim_run_for(sim, 2000);
    must_write(sim, SPARE);
    pc_sim_start(sim, leader);
    pc_sim_run_for(sim, 12000);
    must_hold(sim);
    assert_true(votes(sim, leader) && votes(sim, SPARE) && !votes(sim, next));
    pc_sim_crash(sim, SPARE, PC_SIM_FS_KILL);
    pc_sim_run_for(sim, 2000);
    must_write(sim, leader);
    finish(sim);
}

/* A voter that stands still for longer than the others wait, and goes on as if nothing had been: it
 * takes no part as a voter any more, and answers nobody (C.2, B.12). */
static void voter__cut_off_until_its_place_is_taken__is_the_spare(void **state)
{
    (void)state;
    size_t leader;
    struct pc_sim *sim = started_with_spare(4, &leader);
    pc_sim_clients(sim, true);
    cut_off(sim, leader, true);
    assert_true(pc_sim_run_until(sim, spare_votes, NULL, 12000));
    must_write(sim, SPARE);
    cut_off(sim, leader, false);
    pc_sim_run_for(sim, 3000);
    must_hold(sim);
    assert_false(votes(sim, leader));
    uint64_t write = pc_sim_write(sim, leader, PC_OP_SET, 2, 0);
    assert_int_equal(outcome(sim, write).status, PC_REPLY_SPARE);
    uint64_t read = pc_sim_read(sim, leader, 2, true);
    assert_int_equal(outcome(sim, read).status, PC_REPLY_SPARE);
    finish(sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(swarm__eight_runs__has_seen_what_it_is_to_check),
    PC_TEST(spare__loses_power_around_a_take_over__stops_nobody),
    PC_TEST(voters__die_one_by_one_as_spares_return__the_cluster_goes_on),
    PC_TEST(voter__cut_off_until_its_place_is_taken__is_the_spare),
};

PC_TEST_MAIN("spares", tests)
