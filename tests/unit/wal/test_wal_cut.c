/* Giving up: a log ends in front of what is lost, not of what was only damaged once, and what it
 * gives up is kept. */
#include "fixture.h"

#define BLOCK 512u
#define FIRST_SEGMENT TEST_DIR "/log-0000000000000001.seg"

static struct pc_wal *open_as(
    struct pc_sim_fs *fs, enum pc_wal_damage damage, struct pc_wal_recovered *got)
{
    struct pc_wal_opts opts = test_opts();
    opts.damage = damage;
    struct pc_wal *wal = NULL;
    struct pc_error error = {0};
    pc_err err = pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, got, &error);
    if (err != PC_OK && !pc_sim_fs_is_off(fs)) {
        fail_msg("open: %s", error.text);
    }
    return wal;
}

/* The places of all entries, and of one kind of record in the first segment. */
struct places {
    char segment[1000][64];
    uint64_t offset[1000];
    pc_index last;
    uint64_t first_note;
};

static void note_place(void *arg, const struct pc_wal_record_info *record)
{
    struct places *places = arg;
    if (record->type == PC_WAL_RECORD_NOTE && places->first_note == 0) {
        places->first_note = record->offset;
    }
    if (record->type == PC_WAL_RECORD_ENTRY) {
        assert_true(record->index < 1000);
        (void)snprintf(places->segment[record->index], 64, TEST_DIR "/%.50s", record->segment);
        places->offset[record->index] = record->offset;
        places->last = record->index;
    }
}

static struct places *find_places(struct pc_sim_fs *fs)
{
    struct places *places = pc_xalloc(sizeof *places);
    struct pc_wal_recovered got;
    struct pc_error error;
    assert_ok(pc_wal_scan(pc_sim_fs_port(fs), TEST_DIR, NULL, note_place, places, &got, &error));
    pc_wal_recovered_clear(&got);
    return places;
}

/* One flipped bit in the body of an entry. */
static void rot_entry(struct pc_sim_fs *fs, const struct places *places, pc_index index)
{
    assert_true(pc_sim_fs_flip_bit(fs, places->segment[index], places->offset[index] + 150, 3));
}

/* Three short rounds with a note at the end of each, then many entries, then the process dies. */
static struct pc_sim_fs *make_log(struct model *model)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(5);
    struct pc_wal_recovered got;
    for (unsigned round = 0; round < 4; round++) {
        struct pc_wal *wal = open_ok(fs, &got);
        for (unsigned i = 0; i < (round < 3 ? 1 : 300); i++) {
            model_append(model, 1, 600);
            model->commit = model->entries.n - 1;
            write_and_sync(wal, model, 1);
        }
        pc_wal_recovered_clear(&got);
        if (round == 3) {
            pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
        }
        pc_wal_close(wal);
    }
    return fs;
}

static void rot_first_note(struct pc_sim_fs *fs, const struct places *places)
{
    uint8_t zeros[BLOCK] = {0};
    assert_true(places->first_note > 0);
    assert_true(pc_sim_fs_overwrite(
        fs, FIRST_SEGMENT, places->first_note / BLOCK * BLOCK, pc_slice_of(zeros, sizeof zeros)));
}

static void assert_cut_to(
    struct pc_wal *wal, struct pc_wal_recovered *got, struct model *model, pc_index last)
{
    assert_int_equal(got->last, last);
    assert_int_equal(got->cut_entries_from, last + 1);
    assert_true(got->doubt > 0);
    model_truncate(model, last + 1);
    assert_recovered_is(got, model);
    assert_log_is(wal, got, model);
    pc_wal_recovered_clear(got);
    pc_wal_close(wal);
}

