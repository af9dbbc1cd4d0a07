/* Replication, a test per rule: thesis 3.5 (consistency check, back-off), 3.6.2 (what a count may
 * commit), 10.2.1 (the leader's own disk beside the network), and the house's promises and chain.
 */
#include "core/raft/raft_int.h"
#include "unit/raft/raft_net.h"

/* An AppendEntries to `to` that follows on entry `prev` of its disk, from a leader of `term`. */
static struct pc_raft_msg append_of(
    struct net *net, pc_node_id from, pc_node_id to, pc_term term, pc_index prev)
{
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, from, to, term);
    m.u.append.prev_index = prev;
    if (prev > 0) {
        const struct pc_entry *entry = &net->nodes[to].disk.v[prev - 1];
        m.u.append.prev_term = entry->term;
        m.u.append.prev_chain = entry->chain;
    }
    return m;
}

/* Adds one entry behind those of the message (or behind `prev` of the receiver's disk). */
static void append_add(struct net *net, struct pc_raft_msg *m, pc_term term, const char *body)
{
    const struct pc_entry *prev = NULL;
    if (m->entries.n > 0) {
        prev = &m->entries.v[m->entries.n - 1];
    } else if (m->u.append.prev_index > 0) {
        prev = &net->nodes[m->to].disk.v[m->u.append.prev_index - 1];
    }
    struct pc_entry entry = net_entry(prev, term, PC_ENTRY_COMMAND, body);
    pc_entries_push(&m->entries, &entry);
    pc_entry_clear(&entry);
}

static void append_send(struct net *net, struct pc_raft_msg *m)
{
    net_recv(net, m);
    pc_raft_msg_clear(m);
}

/* A disk with entries of these terms behind the CONFIG entry; 0 ends the list. */
static void disk_set(struct net *net, pc_node_id id, const pc_term *terms)
{
    net_crash(net, id);
    for (; *terms != 0; terms++) {
        net_disk_add(net, id, *terms, "old");
    }
    net_start(net, id);
}

static void append__log_ends_before_prev__is_refused_with_a_hint(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    disk_set(net, 1, (const pc_term[]){2, 2, 0});
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, 2, 1, 5);
    m.u.append.prev_index = 9;
    m.u.append.prev_term = 4;
    m.u.append.round = 3;
    net_recv(net, &m);
    (void)net_sync(net, 1);
    struct pc_raft_msg answer = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 1, 2);
    assert_false(answer.u.append_resp.accepted);
    assert_int_equal(answer.u.append_resp.match, 9);
    assert_int_equal(answer.u.append_resp.hint, 3);
    assert_int_equal(answer.u.append_resp.hint_term, 2);
    assert_int_equal(answer.u.append_resp.round, 3);
    assert_int_equal(net_status(net, 1).last, 3);
    net_delete(net);
}

static void append__other_term_at_prev__is_refused_with_the_end_of_the_term_before(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    disk_set(net, 1, (const pc_term[]){2, 4, 4, 4, 0});
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, 2, 1, 5);
    m.u.append.prev_index = 5;
    m.u.append.prev_term = 3;
    net_recv(net, &m);
    (void)net_sync(net, 1);
    struct pc_raft_msg answer = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 1, 2);
    assert_false(answer.u.append_resp.accepted);
    assert_int_equal(answer.u.append_resp.hint, 2);
    assert_int_equal(answer.u.append_resp.hint_term, 2);
    assert_int_equal(net_status(net, 1).last, 5); /* a refusal removes nothing */
    net_delete(net);
}

static void append__conflict__replaces_the_tail_once_durable(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    disk_set(net, 1, (const pc_term[]){2, 2, 2, 0});
    struct pc_raft_msg m = append_of(net, 2, 1, 5, 2);
    append_add(net, &m, 3, "new");
    append_send(net, &m);
    assert_int_equal(net_status(net, 1).last, 3);
    assert_int_equal(net_status(net, 1).durable, 2);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND_RESP, 1, 2), 0);
    (void)net_sync(net, 1);
    assert_int_equal(net->nodes[1].disk.n, 3);
    assert_int_equal(net->nodes[1].disk.v[2].term, 3);
    assert_int_equal(net_status(net, 1).durable, 3);
    struct pc_raft_msg answer = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 1, 2);
    assert_true(answer.u.append_resp.accepted);
    assert_int_equal(answer.u.append_resp.match, 3);
    net_delete(net);
}

