/* Making snapshots: when one is due, piece by piece while entries go on, and what of the log may go
 * afterwards.
 *
 *             due, or ordered            all items given             durable
 *      NONE -----------------> ITEMS ------------------> FINISH ----------------> NONE
 *        ^                       |  no memory, or the     |  the disk does not      |
 *        |                       |  disk does not take it |  take it                v
 *        +------- a while later -+------------------------+            the log may be dropped
 *
 * What may go of the log. Entries up to the snapshot's are not needed by this node any more. Of
 * those, the newest log_keep_bytes stay for peers that lag: what they miss is sent from here
 * instead of a whole snapshot. A peer that is up and needs still older ones is waited for until
 * twice as much is kept.
 *
 * On a disk below its soft mark nothing is kept but for such a peer, and as much as otherwise is
 * kept anyway; and a snapshot is due that lets a quarter of what usually makes one due go, where
 * there is room for it: while it is made, the one before is there, too. */
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

/* ---- how much log stands behind which entry */

void node_snapshot_applied(struct pc_node *n, const struct pc_entry *entry)
{
    struct node_snapshot *s = &n->snapshot;
    PC_ASSERT(entry->index > s->applied.index);
    s->applied = pc_raft_base_of(entry);
    s->log_bytes += pc_entry_bytes(entry);
    s->total_bytes += pc_entry_bytes(entry);
    if (entry->kind == PC_ENTRY_CONFIG) {
        pc_blob_unref(s->config);
        s->config = pc_blob_ref(entry->body);
        s->config_index = entry->index;
    }
    uint64_t step = n->opts.log_keep_bytes / NODE_LOG_MARKS * 3;
    if (s->marks_n > 0 && s->total_bytes - s->marks[s->marks_n - 1].bytes < step) {
        return;
    }
    if (s->marks_n == NODE_LOG_MARKS) {
        s->marks_n--;
        memmove(s->marks, s->marks + 1, s->marks_n * sizeof s->marks[0]);
    }
    s->marks[s->marks_n++] = (struct node_log_mark){.index = entry->index, .bytes = s->total_bytes};
}

void node_snapshot_loaded(struct pc_node *n, const struct pc_snapshot_meta *meta)
{
    struct node_snapshot *s = &n->snapshot;
    PC_ASSERT(meta->base.index > s->applied.index);
    s->applied = meta->base;
    pc_blob_unref(s->config);
    if (pc_blob_new(meta->config, &s->config) != PC_OK) {
        pc_out_of_memory(meta->config.len);
    }
    s->config_index = meta->config_index;
    s->log_bytes = 0;
    s->marks_n = 0; /* how much log is in front of it is not known */
}

void node_snapshot_forget(struct pc_node *n)
{
    struct node_snapshot *s = &n->snapshot;
    PC_ASSERT(n->applied == 0 && s->making.state == NODE_MAKING_NONE);
    s->applied = (struct pc_raft_base){0};
    pc_blob_unref(s->config);
    s->config = NULL;
    s->config_index = 0;
    s->log_bytes = 0;
    s->marks_n = 0;
}

/* The newest marked entry behind which at least `bytes` of log stand; 0 when none is known. */
static pc_index log_behind(const struct node_snapshot *s, uint64_t bytes)
{
    pc_index found = 0;
    for (size_t i = 0; i < s->marks_n && s->total_bytes - s->marks[i].bytes >= bytes; i++) {
        found = s->marks[i].index;
    }
    return found;
}

/* What the peer that is furthest behind, of those that are up, has. UINT64_MAX: this is no leader.
 */
static pc_index lowest_match(const struct pc_node *n)
{
    pc_index lowest = UINT64_MAX;
    for (size_t i = 0; i < n->peers_n; i++) {
        struct pc_raft_peer_status peer;
        if (n->peers[i].up && pc_raft_peer(n->raft, n->peers[i].hello.id, n->now, &peer) &&
            peer.match < lowest) {
            lowest = peer.match;
        }
    }
    return lowest;
}

