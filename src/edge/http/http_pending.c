/* Requests that wait for the node. A tag names a slot and one life of it, so an answer that comes
 * after the client has gone finds nothing, even when the slot serves somebody else by then. */
#include "http_int.h"

#include <stdlib.h>

#define NO_SLOT UINT32_MAX

void pc_http_pending_create(struct pc_http_pending *pending, uint32_t cap)
{
    PC_ASSERT(cap > 0 && cap < NO_SLOT);
    *pending = (struct pc_http_pending){
        .slots = pc_xalloc(cap * sizeof(struct pc_http_pending_slot)), .cap = cap};
    for (uint32_t i = 0; i < cap; i++) {
        pending->slots[i].next_free = i + 1 < cap ? i + 1 : NO_SLOT;
    }
}

void pc_http_pending_destroy(struct pc_http_pending *pending)
{
    free(pending->slots);
    *pending = (struct pc_http_pending){0};
}

bool pc_http_pending_add(struct pc_http_pending *pending, struct pc_http_conn *conn, uint64_t *tag)
{
    PC_ASSERT(conn->slot == NO_SLOT);
    uint32_t at = pending->free_head;
    if (at == NO_SLOT) {
        return false;
    }
    struct pc_http_pending_slot *slot = &pending->slots[at];
    PC_ASSERT(slot->conn == NULL);
    pending->free_head = slot->next_free;
    pending->used++;
    slot->conn = conn;
    slot->generation++;
    conn->slot = at;
    *tag = (uint64_t)slot->generation << 32 | at;
    return true;
}

static void pending_free(struct pc_http_pending *pending, uint32_t at)
{
    struct pc_http_pending_slot *slot = &pending->slots[at];
    PC_ASSERT(slot->conn != NULL && slot->conn->slot == at && pending->used > 0);
    slot->conn->slot = NO_SLOT;
    slot->conn = NULL;
    slot->next_free = pending->free_head;
    pending->free_head = at;
    pending->used--;
}

struct pc_http_conn *pc_http_pending_take(struct pc_http_pending *pending, uint64_t tag)
{
    uint32_t at = (uint32_t)tag;
    if (at >= pending->cap) {
        return NULL;
    }
    struct pc_http_conn *conn = pending->slots[at].conn;
    if (conn == NULL || pending->slots[at].generation != tag >> 32) {
        return NULL;
    }
    pending_free(pending, at);
    return conn;
}

void pc_http_pending_drop(struct pc_http_pending *pending, struct pc_http_conn *conn)
{
    if (conn->slot != NO_SLOT) {
        pending_free(pending, conn->slot);
    }
}
