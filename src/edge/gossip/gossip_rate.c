/* A token bucket per source address, looked at before any cryptography.
 *
 * The table is small and fixed: sets of a few places, chosen by a keyed hash, the longest silent
 * one reused. A flood of forged addresses thus costs a real source at most a full bucket, never its
 * place. An IPv6 source counts by its /64, because one host commands all of it. */
#include "gossip_int.h"

#include <string.h>

#include "pcache/assert.h"

#define TOKEN UINT64_C(1000000)
#define TOKENS_MAX (GOSSIP_RATE_PER_S * TOKEN)
#define IPV6_NETWORK_BYTES 8

static void source_key(const struct pc_addr *from, uint8_t *ip)
{
    memcpy(ip, from->ip, sizeof from->ip);
    if (!pc_os_addr_is_v4(from)) {
        memset(ip + IPV6_NETWORK_BYTES, 0, sizeof from->ip - IPV6_NETWORK_BYTES);
    }
}

static struct gossip_source *find_source(
    struct gossip_rate *rate, const uint8_t *ip, struct pc_instant now)
{
    uint8_t hash[crypto_shorthash_BYTES];
    crypto_shorthash(hash, ip, 16, rate->hash_key);
    struct gossip_source *set = rate->sources[pc_get_u64(hash) % GOSSIP_RATE_SETS];
    struct gossip_source *oldest = &set[0];
    for (size_t i = 0; i < GOSSIP_RATE_WAYS; i++) {
        if (set[i].at.us != 0 && memcmp(set[i].ip, ip, sizeof set[i].ip) == 0) {
            return &set[i];
        }
        if (set[i].at.us < oldest->at.us) {
            oldest = &set[i];
        }
    }
    memcpy(oldest->ip, ip, sizeof oldest->ip);
    oldest->at = now;
    oldest->micro_tokens = TOKENS_MAX;
    return oldest;
}

bool gossip_rate_admit(struct gossip_rate *rate, const struct pc_addr *from, struct pc_instant now)
{
    PC_ASSERT(now.us > 0);
    uint8_t ip[16];
    source_key(from, ip);
    struct gossip_source *source = find_source(rate, ip, now);
    /* A microsecond brings GOSSIP_RATE_PER_S millionths of a token; a second fills the bucket. */
    uint64_t us = now.us > source->at.us ? now.us - source->at.us : 0;
    uint64_t gained = us >= 1000000 ? TOKENS_MAX : us * GOSSIP_RATE_PER_S;
    uint64_t tokens = source->micro_tokens + gained;
    source->micro_tokens = tokens < TOKENS_MAX ? tokens : TOKENS_MAX;
    source->at = now;
    if (source->micro_tokens < TOKEN) {
        return false;
    }
    source->micro_tokens -= TOKEN;
    return true;
}
