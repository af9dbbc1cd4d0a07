/* One identity takes the place of another: a disk was lost, or an operator says so. And whoever
 * comes without a place. */
#include "unit/node/node_members.h"

/* Node i is gone, and comes again with an empty disk. */
static void come_wiped(struct net *net, size_t i)
{
    net_crash(net, i);
    net_wipe(net, i);
    net_start(net, i);
}

static void assert_took_over(struct net *net, size_t by, size_t i, size_t voters_n)
{
    pc_node_id id = net->nodes[i].opts.id;
    net_live_until(net, by, voters_n, 0);
    for (size_t k = 0;
         k < 200 && (net_member(net, by, id - 100).is_member || !net_member(net, by, id).votes);
         k++) {
        net_live(net, 100);
    }
    assert_true(net_member(net, by, id).votes);
    assert_false(net_member(net, by, id - 100).is_member);
    assert_int_equal(net_voters(net, by), voters_n);
}

static void wiped_disk__of_a_follower__takes_its_old_place(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_assert_works(net, 2, 1);
    come_wiped(net, 3);
    net_live(net, 200);
    assert_string_equal(net_status(net, 3).role, "forming"); /* no member yet: what is it? */
    assert_false(net_status(net, 3).formed);
    assert_took_over(net, 1, 3, 3);
    net_assert_works(net, 3, 2);
    net_crash(net, 2); /* its vote counts */
    net_live(net, 3000);
    net_assert_works(net, 3, 3);
    net_delete(net);
}

static void wiped_disk__of_the_leader__takes_its_old_place(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_assert_works(net, 2, 1);
    come_wiped(net, 1);
    net_live(net, 3000);
    size_t leader = net_leader(net);
    assert_true(leader == 2 || leader == 3);
    assert_took_over(net, leader, 1, 3);
    net_assert_works(net, 1, 2);
    net_delete(net);
}

/* Every node, one after the other; at each moment the cluster works. */
static void wiped_disk__each_in_turn__all_are_replaced(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t i = 1; i <= 3; i++) {
        come_wiped(net, i);
        net_live(net, 3000);
        size_t other = i % 3 + 1;
        net_assert_works(net, other, 10 + i);
        assert_took_over(net, net_leader(net), i, 3);
        net_assert_works(net, i, 20 + i);
    }
    net_delete(net);
}

/* Of two voters one is not enough to change anything: nothing is given away. */
static void wiped_disk__of_one_of_two__cannot_be_replaced(void **state)
{
    (void)state;
    struct net *net = net_new_formed(2);
    come_wiped(net, 2);
    net_live(net, 20 * 1000);
    assert_int_equal(net_voters(net, 1), 2);
    assert_false(net_member(net, 1, 202).is_member);
    assert_false(net_status(net, 2).formed);
    net_delete(net);
}

/* An empty node under the name of one that lives is not let in. */
static void namesake__of_a_living_member__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_start_joining(net, 4);
    (void)snprintf(net->nodes[4].opts.name, sizeof net->nodes[4].opts.name, "node3");
    net_crash(net, 4);
    net_start(net, 4);
    struct pc_error error = {0};
    assert_false(net_try_connect(net, 1, 4, &error));
    assert_non_null(strstr(error.text, "0000000000000067"));
    assert_non_null(strstr(error.text, "0000000000000068"));
    net_live(net, 10 * 1000);
    assert_int_equal(net_voters(net, 1), 3);
    assert_int_equal(pc_raft_config_get(pc_node_raft(net->nodes[1].node))->learners_n, 0);
    net_delete(net);
}

