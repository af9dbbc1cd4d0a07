/* Every allocation of an apply fails once: the entry is refused and nothing has changed. The linker
 * puts these functions in place of the allocator's (see the Makefile). */
#include "store_kit.h"

#include <stdio.h>

#include "core/store/store_int.h"

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);

static bool armed;
static unsigned allowed; /* allocations before the one that fails, when armed */
static unsigned failed;

static bool must_fail(void)
{
    if (!armed) {
        return false;
    }
    if (allowed > 0) {
        allowed--;
        return false;
    }
    failed++;
    return true;
}

void *__wrap_malloc(size_t bytes)
{
    void *p = must_fail() ? NULL : __real_malloc(bytes);
    if (p != NULL) {
        memset(p, 0xa5, bytes); /* whoever reads it before writing it follows a wild pointer */
    }
    return p;
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return must_fail() ? NULL : __real_calloc(count, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    return must_fail() ? NULL : __real_realloc(old, bytes);
}

static pc_err apply_failing(struct pc_store *store, pc_ms stamp_ms,
    const struct pc_command *command, unsigned allocations_allowed, struct pc_outcome *outcome)
{
    pc_index index = kit_stats(store).applied + 1;
    armed = true;
    allowed = allocations_allowed;
    failed = 0;
    pc_err err = pc_store_apply(store, index, stamp_ms, command, outcome);
    armed = false;
    return err;
}

/* Applies with the first, second, ... allocation failing until none fails. Returns how many did. */
static unsigned fail_each_allocation(
    struct pc_store *store, pc_ms stamp_ms, const struct pc_command *command)
{
    for (unsigned n = 0;; n++) {
        struct pc_store_stats before = kit_stats(store);
        struct pc_hash digest = pc_store_digest(store);
        struct pc_outcome outcome = {.version = 12345};
        pc_err err = apply_failing(store, stamp_ms, command, n, &outcome);
        pc_store_check(store);
        if (failed == 0) {
            assert_int_equal(err, PC_OK);
            assert_int_not_equal(outcome.version, 12345);
            return n;
        }
        assert_int_equal(err, PC_E_NOMEM);
        assert_int_equal(outcome.version, 12345);
        struct pc_store_stats after = kit_stats(store);
        after.memory_bytes = before.memory_bytes; /* room made for later may stay */
        assert_memory_equal(&after, &before, sizeof after);
        assert_memory_equal(pc_store_digest(store).b, digest.b, sizeof digest.b);
    }
}

static void set__any_allocation_fails__nothing_changed(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    (void)kit_set(store, 10, "due", "v", NO_TTL);
    struct pc_command command = kit_command(PC_OP_SET, "key", 100);
    command.value = pc_slice_str("value");
    command.content_type = pc_slice_str("text/plain");
    /* Deadlines: directory and segment; type, its directory and segment; item; value. Each that
     * made room stays, so a try fails one later than the try before, or further back. */
    assert_true(fail_each_allocation(store, 10, &command) >= 3);
    assert_true(kit_has(store, "key"));
    pc_store_delete(store);
}

static void set__fails__due_items_and_time_stay(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    (void)kit_set(store, 10, "due", "v", 5);
    (void)kit_set(store, 10, "key", "old", NO_TTL);
    struct pc_command command = kit_command(PC_OP_SET, "key", 5);
    command.content_type = pc_slice_str("a/b");
    struct pc_outcome outcome;
    assert_int_equal(apply_failing(store, 15, &command, 0, &outcome), PC_E_NOMEM);
    assert_true(kit_has(store, "due"));
    assert_int_equal(kit_get(store, "key").version, 2);
    assert_true(fail_each_allocation(store, 15, &command) >= 3);
    assert_false(kit_has(store, "due"));
    assert_int_equal(kit_get(store, "key").version, 3);
    pc_store_delete(store);
}

static void expire__no_room_for_the_deadline__nothing_changed(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    char key[16];
    for (unsigned i = 0; i <= PC_STORE_SEGMENT_ELEMS; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        (void)kit_set(store, 10, key, "v", i < PC_STORE_SEGMENT_ELEMS ? 1000 : NO_TTL);
    }
    /* The segment is full: the item without a deadline needs a second one. */
    struct pc_command command = kit_command(PC_OP_EXPIRE, key, 50);
    assert_int_equal(fail_each_allocation(store, 10, &command), 1);
    assert_int_equal(kit_get(store, key).deadline_ms, 60);
    pc_store_delete(store);
}

static void delete_and_tick__no_memory__need_none(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    (void)kit_set(store, 10, "a", "v", 100);
    (void)kit_set(store, 10, "b", "v", 100);
    struct pc_command command = kit_command(PC_OP_PERSIST, "a", NO_TTL);
    struct pc_outcome outcome;
    assert_int_equal(apply_failing(store, 10, &command, 0, &outcome), PC_OK);
    command = kit_command(PC_OP_DELETE, "a", NO_TTL);
    assert_int_equal(apply_failing(store, 10, &command, 0, &outcome), PC_OK);
    command = (struct pc_command){.op = PC_OP_TICK};
    assert_int_equal(apply_failing(store, 110, &command, 0, &outcome), PC_OK);
    assert_int_equal(kit_stats(store).items, 0);
    pc_store_delete(store);
}

/* A table that cannot grow serves on; it grows when there is memory again. */
static void rehash__no_memory__is_put_off(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    char key[16];
    unsigned put_off = 0;
    for (unsigned i = 0; i < 4 * PC_STORE_BUCKETS_MIN; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        struct pc_command command = kit_command(PC_OP_SET, key, NO_TTL);
        struct pc_outcome outcome;
        assert_int_equal(apply_failing(store, 10, &command, 2, &outcome), PC_OK);
        put_off += failed;
    }
    assert_int_equal(put_off, 3 * PC_STORE_BUCKETS_MIN);
    assert_int_equal(store->table.buckets_len, PC_STORE_BUCKETS_MIN);
    pc_store_check(store);
    for (unsigned i = 0; i < 4 * PC_STORE_BUCKETS_MIN; i++) {
        kit_tick(store, 10);
    }
    assert_true(store->table.buckets_len >= 4 * PC_STORE_BUCKETS_MIN);
    for (unsigned i = 0; i < 4 * PC_STORE_BUCKETS_MIN; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        assert_true(kit_has(store, key));
    }
    pc_store_check(store);
    pc_store_delete(store);
}

/* New bucket arrays come with whatever was in memory (see __wrap_malloc); at every step of growing
 * and shrinking every item is found and a missing one is not. */
static void rehash__dirty_memory__is_never_read(void **state)
{
    (void)state;
    enum { COUNT = 9 * PC_STORE_BUCKETS_MIN };
    struct pc_store *store = kit_new(1);
    char key[16];
    for (unsigned i = 0; i < 2 * COUNT; i++) {
        (void)snprintf(key, sizeof key, "%u", i % COUNT);
        if (i < COUNT) {
            (void)kit_set(store, 10, key, "v", NO_TTL);
        } else {
            (void)kit_delete(store, 10, key);
        }
        pc_store_check(store);
        for (unsigned j = 0; j < COUNT; j += 11) {
            (void)snprintf(key, sizeof key, "%u", j);
            assert_int_equal(kit_has(store, key), i < COUNT ? j <= i : j > i - COUNT);
        }
    }
    assert_non_null(store->table.old); /* shrinking: deleted in that state */
    pc_store_delete(store);
}

static bool count_item(void *context, const struct pc_item *item)
{
    *(unsigned *)context += item->value != NULL ? 1 : 0;
    return true;
}

/* What the rest of a snapshot gives; PC_E_NOMEM when it was given up. */
static pc_err rest_of_snapshot(struct pc_store *store, unsigned *items)
{
    bool complete = false;
    pc_err err = PC_OK;
    *items = 0;
    while (!complete && err == PC_OK) {
        err = pc_store_snapshot_next(store, 3, count_item, items, &complete);
    }
    assert_false(pc_store_snapshot_runs(store));
    return err;
}

/* The entry that has no room to keep something aside is applied all the same; the snapshot says at
 * its next call that it is over. */
static void snapshot__no_room_to_keep_aside__is_given_up(void **state)
{
    (void)state;
    const struct pc_command commands[] = {
        kit_command(PC_OP_DELETE, "a", NO_TTL), kit_command(PC_OP_SET, "a", NO_TTL),
        kit_command(PC_OP_EXPIRE, "a", 50), kit_command(PC_OP_PERSIST, "a", NO_TTL),
        {.op = PC_OP_TICK}, /* expires */
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        unsigned given_up = 0;
        for (unsigned n = 0;; n++) {
            struct pc_store *store = kit_new(1);
            struct pc_store_snapshot info;
            struct pc_outcome outcome;
            struct pc_command a = kit_command(PC_OP_SET, "a", 100);
            a.content_type = pc_slice_str("a/b");
            (void)kit_apply(store, 10, &a);
            (void)kit_set(store, 10, "b", "v", NO_TTL);
            pc_store_snapshot_begin(store, &info);
            bool expires = commands[i].op == PC_OP_TICK;
            pc_err err = apply_failing(store, expires ? 110 : 20, &commands[i], n, &outcome);
            pc_store_check(store);
            assert_true(pc_store_snapshot_runs(store));
            unsigned items;
            bool refused = err == PC_E_NOMEM;
            assert_true(refused || err == PC_OK);
            assert_true(!refused || commands[i].op == PC_OP_SET);
            assert_int_equal(kit_stats(store).applied, refused ? 2 : 3);
            bool lost = failed > 0 && !refused;
            given_up += lost ? 1 : 0;
            assert_int_equal(rest_of_snapshot(store, &items), lost ? PC_E_NOMEM : PC_OK);
            assert_int_equal(items, lost ? 0 : 2);
            assert_true(lost || info.items == 2);
            pc_store_snapshot_begin(store, &info); /* with memory, the next one works */
            (void)kit_delete(store, 110, "b");
            assert_ok(rest_of_snapshot(store, &items));
            assert_int_equal(items, info.items);
            pc_store_check(store);
            pc_store_delete(store);
            if (failed == 0) {
                break;
            }
        }
        assert_true(given_up >= 2); /* directory and segment of what is aside; the copy */
    }
}

static void load__any_allocation_fails__says_so(void **state)
{
    (void)state;
    const struct pc_stored_item item = {.key = pc_slice_str("key"),
        .value = pc_slice_str("value"),
        .content_type = pc_slice_str("a/b"),
        .version = 3,
        .created = 2,
        .deadline_ms = 100};
    struct pc_store *store = kit_new(1);
    armed = true;
    allowed = 0;
    pc_store_load_begin(store, 1000); /* no room for so many buckets: it does without */
    armed = false;
    assert_int_equal(store->table.buckets_len, PC_STORE_BUCKETS_MIN);
    unsigned failures = 0;
    for (unsigned n = 0;; n++) {
        armed = true;
        allowed = n;
        failed = 0;
        pc_err err = pc_store_load(store, &item);
        armed = false;
        pc_store_check(store);
        if (failed == 0) {
            assert_ok(err);
            break;
        }
        failures++;
        assert_int_equal(err, PC_E_NOMEM);
        assert_int_equal(kit_stats(store).items, 0);
    }
    assert_true(failures >= 3);
    struct pc_hash digest = pc_store_digest(store);
    assert_ok(pc_store_load_end(store, 3, 50, &digest));
    assert_true(kit_has(store, "key"));
    pc_store_delete(store);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(set__any_allocation_fails__nothing_changed),
    PC_TEST(set__fails__due_items_and_time_stay),
    PC_TEST(expire__no_room_for_the_deadline__nothing_changed),
    PC_TEST(delete_and_tick__no_memory__need_none),
    PC_TEST(rehash__no_memory__is_put_off),
    PC_TEST(rehash__dirty_memory__is_never_read),
    PC_TEST(snapshot__no_room_to_keep_aside__is_given_up),
    PC_TEST(load__any_allocation_fails__says_so),
};
PC_TEST_MAIN("store_nomem", tests)
