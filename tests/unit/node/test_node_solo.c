/* A node that is alone opens a branch, serves from it, and closes it when a voter is heard. */
#include "unit/node/node_solos.h"

static void solo__switched_off__waits_for_ever(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    solo_isolate(net, 1);
    net_run(net, 60000);
    assert_int_equal(net->nodes[1].branches_n, 0);
    assert_string_equal(solo_state(net, 1), "off");
    net_delete(net);
}

static void solo__alone_for_long_enough__begins_at_what_is_applied(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_isolate(net, 1);
    net_run(net, SOLO_AFTER_MS - 100);
    assert_int_equal(net->nodes[1].branches_n, 0);
    assert_string_equal(solo_state(net, 1), "waiting");
    assert_true(net_status(net, 1).solo.is_due);
    net_run(net, 5000); /* it led: it was not alone before it stepped down */
    solo_assert_last(net, 1, 1, PC_NODE_BRANCH_BEGIN);
    const struct pc_node_branch *begin = solo_last(net, 1);
    struct pc_node_status status = net_status(net, 1);
    assert_string_equal(status.solo.state, "opening");
    assert_int_equal(begin->base.index, status.applied);
    assert_int_equal(begin->base.term, net->nodes[1].disk.v[status.applied - 1].term);
    assert_true(pc_hash_equal(&begin->base.chain, &net->nodes[1].disk.v[status.applied - 1].chain));
    assert_memory_equal(begin->history, status.history, 16);
    assert_memory_equal(begin->id, status.solo.id, 16);
    net_get(net, 1, 10, "a", PC_CONSISTENCY_LOCAL);
    solo_assert_reply(net, 1, 10, PC_REPLY_OK, false); /* not open before its file is */
    net_delete(net);
}

static void solo__one_other_voter_is_linked__does_not_begin(void **state)
{
    (void)state;
    struct net *net = solo_net(5);
    for (size_t k = 3; k <= 5; k++) {
        net_crash(net, k);
    }
    net_run(net, 3 * SOLO_AFTER_MS);
    assert_int_equal(net->nodes[1].branches_n + net->nodes[2].branches_n, 0);
    net_disconnect(net, 1, 2);
    net_run(net, SOLO_AFTER_MS - 100);
    assert_int_equal(net->nodes[1].branches_n, 0); /* the time begins now */
    net_run(net, 200);
    solo_assert_last(net, 1, 1, PC_NODE_BRANCH_BEGIN);
    solo_assert_last(net, 2, 1, PC_NODE_BRANCH_BEGIN);
    assert_memory_not_equal(solo_last(net, 1)->id, solo_last(net, 2)->id, 16);
    net_delete(net);
}

static void solo__voter_is_met_while_it_waits__waits_anew(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    struct pc_peer_hello hello;
    pc_node_hello(net->nodes[2].node, &hello);
    solo_isolate(net, 3);
    net_run(net, SOLO_AFTER_MS - 500);
    struct pc_node_event met = {.type = PC_NODE_PEER_MET};
    met.u.hello = &hello;
    net_do(net, 3, &met);
    net_run(net, SOLO_AFTER_MS - 500);
    assert_int_equal(net->nodes[3].branches_n, 0);
    net_run(net, 2000);
    solo_assert_last(net, 3, 1, PC_NODE_BRANCH_BEGIN);
    net_delete(net);
}

static void solo__drains__does_not_begin(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    net_event(net, 3, PC_NODE_DRAIN);
    solo_isolate(net, 3);
    net_run(net, 3 * SOLO_AFTER_MS);
    assert_int_equal(net->nodes[3].branches_n, 0);
    net_delete(net);
}

