/* Segment files. A segment is complete before it has its name:
 *
 *   spare.tmp   zeros written and synced, step by step    (nobody waits: the log thread is idle)
 *   spare.tmp   header block written and synced           (the segment before is synced by now)
 *   log-N.seg   renamed, directory synced                 (from here on it is the newest segment)
 *
 * Hence a segment with a bad header is always damage, never a torn creation, and whatever is in a
 * segment that has a successor was durable. A spare left behind by a crash is made anew.
 *
 * As the disk fills up the segments get smaller: none takes more than a quarter of what is free, so
 * that what is meant for the last deletes and elections is not used up by zeros.
 *
 * A new segment begins only behind the first index of the one before, so that names ascend in the
 * order of writing even when truncations go back over a segment's start. In that rare case the
 * current file grows instead. */
#include "wal_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/crc32c.h"

#define SPARE_NAME "spare.tmp"
#define NAME_PREFIX "log-"
#define FILL_PREFIX "fix-"
#define NAME_SUFFIX ".seg"
#define NAME_DIGITS 16
#define SEGMENT_BYTES_MIN (UINT64_C(64) << 10)

static const uint8_t segment_magic[8] = {'p', 'c', 'a', 'c', 'h', 'l', 'o', 'g'};

enum {
    AT_STAMP = 0,
    AT_MAGIC = 8,
    AT_VERSION = 16,
    AT_BLOCK_BYTES = 20,
    AT_NUMBER = 24,
    AT_FIRST = 32,
    AT_BEFORE = 40,
    AT_BLOCKS = 56,
    AT_CRC = 60,
    HEADER_USED = 64,
};

void pc_wal_path(const struct pc_wal *wal, const char *name, struct wal_path *out)
{
    int used = snprintf(out->text, sizeof out->text, "%s/%s", wal->dir, name);
    PC_ASSERT(used > 0 && (size_t)used < sizeof out->text);
}

void pc_wal_segment_name(pc_index first, char *out, size_t cap)
{
    int used = snprintf(out, cap, NAME_PREFIX "%016" PRIx64 NAME_SUFFIX, first);
    PC_ASSERT(used > 0 && (size_t)used < cap);
}

void pc_wal_segment_file(const struct wal_segment *segment, char *out, size_t cap)
{
    bool is_fill = (segment->number & WAL_NUMBER_FILL) != 0;
    int used = snprintf(
        out, cap, "%s%016" PRIx64 NAME_SUFFIX, is_fill ? FILL_PREFIX : NAME_PREFIX, segment->first);
    PC_ASSERT(used > 0 && (size_t)used < cap);
}

static pc_index parse_name(const char *name, const char *start)
{
    size_t prefix = strlen(start);
    if (strlen(name) != prefix + NAME_DIGITS + strlen(NAME_SUFFIX) ||
        strncmp(name, start, prefix) != 0 ||
        strcmp(name + prefix + NAME_DIGITS, NAME_SUFFIX) != 0) {
        return 0;
    }
    pc_index first = 0;
    for (size_t i = 0; i < NAME_DIGITS; i++) {
        char c = name[prefix + i];
        unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
        if (digit > 15 || (digit > 9 && (c < 'a' || c > 'f'))) {
            return 0;
        }
        first = first << 4 | digit;
    }
    return first;
}

pc_index pc_wal_segment_parse_name(const char *name)
{
    return parse_name(name, NAME_PREFIX);
}

pc_index pc_wal_fill_parse_name(const char *name)
{
    return parse_name(name, FILL_PREFIX);
}

void pc_wal_segment_encode_header(const struct wal_segment *segment, uint8_t *block)
{
    memset(block, 0, WAL_BLOCK_BYTES);
    pc_put_u64(block + AT_STAMP, pc_wal_stamp(segment->number, 0));
    memcpy(block + AT_MAGIC, segment_magic, sizeof segment_magic);
    pc_put_u32(block + AT_VERSION, WAL_VERSION);
    pc_put_u32(block + AT_BLOCK_BYTES, WAL_BLOCK_BYTES);
    pc_put_u64(block + AT_NUMBER, segment->number);
    pc_put_u64(block + AT_FIRST, segment->first);
    memcpy(block + AT_BEFORE, segment->before.b, sizeof segment->before.b);
    pc_put_u32(block + AT_BLOCKS, segment->blocks);
    pc_put_u32(block + AT_CRC, pc_crc32c(0, pc_slice_of(block, AT_CRC)));
}

