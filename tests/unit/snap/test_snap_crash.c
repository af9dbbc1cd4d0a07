/* Power cuts, full disks and failing calls while a snapshot is written: at every step. What a start
 * finds is the old one or the new one, whole; the new one once finish has said so. */
#include "fixture.h"

#define OLD 10
#define NEW 20

static void models_make(struct model *old, struct model *new, uint64_t seed)
{
    model_make(old, OLD, seed, 3, 3000);
    model_make(new, NEW, seed, 5, 3000);
}

/* The index of what a start finds; 0 = none. Whole, and the same again after another cut. */
static pc_index find_settled(
    struct pc_sim_fs *fs, const struct model *const *models, size_t models_n)
{
    struct pc_snap_found found;
    struct pc_error error;
    pc_index index = 0;
    for (unsigned look = 0; look < 2; look++) {
        pc_err err = pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, false, &found, &error);
        if (err == PC_E_NOT_FOUND) {
            assert_int_equal(index, 0);
            return 0;
        }
        assert_ok(err);
        assert_int_equal(found.damages, 0);
        const struct model *is = NULL;
        for (size_t i = 0; i < models_n; i++) {
            bool same = models[i]->meta.base.index == pc_snap_reader_info(found.reader)->base.index;
            is = same ? models[i] : is;
        }
        assert_non_null(is);
        assert_reader_is(found.reader, is);
        assert_true(look == 0 || index == is->meta.base.index);
        index = is->meta.base.index;
        pc_snap_reader_close(found.reader);
        pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    }
    return index;
}

/* One write that is cut after so many steps. False when it ended before. */
static bool cut_one_write(uint64_t seed, bool received, uint64_t steps, unsigned *resumed)
{
    struct model old, new;
    struct pc_error error;
    models_make(&old, &new, seed);
    const struct model *models[] = {&old, &new};
    struct pc_sim_fs *fs = disk_new(seed * 7919 + steps);
    write_ok(fs, &old);
    pc_sim_fs_power_off_after(fs, steps);
    pc_err err = write_model(pc_sim_fs_port(fs), &new, received, &error);
    bool was_off = pc_sim_fs_is_off(fs);
    pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
    pc_index index = find_settled(fs, models, 2);
    assert_true(index == NEW || (index == OLD && err != PC_OK));
    if (received && index == OLD) {
        struct pc_snap_writer *writer = NULL;
        struct pc_hash hash = model_hash(&new);
        assert_ok(pc_snap_writer_open(
            pc_sim_fs_port(fs), TEST_DIR, &new.meta.base, &hash, &writer, &error));
        *resumed += pc_snap_writer_chunks(writer) > 0;
        pc_snap_writer_close(writer);
    }
    assert_ok(write_model(pc_sim_fs_port(fs), &new, received, &error));
    assert_int_equal(find_settled(fs, models, 2), NEW);
    assert_false(exists(fs, TEST_DIR "/snap.tmp"));
    assert_false(exists(fs, part_of(NEW)));
    model_clear(&old);
    model_clear(&new);
    pc_sim_fs_delete(fs);
    return was_off;
}

static void power_cut__at_every_step_of_a_write__leaves_the_old_or_the_new(void **state)
{
    (void)state;
    unsigned resumed = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        for (unsigned received = 0; received < 2; received++) {
            bool was_off = true;
            for (uint64_t steps = 0; was_off; steps++) {
                was_off = cut_one_write(seed, received == 1, steps, &resumed);
            }
        }
    }
    assert_true(resumed > 0); /* some of what had come was still there */
}

