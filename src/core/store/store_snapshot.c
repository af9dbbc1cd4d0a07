/* A snapshot: the state as it was at one entry, given out while later entries change it.
 *
 *     chains, by place   [ visited | at: half of one visited | not yet visited           ]
 *                                   ^ place - 1               ^ place
 *     aside              what the not yet visited part has lost since: removed items, and copies of
 *                        those that were given another version and deadline in place
 *
 * Nothing is marked when it begins. An item in a chain that was not visited is of the snapshot
 * exactly when its version is not above the entry at which the snapshot began: whatever changes an
 * item gives it a new version. So what has to be kept aside is known from the item and its place
 * alone, and each item once: from then on the table has none of its key, or one too young.
 *
 * For that, places must stand still: the table is frozen meanwhile, a rehash that was under way
 * included, whose two arrays are then just more places. Chains get longer until the snapshot is
 * over; a store that doubles meanwhile has chains of two.
 *
 * What is aside goes first, so it does not pile up while nobody but the iteration is slow. A
 * snapshot that cannot keep an item aside is given up, and the entry that changes the item is
 * applied all the same: a replica does not fail for a reason that is not in the log. Freeing what
 * a snapshot that was given up had aside could be a pause, hence it lies at the bottom of the stack
 * as stale, and every entry frees a little. */
#include "store_int.h"

#define FETCH_ITEM_AHEAD 24 /* chains */
#define FETCH_VALUE_AHEAD 12

void pc_store_cursor_create(struct pc_store_cursor *cursor)
{
    *cursor = (struct pc_store_cursor){.state = PC_STORE_SNAPSHOT_NONE};
    pc_store_array_create(&cursor->aside, sizeof(struct pc_store_aside));
}

static struct pc_store_aside *aside_at(const struct pc_store_cursor *cursor, size_t i)
{
    PC_ASSERT(i < cursor->aside_n);
    return pc_store_array_at(&cursor->aside, i);
}

void pc_store_cursor_destroy(struct pc_store_cursor *cursor)
{
    for (size_t i = 0; i < cursor->aside_n; i++) {
        pc_store_item_delete(aside_at(cursor, i)->item);
    }
    pc_store_array_destroy(&cursor->aside);
}

uint64_t pc_store_cursor_memory_bytes(const struct pc_store_cursor *cursor)
{
    return cursor->memory_bytes + pc_store_array_memory_bytes(&cursor->aside);
}

/* Takes the last item off the stack; it is the caller's. */
static struct pc_store_aside pop(struct pc_store_cursor *cursor)
{
    struct pc_store_aside aside = *aside_at(cursor, cursor->aside_n - 1);
    cursor->aside_n--;
    if (cursor->stale_n > cursor->aside_n) {
        cursor->stale_n = cursor->aside_n;
    }
    PC_ASSERT(cursor->memory_bytes >= pc_store_item_memory_bytes(aside.item));
    cursor->memory_bytes -= pc_store_item_memory_bytes(aside.item);
    pc_store_array_trim(&cursor->aside, cursor->aside_n);
    return aside;
}

/* Bounded work: pop has trimmed the stack while it shrank. */
static void free_empty_stack(struct pc_store_cursor *cursor)
{
    if (cursor->aside_n == 0) {
        PC_ASSERT(cursor->memory_bytes == 0);
        pc_store_array_destroy(&cursor->aside);
    }
}

static void free_aside(struct pc_store *store, struct pc_store_item *item)
{
    pc_store_types_unref(&store->types, item->type);
    pc_store_item_delete(item);
}

void pc_store_cursor_step(struct pc_store *store)
{
    struct pc_store_cursor *cursor = &store->cursor;
    if (cursor->state == PC_STORE_SNAPSHOT_RUNS) {
        return;
    }
    PC_ASSERT(cursor->stale_n == cursor->aside_n);
    if (cursor->aside_n == 0) {
        return;
    }
    for (int i = 0; i < PC_STORE_STALE_FREED_PER_ENTRY && cursor->aside_n > 0; i++) {
        free_aside(store, pop(cursor).item);
    }
    free_empty_stack(cursor);
}

/* ---- what entries tell it */

bool pc_store_cursor_wants(
    const struct pc_store *store, uint64_t hash, const struct pc_store_item *item)
{
    const struct pc_store_cursor *cursor = &store->cursor;
    if (cursor->state != PC_STORE_SNAPSHOT_RUNS || item->version > cursor->applied) {
        return false;
    }
    size_t place = pc_store_table_place(&store->table, hash);
    if (place + 1 != cursor->place) {
        return place >= cursor->place;
    }
    const struct pc_store_link *link = cursor->at;
    while (link != NULL && link != &item->link) {
        link = link->next;
    }
    return link != NULL;
}

