/* The outputs of a step, and how those of the raft machine become the node's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

/* Makes room for one more element of `size` bytes and zeroes it. */
static void *effects_grow(void **v, size_t *n, size_t *cap, size_t size)
{
    if (*n == *cap) {
        *cap = *cap == 0 ? 8 : *cap * 2;
        *v = pc_xrealloc(*v, *cap * size);
    }
    void *slot = (char *)*v + *n * size;
    memset(slot, 0, size);
    (*n)++;
    return slot;
}

struct pc_reply *node_reply_add(struct pc_node *n, uint64_t tag, enum pc_reply_status status)
{
    struct pc_node_effects *fx = n->fx;
    if (fx->replies_n == fx->replies_cap) {
        fx->replies_cap = fx->replies_cap == 0 ? 64 : fx->replies_cap * 2;
        fx->replies = pc_xrealloc(fx->replies, fx->replies_cap * sizeof *fx->replies);
    }
    struct pc_reply *reply = &fx->replies[fx->replies_n++];
    /* The text buffers are large and mostly unused: only their first bytes are cleared. */
    memset(reply, 0, offsetof(struct pc_reply, content_type) + 1);
    reply->text[0] = '\0';
    reply->tag = tag;
    reply->status = status;
    return reply;
}

struct pc_msg *node_msg_add(struct pc_node *n, enum pc_msg_type type, pc_node_id to)
{
    PC_ASSERT(to != 0 && to != n->opts.id);
    struct pc_node_effects *fx = n->fx;
    struct pc_msg *msg =
        effects_grow((void **)&fx->msgs, &fx->msgs_n, &fx->msgs_cap, sizeof *fx->msgs);
    msg->type = type;
    msg->from = n->opts.id;
    msg->to = to;
    return msg;
}

void node_load_add(struct pc_node *n, uint64_t tag, pc_index first, pc_index last)
{
    struct pc_node_effects *fx = n->fx;
    struct pc_node_load *load =
        effects_grow((void **)&fx->loads, &fx->loads_n, &fx->loads_cap, sizeof *fx->loads);
    *load = (struct pc_node_load){
        .tag = tag, .first = first, .last = last, .bytes_max = PC_LOAD_BYTES_MAX};
}

void node_life_add(struct pc_node *n, const struct pc_life *life)
{
    struct pc_node_effects *fx = n->fx;
    struct pc_life *slot =
        effects_grow((void **)&fx->lives, &fx->lives_n, &fx->lives_cap, sizeof *fx->lives);
    *slot = *life;
}

struct pc_node_snap *node_snap_add(struct pc_node *n, enum pc_node_snap_type type, uint64_t tag)
{
    struct pc_node_effects *fx = n->fx;
    struct pc_node_snap *snap =
        effects_grow((void **)&fx->snaps, &fx->snaps_n, &fx->snaps_cap, sizeof *fx->snaps);
    snap->type = type;
    snap->tag = tag;
    return snap;
}

void node_note_add(struct pc_node *n, enum pc_note_type type, pc_node_id id, uint64_t a, uint64_t b,
    const char *text)
{
    struct pc_node_effects *fx = n->fx;
    struct pc_note *note =
        effects_grow((void **)&fx->notes, &fx->notes_n, &fx->notes_cap, sizeof *fx->notes);
    note->type = type;
    note->id = id;
    note->a = a;
    note->b = b;
    (void)snprintf(note->text, sizeof note->text, "%s", text); /* for people: may be cut */
}

void node_note_members(struct pc_node *n)
{
    for (size_t i = 0; i < n->fx->swim.changed_n; i++) {
        const struct pc_member *member = &n->fx->swim.changed[i];
        node_note_add(
            n, PC_NOTE_MEMBER, member->id, member->state, member->incarnation, member->name);
    }
}

static void effects_take_writes(struct pc_node *n)
{
    struct pc_node_effects *fx = n->fx;
    for (size_t i = 0; i < n->raft_fx.writes_n; i++) {
        struct pc_raft_write *write =
            effects_grow((void **)&fx->writes, &fx->writes_n, &fx->writes_cap, sizeof *fx->writes);
        *write = n->raft_fx.writes[i];
        node_disk_written(n, write->seq);
    }
    n->raft_fx.writes_n = 0;
}

