/* What a branch comes to, key by key; and bodies that come in chunks. */
#include "support/test.h"

#include <stdio.h>
#include <string.h>

#include "pcadmin/client.h"
#include "pcadmin/rollback.h"

static struct rollback_record record_of(const char *line)
{
    struct rollback_record record;
    json_t *object = json_loads(line, JSON_ALLOW_NUL, NULL);
    assert_non_null(object);
    assert_ok(rollback_record_of(object, &record));
    json_decref(object);
    return record;
}

static bool buf_is(const struct pc_buf *buf, const char *text)
{
    return pc_slice_equal(pc_slice_of(buf->data, buf->len), pc_slice_str(text));
}

static void record__all_fields__are_read(void **state)
{
    (void)state;
    struct rollback_record record =
        record_of("{\"number\":3,\"time_ms\":5,\"request\":\"x\",\"op\":\"set\","
                  "\"key_b64\":\"a/8=\",\"value\":\"v\\u0000w\",\"content_type\":\"text/plain\","
                  "\"ttl_ms\":700,\"before\":{\"version\":17,\"deadline_ms\":20,\"value_b64\":"
                  "\"/w==\",\"content_type\":\"a/b\"}}");
    assert_int_equal(record.number, 3);
    assert_int_equal(record.time_ms, 5);
    assert_int_equal(record.op, PC_OP_SET);
    assert_true(buf_is(&record.key, "k\xff"));
    assert_int_equal(record.value.len, 3);
    assert_memory_equal(record.value.data, "v\0w", 3);
    assert_true(buf_is(&record.type, "text/plain"));
    assert_true(record.has_ttl);
    assert_int_equal(record.ttl_ms, 700);
    assert_true(record.has_before && record.has_before_value);
    assert_int_equal(record.before_version, 17);
    assert_int_equal(record.before_deadline_ms, 20);
    assert_true(buf_is(&record.before_value, "\xff"));
    assert_true(buf_is(&record.before_type, "a/b"));
    rollback_record_clear(&record);
}

static void record__not_as_it_should_be__is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"[]", "{}",
        "{\"number\":0,\"time_ms\":5,\"op\":\"delete\",\"key\":\"k\",\"before\":null}",
        "{\"number\":-1,\"time_ms\":5,\"op\":\"delete\",\"key\":\"k\",\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"tick\",\"key\":\"k\",\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"delete\",\"key\":\"\",\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"delete\",\"key\":7,\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"delete\",\"key_b64\":\"?\",\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"delete\",\"key\":\"k\"}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"delete\",\"key\":\"k\",\"before\":{}}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"delete\",\"key\":\"k\",\"value\":\"v\","
        "\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"set\",\"key\":\"k\",\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"expire\",\"key\":\"k\",\"before\":null}",
        "{\"number\":1,\"time_ms\":5,\"op\":\"expire\",\"key\":\"k\",\"ttl_ms\":\"1\","
        "\"before\":null}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct rollback_record record;
        json_t *object = json_loads(bad[i], 0, NULL);
        assert_non_null(object);
        if (rollback_record_of(object, &record) != PC_E_MALFORMED) {
            fail_msg("%s", bad[i]);
        }
        json_decref(object);
    }
}

static void add(struct rollback_fold *fold, uint64_t number, uint64_t time_ms, const char *rest)
{
    char line[400];
    (void)snprintf(line, sizeof line, "{\"number\":%llu,\"time_ms\":%llu,%s}",
        (unsigned long long)number, (unsigned long long)time_ms, rest);
    struct rollback_record record = record_of(line);
    rollback_fold_add(fold, &record);
    assert_null(record.key.data);
}

#define BASE_A ",\"before\":{\"version\":7,\"deadline_ms\":0,\"value\":\"old\"}"
#define BASE_DUE ",\"before\":{\"version\":7,\"deadline_ms\":50,\"value\":\"old\"}"

static const struct rollback_key *only(const struct rollback_fold *fold)
{
    assert_int_equal(fold->n, 1);
    return &fold->v[0];
}

static void expect(struct rollback_fold *fold, pc_ms now_ms, enum rollback_action action,
    const char *value, uint64_t ttl_ms)
{
    uint64_t left = 1;
    assert_int_equal(rollback_action_of(only(fold), now_ms, &left), action);
    if (action == ROLLBACK_PUT) {
        assert_true(buf_is(&only(fold)->value, value));
        assert_int_equal(left, ttl_ms);
    }
    rollback_fold_clear(fold);
}

