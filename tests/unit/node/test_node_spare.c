/* Spares: in from the start or added, idle as long as all voters live, and in the place of the
 * first one that dies. */
#define NET_NODES_MAX 16
#include "node/node_int.h"
#include "unit/node/node_spares.h"

static void set_spare_node4(struct pc_node_opts *opts)
{
    (void)snprintf(opts->spares[0], sizeof opts->spares[0], "node4");
    opts->spares_n = 1;
}

/* Nodes 1 to 3 vote, node 1 leads, node 4 is the spare and has everything. */
static struct net *net_new_with_spare(void)
{
    struct net *net = net_new_set(3, set_spare_node4);
    net_set(net, 2, 1, "early", "there");
    net_live(net, 500);
    net_start_spare(net, 4, 1);
    net_live(net, 4000);
    net_assert_role(net, 4, "spare");
    assert_int_equal(net_member(net, net_leader(net), 104).caught_up_percent, 100);
    return net;
}

static void spare__of_a_new_cluster__is_not_waited_for(void **state)
{
    (void)state;
    struct net *net = net_new_set(3, set_spare_node4);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    assert_string_equal(net_member(net, 1, 0).role, "invited");
    assert_int_equal(net_member(net, 1, 0).want, PC_WANT_SPARE);
    assert_true(net_status(net, 2).ready);
    assert_false(net_has_note(net, 2, PC_NOTE_MEMBERS_EDITED));
    net_crash(net, 2);
    net_start(net, 2); /* the settings are still those of entry 1 */
    assert_false(net_has_note(net, 2, PC_NOTE_MEMBERS_EDITED));
    net_delete(net);
}

/* It calls while the others wait for each other, as in one `up`. */
static void spare__there_before_the_others__takes_no_part_in_formation(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    for (size_t i = 1; i <= 3; i++) {
        net_crash(net, i);
        set_spare_node4(&net->nodes[i].opts);
    }
    net_start_spare(net, 4, 1);
    net_start(net, 1);
    net_start(net, 2);
    net_live(net, 2000);
    assert_false(net_status(net, 1).formed);
    struct pc_node_status waiting = net_status(net, 4);
    assert_non_null(strstr(net_ready_check(&waiting, "formed")->text, "waiting for"));
    net_start(net, 3);
    net_live(net, 5000);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    net_assert_role(net, 4, "spare");
    net_delete(net);
}

static void spare__all_well__has_the_data_and_serves_nobody(void **state)
{
    (void)state;
    struct net *net = net_new_with_spare();
    struct pc_node_status status = net_status(net, 4);
    struct pc_node_status leader = net_status(net, net_leader(net));
    assert_true(pc_hash_equal(&status.digest, &leader.digest));
    assert_false(status.ready);
    assert_non_null(strstr(net_ready_check(&status, "spare")->text, "is a spare"));
    net_get(net, 4, 10, "early", PC_CONSISTENCY_LOCAL);
    net_get(net, 4, 11, "early", PC_CONSISTENCY_LINEARIZABLE);
    net_set(net, 4, 12, "key", "value");
    for (uint64_t tag = 10; tag <= 12; tag++) {
        net_assert_reply(net, 4, tag, PC_REPLY_SPARE);
    }
    net_change_refused(net, 4, 13, PC_MEMBER_ADD, "node1", "is a member already"); /* it is asked */
    net_live(net, 20 * 1000);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    net_delete(net);
}

static void spare__voter_away_for_a_moment__stays_one(void **state)
{
    (void)state;
    struct net *net = net_new_with_spare();
    for (size_t round = 0; round < 3; round++) {
        net_crash(net, 2);
        net_live(net, 4000);
        assert_string_equal(net_votes(net, net_live_until_leader(net)), "1 2 3");
        net_start(net, 2);
        net_live(net, 2000);
    }
    assert_string_equal(net_votes(net, net_live_until_leader(net)), "1 2 3");
    net_assert_role(net, 4, "spare");
    net_delete(net);
}

