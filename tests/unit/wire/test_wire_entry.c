#include "support/test.h"

#include <string.h>

#include "pcache/limits.h"
#include "pcache/prng.h"
#include "pcache/wire_entry.h"

static struct pc_entry sample(const char *body)
{
    struct pc_entry entry = {.index = 300,
        .term = 7,
        .stamp_ms = UINT64_C(1700000000000),
        .req = {.node = UINT64_C(0x1122334455667788), .boot = 1, .seq = 2},
        .kind = PC_ENTRY_COMMAND};
    for (size_t i = 0; i < sizeof entry.chain.b; i++) {
        entry.chain.b[i] = (uint8_t)i;
    }
    assert_ok(pc_blob_new(pc_slice_str(body), &entry.body));
    return entry;
}

static void entry__encoded__is_these_bytes(void **state)
{
    (void)state;
    struct pc_entry entry = sample("hi");
    struct pc_buf buf = {0};
    pc_wire_encode_entry(&entry, &buf);
    char text[256];
    assert_true(buf.len < 100);
    pc_hex_encode(buf.data, buf.len, text);
    assert_string_equal(text, "99cd012c07cf0000018bcfe56800cf1122334455667788010203c410"
                              "000102030405060708090a0b0c0d0e0fc4026869");
    pc_buf_destroy(&buf);
    pc_entry_clear(&entry);
}

static void entry__round_trip__is_equal(void **state)
{
    (void)state;
    struct pc_entry entry = sample("some body");
    struct pc_buf buf = {0};
    pc_wire_encode_entry(&entry, &buf);
    struct pc_entry back;
    assert_ok(pc_wire_decode_entry(pc_slice_of(buf.data, buf.len), &back));
    assert_int_equal(back.index, entry.index);
    assert_int_equal(back.term, entry.term);
    assert_int_equal(back.stamp_ms, entry.stamp_ms);
    assert_int_equal(back.req.node, entry.req.node);
    assert_int_equal(back.req.boot, entry.req.boot);
    assert_int_equal(back.req.seq, entry.req.seq);
    assert_int_equal(back.kind, entry.kind);
    assert_true(pc_hash_equal(&back.chain, &entry.chain));
    assert_true(pc_slice_equal(pc_blob_slice(back.body), pc_slice_str("some body")));
    pc_entry_clear(&back);
    pc_entry_clear(&entry);
    pc_buf_destroy(&buf);
}

static void entry__of_the_largest_numbers__stays_within_the_overhead(void **state)
{
    (void)state;
    struct pc_entry entry = {.index = UINT64_MAX,
        .term = PC_TERM_MAX,
        .stamp_ms = PC_CLOCK_MS_MAX,
        .req = {UINT64_MAX, UINT64_MAX, UINT64_MAX},
        .kind = PC_ENTRY_NOOP};
    struct pc_buf buf = {0};
    pc_wire_encode_entry(&entry, &buf);
    assert_true(buf.len <= PC_ENTRY_OVERHEAD_BYTES_MAX);
    struct pc_entry back;
    assert_ok(pc_wire_decode_entry(pc_slice_of(buf.data, buf.len), &back));
    assert_null(back.body);
    pc_buf_destroy(&buf);
}

/* Prefixes, an added byte, and every single changed byte: never a crash, and whatever decodes has
 * exactly these bytes as its encoding. */
static void entry__mutated__is_refused_or_canonical(void **state)
{
    (void)state;
    struct pc_entry entry = sample("a body of some length");
    struct pc_buf buf = {0};
    pc_wire_encode_entry(&entry, &buf);
    size_t len = buf.len;
    struct pc_entry back;
    for (size_t cut = 0; cut < len; cut++) {
        assert_int_equal(pc_wire_decode_entry(pc_slice_of(buf.data, cut), &back), PC_E_MALFORMED);
    }
    pc_buf_append_u8(&buf, 0);
    assert_int_equal(pc_wire_decode_entry(pc_slice_of(buf.data, len + 1), &back), PC_E_MALFORMED);
    for (size_t at = 0; at < len; at++) {
        uint8_t old = buf.data[at];
        for (unsigned v = 0; v < 256; v++) {
            buf.data[at] = (uint8_t)v;
            if (pc_wire_decode_entry(pc_slice_of(buf.data, len), &back) == PC_OK) {
                struct pc_buf again = {0};
                pc_wire_encode_entry(&back, &again);
                assert_int_equal(again.len, len);
                assert_memory_equal(again.data, buf.data, len);
                pc_buf_destroy(&again);
                pc_entry_clear(&back);
            }
        }
        buf.data[at] = old;
    }
    pc_buf_destroy(&buf);
    pc_entry_clear(&entry);
}

static void entry__a_number_out_of_range__is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct pc_entry entry = sample("x");
        entry.index = i == 0 ? 0 : entry.index;
        entry.term = i == 1 ? 0 : entry.term;
        entry.kind = i == 2 ? (enum pc_entry_kind)0 : entry.kind;
        entry.term = i == 3 ? PC_TERM_MAX + 1 : entry.term;
        entry.stamp_ms = i == 4 ? PC_CLOCK_MS_MAX + 1 : entry.stamp_ms;
        struct pc_buf buf = {0};
        pc_wire_encode_entry(&entry, &buf);
        struct pc_entry back;
        assert_int_equal(
            pc_wire_decode_entry(pc_slice_of(buf.data, buf.len), &back), PC_E_MALFORMED);
        pc_buf_destroy(&buf);
        pc_entry_clear(&entry);
    }
}

/* It is not damaged: a later program has made it. */
static void entry__of_a_kind_of_later__is_of_another_version(void **state)
{
    (void)state;
    static const uint32_t kinds[] = {4, 300, UINT32_MAX};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct pc_entry back, entry = sample("x");
        struct pc_buf buf = {0};
        entry.kind = (enum pc_entry_kind)kinds[i];
        pc_wire_encode_entry(&entry, &buf);
        struct pc_slice bytes = pc_slice_of(buf.data, buf.len);
        assert_int_equal(pc_wire_decode_entry(bytes, &back), PC_E_VERSION);
        assert_int_equal(pc_wire_entry_kind(bytes), kinds[i]);
        struct pc_mpack_reader reader = pc_mpack_reader_of(bytes);
        assert_int_equal(pc_wire_read_entry(&reader, &back), PC_E_MALFORMED);
        assert_true(reader.failed);
        bytes.len--; /* that one is */
        assert_int_equal(pc_wire_decode_entry(bytes, &back), PC_E_MALFORMED);
        pc_buf_destroy(&buf);
        pc_entry_clear(&entry);
    }
    assert_int_equal(pc_wire_entry_kind(pc_slice_str("?")), 0);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(entry__encoded__is_these_bytes),
    PC_TEST(entry__round_trip__is_equal),
    PC_TEST(entry__of_the_largest_numbers__stays_within_the_overhead),
    PC_TEST(entry__mutated__is_refused_or_canonical),
    PC_TEST(entry__a_number_out_of_range__is_refused),
    PC_TEST(entry__of_a_kind_of_later__is_of_another_version),
};
PC_TEST_MAIN("wire_entry", tests)
