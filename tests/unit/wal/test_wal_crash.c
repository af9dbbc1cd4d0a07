/* Power cuts. A run of writes, truncations, votes and syncs is cut at every single step; what comes
 * back must be the log as it was reported durable, perhaps with some of the batches that were under
 * way, whole and in order. */
#include "fixture.h"

#define PENDING_MAX 16

/* What the run knows: the state reported durable, and the states after each batch since. */
struct run {
    struct pc_sim_fs *fs;
    struct pc_wal *wal;
    struct pc_prng prng;
    struct model model;
    struct model durable;
    struct model pending[PENDING_MAX];
    size_t pending_n;
    pc_term vote_term;
    pc_node_id vote;
    pc_term flying_term; /* of a vote whose write did not return */
    pc_node_id flying_vote;
};

static void run_clear(struct run *run)
{
    model_clear(&run->model);
    model_clear(&run->durable);
    for (size_t i = 0; i < run->pending_n; i++) {
        model_clear(&run->pending[i]);
    }
    run->pending_n = 0;
}

static void settle_pending(struct run *run)
{
    for (size_t i = 0; i < run->pending_n; i++) {
        model_clear(&run->pending[i]);
    }
    run->pending_n = 0;
    model_copy(&run->durable, &run->model);
}

static size_t random_len(struct pc_prng *prng)
{
    switch (pc_prng_below(prng, 10)) {
    case 0:
        return 0;
    case 1:
        return pc_prng_below(prng, 20000);
    case 2:
        return 380 + pc_prng_below(prng, 140);
    default:
        return pc_prng_below(prng, 900);
    }
}

static bool write_random_batch(struct run *run)
{
    struct pc_prng *prng = &run->prng;
    pc_index last = model_last(&run->model);
    pc_term term = last == 0 ? 1 : run->model.entries.v[last - 1].term;
    struct pc_wal_batch batch = {0};
    pc_index from = 0;
    if (last > 3 && pc_prng_below(prng, 8) == 0) {
        from = pc_prng_between(prng, run->model.commit + 1, last + 1);
        model_truncate(&run->model, from);
        term++;
    }
    size_t count = pc_prng_below(prng, 6);
    for (size_t i = 0; i < count; i++) {
        model_append(&run->model, term, random_len(prng));
    }
    last = model_last(&run->model);
    if (pc_prng_below(prng, 2) == 0 && last > run->model.commit) {
        run->model.commit = pc_prng_between(prng, run->model.commit, last);
    }
    batch = model_batch(&run->model, count);
    batch.truncate_from = from;
    if (pc_prng_below(prng, 10) == 0) {
        batch.has_vote = true;
        batch.term = run->flying_term = run->vote_term + 1;
        batch.vote = run->flying_vote = pc_prng_next(prng) | 1;
    }
    model_copy(&run->pending[run->pending_n++], &run->model);
    struct pc_error error;
    pc_err err = pc_wal_write(run->wal, &batch, &error);
    pc_entries_clear(&batch.entries);
    if (err == PC_OK) {
        run->vote_term = run->flying_term;
        run->vote = run->flying_vote;
    }
    return err == PC_OK;
}

static bool step_run(struct run *run)
{
    struct pc_error error;
    if (run->pending_n + 1 >= PENDING_MAX || pc_prng_below(&run->prng, 3) == 0) {
        if (pc_wal_sync(run->wal, &error) != PC_OK) {
            return false;
        }
        settle_pending(run);
        return true;
    }
    return write_random_batch(run);
}

static struct pc_wal *open_run(struct pc_sim_fs *fs, struct pc_wal_recovered *recovered)
{
    struct pc_wal_opts opts = test_opts();
    struct pc_wal *wal = NULL;
    struct pc_error error;
    return pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, recovered, &error) == PC_OK ? wal : NULL;
}

/* One of the states that may come back; NULL when it is none of them. */
static const struct model *match(
    const struct run *run, const struct pc_wal_recovered *got, struct pc_wal *wal)
{
    struct pc_entries tip = {0};
    struct pc_error error;
    if (got->last > 0) {
        assert_ok(pc_wal_load(wal, got->last, got->last, 1, &tip, &error));
    }
    const struct model *found = NULL;
    for (size_t i = 0; i <= run->pending_n && found == NULL; i++) {
        const struct model *model = i == 0 ? &run->durable : &run->pending[i - 1];
        pc_index last = model_last(model);
        if (last == got->last &&
            (last == 0 || pc_hash_equal(&tip.v[0].chain, &model->entries.v[last - 1].chain))) {
            found = model;
        }
    }
    pc_entries_clear(&tip);
    return found;
}

static void check_after_cut(struct run *run, struct pc_sim_fs *fs)
{
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(fs, &got);
    const struct model *model = match(run, &got, wal);
    assert_non_null(model);
    assert_recovered_is(&got, model);
    assert_log_is(wal, &got, model);
    assert_true(got.commit <= run->model.commit);
    pc_term last_term = got.last == 0 ? 0 : model->entries.v[got.last - 1].term;
    bool is_old = got.term == (run->vote_term > last_term ? run->vote_term : last_term) &&
                  got.vote == (run->vote_term >= last_term ? run->vote : 0);
    bool is_new = got.term == (run->flying_term > last_term ? run->flying_term : last_term) &&
                  got.vote == (run->flying_term >= last_term ? run->flying_vote : 0);
    assert_true(is_old || is_new);
    pc_wal_recovered_clear(&got);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL); /* whatever was recovered must be durable */
    pc_wal_close(wal);
    wal = open_ok(fs, &got);
    assert_ptr_equal(match(run, &got, wal), model);
    assert_int_equal(got.cut_bytes, 0);
    pc_wal_recovered_clear(&got);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
}

