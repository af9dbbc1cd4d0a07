/* The text form of histories: what is read, what is refused and with which words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lincheck/history.h"
#include "support/test.h"

#define PUT "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"v\",\"status\":\"ok\","
#define GET "{\"client\":1,\"op\":\"get\",\"key\":\"k\",\"status\":\"ok\","
#define TIMES "\"t0_us\":1,\"t1_us\":2}"

static struct lin_record record, back;
static char line[LIN_LINE_BYTES_MAX + 1], why[256];

static bool parse(const char *text)
{
    why[0] = '\0';
    return lin_record_parse(text, strlen(text), &record, why, sizeof why);
}

static void assert_refused(const char *text, const char *part)
{
    if (parse(text) || strstr(why, part) == NULL) {
        fail_msg("%s: \"%s\" says nothing of \"%s\"", text, why, part);
    }
}

static void record__every_field__survives_writing_and_reading(void **state)
{
    (void)state;
    record = (struct lin_record){.kind = LIN_CAS,
        .status = LIN_FAIL,
        .has_value = true,
        .is_refused = true,
        .client = 7,
        .session = 9,
        .t0_us = 5,
        .t1_us = 6,
        .index = 12,
        .expect = 11,
        .ttl_ms = 500,
        .key = "a \"quoted\" \\ key\n\x01\xc3\xa4",
        .value = "",
        .node = "n1",
        .id = "x-1"};
    size_t len = lin_record_format(&record, line, sizeof line);
    assert_true(len > 0 && line[len - 1] == '\n');
    assert_true(lin_record_parse(line, len - 1, &back, why, sizeof why));
    assert_memory_equal(&back, &record, sizeof back);
}

static void record__each_kind__survives_writing_and_reading(void **state)
{
    (void)state;
    for (enum lin_kind kind = LIN_GET; kind <= LIN_INCR; kind++) {
        memset(&record, 0, sizeof record);
        record.kind = kind;
        record.has_value = kind != LIN_DELETE;
        record.version = 3;
        record.index = kind == LIN_GET ? 4 : 0;
        record.is_local = record.is_final = kind == LIN_GET;
        record.delta = kind == LIN_INCR ? -12 : 0;
        memcpy(record.key, "k", 2);
        memcpy(record.value, "5", record.has_value ? 2 : 0);
        size_t len = lin_record_format(&record, line, sizeof line);
        assert_true(len > 0);
        assert_true(lin_record_parse(line, len - 1, &back, why, sizeof why));
        assert_memory_equal(&back, &record, sizeof back);
    }
}

static void record__longest_strings__fit_the_longest_line(void **state)
{
    (void)state;
    memset(&record, 0, sizeof record);
    record.kind = LIN_PUT;
    record.has_value = true;
    memset(record.key, 1, LIN_KEY_BYTES_MAX);
    memset(record.value, 1, LIN_VALUE_BYTES_MAX);
    memset(record.node, 1, LIN_NAME_BYTES_MAX);
    memset(record.id, 1, LIN_NAME_BYTES_MAX);
    size_t len = lin_record_format(&record, line, sizeof line);
    assert_true(len > 0);
    assert_true(lin_record_parse(line, len - 1, &back, why, sizeof why));
    assert_memory_equal(&back, &record, sizeof back);
    assert_int_equal(lin_record_format(&record, line, len - 1), 0);
}

static void record__blanks_unknown_fields_and_escapes__are_read(void **state)
{
    (void)state;
    assert_true(
        parse(" { \"http\" : -1.5e3 , \"x\":null,\"y\":\"\\u0041\",\"z\":false,\"client\" : 1 ,"
              "\"op\":\"put\",\"key\":\"\\u00e4\\ud83d\\ude00\\/\\t\",\"value\":\"v\","
              "\"status\":\"info\"," TIMES " "));
    assert_string_equal(record.key, "\xc3\xa4\xf0\x9f\x98\x80/\t");
    assert_int_equal(record.status, LIN_INFO);
}

static void record__missing_key__is_null_and_not_empty(void **state)
{
    (void)state;
    assert_true(parse(GET "\"value\":null," TIMES));
    assert_false(record.has_value);
    assert_true(parse(GET "\"value\":\"\"," TIMES));
    assert_true(record.has_value);
}

static void record__bad_form__is_refused_with_its_reason(void **state)
{
    (void)state;
    assert_refused("", "object");
    assert_refused("[]", "object");
    assert_refused("{}", "name");
    assert_refused(PUT TIMES "x", "behind");
    assert_refused(PUT "\"t0_us\":1,\"t1_us\":2", "brace");
    assert_refused(PUT "\"t0_us\":1,}", "name");
    assert_refused(PUT "\"id\":\"open", "closing quote");
    assert_refused(PUT "\"id\":\"\\x\"," TIMES, "escape");
    assert_refused(PUT "\"id\":\"\\ud800\"," TIMES, "escape");
    assert_refused(PUT "\"id\":\"\\u0000\"," TIMES, "escape");
    assert_refused(PUT "\"id\":\"\\u12\"," TIMES, "escape");
    assert_refused(PUT "\"id\":\"a\x01\"," TIMES, "control");
    assert_refused(PUT "\"id\" 1," TIMES, "colon");
    assert_refused(PUT "\"http\":{}," TIMES, "scalar");
    assert_refused(PUT "\"client\":1," TIMES, "twice");
}

static void record__bad_field__is_refused_by_its_name(void **state)
{
    (void)state;
    assert_refused(PUT "\"version\":-1," TIMES, "version");
    assert_refused(PUT "\"version\":1.5," TIMES, "version");
    assert_refused(PUT "\"version\":99999999999999999999," TIMES, "version");
    assert_refused(PUT "\"version\":\"1\"," TIMES, "version");
    assert_refused(PUT "\"session\":4294967296," TIMES, "session");
    assert_refused(PUT "\"delta\":1000000000000000001," TIMES, "delta");
    assert_refused(PUT "\"consistency\":\"mostly\"," TIMES, "consistency");
    assert_refused(PUT "\"consistency\":\"local\"," TIMES, "of a get");
    assert_refused(PUT "\"final\":1," TIMES, "final");
    assert_refused(PUT "\"refused\":true," TIMES, "refused");
    assert_refused(PUT "\"t0_us\":3,\"t1_us\":2}", "before t0_us");
    assert_refused(PUT "\"t0_us\":3}", "t1_us is missing");
    assert_refused(GET TIMES, "value is missing");
    assert_refused(GET "\"value\":null,\"version\":3," TIMES, "no version");
    assert_refused(
        "{\"client\":1,\"op\":\"cas\",\"key\":\"k\",\"value\":\"v\",\"status\":\"ok\"," TIMES,
        "expect is missing");
    assert_refused(
        "{\"client\":1,\"op\":\"incr\",\"key\":\"k\",\"status\":\"ok\"," TIMES, "delta is missing");
    assert_refused("{\"client\":1,\"op\":\"incr\",\"key\":\"k\",\"delta\":1,\"value\":\"x\","
                   "\"status\":\"ok\"," TIMES,
        "decimal");
    assert_refused(
        "{\"client\":1,\"op\":\"put\",\"key\":\"\",\"value\":\"v\",\"status\":\"ok\"," TIMES,
        "key is empty");
    assert_refused("{\"client\":1,\"op\":\"move\",\"key\":\"k\",\"status\":\"ok\"," TIMES, "op");
    assert_refused(
        "{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":null,\"status\":\"ok\"," TIMES,
        "value");
    assert_refused("{\"client\":1,\"op\":\"put\",\"key\":\"k\",\"value\":\"v\",\"status\":\"info\","
                   "\"version\":3," TIMES,
        "version");
}

static void record__string_over_its_limit__is_refused(void **state)
{
    (void)state;
    char text[LIN_KEY_BYTES_MAX + 256];
    char key[LIN_KEY_BYTES_MAX + 2];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    (void)snprintf(text, sizeof text,
        "{\"client\":1,\"op\":\"delete\",\"key\":\"%s\",\"status\":\"ok\"," TIMES, key);
    assert_refused(text, "key is longer");
    key[LIN_KEY_BYTES_MAX] = '\0';
    (void)snprintf(text, sizeof text,
        "{\"client\":1,\"op\":\"delete\",\"key\":\"%s\",\"status\":\"ok\"," TIMES, key);
    assert_true(parse(text));
}

/* Every prefix of a good line, and the line with every byte changed: an answer, and no more. */
static void record__cut_and_changed_lines__never_read_beyond(void **state)
{
    (void)state;
    const char *good =
        PUT "\"id\":\"\\u00e4\\n\",\"version\":12,\"delta\":-3,\"final\":false," TIMES;
    size_t len = strlen(good);
    for (size_t i = 0; i < len; i++) {
        char *copy = malloc(i + 1); /* its end is where a sanitizer watches */
        assert_non_null(copy);
        memcpy(copy, good, i);
        assert_false(lin_record_parse(copy, i, &record, why, sizeof why));
        free(copy);
        for (int c = 0; c < 256; c += 5) {
            copy = malloc(len);
            assert_non_null(copy);
            memcpy(copy, good, len);
            copy[i] = (char)c;
            (void)lin_record_parse(copy, len, &record, why, sizeof why);
            free(copy);
        }
    }
}

