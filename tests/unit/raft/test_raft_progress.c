#include "core/raft/raft_int.h"
#include "support/test.h"

static struct raft_progress progress_of(pc_index next)
{
    struct raft_progress p;
    raft_progress_create(&p, 2, next, (struct pc_instant){.us = 1});
    return p;
}

static void progress__new__probes_and_sends_no_entries(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(10);
    assert_int_equal(p.state, RAFT_PROBE);
    assert_true(p.beat);
    assert_int_equal(p.match, 0);
    assert_false(raft_progress_is_open(&p));
}

static void progress__probe_accepted__opens_the_window(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(10);
    assert_true(raft_progress_on_accepted(&p, 9));
    assert_int_equal(p.state, RAFT_PIPELINE);
    assert_int_equal(p.match, 9);
    assert_int_equal(p.next, 10);
    assert_true(raft_progress_is_open(&p));
    p.loading = true;
    assert_false(raft_progress_is_open(&p));
}

static void progress__messages_in_flight__window_closes_and_opens_by_acks(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(1);
    (void)raft_progress_on_accepted(&p, 0);
    for (pc_index i = 1; i <= PC_INFLIGHT_MSGS_MAX; i++) {
        assert_true(raft_progress_is_open(&p));
        raft_progress_on_sent(&p, i, 1);
    }
    assert_false(raft_progress_is_open(&p));
    assert_int_equal(p.next, PC_INFLIGHT_MSGS_MAX + 1);
    assert_true(raft_progress_on_accepted(&p, 3));
    assert_int_equal(p.inflight_n, PC_INFLIGHT_MSGS_MAX - 3);
    assert_int_equal(p.inflight_bytes, PC_INFLIGHT_MSGS_MAX - 3);
    for (pc_index i = 1; i <= 3; i++) { /* the ring wraps */
        assert_true(raft_progress_is_open(&p));
        raft_progress_on_sent(&p, PC_INFLIGHT_MSGS_MAX + i, 1);
    }
    assert_false(raft_progress_is_open(&p));
    assert_true(raft_progress_on_accepted(&p, PC_INFLIGHT_MSGS_MAX + 3));
    assert_int_equal(p.inflight_n, 0);
    assert_int_equal(p.inflight_bytes, 0);
}

static void progress__bytes_in_flight__close_the_window(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(1);
    (void)raft_progress_on_accepted(&p, 0);
    raft_progress_on_sent(&p, 5, PC_INFLIGHT_BYTES_MAX - 1);
    assert_true(raft_progress_is_open(&p));
    raft_progress_on_sent(&p, 6, PC_VALUE_BYTES_MAX); /* one message may pass the bound */
    assert_false(raft_progress_is_open(&p));
    (void)raft_progress_on_accepted(&p, 5);
    assert_false(raft_progress_is_open(&p));
    (void)raft_progress_on_accepted(&p, 6);
    assert_true(raft_progress_is_open(&p));
}

static void progress__partial_ack__keeps_the_message_in_flight(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(1);
    (void)raft_progress_on_accepted(&p, 0);
    raft_progress_on_sent(&p, 10, 100);
    assert_true(raft_progress_on_accepted(&p, 9));
    assert_int_equal(p.inflight_n, 1);
    assert_int_equal(p.next, 11);
}

static void progress__old_or_repeated_ack__lowers_nothing(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(1);
    (void)raft_progress_on_accepted(&p, 0);
    raft_progress_on_sent(&p, 10, 100);
    assert_true(raft_progress_on_accepted(&p, 10));
    assert_false(raft_progress_on_accepted(&p, 10));
    assert_false(raft_progress_on_accepted(&p, 4));
    assert_int_equal(p.match, 10);
    assert_int_equal(p.next, 11);
}

static void progress__ack_beyond_next__moves_next(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(5);
    assert_true(raft_progress_on_accepted(&p, 20));
    assert_int_equal(p.match, 20);
    assert_int_equal(p.next, 21);
}

static void progress__rejected__probes_from_there_but_never_below_match(void **state)
{
    (void)state;
    struct raft_progress p = progress_of(1);
    (void)raft_progress_on_accepted(&p, 6);
    raft_progress_on_sent(&p, 9, 10);
    p.beat = false;
    p.loading = true;
    raft_progress_on_rejected(&p, 8);
    assert_int_equal(p.state, RAFT_PROBE);
    assert_int_equal(p.next, 8);
    assert_int_equal(p.inflight_n, 0);
    assert_int_equal(p.inflight_bytes, 0);
    assert_true(p.beat);
    assert_false(p.loading);
    raft_progress_on_rejected(&p, 3);
    assert_int_equal(p.next, 7);
    assert_int_equal(p.match, 6);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(progress__new__probes_and_sends_no_entries),
    PC_TEST(progress__probe_accepted__opens_the_window),
    PC_TEST(progress__messages_in_flight__window_closes_and_opens_by_acks),
    PC_TEST(progress__bytes_in_flight__close_the_window),
    PC_TEST(progress__partial_ack__keeps_the_message_in_flight),
    PC_TEST(progress__old_or_repeated_ack__lowers_nothing),
    PC_TEST(progress__ack_beyond_next__moves_next),
    PC_TEST(progress__rejected__probes_from_there_but_never_below_match),
};

PC_TEST_MAIN("raft_progress", tests)
