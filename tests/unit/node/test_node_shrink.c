/* auto_shrink: votes of the dead are taken away when not one voter more may be lost, by the leader
 * alone, down to itself; and are given back. */
#include "node/node_int.h"
#include "unit/node/node_spares.h"

static void set_shrink(struct pc_node_opts *opts)
{
    opts->auto_shrink = true;
}

static void set_shrink_and_spare(struct pc_node_opts *opts)
{
    opts->auto_shrink = true;
    (void)snprintf(opts->spares[0], sizeof opts->spares[0], "node4");
    opts->spares_n = 1;
}

static const char *must_survive(struct net *net, size_t i)
{
    static char text[64];
    struct pc_node_redundancy r;
    size_t used = 0;
    pc_node_redundancy(net->nodes[i].node, &r);
    text[0] = '\0';
    for (size_t k = 0; k < r.must_survive_n; k++) {
        used += (size_t)snprintf(
            text + used, sizeof text - used, "%s%s", k > 0 ? " " : "", r.must_survive[k]);
    }
    return text;
}

/* Of three the third is dead, and has lost its vote. */
static struct net *net_new_of_two(void)
{
    struct net *net = net_new_set(3, set_shrink);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    net_crash(net, 3);
    net_live(net, 3000);
    assert_string_equal(net_votes(net, 1), "1 2 3"); /* not before it is certainly dead */
    assert_string_equal(must_survive(net, 1), "node1 node2");
    net_live_until_votes(net, 1, "1 2");
    net_live(net, 300);
    return net;
}

static void shrink__followers_die_one_by_one__leader_goes_on_alone(void **state)
{
    (void)state;
    struct net *net = net_new_of_two();
    assert_true(net_has_note(net, 1, PC_NOTE_DEATH));
    assert_string_equal(must_survive(net, 1), "node1");
    assert_string_equal(must_survive(net, 2), "node1");
    net_set(net, 2, 1, "k", "of two");
    net_live(net, 500);
    net_crash(net, 2);
    net_live(net, 2000);
    struct pc_node_status status = net_status(net, 1);
    assert_int_equal(status.raft.role, PC_RAFT_LEADER);
    assert_true(status.raft.suspended);
    assert_false(status.ready);
    net_set(net, 1, 2, "k", "alone");
    net_get(net, 1, 3, "k", PC_CONSISTENCY_LINEARIZABLE);
    net_live(net, 1000);
    assert_null(net_reply(net, 1, 2)); /* nothing is acknowledged while it may still be alive */
    assert_null(net_reply(net, 1, 3));
    net_live_until_votes(net, 1, "1");
    net_live(net, 1000);
    assert_string_equal(must_survive(net, 1), "node1");
    assert_true(net_status(net, 1).ready);
    net_assert_reads(net, 1, 4, "k", "alone");
    net_assert_works(net, 1, 5);
    net_delete(net);
}

/* Restarted as the last one it goes on alone; the others vote again when they are back. */
static void shrink__all_return__all_vote_again(void **state)
{
    (void)state;
    struct net *net = net_new_of_two();
    net_crash(net, 2);
    net_live_until_votes(net, 1, "1");
    net_crash(net, 1);
    net_start(net, 1);
    net_live(net, 2000);
    net_assert_works(net, 1, 1);
    net_start(net, 2);
    net_live_until_votes(net, 1, "1 2");
    net_start(net, 3);
    net_live_until_votes(net, 1, "1 2 3");
    net_live(net, 10 * 1000);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    assert_int_equal(net_member(net, 1, 103).want, PC_WANT_VOTER);
    net_assert_works(net, 3, 2);
    net_delete(net);
}

/* The trap: the leader of two dies, and the third one's return helps nobody. */
static void shrink__leader_of_two_dies__the_other_waits_for_it(void **state)
{
    (void)state;
    struct net *net = net_new_of_two();
    net_crash(net, 1);
    net_live(net, 15 * 1000);
    assert_int_equal(net_leader(net), 0);
    net_start(net, 3);
    net_live(net, 15 * 1000);
    assert_int_equal(net_leader(net), 0);
    assert_string_equal(net_votes(net, 2), "1 2");
    net_start(net, 1);
    net_live(net, 3000);
    size_t leader = net_live_until_leader(net);
    net_live_until_votes(net, leader, "1 2 3");
    net_assert_works(net, 3, 1);
    net_delete(net);
}

/*  1  node 2 is cut off, and alive; node 1 takes its vote and goes on
 *  2  node 2 stands for election for long, in vain; what it was asked is not done
 *  3  the cut heals: what was acknowledged is there, node 2 votes again                          */
