/* What a node without a quorum says of itself, and of the age of what it has. */
#include "unit/node/node_net.h"

#include "node/node_int.h"

static struct pc_node_quorum quorum_of(const struct net *net, size_t i)
{
    struct pc_node_quorum quorum;
    pc_node_quorum(net->nodes[i].node, net->now, &quorum);
    return quorum;
}

static const char *text_of(const struct net *net, size_t i)
{
    static char text[192];
    pc_node_quorum_text(net->nodes[i].node, text, sizeof text);
    return text;
}

static const struct pc_ready_check *check_of(const struct net *net, size_t i)
{
    static struct pc_node_status status;
    pc_node_status(net->nodes[i].node, net->now, &status);
    return net_ready_check(&status, "quorum");
}

static void quorum__all_are_up__nothing_is_said_and_all_are_fresh(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    assert_false(quorum_of(net, 1).lost); /* no cluster yet: nothing to have a quorum of */
    assert_false(quorum_of(net, 1).has_age);
    net_delete(net);
    net = net_new_formed(3);
    net_run(net, 300);
    for (size_t i = 1; i <= 3; i++) {
        assert_false(quorum_of(net, i).lost);
        assert_string_equal(text_of(net, i), "");
        assert_true(quorum_of(net, i).has_age && quorum_of(net, i).age_ms <= 100);
        assert_true(check_of(net, i)->ok);
    }
    net_delete(net);
}

static void quorum__one_of_three_is_left__is_lost_by_name_and_ages(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "v");
    net_run(net, 300);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    net_crash(net, 1);
    net_crash(net, 3);
    net_run(net, 2000);
    assert_true(quorum_of(net, 2).lost);
    assert_string_equal(text_of(net, 2), "1 of 3 voters answers; missing: node1, node3");
    assert_true(check_of(net, 2)->ok); /* in the time of grace, yet it says so */
    pc_ms before = quorum_of(net, 2).age_ms;
    assert_in_range(before, 1900, 2200);
    net_run(net, 5000);
    assert_in_range(quorum_of(net, 2).age_ms, before + 5000, before + 5000);
    const struct pc_ready_check *check = check_of(net, 2);
    assert_false(check->ok);
    assert_string_equal(check->text, "1 of 3 voters answers; missing: node1, node3");
    net_delete(net);
}

/* A node that has just started alone has only the clocks to go by. */
static void quorum__never_heard_a_leader__tells_the_age_of_its_newest_entry(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "v");
    net_set(net, 1, 2, "key", "w"); /* brings the word that the first one is committed */
    net_run(net, 300);
    for (size_t i = 1; i <= 3; i++) {
        net_crash(net, i);
    }
    net->nodes[2].wall_ms += 60 * 1000;
    net_start(net, 2);
    net_run(net, 1000);
    struct pc_node_quorum quorum = quorum_of(net, 2);
    assert_true(quorum.lost && quorum.has_age);
    assert_in_range(quorum.age_ms, 50 * 1000, 62 * 1000);
    net_run(net, 500);
    assert_int_equal(quorum_of(net, 2).age_ms, quorum.age_ms + 500);
    net_delete(net);
}

/* A follower that hears its leader, but has not applied what that has committed, is not fresh. */
static void quorum__behind_its_leader__is_as_old_as_what_it_has(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_run(net, 300);
    net->cut[1][3] = true; /* it learns nothing ... */
    net_set(net, 1, 1, "key", "v");
    net_run(net, 150);
    pc_ms age = quorum_of(net, 3).age_ms;
    assert_in_range(age, 100, 250);
    assert_false(quorum_of(net, 3).lost);
    net->cut[1][3] = false; /* ... and catches up */
    net_run(net, 300);
    assert_true(quorum_of(net, 3).age_ms <= 100);
    net_delete(net);
}

