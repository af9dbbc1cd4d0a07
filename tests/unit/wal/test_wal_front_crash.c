/* Power cuts, with drops and resets among the writes. A run is cut at every single step, and opened
 * behind its newest snapshot: what comes back is the log as it was reported durable, perhaps with
 * some of the batches that were under way; where that ends before the snapshot, it begins behind
 * it. Rot comes on top: of a vote slot, and of whatever the snapshot makes dispensable. */
#include "front.h"

#define PENDING_MAX 12

struct run {
    struct pc_sim_fs *fs;
    struct pc_wal *wal;
    struct pc_prng prng;
    struct model model;
    struct model durable;
    struct model pending[PENDING_MAX];
    size_t pending_n;
    struct pc_raft_base base; /* the newest snapshot, durable */
    unsigned drops;
    unsigned resets;
};

static void settle_pending(struct run *run)
{
    for (size_t i = 0; i < run->pending_n; i++) {
        model_clear(&run->pending[i]);
    }
    run->pending_n = 0;
    model_copy(&run->durable, &run->model);
}

static void run_clear(struct run *run)
{
    settle_pending(run);
    model_clear(&run->model);
    model_clear(&run->durable);
    pc_sim_fs_delete(run->fs);
}

static pc_term next_term(const struct run *run)
{
    pc_index last = model_last(&run->model);
    return last == 0 ? 1 : run->model.entries.v[last - 1].term + 1;
}

static bool write_some(struct run *run)
{
    struct pc_prng *prng = &run->prng;
    pc_index last = model_last(&run->model);
    pc_term term = last == 0 ? 1 : run->model.entries.v[last - 1].term;
    pc_index from = 0;
    if (last > run->model.commit && pc_prng_below(prng, 5) == 0) {
        term = next_term(run);
        from = pc_prng_between(prng, run->model.commit + 1, last + 1);
        model_truncate(&run->model, from);
    }
    size_t count = 1 + pc_prng_below(prng, 4);
    for (size_t i = 0; i < count; i++) {
        model_append(&run->model, term, pc_prng_below(prng, 9000));
    }
    last = model_last(&run->model);
    if (pc_prng_below(prng, 2) == 0) {
        run->model.commit = pc_prng_between(prng, run->model.commit, last + 1);
        run->model.commit = run->model.commit < last ? run->model.commit : last;
    }
    struct pc_wal_batch batch = model_batch(&run->model, count);
    batch.truncate_from = from;
    model_copy(&run->pending[run->pending_n++], &run->model);
    struct pc_error error;
    pc_err err = pc_wal_write(run->wal, &batch, &error);
    pc_entries_clear(&batch.entries);
    return err == PC_OK;
}

static bool drop_some(struct run *run)
{
    pc_index upto = pc_prng_between(&run->prng, run->base.index, run->model.commit + 1);
    upto = upto < run->model.commit ? upto : run->model.commit;
    pc_index first = 0;
    struct pc_error error;
    if (upto > run->base.index) {
        run->base = base_at(&run->model, upto);
    }
    pc_err err = pc_wal_drop(run->wal, upto, &first, &error);
    run->drops += err == PC_OK && first > 1 ? 1 : 0;
    assert_true(err != PC_OK || first <= upto + 1);
    return err == PC_OK;
}

/* Another node's log went on elsewhere behind what is committed, and a snapshot of it comes. */
static bool reset(struct run *run)
{
    pc_term term = next_term(run);
    pc_index ahead = pc_prng_below(&run->prng, 8);
    pc_index to = pc_prng_below(&run->prng, 2) == 0 ? model_last(&run->model) + 1 + ahead
                                                    : run->model.commit + 1 + ahead;
    model_truncate(&run->model, run->model.commit + 1);
    while (model_last(&run->model) < to) {
        model_append(&run->model, term, 50);
    }
    run->model.commit = to;
    run->base = base_at(&run->model, to);
    settle_pending(run);
    struct pc_error error;
    bool done = pc_wal_reset(run->wal, &run->base, &error) == PC_OK;
    run->resets += done ? 1 : 0;
    return done;
}