void node_snapshot_drop_log(struct pc_node *n)
{
    struct node_snapshot *s = &n->snapshot;
    bool is_low = node_disk_space(n) >= PC_SPACE_SOFT;
    pc_index upto = is_low ? s->newest.base.index : log_behind(s, n->opts.log_keep_bytes);
    pc_index lowest = lowest_match(n);
    if (upto > lowest) {
        pc_index hopeless = log_behind(s, (is_low ? 1 : 2) * n->opts.log_keep_bytes);
        upto = lowest > hopeless ? lowest : hopeless;
    }
    upto = upto < s->newest.base.index ? upto : s->newest.base.index;
    /* What is applied need not be on this disk: entries of an older term may still stand there, and
     * the write that takes them away must find the log as it was. */
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    upto = upto < status.durable ? upto : status.durable;
    if (upto > s->drop_asked_upto) {
        s->drop_asked_upto = upto;
        s->is_dropping = true;
        node_snap_add(n, PC_NODE_SNAP_DROP_LOG, 0)->base.index = upto;
    }
}

void node_snapshot_log_dropped(struct pc_node *n, pc_index first)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    n->snapshot.is_dropping = false;
    n->snapshot.dropped_upto = first > 0 ? first - 1 : 0;
    if (first > status.first) {
        struct pc_raft_event event = {.type = PC_RAFT_COMPACTED};
        event.u.compacted_first = first;
        node_raft_step(n, &event);
    }
}

/* ---- the newest one */

void node_snapshot_take_newest(struct pc_node *n, const struct pc_node_snapshot *newest)
{
    struct node_newest *to = &n->snapshot.newest;
    PC_ASSERT(newest->meta.base.index > to->base.index ||
              (to->is_damaged && newest->meta.base.index == to->base.index));
    pc_blob_unref(to->meta);
    struct pc_buf buf = {0};
    pc_wire_encode_snapshot_meta(&newest->meta, &buf);
    pc_err err = pc_blob_new(pc_slice_of(buf.data, buf.len), &to->meta);
    pc_buf_destroy(&buf);
    if (err != PC_OK) {
        pc_out_of_memory(PC_SNAPSHOT_CONFIG_BYTES_MAX);
    }
    to->base = newest->meta.base;
    to->hash = newest->hash;
    to->chunks = newest->chunks;
    to->bytes = newest->bytes;
    to->items = newest->meta.items;
    to->from = 0;
    to->is_damaged = false;
}

/* ---- making one */

/* While entries come from peers a snapshot would be old before it is written, and the node ready
 * later. When they are there, or the disk gets low, it is made. */
static bool snapshot_is_wanted(const struct pc_node *n)
{
    const struct node_snapshot *s = &n->snapshot;
    uint64_t least = s->newest.bytes / 100 * n->opts.snapshot_percent;
    least = least > n->opts.snapshot_log_bytes ? least : n->opts.snapshot_log_bytes;
    return s->is_ordered || (s->log_bytes >= least && n->catchup.until == 0);
}

static bool snapshot_is_due(const struct pc_node *n)
{
    const struct node_snapshot *s = &n->snapshot;
    bool wanted = snapshot_is_wanted(n);
    return wanted && s->making.state == NODE_MAKING_NONE && !node_load_is_on(n) &&
           !node_fetch_is_on(n) && s->config != NULL && s->applied.index == n->applied &&
           n->applied > s->newest.base.index && pc_instant_is_due(s->retry_at, n->now);
}

/* At most so many bytes a snapshot of what is there takes. */
static uint64_t snapshot_bytes_max(const struct pc_node *n)
{
    struct pc_store_stats stats;
    pc_store_stats(n->store, &stats);
    return stats.data_bytes + stats.items * NODE_SNAPSHOT_ITEM_BYTES + PC_SNAPSHOT_CHUNK_BYTES;
}

void node_snapshot_disk_is_low(struct pc_node *n)
{
    struct node_snapshot *s = &n->snapshot;
    if (s->newest.is_damaged || node_load_is_on(n) || n->applied < s->newest.base.index) {
        return; /* the log may be all that there is */
    }
    node_snapshot_drop_log(n);
    uint64_t least =
        s->newest.bytes > n->opts.snapshot_log_bytes ? s->newest.bytes : n->opts.snapshot_log_bytes;
    if (s->log_bytes >= least / 4 && node_disk_has_room(n, snapshot_bytes_max(n))) {
        s->is_ordered = true;
    }
}

