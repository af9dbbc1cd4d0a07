/* Client writes: what waits, what is sent, and what may be said when no commit comes. */
#include "unit/node/node_net.h"

static void write__on_any_node__is_committed_and_answered_there(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t i = 1; i <= 3; i++) {
        net_set(net, i, 10 + i, "key", "value");
        net_settle(net);
        net_run(net, 60);
        net_assert_reply(net, i, 10 + i, PC_REPLY_OK);
        const struct pc_reply *reply = &net_reply(net, i, 10 + i)->reply;
        assert_int_equal(reply->outcome.existed, i > 1);
        assert_int_equal(reply->outcome.version, reply->index);
        assert_true(reply->index > 0);
    }
    for (size_t i = 1; i <= 3; i++) {
        net_get(net, i, 20 + i, "key", PC_CONSISTENCY_LOCAL);
        net_assert_reply(net, i, 20 + i, PC_REPLY_OK);
        assert_string_equal(net_reply(net, i, 20 + i)->value, "value");
    }
    net_delete(net);
}

static void write__many_in_one_turn__go_in_one_message_and_one_write(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_node_effects fx = {0};
    struct pc_request request = {.type = PC_REQUEST_WRITE};
    request.command = (struct pc_command){.op = PC_OP_SET, .key = pc_slice_str("key")};
    struct pc_node_event event = {.type = PC_NODE_CLIENT, .now = net->now};
    event.u.request = &request;
    for (size_t i = 1; i <= 2; i++) {
        for (request.tag = 0; request.tag < 300; request.tag++) {
            pc_node_step(net->nodes[i].node, &event, &fx);
        }
        assert_int_equal(fx.msgs_n + fx.writes_n, 0); /* only the turn sends */
        struct pc_node_event turn = {.type = PC_NODE_TURN, .now = net->now};
        pc_node_step(net->nodes[i].node, &turn, &fx);
        assert_int_equal(fx.msgs_n, i == 1 ? 2 : 1);
        assert_int_equal(fx.writes_n, i == 1 ? 1 : 0);
        assert_int_equal(i == 1 ? fx.writes[0].entries.n : fx.msgs[0].forward.items_n, 300);
        pc_node_effects_clear(&fx);
    }
    pc_node_effects_destroy(&fx);
    net_delete(net);
}

static void write__no_leader__is_refused_after_the_wait_and_not_done(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 1);
    net_crash(net, 2);
    net_run(net, 2000); /* node 3 gives its leader up */
    net_set(net, 3, 7, "key", "value");
    net_run(net, 1999);
    assert_null(net_reply(net, 3, 7));
    net_run(net, 1);
    net_assert_reply(net, 3, 7, PC_REPLY_NO_LEADER);
    for (size_t i = 1; i <= 2; i++) {
        net_start(net, i);
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    net_get(net, 3, 8, "key", PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, 3, 8, PC_REPLY_NOT_FOUND);
    net_delete(net);
}

static void write__leader_comes_in_time__is_done(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 1);
    net_run(net, 300);
    net_set(net, 2, 7, "key", "value");
    net_set(net, 3, 8, "key", "value");
    net_run(net, 1800);
    net_assert_reply(net, 2, 7, PC_REPLY_OK);
    net_assert_reply(net, 3, 8, PC_REPLY_OK);
    net_delete(net);
}

static void write__proposed_but_not_committed__is_unknown_after_the_timeout(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net->cut[1][2] = net->cut[1][3] = true;
    net_set(net, 1, 7, "key", "value");
    net_run(net, 2999);
    assert_null(net_reply(net, 1, 7));
    net_run(net, 1);
    net_assert_reply(net, 1, 7, PC_REPLY_UNKNOWN);
    net_delete(net);
}

static void write__forwarded_and_lost__is_unknown_and_never_sent_again(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    assert_int_equal(net_count(net, PC_MSG_FORWARD, 2, 1), 1);
    net_drop(net, PC_MSG_FORWARD, 2, 1);
    size_t sent = net->sent[PC_MSG_FORWARD];
    net_run(net, 1500);
    net_make_leader(net, 3); /* nor to another leader: the first may have it */
    net_run(net, 1500);
    net_assert_reply(net, 2, 7, PC_REPLY_UNKNOWN);
    assert_int_equal(net->sent[PC_MSG_FORWARD], sent);
    net_delete(net);
}

