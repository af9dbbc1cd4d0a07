/* Each command and its boundaries, one item at a time. */
#include "store_kit.h"

#include <stdlib.h>

static int setup(void **state)
{
    *state = kit_new(1);
    return 0;
}

static int teardown(void **state)
{
    pc_store_check(*state);
    pc_store_delete(*state);
    return 0;
}

static void get__empty_store__not_found(void **state)
{
    assert_false(kit_has(*state, "a"));
    struct pc_item item;
    assert_int_equal(pc_store_get(*state, pc_slice_of(NULL, 0), &item), PC_E_NOT_FOUND);
    static const uint8_t longer[PC_KEY_BYTES_MAX + 1];
    assert_int_equal(
        pc_store_get(*state, pc_slice_of(longer, sizeof longer), &item), PC_E_NOT_FOUND);
    assert_int_equal(kit_stats(*state).items, 0);
    struct pc_hash zero = {{0}};
    assert_memory_equal(pc_store_digest(*state).b, zero.b, sizeof zero.b);
}

static void set__new_key__is_created(void **state)
{
    assert_outcome(kit_set(*state, 10, "a", "one", NO_TTL), false, true, 1, 0);
    struct pc_item item = kit_get(*state, "a");
    assert_true(pc_slice_equal(item.key, pc_slice_str("a")));
    assert_true(pc_slice_equal(pc_blob_slice(item.value), pc_slice_str("one")));
    assert_int_equal(item.content_type.len, 0);
    assert_int_equal(item.version, 1);
    assert_int_equal(item.created, 1);
    assert_int_equal(item.deadline_ms, 0);
    assert_int_equal(pc_store_ttl_left(*state, &item), 0);
}

static void set__existing_key__keeps_created_and_moves_version(void **state)
{
    (void)kit_set(*state, 10, "a", "one", NO_TTL);
    (void)kit_set(*state, 10, "b", "x", NO_TTL);
    assert_outcome(kit_set(*state, 10, "a", "two", NO_TTL), true, true, 3, 0);
    struct pc_item item = kit_get(*state, "a");
    assert_true(pc_slice_equal(pc_blob_slice(item.value), pc_slice_str("two")));
    assert_int_equal(item.version, 3);
    assert_int_equal(item.created, 1);
    assert_int_equal(kit_stats(*state).items, 2);
}

static void set__after_delete__is_created_with_a_higher_version(void **state)
{
    (void)kit_set(*state, 10, "a", "one", NO_TTL);
    (void)kit_delete(*state, 10, "a");
    assert_outcome(kit_set(*state, 10, "a", "one", NO_TTL), false, true, 3, 0);
    assert_int_equal(kit_get(*state, "a").created, 3);
}

static void set__content_type__comes_back_and_is_replaced(void **state)
{
    struct pc_command command = kit_command(PC_OP_SET, "a", NO_TTL);
    command.content_type = pc_slice_str("text/plain");
    (void)kit_apply(*state, 10, &command);
    assert_true(pc_slice_equal(kit_get(*state, "a").content_type, pc_slice_str("text/plain")));
    command.content_type = pc_slice_str("image/png");
    (void)kit_apply(*state, 10, &command);
    assert_true(pc_slice_equal(kit_get(*state, "a").content_type, pc_slice_str("image/png")));
    (void)kit_set(*state, 10, "a", "", NO_TTL);
    assert_int_equal(kit_get(*state, "a").content_type.len, 0);
}

static void set__bounds_of_every_field__are_kept(void **state)
{
    uint8_t *bytes = malloc(PC_VALUE_BYTES_MAX);
    assert_non_null(bytes);
    for (size_t i = 0; i < PC_VALUE_BYTES_MAX; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    }
    struct pc_command command = {.op = PC_OP_SET,
        .key = pc_slice_of(bytes, PC_KEY_BYTES_MAX),
        .value = pc_slice_of(bytes, PC_VALUE_BYTES_MAX),
        .content_type = pc_slice_of(bytes + 1, PC_CONTENT_TYPE_BYTES_MAX)};
    (void)kit_apply(*state, 10, &command);
    struct pc_item item;
    assert_ok(pc_store_get(*state, command.key, &item));
    assert_true(pc_slice_equal(item.key, command.key));
    assert_true(pc_slice_equal(pc_blob_slice(item.value), command.value));
    assert_true(pc_slice_equal(item.content_type, command.content_type));
    assert_int_equal(kit_stats(*state).data_bytes,
        PC_KEY_BYTES_MAX + PC_VALUE_BYTES_MAX + PC_CONTENT_TYPE_BYTES_MAX);

    /* One byte less is another key. */
    command.key.len--;
    assert_int_equal(pc_store_get(*state, command.key, &item), PC_E_NOT_FOUND);
    free(bytes);
}

