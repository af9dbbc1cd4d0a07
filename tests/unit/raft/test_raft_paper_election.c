/* Elections, a test per rule: thesis 3.4, 3.6.1, 3.10 (order to campaign), 4.2.3, 6.2, 9.6, and the
 * house's own rule that a promise leaves only when it is durable. */
#include "unit/raft/raft_net.h"

static struct pc_raft_msg vote_of(
    pc_node_id from, pc_node_id to, pc_term term, pc_index last_index, pc_term last_term)
{
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_VOTE, from, to, term);
    m.u.vote.last_index = last_index;
    m.u.vote.last_term = last_term;
    return m;
}

/* The answer to a vote request, once all is durable. */
static bool vote_is_granted(struct net *net, const struct pc_raft_msg *request)
{
    net_recv(net, request);
    (void)net_sync(net, request->to);
    struct pc_raft_msg m = net_hold(net, PC_RAFT_MSG_VOTE_RESP, request->to, request->from);
    assert_int_equal(m.u.vote_resp.pre, request->u.vote.pre);
    return m.u.vote_resp.granted;
}

struct log_case {
    pc_index last_index;
    pc_term last_term;
    bool granted;
};

/* 3.4: the voter's log ends with index 4 of term 3. */
static void vote__candidates_log__must_be_as_up_to_date(void **state)
{
    (void)state;
    static const struct log_case cases[] = {
        {4, 3, true},
        {5, 3, true},
        {3, 3, false},
        {9, 2, false},
        {1, 4, true},
        {4, 4, true},
        {0, 0, false},
        {UINT64_MAX, 1, false},
    };
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        struct net *net = net_new(3);
        net_crash(net, 1);
        net_disk_add(net, 1, 2, "a");
        net_disk_add(net, 1, 3, "b");
        net_disk_add(net, 1, 3, "c");
        net_start(net, 1);
        const struct log_case *c = &cases[i / 2];
        struct pc_raft_msg m = vote_of(2, 1, 7, c->last_index, c->last_term);
        m.u.vote.pre = i % 2 == 1;
        assert_int_equal(vote_is_granted(net, &m), c->granted);
        assert_int_equal(net_status(net, 1).term, m.u.vote.pre ? 3 : 7);
        net_delete(net);
    }
}

static void vote__second_candidate_of_the_term__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg two = vote_of(2, 1, 5, 1, 1), three = vote_of(3, 1, 5, 1, 1);
    assert_true(vote_is_granted(net, &two));
    assert_false(vote_is_granted(net, &three));
    assert_true(vote_is_granted(net, &two)); /* its answer was lost, say */
    three.term = 4;
    assert_false(vote_is_granted(net, &three)); /* an old term */
    three.term = 6;
    assert_true(vote_is_granted(net, &three));
    net_delete(net);
}

static void vote__granted__leaves_only_when_durable(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg m = vote_of(2, 1, 5, 1, 1);
    net_recv(net, &m);
    assert_int_equal(net->msgs_n, 0);
    assert_int_equal(net_status(net, 1).vote, 2);
    (void)net_sync(net, 1);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE_RESP, 1, 2), 1);
    net_delete(net);
}

/* The space for entries may be full while that for votes is not. */
static void vote__granted__leaves_when_the_vote_alone_is_durable(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg m = vote_of(2, 1, 5, 1, 1);
    net_recv(net, &m);
    net_sync_votes(net, 1);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE_RESP, 1, 2), 1);
    net_delete(net);
}

static void vote__crash_before_it_was_durable__was_never_promised(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg two = vote_of(2, 1, 5, 1, 1), three = vote_of(3, 1, 5, 1, 1);
    net_recv(net, &two);
    net_crash(net, 1);
    net_start(net, 1);
    assert_true(vote_is_granted(net, &three));
    net_delete(net);
}

static void vote__crash_after_it_was_durable__is_remembered(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg two = vote_of(2, 1, 5, 1, 1), three = vote_of(3, 1, 5, 1, 1);
    assert_true(vote_is_granted(net, &two));
    net_crash(net, 1);
    net_start(net, 1);
    assert_false(vote_is_granted(net, &three));
    assert_true(vote_is_granted(net, &two));
    net_delete(net);
}

/* A promise of a term that has passed meanwhile is dropped, not sent late. */
static void vote__newer_term_before_it_was_durable__is_not_sent(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg two = vote_of(2, 1, 5, 1, 1), three = vote_of(3, 1, 6, 1, 1);
    net_recv(net, &two);
    net_recv(net, &three);
    (void)net_sync(net, 1);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE_RESP, 1, 2), 0);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE_RESP, 1, 3), 1);
    net_delete(net);
}

