/* How many more voters may die, and when a member that catches up will have done so. */
#include "unit/node/node_net.h"

#include "node/node_int.h"

static struct pc_node_redundancy of(size_t voters_n, unsigned up)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g"};
    struct node_voter voters[7];
    struct pc_node_redundancy redundancy;
    for (size_t i = 0; i < voters_n; i++) {
        voters[i] = (struct node_voter){.name = names[i], .up = (up >> i & 1) != 0};
    }
    node_redundancy_of(voters, voters_n, &redundancy);
    return redundancy;
}

/* Against the definition: what is left when any so many of those that are up die. */
static void redundancy__every_set_of_up_to_seven__is_what_it_means(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 7; n++) {
        for (unsigned up = 0; up < 1U << n; up++) {
            struct pc_node_redundancy r = of(n, up);
            size_t alive = (size_t)__builtin_popcount(up);
            bool has_quorum = alive * 2 > n;
            assert_int_equal(r.up_n, alive);
            assert_int_equal(r.has_quorum, has_quorum);
            assert_true(r.quorum * 2 > n && (r.quorum - 1) * 2 <= n);
            assert_int_equal(r.missing_n, n - alive);
            if (!has_quorum) {
                assert_int_equal(r.may_fail + r.must_survive_n, 0);
                continue;
            }
            assert_true((alive - r.may_fail) * 2 > n);
            assert_true((alive - r.may_fail - 1) * 2 <= n);
            assert_int_equal(r.must_survive_n, r.may_fail == 0 ? alive : 0);
        }
    }
}

static void redundancy__one_name_votes_twice__is_named_once(void **state)
{
    (void)state;
    const struct node_voter voters[] = {
        {"node1", true}, {"node2", false}, {"node3", true}, {"node3", true}};
    struct pc_node_redundancy r;
    node_redundancy_of(voters, 4, &r);
    assert_int_equal(r.quorum, 3);
    assert_int_equal(r.may_fail, 0);
    assert_int_equal(r.must_survive_n, 2);
    assert_string_equal(r.must_survive[0], "node1");
    assert_string_equal(r.must_survive[1], "node3");
    assert_int_equal(r.missing_n, 1);
    assert_string_equal(r.missing[0], "node2");
    node_redundancy_of(voters, 0, &r);
    assert_false(r.has_quorum);
}

static void redundancy__nodes_die_one_by_one__is_seen_by_those_left(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_node_redundancy r;
    pc_node_redundancy(net->nodes[1].node, &r);
    assert_int_equal(r.voters_n, 0);
    net_delete(net);
    net = net_new_formed(3);
    for (size_t i = 1; i <= 3; i++) {
        pc_node_redundancy(net->nodes[i].node, &r);
        assert_int_equal(r.voters_n, 3);
        assert_int_equal(r.may_fail, 1);
    }
    net_crash(net, 2);
    net_run(net, 200);
    pc_node_redundancy(net->nodes[1].node, &r);
    assert_int_equal(r.may_fail, 0);
    assert_int_equal(r.must_survive_n, 2);
    assert_string_equal(r.must_survive[0], "node1");
    assert_string_equal(r.must_survive[1], "node3");
    net_crash(net, 3);
    net_run(net, 200);
    pc_node_redundancy(net->nodes[1].node, &r);
    assert_false(r.has_quorum);
    assert_int_equal(r.up_n, 1);
    net_delete(net);
}

/* ---- progress */

static struct pc_instant at(pc_ms ms)
{
    return (struct pc_instant){.us = ms * 1000};
}

static void progress__steady__tells_the_time_left(void **state)
{
    (void)state;
    struct node_progress p = {0};
    pc_ms eta = 77;
    assert_false(node_progress_eta(&p, at(0), 0, 100, &eta));
    for (pc_ms ms = 0; ms <= 5000; ms += 10) { /* one entry a millisecond */
        node_progress_sample(&p, at(ms), ms);
    }
    assert_true(node_progress_eta(&p, at(5000), 5000, 8000, &eta));
    assert_int_equal(eta, 3000);
    assert_false(node_progress_eta(&p, at(5000), 8000, 8000, &eta)); /* it is there */
}

/* What was long ago does not count. */
static void progress__slower_than_before__is_told_within_two_samples(void **state)
{
    (void)state;
    struct node_progress p = {0};
    pc_ms eta = 0;
    for (pc_ms ms = 0; ms <= 10000; ms += 100) {
        node_progress_sample(&p, at(ms), ms * 10);
    }
    for (pc_ms ms = 10100; ms <= 13000; ms += 100) { /* a tenth of it */
        node_progress_sample(&p, at(ms), 100000 + (ms - 10000));
    }
    assert_true(node_progress_eta(&p, at(13000), 103000, 104000, &eta));
    assert_in_range(eta, 900, 1100);
    for (pc_ms ms = 13100; ms <= 16000; ms += 100) { /* it stands still */
        node_progress_sample(&p, at(ms), 103000);
    }
    assert_false(node_progress_eta(&p, at(16000), 103000, 104000, &eta));
}

static void progress__falls_back_or_is_huge__starts_anew_and_does_not_wrap(void **state)
{
    (void)state;
    struct node_progress p = {0};
    pc_ms eta = 0;
    node_progress_sample(&p, at(1000), 500);
    node_progress_sample(&p, at(3000), 900);
    node_progress_sample(&p, at(4000), 20); /* its log was replaced */
    assert_false(node_progress_eta(&p, at(4000), 20, 1000, &eta));
    assert_true(node_progress_eta(&p, at(5000), 120, 1120, &eta));
    assert_int_equal(eta, 10000);
    assert_false(node_progress_eta(&p, at(5000), 120, UINT64_MAX, &eta));
}

static const struct CMUnitTest tests[] = {
    PC_TEST(redundancy__every_set_of_up_to_seven__is_what_it_means),
    PC_TEST(redundancy__one_name_votes_twice__is_named_once),
    PC_TEST(redundancy__nodes_die_one_by_one__is_seen_by_those_left),
    PC_TEST(progress__steady__tells_the_time_left),
    PC_TEST(progress__slower_than_before__is_told_within_two_samples),
    PC_TEST(progress__falls_back_or_is_huge__starts_anew_and_does_not_wrap),
};

PC_TEST_MAIN("node_redundancy", tests)