static void set__bytes_with_zeros__are_just_bytes(void **state)
{
    struct pc_command command = {
        .op = PC_OP_SET, .key = pc_slice_of("a\0b", 3), .value = pc_slice_of("\0", 1)};
    (void)kit_apply(*state, 10, &command);
    command.key = pc_slice_of("a\0c", 3);
    command.value = pc_slice_of(NULL, 0);
    assert_false(kit_apply(*state, 10, &command).existed);
    struct pc_item item;
    assert_ok(pc_store_get(*state, pc_slice_of("a\0b", 3), &item));
    assert_int_equal(item.value->len, 1);
    assert_ok(pc_store_get(*state, pc_slice_of("a\0c", 3), &item));
    assert_int_equal(item.value->len, 0);
}

static void set__value_at_the_kept_hash_border__digest_checks(void **state)
{
    static const uint8_t bytes[1026] = {1, 2, 3};
    for (size_t len = 1023; len <= 1026; len++) {
        struct pc_command command = {
            .op = PC_OP_SET, .key = pc_slice_str("a"), .value = pc_slice_of(bytes, len)};
        (void)kit_apply(*state, 10, &command);
        assert_int_equal(kit_get(*state, "a").value->len, len);
        pc_store_check(*state);
    }
}

static void set__ttl__deadline_is_exclusive(void **state)
{
    assert_outcome(kit_set(*state, 100, "a", "v", 50), false, true, 1, 150);
    struct pc_item item = kit_get(*state, "a");
    assert_int_equal(item.deadline_ms, 150);
    assert_int_equal(pc_store_ttl_left(*state, &item), 50);
    kit_tick(*state, 149);
    item = kit_get(*state, "a");
    assert_int_equal(pc_store_ttl_left(*state, &item), 1);
    kit_tick(*state, 150);
    assert_false(kit_has(*state, "a"));
    assert_int_equal(kit_stats(*state).items, 0);
    assert_int_equal(kit_stats(*state).expired_total, 1);
}

static void set__ttl_of_one__is_visible_until_time_moves(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 1);
    assert_true(kit_has(*state, "a"));
    kit_tick(*state, 100);
    assert_true(kit_has(*state, "a"));
    kit_tick(*state, 101);
    assert_false(kit_has(*state, "a"));
}

static void set__without_ttl__clears_the_old_deadline(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 50);
    assert_outcome(kit_set(*state, 120, "a", "w", NO_TTL), true, true, 2, 0);
    assert_int_equal(kit_stats(*state).items_expiring, 0);
    kit_tick(*state, 1000);
    assert_true(kit_has(*state, "a"));
}

static void set__other_ttl__replaces_the_deadline(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 50);
    assert_outcome(kit_set(*state, 120, "a", "w", 500), true, true, 2, 620);
    kit_tick(*state, 619);
    assert_true(kit_has(*state, "a"));
    kit_tick(*state, 620);
    assert_false(kit_has(*state, "a"));
}

static void set__ttl_zero__leaves_no_item(void **state)
{
    assert_outcome(kit_set(*state, 0, "a", "v", 0), false, false, 0, 0);
    assert_false(kit_has(*state, "a"));
    (void)kit_set(*state, 100, "a", "v", NO_TTL);
    assert_outcome(kit_set(*state, 100, "a", "w", 0), true, true, 0, 0);
    assert_false(kit_has(*state, "a"));
    assert_int_equal(kit_stats(*state).items, 0);
}

static void set__at_its_own_expiry__is_a_new_item(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 50);
    assert_outcome(kit_set(*state, 150, "a", "w", NO_TTL), false, true, 2, 0);
    assert_int_equal(kit_get(*state, "a").created, 2);
}

static void set__longest_ttl_near_the_end_of_time__deadline_saturates(void **state)
{
    (void)kit_set(*state, UINT64_MAX - 1, "a", "v", PC_TTL_MS_MAX);
    assert_true(kit_get(*state, "a").deadline_ms == UINT64_MAX);
    kit_tick(*state, UINT64_MAX);
    assert_false(kit_has(*state, "a"));
}

