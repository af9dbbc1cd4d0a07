/* pc_store_check must notice each kind of damage: a child process damages a sound store in one way,
 * checks it, and must end in the assertion. */
#define _GNU_SOURCE
#include "store_kit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/store/store_int.h"

static bool take_item(void *context, const struct pc_item *item)
{
    (void)context;
    return item->value != NULL;
}

/* Begins a snapshot, has some of it given and changes some of the rest. */
static void begin_snapshot(struct pc_store *store)
{
    struct pc_store_snapshot info;
    bool complete;
    pc_store_snapshot_begin(store, &info);
    assert_ok(pc_store_snapshot_next(store, 20, take_item, NULL, &complete));
    for (unsigned i = 50; i < 80; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%03u", i);
        if (i % 2 == 0) {
            (void)kit_delete(store, 20, key);
        } else {
            (void)kit_expire(store, 20, key, 1000);
        }
    }
    assert_true(store->cursor.aside_n >= 10);
}

/* 200 items, every second with a deadline, every third with a content type, one large value, a
 * rehash half done, a snapshot half done. */
static struct pc_store *sound_store(void)
{
    struct pc_store *store = kit_new(9);
    static uint8_t large[2000];
    for (unsigned i = 0; store->table.old == NULL || i < 200; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "key%03u", i);
        struct pc_command command = kit_command(PC_OP_SET, key, i % 2 == 0 ? 100 + i : NO_TTL);
        command.value = pc_slice_of(large, i == 7 ? sizeof large : i % 10);
        command.content_type = pc_slice_str(i % 3 == 0 ? "text/plain" : i % 3 == 1 ? "a/b" : "");
        (void)kit_apply(store, 10, &command);
    }
    (void)kit_set(store, 10, "key001", "v", NO_TTL);
    (void)kit_expire(store, 10, "key001", 100);
    kit_tick(store, 20);
    begin_snapshot(store);
    assert_non_null(store->table.old);
    pc_store_check(store);
    return store;
}

static struct pc_store_item *item_at(struct pc_store *store, const char *key)
{
    struct pc_slice slice = pc_slice_str(key);
    struct pc_store_item *item =
        pc_store_find(store, pc_store_table_hash(&store->table, slice), slice);
    assert_non_null(item);
    return item;
}

static struct pc_store_deadline *deadline_at(struct pc_store *store, size_t i)
{
    return pc_store_array_at(&store->deadlines.slots, i);
}

static void damage_nothing(struct pc_store *store)
{
    (void)store;
}

static void damage_count(struct pc_store *store)
{
    store->table.count++;
}

static void damage_lost_bucket(struct pc_store *store)
{
    for (size_t i = 0; i < store->table.old_moved; i++) { /* of the new array, those in use */
        if (store->table.buckets[i] != NULL) {
            store->table.buckets[i] = NULL;
            return;
        }
    }
}

static void damage_lost_old_bucket(struct pc_store *store)
{
    for (size_t i = store->table.old_moved; i < store->table.old_len; i++) {
        if (store->table.old[i] != NULL) {
            store->table.old[i] = NULL;
            return;
        }
    }
}

static void damage_moved_mark(struct pc_store *store)
{
    store->table.old_moved = 0; /* as if the new array were still empty */
}

static void damage_bucket_of_item(struct pc_store *store)
{
    struct pc_store_link *a = store->table.buckets[0];
    store->table.buckets[0] = store->table.buckets[1];
    store->table.buckets[1] = a;
}

static void damage_key(struct pc_store *store)
{
    item_at(store, "key002")->tail[0] ^= 1;
}

static void damage_value(struct pc_store *store)
{
    item_at(store, "key003")->value->data[0] ^= 1;
}

static void damage_large_value(struct pc_store *store)
{
    item_at(store, "key007")->value->data[1999] ^= 1;
}

static void damage_version(struct pc_store *store)
{
    item_at(store, "key003")->version++;
}

static void damage_version_in_the_future(struct pc_store *store)
{
    store->applied = 100;
}

static void damage_created(struct pc_store *store)
{
    struct pc_store_item *item = item_at(store, "key001");
    pc_store_item_set_created(item, pc_store_item_created(item) + 1);
}

static void damage_deadline(struct pc_store *store)
{
    deadline_at(store, store->deadlines.count - 1)->deadline_ms++;
}

static void damage_heap_order(struct pc_store *store)
{
    struct pc_store_deadline *first = deadline_at(store, 0);
    struct pc_store_deadline *last = deadline_at(store, store->deadlines.count - 1);
    struct pc_store_deadline kept = *first;
    *first = *last;
    *last = kept;
    first->item->heap_slot = 0;
    last->item->heap_slot = (uint32_t)store->deadlines.count - 1;
}

