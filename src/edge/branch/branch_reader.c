/* A branch file from its header to its end.
 *
 *     header, frame, frame, frame ... [END]
 *
 * A frame that is not whole may be the torn tail of the last write, whose records nobody was told
 * of: that is the end of the file. Or it is damage, and acknowledged records stand there and behind
 * it. Every frame carries where the last one ended that was durable when it was written, so:
 *
 *     no frame at X, and behind it a whole one with synced > X    damage
 *                    and no such one                              a torn tail
 *
 * What an earlier torn tail left behind a later end says `synced` of its own time, which is no more
 * than X either. A frame stands right behind the one before, or in the next sector: then another
 * sync wrote it. A file whose last sync alone was damaged later cannot be told from a torn one,
 * unless it was closed: END was written when everything in front of it was durable. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"
#include "pcache/crc32c.h"

#define SCAN_BYTES (64u * 1024)

struct pc_branch_reader {
    const struct pc_fs *fs;
    pc_fd fd;
    char path[BRANCH_DIR_BYTES_MAX + 96];
    struct pc_branch_info info;
    uint64_t at;     /* where the next frame begins */
    uint32_t before; /* what it must carry as such */
    uint64_t past;   /* PC_E_CORRUPT was said: where to go on; 0 = not */
    struct {
        uint64_t of;    /* what stands behind the bad frame here; 0 = nothing is looked for */
        uint64_t next;  /* looked through up to here */
        uint64_t first; /* whole frame that was found; 0 = none */
    } scan;
    struct pc_buf room;
};

static pc_err corrupt(const struct pc_branch_reader *reader, uint64_t at, struct pc_error *error)
{
    const char *slash = strrchr(reader->path, '/');
    return pc_error_set(error, PC_E_CORRUPT, "%.120s: damaged at byte %" PRIu64,
        slash != NULL ? slash + 1 : reader->path, at);
}

/* Exactly len bytes; *whole false: the file ends before. */
static pc_err read_exact(struct pc_branch_reader *reader, uint64_t at, uint8_t *out, size_t len,
    bool *whole, struct pc_error *error)
{
    size_t got = 0;
    pc_err err = reader->fs->read_at(reader->fs->context, reader->fd, at, out, len, &got, error);
    *whole = err == PC_OK && got == len;
    return err;
}

static pc_err read_header(struct pc_branch_reader *reader, struct pc_error *error)
{
    uint8_t block[BRANCH_HEADER_BYTES];
    bool whole = false;
    pc_err err = read_exact(reader, 0, block, sizeof block, &whole, error);
    if (err != PC_OK) {
        return err;
    }
    err = whole ? pc_branch_header_decode(block, &reader->info.head) : PC_E_MALFORMED;
    if (err == PC_E_VERSION) {
        return pc_error_set(error, err,
            "%.120s: its format version %" PRIu32 " is not known to this program", reader->path,
            pc_get_u32(block + 8));
    }
    if (err != PC_OK) {
        return corrupt(reader, 0, error);
    }
    reader->at = BRANCH_HEADER_BYTES;
    reader->before = pc_branch_header_crc(block);
    return reader->fs->size(reader->fs->context, reader->fd, &reader->info.bytes, error);
}

pc_err pc_branch_reader_of(const struct pc_fs *fs, pc_fd fd, const char *path,
    struct pc_branch_reader **out, struct pc_error *error)
{
    struct pc_branch_reader *reader = pc_xalloc(sizeof *reader);
    reader->fs = fs;
    reader->fd = fd;
    PC_ASSERT(strlen(path) < sizeof reader->path);
    memcpy(reader->path, path, strlen(path) + 1);
    pc_err err = read_header(reader, error);
    if (err != PC_OK) {
        free(reader);
        return err;
    }
    *out = reader;
    return PC_OK;
}

