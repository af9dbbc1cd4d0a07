/* A damaged log on the log thread: it serves what it has, takes the lost entries back, is opened
 * anew and goes on; or it is given up behind the damage, or cannot be opened and says so. Also what
 * becomes of a disk that fails while nothing is written. */
#include "fixture.h"
#include "locked_fs.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_MS 10000
#define ENTRIES 60
#define LOST 30 /* the entry whose body is damaged */
#define BODY_BYTES 900
#define FIRST_SEGMENT TEST_DIR "/log-0000000000000001.seg"

struct rig {
    struct pc_sim_fs *fs;
    struct locked_fs locked;
    struct pc_wal_opts opts;
    struct pc_wal_thread *thread;
    struct pc_wal_recovered recovered;
    int fd;
    struct model model;
};

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.fs = pc_sim_fs_new(1), .opts = test_opts()};
    rig->opts.damage = PC_WAL_DAMAGE_REPAIR;
    rig->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(rig->fd >= 0);
    locked_fs_init(&rig->locked, pc_sim_fs_port(rig->fs));
}

static void rig_start(struct rig *rig)
{
    struct pc_wal *wal = NULL;
    struct pc_error error;
    assert_ok(pc_wal_open(&rig->locked.port, &rig->opts, &wal, &rig->recovered, &error));
    rig->thread = pc_wal_thread_start(wal, rig->fd);
}

static void rig_delete(struct rig *rig)
{
    pc_wal_recovered_clear(&rig->recovered);
    (void)close(rig->fd);
    (void)pthread_mutex_destroy(&rig->locked.lock);
    model_clear(&rig->model);
    pc_sim_fs_delete(rig->fs);
}

static void fail_calls(struct rig *rig, unsigned calls, uint32_t chance)
{
    (void)pthread_mutex_lock(&rig->locked.lock);
    pc_sim_fs_fail_randomly(rig->fs, calls, chance, PC_E_IO);
    (void)pthread_mutex_unlock(&rig->locked.lock);
}

