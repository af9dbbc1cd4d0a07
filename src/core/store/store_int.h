/* store_int.h: the parts of the store, private to src/core/store.
 *
 *   store.c          new, delete, get, stats
 *   store_apply.c    the only mutator: one log entry
 *   store_item.c     an item: memory, its entry into and exit from every index
 *   store_table.c    hash table with incremental rehash (items by key, content types by text)
 *   store_types.c    interned content types
 *   store_expire.c   heap of deadlines, removal of what is due
 *   store_array.c    array that grows without moving what it holds
 *   store_digest.c   rolling digest
 *   store_snapshot.c the state at one entry, given out while entries go on
 *   store_scrub.c    whether the items are still what the digest says
 *   store_load.c     an empty store becomes what a snapshot says
 *   store_check.c    the invariants S1..S9 below, executed */
#ifndef STORE_INT_H
#define STORE_INT_H

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/store.h"

/* ---- what an allocation costs: glibc's chunk for a request, an estimate elsewhere */

static inline uint64_t pc_store_chunk_bytes(uint64_t request)
{
    uint64_t chunk = (request + 8 + 15) & ~UINT64_C(15);
    return chunk < 32 ? 32 : chunk;
}

/* ---- segmented array: elements never move, growing costs one segment and never a copy */

#define PC_STORE_SEGMENT_SHIFT 12
#define PC_STORE_SEGMENT_ELEMS (UINT32_C(1) << PC_STORE_SEGMENT_SHIFT)

struct pc_store_array {
    uint8_t **segments;
    size_t segments_len; /* allocated, from the front */
    size_t segments_cap; /* room in the directory */
    size_t elem_bytes;
};

void pc_store_array_create(struct pc_store_array *array, size_t elem_bytes);
void pc_store_array_destroy(struct pc_store_array *array);
/* Makes elements [0, count) usable; new ones are not initialised. Returns PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_store_array_reserve(struct pc_store_array *array, size_t count);
/* Gives back memory far behind element `count`; element `count` itself stays usable if it was. */
void pc_store_array_trim(struct pc_store_array *array, size_t count);
uint64_t pc_store_array_memory_bytes(const struct pc_store_array *array);

static inline void *pc_store_array_at(const struct pc_store_array *array, size_t i)
{
    PC_ASSERT(i >> PC_STORE_SEGMENT_SHIFT < array->segments_len);
    return array->segments[i >> PC_STORE_SEGMENT_SHIFT] +
           (i & (PC_STORE_SEGMENT_ELEMS - 1)) * array->elem_bytes;
}

/* ---- hash table of intrusive links (see store_table.c) */

#define PC_STORE_BUCKETS_MIN 64       /* a power of two; arbitrary */
#define PC_STORE_REHASH_BUCKETS_MAX 4 /* moved by one step; 1 would be enough to end in time */

struct pc_store_link {
    struct pc_store_link *next;
};

typedef struct pc_slice pc_store_key_of(const struct pc_store_link *link);

struct pc_store_table {
    struct pc_store_link **buckets;
    size_t buckets_len;
    struct pc_store_link **old; /* being emptied; NULL when no rehash is under way */
    size_t old_len;
    size_t old_moved; /* old buckets [0, old_moved) are empty */
    size_t count;
    bool frozen; /* no rehash begins or goes on: a link's place is the same for as long */
    pc_store_key_of *key_of;
    uint8_t seed[16];
};

void pc_store_table_create(
    struct pc_store_table *table, const uint8_t seed[16], pc_store_key_of *key_of);
/* Gives an empty table buckets for `count` links at once, if there is memory. Requires: no link was
 * ever inserted. */
void pc_store_table_reserve(struct pc_store_table *table, uint64_t count);
/* Frees the buckets; the links are their owner's. */
void pc_store_table_destroy(struct pc_store_table *table);
uint64_t pc_store_table_hash(const struct pc_store_table *table, struct pc_slice key);
/* The link under `key`, whose hash the caller computed; NULL when there is none. */
struct pc_store_link *pc_store_table_find(
    const struct pc_store_table *table, uint64_t hash, struct pc_slice key);
/* Requires: no link has this key. */
void pc_store_table_insert(struct pc_store_table *table, uint64_t hash, struct pc_store_link *link);
/* Requires: the link is in the table. */
void pc_store_table_remove(struct pc_store_table *table, uint64_t hash, struct pc_store_link *link);
/* Every bucket has a place, 0.., the new array's first: the one where a link with this hash stands,
 * how many there are, and the chain that stands at one. */
