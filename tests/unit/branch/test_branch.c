/* Branch files that nothing happens to. */
#include "fixture.h"

#define GOLDEN_HEADER                                                                              \
    "70636272616e636801000000000200004d0000000000000009090909090909090909090909090909"             \
    "01010101010101010101010101010101290000000000000002000000000000000505050505050505"             \
    "0505050505050505c80dc705a2010000056e6f646533000000000000000000000000000000000000"             \
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000"             \
    "be9431f900000000"
#define GOLDEN_RECORD                                                                              \
    "70634231180000000002000000000000be9431f941cac3e8010000002377f81695010502c40a9502"             \
    "c4016bc400c400c0942800c400c401760000000000000000"
#define GOLDEN_END                                                                                 \
    "706342310c00000038020000000000002377f8162cba2cfb03000000377e8d7a930101cf000001a2"             \
    "05c7f82800000000"

static struct pc_branch_writer *found_writer(struct pc_sim_fs *fs, uint64_t records)
{
    struct pc_branch_found found;
    struct pc_error error;
    assert_ok(pc_branch_find(pc_sim_fs_port(fs), TEST_DIR, &found, &error));
    assert_string_equal(found.where, "");
    assert_non_null(found.writer);
    assert_int_equal(found.records_n, records);
    for (size_t i = 0; i < found.records_n; i++) {
        assert_record_is(&found.records[i], i + 1);
    }
    struct pc_branch_writer *writer = found.writer;
    found.writer = NULL;
    pc_branch_found_clear(&found);
    return writer;
}

static void end_ok(struct pc_branch_writer *writer, struct pc_branch_info *info)
{
    struct pc_error error;
    assert_ok(pc_branch_writer_end(writer, ENDED_MS, info, &error));
    pc_branch_writer_close(writer);
}

static void branch__written_and_closed__is_read_back(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_error error;
    struct pc_branch_info info;
    struct pc_branch_writer *writer = begin_ok(fs, 0xab);
    put(writer, 1, 20);
    assert_ok(pc_branch_writer_sync(writer, &error));
    assert_int_equal(pc_branch_writer_last(writer), 20);
    put(writer, 21, 30);
    assert_ok(pc_branch_writer_sync(writer, &error));
    end_ok(writer, &info);
    assert_string_equal(info.name, "20261123T002101Z-abababab-30.kvr");
    assert_true(pc_branch_name_is_valid(info.name));
    assert_false(exists(fs, OPEN_PATH));
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(closed_of(fs).n, 1);
    assert_string_equal(closed_of(fs).names[0], info.name);
    assert_int_equal(assert_closed_whole(fs, info.name, 0xab), 30);
    struct pc_branch_reader *reader = closed_open(fs, info.name);
    while (pc_branch_reader_next(reader, NULL, &error) == PC_OK) {
    }
    assert_int_equal(pc_branch_reader_info(reader)->records, 30);
    assert_int_equal(pc_branch_reader_info(reader)->ended_ms, ENDED_MS);
    assert_int_equal(pc_branch_reader_info(reader)->bytes, info.bytes);
    pc_branch_reader_close(reader);
    pc_sim_fs_delete(fs);
}

static void branch__no_record__leaves_no_file(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_error error;
    struct pc_branch_info info;
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    assert_ok(pc_branch_writer_resume(writer, BEGUN_MS, &error));
    end_ok(writer, &info);
    assert_string_equal(info.name, "");
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_false(exists(fs, OPEN_PATH));
    assert_int_equal(closed_of(fs).n, 0);
    pc_sim_fs_delete(fs);
}