static struct pc_wal_done await_type(struct rig *rig, enum pc_wal_done_type type)
{
    struct pc_wal_done done;
    while (!pc_wal_thread_poll(rig->thread, &done)) {
        struct pollfd wait = {.fd = rig->fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        uint64_t count;
        (void)!read(rig->fd, &count, sizeof count);
    }
    if (done.type != type) {
        fail_msg("%d instead of %d: %s", done.type, type, done.error.text);
    }
    return done;
}

static void queue_entry(struct rig *rig, uint64_t seq, pc_term term)
{
    model_append(&rig->model, term, 100);
    struct pc_wal_batch batch = model_batch(&rig->model, 1);
    batch.seq = seq;
    pc_wal_thread_write(rig->thread, &batch);
}

/* Overwrites where the first segment holds the body of entry LOST: bodies differ by their bytes. */
static void damage_entry(struct rig *rig)
{
    const struct pc_fs *port = pc_sim_fs_port(rig->fs);
    struct pc_error error;
    pc_fd fd;
    struct pc_slice body = pc_blob_slice(rig->model.entries.v[LOST - 1].body);
    uint8_t *bytes = pc_xalloc(TEST_SEGMENT_BYTES);
    size_t got = 0;
    assert_ok(port->open_read(port->context, FIRST_SEGMENT, &fd, &error));
    assert_ok(port->read_at(port->context, fd, 0, bytes, TEST_SEGMENT_BYTES, &got, &error));
    port->close(port->context, fd);
    size_t at = 0;
    while (at + 64 <= got && memcmp(bytes + at, body.data, 64) != 0) {
        at++;
    }
    assert_true(at + 64 <= got);
    free(bytes);
    assert_true(pc_sim_fs_flip_bit(rig->fs, FIRST_SEGMENT, at + 8, 3));
}

/* A log of ENTRIES entries, closed in order, that has lost one; on the thread. */
static void rig_start_damaged(struct rig *rig)
{
    struct pc_wal_recovered recovered;
    rig_init(rig);
    struct pc_wal *wal = open_ok(rig->fs, &recovered);
    for (size_t i = 0; i < ENTRIES; i++) {
        model_append(&rig->model, 1, BODY_BYTES);
        write_and_sync(wal, &rig->model, 1);
    }
    pc_wal_close(wal);
    pc_wal_recovered_clear(&recovered);
    damage_entry(rig);
    rig_start(rig);
    assert_int_equal(rig->recovered.gaps_n, 1);
    assert_true(rig->recovered.gaps[0].first <= LOST && LOST <= rig->recovered.gaps[0].last);
}

static struct pc_wal_done put(struct rig *rig, const struct pc_entry *entries, size_t n)
{
    struct pc_entries some = {0};
    for (size_t i = 0; i < n; i++) {
        pc_entries_push(&some, &entries[i]);
    }
    pc_wal_thread_repair(rig->thread, 0, &some);
    assert_null(some.v);
    return await_type(rig, PC_WAL_REPAIRED);
}

/* What REOPENED brought; entry 1 comes with it. */
static struct pc_wal_recovered await_reopened(struct rig *rig)
{
    struct pc_wal_done done = await_type(rig, PC_WAL_REOPENED);
    assert_non_null(done.recovered);
    assert_int_equal(done.entries.n, 1);
    assert_true(entry_equal(&done.entries.v[0], &rig->model.entries.v[0]));
    pc_entries_clear(&done.entries);
    struct pc_wal_recovered recovered = *done.recovered;
    free(done.recovered);
    return recovered;
}

static void gap__filled_on_the_thread__is_the_log_that_it_was(void **state)
{
    (void)state;
    struct rig rig;
    rig_start_damaged(&rig);
    const struct pc_wal_gap gap = rig.recovered.gaps[0];
    pc_wal_thread_load(rig.thread, 5, LOST, LOST, 1 << 20);
    struct pc_wal_done done = await_type(&rig, PC_WAL_LOADED);
    assert_int_equal(done.err, PC_E_NOT_FOUND);
    /* Another entry in its place is refused, and leaves the gap open. */
    struct pc_entry wrong;
    pc_entry_copy(&wrong, &rig.model.entries.v[gap.first]);
    done = put(&rig, &wrong, 1);
    assert_int_equal(done.err, PC_E_INVALID);
    assert_false(done.closed);
    pc_entry_clear(&wrong);
    done = put(&rig, &rig.model.entries.v[gap.first - 1], gap.last - gap.first + 1);
    assert_int_equal(done.err, PC_OK);
    assert_true(done.closed);
    pc_wal_thread_reopen(rig.thread, false, NULL);
    struct pc_wal_recovered got = await_reopened(&rig);
    assert_int_equal(got.gaps_n, 0);
    assert_int_equal(got.doubt, 0);
    assert_recovered_is(&got, &rig.model);
    pc_wal_recovered_clear(&got);
    queue_entry(&rig, 1, 1);
    assert_int_equal(await_type(&rig, PC_WAL_SYNCED).seq, 1);
    pc_wal_thread_stop(rig.thread);
    assert_reopens_as(rig.fs, &rig.model);
    rig_delete(&rig);
}

static void gap__given_up_on_the_thread__ends_the_log_in_doubt(void **state)
{
    (void)state;
    struct rig rig;
    rig_start_damaged(&rig);
    pc_index first = rig.recovered.gaps[0].first;
    pc_wal_thread_reopen(rig.thread, true, NULL);
    struct pc_wal_recovered got = await_reopened(&rig);
    assert_int_equal(got.gaps_n, 0);
    assert_int_equal(got.last, first - 1);
    assert_true(got.doubt >= 1 && got.term > got.doubt);
    model_truncate(&rig.model, first);
    queue_entry(&rig, 1, got.term + 1); /* of a later term: the doubt is over */
    pc_wal_recovered_clear(&got);
    assert_int_equal(await_type(&rig, PC_WAL_SYNCED).seq, 1);
    pc_wal_thread_stop(rig.thread);
    pc_wal_recovered_clear(&rig.recovered);
    struct pc_wal *wal = open_ok(rig.fs, &rig.recovered);
    assert_int_equal(rig.recovered.doubt, 0);
    assert_log_is(wal, &rig.recovered, &rig.model);
    pc_wal_close(wal);
    rig_delete(&rig);
}

/* Then there is no log any more, for loads either; the disk holds what it held. */
static void reopening__refused_by_the_disk__is_final(void **state)
{
    (void)state;
    struct rig rig;
    rig_start_damaged(&rig);
    const struct pc_wal_gap gap = rig.recovered.gaps[0];
    struct pc_wal_done done =
        put(&rig, &rig.model.entries.v[gap.first - 1], gap.last - gap.first + 1);
    assert_true(done.closed);
    fail_calls(&rig, PC_SIM_FS_OPEN, 1000000);
    pc_wal_thread_reopen(rig.thread, false, NULL);
    done = await_type(&rig, PC_WAL_FAILED);
    assert_int_equal(done.err, PC_E_IO);
    pc_wal_thread_load(rig.thread, 6, 1, 1, 1 << 20);
    done = await_type(&rig, PC_WAL_LOADED);
    assert_int_equal(done.tag, 6);
    assert_int_equal(done.err, PC_E_NOT_FOUND);
    struct pc_wal_stats stats;
    pc_wal_thread_stats(rig.thread, &stats);
    pc_wal_thread_stop(rig.thread);
    fail_calls(&rig, PC_SIM_FS_OPEN, 0);
    pc_wal_recovered_clear(&rig.recovered);
    rig_start(&rig);
    assert_recovered_is(&rig.recovered, &rig.model);
    pc_wal_thread_stop(rig.thread);
    rig_delete(&rig);
}

/* A vote that cannot be stored is more than a full disk: nothing may be promised any more. */
static void vote__not_stored_while_the_disk_is_full__is_final(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig_start(&rig);
    queue_entry(&rig, 1, 1);
    (void)await_type(&rig, PC_WAL_SYNCED);
    (void)pthread_mutex_lock(&rig.locked.lock);
    pc_sim_fs_set_capacity(rig.fs, 1000);
    (void)pthread_mutex_unlock(&rig.locked.lock);
    model_append(&rig.model, 1, 2 * TEST_SEGMENT_BYTES);
    struct pc_wal_batch batch = model_batch(&rig.model, 1);
    batch.seq = 2;
    pc_wal_thread_write(rig.thread, &batch);
    (void)await_type(&rig, PC_WAL_FULL);
    fail_calls(&rig, PC_SIM_FS_SYNC, 1000000);
    struct pc_wal_batch vote = {.seq = 3, .has_vote = true, .term = 8, .vote = 3};
    pc_wal_thread_write(rig.thread, &vote);
    struct pc_wal_done done = await_type(&rig, PC_WAL_FAILED);
    assert_int_equal(done.err, PC_E_IO);
    pc_wal_thread_stop(rig.thread);
    rig_delete(&rig);
}

/* With fsync = interval the sync comes later, from the idle thread: in time, and not unnoticed when
 * it fails. */
static void interval__sync_from_idle__comes_in_time_and_its_failure_is_final(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    rig.opts.fsync = PC_FSYNC_INTERVAL;
    rig.opts.interval_ms = 20;
    rig_start(&rig);
    queue_entry(&rig, 1, 1);
    assert_int_equal(await_type(&rig, PC_WAL_SYNCED).seq, 1);
    struct model durable = {0};
    model_copy(&durable, &rig.model);
    struct pc_sim_fs *copy = NULL;
    bool is_durable = false;
    for (int i = 0; i < WAIT_MS / 10 && !is_durable; i++) {
        (void)poll(NULL, 0, 10);
        (void)pthread_mutex_lock(&rig.locked.lock);
        copy = pc_sim_fs_clone(rig.fs);
        (void)pthread_mutex_unlock(&rig.locked.lock);
        pc_sim_fs_crash(copy, PC_SIM_FS_LOSE_ALL);
        struct pc_wal_recovered got;
        struct pc_wal *wal = open_ok(copy, &got);
        is_durable = got.last == 1;
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        pc_sim_fs_delete(copy);
    }
    assert_true(is_durable);
    fail_calls(&rig, PC_SIM_FS_SYNC, 1000000);
    queue_entry(&rig, 2, 1);
    struct pc_wal_done done;
    while (!pc_wal_thread_poll(rig.thread, &done) || done.type == PC_WAL_SYNCED) {
        struct pollfd wait = {.fd = rig.fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        uint64_t count;
        (void)!read(rig.fd, &count, sizeof count);
    }
    assert_int_equal(done.type, PC_WAL_FAILED);
    assert_int_equal(done.err, PC_E_IO);
    pc_wal_thread_stop(rig.thread);
    pc_sim_fs_crash(rig.fs, PC_SIM_FS_LOSE_ALL);
    fail_calls(&rig, PC_SIM_FS_SYNC, 0);
    assert_reopens_as(rig.fs, &durable);
    model_clear(&durable);
    rig_delete(&rig);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(gap__filled_on_the_thread__is_the_log_that_it_was),
    PC_TEST(gap__given_up_on_the_thread__ends_the_log_in_doubt),
    PC_TEST(reopening__refused_by_the_disk__is_final),
    PC_TEST(vote__not_stored_while_the_disk_is_full__is_final),
    PC_TEST(interval__sync_from_idle__comes_in_time_and_its_failure_is_final),
};
PC_TEST_MAIN("wal_thread_repair", tests)
