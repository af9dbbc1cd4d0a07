/* Random histories against a naive model, and against a second store with another hash seed.
 *
 * The model keeps an array of items, finds what is due by looking at all of them, and computes the
 * digest from the documented formula. Deadlines are rounded so that hundreds of items fall due
 * together, more than one entry may remove. */
#include "store_kit.h"

#include <stdio.h>

#include <sodium/crypto_shorthash.h>

#include "pcache/prng.h"

#define KEYS 1500
#define STEPS 30000
#define VALUE_BYTES_MAX 1100 /* crosses the size from which a value's hash is kept */
#define TYPES 40
#define ROUND_MS 12000 /* most deadlines are multiples of it */

struct model_item {
    bool present; /* in memory, visible or not */
    pc_index version;
    pc_index created;
    pc_ms deadline_ms;
    struct pc_slice value;
    struct pc_slice type;
};

struct model {
    struct model_item items[KEYS];
    char keys[KEYS][16];
    pc_index applied;
    pc_ms stamp_ms;
    uint64_t expired_total;
};

static uint8_t value_bytes[VALUE_BYTES_MAX + 256];
static char types[TYPES][32];

static bool model_is_visible(const struct model *model, unsigned k)
{
    const struct model_item *item = &model->items[k];
    return item->present && (item->deadline_ms == 0 || item->deadline_ms > model->stamp_ms);
}

/* The due item that goes first; KEYS = none. Two items never share `created` here. */
static unsigned model_due(const struct model *model)
{
    unsigned first = KEYS;
    for (unsigned k = 0; k < KEYS; k++) {
        const struct model_item *item = &model->items[k];
        if (!item->present || model_is_visible(model, k)) {
            continue;
        }
        const struct model_item *best = first < KEYS ? &model->items[first] : NULL;
        if (best == NULL || item->deadline_ms < best->deadline_ms ||
            (item->deadline_ms == best->deadline_ms && item->created < best->created)) {
            first = k;
        }
    }
    return first;
}

static void model_expire(struct model *model)
{
    for (int i = 0; i < PC_EXPIRE_PER_ENTRY_MAX; i++) {
        unsigned k = model_due(model);
        if (k == KEYS) {
            return;
        }
        model->items[k].present = false;
        model->expired_total++;
    }
}

static struct pc_outcome model_set(
    struct model *model, unsigned k, const struct pc_command *command)
{
    struct model_item *item = &model->items[k];
    bool visible = model_is_visible(model, k);
    if (command->has_ttl && command->ttl_ms == 0) {
        item->present = item->present && !visible;
        return (struct pc_outcome){.existed = visible, .changed = visible};
    }
    *item = (struct model_item){.present = true,
        .version = model->applied,
        .created = visible ? item->created : model->applied,
        .deadline_ms = command->has_ttl ? model->stamp_ms + command->ttl_ms : 0,
        .value = command->value,
        .type = command->content_type};
    return (struct pc_outcome){.existed = visible,
        .changed = true,
        .version = item->version,
        .deadline_ms = item->deadline_ms};
}

/* EXPIRE and PERSIST of a visible item. */
static struct pc_outcome model_change_deadline(
    struct model *model, unsigned k, const struct pc_command *command)
{
    struct model_item *item = &model->items[k];
    if (command->op == PC_OP_EXPIRE && command->ttl_ms == 0) {
        item->present = false;
        return (struct pc_outcome){.existed = true, .changed = true};
    }
    pc_ms deadline_ms = command->op == PC_OP_EXPIRE ? model->stamp_ms + command->ttl_ms : 0;
    bool changed = command->op == PC_OP_EXPIRE || item->deadline_ms != 0;
    if (changed) {
        item->version = model->applied;
        item->deadline_ms = deadline_ms;
    }
    return (struct pc_outcome){.existed = true,
        .changed = changed,
        .version = item->version,
        .deadline_ms = item->deadline_ms};
}

static bool model_condition_holds(const struct pc_command *command, bool visible, pc_index version)
{
    bool wants_present = command->condition == PC_IF_VERSION || command->condition == PC_IF_PRESENT;
    return command->condition == PC_IF_ANY ||
           (visible == wants_present &&
               (command->condition != PC_IF_VERSION || version == command->if_version));
}

