/* A branch file, written.
 *
 *     begin   branch.new: header, fdatasync -> rename to branch.open -> fsync(directory)
 *     sync    frames behind what is durable, fdatasync
 *     end     END, fdatasync -> rename into rollback/ -> fsync(both directories)
 *
 * A power cut may spoil whole sectors that are being written, so a sync writes to none that has
 * something durable in it. Frames are put behind what is durable, wherever an earlier write that
 * failed may have left off: their checksums tell them from what lies there (branch_format.c).
 *
 * A sync that failed is never tried again on the same descriptor, nor is what it shows behind
 * `end` believed. To close such a branch, what is durable of it is copied aside and takes its
 * place. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"
#include "pcache/crc32c.h"

#define COPY_BYTES (256u * 1024)

static struct pc_branch_writer *writer_new(const struct pc_fs *fs, const char *dir)
{
    struct pc_branch_writer *writer = pc_xalloc(sizeof *writer);
    PC_ASSERT(strlen(dir) < sizeof writer->dir);
    writer->fs = fs;
    memcpy(writer->dir, dir, strlen(dir) + 1);
    return writer;
}

/* Where what waits goes to. */
static uint64_t write_at(const struct pc_branch_writer *writer)
{
    return pc_branch_next_sector(writer->end);
}

static void drop_waiting(struct pc_branch_writer *writer)
{
    pc_buf_reset(&writer->out);
    writer->out_before = writer->before;
    writer->out_records = writer->records;
    writer->out_last = writer->last;
}

static void keep_waiting(struct pc_branch_writer *writer)
{
    writer->end = write_at(writer) + writer->out.len;
    writer->before = writer->out_before;
    writer->records = writer->out_records;
    writer->last = writer->out_last;
    pc_buf_reset(&writer->out);
}

/* ---- beginning */

/* A new file of this name in dir, open, with these bytes, durable but for its name. */
static pc_err make_file(const struct pc_fs *fs, const char *path, struct pc_slice bytes, pc_fd *fd,
    struct pc_error *error)
{
    struct pc_error ignored;
    (void)fs->unlink(fs->context, path, &ignored); /* left over from a crash, perhaps */
    pc_err err = fs->open(fs->context, path, true, true, fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = fs->write_at(fs->context, *fd, 0, bytes, error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, *fd, error);
    }
    if (err != PC_OK) {
        fs->close(fs->context, *fd);
        (void)fs->unlink(fs->context, path, &ignored);
    }
    return err;
}

static pc_err begin_file(struct pc_branch_writer *writer, const struct branch_path *aside,
    const struct branch_path *open, struct pc_error *error)
{
    const struct pc_fs *fs = writer->fs;
    uint8_t block[BRANCH_HEADER_BYTES];
    pc_branch_header_encode(&writer->head, block);
    pc_err err = make_file(fs, aside->text, pc_slice_of(block, sizeof block), &writer->fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = fs->rename(fs->context, aside->text, open->text, error);
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, writer->dir, error);
    }
    if (err != PC_OK) {
        fs->close(fs->context, writer->fd);
        return err;
    }
    writer->end = BRANCH_HEADER_BYTES;
    writer->before = pc_branch_header_crc(block);
    drop_waiting(writer);
    return PC_OK;
}

pc_err pc_branch_writer_begin(const struct pc_fs *fs, const char *dir,
    const struct pc_branch_head *head, struct pc_branch_writer **out, struct pc_error *error)
{
    struct branch_path aside, open;
    pc_fd fd;
    if (!pc_branch_join(dir, BRANCH_NEW_NAME, &aside) ||
        !pc_branch_join(dir, PC_BRANCH_OPEN_NAME, &open)) {
        return pc_error_set(error, PC_E_INVALID, "data directory: the path is too long");
    }
    pc_err err = fs->open_read(fs->context, open.text, &fd, error);
    if (err == PC_OK) {
        fs->close(fs->context, fd);
        return pc_error_set(error, PC_E_EXISTS, "there is an open branch");
    }
    if (err != PC_E_NOT_FOUND) {
        return err;
    }
    struct pc_branch_writer *writer = writer_new(fs, dir);
    writer->head = *head;
    if (writer->head.begun_ms > BRANCH_WALL_MS_MAX) {
        writer->head.begun_ms = BRANCH_WALL_MS_MAX;
    }
    err = begin_file(writer, &aside, &open, error);
    if (err != PC_OK) {
        free(writer);
        return pc_error_wrap(error, PC_BRANCH_OPEN_NAME);
    }
    *out = writer;
    return PC_OK;
}

