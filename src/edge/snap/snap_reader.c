/* A snapshot that has its name. Opening reads header and footer; the footer's table says where each
 * chunk lies and what its checksum is, so that any one chunk can be read and judged alone. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/crc32c.h"
#include "snap_int.h"

struct row {
    uint64_t at; /* of the chunk's head */
    uint32_t bytes;
    uint32_t crc;
};

struct pc_snap_reader {
    const struct pc_fs *fs;
    pc_fd fd;
    struct pc_snap_info info;
    struct pc_snapshot_meta meta; /* its config lies in `footer` */
    struct row *rows;
    struct pc_buf footer; /* the meta's bytes */
};

static pc_err damage(
    const struct pc_snap_reader *reader, uint64_t at, const char *what, struct pc_error *error)
{
    return pc_error_set(
        error, PC_E_CORRUPT, "%s: damaged at offset %" PRIu64 ": %s", reader->info.name, at, what);
}

static pc_err read_exactly(const struct pc_snap_reader *reader, uint64_t at, uint8_t *out,
    size_t len, struct pc_error *error)
{
    size_t got = 0;
    pc_err err = reader->fs->read_at(reader->fs->context, reader->fd, at, out, len, &got, error);
    if (err != PC_OK) {
        return pc_error_wrap(error, "%s: at offset %" PRIu64, reader->info.name, at);
    }
    return got == len ? PC_OK : damage(reader, at + got, "the file ends there", error);
}

static pc_err open_header(struct pc_snap_reader *reader, struct pc_error *error)
{
    uint8_t block[SNAP_HEADER_BYTES];
    struct snap_header header;
    pc_err err = read_exactly(reader, 0, block, sizeof block, error);
    if (err != PC_OK) {
        return err;
    }
    err = pc_snap_header_decode(block, &header);
    if (err == PC_E_VERSION) {
        return pc_error_set(error, PC_E_VERSION, "%s: snapshot format %u, this program knows %u",
            reader->info.name, pc_get_u32(block + 8), SNAP_VERSION);
    }
    if (err != PC_OK) {
        return damage(reader, 0, "the header does not have its checksum, or its content", error);
    }
    reader->info.base = header.base;
    return PC_OK;
}

static pc_err open_trailer(
    struct pc_snap_reader *reader, struct snap_trailer *trailer, struct pc_error *error)
{
    uint8_t bytes[SNAP_TRAILER_BYTES];
    uint64_t size = reader->info.file_bytes;
    if (size < SNAP_HEADER_BYTES + SNAP_TRAILER_BYTES) {
        return damage(reader, size, "the file ends there", error);
    }
    uint64_t at = size - SNAP_TRAILER_BYTES;
    pc_err err = read_exactly(reader, at, bytes, sizeof bytes, error);
    if (err != PC_OK) {
        return err;
    }
    if (!pc_snap_trailer_decode(bytes, trailer)) {
        return damage(reader, at, "no trailer, the end of the file is missing or bad", error);
    }
    uint64_t heads = (uint64_t)trailer->chunks * SNAP_HEAD_BYTES;
    uint64_t table = (uint64_t)trailer->chunks * SNAP_ROW_BYTES;
    if (trailer->chunks > PC_SNAP_CHUNKS_MAX || trailer->meta_bytes > SNAP_META_BYTES_MAX ||
        trailer->table_at > size || trailer->table_at < SNAP_HEADER_BYTES + heads ||
        trailer->table_at + table + trailer->meta_bytes + SNAP_TRAILER_BYTES != size ||
        trailer->index != reader->info.base.index) {
        return damage(reader, at, "the trailer belongs to another file", error);
    }
    reader->info.hash = trailer->hash;
    reader->info.chunks = trailer->chunks;
    reader->info.bytes = trailer->table_at - SNAP_HEADER_BYTES - heads;
    return PC_OK;
}

