/* The snapshot thread, on the simulated disk. Completions are waited for on the event descriptor.
 */
#include "fixture.h"
#include "unit/wal/locked_fs.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "edge/snap/snap_thread.h"

#define WAIT_MS 10000

struct rig {
    struct pc_sim_fs *fs;
    struct locked_fs locked;
    struct pc_snap_thread *thread;
    int fd;
};

static void rig_start(struct rig *rig)
{
    struct pc_snap_found found = {0};
    struct pc_error error;
    (void)!pc_snap_find(&rig->locked.port, TEST_DIR, false, &found, &error);
    rig->thread = pc_snap_thread_start(&rig->locked.port, TEST_DIR, found.reader, rig->fd);
}

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.fs = disk_new(1), .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    assert_true(rig->fd >= 0);
    locked_fs_init(&rig->locked, pc_sim_fs_port(rig->fs));
    rig_start(rig);
}

/* The thread ends; the disk stays, and is the test's alone. */
static void rig_stop(struct rig *rig)
{
    pc_snap_thread_stop(rig->thread);
    rig->thread = NULL;
}

static void rig_delete(struct rig *rig)
{
    if (rig->thread != NULL) {
        rig_stop(rig);
    }
    (void)close(rig->fd);
    (void)pthread_mutex_destroy(&rig->locked.lock);
    pc_sim_fs_delete(rig->fs);
}

/* Between these two the thread gets no further than its next call to the disk. */
static void disk_take(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->locked.lock);
}

static void disk_give(struct rig *rig)
{
    (void)pthread_mutex_unlock(&rig->locked.lock);
}

static struct pc_snap_done await(struct rig *rig)
{
    struct pc_snap_done done;
    while (!pc_snap_thread_poll(rig->thread, &done)) {
        struct pollfd wait = {.fd = rig->fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        uint64_t count;
        (void)!read(rig->fd, &count, sizeof count);
    }
    return done;
}

/* The next completion is of this type and tag. */
static struct pc_snap_done expect(struct rig *rig, enum pc_snap_done_type type, uint64_t tag)
{
    struct pc_snap_done done = await(rig);
    assert_int_equal(done.type, type);
    assert_int_equal(done.tag, tag);
    return done;
}

static bool put(struct rig *rig, uint64_t tag, const struct model *model, uint32_t i)
{
    struct pc_buf chunk = {0};
    pc_buf_append(&chunk, model->chunks[i].data, model->chunks[i].len);
    bool taken = pc_snap_thread_put(rig->thread, tag, &chunk);
    assert_true(taken == (chunk.data == NULL));
    pc_buf_destroy(&chunk);
    return taken;
}

static void write_through(struct rig *rig, uint64_t tag, const struct model *model)
{
    pc_snap_thread_begin(rig->thread, tag, &model->meta.base, NULL);
    assert_int_equal(expect(rig, PC_SNAP_BEGUN, tag).chunks, 0);
    for (uint32_t i = 0; i < model->chunks_n; i++) {
        assert_true(put(rig, tag, model, i));
        assert_int_equal(expect(rig, PC_SNAP_WRITTEN, tag).chunks, i + 1);
    }
    pc_snap_thread_finish(rig->thread, tag, &model->meta);
    struct pc_snap_done done = expect(rig, PC_SNAP_FINISHED, tag);
    struct pc_hash hash = model_hash(model);
    assert_true(pc_hash_equal(&done.info.hash, &hash));
    assert_int_equal(done.chunks, model->chunks_n);
}

/* Asks for a chunk: as it is in the model, or the error. */
static pc_err read_chunk(struct rig *rig, const struct model *model, uint32_t number)
{
    assert_true(pc_snap_thread_read(rig->thread, 77, model->meta.base.index, number));
    struct pc_snap_done done = expect(rig, PC_SNAP_READ, 77);
    if (done.err == PC_OK) {
        assert_true(pc_slice_equal(
            pc_slice_of(done.bytes.data, done.bytes.len), model_chunk(model, number)));
    } else {
        assert_true(done.bytes.data == NULL && done.error.code == done.err);
    }
    pc_buf_destroy(&done.bytes);
    return done.err;
}

static void write__whole_snapshot__is_found_and_read(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 4, 3000);
    assert_int_equal(read_chunk(&rig, &model, 0), PC_E_NOT_FOUND);
    write_through(&rig, 1, &model);
    for (uint32_t i = 0; i < 4; i++) {
        assert_ok(read_chunk(&rig, &model, i));
    }
    assert_int_equal(read_chunk(&rig, &model, 4), PC_E_NOT_FOUND);
    rig_stop(&rig);
    pc_sim_fs_crash(rig.fs, PC_SIM_FS_LOSE_ALL);
    assert_found(rig.fs, &model);
    rig_start(&rig); /* on what a start has found */
    assert_ok(read_chunk(&rig, &model, 3));
    model_clear(&model);
    rig_delete(&rig);
}

