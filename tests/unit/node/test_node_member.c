/* Members that are asked for: added, removed, promoted, demoted. */
#include "unit/node/node_members.h"

static void grow__three_to_five_to_three__works_all_the_time(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t i = 4; i <= 5; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "node%zu", i);
        net_change_ok(net, i - 2, i, PC_MEMBER_ADD, name); /* a follower takes it */
        assert_string_equal(net_member(net, 1, 0).role, "invited");
        net_start_joining(net, i);
        net_live(net, 300);
        assert_string_equal(net_member(net, 1, 100 + i).role, "learner");
        assert_int_equal(net_voters(net, 1), i - 1);
        net_live_until(net, 1, i, 0);
        net_assert_works(net, i, 50 + i);
        assert_string_equal(net_status(net, i).role, "voter");
        assert_true(net_status(net, i).ready);
    }
    net_crash(net, 2);
    net_crash(net, 3); /* of five, two may go */
    net_live(net, 3000);
    net_assert_works(net, 4, 70);
    size_t leader = net_leader(net);
    net_change_ok(net, leader, 80, PC_MEMBER_REMOVE, "node2");
    net_change_ok(net, leader, 81, PC_MEMBER_REMOVE, "node3");
    net_live_until(net, leader, 3, 0);
    net_assert_works(net, 5, 82);
    net_delete(net);
}

static void add__replica__never_votes_until_promoted(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change(net, 1, 1, PC_MEMBER_ADD, "node4", PC_WANT_REPLICA);
    net_live(net, 300);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    net_start_joining(net, 4);
    net_live(net, 10 * 1000);
    assert_string_equal(net_member(net, 1, 104).role, "replica");
    assert_int_equal(net_member(net, 1, 104).caught_up_percent, 100);
    assert_string_equal(net_status(net, 4).role, "replica");
    assert_int_equal(net_voters(net, 1), 3);
    net_assert_works(net, 4, 2); /* it forwards, and hears of its write */
    net_change_ok(net, 3, 3, PC_MEMBER_PROMOTE, "node4");
    net_live_until(net, 1, 4, 0);
    net_change_ok(net, 3, 4, PC_MEMBER_DEMOTE, "node4");
    net_live_until(net, 1, 3, 1);
    net_live(net, 5000);
    assert_int_equal(net_voters(net, 1), 3);
    net_delete(net);
}

static void change__that_cannot_be__is_refused_in_words(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_refused(net, 2, 1, PC_MEMBER_ADD, "node3", "node3 is a member already");
    net_change_refused(net, 2, 2, PC_MEMBER_REMOVE, "node9", "node9 is not a member");
    net_change_refused(net, 2, 3, PC_MEMBER_ADD, "", "a name has 1 to 63");
    net_change_refused(net, 2, 4, PC_MEMBER_ADD, "a b", "a name has 1 to 63");
    net_change_ok(net, 2, 5, PC_MEMBER_ADD, "node4");
    net_change_refused(net, 2, 6, PC_MEMBER_ADD, "node4", "node4 is invited already");
    net_change_ok(net, 2, 7, PC_MEMBER_PROMOTE, "node4"); /* nothing to be done */
    net_crash(net, 3);
    net_live(net, 3000);
    size_t leader = net_leader(net), other = 3 - leader;
    char text[64];
    (void)snprintf(text, sizeof text, "node%zu", other);
    net_change_refused(net, leader, 8, PC_MEMBER_REMOVE, text, "node3 does not answer");
    net_change_refused(net, leader, 9, PC_MEMBER_DEMOTE, text, "node3 does not answer");
    assert_int_equal(net_voters(net, leader), 3);
    net_change_ok(net, leader, 10, PC_MEMBER_REMOVE, "node3");
    net_assert_works(net, other, 11);
    net_delete(net);
}

static void remove__only_voter__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    net_run(net, 2000);
    net_change_refused(net, 1, 1, PC_MEMBER_REMOVE, "node1", "node1 is the only voter");
    net_change_refused(net, 1, 2, PC_MEMBER_DEMOTE, "node1", "node1 is the only voter");
    net_delete(net);
}

