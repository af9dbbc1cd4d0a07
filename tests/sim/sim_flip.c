/* Bits that flip in the memory of a node (D8), as no disk, no message and no other node sees it.
 *
 * Memory is the store's: an item's value, version, entry of origin, deadline, key; the text of a
 * content type, which many items share; the kept hash of a large value; the digest of all; what is
 * kept aside for a snapshot. A budget leaves fewer than half of the voters with anything wrong at a
 * time, and no item wrong on two of them, until all that was found is made anew.
 *
 * An entry is read wrongly once, as it is applied: its bit flips on a follower that has it on its
 * disk, and is right again afterwards. Only the others can tell, by their digests. In runs without
 * snapshots, for one of a state that such an entry has made is like any other; and with all voters,
 * for two of three that differ cannot tell who is right.
 *
 * Left out are flips that end the process, as most do that break a pointer, a length or the bounds
 * of an index: it asserts them. Its end is a kill, and a restart begins from the disk. */
#include "core/store/store_int.h"
#include "sim/sim_int.h"

#define ITEMS_MAX (2 * PC_SIM_KEYS_MAX)
#define ANY_KEY SIZE_MAX

struct target {
    struct pc_store *store;
    struct pc_prng *rng;
    uint64_t keys; /* bit set: what may be answered wrongly */
};

static const char *const words[] = {
#define WORD(id, text) text,
    PC_SIM_FLIP_LIST(WORD)
#undef WORD
};

struct pc_slice sim_flip_content_type(const struct pc_sim *sim, uint64_t value)
{
    static const char *const types[] = {"application/json; charset=utf-8; profile=first",
        "application/octet-stream; version=2; profile=second",
        "text/plain; charset=iso-8859-15; format=flowed"};
    bool has_one = sim->params.fault[PC_SIM_FAULT_FLIP] && value % 2 == 0;
    return has_one ? pc_slice_str(types[value / 2 % 3]) : (struct pc_slice){0};
}

static uint64_t key_bit(const struct pc_store_item *item)
{
    int key = sim_key_parse(pc_store_item_key(item));
    return key >= 0 ? UINT64_C(1) << key : 0;
}

static void flip_byte(struct target *t, const uint8_t *bytes, size_t len)
{
    uint8_t *at = (uint8_t *)(uintptr_t)bytes + pc_prng_below(t->rng, len);
    *at ^= (uint8_t)(1U << pc_prng_below(t->rng, 8));
}

/* One of the low bits, so that the index stays within least..most. */
static bool flip_index(struct target *t, pc_index *at, pc_index least, pc_index most)
{
    uint64_t from = pc_prng_below(t->rng, 16);
    for (uint64_t i = 0; i < 16; i++) {
        pc_index flipped = *at ^ UINT64_C(1) << (from + i) % 16;
        if (flipped >= least && flipped <= most) {
            *at = flipped;
            return true;
        }
    }
    return false;
}

/* ---- of an item */

static bool flip_value(struct target *t, struct pc_store_item *item)
{
    if (item->value->len == 0) {
        return false;
    }
    flip_byte(t, item->value->data, item->value->len);
    return true;
}

/* Whether a running snapshot wants the item stays as it was: by more or fewer items than it said it
 * would give it ends the process. */
static bool flip_version(struct target *t, struct pc_store_item *item)
{
    const struct pc_store_cursor *cursor = &t->store->cursor;
    pc_index least = pc_store_item_created(item), most = t->store->applied;
    if (cursor->state == PC_STORE_SNAPSHOT_RUNS && item->version > cursor->applied) {
        least = cursor->applied + 1;
    } else if (cursor->state == PC_STORE_SNAPSHOT_RUNS) {
        most = cursor->applied;
    }
    return flip_index(t, &item->version, least, most);
}

