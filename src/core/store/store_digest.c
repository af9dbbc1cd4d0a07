/* The rolling digest: what lets nodes compare a million items by sixteen bytes.
 *
 * Each item has a hash of 128 bits over
 *
 *     version u64 | created u64 | deadline u64 | key length u32 | content type length u32 |
 *     hash of the value 16 | key | content type                              (little-endian)
 *
 * and the digest is their sum modulo 2^128: adding, removing or changing one item costs one or two
 * additions, in any order. The value comes in as a hash of its own so that nothing is copied to
 * stand next to it, and so that a large value, whose hash its item keeps, is hashed once in its
 * life and not again by the entry that removes it.
 *
 * The key is fixed and public. The digest finds divergence by accident; it is no defence against
 * someone who constructs values to collide. Changing anything here changes what nodes of different
 * versions tell each other: the golden digest in the tests is there to notice. */
#include "store_int.h"

#include <string.h>

#include <sodium/crypto_shorthash.h>

#define HEAD_BYTES (3 * 8 + 2 * 4 + 16)

PC_STATIC_ASSERT(crypto_shorthash_siphashx24_BYTES == sizeof(struct pc_hash), "128 bits");

static const uint8_t digest_key[crypto_shorthash_siphashx24_KEYBYTES] = {
    'p', 'c', 'a', 'c', 'h', 'e', ' ', 'd', 'i', 'g', 'e', 's', 't', ' ', 'v', '1'};

void pc_store_digest_value(struct pc_slice value, uint8_t out[16])
{
    (void)crypto_shorthash_siphashx24(out, value.data, value.len, digest_key);
}

static void put_head(const struct pc_stored_item *item, const uint8_t *value_hash, uint8_t *out)
{
    pc_put_u64(out, item->version);
    pc_put_u64(out + 8, item->created);
    pc_put_u64(out + 16, item->deadline_ms);
    pc_put_u32(out + 24, (uint32_t)item->key.len);
    pc_put_u32(out + 28, (uint32_t)item->content_type.len);
    if (value_hash != NULL) {
        memcpy(out + 32, value_hash, 16);
    } else {
        pc_store_digest_value(item->value, out + 32);
    }
}

static struct pc_store_sum hash_item(const struct pc_stored_item *item, const uint8_t *value_hash)
{
    uint8_t bytes[HEAD_BYTES + PC_KEY_BYTES_MAX + PC_CONTENT_TYPE_BYTES_MAX];
    PC_ASSERT(item->key.len <= PC_KEY_BYTES_MAX);
    PC_ASSERT(item->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    put_head(item, value_hash, bytes);
    size_t len = HEAD_BYTES;
    memcpy(bytes + len, item->key.data, item->key.len);
    len += item->key.len;
    if (item->content_type.len > 0) {
        memcpy(bytes + len, item->content_type.data, item->content_type.len);
        len += item->content_type.len;
    }
    uint8_t hash[crypto_shorthash_siphashx24_BYTES];
    (void)crypto_shorthash_siphashx24(hash, bytes, len, digest_key);
    return (struct pc_store_sum){.low = pc_get_u64(hash), .high = pc_get_u64(hash + 8)};
}

static struct pc_store_sum digest_item(
    const struct pc_store *store, const struct pc_store_item *item, const uint8_t *known)
{
    struct pc_item view = pc_store_view(store, item);
    struct pc_stored_item stored = {.key = view.key,
        .content_type = view.content_type,
        .version = view.version,
        .created = view.created,
        .deadline_ms = view.deadline_ms};
    if (known == NULL) {
        stored.value = pc_blob_slice(view.value);
    }
    return hash_item(&stored, known);
}

struct pc_store_sum pc_store_digest_item(
    const struct pc_store *store, const struct pc_store_item *item)
{
    return digest_item(store, item, pc_store_item_value_hash(item));
}

struct pc_store_sum pc_store_digest_item_anew(
    const struct pc_store *store, const struct pc_store_item *item)
{
    return digest_item(store, item, NULL);
}

void pc_store_digest_add(struct pc_hash *digest, const struct pc_stored_item *item)
{
    struct pc_store_sum sum = {.low = pc_get_u64(digest->b), .high = pc_get_u64(digest->b + 8)};
    sum = pc_store_sum_add(sum, hash_item(item, NULL));
    pc_put_u64(digest->b, sum.low);
    pc_put_u64(digest->b + 8, sum.high);
}

struct pc_store_sum pc_store_sum_add(struct pc_store_sum a, struct pc_store_sum b)
{
    uint64_t low = a.low + b.low;
    uint64_t carry = low < a.low ? 1 : 0;
    return (struct pc_store_sum){.low = low, .high = a.high + b.high + carry};
}

struct pc_store_sum pc_store_sum_subtract(struct pc_store_sum a, struct pc_store_sum b)
{
    uint64_t borrow = a.low < b.low ? 1 : 0;
    return (struct pc_store_sum){.low = a.low - b.low, .high = a.high - b.high - borrow};
}

struct pc_hash pc_store_digest(const struct pc_store *store)
{
    struct pc_hash out;
    pc_put_u64(out.b, store->digest.low);
    pc_put_u64(out.b + 8, store->digest.high);
    return out;
}
