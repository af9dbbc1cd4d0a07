/* What a node says of itself: readiness with its reasons, members, replay after a restart. */
#include "unit/node/node_net.h"

static void fill(struct net *net, size_t i, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%zu", k);
        net_set(net, i, 1000 + k, key, "value");
        net_settle(net);
        net_assert_reply(net, i, 1000 + k, PC_REPLY_OK);
        net->nodes[i].replies_n = 0;
    }
}

static void ready__formed_and_led__is_ready_everywhere(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (size_t i = 1; i <= 3; i++) {
        struct pc_node_status status = net_status(net, i);
        assert_true(status.ready);
        assert_string_equal(status.role, i == 1 ? "leader" : "voter");
        assert_string_equal(status.leader_name, "node1");
        assert_int_equal(status.checks_n, 9);
        assert_int_equal(status.pending, 0);
        struct pc_node_log_span span;
        pc_node_log_span(net->nodes[i].node, &span);
        assert_int_equal(span.oldest, 1);
        assert_int_equal(span.last, status.applied);
        assert_false(span.has_branch);
    }
    net_delete(net);
}

/* They may never have been: nobody is told of them. */
static void log__entries_not_committed__are_not_given(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    fill(net, 1, 3);
    pc_index applied = net_status(net, 1).applied;
    net_disconnect(net, 1, 2);
    net_disconnect(net, 1, 3);
    net_set(net, 1, 2000, "key", "nobody else has it");
    net_settle(net);
    struct pc_node_log_span span;
    pc_node_log_span(net->nodes[1].node, &span);
    assert_true(net_status(net, 1).raft.durable > applied);
    assert_int_equal(span.last, applied);
    assert_int_equal(span.applied, applied);
    net_delete(net);
}

/* Its own log says nothing about what it missed: a leader must have been heard since the start. */
static void ready__restarted_and_alone__is_not_ready(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    fill(net, 1, 20);
    net_crash(net, 3);
    net_start(net, 3);
    net_run(net, 3000);
    struct pc_node_status status = net_status(net, 3);
    assert_false(status.ready);
    assert_false(net_ready_check(&status, "leader")->ok);
    assert_string_equal(net_ready_check(&status, "leader")->text, "none yet");
    assert_false(net_ready_check(&status, "catchup")->ok);
    assert_string_equal(net_ready_check(&status, "catchup")->text, "no leader heard since start");
    net_connect_all(net, 3);
    net_run(net, 1500);
    assert_true(net_status(net, 3).ready);
    net_delete(net);
}

static void ready__leader_lost__lasts_for_the_grace(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 1);
    net_crash(net, 2);
    net_run(net, 1100);
    struct pc_node_status status = net_status(net, 3);
    assert_int_equal(status.raft.leader, 0);
    assert_true(status.ready);
    assert_memory_equal(net_ready_check(&status, "leader")->text, "none ", 5);
    net_run(net, 3500);
    assert_true(net_status(net, 3).ready);
    net_run(net, 1500);
    status = net_status(net, 3);
    assert_false(status.ready);
    assert_false(net_ready_check(&status, "leader")->ok);
    assert_in_range(status.leader_silent_ms, 5000, 6200);
    net_delete(net);
}

static void ready__without_quorum_is_enough__needs_no_leader(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    fill(net, 1, 3);
    net_crash(net, 1);
    net_crash(net, 2);
    net_crash(net, 3);
    net->nodes[3].opts.ready_without_quorum = true;
    net_start(net, 3);
    net_run(net, 3000);
    assert_true(net_status(net, 3).ready);
    net_delete(net);
}

static void ready__drained__never_again_and_leadership_goes(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_event(net, 1, PC_NODE_DRAIN);
    net_run(net, 200);
    struct pc_node_status status = net_status(net, 1);
    assert_false(status.ready);
    assert_true(status.draining);
    assert_false(net_ready_check(&status, "drain")->ok);
    assert_int_not_equal(net_leader(net), 0);
    assert_int_not_equal(net_leader(net), 1);
    net_set(net, 1, 1, "key", "value"); /* it still serves who has not gone yet */
    net_run(net, 100);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    net_delete(net);
}

/* Two that go at the same time do not pass leadership to and fro. */
static void drain__of_two__leadership_ends_at_the_third(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_event(net, 2, PC_NODE_DRAIN);
    net_event(net, 1, PC_NODE_DRAIN);
    net_run(net, 3000);
    assert_int_equal(net_leader(net), 3);
    assert_true(net_status(net, 3).raft.term <= 6);
    net_delete(net);
}

