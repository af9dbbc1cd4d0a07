/* Text of numeric addresses, by hand: this floor calls no system library for networks.
 *
 * IPv6 text follows RFC 5952: lower case, no leading zeros, the first longest run of at least two
 * zero groups as "::". Addresses mapped from IPv4 are written as IPv4. */
#include "pcache/addr.h"

#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"

#define GROUPS 8

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

bool pc_addr_equal(const struct pc_addr *a, const struct pc_addr *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool pc_addr_is_none(const struct pc_addr *addr)
{
    static const struct pc_addr none = {0};
    return pc_addr_equal(addr, &none);
}

static unsigned group_at(const struct pc_addr *addr, int i)
{
    return (unsigned)addr->ip[2 * i] << 8 | addr->ip[2 * i + 1];
}

/* Finds the first longest run of zero groups, at least two long; length 0 when there is none. */
static int find_zero_run(const struct pc_addr *addr, int *first)
{
    int best = 0;
    for (int i = 0; i < GROUPS; i++) {
        int n = 0;
        while (i + n < GROUPS && group_at(addr, i + n) == 0) {
            n++;
        }
        if (n > best && n >= 2) {
            best = n;
            *first = i;
        }
    }
    return best;
}

static void format_v6(const struct pc_addr *addr, char *out)
{
    int run_first = GROUPS;
    int run = find_zero_run(addr, &run_first);
    size_t at = 0;
    out[at++] = '[';
    for (int i = 0; i < GROUPS; i++) {
        if (run > 0 && i == run_first) {
            out[at++] = ':';
            out[at++] = ':';
            i += run - 1;
            continue;
        }
        bool separate = i > 0 && !(run > 0 && i == run_first + run);
        int used =
            snprintf(out + at, PC_ADDR_TEXT_MAX - at, separate ? ":%x" : "%x", group_at(addr, i));
        at += (size_t)used;
    }
    (void)snprintf(out + at, PC_ADDR_TEXT_MAX - at, "]:%u", addr->port);
}

void pc_addr_format(const struct pc_addr *addr, char *out)
{
    if (memcmp(addr->ip, v4_prefix, sizeof v4_prefix) != 0) {
        format_v6(addr, out);
        return;
    }
    const uint8_t *ip = addr->ip + sizeof v4_prefix;
    int used =
        snprintf(out, PC_ADDR_TEXT_MAX, "%u.%u.%u.%u:%u", ip[0], ip[1], ip[2], ip[3], addr->port);
    PC_ASSERT(used > 0 && used < PC_ADDR_TEXT_MAX);
}

/* A decimal number of at most `digits_max` digits, without a leading zero. */
static bool parse_decimal(const char **text, size_t digits_max, uint32_t max, uint32_t *out)
{
    size_t digits = strspn(*text, "0123456789");
    if (digits == 0 || digits > digits_max || (digits > 1 && **text == '0')) {
        return false;
    }
    uint32_t v = 0;
    for (size_t i = 0; i < digits; i++) {
        v = v * 10 + (uint32_t)((*text)[i] - '0');
    }
    *text += digits;
    *out = v;
    return v <= max;
}

static bool parse_v4(const char **text, uint8_t *ip)
{
    memcpy(ip, v4_prefix, sizeof v4_prefix);
    for (int i = 0; i < 4; i++) {
        uint32_t v;
        if (i > 0 && *(*text)++ != '.') {
            return false;
        }
        if (!parse_decimal(text, 3, 255, &v)) {
            return false;
        }
        ip[sizeof v4_prefix + (size_t)i] = (uint8_t)v;
    }
    return true;
}

static bool parse_group(const char **text, uint8_t *out)
{
    unsigned v = 0;
    int digits = 0;
    for (; digits < 5; digits++) {
        char c = **text;
        if (c >= '0' && c <= '9') {
            v = v * 16 + (unsigned)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            v = v * 16 + (unsigned)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            v = v * 16 + (unsigned)(c - 'A') + 10;
        } else {
            break;
        }
        (*text)++;
    }
    out[0] = (uint8_t)(v >> 8);
    out[1] = (uint8_t)v;
    return digits >= 1 && digits <= 4;
}

/* Between the brackets: groups, with at most one "::". Stops at the closing bracket. */
static bool parse_v6(const char **text, uint8_t *ip)
{
    int n = 0;
    int gap = -1; /* where "::" stood */
    uint8_t groups[2 * GROUPS];
    if ((*text)[0] == ':' && (*text)[1] != ':') {
        return false;
    }
    while (**text != ']') {
        if ((*text)[0] == ':' && (*text)[1] == ':') {
            if (gap >= 0) {
                return false;
            }
            gap = n;
            *text += 2;
            continue;
        }
        bool separator_due = n > 0 && gap != n;
        if (separator_due && *(*text)++ != ':') {
            return false;
        }
        if (n == GROUPS || !parse_group(text, groups + 2 * n)) {
            return false;
        }
        n++;
    }
    if (gap < 0 ? n != GROUPS : n >= GROUPS) {
        return false;
    }
    size_t head = gap < 0 ? 2 * GROUPS : 2 * (size_t)gap;
    size_t tail = 2 * (size_t)n - (gap < 0 ? 2 * (size_t)n : head);
    memset(ip, 0, 2 * GROUPS);
    memcpy(ip, groups, head);
    memcpy(ip + 2 * GROUPS - tail, groups + head, tail);
    return true;
}

pc_err pc_addr_parse(const char *text, struct pc_addr *out)
{
    struct pc_addr addr;
    bool ok;
    if (*text == '[') {
        text++;
        ok = parse_v6(&text, addr.ip) && *text++ == ']';
    } else {
        ok = parse_v4(&text, addr.ip);
    }
    uint32_t port = 0;
    ok = ok && *text++ == ':' && parse_decimal(&text, 5, UINT16_MAX, &port) && *text == '\0';
    if (!ok) {
        return PC_E_INVALID;
    }
    addr.port = (uint16_t)port;
    *out = addr;
    return PC_OK;
}
