/* store_kit.h: short hands for the tests of the store. */
#ifndef STORE_KIT_H
#define STORE_KIT_H

#include "support/test.h"

#include <string.h>

#include "pcache/limits.h"
#include "pcache/store.h"

#define NO_TTL UINT64_MAX

static inline struct pc_store *kit_new(uint8_t seed)
{
    struct pc_store_opts opts;
    memset(opts.hash_seed, seed, sizeof opts.hash_seed);
    return pc_store_new(&opts);
}

static inline struct pc_store_stats kit_stats(const struct pc_store *store)
{
    struct pc_store_stats stats;
    pc_store_stats(store, &stats);
    return stats;
}

static inline struct pc_command kit_command(enum pc_op op, const char *key, uint64_t ttl_ms)
{
    return (struct pc_command){.op = op,
        .has_ttl = ttl_ms != NO_TTL,
        .ttl_ms = ttl_ms != NO_TTL ? ttl_ms : 0,
        .key = pc_slice_str(key)};
}

static inline struct pc_outcome kit_apply(
    struct pc_store *store, pc_ms stamp_ms, const struct pc_command *command)
{
    struct pc_outcome outcome;
    assert_ok(pc_store_apply(store, kit_stats(store).applied + 1, stamp_ms, command, &outcome));
    return outcome;
}

static inline struct pc_outcome kit_set(
    struct pc_store *store, pc_ms stamp_ms, const char *key, const char *value, uint64_t ttl_ms)
{
    struct pc_command command = kit_command(PC_OP_SET, key, ttl_ms);
    command.value = pc_slice_str(value);
    return kit_apply(store, stamp_ms, &command);
}

static inline struct pc_outcome kit_delete(struct pc_store *store, pc_ms stamp_ms, const char *key)
{
    struct pc_command command = kit_command(PC_OP_DELETE, key, NO_TTL);
    return kit_apply(store, stamp_ms, &command);
}

static inline struct pc_outcome kit_expire(
    struct pc_store *store, pc_ms stamp_ms, const char *key, uint64_t ttl_ms)
{
    struct pc_command command = kit_command(PC_OP_EXPIRE, key, ttl_ms);
    return kit_apply(store, stamp_ms, &command);
}

static inline struct pc_outcome kit_persist(struct pc_store *store, pc_ms stamp_ms, const char *key)
{
    struct pc_command command = kit_command(PC_OP_PERSIST, key, NO_TTL);
    return kit_apply(store, stamp_ms, &command);
}

static inline void kit_tick(struct pc_store *store, pc_ms stamp_ms)
{
    struct pc_command command = {.op = PC_OP_TICK};
    (void)kit_apply(store, stamp_ms, &command);
}

static inline bool kit_has(const struct pc_store *store, const char *key)
{
    struct pc_item item;
    return pc_store_get(store, pc_slice_str(key), &item) == PC_OK;
}

static inline struct pc_item kit_get(const struct pc_store *store, const char *key)
{
    struct pc_item item;
    assert_ok(pc_store_get(store, pc_slice_str(key), &item));
    return item;
}

static inline void assert_outcome(
    struct pc_outcome outcome, bool existed, bool changed, pc_index version, pc_ms deadline_ms)
{
    assert_int_equal(outcome.existed, existed);
    assert_int_equal(outcome.changed, changed);
    assert_int_equal(outcome.version, version);
    assert_int_equal(outcome.deadline_ms, deadline_ms);
}

static inline void assert_digests_equal(const struct pc_store *a, const struct pc_store *b)
{
    struct pc_hash digest_a = pc_store_digest(a);
    struct pc_hash digest_b = pc_store_digest(b);
    assert_memory_equal(digest_a.b, digest_b.b, sizeof digest_a.b);
}

#endif
