/* A hash table of intrusive links that never stops to rehash.
 *
 * Buckets are singly linked chains; at most one link per bucket on average. When the table is to
 * grow (more links than buckets) or to shrink (fewer than an eighth), a second bucket array is made
 * and pc_store_table_step, called once per log entry, moves a few buckets over:
 *
 *      old      [ moved, empty | not yet moved ]
 *                0 .. old_moved                 old_len
 *      buckets  [ home of every link whose old bucket was moved ]
 *
 * Surprising: an insert during a rehash goes to the *old* array while its bucket there is not yet
 * moved. So a link has exactly one possible bucket at any time, and a find looks at one chain, not
 * at two.
 *
 * Growing from n to 2n buckets begins at n links and is over after n / 4 entries, each of which
 * adds at most one link; so the next growth is never needed before. The new array is not cleared
 * when it is made, which would be a pause at a million buckets (calloc avoids it only where malloc
 * happens to ask the kernel): each bucket is set when the first old bucket that feeds it is moved,
 * and no one looks at it before. Where there is no memory for the array the table goes on with
 * longer chains and asks again at the next step: a replica must not fail for a reason that is not
 * in the log.
 *
 * Hashes are SipHash-2-4 under a random seed: clients choose keys, and without the seed they cannot
 * choose keys that meet in one bucket. Hashes are not stored; eight bytes per item weigh more than
 * hashing again when a bucket moves. */
#include "store_int.h"

#include <stdlib.h>
#include <string.h>

#include <sodium/crypto_shorthash.h>

PC_STATIC_ASSERT(crypto_shorthash_BYTES == sizeof(uint64_t), "a hash is one word");
PC_STATIC_ASSERT(crypto_shorthash_KEYBYTES == 16, "the seed is a SipHash key");
/* No more are reserved on somebody's word: 512 MiB. A table that needs them grows on. */
#define RESERVE_BUCKETS_MAX ((size_t)1 << 26)

PC_STATIC_ASSERT((PC_STORE_BUCKETS_MIN & (PC_STORE_BUCKETS_MIN - 1)) == 0, "a power of two");

void pc_store_table_create(
    struct pc_store_table *table, const uint8_t seed[16], pc_store_key_of *key_of)
{
    *table = (struct pc_store_table){
        .buckets = pc_xalloc(PC_STORE_BUCKETS_MIN * sizeof(struct pc_store_link *)),
        .buckets_len = PC_STORE_BUCKETS_MIN,
        .key_of = key_of,
    };
    memcpy(table->seed, seed, sizeof table->seed);
}

void pc_store_table_reserve(struct pc_store_table *table, uint64_t count)
{
    PC_ASSERT(table->count == 0 && table->old == NULL);
    size_t len = PC_STORE_BUCKETS_MIN;
    while (len < count && len < RESERVE_BUCKETS_MAX) {
        len *= 2;
    }
    /* Cleared by the kernel as it is used: a count that is far too high costs little. */
    struct pc_store_link **buckets = calloc(len, sizeof(struct pc_store_link *));
    if (buckets != NULL) {
        free(table->buckets);
        table->buckets = buckets;
        table->buckets_len = len;
    }
}

void pc_store_table_destroy(struct pc_store_table *table)
{
    free(table->buckets);
    free(table->old);
    *table = (struct pc_store_table){0};
}

uint64_t pc_store_table_hash(const struct pc_store_table *table, struct pc_slice key)
{
    uint8_t hash[crypto_shorthash_BYTES];
    (void)crypto_shorthash(hash, key.data, key.len, table->seed);
    return pc_get_u64(hash);
}

/* The one bucket where a link with this hash stands or would stand. */
static struct pc_store_link **bucket_of(const struct pc_store_table *table, uint64_t hash)
{
    PC_ASSERT(table->buckets != NULL);
    if (table->old != NULL) {
        size_t i = hash & (table->old_len - 1);
        if (i >= table->old_moved) {
            return &table->old[i];
        }
    }
    return &table->buckets[hash & (table->buckets_len - 1)];
}

struct pc_store_link *pc_store_table_find(
    const struct pc_store_table *table, uint64_t hash, struct pc_slice key)
{
    struct pc_store_link *link = *bucket_of(table, hash);
    while (link != NULL && !pc_slice_equal(table->key_of(link), key)) {
        link = link->next;
    }
    return link;
}

void pc_store_table_fetch(const struct pc_store_table *table, uint64_t hash)
{
    __builtin_prefetch(bucket_of(table, hash));
}

const struct pc_store_link *pc_store_table_head(const struct pc_store_table *table, uint64_t hash)
{
    return *bucket_of(table, hash);
}

static void push(struct pc_store_link **bucket, struct pc_store_link *link)
{
    link->next = *bucket;
    *bucket = link;
}

void pc_store_table_insert(struct pc_store_table *table, uint64_t hash, struct pc_store_link *link)
{
    push(bucket_of(table, hash), link);
    table->count++;
}

