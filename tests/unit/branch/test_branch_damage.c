/* Bits that rot, in a branch that is open and in closed ones. */
#include "fixture.h"

#define RECORDS 12

/* Records 1..RECORDS, four by each sync. Where the frame of each begins goes to at[]. */
static void write_branch(struct pc_sim_fs *fs, bool closes, uint64_t at[RECORDS + 2])
{
    struct pc_error error;
    struct pc_branch_info info;
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    for (uint64_t n = 1; n <= RECORDS; n++) {
        at[n] = pc_branch_next_sector(writer->end) + pc_branch_writer_waiting(writer);
        put(writer, n, n);
        if (n % 4 == 0) {
            assert_ok(pc_branch_writer_sync(writer, &error));
        }
    }
    at[RECORDS + 1] = writer->end;
    if (closes) {
        assert_ok(pc_branch_writer_end(writer, ENDED_MS, &info, &error));
    }
    pc_branch_writer_close(writer);
}

/* Reads a file past all damage; which records there are goes to seen[]. */
static struct pc_branch_info read_all(
    struct pc_branch_reader *reader, bool seen[RECORDS + 1], unsigned *damages)
{
    struct pc_error error = {0};
    pc_err err = PC_OK;
    memset(seen, 0, RECORDS + 1);
    *damages = 0;
    while (err == PC_OK) {
        struct pc_branch_record record;
        err = pc_branch_reader_next(reader, &record, &error);
        if (err == PC_E_CORRUPT) {
            assert_non_null(strstr(error.text, "damaged at byte"));
            pc_branch_reader_skip(reader);
            (*damages)++;
            err = PC_OK;
        } else if (err == PC_OK) {
            assert_in_range(record.number, 1, RECORDS);
            assert_record_is(&record, record.number);
            seen[record.number] = true;
            pc_branch_record_clear(&record);
        }
    }
    assert_int_equal(err, PC_E_NOT_FOUND);
    return *pc_branch_reader_info(reader);
}

/* Only what the flipped bit stands in is lost, and that is noticed. */
static void closed__one_bit_flipped__loses_one_record_and_says_so(void **state)
{
    (void)state;
    uint64_t at[RECORDS + 2];
    struct pc_sim_fs *fs = disk_new(1);
    write_branch(fs, true, at);
    const char *name = closed_of(fs).names[0];
    char path[256];
    struct closed closed = closed_of(fs);
    name = closed.names[0];
    assert_true(pc_branch_path(TEST_DIR, name, path, sizeof path));
    for (uint64_t n = 1; n <= RECORDS; n++) {
        for (uint64_t offset = at[n]; offset < at[n + 1]; offset += 1 + (at[n + 1] - at[n]) / 9) {
            bool seen[RECORDS + 1];
            unsigned damages;
            assert_true(pc_sim_fs_flip_bit(fs, path, offset, (unsigned)(offset % 8)));
            struct pc_branch_reader *reader = closed_open(fs, name);
            struct pc_branch_info info = read_all(reader, seen, &damages);
            pc_branch_reader_close(reader);
            assert_true(pc_sim_fs_flip_bit(fs, path, offset, (unsigned)(offset % 8)));
            bool is_padding = damages == 0; /* zeros behind a body: they say nothing */
            for (uint64_t k = 1; k <= RECORDS; k++) {
                assert_int_equal(seen[k], k != n || is_padding);
            }
            assert_true(info.is_ended);
            assert_int_equal(info.last - info.records, is_padding ? 0 : 1);
        }
    }
    pc_sim_fs_delete(fs);
}

static void open__header_damaged__is_set_aside(void **state)
{
    (void)state;
    uint64_t at[RECORDS + 2];
    struct pc_branch_found found;
    struct pc_error error;
    struct pc_sim_fs *fs = disk_new(1);
    for (unsigned i = 1; i <= 3; i++) {
        write_branch(fs, false, at);
        assert_true(pc_sim_fs_flip_bit(fs, OPEN_PATH, 60, 3));
        assert_ok(pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error));
        assert_null(found.writer);
        assert_int_equal(found.records_n, 0);
        assert_string_equal(found.where, "branch.open: damaged at byte 0; set aside in rollback");
        assert_false(exists(fs, OPEN_PATH));
    }
    assert_true(exists(fs, TEST_DIR "/rollback/unreadable-1.damaged"));
    assert_true(exists(fs, TEST_DIR "/rollback/unreadable-3.damaged"));
    pc_sim_fs_delete(fs);
}

