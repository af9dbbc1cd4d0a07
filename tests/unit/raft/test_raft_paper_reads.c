/* Linearizable reads without a log entry, thesis 6.4: a read index counts only when a round that
 * began after the read was answered by a majority. */
#include "core/raft/raft_int.h"
#include "unit/raft/raft_net.h"

static void assert_read_done(struct net *net, pc_node_id id, uint64_t ctx, pc_index index)
{
    struct net_node *node = &net->nodes[id];
    assert_true(node->reads_n > 0);
    assert_int_equal(node->reads[0].ctx, ctx);
    assert_int_equal(node->reads[0].index, index);
    node->reads_n--;
    memmove(node->reads, node->reads + 1, node->reads_n * sizeof node->reads[0]);
}

static uint64_t round_of(struct net *net, pc_node_id to)
{
    size_t k = net_find(net, PC_RAFT_MSG_APPEND, 0, to);
    uint64_t newest = 0;
    for (; k < net->msgs_n; k++) {
        const struct pc_raft_msg *m = &net->msgs[k];
        if (m->type == PC_RAFT_MSG_APPEND && m->to == to && m->u.append.round > newest) {
            newest = m->u.append.round;
        }
    }
    return newest;
}

static void read__leader_with_a_quorum__gets_the_commit_index(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_propose(net, 1, "a");
    net_settle(net);
    net_read(net, 1, 7);
    assert_int_equal(net->nodes[1].reads_n, 0); /* nobody has confirmed it yet */
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 3);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 3, 1);
    assert_read_done(net, 1, 7, 3);
    net_delete(net);
}

/* Elected, but nothing of its term is committed: it may not know what was. */
static void read__before_an_entry_of_the_term_is_committed__waits(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 2);
    net_propose(net, 2, "a");
    net_settle(net);
    net_run(net, 60);
    pc_index acknowledged = net_status(net, 2).commit;
    net_crash(net, 2);
    net_sleep(net, 600);
    net_time_out(net, 1);
    while (net_status(net, 1).role != PC_RAFT_LEADER) {
        (void)net_sync(net, 1);
        net_deliver_at(net, 0);
        (void)net_sync(net, 3);
    }
    net->nodes[1].holds_disk = true;
    net_read(net, 1, 7);
    net_run(net, 120); /* the round could have been confirmed twice over */
    assert_int_equal(net->nodes[1].reads_n, 0);
    assert_false(net_status(net, 1).leader_ready);
    net->nodes[1].holds_disk = false;
    net_run(net, 120);
    assert_true(net_status(net, 1).leader_ready);
    assert_true(net->nodes[1].reads[0].index > acknowledged);
    assert_read_done(net, 1, 7, net_status(net, 1).commit);
    net_delete(net);
}

static void read__echo_of_an_older_round__does_not_confirm_it(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_read(net, 1, 7);
    uint64_t first = round_of(net, 2);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
    struct pc_raft_msg late = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    assert_int_equal(late.u.append_resp.round, first);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 3);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 3, 1);
    assert_read_done(net, 1, 7, 2);
    net_propose(net, 1, "a");
    net_read(net, 1, 8);
    assert_true(round_of(net, 2) > first);
    net_recv(net, &late); /* an answer to the first round: leadership then, not now */
    net_recv(net, &late);
    assert_int_equal(net->nodes[1].reads_n, 0);
    net_settle(net);
    assert_read_done(net, 1, 8, 2);
    net_delete(net);
}

/* What came while a round was under way waits for the next one, and shares it. */
static void read__two_during_a_round__share_the_next(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_read(net, 1, 7);
    uint64_t first = round_of(net, 2);
    net_read(net, 1, 8);
    net_read(net, 1, 9);
    assert_int_equal(round_of(net, 2), first);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    assert_read_done(net, 1, 7, 2);
    assert_int_equal(net->nodes[1].reads_n, 0);
    assert_int_equal(round_of(net, 2), first + 1);
    net_settle(net);
    assert_read_done(net, 1, 8, 2);
    assert_read_done(net, 1, 9, 2);
    net_read(net, 1, 10);
    assert_int_equal(round_of(net, 2), first + 2);
    net_delete(net);
}

