/* Probes, the round they follow, and pings for others. */
#include "unit/swim/swim_bench.h"

static void probe__no_ack__goes_indirect_then_suspects(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench.swim->peers[0].sent = 100; /* who we are has been told */
    do {
        bench.now = pc_swim_wake_at(bench.swim);
        bench_event(&bench, PC_SWIM_WAKE, 0);
    } while (bench_sent(&bench, PC_SWIM_PING) == NULL);
    const struct pc_swim_msg ping = bench_sent(&bench, PC_SWIM_PING)->msg;
    struct pc_instant start = bench.now;
    assert_null(said_of(&ping, SELF)); /* the target knows us */

    do {
        bench.now = pc_swim_wake_at(bench.swim);
        bench_event(&bench, PC_SWIM_WAKE, 0);
    } while (bench_sent(&bench, PC_SWIM_PING_REQ) == NULL);
    assert_int_equal(pc_instant_ms_between(start, bench.now), 100);
    size_t helpers = 0;
    for (size_t i = 0; i < bench.effects.out_n; i++) {
        const struct pc_swim_out *out = &bench.effects.out[i];
        struct pc_addr target = addr_of(ping.target_id);
        if (out->msg.type == PC_SWIM_PING_REQ) {
            helpers++;
            assert_true(out->msg.target_id == ping.target_id);
            assert_true(pc_addr_equal(&out->msg.target, &target));
            assert_false(pc_addr_equal(&out->to, &target));
        } else if (out->msg.type == PC_SWIM_PING) {
            assert_true(pc_addr_equal(&out->to, &target));
        }
    }
    assert_int_equal(helpers, 2);
    assert_non_null(said_of(&bench_sent(&bench, PC_SWIM_PING)->msg, SELF));

    bench_run(&bench, 199);
    assert_int_equal(state_of(&bench, ping.target_id), PC_MEMBER_ALIVE);
    bench_run(&bench, 1);
    assert_int_equal(state_of(&bench, ping.target_id), PC_MEMBER_SUSPECT);
    assert_true(pc_swim_find(bench.swim, ping.target_id)->accuser == SELF);
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

static void probe__answered_late_or_with_another_nonce__does_not_count(void **state)
{
    (void)state;
    for (int good = 0; good < 2; good++) {
        struct bench bench;
        bench_create_four(&bench);
        struct pc_swim_msg ping = next_ping(&bench);
        struct pc_swim_msg ack = message(PC_SWIM_ACK, ping.target_id);
        ack.target_id = ping.target_id;
        ack.nonce = good ? ping.nonce : ping.nonce + 1;
        bench_recv(&bench, &ack);
        bench_run(&bench, 300);
        assert_int_equal(
            state_of(&bench, ping.target_id), good ? PC_MEMBER_ALIVE : PC_MEMBER_SUSPECT);
        bench_destroy(&bench);
    }
}

static void probe__contact_by_the_bus__counts_as_an_ack(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_swim_msg ping = next_ping(&bench);
    bench_event(&bench, PC_SWIM_CONTACT, ping.target_id);
    bench_run(&bench, 300);
    assert_int_equal(state_of(&bench, ping.target_id), PC_MEMBER_ALIVE);
    bench_destroy(&bench);
}

/* The next member of the shuffled round, without the ring. */
static pc_node_id next_in_round(struct bench *bench)
{
    bench->swim->ring_turn = true;
    return bench->swim->members[pc_swim_round_next(bench->swim)].id;
}

static void probe__each_round__visits_every_member_once(void **state)
{
    (void)state;
    struct pc_swim_opts opts;
    memset(&opts, 0, sizeof opts);
    pc_swim_opts_default(&opts);
    struct bench bench;
    bench_create(&bench, &opts);
    for (pc_node_id id = 1; id <= 20; id++) {
        struct pc_member said = record(id, PC_MEMBER_ALIVE, 1);
        bench_tell(&bench, id, &said);
    }
    bool orders_differ = false;
    pc_node_id last_round[20] = {0};
    while (bench.swim->order_next != 20) { /* up to the end of the round under way */
        (void)next_in_round(&bench);
    }
    for (int round = 0; round < 5; round++) {
        bool seen[21] = {false};
        for (size_t k = 0; k < 20; k++) {
            pc_node_id id = next_in_round(&bench);
            assert_false(seen[id]);
            seen[id] = true;
            orders_differ = orders_differ || (round > 0 && last_round[k] != id);
            last_round[k] = id;
        }
    }
    assert_true(orders_differ);
    bench_destroy(&bench);
}

static void probe__every_other__goes_to_the_live_successor(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench); /* B = 300, self = 500, C = 700, D = 900 */
    static const pc_node_id successors[] = {C, D, B};
    for (size_t gone = 0; gone < 3; gone++) {
        for (size_t k = 0; k < 10; k++) {
            size_t i = pc_swim_round_next(bench.swim);
            assert_true(k % 2 == 1 || bench.swim->members[i].id == successors[gone]);
        }
        struct pc_member dead = record(successors[gone], PC_MEMBER_DEAD, 1);
        bench_tell(&bench, B, &dead);
        bench.swim->ring_turn = false;
    }
    assert_int_equal(pc_swim_round_next(bench.swim), 0);
    bench_destroy(&bench);
}