static void solo__write__is_seen_and_answered_when_its_record_is_durable(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set(net, 3, 10, "a", "two");
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_PUT);
    const struct pc_branch_record *record = &solo_last(net, 3)->record;
    assert_int_equal(record->number, 1);
    assert_int_equal(record->boot, net->nodes[3].opts.generation);
    assert_true(record->has_before && record->before_deadline_ms == 0);
    assert_true(pc_slice_equal(pc_blob_slice(record->before), pc_slice_str("one")));
    assert_null(net_reply(net, 3, 10));
    solo_assert_value(net, 3, 11, "a", "one", true);
    assert_int_equal(net_reply(net, 3, 11)->reply.version, record->before_version);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    solo_assert_reply(net, 3, 10, PC_REPLY_OK, true);
    const struct pc_reply *reply = &net_reply(net, 3, 10)->reply;
    assert_true(reply->outcome.existed && reply->outcome.changed);
    assert_int_equal(reply->outcome.version, solo_version(net, 3, 1));
    assert_int_equal(reply->index, 1);
    assert_int_equal(reply->stamp_ms, record->stamp_ms);
    net_get(net, 3, 12, "a", PC_CONSISTENCY_LINEARIZABLE);
    solo_assert_reply(net, 3, 12, PC_REPLY_OK, true);
    assert_string_equal(net_reply(net, 3, 12)->value, "two");
    assert_true(net_reply(net, 3, 12)->reply.quorum.lost);
    net_set(net, 3, 13, "a", "three");
    assert_null(solo_last(net, 3)->record.before); /* it came with the first record of the key */
    assert_true(solo_last(net, 3)->record.has_before);
    net_set(net, 3, 14, "b", "new");
    assert_false(solo_last(net, 3)->record.has_before);
    net_delete(net);
}

static void solo__several_records__are_answered_in_order_up_to_the_durable_one(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    for (uint64_t tag = 10; tag < 40; tag++) {
        net_set(net, 3, tag, "a", tag % 2 == 0 ? "even" : "odd");
    }
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 17);
    assert_non_null(net_reply(net, 3, 26));
    assert_null(net_reply(net, 3, 27));
    solo_assert_value(net, 3, 50, "a", "even", true);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 30);
    assert_non_null(net_reply(net, 3, 39));
    solo_assert_value(net, 3, 51, "a", "odd", true);
    assert_int_equal(net_status(net, 3).solo.records, 30);
    net_delete(net);
}

static void solo__write_waited_for_a_leader__goes_into_the_branch(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_isolate(net, 3);
    net_run(net, 1000);
    assert_true(net_status(net, 3).solo.is_due);
    net_run(net, net_status(net, 3).solo.due_in_ms - 500);
    net_set(net, 3, 10, "b", "waits");
    net_run(net, 1000);
    solo_assert_last(net, 3, 1, PC_NODE_BRANCH_BEGIN);
    assert_null(net_reply(net, 3, 10));
    solo_tell(net, 3, PC_NODE_BRANCH_BEGUN, 0);
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_PUT);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    solo_assert_reply(net, 3, 10, PC_REPLY_OK, true);
    net_delete(net);
}

static void solo__write_was_sent_to_a_leader__never_goes_into_the_branch(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    net->nodes[3].opts.request_timeout_ms = 10 * SOLO_AFTER_MS;
    net_crash(net, 3);
    net_start(net, 3);
    net_connect_all(net, 3);
    net_run(net, 500);
    net->cut[3][1] = true;
    net_set(net, 3, 10, "b", "sent");
    solo_open(net, 3);
    net_run(net, 1000);
    assert_null(net_reply(net, 3, 10));
    solo_assert_last(net, 3, 1, PC_NODE_BRANCH_BEGIN); /* no record of it */
    solo_assert_value(net, 3, 11, "b", NULL, true);
    net_delete(net);
}

static void solo__voter_is_linked_while_the_file_is_made__ends_without_serving(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_isolate(net, 3);
    net_run(net, SOLO_AFTER_MS + 3000);
    solo_assert_last(net, 3, 1, PC_NODE_BRANCH_BEGIN);
    net_connect(net, 3, 1);
    net_set(net, 1, 9, "a", "later");
    net_run(net, 500);
    assert_string_equal(solo_state(net, 3), "opening");
    solo_assert_value(net, 3, 10, "a", "later", false);
    solo_tell(net, 3, PC_NODE_BRANCH_BEGUN, 0);
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_END);
    solo_assert_value(net, 3, 11, "a", "later", false);
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    assert_string_equal(solo_state(net, 3), "waiting");
    net_delete(net);
}

static void solo__voter_comes_back__what_is_out_is_answered_then_the_file_is_closed(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set(net, 3, 10, "a", "branch");
    net_set(net, 1, 11, "b", "cluster");
    net_run(net, 300);
    net_connect_all(net, 3);
    assert_string_equal(solo_state(net, 3), "closing");
    net_run(net, 1000);
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_PUT); /* no END while a record is out */
    pc_index base = net_status(net, 3).solo.base;
    assert_true(net_status(net, 3).raft.commit > base);
    assert_int_equal(net_status(net, 3).applied, base); /* what it lies on stands still */
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    solo_assert_reply(net, 3, 10, PC_REPLY_OK, true);
    solo_assert_last(net, 3, 3, PC_NODE_BRANCH_END);
    solo_assert_value(net, 3, 12, "a", "branch", true);
    net_set(net, 3, 13, "c", "for all"); /* the cluster's business again */
    net_run(net, 300);
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    net_run(net, 300);
    solo_assert_reply(net, 3, 13, PC_REPLY_OK, false);
    solo_assert_value(net, 3, 14, "a", "one", false);
    solo_assert_value(net, 3, 15, "b", "cluster", false);
    assert_int_equal(net->nodes[3].branches_n, 3);
    assert_true(net_status(net, 3).applied == net_status(net, 3).raft.commit);
    net_delete(net);
}