/* No link to the old one, but SWIM knows it alive: it may be cut off, and is not gone. */
static void wiped_disk__old_one_alive_for_swim__waits(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_member seen = {
        .id = 103, .generation = 1, .incarnation = 1, .state = PC_MEMBER_ALIVE, .name = "node3"};
    seen.addr.ip[15] = 1;
    seen.addr.port = 7;
    struct pc_swim_msg swim = {.type = PC_SWIM_GOSSIP,
        .from = 102,
        .from_generation = 1,
        .updates_n = 1,
        .updates = {seen}};
    struct pc_swim_event recv = {.type = PC_SWIM_RECV, .now = net->now, .msg = &swim};
    recv.addr.ip[15] = 1;
    recv.addr.port = 7;
    struct pc_node_event event = {.type = PC_NODE_SWIM};
    event.u.swim = &recv;
    net_do(net, 1, &event);
    assert_non_null(pc_swim_find(pc_node_swim(net->nodes[1].node), 103));
    come_wiped(net, 3);
    struct pc_error error = {0};
    assert_false(net_try_connect(net, 1, 3, &error));
    net_delete(net);
}

static void replace__ordered__takes_the_place_of_a_living_one(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_REPLACE, "node3");
    net_live(net, 5000);
    assert_true(net_member(net, 1, 103).votes); /* it goes on until somebody comes */
    net_assert_works(net, 3, 2);
    net_start_joining(net, 4);
    (void)snprintf(net->nodes[4].opts.name, sizeof net->nodes[4].opts.name, "node3");
    net_crash(net, 4);
    net_start(net, 4);
    struct pc_error error = {0};
    assert_true(net_try_connect(net, 1, 4, &error));
    assert_true(net_try_connect(net, 2, 4, &error));
    net_run(net, 10 * 1000);
    assert_true(net_member(net, 1, 104).votes);
    assert_false(net_member(net, 1, 103).is_member);
    assert_int_equal(net_voters(net, 1), 3);
    struct pc_node_status status = net_status(net, 3);
    assert_false(status.ready);
    net_delete(net);
}

/* It has data already: it must not be a stranger when it is back. */
static void replace__newcomer_away_for_a_while__is_waited_for(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        struct net *net = net_new_formed(3);
        net_change_ok(net, 1, 1, PC_MEMBER_REPLACE, "node3");
        net_start_joining(net, 4);
        (void)snprintf(net->nodes[4].opts.name, sizeof net->nodes[4].opts.name, "node3");
        net_crash(net, 4);
        net_start(net, 4);
        struct pc_error error = {0};
        assert_true(net_try_connect(net, 1, 4, &error));
        net_run(net, 1000);
        assert_true(net_status(net, 4).raft.last > 0);
        assert_false(net_member(net, 1, 104).votes);
        net_crash(net, 4);
        net_run(net, 15 * 1000);
        assert_true(net_member(net, 1, 104).is_member);
        assert_true(net_member(net, 1, 103).votes);
        if (again != 0) { /* or somebody else is to come */
            net_change_ok(net, 1, 2, PC_MEMBER_REPLACE, "node3");
            assert_false(net_member(net, 1, 104).is_member);
        } else {
            net_start(net, 4);
            assert_true(net_try_connect(net, 1, 4, &error));
            assert_true(net_try_connect(net, 2, 4, &error));
            net_run(net, 10 * 1000);
            assert_true(net_member(net, 1, 104).votes);
            assert_false(net_member(net, 1, 103).is_member);
        }
        net_delete(net);
    }
}

/* Two empty nodes come under one invited name: the first has the place, the other is told. */
static void two_empty_nodes__of_one_name__one_is_taken(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_ADD, "node4");
    net_start_joining(net, 4);
    net_start_joining(net, 5);
    net_crash(net, 5);
    (void)snprintf(net->nodes[5].opts.name, sizeof net->nodes[5].opts.name, "node4");
    net_start(net, 5);
    for (size_t i = 1; i <= 3; i++) { /* all admit both, before the leader has decided */
        struct pc_peer_hello hello;
        pc_node_hello(net->nodes[5].node, &hello);
        struct pc_error error = {0};
        assert_ok(pc_node_admit(net->nodes[i].node, &hello, &error));
        net_connect(net, i, 4);
    }
    for (size_t i = 1; i <= 3; i++) {
        struct pc_peer_hello hello;
        net->up[i][5] = net->up[5][i] = true;
        struct pc_node_event event = {.type = PC_NODE_PEER_UP};
        event.u.hello = &hello;
        pc_node_hello(net->nodes[5].node, &hello);
        net_do(net, i, &event);
        pc_node_hello(net->nodes[i].node, &hello);
        net_do(net, 5, &event);
    }
    net_run(net, 10 * 1000);
    assert_true(net_member(net, 1, 104).votes);
    assert_false(net_member(net, 1, 105).is_member);
    struct pc_node_status status = net_status(net, 5);
    assert_false(status.formed);
    assert_non_null(strstr(net_ready_check(&status, "formed")->text, "is known here by id"));
    net_delete(net);
}