static void shrink__other_one_cut_off__only_the_leader_goes_on(void **state)
{
    (void)state;
    struct net *net = net_new_of_two();
    net->cut[1][2] = net->cut[2][1] = true;
    net_run(net, 2000); /* the link goes down a little later than the messages */
    net_disconnect(net, 1, 2);
    net_run(net, 8000);
    assert_string_equal(net_votes(net, 1), "1");
    net_set(net, 1, 1, "k", "one");
    net_set(net, 2, 2, "k", "two");
    net_run(net, 20 * 1000);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    net_assert_reply(net, 2, 2, PC_REPLY_NO_LEADER);
    assert_int_equal(net_status(net, 2).raft.elections_won, 0);
    net->cut[1][2] = net->cut[2][1] = false;
    net_live_until_votes(net, 1, "1 2");
    net_live(net, 500);
    net_assert_reads(net, 2, 3, "k", "one");
    net_delete(net);
}

static void shrink__five_with_slack__stay_five(void **state)
{
    (void)state;
    struct net *net = net_new_set(5, set_shrink);
    net_crash(net, 5);
    net_live(net, 15 * 1000);
    assert_int_equal(net_voters(net, 1), 5);
    net_crash(net, 4);                       /* now three of five are just a quorum */
    net_live_until_votes(net, 1, "1 2 3 4"); /* node 5 has been dead for long */
    net_live(net, 3000);
    assert_int_equal(net_voters(net, 1), 4); /* the next step is as long away as the first */
    net_live_until_votes(net, 1, "1 2 3");
    net_live(net, 15 * 1000);
    assert_int_equal(net_voters(net, 1), 3);
    net_assert_works(net, 2, 1);
    net_delete(net);
}

static void shrink__off__nothing_changes_and_a_lone_leader_steps_down(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 3);
    net_live(net, 15 * 1000);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    assert_string_equal(must_survive(net, 1), "node1 node2");
    net_crash(net, 2);
    net_live(net, 15 * 1000);
    assert_int_equal(net_leader(net), 0);
    net_delete(net);
}

/* Two of three at once: nobody has a quorum, so nobody may change anything. */
static void shrink__two_of_three_at_once__nothing_changes(void **state)
{
    (void)state;
    struct net *net = net_new_set(3, set_shrink);
    net_crash(net, 2);
    net_crash(net, 3);
    net_live(net, 20 * 1000);
    assert_int_equal(net_leader(net), 0);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    net_start(net, 2);
    net_live(net, 2000);
    net_assert_works(net, 2, 1);
    net_delete(net);
}

/* A change of the members is under way: the other one of two is needed for it, dead or not. */
static void shrink__change_not_committed__waits_for_the_other_one(void **state)
{
    (void)state;
    struct net *net = net_new_of_two();
    net->cut[1][2] = net->cut[2][1] = true;
    net_change(net, 1, 1, PC_MEMBER_ADD, "node5", PC_WANT_REPLICA);
    assert_string_equal(must_survive(net, 1), "node1 node2");
    net_crash(net, 2);
    net_run(net, 20 * 1000);
    assert_int_equal(net_voters(net, 1), 2);
    assert_true(net_status(net, 1).raft.suspended);
    net->cut[1][2] = net->cut[2][1] = false;
    net_start(net, 2);
    net_live(net, 3000);
    net_assert_works(net, 2, 2);
    net_delete(net);
}

/* A spare is better than a vote less; it stands in also for one whose vote is gone already. */
static void shrink__with_a_spare__the_spare_takes_over(void **state)
{
    (void)state;
    struct net *net = net_new_set(3, set_shrink_and_spare);
    net_crash(net, 3);
    net_live_until_votes(net, 1, "1 2");
    net_start_spare(net, 4, 1);
    net_live_until_votes(net, net_live_until_leader(net), "1 2 4");
    net_crash(net, 2);
    net_live_until_votes(net, net_live_until_leader(net), "1 4");
    net_start(net, 3);
    net_live(net, 1000);
    net_assert_role(net, 3, "spare");
    net_live_until_votes(net, net_live_until_leader(net), "1 3 4");
    net_start(net, 2);
    net_live(net, 5000);
    net_assert_role(net, 2, "spare");
    net_assert_works(net, 4, 1);
    net_delete(net);
}

