/* node_net.h: whole nodes (node.h) with a network that delivers when told to, and disks that sync
 * when told to. Node i is called "node<i>" and has id 100 + i, i = 1..n.
 *
 *     event, turn -> effects -> msgs[]                       net_settle delivers, unless cut
 *                            -> node.queue[] -> node.disk    net_sync
 *                            -> node.replies[], node.loads[], node.notes[]
 *
 * After every step: pc_node_check, and what all nodes have applied is the same. */
#ifndef NODE_NET_H
#define NODE_NET_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/node.h"
#include "support/test.h"

#define NET_NODES_MAX 5
#define NET_MSGS_MAX 1024
#define NET_LIST_MAX 64
#define NET_INDEX_MAX 4096

struct net_reply {
    struct pc_reply reply; /* value is not to be followed */
    char value[64];
};

struct net_node {
    struct pc_node *node; /* NULL = down */
    struct pc_node_opts opts;
    pc_term term;
    pc_node_id vote;
    pc_index commit;
    struct pc_entries disk;
    pc_ms wall_ms;
    struct pc_raft_write queue[NET_MSGS_MAX];
    size_t queue_n;
    struct net_reply replies[NET_LIST_MAX];
    size_t replies_n;
    struct pc_node_load loads[NET_LIST_MAX];
    size_t loads_n;
    struct pc_note notes[NET_LIST_MAX];
    size_t notes_n;
    bool holds_disk;
    bool holds_loads;
};

struct net {
    size_t n;
    struct net_node nodes[NET_NODES_MAX + 1];
    struct pc_instant now;
    struct pc_msg msgs[NET_MSGS_MAX];
    size_t msgs_n;
    size_t sent[8];                                 /* by message type, since the start */
    bool up[NET_NODES_MAX + 1][NET_NODES_MAX + 1];  /* both ways */
    bool cut[NET_NODES_MAX + 1][NET_NODES_MAX + 1]; /* from, to: lost although up */
    struct pc_hash digests[NET_INDEX_MAX];
    bool digest_known[NET_INDEX_MAX];
};

