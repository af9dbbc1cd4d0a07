/* Reads. A local one is answered from memory at once. A linearizable one
 *   1. joins the others of this turn under one fresh number (ctx), a counter of this process,
 *   2. gets a read index from the leader, confirmed after the number was made,
 *   3. waits until this node has applied that index, and is answered from memory.
 * An answer to a number that was replaced meanwhile matches no read and is dropped. */
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

void node_read_fill(struct pc_reply *reply, const struct pc_item *item, pc_ms ttl_ms)
{
    reply->value = pc_blob_ref(item->value);
    reply->version = item->version;
    reply->expires = item->deadline_ms != 0;
    reply->ttl_ms = ttl_ms;
    PC_ASSERT(item->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    if (item->content_type.len > 0) {
        memcpy(reply->content_type, item->content_type.data, item->content_type.len);
    }
    reply->content_type[item->content_type.len] = '\0';
}

static void read_answer(struct pc_node *n, uint64_t tag, struct pc_slice key)
{
    struct pc_item item;
    bool found = pc_store_get(n->store, key, &item) == PC_OK;
    struct pc_reply *reply = node_reply_add(n, tag, found ? PC_REPLY_OK : PC_REPLY_NOT_FOUND);
    reply->index = n->applied;
    pc_node_quorum(n, n->now, &reply->quorum); /* later in this turn it may be another one's */
    if (found) {
        node_read_fill(reply, &item, pc_store_ttl_left(n->store, &item));
    }
}

void node_read_request(struct pc_node *n, const struct pc_request *request)
{
    if (node_solo_read(n, request)) {
        return;
    }
    bool is_loading = node_load_is_first(n) || node_digest_is_coming_back(n);
    if (request->consistency == PC_CONSISTENCY_LOCAL && is_loading) {
        (void)node_reply_add(n, request->tag, PC_REPLY_LOADING);
        return;
    }
    if (request->consistency == PC_CONSISTENCY_LOCAL) {
        read_answer(n, request->tag, request->key);
        return;
    }
    struct pc_blob *key = NULL;
    if (n->reads_n >= PC_PENDING_REQUESTS_MAX || pc_blob_new(request->key, &key) != PC_OK) {
        (void)node_reply_add(n, request->tag, PC_REPLY_OVERLOADED);
        return;
    }
    struct node_read *read = pc_xalloc(sizeof *read);
    read->tag = request->tag;
    read->key = key;
    read->deadline = pc_instant_add_ms(n->now, n->opts.leader_wait_ms);
    read->prev = n->reads_last;
    *(n->reads_last != NULL ? &n->reads_last->next : &n->reads_first) = read;
    n->reads_last = read;
    n->reads_n++;
    n->reads_unasked++;
}

static void read_remove(struct pc_node *n, struct node_read *read)
{
    *(read->prev != NULL ? &read->prev->next : &n->reads_first) = read->next;
    *(read->next != NULL ? &read->next->prev : &n->reads_last) = read->prev;
    PC_ASSERT(n->reads_n > 0);
    n->reads_n--;
    if (read->ctx == 0) {
        PC_ASSERT(n->reads_unasked > 0);
        n->reads_unasked--;
    }
    pc_blob_unref(read->key);
    free(read);
}

/* Forgets numbers whose answer is overdue. */
static void read_retry_overdue(struct pc_node *n)
{
    for (struct node_read *read = n->reads_first; read != NULL; read = read->next) {
        bool is_overdue = read->ctx != 0 && read->index == 0 &&
                          pc_instant_ms_between(read->asked_at, n->now) >= NODE_READ_RETRY_MS;
        if (is_overdue) {
            read->ctx = 0;
            n->reads_unasked++;
        }
    }
}

void node_read_ask(struct pc_node *n)
{
    if (n->reads_n == 0) {
        return;
    }
    read_retry_overdue(n);
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool may =
        status.leader == n->opts.id || (status.leader != 0 && pc_node_peer_is_up(n, status.leader));
    if (n->reads_unasked == 0 || !may || !pc_instant_is_due(n->pause_until, n->now)) {
        return;
    }
    uint64_t ctx = n->next_ctx++;
    for (struct node_read *read = n->reads_first; read != NULL; read = read->next) {
        if (read->ctx == 0) {
            read->ctx = ctx;
            read->asked_at = n->now;
        }
    }
    n->reads_unasked = 0;
    struct pc_raft_event event = {.type = PC_RAFT_READ};
    event.u.read_ctx = ctx;
    node_raft_step(n, &event);
}

void node_read_done(struct pc_node *n, uint64_t ctx, pc_index index)
{
    if (ctx == 0) {
        return; /* a peer's answer to no question: reads not asked for yet have this number */
    }
    for (struct node_read *read = n->reads_first; read != NULL; read = read->next) {
        if (read->ctx != ctx || read->index != 0) {
            continue;
        }
        read->index = index;
        if (index == 0) {
            read->ctx = 0;
            n->reads_unasked++;
            n->pause_until = pc_instant_add_ms(n->now, NODE_REFUSED_PAUSE_MS);
        }
    }
}

void node_read_answer_ready(struct pc_node *n)
{
    struct node_read *next;
    for (struct node_read *read = n->reads_first; read != NULL; read = next) {
        next = read->next;
        if (read->index != 0 && read->index <= n->applied) {
            read_answer(n, read->tag, pc_blob_slice(read->key));
            read_remove(n, read);
        }
    }
}

void node_read_expire(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    while (n->reads_first != NULL && pc_instant_is_due(n->reads_first->deadline, n->now)) {
        (void)node_reply_add(
            n, n->reads_first->tag, status.leader == 0 ? PC_REPLY_NO_LEADER : PC_REPLY_TIMEOUT);
        read_remove(n, n->reads_first);
    }
}

void node_read_fail_all(struct pc_node *n, enum pc_reply_status status)
{
    while (n->reads_first != NULL) {
        (void)node_reply_add(n, n->reads_first->tag, status);
        read_remove(n, n->reads_first);
    }
}

struct pc_instant node_read_wake_at(const struct pc_node *n)
{
    if (n->reads_n == 0) {
        return PC_INSTANT_NEVER;
    }
    struct pc_instant wake = n->reads_first->deadline;
    if (n->reads_unasked > 0 && !pc_instant_is_due(n->pause_until, n->now)) {
        wake = pc_instant_min(wake, n->pause_until);
    }
    for (const struct node_read *read = n->reads_first; read != NULL; read = read->next) {
        if (read->ctx != 0 && read->index == 0) {
            struct pc_instant retry = pc_instant_add_ms(read->asked_at, NODE_READ_RETRY_MS);
            return pc_instant_min(wake, retry);
        }
    }
    return wake;
}
