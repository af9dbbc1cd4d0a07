/* What the tests of the log share: entries with a right chain, a model of what the log must hold,
 * and a digest of what a recovery gave. */
#ifndef PC_TEST_WAL_FIXTURE_H
#define PC_TEST_WAL_FIXTURE_H

#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/prng.h"
#include "pcache/wal.h"
#include "pcache/wire_entry.h"
#include "support/sim_fs.h"

#define TEST_DIR "/data"
#define TEST_SEGMENT_BYTES (64u * 1024)

static inline struct pc_wal_opts test_opts(void)
{
    return (struct pc_wal_opts){.dir = TEST_DIR, .segment_bytes = TEST_SEGMENT_BYTES};
}

/* What a log is to hold. */
struct model {
    struct pc_entries entries; /* 1..n */
    pc_index commit;
};

static inline pc_index model_last(const struct model *model)
{
    return model->entries.n;
}

static inline void model_clear(struct model *model)
{
    pc_entries_clear(&model->entries);
    *model = (struct model){0};
}

static inline void model_copy(struct model *to, const struct model *from)
{
    model_clear(to);
    to->commit = from->commit;
    for (size_t i = 0; i < from->entries.n; i++) {
        pc_entries_push(&to->entries, &from->entries.v[i]);
    }
}

static inline void model_truncate(struct model *model, pc_index from)
{
    while (model->entries.n >= from) {
        pc_entry_clear(&model->entries.v[--model->entries.n]);
    }
}

/* Appends an entry with `len` bytes of body to the model. */
static inline void model_append(struct model *model, pc_term term, size_t len)
{
    size_t n = model->entries.n;
    struct pc_entry entry = {.index = n + 1,
        .term = term,
        .stamp_ms = 1000 + n,
        .req = {.node = 7, .boot = 2, .seq = n + 1},
        .kind = len == 0 ? PC_ENTRY_NOOP : PC_ENTRY_COMMAND};
    if (len > 0) {
        uint8_t *body = pc_xalloc(len);
        memset(body, (int)(n * 31 + term), len);
        assert_ok(pc_blob_new(pc_slice_of(body, len), &entry.body));
        free(body);
    }
    struct pc_hash zero = {{0}};
    entry.chain = pc_entry_chain(n == 0 ? &zero : &model->entries.v[n - 1].chain, &entry);
    pc_entries_push(&model->entries, &entry);
    pc_entry_clear(&entry);
}

/* The last `count` entries of the model as a batch. */
static inline struct pc_wal_batch model_batch(const struct model *model, size_t count)
{
    struct pc_wal_batch batch = {.commit = model->commit};
    for (size_t i = model->entries.n - count; i < model->entries.n; i++) {
        pc_entries_push(&batch.entries, &model->entries.v[i]);
    }
    return batch;
}

static inline void write_last(struct pc_wal *wal, const struct model *model, size_t count)
{
    struct pc_error error;
    struct pc_wal_batch batch = model_batch(model, count);
    assert_ok(pc_wal_write(wal, &batch, &error));
    pc_entries_clear(&batch.entries);
}

static inline void write_and_sync(struct pc_wal *wal, const struct model *model, size_t count)
{
    struct pc_error error;
    write_last(wal, model, count);
    assert_ok(pc_wal_sync(wal, &error));
}

static inline bool entry_equal(const struct pc_entry *a, const struct pc_entry *b)
{
    return a->index == b->index && a->term == b->term && a->stamp_ms == b->stamp_ms &&
           a->req.node == b->req.node && a->req.boot == b->req.boot && a->req.seq == b->req.seq &&
           a->kind == b->kind && pc_hash_equal(&a->chain, &b->chain) &&
           pc_slice_equal(pc_blob_slice(a->body), pc_blob_slice(b->body));
}

/* Every entry that the log serves is the model's, and there are as many. */
static inline void assert_log_is(
    struct pc_wal *wal, const struct pc_wal_recovered *recovered, const struct model *model)
{
    struct pc_error error;
    assert_int_equal(recovered->last, model_last(model));
    for (pc_index at = 1; at <= model_last(model);) {
        struct pc_entries some = {0};
        assert_ok(pc_wal_load(wal, at, model_last(model), 5000, &some, &error));
        assert_true(some.n > 0);
        for (size_t i = 0; i < some.n; i++) {
            assert_true(entry_equal(&some.v[i], &model->entries.v[at - 1 + i]));
        }
        at += some.n;
        pc_entries_clear(&some);
    }
}

/* The parts of a recovery fit each other and the model. */
static inline void assert_recovered_is(
    const struct pc_wal_recovered *got, const struct model *model)
{
    pc_index last = model_last(model);
    assert_int_equal(got->last, last);
    assert_int_equal(got->first, last == 0 ? 0 : 1);
    assert_true(got->commit <= last);
    assert_int_equal(got->tail.n, last - got->commit);
    for (size_t i = 0; i < got->tail.n; i++) {
        assert_true(entry_equal(&got->tail.v[i], &model->entries.v[got->commit + i]));
    }
    if (got->commit > 0) {
        assert_true(entry_equal(&got->base, &model->entries.v[got->commit - 1]));
    }
    if (last > 0) {
        assert_int_equal(got->last_stamp_ms, model->entries.v[last - 1].stamp_ms);
    }
    for (pc_index i = 1; i <= last; i++) {
        size_t run = 0;
        while (run + 1 < got->terms_n && got->terms[run + 1].first <= i) {
            run++;
        }
        assert_int_equal(got->terms[run].term, model->entries.v[i - 1].term);
    }
}

static inline struct pc_wal *open_ok(struct pc_sim_fs *fs, struct pc_wal_recovered *recovered)
{
    struct pc_wal_opts opts = test_opts();
    struct pc_wal *wal = NULL;
    struct pc_error error = {0};
    pc_err err = pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, recovered, &error);
    if (err != PC_OK) {
        fail_msg("open: %s", error.text);
    }
    return wal;
}

/* Opens, expects the model, closes. */
static inline void assert_reopens_as(struct pc_sim_fs *fs, const struct model *model)
{
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(fs, &recovered);
    assert_recovered_is(&recovered, model);
    assert_log_is(wal, &recovered, model);
    pc_wal_recovered_clear(&recovered);
    pc_wal_close(wal);
}

static inline void assert_refused(struct pc_sim_fs *fs, const char *text)
{
    struct pc_wal_opts opts = test_opts();
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    struct pc_error error = {0};
    assert_int_equal(
        pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &recovered, &error), PC_E_CORRUPT);
    if (strstr(error.text, text) == NULL) {
        fail_msg("wanted \"%s\" in: %s", text, error.text);
    }
}

#endif
