/* The log as a feed of real nodes: what they give is what lies on their disks, one node as the
 * other, and whoever reads it goes on after whatever happens to a node. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

/* ---- reading */

struct text {
    char *bytes; /* ends with a NUL that is not counted */
    size_t len;
    size_t pages;
};

static void text_add(struct text *text, const char *bytes, size_t len)
{
    text->bytes = realloc(text->bytes, text->len + len + 1);
    assert_non_null(text->bytes);
    memcpy(text->bytes + text->len, bytes, len);
    text->len += len;
    text->bytes[text->len] = '\0';
}

static void text_clear(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

static void assert_same(const struct text *a, const struct text *b)
{
    assert_int_equal(a->len, b->len);
    assert_memory_equal(a->bytes, b->bytes, a->len);
}

static uint64_t header_of(const struct it_client *answer, const char *name)
{
    char value[64];
    (void)it_client_header(answer, name, value, sizeof value);
    assert_true(value[0] != '\0');
    return strtoull(value, NULL, 10);
}

static const struct it_client *get_page(struct it_cluster *c, size_t i, uint64_t from, size_t limit)
{
    char target[96];
    (void)snprintf(
        target, sizeof target, "/v1/log?from=%llu&limit=%zu", (unsigned long long)from, limit);
    return it_get(c, i, target);
}

/* Everything from entry `from` on that node i has; returns what follows. */
static uint64_t walk(struct it_cluster *c, size_t i, uint64_t from, size_t limit, struct text *text)
{
    while (true) {
        const struct it_client *answer = get_page(c, i, from, limit);
        assert_int_equal(answer->status, 200);
        uint64_t next = header_of(answer, "X-PC-Next");
        if (answer->body_len == 0) {
            assert_int_equal(next, from);
            return next;
        }
        assert_true(next > from && next <= from + limit);
        text_add(text, answer->body, answer->body_len);
        text->pages++;
        from = next;
    }
}

/* One line for each entry from `first` on, in order; returns what follows. */
static uint64_t assert_consecutive(const struct text *text, uint64_t first)
{
    const char *at = text->bytes;
    while (at != NULL && *at != '\0') {
        unsigned long long index = 0;
        assert_int_equal(sscanf(at, "{\"index\":%llu,", &index), 1);
        assert_int_equal(index, first);
        first++;
        at = strchr(at, '\n');
        assert_non_null(at); /* lines are whole */
        at++;
    }
    return first;
}

static void read_file(const char *path, struct text *text)
{
    struct stat stat_of;
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &stat_of), 0);
    char *bytes = malloc((size_t)stat_of.st_size + 1);
    assert_non_null(bytes);
    ssize_t got = read(fd, bytes, (size_t)stat_of.st_size);
    assert_int_equal(got, stat_of.st_size);
    text_add(text, bytes, (size_t)got);
    free(bytes);
    close(fd);
}

/* ---- writing */

static void call(struct it_cluster *c, size_t i, const char *method, const char *target,
    const char *headers, const char *body, size_t len)
{
    const struct it_client *answer = it_call(c, i, method, target, headers, body, len);
    if (answer->status / 100 != 2) {
        fail_msg("%s %s: %d %s", method, target, answer->status, answer->body);
    }
}

static char large[300 * 1000];

/* Of every kind that there is, by way of node i. */
static void write_all_kinds(struct it_cluster *c, size_t i)
{
    memset(large, 'x', sizeof large);
    call(c, i, "PUT", "/v1/kv/text", "Content-Type: text/plain\r\n", "h\xc3\xa9llo \"w\"\n", 11);
    call(c, i, "PUT", "/v1/kv/bytes", "Content-Type: image/png\r\n", "\xff\x00\x01", 3);
    call(c, i, "PUT", "/v1/kv/odd%00%FFkey%2f", "", "v", 1);
    call(c, i, "PUT", "/v1/kv/empty", "", "", 0);
    call(c, i, "PUT", "/v1/kv/free", "If-None-Match: *\r\n", "first", 5);
    call(c, i, "PUT", "/v1/kv/free", "If-Match: *\r\n", "second", 6);
    call(c, i, "POST", "/api/cache/json/", "", "{\"a\": [1, 2]}", 13);
    for (size_t k = 0; k < 3; k++) {
        call(c, i, "PUT", "/v1/kv/large", "", large, sizeof large);
    }
    call(c, i, "PUT", "/v1/kv/brief?ttl=100ms", "", "gone soon", 9);
    call(c, i, "PUT", "/v1/kv/kept?ttl=1h", "", "stays", 5);
    call(c, i, "PATCH", "/v1/kv/kept", "", "{\"ttl\": null}", 13);
    call(c, i, "DELETE", "/v1/kv/text", "", "", 0);
    call(c, i, "DELETE", "/v1/kv/never-there", "", "", 0);
    IT_UNTIL(IT_SOON_MS, it_get(c, i, "/v1/kv/brief")->status == 404); /* no ticks after this */
}

