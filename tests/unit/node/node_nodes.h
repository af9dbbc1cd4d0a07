/* node_nodes.h: whole nodes (node.h), each with a disk that syncs when told to, and the checks that
 * follow every step. Tests include node_net.h, which adds the network and time. Node i is called
 * "node<i>" and has id 100 + i, i = 1..n; with an empty disk it comes again as 200 + i, and so on.
 *
 *     event, turn -> effects -> msgs[]                       net_settle delivers, unless cut
 *                            -> node.queue[] -> node.disk    net_sync
 *                            -> node.replies[], node.loads[], node.notes[]
 *
 * After every step: pc_node_check, and what all nodes have applied is the same. */
#ifndef NODE_NODES_H
#define NODE_NODES_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/node.h"
#include "support/test.h"

#ifndef NET_NODES_MAX
#define NET_NODES_MAX 5
#endif
#define NET_MSGS_MAX 1024
#define NET_LIST_MAX 64
#define NET_INDEX_MAX 4096

struct net_reply {
    struct pc_reply reply; /* value is not to be followed */
    char value[64];
};

#define NET_SNAPS_MAX 128

/* What a node wants done about snapshots. */
struct net_snaps {
    struct pc_node_snap queue[NET_SNAPS_MAX]; /* chunks and configs are its own */
    size_t queue_n;
};

struct net_node {
    struct pc_node *node; /* NULL = down */
    struct pc_node_opts opts;
    pc_term term;
    pc_node_id vote;
    pc_index commit;
    struct pc_entries disk;
    struct pc_raft_base base; /* of the entry at `commit` */
    pc_ms wall_ms;
    struct pc_raft_write queue[NET_MSGS_MAX];
    size_t queue_n;
    struct net_reply replies[NET_LIST_MAX];
    size_t replies_n;
    struct pc_node_load loads[NET_LIST_MAX];
    size_t loads_n;
    struct pc_note notes[NET_LIST_MAX];
    size_t notes_n;
    struct pc_node_repair repair;                 /* asked for last; type 0 = none */
    size_t repairs_n;                             /* so far */
    struct pc_node_branch branches[NET_LIST_MAX]; /* asked for, oldest first; blobs are its own */
    size_t branches_n;
    struct pc_life lives[NET_LIST_MAX]; /* asked to be noted, oldest first */
    size_t lives_n;
    bool holds_lives; /* nothing is noted but by the test; else all whom this node is linked to are
                       */
    uint8_t history[16]; /* noted beside the log, when it was joined */
    bool has_history;
    bool had_log; /* as what tells who it is says at its next start */
    bool holds_disk;
    bool holds_loads;
    pc_index rots_from, rots_upto; /* of `disk`, what loads find damaged; 0 = nothing is */
    size_t loads_answered;
    pc_index dropped_upto;   /* of `disk`, what cannot be loaded any more */
    struct net_snaps *snaps; /* node_snaps.h; NULL = what is asked about snapshots goes nowhere */
};

struct net {
    size_t n;
    struct net_node nodes[NET_NODES_MAX + 1];
    struct pc_instant now;
    struct pc_msg msgs[NET_MSGS_MAX];
    size_t msgs_n;
    size_t sent[PC_MSG_DIGEST + 1];                 /* by message type, since the start */
    bool up[NET_NODES_MAX + 1][NET_NODES_MAX + 1];  /* both ways */
    bool cut[NET_NODES_MAX + 1][NET_NODES_MAX + 1]; /* from, to: lost although up */
    struct pc_hash digests[NET_INDEX_MAX];
    bool digest_known[NET_INDEX_MAX];
};

static inline size_t net_at(pc_node_id id)
{
    PC_ASSERT(id > 100 && id % 100 >= 1 && id % 100 <= NET_NODES_MAX);
    return (size_t)(id % 100);
}

static inline struct pc_node_status net_status(const struct net *net, size_t i)
{
    struct pc_node_status status;
    pc_node_status(net->nodes[i].node, net->now, &status);
    return status;
}

/* ---- steps */

static inline void net_keep_write(struct net_node *node, struct pc_raft_write *write)
{
    assert_true(node->queue_n < NET_MSGS_MAX);
    node->queue[node->queue_n++] = *write;
    write->entries = (struct pc_entries){0};
}

static inline void net_keep_reply(struct net_node *node, const struct pc_reply *reply)
{
    assert_true(node->replies_n < NET_LIST_MAX);
    struct net_reply *kept = &node->replies[node->replies_n++];
    *kept = (struct net_reply){.reply = *reply};
    struct pc_slice value = pc_blob_slice(reply->value);
    assert_true(value.len < sizeof kept->value);
    if (value.len > 0) {
        memcpy(kept->value, value.data, value.len);
    }
}