static void damage_slot_of_item(struct pc_store *store)
{
    item_at(store, "key002")->heap_slot = item_at(store, "key004")->heap_slot;
}

static void damage_forgotten_slot(struct pc_store *store)
{
    item_at(store, "key002")->heap_slot = PC_STORE_NO_SLOT;
}

static void damage_type_refs(struct pc_store *store)
{
    item_at(store, "key003")->type = item_at(store, "key004")->type;
}

static void damage_type_leaked(struct pc_store *store)
{
    uint32_t id;
    assert_ok(pc_store_types_ref(&store->types, pc_slice_str("nobody/has-it"), &id));
}

static void damage_type_free_list(struct pc_store *store)
{
    store->types.slots_len++;
}

static void damage_digest(struct pc_store *store)
{
    store->digest.high++;
}

static void damage_data_bytes(struct pc_store *store)
{
    store->data_bytes--;
}

static void damage_memory_bytes(struct pc_store *store)
{
    store->items_memory_bytes -= 16;
}

static struct pc_store_aside *aside_at(struct pc_store *store, size_t i)
{
    return pc_store_array_at(&store->cursor.aside, i);
}

static void damage_aside_lost(struct pc_store *store)
{
    store->cursor.aside_n--;
    store->cursor.memory_bytes -= pc_store_item_memory_bytes(aside_at(store, 0)->item);
}

static void damage_aside_type(struct pc_store *store)
{
    struct pc_store_item *item = aside_at(store, 1)->item;
    item->type = item->type != 1 ? 1 : 2;
}

static void damage_aside_too_young(struct pc_store *store)
{
    aside_at(store, 0)->item->version = store->cursor.applied + 1;
}

static void damage_aside_memory(struct pc_store *store)
{
    store->cursor.memory_bytes++;
}

static void damage_items_left(struct pc_store *store)
{
    store->cursor.items_left++;
}

static void damage_place(struct pc_store *store)
{
    while (pc_store_table_chain(&store->table, store->cursor.place++) == NULL) {
    }
}

static void damage_stale(struct pc_store *store)
{
    store->cursor.stale_n = 1;
}

static void damage_thawed(struct pc_store *store)
{
    store->table.frozen = false;
}

static void damage_loading(struct pc_store *store)
{
    store->loading = true;
    store->load_version_max = store->applied;
}

/* True when the check of the damaged store ended in an assertion, false when it passed. */
static bool check_notices(void (*damage)(struct pc_store *store))
{
    struct pc_store *store = sound_store();
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct sigaction action = {.sa_handler = SIG_DFL}; /* the test library would go on */
        (void)sigaction(SIGABRT, &action, NULL);
        (void)close(STDERR_FILENO);
        (void)open("/dev/null", O_WRONLY);
        damage(store);
        pc_store_check(store);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    pc_store_delete(store);
    if (WIFEXITED(status)) {
        assert_int_equal(WEXITSTATUS(status), 0);
        return false;
    }
    assert_int_equal(WTERMSIG(status), SIGABRT);
    return true;
}

static void check__sound_store__passes(void **state)
{
    (void)state;
    assert_false(check_notices(damage_nothing));
}

static void check__damaged_store__is_noticed(void **state)
{
    (void)state;
#define DAMAGE(name)                                                                               \
    {                                                                                              \
#name, damage_##name                                                                       \
    }
    static const struct {
        const char *name;
        void (*damage)(struct pc_store *store);
    } damages[] = {
        DAMAGE(count),
        DAMAGE(lost_bucket),
        DAMAGE(lost_old_bucket),
        DAMAGE(moved_mark),
        DAMAGE(bucket_of_item),
        DAMAGE(key),
        DAMAGE(value),
        DAMAGE(large_value),
        DAMAGE(version),
        DAMAGE(version_in_the_future),
        DAMAGE(created),
        DAMAGE(deadline),
        DAMAGE(heap_order),
        DAMAGE(slot_of_item),
        DAMAGE(forgotten_slot),
        DAMAGE(type_refs),
        DAMAGE(type_leaked),
        DAMAGE(type_free_list),
        DAMAGE(digest),
        DAMAGE(data_bytes),
        DAMAGE(memory_bytes),
        DAMAGE(aside_lost),
        DAMAGE(aside_type),
        DAMAGE(aside_too_young),
        DAMAGE(aside_memory),
        DAMAGE(items_left),
        DAMAGE(place),
        DAMAGE(stale),
        DAMAGE(thawed),
        DAMAGE(loading),
    };
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        if (!check_notices(damages[i].damage)) {
            fail_msg("not noticed: %s", damages[i].name);
        }
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(check__sound_store__passes),
    PC_TEST(check__damaged_store__is_noticed),
};
PC_TEST_MAIN("store_check", tests)
