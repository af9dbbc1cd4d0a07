/* The pieces of a branch file. Each frame's checksum covers what it must not be mistaken for: the
 * branch it is of, its place in the file, and the frame in front of it. So what an earlier write
 * left behind the end of a later one, or bytes of a file that a client stored as a value, never
 * passes for a record.
 *
 * `synced` tells a torn tail from damage: see branch_reader.c. */
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"
#include "pcache/crc32c.h"

static const uint8_t header_magic[8] = {'p', 'c', 'b', 'r', 'a', 'n', 'c', 'h'};
static const uint8_t frame_magic[4] = {'p', 'c', 'B', '1'};

#define HEADER_CRC_AT 160u
#define NAME_AT 96u

void pc_branch_record_clear(struct pc_branch_record *record)
{
    pc_blob_unref(record->command);
    pc_blob_unref(record->before);
    record->command = NULL;
    record->before = NULL;
}

/* ---- header */

void pc_branch_header_encode(const struct pc_branch_head *head, uint8_t *block)
{
    size_t name_len = strlen(head->name);
    PC_ASSERT(name_len <= PC_NAME_BYTES_MAX);
    memset(block, 0, BRANCH_HEADER_BYTES);
    memcpy(block, header_magic, sizeof header_magic);
    pc_put_u32(block + 8, BRANCH_VERSION);
    pc_put_u32(block + 12, BRANCH_HEADER_BYTES);
    pc_put_u64(block + 16, head->node);
    memcpy(block + 24, head->history, 16);
    memcpy(block + 40, head->id, 16);
    pc_put_u64(block + 56, head->base.index);
    pc_put_u64(block + 64, head->base.term);
    memcpy(block + 72, head->base.chain.b, 16);
    pc_put_u64(block + 88, head->begun_ms);
    block[NAME_AT] = (uint8_t)name_len;
    memcpy(block + NAME_AT + 1, head->name, name_len);
    pc_put_u32(block + HEADER_CRC_AT, pc_crc32c(0, pc_slice_of(block, HEADER_CRC_AT)));
}

uint32_t pc_branch_header_crc(const uint8_t *block)
{
    return pc_get_u32(block + HEADER_CRC_AT);
}

pc_err pc_branch_header_decode(const uint8_t *block, struct pc_branch_head *out)
{
    if (memcmp(block, header_magic, sizeof header_magic) != 0 ||
        pc_branch_header_crc(block) != pc_crc32c(0, pc_slice_of(block, HEADER_CRC_AT))) {
        return PC_E_MALFORMED;
    }
    if (pc_get_u32(block + 8) != BRANCH_VERSION) {
        return PC_E_VERSION;
    }
    struct pc_branch_head head = {.node = pc_get_u64(block + 16),
        .base = {.index = pc_get_u64(block + 56), .term = pc_get_u64(block + 64)},
        .begun_ms = pc_get_u64(block + 88)};
    size_t name_len = block[NAME_AT];
    if (pc_get_u32(block + 12) != BRANCH_HEADER_BYTES || name_len > PC_NAME_BYTES_MAX ||
        memchr(block + NAME_AT + 1, 0, name_len) != NULL || head.base.term > PC_TERM_MAX ||
        head.begun_ms > BRANCH_WALL_MS_MAX) {
        return PC_E_MALFORMED;
    }
    memcpy(head.history, block + 24, 16);
    memcpy(head.id, block + 40, 16);
    memcpy(head.base.chain.b, block + 72, 16);
    memcpy(head.name, block + NAME_AT + 1, name_len);
    *out = head;
    return PC_OK;
}

/* ---- frames */

static uint32_t frame_crc(const uint8_t id[16], uint64_t at, const uint8_t *bytes)
{
    uint8_t place[8];
    pc_put_u64(place, at);
    uint32_t crc = pc_crc32c(0, pc_slice_of(id, 16));
    crc = pc_crc32c(crc, pc_slice_of(place, sizeof place));
    return pc_crc32c(crc, pc_slice_of(bytes, 28));
}

