/* Changes of members (thesis, chapter 4): which config is in force, and who counts. */
#include "unit/raft/raft_net.h"

static const struct pc_raft_config *config_at(const struct net *net, pc_node_id id)
{
    return pc_raft_config_get(net->nodes[id].raft);
}

static bool may_change(const struct net *net, pc_node_id id)
{
    return pc_raft_can_change_config(net->nodes[id].raft);
}

static void cut(struct net *net, pc_node_id a, pc_node_id b, bool is_cut)
{
    net->cut[a][b] = is_cut;
    net->cut[b][a] = is_cut;
}

static void isolate(struct net *net, pc_node_id id, bool is_cut)
{
    for (pc_node_id other = 1; other <= net->n; other++) {
        cut(net, id, other, is_cut);
    }
}

/* ---- in force, and not any more */

static void config__appended__is_in_force_before_it_is_committed(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    net_elect(net, 1);
    isolate(net, 1, true);
    net_change(net, 1, "v1234");
    assert_int_equal(config_at(net, 1)->voters_n, 4);
    assert_int_equal(config_at(net, 1)->index, 3);
    assert_int_equal(pc_raft_config_committed(net->nodes[1].raft)->voters_n, 3);
    isolate(net, 1, false);
    net_join(net, 4);
    net_run(net, 200);
    assert_int_equal(pc_raft_config_committed(net->nodes[1].raft)->voters_n, 4);
    assert_int_equal(config_at(net, 4)->voters_n, 4);
    net_assert_converged(net);
    net_delete(net);
}

static void config__truncated__gives_way_to_the_one_before(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    net_elect(net, 1);
    isolate(net, 1, true);
    net_change(net, 1, "v1234");
    (void)net_sync(net, 1);
    net_elect(net, 2);
    isolate(net, 1, false);
    net_run(net, 300);
    assert_int_equal(config_at(net, 1)->index, 1);
    assert_int_equal(config_at(net, 1)->voters_n, 3);
    assert_false(pc_raft_is_voter(net->nodes[1].raft, 4));
    net_delete(net);
}

static void config__in_the_tail_of_a_restarted_node__is_in_force(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    net_elect(net, 1);
    isolate(net, 1, true);
    net_change(net, 1, "v12 l3");
    (void)net_sync(net, 1);
    net_crash(net, 1);
    net_start(net, 1);
    assert_int_equal(config_at(net, 1)->voters_n, 2);
    assert_int_equal(config_at(net, 1)->learners[0], 3);
    assert_int_equal(pc_raft_config_committed(net->nodes[1].raft)->voters_n, 3);
    net_delete(net);
}

static void config__that_cannot_be_read__is_not_taken(void **state)
{
    (void)state;
    static const char *const bodies[] = {"?", "", "l1", "v11", "v12 l1"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct net *net = net_new_members("v123", 3);
        struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, 2, 1, 1);
        const struct pc_entry *first = net_disk_at(&net->nodes[1], 1);
        struct pc_entry entry = net_entry(first, 1, PC_ENTRY_CONFIG, bodies[i]);
        m.u.append.prev_index = 1;
        m.u.append.prev_term = 1;
        m.u.append.prev_chain = first->chain;
        pc_entries_push(&m.entries, &entry);
        net_recv(net, &m);
        assert_int_equal(net_status(net, 1).last, 1);
        assert_int_equal(net->msgs_n, 0);
        struct pc_raft_restored restored = {.tail = &entry, .tail_n = 1};
        assert_false(pc_raft_can_restore(&net->opts, &restored));
        pc_entry_clear(&entry);
        pc_raft_msg_clear(&m);
        net_delete(net);
    }
}

/* ---- one at a time, and not before an entry of the own term */

static void change__until_the_one_before_is_committed__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    assert_false(may_change(net, 1));
    net_elect(net, 1);
    assert_true(may_change(net, 1));
    isolate(net, 1, true);
    net_change(net, 1, "v123 l4");
    assert_false(may_change(net, 1));
    assert_true(pc_raft_can_propose(net->nodes[1].raft));
    isolate(net, 1, false);
    net_run(net, 200);
    assert_true(may_change(net, 1));
    net_delete(net);
}

/* The single-server bug of 2015: 1 appends a config, 2 leads the next term and would change the
 * voters too, 1 comes back. Both changes would have been committed by majorities that do not meet.
 * As it is, 2 has to commit an entry first, and whoever has that does not vote for 1. */
