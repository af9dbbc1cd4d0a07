#include "support/test.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/mpack.h"

/* A cursor over hex text. The bytes sit at the end of their own allocation, so that the sanitizer
 * build sees a read past the end. */
struct input {
    uint8_t *bytes;
    struct pc_mpack_reader reader;
};

static struct input input_of(const char *hex)
{
    struct input in = {0};
    size_t len = strlen(hex) / 2;
    in.bytes = malloc(len > 0 ? len : 1);
    assert_non_null(in.bytes);
    assert_true(pc_hex_decode(hex, in.bytes, len));
    in.reader = pc_mpack_reader_of(pc_slice_of(in.bytes, len));
    return in;
}

static void input_free(struct input *in)
{
    free(in->bytes);
}

/* Skips values until the end; what finish says of it. */
static pc_err walk(const char *hex)
{
    struct input in = input_of(hex);
    while (pc_mpack_left(&in.reader) > 0) {
        (void)pc_mpack_skip(&in.reader);
    }
    pc_err err = pc_mpack_finish(&in.reader);
    input_free(&in);
    return err;
}

static void numbers__every_width__come_back_and_are_shortest(void **state)
{
    (void)state;
    static const struct {
        uint64_t v;
        size_t bytes;
    } table[] = {
        {0, 1},
        {127, 1},
        {128, 2},
        {255, 2},
        {256, 3},
        {65535, 3},
        {65536, 5},
        {UINT32_MAX, 5},
        {UINT64_C(1) << 32, 9},
        {UINT64_MAX, 9},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct pc_buf buf = {0};
        struct pc_mpack_writer writer = pc_mpack_writer_of(&buf);
        pc_mpack_write_uint(&writer, table[i].v);
        assert_int_equal(buf.len, table[i].bytes);
        struct pc_mpack_reader reader = pc_mpack_reader_of(pc_slice_of(buf.data, buf.len));
        assert_true(pc_mpack_read_uint(&reader, UINT64_MAX) == table[i].v);
        assert_ok(pc_mpack_finish(&reader));
        pc_buf_destroy(&buf);
    }
}

static void numbers__signed_edges__come_back(void **state)
{
    (void)state;
    static const int64_t table[] = {0, 1, -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,
        (int64_t)INT32_MIN - 1, INT64_MIN, INT64_MAX, 127, 128};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct pc_buf buf = {0};
        struct pc_mpack_writer writer = pc_mpack_writer_of(&buf);
        pc_mpack_write_int(&writer, table[i]);
        struct pc_mpack_reader reader = pc_mpack_reader_of(pc_slice_of(buf.data, buf.len));
        assert_true(pc_mpack_read_int(&reader) == table[i]);
        assert_ok(pc_mpack_finish(&reader));
        pc_buf_destroy(&buf);
    }
}

static void number__longer_form_than_needed__is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {"cc7f", "cc00", "cd00ff", "ce0000ffff", "cf00000000ffffffff",
        "d0ff", "d0e0", "d005", "d1ff80", "d10100", "d2ffff8000", "d3ffffffff80000000",
        "d30000000100000000", "d900", "da0001ff", "dc000f", "de0001", "dd00000001c0", "c50001ff",
        "c6000000010a"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(walk(bad[i]), PC_E_MALFORMED);
    }
    static const char *const good[] = {"cc80", "cd0100", "ce00010000", "cf0000000100000000", "d0df",
        "d1ff7f", "d2ffff7fff", "d3ffffffff7fffffff", "c400", "c0", "c2", "c3", "ff", "e0"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_ok(walk(good[i]));
    }
}

static void type__never_used_by_us__is_malformed(void **state)
{
    (void)state;
    static const char *const bad[] = {"c1", "c70005", "c8000005", "c90000000005", "ca00000000",
        "cb0000000000000000", "d40500", "d8050000000000000000000000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(walk(bad[i]), PC_E_MALFORMED);
        struct input in = input_of(bad[i]);
        assert_int_equal(pc_mpack_peek(&in.reader), PC_MPACK_NONE);
        input_free(&in);
    }
}

