#define _GNU_SOURCE
#include "support/test.h"

#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pcache/assert.h"
#include "pcache/os.h"

/* Standard error goes to a memory file between these two. */
static int saved_stderr;
static int capture_fd;

static void capture_begin(void)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    capture_fd = memfd_create("log", MFD_CLOEXEC);
    PC_ASSERT(saved_stderr >= 0 && capture_fd >= 0);
    PC_ASSERT(dup2(capture_fd, STDERR_FILENO) >= 0);
}

static char *capture_end(void)
{
    PC_ASSERT(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    off_t len = lseek(capture_fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    PC_ASSERT(text != NULL);
    PC_ASSERT(pread(capture_fd, text, (size_t)len, 0) == len);
    close(capture_fd);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; (text = strchr(text, '\n')) != NULL; text++) {
        n++;
    }
    return n;
}

static void log__logfmt__quotes_what_needs_it(void **state)
{
    (void)state;
    pc_log_setup(PC_LOG_INFO, PC_LOG_LOGFMT, "node1");
    capture_begin();
    pc_log(PC_LOG_WARN, "link is gone", "peer", "node2", "why", "connection \"reset\"", "empty", "",
        "term", pc_log_u64(18446744073709551615u), "id", pc_log_id(255), NULL);
    char *text = capture_end();
    assert_int_equal(strncmp(text, "ts=20", 5), 0);
    assert_non_null(strstr(text,
        "Z level=warn node=node1 msg=\"link is gone\" peer=node2 why=\"connection \\\"reset\\\"\" "
        "empty=\"\" term=18446744073709551615 id=00000000000000ff\n"));
    free(text);
}

static void log__hostile_value__stays_one_escaped_line(void **state)
{
    (void)state;
    pc_log_setup(PC_LOG_INFO, PC_LOG_LOGFMT, "n");
    capture_begin();
    pc_log(PC_LOG_INFO, "x", "v", "a\nts=1 level=error\x1b[2J\xff\xc2\x85 \xc3\xa9", NULL);
    char *text = capture_end();
    assert_int_equal(count_lines(text), 1);
    assert_null(strchr(text, '\x1b'));
    assert_non_null(strstr(text, "v=\"a\\nts=1 level=error\\x1b[2J\\xff\\xc2\\x85 \xc3\xa9\"\n"));
    free(text);
}

static void log__json__is_valid_whatever_the_value(void **state)
{
    (void)state;
    pc_log_setup(PC_LOG_INFO, PC_LOG_JSON, "n\"1");
    char value[9000];
    for (size_t i = 0; i < sizeof value - 1; i++) {
        value[i] = (char)(1 + i % 255);
    }
    value[sizeof value - 1] = '\0';
    capture_begin();
    pc_log(PC_LOG_ERROR, "all \"bytes\"", "v", value, "late", "x", NULL);
    pc_log(PC_LOG_INFO, "small", "v", "\x01\xed\xa0\x80\xf0\x9f\x98\x80", NULL);
    char *text = capture_end();
    assert_int_equal(count_lines(text), 2);
    char *second = strchr(text, '\n') + 1;
    assert_true((size_t)(second - text) <= 4096);
    second[-1] = '\0';
    json_t *first_json = json_loads(text, 0, NULL);
    json_t *second_json = json_loads(second, 0, NULL);
    assert_non_null(first_json);
    assert_non_null(second_json);
    assert_string_equal(json_string_value(json_object_get(first_json, "msg")), "all \"bytes\"");
    assert_string_equal(json_string_value(json_object_get(first_json, "node")), "n\"1");
    assert_string_equal(json_string_value(json_object_get(second_json, "v")),
        "\x01\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xf0\x9f\x98\x80");
    json_decref(first_json);
    json_decref(second_json);
    free(text);
}

static void log__level_below_setting__is_silent(void **state)
{
    (void)state;
    pc_log_setup(PC_LOG_WARN, PC_LOG_LOGFMT, "n");
    capture_begin();
    pc_log(PC_LOG_INFO, "quiet", NULL);
    pc_log_limited(1, PC_LOG_DEBUG, "quiet", NULL);
    pc_log(PC_LOG_ERROR, "loud", NULL);
    char *text = capture_end();
    assert_int_equal(count_lines(text), 1);
    assert_non_null(strstr(text, "loud"));
    free(text);
}

static void lasting_state__found_again_and_again__is_told_by_the_minute(void **state)
{
    (void)state;
    struct pc_log_lasting lasting = {.is_on = false};
    size_t told = 0;
    for (pc_ms ms = 0; ms < 150000; ms += 500) {
        struct pc_instant now = {.us = 1000000 + ms * 1000};
        told += pc_log_lasting_found(&lasting, "no such name", now) ? 1 : 0;
    }
    assert_int_equal(told, 3);
    struct pc_instant now = {.us = 151000000};
    assert_true(pc_log_lasting_found(&lasting, "no name server", now)); /* a change */
    assert_false(pc_log_lasting_found(&lasting, "no name server", now));
    pc_log_lasting_over(&lasting);
    assert_true(pc_log_lasting_found(&lasting, "no name server", now));
    char text[300];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_true(pc_log_lasting_found(&lasting, text, now)); /* longer than there is room for */
    assert_false(pc_log_lasting_found(&lasting, text, now));
}

static void limited_log__flood__writes_ten_and_counts_the_rest(void **state)
{
    (void)state;
    pc_log_setup(PC_LOG_INFO, PC_LOG_LOGFMT, "n");
    struct pc_instant start = pc_clock_now();
    capture_begin();
    for (int i = 0; i < 50; i++) {
        pc_log_limited(3, PC_LOG_INFO, "flood", NULL);
    }
    pc_log_limited(4, PC_LOG_INFO, "other bucket", NULL);
    /* The second of the limit began somewhere between the two. */
    struct pc_instant end = pc_clock_now();
    while (pc_instant_ms_between(end, pc_clock_now()) < 1001) {
        (void)poll(NULL, 0, 5);
    }
    pc_log_limited(3, PC_LOG_INFO, "flood", NULL);
    char *text = capture_end();
    size_t lines = count_lines(text);
    assert_true(pc_instant_ms_between(start, end) < 1000);
    assert_int_equal(lines, 10 + 1 + 1 + 1);
    assert_non_null(strstr(text, "msg=\"similar lines left out\" count=40 before=flood"));
    free(text);
}

static void clock__two_readings__do_not_go_back(void **state)
{
    (void)state;
    struct pc_instant a = pc_clock_now();
    struct pc_instant b = pc_clock_now();
    assert_true(b.us >= a.us);
    assert_true(pc_clock_wall_ms() > UINT64_C(1600000000000));
}

static void entropy__many_bytes__are_not_constant(void **state)
{
    (void)state;
    uint8_t bytes[1000] = {0};
    pc_entropy(bytes, sizeof bytes);
    unsigned seen[256] = {0};
    for (size_t i = 0; i < sizeof bytes; i++) {
        seen[bytes[i]]++;
    }
    for (size_t i = 0; i < 256; i++) {
        assert_true(seen[i] < 50);
    }
    assert_true(pc_entropy_u64() != pc_entropy_u64());
}

static const struct CMUnitTest tests[] = {
    PC_TEST(log__logfmt__quotes_what_needs_it),
    PC_TEST(log__hostile_value__stays_one_escaped_line),
    PC_TEST(log__json__is_valid_whatever_the_value),
    PC_TEST(log__level_below_setting__is_silent),
    PC_TEST(lasting_state__found_again_and_again__is_told_by_the_minute),
    PC_TEST(limited_log__flood__writes_ten_and_counts_the_rest),
    PC_TEST(clock__two_readings__do_not_go_back),
    PC_TEST(entropy__many_bytes__are_not_constant),
};

PC_TEST_MAIN("log", tests)
