/* The view of a branch: a store of its own above the store of the log, which stands still.
 *
 *     touched: keys that the branch speaks for        view(key) = touched ? items : base
 *     items:   what it says of them; nothing there = deleted, or due
 *     base:    the rest
 *
 * A command whose key is not touched finds in the base what it acts on: the item is copied first,
 * so that the store's own rules decide everything. Each record therefore takes two numbers of
 * `items`, one for the copy, used or not, and one for the command: versions follow from the
 * record's number alone, and are the same when the records are read from a file again. They begin
 * above those that a log will ever reach. */
#include <stdlib.h>
#include <string.h>

#include "node_overlay_int.h"
#include "pcache/assert.h"

struct node_overlay {
    struct pc_store *items;
    struct pc_store *touched; /* keys with an empty value */
    pc_index first;           /* the version in front of the first record's */
    uint64_t number;
    pc_ms stamp_ms;
};

/* A store whose first entry is `base + 1`. */
static struct pc_store *store_above(const uint8_t hash_seed[16], pc_index base)
{
    static const struct pc_hash none;
    struct pc_store_opts opts;
    memcpy(opts.hash_seed, hash_seed, sizeof opts.hash_seed);
    struct pc_store *store = pc_store_new(&opts);
    pc_store_load_begin(store, 0);
    pc_err err = pc_store_load_end(store, base, 0, &none);
    PC_ASSERT(err == PC_OK);
    return store;
}

pc_index node_overlay_version(const uint8_t id[16], uint64_t number)
{
    pc_index branch = (pc_index)id[0] << 8 | id[1];
    return PC_BRANCH_VERSION + (branch << PC_BRANCH_VERSION_SHIFT) + 2 * number;
}

struct node_overlay *node_overlay_new(const uint8_t hash_seed[16], const uint8_t id[16])
{
    struct node_overlay *o = pc_xalloc(sizeof *o);
    o->first = node_overlay_version(id, 0);
    o->items = store_above(hash_seed, o->first);
    o->touched = store_above(hash_seed, 0);
    return o;
}

void node_overlay_delete(struct node_overlay *o)
{
    if (o != NULL) {
        pc_store_delete(o->items);
        pc_store_delete(o->touched);
        free(o);
    }
}

bool node_overlay_has(const struct node_overlay *o, struct pc_slice key)
{
    struct pc_item item;
    return pc_store_get(o->touched, key, &item) == PC_OK;
}

uint64_t node_overlay_number(const struct node_overlay *o)
{
    return o->number;
}

bool node_overlay_base_get(
    const struct pc_store *base, struct pc_slice key, pc_ms now_ms, struct pc_item *out)
{
    struct pc_item item;
    if (pc_store_get(base, key, &item) != PC_OK ||
        (item.deadline_ms != 0 && item.deadline_ms <= now_ms)) {
        return false;
    }
    *out = item;
    return true;
}

bool node_overlay_get(const struct node_overlay *o, const struct pc_store *base,
    struct pc_slice key, pc_ms now_ms, struct pc_item *out)
{
    PC_ASSERT(now_ms >= o->stamp_ms);
    const struct pc_store *store = node_overlay_has(o, key) ? o->items : base;
    bool found = node_overlay_base_get(store, key, now_ms, out);
    PC_ASSERT_IMPLIES(found, (out->version > PC_BRANCH_VERSION) == (store == o->items));
    return found;
}

/* The next entry of one of the two stores. */
static void store_step(struct pc_store *store, pc_ms stamp_ms, const struct pc_command *command,
    struct pc_outcome *outcome)
{
    struct pc_store_stats stats;
    pc_store_stats(store, &stats);
    if (pc_store_apply(store, stats.applied + 1, stamp_ms, command, outcome) != PC_OK) {
        pc_out_of_memory(command->value.len); /* a record that was promised may not be skipped */
    }
}

static void touch(struct node_overlay *o, struct pc_slice key)
{
    struct pc_command command = {.op = PC_OP_SET, .key = key};
    store_step(o->touched, 0, &command, NULL);
}

/* Puts the base's item into the branch as it is, but for its version. */
static void copy_item(
    struct node_overlay *o, struct pc_slice key, const struct pc_item *item, pc_ms stamp_ms)
{
    struct pc_command copy = {
        .op = PC_OP_SET,
        .key = key,
        .value = pc_blob_slice(item->value),
        .content_type = item->content_type,
        .has_ttl = item->deadline_ms != 0,
    };
    if (copy.has_ttl) {
        PC_ASSERT(item->deadline_ms > stamp_ms); /* visible */
        pc_ms left = item->deadline_ms - stamp_ms;
        copy.ttl_ms = left < PC_TTL_MS_MAX ? left : PC_TTL_MS_MAX;
    }
    store_step(o->items, stamp_ms, &copy, NULL);
}

void node_overlay_apply(struct node_overlay *o, const struct pc_store *base, uint64_t number,
    pc_ms stamp_ms, const struct pc_command *command, struct pc_outcome *outcome)
{
    PC_ASSERT(number == o->number + 1 && stamp_ms >= o->stamp_ms);
    PC_ASSERT(command->op != PC_OP_TICK);
    struct pc_item item;
    struct pc_command plain = *command;
    plain.condition = PC_IF_ANY; /* it was judged by the view, whose versions the copy has not */
    plain.if_version = 0;
    o->number = number;
    o->stamp_ms = stamp_ms;
    bool is_touched = node_overlay_has(o, command->key);
    bool is_in_base = !is_touched && node_overlay_base_get(base, command->key, stamp_ms, &item);
    bool changes_nothing = command->op == PC_OP_PERSIST && is_in_base && item.deadline_ms == 0;
    if (is_in_base && !changes_nothing) {
        copy_item(o, command->key, &item, stamp_ms);
    } else {
        store_step(o->items, stamp_ms, NULL, NULL);
    }
    store_step(o->items, stamp_ms, changes_nothing ? NULL : &plain, outcome);
    if (changes_nothing) { /* then the view goes on with the base's item */
        *outcome = (struct pc_outcome){.existed = true, .version = item.version};
    } else if (is_in_base || (outcome->changed && !is_touched)) {
        touch(o, command->key);
    }
    PC_ASSERT(outcome->version <= o->first + 2 * number);
    PC_ASSERT_IMPLIES(is_in_base, outcome->existed);
}

void node_overlay_check(const struct node_overlay *o)
{
    struct pc_store_stats items, touched;
    pc_store_stats(o->items, &items);
    pc_store_stats(o->touched, &touched);
    PC_ASSERT(items.applied == o->first + 2 * o->number);
    PC_ASSERT(items.stamp_ms == o->stamp_ms && touched.items == touched.applied);
    PC_ASSERT(items.items <= touched.items && touched.items <= o->number);
}