/* It leads until it notices; meanwhile another one may have been elected. */
static void quorum__leader_hears_nobody__ages_before_it_steps_down(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_run(net, 300);
    net->cut[2][1] = net->cut[3][1] = true;
    pc_ms waited = 0, age = 0;
    for (; waited < 400 && net_status(net, 1).raft.role == PC_RAFT_LEADER; waited += 50) {
        age = quorum_of(net, 1).age_ms;
        assert_true(age + 100 >= waited);
        net_run(net, 50);
    }
    assert_true(waited >= 200 && age >= 100);
    net->cut[2][1] = false; /* one of them is a quorum, with it */
    net_run(net, 3000);
    assert_true(quorum_of(net, 1).age_ms <= 100);
    net_delete(net);
}

/* What a leader tells to be committed counts before it is there. */
static void quorum__starts_behind__is_fresh_only_when_it_has_caught_up(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "a");
    net_run(net, 300); /* all have applied it, and know that */
    net_crash(net, 3);
    for (uint64_t tag = 2; tag < 8; tag++) {
        net_set(net, 1, tag, "key", "b");
        net_settle(net);
    }
    pc_index commit = net_status(net, 1).raft.commit;
    const struct net_node *behind = &net->nodes[3];
    net_start(net, 3);
    net_connect_all(net, 3);
    bool was_behind = false;
    for (size_t steps = 0; steps < 5000 && !behind->node->was_fresh; steps++) {
        for (size_t i = 1; i <= 3; i++) {
            (void)net_sync(net, i);
            if (net->nodes[i].loads_n > 0) {
                net_load_answer(net, i, 100);
            }
        }
        if (net->msgs_n > 0) {
            struct pc_msg msg = net_take(net, 0);
            net_recv(net, net_at(msg.to), &msg);
            pc_msg_clear(&msg);
        } else {
            net_run(net, 1);
        }
        was_behind = was_behind || (behind->node->applied > 0 && behind->node->applied < commit);
    }
    assert_true(was_behind && behind->node->was_fresh);
    assert_true(behind->node->applied >= commit);
    net_delete(net);
}

/* The next message, what the disks have done, or a millisecond. */
static void one_step(struct net *net)
{
    bool any = false;
    for (size_t k = 1; k <= net->n; k++) {
        any = (net->nodes[k].node != NULL && net_sync(net, k)) || any;
    }
    if (net->msgs_n > 0) {
        struct pc_msg msg = net_take(net, 0);
        net_recv(net, net_at(msg.to), &msg);
        pc_msg_clear(&msg);
    } else if (!any) {
        net->now.us += 1000;
        net_wake_due(net);
    }
}

static void until_leads(struct net *net, size_t i)
{
    while (net_status(net, i).raft.role != PC_RAFT_LEADER) {
        one_step(net);
    }
}

/* What its leader knows to be committed may be less than what was acknowledged before it led. */
static void quorum__leader_has_not_committed_in_its_term__follower_is_not_fresh(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "old");
    net_run(net, 500);
    net->cut[1][3] = true;
    net_set(net, 1, 2, "key", "new"); /* acknowledged by 2 alone, which does not hear that it is */
    net_deliver(net, PC_MSG_RAFT, 1, 2);
    net_sync(net, 1);
    net_sync(net, 2);
    net_deliver(net, PC_MSG_RAFT, 2, 1);
    net_sync(net, 1);
    net_assert_reply(net, 1, 2, PC_REPLY_OK);
    struct pc_instant acked = net->now;
    net_crash(net, 1);
    until_leads(net, 2);
    net->nodes[3].holds_disk = true; /* so that nothing is committed any more */
    size_t heard = 0;
    for (size_t k = 0; k < 60; k++) {
        net_run(net, 50);
        net_get(net, 3, 100 + k, "key", PC_CONSISTENCY_LOCAL);
        assert_string_equal(net_reply(net, 3, 100 + k)->value, "old");
        assert_true(quorum_of(net, 3).age_ms >= pc_instant_ms_between(acked, net->now));
        heard += net_status(net, 3).raft.leader != 0 ? 1 : 0;
    }
    assert_true(heard > 5);
    net->nodes[3].holds_disk = false;
    net_run(net, 5000);
    assert_true(quorum_of(net, 3).age_ms <= 100);
    net_get(net, 3, 99, "key", PC_CONSISTENCY_LOCAL);
    assert_string_equal(net_reply(net, 3, 99)->value, "new");
    net_delete(net);
}