/* Who has data of this cluster is no newcomer. */
static void data__under_an_invited_name__is_told_to_come_without(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_error error = {0};
    struct pc_peer_hello hello = {.id = 104, .generation = 1, .name = "node4"};
    net_change_ok(net, 1, 1, PC_MEMBER_ADD, "node4");
    memcpy(hello.history, net_status(net, 1).history, sizeof hello.history);
    assert_int_equal(pc_node_admit(net->nodes[1].node, &hello, &error), PC_E_AUTH);
    assert_non_null(strstr(error.text, "node4 is to come with an empty data directory"));
    net_delete(net);
}

/* A node with data of another cluster is not an empty one, whatever its name. */
static void foreign_history__under_an_invited_name__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_ADD, "node4");
    struct pc_peer_hello hello = {.id = 104, .generation = 1, .name = "node4", .history = {9}};
    struct pc_error error = {0};
    assert_int_equal(pc_node_admit(net->nodes[1].node, &hello, &error), PC_E_AUTH);
    assert_non_null(strstr(error.text, "belongs to another cluster"));
    net_delete(net);
}

/* An invitation into another cluster does not move a node that has one. */
static void invitation__to_a_member_of_another_history__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_node_status before = net_status(net, 2);
    struct pc_member_msg invite = {.history = {9}, .name = "node2"};
    struct pc_msg msg = {.type = PC_MSG_INVITE, .from = 101, .to = 102, .member = &invite};
    net_recv(net, 2, &msg);
    struct pc_node_status after = net_status(net, 2);
    assert_memory_equal(after.history, before.history, sizeof after.history);
    net_assert_works(net, 2, 1);
    net_delete(net);
}

/* It knew that peer before it was invited elsewhere. */
static void invited_node__entries_of_another_history__are_not_taken(void **state)
{
    (void)state;
    for (int foreign = 0; foreign < 2; foreign++) {
        struct net *net = net_new_formed(3);
        struct pc_error error = {0};
        net_start_joining(net, 4);
        struct pc_peer_hello hello;
        pc_node_hello(net->nodes[1].node, &hello);
        struct pc_node_event event = {.type = PC_NODE_PEER_UP};
        event.u.hello = &hello;
        net_do(net, 4, &event);
        net_note_life(net, 4, 101, hello.generation);
        struct pc_member_msg invite = {.name = "node4"};
        memcpy(invite.history, hello.history, sizeof invite.history);
        invite.history[0] ^= foreign != 0 ? 1 : 0;
        struct pc_msg msg = {.type = PC_MSG_INVITE, .from = 101, .to = 104, .member = &invite};
        net_recv(net, 4, &msg);
        const struct pc_entry *first = &net->nodes[1].disk.v[0];
        msg = (struct pc_msg){.type = PC_MSG_RAFT, .from = 101, .to = 104};
        msg.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND,
            .from = 101,
            .to = 104,
            .term = net_status(net, 1).raft.term};
        msg.raft.u.append.clock_ms = first->stamp_ms;
        pc_entries_push(&msg.raft.entries, first);
        net_recv(net, 4, &msg);
        pc_entries_clear(&msg.raft.entries);
        assert_int_equal(net_status(net, 4).raft.last, foreign != 0 ? 0 : 1);
        pc_node_hello(net->nodes[2].node, &hello);
        assert_int_equal(
            pc_node_admit(net->nodes[4].node, &hello, &error), foreign != 0 ? PC_E_AUTH : PC_OK);
        net_delete(net);
    }
}

