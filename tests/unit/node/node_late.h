/* node_late.h: a net of nodes of which the last one is far behind, and what is seen of it. */
#ifndef PC_TEST_NODE_LATE_H
#define PC_TEST_NODE_LATE_H

#include "unit/node/node_net.h"

#define AHEAD 20   /* opts.catchup_entries */
#define OPEN_MAX 3 /* questions that a peer has open at a time */

/* What went over the network while it ran. */
struct seen {
    size_t asked[NET_NODES_MAX + 1]; /* FETCHes to this node */
    size_t given[NET_NODES_MAX + 1]; /* entries in its ENTRIES */
    size_t sent;                     /* entries in APPENDs to the one that lags */
    size_t open_max;                 /* questions open at one peer at a time */
    pc_index acked;                  /* by the one that lags */
};

static void (*meddle)(struct net *net, struct pc_msg *msg); /* with what is delivered */
static size_t disk_hangs;                                   /* of this node; 0 = of none */

static inline void look(struct net *net, size_t late, struct seen *seen, struct pc_msg *msg)
{
    size_t from = net_at(msg->from), to = net_at(msg->to);
    seen->asked[to] += msg->type == PC_MSG_FETCH && from == late ? 1 : 0;
    seen->given[from] += msg->type == PC_MSG_ENTRIES && to == late ? msg->fetch.v.n : 0;
    if (msg->type == PC_MSG_RAFT && to == late) {
        seen->sent += msg->raft.entries.n;
    }
    bool acks = msg->type == PC_MSG_RAFT && from == late &&
                msg->raft.type == PC_RAFT_MSG_APPEND_RESP && msg->raft.u.append_resp.accepted;
    if (acks && msg->raft.u.append_resp.match > seen->acked) {
        seen->acked = msg->raft.u.append_resp.match;
    }
    if (meddle != NULL) {
        meddle(net, msg);
    }
}

static inline size_t open_at(const struct net *net, size_t late, size_t peer)
{
    return net_count(net, PC_MSG_FETCH, late, peer) + net_count(net, PC_MSG_ENTRIES, peer, late) +
           net->nodes[peer].loads_n;
}

static inline bool settle_once(struct net *net, size_t late, struct seen *seen)
{
    bool busy = net->msgs_n > 0;
    for (size_t i = 1; i <= net->n; i++) {
        size_t open = i != late ? open_at(net, late, i) : 0;
        seen->open_max = open > seen->open_max ? open : seen->open_max;
    }
    for (size_t left = net->msgs_n; left > 0 && net->msgs_n > 0; left--) {
        struct pc_msg msg = net_take(net, 0);
        look(net, late, seen, &msg);
        net_recv(net, net_at(msg.to), &msg);
        pc_msg_clear(&msg);
    }
    for (size_t i = 1; i <= net->n; i++) {
        struct net_node *node = &net->nodes[i];
        busy = (node->node != NULL && i != disk_hangs && net_sync(net, i)) || busy;
        if (node->node != NULL && node->loads_n > 0 && !node->holds_loads) {
            net_load_answer(net, i, PC_APPEND_ENTRIES_MAX);
            busy = true;
        }
    }
    return busy;
}

static inline void settle(struct net *net, size_t late, struct seen *seen)
{
    for (size_t rounds = 0; settle_once(net, late, seen); rounds++) {
        assert_true(rounds < 1000); /* questions without end */
    }
}

static inline void run(struct net *net, size_t late, struct seen *seen, pc_ms ms)
{
    struct pc_instant until = pc_instant_add_ms(net->now, ms);
    while (net->now.us < until.us) {
        settle(net, late, seen);
        net->now = pc_instant_add_ms(net->now, 5);
        net_wake_due(net);
    }
    settle(net, late, seen);
}

/* So large that a range holds about a hundred. */
#define VALUE_BYTES 2000

static inline void write_some(struct net *net, size_t count, size_t bytes)
{
    char value[VALUE_BYTES + 1];
    memset(value, 'v', bytes);
    value[bytes] = '\0';
    for (size_t i = 0; i < count; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "k%zu", i);
        net_set(net, 1, i + 1, key, value);
        net_settle(net);
        net_assert_reply(net, 1, i + 1, PC_REPLY_OK);
        net->nodes[1].replies_n = 0;
    }
}

/* Starts all of them anew, with so much of the log in memory: all of it is checked at every step.
 */
static inline void keep_little(struct net *net)
{
    for (size_t i = 1; i <= net->n; i++) {
        net_crash(net, i);
        net->nodes[i].opts.raft.tail_bytes_max = 10 * VALUE_BYTES;
        net->nodes[i].opts.catchup_entries = AHEAD;
        net_start(net, i);
    }
    for (size_t i = 1; i <= net->n; i++) {
        net_connect_all(net, i);
    }
    net_run(net, 3000);
    net_make_leader(net, 1);
    net_run(net, 200);
}

static inline struct net *late_after(struct net *net, size_t count, size_t bytes)
{
    meddle = NULL;
    disk_hangs = 0;
    net_crash(net, net->n);
    net->nodes[net->n].opts.catchup_entries = AHEAD;
    write_some(net, count, bytes);
    net_run(net, 200);
    net_start(net, net->n);
    return net;
}

/* n nodes, 1 leads; the last one was down while `count` entries were written, and runs again
 * without any connection. */
static inline struct net *net_with_late(size_t n, size_t count)
{
    struct net *net = net_new_formed(n);
    keep_little(net);
    return late_after(net, count, VALUE_BYTES);
}

/* To the peers first: a leader that is met before anybody else sends at once. */
static inline void connect(struct net *net, size_t late)
{
    for (size_t i = late - 1; i >= 1; i--) {
        if (net->nodes[i].node != NULL && !net->up[late][i]) {
            net_connect(net, late, i);
        }
    }
}

static inline pc_index last_of(const struct net *net, size_t i)
{
    return net_status(net, i).raft.last;
}

static inline void assert_caught_up(struct net *net, size_t late)
{
    assert_int_equal(net_status(net, late).applied, net_status(net, 1).applied);
    assert_true(net_status(net, late).ready);
    for (size_t k = 0; k < net->nodes[late].disk.n; k++) {
        assert_true(
            pc_hash_equal(&net->nodes[late].disk.v[k].chain, &net->nodes[1].disk.v[k].chain));
    }
}

#endif
