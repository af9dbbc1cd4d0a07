/* The log without accidents: what is written comes back. */
#include "fixture.h"

static void log__empty__recovers_empty(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    assert_reopens_as(fs, &model);
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    assert_int_equal(recovered.term, 0);
    assert_int_equal(recovered.vote, 0);
    assert_int_equal(recovered.cut_bytes, 0);
    struct pc_entries none = {0};
    struct pc_error error;
    assert_int_equal(pc_wal_load(wal, 1, 1, 10, &none, &error), PC_E_NOT_FOUND);
    pc_wal_close(wal);
    pc_sim_fs_delete(fs);
}

/* Sizes around the payload of a block, and bodies of several chunks. */
static void entries__of_every_size__come_back(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 300, 390, 400, 401, 402, 403, 404, 405, 406, 407, 408, 430,
        503, 504, 505, 1008, 4096, 70000, 2500000, 3};
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        model_append(&model, 1, sizes[i]);
        write_and_sync(wal, &model, 1);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        model_append(&model, 2, sizes[i]);
    }
    write_and_sync(wal, &model, sizeof sizes / sizeof *sizes);
    pc_wal_close(wal);
    assert_reopens_as(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void log__many_segments__recovers_and_loads(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 400; i++) {
        model_append(&model, 1 + i / 100, i * 7 % 1500);
        model_append(&model, 1 + i / 100, 20);
        model.commit = model_last(&model) > 5 ? model_last(&model) - 5 : 0;
        write_and_sync(wal, &model, 2);
    }
    struct pc_wal_stats stats;
    pc_wal_stats(wal, &stats);
    assert_true(stats.segments > 4);
    assert_true(stats.syncs >= 400 && stats.bytes_written > 400 * 512);
    pc_wal_close(wal);

    wal = open_ok(fs, &recovered);
    assert_int_equal(recovered.commit, 795);
    assert_int_equal(recovered.tail.n, 5);
    assert_int_equal(recovered.terms_n, 4);
    assert_recovered_is(&recovered, &model);
    assert_log_is(wal, &recovered, &model);
    pc_wal_recovered_clear(&recovered);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void load__byte_limit__gives_at_least_one(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 10; i++) {
        model_append(&model, 1, 100);
    }
    write_and_sync(wal, &model, 10);
    struct pc_entries some = {0};
    struct pc_error error;
    assert_ok(pc_wal_load(wal, 3, 10, 0, &some, &error));
    assert_int_equal(some.n, 1);
    assert_int_equal(some.v[0].index, 3);
    pc_entries_clear(&some);
    /* What counts is what an entry costs, not its body alone: small ones are bounded too. */
    size_t three = 3 * pc_entry_bytes(&model.entries.v[0]);
    assert_ok(pc_wal_load(wal, 3, 10, three, &some, &error));
    assert_int_equal(some.n, 3);
    pc_entries_clear(&some);
    assert_ok(pc_wal_load(wal, 3, 10, three - 1, &some, &error));
    assert_int_equal(some.n, 2);
    pc_entries_clear(&some);
    assert_int_equal(pc_wal_load(wal, 3, 11, 250, &some, &error), PC_E_NOT_FOUND);
    assert_int_equal(pc_wal_load(wal, 0, 1, 250, &some, &error), PC_E_NOT_FOUND);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* What comes raw are the encodings of the same entries. */
static void assert_raw_is(const struct pc_raw_entries *raw, const struct model *model,
    pc_index first, size_t count)
{
    struct pc_buf expected = {0};
    for (size_t i = 0; i < count; i++) {
        pc_wire_encode_entry(&model->entries.v[first - 1 + i], &expected);
    }
    assert_int_equal(raw->first, first);
    assert_int_equal(raw->n, count);
    assert_int_equal(raw->bytes.len, expected.len);
    assert_memory_equal(raw->bytes.data, expected.data, expected.len);
    pc_buf_destroy(&expected);
}

static void load_raw__any_range__gives_the_bytes_of_the_entries(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 300; i++) {
        model_append(&model, 1 + i / 100, i * 7 % 2000);
        write_and_sync(wal, &model, 1);
    }
    model_truncate(&model, 251); /* what it leaves behind is not to be met */
    model_append(&model, 9, 33);
    struct pc_wal_batch batch = model_batch(&model, 1);
    struct pc_error error;
    batch.truncate_from = 251;
    assert_ok(pc_wal_write(wal, &batch, &error));
    pc_entries_clear(&batch.entries);
    for (pc_index first = 1; first <= 251; first += 9) {
        pc_index last = first + 40 < 251 ? first + 40 : 251;
        struct pc_raw_entries raw = {0};
        assert_ok(pc_wal_load_raw(wal, first, last, 1 << 20, &raw, &error));
        assert_raw_is(&raw, &model, first, last - first + 1);
        pc_raw_entries_clear(&raw);
    }
    struct pc_raw_entries none = {0};
    assert_int_equal(pc_wal_load_raw(wal, 250, 252, 1 << 20, &none, &error), PC_E_NOT_FOUND);
    assert_int_equal(pc_wal_load_raw(wal, 0, 1, 1 << 20, &none, &error), PC_E_NOT_FOUND);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void load_raw__byte_limit__gives_at_least_one(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 10; i++) {
        model_append(&model, 1, 100);
    }
    write_and_sync(wal, &model, 10);
    struct pc_raw_entries raw = {0};
    struct pc_error error;
    assert_ok(pc_wal_load_raw(wal, 3, 5, 1 << 20, &raw, &error));
    size_t three = raw.bytes.len;
    pc_raw_entries_clear(&raw);
    const struct {
        size_t bytes_max, count;
    } cases[] = {{0, 1}, {three - 1, 2}, {three, 3}};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(pc_wal_load_raw(wal, 3, 10, cases[i].bytes_max, &raw, &error));
        assert_raw_is(&raw, &model, 3, cases[i].count);
        pc_raw_entries_clear(&raw);
    }
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void truncate_and_write(
    struct pc_wal *wal, struct model *model, pc_index from, pc_term term, size_t count, size_t len)
{
    struct pc_error error;
    model_truncate(model, from);
    for (size_t i = 0; i < count; i++) {
        model_append(model, term, len);
    }
    struct pc_wal_batch batch = model_batch(model, count);
    batch.truncate_from = from;
    assert_ok(pc_wal_write(wal, &batch, &error));
    assert_ok(pc_wal_sync(wal, &error));
    pc_entries_clear(&batch.entries);
}

