/* The log thread, on the simulated disk. Completions are waited for on the event descriptor. */
#include "fixture.h"
#include "locked_fs.h"

#include "pcache/os.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 10000

struct rig {
    struct pc_sim_fs *fs;
    struct locked_fs locked;
    struct pc_wal_thread *thread;
    int fd;
    struct model model;
    uint64_t seq;
    uint64_t synced;
};

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.fs = pc_sim_fs_new(1), .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    assert_true(rig->fd >= 0);
    locked_fs_init(&rig->locked, pc_sim_fs_port(rig->fs));
    struct pc_wal_opts opts = test_opts();
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    struct pc_error error;
    assert_ok(pc_wal_open(&rig->locked.port, &opts, &wal, &recovered, &error));
    rig->thread = pc_wal_thread_start(wal, rig->fd);
}

/* Between these two the disk is the test's alone. */
static struct pc_sim_fs *disk_take(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->locked.lock);
    return rig->fs;
}

static void disk_give(struct rig *rig)
{
    (void)pthread_mutex_unlock(&rig->locked.lock);
}

static void set_capacity(struct rig *rig, uint64_t bytes)
{
    pc_sim_fs_set_capacity(disk_take(rig), bytes);
    disk_give(rig);
}

/* The machine goes down, and with it the thread, which can write nothing more. */
static void power_cut(struct rig *rig)
{
    pc_sim_fs_crash(disk_take(rig), PC_SIM_FS_LOSE_ALL);
    disk_give(rig);
    pc_wal_thread_stop(rig->thread);
}

static void rig_delete(struct rig *rig)
{
    (void)close(rig->fd);
    (void)pthread_mutex_destroy(&rig->locked.lock);
    model_clear(&rig->model);
    pc_sim_fs_delete(rig->fs);
}

/* The next completion, or a failed test. */
static struct pc_wal_done await(struct rig *rig)
{
    struct pc_wal_done done;
    while (!pc_wal_thread_poll(rig->thread, &done)) {
        struct pollfd wait = {.fd = rig->fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        uint64_t count;
        (void)!read(rig->fd, &count, sizeof count);
    }
    return done;
}

static struct pc_wal_done await_type(struct rig *rig, enum pc_wal_done_type type)
{
    struct pc_wal_done done = await(rig);
    assert_int_equal(done.type, type);
    return done;
}

static void queue_entries(struct rig *rig, size_t count, size_t len)
{
    for (size_t i = 0; i < count; i++) {
        model_append(&rig->model, 1, len);
    }
    struct pc_wal_batch batch = model_batch(&rig->model, count);
    batch.seq = ++rig->seq;
    pc_wal_thread_write(rig->thread, &batch);
    assert_null(batch.entries.v);
}

static void await_synced(struct rig *rig, uint64_t seq)
{
    while (rig->synced < seq) {
        struct pc_wal_done done = await_type(rig, PC_WAL_SYNCED);
        assert_true(done.seq > rig->synced);
        rig->synced = done.seq;
    }
    assert_int_equal(rig->synced, seq);
}

static void batches__queued_together__share_syncs_and_survive(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    for (unsigned i = 0; i < 500; i++) {
        queue_entries(&rig, 1 + i % 3, i % 700);
        if (i == 100) {
            await_synced(&rig, rig.seq);
        }
    }
    await_synced(&rig, rig.seq);
    struct pc_wal_stats stats;
    pc_wal_thread_stats(rig.thread, &stats);
    assert_true(stats.syncs > 0 && stats.syncs <= 500 + stats.segments);
    assert_true(stats.segments > 1);
    power_cut(&rig);
    assert_reopens_as(rig.fs, &rig.model);
    rig_delete(&rig);
}

static void truncation_and_vote__between_batches__keep_their_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_entries(&rig, 20, 100);
    model_truncate(&rig.model, 11);
    model_append(&rig.model, 2, 40);
    struct pc_wal_batch batch = model_batch(&rig.model, 1);
    batch.truncate_from = 11;
    batch.has_vote = true;
    batch.term = 2;
    batch.vote = 6;
    batch.seq = ++rig.seq;
    pc_wal_thread_write(rig.thread, &batch);
    model_append(&rig.model, 2, 41);
    batch = model_batch(&rig.model, 1);
    batch.seq = ++rig.seq;
    pc_wal_thread_write(rig.thread, &batch);
    await_synced(&rig, rig.seq);
    pc_wal_thread_stop(rig.thread);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(rig.fs, &got);
    assert_int_equal(got.vote, 6);
    assert_recovered_is(&got, &rig.model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rig_delete(&rig);
}

static void stop__with_batches_queued__finishes_them(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    for (unsigned i = 0; i < 50; i++) {
        queue_entries(&rig, 2, 300);
    }
    pc_wal_thread_stop(rig.thread);
    pc_sim_fs_crash(rig.fs, PC_SIM_FS_LOSE_ALL);
    assert_reopens_as(rig.fs, &rig.model);
    rig_delete(&rig);
}

#define MUCH 20 /* MiB, each a batch of its own */

/* With the disk held, so that nothing is written before all of it waits. */
static void queue_much(struct rig *rig)
{
    (void)disk_take(rig);
    for (size_t i = 0; i < MUCH; i++) {
        queue_entries(rig, 8, 128 * 1024);
    }
    disk_give(rig);
}

static void much__queued__is_reported_as_it_becomes_durable(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_much(&rig);
    while (rig.synced < rig.seq) {
        struct pc_wal_done done = await_type(&rig, PC_WAL_SYNCED);
        assert_true(done.seq > rig.synced && done.seq <= rig.synced + 9);
        rig.synced = done.seq;
    }
    power_cut(&rig);
    assert_reopens_as(rig.fs, &rig.model);
    rig_delete(&rig);
}

static void stop__with_much_queued__finishes_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_much(&rig);
    pc_wal_thread_stop(rig.thread);
    pc_sim_fs_crash(rig.fs, PC_SIM_FS_LOSE_ALL);
    assert_reopens_as(rig.fs, &rig.model);
    rig_delete(&rig);
}

