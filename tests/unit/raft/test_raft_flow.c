/* How much a leader sends, and from where: windows, entries that only the disk has, disks that lag,
 * messages that get lost. */
#include "core/raft/raft_int.h"
#include "unit/raft/raft_net.h"

static void propose_bytes(struct net *net, pc_node_id id, size_t bytes)
{
    char *text = pc_xalloc(bytes + 1);
    memset(text, 'x', bytes);
    net_propose(net, id, text);
    free(text);
}

static void window__messages__no_more_than_the_bound_are_under_way(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    for (size_t i = 0; i < PC_INFLIGHT_MSGS_MAX + 10; i++) {
        net_propose(net, 1, "x");
    }
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND, 1, 2), PC_INFLIGHT_MSGS_MAX);
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
    (void)net_sync(net, 2);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    /* One left the window; all that waited goes into one message. */
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND, 1, 2), PC_INFLIGHT_MSGS_MAX);
    assert_int_equal(net->msgs[net->msgs_n - 1].entries.n, 10);
    net_settle(net);
    net_run(net, 100);
    net_assert_converged(net);
    net_delete(net);
}

static void window__bytes__no_more_than_the_bound_and_a_message(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net->check_every = 100;
    net_elect(net, 1);
    for (size_t i = 0; i < 12; i++) {
        propose_bytes(net, 1, 1024 * 1024);
    }
    size_t bytes = 0;
    for (size_t i = 0; i < net->msgs_n; i++) {
        if (net->msgs[i].to == 2 && net->msgs[i].entries.n > 0) {
            assert_int_equal(net->msgs[i].entries.n, 1); /* one is over the target of a message */
            bytes += pc_entry_bytes(&net->msgs[i].entries.v[0]);
        }
    }
    assert_true(bytes >= PC_INFLIGHT_BYTES_MAX);
    assert_true(bytes < PC_INFLIGHT_BYTES_MAX + 2 * 1024 * 1024);
    net_settle(net);
    net_run(net, 100);
    net_assert_converged(net);
    net_delete(net);
}

static void batch__many_small_entries__stop_at_the_byte_target(void **state)
{
    (void)state;
    struct net *net = net_new(2);
    net_elect(net, 1);
    net->cut[1][2] = true;
    for (size_t i = 0; i < 1000; i++) {
        net_propose(net, 1, "x");
    }
    net->cut[1][2] = false;
    net_run(net, 60);
    for (size_t i = 0; i < 20; i++) {
        net_time_out(net, 1);
        for (size_t k = 0; k < net->msgs_n; k++) {
            size_t bytes = 0;
            for (size_t e = 0; e < net->msgs[k].entries.n; e++) {
                bytes += pc_entry_bytes(&net->msgs[k].entries.v[e]);
            }
            assert_true(bytes <= PC_APPEND_BYTES_MAX);
            assert_true(net->msgs[k].entries.n <= PC_APPEND_ENTRIES_MAX);
        }
        net_settle(net);
    }
    net_assert_converged(net);
    net_delete(net);
}

/* Everything on its way is lost at once; the next heartbeats find out and repair it. */
static void loss__whole_window__is_sent_again(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    for (size_t i = 0; i < PC_INFLIGHT_MSGS_MAX + 10; i++) {
        net_propose(net, 1, "x");
    }
    net_drop_all(net);
    net_run(net, 3 * net->opts.heartbeat_ms);
    net_assert_converged(net);
    net_delete(net);
}

