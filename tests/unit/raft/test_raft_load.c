/* A follower that lacks far more than the leader has in memory: what a load brings is sent in
 * messages that every receiver takes. */
#define NET_INDEX_MAX (1 << 17)
#include "unit/raft/raft_net.h"

#include "pcache/limits.h"

struct seen {
    size_t loads;
    size_t entries_max; /* of one message */
    size_t under_way;   /* messages with entries out of one step */
};

static void watch(struct net *net, pc_node_id id, const struct pc_raft_effects *fx)
{
    (void)id;
    struct seen *seen = net->watch_context;
    size_t under_way = 0;
    seen->loads += fx->loads_n;
    assert_true(seen->loads < 100000);
    for (size_t i = 0; i < fx->msgs_n; i++) {
        const struct pc_entries *entries = &fx->msgs[i].entries;
        size_t bytes = 0;
        for (size_t k = 0; k < entries->n; k++) {
            bytes += pc_entry_bytes(&entries->v[k]);
        }
        assert_true(entries->n <= PC_APPEND_ENTRIES_MAX);
        assert_true(entries->n <= 1 || bytes <= PC_APPEND_BYTES_MAX);
        seen->entries_max = entries->n > seen->entries_max ? entries->n : seen->entries_max;
        under_way += entries->n > 0 && fx->msgs[i].to == 3;
    }
    assert_true(under_way <= PC_INFLIGHT_MSGS_MAX);
    seen->under_way = under_way > seen->under_way ? under_way : seen->under_way;
}

/* Nodes 1 and 2 have `count` entries with this body, all but nothing of them in memory; node 3 has
 * only the first one. The caller sets load_max and elects. */
static struct net *far_behind_new(size_t count, const char *body, struct seen *seen)
{
    struct net *net = pc_xalloc(sizeof *net);
    net_create_empty(net, 3);
    for (pc_node_id id = 1; id <= 2; id++) {
        for (size_t i = 0; i < count; i++) {
            net_disk_add(net, id, 1, body);
        }
        net->nodes[id].commit = count + 1;
    }
    net->opts.tail_bytes_max = 1000;
    net->watch = watch;
    net->watch_context = seen;
    *seen = (struct seen){0};
    for (pc_node_id id = 1; id <= 3; id++) {
        net_start(net, id);
    }
    return net;
}

static void catch_up(struct net *net)
{
    net_elect(net, 1);
    net_run(net, 1000);
    net_assert_converged(net);
    assert_int_equal(net->nodes[3].disk.n, net->nodes[1].disk.n);
}

/* As many as the log gives in one load. */
static void load__of_120000_empty_entries__goes_out_in_messages_of_bounded_count(void **state)
{
    (void)state;
    const size_t count = 120000;
    struct seen seen;
    struct net *net = far_behind_new(count, NULL, &seen);
    net->load_max = PC_LOAD_BYTES_MAX / pc_entry_bytes(&net->nodes[1].disk.v[1]);
    catch_up(net);
    assert_int_equal(seen.entries_max, PC_APPEND_ENTRIES_MAX);
    assert_true(seen.loads <= count / net->load_max + 2); /* nothing is read for nothing */
    net_delete(net);
}

static void load__of_large_entries__goes_out_in_messages_of_bounded_bytes(void **state)
{
    (void)state;
    const size_t count = 400;
    char body[30001];
    memset(body, 'x', sizeof body - 1);
    body[sizeof body - 1] = '\0';
    struct seen seen;
    struct net *net = far_behind_new(count, body, &seen);
    net->load_max = PC_LOAD_BYTES_MAX / pc_entry_bytes(&net->nodes[1].disk.v[1]);
    catch_up(net);
    assert_int_equal(seen.entries_max, PC_APPEND_BYTES_MAX / (sizeof body - 1 + 128));
    assert_true(seen.loads <= count / net->load_max + 2);
    net_delete(net);
}

/* The window ends what a load sends; the rest is asked for again. */
static void load__larger_than_the_window__is_asked_for_again_from_there(void **state)
{
    (void)state;
    struct seen seen;
    struct net *net = far_behind_new(NET_INDEX_MAX - 100, NULL, &seen);
    net->load_max = SIZE_MAX;
    catch_up(net);
    size_t window = PC_INFLIGHT_BYTES_MAX / (PC_APPEND_ENTRIES_MAX * 128);
    assert_int_equal(seen.under_way, window);
    size_t entries = net->nodes[1].disk.n;
    assert_true(seen.loads >= entries / (window * PC_APPEND_ENTRIES_MAX));
    net_delete(net);
}

/* No descriptor, say: whoever asks again at once does nothing else. */
static void load__that_fails__is_asked_for_again_with_the_next_heartbeat(void **state)
{
    (void)state;
    enum { RUN_MS = 1000 };
    struct seen seen;
    struct net *net = far_behind_new(400, NULL, &seen);
    net->load_max = 0;
    net_elect(net, 1);
    net_run(net, RUN_MS);
    assert_in_range(seen.loads, 5, RUN_MS / net->opts.heartbeat_ms + 3);
    net->load_max = SIZE_MAX;
    net_run(net, 1000);
    net_assert_converged(net);
    assert_int_equal(net->nodes[3].disk.n, net->nodes[1].disk.n);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(load__that_fails__is_asked_for_again_with_the_next_heartbeat),
    PC_TEST(load__of_120000_empty_entries__goes_out_in_messages_of_bounded_count),
    PC_TEST(load__of_large_entries__goes_out_in_messages_of_bounded_bytes),
    PC_TEST(load__larger_than_the_window__is_asked_for_again_from_there),
};

PC_TEST_MAIN("raft_load", tests)
