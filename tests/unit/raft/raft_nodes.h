/* raft_nodes.h: raft machines, each with a disk that syncs when told to, and the checks that follow
 * every step. Node ids are 1..n. Tests include raft_net.h, which adds the network and time.
 *
 *     step -> effects -> msgs[]          until net_deliver* takes them, or they are lost
 *                     -> node.queue[]    until net_sync makes them the disk's, or net_crash them
 * lost
 *                     -> node.reads[], node.loads[]
 *
 * After every step: pc_raft_check, at most one leader per term, equal committed entries everywhere,
 * and no message that promises what the sender's disk does not have. */
#ifndef RAFT_NODES_H
#define RAFT_NODES_H

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/prng.h"
#include "pcache/raft.h"
#include "support/test.h"

#define NET_NODES_MAX 5
#define NET_MSGS_MAX 4096
#ifndef NET_INDEX_MAX
#define NET_INDEX_MAX 4096
#endif
#define NET_TERM_MAX 256
#define NET_READS_MAX 64

struct net_node {
    struct pc_raft *raft; /* NULL = down */
    /* what would survive a crash */
    pc_term term;
    pc_node_id vote;
    pc_term doubt;
    pc_index commit;
    struct pc_entries disk; /* behind `floor`, of which there is a snapshot; index 0 = none */
    struct pc_raft_base floor;
    struct pc_raft_config floor_config;
    /* handed out, not durable */
    struct pc_raft_write *queue;
    size_t queue_n, queue_cap;
    struct pc_raft_read_done reads[NET_READS_MAX];
    size_t reads_n;
    struct pc_raft_load loads[NET_READS_MAX];
    size_t loads_n;
    struct pc_raft_snapshot_need need; /* the last one, and how many there were */
    size_t needs_n;
    pc_ms wall_ms;   /* of the next start */
    bool holds_disk; /* net_run does not sync it */
    bool applies_nothing;
};

struct net {
    size_t n;
    struct net_node nodes[NET_NODES_MAX + 1]; /* by id */
    struct pc_raft_opts opts;
    struct pc_instant now;
    uint64_t starts;      /* makes the seeds differ */
    size_t load_max;      /* entries that net_settle answers a load with */
    unsigned check_every; /* pc_raft_check reads all entries in memory: large logs check less often;
                             0 = after every step */
    unsigned steps;
    struct pc_raft_msg msgs[NET_MSGS_MAX];
    size_t msgs_n;
    bool cut[NET_NODES_MAX + 1][NET_NODES_MAX + 1]; /* from, to: what is sent is lost */
    pc_node_id leader_of[NET_TERM_MAX];
    struct pc_hash committed[NET_INDEX_MAX];
    bool committed_known[NET_INDEX_MAX];
    /* Sees the effects of each step before they are carried out. */
    void (*watch)(struct net *net, pc_node_id id, const struct pc_raft_effects *fx);
    void *watch_context;
};

static inline struct pc_raft_status net_status(const struct net *net, pc_node_id id)
{
    struct pc_raft_status status;
    pc_raft_status(net->nodes[id].raft, &status);
    return status;
}

static inline bool net_is_up(const struct net *net, pc_node_id id)
{
    return net->nodes[id].raft != NULL;
}

static inline pc_index net_disk_last(const struct net_node *node)
{
    return node->floor.index + node->disk.n;
}

/* The entry `index` on this disk, which has it. */
static inline const struct pc_entry *net_disk_at(const struct net_node *node, pc_index index)
{
    assert_true(index > node->floor.index && index <= net_disk_last(node));
    return &node->disk.v[index - node->floor.index - 1];
}

/* ---- configs as text: "v123 l4" has the voters 1, 2, 3 and the learner 4 */

static inline bool net_config_of(struct pc_slice body, struct pc_raft_config *out)
{
    bool learners = false;
    for (size_t i = 0; i < body.len; i++) {
        char c = (char)body.data[i];
        learners |= c == 'l';
        if (c >= '1' && c <= '9' && !learners) {
            out->voters[out->voters_n++] = (pc_node_id)(c - '0');
        } else if (c >= '1' && c <= '9') {
            out->learners[out->learners_n++] = (pc_node_id)(c - '0');
        } else if (c != 'v' && c != 'l' && c != ' ') {
            return false;
        }
    }
    return true;
}