static inline size_t net_at(pc_node_id id)
{
    PC_ASSERT(id > 100 && id <= 100 + NET_NODES_MAX);
    return (size_t)(id - 100);
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
        if (net->up[i][to] && !net->cut[i][to]) {
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
    for (size_t k = 0; k < fx->loads_n; k++) {
        assert_true(node->loads_n < NET_LIST_MAX);
        node->loads[node->loads_n++] = fx->loads[k];
    }
    for (size_t k = 0; k < fx->notes_n; k++) {
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

/* Answers the oldest load with at most `max` entries; 0 = it fails. */
static inline void net_load_answer(struct net *net, size_t i, size_t max)
{
    struct net_node *node = &net->nodes[i];
    assert_true(node->loads_n > 0);
    struct pc_node_load load = node->loads[0];
    node->loads_n--;
    memmove(node->loads, node->loads + 1, node->loads_n * sizeof node->loads[0]);
    struct pc_entries entries = {0};
    for (pc_index k = load.first; k <= load.last && entries.n < max; k++) {
        assert_true(k <= node->disk.n);
        pc_entries_push(&entries, &node->disk.v[k - 1]);
    }
    struct pc_node_event event = {.type = PC_NODE_LOADED};
    event.u.loaded.tag = load.tag;
    event.u.loaded.entries = &entries;
    net_do(net, i, &event);
    pc_entries_clear(&entries);
}

/* ---- life and death */

static inline void net_start(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    struct pc_term_run runs[64];
    size_t runs_n = 0;
    for (size_t k = 0; k < node->disk.n; k++) {
        if (runs_n == 0 || runs[runs_n - 1].term != node->disk.v[k].term) {
            assert_true(runs_n < 64);
            runs[runs_n++] = (struct pc_term_run){.first = k + 1, .term = node->disk.v[k].term};
        }
    }
    struct pc_node_restored restored = {
        .raft =
            {
                .term = node->term,
                .vote = node->vote,
                .last = node->disk.n,
                .commit = node->commit < node->disk.n ? node->commit : node->disk.n,
                .wall_ms = node->wall_ms,
                .terms = runs,
                .terms_n = runs_n,
            },
        .config_entry = node->disk.n > 0 ? &node->disk.v[0] : NULL,
    };
    pc_index commit = restored.raft.commit;
    restored.raft.base = commit > 0 ? &node->disk.v[commit - 1] : NULL;
    restored.raft.tail_n = node->disk.n - commit;
    restored.raft.tail = restored.raft.tail_n > 0 ? &node->disk.v[commit] : NULL;
    node->opts.generation++;
    node->opts.seed = 1000 * node->opts.generation + i;
    node->opts.history_seed[1] = (uint8_t)node->opts.generation;
    struct pc_error error = {0};
    assert_ok(pc_node_new(&node->opts, &restored, net->now, &node->node, &error));
    net_event(net, i, PC_NODE_WAKE);
}

static inline void net_disconnect(struct net *net, size_t a, size_t b)
{
    size_t ends[2] = {a, b};
    for (size_t k = 0; k < 2 && net->up[a][b]; k++) {
        if (net->nodes[ends[k]].node != NULL) {
            struct pc_node_event event = {.type = PC_NODE_PEER_DOWN};
            event.u.peer = 100 + ends[1 - k];
            net_do(net, ends[k], &event);
        }
    }
    net->up[a][b] = net->up[b][a] = false;
    for (size_t k = net->msgs_n; k-- > 0;) { /* what was on its way is lost */
        size_t from = net_at(net->msgs[k].from), to = net_at(net->msgs[k].to);
        if ((from == a && to == b) || (from == b && to == a)) {
            pc_msg_clear(&net->msgs[k]);
            net->msgs_n--;
            memmove(net->msgs + k, net->msgs + k + 1, (net->msgs_n - k) * sizeof net->msgs[0]);
        }
    }
}

/* Both say hello, are admitted, and hear that the other is up. */
static inline void net_connect(struct net *net, size_t a, size_t b)
{
    struct pc_peer_hello hello[2];
    size_t ends[2] = {a, b};
    for (size_t k = 0; k < 2; k++) {
        pc_node_hello(net->nodes[ends[k]].node, &hello[k]);
    }
    net->up[a][b] = net->up[b][a] = true;
    for (size_t k = 0; k < 2; k++) {
        struct pc_error error = {0};
        assert_ok(pc_node_admit(net->nodes[ends[k]].node, &hello[1 - k], &error));
        struct pc_node_event event = {.type = PC_NODE_PEER_UP};
        event.u.hello = &hello[1 - k];
        net_do(net, ends[k], &event);
    }
}

/* Down, with all that was not durable; its peers see the connections end. */
static inline void net_crash(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    pc_node_delete(node->node);
    node->node = NULL;
    for (size_t k = 0; k < node->queue_n; k++) {
        pc_entries_clear(&node->queue[k].entries);
    }
    node->queue_n = 0;
    node->loads_n = 0;
    node->replies_n = 0;
    node->notes_n = 0;
    for (size_t k = 1; k <= net->n; k++) {
        net_disconnect(net, k, i);
    }
}

static inline void net_connect_all(struct net *net, size_t i)
{
    for (size_t k = 1; k <= net->n; k++) {
        if (k != i && net->nodes[k].node != NULL && !net->up[i][k]) {
            net_connect(net, i, k);
        }
    }
}

/* n nodes without data, up but not connected. */
static inline struct net *net_new(size_t n)
{
    struct net *net = pc_xalloc(sizeof *net);
    net->n = n;
    net->now.us = 1000 * 1000;
    for (size_t i = 1; i <= n; i++) {
        struct pc_node_opts *opts = &net->nodes[i].opts;
        pc_node_opts_default(opts);
        opts->id = 100 + i;
        opts->members_n = n;
        opts->history_seed[0] = (uint8_t)i;
        opts->store_seed[0] = (uint8_t)i;
        (void)snprintf(opts->name, sizeof opts->name, "node%zu", i);
        for (size_t k = 1; k <= n; k++) {
            (void)snprintf(opts->members[k - 1], sizeof opts->members[0], "node%zu", k);
        }
        net->nodes[i].wall_ms = 1000 * 1000;
        net_start(net, i);
    }
    return net;
}

static inline void net_delete(struct net *net)
{
    for (size_t i = 1; i <= net->n; i++) {
        if (net->nodes[i].node != NULL) {
            net_crash(net, i);
        }
        pc_entries_clear(&net->nodes[i].disk);
    }
    for (size_t k = 0; k < net->msgs_n; k++) {
        pc_msg_clear(&net->msgs[k]);
    }
    free(net);
}

/* ---- network and time */

static inline bool net_is_of(const struct pc_msg *m, enum pc_msg_type type, size_t from, size_t to)
{
    return (type == 0 || m->type == type) && (from == 0 || net_at(m->from) == from) &&
           (to == 0 || net_at(m->to) == to);
}

static inline size_t net_count(const struct net *net, enum pc_msg_type type, size_t from, size_t to)
{
    size_t count = 0;
    for (size_t k = 0; k < net->msgs_n; k++) {
        count += net_is_of(&net->msgs[k], type, from, to);
    }
    return count;
}

static inline struct pc_msg net_take(struct net *net, size_t k)
{
    assert_true(k < net->msgs_n);
    struct pc_msg msg = net->msgs[k];
    net->msgs_n--;
    memmove(net->msgs + k, net->msgs + k + 1, (net->msgs_n - k) * sizeof net->msgs[0]);
    return msg;
}

/* Takes the first such message off the network; the caller owns it. */
static inline struct pc_msg net_hold(struct net *net, enum pc_msg_type type, size_t from, size_t to)
{
    for (size_t k = 0; k < net->msgs_n; k++) {
        if (net_is_of(&net->msgs[k], type, from, to)) {
            return net_take(net, k);
        }
    }
    fail();
    return (struct pc_msg){0};
}

static inline void net_drop(struct net *net, enum pc_msg_type type, size_t from, size_t to)
{
    for (size_t k = net->msgs_n; k-- > 0;) {
        if (net_is_of(&net->msgs[k], type, from, to)) {
            struct pc_msg msg = net_take(net, k);
            pc_msg_clear(&msg);
        }
    }
}

static inline void net_deliver(struct net *net, enum pc_msg_type type, size_t from, size_t to)
{
    struct pc_msg msg = net_hold(net, type, from, to);
    net_recv(net, net_at(msg.to), &msg);
    pc_msg_clear(&msg);
}

/* Messages, disks and loads, until everything is quiet. */
static inline void net_settle(struct net *net)
{
    bool busy = true;
    for (size_t rounds = 0; busy; rounds++) {
        assert_true(rounds < 10000);
        busy = net->msgs_n > 0;
        for (size_t left = net->msgs_n; left > 0; left--) {
            struct pc_msg msg = net_take(net, 0);
            net_recv(net, net_at(msg.to), &msg);
            pc_msg_clear(&msg);
        }
        for (size_t i = 1; i <= net->n; i++) {
            struct net_node *node = &net->nodes[i];
            if (node->node != NULL && !node->holds_disk) {
                busy |= net_sync(net, i);
            }
            while (node->node != NULL && node->loads_n > 0 && !node->holds_loads) {
                net_load_answer(net, i, 100);
                busy = true;
            }
        }
    }
}

static inline void net_wake_due(struct net *net)
{
    for (size_t i = 1; i <= net->n; i++) {
        if (net->nodes[i].node != NULL &&
            pc_instant_is_due(pc_node_wake_at(net->nodes[i].node), net->now)) {
            net_event(net, i, PC_NODE_WAKE);
        }
    }
}

/* Lets time pass; everybody wakes when due, and all settles at once. */
static inline void net_run(struct net *net, pc_ms ms)
{
    struct pc_instant until = pc_instant_add_ms(net->now, ms);
    net_settle(net);
    for (size_t rounds = 0;; rounds++) {
        assert_true(rounds < 100 * (ms + 100)); /* wakes that do nothing would never end */
        struct pc_instant next = PC_INSTANT_NEVER;
        for (size_t i = 1; i <= net->n; i++) {
            if (net->nodes[i].node != NULL) {
                next = pc_instant_min(next, pc_node_wake_at(net->nodes[i].node));
            }
        }
        if (next.us > until.us) {
            break;
        }
        net->now.us = next.us > net->now.us ? next.us : net->now.us;
        net_wake_due(net);
        net_settle(net);
    }
    net->now = until;
}

/* The node that leads in the newest term, or 0. */
static inline size_t net_leader(const struct net *net)
{
    size_t leader = 0;
    pc_term term = 0;
    for (size_t i = 1; i <= net->n; i++) {
        if (net->nodes[i].node == NULL) {
            continue;
        }
        struct pc_node_status status = net_status(net, i);
        if (status.raft.role == PC_RAFT_LEADER && status.raft.term > term) {
            leader = i;
            term = status.raft.term;
        }
    }
    return leader;
}

static inline void net_make_leader(struct net *net, size_t i)
{
    for (size_t tries = 0; net_leader(net) != i; tries++) {
        assert_true(tries < 20);
        size_t leader = net_leader(net);
        if (leader != 0) {
            struct pc_node_event event = {.type = PC_NODE_TRANSFER};
            event.u.transfer_target = 100 + i;
            net_do(net, leader, &event);
        }
        net_run(net, 500);
    }
}

/* n connected nodes that formed a cluster; node 1 leads, everybody knows. */
static inline struct net *net_new_formed(size_t n)
{
    struct net *net = net_new(n);
    for (size_t i = 1; i <= n; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    net_make_leader(net, 1);
    net_run(net, 200);
    for (size_t i = 1; i <= n; i++) {
        assert_int_equal(net_status(net, i).raft.leader, 101);
    }
    return net;
}

static inline const struct pc_ready_check *net_ready_check(
    const struct pc_node_status *status, const char *name)
{
    for (size_t k = 0; k < status->checks_n; k++) {
        if (strcmp(status->checks[k].name, name) == 0) {
            return &status->checks[k];
        }
    }
    fail();
    return NULL;
}

#endif
