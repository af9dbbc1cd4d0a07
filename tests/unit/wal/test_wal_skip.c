/* What lies in front of the snapshot is not read at a start; nobody can tell by what is found. */
#include "history.h"

static void assert_same_entry(const struct pc_entry *a, const struct pc_entry *b)
{
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->term, b->term);
    assert_true(pc_hash_equal(&a->chain, &b->chain));
    assert_true(pc_slice_equal(pc_blob_slice(a->body), pc_blob_slice(b->body)));
}

static void assert_same_finding(const struct pc_wal_recovered *a, const struct pc_wal_recovered *b)
{
    assert_int_equal(a->first, b->first);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->commit, b->commit);
    assert_int_equal(a->term, b->term);
    assert_int_equal(a->last_stamp_ms, b->last_stamp_ms);
    assert_int_equal(a->terms_n, b->terms_n);
    for (size_t i = 0; i < a->terms_n; i++) {
        assert_int_equal(a->terms[i].first, b->terms[i].first);
        assert_int_equal(a->terms[i].term, b->terms[i].term);
    }
    assert_int_equal(a->tail.n, b->tail.n);
    for (size_t i = 0; i < a->tail.n; i++) {
        assert_same_entry(&a->tail.v[i], &b->tail.v[i]);
    }
    assert_same_entry(&a->base, &b->base);
    assert_int_equal(a->damages, b->damages);
    assert_int_equal(a->gaps_n, b->gaps_n);
}

/* Ranges from anywhere, in no order: what is read leaves marks for what is read later. */
static void assert_loads_anywhere(struct pc_wal *wal, const struct model *model, pc_index from)
{
    struct pc_prng prng;
    pc_prng_seed(&prng, from);
    for (unsigned i = 0; i < 60; i++) {
        pc_index first = from + pc_prng_below(&prng, model_last(model) - from + 1);
        pc_index last = first + pc_prng_below(&prng, 300);
        last = last < model_last(model) ? last : model_last(model);
        struct pc_entries some = {0};
        struct pc_error error;
        assert_ok(pc_wal_load(wal, first, last, 1 << 20, &some, &error));
        assert_int_equal(some.n, last - first + 1);
        for (size_t k = 0; k < some.n; k++) {
            assert_true(entry_equal(&some.v[k], &model->entries.v[first - 1 + k]));
        }
        pc_entries_clear(&some);
        struct pc_raw_entries raw = {0};
        first = from + pc_prng_below(&prng, model_last(model) - from + 1);
        assert_ok(pc_wal_load_raw(wal, first, first, 1, &raw, &error));
        assert_int_equal(raw.first, first);
        assert_int_equal(raw.n, 1);
        pc_raw_entries_clear(&raw);
    }
}

/* The scan reads everything. */
static void start__behind_any_snapshot__finds_what_a_scan_finds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct model model = {0};
        struct pc_sim_fs *fs = make_history(&model, seed);
        for (unsigned i = 1; i <= 6; i++) {
            struct pc_raft_base base = base_at(&model, model.commit * i / 6);
            struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
            struct pc_wal_recovered all, got;
            struct pc_error error;
            assert_ok(pc_wal_scan(pc_sim_fs_port(copy), TEST_DIR, &base, NULL, NULL, &all, &error));
            struct pc_wal *wal = open_behind_ok(copy, &base, &got);
            assert_same_finding(&got, &all);
            assert_loads_anywhere(wal, &model, got.first);
            assert_loads_from(wal, &model, got.first, 0);
            pc_wal_recovered_clear(&all);
            pc_wal_recovered_clear(&got);
            append_some(wal, &model, 99, 2);
            assert_loads_from(wal, &model, model_last(&model) - 5, SPARED_NOT_BEFORE);
            model_truncate(&model, model_last(&model) - 1);
            pc_wal_close(wal);
            pc_sim_fs_delete(copy);
        }
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

/* One term, several segments, and noise in the middle of the first one. */
struct rotten {
    struct model model;
    struct pc_sim_fs *fs;
    struct files files;
    struct pc_raft_base base;
};

