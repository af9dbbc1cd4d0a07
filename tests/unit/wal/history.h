/* A log with a past: what a start makes of it is known from the model. */
#ifndef PC_TEST_WAL_HISTORY_H
#define PC_TEST_WAL_HISTORY_H

#include "front.h"

/* Small entries, so that a segment has many marks. */
static inline void append_some(
    struct pc_wal *wal, struct model *model, pc_term term, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        model_append(model, term, 10 + model_last(model) % 90);
    }
    write_and_sync(wal, model, count);
}

/* Terms come and go in the middle of segments and at their borders; some are truncated by the next
 * one, now and then back over the start of a segment. */
static inline struct pc_sim_fs *make_history(struct model *model, uint64_t seed)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(seed);
    struct pc_prng prng;
    struct pc_wal_recovered got;
    struct pc_error error;
    pc_prng_seed(&prng, seed);
    struct pc_wal *wal = open_ok(fs, &got);
    pc_wal_recovered_clear(&got);
    pc_term term = 1;
    for (unsigned i = 0; i < 90; i++) {
        append_some(wal, model, term, 1 + (unsigned)pc_prng_below(&prng, 60));
        if (pc_prng_below(&prng, 4) != 0) {
            model->commit = model_last(model) - pc_prng_below(&prng, 3);
        } else if (pc_prng_below(&prng, 3) == 0 && model->commit < model_last(model)) {
            pc_index from =
                model->commit + 1 + pc_prng_below(&prng, model_last(model) - model->commit);
            model_truncate(model, from);
            model_append(model, ++term, 30);
            struct pc_wal_batch batch = model_batch(model, 1);
            batch.truncate_from = from;
            assert_ok(pc_wal_write(wal, &batch, &error));
            pc_entries_clear(&batch.entries);
        }
        term += pc_prng_below(&prng, 12) == 0 ? 1 : 0;
    }
    model->commit = model_last(model);
    append_some(wal, model, term, 3);
    pc_wal_close(wal);
    return fs;
}

#endif