/* Node 3, in its branch, is told of a voter, and then is asked for something, in one turn. */
static void assert_not_taken(struct net *net, struct pc_node_event *heard)
{
    struct pc_node_effects fx = {0};
    struct pc_request get = {.tag = 10, .type = PC_REQUEST_GET, .key = pc_slice_str("a")};
    struct pc_request set = {.tag = 11, .type = PC_REQUEST_WRITE};
    set.command = (struct pc_command){.op = PC_OP_DELETE, .key = pc_slice_str("a")};
    struct pc_node_event client = {.type = PC_NODE_CLIENT, .now = net->now};
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = net->now};
    heard->now = net->now;
    pc_node_step(net->nodes[3].node, heard, &fx);
    client.u.request = &get;
    pc_node_step(net->nodes[3].node, &client, &fx);
    client.u.request = &set;
    pc_node_step(net->nodes[3].node, &client, &fx);
    pc_node_step(net->nodes[3].node, &turn, &fx);
    net_take_effects(net, 3, &fx);
    pc_node_effects_destroy(&fx);
    assert_null(net_reply(net, 3, 10));
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_END); /* and no record */
}

static void solo__request_after_a_voter_in_the_same_turn__is_not_taken(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    struct pc_peer_hello hello;
    pc_node_hello(net->nodes[1].node, &hello);
    struct pc_node_event up = {.type = PC_NODE_PEER_UP};
    up.u.hello = &hello;
    assert_not_taken(net, &up);
    net_delete(net);
}

/* Where datagrams pass and nothing else does. It is dead for the gossip, and is heard all the same.
 */
static void solo__datagram_of_a_voter__is_heard_as_a_link_is(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    struct pc_swim_msg msg = {.type = PC_SWIM_GOSSIP, .from = net->nodes[1].opts.id};
    struct pc_swim_event swim = {.type = PC_SWIM_RECV,
        .now = net->now,
        .addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = 7946},
        .msg = &msg};
    msg.from_generation = net->nodes[1].opts.generation;
    struct pc_node_event event = {.type = PC_NODE_SWIM};
    event.u.swim = &swim;
    assert_not_taken(net, &event);
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    pc_ms before = SOLO_AFTER_MS - 500;
    for (size_t i = 0; i < 4; i++) { /* each begins the wait anew */
        net_run(net, before);
        assert_int_equal(net->nodes[3].branches_n, 2);
        swim.now = event.now = net->now;
        net_do(net, 3, &event);
    }
    net_run(net, SOLO_AFTER_MS + 2000);
    solo_assert_last(net, 3, 3, PC_NODE_BRANCH_BEGIN);
    swim.now = event.now = net->now;
    net_do(net, 3, &event);
    solo_tell(net, 3, PC_NODE_BRANCH_BEGUN, 0);
    solo_assert_last(net, 3, 4, PC_NODE_BRANCH_END); /* nobody was served from it */
    net_delete(net);
}

static void assert_failure(pc_err err, enum pc_reply_status status)
{
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set(net, 3, 10, "a", "kept");
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    net_set(net, 3, 11, "a", "lost");
    net_set(net, 3, 12, "b", "lost");
    solo_fail(net, 3, err);
    net_assert_reply(net, 3, 11, status);
    net_assert_reply(net, 3, 12, status);
    solo_assert_last(net, 3, 5, PC_NODE_BRANCH_END);
    assert_int_equal(net_status(net, 3).solo.records, 1);
    solo_assert_value(net, 3, 13, "a", "kept", true);
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    solo_assert_value(net, 3, 14, "a", "one", false);
    assert_string_equal(solo_state(net, 3), "waiting");
    net_run(net, SOLO_AFTER_MS + 3000); /* alone still: another one */
    solo_assert_last(net, 3, 6, PC_NODE_BRANCH_BEGIN);
    assert_memory_not_equal(
        solo_last(net, 3)->id, net->nodes[3].branches[0].id, sizeof solo_last(net, 3)->id);
    net_delete(net);
}

