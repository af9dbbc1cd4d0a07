/* cluster recover beside snapshots that are damaged: what the log has is kept, what only they had
 * is named as lost. */
#include "unit/pcadmin/recover_disk.h"

#define SNAPSHOT_FILE LOG "/snap-000000000000002d.snp"
#define SNAPSHOT_INSIDE 20000

/* The byte of the file that is damaged. */
static void expect_passed_over(uint64_t at)
{
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, false);
    struct pc_entries entries = {0};
    struct recovery r;
    struct pc_error error;
    bool is_new;
    push_entries(&config, &entries);
    write_snapshot(pc_sim_fs_port(fs), &entries);
    assert_true(pc_sim_fs_flip_bit(fs, SNAPSHOT_FILE, at, 3));
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_int_equal(r.rotten, SNAPSHOT);
    assert_int_equal(r.snapshot, 0);
    assert_int_equal(r.kept.index, ENTRIES);
    assert_int_equal(r.lost.first, 0);
    assert_non_null(strstr(r.where, "snap-"));
    assert_has_keys_up_to(&r, ENTRIES);
    assert_ok(recovery_write(&r, history, &error));
    recovery_close(&r);
    assert_int_equal(start(fs, &is_new), ENTRIES + 1);
    assert_true(is_new);
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_has_keys_up_to(&r, ENTRIES);
    assert_alone(&r, history);
    recovery_close(&r);
    pc_entries_clear(&entries);
    pc_sim_fs_delete(fs);
}

static void snapshot__rotten_inside__is_passed_over_where_the_log_begins_at_1(void **state)
{
    (void)state;
    expect_passed_over(SNAPSHOT_INSIDE);
}

/* A start does without it, too. */
static void snapshot__headers_damaged__is_passed_over_where_the_log_begins_at_1(void **state)
{
    (void)state;
    expect_passed_over(20);
}

/* Only the name of the newest one says what it was of: what only it had is lost, and its number is
 * not used again. */
static void snapshot__newest_damaged_and_an_older_one_whole__goes_on_from_that(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, true);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    static const char newer[] = LOG "/snap-00000000000003e8.snp";
    struct recovery r;
    struct pc_error error;
    bool is_new;
    pc_fd fd;
    assert_ok(port->open(port->context, newer, true, true, &fd, &error));
    assert_ok(port->write_at(port->context, fd, 0, pc_slice_str("no snapshot"), &error));
    assert_ok(port->sync(port->context, fd, &error));
    port->close(port->context, fd);
    assert_ok(recovery_open(port, DIR, seed, &r, &error));
    assert_int_equal(r.snapshot, SNAPSHOT);
    assert_int_equal(r.kept.index, ENTRIES);
    assert_int_equal(r.lost.first, ENTRIES + 1);
    assert_int_equal(r.lost.last, 1000);
    assert_non_null(strstr(r.where, "snap-00000000000003e8.snp"));
    assert_ok(recovery_write(&r, history, &error));
    recovery_close(&r);
    assert_int_equal(start(fs, &is_new), 1001);
    assert_true(is_new);
    pc_sim_fs_delete(fs);
}

/* The log ends before the snapshot: what only that had is lost, and its number is not used again.
 */
static void snapshot__rotten_and_ahead_of_the_log__is_lost_from_the_logs_end(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_entries entries = {0}, some = {0};
    struct recovery r;
    struct pc_error error;
    bool is_new;
    push_entries(&config, &entries);
    for (size_t i = 0; i < 10; i++) {
        pc_entries_push(&some, &entries.v[i]);
    }
    struct pc_sim_fs *fs = disk_with(&some);
    write_snapshot(pc_sim_fs_port(fs), &entries);
    assert_true(pc_sim_fs_flip_bit(fs, SNAPSHOT_FILE, SNAPSHOT_INSIDE, 3));
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_int_equal(r.kept.index, 10);
    assert_int_equal(r.lost.first, 11);
    assert_int_equal(r.lost.last, SNAPSHOT);
    assert_has_keys_up_to(&r, 10);
    assert_ok(recovery_write(&r, history, &error));
    recovery_close(&r);
    assert_int_equal(start(fs, &is_new), SNAPSHOT + 1);
    assert_true(is_new);
    pc_entries_clear(&some);
    pc_entries_clear(&entries);
    pc_sim_fs_delete(fs);
}

static void snapshot__rotten_inside__log_begins_behind_entry_1__is_refused(void **state)
{
    (void)state;
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, true);
    struct recovery r;
    struct pc_error error;
    assert_true(pc_sim_fs_flip_bit(fs, SNAPSHOT_FILE, SNAPSHOT_INSIDE, 3));
    assert_int_equal(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, "snap-"));
    assert_non_null(strstr(error.text, "does not begin with entry 1"));
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(snapshot__rotten_inside__is_passed_over_where_the_log_begins_at_1),
    PC_TEST(snapshot__headers_damaged__is_passed_over_where_the_log_begins_at_1),
    PC_TEST(snapshot__newest_damaged_and_an_older_one_whole__goes_on_from_that),
    PC_TEST(snapshot__rotten_and_ahead_of_the_log__is_lost_from_the_logs_end),
    PC_TEST(snapshot__rotten_inside__log_begins_behind_entry_1__is_refused),
};

PC_TEST_MAIN("recover_snapshot", tests)
