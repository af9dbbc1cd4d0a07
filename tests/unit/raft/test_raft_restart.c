/* A peer's disk is slow, full, or has forgotten: the leader must neither fall nor be misled. */
#include "raft_net.h"

#define MIB (1024 * 1024)

static void slow_disks__of_all_followers__leave_the_leader_in_place(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    pc_term term = net_status(net, 1).term;
    net->nodes[2].holds_disk = true;
    net->nodes[3].holds_disk = true;
    net_propose(net, 1, "x");
    net_run(net, 3000);
    /* Every heartbeat falls into a turn that has an entry to send, which waits for the disk. */
    for (int i = 0; i < 50; i++) {
        struct pc_raft_event wake = {.type = PC_RAFT_WAKE};
        struct pc_instant at = pc_raft_wake_at(net->nodes[1].raft);
        net->now.us = at.us > net->now.us ? at.us : net->now.us;
        net_step(net, 1, &wake);
        net_propose(net, 1, "y");
        net_settle(net);
    }
    assert_int_equal(net_leader(net), 1);
    assert_int_equal(net_status(net, 1).term, term);
    assert_true(net_status(net, 1).commit < net_status(net, 1).last);
    net_read(net, 1, 7);
    net_run(net, 100);
    assert_int_equal(net->nodes[1].reads_n, 1);
    net->nodes[2].holds_disk = false;
    net->nodes[3].holds_disk = false;
    net_run(net, 500);
    net_assert_converged(net);
    net_delete(net);
}

static void propose_mebibyte(struct net *net)
{
    char *text = pc_xalloc(MIB + 1);
    memset(text, 'x', MIB);
    text[MIB] = '\0';
    net_propose(net, 1, text);
    free(text);
}

static void slow_disks__of_all_followers__bound_what_the_leader_takes(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net->check_every = 100;
    net->opts.tail_bytes_max = MIB;
    net_crash(net, 1);
    net_start(net, 1);
    net_elect(net, 1);
    net->nodes[2].holds_disk = true;
    net->nodes[3].holds_disk = true;
    size_t taken = 0;
    while (pc_raft_can_propose(net->nodes[1].raft) && taken < 1000) {
        propose_mebibyte(net);
        net_settle(net);
        taken++;
    }
    assert_in_range(taken, 60, 70);
    net->nodes[2].holds_disk = false;
    net->nodes[3].holds_disk = false;
    net_run(net, 500);
    assert_true(pc_raft_can_propose(net->nodes[1].raft));
    net_assert_converged(net);
    net_delete(net);
}

static void peer_restarted(struct net *net, pc_node_id id, pc_node_id peer)
{
    struct pc_raft_event event = {.type = PC_RAFT_PEER_RESTARTED};
    event.u.peer = peer;
    net_do(net, id, &event);
}

static void restart__lost_what_it_had_acknowledged__is_sent_it_again(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    for (int i = 0; i < 5; i++) {
        net_propose(net, 1, "x");
        net_settle(net);
    }
    net_run(net, 100);
    pc_index last = net_status(net, 1).last;
    net_crash(net, 2);
    for (int i = 0; i < 2; i++) { /* as a power cut does when writes are not synced */
        pc_entry_clear(&net->nodes[2].disk.v[--net->nodes[2].disk.n]);
    }
    net->nodes[2].commit = net->nodes[2].disk.n;
    net_start(net, 2);
    peer_restarted(net, 1, 2);
    net_run(net, 500);
    assert_int_equal(net_leader(net), 1);
    assert_int_equal(net_status(net, 1).last, last);
    net_assert_converged(net);
    net_delete(net);
}

static void restart__told_to_a_follower_or_of_a_stranger__changes_nothing(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    peer_restarted(net, 2, 1);
    peer_restarted(net, 1, 99);
    peer_restarted(net, 1, 1);
    net_propose(net, 1, "x");
    net_run(net, 200);
    assert_int_equal(net_leader(net), 1);
    net_assert_converged(net);
    net_delete(net);
}

static void peer_up(struct net *net, pc_node_id id, pc_node_id peer)
{
    struct pc_raft_event event = {.type = PC_RAFT_PEER_UP};
    event.u.peer = peer;
    net_do(net, id, &event);
}

static void peer_up__for_a_node_that_stands__ends_the_outage_at_once(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_crash(net, 2);
    net_crash(net, 3);
    while (net_status(net, 1).role != PC_RAFT_PRECANDIDATE) {
        net_run(net, 10);
    }
    net_drop_all(net);
    net_start(net, 2);
    peer_up(net, 1, 3); /* is a question to nobody */
    peer_up(net, 1, 2);
    net_settle(net);
    assert_int_equal(net_leader(net), 1);
    net_delete(net);
}

static void peer_up__for_others__asks_nothing(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_settle(net);
    peer_up(net, 1, 2);  /* a leader */
    peer_up(net, 2, 1);  /* a follower */
    peer_up(net, 2, 99); /* a stranger */
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE, 0, 0), 0);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(slow_disks__of_all_followers__leave_the_leader_in_place),
    PC_TEST(slow_disks__of_all_followers__bound_what_the_leader_takes),
    PC_TEST(restart__lost_what_it_had_acknowledged__is_sent_it_again),
    PC_TEST(restart__told_to_a_follower_or_of_a_stranger__changes_nothing),
    PC_TEST(peer_up__for_a_node_that_stands__ends_the_outage_at_once),
    PC_TEST(peer_up__for_others__asks_nothing),
};
PC_TEST_MAIN("raft_restart", tests)
