/* Client writes on the node that took them: waiting for a leader, proposed or forwarded, answered
 * when this node has applied the entry that carries the request id. */
#include "pcache/protocol.h"

#include "node_int.h"

static void client_write(struct pc_node *n, const struct pc_request *request)
{
    bool is_full = n->writes_n >= PC_PENDING_REQUESTS_MAX ||
                   n->writes_bytes + request->command.value.len > PC_PENDING_BYTES_MAX;
    if (is_full) {
        (void)node_reply_add(n, request->tag, PC_REPLY_OVERLOADED);
        return;
    }
    struct pc_buf buf = {0};
    pc_wire_encode_command(&request->command, &buf);
    struct pc_blob *body = NULL;
    pc_err err = pc_blob_new(pc_slice_of(buf.data, buf.len), &body);
    pc_buf_destroy(&buf);
    if (err != PC_OK) {
        (void)node_reply_add(n, request->tag, PC_REPLY_OVERLOADED);
        return;
    }
    (void)node_write_new(n, request->tag, body);
}

void node_client_request(struct pc_node *n, const struct pc_request *request)
{
    if (n->failed) {
        (void)node_reply_add(n, request->tag, PC_REPLY_STOPPING);
        return;
    }
    bool is_of_clients = request->type == PC_REQUEST_GET || request->type == PC_REQUEST_WRITE;
    if (node_is_spare(n) && is_of_clients) {
        (void)node_reply_add(n, request->tag, PC_REPLY_SPARE);
        return;
    }
    if (request->type == PC_REQUEST_GET) {
        node_read_request(n, request);
    } else if (request->type == PC_REQUEST_MEMBER) {
        node_member_request(n, request);
    } else if (request->type == PC_REQUEST_SNAPSHOT) {
        node_order_request(n, request);
    } else {
        PC_ASSERT(request->type == PC_REQUEST_WRITE);
        client_write(n, request);
    }
}

/* Appends everything that waits to this leader's own log, as one bunch. */
static void client_propose(struct pc_node *n)
{
    struct pc_raft_proposal batch[256];
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    while (n->waiting.first != NULL && pc_raft_can_propose(n->raft)) {
        size_t count = 0;
        while (n->waiting.first != NULL && count < sizeof batch / sizeof batch[0]) {
            struct node_write *w = n->waiting.first;
            batch[count++] = (struct pc_raft_proposal){
                .kind = PC_ENTRY_COMMAND,
                .req = {.node = n->opts.id, .boot = n->opts.generation, .seq = w->seq},
                .body = w->body,
            };
            node_write_sent(n, w, n->opts.id, status.term);
        }
        struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
        event.u.propose.v = batch;
        event.u.propose.n = count;
        node_raft_step(n, &event);
        n->proposed_at = n->now;
    }
}

/* What the disks have no room for. */
static void client_refuse(struct pc_node *n)
{
    enum pc_space_level verdict = node_disk_verdict(n);
    struct node_write *next;
    for (struct node_write *w = n->waiting.first; w != NULL && verdict != PC_SPACE_OK; w = next) {
        next = w->next;
        if (node_disk_refuses(verdict, w->body)) {
            node_write_answer(n, w, PC_REPLY_LOG_FULL);
        }
    }
}

/* What a member could not read: nobody may propose it. */
static void client_refuse_newer(struct pc_node *n)
{
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1];
    if (!node_protocol_lacks(n, PC_PROTOCOL_CONDITIONS, text, sizeof text)) {
        return;
    }
    struct node_write *next;
    for (struct node_write *w = n->waiting.first; w != NULL; w = next) {
        next = w->next;
        if (pc_wire_command_protocol(pc_blob_slice(w->body)) >= PC_PROTOCOL_CONDITIONS) {
            node_write_refuse(n, w, text);
        }
    }
}

void node_client_send(struct pc_node *n)
{
    if (n->waiting.first == NULL || node_solo_take_writes(n) ||
        !pc_instant_is_due(n->pause_until, n->now)) {
        return;
    }
    client_refuse_newer(n);
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (status.leader == n->opts.id && !status.transferring) {
        client_refuse(n); /* where it is being handed over, the next leader decides */
    }
    if (pc_raft_can_propose(n->raft)) {
        client_propose(n);
    } else if (status.leader != 0 && pc_node_peer_is_up(n, status.leader)) {
        node_forward_send(n, status.leader);
    }
}

