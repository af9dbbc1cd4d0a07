/* What the tests of branch files share: branches as a model, and whether what is on the disk is the
 * model's. Record n of a model is the same whoever asks for it. */
#ifndef PC_TEST_BRANCH_FIXTURE_H
#define PC_TEST_BRANCH_FIXTURE_H

#include "support/test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "edge/branch/branch_int.h"
#include "pcache/crc32c.h"
#include "pcache/prng.h"
#include "support/sim_fs.h"

#define TEST_DIR "/data"
#define OPEN_PATH TEST_DIR "/branch.open"
#define BEGUN_MS UINT64_C(1795393261000) /* 2026-11-23T00:21:01Z */
#define ENDED_MS (BEGUN_MS + 60000)

static inline struct pc_branch_head head_of(uint8_t id)
{
    struct pc_branch_head head = {
        .node = 77, .name = "node3", .base = {.index = 41, .term = 2}, .begun_ms = BEGUN_MS};
    memset(head.id, id, sizeof head.id);
    memset(head.history, 9, sizeof head.history);
    memset(head.base.chain.b, 5, sizeof head.base.chain.b);
    return head;
}

static inline struct pc_blob *blob_of(struct pc_slice bytes)
{
    struct pc_blob *blob = NULL;
    assert_ok(pc_blob_new(bytes, &blob));
    return blob;
}

static inline struct pc_blob *command_blob(const struct pc_command *command)
{
    struct pc_buf buf = {0};
    pc_wire_encode_command(command, &buf);
    struct pc_blob *blob = blob_of(pc_slice_of(buf.data, buf.len));
    pc_buf_destroy(&buf);
    return blob;
}

/* Record n: a SET, DELETE or EXPIRE of one of four keys, with a value of up to 1200 bytes. */
static inline struct pc_branch_record record_of(uint64_t n)
{
    struct pc_prng prng;
    uint8_t value[1200];
    char key[16];
    pc_prng_seed(&prng, n * 31 + 7);
    (void)snprintf(key, sizeof key, "key%" PRIu64, n % 4);
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (uint8_t)pc_prng_next(&prng);
    }
    struct pc_command command = {.op = n % 5 == 4   ? PC_OP_DELETE
                                       : n % 7 == 6 ? PC_OP_EXPIRE
                                                    : PC_OP_SET,
        .key = pc_slice_str(key)};
    if (command.op == PC_OP_SET) {
        command.value = pc_slice_of(value, pc_prng_below(&prng, sizeof value));
        command.content_type = pc_slice_str(n % 2 == 0 ? "text/plain" : "");
    }
    command.has_ttl = command.op == PC_OP_EXPIRE;
    command.ttl_ms = command.has_ttl ? 500 : 0;
    struct pc_branch_record record = {
        .number = n, .stamp_ms = 1000 + n, .boot = 3, .command = command_blob(&command)};
    record.has_before = n % 4 < 2;
    if (record.has_before) {
        record.before_version = 10 + n % 4;
        record.before_deadline_ms = n % 4 == 1 ? 99999 : 0;
        (void)snprintf(record.before_type, sizeof record.before_type, "a/b");
        record.before = n < 4 ? blob_of(pc_slice_str("was")) : NULL;
    }
    return record;
}

static inline bool blobs_equal(const struct pc_blob *a, const struct pc_blob *b)
{
    return (a == NULL) == (b == NULL) && pc_slice_equal(pc_blob_slice(a), pc_blob_slice(b));
}

static inline void assert_record_is(const struct pc_branch_record *record, uint64_t n)
{
    struct pc_branch_record want = record_of(n);
    assert_int_equal(record->number, n);
    assert_int_equal(record->stamp_ms, want.stamp_ms);
    assert_int_equal(record->boot, want.boot);
    assert_int_equal(record->has_before, want.has_before);
    assert_int_equal(record->before_version, want.before_version);
    assert_int_equal(record->before_deadline_ms, want.before_deadline_ms);
    assert_string_equal(record->before_type, want.before_type);
    assert_true(blobs_equal(record->command, want.command));
    assert_true(blobs_equal(record->before, want.before));
    pc_branch_record_clear(&want);
}

static inline void assert_head_is(const struct pc_branch_head *head, uint8_t id)
{
    struct pc_branch_head want = head_of(id);
    assert_int_equal(head->node, want.node);
    assert_string_equal(head->name, want.name);
    assert_memory_equal(head->history, want.history, 16);
    assert_memory_equal(head->id, want.id, 16);
    assert_int_equal(head->base.index, want.base.index);
    assert_int_equal(head->base.term, want.base.term);
    assert_memory_equal(head->base.chain.b, want.base.chain.b, 16);
}

static inline struct pc_sim_fs *disk_new(uint64_t seed)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(seed);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    assert_ok(port->mkdir(port->context, TEST_DIR, &error));
    assert_ok(port->sync_dir(port->context, "/", &error));
    return fs;
}

static inline bool exists(const struct pc_sim_fs *fs, const char *path)
{
    return pc_sim_fs_file_bytes(fs, path) != UINT64_MAX;
}

/* Puts records first..last. */
static inline void put(struct pc_branch_writer *writer, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        struct pc_branch_record record = record_of(n);
        pc_branch_writer_put(writer, &record);
        pc_branch_record_clear(&record);
    }
}

static inline struct pc_branch_writer *begin_ok(struct pc_sim_fs *fs, uint8_t id)
{
    struct pc_branch_head head = head_of(id);
    struct pc_branch_writer *writer = NULL;
    struct pc_error error;
    assert_ok(pc_branch_writer_begin(pc_sim_fs_port(fs), TEST_DIR, &head, &writer, &error));
    return writer;
}

/* The names of what is closed, the newest found last. */
struct closed {
    size_t n;
    char names[8][PC_BRANCH_NAME_BYTES];
};

static inline void on_closed(void *arg, const char *name)
{
    struct closed *closed = arg;
    assert_true(closed->n < 8);
    memcpy(closed->names[closed->n++], name, strlen(name) + 1);
}

static inline struct closed closed_of(struct pc_sim_fs *fs)
{
    struct closed closed = {0};
    struct pc_error error;
    pc_err err = pc_branch_list(pc_sim_fs_port(fs), TEST_DIR, on_closed, &closed, &error);
    assert_ok(err);
    return closed;
}

static inline struct pc_branch_reader *closed_open(struct pc_sim_fs *fs, const char *name)
{
    char path[256];
    struct pc_branch_reader *reader = NULL;
    struct pc_error error;
    assert_true(pc_branch_path(TEST_DIR, name, path, sizeof path));
    assert_ok(pc_branch_reader_open(pc_sim_fs_port(fs), path, &reader, &error));
    return reader;
}

/* Records 1..n and an end, of branch `id`. Returns n. */
static inline uint64_t assert_closed_whole(struct pc_sim_fs *fs, const char *name, uint8_t id)
{
    struct pc_branch_reader *reader = closed_open(fs, name);
    const struct pc_branch_info *info = pc_branch_reader_info(reader);
    struct pc_branch_record record;
    struct pc_error error;
    pc_err err;
    assert_head_is(&info->head, id);
    while ((err = pc_branch_reader_next(reader, &record, &error)) == PC_OK) {
        assert_record_is(&record, info->records);
        pc_branch_record_clear(&record);
    }
    assert_int_equal(err, PC_E_NOT_FOUND);
    assert_true(info->is_ended);
    assert_int_equal(info->last, info->records);
    uint64_t records = info->records;
    pc_branch_reader_close(reader);
    return records;
}

#endif
