/* Making snapshots, turn by turn: the test plays the snapshot thread. */
#include "unit/node/node_net.h"

#define KEYS 600

struct thread {
    uint64_t tag;   /* of the write that is under way; 0 = none */
    uint64_t items; /* in its chunks */
    uint32_t chunks;
    size_t bytes;      /* put, and not said to be written */
    uint64_t promised; /* by the meta of the last one finished */
    size_t finished;
    pc_index dropped_upto;
};

static void take_chunk(struct thread *thread, const struct pc_node_snap *snap)
{
    struct pc_wire_chunk_reader reader =
        pc_wire_chunk_reader_of(pc_slice_of(snap->chunk.data, snap->chunk.len));
    struct pc_stored_item item;
    while (pc_wire_chunk_next(&reader, &item)) {
        thread->items++;
    }
    assert_ok(pc_wire_chunk_finish(&reader));
    thread->chunks++;
    thread->bytes += snap->chunk.len;
    assert_true(thread->bytes == snap->chunk.len || thread->bytes <= PC_SNAPSHOT_AHEAD_BYTES);
}

static void take_snap(struct thread *thread, const struct pc_node_snap *snap)
{
    switch (snap->type) {
    case PC_NODE_SNAP_BEGIN:
        *thread = (struct thread){.tag = snap->tag, .finished = thread->finished};
        break;
    case PC_NODE_SNAP_PUT:
        assert_int_equal(snap->tag, thread->tag);
        take_chunk(thread, snap);
        break;
    case PC_NODE_SNAP_FINISH:
        assert_int_equal(snap->tag, thread->tag);
        thread->promised = snap->meta.items;
        thread->finished++;
        break;
    case PC_NODE_SNAP_ABORT:
        thread->tag = 0;
        break;
    case PC_NODE_SNAP_DROP_LOG:
        thread->dropped_upto = snap->base.index;
        break;
    case PC_NODE_SNAP_READ:
        break; /* a slow disk */
    case PC_NODE_SNAP_SET_ASIDE:
    case PC_NODE_SNAP_LOST:
        fail();
    }
}

static void step(struct net *net, struct thread *thread, struct pc_node_event *event)
{
    struct pc_node_effects fx = {0};
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = net->now};
    event->now = net->now;
    pc_node_step(net->nodes[1].node, event, &fx);
    pc_node_step(net->nodes[1].node, &turn, &fx);
    for (size_t i = 0; i < fx.snaps_n; i++) {
        take_snap(thread, &fx.snaps[i]);
    }
    net_take_effects(net, 1, &fx);
    pc_node_effects_destroy(&fx);
}

static void tell(
    struct net *net, struct thread *thread, enum pc_node_snap_event_type type, pc_err err)
{
    thread->bytes = 0;
    struct pc_node_snap_event snap = {
        .type = type, .tag = thread->tag, .chunks = thread->chunks, .bytes = 1000, .err = err};
    struct pc_node_event event = {.type = PC_NODE_SNAP};
    event.u.snap = &snap;
    step(net, thread, &event);
}

static void wake(struct net *net, struct thread *thread)
{
    struct pc_node_event event = {.type = PC_NODE_WAKE};
    step(net, thread, &event);
}

static void order(struct net *net, struct thread *thread)
{
    struct pc_node_event event = {.type = PC_NODE_SNAPSHOT};
    step(net, thread, &event);
}

static struct net *net_with_keys_on(size_t nodes)
{
    struct net *net = nodes == 1 ? net_new(1) : net_new_formed(nodes);
    net_run(net, 3000);
    net_make_leader(net, 1);
    for (uint64_t k = 0; k < KEYS; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%llu", (unsigned long long)k);
        net_set(net, 1, k + 1, key, "value");
        net_settle(net);
        net_assert_reply(net, 1, k + 1, PC_REPLY_OK);
        net->nodes[1].replies_n = 0;
    }
    return net;
}

static struct net *net_with_keys(void)
{
    return net_with_keys_on(1);
}

