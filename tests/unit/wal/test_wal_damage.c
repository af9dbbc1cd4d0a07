/* Damage: what comes back is what was written, or nothing at all. */
#include "fixture.h"

#define SEGMENT_1 TEST_DIR "/log-0000000000000001.seg"
#define BLOCK 512u

/* A log of a few segments with a truncation in it and a vote. Left open when `wal` is wanted. */
static struct pc_sim_fs *make_log(struct model *model, struct pc_wal **wal)
{
    struct pc_sim_fs *fs = pc_sim_fs_new(5);
    struct pc_wal_recovered recovered;
    struct pc_error error;
    *wal = open_ok(fs, &recovered);
    for (unsigned i = 0; i < 200; i++) {
        model_append(model, 2, i * 37 % 900);
        model_append(model, 2, 30);
        model->commit = i;
        write_and_sync(*wal, model, 2);
    }
    model_truncate(model, 390);
    model_append(model, 3, 500);
    struct pc_wal_batch batch = model_batch(model, 1);
    batch.truncate_from = 390;
    batch.has_vote = true;
    batch.term = 4;
    batch.vote = 99;
    assert_ok(pc_wal_write(*wal, &batch, &error));
    assert_ok(pc_wal_sync(*wal, &error));
    pc_entries_clear(&batch.entries);
    model_append(model, 3, 700);
    write_and_sync(*wal, model, 1);
    return fs;
}

struct files {
    char path[16][64];
    size_t n;
};

static void add_file(void *arg, const char *name)
{
    struct files *files = arg;
    assert_true(files->n < 16);
    (void)snprintf(files->path[files->n++], 64, TEST_DIR "/%.50s", name);
}

static void list_files(struct pc_sim_fs *fs, struct files *out)
{
    struct pc_error error;
    *out = (struct files){0};
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_ok(port->list(port->context, TEST_DIR, add_file, out, &error));
    assert_true(out->n >= 5);
}

/* Recovers a damaged copy: the model and the vote, or PC_E_CORRUPT. True when it was refused. */
static bool check_damaged(struct pc_sim_fs *fs, const struct model *model)
{
    struct pc_wal_opts opts = test_opts();
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error error = {0};
    pc_err err = pc_wal_open(pc_sim_fs_port(fs), &opts, &wal, &got, &error);
    if (err != PC_OK) {
        assert_int_equal(err, PC_E_CORRUPT);
        assert_non_null(strstr(error.text, "log-"));
        assert_non_null(strstr(error.text, "offset"));
        return true;
    }
    assert_recovered_is(&got, model);
    assert_log_is(wal, &got, model);
    assert_int_equal(got.commit, model->commit);
    assert_int_equal(got.term, 4);
    assert_int_equal(got.vote, 99);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    return false;
}

