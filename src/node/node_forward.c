/* Commands on their way from the node that took them to the leader's log.
 *
 * The answer to a forwarded command is the entry itself, when the sender applies it. Only a refusal
 * is sent back: it proves that this leader did not propose the command, so it may go elsewhere. The
 * attempt number keeps a late refusal from reviving a command that has been sent again since. */
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

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

/* Space is short: what lets the log grow is refused, the rest is proposed. */
static void forward_sort_out(
    struct pc_node *n, const struct pc_msg *msg, enum pc_space_level verdict)
{
    size_t count = msg->forward.items_n, taken = 0, refused = 0;
    struct pc_forward_item *items = pc_xalloc((count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) { /* those to be refused from the end on */
        const struct pc_forward_item *item = &msg->forward.items[i];
        bool refuses = node_disk_refuses(verdict, item->body);
        items[refuses ? count - ++refused : taken++] = *item;
    }
    PC_ASSERT(taken + refused == count);
    forward_propose(n, msg, items, taken);
    if (refused > 0) {
        forward_refuse(n, msg, items + taken, refused, PC_REFUSAL_LOG_FULL);
    }
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
    if (verdict == PC_SPACE_OK) {
        forward_propose(n, msg, items, count);
    } else {
        forward_sort_out(n, msg, verdict);
    }
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
        } else if (pc_instant_is_due(w->wait_until, n->now)) {
            node_write_answer(n, w, PC_REPLY_NO_LEADER);
        } else {
            node_write_move(n, w, NODE_WRITE_WAITING);
        }
    }
    n->pause_until = pc_instant_add_ms(n->now, NODE_REFUSED_PAUSE_MS);
}
