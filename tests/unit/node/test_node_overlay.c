/* The view of a branch: an overlay on a store that stands still. */
#include <string.h>

#include "node/node_overlay_int.h"
#include "pcache/assert.h"
#include "support/test.h"

#define BASE_MS 1000

static const uint8_t branch_id[16] = {0xff, 0xff, 3};

struct kit {
    struct pc_store *base;
    struct node_overlay *overlay;
    uint64_t number;
    pc_index base_applied;
};

static struct pc_command command_of(enum pc_op op, const char *key, const char *value)
{
    return (struct pc_command){
        .op = op, .key = pc_slice_str(key), .value = pc_slice_str(value != NULL ? value : "")};
}

static void base_set(struct kit *kit, const char *key, const char *value, pc_ms ttl_ms)
{
    struct pc_command command = command_of(PC_OP_SET, key, value);
    command.has_ttl = ttl_ms > 0;
    command.ttl_ms = ttl_ms;
    command.content_type = pc_slice_str("text/plain");
    assert_ok(pc_store_apply(kit->base, ++kit->base_applied, BASE_MS, &command, NULL));
}

/* a: for ever, b: until 1500. */
static struct kit kit_new(void)
{
    static const uint8_t seed[16] = {7};
    struct pc_store_opts opts = {{1}};
    struct kit kit = {.base = pc_store_new(&opts), .overlay = node_overlay_new(seed, branch_id)};
    base_set(&kit, "a", "one", 0);
    base_set(&kit, "b", "two", 500);
    return kit;
}

static void kit_delete(struct kit *kit)
{
    node_overlay_delete(kit->overlay);
    pc_store_delete(kit->base);
}

static struct pc_outcome apply(struct kit *kit, pc_ms stamp_ms, const struct pc_command *command)
{
    struct pc_outcome outcome;
    struct pc_hash before = pc_store_digest(kit->base);
    node_overlay_apply(kit->overlay, kit->base, ++kit->number, stamp_ms, command, &outcome);
    node_overlay_check(kit->overlay);
    struct pc_hash after = pc_store_digest(kit->base);
    assert_memory_equal(before.b, after.b, sizeof after.b); /* the base stays as it is */
    assert_int_equal(node_overlay_number(kit->overlay), kit->number);
    return outcome;
}

static struct pc_outcome run(
    struct kit *kit, pc_ms stamp_ms, enum pc_op op, const char *key, const char *value)
{
    struct pc_command command = command_of(op, key, value);
    return apply(kit, stamp_ms, &command);
}

static pc_index version_of(uint64_t number)
{
    return node_overlay_version(branch_id, number);
}

/* NULL: nothing is to be seen. */
static void assert_view(const struct kit *kit, pc_ms now_ms, const char *key, const char *value)
{
    struct pc_item item;
    bool found = node_overlay_get(kit->overlay, kit->base, pc_slice_str(key), now_ms, &item);
    assert_int_equal(found, value != NULL);
    if (found) {
        assert_true(pc_slice_equal(pc_blob_slice(item.value), pc_slice_str(value)));
    }
}

static void overlay__nothing_applied__shows_the_base(void **state)
{
    (void)state;
    struct kit kit = kit_new();
    struct pc_item item;
    assert_view(&kit, BASE_MS, "a", "one");
    assert_view(&kit, BASE_MS, "c", NULL);
    assert_true(node_overlay_get(kit.overlay, kit.base, pc_slice_str("a"), BASE_MS, &item));
    assert_int_equal(item.version, 1);
    assert_int_equal(node_overlay_number(kit.overlay), 0);
    assert_false(node_overlay_has(kit.overlay, pc_slice_str("a")));
    kit_delete(&kit);
}

static void overlay__set__covers_the_base(void **state)
{
    (void)state;
    struct kit kit = kit_new();
    struct pc_outcome old = run(&kit, 1100, PC_OP_SET, "a", "new");
    struct pc_outcome fresh = run(&kit, 1100, PC_OP_SET, "c", "three");
    assert_true(old.existed && old.changed && !fresh.existed && fresh.changed);
    assert_int_equal(old.version, version_of(1));
    assert_int_equal(fresh.version, version_of(2));
    assert_view(&kit, 1100, "a", "new");
    assert_view(&kit, 1100, "c", "three");
    assert_view(&kit, 1100, "b", "two");
    assert_true(node_overlay_has(kit.overlay, pc_slice_str("a")));
    assert_false(node_overlay_has(kit.overlay, pc_slice_str("b")));
    kit_delete(&kit);
}

static void overlay__delete__hides_the_base(void **state)
{
    (void)state;
    struct kit kit = kit_new();
    struct pc_outcome there = run(&kit, 1100, PC_OP_DELETE, "a", NULL);
    struct pc_outcome again = run(&kit, 1100, PC_OP_DELETE, "a", NULL);
    struct pc_outcome never = run(&kit, 1100, PC_OP_DELETE, "c", NULL);
    assert_true(there.existed && there.changed && there.version == 0);
    assert_true(!again.existed && !again.changed);
    assert_true(!never.existed && !never.changed);
    assert_view(&kit, 1100, "a", NULL);
    assert_int_equal(run(&kit, 1200, PC_OP_SET, "a", "back").version, version_of(4));
    assert_view(&kit, 1200, "a", "back");
    kit_delete(&kit);
}

