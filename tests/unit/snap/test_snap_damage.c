/* Damage at rest: whatever happens to a file, no byte of it is given out wrong, and what is wrong
 * is named. */
#include "fixture.h"

#include "pcache/crc32c.h"

#define INDEX 20

struct places {
    uint64_t chunk_at[CHUNKS_MAX + 1]; /* the last one: where the table begins */
    uint64_t bytes;
};

static struct places places_of(const struct pc_sim_fs *fs, const struct model *model)
{
    struct places places = {.bytes = pc_sim_fs_file_bytes(fs, file_of(model->meta.base.index))};
    uint64_t at = SNAP_HEADER_BYTES;
    for (uint32_t i = 0; i < model->chunks_n; i++) {
        places.chunk_at[i] = at;
        at += SNAP_HEAD_BYTES + model->chunks[i].len;
    }
    places.chunk_at[model->chunks_n] = at;
    return places;
}

static void assert_names(const struct pc_error *error, uint64_t at)
{
    char want[96];
    (void)snprintf(want, sizeof want, "snap-%016x.snp: damaged at offset %" PRIu64 ":", INDEX, at);
    if (strncmp(error->text, want, strlen(want)) != 0) {
        fail_msg("\"%s\" does not begin with \"%s\"", error->text, want);
    }
}

/* The chunk at `bad` is refused, with its place; all the others are what they were. */
static void assert_bad_chunk(
    struct pc_snap_reader *reader, const struct model *model, uint32_t bad, uint64_t at)
{
    struct pc_buf room = {0};
    struct pc_error error;
    for (uint32_t i = 0; i < model->chunks_n; i++) {
        struct pc_slice chunk;
        pc_err err = pc_snap_reader_chunk(reader, i, &room, &chunk, &error);
        if (i == bad) {
            assert_int_equal(err, PC_E_CORRUPT);
            assert_names(&error, at);
        } else {
            assert_ok(err);
            assert_true(pc_slice_equal(chunk, model_chunk(model, i)));
        }
    }
    pc_buf_destroy(&room);
    assert_int_equal(pc_snap_verify(reader, NULL, NULL, &error), PC_E_CORRUPT);
    assert_names(&error, at);
}

static void check_flip(
    struct pc_sim_fs *fs, const struct model *model, const struct places *places, uint64_t at)
{
    struct pc_snap_found found;
    struct pc_error error;
    pc_err err = pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, false, &found, &error);
    uint64_t table_at = places->chunk_at[model->chunks_n];
    if (at < 76 || at >= table_at) {
        assert_int_equal(err, PC_E_CORRUPT);
        uint64_t trailer_at = places->bytes - SNAP_TRAILER_BYTES;
        assert_names(&error, at < 76 ? 0 : at >= trailer_at ? trailer_at : table_at);
        return;
    }
    assert_ok(err);
    if (at < SNAP_HEADER_BYTES) {
        assert_reader_is(found.reader, model);
    } else {
        uint32_t bad = 0;
        while (places->chunk_at[bad + 1] <= at) {
            bad++;
        }
        assert_bad_chunk(found.reader, model, bad, places->chunk_at[bad]);
    }
    pc_snap_reader_close(found.reader);
}

