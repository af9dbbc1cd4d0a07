/* Space, descriptors or memory run out: a batch waits, and nothing that was not written is claimed.
 */
#include "fixture.h"

#include "pcache/crc32c.h"

#define SEGMENT_1 TEST_DIR "/log-0000000000000001.seg"
#define BLOCK 512u

/* The simulated disk, with a write that runs out of space when `room` bytes of it are written. */
struct short_fs {
    struct pc_fs port;
    const struct pc_fs *inner;
    bool armed;
    size_t room;
    pc_err shortage; /* what it says then; 0 = PC_E_NO_SPACE */
};

static pc_err short_write_at(
    void *context, pc_fd fd, uint64_t offset, struct pc_slice bytes, struct pc_error *error)
{
    struct short_fs *fs = context;
    struct pc_slice some = bytes;
    if (fs->armed && some.len > fs->room) {
        some.len = fs->room;
    }
    pc_err err =
        some.len == 0 ? PC_OK : fs->inner->write_at(fs->inner->context, fd, offset, some, error);
    return err == PC_OK && some.len < bytes.len
               ? pc_error_set(error, fs->shortage != PC_OK ? fs->shortage : PC_E_NO_SPACE, "short")
               : err;
}

static pc_err short_open(
    void *context, const char *path, bool create, bool exclusive, pc_fd *fd, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->open(inner->context, path, create, exclusive, fd, error);
}

static pc_err short_open_read(void *context, const char *path, pc_fd *fd, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->open_read(inner->context, path, fd, error);
}

static void short_close(void *context, pc_fd fd)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    inner->close(inner->context, fd);
}

static pc_err short_read_at(void *context, pc_fd fd, uint64_t offset, uint8_t *out, size_t len,
    size_t *got, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->read_at(inner->context, fd, offset, out, len, got, error);
}

static pc_err short_size(void *context, pc_fd fd, uint64_t *bytes, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->size(inner->context, fd, bytes, error);
}

static pc_err short_sync(void *context, pc_fd fd, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->sync(inner->context, fd, error);
}

static pc_err short_sync_dir(void *context, const char *path, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->sync_dir(inner->context, path, error);
}

static pc_err short_mkdir(void *context, const char *path, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->mkdir(inner->context, path, error);
}

static pc_err short_rename(void *context, const char *from, const char *to, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->rename(inner->context, from, to, error);
}

static pc_err short_unlink(void *context, const char *path, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->unlink(inner->context, path, error);
}

static pc_err short_list(void *context, const char *path, void (*each)(void *arg, const char *name),
    void *arg, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->list(inner->context, path, each, arg, error);
}

static pc_err short_space(void *context, const char *path, uint64_t *free_bytes,
    uint64_t *total_bytes, struct pc_error *error)
{
    const struct pc_fs *inner = ((struct short_fs *)context)->inner;
    return inner->space(inner->context, path, free_bytes, total_bytes, error);
}

struct rig {
    struct pc_sim_fs *sim;
    struct short_fs fs;
    struct pc_wal *wal;
    struct model model;
    struct pc_error error;
};

static void rig_open(struct rig *rig)
{
    struct pc_wal_opts opts = test_opts();
    struct pc_wal_recovered recovered;
    assert_ok(pc_wal_open(&rig->fs.port, &opts, &rig->wal, &recovered, &rig->error));
    pc_wal_recovered_clear(&recovered);
}

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){.sim = pc_sim_fs_new(5)};
    rig->fs = (struct short_fs){
        .inner = pc_sim_fs_port(rig->sim),
        .port =
            {
                .context = &rig->fs,
                .open = short_open,
                .open_read = short_open_read,
                .close = short_close,
                .write_at = short_write_at,
                .read_at = short_read_at,
                .size = short_size,
                .sync = short_sync,
                .sync_dir = short_sync_dir,
                .mkdir = short_mkdir,
                .rename = short_rename,
                .unlink = short_unlink,
                .list = short_list,
                .space = short_space,
            },
    };
    rig_open(rig);
}

static void rig_clear(struct rig *rig)
{
    model_clear(&rig->model);
    pc_sim_fs_delete(rig->sim);
}

