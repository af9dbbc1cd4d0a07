/* The file of a node's identity, on disks that lose power, fail, rot and are full. Whatever comes:
 * it is the same node, no generation is used twice, and a log that was noted stays noted. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "pcache/crc32c.h"
#include "pcache/prng.h"
#include "pcached/identity.h"
#include "support/sim_fs.h"
#include "support/test.h"

#define PATH "/data/identity"
#define ID UINT64_C(0xab)
#define SEEDS 40
#define STEPS_MAX 40
#define STARTS 60

struct disk {
    struct pc_sim_fs *fs;
    struct identity last; /* of the start that was used last */
    bool has_log;
};

static struct pc_error error;

static void file_make(struct pc_sim_fs *fs, const char *path)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    pc_fd fd;
    assert_int_equal(port->open(port->context, path, true, false, &fd, &error), PC_OK);
    port->close(port->context, fd);
}

static struct pc_sim_fs *fs_new(uint64_t seed)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(seed);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_int_equal(port->mkdir(port->context, "/data", &error), PC_OK);
    assert_int_equal(port->mkdir(port->context, "/data/log", &error), PC_OK);
    assert_int_equal(port->sync_dir(port->context, "/", &error), PC_OK);
    assert_int_equal(port->sync_dir(port->context, "/data", &error), PC_OK);
    return fs;
}

static pc_err load_as(struct pc_sim_fs *fs, pc_node_id fresh, pc_ms wall_ms, struct identity *out)
{
    *out = (struct identity){
        .fs = pc_sim_fs_port(fs), .lock_fd = -1, .data_dir = "/data", .log_dir = "/data/log"};
    return identity_load(out, fresh, wall_ms, &error);
}

static pc_err load(struct pc_sim_fs *fs, pc_ms wall_ms, struct identity *out)
{
    return load_as(fs, ID, wall_ms, out);
}

static void must_load(struct disk *disk, pc_ms wall_ms)
{
    struct identity next;
    assert_int_equal(load(disk->fs, wall_ms, &next), PC_OK);
    assert_int_equal(next.id, disk->last.id);
    assert_true(next.generation > disk->last.generation);
    assert_true(next.generation >= wall_ms);
    assert_true(next.has_log || !disk->last.has_log);
    disk->last = next;
}

/* A node that has run once, and has a log. */
static struct disk disk_used(uint64_t seed, pc_ms wall_ms)
{
    struct disk disk = {.fs = fs_new(seed)};
    const struct pc_fs *port = pc_sim_fs_port(disk.fs);
    assert_int_equal(load(disk.fs, wall_ms, &disk.last), PC_OK);
    assert_int_equal(disk.last.id, ID);
    file_make(disk.fs, "/data/log/vote-0");
    assert_int_equal(port->sync_dir(port->context, "/data/log", &error), PC_OK);
    assert_int_equal(identity_note_log(&disk.last, &error), PC_OK);
    return disk;
}

/* ---- the power */

static void power__cut_at_each_step_of_the_first_start__it_is_there_or_is_made_anew(void **state)
{
    (void)state;
    uint64_t steps = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool through = false;
        for (steps = 0; !through; steps++) {
            struct disk disk = {.fs = fs_new(seed)};
            assert_true(steps < STEPS_MAX);
            pc_sim_fs_power_off_after(disk.fs, steps);
            through = load(disk.fs, 1000, &disk.last) == PC_OK && !pc_sim_fs_is_off(disk.fs);
            uint64_t used = through ? disk.last.generation : 0;
            pc_sim_fs_crash(disk.fs, PC_SIM_FS_POWER_CUT);
            disk.last = (struct identity){.id = ID, .generation = used};
            must_load(&disk, 10);
            pc_sim_fs_delete(disk.fs);
        }
    }
    assert_true(steps > 4);
}

static void power__cut_at_each_step_of_a_raise__the_old_or_the_new_generation_stands(void **state)
{
    (void)state;
    uint64_t steps = 0, old = 0, new = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool through = false;
        for (steps = 0; !through; steps++) {
            struct disk disk = disk_used(seed, 1000);
            struct identity cut;
            assert_true(steps < STEPS_MAX);
            pc_sim_fs_power_off_after(disk.fs, steps);
            through = load(disk.fs, 2000, &cut) == PC_OK && !pc_sim_fs_is_off(disk.fs);
            pc_sim_fs_crash(disk.fs, PC_SIM_FS_POWER_CUT);
            disk.last.generation = through ? cut.generation : disk.last.generation;
            must_load(&disk, 10);
            assert_true(disk.last.generation == 1001 || disk.last.generation == 2001);
            assert_true(disk.last.has_log);
            old += disk.last.generation == 1001;
            new += disk.last.generation == 2001 && !through;
            pc_sim_fs_delete(disk.fs);
        }
    }
    assert_true(steps > 5);
    assert_true(old > 0 && new > 0); /* the dice have shown both */
}

