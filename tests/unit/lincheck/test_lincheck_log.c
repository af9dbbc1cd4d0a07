/* What is judged of all keys together: indexes that two keys name, and values that outlive their
 * time. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lincheck/check.h"
#include "support/test.h"

static struct lin_report report;
static struct lin_history h;
static char told[4096];

static int history_begin(void **state)
{
    (void)state;
    lin_history_create(&h);
    return 0;
}

static int history_end(void **state)
{
    (void)state;
    lin_history_destroy(&h);
    return 0;
}

/* A line of a history file: `fields` stands between key and times. */
static void add(const char *key, const char *fields, uint64_t t0_us, uint64_t t1_us)
{
    static struct lin_record record;
    char line[1024], why[200];
    int len = snprintf(line, sizeof line,
        "{\"client\":%zu,\"key\":\"%s\",%s,\"t0_us\":%" PRIu64 ",\"t1_us\":%" PRIu64 "}", h.n, key,
        fields, t0_us, t1_us);
    if (!lin_record_parse(line, (size_t)len, &record, why, sizeof why)) {
        fail_msg("%s: %s", line, why);
    }
    assert_true(lin_history_add(&h, &record, (uint32_t)h.n + 1));
}

static enum lin_verdict judge(void)
{
    struct lin_options options = {
        .states_max = LIN_STATES_MAX, .ttl_late_ms = LIN_TTL_LATE_MS, .is_cross_check = true};
    enum lin_verdict verdict = lin_check(&h, &options, &report);
    assert_int_equal(report.count[LIN_RULE_DISAGREE], 0);
    told[0] = '\0';
    if (report.violations_n > 0) {
        lin_violation_format(&h, &report.violation[0], told, sizeof told);
    }
    return verdict;
}

static void assert_good(void)
{
    if (judge() != LIN_GOOD) {
        fail_msg("%s", told);
    }
}

static void assert_violation(enum lin_rule rule, const char *part)
{
    assert_int_equal(judge(), LIN_VIOLATION);
    if (report.count[rule] != 1 || strstr(told, part) == NULL) {
        fail_msg("expected %s and \"%s\": %s", lin_rule_word(rule), part, told);
    }
}

/* ---- too late */
#define SECOND 1000000u
#define PUT_A "\"op\":\"put\",\"value\":\"a\",\"status\":\"ok\",\"version\":5"
#define SHOWN "\"op\":\"get\",\"value\":\"a\",\"status\":\"ok\",\"version\":5,\"index\":99"
/* A value that lives for a second, written in the first one. */
static void short_lived(void)
{
    add("k", PUT_A ",\"ttl_ms\":1000", 10, 20);
}

/* Writes of another key, one every 50 ms. */
static void writes_elsewhere(uint64_t from_us, uint64_t to_us)
{
    for (uint64_t t = from_us; t <= to_us; t += 50000) {
        char fields[120];
        (void)snprintf(fields, sizeof fields,
            "\"op\":\"put\",\"value\":\"v\",\"status\":\"ok\",\"version\":%zu", 100 + h.n);
        add("elsewhere", fields, t, t);
    }
}

static void value__there_long_after_its_time__is_late(void **state)
{
    (void)state;
    short_lived();
    writes_elsewhere(20, 5 * SECOND);
    add("k", SHOWN, 4 * SECOND + 30, 4 * SECOND + 40);
    assert_violation(LIN_RULE_LATE, "there 3000 ms after its time was over");
}

static void value__there_a_little_after_its_time__is_right(void **state)
{
    (void)state;
    short_lived();
    writes_elsewhere(20, 5 * SECOND);
    add("k", SHOWN, 4 * SECOND + 20, 4 * SECOND + 40);
    add("k", SHOWN ",\"consistency\":\"local\",\"node\":\"n1\"", 9 * SECOND, 9 * SECOND);
    assert_good();
}

static void value__that_outlived_an_outage__is_right(void **state)
{
    (void)state;
    short_lived();
    writes_elsewhere(20, SECOND);
    writes_elsewhere(6 * SECOND, 10 * SECOND);
    add("k", SHOWN, 8 * SECOND, 8 * SECOND + 10);
    assert_good();
}

static void value__that_outlived_more_than_an_outage__is_late(void **state)
{
    (void)state;
    short_lived();
    writes_elsewhere(20, SECOND);
    writes_elsewhere(6 * SECOND, 10 * SECOND);
    add("k", SHOWN, 9 * SECOND + 100000, 9 * SECOND + 100010);
    assert_violation(LIN_RULE_LATE, "without an acknowledged write");
}

/* Nothing is excused any more: the final reading would find nothing otherwise. */
static void value__there_long_after_the_last_write__is_late(void **state)
{
    (void)state;
    short_lived();
    add("k", SHOWN ",\"final\":true,\"node\":\"n1\"", 5 * SECOND, 5 * SECOND);
    assert_violation(LIN_RULE_LATE, "final");
}

/* ---- one log */
static void keys__changed_at_one_index__are_a_fork(void **state)
{
    (void)state;
    add("k", PUT_A, 10, 20);
    add("other", "\"op\":\"put\",\"value\":\"b\",\"status\":\"ok\",\"version\":6", 10, 20);
    assert_good();
    add("third", "\"op\":\"delete\",\"status\":\"ok\",\"version\":6", 10, 20);
    assert_violation(LIN_RULE_FORK, "the other key: \"other\"");
    assert_int_equal(report.violations, 1);
}

static void keys__seen_at_one_index__are_a_fork(void **state)
{
    (void)state;
    add("k", PUT_A, 10, 20);
    add("other", "\"op\":\"put\",\"value\":\"b\",\"status\":\"info\"", 10, 20);
    add("other", "\"op\":\"get\",\"value\":\"b\",\"status\":\"ok\",\"version\":5,\"index\":5", 30,
        40);
    assert_violation(LIN_RULE_FORK, "one log index");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, history_begin, history_end)

static const struct CMUnitTest tests[] = {
    TEST(value__there_long_after_its_time__is_late),
    TEST(value__there_a_little_after_its_time__is_right),
    TEST(value__that_outlived_an_outage__is_right),
    TEST(value__that_outlived_more_than_an_outage__is_late),
    TEST(value__there_long_after_the_last_write__is_late),
    TEST(keys__changed_at_one_index__are_a_fork),
    TEST(keys__seen_at_one_index__are_a_fork),
};

PC_TEST_MAIN("lincheck log", tests)