static void remove__leader__hands_over_first(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 2, 1, PC_MEMBER_REMOVE, "node1");
    net_live(net, 3000);
    size_t leader = net_leader(net);
    assert_true(leader == 2 || leader == 3);
    assert_int_equal(net_voters(net, leader), 2);
    net_assert_works(net, 2, 2);
    struct pc_node_status status = net_status(net, 1);
    assert_false(status.ready);
    assert_non_null(strstr(net_ready_check(&status, "formed")->text, "was removed"));
    net_delete(net);
}

/* Removed, it calls again, with all its data: it is told why it is not let in. */
static void removed__calls_again__is_told_why(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_REMOVE, "node3");
    net_live(net, 3000);
    assert_string_equal(net_status(net, 3).role, "removed");
    net_crash(net, 3);
    struct pc_node_status status = net_status(net, 1);
    memcpy(net->nodes[3].history, status.history, sizeof status.history);
    net->nodes[3].has_history = true; /* as every node notes it */
    net_start(net, 3);
    struct pc_error error = {0};
    assert_false(net_try_connect(net, 1, 3, &error));
    assert_non_null(strstr(error.text, "node3 (id 0000000000000067)"));
    assert_non_null(strstr(error.text, "was removed from this cluster"));
    assert_int_equal(net_voters(net, 1), 2);
    net_assert_works(net, 2, 2);
    net_delete(net);
}

/* Its own log names it no more, and the note of the history is missing: it has written that log. */
static void removed__starts_without_its_note__is_still_itself(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_REMOVE, "node3");
    net_live(net, 3000);
    net_crash(net, 3);
    net->nodes[3].has_history = false;
    net->nodes[3].had_log = true;
    net_start(net, 3); /* asserts that it starts */
    assert_int_equal(net_member(net, 3, 103).id, 0);
    net_delete(net);
}

/* What the leader answers to this, as if node 3 had asked; the caller owns nothing. */
static enum pc_member_result answer_to(struct net *net, const struct pc_member_msg *ask)
{
    struct pc_member_msg copy = *ask;
    struct pc_msg msg = {.type = PC_MSG_MEMBER, .from = 103, .to = 101, .member = &copy};
    net_recv(net, 1, &msg);
    struct pc_msg answer = net_hold(net, PC_MSG_MEMBER_RESULT, 1, 3);
    enum pc_member_result result = answer.member->result;
    assert_int_equal(answer.member->nonce, ask->nonce);
    pc_msg_clear(&answer);
    return result;
}

static void removed__asks_again_for_its_removal__hears_that_it_is_done(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_REMOVE, "node3");
    net_settle(net);
    struct pc_member_msg ask = {.nonce = 7, .op = PC_MEMBER_REMOVE, .again = true, .name = "node3"};
    pc_index before = net_status(net, 1).raft.commit;
    struct pc_msg msg = {.type = PC_MSG_MEMBER, .from = 103, .to = 101, .member = &ask};
    net_recv(net, 1, &msg);
    assert_int_equal(net_count(net, PC_MSG_MEMBER_RESULT, 1, 3), 0); /* not refused: it is said */
    net_settle(net);                                                 /* once more in the log */
    assert_int_equal(net_status(net, 1).raft.commit, before + 1);
    assert_int_equal(net_voters(net, 1), 2);
    struct pc_member_msg anew = {.nonce = 9, .op = PC_MEMBER_REMOVE, .name = "node3"};
    assert_int_equal(answer_to(net, &anew), PC_MEMBER_REFUSED);
    struct pc_member_msg more = {.nonce = 8, .op = PC_MEMBER_ADD, .again = true, .name = "node9"};
    assert_int_equal(answer_to(net, &more), PC_MEMBER_REFUSED);
    net_settle(net);
    assert_int_equal(net_member(net, 1, 0).id, 0);
    assert_string_equal(net_member(net, 1, 0).name, "");
    net_delete(net);
}

/* 4.2.2: the leader sent what it had not synced, and lost power. The removed one has the only copy,
 * which nobody can win against. */