struct pc_branch_writer *pc_branch_writer_of(
    const struct pc_fs *fs, const char *dir, struct pc_branch_reader *reader)
{
    struct pc_branch_writer *writer = writer_new(fs, dir);
    const struct pc_branch_info *info = pc_branch_reader_info(reader);
    struct pc_branch_place place = pc_branch_reader_place(reader);
    writer->head = info->head;
    writer->end = place.at;
    writer->before = place.before;
    writer->records = place.records;
    writer->last = place.last;
    writer->fd = pc_branch_reader_release(reader);
    drop_waiting(writer);
    return writer;
}

const struct pc_branch_head *pc_branch_writer_head(const struct pc_branch_writer *writer)
{
    return &writer->head;
}

uint64_t pc_branch_writer_last(const struct pc_branch_writer *writer)
{
    return writer->last;
}

size_t pc_branch_writer_waiting(const struct pc_branch_writer *writer)
{
    return writer->out.len;
}

/* ---- frames */

/* Adds the body in writer->body to what waits. */
static void put_frame(struct pc_branch_writer *writer, enum branch_body type)
{
    static const uint8_t zeros[8];
    uint8_t bytes[BRANCH_FRAME_BYTES];
    struct pc_slice body = pc_slice_of(writer->body.data, writer->body.len);
    struct branch_frame frame = {.bytes = (uint32_t)body.len,
        .synced = writer->end,
        .before = writer->out_before,
        .body_crc = pc_crc32c(0, body),
        .type = type};
    pc_branch_frame_encode(writer->head.id, write_at(writer) + writer->out.len, &frame, bytes);
    pc_buf_append(&writer->out, bytes, sizeof bytes);
    pc_buf_append(&writer->out, body.data, body.len);
    pc_buf_append(&writer->out, zeros, (8 - body.len % 8) % 8);
    writer->out_before = frame.crc;
}

void pc_branch_writer_put(struct pc_branch_writer *writer, const struct pc_branch_record *record)
{
    PC_ASSERT(!writer->failed);
    PC_ASSERT(record->number == writer->out_last + 1);
    pc_buf_reset(&writer->body);
    pc_branch_record_encode(record, &writer->body);
    put_frame(writer, BRANCH_BODY_RECORD);
    writer->out_records++;
    writer->out_last = record->number;
}

/* Whether somebody who reads the file now comes to more than what is durable. PC_OK: no. */
static pc_err is_as_before(const struct pc_branch_writer *writer, struct pc_error *error)
{
    struct branch_path open;
    struct pc_branch_reader *reader = NULL;
    const struct pc_branch_place end = {.at = writer->end,
        .records = writer->records,
        .last = writer->last,
        .before = writer->before};
    bool fits = pc_branch_join(writer->dir, PC_BRANCH_OPEN_NAME, &open);
    PC_ASSERT(fits); /* it did at the beginning */
    pc_err err = pc_branch_reader_open(writer->fs, open.text, &reader, error);
    if (err != PC_OK) {
        return err;
    }
    pc_branch_reader_seek(reader, &end);
    err = pc_branch_reader_next(reader, NULL, error);
    if (err == PC_OK || (err == PC_E_NOT_FOUND && pc_branch_reader_place(reader).at != end.at)) {
        err = pc_error_set(error, PC_E_IO, "records that were refused cannot be taken out again");
    } else if (err == PC_E_NOT_FOUND) {
        err = PC_OK;
    }
    pc_branch_reader_close(reader);
    return err;
}

/* A write that failed may have left whole frames. Without the head of the first one none of them
 * counts. A file system that copies what is overwritten may have no room even for that; then it
 * depends on what the write has left. */
