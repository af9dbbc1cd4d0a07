/* A data directory out of a snapshot: what is in it, and what is left when the program is killed
 * between any two of its steps. */
#define _GNU_SOURCE
#include "support/test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcache/os.h"
#include "pcache/wal.h"
#include "pcadmin/fresh_dir.h"
#include "pcached/history.h"
#include "pcached/identity.h"

#define INDEX 42
#define NODE_ID 0xabcdef0123456789u

static char root[64];

/* ---- the real file system, from some step on as of a program that was killed */
static size_t steps_left = SIZE_MAX;
static size_t steps;

static bool is_dead(void)
{
    steps++;
    if (steps_left == 0) {
        return true;
    }
    steps_left--;
    return false;
}

static pc_err died(struct pc_error *error)
{
    return pc_error_set(error, PC_E_IO, "killed");
}

#define REAL pc_fs_posix()

static pc_err dying_open(
    void *context, const char *path, bool create, bool exclusive, pc_fd *fd, struct pc_error *error)
{
    return is_dead() ? died(error) : REAL->open(context, path, create, exclusive, fd, error);
}

static pc_err dying_write_at(
    void *context, pc_fd fd, uint64_t offset, struct pc_slice bytes, struct pc_error *error)
{
    return is_dead() ? died(error) : REAL->write_at(context, fd, offset, bytes, error);
}

static pc_err dying_sync(void *context, pc_fd fd, struct pc_error *error)
{
    return is_dead() ? died(error) : REAL->sync(context, fd, error);
}

static pc_err dying_sync_dir(void *context, const char *path, struct pc_error *error)
{
    return is_dead() ? died(error) : REAL->sync_dir(context, path, error);
}

static pc_err dying_mkdir(void *context, const char *path, struct pc_error *error)
{
    return is_dead() ? died(error) : REAL->mkdir(context, path, error);
}

static pc_err dying_rename(void *context, const char *from, const char *to, struct pc_error *error)
{
    return is_dead() ? died(error) : REAL->rename(context, from, to, error);
}

static pc_err dying_unlink(void *context, const char *path, struct pc_error *error)
{
    return is_dead() ? died(error) : REAL->unlink(context, path, error);
}

static struct pc_fs dying_fs(void)
{
    struct pc_fs fs = *REAL;
    fs.open = dying_open;
    fs.write_at = dying_write_at;
    fs.sync = dying_sync;
    fs.sync_dir = dying_sync_dir;
    fs.mkdir = dying_mkdir;
    fs.rename = dying_rename;
    fs.unlink = dying_unlink;
    return fs;
}

