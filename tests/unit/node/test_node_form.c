/* Formation: a cluster begins exactly once, and only when everybody named is there and empty. */
#include "unit/node/node_net.h"

static bool same_history(const struct net *net, size_t a, size_t b)
{
    struct pc_node_status one = net_status(net, a), two = net_status(net, b);
    return memcmp(one.history, two.history, sizeof one.history) == 0;
}

static void form__all_empty__lowest_name_forms_for_all(void **state)
{
    (void)state;
    for (size_t n = 2; n <= 5; n++) {
        struct net *net = net_new(n);
        for (size_t i = n; i >= 1; i--) {
            net_connect_all(net, i);
        }
        assert_true(net_status(net, 1).formed);
        assert_false(net_status(net, 2).formed);
        net_run(net, 3000);
        assert_int_not_equal(net_leader(net), 0);
        for (size_t i = 1; i <= n; i++) {
            struct pc_node_status status = net_status(net, i);
            assert_true(status.formed);
            assert_true(same_history(net, 1, i));
            assert_int_equal(status.history[0], 1); /* node1's seed */
            assert_true(net_has_note(net, i, PC_NOTE_FORMED));
            assert_false(net_has_note(net, i, PC_NOTE_MEMBERS_EDITED));
            assert_int_equal(pc_raft_config_get(pc_node_raft(net->nodes[i].node))->voters_n, n);
        }
        net_delete(net);
    }
}

static void form__member_missing__waits_and_names_it(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_connect(net, 1, 3);
    net_run(net, 20 * 1000);
    assert_int_equal(net_count(net, 0, 0, 0), 0);
    struct pc_node_status status = net_status(net, 1);
    assert_false(status.formed);
    assert_false(status.ready);
    assert_string_equal(status.role, "forming");
    assert_string_equal(net_ready_check(&status, "formed")->text, "waiting for node2");
    status = net_status(net, 3);
    assert_string_equal(net_ready_check(&status, "formed")->text, "waiting for node2");
    status = net_status(net, 2);
    assert_string_equal(net_ready_check(&status, "formed")->text, "waiting for node1, node3");
    net_connect(net, 1, 2);
    assert_true(net_status(net, 1).formed);
    net_delete(net);
}

static void form__member_gone_again__waits(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_connect(net, 1, 3);
    net_disconnect(net, 1, 3);
    net_connect(net, 1, 2);
    net_run(net, 1000);
    assert_false(net_status(net, 1).formed);
    net_connect(net, 1, 3);
    assert_true(net_status(net, 1).formed);
    net_delete(net);
}

static void form__cluster_of_one__forms_alone(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    net_run(net, 2000);
    struct pc_node_status status = net_status(net, 1);
    assert_true(status.formed && status.ready);
    assert_string_equal(status.role, "leader");
    net_delete(net);
}

/* Another history under the same members: a node with data is no newcomer. */
static void form__member_has_data__nothing_is_formed(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_peer_hello hello = {.id = 102, .generation = 9, .name = "node2"};
    hello.history[0] = 77;
    struct pc_node_event event = {.type = PC_NODE_PEER_UP};
    event.u.hello = &hello;
    net_do(net, 1, &event);
    net_connect(net, 1, 3);
    net_run(net, 5000);
    assert_false(net_status(net, 1).formed);
    net_delete(net);
}

static void form__entry_one__leaves_only_when_durable(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net->nodes[1].holds_disk = true;
    net_connect(net, 1, 2);
    net_connect(net, 1, 3);
    net_run(net, 5000);
    assert_true(net_status(net, 1).formed);
    assert_int_equal(net->msgs_n, 0);
    assert_false(net_status(net, 2).formed);
    net->nodes[1].holds_disk = false;
    (void)net_sync(net, 1);
    assert_int_equal(net_count(net, PC_MSG_FORM, 1, 2), 1);
    assert_int_equal(net_count(net, PC_MSG_FORM, 1, 3), 1);
    net_delete(net);
}

/* It crashed before entry 1 was durable: nobody has seen that history, another one may begin. */
static void form__crash_before_durable__begins_anew(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_connect(net, 1, 2);
    net_connect(net, 1, 3);
    net_connect(net, 2, 3);
    assert_true(net_status(net, 1).formed);
    net_crash(net, 1);
    net_start(net, 1);
    assert_false(net_status(net, 1).formed);
    net_connect_all(net, 1);
    net_run(net, 3000);
    assert_int_not_equal(net_leader(net), 0);
    assert_true(same_history(net, 1, 2) && same_history(net, 1, 3));
    net_delete(net);
}

