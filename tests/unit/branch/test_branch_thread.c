/* The branch thread, on the simulated disk. Completions are waited for on the event descriptor. */
#include "fixture.h"
#include "unit/wal/locked_fs.h"

#include <poll.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAIT_MS 10000
#define LONG 3000 /* records, of some 700 bytes */

struct rig {
    struct pc_sim_fs *fs;
    struct locked_fs locked;
    struct pc_branch_thread *thread;
    int fd;
};

static void rig_start(struct rig *rig)
{
    struct pc_branch_found found;
    struct pc_branch_head self = head_of(0);
    struct pc_error error;
    assert_ok(pc_branch_find(&rig->locked.port, TEST_DIR, &found, &error));
    rig->thread = pc_branch_thread_start(&rig->locked.port, TEST_DIR, &self, found.writer, rig->fd);
    found.writer = NULL;
    pc_branch_found_clear(&found);
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
    pc_branch_thread_stop(rig->thread);
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

static struct pc_branch_done expect(struct rig *rig, enum pc_branch_done_type type)
{
    struct pc_branch_done done;
    while (!pc_branch_thread_poll(rig->thread, &done)) {
        struct pollfd wait = {.fd = rig->fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, WAIT_MS), 1);
        uint64_t count;
        (void)!read(rig->fd, &count, sizeof count);
    }
    assert_int_equal(done.type, type);
    return done;
}

static void begin(struct rig *rig, uint8_t id)
{
    struct pc_branch_head head = head_of(id);
    pc_branch_thread_begin(rig->thread, head.id, head.history, &head.base);
}

static void put_records(struct rig *rig, uint64_t first, uint64_t last)
{
    for (uint64_t n = first; n <= last; n++) {
        struct pc_branch_record record = record_of(n);
        pc_branch_thread_put(rig->thread, &record);
        assert_null(record.command);
        assert_null(record.before);
    }
}

/* Until this record is durable. */
static void await_written(struct rig *rig, uint64_t last)
{
    uint64_t number = 0;
    while (number < last) {
        struct pc_branch_done done = expect(rig, PC_BRANCH_WRITTEN);
        assert_true(done.number > number);
        number = done.number;
    }
    assert_int_equal(number, last);
}

static void write_closed(struct rig *rig, uint8_t id, uint64_t records)
{
    begin(rig, id);
    (void)expect(rig, PC_BRANCH_BEGUN);
    put_records(rig, 1, records);
    await_written(rig, records);
    pc_branch_thread_end(rig->thread);
    struct pc_branch_done done = expect(rig, PC_BRANCH_ENDED);
    assert_int_equal(done.info.records, records);
}

static struct pc_branch_done list(struct rig *rig)
{
    assert_true(pc_branch_thread_list(rig->thread, 7));
    struct pc_branch_done done = expect(rig, PC_BRANCH_LISTED);
    assert_int_equal(done.tag, 7);
    assert_ok(done.err);
    return done;
}