/* The leader may have committed it or not; but its log is settled now and it will not speak again.
 */
static void write__lost_with_its_leader__is_unknown_once_the_next_one_works(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    assert_int_equal(net_count(net, PC_MSG_FORWARD, 2, 1), 1);
    net_crash(net, 1);
    net_run(net, 100);
    assert_null(net_reply(net, 2, 7)); /* nobody leads yet: it may still turn up */
    for (size_t ms = 0; net_leader(net) == 0; ms++) {
        assert_true(ms < 2000);
        net_run(net, 1);
    }
    net_run(net, 100);
    net_assert_reply(net, 2, 7, PC_REPLY_UNKNOWN);
    net_run(net, 3000);
    net_assert_reply(net, 2, 7, PC_REPLY_UNKNOWN); /* once */
    net_delete(net);
}

/* Back before anybody took its place, it knows nothing of what it was sent. */
static void write__its_leader_is_back_before_the_next_one__is_unknown_once_that_works(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    assert_int_equal(net_count(net, PC_MSG_FORWARD, 2, 1), 1);
    net_crash(net, 1);
    net_start(net, 1);
    net_connect_all(net, 1);
    assert_null(net_reply(net, 2, 7));
    for (size_t ms = 0; net_leader(net) == 0; ms++) {
        assert_true(ms < 2000);
        net_run(net, 1);
    }
    net_run(net, 100);
    net_assert_reply(net, 2, 7, PC_REPLY_UNKNOWN);
    net_delete(net);
}

/* Committed by the old leader, told by the new one: an answer, not a shrug. */
static void write__committed_by_a_leader_that_died__is_answered(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    net_deliver(net, PC_MSG_FORWARD, 2, 1);
    net_sync(net, 1);
    net_deliver(net, PC_MSG_RAFT, 1, 3);
    net_drop(net, PC_MSG_RAFT, 1, 2);
    net_sync(net, 3);
    net_crash(net, 1);
    net_make_leader(net, 3);
    net_run(net, 200);
    net_assert_reply(net, 2, 7, PC_REPLY_OK);
    net_delete(net);
}

/* The answer was given up; when the entry is applied later, there is nobody to tell. */
static void write__committed_after_the_timeout__is_answered_once(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    struct pc_msg late = net_hold(net, PC_MSG_FORWARD, 2, 1);
    net_run(net, 3100);
    net_assert_reply(net, 2, 7, PC_REPLY_UNKNOWN);
    net_recv(net, 1, &late);
    net_run(net, 200);
    net_assert_reply(net, 2, 7, PC_REPLY_UNKNOWN);
    net_get(net, 2, 8, "key", PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, 2, 8, PC_REPLY_OK);
    pc_msg_clear(&late);
    net_delete(net);
}

static void write__leader_knows_it_is_none__refuses_and_it_is_sent_to_the_next(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    struct pc_msg held = net_hold(net, PC_MSG_FORWARD, 2, 1);
    net_make_leader(net, 3);
    net_recv(net, 1, &held);
    assert_int_equal(net_count(net, PC_MSG_FORWARD_REFUSED, 1, 2), 1);
    assert_int_equal(net->msgs[0].forward.reason, PC_REFUSAL_NOT_LEADER);
    net_run(net, 200);
    net_assert_reply(net, 2, 7, PC_REPLY_OK);
    assert_int_equal(net_reply(net, 2, 7)->reply.outcome.existed, false);
    pc_msg_clear(&held);
    net_delete(net);
}

/* After a refusal nothing is sent for a moment, or two nodes would play ping-pong. */
static void write__refused__pauses_before_the_next_try(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct pc_node_event event = {.type = PC_NODE_TRANSFER};
    event.u.transfer_target = 103;
    net->cut[1][3] = true; /* the transfer does not succeed: half a second without a taker */
    net_do(net, 1, &event);
    size_t sent = net->sent[PC_MSG_FORWARD];
    net_set(net, 2, 7, "key", "value");
    net_run(net, 100);
    size_t tries = net->sent[PC_MSG_FORWARD] - sent;
    assert_in_range(tries, 2, 6);
    net->cut[1][3] = false;
    net_run(net, 1000);
    net_assert_reply(net, 2, 7, PC_REPLY_OK);
    net_delete(net);
}

