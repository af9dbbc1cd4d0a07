/* Starts from logs that are damaged or that say what this program cannot read: refused with the
 * entry named, or taken in the same way by every node. */
#include "unit/node/node_net.h"

/* Tries to start a stopped node from what stands on its disk, changed by the test. */
static pc_err try_start(struct net *net, size_t i, const struct pc_node_restored *restored,
    struct pc_node **out, struct pc_error *error)
{
    struct net_node *node = &net->nodes[i];
    node->opts.generation++;
    return pc_node_new(&node->opts, restored, net->now, out, error);
}

static void config_entry__that_does_not_decode__refuses_the_start(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 3);
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[3], runs);
    struct pc_entry damaged;
    pc_entry_copy(&damaged, restored.config_entry);
    struct pc_slice body = pc_blob_slice(damaged.body);
    struct pc_blob *shorter = NULL;
    assert_ok(pc_blob_new(pc_slice_of(body.data, body.len - 1), &shorter));
    pc_blob_unref(damaged.body);
    damaged.body = shorter;
    restored.config_entry = &damaged;
    struct pc_node *node = NULL;
    struct pc_error error = {0};
    assert_int_equal(try_start(net, 3, &restored, &node, &error), PC_E_CORRUPT);
    assert_null(node);
    assert_non_null(strstr(error.text, "entry 1"));
    pc_entry_clear(&damaged);
    net_delete(net);
}

static void gap__of_a_node_that_is_alone__refuses_the_start(void **state)
{
    (void)state;
    struct net *net = net_new_formed(1);
    net_set(net, 1, 7, "key", "value");
    net_run(net, 100);
    net_crash(net, 1);
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[1], runs);
    struct pc_node_gap gap = {.floor = 1, .first = 2, .last = 3};
    restored.gaps = &gap;
    restored.gaps_n = 1;
    struct pc_node *node = NULL;
    struct pc_error error = {0};
    net->nodes[1].opts.accept_data_loss = true; /* it covers a doubt, not a gap */
    assert_int_equal(try_start(net, 1, &restored, &node, &error), PC_E_CORRUPT);
    assert_null(node);
    assert_non_null(strstr(error.text, "2..3"));
    net_delete(net);
}

/* A doubt keeps a node that is alone from voting for itself, until its user says that what is lost
 * is lost. */
static void doubt__of_a_node_that_is_alone__ends_by_its_users_word_only(void **state)
{
    (void)state;
    for (int accepts = 0; accepts < 2; accepts++) {
        struct net *net = net_new_formed(1);
        net_set(net, 1, 7, "key", "value");
        net_run(net, 100);
        net_crash(net, 1);
        struct pc_term_run runs[64];
        struct pc_node_restored restored = net_restored(&net->nodes[1], runs);
        restored.raft.doubt = restored.raft.term;
        restored.raft.term++;
        restored.raft.vote = 0;
        net->nodes[1].term = restored.raft.term;
        net->nodes[1].opts.accept_data_loss = accepts != 0;
        net_start_with(net, 1, &restored);
        net_run(net, 5000);
        assert_int_equal(net_leader(net), accepts);
        net_set(net, 1, 8, "key", "after");
        net_run(net, 5000);
        net_assert_reply(net, 1, 8, accepts != 0 ? PC_REPLY_OK : PC_REPLY_NO_LEADER);
        net_delete(net);
    }
}

/* An entry that stands in all logs and that nobody can read, as one of a later program would: it
 * changes nothing, on every node, and what follows is applied. */
static void command__that_does_not_decode__is_passed_over_everywhere(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 7, "key", "before");
    net_run(net, 200);
    for (size_t i = 1; i <= 3; i++) {
        net_crash(net, i);
    }
    pc_index index = net->nodes[1].disk.n + 1;
    struct pc_blob *body = NULL;
    assert_ok(pc_blob_new(pc_slice_str("no command"), &body));
    for (size_t i = 1; i <= 3; i++) {
        struct net_node *node = &net->nodes[i];
        assert_int_equal(node->disk.n + 1, index);
        const struct pc_entry *last = &node->disk.v[index - 2];
        struct pc_entry entry = {.index = index,
            .term = last->term,
            .stamp_ms = last->stamp_ms,
            .req = {.node = 101, .boot = 99, .seq = 1},
            .kind = PC_ENTRY_COMMAND,
            .body = body};
        entry.chain = pc_entry_chain(&last->chain, &entry);
        pc_entries_push(&node->disk, &entry);
    }
    pc_blob_unref(body);
    for (size_t i = 1; i <= 3; i++) {
        net_start(net, i);
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    size_t leader = net_leader(net);
    assert_true(leader != 0);
    net_get(net, leader, 20, "key", PC_CONSISTENCY_LOCAL);
    assert_string_equal(net_reply(net, leader, 20)->value, "before");
    net_set(net, leader, 21, "key", "after");
    net_run(net, 200);
    net_assert_reply(net, leader, 21, PC_REPLY_OK);
    for (size_t i = 1; i <= 3; i++) {
        struct pc_node_status status = net_status(net, i);
        assert_true(status.applied > index); /* at equal indices the digests are equal: net_check */
        net_get(net, i, 30, "key", PC_CONSISTENCY_LOCAL);
        assert_string_equal(net_reply(net, i, 30)->value, "after");
    }
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(config_entry__that_does_not_decode__refuses_the_start),
    PC_TEST(gap__of_a_node_that_is_alone__refuses_the_start),
    PC_TEST(doubt__of_a_node_that_is_alone__ends_by_its_users_word_only),
    PC_TEST(command__that_does_not_decode__is_passed_over_everywhere),
};
PC_TEST_MAIN("node_damaged", tests)
