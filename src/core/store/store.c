/* The store from outside: making one, reading it, measuring it.
 *
 *      key --SipHash--> table --> item --> value (blob)
 *                                  |  \--> content type (interned)
 *                                  \-----> slot in the heap of deadlines
 *
 * A read never changes anything, not even for an item past its deadline: removal belongs to the
 * entry that moves time (store_apply.c), or nodes that are read more would differ from the others.
 */
#include "store_int.h"

#include <stdlib.h>

struct pc_store *pc_store_new(const struct pc_store_opts *opts)
{
    struct pc_store *store = pc_xalloc(sizeof *store);
    pc_store_table_create(&store->table, opts->hash_seed, pc_store_item_key_of);
    pc_store_types_create(&store->types, opts->hash_seed);
    pc_store_deadlines_create(&store->deadlines);
    pc_store_cursor_create(&store->cursor);
    return store;
}

static void delete_item(void *context, struct pc_store_link *link)
{
    (void)context;
    link->next = NULL;
    pc_store_item_delete((struct pc_store_item *)link);
}

void pc_store_delete(struct pc_store *store)
{
    if (store == NULL) {
        return;
    }
    pc_store_cursor_destroy(&store->cursor);
    pc_store_table_each(&store->table, delete_item, NULL);
    pc_store_table_destroy(&store->table);
    pc_store_types_destroy(&store->types);
    pc_store_deadlines_destroy(&store->deadlines);
    free(store);
}

struct pc_store_item *pc_store_find(
    const struct pc_store *store, uint64_t hash, struct pc_slice key)
{
    return (struct pc_store_item *)pc_store_table_find(&store->table, hash, key);
}

bool pc_store_is_visible(const struct pc_store *store, const struct pc_store_item *item)
{
    pc_ms deadline_ms = pc_store_deadlines_of(&store->deadlines, item);
    return deadline_ms == 0 || deadline_ms > store->stamp_ms;
}

pc_err pc_store_get(const struct pc_store *store, struct pc_slice key, struct pc_item *item)
{
    uint64_t hash = pc_store_table_hash(&store->table, key);
    const struct pc_store_item *found = pc_store_find(store, hash, key);
    if (found == NULL || !pc_store_is_visible(store, found)) {
        return PC_E_NOT_FOUND;
    }
    *item = pc_store_view(store, found);
    PC_ASSERT(item->version <= store->applied);
    return PC_OK;
}

pc_ms pc_store_ttl_left(const struct pc_store *store, const struct pc_item *item)
{
    return item->deadline_ms > store->stamp_ms ? item->deadline_ms - store->stamp_ms : 0;
}

void pc_store_stats(const struct pc_store *store, struct pc_store_stats *stats)
{
    PC_ASSERT(store->deadlines.count <= store->table.count);
    *stats = (struct pc_store_stats){
        .items = store->table.count,
        .items_expiring = store->deadlines.count,
        .data_bytes = store->data_bytes,
        .memory_bytes = pc_store_chunk_bytes(sizeof *store) + store->items_memory_bytes +
                        pc_store_table_memory_bytes(&store->table) +
                        pc_store_types_memory_bytes(&store->types) +
                        pc_store_array_memory_bytes(&store->deadlines.slots) +
                        pc_store_cursor_memory_bytes(&store->cursor),
        .aside_bytes = pc_store_cursor_memory_bytes(&store->cursor),
        .expired_total = store->expired_total,
        .applied = store->applied,
        .stamp_ms = store->stamp_ms,
    };
}

struct each {
    const struct pc_store *store;
    void (*each)(void *context, const struct pc_item *item);
    void *context;
};

static void each_item(void *context, struct pc_store_link *link)
{
    const struct each *each = context;
    struct pc_item item = pc_store_view(each->store, (const struct pc_store_item *)link);
    each->each(each->context, &item);
}

void pc_store_each(const struct pc_store *store,
    void (*each)(void *context, const struct pc_item *item), void *context)
{
    struct each call = {.store = store, .each = each, .context = context};
    pc_store_table_each(&store->table, each_item, &call);
}