static bool step_run(struct run *run)
{
    struct pc_error error;
    unsigned dice = (unsigned)pc_prng_below(&run->prng, 20);
    if (run->pending_n + 1 >= PENDING_MAX || dice < 5) {
        if (pc_wal_sync(run->wal, &error) != PC_OK) {
            return false;
        }
        settle_pending(run);
        return true;
    }
    return dice == 5 ? reset(run) : dice < 8 ? drop_some(run) : write_some(run);
}

/* The state with the snapshot in front of it. */
static void behind_base(const struct run *run, const struct model *state, struct model *out)
{
    pc_index b = run->base.index;
    bool has = model_last(state) >= b &&
               (b == 0 || pc_hash_equal(&state->entries.v[b - 1].chain, &run->base.chain));
    model_copy(out, has ? state : &run->model);
    if (!has) {
        model_truncate(out, b + 1);
        out->commit = b;
    }
}

/* Opens what is left; *out is the state that came back. */
static void open_and_match(struct run *run, struct pc_sim_fs *fs, struct model *out)
{
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_behind_ok(fs, &run->base, &got);
    struct pc_error error;
    struct pc_entries tip = {0};
    bool found = false;
    if (got.last > 0 && got.last >= got.first) {
        assert_ok(pc_wal_load(wal, got.last, got.last, 1, &tip, &error));
    }
    for (size_t i = 0; i <= run->pending_n && !found; i++) {
        behind_base(run, i == 0 ? &run->durable : &run->pending[i - 1], out);
        pc_index last = model_last(out);
        found = last == got.last &&
                (tip.n == 0 || pc_hash_equal(&tip.v[0].chain, &out->entries.v[last - 1].chain));
    }
    pc_entries_clear(&tip);
    assert_true(found);
    assert_behind_is(wal, &got, out, &run->base);
    assert_int_equal(got.doubt, 0);
    pc_wal_recovered_clear(&got);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL); /* whatever was recovered must be durable */
    pc_wal_close(wal);
}

/* Writes behind what came back, and finds it again. */
static void go_on_and_check(struct run *run, struct pc_sim_fs *fs, struct model *model)
{
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_behind_ok(fs, &run->base, &got);
    assert_behind_is(wal, &got, model, &run->base);
    pc_wal_recovered_clear(&got);
    model_append(model, next_term(run) + 1, 700);
    write_and_sync(wal, model, 1);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
    wal = open_behind_ok(fs, &run->base, &got);
    assert_behind_is(wal, &got, model, &run->base);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
}

static bool run_until_cut(struct run *run, uint64_t seed, uint64_t steps, unsigned rounds)
{
    *run = (struct run){.fs = pc_sim_fs_new(seed * 1000003 + steps)};
    pc_prng_seed(&run->prng, seed);
    pc_sim_fs_power_off_after(run->fs, steps);
    struct pc_wal_recovered got;
    struct pc_error error;
    bool goes_on =
        open_behind(run->fs, &run->base, PC_WAL_DAMAGE_REFUSE, &run->wal, &got, &error) == PC_OK;
    for (unsigned i = 0; i < rounds && goes_on; i++) {
        goes_on = step_run(run);
    }
    bool was_off = pc_sim_fs_is_off(run->fs);
    pc_sim_fs_crash(run->fs, PC_SIM_FS_POWER_CUT);
    pc_wal_close(run->wal);
    return was_off;
}

static void power_cut__at_every_step__keeps_what_was_reported(void **state)
{
    (void)state;
    unsigned drops = 0, resets = 0;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps += PC_TEST_STRIDE) {
            struct run run;
            struct model found = {0};
            was_off = run_until_cut(&run, seed, steps, 70);
            open_and_match(&run, run.fs, &found);
            go_on_and_check(&run, run.fs, &found);
            drops += was_off ? 0 : run.drops;
            resets += was_off ? 0 : run.resets;
            model_clear(&found);
            run_clear(&run);
        }
    }
    assert_true(drops >= 12 && resets >= 6);
}