/* The truncation overtakes a write that is still on its way to the disk. */
static void append__conflict_with_an_unsynced_tail__durable_never_counts_the_old_one(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_raft_msg m = append_of(net, 2, 1, 5, 1);
    append_add(net, &m, 5, "a");
    append_add(net, &m, 5, "b");
    append_add(net, &m, 5, "c");
    append_send(net, &m);
    m = append_of(net, 3, 1, 6, 1);
    append_add(net, &m, 6, "d");
    append_send(net, &m);
    assert_int_equal(net_status(net, 1).last, 2);
    net_sync_some(net, 1, 1);
    assert_int_equal(net_status(net, 1).durable, 1);
    (void)net_sync(net, 1);
    assert_int_equal(net_status(net, 1).durable, 2);
    assert_int_equal(net->nodes[1].disk.n, 2);
    assert_int_equal(net->nodes[1].disk.v[1].term, 6);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND_RESP, 1, 2), 0); /* of an old term */
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND_RESP, 1, 3), 1);
    net_delete(net);
}

/* 3.5: only a conflict removes entries; a late message may be shorter than the log. */
static void append__late_and_shorter__removes_nothing(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    disk_set(net, 1, (const pc_term[]){2, 2, 2, 0});
    struct pc_raft_msg m = append_of(net, 2, 1, 5, 1);
    pc_entries_push(&m.entries, &net->nodes[1].disk.v[1]);
    append_send(net, &m);
    (void)net_sync(net, 1);
    struct pc_raft_msg answer = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 1, 2);
    assert_true(answer.u.append_resp.accepted);
    assert_int_equal(
        answer.u.append_resp.match, 2); /* not 4: the rest may differ from the leader's */
    assert_int_equal(net_status(net, 1).last, 4);
    net_delete(net);
}

/* A heartbeat's commit index says nothing about what lies behind its prev. */
static void append__commit_beyond_what_was_compared__stops_there(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    disk_set(net, 1, (const pc_term[]){2, 2, 2, 0});
    struct pc_raft_msg m = append_of(net, 2, 1, 5, 2);
    m.u.append.commit = 4;
    append_send(net, &m);
    assert_int_equal(net_status(net, 1).commit, 2);
    net_delete(net);
}

static void append__old_term__is_refused_and_tells_the_term(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    disk_set(net, 1, (const pc_term[]){4, 0});
    struct pc_raft_msg m = append_of(net, 2, 1, 3, 1);
    m.u.append.round = 7;
    m.u.append.commit = 1;
    append_send(net, &m);
    struct pc_raft_msg answer = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 1, 2);
    assert_false(answer.u.append_resp.accepted);
    assert_int_equal(answer.term, 4);
    assert_int_equal(answer.u.append_resp.round, 0); /* confirms nothing */
    assert_int_equal(net_status(net, 1).commit, 0);
    assert_int_equal(net_status(net, 1).leader, 0);
    net_delete(net);
}

static void append__acknowledgement__leaves_only_when_durable(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_propose(net, 1, "a");
    net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND_RESP, 2, 1), 0);
    (void)net_sync(net, 2);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND_RESP, 2, 1), 1);
    net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    assert_int_equal(net_status(net, 1).commit, 2); /* neither does the leader count itself yet */
    (void)net_sync(net, 1);
    assert_int_equal(net_status(net, 1).commit, 3);
    net_delete(net);
}

/* 10.2.1 */
static void commit__leader_on_a_slow_disk__goes_by_the_others(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net->nodes[1].holds_disk = true;
    net_propose(net, 1, "a");
    net_settle(net);
    assert_int_equal(net_status(net, 1).commit, 3);
    assert_int_equal(net_status(net, 1).durable, 2);
    net_delete(net);
}

