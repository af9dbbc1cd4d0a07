#include "support/test.h"

#include <string.h>

#include "pcache/wire.h"
#include "pcache/wire_entry.h"

static struct pc_blob *blob(const char *text)
{
    struct pc_blob *out = NULL;
    assert_ok(pc_blob_new(pc_slice_str(text), &out));
    return out;
}

static struct pc_slice slice(const struct pc_buf *buf)
{
    return pc_slice_of(buf->data, buf->len);
}

/* Encodes, checks that every cut and every appended byte is refused, decodes. */
static void round_trip(const struct pc_msg *msg, struct pc_msg *out)
{
    struct pc_buf buf = {0};
    pc_wire_encode_msg(msg, &buf);
    /* A message of thousands of entries repeats itself each dozen bytes or so. */
    size_t step = buf.len > 4096 ? 7 : 1;
    for (size_t cut = 0; cut < buf.len; cut += step) {
        assert_int_equal(pc_wire_decode_msg(pc_slice_of(buf.data, cut), 1, 2, out), PC_E_MALFORMED);
    }
    pc_buf_append_u8(&buf, 0);
    assert_int_equal(pc_wire_decode_msg(slice(&buf), 1, 2, out), PC_E_MALFORMED);
    buf.len--;
    assert_ok(pc_wire_decode_msg(slice(&buf), 1, 2, out));
    assert_int_equal(out->from, 1);
    assert_int_equal(out->to, 2);
    assert_int_equal(out->type, msg->type);
    struct pc_buf again = {0};
    pc_wire_encode_msg(out, &again);
    assert_int_equal(again.len, buf.len);
    assert_memory_equal(again.data, buf.data, buf.len);
    pc_buf_destroy(&again);
    pc_buf_destroy(&buf);
}

static void command__every_op__comes_back(void **state)
{
    (void)state;
    const struct pc_command commands[] = {
        {.op = PC_OP_SET,
            .key = pc_slice_str("k"),
            .value = pc_slice_str("v"),
            .content_type = pc_slice_str("text/plain"),
            .has_ttl = true,
            .ttl_ms = 30000},
        {.op = PC_OP_SET, .key = pc_slice_of("\0\xff", 2)},
        {.op = PC_OP_DELETE, .key = pc_slice_str("k")},
        {.op = PC_OP_EXPIRE, .key = pc_slice_str("k"), .has_ttl = true},
        {.op = PC_OP_PERSIST, .key = pc_slice_str("k")},
        {.op = PC_OP_TICK},
        {.op = PC_OP_SET,
            .key = pc_slice_str("k"),
            .condition = PC_IF_VERSION,
            .if_version = PC_VERSION_MAX},
        {.op = PC_OP_DELETE, .key = pc_slice_str("k"), .condition = PC_IF_VERSION, .if_version = 1},
        {.op = PC_OP_EXPIRE, .key = pc_slice_str("k"), .has_ttl = true, .condition = PC_IF_ABSENT},
        {.op = PC_OP_PERSIST, .key = pc_slice_str("k"), .condition = PC_IF_PRESENT},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct pc_buf buf = {0};
        pc_wire_encode_command(&commands[i], &buf);
        struct pc_command out;
        assert_ok(pc_wire_decode_command(slice(&buf), &out));
        assert_int_equal(out.op, commands[i].op);
        assert_true(pc_slice_equal(out.key, commands[i].key));
        assert_true(pc_slice_equal(out.value, commands[i].value));
        assert_true(pc_slice_equal(out.content_type, commands[i].content_type));
        assert_int_equal(out.has_ttl, commands[i].has_ttl);
        assert_int_equal(out.ttl_ms, commands[i].ttl_ms);
        assert_int_equal(out.condition, commands[i].condition);
        assert_int_equal(out.if_version, commands[i].if_version);
        bool is_first = commands[i].condition == PC_IF_ANY;
        assert_int_equal(pc_wire_command_protocol(slice(&buf)), is_first ? 1 : 2);
        pc_buf_destroy(&buf);
    }
}

