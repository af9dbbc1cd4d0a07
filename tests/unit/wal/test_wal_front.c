/* Logs that begin behind a base: what a drop and a reset leave, and what a recovery tells. */
#include "front.h"

/* ---- drop */

static void drop__whole_segments__and_never_the_newest(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files before, after;
    struct pc_wal_recovered got;
    struct pc_error error;
    pc_index first = 0;
    list_segments(fs, &before);
    struct pc_wal *wal = open_base(fs, &model, 0, &got);
    pc_wal_recovered_clear(&got);
    assert_ok(pc_wal_drop(wal, last_of(&before, 0) - 1, &first, &error));
    assert_int_equal(first, 1);
    assert_ok(pc_wal_drop(wal, last_of(&before, 1) + 2, &first, &error));
    assert_int_equal(first, before.first[2]);
    list_segments(fs, &after);
    assert_int_equal(after.n, before.n - 2);
    assert_loads_from(wal, &model, first, 0);
    model_append(&model, 3, 900);
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    assert_is_model(fs, &model, last_of(&before, 1) + 2);

    wal = open_base(fs, &model, model.commit, &got);
    assert_int_equal(got.first, before.first[2]);
    pc_wal_recovered_clear(&got);
    assert_ok(pc_wal_drop(wal, UINT64_MAX, &first, &error));
    list_segments(fs, &after);
    assert_int_equal(after.n, 1);
    assert_int_equal(first, after.first[0]);
    assert_loads_from(wal, &model, first, 0);
    pc_wal_close(wal);
    assert_is_model(fs, &model, model.commit);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* A segment that begins with a truncation leads in front of its first index: it cannot be the one
 * that a log begins with. */
static void drop__up_to_a_segment_that_begins_with_a_truncation__keeps_the_one_before(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = pc_sim_fs_new(3);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    for (unsigned i = 0; i < 30; i++) {
        model_append(&model, 1, 5000);
        write_and_sync(wal, &model, 1);
    }
    struct files files;
    list_segments(fs, &files);
    pc_index newest = files.first[files.n - 1];
    pc_index from = newest - 2; /* two entries of the segment before are given up */
    while (model_last(&model) + 3 < newest + files.first[1] - files.first[0]) {
        model_append(&model, 1, 5000);
        write_and_sync(wal, &model, 1);
    }
    list_segments(fs, &files);
    assert_int_equal(files.first[files.n - 1], newest);
    /* The batch does not fit any more: it begins a segment, with the truncation in front. */
    model_truncate(&model, from);
    for (unsigned i = 0; i < 4; i++) {
        model_append(&model, 2, 9000);
    }
    struct pc_wal_batch batch = model_batch(&model, 4);
    batch.truncate_from = from;
    assert_ok(pc_wal_write(wal, &batch, &error));
    assert_ok(pc_wal_sync(wal, &error));
    pc_entries_clear(&batch.entries);
    for (unsigned i = 0; i < 14; i++) {
        model_append(&model, 2, 5000);
        model.commit = model_last(&model);
        write_and_sync(wal, &model, 1);
    }
    struct files after;
    list_segments(fs, &after);
    assert_true(after.n >= files.n + 1);
    pc_index upto = model_last(&model) - 5;
    pc_index first = 0;
    assert_ok(pc_wal_drop(wal, upto, &first, &error));
    assert_true(first <= upto + 1 && first > 1);
    pc_wal_close(wal);
    for (pc_index base = first - 1; base <= upto; base++) {
        struct pc_sim_fs *image = pc_sim_fs_clone(fs);
        struct pc_raft_base b = base_at(&model, base);
        wal = open_behind_ok(image, &b, &got);
        assert_behind_is(wal, &got, &model, &b);
        assert_int_equal(got.first, first);
        assert_int_equal(got.damages, 0);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        pc_sim_fs_delete(image);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void drop__truncation_back_to_the_front__goes_on_behind_it(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct pc_wal_recovered got;
    struct pc_error error;
    pc_index first = 0;
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    assert_ok(pc_wal_drop(wal, model.commit, &first, &error));
    pc_index front = first - 1;
    pc_wal_close(wal);
    /* Not even the rest was committed for all this log knows: the snapshot alone is. */
    struct pc_raft_base base = base_at(&model, model.commit);
    wal = open_behind_ok(fs, &base, &got);
    pc_wal_recovered_clear(&got);
    model_truncate(&model, base.index + 1);
    model_append(&model, 5, 300);
    struct pc_wal_batch batch = model_batch(&model, 1);
    batch.truncate_from = base.index + 1;
    assert_ok(pc_wal_write(wal, &batch, &error));
    assert_ok(pc_wal_sync(wal, &error));
    pc_entries_clear(&batch.entries);
    assert_true(front < base.index);
    pc_wal_close(wal);
    assert_is_model(fs, &model, base.index);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* ---- reset */

static void reset__behind_the_last_entry__leaves_an_empty_log_that_goes_on(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    for (unsigned i = 0; i < 10; i++) {
        model_append(&model, 4, 100);
    }
    model.commit = model_last(&model);
    struct pc_raft_base base = base_at(&model, model.commit);
    assert_ok(pc_wal_reset(wal, &base, &error));
    struct files files;
    list_segments(fs, &files);
    assert_int_equal(files.n, 1);
    assert_int_equal(files.first[0], base.index + 1);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
    wal = open_behind_ok(fs, &base, &got);
    assert_int_equal(got.first, base.index + 1);
    assert_int_equal(got.term, 4);
    assert_int_equal(got.vote, 0);
    assert_behind_is(wal, &got, &model, &base);
    pc_wal_recovered_clear(&got);
    model_append(&model, 5, 2000);
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    assert_is_model(fs, &model, base.index);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* What goes may have been acknowledged in the term that stands on the disk: peers would take a log
 * that has less of that very term for an older copy. */
static void start__with_a_snapshot_of_another_entry__ends_the_term(void **state)
{
    (void)state;
    for (unsigned other = 0; other < 2; other++) {
        struct model model = {0};
        struct pc_sim_fs *fs = make_log(&model);
        struct pc_raft_base base = base_at(&model, model_last(&model) - 1);
        base.chain.b[0] ^= 1;
        base.index += other == 0 ? 10 : 0; /* behind the log: nothing goes that is not in it */
        for (unsigned i = 0; i < 2; i++) {
            struct pc_wal_recovered got;
            struct pc_wal *wal = open_behind_ok(fs, &base, &got);
            assert_int_equal(got.last, base.index);
            assert_int_equal(got.term, other == 0 ? 2 : 3);
            assert_int_equal(got.vote, other == 0 ? 7 : 0);
            pc_wal_recovered_clear(&got);
            pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
            pc_wal_close(wal);
        }
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

/* Where there is no space for the new segment the old ones have made it. */
static void reset__on_a_full_disk__succeeds_when_asked_again(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    model_append(&model, 4, 100);
    model.commit = model_last(&model);
    struct pc_raft_base base = base_at(&model, model.commit);
    pc_sim_fs_set_capacity(fs, 10000);
    assert_int_equal(pc_wal_reset(wal, &base, &error), PC_E_NO_SPACE);
    struct pc_entries none = {0};
    assert_int_equal(pc_wal_load(wal, 1, 1, 1, &none, &error), PC_E_NOT_FOUND);
    struct pc_sim_fs *closed = pc_sim_fs_clone(fs);
    pc_sim_fs_set_capacity(fs, UINT64_MAX);
    assert_ok(pc_wal_reset(wal, &base, &error));
    model_append(&model, 9, 100);
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    assert_is_model(fs, &model, base.index);
    /* Or it is closed in between. */
    pc_sim_fs_crash(closed, PC_SIM_FS_POWER_CUT);
    pc_sim_fs_set_capacity(closed, UINT64_MAX);
    model_truncate(&model, base.index + 1);
    assert_is_model(closed, &model, base.index);
    pc_sim_fs_delete(closed);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* ---- what recovery tells */

static void append_config(struct model *model, pc_term term, const char *text)
{
    struct pc_entry entry = {.index = model_last(model) + 1,
        .term = term,
        .stamp_ms = 1000 + model_last(model),
        .kind = PC_ENTRY_CONFIG};
    assert_ok(pc_blob_new(pc_slice_str(text), &entry.body));
    struct pc_hash zero = {{0}};
    size_t n = model->entries.n;
    entry.chain = pc_entry_chain(n == 0 ? &zero : &model->entries.v[n - 1].chain, &entry);
    pc_entries_push(&model->entries, &entry);
    pc_entry_clear(&entry);
}

static void assert_config_is(
    struct pc_sim_fs *fs, const struct model *model, pc_index base_index, pc_index want)
{
    struct pc_wal_recovered got;
    struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
    struct pc_wal *wal = open_base(copy, model, base_index, &got);
    assert_int_equal(got.config.index, want);
    assert_true(want == 0 || entry_equal(&got.config, &model->entries.v[want - 1]));
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    pc_sim_fs_delete(copy);
}

static void config__newest_committed_one__is_told(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = pc_sim_fs_new(8);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    for (unsigned i = 0; i < 30; i++) {
        if (i % 10 == 0) {
            append_config(&model, 1, i == 0 ? "one" : "more");
        } else {
            model_append(&model, 1, 5000);
        }
        model.commit = i < 25 ? i : 25;
        write_and_sync(wal, &model, 1);
    }
    append_config(&model, 1, "not committed");
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    assert_config_is(fs, &model, 0, 21);
    assert_config_is(fs, &model, 24, 21);
    assert_config_is(fs, &model, 31, 31);
    /* It is truncated, and another one follows. */
    wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    model_truncate(&model, 29);
    append_config(&model, 2, "instead");
    model.commit = 28;
    struct pc_wal_batch batch = model_batch(&model, 1);
    batch.truncate_from = 29;
    assert_ok(pc_wal_write(wal, &batch, &error));
    pc_entries_clear(&batch.entries);
    pc_index first = 0;
    assert_ok(pc_wal_sync(wal, &error));
    assert_ok(pc_wal_drop(wal, 28, &first, &error));
    pc_wal_close(wal);
    assert_true(first > 1);
    assert_config_is(fs, &model, 28, first <= 21 ? 21 : 0);
    assert_config_is(fs, &model, 29, 29);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void scan__without_a_base__takes_the_log_from_its_front_on(void **state)
{
    (void)state;
    struct model model = {0};
    pc_index front = 0;
    struct pc_sim_fs *fs = make_dropped(&model, &front);
    struct pc_wal_recovered got;
    struct pc_error error;
    uint64_t steps = pc_sim_fs_steps(fs);
    assert_ok(pc_wal_scan(pc_sim_fs_port(fs), TEST_DIR, NULL, NULL, NULL, &got, &error));
    assert_int_equal(got.first, front + 1);
    assert_int_equal(got.last, model_last(&model));
    assert_int_equal(got.gaps_n, 0);
    pc_wal_recovered_clear(&got);
    struct pc_raft_base base = base_at(&model, 5);
    assert_ok(pc_wal_scan(pc_sim_fs_port(fs), TEST_DIR, &base, NULL, NULL, &got, &error));
    assert_int_equal(got.gaps_n, 1);
    assert_int_equal(got.gaps[0].last, front);
    pc_wal_recovered_clear(&got);
    assert_int_equal(pc_sim_fs_steps(fs), steps);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(drop__whole_segments__and_never_the_newest),
    PC_TEST(drop__up_to_a_segment_that_begins_with_a_truncation__keeps_the_one_before),
    PC_TEST(drop__truncation_back_to_the_front__goes_on_behind_it),
    PC_TEST(reset__behind_the_last_entry__leaves_an_empty_log_that_goes_on),
    PC_TEST(start__with_a_snapshot_of_another_entry__ends_the_term),
    PC_TEST(reset__on_a_full_disk__succeeds_when_asked_again),
    PC_TEST(config__newest_committed_one__is_told),
    PC_TEST(scan__without_a_base__takes_the_log_from_its_front_on),
};
PC_TEST_MAIN("wal_front", tests)
