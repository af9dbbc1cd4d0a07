/* The file of a branch, of any content. The first byte says what becomes of the rest:
 *
 *     bit 0  the checksum of the header is made to fit, as only a writer can
 *     bit 1  checksums of frames and bodies, too
 *     bit 2  the file stands there as an open branch, not as a closed one
 *
 * Nothing reaches an assertion. What is read of a closed one has ascending numbers, and lines of
 * JSON. What a start finds open is the same the next time, is gone on with, and closed with all
 * records that it had; what it does not find open is not in the way of another branch. */
#include "fuzz/kit/fuzz.h"

#include <stdio.h>

#include <jansson.h>

#include "edge/branch/branch_int.h"
#include "pcache/crc32c.h"
#include "support/sim_fs.h"

#define DIR "/data"
#define FILE_BYTES_MAX (64u << 10)

static void put_file(const struct pc_fs *fs, const char *path, struct pc_slice bytes)
{
    struct pc_error error;
    pc_fd fd;
    PC_ASSERT(fs->open(fs->context, path, true, false, &fd, &error) == PC_OK);
    PC_ASSERT(fs->write_at(fs->context, fd, 0, bytes, &error) == PC_OK);
    PC_ASSERT(fs->sync(fs->context, fd, &error) == PC_OK);
    fs->close(fs->context, fd);
}

/* A frame at `at` that says what its bytes say, as far as a frame can. Returns its end; 0 = it has
 * no body. */
static size_t fit_frame(uint8_t *file, size_t len, size_t at, uint32_t *before)
{
    size_t room = len - at - BRANCH_FRAME_BYTES;
    struct branch_frame frame = {.bytes = pc_get_u32(file + at + 4),
        .synced = pc_get_u64(file + at + 8),
        .before = *before,
        .type = (enum branch_body)(1 + pc_get_u32(file + at + 24) % 4)};
    frame.bytes = frame.bytes < room ? frame.bytes : (uint32_t)room;
    frame.synced = frame.synced < at ? frame.synced : at;
    frame.type = frame.type <= BRANCH_BODY_END ? frame.type : BRANCH_BODY_RECORD;
    if (frame.bytes == 0) {
        return 0;
    }
    frame.body_crc = pc_crc32c(0, pc_slice_of(file + at + BRANCH_FRAME_BYTES, frame.bytes));
    pc_branch_frame_encode(file + 40, at, &frame, file + at);
    *before = frame.crc;
    return at + (size_t)pc_branch_frame_size(&frame);
}

/* Frames follow one another, or begin with a sector: wherever their first four bytes stand. */
static void fit(uint8_t *file, size_t len, uint8_t how)
{
    static const uint8_t magic[4] = {'p', 'c', 'B', '1'};
    if (len < BRANCH_HEADER_BYTES) {
        return;
    }
    if ((how & 1) != 0) {
        pc_put_u32(file + 160, pc_crc32c(0, pc_slice_of(file, 160)));
    }
    uint32_t before = pc_branch_header_crc(file);
    for (size_t at = BRANCH_HEADER_BYTES; (how & 2) != 0 && at + BRANCH_FRAME_BYTES < len;) {
        bool is_one = memcmp(file + at, magic, sizeof magic) == 0;
        size_t end = is_one ? fit_frame(file, len, at, &before) : 0;
        at = end > 0 ? end : at + 8;
    }
}

static void check_json(struct pc_buf *line)
{
    json_t *object = json_loadb((const char *)line->data, line->len, JSON_ALLOW_NUL, NULL);
    FUZZ_CHECK("a line is an object", json_is_object(object));
    FUZZ_CHECK("one line", memchr(line->data, '\n', line->len) == line->data + line->len - 1);
    json_decref(object);
    pc_buf_reset(line);
}