static void length__beyond_the_bytes_left__fails_before_it_is_believed(void **state)
{
    (void)state;
    static const char *const bad[] = {"dd05f5e100", "df02faf080", "dfffffffff", "ddffffffff",
        "c6ffffffff", "dbffffffff", "c401", "a1", "91", "81c0", "cd01", "cfffffffffffffff", "cc",
        "c4", "dd", "c5ff"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(walk(bad[i]), PC_E_MALFORMED);
    }
    struct input in = input_of("dd05f5e100");
    assert_int_equal(pc_mpack_read_array(&in.reader), 0);
    assert_true(in.reader.failed);
    input_free(&in);
}

static void nesting__at_and_over_the_bound__is_taken_and_refused(void **state)
{
    (void)state;
    assert_ok(walk("9191919191919191c0"));
    assert_int_equal(walk("919191919191919191c0"), PC_E_MALFORMED);
    assert_ok(walk("919191919191919190")); /* an empty one opens nothing */
    assert_ok(walk("9292c0c092c0c0"));     /* closed ones do not count */
}

static void container__not_complete__is_malformed(void **state)
{
    (void)state;
    struct input in = input_of("9201c0");
    assert_int_equal(pc_mpack_read_array(&in.reader), 2);
    assert_int_equal(pc_mpack_read_uint(&in.reader, 1), 1);
    assert_int_equal(pc_mpack_finish(&in.reader), PC_E_MALFORMED);
    pc_mpack_read_nil(&in.reader);
    assert_ok(pc_mpack_finish(&in.reader));
    input_free(&in);
}

static void finish__bytes_left__is_malformed(void **state)
{
    (void)state;
    struct input in = input_of("c0c0");
    pc_mpack_read_nil(&in.reader);
    assert_int_equal(pc_mpack_finish(&in.reader), PC_E_MALFORMED);
    input_free(&in);
}

static void read__another_type_or_over_max__fails_for_good(void **state)
{
    (void)state;
    struct input in = input_of("a3616263c3");
    assert_int_equal(pc_mpack_read_bin(&in.reader, 10).len, 0);
    assert_true(in.reader.failed);
    assert_int_equal(pc_mpack_read_str(&in.reader, 10).len, 0);
    assert_int_equal(pc_mpack_left(&in.reader), 0);
    assert_int_equal(pc_mpack_skip(&in.reader).len, 0);
    input_free(&in);

    in = input_of("a3616263");
    assert_int_equal(pc_mpack_read_str(&in.reader, 2).len, 0);
    assert_int_equal(pc_mpack_finish(&in.reader), PC_E_MALFORMED);
    input_free(&in);

    in = input_of("cd0100");
    assert_int_equal(pc_mpack_read_uint(&in.reader, 255), 0);
    assert_true(in.reader.failed);
    input_free(&in);

    in = input_of("cfffffffffffffffff");
    assert_int_equal(pc_mpack_read_int(&in.reader), 0);
    assert_true(in.reader.failed);
    input_free(&in);
}

static void skip__unknown_field__gives_its_bytes_and_goes_on(void **state)
{
    (void)state;
    struct input in = input_of("9382a16192c4020102c2a16381a162c007c3");
    assert_int_equal(pc_mpack_read_array(&in.reader), 3);
    assert_int_equal(pc_mpack_skip(&in.reader).len, 15);
    assert_int_equal(pc_mpack_read_uint(&in.reader, 100), 7);
    assert_true(pc_mpack_read_bool(&in.reader));
    assert_ok(pc_mpack_finish(&in.reader));
    input_free(&in);

    in = input_of("9401020304");
    assert_int_equal(pc_mpack_read_array(&in.reader), 4);
    assert_int_equal(pc_mpack_read_uint(&in.reader, 100), 1);
    pc_mpack_skip_rest(&in.reader, 3);
    assert_ok(pc_mpack_finish(&in.reader));
    input_free(&in);
}

