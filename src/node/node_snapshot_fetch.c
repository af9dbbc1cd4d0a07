/* Getting a snapshot from a peer: when the leader no longer has the entries that this node needs
 * next, or when its own snapshot is damaged and its log does not go back far enough.
 *
 *             wanted             a META that will do        all chunks put         durable
 *      NONE ----------> ASKING ----------------------> GETTING ----------> FINISH --------> load
 *        ^                 ^   silence, has none: next    |                   |
 *        |                 +------------------------------+-------------------+
 *        |                   gone, silent, or not what was announced: ask on; chunks are kept
 *        +-- the log has caught up without it
 *
 * Peers are asked one after the other, the leader last: it has enough to do. What came stays in the
 * file, and the same snapshot is gone on with where it was, from whoever has it: the announced hash
 * says that it is the same. Chunks are believed only as a whole, when that hash comes out, and it
 * replaces this node's own only when its items are those that its meta says. One that is not good
 * for that, or could not be loaded after all, although its hash was right, is not taken again:
 * others are asked, and whoever has it is told to make a newer one. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

bool node_fetch_is_on(const struct pc_node *n)
{
    return n->fetch.state != NODE_FETCH_NONE;
}

/* The node needs the effects of entry `at_least`. */
void node_fetch_want(struct pc_node *n, pc_index at_least)
{
    struct node_fetch *f = &n->fetch;
    f->at_least = at_least > f->at_least ? at_least : f->at_least;
    if (f->state == NODE_FETCH_NONE && !node_load_is_on(n)) {
        f->state = NODE_FETCH_ASKING;
        f->peer = 0;
        f->act_at = n->now;
        memset(f->asked_in_vain, 0, sizeof f->asked_in_vain);
    }
}

static void fetch_ask_on(struct pc_node *n, pc_ms wait_ms)
{
    struct node_fetch *f = &n->fetch;
    pc_blob_unref(f->meta);
    f->meta = NULL;
    f->state = NODE_FETCH_ASKING;
    f->peer = 0;
    f->act_at = pc_instant_add_ms(n->now, wait_ms);
}

static void fetch_end(struct pc_node *n)
{
    pc_blob_unref(n->fetch.meta);
    n->fetch = (struct node_fetch){.nonce = n->fetch.nonce};
}

/* The source is of no more use; what came of it stays for the next one. */
static void fetch_leave_source(struct pc_node *n)
{
    struct node_fetch *f = &n->fetch;
    if (f->tag != 0) {
        node_snap_add(n, PC_NODE_SNAP_ABORT, f->tag)->keep = true;
        f->tag = 0;
    }
    fetch_ask_on(n, 0);
}

/* ---- asking */

/* The next peer to ask: one that is up and was not asked in this round; the leader last. */
static struct node_peer *fetch_next_peer(struct pc_node *n, size_t *slot)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    struct node_peer *found = NULL;
    for (size_t i = 0; i < n->peers_n; i++) {
        struct node_peer *peer = &n->peers[i];
        bool is_leader = peer->hello.id == status.leader;
        if (peer->up && !n->fetch.asked_in_vain[i] && (found == NULL || !is_leader)) {
            found = peer;
            *slot = i;
            if (!is_leader) {
                break;
            }
        }
    }
    return found;
}

static void fetch_ask(struct pc_node *n)
{
    struct node_fetch *f = &n->fetch;
    size_t slot = 0;
    struct node_peer *peer = fetch_next_peer(n, &slot);
    if (peer == NULL) { /* a round in vain */
        memset(f->asked_in_vain, 0, sizeof f->asked_in_vain);
        fetch_ask_on(n, NODE_FETCH_RETRY_MS);
        return;
    }
    f->asked_in_vain[slot] = true;
    f->peer = peer->hello.id;
    f->nonce++;
    f->act_at = pc_instant_add_ms(n->now, NODE_FETCH_ANSWER_MS);
    struct pc_snapshot_msg *ask = &node_msg_add(n, PC_MSG_SNAP_ASK, f->peer)->snapshot;
    ask->nonce = f->nonce;
    ask->index = f->at_least;
}