static struct pc_outcome model_apply(
    struct model *model, pc_ms stamp_ms, unsigned k, const struct pc_command *command)
{
    model->applied++;
    model->stamp_ms = stamp_ms;
    model_expire(model);
    if (command == NULL || command->op == PC_OP_TICK) {
        return (struct pc_outcome){0};
    }
    struct model_item *item = &model->items[k];
    bool visible = model_is_visible(model, k);
    if (!model_condition_holds(command, visible, item->version)) {
        return (struct pc_outcome){.existed = visible,
            .unmet = true,
            .version = visible ? item->version : 0,
            .deadline_ms = visible ? item->deadline_ms : 0};
    }
    if (command->op == PC_OP_SET) {
        return model_set(model, k, command);
    }
    if (!visible) {
        return (struct pc_outcome){0};
    }
    if (command->op == PC_OP_DELETE) {
        item->present = false;
        return (struct pc_outcome){.existed = true, .changed = true};
    }
    return model_change_deadline(model, k, command);
}

static void model_digest(const struct model *model, uint8_t out[16])
{
    static const uint8_t digest_key[] = "pcache digest v1";
    uint64_t low = 0;
    uint64_t high = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        const struct model_item *item = &model->items[k];
        if (!item->present) {
            continue;
        }
        uint8_t value_hash[16];
        (void)crypto_shorthash_siphashx24(
            value_hash, item->value.data, item->value.len, digest_key);
        struct pc_buf buf = {0};
        pc_buf_append_u64(&buf, item->version);
        pc_buf_append_u64(&buf, item->created);
        pc_buf_append_u64(&buf, item->deadline_ms);
        pc_buf_append_u32(&buf, (uint32_t)strlen(model->keys[k]));
        pc_buf_append_u32(&buf, (uint32_t)item->type.len);
        pc_buf_append(&buf, value_hash, 16);
        pc_buf_append(&buf, model->keys[k], strlen(model->keys[k]));
        pc_buf_append(&buf, item->type.data, item->type.len);
        uint8_t hash[16];
        (void)crypto_shorthash_siphashx24(hash, buf.data, buf.len, digest_key);
        pc_buf_destroy(&buf);
        uint64_t before = low;
        low += pc_get_u64(hash);
        high += pc_get_u64(hash + 8) + (low < before ? 1 : 0);
    }
    pc_put_u64(out, low);
    pc_put_u64(out + 8, high);
}

static uint64_t random_ttl(struct pc_prng *prng, pc_ms stamp_ms)
{
    switch (pc_prng_below(prng, 8)) {
    case 0:
        return pc_prng_below(prng, 3);
    case 1:
        return 1 + pc_prng_below(prng, 300);
    default:
        return ROUND_MS - stamp_ms % ROUND_MS;
    }
}

static struct pc_command random_command(struct pc_prng *prng, pc_ms stamp_ms, const char *key)
{
    static const enum pc_op ops[] = {PC_OP_SET, PC_OP_SET, PC_OP_SET, PC_OP_SET, PC_OP_SET,
        PC_OP_SET, PC_OP_EXPIRE, PC_OP_EXPIRE, PC_OP_DELETE, PC_OP_PERSIST, PC_OP_TICK};
    struct pc_command command = {.op = ops[pc_prng_below(prng, sizeof ops / sizeof ops[0])]};
    if (command.op == PC_OP_TICK) {
        return command;
    }
    command.key = pc_slice_str(key);
    if (command.op == PC_OP_SET) {
        size_t len = pc_prng_below(prng, 8) == 0 ? pc_prng_below(prng, VALUE_BYTES_MAX)
                                                 : pc_prng_below(prng, 40);
        command.value = pc_slice_of(value_bytes + pc_prng_below(prng, 256), len);
        command.content_type = pc_slice_str(types[pc_prng_below(prng, TYPES)]);
    }
    command.has_ttl = command.op == PC_OP_EXPIRE || pc_prng_below(prng, 4) != 0;
    command.ttl_ms = command.has_ttl ? random_ttl(prng, stamp_ms) : 0;
    return command;
}

/* A tenth of the commands; where it is of a version, often the one that is there. */
static void draw_condition(
    const struct model *model, struct pc_prng *prng, unsigned k, struct pc_command *command)
{
    if (command->op == PC_OP_TICK || pc_prng_below(prng, 10) != 0) {
        return;
    }
    command->condition = (enum pc_condition)(1 + pc_prng_below(prng, PC_IF_PRESENT));
    if (command->condition == PC_IF_VERSION) {
        command->if_version =
            pc_prng_below(prng, 2) == 0 ? model->items[k].version : 1 + pc_prng_below(prng, 1000);
        command->if_version += command->if_version == 0 ? 1 : 0;
    }
}

