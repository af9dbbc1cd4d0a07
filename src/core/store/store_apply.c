/* The only mutator: one log entry.
 *
 *      prepare (may fail) -> time moves -> what is due goes -> the command -> rehash a little
 *
 * Everything that may run out of memory happens in the first step and touches nothing that can be
 * seen, so an entry is applied whole or not at all. It is prepared before the item under the key is
 * looked up: what is due may still go, and the new item is the same either way.
 *
 * An item that is past its deadline but still in memory is treated as if it were not there. Where
 * it is in the way of a SET it goes at once; where it is not (DELETE, EXPIRE, PERSIST, a SET that
 * leaves nothing) it stays until its turn, so that the order of removal has one rule. */
#include "store_int.h"

/* A command and what stands under its key. */
struct target {
    const struct pc_command *command;
    uint64_t hash;
    struct pc_store_item *item; /* visible or not; NULL = none */
    bool visible;
};

static bool has_deadline(const struct pc_command *command)
{
    return command->has_ttl && command->ttl_ms > 0;
}

/* A time to live of 0 is not a deadline in the past but the absence of an item. */
static bool is_gone_at_once(const struct pc_command *command)
{
    return command->has_ttl && command->ttl_ms == 0;
}

/* Never 0, which would mean "never": only a positive time to live is added. */
static pc_ms deadline_of(const struct pc_store *store, const struct pc_command *command)
{
    if (!has_deadline(command)) {
        return 0;
    }
    return command->ttl_ms > UINT64_MAX - store->stamp_ms ? UINT64_MAX
                                                          : store->stamp_ms + command->ttl_ms;
}