/* Leader 1 of two votes, node 2 just dead; what comes now must not keep it from going on. */
static struct net *net_new_suspended(void)
{
    struct net *net = net_new_set(3, set_shrink);
    net_crash(net, 3);
    net_live_until_votes(net, 1, "1 2");
    net_live(net, 6000);
    net_crash(net, 2);
    net_live(net, 2000);
    assert_true(net_status(net, 1).raft.suspended);
    return net;
}

static void assert_goes_on(struct net *net)
{
    net_live(net, 10000);
    net->nodes[1].replies_n = 0;
    net_set(net, 1, 99, "key", "x");
    net_live(net, 2000);
    const struct net_reply *reply = net_reply(net, 1, 99);
    assert_non_null(reply);
    assert_int_equal(reply->reply.status, PC_REPLY_OK);
    net_delete(net);
}

static void suspended__empty_disk_comes__is_taken_in_after_the_vote_went(void **state)
{
    (void)state;
    struct net *net = net_new_suspended();
    net_wipe(net, 3);
    net_start_joining(net, 3);
    net_crash(net, 3);
    net->nodes[3].opts.id = 303;
    net_start(net, 3);
    assert_goes_on(net);
}

static void suspended__change_asked_for__comes_after_the_vote_went(void **state)
{
    (void)state;
    struct net *net = net_new_suspended();
    net_change(net, 1, 9, PC_MEMBER_ADD, "node5", PC_WANT_REPLICA);
    assert_goes_on(net);
}

static void shrink__one_to_be_replaced_dies__loses_its_vote_too(void **state)
{
    (void)state;
    struct net *net = net_new_set(3, set_shrink);
    net_crash(net, 3);
    net_live_until_votes(net, 1, "1 2");
    net_live(net, 6000);
    net_change_ok(net, 1, 9, PC_MEMBER_REPLACE, "node2");
    net_crash(net, 2);
    assert_goes_on(net);
}

static void drain(struct net *net, size_t i)
{
    net_event(net, i, PC_NODE_DRAIN);
    for (size_t k = 0; k < 30 && !pc_node_may_stop(net->nodes[i].node); k++) {
        net_live(net, 50);
    }
}

/* One of two that is stopped, leader or not, leaves the other one able to go on at once. */
static void stop__of_one_of_two__gives_its_vote_up(void **state)
{
    (void)state;
    for (size_t which = 1; which <= 2; which++) {
        struct net *net = net_new_of_two();
        size_t other = 3 - which;
        drain(net, which);
        assert_true(pc_node_may_stop(net->nodes[which].node));
        assert_string_equal(net_votes(net, other), other == 1 ? "1" : "2");
        net_crash(net, which);
        net_assert_works(net, other, 1);
        net_start(net, which);
        net_live_until_votes(net, other, "1 2");
        net_delete(net);
    }
}

static void stop__with_slack_or_of_all__keeps_the_votes(void **state)
{
    (void)state;
    struct net *net = net_new_set(3, set_shrink);
    drain(net, 2);
    assert_true(pc_node_may_stop(net->nodes[2].node));
    assert_string_equal(net_votes(net, 1), "1 2 3");
    net_crash(net, 2); /* node 3 is just needed, and its vote would leave a dead one and node 1 */
    net_live(net, 300);
    drain(net, 3);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    net_delete(net);
    net = net_new_of_two();
    net_event(net, 1, PC_NODE_DRAIN);
    net_event(net, 2, PC_NODE_DRAIN);
    net_live(net, 2000);
    assert_int_equal(net_voters(net, 1), 2);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(shrink__followers_die_one_by_one__leader_goes_on_alone),
    PC_TEST(shrink__all_return__all_vote_again),
    PC_TEST(shrink__leader_of_two_dies__the_other_waits_for_it),
    PC_TEST(shrink__other_one_cut_off__only_the_leader_goes_on),
    PC_TEST(shrink__five_with_slack__stay_five),
    PC_TEST(shrink__off__nothing_changes_and_a_lone_leader_steps_down),
    PC_TEST(shrink__two_of_three_at_once__nothing_changes),
    PC_TEST(shrink__change_not_committed__waits_for_the_other_one),
    PC_TEST(shrink__with_a_spare__the_spare_takes_over),
    PC_TEST(suspended__empty_disk_comes__is_taken_in_after_the_vote_went),
    PC_TEST(suspended__change_asked_for__comes_after_the_vote_went),
    PC_TEST(shrink__one_to_be_replaced_dies__loses_its_vote_too),
    PC_TEST(stop__of_one_of_two__gives_its_vote_up),
    PC_TEST(stop__with_slack_or_of_all__keeps_the_votes),
};

PC_TEST_MAIN("node_shrink", tests)