static void map_key__repeated_or_falling__is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        pc_err want;
    } table[] = {{"8200c001c0", PC_OK}, {"8200c005c0", PC_OK}, {"8201c001c0", PC_E_MALFORMED},
        {"8202c001c0", PC_E_MALFORMED}, {"8200c000c0", PC_E_MALFORMED},
        {"82a0c001c0", PC_E_MALFORMED}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct input in = input_of(table[i].hex);
        uint64_t last = UINT64_MAX;
        uint32_t pairs = pc_mpack_read_map(&in.reader);
        for (uint32_t k = 0; k < pairs; k++) {
            (void)pc_mpack_read_key(&in.reader, &last);
            (void)pc_mpack_skip(&in.reader);
        }
        assert_int_equal(pc_mpack_finish(&in.reader), table[i].want);
        input_free(&in);
    }
}

static void writer__lengths_at_each_border__are_read_back(void **state)
{
    (void)state;
    static const size_t lengths[] = {0, 1, 31, 32, 255, 256, 65535, 65536};
    uint8_t *bytes = malloc(65536);
    assert_non_null(bytes);
    memset(bytes, 'x', 65536);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct pc_buf buf = {0};
        struct pc_mpack_writer writer = pc_mpack_writer_of(&buf);
        struct pc_slice in = pc_slice_of(bytes, lengths[i]);
        pc_mpack_write_map(&writer, 1);
        pc_mpack_write_str(&writer, in);
        pc_mpack_write_bin(&writer, in);
        pc_mpack_write_bin_head(&writer, in.len);
        pc_buf_append(&buf, in.data, in.len);
        pc_mpack_write_array(&writer, (uint32_t)in.len);
        for (size_t k = 0; k < in.len; k++) {
            pc_mpack_write_bool(&writer, k % 2 == 0);
        }
        pc_mpack_write_nil(&writer);
        struct pc_mpack_reader reader = pc_mpack_reader_of(pc_slice_of(buf.data, buf.len));
        assert_int_equal(pc_mpack_read_map(&reader), 1);
        assert_true(pc_slice_equal(pc_mpack_read_str(&reader, SIZE_MAX), in));
        assert_true(pc_slice_equal(pc_mpack_read_bin(&reader, SIZE_MAX), in));
        assert_true(pc_slice_equal(pc_mpack_read_bin(&reader, in.len), in));
        assert_int_equal(pc_mpack_peek(&reader), PC_MPACK_ARRAY);
        assert_true(pc_mpack_skip(&reader).len >= in.len);
        pc_mpack_read_nil(&reader);
        assert_ok(pc_mpack_finish(&reader));
        pc_buf_destroy(&buf);
    }
    free(bytes);
}

/* Every string of up to three bytes: none may be read past its end (sanitizer build), and what is
 * accepted is unique, which re-encoding would show: here, its length is what was consumed. */
static void walk__all_short_inputs__end(void **state)
{
    (void)state;
    size_t accepted = 0;
    for (uint32_t v = 0; v < UINT32_C(1) << 24; v += 37) {
        uint8_t bytes[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        struct pc_mpack_reader reader = pc_mpack_reader_of(pc_slice_of(bytes, 3));
        size_t consumed = 0;
        while (pc_mpack_left(&reader) > 0) {
            consumed += pc_mpack_skip(&reader).len;
        }
        if (pc_mpack_finish(&reader) == PC_OK) {
            assert_int_equal(consumed, 3);
            accepted++;
        }
    }
    assert_true(accepted > 1000);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(numbers__every_width__come_back_and_are_shortest),
    PC_TEST(numbers__signed_edges__come_back),
    PC_TEST(number__longer_form_than_needed__is_malformed),
    PC_TEST(type__never_used_by_us__is_malformed),
    PC_TEST(length__beyond_the_bytes_left__fails_before_it_is_believed),
    PC_TEST(nesting__at_and_over_the_bound__is_taken_and_refused),
    PC_TEST(container__not_complete__is_malformed),
    PC_TEST(finish__bytes_left__is_malformed),
    PC_TEST(read__another_type_or_over_max__fails_for_good),
    PC_TEST(skip__unknown_field__gives_its_bytes_and_goes_on),
    PC_TEST(map_key__repeated_or_falling__is_malformed),
    PC_TEST(writer__lengths_at_each_border__are_read_back),
    PC_TEST(walk__all_short_inputs__end),
};
PC_TEST_MAIN("mpack", tests)
