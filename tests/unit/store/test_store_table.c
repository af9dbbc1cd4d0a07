/* The hash table under load: growing to a million items without a pause, shrinking again, and many
 * content types. Time is the thread's CPU time, so that a busy machine does not fail the test. */
#define _GNU_SOURCE
#include "store_kit.h"

#include <stdio.h>
#include <time.h>

#include "core/store/store_int.h"

#define MILLION (1000000 / PC_TEST_STRIDE)
#define SLOWEST_APPLY_US_MAX 50000 /* generous: sanitizers, page faults */
#define BYTES_PER_ITEM_MAX 125     /* with 16-byte keys and 32-byte values */

static uint64_t cpu_ns(void)
{
    struct timespec t;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct pc_slice number_key(char out[17], const char *prefix, unsigned i)
{
    (void)snprintf(out, 17, "%s%08u", prefix, i);
    return pc_slice_str(out);
}

static uint64_t timed_apply(
    struct pc_store *store, pc_index index, const struct pc_command *command)
{
    uint64_t begin = cpu_ns();
    assert_ok(pc_store_apply(store, index, 1, command, NULL));
    return cpu_ns() - begin;
}

static uint64_t fill(struct pc_store *store, unsigned count)
{
    uint64_t slowest_ns = 0;
    for (unsigned i = 0; i < count; i++) {
        char key[17];
        struct pc_command command = {.op = PC_OP_SET,
            .key = number_key(key, "key/abcd", i),
            .value = pc_slice_of("0123456789abcdef0123456789abcdef", 32)};
        uint64_t ns = timed_apply(store, i + 1, &command);
        slowest_ns = ns > slowest_ns ? ns : slowest_ns;
    }
    return slowest_ns;
}

static void table__a_million_items__no_apply_is_slow(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    uint64_t slowest_ns = fill(store, MILLION);
    printf("slowest of %d applies: %lu us\n", MILLION, (unsigned long)(slowest_ns / 1000));
    assert_true(slowest_ns / 1000 < SLOWEST_APPLY_US_MAX);
    struct pc_store_stats stats = kit_stats(store);
    assert_int_equal(stats.items, MILLION);
    printf("bytes per item (estimate): %.1f\n", (double)stats.memory_bytes / MILLION);
    assert_true(stats.memory_bytes <= (uint64_t)BYTES_PER_ITEM_MAX * MILLION);
    for (unsigned i = 0; i < MILLION; i += 997) {
        char key[17];
        struct pc_item item;
        assert_ok(pc_store_get(store, number_key(key, "key/abcd", i), &item));
        assert_int_equal(item.version, i + 1);
    }
    assert_false(kit_has(store, "key/abcd01000000"));
    pc_store_check(store);

    slowest_ns = 0;
    for (unsigned i = 0; i < MILLION; i++) {
        char key[17];
        struct pc_command command = {.op = PC_OP_DELETE, .key = number_key(key, "key/abcd", i)};
        uint64_t ns = timed_apply(store, MILLION + i + 1, &command);
        slowest_ns = ns > slowest_ns ? ns : slowest_ns;
    }
    printf("slowest of %d deletes: %lu us\n", MILLION, (unsigned long)(slowest_ns / 1000));
    assert_true(slowest_ns / 1000 < SLOWEST_APPLY_US_MAX);
    assert_int_equal(kit_stats(store).items, 0);
    pc_store_check(store);
    pc_store_delete(store);
}

/* Steps through each state of a rehash, checking and finding everything in each. */
static void table__during_a_rehash__every_item_is_found_once(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(2);
    char key[17];
    unsigned rehashing = 0;
    for (unsigned i = 0; i < 600; i++) {
        (void)number_key(key, "g", i);
        assert_false(kit_set(store, 1, key, "v", NO_TTL).existed);
        rehashing += store->table.old != NULL ? 1 : 0;
        pc_store_check(store);
        for (unsigned j = 0; j <= i; j += 7) {
            (void)number_key(key, "g", j);
            assert_true(kit_has(store, key));
        }
    }
    assert_true(rehashing > 50);
    assert_true(store->table.buckets_len >= 512);
    for (unsigned i = 0; i < 600; i++) {
        (void)number_key(key, "g", i);
        assert_true(kit_delete(store, 1, key).existed);
        pc_store_check(store);
        for (unsigned j = 0; j < 600; j += 13) {
            (void)number_key(key, "g", j);
            assert_int_equal(kit_has(store, key), j > i);
        }
    }
    for (unsigned i = 0; i < 600; i++) {
        kit_tick(store, 1);
    }
    assert_int_equal(store->table.buckets_len, PC_STORE_BUCKETS_MIN);
    assert_null(store->table.old);
    pc_store_delete(store);
}

/* One apply moves at most its share of buckets, and a rehash is over before the next is due. */
static void table__one_step__is_bounded(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(3);
    char key[17];
    for (unsigned i = 0; i < 20000; i++) {
        const struct pc_store_link *const *old = (const void *)store->table.old;
        size_t moved_before = store->table.old_moved;
        (void)number_key(key, "s", i);
        (void)kit_set(store, 1, key, "v", NO_TTL);
        if (old != NULL && store->table.old != NULL) {
            assert_int_equal(store->table.old_moved - moved_before, PC_STORE_REHASH_BUCKETS_MAX);
        }
        assert_true(store->table.count <= 2 * store->table.buckets_len);
        if (store->table.old == NULL) {
            assert_true(store->table.count <= store->table.buckets_len);
        }
    }
    pc_store_delete(store);
}

static void types__as_many_as_items__are_counted_and_freed(void **state)
{
    (void)state;
    enum { COUNT = 3 * PC_STORE_SEGMENT_ELEMS };
    struct pc_store *store = kit_new(4);
    char key[17];
    char type[17];
    for (unsigned i = 0; i < COUNT; i++) {
        struct pc_command command = {.op = PC_OP_SET,
            .key = number_key(key, "k", i),
            .content_type = number_key(type, "t/", i)};
        (void)kit_apply(store, 1, &command);
    }
    assert_int_equal(store->types.table.count, COUNT);
    pc_store_check(store);
    for (unsigned i = 0; i < COUNT; i += 2) { /* half of them share a type from now on */
        struct pc_command command = {.op = PC_OP_SET,
            .key = number_key(key, "k", i),
            .content_type = pc_slice_str("text/plain")};
        (void)kit_apply(store, 1, &command);
    }
    assert_int_equal(store->types.table.count, COUNT / 2 + 1);
    assert_int_equal(store->types.slots_len, COUNT + 2);
    pc_store_check(store);
    for (unsigned i = 0; i < COUNT / 4; i++) { /* freed ids are used again */
        struct pc_command command = {.op = PC_OP_SET,
            .key = number_key(key, "k", 2 * i),
            .content_type = number_key(type, "u/", i)};
        (void)kit_apply(store, 1, &command);
    }
    assert_int_equal(store->types.slots_len, COUNT + 2);
    pc_store_check(store);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)number_key(key, "k", i);
        struct pc_slice want = i % 2 == 1      ? number_key(type, "t/", i)
                               : i < COUNT / 2 ? number_key(type, "u/", i / 2)
                                               : pc_slice_str("text/plain");
        assert_true(pc_slice_equal(kit_get(store, key).content_type, want));
        (void)kit_delete(store, 1, key);
    }
    assert_int_equal(store->types.table.count, 0);
    assert_int_equal(store->types.memory_bytes, 0);
    assert_int_equal(store->types.slots_len, 1);
    pc_store_check(store);
    pc_store_delete(store);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(table__a_million_items__no_apply_is_slow),
    PC_TEST(table__during_a_rehash__every_item_is_found_once),
    PC_TEST(table__one_step__is_bounded),
    PC_TEST(types__as_many_as_items__are_counted_and_freed),
};
PC_TEST_MAIN("store_table", tests)
