/* The judge of recorded histories, by which the experiments with containers stand and fall. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/kit/cluster.h"
#include "integration/kit/history.h"

/* begin, end, kind, key, value, outcome */
static void add(struct it_history *h, uint64_t begin, uint64_t end, char kind, uint32_t key,
    uint64_t value, char outcome)
{
    struct it_op op = {.begin_us = begin,
        .end_us = end,
        .key = key,
        .kind = kind,
        .outcome = outcome,
        .status = 200,
        .value = value,
        .node = "node1"};
    it_history_add(h, &op);
}

static void assert_judged(struct it_history *h, size_t wrong, const char *part)
{
    char why[256] = "";
    assert_int_equal(it_history_judge(h, why, sizeof why), wrong);
    it_contains(why, part);
    it_history_free(h);
}

static void judge__reads_of_what_was_known_or_under_way__pass(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 10, 20, IT_WRITE, 1, 1, IT_DONE);
    add(&h, 30, 60, IT_WRITE, 1, 2, IT_DONE);
    add(&h, 5, 8, IT_READ, 1, 0, IT_DONE);   /* before anything */
    add(&h, 15, 16, IT_READ, 1, 1, IT_DONE); /* while it is written: already there */
    add(&h, 20, 29, IT_READ, 1, 1, IT_DONE);
    add(&h, 31, 40, IT_READ, 1, 1, IT_DONE); /* not yet */
    add(&h, 41, 50, IT_READ, 1, 2, IT_DONE); /* already */
    add(&h, 70, 80, IT_READ, 2, 0, IT_DONE); /* a key that nobody wrote */
    assert_judged(&h, 0, "");
}

static void judge__read_older_than_an_acknowledged_write__is_wrong(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 21, 30, IT_READ, 1, 0, IT_DONE);
    add(&h, 10, 20, IT_WRITE, 1, 1, IT_DONE);
    assert_judged(&h, 1, "older than what was known");
}

static void judge__read_older_than_an_earlier_read__is_wrong(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 10, 99, IT_WRITE, 1, 1, IT_UNKNOWN);
    add(&h, 20, 30, IT_READ, 1, 1, IT_DONE);
    add(&h, 31, 40, IT_READ, 1, 0, IT_DONE);
    assert_judged(&h, 1, "older than what was known");
}

static void judge__overlapping_reads__may_differ(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 10, 99, IT_WRITE, 1, 1, IT_UNKNOWN);
    add(&h, 20, 30, IT_READ, 1, 1, IT_DONE);
    add(&h, 30, 40, IT_READ, 1, 0, IT_DONE);
    assert_judged(&h, 0, "");
}

static void judge__read_of_what_was_not_sent_yet__is_wrong(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 10, 20, IT_READ, 1, 1, IT_DONE);
    add(&h, 21, 30, IT_WRITE, 1, 1, IT_DONE);
    assert_judged(&h, 1, "never sent");
}

static void judge__read_of_a_refused_write__is_wrong(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 10, 20, IT_WRITE, 7, 1, IT_REFUSED);
    add(&h, 30, 40, IT_READ, 7, 1, IT_DONE);
    assert_judged(&h, 1, "refused");
}

static void expect__unknown_write__may_or_may_not_be_there(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 10, 20, IT_WRITE, 5, 1, IT_DONE);
    add(&h, 30, 40, IT_WRITE, 5, 2, IT_UNKNOWN);
    add(&h, 10, 20, IT_WRITE, 3, 1, IT_REFUSED);
    size_t count;
    struct it_expect *expect = it_history_expect(&h, &count);
    assert_int_equal(count, 2);
    assert_int_equal(expect[0].key, 3);
    assert_int_equal(expect[0].most, 0);
    assert_int_equal(expect[1].least, 1);
    assert_int_equal(expect[1].most, 2);
    assert_true(it_history_was_refused(&h, 3, 1));
    assert_false(it_history_was_refused(&h, 5, 1));
    free(expect);
    it_history_free(&h);
}

