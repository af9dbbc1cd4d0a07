/* Local health: what moves it, and what it stretches. */
#include "unit/swim/swim_bench.h"

static uint32_t health_of(const struct bench *bench)
{
    struct pc_swim_stats stats;
    pc_swim_stats(bench->swim, &stats);
    return stats.health;
}

/* Runs until the machine has asked helpers; returns the probe. */
static struct pc_swim_msg run_until_indirect(struct bench *bench)
{
    do {
        bench->now = pc_swim_wake_at(bench->swim);
        bench_event(bench, PC_SWIM_WAKE, 0);
    } while (bench_sent(bench, PC_SWIM_PING_REQ) == NULL);
    return bench_sent(bench, PC_SWIM_PING_REQ)->msg;
}

/* Fails one probe of which `nacks` of the two helpers say that they are there. */
static void fail_probe(struct bench *bench, size_t nacks)
{
    static const pc_node_id ids[] = {B, C, D};
    struct pc_swim_msg asked = run_until_indirect(bench);
    for (size_t i = 0; i < 3; i++) {
        if (ids[i] != asked.target_id && nacks > 0) {
            struct pc_swim_msg nack = message(PC_SWIM_NACK, ids[i]);
            nack.nonce = asked.nonce;
            nack.target_id = asked.target_id;
            bench_recv(bench, &nack);
            nacks--;
        }
    }
    while (bench->swim->probe.nonce == asked.nonce) {
        bench->now = pc_swim_wake_at(bench->swim);
        bench_event(bench, PC_SWIM_WAKE, 0);
    }
    assert_int_equal(state_of(bench, asked.target_id), PC_MEMBER_SUSPECT);
}

static void health__probe_failed__is_worse_by_each_silent_helper(void **state)
{
    (void)state;
    for (size_t nacks = 0; nacks <= 3; nacks++) {
        struct bench bench;
        bench_create_four(&bench);
        fail_probe(&bench, nacks);
        assert_int_equal(health_of(&bench), nacks < 2 ? 2 - nacks : 0);
        bench_destroy(&bench);
    }
}

static void health__probe_failed_with_nobody_to_help__is_worse_by_one(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    static const pc_node_id gone[] = {C, D};
    for (size_t i = 0; i < 2; i++) {
        struct pc_member said = record(gone[i], PC_MEMBER_LEFT, 1);
        bench_tell(&bench, B, &said);
    }
    bench_run(&bench, 700);
    assert_int_equal(state_of(&bench, B), PC_MEMBER_SUSPECT);
    assert_in_range(health_of(&bench), 1, 2);
    bench_destroy(&bench);
}

static void health__refuting__is_worse_by_one_up_to_the_bound(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    for (uint32_t k = 1; k <= 12; k++) {
        struct pc_member said = record(SELF, PC_MEMBER_SUSPECT, k);
        bench_tell(&bench, B, &said);
        assert_int_equal(health_of(&bench), k < 8 ? k : 8);
    }
    /* A higher incarnation of ourselves, which is not ill, says nothing of our health. */
    bench.swim->health = 3;
    struct pc_member said = record(SELF, PC_MEMBER_ALIVE, 40);
    bench_tell(&bench, B, &said);
    assert_int_equal(health_of(&bench), 3);
    bench_destroy(&bench);
}

static struct pc_swim_msg next_ping(struct bench *bench)
{
    do {
        bench->now = pc_swim_wake_at(bench->swim);
        bench_event(bench, PC_SWIM_WAKE, 0);
    } while (bench_sent(bench, PC_SWIM_PING) == NULL);
    return bench_sent(bench, PC_SWIM_PING)->msg;
}

static void health__ack__is_better_by_one_down_to_zero(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench.swim->health = 2;
    for (uint32_t k = 0; k < 4; k++) {
        struct pc_swim_msg ping = next_ping(&bench);
        struct pc_swim_msg ack = message(PC_SWIM_ACK, ping.target_id);
        ack.target_id = ping.target_id;
        ack.nonce = ping.nonce;
        bench_recv(&bench, &ack);
        bench_recv(&bench, &ack); /* the repeated ping's answer counts no further */
        assert_int_equal(health_of(&bench), k == 0 ? 1 : 0);
    }
    bench_destroy(&bench);
}

static void health__contact__spares_the_member_but_is_no_cure(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench.swim->health = 2;
    struct pc_swim_msg ping = next_ping(&bench);
    bench_event(&bench, PC_SWIM_CONTACT, ping.target_id);
    assert_int_equal(health_of(&bench), 2);
    assert_true(bench.swim->probe.target == 0);
    bench_destroy(&bench);
}

static void health__bad__stretches_timeout_verdict_and_interval(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench.swim->health = 3;
    bench.swim->opts.probe_interval_ms = 500;
    struct pc_swim_msg ping = next_ping(&bench);
    struct pc_instant start = bench.now;
    (void)run_until_indirect(&bench);
    assert_int_equal(pc_instant_ms_between(start, bench.now), 400);
    bench_run(&bench, 799);
    assert_int_equal(state_of(&bench, ping.target_id), PC_MEMBER_ALIVE);
    bench_run(&bench, 1);
    assert_int_equal(state_of(&bench, ping.target_id), PC_MEMBER_SUSPECT);
    assert_int_equal(health_of(&bench), 5); /* neither helper was heard */
    (void)next_ping(&bench);
    assert_int_equal(pc_instant_ms_between(start, bench.now), 2000); /* as laid down at its start */
    bench_destroy(&bench);
}

static void health__switched_off__stays_at_zero(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench.swim->opts.health_max = 0;
    fail_probe(&bench, 0);
    assert_int_equal(health_of(&bench), 0);
    bench_destroy(&bench);
}

static void nack__for_another_probe__counts_for_nothing(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_swim_msg asked = run_until_indirect(&bench);
    struct pc_swim_msg nack = message(PC_SWIM_NACK, asked.target_id == B ? C : B);
    nack.nonce = asked.nonce + 1;
    nack.target_id = asked.target_id;
    bench_recv(&bench, &nack);
    nack.nonce = asked.nonce;
    nack.target_id = nack.from;
    bench_recv(&bench, &nack);
    assert_int_equal(bench.swim->probe.nacks_n, 0);
    bench_destroy(&bench);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(health__probe_failed__is_worse_by_each_silent_helper),
    PC_TEST(health__probe_failed_with_nobody_to_help__is_worse_by_one),
    PC_TEST(health__refuting__is_worse_by_one_up_to_the_bound),
    PC_TEST(health__ack__is_better_by_one_down_to_zero),
    PC_TEST(health__contact__spares_the_member_but_is_no_cure),
    PC_TEST(health__bad__stretches_timeout_verdict_and_interval),
    PC_TEST(health__switched_off__stays_at_zero),
    PC_TEST(nack__for_another_probe__counts_for_nothing),
};
PC_TEST_MAIN("swim_health", tests)
