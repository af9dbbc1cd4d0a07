/* Reads: local ones from memory, linearizable ones after a fresh read index was confirmed and
 * applied here. */
#include "unit/node/node_net.h"

static void get(struct net *net, size_t i, uint64_t tag)
{
    net_get(net, i, tag, "key", PC_CONSISTENCY_LINEARIZABLE);
}

static size_t count_raft(const struct net *net, enum pc_raft_msg_type type, size_t from, size_t to)
{
    size_t count = 0;
    for (size_t k = 0; k < net->msgs_n; k++) {
        count += net_is_of(&net->msgs[k], PC_MSG_RAFT, from, to) && net->msgs[k].raft.type == type;
    }
    return count;
}

/* Takes the first raft message of this type off the network; the caller owns it. */
static struct pc_msg hold_raft(struct net *net, enum pc_raft_msg_type type, size_t from, size_t to)
{
    for (size_t k = 0; k < net->msgs_n; k++) {
        if (net_is_of(&net->msgs[k], PC_MSG_RAFT, from, to) && net->msgs[k].raft.type == type) {
            return net_take(net, k);
        }
    }
    fail();
    return (struct pc_msg){0};
}

static void read__on_any_node__sees_every_answered_write(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t writer = 1; writer <= 3; writer++) {
        char value[8];
        (void)snprintf(value, sizeof value, "v%zu", writer);
        net_set(net, writer, writer, "key", value);
        for (size_t steps = 0; net_reply(net, writer, writer) == NULL; steps++) {
            assert_true(steps < 1000); /* not a step further than the answer */
            for (size_t i = 1; i <= 3; i++) {
                (void)net_sync(net, i);
            }
            if (net->msgs_n > 0) {
                struct pc_msg msg = net_take(net, 0);
                net_recv(net, net_at(msg.to), &msg);
                pc_msg_clear(&msg);
            }
        }
        for (size_t i = 1; i <= 3; i++) {
            get(net, i, 10 * writer + i);
        }
        net_run(net, 100);
        for (size_t i = 1; i <= 3; i++) {
            net_assert_reply(net, i, 10 * writer + i, PC_REPLY_OK);
            assert_string_equal(net_reply(net, i, 10 * writer + i)->value, value);
        }
    }
    net_delete(net);
}

static void read__at_a_follower_that_is_behind__waits_until_applied(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net->cut[1][3] = true;
    net_set(net, 1, 1, "key", "new");
    net_settle(net);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    struct pc_msg answer = {.type = PC_MSG_RAFT, .from = 101, .to = 103};
    get(net, 3, 2);
    struct pc_msg asked = hold_raft(net, PC_RAFT_MSG_READ, 3, 1);
    answer.raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_READ_RESP, .from = 101, .to = 103, .term = asked.raft.term};
    answer.raft.u.read.ctx = asked.raft.u.read.ctx;
    answer.raft.u.read.index = net_status(net, 1).applied;
    net_recv(net, 3, &answer); /* confirmed, yet this node has not applied it */
    assert_null(net_reply(net, 3, 2));
    net->cut[1][3] = false;
    net_run(net, 200);
    net_assert_reply(net, 3, 2, PC_REPLY_OK);
    assert_string_equal(net_reply(net, 3, 2)->value, "new");
    assert_true(net_reply(net, 3, 2)->reply.index >= answer.raft.u.read.index);
    net_delete(net);
}

static void read__several_in_a_turn__share_one_question(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_node_effects fx = {0};
    struct pc_request request = {.type = PC_REQUEST_GET, .key = pc_slice_str("key")};
    struct pc_node_event event = {.type = PC_NODE_CLIENT, .now = net->now};
    event.u.request = &request;
    for (request.tag = 1; request.tag <= 50; request.tag++) {
        pc_node_step(net->nodes[2].node, &event, &fx);
    }
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = net->now};
    pc_node_step(net->nodes[2].node, &turn, &fx);
    assert_int_equal(fx.msgs_n, 1);
    net_take_effects(net, 2, &fx);
    pc_node_effects_destroy(&fx);
    net_settle(net);
    for (uint64_t tag = 1; tag <= 50; tag++) {
        net_assert_reply(net, 2, tag, PC_REPLY_NOT_FOUND);
    }
    net_delete(net);
}

static void read__refused__is_asked_again_with_a_fresh_number(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    get(net, 2, 1);
    struct pc_msg asked = hold_raft(net, PC_RAFT_MSG_READ, 2, 1);
    struct pc_msg refusal = asked;
    refusal.from = refusal.raft.from = 101;
    refusal.to = refusal.raft.to = 102;
    refusal.raft.type = PC_RAFT_MSG_READ_RESP;
    refusal.raft.u.read.index = 0;
    net_recv(net, 2, &refusal);
    assert_int_equal(count_raft(net, PC_RAFT_MSG_READ, 2, 1), 0); /* not at once */
    struct pc_instant start = net->now;
    while (count_raft(net, PC_RAFT_MSG_READ, 2, 1) == 0) {
        struct pc_instant at = pc_node_wake_at(net->nodes[2].node);
        assert_true(pc_instant_ms_between(start, at) <= 30);
        net->now.us = at.us > net->now.us ? at.us : net->now.us;
        net_wake_due(net);
    }
    struct pc_msg again = hold_raft(net, PC_RAFT_MSG_READ, 2, 1);
    assert_true(again.raft.u.read.ctx != asked.raft.u.read.ctx);
    net_recv(net, 1, &again);
    net_run(net, 100);
    net_assert_reply(net, 2, 1, PC_REPLY_NOT_FOUND);
    net_delete(net);
}

