/* What the threads of the log, of snapshots and of a branch report. */
#include "node_int.h"

#include <string.h>

/* What snapshots stand for, this node's or others', of what is on this disk and committed. */
static pc_index replaceable_upto(const struct pc_node *n, pc_index upto)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    upto = upto < status.commit ? upto : status.commit;
    return upto < status.durable ? upto : status.durable;
}

bool pc_node_can_spare(const struct pc_node *n, uint64_t tag, pc_index first)
{
    if (node_repair_is_on(n)) {
        return false;
    }
    return tag == 0 ? node_load_may_wait(n) && first <= replaceable_upto(n, first)
                    : first <= replaceable_upto(n, n->snapshot.newest.base.index);
}

/* What a leader has applied may be on the disks of the others only; and what Raft still has may be
 * in its memory only. */
void pc_node_log_span(const struct pc_node *n, struct pc_node_log_span *out)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    pc_index last = n->applied < status.durable ? n->applied : status.durable;
    pc_index gone = n->snapshot.dropped_upto;
    *out = (struct pc_node_log_span){.oldest = status.first > gone ? status.first : gone + 1,
        .applied = n->applied,
        .has_branch = n->solo.serves};
    out->last = last >= out->oldest ? last : out->oldest - 1;
    memcpy(out->branch, n->solo.id, out->has_branch ? sizeof out->branch : 0);
    PC_ASSERT(out->last + 1 >= out->oldest && last <= status.commit);
}

/* Entries up to `behind` cannot be read back: from now on no peer gets any of them, and this node
 * asks itself for none. Its log goes on as it is in every other respect: it votes, and answers for
 * what it has acknowledged. Should its own snapshot be no good either, or not reach so far, a
 * peer's is fetched. */
static void node_log_damaged(struct pc_node *n, pc_index behind)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (behind >= status.first) {
        struct pc_raft_event event = {.type = PC_RAFT_COMPACTED};
        event.u.compacted_first = behind + 1;
        node_raft_step(n, &event);
    }
    if (n->applied < behind) {
        node_fetch_want(n, behind);
    }
}

/* An entry that is to be applied cannot be read back, unless it was loaded in a snapshot since. */
static void node_apply_damaged(struct pc_node *n)
{
    pc_index at = n->apply_from;
    if (at > n->applied) {
        node_note_add(n, PC_NOTE_REPAIR, 0, at, at, "to be applied: a peer's snapshot is fetched");
        n->snapshot.damaged_at = at;
        node_log_damaged(n, replaceable_upto(n, at));
        node_hand_over_maybe(n);
    }
}

static void node_loaded(struct pc_node *n, const struct pc_node_event *event)
{
    uint64_t tag = event->u.loaded.tag;
    const struct pc_entries *entries = event->u.loaded.entries;
    if (event->u.loaded.is_damaged && tag != 0) {
        node_log_damaged(n, replaceable_upto(n, n->snapshot.newest.base.index));
    } else if (event->u.loaded.is_damaged) {
        node_apply_damaged(n);
    }
    if (tag > NODE_TAG_FETCH(NODE_PEERS_MAX)) {
        node_entries_loaded(n, event);
        return;
    }
    if (tag == 0) {
        node_apply_loaded(n, entries);
        return;
    }
    struct node_peer *peer = node_peer_find(n, tag);
    bool is_form = peer != NULL && node_form_wants_entry(n, peer) && entries->n == 1 &&
                   entries->v[0].index == 1 && entries->v[0].kind == PC_ENTRY_CONFIG;
    if (is_form) {
        pc_entry_copy(&node_msg_add(n, PC_MSG_FORM, tag)->form, &entries->v[0]);
    }
    struct pc_raft_event loaded = {.type = PC_RAFT_LOADED};
    loaded.u.loaded.peer = tag;
    loaded.u.loaded.entries = entries;
    node_raft_step(n, &loaded);
}

void node_log_failed(struct pc_node *n)
{
    n->failed = true;
    node_client_fail_all(n, PC_REPLY_STOPPING);
    node_read_fail_all(n, PC_REPLY_STOPPING);
    node_member_fail_all(n, PC_REPLY_STOPPING);
    node_order_fail_all(n, PC_REPLY_STOPPING);
}

static void node_synced(struct pc_node *n, enum pc_raft_event_type type, uint64_t seq)
{
    if (type == PC_RAFT_SYNCED) {
        node_disk_stored(n, seq);
    }
    struct pc_raft_event event = {.type = type};
    event.u.synced_seq = seq;
    node_raft_step(n, &event);
}

static void node_log_full(struct pc_node *n, bool is_full)
{
    n->log_full = is_full;
    node_disk_tell_all(n);
}

/* Tags say whose it is; what nobody waits for any more is dropped. */
static void node_snap(struct pc_node *n, const struct pc_node_snap_event *event)
{
    (void)(node_snapshot_event(n, event) || node_load_event(n, event) ||
           node_fetch_event(n, event) || node_give_event(n, event));
}

static void node_life_noted(struct pc_node *n, const struct pc_life *life)
{
    struct pc_raft_msg held;
    node_lives_noted(n, life);
    if (node_lives_release(n, life->id, &held)) {
        node_recv_raft(n, &held);
    }
}

void node_log_event(struct pc_node *n, const struct pc_node_event *event)
{
    switch (event->type) {
    case PC_NODE_SYNCED:
        node_synced(n, PC_RAFT_SYNCED, event->u.seq);
        break;
    case PC_NODE_VOTED:
        node_synced(n, PC_RAFT_VOTED, event->u.seq);
        break;
    case PC_NODE_LOADED:
        node_loaded(n, event);
        break;
    case PC_NODE_LOG_FULL:
        node_log_full(n, true);
        break;
    case PC_NODE_LOG_FULL_END:
        node_log_full(n, false);
        break;
    case PC_NODE_DISK:
        node_disk_report(n, event->u.disk);
        node_digest_report(n);
        node_hand_over_maybe(n); /* before another write is refused for this disk */
        break;
    case PC_NODE_LOG_FAILED:
        node_log_failed(n);
        break;
    case PC_NODE_LIFE_NOTED:
        node_life_noted(n, &event->u.life);
        break;
    case PC_NODE_SNAP:
        node_snap(n, event->u.snap);
        break;
    case PC_NODE_SNAPSHOT:
        n->snapshot.is_ordered = true;
        break;
    case PC_NODE_BRANCH:
        node_solo_event(n, &event->u.branch);
        break;
    case PC_NODE_LOG_DROPPED:
        node_snapshot_log_dropped(n, event->u.log_first);
        break;
    default:
        PC_ASSERT(false); /* not of the disk */
    }
}