/* Refusals do not add up: what was never proposed waits no longer than anything else. */
/* The refusal comes late and nothing follows: the write has waited since it came, not since then.
 */
static void write__refused_late_and_no_leader_since__ends_with_the_leader_wait(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    struct pc_instant start = net->now;
    struct pc_msg m = net_hold(net, PC_MSG_FORWARD, 2, 1);
    for (size_t peer = 1; peer <= 3; peer += 2) {
        net->cut[2][peer] = net->cut[peer][2] = true;
    }
    net_run(net, 1500);
    assert_null(net_reply(net, 2, 7));
    m.type = PC_MSG_FORWARD_REFUSED;
    m.from = 101;
    m.to = 102;
    m.forward.reason = PC_REFUSAL_NOT_LEADER;
    net_recv(net, 2, &m);
    pc_msg_clear(&m);
    struct pc_instant end = pc_instant_add_ms(start, 5000);
    while (net_reply(net, 2, 7) == NULL && net->now.us < end.us) {
        net_run(net, 25);
    }
    net_assert_reply(net, 2, 7, PC_REPLY_NO_LEADER);
    assert_in_range(pc_instant_ms_between(start, net->now), 1900, 2200);
    net_delete(net);
}

static void write__refused_again_and_again__ends_with_the_leader_wait(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net->cut[1][3] = net->cut[3][1] = true;
    net_set(net, 2, 7, "key", "value");
    struct pc_instant start = net->now;
    struct pc_instant end = pc_instant_add_ms(start, 2300);
    while (net_reply(net, 2, 7) == NULL && net->now.us < end.us) {
        for (size_t k = net_count(net, PC_MSG_FORWARD, 2, 1); k > 0; k--) {
            struct pc_msg m = net_hold(net, PC_MSG_FORWARD, 2, 1);
            m.type = PC_MSG_FORWARD_REFUSED;
            m.from = 101;
            m.to = 102;
            m.forward.reason = PC_REFUSAL_NOT_LEADER;
            net->now = pc_instant_add_ms(net->now, 200); /* a slow one */
            net_recv(net, 2, &m);
            pc_msg_clear(&m);
        }
        net->now = pc_instant_add_ms(net->now, 25);
        net_wake_due(net);
        struct pc_msg kept = {0};
        if (net_count(net, PC_MSG_FORWARD, 2, 1) > 0) {
            kept = net_hold(net, PC_MSG_FORWARD, 2, 1);
        }
        net_settle(net);
        if (kept.type != 0) {
            net->msgs[net->msgs_n++] = kept;
        }
    }
    net_assert_reply(net, 2, 7, PC_REPLY_NO_LEADER);
    pc_ms took = pc_instant_ms_between(start, net->now);
    assert_in_range(took, 1900, 2300);
    net_delete(net);
}

static struct pc_msg refusal_of(
    uint64_t boot, uint64_t seq, uint32_t attempt, enum pc_refusal reason)
{
    struct pc_msg msg = {.type = PC_MSG_FORWARD_REFUSED, .from = 101, .to = 102};
    msg.forward.boot = boot;
    msg.forward.reason = reason;
    msg.forward.items = pc_xalloc(sizeof *msg.forward.items);
    msg.forward.items_n = 1;
    msg.forward.items[0] = (struct pc_forward_item){.seq = seq, .attempt = attempt};
    return msg;
}

struct refusal_case {
    int64_t boot, seq, attempt; /* added to the right ones */
    bool counts;
};

