#include "support/test.h"

#include <string.h>

#include "pcache/crc32c.h"

static void crc32c__vectors_of_rfc_3720__match(void **state)
{
    (void)state;
    uint8_t bytes[32];
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(pc_crc32c(0, pc_slice_of(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(pc_crc32c(0, pc_slice_of(bytes, 32)), 0x62a8ab43);
    for (unsigned i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(pc_crc32c(0, pc_slice_of(bytes, 32)), 0x46dd794e);
    assert_int_equal(pc_crc32c(0, pc_slice_str("123456789")), 0xe3069283);
}

static void crc32c__split_anywhere__is_the_same(void **state)
{
    (void)state;
    const char *text = "the quick brown fox jumps over the lazy dog";
    uint32_t whole = pc_crc32c(0, pc_slice_str(text));
    for (size_t cut = 0; cut <= strlen(text); cut++) {
        uint32_t crc = pc_crc32c(0, pc_slice_of(text, cut));
        crc = pc_crc32c(crc, pc_slice_str(text + cut));
        assert_int_equal(crc, whole);
    }
}

/* The definition: one bit at a time. */
static uint32_t bit_by_bit(const uint8_t *bytes, size_t len)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

static void crc32c__every_byte_at_every_place__is_the_definition(void **state)
{
    (void)state;
    for (unsigned value = 0; value < 256; value++) {
        for (size_t place = 0; place < 9; place++) {
            uint8_t bytes[9] = {0};
            bytes[place] = (uint8_t)value;
            uint32_t crc = pc_crc32c(0, pc_slice_of(bytes, sizeof bytes));
            assert_int_equal(crc, bit_by_bit(bytes, sizeof bytes));
        }
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(crc32c__vectors_of_rfc_3720__match),
    PC_TEST(crc32c__split_anywhere__is_the_same),
    PC_TEST(crc32c__every_byte_at_every_place__is_the_definition),
};
PC_TEST_MAIN("crc32c", tests)