static void removal__on_the_disk_of_the_removed_alone__is_finished_by_it(void **state)
{
    (void)state;
    struct net *net = net_new_formed(2);
    net_live(net, 3000);
    net_make_leader(net, 1);
    net->nodes[1].holds_disk = true;
    net_change(net, 1, 9, PC_MEMBER_REMOVE, "node2", PC_WANT_VOTER);
    net_run(net, 200);
    assert_int_equal(net_voters(net, 2), 1);
    net_crash(net, 1);
    net->nodes[1].holds_disk = false;
    net->nodes[1].had_log = true;
    net_start(net, 1);
    assert_int_equal(net_voters(net, 1), 2);
    net_live(net, 20000);
    assert_int_equal(net_voters(net, 1), 1);
    assert_int_equal(net_status(net, 1).raft.role, PC_RAFT_LEADER);
    assert_int_not_equal(net_status(net, 2).raft.role, PC_RAFT_LEADER);
    net_delete(net);
}

/* A message may come twice, however it does: what the first made of it is true of both. */
static void request__heard_twice__is_done_once_and_not_refused(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_member_msg ask = {.nonce = 7, .op = PC_MEMBER_ADD, .name = "node4"};
    struct pc_msg msg = {.type = PC_MSG_MEMBER, .from = 103, .to = 101, .member = &ask};
    pc_index before = net_status(net, 1).raft.commit;
    net_recv(net, 1, &msg);
    net_recv(net, 1, &msg);
    assert_int_equal(net_count(net, PC_MSG_MEMBER_RESULT, 1, 3), 0); /* not: try again */
    net_settle(net);
    assert_int_equal(net_status(net, 1).raft.commit, before + 1);
    assert_int_equal(answer_to(net, &ask), PC_MEMBER_DONE);
    struct pc_member_msg other = ask;
    other.nonce = 8;
    assert_int_equal(answer_to(net, &other), PC_MEMBER_REFUSED);
    net_delete(net);
}

/* The first leader may have done it, and another undone it: to refuse it now is no answer. */
static void change__refused_when_asked_again__is_unknown(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net->cut[2][1] = true; /* the request is lost on its way */
    net_change(net, 2, 1, PC_MEMBER_PROMOTE, "node9", PC_WANT_VOTER);
    net_crash(net, 1);
    net_live(net, 4000);
    net_assert_reply(net, 2, 1, PC_REPLY_UNKNOWN);
    net_delete(net);
}

/*  1  node 1 leads, cut off from the others, and appends a change that nobody else gets
 *  2  the others elect node 2 or 3; the change is overwritten
 *  3  node 1 is back: its members are those of the others, the client was told UNKNOWN      */
static void change__not_committed__is_rolled_back_with_its_leader(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t k = 2; k <= 3; k++) {
        net->cut[1][k] = net->cut[k][1] = true;
    }
    net_change(net, 1, 1, PC_MEMBER_ADD, "node4", PC_WANT_VOTER);
    net_run(net, 100);
    assert_int_equal(net_member(net, 1, 0).want, PC_WANT_VOTER);
    assert_string_equal(net_member(net, 1, 0).name, "node4");
    net_run(net, 3000);
    size_t leader = net_leader(net);
    assert_int_not_equal(leader, 1);
    assert_false(net_member(net, leader, 0).is_member);
    net_set(net, leader, 2, "key", "value");
    net_run(net, 3000);
    for (size_t k = 2; k <= 3; k++) {
        net->cut[1][k] = net->cut[k][1] = false;
    }
    net_assert_reply(net, 1, 1, PC_REPLY_UNKNOWN);
    net_live(net, 3000);
    assert_false(net_member(net, 1, 0).is_member);
    net_delete(net);
}

