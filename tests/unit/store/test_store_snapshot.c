/* A snapshot is the state at its begin, whatever happens to the store while it is given out: random
 * histories against a plain copy made at begin, and the cases by name. */
#include "store_kit.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/store/store_int.h"
#include "pcache/prng.h"

#define KEYS_MAX 3000
#define ROUND_MS 500 /* most deadlines are multiples of it: many items fall due together */

/* ---- a plain copy of the state, by number of the key */

struct copy_item {
    bool there;
    bool given;
    struct pc_item item; /* without its slices */
    char type[16];
};

struct copy {
    struct copy_item items[KEYS_MAX];
    size_t items_n;
    size_t given_n;
    size_t calls_with_none;
    unsigned stop_after; /* items in one call; 0 = never */
    unsigned stop_left;
    struct pc_store *loaded; /* every item goes there, too */
};

static unsigned number_of(struct pc_slice key)
{
    char text[16] = {0};
    assert_true(key.len > 1 && key.len < sizeof text);
    memcpy(text, key.data, key.len);
    return (unsigned)strtoul(text + 1, NULL, 10);
}

static void copy_item(void *context, const struct pc_item *item)
{
    struct copy *copy = context;
    struct copy_item *to = &copy->items[number_of(item->key)];
    assert_false(to->there);
    to->there = true;
    to->item = *item;
    (void)pc_blob_ref(item->value);
    if (item->content_type.len > 0) {
        memcpy(to->type, item->content_type.data, item->content_type.len);
    }
    copy->items_n++;
}

static struct copy *copy_of(const struct pc_store *store)
{
    struct copy *copy = pc_xalloc(sizeof *copy);
    pc_store_each(store, copy_item, copy);
    copy->loaded = kit_new(77);
    pc_store_load_begin(copy->loaded, copy->items_n);
    return copy;
}

static void copy_delete(struct copy *copy)
{
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        if (copy->items[i].there) {
            pc_blob_unref(copy->items[i].item.value);
        }
    }
    pc_store_delete(copy->loaded);
    free(copy);
}

static bool compare_item(void *context, const struct pc_item *item)
{
    struct copy *copy = context;
    struct copy_item *want = &copy->items[number_of(item->key)];
    assert_true(want->there);
    assert_false(want->given);
    want->given = true;
    assert_int_equal(item->version, want->item.version);
    assert_int_equal(item->created, want->item.created);
    assert_int_equal(item->deadline_ms, want->item.deadline_ms);
    assert_ptr_equal(item->value, want->item.value);
    assert_true(pc_slice_equal(item->content_type, pc_slice_str(want->type)));
    copy->given_n++;
    struct pc_stored_item stored = {.key = item->key,
        .value = pc_blob_slice(item->value),
        .content_type = item->content_type,
        .version = item->version,
        .created = item->created,
        .deadline_ms = item->deadline_ms};
    assert_ok(pc_store_load(copy->loaded, &stored));
    copy->stop_left--;
    return copy->stop_left != 0;
}

/* One call, with the bounds that it promises. */
static bool next(struct pc_store *store, size_t items_max, struct copy *copy)
{
    bool complete = false;
    size_t given = copy->given_n;
    copy->stop_left = copy->stop_after;
    assert_true(pc_store_snapshot_runs(store));
    assert_ok(pc_store_snapshot_next(store, items_max, compare_item, copy, &complete));
    assert_true(copy->given_n - given <= items_max);
    if (copy->stop_after > 0) {
        assert_true(copy->given_n - given <= copy->stop_after);
    }
    copy->calls_with_none += copy->given_n == given ? 1 : 0;
    assert_int_equal(pc_store_snapshot_runs(store), !complete);
    return complete;
}

/* Everything was given, and what was given has the digest that begin told. */
static void assert_whole(const struct copy *copy, const struct pc_store_snapshot *info)
{
    assert_int_equal(copy->given_n, copy->items_n);
    assert_int_equal(info->items, copy->items_n);
    assert_ok(pc_store_load_end(copy->loaded, info->applied, info->stamp_ms, &info->digest));
    pc_store_check(copy->loaded);
}