static void refusal__of_another_attempt_life_or_request__is_ignored(void **state)
{
    (void)state;
    static const struct refusal_case cases[] = {
        {0, 0, 0, true}, {-1, 0, 0, false}, {0, 1, 0, false}, {0, 0, -1, false}, {0, 0, 1, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net *net = net_new_formed(3);
        net_set(net, 2, 7, "key", "value");
        struct pc_msg sent = net_hold(net, PC_MSG_FORWARD, 2, 1);
        struct pc_msg refusal = refusal_of(sent.forward.boot + (uint64_t)cases[i].boot,
            sent.forward.items[0].seq + (uint64_t)cases[i].seq,
            sent.forward.items[0].attempt + (uint32_t)cases[i].attempt, PC_REFUSAL_NOT_LEADER);
        size_t before = net->sent[PC_MSG_FORWARD];
        net_recv(net, 2, &refusal);
        net_run(net, 100);
        assert_int_equal(net->sent[PC_MSG_FORWARD] - before, cases[i].counts ? 1 : 0);
        pc_msg_clear(&refusal);
        pc_msg_clear(&sent);
        net_delete(net);
    }
}

/* Messages and disks one at a time, and node 2 alone wakes, until it leads: not a step further. */
static void let_node_two_lead(struct net *net)
{
    for (size_t steps = 0; net_status(net, 2).raft.role != PC_RAFT_LEADER; steps++) {
        assert_true(steps < 1000);
        if (net->msgs_n > 0) {
            struct pc_msg msg = net_take(net, 0);
            net_recv(net, net_at(msg.to), &msg);
            pc_msg_clear(&msg);
        } else if (!net_sync(net, 2) && !net_sync(net, 3)) {
            struct pc_instant at = pc_node_wake_at(net->nodes[2].node);
            net->now.us = at.us > net->now.us ? at.us : net->now.us;
            net_event(net, 2, PC_NODE_WAKE);
        }
    }
}

/* Entries in node 2's log that carry a request of node 2. */
static size_t own_proposals(const struct net *net)
{
    const struct pc_raft *raft = pc_node_raft(net->nodes[2].node);
    size_t count = 0;
    for (pc_index i = 1; i <= net_status(net, 2).raft.last; i++) {
        const struct pc_entry *entry = pc_raft_entry(raft, i);
        count += entry != NULL && entry->req.node == 102 ? 1 : 0;
    }
    return count;
}

/*  1  node 2 forwards to node 1, which refuses; the refusal arrives
 *  2  node 2 becomes leader and proposes the command itself
 *  3  the same refusal arrives again: it proves nothing about the proposal */
static void refusal__repeated_after_an_own_proposal__is_ignored(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "value");
    struct pc_msg sent = net_hold(net, PC_MSG_FORWARD, 2, 1);
    struct pc_msg refusal = refusal_of(sent.forward.boot, sent.forward.items[0].seq,
        sent.forward.items[0].attempt, PC_REFUSAL_NOT_LEADER);
    net_crash(net, 1);
    net_recv(net, 2, &refusal);
    for (size_t i = 2; i <= 3; i++) {
        struct pc_node_event event = {.type = PC_NODE_PEER_LOST};
        event.u.peer = 101;
        net_do(net, i, &event);
    }
    let_node_two_lead(net);
    net->now = pc_instant_add_ms(net->now, 30); /* past the pause after the refusal */
    net_event(net, 2, PC_NODE_WAKE);
    assert_int_equal(own_proposals(net), 1);
    assert_null(net_reply(net, 2, 7)); /* proposed, not committed */
    net_recv(net, 2, &refusal);
    net->now = pc_instant_add_ms(net->now, 30);
    net_event(net, 2, PC_NODE_WAKE);
    assert_int_equal(own_proposals(net), 1);
    net_run(net, 500);
    net_assert_reply(net, 2, 7, PC_REPLY_OK);
    pc_msg_clear(&refusal);
    pc_msg_clear(&sent);
    net_delete(net);
}

/*  1  node 2 forwards its first request, and restarts
 *  2  its next life's first request is on its way when the old one is committed
 *  3  both are number 1 of node 2: only the life tells them apart               */
