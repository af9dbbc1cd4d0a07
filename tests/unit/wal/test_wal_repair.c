/* Damage keeps its place: a log with lost entries opens, says which, takes them back, and is then
 * what it was; or it ends in front of them and knows that it may lack something. */
#include "fixture.h"

#define BLOCK 512u

static struct pc_wal *open_for_repair(struct pc_sim_fs *fs, struct pc_wal_recovered *got)
{
    struct pc_wal_opts opts = test_opts();
    opts.damage = PC_WAL_DAMAGE_REPAIR;
    struct pc_wal *wal = NULL;
    struct pc_error error = {0};
    pc_err err = pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, got, &error);
    if (err != PC_OK) {
        fail_msg("open: %s", error.text);
    }
    return wal;
}

/* A log of a few segments with a truncation in it and a vote; `closed`: in order. */
static struct pc_sim_fs *make_log(struct model *model, bool closed)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(5);
    struct pc_wal_recovered recovered;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 100; i++) {
        model_append(model, 2, i * 37 % 900);
        model_append(model, 2, 30);
        model->commit = i * 2;
        write_and_sync(wal, model, 2);
    }
    model_truncate(model, 200);
    model_append(model, 3, 500);
    struct pc_wal_batch batch = model_batch(model, 1);
    batch.truncate_from = 200;
    batch.has_vote = true;
    batch.term = 4;
    batch.vote = 99;
    assert_ok(pc_wal_write(wal, &batch, &error));
    assert_ok(pc_wal_sync(wal, &error));
    pc_entries_clear(&batch.entries);
    for (unsigned i = 0; i < 40; i++) {
        model_append(model, 3, 700);
        write_and_sync(wal, model, 1);
    }
    if (!closed) {
        pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    }
    pc_wal_close(wal);
    return fs;
}

static bool put(struct pc_wal *wal, size_t gap, pc_index first, pc_index last,
    const struct model *model, struct pc_error *error)
{
    bool closed = false;
    while (!closed && first <= last) {
        size_t n = last - first + 1 < 7 ? last - first + 1 : 7;
        if (pc_wal_repair_put(wal, gap, &model->entries.v[first - 1], n, &closed, error) != PC_OK) {
            return false;
        }
        first += n;
    }
    return closed;
}

/* What a node does with gaps, with a peer that has the model. False: the power went. */
static bool repair(struct pc_sim_fs *fs, struct pc_wal *wal, const struct pc_wal_recovered *got,
    const struct model *model)
{
    struct pc_error error;
    for (size_t i = 0; i < got->gaps_n && !pc_sim_fs_is_off(fs); i++) {
        const struct pc_wal_gap *gap = &got->gaps[i];
        assert_true(gap->floor < gap->first && gap->first <= gap->last);
        bool has = gap->last <= model_last(model) &&
                   (put(wal, i, gap->first, gap->last, model, &error) ||
                       put(wal, i, gap->floor + 1, gap->last, model, &error));
        if (!has && !pc_sim_fs_is_off(fs)) {
            pc_err err = pc_wal_repair_cut(wal, &error);
            assert_true(err == PC_OK || pc_sim_fs_is_off(fs));
            return err == PC_OK;
        }
    }
    return !pc_sim_fs_is_off(fs);
}

/* Whatever is read is what was written, or said to be lost. */
static void assert_reads_are_true(
    struct pc_wal *wal, const struct pc_wal_recovered *got, const struct model *model)
{
    struct pc_error error;
    for (pc_index i = 1; i <= got->last; i++) {
        struct pc_entries one = {0};
        pc_err err = pc_wal_load(wal, i, i, 1, &one, &error);
        if (err == PC_OK && i <= model_last(model)) {
            bool in_gap = false;
            for (size_t g = 0; g < got->gaps_n; g++) {
                in_gap = in_gap || (i >= got->gaps[g].first && i <= got->gaps[g].last);
            }
            assert_false(in_gap);
            bool stale_possible = got->gaps_n > 0 && i > got->gaps[0].floor;
            assert_true(stale_possible || entry_equal(&one.v[0], &model->entries.v[i - 1]));
        } else if (err != PC_OK) {
            assert_int_equal(err, PC_E_NOT_FOUND);
        }
        pc_entries_clear(&one);
    }
}

enum outcome { HARMLESS, REPAIRED, DOUBTED };

