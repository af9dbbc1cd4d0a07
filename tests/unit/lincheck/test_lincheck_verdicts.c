/* Named histories, one for each rule: the verdict, the rule, and what a human is told. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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

/* A line of a history file: `fields` stands between client and times. */
static void add(const char *fields, uint64_t t0_us, uint64_t t1_us)
{
    static struct lin_record record;
    char line[1024], why[200];
    int len = snprintf(line, sizeof line,
        "{\"client\":%zu,\"key\":\"k\",%s,\"t0_us\":%" PRIu64 ",\"t1_us\":%" PRIu64 "}", h.n,
        fields, t0_us, t1_us);
    if (!lin_record_parse(line, (size_t)len, &record, why, sizeof why)) {
        fail_msg("%s: %s", line, why);
    }
    assert_true(lin_history_add(&h, &record, (uint32_t)h.n + 1));
}

static void put(const char *value, uint64_t version, uint64_t t0_us, uint64_t t1_us)
{
    char fields[200];
    (void)snprintf(fields, sizeof fields,
        "\"op\":\"put\",\"value\":\"%s\",\"status\":\"ok\",\"version\":%" PRIu64, value, version);
    add(fields, t0_us, t1_us);
}

static void get(const char *value, uint64_t version, uint64_t index, uint64_t t0_us, uint64_t t1_us)
{
    char fields[200];
    (void)snprintf(fields, sizeof fields,
        "\"op\":\"get\",\"value\":%s%s%s,\"status\":\"ok\",\"version\":%" PRIu64
        ",\"index\":%" PRIu64 ",\"node\":\"n1\"",
        value != NULL ? "\"" : "", value != NULL ? value : "null", value != NULL ? "\"" : "",
        version, index);
    add(fields, t0_us, t1_us);
}

static enum lin_verdict judge(void)
{
    struct lin_options options = {.states_max = LIN_STATES_MAX, .is_cross_check = true};
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
    if (report.count[rule] == 0 || strstr(told, part) == NULL) {
        fail_msg("expected %s and \"%s\": %s", lin_rule_word(rule), part, told);
    }
}

/* ---- real time */
static void read__older_than_an_acknowledged_write__is_stale(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 40);
    get("a", 5, 6, 50, 60);
    assert_violation(LIN_RULE_STALE, "[30..40 us] client 1 at -: put \"b\" -> done, version 8");
    assert_non_null(
        strstr(told, "[50..60 us] client 2 at n1: get -> \"a\", version 5, at index 6"));
    assert_non_null(strstr(told, "began 10 us after"));
}

static void read__while_it_is_written__may_show_either(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 60);
    get("b", 8, 9, 31, 40);
    get("a", 5, 6, 31, 40);
    get("a", 5, 7, 40, 50); /* touches: overlaps */
    assert_good();
}

static void read__older_than_an_earlier_read__is_stale(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 90);
    get("b", 8, 9, 31, 40);
    get("a", 5, 6, 41, 50);
    assert_violation(LIN_RULE_STALE, "get -> \"b\"");
}

static void read__before_it_was_written__is_of_the_future(void **state)
{
    (void)state;
    get("a", 5, 6, 1, 5);
    put("a", 5, 10, 20);
    assert_violation(LIN_RULE_FUTURE, "read before it was written");
}

static void writes__against_real_time__are_out_of_order(void **state)
{
    (void)state;
    put("a", 8, 10, 20);
    put("b", 5, 30, 40);
    assert_violation(LIN_RULE_ORDER, "put \"b\"");
}

static void writes__with_one_version__are_two(void **state)
{
    (void)state;
    put("a", 8, 10, 20);
    put("b", 8, 10, 20);
    assert_violation(LIN_RULE_VERSION_TWICE, "two writes have one version");
}

/* ---- what stands at an index */
static void read__at_an_index_behind_a_write_it_lacks__has_lost_it(void **state)
{
    (void)state;
    put("a", 5, 10, 90);
    put("b", 8, 10, 90);
    get("a", 5, 9, 50, 60); /* in time, but the log says otherwise */
    assert_violation(LIN_RULE_LOST, "stood at index 9 and does not have version 8");
}