static void put__queue_full__is_refused_until_something_was_written(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 1, 1);
    pc_buf_destroy(&model.chunks[0]);
    pc_buf_reserve(&model.chunks[0], 512 << 10);
    model.chunks[0].len = 512 << 10;
    memset(model.chunks[0].data, 5, model.chunks[0].len);
    pc_snap_thread_begin(rig.thread, 1, &model.meta.base, NULL);
    (void)expect(&rig, PC_SNAP_BEGUN, 1);
    disk_take(&rig);
    uint32_t taken = 0;
    while (put(&rig, 1, &model, 0)) {
        taken++;
        assert_true(taken <= 5); /* 2 MiB wait, one is under way at most */
    }
    assert_true(taken >= 4);
    disk_give(&rig);
    for (uint32_t i = 0; i < taken; i++) {
        assert_int_equal(expect(&rig, PC_SNAP_WRITTEN, 1).chunks, i + 1);
    }
    assert_true(put(&rig, 1, &model, 0));
    (void)expect(&rig, PC_SNAP_WRITTEN, 1);
    model_clear(&model);
    rig_delete(&rig);
}

static void read__too_many_wait__is_refused(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 2, 100);
    write_through(&rig, 1, &model);
    disk_take(&rig);
    for (unsigned i = 0; i < PC_SNAP_READS_MAX; i++) {
        assert_true(pc_snap_thread_read(rig.thread, i, 10, i % 2));
    }
    assert_false(pc_snap_thread_read(rig.thread, 99, 10, 0));
    disk_give(&rig);
    for (unsigned i = 0; i < PC_SNAP_READS_MAX; i++) {
        struct pc_snap_done done = expect(&rig, PC_SNAP_READ, i);
        assert_ok(done.err);
        pc_buf_destroy(&done.bytes);
    }
    assert_ok(read_chunk(&rig, &model, 1));
    model_clear(&model);
    rig_delete(&rig);
}

/* Downloads whose clients have gone leave reads behind: the node's own have their room all the
 * same.
 */
static void read_raw__too_many_wait__is_refused_and_chunks_are_not(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 2, 100);
    write_through(&rig, 1, &model);
    disk_take(&rig);
    for (unsigned i = 0; i < PC_SNAP_RAW_READS_MAX; i++) {
        assert_true(pc_snap_thread_read_raw(rig.thread, 100 + i, 10, 0, 10));
    }
    assert_false(pc_snap_thread_read_raw(rig.thread, 99, 10, 0, 10));
    for (unsigned i = 0; i < PC_SNAP_READS_MAX; i++) {
        assert_true(pc_snap_thread_read(rig.thread, 200 + i, 10, i % 2));
    }
    disk_give(&rig);
    for (unsigned i = 0; i < PC_SNAP_RAW_READS_MAX + PC_SNAP_READS_MAX; i++) {
        struct pc_snap_done done = await(&rig);
        assert_int_equal(done.type, PC_SNAP_READ);
        assert_ok(done.err);
        pc_buf_destroy(&done.bytes);
    }
    assert_true(pc_snap_thread_read_raw(rig.thread, 300, 10, 0, 10));
    struct pc_snap_done done = expect(&rig, PC_SNAP_READ, 300);
    pc_buf_destroy(&done.bytes);
    model_clear(&model);
    rig_delete(&rig);
}