static void spare__not_caught_up__takes_no_vote(void **state)
{
    (void)state;
    struct net *net = net_new_set(3, set_spare_node4);
    net_start_spare(net, 4, 1);
    net->nodes[4].holds_disk = true; /* it acknowledges nothing */
    net_live(net, 1000);
    net_crash(net, 2);
    net_live(net, 10 * 1000);
    assert_string_equal(net_votes(net, net_live_until_leader(net)), "1 2 3");
    net->nodes[4].holds_disk = false;
    net_live(net, 1000); /* it answers, and may still lack what it cannot tell of */
    assert_true(net_member(net, net_leader(net), 104).has_match);
    assert_string_equal(net_votes(net, net_live_until_leader(net)), "1 2 3");
    net_live(net, 7000);
    assert_string_equal(net_votes(net, net_live_until_leader(net)), "1 3 4");
    net_delete(net);
}

/*  1  node `first` of three dies; node 4 votes in its place
 *  2  node `second` of those three dies; the last two go on, with all that was acknowledged
 *  3  both return: the first one is the spare, and takes the place of the second if that is still
 *     away then                                                                                  */
static void kill_any_then_any(size_t first, size_t second)
{
    struct net *net = net_new_with_spare();
    net_make_leader(net, 1);
    net_set(net, 1, 20, "k", "before");
    net_live(net, 300);
    net_crash(net, first);
    static const char *const left[] = {"", "2 3 4", "1 3 4", "1 2 4"};
    net_live(net, 2500);
    net_live_until_votes(net, net_live_until_leader(net), left[first]);
    net_crash(net, second);
    size_t leader = net_live_until_leader(net);
    assert_string_equal(net_votes(net, leader), left[first]);
    for (size_t i = 1; i <= 4; i++) {
        if (i != first && i != second) {
            net_live(net, 1000);
            net_assert_reads(net, i, 30 + i, "k", "before");
            net_assert_works(net, i, 40 + i);
            assert_true(net_status(net, i).ready);
        }
    }
    net_start(net, first);
    net_live(net, 1000);
    net_assert_role(net, first, "spare");
    net_set(net, first, 50, "key", "value");
    net_assert_reply(net, first, 50, PC_REPLY_SPARE);
    net_live(net, 9000);
    net_assert_role(net, first, net_leader(net) == first ? "leader" : "voter");
    net_start(net, second);
    net_live(net, 9000);
    net_assert_role(net, second, "spare");
    net_assert_works(net, first, 60);
    net_delete(net);
}

static void spare__any_two_die_one_after_the_other__the_others_go_on(void **state)
{
    (void)state;
    for (size_t first = 1; first <= 3; first++) {
        for (size_t second = 1; second <= 4; second++) {
            if (second != first) {
                kill_any_then_any(first, second);
            }
        }
    }
}

/* At any moment of a take-over the leader dies, too, and everybody returns: three vote in the end,
 * one is the spare. */
static void take_over__leader_dies_at_any_step__is_finished(void **state)
{
    (void)state;
    for (pc_ms at = 4800; at <= 5600; at += 50) {
        struct net *net = net_new_with_spare();
        net_make_leader(net, 1);
        net_crash(net, 2);
        net_live(net, at / 100 * 100);
        net_run(net, at % 100);
        net_crash(net, 1);
        net_live(net, 1000);
        net_start(net, 1);
        net_live(net, 15 * 1000);
        size_t leader = net_live_until_leader(net);
        assert_string_equal(net_votes(net, leader), "1 3 4");
        net_start(net, 2);
        net_live(net, 10 * 1000);
        net_assert_role(net, 2, "spare");
        net_assert_works(net, 4, 70);
        net_delete(net);
    }
}

/* Node 2 is dead, and node 1 has begun to give its place to node 4; node 3 does not commit that. */
static struct net *net_new_half_way(void)
{
    struct net *net = net_new_with_spare();
    net_make_leader(net, 1);
    net_crash(net, 2);
    net->nodes[3].holds_disk = true;
    for (size_t k = 0; k < 100 && net_voters(net, 1) == 3; k++) {
        net_live(net, 100);
    }
    assert_int_equal(net_voters(net, 1), 2);
    assert_string_equal(net_votes(net, 1), "1 2 3");
    return net;
}

