/* The pass over the memory: right whatever entries come meanwhile, and wrong once for whatever has
 * changed without one. */
#include "store_kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/store/store_int.h"
#include "pcache/prng.h"

#define KEYS 5000

static bool pass(struct pc_store *store, size_t items_max)
{
    bool is_sound = false;
    for (size_t calls = 0; !pc_store_scrub(store, items_max, &is_sound); calls++) {
        assert_true(calls < 100000);
    }
    return is_sound;
}

static void fill(struct pc_store *store, unsigned keys)
{
    for (unsigned i = 0; i < keys; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        (void)kit_set(store, 1, key, "value", NO_TTL);
    }
}

static bool nothing(void *context, const struct pc_item *item)
{
    (void)context;
    (void)item;
    return true;
}

static void random_entry(struct pc_store *store, struct pc_prng *prng, unsigned keys, pc_ms stamp)
{
    char key[16];
    (void)snprintf(key, sizeof key, "k%u", (unsigned)pc_prng_below(prng, keys));
    switch (pc_prng_below(prng, 8)) {
    case 0:
    case 1:
        (void)kit_delete(store, stamp, key);
        break;
    case 2:
        (void)kit_expire(store, stamp, key, 1 + pc_prng_below(prng, 300));
        break;
    case 3:
        (void)kit_persist(store, stamp, key);
        break;
    default:
        (void)kit_set(store, stamp, key, "another", pc_prng_below(prng, 3) == 0 ? 200 : NO_TTL);
        break;
    }
}

/* How many keys there are moves up and down: the table grows and shrinks in the middle of passes,
 * and stands still while a snapshot runs. */
static void pass__random_entries_meanwhile__is_sound(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct pc_prng prng;
        struct pc_store *store = kit_new((uint8_t)seed);
        struct pc_store_snapshot of;
        unsigned passes = 0;
        pc_prng_seed(&prng, seed);
        for (unsigned i = 0; i < 40000; i++) {
            unsigned keys = i / 5000 % 2 == 0 ? KEYS : 40;
            random_entry(store, &prng, keys, 1 + i / 10);
            bool is_sound, complete;
            if (i % 16 == 0 && pc_store_scrub(store, 1 + pc_prng_below(&prng, 60), &is_sound)) {
                assert_true(is_sound);
                passes++;
            }
            if (i % 7000 == 0 && !pc_store_snapshot_runs(store)) {
                pc_store_snapshot_begin(store, &of);
            } else if (i % 20 == 0 && pc_store_snapshot_runs(store)) {
                assert_ok(pc_store_snapshot_next(store, 10, nothing, NULL, &complete));
            }
        }
        assert_true(passes > 5);
        assert_true(pass(store, 100) && pass(store, 1) && pass(store, SIZE_MAX / 32));
        pc_store_check(store);
        pc_store_delete(store);
    }
}

static void pass__empty_store__is_sound(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    assert_true(pass(store, 1));
    (void)kit_set(store, 1, "k", "v", NO_TTL);
    assert_true(pass(store, 1));
    pc_store_delete(store);
}

static void step__many_items__is_bounded(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(3);
    bool is_sound;
    fill(store, KEYS);
    size_t calls = 1;
    while (!pc_store_scrub(store, 50, &is_sound)) {
        calls++;
    }
    assert_in_range(calls, KEYS / 60, KEYS / 49);
    /* Values count as well: a MiB is enough for once. */
    char *big = malloc(512 * 1024 + 1);
    assert_non_null(big);
    memset(big, 'x', 512 * 1024);
    big[512 * 1024] = '\0';
    struct pc_store *large = kit_new(3);
    for (char key[2] = "a"; key[0] <= 'j'; key[0]++) {
        (void)kit_set(large, 1, key, big, NO_TTL);
    }
    for (calls = 1; !pc_store_scrub(large, 1000, &is_sound); calls++) {
    }
    assert_in_range(calls, 5, 6);
    free(big);
    pc_store_delete(large);
    pc_store_delete(store);
}

static void flip(struct pc_slice bytes, size_t at)
{
    uint8_t *memory = (uint8_t *)(uintptr_t)bytes.data; /* what a cosmic ray does */
    memory[at] ^= 0x10;
}

static void pass__a_bit_of_a_value_flipped__tells(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(4);
    char large[3000];
    memset(large, 'y', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    fill(store, 300);
    (void)kit_set(
        store, 1, "large", large, NO_TTL); /* its hash is kept, and must not be believed */
    assert_true(pass(store, 10));
    static const char *const keys[] = {"k7", "large"};
    for (size_t i = 0; i < 2; i++) {
        struct pc_slice value = pc_blob_slice(kit_get(store, keys[i]).value);
        flip(value, value.len / 2);
        assert_false(pass(store, 10));
        assert_false(pass(store, 10)); /* and goes on telling */
        flip(value, value.len / 2);
        assert_true(pass(store, 10));
    }
    pc_store_delete(store);
}

static void pass__a_bit_of_anything_else_flipped__tells(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(5);
    fill(store, 300);
    struct pc_item item = kit_get(store, "k8");
    flip(item.key, 1);
    assert_false(pass(store, 10));
    flip(item.key, 1);
    assert_true(pass(store, 10));
    uint64_t hash = pc_store_table_hash(&store->table, pc_slice_str("k9"));
    struct pc_store_item *of = pc_store_find(store, hash, pc_slice_str("k9"));
    of->version ^= 1 << 20;
    assert_false(pass(store, 10));
    of->version ^= 1 << 20;
    assert_true(pass(store, 10));
    pc_store_delete(store);
}

/* What it was, and what it has become, are at odds for good. */
static void pass__a_damaged_item_was_the_last_and_is_gone__tells(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(6);
    (void)kit_set(store, 1, "only", "value", NO_TTL);
    flip(pc_blob_slice(kit_get(store, "only").value), 2);
    (void)kit_delete(store, 1, "only");
    struct pc_hash none = {{0}}, digest = pc_store_digest(store);
    assert_memory_not_equal(digest.b, none.b, sizeof none.b);
    assert_false(pass(store, 10));
    pc_store_delete(store);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(pass__random_entries_meanwhile__is_sound),
    PC_TEST(pass__empty_store__is_sound),
    PC_TEST(step__many_items__is_bounded),
    PC_TEST(pass__a_bit_of_a_value_flipped__tells),
    PC_TEST(pass__a_bit_of_anything_else_flipped__tells),
    PC_TEST(pass__a_damaged_item_was_the_last_and_is_gone__tells),
};
PC_TEST_MAIN("store_scrub", tests)