/* ---- directories */
static int remove_one(const char *path, const struct stat *is, int type, struct FTW *at)
{
    (void)is;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_all(const char *path)
{
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state)
{
    (void)state;
    (void)snprintf(root, sizeof root, "/tmp/pcache-fresh-XXXXXX");
    return mkdtemp(root) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    steps_left = SIZE_MAX;
    remove_all(root);
    return 0;
}

static const char *in_root(const char *name)
{
    static char paths[4][200];
    static unsigned next;
    char *path = paths[next++ % 4];
    (void)snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static bool exists(const char *name)
{
    return access(in_root(name), F_OK) == 0;
}

/* ---- a snapshot of three voters, one replica, and two items */
static struct pc_snap_reader *make_source(struct pc_snap_content *content)
{
    struct pc_cluster_config config = {.members_n = 4};
    static const char *const names[] = {"a", "b", "c", "r"};
    for (size_t i = 0; i < 4; i++) {
        config.members[i].id = i + 1;
        config.members[i].votes = i < 3;
        config.members[i].want = i < 3 ? PC_WANT_VOTER : PC_WANT_REPLICA;
        memcpy(config.members[i].name, names[i], 2);
    }
    memset(config.history, 7, sizeof config.history);
    struct pc_buf body = {0};
    pc_wire_encode_config(&config, &body);
    struct pc_blob *value = NULL;
    assert_ok(pc_blob_new(pc_slice_str("12345"), &value));
    struct pc_snapshot_meta meta = {.base = {.index = INDEX, .term = 3, .stamp_ms = 420},
        .config_index = 5,
        .config = pc_slice_of(body.data, body.len),
        .items = 2};
    memset(meta.history, 7, sizeof meta.history);
    meta.base.chain.b[3] = 9;
    struct pc_wire_chunk chunk = {0};
    pc_wire_chunk_begin(&chunk);
    for (uint64_t i = 0; i < 2; i++) {
        struct pc_item item = {.key = pc_slice_of(&"kl"[i], 1),
            .value = value,
            .version = 41 + i,
            .created = 7,
            .deadline_ms = i * 99999};
        struct pc_stored_item stored = {.key = item.key,
            .value = pc_blob_slice(value),
            .version = item.version,
            .created = item.created,
            .deadline_ms = item.deadline_ms};
        (void)pc_wire_chunk_add(&chunk, &item);
        pc_store_digest_add(&meta.digest, &stored);
    }
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    struct pc_error error;
    assert_ok(pc_snap_writer_open(REAL, root, &meta.base, NULL, &writer, &error));
    assert_ok(pc_snap_writer_put(writer, pc_wire_chunk_end(&chunk), &error));
    assert_ok(pc_snap_writer_finish(writer, &meta, &info, &error));
    pc_snap_writer_close(writer);
    pc_buf_destroy(&chunk.bytes);
    pc_buf_destroy(&body);
    pc_blob_unref(value);
    struct pc_snap_reader *reader = NULL;
    assert_ok(pc_snap_reader_open(REAL, in_root(info.name), &reader, &error));
    assert_ok(pc_snap_check(reader, NULL, NULL, content, &error));
    return reader;
}

static struct fresh_dir dir_of(struct pc_snap_reader *from, const char *path)
{
    static const uint8_t history[16] = {1, 2, 3};
    struct fresh_dir dir = {.data_dir = path, .id = NODE_ID, .wall_ms = 5000};
    struct pc_cluster_config old;
    struct pc_error error;
    assert_ok(pc_wire_decode_config(pc_snap_reader_meta(from)->config, &old));
    assert_ok(fresh_members(&old, "b", NODE_ID, NULL, history, &dir.members, &error));
    return dir;
}

/* All that a node starts from is there, and is what it should be. */
static void expect_complete(const struct fresh_dir *dir, const struct pc_snap_content *content)
{
    struct pc_error error;
    struct identity_file file;
    uint8_t history[16];
    assert_ok(identity_file_open(REAL, dir->data_dir, &file, &error));
    assert_true(file.record.id == NODE_ID && file.record.has_log && !file.record.has_met);
    identity_file_close(&file);
    assert_ok(history_read(REAL, dir->data_dir, history, &error));
    assert_memory_equal(history, dir->members.history, 16);
    char log[200];
    (void)snprintf(log, sizeof log, "%s/log", dir->data_dir);
    struct pc_snap_found found;
    struct pc_snap_content now;
    assert_ok(pc_snap_find(REAL, log, true, &found, &error));
    assert_ok(pc_snap_check(found.reader, NULL, NULL, &now, &error));
    assert_int_equal(now.items, content->items);
    assert_true(pc_hash_equal(&now.digest, &content->digest));
    struct pc_raft_base base = pc_snap_reader_info(found.reader)->base;
    const struct pc_snapshot_meta *meta = pc_snap_reader_meta(found.reader);
    assert_true(base.index == INDEX + 1 && base.term == 4 && base.stamp_ms == 420);
    assert_int_equal(meta->config_index, INDEX + 1);
    assert_memory_equal(meta->history, dir->members.history, 16);
    struct pc_cluster_config config;
    assert_ok(pc_wire_decode_config(meta->config, &config));
    assert_memory_equal(&config, &dir->members, sizeof config);
    struct pc_wal_recovered got;
    assert_ok(pc_wal_scan(REAL, log, &base, NULL, NULL, &got, &error));
    assert_true(got.first == INDEX + 2 && got.last == INDEX + 1 && got.commit == INDEX + 1);
    assert_true(got.term == 4 && got.vote == 0 && got.doubt == 0 && got.gaps_n == 0);
    pc_wal_recovered_clear(&got);
    pc_snap_reader_close(found.reader);
}

static void members__of_a_snapshot__are_invited_but_for_one(void **state)
{
    (void)state;
    struct pc_snap_content content;
    struct pc_snap_reader *from = make_source(&content);
    struct fresh_dir dir = dir_of(from, "unused");
    static const char *const names[] = {"a", "b", "c", "r"};
    assert_int_equal(dir.members.members_n, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct pc_cluster_member *member = &dir.members.members[i];
        assert_string_equal(member->name, names[i]);
        assert_int_equal(member->want, i < 3 ? PC_WANT_VOTER : PC_WANT_REPLICA);
        assert_int_equal(member->votes, i == 1);
        assert_true(member->id == (i == 1 ? NODE_ID : 0));
    }
    pc_snap_reader_close(from);
}

static void members__given_by_name__are_those(void **state)
{
    (void)state;
    static const uint8_t history[16] = {1};
    struct pc_cluster_config old = {0}, got;
    struct pc_error error;
    assert_ok(fresh_members(&old, "x", 1, "z,y,z", history, &got, &error));
    assert_int_equal(got.members_n, 3);
    assert_string_equal(got.members[0].name, "x");
    assert_true(got.members[0].votes && !got.members[1].votes && !got.members[2].votes);
    assert_int_equal(fresh_members(&old, "x", 1, "z,,y", history, &got, &error), PC_E_INVALID);
    assert_int_equal(fresh_members(&old, "x y", 1, "z", history, &got, &error), PC_E_INVALID);
    struct pc_buf many = {0};
    for (int i = 0; i < PC_CLUSTER_MEMBERS_MAX; i++) {
        char name[16];
        int len = snprintf(name, sizeof name, "%sn%03d", i > 0 ? "," : "", i);
        pc_buf_append(&many, name, (size_t)len);
    }
    pc_buf_append_u8(&many, 0);
    const char *names = (const char *)many.data;
    assert_int_equal(fresh_members(&old, "x", 1, names, history, &got, &error), PC_E_INVALID);
    assert_ok(fresh_members(&old, "n007", 1, names, history, &got, &error));
    pc_buf_destroy(&many);
}

static void directory__with_anything_in_it__is_left_alone(void **state)
{
    (void)state;
    struct pc_snap_content content;
    struct pc_snap_reader *from = make_source(&content);
    struct fresh_dir dir = dir_of(from, in_root("data"));
    static const char *const there[] = {"identity", "history", "log", "some file"};
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++) {
        char path[200], sub[260];
        (void)snprintf(path, sizeof path, "%s/data", root);
        (void)snprintf(sub, sizeof sub, "%s/%s", path, there[i]);
        assert_true(mkdir(path, 0700) == 0 && mkdir(sub, 0700) == 0);
        struct pc_raft_base base;
        struct pc_error error;
        dir.data_dir = path;
        assert_int_equal(fresh_dir_make(REAL, &dir, from, &base, &error), PC_E_EXISTS);
        assert_non_null(strstr(error.text, there[i]));
        assert_int_equal(access(sub, F_OK), 0);
        remove_all(path);
    }
    pc_snap_reader_close(from);
}

/* Killed before any step: to a node the directory is empty, or it has an identity whose log is
 * missing and refuses it, or it is complete. Called again, it becomes complete. */
static void directory__interrupted_anywhere__is_nothing_or_complete(void **state)
{
    (void)state;
    struct pc_snap_content content;
    struct pc_snap_reader *from = make_source(&content);
    struct pc_fs fs = dying_fs();
    char path[200];
    (void)snprintf(path, sizeof path, "%s/data", root);
    struct fresh_dir dir = dir_of(from, path);
    bool is_done = false;
    size_t refused = 0, empty = 0;
    for (size_t k = 0; !is_done; k++) {
        struct pc_raft_base base;
        struct pc_error error;
        assert_int_equal(mkdir(path, 0700), 0);
        steps_left = k;
        is_done = fresh_dir_make(&fs, &dir, from, &base, &error) == PC_OK;
        steps_left = SIZE_MAX;
        bool has_log = exists("data/log");
        assert_true(!is_done || has_log);
        if (has_log) {
            expect_complete(&dir, &content);
            assert_int_equal(fresh_dir_make(REAL, &dir, from, &base, &error), PC_E_EXISTS);
        } else {
            struct identity_file file;
            bool has_identity = exists("data/identity");
            if (has_identity) {
                assert_ok(identity_file_open(REAL, path, &file, &error));
                assert_true(file.record.has_log);
                identity_file_close(&file);
            }
            assert_true(has_identity || !exists("data/history"));
            refused += has_identity;
            empty += !has_identity;
            assert_ok(fresh_dir_make(REAL, &dir, from, &base, &error));
        }
        expect_complete(&dir, &content);
        remove_all(path);
    }
    assert_true(empty > 10 && refused > 0);
    pc_snap_reader_close(from);
}

static void directory__of_a_damaged_snapshot__does_not_count(void **state)
{
    (void)state;
    struct pc_snap_content content;
    struct pc_snap_reader *from = make_source(&content);
    struct fresh_dir dir = dir_of(from, in_root("data"));
    char path[200], file[240];
    (void)snprintf(path, sizeof path, "%s/data", root);
    (void)snprintf(file, sizeof file, "%s/%s", root, pc_snap_reader_info(from)->name);
    dir.data_dir = path;
    struct pc_error error;
    pc_fd fd;
    assert_ok(REAL->open(REAL->context, file, false, false, &fd, &error));
    assert_ok(REAL->write_at(REAL->context, fd, 560, pc_slice_str("x"), &error));
    REAL->close(REAL->context, fd);
    struct pc_raft_base base;
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(fresh_dir_make(REAL, &dir, from, &base, &error), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, "damaged at offset"));
    assert_false(exists("data/log") || exists("data/identity"));
    pc_snap_reader_close(from);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest tests[] = {
    TEST(members__of_a_snapshot__are_invited_but_for_one),
    TEST(members__given_by_name__are_those),
    TEST(directory__with_anything_in_it__is_left_alone),
    TEST(directory__interrupted_anywhere__is_nothing_or_complete),
    TEST(directory__of_a_damaged_snapshot__does_not_count),
};

PC_TEST_MAIN("fresh_dir", tests)
