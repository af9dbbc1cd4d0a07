/* Entries from peers that are not the leader: taken, and counted only when the leader has asked. */
#include "unit/raft/raft_net.h"

/* Leader 1 of three with `n` entries behind its first two; 3 has none of them. */
static struct net *net_with_laggard(size_t n)
{
    struct net *net = net_new_members("v123", 3);
    net_elect(net, 1);
    net->cut[1][3] = true;
    for (size_t i = 0; i < n; i++) {
        net_propose(net, 1, "x");
        net_settle(net);
    }
    assert_int_equal(net_status(net, 1).commit, 2 + n);
    return net;
}

static size_t entries_to(const struct net *net, pc_node_id to)
{
    size_t n = 0;
    for (size_t i = 0; i < net->msgs_n; i++) {
        n += net->msgs[i].to == to ? net->msgs[i].entries.n : 0;
    }
    return n;
}

/* One heartbeat, and what follows from it. *sent: entries that the leader sent to 3. */
static void beat(struct net *net, size_t *sent)
{
    net_sleep(net, net->opts.heartbeat_ms);
    net_wake(net, 1);
    for (int i = 0; i < 6; i++) {
        *sent += entries_to(net, 3);
        for (size_t left = net->msgs_n; left > 0; left--) {
            net_deliver_at(net, 0);
        }
        for (pc_node_id id = 1; id <= 3; id++) {
            if (!net->nodes[id].holds_disk) {
                (void)net_sync(net, id);
            }
        }
    }
}

static void offer__links__is_appended_and_neither_committed_nor_acknowledged(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(4);
    net_offer(net, 3, 2, 3, 6);
    (void)net_sync(net, 3);
    assert_int_equal(net_status(net, 3).last, 6);
    assert_int_equal(net_status(net, 3).commit, 2);
    assert_int_equal(net->msgs_n, 0);
    net->cut[1][3] = false;
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

static void offer__does_not_link__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(4);
    net_offer(net, 3, 2, 4, 6); /* a gap */
    assert_int_equal(net_status(net, 3).last, 2);
    struct pc_entries forged = {0};
    struct pc_entry entry = {0};
    pc_entry_copy(&entry, net_disk_at(&net->nodes[2], 3));
    entry.chain.b[5] ^= 1;
    pc_entries_push(&forged, &entry);
    struct pc_raft_event event = {.type = PC_RAFT_OFFER};
    event.u.offer = &forged;
    net_do(net, 3, &event);
    assert_int_equal(net_status(net, 3).last, 2);
    forged.v[0].term = net_status(net, 3).term + 1; /* of a term that is not known here */
    forged.v[0].chain = pc_entry_chain(&net_disk_at(&net->nodes[3], 2)->chain, &forged.v[0]);
    net_do(net, 3, &event);
    assert_int_equal(net_status(net, 3).last, 2);
    forged.v[0].term = 1; /* of one that is over */
    forged.v[0].chain = pc_entry_chain(&net_disk_at(&net->nodes[3], 2)->chain, &forged.v[0]);
    net_do(net, 3, &event);
    assert_int_equal(net_status(net, 3).last, 2);
    pc_entry_clear(&entry);
    pc_entries_clear(&forged);
    net_delete(net);
}

static void offer__partly_here__is_taken_from_where_it_goes_on(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(4);
    net_offer(net, 3, 2, 3, 4);
    net_offer(net, 3, 2, 2, 6);
    assert_int_equal(net_status(net, 3).last, 6);
    net_delete(net);
}

static void offer__to_others_than_followers__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 4);
    net_elect(net, 1);
    net_propose(net, 1, "x");
    net_settle(net);
    net_offer(net, 4, 1, 1, 3); /* not invited */
    assert_int_equal(net_status(net, 4).last, 0);
    net_join(net, 4);
    net_offer(net, 4, 1, 1, 3); /* its term is 0: no leader has spoken to it yet */
    assert_int_equal(net_status(net, 4).last, 0);
    net_offer(net, 1, 2, 3, 3);
    assert_int_equal(net_status(net, 1).last, 3);
    net_delete(net);
}

/* An APPEND of the leader of term 5, with one entry behind entry 1. */
static void append_of_five(struct net *net, const struct pc_entry *entry)
{
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, 1, 3, 5);
    m.u.append.prev_index = 1;
    m.u.append.prev_term = 1;
    m.u.append.prev_chain = net_disk_at(&net->nodes[3], 1)->chain;
    if (entry != NULL) {
        pc_entries_push(&m.entries, entry);
    }
    net_recv(net, &m);
    pc_raft_msg_clear(&m);
}

/* 3 listens to the leader of term 5, which is deposed and does not know it; what a peer offers is
 * of term 2, and was committed in term 6. The leader of the own term has the word. */