static void finish(struct net *net, struct thread *thread)
{
    size_t before = thread->finished;
    for (size_t turns = 0; thread->finished == before; turns++) {
        assert_true(turns < 1000);
        wake(net, thread);
    }
    tell(net, thread, PC_NODE_SNAP_WRITTEN, PC_OK);
    assert_int_equal(thread->items, thread->promised);
    assert_int_equal(thread->items, KEYS);
}

static void snapshot__ordered__has_every_item_once(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    order(net, &thread);
    finish(net, &thread);
    net_delete(net);
}

/* What was collected for the one that was given up is no part of the next one. */
static void snapshot__given_up_halfway__leaves_nothing_to_the_next(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    order(net, &thread);
    wake(net, &thread);
    assert_int_not_equal(thread.tag, 0);
    assert_int_equal(thread.finished, 0);
    tell(net, &thread, PC_NODE_SNAP_FAILED, PC_E_NO_SPACE);
    assert_int_equal(thread.tag, 0);
    order(net, &thread);
    assert_int_equal(thread.tag, 0); /* not at once */
    net->now = pc_instant_add_ms(net->now, 61000);
    order(net, &thread);
    finish(net, &thread);
    net_delete(net);
}

/* Only a durable snapshot lets the log go, and never the part that is kept for peers. */
static void log__behind_a_snapshot__goes_when_it_is_durable(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    order(net, &thread);
    finish(net, &thread);
    assert_int_equal(thread.dropped_upto, 0);
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    assert_int_equal(thread.dropped_upto, 0); /* all of it is less than what is kept */
    net_delete(net);
}

static void ask(struct net *net, struct thread *thread, uint64_t tag)
{
    struct pc_request request = {.tag = tag, .type = PC_REQUEST_SNAPSHOT};
    struct pc_node_event event = {.type = PC_NODE_CLIENT};
    event.u.request = &request;
    step(net, thread, &event);
}

static const struct pc_reply *answer_to(const struct net *net, uint64_t tag)
{
    const struct net_reply *found = net_reply(net, 1, tag);
    return found != NULL ? &found->reply : NULL;
}

static void order__of_a_client__is_answered_when_it_is_durable(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    struct pc_node_status status;
    pc_node_status(net->nodes[1].node, net->now, &status);
    assert_int_equal(status.snapshot.index, 0);
    assert_false(status.snapshot_is_due);
    ask(net, &thread, 9001);
    ask(net, &thread, 9002);
    pc_node_status(net->nodes[1].node, net->now, &status);
    pc_index asked_at = status.applied;
    assert_true(status.snapshot_is_due);
    finish(net, &thread);
    assert_null(answer_to(net, 9001));
    net->now = pc_instant_add_ms(net->now, 700);
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    for (uint64_t tag = 9001; tag <= 9002; tag++) {
        const struct pc_reply *reply = answer_to(net, tag);
        assert_non_null(reply);
        assert_int_equal(reply->status, PC_REPLY_OK);
        assert_true(reply->snapshot.index >= asked_at);
        assert_int_equal(reply->snapshot.items, KEYS);
        assert_int_equal(reply->snapshot.bytes, 1000);
        assert_true(reply->took_ms >= 700);
    }
    pc_node_status(net->nodes[1].node, net->now, &status);
    assert_int_equal(status.snapshot.index, answer_to(net, 9001)->snapshot.index);
    assert_int_equal(status.snapshot.items, KEYS);
    assert_true(status.snapshot_age_ms >= 700);
    net_delete(net);
}

/* What was begun before the order may lack what the client has written before it. */
static void order__while_one_is_made__waits_for_the_next_one(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    order(net, &thread);
    finish(net, &thread); /* but for the disk */
    net_set(net, 1, 8000, "later", "value");
    net_settle(net);
    net_assert_reply(net, 1, 8000, PC_REPLY_OK);
    pc_index written_at = answer_to(net, 8000)->index;
    ask(net, &thread, 9001);
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    assert_null(answer_to(net, 9001));
    for (size_t turns = 0; thread.finished == 1; turns++) {
        assert_true(turns < 1000);
        wake(net, &thread);
    }
    tell(net, &thread, PC_NODE_SNAP_WRITTEN, PC_OK);
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    assert_int_equal(thread.items, KEYS + 1);
    assert_non_null(answer_to(net, 9001));
    assert_int_equal(answer_to(net, 9001)->status, PC_REPLY_OK);
    assert_true(answer_to(net, 9001)->snapshot.index >= written_at);
    net_delete(net);
}

