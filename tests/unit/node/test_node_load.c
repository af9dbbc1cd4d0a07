/* From the disk's snapshot to a store, at a start: what cannot be read now, and what never can. */
#include "unit/node/node_snaps.h"

#define VALUES 100
#define VALUE_BYTES 8192 /* several chunks of them */

/* A node alone in its cluster, with a snapshot of several chunks; `upto`: what its log has lost. */
static struct net *net_with_snapshot(pc_index upto)
{
    static char value[VALUE_BYTES + 1];
    struct net *net = net_new(1);
    memset(value, 'v', VALUE_BYTES);
    net_run(net, 3000);
    assert_int_equal(net_leader(net), 1);
    for (uint64_t k = 0; k < VALUES; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%llu", (unsigned long long)k);
        net_set(net, 1, k + 1, key, value);
        net_settle(net);
        net->nodes[1].replies_n = 0;
    }
    snaps_attach(net, 1);
    snaps_make(net, 1, upto);
    assert_true(snaps_of(net, 1)->newest.chunks_n > 2);
    return net;
}

static void restart(struct net *net)
{
    struct net_node *node = &net->nodes[1];
    net_crash(net, 1);
    snaps_forget_asked(snaps_of(net, 1));
    struct pc_term_run runs[64];
    struct pc_node_snapshot snapshot = snaps_found(net, 1);
    if (node->commit < snapshot.meta.base.index) { /* the snapshot says what is committed */
        node->commit = snapshot.meta.base.index;
    }
    struct pc_node_restored restored = net_restored(node, runs);
    restored.raft.first = node->dropped_upto + 1;
    restored.snapshot = &snapshot;
    net_start_with(net, 1, &restored);
}

/* The first `chunks` chunks in a store of their own, as a start loads them; without `but`. */
static struct pc_node_preload preload(struct net *net, uint32_t chunks, uint32_t but)
{
    const struct snaps_file *file = &snaps_of(net, 1)->newest;
    struct pc_node_preload ready = {.chunks = chunks};
    struct pc_store_opts opts;
    memcpy(opts.hash_seed, net->nodes[1].opts.store_seed, sizeof opts.hash_seed);
    ready.store = pc_store_new(&opts);
    pc_store_load_begin(ready.store, snaps_found(net, 1).meta.items);
    for (uint32_t k = 0; k < chunks; k++) {
        struct pc_slice chunk = pc_slice_of(file->chunks[k].data, file->chunks[k].len);
        if (k != but) {
            assert_null(pc_node_load_chunk(ready.store, file->base.index, chunk));
        }
    }
    return ready;
}

static void restart_with(struct net *net, struct pc_node_preload *ready)
{
    struct net_node *node = &net->nodes[1];
    struct pc_term_run runs[64];
    net_crash(net, 1);
    snaps_forget_asked(snaps_of(net, 1));
    struct pc_node_snapshot snapshot = snaps_found(net, 1);
    struct pc_node_restored restored = net_restored(node, runs);
    restored.raft.first = node->dropped_upto + 1;
    restored.snapshot = &snapshot;
    restored.preload = ready;
    snaps_of(net, 1)->reads_n = 0;
    net_start_with(net, 1, &restored);
    assert_null(ready->store); /* the node's now */
}

static void end(struct net *net)
{
    snaps_detach_all(net);
    net_delete(net);
}

static void chunk__cannot_be_read_now__is_asked_for_again_in_a_while(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(50);
    struct snaps *s = snaps_of(net, 1);
    restart(net);
    s->read_err = PC_E_AGAIN;
    s->read_err_at = 1;
    s->reads_n = 0;
    snaps_run(net, 2000);
    assert_true(s->reads_n >= 5 && s->reads_n < 60);
    assert_int_equal(net_status(net, 1).applied, 0);
    assert_false(net_has_note(net, 1, PC_NOTE_SNAPSHOT_FAILED));
    s->read_err = PC_OK;
    snaps_run(net, 3000);
    assert_true(net_status(net, 1).applied > s->newest.base.index);
    end(net);
}

/* A disk that fails once is not a damaged file; one that goes on failing is as good as one. */
static void chunk__the_disk_fails__is_tried_a_few_times(void **state)
{
    (void)state;
    for (int mends = 0; mends < 2; mends++) {
        struct net *net = net_with_snapshot(0);
        struct snaps *s = snaps_of(net, 1);
        restart(net);
        s->read_err = PC_E_IO;
        snaps_run(net, 500);
        assert_int_equal(s->aside, 0);
        s->read_err = mends != 0 ? PC_OK : PC_E_IO;
        snaps_run(net, 6000);
        assert_int_equal(s->aside, mends != 0 ? 0 : s->newest.base.index);
        assert_true(net_status(net, 1).applied > s->newest.base.index); /* by the log then */
        end(net);
    }
}