void pc_store_table_remove(struct pc_store_table *table, uint64_t hash, struct pc_store_link *link)
{
    struct pc_store_link **at = bucket_of(table, hash);
    while (*at != link) {
        PC_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = link->next;
    link->next = NULL;
    PC_ASSERT(table->count > 0);
    table->count--;
}

static void rehash_begin(struct pc_store_table *table, size_t buckets_len)
{
    PC_ASSERT(table->old == NULL);
    struct pc_store_link **fresh = malloc(buckets_len * sizeof *fresh);
    if (fresh == NULL) {
        return;
    }
    table->old = table->buckets;
    table->old_len = table->buckets_len;
    table->old_moved = 0;
    table->buckets = fresh;
    table->buckets_len = buckets_len;
}

static void rehash_move_bucket(struct pc_store_table *table)
{
    size_t from = table->old_moved;
    PC_ASSERT(from < table->old_len);
    struct pc_store_link *link = table->old[from];
    table->old[from] = NULL;
    table->old_moved++;
    /* Growing, bucket `from` feeds from and from + old_len; shrinking, only the lower half of the
     * old array comes first to its bucket. */
    for (size_t i = from; i < table->buckets_len; i += table->old_len) {
        table->buckets[i] = NULL;
    }
    while (link != NULL) {
        struct pc_store_link *next = link->next;
        uint64_t hash = pc_store_table_hash(table, table->key_of(link));
        push(&table->buckets[hash & (table->buckets_len - 1)], link);
        link = next;
    }
}

static void rehash_move(struct pc_store_table *table)
{
    for (int i = 0; i < PC_STORE_REHASH_BUCKETS_MAX && table->old_moved < table->old_len; i++) {
        rehash_move_bucket(table);
    }
    if (table->old_moved == table->old_len) {
        free(table->old);
        table->old = NULL;
        table->old_len = 0;
        table->old_moved = 0;
    }
}

void pc_store_table_step(struct pc_store_table *table)
{
    if (table->frozen) {
        return;
    }
    if (table->old != NULL) {
        rehash_move(table);
    } else if (table->count > table->buckets_len) {
        rehash_begin(table, 2 * table->buckets_len);
    } else if (table->count < table->buckets_len / 8 && table->buckets_len > PC_STORE_BUCKETS_MIN) {
        rehash_begin(table, table->buckets_len / 2);
    }
}

/* True when bucket i of the new array was set: the first old bucket that feeds it was moved. */
static bool is_set(const struct pc_store_table *table, size_t i)
{
    return table->old == NULL || (i & (table->old_len - 1)) < table->old_moved;
}

size_t pc_store_table_place(const struct pc_store_table *table, uint64_t hash)
{
    struct pc_store_link **bucket = bucket_of(table, hash);
    if (table->old != NULL && (hash & (table->old_len - 1)) >= table->old_moved) {
        return table->buckets_len + (size_t)(bucket - table->old);
    }
    return (size_t)(bucket - table->buckets);
}

size_t pc_store_table_places(const struct pc_store_table *table)
{
    return table->buckets_len + table->old_len;
}

struct pc_store_link *pc_store_table_chain(const struct pc_store_table *table, size_t place)
{
    if (place >= table->buckets_len) {
        PC_ASSERT(place - table->buckets_len < table->old_len);
        return table->old[place - table->buckets_len];
    }
    return is_set(table, place) ? table->buckets[place] : NULL;
}

static void each_in(struct pc_store_link *link,
    void (*each)(void *context, struct pc_store_link *link), void *context)
{
    while (link != NULL) {
        struct pc_store_link *next = link->next;
        each(context, link);
        link = next;
    }
}

void pc_store_table_each(const struct pc_store_table *table,
    void (*each)(void *context, struct pc_store_link *link), void *context)
{
    for (size_t i = 0; i < table->buckets_len; i++) {
        if (is_set(table, i)) {
            each_in(table->buckets[i], each, context);
        }
    }
    for (size_t i = table->old_moved; i < table->old_len; i++) {
        each_in(table->old[i], each, context);
    }
}

uint64_t pc_store_table_memory_bytes(const struct pc_store_table *table)
{
    uint64_t bytes = pc_store_chunk_bytes(table->buckets_len * sizeof(struct pc_store_link *));
    if (table->old != NULL) {
        bytes += pc_store_chunk_bytes(table->old_len * sizeof(struct pc_store_link *));
    }
    return bytes;
}

/* Asserts that the chain at `bucket` belongs there and repeats no key; returns its length. */
static size_t check_bucket(const struct pc_store_table *table, struct pc_store_link *const *bucket)
{
    size_t length = 0;
    for (const struct pc_store_link *link = *bucket; link != NULL; link = link->next) {
        struct pc_slice key = table->key_of(link);
        PC_ASSERT(bucket_of(table, pc_store_table_hash(table, key)) == bucket); /* S1 */
        for (const struct pc_store_link *other = link->next; other != NULL; other = other->next) {
            PC_ASSERT(!pc_slice_equal(table->key_of(other), key)); /* S2 */
        }
        length++;
        PC_ASSERT(length <= table->count);
    }
    return length;
}

void pc_store_table_check(const struct pc_store_table *table)
{
    PC_ASSERT(table->buckets_len >= PC_STORE_BUCKETS_MIN);
    PC_ASSERT((table->buckets_len & (table->buckets_len - 1)) == 0);
    size_t count = 0;
    for (size_t i = 0; i < table->buckets_len; i++) {
        count += is_set(table, i) ? check_bucket(table, &table->buckets[i]) : 0;
    }
    PC_ASSERT((table->old == NULL) == (table->old_len == 0));
    PC_ASSERT_IMPLIES(table->old != NULL, table->old_moved < table->old_len);
    for (size_t i = 0; i < table->old_len; i++) {
        PC_ASSERT_IMPLIES(i < table->old_moved, table->old[i] == NULL);
        count += check_bucket(table, &table->old[i]);
    }
    PC_ASSERT(count == table->count);
}