static void cut__behind_damage_that_cost_nothing__leaves_what_lies_between(void **state)
{
    (void)state;
    for (unsigned mode = PC_WAL_DAMAGE_REPAIR; mode <= PC_WAL_DAMAGE_CUT; mode++) {
        struct model model = {0};
        struct pc_wal_recovered got;
        struct pc_sim_fs *fs = make_log(&model);
        struct places *places = find_places(fs);
        rot_first_note(fs, places);
        rot_entry(fs, places, places->last);
        assert_refused(fs, "the log ends before 303");
        assert_refused(fs, places->segment[places->last] + sizeof TEST_DIR);
        struct pc_wal *wal = open_as(fs, mode, &got);
        assert_non_null(strstr(got.where, places->segment[places->last] + sizeof TEST_DIR));
        assert_cut_to(wal, &got, &model, 302);
        pc_sim_fs_delete(fs);
        model_clear(&model);
        free(places);
    }
}

static void put_all(
    struct pc_wal *wal, size_t place, const struct pc_wal_gap *gap, const struct model *model)
{
    struct pc_error error;
    bool closed = false;
    assert_ok(pc_wal_repair_put(wal, place, &model->entries.v[gap->first - 1],
        (size_t)(gap->last - gap->first + 1), &closed, &error));
    assert_true(closed);
}

