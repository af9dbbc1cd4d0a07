/* Suspicion and refutation, and the lives of a member. */
#include "unit/swim/swim_bench.h"

static void suspicion_time__confirmations__follow_the_curve(void **state)
{
    (void)state;
    struct pc_swim_opts opts = {.suspicion_min_ms = 1500, .suspicion_max_ms = 6000};
    assert_int_equal(pc_swim_suspicion_ms(&opts, 0, 1, 4), 6000);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 1, 1, 4), 1500);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 1, 2, 4), 3161);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 0, 3, 4), 6000);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 1, 3, 4), 3750);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 2, 3, 4), 2436);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 3, 3, 4), 1500);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 9, 3, 4), 1500);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 3, 3, 1), 1500);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 3, 3, 5), 1687);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 3, 3, 32), 2062);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 3, 3, 33), 2250);
    assert_int_equal(pc_swim_suspicion_ms(&opts, 0, 3, 1024), 12000);
}

/* How long C lives after B's suspicion of it when these confirm it after a second. */
static pc_ms life_after(const pc_node_id *confirming, size_t n)
{
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member said = record(C, PC_MEMBER_SUSPECT, 1);
    said.accuser = B;
    bench_tell(&bench, B, &said);
    struct pc_instant start = bench.now;
    while (state_of(&bench, C) == PC_MEMBER_SUSPECT) {
        bench_keep_from_probing(&bench);
        bench_run(&bench, 10);
        if (pc_instant_ms_between(start, bench.now) == 1000) {
            for (size_t i = 0; i < n; i++) {
                said.accuser = confirming[i];
                bench_tell(&bench, B, &said);
            }
        }
        bench_keep_from_probing(&bench);
    }
    assert_int_equal(state_of(&bench, C), PC_MEMBER_DEAD);
    pc_ms took = pc_instant_ms_between(start, bench.now);
    bench_destroy(&bench);
    return took;
}

static void suspicion__independent_accusers__shorten_it(void **state)
{
    (void)state;
    static const pc_node_id same[] = {B, B, 0, C}; /* the suspect's own word is none either */
    static const pc_node_id one[] = {D};
    static const pc_node_id two[] = {D, SELF};
    assert_in_range(life_after(NULL, 0), 6000, 6010);
    assert_in_range(life_after(same, 4), 6000, 6010);
    assert_in_range(life_after(one, 1), 3161, 3171);
    assert_in_range(life_after(two, 2), 1500, 1510);
}