static bool flip_created(struct target *t, struct pc_store_item *item)
{
    pc_index created = pc_store_item_created(item);
    bool done = flip_index(t, &created, 1, item->version);
    pc_store_item_set_created(item, created);
    return done;
}

static bool flip_deadline(struct target *t, struct pc_store_item *item)
{
    if (item->heap_slot == PC_STORE_NO_SLOT) {
        return false;
    }
    struct pc_store_deadline *slot = pc_store_array_at(&t->store->deadlines.slots, item->heap_slot);
    slot->deadline_ms ^= UINT64_C(1) << pc_prng_below(t->rng, 42);
    slot->deadline_ms |= slot->deadline_ms == 0 ? 1 : 0;
    return true;
}

/* An item with a deadline would be looked for, when that comes, where it is not. */
static bool flip_key(struct target *t, struct pc_store_item *item)
{
    struct pc_slice key = pc_store_item_key(item);
    if (item->heap_slot != PC_STORE_NO_SLOT) {
        return false;
    }
    flip_byte(t, key.data, key.len);
    t->keys |= key_bit(item);
    return true;
}

static bool flip_kept_hash(struct target *t, struct pc_store_item *item)
{
    const uint8_t *hash = pc_store_item_value_hash(item);
    if (hash != NULL) {
        flip_byte(t, hash, sizeof((struct pc_hash *)0)->b);
    }
    return hash != NULL;
}

static size_t type_place(const struct pc_store *store, const struct pc_store_type *type)
{
    const struct pc_store_table *table = &store->types.table;
    struct pc_slice text = pc_slice_of(type->text, type->len);
    return pc_store_table_place(table, pc_store_table_hash(table, text));
}

