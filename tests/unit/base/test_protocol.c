#include "support/test.h"

#include "pcache/protocol.h"

static uint8_t common(uint8_t a_min, uint8_t a_max, uint8_t b_min, uint8_t b_max)
{
    struct pc_protocols a = {a_min, a_max}, b = {b_min, b_max};
    assert_int_equal(pc_protocols_common(a, b), pc_protocols_common(b, a));
    return pc_protocols_common(a, b);
}

static void common__ranges_overlap__highest_of_both(void **state)
{
    (void)state;
    assert_int_equal(common(1, 2, 1, 2), 2);
    assert_int_equal(common(1, 2, 1, 3), 2);
    assert_int_equal(common(1, 2, 2, 3), 2);
    assert_int_equal(common(1, 1, 1, 255), 1);
    assert_int_equal(common(2, 5, 3, 4), 4);
}

static void common__ranges_apart__none(void **state)
{
    (void)state;
    assert_int_equal(common(1, 2, 3, 4), 0);
    assert_int_equal(common(1, 1, 2, 2), 0);
    assert_int_equal(common(1, 254, 255, 255), 0);
}

static void refusal__either_is_older__names_whom_to_upgrade(void **state)
{
    (void)state;
    struct pc_error error = {0};
    struct pc_protocols ours = {1, 2}, theirs = {3, 4}, one = {1, 1};
    assert_int_equal(pc_protocols_refuse("node2", theirs, "node1", ours, &error), PC_E_VERSION);
    assert_string_equal(
        error.text, "node2 speaks protocol 3 to 4, node1 1 to 2: upgrade node1 first");
    error = (struct pc_error){0};
    assert_int_equal(pc_protocols_refuse("node2", one, "node1", theirs, &error), PC_E_VERSION);
    assert_string_equal(error.text, "node2 speaks protocol 1, node1 3 to 4: upgrade node2 first");
}

static void spoken__by_this_build__is_a_range_that_begins_with_the_first(void **state)
{
    (void)state;
    struct pc_protocols spoken = pc_protocols_spoken();
    assert_true(spoken.min >= PC_PROTOCOL_FIRST && spoken.min <= spoken.max);
    assert_int_equal(pc_protocols_common(spoken, spoken), spoken.max);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(common__ranges_overlap__highest_of_both),
    PC_TEST(common__ranges_apart__none),
    PC_TEST(refusal__either_is_older__names_whom_to_upgrade),
    PC_TEST(spoken__by_this_build__is_a_range_that_begins_with_the_first),
};
PC_TEST_MAIN("protocol", tests)
