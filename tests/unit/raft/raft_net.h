/* raft_net.h: two to five raft machines with a network that delivers when told to, and a clock that
 * moves when told to. */
#ifndef RAFT_NET_H
#define RAFT_NET_H

#include "unit/raft/raft_nodes.h"

/* ---- life and death */

static inline size_t net_term_runs(const struct net_node *node, struct pc_term_run *runs)
{
    size_t n = 0;
    for (size_t i = 0; i < node->disk.n; i++) {
        if (n == 0 || runs[n - 1].term != node->disk.v[i].term) {
            runs[n++] = (struct pc_term_run){.first = i + 1, .term = node->disk.v[i].term};
        }
    }
    return n;
}

/* Starts a node from its disk. */
static inline void net_start(struct net *net, pc_node_id id)
{
    struct net_node *node = &net->nodes[id];
    PC_ASSERT(node->raft == NULL);
    struct pc_term_run runs[NET_TERM_MAX];
    struct pc_raft_restored restored = {
        .term = node->term,
        .vote = node->vote,
        .doubt = node->doubt,
        .last = node->disk.n,
        .commit = node->commit < node->disk.n ? node->commit : node->disk.n,
        .wall_ms = node->wall_ms,
        .terms = runs,
        .terms_n = net_term_runs(node, runs),
        .config = {.index = 1, .voters_n = net->n},
    };
    for (size_t i = 0; i < net->n; i++) {
        restored.config.voters[i] = i + 1;
    }
    struct pc_raft_base base = {0};
    if (restored.commit > 0) {
        base = pc_raft_base_of(&node->disk.v[restored.commit - 1]);
        restored.base = &base;
    }
    restored.tail_n = node->disk.n - restored.commit;
    restored.tail = restored.tail_n > 0 ? &node->disk.v[restored.commit] : NULL;
    struct pc_raft_opts opts = net->opts;
    opts.id = id;
    opts.seed = 100 * ++net->starts + id;
    node->raft = pc_raft_new(&opts, &restored, net->now);
    pc_raft_check(node->raft);
}

/* What was not synced is lost, and so is what is on its way to the node. */
static inline void net_crash(struct net *net, pc_node_id id)
{
    struct net_node *node = &net->nodes[id];
    net_drop_writes(node, 0, node->queue_n);
    pc_raft_delete(node->raft);
    node->raft = NULL;
    node->reads_n = 0;
    node->loads_n = 0;
}

static inline void net_create_empty(struct net *net, size_t n)
{
    memset(net, 0, sizeof *net);
    net->n = n;
    net->load_max = 100;
    net->now.us = 1000 * 1000;
    pc_raft_opts_default(&net->opts);
    for (pc_node_id id = 1; id <= n; id++) {
        net->nodes[id].wall_ms = 50 * 1000;
        net_disk_add(net, id, 1, "config");
    }
}

/* n nodes just formed: one CONFIG entry of term 1 each. */
static inline struct net *net_new(size_t n)
{
    struct net *net = pc_xalloc(sizeof *net);
    net_create_empty(net, n);
    for (pc_node_id id = 1; id <= n; id++) {
        net_start(net, id);
    }
    return net;
}

static inline void net_drop_all(struct net *net)
{
    for (size_t i = 0; i < net->msgs_n; i++) {
        pc_raft_msg_clear(&net->msgs[i]);
    }
    net->msgs_n = 0;
}

static inline void net_delete(struct net *net)
{
    net_drop_all(net);
    for (pc_node_id id = 1; id <= net->n; id++) {
        if (net_is_up(net, id)) {
            net_crash(net, id);
        }
        free(net->nodes[id].queue);
        pc_entries_clear(&net->nodes[id].disk);
    }
    free(net);
}

/* ---- the network */

/* Takes message k off the network; the caller owns it. */
static inline struct pc_raft_msg net_take(struct net *net, size_t k)
{
    assert_true(k < net->msgs_n);
    struct pc_raft_msg m = net->msgs[k];
    net->msgs_n--;
    memmove(net->msgs + k, net->msgs + k + 1, (net->msgs_n - k) * sizeof net->msgs[0]);
    return m;
}