static void flip_everywhere(bool close_first)
{
    struct model model = {0};
    struct pc_wal *wal = NULL;
    struct pc_sim_fs *fs = make_log(&model, &wal);
    if (close_first) {
        pc_wal_close(wal);
    } else {
        pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
        pc_wal_close(wal);
    }
    struct files files;
    list_files(fs, &files);
    struct pc_prng prng;
    pc_prng_seed(&prng, 11);
    unsigned refused = 0;
    for (unsigned i = 0; i < 700 / PC_TEST_STRIDE; i++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        const char *path = files.path[pc_prng_below(&prng, files.n)];
        uint64_t offset = pc_prng_below(&prng, pc_sim_fs_file_bytes(copy, path));
        assert_true(pc_sim_fs_flip_bit(copy, path, offset, (unsigned)pc_prng_below(&prng, 8)));
        refused += check_damaged(copy, &model);
        pc_sim_fs_delete(copy);
    }
    assert_true(refused > 100 / PC_TEST_STRIDE);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void bit_flip__anywhere__is_harmless_or_refused(void **state)
{
    (void)state;
    flip_everywhere(true);
}

static void bit_flip__in_a_log_that_was_not_closed__is_harmless_or_refused(void **state)
{
    (void)state;
    flip_everywhere(false);
}

/* Every bit of the last record, which no later record vouches for. */
static void bit_flip__in_the_last_record__is_harmless_or_refused(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal *wal = NULL;
    struct pc_sim_fs *fs = make_log(&model, &wal);
    struct pc_error error;
    uint64_t last_offset = 0;
    char segment[64] = "";
    pc_sim_fs_crash(fs, PC_SIM_FS_KILL);
    pc_wal_close(wal);
    struct files files;
    list_files(fs, &files);
    /* The newest segment is the one with the highest name. */
    for (size_t i = 0; i < files.n; i++) {
        if (strstr(files.path[i], "log-") != NULL && strcmp(files.path[i], segment) > 0) {
            (void)snprintf(segment, sizeof segment, "%s", files.path[i]);
        }
    }
    const struct pc_fs *port = pc_sim_fs_port(fs);
    pc_fd fd;
    assert_ok(port->open_read(port->context, segment, &fd, &error));
    for (uint64_t at = 0; at < pc_sim_fs_file_bytes(fs, segment); at += BLOCK) {
        uint8_t block[BLOCK];
        size_t n = 0;
        assert_ok(port->read_at(port->context, fd, at, block, BLOCK, &n, &error));
        for (size_t i = 0; i < BLOCK; i++) {
            last_offset = block[i] != 0 ? at : last_offset;
        }
    }
    port->close(port->context, fd);
    for (uint64_t at = last_offset - BLOCK; at < last_offset + 2 * BLOCK; at += PC_TEST_STRIDE) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        assert_true(pc_sim_fs_flip_bit(copy, segment, at, (unsigned)(at % 8)));
        (void)check_damaged(copy, &model);
        pc_sim_fs_delete(copy);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* After an orderly end a note vouches for everything: also whole lost sectors and pages show. */
static void lost_sectors__after_a_note__are_harmless_or_refused(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal *wal = NULL;
    struct pc_sim_fs *fs = make_log(&model, &wal);
    pc_wal_close(wal);
    struct files files;
    list_files(fs, &files);
    struct pc_prng prng;
    pc_prng_seed(&prng, 12);
    unsigned refused = 0;
    for (unsigned i = 0; i < 400 / PC_TEST_STRIDE; i++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        const char *path = files.path[pc_prng_below(&prng, files.n)];
        uint8_t bytes[4096] = {0};
        bool page = pc_prng_below(&prng, 2) == 0 && strstr(path, "log-") != NULL;
        uint64_t len = page ? 4096 : BLOCK;
        for (size_t b = 0; b < sizeof bytes && i % 2 == 0; b++) {
            bytes[b] = (uint8_t)pc_prng_next(&prng);
        }
        uint64_t slots = pc_sim_fs_file_bytes(copy, path) / len;
        assert_true(pc_sim_fs_overwrite(
            copy, path, pc_prng_below(&prng, slots) * len, pc_slice_of(bytes, (size_t)len)));
        refused += check_damaged(copy, &model);
        pc_sim_fs_delete(copy);
    }
    assert_true(refused > 50 / PC_TEST_STRIDE);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* A sector of one block swapped with another: right bytes in the wrong place. */
static void block__written_to_the_wrong_place__is_refused(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal *wal = NULL;
    struct pc_sim_fs *fs = make_log(&model, &wal);
    pc_wal_close(wal);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    pc_fd fd;
    uint8_t block[BLOCK];
    size_t n = 0;
    assert_ok(port->open_read(port->context, SEGMENT_1, &fd, &error));
    assert_ok(port->read_at(port->context, fd, 5 * BLOCK, block, BLOCK, &n, &error));
    port->close(port->context, fd);
    assert_true(pc_sim_fs_overwrite(fs, SEGMENT_1, 9 * BLOCK, pc_slice_of(block, BLOCK)));
    assert_true(check_damaged(fs, &model));
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* Whether all can be read; what is read are these bytes, up to damage. */
static bool check_raw(struct pc_wal *wal, struct pc_buf expected)
{
    struct pc_raw_entries raw = {0};
    struct pc_error error;
    pc_err err = pc_wal_load_raw(wal, 1, 30, 1 << 20, &raw, &error);
    assert_true(err == PC_OK || err == PC_E_CORRUPT);
    if (err == PC_OK) {
        assert_true(raw.n > 0 && raw.bytes.len <= expected.len);
        assert_memory_equal(raw.bytes.data, expected.data, raw.bytes.len);
    }
    bool all = err == PC_OK && raw.bytes.len == expected.len;
    pc_raw_entries_clear(&raw);
    return all;
}

/* Followers are sent what is loaded: rot that comes while the node runs must not reach them. */
static void load__rot_since_the_start__gives_the_entries_or_damage(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal *wal = NULL;
    struct pc_sim_fs *fs = make_log(&model, &wal);
    struct pc_buf expected = {0};
    for (size_t i = 0; i < 30; i++) {
        pc_wire_encode_entry(&model.entries.v[i], &expected);
    }
    unsigned refused = 0, refused_raw = 0;
    for (uint64_t offset = BLOCK; offset < 20 * BLOCK; offset += 13) {
        unsigned bit = (unsigned)(offset % 8);
        struct pc_entries some = {0};
        struct pc_error error;
        assert_true(pc_sim_fs_flip_bit(fs, SEGMENT_1, offset, bit));
        pc_err err = pc_wal_load(wal, 1, 30, 1 << 20, &some, &error);
        assert_true(err == PC_OK || err == PC_E_CORRUPT);
        refused += err == PC_E_CORRUPT || some.n < 30 ? 1 : 0;
        for (size_t i = 0; i < some.n; i++) {
            assert_true(entry_equal(&some.v[i], &model.entries.v[i]));
        }
        pc_entries_clear(&some);
        refused_raw += check_raw(wal, expected) ? 0 : 1;
        assert_true(pc_sim_fs_flip_bit(fs, SEGMENT_1, offset, bit));
    }
    pc_buf_destroy(&expected);
    assert_true(refused > 100 && refused_raw > 100);
    pc_wal_close(wal);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void files__missing_or_short__are_refused(void **state)
{
    (void)state;
    struct model model = {0};
    struct pc_wal *wal = NULL;
    struct pc_sim_fs *fs = make_log(&model, &wal);
    pc_wal_close(wal);
    struct files files;
    list_files(fs, &files);
    for (size_t i = 0; i < files.n; i++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        assert_true(pc_sim_fs_remove(copy, files.path[i]));
        assert_refused(copy, strstr(files.path[i], "vote") != NULL ? "vote-" : "missing");
        pc_sim_fs_delete(copy);
        copy = pc_sim_fs_clone(fs);
        if (strstr(files.path[i], "log-") != NULL) {
            assert_true(pc_sim_fs_shorten(copy, files.path[i], 40 * BLOCK));
            assert_refused(copy, "damaged at offset 20");
        }
        pc_sim_fs_delete(copy);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* ---- the end of the log, rule by rule: three batches of one block each at blocks 1, 2, 3 */
struct tail_case {
    struct pc_sim_fs *fs;
    struct model model;
};

static struct tail_case three_batches(bool sync_between, size_t len)
{
    struct tail_case c = {.fs = pc_sim_fs_new(3)};
    struct pc_wal_recovered recovered;
    struct pc_wal *wal = open_ok(c.fs, &recovered);
    for (unsigned i = 0; i < 3; i++) {
        model_append(&c.model, 1, len);
        if (sync_between) {
            write_and_sync(wal, &c.model, 1);
        } else {
            write_last(wal, &c.model, 1);
        }
    }
    pc_sim_fs_crash(c.fs, PC_SIM_FS_KILL);
    pc_wal_close(wal);
    return c;
}

static void tail_case_clear(struct tail_case *c)
{
    model_clear(&c->model);
    pc_sim_fs_delete(c->fs);
}

static void wipe(struct tail_case *c, uint64_t offset, size_t len)
{
    uint8_t zeros[4096] = {0};
    assert_true(pc_sim_fs_overwrite(c->fs, SEGMENT_1, offset, pc_slice_of(zeros, len)));
}

static void tail__earlier_batch_torn_and_later_ones_whole__is_cut_when_none_was_synced(void **state)
{
    (void)state;
    struct tail_case c = three_batches(false, 50);
    wipe(&c, 2 * BLOCK, BLOCK);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(c.fs, &got);
    model_truncate(&c.model, 2);
    assert_recovered_is(&got, &c.model);
    assert_int_equal(got.cut_offset, 2 * BLOCK);
    assert_int_equal(got.cut_bytes, 2 * BLOCK);
    assert_string_equal(got.cut_segment, "log-0000000000000001.seg");
    pc_wal_recovered_clear(&got);
    model_append(&c.model, 2, 10);
    write_and_sync(wal, &c.model, 1);
    pc_wal_close(wal);
    assert_reopens_as(c.fs, &c.model);
    tail_case_clear(&c);
}

static void tail__lost_block_that_a_later_record_vouches_for__is_damage(void **state)
{
    (void)state;
    struct tail_case c = three_batches(true, 50);
    wipe(&c, 2 * BLOCK, BLOCK);
    assert_refused(c.fs, "log-0000000000000001.seg: damaged at offset 1032");
    tail_case_clear(&c);
}

static void tail__last_record_with_a_block_never_written__is_cut(void **state)
{
    (void)state;
    struct tail_case c = three_batches(true, 1500); /* four blocks each: 1..4, 5..8, 9..12 */
    wipe(&c, 11 * BLOCK, BLOCK);
    model_truncate(&c.model, 3);
    assert_reopens_as(c.fs, &c.model);
    tail_case_clear(&c);
}

static void tail__last_record_written_completely_but_wrong__is_damage(void **state)
{
    (void)state;
    struct tail_case c = three_batches(true, 1500);
    wipe(&c, 11 * BLOCK + 8, BLOCK - 8); /* the stamp stays */
    assert_refused(c.fs, "written completely");
    tail_case_clear(&c);
}

static void tail__rot_in_stamp_and_body_of_the_last_record__is_damage(void **state)
{
    (void)state;
    struct tail_case c = three_batches(true, 1500);
    assert_true(pc_sim_fs_flip_bit(c.fs, SEGMENT_1, 11 * BLOCK + 3, 2));
    assert_true(pc_sim_fs_flip_bit(c.fs, SEGMENT_1, 11 * BLOCK + 300, 2));
    assert_refused(c.fs, "written completely");
    tail_case_clear(&c);
}

static void tail__rot_in_a_stamp_alone__is_harmless(void **state)
{
    (void)state;
    struct tail_case c = three_batches(true, 1500);
    assert_true(pc_sim_fs_flip_bit(c.fs, SEGMENT_1, 11 * BLOCK + 3, 2));
    assert_reopens_as(c.fs, &c.model);
    tail_case_clear(&c);
}

/* A client's value may look like a record; it must not count as evidence. */
static void tail__value_that_looks_like_records__does_not_vouch(void **state)
{
    (void)state;
    struct tail_case c = three_batches(true, 50);
    const struct pc_fs *port = pc_sim_fs_port(c.fs);
    struct pc_error error;
    pc_fd fd;
    uint8_t copy[3 * BLOCK];
    size_t n = 0;
    assert_ok(port->open_read(port->context, SEGMENT_1, &fd, &error));
    assert_ok(port->read_at(port->context, fd, BLOCK, copy, sizeof copy, &n, &error));
    port->close(port->context, fd);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(c.fs, &got);
    pc_wal_recovered_clear(&got);
    struct pc_entry entry = c.model.entries.v[2];
    entry.index = 4;
    assert_ok(pc_blob_new(pc_slice_of(copy, sizeof copy), &entry.body));
    entry.chain = pc_entry_chain(&c.model.entries.v[2].chain, &entry);
    struct pc_wal_batch batch = {0};
    pc_entries_push(&batch.entries, &entry);
    assert_ok(pc_wal_write(wal, &batch, &error));
    pc_sim_fs_crash(c.fs, PC_SIM_FS_KILL);
    pc_wal_close(wal);
    wipe(&c, 4 * BLOCK, BLOCK); /* the beginning of that record is torn off */
    pc_entries_clear(&batch.entries);
    pc_blob_unref(entry.body);
    assert_reopens_as(c.fs, &c.model);
    tail_case_clear(&c);
}

static void store_vote(struct pc_wal *wal, pc_term term, pc_node_id vote)
{
    struct pc_error error;
    struct pc_wal_batch batch = {.has_vote = true, .term = term, .vote = vote};
    assert_ok(pc_wal_write(wal, &batch, &error));
}

static void wipe_vote(struct pc_sim_fs *fs, unsigned slot)
{
    uint8_t zeros[4096] = {0};
    char path[64];
    (void)snprintf(path, sizeof path, TEST_DIR "/vote-%u", slot);
    assert_true(pc_sim_fs_overwrite(fs, path, 0, pc_slice_of(zeros, sizeof zeros)));
}

static void vote__one_slot_lost__gives_the_newest_or_the_one_before(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = pc_sim_fs_new(5);
    struct pc_wal_recovered got;
    struct pc_wal *wal = open_ok(fs, &got);
    store_vote(wal, 3, 77);
    store_vote(wal, 4, 78);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    pc_wal_close(wal);
    pc_term seen = 0;
    for (unsigned slot = 0; slot < 2; slot++) {
        struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
        wipe_vote(copy, slot);
        wal = open_ok(copy, &got);
        assert_true((got.term == 3 && got.vote == 77) || (got.term == 4 && got.vote == 78));
        seen += got.term;
        pc_wal_close(wal);
        pc_sim_fs_delete(copy);
    }
    assert_int_equal(seen, 7); /* the two slots hold the two newest votes */
    wipe_vote(fs, 0);
    wipe_vote(fs, 1);
    assert_refused(fs, "vote-0 and vote-1");
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(bit_flip__anywhere__is_harmless_or_refused),
    PC_TEST(bit_flip__in_a_log_that_was_not_closed__is_harmless_or_refused),
    PC_TEST(bit_flip__in_the_last_record__is_harmless_or_refused),
    PC_TEST(lost_sectors__after_a_note__are_harmless_or_refused),
    PC_TEST(block__written_to_the_wrong_place__is_refused),
    PC_TEST(load__rot_since_the_start__gives_the_entries_or_damage),
    PC_TEST(files__missing_or_short__are_refused),
    PC_TEST(tail__earlier_batch_torn_and_later_ones_whole__is_cut_when_none_was_synced),
    PC_TEST(tail__lost_block_that_a_later_record_vouches_for__is_damage),
    PC_TEST(tail__last_record_with_a_block_never_written__is_cut),
    PC_TEST(tail__last_record_written_completely_but_wrong__is_damage),
    PC_TEST(tail__rot_in_stamp_and_body_of_the_last_record__is_damage),
    PC_TEST(tail__rot_in_a_stamp_alone__is_harmless),
    PC_TEST(tail__value_that_looks_like_records__does_not_vouch),
    PC_TEST(vote__one_slot_lost__gives_the_newest_or_the_one_before),
};
PC_TEST_MAIN("wal_damage", tests)
