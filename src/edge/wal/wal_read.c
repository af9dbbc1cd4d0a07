/* Records out of a segment file, which is read in large chunks: a million small records cost a
 * hundred calls. A record inside one block is looked at where it lies; one that spans blocks is
 * gathered behind the stamps into a scratch buffer. */
#include "wal_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/crc32c.h"
#include "pcache/wire_entry.h"

void pc_wal_reader_init(struct wal_reader *reader, const struct pc_fs *fs, uint32_t chunk_bytes)
{
    PC_ASSERT(chunk_bytes % WAL_BLOCK_BYTES == 0 && chunk_bytes > 0);
    *reader = (struct wal_reader){.fs = fs, .chunk_cap = chunk_bytes / WAL_BLOCK_BYTES};
    reader->chunk = pc_xalloc(chunk_bytes);
}

void pc_wal_reader_use(struct wal_reader *reader, pc_fd fd, const struct wal_segment *segment)
{
    reader->fd = fd;
    reader->segment = segment->number;
    reader->blocks = segment->blocks;
    reader->chunk_n = 0;
    pc_wal_segment_file(segment, reader->name, sizeof reader->name);
}

void pc_wal_reader_destroy(struct wal_reader *reader)
{
    free(reader->chunk);
    pc_buf_destroy(&reader->scratch);
    *reader = (struct wal_reader){0};
}

pc_err pc_wal_reader_damaged(
    const struct wal_reader *reader, uint64_t at, const char *why, struct pc_error *error)
{
    uint64_t offset =
        pc_wal_block_of(at) * (uint64_t)WAL_BLOCK_BYTES + WAL_STAMP_BYTES + at % WAL_PAYLOAD_BYTES;
    return pc_error_set(
        error, PC_E_CORRUPT, "%s: damaged at offset %" PRIu64 ": %s", reader->name, offset, why);
}

/* Which block it is that cannot be read, for people. *got: the bytes in front of it. */
static pc_err read_singly(
    struct wal_reader *reader, uint32_t first, uint32_t want, size_t *got, struct pc_error *error)
{
    *got = 0;
    for (uint32_t i = 0; i < want; i++) {
        size_t some = 0;
        uint64_t offset = ((uint64_t)first + i) * WAL_BLOCK_BYTES;
        pc_err err = reader->fs->read_at(reader->fs->context, reader->fd, offset,
            reader->chunk + (size_t)i * WAL_BLOCK_BYTES, WAL_BLOCK_BYTES, &some, error);
        if (err != PC_OK) {
            return pc_error_wrap(error, "cannot be read at offset %" PRIu64, offset);
        }
        *got += some;
    }
    return PC_OK;
}

static pc_err read_chunk(struct wal_reader *reader, uint32_t first, struct pc_error *error)
{
    uint32_t want = reader->blocks - first;
    want = want < reader->chunk_cap ? want : reader->chunk_cap;
    size_t got = 0;
    reader->chunk_n = 0;
    pc_err err =
        reader->fs->read_at(reader->fs->context, reader->fd, (uint64_t)first * WAL_BLOCK_BYTES,
            reader->chunk, (size_t)want * WAL_BLOCK_BYTES, &got, error);
    if (err == PC_E_IO) {
        err = read_singly(reader, first, want, &got, error);
    }
    if (err != PC_OK) {
        return pc_error_wrap(error, "%s", reader->name);
    }
    if (got != (size_t)want * WAL_BLOCK_BYTES) {
        return pc_error_set(error, PC_E_IO, "%s: the file has become shorter", reader->name);
    }
    reader->chunk_first = first;
    reader->chunk_n = want;
    return PC_OK;
}

pc_err pc_wal_reader_block(
    struct wal_reader *reader, uint32_t number, const uint8_t **out, struct pc_error *error)
{
    PC_ASSERT(number < reader->blocks);
    if (number < reader->chunk_first || number - reader->chunk_first >= reader->chunk_n) {
        pc_err err = read_chunk(reader, number, error);
        if (err != PC_OK) {
            return err;
        }
    }
    *out = reader->chunk + (size_t)(number - reader->chunk_first) * WAL_BLOCK_BYTES;
    return PC_OK;
}