static size_t tails_round_trips(struct net *net)
{
    size_t probes = 0;
    net_time_out(net, 1);
    while (net_status(net, 2).last != net_status(net, 1).last) {
        assert_true(probes < 100);
        net_drop(net, PC_RAFT_MSG_APPEND, 1, 3);
        while (net_find(net, PC_RAFT_MSG_APPEND, 1, 2) != SIZE_MAX) {
            probes++;
            net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
        }
        (void)net_sync(net, 2);
        while (net_find(net, PC_RAFT_MSG_APPEND_RESP, 2, 1) != SIZE_MAX) {
            net_deliver(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
        }
    }
    return probes;
}

/* 3.5: a tail of 300 entries in three terms that the leader does not have: one refusal per term. */
static void back_off__long_divergent_tail__takes_a_round_trip_per_term(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    for (pc_node_id id = 1; id <= 3; id++) {
        net_crash(net, id);
    }
    for (size_t i = 0; i < 300; i++) {
        net_disk_add(net, 2, 2 + i / 100, "lost");
        net_disk_add(net, 1, 5 + i / 100, "kept");
    }
    for (size_t i = 0; i < 300; i++) {
        pc_entries_push(&net->nodes[3].disk, &net->nodes[1].disk.v[i + 1]);
    }
    net->nodes[3].term = 7;
    for (pc_node_id id = 1; id <= 3; id++) {
        net_start(net, id);
    }
    net->cut[2][1] = true;
    net_elect(net, 1);
    net->cut[2][1] = false;
    /* At most a probe per term of either log, then the entries. */
    assert_true(tails_round_trips(net) <= 3 + 3 + 1);
    net_run(net, 200);
    net_assert_converged(net);
    net_delete(net);
}

/* 3.6.2 and figure 3.7: an entry of an older term on a majority is not committed by that. */
static void commit__old_term_on_a_majority__waits_for_one_of_its_own(void **state)
{
    (void)state;
    struct net *net = net_new(5);
    disk_set(net, 1, (const pc_term[]){2, 0});
    disk_set(net, 2, (const pc_term[]){2, 0});
    disk_set(net, 5, (const pc_term[]){3, 0});
    net->nodes[1].holds_disk = true; /* its own NOOP of term 4 stays where it is */
    net->nodes[3].applies_nothing = true;
    net->cut[1][5] = net->cut[1][4] = true;
    net_sleep(net, 2000);
    net_time_out(net, 1);
    net_settle(net);
    net->cut[2][1] = net->cut[3][1] = true;
    net_sync_votes(net, 1);
    net->cut[2][1] = net->cut[3][1] = false;
    net_settle(net);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_VOTE_RESP, 2, 1, net_status(net, 1).term);
    m.u.vote_resp.granted = true;
    net_recv(net, &m);
    m.from = 3;
    net_recv(net, &m);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    pc_term term = net_status(net, 1).term;
    net_drop_all(net);
    /* Entry 2, of term 2, is now on 1, 2 and 3; the NOOP is on nobody's disk. */
    for (pc_node_id id = 2; id <= 3; id++) {
        struct pc_raft_msg answer = net_msg(PC_RAFT_MSG_APPEND_RESP, id, 1, term);
        answer.u.append_resp.accepted = true;
        answer.u.append_resp.match = 2;
        net_recv(net, &answer);
    }
    assert_int_equal(net_status(net, 1).commit, 0);
    for (pc_node_id id = 2; id <= 4; id++) {
        struct pc_raft_msg answer = net_msg(PC_RAFT_MSG_APPEND_RESP, id, 1, term);
        answer.u.append_resp.accepted = true;
        answer.u.append_resp.match = 3;
        net_recv(net, &answer);
    }
    assert_int_equal(net_status(net, 1).commit, 3); /* and the older ones with it */
    net_delete(net);
}

