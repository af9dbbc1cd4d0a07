/* A branch that stood open on disk when its node starts: gone on with, or closed. */
#include "unit/node/node_solos.h"

/* What the branch's file has, as the edge reads it. */
struct file {
    struct pc_node_branch_found found;
    struct pc_branch_record records[NET_LIST_MAX];
};

/* The first `records_n` records that were asked for; the node's list keeps the blobs. */
static struct file file_of(const struct net *net, size_t i, size_t records_n)
{
    const struct net_node *node = &net->nodes[i];
    struct file file = {0};
    memcpy(file.found.id, node->branches[0].id, sizeof file.found.id);
    file.found.base = node->branches[0].base;
    file.found.records_n = records_n;
    for (size_t k = 0; k < records_n; k++) {
        assert_int_equal(node->branches[1 + k].type, PC_NODE_BRANCH_PUT);
        file.records[k] = node->branches[1 + k].record;
    }
    return file;
}

static void start_with(struct net *net, size_t i, struct file *file)
{
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[i], runs);
    file->found.records = file->records;
    restored.branch = &file->found;
    net_start_with(net, i, &restored);
    net_settle(net);
}

/* A node alone with two records in its branch's file, killed. */
static struct net *net_killed(struct file *file)
{
    struct net *net = solo_net(3);
    solo_open(net, 3);
    net_set(net, 3, 10, "a", "two");
    net_set_ttl(net, 3, 11, "b", "short", 100000);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 2);
    *file = file_of(net, 3, 2);
    net_crash(net, 3);
    return net;
}

static void found__alone_again__goes_on_where_it_was(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    assert_true(net->nodes[3].commit < file.found.base.index); /* noted with the next entry only */
    net->nodes[3].wall_ms -= 500;                              /* a clock that goes back */
    start_with(net, 3, &file);
    net_run(net, 100);
    assert_string_equal(solo_state(net, 3), "resumable");
    solo_assert_value(net, 3, 20, "a", "one", false); /* nobody is served from it yet */
    assert_int_equal(net_status(net, 3).solo.records, 2);
    assert_int_equal(net->nodes[3].branches_n, 3);
    net_run(net, SOLO_AFTER_MS);
    solo_assert_last(net, 3, 4, PC_NODE_BRANCH_BEGIN);
    assert_memory_equal(solo_last(net, 3)->id, file.found.id, 16);
    solo_tell(net, 3, PC_NODE_BRANCH_BEGUN, 0);
    solo_assert_value(net, 3, 21, "a", "two", true);
    assert_int_equal(net_reply(net, 3, 21)->reply.version, solo_version(net, 3, 1));
    solo_assert_value(net, 3, 22, "b", "short", true);
    assert_true(net_status(net, 3).ready);
    net_set(net, 3, 23, "a", "three");
    solo_assert_last(net, 3, 5, PC_NODE_BRANCH_PUT);
    assert_int_equal(solo_last(net, 3)->record.number, 3);
    assert_true(solo_last(net, 3)->record.stamp_ms >= file.records[1].stamp_ms);
    solo_tell(net, 3, PC_NODE_BRANCH_WRITTEN, 3);
    solo_assert_value(net, 3, 24, "a", "three", true);
    net_delete(net);
}

static void found__file_cannot_be_gone_on_with__is_tried_again_or_closed(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    start_with(net, 3, &file);
    net_run(net, SOLO_AFTER_MS + 1000);
    solo_assert_last(net, 3, 4, PC_NODE_BRANCH_BEGIN);
    solo_fail(net, 3, PC_E_NO_SPACE);
    assert_string_equal(solo_state(net, 3), "resumable");
    net_run(net, SOLO_AFTER_MS + 1000);
    solo_assert_last(net, 3, 5, PC_NODE_BRANCH_BEGIN);
    assert_memory_equal(solo_last(net, 3)->id, file.found.id, 16);
    solo_fail(net, 3, PC_E_IO);
    solo_assert_last(net, 3, 6, PC_NODE_BRANCH_END);
    assert_memory_equal(solo_last(net, 3)->id, file.found.id, 16);
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    solo_assert_value(net, 3, 20, "a", "one", false);
    net_run(net, SOLO_AFTER_MS + 1000);
    solo_assert_last(net, 3, 7, PC_NODE_BRANCH_BEGIN);
    assert_memory_not_equal(solo_last(net, 3)->id, file.found.id, 16);
    net_delete(net);
}

