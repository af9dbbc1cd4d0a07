/* Whole histories of small clusters. Every step is followed by pc_swim_check and by the checks of
 * swim_net.h, also where a test does not say so. */
#include "unit/swim/swim_net.h"

static void form__any_size__all_know_all(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 5, 16, 33};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct net net;
        net_create(&net, sizes[s], s);
        net_form(&net);
        net_run(&net, 2000);
        assert_true(net_converged(&net));
        assert_int_equal(net.false_deaths, 0);
        net_destroy(&net);
    }
}

static void crash__reliable_network__all_know_within_the_bound(void **state)
{
    (void)state;
    static const size_t sizes[] = {2, 3, 5, 16};
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct net net;
        net_create(&net, sizes[seed % 4], seed);
        net_form(&net);
        net_run(&net, seed * 37);
        size_t victim = (size_t)pc_prng_below(&net.prng, net.n);
        net_crash(&net, victim);
        struct pc_instant start = net.now;
        pc_ms took = net_run_until_all_hold(&net, victim, PC_MEMBER_DEAD, net_death_bound_ms(&net));
        assert_true(took >= net.opts.suspicion_min_ms);
        assert_true(start.us < net.now.us);
        assert_int_equal(net.false_deaths, 0);
        net_destroy(&net);
    }
}

static void crash__three_members__is_suspected_within_a_few_intervals(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net net;
        net_create(&net, 3, seed);
        net_form(&net);
        net_run(&net, 3000);
        net_crash(&net, 1);
        (void)net_run_until_all_hold(
            &net, 1, PC_MEMBER_SUSPECT, (2 * 3 - 1) * net.opts.probe_interval_ms);
        net_destroy(&net);
    }
}

static void loss__one_packet_in_ten__nobody_dies_in_a_minute(void **state)
{
    (void)state;
    static const size_t sizes[] = {3, 5, 16};
    for (uint64_t seed = 0; seed < 9; seed++) {
        struct net net;
        net_create(&net, sizes[seed % 3], 100 + seed);
        net.opts.probe_interval_ms = 300; /* the more probes, the more may fail */
        net_form(&net);
        net.loss_per_million = 100000;
        net_run(&net, 60000);
        assert_int_equal(net.false_deaths, 0);
        uint64_t suspicions = 0;
        for (size_t i = 0; i < net.n; i++) {
            struct pc_swim_stats stats;
            pc_swim_stats(net.nodes[i].swim, &stats);
            suspicions += stats.suspicions;
        }
        /* With one helper a probe in fifteen fails: the test is void if none did. */
        assert_true(net.n != 3 || suspicions > 0);
        net.loss_per_million = 0;
        net_run(&net, 15000);
        assert_true(net_converged(&net));
        net_destroy(&net);
    }
}

static void crash__with_loss__is_still_found(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct net net;
        net_create(&net, 5, seed);
        net_form(&net);
        net.loss_per_million = 100000;
        net_crash(&net, 2);
        (void)net_run_until_all_hold(&net, 2, PC_MEMBER_DEAD, 2 * net_death_bound_ms(&net));
        assert_int_equal(net.false_deaths, 0);
        net_destroy(&net);
    }
}

static void cut__one_way_between_two__helpers_bridge_it(void **state)
{
    (void)state;
    static const size_t sizes[] = {3, 5};
    for (size_t s = 0; s < 2; s++) {
        struct net net;
        net_create(&net, sizes[s], 5 + s);
        net_form(&net);
        net.cut[0][1] = true;
        net_run(&net, 60000);
        assert_int_equal(net.false_deaths, 0);
        struct pc_swim_stats stats;
        pc_swim_stats(net.nodes[0].swim, &stats);
        assert_true(stats.indirect_probes > 0);
        assert_int_equal(stats.suspicions, 0);
        net_destroy(&net);
    }
}

/* A node that hears all and reaches nobody is dead to the others. Healed, it is back. */
static void cut__one_way_from_one_to_all__is_a_death_until_healed(void **state)
{
    (void)state;
    struct net net;
    net_create(&net, 3, 8);
    net_form(&net);
    net.cut[0][1] = net.cut[0][2] = true;
    (void)net_run_until_all_hold(&net, 0, PC_MEMBER_DEAD, net_death_bound_ms(&net));
    assert_true(net.false_deaths > 0);
    net.cut[0][1] = net.cut[0][2] = false;
    (void)net_run_until_all_hold(&net, 0, PC_MEMBER_ALIVE, 3 * net.opts.push_pull_interval_ms);
    net_run(&net, 10000);
    assert_true(net_converged(&net));
    net_destroy(&net);
}

