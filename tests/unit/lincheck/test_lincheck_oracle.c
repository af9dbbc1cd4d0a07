/* Both checkers against all orders of all subsets, on histories of a handful of operations, of
 * which about half are wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gen_history.h"
#include "support/test.h"

#define SEEDS (20000 / PC_TEST_STRIDE)
#define VERSION_MAX 40

static struct lin_report report;

static struct gen_params params_of(uint64_t seed, struct pc_prng *prng)
{
    return (struct gen_params){.seed = seed,
        .ops_n = 3 + (size_t)pc_prng_below(prng, 5),
        .clients_n = 1 + (unsigned)pc_prng_below(prng, 4),
        .keys_n = 1,
        .unknown_percent = (unsigned)pc_prng_below(prng, 3) * 15,
        .fail_percent = 5,
        .is_index_told = pc_prng_below(prng, 4) != 0,
        .is_version_told = pc_prng_below(prng, 6) != 0,
        .is_one_kind = true,
        .pause_us = pc_prng_below(prng, 3) == 0 ? 900 : 12};
}

/* What the kind of operation allows to be so. */
static void change_number(struct lin_op *op, uint64_t *number, struct pc_prng *prng)
{
    uint64_t by = 1 + pc_prng_below(prng, 3);
    (void)op;
    *number = pc_prng_below(prng, 2) == 0 ? *number + by : *number > by ? *number - by : *number;
}

static void change_answer(struct lin_history *h, struct lin_op *op, struct pc_prng *prng)
{
    const struct lin_op *other = &h->op[pc_prng_below(prng, h->n)];
    if (op->kind == LIN_GET && other->value != 0 && op->value != 0) {
        op->value = other->value;
        op->version = pc_prng_below(prng, 2) == 0 && op->version != 0 && other->version != 0
                          ? other->version
                          : op->version;
    } else if (op->kind == LIN_GET) {
        op->value = 0;
        op->version = 0;
    } else if (op->kind == LIN_INCR && other->kind == LIN_INCR && op->value != 0) {
        op->value = other->value != 0 ? other->value : op->value;
    }
}

static void change(struct lin_history *h, struct pc_prng *prng)
{
    struct lin_op *op = &h->op[pc_prng_below(prng, h->n)];
    switch (pc_prng_below(prng, 6)) {
    case 0:
        change_number(op, &op->version, prng);
        op->version =
            op->status != LIN_OK || (op->kind == LIN_GET && op->value == 0) ? 0 : op->version;
        break;
    case 1:
        change_number(op, &op->index, prng);
        op->index = op->kind == LIN_GET || op->is_refused ? op->index : 0;
        break;
    case 2:
        change_number(op, &op->expect, prng);
        op->expect = op->kind == LIN_CAS ? op->expect : 0;
        break;
    case 3:
        op->t1_us -= (op->t1_us - op->t0_us) / 2;
        op->t0_us = op->t1_us - pc_prng_below(prng, op->t1_us - op->t0_us + 1);
        break;
    default:
        change_answer(h, op, prng);
    }
}

/* The history as a file would have it. */
static void say_history(const struct lin_history *h)
{
    struct lin_violation v = {.rule = LIN_RULE_NO_ORDER};
    char text[2048];
    for (size_t i = 0; i < h->n; i++) {
        v.key = h->op[i].key;
        v.op[0] = h->op[i];
        v.ops_n = 1;
        lin_violation_format(h, &v, text, sizeof text);
        print_message("%s\n", strchr(text, '\n') + 1);
    }
}

static void seed_run(uint64_t seed, unsigned count[2][3])
{
    struct lin_history h;
    struct pc_prng prng;
    struct lin_options options = {.states_max = LIN_STATES_MAX, .is_search_only = true};
    pc_prng_seed(&prng, seed);
    struct gen_params params = params_of(seed, &prng);
    lin_history_create(&h);
    gen_history(&h, &params);
    for (uint64_t i = pc_prng_below(&prng, 6); i > 0; i--) {
        change(&h, &prng);
    }
    bool is_good = gen_oracle(&h, VERSION_MAX);
    enum lin_verdict searched = lin_check(&h, &options, &report);
    if (searched != (is_good ? LIN_GOOD : LIN_VIOLATION)) {
        say_history(&h);
        fail_msg("seed %d: %s, and the search says %d", (int)seed, is_good ? "right" : "wrong",
            (int)searched);
    }
    options.is_search_only = false;
    options.states_max = 0; /* no answer by search: what versions alone say */
    enum lin_verdict by_versions = lin_check(&h, &options, &report);
    if (by_versions != LIN_UNDECIDED && by_versions != searched) {
        say_history(&h);
        fail_msg("seed %d: %s, and versions say %d", (int)seed, is_good ? "right" : "wrong",
            (int)by_versions);
    }
    count[is_good ? 1 : 0][by_versions]++;
    lin_history_destroy(&h);
}

static void tiny_histories__right_and_wrong__are_judged_as_by_trying_everything(void **state)
{
    (void)state;
    unsigned count[2][3] = {{0}};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        seed_run(seed, count);
    }
    print_message("wrong: %u seen by versions, %u left open; right: %u and %u\n",
        count[0][LIN_VIOLATION], count[0][LIN_UNDECIDED], count[1][LIN_GOOD],
        count[1][LIN_UNDECIDED]);
    /* Enough of everything that the agreement means something. */
    assert_true(count[0][LIN_VIOLATION] > SEEDS / 5);
    assert_true(count[1][LIN_GOOD] > SEEDS / 4);
    assert_true(count[0][LIN_UNDECIDED] > 0 && count[1][LIN_UNDECIDED] > 0);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(tiny_histories__right_and_wrong__are_judged_as_by_trying_everything),
};

PC_TEST_MAIN("lincheck oracle", tests)