pc_err pc_branch_reader_open(
    const struct pc_fs *fs, const char *path, struct pc_branch_reader **out, struct pc_error *error)
{
    pc_fd fd;
    if (strlen(path) >= sizeof((struct pc_branch_reader *)0)->path) {
        return pc_error_set(error, PC_E_INVALID, "the name of the file is too long");
    }
    pc_err err = fs->open_read(fs->context, path, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = pc_branch_reader_of(fs, fd, path, out, error);
    if (err != PC_OK) {
        fs->close(fs->context, fd);
    }
    return err;
}

pc_fd pc_branch_reader_release(struct pc_branch_reader *reader)
{
    pc_fd fd = reader->fd;
    pc_buf_destroy(&reader->room);
    free(reader);
    return fd;
}

void pc_branch_reader_close(struct pc_branch_reader *reader)
{
    if (reader != NULL) {
        const struct pc_fs *fs = reader->fs;
        fs->close(fs->context, pc_branch_reader_release(reader));
    }
}

const struct pc_branch_info *pc_branch_reader_info(const struct pc_branch_reader *reader)
{
    return &reader->info;
}

struct pc_branch_place pc_branch_reader_place(const struct pc_branch_reader *reader)
{
    return (struct pc_branch_place){.at = reader->at,
        .records = reader->info.records,
        .last = reader->info.last,
        .before = reader->before};
}

void pc_branch_reader_seek(struct pc_branch_reader *reader, const struct pc_branch_place *place)
{
    if (place->at == 0) {
        return;
    }
    reader->at = place->at;
    reader->before = place->before;
    reader->info.records = place->records;
    reader->info.last = place->last;
}

/* ---- what stands behind a bad frame */

/* Looks through one window from scan.next on, which goes behind it, for whole heads of frames.
 * *found: one says that what stands at `of` was durable. *ended: there is no more. */
static pc_err scan_window(
    struct pc_branch_reader *reader, bool *found, bool *ended, struct pc_error *error)
{
    size_t got = 0, i = 0;
    pc_buf_reset(&reader->room);
    pc_buf_reserve(&reader->room, SCAN_BYTES);
    uint8_t *window = reader->room.data;
    pc_err err = reader->fs->read_at(
        reader->fs->context, reader->fd, reader->scan.next, window, SCAN_BYTES, &got, error);
    *found = false;
    for (; err == PC_OK && i + BRANCH_FRAME_BYTES <= got && !*found; i += 8) {
        struct branch_frame frame;
        uint64_t at = reader->scan.next + i;
        if (pc_branch_frame_decode(reader->info.head.id, at, window + i, &frame)) {
            reader->scan.first = reader->scan.first == 0 ? at : reader->scan.first;
            *found = frame.synced > reader->scan.of;
        }
    }
    *ended = i == 0;
    reader->scan.next += i;
    return err;
}

/* A bad frame at `at`: PC_E_NOT_FOUND or PC_E_CORRUPT. PC_OK: after so many windows that is not
 * decided yet, and is to be asked again. */
static pc_err judge(
    struct pc_branch_reader *reader, uint64_t at, uint64_t windows, struct pc_error *error)
{
    if (reader->scan.of != at) {
        reader->scan.of = at;
        reader->scan.next = at + 8;
        reader->scan.first = 0;
    }
    for (; windows > 0; windows--) {
        bool found = false, ended = false;
        pc_err err = scan_window(reader, &found, &ended, error);
        if (err == PC_OK && found) {
            reader->past = reader->scan.first;
            err = corrupt(reader, at, error);
        } else if (err == PC_OK && ended) {
            err = PC_E_NOT_FOUND;
        }
        if (err != PC_OK) {
            reader->scan.of = 0;
            return err;
        }
    }
    return PC_OK;
}

void pc_branch_reader_skip(struct pc_branch_reader *reader)
{
    struct pc_error ignored;
    uint8_t bytes[BRANCH_FRAME_BYTES];
    struct branch_frame frame;
    bool whole = false;
    PC_ASSERT(reader->past > reader->at);
    reader->at = reader->past;
    reader->past = 0;
    pc_err err = read_exact(reader, reader->at, bytes, sizeof bytes, &whole, &ignored);
    /* It was whole a moment ago; if not, the next read says so. */
    if (err == PC_OK && whole &&
        pc_branch_frame_decode(reader->info.head.id, reader->at, bytes, &frame)) {
        reader->before = frame.before;
    }
}

/* ---- frame by frame */

/* The frame at `at`, its body in reader->room; *whole false: there is none. */
static pc_err read_frame(struct pc_branch_reader *reader, uint64_t at, struct branch_frame *frame,
    bool *whole, struct pc_error *error)
{
    uint8_t bytes[BRANCH_FRAME_BYTES];
    pc_err err = read_exact(reader, at, bytes, sizeof bytes, whole, error);
    *whole = *whole && pc_branch_frame_decode(reader->info.head.id, at, bytes, frame) &&
             frame->before == reader->before &&
             pc_branch_frame_size(frame) <= reader->info.bytes - at;
    if (err != PC_OK || !*whole) {
        return err;
    }
    pc_buf_reset(&reader->room);
    pc_buf_reserve(&reader->room, frame->bytes);
    reader->room.len = frame->bytes;
    err =
        read_exact(reader, at + BRANCH_FRAME_BYTES, reader->room.data, frame->bytes, whole, error);
    *whole =
        *whole && pc_crc32c(0, pc_slice_of(reader->room.data, frame->bytes)) == frame->body_crc;
    return err;
}

/* The next one; *at is where it stands, or should. */
static pc_err next_frame(struct pc_branch_reader *reader, uint64_t *at, struct branch_frame *frame,
    bool *whole, struct pc_error *error)
{
    uint64_t sector = pc_branch_next_sector(reader->at);
    *at = reader->at;
    pc_err err = read_frame(reader, *at, frame, whole, error);
    if (err != PC_OK || *whole || sector == *at) {
        return err;
    }
    err = read_frame(reader, sector, frame, whole, error);
    *at = *whole ? sector : *at;
    return err;
}

static pc_err take_record(
    struct pc_branch_reader *reader, struct pc_branch_record *out, struct pc_error *error)
{
    struct pc_branch_record record;
    pc_err err = pc_branch_record_decode(pc_slice_of(reader->room.data, reader->room.len), &record);
    if (err == PC_E_NOMEM) {
        return pc_error_set(error, err, "no memory for a record of a branch");
    }
    if (err == PC_OK && record.number <= reader->info.last) {
        pc_branch_record_clear(&record);
        err = PC_E_MALFORMED;
    }
    if (err != PC_OK) {
        return err;
    }
    reader->info.last = record.number;
    *out = record;
    return PC_OK;
}

static pc_err take_end(struct pc_branch_reader *reader)
{
    struct branch_end end;
    pc_err err = pc_branch_end_decode(pc_slice_of(reader->room.data, reader->room.len), &end);
    if (err != PC_OK || end.records < reader->info.records || end.last < reader->info.last) {
        return PC_E_MALFORMED;
    }
    reader->info.is_ended = true;
    reader->info.ended_ms = end.ended_ms;
    reader->info.last = end.last;
    return PC_E_NOT_FOUND;
}

/* What the frame at `at` says. Whole, but not what this program makes: behind it things go on as
 * behind damage. */
static pc_err take(struct pc_branch_reader *reader, uint64_t at, const struct branch_frame *frame,
    struct pc_branch_record *out, struct pc_error *error)
{
    pc_err err = PC_OK;
    if (frame->type == BRANCH_BODY_END) {
        err = take_end(reader);
    } else if (frame->type == BRANCH_BODY_RECORD && out != NULL) {
        err = take_record(reader, out, error);
    } else if (frame->type == BRANCH_BODY_RECORD) {
        reader->info.last++; /* as good as any: the end says what it was */
    }
    if (err == PC_E_MALFORMED) {
        reader->past = at + pc_branch_frame_size(frame);
        return corrupt(reader, at, error);
    }
    if (err == PC_OK) {
        reader->at = at + pc_branch_frame_size(frame);
        reader->before = frame->crc;
    }
    return err;
}

/* As pc_branch_reader_next; *pauses: not decided, see judge. */
static pc_err advance(struct pc_branch_reader *reader, struct pc_branch_record *out,
    uint64_t windows, bool *pauses, struct pc_error *error)
{
    PC_ASSERT(reader->past == 0);
    *pauses = false;
    while (!reader->info.is_ended) {
        struct branch_frame frame = {0};
        bool whole = false;
        uint64_t at = 0;
        pc_err err = next_frame(reader, &at, &frame, &whole, error);
        if (err == PC_OK && !whole) {
            err = judge(reader, at, windows, error);
            *pauses = err == PC_OK;
        } else if (err == PC_OK) {
            err = take(reader, at, &frame, out, error);
        }
        if (err != PC_OK || *pauses) {
            return err;
        }
        if (frame.type == BRANCH_BODY_RECORD) {
            reader->info.records++;
            return PC_OK;
        }
    }
    return PC_E_NOT_FOUND;
}

pc_err pc_branch_reader_next(
    struct pc_branch_reader *reader, struct pc_branch_record *out, struct pc_error *error)
{
    bool pauses;
    return advance(reader, out, UINT64_MAX, &pauses, error);
}

bool pc_branch_reader_look(struct pc_branch_reader *reader, uint64_t bytes)
{
    struct pc_error ignored;
    uint64_t end = reader->at + bytes;
    bool pauses = false;
    while (!pauses && reader->at < end) {
        pc_err err = advance(reader, NULL, 1 + bytes / SCAN_BYTES, &pauses, &ignored);
        if (err == PC_E_CORRUPT) {
            pc_branch_reader_skip(reader);
        } else if (err != PC_OK) {
            return false;
        }
    }
    return true;
}