static void truncation__then_other_entries__recovers_the_new_ones(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 200; i++) {
        model_append(&model, 1, 50);
    }
    write_and_sync(wal, &model, 200);
    truncate_and_write(wal, &model, 150, 2, 10, 60);
    truncate_and_write(wal, &model, 100, 3, 0, 0);  /* nothing follows */
    truncate_and_write(wal, &model, 100, 3, 5, 70); /* a truncation of nothing */
    truncate_and_write(wal, &model, 1, 4, 3, 80);   /* everything */
    truncate_and_write(wal, &model, 1, 5, 0, 0);
    model_append(&model, 6, 9);
    write_and_sync(wal, &model, 1);
    assert_log_is(wal, &(struct pc_wal_recovered){.last = 1}, &model);
    pc_wal_close(wal);
    assert_reopens_as(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* Names ascend in the order of writing even when the log goes back over a segment's start. */
static void truncation__over_segment_starts__keeps_the_log(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (pc_term term = 1; term < 30; term++) {
        for (unsigned i = 0; i < 40; i++) {
            model_append(&model, term, 1000);
            write_and_sync(wal, &model, 1);
        }
        pc_index from = term % 3 == 0 ? model_last(&model) / 3 : model_last(&model) - 30;
        truncate_and_write(wal, &model, from, term, 4, 300);
    }
    pc_wal_close(wal);
    assert_reopens_as(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void store_vote(struct pc_wal *wal, pc_term term, pc_node_id vote)
{
    struct pc_error error;
    struct pc_wal_batch batch = {.has_vote = true, .term = term, .vote = vote};
    assert_ok(pc_wal_write(wal, &batch, &error));
}

static void assert_vote(struct pc_sim_fs *fs, pc_term term, pc_node_id vote)
{
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    assert_int_equal(recovered.term, term);
    assert_int_equal(recovered.vote, vote);
    pc_wal_recovered_clear(&recovered);
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    pc_wal_close(wal);
}

static void vote__stored__survives_a_power_cut_without_sync(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    store_vote(wal, 3, 77);
    store_vote(wal, 4, 0);
    store_vote(wal, 4, 78);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
    assert_vote(fs, 4, 78);
    assert_vote(fs, 4, 78);
    pc_sim_fs_delete(fs);
}

static void vote__older_than_the_last_entry__is_dropped(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    store_vote(wal, 4, 78);
    model_append(&model, 5, 10);
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    assert_vote(fs, 5, 0);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void options__out_of_range__are_refused(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct pc_wal_opts opts = {.dir = TEST_DIR, .segment_bytes = 1000};
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    struct pc_error error;
    assert_int_equal(
        pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &recovered, &error), PC_E_INVALID);
    opts = (struct pc_wal_opts){.dir = "/nothing/there", .read_only = true};
    assert_int_equal(
        pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &recovered, &error), PC_E_NOT_FOUND);
    pc_sim_fs_delete(fs);
}

static void no_space__for_a_segment__leaves_the_batch_to_be_tried_again(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    pc_sim_fs_set_capacity(fs, 100000); /* one segment and the votes, not two */
    struct pc_error error;
    pc_err err = PC_OK;
    struct pc_wal_batch batch = {0};
    while (err == PC_OK) {
        pc_entries_clear(&batch.entries);
        model_append(&model, 9, 3000);
        batch = model_batch(&model, 1);
        batch.has_vote = true;
        batch.term = 9;
        batch.vote = model_last(&model);
        err = pc_wal_write(wal, &batch, &error);
        assert_true(model_last(&model) < 100);
    }
    assert_int_equal(err, PC_E_NO_SPACE);
    assert_int_equal(pc_wal_write(wal, &batch, &error), PC_E_NO_SPACE);
    pc_sim_fs_set_capacity(fs, UINT64_MAX);
    batch.has_vote = false;
    assert_ok(pc_wal_write(wal, &batch, &error));
    assert_ok(pc_wal_sync(wal, &error));
    pc_entries_clear(&batch.entries);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
    assert_vote(fs, 9, model_last(&model));
    assert_reopens_as(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void sync__failed_once__is_final(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct model durable = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    model_append(&model, 1, 10);
    write_and_sync(wal, &model, 1);
    model_copy(&durable, &model);
    model_append(&model, 1, 10);
    write_last(wal, &model, 1);
    struct pc_error error;
    pc_sim_fs_fail(fs, PC_SIM_FS_SYNC, 0, PC_E_IO);
    assert_int_equal(pc_wal_sync(wal, &error), PC_E_IO);
    uint64_t syncs = pc_sim_fs_syncs(fs);
    assert_int_equal(pc_wal_sync(wal, &error), PC_E_CLOSED);
    struct pc_wal_batch batch = {.has_vote = true, .term = 3, .vote = 1};
    assert_int_equal(pc_wal_write(wal, &batch, &error), PC_E_CLOSED);
    pc_wal_close(wal);
    assert_int_equal(pc_sim_fs_syncs(fs), syncs); /* nobody asked the disk again */
    /* The cache still shows the second entry; the disk never got it. */
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    assert_reopens_as(fs, &durable);
    model_clear(&model);
    model_clear(&durable);
    pc_sim_fs_delete(fs);
}

static void modes__relaxed__do_not_sync_entries_but_votes(void **state)
{
    (void)state;
    static const enum pc_fsync_mode modes[] = {PC_FSYNC_OS, PC_FSYNC_INTERVAL};
    for (size_t i = 0; i < 2; i++) {
        struct pc_sim_fs *fs = pc_sim_fs_new(1);
        struct model model = {0};
        struct pc_wal_opts opts = test_opts();
        opts.fsync = modes[i];
        opts.interval_ms = 3600 * 1000;
        struct pc_wal *wal = NULL;
        struct pc_wal_recovered recovered;
        struct pc_error error;
        assert_ok(pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &recovered, &error));
        uint64_t syncs = pc_sim_fs_syncs(fs);
        model_append(&model, 1, 10);
        write_and_sync(wal, &model, 1);
        assert_int_equal(pc_sim_fs_syncs(fs), syncs);
        store_vote(wal, 2, 5);
        assert_int_equal(pc_sim_fs_syncs(fs), syncs + 1);
        pc_wal_close(wal); /* an orderly end makes everything durable */
        pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
        assert_reopens_as(fs, &model);
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

/* The bytes of a file as hex; out has room for 2 * len + 1. */
static void read_hex(struct pc_sim_fs *fs, const char *path, uint64_t offset, size_t len, char *out)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    uint8_t bytes[512];
    size_t got = 0;
    pc_fd fd;
    struct pc_error error;
    assert_ok(port->open_read(port->context, path, &fd, &error));
    assert_ok(port->read_at(port->context, fd, offset, bytes, len, &got, &error));
    port->close(port->context, fd);
    assert_int_equal(got, len);
    pc_hex_encode(bytes, len, out);
}

/* The format is final: a changed byte is a new version. */
static void format__version_1__has_these_bytes(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    store_vote(wal, 2, 9);
    model_append(&model, 3, 5);
    model.commit = 1;
    write_and_sync(wal, &model, 1);
    char text[300];
    const char *segment = TEST_DIR "/log-0000000000000001.seg";
    read_hex(fs, segment, 0, 64, text);
    assert_string_equal(text, "1e61397408ab415e70636163686c6f67010000000002000001000000000000000100"
                              "00000000000000000000000000000000000000000000800000004ce0dc99");
    read_hex(fs, segment, 512, 8 + 72 + 55, text);
    assert_string_equal(text, "1ef25ad64960fde97063523101010000230000000100000001000000000000000300"
                              "00000000000000000000000000000100000000000000e0c0d81decb72ee23681824f"
                              "919a890c26fe74c41df93bcd990103cd03e807020103c410e0c0d81decb72ee23681"
                              "824f919a890cc40503030303030000000000000000000000000000000000000000");
    read_hex(fs, TEST_DIR "/vote-1", 512, 56, text);
    assert_string_equal(text, "7063616368766f740100000009000000040000000000000002000000000000000900"
                              "000000000000010000000000000001000000b595308d");
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

struct seen {
    unsigned entries;
    unsigned truncations;
    unsigned notes;
    uint64_t offset;
};

static void see(void *arg, const struct pc_wal_record_info *record)
{
    struct seen *seen = arg;
    seen->entries += record->type == PC_WAL_RECORD_ENTRY;
    seen->truncations += record->type == PC_WAL_RECORD_TRUNCATE;
    seen->notes += record->type == PC_WAL_RECORD_NOTE;
    assert_true((record->entry != NULL) == (record->type == PC_WAL_RECORD_ENTRY));
    assert_true(record->offset > seen->offset);
    seen->offset = record->offset;
}

static void scan__shows_every_record__and_writes_nothing(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct model model = {0};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 6; i++) {
        model_append(&model, 1, 10);
    }
    write_and_sync(wal, &model, 6);
    truncate_and_write(wal, &model, 4, 2, 2, 5);
    pc_wal_close(wal);
    uint64_t steps = pc_sim_fs_steps(fs);
    struct seen seen = {0};
    struct pc_error error;
    assert_ok(pc_wal_scan(pc_sim_fs_port(fs), TEST_DIR, NULL, see, &seen, &recovered, &error));
    assert_int_equal(seen.entries, 8);
    assert_int_equal(seen.truncations, 1);
    assert_int_equal(seen.notes, 1);
    assert_recovered_is(&recovered, &model);
    pc_wal_recovered_clear(&recovered);
    assert_int_equal(pc_sim_fs_steps(fs), steps);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(log__empty__recovers_empty),
    PC_TEST(entries__of_every_size__come_back),
    PC_TEST(log__many_segments__recovers_and_loads),
    PC_TEST(load__byte_limit__gives_at_least_one),
    PC_TEST(load_raw__any_range__gives_the_bytes_of_the_entries),
    PC_TEST(load_raw__byte_limit__gives_at_least_one),
    PC_TEST(truncation__then_other_entries__recovers_the_new_ones),
    PC_TEST(truncation__over_segment_starts__keeps_the_log),
    PC_TEST(vote__stored__survives_a_power_cut_without_sync),
    PC_TEST(vote__older_than_the_last_entry__is_dropped),
    PC_TEST(options__out_of_range__are_refused),
    PC_TEST(no_space__for_a_segment__leaves_the_batch_to_be_tried_again),
    PC_TEST(sync__failed_once__is_final),
    PC_TEST(modes__relaxed__do_not_sync_entries_but_votes),
    PC_TEST(format__version_1__has_these_bytes),
    PC_TEST(scan__shows_every_record__and_writes_nothing),
};
PC_TEST_MAIN("wal", tests)
