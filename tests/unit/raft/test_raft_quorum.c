#include <string.h>

#include "core/raft/raft_int.h"
#include "support/test.h"

static void quorum_size__any_n__is_the_least_majority(void **state)
{
    (void)state;
    static const size_t want[PC_VOTERS_MAX + 1] = {1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8};
    for (size_t n = 1; n <= PC_VOTERS_MAX; n++) {
        assert_int_equal(raft_quorum_size(n), want[n]);
        assert_true(2 * raft_quorum_size(n) > n && 2 * (raft_quorum_size(n) - 1) <= n);
    }
}

struct quorum_case {
    size_t n;
    uint64_t v[PC_VOTERS_MAX];
    uint64_t reached;
    uint64_t median;
};

static const struct quorum_case quorum_cases[] = {
    {1, {7}, 7, 7},
    {2, {7, 9}, 7, 7},
    {2, {9, 7}, 7, 7},
    {3, {1, 2, 3}, 2, 2},
    {3, {3, 0, 0}, 0, 0},
    {3, {5, 5, 1}, 5, 5},
    {4, {1, 2, 3, 4}, 2, 2},
    {4, {9, 9, 9, 1}, 9, 9},
    {5, {10, 0, 20, 0, 30}, 10, 10},
    {5, {UINT64_MAX, 1, UINT64_MAX, 2, 3}, 3, 3},
    {15, {15, 1, 14, 2, 13, 3, 12, 4, 11, 5, 10, 6, 9, 7, 8}, 8, 8},
};

static void quorum_reached__table__is_what_a_majority_has(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof quorum_cases / sizeof quorum_cases[0]; i++) {
        uint64_t v[PC_VOTERS_MAX];
        memcpy(v, quorum_cases[i].v, sizeof v);
        assert_int_equal(raft_quorum_reached(v, quorum_cases[i].n), quorum_cases[i].reached);
    }
}

/* Against the definition, for every vector of four values over up to five voters. */
static void quorum_reached__all_small_vectors__fits_the_definition(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 1024; code++) {
        for (size_t n = 1; n <= 5; n++) {
            uint64_t v[5], sorted[5];
            for (size_t i = 0; i < n; i++) {
                v[i] = sorted[i] = (code >> (2 * i)) & 3;
            }
            uint64_t got = raft_quorum_reached(sorted, n);
            size_t at_least = 0, more = 0;
            for (size_t i = 0; i < n; i++) {
                at_least += v[i] >= got;
                more += v[i] > got;
            }
            assert_true(at_least >= raft_quorum_size(n));
            assert_true(more < raft_quorum_size(n));
        }
    }
}

static void quorum_median__table__is_the_lower_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof quorum_cases / sizeof quorum_cases[0]; i++) {
        uint64_t v[PC_VOTERS_MAX];
        memcpy(v, quorum_cases[i].v, sizeof v);
        assert_int_equal(raft_quorum_median(v, quorum_cases[i].n), quorum_cases[i].median);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(quorum_size__any_n__is_the_least_majority),
    PC_TEST(quorum_reached__table__is_what_a_majority_has),
    PC_TEST(quorum_reached__all_small_vectors__fits_the_definition),
    PC_TEST(quorum_median__table__is_the_lower_one),
};

PC_TEST_MAIN("raft_quorum", tests)
