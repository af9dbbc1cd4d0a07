/* Power cuts, full disks and failing calls, at every step of a branch's life. Each record that was
 * told to be durable stands, once, in what a start finds: the open branch, or one closed file. */
#include "fixture.h"

#define BATCHES 4

/* What somebody was told. */
struct told {
    bool begun;      /* the file may be there */
    uint64_t synced; /* the last record told to be durable */
    uint64_t put;    /* the last one given to the writer */
    bool ended;
};

/* Batches of 1 to 3 records, each synced, from told->synced + 1 on. */
static pc_err write_batches(
    struct pc_branch_writer *writer, struct told *told, unsigned batches, struct pc_error *error)
{
    pc_err err = PC_OK;
    for (unsigned i = 0; i < batches && err == PC_OK; i++) {
        told->put = told->synced + 1 + i % 3;
        put(writer, told->synced + 1, told->put);
        err = pc_branch_writer_sync(writer, error);
        told->synced = err == PC_OK ? told->put : told->synced;
    }
    return err;
}

static pc_err live(const struct pc_fs *fs, struct told *told, struct pc_error *error)
{
    struct pc_branch_head head = head_of(1);
    struct pc_branch_writer *writer = NULL;
    struct pc_branch_info info;
    told->begun = true;
    pc_err err = pc_branch_writer_begin(fs, TEST_DIR, &head, &writer, error);
    if (err != PC_OK) {
        return err;
    }
    err = write_batches(writer, told, BATCHES, error);
    pc_err end = pc_branch_writer_end(writer, ENDED_MS, &info, error);
    told->ended = end == PC_OK;
    pc_branch_writer_close(writer);
    return err != PC_OK ? err : end;
}

/* Records on the disk, in whatever file of branch 1; the files are counted. */
static uint64_t find_records(struct pc_sim_fs *fs, unsigned *files, bool *is_open)
{
    struct pc_branch_found found;
    struct pc_error error;
    uint64_t records = 0;
    *files = 0;
    assert_ok(pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error));
    assert_string_equal(found.where, "");
    *is_open = found.writer != NULL;
    if (found.writer != NULL) {
        assert_head_is(pc_branch_writer_head(found.writer), 1);
        for (size_t i = 0; i < found.records_n; i++) {
            assert_record_is(&found.records[i], i + 1);
        }
        records = found.records_n;
        (*files)++;
    }
    pc_branch_found_clear(&found);
    struct closed closed = closed_of(fs);
    for (size_t i = 0; i < closed.n; i++) {
        records = assert_closed_whole(fs, closed.names[i], 1);
        assert_true(records > 0);
        (*files)++;
    }
    return records;
}

/* What stands there is what was told, also after the next cut, and after it was closed. */
static void assert_told(struct pc_sim_fs *fs, const struct told *told)
{
    unsigned files;
    bool is_open;
    struct pc_error error;
    uint64_t records = find_records(fs, &files, &is_open);
    assert_true(files <= 1);
    assert_true(records >= told->synced && records <= told->put);
    assert_true(told->synced == 0 || files == 1);
    assert_false(told->ended && is_open);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(find_records(fs, &files, &is_open), records);
    assert_ok(pc_branch_settle(pc_sim_fs_port(fs), TEST_DIR, ENDED_MS, &error));
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(find_records(fs, &files, &is_open), records);
    assert_false(is_open);
    assert_int_equal(files, records > 0 ? 1 : 0);
    assert_false(exists(fs, TEST_DIR "/" BRANCH_NEW_NAME));
    assert_false(exists(fs, OPEN_PATH));
}

static void power_cut__at_every_step__loses_nothing_that_was_told(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps++) {
            struct pc_sim_fs *fs = disk_new(seed * 7919 + steps);
            struct told told = {0};
            struct pc_error error;
            pc_sim_fs_power_off_after(fs, steps);
            pc_err err = live(pc_sim_fs_port(fs), &told, &error);
            was_off = pc_sim_fs_is_off(fs);
            assert_true(was_off == (err != PC_OK));
            pc_sim_fs_crash(fs, seed % 3 == 0 ? PC_SIM_FS_LOSE_ALL : PC_SIM_FS_POWER_CUT);

            assert_told(fs, &told);
            pc_sim_fs_delete(fs);
        }
    }
}

/* What a start does about an interrupted branch can be interrupted itself. */
static void power_cut__during_find_and_settle__finds_the_same_later(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 14; seed++) {
        struct pc_sim_fs *fs = disk_new(seed);
        struct told told = {0};
        struct pc_error error;
        pc_sim_fs_power_off_after(fs, seed % 24);
        (void)!live(pc_sim_fs_port(fs), &told, &error);
        pc_sim_fs_crash(fs, seed % 3 == 0 ? PC_SIM_FS_POWER_CUT : PC_SIM_FS_KILL);
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps++) {
            struct pc_sim_fs *image = pc_sim_fs_clone(fs);
            pc_sim_fs_power_off_after(image, steps);
            (void)!pc_branch_settle(pc_sim_fs_port(image), TEST_DIR, ENDED_MS, &error);
            was_off = pc_sim_fs_is_off(image);
            pc_sim_fs_crash(image, PC_SIM_FS_POWER_CUT);
            assert_told(image, &told);
            pc_sim_fs_delete(image);
        }
        pc_sim_fs_delete(fs);
    }
}