static void order__that_fails_or_takes_long__is_answered_all_the_same(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    ask(net, &thread, 9001);
    wake(net, &thread);
    tell(net, &thread, PC_NODE_SNAP_FAILED, PC_E_NO_SPACE);
    assert_int_equal(answer_to(net, 9001)->status, PC_REPLY_REFUSED);
    assert_true(answer_to(net, 9001)->text[0] != '\0');
    ask(net, &thread, 9002); /* does not wait for the pause after a failure */
    assert_int_not_equal(thread.tag, 0);
    finish(net, &thread);
    struct pc_instant wake_at = pc_node_wake_at(net->nodes[1].node);
    assert_true(wake_at.us <= pc_instant_add_ms(net->now, PC_SNAPSHOT_ANSWER_MS).us);
    net->now = pc_instant_add_ms(net->now, PC_SNAPSHOT_ANSWER_MS);
    wake(net, &thread);
    assert_int_equal(answer_to(net, 9002)->status, PC_REPLY_TIMEOUT);
    assert_true(answer_to(net, 9002)->index > 0);
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    ask(net, &thread, 9003); /* nothing has come since */
    struct pc_node_status status;
    pc_node_status(net->nodes[1].node, net->now, &status);
    if (status.applied == status.snapshot.index) {
        assert_int_equal(answer_to(net, 9003)->status, PC_REPLY_OK);
    }
    net_delete(net);
}

static void order__of_an_empty_node__is_refused(void **state)
{
    (void)state;
    struct net *net = net_new(3); /* the others have not been heard of */
    struct thread thread = {0};
    ask(net, &thread, 9001);
    assert_int_equal(answer_to(net, 9001)->status, PC_REPLY_REFUSED);
    assert_int_equal(thread.tag, 0);
    net_delete(net);
}

static void measure(struct net *net, struct thread *thread, uint64_t free_bytes)
{
    struct pc_disk_report report = {.free_bytes = free_bytes, .total_bytes = UINT64_C(100) << 30};
    struct pc_node_event event = {.type = PC_NODE_DISK};
    event.u.disk = &report;
    step(net, thread, &event);
}

#define LOW (UINT64_C(900) << 20) /* below 1 GiB, above 128 MiB */
#define WELL (UINT64_C(50) << 30)

static uint64_t snapshot_index(const struct net *net)
{
    struct pc_node_status status;
    pc_node_status(net->nodes[1].node, net->now, &status);
    return status.snapshot.index;
}

/* What a snapshot stands for is kept for peers only as long as there is space. */
static void log__behind_a_snapshot__goes_at_once_when_the_disk_is_low(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    measure(net, &thread, WELL);
    order(net, &thread);
    finish(net, &thread);
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    measure(net, &thread, WELL);
    assert_int_equal(thread.dropped_upto, 0);
    measure(net, &thread, LOW);
    assert_int_equal(thread.dropped_upto, snapshot_index(net));
    net_delete(net);
}

/* Applied is what a majority has; this disk may have something else there, and be about to lose it.
 */
