/* Two to five raft machines that keep to the rules, on a network and on disks that do what the
 * input says: which message is delivered, lost or doubled, whose disk syncs, who loses power, who
 * is slow. The swarm of tests/sim draws such histories at random; here they are bred for coverage.
 *
 * The checks after each step are those of unit/raft/raft_nodes.h (B.1, B.3 to B.5, B.8, B.9). At
 * the end all is healed and the cluster must agree (B.50). */
#define NET_INDEX_MAX 8192
#include "unit/raft/raft_net.h"

#include "fuzz/kit/fuzz.h"

#define OPS_MAX 200
#define BUSY_MSGS_MAX 2000

static pc_node_id pick(const struct net *net, uint8_t what)
{
    return 1 + what % net->n;
}

static void deliver(struct net *net, const struct fuzz_op *op)
{
    if (net->msgs_n == 0) {
        return;
    }
    size_t k = op->a % net->msgs_n;
    /* A peer that is down, or the wire, may have held it: the newest first is as good. */
    net_deliver_at(net, (op->b & 1) != 0 ? net->msgs_n - 1 - k : k);
}

/* Connections lose and repeat nothing in themselves, but they end and begin anew. */
static void deliver_twice(struct net *net, const struct fuzz_op *op)
{
    if (net->msgs_n == 0 || net->msgs_n >= BUSY_MSGS_MAX) {
        return;
    }
    const struct pc_raft_msg *m = &net->msgs[op->a % net->msgs_n];
    struct pc_raft_msg copy = *m;
    copy.entries = (struct pc_entries){0};
    for (size_t i = 0; i < m->entries.n; i++) {
        pc_entries_push(&copy.entries, &m->entries.v[i]);
    }
    if (net_is_up(net, copy.to) && !net->cut[copy.from][copy.to]) {
        net_recv(net, &copy);
    }
    pc_raft_msg_clear(&copy);
}

static void drop(struct net *net, const struct fuzz_op *op)
{
    if (net->msgs_n > 0) {
        struct pc_raft_msg m = net_take(net, op->a % net->msgs_n);
        pc_raft_msg_clear(&m);
    }
}

static void deliver_all(struct net *net)
{
    for (size_t left = net->msgs_n; left > 0; left--) {
        net_deliver_at(net, 0);
    }
}

static void disk_op(struct net *net, const struct fuzz_op *op)
{
    pc_node_id id = pick(net, op->a);
    struct net_node *node = &net->nodes[id];
    if (!net_is_up(net, id) || node->queue_n == 0) {
        return;
    }
    if ((op->b & 7) == 7) {
        net_sync_votes(net, id);
    } else {
        net_sync_some(net, id, 1 + op->c % node->queue_n);
    }
}

static void power_op(struct net *net, const struct fuzz_op *op)
{
    pc_node_id id = pick(net, op->a);
    if (!net_is_up(net, id)) {
        net->nodes[id].wall_ms = op->d % 100000;
        net_start(net, id);
        return;
    }
    /* What was queued first may have reached the disk without anybody being told. */
    struct net_node *node = &net->nodes[id];
    for (size_t kept = op->b % (node->queue_n + 1); kept > 0; kept--) {
        net_disk_write(node, &node->queue[0]);
        net_drop_writes(node, 0, 1);
    }
    net_crash(net, id);
}

static void client_op(struct net *net, const struct fuzz_op *op)
{
    pc_node_id id = pick(net, op->a);
    if (!net_is_up(net, id)) {
        return;
    }
    static const char *const texts[] = {"a", "b", "c", "d"};
    struct net_node *node = &net->nodes[id];
    switch (op->b % 4) {
    case 0:
        if (node->reads_n < NET_READS_MAX / 2) {
            net_read(net, id, 1 + op->d % 1000);
        }
        break;
    case 1:
        net_transfer(net, id, op->c % (net->n + 1));
        break;
    default:
        for (unsigned i = 0; i <= op->c % 4 && pc_raft_can_propose(node->raft); i++) {
            net_propose(net, id, texts[op->d % 4]);
        }
        break;
    }
}

static void time_op(struct net *net, const struct fuzz_op *op)
{
    pc_node_id id = pick(net, op->a);
    if ((op->b & 1) != 0) {
        net_sleep(net, op->d % 1500);
    }
    if (net_is_up(net, id) && pc_raft_wake_at(net->nodes[id].raft).us != UINT64_MAX) {
        net_time_out(net, id);
    }
}

static void run_op(struct net *net, const struct fuzz_op *op)
{
    pc_node_id id = pick(net, op->a);
    switch (op->code % 12) {
    case 0:
    case 1:
        deliver(net, op);
        break;
    case 2:
        deliver_all(net);
        break;
    case 3:
        drop(net, op);
        break;
    case 4:
        deliver_twice(net, op);
        break;
    case 5:
        disk_op(net, op);
        break;
    case 6:
        power_op(net, op);
        break;
    case 7:
        client_op(net, op);
        break;
    case 8:
        time_op(net, op);
        break;
    case 9:
        net->cut[id][pick(net, op->b)] = (op->c & 1) != 0;
        break;
    case 10:
        if (net_is_up(net, id)) {
            net_leader_lost(net, id, pick(net, op->b));
        }
        break;
    default:
        if (net_is_up(net, id) && net->nodes[id].loads_n > 0) {
            net_load_answer(net, id, op->c % 5);
        }
        break;
    }
    for (pc_node_id each = 1; each <= net->n; each++) {
        net->nodes[each].reads_n = 0;
        net->nodes[each].loads_n = net->nodes[each].loads_n < 32 ? net->nodes[each].loads_n : 0;
    }
}

/* Everybody up, every wire whole: one leader, one log. */
static void heal(struct net *net)
{
    memset(net->cut, 0, sizeof net->cut);
    for (pc_node_id id = 1; id <= net->n; id++) {
        if (!net_is_up(net, id)) {
            net_start(net, id);
        }
        net->nodes[id].loads_n = 0;
    }
    for (int i = 0; i < 20; i++) {
        net_run(net, 1000);
        for (pc_node_id id = 1; id <= net->n; id++) {
            net->nodes[id].reads_n = 0;
        }
        if (net_leader(net) != 0) {
            struct pc_raft_status status = net_status(net, net_leader(net));
            if (status.leader_ready && status.commit == status.last) {
                break;
            }
        }
    }
    net_run(net, 1000);
    FUZZ_CHECK("B.50", net_leader(net) != 0);
    net_assert_converged(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct fuzz_op op;
    if (!fuzz_next(&in, &op)) {
        return 0;
    }
    struct net *net = net_new(2 + op.code % 4);
    for (pc_node_id id = 1; id <= net->n; id++) {
        net_crash(net, id); /* to start with other options */
    }
    net->opts.tail_bytes_max = (op.a & 1) != 0 ? 0 : 4096;
    net->load_max = 1 + op.b % 50;
    for (pc_node_id id = 1; id <= net->n; id++) {
        net_start(net, id);
    }
    for (int i = 0; i < OPS_MAX && net->msgs_n < BUSY_MSGS_MAX && fuzz_next(&in, &op); i++) {
        run_op(net, &op);
    }
    heal(net);
    net_delete(net);
    return 0;
}