static void flip__of_any_bit__is_found_and_placed(void **state)
{
    (void)state;
    struct model model;
    model_make(&model, INDEX, 5, 3, 60);
    struct pc_sim_fs *fs = disk_new(1);
    write_ok(fs, &model);
    struct places places = places_of(fs, &model);
    for (uint64_t at = 0; at < places.bytes; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            assert_true(pc_sim_fs_flip_bit(fs, file_of(INDEX), at, bit));
            check_flip(fs, &model, &places, at);
            assert_true(pc_sim_fs_flip_bit(fs, file_of(INDEX), at, bit));
        }
    }
    assert_found(fs, &model);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static void shortened__to_any_length__is_found(void **state)
{
    (void)state;
    struct model model;
    model_make(&model, INDEX, 5, 3, 60);
    struct pc_sim_fs *fs = disk_new(1);
    write_ok(fs, &model);
    struct places places = places_of(fs, &model);
    for (uint64_t bytes = places.bytes; bytes-- > 0;) {
        assert_true(pc_sim_fs_shorten(fs, file_of(INDEX), bytes));
        assert_found_none(fs, PC_E_CORRUPT);
    }
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* Two whole snapshots: the older one could not be removed. */
static struct pc_sim_fs *make_two(struct model *old, struct model *new)
{
    struct pc_sim_fs *fs = disk_new(1);
    model_make(old, 10, 5, 2, 60);
    model_make(new, INDEX, 5, 3, 60);
    write_ok(fs, old);
    pc_sim_fs_fail_randomly(fs, PC_SIM_FS_UNLINK, 1000000, PC_E_IO);
    write_ok(fs, new);
    pc_sim_fs_fail_randomly(fs, PC_SIM_FS_UNLINK, 0, PC_E_IO);
    assert_true(exists(fs, file_of(10)));
    return fs;
}

static void newest_damaged__older_one_whole__is_taken_and_the_damage_named(void **state)
{
    (void)state;
    struct model old, new;
    struct pc_sim_fs *fs = make_two(&old, &new);
    assert_found(fs, &new);
    assert_true(pc_sim_fs_flip_bit(fs, file_of(INDEX), 20, 3));
    struct pc_snap_found found;
    struct pc_error error;
    assert_ok(pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, false, &found, &error));
    assert_reader_is(found.reader, &old);
    assert_int_equal(found.damages, 1);
    assert_non_null(strstr(found.where, "snap-0000000000000014.snp: damaged at offset 0"));
    pc_snap_reader_close(found.reader);
    assert_true(exists(fs, file_of(INDEX))); /* nobody has decided about it */
    assert_true(pc_sim_fs_flip_bit(fs, file_of(10), 20, 3));
    assert_found_none(fs, PC_E_CORRUPT);
    assert_int_equal(
        pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, true, &found, &error), PC_E_CORRUPT);
    assert_names(&error, 0);
    model_clear(&old);
    model_clear(&new);
    pc_sim_fs_delete(fs);
}

static void newest_unreadable__older_one_whole__is_no_answer(void **state)
{
    (void)state;
    struct model old, new;
    struct pc_sim_fs *fs = make_two(&old, &new);
    for (uint64_t skip = 0; skip < 3; skip++) { /* header, trailer, footer */
        pc_sim_fs_fail(fs, PC_SIM_FS_READ, skip, PC_E_IO);
        assert_found_none(fs, PC_E_IO);
    }
    assert_found(fs, &new);
    model_clear(&old);
    model_clear(&new);
    pc_sim_fs_delete(fs);
}

static void newest_of_another_version__older_one_whole__is_no_answer(void **state)
{
    (void)state;
    struct model old, new;
    struct pc_sim_fs *fs = make_two(&old, &new);
    uint8_t block[SNAP_HEADER_BYTES];
    struct snap_header header = {.base = new.meta.base};
    pc_snap_header_encode(&header, block);
    pc_put_u32(block + 8, SNAP_VERSION + 1);
    pc_put_u32(block + 72, pc_crc32c(0, pc_slice_of(block, 72)));
    assert_true(pc_sim_fs_overwrite(fs, file_of(INDEX), 0, pc_slice_of(block, sizeof block)));
    assert_found_none(fs, PC_E_VERSION);
    model_clear(&old);
    model_clear(&new);
    pc_sim_fs_delete(fs);
}