static void power__cut_at_each_step_of_a_note__what_was_noted_stays(void **state)
{
    (void)state;
    uint64_t steps = 0, lost = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool through = false;
        for (steps = 0; !through; steps++) {
            struct disk disk = {.fs = fs_new(seed)};
            const struct pc_fs *port = pc_sim_fs_port(disk.fs);
            assert_true(steps < STEPS_MAX);
            assert_int_equal(load(disk.fs, 1000, &disk.last), PC_OK);
            file_make(disk.fs, "/data/log/vote-0");
            assert_int_equal(port->sync_dir(port->context, "/data/log", &error), PC_OK);
            pc_sim_fs_power_off_after(disk.fs, steps);
            through = identity_note_log(&disk.last, &error) == PC_OK && !pc_sim_fs_is_off(disk.fs);
            disk.last.has_log = through;
            pc_sim_fs_crash(disk.fs, PC_SIM_FS_POWER_CUT);
            must_load(&disk, 10);
            lost += !disk.last.has_log;
            pc_sim_fs_delete(disk.fs);
        }
    }
    assert_true(steps > 4 && lost > 0);
}

/* What a process that was killed has written is in memory only; the next start reads it as if it
 * were on the disk. */
static void power__cut_at_each_step_behind_a_start_that_was_killed__one_slot_stands(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < UINT64_C(8) * 8 * SEEDS; n++) {
        struct disk disk = disk_used(n + 1, 1000);
        struct identity cut;
        pc_sim_fs_power_off_after(disk.fs, n % 8);
        if (load(disk.fs, 2000, &cut) == PC_OK) {
            disk.last = cut;
        }
        pc_sim_fs_crash(disk.fs, PC_SIM_FS_KILL);
        pc_sim_fs_power_off_after(disk.fs, n / 8 % 8);
        if (load(disk.fs, 10, &cut) == PC_OK) {
            disk.last = cut;
        }
        pc_sim_fs_crash(disk.fs, PC_SIM_FS_POWER_CUT);
        must_load(&disk, 10);
        assert_true(disk.last.has_log);
        pc_sim_fs_delete(disk.fs);
    }
}

/* ---- everything at once */

/* One start, and its end, by the dice. What it makes it makes as `fresh`. */
static void start_and_end(struct disk *disk, pc_node_id fresh, struct pc_prng *dice)
{
    struct identity next;
    for (int op = 0; op < PC_SIM_FS_OPS; op++) {
        uint32_t ppm = pc_prng_chance(dice, 500000) ? 60000 : 0;
        pc_sim_fs_fail_randomly(disk->fs, (enum pc_sim_fs_op)op, ppm, PC_E_IO);
    }
    if (pc_prng_chance(dice, 500000)) {
        pc_sim_fs_power_off_after(disk->fs, pc_prng_below(dice, 14));
    }
    uint64_t before = disk->last.generation;
    pc_err err = load_as(disk->fs, fresh, before + 200 - pc_prng_below(dice, 300), &next);
    if (err == PC_OK && !pc_sim_fs_is_off(disk->fs)) {
        assert_true(next.id == disk->last.id || disk->last.id == 0);
        assert_true(next.generation > before || disk->last.id == 0);
        assert_true(next.has_log || !disk->last.has_log);
        disk->last = next;
        for (int tries = 0; tries < 3 && disk->has_log && !disk->last.has_log; tries++) {
            err = identity_note_log(&disk->last, &error);
            assert_true(err == PC_OK || err == PC_E_IO);
        }
    } else if (err != PC_OK && err != PC_E_IO) {
        fail_msg("refused: %s", error.text);
    }
    pc_sim_fs_crash(disk->fs, (enum pc_sim_fs_crash)pc_prng_below(dice, 3));
}