static void branch__begun_written_ended__is_a_file(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    write_closed(&rig, 1, 10);
    assert_int_equal(pc_branch_thread_pending(rig.thread), 1);
    rig_stop(&rig);
    pc_sim_fs_crash(rig.fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(assert_closed_whole(rig.fs, closed_of(rig.fs).names[0], 1), 10);
    rig_delete(&rig);
}

static void end__no_branch__is_answered(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    pc_branch_thread_end(rig.thread);
    (void)expect(&rig, PC_BRANCH_ENDED);
    assert_int_equal(pc_branch_thread_pending(rig.thread), 0);
    rig_delete(&rig);
}

static void put__many_while_the_disk_is_busy__share_a_sync(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    begin(&rig, 1);
    (void)expect(&rig, PC_BRANCH_BEGUN);
    disk_take(&rig);
    uint64_t before = pc_sim_fs_syncs(rig.fs);
    put_records(&rig, 1, 100);
    disk_give(&rig);
    await_written(&rig, 100);
    disk_take(&rig);
    assert_true(pc_sim_fs_syncs(rig.fs) - before <= 3);
    disk_give(&rig);
    rig_delete(&rig);
}

static void begin__found_open__goes_on_or_closes_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    begin(&rig, 1);
    (void)expect(&rig, PC_BRANCH_BEGUN);
    put_records(&rig, 1, 4);
    rig_stop(&rig); /* what is queued is done */
    rig_start(&rig);
    begin(&rig, 1);
    (void)expect(&rig, PC_BRANCH_BEGUN);
    put_records(&rig, 5, 6);
    await_written(&rig, 6);
    rig_stop(&rig);
    rig_start(&rig);
    begin(&rig, 2);
    (void)expect(&rig, PC_BRANCH_BEGUN);
    struct pc_branch_done done = list(&rig);
    assert_int_equal(done.infos_n, 1);
    assert_int_equal(done.infos[0].records, 6);
    assert_int_equal(done.infos[0].head.id[0], 1);
    assert_true(done.infos[0].is_ended);
    free(done.infos);
    rig_delete(&rig);
}

static void put__disk_full__fails_once_and_the_next_branch_works(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    begin(&rig, 1);
    (void)expect(&rig, PC_BRANCH_BEGUN);
    put_records(&rig, 1, 5);
    await_written(&rig, 5);
    disk_take(&rig);
    pc_sim_fs_set_capacity(rig.fs, pc_sim_fs_used(rig.fs) + 40);
    disk_give(&rig);
    put_records(&rig, 6, 9);
    assert_int_equal(expect(&rig, PC_BRANCH_FAILED).err, PC_E_NO_SPACE);
    put_records(&rig, 10, 11); /* dropped */
    disk_take(&rig);
    pc_sim_fs_set_capacity(rig.fs, UINT64_MAX);
    disk_give(&rig);
    pc_branch_thread_end(rig.thread);
    assert_int_equal(expect(&rig, PC_BRANCH_ENDED).info.records, 5);
    write_closed(&rig, 2, 3);
    assert_int_equal(pc_branch_thread_pending(rig.thread), 2);
    rig_delete(&rig);
}

static void end__cannot_be__is_closed_before_the_next_list(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    begin(&rig, 1);
    (void)expect(&rig, PC_BRANCH_BEGUN);
    put_records(&rig, 1, 5);
    await_written(&rig, 5);
    disk_take(&rig);
    pc_sim_fs_fail(rig.fs, PC_SIM_FS_RENAME, 0, PC_E_IO);
    disk_give(&rig);
    pc_branch_thread_end(rig.thread);
    assert_int_equal(expect(&rig, PC_BRANCH_FAILED).err, PC_E_IO);
    assert_int_equal(pc_branch_thread_pending(rig.thread), 1);
    struct pc_branch_done done = list(&rig);
    assert_int_equal(done.infos_n, 1);
    free(done.infos);
    assert_int_equal(pc_branch_thread_pending(rig.thread), 1);
    rig_delete(&rig);
}

/* The node stands still until the branch has ended, however long its file is. */
static void end__of_any_length__reads_nothing_of_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    begin(&rig, 1);
    (void)expect(&rig, PC_BRANCH_BEGUN);
    put_records(&rig, 1, 5);
    await_written(&rig, 5);
    disk_take(&rig);
    pc_sim_fs_fail(rig.fs, PC_SIM_FS_READ, 0, PC_E_IO);
    disk_give(&rig);
    pc_branch_thread_end(rig.thread);
    struct pc_branch_info ended = expect(&rig, PC_BRANCH_ENDED).info;
    struct pc_branch_done done = list(&rig);
    assert_int_equal(done.infos_n, 1);
    assert_string_equal(done.infos[0].name, ended.name);
    assert_int_equal(done.infos[0].records, 5);
    assert_int_equal(done.infos[0].bytes, ended.bytes);
    assert_true(done.infos[0].is_ended);
    free(done.infos);
    assert_int_equal(pc_sim_fs_faults(rig.fs), 0);
    rig_delete(&rig);
}