/* ---- making entries */

static inline struct pc_blob *net_blob(const char *text)
{
    struct pc_blob *blob = NULL;
    assert_ok(pc_blob_new(pc_slice_str(text), &blob));
    return blob;
}

/* An entry after `prev` (NULL: the first); the caller owns it. */
static inline struct pc_entry net_entry(
    const struct pc_entry *prev, pc_term term, enum pc_entry_kind kind, const char *body)
{
    static const struct pc_hash start = {{0}};
    struct pc_entry entry = {
        .index = prev != NULL ? prev->index + 1 : 1,
        .term = term,
        .stamp_ms = prev != NULL ? prev->stamp_ms : 1000,
        .kind = kind,
        .body = body != NULL ? net_blob(body) : NULL,
    };
    entry.chain = pc_entry_chain(prev != NULL ? &prev->chain : &start, &entry);
    return entry;
}

/* Appends an entry of `term` to a disk, for a node that is down. */
static inline void net_disk_add(struct net *net, pc_node_id id, pc_term term, const char *body)
{
    struct net_node *node = &net->nodes[id];
    PC_ASSERT(node->raft == NULL);
    const struct pc_entry *prev = node->disk.n > 0 ? &node->disk.v[node->disk.n - 1] : NULL;
    struct pc_entry entry =
        net_entry(prev, term, prev != NULL ? PC_ENTRY_COMMAND : PC_ENTRY_CONFIG, body);
    pc_entries_push(&node->disk, &entry);
    pc_entry_clear(&entry);
    node->term = term > node->term ? term : node->term;
}

/* ---- the checks */

static inline void net_check_promise(
    const struct net *net, pc_node_id id, const struct pc_raft_msg *m)
{
    const struct net_node *node = &net->nodes[id];
    assert_int_equal(m->from, id);
    assert_true(m->to >= 1 && m->to <= net->n && m->to != id);
    bool is_prevote = m->type == PC_RAFT_MSG_VOTE && m->u.vote.pre;
    assert_true(m->term - (is_prevote ? 1 : 0) <= node->term);
    if (m->type == PC_RAFT_MSG_VOTE && !m->u.vote.pre) {
        assert_int_equal(node->vote, id);
    }
    if (m->type == PC_RAFT_MSG_VOTE_RESP && m->u.vote_resp.granted && !m->u.vote_resp.pre) {
        assert_int_equal(node->term, m->term);
        assert_int_equal(node->vote, m->to);
    }
    if (m->type == PC_RAFT_MSG_APPEND_RESP && m->u.append_resp.accepted) {
        assert_true(net_disk_last(node) >= m->u.append_resp.match);
    }
}

static inline void net_check(struct net *net, pc_node_id id)
{
    const struct pc_raft *raft = net->nodes[id].raft;
    if (net->check_every == 0 || ++net->steps % net->check_every == 0) {
        pc_raft_check(raft);
    }
    struct pc_raft_status status = net_status(net, id);
    if (status.role == PC_RAFT_LEADER) {
        assert_true(status.term < NET_TERM_MAX);
        pc_node_id *leader = &net->leader_of[status.term];
        assert_true(*leader == 0 || *leader == id);
        *leader = id;
    }
    assert_true(status.commit < NET_INDEX_MAX);
    for (pc_index i = status.first_in_memory; i <= status.commit; i++) {
        const struct pc_entry *entry = pc_raft_entry(raft, i);
        if (!net->committed_known[i]) {
            net->committed[i] = entry->chain;
            net->committed_known[i] = true;
        }
        assert_true(pc_hash_equal(&net->committed[i], &entry->chain));
    }
}

/* ---- steps */

static inline void net_keep_write(struct net_node *node, const struct pc_raft_write *write)
{
    if (node->queue_n == node->queue_cap) {
        node->queue_cap = node->queue_cap == 0 ? 16 : node->queue_cap * 2;
        node->queue = pc_xrealloc(node->queue, node->queue_cap * sizeof *node->queue);
    }
    node->queue[node->queue_n] = *write;
    node->queue[node->queue_n].entries = (struct pc_entries){0};
    for (size_t i = 0; i < write->entries.n; i++) {
        pc_entries_push(&node->queue[node->queue_n].entries, &write->entries.v[i]);
    }
    node->queue_n++;
}

