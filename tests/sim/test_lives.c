/* The file of peers' lives, on disks that lose power, fail, rot and are full: what was noted stays
 * noted, or the start says that something may be missing. */
#include <string.h>

#include "pcache/bytes.h"
#include "pcache/crc32c.h"
#include "pcached/lives.h"
#include "support/sim_fs.h"
#include "support/test.h"

#define PATH "/data/lives"
#define SEEDS 40
#define STEPS_MAX 40

static struct pc_error error;

static struct pc_sim_fs *fs_new(uint64_t seed)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(seed);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_int_equal(port->mkdir(port->context, "/data", &error), PC_OK);
    assert_int_equal(port->sync_dir(port->context, "/", &error), PC_OK);
    return fs;
}

static void open_ok(struct pc_sim_fs *fs, struct lives *out)
{
    assert_int_equal(lives_open(pc_sim_fs_port(fs), "/data", out, &error), PC_OK);
}

static pc_err note(struct lives *lives, pc_node_id id, uint64_t generation)
{
    struct pc_life life = {.id = id, .generation = generation, .mark = id * 7 + generation};
    return lives_note(lives, &life, &error);
}

/* 0 = not noted. */
static uint64_t noted(const struct lives *lives, pc_node_id id)
{
    for (size_t i = 0; i < lives->n; i++) {
        if (lives->v[i].id == id) {
            assert_int_equal(lives->v[i].mark, id * 7 + lives->v[i].generation);
            return lives->v[i].generation;
        }
    }
    return 0;
}

static void notes__of_several_peers__are_there_after_a_power_cut(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = fs_new(1);
    struct lives lives;
    open_ok(fs, &lives);
    assert_int_equal(lives.n, 0);
    for (uint64_t generation = 1; generation < 30; generation++) {
        assert_int_equal(note(&lives, 1 + generation % 3, generation), PC_OK);
        pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
        open_ok(fs, &lives);
        assert_false(lives.was_damaged);
        assert_int_equal(noted(&lives, 1 + generation % 3), generation);
    }
    assert_int_equal(lives.n, 3);
    assert_int_equal(note(&lives, 1, 5), PC_OK); /* an earlier one changes nothing */
    open_ok(fs, &lives);
    assert_int_equal(noted(&lives, 1), 27);
    pc_sim_fs_delete(fs);
}

static void power__cut_at_each_step_of_the_first_start__it_is_made_anew(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool through = false;
        for (uint64_t steps = 0; !through; steps++) {
            struct pc_sim_fs *fs = fs_new(seed);
            struct lives lives;
            assert_true(steps < STEPS_MAX);
            pc_sim_fs_power_off_after(fs, steps);
            through = lives_open(pc_sim_fs_port(fs), "/data", &lives, &error) == PC_OK &&
                      !pc_sim_fs_is_off(fs);
            pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            open_ok(fs, &lives);
            assert_false(lives.was_damaged);
            assert_int_equal(lives.n, 0);
            pc_sim_fs_delete(fs);
        }
    }
}

static void power__cut_at_each_step_of_a_note__the_old_or_the_new_one_stands(void **state)
{
    (void)state;
    uint64_t old = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool through = false;
        for (uint64_t steps = 0; !through; steps++) {
            struct pc_sim_fs *fs = fs_new(seed);
            struct lives lives;
            assert_true(steps < STEPS_MAX);
            open_ok(fs, &lives);
            assert_int_equal(note(&lives, 1, 10), PC_OK);
            assert_int_equal(note(&lives, 2, 10), PC_OK);
            pc_sim_fs_power_off_after(fs, steps);
            through = note(&lives, 1, 20) == PC_OK && !pc_sim_fs_is_off(fs);
            pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            open_ok(fs, &lives);
            assert_true(noted(&lives, 1) == 20 || (noted(&lives, 1) == 10 && !through));
            assert_int_equal(noted(&lives, 2), 10);
            old += noted(&lives, 1) == 10;
            assert_int_equal(note(&lives, 1, 30), PC_OK); /* over a torn slot */
            pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
            open_ok(fs, &lives);
            assert_false(lives.was_damaged);
            assert_int_equal(noted(&lives, 1), 30);
            pc_sim_fs_delete(fs);
        }
    }
    assert_true(old > 0);
}

/* What a process that was killed has written may be in memory only: the next start reads it as if
 * it were on the disk. */
static void power__cut_behind_a_start_that_was_killed__what_was_read_stays(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct pc_sim_fs *fs = fs_new(seed);
        struct lives lives;
        open_ok(fs, &lives);
        assert_int_equal(note(&lives, 1, 10), PC_OK);
        pc_sim_fs_power_off_after(fs, seed % 3);
        (void)note(&lives, 1, 20);
        pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
        open_ok(fs, &lives);
        uint64_t read = noted(&lives, 1);
        pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
        open_ok(fs, &lives);
        assert_int_equal(noted(&lives, 1), read);
        pc_sim_fs_delete(fs);
    }
}