static void write__disk_full__fails_once_and_the_next_one_succeeds(void **state)
{
    (void)state;
    struct rig rig;
    struct model old, model;
    rig_init(&rig);
    model_make(&old, 10, 1, 2, 500);
    model_make(&model, 20, 1, 6, 3000);
    write_through(&rig, 1, &old);
    disk_take(&rig);
    pc_sim_fs_set_capacity(rig.fs, pc_sim_fs_used(rig.fs) + 1000);
    disk_give(&rig);
    pc_snap_thread_begin(rig.thread, 2, &model.meta.base, NULL);
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(put(&rig, 2, &model, i));
    }
    pc_snap_thread_finish(rig.thread, 2, &model.meta);
    (void)expect(&rig, PC_SNAP_BEGUN, 2);
    struct pc_snap_done done = await(&rig);
    while (done.type == PC_SNAP_WRITTEN) {
        done = await(&rig);
    }
    assert_int_equal(done.type, PC_SNAP_FAILED);
    assert_int_equal(done.err, PC_E_NO_SPACE);
    assert_ok(read_chunk(&rig, &old, 1)); /* the rest of the write was dropped */
    disk_take(&rig);
    pc_sim_fs_set_capacity(rig.fs, UINT64_MAX);
    disk_give(&rig);
    write_through(&rig, 3, &model);
    rig_stop(&rig);
    assert_found(rig.fs, &model);
    model_clear(&old);
    model_clear(&model);
    rig_delete(&rig);
}

/* Begins to receive, and puts chunks up to `upto`. Returns how many were there. */
static uint32_t receive(struct rig *rig, uint64_t tag, const struct model *model, uint32_t upto)
{
    struct pc_hash hash = model_hash(model);
    pc_snap_thread_begin(rig->thread, tag, &model->meta.base, &hash);
    uint32_t there = expect(rig, PC_SNAP_BEGUN, tag).chunks;
    for (uint32_t i = there; i < upto; i++) {
        assert_true(put(rig, tag, model, i));
        (void)expect(rig, PC_SNAP_WRITTEN, tag);
    }
    return there;
}

static void receive__interrupted_in_every_way__goes_on_where_it_was(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 6, 3000);
    assert_int_equal(receive(&rig, 1, &model, 1), 0);
    pc_snap_thread_abort(rig.thread, 1, true);
    assert_int_equal(receive(&rig, 2, &model, 3), 1);
    rig_stop(&rig);
    rig_start(&rig);
    assert_int_equal(receive(&rig, 3, &model, 4), 3);
    assert_int_equal(receive(&rig, 4, &model, 5), 4); /* while one is under way */
    assert_true(put(&rig, 3, &model, 5));             /* of one that has ended: dropped */
    pc_snap_thread_abort(rig.thread, 3, false);       /* so is this */
    assert_int_equal(receive(&rig, 5, &model, 6), 5);
    pc_snap_thread_finish(rig.thread, 5, &model.meta);
    (void)expect(&rig, PC_SNAP_FINISHED, 5);
    assert_ok(read_chunk(&rig, &model, 5));
    rig_stop(&rig);
    assert_found(rig.fs, &model);
    model_clear(&model);
    rig_delete(&rig);
}

static void receive__given_up__leaves_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 6, 3000);
    assert_int_equal(receive(&rig, 1, &model, 3), 0);
    pc_snap_thread_abort(rig.thread, 1, false);
    assert_int_equal(receive(&rig, 2, &model, 3), 0);
    model_clear(&model);
    rig_delete(&rig);
}

static void receive__not_what_was_announced__fails(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 3, 300);
    (void)receive(&rig, 1, &model, 2);
    pc_snap_thread_finish(rig.thread, 1, &model.meta); /* the third one is missing */
    assert_int_equal(expect(&rig, PC_SNAP_FAILED, 1).err, PC_E_CORRUPT);
    assert_int_equal(receive(&rig, 2, &model, 0), 0);
    model_clear(&model);
    rig_delete(&rig);
}

