/* A node that is far behind: who is asked for what, what is taken, and who acknowledges when. */
#include "unit/node/node_net.h"

#define AHEAD 20   /* opts.catchup_entries */
#define OPEN_MAX 3 /* questions that a peer has open at a time */

/* What went over the network while it ran. */
struct seen {
    size_t asked[NET_NODES_MAX + 1]; /* FETCHes to this node */
    size_t given[NET_NODES_MAX + 1]; /* entries in its ENTRIES */
    size_t sent;                     /* entries in APPENDs to the one that lags */
    size_t open_max;                 /* questions open at one peer at a time */
    pc_index acked;                  /* by the one that lags */
};

static void (*meddle)(struct net *net, struct pc_msg *msg); /* with what is delivered */

static void look(struct net *net, size_t late, struct seen *seen, struct pc_msg *msg)
{
    size_t from = net_at(msg->from), to = net_at(msg->to);
    seen->asked[to] += msg->type == PC_MSG_FETCH && from == late ? 1 : 0;
    seen->given[from] += msg->type == PC_MSG_ENTRIES && to == late ? msg->fetch.v.n : 0;
    if (msg->type == PC_MSG_RAFT && to == late) {
        seen->sent += msg->raft.entries.n;
    }
    bool acks = msg->type == PC_MSG_RAFT && from == late &&
                msg->raft.type == PC_RAFT_MSG_APPEND_RESP && msg->raft.u.append_resp.accepted;
    if (acks && msg->raft.u.append_resp.match > seen->acked) {
        seen->acked = msg->raft.u.append_resp.match;
    }
    if (meddle != NULL) {
        meddle(net, msg);
    }
}

static size_t open_at(const struct net *net, size_t late, size_t peer)
{
    return net_count(net, PC_MSG_FETCH, late, peer) + net_count(net, PC_MSG_ENTRIES, peer, late) +
           net->nodes[peer].loads_n;
}

static bool settle_once(struct net *net, size_t late, struct seen *seen)
{
    bool busy = net->msgs_n > 0;
    for (size_t i = 1; i <= net->n; i++) {
        size_t open = i != late ? open_at(net, late, i) : 0;
        seen->open_max = open > seen->open_max ? open : seen->open_max;
    }
    for (size_t left = net->msgs_n; left > 0 && net->msgs_n > 0; left--) {
        struct pc_msg msg = net_take(net, 0);
        look(net, late, seen, &msg);
        net_recv(net, net_at(msg.to), &msg);
        pc_msg_clear(&msg);
    }
    for (size_t i = 1; i <= net->n; i++) {
        struct net_node *node = &net->nodes[i];
        busy = (node->node != NULL && net_sync(net, i)) || busy;
        if (node->node != NULL && node->loads_n > 0 && !node->holds_loads) {
            net_load_answer(net, i, PC_APPEND_ENTRIES_MAX);
            busy = true;
        }
    }
    return busy;
}

static void settle(struct net *net, size_t late, struct seen *seen)
{
    for (size_t rounds = 0; settle_once(net, late, seen); rounds++) {
        assert_true(rounds < 1000); /* questions without end */
    }
}

static void run(struct net *net, size_t late, struct seen *seen, pc_ms ms)
{
    struct pc_instant until = pc_instant_add_ms(net->now, ms);
    while (net->now.us < until.us) {
        settle(net, late, seen);
        net->now = pc_instant_add_ms(net->now, 5);
        net_wake_due(net);
    }
    settle(net, late, seen);
}

/* So large that a range holds about a hundred. */
#define VALUE_BYTES 2000

static void write_some(struct net *net, size_t count, size_t bytes)
{
    char value[VALUE_BYTES + 1];
    memset(value, 'v', bytes);
    value[bytes] = '\0';
    for (size_t i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "k%zu", i);
        net_set(net, 1, i + 1, key, value);
        net_settle(net);
        net_assert_reply(net, 1, i + 1, PC_REPLY_OK);
        net->nodes[1].replies_n = 0;
    }
}

/* Starts all of them anew, with so much of the log in memory: all of it is checked at every step.
 */