/* The same, and the others put another change in its very place: only its term tells the two. */
static void change__not_committed__gives_way_to_another_of_its_index(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t k = 2; k <= 3; k++) {
        net->cut[1][k] = net->cut[k][1] = true;
    }
    net_set(net, 1, 1, "key", "value"); /* where the next leader has the first entry of its term */
    net_run(net, 50);
    net_change(net, 1, 2, PC_MEMBER_ADD, "node4", PC_WANT_VOTER);
    net_run(net, 50);
    pc_index index = pc_raft_config_get(pc_node_raft(net->nodes[1].node))->index;
    net_run(net, 3000);
    size_t leader = net_leader(net);
    assert_int_not_equal(leader, 1);
    net_change(net, leader, 3, PC_MEMBER_ADD, "node5", PC_WANT_VOTER);
    net_run(net, 3000); /* the client has its answer: node 1 does not ask the others */
    assert_int_equal(pc_raft_config_get(pc_node_raft(net->nodes[leader].node))->index, index);
    for (size_t k = 2; k <= 3; k++) {
        net->cut[1][k] = net->cut[k][1] = false;
    }
    net_assert_reply(net, 1, 2, PC_REPLY_UNKNOWN);
    net_live(net, 3000);
    assert_string_equal(net_member(net, 1, 0).name, "node5");
    net_delete(net);
}

/* The same, but the new leader carries it out: what was sent to the old one is asked of it. */
static void change__whose_leader_dies__is_done_by_the_next(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net->cut[2][1] = true; /* the request is lost on its way */
    net_change(net, 2, 1, PC_MEMBER_ADD, "node4", PC_WANT_VOTER);
    net_crash(net, 1);
    net_live(net, 4000);
    net_assert_reply(net, 2, 1, PC_REPLY_OK);
    assert_int_equal(net_voters(net, 2), 3);
    assert_string_equal(net_member(net, 2, 0).name, "node4");
    net_delete(net);
}

static void change__no_leader__is_answered_in_time(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 2);
    net_crash(net, 3);
    net_run(net, 3000);
    net_change(net, 1, 1, PC_MEMBER_ADD, "node4", PC_WANT_VOTER);
    net_run(net, 6000);
    net_assert_reply(net, 1, 1, PC_REPLY_NO_LEADER);
    net_delete(net);
}

/* Its disk may be emptied at any moment now: two of two could not be had again. */
static void remove__while_another_is_being_replaced__does_not_count_on_that_one(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change_ok(net, 1, 1, PC_MEMBER_REPLACE, "node2");
    net_change_refused(net, 1, 2, PC_MEMBER_REMOVE, "node3", "node2 is being replaced");
    net_change_refused(net, 1, 3, PC_MEMBER_DEMOTE, "node3", "node2 is being replaced");
    net_change_ok(net, 1, 4, PC_MEMBER_REMOVE, "node2"); /* that one itself may go */
    net_live_until(net, 1, 2, 0);
    net_delete(net);
    net = net_new_formed(5);
    net_change_ok(net, 1, 1, PC_MEMBER_REPLACE, "node2");
    net_change_ok(net, 1, 2, PC_MEMBER_REMOVE, "node3"); /* three of four stay without it */
    net_delete(net);
}

static void remove__while_another_was_not_heard_of_late__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net->cut[2][1] = net->cut[1][2] = true;
    net_run(net, 600);
    net_change_refused(net, 1, 1, PC_MEMBER_REMOVE, "node3", "node2 does not answer");
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(grow__three_to_five_to_three__works_all_the_time),
    PC_TEST(add__replica__never_votes_until_promoted),
    PC_TEST(change__that_cannot_be__is_refused_in_words),
    PC_TEST(remove__only_voter__is_refused),
    PC_TEST(remove__leader__hands_over_first),
    PC_TEST(removed__calls_again__is_told_why),
    PC_TEST(removed__starts_without_its_note__is_still_itself),
    PC_TEST(removed__asks_again_for_its_removal__hears_that_it_is_done),
    PC_TEST(removal__on_the_disk_of_the_removed_alone__is_finished_by_it),
    PC_TEST(request__heard_twice__is_done_once_and_not_refused),
    PC_TEST(change__refused_when_asked_again__is_unknown),
    PC_TEST(change__not_committed__is_rolled_back_with_its_leader),
    PC_TEST(change__not_committed__gives_way_to_another_of_its_index),
    PC_TEST(change__whose_leader_dies__is_done_by_the_next),
    PC_TEST(change__no_leader__is_answered_in_time),
    PC_TEST(remove__while_another_is_being_replaced__does_not_count_on_that_one),
    PC_TEST(remove__while_another_was_not_heard_of_late__is_refused),
};

PC_TEST_MAIN("node_member", tests)
