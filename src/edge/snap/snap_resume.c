/* What an interrupted transfer has left. Nothing is believed but checksums, and the chain of every
 * chunk, counted anew from the header on: the file may have lost any of its sectors to a power cut.
 * The first chunk that is not whole, and all behind it, is written over. */
#include <string.h>

#include "pcache/assert.h"
#include "snap_int.h"

/* A read error is damage here: the bytes are about to be written again. */
static bool read_exactly(struct pc_snap_writer *writer, uint64_t at, uint8_t *out, size_t len)
{
    struct pc_error ignored;
    size_t got = 0;
    pc_err err = writer->fs->read_at(writer->fs->context, writer->fd, at, out, len, &got, &ignored);
    return err == PC_OK && got == len;
}

/* Takes the next chunk over; false when it is not there as it should be. */
static bool take_chunk(struct pc_snap_writer *writer)
{
    uint8_t bytes[SNAP_HEAD_BYTES];
    struct snap_head head;
    if (writer->chunks == PC_SNAP_CHUNKS_MAX ||
        !read_exactly(writer, writer->at, bytes, sizeof bytes) ||
        !pc_snap_head_decode(bytes, &head) || head.number != writer->chunks ||
        !pc_hash_equal(&head.before, &writer->chain)) {
        return false;
    }
    pc_buf_reset(&writer->out);
    pc_buf_reserve(&writer->out, head.bytes);
    struct pc_slice chunk = pc_slice_of(writer->out.data, head.bytes);
    if (!read_exactly(writer, writer->at + sizeof bytes, writer->out.data, head.bytes) ||
        pc_snap_head_crc(bytes, chunk) != head.crc) {
        return false;
    }
    writer->at += sizeof bytes + head.bytes;
    pc_snap_writer_count(writer, chunk, &head);
    return true;
}

pc_err pc_snap_resume(struct pc_snap_writer *writer, struct pc_error *error)
{
    PC_ASSERT(writer->received && writer->chunks == 0);
    uint8_t block[SNAP_HEADER_BYTES];
    struct snap_header there;
    if (!read_exactly(writer, 0, block, sizeof block) ||
        pc_snap_header_decode(block, &there) != PC_OK ||
        !pc_snap_base_equal(&there.base, &writer->header.base) ||
        !pc_hash_equal(&there.hash, &writer->header.hash)) {
        return pc_error_set(error, PC_E_NOT_FOUND, "%s: of another transfer", writer->name);
    }
    writer->at = SNAP_HEADER_BYTES;
    while (take_chunk(writer)) {
    }
    writer->synced_at = writer->at;
    return PC_OK;
}
