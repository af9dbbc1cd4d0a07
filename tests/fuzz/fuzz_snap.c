/* A snapshot file of any content. The first byte says what becomes of the rest:
 *
 *     bit 0  checksums of header, footer and trailer are made to fit, as only a writer can
 *     bit 1  checksums of chunks, too
 *     bit 2  the file is what a transfer has left, not a whole snapshot
 *     bit 3  the header is the one of that transfer
 *
 * Nothing reaches an assertion; what is found can be read, is the same the next time, and what is
 * proved by its hash is what a writer makes again of its chunks and its meta. What a transfer goes
 * on with is found whole in the end. */
#include "fuzz/kit/fuzz.h"

#include <stdio.h>

#include "edge/snap/snap_int.h"
#include "pcache/crc32c.h"
#include "support/sim_fs.h"

#define DIR "/log"
#define INDEX 7
#define FILE_BYTES_MAX (256u << 10)

static void put_file(const struct pc_fs *fs, enum snap_kind kind, struct pc_slice bytes)
{
    char name[PC_SNAP_NAME_BYTES];
    struct snap_path path;
    struct pc_error error;
    pc_fd fd;
    pc_snap_name(kind, INDEX, name);
    PC_ASSERT(pc_snap_path(DIR, name, &path));
    PC_ASSERT(fs->open(fs->context, path.text, true, false, &fd, &error) == PC_OK);
    PC_ASSERT(fs->write_at(fs->context, fd, 0, bytes, &error) == PC_OK);
    PC_ASSERT(fs->sync(fs->context, fd, &error) == PC_OK);
    fs->close(fs->context, fd);
}

/* Checksums of heads, for as long as heads follow one another; into the table as well. */
static void fit_chunks(uint8_t *file, size_t len, uint64_t table_at)
{
    size_t at = SNAP_HEADER_BYTES;
    for (size_t row = 0; at + SNAP_HEAD_BYTES <= len; row++) {
        struct snap_head head;
        if (!pc_snap_head_decode(file + at, &head) || head.bytes > len - at - SNAP_HEAD_BYTES) {
            return;
        }
        struct pc_slice chunk = pc_slice_of(file + at + SNAP_HEAD_BYTES, head.bytes);
        pc_snap_head_encode(&head, chunk, file + at);
        uint64_t row_at = table_at + row * SNAP_ROW_BYTES;
        if (table_at < len && row_at + SNAP_ROW_BYTES <= len) {
            memcpy(file + row_at + 4, file + at + 12, 4);
        }
        at += SNAP_HEAD_BYTES + head.bytes;
    }
}

static void fit(uint8_t *file, size_t len, uint8_t how)
{
    bool is_long = len >= SNAP_HEADER_BYTES + SNAP_TRAILER_BYTES;
    uint8_t *trailer = is_long ? file + len - SNAP_TRAILER_BYTES : NULL;
    uint64_t table_at = is_long ? pc_get_u64(trailer + 16) : UINT64_MAX;
    if ((how & 2) != 0) {
        fit_chunks(file, len, table_at);
    }
    if ((how & 1) != 0 && len >= SNAP_HEADER_BYTES) {
        pc_put_u32(file + 72, pc_crc32c(0, pc_slice_of(file, 72)));
    }
    if ((how & 1) != 0 && is_long && table_at <= len - SNAP_TRAILER_BYTES) {
        size_t footer = len - SNAP_TRAILER_BYTES - (size_t)table_at;
        pc_put_u32(trailer + 48, pc_crc32c(0, pc_slice_of(file + table_at, footer)));
        pc_put_u32(trailer + 60, pc_crc32c(0, pc_slice_of(trailer, 60)));
    }
}

/* Writes what the reader gives anew: the same hash; refused when its items are not what its meta
 * says. */
static void check_writes_again(const struct pc_fs *fs, struct pc_snap_reader *reader)
{
    const struct pc_snap_info *info = pc_snap_reader_info(reader);
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info again;
    struct pc_error error;
    struct pc_buf room = {0};
    PC_ASSERT(pc_snap_writer_open(fs, DIR, &info->base, &info->hash, &writer, &error) == PC_OK);
    for (uint32_t i = pc_snap_writer_chunks(writer); i < info->chunks; i++) {
        struct pc_slice chunk;
        FUZZ_CHECK("read again", pc_snap_reader_chunk(reader, i, &room, &chunk, &error) == PC_OK);
        FUZZ_CHECK("put", pc_snap_writer_put(writer, chunk, &error) == PC_OK);
    }
    pc_err err = pc_snap_writer_finish(writer, pc_snap_reader_meta(reader), &again, &error);
    struct pc_snap_content content;
    bool is_sound = pc_snap_check(reader, NULL, NULL, &content, &error) == PC_OK;
    FUZZ_CHECK("what is sound is taken, and no more", (err == PC_OK) == is_sound);
    FUZZ_CHECK("the same",
        !is_sound || (pc_hash_equal(&again.hash, &info->hash) && again.bytes == info->bytes));
    pc_snap_writer_close(writer);
    pc_buf_destroy(&room);
}