/* ---- tests */

static void log__of_each_node__is_the_same_and_what_pclog_prints(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    write_all_kinds(c, 1);
    it_put(c, 1, "last", "of all");
    it_cluster_await_equal(c);
    struct text whole = {0};
    uint64_t next = walk(c, 0, 1, 1000, &whole);
    assert_true(whole.pages > 1); /* by their bytes */
    assert_int_equal(assert_consecutive(&whole, 1), next);
    static const char *const parts[] = {"\"kind\":\"config\",\"history\":\"", "\"kind\":\"noop\"",
        "\"value\":\"h\xc3\xa9llo \\\"w\\\"\\n\",\"content_type\":\"text/plain\"}",
        "\"value_b64\":\"/wAB\",\"content_type\":\"image/png\"}", "\"key_b64\":\"b2RkAP9rZXkv\"",
        "\"key\":\"empty\",\"value\":\"\"", "\"value\":\"first\"", "\"if\":\"absent\"",
        "\"if\":\"present\"", "\"value\":\"{\\\"a\\\": [1, 2]}\"", "\"ttl_ms\":100}",
        "\"op\":\"persist\"", "\"op\":\"delete\",\"key\":\"never-there\"", "\"op\":\"tick\""};
    for (size_t k = 0; k < sizeof parts / sizeof parts[0]; k++) {
        if (strstr(whole.bytes, parts[k]) == NULL) {
            fail_msg("no line has %s", parts[k]);
        }
    }
    static const size_t limits[] = {1, 3, 100000};
    for (size_t k = 0; k < 3; k++) {
        struct text other = {0};
        assert_int_equal(walk(c, k, 1, limits[k], &other), next);
        assert_same(&whole, &other);
        text_clear(&other);
    }
    size_t stopped = it_cluster_follower(c, 0);
    char path[300];
    struct text dump = {0};
    it_node_signal(c, stopped, SIGTERM);
    assert_int_equal(it_node_wait(c, stopped, IT_SOON_MS), 0);
    (void)snprintf(path, sizeof path, "%s/dump", c->dir);
    pid_t pid = it_program_start(
        (const char *const[]){"pclog", "dump", c->node[stopped].data_dir, "--json", NULL}, NULL,
        path, "/dev/null");
    int status;
    IT_UNTIL(IT_SOON_MS, (status = it_program_poll(pid)) != IT_STILL_RUNNING);
    assert_int_equal(status, 0);
    read_file(path, &dump);
    /* The log notes what is committed with what it writes next: the last entry may be missing. */
    assert_true(dump.len <= whole.len && strstr(dump.bytes, "\"key\":\"never-there\"") != NULL);
    assert_memory_equal(whole.bytes, dump.bytes, dump.len);
    text_clear(&dump);
    text_clear(&whole);
}

static void reader__its_node_is_killed__misses_nothing(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    char endpoints[96], path[300];
    size_t killed = it_cluster_leader(c), left = (killed + 1) % 3;
    (void)snprintf(endpoints, sizeof endpoints, "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u",
        c->node[killed].http_port, c->node[left].http_port, c->node[(killed + 2) % 3].http_port);
    (void)snprintf(path, sizeof path, "%s/tail", c->dir);
    pid_t pid = it_program_start(
        (const char *const[]){"pcadmin", "-e", endpoints, "log", "tail", "--follow", NULL}, NULL,
        path, "/dev/null");
    struct text seen = {0}, whole = {0};
    struct it_status at;
    for (int k = 0; k < 50; k++) {
        it_put(c, left, "k", "before");
    }
    IT_UNTIL(IT_SOON_MS, (text_clear(&seen), read_file(path, &seen), seen.len > 5000));
    it_node_kill(c, killed);
    IT_UNTIL(IT_SOON_MS, it_cluster_leader(c) != killed);
    for (int k = 0; k < 50; k++) {
        it_put(c, left, "k", "after");
    }
    assert_true(it_status(c, left, &at));
    IT_UNTIL(IT_SOON_MS, (text_clear(&whole), walk(c, left, 1, 100000, &whole) > at.applied));
    IT_UNTIL(IT_SOON_MS, (text_clear(&seen), read_file(path, &seen), seen.len == whole.len));
    assert_same(&whole, &seen);
    (void)assert_consecutive(&seen, 1);
    assert_int_equal(kill(pid, SIGTERM), 0);
    IT_UNTIL(IT_SOON_MS, it_program_poll(pid) != IT_STILL_RUNNING);
    text_clear(&whole);
    text_clear(&seen);
}

