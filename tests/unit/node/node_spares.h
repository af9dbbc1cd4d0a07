/* node_spares.h: whole nodes of a cluster whose settings name spares. */
#ifndef NODE_SPARES_H
#define NODE_SPARES_H

#include "unit/node/node_members.h"

/* All n nodes start anew, empty, and with what `set` makes of their settings. */
static inline struct net *net_new_set(size_t n, void (*set)(struct pc_node_opts *opts))
{
    struct net *net = net_new(n);
    for (size_t i = 1; i <= n; i++) {
        net_crash(net, i);
        set(&net->nodes[i].opts);
        net_start(net, i);
    }
    for (size_t i = 1; i <= n; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    net_make_leader(net, 1);
    net_run(net, 200);
    return net;
}

/* Node `i`, empty, as the spare that the settings of `like` name. */
static inline void net_start_spare(struct net *net, size_t i, size_t like)
{
    const struct pc_node_opts *opts = &net->nodes[like].opts;
    net_start_joining(net, i);
    net_crash(net, i);
    memcpy(net->nodes[i].opts.spares, opts->spares, sizeof opts->spares);
    net->nodes[i].opts.spares_n = opts->spares_n;
    net->nodes[i].opts.auto_shrink = opts->auto_shrink;
    net_start(net, i);
}

static inline void net_assert_role(struct net *net, size_t i, const char *role)
{
    struct pc_node_status status = net_status(net, i);
    assert_string_equal(status.role, role);
}

/* What node i's config, committed, says of the votes: "1 2 4" = nodes 1, 2 and 4 vote. */
static inline const char *net_votes(struct net *net, size_t i)
{
    static char text[64];
    const struct pc_raft_config *config =
        pc_raft_config_committed(pc_node_raft(net->nodes[i].node));
    bool votes[NET_NODES_MAX + 1] = {0};
    for (size_t k = 0; k < config->voters_n; k++) {
        votes[net_at(config->voters[k])] = true;
    }
    size_t used = 0;
    text[0] = '\0';
    for (size_t k = 1; k <= NET_NODES_MAX; k++) {
        if (votes[k]) {
            used +=
                (size_t)snprintf(text + used, sizeof text - used, "%s%zu", used > 0 ? " " : "", k);
        }
    }
    return text;
}

/* Until node i's committed config is that these vote. */
static inline void net_live_until_votes(struct net *net, size_t i, const char *votes)
{
    for (size_t k = 0; k < 300 && strcmp(net_votes(net, i), votes) != 0; k++) {
        net_live(net, 100);
    }
    assert_string_equal(net_votes(net, i), votes);
}

/* Node i loses its power: nothing comes from it any more, and no connection says so. */
static inline void net_silence(struct net *net, size_t i, bool is_silent)
{
    for (size_t k = 1; k <= net->n; k++) {
        net->cut[i][k] = net->cut[k][i] = is_silent && k != i;
    }
}

/* ... until its peers find out. */
static inline void net_disconnect_all(struct net *net, size_t i)
{
    for (size_t k = 1; k <= net->n; k++) {
        if (net->up[i < k ? i : k][i < k ? k : i]) {
            net_disconnect(net, i < k ? i : k, i < k ? k : i);
        }
    }
}

static inline size_t net_live_until_leader(struct net *net)
{
    for (size_t k = 0; k < 100; k++) {
        size_t leader = net_leader(net);
        if (leader != 0 && net_status(net, leader).raft.leader_ready) {
            return leader;
        }
        net_live(net, 100);
    }
    fail_msg("nobody leads");
    return 0;
}

/* The value that was written is read through node i. */
static inline void net_assert_reads(
    struct net *net, size_t i, uint64_t tag, const char *key, const char *value)
{
    net->nodes[i].replies_n = 0;
    net_get(net, i, tag, key, PC_CONSISTENCY_LINEARIZABLE);
    net_live(net, 1000);
    net_assert_reply(net, i, tag, PC_REPLY_OK);
    assert_string_equal(net_reply(net, i, tag)->value, value);
}

#endif