static void starts__killed_cut_and_failing_in_any_order__no_generation_comes_twice(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5 * SEEDS; seed++) {
        struct pc_prng dice;
        pc_prng_seed(&dice, seed);
        struct disk disk = {.fs = fs_new(seed)};
        const struct pc_fs *port = pc_sim_fs_port(disk.fs);
        disk.last.generation = 1000;
        for (pc_node_id n = 0; n < STARTS; n++) {
            start_and_end(&disk, ID + n, &dice);
            if (disk.last.id != 0 && !disk.has_log && pc_prng_chance(&dice, 500000)) {
                file_make(disk.fs, "/data/log/vote-0");
                assert_int_equal(port->sync_dir(port->context, "/data/log", &error), PC_OK);
                disk.has_log = true;
            }
        }
        assert_true(disk.last.has_log);
        must_load(&disk, 0);
        pc_sim_fs_delete(disk.fs);
    }
}

/* ---- rot */

static void rot__in_either_slot_at_rest__the_generation_used_is_not_used_again(void **state)
{
    (void)state;
    static uint8_t noise[IDENTITY_SLOT_BYTES];
    for (unsigned slot = 0; slot < 2; slot++) {
        uint64_t at = (uint64_t)slot * IDENTITY_SLOT_BYTES;
        struct disk disk = disk_used(1, 1000);
        must_load(&disk, 900000); /* then the clock is set back */
        for (uint64_t byte = 0; byte < IDENTITY_SLOT_BYTES; byte += byte < 80 ? 1 : 97) {
            assert_true(pc_sim_fs_flip_bit(disk.fs, PATH, at + byte, byte % 8));
            must_load(&disk, 5);
            assert_true(disk.last.was_mended);
            assert_int_equal(disk.last.mended_slot, slot);
            must_load(&disk, 5);
            assert_false(disk.last.was_mended);
        }
        assert_true(pc_sim_fs_overwrite(disk.fs, PATH, at, pc_slice_of(noise, sizeof noise)));
        must_load(&disk, 5);
        pc_sim_fs_fail(disk.fs, PC_SIM_FS_READ, slot, PC_E_IO); /* a sector that cannot be read */
        must_load(&disk, 5);
        assert_int_equal(disk.last.mended_slot, slot);
        pc_sim_fs_delete(disk.fs);
    }
}

static void rot__in_both_slots__is_refused_with_file_and_offsets(void **state)
{
    (void)state;
    struct disk disk = disk_used(1, 1000);
    struct identity next;
    assert_true(pc_sim_fs_flip_bit(disk.fs, PATH, 20, 0));
    assert_true(pc_sim_fs_flip_bit(disk.fs, PATH, IDENTITY_SLOT_BYTES + 300, 0));
    uint64_t steps = pc_sim_fs_steps(disk.fs);
    assert_int_equal(load(disk.fs, 1000, &next), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, PATH " is damaged at offset 0 and at offset 4096"));
    assert_int_equal(pc_sim_fs_steps(disk.fs), steps); /* nothing was touched */
    pc_sim_fs_delete(disk.fs);
}

static void file__cut_off__the_first_slot_is_enough(void **state)
{
    (void)state;
    struct disk disk = disk_used(1, 1000);
    assert_true(pc_sim_fs_shorten(disk.fs, PATH, IDENTITY_SLOT_BYTES + 7));
    must_load(&disk, 5);
    assert_int_equal(pc_sim_fs_file_bytes(disk.fs, PATH), 2 * IDENTITY_SLOT_BYTES);
    struct identity next;
    assert_true(pc_sim_fs_shorten(disk.fs, PATH, IDENTITY_SLOT_BYTES - 1));
    assert_int_equal(load(disk.fs, 1000, &next), PC_E_CORRUPT);
    assert_true(pc_sim_fs_shorten(disk.fs, PATH, 0));
    assert_int_equal(load(disk.fs, 1000, &next), PC_E_CORRUPT);
    pc_sim_fs_delete(disk.fs);
}

/* ---- other contents, with a checksum that fits */

static void slot_put(struct pc_sim_fs *fs, unsigned slot, const char *line)
{
    char text[IDENTITY_SLOT_BYTES + 1], crc[9];
    memset(text, ' ', sizeof text);
    memcpy(text, line, strlen(line));
    (void)snprintf(
        crc, sizeof crc, "%08" PRIx32, pc_crc32c(0, pc_slice_of(text, IDENTITY_SLOT_BYTES - 9)));
    memcpy(text + IDENTITY_SLOT_BYTES - 9, crc, 8);
    text[IDENTITY_SLOT_BYTES - 1] = '\n';
    assert_true(pc_sim_fs_overwrite(
        fs, PATH, (uint64_t)slot * IDENTITY_SLOT_BYTES, pc_slice_of(text, IDENTITY_SLOT_BYTES)));
}