/* The node comes back, under its old address, as the first one of a new cluster. */
static void reader__another_cluster_answers__ends(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    it_cluster_start(c);
    char endpoint[32], path[300], errors[300];
    (void)snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", c->node[0].http_port);
    (void)snprintf(path, sizeof path, "%s/tail", c->dir);
    (void)snprintf(errors, sizeof errors, "%s/tail-errors", c->dir);
    pid_t pid = it_program_start((const char *const[]){"pcadmin", "-e", endpoint, "--timeout",
                                     "60s", "log", "tail", "--follow", NULL},
        NULL, path, errors);
    struct text seen = {0}, said = {0};
    int status = IT_STILL_RUNNING;
    it_put(c, 0, "first", "cluster");
    IT_UNTIL(IT_SOON_MS, (text_clear(&seen), read_file(path, &seen), seen.len > 0) &&
                             strstr(seen.bytes, "\"key\":\"first\"") != NULL);
    it_node_kill(c, 0);
    pc_test_dir_remove(c->node[0].data_dir);
    it_node_start(c, 0);
    it_node_await_ready(c, 0);
    for (int k = 0; k < 5; k++) {
        it_put(c, 0, "second", "cluster");
    }
    IT_UNTIL(IT_SOON_MS, (status = it_program_poll(pid)) != IT_STILL_RUNNING);
    assert_int_equal(status, 7);
    read_file(errors, &said);
    it_contains(said.bytes, "this is the log of another cluster");
    text_clear(&seen);
    read_file(path, &seen);
    assert_null(strstr(seen.bytes, "\"key\":\"second\""));
    text_clear(&seen);
    text_clear(&said);
}

static void log__compacted__leads_to_the_snapshot_and_on(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "log.segment_bytes=1MiB", "log.snapshot_bytes=1MiB", "log.keep_bytes=1MiB"};
    struct it_cluster *c = it_cluster_new(1);
    struct it_output output;
    char endpoint[32], gone[64];
    memcpy(c->sets, sets, sizeof sets);
    memset(large, 'x', sizeof large);
    it_cluster_start(c);
    uint64_t oldest = 1;
    for (int k = 0; k < 200 && oldest == 1; k++) {
        call(c, 0, "PUT", "/v1/kv/k", "", large, sizeof large);
        const struct it_client *answer = it_get(c, 0, "/v1/log?limit=1");
        assert_int_equal(answer->status, 200);
        oldest = header_of(answer, "X-PC-Oldest");
    }
    assert_true(oldest > 1);
    const struct it_client *answer = get_page(c, 0, 1, 10);
    assert_int_equal(answer->status, 410);
    it_contains(answer->body, "\"code\":\"compacted\"");
    oldest = strtoull(strstr(answer->body, "\"oldest\":") + 9, NULL, 10);
    (void)snprintf(gone, sizeof gone, "begins with %llu:", (unsigned long long)oldest);
    it_contains(answer->body, gone);
    (void)snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", c->node[0].http_port);
    it_run(&output, "pcadmin", "-e", endpoint, "log", "tail", "--from", "1");
    assert_int_equal(output.status, 1);
    it_contains(output.err, "not in this node's log any more");
    answer = it_get(c, 0, "/v1/snapshot");
    assert_int_equal(answer->status, 200);
    uint64_t index = header_of(answer, "X-PC-Index");
    struct text rest = {0};
    it_put(c, 0, "k", "last");
    assert_true(index + 1 >= oldest);
    uint64_t next = walk(c, 0, index + 1, 1000, &rest);
    assert_int_equal(assert_consecutive(&rest, index + 1), next);
    it_contains(rest.bytes, "\"value\":\"last\"");
    text_clear(&rest);
    walk(c, 0, oldest, 1000, &rest);
    (void)assert_consecutive(&rest, oldest);
    text_clear(&rest);
}

/* Flips a byte of these in a segment of the node's log. */
static void damage(const struct it_cluster *c, size_t i, const char *bytes)
{
    char dir[200];
    bool is_done = false;
    (void)snprintf(dir, sizeof dir, "%s/log", c->node[i].data_dir);
    DIR *opened = opendir(dir);
    assert_non_null(opened);
    for (const struct dirent *at = readdir(opened); at != NULL; at = readdir(opened)) {
        char path[512];
        struct text file = {0};
        (void)snprintf(path, sizeof path, "%s/%s", dir, at->d_name);
        if (strncmp(at->d_name, "log-", 4) != 0) {
            continue;
        }
        read_file(path, &file);
        const char *found = memmem(file.bytes, file.len, bytes, strlen(bytes));
        if (found != NULL) {
            char flipped = (char)(*found ^ 4);
            int fd = open(path, O_WRONLY);
            assert_int_equal(pwrite(fd, &flipped, 1, found - file.bytes), 1);
            close(fd);
            is_done = true;
        }
        text_clear(&file);
    }
    closedir(opened);
    assert_true(is_done);
}

