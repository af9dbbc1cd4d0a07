/* cluster recover on a disk that loses power at every step, and on logs that are damaged anywhere:
 * a start finds the cluster of before or the new one, each with all its keys. */
#include "unit/pcadmin/recover_disk.h"

/* ---- power cuts */

/* One recovery that is cut after so many steps, and one more. False when it ended before. */
static bool cut_one(const struct pc_sim_fs *disk, uint64_t steps, bool by_power, bool *was_new)
{
    static const uint8_t first[16] = {2}, second[16] = {3};
    struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
    struct recovery r;
    struct pc_error error;
    uint8_t noted[16];
    bool is_new, is_still;
    pc_sim_fs_reseed(fs, 77 + steps);
    pc_sim_fs_power_off_after(fs, steps);
    pc_err err = recover(fs, first);
    bool was_off = pc_sim_fs_is_off(fs);
    pc_sim_fs_crash(fs, by_power ? PC_SIM_FS_POWER_CUT : PC_SIM_FS_KILL);
    pc_index last = start(fs, &is_new);
    assert_int_equal(last, is_new ? ENTRIES + 1 : ENTRIES);
    assert_true(is_new || err != PC_OK);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    assert_has_keys_up_to(&r, ENTRIES);
    assert_int_equal(recovery_is_done(&r), is_new);
    assert_ok(recovery_write(&r, second, &error));
    assert_alone(&r, is_new ? first : second);
    recovery_close(&r);
    assert_ok(history_read(pc_sim_fs_port(fs), DIR, noted, &error));
    assert_memory_equal(noted, is_new ? first : second, 16);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(start(fs, &is_still), ENTRIES + 1);
    assert_true(is_still);
    *was_new = *was_new || is_new;
    pc_sim_fs_delete(fs);
    return was_off;
}

static void power_cut__at_every_step__leaves_the_old_cluster_or_the_new(void **state)
{
    (void)state;
    const struct pc_cluster_config config = three();
    for (unsigned with_snapshot = 0; with_snapshot < 2; with_snapshot++) {
        struct pc_sim_fs *disk = disk_of(&config, with_snapshot == 1);
        for (unsigned by_power = 0; by_power < 2; by_power++) {
            bool was_new = false, was_off = true;
            uint64_t steps = 0;
            for (; was_off; steps++) {
                was_off = cut_one(disk, steps, by_power == 1, &was_new);
            }
            assert_true(was_new && steps > 8);
        }
        pc_sim_fs_delete(disk);
    }
}

static void disk__full_or_failing__leaves_the_old_cluster(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *disk = disk_of(&config, true);
    for (unsigned op = PC_SIM_FS_WRITE; op <= PC_SIM_FS_RENAME; op++) {
        struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
        bool is_new;
        pc_sim_fs_fail(fs, op, op == PC_SIM_FS_SYNC || op == PC_SIM_FS_SYNC_DIR ? 1 : 0,
            op == PC_SIM_FS_WRITE ? PC_E_NO_SPACE : PC_E_IO);
        assert_int_not_equal(recover(fs, history), PC_OK);
        pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
        (void)start(fs, &is_new);
        assert_false(is_new);
        assert_ok(recover(fs, history));
        assert_int_equal(start(fs, &is_new), ENTRIES + 1);
        assert_true(is_new);
        pc_sim_fs_delete(fs);
    }
    pc_sim_fs_delete(disk);
}

/* ---- damage */

struct places {
    char segment[64][64];
    uint64_t offset[64];
    size_t n;
};

static void add_place(void *arg, const struct pc_wal_record_info *record)
{
    struct places *places = arg;
    assert_true(places->n < 64);
    (void)snprintf(places->segment[places->n], 64, "%s/%.40s", LOG, record->segment);
    places->offset[places->n++] = record->offset;
}

/* Wherever the log is damaged: what stands in front of it is kept, and a start goes on from it. */
static void log__damaged_anywhere__is_kept_up_to_the_damage(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *disk = disk_of(&config, false);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct places *places = pc_xalloc(sizeof *places);
    assert_ok(pc_wal_scan(pc_sim_fs_port(disk), LOG, NULL, add_place, places, &got, &error));
    pc_wal_recovered_clear(&got);
    assert_true(places->n >= ENTRIES);
    unsigned cut = 0;
    for (size_t i = 1; i < places->n; i++) { /* without entry 1 there is nothing to go by */
        struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
        struct recovery r;
        bool is_new;
        assert_true(pc_sim_fs_flip_bit(fs, places->segment[i], places->offset[i] + 70, 3));
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        pc_index kept = r.kept.index, top = r.top;
        assert_true(kept >= i && kept <= top && top <= ENTRIES);
        assert_has_keys_up_to(&r, kept);
        if (r.lost.first > 0) {
            assert_int_equal(r.lost.first, kept + 1);
            assert_true(r.where[0] != '\0');
            cut++;
        }
        assert_ok(recovery_write(&r, history, &error));
        recovery_close(&r);
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_alone(&r, history); /* before a start has replaced the damaged log, too */
        recovery_close(&r);
        assert_int_equal(start(fs, &is_new), top + 1);
        assert_true(is_new);
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_has_keys_up_to(&r, kept);
        assert_alone(&r, history);
        recovery_close(&r);
        pc_sim_fs_delete(fs);
    }
    assert_true(cut > ENTRIES / 2);
    free(places);
    pc_sim_fs_delete(disk);
}