/* 4.2.3: the config that makes it a voter may not have come here yet. The candidate counts. */
static void vote__candidate_unknown_here__is_granted(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net->n = 4; /* there is a fourth, of whom the three know nothing */
    struct pc_raft_msg m = vote_of(4, 1, 5, 1, 1);
    net_recv(net, &m);
    (void)net_sync(net, 1);
    assert_int_equal(net->nodes[1].vote, 4);
    assert_true(net->msgs[net_find(net, PC_RAFT_MSG_VOTE_RESP, 1, 4)].u.vote_resp.granted);
    net->n = 3;
    net_delete(net);
}

static void vote_resp__stranger__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_VOTE_RESP, 9, 1, 8);
    net_recv(net, &m);
    assert_int_equal(net_status(net, 1).term, 1);
    assert_int_equal(net->nodes[1].queue_n, 0);
    net_delete(net);
}

static void campaign__request__leaves_only_when_own_vote_is_durable(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_time_out(net, 1);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE, 1, 0), 2); /* pre-votes promise nothing */
    net_deliver(net, PC_RAFT_MSG_VOTE, 1, 2);
    net_deliver(net, PC_RAFT_MSG_VOTE_RESP, 2, 1);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_CANDIDATE);
    net_drop(net, PC_RAFT_MSG_VOTE, 1, 3);
    assert_int_equal(net->msgs_n, 0);
    (void)net_sync(net, 1);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE, 1, 0), 2);
    net_delete(net);
}

/* The first two answers of a wrong kind must not count. */
static void campaign__votes_of_another_kind_or_term__do_not_count(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_time_out(net, 1);
    net_drop_all(net);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_VOTE_RESP, 2, 1, 1);
    m.u.vote_resp.granted = true;
    net_recv(net, &m); /* a vote, while it asks for pre-votes */
    assert_int_equal(net_status(net, 1).role, PC_RAFT_PRECANDIDATE);
    m.u.vote_resp.pre = true;
    net_recv(net, &m);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_CANDIDATE);
    m.term = 2;
    net_recv(net, &m); /* a pre-vote, while it asks for votes */
    m.u.vote_resp.pre = false;
    m.term = 1;
    net_recv(net, &m); /* a vote of an older term */
    m.term = 2;
    m.u.vote_resp.granted = false;
    net_recv(net, &m);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_CANDIDATE);
    m.u.vote_resp.granted = true;
    net_recv(net, &m);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_delete(net);
}

static void campaign__one_voter_says_yes_often__is_one_vote(void **state)
{
    (void)state;
    struct net *net = net_new(5);
    net_time_out(net, 1);
    net_drop_all(net);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_VOTE_RESP, 2, 1, 1);
    m.u.vote_resp.granted = true;
    m.u.vote_resp.pre = true;
    for (size_t i = 0; i < 4; i++) {
        net_recv(net, &m);
    }
    assert_int_equal(net_status(net, 1).role, PC_RAFT_PRECANDIDATE);
    m.from = 3;
    net_recv(net, &m);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_CANDIDATE);
    net_delete(net);
}

static void campaign__leader_of_the_same_term__is_followed(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 2);
    net_crash(net, 1);
    net_start(net, 1);
    net_time_out(net, 1);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_PRECANDIDATE);
    net_drop_all(net);
    net_time_out(net, 2); /* heartbeat */
    net_settle(net);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_FOLLOWER);
    assert_int_equal(net_status(net, 1).leader, 2);
    net_delete(net);
}

/* 3.4: split votes are resolved by new random timeouts, in a new term. */
static void campaign__split_vote__later_term_elects_one(void **state)
{
    (void)state;
    struct net *net = net_new(2);
    net_sleep(net, 1000);
    net_wake(net, 1);
    net_wake(net, 2);
    net_deliver(net, PC_RAFT_MSG_VOTE, 1, 2);
    net_deliver(net, PC_RAFT_MSG_VOTE, 2, 1);
    net_deliver(net, PC_RAFT_MSG_VOTE_RESP, 1, 2);
    net_deliver(net, PC_RAFT_MSG_VOTE_RESP, 2, 1);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_CANDIDATE);
    assert_int_equal(net_status(net, 2).role, PC_RAFT_CANDIDATE);
    net_settle(net);
    assert_int_equal(net_leader(net), 0);
    net_run(net, 5000);
    assert_int_not_equal(net_leader(net), 0);
    assert_true(net_status(net, net_leader(net)).term > 2);
    net_delete(net);
}

/*  1  node 3 learns of term 2 from node 2, whose log is too short for its vote
 *  2  node 3 times out: pre-candidate in term 2, which has not voted in it
 *  3  node 1 asks for its vote in term 2, with a log that is long enough          */