static void write__number_used_by_an_earlier_life__is_not_answered_by_its_entry(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 2, 7, "key", "old");
    struct pc_msg first = net_hold(net, PC_MSG_FORWARD, 2, 1);
    net_crash(net, 2);
    net_start(net, 2);
    net_connect_all(net, 2);
    net_run(net, 200);
    net_set(net, 2, 8, "key", "new");
    struct pc_msg second = net_hold(net, PC_MSG_FORWARD, 2, 1);
    assert_int_equal(first.forward.items[0].seq, second.forward.items[0].seq);
    net_recv(net, 1, &first);
    net_run(net, 200);
    assert_null(net_reply(net, 2, 8));
    net_recv(net, 1, &second);
    net_run(net, 200);
    net_assert_reply(net, 2, 8, PC_REPLY_OK);
    assert_true(net_reply(net, 2, 8)->reply.outcome.existed);
    pc_msg_clear(&first);
    pc_msg_clear(&second);
    net_delete(net);
}

static void log_full__at_the_leader__answers_and_hands_over(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_event(net, 1, PC_NODE_LOG_FULL);
    net_set(net, 1, 7, "key", "value");
    net_assert_reply(net, 1, 7, PC_REPLY_LOG_FULL);
    net_set(net, 2, 8, "key", "value");
    net_deliver(net, PC_MSG_FORWARD, 2, 1);
    net_deliver(net, PC_MSG_FORWARD_REFUSED, 1, 2);
    net_assert_reply(net, 2, 8, PC_REPLY_LOG_FULL);
    net_run(net, 500); /* its disk is the leader's only fault: another one can lead */
    assert_int_not_equal(net_leader(net), 1);
    net_set(net, 1, 9, "key", "value");
    net_run(net, 200);
    net_assert_reply(net, 1, 9, PC_REPLY_OK);
    net_event(net, 1, PC_NODE_LOG_FULL_END);
    assert_false(net_status(net, 1).log_full);
    net_delete(net);
}

/* Nobody has space: leadership must not go round in circles. */
static void log_full__everywhere__leader_stays_and_reads_go_on(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 6, "key", "value");
    net_run(net, 200);
    for (size_t i = 1; i <= 3; i++) {
        net_event(net, i, PC_NODE_LOG_FULL);
    }
    net_run(net, 1000);
    pc_term term = net_status(net, 1).raft.term;
    for (size_t i = 0; i < 20; i++) {
        net_run(net, 200);
        net_get(net, 2, 100 + i, "key", PC_CONSISTENCY_LINEARIZABLE);
        net_settle(net);
        net_run(net, 200);
        net_assert_reply(net, 2, 100 + i, PC_REPLY_OK);
    }
    assert_int_equal(net_status(net, 1).raft.term, term);
    net_set(net, 2, 7, "key", "other");
    net_run(net, 100);
    net_assert_reply(net, 2, 7, PC_REPLY_LOG_FULL);
    net_delete(net);
}

static void log_failed__pending_requests__get_what_is_known_of_them(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 7, "key", "value"); /* on its way */
    net_get(net, 1, 8, "key", PC_CONSISTENCY_LINEARIZABLE);
    net_disconnect(net, 2, 1);
    net_set(net, 2, 9, "key", "value"); /* waits for a connection */
    net_event(net, 1, PC_NODE_LOG_FAILED);
    net_assert_reply(net, 1, 7, PC_REPLY_UNKNOWN);
    net_assert_reply(net, 1, 8, PC_REPLY_STOPPING);
    net_event(net, 2, PC_NODE_LOG_FAILED);
    net_assert_reply(net, 2, 9, PC_REPLY_STOPPING);
    net_delete(net);
}

static void log_failed__afterwards__nothing_is_promised(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_set(net, 1, 7, "key", "value");
    net_event(net, 2, PC_NODE_LOG_FAILED);
    net_drop(net, 0, 2, 0);
    net->nodes[2].queue_n = 0;
    net_deliver(net, PC_MSG_RAFT, 1, 2);
    net_set(net, 2, 8, "key", "value");
    net_get(net, 2, 9, "key", PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, 2, 8, PC_REPLY_STOPPING);
    net_assert_reply(net, 2, 9, PC_REPLY_STOPPING);
    assert_true(pc_node_wake_at(net->nodes[2].node).us == PC_INSTANT_NEVER.us);
    net_event(net, 2, PC_NODE_WAKE);
    assert_int_equal(net_count(net, 0, 2, 0), 0);
    assert_int_equal(net->nodes[2].queue_n, 0);
    struct pc_node_status status = net_status(net, 2);
    assert_false(status.ready);
    assert_false(net_ready_check(&status, "log")->ok);
    net_run(net, 200); /* the others go on */
    net_assert_reply(net, 1, 7, PC_REPLY_OK);
    net_delete(net);
}