static inline void net_take_effects(struct net *net, size_t i, struct pc_node_effects *fx)
{
    struct net_node *node = &net->nodes[i];
    for (size_t k = 0; k < fx->msgs_n; k++) {
        size_t to = net_at(fx->msgs[k].to);
        net->sent[fx->msgs[k].type]++;
        bool is_there = fx->msgs[k].to == net->nodes[to].opts.id;
        if (net->up[i][to] && !net->cut[i][to] && is_there) {
            assert_true(net->msgs_n < NET_MSGS_MAX);
            net->msgs[net->msgs_n++] = fx->msgs[k];
            fx->msgs[k] = (struct pc_msg){0};
        }
    }
    for (size_t k = 0; k < fx->writes_n; k++) {
        net_keep_write(node, &fx->writes[k]);
    }
    for (size_t k = 0; k < fx->replies_n; k++) {
        net_keep_reply(node, &fx->replies[k]);
    }
    for (size_t k = 0; k < fx->repairs_n; k++) {
        pc_entries_clear(&node->repair.entries);
        node->repair = fx->repairs[k];
        fx->repairs[k].entries = (struct pc_entries){0};
        node->repairs_n++;
    }
    for (size_t k = 0; k < fx->loads_n; k++) {
        assert_true(node->loads_n < NET_LIST_MAX);
        node->loads[node->loads_n++] = fx->loads[k];
    }
    for (size_t k = 0; k < fx->lives_n; k++) {
        assert_true(node->lives_n < NET_LIST_MAX);
        node->lives[node->lives_n++] = fx->lives[k];
    }
    for (size_t k = 0; k < fx->branches_n; k++) {
        assert_true(node->branches_n < NET_LIST_MAX);
        node->branches[node->branches_n++] = fx->branches[k];
        fx->branches[k].record.command = fx->branches[k].record.before = NULL;
    }
    for (size_t k = 0; k < fx->snaps_n && node->snaps != NULL; k++) {
        assert_true(node->snaps->queue_n < NET_SNAPS_MAX);
        node->snaps->queue[node->snaps->queue_n++] = fx->snaps[k];
        fx->snaps[k].chunk = (struct pc_buf){0};
        fx->snaps[k].config = NULL;
    }
    for (size_t k = 0; k < fx->notes_n; k++) {
        if (fx->notes[k].type == PC_NOTE_JOINED) { /* noted beside the log, before it is written */
            memcpy(node->history, net_status(net, i).history, sizeof node->history);
            node->has_history = true;
        }
        node->notes_n -= node->notes_n == NET_LIST_MAX ? 1 : 0;
        node->notes[node->notes_n++] = fx->notes[k];
    }
}

static inline void net_check(struct net *net, size_t i)
{
    pc_node_check(net->nodes[i].node);
    struct pc_node_status status = net_status(net, i);
    assert_true(status.applied < NET_INDEX_MAX);
    if (!net->digest_known[status.applied]) {
        net->digests[status.applied] = status.digest;
        net->digest_known[status.applied] = true;
    }
    assert_true(pc_hash_equal(&net->digests[status.applied], &status.digest));
}

/* The event, then the end of the turn, as the daemon does it. */
static inline void net_do(struct net *net, size_t i, struct pc_node_event *event)
{
    struct pc_node_effects fx = {0};
    struct pc_node_event turn = {.type = PC_NODE_TURN, .now = net->now};
    event->now = net->now;
    pc_node_step(net->nodes[i].node, event, &fx);
    pc_node_step(net->nodes[i].node, &turn, &fx);
    net_take_effects(net, i, &fx);
    pc_node_effects_destroy(&fx);
    net_check(net, i);
}

static inline void net_event(struct net *net, size_t i, enum pc_node_event_type type)
{
    struct pc_node_event event = {.type = type};
    net_do(net, i, &event);
}

static inline void net_recv(struct net *net, size_t i, const struct pc_msg *msg)
{
    struct pc_node_event event = {.type = PC_NODE_RECV};
    event.u.msg = msg;
    net_do(net, i, &event);
}

/* ---- clients */

static inline void net_request(struct net *net, size_t i, const struct pc_request *request)
{
    struct pc_node_event event = {.type = PC_NODE_CLIENT};
    event.u.request = request;
    net_do(net, i, &event);
}

static inline void net_set_ttl(
    struct net *net, size_t i, uint64_t tag, const char *key, const char *value, pc_ms ttl_ms)
{
    struct pc_request request = {.tag = tag, .type = PC_REQUEST_WRITE};
    request.command = (struct pc_command){
        .op = PC_OP_SET,
        .key = pc_slice_str(key),
        .value = pc_slice_str(value),
        .has_ttl = ttl_ms > 0,
        .ttl_ms = ttl_ms,
    };
    net_request(net, i, &request);
}