size_t pc_store_table_place(const struct pc_store_table *table, uint64_t hash);
size_t pc_store_table_places(const struct pc_store_table *table);
struct pc_store_link *pc_store_table_chain(const struct pc_store_table *table, size_t place);
/* Has the processor fetch the bucket of a hash; tells what the bucket holds. For who knows some
 * steps ahead what it is going to look at. */
void pc_store_table_fetch(const struct pc_store_table *table, uint64_t hash);
const struct pc_store_link *pc_store_table_head(const struct pc_store_table *table, uint64_t hash);
/* One bounded piece of rehash work, or the decision to begin one; nothing while the table is
 * frozen. Finds keep working throughout. */
void pc_store_table_step(struct pc_store_table *table);
/* Calls `each` once for every link, in no particular order. `each` may free the link, but not
 * change the table. */
void pc_store_table_each(const struct pc_store_table *table,
    void (*each)(void *context, struct pc_store_link *link), void *context);
uint64_t pc_store_table_memory_bytes(const struct pc_store_table *table);
/* Asserts S1 and S2. */
void pc_store_table_check(const struct pc_store_table *table);

/* ---- an item: one allocation, and its value as a blob
 *
 *   0      8       16        24                                   32          36        40
 *   | next | value | version | created:53 has_hash:1 key_len-1:10 | heap slot | type id |
 *                                                                           [value hash:16] key |
 *
 * Forty bytes ahead of the key, so that an item with a key of 16 bytes fits a malloc chunk of 64.
 * The value's hash is kept only where the value is large enough to make hashing it again a pause
 * and 16 more bytes nothing. Whether it is stands in the item: a search, which compares keys, would
 * otherwise wait for the memory of every value on its way. */

#define PC_STORE_KEY_LEN_BITS 10
#define PC_STORE_HAS_HASH (UINT64_C(1) << PC_STORE_KEY_LEN_BITS)
#define PC_STORE_CREATED_SHIFT (PC_STORE_KEY_LEN_BITS + 1)
#define PC_STORE_INDEX_MAX (UINT64_MAX >> PC_STORE_CREATED_SHIFT) /* 285 years at 10^6 entries/s   \
                                                                   */
#define PC_STORE_HASH_KEPT_OVER_BYTES 1024
#define PC_STORE_NO_SLOT UINT32_MAX

struct pc_store_item {
    struct pc_store_link link; /* first: a link of the item table is the item */
    struct pc_blob *value;
    pc_index version;
    uint64_t packed;    /* created, has_hash, key length: see above */
    uint32_t heap_slot; /* place in the heap of deadlines; PC_STORE_NO_SLOT = no deadline */
    uint32_t type;      /* content type; 0 = empty */
    uint8_t tail[];
};

PC_STATIC_ASSERT(sizeof(struct pc_store_item) == 40, "a 16-byte key still fits 64 bytes");
PC_STATIC_ASSERT(PC_KEY_BYTES_MAX <= 1 << PC_STORE_KEY_LEN_BITS, "any key length fits its bits");

/* An item outside every index: version and created are 0, no deadline. The type id's reference
 * goes to the item. Returns PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_store_item_new(
    struct pc_slice key, struct pc_slice value, uint32_t type, struct pc_store_item **out);
void pc_store_item_delete(struct pc_store_item *item);
/* A copy outside every index, of the same version and with the same value; the type id's reference
 * is the caller's to take. Returns PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_store_item_copy(
    const struct pc_store_item *item, struct pc_store_item **out);
struct pc_slice pc_store_item_key(const struct pc_store_item *item);
struct pc_slice pc_store_item_key_of(const struct pc_store_link *link);
pc_index pc_store_item_created(const struct pc_store_item *item);
void pc_store_item_set_created(struct pc_store_item *item, pc_index created);
/* The kept hash of a large value; NULL for a small one. */
const uint8_t *pc_store_item_value_hash(const struct pc_store_item *item);
uint64_t pc_store_item_memory_bytes(const struct pc_store_item *item);

/* ---- heap of deadlines (see store_expire.c) */

struct pc_store_deadline {
    pc_ms deadline_ms;
    struct pc_store_item *item;
};

struct pc_store_deadlines {
    struct pc_store_array slots; /* of struct pc_store_deadline, a binary heap, first at 0 */
    size_t count;
};

void pc_store_deadlines_create(struct pc_store_deadlines *deadlines);
void pc_store_deadlines_destroy(struct pc_store_deadlines *deadlines);
/* Makes sure that the next pc_store_deadlines_set cannot fail, whatever is cleared before it. */
PC_MUST_CHECK pc_err pc_store_deadlines_reserve(struct pc_store_deadlines *deadlines);
/* Gives the item a deadline or moves the one it has. Requires: deadline_ms > 0; room reserved when
 * the item has none yet. */
