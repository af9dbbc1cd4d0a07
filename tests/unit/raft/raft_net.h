/* raft_net.h: two to five raft machines with a network that delivers when told to, and a clock that
 * moves when told to. */
#ifndef RAFT_NET_H
#define RAFT_NET_H

#include "unit/raft/raft_nodes.h"

/* ---- life and death */

static inline size_t net_term_runs(const struct net_node *node, struct pc_term_run *runs)
{
    size_t n = 0;
    if (node->floor.index > 0) {
        runs[n++] = (struct pc_term_run){.first = node->floor.index, .term = node->floor.term};
    }
    for (size_t i = 0; i < node->disk.n; i++) {
        const struct pc_entry *entry = &node->disk.v[i];
        if (n == 0 || runs[n - 1].term != entry->term) {
            runs[n++] = (struct pc_term_run){.first = entry->index, .term = entry->term};
        }
    }
    return n;
}

/* The newest config at or below commit. */
static inline struct pc_raft_config net_config_found(
    const struct net *net, const struct net_node *node, pc_index commit)
{
    struct pc_raft_config config = node->floor_config;
    if (net->opts.config_of == NULL) { /* all nodes vote, for ever */
        config = (struct pc_raft_config){.index = 1, .voters_n = net->n};
        for (size_t i = 0; i < net->n; i++) {
            config.voters[i] = i + 1;
        }
    }
    for (size_t i = 0; i < node->disk.n && net->opts.config_of != NULL; i++) {
        const struct pc_entry *entry = &node->disk.v[i];
        if (entry->kind == PC_ENTRY_CONFIG && entry->index <= commit) {
            config = (struct pc_raft_config){.index = entry->index};
            assert_true(net_config_of(pc_blob_slice(entry->body), &config));
        }
    }
    return config;
}

/* Starts a node from its disk. */
static inline void net_start(struct net *net, pc_node_id id)
{
    struct net_node *node = &net->nodes[id];
    PC_ASSERT(node->raft == NULL);
    pc_index last = net_disk_last(node);
    pc_index commit = node->commit < last ? node->commit : last;
    commit = commit > node->floor.index ? commit : node->floor.index;
    struct pc_term_run runs[NET_TERM_MAX];
    struct pc_raft_restored restored = {
        .term = node->term,
        .vote = node->vote,
        .doubt = node->doubt,
        .last = last,
        .first = node->floor.index + 1,
        .commit = commit,
        .wall_ms = node->wall_ms,
        .terms = runs,
        .terms_n = net_term_runs(node, runs),
        .config = net_config_found(net, node, commit),
    };
    struct pc_raft_base base = node->floor;
    if (commit > node->floor.index) {
        base = pc_raft_base_of(net_disk_at(node, commit));
    }
    restored.base = commit > 0 ? &base : NULL;
    restored.tail_n = last - commit;
    restored.tail = restored.tail_n > 0 ? net_disk_at(node, commit + 1) : NULL;
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

/* As many nodes as `config` names, just formed; those behind it start with an empty disk. */
static inline struct net *net_new_members(const char *config, size_t n)
{
    struct net *net = pc_xalloc(sizeof *net);
    struct pc_raft_config members = {0};
    assert_true(net_config_of(pc_slice_str(config), &members));
    net_create_empty(net, n);
    net->opts.config_of = net_config_of;
    for (pc_node_id id = 1; id <= n; id++) {
        pc_entries_clear(&net->nodes[id].disk);
        if (id <= members.voters_n + members.learners_n) {
            net_disk_add(net, id, 1, config);
        } else {
            net->nodes[id].term = 0;
        }
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

/* ---- snapshots and entries from peers */

/* Invited: a node with an empty disk takes what a leader sends. */
static inline void net_join(struct net *net, pc_node_id id)
{
    struct pc_raft_event event = {.type = PC_RAFT_JOIN};
    net_do(net, id, &event);
}

/* A snapshot of `upto` is durable, and the entries up to it go from the disk. */
static inline void net_compact(struct net *net, pc_node_id id, pc_index upto)
{
    struct net_node *node = &net->nodes[id];
    node->floor_config = net_config_found(net, node, upto);
    struct pc_raft_base floor = pc_raft_base_of(net_disk_at(node, upto));
    struct pc_entries kept = {0};
    for (pc_index i = upto + 1; i <= net_disk_last(node); i++) {
        pc_entries_push(&kept, net_disk_at(node, i));
    }
    pc_entries_clear(&node->disk);
    node->disk = kept;
    node->floor = floor;
    struct pc_raft_event event = {.type = PC_RAFT_COMPACTED};
    event.u.compacted_first = upto + 1;
    net_do(net, id, &event);
}

/* The snapshot of `from` is durable at `id`, and taken over there. */
static inline void net_install(struct net *net, pc_node_id id, pc_node_id from)
{
    struct net_node *node = &net->nodes[id];
    const struct net_node *giver = &net->nodes[from];
    struct pc_raft_install install = {.base = giver->floor, .config = &giver->floor_config};
    struct pc_raft_event event = {.type = PC_RAFT_INSTALL};
    event.u.install = &install;
    const struct pc_entry *mine = pc_raft_entry(node->raft, install.base.index);
    bool stays = mine != NULL && pc_hash_equal(&mine->chain, &install.base.chain);
    if (!stays) { /* a start from here on finds a log that does not reach the snapshot: it is void
                   */
        node->floor = giver->floor;
        node->floor_config = giver->floor_config;
        pc_entries_clear(&node->disk);
        net_drop_entries(node);
    }
    net_do(net, id, &event);
}

/* Entries first..last of one disk are offered to another node. */
static inline void net_offer(
    struct net *net, pc_node_id id, pc_node_id from, pc_index first, pc_index last)
{
    struct pc_entries entries = {0};
    for (pc_index i = first; i <= last; i++) {
        pc_entries_push(&entries, net_disk_at(&net->nodes[from], i));
    }
    struct pc_raft_event event = {.type = PC_RAFT_OFFER};
    event.u.offer = &entries;
    net_do(net, id, &event);
    pc_entries_clear(&entries);
}

static inline void net_fetching(struct net *net, pc_node_id id, pc_index until)
{
    struct pc_raft_event event = {.type = PC_RAFT_FETCHING};
    event.u.fetching_until = until;
    net_do(net, id, &event);
}

#endif