#define BEGIN_AT 50 /* reads */

/* Reads of the disk, in whose midst a branch is to begin; and how many there had been when its file
 * got its name. */
static struct {
    struct rig *rig;
    atomic_ulong reads, reads_at_rename;
} counted;

static pc_err counted_read(void *context, pc_fd fd, uint64_t offset, uint8_t *out, size_t len,
    size_t *got, struct pc_error *error)
{
    if (++counted.reads == BEGIN_AT) {
        begin(counted.rig, 9);
    }
    return counted.rig->locked.port.read_at(context, fd, offset, out, len, got, error);
}

static pc_err counted_rename(
    void *context, const char *from, const char *to, struct pc_error *error)
{
    counted.reads_at_rename = (unsigned long)counted.reads;
    return counted.rig->locked.port.rename(context, from, to, error);
}

/* A branch is to begin while a long closed file is being looked at. */
static void expect_begun_at_once(struct rig *rig, unsigned long reads_most)
{
    struct pc_fs port = rig->locked.port;
    struct pc_branch_head self = head_of(0);
    counted.rig = rig;
    counted.reads = counted.reads_at_rename = 0;
    port.read_at = counted_read;
    port.rename = counted_rename;
    disk_take(rig);
    rig->thread = pc_branch_thread_start(&port, TEST_DIR, &self, NULL, rig->fd);
    disk_give(rig);
    (void)expect(rig, PC_BRANCH_BEGUN);
    assert_in_range(counted.reads_at_rename, BEGIN_AT, BEGIN_AT + reads_most);
    struct pc_branch_done done = list(rig);
    assert_int_equal(done.infos_n, 1);
    assert_int_equal(done.infos[0].records, LONG - (done.infos[0].last - done.infos[0].records));
    assert_int_equal(done.infos[0].last, LONG);
    assert_true(counted.reads > 3 * reads_most);
    free(done.infos);
    pc_branch_thread_end(rig->thread);
    (void)expect(rig, PC_BRANCH_ENDED);
    rig_stop(rig);
}

static void begin__long_closed_file__waits_for_a_piece_of_it_at_most(void **state)
{
    (void)state;
    struct rig rig;
    char path[256];
    rig_init(&rig);
    write_closed(&rig, 1, LONG);
    rig_stop(&rig);
    expect_begun_at_once(&rig, 1600);
    assert_true(pc_branch_path(TEST_DIR, closed_of(rig.fs).names[0], path, sizeof path));
    assert_true(pc_sim_fs_flip_bit(rig.fs, path, BRANCH_HEADER_BYTES + 3, 1));
    expect_begun_at_once(&rig, 1600);
    rig_delete(&rig);
}

static void list_and_remove__closed_branches__by_name(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    write_closed(&rig, 3, 2);
    write_closed(&rig, 1, 4);
    struct pc_branch_done done = list(&rig);
    assert_int_equal(done.infos_n, 2);
    assert_true(strcmp(done.infos[0].name, done.infos[1].name) < 0);
    assert_true(pc_branch_thread_remove(rig.thread, 9, done.infos[0].name));
    assert_ok(expect(&rig, PC_BRANCH_REMOVED).err);
    assert_int_equal(pc_branch_thread_pending(rig.thread), 1);
    assert_true(pc_branch_thread_remove(rig.thread, 9, done.infos[0].name));
    assert_int_equal(expect(&rig, PC_BRANCH_REMOVED).err, PC_E_NOT_FOUND);
    assert_true(pc_branch_thread_remove(rig.thread, 9, "../identity"));
    assert_int_equal(expect(&rig, PC_BRANCH_REMOVED).err, PC_E_NOT_FOUND);
    free(done.infos);
    rig_delete(&rig);
}

static pc_err note(struct rig *rig, const char *name)
{
    assert_true(pc_branch_thread_note(rig->thread, 8, name));
    struct pc_branch_done done = expect(rig, PC_BRANCH_NOTED);
    assert_int_equal(done.tag, 8);
    return done.err;
}

