/* Lines of entries; what a whole log looks like is in tests/unit/pclog/test_pclog_json.c. */
#include "support/test.h"

#include <string.h>

#include "pcache/json.h"
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

static const struct CMUnitTest tests[] = {
    PC_TEST(command__with_a_condition__says_it),
    PC_TEST(body__that_is_not_understood__comes_as_it_is),
    PC_TEST(members__voters_and_others__are_listed),
};
PC_TEST_MAIN("json_entry", tests)
