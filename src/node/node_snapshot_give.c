/* What peers get of this node's newest snapshot: its meta, and one chunk after the other. */
#include "node_int.h"

void node_give_ask(struct pc_node *n, const struct pc_msg *msg)
{
    const struct node_newest *newest = &n->snapshot.newest;
    struct pc_snapshot_msg *answer = &node_msg_add(n, PC_MSG_SNAP_META, msg->from)->snapshot;
    answer->nonce = msg->snapshot.nonce;
    if (newest->base.index < msg->snapshot.index && msg->snapshot.index <= n->applied) {
        n->snapshot.is_ordered = true; /* nobody may have one so new: the peer asks again */
    }
    if (newest->base.index == 0 || newest->is_damaged || newest->base.index < msg->snapshot.index) {
        return;
    }
    answer->bytes = newest->bytes;
    answer->chunks = newest->chunks;
    answer->hash = newest->hash;
    answer->body = pc_blob_ref(newest->meta);
}

static struct pc_snapshot_msg *give_answer(struct pc_node *n, const struct node_give *give)
{
    struct pc_snapshot_msg *m = &node_msg_add(n, PC_MSG_SNAP_CHUNK, give->peer)->snapshot;
    m->nonce = give->nonce;
    m->index = give->index;
    m->chunk = give->chunk;
    return m;
}

/* Questions beyond the bound are dropped: the asking node asks again. */
void node_give_get(struct pc_node *n, const struct pc_msg *msg)
{
    for (size_t i = 0; i < NODE_GIVES_MAX; i++) {
        struct node_give *give = &n->gives[i];
        if (give->tag != 0) {
            continue;
        }
        *give = (struct node_give){
            .tag = ++n->snapshot.last_tag,
            .peer = msg->from,
            .nonce = msg->snapshot.nonce,
            .index = msg->snapshot.index,
            .chunk = msg->snapshot.chunk,
        };
        if (give->index == n->snapshot.newest.base.index && n->snapshot.newest.is_damaged) {
            (void)give_answer(n, give); /* without a chunk: the peer turns to another one */
            give->tag = 0;
            return;
        }
        struct pc_node_snap *snap = node_snap_add(n, PC_NODE_SNAP_READ, give->tag);
        snap->base.index = give->index;
        snap->number = give->chunk;
        return;
    }
}

bool node_give_event(struct pc_node *n, const struct pc_node_snap_event *event)
{
    for (size_t i = 0; i < NODE_GIVES_MAX && event->type == PC_NODE_SNAP_GOT; i++) {
        struct node_give *give = &n->gives[i];
        if (give->tag != event->tag) {
            continue;
        }
        struct pc_blob *body = NULL;
        bool is_there = event->err == PC_OK && pc_blob_new(event->chunk, &body) == PC_OK;
        if (is_there || event->err == PC_E_NOT_FOUND || event->err == PC_E_CORRUPT ||
            event->err == PC_E_IO) {
            give_answer(n, give)->body = body;
        }
        give->tag = 0;
        return true;
    }
    return false;
}
