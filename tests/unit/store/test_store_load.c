/* Loading: what a snapshot says becomes a store that goes on like the one it was taken from, and
 * what it must not say is refused. */
#include "store_kit.h"

#include <stdio.h>

#include "core/store/store_int.h"

static const struct pc_stored_item sound = {
    .key = {(const uint8_t *)"key", 3},
    .value = {(const uint8_t *)"value", 5},
    .content_type = {(const uint8_t *)"a/b", 3},
    .version = 7,
    .created = 5,
    .deadline_ms = 900,
};

static void load_item(void *context, const struct pc_item *item)
{
    struct pc_stored_item stored = {.key = item->key,
        .value = pc_blob_slice(item->value),
        .content_type = item->content_type,
        .version = item->version,
        .created = item->created,
        .deadline_ms = item->deadline_ms};
    assert_ok(pc_store_load(context, &stored));
}

static void key_of(char out[16], unsigned i)
{
    (void)snprintf(out, 16, "key%u", i);
}

static struct pc_store *filled(unsigned items)
{
    struct pc_store *store = kit_new(1);
    for (unsigned i = 0; i < items; i++) {
        char key[16];
        key_of(key, i);
        struct pc_command command = kit_command(PC_OP_SET, key, i % 3 == 0 ? 1000 + i : NO_TTL);
        command.value = pc_slice_str("value");
        command.content_type = pc_slice_str(i % 2 == 0 ? "a/b" : "");
        (void)kit_apply(store, 10 + i, &command);
    }
    kit_tick(store, 10 + items);
    return store;
}

static struct pc_store *loaded_from(const struct pc_store *store, uint64_t hint)
{
    struct pc_store *loaded = kit_new(99);
    struct pc_hash digest = pc_store_digest(store);
    pc_store_load_begin(loaded, hint);
    pc_store_check(loaded);
    pc_store_each(store, load_item, loaded);
    pc_store_check(loaded);
    struct pc_store_stats stats = kit_stats(store);
    assert_ok(pc_store_load_end(loaded, stats.applied, stats.stamp_ms, &digest));
    pc_store_check(loaded);
    return loaded;
}

static void assert_same_state(const struct pc_store *a, const struct pc_store *b)
{
    assert_digests_equal(a, b);
    struct pc_store_stats sa = kit_stats(a), sb = kit_stats(b);
    assert_int_equal(sa.items, sb.items);
    assert_int_equal(sa.items_expiring, sb.items_expiring);
    assert_int_equal(sa.data_bytes, sb.data_bytes);
    assert_int_equal(sa.applied, sb.applied);
    assert_int_equal(sa.stamp_ms, sb.stamp_ms);
}

/* A loaded store does with the next entries what the other one does, expiry included. */
static void load__any_hint__goes_on_like_the_other(void **state)
{
    (void)state;
    const uint64_t hints[] = {0, 1, 2000, 2001, 100000, UINT64_MAX};
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++) {
        struct pc_store *store = filled(2000);
        struct pc_store *loaded = loaded_from(store, hints[i]);
        assert_same_state(store, loaded);
        for (unsigned n = 0; n < 3000; n++) {
            char key[16];
            key_of(key, n % 2500);
            struct pc_outcome a = kit_set(store, 2010 + n, key, "x", n % 5 == 0 ? 50 : NO_TTL);
            struct pc_outcome b = kit_set(loaded, 2010 + n, key, "x", n % 5 == 0 ? 50 : NO_TTL);
            assert_outcome(a, b.existed, b.changed, b.version, b.deadline_ms);
            assert_digests_equal(store, loaded);
        }
        assert_true(kit_stats(loaded).expired_total > 0);
        pc_store_check(loaded);
        assert_same_state(store, loaded);
        pc_store_delete(store);
        pc_store_delete(loaded);
    }
}

/* With the right hint the table has its size: nothing was moved, and nothing is to be. */
static void load__hint__table_has_its_size(void **state)
{
    (void)state;
    struct pc_store *store = filled(5000);
    struct pc_store *loaded = loaded_from(store, 5000);
    assert_int_equal(loaded->table.buckets_len, 8192);
    assert_null(loaded->table.old);
    kit_tick(loaded, 5010);
    assert_int_equal(loaded->table.buckets_len, 8192);
    pc_store_delete(store);
    pc_store_delete(loaded);
}

static void load__out_of_range__is_corrupt(void **state)
{
    (void)state;
    static uint8_t big[PC_VALUE_BYTES_MAX + 1];
    struct pc_stored_item bad[9];
    for (size_t i = 0; i < 9; i++) {
        bad[i] = sound;
    }
    bad[0].key.len = 0;
    bad[1].key = pc_slice_of(big, PC_KEY_BYTES_MAX + 1);
    bad[2].value = pc_slice_of(big, PC_VALUE_BYTES_MAX + 1);
    bad[3].content_type = pc_slice_of(big, PC_CONTENT_TYPE_BYTES_MAX + 1);
    bad[4].created = 0;
    bad[5].created = 8;
    bad[6].version = PC_STORE_INDEX_MAX + 1;
    bad[7].version = UINT64_MAX;
    bad[8].version = bad[8].created = UINT64_MAX;
    for (size_t i = 0; i < 9; i++) {
        struct pc_store *store = kit_new(1);
        pc_store_load_begin(store, 1);
        assert_int_equal(pc_store_load(store, &bad[i]), PC_E_CORRUPT);
        pc_store_check(store);
        assert_int_equal(kit_stats(store).items, 0);
        pc_store_delete(store);
    }
}

