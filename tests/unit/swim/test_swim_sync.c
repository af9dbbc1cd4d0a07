/* Push-pull: pages, partners and times. */
#include "unit/swim/swim_bench.h"

/* A machine that knows `n` others, with the news of them all told. */
static void bench_create_many(struct bench *bench, size_t n)
{
    struct pc_swim_opts opts;
    memset(&opts, 0, sizeof opts);
    pc_swim_opts_default(&opts);
    bench_create(bench, &opts);
    for (size_t i = 0; i < n; i++) {
        struct pc_member said = record(1000 + i, PC_MEMBER_ALIVE, 1);
        bench_tell(bench, said.id, &said);
        bench->swim->peers[pc_swim_index(bench->swim, said.id)].sent = 100;
    }
    bench->swim->peers[0].sent = 100;
    bench->swim->probe_at = PC_INSTANT_NEVER;
}

/* Counts what the pages of the last step show of each member. */
static void count_pages_of(
    const struct bench *bench, enum pc_swim_msg_type type, size_t n, size_t *shown, bool *pages)
{
    for (size_t k = 0; k < bench->effects.out_n; k++) {
        const struct pc_swim_msg *msg = &bench->effects.out[k].msg;
        if (msg->type != type) {
            continue;
        }
        assert_true(msg->page < msg->pages && msg->pages < 64);
        assert_false(pages[msg->page]);
        pages[msg->page] = true;
        for (uint32_t i = 0; i < msg->updates_n; i++) {
            shown[msg->updates[i].id == SELF ? n : msg->updates[i].id - 1000]++;
        }
    }
}

static void push__table_of_many_pages__shows_everybody_once(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_many(&bench, 100);
    bench_event(&bench, PC_SWIM_JOIN, 77);
    size_t shown[101] = {0};
    bool pages[64] = {false};
    count_pages_of(&bench, PC_SWIM_PUSH, 100, shown, pages);
    for (size_t i = 0; i <= 100; i++) {
        assert_int_equal(shown[i], 1);
    }
    assert_true(pages[1]);
    const struct pc_swim_out *first = bench_sent(&bench, PC_SWIM_PUSH);
    struct pc_addr seed = addr_of(77);
    assert_true(pc_addr_equal(&first->to, &seed));
    assert_true(first->msg.updates[0].id == SELF); /* page 0 introduces the sender */
    bench_destroy(&bench);
}

/* Each page that asks gets its share of the answer; all shares together are the table. */
static void pull__asked_by_three_pages__is_dealt_out_among_them(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_many(&bench, 100);
    size_t shown[101] = {0};
    bool pages[64] = {false};
    for (uint32_t page = 0; page < 3; page++) {
        struct pc_swim_msg push = message(PC_SWIM_PUSH, 1000);
        push.page = page;
        push.pages = 3;
        bench_recv(&bench, &push);
        assert_non_null(bench_sent(&bench, PC_SWIM_PULL));
        assert_in_range(bench.effects.out_n, 1, 5);
        assert_int_equal(bench_sent(&bench, PC_SWIM_PULL)->msg.page, page);
        count_pages_of(&bench, PC_SWIM_PULL, 100, shown, pages);
    }
    for (size_t i = 0; i <= 100; i++) {
        assert_int_equal(shown[i], 1);
    }
    bench_destroy(&bench);
}

/* Pushes to each of B, C and D in a minute. */
static void count_pushes(struct bench *bench, size_t *pushes)
{
    static const pc_node_id ids[] = {B, C, D};
    struct pc_instant until = pc_instant_add_ms(bench->now, 60000);
    while (bench->now.us < until.us) {
        bench->now = pc_swim_wake_at(bench->swim);
        bench->swim->probe.acked = true;
        bench_event(bench, PC_SWIM_WAKE, 0);
        for (size_t k = 0; k < bench->effects.out_n; k++) {
            const struct pc_swim_out *out = &bench->effects.out[k];
            for (size_t i = 0; i < 3; i++) {
                struct pc_addr addr = addr_of(ids[i]);
                pushes[i] += out->msg.type == PC_SWIM_PUSH && pc_addr_equal(&out->to, &addr);
            }
        }
    }
}

static void push__periodically__goes_to_one_live_and_one_dead(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    size_t pushes[3] = {0};
    count_pushes(&bench, pushes);
    assert_in_range(pushes[0] + pushes[1] + pushes[2], 12, 13);

    struct pc_member dead = record(C, PC_MEMBER_DEAD, 1);
    struct pc_member left = record(D, PC_MEMBER_LEFT, 1);
    bench_tell(&bench, B, &dead);
    bench_tell(&bench, B, &left);
    memset(pushes, 0, sizeof pushes);
    count_pushes(&bench, pushes);
    assert_in_range(pushes[0], 11, 13);
    assert_int_equal(pushes[1], pushes[0]);
    assert_int_equal(pushes[2], 0);
    bench_destroy(&bench);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(push__table_of_many_pages__shows_everybody_once),
    PC_TEST(pull__asked_by_three_pages__is_dealt_out_among_them),
    PC_TEST(push__periodically__goes_to_one_live_and_one_dead),
};
PC_TEST_MAIN("swim_sync", tests)