/* Runs until the power goes after `steps` steps; false when the run ended before. */
static bool run_until_cut(struct run *run, uint64_t seed, uint64_t steps, unsigned rounds)
{
    *run = (struct run){.fs = pc_sim_fs_new(seed * 1000003 + steps)};
    pc_prng_seed(&run->prng, seed);
    pc_sim_fs_power_off_after(run->fs, steps);
    struct pc_wal_recovered recovered;
    run->wal = open_run(run->fs, &recovered);
    bool goes_on = run->wal != NULL;
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
    for (uint64_t seed = 1; seed <= 4; seed++) {
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps += PC_TEST_STRIDE) {
            struct run run;
            was_off = run_until_cut(&run, seed, steps, 120);
            check_after_cut(&run, run.fs);
            run_clear(&run);
            pc_sim_fs_delete(run.fs);
        }
    }
}

/* What matters of a recovery, as one number. */
static uint64_t digest(struct pc_sim_fs *fs)
{
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(fs, &got);
    struct pc_error error;
    uint64_t sum = got.last * 31 + got.term * 1009 + got.vote * 7 + got.commit * 65537;
    if (got.last > 0) {
        struct pc_entries tip = {0};
        assert_ok(pc_wal_load(wal, got.last, got.last, 1, &tip, &error));
        sum ^= pc_get_u64(tip.v[0].chain.b);
        pc_entries_clear(&tip);
    }
    pc_wal_recovered_clear(&got);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
    return sum;
}

static void power_cut__during_recovery_at_every_step__gives_the_same_result(void **state)
{
    (void)state;
    unsigned cuts = 0;
    for (uint64_t seed = 1; seed <= 15; seed++) {
        struct run run;
        (void)run_until_cut(&run, seed, 40 + seed * 3, 200);
        struct pc_sim_fs *once = pc_sim_fs_clone(run.fs);
        uint64_t want = digest(once);
        bool was_off = true;
        for (uint64_t steps = 0; was_off; steps += PC_TEST_STRIDE) {
            struct pc_sim_fs *image = pc_sim_fs_clone(run.fs);
            pc_sim_fs_reseed(image, seed * 77 + steps);
            pc_sim_fs_power_off_after(image, steps);
            struct pc_wal_recovered got = {0};
            struct pc_wal *wal = open_run(image, &got);
            cuts += got.cut_bytes > 0;
            pc_wal_recovered_clear(&got);
            was_off = pc_sim_fs_is_off(image);
            pc_sim_fs_crash(image, PC_SIM_FS_POWER_CUT);
            pc_wal_close(wal);
            assert_true(digest(image) == want);
            assert_true(digest(image) == want);
            pc_sim_fs_delete(image);
        }
        pc_sim_fs_delete(once);
        run_clear(&run);
        pc_sim_fs_delete(run.fs);
    }
    assert_true(cuts > 0); /* else there was nothing to interrupt */
}

/* A cut tail is written over by other entries, again and again: nothing of it may ever show up. */
static void power_cuts__one_after_another__leave_no_piece_of_a_cut_tail(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 115; seed++) {
        struct run run = {.fs = pc_sim_fs_new(seed)};
        pc_prng_seed(&run.prng, seed);
        for (unsigned life = 0; life < 12; life++) {
            struct pc_wal_recovered got;
            run.wal = open_ok(run.fs, &got);
            const struct model *model = match(&run, &got, run.wal);
            assert_non_null(model);
            assert_log_is(run.wal, &got, model);
            struct model kept = {0};
            model_copy(&kept, model);
            kept.commit = got.commit;
            model_copy(&run.model, &kept);
            model_clear(&kept);
            settle_pending(&run);
            run.vote_term = run.flying_term = got.term;
            run.vote = run.flying_vote = got.vote;
            pc_wal_recovered_clear(&got);
            pc_sim_fs_power_off_after(run.fs, pc_prng_below(&run.prng, 40));
            while (step_run(&run)) {
            }
            pc_sim_fs_crash(run.fs, PC_SIM_FS_POWER_CUT);
            pc_wal_close(run.wal);
        }
        run_clear(&run);
        pc_sim_fs_delete(run.fs);
    }
}

static void kill__of_the_process_alone__keeps_every_written_batch(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct run run = {.fs = pc_sim_fs_new(seed)};
        pc_prng_seed(&run.prng, seed);
        struct pc_wal_recovered got;
        run.wal = open_ok(run.fs, &got);
        for (unsigned i = 0; i < 60; i++) {
            assert_true(step_run(&run));
        }
        pc_sim_fs_crash(run.fs, PC_SIM_FS_KILL);
        pc_wal_close(run.wal);
        run.wal = open_ok(run.fs, &got);
        assert_log_is(run.wal, &got, &run.model);
        assert_int_equal(got.cut_bytes, 0);
        pc_wal_recovered_clear(&got);
        pc_sim_fs_crash(run.fs, PC_SIM_FS_LOSE_ALL);
        pc_wal_close(run.wal);
        assert_reopens_as(run.fs, &run.model);
        run_clear(&run);
        pc_sim_fs_delete(run.fs);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(power_cut__at_every_step__keeps_what_was_reported),
    PC_TEST(power_cut__during_recovery_at_every_step__gives_the_same_result),
    PC_TEST(power_cuts__one_after_another__leave_no_piece_of_a_cut_tail),
    PC_TEST(kill__of_the_process_alone__keeps_every_written_batch),
};
PC_TEST_MAIN("wal_crash", tests)
