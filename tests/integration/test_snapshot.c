/* Snapshots of real nodes: the log behind them goes, a node starts from its own, a node that was
 * away for too long or has lost its disk fetches one, and a damaged one is replaced. Every test
 * ends with all nodes at one index with one digest. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define VALUE_BYTES (100 * 1000)
#define KEYS 50
/* More than a leader keeps in memory for its peers. */
#define BEYOND_MEMORY 250

static char value[VALUE_BYTES];

static struct it_cluster *new_cluster_of(size_t n)
{
    static const char *const sets[] = {
        "log.segment_bytes=1MiB", "log.snapshot_bytes=2MiB", "log.keep_bytes=2MiB"};
    struct it_cluster *c = it_cluster_new(n);
    for (size_t i = 0; i < 3; i++) {
        c->sets[i] = sets[i];
    }
    it_cluster_start(c);
    return c;
}

static struct it_cluster *new_cluster(void)
{
    return new_cluster_of(3);
}

static void write_values(struct it_cluster *c, size_t i, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/v1/kv/key%zu", k % KEYS);
        memset(value, 'a' + (int)(k % 26), sizeof value);
        const struct it_client *answer = it_call(c, i, "PUT", target, "", value, sizeof value);
        assert_true(answer->status == 200 || answer->status == 201);
    }
}

/* ---- what lies in a node's log directory */
struct files {
    size_t snapshots, segments;
    uint64_t segment_bytes;
    char snapshot[256]; /* path of one */
};

static struct files look(const struct it_cluster *c, size_t i)
{
    struct files files = {0};
    char dir[200];
    (void)snprintf(dir, sizeof dir, "%s/log", c->node[i].data_dir);
    DIR *open = opendir(dir);
    assert_non_null(open);
    for (const struct dirent *at = readdir(open); at != NULL; at = readdir(open)) {
        const char *dot = strrchr(at->d_name, '.');
        char path[512];
        struct stat stat_of;
        (void)snprintf(path, sizeof path, "%s/%s", dir, at->d_name);
        if (strncmp(at->d_name, "snap-", 5) == 0 && dot != NULL && strcmp(dot, ".snp") == 0) {
            files.snapshots++;
            (void)snprintf(files.snapshot, sizeof files.snapshot, "%s/%.40s", dir, at->d_name);
        } else if (strncmp(at->d_name, "log-", 4) == 0 && stat(path, &stat_of) == 0) {
            files.segments++;
            files.segment_bytes += (uint64_t)stat_of.st_size;
        }
    }
    closedir(open);
    return files;
}

static void await_snapshot(const struct it_cluster *c, size_t i)
{
    IT_UNTIL(IT_SOON_MS, look(c, i).snapshots > 0);
}