static void found__voter_comes_first__is_closed(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    start_with(net, 3, &file);
    net_run(net, 100);
    net_connect_all(net, 3);
    solo_assert_last(net, 3, 4, PC_NODE_BRANCH_END);
    assert_memory_equal(solo_last(net, 3)->id, file.found.id, 16);
    solo_assert_value(net, 3, 20, "a", "one", false);
    net_run(net, 500);
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    assert_string_equal(solo_state(net, 3), "waiting");
    assert_int_equal(net->nodes[3].branches_n, 4);
    net_delete(net);
}

/* Starts with this file, which is to be closed at once. */
static void assert_closed(struct net *net, struct file *file)
{
    start_with(net, 3, file);
    solo_assert_last(net, 3, 4, PC_NODE_BRANCH_END);
    assert_string_equal(solo_state(net, 3), "closing");
    net_get(net, 3, 20, "a", PC_CONSISTENCY_LOCAL);
    assert_false(net_reply(net, 3, 20)->reply.has_branch);
    assert_string_not_equal(net_reply(net, 3, 20)->value, "two");
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    assert_string_equal(solo_state(net, 3), "waiting");
    net_delete(net);
}

static void found__log_has_another_entry_there__is_closed(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    file.found.base.chain.b[0] ^= 1;
    assert_closed(net, &file);
}

static void found__log_is_shorter__is_closed(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    file.found.base.index += 5;
    assert_closed(net, &file);
}

static void found__log_goes_on_behind_it__is_closed(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    net->nodes[3].commit = net->nodes[3].disk.n;
    file.found.base.index--;
    file.found.base.chain = net->nodes[3].disk.v[file.found.base.index - 1].chain;
    file.found.base.term = net->nodes[3].disk.v[file.found.base.index - 1].term;
    assert_closed(net, &file);
}

static void found__switched_off_meanwhile__is_closed(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    net->nodes[3].opts.solo = false;
    start_with(net, 3, &file);
    solo_assert_last(net, 3, 4, PC_NODE_BRANCH_END);
    solo_tell(net, 3, PC_NODE_BRANCH_ENDED, 0);
    assert_string_equal(solo_state(net, 3), "off");
    net_delete(net);
}

static void found__records_make_no_sense__is_closed(void **state)
{
    (void)state;
    struct file file;
    struct net *net = net_killed(&file);
    file.records[1].number = 7;
    assert_closed(net, &file);
    net = net_killed(&file);
    file.records[1].stamp_ms = file.records[0].stamp_ms - 1;
    assert_closed(net, &file);
    net = net_killed(&file);
    file.records[0].stamp_ms = 1; /* before its base */
    assert_closed(net, &file);
    net = net_killed(&file);
    struct pc_blob *noise = NULL;
    assert_ok(pc_blob_new(pc_slice_str("noise"), &noise));
    file.records[0].command = noise;
    assert_closed(net, &file);
    pc_blob_unref(noise);
}

static void found__on_an_empty_disk__is_closed(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    struct file file = {0};
    net_crash(net, 2);
    start_with(net, 2, &file);
    net_event(net, 2, PC_NODE_WAKE);
    solo_assert_last(net, 2, 1, PC_NODE_BRANCH_END);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(found__alone_again__goes_on_where_it_was),
    PC_TEST(found__file_cannot_be_gone_on_with__is_tried_again_or_closed),
    PC_TEST(found__voter_comes_first__is_closed),
    PC_TEST(found__log_has_another_entry_there__is_closed),
    PC_TEST(found__log_is_shorter__is_closed),
    PC_TEST(found__log_goes_on_behind_it__is_closed),
    PC_TEST(found__switched_off_meanwhile__is_closed),
    PC_TEST(found__records_make_no_sense__is_closed),
    PC_TEST(found__on_an_empty_disk__is_closed),
};

PC_TEST_MAIN("node_solo_found", tests)
