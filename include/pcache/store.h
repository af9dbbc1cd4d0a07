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
    uint64_t items;          /* in memory, expired ones not yet removed included */
    uint64_t items_expiring; /* of these, with a deadline */
    uint64_t data_bytes;     /* keys + values + content types */
    uint64_t memory_bytes;   /* what the store has allocated, allocator overhead estimated */
    uint64_t aside_bytes;    /* of these, kept for a snapshot that runs or was given up */
    uint64_t expired_total;  /* removed by deadline since start */
    pc_index applied;        /* last applied index; 0 = none */
    pc_ms stamp_ms;          /* its stamp */
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
 * A command whose condition does not hold does nothing (outcome.unmet); time moves all the same.
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

/* Has the processor fetch what entries with these keys, applied next, are going to look at: most of
 * the time that they take one by one is spent waiting for memory. Changes nothing that can be seen.
 * Requires: n <= PC_STORE_PREFETCH_MAX, which is more than a processor fetches at once, and few
 * enough to stay in its nearest cache until their turn. */
#define PC_STORE_PREFETCH_MAX 32
void pc_store_prefetch(const struct pc_store *store, const struct pc_slice *keys, size_t n);

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

/* ---- snapshots: the state as it was at one entry, given out bit by bit while entries go on
 *
 *     begin --next--> ... --next: complete--> (none runs)
 *       |       \--next: PC_E_NOMEM---------> (none runs)
 *       \--end-------------------------------> (none runs)
 *
 * Nothing pauses: begin and end cost next to nothing, a call of next is bounded by its caller, and
 * an apply costs one more allocation at most for each item that it changes. What changes or goes
 * before next has come to it is kept aside as it was; that memory is bounded by what is changed
 * between begin and the end, and next gives out first what is aside. The table does not grow or
 * shrink while a snapshot runs. */

/* What a snapshot is of. */
struct pc_store_snapshot {
    pc_index applied;
    pc_ms stamp_ms;
    struct pc_hash digest;
    uint64_t items; /* so many will be given, each once */
};

/* Takes one item, borrowed for the call. False: enough for this call of pc_store_snapshot_next
 * (the item was taken all the same). */
typedef bool pc_store_item_fn(void *context, const struct pc_item *item);

/* Begins a snapshot of the state after the last applied entry. O(1).
 * Requires: none runs; no load is under way. */
void pc_store_snapshot_begin(struct pc_store *store, struct pc_store_snapshot *out);

/* Gives `each` the next items, in no particular order, items past their deadline that are still in
 * memory among them, as they count for the digest. Visits at most items_max items, and at most
 * 16 buckets of the table for each of them: a call may give nothing and not be the last.
 * Requires: items_max >= 1; a snapshot runs, or was given up since the last call.
 * Ensures: *complete: all has been given, no snapshot runs any more.
 * Returns: PC_OK; PC_E_NOMEM when an item could not be kept aside: the snapshot has ended and what
 *   was given of it is of no use. */
PC_MUST_CHECK pc_err pc_store_snapshot_next(struct pc_store *store, size_t items_max,
    pc_store_item_fn *each, void *context, bool *complete);

/* Gives the snapshot up; nothing when none runs. What it kept aside is freed bit by bit by the next
 * entries. */
void pc_store_snapshot_end(struct pc_store *store);

/* True from begin until the call that says otherwise: next (complete, PC_E_NOMEM) or end. */
bool pc_store_snapshot_runs(const struct pc_store *store);

/* ---- loading: an empty store becomes what a snapshot says
 *
 * The items come from a file or a peer: nothing about them is taken on trust. After a failure the
 * store can only be deleted. Before load_end it can be loaded into, measured and deleted. */

/* An item as a snapshot carries it. Slices are borrowed. */
struct pc_stored_item {
    struct pc_slice key;
    struct pc_slice value;
    struct pc_slice content_type;
    pc_index version;
    pc_index created;
    pc_ms deadline_ms; /* 0 = never */
};

/* Begins. items_hint: how many items to expect, so that the table has its size at once; 0 = not
 * known. A wrong one costs time or memory (8 bytes an item), nothing else.
 * Requires: nothing was applied or loaded. */
void pc_store_load_begin(struct pc_store *store, uint64_t items_hint);

/* Puts one item in. Returns PC_OK; PC_E_CORRUPT when its key is there already or something about it
 * is out of range; PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_store_load(struct pc_store *store, const struct pc_stored_item *item);

/* The same for many, in half the time: the memory that an item needs is fetched while others are
 * put in. When one fails those before it are in. */
PC_MUST_CHECK pc_err pc_store_load_many(
    struct pc_store *store, const struct pc_stored_item *items, size_t items_n);

/* Ends: the store is as after entry `applied`, whose stamp is stamp_ms. Returns PC_OK; PC_E_CORRUPT
 * when the digest is another one, or an item has a version above `applied`. */
PC_MUST_CHECK pc_err pc_store_load_end(
    struct pc_store *store, pc_index applied, pc_ms stamp_ms, const struct pc_hash *digest);

/* Adds an item to a digest, which begins as zeros: that of a store is the sum of its items, in any
 * order. Requires: key and content type within their bounds. */
void pc_store_digest_add(struct pc_hash *digest, const struct pc_stored_item *item);

/* Looks whether the items are still what was put in: visits at least one bucket and about items_max
 * items, or a MiB of values, whatever comes first, and goes on where the last call ended. The items
 * of a pass need not stand still: entries may be applied between calls.
 * Requires: items_max >= 1; no load is under way.
 * Returns true at the end of a pass over all items; then *is_sound: together they are what the
 * digest says. The next call begins anew. */
bool pc_store_scrub(struct pc_store *store, size_t items_max, bool *is_sound);

/* Asserts every invariant of the store (O(items)); for tests and the simulator. */
void pc_store_check(const struct pc_store *store);

#endif