static void check_whole(const struct pc_fs *fs)
{
    struct pc_snap_found found, twice;
    struct pc_error error = {0};
    pc_err err = pc_snap_find(fs, DIR, false, &found, &error);
    FUZZ_CHECK("an error says what", err == PC_OK || error.text[0] != '\0');
    if (err != PC_OK) {
        return;
    }
    FUZZ_CHECK("found again", pc_snap_find(fs, DIR, false, &twice, &error) == PC_OK);
    const struct pc_snap_info *info = pc_snap_reader_info(found.reader);
    FUZZ_CHECK("the same", pc_hash_equal(&info->hash, &pc_snap_reader_info(twice.reader)->hash));
    FUZZ_CHECK("under its name", info->base.index == INDEX);
    pc_snap_reader_close(twice.reader);
    struct pc_buf room = {0};
    uint64_t bytes = 0;
    bool all = true;
    for (uint32_t i = 0; i < info->chunks; i++) {
        struct pc_slice chunk;
        bool good = pc_snap_reader_chunk(found.reader, i, &room, &chunk, &error) == PC_OK;
        bytes += good ? chunk.len : 0;
        all = all && good;
    }
    FUZZ_CHECK("as long as it says", !all || bytes == info->bytes);
    bool proved = pc_snap_verify(found.reader, NULL, NULL, &error) == PC_OK;
    FUZZ_CHECK("what is proved is readable", !proved || all);
    if (proved) {
        check_writes_again(fs, found.reader);
    }
    pc_buf_destroy(&room);
    pc_snap_reader_close(found.reader);
}

/* The transfer of one chunk, of no items: what is received is looked into. */
#define CHUNK pc_slice_of("\x90", 1)

struct transfer {
    struct pc_snapshot_meta meta;
    struct pc_buf config;
    struct pc_hash hash;
};

static void transfer_make(struct transfer *t)
{
    struct pc_cluster_config config = {.members_n = 1};
    config.members[0] = (struct pc_cluster_member){.id = 5, .name = "a", .votes = true};
    struct pc_buf bytes = {0};
    *t = (struct transfer){.meta = {.base = {.index = INDEX, .term = 1}, .config_index = 1}};
    pc_wire_encode_config(&config, &t->config);
    t->meta.config = pc_slice_of(t->config.data, t->config.len);
    pc_wire_encode_snapshot_meta(&t->meta, &bytes);
    t->hash = pc_snap_chain_begin(&t->meta.base);
    t->hash = pc_snap_chain_next(&t->hash, CHUNK);
    t->hash = pc_snap_chain_next(&t->hash, pc_slice_of(bytes.data, bytes.len));
    pc_buf_destroy(&bytes);
}

/* Whatever was there, what is found is that, or the writer says no. */
static void check_part(const struct pc_fs *fs, const struct transfer *t)
{
    for (int try = 0; try < 2; try++) {
        struct pc_snap_writer *writer = NULL;
        struct pc_snap_info info;
        struct pc_error error;
        PC_ASSERT(pc_snap_writer_open(fs, DIR, &t->meta.base, &t->hash, &writer, &error) == PC_OK);
        if (pc_snap_writer_chunks(writer) == 0) {
            PC_ASSERT(pc_snap_writer_put(writer, CHUNK, &error) == PC_OK);
        }
        pc_err err = pc_snap_writer_finish(writer, &t->meta, &info, &error);
        pc_snap_writer_close(writer);
        FUZZ_CHECK("begun anew it succeeds", err == PC_OK || (try == 0 && err == PC_E_CORRUPT));
        if (err == PC_OK) {
            break;
        }
    }
    struct pc_snap_found found;
    struct pc_error error;
    FUZZ_CHECK("found", pc_snap_find(fs, DIR, false, &found, &error) == PC_OK);
    FUZZ_CHECK("whole", pc_snap_verify(found.reader, NULL, NULL, &error) == PC_OK);
    FUZZ_CHECK("it", pc_hash_equal(&pc_snap_reader_info(found.reader)->hash, &t->hash));
    pc_snap_reader_close(found.reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    uint8_t how = fuzz_u8(&in);
    size_t len = fuzz_left(&in);
    if (len > FILE_BYTES_MAX) {
        return 0;
    }
    uint8_t *file = pc_xalloc(len > 0 ? len : 1);
    if (len > 0) {
        memcpy(file, in.at, len);
    }
    fit(file, len, how);
    struct pc_sim_fs *disk = pc_sim_fs_new(1);
    const struct pc_fs *fs = pc_sim_fs_port(disk);
    struct pc_error error;
    PC_ASSERT(fs->mkdir(fs->context, DIR, &error) == PC_OK);
    if ((how & 4) == 0) {
        put_file(fs, SNAP_WHOLE, pc_slice_of(file, len));
        check_whole(fs);
    } else {
        struct transfer t;
        transfer_make(&t);
        struct snap_header header = {.base = t.meta.base, .hash = t.hash};
        if ((how & 8) != 0 && len >= SNAP_HEADER_BYTES) {
            pc_snap_header_encode(&header, file);
        }
        put_file(fs, SNAP_PART, pc_slice_of(file, len));
        check_part(fs, &t);
        pc_buf_destroy(&t.config);
    }
    free(file);
    pc_sim_fs_delete(disk);
    return 0;
}