static void log__begins_behind_a_snapshot_that_is_gone__is_refused(void **state)
{
    (void)state;
    const struct pc_cluster_config config = three();
    struct pc_sim_fs *fs = disk_of(&config, true);
    struct recovery r;
    struct pc_error error;
    assert_true(pc_sim_fs_remove(fs, LOG "/snap-000000000000002d.snp"));
    assert_int_equal(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error), PC_E_CORRUPT);
    assert_non_null(strstr(error.text, "the log begins with entry"));
    pc_sim_fs_delete(fs);
}

/* A node that founded its cluster alone, and whose log is damaged: it cannot say that it is still
 * alone, and a start would ask the others for what is lost. */
static void sole_voter__log_damaged__is_recovered_all_the_same(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    static const size_t damaged[] = {20, 55}; /* in front of the growing to three, and behind it */
    const struct pc_cluster_config grown = three();
    struct pc_cluster_config alone = grown;
    alone.members_n = 1;
    struct pc_entries entries = {0};
    struct places *places = pc_xalloc(sizeof *places);
    struct pc_wal_recovered got;
    struct pc_error error;
    push_grown_entries(&alone, &grown, 50, &entries);
    struct pc_sim_fs *disk = disk_with(&entries);
    assert_ok(pc_wal_scan(pc_sim_fs_port(disk), LOG, NULL, add_place, places, &got, &error));
    pc_wal_recovered_clear(&got);
    for (size_t i = 0; i < 2; i++) {
        struct pc_sim_fs *fs = pc_sim_fs_clone(disk);
        struct recovery r;
        bool is_new;
        assert_true(pc_sim_fs_flip_bit(
            fs, places->segment[damaged[i]], places->offset[damaged[i]] + 70, 3));
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_int_equal(r.config.members_n, i == 0 ? 1 : 3);
        assert_int_equal(r.lost.first, r.kept.index + 1);
        assert_int_equal(r.lost.last, ENTRIES);
        assert_false(recovery_is_done(&r));
        assert_ok(recovery_write(&r, history, &error));
        recovery_close(&r);
        assert_int_equal(start(fs, &is_new), ENTRIES + 1);
        assert_true(is_new);
        assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
        assert_true(recovery_is_done(&r));
        assert_memory_equal(r.config.history, history, 16);
        assert_int_equal(r.config.members_n, i == 0 ? 1 : 3);
        recovery_close(&r);
        pc_sim_fs_delete(fs);
    }
    free(places);
    pc_entries_clear(&entries);
    pc_sim_fs_delete(disk);
}

/* ---- members */

static void members__of_every_kind__are_invited_as_what_they_were_to_be(void **state)
{
    (void)state;
    static const uint8_t history[16] = {2};
    struct pc_cluster_config config = {.members_n = 5,
        .members = {{.id = 50, .name = "node0", .want = PC_WANT_REPLICA},
            {.id = SELF, .name = "node1", .want = PC_WANT_REPLICA},
            {.id = 20, .name = "node2", .votes = true, .want = PC_WANT_REPLICA},
            {.id = 21, .name = "node2", .votes = true},
            {.id = 30, .name = "node3", .want = PC_WANT_SPARE}}};
    memcpy(config.history, old_history, sizeof config.history);
    assert_true(pc_wire_config_is_valid(&config));
    struct pc_sim_fs *fs = disk_of(&config, false);
    struct recovery r;
    struct pc_error error;
    assert_ok(recover(fs, history));
    assert_ok(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error));
    static const enum pc_member_want wants[] = {
        PC_WANT_REPLICA, PC_WANT_VOTER, PC_WANT_VOTER, PC_WANT_SPARE};
    assert_int_equal(r.config.members_n, 4);
    for (size_t i = 0; i < 4; i++) {
        const struct pc_cluster_member *member = &r.config.members[i];
        char name[8];
        (void)snprintf(name, sizeof name, "node%u", (unsigned)i);
        assert_string_equal(member->name, name);
        assert_int_equal(member->want, wants[i]);
        assert_int_equal(member->id, i == 1 ? SELF : 0);
        assert_int_equal(member->votes, i == 1);
    }
    recovery_close(&r);
    pc_sim_fs_delete(fs);
}

static void member__that_was_removed__is_refused(void **state)
{
    (void)state;
    struct pc_cluster_config config = three();
    config.members[0].id = SELF + 50;
    struct pc_sim_fs *fs = disk_of(&config, false);
    struct recovery r;
    struct pc_error error;
    assert_int_equal(recovery_open(pc_sim_fs_port(fs), DIR, seed, &r, &error), PC_E_INVALID);
    assert_non_null(strstr(error.text, "is no member"));
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(power_cut__at_every_step__leaves_the_old_cluster_or_the_new),
    PC_TEST(disk__full_or_failing__leaves_the_old_cluster),
    PC_TEST(log__damaged_anywhere__is_kept_up_to_the_damage),
    PC_TEST(log__begins_behind_a_snapshot_that_is_gone__is_refused),
    PC_TEST(sole_voter__log_damaged__is_recovered_all_the_same),
    PC_TEST(members__of_every_kind__are_invited_as_what_they_were_to_be),
    PC_TEST(member__that_was_removed__is_refused),
};

PC_TEST_MAIN("recover", tests)