static void partition__both_sides_buried_each_other__healing_merges_them(void **state)
{
    (void)state;
    struct net net;
    net_create(&net, 5, 9);
    net_form(&net);
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = 0; k < 5; k++) {
            net.cut[i][k] = (i < 2) != (k < 2);
        }
    }
    net_run(&net, 60000);
    assert_int_equal(net_view(&net, 0, 4), PC_MEMBER_DEAD);
    assert_int_equal(net_view(&net, 4, 0), PC_MEMBER_DEAD);
    memset(net.cut, 0, sizeof net.cut);
    for (size_t k = 0; k < 5; k++) {
        (void)net_run_until_all_hold(&net, k, PC_MEMBER_ALIVE, 30000);
    }
    net_run(&net, 8000);
    assert_true(net_converged(&net));
    net_destroy(&net);
}

static void restart__known_dead__is_alive_at_once(void **state)
{
    (void)state;
    struct net net;
    net_create(&net, 3, 10);
    net_form(&net);
    net_crash(&net, 1);
    (void)net_run_until_all_hold(&net, 1, PC_MEMBER_DEAD, net_death_bound_ms(&net));
    net_start(&net, 1);
    net_join(&net, 1, 0);
    pc_ms took = net_run_until_all_hold(&net, 1, PC_MEMBER_ALIVE, 1000);
    assert_true(took <= 2 * net.opts.gossip_interval_ms);
    assert_int_equal(net_view(&net, 1, 0), PC_MEMBER_ALIVE);
    net_run(&net, 20000);
    assert_true(net_converged(&net));
    assert_int_equal(net.false_deaths, 0);
    net_destroy(&net);
}

/* Started again before anybody noticed, while packets of the former life still fly. */
static void restart__before_suspicion__nobody_suspects_the_new_life(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net net;
        net_create(&net, 3, seed);
        net_form(&net);
        net_run(&net, 1000 + seed * 13);
        net_crash(&net, 2);
        net_run(&net, 5);
        net_start(&net, 2);
        net_join(&net, 2, 0);
        net_run(&net, 20000);
        assert_int_equal(net.false_deaths, 0);
        assert_true(net_converged(&net));
        const struct pc_member *member = pc_swim_find(net.nodes[0].swim, net.nodes[2].self.id);
        assert_true(member->generation == net.nodes[2].self.generation);
        net_destroy(&net);
    }
}

static void leave__graceful__all_know_without_suspicion(void **state)
{
    (void)state;
    static const size_t sizes[] = {2, 3, 16};
    for (size_t s = 0; s < 3; s++) {
        struct net net;
        net_create(&net, sizes[s], 11 + s);
        net_form(&net);
        net_run(&net, 1000);
        net_event(&net, 1, PC_SWIM_LEAVE, 0);
        (void)net_run_until_all_hold(&net, 1, PC_MEMBER_LEFT, 1000);
        net_crash(&net, 1);
        net_run(&net, 30000);
        assert_true(net_all_hold(&net, 1, PC_MEMBER_LEFT));
        for (size_t i = 0; i < net.n; i++) {
            struct pc_swim_stats stats;
            if (i != 1) {
                pc_swim_stats(net.nodes[i].swim, &stats);
                assert_int_equal(stats.suspicions, 0);
            }
        }
        net_start(&net, 1);
        net_join(&net, 1, 0);
        (void)net_run_until_all_hold(&net, 1, PC_MEMBER_ALIVE, 1000);
        net_destroy(&net);
    }
}

/* SIGSTOP for ten seconds: the others bury it, it does not bury them, and is soon back. */
static void pause__longer_than_suspicion__the_paused_node_accuses_nobody(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct net net;
        net_create(&net, 5, seed);
        net_form(&net);
        net_run(&net, 2000);
        net.nodes[3].paused_until = pc_instant_add_ms(net.now, 15000);
        net_run(&net, 14000);
        assert_true(net_all_hold(&net, 3, PC_MEMBER_DEAD));
        struct pc_swim_stats before, after;
        pc_swim_stats(net.nodes[3].swim, &before);
        net_run(&net, 5000);
        pc_swim_stats(net.nodes[3].swim, &after);
        assert_int_equal(after.probe_failures, before.probe_failures);
        assert_int_equal(after.deaths, before.deaths);
        (void)net_run_until_all_hold(&net, 3, PC_MEMBER_ALIVE, 10000);
        net_destroy(&net);
    }
}

