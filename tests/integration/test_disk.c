/* A disk that fills up: writes are refused with 507, reads go on, and when there is space again it
 * ends by itself. The disk is a small tmpfs in a mount namespace of this process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define DISK_OPTIONS "size=24m,mode=0700"
#define VALUE_BYTES (128 * 1024)
#define WRITES_MAX 400 /* far more than the disk has room for */

static bool write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    if (fd >= 0) {
        close(fd);
    }
    return good;
}

/* Mounts made from now on are this process's, and go with it. False where that is not allowed. */
static bool own_mounts(void)
{
    char user_map[32], group_map[32];
    if (geteuid() != 0) {
        (void)snprintf(user_map, sizeof user_map, "0 %u 1", geteuid());
        (void)snprintf(group_map, sizeof group_map, "0 %u 1", getegid());
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
            !write_proc("/proc/self/uid_map", user_map) ||
            !write_proc("/proc/self/setgroups", "deny") ||
            !write_proc("/proc/self/gid_map", group_map)) {
            return false;
        }
    } else if (unshare(CLONE_NEWNS) != 0) {
        return false;
    }
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Puts the data directories of the first `nodes` nodes on a small disk of their own. */
static bool small_disk(struct it_cluster *c, size_t nodes)
{
    char path[160];
    (void)snprintf(path, sizeof path, "%s/disk", c->dir);
    if (mkdir(path, 0700) != 0 || mount("tmpfs", path, "tmpfs", 0, DISK_OPTIONS) != 0) {
        return false;
    }
    memcpy(c->mount, path, sizeof c->mount);
    for (size_t i = 0; i < nodes; i++) {
        int used = snprintf(
            c->node[i].data_dir, sizeof c->node[i].data_dir, "%s/disk/%s", c->dir, c->node[i].name);
        assert_true(used > 0 && (size_t)used < sizeof c->node[i].data_dir);
    }
    return true;
}

/* Takes all the space that is left. */
static void fill_disk(const char *path)
{
    static const uint8_t zeros[65536];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, zeros, sizeof zeros) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

/* Writes until the first 507; what was acknowledged counts up in *acked. */
static void write_until_full(struct it_cluster *c, const char *value, int *acked)
{
    for (int n = 0; n < WRITES_MAX; n++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/v1/kv/big/%d", n);
        const struct it_client *answer =
            it_call(c, (size_t)n % c->n, "PUT", target, NULL, value, VALUE_BYTES);
        if (answer->status == 507) {
            it_contains(answer->head, "application/problem+json");
            it_contains(answer->body, "\"code\":\"log_full\"");
            return;
        }
        /* What was taken in before the disk was full may still wait for it. */
        if (answer->status != 201 && answer->status != 504) {
            fail_msg("write %d: %d %s", n, answer->status, answer->body);
        }
        *acked += answer->status == 201;
    }
    fail_msg("the disk is never full");
}

static bool can_write(struct it_cluster *c, size_t i)
{
    int status = it_call(c, i, "PUT", "/v1/kv/after", NULL, "1", 1)->status;
    return status == 200 || status == 201;
}

static bool can_read(struct it_cluster *c, size_t i, const char *query)
{
    char target[64];
    (void)snprintf(target, sizeof target, "/v1/kv/before%s", query);
    const struct it_client *answer = it_get(c, i, target);
    return answer->status == 200 && answer->body_len == 1;
}