static void dead_voter__back_in_the_middle__is_the_spare(void **state)
{
    (void)state;
    struct net *net = net_new_half_way();
    net_start(net, 2);
    net->nodes[3].holds_disk = false;
    net_live(net, 5000);
    assert_string_equal(net_votes(net, net_leader(net)), "1 3 4");
    net_assert_role(net, 2, "spare");
    net_assert_works(net, 4, 80);
    net_delete(net);
}

/* Whenever the spare loses its power: the two voters that live are a quorum by themselves. The dead
 * one has its place back when it returns, and the spare is the spare. */
static void spare__loses_power_around_the_take_over__stops_nobody(void **state)
{
    (void)state;
    size_t taken_over = 0;
    for (pc_ms at = 4150; at <= 4950; at += 200) {
        struct net *net = net_new_with_spare();
        net_make_leader(net, 1);
        net_crash(net, 2);
        net_live(net, at / 100 * 100);
        net_run(net, at % 100);
        net_silence(net, 4, true);
        for (uint64_t tag = 90; tag < 93; tag++) {
            net_assert_works(net, tag % 2 == 0 ? 1 : 3, tag);
        }
        taken_over += strcmp(net_votes(net, 1), "1 2 3") != 0 ? 1 : 0;
        net_disconnect_all(net, 4);
        net_start(net, 2);
        net_live(net, 1000);
        net_live_until_votes(net, net_live_until_leader(net), "1 2 3");
        net_silence(net, 4, false);
        net_live(net, 12 * 1000);
        net_assert_role(net, 4, "spare");
        net_assert_works(net, 2, 95);
        net_delete(net);
    }
    assert_true(taken_over > 0 && taken_over < 5);
}

/* It was not heard for half a second when its vote was due: it gets none, and its place goes to the
 * node that it was to stand in for. */
static void spare__dies_between_the_two_changes__another_has_its_place(void **state)
{
    (void)state;
    struct net *net = net_new_half_way();
    net_silence(net, 4, true);
    net_run(net, 600);
    net->nodes[3].holds_disk = false;
    net_live(net, 500);
    assert_string_equal(net_votes(net, 1), "1 3");
    net_assert_works(net, 3, 80);
    net_disconnect_all(net, 4);
    net_start(net, 2);
    net_live(net, 1000);
    net_assert_role(net, 2, "spare");
    net_live_until_votes(net, net_live_until_leader(net), "1 2 3");
    net_silence(net, 4, false);
    net_live(net, 10 * 1000);
    assert_string_equal(net_votes(net, net_live_until_leader(net)), "1 2 3");
    net_assert_role(net, 4, "spare");
    net_delete(net);
}

/* What is left to be done lies in the members, not in the head of a leader. */
static void leader__changes_between_the_two_changes__the_next_one_ends_it(void **state)
{
    (void)state;
    struct net *net = net_new_half_way();
    net_silence(net, 4, true);
    net_run(net, 600);
    net->nodes[3].holds_disk = false;
    net_live(net, 500);
    assert_string_equal(net_votes(net, 1), "1 3");
    net_make_leader(net, 3);
    net_silence(net, 4, false);
    net_live(net, 1000);
    assert_string_equal(
        net_votes(net, 3), "1 3"); /* this leader has not seen yet how it keeps up */
    net_live_until_votes(net, 3, "1 3 4");
    net_assert_works(net, 4, 80);
    net_delete(net);
}