/* All that can be read, damage passed over. Returns the number of records. */
static uint64_t read_closed(const struct pc_fs *fs, const char *path)
{
    struct pc_branch_reader *reader = NULL;
    struct pc_error error = {0};
    struct pc_buf line = {0};
    uint64_t last = 0, n = 0;
    pc_err err = pc_branch_reader_open(fs, path, &reader, &error);
    FUZZ_CHECK("an error says what", err == PC_OK || error.text[0] != '\0');
    if (err != PC_OK) {
        return 0;
    }
    const struct pc_branch_info *info = pc_branch_reader_info(reader);
    pc_branch_json_head(&info->head, &line);
    check_json(&line);
    while (err == PC_OK) {
        struct pc_branch_record record;
        err = pc_branch_reader_next(reader, &record, &error);
        if (err == PC_E_CORRUPT) {
            pc_branch_reader_skip(reader);
            err = PC_OK;
        } else if (err == PC_OK) {
            FUZZ_CHECK("numbers ascend", record.number > last);
            last = record.number;
            n++;
            pc_branch_json_record(&info->head, &record, &line);
            check_json(&line);
            pc_branch_record_clear(&record);
        }
    }
    FUZZ_CHECK("to the end", err == PC_E_NOT_FOUND && info->records == n && info->last >= last);
    pc_branch_json_end(info, &line);
    check_json(&line);
    pc_buf_destroy(&line);
    pc_branch_reader_close(reader);
    return n;
}

static void on_closed(void *arg, const char *name)
{
    (void)snprintf(arg, PC_BRANCH_NAME_BYTES, "%s", name);
}

/* Closes what is open; the records of what is closed then, 0 = nothing is. */
static uint64_t settle(const struct pc_fs *fs)
{
    char name[PC_BRANCH_NAME_BYTES] = "", path[256];
    struct pc_error error;
    FUZZ_CHECK("it is closed", pc_branch_settle(fs, DIR, 5, &error) == PC_OK);
    PC_ASSERT(pc_branch_list(fs, DIR, on_closed, name, &error) == PC_OK);
    if (name[0] == '\0') {
        return 0;
    }
    PC_ASSERT(pc_branch_path(DIR, name, path, sizeof path));
    return read_closed(fs, path);
}

static void go_on(const struct pc_fs *fs, struct pc_branch_found *found)
{
    struct pc_buf body = {0};
    struct pc_error error;
    struct pc_command command = {.op = PC_OP_DELETE, .key = pc_slice_str("k")};
    struct pc_branch_record record = {.number = found->records_n + 1};
    pc_wire_encode_command(&command, &body);
    PC_ASSERT(pc_blob_new(pc_slice_of(body.data, body.len), &record.command) == PC_OK);
    FUZZ_CHECK("gone on with", pc_branch_writer_resume(found->writer, 7, &error) == PC_OK);
    pc_branch_writer_put(found->writer, &record);
    FUZZ_CHECK("written to", pc_branch_writer_sync(found->writer, &error) == PC_OK);
    pc_branch_record_clear(&record);
    pc_buf_destroy(&body);
    (void)fs;
}

static void check_open(struct pc_sim_fs *disk, const struct pc_fs *fs)
{
    struct pc_branch_found found, again;
    struct pc_branch_head head = {.node = 1};
    struct pc_branch_writer *writer = NULL;
    struct pc_error error = {0};
    pc_err err = pc_branch_find(fs, DIR, &found, &error);
    FUZZ_CHECK("only a version is refused", err == PC_OK || err == PC_E_VERSION);
    if (err != PC_OK) {
        return;
    }
    size_t records = found.records_n;
    bool is_open = found.writer != NULL;
    pc_sim_fs_crash(disk, PC_SIM_FS_KILL);
    pc_branch_found_clear(&found);
    FUZZ_CHECK("found again", pc_branch_find(fs, DIR, &again, &error) == PC_OK);
    FUZZ_CHECK("the same", (again.writer != NULL) == is_open && again.records_n == records);
    FUZZ_CHECK("said once", again.where[0] == '\0');
    if (is_open) {
        go_on(fs, &again);
    }
    pc_branch_found_clear(&again);
    uint64_t closed = settle(fs);
    FUZZ_CHECK("none is lost", !is_open || closed == records + 1);
    FUZZ_CHECK(
        "nothing is in the way", pc_branch_writer_begin(fs, DIR, &head, &writer, &error) == PC_OK);
    pc_branch_writer_close(writer);
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
    PC_ASSERT(fs->sync_dir(fs->context, "/", &error) == PC_OK);
    if ((how & 4) != 0) {
        put_file(fs, DIR "/branch.open", pc_slice_of(file, len));
        check_open(disk, fs);
    } else {
        put_file(fs, DIR "/closed", pc_slice_of(file, len));
        (void)read_closed(fs, DIR "/closed");
    }
    pc_sim_fs_delete(disk);
    free(file);
    return 0;
}