static void loss__half_of_all_messages__everything_arrives(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30 / PC_TEST_STRIDE; seed++) {
        struct net *net = net_new(3);
        struct pc_prng prng;
        pc_prng_seed(&prng, seed);
        net->opts.tail_bytes_max = 1000;
        net_elect(net, 1);
        for (size_t i = 0; i < 120; i++) {
            pc_node_id leader = net_leader(net);
            if (leader != 0 && pc_raft_can_propose(net->nodes[leader].raft)) {
                net_propose(net, leader, "x");
            }
            while (net->msgs_n > 0) {
                size_t k = pc_prng_below(&prng, net->msgs_n);
                if (pc_prng_chance(&prng, 500000)) {
                    net_deliver_at(net, k);
                } else if (pc_prng_chance(&prng, 300000)) { /* arrives twice */
                    net_recv(net, &net->msgs[k]);
                } else {
                    struct pc_raft_msg m = net_take(net, k);
                    pc_raft_msg_clear(&m);
                }
            }
            for (pc_node_id id = 1; id <= 3; id++) {
                (void)net_sync(net, id);
                if (net->nodes[id].loads_n > 0) {
                    net_load_answer(net, id, pc_prng_below(&prng, 4));
                }
                if (pc_instant_is_due(pc_raft_wake_at(net->nodes[id].raft), net->now)) {
                    net_wake(net, id);
                }
            }
            net_sleep(net, pc_prng_below(&prng, 30));
        }
        net_run(net, 5000);
        net_assert_converged(net);
        net_delete(net);
    }
}

/* A leader with a memory of nothing, and a follower that missed 50 entries. */
static struct net *lagging_new(void)
{
    struct net *net = net_new(3);
    for (pc_node_id id = 1; id <= 3; id++) {
        net_crash(net, id);
    }
    net->opts.tail_bytes_max = 0;
    for (pc_node_id id = 1; id <= 3; id++) {
        net_start(net, id);
    }
    net_elect(net, 1);
    net_crash(net, 3);
    for (size_t i = 0; i < 50; i++) {
        net_propose(net, 1, "x");
        net_settle(net);
    }
    assert_int_equal(net_status(net, 1).first_in_memory, 53);
    net_start(net, 3);
    /* Until the leader knows where the logs agree, and wants the entries. */
    for (size_t i = 0; net->nodes[1].loads_n == 0; i++) {
        assert_true(i < 20);
        net_time_out(net, 1);
        for (size_t left = net->msgs_n; left > 0; left--) {
            net_deliver_at(net, 0);
        }
        (void)net_sync(net, 3);
    }
    return net;
}

static void load__entries_not_in_memory__come_from_the_disk_in_pieces(void **state)
{
    (void)state;
    struct net *net = lagging_new();
    assert_int_equal(net->nodes[1].loads[0].peer, 3);
    assert_int_equal(net->nodes[1].loads[0].first, 3);
    assert_int_equal(net->nodes[1].loads[0].last, 52);
    size_t loads = 0;
    for (; net->nodes[1].loads_n > 0; loads++) {
        net_load_answer(net, 1, 7);
        while (net->msgs_n > 0) {
            net_deliver_at(net, 0);
            (void)net_sync(net, 3);
        }
    }
    assert_int_equal(loads, 8);
    net_run(net, 100);
    net_assert_converged(net);
    net_delete(net);
}

static void load__fails__is_asked_for_again_in_a_while(void **state)
{
    (void)state;
    struct net *net = lagging_new();
    net_load_answer(net, 1, 0);
    assert_int_equal(net->nodes[1].loads_n, 0);
    net_time_out(net, 1);
    assert_int_equal(net->nodes[1].loads_n, 1);
    assert_int_equal(net->nodes[1].loads[0].first, 3);
    net_settle(net);
    net_run(net, 100);
    net_assert_converged(net);
    net_delete(net);
}

/* The follower has less than it said: what was loaded meanwhile does not fit any more. */
static void load__overtaken_by_a_refusal__is_not_sent(void **state)
{
    (void)state;
    struct net *net = lagging_new();
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND_RESP, 3, 1, net_status(net, 1).term);
    m.u.append_resp.match = 2;
    m.u.append_resp.hint = 1;
    m.u.append_resp.hint_term = 1;
    struct pc_raft_peer_status peer;
    assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    net_drop_all(net);
    if (peer.match < 2) {
        net_recv(net, &m);
        net_drop_all(net);
    }
    net_load_answer(net, 1, 7);
    assert_true(net_find(net, PC_RAFT_MSG_APPEND, 1, 3) == SIZE_MAX || peer.match == 2);
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

