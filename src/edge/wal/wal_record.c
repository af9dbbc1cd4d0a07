/* Record headers. The header's checksum also covers the segment's number and the record's own
 * address, neither of which is stored: a block that was written to the wrong place, or that belongs
 * to another segment, holds no valid header there. */
#include "wal_int.h"

#include <string.h>

#include "pcache/assert.h"
#include "pcache/crc32c.h"
#include "pcache/limits.h"

#define RECORD_MAGIC UINT32_C(0x31526370) /* "pcR1" */

enum {
    AT_MAGIC = 0,
    AT_TYPE = 4,
    AT_FLAGS = 5,
    AT_BODY_BYTES = 8,
    AT_DURABLE_BLOCK = 12,
    AT_INDEX = 16,
    AT_TERM = 24,
    AT_DURABLE_UPTO = 32,
    AT_COMMIT = 40,
    AT_CHAIN = 48,
    AT_BODY_CRC = 64,
    AT_HEADER_CRC = 68,
};
PC_STATIC_ASSERT(AT_HEADER_CRC + 4 == WAL_RECORD_HEADER_BYTES, "the checksum closes the header");

static uint32_t header_crc(const uint8_t *header, uint64_t segment, uint64_t at)
{
    uint8_t place[16];
    pc_put_u64(place, segment);
    pc_put_u64(place + 8, at);
    uint32_t crc = pc_crc32c(0, pc_slice_of(place, sizeof place));
    return pc_crc32c(crc, pc_slice_of(header, AT_HEADER_CRC));
}

void pc_wal_record_put(struct wal_out *out, const struct wal_record *record, struct pc_slice body)
{
    PC_ASSERT(body.len <= PC_ENTRY_BYTES_MAX);
    PC_ASSERT(record->commit <= record->index);
    out->durable_block = record->durable_block;
    PC_ASSERT(pc_wal_out_at(out) % WAL_ALIGN == 0);
    uint8_t header[WAL_RECORD_HEADER_BYTES] = {0};
    pc_put_u32(header + AT_MAGIC, RECORD_MAGIC);
    header[AT_TYPE] = (uint8_t)record->type;
    header[AT_FLAGS] = record->flags;
    pc_put_u32(header + AT_BODY_BYTES, (uint32_t)body.len);
    pc_put_u32(header + AT_DURABLE_BLOCK, record->durable_block);
    pc_put_u64(header + AT_INDEX, record->index);
    pc_put_u64(header + AT_TERM, record->term);
    pc_put_u64(header + AT_DURABLE_UPTO, record->durable_upto);
    pc_put_u64(header + AT_COMMIT, record->commit);
    memcpy(header + AT_CHAIN, record->chain.b, sizeof record->chain.b);
    pc_put_u32(header + AT_BODY_CRC, pc_crc32c(0, body));
    pc_put_u32(header + AT_HEADER_CRC, header_crc(header, out->segment, pc_wal_out_at(out)));
    pc_wal_out_put(out, header, sizeof header);
    pc_wal_out_put(out, body.data, body.len);
    bool last = (record->flags & WAL_LAST_OF_BATCH) != 0;
    pc_wal_out_pad(out, last ? WAL_PAYLOAD_BYTES : WAL_ALIGN);
}

static bool header_makes_sense(const struct wal_record *record, uint64_t at)
{
    bool is_entry = record->type == PC_WAL_RECORD_ENTRY;
    if (!is_entry && record->type != PC_WAL_RECORD_TRUNCATE && record->type != PC_WAL_RECORD_NOTE) {
        return false;
    }
    return record->body_bytes <= PC_ENTRY_BYTES_MAX && is_entry == (record->body_bytes > 0) &&
           record->durable_block <= pc_wal_block_of(at) &&
           (record->flags & ~WAL_LAST_OF_BATCH) == 0;
}

bool pc_wal_record_decode(
    const uint8_t *header, uint64_t segment, uint64_t at, struct wal_record *out)
{
    if (pc_get_u32(header + AT_MAGIC) != RECORD_MAGIC ||
        pc_get_u32(header + AT_HEADER_CRC) != header_crc(header, segment, at)) {
        return false;
    }
    struct wal_record record = {
        .type = (enum pc_wal_record_type)header[AT_TYPE],
        .flags = header[AT_FLAGS],
        .body_bytes = pc_get_u32(header + AT_BODY_BYTES),
        .durable_block = pc_get_u32(header + AT_DURABLE_BLOCK),
        .index = pc_get_u64(header + AT_INDEX),
        .term = pc_get_u64(header + AT_TERM),
        .durable_upto = pc_get_u64(header + AT_DURABLE_UPTO),
        .commit = pc_get_u64(header + AT_COMMIT),
        .body_crc = pc_get_u32(header + AT_BODY_CRC),
    };
    memcpy(record.chain.b, header + AT_CHAIN, sizeof record.chain.b);
    if (!header_makes_sense(&record, at)) {
        return false;
    }
    *out = record;
    return true;
}

uint64_t pc_wal_record_end(const struct wal_record *record, uint64_t at)
{
    uint64_t end = at + WAL_RECORD_HEADER_BYTES + record->body_bytes;
    if ((record->flags & WAL_LAST_OF_BATCH) != 0) {
        return pc_wal_block_ceil(end);
    }
    return (end + WAL_ALIGN - 1) / WAL_ALIGN * WAL_ALIGN;
}
