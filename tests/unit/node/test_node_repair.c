/* Lost entries: fetched by their hash from whoever has them, before the node does anything else. */
#include "unit/node/node_lost.h"

static void gap__peers_have_it__is_fetched_and_the_node_joins(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    pc_index all = net->nodes[1].disk.n;
    struct lost lost = lose(net, 3, 10, 25);
    struct pc_node_status status = net_status(net, 3);
    assert_false(status.ready);
    assert_string_equal(
        net_ready_check(&status, "repair")->text, "repairing entries 10..25 from peers (0%)");
    net_connect_all(net, 3);
    run_repair(net, 3, &lost, 2000);
    assert_true(lost.reopens && !lost.cuts);
    assert_false(is_repairing(net, 3));
    assert_int_equal(net_status(net, 3).raft.doubt, 0);
    net_set(net, 1, 5, "after", "v");
    net_run(net, 500);
    assert_true(net_status(net, 3).applied > all);
    assert_true(net_has_note(net, 3, PC_NOTE_REPAIR));
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

/* Two of three nodes have lost different entries, and no leader is left: each has what the other
 * lacks. */
static void gap__only_repairing_peers__help_each_other(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    net_crash(net, 1);
    struct lost one = lose(net, 2, 10, 20);
    struct lost other = lose(net, 3, 30, 35);
    /* What node 2 has behind its gap is on its disk, too. */
    net_connect(net, 2, 3);
    net->nodes[2].holds_loads = true;
    for (int i = 0; i < 60; i++) {
        net_run(net, 50);
        while (net->nodes[2].loads_n > 0) {
            struct pc_node_load load = net->nodes[2].loads[0];
            net->nodes[2].loads_n = 0;
            struct pc_entries found = {0};
            for (pc_index k = load.first; k <= load.last && k > 20 && k < 10 + one.rest.n; k++) {
                pc_entries_push(&found, &one.rest.v[k - 10]);
            }
            struct pc_node_event event = {.type = PC_NODE_LOADED};
            event.u.loaded.tag = load.tag;
            event.u.loaded.entries = &found;
            net_do(net, 2, &event);
            pc_entries_clear(&found);
            net_settle(net);
        }
        (void)carry_out(net, 2, &one);
        (void)carry_out(net, 3, &other);
        net->nodes[2].holds_loads = is_repairing(net, 2);
    }
    net->nodes[2].holds_loads = false;
    net_run(net, 4000);
    assert_true(one.reopens && other.reopens);
    assert_int_not_equal(net_leader(net), 0);
    pc_entries_clear(&one.rest);
    pc_entries_clear(&other.rest);
    net_delete(net);
}

static void repairing__whatever_is_asked__promises_and_serves_nothing(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    struct lost lost = lose(net, 3, 10, 25);
    net_connect_all(net, 3);
    net->cut[1][3] = net->cut[2][3] = true;
    net_drop(net, 0, 0, 3);
    net->cut[1][3] = net->cut[2][3] = false;
    struct pc_msg vote = {.type = PC_MSG_RAFT, .from = 102, .to = 103};
    vote.raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_VOTE, .from = 102, .to = 103, .term = 1000, .u.vote.last_index = 9999};
    vote.raft.u.vote.last_term = 999;
    size_t sent = net->sent[PC_MSG_RAFT];
    net_recv(net, 3, &vote);
    vote.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND, .from = 101, .to = 103, .term = 7};
    net_recv(net, 3, &vote);
    assert_int_equal(net->sent[PC_MSG_RAFT], sent);
    assert_int_equal(net->nodes[3].queue_n, 0);
    net_get(net, 3, 1, "k1", PC_CONSISTENCY_LOCAL);
    net_get(net, 3, 2, "k1", PC_CONSISTENCY_LINEARIZABLE);
    net_set(net, 3, 3, "k1", "w");
    for (uint64_t tag = 1; tag <= 3; tag++) {
        net_assert_reply(net, 3, tag, PC_REPLY_NO_LEADER);
    }
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

/* Node 3 gets four entries that nobody else has, in the term that the cluster is in, and stops. */
static pc_index add_uncommitted(struct net *net)
{
    pc_index all = net->nodes[3].disk.n;
    struct pc_entry own = net->nodes[3].disk.v[all - 1];
    struct pc_hash before = own.chain;
    net_crash(net, 3);
    for (pc_index i = all + 1; i <= all + 4; i++) {
        own.index = i;
        own.stamp_ms++;
        own.chain = pc_entry_chain(&before, &own);
        before = own.chain;
        pc_entries_push(&net->nodes[3].disk, &own);
    }
    return all;
}