/* The message that makes this node fresh, and the read, come in one turn: the value was read before
 * what the message brought was applied. */
static void quorum__read_before_the_turn_ends__is_as_old_as_the_value(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "old");
    net_run(net, 500);
    struct net_node *behind = &net->nodes[3];
    net->cut[1][3] = net->cut[2][3] = true;
    net_set(net, 1, 2, "key", "new");
    net_run(net, 5000);
    net->cut[1][3] = net->cut[2][3] = false;
    pc_ms age = quorum_of(net, 3).age_ms;
    assert_true(age >= 4500);
    size_t olds = 0;
    for (uint64_t tag = 100; tag < 50000 && quorum_of(net, 3).age_ms >= 1000; tag++) {
        if (net_count(net, 0, 0, 3) == 0) {
            one_step(net);
            continue;
        }
        struct pc_msg msg = net_hold(net, 0, 0, 3);
        struct pc_node_effects fx = {0};
        struct pc_node_event recv = {.type = PC_NODE_RECV, .now = net->now};
        struct pc_node_event client = {.type = PC_NODE_CLIENT, .now = net->now};
        struct pc_node_event turn = {.type = PC_NODE_TURN, .now = net->now};
        struct pc_request get = {.tag = tag,
            .type = PC_REQUEST_GET,
            .consistency = PC_CONSISTENCY_LOCAL,
            .key = pc_slice_str("key")};
        recv.u.msg = &msg;
        client.u.request = &get;
        pc_node_step(behind->node, &recv, &fx);
        pc_node_step(behind->node, &client, &fx);
        pc_node_step(behind->node, &turn, &fx);
        for (size_t r = 0; r < fx.replies_n; r++) {
            struct pc_slice value = pc_blob_slice(fx.replies[r].value);
            if (fx.replies[r].tag == tag && memcmp(value.data, "old", 3) == 0) {
                assert_true(fx.replies[r].quorum.has_age && fx.replies[r].quorum.age_ms >= age);
                olds++;
            }
        }
        net_take_effects(net, 3, &fx);
        pc_node_effects_destroy(&fx);
        pc_msg_clear(&msg);
        behind->replies_n = 0;
    }
    assert_true(olds > 0);
    net_delete(net);
}

static void turn(struct net *net, size_t i)
{
    struct pc_node_event event = {.type = PC_NODE_TURN};
    net_do(net, i, &event);
}

/* A process that was stopped finds in its sockets what was sent meanwhile. */
static void quorum__word_of_the_leader_lay_waiting__is_as_old_as_when_it_was_sent(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "v");
    net_run(net, 500);
    while (net_count(net, PC_MSG_RAFT, 1, 3) == 0) {
        one_step(net);
    }
    struct pc_msg words[3];
    for (size_t k = 0; k < 3; k++) { /* sent one after the other, then nothing more */
        while (net_count(net, PC_MSG_RAFT, 1, 3) == 0) {
            one_step(net);
        }
        words[k] = net_hold(net, PC_MSG_RAFT, 1, 3);
        assert_int_equal(words[k].raft.type, PC_RAFT_MSG_APPEND);
    }
    struct pc_instant sent_at = net->now;
    net->cut[1][3] = net->cut[2][3] = net->cut[3][1] = net->cut[3][2] = true;
    net_run(net, 5000);
    assert_in_range(quorum_of(net, 3).age_ms, 5000, 5300);
    for (size_t k = 0; k < 3; k++) {
        net_recv(net, 3, &words[k]);
        turn(net, 3);
        assert_true(quorum_of(net, 3).age_ms >= pc_instant_ms_between(sent_at, net->now) - 10);
        pc_msg_clear(&words[k]);
    }
    assert_int_equal(net_status(net, 3).raft.leader, 101);
    net->cut[1][3] = net->cut[2][3] = net->cut[3][1] = net->cut[3][2] = false;
    net_run(net, 3000);
    assert_true(quorum_of(net, 3).age_ms <= 100); /* a word that was not held up */
    net_delete(net);
}