static void catchup__far_behind__says_how_far_and_how_long(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    fill(net, 1, 300);
    net_crash(net, 3);
    for (size_t k = net->nodes[3].disk.n; k > 4; k--) { /* as if it had missed them */
        pc_entry_clear(&net->nodes[3].disk.v[--net->nodes[3].disk.n]);
    }
    net->nodes[3].commit = 4;
    net->nodes[3].opts.is_relaxed = true; /* nobody holds it against it */
    net_start(net, 3);
    net->nodes[3].holds_disk = true;
    net->cut[1][3] = net->cut[2][3] = true;
    net_connect_all(net, 3);
    struct pc_msg beat = {.type = PC_MSG_RAFT, .from = 101, .to = 103};
    beat.raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_APPEND, .from = 101, .to = 103, .term = net_status(net, 1).raft.term};
    beat.raft.u.append.prev_index = net_status(net, 1).raft.last;
    beat.raft.u.append.prev_term = beat.raft.term;
    beat.raft.u.append.commit = net_status(net, 1).raft.commit;
    for (size_t loads = 0; net->nodes[3].loads_n > 0; loads++) {
        net_load_answer(net, 3, 100);
    }
    net_recv(net, 3, &beat);
    struct pc_node_status status = net_status(net, 3);
    assert_false(status.ready);
    assert_false(net_ready_check(&status, "catchup")->ok);
    assert_string_equal(net_ready_check(&status, "catchup")->text, "1%");
    net->cut[1][3] = net->cut[2][3] = false;
    net->nodes[3].holds_disk = false;
    net_run(net, 300);
    assert_true(net_status(net, 3).ready);
    net_delete(net);
}

/* A few entries are missing, and the leader does not have them any more. */
static void catchup__needs_a_snapshot__is_not_ready(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    fill(net, 1, 3);
    net_run(net, 500);
    assert_true(net_status(net, 3).ready);
    net->cut[1][3] = true;
    struct pc_node_status leader = net_status(net, 1);
    struct pc_msg hint = {.type = PC_MSG_RAFT, .from = 101, .to = 103};
    hint.raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_SNAPSHOT, .from = 101, .to = 103, .term = leader.raft.term};
    hint.raft.u.snapshot.first = leader.raft.last + 5;
    hint.raft.u.snapshot.commit = leader.raft.last + 20;
    net_recv(net, 3, &hint);
    struct pc_node_status status = net_status(net, 3);
    assert_false(status.ready);
    assert_false(net_ready_check(&status, "catchup")->ok);
    net->cut[1][3] = false;
    fill(net, 1, 25); /* it has them after all */
    net_run(net, 500);
    assert_true(net_status(net, 3).ready);
    net_delete(net);
}

static void catchup__half_done__gives_an_estimate(void **state)
{
    (void)state;
    struct net *net = net_new_formed(1);
    fill(net, 1, 400);
    net_crash(net, 1);
    net_start(net, 1);
    net->nodes[1].holds_loads = true;
    net_run(net, 2000);
    struct pc_node_status status = net_status(net, 1);
    assert_false(status.ready);
    assert_false(net_ready_check(&status, "replay")->ok);
    assert_string_equal(net_ready_check(&status, "replay")->text, "0%");
    assert_int_equal(net->nodes[1].loads_n, 1);
    net_load_answer(net, 1, 200);
    status = net_status(net, 1);
    assert_string_equal(net_ready_check(&status, "replay")->text, "49%");
    assert_string_equal(net_ready_check(&status, "catchup")->text, "49% eta 2s");
    net_run(net, 3000); /* nothing comes any more: when, nobody knows */
    status = net_status(net, 1);
    assert_string_equal(net_ready_check(&status, "catchup")->text, "49%");
    net->nodes[1].holds_loads = false;
    net_run(net, 500);
    assert_true(net_status(net, 1).ready);
    net_delete(net);
}