static void rot__in_a_slot__is_told_and_the_other_one_counts(void **state)
{
    (void)state;
    for (uint64_t byte = 0; byte < 2 * LIVES_SLOT_BYTES; byte += 61) {
        struct pc_sim_fs *fs = fs_new(byte + 1);
        struct lives lives;
        open_ok(fs, &lives);
        assert_int_equal(note(&lives, 1, 10), PC_OK); /* in slot 1 */
        assert_int_equal(note(&lives, 1, 20), PC_OK); /* in slot 0 */
        assert_true(pc_sim_fs_flip_bit(fs, PATH, byte, byte % 8));
        open_ok(fs, &lives);
        assert_true(lives.was_damaged);
        assert_int_equal(noted(&lives, 1), byte < LIVES_SLOT_BYTES ? 10 : 20);
        assert_int_equal(note(&lives, 1, 30), PC_OK);
        open_ok(fs, &lives);
        assert_false(lives.was_damaged);
        assert_int_equal(noted(&lives, 1), 30);
        pc_sim_fs_delete(fs);
    }
}

static void rot__in_both_slots__is_told_and_notes_go_on(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = fs_new(1);
    struct lives lives;
    open_ok(fs, &lives);
    assert_int_equal(note(&lives, 1, 10), PC_OK);
    assert_true(pc_sim_fs_flip_bit(fs, PATH, 30, 1));
    assert_true(pc_sim_fs_flip_bit(fs, PATH, LIVES_SLOT_BYTES + 30, 1));
    open_ok(fs, &lives);
    assert_true(lives.was_damaged);
    assert_int_equal(lives.n, 0);
    assert_int_equal(note(&lives, 1, 11), PC_OK);
    open_ok(fs, &lives);
    assert_int_equal(noted(&lives, 1), 11);
    pc_sim_fs_delete(fs);
}

static void version__of_a_newer_program__is_refused_by_its_number(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = fs_new(1);
    struct lives lives;
    open_ok(fs, &lives);
    uint8_t slot[LIVES_SLOT_BYTES] = "pclives ";
    slot[8] = 9;
    pc_put_u32(slot + sizeof slot - 4, pc_crc32c(0, pc_slice_of(slot, sizeof slot - 4)));
    assert_true(pc_sim_fs_overwrite(fs, PATH, 0, pc_slice_of(slot, sizeof slot)));
    assert_int_equal(lives_open(pc_sim_fs_port(fs), "/data", &lives, &error), PC_E_VERSION);
    assert_non_null(strstr(error.text, PATH ": format version 9 is not known"));
    pc_sim_fs_delete(fs);
}

static void disk__full__notes_need_no_space(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = fs_new(1);
    struct lives lives;
    open_ok(fs, &lives);
    pc_sim_fs_set_capacity(fs, 0);
    for (uint64_t id = 1; id <= PC_LIVES_MAX; id++) {
        assert_int_equal(note(&lives, id, 100 + id), PC_OK);
    }
    assert_int_equal(note(&lives, 1000, 999), PC_OK); /* the lowest gives way */
    pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
    open_ok(fs, &lives);
    assert_int_equal(lives.n, PC_LIVES_MAX);
    assert_int_equal(noted(&lives, 1), 0);
    assert_int_equal(noted(&lives, 2), 102);
    assert_int_equal(noted(&lives, 1000), 999);
    pc_sim_fs_delete(fs);
}

/* Anybody who has the key can make up peers without end, each of a later generation. */
static void flood__of_others__does_not_push_members_out(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = fs_new(1);
    struct lives lives;
    const pc_node_id members[] = {1, 2, 3};
    open_ok(fs, &lives);
    lives_keep(&lives, members, 3);
    for (uint64_t id = 1; id <= 3 * PC_LIVES_MAX; id++) {
        assert_int_equal(note(&lives, id, 100 + id), PC_OK);
    }
    open_ok(fs, &lives);
    assert_int_equal(lives.n, PC_LIVES_MAX);
    for (uint64_t id = 1; id <= 3; id++) {
        assert_int_equal(noted(&lives, id), 100 + id);
    }
    assert_int_equal(noted(&lives, 4), 0);
    assert_int_equal(noted(&lives, 3 * PC_LIVES_MAX), 100 + 3 * PC_LIVES_MAX);
    pc_sim_fs_delete(fs);
}

static void disk__fails_a_call__the_note_says_so(void **state)
{
    (void)state;
    for (unsigned op = 0; op < 2; op++) {
        struct pc_sim_fs *fs = fs_new(1);
        struct lives lives;
        open_ok(fs, &lives);
        pc_sim_fs_fail(fs, op == 0 ? PC_SIM_FS_WRITE : PC_SIM_FS_SYNC, 0, PC_E_IO);
        assert_int_equal(note(&lives, 1, 10), PC_E_IO);
        assert_non_null(strstr(error.text, PATH));
        pc_sim_fs_delete(fs);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(notes__of_several_peers__are_there_after_a_power_cut),
    PC_TEST(power__cut_at_each_step_of_the_first_start__it_is_made_anew),
    PC_TEST(power__cut_at_each_step_of_a_note__the_old_or_the_new_one_stands),
    PC_TEST(power__cut_behind_a_start_that_was_killed__what_was_read_stays),
    PC_TEST(rot__in_a_slot__is_told_and_the_other_one_counts),
    PC_TEST(rot__in_both_slots__is_told_and_notes_go_on),
    PC_TEST(version__of_a_newer_program__is_refused_by_its_number),
    PC_TEST(disk__full__notes_need_no_space),
    PC_TEST(flood__of_others__does_not_push_members_out),
    PC_TEST(disk__fails_a_call__the_note_says_so),
};

PC_TEST_MAIN("lives", tests)