/* The node had entries of a term that nobody else has: its leader proves them uncommitted. */
static void gap__never_committed__is_cut_and_doubted_until_the_leader_has_helped(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    pc_index all = add_uncommitted(net);
    net_start(net, 3);
    struct lost lost = lose(net, 3, all + 2, all + 4);
    net_connect_all(net, 3);
    run_repair(net, 3, &lost, 100);
    assert_true(lost.cuts);
    run_repair(net, 3, &lost, 5000); /* its term made the old leader step down */
    struct pc_node_status status = net_status(net, 3);
    assert_int_equal(status.raft.doubt, 0);
    assert_int_not_equal(net_leader(net), 0);
    assert_int_not_equal(net_leader(net), 3);
    assert_int_equal(status.raft.last, net_status(net, net_leader(net)).raft.last);
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

/* Term and doubt of the cut were on disk when it ended: the leader is of the term before. */
static void cut__interrupted_while_the_leader_stays__is_done_anew(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    pc_index all = add_uncommitted(net);
    pc_term term = net->nodes[3].term++;
    net->nodes[3].vote = 0;
    net_start(net, 3);
    struct lost lost = lose_under_doubt(net, 3, all + 2, all + 4, term);
    net_connect_all(net, 3);
    run_repair(net, 3, &lost, 100);
    assert_true(lost.cuts);
    run_repair(net, 3, &lost, 5000);
    assert_int_equal(net_status(net, 3).raft.doubt, 0);
    assert_int_equal(net_status(net, 3).raft.last, net_status(net, net_leader(net)).raft.last);
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

/* The term of the entry is what counts, where the log still says it. */
static void gap__of_a_known_term__believes_that_terms_leader(void **state)
{
    (void)state;
    for (int known = 0; known < 2; known++) {
        struct net *net = net_with_writes();
        pc_index all = add_uncommitted(net);
        pc_term term = net->nodes[3].term;
        net->nodes[3].term += 5;
        net->nodes[3].vote = 0;
        net_start(net, 3);
        struct lost lost = lose(net, 3, all + 2, all + 4);
        net_crash(net, 3);
        lost.gap.last_term = known != 0 ? term : 0;
        struct pc_term_run runs[64];
        struct pc_node_restored restored = net_restored(&net->nodes[3], runs);
        restored.raft.last = all + 4;
        restored.gaps = &lost.gap;
        restored.gaps_n = 1;
        net_start_with(net, 3, &restored);
        net_connect_all(net, 3);
        net_run(net, 20);
        assert_int_equal(net->nodes[3].repair.type,
            known != 0 ? PC_NODE_REPAIR_CUT : (enum pc_node_repair_type)0);
        pc_entries_clear(&lost.rest);
        net_delete(net);
    }
}

/* A leader that stays, of a term below this node's own, hears of that and is followed by one whose
 * word counts. */
static void gap__own_term_above_the_leaders__ends_that_term_once(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    pc_index all = add_uncommitted(net);
    net->nodes[3].term += 5;
    net->nodes[3].vote = 0;
    pc_term own = net->nodes[3].term;
    net_start(net, 3);
    struct lost lost = lose(net, 3, all + 2, all + 4);
    net_connect_all(net, 3);
    for (int i = 0; i < 100 && net->nodes[3].repair.type == 0; i++) {
        net_run(net, 50);
    }
    assert_int_equal(net->nodes[3].repair.type, PC_NODE_REPAIR_CUT);
    assert_int_equal(net_status(net, net_leader(net)).raft.term, own + 1);
    run_repair(net, 3, &lost, 5000);
    assert_int_equal(net_status(net, 3).raft.doubt, 0);
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

/* Answers node 3's question as `from` would: the entries are lent. */
static void give(struct net *net, size_t from, struct pc_fetch answer)
{
    struct pc_msg fetch = net_hold(net, PC_MSG_FETCH, 3, from);
    struct pc_msg msg = {.type = PC_MSG_ENTRIES, .from = 100 + from, .to = 103, .fetch = answer};
    msg.fetch.nonce = fetch.fetch.nonce;
    msg.fetch.first = fetch.fetch.first;
    net_recv(net, 3, &msg);
}

static void only_peer(struct net *net, size_t peer)
{
    net_connect(net, peer, 3);
    net->cut[3][peer] = net->cut[peer][3] = false;
}

/* An uncommitted tail links to what is in front of the gap: what the leader has behind it then does
 * not, and that proves nothing. */
static void stale_entry__taken_from_a_peer__does_not_make_the_leaders_look_wrong(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    size_t leader = net_leader(net);
    size_t stale = leader == 1 ? 2 : 1;
    struct pc_entry forged = net->nodes[3].disk.v[9];
    struct pc_hash before = net->nodes[3].disk.v[8].chain;
    struct lost lost = lose(net, 3, 10, 25);
    forged.stamp_ms++;
    forged.chain = pc_entry_chain(&before, &forged);
    only_peer(net, stale);
    give(net, stale, (struct pc_fetch){.term = 1, .has_last = 10, .v = {.v = &forged, .n = 1}});
    assert_int_equal(net->nodes[3].repair.type, PC_NODE_REPAIR_PUT);
    pc_entries_clear(&net->nodes[3].repair.entries);
    net->nodes[3].repair = (struct pc_node_repair){0};
    net->cut[3][stale] = net->cut[stale][3] = true;
    struct pc_node_event event = {.type = PC_NODE_REPAIR_DONE};
    event.u.repair.ok = true;
    net_do(net, 3, &event);
    only_peer(net, leader);
    for (int i = 0; i < 100 && net->nodes[3].repair.type == 0; i++) {
        net_run(net, 50);
    }
    assert_int_equal(net->nodes[3].repair.type, PC_NODE_REPAIR_PUT);
    assert_int_equal(net->nodes[3].repair.entries.v[0].index, 10);
    run_repair(net, 3, &lost, 3000);
    assert_true(lost.reopens && !lost.cuts);
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

/* Nobody leads, but what is committed stays: another entry at the gap's last index proves it, one
 * that is not known committed does not. */
static void other_entry__known_committed_by_a_peer__is_proof_without_a_leader(void **state)
{
    (void)state;
    for (int committed = 0; committed < 2; committed++) {
        struct net *net = net_with_writes();
        struct pc_entry other = net->nodes[3].disk.v[9];
        struct pc_hash before = net->nodes[3].disk.v[8].chain;
        struct lost lost = lose(net, 3, 10, 10);
        other.stamp_ms++;
        other.chain = pc_entry_chain(&before, &other);
        only_peer(net, 2);
        struct pc_fetch answer = {.term = 1,
            .has_last = 20,
            .commit = committed != 0 ? 10 : 9,
            .v = {.v = &other, .n = 1}};
        for (int i = 0; i < 3 && net->nodes[3].repair.type == 0; i++) {
            give(net, 2, answer); /* from the gap's start, its floor, and its last one alone */
        }
        assert_int_equal(net->nodes[3].repair.type,
            committed != 0 ? PC_NODE_REPAIR_CUT : (enum pc_node_repair_type)0);
        pc_entries_clear(&lost.rest);
        net_delete(net);
    }
}

/* Everything is gone but the identity: entry 1 comes from whoever has this history. */
static void whole_log__lost__comes_back_under_doubt(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    uint8_t history[16];
    memcpy(history, net_status(net, 1).history, sizeof history);
    net_crash(net, 3);
    pc_entries_clear(&net->nodes[3].disk);
    net->nodes[3].commit = 0;
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[3], runs);
    restored.history = history;
    restored.raft.doubt = net->nodes[3].term;
    restored.raft.term = ++net->nodes[3].term;
    restored.raft.vote = net->nodes[3].vote = 0;
    net_start_with(net, 3, &restored);
    assert_int_not_equal(net_status(net, 3).raft.doubt, 0);
    net_connect_all(net, 3);
    net_run(net, 6000);
    struct pc_node_status status = net_status(net, 3);
    assert_true(status.formed);
    assert_int_equal(status.raft.doubt, 0);
    assert_int_equal(net->nodes[3].disk.n, net->nodes[1].disk.n);
    assert_true(pc_hash_equal(&net->nodes[3].disk.v[20].chain, &net->nodes[1].disk.v[20].chain));
    net_delete(net);
}

static void doubt__no_other_majority__never_votes(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    net_crash(net, 1);
    net_crash(net, 2);
    net_crash(net, 3);
    net_start(net, 2);
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[3], runs);
    restored.raft.doubt = net->nodes[3].term;
    restored.raft.term = ++net->nodes[3].term;
    restored.raft.vote = net->nodes[3].vote = 0;
    net_start_with(net, 3, &restored);
    net_connect(net, 2, 3);
    net_run(net, 10000);
    assert_int_equal(net_leader(net), 0);
    assert_int_equal(net->nodes[3].vote, 0);
    struct pc_node_status status = net_status(net, 3);
    assert_string_equal(net_ready_check(&status, "repair")->text,
        "the log's end was lost: no vote until 2 of node1, node2 have elected a leader; not"
        " connected: node1");
    assert_true(net_has_note(net, 3, PC_NOTE_REPAIR));
    net_start(net, 1);
    net_connect_all(net, 1);
    net_run(net, 5000);
    assert_int_not_equal(net_leader(net), 0);
    assert_int_equal(net_status(net, 3).raft.doubt, 0);
    net_delete(net);
}

/* Nobody can be elected without the vote that it must not give, and it says so. */
static void doubt__of_one_of_two__says_that_the_other_is_no_majority(void **state)
{
    (void)state;
    struct net *net = net_new_formed(2);
    net_crash(net, 2);
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[2], runs);
    restored.raft.doubt = net->nodes[2].term;
    restored.raft.term = ++net->nodes[2].term;
    restored.raft.vote = net->nodes[2].vote = 0;
    net_start_with(net, 2, &restored);
    net_connect(net, 1, 2);
    net_run(net, 10000);
    assert_int_equal(net_leader(net), 0);
    struct pc_node_status status = net_status(net, 2);
    assert_string_equal(net_ready_check(&status, "repair")->text,
        "the log's end was lost, and without this node's vote node1 cannot be elected: restore"
        " this node's log as it was");
    assert_false(status.ready);
    net_delete(net);
}

/* The share is of what is back now, also when a part of it had to be begun anew. */
static void share__of_a_repair_begun_anew__goes_back(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    struct lost lost = lose(net, 3, 10, 19);
    only_peer(net, 1);
    give(net, 1, (struct pc_fetch){.term = 1, .has_last = 14, .v = {.v = lost.rest.v, .n = 5}});
    struct pc_node_status status = net_status(net, 3);
    assert_string_equal(
        net_ready_check(&status, "repair")->text, "repairing entries 10..19 from peers (50%)");
    struct pc_node_event event = {.type = PC_NODE_REPAIR_DONE}; /* no space */
    net_do(net, 3, &event);
    status = net_status(net, 3);
    assert_string_equal(
        net_ready_check(&status, "repair")->text, "repairing entries 10..19 from peers (0%)");
    pc_entries_clear(&net->nodes[3].repair.entries);
    net->nodes[3].repair = (struct pc_node_repair){0};
    run_repair(net, 3, &lost, 3000);
    assert_true(lost.reopens && !lost.cuts);
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

/* What opens after the repair is not this node's log. */
static void repair__that_gives_another_log__fails_the_node(void **state)
{
    (void)state;
    struct net *net = net_with_writes();
    struct lost lost = lose(net, 3, 10, 25);
    assert_false(net_status(net, 3).failed);
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[3], runs);
    struct pc_entry other = lost.rest.v[0]; /* a command */
    restored.config_entry = &other;
    struct pc_node_event event = {.type = PC_NODE_RESTORED};
    event.u.restored = &restored;
    net_do(net, 3, &event);
    assert_true(net_status(net, 3).failed);
    pc_entries_clear(&lost.rest);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(gap__peers_have_it__is_fetched_and_the_node_joins),
    PC_TEST(gap__only_repairing_peers__help_each_other),
    PC_TEST(repairing__whatever_is_asked__promises_and_serves_nothing),
    PC_TEST(gap__never_committed__is_cut_and_doubted_until_the_leader_has_helped),
    PC_TEST(cut__interrupted_while_the_leader_stays__is_done_anew),
    PC_TEST(gap__of_a_known_term__believes_that_terms_leader),
    PC_TEST(gap__own_term_above_the_leaders__ends_that_term_once),
    PC_TEST(stale_entry__taken_from_a_peer__does_not_make_the_leaders_look_wrong),
    PC_TEST(other_entry__known_committed_by_a_peer__is_proof_without_a_leader),
    PC_TEST(whole_log__lost__comes_back_under_doubt),
    PC_TEST(doubt__no_other_majority__never_votes),
    PC_TEST(doubt__of_one_of_two__says_that_the_other_is_no_majority),
    PC_TEST(share__of_a_repair_begun_anew__goes_back),
    PC_TEST(repair__that_gives_another_log__fails_the_node),
};
PC_TEST_MAIN("node_repair", tests)
