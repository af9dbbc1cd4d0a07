#include "pcache/entry.h"

#include <sodium/crypto_generichash.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

/* What an entry costs beside its body, rounded up; only budgets depend on it. */
#define ENTRY_OVERHEAD_BYTES 128

struct pc_hash pc_entry_chain(const struct pc_hash *prev, const struct pc_entry *entry)
{
    uint8_t head[16 + 6 * 8 + 1];
    memcpy(head, prev->b, 16);
    pc_put_u64(head + 16, entry->index);
    pc_put_u64(head + 24, entry->term);
    pc_put_u64(head + 32, entry->stamp_ms);
    pc_put_u64(head + 40, entry->req.node);
    pc_put_u64(head + 48, entry->req.boot);
    pc_put_u64(head + 56, entry->req.seq);
    head[64] = (uint8_t)entry->kind;
    struct pc_slice body = pc_blob_slice(entry->body);
    struct pc_hash out;
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, sizeof out.b);
    (void)crypto_generichash_update(&state, head, sizeof head);
    if (body.len > 0) {
        (void)crypto_generichash_update(&state, body.data, body.len);
    }
    (void)crypto_generichash_final(&state, out.b, sizeof out.b);
    return out;
}

bool pc_hash_equal(const struct pc_hash *a, const struct pc_hash *b)
{
    return memcmp(a->b, b->b, sizeof a->b) == 0;
}

void pc_entry_copy(struct pc_entry *to, const struct pc_entry *from)
{
    *to = *from;
    (void)pc_blob_ref(to->body);
}

void pc_entry_clear(struct pc_entry *entry)
{
    pc_blob_unref(entry->body);
    *entry = (struct pc_entry){0};
}

size_t pc_entry_bytes(const struct pc_entry *entry)
{
    return ENTRY_OVERHEAD_BYTES + pc_blob_slice(entry->body).len;
}

void pc_entries_take(struct pc_entries *entries, const struct pc_entry *entry)
{
    if (entries->n == entries->cap) {
        entries->cap = entries->cap == 0 ? 16 : entries->cap * 2;
        entries->v = pc_xrealloc(entries->v, entries->cap * sizeof *entries->v);
    }
    entries->v[entries->n++] = *entry;
}

void pc_entries_push(struct pc_entries *entries, const struct pc_entry *entry)
{
    (void)pc_blob_ref(entry->body);
    pc_entries_take(entries, entry);
}

void pc_raw_entries_clear(struct pc_raw_entries *raw)
{
    pc_buf_destroy(&raw->bytes);
    *raw = (struct pc_raw_entries){0};
}

void pc_entries_clear(struct pc_entries *entries)
{
    for (size_t i = 0; i < entries->n; i++) {
        pc_entry_clear(&entries->v[i]);
    }
    free(entries->v);
    *entries = (struct pc_entries){0};
}