static void load__between_batches__answers_with_its_tag(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_entries(&rig, 30, 50);
    await_synced(&rig, rig.seq);
    pc_wal_thread_load(rig.thread, 42, 5, 12, 1 << 20);
    pc_wal_thread_load(rig.thread, 43, 5, 99, 1 << 20);
    struct pc_wal_done done = await_type(&rig, PC_WAL_LOADED);
    assert_int_equal(done.tag, 42);
    assert_int_equal(done.err, PC_OK);
    assert_int_equal(done.entries.n, 8);
    assert_true(entry_equal(&done.entries.v[0], &rig.model.entries.v[4]));
    pc_entries_clear(&done.entries);
    done = await_type(&rig, PC_WAL_LOADED);
    assert_int_equal(done.tag, 43);
    assert_int_equal(done.err, PC_E_NOT_FOUND);
    pc_wal_thread_load_raw(rig.thread, 44, 5, 12, 1 << 20);
    pc_wal_thread_load_raw(rig.thread, 45, 5, 12, 1 << 20); /* to be freed by the stop */
    done = await_type(&rig, PC_WAL_LOADED);
    assert_int_equal(done.tag, 44);
    assert_int_equal(done.err, PC_OK);
    assert_int_equal(done.entries.n, 0);
    assert_int_equal(done.raw.first, 5);
    assert_int_equal(done.raw.n, 8);
    pc_raw_entries_clear(&done.raw);
    pc_wal_thread_stop(rig.thread);
    rig_delete(&rig);
}

static void sync__failed__is_reported_once_and_nothing_is_promised_after(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_entries(&rig, 1, 50);
    await_synced(&rig, 1);
    struct model durable = {0};
    model_copy(&durable, &rig.model);
    pc_sim_fs_fail_randomly(disk_take(&rig), PC_SIM_FS_SYNC, 1000000, PC_E_IO);
    disk_give(&rig);
    queue_entries(&rig, 1, 50);
    struct pc_wal_done done = await_type(&rig, PC_WAL_FAILED);
    assert_int_equal(done.err, PC_E_IO);
    queue_entries(&rig, 1, 50);
    pc_wal_thread_load(rig.thread, 1, 1, 1, 100);
    done = await_type(&rig, PC_WAL_LOADED); /* and no second report before it */
    assert_int_equal(done.err, PC_OK);
    pc_entries_clear(&done.entries);
    pc_wal_thread_stop(rig.thread);
    pc_sim_fs_crash(rig.fs, PC_SIM_FS_KILL);
    assert_reopens_as(rig.fs, &durable);
    model_clear(&durable);
    rig_delete(&rig);
}

