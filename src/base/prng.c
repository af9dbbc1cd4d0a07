#include "pcache/prng.h"

#include "pcache/assert.h"

static uint64_t splitmix64(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

void pc_prng_seed(struct pc_prng *prng, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        prng->s[i] = splitmix64(&seed);
    }
}

uint64_t pc_prng_next(struct pc_prng *prng)
{
    uint64_t *s = prng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t pc_prng_below(struct pc_prng *prng, uint64_t bound)
{
    PC_ASSERT(bound > 0);
    /* The lowest 2^64 mod bound values would come once too often: draw again. */
    uint64_t reject_below = (UINT64_C(0) - bound) % bound;
    uint64_t x;
    do {
        x = pc_prng_next(prng);
    } while (x < reject_below);
    return x % bound;
}

uint64_t pc_prng_between(struct pc_prng *prng, uint64_t lo, uint64_t hi)
{
    PC_ASSERT(lo <= hi && hi - lo < UINT64_MAX);
    return lo + pc_prng_below(prng, hi - lo + 1);
}

bool pc_prng_chance(struct pc_prng *prng, uint32_t per_million)
{
    return pc_prng_below(prng, 1000000) < per_million;
}