static void cut__behind_a_gap_that_was_filled__leaves_what_lies_between(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal_recovered got;
    struct pc_sim_fs *fs = make_log(&model);
    struct places *places = find_places(fs);
    rot_entry(fs, places, 10);
    struct pc_wal *wal = open_as(fs, PC_WAL_DAMAGE_REPAIR, &got);
    assert_int_equal(got.gaps_n, 1);
    put_all(wal, 0, &got.gaps[0], &model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rot_entry(fs, places, places->last);
    wal = open_as(fs, PC_WAL_DAMAGE_REPAIR, &got);
    assert_cut_to(wal, &got, &model, 302);
    pc_sim_fs_delete(fs);
    model_clear(&model);
    free(places);
}

/* Of three gaps the first is closed, and nobody has the second. */
static void cut__of_a_gap_behind_one_just_closed__begins_there(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_sim_fs *fs = make_log(&model);
    struct places *places = find_places(fs);
    rot_entry(fs, places, 10);
    rot_entry(fs, places, 150);
    rot_entry(fs, places, 250);
    struct pc_wal *wal = open_as(fs, PC_WAL_DAMAGE_REPAIR, &got);
    assert_int_equal(got.gaps_n, 3);
    put_all(wal, 0, &got.gaps[0], &model);
    assert_ok(pc_wal_repair_cut(wal, &error));
    pc_wal_recovered_clear(&got);
    assert_ok(pc_wal_reopen(&wal, NULL, &got, &error));
    assert_int_equal(got.gaps_n, 0);
    assert_int_equal(got.last, 149);
    model_truncate(&model, 150);
    assert_log_is(wal, &got, &model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    pc_sim_fs_delete(fs);
    model_clear(&model);
    free(places);
}

/* A gap that was dropped by a truncation in front of the end that is lost. */
static void cut__behind_a_gap_that_was_truncated__leaves_what_lies_between(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_sim_fs *fs = pc_sim_fs_new(5);
    struct pc_wal *wal = open_ok(fs, &got);
    for (unsigned i = 0; i < 20; i++) {
        model_append(&model, 1, 600);
        write_and_sync(wal, &model, 1);
    }
    struct places *before = pc_xalloc(sizeof *before);
    struct pc_wal_recovered seen;
    assert_ok(pc_wal_scan(pc_sim_fs_port(fs), TEST_DIR, NULL, note_place, before, &seen, &error));
    pc_wal_recovered_clear(&seen);
    model_truncate(&model, 11);
    for (unsigned i = 0; i < 20; i++) {
        model_append(&model, 2, 600);
        struct pc_wal_batch batch = model_batch(&model, 1);
        batch.truncate_from = i == 0 ? 11 : 0;
        assert_ok(pc_wal_write(wal, &batch, &error));
        assert_ok(pc_wal_sync(wal, &error));
        pc_entries_clear(&batch.entries);
    }
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    pc_wal_close(wal);
    struct places *places = find_places(fs);
    rot_entry(fs, before, 15);
    rot_entry(fs, places, 30);
    wal = open_as(fs, PC_WAL_DAMAGE_REPAIR, &got);
    assert_cut_to(wal, &got, &model, 29);
    pc_sim_fs_delete(fs);
    model_clear(&model);
    free(places);
    free(before);
}

/* The beginning is missing, and in the segment behind that the header and an entry. What holds of
 * the log in front of that entry is said in the middle of a batch: no batch is clean yet, and the
 * only place for a cut is the beginning. */
static void cut__of_a_gap_before_any_batch_is_clean__takes_all_under_doubt(void **state)
{
    (void)state;
    for (unsigned mode = PC_WAL_DAMAGE_REPAIR; mode <= PC_WAL_DAMAGE_CUT; mode++) {
        struct model model = {0};
        struct pc_wal_recovered got;
        struct pc_error error;
        struct pc_sim_fs *fs = make_log(&model);
        struct places *places = find_places(fs);
        pc_index second = 1;
        while (strcmp(places->segment[second], FIRST_SEGMENT) == 0) {
            second++;
        }
        assert_true(second + 20 < places->last);
        assert_true(pc_sim_fs_remove(fs, FIRST_SEGMENT));
        assert_true(pc_sim_fs_flip_bit(fs, places->segment[second], 30, 3));
        rot_entry(fs, places, second + 9);
        assert_refused(fs, "missing");
        struct pc_wal *wal = open_as(fs, mode, &got);
        if (mode == PC_WAL_DAMAGE_REPAIR) {
            assert_int_equal(got.gaps_n, 2);
            assert_int_equal(got.gaps[1].first, second + 9);
            assert_int_equal(got.gaps[1].last, second + 9);
            put_all(wal, 0, &got.gaps[0], &model);
            assert_ok(pc_wal_repair_cut(wal, &error));
            pc_wal_recovered_clear(&got);
            assert_ok(pc_wal_reopen(&wal, NULL, &got, &error));
        }
        assert_int_equal(got.gaps_n, 0);
        assert_int_equal(got.last, 0);
        assert_int_equal(got.doubt, 1);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        pc_sim_fs_delete(fs);
        model_clear(&model);
        free(places);
    }
}

struct names {
    char path[64][64];
    size_t n;
};

static void add_name(void *arg, const char *name)
{
    struct names *names = arg;
    assert_true(names->n < 64);
    (void)snprintf(names->path[names->n++], 64, TEST_DIR "/%.50s", name);
}

static void list_names(struct pc_sim_fs *fs, struct names *out)
{
    struct pc_error error;
    const struct pc_fs *port = pc_sim_fs_port(fs);
    *out = (struct names){0};
    assert_ok(port->list(port->context, TEST_DIR, add_name, out, &error));
}

/* *out: as many bytes as the file has, to be freed. */
static size_t read_file(struct pc_sim_fs *fs, const char *path, uint8_t **out)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    pc_fd fd;
    size_t got = 0;
    size_t bytes = (size_t)pc_sim_fs_file_bytes(fs, path);
    *out = pc_xalloc(bytes + 1);
    assert_ok(port->open_read(port->context, path, &fd, &error));
    assert_ok(port->read_at(port->context, fd, 0, *out, bytes, &got, &error));
    port->close(port->context, fd);
    assert_int_equal(got, bytes);
    return bytes;
}

/* Whether some file of this name, numbered or not, has every block that the original had. */
static bool is_kept(struct pc_sim_fs *fs, const char *kept_as, const uint8_t *bytes, size_t len)
{
    struct names names;
    bool found = false;
    list_names(fs, &names);
    for (size_t i = 0; i < names.n; i++) {
        if (strncmp(names.path[i], kept_as, strlen(kept_as)) != 0) {
            continue;
        }
        uint8_t *copy;
        size_t copied = read_file(fs, names.path[i], &copy);
        bool same = copied <= len && memcmp(copy, bytes, copied) == 0;
        for (size_t at = copied; at < len; at++) {
            same = same && bytes[at] == 0;
        }
        found = found || same;
        free(copy);
    }
    return found;
}

/* Every segment from `from` on, as it was, stands aside. */
static void assert_evidence_is_whole(
    struct pc_sim_fs *fs, struct pc_sim_fs *original, const char *from)
{
    struct names names;
    unsigned n = 0;
    list_names(original, &names);
    for (size_t i = 0; i < names.n; i++) {
        if (strncmp(names.path[i], TEST_DIR "/log-", sizeof TEST_DIR + 4) != 0 ||
            strcmp(names.path[i], from) < 0) {
            continue;
        }
        char kept_as[64];
        uint8_t *bytes;
        size_t len = read_file(original, names.path[i], &bytes);
        (void)snprintf(
            kept_as, sizeof kept_as, TEST_DIR "/bad-%.16s", names.path[i] + sizeof TEST_DIR + 4);
        if (!is_kept(fs, kept_as, bytes, len)) {
            fail_msg("%s is not kept", names.path[i]);
        }
        free(bytes);
        n++;
    }
    assert_true(n >= 3);
}

/* A start with --accept-data-loss; the power may go after some steps. False: it went. */
static bool start(struct pc_sim_fs *fs, uint64_t steps, struct pc_wal_recovered *got)
{
    pc_sim_fs_power_off_after(fs, steps);
    struct pc_wal *wal = open_as(fs, PC_WAL_DAMAGE_CUT, got);
    bool opened = wal != NULL;
    pc_wal_close(wal);
    if (!pc_sim_fs_is_off(fs)) {
        assert_true(opened);
        return true;
    }
    if (opened) {
        pc_wal_recovered_clear(got);
    }
    pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
    return false;
}

/* A power cut at every step, and another one during the start behind it. */
static void power_cut__at_every_step_of_a_cut__loses_no_evidence(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct places *places = find_places(fs);
    uint8_t noise[3 * BLOCK];
    memset(noise, 0xa5, sizeof noise);
    assert_true(pc_sim_fs_overwrite(fs, places->segment[120], places->offset[120] / BLOCK * BLOCK,
        pc_slice_of(noise, sizeof noise)));
    bool off = true;
    uint64_t step = 1;
    for (; off; step++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        struct pc_wal_recovered got;
        pc_sim_fs_reseed(copy, step);
        off = !start(copy, step, &got);
        if (!off) {
            pc_wal_recovered_clear(&got);
        }
        if (start(copy, 1 + step * 7 % 23, &got)) {
            pc_wal_recovered_clear(&got);
        }
        assert_true(start(copy, UINT64_MAX / 2, &got));
        assert_int_equal(got.last, 119);
        assert_true(got.doubt > 0);
        assert_evidence_is_whole(copy, fs, places->segment[120]);
        pc_wal_recovered_clear(&got);
        pc_sim_fs_delete(copy);
    }
    assert_true(step > 12);
    pc_sim_fs_delete(fs);
    model_clear(&model);
    free(places);
}

/* What was kept once goes with the first cut behind the end of that doubt, and not before. */
static void evidence__of_an_earlier_doubt__goes_with_the_next_cut(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal_recovered got;
    struct pc_sim_fs *fs = make_log(&model);
    struct places *places = find_places(fs);
    char kept_as[64];
    rot_entry(fs, places, places->last);
    (void)snprintf(kept_as, sizeof kept_as, TEST_DIR "/bad-%.20s",
        places->segment[places->last] + sizeof TEST_DIR + 4);
    struct pc_wal *wal = open_as(fs, PC_WAL_DAMAGE_CUT, &got);
    assert_true(pc_sim_fs_file_bytes(fs, kept_as) != UINT64_MAX);
    model_truncate(&model, got.last + 1);
    pc_term later = got.doubt + 5;
    pc_wal_recovered_clear(&got);
    for (unsigned i = 0; i < 300; i++) { /* well into another segment */
        model_append(&model, later, 600);
        write_and_sync(wal, &model, 1);
    }
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    pc_wal_close(wal);
    free(places);
    places = find_places(fs);
    rot_entry(fs, places, places->last);
    wal = open_as(fs, PC_WAL_DAMAGE_CUT, &got);
    assert_int_equal(pc_sim_fs_file_bytes(fs, kept_as), UINT64_MAX);
    assert_cut_to(wal, &got, &model, places->last - 1);
    pc_sim_fs_delete(fs);
    model_clear(&model);
    free(places);
}

/* A port below which one block of the first segment answers with an error. */
struct bad_block {
    struct pc_fs port;
    const struct pc_fs *inner;
    uint64_t offset;
    unsigned left; /* so often */
};

static pc_err bad_read_at(void *c, pc_fd fd, uint64_t offset, uint8_t *out, size_t len, size_t *got,
    struct pc_error *error)
{
    struct bad_block *bad = c;
    if (offset <= bad->offset && bad->offset < offset + len && offset >= BLOCK && bad->left > 0) {
        bad->left--;
        return pc_error_set(error, PC_E_IO, "read: bad medium");
    }
    return bad->inner->read_at(bad->inner->context, fd, offset, out, len, got, error);
}

static pc_err bad_open_read(void *c, const char *path, pc_fd *fd, struct pc_error *error)
{
    struct bad_block *bad = c;
    return bad->inner->open_read(bad->inner->context, path, fd, error);
}

static void bad_close(void *c, pc_fd fd)
{
    struct bad_block *bad = c;
    bad->inner->close(bad->inner->context, fd);
}

static pc_err bad_size(void *c, pc_fd fd, uint64_t *bytes, struct pc_error *error)
{
    struct bad_block *bad = c;
    return bad->inner->size(bad->inner->context, fd, bytes, error);
}

static pc_err bad_list(void *c, const char *path, void (*each)(void *arg, const char *name),
    void *arg, struct pc_error *error)
{
    struct bad_block *bad = c;
    return bad->inner->list(bad->inner->context, path, each, arg, error);
}

static void block__that_cannot_be_read__is_named_with_file_and_offset(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct bad_block bad = {.inner = pc_sim_fs_port(fs), .offset = 40 * BLOCK, .left = 1000};
    bad.port = *bad.inner;
    bad.port.context = &bad;
    bad.port.open_read = bad_open_read;
    bad.port.read_at = bad_read_at;
    bad.port.close = bad_close;
    bad.port.size = bad_size;
    bad.port.list = bad_list;
    assert_int_equal(pc_wal_scan(&bad.port, TEST_DIR, NULL, NULL, NULL, &got, &error), PC_E_IO);
    assert_non_null(strstr(error.text, "log-0000000000000001.seg"));
    assert_non_null(strstr(error.text, "offset 20480"));
    bad.left = 1; /* it answers the second time */
    assert_ok(pc_wal_scan(&bad.port, TEST_DIR, NULL, NULL, NULL, &got, &error));
    assert_int_equal(got.last, model_last(&model));
    pc_wal_recovered_clear(&got);
    pc_sim_fs_delete(fs);
    model_clear(&model);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(block__that_cannot_be_read__is_named_with_file_and_offset),
    PC_TEST(power_cut__at_every_step_of_a_cut__loses_no_evidence),
    PC_TEST(evidence__of_an_earlier_doubt__goes_with_the_next_cut),
    PC_TEST(cut__behind_damage_that_cost_nothing__leaves_what_lies_between),
    PC_TEST(cut__behind_a_gap_that_was_filled__leaves_what_lies_between),
    PC_TEST(cut__of_a_gap_behind_one_just_closed__begins_there),
    PC_TEST(cut__behind_a_gap_that_was_truncated__leaves_what_lies_between),
    PC_TEST(cut__of_a_gap_before_any_batch_is_clean__takes_all_under_doubt),
};
PC_TEST_MAIN("wal_cut", tests)