/* The bytes are those of logs that there are: a command without a condition has none of it. */
static void command__without_and_with_condition__has_these_bytes(void **state)
{
    (void)state;
    struct pc_command command = {
        .op = PC_OP_SET, .key = pc_slice_str("k"), .value = pc_slice_str("v")};
    struct pc_buf buf = {0};
    pc_wire_encode_command(&command, &buf);
    const uint8_t plain[] = {0x95, 1, 0xc4, 1, 'k', 0xc4, 1, 'v', 0xc4, 0, 0xc0};
    assert_int_equal(buf.len, sizeof plain);
    assert_memory_equal(buf.data, plain, sizeof plain);
    pc_buf_reset(&buf);
    command.condition = PC_IF_VERSION;
    command.if_version = 300;
    pc_wire_encode_command(&command, &buf);
    const uint8_t with[] = {
        0x97, 1, 0xc4, 1, 'k', 0xc4, 1, 'v', 0xc4, 0, 0xc0, 1, 0xcd, 300 >> 8, 300 & 255};
    assert_int_equal(buf.len, sizeof with);
    assert_memory_equal(buf.data, with, sizeof with);
    pc_buf_destroy(&buf);
}

static void command__condition_that_cannot_be__is_malformed(void **state)
{
    (void)state;
    const struct {
        uint64_t op, condition, version;
    } cases[] = {
        {PC_OP_DELETE, PC_IF_ANY, 0},
        {PC_OP_DELETE, PC_IF_VERSION, 0},
        {PC_OP_DELETE, PC_IF_VERSION, PC_VERSION_MAX + 1},
        {PC_OP_DELETE, PC_IF_ABSENT, 1},
        {PC_OP_DELETE, PC_IF_PRESENT, 1},
        {PC_OP_DELETE, PC_IF_PRESENT + 1, 0},
        {PC_OP_TICK, PC_IF_PRESENT, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_buf buf = {0};
        struct pc_mpack_writer w = pc_mpack_writer_of(&buf);
        pc_mpack_write_array(&w, 7);
        pc_mpack_write_uint(&w, cases[i].op);
        pc_mpack_write_bin(&w, pc_slice_str(cases[i].op == PC_OP_TICK ? "" : "k"));
        pc_mpack_write_bin(&w, pc_slice_str(""));
        pc_mpack_write_bin(&w, pc_slice_str(""));
        pc_mpack_write_nil(&w);
        pc_mpack_write_uint(&w, cases[i].condition);
        pc_mpack_write_uint(&w, cases[i].version);
        struct pc_command out;
        assert_int_equal(pc_wire_decode_command(slice(&buf), &out), PC_E_MALFORMED);
        pc_buf_destroy(&buf);
    }
}

static void command__what_an_op_may_not_carry__is_malformed(void **state)
{
    (void)state;
    const struct pc_command commands[] = {
        {.op = PC_OP_SET},
        {.op = PC_OP_DELETE},
        {.op = PC_OP_DELETE, .key = pc_slice_str("k"), .value = pc_slice_str("v")},
        {.op = PC_OP_EXPIRE, .key = pc_slice_str("k")},
        {.op = PC_OP_TICK, .key = pc_slice_str("k")},
        {.op = 0, .key = pc_slice_str("k")},
        {.op = PC_OP_TICK + 1},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        struct pc_buf buf = {0};
        pc_wire_encode_command(&commands[i], &buf);
        struct pc_command out;
        assert_int_equal(pc_wire_decode_command(slice(&buf), &out), PC_E_MALFORMED);
        pc_buf_destroy(&buf);
    }
}

static void raft__every_type__comes_back(void **state)
{
    (void)state;
    struct pc_raft_msg raft[] = {
        {.type = PC_RAFT_MSG_VOTE, .u.vote = {.pre = true, .last_index = 300, .last_term = 70000}},
        {.type = PC_RAFT_MSG_VOTE_RESP, .u.vote_resp = {.granted = true, .clock_ms = 1234567}},
        {.type = PC_RAFT_MSG_APPEND,
            .u.append = {.prev_index = 8, .prev_term = 2, .commit = 7, .round = 3}},
        {.type = PC_RAFT_MSG_APPEND_RESP, .u.append_resp = {.hint = 4, .hint_term = 1}},
        {.type = PC_RAFT_MSG_READ, .u.read = {.ctx = UINT64_MAX}},
        {.type = PC_RAFT_MSG_READ_RESP, .u.read = {.ctx = 1, .index = 9}},
        {.type = PC_RAFT_MSG_TIMEOUT_NOW},
        {.type = PC_RAFT_MSG_APPEND_RESP,
            .u.append_resp = {.accepted = true, .match = 3, .hint = 4, .fetching = 900}},
        {.type = PC_RAFT_MSG_SNAPSHOT,
            .u.snapshot = {.first = 70000, .commit = 80000, .round = 9, .clock_ms = 1234567}},
    };
    for (size_t i = 0; i < sizeof raft / sizeof raft[0]; i++) {
        struct pc_msg msg = {.type = PC_MSG_RAFT, .raft = raft[i]};
        msg.raft.term = 5;
        if (raft[i].type == PC_RAFT_MSG_APPEND) {
            struct pc_entry entry = {.index = 9, .term = 5, .kind = PC_ENTRY_COMMAND};
            entry.body = blob("body");
            pc_entries_push(&msg.raft.entries, &entry);
            entry.index = 10;
            pc_entries_push(&msg.raft.entries, &entry);
            pc_entry_clear(&entry);
        }
        struct pc_msg out;
        round_trip(&msg, &out);
        assert_int_equal(out.raft.term, 5);
        assert_int_equal(out.raft.entries.n, msg.raft.entries.n);
        pc_msg_clear(&out);
        pc_msg_clear(&msg);
    }
}

/* A receiver takes exactly as many entries in one message as a sender may put into it. */
static void append__entries__up_to_the_bound_and_no_more(void **state)
{
    (void)state;
    struct pc_msg msg = {.type = PC_MSG_RAFT, .raft = {.type = PC_RAFT_MSG_APPEND, .term = 5}};
    struct pc_entry entry = {.index = 1, .term = 5, .kind = PC_ENTRY_NOOP};
    for (; entry.index <= PC_APPEND_ENTRIES_MAX; entry.index++) {
        pc_entries_push(&msg.raft.entries, &entry);
    }
    struct pc_msg out;
    round_trip(&msg, &out);
    assert_int_equal(out.raft.entries.n, PC_APPEND_ENTRIES_MAX);
    pc_msg_clear(&out);
    pc_entries_push(&msg.raft.entries, &entry);
    struct pc_buf bytes = {0};
    pc_wire_encode_msg(&msg, &bytes);
    assert_int_equal(
        pc_wire_decode_msg(pc_slice_of(bytes.data, bytes.len), 1, 2, &out), PC_E_MALFORMED);
    pc_buf_destroy(&bytes);
    pc_msg_clear(&msg);
}

static void forward__both_ways__come_back(void **state)
{
    (void)state;
    struct pc_command command = {
        .op = PC_OP_SET, .key = pc_slice_str("k"), .value = pc_slice_str("v")};
    struct pc_buf body = {0};
    pc_wire_encode_command(&command, &body);
    struct pc_msg msg = {.type = PC_MSG_FORWARD};
    msg.forward.boot = 77;
    msg.forward.items = pc_xalloc(2 * sizeof *msg.forward.items);
    msg.forward.items_n = 2;
    for (size_t i = 0; i < 2; i++) {
        msg.forward.items[i].seq = i + 1;
        assert_ok(pc_blob_new(slice(&body), &msg.forward.items[i].body));
    }
    struct pc_msg out;
    round_trip(&msg, &out);
    assert_int_equal(out.forward.items_n, 2);
    pc_msg_clear(&out);
    msg.type = PC_MSG_FORWARD_REFUSED;
    round_trip(&msg, &out);
    assert_null(out.forward.items[0].body);
    pc_msg_clear(&out);
    pc_msg_clear(&msg);
    pc_buf_destroy(&body);
}

static void forward__body_that_is_no_command__is_malformed(void **state)
{
    (void)state;
    struct pc_msg msg = {.type = PC_MSG_FORWARD};
    msg.forward.items = pc_xalloc(sizeof *msg.forward.items);
    msg.forward.items_n = 1;
    msg.forward.items[0].body = blob("not a command");
    struct pc_buf buf = {0};
    pc_wire_encode_msg(&msg, &buf);
    struct pc_msg out;
    assert_int_equal(pc_wire_decode_msg(slice(&buf), 1, 2, &out), PC_E_MALFORMED);
    pc_buf_destroy(&buf);
    pc_msg_clear(&msg);
}

static void message__random_bytes__never_crash(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[64];
        size_t len = (size_t)(round % 64);
        for (size_t i = 0; i < len; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[i] = (uint8_t)x;
        }
        if (len > 2) {
            bytes[0] = (uint8_t)(0x92 + round % 2);
            bytes[1] = (uint8_t)(1 + round % 4);
        }
        struct pc_msg out;
        if (pc_wire_decode_msg(pc_slice_of(bytes, len), 1, 2, &out) == PC_OK) {
            pc_msg_clear(&out);
        }
    }
}

