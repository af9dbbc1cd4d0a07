/* node_members.h: whole nodes that come into a cluster and leave it. */
#ifndef NODE_MEMBERS_H
#define NODE_MEMBERS_H

#include "unit/node/node_net.h"

/* Node i comes with an empty disk, and knows of no cluster. */
static inline void net_start_joining(struct net *net, size_t i)
{
    struct pc_node_opts *opts = &net->nodes[i].opts;
    pc_node_opts_default(opts);
    opts->id = 100 + i;
    opts->history_seed[0] = (uint8_t)i;
    opts->store_seed[0] = (uint8_t)i;
    (void)snprintf(opts->name, sizeof opts->name, "node%zu", i);
    net->nodes[i].wall_ms = 1000 * 1000;
    net->n = i > net->n ? i : net->n;
    net_start(net, i);
}

/* Its disk is gone, and with it its identity. */
static inline void net_wipe(struct net *net, size_t i)
{
    struct net_node *node = &net->nodes[i];
    pc_entries_clear(&node->disk);
    node->term = 0;
    node->vote = 0;
    node->commit = 0;
    node->has_history = false;
    node->opts.id += 100;
}

static inline void net_connect_all_that_may(struct net *net)
{
    for (size_t a = 1; a <= net->n; a++) {
        for (size_t b = a + 1; b <= net->n; b++) {
            struct pc_error error = {0};
            if (net->nodes[a].node != NULL && net->nodes[b].node != NULL && !net->up[a][b] &&
                !net->cut[a][b] && !net->cut[b][a]) {
                (void)net_try_connect(net, a, b, &error);
            }
        }
    }
}

/* Time passes, and whoever is not connected tries again. */
static inline void net_live(struct net *net, pc_ms ms)
{
    for (pc_ms done = 0; done < ms; done += 100) {
        net_connect_all_that_may(net);
        net_run(net, 100);
    }
}

static inline void net_change(struct net *net, size_t i, uint64_t tag, enum pc_member_op op,
    const char *name, enum pc_member_want want)
{
    struct pc_request request = {.tag = tag, .type = PC_REQUEST_MEMBER};
    request.member.op = op;
    request.member.want = want;
    (void)snprintf(request.member.name, sizeof request.member.name, "%s", name);
    net_request(net, i, &request);
}

/* The change is made; whoever should be asked is asked by node i. */
static inline void net_change_ok(
    struct net *net, size_t i, uint64_t tag, enum pc_member_op op, const char *name)
{
    net_change(net, i, tag, op, name, PC_WANT_VOTER);
    for (size_t k = 0; k < 60 && net_reply(net, i, tag) == NULL; k++) {
        net_live(net, 100);
    }
    const struct net_reply *reply = net_reply(net, i, tag);
    assert_non_null(reply);
    PC_ASSERT(reply != NULL);
    if (reply->reply.status != PC_REPLY_OK) {
        fail_msg("%s: status %d \"%s\"", name, reply->reply.status, reply->reply.text);
    }
}

static inline void net_change_refused(struct net *net, size_t i, uint64_t tag, enum pc_member_op op,
    const char *name, const char *why)
{
    net_change(net, i, tag, op, name, PC_WANT_VOTER);
    for (size_t k = 0; k < 60 && net_reply(net, i, tag) == NULL; k++) {
        net_live(net, 100);
    }
    const struct net_reply *reply = net_reply(net, i, tag);
    assert_non_null(reply);
    PC_ASSERT(reply != NULL);
    assert_int_equal(reply->reply.status, PC_REPLY_REFUSED);
    if (strstr(reply->reply.text, why) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", why, reply->reply.text);
    }
}

/* What node i sees of this identity; id 0: not a member. */
static inline struct pc_node_member net_member(struct net *net, size_t i, pc_node_id id)
{
    struct pc_node_member members[16];
    size_t n = pc_node_members(net->nodes[i].node, net->now, members, 16);
    for (size_t k = 0; k < n; k++) {
        if (members[k].is_member && members[k].id == id) {
            return members[k];
        }
    }
    return (struct pc_node_member){0};
}

static inline size_t net_voters(struct net *net, size_t i)
{
    return pc_raft_config_get(pc_node_raft(net->nodes[i].node))->voters_n;
}

/* Until node i's config is this: that many voters, that many others with an id. */
static inline void net_live_until(struct net *net, size_t i, size_t voters_n, size_t learners_n)
{
    for (size_t k = 0; k < 200; k++) {
        const struct pc_raft_config *config =
            pc_raft_config_committed(pc_node_raft(net->nodes[i].node));
        if (config->voters_n == voters_n && config->learners_n == learners_n) {
            return;
        }
        net_live(net, 100);
    }
    fail_msg("%zu voters", net_voters(net, i));
}

/* A write through node i takes effect, and everybody who is up reads it in time. */
static inline void net_assert_works(struct net *net, size_t i, uint64_t tag)
{
    char value[16];
    (void)snprintf(value, sizeof value, "v%u", (unsigned)tag);
    net->nodes[i].replies_n = 0;
    net_set(net, i, tag, "key", value);
    net_live(net, 1000);
    net_assert_reply(net, i, tag, PC_REPLY_OK);
}

#endif
