/* The client from its command line to the checker's verdict, against servers that do right and
 * servers that do wrong. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chaosclient/chaos_int.h"
#include "fake_cluster.h"
#include "lincheck/check.h"
#include "support/test.h"

#define REQUESTS 3000

static struct fake_cluster *fake;
static struct chaos_options options;
static struct chaos_sink sink;
static struct lin_report report;
static struct lin_history h;
static char dir[128], path[160], why[512];

static void begin(enum fake_mistake mistake, bool is_plain, bool is_faulty)
{
    char nodes[160];
    fake = calloc(1, sizeof *fake);
    assert_non_null(fake);
    fake->mistake = mistake;
    fake->is_plain = is_plain;
    fake->is_faulty = is_faulty;
    fake->stop_after = REQUESTS;
    fake_start(fake);
    pc_test_dir_make(dir);
    (void)snprintf(path, sizeof path, "%s/history", dir);
    (void)snprintf(nodes, sizeof nodes, "n1=127.0.0.1:%u,n2=127.0.0.1:%u,n3=localhost:%u",
        fake->port[0], fake->port[1], fake->port[2]);
    char *argv[] = {"chaos-client", "--nodes", nodes, "--out", path, "--threads", "4",
        "--interval-ms", "0", "--seconds", "60", "--timeout-ms", "5000", "--set-keys", "100000",
        "--wait-ms", "20000"};
    assert_true(chaos_options_parse(sizeof argv / sizeof argv[0], argv, &options, why, sizeof why));
    atomic_store(&chaos_stopped, false);
    lin_history_create(&h);
}

static void end(void)
{
    lin_history_destroy(&h);
    fake_stop(fake);
    free(fake);
    pc_test_dir_remove(dir);
}

/* Load and final reading; the figures of the load stay in `sink`. */
static struct chaos_features drive(void)
{
    struct chaos_features features;
    struct chaos_links links;
    assert_true(chaos_links_open(&links, &options, 0, why, sizeof why));
    assert_true(chaos_probe(&links, "probe", &features));
    chaos_links_close(&links);
    assert_true(chaos_sink_open(&sink, path, why, sizeof why));
    assert_true(chaos_load(&options, &features, &sink));
    assert_true(chaos_sink_close(&sink));
    return features;
}

static void read_finally(void)
{
    static struct chaos_sink more;
    atomic_store(&chaos_stopped, false);
    fake->is_faulty = false;
    assert_true(lin_history_read(&h, path, why, sizeof why));
    assert_true(chaos_sink_open(&more, path, why, sizeof why));
    assert_int_equal(chaos_final(&options, &h, &more), 0);
    assert_true(chaos_sink_close(&more));
    lin_history_destroy(&h);
    assert_true(lin_history_read(&h, path, why, sizeof why));
}

static enum lin_verdict judge(void)
{
    struct lin_options lin = {.states_max = LIN_STATES_MAX, .is_cross_check = true};
    enum lin_verdict verdict = lin_check(&h, &lin, &report);
    (void)snprintf(why, sizeof why, "%s", report.undecided_why);
    if (report.violations_n > 0) {
        lin_violation_format(&h, &report.violation[0], why, sizeof why);
    }
    return verdict;
}

static size_t count(enum lin_kind kind, enum lin_status status)
{
    size_t n = 0;
    for (size_t i = 0; i < h.n; i++) {
        n += h.op[i].kind == kind && h.op[i].status == status ? 1 : 0;
    }
    return n;
}

static void load__servers_that_do_right__leaves_a_good_history(void **state)
{
    (void)state;
    begin(FAKE_NONE, false, true);
    struct chaos_features features = drive();
    assert_true(features.cas && features.incr && features.ids);
    read_finally();
    if (judge() != LIN_GOOD) {
        fail_msg("%s", why);
    }
    assert_true(count(LIN_CAS, LIN_OK) > 10 && count(LIN_INCR, LIN_OK) > 50);
    assert_true(count(LIN_PUT, LIN_OK) > 200 && count(LIN_DELETE, LIN_OK) > 5);
    assert_true(report.local_reads > 20 && report.final_reads == 4 * report.keys);
    /* Requests under way at the end alone may stay unknown: the others were sent again. */
    assert_true(sink.failed > 20 && sink.unknown <= options.threads);
    assert_int_equal(report.nodes_n, 3);
    end();
}

static void load__servers_without_request_ids__leaves_outcomes_unknown(void **state)
{
    (void)state;
    begin(FAKE_NONE, true, true);
    struct chaos_features features = drive();
    assert_false(features.cas || features.incr || features.ids);
    read_finally();
    if (judge() != LIN_GOOD) {
        fail_msg("%s", why);
    }
    assert_true(sink.unknown > 20);
    assert_int_equal(count(LIN_CAS, LIN_OK) + count(LIN_INCR, LIN_OK), 0);
    end();
}

static void assert_caught(enum fake_mistake mistake, enum lin_rule rule)
{
    begin(mistake, false, true);
    (void)drive();
    read_finally();
    assert_int_equal(judge(), LIN_VIOLATION);
    if (report.count[rule] == 0) {
        fail_msg("not %s: %s", lin_rule_word(rule), why);
    }
    assert_int_equal(report.count[LIN_RULE_DISAGREE], 0);
    end();
}

static void load__requests_carried_out_twice__is_caught(void **state)
{
    (void)state;
    assert_caught(FAKE_ID_FORGOTTEN, LIN_RULE_DUPLICATE);
}

static void load__stale_reads__are_caught(void **state)
{
    (void)state;
    assert_caught(FAKE_STALE_READ, LIN_RULE_STALE);
}

static void load__lost_writes__are_caught(void **state)
{
    (void)state;
    assert_caught(FAKE_LOST_WRITE, LIN_RULE_LOST);
}