static pc_err undo(struct pc_branch_writer *writer, struct pc_error *error)
{
    static const uint8_t zeros[BRANCH_FRAME_BYTES];
    const struct pc_fs *fs = writer->fs;
    pc_err err = fs->write_at(
        fs->context, writer->fd, write_at(writer), pc_slice_of(zeros, sizeof zeros), error);
    if (err != PC_OK) {
        return err == PC_E_NO_SPACE ? is_as_before(writer, error) : err;
    }
    err = fs->sync(fs->context, writer->fd, error);
    writer->sync_failed = err != PC_OK;
    return err;
}

pc_err pc_branch_writer_sync(struct pc_branch_writer *writer, struct pc_error *error)
{
    const struct pc_fs *fs = writer->fs;
    struct pc_slice bytes = pc_slice_of(writer->out.data, writer->out.len);
    struct pc_error other;
    PC_ASSERT(!writer->failed);
    if (bytes.len == 0) {
        return PC_OK;
    }
    pc_err err = fs->write_at(fs->context, writer->fd, write_at(writer), bytes, error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, writer->fd, error);
        writer->sync_failed = err != PC_OK;
        if (err == PC_E_NO_SPACE) { /* what it moved to the disk may be there all the same */
            err = error->code = PC_E_IO;
        }
    } else if (undo(writer, &other) != PC_OK) {
        *error = other;
        err = error->code = other.code != PC_E_NO_SPACE ? other.code : PC_E_IO;
    } else {
        writer->undone = true;
    }
    if (err == PC_OK) {
        keep_waiting(writer);
        return PC_OK;
    }
    writer->failed = true;
    drop_waiting(writer);
    return pc_error_wrap(error, PC_BRANCH_OPEN_NAME);
}

pc_err pc_branch_writer_resume(
    struct pc_branch_writer *writer, pc_ms wall_ms, struct pc_error *error)
{
    if (writer->failed && !writer->undone) {
        return pc_error_set(error, PC_E_IO, "%s: a write to it has failed", PC_BRANCH_OPEN_NAME);
    }
    writer->failed = writer->undone = false;
    pc_buf_reset(&writer->body);
    pc_branch_resumed_encode(wall_ms, &writer->body);
    put_frame(writer, BRANCH_BODY_RESUMED);
    return pc_branch_writer_sync(writer, error);
}

/* ---- ending */

/* What is durable and an END, as a file of its own in the place of branch.open. */
static pc_err copy_prefix(struct pc_branch_writer *writer, pc_fd to, struct pc_error *error)
{
    const struct pc_fs *fs = writer->fs;
    struct pc_buf room = {0};
    pc_buf_reserve(&room, COPY_BYTES);
    pc_err err = PC_OK;
    for (uint64_t at = BRANCH_HEADER_BYTES; at < writer->end && err == PC_OK;) {
        uint64_t left = writer->end - at;
        size_t want = left < COPY_BYTES ? (size_t)left : COPY_BYTES, got = 0;
        err = fs->read_at(fs->context, writer->fd, at, room.data, want, &got, error);
        if (err == PC_OK && got == 0) {
            err = pc_error_set(error, PC_E_CORRUPT, "the file is shorter than it was");
        }
        if (err == PC_OK) {
            err = fs->write_at(fs->context, to, at, pc_slice_of(room.data, got), error);
        }
        at += got;
    }
    pc_buf_destroy(&room);
    if (err == PC_OK && writer->out.len > 0) {
        err = fs->write_at(fs->context, to, write_at(writer),
            pc_slice_of(writer->out.data, writer->out.len), error);
    }
    return err == PC_OK ? fs->sync(fs->context, to, error) : err;
}