static void read__two_in_one_turn__share_a_round(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    struct pc_raft_event event = {.type = PC_RAFT_READ};
    event.u.read_ctx = 7;
    net_step(net, 1, &event);
    net_read(net, 1, 8);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND, 1, 2), 1);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    assert_read_done(net, 1, 7, 2);
    assert_read_done(net, 1, 8, 2);
    net_delete(net);
}

/* The round's messages are lost: a heartbeat carries its number on. */
static void read__round_is_lost__next_heartbeat_confirms_it(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_read(net, 1, 7);
    net_drop_all(net);
    net_run(net, 2 * net->opts.heartbeat_ms);
    assert_read_done(net, 1, 7, 2);
    net_delete(net);
}

static void read__five_nodes__needs_three(void **state)
{
    (void)state;
    struct net *net = net_new(5);
    net_elect(net, 1);
    net_read(net, 1, 7);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    assert_int_equal(net->nodes[1].reads_n, 0);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 5);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 5, 1);
    assert_read_done(net, 1, 7, 2);
    net_delete(net);
}

static void read__cluster_of_one__needs_nobody(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    net_time_out(net, 1);
    net_read(net, 1, 7);
    assert_int_equal(net->nodes[1].reads_n, 0); /* the NOOP is not durable */
    net_settle(net);
    assert_read_done(net, 1, 7, 2);
    net_read(net, 1, 8);
    assert_read_done(net, 1, 8, 2);
    net_delete(net);
}

/* A follower's disk does not delay it: the round is echoed at once, the entries later. */
static void read__follower_with_a_slow_disk__is_confirmed_by_it(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net->cut[1][3] = true;
    net->nodes[2].holds_disk = true;
    net_propose(net, 1, "a");
    net_settle(net);
    net_read(net, 1, 7);
    net_settle(net);
    assert_read_done(net, 1, 7, 2);
    net_delete(net);
}

static void read__at_a_follower__asks_the_leader(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_run(net, 60);
    net_read(net, 2, 7);
    net_deliver(net, PC_RAFT_MSG_READ, 2, 1);
    assert_int_equal(net_count(net, PC_RAFT_MSG_READ_RESP, 1, 2), 0);
    net_settle(net);
    assert_read_done(net, 2, 7, 2);
    net_delete(net);
}

static void read__no_leader_known__is_refused_at_once(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_read(net, 2, 7);
    assert_read_done(net, 2, 7, 0);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_READ, 3, 2, 1); /* asked by another */
    m.u.read.ctx = 5;
    net_recv(net, &m);
    struct pc_raft_msg answer = net_hold(net, PC_RAFT_MSG_READ_RESP, 2, 3);
    assert_int_equal(answer.u.read.ctx, 5);
    assert_int_equal(answer.u.read.index, 0);
    net_delete(net);
}

/* Both the leader's own read and that of a follower: the round can never be confirmed. */
static void read__leader_cut_off__is_refused_when_it_steps_down(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_run(net, 60);
    net_read(net, 2, 8);
    net->cut[2][1] = net->cut[3][1] = true;
    net->cut[1][3] = true;
    struct pc_raft_msg m = net_hold(net, PC_RAFT_MSG_READ, 2, 1);
    net_recv(net, &m);
    net_read(net, 1, 7);
    net_run(net, net->opts.election_max_ms + 100);
    assert_int_not_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    assert_read_done(net, 1, 7, 0);
    assert_read_done(net, 2, 8, 0);
    net_delete(net);
}

/*  1  leader 1 is cut off; 2 and 3 elect 2 in a newer term and commit "new"
 *  2  a read comes to leader 1, which still believes in itself
 *  3  an answer to it of the old term arrives late, from a node that did not know better then */
static void read__deposed_leader__never_answers_with_its_old_index(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_run(net, 60);
    net_time_out(net, 1);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 3);
    struct pc_raft_msg late = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 3, 1);
    net_drop_all(net);
    net->cut[1][2] = net->cut[1][3] = net->cut[2][1] = net->cut[3][1] = true;
    net_sleep(net, 600);
    net_time_out(net, 2);
    net_settle(net);
    assert_int_equal(net_status(net, 2).role, PC_RAFT_LEADER);
    net_propose(net, 2, "new");
    net_settle(net);
    assert_int_equal(net_status(net, 2).commit, 4);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_read(net, 1, 7);
    net_recv(net, &late);
    assert_int_equal(net->nodes[1].reads_n, 0);
    memset(net->cut, 0, sizeof net->cut);
    net_run(net, 200);
    assert_read_done(net, 1, 7, 0);
    net_delete(net);
}