static void make_rotten(struct rotten *out)
{
    struct pc_wal_recovered got;
    char path[64];
    uint8_t noise[1500];
    *out = (struct rotten){.fs = pc_sim_fs_new(5)};
    struct pc_wal *wal = open_ok(out->fs, &got);
    pc_wal_recovered_clear(&got);
    for (unsigned i = 0; i < 50; i++) {
        append_some(wal, &out->model, 1, 50);
        out->model.commit = model_last(&out->model) - 3;
    }
    pc_wal_close(wal);
    list_segments(out->fs, &out->files);
    assert_true(out->files.n >= 4);
    out->base = base_at(&out->model, last_of(&out->files, 2) + 9);
    memset(noise, 0x5a, sizeof noise);
    path_of(out->files.first[0], path);
    assert_true(pc_sim_fs_overwrite(out->fs, path, 30000, pc_slice_of(noise, sizeof noise)));
}

static void rotten_delete(struct rotten *rotten)
{
    model_clear(&rotten->model);
    pc_sim_fs_delete(rotten->fs);
}

/* The last entry in front of the noise. */
static pc_index read_up_to_damage(struct pc_wal *wal, const struct model *model)
{
    for (pc_index at = 1;;) {
        struct pc_entries some = {0};
        struct pc_error error;
        pc_err err = pc_wal_load(wal, at, at + 200, 1 << 20, &some, &error);
        if (err != PC_OK) {
            assert_int_equal(err, PC_E_CORRUPT);
            assert_non_null(strstr(error.text, "log-0000000000000001.seg: damaged at offset"));
            return at - 1;
        }
        for (size_t i = 0; i < some.n; i++) {
            assert_true(entry_equal(&some.v[i], &model->entries.v[at - 1 + i]));
        }
        at += some.n;
        pc_entries_clear(&some);
    }
}

static void rot__in_what_was_passed__is_found_by_whoever_asks(void **state)
{
    (void)state;
    struct rotten rotten;
    struct pc_wal_recovered got;
    struct pc_wal_stats stats;
    make_rotten(&rotten);
    struct pc_wal *wal = open_behind_ok(rotten.fs, &rotten.base, &got);
    assert_int_equal(got.first, 1); /* not read: */
    assert_int_equal(got.damages, 0);
    pc_wal_recovered_clear(&got);
    for (unsigned again = 0; again < 2; again++) {
        pc_index good = read_up_to_damage(wal, &rotten.model);
        assert_true(good > 100 && good < last_of(&rotten.files, 0));
    }
    pc_wal_stats(wal, &stats);
    assert_int_equal(stats.damaged_loads, 2);
    assert_loads_from(wal, &rotten.model, rotten.files.first[1], SPARED_NOT_BEFORE);
    pc_wal_close(wal);
    rotten_delete(&rotten);
}

/* Leaders of terms 1 and 2 take turns, neither of them committing anything: the last `lost` entries
 * give way to some of term 2, and come again. */
static void take_turns(struct pc_wal *wal, struct model *model, unsigned lost, unsigned stale)
{
    pc_index from = model_last(model) - lost + 1;
    struct pc_error error;
    for (pc_term term = 2; term > 0; term--) {
        unsigned count = term == 2 ? stale : lost + 1;
        model_truncate(model, from);
        for (unsigned i = 0; i < count; i++) {
            model_append(model, term, 10 + model_last(model) % 90);
        }
        struct pc_wal_batch batch = model_batch(model, count);
        batch.truncate_from = from;
        assert_ok(pc_wal_write(wal, &batch, &error));
        pc_entries_clear(&batch.entries);
    }
}

struct turns {
    struct model model;
    struct pc_sim_fs *fs;
    struct files files;
    struct pc_raft_base base;
    pc_index first; /* that was truncated */
    char segment[64];
    uint64_t offset; /* of the record that has its place */
};