static void load__answered_when_no_longer_leader__is_dropped(void **state)
{
    (void)state;
    struct net *net = lagging_new();
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, 2, 1, net_status(net, 1).term + 1);
    net_recv(net, &m);
    net_drop_all(net);
    net_load_answer(net, 1, 7);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND, 1, 0), 0);
    net_delete(net);
}

/* A leader commits by its followers what its own disk does not have: that stays in memory. */
static void memory__committed_but_not_durable_here__is_kept(void **state)
{
    (void)state;
    struct net *net = lagging_new();
    net_settle(net);
    net->nodes[1].holds_disk = true;
    for (size_t i = 0; i < 5; i++) {
        net_propose(net, 1, "x");
        net_settle(net);
    }
    struct pc_raft_status status = net_status(net, 1);
    assert_int_equal(status.commit, status.last);
    assert_int_equal(status.first_in_memory, status.durable + 1);
    net_delete(net);
}

/* Heartbeats go on while fdatasync hangs, so nobody would replace this leader: it has to go itself.
 */
static void disk_stalled__leader_with_better_peers__hands_over(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net->nodes[1].holds_disk = true;
    net_propose(net, 1, "x");
    net_run(net, 3000);
    assert_int_not_equal(net_leader(net), 1);
    assert_int_not_equal(net_leader(net), 0);
    net_delete(net);
}

static void disk_behind__leader__takes_no_proposals_until_it_catches_up(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net->check_every = 100;
    net_elect(net, 1);
    for (pc_node_id id = 1; id <= 3; id++) {
        net->nodes[id].holds_disk = true; /* no disk is better: it stays leader */
    }
    for (size_t i = 0; i < RAFT_WRITES_BEHIND; i++) {
        assert_true(pc_raft_can_propose(net->nodes[1].raft));
        net_propose(net, 1, "x");
        net_drop_all(net);
    }
    assert_false(pc_raft_can_propose(net->nodes[1].raft));
    net_run(net, 3000); /* still leading, by heartbeats */
    assert_int_equal(net_leader(net), 1);
    net_sync_some(net, 1, 1);
    assert_true(pc_raft_can_propose(net->nodes[1].raft));
    for (pc_node_id id = 1; id <= 3; id++) {
        net->nodes[id].holds_disk = false;
    }
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

/* The leader's next message to node 2, as it would be without a window. */
static struct pc_raft_msg append_next(struct net *net)
{
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, 1, 2, net_status(net, 1).term);
    pc_index last = net_status(net, 2).last;
    const struct pc_entry *prev = pc_raft_entry(net->nodes[2].raft, last);
    m.u.append.prev_index = last;
    m.u.append.prev_term = prev->term;
    m.u.append.prev_chain = prev->chain;
    const struct pc_entry *next = pc_raft_entry(net->nodes[1].raft, last + 1);
    if (next == NULL) {
        net_propose(net, 1, "y");
        net_settle(net);
        next = pc_raft_entry(net->nodes[1].raft, last + 1);
    }
    m.u.append.clock_ms = next->stamp_ms;
    pc_entries_push(&m.entries, next);
    return m;
}

/* Fills the queue of node 2's disk to the bound, an entry each. */
static struct net *follower_behind_new(size_t writes)
{
    struct net *net = net_new(3);
    net->check_every = 100;
    net_elect(net, 1);
    net->nodes[2].holds_disk = true;
    for (size_t i = 0; i < writes; i++) {
        net_propose(net, 1, "x");
        net_settle(net);
        if (net->nodes[2].queue_n < i + 1) { /* the window is full: one at a time by hand */
            break;
        }
    }
    while (net->nodes[2].queue_n < writes) {
        struct pc_raft_msg m = append_next(net);
        net_recv(net, &m);
        pc_raft_msg_clear(&m);
        net_settle(net);
    }
    return net;
}

