/* Damage in a log behind a snapshot: in front of it none of it matters, behind it all does. */
#include "front.h"

static void rot__in_front_of_the_base__costs_nothing(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files files;
    list_segments(fs, &files);
    pc_index base = last_of(&files, 2) + 3; /* inside the fourth segment */
    struct pc_prng prng;
    pc_prng_seed(&prng, 4);
    for (unsigned i = 0; i < 400 / PC_TEST_STRIDE; i++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        char path[64];
        for (unsigned k = 0; k < 1 + i % 3; k++) {
            path_of(files.first[pc_prng_below(&prng, 3)], path);
            uint8_t noise[3000];
            memset(noise, (int)pc_prng_below(&prng, 256), sizeof noise);
            uint64_t bytes = pc_sim_fs_file_bytes(copy, path);
            uint64_t at = i % 5 == 0 ? 0 : pc_prng_below(&prng, bytes - sizeof noise);
            assert_true(pc_sim_fs_overwrite(copy, path, at, pc_slice_of(noise, sizeof noise)));
        }
        assert_is_model(copy, &model, base);
        assert_is_model(copy, &model, base);
        pc_sim_fs_delete(copy);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void segments__missing_in_front_of_the_base__cost_nothing(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files files;
    list_segments(fs, &files);
    for (unsigned set = 1; set < 8; set++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        char path[64];
        for (size_t i = 0; i < 3; i++) {
            path_of(files.first[i], path);
            assert_true((set >> i & 1) == 0 || pc_sim_fs_remove(copy, path));
        }
        assert_is_model(copy, &model, last_of(&files, 2));
        assert_is_model(copy, &model, last_of(&files, 2) + 4);
        pc_sim_fs_delete(copy);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* The log begins in the middle of the fourth segment: there is nothing to drop at its beginning. */
static void drop__behind_a_damaged_front__never_cuts_in_front_of_the_base(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files files;
    list_segments(fs, &files);
    struct pc_raft_base base = base_at(&model, last_of(&files, 2) + 3);
    char path[64];
    uint8_t noise[3000];
    memset(noise, 7, sizeof noise);
    path_of(files.first[2], path);
    /* With its first record gone the segment is read, and not passed over. */
    assert_true(pc_sim_fs_overwrite(fs, path, 512, pc_slice_of(noise, sizeof noise)));
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_behind_ok(fs, &base, &got);
    assert_int_equal(got.first, base.index + 1);
    struct pc_error error;
    pc_index first = 0;
    assert_ok(pc_wal_drop(wal, base.index, &first, &error));
    assert_int_equal(first, base.index + 1);
    assert_loads_from(wal, &model, first, 0);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    assert_is_model(fs, &model, base.index);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* Anywhere: harmless or refused, and what is opened is right. */
static void rot__anywhere__is_harmless_or_refused(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files files;
    list_segments(fs, &files);
    pc_index base_index = last_of(&files, 2) + 3;
    struct pc_raft_base base = base_at(&model, base_index);
    struct pc_prng prng;
    pc_prng_seed(&prng, 5);
    unsigned refused = 0, repairable = 0;
    for (unsigned i = 0; i < 600 / PC_TEST_STRIDE; i++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        char path[64];
        for (unsigned k = 0; k < 2; k++) {
            path_of(files.first[pc_prng_below(&prng, files.n)], path);
            uint64_t at = pc_prng_below(&prng, pc_sim_fs_file_bytes(copy, path));
            assert_true(pc_sim_fs_flip_bit(copy, path, at, (unsigned)pc_prng_below(&prng, 8)));
        }
        struct pc_wal *wal = NULL;
        struct pc_wal_recovered got;
        struct pc_error error;
        struct pc_sim_fs *again = pc_sim_fs_clone(copy);
        pc_err err = open_behind(copy, &base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error);
        if (err == PC_OK) {
            assert_behind_is(wal, &got, &model, &base);
            pc_wal_recovered_clear(&got);
            pc_wal_close(wal);
        } else {
            assert_int_equal(err, PC_E_CORRUPT);
            refused++;
            assert_ok(open_behind(again, &base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
            for (size_t g = 0; g < got.gaps_n; g++) {
                const struct pc_wal_gap *gap = &got.gaps[g];
                assert_true(gap->first > base_index && gap->floor >= base_index);
                assert_true(pc_hash_equal(&gap->before, &model.entries.v[gap->first - 2].chain));
                assert_true(
                    pc_hash_equal(&gap->floor_chain, &model.entries.v[gap->floor - 1].chain));
                repairable++;
            }
            pc_wal_recovered_clear(&got);
            pc_wal_close(wal);
        }
        pc_sim_fs_delete(again);
        pc_sim_fs_delete(copy);
    }
    assert_true(refused > 50 && repairable > 50);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* What is missing reaches from in front of the base to behind it: only the latter is asked for. */
static void gap__across_the_base__begins_behind_it_and_is_closed(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files files;
    char path[64];
    list_segments(fs, &files);
    path_of(files.first[2], path);
    assert_true(pc_sim_fs_remove(fs, path));
    struct pc_raft_base base = base_at(&model, files.first[2] + 4);
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error;
    assert_int_equal(
        open_behind(fs, &base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error), PC_E_CORRUPT);
    assert_ok(open_behind(fs, &base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
    assert_int_equal(got.gaps_n, 1);
    assert_int_equal(got.gaps[0].first, base.index + 1);
    assert_int_equal(got.gaps[0].last, last_of(&files, 2));
    bool closed = false;
    assert_ok(pc_wal_repair_put(wal, 0, &model.entries.v[base.index],
        (size_t)(last_of(&files, 2) - base.index), &closed, &error));
    assert_true(closed);
    pc_wal_recovered_clear(&got);
    assert_ok(pc_wal_reopen(&wal, NULL, &got, &error));
    assert_behind_is(wal, &got, &model, &base);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    assert_is_model(fs, &model, base.index);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void note_offset(void *arg, const struct pc_wal_record_info *record)
{
    uint64_t *offsets = arg;
    if (record->type == PC_WAL_RECORD_ENTRY && record->index < 8) {
        offsets[record->index] = record->offset;
    }
}

/* The base's own entry is lost, so the log is read from the base on; behind it, in the same batch,
 * another one is. What was a clean place when it was read from its beginning on lies behind that
 * gap: to cut there would leave it as it is. */
static void gap__behind_a_lost_base_in_one_batch__is_cut_with_it(void **state)
{
    (void)state;
    for (unsigned mode = PC_WAL_DAMAGE_REPAIR; mode <= PC_WAL_DAMAGE_CUT; mode++) {
        struct model model = {0};
        struct pc_sim_fs *fs = pc_sim_fs_new(3);
        struct pc_wal_recovered got;
        struct pc_error error;
        struct pc_wal *wal = open_ok(fs, &got);
        pc_wal_recovered_clear(&got);
        for (unsigned i = 0; i < 7; i++) {
            model_append(&model, 1, 700);
        }
        write_and_sync(wal, &model, 7);
        pc_wal_close(wal);
        uint64_t offset[8] = {0};
        char path[64];
        path_of(1, path);
        assert_ok(
            pc_wal_scan(pc_sim_fs_port(fs), TEST_DIR, NULL, note_offset, offset, &got, &error));
        pc_wal_recovered_clear(&got);
        assert_true(pc_sim_fs_flip_bit(fs, path, offset[3] + 20, 1));
        assert_true(pc_sim_fs_flip_bit(fs, path, offset[5] + 150, 1));
        struct pc_raft_base base = base_at(&model, 3);
        assert_int_equal(
            open_behind(fs, &base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error), PC_E_CORRUPT);
        assert_ok(open_behind(fs, &base, mode, &wal, &got, &error));
        if (mode == PC_WAL_DAMAGE_REPAIR) {
            assert_int_equal(got.gaps_n, 1);
            assert_int_equal(got.gaps[0].first, 5);
            assert_int_equal(got.cut_from, 4);
            pc_wal_recovered_clear(&got);
            assert_ok(pc_wal_repair_cut(wal, &error));
            assert_ok(pc_wal_reopen(&wal, NULL, &got, &error));
        }
        assert_int_equal(got.gaps_n, 0);
        assert_int_equal(got.first, 4);
        assert_int_equal(got.last, 3);
        assert_int_equal(got.doubt, 1);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

static void snapshot__missing_or_too_old__is_a_gap_up_to_the_front(void **state)
{
    (void)state;
    struct model model = {0};
    pc_index front = 0;
    struct pc_sim_fs *fs = make_dropped(&model, &front);
    for (pc_index index = 0; index <= 8; index += 8) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        struct pc_raft_base base = base_at(&model, index);
        struct pc_wal *wal = NULL;
        struct pc_wal_recovered got;
        struct pc_error error;
        assert_int_equal(
            open_behind(copy, &base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error), PC_E_CORRUPT);
        assert_non_null(strstr(error.text, "there is no snapshot"));
        assert_ok(open_behind(copy, &base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
        assert_int_equal(got.gaps_n, 1);
        assert_int_equal(got.gaps[0].first, index + 1);
        assert_int_equal(got.gaps[0].last, front);
        assert_int_equal(got.cut_from, index + 1);
        pc_wal_recovered_clear(&got);
        if (index == 0) {
            /* A snapshot was fetched meanwhile. */
            struct pc_raft_base fetched = base_at(&model, front + 3);
            assert_ok(pc_wal_reopen(&wal, &fetched, &got, &error));
            assert_behind_is(wal, &got, &model, &fetched);
        } else {
            bool closed = false;
            assert_ok(pc_wal_repair_put(
                wal, 0, &model.entries.v[index], (size_t)(front - index), &closed, &error));
            assert_true(closed);
            assert_ok(pc_wal_reopen(&wal, NULL, &got, &error));
            assert_behind_is(wal, &got, &model, &base);
            assert_int_equal(got.first, index + 1);
        }
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        pc_sim_fs_delete(copy);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void snapshot__missing_and_the_gap_given_up__cuts_all_under_doubt(void **state)
{
    (void)state;
    struct model model = {0};
    pc_index front = 0;
    struct pc_sim_fs *fs = make_dropped(&model, &front);
    struct pc_raft_base base = base_at(&model, 8);
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error;
    assert_ok(open_behind(fs, &base, PC_WAL_DAMAGE_CUT, &wal, &got, &error));
    assert_int_equal(got.last, 8);
    assert_int_equal(got.first, 9);
    assert_int_equal(got.doubt, 2);
    model_truncate(&model, 9);
    model.commit = 8;
    pc_wal_recovered_clear(&got);
    model_append(&model, 4, 100);
    write_and_sync(wal, &model, 1);
    pc_wal_close(wal);
    assert_is_model(fs, &model, 8);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* Segments that are gone without a reset are a lost end, never an empty log. */
static void segments__all_missing_behind_a_base__are_a_lost_end(void **state)
{
    (void)state;
    for (unsigned dropped = 0; dropped < 2; dropped++) {
        struct model model = {0};
        pc_index front = 0;
        struct pc_sim_fs *fs = dropped != 0 ? make_dropped(&model, &front) : make_log(&model);
        struct files files;
        char path[64];
        list_segments(fs, &files);
        for (size_t i = 0; i < files.n; i++) {
            path_of(files.first[i], path);
            assert_true(pc_sim_fs_remove(fs, path));
        }
        struct pc_raft_base base = base_at(&model, model.commit);
        struct pc_wal *wal = NULL;
        struct pc_wal_recovered got;
        struct pc_error error;
        assert_int_equal(
            open_behind(fs, &base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error), PC_E_CORRUPT);
        assert_non_null(strstr(error.text, "missing"));
        assert_ok(open_behind(fs, &base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
        assert_int_equal(got.last, base.index);
        assert_int_equal(got.doubt, 2);
        assert_int_equal(got.term, 3);
        assert_int_equal(got.vote, 0);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

/* A doubt has ended, and no vote has noted it yet, when all that ended it is lost. */
static void segments__all_missing_behind_an_old_doubt__are_under_a_new_one(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files files;
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = NULL;
    char path[64];
    list_segments(fs, &files);
    struct pc_raft_base base = base_at(&model, files.first[1]);
    path_of(files.first[files.n - 1], path);
    assert_true(pc_sim_fs_remove(fs, path));
    assert_ok(open_behind(fs, &base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
    assert_int_equal(got.doubt, 2);
    model_truncate(&model, got.last + 1);
    pc_wal_recovered_clear(&got);
    struct pc_wal_batch vote = {.has_vote = true, .term = 5};
    assert_ok(pc_wal_write(wal, &vote, &error));
    for (unsigned i = 0; i < 4; i++) {
        model_append(&model, 5, 100);
        write_and_sync(wal, &model, 1);
    }
    pc_wal_close(wal);
    base = base_at(&model, model_last(&model) - 2);
    list_segments(fs, &files);
    for (size_t i = 0; i < files.n; i++) {
        path_of(files.first[i], path);
        assert_true(pc_sim_fs_remove(fs, path));
    }
    for (unsigned again = 0; again < 2; again++) {
        assert_ok(open_behind(fs, &base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
        assert_int_equal(got.last, base.index);
        assert_true(got.doubt >= 5 && got.term > got.doubt);
        assert_int_equal(got.vote, 0);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void votes__missing_beside_a_base__are_refused(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = pc_sim_fs_new(1);
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error;
    model_append(&model, 1, 10);
    struct pc_raft_base base = base_at(&model, 1);
    for (unsigned damage = PC_WAL_DAMAGE_REFUSE; damage <= PC_WAL_DAMAGE_CUT; damage++) {
        assert_int_equal(
            open_behind(fs, &base, (enum pc_wal_damage)damage, &wal, &got, &error), PC_E_CORRUPT);
        assert_non_null(strstr(error.text, "vote-"));
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* A lost end in front of the base is one all the same: what was acknowledged behind is not known.
 */
static void end__lost_in_front_of_the_base__is_cut_under_doubt(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = make_log(&model);
    struct files files;
    char path[64];
    list_segments(fs, &files);
    for (size_t i = 2; i < files.n; i++) {
        path_of(files.first[i], path);
        assert_true(pc_sim_fs_remove(fs, path));
    }
    path_of(files.first[0], path); /* and harmless damage in front of that */
    assert_true(pc_sim_fs_flip_bit(fs, path, 6000, 1));
    struct pc_raft_base base = base_at(&model, model.commit);
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error;
    assert_int_equal(
        open_behind(fs, &base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error), PC_E_CORRUPT);
    assert_ok(open_behind(fs, &base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
    assert_int_equal(got.doubt, 2);
    assert_int_equal(got.first, base.index + 1);
    assert_int_equal(got.last, base.index);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(rot__in_front_of_the_base__costs_nothing),
    PC_TEST(segments__missing_in_front_of_the_base__cost_nothing),
    PC_TEST(drop__behind_a_damaged_front__never_cuts_in_front_of_the_base),
    PC_TEST(rot__anywhere__is_harmless_or_refused),
    PC_TEST(gap__across_the_base__begins_behind_it_and_is_closed),
    PC_TEST(gap__behind_a_lost_base_in_one_batch__is_cut_with_it),
    PC_TEST(snapshot__missing_or_too_old__is_a_gap_up_to_the_front),
    PC_TEST(snapshot__missing_and_the_gap_given_up__cuts_all_under_doubt),
    PC_TEST(segments__all_missing_behind_a_base__are_a_lost_end),
    PC_TEST(segments__all_missing_behind_an_old_doubt__are_under_a_new_one),
    PC_TEST(votes__missing_beside_a_base__are_refused),
    PC_TEST(end__lost_in_front_of_the_base__is_cut_under_doubt),
};
PC_TEST_MAIN("wal_front_damage", tests)