static void power_cut__during_find_at_every_step__finds_the_same_later(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct model old, new;
        struct pc_error error;
        models_make(&old, &new, seed);
        const struct model *models[] = {&old, &new};
        struct pc_sim_fs *fs = disk_new(seed);
        write_ok(fs, &old);
        pc_sim_fs_power_off_after(fs, 1 + seed % 14);
        (void)write_model(pc_sim_fs_port(fs), &new, seed % 2 == 0, &error);
        /* The process alone died: the last rename may not be durable. */
        pc_sim_fs_crash(fs, seed % 3 == 0 ? PC_SIM_FS_POWER_CUT : PC_SIM_FS_KILL);
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps++) {
            struct pc_sim_fs *image = pc_sim_fs_clone(fs);
            struct pc_snap_found found;
            pc_sim_fs_power_off_after(image, steps);
            pc_err err = pc_snap_find(pc_sim_fs_port(image), TEST_DIR, false, &found, &error);
            was_off = pc_sim_fs_is_off(image);
            pc_index index = err == PC_OK ? pc_snap_reader_info(found.reader)->base.index : 0;
            if (err == PC_OK) {
                pc_snap_reader_close(found.reader);
            }
            pc_sim_fs_crash(image, PC_SIM_FS_POWER_CUT);
            pc_index later = find_settled(image, models, 2);
            assert_true(err != PC_OK || later == index);
            assert_true(later == OLD || later == NEW);
            pc_sim_fs_delete(image);
        }
        model_clear(&old);
        model_clear(&new);
        pc_sim_fs_delete(fs);
    }
}

/* The process dies between the rename and the directory's sync; a start finds the new snapshot, the
 * log is cut behind it, and then the power goes. */
static void find__name_not_durable_yet__makes_it_durable(void **state)
{
    (void)state;
    struct model old, new;
    struct pc_error error;
    models_make(&old, &new, 1);
    struct pc_sim_fs *fs = disk_new(1);
    write_ok(fs, &old);
    pc_sim_fs_fail(fs, PC_SIM_FS_SYNC_DIR, 0, PC_E_IO);
    assert_int_equal(write_model(pc_sim_fs_port(fs), &new, false, &error), PC_E_IO);
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    pc_sim_fs_fail(fs, PC_SIM_FS_SYNC_DIR, 0, PC_E_IO);
    assert_found_none(fs, PC_E_IO); /* it may not be relied on */
    assert_found(fs, &new);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_found(fs, &new);
    model_clear(&old);
    model_clear(&new);
    pc_sim_fs_delete(fs);
}

/* Snapshot after snapshot, cut at random, the rests of each under the next. */
static void power_cuts__one_after_another__never_lose_what_was_finished(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct pc_prng prng;
        struct model models[40];
        const struct model *all[40];
        pc_index floor = 0;
        pc_prng_seed(&prng, seed);
        struct pc_sim_fs *fs = disk_new(seed);
        for (size_t i = 0; i < 40; i++) {
            struct pc_error error;
            model_make(&models[i], i + 1, seed, (uint32_t)pc_prng_below(&prng, 6), 2500);
            all[i] = &models[i];
            pc_sim_fs_power_off_after(fs, pc_prng_below(&prng, 24));
            bool received = pc_prng_below(&prng, 2) == 0;
            pc_err err = write_model(pc_sim_fs_port(fs), &models[i], received, &error);
            bool kill = !pc_sim_fs_is_off(fs) && pc_prng_below(&prng, 3) == 0;
            pc_sim_fs_crash(fs, kill ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
            floor = err == PC_OK ? i + 1 : floor;
            pc_index index = find_settled(fs, all, i + 1);
            assert_true(index >= floor);
            floor = index;
        }
        for (size_t i = 0; i < 40; i++) {
            model_clear(&models[i]);
        }
        pc_sim_fs_delete(fs);
    }
}

/* ---- in the place of one that is damaged */

/* The only snapshot, with a bit of its chunks flipped. */
static struct pc_sim_fs *disk_with_damaged(const struct model *model, uint64_t seed)
{
    char path[64];
    struct pc_sim_fs *fs = disk_new(seed);
    write_ok(fs, model);
    (void)snprintf(path, sizeof path, TEST_DIR "/snap-%016" PRIx64 ".snp", model->meta.base.index);
    assert_true(pc_sim_fs_flip_bit(fs, path, SNAP_HEADER_BYTES + SNAP_HEAD_BYTES + 40, 3));
    return fs;
}

enum seen { SEEN_NONE, SEEN_DAMAGED, SEEN_WHOLE };