/* The log is the model; or it ends earlier, and the doubt covers everything that was promised. */
static enum outcome assert_whole(
    struct pc_sim_fs *fs, const struct model *model, bool was_damaged, uint64_t power_off_after)
{
    bool repaired = false;
    for (unsigned round = 0; round < 40; round++) {
        struct pc_wal_recovered got;
        struct pc_wal_opts opts = test_opts();
        opts.damage = PC_WAL_DAMAGE_REPAIR;
        struct pc_wal *wal = NULL;
        struct pc_error error = {0};
        if (round == 0 && power_off_after > 0) {
            pc_sim_fs_power_off_after(fs, power_off_after - 1);
        }
        pc_err err = pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &got, &error);
        if (err != PC_OK) {
            if (!pc_sim_fs_is_off(fs)) {
                fail_msg("open: %s", error.text);
            }
            pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            continue;
        }
        if (got.gaps_n > 0) {
            repaired = true;
            assert_reads_are_true(wal, &got, model);
            bool on = repair(fs, wal, &got, model);
            if (!on) {
                pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            }
            pc_wal_close(wal);
            pc_wal_recovered_clear(&got);
            continue;
        }
        if (pc_sim_fs_is_off(fs)) {
            pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            pc_wal_close(wal);
            pc_wal_recovered_clear(&got);
            continue;
        }
        pc_sim_fs_power_off_after(fs, UINT64_MAX / 2);
        enum outcome outcome = repaired ? REPAIRED : HARMLESS;
        if (got.doubt == 0) {
            assert_recovered_is(&got, model);
            assert_log_is(wal, &got, model);
            assert_int_equal(got.vote, 99);
            assert_int_equal(got.term, 4);
        } else {
            outcome = DOUBTED;
            assert_true(was_damaged);
            assert_true(got.doubt >= 4 && got.term > got.doubt && got.vote == 0);
        }
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        return outcome;
    }
    fail_msg("it does not come to an end");
    return HARMLESS;
}

struct files {
    char path[32][64];
    size_t n;
};

static void add_file(void *arg, const char *name)
{
    struct files *files = arg;
    if (strncmp(name, "log-", 4) == 0) {
        assert_true(files->n < 32);
        (void)snprintf(files->path[files->n++], 64, TEST_DIR "/%.50s", name);
    }
}

static void list_files(struct pc_sim_fs *fs, struct files *out)
{
    struct pc_error error;
    *out = (struct files){0};
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_ok(port->list(port->context, TEST_DIR, add_file, out, &error));
    assert_true(out->n >= 3);
    for (size_t i = 0; i < out->n; i++) {
        for (size_t j = i + 1; j < out->n; j++) {
            if (strcmp(out->path[j], out->path[i]) < 0) {
                struct files swap = *out;
                memcpy(out->path[i], swap.path[j], 64);
                memcpy(out->path[j], swap.path[i], 64);
            }
        }
    }
}

/* One to three places of every kind. */
static void damage(struct pc_sim_fs *fs, const struct files *files, struct pc_prng *prng)
{
    for (uint64_t n = pc_prng_between(prng, 1, 3); n > 0; n--) {
        const char *path = files->path[pc_prng_below(prng, files->n)];
        uint64_t bytes = pc_sim_fs_file_bytes(fs, path);
        uint8_t noise[4096] = {0};
        size_t len = pc_prng_below(prng, 4) == 0 ? 4096 : BLOCK;
        for (size_t i = 0; i < sizeof noise && pc_prng_below(prng, 2) == 0; i++) {
            noise[i] = (uint8_t)pc_prng_next(prng);
        }
        if (pc_prng_below(prng, 3) == 0) {
            (void)pc_sim_fs_flip_bit(
                fs, path, pc_prng_below(prng, bytes), (unsigned)pc_prng_below(prng, 8));
        } else {
            uint64_t at = pc_prng_below(prng, bytes / len) * len;
            (void)pc_sim_fs_overwrite(fs, path, at, pc_slice_of(noise, len));
        }
    }
}