static void load__key_twice__is_corrupt(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    pc_store_load_begin(store, 0);
    assert_ok(pc_store_load(store, &sound));
    struct pc_stored_item again = sound;
    again.version = 8;
    assert_int_equal(pc_store_load(store, &again), PC_E_CORRUPT);
    pc_store_check(store);
    pc_store_delete(store);
}

static void load_end__what_does_not_fit__is_corrupt(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    pc_store_load_begin(store, 0);
    assert_ok(pc_store_load(store, &sound));
    struct pc_hash digest = pc_store_digest(store);
    assert_int_equal(pc_store_load_end(store, 6, 100, &digest), PC_E_CORRUPT); /* version 7 */
    assert_int_equal(pc_store_load_end(store, PC_STORE_INDEX_MAX + 1, 100, &digest), PC_E_CORRUPT);
    for (size_t i = 0; i < sizeof digest.b; i++) {
        struct pc_hash other = digest;
        other.b[i] ^= 1;
        assert_int_equal(pc_store_load_end(store, 7, 100, &other), PC_E_CORRUPT);
    }
    assert_ok(pc_store_load_end(store, 7, 100, &digest));
    assert_int_equal(kit_get(store, "key").created, 5);
    assert_int_equal(kit_get(store, "key").deadline_ms, 900);
    (void)kit_set(store, 100, "next", "v", NO_TTL);
    assert_int_equal(kit_get(store, "next").version, 8);
    pc_store_delete(store);
}

/* Many at once are the same as one by one; the first that fails ends it. */
static void load_many__any_number__is_the_same_as_one_by_one(void **state)
{
    (void)state;
    enum { MOST = 100 };
    char keys[MOST][16];
    struct pc_stored_item items[MOST];
    for (unsigned i = 0; i < MOST; i++) {
        key_of(keys[i], i);
        items[i] = sound;
        items[i].key = pc_slice_str(keys[i]);
        items[i].version = 7 + i;
    }
    for (size_t n = 0; n <= MOST; n++) {
        struct pc_store *one = kit_new(1), *many = kit_new(2);
        pc_store_load_begin(one, 0);
        pc_store_load_begin(many, 0);
        for (size_t i = 0; i < n; i++) {
            assert_ok(pc_store_load(one, &items[i]));
        }
        assert_ok(pc_store_load_many(many, items, n / 3));
        assert_ok(pc_store_load_many(many, items + n / 3, n - n / 3));
        assert_digests_equal(one, many);
        pc_store_check(many);
        if (n > 0) {
            assert_int_equal(pc_store_load_many(many, items + n - 1, MOST - n + 1), PC_E_CORRUPT);
            assert_digests_equal(one, many);
        }
        pc_store_delete(one);
        pc_store_delete(many);
    }
}

/* The place of the key in memory depends on the value's length, which a search does not look at. */
static void load__values_of_any_length__keep_their_keys(void **state)
{
    (void)state;
    static const size_t lens[] = {0, 1, 1023, 1024, 1025, 1026, 70000};
    static uint8_t bytes[70000];
    struct pc_store *store = kit_new(1);
    struct pc_slice keys[PC_STORE_PREFETCH_MAX];
    char names[7][16];
    pc_store_load_begin(store, 0);
    for (unsigned i = 0; i < 7; i++) {
        key_of(names[i], i);
        keys[i] = pc_slice_str(names[i]);
        struct pc_stored_item item = sound;
        item.key = keys[i];
        item.value = pc_slice_of(bytes, lens[i]);
        assert_ok(pc_store_load(store, &item));
        assert_int_equal(pc_store_load(store, &item), PC_E_CORRUPT);
    }
    struct pc_hash digest = pc_store_digest(store);
    pc_store_prefetch(store, keys, 7);
    pc_store_prefetch(store, keys, 0);
    assert_ok(pc_store_load_end(store, 7, 100, &digest));
    pc_store_check(store);
    for (unsigned i = 0; i < 7; i++) {
        struct pc_item got;
        assert_ok(pc_store_get(store, keys[i], &got));
        assert_int_equal(pc_blob_slice(got.value).len, lens[i]);
        assert_int_equal(got.created, sound.created);
    }
    pc_store_delete(store);
}

static void load__nothing__is_an_empty_store(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    struct pc_hash zero = {{0}};
    pc_store_load_begin(store, 0);
    assert_ok(pc_store_load_end(store, 40, 100, &zero));
    kit_tick(store, 100);
    assert_int_equal(kit_stats(store).applied, 41);
    pc_store_delete(store);
}

/* An item past its deadline that was still in memory there is so here, and goes with its turn. */
static void load__item_past_its_deadline__stays_until_its_turn(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    pc_store_load_begin(store, 0);
    assert_ok(pc_store_load(store, &sound));
    struct pc_hash digest = pc_store_digest(store);
    assert_ok(pc_store_load_end(store, 7, 900, &digest));
    assert_false(kit_has(store, "key"));
    assert_int_equal(kit_stats(store).items, 1);
    kit_tick(store, 900);
    assert_int_equal(kit_stats(store).items, 0);
    pc_store_delete(store);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(load__any_hint__goes_on_like_the_other),
    PC_TEST(load__hint__table_has_its_size),
    PC_TEST(load__out_of_range__is_corrupt),
    PC_TEST(load__key_twice__is_corrupt),
    PC_TEST(load_end__what_does_not_fit__is_corrupt),
    PC_TEST(load_many__any_number__is_the_same_as_one_by_one),
    PC_TEST(load__values_of_any_length__keep_their_keys),
    PC_TEST(load__nothing__is_an_empty_store),
    PC_TEST(load__item_past_its_deadline__stays_until_its_turn),
};
PC_TEST_MAIN("store_load", tests)