/* A start that finds the branch open believes what is in memory alone at its peril. */
static void find__written_but_not_synced__makes_it_durable(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    struct pc_error error;
    unsigned files;
    bool is_open;
    put(writer, 1, 3);
    pc_sim_fs_power_off_after(fs, 1); /* the write, not its sync */
    assert_int_not_equal(pc_branch_writer_sync(writer, &error), PC_OK);
    pc_branch_writer_close(writer);
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    uint64_t records = find_records(fs, &files, &is_open);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(find_records(fs, &files, &is_open), records);
    pc_sim_fs_delete(fs);
}

/* Process after process goes on with one branch, each ended by a cut. */
static void power_cuts__one_after_another__never_lose_what_was_told(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct pc_prng prng;
        struct told told = {0};
        struct pc_error error;
        pc_prng_seed(&prng, seed);
        struct pc_sim_fs *fs = disk_new(seed);
        pc_branch_writer_close(begin_ok(fs, 1));
        for (unsigned life = 0; life < 12; life++) {
            struct pc_branch_found found;
            assert_ok(pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error));
            assert_non_null(found.writer);
            assert_true(found.records_n >= told.synced && found.records_n <= told.put);
            for (size_t i = 0; i < found.records_n; i++) {
                assert_record_is(&found.records[i], i + 1);
            }
            told.synced = told.put = found.records_n;
            pc_sim_fs_power_off_after(fs, pc_prng_below(&prng, 10));
            if (pc_branch_writer_resume(found.writer, BEGUN_MS + life, &error) == PC_OK) {
                (void)!write_batches(found.writer, &told, 5, &error);
            }

            pc_branch_found_clear(&found);
            bool kill = !pc_sim_fs_is_off(fs) && pc_prng_below(&prng, 3) == 0;
            pc_sim_fs_crash(fs, kill ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
        }
        assert_told(fs, &told);
        pc_sim_fs_delete(fs);
    }
}

/* One call fails. False when there was none to fail. */
static bool fail_one_call(enum pc_sim_fs_op op, uint64_t skip, pc_err with)
{
    struct pc_sim_fs *fs = disk_new(skip + 1);
    struct told told = {0};
    struct pc_error error;
    uint64_t before = pc_sim_fs_faults(fs);
    pc_sim_fs_fail(fs, op, skip, with);
    pc_err err = live(pc_sim_fs_port(fs), &told, &error);
    bool failed = pc_sim_fs_faults(fs) > before;
    assert_true(err == PC_OK || failed);
    if (err == PC_E_NO_SPACE && op == PC_SIM_FS_WRITE && told.put > told.synced) {
        told.put = told.synced; /* refused for good */
    }
    if (failed && skip % 2 == 0) {
        assert_ok(pc_branch_settle(pc_sim_fs_port(fs), TEST_DIR, ENDED_MS, &error));
    }
    pc_sim_fs_crash(fs, skip % 3 == 0 ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
    assert_told(fs, &told);
    pc_sim_fs_delete(fs);
    return failed;
}

/* The power goes on the way from a sync that failed: while what was durable is copied to a new
 * file, while that takes the place of the old one, while it is closed. */
static void power_cut__behind_a_failed_sync__loses_nothing_that_was_told(void **state)
{
    (void)state;
    for (uint64_t skip = 0; skip < BATCHES + 3; skip++) {
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps++) {
            struct pc_sim_fs *fs = disk_new(skip * 101 + steps);
            struct told told = {0};
            struct pc_error error;
            pc_sim_fs_fail(fs, PC_SIM_FS_SYNC, skip, PC_E_IO);
            pc_sim_fs_power_off_after(fs, steps);
            (void)!live(pc_sim_fs_port(fs), &told, &error);
            was_off = pc_sim_fs_is_off(fs);
            pc_sim_fs_crash(fs, steps % 3 == 0 ? PC_SIM_FS_LOSE_ALL : PC_SIM_FS_POWER_CUT);
            assert_told(fs, &told);
            pc_sim_fs_delete(fs);
        }
    }
}