static void power_cut__during_recovery_at_every_step__gives_the_same_result(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        struct run run;
        struct model want = {0};
        (void)run_until_cut(&run, seed, 30 + seed * 7, 300);
        struct pc_sim_fs *once = pc_sim_fs_clone(run.fs);
        open_and_match(&run, once, &want);
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps += PC_TEST_STRIDE) {
            struct pc_sim_fs *image = pc_sim_fs_clone(run.fs);
            pc_sim_fs_reseed(image, seed * 77 + steps);
            pc_sim_fs_power_off_after(image, steps);
            struct pc_wal_recovered got;
            struct pc_wal *wal = NULL;
            struct pc_error error;
            if (open_behind(image, &run.base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error) == PC_OK) {
                pc_wal_recovered_clear(&got);
            }
            was_off = pc_sim_fs_is_off(image);
            pc_sim_fs_crash(image, PC_SIM_FS_POWER_CUT);
            pc_wal_close(wal);
            struct model found = {0};
            open_and_match(&run, image, &found);
            assert_int_equal(model_last(&found), model_last(&want));
            go_on_and_check(&run, image, &found);
            model_clear(&found);
            pc_sim_fs_delete(image);
        }
        model_clear(&want);
        pc_sim_fs_delete(once);
        run_clear(&run);
    }
}

/* After the power cut one of the two vote slots rots as a whole: the other one knows the front. */
static void rot__of_a_vote_slot_after_a_cut__takes_no_entry(void **state)
{
    (void)state;
    static const char *const slots[] = {TEST_DIR "/vote-0", TEST_DIR "/vote-1"};
    unsigned opened = 0;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        bool was_off = true;
        for (uint64_t steps = 8; was_off; steps += PC_TEST_STRIDE) {
            struct run run;
            was_off = run_until_cut(&run, seed, steps, 70);
            for (size_t slot = 0; slot < 2; slot++) {
                struct pc_sim_fs *copy = pc_sim_fs_clone(run.fs);
                uint8_t noise[4096];
                memset(noise, 0x5a, sizeof noise);
                if (!pc_sim_fs_overwrite(copy, slots[slot], 0, pc_slice_of(noise, sizeof noise))) {
                    pc_sim_fs_delete(copy); /* it was not made yet */
                    continue;
                }
                struct pc_wal *wal = NULL;
                struct pc_wal_recovered got;
                struct pc_error error;
                pc_err err = open_behind(copy, &run.base, PC_WAL_DAMAGE_REFUSE, &wal, &got, &error);
                if (err == PC_OK) {
                    pc_index durable = model_last(&run.durable);
                    pc_index floor = durable > run.base.index ? durable : run.base.index;
                    assert_true(got.last >= floor || run.pending_n > 0);
                    assert_true(got.commit >= run.base.index);
                    opened++;
                    pc_wal_recovered_clear(&got);
                } else {
                    /* Both slots are bad when the cut tore the other one while it was written. */
                    assert_int_equal(err, PC_E_CORRUPT);
                    assert_non_null(strstr(error.text, "vote-"));
                }
                pc_sim_fs_crash(copy, PC_SIM_FS_KILL);
                pc_wal_close(wal);
                pc_sim_fs_delete(copy);
            }
            run_clear(&run);
        }
    }
    assert_true(opened > 200);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(power_cut__at_every_step__keeps_what_was_reported),
    PC_TEST(power_cut__during_recovery_at_every_step__gives_the_same_result),
    PC_TEST(rot__of_a_vote_slot_after_a_cut__takes_no_entry),
};
PC_TEST_MAIN("wal_front_crash", tests)
