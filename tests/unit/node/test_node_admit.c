/* Who may talk to a node: its name, its id and its history must fit. */
#include "unit/node/node_net.h"

#define NONE 0
#define OURS 1
#define FOREIGN 2

struct admit_case {
    const char *name;
    pc_node_id id;
    int history;
    const char *text; /* NULL = admitted; else part of the error */
};

static void admit_assert(struct net *net, const struct admit_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct pc_peer_hello hello = {.id = cases[i].id, .generation = 1};
        (void)snprintf(hello.name, sizeof hello.name, "%s", cases[i].name);
        if (cases[i].history == OURS) {
            struct pc_node_status status = net_status(net, 1);
            memcpy(hello.history, status.history, sizeof hello.history);
        } else if (cases[i].history == FOREIGN) {
            memset(hello.history, 0xab, sizeof hello.history);
        }
        struct pc_error error = {0};
        pc_err err = pc_node_admit(net->nodes[1].node, &hello, &error);
        assert_int_equal(err, cases[i].text == NULL ? PC_OK : PC_E_AUTH);
        if (cases[i].text != NULL && strstr(error.text, cases[i].text) == NULL) {
            fail_msg("case %zu: \"%s\" is not in \"%s\"", i, cases[i].text, error.text);
        }
    }
}

static void admit__node_with_data__knows_its_members(void **state)
{
    (void)state;
    static const struct admit_case cases[] = {
        {"node2", 102, OURS, NULL},
        {"node2", 102, NONE, "comes without one"},
        {"node2", 102, FOREIGN, "abababababababababababababababab"},
        {"node2", 199, NONE, "0000000000000066"}, /* a new disk under an old name: both ids */
        {"node2", 199, NONE, "00000000000000c7"},
        {"node2", 199, OURS, "restore the data directory"},
        {"node2", 103, OURS, "0000000000000067"}, /* a copied data directory */
        {"node9", 102, OURS, "not a member"},
        {"node9", 109, NONE, "not a member"},
        {"node1", 102, OURS, "two nodes are called node1"},
        {"node1", 101, OURS, "two nodes are called node1"},
    };
    struct net *net = net_new_formed(3);
    admit_assert(net, cases, sizeof cases / sizeof cases[0]);
    net_delete(net);
}

static void admit__member_that_never_had_entry_one__may_come_for_it(void **state)
{
    (void)state;
    static const struct admit_case cases[] = {{"node2", 102, NONE, NULL}};
    struct net *net = net_new(3);
    net_connect(net, 1, 2);
    net_connect(net, 1, 3);
    (void)net_sync(net, 1);
    net_disconnect(net, 1, 2);
    admit_assert(net, cases, 1);
    net_delete(net);
}

/*  1  node 2 takes entry 1 over; its connection to node 1 ends and comes back meanwhile
 *  2  node 2 crashes before entry 1 is durable, and is empty again
 *  3  it has promised nothing: node 1 must not hold that log against it              */
static void admit__member_whose_entry_one_was_not_durable__may_come_for_it(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_connect(net, 1, 2);
    net_connect(net, 1, 3);
    (void)net_sync(net, 1);
    net->nodes[2].holds_disk = true;
    net_settle(net);
    assert_true(net_status(net, 2).formed);
    net_disconnect(net, 1, 2);
    net_connect(net, 1, 2);
    net_crash(net, 2);
    net->nodes[2].holds_disk = false;
    net_start(net, 2);
    net_connect_all(net, 2); /* asserts that it is admitted */
    net_run(net, 1000);
    assert_true(net_status(net, 2).formed);
    net_delete(net);
}

static void admit__node_without_data__goes_by_the_configured_names(void **state)
{
    (void)state;
    static const struct admit_case cases[] = {
        {"node2", 102, NONE, NULL}, {"node2", 199, NONE, NULL}, /* no id is known yet */
        {"node2", 102, FOREIGN, NULL}, /* it may be the cluster that this node joins */
        {"node9", 109, NONE, "not among the [cluster] members"},
        {"node1", 109, NONE, "two nodes are called node1"},
        {"node2", 101, NONE, "0000000000000065"}, /* this node's own id */
    };
    struct net *net = net_new(3);
    admit_assert(net, cases, sizeof cases / sizeof cases[0]);
    net_delete(net);
}

static void refused__by_a_peer__shows_until_somebody_admits(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_node_event event = {.type = PC_NODE_PEER_REFUSED};
    event.u.text = "node1 is known here by id 7";
    net_do(net, 1, &event);
    assert_true(net_has_note(net, 1, PC_NOTE_REFUSED));
    struct pc_node_status status = net_status(net, 1);
    assert_false(net_ready_check(&status, "formed")->ok);
    assert_string_equal(
        net_ready_check(&status, "formed")->text, "refused: node1 is known here by id 7");
    net_connect(net, 1, 2);
    status = net_status(net, 1);
    assert_string_equal(net_ready_check(&status, "formed")->text, "waiting for node3");
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(admit__node_with_data__knows_its_members),
    PC_TEST(admit__member_that_never_had_entry_one__may_come_for_it),
    PC_TEST(admit__member_whose_entry_one_was_not_durable__may_come_for_it),
    PC_TEST(admit__node_without_data__goes_by_the_configured_names),
    PC_TEST(refused__by_a_peer__shows_until_somebody_admits),
};

PC_TEST_MAIN("node_admit", tests)
