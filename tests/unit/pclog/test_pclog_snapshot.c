/* pclog snapshot: what it says of good and of bad ones, and its exit status. */
#define _GNU_SOURCE
#include "unit/snap/fixture.h"

#include "pclog/pclog_int.h"

/* The digest of what make_snapshot makes, as a store counts it. */
static struct pc_hash digest_by_applying(void)
{
    struct pc_store_opts opts = {{0}};
    struct pc_store *store = pc_store_new(&opts);
    for (pc_index index = 1; index <= 42; index++) {
        struct pc_command set = {.op = PC_OP_SET,
            .key = pc_slice_of(index == 41 ? "k" : "1", 1),
            .value = pc_slice_str("12345")};
        bool sets = index >= 41;
        assert_ok(pc_store_apply(store, index, 420, sets ? &set : NULL, NULL));
    }
    struct pc_hash digest = pc_store_digest(store);
    pc_store_delete(store);
    return digest;
}

/* A snapshot of two items at entry 42, by the real encoders. */
static void make_snapshot(struct model *model, uint64_t items)
{
    struct pc_blob *value = NULL;
    assert_ok(pc_blob_new(pc_slice_str("12345"), &value));
    struct pc_wire_chunk chunk = {0};
    model_make(model, 42, 1, 2, 10);
    for (uint32_t i = 0; i < 2; i++) {
        struct pc_item item = {
            .key = pc_slice_of(&"k1"[i], 1), .value = value, .version = 41 + i, .created = 41 + i};
        pc_wire_chunk_begin(&chunk);
        (void)pc_wire_chunk_add(&chunk, &item);
        struct pc_slice bytes = pc_wire_chunk_end(&chunk);
        pc_buf_reset(&model->chunks[i]);
        pc_buf_append(&model->chunks[i], bytes.data, bytes.len);
    }
    model->meta.items = items;
    model->meta.digest = digest_by_applying();
    pc_buf_destroy(&chunk.bytes);
    pc_blob_unref(value);
}

/* Runs and compares the status and a part of one of the outputs. option: NULL = none. */
static void expect_run(
    struct pc_sim_fs *fs, const char *path, const char *option, int status, const char *part)
{
    char *said = NULL;
    size_t said_n;
    FILE *out = open_memstream(&said, &said_n);
    assert_non_null(out);
    char *argv[] = {(char *)"pclog", (char *)"snapshot", (char *)path, (char *)option, NULL};
    int argc = option != NULL ? 4 : 3;
    int got = pc_pclog_run(pc_sim_fs_port(fs), argc, argv, out, out);
    (void)fclose(out);
    if (strstr(said, part) == NULL) {
        fail_msg("no \"%s\" in:\n%s", part, said);
    }
    assert_int_equal(got, status);
    free(said);
}

static void expect_said(struct pc_sim_fs *fs, const char *path, int status, const char *part)
{
    expect_run(fs, path, NULL, status, part);
}

