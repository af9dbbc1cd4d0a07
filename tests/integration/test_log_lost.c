/* Logs that cannot be read or written: a node that cannot keep its promises any more says so, ends
 * with the status that means it, and nothing that was acknowledged is lost. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define EXIT_DATA 65
#define EXIT_IO 74
#define END_MS_MAX 20000
#define VALUE_BYTES (100 * 1024)
#define WRITES_MAX 200 /* many times a segment of the log */
#define NOBODY 65534

static void log_path(const struct it_cluster *c, size_t i, char out[200])
{
    (void)snprintf(out, 200, "%s/log", c->node[i].data_dir);
}

static void move(const char *from, const char *to)
{
    assert_int_equal(rename(from, to), 0);
}

/* Writes to the node until its log has failed: the directory is gone, so the next segment cannot be
 * made. Every request that reached it gets an answer, and none after the failure is a success. */
static int write_until_the_log_fails(struct it_cluster *c, size_t node, const char *value)
{
    int acked = 0, failures = 0;
    for (int n = 0; n < WRITES_MAX && !it_node_has_ended(c, node); n++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/v1/kv/big/%d", acked);
        int status = it_call(c, node, "PUT", target, NULL, value, VALUE_BYTES)->status;
        if (status == 201 || status == 200) {
            assert_int_equal(failures, 0);
            acked++;
            continue;
        }
        /* The first one may have been taken in: nobody knows what became of it. After it the node
         * answers while it lingers, and then there is nobody. */
        if (failures == 0) {
            it_say("answer of the write under way: %d", status);
            assert_true(status == 503 || status == 504);
        } else {
            assert_true(status == 503 || status == IT_NOT_SENT || status == IT_NO_ANSWER);
        }
        failures++;
        if (it_get(c, node, "/readyz")->status == 200) {
            fail_msg("ready with a log that has failed");
        }
    }
    assert_true(failures > 0);
    return acked;
}

static void log_directory__gone_under_a_leader__is_the_end_of_it_and_of_no_write(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char log[200], aside[220];
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c);
    char *value = malloc(VALUE_BYTES);
    assert_non_null(value);
    memset(value, 'x', VALUE_BYTES);
    log_path(c, leader, log);
    (void)snprintf(aside, sizeof aside, "%s.away", log);
    move(log, aside);
    int acked = write_until_the_log_fails(c, leader, value);
    free(value);
    assert_int_equal(it_node_wait(c, leader, END_MS_MAX), EXIT_IO);
    it_contains(it_node_log(c, leader), "the log cannot be used any more: stopping");
    it_contains(it_node_log(c, leader), "msg=\"stopped\" status=74");
    IT_UNTIL(IT_SOON_MS, it_get(c, (leader + 1) % 3, "/readyz")->status == 200);
    it_put(c, (leader + 1) % 3, "goes", "on");
    /* Started without it, the node must not pass for a new one; with it, it is the old one. */
    it_node_start(c, leader);
    assert_int_equal(it_node_wait(c, leader, END_MS_MAX), EXIT_DATA);
    it_contains(it_node_log(c, leader), log);
    move(aside, log);
    it_node_start(c, leader);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
    assert_string_equal(it_value(c, leader, "goes"), "on");
    for (int n = 0; n < acked; n++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/v1/kv/big/%d", n);
        assert_int_equal(it_get(c, leader, target)->body_len, VALUE_BYTES);
    }
}

/* One node with a log, stopped in order. */
static struct it_cluster *stopped_node(char log[200])
{
    struct it_cluster *c = it_cluster_new(1);
    it_cluster_start(c);
    it_put(c, 0, "k", "v");
    it_node_signal(c, 0, SIGTERM);
    assert_int_equal(it_node_wait(c, 0, END_MS_MAX), 0);
    log_path(c, 0, log);
    return c;
}

static void assert_starts_again(struct it_cluster *c)
{
    it_node_start(c, 0);
    it_node_await_ready(c, 0);
    assert_string_equal(it_value(c, 0, "k"), "v");
}

static void log_directory__is_a_file__is_refused_and_left_alone(void **state)
{
    (void)state;
    char log[200], aside[220], text[16];
    struct it_cluster *c = stopped_node(log);
    (void)snprintf(aside, sizeof aside, "%s.away", log);
    move(log, aside);
    int fd = open(log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a file", 6), 6);
    assert_int_equal(close(fd), 0);
    it_node_start(c, 0);
    assert_int_equal(it_node_wait(c, 0, END_MS_MAX), EXIT_DATA);
    it_contains(it_node_log(c, 0), "cannot start");
    it_contains(it_node_log(c, 0), log);
    it_file_read_end(log, text, sizeof text);
    assert_string_equal(text, "a file");
    assert_int_equal(unlink(log), 0);
    move(aside, log);
    assert_starts_again(c);
}

static void segment__is_a_directory__is_refused_and_left_alone(void **state)
{
    (void)state;
    char log[200], segment[240];
    struct it_cluster *c = stopped_node(log);
    (void)snprintf(segment, sizeof segment, "%s/log-00000000000000ff.seg", log);
    assert_int_equal(mkdir(segment, 0700), 0);
    it_node_start(c, 0);
    int status = it_node_wait(c, 0, END_MS_MAX);
    assert_true(status == EXIT_DATA || status == EXIT_IO);
    it_contains(it_node_log(c, 0), "cannot start");
    assert_int_equal(rmdir(segment), 0);
    assert_starts_again(c);
}

/* Nobody's permission bits hinder root: the node runs as somebody else. */
static void log_directory__without_permission__is_no_missing_log(void **state)
{
    (void)state;
    char log[200];
    struct it_cluster *c = stopped_node(log);
    if (geteuid() == 0) {
        char path[256];
        const char *const owned[] = {".", "node1", "node1/log", "node1.log", "cluster.ini",
            "cluster.key", "node1/identity", "node1/lock"};
        for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
            (void)snprintf(path, sizeof path, "%s/%s", c->dir, owned[i]);
            if (chown(path, NOBODY, NOBODY) != 0 && errno != ENOENT) {
                it_skip("files cannot be given away here");
                return;
            }
        }
    }
    assert_int_equal(chmod(log, 0), 0);
    bool is_root = geteuid() == 0;
    if (is_root && seteuid(NOBODY) != 0) {
        it_skip("nobody else can be taken on here");
        return;
    }
    it_node_start(c, 0);
    if (is_root) {
        assert_int_equal(seteuid(0), 0);
    }
    int status = it_node_wait(c, 0, END_MS_MAX);
    assert_int_equal(chmod(log, 0700), 0);
    if (status == 126 || status == 127) {
        it_skip("the program cannot be run by others here");
        return;
    }
    assert_int_equal(status, EXIT_IO);
    it_contains(it_node_log(c, 0), "Permission denied");
    assert_starts_again(c);
}

static const struct it_test tests[] = {
    IT_TEST(log_directory__gone_under_a_leader__is_the_end_of_it_and_of_no_write),
    IT_TEST(log_directory__is_a_file__is_refused_and_left_alone),
    IT_TEST(segment__is_a_directory__is_refused_and_left_alone),
    IT_TEST(log_directory__without_permission__is_no_missing_log),
};
IT_MAIN(tests)