static void note_first(void *arg, const struct pc_wal_record_info *record)
{
    struct turns *turns = arg;
    if (record->type == PC_WAL_RECORD_ENTRY && record->index == turns->first &&
        record->term == 1) {
        (void)snprintf(turns->segment, sizeof turns->segment, "%s", record->segment);
        turns->offset = record->offset;
    }
}

/* A log of several segments, all of term 1 in the end, with turns taken in the first one. */
static void make_turns(struct turns *out)
{
    struct pc_wal_recovered got;
    struct pc_error error;
    *out = (struct turns){.fs = pc_sim_fs_new(5)};
    struct pc_wal *wal = open_ok(out->fs, &got);
    pc_wal_recovered_clear(&got);
    append_some(wal, &out->model, 1, 50);
    out->first = model_last(&out->model) + 1;
    for (unsigned i = 0; i < 3; i++) {
        take_turns(wal, &out->model, 0, 1 + i * 8);
        append_some(wal, &out->model, 1, 20);
        take_turns(wal, &out->model, 10 + i, 3);
    }
    pc_index turned = model_last(&out->model);
    for (unsigned i = 0; i < 30; i++) {
        append_some(wal, &out->model, 1, 50);
    }
    out->model.commit = model_last(&out->model);
    append_some(wal, &out->model, 3, 1);
    pc_wal_close(wal);
    list_segments(out->fs, &out->files);
    assert_true(out->files.n >= 3 && last_of(&out->files, 0) > turned);
    out->base = base_at(&out->model, last_of(&out->files, 1));
    assert_ok(pc_wal_scan(
        pc_sim_fs_port(out->fs), TEST_DIR, &out->base, note_first, out, &got, &error));
    pc_wal_recovered_clear(&got);
}

static void turns_delete(struct turns *turns)
{
    model_clear(&turns->model);
    pc_sim_fs_delete(turns->fs);
}

/* Neither way of reading may give what was truncated, though no mark says so where it stands, nor
 * call it damage: the entries that came in its place are further on. */
static void truncated__in_what_was_passed__is_gone_around(void **state)
{
    (void)state;
    struct turns turns;
    struct pc_wal_recovered got;
    struct pc_wal_stats stats;
    make_turns(&turns);
    for (pc_index first = 1; first < turns.first + 40; first += 13) {
        struct pc_wal *wal = open_behind_ok(turns.fs, &turns.base, &got);
        assert_int_equal(got.first, 1);
        assert_int_equal(got.terms_n, 2);
        pc_wal_recovered_clear(&got);
        assert_loads_from(wal, &turns.model, first, SPARED_NOT_BEFORE);
        assert_loads_anywhere(wal, &turns.model, 1);
        pc_wal_stats(wal, &stats);
        assert_int_equal(stats.damaged_loads, 0);
        pc_wal_close(wal);
    }
    turns_delete(&turns);
}

static void assert_damaged_from(struct pc_wal *wal, const struct model *model, pc_index rotten)
{
    for (pc_index first = rotten - 3; first <= rotten + 1; first++) {
        struct pc_entries some = {0};
        struct pc_raw_entries raw = {0};
        struct pc_error error;
        pc_err want = first < rotten ? PC_OK : PC_E_CORRUPT;
        assert_int_equal(pc_wal_load(wal, first, rotten + 5, 1 << 20, &some, &error), want);
        assert_int_equal(some.n, first < rotten ? rotten - first : 0);
        for (size_t i = 0; i < some.n; i++) {
            assert_true(entry_equal(&some.v[i], &model->entries.v[first - 1 + i]));
        }
        assert_int_equal(pc_wal_load_raw(wal, first, rotten + 5, 1 << 20, &raw, &error), want);
        assert_int_equal(raw.n, some.n);
        pc_entries_clear(&some);
        pc_raw_entries_clear(&raw);
    }
}

