/* States that differ: who says so, who is right, and how a node comes back to what the others have.
 */
#include "unit/node/node_members.h"

static void report(struct net *net, size_t i)
{
    struct pc_disk_report disk = {.free_bytes = UINT64_C(1) << 40, .total_bytes = 1ull << 40};
    struct pc_node_event event = {.type = PC_NODE_DISK};
    event.u.disk = &disk;
    net_do(net, i, &event);
}

/* Everybody reports once a second. */
static void live(struct net *net, size_t rounds)
{
    for (size_t k = 0; k < rounds; k++) {
        for (size_t i = 1; i <= net->n; i++) {
            if (net->nodes[i].node != NULL) {
                report(net, i);
            }
        }
        net_run(net, 1000);
    }
}

static struct net *net_with_keys(size_t nodes, unsigned keys)
{
    struct net *net = net_new_formed(nodes);
    for (unsigned k = 0; k < keys; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%u", k);
        net_set(net, 1, 1000 + k, key, "value");
        net_settle(net);
        net_assert_reply(net, 1, 1000 + k, PC_REPLY_OK);
        net->nodes[1].replies_n = 0;
    }
    live(net, 2);
    return net;
}

/* Node `from` would have said this, had it another state: its own plus `diff`. */
static void claim(struct net *net, size_t from, size_t to, uint8_t diff)
{
    struct pc_msg msg = {
        .type = PC_MSG_DIGEST, .from = net->nodes[from].opts.id, .to = net->nodes[to].opts.id};
    struct pc_node_status status = net_status(net, to);
    msg.digest.index = status.applied;
    msg.digest.hash = status.digest;
    uint64_t low = pc_get_u64(msg.digest.hash.b);
    pc_put_u64(msg.digest.hash.b, low + diff);
    pc_put_u64(
        msg.digest.hash.b + 8, pc_get_u64(msg.digest.hash.b + 8) + (low + diff < low ? 1 : 0));
    net_recv(net, to, &msg);
}

static void flip_value(struct net *net, size_t i, const char *key)
{
    struct pc_item item;
    assert_ok(pc_store_get(pc_node_store(net->nodes[i].node), pc_slice_str(key), &item));
    uint8_t *memory = (uint8_t *)(uintptr_t)pc_blob_slice(item.value).data;
    memory[0] ^= 1;
}

static void assert_value(struct net *net, size_t i, uint64_t tag, const char *key)
{
    net_get(net, i, tag, key, PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, i, tag, PC_REPLY_OK);
    assert_string_equal(net_reply(net, i, tag)->value, "value");
}

static void states__equal__are_compared_and_nobody_says_anything(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 20);
    live(net, 10);
    assert_true(net_count(net, PC_MSG_DIGEST, 1, 2) == 0); /* all arrived */
    assert_true(net->sent[PC_MSG_DIGEST] >= 6 * 8);
    for (size_t i = 1; i <= 3; i++) {
        struct pc_node_status status = net_status(net, i);
        assert_false(status.digest_check.differs);
        assert_int_equal(status.digest_check.alarms + status.digest_check.resyncs, 0);
        assert_true(status.digest_check.passes >= 5);
        assert_false(net_has_note(net, i, PC_NOTE_DIGEST));
    }
    net_delete(net);
}

static void memory__a_bit_flipped__is_found_and_made_anew(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 40);
    flip_value(net, 2, "key7");
    report(net, 2);
    assert_int_equal(net_status(net, 2).digest_check.resyncs, 1);
    assert_true(net_has_note(net, 2, PC_NOTE_DIGEST));
    live(net, 2);
    struct pc_node_status status = net_status(net, 2);
    assert_int_equal(status.applied, net_status(net, 1).applied);
    assert_true(status.ready && !status.digest_check.is_coming_back);
    assert_value(net, 2, 1, "key7");
    live(net, 5);
    assert_int_equal(net_status(net, 2).digest_check.resyncs, 1);
    net_assert_works(net, 2, 50);
    net_delete(net);
}