void pc_store_deadlines_set(
    struct pc_store_deadlines *deadlines, struct pc_store_item *item, pc_ms deadline_ms);
/* Takes the item's deadline away; nothing when it has none. */
void pc_store_deadlines_clear(struct pc_store_deadlines *deadlines, struct pc_store_item *item);
/* The item's deadline; 0 = none. */
pc_ms pc_store_deadlines_of(
    const struct pc_store_deadlines *deadlines, const struct pc_store_item *item);
/* The item that goes first, if its deadline is at or before stamp_ms; otherwise NULL. */
struct pc_store_item *pc_store_deadlines_due(
    const struct pc_store_deadlines *deadlines, pc_ms stamp_ms);
/* Asserts S4. */
void pc_store_deadlines_check(const struct pc_store_deadlines *deadlines);

/* ---- interned content types (see store_types.c) */

struct pc_store_type {
    struct pc_store_link link;
    uint32_t id;
    uint32_t refs; /* items that carry the id */
    uint8_t len;
    uint8_t text[];
};

struct pc_store_types {
    struct pc_store_table table; /* of struct pc_store_type, by text */
    struct pc_store_array slots; /* of union pc_store_type_slot, by id; id 0 is not used */
    uint32_t slots_len;          /* ids ever handed out since the table was empty, plus one */
    uint32_t free_first;         /* first of the free ids; 0 = none */
    uint64_t memory_bytes;       /* of the types themselves */
};

union pc_store_type_slot {
    struct pc_store_type *type; /* the id is in use */
    uint64_t free_next;         /* it is not: the next free id; 0 = none */
};

void pc_store_types_create(struct pc_store_types *types, const uint8_t seed[16]);
void pc_store_types_destroy(struct pc_store_types *types);
/* A reference to the id of `text`; 0 for the empty text, which needs none. Returns PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_store_types_ref(
    struct pc_store_types *types, struct pc_slice text, uint32_t *id);
/* One more reference to an id that is referenced already (or 0). Returns PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_store_types_ref_again(struct pc_store_types *types, uint32_t id);
/* Gives one reference up; the last one frees type and id. */
void pc_store_types_unref(struct pc_store_types *types, uint32_t id);
struct pc_slice pc_store_types_text(const struct pc_store_types *types, uint32_t id);
uint64_t pc_store_types_memory_bytes(const struct pc_store_types *types);
/* Asserts S5, given the references counted by id in the items; counts has slots_len elements. */
void pc_store_types_check(const struct pc_store_types *types, const uint32_t *counts);

/* ---- digest: a sum modulo 2^128 */

struct pc_store_sum {
    uint64_t low;
    uint64_t high;
};

/* The hash of a value, as it enters its item's digest. */
void pc_store_digest_value(struct pc_slice value, uint8_t out[16]);
struct pc_store_sum pc_store_digest_item(
    const struct pc_store *store, const struct pc_store_item *item);
/* The same, its value hashed anew even where its hash is kept. */
struct pc_store_sum pc_store_digest_item_anew(
    const struct pc_store *store, const struct pc_store_item *item);
struct pc_store_sum pc_store_sum_add(struct pc_store_sum a, struct pc_store_sum b);
struct pc_store_sum pc_store_sum_subtract(struct pc_store_sum a, struct pc_store_sum b);

/* ---- a snapshot (see store_snapshot.c) */

#define PC_STORE_SNAPSHOT_BUCKETS_PER_ITEM 16 /* that a call may look at; promised in store.h */
#define PC_STORE_STALE_FREED_PER_ENTRY 8      /* arbitrary: none is added meanwhile */

enum pc_store_snapshot_state {
    PC_STORE_SNAPSHOT_NONE = 0,
    PC_STORE_SNAPSHOT_RUNS,
    PC_STORE_SNAPSHOT_LOST, /* no memory to keep something aside; not yet told */
};

/* An item as it was when the snapshot began. It is in no index but has its value and its type. */
struct pc_store_aside {
    struct pc_store_item *item;
    pc_ms deadline_ms;
};

struct pc_store_cursor {
    enum pc_store_snapshot_state state;
    pc_index applied;            /* an item with a higher version is not of the snapshot */
    uint64_t items_left;         /* to be given */
    size_t place;                /* chains at this and later places: not yet visited */
    struct pc_store_link *at;    /* rest of the chain at the place before, not yet visited */
    struct pc_store_array aside; /* of struct pc_store_aside, a stack */
    size_t aside_n;
    size_t stale_n;        /* bottom of the stack: of snapshots that were given up */
    uint64_t memory_bytes; /* of the items aside, values that are still in use counted in full */
};