static void final__node_that_is_gone__is_said_to_be_unread(void **state)
{
    (void)state;
    begin(FAKE_NONE, false, false);
    fake->stop_after = 200;
    (void)drive();
    atomic_store(&chaos_stopped, false);
    assert_true(lin_history_read(&h, path, why, sizeof why));
    options.node[2].port = 1; /* nobody listens there */
    options.wait_ms = 50;
    assert_true(chaos_sink_open(&sink, path, why, sizeof why));
    assert_true(chaos_final(&options, &h, &sink) > 0);
    assert_true(chaos_sink_close(&sink));
    lin_history_destroy(&h);
    assert_true(lin_history_read(&h, path, why, sizeof why));
    assert_int_equal(judge(), LIN_VIOLATION);
    assert_true(report.count[LIN_RULE_UNREAD] > 0);
    assert_int_equal(report.count[LIN_RULE_UNREAD], report.violations);
    end();
}

static void sink__file_that_ends_within_a_line__is_refused(void **state)
{
    (void)state;
    pc_test_dir_make(dir);
    (void)snprintf(path, sizeof path, "%s/history", dir);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs("{\"client\"", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_false(chaos_sink_open(&sink, path, why, sizeof why));
    assert_non_null(strstr(why, "ends within a line"));
    pc_test_dir_remove(dir);
}

static void keys__age_and_unknown_outcomes__bring_new_ones(void **state)
{
    (void)state;
    struct chaos_keys keys;
    char first[64], name[64];
    chaos_keys_create(&keys, "p", 1000);
    uint64_t now = 5000000, one = chaos_keys_name(&keys, CHAOS_KEY_REGISTER, 0, now, first, 64);
    assert_true(chaos_keys_name(&keys, CHAOS_KEY_REGISTER, 0, now + 1000000, name, 64) == one);
    assert_string_equal(first, name);
    uint64_t two = chaos_keys_name(&keys, CHAOS_KEY_REGISTER, 0, now + 1000001, name, 64);
    assert_true(two != one && strcmp(first, name) != 0);
    chaos_keys_unknown(&keys, CHAOS_KEY_REGISTER, 0, one); /* of a key that has been left */
    for (int i = 0; i < 3; i++) {
        chaos_keys_unknown(&keys, CHAOS_KEY_REGISTER, 0, two);
    }
    assert_true(chaos_keys_name(&keys, CHAOS_KEY_REGISTER, 0, now + 1000002, name, 64) == two);
    chaos_keys_unknown(&keys, CHAOS_KEY_REGISTER, 0, two);
    assert_true(chaos_keys_name(&keys, CHAOS_KEY_REGISTER, 0, now + 1000002, name, 64) != two);
}

/* ---- command line */
static bool parse(const char *nodes, const char *name, const char *value)
{
    char *argv[] = {
        "chaos-client", "--nodes", strdup(nodes), "--out", "f", strdup(name), strdup(value)};
    bool is_ok = chaos_options_parse(name[0] != '\0' ? 7 : 5, argv, &options, why, sizeof why);
    free(argv[2]);
    free(argv[5]);
    free(argv[6]);
    return is_ok;
}

static void options__good_ones__are_understood(void **state)
{
    (void)state;
    assert_true(parse("a=10.77.0.1:8001,b=host.name:1", "--workloads", "set,ttl"));
    assert_int_equal(options.nodes_n, 2);
    assert_string_equal(options.node[0].host, "10.77.0.1");
    assert_string_equal(options.node[1].name, "b");
    assert_int_equal(options.node[1].port, 1);
    assert_true(options.workload[CHAOS_SET] && options.workload[CHAOS_TTL]);
    assert_false(options.workload[CHAOS_REGISTER] || options.workload[CHAOS_PAIR]);
    assert_int_equal(options.threads, 12);
    assert_false(options.is_final);
    assert_true(parse("a=h:1", "--threads", "64"));
    assert_int_equal(options.threads, 64);
    assert_true(parse("a=h:1", "", ""));
    assert_true(options.workload[CHAOS_REGISTER]);
}

static void options__bad_ones__are_refused(void **state)
{
    (void)state;
    static const char *const nodes[] = {"", "a", "a=h", "a=h:", "a=h:0", "a=h:65536", "=h:1",
        "a=:1", "a=h:1,", "a=h:1,a=g:1", "a/b=h:1", "a=h:1x"};
    for (size_t i = 0; i < sizeof nodes / sizeof nodes[0]; i++) {
        assert_false(parse(nodes[i], "", ""));
    }
    static const char *const pairs[][2] = {{"--threads", "65"}, {"--threads", "0"},
        {"--seconds", "-1"}, {"--seconds", "1s"}, {"--workloads", "set,"}, {"--workloads", "bank"},
        {"--prefix", "a/b"}, {"--prefix", ""}, {"--what", "1"}, {"--seed", "99999999999999999999"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_false(parse("a=h:1", pairs[i][0], pairs[i][1]));
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(load__servers_that_do_right__leaves_a_good_history),
    PC_TEST(load__servers_without_request_ids__leaves_outcomes_unknown),
    PC_TEST(load__requests_carried_out_twice__is_caught),
    PC_TEST(load__stale_reads__are_caught),
    PC_TEST(load__lost_writes__are_caught),
    PC_TEST(final__node_that_is_gone__is_said_to_be_unread),
    PC_TEST(sink__file_that_ends_within_a_line__is_refused),
    PC_TEST(keys__age_and_unknown_outcomes__bring_new_ones),
    PC_TEST(options__good_ones__are_understood),
    PC_TEST(options__bad_ones__are_refused),
};

PC_TEST_MAIN("chaos client", tests)
