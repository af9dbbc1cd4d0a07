/* Stamped blocks. The first 8 bytes of every block are a value that depends on the segment's number
 * and the block's own: a file preallocated with zeros has none, so the stamp proves that a write of
 * ours arrived at exactly this place.
 *
 * A stamp is a mixed 64-bit number rather than the two fields side by side: a sector of zeros or of
 * noise is about 32 bits away from it, a stamp with bit rot in it only a few. So a rotten stamp
 * still counts as written and cannot turn damage into a tail that "was never written". */
#include "wal_int.h"

#include <string.h>

#include "pcache/assert.h"

/* Noise comes this near with probability 3e-10. */
#define STAMP_DISTANCE_MAX 8

PC_STATIC_ASSERT(WAL_PAYLOAD_BYTES % WAL_ALIGN == 0, "records stay aligned over block borders");
PC_STATIC_ASSERT(WAL_RECORD_HEADER_BYTES % WAL_ALIGN == 0, "a body begins aligned");

/* The finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection that mixes well. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t pc_wal_stamp(uint64_t segment, uint32_t block)
{
    return mix(mix(segment) ^ block);
}

static unsigned bits_set(uint64_t x)
{
    unsigned n = 0;
    for (; x != 0; x &= x - 1) {
        n++;
    }
    return n;
}

bool pc_wal_block_was_written(const uint8_t *block, uint64_t segment, uint32_t number)
{
    return bits_set(pc_get_u64(block) ^ pc_wal_stamp(segment, number)) <= STAMP_DISTANCE_MAX;
}

bool pc_wal_bytes_are_zero(const uint8_t *bytes, size_t len)
{
    /* A run of equal bytes equals itself moved by one; memcmp is the fastest loop at hand. */
    return len == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0);
}

struct pc_slice pc_wal_zeros(size_t len)
{
    static const uint8_t zeros[WAL_ZEROS_BYTES];
    PC_ASSERT(len <= sizeof zeros);
    return pc_slice_of(zeros, len);
}

void pc_wal_out_begin(struct wal_out *out, uint64_t segment, uint32_t first_block)
{
    pc_buf_reset(&out->buf);
    out->segment = segment;
    out->first_block = first_block;
}

uint64_t pc_wal_out_at(const struct wal_out *out)
{
    uint64_t block = out->first_block + out->buf.len / WAL_BLOCK_BYTES;
    size_t inside = out->buf.len % WAL_BLOCK_BYTES;
    PC_ASSERT(inside == 0 || inside >= WAL_STAMP_BYTES);
    return block * WAL_PAYLOAD_BYTES + (inside == 0 ? 0 : inside - WAL_STAMP_BYTES);
}

void pc_wal_out_put(struct wal_out *out, const void *bytes, size_t len)
{
    const uint8_t *from = bytes;
    while (len > 0) {
        size_t inside = out->buf.len % WAL_BLOCK_BYTES;
        if (inside == 0) {
            uint32_t block = out->first_block + (uint32_t)(out->buf.len / WAL_BLOCK_BYTES);
            pc_buf_append_u64(&out->buf, pc_wal_stamp(out->segment, block));
            inside = WAL_STAMP_BYTES;
        }
        size_t room = WAL_BLOCK_BYTES - inside;
        size_t take = len < room ? len : room;
        pc_buf_append(&out->buf, from, take);
        from += take;
        len -= take;
    }
}

void pc_wal_out_pad(struct wal_out *out, uint32_t unit)
{
    uint64_t over = pc_wal_out_at(out) % unit;
    if (over != 0) {
        size_t len = unit - (size_t)over;
        pc_wal_out_put(out, pc_wal_zeros(len).data, len);
    }
}