/* ---- files */
static void file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void assert_file_refused(const char *path, const char *text, const char *part)
{
    struct lin_history h;
    lin_history_create(&h);
    file_write(path, text);
    assert_false(lin_history_read(&h, path, why, sizeof why));
    if (strstr(why, part) == NULL) {
        fail_msg("\"%s\" says nothing of \"%s\"", why, part);
    }
    lin_history_destroy(&h);
}

static void history__bad_line__is_named_by_file_and_number(void **state)
{
    (void)state;
    char dir[128], path[160];
    pc_test_dir_make(dir);
    (void)snprintf(path, sizeof path, "%s/h", dir);
    assert_file_refused(path, PUT TIMES "\n" PUT "}\n", "/h:2: a field's name");
    assert_file_refused(path, PUT TIMES "\n" PUT TIMES, "/h:2: the file ends within a line");
    assert_file_refused(path, PUT TIMES "\n\n", "/h:2: no JSON object");
    pc_test_dir_remove(dir);
    struct lin_history h;
    lin_history_create(&h);
    assert_false(lin_history_read(&h, path, why, sizeof why));
    assert_non_null(strstr(why, "No such file"));
    lin_history_destroy(&h);
}

static void history__several_files__are_one(void **state)
{
    (void)state;
    char dir[128], path[160];
    struct lin_history h;
    lin_history_create(&h);
    pc_test_dir_make(dir);
    (void)snprintf(path, sizeof path, "%s/h", dir);
    file_write(path, PUT TIMES "\n" GET "\"value\":\"v\"," TIMES "\n");
    assert_true(lin_history_read(&h, path, why, sizeof why));
    assert_true(lin_history_read(&h, path, why, sizeof why));
    assert_int_equal(h.n, 4);
    assert_int_equal(h.op[3].line, 2);
    assert_int_equal(h.op[3].file, 1);
    assert_true(h.op[0].key != 0 && h.op[0].key == h.op[3].key);
    assert_true(h.op[0].value == h.op[3].value && h.op[0].value != h.op[0].key);
    assert_string_equal(lin_history_text(&h, h.op[3].value), "v");
    lin_history_destroy(&h);
    pc_test_dir_remove(dir);
}

