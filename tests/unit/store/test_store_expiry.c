/* Removal of what is due: its order, its bound per entry, and what commands see meanwhile. */
#include "store_kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/store/store_int.h"

#define BURST (2 * PC_EXPIRE_PER_ENTRY_MAX + 50)

static void key_of(char out[16], unsigned i)
{
    (void)snprintf(out, 16, "k%04u", i);
}

/* BURST items, all created at stamp 1000, with deadline 2000 + deadline_step * (BURST - i): the
 * last created goes first, unless deadline_step is 0. */
static struct pc_store *store_with_burst(uint8_t seed, pc_ms deadline_step)
{
    struct pc_store *store = kit_new(seed);
    for (unsigned i = 0; i < BURST; i++) {
        char key[16];
        key_of(key, i);
        (void)kit_set(store, 1000, key, "v", 1000 + deadline_step * (BURST - i));
    }
    return store;
}

static void mark(void *context, const struct pc_item *item)
{
    bool *present = context;
    char digits[8] = {0};
    memcpy(digits, item->key.data + 1, 4);
    present[strtoul(digits, NULL, 10)] = true;
}

/* Asserts that exactly the items [begin, end) are in memory. */
static void assert_in_memory(const struct pc_store *store, unsigned begin, unsigned end)
{
    bool present[BURST] = {false};
    pc_store_each(store, mark, present);
    for (unsigned i = 0; i < BURST; i++) {
        assert_int_equal(present[i], i >= begin && i < end);
    }
    assert_int_equal(kit_stats(store).items, end - begin);
    assert_int_equal(kit_stats(store).expired_total, BURST - (end - begin));
}

static void burst__one_deadline__goes_in_order_of_creation(void **state)
{
    (void)state;
    struct pc_store *store = store_with_burst(1, 0);
    kit_tick(store, 1999);
    assert_in_memory(store, 0, BURST);
    kit_tick(store, 2000);
    assert_in_memory(store, PC_EXPIRE_PER_ENTRY_MAX, BURST);
    assert_ok(pc_store_apply(store, kit_stats(store).applied + 1, 2000, NULL, NULL));
    assert_in_memory(store, 2 * PC_EXPIRE_PER_ENTRY_MAX, BURST);
    pc_store_check(store);
    (void)kit_delete(store, 2000, "none");
    assert_in_memory(store, 0, 0);
    pc_store_check(store);
    pc_store_delete(store);
}

static void burst__different_deadlines__earliest_goes_first(void **state)
{
    (void)state;
    struct pc_store *store = store_with_burst(2, 3);
    kit_tick(store, 2003); /* exactly the deadline of the last one */
    assert_in_memory(store, 0, BURST - 1);
    kit_tick(store, 1000000);
    assert_in_memory(store, 0, BURST - 1 - PC_EXPIRE_PER_ENTRY_MAX);
    pc_store_check(store);
    pc_store_delete(store);
}

static void burst__not_yet_removed__is_invisible(void **state)
{
    (void)state;
    struct pc_store *store = store_with_burst(3, 0);
    kit_tick(store, 2000);
    assert_int_equal(kit_stats(store).items, BURST - PC_EXPIRE_PER_ENTRY_MAX);
    for (unsigned i = 0; i < BURST; i++) {
        char key[16];
        key_of(key, i);
        assert_false(kit_has(store, key));
    }
    pc_store_delete(store);
}

/* The last of the burst is still in memory after one entry at the deadline. */
static void leftover__commands__act_as_if_missing(void **state)
{
    (void)state;
    char last[16];
    key_of(last, BURST - 1);
    struct pc_store *store = store_with_burst(4, 0);
    struct pc_store *twin = store_with_burst(5, 0);
    kit_tick(twin, 2000);
    assert_outcome(kit_delete(store, 2000, last), false, false, 0, 0);
    assert_digests_equal(store, twin);
    assert_in_memory(store, PC_EXPIRE_PER_ENTRY_MAX, BURST);
    pc_store_delete(store);

    store = store_with_burst(4, 0);
    assert_outcome(kit_expire(store, 2000, last, 500), false, false, 0, 0);
    assert_digests_equal(store, twin);
    pc_store_delete(store);

    store = store_with_burst(4, 0);
    assert_outcome(kit_persist(store, 2000, last), false, false, 0, 0);
    assert_digests_equal(store, twin);
    pc_store_delete(store);

    store = store_with_burst(4, 0);
    assert_outcome(kit_set(store, 2000, last, "v", 0), false, false, 0, 0);
    assert_digests_equal(store, twin);
    pc_store_delete(store);
    pc_store_delete(twin);
}