/* It takes nothing new, yet follows: a cluster of three goes on, and it does not campaign. */
static void disk_behind__follower__follows_without_taking_entries(void **state)
{
    (void)state;
    struct net *net = follower_behind_new(RAFT_WRITES_BEHIND);
    pc_index last = net_status(net, 2).last;
    net_propose(net, 1, "z");
    net_settle(net);
    assert_int_equal(net_status(net, 2).last, last);
    assert_int_equal(net_status(net, 1).commit, net_status(net, 1).last);
    net_run(net, 5000);
    assert_int_equal(net_leader(net), 1);
    assert_int_equal(net_status(net, 2).leader, 1);
    assert_int_equal(net->nodes[2].queue_n, RAFT_WRITES_BEHIND);
    net->nodes[2].holds_disk = false;
    net_run(net, 500);
    net_assert_converged(net);
    net_delete(net);
}

/* Its queue fills up between two turns, while the others are asked already. */
static void disk_behind__before_the_pre_votes_come__does_not_stand(void **state)
{
    (void)state;
    struct net *net = follower_behind_new(RAFT_WRITES_BEHIND - 1);
    struct pc_raft *raft = net->nodes[2].raft;
    pc_term term = net_status(net, 1).term;
    net_drop_all(net);
    struct pc_raft_msg m = append_next(net);
    struct pc_raft_event event = {.type = PC_RAFT_RECV, .now = net->now};
    struct pc_raft_effects fx = {0};
    event.u.recv = &m;
    pc_raft_step(raft, &event, &fx);
    pc_raft_msg_clear(&m);
    event.type = PC_RAFT_LEADER_LOST;
    event.u.leader_lost = 1;
    pc_raft_step(raft, &event, &fx);
    net->now = event.now = pc_raft_wake_at(raft);
    event.type = PC_RAFT_WAKE;
    assert_false(raft_disk_is_behind(raft) || raft_disk_is_stalled(raft));
    pc_raft_step(raft, &event, &fx);
    assert_int_equal(net_status(net, 2).role, PC_RAFT_PRECANDIDATE);
    assert_false(raft_disk_is_behind(raft));
    net_take_effects(net, 2, &fx);
    pc_raft_effects_destroy(&fx);
    net_drop_all(net);
    struct pc_raft_event turn = {.type = PC_RAFT_TURN};
    net_step(net, 2, &turn);
    assert_true(raft_disk_is_behind(raft));
    m = net_msg(PC_RAFT_MSG_VOTE_RESP, 3, 2, term);
    m.u.vote_resp.granted = m.u.vote_resp.pre = true;
    net_recv(net, &m);
    assert_int_equal(net_status(net, 2).role, PC_RAFT_PRECANDIDATE);
    assert_int_equal(net_status(net, 2).term, term);
    net->nodes[2].holds_disk = false;
    net_run(net, 5000);
    assert_int_not_equal(net_leader(net), 0);
    net_assert_converged(net);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(window__messages__no_more_than_the_bound_are_under_way),
    PC_TEST(window__bytes__no_more_than_the_bound_and_a_message),
    PC_TEST(batch__many_small_entries__stop_at_the_byte_target),
    PC_TEST(loss__whole_window__is_sent_again),
    PC_TEST(loss__half_of_all_messages__everything_arrives),
    PC_TEST(load__entries_not_in_memory__come_from_the_disk_in_pieces),
    PC_TEST(load__fails__is_asked_for_again_in_a_while),
    PC_TEST(load__overtaken_by_a_refusal__is_not_sent),
    PC_TEST(load__answered_when_no_longer_leader__is_dropped),
    PC_TEST(memory__committed_but_not_durable_here__is_kept),
    PC_TEST(disk_stalled__leader_with_better_peers__hands_over),
    PC_TEST(disk_behind__leader__takes_no_proposals_until_it_catches_up),
    PC_TEST(disk_behind__before_the_pre_votes_come__does_not_stand),
    PC_TEST(disk_behind__follower__follows_without_taking_entries),
};

PC_TEST_MAIN("raft_flow", tests)