/* Replay takes the way of all old entries: LOAD, in pieces, in order, once each. */
static void restart__replay__gives_the_state_of_before(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    fill(net, 1, 50);
    net_run(net, 200);
    struct pc_node_status before = net_status(net, 3);
    net_crash(net, 3);
    net_start(net, 3);
    net->nodes[3].holds_loads = true;
    net_connect_all(net, 3);
    net_run(net, 200);
    assert_int_equal(net_status(net, 3).applied, 0);
    for (size_t pieces = 0; net->nodes[3].loads_n > 0; pieces++) {
        assert_true(pieces < 100);
        assert_int_equal(net->nodes[3].loads[0].tag, 0);
        assert_int_equal(net->nodes[3].loads[0].first, net_status(net, 3).applied + 1);
        bool fails = pieces % 3 == 2; /* and is asked for again in a while */
        net_load_answer(net, 3, fails ? 0 : 7);
        net_run(net, fails ? 250 : 0);
    }
    net_run(net, 200);
    struct pc_node_status after = net_status(net, 3);
    assert_int_equal(after.applied, before.applied);
    assert_true(pc_hash_equal(&after.digest, &before.digest));
    net_get(net, 3, 1, "key49", PC_CONSISTENCY_LINEARIZABLE);
    net_run(net, 100);
    net_assert_reply(net, 3, 1, PC_REPLY_OK);
    net_delete(net);
}

/* All at once, nothing but the disks left. */
static void restart__of_all__keeps_what_was_answered(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    fill(net, 1, 20);
    for (size_t i = 1; i <= 3; i++) {
        net_crash(net, i);
    }
    for (size_t i = 1; i <= 3; i++) {
        net_start(net, i);
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    for (size_t i = 1; i <= 3; i++) {
        net_get(net, i, 1, "key19", PC_CONSISTENCY_LINEARIZABLE);
        net_run(net, 100);
        net_assert_reply(net, i, 1, PC_REPLY_OK);
    }
    net_delete(net);
}

static void members__of_a_cluster__are_all_named_in_order(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct pc_node_member members[8];
    assert_int_equal(pc_node_members(net->nodes[2].node, net->now, members, 8), 3);
    for (size_t i = 0; i < 3; i++) { /* configured, never met */
        assert_int_equal(members[i].id, i == 1 ? 102 : 0);
        assert_int_equal(members[i].state, i == 1 ? PC_MEMBER_ALIVE : PC_MEMBER_DEAD);
        assert_string_equal(members[i].role, "member");
    }
    assert_int_equal(pc_node_members(net->nodes[2].node, net->now, members, 2), 2);
    net_delete(net);
    net = net_new_formed(3);
    for (size_t at = 1; at <= 3; at++) {
        assert_int_equal(pc_node_members(net->nodes[at].node, net->now, members, 8), 3);
        for (size_t i = 0; i < 3; i++) {
            char name[8];
            (void)snprintf(name, sizeof name, "node%zu", i + 1);
            assert_string_equal(members[i].name, name);
            assert_int_equal(members[i].id, 101 + i);
            assert_string_equal(members[i].role, i == 0 ? "leader" : "voter");
            assert_int_equal(members[i].has_match, at == 1 && i != 0);
            if (members[i].has_match) {
                assert_int_equal(members[i].match, net_status(net, 1).raft.last);
                assert_true(members[i].silent_ms <= 60);
            }
        }
    }
    net_delete(net);
}

static void leader_lost__by_the_transport__fails_over_long_before_a_timeout(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    net_crash(net, 1);
    for (size_t i = 2; i <= 3; i++) {
        struct pc_node_event event = {.type = PC_NODE_PEER_LOST};
        event.u.peer = 101;
        net_do(net, i, &event);
    }
    net_run(net, 300);
    assert_int_not_equal(net_leader(net), 0);
    assert_true(net_has_note(net, net_leader(net), PC_NOTE_ROLE));
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(ready__formed_and_led__is_ready_everywhere),
    PC_TEST(log__entries_not_committed__are_not_given),
    PC_TEST(ready__restarted_and_alone__is_not_ready),
    PC_TEST(ready__leader_lost__lasts_for_the_grace),
    PC_TEST(ready__without_quorum_is_enough__needs_no_leader),
    PC_TEST(ready__drained__never_again_and_leadership_goes),
    PC_TEST(drain__of_two__leadership_ends_at_the_third),
    PC_TEST(catchup__far_behind__says_how_far_and_how_long),
    PC_TEST(catchup__needs_a_snapshot__is_not_ready),
    PC_TEST(catchup__half_done__gives_an_estimate),
    PC_TEST(restart__replay__gives_the_state_of_before),
    PC_TEST(restart__of_all__keeps_what_was_answered),
    PC_TEST(members__of_a_cluster__are_all_named_in_order),
    PC_TEST(leader_lost__by_the_transport__fails_over_long_before_a_timeout),
};

PC_TEST_MAIN("node_status", tests)