/* As a leader of an older version leaves it: the spare votes, and so does the one that is dead. */
static void dead_voter__votes_beside_the_spare__loses_its_vote(void **state)
{
    (void)state;
    struct net *net = net_new_with_spare();
    net_make_leader(net, 1);
    struct pc_node *n = net->nodes[1].node;
    struct pc_cluster_config config = n->config;
    bool hand_over;
    node_config_find(&config, 4 + 100)->want = PC_WANT_VOTER;
    node_config_find(&config, n->config.members[1].id)->want = PC_WANT_SPARE;
    assert_true(node_member_is_relieved(&config.members[1]));
    assert_false(node_member_relieve(n, &config, &hand_over)); /* nobody votes in its place yet */
    node_config_find(&config, 4 + 100)->votes = true;
    assert_true(node_member_relieve(n, &config, &hand_over));
    assert_false(hand_over);
    assert_false(config.members[1].votes);
    assert_int_equal(node_config_voters(&config), 3);
    net_delete(net);
}

/* A newcomer that dies before it votes: the spare is kept for those who do. */
static void newcomer__dies_before_it_votes__the_spare_stays_one(void **state)
{
    (void)state;
    struct net *net = net_new_with_spare();
    net_change_ok(net, net_leader(net), 1, PC_MEMBER_ADD, "node5");
    net_start_joining(net, 5);
    net_live(net, 1000);
    net_assert_role(net, 5, "learner");
    net_crash(net, 5);
    net_live(net, 15 * 1000);
    assert_string_equal(net_votes(net, net_leader(net)), "1 2 3");
    net_assert_role(net, 4, "spare");
    net_delete(net);
}

/* Power fails everywhere, before and after a take-over: roles lie in the log. */
static void all__restarted__have_the_roles_that_they_had(void **state)
{
    (void)state;
    struct net *net = net_new_with_spare();
    for (size_t round = 0; round < 2; round++) {
        size_t spare = round == 0 ? 4 : 2;
        for (size_t i = 1; i <= 4; i++) {
            net_crash(net, i);
        }
        for (size_t i = 4; i >= 1; i--) {
            net_start(net, i);
        }
        net_live(net, 4000);
        net_assert_role(net, spare, "spare");
        assert_string_equal(net_votes(net, net_leader(net)), round == 0 ? "1 2 3" : "1 3 4");
        net_set(net, spare, 1, "key", "value");
        net_assert_reply(net, spare, 1, PC_REPLY_SPARE);
        net_assert_works(net, 3, 2);
        net_crash(net, 2);
        net_live(net, 500);
        net_live_until_votes(net, net_live_until_leader(net), "1 3 4");
    }
    net_delete(net);
}

static void spare__added_by_request__takes_over(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_change(net, 2, 1, PC_MEMBER_ADD, "node4", PC_WANT_SPARE);
    net_live(net, 300);
    net_assert_reply(net, 2, 1, PC_REPLY_OK);
    net_start_joining(net, 4);
    net_live(net, 4000);
    net_assert_role(net, 4, "spare");
    net_crash(net, 1);
    net_live(net, 2000);
    net_live_until_votes(net, net_live_until_leader(net), "2 3 4");
    assert_true(net_has_note(net, net_leader(net), PC_NOTE_DEATH));
    net_assert_works(net, 4, 2);
    net_delete(net);
}

/* Its disk is lost while it is dead: it is the spare all the same. */
static void dead_voter__back_with_an_empty_disk__is_the_spare(void **state)
{
    (void)state;
    struct net *net = net_new_with_spare();
    net_crash(net, 2);
    net_live(net, 1000);
    net_live_until_votes(net, net_live_until_leader(net), "1 3 4");
    net_wipe(net, 2);
    net_start(net, 2);
    net_live(net, 8000);
    net_assert_role(net, 2, "spare");
    assert_int_equal(net_member(net, net_leader(net), 202).want, PC_WANT_SPARE);
    assert_string_equal(net_votes(net, net_leader(net)), "1 3 4");
    net_delete(net);
}

static void set_spare_node16(struct pc_node_opts *opts)
{
    (void)snprintf(opts->spares[0], sizeof opts->spares[0], "node16");
    opts->spares_n = 1;
}

