/* crc32c_int.h: the tables of crc32c.c. */
#ifndef PCACHE_CRC32C_INT_H
#define PCACHE_CRC32C_INT_H

#include <stdint.h>

extern const uint32_t crc32c_table[8][256];

#endif
