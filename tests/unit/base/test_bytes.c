#include "support/test.h"

#include <string.h>

#include "pcache/blob.h"
#include "pcache/bytes.h"

static void reader__past_the_end__fails_for_good(void **state)
{
    (void)state;
    const uint8_t bytes[] = {1, 2, 3};
    struct pc_reader reader = pc_reader_of(pc_slice_of(bytes, sizeof bytes));
    assert_int_equal(pc_reader_u8(&reader), 1);
    assert_int_equal(pc_reader_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(pc_reader_u8(&reader), 0);
    assert_int_equal(pc_reader_left(&reader), 0);
}

static void buffer__integers__come_back_little_endian(void **state)
{
    (void)state;
    struct pc_buf buf = {0};
    pc_buf_append_u32(&buf, 0x01020304);
    pc_buf_append_u64(&buf, UINT64_C(0x1112131415161718));
    assert_int_equal(buf.data[0], 4);
    struct pc_reader reader = pc_reader_of(pc_slice_of(buf.data, buf.len));
    assert_int_equal(pc_reader_u32(&reader), 0x01020304);
    assert_true(pc_reader_u64(&reader) == UINT64_C(0x1112131415161718));
    assert_false(reader.failed);
    pc_buf_destroy(&buf);
}

static void buffer__many_appends__keep_every_byte(void **state)
{
    (void)state;
    struct pc_buf buf = {0};
    for (unsigned i = 0; i < 10000; i++) {
        pc_buf_append_u8(&buf, (uint8_t)(i * 7));
    }
    assert_int_equal(buf.len, 10000);
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(buf.data[i], (uint8_t)(i * 7));
    }
    pc_buf_destroy(&buf);
}

static void hex__round_trip__and_bad_digit_is_refused(void **state)
{
    (void)state;
    const uint8_t in[] = {0x00, 0xff, 0x5a};
    char text[7];
    pc_hex_encode(in, sizeof in, text);
    assert_string_equal(text, "00ff5a");
    uint8_t out[3];
    assert_true(pc_hex_decode(text, out, 3));
    assert_memory_equal(in, out, 3);
    assert_false(pc_hex_decode("00fg5a", out, 3));
}

static void blob__last_reference__frees(void **state)
{
    (void)state;
    struct pc_blob *blob = NULL;
    assert_ok(pc_blob_new(pc_slice_str("hello"), &blob));
    struct pc_blob *other = pc_blob_ref(blob);
    pc_blob_unref(blob);
    assert_true(pc_slice_equal(pc_blob_slice(other), pc_slice_str("hello")));
    pc_blob_unref(other); /* the sanitizer build proves the free */
    assert_int_equal(pc_blob_slice(NULL).len, 0);
}

static void error__wrap__reads_outward(void **state)
{
    (void)state;
    struct pc_error error;
    (void)pc_error_set(&error, PC_E_NO_SPACE, "no space left");
    assert_int_equal(pc_error_wrap(&error, "open segment %d", 42), PC_E_NO_SPACE);
    assert_string_equal(error.text, "open segment 42: no space left");
}

static const struct CMUnitTest tests[] = {
    PC_TEST(reader__past_the_end__fails_for_good),
    PC_TEST(buffer__integers__come_back_little_endian),
    PC_TEST(buffer__many_appends__keep_every_byte),
    PC_TEST(hex__round_trip__and_bad_digit_is_refused),
    PC_TEST(blob__last_reference__frees),
    PC_TEST(error__wrap__reads_outward),
};
PC_TEST_MAIN("bytes", tests)
