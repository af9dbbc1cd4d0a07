/* The records of a branch folded into what they have made of each key, by the rules of the store: a
 * deadline is of the clock of the branch, and what is due is not there. */
#include "rollback.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/crc32c.h"

static struct pc_slice slice_of(const struct pc_buf *buf)
{
    return pc_slice_of(buf->data, buf->len);
}

/* The slot of the key, or the free one where it belongs. */
static size_t find_slot(const struct rollback_fold *fold, struct pc_slice key)
{
    size_t at = pc_crc32c(0, key) % fold->slots_n;
    while (
        fold->slots[at] != 0 && !pc_slice_equal(slice_of(&fold->v[fold->slots[at] - 1].key), key)) {
        at = (at + 1) % fold->slots_n;
    }
    return at;
}

static void grow(struct rollback_fold *fold)
{
    fold->cap = fold->cap == 0 ? 64 : fold->cap * 2;
    fold->v = pc_xrealloc(fold->v, fold->cap * sizeof *fold->v);
    free(fold->slots);
    fold->slots_n = fold->cap * 2;
    fold->slots = pc_xalloc(fold->slots_n * sizeof *fold->slots);
    for (size_t i = 0; i < fold->n; i++) {
        fold->slots[find_slot(fold, slice_of(&fold->v[i].key))] = i + 1;
    }
}

static void take_buf(struct pc_buf *to, struct pc_buf *from)
{
    pc_buf_destroy(to);
    *to = *from;
    *from = (struct pc_buf){0};
}

/* What stood there when the branch began. */
static struct rollback_key *key_new(struct rollback_fold *fold, struct rollback_record *record)
{
    struct rollback_key *key = &fold->v[fold->n++];
    *key = (struct rollback_key){.has_before = record->has_before,
        .before_version = record->before_version,
        .exists = record->has_before,
        .deadline_ms = record->before_deadline_ms,
        .is_unknown = record->has_before && !record->has_before_value};
    take_buf(&key->key, &record->key);
    take_buf(&key->value, &record->before_value);
    take_buf(&key->type, &record->before_type);
    return key;
}

static struct rollback_key *key_of(struct rollback_fold *fold, struct rollback_record *record)
{
    if (fold->n == fold->cap) {
        grow(fold);
    }
    size_t slot = find_slot(fold, slice_of(&record->key));
    if (fold->slots[slot] != 0) {
        return &fold->v[fold->slots[slot] - 1];
    }
    fold->slots[slot] = fold->n + 1;
    return key_new(fold, record);
}

void rollback_fold_add(struct rollback_fold *fold, struct rollback_record *record)
{
    struct rollback_key *key = key_of(fold, record);
    if (key->deadline_ms != 0 && key->deadline_ms <= record->time_ms) {
        key->exists = false;
    }
    switch (record->op) {
    case PC_OP_SET:
        key->exists = true;
        key->is_unknown = false;
        key->deadline_ms = record->has_ttl ? record->time_ms + record->ttl_ms : 0;
        take_buf(&key->value, &record->value);
        take_buf(&key->type, &record->type);
        break;
    case PC_OP_DELETE:
        key->exists = false;
        key->is_unknown = false;
        break;
    case PC_OP_EXPIRE:
        key->deadline_ms = key->exists ? record->time_ms + record->ttl_ms : 0;
        break;
    default: /* PERSIST */
        key->deadline_ms = 0;
        break;
    }
    if (!key->exists) {
        key->deadline_ms = 0;
    }
    rollback_record_clear(record);
}

void rollback_fold_clear(struct rollback_fold *fold)
{
    for (size_t i = 0; i < fold->n; i++) {
        pc_buf_destroy(&fold->v[i].key);
        pc_buf_destroy(&fold->v[i].value);
        pc_buf_destroy(&fold->v[i].type);
    }
    free(fold->v);
    free(fold->slots);
    *fold = (struct rollback_fold){0};
}

enum rollback_action rollback_action_of(
    const struct rollback_key *key, pc_ms now_ms, uint64_t *ttl_ms)
{
    *ttl_ms = 0;
    if (key->is_unknown) {
        return ROLLBACK_UNKNOWN;
    }
    bool is_due = key->exists && key->deadline_ms != 0 && key->deadline_ms <= now_ms;
    if ((!key->exists || is_due) && key->has_before) {
        return ROLLBACK_DELETE; /* else the cluster went on with what the branch had replaced */
    }
    if (!key->exists || is_due) {
        return is_due ? ROLLBACK_EXPIRED : ROLLBACK_NOTHING;
    }
    *ttl_ms = key->deadline_ms != 0 ? key->deadline_ms - now_ms : 0;
    return ROLLBACK_PUT;
}