static void branch__process_ends__is_found_and_gone_on_with(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_error error;
    struct pc_branch_info info;
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    put(writer, 1, 3);
    assert_ok(pc_branch_writer_sync(writer, &error));
    put(writer, 4, 5); /* nobody was told of these */
    pc_branch_writer_close(writer);
    writer = found_writer(fs, 3);
    assert_head_is(pc_branch_writer_head(writer), 1);
    assert_ok(pc_branch_writer_resume(writer, ENDED_MS - 1, &error));
    put(writer, 4, 9);
    assert_ok(pc_branch_writer_sync(writer, &error));
    pc_branch_writer_close(writer);
    writer = found_writer(fs, 9);
    end_ok(writer, &info);
    assert_int_equal(assert_closed_whole(fs, info.name, 1), 9);
    pc_sim_fs_delete(fs);
}

static void resume__disk_full__may_be_tried_again(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_error error;
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    put(writer, 1, 3);
    assert_ok(pc_branch_writer_sync(writer, &error));
    pc_branch_writer_close(writer);
    writer = found_writer(fs, 3);
    pc_sim_fs_set_capacity(fs, pc_sim_fs_used(fs));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pc_branch_writer_resume(writer, ENDED_MS - 1, &error), PC_E_NO_SPACE);
    }
    pc_sim_fs_set_capacity(fs, UINT64_MAX);
    assert_ok(pc_branch_writer_resume(writer, ENDED_MS - 1, &error));
    put(writer, 4, 5);
    assert_ok(pc_branch_writer_sync(writer, &error));
    pc_branch_writer_close(writer);
    writer = found_writer(fs, 5);
    pc_branch_writer_close(writer);
    pc_sim_fs_delete(fs);
}

static void begin__one_is_open__is_refused(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_branch_head head = head_of(2);
    struct pc_branch_writer *writer = begin_ok(fs, 1), *other = NULL;
    struct pc_error error;
    put(writer, 1, 2);
    assert_ok(pc_branch_writer_sync(writer, &error));
    pc_branch_writer_close(writer);
    assert_int_equal(
        pc_branch_writer_begin(pc_sim_fs_port(fs), TEST_DIR, &head, &other, &error), PC_E_EXISTS);
    assert_ok(pc_branch_settle(pc_sim_fs_port(fs), TEST_DIR, ENDED_MS, &error));
    assert_ok(pc_branch_settle(pc_sim_fs_port(fs), TEST_DIR, ENDED_MS, &error));
    assert_int_equal(assert_closed_whole(fs, closed_of(fs).names[0], 1), 2);
    assert_ok(pc_branch_writer_begin(pc_sim_fs_port(fs), TEST_DIR, &head, &other, &error));
    pc_branch_writer_close(other);
    pc_sim_fs_delete(fs);
}

static void reader__place_kept__goes_on_there(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_branch_info info;
    struct pc_error error;
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    put(writer, 1, 12);
    end_ok(writer, &info);
    struct pc_branch_place place = {0};
    for (uint64_t n = 1; n <= 12; n++) {
        struct pc_branch_record record;
        struct pc_branch_reader *reader = closed_open(fs, info.name);
        pc_branch_reader_seek(reader, &place);
        assert_ok(pc_branch_reader_next(reader, &record, &error));
        assert_record_is(&record, n);
        pc_branch_record_clear(&record);
        place = pc_branch_reader_place(reader);
        pc_branch_reader_close(reader);
    }
    struct pc_branch_reader *reader = closed_open(fs, info.name);
    pc_branch_reader_seek(reader, &place);
    assert_int_equal(pc_branch_reader_next(reader, NULL, &error), PC_E_NOT_FOUND);
    assert_int_equal(pc_branch_reader_info(reader)->records, 12);
    assert_true(pc_branch_reader_info(reader)->is_ended);
    pc_branch_reader_close(reader);
    pc_sim_fs_delete(fs);
}

static void remove__closed_branch__is_gone_for_good(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    struct pc_branch_info info;
    struct pc_error error;
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    put(writer, 1, 2);
    end_ok(writer, &info);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    assert_int_equal(pc_branch_remove(port, TEST_DIR, "../identity", &error), PC_E_NOT_FOUND);
    assert_ok(pc_branch_remove(port, TEST_DIR, info.name, &error));
    assert_int_equal(pc_branch_remove(port, TEST_DIR, info.name, &error), PC_E_NOT_FOUND);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_int_equal(closed_of(fs).n, 0);
    pc_sim_fs_delete(fs);
}

