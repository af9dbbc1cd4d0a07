/* Requests about members on the node that took them. The leader carries them out; what it answers,
 * the client hears. A leader that is gone may have done it or not: the next one is asked again, and
 * told so, for what it finds done is then no error. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

bool node_name_is_valid(const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok) {
            return false;
        }
    }
    return len > 0 && len <= PC_NAME_BYTES_MAX;
}

void node_member_request(struct pc_node *n, const struct pc_request *request)
{
    const struct pc_member_change *change = &request->member;
    PC_ASSERT(change->op >= PC_MEMBER_ADD && change->op <= PC_MEMBER_REPLACE);
    if (!node_name_is_valid(change->name)) {
        struct pc_reply *reply = node_reply_add(n, request->tag, PC_REPLY_REFUSED);
        (void)snprintf(reply->text, sizeof reply->text,
            "a name has 1 to %d letters, digits, '.', '_' or '-'", PC_NAME_BYTES_MAX);
        return;
    }
    if (n->asks_n == NODE_ASKS_MAX) {
        (void)node_reply_add(n, request->tag, PC_REPLY_OVERLOADED);
        return;
    }
    n->asks[n->asks_n++] = (struct node_ask){
        .tag = request->tag,
        .nonce = n->next_nonce++,
        .change = *change,
        .try_at = n->now,
        .deadline = pc_instant_add_ms(n->now, n->opts.leader_wait_ms + n->opts.request_timeout_ms),
    };
}

static void ask_done(
    struct pc_node *n, struct node_ask *ask, enum pc_reply_status status, const char *text)
{
    struct pc_reply *reply = node_reply_add(n, ask->tag, status);
    (void)snprintf(reply->text, sizeof reply->text, "%s", text);
    *ask = n->asks[--n->asks_n];
}

/* Whoever had it cannot answer any more. */
static bool ask_is_orphaned(struct pc_node *n, const struct node_ask *ask)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool is_reachable = ask->sent_to == n->opts.id || pc_node_peer_is_up(n, ask->sent_to);
    return status.term != ask->sent_term || status.leader != ask->sent_to || !is_reachable;
}

static void ask_try(struct pc_node *n, struct node_ask *ask, const struct pc_raft_status *status)
{
    struct pc_member_msg out = {
        .nonce = ask->nonce, .op = ask->change.op, .want = ask->change.want, .again = ask->again};
    memcpy(out.name, ask->change.name, sizeof out.name);
    ask->sent = true;
    ask->sent_to = status->leader;
    ask->sent_term = status->term;
    if (status->leader == n->opts.id) {
        node_member_handle(n, n->opts.id, &out);
        return;
    }
    struct pc_msg *msg = node_msg_add(n, PC_MSG_MEMBER, status->leader);
    msg->member = pc_xalloc(sizeof *msg->member);
    *msg->member = out;
}

void node_member_send(struct pc_node *n)
{
    struct pc_raft_status status;
    if (n->asks_n == 0) {
        return;
    }
    pc_raft_status(n->raft, &status);
    for (size_t i = n->asks_n; i-- > 0;) { /* an answered one is replaced by the last */
        struct node_ask *ask = &n->asks[i];
        if (ask->sent && ask_is_orphaned(n, ask)) {
            ask->sent = false;
            ask->again = true;
            ask->try_at = n->now;
        }
        bool is_there = status.leader == n->opts.id ||
                        (status.leader != 0 && pc_node_peer_is_up(n, status.leader));
        if (!ask->sent && is_there && pc_instant_is_due(ask->try_at, n->now)) {
            ask_try(n, ask, &status);
        }
    }
}

void node_member_answered(struct pc_node *n, pc_node_id from, const struct pc_member_msg *answer)
{
    for (size_t i = 0; i < n->asks_n; i++) {
        struct node_ask *ask = &n->asks[i];
        if (ask->nonce != answer->nonce || !ask->sent || ask->sent_to != from) {
            continue;
        }
        if (answer->result == PC_MEMBER_DONE) {
            ask_done(n, ask, PC_REPLY_OK, "");
        } else if (answer->result == PC_MEMBER_REFUSED) {
            /* Of one that was asked before nobody knows whether that was done, and undone since. */
            ask_done(n, ask, ask->again ? PC_REPLY_UNKNOWN : PC_REPLY_REFUSED, answer->text);
        } else {
            ask->sent = false;
            ask->try_at = pc_instant_add_ms(n->now, NODE_ASK_RETRY_MS);
            memcpy(ask->text, answer->text, sizeof ask->text);
        }
        return;
    }
}

void node_member_expire(struct pc_node *n)
{
    for (size_t i = n->asks_n; i-- > 0;) {
        struct node_ask *ask = &n->asks[i];
        if (!pc_instant_is_due(ask->deadline, n->now)) {
            continue;
        }
        if (ask->sent || ask->again) {
            ask_done(n, ask, PC_REPLY_UNKNOWN, "");
        } else if (ask->text[0] != '\0') {
            char text[sizeof ask->text];
            memcpy(text, ask->text, sizeof text);
            ask_done(n, ask, PC_REPLY_REFUSED, text);
        } else {
            ask_done(n, ask, PC_REPLY_NO_LEADER, "");
        }
    }
}

void node_member_fail_all(struct pc_node *n, enum pc_reply_status status)
{
    while (n->asks_n > 0) {
        struct node_ask *ask = &n->asks[n->asks_n - 1];
        ask_done(n, ask, ask->sent || ask->again ? PC_REPLY_UNKNOWN : status, "");
    }
}

struct pc_instant node_member_ask_wake_at(const struct pc_node *n)
{
    struct pc_instant wake = PC_INSTANT_NEVER;
    for (size_t i = 0; i < n->asks_n; i++) {
        const struct node_ask *ask = &n->asks[i];
        wake = pc_instant_min(wake, ask->deadline);
        if (!ask->sent && !pc_instant_is_due(ask->try_at, n->now)) {
            wake = pc_instant_min(wake, ask->try_at);
        }
    }
    return wake;
}