static void campaign__vote_asked_of_a_precandidate_of_the_term__is_given(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg poor = vote_of(2, 3, 2, 0, 0), rich = vote_of(1, 3, 2, 1, 1);
    assert_false(vote_is_granted(net, &poor));
    net_time_out(net, 3);
    net_drop_all(net);
    assert_int_equal(net_status(net, 3).role, PC_RAFT_PRECANDIDATE);
    assert_true(vote_is_granted(net, &rich));
    assert_int_equal(net_status(net, 3).role, PC_RAFT_FOLLOWER);
    net_delete(net);
}

/* 9.6 */
static void prevote__asked__changes_nothing(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_instant before = pc_raft_wake_at(net->nodes[1].raft);
    struct pc_raft_msg m = vote_of(2, 1, 7, 1, 1);
    m.u.vote.pre = true;
    assert_true(vote_is_granted(net, &m));
    m.from = 3;
    assert_true(vote_is_granted(net, &m)); /* it is no vote: both may have it */
    struct pc_raft_status status = net_status(net, 1);
    assert_int_equal(status.term, 1);
    assert_int_equal(status.vote, 0);
    assert_int_equal(net->nodes[1].queue_n, 0);
    assert_true(pc_raft_wake_at(net->nodes[1].raft).us == before.us);
    m.term = 1;
    assert_false(vote_is_granted(net, &m)); /* not a newer term than mine */
    net_delete(net);
}

static void prevote__partitioned_node__raises_no_term_and_disturbs_nobody(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    pc_term term = net_status(net, 1).term;
    net->cut[1][3] = net->cut[2][3] = net->cut[3][1] = net->cut[3][2] = true;
    net_run(net, 30 * 1000);
    assert_int_equal(net_status(net, 3).term, term);
    assert_int_equal(net_status(net, 3).elections_started, 0);
    memset(net->cut, 0, sizeof net->cut);
    net_run(net, 3000);
    assert_int_equal(net_leader(net), 1);
    assert_int_equal(net_status(net, 1).term, term);
    assert_int_equal(net_status(net, 3).leader, 1);
    net_delete(net);
}

/* A node that hears nobody but is heard by all, for ever. */
static void prevote__one_way_cut__leader_stays(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net->cut[1][3] = net->cut[2][3] = true;
    pc_term term = net_status(net, 1).term;
    net_run(net, 10 * 1000);
    assert_int_equal(net_leader(net), 1);
    assert_int_equal(net_status(net, 1).term, term);
    net_delete(net);
}

/* 4.2.3 */
static void vote__leader_is_fresh__not_even_the_term_is_taken(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    pc_term term = net_status(net, 1).term;
    for (pc_node_id to = 1; to <= 2; to++) {
        struct pc_raft_msg m = vote_of(3, to, term + 5, 100, term);
        net_recv(net, &m);
        m.u.vote.pre = true;
        net_recv(net, &m);
        assert_int_equal(net_status(net, to).term, term);
        assert_int_equal(net->msgs_n, 0);
    }
    net_sleep(net, net->opts.election_min_ms - 1);
    struct pc_raft_msg m = vote_of(3, 2, term + 5, 100, term);
    net_recv(net, &m);
    assert_int_equal(net_status(net, 2).term, term);
    net_sleep(net, 1);
    assert_true(vote_is_granted(net, &m));
    net_delete(net);
}

static void leader_lost__the_leader__votes_are_free_at_once(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    pc_term term = net_status(net, 1).term;
    struct pc_raft_msg m = vote_of(3, 2, term + 1, 100, term);
    net_leader_lost(net, 2, 3); /* somebody else died */
    net_recv(net, &m);
    assert_int_equal(net_status(net, 2).leader, 1);
    assert_int_equal(net->msgs_n, 0);
    net_leader_lost(net, 2, 1);
    assert_int_equal(net_status(net, 2).leader, 0);
    assert_true(vote_is_granted(net, &m));
    net_delete(net);
}

static void leader_lost__all_know__a_new_leader_before_a_timeout(void **state)
{
    (void)state;
    for (size_t n = 3; n <= 5; n += 2) {
        for (size_t repeat = 0; repeat < 20; repeat++) {
            struct net *net = net_new(n);
            net->starts = 100 * repeat;
            net_crash(net, 2); /* other seeds */
            net_start(net, 2);
            net_elect(net, 1);
            net_crash(net, 1);
            for (pc_node_id id = 2; id <= n; id++) {
                net_leader_lost(net, id, 1);
            }
            /* Two may draw the same instant: then a second try, after a short while too. */
            net_run(net, net->opts.election_min_ms / 2);
            assert_int_not_equal(net_leader(net), 0);
            net_delete(net);
        }
    }
}