static void failing_call__any__loses_nothing_that_was_told(void **state)
{
    (void)state;
    static const pc_err errors[] = {PC_E_IO, PC_E_NO_SPACE, PC_E_AGAIN};
    for (size_t i = 0; i < 3; i++) {
        for (enum pc_sim_fs_op op = PC_SIM_FS_OPEN; op < PC_SIM_FS_OPS; op++) {
            uint64_t skip = 0;
            while (fail_one_call(op, skip, errors[i])) {
                skip++;
            }
            assert_true(skip > 0 || op == PC_SIM_FS_READ);
        }
    }
}

/* Any number of bytes of the write that does not fit may have been made. */
static void disk_full__at_any_byte__refuses_for_good_and_closes_later(void **state)
{
    (void)state;
    for (uint64_t room = 1; room < 6000; room += 149) {
        struct pc_sim_fs *fs = disk_new(room);
        struct told told = {.begun = true};
        struct pc_error error;
        struct pc_branch_info info;
        struct pc_branch_writer *writer = begin_ok(fs, 1);
        pc_sim_fs_set_capacity(fs, pc_sim_fs_used(fs) + room);
        pc_err err = write_batches(writer, &told, 8, &error);
        assert_int_equal(err, PC_E_NO_SPACE);
        told.put = told.synced;
        if (room % 3 != 0) { /* else the process dies before it can close */
            pc_err end = pc_branch_writer_end(writer, ENDED_MS, &info, &error);
            assert_true(end == PC_OK || end == PC_E_NO_SPACE);
        }
        pc_branch_writer_close(writer);
        if (room % 2 == 0 || room % 3 == 0) {
            pc_sim_fs_crash(fs, room % 3 == 0 ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
        }
        pc_sim_fs_set_capacity(fs, UINT64_MAX);
        assert_told(fs, &told);
        pc_sim_fs_delete(fs);
    }
}

/* Whole records may be among what was made of a write that does not fit. */
static void disk_full__process_dies_before_it_closes__refuses_for_good(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct pc_sim_fs *fs = disk_new(seed);
        struct told told = {.begun = true};
        struct pc_error error;
        struct pc_branch_writer *writer = begin_ok(fs, 1);
        assert_ok(write_batches(writer, &told, 1, &error));
        pc_sim_fs_fail(fs, PC_SIM_FS_WRITE, 0, PC_E_NO_SPACE);
        put(writer, told.synced + 1, told.synced + 12);
        assert_int_equal(pc_branch_writer_sync(writer, &error), PC_E_NO_SPACE);
        told.put = told.synced;
        pc_branch_writer_close(writer);
        pc_sim_fs_crash(fs, seed % 2 == 0 ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
        assert_told(fs, &told);
        pc_sim_fs_delete(fs);
    }
}

/* ... and may have to stay: a file system that copies what is overwritten has no room for that
 * either. Then nobody may be told that they were refused. */
static void disk_full__nothing_can_be_overwritten__refuses_only_what_is_not_there(void **state)
{
    (void)state;
    unsigned refused = 0, unknown = 0, kept = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct pc_sim_fs *fs = disk_new(seed);
        struct told told = {.begun = true};
        struct pc_error error;
        struct pc_branch_writer *writer = begin_ok(fs, 1);
        assert_ok(write_batches(writer, &told, 1, &error));
        pc_sim_fs_fail_randomly(fs, PC_SIM_FS_WRITE, 1000000, PC_E_NO_SPACE);
        put(writer, told.synced + 1, told.synced + 12);
        pc_err err = pc_branch_writer_sync(writer, &error);
        assert_true(err == PC_E_NO_SPACE || err == PC_E_IO);
        refused += err == PC_E_NO_SPACE;
        unknown += err == PC_E_IO;
        pc_branch_writer_close(writer);
        pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
        unsigned files;
        bool is_open;
        uint64_t records = find_records(fs, &files, &is_open);
        assert_true(records >= told.synced);
        assert_true(err != PC_E_NO_SPACE || records == told.synced);
        kept += records > told.synced;
        pc_sim_fs_delete(fs);
    }
    assert_true(refused > 0 && unknown > 0);
    assert_int_equal(kept, unknown); /* nor is more said to be unknown than is */
}

static const struct CMUnitTest tests[] = {
    PC_TEST(power_cut__at_every_step__loses_nothing_that_was_told),
    PC_TEST(power_cut__during_find_and_settle__finds_the_same_later),
    PC_TEST(find__written_but_not_synced__makes_it_durable),
    PC_TEST(power_cuts__one_after_another__never_lose_what_was_told),
    PC_TEST(failing_call__any__loses_nothing_that_was_told),
    PC_TEST(power_cut__behind_a_failed_sync__loses_nothing_that_was_told),
    PC_TEST(disk_full__at_any_byte__refuses_for_good_and_closes_later),
    PC_TEST(disk_full__process_dies_before_it_closes__refuses_for_good),
    PC_TEST(disk_full__nothing_can_be_overwritten__refuses_only_what_is_not_there),
};
PC_TEST_MAIN("branch_crash", tests)
