/* Numbers that a store counts in 32 bits: at the bound an entry is refused and nothing has changed.
 * Nobody has the memory to get there, so the counters are set. */
#include "store_kit.h"

#include "core/store/store_int.h"

static pc_err try_apply(struct pc_store *store, const struct pc_command *command)
{
    struct pc_outcome outcome = {.version = 12345};
    struct pc_hash digest = pc_store_digest(store);
    uint64_t applied = kit_stats(store).applied;
    pc_err err = pc_store_apply(store, applied + 1, 10, command, &outcome);
    if (err != PC_OK) {
        assert_int_equal(outcome.version, 12345);
        assert_int_equal(kit_stats(store).applied, applied);
        assert_memory_equal(pc_store_digest(store).b, digest.b, sizeof digest.b);
    }
    return err;
}

static struct pc_command set_with_type(const char *key, const char *type)
{
    struct pc_command command = kit_command(PC_OP_SET, key, NO_TTL);
    command.value = pc_slice_str("v");
    command.content_type = pc_slice_str(type);
    return command;
}

static void set__content_types_counted_out__is_refused(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    struct pc_command known = set_with_type("a", "text/plain");
    assert_ok(try_apply(store, &known));
    uint32_t ids = store->types.slots_len;
    store->types.slots_len = UINT32_MAX;
    struct pc_command fresh = set_with_type("b", "text/html");
    assert_int_equal(try_apply(store, &fresh), PC_E_NOMEM);
    struct pc_command again = set_with_type("b", "text/plain"); /* needs no new id */
    assert_ok(try_apply(store, &again));
    store->types.slots_len = ids;
    pc_store_check(store);
    assert_ok(try_apply(store, &fresh));
    pc_store_check(store);
    pc_store_delete(store);
}

static void set__items_of_one_content_type_counted_out__is_refused(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    struct pc_command command = set_with_type("a", "text/plain");
    assert_ok(try_apply(store, &command));
    uint32_t id = 1; /* the first that is given */
    union pc_store_type_slot *slot = pc_store_array_at(&store->types.slots, id);
    uint32_t refs = slot->type->refs;
    slot->type->refs = UINT32_MAX;
    command = set_with_type("b", "text/plain");
    assert_int_equal(try_apply(store, &command), PC_E_NOMEM);
    assert_int_equal(slot->type->refs, UINT32_MAX);
    slot->type->refs = refs;
    pc_store_check(store);
    assert_ok(try_apply(store, &command));
    assert_int_equal(slot->type->refs, refs + 1);
    pc_store_delete(store);
}

static void set__deadlines_counted_out__is_refused(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(1);
    struct pc_command command = kit_command(PC_OP_SET, "a", 1000);
    command.value = pc_slice_str("v");
    size_t count = store->deadlines.count;
    store->deadlines.count = PC_STORE_NO_SLOT;
    struct pc_outcome outcome = {.version = 12345};
    assert_int_equal(pc_store_apply(store, 1, 10, &command, &outcome), PC_E_NOMEM);
    assert_int_equal(outcome.version, 12345);
    store->deadlines.count = count;
    assert_ok(try_apply(store, &command));
    pc_store_check(store);
    pc_store_delete(store);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(set__content_types_counted_out__is_refused),
    PC_TEST(set__items_of_one_content_type_counted_out__is_refused),
    PC_TEST(set__deadlines_counted_out__is_refused),
};
PC_TEST_MAIN("store_bounds", tests)
