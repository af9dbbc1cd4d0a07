/* The table: how records are joined, who gets in, who is forgotten. */
#include "unit/swim/swim_bench.h"

static bool records_equal(const struct pc_member *a, const struct pc_member *b)
{
    return a->id == b->id && a->generation == b->generation && a->incarnation == b->incarnation &&
           a->state == b->state && pc_addr_equal(&a->addr, &b->addr) &&
           strcmp(a->name, b->name) == 0;
}

static struct pc_member random_record(struct pc_prng *prng)
{
    struct pc_member member = record(B, (enum pc_member_state)pc_prng_between(prng, 1, 4), 0);
    member.generation = pc_prng_below(prng, 2);
    member.incarnation = (uint32_t)pc_prng_below(prng, 2);
    member.addr.port = (uint16_t)pc_prng_below(prng, 2);
    member.addr.ip[15] = (uint8_t)pc_prng_below(prng, 2);
    member.name[0] = (char)('a' + pc_prng_below(prng, 2));
    return member;
}

static struct pc_member join(const struct pc_member *a, const struct pc_member *b)
{
    struct pc_member out = *a;
    bool changed = pc_swim_record_join(&out, b);
    assert_true(changed == !records_equal(&out, a));
    return out;
}

static void record_join__any_three__is_a_semilattice(void **state)
{
    (void)state;
    struct pc_prng prng;
    pc_prng_seed(&prng, 1);
    for (int i = 0; i < 200000; i++) {
        struct pc_member a = random_record(&prng);
        struct pc_member b = random_record(&prng);
        struct pc_member c = random_record(&prng);
        struct pc_member ab = join(&a, &b), ba = join(&b, &a), bc = join(&b, &c);
        struct pc_member left = join(&ab, &c), right = join(&a, &bc), aa = join(&a, &a);
        assert_true(records_equal(&ab, &ba));
        assert_true(records_equal(&left, &right));
        assert_true(records_equal(&aa, &a));
    }
}

static void record_join__precedence__is_generation_incarnation_state(void **state)
{
    (void)state;
    static const struct {
        uint64_t generation;
        uint32_t incarnation;
        enum pc_member_state state;
    } rising[] = {
        {1, 0, PC_MEMBER_ALIVE},
        {1, 0, PC_MEMBER_SUSPECT},
        {1, 0, PC_MEMBER_DEAD},
        {1, 0, PC_MEMBER_LEFT},
        {1, 1, PC_MEMBER_ALIVE},
        {1, 9, PC_MEMBER_SUSPECT},
        {2, 0, PC_MEMBER_ALIVE},
        {2, 0, PC_MEMBER_DEAD},
    };
    size_t n = sizeof rising / sizeof rising[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            struct pc_member into = record(B, rising[i].state, rising[i].incarnation);
            struct pc_member said = record(B, rising[k].state, rising[k].incarnation);
            into.generation = rising[i].generation;
            said.generation = rising[k].generation;
            assert_true(pc_swim_record_join(&into, &said) == (k > i));
            assert_int_equal(into.state, rising[k > i ? k : i].state);
        }
    }
}

static void stranger__without_its_record__gets_no_reply(void **state)
{
    (void)state;
    static const enum pc_swim_msg_type types[] = {
        PC_SWIM_PING, PC_SWIM_PING_REQ, PC_SWIM_PUSH, PC_SWIM_ACK, PC_SWIM_GOSSIP};
    struct bench bench;
    bench_create_four(&bench);
    bench_run(&bench, 2000);
    struct pc_addr stranger = addr_of(4242);
    for (size_t i = 0; i < 5; i++) {
        struct pc_swim_msg msg = message(types[i], 4242);
        msg.target_id = SELF;
        msg.pages = 1;
        bench_recv(&bench, &msg);
        for (size_t k = 0; k < bench.effects.out_n; k++) {
            assert_false(pc_addr_equal(&bench.effects.out[k].to, &stranger));
        }
        assert_int_equal(state_of(&bench, 4242), 0);
    }
    struct pc_swim_msg push = message(PC_SWIM_PUSH, 4242);
    push.pages = 1;
    push.updates[push.updates_n++] = record(4242, PC_MEMBER_ALIVE, 1);
    bench_recv(&bench, &push);
    const struct pc_swim_out *pull = bench_sent(&bench, PC_SWIM_PULL);
    assert_true(pull != NULL && pc_addr_equal(&pull->to, &stranger));
    assert_non_null(said_of(&pull->msg, SELF));
    bench_destroy(&bench);
}

