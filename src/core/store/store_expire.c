/* Deadlines: a binary heap of (deadline, item), and the removal of what is due.
 *
 * The deadline stands in the heap's slot and nowhere else, so items without one pay four bytes for
 * the possibility. An item knows its slot, which makes changing or clearing a deadline O(log n).
 *
 * The order is (deadline, created index, key): a total order over what the log says, so that every
 * replica removes the same items with the same entry. The shape of the heap itself does depend on
 * the history of the process; only its first element is ever looked at. */
#include "store_int.h"

#include <string.h>

void pc_store_deadlines_create(struct pc_store_deadlines *deadlines)
{
    deadlines->count = 0;
    pc_store_array_create(&deadlines->slots, sizeof(struct pc_store_deadline));
}

void pc_store_deadlines_destroy(struct pc_store_deadlines *deadlines)
{
    deadlines->count = 0;
    pc_store_array_destroy(&deadlines->slots);
}

static struct pc_store_deadline *slot_at(const struct pc_store_deadlines *deadlines, size_t i)
{
    return pc_store_array_at(&deadlines->slots, i);
}

static bool key_is_before(struct pc_slice a, struct pc_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.data, b.data, len);
    return order != 0 ? order < 0 : a.len < b.len;
}

/* The key decides only between items that one entry created. */
static bool is_before(const struct pc_store_deadline *a, const struct pc_store_deadline *b)
{
    if (a->deadline_ms != b->deadline_ms) {
        return a->deadline_ms < b->deadline_ms;
    }
    pc_index created_a = pc_store_item_created(a->item);
    pc_index created_b = pc_store_item_created(b->item);
    if (created_a != created_b) {
        return created_a < created_b;
    }
    return key_is_before(pc_store_item_key(a->item), pc_store_item_key(b->item));
}

static void put(struct pc_store_deadlines *deadlines, size_t i, struct pc_store_deadline slot)
{
    PC_ASSERT(i < deadlines->count);
    *slot_at(deadlines, i) = slot;
    slot.item->heap_slot = (uint32_t)i;
}

/* Both sifts place `slot`, for which room is at i, and return where it went. */
static size_t sift_up(struct pc_store_deadlines *deadlines, size_t i, struct pc_store_deadline slot)
{
    while (i > 0) {
        size_t parent = (i - 1) / 2;
        if (!is_before(&slot, slot_at(deadlines, parent))) {
            break;
        }
        put(deadlines, i, *slot_at(deadlines, parent));
        i = parent;
    }
    put(deadlines, i, slot);
    return i;
}

static void sift_down(struct pc_store_deadlines *deadlines, size_t i, struct pc_store_deadline slot)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= deadlines->count) {
            break;
        }
        if (child + 1 < deadlines->count &&
            is_before(slot_at(deadlines, child + 1), slot_at(deadlines, child))) {
            child++;
        }
        if (!is_before(slot_at(deadlines, child), &slot)) {
            break;
        }
        put(deadlines, i, *slot_at(deadlines, child));
        i = child;
    }
    put(deadlines, i, slot);
}

static void sift(struct pc_store_deadlines *deadlines, size_t i, struct pc_store_deadline slot)
{
    if (sift_up(deadlines, i, slot) == i) {
        sift_down(deadlines, i, slot);
    }
}

pc_err pc_store_deadlines_reserve(struct pc_store_deadlines *deadlines)
{
    if (deadlines->count >= PC_STORE_NO_SLOT) {
        return PC_E_NOMEM;
    }
    return pc_store_array_reserve(&deadlines->slots, deadlines->count + 1);
}

static bool names_item(const struct pc_store_deadlines *deadlines, const struct pc_store_item *item)
{
    return item->heap_slot < deadlines->count && slot_at(deadlines, item->heap_slot)->item == item;
}

void pc_store_deadlines_set(
    struct pc_store_deadlines *deadlines, struct pc_store_item *item, pc_ms deadline_ms)
{
    PC_ASSERT(deadline_ms > 0);
    struct pc_store_deadline slot = {.deadline_ms = deadline_ms, .item = item};
    if (item->heap_slot == PC_STORE_NO_SLOT) {
        deadlines->count++;
        (void)sift_up(deadlines, deadlines->count - 1, slot);
        return;
    }
    PC_ASSERT(names_item(deadlines, item));
    sift(deadlines, item->heap_slot, slot);
}

void pc_store_deadlines_clear(struct pc_store_deadlines *deadlines, struct pc_store_item *item)
{
    if (item->heap_slot == PC_STORE_NO_SLOT) {
        return;
    }
    PC_ASSERT(names_item(deadlines, item));
    size_t i = item->heap_slot;
    item->heap_slot = PC_STORE_NO_SLOT;
    deadlines->count--;
    if (i < deadlines->count) {
        sift(deadlines, i, *slot_at(deadlines, deadlines->count));
    }
    pc_store_array_trim(&deadlines->slots, deadlines->count);
}

pc_ms pc_store_deadlines_of(
    const struct pc_store_deadlines *deadlines, const struct pc_store_item *item)
{
    if (item->heap_slot == PC_STORE_NO_SLOT) {
        return 0;
    }
    PC_ASSERT(names_item(deadlines, item));
    return slot_at(deadlines, item->heap_slot)->deadline_ms;
}

struct pc_store_item *pc_store_deadlines_due(
    const struct pc_store_deadlines *deadlines, pc_ms stamp_ms)
{
    if (deadlines->count == 0) {
        return NULL;
    }
    const struct pc_store_deadline *first = slot_at(deadlines, 0);
    return first->deadline_ms <= stamp_ms ? first->item : NULL;
}

void pc_store_expire_due(struct pc_store *store)
{
    for (int i = 0; i < PC_EXPIRE_PER_ENTRY_MAX; i++) {
        struct pc_store_item *item = pc_store_deadlines_due(&store->deadlines, store->stamp_ms);
        if (item == NULL) {
            return;
        }
        PC_ASSERT(!pc_store_is_visible(store, item));
        pc_store_remove(store, pc_store_table_hash(&store->table, pc_store_item_key(item)), item);
        store->expired_total++;
    }
}

void pc_store_deadlines_check(const struct pc_store_deadlines *deadlines)
{
    for (size_t i = 0; i < deadlines->count; i++) {
        const struct pc_store_deadline *slot = slot_at(deadlines, i);
        PC_ASSERT(slot->deadline_ms > 0);
        PC_ASSERT(slot->item->heap_slot == i);
        PC_ASSERT_IMPLIES(i > 0, !is_before(slot, slot_at(deadlines, (i - 1) / 2)));
    }
}
