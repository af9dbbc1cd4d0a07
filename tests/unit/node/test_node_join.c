/* A node that is to join a cluster, before it is in it: it forms nothing, and says what it waits
 * for. */
#include "unit/node/node_net.h"

/* Node `i` is started anew, with an empty disk, as one that joins. */
static void restart_as_joiner(struct net *net, size_t i)
{
    net_crash(net, i);
    net->nodes[i].opts.members_n = 0;
    net_start(net, i);
}

static void assert_waits_for(struct net *net, size_t i, const char *text)
{
    struct pc_node_status status = net_status(net, i);
    assert_false(status.ready);
    assert_false(status.formed);
    assert_string_equal(status.role, "joining");
    assert_false(net_ready_check(&status, "formed")->ok);
    assert_string_equal(net_ready_check(&status, "formed")->text, text);
}

static void refuse(struct net *net, size_t i, const char *text)
{
    struct pc_node_event event = {.type = PC_NODE_PEER_REFUSED};
    event.u.text = text;
    net_do(net, i, &event);
}

static void join__nobody_answers__forms_nothing_and_waits(void **state)
{
    (void)state;
    struct net *net = net_new(2);
    restart_as_joiner(net, 1);
    net_run(net, 5000);
    assert_waits_for(net, 1, "waiting for a node of the cluster to answer");
    struct pc_node_status status = net_status(net, 1);
    assert_int_equal(status.raft.last, 0);
    assert_int_equal(status.raft.term, 0);
    net_delete(net);
}

/* Two that join know each other, and are still no cluster. */
static void join__among_others_that_join__forms_nothing(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    for (size_t i = 1; i <= 3; i++) {
        restart_as_joiner(net, i);
    }
    for (size_t i = 1; i <= 3; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 5000);
    for (size_t i = 1; i <= 3; i++) {
        assert_waits_for(net, i, "waiting for the leader to let this node in");
    }
    net_delete(net);
}

static void join__refused__says_what_is_missing(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_peer_hello hello = {.id = 109, .generation = 1, .name = "node9"};
    struct pc_error error;
    assert_int_equal(pc_node_admit(net->nodes[1].node, &hello, &error), PC_E_AUTH);
    struct net *joiner = net_new(1);
    restart_as_joiner(joiner, 1);
    refuse(joiner, 1, error.text); /* as the cluster says it */
    assert_waits_for(joiner, 1, "not invited: pcadmin member add node1");
    refuse(joiner, 1, "two nodes are called node1");
    assert_waits_for(joiner, 1, "refused: two nodes are called node1");
    net_delete(joiner);
    net_delete(net);
}

/* Whoever has the cluster's key may be the one by whom it gets in, whatever its name. */
static void join__any_name__is_admitted(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    restart_as_joiner(net, 1);
    struct pc_peer_hello hello = {.id = 108, .generation = 1, .name = "stranger"};
    struct pc_error error;
    memset(hello.history, 7, sizeof hello.history);
    assert_ok(pc_node_admit(net->nodes[1].node, &hello, &error));
    (void)snprintf(hello.name, sizeof hello.name, "node1");
    assert_int_equal(pc_node_admit(net->nodes[1].node, &hello, &error), PC_E_AUTH);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(join__nobody_answers__forms_nothing_and_waits),
    PC_TEST(join__among_others_that_join__forms_nothing),
    PC_TEST(join__refused__says_what_is_missing),
    PC_TEST(join__any_name__is_admitted),
};

PC_TEST_MAIN("node_join", tests)