static void chunk__damaged_with_a_whole_log__is_done_without(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(0);
    struct snaps *s = snaps_of(net, 1);
    restart(net);
    s->read_err = PC_E_CORRUPT;
    s->read_err_at = 2;
    snaps_run(net, 3000);
    assert_int_equal(s->aside, s->newest.base.index);
    assert_int_equal(s->lost, 0);
    assert_true(net_status(net, 1).applied > s->newest.base.index);
    end(net);
}

static uint64_t items_of(struct net *net)
{
    struct pc_store_stats stats;
    pc_store_stats(pc_node_store(net->nodes[1].node), &stats);
    return stats.items;
}

/* As much of it as the start has loaded is not read again. */
static void preload__of_some_chunks__spares_their_reads(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(50);
    struct snaps *s = snaps_of(net, 1);
    uint32_t all = s->newest.chunks_n;
    for (uint32_t chunks = 0; chunks <= all; chunks += chunks == 1 ? all - 1 : 1) {
        struct pc_node_preload ready = preload(net, chunks, UINT32_MAX);
        restart_with(net, &ready);
        snaps_run(net, 3000);
        assert_int_equal(s->reads_n, all - chunks);
        assert_int_equal(items_of(net), VALUES);
        assert_true(net_status(net, 1).applied > s->newest.base.index);
    }
    end(net);
}

/* Nothing of it counts before the digest is right, wherever it comes from. */
static void preload__without_some_items__is_not_believed(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(50);
    struct snaps *s = snaps_of(net, 1);
    struct pc_node_preload ready = preload(net, s->newest.chunks_n, 1);
    restart_with(net, &ready);
    snaps_run(net, 3000);
    assert_int_equal(s->lost, s->newest.base.index);
    assert_int_equal(net_status(net, 1).applied, 0);
    end(net);
}

static void preload__and_the_rest_is_damaged__is_given_up_with_it(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(0);
    struct snaps *s = snaps_of(net, 1);
    struct pc_node_preload ready = preload(net, 1, UINT32_MAX);
    s->read_err = PC_E_CORRUPT;
    s->read_err_at = 1;
    restart_with(net, &ready);
    snaps_run(net, 3000);
    assert_int_equal(s->aside, s->newest.base.index);
    assert_int_equal(items_of(net), VALUES);
    assert_true(net_status(net, 1).applied > s->newest.base.index);
    end(net);
}

/* Entries that the start has read are not read again: those behind them are. */
static void early__entries__are_applied_without_a_load(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    struct net_node *node = &net->nodes[2];
    for (uint64_t k = 1; k <= 40; k++) {
        net_set(net, 1, k, "key", "v");
        net_settle(net);
    }
    net_run(net, 500);
    pc_index commit = node->commit;
    node->holds_loads = true;
    node->opts.raft.tail_bytes_max = 1;
    for (unsigned round = 0; round < 3; round++) {
        struct pc_term_run runs[64];
        struct pc_node_preload ready = {.store = NULL};
        pc_index upto = round == 0 ? commit : commit - 10;
        net_crash(net, 2);
        struct pc_node_restored restored = net_restored(node, runs);
        for (pc_index i = round == 2 ? 2 : 1; i <= upto; i++) {
            pc_entries_push(&ready.entries, &node->disk.v[i - 1]);
        }
        restored.preload = &ready;
        net_start_with(net, 2, &restored);
        net_run(net, 20);
        assert_int_equal(ready.entries.n, 0);
        assert_int_equal(node->loads_n, round == 0 ? 0 : 1);
        if (round > 0) { /* what does not follow is of no use */
            assert_int_equal(node->loads[0].first, round == 1 ? upto + 1 : 1);
        }
        assert_int_equal(net_status(net, 2).applied, round == 2 ? 0 : upto);
    }
    net_delete(net);
}