static void read__nothing_though_nobody_deleted__has_lost_it(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    get(NULL, 0, 7, 50, 60);
    assert_violation(LIN_RULE_LOST, "nobody removed it");
}

static void read__nothing_behind_a_delete__is_right(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    add("\"op\":\"delete\",\"status\":\"ok\",\"version\":6", 30, 40);
    get(NULL, 0, 7, 50, 60);
    put("b", 9, 70, 80);
    get("b", 9, 9, 90, 95);
    assert_good();
}

static void read__nothing_and_then_the_same_again__is_wrong(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    add("\"op\":\"delete\",\"status\":\"info\"", 30, 40);
    get(NULL, 0, 7, 50, 60);
    get("a", 5, 8, 70, 80);
    assert_violation(LIN_RULE_LOST, "gone at index 7, there at index 8");
}

static void read__another_value_at_its_version__is_wrong(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    get("b", 5, 5, 30, 40);
    assert_violation(LIN_RULE_WRONG_VALUE, "get -> \"b\"");
}

static void read__of_what_nobody_wrote__is_wrong(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    get("b", 7, 7, 30, 40);
    assert_violation(LIN_RULE_NEVER_WRITTEN, "nobody wrote");
}

/* ---- outcomes */
static void write__of_unknown_outcome__counts_once_it_is_seen(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    add("\"op\":\"put\",\"value\":\"b\",\"status\":\"info\"", 30, 35);
    get("a", 5, 6, 40, 45); /* not yet */
    get("b", 7, 7, 50, 55); /* now */
    assert_good();
    get("a", 5, 6, 60, 65);
    assert_violation(LIN_RULE_STALE, "get -> \"b\"");
}

static void write__of_unknown_outcome__is_not_seen_before_it_was_sent(void **state)
{
    (void)state;
    get("b", 7, 7, 10, 20);
    add("\"op\":\"put\",\"value\":\"b\",\"status\":\"info\"", 30, 35);
    assert_violation(LIN_RULE_FUTURE, "unknown");
}

static void write__that_failed__must_not_be_seen(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    add("\"op\":\"put\",\"value\":\"b\",\"status\":\"fail\"", 30, 35);
    assert_good();
    get("b", 7, 7, 50, 55);
    assert_violation(LIN_RULE_FAILED_SEEN, "put \"b\" -> failed");
}

static void write__seen_at_two_versions__is_a_duplicate(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 6, 30, 40);
    get("a", 8, 8, 50, 55);
    assert_violation(LIN_RULE_DUPLICATE, "is there at version 8 as well");
}

static void write__unknown_and_seen_at_two_versions__is_a_duplicate(void **state)
{
    (void)state;
    add("\"op\":\"put\",\"value\":\"a\",\"status\":\"info\"", 10, 20);
    get("a", 5, 5, 30, 40);
    get("a", 8, 8, 50, 55);
    assert_violation(LIN_RULE_DUPLICATE, "was seen at version 5 as well");
}

static void request_id__answered_with_two_versions__is_a_duplicate(void **state)
{
    (void)state;
    add("\"op\":\"put\",\"value\":\"a\",\"status\":\"ok\",\"version\":5,\"id\":\"x\"", 10, 20);
    add("\"op\":\"put\",\"value\":\"a\",\"status\":\"ok\",\"version\":7,\"id\":\"x\"", 30, 40);
    assert_violation(LIN_RULE_DUPLICATE, "same request id");
}

static void request_id__sent_again__is_one_operation(void **state)
{
    (void)state;
    add("\"op\":\"incr\",\"delta\":1,\"status\":\"info\",\"id\":\"x\"", 10, 20);
    get("1", 5, 5, 15, 25); /* the first try had its effect */
    add("\"op\":\"incr\",\"delta\":1,\"status\":\"ok\",\"version\":5,\"value\":\"1\",\"id\":\"x\"",
        30, 40);
    get("1", 5, 6, 50, 60);
    assert_good();
}

