/* What peers are given of a node's log, and how it bears with what they ask. */
#include "unit/node/node_late.h"

static void questions__more_than_a_peer_may_have__are_dropped(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    for (uint64_t i = 1; i <= 20; i++) {
        struct pc_msg msg = {.type = PC_MSG_FETCH, .from = 103, .to = 102};
        msg.fetch = (struct pc_fetch){.nonce = i, .first = i, .last = i + 9};
        net_recv(net, 2, &msg);
        assert_int_equal(net->nodes[2].loads_n, 1);
    }
    size_t answers = 0;
    while (net->nodes[2].loads_n > 0) {
        net_load_answer(net, 2, 100);
        struct pc_msg msg = net_hold(net, PC_MSG_ENTRIES, 2, 3);
        answers++;
        assert_int_equal(msg.fetch.nonce, answers);
        assert_int_equal(msg.fetch.first, answers);
        assert_int_equal(msg.fetch.v.n, 10);
        assert_int_equal(msg.fetch.v.v[0].index, answers);
        pc_msg_clear(&msg);
    }
    assert_int_equal(answers, OPEN_MAX);
    net_delete(net);
}

/* A load of an earlier connection must not pass for the answer to a question of this one. */
static void questions__answered_late__are_of_the_connection_that_asked(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    struct pc_msg msg = {.type = PC_MSG_FETCH, .from = 103, .to = 102};
    msg.fetch = (struct pc_fetch){.nonce = 1, .first = 10, .last = 19};
    net_recv(net, 2, &msg);
    net_disconnect(net, 3, 2);
    net_connect(net, 3, 2);
    msg.fetch = (struct pc_fetch){.nonce = 2, .first = 50, .last = 59};
    net_recv(net, 2, &msg);
    net_drop(net, 0, 2, 3);
    net_load_answer(net, 2, 100);
    assert_int_equal(net_count(net, PC_MSG_ENTRIES, 2, 3), 0);
    net_load_answer(net, 2, 100);
    struct pc_msg answer = net_hold(net, PC_MSG_ENTRIES, 2, 3);
    assert_int_equal(answer.fetch.nonce, 2);
    assert_int_equal(answer.fetch.v.v[0].index, 50);
    pc_msg_clear(&answer);
    net_delete(net);
}

static void ask_of_2(struct net *net, uint64_t nonce, pc_index first, pc_index last)
{
    struct pc_msg msg = {.type = PC_MSG_FETCH, .from = 103, .to = 102};
    msg.fetch = (struct pc_fetch){.nonce = nonce, .first = first, .last = last};
    net_recv(net, 2, &msg);
}

/* They are asked of the log as bytes, and the answer owns what the log gave. */
static void questions__answered_raw__pass_the_bytes_on(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    ask_of_2(net, 7, 10, 19);
    assert_int_equal(net->nodes[2].loads_n, 1);
    assert_true(net->nodes[2].loads[0].raw);
    struct pc_entries none = {0};
    struct pc_raw_entries raw = {.first = 10, .n = 10};
    pc_buf_append(&raw.bytes, "as they are", 11);
    struct pc_node_event event = {.type = PC_NODE_LOADED};
    event.u.loaded.tag = net->nodes[2].loads[0].tag;
    event.u.loaded.entries = &none;
    event.u.loaded.raw = &raw;
    net_do(net, 2, &event);
    assert_null(raw.bytes.data);
    struct pc_msg answer = net_hold(net, PC_MSG_ENTRIES, 2, 3);
    assert_int_equal(answer.fetch.nonce, 7);
    assert_int_equal(answer.fetch.first, 10);
    assert_int_equal(answer.fetch.raw.n, 10);
    assert_memory_equal(answer.fetch.raw.bytes.data, "as they are", 11);
    pc_msg_clear(&answer);
    net_delete(net);
}

/* What only a snapshot has is known to be gone: the log is not asked for it. */
static void questions__about_what_was_dropped__are_answered_at_once(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    struct pc_node_event event = {.type = PC_NODE_LOG_DROPPED};
    event.u.log_first = 50;
    net_do(net, 2, &event);
    ask_of_2(net, 1, 10, 60);
    assert_int_equal(net->nodes[2].loads_n, 0);
    struct pc_msg answer = net_hold(net, PC_MSG_ENTRIES, 2, 3);
    assert_int_equal(answer.fetch.nonce, 1);
    assert_int_equal(answer.fetch.v.n + answer.fetch.raw.n, 0);
    pc_msg_clear(&answer);
    ask_of_2(net, 2, 50, 60);
    assert_int_equal(net->nodes[2].loads_n, 1);
    net_delete(net);
}

/* ---- how fast */

