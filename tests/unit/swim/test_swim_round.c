/* The round of probes when members are forgotten in the middle of it. */
#include "unit/swim/swim_bench.h"

#define MEMBERS 12

/* The next member of the shuffled round, without the ring. */
static pc_node_id next_in_round(struct bench *bench)
{
    bench->swim->ring_turn = true;
    return bench->swim->members[pc_swim_round_next(bench->swim)].id;
}

/* Members 1..MEMBERS, the round at its beginning. */
static void bench_create_round(struct bench *bench)
{
    struct pc_swim_opts opts;
    memset(&opts, 0, sizeof opts);
    pc_swim_opts_default(&opts);
    bench_create(bench, &opts);
    for (pc_node_id id = 1; id <= MEMBERS; id++) {
        struct pc_member said = record(id, PC_MEMBER_ALIVE, 1);
        bench_tell(bench, id, &said);
    }
    bench_keep_from_probing(bench);
    while (bench->swim->order_next != MEMBERS) {
        (void)next_in_round(bench);
    }
}

/* As a full table does to make room, see swim_member.c: from the round, then from the table. */
static void forget(struct bench *bench, pc_node_id id)
{
    struct pc_swim *swim = bench->swim;
    size_t i = pc_swim_index(swim, id);
    assert_true(i > 0);
    pc_swim_round_remove(swim, id);
    memmove(&swim->members[i], &swim->members[i + 1], (swim->n - i - 1) * sizeof *swim->members);
    memmove(&swim->peers[i], &swim->peers[i + 1], (swim->n - i - 1) * sizeof *swim->peers);
    swim->n--;
    swim->live_n = 0;
}

/* Whoever is forgotten after `probed` probes of the round, and wherever it stood: the others are
 * probed once each, in this round and in the next. */
static void forget_within_round(size_t probed, size_t place)
{
    struct bench bench;
    bench_create_round(&bench);
    unsigned seen[MEMBERS + 1] = {0};
    for (size_t k = 0; k < probed; k++) {
        seen[next_in_round(&bench)]++;
    }
    pc_node_id gone = bench.swim->order[place];
    bool was_probed = seen[gone] > 0;
    assert_int_equal(was_probed, place < probed);
    forget(&bench, gone);
    for (size_t k = 0; k < (size_t)MEMBERS - probed - !was_probed; k++) {
        seen[next_in_round(&bench)]++;
    }
    for (pc_node_id id = 1; id <= MEMBERS; id++) {
        assert_int_equal(seen[id], id == gone ? was_probed : 1);
    }
    for (size_t k = 0; k < MEMBERS - 1; k++) {
        seen[next_in_round(&bench)]++;
    }
    for (pc_node_id id = 1; id <= MEMBERS; id++) {
        assert_int_equal(seen[id], id == gone ? was_probed : 2);
    }
    bench_destroy(&bench);
}

static void round__member_forgotten_under_way__others_are_probed_once_each(void **state)
{
    (void)state;
    for (size_t probed = 1; probed <= MEMBERS; probed++) {
        for (size_t place = 0; place < MEMBERS; place++) {
            forget_within_round(probed, place);
        }
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(round__member_forgotten_under_way__others_are_probed_once_each),
};
PC_TEST_MAIN("swim_round", tests)