/* Heartbeats and clients must not wait for all of a long log. */
static void early__very_many__take_several_turns(void **state)
{
    (void)state;
    enum { MANY = 1500 };
    struct net *net = net_new(1);
    struct net_node *node = &net->nodes[1];
    net_run(net, 3000);
    while (node->disk.n < MANY) {
        for (uint64_t k = 1; k <= 50; k++) {
            net_set(net, 1, k, "key", "v");
        }
        net_settle(net);
        node->replies_n = 0;
    }
    net_run(net, 100);
    struct pc_term_run runs[64];
    struct pc_node_preload ready = {.store = NULL};
    net_crash(net, 1);
    node->opts.raft.tail_bytes_max = 1;
    struct pc_node_restored restored = net_restored(node, runs);
    for (pc_index i = 1; i <= restored.raft.commit; i++) {
        pc_entries_push(&ready.entries, &node->disk.v[i - 1]);
    }
    restored.preload = &ready;
    net_start_with(net, 1, &restored);
    pc_index before = net_status(net, 1).applied;
    for (unsigned turns = 0; before < restored.raft.commit; turns++) {
        assert_true(turns < 10);
        assert_true(pc_instant_is_due(pc_node_wake_at(node->node), net->now));
        net_event(net, 1, PC_NODE_WAKE);
        pc_index after = net_status(net, 1).applied;
        assert_in_range(after - before, 1, 1000);
        before = after;
    }
    assert_int_equal(node->loads_n, 0);
    net_delete(net);
}

/* Nobody else has what was in it. */
static void chunk__damaged_without_log_or_peer__ends_the_node(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(50);
    struct snaps *s = snaps_of(net, 1);
    restart(net);
    s->read_err = PC_E_CORRUPT;
    s->read_err_at = 2;
    snaps_run(net, 3000);
    assert_int_equal(s->lost, s->newest.base.index);
    assert_true(net_status(net, 1).failed);
    assert_true(net_has_note(net, 1, PC_NOTE_SNAPSHOT_FAILED));
    assert_int_equal(net_status(net, 1).applied, 0);
    end(net);
}

/* Whoever was told to goes on with the rest, and makes that its snapshot. */
static void chunk__damaged_and_loss_accepted__costs_what_was_in_it(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(50);
    struct snaps *s = snaps_of(net, 1);
    pc_index base = s->newest.base.index;
    net->nodes[1].opts.accept_snapshot_loss = true;
    restart(net);
    memset(net->digest_known, 0, sizeof net->digest_known); /* it is another store from now on */
    s->read_err = PC_E_CORRUPT;
    s->read_err_at = s->newest.chunks_n - 1;
    snaps_run(net, 3000);
    s->read_err = PC_OK;
    assert_int_equal(s->lost, 0);
    assert_int_equal(net_leader(net), 1);
    struct pc_store_stats stats;
    pc_store_stats(pc_node_store(net->nodes[1].node), &stats);
    assert_true(stats.items > 0 && stats.items < VALUES);
    assert_true(s->newest.base.index > base);
    assert_int_equal(snaps_found(net, 1).meta.items, stats.items);
    end(net);
}

/* What is applied so far would make a snapshot, but not of what this node had before. */
static void order__while_the_log_is_replayed__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new_formed(3);
    for (uint64_t k = 1; k <= 40; k++) {
        net_set(net, 1, k, "key", "v");
        net_settle(net);
    }
    net_run(net, 500);
    pc_index before = net_status(net, 2).applied;
    snaps_attach(net, 2);
    net->nodes[2].holds_loads = true;
    net->nodes[2].opts.raft.tail_bytes_max = 1;
    net_crash(net, 2);
    net_start(net, 2);
    net_connect_all(net, 2);
    for (int k = 0; k < 20 && net_status(net, 2).applied < 10; k++) {
        snaps_run(net, 50);
        if (net->nodes[2].loads_n > 0) {
            net_load_answer(net, 2, 5);
        }
    }
    assert_in_range(net_status(net, 2).applied, 10, before - 1);
    struct pc_request request = {.tag = 77, .type = PC_REQUEST_SNAPSHOT};
    net_request(net, 2, &request);
    net_assert_reply(net, 2, 77, PC_REPLY_LOADING);
    net->nodes[2].holds_loads = false;
    snaps_run(net, 1000);
    request.tag = 78;
    net_request(net, 2, &request);
    snaps_run(net, 1000);
    net_assert_reply(net, 2, 78, PC_REPLY_OK);
    assert_true(snaps_of(net, 2)->newest.base.index >= before);
    snaps_detach_all(net);
    net_delete(net);
}

