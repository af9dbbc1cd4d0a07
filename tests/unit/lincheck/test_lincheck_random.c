/* The checker against thousands of histories that are right, and against the same ones broken. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen_history.h"
#include "support/test.h"

#define SEEDS (1500 / PC_TEST_STRIDE)
#define BREAK_SEEDS (400 / PC_TEST_STRIDE)

static struct lin_report report;

static struct gen_params params_of(uint64_t seed)
{
    struct pc_prng prng;
    pc_prng_seed(&prng, seed * 31 + 7);
    return (struct gen_params){.seed = seed,
        .ops_n = 5 + (size_t)pc_prng_below(&prng, 150),
        .clients_n = 1 + (unsigned)pc_prng_below(&prng, 8),
        .keys_n = 1 + (unsigned)pc_prng_below(&prng, 4),
        .unknown_percent = pc_prng_below(&prng, 2) == 0 ? 0 : 8,
        .fail_percent = 5,
        .local_percent = (unsigned)pc_prng_below(&prng, 2) * 20,
        .retry_percent = (unsigned)pc_prng_below(&prng, 2) * 10,
        .is_index_told = true,
        .is_version_told = true,
        .is_final = pc_prng_below(&prng, 2) == 0,
        .is_one_kind = pc_prng_below(&prng, 3) == 0,
        .pause_us = 20 + pc_prng_below(&prng, 800)};
}

static void fail_with(const struct lin_history *h, uint64_t seed, const char *what)
{
    char text[4096] = "";
    if (report.violations_n > 0) {
        lin_violation_format(h, &report.violation[0], text, sizeof text);
    }
    fail_msg("seed %d, %s: %d violations, %d undecided (%s) %s", (int)seed, what,
        (int)report.violations, (int)report.undecided, report.undecided_why, text);
}

static void check_seed(uint64_t seed, struct gen_params params, struct lin_options options)
{
    struct lin_history h;
    lin_history_create(&h);
    gen_history(&h, &params);
    if (lin_check(&h, &options, &report) != LIN_GOOD) {
        fail_with(&h, seed, "right");
    }
    lin_history_destroy(&h);
}

static void right_histories__with_every_index__pass_both_checkers(void **state)
{
    (void)state;
    uint64_t searched = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        check_seed(seed, params_of(seed),
            (struct lin_options){.states_max = LIN_STATES_MAX, .is_cross_check = true});
        searched += report.by_search;
    }
    assert_true(searched > SEEDS);
}

/* Only what refers to writes that nobody saw is left to the search. */
static void right_histories__with_every_index__are_decided_by_versions(void **state)
{
    (void)state;
    uint64_t searched = 0, keys = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct gen_params params = params_of(seed);
        /* Without states the search cannot help. */
        struct lin_options options = {
            .states_max = params.unknown_percent > 0 ? LIN_STATES_MAX : 0};
        check_seed(seed, params, options);
        searched += report.by_search;
        keys += report.keys;
    }
    assert_in_range(searched, 1, keys / 4);
}

static void right_histories__without_index_or_version__are_found_by_search(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct gen_params params = params_of(seed);
        params.ops_n = 5 + params.ops_n / 4;
        params.local_percent = 0;
        params.is_final = false;
        params.is_index_told = seed % 3 == 0;
        params.is_version_told = seed % 3 == 1;
        check_seed(seed, params, (struct lin_options){.states_max = LIN_STATES_MAX});
    }
}

/* Is this kind of mistake one that an order of operations shows? The search knows nothing else. */
static bool is_for_search(enum gen_break kind)
{
    return kind != GEN_LOCAL_BACK && kind != GEN_FINAL_OLD && kind != GEN_FINAL_MISSING &&
           kind != GEN_ID_TWICE;
}

static bool break_seed(uint64_t seed, enum gen_break kind)
{
    struct lin_history h;
    struct pc_prng prng;
    pc_prng_seed(&prng, seed);
    struct gen_params params = params_of(seed);
    params.is_final = true;
    params.local_percent = kind == GEN_LOCAL_BACK ? 30 : params.local_percent;
    lin_history_create(&h);
    gen_history(&h, &params);
    bool is_broken = gen_break(&h, kind, &prng);
    struct lin_options options = {.states_max = LIN_STATES_MAX};
    if (is_broken && lin_check(&h, &options, &report) != LIN_VIOLATION) {
        fail_with(&h, seed, gen_break_text(kind));
    }
    options.is_search_only = true;
    if (is_broken && is_for_search(kind) && lin_check(&h, &options, &report) != LIN_VIOLATION) {
        fail_with(&h, seed, gen_break_text(kind));
    }
    lin_history_destroy(&h);
    return is_broken;
}

static void broken_histories__every_kind__are_caught(void **state)
{
    (void)state;
    for (enum gen_break kind = 0; kind < GEN_BREAKS_N; kind++) {
        unsigned broken = 0;
        for (uint64_t seed = 1; seed <= BREAK_SEEDS; seed++) {
            broken += break_seed(seed, kind) ? 1 : 0;
        }
        if (broken < BREAK_SEEDS / 20) {
            fail_msg("%s: only %u histories", gen_break_text(kind), broken);
        }
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(right_histories__with_every_index__pass_both_checkers),
    PC_TEST(right_histories__with_every_index__are_decided_by_versions),
    PC_TEST(right_histories__without_index_or_version__are_found_by_search),
    PC_TEST(broken_histories__every_kind__are_caught),
};

PC_TEST_MAIN("lincheck random", tests)