static void assert_key_matches(const struct model *model, const struct pc_store *store, unsigned k)
{
    struct pc_item item;
    pc_err err = pc_store_get(store, pc_slice_str(model->keys[k]), &item);
    if (!model_is_visible(model, k)) {
        assert_int_equal(err, PC_E_NOT_FOUND);
        return;
    }
    assert_int_equal(err, PC_OK);
    const struct model_item *want = &model->items[k];
    assert_int_equal(item.version, want->version);
    assert_int_equal(item.created, want->created);
    assert_int_equal(item.deadline_ms, want->deadline_ms);
    assert_true(pc_slice_equal(item.content_type, want->type));
    assert_true(pc_slice_equal(pc_blob_slice(item.value), want->value));
}

static void assert_all_matches(const struct model *model, const struct pc_store *store)
{
    uint64_t items = 0;
    uint64_t expiring = 0;
    uint64_t data_bytes = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        assert_key_matches(model, store, k);
        const struct model_item *item = &model->items[k];
        if (item->present) {
            items++;
            expiring += item->deadline_ms != 0 ? 1 : 0;
            data_bytes += strlen(model->keys[k]) + item->value.len + item->type.len;
        }
    }
    struct pc_store_stats stats = kit_stats(store);
    assert_int_equal(stats.items, items);
    assert_int_equal(stats.items_expiring, expiring);
    assert_int_equal(stats.data_bytes, data_bytes);
    assert_int_equal(stats.expired_total, model->expired_total);
    uint8_t digest[16];
    model_digest(model, digest);
    assert_memory_equal(pc_store_digest(store).b, digest, sizeof digest);
    pc_store_check(store);
}

static void step_all(struct model *model, struct pc_store *const stores[2], pc_ms stamp_ms,
    unsigned k, const struct pc_command *command)
{
    struct pc_outcome want = model_apply(model, stamp_ms, k, command);
    for (int i = 0; i < 2; i++) {
        struct pc_outcome got = kit_apply(stores[i], stamp_ms, command);
        assert_outcome(got, want.existed, want.changed, want.version, want.deadline_ms);
        assert_int_equal(got.unmet, want.unmet);
        assert_key_matches(model, stores[i], k);
    }
    assert_digests_equal(stores[0], stores[1]);
}

/* Any key; while items past their deadline are left over, often one of these. */
static unsigned pick_key(const struct model *model, struct pc_prng *prng)
{
    unsigned k = (unsigned)pc_prng_below(prng, KEYS);
    if (model_due(model) == KEYS || pc_prng_below(prng, 4) == 0) {
        return k;
    }
    while (!model->items[k].present || model_is_visible(model, k)) {
        k = (k + 1) % KEYS;
    }
    return k;
}

static void run_history(uint64_t seed)
{
    static struct model model;
    memset(&model, 0, sizeof model);
    for (unsigned k = 0; k < KEYS; k++) {
        (void)snprintf(model.keys[k], sizeof model.keys[k], "key/%u", k);
    }
    struct pc_store *const stores[2] = {kit_new(1), kit_new(200)};
    struct pc_prng prng;
    pc_prng_seed(&prng, seed);
    unsigned left_over_steps = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        pc_ms stamp_ms =
            model.stamp_ms + (pc_prng_below(&prng, 3) == 0 ? 0 : pc_prng_below(&prng, 10));
        unsigned k = pick_key(&model, &prng);
        struct pc_command command = random_command(&prng, stamp_ms, model.keys[k]);
        draw_condition(&model, &prng, k, &command);
        bool bare = pc_prng_below(&prng, 50) == 0;
        step_all(&model, stores, stamp_ms, k, bare ? NULL : &command);
        bool left_over = model_due(&model) < KEYS;
        left_over_steps += left_over ? 1 : 0;
        if (step % 100 == 0 || left_over) {
            assert_all_matches(&model, stores[0]);
            assert_all_matches(&model, stores[1]);
        }
    }
    /* The history is of no use unless more fell due than one entry removes. */
    assert_true(left_over_steps >= 10);
    assert_true(model.expired_total > 1000);
    pc_store_delete(stores[0]);
    pc_store_delete(stores[1]);
}

static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof value_bytes; i++) {
        value_bytes[i] = (uint8_t)(i * 31 + i / 256);
    }
    for (unsigned i = 1; i < TYPES; i++) { /* type 0 is the empty one */
        (void)snprintf(types[i], sizeof types[i], "application/x-%u", i);
    }
    return 0;
}

static void history__first_seed__matches_the_model(void **state)
{
    (void)state;
    run_history(1);
}

static void history__second_seed__matches_the_model(void **state)
{
    (void)state;
    run_history(20221101);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(history__first_seed__matches_the_model, setup),
    cmocka_unit_test_setup(history__second_seed__matches_the_model, setup),
};
PC_TEST_MAIN("store_model", tests)