static void open__version_unknown__is_refused_and_left(void **state)
{
    (void)state;
    uint64_t at[RECORDS + 2];
    uint8_t block[BRANCH_HEADER_BYTES];
    struct pc_branch_head head = head_of(1);
    struct pc_branch_found found;
    struct pc_error error;
    struct pc_sim_fs *fs = disk_new(1);
    write_branch(fs, false, at);
    pc_branch_header_encode(&head, block);
    block[8] = 9;
    pc_put_u32(block + 160, pc_crc32c(0, pc_slice_of(block, 160)));
    assert_true(pc_sim_fs_overwrite(fs, OPEN_PATH, 0, pc_slice_of(block, sizeof block)));
    assert_int_equal(pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error), PC_E_VERSION);
    assert_non_null(strstr(error.text, "version 9"));
    assert_true(exists(fs, OPEN_PATH));
    pc_sim_fs_delete(fs);
}

/* Damaged in what was durable when a later record was written: closed, with all that can be read.
 */
static bool find_damaged(uint64_t n, uint64_t offset_in_frame, uint64_t cut_steps)
{
    bool was_off = false;
    uint64_t at[RECORDS + 2];
    struct pc_branch_found found;
    struct pc_error error;
    bool seen[RECORDS + 1];
    unsigned damages;
    struct pc_sim_fs *fs = disk_new(n * 100 + cut_steps);
    write_branch(fs, false, at);
    assert_true(pc_sim_fs_flip_bit(fs, OPEN_PATH, at[n] + offset_in_frame, 1));
    if (cut_steps > 0) {
        pc_sim_fs_power_off_after(fs, cut_steps);
        if (pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error) == PC_OK) {
            pc_branch_found_clear(&found);
        }
        was_off = pc_sim_fs_is_off(fs);
        pc_sim_fs_crash(fs, PC_SIM_FS_POWER_CUT);
    }
    bool was_left = exists(fs, OPEN_PATH);
    assert_ok(pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error));
    assert_null(found.writer);
    if (was_left) {
        assert_non_null(strstr(found.where, "branch.open: damaged at byte"));
        assert_non_null(strstr(found.where, "set aside in rollback"));
    }
    struct closed closed = closed_of(fs);
    assert_int_equal(closed.n, 1);
    assert_string_equal(closed.names[0], "20261123T002101Z-01010101-11.kvr");
    assert_true(exists(fs, TEST_DIR "/rollback/20261123T002101Z-01010101-11.damaged"));
    assert_false(exists(fs, OPEN_PATH));
    struct pc_branch_reader *reader = closed_open(fs, closed.names[0]);
    struct pc_branch_info info = read_all(reader, seen, &damages);
    pc_branch_reader_close(reader);
    assert_int_equal(damages, 0);
    assert_int_equal(info.records, RECORDS - 1);
    assert_int_equal(info.last, RECORDS);
    for (uint64_t k = 1; k <= RECORDS; k++) {
        assert_int_equal(seen[k], k != n);
    }
    pc_sim_fs_delete(fs);
    return was_off;
}

static void open__record_damaged__is_closed_with_the_others(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 8; n++) {
        (void)find_damaged(n, 5, 0);
        (void)find_damaged(n, BRANCH_FRAME_BYTES + 1, 0);
    }
    uint64_t steps = 1;
    while (find_damaged(3, BRANCH_FRAME_BYTES + 1, steps)) {
        steps++;
    }
    assert_true(steps > 10);
}