static void history__many_strings__keep_their_names(void **state)
{
    (void)state;
    struct lin_history h;
    lin_history_create(&h);
    memset(&record, 0, sizeof record);
    record.kind = LIN_DELETE;
    for (unsigned i = 0; i < 5000; i++) {
        (void)snprintf(record.key, sizeof record.key, "key-%u", i % 2500);
        assert_true(lin_history_add(&h, &record, i));
    }
    for (unsigned i = 0; i < 5000; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "key-%u", i % 2500);
        assert_string_equal(lin_history_text(&h, h.op[i].key), text);
        assert_true(h.op[i].key == h.op[(i + 2500) % 5000].key);
    }
    lin_history_destroy(&h);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(record__every_field__survives_writing_and_reading),
    PC_TEST(record__each_kind__survives_writing_and_reading),
    PC_TEST(record__longest_strings__fit_the_longest_line),
    PC_TEST(record__blanks_unknown_fields_and_escapes__are_read),
    PC_TEST(record__missing_key__is_null_and_not_empty),
    PC_TEST(record__bad_form__is_refused_with_its_reason),
    PC_TEST(record__bad_field__is_refused_by_its_name),
    PC_TEST(record__string_over_its_limit__is_refused),
    PC_TEST(record__cut_and_changed_lines__never_read_beyond),
    PC_TEST(history__bad_line__is_named_by_file_and_number),
    PC_TEST(history__several_files__are_one),
    PC_TEST(history__many_strings__keep_their_names),
};

PC_TEST_MAIN("lincheck record", tests)