static void full_disk__of_all_nodes__refuses_writes_until_there_is_space(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char ballast[200];
    if (!own_mounts() || !small_disk(c, 3)) {
        it_skip("mounting a tmpfs is not permitted here");
        return;
    }
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", c->mount);
    char *value = malloc(VALUE_BYTES);
    assert_non_null(value);
    memset(value, 'x', VALUE_BYTES);
    it_cluster_start(c);
    it_put(c, 0, "before", "1");
    fill_disk(ballast);
    int acked = 0;
    write_until_full(c, value, &acked);
    free(value);
    it_say("full after %d writes of 128 KiB", acked);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(it_value(c, i, "before"), "1");
        assert_int_equal(it_get(c, i, "/v1/kv/before?consistency=local")->status, 200);
        assert_int_equal(it_get(c, i, "/livez")->status, 200);
        assert_false(it_node_has_ended(c, i));
    }
    size_t leader = it_cluster_leader(c);
    /* The others may be full, and the write refused for that, before the leader has looked. */
    IT_UNTIL(IT_SOON_MS, it_metric(c, leader, "pcached_log_full") == 1);
    it_contains(it_get(c, leader, "/readyz")->body, "disk full");
    it_contains(it_get(c, leader, "/v1/status")->body, "\"space\":\"reserve\"");
    assert_int_equal(it_call(c, leader, "DELETE", "/v1/kv/big/0", NULL, "", 0)->status / 100, 2);
    assert_int_equal(it_get(c, leader, "/v1/kv/big/0")->status, 404);
    assert_int_equal(unlink(ballast), 0);
    uint64_t began = it_now_ms();
    IT_UNTIL(IT_SOON_MS, can_write(c, 0));
    it_say(
        "written again %llu ms after there was space", (unsigned long long)(it_now_ms() - began));
    IT_UNTIL(IT_SOON_MS, it_metric(c, leader, "pcached_log_full") == 0);
    it_cluster_await_equal(c);
    for (int n = 1; n < acked; n++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/v1/kv/big/%d", n);
        assert_int_equal(it_get(c, (size_t)n % 3, target)->body_len, VALUE_BYTES);
    }
}

/* A new leader has to write an entry before it may answer, and its disk has room for that: clients
 * were kept from using it up. */
static void full_disk__and_the_leader_dies__reads_and_deletes_go_on(void **state)
{
    (void)state;
    static char value[VALUE_BYTES];
    struct it_cluster *c = it_cluster_new(3);
    if (!own_mounts() || !small_disk(c, 3)) {
        it_skip("mounting a tmpfs is not permitted here");
        return;
    }
    char ballast[200];
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", c->mount);
    it_cluster_start(c);
    it_put(c, 0, "before", "1");
    it_put(c, 0, "other", "1");
    fill_disk(ballast);
    int acked = 0;
    write_until_full(c, value, &acked);
    for (size_t round = 0; round < 5; round++) {
        size_t leader = it_cluster_leader(c), rest = (leader + 1) % 3;
        it_node_kill(c, leader);
        uint64_t began = it_now_ms();
        IT_UNTIL(IT_SOON_MS, can_read(c, rest, ""));
        it_say("read %llu ms after the leader died", (unsigned long long)(it_now_ms() - began));
        assert_int_equal(it_call(c, rest, "DELETE", "/v1/kv/other", NULL, "", 0)->status, 204);
        it_node_start(c, leader);
        it_node_await_ready(c, leader);
        assert_int_equal(it_call(c, leader, "PUT", "/v1/kv/x", NULL, value, 1)->status, 507);
    }
    assert_int_equal(unlink(ballast), 0);
    IT_UNTIL(IT_SOON_MS, can_write(c, 0));
    it_cluster_await_equal(c);
}

/* The leader has space, but no majority has: the answer is the same as if its own disk were full,
 * and names those that are. */
