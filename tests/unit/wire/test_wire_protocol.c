/* What is said in which protocol: byte by byte, and what a link that speaks less must not carry. */
#include "support/test.h"

#include <string.h>

#include "pcache/protocol.h"
#include "pcache/wire.h"

static void assert_bytes(
    const struct pc_msg *msg, uint8_t protocol, const uint8_t *expected, size_t len)
{
    struct pc_buf buf = {0};
    pc_wire_encode_msg_as(msg, protocol, &buf);
    assert_int_equal(buf.len, len);
    assert_memory_equal(buf.data, expected, len);
    pc_buf_destroy(&buf);
}

static pc_err decode(const uint8_t *bytes, size_t len, uint8_t protocol, struct pc_msg *out)
{
    return pc_wire_decode_msg_as(pc_slice_of(bytes, len), protocol, 1, 2, out);
}

static void disk__by_protocol__says_the_size_from_the_third_on(void **state)
{
    (void)state;
    static const uint8_t second[] = {0x94, 14, 1, 0xcd, 0x10, 0x00, 7};
    static const uint8_t third[] = {0x95, 14, 1, 0xcd, 0x10, 0x00, 7, 0xcd, 0x20, 0x00};
    struct pc_msg out,
        msg = {.type = PC_MSG_DISK,
            .disk = {
                .level = PC_SPACE_SOFT, .free_bytes = 4096, .sync_us = 7, .total_bytes = 8192}};
    assert_bytes(&msg, 2, second, sizeof second);
    assert_bytes(&msg, 3, third, sizeof third);
    assert_ok(decode(second, sizeof second, 2, &out));
    assert_int_equal(out.disk.total_bytes, 0);
    assert_ok(decode(third, sizeof third, 3, &out));
    assert_int_equal(out.disk.total_bytes, 8192);
    assert_int_equal(decode(second, sizeof second, 3, &out), PC_E_MALFORMED);
    assert_int_equal(decode(third, sizeof third, 2, &out), PC_E_MALFORMED);
    assert_int_equal(decode(second, sizeof second, 1, &out), PC_E_MALFORMED);
}

static void digest__byte_by_byte__comes_back(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        0x93, 15, 0xcd, 0x04, 0x00, 0xc4, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t bad[sizeof bytes];
    struct pc_msg out, msg = {.type = PC_MSG_DIGEST, .digest = {.index = 1024}};
    for (uint8_t i = 0; i < 16; i++) {
        msg.digest.hash.b[i] = i;
    }
    assert_bytes(&msg, 2, bytes, sizeof bytes);
    assert_ok(decode(bytes, sizeof bytes, 2, &out));
    assert_int_equal(out.digest.index, 1024);
    assert_memory_equal(out.digest.hash.b, msg.digest.hash.b, 16);
    assert_int_equal(decode(bytes, sizeof bytes, 1, &out), PC_E_MALFORMED);
    for (size_t cut = 0; cut < sizeof bytes; cut++) {
        assert_int_equal(decode(bytes, cut, 2, &out), PC_E_MALFORMED);
    }
    msg.digest.index = 0; /* before the first entry there is no state */
    struct pc_buf buf = {0};
    pc_wire_encode_msg(&msg, &buf);
    assert_int_equal(decode(buf.data, buf.len, 2, &out), PC_E_MALFORMED);
    pc_buf_destroy(&buf);
    memcpy(bad, bytes, sizeof bytes);
    bad[6] = 15; /* too short a digest, and a byte behind it */
    assert_int_equal(decode(bad, sizeof bad, 2, &out), PC_E_MALFORMED);
}

static void fetching__first_protocol__is_not_said(void **state)
{
    (void)state;
    static const uint8_t first[] = {0x92, 1, 0x97, 4, 5, 0xc2, 6, 7, 8, 9};
    static const uint8_t second[] = {0x92, 1, 0x98, 4, 5, 0xc2, 6, 7, 8, 9, 10};
    struct pc_msg out, msg = {.type = PC_MSG_RAFT};
    msg.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND_RESP, .term = 5};
    msg.raft.u.append_resp.match = 6;
    msg.raft.u.append_resp.hint = 7;
    msg.raft.u.append_resp.hint_term = 8;
    msg.raft.u.append_resp.round = 9;
    msg.raft.u.append_resp.fetching = 10;
    assert_bytes(&msg, 1, first, sizeof first);
    assert_bytes(&msg, 2, second, sizeof second);
    assert_ok(decode(first, sizeof first, 1, &out));
    assert_int_equal(out.raft.u.append_resp.fetching, 0);
    pc_msg_clear(&out);
    assert_int_equal(decode(second, sizeof second, 1, &out), PC_E_MALFORMED);
}

