/* The pending writes: found by sequence number, and in two lists ordered by deadline. A write gets
 * its time to wait for a leader once, when it comes: a refusal that comes late does not renew it,
 * or a client could wait several times over. So a refused write goes back to its place among those
 * that wait; all others are appended. */
#include <stdio.h>
#include <stdlib.h>

#include "node_int.h"

static struct node_write_list *write_list(struct pc_node *n, enum node_write_state state)
{
    return state == NODE_WRITE_WAITING ? &n->waiting
           : state == NODE_WRITE_SENT  ? &n->sent
                                       : &n->branched;
}

static void write_unlink(struct pc_node *n, struct node_write *w)
{
    struct node_write_list *list = write_list(n, w->state);
    *(w->prev != NULL ? &w->prev->next : &list->first) = w->next;
    *(w->next != NULL ? &w->next->prev : &list->last) = w->prev;
    w->next = w->prev = NULL;
}

static void write_link(struct pc_node *n, struct node_write *w, enum node_write_state state)
{
    struct node_write_list *list = write_list(n, state);
    w->state = state;
    w->deadline = state == NODE_WRITE_WAITING
                      ? w->wait_until
                      : pc_instant_add_ms(n->now, n->opts.request_timeout_ms);
    struct node_write *before = list->last;
    while (before != NULL && before->deadline.us > w->deadline.us) {
        before = before->prev;
    }
    w->prev = before;
    w->next = before != NULL ? before->next : list->first;
    *(before != NULL ? &before->next : &list->first) = w;
    *(w->next != NULL ? &w->next->prev : &list->last) = w;
}

struct node_write *node_write_new(struct pc_node *n, uint64_t tag, struct pc_blob *body)
{
    struct node_write *w = pc_xalloc(sizeof *w);
    w->seq = n->next_seq++;
    w->tag = tag;
    w->body = body;
    w->wait_until = pc_instant_add_ms(n->now, n->opts.leader_wait_ms);
    struct node_write **bucket = &n->buckets[w->seq % NODE_WRITE_BUCKETS];
    w->bucket_next = *bucket;
    *bucket = w;
    write_link(n, w, NODE_WRITE_WAITING);
    n->writes_n++;
    n->writes_bytes += body->len;
    return w;
}

struct node_write *node_write_find(const struct pc_node *n, uint64_t seq)
{
    struct node_write *w = n->buckets[seq % NODE_WRITE_BUCKETS];
    while (w != NULL && w->seq != seq) {
        w = w->bucket_next;
    }
    return w;
}

void node_write_move(struct pc_node *n, struct node_write *w, enum node_write_state state)
{
    PC_ASSERT(w->state != state);
    write_unlink(n, w);
    write_link(n, w, state);
}

void node_write_sent(struct pc_node *n, struct node_write *w, pc_node_id leader, pc_term term)
{
    w->attempt++; /* a refusal that comes twice says nothing of this one */
    const struct node_peer *peer = node_peer_find(n, leader);
    w->sent_to = leader;
    w->sent_life = peer != NULL ? peer->hello.generation : 0;
    w->sent_term = term;
    node_write_move(n, w, NODE_WRITE_SENT);
}

void node_write_remove(struct pc_node *n, struct node_write *w)
{
    write_unlink(n, w);
    struct node_write **at = &n->buckets[w->seq % NODE_WRITE_BUCKETS];
    while (*at != w) {
        PC_ASSERT(*at != NULL);
        at = &(*at)->bucket_next;
    }
    *at = w->bucket_next;
    PC_ASSERT(n->writes_n > 0 && n->writes_bytes >= w->body->len);
    n->writes_n--;
    n->writes_bytes -= w->body->len;
    pc_blob_unref(w->body);
    free(w);
}

void node_write_refuse(struct pc_node *n, struct node_write *w, const char *text)
{
    struct pc_reply *reply = node_reply_add(n, w->tag, PC_REPLY_REFUSED);
    (void)snprintf(reply->text, sizeof reply->text, "%s", text);
    node_write_remove(n, w);
}

void node_write_answer(struct pc_node *n, struct node_write *w, enum pc_reply_status status)
{
    PC_ASSERT(status != PC_REPLY_OK);
    (void)node_reply_add(n, w->tag, status);
    node_write_remove(n, w);
}