static void delete__existing_and_missing__tells_which(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 50);
    assert_outcome(kit_delete(*state, 100, "a"), true, true, 0, 0);
    assert_false(kit_has(*state, "a"));
    assert_int_equal(kit_stats(*state).items_expiring, 0);
    assert_outcome(kit_delete(*state, 100, "a"), false, false, 0, 0);
}

static void delete__at_the_deadline__acts_as_if_missing(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 50);
    assert_outcome(kit_delete(*state, 150, "a"), false, false, 0, 0);
}

static void expire__existing__sets_and_replaces_the_deadline(void **state)
{
    (void)kit_set(*state, 100, "a", "v", NO_TTL);
    assert_outcome(kit_expire(*state, 100, "a", 50), true, true, 2, 150);
    assert_int_equal(kit_get(*state, "a").version, 2);
    assert_int_equal(kit_get(*state, "a").created, 1);
    assert_outcome(kit_expire(*state, 110, "a", 5), true, true, 3, 115);
    kit_tick(*state, 115);
    assert_false(kit_has(*state, "a"));
}

static void expire__missing__does_nothing(void **state)
{
    assert_outcome(kit_expire(*state, 100, "a", 50), false, false, 0, 0);
    assert_outcome(kit_expire(*state, 100, "a", 0), false, false, 0, 0);
    assert_int_equal(kit_stats(*state).items, 0);
}

static void expire__ttl_zero__removes(void **state)
{
    (void)kit_set(*state, 0, "a", "v", NO_TTL);
    assert_outcome(kit_expire(*state, 0, "a", 0), true, true, 0, 0);
    assert_false(kit_has(*state, "a"));
    assert_int_equal(kit_stats(*state).items, 0);
}

static void persist__with_deadline__clears_it(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 50);
    assert_outcome(kit_persist(*state, 149, "a"), true, true, 2, 0);
    kit_tick(*state, 1000);
    assert_int_equal(kit_get(*state, "a").version, 2);
}

static void persist__without_deadline__changes_nothing(void **state)
{
    (void)kit_set(*state, 100, "a", "v", NO_TTL);
    struct pc_hash before = pc_store_digest(*state);
    assert_outcome(kit_persist(*state, 100, "a"), true, false, 1, 0);
    assert_outcome(kit_persist(*state, 100, "b"), false, false, 0, 0);
    assert_memory_equal(pc_store_digest(*state).b, before.b, sizeof before.b);
}

static void entry__without_command__moves_time_only(void **state)
{
    (void)kit_set(*state, 100, "a", "v", 50);
    assert_outcome(kit_apply(*state, 149, NULL), false, false, 0, 0);
    assert_true(kit_has(*state, "a"));
    assert_ok(pc_store_apply(*state, 3, 150, NULL, NULL));
    assert_false(kit_has(*state, "a"));
    assert_int_equal(kit_stats(*state).applied, 3);
    assert_int_equal(kit_stats(*state).stamp_ms, 150);
}

static void value__kept_by_reference__outlives_item_and_store(void **state)
{
    (void)state;
    struct pc_store *store = kit_new(3);
    (void)kit_set(store, 1, "a", "one", NO_TTL);
    struct pc_blob *value = pc_blob_ref(kit_get(store, "a").value);
    (void)kit_set(store, 1, "a", "two", NO_TTL);
    pc_store_delete(store);
    assert_true(pc_slice_equal(pc_blob_slice(value), pc_slice_str("one")));
    pc_blob_unref(value);
    pc_store_delete(NULL);
}

static void stats__data_bytes__follow_every_change(void **state)
{
    struct pc_command command = kit_command(PC_OP_SET, "key", 50);
    command.value = pc_slice_str("value");
    command.content_type = pc_slice_str("t/t");
    uint64_t empty_bytes = kit_stats(*state).memory_bytes;
    (void)kit_apply(*state, 1, &command);
    assert_int_equal(kit_stats(*state).data_bytes, 3 + 5 + 3);
    assert_int_equal(kit_stats(*state).items_expiring, 1);
    assert_true(kit_stats(*state).memory_bytes > empty_bytes);
    (void)kit_set(*state, 1, "key", "", NO_TTL);
    assert_int_equal(kit_stats(*state).data_bytes, 3);
    assert_int_equal(kit_stats(*state).items_expiring, 0);
    (void)kit_delete(*state, 1, "key");
    assert_int_equal(kit_stats(*state).data_bytes, 0);
}