/* An empty node that is connected, and no member: it neither forms, nor votes, nor forwards. */
static void empty_node__not_yet_a_member__takes_no_part(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_ADD, "node4");
    net_start_joining(net, 4);
    net->cut[1][4] = true; /* the leader's invitation does not reach it */
    net_live(net, 500);
    net_set(net, 4, 2, "key", "value");
    net_crash(net, 2);
    net_crash(net, 3);
    net_live(net, 10 * 1000);
    assert_int_equal(net->nodes[4].disk.n, 0);
    assert_int_equal(net->nodes[4].term, 0);
    assert_false(net_status(net, 4).formed);
    assert_int_equal(net_status(net, 1).raft.role == PC_RAFT_LEADER, 0);
    net_assert_reply(net, 4, 2, PC_REPLY_NO_LEADER);
    net_delete(net);
}

/*  1  node 3 comes wiped; at step `at` of its return everybody's power fails
 *  2  all start anew; nobody has met the others
 *  3  it is finished all the same                                                */
static void wiped_disk__all_restart_in_the_middle__is_finished(void **state)
{
    (void)state;
    for (pc_ms at = 0; at <= 8000; at += 500) {
        struct net *net = net_new_formed(3);
        come_wiped(net, 3);
        net_live(net, at);
        for (size_t i = 1; i <= 3; i++) {
            net_crash(net, i);
        }
        for (size_t i = 1; i <= 3; i++) {
            net_start(net, i);
        }
        net_live(net, 3000);
        assert_took_over(net, net_leader(net), 3, 3);
        net_assert_works(net, 3, 2);
        net_delete(net);
    }
}

/*  1  all restart; node 3 is slow to come: nobody has seen it, and SWIM does not know it
 *  2  an empty node calls under its name: it is not taken before 2 s of leading, and node 3 comes
 */
static void restart_of_all__old_one_slow__is_not_replaced_at_once(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t i = 1; i <= 3; i++) {
        net_crash(net, i);
    }
    net_start(net, 1);
    net_start(net, 2);
    net_connect(net, 1, 2);
    struct pc_peer_hello hello = {.id = 203, .generation = 1, .name = "node3"};
    for (size_t i = 1; i <= 2; i++) {
        struct pc_node_event event = {.type = PC_NODE_PEER_UP};
        event.u.hello = &hello;
        net_do(net, i, &event);
    }
    while (net_leader(net) == 0 || !net_status(net, net_leader(net)).raft.leader_ready) {
        net_run(net, 10);
    }
    net_run(net, 1500);
    assert_false(net_member(net, net_leader(net), 203).is_member);
    net_start(net, 3);
    net_connect_all(net, 3);
    net_run(net, 5000);
    assert_false(net_member(net, net_leader(net), 203).is_member);
    assert_true(net_member(net, net_leader(net), 103).votes);
    net_delete(net);
}

/* Wiped again before it had caught up: the next one has the place. */
static void wiped_disk__twice__the_last_one_takes_the_place(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    come_wiped(net, 3);
    net_live(net, 5500);
    assert_true(net_member(net, 1, 203).is_member);
    come_wiped(net, 3);
    net_live(net, 1000);
    assert_took_over(net, 1, 3, 3);
    assert_false(net_member(net, 1, 103).is_member);
    net_assert_works(net, 3, 2);
    net_delete(net);
}

/* Its identity knows the history, its log has nothing of it: it is invited again. */
static void joiner__restarted_before_its_first_entry__still_joins(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 3);
    net_wipe(net, 3);
    net->nodes[3].holds_disk = true;
    net_start(net, 3);
    for (size_t k = 0; k < 200 && !net->nodes[3].has_history; k++) {
        net_live(net, 100);
    }
    assert_true(net->nodes[3].has_history);
    assert_int_equal(net->nodes[3].disk.n, 0);
    net_crash(net, 3);
    net->nodes[3].holds_disk = false;
    net_start(net, 3);
    net_live(net, 20000);
    assert_int_equal(net_voters(net, 1), 3);
    assert_true(net_member(net, 1, 203).votes);
    net_delete(net);
}

