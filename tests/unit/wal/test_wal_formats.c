/* Files of a log that this program does not know, or that do not belong where they lie: refused
 * with their names, and left as they are. A newer program's log is not a damaged one: nothing of it
 * may be cut, nor repaired. And what a log refuses once it has failed. */
#include "fixture.h"

#include "pcache/crc32c.h"

#define BLOCK 512u
#define SEGMENT TEST_DIR "/log-0000000000000001.seg"
#define VOTE_COPIES 8

/* docs/LOGFORMAT.md */
enum {
    SEGMENT_AT_VERSION = 16,
    SEGMENT_AT_CRC = 60,
    VOTE_AT_VERSION = 8,
    VOTE_AT_GENERATION = 16,
    VOTE_AT_CRC = 52,
};

/* A log of three segments with a vote, closed in order. */
static struct pc_sim_fs *make_log(struct model *model)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(3);
    struct pc_wal_recovered recovered;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &recovered);
    pc_wal_recovered_clear(&recovered);
    struct pc_wal_batch vote = {.has_vote = true, .term = 1, .vote = 7};
    assert_ok(pc_wal_write(wal, &vote, &error));
    for (unsigned i = 0; i < 30; i++) {
        model_append(model, 1, 5000);
        write_and_sync(wal, model, 1);
    }
    pc_wal_close(wal);
    return fs;
}

static void read_block(struct pc_sim_fs *fs, const char *path, uint64_t at, uint8_t out[BLOCK])
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    pc_fd fd;
    size_t got = 0;
    assert_ok(port->open_read(port->context, path, &fd, &error));
    assert_ok(port->read_at(port->context, fd, at, out, BLOCK, &got, &error));
    assert_int_equal(got, BLOCK);
    port->close(port->context, fd);
}

/* Sets a number of a block and its checksum anew, as a program would that knows more formats. */
static void set_number(struct pc_sim_fs *fs, const char *path, uint64_t at, size_t field,
    uint32_t number, size_t crc_field)
{
    uint8_t block[BLOCK];
    read_block(fs, path, at, block);
    pc_put_u32(block + field, number);
    pc_put_u32(block + crc_field, pc_crc32c(0, pc_slice_of(block, crc_field)));
    assert_true(pc_sim_fs_overwrite(fs, path, at, pc_slice_of(block, BLOCK)));
}

/* Calls that change what files hold, or which there are. */
static uint64_t changes(const struct pc_sim_fs *fs)
{
    return pc_sim_fs_tries(fs, PC_SIM_FS_WRITE) + pc_sim_fs_tries(fs, PC_SIM_FS_RENAME) +
           pc_sim_fs_tries(fs, PC_SIM_FS_UNLINK);
}

/* No way of opening takes the log, and none writes. */
static void assert_not_taken(struct pc_sim_fs *fs, pc_err wanted, const char *text)
{
    for (int repair = 0; repair < 2; repair++) {
        struct pc_wal_opts opts = test_opts();
        opts.damage = repair != 0 ? PC_WAL_DAMAGE_REPAIR : opts.damage;
        struct pc_wal *wal = NULL;
        struct pc_wal_recovered recovered;
        struct pc_error error = {0};
        uint64_t before = changes(fs);
        pc_err err = pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &recovered, &error);
        assert_int_equal(err, wanted);
        assert_null(wal);
        if (strstr(error.text, text) == NULL) {
            fail_msg("wanted \"%s\" in: %s", text, error.text);
        }
        assert_int_equal(changes(fs), before);
    }
}

