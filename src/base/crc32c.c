/* CRC-32C by slicing (Kounavis and Berry 2005): eight bytes a step, one look-up for each, so the
 * look-ups do not wait for one another as they do byte by byte. */
#include "pcache/crc32c.h"

#include "crc32c_int.h"

static uint32_t step_byte(uint32_t crc, uint8_t byte)
{
    return (crc >> 8) ^ crc32c_table[0][(uint8_t)(crc ^ byte)];
}

static uint32_t step_eight(uint32_t crc, const uint8_t *in)
{
    uint64_t x = pc_get_u64(in) ^ crc;
    return crc32c_table[7][(uint8_t)x] ^ crc32c_table[6][(uint8_t)(x >> 8)] ^
           crc32c_table[5][(uint8_t)(x >> 16)] ^ crc32c_table[4][(uint8_t)(x >> 24)] ^
           crc32c_table[3][(uint8_t)(x >> 32)] ^ crc32c_table[2][(uint8_t)(x >> 40)] ^
           crc32c_table[1][(uint8_t)(x >> 48)] ^ crc32c_table[0][(uint8_t)(x >> 56)];
}

uint32_t pc_crc32c(uint32_t crc, struct pc_slice bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.len;
    crc = ~crc;
    for (; left >= 8; left -= 8, at += 8) {
        crc = step_eight(crc, at);
    }
    for (; left > 0; left--, at++) {
        crc = step_byte(crc, *at);
    }
    return ~crc;
}