static void offer__leader_of_the_term_has_another__is_replaced(void **state)
{
    (void)state;
    struct net *net = net_new_members("v123", 3);
    const struct pc_entry *first = net_disk_at(&net->nodes[3], 1);
    struct pc_entry theirs = net_entry(first, 2, PC_ENTRY_COMMAND, "committed in 6");
    struct pc_entry its = net_entry(first, 5, PC_ENTRY_NOOP, NULL);
    struct pc_entries offer = {0};
    append_of_five(net, NULL);
    (void)net_sync(net, 3);
    pc_entries_push(&offer, &theirs);
    struct pc_raft_event event = {.type = PC_RAFT_OFFER};
    event.u.offer = &offer;
    net_do(net, 3, &event);
    (void)net_sync(net, 3);
    assert_int_equal(pc_raft_term_at(net->nodes[3].raft, 2), 2);
    net_drop_all(net);
    append_of_five(net, NULL); /* 2 is not what this leader has, and is not acknowledged to it */
    assert_int_equal(net->msgs[0].u.append_resp.match, 1);
    append_of_five(net, &its);
    assert_int_equal(pc_raft_term_at(net->nodes[3].raft, 2), 5);
    assert_int_equal(net_status(net, 3).last, 2);
    assert_int_equal(net_status(net, 3).divergence, 0);
    (void)net_sync(net, 3);
    assert_int_equal(net_disk_at(&net->nodes[3], 2)->term, 5);
    pc_entry_clear(&theirs);
    pc_entry_clear(&its);
    pc_entries_clear(&offer);
    net_delete(net);
}

/* The end of its log is told as a hint, and a hint is not an acknowledgement. */
static void offer__not_durable__is_not_counted(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(2);
    net->nodes[3].holds_disk = true;
    net->nodes[1].holds_disk = true;
    net_propose(net, 1, "y"); /* on the disk of 2 alone */
    net->nodes[2].holds_disk = false;
    net_settle(net);
    net_offer(net, 3, 2, 3, 5);
    net_fetching(net, 3, 100);
    net->cut[1][3] = false;
    net->cut[1][2] = true;
    size_t sent = 0;
    for (int i = 0; i < 4; i++) {
        beat(net, &sent);
    }
    net->cut[1][2] = false;
    net->nodes[2].holds_disk = true;
    pc_raft_check(net->nodes[1].raft);
    struct pc_raft_peer_status peer;
    assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    assert_int_equal(peer.match, 2);
    assert_int_equal(sent, 0);
    (void)net_sync(net, 3);
    net->nodes[3].holds_disk = false;
    beat(net, &sent);
    assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
    assert_int_equal(peer.match, 5);
    net_delete(net);
}

static void fetching__log_grows__leader_sends_nothing_and_asks_about_its_end(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(20);
    struct pc_raft_peer_status peer;
    size_t sent = 0;
    net_fetching(net, 3, 22);
    net->cut[1][3] = false;
    for (pc_index at = 3; at <= 22; at += 2) {
        net_offer(net, 3, 2, at, at + 1);
        for (int i = 0; i < 9; i++) { /* 450 ms */
            beat(net, &sent);
        }
        assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
        assert_int_equal(peer.match, at + 1);
        assert_int_equal(net_status(net, 3).commit, at + 1);
    }
    assert_int_equal(sent, 0);
    net_propose(net, 1, "new"); /* behind what is fetched: the leader's again */
    net_settle(net);
    net_assert_converged(net);
    net_delete(net);
}

static void fetching__log_does_not_grow__leader_sends(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(20);
    size_t sent = 0;
    net_fetching(net, 3, 22);
    net->cut[1][3] = false;
    beat(net, &sent);
    struct pc_instant since = net->now;
    while (sent == 0) {
        beat(net, &sent);
        assert_true(pc_instant_ms_between(since, net->now) <= 700);
    }
    assert_true(pc_instant_ms_between(since, net->now) >= 450);
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

/* Whoever gave it nothing for so long will not give it more for being believed again. */
static void fetching__stalled_and_not_ended__leader_goes_on_sending(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(20);
    struct pc_raft_peer_status peer;
    size_t sent = 0;
    net_fetching(net, 3, 60);
    net->cut[1][3] = false;
    for (int i = 0; i < 20 && sent == 0; i++) {
        beat(net, &sent);
    }
    assert_true(sent > 0);
    for (pc_index last = 23; last <= 30; last++) {
        net_propose(net, 1, "x");
        net_settle(net);
        assert_true(pc_raft_peer(net->nodes[1].raft, 3, net->now, &peer));
        assert_int_equal(peer.match, last);
    }
    net_delete(net);
}

static void fetching__ended__leader_sends_at_once(void **state)
{
    (void)state;
    struct net *net = net_with_laggard(20);
    size_t sent = 0;
    net_fetching(net, 3, 22);
    net->cut[1][3] = false;
    beat(net, &sent);
    beat(net, &sent);
    assert_int_equal(sent, 0);
    net_fetching(net, 3, 0);
    beat(net, &sent);
    assert_true(sent > 0);
    net_assert_converged(net);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(offer__links__is_appended_and_neither_committed_nor_acknowledged),
    PC_TEST(offer__does_not_link__is_ignored),
    PC_TEST(offer__partly_here__is_taken_from_where_it_goes_on),
    PC_TEST(offer__to_others_than_followers__is_ignored),
    PC_TEST(offer__leader_of_the_term_has_another__is_replaced),
    PC_TEST(offer__not_durable__is_not_counted),
    PC_TEST(fetching__log_grows__leader_sends_nothing_and_asks_about_its_end),
    PC_TEST(fetching__log_does_not_grow__leader_sends),
    PC_TEST(fetching__stalled_and_not_ended__leader_goes_on_sending),
    PC_TEST(fetching__ended__leader_sends_at_once),
};

PC_TEST_MAIN("raft_fetch", tests)