static void messages__newer_than_the_link__are_malformed(void **state)
{
    (void)state;
    struct pc_msg out;
    struct pc_msg fetch = {.type = PC_MSG_FETCH, .fetch = {.nonce = 1, .first = 7, .last = 7}};
    struct pc_msg ask = {.type = PC_MSG_SNAP_ASK, .snapshot = {.nonce = 1, .index = 3}};
    struct pc_msg snapshot = {.type = PC_MSG_RAFT};
    snapshot.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_SNAPSHOT, .term = 5};
    snapshot.raft.u.snapshot.first = 9;
    const struct pc_msg *const newer[] = {&fetch, &ask, &snapshot};
    for (size_t i = 0; i < sizeof newer / sizeof newer[0]; i++) {
        struct pc_buf buf = {0};
        assert_int_equal(pc_wire_msg_protocol(newer[i]), PC_PROTOCOL_MEMBERS);
        pc_wire_encode_msg_as(newer[i], 2, &buf);
        assert_ok(decode(buf.data, buf.len, 2, &out));
        pc_msg_clear(&out);
        assert_int_equal(decode(buf.data, buf.len, 1, &out), PC_E_MALFORMED);
        pc_buf_destroy(&buf);
    }
}

static struct pc_blob *command_body(enum pc_condition condition)
{
    struct pc_command command = {
        .op = PC_OP_DELETE, .key = pc_slice_str("k"), .condition = condition};
    struct pc_buf bytes = {0};
    struct pc_blob *body = NULL;
    pc_wire_encode_command(&command, &bytes);
    assert_ok(pc_blob_new(pc_slice_of(bytes.data, bytes.len), &body));
    pc_buf_destroy(&bytes);
    return body;
}

static void assert_protocol(const struct pc_msg *msg, uint8_t protocol)
{
    struct pc_msg out;
    struct pc_buf buf = {0};
    assert_int_equal(pc_wire_msg_protocol(msg), protocol);
    pc_wire_encode_msg_as(msg, 2, &buf);
    assert_ok(decode(buf.data, buf.len, 2, &out));
    pc_msg_clear(&out);
    if (protocol > PC_PROTOCOL_FIRST) {
        assert_int_equal(decode(buf.data, buf.len, 1, &out), PC_E_MALFORMED);
    }
    pc_buf_destroy(&buf);
}

/* One command with a condition among others: the message is for those who know of them. */
static void append_and_forward__with_a_condition__are_newer(void **state)
{
    (void)state;
    struct pc_msg append = {.type = PC_MSG_RAFT};
    struct pc_msg forward = {.type = PC_MSG_FORWARD};
    append.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND, .term = 5};
    forward.forward.items = pc_xalloc(3 * sizeof *forward.forward.items);
    for (uint64_t i = 0; i < 3; i++) {
        struct pc_entry entry = {.index = i + 1, .term = 5, .kind = PC_ENTRY_COMMAND};
        entry.body = command_body(i == 1 ? PC_IF_PRESENT : PC_IF_ANY);
        pc_entries_push(&append.raft.entries, &entry);
        forward.forward.items[i] = (struct pc_forward_item){.seq = i, .body = entry.body};
        forward.forward.items_n++;
        uint8_t protocol = i >= 1 ? PC_PROTOCOL_CONDITIONS : PC_PROTOCOL_FIRST;
        assert_protocol(&append, protocol);
        assert_protocol(&forward, protocol);
    }
    struct pc_msg refused = {.type = PC_MSG_FORWARD_REFUSED};
    refused.forward = forward.forward;
    struct pc_forward_item items[3] = {{.seq = 1}, {.seq = 2}, {.seq = 3}};
    refused.forward.items = items;
    refused.forward.reason = PC_REFUSAL_PROTOCOL;
    assert_protocol(&refused, PC_PROTOCOL_CONDITIONS);
    refused.forward.reason = PC_REFUSAL_LOG_FULL;
    assert_protocol(&refused, PC_PROTOCOL_FIRST);
    pc_msg_clear(&append);
    pc_msg_clear(&forward);
}

static struct pc_blob *config_body(enum pc_member_want want)
{
    struct pc_cluster_config config = {.members_n = 2};
    struct pc_buf bytes = {0};
    struct pc_blob *body = NULL;
    for (uint8_t i = 0; i < 2; i++) {
        config.members[i] = (struct pc_cluster_member){.id = i + 1U, .votes = true};
        config.members[i].name[0] = (char)('a' + i);
    }
    config.members[1].want = want;
    config.members[1].votes = want == PC_WANT_VOTER;
    pc_wire_encode_config(&config, &bytes);
    assert_ok(pc_blob_new(pc_slice_of(bytes.data, bytes.len), &body));
    pc_buf_destroy(&bytes);
    return body;
}