/* What a start finds, and the next one behind another cut. */
static enum seen look_at_it(struct pc_sim_fs *fs, const struct model *model)
{
    enum seen seen[2];
    for (unsigned look = 0; look < 2; look++) {
        struct pc_snap_found found;
        struct pc_error error;
        pc_err err = pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, false, &found, &error);
        seen[look] = SEEN_NONE;
        if (err == PC_OK) {
            assert_int_equal(found.damages, 0);
            bool whole = pc_snap_verify(found.reader, NULL, NULL, &error) == PC_OK;
            seen[look] = whole ? SEEN_WHOLE : SEEN_DAMAGED;
            if (whole) {
                assert_reader_is(found.reader, model);
            }
            pc_snap_reader_close(found.reader);
        } else {
            assert_int_equal(err, PC_E_NOT_FOUND);
        }
        pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    }
    assert_int_equal(seen[0], seen[1]);
    return seen[0];
}

/* A peer's of the same entry: until it has the name, the damaged one stays, for without any the log
 * would begin with nothing. */
static void power_cut__while_a_damaged_one_is_replaced__leaves_it_or_the_new(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        unsigned seen[3] = {0};
        struct model model;
        model_make(&model, NEW, seed, 5, 3000);
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps++) {
            struct pc_error error;
            struct pc_sim_fs *fs = disk_with_damaged(&model, seed * 31 + steps);
            pc_sim_fs_power_off_after(fs, steps);
            pc_err err = write_model(pc_sim_fs_port(fs), &model, true, &error);
            was_off = pc_sim_fs_is_off(fs);
            pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            enum seen now = look_at_it(fs, &model);
            assert_true(now == SEEN_WHOLE || (now == SEEN_DAMAGED && err != PC_OK));
            seen[now]++;
            assert_ok(write_model(pc_sim_fs_port(fs), &model, true, &error));
            assert_found(fs, &model);
            assert_false(exists(fs, part_of(NEW)));
            pc_sim_fs_delete(fs);
        }
        assert_true(seen[SEEN_DAMAGED] > 0 && seen[SEEN_WHOLE] > 0);
        model_clear(&model);
    }
}

/* Once it was said to be set aside no start reads it again; before that any may. */
static void power_cut__while_a_damaged_one_is_set_aside__leaves_it_or_none(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct model model;
        model_make(&model, NEW, seed, 5, 3000);
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps++) {
            struct pc_error error;
            struct pc_sim_fs *fs = disk_with_damaged(&model, seed * 31 + steps);
            const struct pc_fs *port = pc_sim_fs_port(fs);
            pc_sim_fs_power_off_after(fs, steps);
            pc_err err = pc_snap_set_aside(port, TEST_DIR, NEW, &error);
            was_off = pc_sim_fs_is_off(fs);
            pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            enum seen now = look_at_it(fs, &model);
            assert_true(now == SEEN_NONE || (now == SEEN_DAMAGED && err != PC_OK));
            err = pc_snap_set_aside(port, TEST_DIR, NEW, &error);
            assert_int_equal(err, now == SEEN_NONE ? PC_E_NOT_FOUND : PC_OK);
            assert_int_equal(look_at_it(fs, &model), SEEN_NONE);
            pc_sim_fs_delete(fs);
        }
        model_clear(&model);
    }
}

/* One call fails. False when there was none to fail. */
static bool fail_one_call(enum pc_sim_fs_op op, uint64_t skip, pc_err with, bool received)
{
    struct model old, new;
    struct pc_error error;
    models_make(&old, &new, 1);
    const struct model *models[] = {&old, &new};
    struct pc_sim_fs *fs = disk_new(skip + 1);
    write_ok(fs, &old);
    uint64_t before = pc_sim_fs_faults(fs);
    pc_sim_fs_fail(fs, op, skip, with);
    pc_err err = write_model(pc_sim_fs_port(fs), &new, received, &error);
    bool failed = pc_sim_fs_faults(fs) > before;
    assert_true(err == PC_OK || (failed && err == with));
    if (failed && op != PC_SIM_FS_UNLINK) { /* a part that cannot be read is begun anew */
        assert_true(err == with || op == PC_SIM_FS_READ);
    }
    if (err != PC_OK && op != PC_SIM_FS_SYNC_DIR) {
        assert_found(fs, &old);
    }
    assert_false(exists(fs, TEST_DIR "/snap.tmp"));
    pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
    pc_index index = find_settled(fs, models, 2);
    assert_true(index == NEW || (err != PC_OK && index == OLD));
    assert_true(index == OLD || err == PC_OK || op == PC_SIM_FS_SYNC_DIR);
    assert_ok(write_model(pc_sim_fs_port(fs), &new, received, &error));
    assert_int_equal(find_settled(fs, models, 2), NEW);
    model_clear(&old);
    model_clear(&new);
    pc_sim_fs_delete(fs);
    return failed;
}