static pc_err open_rows(struct pc_snap_reader *reader, const struct snap_trailer *trailer,
    const uint8_t *table, struct pc_error *error)
{
    uint64_t at = SNAP_HEADER_BYTES;
    for (uint32_t i = 0; i < trailer->chunks; i++) {
        struct row *row = &reader->rows[i];
        *row = (struct row){.at = at,
            .bytes = pc_get_u32(table + (size_t)i * SNAP_ROW_BYTES),
            .crc = pc_get_u32(table + (size_t)i * SNAP_ROW_BYTES + 4)};
        if (row->bytes == 0 || row->bytes > PC_SNAPSHOT_CHUNK_BYTES_MAX) {
            break;
        }
        at += SNAP_HEAD_BYTES + row->bytes;
    }
    return at == trailer->table_at
               ? PC_OK
               : damage(reader, trailer->table_at, "the table does not fit the file", error);
}

static pc_err open_meta(struct pc_snap_reader *reader, const struct snap_trailer *trailer,
    const uint8_t *bytes, struct pc_error *error)
{
    pc_buf_append(&reader->footer, bytes, trailer->meta_bytes);
    pc_err err = pc_wire_decode_snapshot_meta(
        pc_slice_of(reader->footer.data, reader->footer.len), &reader->meta);
    bool good = err == PC_OK && pc_snap_base_equal(&reader->meta.base, &reader->info.base);
    uint64_t at = reader->info.file_bytes - SNAP_TRAILER_BYTES - trailer->meta_bytes;
    return good ? PC_OK : damage(reader, at, "the meta is not one of this snapshot", error);
}

static pc_err open_footer(struct pc_snap_reader *reader, struct pc_error *error)
{
    struct snap_trailer trailer;
    pc_err err = open_trailer(reader, &trailer, error);
    if (err != PC_OK) {
        return err;
    }
    size_t table = (size_t)trailer.chunks * SNAP_ROW_BYTES;
    size_t len = table + trailer.meta_bytes;
    uint8_t *bytes = malloc(len > 0 ? len : 1);
    reader->rows = malloc(trailer.chunks > 0 ? trailer.chunks * sizeof *reader->rows : 1);
    if (bytes == NULL || reader->rows == NULL) {
        free(bytes);
        return pc_error_set(error, PC_E_NOMEM, "%s: %u chunks", reader->info.name, trailer.chunks);
    }
    err = read_exactly(reader, trailer.table_at, bytes, len, error);
    if (err == PC_OK && pc_crc32c(0, pc_slice_of(bytes, len)) != trailer.footer_crc) {
        err = damage(reader, trailer.table_at, "the footer does not have its checksum", error);
    }
    err = err == PC_OK ? open_rows(reader, &trailer, bytes, error) : err;
    err = err == PC_OK ? open_meta(reader, &trailer, bytes + table, error) : err;
    free(bytes);
    return err;
}

static void set_name(struct pc_snap_reader *reader, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    size_t len = strlen(name);
    len = len < sizeof reader->info.name ? len : sizeof reader->info.name - 1;
    memcpy(reader->info.name, name, len);
    reader->info.name[len] = '\0';
}