/* Noted once, whatever the power does, and forgotten with the file. */
static void note__of_a_replay__is_taken_once_and_lasts(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_branch_info info;
    struct pc_error error;
    char path[256];
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    put(writer, 1, 2);
    end_ok(writer, &info);
    assert_true(pc_branch_path(TEST_DIR, info.name, path, sizeof path));
    assert_int_equal(pc_branch_note_replay(port, TEST_DIR "/none", &error), PC_E_NOT_FOUND);
    assert_false(pc_branch_is_replayed(port, TEST_DIR, info.name));
    pc_sim_fs_fail(fs, PC_SIM_FS_SYNC_DIR, 0, PC_E_IO);
    assert_int_equal(pc_branch_note_replay(port, path, &error), PC_E_IO);
    /* The one before was told that nothing is sure; this one, that it was noted. */
    assert_int_equal(pc_branch_note_replay(port, path, &error), PC_E_EXISTS);
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_true(pc_branch_is_replayed(port, TEST_DIR, info.name));
    assert_int_equal(closed_of(fs).n, 1);
    assert_ok(pc_branch_remove(port, TEST_DIR, info.name, &error));
    assert_false(pc_branch_is_replayed(port, TEST_DIR, info.name));
    assert_ok(pc_branch_writer_begin(port, TEST_DIR, &info.head, &writer, &error));
    put(writer, 1, 2);
    end_ok(writer, &info);
    assert_ok(pc_branch_note_replay(port, path, &error));
    pc_sim_fs_crash(fs, PC_SIM_FS_LOSE_ALL);
    assert_true(pc_branch_is_replayed(port, TEST_DIR, info.name));
    pc_sim_fs_delete(fs);
}

static void name__not_one_of_ours__is_told(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ".", "..", "20261123T002101Z-abababab-30",
        "20261123T002101Z-abababab-030.kvr", "20261123T002101Z-abababab-.kvr",
        "20261123T002101Z-abababaG-3.kvr", "20261123T002101Z-ABABABAB-3.kvr",
        "20261123T002101-abababab-3.kvr", "x20261123T002101Z-abababab-3.kvr",
        "20261123T002101Z-abababab-3.kvr.damaged", "20261123T002101Z-abababab-3.kvr.replayed",
        "20261123T002101Z-abababab-3.kvr/..",
        "20261123T002101Z-abababab-3333333333333333333333333333333333333.kvr"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(pc_branch_name_is_valid(bad[i]));
    }
    assert_true(pc_branch_name_is_valid("20261123T002101Z-01abcdef-18446744073709551615.kvr"));
}

/* The bytes of a small file: formats change by intent only. */
static void format__golden_file__is_what_it_was(void **state)
{
    (void)state;
    struct pc_sim_fs *fs = disk_new(1);
    const struct pc_fs *port = pc_sim_fs_port(fs);
    struct pc_error error;
    struct pc_branch_info info;
    struct pc_branch_writer *writer = begin_ok(fs, 1);
    struct pc_command command = {.op = PC_OP_DELETE, .key = pc_slice_str("k")};
    struct pc_branch_record record = {.number = 1,
        .stamp_ms = 5,
        .boot = 2,
        .command = command_blob(&command),
        .has_before = true,
        .before_version = 40,
        .before = blob_of(pc_slice_str("v"))};
    pc_branch_writer_put(writer, &record);
    pc_branch_record_clear(&record);
    end_ok(writer, &info);
    char path[256];
    uint8_t bytes[2048];
    char hex[512];
    size_t got = 0;
    pc_fd fd;
    assert_true(pc_branch_path(TEST_DIR, info.name, path, sizeof path));
    assert_ok(port->open_read(port->context, path, &fd, &error));
    assert_ok(port->read_at(port->context, fd, 0, bytes, sizeof bytes, &got, &error));
    port->close(port->context, fd);
    assert_int_equal(got, info.bytes);
    pc_hex_encode(bytes, 168, hex);
    assert_string_equal(hex, GOLDEN_HEADER);
    pc_hex_encode(bytes + 512, 64, hex);
    assert_string_equal(hex, GOLDEN_RECORD);
    pc_hex_encode(bytes + 1024, got - 1024, hex);
    assert_string_equal(hex, GOLDEN_END);
    pc_sim_fs_delete(fs);
}

