/* Loading: an empty store becomes what a snapshot says.
 *
 * Where the items come from is not trusted: a file, or another node. What an item says of itself is
 * judged here when it comes; whether all of them together are the state that the snapshot claims to
 * be is told by the digest in the end. A store with a wrong one must not be used: the next entries
 * would make of it something that no other node has.
 *
 * The items come in the order of another store's buckets, which is random here. So each one costs
 * the misses of one random access; with the table's size known beforehand it is no more than one,
 * and no item is ever moved. */
#include "store_int.h"

#include <string.h>

void pc_store_load_begin(struct pc_store *store, uint64_t items_hint)
{
    PC_ASSERT(!store->loading && store->applied == 0 && store->table.count == 0);
    PC_ASSERT(store->cursor.state == PC_STORE_SNAPSHOT_NONE);
    store->loading = true;
    store->load_version_max = 0;
    if (items_hint > 0) {
        pc_store_table_reserve(&store->table, items_hint);
    }
}

static bool is_sound(const struct pc_stored_item *item)
{
    return item->key.len >= 1 && item->key.len <= PC_KEY_BYTES_MAX &&
           item->value.len <= PC_VALUE_BYTES_MAX &&
           item->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX && item->created >= 1 &&
           item->created <= item->version && item->version <= PC_STORE_INDEX_MAX;
}

/* Gets all memory that the item needs; nothing can be seen of it yet. */
static pc_err prepare(
    struct pc_store *store, const struct pc_stored_item *item, struct pc_store_item **out)
{
    if (item->deadline_ms != 0) {
        pc_err err = pc_store_deadlines_reserve(&store->deadlines);
        if (err != PC_OK) {
            return err;
        }
    }
    uint32_t type;
    pc_err err = pc_store_types_ref(&store->types, item->content_type, &type);
    if (err != PC_OK) {
        return err;
    }
    err = pc_store_item_new(item->key, item->value, type, out);
    if (err != PC_OK) {
        pc_store_types_unref(&store->types, type);
    }
    return err;
}

static pc_err load(struct pc_store *store, const struct pc_stored_item *item, uint64_t hash)
{
    PC_ASSERT(store->loading);
    if (!is_sound(item)) {
        return PC_E_CORRUPT;
    }
    if (pc_store_find(store, hash, item->key) != NULL) {
        return PC_E_CORRUPT;
    }
    struct pc_store_item *fresh = NULL;
    pc_err err = prepare(store, item, &fresh);
    if (err != PC_OK) {
        return err;
    }
    fresh->version = item->version;
    pc_store_item_set_created(fresh, item->created);
    pc_store_attach(store, hash, fresh, item->deadline_ms);
    if (item->version > store->load_version_max) {
        store->load_version_max = item->version;
    }
    pc_store_table_step(&store->types.table);
    /* A table with more buckets than a wrong hint leaves in use keeps them until the first entry.
     */
    if (store->table.old != NULL || store->table.count > store->table.buckets_len) {
        pc_store_table_step(&store->table);
    }
    return PC_OK;
}

pc_err pc_store_load(struct pc_store *store, const struct pc_stored_item *item)
{
    return load(store, item, pc_store_table_hash(&store->table, item->key));
}

/* Bucket and first item of its chain lie in two places, and the first says where the second is:
 * what one item waits for is fetched for all of them at once. */
static void fetch(const struct pc_store *store, const uint64_t *hashes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pc_store_table_fetch(&store->table, hashes[i]);
    }
    for (size_t i = 0; i < n; i++) {
        __builtin_prefetch(pc_store_table_head(&store->table, hashes[i]));
    }
}

/* Whoever changes an item looks at its value, too. */
void pc_store_prefetch(const struct pc_store *store, const struct pc_slice *keys, size_t n)
{
    uint64_t hashes[PC_STORE_PREFETCH_MAX] = {0};
    PC_ASSERT(n <= PC_STORE_PREFETCH_MAX);
    for (size_t i = 0; i < n; i++) {
        hashes[i] = pc_store_table_hash(&store->table, keys[i]);
    }
    fetch(store, hashes, n);
    for (size_t i = 0; i < n; i++) {
        const struct pc_store_link *head = pc_store_table_head(&store->table, hashes[i]);
        if (head != NULL) {
            __builtin_prefetch(((const struct pc_store_item *)head)->value);
        }
    }
}

pc_err pc_store_load_many(
    struct pc_store *store, const struct pc_stored_item *items, size_t items_n)
{
    uint64_t hashes[PC_STORE_PREFETCH_MAX];
    for (size_t done = 0; done < items_n; done += PC_STORE_PREFETCH_MAX) {
        size_t n = items_n - done < PC_STORE_PREFETCH_MAX ? items_n - done : PC_STORE_PREFETCH_MAX;
        for (size_t i = 0; i < n; i++) {
            hashes[i] = pc_store_table_hash(&store->table, items[done + i].key);
        }
        fetch(store, hashes, n);
        for (size_t i = 0; i < n; i++) {
            pc_err err = load(store, &items[done + i], hashes[i]);
            if (err != PC_OK) {
                return err;
            }
        }
    }
    return PC_OK;
}

pc_err pc_store_load_end(
    struct pc_store *store, pc_index applied, pc_ms stamp_ms, const struct pc_hash *digest)
{
    PC_ASSERT(store->loading && store->applied == 0);
    struct pc_hash loaded = pc_store_digest(store);
    if (applied > PC_STORE_INDEX_MAX || store->load_version_max > applied ||
        memcmp(loaded.b, digest->b, sizeof loaded.b) != 0) {
        return PC_E_CORRUPT;
    }
    store->loading = false;
    store->applied = applied;
    store->stamp_ms = stamp_ms;
    return PC_OK;
}