static void log__not_durable_here__does_not_go(void **state)
{
    (void)state;
    struct net *net = net_with_keys_on(3);
    struct thread thread = {0};
    measure(net, &thread, WELL);
    pc_index durable = net_status(net, 1).raft.durable;
    net->nodes[1].holds_disk = true;
    for (uint64_t i = 0; i < 5; i++) {
        net_set(net, 1, 100 + i, "key1", "x");
    }
    net_settle(net);
    assert_true(net_status(net, 1).raft.commit > durable);
    struct pc_node_log_span span; /* what its disk lacks it cannot give */
    pc_node_log_span(net->nodes[1].node, &span);
    assert_int_equal(span.last, durable);
    assert_int_equal(span.applied, net_status(net, 1).applied);
    assert_true(span.applied > durable);
    order(net, &thread);
    finish(net, &thread);
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    assert_true(snapshot_index(net) > durable);
    measure(net, &thread, LOW);
    assert_int_equal(thread.dropped_upto, durable);
    net_delete(net);
}

static void told_of_damage(struct net *net, struct thread *thread)
{
    static const struct pc_entries none;
    struct pc_node_event event = {.type = PC_NODE_LOADED};
    event.u.loaded.tag = 2;
    event.u.loaded.entries = &none;
    event.u.loaded.is_damaged = true;
    step(net, thread, &event);
}

/* What a peer asked for cannot be read back: the snapshot stands for it, for peers as for the node.
 */
static void log__damaged_in_front_of_a_snapshot__begins_behind_it(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    net_crash(net, 1);
    net_start(net, 1);
    net_run(net, 3000);
    const struct pc_node *node = net->nodes[1].node;
    assert_false(pc_node_can_spare(node, 2, 1)); /* nothing stands for it yet */
    order(net, &thread);
    finish(net, &thread);
    assert_false(pc_node_can_spare(node, 2, 1));
    tell(net, &thread, PC_NODE_SNAP_FINISHED, PC_OK);
    pc_index index = snapshot_index(net);
    assert_true(pc_node_can_spare(node, 2, 1) && pc_node_can_spare(node, 2, index));
    assert_false(pc_node_can_spare(node, 2, index + 1));
    assert_false(pc_node_can_spare(node, 0, 1)); /* the node itself needs it */
    assert_int_equal(net_status(net, 1).raft.first, 1);
    pc_index in_memory = net_status(net, 1).raft.first_in_memory;
    assert_true(in_memory > 1);
    for (unsigned i = 0; i < 2; i++) {
        told_of_damage(net, &thread);
        assert_int_equal(
            net_status(net, 1).raft.first, in_memory < index + 1 ? in_memory : index + 1);
    }
    struct pc_node_log_span span;
    pc_node_log_span(node, &span);
    assert_int_equal(span.oldest, net_status(net, 1).raft.first);
    assert_true(span.oldest > 1 && span.last >= span.oldest - 1);
    net_set(net, 1, 9000, "key1", "x");
    net_settle(net);
    net_assert_reply(net, 1, 9000, PC_REPLY_OK);
    net_delete(net);
}

static void disk__low__orders_a_snapshot_that_is_worth_it(void **state)
{
    (void)state;
    struct net *net = net_new(1);
    struct thread thread = {0};
    net->nodes[1].opts.snapshot_log_bytes = 64 * 1024;
    net_crash(net, 1);
    net_start(net, 1);
    net_run(net, 3000);
    assert_int_equal(net_leader(net), 1);
    measure(net, &thread, LOW);
    assert_int_equal(thread.tag, 0); /* there is next to nothing in the log */
    char value[2000] = "";
    memset(value, 'v', sizeof value - 1);
    for (uint64_t k = 1; k <= 12; k++) {
        net_set(net, 1, k, "key", value);
        net_settle(net);
    }
    measure(net, &thread, WELL);
    assert_int_equal(thread.tag, 0);
    measure(net, &thread, (UINT64_C(128) << 20) + 1000); /* no room for it above the hard mark */
    assert_int_equal(thread.tag, 0);
    measure(net, &thread, LOW);
    assert_int_not_equal(thread.tag, 0);
    net_delete(net);
}