void node_raft_step(struct pc_node *n, struct pc_raft_event *event)
{
    event->now = n->now;
    PC_ASSERT(n->raft_fx.msgs_n == 0 && n->raft_fx.writes_n == 0 && n->raft_fx.reads_n == 0);
    pc_raft_step(n->raft, event, &n->raft_fx);
    for (size_t i = 0; i < n->raft_fx.msgs_n; i++) {
        struct pc_msg *msg = node_msg_add(n, PC_MSG_RAFT, n->raft_fx.msgs[i].to);
        msg->raft = n->raft_fx.msgs[i];
        if (!node_protocol_may_send(n, msg)) {
            pc_msg_clear(msg);
            n->fx->msgs_n--;
        }
    }
    n->raft_fx.msgs_n = 0; /* moved, entries included */
    effects_take_writes(n);
    for (size_t i = 0; i < n->raft_fx.loads_n; i++) {
        const struct pc_raft_load *load = &n->raft_fx.loads[i];
        node_load_add(n, load->peer, load->first, load->last);
    }
    n->raft_fx.loads_n = 0;
    for (size_t i = 0; i < n->raft_fx.snapshots_n; i++) {
        node_fetch_want(n, n->raft_fx.snapshots[i].at_least);
    }
    n->raft_fx.snapshots_n = 0;
    for (size_t i = 0; i < n->raft_fx.reads_n; i++) {
        node_read_done(n, n->raft_fx.reads[i].ctx, n->raft_fx.reads[i].index);
    }
    n->raft_fx.reads_n = 0;
    node_config_watch(n);
}

void node_raft_watch(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (status.leader != 0) {
        n->leader_seen_at = n->now;
        n->leader_ever = true;
    }
    bool is_same = status.role == n->role_noted && status.term == n->term_noted &&
                   status.leader == n->leader_noted;
    if (!is_same) {
        n->role_noted = status.role;
        n->term_noted = status.term;
        n->leader_noted = status.leader;
        node_note_add(n, PC_NOTE_ROLE, status.leader, status.role, status.term,
            node_name_of(n, status.leader));
    }
    if (status.divergence != n->divergence_noted) {
        n->divergence_noted = status.divergence;
        node_note_add(n, PC_NOTE_DIVERGENCE, status.leader, status.divergence, status.term, "");
    }
}

struct pc_node_branch *node_branch_add(struct pc_node *n, enum pc_node_branch_type type)
{
    struct pc_node_effects *fx = n->fx;
    struct pc_node_branch *branch = effects_grow(
        (void **)&fx->branches, &fx->branches_n, &fx->branches_cap, sizeof *fx->branches);
    branch->type = type;
    return branch;
}

void pc_node_effects_clear(struct pc_node_effects *fx)
{
    for (size_t i = 0; i < fx->msgs_n; i++) {
        pc_msg_clear(&fx->msgs[i]);
    }
    for (size_t i = 0; i < fx->writes_n; i++) {
        pc_entries_clear(&fx->writes[i].entries);
    }
    for (size_t i = 0; i < fx->repairs_n; i++) {
        pc_entries_clear(&fx->repairs[i].entries);
    }
    for (size_t i = 0; i < fx->snaps_n; i++) {
        pc_buf_destroy(&fx->snaps[i].chunk);
        pc_blob_unref(fx->snaps[i].config);
    }
    for (size_t i = 0; i < fx->replies_n; i++) {
        pc_blob_unref(fx->replies[i].value);
    }
    for (size_t i = 0; i < fx->branches_n; i++) {
        pc_blob_unref(fx->branches[i].record.command);
        pc_blob_unref(fx->branches[i].record.before);
    }
    fx->msgs_n = 0;
    fx->branches_n = 0;
    fx->snaps_n = 0;
    fx->writes_n = 0;
    fx->replies_n = 0;
    fx->loads_n = 0;
    fx->notes_n = 0;
    fx->repairs_n = 0;
    fx->lives_n = 0;
    fx->swim.out_n = 0;
    fx->swim.changed_n = 0;
}

void pc_node_effects_destroy(struct pc_node_effects *fx)
{
    pc_node_effects_clear(fx);
    free(fx->msgs);
    free(fx->writes);
    free(fx->loads);
    free(fx->replies);
    free(fx->notes);
    free(fx->repairs);
    free(fx->lives);
    free(fx->snaps);
    free(fx->branches);
    pc_swim_effects_destroy(&fx->swim);
    *fx = (struct pc_node_effects){0};
}