static void read__snapshot_replaced__goes_on_while_it_is_asked_for(void **state)
{
    (void)state;
    struct rig rig;
    struct model models[4];
    rig_init(&rig);
    for (pc_index i = 0; i < 4; i++) {
        model_make(&models[i], 10 + i, 1, 3, 500);
    }
    write_through(&rig, 1, &models[0]);
    assert_ok(read_chunk(&rig, &models[0], 0));
    write_through(&rig, 2, &models[1]); /* nobody has read this one when the next comes */
    write_through(&rig, 3, &models[2]);
    assert_int_equal(read_chunk(&rig, &models[1], 0), PC_E_NOT_FOUND);
    assert_ok(read_chunk(&rig, &models[0], 1));
    assert_ok(read_chunk(&rig, &models[2], 1));
    write_through(&rig, 4, &models[3]);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read_chunk(&rig, &models[i], 2), i == 1 ? PC_E_NOT_FOUND : PC_OK);
    }
    pc_worker_lock(&rig.thread->worker);
    rig.thread->hold_us = 0;
    pc_worker_unlock(&rig.thread->worker);
    (void)read_chunk(&rig, &models[3], 0); /* the thread takes the new time up behind this one */
    assert_int_equal(read_chunk(&rig, &models[0], 2), PC_E_NOT_FOUND);
    assert_int_equal(read_chunk(&rig, &models[2], 2), PC_E_NOT_FOUND);
    assert_ok(read_chunk(&rig, &models[3], 0));
    for (size_t i = 0; i < 4; i++) {
        model_clear(&models[i]);
    }
    rig_delete(&rig);
}

/* The file as it is, piece by piece, and to its end when it was replaced meanwhile. */
static void read_raw__piece_by_piece__is_the_file(void **state)
{
    (void)state;
    struct rig rig;
    struct model old, newer;
    rig_init(&rig);
    model_make(&old, 10, 1, 3, 4000);
    model_make(&newer, 20, 2, 1, 10);
    assert_true(pc_snap_thread_read_raw(rig.thread, 4, 0, 0, 100));
    assert_int_equal(expect(&rig, PC_SNAP_READ, 4).err, PC_E_NOT_FOUND);
    write_through(&rig, 1, &old);
    struct pc_buf got = {0};
    uint64_t size = 1;
    for (uint64_t tag = 100; got.len < size; tag++) {
        assert_true(pc_snap_thread_read_raw(rig.thread, tag, tag == 100 ? 0 : 10, got.len, 1000));
        struct pc_snap_done done = expect(&rig, PC_SNAP_READ, tag);
        assert_int_equal(done.err, PC_OK);
        assert_int_equal(done.info.base.index, 10);
        size = done.info.file_bytes;
        pc_buf_append(&got, done.bytes.data, done.bytes.len);
        assert_true(done.bytes.len == 1000 || got.len == size);
        pc_buf_destroy(&done.bytes);
        if (tag == 101) {
            write_through(&rig, 2, &newer);
        }
    }
    assert_true(pc_snap_thread_read_raw(rig.thread, 5, 10, size + 1, 1000));
    assert_int_equal(expect(&rig, PC_SNAP_READ, 5).err, PC_E_INVALID);
    rig_stop(&rig);
    const struct pc_fs *port = pc_sim_fs_port(rig.fs);
    struct pc_error error;
    pc_fd fd;
    assert_ok(port->open(port->context, TEST_DIR "/copy.snp", true, true, &fd, &error));
    assert_ok(port->write_at(port->context, fd, 0, pc_slice_of(got.data, got.len), &error));
    port->close(port->context, fd);
    struct pc_snap_reader *reader = NULL;
    assert_ok(pc_snap_reader_open(port, TEST_DIR "/copy.snp", &reader, &error));
    assert_ok(pc_snap_verify(reader, NULL, NULL, &error));
    pc_snap_reader_close(reader);
    pc_buf_destroy(&got);
    model_clear(&old);
    model_clear(&newer);
    rig_delete(&rig);
}

static void read__damaged_chunk__is_reported(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 3, 500);
    write_through(&rig, 1, &model);
    disk_take(&rig);
    assert_true(pc_sim_fs_flip_bit(rig.fs, file_of(10), SNAP_HEADER_BYTES + SNAP_HEAD_BYTES, 0));
    disk_give(&rig);
    assert_int_equal(read_chunk(&rig, &model, 0), PC_E_CORRUPT);
    assert_ok(read_chunk(&rig, &model, 1));
    model_clear(&model);
    rig_delete(&rig);
}

