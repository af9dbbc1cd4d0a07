/* The store against a naive model: an array of items, looked through from end to end. The input is
 * a program of commands, each of which goes through its encoding, and of snapshots that are taken
 * bit by bit meanwhile, each loaded into a store of its own, which may go on as one of the two. Two
 * stores with different hash seeds must agree in everything that can be seen (B.30, B.31). */
#include "fuzz/kit/fuzz.h"

#include <stdio.h>

#include "pcache/limits.h"
#include "pcache/store.h"
#include "pcache/wire.h"

#define OPS_MAX 600
#define KEYS_MAX 512
#define CODE_SNAPSHOT 232

struct model_item {
    bool there;
    uint32_t value;
    pc_index version, created;
    pc_ms deadline_ms;
};

struct world {
    struct pc_store *store[2];
    struct model_item items[KEYS_MAX];
    pc_index applied;
    pc_ms stamp_ms;
    unsigned keys_n;
    uint8_t seed;
    struct pc_store *loading; /* what the snapshot under way has given; NULL = none is */
    struct pc_store_snapshot of;
    uint64_t given;
    bool was_loaded; /* the second store counts anew what has expired */
};

static size_t key_of(unsigned number, char out[32])
{
    /* Of different lengths, up to one that fills a pointer-sized field and more. */
    int len = snprintf(out, 32, "%u%.*s", number, (int)(number % 20), "abcdefghijklmnopqrst");
    return (size_t)len;
}

static bool is_visible(const struct world *w, const struct model_item *item)
{
    return item->there && (item->deadline_ms == 0 || item->deadline_ms > w->stamp_ms);
}

static pc_ms deadline_after(const struct world *w, pc_ms ttl_ms)
{
    return ttl_ms > UINT64_MAX - w->stamp_ms ? UINT64_MAX : w->stamp_ms + ttl_ms;
}

static void model_set(struct world *w, struct model_item *item, const struct pc_command *command,
    uint32_t value, struct pc_outcome *out)
{
    out->existed = is_visible(w, item);
    if (command->has_ttl && command->ttl_ms == 0) {
        out->changed = out->existed;
        item->there = false;
        return;
    }
    out->changed = true;
    pc_index created = out->existed ? item->created : w->applied;
    *item = (struct model_item){.there = true,
        .value = value,
        .version = w->applied,
        .created = created,
        .deadline_ms = command->has_ttl ? deadline_after(w, command->ttl_ms) : 0};
}

static void model_change(struct world *w, struct model_item *item, const struct pc_command *command,
    struct pc_outcome *out)
{
    out->existed = is_visible(w, item);
    if (!out->existed) {
        return;
    }
    bool removes =
        command->op == PC_OP_DELETE || (command->op == PC_OP_EXPIRE && command->ttl_ms == 0);
    if (removes) {
        item->there = false;
        out->changed = true;
    } else if (command->op == PC_OP_EXPIRE || item->deadline_ms != 0) {
        item->deadline_ms = command->op == PC_OP_EXPIRE ? deadline_after(w, command->ttl_ms) : 0;
        item->version = w->applied;
        out->changed = true;
    }
}

static bool condition_holds(
    const struct world *w, const struct model_item *item, const struct pc_command *command)
{
    bool is_there = is_visible(w, item);
    switch (command->condition) {
    case PC_IF_VERSION:
        return is_there && item->version == command->if_version;
    case PC_IF_ABSENT:
        return !is_there;
    case PC_IF_PRESENT:
        return is_there;
    case PC_IF_ANY:
        break;
    }
    return true;
}

static struct pc_outcome model_apply(
    struct world *w, unsigned key, const struct pc_command *command, uint32_t value)
{
    struct pc_outcome out = {0};
    if (command == NULL || command->op == PC_OP_TICK) {
        return out;
    }
    struct model_item *item = &w->items[key];
    if (!condition_holds(w, item, command)) {
        out.unmet = true;
        out.existed = is_visible(w, item);
    } else if (command->op == PC_OP_SET) {
        model_set(w, item, command, value, &out);
    } else {
        model_change(w, item, command, &out);
    }
    if (is_visible(w, item)) {
        out.version = item->version;
        out.deadline_ms = item->deadline_ms;
    }
    return out;
}

static void check_item(const struct world *w, unsigned key)
{
    char text[32];
    struct pc_slice name = pc_slice_of(text, key_of(key, text));
    const struct model_item *item = &w->items[key];
    for (int i = 0; i < 2; i++) {
        struct pc_item got;
        pc_err err = pc_store_get(w->store[i], name, &got);
        FUZZ_CHECK("B.31", (err == PC_OK) == is_visible(w, item));
        if (err != PC_OK) {
            continue;
        }
        FUZZ_CHECK("key", pc_slice_equal(got.key, name));
        FUZZ_CHECK("B.33", got.version == item->version && got.created == item->created);
        FUZZ_CHECK("deadline", got.deadline_ms == item->deadline_ms);
        uint8_t value[4];
        pc_put_u32(value, item->value);
        FUZZ_CHECK("value", pc_slice_equal(pc_blob_slice(got.value), pc_slice_of(value, 4)));
        pc_ms left = item->deadline_ms == 0 ? 0 : item->deadline_ms - w->stamp_ms;
        FUZZ_CHECK("ttl", pc_store_ttl_left(w->store[i], &got) == left);
    }
}