static void round__new_members__land_anywhere_in_it(void **state)
{
    (void)state;
    size_t places[4] = {0};
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct bench bench;
        bench_create_four(&bench);
        pc_prng_seed(&bench.swim->prng, seed);
        struct pc_member said = record(40, PC_MEMBER_ALIVE, 1);
        bench_tell(&bench, 40, &said);
        for (size_t k = 0; k < 4; k++) {
            places[k] += bench.swim->order[k] == 40;
        }
        bench_destroy(&bench);
    }
    for (size_t k = 0; k < 4; k++) {
        assert_in_range(places[k], 60, 140);
    }
}

static void round__joined_under_way__nobody_is_probed_twice(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct bench bench;
        bench_create_four(&bench);
        pc_prng_seed(&bench.swim->prng, seed);
        bench.swim->order_next = 0;
        pc_node_id first = next_in_round(&bench);
        pc_node_id second = next_in_round(&bench);
        struct pc_member said = record(40, PC_MEMBER_ALIVE, 1);
        bench.swim->probe_at = PC_INSTANT_NEVER; /* the test alone takes members of the round */
        bench_tell(&bench, 40, &said);
        while (bench.swim->order_next < 4) {
            pc_node_id id = next_in_round(&bench);
            assert_true(id != first && id != second);
        }
        bench_destroy(&bench);
    }
}

static void draw__the_only_candidate__is_never_missed(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member dead = record(D, PC_MEMBER_DEAD, 1);
    bench_tell(&bench, B, &dead);
    size_t first[2] = {0};
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(pc_swim_draw(bench.swim, SWIM_LIVE, B, 3), 1);
        assert_true(bench.swim->members[bench.swim->scratch[0]].id == C);
        assert_int_equal(pc_swim_draw(bench.swim, SWIM_DEAD, 0, 3), 1);
        assert_int_equal(pc_swim_draw(bench.swim, SWIM_LIVE, 0, 1), 1);
        first[bench.swim->members[bench.swim->scratch[0]].id == C]++;
    }
    assert_in_range(first[0], 850, 1150);
    bench_destroy(&bench);
}

static void ping__for_somebody_else__is_not_answered(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_swim_msg ping = message(PC_SWIM_PING, B);
    ping.target_id = SELF + 1;
    bench_recv(&bench, &ping);
    assert_null(bench_sent(&bench, PC_SWIM_ACK));
    ping.updates[ping.updates_n++] = record(B, PC_MEMBER_ALIVE, 1);
    static const pc_node_id mine[] = {SELF, 0};
    for (size_t i = 0; i < 2; i++) {
        ping.target_id = mine[i];
        bench_recv(&bench, &ping);
        const struct pc_swim_out *ack = bench_sent(&bench, PC_SWIM_ACK);
        struct pc_addr b = addr_of(B);
        assert_non_null(ack);
        assert_true(pc_addr_equal(&ack->to, &b) && pc_addr_equal(&ack->msg.target, &b));
        assert_true(ack->msg.nonce == 77 && ack->msg.target_id == SELF);
    }
    bench_destroy(&bench);
}