static void flip_value(struct net *net, const char *key)
{
    struct pc_item item;
    assert_ok(pc_store_get(pc_node_store(net->nodes[1].node), pc_slice_str(key), &item));
    ((uint8_t *)(uintptr_t)pc_blob_slice(item.value).data)[0] ^= 1;
}

static void set_after(struct net *net)
{
    net_set(net, 1, 900, "after", "value");
    net_settle(net);
    net_assert_reply(net, 1, 900, PC_REPLY_OK);
}

static void assert_values(struct net *net, size_t wanted)
{
    static char value[VALUE_BYTES + 1];
    size_t found = 0;
    memset(value, 'v', VALUE_BYTES);
    for (uint64_t k = 0; k < VALUES; k++) {
        char key[16];
        struct pc_item item;
        (void)snprintf(key, sizeof key, "key%llu", (unsigned long long)k);
        if (pc_store_get(pc_node_store(net->nodes[1].node), pc_slice_str(key), &item) == PC_OK) {
            struct pc_slice has = pc_blob_slice(item.value);
            found += has.len == VALUE_BYTES && memcmp(has.data, value, VALUE_BYTES) == 0 ? 1 : 0;
        }
    }
    assert_int_equal(found, wanted);
}

/* What would be made of it could not be loaded, and the good one would go for it. One of the state
 * that was made anew is made at once. */
static void snapshot__of_memory_with_a_flipped_bit__is_not_made(void **state)
{
    (void)state;
    struct net *net = net_with_snapshot(50);
    struct snaps *s = snaps_of(net, 1);
    pc_index base = s->newest.base.index;
    set_after(net);
    flip_value(net, "key7");
    net_event(net, 1, PC_NODE_SNAPSHOT);
    snaps_run(net, 2000);
    assert_true(net_has_note(net, 1, PC_NOTE_SNAPSHOT_FAILED));
    struct pc_node_status status = net_status(net, 1);
    assert_int_equal(status.digest_check.resyncs, 1);
    assert_true(status.ready && !status.digest_check.is_coming_back);
    assert_true(status.snapshot.index > base && status.snapshot.index == s->newest.base.index);
    assert_values(net, VALUES);
    restart(net);
    snaps_run(net, 3000);
    assert_values(net, VALUES);
    end(net);
}

/* Every chunk of it can be read, and one value in them is another one. */
static void digest__wrong_and_loss_accepted__goes_on_with_what_there_is(void **state)
{
    (void)state;
    for (int accepts = 0; accepts < 2; accepts++) {
        struct net *net = net_with_snapshot(50);
        struct snaps *s = snaps_of(net, 1);
        pc_index base = s->newest.base.index;
        struct pc_buf *chunk = &s->newest.chunks[1];
        net->nodes[1].opts.accept_snapshot_loss = accepts != 0;
        size_t at = chunk->len - 100;
        assert_int_equal(chunk->data[at], 'v');
        chunk->data[at] ^= 1;
        restart(net);
        memset(net->digest_known, 0, sizeof net->digest_known); /* it is another store */
        snaps_run(net, 3000);
        assert_true(net_has_note(net, 1, PC_NOTE_SNAPSHOT_FAILED));
        assert_int_equal(s->lost, accepts != 0 ? 0 : base);
        if (accepts != 0) {
            assert_int_equal(net_leader(net), 1);
            assert_values(net, VALUES - 1);
            assert_true(s->newest.base.index > base); /* one that can be loaded */
        }
        end(net);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(chunk__cannot_be_read_now__is_asked_for_again_in_a_while),
    PC_TEST(chunk__the_disk_fails__is_tried_a_few_times),
    PC_TEST(chunk__damaged_with_a_whole_log__is_done_without),
    PC_TEST(preload__of_some_chunks__spares_their_reads),
    PC_TEST(preload__without_some_items__is_not_believed),
    PC_TEST(preload__and_the_rest_is_damaged__is_given_up_with_it),
    PC_TEST(early__entries__are_applied_without_a_load),
    PC_TEST(early__very_many__take_several_turns),
    PC_TEST(chunk__damaged_without_log_or_peer__ends_the_node),
    PC_TEST(chunk__damaged_and_loss_accepted__costs_what_was_in_it),
    PC_TEST(order__while_the_log_is_replayed__is_refused),
    PC_TEST(snapshot__of_memory_with_a_flipped_bit__is_not_made),
    PC_TEST(digest__wrong_and_loss_accepted__goes_on_with_what_there_is),
};
PC_TEST_MAIN("node_load", tests)