static void figures__gap_and_trouble__span_from_first_to_last(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 0, 10, IT_WRITE, 1, 1, IT_DONE);
    add(&h, 100, 110, IT_WRITE, 1, 2, IT_REFUSED);
    add(&h, 150, 400, IT_READ, 1, 1, IT_DONE);
    add(&h, 500, 510, IT_WRITE, 1, 3, IT_DONE);
    add(&h, 600, 610, IT_READ, 1, 3, IT_UNKNOWN);
    struct it_figures f;
    it_history_figures(&h, 200, &f);
    assert_int_equal(f.requests, 5);
    assert_int_equal(f.acked, 2);
    assert_int_equal(f.reads, 1);
    assert_int_equal(f.refused, 1);
    assert_int_equal(f.unknown, 1);
    assert_int_equal(f.gap_us, 500);
    assert_int_equal(f.slowest_us, 250);
    assert_int_equal(f.trouble_us, 510);
    it_history_free(&h);
}

static void figures__calm_between_two_troubles__counts_them_apart(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 100, 300, IT_WRITE, 1, 1, IT_REFUSED);
    add(&h, 250, 400, IT_WRITE, 2, 1, IT_REFUSED);
    add(&h, 401 + IT_CALM_US, 500 + IT_CALM_US, IT_READ, 1, 0, IT_UNKNOWN);
    struct it_figures f;
    it_history_figures(&h, 200, &f);
    assert_int_equal(f.trouble_us, 300);
    it_history_free(&h);
}

static void figures__service_that_does_not_come_back__has_a_gap_to_the_end(void **state)
{
    (void)state;
    struct it_history h = {.op = NULL};
    add(&h, 0, 10, IT_WRITE, 1, 1, IT_DONE);
    add(&h, 20, 9010, IT_READ, 1, 0, IT_REFUSED);
    struct it_figures f;
    it_history_figures(&h, 200, &f);
    assert_int_equal(f.gap_us, 9000);
    it_history_free(&h);
}

static void file__written_and_read__is_the_same(void **state)
{
    (void)state;
    char dir[128], path[160], why[256];
    pc_test_dir_make(dir);
    (void)snprintf(path, sizeof path, "%s/record", dir);
    struct it_history h = {.op = NULL}, back = {.op = NULL};
    add(&h, 1, 2, IT_WRITE, 3, 4, IT_UNKNOWN);
    add(&h, 5, 6, IT_READ, 7, UINT64_MAX, IT_DONE);
    assert_true(it_history_write(&h, path));
    assert_true(it_history_read(&back, path, why, sizeof why));
    assert_int_equal(back.n, 2);
    assert_memory_equal(&back.op[0], &h.op[0], sizeof h.op[0]);
    assert_true(back.op[1].value == UINT64_MAX);
    FILE *file = fopen(path, "ae");
    assert_non_null(file);
    assert_true(fputs("9 8 W 1 1 + 200 node1\n", file) >= 0); /* ends before it begins */
    assert_int_equal(fclose(file), 0);
    assert_false(it_history_read(&back, path, why, sizeof why));
    it_contains(why, ":3 ");
    it_history_free(&h);
    it_history_free(&back);
    pc_test_dir_remove(dir);
}

static const struct it_test tests[] = {
    IT_TEST(judge__reads_of_what_was_known_or_under_way__pass),
    IT_TEST(judge__read_older_than_an_acknowledged_write__is_wrong),
    IT_TEST(judge__read_older_than_an_earlier_read__is_wrong),
    IT_TEST(judge__overlapping_reads__may_differ),
    IT_TEST(judge__read_of_what_was_not_sent_yet__is_wrong),
    IT_TEST(judge__read_of_a_refused_write__is_wrong),
    IT_TEST(expect__unknown_write__may_or_may_not_be_there),
    IT_TEST(figures__gap_and_trouble__span_from_first_to_last),
    IT_TEST(figures__calm_between_two_troubles__counts_them_apart),
    IT_TEST(figures__service_that_does_not_come_back__has_a_gap_to_the_end),
    IT_TEST(file__written_and_read__is_the_same),
};

IT_MAIN(tests)
