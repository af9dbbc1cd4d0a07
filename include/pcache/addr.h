/* addr.h: a numeric network address (no name resolution, no OS types). */
#ifndef PCACHE_ADDR_H
#define PCACHE_ADDR_H

#include "pcache/bytes.h"

/* IPv4 as v4-mapped IPv6 (::ffff:a.b.c.d). All zero with port 0 = none. */
struct pc_addr {
    uint8_t ip[16];
    uint16_t port;
};

#define PC_ADDR_TEXT_MAX 64

bool pc_addr_equal(const struct pc_addr *a, const struct pc_addr *b);
bool pc_addr_is_none(const struct pc_addr *addr);
/* "127.0.0.1:7946" or "[::1]:7946"; out has room for PC_ADDR_TEXT_MAX. */
void pc_addr_format(const struct pc_addr *addr, char *out);
/* Parses what pc_addr_format prints. Returns PC_OK or PC_E_INVALID. */
PC_MUST_CHECK pc_err pc_addr_parse(const char *text, struct pc_addr *out);

#endif