static void rot__of_what_took_the_place_of_truncated_entries__is_damage(void **state)
{
    (void)state;
    struct turns turns;
    struct pc_wal_recovered got;
    char path[128];
    make_turns(&turns);
    (void)snprintf(path, sizeof path, TEST_DIR "/%s", turns.segment);
    assert_true(pc_sim_fs_flip_bit(turns.fs, path, turns.offset + 17, 3));
    struct pc_wal *wal = open_behind_ok(turns.fs, &turns.base, &got);
    pc_wal_recovered_clear(&got);
    assert_damaged_from(wal, &turns.model, turns.first);
    pc_wal_close(wal);
    turns_delete(&turns);
}

/* Should the snapshot be damaged, too, the log must not be taken for one that can do without. */
static void rot__where_all_is_to_be_read__is_found_at_the_start(void **state)
{
    (void)state;
    struct rotten rotten;
    struct pc_wal_recovered got;
    struct pc_wal *wal = NULL;
    struct pc_error error;
    make_rotten(&rotten);
    struct pc_wal_opts opts = test_opts();
    opts.base = rotten.base;
    opts.reads_all = true;
    assert_ok(pc_wal_open(pc_sim_fs_port(rotten.fs), &opts, &wal, &got, &error));
    for (unsigned again = 0; again < 2; again++) {
        assert_int_equal(got.first, rotten.base.index + 1);
        assert_true(got.damages > 0);
        pc_wal_recovered_clear(&got);
        assert_ok(pc_wal_reopen(&wal, NULL, &got, &error));
    }
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rotten_delete(&rotten);
}

struct late {
    struct pc_sim_fs *fs;
    uint64_t writes;
    unsigned asked;
    bool is_whole;
};

static bool late_is_whole(void *context)
{
    struct late *late = context;
    late->asked++;
    assert_int_equal(pc_sim_fs_tries(late->fs, PC_SIM_FS_WRITE), late->writes);
    return late->is_whole;
}

/* A node that has nobody to ask: what is in front counts for nothing as long as the snapshot is
 * good, and only then. */
static void snapshot__judged_late__decides_what_is_read(void **state)
{
    (void)state;
    for (int is_whole = 0; is_whole < 2; is_whole++) {
        struct rotten rotten;
        struct pc_wal_recovered got;
        struct pc_wal *wal = NULL;
        struct pc_error error;
        make_rotten(&rotten);
        struct late late = {.fs = rotten.fs,
            .writes = pc_sim_fs_tries(rotten.fs, PC_SIM_FS_WRITE),
            .is_whole = is_whole != 0};
        struct pc_wal_opts opts = test_opts();
        opts.base = rotten.base;
        opts.is_base_whole = late_is_whole;
        opts.is_base_whole_context = &late;
        assert_ok(pc_wal_open(pc_sim_fs_port(rotten.fs), &opts, &wal, &got, &error));
        assert_int_equal(late.asked, 1);
        assert_int_equal(got.first, is_whole != 0 ? 1 : rotten.base.index + 1);
        assert_int_equal(got.damages > 0, is_whole == 0);
        pc_wal_recovered_clear(&got);
        assert_ok(pc_wal_reopen(&wal, NULL, &got, &error));
        assert_int_equal(late.asked, 1); /* nobody knows any more: everything is read */
        assert_int_equal(got.first, rotten.base.index + 1);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        rotten_delete(&rotten);
    }
}

