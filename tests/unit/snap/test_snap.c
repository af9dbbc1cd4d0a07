/* Snapshot files: writing, finding, reading, going on with a transfer. */
#include "fixture.h"

#include "pcache/crc32c.h"

static void write_and_find__one_snapshot__gives_it_back(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    model_make(&model, 42, 1, 5, 3000);
    write_ok(fs, &model);
    assert_false(exists(fs, TEST_DIR "/snap.tmp"));
    assert_found(fs, &model);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_found(fs, &model); /* it was durable */
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void write_and_find__empty_store__gives_it_back(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    model_make(&model, 7, 1, 0, 1);
    write_ok(fs, &model);
    assert_found(fs, &model);
    struct pc_snap_reader *reader = NULL;
    struct pc_error error;
    struct pc_buf room = {0};
    struct pc_slice chunk;
    assert_ok(pc_snap_reader_open(pc_sim_fs_port(fs), file_of(7), &reader, &error));
    assert_int_equal(pc_snap_reader_chunk(reader, 0, &room, &chunk, &error), PC_E_NOT_FOUND);
    pc_snap_reader_close(reader);
    pc_buf_destroy(&room);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void find__nothing_there__says_so(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_snap_found found;
    struct pc_error error;
    assert_found_none(fs, PC_E_NOT_FOUND);
    assert_int_equal(
        pc_snap_find(pc_sim_fs_port(fs), "/nowhere", false, &found, &error), PC_E_NOT_FOUND);
    pc_sim_fs_delete(fs);
}

static void finish__older_ones_there__removes_them_and_no_newer(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model models[3];
    const pc_index order[] = {10, 30, 20};
    for (size_t i = 0; i < 3; i++) {
        model_make(&models[i], order[i], 1, 2, 500);
        write_ok(fs, &models[i]);
        assert_true(exists(fs, file_of(order[i])));
        assert_found(fs, &models[i == 0 ? 0 : 1]);
    }
    assert_false(exists(fs, file_of(10)));
    for (size_t i = 0; i < 3; i++) {
        model_clear(&models[i]);
    }
    pc_sim_fs_delete(fs);
}

static void finish__same_index__replaces_the_file(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model first, second;
    model_make(&first, 10, 1, 4, 500);
    model_make(&second, 10, 2, 2, 500);
    write_ok(fs, &first);
    write_ok(fs, &second);
    assert_found(fs, &second);
    model_clear(&first);
    model_clear(&second);
    pc_sim_fs_delete(fs);
}

static void reader__file_replaced_meanwhile__reads_on(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model old, new;
    struct pc_snap_reader *reader = NULL;
    struct pc_error error;
    model_make(&old, 10, 1, 4, 500);
    model_make(&new, 20, 1, 4, 500);
    write_ok(fs, &old);
    assert_ok(pc_snap_reader_open(pc_sim_fs_port(fs), file_of(10), &reader, &error));
    write_ok(fs, &new);
    assert_false(exists(fs, file_of(10)));
    assert_reader_is(reader, &old);
    pc_snap_reader_close(reader);
    model_clear(&old);
    model_clear(&new);
    pc_sim_fs_delete(fs);
}

static void put__chunk_of_no_allowed_size__is_refused_and_leaves_nothing(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_raft_base base = {.index = 5, .term = 1};
    uint8_t *big = pc_xalloc(PC_SNAPSHOT_CHUNK_BYTES_MAX + 1);
    const size_t sizes[] = {0, PC_SNAPSHOT_CHUNK_BYTES_MAX, PC_SNAPSHOT_CHUNK_BYTES_MAX + 1};
    const pc_err want[] = {PC_E_INVALID, PC_OK, PC_E_TOO_BIG};
    for (size_t i = 0; i < 3; i++) {
        struct pc_snap_writer *writer = NULL;
        struct pc_error error;
        const struct pc_fs *port = pc_sim_fs_port(fs);
        assert_ok(pc_snap_writer_open(port, TEST_DIR, &base, NULL, &writer, &error));
        assert_int_equal(pc_snap_writer_put(writer, pc_slice_of(big, sizes[i]), &error), want[i]);
        pc_snap_writer_close(writer);
        assert_false(exists(fs, TEST_DIR "/snap.tmp"));
    }
    free(big);
    pc_sim_fs_delete(fs);
}

static void finish__meta_of_another_entry__is_refused(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    model_make(&model, 9, 1, 1, 100);
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    struct pc_error error;
    struct pc_raft_base base = model.meta.base;
    base.stamp_ms++;
    assert_ok(pc_snap_writer_open(pc_sim_fs_port(fs), TEST_DIR, &base, NULL, &writer, &error));
    assert_int_equal(pc_snap_writer_finish(writer, &model.meta, &info, &error), PC_E_INVALID);
    pc_snap_writer_close(writer);
    assert_found_none(fs, PC_E_NOT_FOUND);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* ---- from another node */
/* Puts the first n chunks and ends without finishing. */
static void receive_some(struct pc_sim_fs *fs, const struct model *model, uint32_t n, bool keep)
{
    struct pc_snap_writer *writer = NULL;
    struct pc_error error;
    struct pc_hash hash = model_hash(model);
    assert_ok(pc_snap_writer_open(
        pc_sim_fs_port(fs), TEST_DIR, &model->meta.base, &hash, &writer, &error));
    for (uint32_t i = pc_snap_writer_chunks(writer); i < n; i++) {
        assert_ok(pc_snap_writer_put(writer, model_chunk(model, i), &error));
    }
    if (keep) {
        pc_snap_writer_close(writer);
    } else {
        pc_snap_writer_abort(writer);
    }
}

/* How many chunks a writer goes on behind. */
static uint32_t resumed(struct pc_sim_fs *fs, const struct model *model)
{
    struct pc_snap_writer *writer = NULL;
    struct pc_error error;
    struct pc_hash hash = model_hash(model);
    assert_ok(pc_snap_writer_open(
        pc_sim_fs_port(fs), TEST_DIR, &model->meta.base, &hash, &writer, &error));
    uint32_t chunks = pc_snap_writer_chunks(writer);
    pc_snap_writer_close(writer);
    return chunks;
}

static void received__in_pieces__is_gone_on_with_and_found_when_whole(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    struct pc_error error;
    model_make(&model, 50, 1, 6, 2000);
    receive_some(fs, &model, 2, true);
    assert_found_none(fs, PC_E_NOT_FOUND);
    assert_int_equal(resumed(fs, &model), 2);
    receive_some(fs, &model, 5, true);
    assert_int_equal(resumed(fs, &model), 5);
    assert_ok(write_model(pc_sim_fs_port(fs), &model, true, &error));
    assert_false(exists(fs, part_of(50)));
    assert_found(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void received__given_up__leaves_nothing(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    model_make(&model, 50, 1, 6, 2000);
    receive_some(fs, &model, 3, false);
    assert_false(exists(fs, part_of(50)));
    assert_int_equal(resumed(fs, &model), 0);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void received__other_snapshot_of_the_same_entry__begins_anew(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model one, other;
    struct pc_error error;
    model_make(&one, 50, 1, 6, 2000);
    model_make(&other, 50, 1, 5, 2000); /* the same chunks, less the last */
    other.meta.base = one.meta.base;
    receive_some(fs, &one, 4, true);
    assert_int_equal(resumed(fs, &other), 0);
    assert_int_equal(resumed(fs, &one), 0); /* it was made anew for the other */
    assert_ok(write_model(pc_sim_fs_port(fs), &other, true, &error));
    assert_found(fs, &other);
    model_clear(&one);
    model_clear(&other);
    pc_sim_fs_delete(fs);
}

static void received__another_entry_later__removes_the_older_part(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model one, other;
    model_make(&one, 50, 1, 6, 2000);
    model_make(&other, 60, 1, 6, 2000);
    receive_some(fs, &one, 4, true);
    receive_some(fs, &other, 1, true);
    assert_false(exists(fs, part_of(50)));
    assert_true(exists(fs, part_of(60)));
    write_ok(fs, &one); /* one's own: says nothing about what is beyond it */
    assert_true(exists(fs, part_of(60)));
    assert_found(fs, &one);
    assert_int_equal(resumed(fs, &other), 1);
    model_clear(&one);
    model_make(&one, 61, 1, 1, 10);
    write_ok(fs, &one);
    assert_false(exists(fs, part_of(60)));
    model_clear(&one);
    model_clear(&other);
    pc_sim_fs_delete(fs);
}

static void received__not_what_was_announced__is_refused_and_forgotten(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model, old;
    model_make(&model, 50, 1, 3, 2000);
    model_make(&old, 40, 1, 3, 2000);
    write_ok(fs, &old);
    struct pc_snap_writer *writer = NULL;
    struct pc_snap_info info;
    struct pc_error error;
    struct pc_hash hash = model_hash(&model);
    assert_ok(pc_snap_writer_open(
        pc_sim_fs_port(fs), TEST_DIR, &model.meta.base, &hash, &writer, &error));
    const uint32_t order[] = {0, 2, 1};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(pc_snap_writer_put(writer, model_chunk(&model, order[i]), &error));
    }
    assert_int_equal(pc_snap_writer_finish(writer, &model.meta, &info, &error), PC_E_CORRUPT);
    pc_snap_writer_close(writer);
    assert_false(exists(fs, part_of(50)));
    assert_found(fs, &old);
    model_clear(&model);
    model_clear(&old);
    pc_sim_fs_delete(fs);
}

/* The hash comes out, but nothing could be made of it: the older one is all that this node has. */
static void received__content_not_that_of_its_meta__replaces_nothing(void **state)
{
    (void)state;
    enum { DIGEST, ITEMS, CHUNK, VERSION, RESUMED, CASES };
    for (int what = DIGEST; what < CASES; what++) {
        struct pc_sim_fs *fs = disk_new(1);
        struct model model, old;
        struct pc_error error;
        model_make(&model, 50, 1, 3, 2000);
        model_make(&old, 40, 1, 3, 2000);
        write_ok(fs, &old);
        model.meta.digest.b[3] ^= what == DIGEST || what == RESUMED ? 1 : 0;
        model.meta.items += what == ITEMS ? 1 : 0;
        model.chunks[1].data[0] ^= what == CHUNK ? 0x10 : 0;
        if (what == VERSION) { /* items of a later entry than the snapshot's */
            model_clear(&model);
            model_make_of(&model, 50, 1, 3, 2000, 51);
        }
        if (what == RESUMED) {
            receive_some(fs, &model, 2, true);
        }
        assert_int_equal(write_model(pc_sim_fs_port(fs), &model, true, &error), PC_E_MALFORMED);
        assert_non_null(strstr(error.text, "snap-0000000000000032.part"));
        assert_false(exists(fs, part_of(50)));
        assert_found(fs, &old);
        model_clear(&model);
        model_clear(&old);
        pc_sim_fs_delete(fs);
    }
}

/* An earlier writer was given longer chunks under the same hash: what is left of them behind the
 * end of the file would hide its trailer. */
static void received__file_longer_than_its_snapshot__is_refused_and_forgotten(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    struct pc_error error;
    model_make(&model, 50, 1, 2, 2000);
    receive_some(fs, &model, 1, true);
    uint64_t at = pc_sim_fs_file_bytes(fs, part_of(50));
    uint8_t stale[9000];
    memset(stale, 3, sizeof stale);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    pc_fd fd;
    assert_ok(port->open(port->context, part_of(50), false, false, &fd, &error));
    assert_ok(port->write_at(port->context, fd, at, pc_slice_of(stale, sizeof stale), &error));
    port->close(port->context, fd);
    assert_int_equal(write_model(port, &model, true, &error), PC_E_CORRUPT);
    assert_false(exists(fs, part_of(50)));
    assert_ok(write_model(port, &model, true, &error));
    assert_found(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void resume__chunk_damaged__goes_on_in_front_of_it(void **state)
{
    (void)state;
    struct model model;
    struct pc_error error;
    model_make(&model, 50, 1, 4, 600);
    struct pc_sim_fs *fs = disk_new(1);
    receive_some(fs, &model, 4, true);
    uint64_t begin = SNAP_HEADER_BYTES;
    for (uint32_t i = 0; i < 4; i++) {
        uint64_t end = begin + SNAP_HEAD_BYTES + model.chunks[i].len;
        for (uint64_t at = begin; at < end; at += 7) {
            struct pc_sim_fs *copy = pc_sim_fs_clone(fs);
            assert_true(pc_sim_fs_flip_bit(copy, part_of(50), at, (unsigned)(at % 8)));
            assert_int_equal(resumed(copy, &model), i);
            assert_ok(write_model(pc_sim_fs_port(copy), &model, true, &error));
            assert_found(copy, &model);
            pc_sim_fs_delete(copy);
        }
        begin = end;
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* ---- the format */
static void format__of_version_1__is_what_the_document_says(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct model model;
    struct pc_error error;
    model_make(&model, 0x2a, 1, 2, 40);
    write_ok(fs, &model);
    uint8_t file[2048];
    size_t n = 0;
    pc_fd fd;
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_ok(port->open_read(port->context, file_of(0x2a), &fd, &error));
    assert_ok(port->read_at(port->context, fd, 0, file, sizeof file, &n, &error));
    port->close(port->context, fd);
    assert_memory_equal(file, "pcachsnp\1\0\0\0\0\2\0\0\x2a\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", 32);
    assert_int_equal(pc_get_u64(file + 32), 420);
    assert_memory_equal(file + 40, model.meta.base.chain.b, 16);
    size_t at = 512;
    struct pc_hash before = pc_snap_chain_begin(&model.meta.base);
    for (uint32_t i = 0; i < 2; i++) {
        struct pc_slice chunk = model_chunk(&model, i);
        assert_memory_equal(file + at, "pcC1", 4);
        assert_int_equal(pc_get_u32(file + at + 4), chunk.len);
        assert_int_equal(pc_get_u32(file + at + 8), i);
        assert_memory_equal(file + at + 16, before.b, 16);
        assert_memory_equal(file + at + 32, chunk.data, chunk.len);
        before = pc_snap_chain_next(&before, chunk);
        at += 32 + chunk.len;
    }
    assert_int_equal(pc_get_u32(file + at), model.chunks[0].len);
    assert_memory_equal(file + at + 4, file + 512 + 12, 4);
    assert_memory_equal(file + n - 64, "pcachend\x2a\0\0\0\0\0\0\0", 16);
    assert_int_equal(pc_get_u64(file + n - 48), at);
    assert_int_equal(pc_get_u32(file + n - 40), 2);
    assert_int_equal(pc_get_u32(file + n - 36), n - 64 - 16 - at);
    struct pc_hash hash = model_hash(&model);
    assert_memory_equal(file + n - 32, hash.b, 16);
    assert_int_equal(pc_get_u32(file + n - 16), pc_crc32c(0, pc_slice_of(file + at, n - 64 - at)));
    assert_int_equal(pc_get_u32(file + n - 4), pc_crc32c(0, pc_slice_of(file + n - 64, 60)));
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* A byte that changes is a deliberate act: version, and docs/LOGFORMAT.md. */
static void format__hash_of_a_known_snapshot__stays_what_it_is(void **state)
{
    (void)state;
    struct pc_raft_base base = {.index = 1, .term = 2, .stamp_ms = 3, .chain = {{4}}};
    struct pc_hash hash = pc_snap_chain_begin(&base);
    char text[33];
    hash = pc_snap_chain_next(&hash, pc_slice_str("chunk"));
    pc_hex_encode(hash.b, sizeof hash.b, text);
    assert_string_equal(text, "91af3716b2f788f7cfac007c31c69540");
}

static void names__not_of_ours__are_ignored(void **state)
{
    (void)state;
    static const char *const names[] = {"snap-000000000000002A.snp", "snap-2a.snp",
        "snap-000000000000002a.snp.old", "snap-0000000000000000.snp", "snap-.snp",
        "bad-000000000000002a.snp", "snap-000000000000002a.part", "snap- 00000000000002a.snp"};
    struct pc_sim_fs *fs = disk_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[80];
        pc_fd fd;
        (void)snprintf(path, sizeof path, TEST_DIR "/%s", names[i]);
        assert_ok(port->open(port->context, path, true, true, &fd, &error));
        port->close(port->context, fd);
    }
    assert_found_none(fs, PC_E_NOT_FOUND);
    pc_sim_fs_delete(fs);
}

static void set_aside__damaged_one__is_not_found_any_more(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct model model;
    struct pc_error error;
    for (pc_index index = 10; index <= 20; index += 10) {
        model_make(&model, index, 1, 2, 500);
        write_ok(fs, &model);
        assert_ok(pc_snap_set_aside(port, TEST_DIR, index, &error));
        pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
        assert_found_none(fs, PC_E_NOT_FOUND);
        model_clear(&model);
    }
    assert_false(exists(fs, TEST_DIR "/bad-000000000000000a.snp"));
    assert_true(exists(fs, TEST_DIR "/bad-0000000000000014.snp"));
    assert_int_equal(pc_snap_set_aside(port, TEST_DIR, 30, &error), PC_E_NOT_FOUND);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(write_and_find__one_snapshot__gives_it_back),
    PC_TEST(write_and_find__empty_store__gives_it_back),
    PC_TEST(find__nothing_there__says_so),
    PC_TEST(finish__older_ones_there__removes_them_and_no_newer),
    PC_TEST(finish__same_index__replaces_the_file),
    PC_TEST(reader__file_replaced_meanwhile__reads_on),
    PC_TEST(put__chunk_of_no_allowed_size__is_refused_and_leaves_nothing),
    PC_TEST(finish__meta_of_another_entry__is_refused),
    PC_TEST(received__in_pieces__is_gone_on_with_and_found_when_whole),
    PC_TEST(received__given_up__leaves_nothing),
    PC_TEST(received__other_snapshot_of_the_same_entry__begins_anew),
    PC_TEST(received__another_entry_later__removes_the_older_part),
    PC_TEST(received__not_what_was_announced__is_refused_and_forgotten),
    PC_TEST(received__content_not_that_of_its_meta__replaces_nothing),
    PC_TEST(received__file_longer_than_its_snapshot__is_refused_and_forgotten),
    PC_TEST(resume__chunk_damaged__goes_on_in_front_of_it),
    PC_TEST(format__of_version_1__is_what_the_document_says),
    PC_TEST(format__hash_of_a_known_snapshot__stays_what_it_is),
    PC_TEST(names__not_of_ours__are_ignored),
    PC_TEST(set_aside__damaged_one__is_not_found_any_more),
};
PC_TEST_MAIN("snap", tests)
