/* Damaged logs: what was acknowledged is there, the node has repaired itself, and says so. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define KEYS 1000
#define SEGMENTS_MAX 256

struct segments {
    char path[SEGMENTS_MAX][300];
    size_t n;
};

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void list_segments(const struct it_cluster *c, size_t i, struct segments *out)
{
    char dir[200];
    (void)snprintf(dir, sizeof dir, "%s/log", c->node[i].data_dir);
    DIR *d = opendir(dir);
    assert_non_null(d);
    out->n = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strncmp(e->d_name, "log-", 4) == 0) {
            assert_true(out->n < SEGMENTS_MAX);
            (void)snprintf(out->path[out->n++], sizeof out->path[0], "%s/%.60s", dir, e->d_name);
        }
    }
    (void)closedir(d);
    assert_true(out->n >= 4);
    qsort(out->path, out->n, sizeof out->path[0], by_name);
}

static void find_snapshot(const struct it_cluster *c, size_t i, char out[256])
{
    char dir[200];
    (void)snprintf(dir, sizeof dir, "%s/log", c->node[i].data_dir);
    DIR *d = opendir(dir);
    assert_non_null(d);
    out[0] = '\0';
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strncmp(e->d_name, "snap-", 5) == 0) {
            (void)snprintf(out, 256, "%s/%.50s", dir, e->d_name);
        }
    }
    (void)closedir(d);
    assert_true(out[0] != '\0');
}

/* Flips every bit of `len` bytes, or overwrites them with zeros. */
static void damage(const char *path, off_t at, size_t len, bool zeros)
{
    uint8_t bytes[8192] = {0};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0 && len <= sizeof bytes);
    if (!zeros) {
        assert_int_equal(pread(fd, bytes, len, at), len);
        for (size_t i = 0; i < len; i++) {
            bytes[i] ^= 0xff;
        }
    }
    assert_int_equal(pwrite(fd, bytes, len, at), len);
    close(fd);
}

/* Through the first `nodes` nodes. */
static void write_keys_through(struct it_cluster *c, size_t nodes)
{
    for (int n = 0; n < KEYS; n++) {
        char key[32], value[64];
        (void)snprintf(key, sizeof key, "key/%d", n);
        (void)snprintf(value, sizeof value, "value of the key number %d", n);
        it_put(c, (size_t)n % nodes, key, value);
    }
}

static void write_keys(struct it_cluster *c)
{
    write_keys_through(c, c->n);
}

static void check_keys(struct it_cluster *c)
{
    for (int n = 0; n < KEYS; n++) {
        char key[32], value[64];
        (void)snprintf(key, sizeof key, "key/%d", n);
        (void)snprintf(value, sizeof value, "value of the key number %d", n);
        assert_string_equal(it_value(c, (size_t)n % c->n, key), value);
    }
}

static struct it_cluster *start_with_keys(void)
{
    struct it_cluster *c = it_cluster_new(3);
    c->sets[0] = "log.segment_bytes=65536";
    it_cluster_start(c);
    write_keys(c);
    return c;
}

static void await_whole(struct it_cluster *c, size_t i, const char *says)
{
    it_node_start(c, i);
    it_node_await_ready(c, i);
    it_cluster_await_equal(c);
    check_keys(c);
    it_contains(it_node_log(c, i), says);
}

static void damage__in_the_middle_of_a_log__is_repaired_from_peers(void **state)
{
    (void)state;
    struct it_cluster *c = start_with_keys();
    struct segments s;
    it_node_kill(c, 2);
    list_segments(c, 2, &s);
    damage(s.path[1], 20000, 3, false);
    damage(s.path[2], 512 * 3, 4096, true);
    it_put(c, 0, "meanwhile", "1");
    await_whole(c, 2, "the log is whole again");
    /* Once more on the same log, which now has fillings, and a segment less. */
    it_node_kill(c, 2);
    assert_int_equal(unlink(s.path[1]), 0);
    await_whole(c, 2, "the log is whole again");
    it_node_signal(c, 2, SIGTERM);
    assert_int_equal(it_node_wait(c, 2, IT_SOON_MS), 0);
    it_node_start(c, 2);
    it_cluster_await_equal(c);
    check_keys(c);
}

static void damage__of_the_log_s_end__is_brought_back_by_the_leader(void **state)
{
    (void)state;
    struct it_cluster *c = start_with_keys();
    struct segments s;
    it_node_kill(c, 1);
    list_segments(c, 1, &s);
    assert_int_equal(unlink(s.path[s.n - 1]), 0);
    await_whole(c, 1, "does not vote");
    it_node_kill(c, 1);
    list_segments(c, 1, &s);
    for (size_t i = 0; i < s.n; i++) {
        assert_int_equal(unlink(s.path[i]), 0);
    }
    await_whole(c, 1, "does not vote");
    it_put(c, 1, "after", "1");
}