static pc_err damaged(const char *name, const char *why, struct pc_error *error)
{
    return pc_error_set(error, PC_E_CORRUPT, "%s: damaged at offset 0: %s", name, why);
}

static pc_err decode_header(
    const uint8_t *block, const char *name, struct wal_segment *out, struct pc_error *error)
{
    if (memcmp(block + AT_MAGIC, segment_magic, sizeof segment_magic) != 0 ||
        pc_get_u32(block + AT_CRC) != pc_crc32c(0, pc_slice_of(block, AT_CRC))) {
        return damaged(name, "the segment header is not valid", error);
    }
    uint32_t version = pc_get_u32(block + AT_VERSION);
    if (version != WAL_VERSION || pc_get_u32(block + AT_BLOCK_BYTES) != WAL_BLOCK_BYTES) {
        return pc_error_set(error, PC_E_VERSION,
            "%s: format version %" PRIu32 " is not known to this program, which writes %u", name,
            version, WAL_VERSION);
    }
    struct wal_segment segment = {
        .number = pc_get_u64(block + AT_NUMBER),
        .first = pc_get_u64(block + AT_FIRST),
        .blocks = pc_get_u32(block + AT_BLOCKS),
    };
    memcpy(segment.before.b, block + AT_BEFORE, sizeof segment.before.b);
    pc_index named =
        parse_name(name, (segment.number & WAL_NUMBER_FILL) != 0 ? FILL_PREFIX : NAME_PREFIX);
    if (segment.first != named) {
        return damaged(name, "the header names another first index than the file name", error);
    }
    *out = segment;
    return PC_OK;
}

#define STAMPS_LOOKED_AT 64
#define NUMBERS_TRIED 4096

/* The number of a segment whose header is lost, by the stamps of its first blocks; 0 = they tell
 * nothing. Two of them must agree: one alone might be noise. */
static uint64_t number_by_stamps(const uint8_t *blocks, size_t n, uint64_t lowest)
{
    for (uint64_t number = lowest; number - lowest < NUMBERS_TRIED; number++) {
        size_t fit = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t block = (uint32_t)i;
            fit += pc_wal_block_was_written(blocks + i * WAL_BLOCK_BYTES, number, block) ? 1 : 0;
        }
        if (fit >= 2) {
            return number;
        }
    }
    return 0;
}

pc_err pc_wal_segment_read_header(const struct pc_fs *fs, pc_fd fd, const char *name,
    uint64_t lowest, struct wal_segment *out, struct pc_error *error)
{
    size_t cap = STAMPS_LOOKED_AT * (size_t)WAL_BLOCK_BYTES;
    uint8_t *blocks = pc_xalloc(cap);
    size_t got = 0;
    uint64_t bytes = 0;
    pc_err err = fs->read_at(fs->context, fd, 0, blocks, cap, &got, error);
    if (err == PC_OK) {
        err = fs->size(fs->context, fd, &bytes, error);
    }
    if (err != PC_OK) {
        free(blocks);
        return pc_error_wrap(error, "%s", name);
    }
    struct wal_segment segment = {0};
    err = got < WAL_BLOCK_BYTES ? damaged(name, "the file is too short for a header", error)
                                : decode_header(blocks, name, &segment, error);
    uint32_t made_with = segment.blocks;
    segment.blocks =
        bytes / WAL_BLOCK_BYTES < UINT32_MAX ? (uint32_t)(bytes / WAL_BLOCK_BYTES) : UINT32_MAX;
    if (err == PC_E_CORRUPT) {
        segment.number = number_by_stamps(blocks, got / WAL_BLOCK_BYTES, lowest);
        segment.first = pc_wal_segment_parse_name(name);
        segment.bad_header = true;
    }
    free(blocks);
    if (err != PC_OK && err != PC_E_CORRUPT) {
        return err;
    }
    if (err == PC_OK && segment.blocks < made_with) {
        /* The file may have grown since the header was written, but it never shrinks. */
        segment.is_short = true;
        segment.made_blocks = made_with;
        err = pc_error_set(error, PC_E_CORRUPT,
            "%s: damaged at offset %" PRIu64 ": the file was made with %" PRIu32
            " blocks of 512 bytes",
            name, bytes, made_with);
    }
    *out = segment;
    return err;
}

struct wal_segment *pc_wal_newest(struct pc_wal *wal)
{
    PC_ASSERT(wal->segments_n > 0);
    return &wal->segments[wal->segments_n - 1];
}