static void making_begin(struct pc_node *n)
{
    struct node_making *m = &n->snapshot.making;
    struct pc_store_snapshot of;
    pc_store_snapshot_begin(n->store, &of);
    PC_ASSERT(of.applied == n->snapshot.applied.index);
    m->is_ordered = n->snapshot.is_ordered;
    n->snapshot.is_ordered = false;
    m->state = NODE_MAKING_ITEMS;
    m->tag = ++n->snapshot.last_tag;
    m->config = pc_blob_ref(n->snapshot.config);
    m->meta = (struct pc_snapshot_meta){
        .base = n->snapshot.applied,
        .config_index = n->snapshot.config_index,
        .config = pc_blob_slice(m->config),
        .digest = of.digest,
        .items = of.items,
    };
    m->meta.base.stamp_ms = of.stamp_ms;
    memcpy(m->meta.history, n->config.history, sizeof m->meta.history);
    m->log_bytes = n->snapshot.log_bytes;
    m->put_n = m->written_n = 0;
    m->ahead_bytes = 0;
    m->has_chunk = m->is_complete = false;
    m->chunk.items_n = 0; /* of one that was given up */
    m->items = 0;
    m->given = (struct pc_hash){{0}};
    m->seen = n->applied;
    node_snap_add(n, PC_NODE_SNAP_BEGIN, m->tag)->base = m->meta.base;
}

static void making_end(struct pc_node *n)
{
    struct node_making *m = &n->snapshot.making;
    pc_blob_unref(m->config);
    m->config = NULL;
    m->state = NODE_MAKING_NONE;
}

void node_snapshot_give_up(struct pc_node *n, const char *why)
{
    struct node_snapshot *s = &n->snapshot;
    if (s->making.state == NODE_MAKING_NONE) {
        return;
    }
    node_note_add(n, PC_NOTE_SNAPSHOT_FAILED, 0, s->making.meta.base.index, 0, why);
    node_snap_add(n, PC_NODE_SNAP_ABORT, s->making.tag);
    pc_store_snapshot_end(n->store);
    s->retry_at = pc_instant_add_ms(n->now, NODE_SNAPSHOT_RETRY_MS);
    s->is_ordered |= s->making.is_ordered;
    making_end(n);
    node_order_given_up(n, s->making.meta.base.index, why);
}

static bool add_item(void *context, const struct pc_item *item)
{
    struct node_making *m = context;
    m->items++;
    struct pc_stored_item given = {.key = item->key,
        .value = pc_blob_slice(item->value),
        .content_type = item->content_type,
        .version = item->version,
        .created = item->created,
        .deadline_ms = item->deadline_ms};
    pc_store_digest_add(&m->given, &given);
    return pc_wire_chunk_add(&m->chunk, item);
}

/* What changes meanwhile is given first: at twice the pace of the changes the end comes. */
static size_t making_items(struct pc_node *n)
{
    struct node_making *m = &n->snapshot.making;
    pc_index applied = n->applied - m->seen;
    m->seen = n->applied;
    size_t items =
        NODE_SNAPSHOT_ITEMS + (applied < NODE_SNAPSHOT_ITEMS_MAX ? 2 * applied : SIZE_MAX);
    return items < NODE_SNAPSHOT_ITEMS_MAX ? items : NODE_SNAPSHOT_ITEMS_MAX;
}

/* Fills the next chunk; it takes several turns. */
static void making_fill(struct pc_node *n)
{
    struct node_making *m = &n->snapshot.making;
    if (m->chunk.items_n == 0) {
        pc_wire_chunk_begin(&m->chunk);
    }
    if (pc_store_snapshot_next(n->store, making_items(n), add_item, m, &m->is_complete) != PC_OK) {
        node_snapshot_give_up(n, "given up: no memory to keep aside what changes meanwhile");
        return;
    }
    m->has_chunk =
        m->chunk.items_n > 0 && (m->is_complete || m->chunk.bytes.len >= PC_SNAPSHOT_CHUNK_BYTES);
}

/* The disk does not take what is to be written: what has changed since the beginning grows. */
static bool making_is_too_slow(const struct pc_node *n)
{
    struct pc_store_stats stats;
    pc_store_stats(n->store, &stats);
    return stats.aside_bytes > NODE_SNAPSHOT_ASIDE_BYTES &&
           stats.aside_bytes > stats.memory_bytes / 10;
}

static bool making_has_room(const struct node_making *m, size_t bytes)
{
    return m->put_n == m->written_n || m->ahead_bytes + bytes <= PC_SNAPSHOT_AHEAD_BYTES;
}