static void suspicion__judged_by_a_sick_member__takes_longer_unless_it_is_alone(void **state)
{
    (void)state;
    static const struct {
        uint32_t health; /* when the deadline comes; it was well when the suspicion began */
        bool alone;      /* with one other beside the suspect */
        pc_ms wait;
    } cases[] = {{0, false, 6000}, {2, false, 18000}, {2, true, 6000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bench bench;
        bench_create_four(&bench);
        struct pc_member said = record(D, PC_MEMBER_LEFT, 1);
        if (cases[i].alone) {
            bench_tell(&bench, B, &said);
        }
        said = record(C, PC_MEMBER_SUSPECT, 1);
        bench_tell(&bench, B, &said);
        bench_keep_from_probing(&bench);
        struct pc_instant start = bench.now;
        bench.swim->health = cases[i].health;
        while (state_of(&bench, C) == PC_MEMBER_SUSPECT) {
            bench_run(&bench, 10);
        }
        assert_in_range(pc_instant_ms_between(start, bench.now), cases[i].wait, cases[i].wait + 10);
        bench_destroy(&bench);
    }
}

static void suspicion__refuted__ends_without_death(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member said = record(C, PC_MEMBER_SUSPECT, 1);
    bench_tell(&bench, B, &said);
    assert_int_equal(state_of(&bench, C), PC_MEMBER_SUSPECT);
    said = record(C, PC_MEMBER_ALIVE, 1); /* the same word again refutes nothing */
    bench_tell(&bench, D, &said);
    assert_int_equal(state_of(&bench, C), PC_MEMBER_SUSPECT);
    said.incarnation = 2;
    bench_tell(&bench, D, &said);
    assert_int_equal(state_of(&bench, C), PC_MEMBER_ALIVE);
    assert_true(bench.effects.changed_n == 1 && bench.effects.changed[0].id == C);
    bench_destroy(&bench);
}

static void suspicion__of_self__is_answered_from_above(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    static const enum pc_member_state bad[] = {PC_MEMBER_SUSPECT, PC_MEMBER_DEAD, PC_MEMBER_LEFT};
    uint32_t incarnation = 1;
    for (size_t i = 0; i < 3; i++) {
        struct pc_member said = record(SELF, bad[i], incarnation + (uint32_t)i);
        bench_tell(&bench, B, &said);
        const struct pc_member *self = pc_swim_find(bench.swim, SELF);
        assert_int_equal(self->state, PC_MEMBER_ALIVE);
        assert_int_equal(self->incarnation, said.incarnation + 1);
        incarnation = self->incarnation;
        bench_run(&bench, 100);
        said.incarnation = incarnation - 1; /* old news */
        bench_tell(&bench, B, &said);
        assert_int_equal(pc_swim_find(bench.swim, SELF)->incarnation, incarnation);
    }
    struct pc_member former = record(SELF, PC_MEMBER_DEAD, 99);
    former.generation = 9;
    bench_tell(&bench, B, &former);
    assert_int_equal(pc_swim_find(bench.swim, SELF)->incarnation, incarnation);
    struct pc_swim_stats stats;
    pc_swim_stats(bench.swim, &stats);
    assert_int_equal(stats.refutations, 3);
    bench_destroy(&bench);
}

static void message__to_a_suspect__tells_it_so(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench_run(&bench, 1); /* a round of gossip is out */
    struct pc_member said = record(C, PC_MEMBER_DEAD, 1);
    bench_tell(&bench, B, &said);
    bench_run(&bench, 250);
    for (int i = 0; i < 40; i++) { /* beyond any transmit limit */
        struct pc_swim_msg ping = message(PC_SWIM_PING, C);
        ping.target_id = SELF;
        bench_recv(&bench, &ping);
        const struct pc_swim_out *ack = bench_sent(&bench, PC_SWIM_ACK);
        assert_non_null(ack);
        const struct pc_member *told = said_of(&ack->msg, C);
        assert_true(told != NULL && told->state == PC_MEMBER_DEAD);
    }
    bench_destroy(&bench);
}

static void contact__from_one_believed_dead__is_told_but_not_flooded(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member said = record(C, PC_MEMBER_DEAD, 1);
    bench_tell(&bench, B, &said);
    size_t pings = 0;
    for (int i = 0; i < 5; i++) {
        bench_event(&bench, PC_SWIM_CONTACT, C);
        for (size_t k = 0; k < bench.effects.out_n; k++) {
            const struct pc_swim_msg *msg = &bench.effects.out[k].msg;
            if (msg->type == PC_SWIM_PING && msg->target_id == C) {
                pings++;
                assert_int_equal(said_of(msg, C)->state, PC_MEMBER_DEAD);
            }
        }
    }
    assert_int_equal(pings, 1);
    bench_destroy(&bench);
}

static void suspicion__while_the_bus_hears_it__does_not_kill(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    bench.swim->opts.health_max = 0; /* nobody answers, which is not what this is about */
    struct pc_member said = record(C, PC_MEMBER_SUSPECT, 1);
    bench_tell(&bench, B, &said);
    for (int i = 0; i < 200; i++) {
        bench_run(&bench, 50);
        bench_event(&bench, PC_SWIM_CONTACT, C);
        assert_int_equal(state_of(&bench, C), PC_MEMBER_SUSPECT);
        assert_true(pc_swim_wake_at(bench.swim).us > bench.now.us);
    }
    bench_run(&bench, 299);
    assert_int_equal(state_of(&bench, C), PC_MEMBER_SUSPECT);
    bench_run(&bench, 2);
    assert_int_equal(state_of(&bench, C), PC_MEMBER_DEAD);
    bench_destroy(&bench);
}

static void lost_time__before_the_deadline_was_handled__is_given_back(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member said = record(C, PC_MEMBER_SUSPECT, 1);
    bench_tell(&bench, B, &said);
    bench.now = pc_instant_add_ms(bench.now, 20000);
    bench_event(&bench, PC_SWIM_WAKE, 0);
    assert_int_equal(state_of(&bench, C), PC_MEMBER_SUSPECT);
    struct pc_swim_stats stats;
    pc_swim_stats(bench.swim, &stats);
    assert_int_equal(stats.probe_failures, 0);
    bench_destroy(&bench);
}

static void former_life__speaks_or_is_spoken_of__is_ignored(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member said = record(C, PC_MEMBER_ALIVE, 1);
    said.generation = 11;
    bench_tell(&bench, B, &said);
    assert_true(bench.effects.changed_n == 1 && bench.effects.changed[0].generation == 11);

    struct pc_swim_msg ping = message(PC_SWIM_PING, C); /* generation 10 */
    ping.target_id = SELF;
    ping.updates[ping.updates_n++] = record(B, PC_MEMBER_DEAD, 1);
    bench_recv(&bench, &ping);
    assert_null(bench_sent(&bench, PC_SWIM_ACK));
    assert_int_equal(state_of(&bench, B), PC_MEMBER_ALIVE);

    said = record(C, PC_MEMBER_DEAD, 50);
    bench_tell(&bench, B, &said);
    assert_int_equal(state_of(&bench, C), PC_MEMBER_ALIVE);
    bench_destroy(&bench);
}

static void new_life__any_datagram_of_it__revives_the_member(void **state)
{
    (void)state;
    static const enum pc_member_state gone[] = {PC_MEMBER_DEAD, PC_MEMBER_LEFT};
    for (size_t i = 0; i < 2; i++) {
        struct bench bench;
        bench_create_four(&bench);
        struct pc_member said = record(C, gone[i], 4);
        bench_tell(&bench, B, &said);
        assert_int_equal(state_of(&bench, C), gone[i]);
        struct pc_swim_msg gossip = message(PC_SWIM_GOSSIP, C);
        gossip.from_generation = 10;
        bench_recv(&bench, &gossip); /* the dead life itself: not back without refuting */
        assert_int_equal(state_of(&bench, C), gone[i]);
        gossip.from_generation = 11;
        bench_recv(&bench, &gossip);
        const struct pc_member *member = pc_swim_find(bench.swim, C);
        assert_int_equal(member->state, PC_MEMBER_ALIVE);
        assert_true(member->generation == 11 && member->incarnation == 0);
        /* Its own word about itself, at incarnation 1, counts for more than our guess. */
        said = record(C, PC_MEMBER_ALIVE, 1);
        said.generation = 11;
        said.addr.port = 1;
        bench_tell(&bench, B, &said);
        assert_int_equal(pc_swim_find(bench.swim, C)->addr.port, 1);
        bench_destroy(&bench);
    }
}

static void dead__stale_gossip_of_life__does_not_revive(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member said = record(C, PC_MEMBER_DEAD, 3);
    bench_tell(&bench, B, &said);
    bench_run(&bench, 100000);
    for (uint32_t incarnation = 0; incarnation <= 3; incarnation++) {
        said = record(C, PC_MEMBER_ALIVE, incarnation);
        bench_tell(&bench, D, &said);
        assert_int_equal(state_of(&bench, C), PC_MEMBER_DEAD);
    }
    bench_destroy(&bench);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(suspicion_time__confirmations__follow_the_curve),
    PC_TEST(suspicion__independent_accusers__shorten_it),
    PC_TEST(suspicion__judged_by_a_sick_member__takes_longer_unless_it_is_alone),
    PC_TEST(suspicion__refuted__ends_without_death),
    PC_TEST(suspicion__of_self__is_answered_from_above),
    PC_TEST(message__to_a_suspect__tells_it_so),
    PC_TEST(contact__from_one_believed_dead__is_told_but_not_flooded),
    PC_TEST(suspicion__while_the_bus_hears_it__does_not_kill),
    PC_TEST(lost_time__before_the_deadline_was_handled__is_given_back),
    PC_TEST(former_life__speaks_or_is_spoken_of__is_ignored),
    PC_TEST(new_life__any_datagram_of_it__revives_the_member),
    PC_TEST(dead__stale_gossip_of_life__does_not_revive),
};
PC_TEST_MAIN("swim_suspect", tests)