/* That a node refuses to do it now says nothing of the first try. */
static void request_id__unknown_and_then_refused__stays_unknown(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    add("\"op\":\"put\",\"value\":\"b\",\"status\":\"info\",\"id\":\"x\"", 30, 35);
    add("\"op\":\"put\",\"value\":\"b\",\"status\":\"fail\",\"id\":\"x\"", 40, 45);
    get("b", 7, 7, 50, 55);
    add("\"op\":\"put\",\"value\":\"c\",\"status\":\"fail\",\"id\":\"y\"", 60, 65);
    add("\"op\":\"put\",\"value\":\"c\",\"status\":\"info\",\"id\":\"y\"", 70, 75);
    get("c", 8, 8, 80, 85);
    assert_good();
}

/* ---- compare-and-set */
#define CAS_OK(expect, version)                                                                    \
    "\"op\":\"cas\",\"value\":\"c\",\"status\":\"ok\",\"expect\":" #expect ",\"version\""          \
    ":" #version
#define CAS_REFUSED(expect, index)                                                                 \
    "\"op\":\"cas\",\"value\":\"c\",\"status\":\"fail\",\"refused\":true,\"expect\":" #expect      \
    ",\"index\":" #index

static void cas__on_what_stood_there__is_right(void **state)
{
    (void)state;
    add(CAS_OK(0, 5), 10, 20);
    add(CAS_REFUSED(0, 6), 10, 90);
    add(CAS_REFUSED(4, 4), 10, 90);
    add("\"op\":\"cas\",\"value\":\"d\",\"status\":\"ok\",\"expect\":5,\"version\":7", 30, 40);
    get("d", 7, 7, 50, 60);
    assert_good();
}

static void cas__behind_another_write__took_the_wrong_branch(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 6, 10, 90);
    add(CAS_OK(5, 7), 30, 40);
    assert_violation(LIN_RULE_CAS, "although version 5 did not stand there");
}

static void cas__for_nothing_though_something_stood_there__is_wrong(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    add(CAS_OK(0, 7), 30, 40);
    assert_violation(LIN_RULE_LOST, "nobody removed it");
}

static void cas__refused_though_it_met_its_version__is_wrong(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    add(CAS_REFUSED(5, 6), 30, 40);
    assert_violation(LIN_RULE_CAS, "refused although");
}

/* ---- sums */
#define INCR(version, sum)                                                                         \
    "\"op\":\"incr\",\"delta\":1,\"status\":\"ok\",\"version\":" #version ",\"value\":\"" #sum "\""

static void sum__with_an_increment_twice__is_a_duplicate(void **state)
{
    (void)state;
    add(INCR(5, 1), 10, 20);
    add(INCR(6, 3), 30, 40);
    assert_violation(LIN_RULE_DUPLICATE, "is 3, and should be 2");
}

static void sum__without_an_acknowledged_increment__has_lost_it(void **state)
{
    (void)state;
    add(INCR(5, 1), 10, 20);
    add(INCR(6, 1), 30, 40);
    assert_violation(LIN_RULE_LOST, "is 1, and should be 2");
}

static void sum__with_as_many_unknown_increments_as_it_needs__is_right(void **state)
{
    (void)state;
    add(INCR(5, 1), 10, 20);
    add("\"op\":\"incr\",\"delta\":1,\"status\":\"info\"", 10, 20);
    add(INCR(8, 3), 30, 40);
    get("3", 8, 9, 50, 60);
    assert_good();
    add(INCR(11, 5), 70, 80);
    assert_violation(LIN_RULE_DUPLICATE, "more unknown incrs");
}

static void sum__explained_only_by_a_later_increment__is_wrong(void **state)
{
    (void)state;
    add(INCR(5, 1), 10, 20);
    add(INCR(8, 3), 30, 40);
    add("\"op\":\"incr\",\"delta\":1,\"status\":\"info\"", 50, 60);
    assert_violation(LIN_RULE_DUPLICATE, "more unknown incrs");
}

/* ---- time to live */
#define PUT_TTL "\"op\":\"put\",\"value\":\"a\",\"status\":\"ok\",\"version\":5,\"ttl_ms\":1"

static void value__gone_when_its_time_was_over__is_right(void **state)
{
    (void)state;
    add(PUT_TTL, 10, 20);
    get("a", 5, 6, 500, 600);
    get(NULL, 0, 7, 1000, 1010);
    assert_good();
    get("a", 5, 8, 1100, 1200);
    assert_violation(LIN_RULE_STALE, "gone at index 7, there at index 8");
}

