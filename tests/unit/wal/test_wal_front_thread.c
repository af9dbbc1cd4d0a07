/* Drops and resets on the log thread: files go between batches, and a reset takes its place in
 * their order, on a full disk, too. */
#include "front.h"
#include "locked_fs.h"

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

static void rig_delete(struct rig *rig)
{
    (void)close(rig->fd);
    (void)pthread_mutex_destroy(&rig->locked.lock);
    model_clear(&rig->model);
    pc_sim_fs_delete(rig->fs);
}

static void set_capacity(struct rig *rig, uint64_t bytes)
{
    (void)pthread_mutex_lock(&rig->locked.lock);
    pc_sim_fs_set_capacity(rig->fs, bytes);
    (void)pthread_mutex_unlock(&rig->locked.lock);
}

static size_t count_files(struct rig *rig)
{
    struct files files;
    (void)pthread_mutex_lock(&rig->locked.lock);
    list_segments(rig->fs, &files);
    (void)pthread_mutex_unlock(&rig->locked.lock);
    return files.n;
}

/* The next completion that is not one of `skip`. */
static struct pc_wal_done await_type(
    struct rig *rig, enum pc_wal_done_type type, enum pc_wal_done_type skip)
{
    for (;;) {
        struct pc_wal_done done;
        if (pc_wal_thread_poll(rig->thread, &done)) {
            if (done.type == type) {
                return done;
            }
            assert_int_equal(done.type, skip);
            continue;
        }
        struct pollfd wait = {.fd = rig->fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        uint64_t count;
        (void)!read(rig->fd, &count, sizeof count);
    }
}

static void queue_entries(struct rig *rig, size_t count, pc_term term)
{
    for (size_t i = 0; i < count; i++) {
        model_append(&rig->model, term, 5000);
    }
    struct pc_wal_batch batch = model_batch(&rig->model, count);
    batch.seq = ++rig->seq;
    pc_wal_thread_write(rig->thread, &batch);
}

static void await_synced(struct rig *rig)
{
    while (await_type(rig, PC_WAL_SYNCED, PC_WAL_SYNCED).seq < rig->seq) {
    }
}

static void drop__while_batches_come__takes_the_files_between_them(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    for (unsigned i = 0; i < 30; i++) {
        queue_entries(&rig, 2, 1);
        await_synced(&rig);
    }
    size_t before = count_files(&rig);
    assert_true(before >= 5);
    rig.model.commit = 50;
    pc_wal_thread_drop(rig.thread, 10);
    pc_wal_thread_drop(rig.thread, 45);
    pc_index first = 0;
    do {
        first = await_type(&rig, PC_WAL_DROPPED, PC_WAL_SYNCED).first;
    } while (first < 30);
    assert_true(first <= 46);
    pc_wal_thread_load(rig.thread, 1, first - 1, first, 1000000);
    struct pc_wal_done done = await_type(&rig, PC_WAL_LOADED, PC_WAL_DROPPED);
    assert_int_equal(done.err, PC_E_NOT_FOUND);
    pc_wal_thread_load(rig.thread, 2, first, first, 1000000);
    done = await_type(&rig, PC_WAL_LOADED, PC_WAL_DROPPED);
    assert_ok(done.err);
    assert_true(entry_equal(&done.entries.v[0], &rig.model.entries.v[first - 1]));
    pc_entries_clear(&done.entries);
    struct timespec now, end;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += WAIT_MS / 1000;
    do {
        queue_entries(&rig, 1, 1);
        await_synced(&rig);
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec <= end.tv_sec);
    } while (count_files(&rig) > before - 2);
    pc_wal_thread_stop(rig.thread);
    struct pc_raft_base base = base_at(&rig.model, 45);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_behind_ok(rig.fs, &base, &got);
    assert_int_equal(got.first, first);
    assert_behind_is(wal, &got, &rig.model, &base);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    rig_delete(&rig);
}

static void reset__in_the_order_of_batches__goes_on_behind_the_base(void **state)
{
    (void)state;
    for (unsigned full = 0; full < 2; full++) {
        struct rig rig;
        rig_init(&rig);
        queue_entries(&rig, 8, 1);
        await_synced(&rig);
        if (full != 0) {
            set_capacity(&rig, 0);
            queue_entries(&rig, 30, 1); /* they do not fit any more */
            (void)await_type(&rig, PC_WAL_FULL, PC_WAL_FULL);
            struct pc_wal_batch vote = {.seq = ++rig.seq, .has_vote = true, .term = 6, .vote = 77};
            pc_wal_thread_write(rig.thread, &vote);
        }
        model_truncate(&rig.model, 6);
        for (unsigned i = 0; i < 50; i++) {
            model_append(&rig.model, 3, 10);
        }
        struct pc_raft_base base = base_at(&rig.model, 55);
        rig.model.commit = 55;
        pc_wal_thread_reset(rig.thread, &base);
        uint64_t old = rig.seq;
        queue_entries(&rig, 2, 7);
        if (full != 0) {
            while (await_type(&rig, PC_WAL_SYNCED, PC_WAL_VOTED).seq < old) {
            }
            set_capacity(&rig, UINT64_MAX);
        }
        (void)await_type(&rig, PC_WAL_RESET, PC_WAL_SYNCED);
        await_synced(&rig);
        if (full != 0) {
            (void)await_type(&rig, PC_WAL_FULL_END, PC_WAL_SYNCED);
        }
        pc_wal_thread_stop(rig.thread);
        struct pc_wal_recovered got;
        struct pc_wal *wal = open_behind_ok(rig.fs, &base, &got);
        assert_behind_is(wal, &got, &rig.model, &base);
        assert_int_equal(got.first, 56);
        pc_wal_recovered_clear(&got);
        pc_wal_close(wal);
        rig_delete(&rig);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(drop__while_batches_come__takes_the_files_between_them),
    PC_TEST(reset__in_the_order_of_batches__goes_on_behind_the_base),
};
PC_TEST_MAIN("wal_front_thread", tests)
