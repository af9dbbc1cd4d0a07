/* Snapshots of peers that have the hash they were announced with, and yet cannot be loaded. */
#include "unit/node/node_snaps.h"

#define KEYS 60

/* Node 3 is behind what the logs of the others have; the snapshot of node 2 is made of a value that
 * is not what its digest says. */
static struct net *net_with_bad_snapshot(void)
{
    static char value[4097];
    struct net *net = net_new_formed(3);
    memset(value, 'v', 4096);
    for (size_t i = 1; i <= 3; i++) { /* nobody keeps old entries in memory */
        net->nodes[i].opts.raft.tail_bytes_max = 1;
        net_crash(net, i);
        net_start(net, i);
        net_connect_all(net, i);
        net_run(net, 3000);
    }
    net_make_leader(net, 1);
    for (size_t i = 1; i <= 3; i++) {
        snaps_attach(net, i);
    }
    net_run(net, 300);
    net_crash(net, 3);
    for (uint64_t k = 0; k < KEYS; k++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%llu", (unsigned long long)k);
        net_set(net, 1, k + 1, key, value);
        net_settle(net);
        net->nodes[1].replies_n = 0;
    }
    net_run(net, 500);
    for (size_t i = 1; i <= 2; i++) {
        snaps_make(net, i, net_status(net, i).applied - 2);
    }
    struct snaps_file *file = &snaps_of(net, 2)->newest;
    struct pc_buf *chunk = &file->chunks[0];
    size_t at = chunk->len - 100;
    assert_int_equal(chunk->data[at], 'v');
    chunk->data[at] ^= 1;
    return net;
}

static void restart(struct net *net, size_t i)
{
    net_crash(net, i);
    snaps_forget_asked(snaps_of(net, i));
    struct pc_term_run runs[64];
    struct pc_node_snapshot snapshot = snaps_found(net, i);
    struct pc_node_restored restored = net_restored(&net->nodes[i], runs);
    restored.raft.first = net->nodes[i].dropped_upto + 1;
    restored.snapshot = &snapshot;
    net_start_with(net, i, &restored);
}

static void fetch__of_what_cannot_be_loaded__turns_to_another_peer(void **state)
{
    (void)state;
    struct net *net = net_with_bad_snapshot();
    size_t fetched = 0, failed = 0;
    net_start(net, 3);
    net_connect_all(net, 3);
    for (int k = 0; k < 100; k++) {
        net->nodes[1].replies_n = 0;
        for (size_t i = 1; i <= 3; i++) {
            net->nodes[i].notes_n = 0;
        }
        snaps_run(net, 100);
        for (size_t j = 0; j < net->nodes[3].notes_n; j++) {
            const struct pc_note *note = &net->nodes[3].notes[j];
            fetched += note->type == PC_NOTE_SNAPSHOT && note->id == 102 ? 1 : 0;
            if (note->type == PC_NOTE_SNAPSHOT_FAILED && note->b == 1) {
                assert_int_equal(note->id, 102);
                failed++;
            }
        }
    }
    assert_int_equal(failed, 1);
    assert_in_range(fetched, 1, 2);
    assert_int_equal(net_status(net, 3).applied, net_status(net, 1).applied);
    snaps_detach_all(net);
    net_delete(net);
}

/* The disk's side has looked into it while it came: it has replaced nothing. */
static void fetch__of_what_the_writer_refuses__is_not_begun_again(void **state)
{
    (void)state;
    struct net *net = net_with_bad_snapshot();
    size_t fetched = 0, failed = 0;
    snaps_of(net, 1)->read_err = PC_E_AGAIN; /* nobody gives a better one */
    snaps_of(net, 3)->finish_err = PC_E_MALFORMED;
    net_start(net, 3);
    net_connect_all(net, 3);
    for (int k = 0; k < 150; k++) { /* several rounds of asking */
        for (size_t i = 1; i <= 3; i++) {
            net->nodes[i].notes_n = 0;
        }
        snaps_run(net, 100);
        for (size_t j = 0; j < net->nodes[3].notes_n; j++) {
            const struct pc_note *note = &net->nodes[3].notes[j];
            fetched += note->type == PC_NOTE_SNAPSHOT && note->id == 102 ? 1 : 0;
            failed += note->type == PC_NOTE_SNAPSHOT_FAILED && note->b == 1 ? 1 : 0;
        }
    }
    assert_int_equal(fetched, 1);
    assert_int_equal(failed, 1);
    assert_int_equal(net_status(net, 3).snapshot.index, 0);
    snaps_of(net, 1)->read_err = PC_OK;
    net_set(net, 1, 900, "after", "value"); /* so that there is something newer to make one of */
    snaps_run(net, 5000);
    assert_int_equal(net_status(net, 3).applied, net_status(net, 1).applied);
    snaps_detach_all(net);
    net_delete(net);
}

/* What is known to be damaged is not given on, although the disk would. */
static void chunk__of_a_damaged_snapshot__is_not_given(void **state)
{
    (void)state;
    struct net *net = net_with_bad_snapshot();
    snaps_of(net, 1)->read_err = PC_E_AGAIN; /* nobody gives a better one */
    restart(net, 2);
    net_connect_all(net, 2);
    snaps_run(net, 500);
    assert_true(net_has_note(net, 2, PC_NOTE_SNAPSHOT_FAILED));
    assert_int_equal(net_status(net, 2).snapshot.index, 0);
    assert_true(net_status(net, 2).snapshot_is_damaged);
    net_settle(net);
    struct pc_msg get = {
        .type = PC_MSG_SNAP_GET, .from = net->nodes[1].opts.id, .to = net->nodes[2].opts.id};
    get.snapshot.nonce = 77;
    get.snapshot.index = snaps_of(net, 2)->newest.base.index;
    net_recv(net, 2, &get);
    while (snaps_serve(net)) {
    }
    struct pc_msg chunk = net_hold(net, PC_MSG_SNAP_CHUNK, 2, 1);
    assert_int_equal(chunk.snapshot.nonce, 77);
    assert_null(chunk.snapshot.body);
    pc_msg_clear(&chunk);
    snaps_of(net, 1)->read_err = PC_OK;
    snaps_run(net, 5000);
    assert_false(net_status(net, 2).snapshot_is_damaged);
    assert_int_equal(net_status(net, 2).snapshot.index, snaps_of(net, 1)->newest.base.index);
    snaps_detach_all(net);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(fetch__of_what_cannot_be_loaded__turns_to_another_peer),
    PC_TEST(fetch__of_what_the_writer_refuses__is_not_begun_again),
    PC_TEST(chunk__of_a_damaged_snapshot__is_not_given),
};
PC_TEST_MAIN("node_refused", tests)
