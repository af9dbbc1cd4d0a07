/* A quick selection of swimsim, with bounds wide enough that only a broken machine misses them:
 * B.46, completeness (all learn of a crash in time), and B.47, accuracy (nobody that is up and
 * connected is declared dead). The figures themselves are in docs/TESTING.md. */
#include "support/test.h"
#include "swim/swimsim.h"

struct total {
    uint64_t false_deaths, bytes, packets, calm_member_ms;
    pc_ms suspect_max_ms, all_max_ms, all_sum_ms;
};

static struct total run_all(struct swimsim_params *params, uint64_t seeds)
{
    struct total total = {0};
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct swimsim_result result;
        params->seed = seed;
        swimsim_run(params, &result);
        assert_int_equal(result.ignorant, 0);
        assert_true(result.suspect_ms <= result.first_ms && result.first_ms <= result.all_ms);
        total.false_deaths += result.false_deaths;
        total.bytes += result.bytes;
        total.packets += result.packets;
        total.calm_member_ms += result.calm_member_ms;
        total.all_sum_ms += result.all_ms;
        if (result.suspect_ms > total.suspect_max_ms) {
            total.suspect_max_ms = result.suspect_ms;
        }
        if (result.all_ms > total.all_max_ms) {
            total.all_max_ms = result.all_ms;
        }
    }
    return total;
}

/* The bound of B.46 but for local health, which stays 0 where nothing is lost. */
static pc_ms death_bound_ms(const struct swimsim_params *params)
{
    pc_ms rounds = 0;
    while ((UINT64_C(1) << rounds) < params->members + 1) {
        rounds++;
    }
    const struct pc_swim_opts *opts = &params->opts;
    return (2 * params->members - 1) * opts->probe_interval_ms + 2 * opts->suspicion_max_ms +
           3 * rounds * opts->gossip_interval_ms + opts->push_pull_interval_ms;
}

static const size_t sizes[] = {3, 5, 10, 32};

static void swimsim__no_fault__all_know_within_the_bound_and_nobody_is_wronged(void **state)
{
    (void)state;
    for (size_t s = 0; s < 4; s++) {
        struct swimsim_params params;
        swimsim_params_default(&params);
        params.members = sizes[s];
        params.calm_ms = 20000;
        struct total total = run_all(&params, 10);
        assert_int_equal(total.false_deaths, 0);
        assert_true(total.all_max_ms <= death_bound_ms(&params));
        /* The ring: two intervals and the verdict, whatever the size. */
        assert_true(total.suspect_max_ms <=
                    2 * params.opts.probe_interval_ms + params.opts.probe_verdict_ms + 10);
        /* A second of suspicion, longer in larger clusters, is by far the most of it. */
        assert_true(total.all_sum_ms / 10 < 4000);
        /* One probe and its ack per interval, a digest now and then: whatever the size. */
        assert_in_range(total.packets * 1000 * 10 / total.calm_member_ms, 15, 30);
        assert_in_range(total.bytes * 1000 / total.calm_member_ms, 150, 400);
    }
}

static void swimsim__one_packet_in_ten_lost__nobody_dies(void **state)
{
    (void)state;
    for (size_t s = 0; s < 4; s++) {
        struct swimsim_params params;
        swimsim_params_default(&params);
        params.members = sizes[s];
        params.loss_ppm = 100000;
        params.calm_ms = 30000;
        struct total total = run_all(&params, 6);
        assert_int_equal(total.false_deaths, 0);
        assert_true(total.all_max_ms <= 9 * death_bound_ms(&params));
    }
}

static void swimsim__one_way_link__nobody_dies(void **state)
{
    (void)state;
    for (size_t s = 0; s < 3; s++) {
        struct swimsim_params params;
        swimsim_params_default(&params);
        params.members = sizes[s];
        params.one_way = true;
        params.calm_ms = 60000;
        assert_int_equal(run_all(&params, 4).false_deaths, 0);
    }
}

static void swimsim__starved_or_slow_member__buries_nobody(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        for (size_t s = 1; s < 4; s++) {
            struct swimsim_params params;
            swimsim_params_default(&params);
            params.members = sizes[s];
            params.starved = 1;
            params.slow = slow != 0;
            params.calm_ms = 60000;
            assert_int_equal(run_all(&params, 4).false_deaths, 0);
        }
    }
}

/* The part that local health plays: without it the same runs are not so peaceful. */
static void swimsim__slow_member_without_local_health__buries_others(void **state)
{
    (void)state;
    uint64_t deaths[2];
    for (uint32_t health_max = 0; health_max <= 8; health_max += 8) {
        struct swimsim_params params;
        swimsim_params_default(&params);
        params.members = 10;
        params.starved = 1;
        params.slow = true;
        params.opts.health_max = health_max;
        deaths[health_max / 8] = run_all(&params, 20).false_deaths;
    }
    assert_true(deaths[0] > 0);
    assert_true(deaths[1] * 3 < deaths[0]);
}

static void swimsim__same_seed__is_the_same_run(void **state)
{
    (void)state;
    struct swimsim_params params;
    swimsim_params_default(&params);
    params.members = 10;
    params.loss_ppm = 50000;
    params.starved = 1;
    params.calm_ms = 20000;
    struct swimsim_result first, second, other;
    swimsim_run(&params, &first);
    swimsim_run(&params, &second);
    params.seed++;
    swimsim_run(&params, &other);
    assert_memory_equal(&first, &second, sizeof first);
    assert_true(first.steps != other.steps && first.bytes != other.bytes);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(swimsim__no_fault__all_know_within_the_bound_and_nobody_is_wronged),
    PC_TEST(swimsim__one_packet_in_ten_lost__nobody_dies),
    PC_TEST(swimsim__one_way_link__nobody_dies),
    PC_TEST(swimsim__starved_or_slow_member__buries_nobody),
    PC_TEST(swimsim__slow_member_without_local_health__buries_others),
    PC_TEST(swimsim__same_seed__is_the_same_run),
};
PC_TEST_MAIN("swimsim", tests)
