/* The fixed pieces of a snapshot file. Each carries a checksum of its own, and what must not be
 * exchanged between files (the entry, the number of a chunk, what came before it) is under it. */
#include <sodium/crypto_generichash.h>
#include <string.h>

#include "pcache/crc32c.h"
#include "snap_int.h"

static const uint8_t header_magic[8] = {'p', 'c', 'a', 'c', 'h', 's', 'n', 'p'};
static const uint8_t trailer_magic[8] = {'p', 'c', 'a', 'c', 'h', 'e', 'n', 'd'};
static const uint8_t head_magic[4] = {'p', 'c', 'C', '1'};

void pc_snap_header_encode(const struct snap_header *header, uint8_t *block)
{
    memset(block, 0, SNAP_HEADER_BYTES);
    memcpy(block, header_magic, sizeof header_magic);
    pc_put_u32(block + 8, SNAP_VERSION);
    pc_put_u32(block + 12, SNAP_HEADER_BYTES);
    pc_put_u64(block + 16, header->base.index);
    pc_put_u64(block + 24, header->base.term);
    pc_put_u64(block + 32, header->base.stamp_ms);
    memcpy(block + 40, header->base.chain.b, 16);
    memcpy(block + 56, header->hash.b, 16);
    pc_put_u32(block + 72, pc_crc32c(0, pc_slice_of(block, 72)));
}

pc_err pc_snap_header_decode(const uint8_t *block, struct snap_header *out)
{
    if (memcmp(block, header_magic, sizeof header_magic) != 0 ||
        pc_get_u32(block + 72) != pc_crc32c(0, pc_slice_of(block, 72))) {
        return PC_E_MALFORMED;
    }
    if (pc_get_u32(block + 8) != SNAP_VERSION) {
        return PC_E_VERSION;
    }
    struct snap_header header = {.base = {.index = pc_get_u64(block + 16),
                                     .term = pc_get_u64(block + 24),
                                     .stamp_ms = pc_get_u64(block + 32)}};
    memcpy(header.base.chain.b, block + 40, 16);
    memcpy(header.hash.b, block + 56, 16);
    if (pc_get_u32(block + 12) != SNAP_HEADER_BYTES || header.base.index == 0 ||
        header.base.term == 0 || header.base.term > PC_TERM_MAX ||
        header.base.stamp_ms > PC_CLOCK_MS_MAX) {
        return PC_E_MALFORMED;
    }
    *out = header;
    return PC_OK;
}

/*   0 4 magic   4 4 bytes   8 4 number   12 4 crc   16 16 before */
uint32_t pc_snap_head_crc(const uint8_t *head, struct pc_slice chunk)
{
    uint32_t crc = pc_crc32c(0, pc_slice_of(head, 12));
    crc = pc_crc32c(crc, pc_slice_of(head + 16, 16));
    return pc_crc32c(crc, chunk);
}

void pc_snap_head_encode(const struct snap_head *head, struct pc_slice chunk, uint8_t *out)
{
    memcpy(out, head_magic, sizeof head_magic);
    pc_put_u32(out + 4, head->bytes);
    pc_put_u32(out + 8, head->number);
    memcpy(out + 16, head->before.b, 16);
    pc_put_u32(out + 12, pc_snap_head_crc(out, chunk));
}

bool pc_snap_head_decode(const uint8_t *bytes, struct snap_head *out)
{
    struct snap_head head = {.bytes = pc_get_u32(bytes + 4),
        .number = pc_get_u32(bytes + 8),
        .crc = pc_get_u32(bytes + 12)};
    if (memcmp(bytes, head_magic, sizeof head_magic) != 0 || head.bytes == 0 ||
        head.bytes > PC_SNAPSHOT_CHUNK_BYTES_MAX) {
        return false;
    }
    memcpy(head.before.b, bytes + 16, 16);
    *out = head;
    return true;
}

void pc_snap_trailer_encode(const struct snap_trailer *trailer, uint8_t *out)
{
    memset(out, 0, SNAP_TRAILER_BYTES);
    memcpy(out, trailer_magic, sizeof trailer_magic);
    pc_put_u64(out + 8, trailer->index);
    pc_put_u64(out + 16, trailer->table_at);
    pc_put_u32(out + 24, trailer->chunks);
    pc_put_u32(out + 28, trailer->meta_bytes);
    memcpy(out + 32, trailer->hash.b, 16);
    pc_put_u32(out + 48, trailer->footer_crc);
    pc_put_u32(out + 60, pc_crc32c(0, pc_slice_of(out, 60)));
}

bool pc_snap_trailer_decode(const uint8_t *bytes, struct snap_trailer *out)
{
    if (memcmp(bytes, trailer_magic, sizeof trailer_magic) != 0 ||
        pc_get_u32(bytes + 60) != pc_crc32c(0, pc_slice_of(bytes, 60))) {
        return false;
    }
    *out = (struct snap_trailer){.index = pc_get_u64(bytes + 8),
        .table_at = pc_get_u64(bytes + 16),
        .chunks = pc_get_u32(bytes + 24),
        .meta_bytes = pc_get_u32(bytes + 28),
        .footer_crc = pc_get_u32(bytes + 48)};
    memcpy(out->hash.b, bytes + 32, 16);
    return true;
}

struct pc_hash pc_snap_chain_begin(const struct pc_raft_base *base)
{
    uint8_t bytes[24];
    pc_put_u64(bytes, base->index);
    pc_put_u64(bytes + 8, base->term);
    pc_put_u64(bytes + 16, base->stamp_ms);
    return pc_snap_chain_next(&base->chain, pc_slice_of(bytes, sizeof bytes));
}

struct pc_hash pc_snap_chain_next(const struct pc_hash *before, struct pc_slice bytes)
{
    struct pc_hash out;
    crypto_generichash_state state;
    (void)crypto_generichash_init(&state, NULL, 0, sizeof out.b);
    (void)crypto_generichash_update(&state, before->b, sizeof before->b);
    (void)crypto_generichash_update(&state, bytes.data, bytes.len);
    (void)crypto_generichash_final(&state, out.b, sizeof out.b);
    return out;
}

bool pc_snap_base_equal(const struct pc_raft_base *a, const struct pc_raft_base *b)
{
    return a->index == b->index && a->term == b->term && a->stamp_ms == b->stamp_ms &&
           pc_hash_equal(&a->chain, &b->chain);
}