void pc_store_cursor_create(struct pc_store_cursor *cursor);
void pc_store_cursor_destroy(struct pc_store_cursor *cursor);
/* True when the running snapshot has not given the item, which is in the table, and must. */
bool pc_store_cursor_wants(
    const struct pc_store *store, uint64_t hash, const struct pc_store_item *item);
/* The item is about to change version and deadline: keeps a copy if it is wanted. */
void pc_store_cursor_keep_copy(
    struct pc_store *store, uint64_t hash, const struct pc_store_item *item);
/* The item is about to leave the table. True when it is wanted: to be handed over then, out of
 * every index, by pc_store_cursor_keep, which returns false where there is no memory: still the
 * caller's.
 */
bool pc_store_cursor_leave(struct pc_store *store, uint64_t hash, const struct pc_store_item *item);
bool pc_store_cursor_keep(struct pc_store *store, struct pc_store_item *item, pc_ms deadline_ms);
/* Frees a bounded part of what snapshots that were given up have left. */
void pc_store_cursor_step(struct pc_store *store);
uint64_t pc_store_cursor_memory_bytes(const struct pc_store_cursor *cursor);
/* Asserts S8 given how many items in the table are wanted; counts types into type_refs, by id. */
void pc_store_cursor_check(const struct pc_store *store, uint64_t wanted, uint32_t *type_refs);

/* ---- the store
 *
 * S1  Every item stands once, in the one bucket that its hash and the state of the rehash name;
 *     old buckets that were moved are empty; the counts are right. (Content types likewise.)
 * S2  No two items have one key.
 * S3  1 <= key length <= PC_KEY_BYTES_MAX; 1 <= created <= version <= applied; a value is there.
 * S4  Deadlines form a heap in (deadline, created, key) order, none is 0, and slot and item name
 *     each other; so do the item's slot and the heap for every item that has one.
 * S5  A content type is there exactly as long as items, also those aside, carry it, and counts
 * them. S6  The digest is the sum over the items; a kept value hash is that of the value. S7
 * data_bytes and items_memory_bytes are the sums over the items. S8  The items aside, but the stale
 * ones, and those in the table that the snapshot still wants are as many as it has left to give;
 * all are of the time before it. The table is frozen exactly while a snapshot runs. The memory of
 * what is aside is counted. S9  While a load is under way nothing was applied, and load_version_max
 * is what it says. */
/* ---- the pass over all items (see store_scrub.c) */

struct pc_store_scrub {
    uint64_t at; /* items whose hash, reversed, is below were visited; 0 = no pass has begun */
    struct pc_store_sum sum; /* of these */
};

struct pc_store {
    struct pc_store_table table; /* of struct pc_store_item, by key */
    struct pc_store_deadlines deadlines;
    struct pc_store_types types;
    struct pc_store_cursor cursor;
    struct pc_store_sum digest;
    struct pc_store_scrub scrub;
    bool loading;
    pc_index load_version_max; /* while loading: of the items so far */
    pc_index applied;
    pc_ms stamp_ms;
    uint64_t data_bytes;
    uint64_t items_memory_bytes;
    uint64_t expired_total;
};

/* Has the pass been where an item with this hash stands? */
bool pc_store_scrub_has_seen(const struct pc_store *store, uint64_t hash);

struct pc_store_item *pc_store_find(
    const struct pc_store *store, uint64_t hash, struct pc_slice key);
bool pc_store_is_visible(const struct pc_store *store, const struct pc_store_item *item);
/* What a reader of the item sees. */
struct pc_item pc_store_view(const struct pc_store *store, const struct pc_store_item *item);
/* Puts a new item into the table, the heap (deadline_ms 0 = not), digest and counters. Requires:
 * version and created are set; no item has its key; room for the deadline is reserved. */
void pc_store_attach(
    struct pc_store *store, uint64_t hash, struct pc_store_item *item, pc_ms deadline_ms);
/* Takes the item out of everything and frees it, unless a snapshot wants it. */
void pc_store_remove(struct pc_store *store, uint64_t hash, struct pc_store_item *item);
/* Changes version and deadline (0 = none) of an item that stays. Room for the deadline as above. */
void pc_store_touch(struct pc_store *store, uint64_t hash, struct pc_store_item *item,
    pc_index version, pc_ms deadline_ms);
/* Removes what is due at store->stamp_ms, in order, at most PC_EXPIRE_PER_ENTRY_MAX items. */
void pc_store_expire_due(struct pc_store *store);

#endif