/* There is a new entry at each report, and there are far from NODE_DIGEST_EVERY of them. */
static void states__entries_go_on_slowly__are_compared_all_the_same(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 5);
    for (unsigned k = 0; k < 6; k++) {
        net_set(net, 1, 200 + k, "key", "value");
        net_run(net, 1000);
        uint64_t sent = net->sent[PC_MSG_DIGEST];
        report(net, 2);
        net_settle(net);
        assert_int_equal(net->sent[PC_MSG_DIGEST], sent + 2);
    }
    assert_int_equal(net_status(net, 1).digest_check.alarms, 0);
    net_delete(net);
}

/* The disk is as good as it was: nobody else is needed. */
static void memory__a_bit_flipped_again_at_once__is_made_anew_from_the_disk(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 40);
    for (unsigned k = 0; k < 3; k++) {
        flip_value(net, 2, "key7");
        report(net, 2);
        assert_int_equal(net_status(net, 2).digest_check.resyncs, k + 1);
        net_run(net, 100); /* nobody reports meanwhile */
        assert_false(net_status(net, 2).digest_check.is_coming_back);
        assert_value(net, 2, 1 + k, "key7");
    }
    assert_int_equal(net->sent[PC_MSG_SNAP_ASK], 0);
    net_delete(net);
}

/* Its log comes from the disk, which takes a while. */
static void coming_back__under_way__answers_no_read_and_is_not_ready(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 40);
    net->nodes[2].holds_loads = true;
    net->nodes[2].opts.raft.tail_bytes_max = 1;
    net_crash(net, 2);
    net_start(net, 2);
    net_connect_all(net, 2);
    for (unsigned k = 0; k < 10; k++) {
        net_run(net, 500);
        while (net->nodes[2].loads_n > 0) {
            net_load_answer(net, 2, 64);
        }
    }
    assert_true(net_status(net, 2).ready);
    flip_value(net, 2, "key7");
    report(net, 2);
    struct pc_node_status status = net_status(net, 2);
    assert_true(status.digest_check.is_coming_back && !status.ready);
    assert_non_null(strstr(net_ready_check(&status, "digest")->text, "made anew"));
    net_get(net, 2, 1, "key7", PC_CONSISTENCY_LOCAL);
    net_assert_reply(net, 2, 1, PC_REPLY_LOADING);
    struct pc_request order = {.tag = 77, .type = PC_REQUEST_SNAPSHOT};
    net_request(net, 2, &order);
    net_assert_reply(net, 2, 77, PC_REPLY_LOADING);
    net_get(net, 2, 2, "key7", PC_CONSISTENCY_LINEARIZABLE);
    net_run(net, 300);
    assert_null(net_reply(net, 2, 2));
    for (unsigned k = 0; k < 20 && net_reply(net, 2, 2) == NULL; k++) {
        while (net->nodes[2].loads_n > 0) {
            net_load_answer(net, 2, 64);
        }
        net_run(net, 50);
    }
    net_assert_reply(net, 2, 2, PC_REPLY_OK);
    assert_string_equal(net_reply(net, 2, 2)->value, "value");
    assert_true(net_status(net, 2).ready);
    net_delete(net);
}

static void minority__two_agree_on_another_state__makes_its_own_anew(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 20);
    claim(net, 2, 1, 7);
    struct pc_node_status status = net_status(net, 1);
    assert_true(status.digest_check.differs && status.ready); /* one alone proves nothing */
    assert_non_null(strstr(status.digest_check.text, "node2 holds another state"));
    assert_int_equal(status.digest_check.resyncs, 0);
    claim(net, 3, 1, 7);
    assert_int_equal(net_status(net, 1).digest_check.resyncs, 1);
    live(net, 3);
    status = net_status(net, 1);
    assert_int_equal(status.digest_check.alarms, 1);
    assert_false(status.digest_check.differs);
    assert_false(status.digest_check.is_coming_back);
    net_assert_works(net, 1, 50);
    net_delete(net);
}

