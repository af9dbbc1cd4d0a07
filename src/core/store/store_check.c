/* The invariants of store_int.h as a program.
 *
 * Everything kept is computed again from the items alone: digest, counters, references to content
 * types. S1, S2, S4 and S5 are asserted where their data structures live. */
#include "store_int.h"

#include <stdlib.h>
#include <string.h>

struct check {
    const struct pc_store *store;
    uint32_t *type_refs; /* counted, by id */
    size_t with_deadline;
    uint64_t wanted; /* by a snapshot */
    pc_index version_max;
    uint64_t data_bytes;
    uint64_t memory_bytes;
    struct pc_store_sum digest;
};

static void check_bounds(const struct pc_store *store, const struct pc_item *item)
{
    PC_ASSERT(item->key.len >= 1 && item->key.len <= PC_KEY_BYTES_MAX); /* S3 */
    PC_ASSERT(item->value != NULL && item->value->refs > 0);
    PC_ASSERT(item->value->len <= PC_VALUE_BYTES_MAX);
    PC_ASSERT(item->created >= 1);
    PC_ASSERT(item->created <= item->version);
    PC_ASSERT(item->version <= (store->loading ? store->load_version_max : store->applied));
}

static void check_value_hash(const struct pc_store_item *item)
{
    const uint8_t *kept = pc_store_item_value_hash(item);
    if (kept != NULL) {
        uint8_t hash[16];
        pc_store_digest_value(pc_blob_slice(item->value), hash);
        PC_ASSERT(memcmp(hash, kept, sizeof hash) == 0); /* S6 */
    }
}

static void check_item(void *context, struct pc_store_link *link)
{
    struct check *check = context;
    const struct pc_store_item *item = (const struct pc_store_item *)link;
    struct pc_item view = pc_store_view(check->store, item);
    check_bounds(check->store, &view);
    check_value_hash(item);
    PC_ASSERT(item->type < check->store->types.slots_len);
    check->type_refs[item->type]++;
    if (view.deadline_ms != 0) {
        check->with_deadline++;
    }
    uint64_t hash = pc_store_table_hash(&check->store->table, view.key);
    if (pc_store_cursor_wants(check->store, hash, item)) {
        check->wanted++;
    }
    if (view.version > check->version_max) {
        check->version_max = view.version;
    }
    check->data_bytes += view.key.len + view.value->len + view.content_type.len;
    check->memory_bytes += pc_store_item_memory_bytes(item);
    check->digest = pc_store_sum_add(check->digest, pc_store_digest_item(check->store, item));
}

void pc_store_check(const struct pc_store *store)
{
    pc_store_table_check(&store->table);
    struct check check = {.store = store};
    check.type_refs = pc_xalloc(store->types.slots_len * sizeof *check.type_refs);
    pc_store_table_each(&store->table, check_item, &check);

    /* Slots and items name each other: pc_store_view went from item to slot, the check goes back.
     * With equal counts no slot names an item outside the table. */
    pc_store_deadlines_check(&store->deadlines);
    PC_ASSERT(check.with_deadline == store->deadlines.count); /* S4 */

    pc_store_cursor_check(store, check.wanted, check.type_refs);
    pc_store_types_check(&store->types, check.type_refs);
    free(check.type_refs);

    PC_ASSERT(check.digest.low == store->digest.low); /* S6 */
    PC_ASSERT(check.digest.high == store->digest.high);
    PC_ASSERT(check.data_bytes == store->data_bytes); /* S7 */
    PC_ASSERT(check.memory_bytes == store->items_memory_bytes);
    PC_ASSERT_IMPLIES(store->loading, store->applied == 0); /* S9 */
    PC_ASSERT_IMPLIES(store->loading, check.version_max == store->load_version_max);
}