static void message__bad_content__is_counted_and_ignored(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    struct pc_member bad[5];
    for (size_t i = 0; i < 5; i++) {
        bad[i] = record(40 + i, PC_MEMBER_ALIVE, 1);
    }
    bad[0].id = 0;
    bad[1].state = (enum pc_member_state)9;
    bad[2].addr = (struct pc_addr){0};
    bad[3].incarnation = UINT32_MAX;
    memset(bad[4].name, 'x', sizeof bad[4].name);
    for (size_t i = 0; i < 5; i++) {
        bench_tell(&bench, B, &bad[i]);
        struct pc_swim_stats stats;
        pc_swim_stats(bench.swim, &stats);
        assert_int_equal(stats.messages_ignored, i + 1);
    }
    struct pc_swim_msg msg = message(PC_SWIM_GOSSIP, SELF); /* our own, reflected */
    msg.updates[msg.updates_n++] = record(B, PC_MEMBER_DEAD, 1);
    bench_recv(&bench, &msg);
    msg = message(PC_SWIM_PUSH, B);
    msg.page = msg.pages = 3;
    bench_recv(&bench, &msg);
    assert_null(bench_sent(&bench, PC_SWIM_PULL));
    const struct pc_member *members;
    assert_int_equal(pc_swim_members(bench.swim, &members), 4);
    assert_int_equal(state_of(&bench, B), PC_MEMBER_ALIVE);
    bench_destroy(&bench);
}

static void table__full__forgets_who_left_first_and_never_the_living(void **state)
{
    (void)state;
    struct pc_swim_opts opts;
    memset(&opts, 0, sizeof opts);
    pc_swim_opts_default(&opts);
    struct bench bench;
    bench_create(&bench, &opts);
    pc_node_id id = 1000;
    for (; id < 1000 + PC_MEMBERS_MAX - 1; id++) {
        struct pc_member said = record(id, PC_MEMBER_ALIVE, 1);
        bench.swim->effects = &bench.effects; /* a step per member would take the test minutes */
        bench.effects.changed_n = 0;
        pc_swim_hear(bench.swim, &said);
        bench.swim->effects = NULL;
    }
    const struct pc_member *members;
    assert_int_equal(pc_swim_members(bench.swim, &members), PC_MEMBERS_MAX);
    struct pc_member more = record(90, PC_MEMBER_ALIVE, 1);
    bench_tell(&bench, 1000, &more);
    assert_null(pc_swim_find(bench.swim, 90));

    struct pc_member dead = record(1005, PC_MEMBER_DEAD, 1);
    struct pc_member left = record(1006, PC_MEMBER_LEFT, 1);
    bench_tell(&bench, 1000, &dead);
    bench_tell(&bench, 1000, &left);
    bench_tell(&bench, 1000, &more); /* too early */
    assert_null(pc_swim_find(bench.swim, 90));
    bench.now = pc_instant_add_ms(bench.now, SWIM_FORGET_AFTER_MS);
    bench_tell(&bench, 1000, &more);
    assert_non_null(pc_swim_find(bench.swim, 90));
    assert_null(pc_swim_find(bench.swim, 1006));
    assert_non_null(pc_swim_find(bench.swim, 1005));
    bench_destroy(&bench);
}

static void members__listed__self_first_then_by_id(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    const struct pc_member *members;
    assert_int_equal(pc_swim_members(bench.swim, &members), 4);
    assert_true(members[0].id == SELF && members[1].id == B);
    assert_true(members[2].id == C && members[3].id == D);
    assert_true(pc_swim_find(bench.swim, SELF) == &members[0]);
    assert_null(pc_swim_find(bench.swim, 1));
    bench_destroy(&bench);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(record_join__any_three__is_a_semilattice),
    PC_TEST(record_join__precedence__is_generation_incarnation_state),
    PC_TEST(stranger__without_its_record__gets_no_reply),
    PC_TEST(message__bad_content__is_counted_and_ignored),
    PC_TEST(table__full__forgets_who_left_first_and_never_the_living),
    PC_TEST(members__listed__self_first_then_by_id),
};
PC_TEST_MAIN("swim_member", tests)