static void full_disk__of_the_followers__reads_go_on_and_writes_come_back(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    if (!own_mounts() || !small_disk(c, 2)) {
        it_skip("mounting a tmpfs is not permitted here");
        return;
    }
    char ballast[200];
    (void)snprintf(ballast, sizeof ballast, "%s/ballast", c->mount);
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c);
    if (leader != 2) {
        assert_int_equal(
            it_call(c, leader, "POST", "/v1/leader/transfer?target=node3", NULL, "", 0)->status,
            202);
        IT_UNTIL(IT_SOON_MS, it_cluster_leader(c) == 2);
    }
    it_put(c, 0, "before", "1");
    struct it_status before, after;
    assert_true(it_status(c, 2, &before));
    fill_disk(ballast);
    static char value[VALUE_BYTES];
    int acked = 0;
    write_until_full(c, value, &acked);
    const char *refusal = it_call(c, 2, "PUT", "/v1/kv/big", NULL, value, VALUE_BYTES)->body;
    it_contains(refusal, "node1");
    it_contains(refusal, "node2");
    assert_null(strstr(refusal, "node3"));
    assert_int_equal(it_metric(c, 2, "pcached_disk_space_level"), 0);
    assert_int_equal(it_metric(c, 0, "pcached_disk_space_level"), 2);
    assert_int_equal(it_call(c, 1, "DELETE", "/v1/kv/big/0", NULL, "", 0)->status / 100, 2);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(it_value(c, i, "before"), "1");
    }
    assert_true(it_status(c, 2, &after));
    assert_int_equal(after.term, before.term); /* a full disk is no reason for an election */
    assert_int_equal(unlink(ballast), 0);
    IT_UNTIL(IT_SOON_MS, can_write(c, 0));
    it_cluster_await_equal(c);
}

/* Writes until the disk has no room left for them, kills the nodes, takes what room that gives
 * back, and starts them again. */
static void restart_on_full_disk(struct it_cluster *c, const char *ballast, const char *value)
{
    int acked = 0;
    it_put(c, 0, "before", "1");
    fill_disk(ballast);
    write_until_full(c, value, &acked);
    for (size_t i = 0; i < c->n; i++) {
        it_node_kill(c, i);
    }
    fill_disk(ballast);
    for (size_t i = 0; i < c->n; i++) {
        it_node_start(c, i);
    }
    for (size_t i = 0; i < c->n; i++) {
        IT_UNTIL(IT_SOON_MS, can_read(c, i, ""));
        assert_false(it_node_has_ended(c, i));
    }
}

static void full_disk__at_a_restart__reads_and_votes_go_on_and_writes_wait(void **state)
{
    (void)state;
    static char value[VALUE_BYTES];
    if (!own_mounts()) {
        it_skip("mounting a tmpfs is not permitted here");
        return;
    }
    for (size_t n = 1; n <= 3; n += 2) {
        struct it_cluster *c = it_cluster_new(n);
        char ballast[200];
        assert_true(small_disk(c, n));
        (void)snprintf(ballast, sizeof ballast, "%s/ballast", c->mount);
        it_cluster_start(c);
        struct it_status before, after;
        assert_true(it_status(c, 0, &before));
        restart_on_full_disk(c, ballast, value);
        assert_true(it_status(c, 0, &after));
        assert_string_equal(after.id, before.id);
        assert_true(after.term > before.term); /* they have voted */
        fill_disk(ballast);
        int acked = 0;
        write_until_full(c, value, &acked);
        it_say("%zu node(s): %d writes of 128 KiB found room after the restart", n, acked);
        /* One after the other, while entries wait for space: there may be no leader until it comes,
         * but who restarts is there, and answers from what it has. */
        for (size_t i = 0; i < n; i++) {
            it_node_kill(c, i);
            fill_disk(ballast);
            it_node_start(c, i);
            IT_UNTIL(IT_SOON_MS, can_read(c, i, "?consistency=local"));
        }
        assert_int_equal(unlink(ballast), 0);
        IT_UNTIL(IT_SOON_MS, can_write(c, 0));
        it_cluster_await_equal(c);
    }
}

static const struct it_test tests[] = {
    IT_TEST(full_disk__at_a_restart__reads_and_votes_go_on_and_writes_wait),
    IT_TEST(full_disk__of_the_followers__reads_go_on_and_writes_come_back),
    IT_TEST(full_disk__of_all_nodes__refuses_writes_until_there_is_space),
    IT_TEST(full_disk__and_the_leader_dies__reads_and_deletes_go_on),
};
IT_MAIN(tests)
