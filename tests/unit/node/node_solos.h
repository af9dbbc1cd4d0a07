/* node_solos.h: nodes that are left alone, and the file of their branches: what a node asks for
 * stands in node.branches until the test answers. */
#ifndef NODE_SOLOS_H
#define NODE_SOLOS_H

#include "node/node_int.h"
#include "unit/node/node_net.h"

#define SOLO_AFTER_MS 6000

/* A formed cluster with branches switched on; a = one at all, node 1 leads. */
static inline struct net *solo_net(size_t n)
{
    struct net *net = net_new(n);
    for (size_t i = 1; i <= n; i++) {
        net_crash(net, i);
        net->nodes[i].opts.solo = true;
        net->nodes[i].opts.solo_after_ms = SOLO_AFTER_MS;
        net->nodes[i].opts.branch_seed[0] = (uint8_t)i;
        net_start(net, i);
    }
    for (size_t i = 1; i <= n; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    net_make_leader(net, 1);
    net_set(net, 1, 1, "a", "one");
    net_run(net, 300);
    net_assert_reply(net, 1, 1, PC_REPLY_OK);
    return net;
}

static inline void solo_isolate(struct net *net, size_t i)
{
    for (size_t k = 1; k <= net->n; k++) {
        if (k != i) {
            net_disconnect(net, i, k);
        }
    }
}

/* The last thing asked of the branch's file; NULL = nothing. */
static inline const struct pc_node_branch *solo_last(const struct net *net, size_t i)
{
    const struct net_node *node = &net->nodes[i];
    return node->branches_n > 0 ? &node->branches[node->branches_n - 1] : NULL;
}

static inline void solo_assert_last(
    const struct net *net, size_t i, size_t count, enum pc_node_branch_type type)
{
    assert_int_equal(net->nodes[i].branches_n, count);
    assert_int_equal(solo_last(net, i)->type, type);
}

static inline void solo_tell(
    struct net *net, size_t i, enum pc_node_branch_event_type type, uint64_t number)
{
    struct pc_node_event event = {.type = PC_NODE_BRANCH};
    event.u.branch = (struct pc_node_branch_event){.type = type, .number = number};
    net_do(net, i, &event);
}

static inline void solo_fail(struct net *net, size_t i, pc_err err)
{
    struct pc_node_event event = {.type = PC_NODE_BRANCH};
    event.u.branch = (struct pc_node_branch_event){.type = PC_NODE_BRANCH_FAILED, .err = err};
    net_do(net, i, &event);
}

static inline const char *solo_state(const struct net *net, size_t i)
{
    return net_status(net, i).solo.state;
}

/* Node i is left alone and opens a branch. */
static inline void solo_open(struct net *net, size_t i)
{
    solo_isolate(net, i);
    for (size_t tries = 0; net->nodes[i].branches_n == 0; tries++) {
        assert_true(tries < 100);
        net_run(net, 200);
    }
    solo_assert_last(net, i, 1, PC_NODE_BRANCH_BEGIN);
    solo_tell(net, i, PC_NODE_BRANCH_BEGUN, 0);
    assert_string_equal(solo_state(net, i), "open");
}

/* Of what record `number` of node i's first branch has changed. */
static inline pc_index solo_version(const struct net *net, size_t i, uint64_t number)
{
    return node_overlay_version(net->nodes[i].branches[0].id, number);
}

/* An answer of the branch that is open, or is not. */
static inline void solo_assert_reply(
    const struct net *net, size_t i, uint64_t tag, enum pc_reply_status status, bool is_of_branch)
{
    const struct net_reply *reply = net_reply(net, i, tag);
    net_assert_reply(net, i, tag, status);
    assert_int_equal(reply->reply.has_branch, is_of_branch);
    if (is_of_branch) {
        assert_memory_equal(reply->reply.branch, net->nodes[i].branches[0].id, 16);
    }
}

static inline void solo_assert_value(
    struct net *net, size_t i, uint64_t tag, const char *key, const char *value, bool is_of_branch)
{
    net_get(net, i, tag, key, PC_CONSISTENCY_LOCAL);
    solo_assert_reply(net, i, tag, value != NULL ? PC_REPLY_OK : PC_REPLY_NOT_FOUND, is_of_branch);
    if (value != NULL) {
        assert_string_equal(net_reply(net, i, tag)->value, value);
    }
}

static inline void solo_write(struct net *net, size_t i, uint64_t tag, struct pc_command command)
{
    struct pc_request request = {.tag = tag, .type = PC_REQUEST_WRITE, .command = command};
    net_request(net, i, &request);
}

#endif