static void fetch__question_and_answer__come_back(void **state)
{
    (void)state;
    struct pc_msg out;
    struct pc_msg fetch = {
        .type = PC_MSG_FETCH, .fetch = {.nonce = UINT64_MAX, .first = 7, .last = 900}};
    round_trip(&fetch, &out);
    assert_true(out.fetch.nonce == UINT64_MAX && out.fetch.first == 7 && out.fetch.last == 900);
    struct pc_msg answer = {.type = PC_MSG_ENTRIES,
        .fetch = {.nonce = 3, .first = 7, .term = 5, .leads = true, .has_last = 11, .commit = 10}};
    round_trip(&answer, &out);
    assert_true(out.fetch.leads && out.fetch.v.n == 0);
    for (pc_index i = 7; i <= 8; i++) {
        struct pc_entry entry = {.index = i, .term = 4, .kind = PC_ENTRY_COMMAND};
        entry.body = blob("abc");
        pc_entries_push(&answer.fetch.v, &entry);
        pc_entry_clear(&entry);
    }
    round_trip(&answer, &out);
    assert_true(out.fetch.term == 5 && out.fetch.has_last == 11 && out.fetch.commit == 10);
    assert_int_equal(out.fetch.v.n, 2);
    assert_int_equal(out.fetch.v.v[1].index, 8);
    pc_msg_clear(&out);
    struct pc_msg same = answer; /* with the entries as the log has them */
    same.fetch.v = (struct pc_entries){0};
    same.fetch.raw = (struct pc_raw_entries){.first = 7, .n = 2};
    pc_wire_encode_entry(&answer.fetch.v.v[0], &same.fetch.raw.bytes);
    pc_wire_encode_entry(&answer.fetch.v.v[1], &same.fetch.raw.bytes);
    struct pc_buf one = {0}, other = {0};
    pc_wire_encode_msg(&answer, &one);
    pc_wire_encode_msg(&same, &other);
    assert_int_equal(one.len, other.len);
    assert_memory_equal(one.data, other.data, one.len);
    pc_buf_destroy(&one);
    pc_buf_destroy(&other);
    pc_msg_clear(&same);
    pc_msg_clear(&answer);
}