/* Zeros at from..to of a file, not synced. */
static pc_err write_zeros(
    struct pc_wal *wal, pc_fd fd, uint64_t from, uint64_t to, struct pc_error *error)
{
    const struct pc_fs *fs = wal->fs;
    while (from < to) {
        uint64_t len = to - from < WAL_ZEROS_BYTES ? to - from : WAL_ZEROS_BYTES;
        pc_err err = fs->write_at(fs->context, fd, from, pc_wal_zeros((size_t)len), error);
        if (err != PC_OK) {
            return err;
        }
        from += len;
    }
    return PC_OK;
}

static void spare_discard(struct pc_wal *wal)
{
    struct wal_path path;
    struct pc_error ignored;
    pc_wal_path(wal, SPARE_NAME, &path);
    wal->fs->close(wal->fs->context, wal->spare.fd);
    /* Should it stay, it only takes space until the next start makes it anew. */
    pc_err err = wal->fs->unlink(wal->fs->context, path.text, &ignored);
    (void)err;
    wal->spare = (struct wal_spare){0};
}

static uint64_t spare_target(const struct pc_wal *wal)
{
    uint64_t free_bytes = 0, total_bytes = 0;
    struct pc_error ignored;
    pc_err err = wal->fs->space(wal->fs->context, wal->dir, &free_bytes, &total_bytes, &ignored);
    if (err != PC_OK || total_bytes == 0) {
        return wal->segment_bytes;
    }
    uint64_t share = free_bytes / 4 / SEGMENT_BYTES_MIN * SEGMENT_BYTES_MIN;
    share = share > SEGMENT_BYTES_MIN ? share : SEGMENT_BYTES_MIN;
    return share < wal->segment_bytes ? share : wal->segment_bytes;
}

static pc_err spare_open(struct pc_wal *wal, struct pc_error *error)
{
    uint64_t target = spare_target(wal);
    struct wal_path path;
    struct pc_error ignored;
    pc_wal_path(wal, SPARE_NAME, &path);
    pc_err err = wal->fs->unlink(wal->fs->context, path.text, &ignored);
    if (err != PC_OK && err != PC_E_NOT_FOUND) {
        *error = ignored;
        return err;
    }
    err = wal->fs->open(wal->fs->context, path.text, true, true, &wal->spare.fd, error);
    if (err == PC_OK) {
        wal->spare.open = true;
        wal->spare.bytes = 0;
        wal->spare.target = target;
    }
    return err;
}

bool pc_wal_spare_is_complete(const struct pc_wal *wal)
{
    return wal->spare.open && wal->spare.bytes >= wal->spare.target;
}

pc_err pc_wal_spare_step(struct pc_wal *wal, uint64_t need, struct pc_error *error)
{
    pc_err err = wal->spare.open ? PC_OK : spare_open(wal, error);
    if (err != PC_OK) {
        return pc_error_wrap(error, "make the next segment");
    }
    uint64_t target = need > wal->spare.target ? need : wal->spare.target;
    uint64_t to = wal->spare.bytes + WAL_SPARE_STEP_BYTES;
    to = to < target ? to : target;
    err = write_zeros(wal, wal->spare.fd, wal->spare.bytes, to, error);
    if (err == PC_OK) {
        err = wal->fs->sync(wal->fs->context, wal->spare.fd, error);
    }
    if (err != PC_OK) {
        /* After a failed sync nothing that was written to this file may be relied on. */
        spare_discard(wal);
        return pc_error_wrap(error, "preallocate a segment of %" PRIu64 " bytes", target);
    }
    wal->spare.bytes = to;
    return PC_OK;
}

static pc_err spare_fill(struct pc_wal *wal, uint64_t need, struct pc_error *error)
{
    while (!pc_wal_spare_is_complete(wal) || wal->spare.bytes < need) {
        pc_err err = pc_wal_spare_step(wal, need, error);
        if (err != PC_OK) {
            return err;
        }
    }
    return PC_OK;
}

/* Gives the zeroed spare its header and its name. A failure is final: the file may or may not have
 * its name by then. */
static pc_err spare_name(
    struct pc_wal *wal, const struct wal_segment *segment, const char *name, struct pc_error *error)
{
    const struct pc_fs *fs = wal->fs;
    uint8_t header[WAL_BLOCK_BYTES];
    pc_wal_segment_encode_header(segment, header);
    pc_err err =
        fs->write_at(fs->context, wal->spare.fd, 0, pc_slice_of(header, sizeof header), error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, wal->spare.fd, error);
    }
    struct wal_path from;
    struct wal_path to;
    pc_wal_path(wal, SPARE_NAME, &from);
    pc_wal_path(wal, name, &to);
    if (err == PC_OK) {
        err = fs->rename(fs->context, from.text, to.text, error);
    }
    if (err != PC_OK) {
        return pc_wal_die(wal, err, error);
    }
    wal->spare.named = true;
    return PC_OK;
}