static void ping__carries_its_senders_record__is_told_the_source_address(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_swim_msg ping = message(PC_SWIM_PING, B);
    bench_recv(&bench, &ping);
    assert_true(pc_addr_is_none(&bench_sent(&bench, PC_SWIM_ACK)->msg.target));
    ping.updates[ping.updates_n++] = record(B, PC_MEMBER_ALIVE, 1);
    bench_recv(&bench, &ping);
    assert_false(pc_addr_is_none(&bench_sent(&bench, PC_SWIM_ACK)->msg.target));
    bench_destroy(&bench);
}

/* The verdict does not wait for the interval to end. */
static void probe__interval_longer_than_the_verdict__suspects_at_the_verdict(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench.swim->opts.probe_interval_ms = 2000;
    struct pc_swim_msg ping = next_ping(&bench);
    struct pc_instant start = bench.now;
    bench_run(&bench, 299);
    assert_int_equal(state_of(&bench, ping.target_id), PC_MEMBER_ALIVE);
    bench_run(&bench, 1);
    assert_int_equal(state_of(&bench, ping.target_id), PC_MEMBER_SUSPECT);
    (void)next_ping(&bench);
    assert_int_equal(pc_instant_ms_between(start, bench.now), 2000);
    bench_destroy(&bench);
}

/* Of `members` that hear of a suspicion, how many probe the suspect at once. */
static size_t count_verifiers(size_t members, uint32_t verifiers)
{
    size_t pings = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct bench bench;
        bench_create_four(&bench);
        pc_prng_seed(&bench.swim->prng, seed);
        bench.swim->opts.verifiers = verifiers;
        for (pc_node_id id = 1; id + 4 <= members; id++) {
            struct pc_member said = record(id, PC_MEMBER_ALIVE, 1);
            bench_tell(&bench, B, &said);
        }
        bench_keep_from_probing(&bench);
        struct pc_member said = record(C, PC_MEMBER_SUSPECT, 1);
        said.accuser = B;
        bench_tell(&bench, D, &said);
        const struct pc_swim_out *ping = bench_sent(&bench, PC_SWIM_PING);
        if (ping != NULL) {
            pings++;
            assert_true(ping->msg.target_id == C);
            assert_int_equal(said_of(&ping->msg, C)->state, PC_MEMBER_SUSPECT); /* it must know */
        }
        bench_destroy(&bench);
    }
    return pings;
}

static void suspicion__heard__is_verified_by_a_few_members_at_once(void **state)
{
    (void)state;
    assert_int_equal(count_verifiers(4, 6), 200);
    assert_int_equal(count_verifiers(4, 0), 0);
    assert_in_range(count_verifiers(42, 6), 15, 50); /* 200 * 6 / 40 = 30 */
}

static void verification__fails__is_a_further_accuser(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench_keep_from_probing(&bench);
    struct pc_member said = record(C, PC_MEMBER_SUSPECT, 1);
    said.accuser = B;
    bench_tell(&bench, D, &said);
    bench_run(&bench, 299);
    assert_true(pc_swim_find(bench.swim, C)->accuser == B);
    bench_run(&bench, 1);
    assert_true(pc_swim_find(bench.swim, C)->accuser == SELF);
    struct pc_swim_stats stats;
    pc_swim_stats(bench.swim, &stats);
    assert_int_equal(stats.verifications, 1);
    assert_int_equal(stats.suspicions, 1);
    bench_destroy(&bench);
}