/* A snapshot that has not been loaded yet may turn out to be damaged. */
static void log__behind_a_snapshot_that_is_not_loaded_yet__stays(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct net_node *node = &net->nodes[1];
    struct thread thread = {0};
    struct pc_term_run runs[64];
    net_crash(net, 1);
    const struct pc_entry *first = &node->disk.v[0], *at = &node->disk.v[299];
    assert_int_equal(first->kind, PC_ENTRY_CONFIG);
    struct pc_node_snapshot snapshot = {.meta = {.base = pc_raft_base_of(at),
                                            .config_index = 1,
                                            .config = pc_blob_slice(first->body),
                                            .items = 298},
        .chunks = 3,
        .bytes = 1000};
    struct pc_cluster_config config;
    assert_ok(pc_wire_decode_config(pc_blob_slice(first->body), &config));
    memcpy(snapshot.meta.history, config.history, sizeof config.history);
    struct pc_node_restored restored = net_restored(node, runs);
    restored.snapshot = &snapshot;
    net_start_with(net, 1, &restored);
    measure(net, &thread, LOW);
    measure(net, &thread, LOW);
    assert_int_equal(snapshot_index(net), 300);
    assert_int_equal(thread.dropped_upto, 0);
    assert_int_equal(thread.tag, 0);
    net_delete(net);
}

/* Chunks of one value each: no more of them are handed over than fit the writer's queue. */
static void snapshot__of_large_values__waits_for_the_writer(void **state)
{
    (void)state;
    enum { VALUE_BYTES = 400 * 1024, VALUES = 10 };
    struct net *net = net_new(1);
    struct thread thread = {0};
    char *value = pc_xalloc(VALUE_BYTES + 1);
    memset(value, 'v', VALUE_BYTES);
    net_run(net, 3000);
    for (uint64_t k = 0; k < VALUES; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%llu", (unsigned long long)k);
        net_set(net, 1, k + 1, key, value);
        net_settle(net);
        net_assert_reply(net, 1, k + 1, PC_REPLY_OK);
    }
    free(value);
    order(net, &thread);
    for (int turns = 0; turns < 50; turns++) {
        wake(net, &thread); /* take_chunk asserts the bound */
    }
    assert_int_equal(thread.finished, 0);
    assert_true(thread.chunks > 1 && thread.chunks < VALUES);
    for (int turns = 0; turns < 50 && thread.finished == 0; turns++) {
        tell(net, &thread, PC_NODE_SNAP_WRITTEN, PC_OK);
    }
    assert_int_equal(thread.finished, 1);
    assert_int_equal(thread.items, VALUES);
    net_delete(net);
}

/* An order stands until there is a snapshot. */
static void snapshot__ordered_and_failed__is_tried_again_by_itself(void **state)
{
    (void)state;
    struct net *net = net_with_keys();
    struct thread thread = {0};
    order(net, &thread);
    tell(net, &thread, PC_NODE_SNAP_FAILED, PC_E_NO_SPACE);
    assert_int_equal(thread.tag, 0);
    net->now = pc_instant_add_ms(net->now, 61000);
    wake(net, &thread);
    finish(net, &thread);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(log__behind_a_snapshot_that_is_not_loaded_yet__stays),
    PC_TEST(snapshot__of_large_values__waits_for_the_writer),
    PC_TEST(snapshot__ordered_and_failed__is_tried_again_by_itself),
    PC_TEST(log__behind_a_snapshot__goes_at_once_when_the_disk_is_low),
    PC_TEST(log__not_durable_here__does_not_go),
    PC_TEST(log__damaged_in_front_of_a_snapshot__begins_behind_it),
    PC_TEST(disk__low__orders_a_snapshot_that_is_worth_it),
    PC_TEST(order__of_a_client__is_answered_when_it_is_durable),
    PC_TEST(order__while_one_is_made__waits_for_the_next_one),
    PC_TEST(order__that_fails_or_takes_long__is_answered_all_the_same),
    PC_TEST(order__of_an_empty_node__is_refused),
    PC_TEST(snapshot__ordered__has_every_item_once),
    PC_TEST(snapshot__given_up_halfway__leaves_nothing_to_the_next),
    PC_TEST(log__behind_a_snapshot__goes_when_it_is_durable),
};

PC_TEST_MAIN("node_snapshot", tests)