/* Makes the zeroed spare a segment. PC_E_AGAIN leaves it named: the batch that needs it comes again
 * and finds it so, and after a crash in between it is a segment that was begun and holds nothing.
 */
static pc_err spare_promote(
    struct pc_wal *wal, const struct wal_segment *segment, struct pc_error *error)
{
    char name[32];
    pc_wal_segment_name(segment->first, name, sizeof name);
    pc_err err = wal->spare.named ? PC_OK : spare_name(wal, segment, name, error);
    if (err == PC_OK) {
        err = wal->fs->sync_dir(wal->fs->context, wal->dir, error);
        if (err != PC_OK && err != PC_E_AGAIN) {
            err = pc_wal_die(wal, err, error);
        }
    }
    return err == PC_OK ? PC_OK : pc_error_wrap(error, "begin %s", name);
}

static void push_segment(struct pc_wal *wal, const struct wal_segment *segment)
{
    if (wal->segments_n == wal->segments_cap) {
        wal->segments_cap = wal->segments_cap == 0 ? 8 : wal->segments_cap * 2;
        wal->segments = pc_xrealloc(wal->segments, wal->segments_cap * sizeof *wal->segments);
    }
    wal->segments[wal->segments_n++] = *segment;
}

uint64_t pc_wal_first_number(const struct pc_wal *wal)
{
    return wal->vote.front.number != 0 ? wal->vote.front.number : 1;
}

pc_err pc_wal_segment_start(struct pc_wal *wal, uint32_t blocks, struct pc_error *error)
{
    uint64_t need = ((uint64_t)blocks + 1) * WAL_BLOCK_BYTES;
    pc_err err = wal->segments_n == 0 ? PC_OK : pc_wal_sync_now(wal, error);
    if (err == PC_OK) {
        err = spare_fill(wal, need, error);
        if (err == PC_E_NO_SPACE) { /* it was begun when there was more: smaller, then */
            err = spare_fill(wal, need, error);
        }
    }
    if (err != PC_OK) {
        return err;
    }
    struct wal_segment segment = {
        .number = wal->segments_n == 0 ? pc_wal_first_number(wal) : pc_wal_newest(wal)->number + 1,
        .first = wal->last + 1,
        .before = wal->chain,
        .blocks = (uint32_t)(wal->spare.bytes / WAL_BLOCK_BYTES),
    };
    PC_ASSERT(wal->segments_n == 0 || segment.first > pc_wal_newest(wal)->first); /* INV-WAL-4 */
    err = spare_promote(wal, &segment, error);
    if (err != PC_OK) {
        return err;
    }
    if (wal->fd_open) {
        wal->fs->close(wal->fs->context, wal->fd);
    }
    wal->fd = wal->spare.fd;
    wal->fd_open = true;
    wal->spare = (struct wal_spare){0};
    push_segment(wal, &segment);
    wal->next_block = 1;
    wal->durable_block = 1;
    wal->entries_block = 1;
    wal->noted_block = 1;
    wal->marks.due = true;
    struct wal_vote vote = wal->vote;
    vote.segments = segment.number;
    return pc_wal_vote_store(wal, &vote, error);
}

pc_err pc_wal_segment_grow(struct pc_wal *wal, uint32_t blocks, struct pc_error *error)
{
    struct wal_segment *segment = pc_wal_newest(wal);
    PC_ASSERT(wal->last + 1 <= segment->first);
    uint64_t from = (uint64_t)segment->blocks * WAL_BLOCK_BYTES;
    uint64_t want = (uint64_t)blocks * WAL_BLOCK_BYTES;
    uint64_t more = want > wal->segment_bytes / 4 ? want : wal->segment_bytes / 4;
    more = more / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    pc_err err = write_zeros(wal, wal->fd, from, from + more, error);
    if (err != PC_OK) {
        return pc_error_wrap(error, "grow a segment");
    }
    err = wal->fs->sync(wal->fs->context, wal->fd, error);
    if (err != PC_OK) {
        /* It is the log's own file: as final as any other failed sync of it. */
        (void)pc_wal_die(wal, err, error);
        return pc_error_wrap(error, "grow a segment");
    }
    segment->blocks += (uint32_t)(more / WAL_BLOCK_BYTES);
    return PC_OK;
}
