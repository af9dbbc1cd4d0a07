/* A snapshot file from its first byte to its name.
 *
 *     header, chunk, chunk ... (fdatasync now and then)
 *         -> table, meta, trailer -> fdatasync -> rename -> fsync(directory) -> the older ones go
 *
 * The older ones are this node's only ones until then. What another node has sent is therefore
 * looked into first, while its chunks pass by: with the right hash and items that are not those of
 * its digest it could not be loaded, and would have taken the place of one that can.
 *
 * The footer stands behind the chunks because what it says is known last, so everything is written
 * once, in order. Its end is the end of the file: a file that lost its end has no trailer.
 *
 * An error leaves nothing to be mended: the file has no name yet, and goes. Only what has come from
 * another node stays, as far as its chunks are whole, for the transfer may have been long. A sync
 * that failed is never tried again on the same descriptor; whoever goes on with such a file opens
 * it anew, sees what the disk has, and believes checksums alone. */
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/crc32c.h"
#include "snap_int.h"

/* Unsynced bytes at most, about: a sync that has gigabytes to move would hold up the log's on the
 * same disk. */
#define SYNC_BYTES (4u << 20)

static pc_err fail(struct pc_snap_writer *writer, const char *name, struct pc_error *error)
{
    writer->failed = true;
    return pc_error_wrap(error, "%s", name);
}

static pc_err write_out(struct pc_snap_writer *writer, struct pc_error *error)
{
    struct pc_slice bytes = pc_slice_of(writer->out.data, writer->out.len);
    pc_err err = writer->fs->write_at(writer->fs->context, writer->fd, writer->at, bytes, error);
    return err == PC_OK ? PC_OK : fail(writer, writer->name, error);
}

static pc_err sync_file(struct pc_snap_writer *writer, struct pc_error *error)
{
    pc_err err = writer->fs->sync(writer->fs->context, writer->fd, error);
    writer->synced_at = writer->at;
    return err == PC_OK ? PC_OK : fail(writer, writer->name, error);
}

static pc_err open_file(struct pc_snap_writer *writer, bool create, struct pc_error *error)
{
    struct snap_path path;
    PC_ASSERT(pc_snap_path(writer->dir, writer->name, &path));
    return writer->fs->open(writer->fs->context, path.text, create, create, &writer->fd, error);
}

/* A new file with nothing but its header. */
static pc_err begin_file(struct pc_snap_writer *writer, struct pc_error *error)
{
    pc_snap_remove(writer->fs, writer->dir, writer->name);
    pc_err err = open_file(writer, true, error);
    if (err != PC_OK) {
        return err;
    }
    uint8_t block[SNAP_HEADER_BYTES];
    pc_snap_header_encode(&writer->header, block);
    pc_buf_reset(&writer->out);
    pc_buf_append(&writer->out, block, sizeof block);
    writer->at = 0;
    err = write_out(writer, error);
    if (err != PC_OK) {
        writer->fs->close(writer->fs->context, writer->fd);
        pc_snap_remove(writer->fs, writer->dir, writer->name);
        return err;
    }
    writer->at = writer->synced_at = SNAP_HEADER_BYTES;
    return PC_OK;
}

/* Goes on with the file that is there, or begins it. */
static pc_err resume_file(struct pc_snap_writer *writer, struct pc_error *error)
{
    pc_snap_remove_all(
        writer->fs, writer->dir, SNAP_PART, 0, UINT64_MAX, writer->header.base.index);
    pc_err err = open_file(writer, false, error);
    if (err == PC_E_NOT_FOUND) {
        return begin_file(writer, error);
    }
    if (err != PC_OK) {
        return err;
    }
    err = pc_snap_resume(writer, error);
    if (err == PC_OK) {
        return PC_OK;
    }
    writer->fs->close(writer->fs->context, writer->fd);
    return err == PC_E_NOT_FOUND ? begin_file(writer, error) : err;
}

static void free_writer(struct pc_snap_writer *writer)
{
    pc_buf_destroy(&writer->rows);
    pc_buf_destroy(&writer->out);
    free(writer);
}

