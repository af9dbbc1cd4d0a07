/* Named histories of a node that is far behind and asks others than the leader: whoever goes silent
 * or dies meanwhile, it ends with what the leader has, and has promised nothing else (B.41). */
#include "sim/sim_kit.h"

struct late {
    struct pc_sim *sim;
    size_t leader, late;
};

static uint64_t given(struct pc_sim *sim)
{
    struct pc_sim_stats stats;
    pc_sim_stats(sim, &stats);
    return stats.entries_given;
}

static struct pc_raft_status raft_of(struct pc_sim *sim, size_t node)
{
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(pc_sim_node(sim, node)), &status);
    return status;
}

static bool has_some(struct pc_sim *sim, void *arg)
{
    return given(sim) > *(uint64_t *)arg;
}

static bool is_level(struct pc_sim *sim, void *arg)
{
    const struct late *l = arg;
    int leader = pc_sim_leader(sim);
    return leader >= 0 && pc_sim_is_up(sim, l->late) &&
           raft_of(sim, l->late).commit >= raft_of(sim, (size_t)leader).commit;
}

/* A calm cluster of `nodes_n`, one of which has missed a few hundred writes and is starting. */
static struct late far_behind(uint64_t seed, size_t nodes_n)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, nodes_n);
    params.catchup_entries = 10;
    params.clients_n = 12;
    params.think_us = 2000;
    params.local_ppm = 0;
    params.tail_bytes_max = 2048; /* most of it is on the disks */
    struct late l = {.sim = pc_sim_new(&params)};
    for (size_t i = 0; i < nodes_n; i++) {
        pc_sim_start(l.sim, i);
    }
    wait_for_leader(l.sim, 4000);
    l.leader = (size_t)pc_sim_leader(l.sim);
    l.late = (l.leader + 1) % nodes_n;
    pc_sim_crash(l.sim, l.late, PC_SIM_FS_KILL);
    pc_sim_clients(l.sim, true);
    pc_sim_run_for(l.sim, 2000);
    pc_sim_clients(l.sim, false);
    pc_sim_run_for(l.sim, 500);
    must_hold(l.sim);
    assert_true(raft_of(l.sim, l.leader).commit > 200);
    assert_int_equal(given(l.sim), 0);
    return l;
}

/* Until the first entries have come from a peer. */
static void begin_with_peers(struct late *l)
{
    uint64_t none = 0;
    pc_sim_start(l->sim, l->late);
    bool some = pc_sim_run_until(l->sim, has_some, &none, 2000);
    must_hold(l->sim);
    assert_true(some);
}

static void wait_until_level(struct late *l)
{
    bool level = pc_sim_run_until(l->sim, is_level, l, 5000);
    must_hold(l->sim);
    assert_true(level);
}

static void behind__peers_are_there__it_is_level_soon(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct late l = far_behind(seed, seed % 2 == 0 ? 5 : 3);
        begin_with_peers(&l);
        wait_until_level(&l);
        finish(l.sim);
    }
}

static void leader__is_cut_off_while_peers_give__nothing_is_committed_on_their_word(void **state)
{
    (void)state;
    struct late l = far_behind(7, 3);
    begin_with_peers(&l);
    pc_sim_cut(l.sim, l.leader, l.late, true);
    pc_index commit = raft_of(l.sim, l.late).commit;
    pc_sim_run_for(l.sim, 300); /* less than it waits for a leader */
    must_hold(l.sim);
    assert_int_equal(raft_of(l.sim, l.late).commit, commit);
    pc_sim_cut(l.sim, l.leader, l.late, false);
    wait_until_level(&l);
    finish(l.sim);
}

static void source__dies_in_the_middle__it_is_level_all_the_same(void **state)
{
    (void)state;
    for (size_t nodes_n = 3; nodes_n <= 5; nodes_n += 2) {
        struct late l = far_behind(11, nodes_n);
        begin_with_peers(&l);
        size_t source = (l.leader + 2) % nodes_n;
        pc_sim_crash(l.sim, source, PC_SIM_FS_POWER_CUT);
        wait_until_level(&l);
        pc_sim_start(l.sim, source);
        finish(l.sim);
    }
}

static void leader__dies_in_the_middle__the_next_one_finds_nothing_wrong(void **state)
{
    (void)state;
    for (uint64_t seed = 21; seed <= 22; seed++) {
        struct late l = far_behind(seed, 5);
        begin_with_peers(&l);
        pc_sim_crash(l.sim, l.leader, PC_SIM_FS_POWER_CUT);
        pc_sim_clients(l.sim, true);
        pc_sim_run_for(l.sim, 2000);
        pc_sim_clients(l.sim, false);
        wait_until_level(&l);
        finish(l.sim);
    }
}

static void late__dies_while_it_catches_up__goes_on_from_what_is_durable(void **state)
{
    (void)state;
    struct late l = far_behind(31, 3);
    begin_with_peers(&l);
    for (int times = 0; times < 4; times++) {
        pc_sim_run_for(l.sim, 2);
        pc_sim_crash(l.sim, l.late, PC_SIM_FS_POWER_CUT);
        pc_sim_start(l.sim, l.late);
        pc_sim_run_for(l.sim, 40);
        must_hold(l.sim);
    }
    wait_until_level(&l);
    finish(l.sim);
}

/* The giver has own writes all the time, and bears with them: the node gets there all the same. */
static void writers__go_on__it_is_given_what_it_lacks(void **state)
{
    (void)state;
    struct late l = far_behind(1, 3);
    begin_with_peers(&l);
    pc_sim_clients(l.sim, true);
    wait_until_level(&l);
    assert_true(given(l.sim) > 150);
    pc_sim_delete(l.sim);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(writers__go_on__it_is_given_what_it_lacks),
    PC_TEST(behind__peers_are_there__it_is_level_soon),
    PC_TEST(leader__is_cut_off_while_peers_give__nothing_is_committed_on_their_word),
    PC_TEST(source__dies_in_the_middle__it_is_level_all_the_same),
    PC_TEST(leader__dies_in_the_middle__the_next_one_finds_nothing_wrong),
    PC_TEST(late__dies_while_it_catches_up__goes_on_from_what_is_durable),
};

PC_TEST_MAIN("catchup", tests)