static void value__gone_before_its_time_was_over__is_early(void **state)
{
    (void)state;
    add(PUT_TTL, 10, 20);
    get(NULL, 0, 7, 500, 1009);
    assert_violation(LIN_RULE_EARLY, "time to live");
}

/* ---- local reads, sessions, final reads */
#define LOCAL_GET(value, version, index)                                                           \
    "\"op\":\"get\",\"consistency\":\"local\",\"status\":\"ok\",\"node\":\"n2\",\"value\":" value  \
    ",\"version\":" #version ",\"index\":" #index

static void local_read__late__is_right_and_of_the_future_is_not(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 40);
    add(LOCAL_GET("\"a\"", 5, 6), 50, 60);
    assert_good();
    add(LOCAL_GET("\"b\"", 8, 8), 20, 25);
    assert_violation(LIN_RULE_FUTURE, "local");
}

static void local_read__different_from_the_log__is_wrong(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 40);
    add(LOCAL_GET("\"a\"", 5, 8), 50, 60);
    assert_violation(LIN_RULE_LOST, "stood at index 8");
}

static void local_reads__within_a_session__do_not_go_back(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 40);
    add(LOCAL_GET("\"b\"", 8, 9) ",\"session\":1", 50, 60);
    add(LOCAL_GET("\"a\"", 5, 6) ",\"session\":2", 70, 80);
    h.op[h.n - 1].client = h.op[h.n - 2].client;
    assert_good(); /* another connection, perhaps another process */
    h.op[h.n - 1].session = 1;
    assert_violation(LIN_RULE_BACKWARDS, "at index 9 and then at 6");
}

static void local_reads__without_index__are_held_to_versions(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 40);
    add(LOCAL_GET("\"b\"", 8, 0), 50, 60);
    add(LOCAL_GET("\"a\"", 5, 0), 70, 80);
    h.op[h.n - 1].client = h.op[h.n - 2].client;
    assert_violation(LIN_RULE_BACKWARDS, "showed version 8 and then 5");
}

static void final_read__without_an_acknowledged_write__has_lost_it(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    put("b", 8, 30, 40);
    add(LOCAL_GET("\"b\"", 8, 8) ",\"final\":true", 50, 60);
    add(LOCAL_GET("\"a\"", 5, 6) ",\"final\":true", 50, 60);
    h.op[h.n - 1].session = 2;
    assert_violation(LIN_RULE_LOST, "final, local");
}

static void final_reads__not_of_every_node__are_not_enough(void **state)
{
    (void)state;
    put("a", 5, 10, 20);
    get("a", 5, 5, 50, 60);
    h.op[1].is_final = true;
    assert_good();
    add("\"op\":\"get\",\"status\":\"fail\",\"node\":\"n3\",\"final\":true", 70, 80);
    assert_violation(LIN_RULE_UNREAD, "node n3 gave no answer");
}

/* ---- figures */
static void figures__gaps_and_counts__leave_final_and_local_reads_out(void **state)
{
    (void)state;
    put("a", 5, 1000, 2000);
    get("a", 5, 5, 2000, 3000);
    add("\"op\":\"put\",\"value\":\"f\",\"status\":\"fail\",\"node\":\"n1\"", 4000, 5000);
    add("\"op\":\"put\",\"value\":\"u\",\"status\":\"info\",\"node\":\"n1\"", 4000, 6000);
    add(LOCAL_GET("\"a\"", 5, 6), 50000, 60000);
    put("b", 9, 90000, 102000);
    get("b", 9, 9, 103000, 104000);
    add(LOCAL_GET("\"b\"", 9, 9) ",\"final\":true", 900000, 900001);
    assert_int_equal(judge(), LIN_VIOLATION); /* n1 has no final read: not what this is about */
    assert_int_equal(report.operations, 8);
    assert_int_equal(report.ok, 6);
    assert_int_equal(report.failed, 1);
    assert_int_equal(report.unknown, 1);
    assert_int_equal(report.writes, 4);
    assert_int_equal(report.local_reads, 1);
    assert_int_equal(report.final_reads, 1);
    assert_int_equal(report.all.write_gap_us, 100000);
    assert_int_equal(report.all.read_gap_us, 101000);
    assert_int_equal(report.nodes_n, 2);
    assert_int_equal(report.node[0].read_gap_us, 101000);
    assert_int_equal(report.node[1].read_gap_us, 0);
}