static void version__of_a_newer_program__is_refused_by_its_number(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < 2; slot++) {
        struct disk disk = disk_used(1, 1000);
        struct identity next;
        slot_put(disk.fs, slot, "pcache-identity 23 of another kind");
        assert_int_equal(load(disk.fs, 1000, &next), PC_E_VERSION);
        assert_non_null(strstr(error.text, PATH ": format version 23 is not known"));
        /* Damaged, it is not one to be sure of; the other slot is. */
        assert_true(
            pc_sim_fs_flip_bit(disk.fs, PATH, (uint64_t)slot * IDENTITY_SLOT_BYTES + 1000, 1));
        must_load(&disk, 5);
        pc_sim_fs_delete(disk.fs);
    }
}

static void slots__that_name_two_nodes__are_refused(void **state)
{
    (void)state;
    struct disk disk = disk_used(1, 1000);
    struct identity next;
    slot_put(disk.fs, 1, "pcache-identity 1 1 00000000000000ac 1000 1");
    assert_int_equal(load(disk.fs, 1000, &next), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, "two nodes"));
    pc_sim_fs_delete(disk.fs);
}

static void slot__whole_but_not_as_a_node_writes_it__is_damaged(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "pcache-identity 1 1 00000000000000ab 5000 1", /* in the place of slot 0 */
        "pcache-identity 1 0 ab 5000 1",
        "pcache-identity 1 0 00000000000000ab +5000 1",
        "pcache-identity 1 0 00000000000000ab 05000 1",
        "pcache-identity 1 0 00000000000000ab 5000 2",
        "pcache-identity 1 0 00000000000000ab 5000 1 x",
        "pcache-identity 1 0 0000000000000000 5000 1",
        "pcache-identity 1 0 00000000000000ab 9223372036854775808 1",
        "pcache-identity 1 0 00000000000000ab 18446744073709551615 1",
        "pcache-identity 01 0 00000000000000ab 5000 1",
        "pcache-identity 1 0 00000000000000ab 5000 1 0 0",
        "pcache-identity 2 0 00000000000000ab 5000 1",
        "pcache-identity 2 0 00000000000000ab 5000 1 0",
        "pcache-identity 2 0 00000000000000ab 5000 1 5000 1",
        "pcache-identity 2 0 00000000000000ab 5000 1 4000 2",
        "pcache-identity 2 0 00000000000000ab 5000 1 04000 1",
        "pcache-identity x",
        "",
    };
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct disk disk = disk_used(1, 1000);
        slot_put(disk.fs, 0, lines[i]);
        must_load(&disk, 5);
        assert_int_equal(disk.last.generation, 1001);
        pc_sim_fs_delete(disk.fs);
    }
}

/* ---- lives */

static void prev__over_several_starts__is_the_newest_generation_met(void **state)
{
    (void)state;
    struct disk disk = disk_used(1, 1000);
    assert_int_equal(disk.last.prev_generation, 0);
    must_load(&disk, 2000); /* the first one was never met */
    assert_int_equal(disk.last.prev_generation, 0);
    assert_int_equal(identity_note_met(&disk.last, &error), PC_OK);
    pc_sim_fs_crash(disk.fs, PC_SIM_FS_POWER_CUT);
    must_load(&disk, 3000);
    assert_int_equal(disk.last.prev_generation, 2000);
    assert_false(disk.last.has_met);
    for (int n = 0; n < 5; n++) { /* nobody admits it: it stays what it is */
        must_load(&disk, 9000);
        assert_int_equal(disk.last.prev_generation, 2000);
    }
    assert_true(disk.last.has_log);
    pc_sim_fs_delete(disk.fs);
}

static void prev__of_the_first_version__is_its_generation(void **state)
{
    (void)state;
    struct disk disk = disk_used(1, 1000);
    slot_put(disk.fs, 0, "pcache-identity 1 0 00000000000000ab 1500 1");
    slot_put(disk.fs, 1, "pcache-identity 1 1 00000000000000ab 1500 1");
    must_load(&disk, 5);
    assert_int_equal(disk.last.generation, 1501);
    assert_int_equal(disk.last.prev_generation, 1500);
    pc_sim_fs_delete(disk.fs);
}

