#include "support/test.h"

#include <stdlib.h>

#include "pcache/json.h"

/* Takes the object over. */
static void assert_json(json_t *object, const char *want)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    assert_string_equal(text, want);
    free(text);
    json_decref(object);
}

static void bytes__utf8_or_not__come_as_text_or_base64(void **state)
{
    (void)state;
    json_t *object = json_object();
    pc_json_set_bytes(object, "a", "a_b64", pc_slice_str("h\xc3\xa9"));
    pc_json_set_bytes(object, "b", "b_b64", pc_slice_of((const uint8_t *)"\xff\x00x", 3));
    pc_json_set_bytes(object, "c", "c_b64", pc_slice_of(NULL, 0));
    pc_json_set_bytes(object, "d", "d_b64", pc_slice_of((const uint8_t *)"x\0y", 3));
    pc_json_set_base64(object, "e_b64", pc_slice_str("f"));
    assert_json(object, "{\"a\":\"h\xc3\xa9\",\"b_b64\":\"/wB4\",\"c\":\"\",\"d\":\"x\\u0000y\","
                        "\"e_b64\":\"Zg==\"}");
}

static void numbers_and_ids__any__are_shown_as_everywhere(void **state)
{
    (void)state;
    static const uint8_t history[16] = {0xab, 1};
    json_t *object = json_object();
    pc_json_set_number(object, "n", INT64_MAX);
    pc_json_set_text(object, "t", "x");
    pc_json_set_hex(object, "h", history);
    pc_json_set_id(object, "id", 0x1f);
    pc_json_set_id(object, "none", 0);
    pc_json_set_request(object, 0x1f, 2, UINT64_MAX);
    assert_json(object, "{\"n\":9223372036854775807,\"t\":\"x\","
                        "\"h\":\"ab010000000000000000000000000000\",\"id\":\"000000000000001f\","
                        "\"none\":null,\"request\":\"000000000000001f/2/18446744073709551615\"}");
}

static void command__each_op__says_what_it_uses(void **state)
{
    (void)state;
    static const struct {
        enum pc_op op;
        const char *want;
    } cases[] = {
        {PC_OP_SET, "{\"op\":\"set\",\"key\":\"k\",\"value\":\"v\",\"content_type\":\"text/x\","
                    "\"ttl_ms\":7}"},
        {PC_OP_DELETE, "{\"op\":\"delete\",\"key\":\"k\"}"},
        {PC_OP_EXPIRE, "{\"op\":\"expire\",\"key\":\"k\",\"ttl_ms\":7}"},
        {PC_OP_PERSIST, "{\"op\":\"persist\",\"key\":\"k\"}"},
        {PC_OP_TICK, "{\"op\":\"tick\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_command command = {
            .op = cases[i].op,
            .key = pc_slice_str("k"),
            .value = pc_slice_str("v"),
            .content_type = pc_slice_str("text/x"),
            .has_ttl = cases[i].op == PC_OP_SET || cases[i].op == PC_OP_EXPIRE,
            .ttl_ms = 7,
        };
        json_t *object = json_object();
        pc_json_set_command(object, &command);
        assert_json(object, cases[i].want);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(bytes__utf8_or_not__come_as_text_or_base64),
    PC_TEST(numbers_and_ids__any__are_shown_as_everywhere),
    PC_TEST(command__each_op__says_what_it_uses),
};
PC_TEST_MAIN("json", tests)
