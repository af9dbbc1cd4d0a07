/* node_net.h: whole nodes with a network that delivers when told to, and a clock that moves when
 * told to. */
#ifndef NODE_NET_H
#define NODE_NET_H

#include "unit/node/node_nodes.h"

/* ---- life and death */

static inline void net_forget_branches(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    for (size_t k = 0; k < node->branches_n; k++) {
        pc_blob_unref(node->branches[k].record.command);
        pc_blob_unref(node->branches[k].record.before);
    }
    node->branches_n = 0;
}

/* What stands on the node's disk, borrowed; `runs` has room for 64. */
static inline struct pc_node_restored net_restored(struct net_node *node, struct pc_term_run *runs)
{
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
        .history = node->has_history ? node->history : NULL,
        .had_log = node->had_log,
    };
    pc_index commit = restored.raft.commit;
    for (size_t k = 0; k < commit; k++) {
        bool is_config = node->disk.v[k].kind == PC_ENTRY_CONFIG;
        restored.config_entry = is_config ? &node->disk.v[k] : restored.config_entry;
    }
    if (commit > 0) {
        node->base = pc_raft_base_of(&node->disk.v[commit - 1]);
        restored.raft.base = &node->base;
    }
    restored.raft.tail_n = node->disk.n - commit;
    restored.raft.tail = restored.raft.tail_n > 0 ? &node->disk.v[commit] : NULL;
    return restored;
}

static inline void net_start_with(
    struct net *net, size_t i, const struct pc_node_restored *restored)
{
    struct net_node *node = &net->nodes[i];
    node->opts.prev_generation = node->opts.generation;
    node->opts.generation++;
    node->opts.mark = (100 + i) * 1000 + node->opts.generation;
    node->opts.seed = 1000 * node->opts.generation + i;
    node->opts.history_seed[1] = (uint8_t)node->opts.generation;
    struct pc_error error = {0};
    assert_ok(pc_node_new(&node->opts, restored, net->now, &node->node, &error));
    net_event(net, i, PC_NODE_WAKE);
}

static inline void net_start(struct net *net, size_t i)
{
    struct pc_term_run runs[64];
    struct pc_node_restored restored = net_restored(&net->nodes[i], runs);
    net_start_with(net, i, &restored);
}

static inline void net_disconnect(struct net *net, size_t a, size_t b)
{
    size_t ends[2] = {a, b};
    for (size_t k = 0; k < 2 && net->up[a][b]; k++) {
        if (net->nodes[ends[k]].node != NULL) {
            struct pc_node_event event = {.type = PC_NODE_PEER_DOWN};
            event.u.peer = net->nodes[ends[1 - k]].opts.id;
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

/* Of the lives that the nodes here have. */
#define MARK(id, generation) ((id)*1000 + (generation))

static inline void net_note_life(struct net *net, size_t i, pc_node_id id, uint64_t generation)
{
    struct pc_node_event event = {.type = PC_NODE_LIFE_NOTED};
    event.u.life =
        (struct pc_life){.id = id, .generation = generation, .mark = MARK(id, generation)};
    net_do(net, i, &event);
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
        if (!net->nodes[ends[k]].holds_lives) {
            net_note_life(net, ends[k], hello[1 - k].id, hello[1 - k].generation);
        }
    }
}

/* Whether both admit the other; then they are connected. */
static inline bool net_try_connect(struct net *net, size_t a, size_t b, struct pc_error *error)
{
    struct pc_peer_hello hello[2];
    pc_node_hello(net->nodes[a].node, &hello[0]);
    pc_node_hello(net->nodes[b].node, &hello[1]);
    if (pc_node_admit(net->nodes[a].node, &hello[1], error) != PC_OK ||
        pc_node_admit(net->nodes[b].node, &hello[0], error) != PC_OK) {
        return false;
    }
    net_connect(net, a, b);
    return true;
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
    pc_entries_clear(&node->repair.entries);
    node->repair = (struct pc_node_repair){0};
    node->loads_n = 0;
    node->replies_n = 0;
    node->notes_n = 0;
    node->lives_n = 0;
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
        net_forget_branches(net, i);
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
            event.u.transfer_target = net->nodes[i].opts.id;
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