/* Datagrams of two members fail both ways and nobody can help, but the bus works. */
static void contact__datagrams_cut__keeps_the_member_from_death(void **state)
{
    (void)state;
    struct net net;
    net_create(&net, 2, 12);
    net_form(&net);
    net.cut[0][1] = net.cut[1][0] = true;
    for (int i = 0; i < 200; i++) {
        net_run(&net, 50);
        net_event(&net, 0, PC_SWIM_CONTACT, net.nodes[1].self.id);
        net_event(&net, 1, PC_SWIM_CONTACT, net.nodes[0].self.id);
    }
    assert_int_equal(net.false_deaths, 0);
    assert_int_equal(net_view(&net, 0, 1), PC_MEMBER_ALIVE);
    net_run(&net, net_death_bound_ms(&net));
    assert_int_equal(net_view(&net, 0, 1), PC_MEMBER_DEAD);
    net_destroy(&net);
}

static void address__not_configured__is_learnt_and_agreed_on(void **state)
{
    (void)state;
    struct net net;
    net_create(&net, 3, 13);
    for (size_t i = 0; i < 3; i++) {
        net.nodes[i].self.addr = (struct pc_addr){0};
    }
    net_form(&net);
    net_run(&net, 3000);
    assert_true(net_converged(&net));
    for (size_t i = 0; i < 3; i++) {
        const struct pc_member *self = pc_swim_find(net.nodes[i].swim, net.nodes[i].self.id);
        struct pc_addr addr = net_addr(&net, i);
        assert_true(pc_addr_equal(&self->addr, &addr));
    }
    net_destroy(&net);
}

/* Storms of everything at once: whatever the views were, they are right some time after. */
static void chaos__then_healed__views_converge_to_the_truth(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct net net;
        net_create(&net, 3 + seed % 4, 500 + seed);
        net_form(&net);
        net.loss_per_million = 200000;
        for (int act = 0; act < 30; act++) {
            size_t a = (size_t)pc_prng_below(&net.prng, net.n);
            size_t b = (size_t)pc_prng_below(&net.prng, net.n);
            net.cut[a][b] = a != b && pc_prng_chance(&net.prng, 500000);
            if (net.nodes[a].swim == NULL) {
                net_start(&net, a);
                net_join(&net, a, b);
            } else if (pc_prng_chance(&net.prng, 300000)) {
                net_crash(&net, a);
            }
            net_run(&net, pc_prng_below(&net.prng, 4000));
        }
        memset(net.cut, 0, sizeof net.cut);
        net.loss_per_million = 0;
        for (size_t i = 0; i < net.n; i++) {
            if (net.nodes[i].swim == NULL) {
                net_start(&net, i);
            }
            net_join(&net, i, (i + 1) % net.n);
        }
        for (size_t k = 0; k < net.n; k++) {
            (void)net_run_until_all_hold(&net, k, PC_MEMBER_ALIVE, 30000);
        }
        net.false_deaths = 0;
        net_run(&net, 10000);
        assert_true(net_converged(&net));
        assert_int_equal(net.false_deaths, 0);
        net_destroy(&net);
    }
}

static void run__same_seed__is_the_same_run(void **state)
{
    (void)state;
    uint64_t packets[2];
    for (size_t run = 0; run < 2; run++) {
        struct net net;
        net_create(&net, 5, 77);
        net_form(&net);
        net.loss_per_million = 50000;
        net_crash(&net, 1);
        net_run(&net, 20000);
        packets[run] = net.packets * 1000003 + net.now.us + pc_prng_next(&net.prng) % 1000;
        net_destroy(&net);
    }
    assert_true(packets[0] == packets[1]);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(form__any_size__all_know_all),
    PC_TEST(crash__reliable_network__all_know_within_the_bound),
    PC_TEST(crash__three_members__is_suspected_within_a_few_intervals),
    PC_TEST(loss__one_packet_in_ten__nobody_dies_in_a_minute),
    PC_TEST(crash__with_loss__is_still_found),
    PC_TEST(cut__one_way_between_two__helpers_bridge_it),
    PC_TEST(cut__one_way_from_one_to_all__is_a_death_until_healed),
    PC_TEST(partition__both_sides_buried_each_other__healing_merges_them),
    PC_TEST(restart__known_dead__is_alive_at_once),
    PC_TEST(restart__before_suspicion__nobody_suspects_the_new_life),
    PC_TEST(leave__graceful__all_know_without_suspicion),
    PC_TEST(pause__longer_than_suspicion__the_paused_node_accuses_nobody),
    PC_TEST(contact__datagrams_cut__keeps_the_member_from_death),
    PC_TEST(address__not_configured__is_learnt_and_agreed_on),
    PC_TEST(chaos__then_healed__views_converge_to_the_truth),
    PC_TEST(run__same_seed__is_the_same_run),
};
PC_TEST_MAIN("swim_cluster", tests)