static void write__too_many_pending__is_refused_not_done(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 2);
    net_crash(net, 3);
    struct pc_node_effects fx = {0};
    struct pc_request request = {.type = PC_REQUEST_WRITE};
    request.command = (struct pc_command){.op = PC_OP_DELETE, .key = pc_slice_str("key")};
    struct pc_node_event event = {.type = PC_NODE_CLIENT, .now = net->now};
    event.u.request = &request;
    for (request.tag = 1; request.tag <= PC_PENDING_REQUESTS_MAX; request.tag++) {
        pc_node_step(net->nodes[1].node, &event, &fx);
    }
    assert_int_equal(fx.replies_n, 0);
    pc_node_step(net->nodes[1].node, &event, &fx);
    assert_int_equal(fx.replies_n, 1);
    assert_int_equal(fx.replies[0].status, PC_REPLY_OVERLOADED);
    assert_int_equal(net_status(net, 1).pending, PC_PENDING_REQUESTS_MAX);
    pc_node_effects_destroy(&fx);
    net_delete(net);
}

static void tick__only_while_something_can_expire__every_250_ms(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    pc_index last = net_status(net, 1).raft.last;
    net_run(net, 5000);
    assert_int_equal(net_status(net, 1).raft.last, last);
    net_set_ttl(net, 2, 7, "key", "value", 2000);
    net_run(net, 1000);
    last = net_status(net, 1).raft.last;
    net_run(net, 1000);
    assert_in_range(net_status(net, 1).raft.last - last, 3, 5);
    net_run(net, 500); /* it has expired, and been removed, by ticks alone */
    net_get(net, 3, 8, "key", PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, 3, 8, PC_REPLY_NOT_FOUND);
    last = net_status(net, 1).raft.last;
    net_run(net, 5000);
    assert_int_equal(net_status(net, 1).raft.last, last);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(write__on_any_node__is_committed_and_answered_there),
    PC_TEST(write__many_in_one_turn__go_in_one_message_and_one_write),
    PC_TEST(write__no_leader__is_refused_after_the_wait_and_not_done),
    PC_TEST(write__leader_comes_in_time__is_done),
    PC_TEST(write__proposed_but_not_committed__is_unknown_after_the_timeout),
    PC_TEST(write__forwarded_and_lost__is_unknown_and_never_sent_again),
    PC_TEST(write__lost_with_its_leader__is_unknown_once_the_next_one_works),
    PC_TEST(write__its_leader_is_back_before_the_next_one__is_unknown_once_that_works),
    PC_TEST(write__committed_by_a_leader_that_died__is_answered),
    PC_TEST(write__committed_after_the_timeout__is_answered_once),
    PC_TEST(write__leader_knows_it_is_none__refuses_and_it_is_sent_to_the_next),
    PC_TEST(write__refused__pauses_before_the_next_try),
    PC_TEST(write__refused_again_and_again__ends_with_the_leader_wait),
    PC_TEST(write__refused_late_and_no_leader_since__ends_with_the_leader_wait),
    PC_TEST(refusal__of_another_attempt_life_or_request__is_ignored),
    PC_TEST(refusal__repeated_after_an_own_proposal__is_ignored),
    PC_TEST(write__number_used_by_an_earlier_life__is_not_answered_by_its_entry),
    PC_TEST(log_full__at_the_leader__answers_and_hands_over),
    PC_TEST(log_full__everywhere__leader_stays_and_reads_go_on),
    PC_TEST(log_failed__pending_requests__get_what_is_known_of_them),
    PC_TEST(log_failed__afterwards__nothing_is_promised),
    PC_TEST(write__too_many_pending__is_refused_not_done),
    PC_TEST(tick__only_while_something_can_expire__every_250_ms),
};

PC_TEST_MAIN("node_write", tests)