/* The first message of this kind, or SIZE_MAX; 0 stands for any type, sender, receiver. */
static inline size_t net_find(
    const struct net *net, enum pc_raft_msg_type type, pc_node_id from, pc_node_id to)
{
    for (size_t i = 0; i < net->msgs_n; i++) {
        const struct pc_raft_msg *m = &net->msgs[i];
        if ((type == 0 || m->type == type) && (from == 0 || m->from == from) &&
            (to == 0 || m->to == to)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static inline size_t net_count(
    const struct net *net, enum pc_raft_msg_type type, pc_node_id from, pc_node_id to)
{
    size_t count = 0;
    for (size_t i = 0; i < net->msgs_n; i++) {
        const struct pc_raft_msg *m = &net->msgs[i];
        count += (type == 0 || m->type == type) && (from == 0 || m->from == from) &&
                 (to == 0 || m->to == to);
    }
    return count;
}

static inline void net_deliver_at(struct net *net, size_t k)
{
    struct pc_raft_msg m = net_take(net, k);
    if (net_is_up(net, m.to) && !net->cut[m.from][m.to]) {
        net_recv(net, &m);
    }
    pc_raft_msg_clear(&m);
}

/* Delivers the first message of this kind. */
static inline void net_deliver(
    struct net *net, enum pc_raft_msg_type type, pc_node_id from, pc_node_id to)
{
    net_deliver_at(net, net_find(net, type, from, to));
}

/* Takes the first message of this kind off the network, for later; the caller owns it. */
static inline struct pc_raft_msg net_hold(
    struct net *net, enum pc_raft_msg_type type, pc_node_id from, pc_node_id to)
{
    return net_take(net, net_find(net, type, from, to));
}

static inline void net_drop(
    struct net *net, enum pc_raft_msg_type type, pc_node_id from, pc_node_id to)
{
    size_t k;
    while ((k = net_find(net, type, from, to)) != SIZE_MAX) {
        struct pc_raft_msg m = net_take(net, k);
        pc_raft_msg_clear(&m);
    }
}

/* Messages, disks and loads, until everything is quiet. */
static inline void net_settle(struct net *net)
{
    bool busy = true;
    for (size_t rounds = 0; busy; rounds++) {
        assert_true(rounds < 10000);
        busy = net->msgs_n > 0;
        for (size_t left = net->msgs_n; left > 0; left--) {
            net_deliver_at(net, 0);
        }
        for (pc_node_id id = 1; id <= net->n; id++) {
            struct net_node *node = &net->nodes[id];
            if (net_is_up(net, id) && !node->holds_disk) {
                busy |= net_sync(net, id);
            }
            while (net_is_up(net, id) && node->loads_n > 0) {
                net_load_answer(net, id, net->load_max);
                busy = true;
            }
        }
    }
}

/* ---- time */

static inline void net_sleep(struct net *net, pc_ms ms)
{
    net->now = pc_instant_add_ms(net->now, ms);
}

/* Lets time pass; everybody wakes when due, and all settles at once. */
static inline void net_run(struct net *net, pc_ms ms)
{
    struct pc_instant until = pc_instant_add_ms(net->now, ms);
    net_settle(net);
    for (;;) {
        struct pc_instant next = PC_INSTANT_NEVER;
        for (pc_node_id id = 1; id <= net->n; id++) {
            if (net_is_up(net, id)) {
                next = pc_instant_min(next, pc_raft_wake_at(net->nodes[id].raft));
            }
        }
        if (next.us > until.us) {
            break;
        }
        net->now.us = next.us > net->now.us ? next.us : net->now.us;
        for (pc_node_id id = 1; id <= net->n; id++) {
            if (net_is_up(net, id) &&
                pc_instant_is_due(pc_raft_wake_at(net->nodes[id].raft), net->now)) {
                net_wake(net, id);
            }
        }
        net_settle(net);
    }
    net->now = until;
}

/* Moves time to this node's own deadline and wakes it alone. */
static inline void net_time_out(struct net *net, pc_node_id id)
{
    struct pc_instant at = pc_raft_wake_at(net->nodes[id].raft);
    net->now.us = at.us > net->now.us ? at.us : net->now.us;
    net_wake(net, id);
}

static inline pc_node_id net_leader(const struct net *net)
{
    pc_node_id leader = 0;
    pc_term term = 0;
    for (pc_node_id id = 1; id <= net->n; id++) {
        if (!net_is_up(net, id)) {
            continue;
        }
        struct pc_raft_status status = net_status(net, id);
        if (status.role == PC_RAFT_LEADER && status.term > term) {
            leader = id;
            term = status.term;
        }
    }
    return leader;
}

/* This node campaigns, and everything settles. */
static inline void net_elect(struct net *net, pc_node_id id)
{
    net_sleep(net, net->opts.election_min_ms); /* nobody's leader is fresh any more */
    net_time_out(net, id);
    net_settle(net);
    assert_int_equal(net_status(net, id).role, PC_RAFT_LEADER);
}

/* A message of this type to `to`, to be filled in. */
static inline struct pc_raft_msg net_msg(
    enum pc_raft_msg_type type, pc_node_id from, pc_node_id to, pc_term term)
{
    return (struct pc_raft_msg){.type = type, .from = from, .to = to, .term = term};
}

/* Every node that is up has the same log, committed to its end. */
static inline void net_assert_converged(const struct net *net)
{
    pc_node_id leader = net_leader(net);
    assert_int_not_equal(leader, 0);
    struct pc_raft_status want = net_status(net, leader);
    assert_int_equal(want.commit, want.last);
    for (pc_node_id id = 1; id <= net->n; id++) {
        if (net_is_up(net, id)) {
            struct pc_raft_status status = net_status(net, id);
            assert_int_equal(status.last, want.last);
            assert_int_equal(status.commit, want.commit);
        }
    }
}

#endif