static void file__under_the_name_of_another__is_damage(void **state)
{
    (void)state;
    struct model model;
    struct pc_error error;
    model_make(&model, INDEX, 5, 3, 60);
    struct pc_sim_fs *fs = disk_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    write_ok(fs, &model);
    assert_ok(
        port->rename(port->context, file_of(INDEX), TEST_DIR "/snap-0000000000000015.snp", &error));
    assert_found_none(fs, PC_E_CORRUPT);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

/* ---- mixtures with every checksum right, as a program might make them, not a disk */
static void put_u32_at(struct pc_sim_fs *fs, uint64_t at, uint32_t v)
{
    uint8_t bytes[4];
    pc_put_u32(bytes, v);
    assert_true(pc_sim_fs_overwrite(fs, file_of(INDEX), at, pc_slice_of(bytes, sizeof bytes)));
}

static void read_at(struct pc_sim_fs *fs, uint64_t at, uint8_t *out, size_t len)
{
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    pc_fd fd;
    size_t got = 0;
    assert_ok(port->open_read(port->context, file_of(INDEX), &fd, &error));
    assert_ok(port->read_at(port->context, fd, at, out, len, &got, &error));
    assert_int_equal(got, len);
    port->close(port->context, fd);
}

/* Replaces chunk 1 by other bytes of the same length, and makes every checksum fit. */
static void forge_chunk(struct pc_sim_fs *fs, const struct model *model,
    const struct places *places, const struct pc_hash *before)
{
    uint8_t head[SNAP_HEAD_BYTES], footer[1024], trailer[SNAP_TRAILER_BYTES];
    struct pc_buf bytes = {0};
    pc_buf_append(&bytes, model->chunks[1].data, model->chunks[1].len);
    bytes.data[0] ^= 1;
    struct snap_head fields = {.bytes = (uint32_t)bytes.len, .number = 1, .before = *before};
    pc_snap_head_encode(&fields, pc_slice_of(bytes.data, bytes.len), head);
    const char *path = file_of(INDEX);
    assert_true(pc_sim_fs_overwrite(fs, path, places->chunk_at[1], pc_slice_of(head, sizeof head)));
    assert_true(pc_sim_fs_overwrite(
        fs, path, places->chunk_at[1] + sizeof head, pc_slice_of(bytes.data, bytes.len)));
    uint64_t table_at = places->chunk_at[model->chunks_n];
    put_u32_at(fs, table_at + SNAP_ROW_BYTES + 4, pc_get_u32(head + 12));
    size_t footer_len = (size_t)(places->bytes - SNAP_TRAILER_BYTES - table_at);
    assert_true(footer_len <= sizeof footer);
    read_at(fs, table_at, footer, footer_len);
    put_u32_at(fs, places->bytes - 16, pc_crc32c(0, pc_slice_of(footer, footer_len)));
    read_at(fs, places->bytes - SNAP_TRAILER_BYTES, trailer, sizeof trailer);
    put_u32_at(fs, places->bytes - 4, pc_crc32c(0, pc_slice_of(trailer, 60)));
    pc_buf_destroy(&bytes);
}

static void verify__mixture_with_right_checksums__is_found_by_the_chain(void **state)
{
    (void)state;
    struct model model;
    struct pc_error error;
    model_make(&model, INDEX, 5, 3, 60);
    for (unsigned chained = 0; chained < 2; chained++) {
        struct pc_sim_fs *fs = disk_new(1);
        write_ok(fs, &model);
        struct places places = places_of(fs, &model);
        struct pc_hash before = pc_snap_chain_begin(&model.meta.base);
        before = pc_snap_chain_next(&before, model_chunk(&model, 0));
        before.b[0] ^= chained == 0;
        forge_chunk(fs, &model, &places, &before);
        struct pc_snap_found found;
        assert_ok(pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, true, &found, &error));
        assert_int_equal(pc_snap_verify(found.reader, NULL, NULL, &error), PC_E_CORRUPT);
        assert_names(&error, places.chunk_at[chained == 0 ? 1 : 2]);
        pc_snap_reader_close(found.reader);
        pc_sim_fs_delete(fs);
    }
    model_clear(&model);
}

static pc_err stop_at_one(void *arg, uint32_t number, struct pc_slice chunk, struct pc_error *error)
{
    uint32_t *seen = arg;
    (*seen)++;
    return number == 1 ? pc_error_set(error, PC_E_AGAIN, "chunk of %zu bytes", chunk.len) : PC_OK;
}

static void verify__chunk_that_the_caller_refuses__ends_with_its_error(void **state)
{
    (void)state;
    struct model model;
    model_make(&model, INDEX, 5, 3, 60);
    struct pc_sim_fs *fs = disk_new(1);
    write_ok(fs, &model);
    struct pc_snap_found found;
    struct pc_error error;
    uint32_t seen = 0;
    assert_ok(pc_snap_find(pc_sim_fs_port(fs), TEST_DIR, true, &found, &error));
    assert_int_equal(pc_snap_verify(found.reader, stop_at_one, &seen, &error), PC_E_AGAIN);
    assert_int_equal(seen, 2);
    pc_snap_reader_close(found.reader);
    model_clear(&model);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(flip__of_any_bit__is_found_and_placed),
    PC_TEST(shortened__to_any_length__is_found),
    PC_TEST(newest_damaged__older_one_whole__is_taken_and_the_damage_named),
    PC_TEST(newest_unreadable__older_one_whole__is_no_answer),
    PC_TEST(newest_of_another_version__older_one_whole__is_no_answer),
    PC_TEST(file__under_the_name_of_another__is_damage),
    PC_TEST(verify__mixture_with_right_checksums__is_found_by_the_chain),
    PC_TEST(verify__chunk_that_the_caller_refuses__ends_with_its_error),
};
PC_TEST_MAIN("snap_damage", tests)