static void change__two_leaders_in_turn__never_without_an_own_entry_committed(void **state)
{
    (void)state;
    struct net *net = net_new_members("v1234", 5);
    net_join(net, 5);
    net_elect(net, 1);
    cut(net, 1, 2, true);
    cut(net, 1, 3, true);
    cut(net, 1, 4, true);
    net_change(net, 1, "v12345");
    net_settle(net);
    net_run(net, 100);
    assert_int_equal(config_at(net, 5)->voters_n, 5);
    isolate(net, 1, true);
    cut(net, 1, 5, true);
    net_sleep(net, 600);
    net_time_out(net, 2);
    while (net_status(net, 2).role != PC_RAFT_LEADER) {
        for (size_t left = net->msgs_n; left > 0; left--) {
            net_deliver_at(net, 0);
        }
        for (pc_node_id id = 2; id <= 4; id++) {
            if (net->nodes[id].queue_n > 0 && net_status(net, 2).role != PC_RAFT_LEADER) {
                (void)net_sync(net, id);
            }
        }
    }
    assert_false(may_change(net, 2)); /* its own entry has not been committed */
    assert_true(pc_raft_can_propose(net->nodes[2].raft));
    net_settle(net);
    assert_true(may_change(net, 2));
    net_change(net, 2, "v234");
    net_settle(net);
    assert_int_equal(pc_raft_config_committed(net->nodes[2].raft)->voters_n, 3);
    cut(net, 1, 5, false);
    cut(net, 1, 3, false);
    cut(net, 1, 4, false);
    net_crash(net, 2);
    net_sleep(net, 2000);
    net_time_out(net, 1); /* needs three of five: 1, 5 and one of those who have the entry of 2 */
    net_settle(net);
    assert_int_not_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_run(net, 3000);
    assert_int_not_equal(net_leader(net), 1);
    net_delete(net);
}

/* ---- learners */

static void learner__has_everything__counts_for_nothing(void **state)
{
    (void)state;
    struct net *net = net_new_members("v12 l3", 3);
    net_elect(net, 1);
    pc_index commit = net_status(net, 1).commit;
    isolate(net, 2, true);
    net_propose(net, 1, "a");
    net_read(net, 1, 7);
    net_settle(net);
    assert_int_equal(net_disk_last(&net->nodes[3]), commit + 1);
    assert_int_equal(net_status(net, 1).commit, commit);
    assert_int_equal(net->nodes[1].reads_n, 0);
    net_run(net, 1200); /* it answers all the time, and holds no leader up */
    assert_int_not_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_delete(net);
}

static void learner__without_a_leader__never_stands(void **state)
{
    (void)state;
    struct net *net = net_new_members("v12 l3", 3);
    net_elect(net, 1);
    net_crash(net, 1);
    net_crash(net, 2);
    net_run(net, 5000);
    assert_int_equal(net_status(net, 3).role, PC_RAFT_FOLLOWER);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_TIMEOUT_NOW, 1, 3, net_status(net, 3).term);
    net_recv(net, &m);
    assert_int_equal(net_status(net, 3).role, PC_RAFT_FOLLOWER);
    assert_int_equal(net_status(net, 3).elections_started, 0);
    net_delete(net);
}

static void learner__asks_for_a_read__is_answered(void **state)
{
    (void)state;
    struct net *net = net_new_members("v12 l3", 3);
    net_elect(net, 1);
    net_read(net, 3, 9);
    net_settle(net);
    assert_int_equal(net->nodes[3].reads_n, 1);
    assert_int_equal(net->nodes[3].reads[0].index, net_status(net, 1).commit);
    net_delete(net);
}

static void learner__transfer_to_it__is_not_begun(void **state)
{
    (void)state;
    struct net *net = net_new_members("v12 l3", 3);
    net_elect(net, 1);
    net_transfer(net, 1, 3);
    assert_false(net_status(net, 1).transferring);
    net_crash(net, 2);
    net_run(net, 700);
    net_transfer(net, 1, 0);
    assert_false(net_status(net, 1).transferring);
    net_delete(net);
}

static void learner__promoted__counts_from_then_on(void **state)
{
    (void)state;
    struct net *net = net_new_members("v12 l3", 3);
    net_elect(net, 1);
    net_change(net, 1, "v123");
    net_settle(net);
    isolate(net, 2, true);
    net_propose(net, 1, "a");
    net_settle(net);
    assert_int_equal(net_status(net, 1).commit, net_status(net, 1).last);
    net_delete(net);
}

/* ---- coming and going */

static void join__uninvited__takes_nothing(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    net_elect(net, 1);
    net_change(net, 1, "v123 l4");
    net_run(net, 200);
    assert_int_equal(net_status(net, 4).last, 0);
    assert_int_equal(net_status(net, 4).leader, 0);
    net_join(net, 4);
    assert_true(net_status(net, 4).joining);
    net_run(net, 200);
    assert_false(net_status(net, 4).joining);
    assert_int_equal(config_at(net, 4)->learners[0], 4);
    net_assert_converged(net);
    net_delete(net);
}