/* Entries that name members who do not vote: in an append, as entry 1, and as an answer. */
static void members__one_does_not_vote__is_newer(void **state)
{
    (void)state;
    static const enum pc_member_want wants[] = {PC_WANT_VOTER, PC_WANT_REPLICA, PC_WANT_SPARE};
    for (size_t i = 0; i < 3; i++) {
        uint8_t protocol = i == 0 ? PC_PROTOCOL_FIRST : PC_PROTOCOL_MEMBERS;
        struct pc_entry entry = {.index = 1, .term = 1, .kind = PC_ENTRY_CONFIG};
        entry.body = config_body(wants[i]);
        assert_int_equal(pc_wire_entry_protocol(&entry), protocol);
        struct pc_msg append = {.type = PC_MSG_RAFT};
        append.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND, .term = 5};
        pc_entries_push(&append.raft.entries, &entry);
        assert_protocol(&append, protocol);
        struct pc_msg form = {.type = PC_MSG_FORM, .form = entry};
        assert_protocol(&form, protocol);
        pc_msg_clear(&append);
        pc_msg_clear(&form);
    }
}

/* What a later program has written says its number, and is not taken for damaged. */
static void body__of_a_later_protocol__says_its_number(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[4];
        size_t len;
        uint8_t protocol;
        pc_err err;
    } rows[] = {
        {{0x92, 3, 0xc0}, 3, 3, PC_E_VERSION},
        {{0x92, 127, 0xc4, 0}, 4, 127, PC_E_VERSION},
        {{0x92, 2, 0xc0}, 3, PC_PROTOCOL_FIRST, PC_E_MALFORMED}, /* none is written so */
        {{0x92, 0x80, 0xc0}, 3, PC_PROTOCOL_FIRST, PC_E_MALFORMED},
        {{0x93, 3, 0xc0, 0xc0}, 4, PC_PROTOCOL_FIRST, PC_E_MALFORMED},
        {{0x92, 3}, 2, PC_PROTOCOL_FIRST, PC_E_MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pc_slice body = pc_slice_of(rows[i].bytes, rows[i].len);
        struct pc_command command;
        struct pc_cluster_config config;
        assert_int_equal(pc_wire_decode_command(body, &command), rows[i].err);
        assert_int_equal(pc_wire_decode_config(body, &config), rows[i].err);
        assert_int_equal(pc_wire_command_protocol(body), rows[i].protocol);
        assert_int_equal(pc_wire_config_protocol(body), rows[i].protocol);
        struct pc_msg msg = {.type = PC_MSG_RAFT};
        struct pc_entry entry = {.index = 1, .term = 1, .kind = PC_ENTRY_COMMAND};
        msg.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND, .term = 5};
        assert_ok(pc_blob_new(body, &entry.body));
        pc_entries_push(&msg.raft.entries, &entry);
        assert_int_equal(pc_wire_msg_protocol(&msg), rows[i].protocol);
        struct pc_msg answer = {.type = PC_MSG_ENTRIES, .fetch = {.first = 1}};
        pc_entries_take(&answer.fetch.v, &entry);
        assert_int_equal(pc_wire_msg_protocol(&answer),
            rows[i].protocol > PC_PROTOCOL_MEMBERS ? rows[i].protocol : PC_PROTOCOL_MEMBERS);
        pc_msg_clear(&answer);
        pc_msg_clear(&msg);
    }
}

static void messages__of_the_first_protocol__pass_in_any(void **state)
{
    (void)state;
    struct pc_msg msg = {.type = PC_MSG_RAFT};
    msg.raft = (struct pc_raft_msg){.type = PC_RAFT_MSG_VOTE, .term = 5};
    static const uint8_t vote[] = {0x92, 1, 0x96, 1, 5, 0xc2, 0xc2, 0, 0};
    for (uint8_t protocol = 1; protocol <= 4; protocol++) {
        struct pc_msg out;
        assert_bytes(&msg, protocol, vote, sizeof vote);
        assert_ok(decode(vote, sizeof vote, protocol, &out));
        pc_msg_clear(&out);
    }
    assert_int_equal(pc_wire_msg_protocol(&msg), PC_PROTOCOL_FIRST);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(disk__by_protocol__says_the_size_from_the_third_on),
    PC_TEST(digest__byte_by_byte__comes_back),
    PC_TEST(fetching__first_protocol__is_not_said),
    PC_TEST(messages__newer_than_the_link__are_malformed),
    PC_TEST(append_and_forward__with_a_condition__are_newer),
    PC_TEST(members__one_does_not_vote__is_newer),
    PC_TEST(body__of_a_later_protocol__says_its_number),
    PC_TEST(messages__of_the_first_protocol__pass_in_any),
};
PC_TEST_MAIN("wire_protocol", tests)