static inline void net_take_effects(struct net *net, pc_node_id id, struct pc_raft_effects *fx)
{
    struct net_node *node = &net->nodes[id];
    for (size_t i = 0; i < fx->msgs_n; i++) {
        struct pc_raft_msg *m = &fx->msgs[i];
        net_check_promise(net, id, m);
        if (net->cut[id][m->to]) {
            continue;
        }
        assert_true(net->msgs_n < NET_MSGS_MAX);
        net->msgs[net->msgs_n++] = *m;
        m->entries = (struct pc_entries){0};
    }
    for (size_t i = 0; i < fx->writes_n; i++) {
        net_keep_write(node, &fx->writes[i]);
    }
    for (size_t i = 0; i < fx->reads_n; i++) {
        assert_true(node->reads_n < NET_READS_MAX);
        node->reads[node->reads_n++] = fx->reads[i];
    }
    for (size_t i = 0; i < fx->loads_n; i++) {
        assert_true(node->loads_n < NET_READS_MAX);
        node->loads[node->loads_n++] = fx->loads[i];
    }
    for (size_t i = 0; i < fx->snapshots_n; i++) {
        node->need = fx->snapshots[i];
        node->needs_n++;
    }
}

static inline void net_step(struct net *net, pc_node_id id, struct pc_raft_event *event)
{
    struct pc_raft_effects fx = {0};
    struct net_node *node = &net->nodes[id];
    event->now = net->now;
    pc_raft_step(node->raft, event, &fx);
    if (net->watch != NULL) {
        net->watch(net, id, &fx);
    }
    net_take_effects(net, id, &fx);
    pc_raft_effects_destroy(&fx);
    net_check(net, id);
}

/* The event, then the end of the turn. */
static inline void net_do(struct net *net, pc_node_id id, struct pc_raft_event *event)
{
    net_step(net, id, event);
    struct pc_raft_event turn = {.type = PC_RAFT_TURN};
    net_step(net, id, &turn);
    if (!net->nodes[id].applies_nothing) {
        pc_raft_applied(net->nodes[id].raft, net_status(net, id).commit);
    }
}

static inline void net_wake(struct net *net, pc_node_id id)
{
    struct pc_raft_event event = {.type = PC_RAFT_WAKE};
    net_do(net, id, &event);
}

static inline void net_propose(struct net *net, pc_node_id id, const char *text)
{
    struct pc_raft_proposal proposal = {.kind = PC_ENTRY_COMMAND, .body = net_blob(text)};
    struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
    event.u.propose.v = &proposal;
    event.u.propose.n = 1;
    net_do(net, id, &event);
    pc_blob_unref(proposal.body);
}

/* A CONFIG entry: "v123 l4". */
static inline void net_change(struct net *net, pc_node_id id, const char *text)
{
    struct pc_raft_proposal proposal = {.kind = PC_ENTRY_CONFIG, .body = net_blob(text)};
    struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
    event.u.propose.v = &proposal;
    event.u.propose.n = 1;
    net_do(net, id, &event);
    pc_blob_unref(proposal.body);
}

static inline void net_read(struct net *net, pc_node_id id, uint64_t ctx)
{
    struct pc_raft_event event = {.type = PC_RAFT_READ};
    event.u.read_ctx = ctx;
    net_do(net, id, &event);
}

static inline void net_transfer(struct net *net, pc_node_id id, pc_node_id target)
{
    struct pc_raft_event event = {.type = PC_RAFT_TRANSFER};
    event.u.transfer_target = target;
    net_do(net, id, &event);
}

static inline void net_leader_lost(struct net *net, pc_node_id id, pc_node_id peer)
{
    struct pc_raft_event event = {.type = PC_RAFT_LEADER_LOST};
    event.u.leader_lost = peer;
    net_do(net, id, &event);
}