/*  1  a read asks under number a; nothing comes; after 250 ms it asks again, under number b
 *  2  the answer to a arrives late, with an index that writes have passed since
 *  3  only the answer to b counts                                                            */
static void read__no_answer__is_asked_again_and_the_late_answer_is_dropped(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    get(net, 2, 1);
    struct pc_msg first = hold_raft(net, PC_RAFT_MSG_READ, 2, 1);
    net_run(net, 249);
    assert_null(net_reply(net, 2, 1));
    net->cut[2][1] = true;
    net_run(net, 1);
    net->cut[2][1] = false;
    struct pc_msg late = first;
    late.from = late.raft.from = 101;
    late.to = late.raft.to = 102;
    late.raft.type = PC_RAFT_MSG_READ_RESP;
    late.raft.u.read.index = 1;
    net_recv(net, 2, &late);
    assert_null(net_reply(net, 2, 1));
    net_run(net, 260);
    net_assert_reply(net, 2, 1, PC_REPLY_NOT_FOUND);
    assert_true(net_reply(net, 2, 1)->reply.index > 1);
    net_delete(net);
}

/*  1  node 2 asks for a read index and restarts before the answer comes
 *  2  its next life asks too; the leader's answer to the first one arrives on the new connection */
static void read__answer_to_an_earlier_life__matches_nothing(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    get(net, 2, 1);
    struct pc_msg first = hold_raft(net, PC_RAFT_MSG_READ, 2, 1);
    net_crash(net, 2);
    net_start(net, 2);
    net_connect_all(net, 2);
    net_run(net, 200);
    get(net, 2, 2);
    struct pc_msg second = hold_raft(net, PC_RAFT_MSG_READ, 2, 1);
    assert_true(first.raft.u.read.ctx != second.raft.u.read.ctx);
    struct pc_msg late = first;
    late.from = late.raft.from = 101;
    late.to = late.raft.to = 102;
    late.raft.term = net_status(net, 2).raft.term;
    late.raft.type = PC_RAFT_MSG_READ_RESP;
    late.raft.u.read.index = 1;
    net_recv(net, 2, &late);
    assert_null(net_reply(net, 2, 2));
    net_recv(net, 1, &second);
    net_run(net, 100);
    net_assert_reply(net, 2, 2, PC_REPLY_NOT_FOUND);
    net_delete(net);
}

static void read__no_quorum__ends_in_time_and_local_ones_go_on(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "value");
    net_run(net, 100);
    net_crash(net, 2);
    net_crash(net, 3);
    get(net, 1, 2);
    net_run(net, 1999);
    assert_null(net_reply(net, 1, 2));
    net_run(net, 1);
    net_assert_reply(net, 1, 2, PC_REPLY_NO_LEADER);
    net_get(net, 1, 3, "key", PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, 1, 3, PC_REPLY_OK);
    assert_string_equal(net_reply(net, 1, 3)->value, "value");
    assert_int_equal(net_reply(net, 1, 3)->reply.index, net_status(net, 1).applied);
    net_delete(net);
}

/* There is a leader, it only never confirms: another answer than "no leader". */
static void read__leader_never_confirms__times_out(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net->cut[3][1] = true;
    get(net, 3, 1);
    net_run(net, 2000);
    net_assert_reply(net, 3, 1, PC_REPLY_TIMEOUT);
    net_delete(net);
}

static void read__leader_changes__is_answered_by_the_next(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "value");
    net_run(net, 100);
    get(net, 2, 2);
    net_crash(net, 1);
    get(net, 3, 3);
    net_run(net, 1900);
    net_assert_reply(net, 2, 2, PC_REPLY_OK);
    net_assert_reply(net, 3, 3, PC_REPLY_OK);
    net_delete(net);
}

static void read__item_with_all_there_is__comes_back_whole(void **state)
{
    (void)state;
    struct net *net = net_new_formed(1);
    struct pc_request request = {.tag = 1, .type = PC_REQUEST_WRITE};
    request.command = (struct pc_command){
        .op = PC_OP_SET,
        .key = pc_slice_str("key"),
        .value = pc_slice_str("value"),
        .content_type = pc_slice_str("text/plain"),
        .has_ttl = true,
        .ttl_ms = 60 * 1000,
    };
    net_request(net, 1, &request);
    net_settle(net);
    const struct pc_reply *written = &net_reply(net, 1, 1)->reply;
    assert_int_equal(written->outcome.deadline_ms - written->stamp_ms, 60 * 1000);
    get(net, 1, 2);
    net_settle(net);
    const struct net_reply *read = net_reply(net, 1, 2);
    assert_int_equal(read->reply.status, PC_REPLY_OK);
    assert_string_equal(read->value, "value");
    assert_string_equal(read->reply.content_type, "text/plain");
    assert_true(read->reply.expires);
    assert_in_range(read->reply.ttl_ms, 59 * 1000, 60 * 1000);
    assert_int_equal(read->reply.version, written->index);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(read__on_any_node__sees_every_answered_write),
    PC_TEST(read__at_a_follower_that_is_behind__waits_until_applied),
    PC_TEST(read__several_in_a_turn__share_one_question),
    PC_TEST(read__refused__is_asked_again_with_a_fresh_number),
    PC_TEST(read__no_answer__is_asked_again_and_the_late_answer_is_dropped),
    PC_TEST(read__answer_to_an_earlier_life__matches_nothing),
    PC_TEST(read__no_quorum__ends_in_time_and_local_ones_go_on),
    PC_TEST(read__leader_never_confirms__times_out),
    PC_TEST(read__leader_changes__is_answered_by_the_next),
    PC_TEST(read__item_with_all_there_is__comes_back_whole),
};

PC_TEST_MAIN("node_read", tests)
