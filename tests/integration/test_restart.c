/* Nodes that come back: what they missed is fetched before they are ready, a torn tail of their log
 * is cut and fetched again, and one that lost what it had promised does not come back. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/load.h"

#define MISSED 20000
#define NEARLY 100 /* a node counts as caught up when it is this near to the end of the log */
#define EXIT_DAMAGED 65
#define BLOCK 512
#define VALUE_BYTES 3000 /* several blocks of the log */

static void catch_up__missed_20000_writes__ready_only_with_them(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t away = it_cluster_follower(c, 0), other = it_cluster_follower(c, 1);
    size_t leader = it_cluster_leader(c);
    it_node_kill(c, away);
    struct it_load_opts opts = {.threads = 32, .nodes = 7u & ~(1u << away), .writes_only = true};
    struct it_load *load = it_load_start(c, &opts);
    it_load_await(load, MISSED);
    struct it_load_counts counts;
    it_load_stop(load, &counts);
    struct it_status before, status;
    assert_true(it_status(c, leader, &before));
    assert_true(before.commit >= MISSED);
    /* Nobody to fetch from: it must not be ready with what it has. */
    it_node_signal(c, leader, SIGSTOP);
    it_node_signal(c, other, SIGSTOP);
    it_node_start(c, away);
    IT_UNTIL(IT_SOON_MS, it_get(c, away, "/readyz")->status == 503);
    it_contains(c->node[away].client.body, "[-]catchup");
    uint64_t began = it_now_ms();
    it_node_signal(c, leader, SIGCONT);
    it_node_signal(c, other, SIGCONT);
    IT_UNTIL(IT_SOON_MS, it_get(c, away, "/readyz")->status == 200);
    assert_true(it_status(c, away, &status));
    if (status.applied + NEARLY < before.commit) {
        fail_msg("ready at %llu of %llu", (unsigned long long)status.applied,
            (unsigned long long)before.commit);
    }
    it_say("%d missed writes: ready %llu ms after the others were there", MISSED,
        (unsigned long long)(it_now_ms() - began));
    it_cluster_await_equal(c);
    it_load_check(load, c);
}

/* ---- the log on disk */
struct record {
    char file[200];
    unsigned long long offset;
    char line[512]; /* of pclog dump */
};

/* The last line of pclog's dump that contains `part`; the last of all for "". */
static bool record_find(struct it_cluster *c, size_t i, const char *part, struct record *out)
{
    static struct it_output output;
    it_run(&output, "pclog", "dump", c->node[i].data_dir);
    assert_int_equal(output.status, 0);
    bool found = false;
    for (char *line = output.out, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        if (strstr(line, part) != NULL) {
            (void)snprintf(out->line, sizeof out->line, "%.*s", (int)sizeof out->line - 1, line);
            found = true;
        }
    }
    if (!found) {
        return false;
    }
    char *plus = strchr(out->line, '+');
    assert_non_null(plus);
    (void)snprintf(out->file, sizeof out->file, "%s/log/%.*s", c->node[i].data_dir,
        (int)(plus - out->line), out->line);
    out->offset = strtoull(plus + 1, NULL, 10);
    return true;
}

static void overwrite(const char *path, unsigned long long offset, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, (off_t)offset), len);
    close(fd);
}