static void read_resp__from_an_old_leader__is_not_used(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_run(net, 60);
    net_read(net, 3, 7);
    net_deliver(net, PC_RAFT_MSG_READ, 3, 1);
    net_run(net, 0);
    assert_read_done(net, 3, 7, 2);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_READ_RESP, 1, 3, net_status(net, 1).term);
    m.u.read.ctx = 8;
    m.u.read.index = 2;
    net_elect(net, 2);
    net_recv(net, &m);
    assert_read_done(net, 3, 8, 0);
    net_delete(net);
}

/* Reads at random nodes while leaders come and go: an index is never below what was committed
 * anywhere when the read was asked for. */
static void reads__random_leader_changes__never_below_what_was_committed_before(void **state)
{
    (void)state;
    size_t answered = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct net *net = net_new(3);
        struct pc_prng prng;
        pc_prng_seed(&prng, seed);
        pc_index floor[2048] = {0};
        uint64_t ctx = 1;
        for (size_t i = 0; i < 2000; i++) {
            pc_node_id id = 1 + pc_prng_below(&prng, 3);
            uint64_t dice = pc_prng_below(&prng, 100);
            pc_index committed = 0;
            for (pc_node_id other = 1; other <= 3; other++) {
                pc_index commit = net_status(net, other).commit;
                committed = commit > committed ? commit : committed;
            }
            if (dice < 10) {
                floor[ctx] = committed;
                net_read(net, id, ctx++);
            } else if (dice < 25 && pc_raft_can_propose(net->nodes[id].raft)) {
                net_propose(net, id, "x");
            } else if (dice < 28) {
                net_time_out(net, net_leader(net) != 0 ? net_leader(net) : id);
            } else if (dice < 29 && pc_prng_chance(&prng, 300000)) {
                net_time_out(net, id);
            } else if (dice < 30) {
                net_leader_lost(net, id, net_status(net, id).leader);
            } else if (dice < 31) {
                memset(net->cut, 0, sizeof net->cut);
                net->cut[id][1 + pc_prng_below(&prng, 3)] = pc_prng_chance(&prng, 300000);
            } else if (dice < 50) {
                (void)net_sync(net, id);
            } else if (net->msgs_n > 0) {
                net_deliver_at(net, pc_prng_below(&prng, net->msgs_n));
            }
            for (pc_node_id other = 1; other <= 3; other++) {
                struct net_node *node = &net->nodes[other];
                for (; node->reads_n > 0; node->reads_n--) {
                    const struct pc_raft_read_done *done = &node->reads[node->reads_n - 1];
                    assert_true(done->index == 0 || done->index >= floor[done->ctx]);
                    answered += done->index != 0;
                }
            }
        }
        net_delete(net);
    }
    assert_true(answered > 400); /* or the test says little */
}

static const struct CMUnitTest tests[] = {
    PC_TEST(read__leader_with_a_quorum__gets_the_commit_index),
    PC_TEST(read__before_an_entry_of_the_term_is_committed__waits),
    PC_TEST(read__echo_of_an_older_round__does_not_confirm_it),
    PC_TEST(read__two_during_a_round__share_the_next),
    PC_TEST(read__two_in_one_turn__share_a_round),
    PC_TEST(read__round_is_lost__next_heartbeat_confirms_it),
    PC_TEST(read__five_nodes__needs_three),
    PC_TEST(read__cluster_of_one__needs_nobody),
    PC_TEST(read__follower_with_a_slow_disk__is_confirmed_by_it),
    PC_TEST(read__at_a_follower__asks_the_leader),
    PC_TEST(read__no_leader_known__is_refused_at_once),
    PC_TEST(read__leader_cut_off__is_refused_when_it_steps_down),
    PC_TEST(read__deposed_leader__never_answers_with_its_old_index),
    PC_TEST(read_resp__from_an_old_leader__is_not_used),
    PC_TEST(reads__random_leader_changes__never_below_what_was_committed_before),
};

PC_TEST_MAIN("raft_paper_reads", tests)