static void note__of_a_replay__is_in_the_list(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    write_closed(&rig, 3, 2);
    write_closed(&rig, 1, 4);
    struct pc_branch_done done = list(&rig);
    assert_false(done.infos[0].is_replayed || done.infos[1].is_replayed);
    assert_ok(note(&rig, done.infos[1].name));
    assert_int_equal(note(&rig, done.infos[1].name), PC_E_EXISTS);
    assert_int_equal(note(&rig, "../identity"), PC_E_NOT_FOUND);
    assert_int_equal(note(&rig, "20261123T002101Z-00000000-1.kvr"), PC_E_NOT_FOUND);
    free(done.infos);
    done = list(&rig);
    assert_int_equal(done.infos_n, 2);
    assert_false(done.infos[0].is_replayed);
    assert_true(done.infos[1].is_replayed);
    free(done.infos);
    rig_delete(&rig);
}

/* Piece by piece; the same as all at once. */
static void read__long_file__comes_in_pieces(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    write_closed(&rig, 1, 700);
    struct pc_branch_done listed = list(&rig);
    struct pc_branch_place place = {0};
    struct pc_buf all = {0};
    unsigned pieces = 0;
    for (bool is_last = false; !is_last; pieces++) {
        assert_true(pc_branch_thread_read(rig.thread, 5, listed.infos[0].name, &place));
        struct pc_branch_done done = expect(&rig, PC_BRANCH_READ);
        assert_ok(done.err);
        assert_int_equal(done.tag, 5);
        pc_buf_append(&all, done.lines.data, done.lines.len);
        pc_buf_destroy(&done.lines);
        place = done.place;
        is_last = done.is_last;
    }
    assert_true(pieces > 1);
    size_t lines = 0;
    for (size_t i = 0; i < all.len; i++) {
        lines += all.data[i] == '\n';
    }
    assert_int_equal(lines, 702);
    pc_buf_append_u8(&all, 0);
    assert_non_null(strstr((char *)all.data, "{\"end\":true,\"records\":700,\"lost\":0"));
    pc_buf_destroy(&all);
    free(listed.infos);
    assert_true(pc_branch_thread_read(rig.thread, 6, "20261123T002101Z-abababab-3.kvr", &place));
    assert_int_equal(expect(&rig, PC_BRANCH_READ).err, PC_E_NOT_FOUND);
    rig_delete(&rig);
}

static void ask__too_many_wait__is_refused(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    disk_take(&rig);
    for (unsigned i = 0; i < PC_BRANCH_ASKS_MAX; i++) {
        assert_true(pc_branch_thread_list(rig.thread, i));
    }
    assert_false(pc_branch_thread_list(rig.thread, 99));
    disk_give(&rig);
    for (unsigned i = 0; i < PC_BRANCH_ASKS_MAX; i++) {
        assert_int_equal(expect(&rig, PC_BRANCH_LISTED).tag, i);
    }
    free(list(&rig).infos);
    rig_delete(&rig);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(branch__begun_written_ended__is_a_file),
    PC_TEST(end__no_branch__is_answered),
    PC_TEST(put__many_while_the_disk_is_busy__share_a_sync),
    PC_TEST(begin__found_open__goes_on_or_closes_it),
    PC_TEST(put__disk_full__fails_once_and_the_next_branch_works),
    PC_TEST(end__cannot_be__is_closed_before_the_next_list),
    PC_TEST(end__of_any_length__reads_nothing_of_it),
    PC_TEST(begin__long_closed_file__waits_for_a_piece_of_it_at_most),
    PC_TEST(list_and_remove__closed_branches__by_name),
    PC_TEST(note__of_a_replay__is_in_the_list),
    PC_TEST(read__long_file__comes_in_pieces),
    PC_TEST(ask__too_many_wait__is_refused),
};
PC_TEST_MAIN("branch_thread", tests)