/* The leader's clock is what a new leader makes of it: the measure of delays follows soon. */
static void quorum__clock_of_the_leader_is_another_one__is_fresh_again_soon(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "v");
    net_run(net, 500);
    bool was_old = false;
    for (size_t k = 0; k < 200; k++) {
        while (net_count(net, PC_MSG_RAFT, 0, 3) == 0) {
            one_step(net);
        }
        struct pc_msg word = net_hold(net, PC_MSG_RAFT, 0, 3);
        if (word.raft.type == PC_RAFT_MSG_APPEND) {
            word.raft.u.append.clock_ms -= 60000;
        }
        net_recv(net, 3, &word);
        turn(net, 3);
        pc_msg_clear(&word);
        was_old = was_old || quorum_of(net, 3).age_ms > 1000;
    }
    assert_true(was_old);
    assert_true(quorum_of(net, 3).age_ms <= 100);
    net_delete(net);
}

static void quorum__answers_to_a_leader_lay_waiting__it_is_not_fresh_by_them(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 1, "key", "v");
    net_run(net, 500);
    while (net_count(net, PC_MSG_RAFT, 2, 1) == 0) {
        one_step(net);
    }
    struct pc_msg answer = net_hold(net, PC_MSG_RAFT, 2, 1);
    assert_int_equal(answer.raft.type, PC_RAFT_MSG_APPEND_RESP);
    net->now = pc_instant_add_ms(net->now, 5000); /* it is stopped */
    net_recv(net, 1, &answer);
    turn(net, 1);
    assert_int_equal(net_status(net, 1).raft.role, PC_RAFT_LEADER);
    assert_true(quorum_of(net, 1).age_ms >= 5000);
    pc_msg_clear(&answer);
    net_run(net, 3000);
    assert_true(quorum_of(net, 1).age_ms <= 100);
    net_delete(net);
}

/* Whoever is its own quorum hears nobody, and may have nothing to do for long. */
static void quorum__alone_and_idle__is_fresh(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    net_run(net, 3000);
    net->now = pc_instant_add_ms(net->now, 5000);
    turn(net, 1);
    assert_int_equal(quorum_of(net, 1).age_ms, 0);
    net_delete(net);
}

/* An idle leader hears nothing from one heartbeat to the next: no process was stopped. */
static void quorum__election_timeout_is_two_heartbeats__idle_leader_is_fresh(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_raft_opts *raft = &net->nodes[1].node->opts.raft;
    raft->election_min_ms = 2 * raft->heartbeat_ms;
    for (size_t k = 0; k < 40; k++) {
        net_run(net, 77);
        assert_true(quorum_of(net, 1).age_ms <= raft->election_min_ms);
    }
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(quorum__all_are_up__nothing_is_said_and_all_are_fresh),
    PC_TEST(quorum__one_of_three_is_left__is_lost_by_name_and_ages),
    PC_TEST(quorum__never_heard_a_leader__tells_the_age_of_its_newest_entry),
    PC_TEST(quorum__behind_its_leader__is_as_old_as_what_it_has),
    PC_TEST(quorum__leader_hears_nobody__ages_before_it_steps_down),
    PC_TEST(quorum__leader_has_not_committed_in_its_term__follower_is_not_fresh),
    PC_TEST(quorum__read_before_the_turn_ends__is_as_old_as_the_value),
    PC_TEST(quorum__word_of_the_leader_lay_waiting__is_as_old_as_when_it_was_sent),
    PC_TEST(quorum__clock_of_the_leader_is_another_one__is_fresh_again_soon),
    PC_TEST(quorum__answers_to_a_leader_lay_waiting__it_is_not_fresh_by_them),
    PC_TEST(quorum__alone_and_idle__is_fresh),
    PC_TEST(quorum__election_timeout_is_two_heartbeats__idle_leader_is_fresh),
    PC_TEST(quorum__starts_behind__is_fresh_only_when_it_has_caught_up),
};

PC_TEST_MAIN("node_quorum", tests)
