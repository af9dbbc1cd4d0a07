/* What peers are given of this node's log: those that have lost entries (node_repair.c) and those
 * that are far behind (node_catchup.c) ask the same question.
 *
 * A peer's questions are answered one after the other: while one load is under way for it, the
 * others wait. So the log thread reads at most one range for a peer between two group commits, and
 * this node's own writes, which a leader may be waiting for, are delayed by no more. Where that is
 * too much still, there are pauses in between (node_give_pace.c).
 *
 * Entries have one form outside memory: they go from the log to the bus as bytes. What is given is
 * not decoded, hashed and encoded again here; who takes it checks it in any case. */
#include <string.h>

#include "node_int.h"

static struct pc_fetch *answer(struct pc_node *n, struct node_peer *peer)
{
    const struct node_question *q = &peer->questions[0];
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    PC_ASSERT(peer->questions_n > 0);
    struct pc_fetch *fetch = &node_msg_add(n, PC_MSG_ENTRIES, peer->hello.id)->fetch;
    *fetch = (struct pc_fetch){.nonce = q->nonce,
        .first = q->first,
        .term = status.term,
        .leads = status.leader_ready && status.term == q->term,
        .has_last = node_repair_is_on(n) ? 0 : status.last,
        .commit = q->commit};
    peer->is_given = false;
    peer->questions_n--;
    memmove(peer->questions, peer->questions + 1, peer->questions_n * sizeof peer->questions[0]);
    return fetch;
}

static void answer_with(struct pc_node *n, struct node_peer *peer, const struct pc_entries *entries)
{
    struct pc_fetch *fetch = answer(n, peer);
    for (size_t i = 0; i < entries->n && i < PC_APPEND_ENTRIES_MAX; i++) {
        PC_ASSERT(entries->v[i].index == fetch->first + i);
        pc_entries_push(&fetch->v, &entries->v[i]);
    }
}

static void answer_with_raw(struct pc_node *n, struct node_peer *peer, struct pc_raw_entries *raw)
{
    PC_ASSERT(raw->first == peer->questions[0].first && raw->n <= PC_APPEND_ENTRIES_MAX);
    answer(n, peer)->raw = *raw;
    *raw = (struct pc_raw_entries){0};
}

/* Loads for the first question of those that wait, when it is time; what is not here is answered at
 * once. */
static void serve(struct pc_node *n, struct node_peer *peer)
{
    PC_ASSERT(!peer->is_given);
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    pc_index has_first = node_repair_is_on(n) ? 1 : status.first;
    pc_index has_last = node_repair_is_on(n) ? n->repair_last : status.durable;
    while (peer->questions_n > 0) {
        const struct node_question *q = &peer->questions[0];
        if (q->first < has_first || q->first > has_last) {
            (void)answer(n, peer);
            continue;
        }
        if (!pc_instant_is_due(node_pace_next_at(n), n->now)) {
            return;
        }
        pc_index last = q->last < has_last ? q->last : has_last;
        if (last - q->first >= PC_APPEND_ENTRIES_MAX) {
            last = q->first + PC_APPEND_ENTRIES_MAX - 1;
        }
        node_load_add(n, NODE_TAG_FETCH((size_t)(peer - n->peers)), q->first, last);
        struct pc_node_load *load = &n->fx->loads[n->fx->loads_n - 1];
        load->bytes_max = PC_APPEND_BYTES_MAX;
        load->raw = true;
        peer->is_given = true;
        node_pace_given(n, (size_t)(peer - n->peers));
        return;
    }
}

void node_entries_asked(struct pc_node *n, const struct pc_msg *msg)
{
    struct node_peer *peer = node_peer_find(n, msg->from);
    if (peer == NULL || !peer->up || peer->questions_n == NODE_QUESTIONS_MAX) {
        return;
    }
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    peer->questions[peer->questions_n++] = (struct node_question){
        .nonce = msg->fetch.nonce,
        .first = msg->fetch.first,
        .last = msg->fetch.last,
        .term = status.leader_ready ? status.term : 0,
        .commit = status.commit,
    };
    if (!peer->is_given) {
        serve(n, peer);
    }
}

void node_entries_loaded(struct pc_node *n, const struct pc_node_event *event)
{
    const struct pc_entries *entries = event->u.loaded.entries;
    struct pc_raw_entries *raw = event->u.loaded.raw;
    size_t slot = (size_t)(UINT64_MAX - event->u.loaded.tag);
    struct node_peer *peer = slot < n->peers_n ? &n->peers[slot] : NULL;
    if (peer == NULL || !peer->up || !peer->is_given) {
        return;
    }
    bool is_raw = raw != NULL && raw->n > 0;
    pc_index first = is_raw ? raw->first : entries->n > 0 ? entries->v[0].index : 0;
    if (first != 0 && first != peer->questions[0].first) {
        return; /* for whoever had this slot before, or for an earlier connection */
    }
    if (is_raw) {
        answer_with_raw(n, peer, raw);
    } else {
        answer_with(n, peer, entries);
    }
    serve(n, peer);
}

static bool waits(const struct node_peer *peer)
{
    return peer->up && peer->questions_n > 0 && !peer->is_given;
}

/* Whoever was given something last has its turn last. */
void node_entries_turn(struct pc_node *n)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        struct node_peer *peer = &n->peers[(n->pace.last_slot + 1 + i) % n->peers_n];
        if (waits(peer)) {
            serve(n, peer);
        }
    }
}

struct pc_instant node_entries_wake_at(const struct pc_node *n)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        if (waits(&n->peers[i])) {
            return node_pace_next_at(n);
        }
    }
    return PC_INSTANT_NEVER;
}
