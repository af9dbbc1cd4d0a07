/* What is told, how often, and what comes of arbitrary talk. */
#include "unit/swim/swim_bench.h"

static void transmit_limit__members__is_three_log2_rounded_up(void **state)
{
    (void)state;
    static const struct {
        size_t n;
        uint32_t limit;
    } table[] = {{1, 3}, {2, 6}, {3, 6}, {4, 9}, {7, 9}, {8, 12}, {15, 12}, {16, 15}, {1023, 30}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        assert_int_equal(pc_swim_transmit_limit(table[i].n), table[i].limit);
    }
}

static void news__told_often_enough__is_told_no_more(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench_run(&bench, 3000);
    struct pc_member said = record(B, PC_MEMBER_ALIVE, 7);
    bench_tell(&bench, B, &said);
    size_t told = 0;
    for (int i = 0; i < 60; i++) {
        for (size_t k = 0; k < bench.effects.out_n; k++) {
            const struct pc_swim_msg *msg = &bench.effects.out[k].msg;
            const struct pc_member *of = msg->type == PC_SWIM_GOSSIP ? said_of(msg, B) : NULL;
            told += of != NULL && of->incarnation == 7;
        }
        bench.now = pc_swim_wake_at(bench.swim);
        bench_keep_from_probing(&bench); /* B must not become suspect: that would be more news */
        bench_event(&bench, PC_SWIM_WAKE, 0);
    }
    assert_in_range(told, 1, pc_swim_transmit_limit(4));
    assert_int_equal(bench.swim->peers[pc_swim_index(bench.swim, B)].sent, 9);
    bench_destroy(&bench);
}

static void leave__asked_for__is_said_at_once_and_stays_said(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench_event(&bench, PC_SWIM_LEAVE, 0);
    size_t told = 0;
    for (size_t k = 0; k < bench.effects.out_n; k++) {
        const struct pc_member *self = said_of(&bench.effects.out[k].msg, SELF);
        told += self != NULL && self->state == PC_MEMBER_LEFT;
    }
    assert_int_equal(told, 3);
    struct pc_member said = record(SELF, PC_MEMBER_DEAD, 5);
    bench_tell(&bench, B, &said);
    assert_int_equal(state_of(&bench, SELF), PC_MEMBER_LEFT);
    bench_run(&bench, 10000);
    assert_true(pc_swim_wake_at(bench.swim).us == UINT64_MAX);
    bench_event(&bench, PC_SWIM_LEAVE, 0);
    assert_int_equal(bench.effects.changed_n, 0);
    bench_destroy(&bench);
}

/* Any message of a small world, sane or not. */
static struct pc_swim_msg random_message(struct pc_prng *prng)
{
    static const pc_node_id ids[] = {0, SELF, B, C, D, 7};
    struct pc_swim_msg msg = {.type = (enum pc_swim_msg_type)pc_prng_below(prng, 8),
        .from = ids[pc_prng_below(prng, 6)],
        .from_generation = pc_prng_between(prng, 9, 11),
        .nonce = pc_prng_below(prng, 3),
        .target_id = ids[pc_prng_below(prng, 6)],
        .page = (uint32_t)pc_prng_below(prng, 3),
        .pages = (uint32_t)pc_prng_below(prng, 3),
        .updates_n = (uint32_t)pc_prng_below(prng, 5)};
    msg.target = addr_of(pc_prng_below(prng, 3));
    for (uint32_t i = 0; i < msg.updates_n; i++) {
        enum pc_member_state state = (enum pc_member_state)pc_prng_below(prng, 6);
        msg.updates[i] = record(ids[pc_prng_below(prng, 6)], state, 0);
        msg.updates[i].generation = pc_prng_between(prng, 9, 11);
        msg.updates[i].incarnation = (uint32_t)pc_prng_below(prng, 4) - 1;
        msg.updates[i].accuser = ids[pc_prng_below(prng, 6)];
        if (pc_prng_chance(prng, 100000)) {
            msg.updates[i].addr = (struct pc_addr){0};
        }
    }
    if (pc_prng_chance(prng, 10000)) {
        msg.updates_n = UINT32_MAX;
    }
    return msg;
}

/* Whatever peers say, no assertion of ours is within their reach, and self stays what it is. */
static void step__arbitrary_events__keep_the_invariants(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct bench bench;
        bench_create_four(&bench);
        struct pc_prng prng;
        pc_prng_seed(&prng, seed);
        for (int i = 0; i < 1000; i++) {
            bench.now = pc_instant_add_ms(bench.now, pc_prng_below(&prng, 200));
            if (pc_prng_chance(&prng, 200000)) {
                bench_event(&bench, PC_SWIM_CONTACT, pc_prng_between(&prng, 0, 1000));
            } else if (pc_prng_chance(&prng, 200000)) {
                bench_run(&bench, pc_prng_below(&prng, 3000));
            } else {
                struct pc_swim_msg msg = random_message(&prng);
                struct pc_swim_event event = {
                    .type = PC_SWIM_RECV, .addr = addr_of(pc_prng_below(&prng, 3)), .msg = &msg};
                bench_step(&bench, &event);
            }
            assert_int_equal(state_of(&bench, SELF), PC_MEMBER_ALIVE);
        }
        bench_destroy(&bench);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(transmit_limit__members__is_three_log2_rounded_up),
    PC_TEST(news__told_often_enough__is_told_no_more),
    PC_TEST(leave__asked_for__is_said_at_once_and_stays_said),
    PC_TEST(step__arbitrary_events__keep_the_invariants),
};
PC_TEST_MAIN("swim_gossip", tests)