void node_fetch_meta(struct pc_node *n, const struct pc_msg *msg)
{
    struct node_fetch *f = &n->fetch;
    const struct pc_snapshot_msg *m = &msg->snapshot;
    if (f->state != NODE_FETCH_ASKING || msg->from != f->peer || m->nonce != f->nonce) {
        return;
    }
    if (n->snapshot.making.state == NODE_MAKING_FINISH) {
        fetch_ask_on(n, NODE_FETCH_RETRY_MS); /* what is about to be durable is not given up */
        return;
    }
    struct pc_snapshot_meta meta;
    /* One that joins knows its history before its first config. */
    const uint8_t *history = node_is_formed(n) ? n->config.history : n->history;
    bool will_do = m->body != NULL &&
                   pc_wire_decode_snapshot_meta(pc_blob_slice(m->body), &meta) == PC_OK &&
                   meta.base.index >= f->at_least && meta.base.index > n->applied &&
                   memcmp(meta.history, history, sizeof meta.history) == 0;
    if (will_do && node_load_has_refused(n, &m->hash)) {
        node_msg_add(n, PC_MSG_SNAP_ASK, f->peer)->snapshot.index = meta.base.index + 1;
        will_do = false;
    }
    if (!will_do) {
        fetch_ask_on(n, 0);
        return;
    }
    f->meta = pc_blob_ref(m->body);
    f->base = meta.base;
    f->hash = m->hash;
    f->chunks = m->chunks;
    f->bytes = m->bytes;
    f->state = NODE_FETCH_GETTING;
    f->has_begun = false;
    node_snapshot_give_up(n, "given up: one of a peer is fetched instead");
    f->tag = ++n->snapshot.last_tag;
    f->act_at = PC_INSTANT_NEVER; /* what is there already may take long to check */
    struct pc_node_snap *snap = node_snap_add(n, PC_NODE_SNAP_BEGIN, f->tag);
    snap->base = f->base;
    snap->has_hash = true;
    snap->hash = f->hash;
    node_note_add(n, PC_NOTE_SNAPSHOT, f->peer, f->base.index, f->bytes, "fetching from a peer");
}

/* ---- getting */

static void fetch_get(struct pc_node *n)
{
    struct node_fetch *f = &n->fetch;
    bool must_wait =
        f->asked == f->put && f->put > f->written && f->ahead_bytes > PC_SNAPSHOT_AHEAD_BYTES / 2;
    while (f->has_begun && !must_wait && f->asked < f->chunks &&
           f->asked - f->written < NODE_FETCH_AHEAD) {
        struct pc_snapshot_msg *get = &node_msg_add(n, PC_MSG_SNAP_GET, f->peer)->snapshot;
        get->nonce = f->nonce;
        get->index = f->base.index;
        get->chunk = f->asked++;
    }
    if (f->has_begun && f->written == f->chunks) {
        struct pc_node_snap *snap = node_snap_add(n, PC_NODE_SNAP_FINISH, f->tag);
        pc_err err = pc_wire_decode_snapshot_meta(pc_blob_slice(f->meta), &snap->meta);
        PC_ASSERT(err == PC_OK);
        snap->config = pc_blob_ref(f->meta); /* meta.config points into it */
        f->state = NODE_FETCH_FINISH;
        f->act_at = PC_INSTANT_NEVER;
    }
}

void node_fetch_chunk(struct pc_node *n, const struct pc_msg *msg)
{
    struct node_fetch *f = &n->fetch;
    const struct pc_snapshot_msg *m = &msg->snapshot;
    bool is_next = f->state == NODE_FETCH_GETTING && msg->from == f->peer && m->nonce == f->nonce &&
                   m->index == f->base.index && m->chunk == f->put && f->put < f->asked;
    if (!is_next) {
        return;
    }
    if (m->body == NULL) {
        fetch_leave_source(n);
        return;
    }
    struct pc_slice bytes = pc_blob_slice(m->body);
    bool is_idle = f->put == f->written;
    if (!is_idle && f->ahead_bytes + bytes.len > PC_SNAPSHOT_AHEAD_BYTES) {
        f->asked = f->put; /* no room for it: asked for again when the others are written */
        return;
    }
    f->ahead_bytes = is_idle ? bytes.len : f->ahead_bytes + bytes.len;
    pc_buf_append(&node_snap_add(n, PC_NODE_SNAP_PUT, f->tag)->chunk, bytes.data, bytes.len);
    f->put++;
    f->act_at = pc_instant_add_ms(n->now, NODE_FETCH_STALL_MS);
}

static void fetch_failed(struct pc_node *n, const struct pc_node_snap_event *event)
{
    const char *why = event->text != NULL ? event->text : pc_err_text(event->err);
    bool is_useless = event->err == PC_E_MALFORMED;
    bool is_bad = event->err == PC_E_CORRUPT || is_useless;
    if (is_useless) {
        node_load_refuse(n, &n->fetch.hash);
    }
    node_note_add(
        n, PC_NOTE_SNAPSHOT_FAILED, n->fetch.peer, n->fetch.base.index, is_bad ? 1 : 0, why);
    n->fetch.tag = 0;
    fetch_ask_on(n, NODE_FETCH_RETRY_MS);
}