/* ---- random histories */

struct history {
    struct pc_store *store;
    struct pc_prng dice;
    pc_ms stamp_ms;
    unsigned keys_n;
    unsigned sets, deletes; /* of 16 commands; the others change deadlines */
};

static uint8_t value_bytes[1200];

static void random_command(struct history *h)
{
    static const char *const types[] = {"", "text/plain", "a/b", "c/d", "e/f"};
    char key[16];
    (void)snprintf(key, sizeof key, "k%u", (unsigned)pc_prng_below(&h->dice, h->keys_n));
    uint64_t dice = pc_prng_below(&h->dice, 16);
    uint64_t ttl_ms = ROUND_MS - h->stamp_ms % ROUND_MS;
    bool expires = pc_prng_below(&h->dice, 3) == 0;
    struct pc_command command = kit_command(PC_OP_EXPIRE, key, ttl_ms);
    if (dice < h->sets) {
        command = kit_command(PC_OP_SET, key, expires ? ttl_ms : NO_TTL);
        size_t len = pc_prng_below(&h->dice, 8) == 0 ? sizeof value_bytes : 10;
        command.value = pc_slice_of(value_bytes, pc_prng_below(&h->dice, len));
        command.content_type = pc_slice_str(types[pc_prng_below(&h->dice, 5)]);
    } else if (dice < h->sets + h->deletes) {
        command = kit_command(PC_OP_DELETE, key, NO_TTL);
    } else if (expires) {
        command = kit_command(PC_OP_PERSIST, key, NO_TTL);
    }
    h->stamp_ms += pc_prng_below(&h->dice, 4) == 0 ? pc_prng_below(&h->dice, 8) : 0;
    (void)kit_apply(h->store, h->stamp_ms, &command);
}

static void random_mix(struct history *h)
{
    static const unsigned mixes[][2] = {{14, 0}, {6, 5}, {2, 12}, {1, 1}};
    uint64_t i = pc_prng_below(&h->dice, 4);
    h->sets = mixes[i][0];
    h->deletes = mixes[i][1];
}

/* What the histories have come across; without it they would prove little. */
struct seen {
    unsigned rehashing, aside_of_two_kinds, mid_chain, calls_with_none, grew, shrank, given_up;
};

static void random_snapshot(struct history *h, struct seen *seen)
{
    struct pc_store *store = h->store;
    struct pc_store_snapshot info;
    struct copy *copy = copy_of(store);
    size_t items_max = 1 + pc_prng_below(&h->dice, 40);
    uint64_t writes = pc_prng_below(&h->dice, 60);
    size_t buckets = store->table.buckets_len;
    bool gives_up = pc_prng_below(&h->dice, 8) == 0;
    copy->stop_after = (unsigned)pc_prng_below(&h->dice, 5);
    pc_store_snapshot_begin(store, &info);
    assert_int_equal(info.applied, kit_stats(store).applied);
    assert_int_equal(info.stamp_ms, kit_stats(store).stamp_ms);
    seen->rehashing += store->table.old != NULL ? 1 : 0;
    for (unsigned turn = 0;; turn++) {
        for (uint64_t i = 0; i < writes; i++) {
            random_command(h);
        }
        seen->aside_of_two_kinds += store->cursor.aside_n > 20 ? 1 : 0;
        if (turn % 16 == 0) {
            pc_store_check(store);
        }
        if (gives_up && turn == 10) {
            pc_store_snapshot_end(store);
            seen->given_up += store->cursor.aside_n > 0 ? 1 : 0;
            break;
        }
        if (next(store, items_max, copy)) {
            assert_whole(copy, &info);
            break;
        }
        seen->mid_chain += store->cursor.at != NULL ? 1 : 0;
    }
    assert_int_equal(store->table.buckets_len, buckets); /* no rehash began */
    pc_store_check(store);
    seen->calls_with_none += copy->calls_with_none > 0 ? 1 : 0;
    for (int i = 0; i < 4; i++) {
        random_command(h);
    }
    seen->grew += store->table.buckets_len > buckets ? 1 : 0;
    seen->shrank += store->table.buckets_len < buckets ? 1 : 0;
    copy_delete(copy);
}