static void put_big(struct it_cluster *c, size_t i, const char *key)
{
    char value[VALUE_BYTES + 1];
    memset(value, 'v', VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    it_put(c, i, key, value);
}

/* Kills the node when a big entry is the last thing in its log: a little later a note behind it
 * would vouch for it. */
static bool kill_behind_big_entry(struct it_cluster *c, size_t i, struct record *last)
{
    for (int attempt = 0; attempt < 20; attempt++) {
        put_big(c, (i + 1) % 3, "torn");
        put_big(c, (i + 1) % 3, "torn");
        it_node_kill(c, i);
        if (record_find(c, i, "", last) && strstr(last->line, "value_bytes=3000") != NULL) {
            return true;
        }
        it_node_start(c, i);
        it_cluster_await_ready(c);
    }
    return false;
}

static void torn_tail__block_never_written__is_cut_and_fetched_again(void **state)
{
    (void)state;
    static const uint8_t zeros[BLOCK];
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "before", "1");
    size_t victim = it_cluster_follower(c, 0);
    struct record last;
    assert_true(kill_behind_big_entry(c, victim, &last));
    /* As after a power cut: of one write, the last block has not reached the disk. */
    overwrite(last.file, (last.offset / BLOCK + VALUE_BYTES / BLOCK) * BLOCK, zeros, BLOCK);
    struct it_output output;
    it_run(&output, "pclog", "verify", c->node[victim].data_dir);
    assert_int_equal(output.status, 0);
    it_contains(output.out, "torn tail");
    /* The power of all: a process that has counted on this entry would hold its loss against the
     * node (test_lives.c). */
    for (size_t i = 0; i < c->n; i++) {
        if (i != victim) {
            it_node_kill(c, i);
            it_node_start(c, i);
        }
    }
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    it_contains(it_node_log(c, victim), "cut a torn tail");
    it_cluster_await_equal(c);
    assert_string_equal(it_value(c, victim, "before"), "1");
    assert_int_equal(it_get(c, victim, "/v1/kv/torn?consistency=local")->body_len, VALUE_BYTES);
    /* The same log once more, now with the cut in it. */
    it_node_kill(c, victim);
    it_node_start(c, victim);
    it_cluster_await_equal(c);
}

/* The identity alone, its log gone: the node has forgotten what it promised, and must not be heard
 * again under the old id. */
static void log__missing_beside_an_identity__refuses_to_start(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t victim = it_cluster_follower(c, 0);
    it_put(c, victim, "key", "value");
    it_node_kill(c, victim);
    char log[192], aside[192];
    (void)snprintf(log, sizeof log, "%s/log", c->node[victim].data_dir);
    (void)snprintf(aside, sizeof aside, "%s/log.aside", c->node[victim].data_dir);
    assert_int_equal(rename(log, aside), 0);
    it_node_start(c, victim);
    assert_int_equal(it_node_wait(c, victim, IT_SOON_MS), EXIT_DAMAGED);
    it_contains(it_node_log(c, victim), "is missing from");
    it_put(c, (victim + 1) % 3, "without", "it");
    /* A fresh volume in its place, with what fresh volumes hold. */
    char found[256];
    (void)snprintf(found, sizeof found, "%s/lost+found", log);
    assert_int_equal(mkdir(log, 0700), 0);
    assert_int_equal(mkdir(found, 0700), 0);
    it_node_start(c, victim);
    assert_int_equal(it_node_wait(c, victim, IT_SOON_MS), EXIT_DAMAGED);
    it_contains(it_node_log(c, victim), "is missing from");
    assert_int_equal(rmdir(found), 0);
    assert_int_equal(rmdir(log), 0);
    assert_int_equal(rename(aside, log), 0);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
}

static void identity__missing_beside_a_log__refuses_to_start(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_node_kill(c, 1);
    char path[200];
    (void)snprintf(path, sizeof path, "%s/identity", c->node[1].data_dir);
    assert_int_equal(unlink(path), 0);
    it_node_start(c, 1);
    assert_int_equal(it_node_wait(c, 1, IT_SOON_MS), EXIT_DAMAGED);
    it_contains(it_node_log(c, 1), path);
}

static void fsync__relaxed__shows_in_status(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    c->sets[0] = "log.fsync=os";
    it_cluster_start(c);
    struct it_status status;
    it_put(c, 0, "k", "v");
    for (size_t i = 0; i < 3; i++) {
        assert_true(it_status(c, i, &status));
        assert_string_equal(status.fsync, "os");
    }
    it_cluster_await_equal(c);
}

static const struct it_test tests[] = {
    IT_TEST(catch_up__missed_20000_writes__ready_only_with_them),
    IT_TEST(torn_tail__block_never_written__is_cut_and_fetched_again),
    IT_TEST(identity__missing_beside_a_log__refuses_to_start),
    IT_TEST(log__missing_beside_an_identity__refuses_to_start),
    IT_TEST(fsync__relaxed__shows_in_status),
};
IT_MAIN(tests)