static void snapshot__good__says_what_it_is_of(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    make_snapshot(&model, 2);
    write_ok(fs, &model);
    uint64_t steps = pc_sim_fs_steps(fs);
    const char *const paths[] = {TEST_DIR, TEST_DIR "/snap-000000000000002a.snp"};
    for (size_t i = 0; i < 2; i++) {
        expect_said(fs, paths[i], PCLOG_GOOD,
            "good: snap-000000000000002a.snp, entries 1..42, term 3, stamp 420, ");
        expect_said(fs, paths[i], PCLOG_GOOD, "items: 2, 12 bytes of data in 2 chunks\n");
        expect_said(fs, paths[i], PCLOG_GOOD,
            "config: entry 1 history=07070707070707070707070707070707 "
            "members=node1:000000000000000b");
        expect_said(fs, paths[i], PCLOG_GOOD, "\ndigest: ");
    }
    assert_int_equal(pc_sim_fs_steps(fs), steps); /* nothing was changed */
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void snapshot__in_the_data_directory__is_found_below_it(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct model model;
    struct pc_error error;
    make_snapshot(&model, 2);
    write_ok(fs, &model);
    assert_ok(port->mkdir(port->context, "/node", &error));
    assert_ok(port->mkdir(port->context, "/node/log", &error));
    expect_said(fs, "/node", PCLOG_NO, "there is no snapshot in /node");
    assert_ok(port->rename(port->context, TEST_DIR "/snap-000000000000002a.snp",
        "/node/log/snap-000000000000002a.snp", &error));
    expect_said(fs, "/node", PCLOG_GOOD, "good: ");
    expect_said(fs, "/nowhere", PCLOG_NO, "/nowhere");
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void snapshot__bad__is_named(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model, old;
    make_snapshot(&model, 3);
    write_ok(fs, &model);
    expect_said(fs, TEST_DIR, PCLOG_DAMAGED, "has 2 items, its meta says 3");
    model_clear(&model);
    make_snapshot(&model, 2);
    pc_buf_append(&model.chunks[1], "", 1);
    write_ok(fs, &model);
    expect_said(fs, TEST_DIR, PCLOG_DAMAGED, "chunk 1: not an array of items");
    model_clear(&model);
    make_snapshot(&model, 2);
    model.meta.base.index = 41;
    write_ok(fs, &model);
    expect_said(fs, file_of(41), PCLOG_DAMAGED, "chunk 1: an item of version 42");
    model.meta.base.index = 42;
    write_ok(fs, &model);
    pc_sim_fs_fail(fs, PC_SIM_FS_READ, 0, PC_E_IO);
    expect_said(fs, TEST_DIR, PCLOG_LOCAL_IO, "injected");
    assert_true(pc_sim_fs_flip_bit(fs, file_of(42), 560, 1));
    expect_said(fs, TEST_DIR, PCLOG_DAMAGED, "snap-000000000000002a.snp: damaged at offset");
    make_snapshot(&old, 2);
    pc_sim_fs_fail_randomly(fs, PC_SIM_FS_UNLINK, 1000000, PC_E_IO);
    model.meta.base.index = 50;
    write_ok(fs, &model);
    old.meta.base.index = 43;
    write_ok(fs, &old);
    assert_true(pc_sim_fs_flip_bit(fs, file_of(50), 20, 1));
    expect_said(fs, TEST_DIR, PCLOG_DAMAGED, "good: snap-000000000000002b.snp");
    expect_said(fs, TEST_DIR, PCLOG_DAMAGED, "snap-0000000000000032.snp: damaged at offset 0");
    model_clear(&model);
    model_clear(&old);
    pc_sim_fs_delete(fs);
}

static void snapshot__to_be_loaded__is_judged_by_its_digest(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    make_snapshot(&model, 2);
    write_ok(fs, &model);
    expect_run(fs, TEST_DIR, "--lode", PCLOG_USAGE, "usage: ");
    expect_run(fs, TEST_DIR, "--load", PCLOG_GOOD, "digest: ");
    model.meta.digest.b[15] ^= 1;
    write_ok(fs, &model);
    expect_said(fs, TEST_DIR, PCLOG_DAMAGED, "its items have another digest");
    expect_run(fs, TEST_DIR, "--load", PCLOG_DAMAGED, "its items have another digest");
    pc_buf_reset(&model.chunks[1]);
    pc_buf_append(&model.chunks[1], model.chunks[0].data, model.chunks[0].len);
    model.meta.digest = (struct pc_hash){{0}};
    struct pc_stored_item twice = {
        .key = pc_slice_str("k"), .value = pc_slice_str("12345"), .version = 41, .created = 41};
    pc_store_digest_add(&model.meta.digest, &twice);
    pc_store_digest_add(&model.meta.digest, &twice);
    write_ok(fs, &model);
    expect_said(fs, TEST_DIR, PCLOG_GOOD, "items: 2");
    expect_run(fs, TEST_DIR, "--load", PCLOG_DAMAGED, "there twice");
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(snapshot__good__says_what_it_is_of),
    PC_TEST(snapshot__in_the_data_directory__is_found_below_it),
    PC_TEST(snapshot__bad__is_named),
    PC_TEST(snapshot__to_be_loaded__is_judged_by_its_digest),
};
PC_TEST_MAIN("pclog_snapshot", tests)