static void segment__of_an_unknown_version__is_refused_and_not_touched(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    uint8_t before[BLOCK];
    read_block(fs, SEGMENT, 0, before);
    set_number(fs, SEGMENT, 0, SEGMENT_AT_VERSION, 99, SEGMENT_AT_CRC);
    assert_not_taken(fs, PC_E_VERSION, "format version 99");
    assert_true(pc_sim_fs_overwrite(fs, SEGMENT, 0, pc_slice_of(before, BLOCK)));
    assert_reopens_as(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void votes__of_an_unknown_version__are_refused_and_not_touched(void **state)
{
    (void)state;
    static const char *const paths[] = {TEST_DIR "/vote-0", TEST_DIR "/vote-1"};
    for (size_t slot = 0; slot < 2; slot++) {
        struct model model = {0};
        struct pc_sim_fs *fs = make_log(&model);
        for (uint64_t i = 0; i < VOTE_COPIES; i++) {
            uint8_t block[BLOCK];
            read_block(fs, paths[slot], i * BLOCK, block);
            if (pc_get_u64(block + VOTE_AT_GENERATION) > 0) {
                set_number(fs, paths[slot], i * BLOCK, VOTE_AT_VERSION, 99, VOTE_AT_CRC);
            }
        }
        assert_not_taken(fs, PC_E_VERSION, paths[slot] + sizeof TEST_DIR);
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

static void log__that_has_failed__takes_nothing_and_still_serves(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct pc_wal_recovered recovered;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &recovered);
    struct model durable = {0};
    model_copy(&durable, &model);
    model_append(&model, 1, 100);
    write_last(wal, &model, 1);
    pc_sim_fs_fail_randomly(fs, PC_SIM_FS_SYNC, 1000000, PC_E_IO);
    assert_int_equal(pc_wal_sync(wal, &error), PC_E_IO);
    pc_sim_fs_fail_randomly(fs, PC_SIM_FS_SYNC, 0, PC_E_IO);
    /* The disk says that all is well again: it is not believed. */
    uint64_t steps = pc_sim_fs_steps(fs);
    assert_int_not_equal(pc_wal_sync(wal, &error), PC_OK);
    model_append(&model, 1, 100);
    struct pc_wal_batch batch = model_batch(&model, 1);
    assert_int_not_equal(pc_wal_write(wal, &batch, &error), PC_OK);
    pc_entries_clear(&batch.entries);
    struct pc_wal_batch vote = {.has_vote = true, .term = 5, .vote = 9};
    assert_int_not_equal(pc_wal_write(wal, &vote, &error), PC_OK);
    struct pc_entries some = {0};
    assert_ok(pc_wal_load(wal, 1, 1, 1, &some, &error));
    assert_true(entry_equal(&some.v[0], &model.entries.v[0]));
    pc_entries_clear(&some);
    pc_wal_close(wal);
    assert_int_equal(pc_sim_fs_steps(fs), steps); /* closing is no second try either */
    pc_wal_recovered_clear(&recovered);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    wal = open_ok(fs, &recovered);
    assert_int_equal(recovered.term, 1);
    assert_log_is(wal, &recovered, &durable);
    pc_wal_recovered_clear(&recovered);
    pc_wal_close(wal);
    model_clear(&model);
    model_clear(&durable);
    pc_sim_fs_delete(fs);
}

static void directory__without_a_name_or_with_a_long_one__is_invalid(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    char name[4096];
    memset(name, 'd', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    const char *const dirs[] = {"", name};
    for (size_t i = 0; i < 2; i++) {
        struct pc_wal_opts opts = test_opts();
        opts.dir = dirs[i];
        struct pc_wal *wal = NULL;
        struct pc_wal_recovered recovered;
        struct pc_error error;
        assert_int_equal(
            pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &recovered, &error), PC_E_INVALID);
        assert_null(wal);
    }
    pc_sim_fs_delete(fs);
}

/* The last entry of a segment that is read: of a kind that a later program has made. */
static void entry__of_an_unknown_kind__is_refused_and_not_touched(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = pc_sim_fs_new(3);
    struct pc_wal_recovered recovered;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &recovered);
    pc_wal_recovered_clear(&recovered);
    model_append(&model, 1, 100);
    write_and_sync(wal, &model, 1);
    struct pc_wal_batch batch = {.commit = 0};
    struct pc_entry entry = {.index = 2, .term = 1, .stamp_ms = 2000};
    entry.kind = (enum pc_entry_kind)4;
    entry.chain = pc_entry_chain(&model.entries.v[0].chain, &entry);
    pc_entries_push(&batch.entries, &entry);
    assert_ok(pc_wal_write(wal, &batch, &error));
    assert_ok(pc_wal_sync(wal, &error));
    pc_entries_clear(&batch.entries);
    pc_wal_close(wal);
    assert_not_taken(fs, PC_E_VERSION, "entry 2 is of kind 4, this program knows 1 to 3");
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(segment__of_an_unknown_version__is_refused_and_not_touched),
    PC_TEST(votes__of_an_unknown_version__are_refused_and_not_touched),
    PC_TEST(log__that_has_failed__takes_nothing_and_still_serves),
    PC_TEST(directory__without_a_name_or_with_a_long_one__is_invalid),
    PC_TEST(entry__of_an_unknown_kind__is_refused_and_not_touched),
};
PC_TEST_MAIN("wal_formats", tests)