static void assert_line(struct pc_buf *line, const char *want)
{
    pc_buf_append_u8(line, 0);
    assert_string_equal((const char *)line->data, want);
    pc_buf_reset(line);
}

static void json__each_kind_of_line__says_all(void **state)
{
    (void)state;
    struct pc_branch_head head = head_of(0xab);
    struct pc_buf out = {0};
    pc_branch_json_head(&head, &out);
    assert_line(&out,
        "{\"branch\":\"abababababababababababababababab\",\"node\":\"node3\","
        "\"id\":\"000000000000004d\",\"history\":\"09090909090909090909090909090909\","
        "\"base\":41,\"base_term\":2,\"begun_ms\":1795393261000}\n");
    struct pc_command command = {.op = PC_OP_SET,
        .has_ttl = true,
        .ttl_ms = 700,
        .key = pc_slice_str("k\xff"),
        .value = pc_slice_str("v\""),
        .content_type = pc_slice_str("text/plain")};
    struct pc_branch_record record = {
        .number = 3, .stamp_ms = 5, .boot = 2, .command = command_blob(&command)};
    pc_branch_json_record(&head, &record, &out);
    assert_line(&out,
        "{\"number\":3,\"time_ms\":5,\"request\":\"000000000000004d/2/3\",\"op\":\"set\","
        "\"key_b64\":\"a/8=\",\"value\":\"v\\\"\",\"content_type\":\"text/plain\",\"ttl_ms\":700,"
        "\"before\":null}\n");
    record.has_before = true;
    record.before_version = 17;
    record.before_deadline_ms = 20;
    pc_branch_json_record(&head, &record, &out);
    assert_non_null(strstr((char *)out.data, "\"before\":{\"version\":17,\"deadline_ms\":20}}\n"));
    pc_buf_reset(&out);
    record.before = blob_of(pc_slice_str("w"));
    memcpy(record.before_type, "a/b", 4);
    pc_branch_json_record(&head, &record, &out);
    pc_buf_append_u8(&out, 0);
    assert_non_null(strstr((char *)out.data, "\"before\":{\"version\":17,\"deadline_ms\":20,"
                                             "\"value\":\"w\",\"content_type\":\"a/b\"}}"));
    pc_buf_reset(&out);
    pc_branch_record_clear(&record);
    struct pc_branch_info info = {.records = 2, .last = 5, .is_ended = true, .ended_ms = 9};
    pc_branch_json_end(&info, &out);
    assert_line(&out, "{\"end\":true,\"records\":2,\"lost\":3,\"closed_ms\":9}\n");
    info.is_ended = false;
    pc_branch_json_end(&info, &out);
    assert_line(&out, "{\"end\":true,\"records\":2,\"lost\":3,\"closed_ms\":null}\n");
    pc_buf_destroy(&out);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(branch__written_and_closed__is_read_back),
    PC_TEST(branch__no_record__leaves_no_file),
    PC_TEST(branch__process_ends__is_found_and_gone_on_with),
    PC_TEST(resume__disk_full__may_be_tried_again),
    PC_TEST(begin__one_is_open__is_refused),
    PC_TEST(reader__place_kept__goes_on_there),
    PC_TEST(remove__closed_branch__is_gone_for_good),
    PC_TEST(note__of_a_replay__is_taken_once_and_lasts),
    PC_TEST(name__not_one_of_ours__is_told),
    PC_TEST(format__golden_file__is_what_it_was),
    PC_TEST(json__each_kind_of_line__says_all),
};
PC_TEST_MAIN("branch", tests)