static void solo__file_fails__what_is_out_is_not_done_or_unknown(void **state)
{
    (void)state;
    assert_failure(PC_E_NO_SPACE, PC_REPLY_LOG_FULL);
    assert_failure(PC_E_IO, PC_REPLY_UNKNOWN);
}

static void solo__file_cannot_be_made__is_tried_again_after_another_wait(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_isolate(net, 3);
    net_run(net, SOLO_AFTER_MS + 3000);
    solo_assert_last(net, 3, 1, PC_NODE_BRANCH_BEGIN);
    solo_fail(net, 3, PC_E_IO);
    assert_string_equal(solo_state(net, 3), "waiting");
    net_run(net, SOLO_AFTER_MS - 100);
    assert_int_equal(net->nodes[3].branches_n, 1);
    net_run(net, 1000);
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_BEGIN);
    net_delete(net);
}

static void solo__file_cannot_be_closed__the_branch_is_over_all_the_same(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set(net, 3, 10, "a", "branch");
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    net_connect_all(net, 3);
    solo_assert_last(net, 3, 3, PC_NODE_BRANCH_END);
    solo_fail(net, 3, PC_E_IO);
    net_run(net, 300);
    solo_assert_value(net, 3, 11, "a", "one", false);
    net_delete(net);
}

static void solo__file_does_not_answer__write_is_unknown_and_answered_once(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set(net, 3, 10, "a", "slow");
    net_run(net, 4000);
    net_assert_reply(net, 3, 10, PC_REPLY_UNKNOWN);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    net_assert_reply(net, 3, 10, PC_REPLY_UNKNOWN);
    solo_assert_value(net, 3, 11, "a", "slow", true); /* for it is in the file */
    net_delete(net);
}

static void solo__condition__is_judged_by_the_view(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    struct pc_command swap = {.op = PC_OP_SET, .key = pc_slice_str("a")};
    swap.condition = PC_IF_VERSION;
    solo_assert_value(net, 3, 10, "a", "one", true);
    swap.if_version = net_reply(net, 3, 10)->reply.version; /* of the base */
    swap.value = pc_slice_str("two");
    solo_write(net, 3, 11, swap);
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_PUT);
    solo_write(net, 3, 12, swap); /* waits: what it is judged by is not applied */
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_PUT);
    assert_null(net_reply(net, 3, 12));
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    solo_assert_reply(net, 3, 11, PC_REPLY_OK, true);
    assert_true(net_reply(net, 3, 11)->reply.outcome.changed);
    solo_assert_reply(net, 3, 12, PC_REPLY_OK, true); /* by now another version stands there */
    assert_true(net_reply(net, 3, 12)->reply.outcome.unmet);
    assert_int_equal(net_reply(net, 3, 12)->reply.outcome.version, solo_version(net, 3, 1));
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_PUT); /* and no record of what did not act */
    swap.if_version = solo_version(net, 3, 1);
    swap.value = pc_slice_str("three");
    solo_write(net, 3, 13, swap);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 2);
    solo_assert_value(net, 3, 14, "a", "three", true);
    net_delete(net);
}

/* Two nodes that are cut off from each other, and one client that comes to both. */
static void solo__condition_of_another_branch__is_not_met(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 2);
    solo_open(net, 3);
    for (size_t i = 2; i <= 3; i++) {
        net_set(net, i, 10, "k", i == 2 ? "two's" : "three's");
        solo_tell(net, i, PC_NODE_BRANCH_WRITTEN, 1);
        solo_assert_reply(net, i, 10, PC_REPLY_OK, true);
    }
    struct pc_command swap = {.op = PC_OP_SET, .key = pc_slice_str("k")};
    swap.condition = PC_IF_VERSION;
    swap.if_version = net_reply(net, 2, 10)->reply.outcome.version;
    solo_write(net, 3, 11, swap);
    solo_assert_reply(net, 3, 11, PC_REPLY_OK, true);
    assert_true(net_reply(net, 3, 11)->reply.outcome.unmet);
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_PUT);
    net_delete(net);
}

