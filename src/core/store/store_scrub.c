/* Does the memory still hold what was put into it? The rolling digest cannot tell: it is kept by
 * what entries change, and nobody looks at the other items again. So a pass goes over all items, a
 * few at a time, hashes each anew, and at its end their sum has to be the rolling digest.
 *
 * Entries go on meanwhile, and the table grows and shrinks. The pass therefore does not go by
 * buckets but by hashes, in the order of their bits reversed: a bucket, of any table whose length
 * is a power of two, is a range in that order, and what was visited is what comes before `at`.
 *
 *     reversed hash   0 [ visited: sum | at: bucket of now | not yet visited ] 2^64
 *
 * What entries put into the visited part, or take from it, goes into the sum or out of it just as
 * it does with the digest. An item that was damaged after it was visited and is removed before the
 * end is taken from both as what it has become: then the digest itself is wrong, and other nodes
 * tell (node_digest.c).
 *
 * Values are hashed anew, also those whose hash their item keeps. */
#include "store_int.h"

#define BYTES_MAX (1024 * 1024) /* of values hashed in one step; or one value */
#define BUCKETS_PER_ITEM 16

static uint64_t reversed(uint64_t x)
{
    x = (x >> 1 & UINT64_C(0x5555555555555555)) | (x & UINT64_C(0x5555555555555555)) << 1;
    x = (x >> 2 & UINT64_C(0x3333333333333333)) | (x & UINT64_C(0x3333333333333333)) << 2;
    x = (x >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    return __builtin_bswap64(x);
}

bool pc_store_scrub_has_seen(const struct pc_store *store, uint64_t hash)
{
    return reversed(hash) < store->scrub.at;
}

/* Adds what one chain has between at and last. Returns the bytes that were hashed. */
static uint64_t visit_chain(
    struct pc_store *store, const struct pc_store_link *link, uint64_t last, size_t *items)
{
    struct pc_store_scrub *scrub = &store->scrub;
    uint64_t bytes = 0;
    for (; link != NULL; link = link->next) {
        const struct pc_store_item *item = (const struct pc_store_item *)link;
        uint64_t place = reversed(pc_store_table_hash(&store->table, pc_store_item_key(item)));
        if (place >= scrub->at && place <= last) {
            scrub->sum = pc_store_sum_add(scrub->sum, pc_store_digest_item_anew(store, item));
            bytes += item->value->len;
            ++*items;
        }
    }
    return bytes;
}

/* The bucket of now, of both arrays while the table is rehashed. */
static uint64_t visit_bucket(struct pc_store *store, size_t *items)
{
    const struct pc_store_table *table = &store->table;
    struct pc_store_scrub *scrub = &store->scrub;
    size_t len = table->buckets_len > table->old_len ? table->buckets_len : table->old_len;
    uint64_t last = scrub->at | (UINT64_MAX / len);
    uint64_t hash = reversed(scrub->at);
    PC_ASSERT((len & (len - 1)) == 0 && len >= PC_STORE_BUCKETS_MIN);
    size_t place = hash & (table->buckets_len - 1);
    uint64_t bytes = visit_chain(store, pc_store_table_chain(table, place), last, items);
    if (table->old != NULL) {
        place = table->buckets_len + (hash & (table->old_len - 1));
        bytes += visit_chain(store, pc_store_table_chain(table, place), last, items);
    }
    scrub->at = last + 1; /* 0 at the end */
    return bytes;
}

bool pc_store_scrub(struct pc_store *store, size_t items_max, bool *is_sound)
{
    struct pc_store_scrub *scrub = &store->scrub;
    PC_ASSERT(items_max >= 1 && !store->loading);
    size_t items = 0, buckets = 0;
    uint64_t bytes = 0;
    do {
        bytes += visit_bucket(store, &items);
        buckets++;
    } while (scrub->at != 0 && items < items_max && bytes < BYTES_MAX &&
             buckets / BUCKETS_PER_ITEM < items_max);
    if (scrub->at != 0) {
        return false;
    }
    *is_sound = scrub->sum.low == store->digest.low && scrub->sum.high == store->digest.high;
    scrub->sum = (struct pc_store_sum){0};
    return true;
}