static void ping_req__target_silent__is_answered_by_a_nack_and_a_late_ack(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench_keep_from_probing(&bench);
    struct pc_swim_msg ask = message(PC_SWIM_PING_REQ, B);
    ask.target_id = C;
    bench_recv(&bench, &ask);
    uint64_t nonce = bench_sent(&bench, PC_SWIM_PING)->msg.nonce;
    struct pc_instant asked_at = bench.now;
    do {
        bench.now = pc_swim_wake_at(bench.swim);
        bench_event(&bench, PC_SWIM_WAKE, 0);
    } while (bench_sent(&bench, PC_SWIM_NACK) == NULL);
    assert_int_equal(pc_instant_ms_between(asked_at, bench.now), 100);
    const struct pc_swim_out *nack = bench_sent(&bench, PC_SWIM_NACK);
    struct pc_addr b = addr_of(B);
    assert_true(pc_addr_equal(&nack->to, &b));
    assert_true(nack->msg.nonce == 77 && nack->msg.target_id == C);
    bench_run(&bench, 1000);
    assert_null(bench_sent(&bench, PC_SWIM_NACK)); /* once */
    struct pc_swim_msg ack = message(PC_SWIM_ACK, C);
    ack.target_id = C;
    ack.nonce = nonce;
    bench_recv(&bench, &ack);
    assert_non_null(bench_sent(&bench, PC_SWIM_ACK));
    bench_destroy(&bench);
}

static void ping_req__answered_by_the_target__is_relayed_to_the_asker(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_swim_msg ask = message(PC_SWIM_PING_REQ, B);
    ask.target_id = C;
    ask.target = addr_of(1); /* we know better where C is */
    bench_recv(&bench, &ask);
    const struct pc_swim_out *ping = bench_sent(&bench, PC_SWIM_PING);
    struct pc_addr c = addr_of(C), b = addr_of(B);
    assert_non_null(ping);
    assert_true(pc_addr_equal(&ping->to, &c) && ping->msg.target_id == C);
    assert_true(ping->msg.nonce != 77);
    struct pc_swim_msg ack = message(PC_SWIM_ACK, D);
    ack.target_id = C;
    ack.nonce = ping->msg.nonce;
    bench_recv(&bench, &ack); /* nobody answers for another */
    assert_null(bench_sent(&bench, PC_SWIM_ACK));
    ack.from = C;
    bench_recv(&bench, &ack);
    const struct pc_swim_out *relayed = bench_sent(&bench, PC_SWIM_ACK);
    assert_non_null(relayed);
    assert_true(pc_addr_equal(&relayed->to, &b));
    assert_true(relayed->msg.nonce == 77 && relayed->msg.target_id == C);
    bench_recv(&bench, &ack); /* once only */
    assert_null(bench_sent(&bench, PC_SWIM_ACK));
    for (int i = 0; i < 5; i++) {
        bench_run(&bench, 100);
        assert_null(bench_sent(&bench, PC_SWIM_NACK));
    }

    ask.target_id = 12345;
    bench_recv(&bench, &ask);
    assert_null(bench_sent(&bench, PC_SWIM_PING));
    bench_destroy(&bench);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(probe__no_ack__goes_indirect_then_suspects),
    PC_TEST(probe__answered_late_or_with_another_nonce__does_not_count),
    PC_TEST(probe__contact_by_the_bus__counts_as_an_ack),
    PC_TEST(probe__each_round__visits_every_member_once),
    PC_TEST(probe__every_other__goes_to_the_live_successor),
    PC_TEST(round__new_members__land_anywhere_in_it),
    PC_TEST(round__joined_under_way__nobody_is_probed_twice),
    PC_TEST(draw__the_only_candidate__is_never_missed),
    PC_TEST(ping__for_somebody_else__is_not_answered),
    PC_TEST(ping__carries_its_senders_record__is_told_the_source_address),
    PC_TEST(probe__interval_longer_than_the_verdict__suspects_at_the_verdict),
    PC_TEST(suspicion__heard__is_verified_by_a_few_members_at_once),
    PC_TEST(verification__fails__is_a_further_accuser),
    PC_TEST(ping_req__target_silent__is_answered_by_a_nack_and_a_late_ack),
    PC_TEST(ping_req__answered_by_the_target__is_relayed_to_the_asker),
};
PC_TEST_MAIN("swim_probe", tests)
