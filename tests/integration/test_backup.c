/* A copy of a snapshot, from a node under load to a new cluster that begins with it. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"
#include "integration/kit/load.h"

#define EXIT_NO 1
#define EXIT_USAGE 2
#define EXIT_CONNECT 3
#define EXIT_LOCAL_IO 6
#define EXIT_DAMAGED 8
#define KEYS 20

static struct it_output output;

static void expect_status(int status)
{
    if (output.status != status) {
        fail_msg(
            "wanted status %d, but it is %d\n%s%s", status, output.status, output.out, output.err);
    }
}

static void endpoint(const struct it_cluster *c, size_t i, char *out, size_t max)
{
    (void)snprintf(out, max, "127.0.0.1:%u", c->node[i].http_port);
}

/* ---- what stands under some keys */
struct seen {
    char etag[64];
    bool has_ttl;
};

static void key_of(size_t k, char *out, size_t max)
{
    (void)snprintf(out, max, "/v1/kv/kept/%zu", k);
}

/* Values of several sizes; every fourth one expires, in an hour. */
static void write_keys(struct it_cluster *c, struct seen *seen)
{
    static char value[100000];
    for (size_t k = 0; k < KEYS; k++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/v1/kv/kept/%zu%s", k, k % 4 == 0 ? "?ttl=1h" : "");
        memset(value, 'a' + (int)k, sizeof value);
        assert_int_equal(it_call(c, k % 3, "PUT", target, "", value, 1 + k * 5000)->status, 201);
        key_of(k, target, sizeof target);
        const struct it_client *answer = it_get(c, k % 3, target);
        (void)it_client_header(answer, "ETag", seen[k].etag, sizeof seen[k].etag);
        seen[k].has_ttl = k % 4 == 0;
    }
}

static void expect_keys(struct it_cluster *c, size_t i, const struct seen *seen)
{
    for (size_t k = 0; k < KEYS; k++) {
        char target[64], text[64];
        key_of(k, target, sizeof target);
        const struct it_client *answer = it_get(c, i, target);
        assert_int_equal(answer->status, 200);
        assert_int_equal(answer->body_len, 1 + k * 5000);
        assert_int_equal(answer->body[k * 5000], 'a' + (int)k);
        assert_string_equal(it_client_header(answer, "ETag", text, sizeof text), seen[k].etag);
        long ttl_ms = strtol(it_client_header(answer, "X-PC-TTL-Ms", text, sizeof text), NULL, 10);
        assert_true(seen[k].has_ttl ? ttl_ms > 0 && ttl_ms <= 3600000 : ttl_ms == 0);
    }
}

/* ---- files */
static void file_in(const struct it_cluster *c, const char *name, char out[200])
{
    (void)snprintf(out, 200, "%s/%s", c->dir, name);
}

/* A copy of a file with one bit turned at a place. */
static void copy_turned(const char *from, const char *to, double place)
{
    struct stat stat_of;
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0 && fstat(in, &stat_of) == 0);
    char *bytes = malloc((size_t)stat_of.st_size);
    assert_non_null(bytes);
    assert_int_equal(read(in, bytes, (size_t)stat_of.st_size), stat_of.st_size);
    bytes[(size_t)((double)stat_of.st_size * place)] ^= 8;
    assert_int_equal(write(out, bytes, (size_t)stat_of.st_size), stat_of.st_size);
    free(bytes);
    close(in);
    close(out);
}

static json_t *said(void)
{
    json_t *object = json_loads(output.out, 0, NULL);
    assert_true(json_is_object(object));
    return object;
}