static void overlay__expire__takes_the_item_over_with_all_it_has(void **state)
{
    (void)state;
    struct kit kit = kit_new();
    struct pc_item item;
    struct pc_command command = command_of(PC_OP_EXPIRE, "a", NULL);
    command.has_ttl = true;
    command.ttl_ms = 300;
    struct pc_outcome outcome = apply(&kit, 1100, &command);
    assert_true(outcome.existed && outcome.changed);
    assert_int_equal(outcome.deadline_ms, 1400);
    assert_int_equal(outcome.version, version_of(1));
    assert_true(node_overlay_get(kit.overlay, kit.base, pc_slice_str("a"), 1399, &item));
    assert_true(pc_slice_equal(pc_blob_slice(item.value), pc_slice_str("one")));
    assert_true(pc_slice_equal(item.content_type, pc_slice_str("text/plain")));
    assert_view(&kit, 1400, "a", NULL); /* and the base's does not come back */
    run(&kit, 1500, PC_OP_SET, "c", "time passes");
    assert_view(&kit, 1500, "a", NULL);
    command.key = pc_slice_str("none");
    assert_false(apply(&kit, 1500, &command).existed);
    kit_delete(&kit);
}

static void overlay__persist__takes_the_deadline_away_or_nothing(void **state)
{
    (void)state;
    struct kit kit = kit_new();
    struct pc_outcome with = run(&kit, 1100, PC_OP_PERSIST, "b", NULL);
    assert_true(with.existed && with.changed && with.deadline_ms == 0);
    assert_int_equal(with.version, version_of(1));
    assert_view(&kit, 9000, "b", "two");
    struct pc_outcome without = run(&kit, 1100, PC_OP_PERSIST, "a", NULL);
    assert_true(without.existed && !without.changed);
    assert_int_equal(without.version, 1); /* it is the base's still */
    assert_false(node_overlay_has(kit.overlay, pc_slice_str("a")));
    kit_delete(&kit);
}

static void overlay__due_in_the_base__is_not_seen_nor_acted_on(void **state)
{
    (void)state;
    struct kit kit = kit_new();
    assert_view(&kit, 1499, "b", "two");
    assert_view(&kit, 1500, "b", NULL);
    assert_false(run(&kit, 1500, PC_OP_PERSIST, "b", NULL).existed);
    assert_false(run(&kit, 1500, PC_OP_DELETE, "b", NULL).existed);
    struct pc_outcome outcome = run(&kit, 1500, PC_OP_SET, "b", "anew");
    assert_false(outcome.existed);
    assert_view(&kit, 1500, "b", "anew");
    kit_delete(&kit);
}

static void overlay__condition__was_judged_before_and_is_not_again(void **state)
{
    (void)state;
    struct kit kit = kit_new();
    struct pc_command command = command_of(PC_OP_SET, "a", "swapped");
    command.condition = PC_IF_VERSION;
    command.if_version = 1; /* the base's: the copy has another */
    struct pc_outcome outcome = apply(&kit, 1100, &command);
    assert_true(outcome.changed && !outcome.unmet);
    assert_view(&kit, 1100, "a", "swapped");
    kit_delete(&kit);
}

static void overlay__same_records_again__same_view(void **state)
{
    (void)state;
    struct kit kits[2] = {kit_new(), kit_new()};
    struct pc_item items[2];
    for (size_t i = 0; i < 2; i++) {
        struct pc_command expire = command_of(PC_OP_EXPIRE, "b", NULL);
        expire.has_ttl = true;
        expire.ttl_ms = 100;
        run(&kits[i], 1100, PC_OP_SET, "a", "x");
        run(&kits[i], 1100, PC_OP_PERSIST, "a", NULL);
        apply(&kits[i], 1200, &expire);
        run(&kits[i], 1250, PC_OP_PERSIST, "b", NULL);
        assert_true(
            node_overlay_get(kits[i].overlay, kits[i].base, pc_slice_str("b"), 9000, &items[i]));
    }
    assert_int_equal(items[0].version, version_of(4));
    assert_int_equal(items[1].version, items[0].version);
    kit_delete(&kits[0]);
    kit_delete(&kits[1]);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(overlay__nothing_applied__shows_the_base),
    PC_TEST(overlay__set__covers_the_base),
    PC_TEST(overlay__delete__hides_the_base),
    PC_TEST(overlay__expire__takes_the_item_over_with_all_it_has),
    PC_TEST(overlay__persist__takes_the_deadline_away_or_nothing),
    PC_TEST(overlay__due_in_the_base__is_not_seen_nor_acted_on),
    PC_TEST(overlay__condition__was_judged_before_and_is_not_again),
    PC_TEST(overlay__same_records_again__same_view),
};

PC_TEST_MAIN("node_overlay", tests)