/* ---- the bound of the search */
static void search__over_its_bound__is_undecided_and_not_good(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 12; i++) {
        char fields[100];
        (void)snprintf(
            fields, sizeof fields, "\"op\":\"put\",\"value\":\"u%u\",\"status\":\"info\"", i);
        add(fields, 10, 20);
    }
    add("\"op\":\"put\",\"value\":\"a\",\"status\":\"ok\"", 30, 40); /* no version */
    add("\"op\":\"get\",\"value\":\"b\",\"status\":\"ok\"", 50, 60);
    struct lin_options options = {.states_max = 1000};
    assert_int_equal(lin_check(&h, &options, &report), LIN_UNDECIDED);
    assert_int_equal(report.undecided, 1);
    assert_non_null(strstr(report.undecided_why, "without its version"));
    options.states_max = LIN_STATES_MAX;
    assert_int_equal(lin_check(&h, &options, &report), LIN_VIOLATION);
    assert_int_equal(report.count[LIN_RULE_NO_ORDER], 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, history_begin, history_end)

static const struct CMUnitTest tests[] = {
    TEST(read__older_than_an_acknowledged_write__is_stale),
    TEST(read__while_it_is_written__may_show_either),
    TEST(read__older_than_an_earlier_read__is_stale),
    TEST(read__before_it_was_written__is_of_the_future),
    TEST(writes__against_real_time__are_out_of_order),
    TEST(writes__with_one_version__are_two),
    TEST(read__at_an_index_behind_a_write_it_lacks__has_lost_it),
    TEST(read__nothing_though_nobody_deleted__has_lost_it),
    TEST(read__nothing_behind_a_delete__is_right),
    TEST(read__nothing_and_then_the_same_again__is_wrong),
    TEST(read__another_value_at_its_version__is_wrong),
    TEST(read__of_what_nobody_wrote__is_wrong),
    TEST(write__of_unknown_outcome__counts_once_it_is_seen),
    TEST(write__of_unknown_outcome__is_not_seen_before_it_was_sent),
    TEST(write__that_failed__must_not_be_seen),
    TEST(write__seen_at_two_versions__is_a_duplicate),
    TEST(write__unknown_and_seen_at_two_versions__is_a_duplicate),
    TEST(request_id__answered_with_two_versions__is_a_duplicate),
    TEST(request_id__sent_again__is_one_operation),
    TEST(request_id__unknown_and_then_refused__stays_unknown),
    TEST(cas__on_what_stood_there__is_right),
    TEST(cas__behind_another_write__took_the_wrong_branch),
    TEST(cas__for_nothing_though_something_stood_there__is_wrong),
    TEST(cas__refused_though_it_met_its_version__is_wrong),
    TEST(sum__with_an_increment_twice__is_a_duplicate),
    TEST(sum__without_an_acknowledged_increment__has_lost_it),
    TEST(sum__with_as_many_unknown_increments_as_it_needs__is_right),
    TEST(sum__explained_only_by_a_later_increment__is_wrong),
    TEST(value__gone_when_its_time_was_over__is_right),
    TEST(value__gone_before_its_time_was_over__is_early),
    TEST(local_read__late__is_right_and_of_the_future_is_not),
    TEST(local_read__different_from_the_log__is_wrong),
    TEST(local_reads__within_a_session__do_not_go_back),
    TEST(local_reads__without_index__are_held_to_versions),
    TEST(final_read__without_an_acknowledged_write__has_lost_it),
    TEST(final_reads__not_of_every_node__are_not_enough),
    TEST(figures__gaps_and_counts__leave_final_and_local_reads_out),
    TEST(search__over_its_bound__is_undecided_and_not_good),
};

PC_TEST_MAIN("lincheck verdicts", tests)