/* A node that was removed hears nothing else of the cluster that goes on without it. */
static void solo__peer_refuses_it__does_not_begin_and_closes(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    struct pc_node_event event = {.type = PC_NODE_PEER_REFUSED};
    event.u.text = "n3 is not a member: it was removed from this cluster";
    solo_isolate(net, 3);
    for (size_t i = 0; i < 6; i++) {
        net_run(net, 5000);
        net_do(net, 3, &event);
        assert_int_equal(net->nodes[3].branches_n, 0);
    }
    net_run(net, NODE_SOLO_REFUSED_MS);
    solo_open(net, 3); /* nobody is there any more */
    net_do(net, 3, &event);
    solo_assert_last(net, 3, 2, PC_NODE_BRANCH_END);
    assert_string_equal(solo_state(net, 3), "closing");
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    net_run(net, SOLO_AFTER_MS + 2000);
    assert_int_equal(net->nodes[3].branches_n, 2);
    net_delete(net);
}

static void solo__item_is_due__is_seen_by_nobody(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set_ttl(net, 3, 10, "a", "short", 500);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 1);
    net_run(net, 400);
    solo_assert_value(net, 3, 11, "a", "short", true);
    assert_true(net_reply(net, 3, 11)->reply.expires);
    assert_int_equal(net_reply(net, 3, 11)->reply.ttl_ms, 100);
    net_run(net, 100);
    solo_assert_value(net, 3, 12, "a", NULL, true);
    net_delete(net);
}

static void solo__open__is_ready_and_says_why(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_isolate(net, 3);
    net_run(net, 5900);
    assert_false(net_status(net, 3).ready);
    solo_open(net, 3);
    struct pc_node_status status = net_status(net, 3);
    assert_true(status.ready);
    assert_non_null(strstr(net_ready_check(&status, "quorum")->text, "of this node alone"));
    assert_non_null(strstr(net_ready_check(&status, "leader")->text, "of this node alone"));
    pc_index applied = status.applied;
    net_set(net, 3, 10, "a", "two");
    net_settle(net);
    struct pc_node_log_span span; /* nothing of the branch is in the log */
    pc_node_log_span(net->nodes[3].node, &span);
    assert_int_equal(span.last, applied);
    assert_true(span.has_branch);
    assert_memory_equal(span.branch, status.solo.id, sizeof span.branch);
    net_connect_all(net, 3);
    assert_string_equal(solo_state(net, 3), "closing");
    net_delete(net);
}

static void solo__log_fails__everybody_is_told(void **state)
{
    (void)state;
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set(net, 3, 10, "a", "two");
    net_event(net, 3, PC_NODE_LOG_FAILED);
    net_assert_reply(net, 3, 10, PC_REPLY_UNKNOWN);
    net_get(net, 3, 11, "a", PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, 3, 11, PC_REPLY_STOPPING);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(solo__switched_off__waits_for_ever),
    PC_TEST(solo__alone_for_long_enough__begins_at_what_is_applied),
    PC_TEST(solo__one_other_voter_is_linked__does_not_begin),
    PC_TEST(solo__voter_is_met_while_it_waits__waits_anew),
    PC_TEST(solo__drains__does_not_begin),
    PC_TEST(solo__write__is_seen_and_answered_when_its_record_is_durable),
    PC_TEST(solo__several_records__are_answered_in_order_up_to_the_durable_one),
    PC_TEST(solo__write_waited_for_a_leader__goes_into_the_branch),
    PC_TEST(solo__write_was_sent_to_a_leader__never_goes_into_the_branch),
    PC_TEST(solo__voter_is_linked_while_the_file_is_made__ends_without_serving),
    PC_TEST(solo__voter_comes_back__what_is_out_is_answered_then_the_file_is_closed),
    PC_TEST(solo__request_after_a_voter_in_the_same_turn__is_not_taken),
    PC_TEST(solo__datagram_of_a_voter__is_heard_as_a_link_is),
    PC_TEST(solo__file_fails__what_is_out_is_not_done_or_unknown),
    PC_TEST(solo__file_cannot_be_made__is_tried_again_after_another_wait),
    PC_TEST(solo__file_cannot_be_closed__the_branch_is_over_all_the_same),
    PC_TEST(solo__file_does_not_answer__write_is_unknown_and_answered_once),
    PC_TEST(solo__condition__is_judged_by_the_view),
    PC_TEST(solo__condition_of_another_branch__is_not_met),
    PC_TEST(solo__peer_refuses_it__does_not_begin_and_closes),
    PC_TEST(solo__item_is_due__is_seen_by_nobody),
    PC_TEST(solo__open__is_ready_and_says_why),
    PC_TEST(solo__log_fails__everybody_is_told),
};

PC_TEST_MAIN("node_solo", tests)
