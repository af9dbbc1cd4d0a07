/* One item: its memory, and its entry into and exit from every index at once.
 *
 *      new --attach--> [in the table, counted, in the digest] --remove--> freed, or kept aside
 *                        |  ^                                            for a snapshot
 *                        +--+ touch (version and deadline)
 *
 * Nothing here fails once memory is at hand: whoever applies an entry makes the item and reserves
 * the heap's slot first, and can then no longer stop half-way. A SET never changes an item in
 * place: it removes the old one and attaches the new one. */
#include "store_int.h"

#include <stdlib.h>
#include <string.h>

#define VALUE_HASH_BYTES 16

static size_t key_offset(const struct pc_store_item *item)
{
    return (item->packed & PC_STORE_HAS_HASH) != 0 ? VALUE_HASH_BYTES : 0;
}

static size_t key_len(const struct pc_store_item *item)
{
    return (item->packed & (PC_STORE_HAS_HASH - 1)) + 1;
}

pc_err pc_store_item_new(
    struct pc_slice key, struct pc_slice value, uint32_t type, struct pc_store_item **out)
{
    PC_ASSERT(key.len >= 1 && key.len <= PC_KEY_BYTES_MAX);
    bool has_hash = value.len > PC_STORE_HASH_KEPT_OVER_BYTES;
    size_t offset = has_hash ? VALUE_HASH_BYTES : 0;
    struct pc_store_item *item = malloc(sizeof *item + offset + key.len);
    if (item == NULL) {
        return PC_E_NOMEM;
    }
    *item = (struct pc_store_item){.packed = (has_hash ? PC_STORE_HAS_HASH : 0) | (key.len - 1),
        .heap_slot = PC_STORE_NO_SLOT,
        .type = type};
    pc_err err = pc_blob_new(value, &item->value);
    if (err != PC_OK) {
        free(item);
        return err;
    }
    if (offset > 0) {
        pc_store_digest_value(value, item->tail);
    }
    memcpy(item->tail + offset, key.data, key.len);
    *out = item;
    return PC_OK;
}

void pc_store_item_delete(struct pc_store_item *item)
{
    PC_ASSERT(item->link.next == NULL);
    pc_blob_unref(item->value);
    free(item);
}

pc_err pc_store_item_copy(const struct pc_store_item *item, struct pc_store_item **out)
{
    size_t bytes = sizeof *item + key_offset(item) + key_len(item);
    struct pc_store_item *copy = malloc(bytes);
    if (copy == NULL) {
        return PC_E_NOMEM;
    }
    memcpy(copy, item, bytes);
    copy->link.next = NULL;
    copy->heap_slot = PC_STORE_NO_SLOT;
    (void)pc_blob_ref(copy->value);
    *out = copy;
    return PC_OK;
}

struct pc_slice pc_store_item_key(const struct pc_store_item *item)
{
    return pc_slice_of(item->tail + key_offset(item), key_len(item));
}

struct pc_slice pc_store_item_key_of(const struct pc_store_link *link)
{
    return pc_store_item_key((const struct pc_store_item *)link);
}

pc_index pc_store_item_created(const struct pc_store_item *item)
{
    return item->packed >> PC_STORE_CREATED_SHIFT;
}

void pc_store_item_set_created(struct pc_store_item *item, pc_index created)
{
    PC_ASSERT(created <= PC_STORE_INDEX_MAX);
    uint64_t rest = item->packed & ((UINT64_C(1) << PC_STORE_CREATED_SHIFT) - 1);
    item->packed = created << PC_STORE_CREATED_SHIFT | rest;
}

const uint8_t *pc_store_item_value_hash(const struct pc_store_item *item)
{
    return key_offset(item) > 0 ? item->tail : NULL;
}

uint64_t pc_store_item_memory_bytes(const struct pc_store_item *item)
{
    uint64_t tail = key_offset(item) + key_len(item);
    return pc_store_chunk_bytes(sizeof *item + tail) +
           pc_store_chunk_bytes(sizeof *item->value + item->value->len);
}

struct pc_item pc_store_view(const struct pc_store *store, const struct pc_store_item *item)
{
    return (struct pc_item){
        .key = pc_store_item_key(item),
        .content_type = pc_store_types_text(&store->types, item->type),
        .value = item->value,
        .version = item->version,
        .created = pc_store_item_created(item),
        .deadline_ms = pc_store_deadlines_of(&store->deadlines, item),
    };
}

static uint64_t data_bytes(const struct pc_store *store, const struct pc_store_item *item)
{
    return key_len(item) + item->value->len + pc_store_types_text(&store->types, item->type).len;
}

static void digest_add(struct pc_store *store, uint64_t hash, const struct pc_store_item *item)
{
    struct pc_store_sum sum = pc_store_digest_item(store, item);
    store->digest = pc_store_sum_add(store->digest, sum);
    if (pc_store_scrub_has_seen(store, hash)) {
        store->scrub.sum = pc_store_sum_add(store->scrub.sum, sum);
    }
}

static void digest_subtract(struct pc_store *store, uint64_t hash, const struct pc_store_item *item)
{
    struct pc_store_sum sum = pc_store_digest_item(store, item);
    store->digest = pc_store_sum_subtract(store->digest, sum);
    if (pc_store_scrub_has_seen(store, hash)) {
        store->scrub.sum = pc_store_sum_subtract(store->scrub.sum, sum);
    }
}

void pc_store_attach(
    struct pc_store *store, uint64_t hash, struct pc_store_item *item, pc_ms deadline_ms)
{
    PC_ASSERT(item->heap_slot == PC_STORE_NO_SLOT);
    PC_ASSERT(pc_store_item_created(item) >= 1);
    PC_ASSERT(pc_store_item_created(item) <= item->version);
    pc_store_table_insert(&store->table, hash, &item->link);
    if (deadline_ms != 0) {
        pc_store_deadlines_set(&store->deadlines, item, deadline_ms);
    }
    store->data_bytes += data_bytes(store, item);
    store->items_memory_bytes += pc_store_item_memory_bytes(item);
    digest_add(store, hash, item);
}

void pc_store_remove(struct pc_store *store, uint64_t hash, struct pc_store_item *item)
{
    digest_subtract(store, hash, item);
    PC_ASSERT(store->data_bytes >= data_bytes(store, item));
    store->data_bytes -= data_bytes(store, item);
    PC_ASSERT(store->items_memory_bytes >= pc_store_item_memory_bytes(item));
    store->items_memory_bytes -= pc_store_item_memory_bytes(item);
    pc_ms deadline_ms = pc_store_deadlines_of(&store->deadlines, item);
    bool wanted = pc_store_cursor_leave(store, hash, item);
    pc_store_deadlines_clear(&store->deadlines, item);
    pc_store_table_remove(&store->table, hash, &item->link);
    if (wanted && pc_store_cursor_keep(store, item, deadline_ms)) {
        return;
    }
    pc_store_types_unref(&store->types, item->type);
    pc_store_item_delete(item);
}

void pc_store_touch(struct pc_store *store, uint64_t hash, struct pc_store_item *item,
    pc_index version, pc_ms deadline_ms)
{
    PC_ASSERT(version > item->version);
    pc_store_cursor_keep_copy(store, hash, item);
    digest_subtract(store, hash, item);
    item->version = version;
    if (deadline_ms != 0) {
        pc_store_deadlines_set(&store->deadlines, item, deadline_ms);
    } else {
        pc_store_deadlines_clear(&store->deadlines, item);
    }
    digest_add(store, hash, item);
}