static void failing_call__at_every_place_of_a_write__is_reported_and_leaves_the_old(void **state)
{
    (void)state;
    const pc_err errs[] = {PC_E_IO, PC_E_NO_SPACE, PC_E_AGAIN};
    for (int op = 0; op < PC_SIM_FS_OPS; op++) {
        for (size_t e = 0; e < sizeof errs / sizeof errs[0]; e++) {
            for (unsigned received = 0; received < 2; received++) {
                uint64_t skip = 0;
                while (fail_one_call((enum pc_sim_fs_op)op, skip, errs[e], received == 1)) {
                    skip++;
                }
                bool reads = op == PC_SIM_FS_READ; /* nothing is read by a write of its own */
                assert_true(skip > 0 || reads);
            }
        }
    }
}

static void full_disk__at_every_size__is_reported_and_goes_on_when_there_is_space(void **state)
{
    (void)state;
    struct model old, new;
    struct pc_error error;
    models_make(&old, &new, 3);
    for (unsigned received = 0; received < 2; received++) {
        bool full = true;
        unsigned kept = 0;
        for (uint64_t room = 0; full; room += 257) {
            struct pc_sim_fs *fs = disk_new(room);
            write_ok(fs, &old);
            uint64_t used = pc_sim_fs_used(fs);
            pc_sim_fs_set_capacity(fs, used + room);
            pc_err err = write_model(pc_sim_fs_port(fs), &new, received == 1, &error);
            full = err != PC_OK;
            if (full) {
                assert_int_equal(err, PC_E_NO_SPACE);
                assert_non_null(strstr(error.text, "snap"));
                assert_found(fs, &old);
                assert_true(received == 1 || pc_sim_fs_used(fs) == used);
                kept += exists(fs, part_of(NEW));
            }
            pc_sim_fs_set_capacity(fs, UINT64_MAX);
            assert_ok(write_model(pc_sim_fs_port(fs), &new, received == 1, &error));
            assert_found(fs, &new);
            pc_sim_fs_delete(fs);
        }
        assert_int_equal(kept > 0, received == 1);
    }
    model_clear(&old);
    model_clear(&new);
}

/* Little is unsynced at any time: of a large snapshot most is on the disk before it is finished. */
static void put__many_bytes__are_synced_on_the_way(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_raft_base base = {.index = 5, .term = 1};
    struct pc_snap_writer *writer = NULL;
    struct pc_error error;
    uint8_t *chunk = pc_xalloc(1 << 20);
    assert_ok(pc_snap_writer_open(pc_sim_fs_port(fs), TEST_DIR, &base, NULL, &writer, &error));
    for (int i = 0; i < 13; i++) {
        assert_ok(pc_snap_writer_put(writer, pc_slice_of(chunk, 1 << 20), &error));
    }
    assert_int_equal(pc_sim_fs_syncs(fs), 3);
    pc_snap_writer_close(writer);
    free(chunk);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(power_cut__at_every_step_of_a_write__leaves_the_old_or_the_new),
    PC_TEST(power_cut__during_find_at_every_step__finds_the_same_later),
    PC_TEST(find__name_not_durable_yet__makes_it_durable),
    PC_TEST(power_cuts__one_after_another__never_lose_what_was_finished),
    PC_TEST(power_cut__while_a_damaged_one_is_replaced__leaves_it_or_the_new),
    PC_TEST(power_cut__while_a_damaged_one_is_set_aside__leaves_it_or_none),
    PC_TEST(failing_call__at_every_place_of_a_write__is_reported_and_leaves_the_old),
    PC_TEST(full_disk__at_every_size__is_reported_and_goes_on_when_there_is_space),
    PC_TEST(put__many_bytes__are_synced_on_the_way),
};
PC_TEST_MAIN("snap_crash", tests)
