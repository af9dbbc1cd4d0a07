/* Digests and push-pull: pages, partners and times. */
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

/* Digests sent to each of B, C and D in a minute. */
static void count_digests(struct bench *bench, size_t *digests)
{
    static const pc_node_id ids[] = {B, C, D};
    struct pc_instant until = pc_instant_add_ms(bench->now, 60000);
    while (bench->now.us < until.us) {
        bench->now = pc_swim_wake_at(bench->swim);
        bench_keep_from_probing(bench);
        bench_event(bench, PC_SWIM_WAKE, 0);
        for (size_t k = 0; k < bench->effects.out_n; k++) {
            const struct pc_swim_out *out = &bench->effects.out[k];
            for (size_t i = 0; i < 3; i++) {
                struct pc_addr addr = addr_of(ids[i]);
                digests[i] += out->msg.type == PC_SWIM_DIGEST && pc_addr_equal(&out->to, &addr);
            }
        }
    }
}

static void digest__periodically__goes_to_one_live_and_one_dead(void **state)
{
    (void)state;
    struct bench bench;
    bench_create_four(&bench);
    size_t digests[3] = {0};
    count_digests(&bench, digests);
    assert_in_range(digests[0] + digests[1] + digests[2], 12, 13);

    struct pc_member dead = record(C, PC_MEMBER_DEAD, 1);
    struct pc_member left = record(D, PC_MEMBER_LEFT, 1);
    bench_tell(&bench, B, &dead);
    bench_tell(&bench, B, &left);
    memset(digests, 0, sizeof digests);
    count_digests(&bench, digests);
    assert_in_range(digests[0], 11, 13);
    assert_int_equal(digests[1], digests[0]);
    assert_int_equal(digests[2], 0);
    bench_destroy(&bench);
}

/* C's machine, told of the same members in another order. */
static void bench_create_other(struct bench *bench)
{
    struct pc_swim_opts opts;
    memset(&opts, 0, sizeof opts);
    pc_swim_opts_default(&opts);
    *bench = (struct bench){.now = {.us = 5000000}};
    opts.self = record(C, PC_MEMBER_ALIVE, 0);
    opts.seed = 4;
    bench->swim = pc_swim_new(&opts, bench->now);
    static const pc_node_id ids[] = {D, SELF, B};
    for (size_t i = 0; i < 3; i++) {
        struct pc_member said = record(ids[i], PC_MEMBER_ALIVE, 1);
        bench_tell(bench, ids[i], &said);
    }
}

static void digest__same_table__is_not_answered(void **state)
{
    (void)state;
    struct bench bench, other;
    bench_create_four(&bench);
    bench_create_other(&other);
    struct pc_swim_msg digest = message(PC_SWIM_DIGEST, C);
    digest.nonce = pc_swim_digest(other.swim);
    bench_recv(&bench, &digest);
    assert_null(bench_sent(&bench, PC_SWIM_PUSH));
    assert_null(bench_sent(&bench, PC_SWIM_PULL));
    bench_destroy(&bench);
    bench_destroy(&other);
}

static void digest__any_difference__is_answered_by_a_push(void **state)
{
    (void)state;
    for (size_t what = 0; what < 6; what++) {
        struct bench bench, other;
        bench_create_four(&bench);
        bench_create_other(&other);
        struct pc_member said = record(what == 0 ? 40 : B, PC_MEMBER_ALIVE, 1);
        said.state = what == 1 ? PC_MEMBER_SUSPECT : PC_MEMBER_ALIVE;
        said.incarnation += what == 2;
        said.generation += what == 3;
        said.addr.port = (uint16_t)(said.addr.port + (what == 4));
        said.name[0] = what == 5 ? 'z' : said.name[0];
        bench_tell(&other, D, &said);
        struct pc_swim_msg digest = message(PC_SWIM_DIGEST, C);
        digest.nonce = pc_swim_digest(other.swim);
        bench_recv(&bench, &digest);
        const struct pc_swim_out *push = bench_sent(&bench, PC_SWIM_PUSH);
        struct pc_addr c = addr_of(C);
        assert_true(push != NULL && pc_addr_equal(&push->to, &c));
        bench_destroy(&bench);
        bench_destroy(&other);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(push__table_of_many_pages__shows_everybody_once),
    PC_TEST(pull__asked_by_three_pages__is_dealt_out_among_them),
    PC_TEST(digest__periodically__goes_to_one_live_and_one_dead),
    PC_TEST(digest__same_table__is_not_answered),
    PC_TEST(digest__any_difference__is_answered_by_a_push),
};
PC_TEST_MAIN("swim_sync", tests)