/* A segment in which the term changes is read up to where it does. */
static void rot__behind_the_last_change_of_terms__is_not_read(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_sim_fs *fs = pc_sim_fs_new(5);
    struct pc_wal_recovered got;
    struct files files;
    char path[64];
    uint8_t noise[1500];
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    for (unsigned i = 0; i < 50; i++) {
        append_some(wal, &model, i < 2 ? 1 + i : 3, 50);
        model.commit = model_last(&model) - 3;
    }
    pc_wal_close(wal);
    list_segments(fs, &files);
    assert_true(files.n >= 4 && last_of(&files, 0) > 300);
    struct pc_raft_base base = base_at(&model, last_of(&files, 2) + 9);
    memset(noise, 0x5a, sizeof noise);
    path_of(files.first[0], path);
    assert_true(pc_sim_fs_overwrite(fs, path, 30000, pc_slice_of(noise, sizeof noise)));
    wal = open_behind_ok(fs, &base, &got);
    assert_int_equal(got.damages, 0);
    assert_int_equal(got.first, 1);
    assert_int_equal(got.terms_n, 3);
    assert_int_equal(got.terms[2].first, 101);
    pc_wal_recovered_clear(&got);
    pc_index good = read_up_to_damage(wal, &model);
    assert_in_range(good, 150, last_of(&files, 0) - 1);
    assert_loads_from(wal, &model, files.first[1], SPARED_NOT_BEFORE);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* The last entry of the model names the members. */
static void make_config(struct model *model)
{
    size_t last = model->entries.n - 1;
    struct pc_entry *entry = &model->entries.v[last];
    entry->kind = PC_ENTRY_CONFIG;
    entry->chain = pc_entry_chain(&model->entries.v[last - 1].chain, entry);
}

/* Of members that are named in front of what is passed nobody knows whether they still count. */
static void members__named_in_front_of_what_is_passed__are_asked_of_the_snapshot(void **state)
{
    (void)state;
    for (unsigned behind = 0; behind < 2; behind++) {
        struct model model = {0};
        struct pc_sim_fs *fs = pc_sim_fs_new(6);
        struct pc_wal_recovered got;
        struct files files;
        pc_index named = 0;
        struct pc_wal *wal = open_ok(fs, &got);
        pc_wal_recovered_clear(&got);
        for (unsigned i = 0; i < 50; i++) {
            model_append(&model, i == 0 ? 1 : 2, 70);
            bool names = i == 1 || i == 8 || (i == 48 && behind != 0);
            if (names) {
                make_config(&model);
                named = model_last(&model);
            }
            write_and_sync(wal, &model, 1);
            append_some(wal, &model, i == 0 ? 1 : 2, 50);
            model.commit = model_last(&model) - 3;
        }
        pc_wal_close(wal);
        list_segments(fs, &files);
        assert_true(files.n >= 4 && last_of(&files, 2) < 47 * 51);
        struct pc_raft_base base = base_at(&model, last_of(&files, 2) + 9);
        wal = open_behind_ok(fs, &base, &got);
        assert_int_equal(got.config.index, behind != 0 ? named : 0);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        model_clear(&model);
        pc_sim_fs_delete(fs);
    }
}

/* Without the snapshot the log needs what is rotten: nothing is passed over then. */
static void rot__without_the_snapshot__is_found_at_the_start(void **state)
{
    (void)state;
    struct rotten rotten;
    struct pc_wal_recovered got;
    struct pc_wal *wal = NULL;
    struct pc_error error;
    struct pc_raft_base none = {0};
    make_rotten(&rotten);
    struct pc_raft_base early = base_at(&rotten.model, 40);
    assert_int_equal(
        open_behind(rotten.fs, &none, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error), PC_E_CORRUPT);
    assert_int_equal(
        open_behind(rotten.fs, &early, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error), PC_E_CORRUPT);
    assert_ok(open_behind(rotten.fs, &none, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
    assert_true(got.gaps_n > 0);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rotten_delete(&rotten);
}

/* Damage behind the snapshot is judged with all of the log read. */
static void rot__on_both_sides_of_the_snapshot__is_judged_as_if_nothing_were_passed(void **state)
{
    (void)state;
    struct rotten rotten;
    struct pc_wal_recovered all, got;
    struct pc_wal *wal = NULL;
    struct pc_error error;
    char path[64];
    uint8_t noise[600];
    make_rotten(&rotten);
    memset(noise, 0x33, sizeof noise);
    path_of(rotten.files.first[3], path);
    assert_true(pc_sim_fs_overwrite(rotten.fs, path, 40000, pc_slice_of(noise, sizeof noise)));
    assert_ok(
        pc_wal_scan(pc_sim_fs_port(rotten.fs), TEST_DIR, &rotten.base, NULL, NULL, &all, &error));
    assert_int_equal(all.gaps_n, 1);
    assert_ok(open_behind(rotten.fs, &rotten.base, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
    assert_int_equal(got.gaps_n, 1);
    assert_int_equal(got.first, all.first);
    assert_int_equal(got.damages, all.damages);
    assert_int_equal(got.gaps[0].first, all.gaps[0].first);
    assert_int_equal(got.gaps[0].last, all.gaps[0].last);
    assert_int_equal(got.gaps[0].floor, all.gaps[0].floor);
    pc_wal_recovered_clear(&all);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rotten_delete(&rotten);
}

/* What was put aside for a gap in front of the snapshot is part of the log like the rest of it: a
 * start finds it in its place, and leaves it for a time without that snapshot. */
static void filling__in_front_of_the_snapshot__is_kept_and_given(void **state)
{
    (void)state;
    struct rotten rotten;
    struct pc_wal_recovered got;
    struct pc_wal *wal = NULL;
    struct pc_error error;
    struct pc_raft_base none = {0};
    bool closed = false;
    make_rotten(&rotten);
    assert_ok(open_behind(rotten.fs, &none, PC_WAL_DAMAGE_REPAIR, &wal, &got, &error));
    assert_true(got.gaps_n > 0);
    for (size_t i = 0; i < got.gaps_n; i++) {
        pc_index first = got.gaps[i].first;
        assert_ok(pc_wal_repair_put(wal, i, &rotten.model.entries.v[first - 1],
            (size_t)(got.gaps[i].last - first + 1), &closed, &error));
        assert_true(closed);
    }
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    for (unsigned again = 0; again < 2; again++) {
        wal = open_behind_ok(rotten.fs, &rotten.base, &got);
        assert_int_equal(got.first, 1);
        assert_loads_from(wal, &rotten.model, 1, 0);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
    }
    wal = open_behind_ok(rotten.fs, &none, &got);
    assert_loads_from(wal, &rotten.model, 1, 0);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rotten_delete(&rotten);
}

/* What was passed over can go like everything else in front of a snapshot. */
static void drop__of_what_was_passed__leaves_the_rest(void **state)
{
    (void)state;
    struct rotten rotten;
    struct pc_wal_recovered got;
    struct pc_error error;
    pc_index first = 0;
    make_rotten(&rotten);
    struct pc_wal *wal = open_behind_ok(rotten.fs, &rotten.base, &got);
    pc_wal_recovered_clear(&got);
    assert_ok(pc_wal_drop(wal, rotten.files.first[1] + 3, &first, &error));
    assert_int_equal(first, rotten.files.first[1]);
    assert_loads_from(wal, &rotten.model, first, 0);
    assert_ok(pc_wal_drop(wal, rotten.base.index, &first, &error));
    assert_int_equal(first, rotten.files.first[3]);
    assert_loads_from(wal, &rotten.model, first, 0);
    pc_wal_close(wal);
    assert_is_model(rotten.fs, &rotten.model, rotten.base.index);
    rotten_delete(&rotten);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(start__behind_any_snapshot__finds_what_a_scan_finds),
    PC_TEST(rot__in_what_was_passed__is_found_by_whoever_asks),
    PC_TEST(truncated__in_what_was_passed__is_gone_around),
    PC_TEST(rot__of_what_took_the_place_of_truncated_entries__is_damage),
    PC_TEST(rot__where_all_is_to_be_read__is_found_at_the_start),
    PC_TEST(snapshot__judged_late__decides_what_is_read),
    PC_TEST(rot__behind_the_last_change_of_terms__is_not_read),
    PC_TEST(members__named_in_front_of_what_is_passed__are_asked_of_the_snapshot),
    PC_TEST(rot__without_the_snapshot__is_found_at_the_start),
    PC_TEST(rot__on_both_sides_of_the_snapshot__is_judged_as_if_nothing_were_passed),
    PC_TEST(filling__in_front_of_the_snapshot__is_kept_and_given),
    PC_TEST(drop__of_what_was_passed__leaves_the_rest),
};
PC_TEST_MAIN("wal_skip", tests)