/* Entries 1..7 of term 1, committed; 8..10 of term 2, not committed; all durable. */
static void write_ten(struct rig *rig)
{
    for (unsigned i = 1; i <= 10; i++) {
        model_append(&rig->model, i <= 7 ? 1 : 2, 20);
    }
    rig->model.commit = 7;
    write_and_sync(rig->wal, &rig->model, 10);
}

/* What a new leader of term 3 sends: 8..12 anew, and all of it committed. */
static struct pc_wal_batch replacement(const struct model *model, struct model *after, size_t len)
{
    *after = (struct model){0};
    model_copy(after, model);
    model_truncate(after, 8);
    for (unsigned i = 0; i < 5; i++) {
        model_append(after, 3, len);
    }
    after->commit = 12;
    struct pc_wal_batch batch = model_batch(after, 5);
    batch.truncate_from = 8;
    return batch;
}

static void assert_reopens_with_commit(struct rig *rig, const struct model *model)
{
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(rig->sim, &got);
    assert_recovered_is(&got, model);
    assert_int_equal(got.commit, model->commit);
    assert_log_is(wal, &got, model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
}

static void commit__of_a_batch_without_space__is_not_claimed_at_the_end(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    write_ten(&rig);
    struct model after;
    struct pc_wal_batch batch = replacement(&rig.model, &after, 20000);
    pc_sim_fs_set_capacity(rig.sim, 100000);
    assert_int_equal(pc_wal_write(rig.wal, &batch, &rig.error), PC_E_NO_SPACE);
    pc_wal_close(rig.wal);
    pc_sim_fs_set_capacity(rig.sim, UINT64_MAX);
    assert_reopens_with_commit(&rig, &rig.model);
    pc_entries_clear(&batch.entries);
    model_clear(&after);
    rig_clear(&rig);
}

static void commit__of_a_batch__comes_with_the_batch(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    write_ten(&rig);
    struct model after;
    struct pc_wal_batch batch = replacement(&rig.model, &after, 50);
    assert_ok(pc_wal_write(rig.wal, &batch, &rig.error));
    pc_sim_fs_crash(rig.sim, PC_SIM_FS_KILL);
    pc_wal_close(rig.wal);
    assert_reopens_with_commit(&rig, &after);
    pc_entries_clear(&batch.entries);
    model_clear(&after);
    rig_clear(&rig);
}

/* Writes `commit` into the record at the start of a block of segment 1, with a right checksum. */
static void forge_commit(struct rig *rig, uint32_t block, pc_index commit)
{
    const struct pc_fs *port = pc_sim_fs_port(rig->sim);
    uint8_t header[16 + 72] = {0}; /* number and address go into the checksum first */
    uint64_t offset = (uint64_t)block * BLOCK + 8;
    size_t got = 0;
    pc_fd fd;
    assert_ok(port->open_read(port->context, SEGMENT_1, &fd, &rig->error));
    assert_ok(port->read_at(port->context, fd, offset, header + 16, 72, &got, &rig->error));
    port->close(port->context, fd);
    pc_put_u64(header, 1);
    pc_put_u64(header + 8, (uint64_t)block * (BLOCK - 8));
    assert_int_equal(
        pc_get_u32(header + 16 + 68), pc_crc32c(0, pc_slice_of(header, sizeof header - 4)));
    pc_put_u64(header + 16 + 40, commit);
    pc_put_u32(header + 16 + 68, pc_crc32c(0, pc_slice_of(header, sizeof header - 4)));
    assert_true(pc_sim_fs_overwrite(rig->sim, SEGMENT_1, offset, pc_slice_of(header + 16, 72)));
}

static void commit__behind_the_last_entry__is_damage(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    model_append(&rig.model, 1, 20);
    rig.model.commit = 1;
    write_and_sync(rig.wal, &rig.model, 1);
    pc_wal_close(rig.wal);
    forge_commit(&rig, 2, 1); /* the note, as it was */
    assert_reopens_with_commit(&rig, &rig.model);
    forge_commit(&rig, 2, 2);
    assert_refused(rig.sim, "log-0000000000000001.seg: damaged at offset 1032: it claims a commit");
    rig_clear(&rig);
}

static void truncation__of_what_an_older_record_calls_committed__is_damage(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    for (unsigned i = 0; i < 2; i++) {
        model_append(&rig.model, 1, 20);
        write_and_sync(rig.wal, &rig.model, 1);
    }
    struct pc_wal_batch batch = {.truncate_from = 2};
    assert_ok(pc_wal_write(rig.wal, &batch, &rig.error));
    pc_wal_close(rig.wal);
    forge_commit(&rig, 2, 2);
    assert_refused(rig.sim, "a truncation of what was committed");
    rig_clear(&rig);
}

/* The file's bytes from block 1 on, as far as they differ from zero in the larger of the two. */
static void read_blocks(struct rig *rig, uint8_t *out, size_t len)
{
    const struct pc_fs *port = pc_sim_fs_port(rig->sim);
    size_t got = 0;
    pc_fd fd;
    assert_ok(port->open_read(port->context, SEGMENT_1, &fd, &rig->error));
    assert_ok(port->read_at(port->context, fd, BLOCK, out, len, &got, &rig->error));
    port->close(port->context, fd);
    assert_int_equal(got, len);
}

/* Ten entries, and a batch of 16 blocks of which a piece is written. */
static struct pc_wal_batch write_piece(struct rig *rig, struct model *after, size_t blocks)
{
    write_ten(rig);
    struct pc_wal_batch batch = replacement(&rig->model, after, 1500);
    rig->fs.armed = true;
    rig->fs.room = blocks * BLOCK;
    assert_int_equal(pc_wal_write(rig->wal, &batch, &rig->error), PC_E_NO_SPACE);
    return batch;
}

static void piece__of_a_batch__is_cut_by_the_next_start(void **state)
{
    (void)state;
    for (size_t blocks = 0; blocks < 16; blocks++) {
        struct rig rig;
        struct model after;
        rig_init(&rig);
        struct pc_wal_batch batch = write_piece(&rig, &after, blocks);
        rig.fs.room = 8 * BLOCK; /* votes and notes would have room */
        pc_wal_close(rig.wal);
        pc_sim_fs_crash(rig.sim, blocks % 2 == 0 ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
        assert_reopens_with_commit(&rig, &rig.model);
        pc_entries_clear(&batch.entries);
        model_clear(&after);
        rig_clear(&rig);
    }
}

static void piece__of_a_batch__is_no_part_of_the_log_until_all_is_written(void **state)
{
    (void)state;
    struct rig rig;
    struct model after;
    rig_init(&rig);
    struct pc_wal_batch batch = write_piece(&rig, &after, 9);
    struct pc_entries some = {0};
    assert_ok(pc_wal_load(rig.wal, 8, 10, 1 << 20, &some, &rig.error));
    assert_int_equal(some.n, 3);
    assert_true(entry_equal(&some.v[0], &rig.model.entries.v[7]));
    pc_entries_clear(&some);
    assert_int_equal(pc_wal_load(rig.wal, 8, 11, 1 << 20, &some, &rig.error), PC_E_NOT_FOUND);
    assert_int_equal(pc_wal_write(rig.wal, &batch, &rig.error), PC_E_NO_SPACE);
    rig.fs.armed = false;
    assert_ok(pc_wal_write(rig.wal, &batch, &rig.error));
    assert_ok(pc_wal_sync(rig.wal, &rig.error));
    pc_sim_fs_crash(rig.sim, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(rig.wal);
    assert_reopens_with_commit(&rig, &after);
    pc_entries_clear(&batch.entries);
    model_clear(&after);
    rig_clear(&rig);
}

/* What counts as durable changes between the attempts; the bytes do not, or blocks of the first
 * one next to blocks of the second would read as damage. */
static void write_again_after_sync(pc_err shortage)
{
    struct rig rig;
    rig_init(&rig);
    rig.fs.shortage = shortage;
    model_append(&rig.model, 1, 20);
    write_last(rig.wal, &rig.model, 1);
    model_append(&rig.model, 1, 4000);
    struct pc_wal_batch batch = model_batch(&rig.model, 1);
    rig.fs.armed = true;
    rig.fs.room = 4 * BLOCK;
    assert_int_equal(pc_wal_write(rig.wal, &batch, &rig.error), shortage);
    assert_ok(pc_wal_sync(rig.wal, &rig.error));
    uint8_t first[5 * BLOCK];
    uint8_t second[5 * BLOCK];
    read_blocks(&rig, first, sizeof first);
    rig.fs.armed = false;
    assert_ok(pc_wal_write(rig.wal, &batch, &rig.error));
    read_blocks(&rig, second, sizeof second);
    assert_memory_equal(first, second, sizeof first);
    pc_wal_close(rig.wal);
    assert_reopens_with_commit(&rig, &rig.model);
    pc_entries_clear(&batch.entries);
    rig_clear(&rig);
}

static void piece__written_again_after_a_sync__has_the_same_bytes(void **state)
{
    (void)state;
    write_again_after_sync(PC_E_NO_SPACE);
    write_again_after_sync(PC_E_NOMEM);
}

static void sync__failed_while_a_segment_grows__is_final(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    model_append(&rig.model, 1, 2 * TEST_SEGMENT_BYTES); /* the first segment has to grow */
    struct pc_wal_batch batch = model_batch(&rig.model, 1);
    pc_sim_fs_fail(rig.sim, PC_SIM_FS_SYNC, 0, PC_E_NO_SPACE);
    assert_int_equal(pc_wal_write(rig.wal, &batch, &rig.error), PC_E_IO);
    uint64_t syncs = pc_sim_fs_syncs(rig.sim);
    assert_int_equal(pc_wal_write(rig.wal, &batch, &rig.error), PC_E_CLOSED);
    pc_wal_close(rig.wal);
    assert_int_equal(pc_sim_fs_syncs(rig.sim), syncs); /* nobody asked the disk again */
    model_truncate(&rig.model, 1);
    assert_reopens_with_commit(&rig, &rig.model);
    pc_entries_clear(&batch.entries);
    rig_clear(&rig);
}

/* A batch that needs the second segment, when the next call of this kind finds no descriptor. */
static struct pc_wal_batch write_without_descriptor(struct rig *rig, enum pc_sim_fs_op op)
{
    write_ten(rig);
    model_append(&rig->model, 3, TEST_SEGMENT_BYTES);
    rig->model.commit = 11;
    struct pc_wal_batch batch = model_batch(&rig->model, 1);
    pc_sim_fs_fail(rig->sim, op, 0, PC_E_AGAIN);
    assert_int_equal(pc_wal_write(rig->wal, &batch, &rig->error), PC_E_AGAIN);
    return batch;
}

static void descriptors__none_for_a_segment__leaves_the_batch_to_be_tried_again(void **state)
{
    (void)state;
    static const enum pc_sim_fs_op ops[] = {PC_SIM_FS_OPEN, PC_SIM_FS_SYNC_DIR};
    for (size_t i = 0; i < 2; i++) {
        struct rig rig;
        rig_init(&rig);
        struct pc_wal_batch batch = write_without_descriptor(&rig, ops[i]);
        assert_ok(pc_wal_write(rig.wal, &batch, &rig.error));
        assert_ok(pc_wal_sync(rig.wal, &rig.error));
        pc_sim_fs_crash(rig.sim, PC_SIM_FS_LOSE_ALL);
        pc_wal_close(rig.wal);
        assert_reopens_with_commit(&rig, &rig.model);
        pc_entries_clear(&batch.entries);
        rig_clear(&rig);
    }
}

/* The segment may have its name already; it holds nothing. */
static void descriptors__none_for_a_segment_and_then_the_end__keep_the_log(void **state)
{
    (void)state;
    for (int how = -1; how <= PC_SIM_FS_LOSE_ALL; how++) {
        struct rig rig;
        rig_init(&rig);
        struct pc_wal_batch batch = write_without_descriptor(&rig, PC_SIM_FS_SYNC_DIR);
        if (how >= 0) {
            pc_sim_fs_crash(rig.sim, (enum pc_sim_fs_crash)how);
        }
        pc_wal_close(rig.wal);
        model_truncate(&rig.model, 11);
        rig.model.commit = 7;
        assert_reopens_with_commit(&rig, &rig.model);
        rig_open(&rig); /* and it goes on from there */
        model_append(&rig.model, 3, TEST_SEGMENT_BYTES);
        write_and_sync(rig.wal, &rig.model, 1);
        pc_wal_close(rig.wal);
        assert_reopens_with_commit(&rig, &rig.model);
        pc_entries_clear(&batch.entries);
        rig_clear(&rig);
    }
}

/* Two segments: what is in the older one needs a descriptor of its own. */
static void descriptors__none_to_read_with__are_asked_for_again(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig);
    struct pc_entries some = {0};
    write_ten(&rig);
    model_append(&rig.model, 3, TEST_SEGMENT_BYTES);
    write_and_sync(rig.wal, &rig.model, 1);
    pc_sim_fs_fail_randomly(rig.sim, PC_SIM_FS_OPEN, 1000000, PC_E_AGAIN);
    assert_ok(pc_wal_load(rig.wal, 11, 11, 1, &some, &rig.error));
    pc_entries_clear(&some);
    assert_int_equal(pc_wal_load(rig.wal, 1, 10, 1 << 20, &some, &rig.error), PC_E_AGAIN);
    assert_null(some.v);
    model_truncate(&rig.model, 9);
    struct pc_wal_batch batch = {.truncate_from = 9}; /* looks at entry 8 */
    assert_int_equal(pc_wal_write(rig.wal, &batch, &rig.error), PC_E_AGAIN);
    pc_sim_fs_fail_randomly(rig.sim, PC_SIM_FS_OPEN, 0, PC_OK);
    assert_ok(pc_wal_write(rig.wal, &batch, &rig.error));
    assert_ok(pc_wal_load(rig.wal, 1, 8, 1 << 20, &some, &rig.error));
    assert_int_equal(some.n, 8);
    pc_entries_clear(&some);
    pc_wal_close(rig.wal);
    assert_reopens_with_commit(&rig, &rig.model);
    rig_clear(&rig);
}

/* A disk of 4 MiB and segments of 1 MiB as set: nearly all of it can be written, and before the
 * last quarter of a megabyte nobody finds it full. */
static void segments__as_space_shrinks__get_smaller(void **state)
{
    (void)state;
    const uint64_t disk = 4 << 20;
    struct pc_sim_fs *fs = pc_sim_fs_new(9);
    struct model model = {0};
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered recovered;
    struct pc_error error;
    struct pc_wal_opts opts = test_opts();
    opts.segment_bytes = 1 << 20;
    pc_sim_fs_set_capacity(fs, disk);
    assert_ok(pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &recovered, &error));
    pc_wal_recovered_clear(&recovered);
    uint64_t used = 0;
    for (pc_err err = PC_OK; err == PC_OK;) {
        model_append(&model, 1, 10000);
        struct pc_wal_batch batch = model_batch(&model, 1);
        err = pc_wal_write(wal, &batch, &error);
        pc_entries_clear(&batch.entries);
        used = pc_sim_fs_used(fs);
        assert_true(err == PC_OK || err == PC_E_NO_SPACE);
    }
    model_truncate(&model, model_last(&model)); /* that one was not taken */
    assert_in_range(disk - used, 0, 64 << 10);
    assert_true(model_last(&model) * 10000 > disk * 9 / 10);
    struct pc_wal_stats stats;
    pc_wal_stats(wal, &stats);
    assert_true(stats.segments > 5);
    pc_wal_close(wal);
    struct pc_wal_recovered got;
    wal = open_ok(fs, &got);
    assert_recovered_is(&got, &model);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(commit__of_a_batch_without_space__is_not_claimed_at_the_end),
    PC_TEST(commit__of_a_batch__comes_with_the_batch),
    PC_TEST(commit__behind_the_last_entry__is_damage),
    PC_TEST(truncation__of_what_an_older_record_calls_committed__is_damage),
    PC_TEST(piece__of_a_batch__is_cut_by_the_next_start),
    PC_TEST(piece__of_a_batch__is_no_part_of_the_log_until_all_is_written),
    PC_TEST(piece__written_again_after_a_sync__has_the_same_bytes),
    PC_TEST(sync__failed_while_a_segment_grows__is_final),
    PC_TEST(descriptors__none_for_a_segment__leaves_the_batch_to_be_tried_again),
    PC_TEST(descriptors__none_for_a_segment_and_then_the_end__keep_the_log),
    PC_TEST(descriptors__none_to_read_with__are_asked_for_again),
    PC_TEST(segments__as_space_shrinks__get_smaller),
};
PC_TEST_MAIN("wal_shortage", tests)