static void power__cut_at_each_step_of_a_meeting__a_met_life_stays_met(void **state)
{
    (void)state;
    uint64_t lost = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool through = false;
        for (uint64_t steps = 0; !through; steps++) {
            struct disk disk = disk_used(seed, 1000);
            assert_true(steps < STEPS_MAX);
            pc_sim_fs_power_off_after(disk.fs, steps);
            through = identity_note_met(&disk.last, &error) == PC_OK && !pc_sim_fs_is_off(disk.fs);
            pc_sim_fs_crash(disk.fs, PC_SIM_FS_POWER_CUT);
            must_load(&disk, 5000);
            assert_true(disk.last.has_log);
            assert_true(disk.last.prev_generation == 1000 || !through);
            lost += disk.last.prev_generation == 0;
            pc_sim_fs_delete(disk.fs);
        }
    }
    assert_true(lost > 0);
}

/* ---- no space */

static void disk__full__starts_and_notes_need_no_space(void **state)
{
    (void)state;
    struct disk disk = {.fs = fs_new(1)};
    assert_int_equal(load(disk.fs, 1000, &disk.last), PC_OK);
    file_make(disk.fs, "/data/log/vote-0");
    uint64_t used = pc_sim_fs_used(disk.fs);
    pc_sim_fs_set_capacity(disk.fs, 0);
    must_load(&disk, 5);
    assert_int_equal(identity_note_log(&disk.last, &error), PC_OK);
    for (int n = 0; n < 10; n++) {
        must_load(&disk, 5);
        pc_sim_fs_crash(disk.fs, PC_SIM_FS_KILL);
    }
    assert_true(disk.last.has_log);
    assert_int_equal(pc_sim_fs_used(disk.fs), used);
    pc_sim_fs_delete(disk.fs);
}

/* A disk full to any byte: the first start asks for space, and leaves nothing half done. */
static void disk__full_at_the_first_start__the_next_one_makes_it(void **state)
{
    (void)state;
    for (uint64_t capacity = 0; capacity < UINT64_C(2) * IDENTITY_SLOT_BYTES; capacity += 911) {
        struct disk disk = {.fs = fs_new(capacity + 1)};
        pc_sim_fs_set_capacity(disk.fs, capacity);
        assert_int_equal(load(disk.fs, 1000, &disk.last), PC_E_NO_SPACE);
        assert_int_equal(pc_sim_fs_file_bytes(disk.fs, PATH), UINT64_MAX);
        pc_sim_fs_set_capacity(disk.fs, UINT64_C(2) * IDENTITY_SLOT_BYTES);
        disk.last = (struct identity){.id = ID};
        must_load(&disk, 1000);
        pc_sim_fs_delete(disk.fs);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(power__cut_at_each_step_of_the_first_start__it_is_there_or_is_made_anew),
    PC_TEST(power__cut_at_each_step_of_a_raise__the_old_or_the_new_generation_stands),
    PC_TEST(power__cut_at_each_step_of_a_note__what_was_noted_stays),
    PC_TEST(power__cut_at_each_step_behind_a_start_that_was_killed__one_slot_stands),
    PC_TEST(starts__killed_cut_and_failing_in_any_order__no_generation_comes_twice),
    PC_TEST(rot__in_either_slot_at_rest__the_generation_used_is_not_used_again),
    PC_TEST(rot__in_both_slots__is_refused_with_file_and_offsets),
    PC_TEST(file__cut_off__the_first_slot_is_enough),
    PC_TEST(version__of_a_newer_program__is_refused_by_its_number),
    PC_TEST(slots__that_name_two_nodes__are_refused),
    PC_TEST(slot__whole_but_not_as_a_node_writes_it__is_damaged),
    PC_TEST(prev__over_several_starts__is_the_newest_generation_met),
    PC_TEST(prev__of_the_first_version__is_its_generation),
    PC_TEST(power__cut_at_each_step_of_a_meeting__a_met_life_stays_met),
    PC_TEST(disk__full__starts_and_notes_need_no_space),
    PC_TEST(disk__full_at_the_first_start__the_next_one_makes_it),
};

PC_TEST_MAIN("identity", tests)