static void run_history(uint64_t seed, unsigned snapshots, struct seen *seen)
{
    struct history h = {.store = kit_new((uint8_t)seed), .stamp_ms = 1000};
    pc_prng_seed(&h.dice, seed);
    for (unsigned i = 0; i < snapshots; i++) {
        h.keys_n = 1 + (unsigned)pc_prng_below(&h.dice, i % 2 == 0 ? KEYS_MAX : 200);
        random_mix(&h);
        for (uint64_t n = pc_prng_below(&h.dice, 4000); n > 0; n--) {
            random_command(&h);
        }
        /* Every third begins while the table grows or shrinks. */
        for (unsigned n = 0; i % 3 == 0 && h.store->table.old == NULL && n < 8000; n++) {
            random_command(&h);
        }
        random_mix(&h);
        random_snapshot(&h, seen);
    }
    pc_store_delete(h.store);
}

static void snapshot__random_histories__is_the_state_at_begin(void **state)
{
    (void)state;
    struct seen seen = {0};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        run_history(seed, 20, &seen);
    }
    assert_true(seen.rehashing >= 10);
    assert_true(seen.aside_of_two_kinds >= 10);
    assert_true(seen.mid_chain >= 10);
    assert_true(seen.calls_with_none >= 5);
    assert_true(seen.grew >= 5);
    assert_true(seen.shrank >= 5);
    assert_true(seen.given_up >= 5);
}

/* ---- by name */

static struct pc_store *store_of(unsigned items)
{
    struct pc_store *store = kit_new(3);
    for (unsigned i = 0; i < items; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        (void)kit_set(store, 10, key, "before", i % 2 == 0 ? NO_TTL : 1000);
    }
    return store;
}

static void snapshot__of_nothing__is_complete_at_once(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    struct copy *copy = copy_of(store);
    struct pc_store_snapshot info;
    assert_false(pc_store_snapshot_runs(store));
    pc_store_snapshot_begin(store, &info);
    assert_int_equal(info.items, 0);
    (void)kit_set(store, 10, "k1", "after", NO_TTL);
    assert_true(next(store, 1, copy));
    assert_whole(copy, &info);
    copy_delete(copy);
    pc_store_delete(store);
}

/* Whatever happens to every item before the first is given: all come as they were. */
static void snapshot__everything_changes_first__gives_what_was(void **state)
{
    (void)state;
    for (int how = 0; how < 5; how++) {
        struct pc_store *store = store_of(100);
        struct copy *copy = copy_of(store);
        struct pc_store_snapshot info;
        pc_store_snapshot_begin(store, &info);
        for (unsigned i = 0; i < 100; i++) {
            char key[16];
            (void)snprintf(key, sizeof key, "k%u", i);
            if (how == 0) {
                (void)kit_set(store, 10, key, "after", NO_TTL);
            } else if (how == 1) {
                (void)kit_delete(store, 10, key);
            } else if (how == 2) {
                (void)kit_expire(store, 10, key, 5);
            } else if (how == 3) {
                (void)kit_persist(store, 10, key);
            } else {
                (void)kit_delete(store, 10, key);
                (void)kit_set(store, 10, key, "anew", 7);
                (void)kit_expire(store, 10, key, 5);
            }
        }
        kit_tick(store, 2000); /* what has a deadline goes, too */
        pc_store_check(store);
        assert_true(kit_stats(store).aside_bytes > 0);
        while (!next(store, 7, copy)) {
        }
        assert_whole(copy, &info);
        copy_delete(copy);
        pc_store_delete(store);
    }
}