static void leftover__set__is_a_new_item_that_stays(void **state)
{
    (void)state;
    char last[16];
    key_of(last, BURST - 1);
    struct pc_store *store = store_with_burst(6, 0);
    assert_outcome(kit_set(store, 2000, last, "new", NO_TTL), false, true, BURST + 1, 0);
    assert_int_equal(kit_get(store, last).created, BURST + 1);
    assert_int_equal(kit_stats(store).items, BURST - PC_EXPIRE_PER_ENTRY_MAX);
    pc_store_check(store);
    kit_tick(store, 2000);
    kit_tick(store, 2000);
    assert_in_memory(store, BURST - 1, BURST);
    pc_store_delete(store);
}

static void removal__counts_once__when_the_item_was_replaced(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(7);
    for (unsigned i = 0; i < 50; i++) {
        (void)kit_set(store, 10, "a", "v", 100 + i);
        (void)kit_expire(store, 10, "a", 1000 - i);
    }
    assert_int_equal(kit_stats(store).items_expiring, 1);
    kit_tick(store, 10 + 1000 - 49);
    assert_int_equal(kit_stats(store).expired_total, 1);
    assert_int_equal(kit_stats(store).items, 0);
    pc_store_delete(store);
}

/* Three heap segments of deadlines come and go; the check walks the heap at each stage. */
static void deadlines__many__grow_and_shrink(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(8);
    char key[16];
    uint64_t empty_bytes = kit_stats(store).memory_bytes;
    for (unsigned i = 0; i < 3 * PC_STORE_SEGMENT_ELEMS; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        (void)kit_set(store, 1, key, "", 1 + (i * UINT64_C(7919)) % 10007);
    }
    pc_store_check(store);
    for (unsigned i = 0; i < 3 * PC_STORE_SEGMENT_ELEMS; i += 2) {
        (void)snprintf(key, sizeof key, "%u", i);
        (void)kit_persist(store, 1, key);
    }
    pc_store_check(store);
    assert_int_equal(kit_stats(store).items_expiring, 3 * PC_STORE_SEGMENT_ELEMS / 2);
    for (pc_ms stamp = 1; stamp < 10100; stamp++) {
        kit_tick(store, stamp);
    }
    assert_int_equal(kit_stats(store).items_expiring, 0);
    pc_store_check(store);
    for (unsigned i = 0; i < 3 * PC_STORE_SEGMENT_ELEMS; i += 2) {
        (void)snprintf(key, sizeof key, "%u", i);
        assert_true(kit_delete(store, 20000, key).existed);
    }
    for (unsigned i = 0; i < 10000; i++) {
        kit_tick(store, 20000); /* lets the table shrink */
    }
    pc_store_check(store);
    uint64_t spare_bytes = 3 * PC_STORE_SEGMENT_ELEMS * sizeof(struct pc_store_deadline);
    assert_true(kit_stats(store).memory_bytes <= empty_bytes + spare_bytes);
    pc_store_delete(store);
}

static struct pc_store_item *new_item(const char *key, pc_index created)
{
    struct pc_store_item *item;
    assert_ok(pc_store_item_new(pc_slice_str(key), pc_slice_str(""), 0, &item));
    pc_store_item_set_created(item, created);
    return item;
}

/* No single command creates two items, so this order is asked of the heap itself. */
static void deadlines__same_deadline_and_created__order_by_key(void **state)
{
    (void)state;
    static const char *const in[] = {"b", "ab", "\xff", "a", "aa"};
    static const char *const out[] = {"a", "aa", "ab", "b", "\xff"};
    struct pc_store_deadlines deadlines;
    pc_store_deadlines_create(&deadlines);
    for (size_t i = 0; i < 5; i++) {
        assert_ok(pc_store_deadlines_reserve(&deadlines));
        pc_store_deadlines_set(&deadlines, new_item(in[i], 7), 100);
    }
    pc_store_deadlines_check(&deadlines);
    assert_null(pc_store_deadlines_due(&deadlines, 99));
    for (size_t i = 0; i < 5; i++) {
        struct pc_store_item *item = pc_store_deadlines_due(&deadlines, 100);
        assert_non_null(item);
        assert_true(pc_slice_equal(pc_store_item_key(item), pc_slice_str(out[i])));
        pc_store_deadlines_clear(&deadlines, item);
        pc_store_item_delete(item);
    }
    pc_store_deadlines_destroy(&deadlines);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(burst__one_deadline__goes_in_order_of_creation),
    PC_TEST(burst__different_deadlines__earliest_goes_first),
    PC_TEST(burst__not_yet_removed__is_invisible),
    PC_TEST(leftover__commands__act_as_if_missing),
    PC_TEST(leftover__set__is_a_new_item_that_stays),
    PC_TEST(removal__counts_once__when_the_item_was_replaced),
    PC_TEST(deadlines__many__grow_and_shrink),
    PC_TEST(deadlines__same_deadline_and_created__order_by_key),
};
PC_TEST_MAIN("store_expiry", tests)