static void damage__anywhere__is_repaired_or_doubted(bool closed)
{
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model, closed);
    struct files files;
    struct pc_prng prng;
    unsigned outcomes[3] = {0};
    list_files(fs, &files);
    pc_prng_seed(&prng, closed ? 21 : 22);
    for (unsigned i = 0; i < 250 / PC_TEST_STRIDE; i++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        damage(copy, &files, &prng);
        outcomes[assert_whole(copy, &model, true, 0)]++;
        pc_sim_fs_delete(copy);
    }
    assert_true(
        outcomes[HARMLESS] > 10 / PC_TEST_STRIDE && outcomes[REPAIRED] > 50 / PC_TEST_STRIDE);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void damage__in_a_closed_log__is_repaired_or_doubted(void **state)
{
    (void)state;
    damage__anywhere__is_repaired_or_doubted(true);
}

static void power_cut__at_every_step_of_a_repair__changes_nothing(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model, true);
    struct files files;
    struct pc_prng prng;
    list_files(fs, &files);
    pc_prng_seed(&prng, 23);
    for (unsigned i = 0; i < 6; i++) {
        struct pc_sim_fs *damaged = pc_sim_fs_clone(fs);
        damage(damaged, &files, &prng);
        struct pc_sim_fs *calm = pc_sim_fs_clone(damaged);
        bool doubt = assert_whole(calm, &model, true, 0) == DOUBTED;
        pc_sim_fs_delete(calm);
        for (uint64_t step = 1; step < 40; step += PC_TEST_STRIDE) {
            struct pc_sim_fs *copy = pc_sim_fs_clone(damaged);
            pc_sim_fs_reseed(copy, step);
            bool doubted = assert_whole(copy, &model, true, step) == DOUBTED;
            assert_int_equal(doubted, doubt);
            pc_sim_fs_delete(copy);
        }
        pc_sim_fs_delete(damaged);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void segments__each_missing_or_short__are_repaired_or_doubted(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model, true);
    struct files files;
    list_files(fs, &files);
    for (size_t i = 0; i < files.n; i++) {
        bool newest = i + 1 == files.n;
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        assert_true(pc_sim_fs_remove(copy, files.path[i]));
        assert_int_equal(assert_whole(copy, &model, true, 0), newest ? DOUBTED : REPAIRED);
        pc_sim_fs_delete(copy);
        copy = pc_sim_fs_clone(fs);
        assert_true(pc_sim_fs_shorten(copy, files.path[i], 40 * BLOCK));
        assert_int_equal(assert_whole(copy, &model, true, 0), newest ? DOUBTED : REPAIRED);
        pc_sim_fs_delete(copy);
        copy = pc_sim_fs_clone(fs);
        uint8_t zeros[BLOCK] = {0};
        assert_true(pc_sim_fs_overwrite(copy, files.path[i], 0, pc_slice_of(zeros, BLOCK)));
        assert_int_equal(assert_whole(copy, &model, true, 0), HARMLESS);
        struct pc_wal_recovered got;
        pc_wal_close(open_ok(copy, &got)); /* the header is there again */
        assert_int_equal(got.damages, 0);
        pc_wal_recovered_clear(&got);
        pc_sim_fs_delete(copy);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void every_segment__missing__leaves_an_empty_log_in_doubt(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model, true);
    struct files files;
    list_files(fs, &files);
    for (size_t i = 0; i < files.n; i++) {
        assert_true(pc_sim_fs_remove(fs, files.path[i]));
    }
    assert_refused(fs, "missing");
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_for_repair(fs, &got);
    assert_int_equal(got.last, 0);
    assert_int_equal(got.doubt, 4);
    assert_int_equal(got.term, 5);
    pc_wal_close(wal);
    wal = open_for_repair(fs, &got);
    assert_int_equal(got.doubt, 4);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* The doubt outlives starts until an entry of a later term is durable, and no longer. */
static void doubt__entry_of_a_later_term__ends_it(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model, true);
    struct files files;
    struct pc_wal_recovered got;
    list_files(fs, &files);
    assert_true(pc_sim_fs_remove(fs, files.path[files.n - 1]));
    struct pc_wal *wal = open_for_repair(fs, &got);
    assert_int_equal(got.doubt, 4);
    assert_int_equal(got.cut_entries_from, got.last + 1);
    model_truncate(&model, got.last + 1);
    assert_recovered_is(&got, &model);
    pc_wal_recovered_clear(&got);
    model_append(&model, 4, 10);
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    wal = open_for_repair(fs, &got);
    assert_int_equal(got.doubt, 4);
    pc_wal_recovered_clear(&got);
    model_append(&model, 6, 10);
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    wal = open_for_repair(fs, &got);
    assert_int_equal(got.doubt, 0);
    assert_recovered_is(&got, &model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* The entry that ended it is replaced by an older one: it was not committed, nor is the doubt back,
 * for the node may have voted meanwhile. */
static void doubt__ended_by_an_entry_that_is_truncated__stays_ended(void **state)
{
    (void)state;
    for (unsigned has_voted = 0; has_voted < 2; has_voted++) {
        struct model model = {0};
        struct pc_sim_fs *fs = make_log(&model, true);
        struct files files;
        struct pc_wal_recovered got;
        struct pc_error error;
        list_files(fs, &files);
        assert_true(pc_sim_fs_remove(fs, files.path[files.n - 1]));
        struct pc_wal *wal = open_for_repair(fs, &got);
        assert_int_equal(got.doubt, 4);
        model_truncate(&model, got.last + 1);
        pc_wal_recovered_clear(&got);
        model_append(&model, 6, 30);
        write_and_sync(wal, &model, 1);
        struct pc_wal_batch vote = {
            .has_vote = true, .term = 7, .vote = has_voted ? 99 : 0, .commit = model.commit};
        assert_ok(pc_wal_write(wal, &vote, &error));
        pc_index at = model_last(&model);
        model_truncate(&model, at);
        model_append(&model, 3, 30);
        struct pc_wal_batch batch = model_batch(&model, 1);
        batch.truncate_from = at;
        assert_ok(pc_wal_write(wal, &batch, &error));
        assert_ok(pc_wal_sync(wal, &error));
        pc_entries_clear(&batch.entries);
        pc_wal_close(wal);
        wal = open_for_repair(fs, &got);
        assert_int_equal(got.doubt, 0);
        assert_int_equal(got.term, 7);
        assert_int_equal(got.vote, has_voted ? 99 : 0);
        assert_recovered_is(&got, &model);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

/* The vote behind the end of the doubt is asked for before that end is on the disk. */
static void doubt__vote_behind_unsynced_entries__is_not_ended_without_them(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model, true);
    struct files files;
    struct pc_wal_recovered got;
    struct pc_error error;
    list_files(fs, &files);
    assert_true(pc_sim_fs_remove(fs, files.path[files.n - 1]));
    struct pc_wal *wal = open_for_repair(fs, &got);
    model_truncate(&model, got.last + 1);
    pc_wal_recovered_clear(&got);
    model_append(&model, 6, 30);
    write_last(wal, &model, 1);
    struct pc_wal_batch vote = {.has_vote = true, .term = 7, .commit = model.commit};
    assert_ok(pc_wal_write(wal, &vote, &error));
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
    wal = open_for_repair(fs, &got);
    assert_int_equal(got.doubt, 0);
    assert_recovered_is(&got, &model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void put__entries_that_do_not_fit__are_refused(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model, true);
    struct files files;
    struct pc_wal_recovered got;
    struct pc_error error;
    bool closed = true;
    list_files(fs, &files);
    assert_true(pc_sim_fs_remove(fs, files.path[0]));
    struct pc_wal *wal = open_for_repair(fs, &got);
    assert_int_equal(got.gaps_n, 1);
    assert_int_equal(got.gaps[0].first, 1);
    struct pc_entry *v = model.entries.v;
    struct pc_entry wrong = v[1];
    wrong.stamp_ms++;
    assert_ok(pc_wal_repair_put(wal, 0, &v[0], 1, &closed, &error));
    assert_false(closed);
    assert_int_equal(pc_wal_repair_put(wal, 0, &wrong, 1, &closed, &error), PC_E_INVALID);
    assert_int_equal(pc_wal_repair_put(wal, 0, &v[1], 1, &closed, &error), PC_E_INVALID);
    pc_index last = got.gaps[0].last;
    assert_true(last < model_last(&model));
    assert_int_equal(pc_wal_repair_put(wal, 0, v, (size_t)last + 1, &closed, &error), PC_E_INVALID);
    assert_ok(pc_wal_repair_put(wal, 0, v, (size_t)last, &closed, &error));
    assert_true(closed);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    assert_reopens_as(fs, &model); /* also where damage is refused: nothing is lost any more */
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* A note in the middle is lost: nothing is, and loads step over the place. */
static void note__lost_between_entries__is_harmless_and_loads_go_on(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = pc_sim_fs_new(5);
    for (unsigned round = 0; round < 3; round++) {
        struct pc_wal_recovered got;
        struct pc_wal *wal = open_ok(fs, &got);
        model_append(&model, 1, 30); /* one block, and the note one more */
        write_and_sync(wal, &model, 1);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
    }
    uint8_t zeros[BLOCK] = {0};
    assert_true(pc_sim_fs_overwrite(
        fs, TEST_DIR "/log-0000000000000001.seg", 4 * BLOCK, pc_slice_of(zeros, BLOCK)));
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(fs, &got);
    assert_int_equal(got.damages, 1);
    assert_log_is(wal, &got, &model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* A log of another history, whose first segment is lost and filled again. */
static struct pc_sim_fs *make_foreign_filling(struct model *model)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(6);
    struct files files;
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &got);
    for (unsigned i = 0; i < 400; i++) {
        model_append(model, 1, 10);
        model_append(model, 1, 10);
        write_and_sync(wal, model, 2);
    }
    pc_wal_close(wal);
    list_files(fs, &files);
    assert_true(pc_sim_fs_remove(fs, files.path[0]));
    wal = open_for_repair(fs, &got);
    assert_int_equal(got.gaps_n, 1);
    assert_true(put(wal, 0, 1, got.gaps[0].last, model, &error));
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    return fs;
}

static void copy_file(struct pc_sim_fs *from, struct pc_sim_fs *to, const char *path)
{
    const struct pc_fs *in = pc_sim_fs_port(from);
    const struct pc_fs *out = pc_sim_fs_port(to);
    struct pc_error error;
    pc_fd fd;
    size_t got = 0;
    size_t bytes = (size_t)pc_sim_fs_file_bytes(from, path);
    uint8_t *content = pc_xalloc(bytes);
    assert_ok(in->open_read(in->context, path, &fd, &error));
    assert_ok(in->read_at(in->context, fd, 0, content, bytes, &got, &error));
    in->close(in->context, fd);
    assert_int_equal(got, bytes);
    assert_ok(out->open(out->context, path, true, true, &fd, &error));
    assert_ok(out->write_at(out->context, fd, 0, pc_slice_of(content, bytes), &error));
    assert_ok(out->sync(out->context, fd, &error));
    out->close(out->context, fd);
    assert_ok(out->sync_dir(out->context, TEST_DIR, &error));
    free(content);
}

/* Every checksum of it is right, and its place; only the chain tells. */
static void filling__of_another_history__closes_no_gap(void **state)
{
    (void)state;
    struct model model = {0};
    struct model other = {0};
    struct pc_sim_fs *fs = make_log(&model, true);
    struct pc_sim_fs *foreign = make_foreign_filling(&other);
    struct files files;
    struct pc_wal_recovered got;
    struct pc_error error;
    list_files(fs, &files);
    assert_true(pc_sim_fs_remove(fs, files.path[0]));
    copy_file(foreign, fs, TEST_DIR "/fix-0000000000000001.seg");
    struct pc_wal *wal = open_for_repair(fs, &got);
    assert_int_equal(got.gaps_n, 1);
    assert_int_equal(got.gaps[0].first, 1);
    assert_false(put(wal, 0, 1, got.gaps[0].last, &other, &error));
    assert_int_equal(error.code, PC_E_INVALID);
    assert_true(put(wal, 0, 1, got.gaps[0].last, &model, &error));
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    assert_reopens_as(fs, &model);
    model_clear(&model);
    model_clear(&other);
    pc_sim_fs_delete(foreign);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(note__lost_between_entries__is_harmless_and_loads_go_on),
    PC_TEST(damage__in_a_closed_log__is_repaired_or_doubted),
    PC_TEST(power_cut__at_every_step_of_a_repair__changes_nothing),
    PC_TEST(segments__each_missing_or_short__are_repaired_or_doubted),
    PC_TEST(every_segment__missing__leaves_an_empty_log_in_doubt),
    PC_TEST(doubt__entry_of_a_later_term__ends_it),
    PC_TEST(doubt__ended_by_an_entry_that_is_truncated__stays_ended),
    PC_TEST(doubt__vote_behind_unsynced_entries__is_not_ended_without_them),
    PC_TEST(put__entries_that_do_not_fit__are_refused),
    PC_TEST(filling__of_another_history__closes_no_gap),
};
PC_TEST_MAIN("wal_repair", tests)