/*   0 4 magic   4 4 bytes   8 8 synced   16 4 before   20 4 body_crc   24 4 type   28 4 crc */
void pc_branch_frame_encode(
    const uint8_t id[16], uint64_t at, struct branch_frame *frame, uint8_t *out)
{
    PC_ASSERT(frame->bytes > 0 && frame->bytes <= BRANCH_BODY_BYTES_MAX && at % 8 == 0);
    PC_ASSERT(frame->synced <= at);
    memcpy(out, frame_magic, sizeof frame_magic);
    pc_put_u32(out + 4, frame->bytes);
    pc_put_u64(out + 8, frame->synced);
    pc_put_u32(out + 16, frame->before);
    pc_put_u32(out + 20, frame->body_crc);
    pc_put_u32(out + 24, (uint32_t)frame->type);
    frame->crc = frame_crc(id, at, out);
    pc_put_u32(out + 28, frame->crc);
}

bool pc_branch_frame_decode(
    const uint8_t id[16], uint64_t at, const uint8_t *bytes, struct branch_frame *out)
{
    if (memcmp(bytes, frame_magic, sizeof frame_magic) != 0 ||
        pc_get_u32(bytes + 28) != frame_crc(id, at, bytes)) {
        return false;
    }
    struct branch_frame frame = {.bytes = pc_get_u32(bytes + 4),
        .synced = pc_get_u64(bytes + 8),
        .before = pc_get_u32(bytes + 16),
        .body_crc = pc_get_u32(bytes + 20),
        .crc = pc_get_u32(bytes + 28)};
    uint32_t type = pc_get_u32(bytes + 24);
    if (frame.bytes == 0 || frame.bytes > BRANCH_BODY_BYTES_MAX || frame.synced > at ||
        type < BRANCH_BODY_RECORD || type > BRANCH_BODY_END) {
        return false;
    }
    frame.type = (enum branch_body)type;
    *out = frame;
    return true;
}

uint64_t pc_branch_frame_size(const struct branch_frame *frame)
{
    return BRANCH_FRAME_BYTES + ((uint64_t)frame->bytes + 7) / 8 * 8;
}

uint64_t pc_branch_next_sector(uint64_t end)
{
    return (end + BRANCH_SECTOR_BYTES - 1) / BRANCH_SECTOR_BYTES * BRANCH_SECTOR_BYTES;
}

/* ---- bodies */

/* [number, stamp, boot, command, nil | [version, deadline, type, nil | value]] */
void pc_branch_record_encode(const struct pc_branch_record *record, struct pc_buf *out)
{
    PC_ASSERT(record->number > 0 && record->command != NULL);
    PC_ASSERT(record->command->len <= PC_COMMAND_BYTES_MAX);
    PC_ASSERT(record->before == NULL || record->before->len <= PC_VALUE_BYTES_MAX);
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, 5);
    pc_mpack_write_uint(&w, record->number);
    pc_mpack_write_uint(&w, record->stamp_ms);
    pc_mpack_write_uint(&w, record->boot);
    pc_mpack_write_bin(&w, pc_blob_slice(record->command));
    if (!record->has_before) {
        pc_mpack_write_nil(&w);
        return;
    }
    pc_mpack_write_array(&w, 4);
    pc_mpack_write_uint(&w, record->before_version);
    pc_mpack_write_uint(&w, record->before_deadline_ms);
    pc_mpack_write_bin(&w, pc_slice_str(record->before_type));
    if (record->before == NULL) {
        pc_mpack_write_nil(&w);
    } else {
        pc_mpack_write_bin(&w, pc_blob_slice(record->before));
    }
}

/* Slices that are still borrowed from the body. */
struct record_parts {
    struct pc_slice command, type, value;
    bool has_value;
};