static void fold__of_one_key__is_its_last_state(void **state)
{
    (void)state;
    struct rollback_fold fold = {0};
    add(&fold, 1, 10, "\"op\":\"set\",\"key\":\"a\",\"value\":\"x\"" BASE_A);
    add(&fold, 2, 11, "\"op\":\"set\",\"key\":\"a\",\"value\":\"y\",\"ttl_ms\":5" BASE_A);
    assert_int_equal(only(&fold)->before_version, 7);
    expect(&fold, 12, ROLLBACK_PUT, "y", 4);
    add(&fold, 1, 10, "\"op\":\"set\",\"key\":\"a\",\"value\":\"x\",\"ttl_ms\":5" BASE_A);
    expect(&fold, 15, ROLLBACK_DELETE, NULL, 0); /* not what was there before it */
    add(&fold, 1, 10, "\"op\":\"expire\",\"key\":\"a\",\"ttl_ms\":0" BASE_A);
    expect(&fold, 11, ROLLBACK_DELETE, NULL, 0);
    add(&fold, 1, 10, "\"op\":\"set\",\"key\":\"a\",\"value\":\"x\",\"ttl_ms\":5,\"before\":null");
    expect(&fold, 15, ROLLBACK_EXPIRED, NULL, 0);
    add(&fold, 1, 10, "\"op\":\"set\",\"key\":\"a\",\"value\":\"x\"" BASE_A);
    add(&fold, 2, 11, "\"op\":\"delete\",\"key\":\"a\"" BASE_A);
    expect(&fold, 12, ROLLBACK_DELETE, NULL, 0);
    add(&fold, 1, 10, "\"op\":\"set\",\"key\":\"a\",\"value\":\"x\",\"before\":null");
    assert_false(only(&fold)->has_before);
    add(&fold, 2, 11, "\"op\":\"delete\",\"key\":\"a\",\"before\":null");
    expect(&fold, 12, ROLLBACK_NOTHING, NULL, 0);
}

static void fold__of_what_the_base_had__begins_with_that(void **state)
{
    (void)state;
    struct rollback_fold fold = {0};
    add(&fold, 1, 10, "\"op\":\"expire\",\"key\":\"a\",\"ttl_ms\":100" BASE_A);
    expect(&fold, 40, ROLLBACK_PUT, "old", 70);
    add(&fold, 1, 10, "\"op\":\"persist\",\"key\":\"a\"" BASE_DUE);
    expect(&fold, 90, ROLLBACK_PUT, "old", 0);
    /* What was due when the branch came to it was not there any more. */
    add(&fold, 1, 60, "\"op\":\"persist\",\"key\":\"a\"" BASE_DUE);
    expect(&fold, 90, ROLLBACK_DELETE, NULL, 0);
    add(&fold, 1, 10, "\"op\":\"set\",\"key\":\"a\",\"value\":\"x\",\"ttl_ms\":5,\"before\":null");
    add(&fold, 2, 20, "\"op\":\"persist\",\"key\":\"a\",\"before\":null");
    expect(&fold, 90, ROLLBACK_NOTHING, NULL, 0);
}

/* The first record of a key has what stood there before. When it is lost, some of the others do not
 * tell what the branch had. */
static void fold__first_record_lost__is_known_to_be_unknown(void **state)
{
    (void)state;
    static const char gone[] = "\"before\":{\"version\":7,\"deadline_ms\":0}";
    char rest[200];
    struct rollback_fold fold = {0};
    (void)snprintf(rest, sizeof rest, "\"op\":\"persist\",\"key\":\"a\",%s", gone);
    add(&fold, 2, 10, rest);
    expect(&fold, 90, ROLLBACK_UNKNOWN, NULL, 0);
    add(&fold, 2, 10, rest);
    (void)snprintf(rest, sizeof rest, "\"op\":\"set\",\"key\":\"a\",\"value\":\"x\",%s", gone);
    add(&fold, 3, 11, rest);
    expect(&fold, 90, ROLLBACK_PUT, "x", 0);
}

