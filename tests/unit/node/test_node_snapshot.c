/* Making snapshots, turn by turn: the test plays the snapshot thread. */
#include "unit/node/node_net.h"

#define KEYS 600

struct thread {
    uint64_t tag;   /* of the write that is under way; 0 = none */
    uint64_t items; /* in its chunks */
    uint32_t chunks;
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
    case PC_NODE_SNAP_SET_ASIDE:
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

static struct net *net_with_keys(void)
{
    struct net *net = net_new(1);
    net_run(net, 3000);
    assert_int_equal(net_leader(net), 1);
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

static const struct CMUnitTest tests[] = {
    PC_TEST(snapshot__ordered__has_every_item_once),
    PC_TEST(snapshot__given_up_halfway__leaves_nothing_to_the_next),
    PC_TEST(log__behind_a_snapshot__goes_when_it_is_durable),
};

PC_TEST_MAIN("node_snapshot", tests)
