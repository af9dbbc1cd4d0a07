/* prng.h: seeded pseudo-random numbers (xoshiro256**, Blackman and Vigna 2018) for timeouts and
 * shuffles. Each machine owns one; never for keys, nonces or identities. */
#ifndef PCACHE_PRNG_H
#define PCACHE_PRNG_H

#include "pcache/types.h"

/* The generator; seeded before its first use, owned by whoever draws from it. */
struct pc_prng {
    uint64_t s[4];
};

/* Any seed is good, also 0 (spread by splitmix64). */
void pc_prng_seed(struct pc_prng *prng, uint64_t seed);
uint64_t pc_prng_next(struct pc_prng *prng);
/* Uniform in [0, bound), without modulo bias. Requires bound > 0. */
uint64_t pc_prng_below(struct pc_prng *prng, uint64_t bound);
/* Uniform in lo..hi. Requires lo <= hi. */
uint64_t pc_prng_between(struct pc_prng *prng, uint64_t lo, uint64_t hi);
/* True with probability per_million / 1,000,000. */
bool pc_prng_chance(struct pc_prng *prng, uint32_t per_million);

#endif
