/* Lines of entries; what a whole log looks like is in tests/unit/pclog/test_pclog_json.c. */
#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/json.h"
#include "pcache/prng.h"
#include "pcache/wire.h"

#define HEAD "{\"index\":9,\"term\":2,\"time_ms\":5000,\"kind\":"

/* Takes the body over. */
static void assert_line(enum pc_entry_kind kind, struct pc_buf *body, const char *want)
{
    struct pc_entry entry = {.index = 9,
        .term = 2,
        .stamp_ms = 5000,
        .req = {.node = 0xab, .boot = 3, .seq = 4},
        .kind = kind};
    struct pc_buf line = {0};
    assert_ok(pc_blob_new(pc_slice_of(body->data, body->len), &entry.body));
    pc_buf_append(&line, "x", 1);
    pc_json_append_entry(&entry, &line);
    pc_buf_append_u8(&line, 0);
    assert_string_equal((const char *)line.data + 1, want);
    pc_buf_destroy(&line);
    pc_buf_destroy(body);
    pc_entry_clear(&entry);
}

static void command__with_a_condition__says_it(void **state)
{
    (void)state;
    struct pc_buf body = {0};
    struct pc_command command = {.op = PC_OP_SET,
        .key = pc_slice_str("k\n"),
        .value = pc_slice_of("\xff", 1),
        .condition = PC_IF_VERSION,
        .if_version = 7};
    pc_wire_encode_command(&command, &body);
    assert_line(PC_ENTRY_COMMAND, &body,
        HEAD "\"command\",\"request\":\"00000000000000ab/3/4\",\"op\":\"set\",\"key\":\"k\\n\","
             "\"value_b64\":\"/w==\",\"if\":\"version\",\"if_version\":7}\n");
    command = (struct pc_command){
        .op = PC_OP_DELETE, .key = pc_slice_str("k"), .condition = PC_IF_PRESENT};
    pc_wire_encode_command(&command, &body);
    assert_line(PC_ENTRY_COMMAND, &body,
        HEAD "\"command\",\"request\":\"00000000000000ab/3/4\",\"op\":\"delete\",\"key\":\"k\","
             "\"if\":\"present\"}\n");
}

static void body__that_is_not_understood__comes_as_it_is(void **state)
{
    (void)state;
    struct pc_buf body = {0};
    pc_buf_append(&body, "xxx", 3);
    assert_line(PC_ENTRY_CONFIG, &body, HEAD "\"config\",\"body_b64\":\"eHh4\"}\n");
    pc_buf_append(&body, "xxx", 3);
    assert_line(PC_ENTRY_COMMAND, &body, HEAD "\"command\",\"body_b64\":\"eHh4\"}\n");
    assert_line(PC_ENTRY_NOOP, &body, HEAD "\"noop\"}\n");
}

static void members__voters_and_others__are_listed(void **state)
{
    (void)state;
    struct pc_buf body = {0};
    struct pc_cluster_config config = {.members_n = 2,
        .members = {
            {.id = 0xab, .name = "a", .votes = true}, {.name = "b", .want = PC_WANT_SPARE}}};
    memset(config.history, 7, sizeof config.history);
    pc_wire_encode_config(&config, &body);
    assert_line(PC_ENTRY_CONFIG, &body,
        HEAD "\"config\",\"history\":\"07070707070707070707070707070707\",\"members\":["
             "{\"name\":\"a\",\"id\":\"00000000000000ab\",\"want\":\"voter\",\"votes\":true},"
             "{\"name\":\"b\",\"id\":null,\"want\":\"spare\",\"votes\":false}]}\n");
}

/* The value of a line, as objects show it: {"value":"..."} or {"value_b64":"..."}. */
static char *shown_by_objects(struct pc_slice value)
{
    json_t *object = json_object();
    pc_json_set_bytes(object, "value", "value_b64", value);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

static void assert_shown_alike(struct pc_slice value)
{
    struct pc_buf body = {0}, line = {0};
    struct pc_command command = {.op = PC_OP_SET, .key = pc_slice_str("k"), .value = value};
    struct pc_entry entry = {.index = 9, .term = 2, .kind = PC_ENTRY_COMMAND};
    pc_wire_encode_command(&command, &body);
    assert_ok(pc_blob_new(pc_slice_of(body.data, body.len), &entry.body));
    pc_json_append_entry(&entry, &line);
    char *want = shown_by_objects(value);
    size_t len = strlen(want) - 1; /* from the quote of the name to the end */
    assert_true(line.len > len + 1);
    assert_memory_equal(line.data + line.len - 1 - len, want + 1, len);
    free(want);
    pc_buf_destroy(&line);
    pc_buf_destroy(&body);
    pc_entry_clear(&entry);
}

static void value__any_bytes__is_shown_as_objects_show_it(void **state)
{
    (void)state;
    struct pc_prng prng;
    uint8_t bytes[8];
    for (unsigned c = 0; c < 256; c++) {
        bytes[0] = (uint8_t)c;
        assert_shown_alike(pc_slice_of(bytes, 1));
        for (unsigned d = 0; d < 256; d++) {
            bytes[1] = (uint8_t)d;
            assert_shown_alike(pc_slice_of(bytes, 2));
        }
    }
    pc_prng_seed(&prng, 7);
    for (int round = 0; round < 20000; round++) {
        static const uint8_t edges[] = {'a', '"', 0x1f, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
            0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5};
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = edges[pc_prng_below(&prng, sizeof edges)];
        }
        assert_shown_alike(pc_slice_of(bytes, pc_prng_between(&prng, 3, sizeof bytes)));
    }
}

/* Every character there is, and what only looks like one: three and four bytes. */
static void value__of_each_character__is_shown_as_objects_show_it(void **state)
{
    (void)state;
    for (unsigned c = 0xe0; c < 0xf8; c++) {
        for (unsigned d = 0x80; d < 0xc0; d++) {
            uint8_t bytes[] = {(uint8_t)c, (uint8_t)d, 0x80, 0xbf};
            assert_shown_alike(pc_slice_of(bytes, 3));
            assert_shown_alike(pc_slice_of(bytes, 4));
            bytes[2] = 0x7f;
            assert_shown_alike(pc_slice_of(bytes, 4));
        }
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(value__any_bytes__is_shown_as_objects_show_it),
    PC_TEST(value__of_each_character__is_shown_as_objects_show_it),
    PC_TEST(command__with_a_condition__says_it),
    PC_TEST(body__that_is_not_understood__comes_as_it_is),
    PC_TEST(members__voters_and_others__are_listed),
};
PC_TEST_MAIN("json_entry", tests)
