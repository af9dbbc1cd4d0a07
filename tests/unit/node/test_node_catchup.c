/* A node that is far behind: who is asked for what, what is taken, and who acknowledges when. */
#include "unit/node/node_late.h"

/* ---- who gives */

static void behind__a_peer_has_it__the_leader_sends_only_the_end(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 500);
    connect(net, 3);
    run(net, 3, &seen, 600);
    assert_caught_up(net, 3);
    assert_true(seen.given[2] >= 500 - AHEAD);
    assert_true(seen.sent <= AHEAD);
    assert_true(seen.open_max > 1 && seen.open_max <= OPEN_MAX);
    assert_int_equal(seen.asked[1], 0);
    net_delete(net);
}

static void behind__several_peers__share_it(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(5, 700);
    connect(net, 5);
    run(net, 5, &seen, 600);
    assert_caught_up(net, 5);
    assert_true(seen.given[2] >= 100 && seen.given[3] >= 100 && seen.given[4] >= 100);
    assert_true(seen.sent <= AHEAD);
    net_delete(net);
}

static void behind__a_little__is_the_leaders_work(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, AHEAD / 2);
    connect(net, 3);
    run(net, 3, &seen, 600);
    assert_caught_up(net, 3);
    assert_int_equal(seen.asked[2], 0);
    assert_true(seen.sent >= AHEAD / 2);
    net_delete(net);
}

static void behind__only_the_leader_is_there__it_sends(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 200);
    net_connect(net, 3, 1);
    run(net, 3, &seen, 600);
    assert_caught_up(net, 3);
    assert_int_equal(seen.asked[1] + seen.asked[2], 0);
    assert_true(seen.sent >= 200);
    net_delete(net);
}

/* ---- what is taken */

static void giver__knows_less_committed__what_is_above_is_not_taken(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 200);
    net_connect(net, 3, 2);
    net_connect(net, 3, 1);
    struct seen seen = {0};
    net->nodes[2].holds_loads = true;
    for (size_t rounds = 0; net->nodes[2].loads_n == 0; rounds++) {
        assert_true(rounds < 100);
        run(net, 3, &seen, 10);
    }
    pc_index before = last_of(net, 3);
    net_load_answer(net, 2, 100);
    struct pc_msg msg = net_hold(net, PC_MSG_ENTRIES, 2, 3);
    assert_true(msg.fetch.v.n > 10);
    msg.fetch.commit = msg.fetch.first + 4;
    net_recv(net, 3, &msg);
    assert_int_equal(last_of(net, 3), before + 5);
    pc_msg_clear(&msg);
    net_delete(net);
}

static void tamper_with_a_term(struct net *net, struct pc_msg *msg)
{
    (void)net;
    bool is_his = msg->type == PC_MSG_ENTRIES && net_at(msg->from) == 2;
    for (size_t i = 0; is_his && i < msg->fetch.v.n; i++) {
        msg->fetch.v.v[i].term += 1;
    }
}

static void giver__lies_about_terms__the_others_give(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(5, 600);
    meddle = tamper_with_a_term;
    connect(net, 5);
    run(net, 5, &seen, 600);
    assert_caught_up(net, 5);
    assert_true(seen.asked[2] > 0 && seen.asked[2] <= OPEN_MAX); /* and no more, once found out */
    assert_true(seen.given[3] + seen.given[4] >= 500);
    assert_true(seen.sent <= AHEAD);
    net_delete(net);
}

static void giver__lies_and_is_alone__the_leader_sends(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 300);
    meddle = tamper_with_a_term;
    connect(net, 3);
    run(net, 3, &seen, 1500);
    assert_caught_up(net, 3);
    assert_true(seen.sent >= 300);
    net_delete(net);
}

/* Whole entries of another history, each with the chain that follows from the one before: what a
 * node says that is wrong about what is committed. */
static pc_index forged_from; /* 0 = nothing was */

static void forge(struct net *net, struct pc_msg *msg)
{
    bool is_his = msg->type == PC_MSG_ENTRIES && net_at(msg->from) == 2 && msg->fetch.v.n > 0;
    if (!is_his) {
        return;
    }
    pc_index first = msg->fetch.v.v[0].index;
    struct pc_hash chain = net->nodes[1].disk.v[first - 2].chain;
    forged_from = forged_from == 0 ? first : forged_from;
    for (size_t i = 0; i < msg->fetch.v.n; i++) {
        struct pc_entry *entry = &msg->fetch.v.v[i];
        entry->req.seq += 1000;
        entry->chain = pc_entry_chain(&chain, entry);
        chain = entry->chain;
    }
}

/* They have the term of the leader's own, and it has its own in memory: so that nothing will
 * replace them: every APPEND is refused for its chain. The node stays behind, and says so; it shows
 * and promises nothing of it.
 */
static void giver__has_another_history__nothing_of_it_is_acknowledged_or_applied(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = late_after(net_new_formed(3), 150, 1);
    meddle = forge;
    forged_from = 0;
    connect(net, 3);
    run(net, 3, &seen, 1500);
    struct pc_node_status status = net_status(net, 3);
    assert_true(forged_from > 0);
    assert_true(status.raft.last >= forged_from);
    assert_true(status.raft.divergence > 0);
    assert_true(seen.acked < forged_from);
    assert_true(status.applied < forged_from);
    assert_false(status.ready);
    net_delete(net);
}

/* ---- what goes wrong */

static void source__dies_in_the_middle__the_others_go_on(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(5, 500);
    net->nodes[2].holds_loads = true;
    connect(net, 5);
    for (size_t rounds = 0; seen.given[3] < 100; rounds++) {
        assert_true(rounds < 100);
        run(net, 5, &seen, 5);
    }
    net_crash(net, 2);
    run(net, 5, &seen, 600);
    assert_caught_up(net, 5);
    assert_true(seen.sent <= AHEAD);
    net_delete(net);
}