/* The entry that makes 4 a voter is at 3 and 4 only when 1 dies: 4 needs the vote of 2. */
static void voter__unknown_to_those_it_asks__is_voted_for(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123 l4", 4);
    net_elect(net, 1);
    cut(net, 1, 2, true);
    net_change(net, 1, "v1234");
    net_settle(net);
    net_crash(net, 1);
    assert_false(pc_raft_is_voter(net->nodes[2].raft, 4));
    net_elect(net, 4);
    assert_true(pc_raft_is_voter(net->nodes[2].raft, 4));
    net_delete(net);
}

static void vote__asked_of_a_node_without_config_and_log__is_not_given(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    net_join(net, 4);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_VOTE, 1, 4, 5);
    m.u.vote.last_index = 1;
    m.u.vote.last_term = 1;
    net_recv(net, &m);
    assert_int_equal(net_status(net, 4).term, 0);
    assert_int_equal(net->nodes[4].queue_n, 0);
    net_delete(net);
}

static void leader__removed__leads_without_counting_itself_until_committed(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 3);
    net_elect(net, 1);
    isolate(net, 3, true);
    net_change(net, 1, "v23");
    net_settle(net);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    assert_int_equal(net_status(net, 1).commit, 2); /* 1 and 2 have it: one of the two voters */
    isolate(net, 3, false);
    struct pc_instant before = net->now;
    net_run(net, 100); /* a heartbeat, and no election timeout */
    assert_true(net->now.us - before.us < net->opts.election_min_ms * 1000);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_FOLLOWER);
    pc_node_id leader = net_leader(net);
    assert_true(leader == 2 || leader == 3);
    assert_int_equal(pc_raft_config_committed(net->nodes[leader].raft)->voters_n, 2);
    net_run(net, 5000);
    assert_int_equal(net_leader(net), leader); /* nobody disturbs it */
    assert_int_equal(net_status(net, 1).elections_started, 1);
    net_delete(net);
}

static void member__removed__is_told_and_left_alone(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 3);
    struct pc_raft_peer_status peer;
    net_elect(net, 1);
    net_change(net, 1, "v12");
    net_run(net, 200);
    assert_false(pc_raft_is_voter(net->nodes[3].raft, 3));
    assert_int_equal(config_at(net, 3)->index, 3);
    assert_false(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    net_run(net, 5000);
    assert_int_equal(net_leader(net), 1);
    assert_int_equal(net_status(net, 3).elections_started, 0);
    net_delete(net);
}

static void member__removed_while_away__is_let_go(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 3);
    struct pc_raft_peer_status peer;
    net_elect(net, 1);
    net_crash(net, 3);
    net_change(net, 1, "v12");
    net_settle(net);
    assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    net_run(net, 2000);
    assert_false(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    net_delete(net);
}

static void member__restarts__goes_on_as_what_it_is(void **state)
{
    (void)state;
    struct net *net = net_new_members("v12 l3", 3);
    net_elect(net, 1);
    for (pc_node_id id = 2; id <= 3; id++) {
        struct pc_raft_event event = {.type = PC_RAFT_PEER_RESTARTED};
        event.u.peer = id;
        net_do(net, 1, &event);
    }
    isolate(net, 2, true);
    net_propose(net, 1, "a");
    net_settle(net);
    assert_true(net_status(net, 1).commit < net_status(net, 1).last);
    isolate(net, 2, false);
    net_run(net, 200);
    assert_int_equal(net_status(net, 1).commit, net_status(net, 1).last);
    net_delete(net);
}

/* ---- the last two */

static void leader_of_two__other_one_silent__is_suspended_if_so_set(void **state)
{
    (void)state;
    for (int suspends = 0; suspends < 2; suspends++) {
        struct net *net = net_new_members("v12", 2);
        net_crash(net, 1);
        net->opts.suspend_alone = suspends == 1;
        net_start(net, 1);
        net_elect(net, 1);
        isolate(net, 2, true);
        net_run(net, 3000);
        assert_int_equal(net_status(net, 1).role == PC_RAFT_LEADER, suspends == 1);
        assert_int_equal(net_status(net, 1).suspended, suspends == 1);
        if (suspends == 1) {
            isolate(net, 2, false);
            net_run(net, 100);
            assert_false(net_status(net, 1).suspended);
            assert_int_equal(net_leader(net), 1);
        }
        net_delete(net);
    }
}

static struct net *suspended_net(const char *members, size_t nodes)
{
    struct net *net = net_new_members(members, nodes);
    net_crash(net, 1);
    net->opts.suspend_alone = true;
    net_start(net, 1);
    net_elect(net, 1);
    net_run(net, 200);
    isolate(net, 2, true);
    return net;
}