static void leader__made_anew__hands_over(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 20);
    for (size_t i = 1; i <= 3; i++) { /* nobody keeps old entries in memory */
        net->nodes[i].opts.raft.tail_bytes_max = 1;
        net_crash(net, i);
        net_start(net, i);
        net_connect_all(net, i);
        net_run(net, 3000);
    }
    size_t leader = net_leader(net);
    net->nodes[leader].holds_loads = true;
    claim(net, leader % 3 + 1, leader, 7);
    claim(net, (leader + 1) % 3 + 1, leader, 7);
    assert_true(net_status(net, leader).digest_check.is_coming_back);
    net_run(net, 1000);
    assert_true(net_status(net, leader).digest_check.is_coming_back);
    assert_int_equal(net_status(net, leader).raft.role, PC_RAFT_FOLLOWER);
    size_t next = net_leader(net);
    assert_true(next != 0 && next != leader);
    net->nodes[leader].holds_loads = false;
    net_run(net, 1000);
    assert_true(net_status(net, leader).ready);
    net_assert_works(net, leader, 50);
    net_delete(net);
}

static void three_states__no_majority__alarm_and_nothing_else(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 20);
    claim(net, 2, 1, 7);
    claim(net, 3, 1, 8);
    struct pc_node_status status = net_status(net, 1);
    assert_true(status.digest_check.differs && status.ready);
    assert_int_equal(status.digest_check.resyncs, 0);
    assert_non_null(strstr(status.digest_check.text, "no majority"));
    live(net, 3); /* the true ones come */
    assert_false(net_status(net, 1).digest_check.differs);
    net_delete(net);
}

static void one_differs__the_others_agree__is_named_by_them(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 20);
    report(net, 2);
    net_settle(net);
    claim(net, 3, 1, 7);
    struct pc_node_status status = net_status(net, 1);
    assert_true(status.digest_check.differs && status.ready);
    assert_non_null(strstr(status.digest_check.text, "node3 holds another state"));
    assert_null(strstr(status.digest_check.text, "no majority"));
    assert_int_equal(status.digest_check.resyncs, 0);
    net_delete(net);
}

static void two_nodes__differ__alarm_only(void **state)
{
    (void)state;
    struct net *net = net_with_keys(2, 5);
    claim(net, 2, 1, 1);
    struct pc_node_status status = net_status(net, 1);
    assert_true(status.digest_check.differs && status.ready);
    assert_int_equal(status.digest_check.resyncs, 0);
    net_delete(net);
}

/* What this node has on its disk led to another state before: it does not go by it again. */
static void minority__again_at_once__wants_the_snapshot_of_a_peer(void **state)
{
    (void)state;
    struct net *net = net_with_keys(3, 20);
    claim(net, 2, 1, 7);
    claim(net, 3, 1, 7);
    for (unsigned k = 0; k < 5; k++) {
        net_run(net, 100); /* nobody reports meanwhile */
    }
    assert_false(net_status(net, 1).digest_check.is_coming_back);
    claim(net, 2, 1, 7);
    claim(net, 3, 1, 7);
    assert_int_equal(net_status(net, 1).digest_check.resyncs, 2);
    net_run(net, 500);
    struct pc_node_status status = net_status(net, 1);
    assert_true(status.digest_check.is_coming_back && !status.ready);
    assert_non_null(strstr(status.digest_check.text, "from a peer's"));
    assert_int_equal(status.applied, 0);
    assert_true(net->sent[PC_MSG_SNAP_ASK] > 0);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(states__equal__are_compared_and_nobody_says_anything),
    PC_TEST(states__entries_go_on_slowly__are_compared_all_the_same),
    PC_TEST(memory__a_bit_flipped__is_found_and_made_anew),
    PC_TEST(memory__a_bit_flipped_again_at_once__is_made_anew_from_the_disk),
    PC_TEST(coming_back__under_way__answers_no_read_and_is_not_ready),
    PC_TEST(minority__two_agree_on_another_state__makes_its_own_anew),
    PC_TEST(leader__made_anew__hands_over),
    PC_TEST(three_states__no_majority__alarm_and_nothing_else),
    PC_TEST(one_differs__the_others_agree__is_named_by_them),
    PC_TEST(two_nodes__differ__alarm_only),
    PC_TEST(minority__again_at_once__wants_the_snapshot_of_a_peer),
};
PC_TEST_MAIN("node_digest", tests)