/* What was given is not kept aside when it changes. */
static void snapshot__what_was_given_changes__nothing_is_kept(void **state)
{
    (void)state;
    struct pc_store *store = store_of(60);
    struct copy *copy = copy_of(store);
    struct pc_store_snapshot info;
    pc_store_snapshot_begin(store, &info);
    while (copy->given_n < 30) {
        assert_false(next(store, 1, copy));
    }
    uint64_t before = kit_stats(store).aside_bytes;
    for (unsigned i = 0; i < 60; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        if (copy->items[i].given) {
            (void)kit_delete(store, 10, key);
        }
    }
    assert_int_equal(kit_stats(store).aside_bytes, before);
    while (!next(store, 8, copy)) {
    }
    assert_whole(copy, &info);
    copy_delete(copy);
    pc_store_delete(store);
}

/* A value that is kept aside alone is still in memory, and counted; it is freed when it was given.
 */
static void snapshot__memory_aside__is_counted_and_given_back(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    static const char large[5000] = {1};
    struct pc_command command = kit_command(PC_OP_SET, "k1", NO_TTL);
    command.value = pc_slice_of(large, sizeof large);
    (void)kit_apply(store, 10, &command);
    uint64_t with_item = kit_stats(store).memory_bytes;
    struct copy *copy = copy_of(store);
    struct pc_store_snapshot info;
    pc_store_snapshot_begin(store, &info);
    (void)kit_delete(store, 10, "k1");
    assert_true(kit_stats(store).aside_bytes >= sizeof large);
    assert_true(kit_stats(store).memory_bytes >= with_item);
    assert_int_equal(kit_stats(store).data_bytes, 0);
    assert_true(next(store, 1, copy));
    assert_true(kit_stats(store).memory_bytes < with_item);
    assert_int_equal(copy->items[1].item.value->refs, 1); /* the copy's own */
    assert_whole(copy, &info);
    copy_delete(copy);
    pc_store_delete(store);
}

/* What a snapshot that was given up had aside goes with the next entries, a few with each. */
static void snapshot__given_up__frees_bit_by_bit(void **state)
{
    (void)state;
    struct pc_store *store = store_of(100);
    struct pc_store_snapshot info;
    pc_store_snapshot_begin(store, &info);
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        (void)kit_delete(store, 10, key);
    }
    assert_int_equal(store->cursor.aside_n, 100);
    pc_store_snapshot_end(store);
    assert_false(pc_store_snapshot_runs(store));
    assert_int_equal(store->cursor.aside_n, 100);
    kit_tick(store, 10);
    assert_int_equal(store->cursor.aside_n, 100 - PC_STORE_STALE_FREED_PER_ENTRY);
    pc_store_check(store);

    /* A new one begins before the rest is gone, and gives nothing of it. */
    struct copy *copy = copy_of(store);
    pc_store_snapshot_begin(store, &info);
    (void)kit_set(store, 10, "k5", "v", NO_TTL);
    pc_store_check(store);
    assert_true(next(store, 5, copy));
    assert_whole(copy, &info);
    copy_delete(copy);
    for (int i = 0; i < 100 / PC_STORE_STALE_FREED_PER_ENTRY; i++) {
        kit_tick(store, 10);
    }
    assert_int_equal(store->cursor.aside_n, 0);
    assert_int_equal(store->cursor.memory_bytes, 0);
    pc_store_snapshot_end(store); /* none runs: nothing happens */
    pc_store_delete(store);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(snapshot__random_histories__is_the_state_at_begin),
    PC_TEST(snapshot__of_nothing__is_complete_at_once),
    PC_TEST(snapshot__everything_changes_first__gives_what_was),
    PC_TEST(snapshot__what_was_given_changes__nothing_is_kept),
    PC_TEST(snapshot__memory_aside__is_counted_and_given_back),
    PC_TEST(snapshot__given_up__frees_bit_by_bit),
};
PC_TEST_MAIN("store_snapshot", tests)
