/* Commands that act only when what stands under the key is what they name. */
#include "store_kit.h"

#include <stdio.h>

static struct pc_command set_if(enum pc_condition condition, pc_index if_version, const char *value)
{
    struct pc_command command = kit_command(PC_OP_SET, "key", NO_TTL);
    command.value = pc_slice_str(value);
    command.condition = condition;
    command.if_version = if_version;
    return command;
}

static void assert_unmet(struct pc_outcome outcome, pc_index version, pc_ms deadline_ms)
{
    assert_true(outcome.unmet);
    assert_outcome(outcome, version != 0, false, version, deadline_ms);
}

static void assert_done(struct pc_outcome outcome, pc_index version)
{
    assert_false(outcome.unmet);
    assert_true(outcome.changed);
    assert_int_equal(outcome.version, version);
}

static void holds__every_condition__by_the_version_alone(void **state)
{
    (void)state;
    const struct {
        enum pc_condition condition;
        pc_index version;
        bool holds;
    } cases[] = {
        {PC_IF_ANY, 0, true},
        {PC_IF_ANY, 7, true},
        {PC_IF_VERSION, 7, true},
        {PC_IF_VERSION, 6, false},
        {PC_IF_VERSION, 8, false},
        {PC_IF_VERSION, 0, false},
        {PC_IF_ABSENT, 0, true},
        {PC_IF_ABSENT, 7, false},
        {PC_IF_PRESENT, 0, false},
        {PC_IF_PRESENT, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_command command = set_if(cases[i].condition, 0, "v");
        command.if_version = cases[i].condition == PC_IF_VERSION ? 7 : 0;
        assert_int_equal(pc_condition_holds(&command, cases[i].version), cases[i].holds);
    }
}

static void set__of_a_version__replaces_that_one_only(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    (void)kit_set(store, 10, "key", "one", 500);
    struct pc_command command = set_if(PC_IF_VERSION, 1, "two");
    assert_done(kit_apply(store, 10, &command), 2);
    assert_unmet(kit_apply(store, 11, &command), 2, 0);
    assert_true(pc_slice_equal(pc_blob_slice(kit_get(store, "key").value), pc_slice_str("two")));
    assert_int_equal(kit_get(store, "key").version, 2);
    assert_int_equal(kit_get(store, "key").created, 1);
    command.key = pc_slice_str("other");
    assert_unmet(kit_apply(store, 12, &command), 0, 0);
    assert_false(kit_has(store, "other"));
    pc_store_delete(store);
}

static void set__where_nothing_is__creates_once(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    struct pc_command command = set_if(PC_IF_ABSENT, 0, "v");
    command.has_ttl = true;
    command.ttl_ms = 100;
    assert_done(kit_apply(store, 10, &command), 1);
    assert_unmet(kit_apply(store, 11, &command), 1, 110);
    assert_int_equal(kit_get(store, "key").deadline_ms, 110);
    pc_store_delete(store);
}

/* Nothing that a digest or a reader can see: also where a new content type was made ready. */
static void set__condition_does_not_hold__state_is_the_same(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    (void)kit_set(store, 10, "key", "v", 1000);
    struct pc_hash before = pc_store_digest(store);
    struct pc_store_stats stats = kit_stats(store);
    const enum pc_op ops[] = {PC_OP_SET, PC_OP_DELETE, PC_OP_EXPIRE, PC_OP_PERSIST};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        struct pc_command command = kit_command(ops[i], "key", i % 2 == 0 ? 50 : NO_TTL);
        command.content_type = ops[i] == PC_OP_SET ? pc_slice_str("never/seen") : pc_slice_str("");
        command.condition = i % 2 == 0 ? PC_IF_ABSENT : PC_IF_VERSION;
        command.if_version = i % 2 == 0 ? 0 : 9;
        assert_unmet(kit_apply(store, 10, &command), 1, 1010);
        assert_memory_equal(pc_store_digest(store).b, before.b, sizeof before.b);
        pc_store_check(store);
    }
    assert_int_equal(kit_stats(store).data_bytes, stats.data_bytes);
    assert_int_equal(kit_stats(store).applied, 5);
    pc_store_delete(store);
}

static void delete_and_deadlines__condition_holds__act(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    (void)kit_set(store, 10, "key", "v", NO_TTL);
    struct pc_command command = kit_command(PC_OP_EXPIRE, "key", 50);
    command.condition = PC_IF_VERSION;
    command.if_version = 1;
    assert_done(kit_apply(store, 10, &command), 2);
    command = kit_command(PC_OP_PERSIST, "key", NO_TTL);
    command.condition = PC_IF_PRESENT;
    assert_done(kit_apply(store, 10, &command), 3);
    command = kit_command(PC_OP_DELETE, "key", NO_TTL);
    command.condition = PC_IF_VERSION;
    command.if_version = 3;
    assert_done(kit_apply(store, 10, &command), 0);
    assert_unmet(kit_apply(store, 10, &command), 0, 0);
    pc_store_delete(store);
}

/* What is past its deadline is not there, whether or not it has been removed yet: more fall due
 * with this entry than one entry removes. */
static void condition__item_is_past_its_deadline__is_absent(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    char key[24];
    for (int i = 0; i < PC_EXPIRE_PER_ENTRY_MAX; i++) {
        (void)snprintf(key, sizeof key, "early%d", i);
        (void)kit_set(store, 10, key, "v", 50);
    }
    (void)kit_set(store, 10, "key", "v", 60);
    pc_index version = kit_get(store, "key").version;
    struct pc_command command = set_if(PC_IF_VERSION, version, "late");
    assert_unmet(kit_apply(store, 70, &command), 0, 0);
    assert_int_equal(kit_stats(store).items, 1); /* in memory all the same */
    command = set_if(PC_IF_ABSENT, 0, "anew");
    assert_done(kit_apply(store, 70, &command), version + 2);
    assert_int_equal(kit_get(store, "key").created, version + 2);
    pc_store_check(store);
    pc_store_delete(store);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(holds__every_condition__by_the_version_alone),
    PC_TEST(set__of_a_version__replaces_that_one_only),
    PC_TEST(set__where_nothing_is__creates_once),
    PC_TEST(set__condition_does_not_hold__state_is_the_same),
    PC_TEST(delete_and_deadlines__condition_holds__act),
    PC_TEST(condition__item_is_past_its_deadline__is_absent),
};
PC_TEST_MAIN("store_conditions", tests)