static void read_before(
    struct pc_mpack_reader *r, struct pc_branch_record *record, struct record_parts *parts)
{
    record->has_before = pc_mpack_peek(r) != PC_MPACK_NIL;
    if (!record->has_before) {
        pc_mpack_read_nil(r);
        return;
    }
    if (pc_mpack_read_array(r) != 4) {
        pc_mpack_fail(r);
    }
    record->before_version = pc_mpack_read_uint(r, UINT64_MAX);
    record->before_deadline_ms = pc_mpack_read_uint(r, PC_CLOCK_MS_MAX + PC_TTL_MS_MAX);
    parts->type = pc_mpack_read_bin(r, PC_CONTENT_TYPE_BYTES_MAX);
    parts->has_value = pc_mpack_peek(r) != PC_MPACK_NIL;
    if (parts->has_value) {
        parts->value = pc_mpack_read_bin(r, PC_VALUE_BYTES_MAX);
    } else {
        pc_mpack_read_nil(r);
    }
}

static pc_err keep_parts(struct pc_branch_record *record, const struct record_parts *parts)
{
    pc_err err = pc_blob_new(parts->command, &record->command);
    if (err == PC_OK && parts->has_value) {
        err = pc_blob_new(parts->value, &record->before);
    }
    if (err != PC_OK) {
        pc_branch_record_clear(record);
    }
    return err;
}

pc_err pc_branch_record_decode(struct pc_slice body, struct pc_branch_record *out)
{
    struct pc_branch_record record = {0};
    struct record_parts parts = {0};
    struct pc_command command;
    struct pc_mpack_reader r = pc_mpack_reader_of(body);
    if (pc_mpack_read_array(&r) != 5) {
        pc_mpack_fail(&r);
    }
    record.number = pc_mpack_read_uint(&r, UINT64_MAX);
    record.stamp_ms = pc_mpack_read_uint(&r, PC_CLOCK_MS_MAX);
    record.boot = pc_mpack_read_uint(&r, UINT64_MAX);
    parts.command = pc_mpack_read_bin(&r, PC_COMMAND_BYTES_MAX);
    read_before(&r, &record, &parts);
    if (pc_mpack_finish(&r) != PC_OK || record.number == 0 ||
        (record.has_before && record.before_version == 0) ||
        (parts.type.len > 0 && memchr(parts.type.data, 0, parts.type.len) != NULL) ||
        pc_wire_decode_command(parts.command, &command) != PC_OK || command.op == PC_OP_TICK) {
        return PC_E_MALFORMED;
    }
    if (parts.type.len > 0) {
        memcpy(record.before_type, parts.type.data, parts.type.len);
    }
    pc_err err = keep_parts(&record, &parts);
    if (err == PC_OK) {
        *out = record;
    }
    return err;
}

void pc_branch_end_encode(const struct branch_end *end, struct pc_buf *out)
{
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, 3);
    pc_mpack_write_uint(&w, end->records);
    pc_mpack_write_uint(&w, end->last);
    pc_mpack_write_uint(&w, end->ended_ms);
}

pc_err pc_branch_end_decode(struct pc_slice body, struct branch_end *out)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(body);
    if (pc_mpack_read_array(&r) != 3) {
        pc_mpack_fail(&r);
    }
    struct branch_end end = {.records = pc_mpack_read_uint(&r, UINT64_MAX)};
    end.last = pc_mpack_read_uint(&r, UINT64_MAX);
    end.ended_ms = pc_mpack_read_uint(&r, BRANCH_WALL_MS_MAX);
    if (pc_mpack_finish(&r) != PC_OK || end.records > end.last) {
        return PC_E_MALFORMED;
    }
    *out = end;
    return PC_OK;
}

void pc_branch_resumed_encode(pc_ms wall_ms, struct pc_buf *out)
{
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, 1);
    pc_mpack_write_uint(&w, wall_ms);
}