static void log__damaged_under_a_node__is_not_given(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char place[64];
    it_cluster_start(c);
    for (int k = 0; k < 10; k++) {
        it_put(c, 0, "k", k == 5 ? "this-will-be-flipped" : "other");
    }
    it_cluster_await_equal(c);
    size_t i = it_cluster_follower(c, 0), whole = (i + 1) % 3;
    damage(c, i, "this-will-be-flipped");
    const struct it_client *answer = get_page(c, i, 1, 1000);
    assert_int_equal(answer->status, 200); /* what is in front of it */
    assert_null(strstr(answer->body, "flipped"));
    uint64_t bad = header_of(answer, "X-PC-Next");
    answer = get_page(c, i, bad, 1000);
    assert_int_equal(answer->status, 500);
    it_contains(answer->body, "\"code\":\"log_unreadable\"");
    (void)snprintf(place, sizeof place, "entry %llu cannot be read: ", (unsigned long long)bad);
    it_contains(answer->body, place);
    it_contains(answer->body, "damaged at offset");
    answer = get_page(c, whole, bad, 1000);
    assert_int_equal(answer->status, 200);
    it_contains(answer->body, "this-will-be-flipped");
    answer = get_page(c, i, bad + 1, 1000);
    assert_int_equal(answer->status, 200); /* and what is behind it */
    assert_false(it_node_has_ended(c, i));
    it_put(c, i, "k", "goes on");
}

/* Asks for entry `from`, and reads nothing of the answer. */
static int ask_and_wait(const struct it_cluster *c, uint64_t from)
{
    char request[128];
    int small = 4096, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(c->node[0].http_port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    int len = snprintf(request, sizeof request,
        "GET /v1/log?from=%llu&limit=1 HTTP/1.1\r\nHost: h\r\n\r\n", (unsigned long long)from);
    assert_int_equal(send(fd, request, (size_t)len, MSG_NOSIGNAL), len);
    return fd;
}

#define SLOW_N 4
#define VALUE_BYTES (8 * 1024 * 1024)
#define UNSENT_MAX (16 * 1024 * 1024)

/* Of pages: never more than is allowed and one page. */
static uint64_t unsent(struct it_cluster *c)
{
    uint64_t bytes = it_metric(c, 0, "pcached_feed_unsent_bytes");
    assert_true(bytes < UNSENT_MAX + VALUE_BYTES + 4096);
    return bytes;
}

static void readers__that_are_slow__hold_little_and_are_let_go(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    struct it_status at;
    int fds[SLOW_N];
    char *value = malloc(VALUE_BYTES);
    assert_non_null(value);
    memset(value, 'v', VALUE_BYTES);
    c->sets[0] = "limits.value_bytes=8MiB";
    c->sets[1] = "limits.write_deadline=2s";
    it_cluster_start(c);
    call(c, 0, "PUT", "/v1/kv/k", "", value, VALUE_BYTES);
    free(value);
    assert_true(it_status(c, 0, &at));
    for (size_t k = 0; k < SLOW_N; k++) {
        fds[k] = ask_and_wait(c, at.applied);
    }
    IT_UNTIL(IT_SOON_MS, unsent(c) >= UNSENT_MAX);
    it_put(c, 0, "small", "is written meanwhile");
    /* All of them get their turn, and none takes it. */
    IT_UNTIL(IT_SOON_MS, unsent(c) == 0 && it_metric(c, 0, "pcached_feed_entries_total") == SLOW_N);
    assert_int_equal(get_page(c, 0, at.applied + 1, 10)->status, 200);
    for (size_t k = 0; k < SLOW_N; k++) {
        close(fds[k]);
    }
}

static const struct it_test tests[] = {
    IT_TEST(log__of_each_node__is_the_same_and_what_pclog_prints),
    IT_TEST(reader__its_node_is_killed__misses_nothing),
    IT_TEST(reader__another_cluster_answers__ends),
    IT_TEST(log__compacted__leads_to_the_snapshot_and_on),
    IT_TEST(log__damaged_under_a_node__is_not_given),
    IT_TEST(readers__that_are_slow__hold_little_and_are_let_go),
};
IT_MAIN(tests)