static bool outcome_equal(const struct pc_outcome *a, const struct pc_outcome *b)
{
    return a->existed == b->existed && a->changed == b->changed && a->version == b->version &&
           a->deadline_ms == b->deadline_ms && a->unmet == b->unmet;
}

static void check_stores(const struct world *w)
{
    struct pc_store_stats a, b;
    struct pc_hash da = pc_store_digest(w->store[0]), db = pc_store_digest(w->store[1]);
    FUZZ_CHECK("B.30", memcmp(&da, &db, sizeof da) == 0);
    pc_store_stats(w->store[0], &a);
    pc_store_stats(w->store[1], &b);
    FUZZ_CHECK("B.30", a.items == b.items && a.items_expiring == b.items_expiring);
    FUZZ_CHECK("B.30", a.data_bytes == b.data_bytes);
    FUZZ_CHECK("B.30", w->was_loaded || a.expired_total == b.expired_total);
    FUZZ_CHECK("applied", a.applied == w->applied && (a.applied == 0 || a.stamp_ms == w->stamp_ms));
    uint64_t visible = 0;
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        visible += is_visible(w, &w->items[i]);
    }
    FUZZ_CHECK("items", visible <= a.items);
}

/* The command as it comes out of an entry; slices are of `bytes`. */
static void through_wire(struct pc_command *command, struct pc_buf *bytes)
{
    pc_wire_encode_command(command, bytes);
    FUZZ_CHECK("what was encoded decodes",
        pc_wire_decode_command(pc_slice_of(bytes->data, bytes->len), command) == PC_OK);
}

static void apply(struct world *w, unsigned key, struct pc_command *command, uint32_t value)
{
    struct pc_buf bytes = {0};
    struct pc_outcome got[2];
    if (command != NULL) {
        through_wire(command, &bytes);
    }
    w->applied++;
    for (int i = 0; i < 2; i++) {
        FUZZ_CHECK("applied",
            pc_store_apply(w->store[i], w->applied, w->stamp_ms, command, &got[i]) == PC_OK);
    }
    struct pc_outcome want = model_apply(w, key, command, value);
    FUZZ_CHECK("B.30", outcome_equal(&got[0], &got[1]));
    FUZZ_CHECK("outcome", outcome_equal(&got[0], &want));
    pc_buf_destroy(&bytes);
    check_item(w, key);
}

/* On the version that stands there, or one beside it. */
static void draw_condition(
    const struct world *w, unsigned key, const struct fuzz_op *op, struct pc_command *command)
{
    if (command->op == PC_OP_TICK) {
        return;
    }
    command->condition = (enum pc_condition)(op->code / 64);
    if (command->condition == PC_IF_VERSION) {
        command->if_version = w->items[key].version + (op->d % 4 == 0 ? 1 : 0);
        command->if_version += command->if_version == 0 ? 1 : 0;
    }
}

/* ---- snapshots */
static struct pc_store *new_store(const struct world *w, int which)
{
    struct pc_store_opts opts = {.hash_seed = {(uint8_t)(1 + which), w->seed}};
    return pc_store_new(&opts);
}

static bool load_item(void *context, const struct pc_item *item)
{
    struct world *w = context;
    struct pc_stored_item stored = {.key = item->key,
        .value = pc_blob_slice(item->value),
        .content_type = item->content_type,
        .version = item->version,
        .created = item->created,
        .deadline_ms = item->deadline_ms};
    FUZZ_CHECK("what a snapshot gives can be loaded", pc_store_load(w->loading, &stored) == PC_OK);
    w->given++;
    return w->given % 7 != 0;
}

static void snapshot_begin(struct world *w, const struct fuzz_op *op)
{
    pc_store_snapshot_begin(w->store[0], &w->of);
    FUZZ_CHECK("B.30", w->of.applied == w->applied);
    w->loading = new_store(w, 1);
    pc_store_load_begin(w->loading, (op->a & 1) != 0 ? w->of.items : op->d % 1000);
    w->given = 0;
}