pc_err pc_snap_writer_open(const struct pc_fs *fs, const char *dir, const struct pc_raft_base *base,
    const struct pc_hash *hash, struct pc_snap_writer **out, struct pc_error *error)
{
    PC_ASSERT(base->index > 0);
    if (strlen(dir) >= SNAP_DIR_BYTES_MAX) {
        return pc_error_set(error, PC_E_INVALID, "the name of the directory is too long");
    }
    struct pc_snap_writer *writer = pc_xalloc(sizeof *writer);
    writer->fs = fs;
    memcpy(writer->dir, dir, strlen(dir) + 1);
    writer->received = hash != NULL;
    writer->header.base = *base;
    if (hash != NULL) {
        writer->header.hash = *hash;
        pc_snap_name(SNAP_PART, base->index, writer->name);
    } else {
        memcpy(writer->name, SNAP_TMP_NAME, sizeof SNAP_TMP_NAME);
    }
    writer->check = (struct snap_check){.name = writer->name, .upto = base->index};
    writer->chain = pc_snap_chain_begin(base);
    pc_err err = hash != NULL ? resume_file(writer, error) : begin_file(writer, error);
    if (err != PC_OK) {
        free_writer(writer);
        return err;
    }
    *out = writer;
    return PC_OK;
}

/* Nonsense is no error yet: as long as the hash has not come out, it may be a chunk of something
 * else. */
void pc_snap_writer_count(
    struct pc_snap_writer *writer, struct pc_slice chunk, const struct snap_head *head)
{
    if (writer->received && !writer->is_nonsense) {
        writer->is_nonsense =
            pc_snap_check_chunk(&writer->check, writer->chunks, chunk, &writer->nonsense) != PC_OK;
    }
    writer->chunks++;
    writer->chain = pc_snap_chain_next(&writer->chain, chunk);
    pc_buf_append_u32(&writer->rows, head->bytes);
    pc_buf_append_u32(&writer->rows, head->crc);
}

uint32_t pc_snap_writer_chunks(const struct pc_snap_writer *writer)
{
    return writer->chunks;
}

pc_err pc_snap_writer_put(
    struct pc_snap_writer *writer, struct pc_slice chunk, struct pc_error *error)
{
    PC_ASSERT(!writer->failed && !writer->named);
    if (chunk.len == 0 || chunk.len > PC_SNAPSHOT_CHUNK_BYTES_MAX ||
        writer->chunks == PC_SNAP_CHUNKS_MAX) {
        writer->failed = true;
        return pc_error_set(error, chunk.len == 0 ? PC_E_INVALID : PC_E_TOO_BIG,
            "%s: chunk %u of %zu bytes", writer->name, writer->chunks, chunk.len);
    }
    struct snap_head head = {
        .bytes = (uint32_t)chunk.len, .number = writer->chunks, .before = writer->chain};
    uint8_t bytes[SNAP_HEAD_BYTES];
    pc_snap_head_encode(&head, chunk, bytes);
    pc_buf_reset(&writer->out);
    pc_buf_append(&writer->out, bytes, sizeof bytes);
    pc_buf_append(&writer->out, chunk.data, chunk.len);
    pc_err err = write_out(writer, error);
    if (err != PC_OK) {
        return err;
    }
    writer->at += writer->out.len;
    head.crc = pc_get_u32(bytes + 12);
    pc_snap_writer_count(writer, chunk, &head);
    return writer->at - writer->synced_at >= SYNC_BYTES ? sync_file(writer, error) : PC_OK;
}

/* Table, meta and trailer, in writer->out. */
static void put_footer(
    struct pc_snap_writer *writer, const struct pc_snapshot_meta *meta, struct pc_hash *hash)
{
    pc_buf_reset(&writer->out);
    pc_buf_append(&writer->out, writer->rows.data, writer->rows.len);
    pc_wire_encode_snapshot_meta(meta, &writer->out);
    size_t meta_bytes = writer->out.len - writer->rows.len;
    PC_ASSERT(meta_bytes <= SNAP_META_BYTES_MAX);
    *hash = pc_snap_chain_next(
        &writer->chain, pc_slice_of(writer->out.data + writer->rows.len, meta_bytes));
    struct snap_trailer trailer = {.index = meta->base.index,
        .chunks = writer->chunks,
        .meta_bytes = (uint32_t)meta_bytes,
        .table_at = writer->at,
        .footer_crc = pc_crc32c(0, pc_slice_of(writer->out.data, writer->out.len)),
        .hash = *hash};
    uint8_t bytes[SNAP_TRAILER_BYTES];
    pc_snap_trailer_encode(&trailer, bytes);
    pc_buf_append(&writer->out, bytes, sizeof bytes);
}