static void form__crash_after_durable__goes_on_with_the_same_history(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_connect(net, 1, 2);
    net_connect(net, 1, 3);
    net_connect(net, 2, 3);
    struct pc_node_status before = net_status(net, 1);
    (void)net_sync(net, 1);
    net_crash(net, 1); /* entry 1 was sent, and lost with the connections */
    net_run(net, 3000);
    assert_false(net_status(net, 2).formed);
    net_start(net, 1);
    net_connect_all(net, 1);
    net_run(net, 3000);
    assert_int_not_equal(net_leader(net), 0);
    struct pc_node_status after = net_status(net, 3);
    assert_memory_equal(before.history, after.history, sizeof after.history);
    net_delete(net);
}

static void form__entry_one_is_lost__is_sent_until_the_member_speaks_raft(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net->cut[1][3] = net->cut[2][3] = true; /* whoever has it sends it */
    for (size_t i = 1; i <= 3; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 4000);
    assert_true(net_status(net, 2).formed);
    assert_int_not_equal(net_leader(net), 0);
    assert_false(net_status(net, 3).formed);
    net->cut[1][3] = net->cut[2][3] = false;
    net_run(net, 1000);
    assert_true(net_status(net, 3).formed);
    net_run(net, 1000);
    size_t sent = net->sent[PC_MSG_FORM];
    net_run(net, 5000);
    assert_int_equal(net->sent[PC_MSG_FORM], sent); /* to nobody, by nobody */
    net_delete(net);
}

/* What it says counts for nothing: it is admitted again and gets entry 1 all the same. */
static void form__empty_member_speaks_raft__gets_entry_one(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net->cut[1][3] = net->cut[2][3] = true;
    for (size_t i = 1; i <= 3; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 4000);
    size_t leader = net_leader(net);
    assert_int_not_equal(leader, 0);
    struct pc_msg msg = {.type = PC_MSG_RAFT,
        .from = net->nodes[3].opts.id,
        .to = net->nodes[leader].opts.id,
        .raft = {.type = PC_RAFT_MSG_VOTE_RESP}};
    msg.raft.from = msg.from;
    msg.raft.to = msg.to;
    net_recv(net, leader, &msg);
    net_disconnect(net, leader, 3);
    net_connect(net, leader, 3);
    net_recv(net, leader, &msg);
    net->cut[1][3] = net->cut[2][3] = false;
    net_run(net, 1000);
    assert_true(net_status(net, 3).formed);
    net_run(net, 1000);
    size_t sent = net->sent[PC_MSG_FORM];
    net_run(net, 5000);
    assert_int_equal(net->sent[PC_MSG_FORM], sent);
    net_delete(net);
}

/* A FORM message as node1 sends it to node2. */
static struct pc_msg form_of(struct net *net)
{
    net_connect(net, 1, 2);
    net_connect(net, 1, 3);
    (void)net_sync(net, 1);
    return net_hold(net, PC_MSG_FORM, 1, 2);
}

static void form_recv__made_up_or_damaged__is_ignored(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++) {
        struct net *net = net_new(3);
        struct pc_msg msg = form_of(net);
        static const struct pc_hash start = {{0}};
        if (i == 0) {
            msg.form.chain.b[3] ^= 1;
        } else if (i == 1) {
            msg.form.index = 2;
        } else if (i == 2) {
            msg.form.term = 5;
        } else if (i == 3) {
            msg.form.kind = PC_ENTRY_COMMAND;
        } else if (i == 4) {
            pc_blob_unref(msg.form.body);
            assert_ok(pc_blob_new(pc_slice_str("no members"), &msg.form.body));
        }
        msg.form.chain = i == 0 ? msg.form.chain : pc_entry_chain(&start, &msg.form);
        size_t to = 2;
        if (i == 5) { /* it names node4 by nobody's id */
            net_crash(net, 3);
            net->nodes[3].opts.id = 105;
            net_start(net, 3);
            to = 3;
        }
        net_recv(net, to, &msg);
        assert_false(net_status(net, to).formed);
        assert_int_equal(net->nodes[to].queue_n, 0);
        pc_msg_clear(&msg);
        net_delete(net);
    }
}