static inline void net_set(
    struct net *net, size_t i, uint64_t tag, const char *key, const char *value)
{
    net_set_ttl(net, i, tag, key, value, 0);
}

static inline void net_get(
    struct net *net, size_t i, uint64_t tag, const char *key, enum pc_consistency consistency)
{
    struct pc_request request = {
        .tag = tag,
        .type = PC_REQUEST_GET,
        .consistency = consistency,
        .key = pc_slice_str(key),
    };
    net_request(net, i, &request);
}

/* The reply with this tag, or NULL; it must not have come twice. */
static inline const struct net_reply *net_reply(const struct net *net, size_t i, uint64_t tag)
{
    const struct net_reply *found = NULL;
    for (size_t k = 0; k < net->nodes[i].replies_n; k++) {
        if (net->nodes[i].replies[k].reply.tag == tag) {
            assert_null(found);
            found = &net->nodes[i].replies[k];
        }
    }
    return found;
}

static inline void net_assert_reply(
    const struct net *net, size_t i, uint64_t tag, enum pc_reply_status status)
{
    const struct net_reply *reply = net_reply(net, i, tag);
    assert_non_null(reply);
    assert_int_equal(reply->reply.status, status);
}

static inline bool net_has_note(const struct net *net, size_t i, enum pc_note_type type)
{
    for (size_t k = 0; k < net->nodes[i].notes_n; k++) {
        if (net->nodes[i].notes[k].type == type) {
            return true;
        }
    }
    return false;
}

/* ---- disks */

static inline void net_disk_write(struct net_node *node, struct pc_raft_write *write)
{
    if (write->has_reset) { /* what is in front of it is never to be loaded */
        struct pc_entry none = {.kind = PC_ENTRY_NOOP};
        pc_entries_clear(&node->disk);
        for (pc_index k = 1; k <= write->reset.index; k++) {
            pc_entries_push(&node->disk, &none);
        }
        node->dropped_upto = write->reset.index;
    }
    while (write->truncate_from > 0 && node->disk.n >= write->truncate_from) {
        pc_entry_clear(&node->disk.v[--node->disk.n]);
    }
    for (size_t i = 0; i < write->entries.n; i++) {
        assert_int_equal(write->entries.v[i].index, node->disk.n + 1);
        pc_entries_push(&node->disk, &write->entries.v[i]);
    }
    node->commit = write->commit;
    if (write->has_vote) {
        node->term = write->term;
        node->vote = write->vote;
    }
}

/* Everything queued becomes durable; false when nothing was. */
static inline bool net_sync(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    if (node->queue_n == 0) {
        return false;
    }
    struct pc_node_event event = {.type = PC_NODE_SYNCED};
    for (size_t k = 0; k < node->queue_n; k++) {
        net_disk_write(node, &node->queue[k]);
        event.u.seq = node->queue[k].seq;
        pc_entries_clear(&node->queue[k].entries);
    }
    node->queue_n = 0;
    net_do(net, i, &event);
    return true;
}

static inline bool net_rots(const struct net_node *node, pc_index index)
{
    return index >= node->rots_from && index <= node->rots_upto;
}

/* Answers the oldest load with at most `max` entries, and none behind damage; 0 = it fails. */
static inline void net_load_answer(struct net *net, size_t i, size_t max)
{
    struct net_node *node = &net->nodes[i];
    assert_true(node->loads_n > 0);
    struct pc_node_load load = node->loads[0];
    node->loads_n--;
    memmove(node->loads, node->loads + 1, node->loads_n * sizeof node->loads[0]);
    struct pc_entries entries = {0};
    bool is_there = load.first > node->dropped_upto;
    for (pc_index k = load.first; is_there && k <= load.last && entries.n < max; k++) {
        assert_true(k <= node->disk.n);
        if (net_rots(node, k)) {
            break;
        }
        pc_entries_push(&entries, &node->disk.v[k - 1]);
    }
    struct pc_node_event event = {.type = PC_NODE_LOADED};
    event.u.loaded.tag = load.tag;
    event.u.loaded.entries = &entries;
    event.u.loaded.is_damaged = is_there && net_rots(node, load.first);
    if (event.u.loaded.is_damaged && !pc_node_can_spare(node->node, load.tag, load.first)) {
        event = (struct pc_node_event){.type = PC_NODE_LOG_FAILED};
    }
    node->loads_answered++;
    net_do(net, i, &event);
    pc_entries_clear(&entries);
}

#endif