/* Gives a hand-made message to its receiver; the caller keeps it. */
static inline void net_recv(struct net *net, const struct pc_raft_msg *msg)
{
    struct pc_raft_event event = {.type = PC_RAFT_RECV};
    event.u.recv = msg;
    net_do(net, msg->to, &event);
}

/* ---- disks */

static inline void net_disk_write(struct net_node *node, const struct pc_raft_write *write)
{
    if (write->has_reset) {
        assert_int_equal(write->truncate_from, 0);
        assert_int_equal(write->reset.index, node->floor.index); /* net_install has set it */
        pc_entries_clear(&node->disk);
    }
    if (write->truncate_from > 0) {
        while (net_disk_last(node) >= write->truncate_from) {
            pc_entry_clear(&node->disk.v[--node->disk.n]);
        }
    }
    for (size_t i = 0; i < write->entries.n; i++) {
        assert_int_equal(write->entries.v[i].index, net_disk_last(node) + 1);
        pc_entries_push(&node->disk, &write->entries.v[i]);
    }
    node->commit = write->commit;
    if (write->has_vote && write->term >= node->term) {
        node->term = write->term;
        node->vote = write->vote;
    }
}

static inline void net_drop_writes(struct net_node *node, size_t first, size_t count)
{
    if (count == 0) {
        return; /* there may be no queue yet */
    }
    for (size_t i = first; i < first + count; i++) {
        pc_entries_clear(&node->queue[i].entries);
    }
    memmove(node->queue + first, node->queue + first + count,
        (node->queue_n - first - count) * sizeof *node->queue);
    node->queue_n -= count;
}

/* Writes of a log that a snapshot has replaced: their terms and votes stay. */
static inline void net_drop_entries(struct net_node *node)
{
    for (size_t i = 0; i < node->queue_n; i++) {
        pc_entries_clear(&node->queue[i].entries);
        node->queue[i].truncate_from = 0;
    }
}

/* Makes the first `count` queued writes durable. */
static inline void net_sync_some(struct net *net, pc_node_id id, size_t count)
{
    struct net_node *node = &net->nodes[id];
    assert_true(count > 0 && count <= node->queue_n);
    for (size_t i = 0; i < count; i++) {
        net_disk_write(node, &node->queue[i]);
    }
    struct pc_raft_event event = {.type = PC_RAFT_SYNCED};
    event.u.synced_seq = node->queue[count - 1].seq;
    net_drop_writes(node, 0, count);
    net_do(net, id, &event);
}

/* Until nothing is queued; false when nothing was. */
static inline bool net_sync(struct net *net, pc_node_id id)
{
    bool any = false;
    while (net->nodes[id].queue_n > 0) {
        net_sync_some(net, id, net->nodes[id].queue_n);
        any = true;
    }
    return any;
}

/* Terms and votes of all queued writes become durable, their entries do not. */
static inline void net_sync_votes(struct net *net, pc_node_id id)
{
    struct net_node *node = &net->nodes[id];
    struct pc_raft_event event = {.type = PC_RAFT_VOTED};
    for (size_t i = 0; i < node->queue_n; i++) {
        if (node->queue[i].has_vote) {
            node->term = node->queue[i].term;
            node->vote = node->queue[i].vote;
        }
        event.u.synced_seq = node->queue[i].seq;
    }
    net_do(net, id, &event);
}

/* Answers the oldest load with at most `max` entries; 0 = it fails. */
static inline void net_load_answer(struct net *net, pc_node_id id, size_t max)
{
    struct net_node *node = &net->nodes[id];
    assert_true(node->loads_n > 0);
    struct pc_raft_load load = node->loads[0];
    node->loads_n--;
    memmove(node->loads, node->loads + 1, node->loads_n * sizeof node->loads[0]);
    struct pc_entries entries = {0};
    for (pc_index i = load.first; i <= load.last && entries.n < max; i++) {
        pc_entries_push(&entries, net_disk_at(node, i));
    }
    struct pc_raft_event event = {.type = PC_RAFT_LOADED};
    event.u.loaded.peer = load.peer;
    event.u.loaded.entries = &entries;
    net_do(net, id, &event);
    pc_entries_clear(&entries);
}

#endif