static void leave_state(struct pc_store *store, enum pc_store_snapshot_state state)
{
    struct pc_store_cursor *cursor = &store->cursor;
    PC_ASSERT(cursor->state == PC_STORE_SNAPSHOT_RUNS && store->table.frozen);
    cursor->state = state;
    cursor->at = NULL;
    cursor->stale_n = cursor->aside_n;
    store->table.frozen = false;
    free_empty_stack(cursor);
}

bool pc_store_cursor_keep(struct pc_store *store, struct pc_store_item *item, pc_ms deadline_ms)
{
    struct pc_store_cursor *cursor = &store->cursor;
    PC_ASSERT(cursor->state == PC_STORE_SNAPSHOT_RUNS);
    PC_ASSERT(item->link.next == NULL && item->heap_slot == PC_STORE_NO_SLOT);
    if (pc_store_array_reserve(&cursor->aside, cursor->aside_n + 1) != PC_OK) {
        leave_state(store, PC_STORE_SNAPSHOT_LOST);
        return false;
    }
    cursor->aside_n++;
    *aside_at(cursor, cursor->aside_n - 1) =
        (struct pc_store_aside){.item = item, .deadline_ms = deadline_ms};
    cursor->memory_bytes += pc_store_item_memory_bytes(item);
    return true;
}

void pc_store_cursor_keep_copy(
    struct pc_store *store, uint64_t hash, const struct pc_store_item *item)
{
    if (!pc_store_cursor_wants(store, hash, item)) {
        return;
    }
    struct pc_store_item *copy;
    if (pc_store_item_copy(item, &copy) != PC_OK) {
        leave_state(store, PC_STORE_SNAPSHOT_LOST);
        return;
    }
    if (pc_store_types_ref_again(&store->types, copy->type) != PC_OK) {
        leave_state(store, PC_STORE_SNAPSHOT_LOST);
        pc_store_item_delete(copy);
        return;
    }
    if (!pc_store_cursor_keep(store, copy, pc_store_deadlines_of(&store->deadlines, item))) {
        free_aside(store, copy);
    }
}

bool pc_store_cursor_leave(struct pc_store *store, uint64_t hash, const struct pc_store_item *item)
{
    bool wanted = pc_store_cursor_wants(store, hash, item);
    if (store->cursor.at == &item->link) {
        store->cursor.at = item->link.next;
    }
    return wanted;
}

/* ---- what its user does */

void pc_store_snapshot_begin(struct pc_store *store, struct pc_store_snapshot *out)
{
    struct pc_store_cursor *cursor = &store->cursor;
    PC_ASSERT(cursor->state == PC_STORE_SNAPSHOT_NONE && !store->loading);
    PC_ASSERT(cursor->stale_n == cursor->aside_n);
    cursor->state = PC_STORE_SNAPSHOT_RUNS;
    cursor->applied = store->applied;
    cursor->items_left = store->table.count;
    cursor->place = 0;
    cursor->at = NULL;
    store->table.frozen = true;
    *out = (struct pc_store_snapshot){
        .applied = store->applied,
        .stamp_ms = store->stamp_ms,
        .digest = pc_store_digest(store),
        .items = store->table.count,
    };
}

/* What one call may still do. */
struct budget {
    size_t items;
    size_t buckets;
    pc_store_item_fn *each;
    void *context;
};

static void give(struct pc_store *store, struct budget *budget, const struct pc_item *item)
{
    PC_ASSERT(item->version <= store->cursor.applied);
    PC_ASSERT(store->cursor.items_left > 0);
    store->cursor.items_left--;
    if (!budget->each(budget->context, item)) {
        budget->items = 0;
    }
}

static void give_aside(struct pc_store *store, struct budget *budget)
{
    struct pc_store_cursor *cursor = &store->cursor;
    while (budget->items > 0 && cursor->aside_n > cursor->stale_n) {
        struct pc_store_aside aside = pop(cursor);
        struct pc_item item = pc_store_view(store, aside.item);
        item.deadline_ms = aside.deadline_ms;
        budget->items--;
        give(store, budget, &item);
        free_aside(store, aside.item);
    }
}

static void give_chain(struct pc_store *store, struct budget *budget)
{
    struct pc_store_cursor *cursor = &store->cursor;
    while (budget->items > 0 && cursor->at != NULL) {
        const struct pc_store_item *item = (const struct pc_store_item *)cursor->at;
        cursor->at = cursor->at->next;
        budget->items--;
        if (item->version <= cursor->applied) {
            struct pc_item view = pc_store_view(store, item);
            give(store, budget, &view);
        }
    }
}

