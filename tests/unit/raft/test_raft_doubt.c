/* A node whose log has lost its end: entries that it had acknowledged may be missing. Until its log
 * holds an entry of a later term it takes no part in elections. */
#include "unit/raft/raft_net.h"

/* Node 3 may lack what it acknowledged in term 1. Nobody is started. */
static struct net *doubting_net(void)
{
    struct net *net = pc_xalloc(sizeof *net);
    net_create_empty(net, 3);
    net->nodes[3].doubt = 1;
    net->nodes[3].term = 2;
    return net;
}

static void doubt__asked_for_its_vote__says_nothing(void **state)
{
    (void)state;
    struct net *net = doubting_net();
    net_start(net, 1);
    net_start(net, 3);
    for (unsigned i = 0; i < 3; i++) {
        net_time_out(net, 1);
        assert_true(net_count(net, PC_RAFT_MSG_VOTE, 1, 3) > 0);
        net_settle(net);
        assert_int_equal(net_status(net, 1).role, PC_RAFT_PRECANDIDATE);
    }
    struct pc_raft_msg vote = net_msg(PC_RAFT_MSG_VOTE, 1, 3, 9);
    vote.u.vote.last_index = 100;
    vote.u.vote.last_term = 8;
    net_recv(net, &vote);
    net_settle(net);
    assert_int_equal(net_status(net, 3).vote, 0);
    net_delete(net);
}

static void doubt__hears_nobody__does_not_stand(void **state)
{
    (void)state;
    struct net *net = doubting_net();
    net_start(net, 2);
    net_start(net, 3);
    for (unsigned i = 0; i < 3; i++) {
        net_time_out(net, 3);
        assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE, 3, 0), 0);
        assert_int_equal(net_status(net, 3).role, PC_RAFT_FOLLOWER);
    }
    net_delete(net);
}

static void doubt__entry_of_a_later_term_is_durable__ends_it(void **state)
{
    (void)state;
    struct net *net = doubting_net();
    for (pc_node_id id = 1; id <= 3; id++) {
        net_start(net, id);
    }
    net->nodes[3].holds_disk = true;
    net_elect(net, 1);
    assert_int_equal(net_status(net, 3).doubt, 1); /* the entry came, and is not on the disk yet */
    net->nodes[3].holds_disk = false;
    net_settle(net);
    assert_int_equal(net_status(net, 3).doubt, 0);
    net->nodes[3].doubt = 0;
    net_run(net, 200);
    net_crash(net, 1);
    net_elect(net, 3);
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(doubt__asked_for_its_vote__says_nothing),
    PC_TEST(doubt__hears_nobody__does_not_stand),
    PC_TEST(doubt__entry_of_a_later_term_is_durable__ends_it),
};

PC_TEST_MAIN("raft_doubt", tests)
