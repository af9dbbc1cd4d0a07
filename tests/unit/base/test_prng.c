#include "support/test.h"

#include "pcache/prng.h"

static void prng__same_seed__same_numbers(void **state)
{
    (void)state;
    struct pc_prng a, b, c;
    pc_prng_seed(&a, 7);
    pc_prng_seed(&b, 7);
    pc_prng_seed(&c, 8);
    bool differs = false;
    for (int i = 0; i < 100; i++) {
        uint64_t x = pc_prng_next(&a);
        assert_true(x == pc_prng_next(&b));
        differs |= x != pc_prng_next(&c);
    }
    assert_true(differs);
}

static void prng__below__covers_its_range_evenly(void **state)
{
    (void)state;
    struct pc_prng prng;
    pc_prng_seed(&prng, 1);
    unsigned count[10] = {0};
    for (int i = 0; i < 100000; i++) {
        count[pc_prng_below(&prng, 10)]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(count[i], 9500, 10500);
    }
}

static void prng__between__includes_both_ends(void **state)
{
    (void)state;
    struct pc_prng prng;
    pc_prng_seed(&prng, 3);
    bool low = false, high = false;
    for (int i = 0; i < 1000; i++) {
        uint64_t x = pc_prng_between(&prng, 5, 8);
        assert_in_range(x, 5, 8);
        low |= x == 5;
        high |= x == 8;
    }
    assert_true(low && high);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(prng__same_seed__same_numbers),
    PC_TEST(prng__below__covers_its_range_evenly),
    PC_TEST(prng__between__includes_both_ends),
};
PC_TEST_MAIN("prng", tests)