/* 6.2: a leader that hears no majority stops being one. */
static void check_quorum__leader_cut_off__steps_down_in_time(void **state)
{
    (void)state;
    struct net *net = net_new(5);
    net_elect(net, 1);
    net->cut[4][1] = net->cut[5][1] = true;
    net_run(net, 5000);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER); /* three of five are a majority */
    net->cut[3][1] = true;
    net_run(net, net->opts.election_max_ms - net->opts.heartbeat_ms);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_run(net, 2 * net->opts.heartbeat_ms);
    struct pc_raft_status status = net_status(net, 1);
    assert_int_not_equal(status.role, PC_RAFT_LEADER);
    assert_int_equal(status.leader, 0);
    net_delete(net);
}

static void cluster_of_one__starts__leads_but_commits_only_what_is_durable(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    net_time_out(net, 1);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    assert_int_equal(net_status(net, 1).commit, 0);
    net_propose(net, 1, "a");
    (void)net_sync(net, 1);
    assert_int_equal(net_status(net, 1).commit, 3);
    net_run(net, 10 * 1000);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_delete(net);
}

/* Crash, election, crash again, with nothing synced but what the machine waited for. */
static void elections__crashes_at_every_step__one_leader_per_term(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct net *net = net_new(3);
        struct pc_prng prng;
        pc_prng_seed(&prng, seed);
        for (size_t i = 0; i < 400; i++) {
            pc_node_id id = 1 + pc_prng_below(&prng, 3);
            uint64_t dice = pc_prng_below(&prng, 100);
            if (dice < 4) {
                net_crash(net, id);
                net_start(net, id);
            } else if (dice < 15) {
                net_time_out(net, id);
            } else if (dice < 25 && net->nodes[id].queue_n > 0) {
                net_sync_some(net, id, 1 + pc_prng_below(&prng, net->nodes[id].queue_n));
            } else if (dice < 30) {
                net_leader_lost(net, id, net_status(net, id).leader);
            } else if (dice < 35 && pc_raft_can_propose(net->nodes[id].raft)) {
                net_propose(net, id, "x");
            } else if (dice < 38 && net->msgs_n > 0) {
                struct pc_raft_msg m = net_take(net, pc_prng_below(&prng, net->msgs_n));
                pc_raft_msg_clear(&m);
            } else if (dice < 40) {
                net_sync_votes(net, id);
            } else if (net->msgs_n > 0) {
                net_deliver_at(net, pc_prng_below(&prng, net->msgs_n));
            }
        }
        net_run(net, 6000);
        net_assert_converged(net);
        net_delete(net);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(vote__candidates_log__must_be_as_up_to_date),
    PC_TEST(vote__second_candidate_of_the_term__is_refused),
    PC_TEST(vote__granted__leaves_only_when_durable),
    PC_TEST(vote__granted__leaves_when_the_vote_alone_is_durable),
    PC_TEST(vote__crash_before_it_was_durable__was_never_promised),
    PC_TEST(vote__crash_after_it_was_durable__is_remembered),
    PC_TEST(vote__newer_term_before_it_was_durable__is_not_sent),
    PC_TEST(vote__candidate_unknown_here__is_granted),
    PC_TEST(vote_resp__stranger__is_ignored),
    PC_TEST(campaign__request__leaves_only_when_own_vote_is_durable),
    PC_TEST(campaign__votes_of_another_kind_or_term__do_not_count),
    PC_TEST(campaign__one_voter_says_yes_often__is_one_vote),
    PC_TEST(campaign__leader_of_the_same_term__is_followed),
    PC_TEST(campaign__split_vote__later_term_elects_one),
    PC_TEST(campaign__vote_asked_of_a_precandidate_of_the_term__is_given),
    PC_TEST(prevote__asked__changes_nothing),
    PC_TEST(prevote__partitioned_node__raises_no_term_and_disturbs_nobody),
    PC_TEST(prevote__one_way_cut__leader_stays),
    PC_TEST(vote__leader_is_fresh__not_even_the_term_is_taken),
    PC_TEST(leader_lost__the_leader__votes_are_free_at_once),
    PC_TEST(leader_lost__all_know__a_new_leader_before_a_timeout),
    PC_TEST(check_quorum__leader_cut_off__steps_down_in_time),
    PC_TEST(cluster_of_one__starts__leads_but_commits_only_what_is_durable),
    PC_TEST(elections__crashes_at_every_step__one_leader_per_term),
};

PC_TEST_MAIN("raft_paper_election", tests)
