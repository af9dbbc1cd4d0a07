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

static const struct CMUnitTest tests[] = {
    PC_TEST(questions__more_than_a_peer_may_have__are_dropped),
    PC_TEST(questions__answered_late__are_of_the_connection_that_asked),
    PC_TEST(questions__answered_raw__pass_the_bytes_on),
    PC_TEST(questions__about_what_was_dropped__are_answered_at_once),
};

PC_TEST_MAIN("node_entries_give", tests)