static void damage__at_other_places_of_every_node__is_repaired_by_all_together(void **state)
{
    (void)state;
    struct it_cluster *c = start_with_keys();
    struct segments s;
    for (size_t i = 0; i < 3; i++) {
        it_node_kill(c, i);
    }
    for (size_t i = 0; i < 3; i++) {
        list_segments(c, i, &s);
        damage(s.path[i], 512 * 40 + 100, 600, false);
    }
    for (size_t i = 0; i < 3; i++) {
        it_node_start(c, i);
    }
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
    check_keys(c);
    for (size_t i = 0; i < 3; i++) {
        it_contains(it_node_log(c, i), "the log is whole again");
    }
}

/* Not while it cannot know: the node alone is up, and says what it waits for. */
static void damage__while_no_peer_is_there__serves_nothing_and_says_why(void **state)
{
    (void)state;
    struct it_cluster *c = start_with_keys();
    struct segments s;
    for (size_t i = 0; i < 3; i++) {
        it_node_kill(c, i);
    }
    list_segments(c, 0, &s);
    damage(s.path[1], 30000, 2000, true);
    it_node_start(c, 0);
    IT_UNTIL(IT_SOON_MS, it_get(c, 0, "/readyz")->status == 503);
    it_contains(it_get(c, 0, "/readyz")->body, "repairing entries ");
    assert_int_equal(it_get(c, 0, "/v1/kv/key/1?consistency=local")->status, 503);
    it_node_start(c, 1);
    IT_UNTIL(IT_SOON_MS, strstr(it_get(c, 0, "/readyz")->body, "repairing") == NULL);
    it_node_start(c, 2);
    it_cluster_await_equal(c);
    check_keys(c);
}

static void damage__of_a_node_alone__needs_the_user_s_word(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    c->sets[0] = "log.segment_bytes=65536";
    it_cluster_start(c);
    write_keys(c);
    struct segments s;
    it_node_kill(c, 0);
    list_segments(c, 0, &s);
    damage(s.path[2], 20000, 600, false);
    it_node_start(c, 0);
    assert_int_equal(it_node_wait(c, 0, IT_SOON_MS), 65);
    it_contains(it_node_log(c, 0), "--accept-data-loss");
    it_contains(it_node_log(c, 0), "are lost");
    c->accept_data_loss = true;
    it_node_start(c, 0);
    it_node_await_ready(c, 0);
    it_contains(it_node_log(c, 0), "cut off what came behind it");
    assert_string_equal(it_value(c, 0, "key/0"), "value of the key number 0");
    assert_int_equal(it_get(c, 0, "/v1/kv/key/999")->status, 404);
    it_put(c, 0, "after", "1");
    it_node_kill(c, 0);
    c->accept_data_loss = false;
    it_node_start(c, 0);
    it_node_await_ready(c, 0);
    assert_string_equal(it_value(c, 0, "after"), "1");
}

/* The log goes back to its first entry, but cannot stand for the snapshot: that one stays. */
static void damage__of_a_node_alone_and_of_its_snapshot__takes_neither_away(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    c->sets[0] = "log.segment_bytes=65536";
    it_cluster_start(c);
    write_keys(c);
    struct segments s;
    char snapshot[256];
    assert_int_equal(it_call(c, 0, "POST", "/v1/snapshot", NULL, NULL, 0)->status, 200);
    it_put(c, 0, "behind", "1");
    it_node_kill(c, 0);
    list_segments(c, 0, &s);
    damage(s.path[1], 20000, 600, false);
    find_snapshot(c, 0, snapshot);
    damage(snapshot, 8000, 3, false);
    for (unsigned again = 0; again < 2; again++) {
        it_node_start(c, 0);
        assert_int_equal(it_node_wait(c, 0, IT_SOON_MS), 65);
        it_contains(it_node_log(c, 0), "to go on with what can be read of it");
        find_snapshot(c, 0, snapshot);
    }
    c->accept_data_loss = true;
    it_node_start(c, 0);
    it_node_await_ready(c, 0);
    assert_string_equal(it_value(c, 0, "behind"), "1");
}

static void make_snapshot(struct it_cluster *c, size_t i)
{
    assert_int_equal(it_call(c, i, "POST", "/v1/snapshot", NULL, NULL, 0)->status, 200);
}

/* What a start passes over unread is found when a peer asks for it. All who have it have lost the
 * same of it, and more besides: the peer gets the snapshot, and nobody ends. */