static uint64_t number_in(const json_t *object, const char *name)
{
    assert_true(json_is_integer(json_object_get(object, name)));
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

/* Puts a restored directory under the first node of a new cluster, and starts all three. */
static void begin_anew(struct it_cluster *c, const char *file)
{
    it_run(&output, "pcadmin", "snapshot", "restore", file, "--data-dir", c->node[0].data_dir);
    expect_status(0);
    it_contains(output.out, "node2");
    it_contains(output.out, "node3");
    it_cluster_start(c);
}

static bool all_vote(struct it_cluster *c)
{
    const char *status = it_get(c, it_cluster_leader(c), "/v1/status")->body;
    return strstr(status, "\"voters\":3,\"voters_up\":3") != NULL;
}

static void backup__of_a_follower_under_load__begins_a_new_cluster(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    struct seen seen[KEYS];
    struct it_status before, after;
    struct it_load_counts counts;
    char file[200], one[64];
    it_cluster_start(c);
    write_keys(c, seen);
    file_in(c, "backup.snp", file);
    size_t follower = it_cluster_follower(c, 0);
    endpoint(c, follower, one, sizeof one);
    struct it_load *load = it_load_start(c, &(struct it_load_opts){.threads = 2});
    it_load_await(load, 50);
    assert_true(it_status(c, follower, &before));
    it_run(&output, "pcadmin", "-e", one, "-o", "json", "snapshot", "save", file);
    expect_status(0);
    it_load_await(load, 50);
    it_load_stop(load, &counts);
    json_t *saved = said();
    uint64_t index = number_in(saved, "index");
    assert_true(index >= before.applied);
    assert_true(number_in(saved, "items") > KEYS);
    assert_string_equal(json_string_value(json_object_get(saved, "history")), before.history);
    it_run(&output, "pcadmin", "snapshot", "inspect", file, "-o", "json");
    expect_status(0);
    json_t *inspected = said();
    assert_true(json_equal(saved, inspected));
    it_contains(it_get(c, follower, "/v1/status")->body, "\"snapshot\":{\"index\":");

    struct it_cluster *fresh = it_cluster_new(3);
    begin_anew(fresh, file);
    IT_UNTIL(IT_SOON_MS, all_vote(fresh));
    it_cluster_await_ready(fresh);
    for (size_t i = 0; i < 3; i++) {
        expect_keys(fresh, i, seen);
    }
    assert_true(it_status(fresh, 1, &after));
    assert_string_not_equal(after.history, before.history);
    assert_true(after.applied > index); /* no index comes a second time */
    it_put(fresh, 2, "later", "x");
    it_cluster_await_equal(fresh);
    it_node_kill(fresh, 0); /* all is with the others as well */
    it_put(fresh, 1, "later", "y");
    expect_keys(fresh, 2, seen);
    json_decref(saved);
    json_decref(inspected);
}

static void backup__with_a_turned_bit__is_refused_by_all(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    static char value[50000];
    char file[200], bad[200], dir[200], one[64], log[240];
    it_cluster_start(c);
    endpoint(c, 0, one, sizeof one);
    memset(value, 'v', sizeof value);
    assert_int_equal(it_call(c, 0, "PUT", "/v1/kv/key", "", value, sizeof value)->status, 201);
    file_in(c, "good.snp", file);
    file_in(c, "bad.snp", bad);
    file_in(c, "new", dir);
    it_run(&output, "pcadmin", "-e", one, "snapshot", "save", file);
    expect_status(0);
    static const double places[] = {0.0, 0.5, 0.95, 0.9999};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        copy_turned(file, bad, places[i]);
        it_run(&output, "pcadmin", "snapshot", "inspect", bad);
        expect_status(EXIT_DAMAGED);
        it_contains(output.err, "bad.snp: damaged at offset ");
        it_run(&output, "pcadmin", "snapshot", "restore", bad, "--data-dir", dir);
        expect_status(EXIT_DAMAGED);
        it_contains(output.err, "bad.snp: damaged at offset ");
        it_run(&output, "pclog", "snapshot", bad);
        expect_status(EXIT_DAMAGED);
        it_contains(output.err, "bad.snp: damaged at offset ");
    }
    (void)snprintf(log, sizeof log, "%s/log", dir);
    assert_int_not_equal(access(log, F_OK), 0);
    it_run(&output, "pcadmin", "snapshot", "restore", file, "--data-dir", dir);
    expect_status(0);
    assert_int_equal(access(log, F_OK), 0);
    it_run(&output, "pcadmin", "snapshot", "restore", file, "--data-dir", dir);
    expect_status(EXIT_NO);
    it_contains(output.err, "is not empty");
    it_run(&output, "pcadmin", "snapshot", "restore", file, "--data-dir", c->node[0].data_dir);
    expect_status(EXIT_NO);
    it_contains(output.err, "a node runs on this data directory");
}

static void backup__that_cannot_be_had_or_kept__leaves_nothing(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    char file[200], part[220], nowhere[220], one[64];
    it_cluster_start(c);
    endpoint(c, 0, one, sizeof one);
    file_in(c, "backup.snp", file);
    (void)snprintf(part, sizeof part, "%s.part", file);
    (void)snprintf(nowhere, sizeof nowhere, "%s/none/backup.snp", c->dir);
    it_run(&output, "pcadmin", "-e", one, "snapshot", "save", nowhere);
    expect_status(EXIT_LOCAL_IO);
    it_run(&output, "pcadmin", "-e", one, "snapshot", "save", "--newest", file);
    expect_status(EXIT_NO);
    it_contains(output.err, "no snapshot yet");
    int other = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* another one saves to it ... */
    assert_true(other >= 0 && write(other, "half", 4) == 4);
    assert_int_equal(flock(other, LOCK_EX), 0);
    it_run(&output, "pcadmin", "-e", one, "snapshot", "save", file);
    expect_status(EXIT_LOCAL_IO);
    it_contains(output.err, "another one saves to this file");
    assert_int_equal(lseek(other, 0, SEEK_END), 4);
    (void)close(other); /* ... and has died of it: what it left is written over */
    for (int i = 0; i < 3; i++) { /* each record says what was committed when it was written */
        it_put(c, 0, "key", "value");
    }
    it_node_kill(c, 0);
    it_run(&output, "pcadmin", "-e", one, "snapshot", "save", file);
    expect_status(EXIT_CONNECT);
    assert_int_not_equal(access(file, F_OK), 0);
    assert_int_not_equal(access(part, F_OK), 0);
    it_run(&output, "pcadmin", "log", "dump", c->node[0].data_dir);
    expect_status(0);
    it_contains(output.out, "{\"index\":1,\"term\":1,");
    it_contains(output.out, "\"kind\":\"config\",\"history\":");
    it_run(&output, "pcadmin", "log", "dump", c->dir);
    expect_status(EXIT_NO);
    it_run(&output, "pcadmin", "snapshot", "inspect", file);
    expect_status(EXIT_LOCAL_IO);
    it_run(&output, "pcadmin", "snapshot", "restore", file);
    expect_status(EXIT_USAGE);
}

static const struct it_test tests[] = {
    IT_TEST(backup__of_a_follower_under_load__begins_a_new_cluster),
    IT_TEST(backup__with_a_turned_bit__is_refused_by_all),
    IT_TEST(backup__that_cannot_be_had_or_kept__leaves_nothing),
};
IT_MAIN(tests)
