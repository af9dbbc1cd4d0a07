/* What the tests of logs that begin behind a base share. The model keeps every entry from 1 on: a
 * snapshot stands for those that the log has no longer. */
#ifndef PC_TEST_WAL_FRONT_H
#define PC_TEST_WAL_FRONT_H

#include "fixture.h"

#include <inttypes.h>

/* A snapshot of this entry of the model. */
static inline struct pc_raft_base base_at(const struct model *model, pc_index index)
{
    struct pc_raft_base base = {0};
    if (index > 0) {
        const struct pc_entry *entry = &model->entries.v[index - 1];
        base = (struct pc_raft_base){.index = index,
            .term = entry->term,
            .stamp_ms = entry->stamp_ms,
            .chain = entry->chain};
    }
    return base;
}

static inline pc_err open_behind(struct pc_sim_fs *fs, const struct pc_raft_base *base,
    enum pc_wal_damage damage, struct pc_wal **wal, struct pc_wal_recovered *got,
    struct pc_error *error)
{
    struct pc_wal_opts opts = test_opts();
    opts.base = *base;
    opts.damage = damage;
    *wal = NULL;
    *error = (struct pc_error){0};
    return pc_wal_open(pc_sim_fs_port(fs), &opts, wal, got, error);
}

static inline struct pc_wal *open_behind_ok(
    struct pc_sim_fs *fs, const struct pc_raft_base *base, struct pc_wal_recovered *got)
{
    struct pc_wal *wal = NULL;
    struct pc_error error;
    if (open_behind(fs, base, PC_WAL_DAMAGE_REFUSE, &wal, got, &error) != PC_OK) {
        fail_msg("open behind %u: %s", (unsigned)base->index, error.text);
    }
    return wal;
}

/* For a log whose entry first - 1 may be there. */
#define SPARED_NOT_BEFORE UINT64_MAX

/* The log has the model from `first` on, and nothing before. Entries up to `spared`, for which a
 * snapshot stands, may be damaged: then they are said to be. */
static inline void assert_loads_from(
    struct pc_wal *wal, const struct model *model, pc_index first, pc_index spared)
{
    struct pc_error error;
    struct pc_entries none = {0};
    if (first > 1 && spared != SPARED_NOT_BEFORE) {
        assert_int_equal(pc_wal_load(wal, first - 1, first - 1, 1, &none, &error), PC_E_NOT_FOUND);
    }
    for (pc_index at = first; at <= model_last(model);) {
        struct pc_entries some = {0};
        pc_err err = pc_wal_load(wal, at, model_last(model), 20000, &some, &error);
        if (err == PC_E_CORRUPT && at <= spared && spared != SPARED_NOT_BEFORE) {
            at = spared + 1;
            continue;
        }
        assert_ok(err);
        for (size_t i = 0; i < some.n; i++) {
            assert_true(entry_equal(&some.v[i], &model->entries.v[at - 1 + i]));
        }
        at += some.n;
        pc_entries_clear(&some);
    }
}

/* The recovery gave the model from got->first on, and knows what it must of the entry before. */
static inline void assert_behind_is(struct pc_wal *wal, const struct pc_wal_recovered *got,
    const struct model *model, const struct pc_raft_base *base)
{
    pc_index last = model_last(model);
    assert_int_equal(got->last, last);
    assert_int_equal(got->gaps_n, 0);
    assert_true(got->first <= base->index + 1);
    assert_true(got->commit >= base->index && got->commit <= last);
    assert_int_equal(got->tail.n, last - got->commit);
    for (size_t i = 0; i < got->tail.n; i++) {
        assert_true(entry_equal(&got->tail.v[i], &model->entries.v[got->commit + i]));
    }
    if (got->commit > 0) {
        const struct pc_entry *commit = &model->entries.v[got->commit - 1];
        assert_int_equal(got->base.index, got->commit);
        assert_int_equal(got->base.term, commit->term);
        assert_int_equal(got->base.stamp_ms, commit->stamp_ms);
        assert_true(pc_hash_equal(&got->base.chain, &commit->chain));
    }
    if (last > 0) {
        assert_int_equal(got->last_stamp_ms, model->entries.v[last - 1].stamp_ms);
        assert_true(got->terms_n > 0);
        assert_true(got->terms[0].first <= (got->first > 1 ? got->first - 1 : 1));
    }
    for (pc_index i = got->first > 1 ? got->first - 1 : 1; i <= last; i++) {
        size_t run = 0;
        while (run + 1 < got->terms_n && got->terms[run + 1].first <= i) {
            run++;
        }
        assert_int_equal(got->terms[run].term, model->entries.v[i - 1].term);
    }
    assert_loads_from(wal, model, got->first > 0 ? got->first : 1, base->index);
}

/* ---- a log to begin with */

#define NEW_ENTRIES 60

struct files {
    pc_index first[64];
    size_t n;
    size_t others;
};

static inline void add_file(void *arg, const char *name)
{
    struct files *files = arg;
    pc_index first = strncmp(name, "log-", 4) == 0 ? strtoull(name + 4, NULL, 16) : 0;
    if (first != 0) {
        size_t at = files->n++;
        assert_true(files->n <= 64);
        while (at > 0 && files->first[at - 1] > first) {
            files->first[at] = files->first[at - 1];
            at--;
        }
        files->first[at] = first;
    } else {
        files->others++;
    }
}

/* The first indexes of the segments that are there, ascending. */
static inline void list_segments(struct pc_sim_fs *fs, struct files *out)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    *out = (struct files){0};
    assert_ok(port->list(port->context, TEST_DIR, add_file, out, &error));
}

static inline void path_of(pc_index first, char out[64])
{
    (void)snprintf(out, 64, TEST_DIR "/log-%016" PRIx64 ".seg", first);
}

/* A log of six segments or so, all but the last three entries committed, closed in order. */
static inline struct pc_sim_fs *make_log(struct model *model)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(3);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    struct pc_wal_batch vote = {.has_vote = true, .term = 2, .vote = 7};
    assert_ok(pc_wal_write(wal, &vote, &error));
    for (unsigned i = 0; i < NEW_ENTRIES; i++) {
        model_append(model, i < 20 ? 1 : 2, 5000);
        model->commit = i > 3 ? i - 3 : 0;
        write_and_sync(wal, model, 1);
    }
    pc_wal_close(wal);
    struct files files;
    list_segments(fs, &files);
    assert_true(files.n >= 5);
    return fs;
}

static inline struct pc_wal *open_base(
    struct pc_sim_fs *fs, const struct model *model, pc_index index, struct pc_wal_recovered *got)
{
    struct pc_raft_base base = base_at(model, index);
    return open_behind_ok(fs, &base, got);
}

static inline void assert_is_model(
    struct pc_sim_fs *fs, const struct model *model, pc_index base_index)
{
    struct pc_raft_base base = base_at(model, base_index);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_behind_ok(fs, &base, &got);
    assert_behind_is(wal, &got, model, &base);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
}

/* The last entry of each segment but the newest. */
static inline pc_index last_of(const struct files *files, size_t segment)
{
    return files->first[segment + 1] - 1;
}

/* Entries that the drop has taken, and no snapshot that stands for them. */
static inline struct pc_sim_fs *make_dropped(struct model *model, pc_index *front)
{
    struct pc_sim_fs *fs = make_log(model);
    struct pc_wal_recovered got;
    struct pc_error error;
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    assert_ok(pc_wal_drop(wal, model->commit - 20, front, &error));
    (*front)--;
    assert_true(*front > 10);
    pc_wal_close(wal);
    return fs;
}

#endif
