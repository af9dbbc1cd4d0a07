/* crc32c.h: CRC-32C (Castagnoli), as in RFC 3720 appendix B.4. */
#ifndef PCACHE_CRC32C_H
#define PCACHE_CRC32C_H

#include "pcache/bytes.h"

/* The checksum of `bytes`, continuing from `crc` (0 to begin). */
uint32_t pc_crc32c(uint32_t crc, struct pc_slice bytes);

#endif