static void keep_little(struct net *net)
{
    for (size_t i = 1; i <= net->n; i++) {
        net_crash(net, i);
        net->nodes[i].opts.raft.tail_bytes_max = 10 * VALUE_BYTES;
        net->nodes[i].opts.catchup_entries = AHEAD;
        net_start(net, i);
    }
    for (size_t i = 1; i <= net->n; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    net_make_leader(net, 1);
    net_run(net, 200);
}

static struct net *late_after(struct net *net, size_t count, size_t bytes)
{
    meddle = NULL;
    net_crash(net, net->n);
    net->nodes[net->n].opts.catchup_entries = AHEAD;
    write_some(net, count, bytes);
    net_run(net, 200);
    net_start(net, net->n);
    return net;
}

/* n nodes, 1 leads; the last one was down while `count` entries were written, and runs again
 * without any connection. */
static struct net *net_with_late(size_t n, size_t count)
{
    struct net *net = net_new_formed(n);
    keep_little(net);
    return late_after(net, count, VALUE_BYTES);
}

/* To the peers first: a leader that is met before anybody else sends at once. */
static void connect(struct net *net, size_t late)
{
    for (size_t i = late - 1; i >= 1; i--) {
        if (net->nodes[i].node != NULL && !net->up[late][i]) {
            net_connect(net, late, i);
        }
    }
}

static pc_index last_of(const struct net *net, size_t i)
{
    return net_status(net, i).raft.last;
}

static void assert_caught_up(struct net *net, size_t late)
{
    assert_int_equal(net_status(net, late).applied, net_status(net, 1).applied);
    assert_true(net_status(net, late).ready);
    for (size_t k = 0; k < net->nodes[late].disk.n; k++) {
        assert_true(
            pc_hash_equal(&net->nodes[late].disk.v[k].chain, &net->nodes[1].disk.v[k].chain));
    }
}

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

/* ---- the giving side */

static void questions__more_than_a_peer_may_have__are_dropped(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    for (uint64_t i = 1; i <= 20; i++) {
        struct pc_msg msg = {.type = PC_MSG_FETCH, .from = 103, .to = 102};
        msg.fetch = (struct pc_fetch){.nonce = i, .first = i, .last = i + 9};
        net_recv(net, 2, &msg);
        assert_int_equal(net->nodes[2].loads_n, 1);
    }
    size_t answers = 0;
    while (net->nodes[2].loads_n > 0) {
        net_load_answer(net, 2, 100);
        struct pc_msg msg = net_hold(net, PC_MSG_ENTRIES, 2, 3);
        answers++;
        assert_int_equal(msg.fetch.nonce, answers);
        assert_int_equal(msg.fetch.first, answers);
        assert_int_equal(msg.fetch.v.n, 10);
        assert_int_equal(msg.fetch.v.v[0].index, answers);
        pc_msg_clear(&msg);
    }
    assert_int_equal(answers, OPEN_MAX);
    net_delete(net);
}

/* A load of an earlier connection must not pass for the answer to a question of this one. */
static void questions__answered_late__are_of_the_connection_that_asked(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    struct pc_msg msg = {.type = PC_MSG_FETCH, .from = 103, .to = 102};
    msg.fetch = (struct pc_fetch){.nonce = 1, .first = 10, .last = 19};
    net_recv(net, 2, &msg);
    net_disconnect(net, 3, 2);
    net_connect(net, 3, 2);
    msg.fetch = (struct pc_fetch){.nonce = 2, .first = 50, .last = 59};
    net_recv(net, 2, &msg);
    net_drop(net, 0, 2, 3);
    net_load_answer(net, 2, 100);
    assert_int_equal(net_count(net, PC_MSG_ENTRIES, 2, 3), 0);
    net_load_answer(net, 2, 100);
    struct pc_msg answer = net_hold(net, PC_MSG_ENTRIES, 2, 3);
    assert_int_equal(answer.fetch.nonce, 2);
    assert_int_equal(answer.fetch.v.v[0].index, 50);
    pc_msg_clear(&answer);
    net_delete(net);
}

static void ask_of_2(struct net *net, uint64_t nonce, pc_index first, pc_index last)
{
    struct pc_msg msg = {.type = PC_MSG_FETCH, .from = 103, .to = 102};
    msg.fetch = (struct pc_fetch){.nonce = nonce, .first = first, .last = last};
    net_recv(net, 2, &msg);
}

/* They are asked of the log as bytes, and the answer owns what the log gave. */
static void questions__answered_raw__pass_the_bytes_on(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    ask_of_2(net, 7, 10, 19);
    assert_int_equal(net->nodes[2].loads_n, 1);
    assert_true(net->nodes[2].loads[0].raw);
    struct pc_entries none = {0};
    struct pc_raw_entries raw = {.first = 10, .n = 10};
    pc_buf_append(&raw.bytes, "as they are", 11);
    struct pc_node_event event = {.type = PC_NODE_LOADED};
    event.u.loaded.tag = net->nodes[2].loads[0].tag;
    event.u.loaded.entries = &none;
    event.u.loaded.raw = &raw;
    net_do(net, 2, &event);
    assert_null(raw.bytes.data);
    struct pc_msg answer = net_hold(net, PC_MSG_ENTRIES, 2, 3);
    assert_int_equal(answer.fetch.nonce, 7);
    assert_int_equal(answer.fetch.first, 10);
    assert_int_equal(answer.fetch.raw.n, 10);
    assert_memory_equal(answer.fetch.raw.bytes.data, "as they are", 11);
    pc_msg_clear(&answer);
    net_delete(net);
}

/* What only a snapshot has is known to be gone: the log is not asked for it. */
static void questions__about_what_was_dropped__are_answered_at_once(void **state)
{
    (void)state;
    struct net *net = net_with_late(3, 100);
    net->nodes[2].holds_loads = true;
    net_connect(net, 3, 2);
    net_settle(net);
    struct pc_node_event event = {.type = PC_NODE_LOG_DROPPED};
    event.u.log_first = 50;
    net_do(net, 2, &event);
    ask_of_2(net, 1, 10, 60);
    assert_int_equal(net->nodes[2].loads_n, 0);
    struct pc_msg answer = net_hold(net, PC_MSG_ENTRIES, 2, 3);
    assert_int_equal(answer.fetch.nonce, 1);
    assert_int_equal(answer.fetch.v.n + answer.fetch.raw.n, 0);
    pc_msg_clear(&answer);
    ask_of_2(net, 2, 50, 60);
    assert_int_equal(net->nodes[2].loads_n, 1);
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
    PC_TEST(clients__go_on_writing__the_node_becomes_ready),
    PC_TEST(questions__more_than_a_peer_may_have__are_dropped),
    PC_TEST(questions__answered_late__are_of_the_connection_that_asked),
    PC_TEST(questions__answered_raw__pass_the_bytes_on),
    PC_TEST(questions__about_what_was_dropped__are_answered_at_once),
    PC_TEST(snapshot__due_while_behind__is_made_afterwards),
};

PC_TEST_MAIN("node_catchup", tests)