/* The machine of one voter keeps failing: at no moment do the other two need a dead one. */
static void wiped_disk__gone_again_as_it_is_promoted__the_others_go_on(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    come_wiped(net, 3);
    pc_ms had_entries_ms = 0;
    for (size_t k = 0; k < 60000 && had_entries_ms <= 1400; k++) {
        struct pc_raft_peer_status peer;
        net_connect_all_that_may(net);
        net_run(net, 1);
        bool has = pc_raft_peer(pc_node_raft(net->nodes[1].node), 203, net->now, &peer);
        had_entries_ms += has && peer.match > 0 ? 1 : 0;
    }
    for (size_t i = 1; i <= 2; i++) {
        net->cut[i][3] = net->cut[3][i] = true;
    }
    net_run(net, 3000);
    come_wiped(net, 3);
    for (size_t i = 1; i <= 2; i++) {
        net->cut[i][3] = net->cut[3][i] = false;
    }
    net_live(net, 30000);
    assert_int_equal(net_leader(net) != 0, 1);
    assert_int_equal(net_voters(net, net_leader(net)), 3);
    net_delete(net);
}

/* An heir that was taken in while the old one was away goes when that is back. */
static void old_one__back_before_it_was_replaced__keeps_its_place(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_error error = {0};
    net_start_joining(net, 4);
    (void)snprintf(net->nodes[4].opts.name, sizeof net->nodes[4].opts.name, "node3");
    net_crash(net, 4);
    net_crash(net, 3);
    net_run(net, 5200);
    net_start(net, 4);
    (void)net_try_connect(net, 1, 4, &error);
    (void)net_try_connect(net, 2, 4, &error);
    net_run(net, 500);
    assert_true(net_member(net, 1, 104).is_member);
    net_start(net, 3);
    assert_true(net_try_connect(net, 1, 3, &error) && net_try_connect(net, 2, 3, &error));
    net_run(net, 20000);
    assert_true(net_member(net, 1, 103).votes);
    assert_false(net_member(net, 1, 104).is_member);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(wiped_disk__of_a_follower__takes_its_old_place),
    PC_TEST(wiped_disk__of_the_leader__takes_its_old_place),
    PC_TEST(wiped_disk__each_in_turn__all_are_replaced),
    PC_TEST(wiped_disk__of_one_of_two__cannot_be_replaced),
    PC_TEST(wiped_disk__all_restart_in_the_middle__is_finished),
    PC_TEST(wiped_disk__twice__the_last_one_takes_the_place),
    PC_TEST(joiner__restarted_before_its_first_entry__still_joins),
    PC_TEST(wiped_disk__gone_again_as_it_is_promoted__the_others_go_on),
    PC_TEST(old_one__back_before_it_was_replaced__keeps_its_place),
    PC_TEST(wiped_disk__old_one_alive_for_swim__waits),
    PC_TEST(restart_of_all__old_one_slow__is_not_replaced_at_once),
    PC_TEST(namesake__of_a_living_member__is_refused),
    PC_TEST(replace__ordered__takes_the_place_of_a_living_one),
    PC_TEST(replace__newcomer_away_for_a_while__is_waited_for),
    PC_TEST(two_empty_nodes__of_one_name__one_is_taken),
    PC_TEST(data__under_an_invited_name__is_told_to_come_without),
    PC_TEST(foreign_history__under_an_invited_name__is_refused),
    PC_TEST(invitation__to_a_member_of_another_history__is_ignored),
    PC_TEST(invited_node__entries_of_another_history__are_not_taken),
    PC_TEST(empty_node__not_yet_a_member__takes_no_part),
};

PC_TEST_MAIN("node_replace", tests)