static pc_err decode_of(const struct pc_msg *msg)
{
    struct pc_buf buf = {0};
    struct pc_msg out;
    pc_wire_encode_msg(msg, &buf);
    pc_err err = pc_wire_decode_msg(slice(&buf), 1, 2, &out);
    if (err == PC_OK) {
        pc_msg_clear(&out);
    }
    pc_buf_destroy(&buf);
    return err;
}

static void fetch__senseless__is_malformed(void **state)
{
    (void)state;
    struct pc_msg fetch = {.type = PC_MSG_FETCH, .fetch = {.nonce = 1, .first = 7, .last = 6}};
    assert_int_equal(decode_of(&fetch), PC_E_MALFORMED);
    fetch.fetch = (struct pc_fetch){.nonce = 1, .first = 0, .last = 6};
    assert_int_equal(decode_of(&fetch), PC_E_MALFORMED);
    struct pc_msg answer = {.type = PC_MSG_ENTRIES, .fetch = {.nonce = 3, .first = 7}};
    struct pc_entry entry = {.index = 8, .term = 4, .kind = PC_ENTRY_NOOP};
    pc_entries_push(&answer.fetch.v, &entry);
    assert_int_equal(decode_of(&answer), PC_E_MALFORMED); /* not the first one */
    pc_msg_clear(&answer);
}

static void disk__every_level__comes_back(void **state)
{
    (void)state;
    for (unsigned level = PC_SPACE_OK; level <= PC_SPACE_FULL; level++) {
        struct pc_msg out,
            msg = {.type = PC_MSG_DISK,
                .disk = {.level = level, .free_bytes = UINT64_MAX, .sync_us = 70 * level}};
        round_trip(&msg, &out);
        assert_true(out.disk.level == level && out.disk.free_bytes == UINT64_MAX);
        assert_int_equal(out.disk.sync_us, 70 * level);
        pc_msg_clear(&out);
    }
    struct pc_msg msg = {.type = PC_MSG_DISK, .disk = {.level = PC_SPACE_FULL + 1}};
    assert_int_equal(decode_of(&msg), PC_E_MALFORMED);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(command__every_op__comes_back),
    PC_TEST(command__what_an_op_may_not_carry__is_malformed),
    PC_TEST(command__without_and_with_condition__has_these_bytes),
    PC_TEST(command__condition_that_cannot_be__is_malformed),
    PC_TEST(raft__every_type__comes_back),
    PC_TEST(append__entries__up_to_the_bound_and_no_more),
    PC_TEST(forward__both_ways__come_back),
    PC_TEST(forward__body_that_is_no_command__is_malformed),
    PC_TEST(message__random_bytes__never_crash),
    PC_TEST(fetch__question_and_answer__come_back),
    PC_TEST(fetch__senseless__is_malformed),
    PC_TEST(disk__every_level__comes_back),
};
PC_TEST_MAIN("wire_msg", tests)