static void digest__known_history__is_the_golden_one(void **state)
{
    struct pc_command command = kit_command(PC_OP_SET, "golden", 5000);
    command.value = pc_slice_str("value");
    command.content_type = pc_slice_str("text/plain");
    (void)kit_apply(*state, 1000, &command);
    (void)kit_set(*state, 1001, "other", "", NO_TTL);
    static uint8_t large[5000];
    memset(large, 'x', sizeof large);
    command = kit_command(PC_OP_SET, "large", NO_TTL);
    command.value = pc_slice_of(large, sizeof large);
    (void)kit_apply(*state, 1002, &command);
    char hex[33];
    pc_hex_encode(pc_store_digest(*state).b, 16, hex);
    assert_string_equal(hex, "6d516080a712410f3f3db8cb8872f0c9");
}

static void digest__border_of_key_and_value_moved__differs(void **state)
{
    struct pc_store *other = kit_new(1);
    (void)kit_set(*state, 1, "ab", "c", NO_TTL);
    (void)kit_set(other, 1, "a", "bc", NO_TTL);
    assert_true(memcmp(pc_store_digest(*state).b, pc_store_digest(other).b, 16) != 0);
    pc_store_delete(other);
}

static void digest__everything_removed__is_zero_again(void **state)
{
    (void)kit_set(*state, 1, "a", "1", NO_TTL);
    (void)kit_set(*state, 2, "b", "2", 5);
    (void)kit_expire(*state, 3, "a", 7);
    (void)kit_delete(*state, 4, "a");
    kit_tick(*state, 100);
    struct pc_hash zero = {{0}};
    assert_memory_equal(pc_store_digest(*state).b, zero.b, sizeof zero.b);
}

static void count_item(void *context, const struct pc_item *item)
{
    assert_true(item->key.len == 1);
    *(unsigned *)context |= 1U << (item->key.data[0] - 'a');
}

static void each__some_items__visits_every_one(void **state)
{
    (void)kit_set(*state, 1, "a", "1", NO_TTL);
    (void)kit_set(*state, 1, "b", "2", 5);
    (void)kit_set(*state, 1, "d", "3", NO_TTL);
    unsigned seen = 0;
    pc_store_each(*state, count_item, &seen);
    assert_int_equal(seen, 1 | 2 | 8);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest tests[] = {
    TEST(get__empty_store__not_found),
    TEST(set__new_key__is_created),
    TEST(set__existing_key__keeps_created_and_moves_version),
    TEST(set__after_delete__is_created_with_a_higher_version),
    TEST(set__content_type__comes_back_and_is_replaced),
    TEST(set__bounds_of_every_field__are_kept),
    TEST(set__bytes_with_zeros__are_just_bytes),
    TEST(set__value_at_the_kept_hash_border__digest_checks),
    TEST(set__ttl__deadline_is_exclusive),
    TEST(set__ttl_of_one__is_visible_until_time_moves),
    TEST(set__without_ttl__clears_the_old_deadline),
    TEST(set__other_ttl__replaces_the_deadline),
    TEST(set__ttl_zero__leaves_no_item),
    TEST(set__at_its_own_expiry__is_a_new_item),
    TEST(set__longest_ttl_near_the_end_of_time__deadline_saturates),
    TEST(delete__existing_and_missing__tells_which),
    TEST(delete__at_the_deadline__acts_as_if_missing),
    TEST(expire__existing__sets_and_replaces_the_deadline),
    TEST(expire__missing__does_nothing),
    TEST(expire__ttl_zero__removes),
    TEST(persist__with_deadline__clears_it),
    TEST(persist__without_deadline__changes_nothing),
    TEST(entry__without_command__moves_time_only),
    TEST(value__kept_by_reference__outlives_item_and_store),
    TEST(stats__data_bytes__follow_every_change),
    TEST(digest__known_history__is_the_golden_one),
    TEST(digest__border_of_key_and_value_moved__differs),
    TEST(digest__everything_removed__is_zero_again),
    TEST(each__some_items__visits_every_one),
};
PC_TEST_MAIN("store_commands", tests)