/* Items lie anywhere in memory: what is given some chains later is fetched now, first the item and
 * then, when that has come, its value. */
static void fetch_ahead(const struct pc_store_table *table, size_t place)
{
    size_t places = pc_store_table_places(table);
    if (place + FETCH_ITEM_AHEAD < places) {
        __builtin_prefetch(pc_store_table_chain(table, place + FETCH_ITEM_AHEAD));
    }
    if (place + FETCH_VALUE_AHEAD < places) {
        const struct pc_store_link *link = pc_store_table_chain(table, place + FETCH_VALUE_AHEAD);
        if (link != NULL) {
            __builtin_prefetch(((const struct pc_store_item *)link)->value);
        }
    }
}

/* Goes on to the next chain. False when there is none, or the call has looked at enough. */
static bool enter_chain(struct pc_store *store, struct budget *budget)
{
    struct pc_store_cursor *cursor = &store->cursor;
    PC_ASSERT(cursor->at == NULL);
    if (budget->items == 0 || budget->buckets == 0 ||
        cursor->place == pc_store_table_places(&store->table)) {
        return false;
    }
    budget->buckets--;
    fetch_ahead(&store->table, cursor->place);
    cursor->at = pc_store_table_chain(&store->table, cursor->place++);
    return true;
}

pc_err pc_store_snapshot_next(
    struct pc_store *store, size_t items_max, pc_store_item_fn *each, void *context, bool *complete)
{
    struct pc_store_cursor *cursor = &store->cursor;
    PC_ASSERT(items_max >= 1 && cursor->state != PC_STORE_SNAPSHOT_NONE);
    if (cursor->state == PC_STORE_SNAPSHOT_LOST) {
        cursor->state = PC_STORE_SNAPSHOT_NONE;
        return PC_E_NOMEM;
    }
    struct budget budget = {.items = items_max, .each = each, .context = context};
    budget.buckets = items_max <= SIZE_MAX / PC_STORE_SNAPSHOT_BUCKETS_PER_ITEM
                         ? items_max * PC_STORE_SNAPSHOT_BUCKETS_PER_ITEM
                         : SIZE_MAX;
    give_aside(store, &budget);
    do {
        give_chain(store, &budget);
    } while (cursor->at == NULL && enter_chain(store, &budget));
    bool at_end = cursor->place == pc_store_table_places(&store->table) && cursor->at == NULL &&
                  cursor->aside_n == cursor->stale_n;
    PC_ASSERT_IMPLIES(at_end, cursor->items_left == 0);
    *complete = cursor->items_left == 0;
    if (*complete) {
        leave_state(store, PC_STORE_SNAPSHOT_NONE);
    }
    return PC_OK;
}

void pc_store_snapshot_end(struct pc_store *store)
{
    if (store->cursor.state == PC_STORE_SNAPSHOT_RUNS) {
        leave_state(store, PC_STORE_SNAPSHOT_NONE);
    }
    store->cursor.state = PC_STORE_SNAPSHOT_NONE;
}

bool pc_store_snapshot_runs(const struct pc_store *store)
{
    return store->cursor.state != PC_STORE_SNAPSHOT_NONE;
}

void pc_store_cursor_check(const struct pc_store *store, uint64_t wanted, uint32_t *type_refs)
{
    const struct pc_store_cursor *cursor = &store->cursor;
    bool runs = cursor->state == PC_STORE_SNAPSHOT_RUNS;
    uint64_t memory_bytes = 0;
    PC_ASSERT(store->table.frozen == runs);
    PC_ASSERT(cursor->stale_n <= cursor->aside_n);
    for (size_t i = 0; i < cursor->aside_n; i++) {
        const struct pc_store_item *item = aside_at(cursor, i)->item;
        PC_ASSERT(item->link.next == NULL && item->heap_slot == PC_STORE_NO_SLOT);
        PC_ASSERT(item->value->refs > 0);
        PC_ASSERT_IMPLIES(i >= cursor->stale_n, item->version <= cursor->applied); /* S8 */
        PC_ASSERT(item->type < store->types.slots_len);
        type_refs[item->type]++;
        memory_bytes += pc_store_item_memory_bytes(item);
    }
    PC_ASSERT(memory_bytes == cursor->memory_bytes);
    if (runs) {
        PC_ASSERT(cursor->place <= pc_store_table_places(&store->table));
        PC_ASSERT(cursor->items_left == wanted + (cursor->aside_n - cursor->stale_n));
    } else {
        PC_ASSERT(cursor->stale_n == cursor->aside_n && cursor->at == NULL);
    }
}
