#include "support/test.h"

#include <string.h>

#include "pcache/addr.h"
#include "pcache/prng.h"

static void assert_round_trip(const char *in, const char *expected)
{
    struct pc_addr addr;
    char text[PC_ADDR_TEXT_MAX];
    assert_ok(pc_addr_parse(in, &addr));
    pc_addr_format(&addr, text);
    assert_string_equal(text, expected);
    struct pc_addr again;
    assert_ok(pc_addr_parse(text, &again));
    assert_true(pc_addr_equal(&addr, &again));
}

static void addr__texts__come_back_canonical(void **state)
{
    (void)state;
    assert_round_trip("127.0.0.1:7946", "127.0.0.1:7946");
    assert_round_trip("255.255.255.255:65535", "255.255.255.255:65535");
    assert_round_trip("0.0.0.0:0", "0.0.0.0:0");
    assert_round_trip("[::1]:7946", "[::1]:7946");
    assert_round_trip("[::]:1", "[::]:1");
    assert_round_trip("[FE80::]:1", "[fe80::]:1");
    assert_round_trip("[2001:db8:0:0:1:0:0:1]:80", "[2001:db8::1:0:0:1]:80");
    assert_round_trip("[1:0:2:0:0:0:3:4]:80", "[1:0:2::3:4]:80");
    assert_round_trip("[1:2:3:4:5:6:7:8]:80", "[1:2:3:4:5:6:7:8]:80");
    assert_round_trip("[1:2:3:4:5:6:0:8]:80", "[1:2:3:4:5:6:0:8]:80");
}

static void addr__other_texts__are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
        "127.0.0.1:7946x", "127.0.0:1", "127.0.0.256:1", "127.0.0.01:1", "127.0.0.1.1:1",
        "localhost:1", ":1", "::1:1", "[::1]", "[::1]1", "[::1:1", "[1:2]:1", "[1::2::3]:1",
        "[:1:2:3:4:5:6:7:8]:1", "[1:2:3:4:5:6:7:8:9]:1", "[1:2:3:4:5:6:7::8]:1", "[12345::]:1",
        "[g::]:1", "[1:2:3:4:5:6:7:]:1", "[", "[:", "[1:::2]:1", "-1.0.0.1:1", "1.2.3.4:99999999"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct pc_addr addr = {.port = 77};
        if (pc_addr_parse(bad[i], &addr) != PC_E_INVALID) {
            fail_msg("accepted \"%s\"", bad[i]);
        }
        assert_int_equal(addr.port, 77);
    }
}

static void addr__any_number__prints_and_parses_back(void **state)
{
    (void)state;
    struct pc_prng prng;
    pc_prng_seed(&prng, 7);
    for (int i = 0; i < 20000; i++) {
        struct pc_addr addr = {.port = (uint16_t)pc_prng_next(&prng)};
        for (size_t b = 0; b < sizeof addr.ip; b++) {
            bool zero = pc_prng_below(&prng, 4) > 0; /* runs of zeros are the hard part */
            addr.ip[b] = zero ? 0 : (uint8_t)pc_prng_next(&prng);
        }
        char text[PC_ADDR_TEXT_MAX];
        pc_addr_format(&addr, text);
        struct pc_addr back;
        assert_ok(pc_addr_parse(text, &back));
        assert_true(pc_addr_equal(&addr, &back));
    }
}

static void addr__all_zero__is_none(void **state)
{
    (void)state;
    struct pc_addr addr = {0};
    assert_true(pc_addr_is_none(&addr));
    addr.port = 1;
    assert_false(pc_addr_is_none(&addr));
    addr = (struct pc_addr){.ip = {[15] = 1}};
    assert_false(pc_addr_is_none(&addr));
}

static const struct CMUnitTest tests[] = {
    PC_TEST(addr__texts__come_back_canonical),
    PC_TEST(addr__other_texts__are_refused),
    PC_TEST(addr__any_number__prints_and_parses_back),
    PC_TEST(addr__all_zero__is_none),
};

PC_TEST_MAIN("addr", tests)