static void damage__in_front_of_every_snapshot__is_found_by_a_peer_and_given_to_none(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    struct segments s;
    c->sets[0] = "log.segment_bytes=65536";
    it_cluster_start(c);
    it_node_kill(c, 2);
    write_keys_through(c, 2);
    for (size_t i = 0; i < 2; i++) {
        make_snapshot(c, i);
        it_node_kill(c, i);
        list_segments(c, i, &s);
        damage(s.path[1], 20000, 3, false);
        damage(s.path[2 + i], 30000, 600, true);
        it_node_start(c, i);
        it_node_await_ready(c, i); /* none of it was looked at */
        assert_int_equal(it_metric(c, i, "pcached_log_damaged_loads_total"), 0);
    }
    it_put(c, 0, "after", "1"); /* it takes the votes of both */
    it_node_start(c, 2);
    it_node_await_ready(c, 2);
    it_cluster_await_equal(c);
    check_keys(c);
    it_contains(it_node_log(c, 2), "fetching from a peer");
    size_t told = 0;
    for (size_t i = 0; i < 2; i++) {
        bool says = strstr(it_node_log(c, i), "the log is damaged in front of the snapshot");
        assert_int_equal(says, it_metric(c, i, "pcached_log_damaged_loads_total") > 0);
        told += says ? 1 : 0;
    }
    assert_true(told > 0);
}

/* Neither of the two can stand for the other. */
static void damage__of_log_and_snapshot_of_a_member__heals_without_a_restart(void **state)
{
    (void)state;
    struct it_cluster *c = start_with_keys();
    struct segments s;
    char snapshot[256];
    make_snapshot(c, 2);
    it_put(c, 0, "behind", "1");
    it_node_kill(c, 2);
    list_segments(c, 2, &s);
    damage(s.path[1], 20000, 600, false);
    find_snapshot(c, 2, snapshot);
    damage(snapshot, 8000, 3, false);
    it_node_start(c, 2);
    it_node_await_ready(c, 2);
    it_cluster_await_equal(c);
    check_keys(c);
    it_contains(it_node_log(c, 2), "a snapshot is no good");
    it_contains(it_node_log(c, 2), "the log is damaged: a peer's snapshot is fetched for it");
    it_node_kill(c, 2);
    it_node_start(c, 2); /* that one stands for both now */
    it_node_await_ready(c, 2);
    assert_string_equal(it_value(c, 2, "behind"), "1");
}

/* Its first entry names the cluster: to cut in front of it leaves nothing to be started. */
static void damage__of_the_first_entry_of_a_node_alone__is_refused_uncut(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    c->sets[0] = "log.segment_bytes=65536";
    it_cluster_start(c);
    write_keys(c);
    struct segments s;
    it_node_kill(c, 0);
    list_segments(c, 0, &s);
    size_t before = s.n;
    damage(s.path[0], 512, 512, false);
    for (int i = 0; i < 2; i++) {
        c->accept_data_loss = i == 0;
        it_node_start(c, 0);
        assert_int_equal(it_node_wait(c, 0, IT_SOON_MS), 65);
    }
    it_contains(it_node_log(c, 0), "nothing is left of the log");
    it_contains(it_node_log(c, 0), "move it away");
    list_segments(c, 0, &s);
    assert_int_equal(s.n, before);
}

static void data_loss__accepted_in_a_cluster__is_said_to_have_no_effect(void **state)
{
    (void)state;
    struct it_cluster *c = start_with_keys();
    it_node_kill(c, 0);
    c->accept_data_loss = true;
    it_node_start(c, 0);
    it_cluster_await_ready(c);
    it_contains(it_node_log(c, 0), "--accept-data-loss has no effect");
}

static const struct it_test tests[] = {
    IT_TEST(damage__in_the_middle_of_a_log__is_repaired_from_peers),
    IT_TEST(damage__of_the_log_s_end__is_brought_back_by_the_leader),
    IT_TEST(damage__at_other_places_of_every_node__is_repaired_by_all_together),
    IT_TEST(damage__while_no_peer_is_there__serves_nothing_and_says_why),
    IT_TEST(damage__of_a_node_alone__needs_the_user_s_word),
    IT_TEST(damage__of_a_node_alone_and_of_its_snapshot__takes_neither_away),
    IT_TEST(damage__in_front_of_every_snapshot__is_found_by_a_peer_and_given_to_none),
    IT_TEST(damage__of_log_and_snapshot_of_a_member__heals_without_a_restart),
    IT_TEST(damage__of_the_first_entry_of_a_node_alone__is_refused_uncut),
    IT_TEST(data_loss__accepted_in_a_cluster__is_said_to_have_no_effect),
};
IT_MAIN(tests)