static pc_err spoil(struct pc_snap_writer *writer, const char *why, struct pc_error *error)
{
    writer->failed = writer->spoiled = true;
    return pc_error_set(error, PC_E_CORRUPT, "%s: %s", writer->name, why);
}

/* It is what was announced. Whether that is good for anything is another question. */
static pc_err check_content(
    struct pc_snap_writer *writer, const struct pc_snapshot_meta *meta, struct pc_error *error)
{
    struct pc_error why = writer->nonsense;
    pc_err err = writer->is_nonsense ? why.code : pc_snap_check_end(&writer->check, meta, &why);
    if (err == PC_OK) {
        return PC_OK;
    }
    writer->failed = writer->spoiled = true;
    return pc_error_set(error, PC_E_MALFORMED, "%s", why.text);
}

/* The file under the writer's own name is whole and durable on PC_OK. */
static pc_err complete_file(struct pc_snap_writer *writer, struct pc_error *error)
{
    pc_err err = write_out(writer, error);
    if (err != PC_OK) {
        return err;
    }
    uint64_t bytes = 0;
    err = writer->fs->size(writer->fs->context, writer->fd, &bytes, error);
    if (err != PC_OK) {
        return fail(writer, writer->name, error);
    }
    writer->at += writer->out.len;
    /* Of an earlier writer, which was given other chunks under the same hash: one of the two was
     * lied to. The trailer would not be the end of the file. */
    return bytes != writer->at ? spoil(writer, "the file is longer than its snapshot", error)
                               : sync_file(writer, error);
}

static pc_err give_name(struct pc_snap_writer *writer, const char *name, struct pc_error *error)
{
    struct snap_path from, to;
    PC_ASSERT(pc_snap_path(writer->dir, writer->name, &from));
    PC_ASSERT(pc_snap_path(writer->dir, name, &to));
    pc_err err = writer->fs->rename(writer->fs->context, from.text, to.text, error);
    if (err == PC_OK) {
        writer->named = true;
        err = writer->fs->sync_dir(writer->fs->context, writer->dir, error);
    }
    return err == PC_OK ? PC_OK : fail(writer, name, error);
}

pc_err pc_snap_writer_finish(struct pc_snap_writer *writer, const struct pc_snapshot_meta *meta,
    struct pc_snap_info *info, struct pc_error *error)
{
    PC_ASSERT(!writer->failed && !writer->named);
    if (!pc_snap_base_equal(&meta->base, &writer->header.base)) {
        writer->failed = true;
        return pc_error_set(error, PC_E_INVALID, "%s: its meta is of another entry", writer->name);
    }
    struct pc_snap_info done = {.base = meta->base,
        .chunks = writer->chunks,
        .bytes = writer->at - SNAP_HEADER_BYTES - (uint64_t)writer->chunks * SNAP_HEAD_BYTES};
    pc_snap_name(SNAP_WHOLE, meta->base.index, done.name);
    put_footer(writer, meta, &done.hash);
    if (writer->received && !pc_hash_equal(&done.hash, &writer->header.hash)) {
        return spoil(writer, "what has come is not what was announced", error);
    }
    pc_err err = writer->received ? check_content(writer, meta, error) : PC_OK;
    err = err == PC_OK ? complete_file(writer, error) : err;
    err = err == PC_OK ? give_name(writer, done.name, error) : err;
    if (err != PC_OK) {
        return err;
    }
    done.file_bytes = writer->at;
    pc_snap_remove_all(writer->fs, writer->dir, SNAP_WHOLE, 0, meta->base.index, meta->base.index);
    pc_snap_remove_all(writer->fs, writer->dir, SNAP_PART, 0, meta->base.index, 0);
    *info = done;
    return PC_OK;
}

static void end(struct pc_snap_writer *writer, bool keep)
{
    if (writer == NULL) {
        return;
    }
    writer->fs->close(writer->fs->context, writer->fd);
    if (!writer->named && (!keep || !writer->received || writer->spoiled)) {
        pc_snap_remove(writer->fs, writer->dir, writer->name);
    }
    free_writer(writer);
}

void pc_snap_writer_close(struct pc_snap_writer *writer)
{
    end(writer, true);
}

void pc_snap_writer_abort(struct pc_snap_writer *writer)
{
    end(writer, false);
}