/* A write of a client that takes so long to become durable at node 2, and `gap_ms` of nothing. */
static void own_write(struct net *net, uint64_t took_us, pc_ms gap_ms)
{
    static uint64_t tag = 10000;
    struct seen seen = {0};
    disk_hangs = 2;
    net_set(net, 1, ++tag, "k", "v");
    settle(net, 3, &seen);
    assert_true(net->nodes[2].queue_n > 0);
    net->now.us += took_us;
    disk_hangs = 0;
    settle(net, 3, &seen);
    net->nodes[1].replies_n = 0;
    net->now = pc_instant_add_ms(net->now, gap_ms);
    net_wake_due(net);
    settle(net, 3, &seen);
}

/* Gives a range to node 3, however long that has to wait. */
static void give(struct net *net, uint64_t nonce)
{
    ask_of_2(net, nonce, 10, 19);
    for (size_t i = 0; net->nodes[2].loads_n == 0; i++) {
        assert_true(i < 30);
        net->now = pc_instant_add_ms(net->now, 1);
        net_wake_due(net);
    }
    net_load_answer(net, 2, 100);
    net_drop(net, PC_MSG_ENTRIES, 2, 3);
}

static struct net *net_with_giver(void)
{
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    for (size_t i = 0; i < 100; i++) {
        own_write(net, 300, 5);
    }
    return net;
}

/* Own writes that take so long, with a range given before each of them. */
static void give_under(struct net *net, size_t rounds, uint64_t took_us)
{
    for (size_t i = 0; i < rounds; i++) {
        give(net, 100 + i);
        own_write(net, took_us, 5);
    }
}

/* Is the next range loaded at once? */
static bool gives_at_once(struct net *net)
{
    give(net, 1000);
    ask_of_2(net, 1001, 10, 19);
    bool at_once = net->nodes[2].loads_n == 1;
    if (!at_once) {
        net->now = pc_instant_add_ms(net->now, 20);
        net_wake_due(net);
    }
    assert_int_equal(net->nodes[2].loads_n, 1); /* by the longest pause it is */
    net_load_answer(net, 2, 100);
    net_drop(net, PC_MSG_ENTRIES, 2, 3);
    return at_once;
}

static void pace__own_writes_take_as_long_as_ever__has_no_pauses(void **state)
{
    (void)state;
    struct net *net = net_with_giver();
    give_under(net, 60, 400);
    assert_true(gives_at_once(net));
    net_delete(net);
}

static void pace__own_writes_take_longer__has_pauses_until_they_do_not(void **state)
{
    (void)state;
    struct net *net = net_with_giver();
    give_under(net, 40, 4000);
    assert_false(gives_at_once(net));
    give_under(net, 250, 300);
    assert_true(gives_at_once(net));
    net_delete(net);
}

static void pace__nobody_writes__has_no_pauses(void **state)
{
    (void)state;
    struct net *net = net_with_giver();
    give_under(net, 40, 4000);
    assert_false(gives_at_once(net));
    net->now = pc_instant_add_ms(net->now, 200);
    net_wake_due(net);
    assert_true(gives_at_once(net));
    net_delete(net);
}

static void pace__pauses__peers_take_turns(void **state)
{
    (void)state;
    struct net *net = net_with_giver();
    give_under(net, 40, 4000);
    give(net, 500);
    for (uint64_t i = 1; i <= 3; i++) {
        ask_of_2(net, i, 10, 19);
    }
    struct pc_msg msg = {.type = PC_MSG_FETCH, .from = 101, .to = 102};
    msg.fetch = (struct pc_fetch){.nonce = 9, .first = 30, .last = 39};
    net_recv(net, 2, &msg);
    bool found = false;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(net->nodes[2].loads_n, 0);
        net->now = pc_instant_add_ms(net->now, 20);
        net_wake_due(net);
        assert_int_equal(net->nodes[2].loads_n, 1);
        found = found || net->nodes[2].loads[0].first == 30;
        net_load_answer(net, 2, 100);
    }
    assert_true(found);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(questions__more_than_a_peer_may_have__are_dropped),
    PC_TEST(questions__answered_late__are_of_the_connection_that_asked),
    PC_TEST(questions__answered_raw__pass_the_bytes_on),
    PC_TEST(questions__about_what_was_dropped__are_answered_at_once),
    PC_TEST(pace__own_writes_take_as_long_as_ever__has_no_pauses),
    PC_TEST(pace__own_writes_take_longer__has_pauses_until_they_do_not),
    PC_TEST(pace__nobody_writes__has_no_pauses),
    PC_TEST(pace__pauses__peers_take_turns),
};

PC_TEST_MAIN("node_entries_give", tests)