static void fold__many_keys__each_has_its_own(void **state)
{
    (void)state;
    struct rollback_fold fold = {0};
    char rest[200];
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(rest, sizeof rest,
            "\"op\":\"set\",\"key\":\"k%u\",\"value\":\"%u\",\"before\":null", i % 1000, i);
        add(&fold, i + 1, 10, rest);
    }
    assert_int_equal(fold.n, 1000);
    for (unsigned i = 0; i < 1000; i++) {
        char key[16], value[16];
        (void)snprintf(key, sizeof key, "k%u", i);
        (void)snprintf(value, sizeof value, "%u", i + 2000);
        assert_true(buf_is(&fold.v[i].key, key));
        assert_true(buf_is(&fold.v[i].value, value));
    }
    rollback_fold_clear(&fold);
}

static struct rollback_end end_of(const char *what, const char *line)
{
    struct args args = {.positionals = {what}};
    struct rollback_end end;
    json_t *object = json_loads(line, 0, NULL);
    assert_non_null(object);
    rollback_take_end(&args, object, &end);
    json_decref(object);
    return end;
}

static void end__something_lost_or_missing__is_damage_unless_it_is_open(void **state)
{
    (void)state;
    static const char name[] = "20261123T002101Z-1f2e3d4c-17.kvr";
    static const char path[] = "/a/b/20261123T002101Z-1f2e3d4c-17.kvr";
    static const char whole[] = "{\"end\":true,\"records\":2,\"lost\":0,\"closed_ms\":9}";
    static const char lost[] = "{\"end\":true,\"records\":2,\"lost\":1,\"closed_ms\":9}";
    static const char cut[] = "{\"end\":true,\"records\":2,\"lost\":0,\"closed_ms\":null}";
    assert_false(end_of(name, whole).is_damaged || end_of(name, whole).is_open);
    assert_true(end_of(name, lost).is_damaged);
    assert_true(end_of(name, cut).is_damaged);
    assert_true(end_of(path, cut).is_damaged);
    assert_false(end_of(path, cut).is_open);
    assert_true(end_of("/a/b/branch.open", cut).is_open);
    assert_false(end_of("/a/b/branch.open", cut).is_damaged);
    assert_true(end_of("/a/b/branch.open", lost).is_damaged);
}

/* Fed `step` bytes at a time. */
static enum chunks_result decode(const char *text, size_t step, struct pc_buf *out)
{
    struct client_chunks chunks = {0};
    enum chunks_result result = CHUNKS_MORE;
    pc_buf_reset(out);
    for (size_t at = 0; at < strlen(text); at += step) {
        size_t len = strlen(text) - at < step ? strlen(text) - at : step;
        struct pc_slice in = pc_slice_of(text + at, len), data;
        while ((result = client_chunks_next(&chunks, &in, &data)) == CHUNKS_DATA) {
            pc_buf_append(out, data.data, data.len);
        }
        if (result != CHUNKS_MORE) {
            return result;
        }
    }
    return result;
}

static void chunks__however_they_are_cut__are_the_body(void **state)
{
    (void)state;
    struct pc_buf out = {0};
    static const char body[] =
        "4\r\none\n\r\n1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nT: u\r\n\r\n";
    for (size_t step = 1; step < sizeof body; step++) {
        assert_int_equal(decode(body, step, &out), CHUNKS_END);
        assert_true(buf_is(&out, "one\nabcdefghijklmnopqrstuvwxyz"));
    }
    assert_int_equal(decode("4\r\none\n\r\n0\r\n\r\n", 3, &out), CHUNKS_END);
    static const char *const open[] = {"4\r\none\n\r\n", "4\r\no", "0\r\n", "0\r\nT: u\r\n"};
    for (size_t i = 0; i < sizeof open / sizeof open[0]; i++) {
        assert_int_equal(decode(open[i], 2, &out), CHUNKS_MORE);
    }
    static const char *const bad[] = {
        "\r\n", "x\r\n", "4\r\none\nX", "1234567890abcdef\r\n", "-1\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(decode(bad[i], 2, &out), CHUNKS_BAD);
    }
    pc_buf_destroy(&out);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(record__all_fields__are_read),
    PC_TEST(record__not_as_it_should_be__is_refused),
    PC_TEST(fold__of_one_key__is_its_last_state),
    PC_TEST(fold__of_what_the_base_had__begins_with_that),
    PC_TEST(fold__first_record_lost__is_known_to_be_unknown),
    PC_TEST(fold__many_keys__each_has_its_own),
    PC_TEST(end__something_lost_or_missing__is_damage_unless_it_is_open),
    PC_TEST(chunks__however_they_are_cut__are_the_body),
};
PC_TEST_MAIN("pcadmin_rollback", tests)