static void leader_suspended__reads_before_and_meanwhile__are_refused_at_once(void **state)
{
    (void)state;
    struct net *net = suspended_net("v12 l3", 3);
    struct net_node *leader = &net->nodes[1];
    net_read(net, 1, 5);
    net_run(net, 100);
    assert_int_equal(leader->reads_n, 0);
    net_run(net, 3000);
    assert_true(net_status(net, 1).suspended);
    assert_int_equal(leader->reads_n, 1);
    assert_int_equal(leader->reads[0].ctx, 5);
    assert_int_equal(leader->reads[0].index, 0);
    for (size_t i = 1; i <= 3; i++) {
        net_read(net, 1, 5 + i);
        assert_int_equal(leader->reads_n, 1 + i);
        assert_int_equal(leader->reads[i].index, 0);
    }
    net_read(net, 3, 9);
    net_settle(net);
    assert_int_equal(net->nodes[3].reads_n, 1);
    assert_int_equal(net->nodes[3].reads[0].index, 0);
    isolate(net, 2, false);
    net_run(net, 200);
    assert_false(net_status(net, 1).suspended);
    net_read(net, 1, 10);
    net_run(net, 200);
    assert_int_equal(leader->reads_n, 5);
    assert_int_equal(leader->reads[4].index, net_status(net, 1).commit);
    net_delete(net);
}

static void leader_suspended__replica_answers__stays_so_until_the_voter_does(void **state)
{
    (void)state;
    struct net *net = suspended_net("v12 l3", 3);
    net_run(net, 3000);
    assert_true(net_status(net, 1).suspended);
    net_propose(net, 1, "a");
    net_settle(net);
    assert_int_equal(net_status(net, 3).last, net_status(net, 1).last);
    assert_true(net_status(net, 1).suspended);
    isolate(net, 2, false);
    net_run(net, 200);
    assert_false(net_status(net, 1).suspended);
    assert_int_equal(net_status(net, 1).commit, net_status(net, 1).last);
    net_delete(net);
}

static void leader_of_three__nobody_heard__is_never_suspended(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 3);
    net_crash(net, 1);
    net->opts.suspend_alone = true;
    net_start(net, 1);
    net_elect(net, 1);
    isolate(net, 1, true);
    net_run(net, 3000);
    assert_int_not_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_delete(net);
}

static void leader_of_two__drops_the_other_vote__commits_and_reads_alone(void **state)
{
    (void)state;
    struct net *net = net_new_members("v12", 2);
    net_crash(net, 1);
    net->opts.suspend_alone = true;
    net_start(net, 1);
    net_elect(net, 1);
    net_crash(net, 2);
    net_run(net, 1500);
    assert_true(net_status(net, 1).suspended);
    net_change(net, 1, "v1 l2");
    net_run(net, 200);
    net_read(net, 1, 5);
    net_settle(net);
    assert_int_equal(net->nodes[1].reads_n, 1);
    assert_int_equal(net->nodes[1].reads[0].index, net_status(net, 1).commit);
    assert_int_equal(net_status(net, 1).commit, net_status(net, 1).last);
    assert_false(net_status(net, 1).suspended);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(config__appended__is_in_force_before_it_is_committed),
    PC_TEST(config__truncated__gives_way_to_the_one_before),
    PC_TEST(config__in_the_tail_of_a_restarted_node__is_in_force),
    PC_TEST(config__that_cannot_be_read__is_not_taken),
    PC_TEST(change__until_the_one_before_is_committed__is_refused),
    PC_TEST(change__two_leaders_in_turn__never_without_an_own_entry_committed),
    PC_TEST(learner__has_everything__counts_for_nothing),
    PC_TEST(learner__without_a_leader__never_stands),
    PC_TEST(learner__asks_for_a_read__is_answered),
    PC_TEST(learner__transfer_to_it__is_not_begun),
    PC_TEST(learner__promoted__counts_from_then_on),
    PC_TEST(join__uninvited__takes_nothing),
    PC_TEST(voter__unknown_to_those_it_asks__is_voted_for),
    PC_TEST(vote__asked_of_a_node_without_config_and_log__is_not_given),
    PC_TEST(leader__removed__leads_without_counting_itself_until_committed),
    PC_TEST(member__removed__is_told_and_left_alone),
    PC_TEST(member__removed_while_away__is_let_go),
    PC_TEST(member__restarts__goes_on_as_what_it_is),
    PC_TEST(leader_of_two__other_one_silent__is_suspended_if_so_set),
    PC_TEST(leader_suspended__reads_before_and_meanwhile__are_refused_at_once),
    PC_TEST(leader_suspended__replica_answers__stays_so_until_the_voter_does),
    PC_TEST(leader_of_three__nobody_heard__is_never_suspended),
    PC_TEST(leader_of_two__drops_the_other_vote__commits_and_reads_alone),
};

PC_TEST_MAIN("raft_members", tests)