static void source__is_silent__the_leader_sends_after_half_a_second(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 300);
    net->nodes[2].holds_loads = true;
    connect(net, 3);
    run(net, 3, &seen, 200);
    assert_int_equal(seen.sent, 0);
    assert_true(last_of(net, 3) < 100);
    run(net, 3, &seen, 700);
    assert_caught_up(net, 3);
    assert_true(seen.asked[2] <= OPEN_MAX);
    net_delete(net);
}

static void leader__goes_silent__nothing_is_acknowledged_or_committed(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 300);
    net->nodes[2].holds_loads = true;
    connect(net, 3);
    for (size_t rounds = 0; net->nodes[2].loads_n == 0; rounds++) {
        assert_true(rounds < 100);
        run(net, 3, &seen, 5);
    }
    struct pc_raft_status before = net_status(net, 3).raft;
    net->cut[1][3] = true;
    net_drop(net, PC_MSG_RAFT, 1, 3);
    net->nodes[2].holds_loads = false;
    seen.acked = 0;
    run(net, 3, &seen, 100);
    struct pc_raft_status after = net_status(net, 3).raft;
    assert_true(after.durable > before.durable + 150);
    assert_int_equal(after.commit, before.commit);
    assert_true(seen.acked <= before.last);
    net->cut[1][3] = false;
    run(net, 3, &seen, 1500);
    assert_caught_up(net, 3);
    net_delete(net);
}

static void disk__behind__nothing_is_lost(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 300);
    connect(net, 3);
    run(net, 3, &seen, 20);
    net_crash(net, 3); /* with what was not durable */
    net_start(net, 3);
    connect(net, 3);
    run(net, 3, &seen, 600);
    assert_caught_up(net, 3);
    net_delete(net);
}

static void disk__slower_than_the_peers__no_more_is_taken(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 700);
    net_crash(net, 3);
    net->nodes[3].opts.catchup_unsynced_bytes = 150 * VALUE_BYTES;
    net_start(net, 3);
    disk_hangs = 3;
    connect(net, 3);
    run(net, 3, &seen, 400);
    struct pc_raft_status waits = net_status(net, 3).raft;
    assert_true(waits.last > waits.durable + 100 && waits.last < waits.durable + 300);
    assert_int_equal(seen.sent, 0);
    disk_hangs = 0;
    run(net, 3, &seen, 600);
    assert_caught_up(net, 3);
    net_delete(net);
}

static void clients__go_on_writing__the_node_becomes_ready(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct net *net = net_with_late(3, 300);
    connect(net, 3);
    for (size_t i = 0; i < 300 && !net_status(net, 3).ready; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "w%zu", i);
        net_set(net, 1, 5000 + i, key, "v");
        net->nodes[1].replies_n = 0;
        run(net, 3, &seen, 5);
    }
    assert_true(net_status(net, 3).ready);
    run(net, 3, &seen, 300);
    assert_caught_up(net, 3);
    net_delete(net);
}

/* A snapshot of a state that is far behind would be made for nothing. */
static void snapshot__due_while_behind__is_made_afterwards(void **state)
{
    (void)state;
    static struct net_snaps snaps;
    struct seen seen = {0};
    struct net *net = net_new_formed(3);
    keep_little(net);
    net->nodes[3].opts.snapshot_log_bytes = 20 * VALUE_BYTES;
    late_after(net, 500, VALUE_BYTES);
    net->nodes[3].snaps = &snaps;
    connect(net, 3);
    net->nodes[2].holds_loads = true;
    for (size_t i = 0; i < 100 && net_status(net, 3).applied < 100; i++) {
        run(net, 3, &seen, 5);
        if (net->nodes[2].loads_n > 0 && seen.given[2] < 200) {
            net_load_answer(net, 2, PC_APPEND_ENTRIES_MAX);
        }
    }
    assert_true(net_status(net, 3).applied >= 100 && seen.given[2] < 400);
    assert_int_equal(snaps.queue_n, 0);
    net->nodes[2].holds_loads = false;
    run(net, 3, &seen, 600);
    assert_caught_up(net, 3);
    assert_true(snaps.queue_n > 0);
    net->nodes[3].snaps = NULL;
    for (size_t i = 0; i < snaps.queue_n; i++) {
        pc_buf_destroy(&snaps.queue[i].chunk);
        pc_blob_unref(snaps.queue[i].config);
    }
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(behind__a_peer_has_it__the_leader_sends_only_the_end),
    PC_TEST(behind__several_peers__share_it),
    PC_TEST(behind__a_little__is_the_leaders_work),
    PC_TEST(behind__only_the_leader_is_there__it_sends),
    PC_TEST(giver__knows_less_committed__what_is_above_is_not_taken),
    PC_TEST(giver__lies_about_terms__the_others_give),
    PC_TEST(giver__lies_and_is_alone__the_leader_sends),
    PC_TEST(giver__has_another_history__nothing_of_it_is_acknowledged_or_applied),
    PC_TEST(source__dies_in_the_middle__the_others_go_on),
    PC_TEST(source__is_silent__the_leader_sends_after_half_a_second),
    PC_TEST(leader__goes_silent__nothing_is_acknowledged_or_committed),
    PC_TEST(disk__behind__nothing_is_lost),
    PC_TEST(disk__slower_than_the_peers__no_more_is_taken),
    PC_TEST(clients__go_on_writing__the_node_becomes_ready),
    PC_TEST(snapshot__due_while_behind__is_made_afterwards),
};

PC_TEST_MAIN("node_catchup", tests)
