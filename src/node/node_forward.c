/* Commands on their way from the node that took them to the leader's log.
 *
 * The answer to a forwarded command is the entry itself, when the sender applies it. Only a refusal
 * is sent back: it proves that this leader did not propose the command, so it may go elsewhere. The
 * attempt number keeps a late refusal from reviving a command that has been sent again since. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_int.h"
#include "pcache/protocol.h"

static void forward_add(struct pc_msg *msg, size_t cap, const struct node_write *w)
{
    if (msg->forward.items == NULL) {
        msg->forward.items = pc_xalloc(cap * sizeof *msg->forward.items);
    }
    msg->forward.items[msg->forward.items_n++] = (struct pc_forward_item){
        .seq = w->seq,
        .attempt = w->attempt,
        .body = pc_blob_ref(w->body),
    };
}

void node_forward_send(struct pc_node *n, pc_node_id leader)
{
    enum { ITEMS_MAX = 1024 };
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    while (n->waiting.first != NULL) {
        struct pc_msg *msg = node_msg_add(n, PC_MSG_FORWARD, leader);
        msg->forward.boot = n->opts.generation;
        size_t bytes = 0;
        while (n->waiting.first != NULL && msg->forward.items_n < ITEMS_MAX &&
               bytes < PC_APPEND_BYTES_MAX) {
            struct node_write *w = n->waiting.first;
            bytes += w->body->len + 32;
            node_write_sent(n, w, leader, status.term);
            forward_add(msg, ITEMS_MAX, w);
        }
    }
}

/* Answers that the first `count` items of `items` were not proposed. */
static void forward_refuse(struct pc_node *n, const struct pc_msg *msg,
    const struct pc_forward_item *items, size_t count, enum pc_refusal reason)
{
    struct pc_msg *answer = node_msg_add(n, PC_MSG_FORWARD_REFUSED, msg->from);
    answer->forward.boot = msg->forward.boot;
    answer->forward.reason = reason;
    answer->forward.items = pc_xalloc((count + 1) * sizeof *answer->forward.items);
    answer->forward.items_n = count;
    for (size_t i = 0; i < count; i++) {
        answer->forward.items[i].seq = items[i].seq;
        answer->forward.items[i].attempt = items[i].attempt;
    }
}

static void forward_propose(struct pc_node *n, const struct pc_msg *msg,
    const struct pc_forward_item *items, size_t items_n)
{
    struct pc_raft_proposal batch[256];
    size_t done = 0;
    while (done < items_n) {
        size_t count = 0;
        while (done < items_n && count < sizeof batch / sizeof batch[0]) {
            const struct pc_forward_item *item = &items[done++];
            batch[count++] = (struct pc_raft_proposal){
                .kind = PC_ENTRY_COMMAND,
                .req = {.node = msg->from, .boot = msg->forward.boot, .seq = item->seq},
                .body = item->body,
            };
        }
        struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
        event.u.propose.v = batch;
        event.u.propose.n = count;
        node_raft_step(n, &event);
        n->proposed_at = n->now;
    }
}

/* What keeps a command from being proposed: the space there is, and who could not read it. */
struct forward_bars {
    enum pc_space_level space;
    bool protocol; /* a member does not speak PC_PROTOCOL_CONDITIONS */
};

static enum pc_refusal forward_judge(struct forward_bars bars, const struct pc_blob *body)
{
    if (bars.protocol && pc_wire_command_protocol(pc_blob_slice(body)) >= PC_PROTOCOL_CONDITIONS) {
        return PC_REFUSAL_PROTOCOL;
    }
    return node_disk_refuses(bars.space, body) ? PC_REFUSAL_LOG_FULL : PC_REFUSAL_NONE;
}

/* What the bars let pass is proposed, the rest refused, each with its reason. */
static void forward_sort_out(struct pc_node *n, const struct pc_msg *msg, struct forward_bars bars)
{
    static const enum pc_refusal verdicts[] = {
        PC_REFUSAL_NONE, PC_REFUSAL_LOG_FULL, PC_REFUSAL_PROTOCOL};
    size_t done = 0;
    struct pc_forward_item *items = pc_xalloc((msg->forward.items_n + 1) * sizeof *items);
    for (size_t v = 0; v < sizeof verdicts / sizeof verdicts[0]; v++) {
        size_t count = 0;
        for (size_t i = 0; i < msg->forward.items_n; i++) {
            if (forward_judge(bars, msg->forward.items[i].body) == verdicts[v]) {
                items[count++] = msg->forward.items[i];
            }
        }
        if (verdicts[v] == PC_REFUSAL_NONE) {
            forward_propose(n, msg, items, count);
        } else if (count > 0) {
            forward_refuse(n, msg, items, count, verdicts[v]);
        }
        done += count;
    }
    PC_ASSERT(done == msg->forward.items_n);
    free(items);
}

void node_forward_recv(struct pc_node *n, const struct pc_msg *msg)
{
    const struct pc_forward_item *items = msg->forward.items;
    size_t count = msg->forward.items_n;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool leads = status.role == PC_RAFT_LEADER;
    enum pc_space_level verdict = leads ? node_disk_verdict(n) : PC_SPACE_OK;
    if (verdict == PC_SPACE_FULL) {
        forward_refuse(n, msg, items, count, PC_REFUSAL_LOG_FULL);
        return;
    }
    if (node_config_get(&n->config, msg->from) == NULL || !pc_raft_can_propose(n->raft)) {
        forward_refuse(n, msg, items, count, PC_REFUSAL_NOT_LEADER);
        return;
    }
    struct forward_bars bars = {.space = verdict};
    char who[PC_MEMBER_TEXT_BYTES_MAX + 1];
    bars.protocol = node_protocol_lacks(n, PC_PROTOCOL_CONDITIONS, who, sizeof who);
    if (verdict == PC_SPACE_OK && !bars.protocol) {
        forward_propose(n, msg, items, count);
    } else {
        forward_sort_out(n, msg, bars);
    }
}

/* The leader knows who it is that could not read it; this node perhaps too. */
static void forward_answer_protocol(struct pc_node *n, struct node_write *w)
{
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1];
    if (!node_protocol_lacks(n, PC_PROTOCOL_CONDITIONS, text, sizeof text)) {
        (void)snprintf(text, sizeof text,
            "a member linked to the leader does not speak protocol %d: upgrade it first",
            PC_PROTOCOL_CONDITIONS);
    }
    node_write_refuse(n, w, text);
}

void node_forward_refused(struct pc_node *n, const struct pc_msg *msg)
{
    if (msg->forward.boot != n->opts.generation) {
        return;
    }
    for (size_t i = 0; i < msg->forward.items_n; i++) {
        const struct pc_forward_item *item = &msg->forward.items[i];
        struct node_write *w = node_write_find(n, item->seq);
        if (w == NULL || w->state != NODE_WRITE_SENT || w->attempt != item->attempt) {
            continue;
        }
        if (msg->forward.reason == PC_REFUSAL_LOG_FULL) {
            node_write_answer(n, w, PC_REPLY_LOG_FULL);
        } else if (msg->forward.reason == PC_REFUSAL_PROTOCOL) {
            forward_answer_protocol(n, w);
        } else if (pc_instant_is_due(w->wait_until, n->now)) {
            node_write_answer(n, w, PC_REPLY_NO_LEADER);
        } else {
            node_write_move(n, w, NODE_WRITE_WAITING);
        }
    }
    n->pause_until = pc_instant_add_ms(n->now, NODE_REFUSED_PAUSE_MS);
}