static void append_resp__late_twice_or_out_of_order__never_lowers_match(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    struct pc_raft_msg held[4];
    for (size_t i = 0; i < 4; i++) {
        net_propose(net, 1, "x");
        net_deliver(net, PC_RAFT_MSG_APPEND, 1, 2);
        (void)net_sync(net, 2);
        held[i] = net_hold(net, PC_RAFT_MSG_APPEND_RESP, 2, 1);
    }
    struct pc_raft_peer_status peer;
    pc_index highest = 0;
    static const size_t order[] = {2, 0, 3, 1, 1, 3, 0, 2};
    for (size_t i = 0; i < 8; i++) {
        net_recv(net, &held[order[i]]);
        assert_true(pc_raft_peer(net->nodes[1].raft, 2, net->now, &peer));
        assert_true(peer.match >= highest);
        highest = peer.match;
    }
    assert_int_equal(highest, net_status(net, 1).last);
    struct pc_raft_msg refusal = net_msg(PC_RAFT_MSG_APPEND_RESP, 2, 1, net_status(net, 1).term);
    refusal.u.append_resp.match = 3; /* a late refusal of a prev that it has accepted since */
    net_drop_all(net);
    net_recv(net, &refusal);
    assert_int_equal(net_count(net, PC_RAFT_MSG_APPEND, 1, 2), 0); /* nor starts to probe again */
    assert_true(pc_raft_peer(net->nodes[1].raft, 2, net->now, &peer));
    assert_int_equal(peer.match, highest);
    net_settle(net);
    net_run(net, 100);
    net_assert_converged(net);
    net_delete(net);
}

static void append_resp__says_what_cannot_be__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    pc_term term = net_status(net, 1).term;
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND_RESP, 2, 1, term);
    m.u.append_resp.accepted = true;
    m.u.append_resp.match = 1000;
    net_recv(net, &m);
    m.u.append_resp.match = 1;
    m.u.append_resp.round = 1000;
    net_recv(net, &m);
    m.u.append_resp.round = 0;
    m.from = 9;
    m.u.append_resp.match = 2;
    net_recv(net, &m);
    m = net_msg(PC_RAFT_MSG_APPEND_RESP, 2, 1, term);
    m.u.append_resp.match = 2;
    m.u.append_resp.hint = UINT64_MAX;
    m.u.append_resp.hint_term = UINT64_MAX;
    net_recv(net, &m);
    struct pc_raft_peer_status peer;
    assert_true(pc_raft_peer(net->nodes[1].raft, 2, net->now, &peer));
    assert_int_equal(peer.match, 2);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    net_delete(net);
}

struct bad_append {
    pc_index prev;
    pc_index first; /* index of the first entry */
    pc_term terms[2];
    pc_ms stamps[2];
};

static void append__malformed__changes_nothing(void **state)
{
    (void)state;
    static const struct bad_append cases[] = {
        {1, 3, {5, 5}, {2000, 2000}},          /* a gap */
        {1, 1, {5, 5}, {2000, 2000}},          /* an overlap */
        {1, 2, {5, 4}, {2000, 2000}},          /* terms fall */
        {1, 2, {6, 6}, {2000, 2000}},          /* newer than the message */
        {1, 2, {0, 5}, {2000, 2000}},          /* no term */
        {1, 2, {5, 5}, {2000, 1999}},          /* stamps fall */
        {1, 2, {5, 5}, {999, 1000}},           /* below the stamp of what is there */
        {UINT64_MAX, 0, {5, 5}, {2000, 2000}}, /* wraps */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net *net = net_new(3);
        const struct bad_append *c = &cases[i];
        struct pc_raft_msg m = append_of(net, 2, 1, 5, 1);
        m.u.append.prev_index = c->prev;
        m.u.append.commit = 3;
        struct pc_hash chain = net->nodes[1].disk.v[0].chain;
        for (size_t k = 0; k < 2; k++) {
            struct pc_entry entry = {.index = c->first + k,
                .term = c->terms[k],
                .stamp_ms = c->stamps[k],
                .kind = PC_ENTRY_COMMAND};
            entry.chain = chain = pc_entry_chain(&chain, &entry);
            pc_entries_push(&m.entries, &entry);
        }
        append_send(net, &m);
        (void)net_sync(net, 1);
        assert_int_equal(net_status(net, 1).last, 1);
        assert_int_equal(net_status(net, 1).commit, 0);
        size_t k = net_find(net, PC_RAFT_MSG_APPEND_RESP, 1, 2);
        assert_true(k == SIZE_MAX || !net->msgs[k].u.append_resp.accepted);
        net_delete(net);
    }
}