static void assert_bounds(const struct pc_command *command)
{
    PC_ASSERT(command->op >= PC_OP_SET && command->op <= PC_OP_TICK);
    if (command->op == PC_OP_TICK) {
        return;
    }
    PC_ASSERT(command->key.len >= 1 && command->key.len <= PC_KEY_BYTES_MAX);
    PC_ASSERT(command->value.len <= PC_VALUE_BYTES_MAX);
    PC_ASSERT(command->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    PC_ASSERT_IMPLIES(command->has_ttl, command->ttl_ms <= PC_TTL_MS_MAX);
    PC_ASSERT_IMPLIES(command->op == PC_OP_EXPIRE, command->has_ttl);
    PC_ASSERT(command->condition <= PC_IF_PRESENT);
    PC_ASSERT((command->condition == PC_IF_VERSION) == (command->if_version != 0));
}

static pc_err prepare_item(
    struct pc_store *store, const struct pc_command *command, struct pc_store_item **out)
{
    uint32_t type;
    pc_err err = pc_store_types_ref(&store->types, command->content_type, &type);
    if (err != PC_OK) {
        return err;
    }
    err = pc_store_item_new(command->key, command->value, type, out);
    if (err != PC_OK) {
        pc_store_types_unref(&store->types, type);
    }
    return err;
}

/* Gets all memory that the command can need; *fresh is the item a SET will attach. */
static pc_err prepare(
    struct pc_store *store, const struct pc_command *command, struct pc_store_item **fresh)
{
    if (command->op != PC_OP_SET && command->op != PC_OP_EXPIRE) {
        return PC_OK;
    }
    if (has_deadline(command)) {
        pc_err err = pc_store_deadlines_reserve(&store->deadlines);
        if (err != PC_OK) {
            return err;
        }
    }
    if (command->op == PC_OP_EXPIRE || is_gone_at_once(command)) {
        return PC_OK;
    }
    return prepare_item(store, command, fresh);
}

static struct target target_of(const struct pc_store *store, const struct pc_command *command)
{
    uint64_t hash = pc_store_table_hash(&store->table, command->key);
    struct pc_store_item *item = pc_store_find(store, hash, command->key);
    return (struct target){
        .command = command,
        .hash = hash,
        .item = item,
        .visible = item != NULL && pc_store_is_visible(store, item),
    };
}

static struct pc_outcome remove_visible(struct pc_store *store, const struct target *target)
{
    if (target->visible) {
        pc_store_remove(store, target->hash, target->item);
    }
    return (struct pc_outcome){.existed = target->visible, .changed = target->visible};
}

/* The condition did not hold: what stands there is told, and stays. */
static struct pc_outcome leave_alone(
    struct pc_store *store, const struct target *target, struct pc_store_item *fresh)
{
    if (fresh != NULL) { /* prepared before anything was known of the item */
        pc_store_types_unref(&store->types, fresh->type);
        pc_store_item_delete(fresh);
    }
    struct pc_outcome outcome = {.existed = target->visible, .unmet = true};
    if (target->visible) {
        outcome.version = target->item->version;
        outcome.deadline_ms = pc_store_deadlines_of(&store->deadlines, target->item);
    }
    return outcome;
}

static struct pc_outcome apply_set(
    struct pc_store *store, const struct target *target, struct pc_store_item *fresh)
{
    if (is_gone_at_once(target->command)) {
        PC_ASSERT(fresh == NULL);
        return remove_visible(store, target);
    }
    fresh->version = store->applied;
    pc_store_item_set_created(
        fresh, target->visible ? pc_store_item_created(target->item) : store->applied);
    if (target->item != NULL) {
        PC_ASSERT(target->item->version < fresh->version);
        pc_store_remove(store, target->hash, target->item);
    }
    pc_ms deadline_ms = deadline_of(store, target->command);
    pc_store_attach(store, target->hash, fresh, deadline_ms);
    return (struct pc_outcome){.existed = target->visible,
        .changed = true,
        .version = fresh->version,
        .deadline_ms = deadline_ms};
}

static struct pc_outcome apply_expire(struct pc_store *store, const struct target *target)
{
    if (!target->visible || is_gone_at_once(target->command)) {
        return remove_visible(store, target);
    }
    pc_ms deadline_ms = deadline_of(store, target->command);
    PC_ASSERT(deadline_ms > 0);
    pc_store_touch(store, target->hash, target->item, store->applied, deadline_ms);
    return (struct pc_outcome){.existed = true,
        .changed = true,
        .version = target->item->version,
        .deadline_ms = deadline_ms};
}

static struct pc_outcome apply_persist(struct pc_store *store, const struct target *target)
{
    if (!target->visible) {
        return (struct pc_outcome){0};
    }
    bool changed = pc_store_deadlines_of(&store->deadlines, target->item) != 0;
    if (changed) {
        pc_store_touch(store, target->hash, target->item, store->applied, 0);
    }
    return (struct pc_outcome){
        .existed = true, .changed = changed, .version = target->item->version};
}

static struct pc_outcome apply_command(
    struct pc_store *store, const struct pc_command *command, struct pc_store_item *fresh)
{
    struct target target = {0};
    if (command->op != PC_OP_TICK) {
        target = target_of(store, command);
        pc_index version = target.visible ? target.item->version : 0;
        if (!pc_condition_holds(command, version)) {
            return leave_alone(store, &target, fresh);
        }
    }
    switch (command->op) {
    case PC_OP_SET:
        return apply_set(store, &target, fresh);
    case PC_OP_DELETE:
        return remove_visible(store, &target);
    case PC_OP_EXPIRE:
        return apply_expire(store, &target);
    case PC_OP_PERSIST:
        return apply_persist(store, &target);
    case PC_OP_TICK:
        break;
    }
    PC_ASSERT(command->op == PC_OP_TICK);
    return (struct pc_outcome){0};
}

pc_err pc_store_apply(struct pc_store *store, pc_index index, pc_ms stamp_ms,
    const struct pc_command *command, struct pc_outcome *outcome)
{
    PC_ASSERT(index == store->applied + 1 && index <= PC_STORE_INDEX_MAX);
    PC_ASSERT(stamp_ms >= store->stamp_ms);
    PC_ASSERT(!store->loading);
    struct pc_store_item *fresh = NULL;
    if (command != NULL) {
        assert_bounds(command);
        pc_err err = prepare(store, command, &fresh);
        if (err != PC_OK) {
            return err;
        }
    }
    store->applied = index;
    store->stamp_ms = stamp_ms;
    pc_store_expire_due(store);
    struct pc_outcome done = {0};
    if (command != NULL) {
        done = apply_command(store, command, fresh);
    }
    pc_store_table_step(&store->table);
    pc_store_table_step(&store->types.table);
    pc_store_cursor_step(store);
    if (outcome != NULL) {
        *outcome = done;
    }
    return PC_OK;
}
