/* What a machine leaves unanswered or takes back: messages that cannot be meant for it, requests
 * that it could only answer from a disk that is far behind, entries that a later leader replaces
 * before they were even handed to the disk. */
#include "core/raft/raft_int.h"
#include "unit/raft/raft_net.h"

/* An append of one entry of `term` behind the last one that `to` holds; the caller clears it. */
static struct pc_raft_msg append_next(
    const struct net *net, pc_node_id from, pc_node_id to, pc_term term)
{
    const struct pc_entry *last = pc_raft_entry(net->nodes[to].raft, net_status(net, to).last);
    struct pc_raft_msg m = {.type = PC_RAFT_MSG_APPEND, .from = from, .to = to, .term = term};
    m.u.append.prev_index = last->index;
    m.u.append.prev_term = last->term;
    m.u.append.clock_ms = 50 * 1000;
    m.u.append.round = 1;
    struct pc_entry entry = net_entry(last, term, PC_ENTRY_COMMAND, "x");
    pc_entries_push(&m.entries, &entry);
    pc_entry_clear(&entry);
    return m;
}

/* The event alone: what belongs to the same turn comes after it. */
static void recv_within_turn(struct net *net, const struct pc_raft_msg *m)
{
    struct pc_raft_event event = {.type = PC_RAFT_RECV};
    event.u.recv = m;
    net_step(net, m->to, &event);
}

/* Node 2 hears entries of leader 1 in term 2, one a turn, and syncs none, until its disk counts as
 * behind. */
static void fall_behind(struct net *net)
{
    net->check_every = 50;
    for (size_t n = 0; !raft_disk_is_behind(net->nodes[2].raft); n++) {
        struct pc_raft_msg m = append_next(net, 1, 2, 2);
        net_recv(net, &m);
        pc_raft_msg_clear(&m);
        assert_int_equal(net->nodes[2].queue_n, n + 1);
    }
    net_drop_all(net);
}

static void message__from_nobody_or_itself__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    static const pc_node_id senders[] = {0, 2};
    for (size_t i = 0; i < 2; i++) {
        struct pc_raft_msg m = append_next(net, senders[i], 2, 9);
        net_recv(net, &m);
        pc_raft_msg_clear(&m);
        struct pc_raft_status status = net_status(net, 2);
        assert_int_equal(status.term, 1);
        assert_int_equal(status.leader, 0);
        assert_int_equal(status.last, 1);
    }
    assert_int_equal(net->msgs_n, 0);
    net_delete(net);
}

/* Two leaders within one turn: the disk is told what came of it, and the reply to the first leader
 * promises nothing that the second has taken back. */
static void append__replaced_within_the_turn__only_the_last_reaches_the_disk(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg first = append_next(net, 1, 2, 2);
    struct pc_raft_msg second = append_next(net, 3, 2, 3);
    recv_within_turn(net, &first);
    assert_int_equal(net->nodes[2].queue_n, 0);
    recv_within_turn(net, &second);
    struct pc_raft_event turn = {.type = PC_RAFT_TURN};
    net_step(net, 2, &turn);
    assert_int_equal(net->nodes[2].queue_n, 1);
    const struct pc_raft_write *write = &net->nodes[2].queue[0];
    assert_int_equal(write->truncate_from, 0); /* nothing was on disk to be cut */
    assert_int_equal(write->entries.n, 1);
    assert_int_equal(write->entries.v[0].term, 3);
    assert_int_equal(write->term, 3);
    (void)net_sync(net, 2);
    assert_int_equal(net->nodes[2].disk.n, 2);
    assert_int_equal(net->nodes[2].disk.v[1].term, 3);
    for (size_t i = 0; i < net->msgs_n; i++) {
        const struct pc_raft_msg *m = &net->msgs[i];
        if (m->type == PC_RAFT_MSG_APPEND_RESP && m->u.append_resp.match > 1) {
            assert_true(m->to == 3 && m->term == 3);
        }
    }
    assert_true(net_count(net, PC_RAFT_MSG_APPEND_RESP, 2, 3) > 0);
    pc_raft_msg_clear(&first);
    pc_raft_msg_clear(&second);
    net_delete(net);
}

/* More entries would only pile up in memory: without an answer the leader's window fills, and it
 * waits. */
static void append__disk_far_behind__takes_no_entries_until_it_has_synced(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    fall_behind(net);
    pc_index last = net_status(net, 2).last;
    struct pc_raft_msg more = append_next(net, 1, 2, 2);
    net_recv(net, &more);
    assert_int_equal(net_status(net, 2).last, last);
    assert_int_equal(net_status(net, 2).leader, 1); /* it is heard all the same */
    (void)net_sync(net, 2);
    for (size_t i = 0; i < net->msgs_n; i++) {
        assert_true(net->msgs[i].u.append_resp.match <= last);
    }
    net_drop_all(net);
    net_recv(net, &more);
    (void)net_sync(net, 2);
    assert_int_equal(net_status(net, 2).last, last + 1);
    size_t answer = net_find(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    assert_int_not_equal(answer, SIZE_MAX);
    assert_int_equal(net->msgs[answer].u.append_resp.match, last + 1);
    pc_raft_msg_clear(&more);
    net_delete(net);
}

/* Its vote would have to be on disk before the answer, behind all that waits: no answer in time,
 * and so not even the term is taken over. */
static void vote__disk_far_behind__gets_no_answer(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    fall_behind(net);
    net_sleep(net, 2 * net->opts.election_max_ms);
    pc_term term = net_status(net, 2).term;
    struct pc_raft_msg vote = {.type = PC_RAFT_MSG_VOTE, .from = 3, .to = 2, .term = term + 5};
    vote.u.vote.last_index = 1 << 20;
    vote.u.vote.last_term = term + 4;
    net_recv(net, &vote);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE_RESP, 2, 3), 0);
    assert_int_equal(net_status(net, 2).term, term);
    (void)net_sync(net, 2);
    net_recv(net, &vote);
    (void)net_sync(net, 2);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE_RESP, 2, 3), 1);
    assert_int_equal(net_status(net, 2).term, term + 5);
    net_delete(net);
}

/* A node that holds the log but is no voter of it must not stand, whoever tells it to. */
static void timeout_now__to_a_node_that_is_no_voter__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_crash(net, 3);
    net->n = 2; /* the configuration that node 3 starts with has two voters: 1 and 2 */
    net_start(net, 3);
    net->n = 3;
    net_elect(net, 1);
    pc_term term = net_status(net, 1).term;
    assert_int_equal(net_status(net, 3).leader, 1);
    struct pc_raft_msg now = {.type = PC_RAFT_MSG_TIMEOUT_NOW, .from = 1, .to = 3, .term = term};
    net_recv(net, &now);
    assert_int_equal(net_status(net, 3).role, PC_RAFT_FOLLOWER);
    assert_int_equal(net_count(net, PC_RAFT_MSG_VOTE, 3, 0), 0);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(message__from_nobody_or_itself__is_ignored),
    PC_TEST(append__replaced_within_the_turn__only_the_last_reaches_the_disk),
    PC_TEST(append__disk_far_behind__takes_no_entries_until_it_has_synced),
    PC_TEST(vote__disk_far_behind__gets_no_answer),
    PC_TEST(timeout_now__to_a_node_that_is_no_voter__is_ignored),
};
PC_TEST_MAIN("raft_unanswered", tests)