pc_err pc_snap_reader_open(
    const struct pc_fs *fs, const char *path, struct pc_snap_reader **out, struct pc_error *error)
{
    pc_fd fd;
    pc_err err = fs->open_read(fs->context, path, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    struct pc_snap_reader *reader = pc_xalloc(sizeof *reader);
    reader->fs = fs;
    reader->fd = fd;
    set_name(reader, path);
    err = fs->size(fs->context, fd, &reader->info.file_bytes, error);
    err = err == PC_OK ? open_header(reader, error) : err;
    err = err == PC_OK ? open_footer(reader, error) : err;
    if (err != PC_OK) {
        pc_snap_reader_close(reader);
        return err;
    }
    *out = reader;
    return PC_OK;
}

void pc_snap_reader_close(struct pc_snap_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    reader->fs->close(reader->fs->context, reader->fd);
    pc_buf_destroy(&reader->footer);
    free(reader->rows);
    free(reader);
}

const struct pc_snap_info *pc_snap_reader_info(const struct pc_snap_reader *reader)
{
    return &reader->info;
}

const struct pc_snapshot_meta *pc_snap_reader_meta(const struct pc_snap_reader *reader)
{
    return &reader->meta;
}

pc_err pc_snap_reader_raw(struct pc_snap_reader *reader, uint64_t offset, size_t max,
    struct pc_buf *out, struct pc_error *error)
{
    uint64_t size = reader->info.file_bytes;
    if (offset > size) {
        return pc_error_set(error, PC_E_INVALID, "%s: has %" PRIu64 " bytes, not one at %" PRIu64,
            reader->info.name, size, offset);
    }
    size_t len = size - offset < max ? (size_t)(size - offset) : max;
    pc_buf_reserve(out, len);
    pc_err err = read_exactly(reader, offset, out->data + out->len, len, error);
    out->len += err == PC_OK ? len : 0;
    return err;
}

/* The same, and the chunk's head. */
static pc_err read_chunk(struct pc_snap_reader *reader, uint32_t number, struct pc_buf *room,
    struct snap_head *head, struct pc_slice *out, struct pc_error *error)
{
    const struct row *row = &reader->rows[number];
    size_t len = SNAP_HEAD_BYTES + (size_t)row->bytes;
    pc_buf_reset(room);
    pc_buf_reserve(room, len);
    pc_err err = read_exactly(reader, row->at, room->data, len, error);
    if (err != PC_OK) {
        return err;
    }
    struct pc_slice chunk = pc_slice_of(room->data + SNAP_HEAD_BYTES, row->bytes);
    bool good = pc_snap_head_decode(room->data, head) && head->number == number &&
                head->bytes == row->bytes && head->crc == row->crc &&
                pc_snap_head_crc(room->data, chunk) == row->crc;
    if (!good) {
        return damage(reader, row->at, "the chunk there does not have its checksum", error);
    }
    room->len = len;
    *out = chunk;
    return PC_OK;
}

pc_err pc_snap_reader_chunk(struct pc_snap_reader *reader, uint32_t number, struct pc_buf *room,
    struct pc_slice *out, struct pc_error *error)
{
    struct snap_head head;
    if (number >= reader->info.chunks) {
        return pc_error_set(error, PC_E_NOT_FOUND, "%s: has %u chunks, not number %u",
            reader->info.name, reader->info.chunks, number);
    }
    return read_chunk(reader, number, room, &head, out, error);
}

pc_err pc_snap_verify(
    struct pc_snap_reader *reader, pc_snap_each_chunk each, void *arg, struct pc_error *error)
{
    struct pc_hash chain = pc_snap_chain_begin(&reader->info.base);
    struct pc_buf room = {0};
    pc_err err = PC_OK;
    for (uint32_t i = 0; i < reader->info.chunks && err == PC_OK; i++) {
        struct snap_head head;
        struct pc_slice chunk;
        err = read_chunk(reader, i, &room, &head, &chunk, error);
        if (err == PC_OK && !pc_hash_equal(&head.before, &chain)) {
            err = damage(reader, reader->rows[i].at, "the chunk follows on another one", error);
        }
        if (err == PC_OK) {
            chain = pc_snap_chain_next(&chain, chunk);
            err = each != NULL ? each(arg, i, chunk, error) : PC_OK;
        }
    }
    pc_buf_destroy(&room);
    if (err != PC_OK) {
        return err;
    }
    chain = pc_snap_chain_next(&chain, pc_slice_of(reader->footer.data, reader->footer.len));
    return pc_hash_equal(&chain, &reader->info.hash)
               ? PC_OK
               : damage(reader, reader->info.file_bytes - SNAP_TRAILER_BYTES,
                     "the hash is that of another content", error);
}