/* In the last sync's records nothing tells damage from a torn tail: the file ends there. */
static void open__last_sync_damaged__ends_there(void **state)
{
    (void)state;
    uint64_t at[RECORDS + 2];
    struct pc_branch_found found;
    struct pc_error error;
    struct pc_sim_fs *fs = disk_new(1);
    write_branch(fs, false, at);
    assert_true(pc_sim_fs_flip_bit(fs, OPEN_PATH, at[10] + 40, 1));
    assert_ok(pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error));
    assert_string_equal(found.where, "");
    assert_non_null(found.writer);
    assert_int_equal(found.records_n, 9);
    pc_branch_found_clear(&found);
    pc_sim_fs_delete(fs);
}

/* A client may store the bytes of this very file as a value. */
static void open__frames_inside_a_value__are_no_frames(void **state)
{
    (void)state;
    uint64_t at[RECORDS + 2];
    uint8_t copy[8192];
    size_t got = 0;
    pc_fd fd;
    struct pc_branch_found found;
    struct pc_error error;
    struct pc_sim_fs *fs = disk_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    write_branch(fs, false, at);
    assert_ok(port->open_read(port->context, OPEN_PATH, &fd, &error));
    assert_ok(port->read_at(port->context, fd, 0, copy, sizeof copy, &got, &error));
    port->close(port->context, fd);
    assert_ok(pc_branch_find(port, TEST_DIR, &found, &error));
    struct pc_command command = {
        .op = PC_OP_SET, .key = pc_slice_str("k"), .value = pc_slice_of(copy, got)};
    struct pc_branch_record record = {
        .number = RECORDS + 1, .stamp_ms = 9999, .command = command_blob(&command)};
    uint64_t frame_at = pc_branch_next_sector(found.writer->end);
    pc_branch_writer_put(found.writer, &record);
    pc_branch_record_clear(&record);
    assert_ok(pc_branch_writer_sync(found.writer, &error));
    pc_branch_found_clear(&found);
    assert_true(pc_sim_fs_flip_bit(fs, OPEN_PATH, frame_at + 1, 1)); /* it never got there */
    assert_ok(pc_branch_find(port, TEST_DIR, &found, &error));
    assert_string_equal(found.where, "");
    assert_int_equal(found.records_n, RECORDS);
    pc_branch_found_clear(&found);
    pc_sim_fs_delete(fs);
}

/* What the first bad frame of a sync is, only the next sync tells. */
static void closed__long_sync_damaged_in_front__is_looked_through_in_pieces(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    struct pc_branch_info info;
    struct pc_error error;
    char path[256];
    put(writer, 1, 2000);
    assert_ok(pc_branch_writer_end(writer, ENDED_MS, &info, &error));
    pc_branch_writer_close(writer);
    assert_true(pc_branch_path(TEST_DIR, info.name, path, sizeof path));
    assert_true(pc_sim_fs_flip_bit(fs, path, BRANCH_HEADER_BYTES + 3, 1));
    struct pc_branch_reader *reader = closed_open(fs, info.name);
    unsigned pieces = 0;
    for (bool goes_on = true; goes_on; pieces++) {
        uint64_t before = pc_sim_fs_tries(fs, PC_SIM_FS_READ);
        goes_on = pc_branch_reader_look(reader, 65536);
        assert_in_range(pc_sim_fs_tries(fs, PC_SIM_FS_READ) - before, 0, 1000);
    }
    /* Once to know what it is, and once to read it. */
    assert_true(pieces > 2 * (info.bytes / (3 * 65536)));
    assert_int_equal(pc_branch_reader_info(reader)->records, 1999);
    assert_int_equal(pc_branch_reader_info(reader)->last, 2000);
    assert_true(pc_branch_reader_info(reader)->is_ended);
    pc_branch_reader_close(reader);
    pc_sim_fs_delete(fs);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(closed__one_bit_flipped__loses_one_record_and_says_so),
    PC_TEST(open__header_damaged__is_set_aside),
    PC_TEST(open__version_unknown__is_refused_and_left),
    PC_TEST(open__record_damaged__is_closed_with_the_others),
    PC_TEST(open__last_sync_damaged__ends_there),
    PC_TEST(open__frames_inside_a_value__are_no_frames),
    PC_TEST(closed__long_sync_damaged_in_front__is_looked_through_in_pieces),
};
PC_TEST_MAIN("branch_damage", tests)