static pc_err replace_by_copy(struct pc_branch_writer *writer, struct pc_error *error)
{
    const struct pc_fs *fs = writer->fs;
    struct branch_path aside, open;
    uint8_t block[BRANCH_HEADER_BYTES];
    pc_fd fd;
    bool fits = pc_branch_join(writer->dir, BRANCH_NEW_NAME, &aside) &&
                pc_branch_join(writer->dir, PC_BRANCH_OPEN_NAME, &open);
    PC_ASSERT(fits); /* it did at the beginning */
    pc_branch_header_encode(&writer->head, block);
    pc_err err = make_file(fs, aside.text, pc_slice_of(block, sizeof block), &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = copy_prefix(writer, fd, error);
    fs->close(fs->context, fd);
    if (err == PC_OK) {
        err = fs->rename(fs->context, aside.text, open.text, error);
    }
    return err == PC_OK ? fs->sync_dir(fs->context, writer->dir, error) : err;
}

static void put_end(struct pc_branch_writer *writer, uint64_t last, pc_ms wall_ms)
{
    struct branch_end end = {.records = writer->records,
        .last = last,
        .ended_ms = wall_ms < BRANCH_WALL_MS_MAX ? wall_ms : BRANCH_WALL_MS_MAX};
    drop_waiting(writer);
    pc_buf_reset(&writer->body);
    pc_branch_end_encode(&end, &writer->body);
    put_frame(writer, BRANCH_BODY_END);
}

static pc_err write_end(struct pc_branch_writer *writer, struct pc_error *error)
{
    const struct pc_fs *fs = writer->fs;
    if (!writer->sync_failed) {
        pc_err err = fs->write_at(fs->context, writer->fd, write_at(writer),
            pc_slice_of(writer->out.data, writer->out.len), error);
        if (err != PC_OK) {
            return err;
        }
        err = fs->sync(fs->context, writer->fd, error);
        writer->sync_failed = err != PC_OK;
    }
    return writer->sync_failed ? replace_by_copy(writer, error) : PC_OK;
}

pc_err pc_branch_writer_finish(
    struct pc_branch_writer *writer, uint64_t last, pc_ms wall_ms, struct pc_error *error)
{
    pc_err err = pc_branch_writer_sync(writer, error);
    if (err != PC_OK) {
        return err;
    }
    PC_ASSERT(last >= writer->last);
    put_end(writer, last, wall_ms);
    err = pc_branch_writer_sync(writer, error);
    writer->failed = true;
    return err;
}

static pc_err remove_open(struct pc_branch_writer *writer, struct pc_error *error)
{
    struct branch_path open;
    bool fits = pc_branch_join(writer->dir, PC_BRANCH_OPEN_NAME, &open);
    PC_ASSERT(fits);
    pc_err err = writer->fs->unlink(writer->fs->context, open.text, error);
    return err == PC_OK ? writer->fs->sync_dir(writer->fs->context, writer->dir, error) : err;
}

static pc_err close_file(
    struct pc_branch_writer *writer, pc_ms wall_ms, const char *name, struct pc_error *error)
{
    if (writer->records == 0) {
        return remove_open(writer, error);
    }
    put_end(writer, writer->last, wall_ms);
    pc_err err = write_end(writer, error);
    return err == PC_OK ? pc_branch_move(writer->fs, writer->dir, PC_BRANCH_OPEN_NAME, name, error)
                        : err;
}

pc_err pc_branch_writer_end(struct pc_branch_writer *writer, pc_ms wall_ms,
    struct pc_branch_info *info, struct pc_error *error)
{
    struct pc_error ignored;
    if (!writer->failed && pc_branch_writer_sync(writer, &ignored) != PC_OK) {
        PC_ASSERT(writer->failed); /* what is durable is closed */
    }
    struct pc_branch_info done = {.head = writer->head,
        .records = writer->records,
        .last = writer->last,
        .is_ended = true,
        .ended_ms = wall_ms};
    if (writer->records > 0) {
        pc_branch_name(&writer->head, writer->records, done.name);
    }
    pc_err err = close_file(writer, wall_ms, done.name, error);
    writer->failed = true;
    if (err != PC_OK) {
        return pc_error_wrap(error, "close a branch");
    }
    done.bytes = write_at(writer) + writer->out.len;
    *info = done;
    return PC_OK;
}

void pc_branch_writer_close(struct pc_branch_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    writer->fs->close(writer->fs->context, writer->fd);
    pc_buf_destroy(&writer->out);
    pc_buf_destroy(&writer->body);
    free(writer);
}