static void fetch_finished(struct pc_node *n, const struct pc_node_snap_event *event)
{
    struct node_fetch *f = &n->fetch;
    struct pc_node_snapshot newest = {
        .hash = f->hash, .chunks = event->chunks, .bytes = event->bytes};
    pc_err err = pc_wire_decode_snapshot_meta(pc_blob_slice(f->meta), &newest.meta);
    PC_ASSERT(err == PC_OK);
    if (f->base.index > n->snapshot.newest.base.index || n->snapshot.newest.is_damaged) {
        node_snapshot_take_newest(n, &newest);
        n->snapshot.newest.from = f->peer;
    }
    bool is_of_use = n->snapshot.newest.base.index > n->applied;
    fetch_end(n);
    if (is_of_use && !node_repair_is_on(n)) { /* else the log is opened anew behind it first */
        node_load_begin(n);
    }
}

bool node_fetch_event(struct pc_node *n, const struct pc_node_snap_event *event)
{
    struct node_fetch *f = &n->fetch;
    if (f->tag == 0 || event->tag != f->tag || event->type == PC_NODE_SNAP_GOT) {
        return false;
    }
    switch (event->type) {
    case PC_NODE_SNAP_BEGUN:
        f->has_begun = true;
        f->act_at = pc_instant_add_ms(n->now, NODE_FETCH_STALL_MS);
        f->asked = f->put = f->written = event->chunks < f->chunks ? event->chunks : f->chunks;
        break;
    case PC_NODE_SNAP_WRITTEN:
        f->written = event->chunks;
        f->act_at = pc_instant_add_ms(n->now, NODE_FETCH_STALL_MS);
        break;
    case PC_NODE_SNAP_FINISHED:
        fetch_finished(n, event);
        break;
    case PC_NODE_SNAP_FAILED:
        fetch_failed(n, event);
        break;
    case PC_NODE_SNAP_GOT:
        break;
    }
    return true;
}

/* ---- in time */

void node_fetch_peer_changed(struct pc_node *n, pc_node_id peer)
{
    struct node_fetch *f = &n->fetch;
    bool is_source = f->peer == peer && peer != 0;
    if (is_source && f->state == NODE_FETCH_GETTING) {
        fetch_leave_source(n);
    } else if (is_source && f->state == NODE_FETCH_ASKING) {
        fetch_ask_on(n, 0);
    }
    memset(f->asked_in_vain, 0, sizeof f->asked_in_vain);
}

void node_fetch_turn(struct pc_node *n)
{
    struct node_fetch *f = &n->fetch;
    if (f->state == NODE_FETCH_NONE || node_load_is_on(n)) {
        return;
    }
    if (f->state != NODE_FETCH_FINISH && n->applied >= f->at_least) {
        if (f->tag != 0) {
            node_snap_add(n, PC_NODE_SNAP_ABORT, f->tag); /* it will not be needed any more */
        }
        fetch_end(n);
        return;
    }
    bool is_late = pc_instant_is_due(f->act_at, n->now);
    if (f->state == NODE_FETCH_GETTING && is_late) {
        fetch_leave_source(n);
    } else if (f->state == NODE_FETCH_ASKING && is_late) {
        fetch_ask(n);
    }
    if (f->state == NODE_FETCH_GETTING) {
        fetch_get(n);
    }
}

struct pc_instant node_fetch_wake_at(const struct pc_node *n)
{
    return n->fetch.state == NODE_FETCH_NONE ? PC_INSTANT_NEVER : n->fetch.act_at;
}

/* "snapshot of entry 81000 from node2: 43%"; "" when none is fetched or loaded. */
void node_snapshot_text(const struct pc_node *n, char *out, size_t out_max)
{
    const struct node_fetch *f = &n->fetch;
    unsigned long long at = (unsigned long long)f->base.index;
    out[0] = '\0';
    if (node_load_is_on(n)) {
        (void)snprintf(out, out_max, "loading the snapshot %u%%", node_load_percent(n));
    } else if (f->state == NODE_FETCH_ASKING) {
        (void)snprintf(out, out_max, "asking for a snapshot");
    } else if (f->state != NODE_FETCH_NONE && f->chunks > 0) {
        (void)snprintf(out, out_max, "snapshot of entry %llu from %s: %u%%", at,
            node_name_of(n, f->peer), (unsigned)(UINT64_C(100) * f->written / f->chunks));
    }
}
