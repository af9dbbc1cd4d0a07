/* store.h: the replicated key-value state of one node: a pure function of the applied log.
 *
 * Two stores that applied the same entries are equal to the last bit, whatever their hash seeds:
 * results, expiry and digest depend on (index, stamp, command) only.
 *
 * Time is cluster time: the stamp of the last applied entry. An item whose deadline is at or before
 * it is not visible, whether or not it has been removed from memory yet; removal happens at the
 * start of apply, at most PC_EXPIRE_PER_ENTRY_MAX items an entry, in (deadline, created index, key)
 * order.
 *
 * The table grows by incremental rehash: no call moves more than a bounded number of items.
 * Used by one thread. */
#ifndef PCACHE_STORE_H
#define PCACHE_STORE_H

#include "pcache/blob.h"
#include "pcache/command.h"

struct pc_store; /* opaque */

struct pc_store_opts {
    uint8_t hash_seed[16]; /* SipHash-2-4 key of the table; random per process, from the edge */
};

/* What a read sees. Slices and value are borrowed until the next pc_store_apply or delete. */
struct pc_item {
    struct pc_slice key;
    struct pc_slice content_type; /* empty = application/octet-stream */
    struct pc_blob *value;        /* never NULL; take a reference to keep it */
    pc_index version;             /* index of the entry that last changed the item (its ETag) */
    pc_index created;             /* index of the entry that made it */
    pc_ms deadline_ms;            /* absolute, cluster time; 0 = never */
};

struct pc_store_stats {
    uint64_t items;         /* in memory, expired ones not yet removed included */
    uint64_t items_expiring; /* of these, with a deadline */
    uint64_t data_bytes;    /* keys + values + content types */
    uint64_t memory_bytes;  /* what the store has allocated, allocator overhead estimated */
    uint64_t expired_total; /* removed by deadline since start */
    pc_index applied;       /* last applied index; 0 = none */
    pc_ms stamp_ms;         /* its stamp */
};

/* An empty store: nothing applied, stamp 0. Never NULL; the caller owns it. */
struct pc_store *pc_store_new(const struct pc_store_opts *opts);
/* Frees the store; values of which somebody else has a reference live on. NULL is allowed. */
void pc_store_delete(struct pc_store *store);

/* Applies one entry: time moves to stamp_ms, what is due is removed, then the command acts.
 * `command` is NULL for entries that carry none (NOOP, CONFIG): they move time like any other.
 *
 *   SET      stores; keeps `created` of a visible item; a deadline comes with the command or not at
 *            all. With a ttl of 0 there is no item afterwards.
 *   DELETE   removes.
 *   EXPIRE   new deadline and version; with a ttl of 0 removes.
 *   PERSIST  no deadline and a new version; nothing when there was no deadline.
 * All but SET do nothing when no visible item is there. deadline = stamp_ms + ttl_ms, at most
 * UINT64_MAX.
 *
 * Requires: index == applied + 1 and below 2^53; stamp_ms >= the last stamp; a command that came
 *   through pc_wire_decode_command or meets the bounds in command.h.
 * Ownership: the command is borrowed; what is kept is copied. outcome may be NULL.
 * Returns: PC_OK; PC_E_NOMEM when the value could not be kept. The entry then is not applied (time
 *   did not move either), and the node must stop: a replica may not skip an entry. */
PC_MUST_CHECK pc_err pc_store_apply(struct pc_store *store, pc_index index, pc_ms stamp_ms,
    const struct pc_command *command, struct pc_outcome *outcome);

/* The visible item under `key` (of any length). Returns PC_OK or PC_E_NOT_FOUND. */
PC_MUST_CHECK pc_err pc_store_get(
    const struct pc_store *store, struct pc_slice key, struct pc_item *item);

/* Milliseconds left at the store's time; 0 when the item never expires. A visible item with a
 * deadline has at least 1. */
pc_ms pc_store_ttl_left(const struct pc_store *store, const struct pc_item *item);

/* Rolling digest: the sum modulo 2^128 over all items in memory of SipHash-2-4-128 (fixed key) of
 * version || created || deadline || lengths || SipHash-2-4-128(value) || key || content type; exact
 * layout in store_digest.c. All zero when no item is in memory. O(1) per command, independent of
 * order and of the hash seed. */
struct pc_hash pc_store_digest(const struct pc_store *store);

/* Never fails; O(1). */
void pc_store_stats(const struct pc_store *store, struct pc_store_stats *stats);

/* Calls `each` for every item in memory, in no particular order, also invisible ones. The store
 * must not change meanwhile. For checks and dumps; O(items). */
void pc_store_each(const struct pc_store *store,
    void (*each)(void *context, const struct pc_item *item), void *context);

/* Asserts every invariant of the store (O(items)); for tests and the simulator. */
void pc_store_check(const struct pc_store *store);

#endif