static void fill_disk(struct rig *rig)
{
    set_capacity(rig, 1000); /* nothing more may grow */
    struct pc_wal_done done = {.type = PC_WAL_SYNCED};
    while (done.type == PC_WAL_SYNCED) {
        queue_entries(rig, 1, 9000);
        done = await(rig);
        assert_true(rig->seq < 20);
    }
    assert_int_equal(done.type, PC_WAL_FULL);
}

static void disk__full__stalls_entries_but_not_votes_and_loads(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    fill_disk(&rig);
    struct pc_wal_done done;
    struct pc_wal_batch vote = {.seq = ++rig.seq, .has_vote = true, .term = 8, .vote = 3};
    pc_wal_thread_write(rig.thread, &vote);
    done = await_type(&rig, PC_WAL_VOTED);
    assert_int_equal(done.seq, rig.seq);
    pc_wal_thread_load(rig.thread, 9, 1, 1, 100);
    done = await_type(&rig, PC_WAL_LOADED);
    assert_int_equal(done.err, PC_OK);
    pc_entries_clear(&done.entries);
    queue_entries(&rig, 3, 100);
    set_capacity(&rig, UINT64_MAX);
    done = await_type(&rig, PC_WAL_SYNCED);
    assert_int_equal(done.seq, rig.seq);
    (void)await_type(&rig, PC_WAL_FULL_END);
    power_cut(&rig);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(rig.fs, &got);
    assert_int_equal(got.term, 8);
    assert_int_equal(got.vote, 3);
    assert_log_is(wal, &got, &rig.model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rig_delete(&rig);
}

/* Whether opening anything finds a descriptor. */
static void set_descriptors(struct rig *rig, bool any)
{
    pc_sim_fs_fail_randomly(disk_take(rig), PC_SIM_FS_OPEN, any ? 0 : 1000000, PC_E_AGAIN);
    disk_give(rig);
}

static void descriptors__none_for_a_segment__stalls_entries_until_there_are(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    set_descriptors(&rig, false);
    queue_entries(&rig, 1, TEST_SEGMENT_BYTES / 4); /* more than this and the spare is due */
    await_synced(&rig, rig.seq);
    queue_entries(&rig, 1, TEST_SEGMENT_BYTES);
    (void)await_type(&rig, PC_WAL_FULL);
    struct pc_wal_batch vote = {.seq = ++rig.seq, .has_vote = true, .term = 8, .vote = 3};
    pc_wal_thread_write(rig.thread, &vote);
    (void)await_type(&rig, PC_WAL_VOTED);
    set_descriptors(&rig, true);
    struct pc_wal_done done = await_type(&rig, PC_WAL_SYNCED);
    assert_int_equal(done.seq, rig.seq);
    (void)await_type(&rig, PC_WAL_FULL_END);
    power_cut(&rig);
    assert_reopens_as(rig.fs, &rig.model);
    rig_delete(&rig);
}

/* The engine asks again at once: answers come slowly, and the log does not fail. */
static void descriptors__none_to_read_with__answers_after_a_while(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_entries(&rig, 1, 100);
    await_synced(&rig, rig.seq); /* or both go to the first segment, which then grows */
    queue_entries(&rig, 1, 2 * TEST_SEGMENT_BYTES);
    await_synced(&rig, rig.seq);
    set_descriptors(&rig, false);
    struct timespec from;
    struct timespec to;
    (void)clock_gettime(CLOCK_MONOTONIC, &from);
    for (uint64_t tag = 0; tag < 3; tag++) {
        pc_wal_thread_load(rig.thread, tag, 1, 1, 100);
        struct pc_wal_done done = await_type(&rig, PC_WAL_LOADED);
        assert_int_equal(done.tag, tag);
        assert_int_equal(done.err, PC_E_AGAIN);
        assert_int_equal(done.entries.n, 0);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &to);
    assert_true((to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000 >= 290);
    set_descriptors(&rig, true);
    pc_wal_thread_load(rig.thread, 7, 1, 1, 100);
    struct pc_wal_done done = await_type(&rig, PC_WAL_LOADED);
    assert_int_equal(done.err, PC_OK);
    pc_entries_clear(&done.entries);
    set_descriptors(&rig, false);
    pc_wal_thread_load(rig.thread, 8, 2, 2, 100); /* the end does not wait for it */
    pc_wal_thread_stop(rig.thread);
    rig_delete(&rig);
}

/* A new leader's first batch is its term, its vote and an entry. */
static void disk__full__stores_a_vote_that_comes_with_entries(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    fill_disk(&rig);
    model_append(&rig.model, 8, 50);
    struct pc_wal_batch batch = model_batch(&rig.model, 1);
    batch.seq = ++rig.seq;
    batch.has_vote = true;
    batch.term = 8;
    batch.vote = 3;
    pc_wal_thread_write(rig.thread, &batch);
    struct pc_wal_done done = await_type(&rig, PC_WAL_VOTED);
    assert_int_equal(done.seq, rig.seq);
    set_capacity(&rig, UINT64_MAX);
    done = await_type(&rig, PC_WAL_SYNCED);
    assert_int_equal(done.seq, rig.seq);
    (void)await_type(&rig, PC_WAL_FULL_END);
    power_cut(&rig);
    assert_reopens_as(rig.fs, &rig.model);
    rig_delete(&rig);
}

static struct pc_disk_report await_disk(struct rig *rig)
{
    struct pc_wal_done done = await(rig);
    while (done.type == PC_WAL_SYNCED) {
        done = await(rig);
    }
    assert_int_equal(done.type, PC_WAL_DISK);
    return done.disk;
}

static void watch__from_then_on__tells_space_and_syncs(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_entries(&rig, 1, 10);
    await_synced(&rig, rig.seq);
    pc_wal_thread_watch(rig.thread);
    struct pc_disk_report report = await_disk(&rig);
    assert_int_equal(report.total_bytes, 0); /* no bound */
    assert_int_equal(report.sync_us, 0);     /* one sync says nothing */
    uint64_t used = pc_sim_fs_used(disk_take(&rig));
    pc_sim_fs_set_capacity(rig.fs, used + 1000);
    disk_give(&rig);
    report = await_disk(&rig);
    assert_int_equal(report.total_bytes, used + 1000);
    assert_int_equal(report.free_bytes, 1000);
    for (unsigned i = 0; i < 5; i++) {
        queue_entries(&rig, 1, 10);
        struct pc_wal_done done = await(&rig);
        while (done.type != PC_WAL_SYNCED || done.seq < rig.seq) {
            assert_true(done.type == PC_WAL_DISK || done.type == PC_WAL_SYNCED);
            done = await(&rig);
        }
    }
    report = await_disk(&rig);
    assert_true(report.sync_us > 0 && report.sync_us < 1000000);
    pc_wal_thread_stop(rig.thread);
    rig_delete(&rig);
}

/* What is used up is told before anybody has to fail on it. */
static void watch__space_runs_out__is_told_at_once(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    queue_entries(&rig, 1, 10);
    await_synced(&rig, rig.seq);
    uint64_t used = pc_sim_fs_used(disk_take(&rig));
    pc_sim_fs_set_capacity(rig.fs, used);
    disk_give(&rig);
    pc_wal_thread_watch(rig.thread);
    assert_int_equal(await_disk(&rig).free_bytes, 0);
    uint64_t began = pc_clock_now().us;
    queue_entries(&rig, 400, 700);
    struct pc_wal_done done = await(&rig);
    while (done.type != PC_WAL_FULL) {
        assert_true(done.type == PC_WAL_DISK || done.type == PC_WAL_SYNCED);
        done = await(&rig);
    }
    assert_int_equal(await_disk(&rig).free_bytes, 0);
    assert_true(pc_clock_now().us - began < 900000);
    set_capacity(&rig, UINT64_MAX);
    done = await(&rig);
    while (done.type != PC_WAL_FULL_END) {
        done = await(&rig);
    }
    pc_wal_thread_stop(rig.thread);
    rig_delete(&rig);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(batches__queued_together__share_syncs_and_survive),
    PC_TEST(truncation_and_vote__between_batches__keep_their_order),
    PC_TEST(stop__with_batches_queued__finishes_them),
    PC_TEST(much__queued__is_reported_as_it_becomes_durable),
    PC_TEST(stop__with_much_queued__finishes_it),
    PC_TEST(load__between_batches__answers_with_its_tag),
    PC_TEST(sync__failed__is_reported_once_and_nothing_is_promised_after),
    PC_TEST(disk__full__stalls_entries_but_not_votes_and_loads),
    PC_TEST(disk__full__stores_a_vote_that_comes_with_entries),
    PC_TEST(descriptors__none_for_a_segment__stalls_entries_until_there_are),
    PC_TEST(descriptors__none_to_read_with__answers_after_a_while),
    PC_TEST(watch__from_then_on__tells_space_and_syncs),
    PC_TEST(watch__space_runs_out__is_told_at_once),
};
PC_TEST_MAIN("wal_thread", tests)