/* It stays in its chain, or its last item could not take it from there. */
static bool flip_type(struct target *t, struct pc_store_item *item)
{
    if (item->type == 0) {
        return false;
    }
    const union pc_store_type_slot *slot = pc_store_array_at(&t->store->types.slots, item->type);
    size_t bits = (size_t)slot->type->len * 8, place = type_place(t->store, slot->type);
    size_t from = (size_t)pc_prng_below(t->rng, bits);
    for (size_t i = 0; i < bits; i++) {
        size_t bit = (from + i) % bits;
        slot->type->text[bit / 8] ^= (uint8_t)(1U << bit % 8);
        if (type_place(t->store, slot->type) == place) {
            return true;
        }
        slot->type->text[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    return false;
}

/* ---- which item */

struct items {
    struct pc_store_item *v[ITEMS_MAX];
    size_t n;
    size_t key; /* only this one's */
};

static void gather(void *context, struct pc_store_link *link)
{
    struct items *items = context;
    struct pc_store_item *item = (struct pc_store_item *)link;
    bool wanted =
        items->key == ANY_KEY || sim_key_parse(pc_store_item_key(item)) == (int)items->key;
    if (wanted && items->n < ITEMS_MAX) {
        items->v[items->n++] = item;
    }
}

static void gather_aside(const struct pc_store *store, struct items *items)
{
    const struct pc_store_cursor *cursor = &store->cursor;
    bool runs = cursor->state == PC_STORE_SNAPSHOT_RUNS;
    for (size_t i = cursor->stale_n; runs && i < cursor->aside_n; i++) {
        const struct pc_store_aside *aside = pc_store_array_at(&cursor->aside, i);
        gather(items, &aside->item->link);
    }
}

/* The keys that go wrong with a flip in this item. */
static uint64_t keys_with(
    const struct items *items, const struct pc_store_item *item, enum pc_sim_flip what)
{
    uint64_t keys = what == PC_SIM_FLIP_KEPT_HASH ? 0 : key_bit(item);
    for (size_t i = 0; i < items->n && what == PC_SIM_FLIP_TYPE; i++) {
        keys |= items->v[i]->type == item->type ? key_bit(items->v[i]) : 0;
    }
    return keys;
}

static bool flip_item(struct target *t, struct pc_store_item *item, enum pc_sim_flip what)
{
    switch (what) {
    case PC_SIM_FLIP_VALUE:
    case PC_SIM_FLIP_ASIDE:
        return flip_value(t, item);
    case PC_SIM_FLIP_VERSION:
        return flip_version(t, item);
    case PC_SIM_FLIP_CREATED:
        return flip_created(t, item);
    case PC_SIM_FLIP_DEADLINE:
        return flip_deadline(t, item);
    case PC_SIM_FLIP_KEY:
        return flip_key(t, item);
    case PC_SIM_FLIP_TYPE:
        return flip_type(t, item);
    default:
        PC_ASSERT(what == PC_SIM_FLIP_KEPT_HASH);
        return flip_kept_hash(t, item);
    }
}

/* In one of those that have what is to flip, and are whole on all other nodes. */
static bool flip_any_item(struct target *t, enum pc_sim_flip what, size_t key, uint64_t not_these)
{
    struct items items = {.key = ANY_KEY};
    pc_store_table_each(&t->store->table, gather, &items);
    struct items from = items;
    if (what == PC_SIM_FLIP_ASIDE) {
        from.n = 0;
        gather_aside(t->store, &from);
    }
    uint64_t at = pc_prng_below(t->rng, from.n > 0 ? from.n : 1);
    for (size_t i = 0; i < from.n; i++) {
        struct pc_store_item *item = from.v[(at + i) % from.n];
        t->keys = keys_with(&items, item, what);
        bool wanted = key == ANY_KEY || sim_key_parse(pc_store_item_key(item)) == (int)key;
        if (wanted && (t->keys & not_these) == 0 && flip_item(t, item, what)) {
            return true;
        }
    }
    return false;
}

/* ---- an entry */

void sim_flip_release(struct sim_node *node)
{
    struct sim_flip *f = &node->flip;
    if (f->body != NULL) {
        f->body->data[f->byte] ^= f->bits;
        pc_blob_unref(f->body);
        f->body = NULL;
    }
}

void sim_flip_step(struct sim_node *node)
{
    const struct sim_flip *f = &node->flip;
    if (f->body == NULL) {
        return;
    }
    struct pc_raft_status status;
    struct pc_store_stats stats;
    const struct pc_entry *entry = pc_raft_entry(pc_node_raft(node->node), f->entry);
    pc_raft_status(pc_node_raft(node->node), &status);
    pc_store_stats(pc_node_store(node->node), &stats);
    bool is_there = entry != NULL && entry->body == f->body;
    if (!is_there || stats.applied >= f->entry || status.role != PC_RAFT_FOLLOWER) {
        sim_flip_release(node);
    }
}

static uint64_t command_key(const struct pc_blob *body)
{
    struct pc_command command;
    if (pc_wire_decode_command(pc_blob_slice(body), &command) != PC_OK) {
        return 0;
    }
    int key = sim_key_parse(command.key);
    return key >= 0 ? UINT64_C(1) << key : 0;
}

/* The first that is on the disk and waits for being committed. */
static const struct pc_entry *find_entry(const struct sim_node *node)
{
    for (pc_index i = node->applied + 1; i <= node->disk.durable; i++) {
        const struct pc_entry *entry = pc_raft_entry(pc_node_raft(node->node), i);
        bool is_durable = entry != NULL && sim_image_has(&node->disk.written, i, &entry->chain);
        if (is_durable && entry->kind == PC_ENTRY_COMMAND && command_key(entry->body) != 0) {
            return entry;
        }
    }
    return NULL;
}

/* ---- the budget */

static bool is_up(const struct sim_node *node)
{
    return node->node != NULL && !node->log_failed && node->applied > 0;
}

/* Where members come and go, whoever votes next, one at a time. */
static bool may_flip(const struct pc_sim *sim, const struct sim_node *node, uint64_t *not_these)
{
    const struct sim_config *config = sim_config_committed(sim);
    size_t others = 0, most = config != NULL ? (config->raft.voters_n - 1) / 2 : 0;
    most = sim->params.replaces_lost && most > 1 ? 1 : most;
    *not_these = 0;
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *other = &sim->nodes[i];
        if (other != node && (other->flip.is_open || other->flip.is_returning)) {
            others++;
            *not_these |= other->flip.keys;
        }
    }
    return is_up(node) && others < most;
}

static void note_flip(
    struct pc_sim *sim, struct sim_node *node, enum pc_sim_flip what, uint64_t keys)
{
    struct sim_flip *f = &node->flip;
    f->keys = keys | (f->is_open ? f->keys : 0);
    f->is_open = true;
    f->is_latent = f->is_unsound = false;
    f->healed_us = 0;
    f->last_us = sim->now_us;
    sim->stats.flips++;
    sim_trace_line(sim, "%s: a bit flips in memory: %s", node->name, words[what]);
}

void sim_flip_entry(struct pc_sim *sim, struct sim_node *node)
{
    struct sim_flip *f = &node->flip;
    struct pc_prng *rng = &sim->rng_class[PC_SIM_FAULT_FLIP];
    uint64_t not_these;
    bool may = node->role == PC_RAFT_FOLLOWER && f->body == NULL && !f->is_returning &&
               may_flip(sim, node, &not_these);
    const struct pc_entry *entry = may ? find_entry(node) : NULL;
    if (entry == NULL || (command_key(entry->body) & not_these) != 0) {
        return;
    }
    uint64_t keys = command_key(entry->body);
    f->body = pc_blob_ref(entry->body);
    f->entry = entry->index;
    f->byte = (size_t)pc_prng_below(rng, f->body->len);
    f->bits = (uint8_t)(1U << pc_prng_below(rng, 8));
    f->body->data[f->byte] ^= f->bits;
    f->wants_entry = false;
    note_flip(sim, node, PC_SIM_FLIP_ENTRY, keys | command_key(f->body));
}

static bool flip(struct pc_sim *sim, struct sim_node *node, enum pc_sim_flip what, size_t key)
{
    struct target t = {.store = (struct pc_store *)(uintptr_t)pc_node_store(node->node),
        .rng = &sim->rng_class[PC_SIM_FAULT_FLIP]};
    uint64_t not_these;
    if (!may_flip(sim, node, &not_these)) {
        return false;
    }
    if (what == PC_SIM_FLIP_ENTRY) {
        node->flip.wants_entry = true;
        return true;
    }
    if (what == PC_SIM_FLIP_DIGEST) {
        uint64_t *half =
            pc_prng_chance(t.rng, 500000) ? &t.store->digest.low : &t.store->digest.high;
        *half ^= UINT64_C(1) << pc_prng_below(t.rng, 64);
    } else if (!flip_any_item(&t, what, key, not_these)) {
        return false;
    }
    note_flip(sim, node, what, t.keys);
    return true;
}

void sim_flip_strike(struct pc_sim *sim, struct sim_node *node)
{
    enum pc_sim_flip what = (enum pc_sim_flip)pc_prng_below(sim->rng_fault, PC_SIM_FLIPS_N);
    what = sim->params.flips_entries ? PC_SIM_FLIP_ENTRY : what;
    bool is_other = what == PC_SIM_FLIP_ENTRY && !sim->params.flips_entries;
    if (node->node != NULL && (is_other || !flip(sim, node, what, ANY_KEY))) {
        (void)flip(sim, node, PC_SIM_FLIP_VALUE, ANY_KEY);
    }
}

bool pc_sim_flip(struct pc_sim *sim, size_t node, enum pc_sim_flip what, size_t key)
{
    PC_ASSERT(sim->params.fault[PC_SIM_FAULT_FLIP] && sim->params.disk_measured);
    return sim->nodes[node].node != NULL && flip(sim, &sim->nodes[node], what, key);
}