/* The bytes at..at+len, in place or gathered in reader->scratch. */
static pc_err gather(struct wal_reader *reader, uint64_t at, size_t len, struct pc_slice *out,
    struct pc_error *error)
{
    const uint8_t *block = NULL;
    size_t inside = (size_t)(at % WAL_PAYLOAD_BYTES);
    if (inside + len <= WAL_PAYLOAD_BYTES) {
        pc_err err = pc_wal_reader_block(reader, pc_wal_block_of(at), &block, error);
        if (err != PC_OK) {
            return err;
        }
        *out = pc_slice_of(block + WAL_STAMP_BYTES + inside, len);
        return PC_OK;
    }
    pc_buf_reset(&reader->scratch);
    pc_buf_reserve(&reader->scratch, len);
    while (len > 0) {
        pc_err err = pc_wal_reader_block(reader, pc_wal_block_of(at), &block, error);
        if (err != PC_OK) {
            return err;
        }
        inside = (size_t)(at % WAL_PAYLOAD_BYTES);
        size_t take = WAL_PAYLOAD_BYTES - inside;
        take = take < len ? take : len;
        pc_buf_append(&reader->scratch, block + WAL_STAMP_BYTES + inside, take);
        at += take;
        len -= take;
    }
    *out = pc_slice_of(reader->scratch.data, reader->scratch.len);
    return PC_OK;
}

pc_err pc_wal_reader_header(
    struct wal_reader *reader, uint64_t at, struct wal_found *out, struct pc_error *error)
{
    uint64_t file_end = (uint64_t)reader->blocks * WAL_PAYLOAD_BYTES;
    *out = (struct wal_found){.seen = WAL_SEEN_FILE_END};
    if (at + WAL_RECORD_HEADER_BYTES > file_end) {
        return PC_OK;
    }
    struct pc_slice header;
    pc_err err = gather(reader, at, WAL_RECORD_HEADER_BYTES, &header, error);
    if (err != PC_OK) {
        return err;
    }
    if (!pc_wal_record_decode(header.data, reader->segment, at, &out->record)) {
        out->seen = WAL_SEEN_BAD_HEADER;
        return PC_OK;
    }
    if (at + WAL_RECORD_HEADER_BYTES + out->record.body_bytes > file_end) {
        return PC_OK;
    }
    out->seen = WAL_SEEN_RECORD;
    out->next = pc_wal_record_end(&out->record, at);
    return PC_OK;
}

pc_err pc_wal_reader_fetch(
    struct wal_reader *reader, uint64_t at, struct wal_found *out, struct pc_error *error)
{
    pc_err err = pc_wal_reader_header(reader, at, out, error);
    if (err != PC_OK || out->seen != WAL_SEEN_RECORD || out->record.body_bytes == 0) {
        return err;
    }
    return gather(reader, at + WAL_RECORD_HEADER_BYTES, out->record.body_bytes, &out->body, error);
}

pc_err pc_wal_reader_record(
    struct wal_reader *reader, uint64_t at, struct wal_found *out, struct pc_error *error)
{
    pc_err err = pc_wal_reader_fetch(reader, at, out, error);
    if (err == PC_OK && out->seen == WAL_SEEN_RECORD &&
        pc_crc32c(0, out->body) != out->record.body_crc) {
        out->seen = WAL_SEEN_BAD_BODY;
    }
    return err;
}

pc_err pc_wal_reader_entry(const struct wal_reader *reader, uint64_t at,
    const struct wal_found *found, struct pc_entry *out, struct pc_error *error)
{
    PC_ASSERT(found->seen == WAL_SEEN_RECORD && found->record.type == PC_WAL_RECORD_ENTRY);
    struct pc_entry entry;
    pc_err err = pc_wire_decode_entry(found->body, &entry);
    if (err == PC_E_NOMEM) {
        return pc_error_set(error, err, "%s: no memory for an entry", reader->name);
    }
    if (err == PC_E_VERSION && pc_crc32c(0, found->body) == found->record.body_crc) {
        return pc_error_set(error, err,
            "%s: entry %" PRIu64 " is of kind %" PRIu32 ", this program knows 1 to %d: start the"
            " version that ran here last",
            reader->name, found->record.index, pc_wire_entry_kind(found->body), PC_ENTRY_COMMAND);
    }
    if (err != PC_OK) {
        return pc_wal_reader_damaged(reader, at, "the entry cannot be decoded", error);
    }
    const struct wal_record *record = &found->record;
    if (entry.index != record->index || entry.term != record->term ||
        !pc_hash_equal(&entry.chain, &record->chain)) {
        pc_entry_clear(&entry);
        return pc_wal_reader_damaged(reader, at, "header and entry do not agree", error);
    }
    *out = entry;
    return PC_OK;
}