static void flip_at(const char *path, off_t at)
{
    unsigned char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static void flip_in_the_middle(const char *path)
{
    struct stat stat_of;
    assert_int_equal(stat(path, &stat_of), 0);
    flip_at(path, stat_of.st_size / 2);
}

/* The log no longer begins at entry 1. */
static bool log_is_cut(const struct it_cluster *c, size_t i)
{
    char path[300];
    (void)snprintf(path, sizeof path, "%s/log/log-0000000000000001.seg", c->node[i].data_dir);
    return access(path, F_OK) != 0;
}

static void flip_headers(const struct it_cluster *c, size_t i)
{
    for (size_t done = look(c, i).snapshots; done > 0; done--) {
        char path[256], bad[300];
        memcpy(path, look(c, i).snapshot, sizeof path);
        flip_at(path, 9);
        (void)snprintf(bad, sizeof bad, "%s.x", path); /* so that the next one is found */
        assert_int_equal(rename(path, bad), 0);
        if (done == 1) {
            assert_int_equal(rename(bad, path), 0);
        }
    }
}

/* ---- tests */
static void log__grows__goes_behind_snapshots(void **state)
{
    (void)state;
    struct it_cluster *c = new_cluster();
    write_values(c, 0, BEYOND_MEMORY); /* 25 MB */
    it_cluster_await_equal(c);
    for (size_t i = 0; i < 3; i++) {
        await_snapshot(c, i);
        struct files files = look(c, i);
        assert_true(files.snapshots <= 2); /* the one before goes when the new one is there */
        assert_true(files.segment_bytes < UINT64_C(18) << 20);
    }
}

static void node__killed__starts_from_its_snapshot(void **state)
{
    (void)state;
    struct it_cluster *c = new_cluster();
    write_values(c, 0, BEYOND_MEMORY);
    await_snapshot(c, 1);
    for (size_t i = 0; i < 3; i++) {
        it_node_kill(c, i);
    }
    for (size_t i = 0; i < 3; i++) {
        it_node_start(c, i);
    }
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
    assert_non_null(strstr(it_node_log(c, 1), "snapshot found"));
    write_values(c, 2, 3);
    it_cluster_await_equal(c);
}

static void node__away_for_longer_than_the_log__fetches_a_snapshot(void **state)
{
    (void)state;
    struct it_cluster *c = new_cluster();
    write_values(c, 0, 3);
    size_t away = it_cluster_follower(c, 0), leader = it_cluster_leader(c);
    it_node_kill(c, away);
    write_values(c, leader, BEYOND_MEMORY);
    it_node_start(c, away);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
    assert_non_null(strstr(it_node_log(c, away), "fetching from a peer"));
    it_node_kill(c, away); /* and what it fetched it has */
    it_node_start(c, away);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
}

static void snapshot__damaged__is_replaced(void **state)
{
    (void)state;
    struct it_cluster *c = new_cluster();
    write_values(c, 0, BEYOND_MEMORY);
    it_cluster_await_equal(c);
    size_t victim = it_cluster_follower(c, 0);
    await_snapshot(c, victim);
    it_node_kill(c, victim);
    flip_in_the_middle(look(c, victim).snapshot);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
}

static bool log_is_short(const struct it_cluster *c)
{
    return look(c, 0).snapshots > 0 && look(c, 0).segment_bytes <= UINT64_C(4) << 20;
}

/* All of the disk counts as low here, so what would be kept for peers goes. */
static void disk__low__is_cleared_of_the_log(void **state)
{
    (void)state;
    static const char *const sets[] = {"log.segment_bytes=1MiB", "log.snapshot_bytes=8MiB",
        "log.space_soft=100%", "log.space_hard=1MiB"};
    struct it_cluster *c = it_cluster_new(1);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        c->sets[i] = sets[i];
    }
    it_cluster_start(c);
    IT_UNTIL(IT_SOON_MS, it_metric(c, 0, "pcached_disk_space_level") == 1);
    write_values(c, 0, 120); /* 12 MB, far less than the log's 256 MiB for peers */
    IT_UNTIL(IT_SOON_MS, log_is_short(c));
    it_node_kill(c, 0);
    it_node_start(c, 0);
    it_node_await_ready(c, 0);
    assert_int_equal(it_get(c, 0, "/v1/kv/key19")->body_len, VALUE_BYTES);
}

/* Nothing can be read of it, and the log begins behind it. */
static void snapshot__with_a_bad_header__is_fetched_from_a_peer(void **state)
{
    (void)state;
    struct it_cluster *c = new_cluster();
    write_values(c, 0, BEYOND_MEMORY);
    it_cluster_await_equal(c);
    size_t victim = it_cluster_follower(c, 0);
    IT_UNTIL(IT_SOON_MS, log_is_cut(c, victim));
    it_node_kill(c, victim);
    flip_headers(c, victim);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
    assert_non_null(strstr(it_node_log(c, victim), "there is no snapshot that is whole"));
    it_node_kill(c, victim);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
}

/* Whoever is alone must not come up without what it has lost. */
static void snapshot__of_a_node_alone_damaged__refuses_the_start(void **state)
{
    (void)state;
    struct it_cluster *c = new_cluster_of(1);
    write_values(c, 0, BEYOND_MEMORY);
    IT_UNTIL(IT_SOON_MS, log_is_cut(c, 0));
    it_node_kill(c, 0);
    char path[256];
    memcpy(path, look(c, 0).snapshot, sizeof path);
    flip_in_the_middle(path);
    it_node_start(c, 0);
    assert_int_equal(it_node_wait(c, 0, IT_SOON_MS), 65);
    assert_non_null(strstr(it_node_log(c, 0), "start once with --accept-data-loss"));
    flip_in_the_middle(path); /* as it was */
    flip_at(path, 9);
    it_node_start(c, 0);
    assert_int_equal(it_node_wait(c, 0, IT_SOON_MS), 65);
    assert_non_null(strstr(it_node_log(c, 0), "restore it from a copy"));
    flip_at(path, 9);
    it_node_start(c, 0);
    it_cluster_await_ready(c);
}

static const struct it_test tests[] = {
    IT_TEST(disk__low__is_cleared_of_the_log),
    IT_TEST(log__grows__goes_behind_snapshots),
    IT_TEST(node__killed__starts_from_its_snapshot),
    IT_TEST(node__away_for_longer_than_the_log__fetches_a_snapshot),
    IT_TEST(snapshot__damaged__is_replaced),
    IT_TEST(snapshot__with_a_bad_header__is_fetched_from_a_peer),
    IT_TEST(snapshot__of_a_node_alone_damaged__refuses_the_start),
};
IT_MAIN(tests)