static void making_put(struct pc_node *n)
{
    struct node_making *m = &n->snapshot.making;
    struct pc_slice bytes = pc_wire_chunk_end(&m->chunk);
    if (!making_has_room(m, bytes.len)) {
        return;
    }
    pc_buf_append(&node_snap_add(n, PC_NODE_SNAP_PUT, m->tag)->chunk, bytes.data, bytes.len);
    m->ahead_bytes = m->put_n == m->written_n ? bytes.len : m->ahead_bytes + bytes.len;
    m->put_n++;
    m->has_chunk = false;
    m->chunk.items_n = 0;
}

/* What was given is not what entries made: a bit has flipped in memory. Such a snapshot could not
 * be loaded, and the one before, which can, would go for it. */
static void making_finish(struct pc_node *n)
{
    struct node_making *m = &n->snapshot.making;
    PC_ASSERT(m->items == m->meta.items);
    if (memcmp(m->given.b, m->meta.digest.b, sizeof m->given.b) != 0) {
        node_snapshot_give_up(n, "given up: the memory does not hold what was put into it");
        node_digest_unsound(n);
        return;
    }
    struct pc_node_snap *snap = node_snap_add(n, PC_NODE_SNAP_FINISH, m->tag);
    snap->meta = m->meta;
    snap->config = pc_blob_ref(m->config);
    snap->meta.config = pc_blob_slice(snap->config);
    m->state = NODE_MAKING_FINISH;
}

/* A few items a turn, and one chunk: what clients wait for comes in between. */
void node_snapshot_turn(struct pc_node *n)
{
    struct node_making *m = &n->snapshot.making;
    if (snapshot_is_due(n)) {
        making_begin(n);
    }
    if (m->state == NODE_MAKING_ITEMS && !m->has_chunk && !m->is_complete) {
        making_fill(n);
    }
    if (m->state == NODE_MAKING_ITEMS && making_is_too_slow(n)) {
        node_snapshot_give_up(n, "given up: the disk is too slow for what changes meanwhile");
    }
    if (m->state == NODE_MAKING_ITEMS && m->has_chunk) {
        making_put(n);
    }
    if (m->state == NODE_MAKING_ITEMS && m->is_complete && !m->has_chunk) {
        making_finish(n);
    }
}

struct pc_instant node_snapshot_wake_at(const struct pc_node *n)
{
    const struct node_making *m = &n->snapshot.making;
    bool may_go_on = m->state == NODE_MAKING_ITEMS && (!m->has_chunk || m->put_n == m->written_n);
    return may_go_on ? n->now : PC_INSTANT_NEVER;
}

static void making_finished(struct pc_node *n, const struct pc_node_snap_event *event)
{
    struct node_snapshot *s = &n->snapshot;
    PC_ASSERT(s->making.state == NODE_MAKING_FINISH && s->log_bytes >= s->making.log_bytes);
    PC_ASSERT(s->making.meta.base.index > s->newest.base.index);
    struct pc_node_snapshot newest = {
        .meta = s->making.meta,
        .hash = event->hash,
        .chunks = event->chunks,
        .bytes = event->bytes,
    };
    node_snapshot_take_newest(n, &newest);
    s->log_bytes -= s->making.log_bytes;
    making_end(n);
    node_note_add(n, PC_NOTE_SNAPSHOT, 0, s->newest.base.index, s->newest.bytes, "made");
    node_snapshot_drop_log(n);
}

bool node_snapshot_event(struct pc_node *n, const struct pc_node_snap_event *event)
{
    struct node_making *m = &n->snapshot.making;
    if (m->state == NODE_MAKING_NONE || event->tag != m->tag) {
        return false;
    }
    switch (event->type) {
    case PC_NODE_SNAP_WRITTEN:
        m->written_n = event->chunks;
        PC_ASSERT(m->written_n <= m->put_n);
        break;
    case PC_NODE_SNAP_FINISHED:
        making_finished(n, event);
        break;
    case PC_NODE_SNAP_FAILED:
        node_snapshot_give_up(n, event->text != NULL ? event->text : pc_err_text(event->err));
        break;
    case PC_NODE_SNAP_BEGUN:
    case PC_NODE_SNAP_GOT:
        break;
    }
    return true;
}

void node_snapshot_destroy(struct pc_node *n)
{
    struct node_snapshot *s = &n->snapshot;
    pc_blob_unref(s->config);
    pc_blob_unref(s->newest.meta);
    pc_blob_unref(s->making.config);
    pc_buf_destroy(&s->making.chunk.bytes);
}