/* With as many voters as there can be the dead one's vote goes before the spare has it. */
static void spare__of_as_many_voters_as_there_can_be__takes_over(void **state)
{
    (void)state;
    struct net *net = net_new_set(PC_VOTERS_MAX, set_spare_node16);
    net_start_spare(net, 16, 1);
    net_live(net, 4000);
    net_crash(net, 3);
    net_live(net, 1000);
    net_live_until_votes(net, net_live_until_leader(net), "1 2 4 5 6 7 8 9 10 11 12 13 14 15 16");
    net_start(net, 3);
    net_live(net, 1000);
    net_assert_role(net, 3, "spare");
    net_delete(net);
}

static void set_spare_node6(struct pc_node_opts *opts)
{
    (void)snprintf(opts->spares[0], sizeof opts->spares[0], "node6");
    opts->spares_n = 1;
}

/* After one take-over the next one waits: who restarts a machine after the other keeps a quorum. */
static void take_over__just_after_another__waits(void **state)
{
    (void)state;
    struct net *net = net_new_set(5, set_spare_node6);
    net_change(net, 2, 1, PC_MEMBER_ADD, "node7", PC_WANT_SPARE);
    net_live(net, 300);
    net_start_spare(net, 6, 1);
    net_start_joining(net, 7);
    net_live(net, 4000);
    net_crash(net, 4);
    net_crash(net, 5);
    net_live(net, 5500);
    size_t leader = net_live_until_leader(net);
    assert_int_equal(net_voters(net, leader), 5);
    assert_string_not_equal(net_votes(net, leader), "1 2 3 6 7");
    net_live(net, 3500);
    assert_string_not_equal(net_votes(net, leader), "1 2 3 6 7");
    net_live_until_votes(net, leader, "1 2 3 6 7");
    net_delete(net);
}

/* With its vote three of four would have to store what two can. */
static void spare__disk_full__takes_no_vote(void **state)
{
    (void)state;
    struct net *net = net_new_with_spare();
    struct pc_disk_report report = {.total_bytes = 1000000000, .sync_us = 100};
    struct pc_node_event event = {.type = PC_NODE_DISK};
    event.u.disk = &report;
    net->nodes[4].holds_disk = true;
    net_event(net, 4, PC_NODE_LOG_FULL);
    for (size_t k = 0; k < 15; k++) {
        if (k == 5) {
            net_crash(net, 3);
        }
        net_do(net, 4, &event);
        net_live(net, 1000);
    }
    assert_string_equal(net_votes(net, 1), "1 2 3");
    net_set(net, 1, 99, "key", "x");
    net_live(net, 1000);
    assert_non_null(net_reply(net, 1, 99));
    assert_int_equal(net_reply(net, 1, 99)->reply.status, PC_REPLY_OK);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(spare__of_a_new_cluster__is_not_waited_for),
    PC_TEST(spare__there_before_the_others__takes_no_part_in_formation),
    PC_TEST(spare__all_well__has_the_data_and_serves_nobody),
    PC_TEST(spare__voter_away_for_a_moment__stays_one),
    PC_TEST(spare__not_caught_up__takes_no_vote),
    PC_TEST(spare__disk_full__takes_no_vote),
    PC_TEST(spare__any_two_die_one_after_the_other__the_others_go_on),
    PC_TEST(take_over__leader_dies_at_any_step__is_finished),
    PC_TEST(dead_voter__back_in_the_middle__is_the_spare),
    PC_TEST(spare__loses_power_around_the_take_over__stops_nobody),
    PC_TEST(spare__dies_between_the_two_changes__another_has_its_place),
    PC_TEST(leader__changes_between_the_two_changes__the_next_one_ends_it),
    PC_TEST(dead_voter__votes_beside_the_spare__loses_its_vote),
    PC_TEST(newcomer__dies_before_it_votes__the_spare_stays_one),
    PC_TEST(dead_voter__back_with_an_empty_disk__is_the_spare),
    PC_TEST(all__restarted__have_the_roles_that_they_had),
    PC_TEST(spare__added_by_request__takes_over),
    PC_TEST(spare__of_as_many_voters_as_there_can_be__takes_over),
    PC_TEST(take_over__just_after_another__waits),
};

PC_TEST_MAIN("node_spare", tests)