static void append__chain_does_not_fit__is_refused_counted_and_never_acknowledged(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct net *net = net_new(3);
        disk_set(net, 1, (const pc_term[]){5, 0});
        struct pc_raft_msg m = append_of(net, 2, 1, 5, i == 3 ? 1 : 2);
        append_add(net, &m, 5, "a");
        append_add(net, &m, 5, "b");
        if (i == 0) {
            m.u.append.prev_chain.b[15] ^= 1; /* another history before prev */
        } else if (i == 1) {
            m.entries.v[1].chain.b[0] ^= 1; /* the last of them */
        } else if (i == 2) {
            m.entries.v[0].req.seq++; /* a changed content under an old chain value */
        }
        /* i == 3: entry 2 has this node's term, but another body than here */
        append_send(net, &m);
        (void)net_sync(net, 1);
        assert_int_equal(net_status(net, 1).divergence, 1);
        assert_int_equal(net_status(net, 1).last, 2);
        assert_int_equal(net->nodes[1].disk.n, 2);
        assert_int_equal(net->msgs_n, 0);
        net_delete(net);
    }
}

static void append__committed_entry_contradicted__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_crash(net, 1);
    net_disk_add(net, 1, 2, "a");
    net_disk_add(net, 1, 2, "b");
    net->nodes[1].commit = 3;
    net_start(net, 1);
    struct pc_raft_msg m = append_of(net, 2, 1, 5, 1);
    append_add(net, &m, 4, "other");
    append_add(net, &m, 4, "other");
    append_add(net, &m, 4, "other");
    append_send(net, &m);
    (void)net_sync(net, 1);
    assert_int_equal(net_status(net, 1).divergence, 1);
    assert_int_equal(net_status(net, 1).last, 3);
    net_delete(net);
}

/* What stands at prev is committed, so its claimed term is not compared; the chain fits as well. */
static void append__term_falls_behind_a_committed_entry__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_crash(net, 1);
    net_disk_add(net, 1, 2, "a");
    net_disk_add(net, 1, 2, "b");
    net->nodes[1].commit = 3;
    net_start(net, 1);
    struct pc_raft_msg m = append_of(net, 2, 1, 5, 3);
    m.u.append.prev_term = 0;
    append_add(net, &m, 1, "of an older term");
    append_send(net, &m);
    (void)net_sync(net, 1);
    assert_int_equal(net_status(net, 1).divergence, 1);
    assert_int_equal(net_status(net, 1).last, 3);
    net_delete(net);
}

static void append__second_leader_of_the_term__is_counted_and_not_followed(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    struct pc_raft_msg m = append_of(net, 2, 1, net_status(net, 1).term, 1);
    append_send(net, &m);
    assert_int_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    assert_int_equal(net_status(net, 1).divergence, 1);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(append__log_ends_before_prev__is_refused_with_a_hint),
    PC_TEST(append__other_term_at_prev__is_refused_with_the_end_of_the_term_before),
    PC_TEST(append__conflict__replaces_the_tail_once_durable),
    PC_TEST(append__conflict_with_an_unsynced_tail__durable_never_counts_the_old_one),
    PC_TEST(append__late_and_shorter__removes_nothing),
    PC_TEST(append__commit_beyond_what_was_compared__stops_there),
    PC_TEST(append__old_term__is_refused_and_tells_the_term),
    PC_TEST(append__acknowledgement__leaves_only_when_durable),
    PC_TEST(commit__leader_on_a_slow_disk__goes_by_the_others),
    PC_TEST(back_off__long_divergent_tail__takes_a_round_trip_per_term),
    PC_TEST(commit__old_term_on_a_majority__waits_for_one_of_its_own),
    PC_TEST(append_resp__late_twice_or_out_of_order__never_lowers_match),
    PC_TEST(append_resp__says_what_cannot_be__is_ignored),
    PC_TEST(append__malformed__changes_nothing),
    PC_TEST(append__chain_does_not_fit__is_refused_counted_and_never_acknowledged),
    PC_TEST(append__committed_entry_contradicted__is_refused),
    PC_TEST(append__term_falls_behind_a_committed_entry__is_refused),
    PC_TEST(append__second_leader_of_the_term__is_counted_and_not_followed),
};

PC_TEST_MAIN("raft_paper_log", tests)