void node_client_applied(
    struct pc_node *n, const struct pc_entry *entry, const struct pc_outcome *outcome)
{
    if (entry->req.node != n->opts.id || entry->req.boot != n->opts.generation) {
        return;
    }
    struct node_write *w = node_write_find(n, entry->req.seq);
    if (w == NULL) {
        return; /* answered as unknown meanwhile */
    }
    struct pc_reply *reply = node_reply_add(n, w->tag, PC_REPLY_OK);
    reply->outcome = *outcome;
    reply->index = entry->index;
    reply->stamp_ms = entry->stamp_ms;
    node_write_remove(n, w);
}

/* The life of the leader that had the command is over, or out of reach. */
static bool write_is_orphaned(struct pc_node *n, const struct node_write *w)
{
    const struct node_peer *peer = node_peer_find(n, w->sent_to);
    return peer == NULL || !peer->up || peer->hello.generation != w->sent_life;
}

/* The log up to the first entry of a later term is settled, and what was sent before is not in it:
 * only the leader that had it could still say more, by a refusal. One that is gone will not, nor
 * will one that has started anew. Waiting on would change nothing; the client had better learn at
 * once that nobody knows. */
void node_client_give_up(struct pc_node *n)
{
    struct node_write *next;
    for (struct node_write *w = n->sent.first; w != NULL; w = next) {
        next = w->next;
        if (w->sent_term < n->applied_term && write_is_orphaned(n, w)) {
            node_write_answer(n, w, PC_REPLY_UNKNOWN);
        }
    }
}

void node_client_expire(struct pc_node *n)
{
    while (n->waiting.first != NULL && pc_instant_is_due(n->waiting.first->deadline, n->now)) {
        node_write_answer(n, n->waiting.first, PC_REPLY_NO_LEADER);
    }
    while (n->sent.first != NULL && pc_instant_is_due(n->sent.first->deadline, n->now)) {
        node_write_answer(n, n->sent.first, PC_REPLY_UNKNOWN);
    }
    while (n->branched.first != NULL && pc_instant_is_due(n->branched.first->deadline, n->now)) {
        node_write_answer(n, n->branched.first, PC_REPLY_UNKNOWN);
    }
}

void node_client_fail_all(struct pc_node *n, enum pc_reply_status status)
{
    while (n->waiting.first != NULL) {
        node_write_answer(n, n->waiting.first, status);
    }
    while (n->sent.first != NULL) {
        /* It may have been committed elsewhere: that is all that can be said. */
        node_write_answer(n, n->sent.first, PC_REPLY_UNKNOWN);
    }
    while (n->branched.first != NULL) {
        node_write_answer(n, n->branched.first, PC_REPLY_UNKNOWN); /* its file may have it */
    }
}

static bool client_needs_tick(const struct pc_node *n)
{
    struct pc_store_stats stats;
    pc_store_stats(n->store, &stats);
    return stats.items_expiring > 0 && pc_raft_can_propose(n->raft);
}

static struct pc_instant client_tick_at(const struct pc_node *n)
{
    bool spares = node_disk_space(n) >= PC_SPACE_HARD;
    return pc_instant_add_ms(n->proposed_at, spares ? NODE_TICK_SPARING_MS : NODE_TICK_MS);
}

void node_client_tick(struct pc_node *n)
{
    if (!client_needs_tick(n) || !pc_instant_is_due(client_tick_at(n), n->now)) {
        return;
    }
    struct pc_command command = {.op = PC_OP_TICK};
    struct pc_buf buf = {0};
    pc_wire_encode_command(&command, &buf);
    struct pc_raft_proposal tick = {.kind = PC_ENTRY_COMMAND};
    pc_err err = pc_blob_new(pc_slice_of(buf.data, buf.len), &tick.body);
    pc_buf_destroy(&buf);
    if (err != PC_OK) {
        pc_out_of_memory(sizeof(struct pc_blob));
    }
    struct pc_raft_event event = {.type = PC_RAFT_PROPOSE};
    event.u.propose.v = &tick;
    event.u.propose.n = 1;
    node_raft_step(n, &event);
    pc_blob_unref(tick.body);
    n->proposed_at = n->now;
}

struct pc_instant node_client_wake_at(const struct pc_node *n)
{
    struct pc_instant wake = PC_INSTANT_NEVER;
    if (n->waiting.first != NULL) {
        wake = n->waiting.first->deadline;
        if (!pc_instant_is_due(n->pause_until, n->now)) {
            wake = pc_instant_min(wake, n->pause_until);
        }
    }
    if (n->sent.first != NULL) {
        wake = pc_instant_min(wake, n->sent.first->deadline);
    }
    if (n->branched.first != NULL) {
        wake = pc_instant_min(wake, n->branched.first->deadline);
    }
    if (client_needs_tick(n)) {
        wake = pc_instant_min(wake, client_tick_at(n));
    }
    return wake;
}