static void read__no_descriptor_at_the_end_of_a_write__opens_it_later(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 2, 500);
    pc_snap_thread_begin(rig.thread, 1, &model.meta.base, NULL);
    (void)expect(&rig, PC_SNAP_BEGUN, 1);
    disk_take(&rig);
    pc_sim_fs_fail_randomly(rig.fs, PC_SIM_FS_OPEN, 1000000, PC_E_AGAIN);
    disk_give(&rig);
    model.chunks_n = 0; /* an empty one will do */
    pc_snap_thread_finish(rig.thread, 1, &model.meta);
    (void)expect(&rig, PC_SNAP_FINISHED, 1);
    model.chunks_n = 2;
    assert_int_equal(read_chunk(&rig, &model, 0), PC_E_AGAIN);
    disk_take(&rig);
    pc_sim_fs_fail_randomly(rig.fs, PC_SIM_FS_OPEN, 0, PC_E_AGAIN);
    disk_give(&rig);
    assert_int_equal(read_chunk(&rig, &model, 0), PC_E_NOT_FOUND); /* it has no chunk */
    model_clear(&model);
    rig_delete(&rig);
}

static void set_aside__newest__is_read_and_found_no_more(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 4, 3000);
    write_through(&rig, 1, &model);
    assert_ok(read_chunk(&rig, &model, 0));
    pc_snap_thread_set_aside(rig.thread, model.meta.base.index);
    struct pc_snap_done done = expect(&rig, PC_SNAP_SET_ASIDE, 0);
    assert_ok(done.err);
    assert_int_equal(read_chunk(&rig, &model, 0), PC_E_NOT_FOUND);
    pc_snap_thread_set_aside(rig.thread, model.meta.base.index);
    done = expect(&rig, PC_SNAP_SET_ASIDE, 0);
    assert_int_equal(done.err, PC_E_NOT_FOUND);
    rig_stop(&rig);
    assert_found_none(rig.fs, PC_E_NOT_FOUND);
    model_clear(&model);
    rig_delete(&rig);
}

static void stop__end_of_a_write_queued__finishes_it(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 6, 3000);
    pc_snap_thread_begin(rig.thread, 1, &model.meta.base, NULL);
    for (uint32_t i = 0; i < 6; i++) {
        assert_true(put(&rig, 1, &model, i));
    }
    pc_snap_thread_finish(rig.thread, 1, &model.meta);
    rig_stop(&rig);
    assert_found(rig.fs, &model);
    model_clear(&model);
    rig_delete(&rig);
}

static void stop__write_without_its_end__leaves_nothing(void **state)
{
    (void)state;
    struct rig rig;
    struct model model;
    rig_init(&rig);
    model_make(&model, 10, 1, 6, 3000);
    pc_snap_thread_begin(rig.thread, 1, &model.meta.base, NULL);
    assert_true(put(&rig, 1, &model, 0));
    rig_stop(&rig);
    assert_false(exists(rig.fs, TEST_DIR "/snap.tmp"));
    assert_found_none(rig.fs, PC_E_NOT_FOUND);
    model_clear(&model);
    rig_delete(&rig);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(write__whole_snapshot__is_found_and_read),
    PC_TEST(put__queue_full__is_refused_until_something_was_written),
    PC_TEST(read__too_many_wait__is_refused),
    PC_TEST(read_raw__too_many_wait__is_refused_and_chunks_are_not),
    PC_TEST(write__disk_full__fails_once_and_the_next_one_succeeds),
    PC_TEST(receive__interrupted_in_every_way__goes_on_where_it_was),
    PC_TEST(receive__given_up__leaves_nothing),
    PC_TEST(receive__not_what_was_announced__fails),
    PC_TEST(read__snapshot_replaced__goes_on_while_it_is_asked_for),
    PC_TEST(read_raw__piece_by_piece__is_the_file),
    PC_TEST(read__damaged_chunk__is_reported),
    PC_TEST(read__no_descriptor_at_the_end_of_a_write__opens_it_later),
    PC_TEST(set_aside__newest__is_read_and_found_no_more),
    PC_TEST(stop__end_of_a_write_queued__finishes_it),
    PC_TEST(stop__write_without_its_end__leaves_nothing),
};
PC_TEST_MAIN("snap_thread", tests)