/* All was given: it is the state of then, whatever has happened since. */
static void snapshot_complete(struct world *w, const struct fuzz_op *op)
{
    FUZZ_CHECK("each item once", w->given == w->of.items);
    FUZZ_CHECK("B.35",
        pc_store_load_end(w->loading, w->of.applied, w->of.stamp_ms, &w->of.digest) == PC_OK);
    pc_store_check(w->loading);
    bool is_now = w->of.applied == w->applied && (op->a & 2) != 0;
    if (is_now) {
        pc_store_delete(w->store[1]);
        w->store[1] = w->loading;
        w->was_loaded = true;
    } else {
        pc_store_delete(w->loading);
    }
    w->loading = NULL;
}

/* a: 240 and more give it up; b: how much is visited. */
static void snapshot_op(struct world *w, const struct fuzz_op *op)
{
    bool complete = false;
    if (w->loading == NULL) {
        if (w->applied > 0) {
            snapshot_begin(w, op);
        }
        return;
    }
    if (op->a >= 240) {
        pc_store_snapshot_end(w->store[0]);
        pc_store_delete(w->loading);
        w->loading = NULL;
        return;
    }
    FUZZ_CHECK("memory is there",
        pc_store_snapshot_next(w->store[0], 1u + op->b, load_item, w, &complete) == PC_OK);
    FUZZ_CHECK("it runs until then", pc_store_snapshot_runs(w->store[0]) == !complete);
    if (complete) {
        snapshot_complete(w, op);
    }
}

/* code: from CODE_SNAPSHOT on one of those above. Else code % 8: the command, code / 64 its
 * condition; a, b: the key; c: 0-1 how time goes on, 2-7 the ttl; d: value, ttl, time.
 */
static void run_op(struct world *w, const struct fuzz_op *op)
{
    static const enum pc_op ops[] = {
        PC_OP_SET, PC_OP_SET, PC_OP_SET, PC_OP_DELETE, PC_OP_EXPIRE, PC_OP_PERSIST, PC_OP_TICK};
    if (op->code >= CODE_SNAPSHOT) {
        snapshot_op(w, op);
        return;
    }
    unsigned key = (op->a | (unsigned)op->b << 8) % w->keys_n;
    char text[32];
    uint8_t value[4];
    pc_put_u32(value, op->d);
    switch (op->c & 3) {
    case 0:
        break;
    case 1:
        w->stamp_ms += op->d % 100;
        break;
    case 2:
        /* The very end of time is the deadline of what lives longest: it never comes. */
        if (w->items[key].deadline_ms > w->stamp_ms && w->items[key].deadline_ms < UINT64_MAX) {
            w->stamp_ms = w->items[key].deadline_ms;
        }
        break;
    default:
        w->stamp_ms += op->d;
        break;
    }
    if (op->code % 8 == 7) {
        apply(w, key, NULL, 0);
        return;
    }
    struct pc_command command = {.op = ops[op->code % 8]};
    if (command.op != PC_OP_TICK) {
        command.key = pc_slice_of(text, key_of(key, text));
    }
    if (command.op == PC_OP_SET) {
        command.value = pc_slice_of(value, sizeof value);
        command.content_type = pc_slice_str((op->c & 4) != 0 ? "text/plain" : "");
    }
    command.has_ttl = command.op == PC_OP_EXPIRE || (command.op == PC_OP_SET && (op->c & 8) != 0);
    if (command.has_ttl) {
        uint64_t ttl_ms = fuzz_near(op->d % 200, op->c >> 4, op->d);
        command.ttl_ms = ttl_ms <= PC_TTL_MS_MAX ? ttl_ms : PC_TTL_MS_MAX;
    }
    draw_condition(w, key, op, &command);
    apply(w, key, &command, op->d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct fuzz_op op;
    if (!fuzz_next(&in, &op)) {
        return 0;
    }
    struct world *w = pc_xalloc(sizeof *w);
    w->keys_n = (op.code & 1) != 0 ? KEYS_MAX : 8;
    w->stamp_ms = (op.code & 2) != 0 ? UINT64_MAX - 5000 : 1000;
    bool late = (op.code & 2) != 0;
    w->seed = op.a;
    for (int i = 0; i < 2; i++) {
        w->store[i] = new_store(w, i);
    }
    for (int i = 0; i < OPS_MAX && fuzz_next(&in, &op); i++) {
        if (late && (op.c & 3) != 2) {
            op.c &= (uint8_t)~3u; /* time is about to end: it stands still but for deadlines */
        }
        run_op(w, &op);
        if (i % 32 == 0) {
            pc_store_check(w->store[0]);
            check_stores(w);
        }
    }
    while (w->loading != NULL) {
        snapshot_op(w, &(struct fuzz_op){.a = 2, .b = 255});
    }
    for (unsigned key = 0; key < w->keys_n; key++) {
        check_item(w, key);
    }
    check_stores(w);
    for (int i = 0; i < 2; i++) {
        pc_store_check(w->store[i]);
        pc_store_delete(w->store[i]);
    }
    free(w);
    return 0;
}