static void form_recv__node_has_data__keeps_its_own(void **state)
{
    (void)state;
    struct net *other = net_new(3);
    other->nodes[1].opts.history_seed[0] = 99;
    net_crash(other, 1);
    net_start(other, 1);
    struct pc_msg foreign = form_of(other);
    struct net *net = net_new_formed(3);
    struct pc_node_status before = net_status(net, 2);
    net_recv(net, 2, &foreign);
    net_settle(net);
    struct pc_node_status after = net_status(net, 2);
    assert_memory_equal(before.history, after.history, sizeof after.history);
    assert_int_equal(after.raft.last, before.raft.last);
    pc_msg_clear(&foreign);
    net_delete(other);
    net_delete(net);
}

/* A data directory that was copied before it had data: one id under two names. */
static void form__one_id_under_two_names__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new(2);
    struct pc_peer_hello hello = {.id = 101, .generation = 9, .name = "node2"};
    struct pc_error error = {0};
    assert_int_equal(pc_node_admit(net->nodes[1].node, &hello, &error), PC_E_AUTH);
    assert_non_null(strstr(error.text, "0000000000000065"));
    struct pc_node_event event = {.type = PC_NODE_PEER_UP};
    event.u.hello = &hello;
    net_do(net, 1, &event); /* not even when the bus let it through */
    assert_false(net_status(net, 1).formed);
    net_delete(net);
}

static void form__configured_members_differ_later__is_noted(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 2);
    (void)snprintf(net->nodes[2].opts.members[2], 64, "node9");
    net_start(net, 2);
    net_connect_all(net, 2);
    net_run(net, 1000);
    assert_true(net_has_note(net, 2, PC_NOTE_MEMBERS_EDITED));
    assert_int_equal(net_status(net, 2).raft.leader, 101); /* a warning, no more */
    net_delete(net);
}

static void restore__wrong_identity__is_refused_with_both_ids(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    const struct net_node *node = &net->nodes[2];
    struct pc_term_run run = {.first = 1, .term = 1};
    struct pc_node_restored restored = {
        .raft = {.term = 1, .last = 1, .terms = &run, .terms_n = 1, .tail = &node->disk.v[0]},
        .config_entry = &node->disk.v[0],
    };
    restored.raft.tail_n = 1;
    for (size_t i = 0; i < 3; i++) {
        struct pc_node_opts opts = node->opts;
        if (i == 0) {
            opts.id = 0xabc; /* another id under the name */
        } else if (i == 1) {
            (void)snprintf(opts.name, sizeof opts.name, "node9"); /* another name for the id */
        } else {
            opts.id = 0xabc; /* somebody else altogether */
            (void)snprintf(opts.name, sizeof opts.name, "node9");
        }
        struct pc_node *made = NULL;
        struct pc_error error = {0};
        assert_int_equal(pc_node_new(&opts, &restored, net->now, &made, &error), PC_E_AUTH);
        assert_null(made);
        assert_non_null(strstr(error.text, i == 1 ? "node9" : "0000000000000abc"));
        assert_true(i == 2 || strstr(error.text, "0000000000000066") != NULL);
    }
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(form__all_empty__lowest_name_forms_for_all),
    PC_TEST(form__member_missing__waits_and_names_it),
    PC_TEST(form__member_gone_again__waits),
    PC_TEST(form__cluster_of_one__forms_alone),
    PC_TEST(form__member_has_data__nothing_is_formed),
    PC_TEST(form__entry_one__leaves_only_when_durable),
    PC_TEST(form__crash_before_durable__begins_anew),
    PC_TEST(form__crash_after_durable__goes_on_with_the_same_history),
    PC_TEST(form__entry_one_is_lost__is_sent_until_the_member_speaks_raft),
    PC_TEST(form__empty_member_speaks_raft__gets_entry_one),
    PC_TEST(form_recv__made_up_or_damaged__is_ignored),
    PC_TEST(form_recv__node_has_data__keeps_its_own),
    PC_TEST(form__one_id_under_two_names__is_refused),
    PC_TEST(form__configured_members_differ_later__is_noted),
    PC_TEST(restore__wrong_identity__is_refused_with_both_ids),
};

PC_TEST_MAIN("node_form", tests)
