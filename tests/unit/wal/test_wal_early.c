/* Entries that a recovery hands on to whoever applies them. */
#include "history.h"

/* What was read behind the snapshot need not be read again; not more of it than was asked for. */
static void early__behind_any_snapshot__is_what_is_applied_next(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct model model = {0};
        struct pc_sim_fs *fs = make_history(&model, seed);
        for (unsigned i = 0; i <= 6; i++) {
            struct pc_wal_recovered got;
            struct pc_wal *wal = NULL;
            struct pc_error error;
            struct pc_wal_opts opts = test_opts();
            opts.base = base_at(&model, model.commit * i / 6);
            opts.early_bytes_max = i % 2 == 0 ? 1 << 30 : 20000;
            assert_ok(pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &got, &error));
            size_t bytes = 0, next = 0;
            for (size_t k = 0; k < got.early.n; k++) {
                const struct pc_entry *entry = &got.early.v[k];
                assert_int_equal(entry->index, opts.base.index + 1 + k);
                assert_true(entry_equal(entry, &model.entries.v[entry->index - 1]));
                bytes += pc_entry_bytes(entry);
            }
            pc_index last = opts.base.index + got.early.n;
            assert_true(last <= got.commit && bytes <= opts.early_bytes_max);
            next = last < got.commit ? pc_entry_bytes(&model.entries.v[last]) : 0;
            assert_true(next == 0 || bytes + next > opts.early_bytes_max);
            pc_wal_recovered_clear(&got);
            pc_wal_close(wal);
        }
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

static void early__of_a_damaged_log__is_none(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_history(&model, 3);
    struct pc_wal_recovered got;
    struct pc_wal *wal = NULL;
    struct pc_error error;
    struct files files;
    char path[64];
    uint8_t noise[1500];
    memset(noise, 0x5a, sizeof noise);
    list_segments(fs, &files);
    path_of(files.first[0], path);
    assert_true(pc_sim_fs_overwrite(fs, path, 30000, pc_slice_of(noise, sizeof noise)));
    struct pc_wal_opts opts = test_opts();
    opts.early_bytes_max = 1 << 20;
    opts.damage = PC_WAL_DAMAGE_REPAIR;
    assert_ok(pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &got, &error));
    assert_true(got.damages > 0);
    assert_int_equal(got.early.n, 0);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(early__behind_any_snapshot__is_what_is_applied_next),
    PC_TEST(early__of_a_damaged_log__is_none),
};
PC_TEST_MAIN("wal_early", tests)
