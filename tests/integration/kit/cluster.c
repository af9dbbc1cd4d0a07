#define _GNU_SOURCE
#include "integration/kit/cluster.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLUSTERS_MAX 4
#define START_TRIES 5
#define EXIT_IN_USE 75
#define LOG_END_BYTES 16384
#define CALL_MS 10000

static struct it_cluster *clusters[CLUSTERS_MAX];
static size_t clusters_n;

/* ---- files of a cluster */
static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void write_key(const struct it_cluster *c)
{
    uint8_t key[32];
    char text[66], path[160];
    assert_int_equal(getrandom(key, sizeof key, 0), sizeof key);
    for (size_t i = 0; i < sizeof key; i++) {
        (void)snprintf(text + 2 * i, 4, "%02x\n", key[i]);
    }
    (void)snprintf(path, sizeof path, "%s/cluster.key", c->dir);
    write_file(path, text);
}

static bool is_spare(const struct it_cluster *c, size_t i)
{
    return i >= c->spares_first && i < c->spares_first + c->spares_n;
}

/* One file for all nodes, its lists of members broken over lines as people write it. */
static void write_ini(const struct it_cluster *c)
{
    char text[2048];
    int used = snprintf(
        text, sizeof text, "[cluster]\nname = it\nkey_file = %s/cluster.key\nmembers = ", c->dir);
    for (size_t i = 0; i < c->n; i++) {
        const char *before = i == 0                                   ? ""
                             : is_spare(c, i) && i == c->spares_first ? "\nspares = "
                                                                      : ",\n    ";
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s=127.0.0.1:%u", before,
            c->node[i].name, c->node[i].bus_port);
    }
    used += snprintf(text + used, sizeof text - (size_t)used, "\n[log]\nsegment_bytes = 1MiB\n");
    assert_true((size_t)used < sizeof text);
    write_file(c->ini, text);
}

static void draw_ports(struct it_cluster *c)
{
    for (size_t i = 0; i < c->n; i++) {
        c->node[i].bus_port = it_port_free();
        c->node[i].http_port = it_port_free();
        it_client_close(&c->node[i].client);
        it_client_open(&c->node[i].client, c->node[i].http_port, CALL_MS);
    }
    write_ini(c);
}

static void name_node(struct it_cluster *c, size_t i)
{
    struct it_node *node = &c->node[i];
    char dir[sizeof c->dir];
    unsigned char number = (unsigned char)(i + 1);
    memcpy(dir, c->dir, sizeof dir);
    (void)snprintf(node->name, sizeof node->name, "node%u", number);
    (void)snprintf(node->data_dir, sizeof node->data_dir, "%s/node%u", dir, number);
    (void)snprintf(node->log_path, sizeof node->log_path, "%s/node%u.log", dir, number);
    node->client.fd = -1;
}

size_t it_cluster_add(struct it_cluster *c)
{
    assert_true(c->n < IT_NODES_MAX);
    size_t i = c->n++;
    name_node(c, i);
    c->node[i].bus_port = it_port_free();
    c->node[i].http_port = it_port_free();
    it_client_open(&c->node[i].client, c->node[i].http_port, CALL_MS);
    return i;
}

struct it_cluster *it_cluster_new(size_t n)
{
    return it_cluster_new_with_spares(n, 0);
}

struct it_cluster *it_cluster_new_with_spares(size_t n, size_t spares_n)
{
    assert_true(clusters_n < CLUSTERS_MAX && n <= IT_NODES_MAX);
    struct it_cluster *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->n = n;
    c->spares_first = n - spares_n;
    c->spares_n = spares_n;
    pc_test_dir_make(c->dir);
    clusters[clusters_n++] = c;
    (void)snprintf(c->ini, sizeof c->ini, "%s/cluster.ini", c->dir);
    for (size_t i = 0; i < n; i++) {
        name_node(c, i);
    }
    write_key(c);
    draw_ports(c);
    return c;
}

/* ---- processes */
void it_node_start_with(struct it_cluster *c, size_t i, const char *const *sets)
{
    struct it_node *node = &c->node[i];
    const char *argv[IT_ARGS_MAX] = {"pcached", "-c", c->ini};
    char own[4][256];
    size_t n = 3;
    assert_int_equal(node->pid, 0);
    argv[0] = node->program != NULL ? node->program : argv[0];
    (void)snprintf(own[0], sizeof own[0], "node.name=%s", node->name);
    (void)snprintf(own[1], sizeof own[1], "node.data_dir=%s", node->data_dir);
    (void)snprintf(own[2], sizeof own[2], "http.listen=127.0.0.1:%u", node->http_port);
    (void)snprintf(own[3], sizeof own[3], "bus.listen=127.0.0.1:%u", node->bus_port);
    for (size_t k = 0; k < 4; k++) {
        argv[n++] = "--set";
        argv[n++] = own[k];
    }
    for (size_t k = 0; k < IT_SETS_MAX && c->sets[k] != NULL; k++) {
        argv[n++] = "--set";
        argv[n++] = c->sets[k];
    }
    for (; sets != NULL && *sets != NULL; sets++) {
        argv[n++] = "--set";
        argv[n++] = *sets;
    }
    if (c->accept_data_loss) {
        argv[n++] = "--accept-data-loss";
    }
    node->pid = it_program_start(argv, NULL, node->log_path, node->log_path);
    node->stopped = false;
}

void it_node_start(struct it_cluster *c, size_t i)
{
    it_node_start_with(c, i, NULL);
}

void it_node_start_joining(struct it_cluster *c, size_t i)
{
    static const char *const sets[] = {"cluster.join=true", NULL};
    it_node_start_with(c, i, sets);
}

bool it_node_has_ended(struct it_cluster *c, size_t i)
{
    struct it_node *node = &c->node[i];
    int status = node->pid != 0 ? it_program_poll(node->pid) : node->exit_status;
    if (status == IT_STILL_RUNNING) {
        return false;
    }
    node->exit_status = status;
    node->pid = 0;
    return true;
}

void it_node_signal(struct it_cluster *c, size_t i, int number)
{
    assert_true(c->node[i].pid > 0);
    assert_int_equal(kill(c->node[i].pid, number), 0);
    c->node[i].stopped =
        number == SIGSTOP || (c->node[i].stopped && number != SIGCONT && number != SIGKILL);
}

void it_node_kill(struct it_cluster *c, size_t i)
{
    struct it_node *node = &c->node[i];
    it_node_signal(c, i, SIGKILL);
    (void)waitpid(node->pid, NULL, 0);
    node->exit_status = 128 + SIGKILL;
    node->pid = 0;
    it_client_hang_up(&node->client);
}

int it_node_wait(struct it_cluster *c, size_t i, int limit_ms)
{
    IT_UNTIL(limit_ms, it_node_has_ended(c, i));
    it_client_hang_up(&c->node[i].client);
    return c->node[i].exit_status;
}

const char *it_node_log(struct it_cluster *c, size_t i)
{
    static char text[LOG_END_BYTES];
    it_file_read_end(c->node[i].log_path, text, sizeof text);
    return text;
}

static void cluster_end(struct it_cluster *c, bool failed)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->node[i].pid > 0 && !it_node_has_ended(c, i)) {
            (void)kill(c->node[i].pid, SIGKILL);
            (void)waitpid(c->node[i].pid, NULL, 0);
        }
        it_client_close(&c->node[i].client);
        if (failed) {
            printf("---- end of the log of %s\n%s", c->node[i].name, it_node_log(c, i));
        }
    }
    if (c->mount[0] != '\0') {
        (void)umount2(c->mount, MNT_DETACH);
    }
    const char *keep = getenv("PCACHE_KEEP");
    if (keep != NULL && strcmp(keep, "1") == 0) {
        it_say("kept: %s", c->dir);
    } else {
        pc_test_dir_remove(c->dir);
    }
}

void it_cluster_end_all(bool failed)
{
    for (size_t i = 0; i < clusters_n; i++) {
        cluster_end(clusters[i], failed);
        free(clusters[i]);
    }
    clusters_n = 0;
}

/* ---- waiting for states */
static bool is_awake(const struct it_cluster *c, size_t i)
{
    return c->node[i].pid > 0 && !c->node[i].stopped;
}

static bool node_is_ready(struct it_cluster *c, size_t i)
{
    if (it_node_has_ended(c, i)) {
        fail_msg("%s has ended with status %d", c->node[i].name, c->node[i].exit_status);
    }
    return it_get(c, i, "/readyz")->status == 200;
}

void it_node_await_ready(struct it_cluster *c, size_t i)
{
    uint64_t until = it_now_ms() + IT_SOON_MS;
    while (!node_is_ready(c, i)) {
        if (it_now_ms() > until) {
            fail_msg("%s is not ready: %s", c->node[i].name, it_get(c, i, "/readyz")->body);
        }
        it_pause();
    }
}

void it_cluster_await_ready(struct it_cluster *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (is_awake(c, i)) {
            it_node_await_ready(c, i);
        }
    }
}

/* Somebody may have taken a port between draw_ports and now. */
static bool cluster_lost_a_port(struct it_cluster *c)
{
    bool lost = false;
    for (size_t i = 0; i < c->n; i++) {
        IT_UNTIL(IT_SOON_MS, it_node_has_ended(c, i) || it_get(c, i, "/livez")->status == 200);
        lost |= c->node[i].pid == 0 && c->node[i].exit_status == EXIT_IN_USE;
    }
    return lost;
}

void it_cluster_start(struct it_cluster *c)
{
    for (int attempt = 0; attempt < START_TRIES; attempt++) {
        for (size_t i = 0; i < c->n; i++) {
            it_node_start(c, i);
        }
        if (!cluster_lost_a_port(c)) {
            break;
        }
        for (size_t i = 0; i < c->n; i++) {
            if (c->node[i].pid > 0) {
                it_node_kill(c, i);
            }
        }
        draw_ports(c);
    }
    for (size_t i = 0; i < c->n; i++) {
        if (!is_spare(c, i)) {
            it_node_await_ready(c, i); /* also says when one has ended */
        }
    }
}

static bool nodes_are_equal(struct it_cluster *c)
{
    struct it_status first = {0}, other;
    bool have_first = false;
    for (size_t i = 0; i < c->n; i++) {
        if (!is_awake(c, i)) {
            continue;
        }
        if (!it_status(c, i, &other) || !other.ready || other.applied != other.commit) {
            return false;
        }
        if (have_first && (other.applied != first.applied || other.commit != first.commit)) {
            return false;
        }
        /* At one index a difference cannot go away by waiting. */
        if (have_first) {
            assert_string_equal(other.digest, first.digest);
        }
        first = other;
        have_first = true;
    }
    return have_first;
}

void it_cluster_await_equal(struct it_cluster *c)
{
    IT_UNTIL(IT_SOON_MS, nodes_are_equal(c));
}

static bool agree_on_leader(struct it_cluster *c, size_t *out)
{
    struct it_status status;
    char name[16] = "";
    for (size_t i = 0; i < c->n; i++) {
        if (!is_awake(c, i)) {
            continue;
        }
        if (!it_status(c, i, &status) || status.leader[0] == '\0' ||
            (name[0] != '\0' && strcmp(name, status.leader) != 0)) {
            return false;
        }
        memcpy(name, status.leader, sizeof name);
    }
    for (size_t i = 0; i < c->n; i++) {
        if (is_awake(c, i) && strcmp(c->node[i].name, name) == 0) {
            *out = i;
            return it_status(c, i, &status) && strcmp(status.role, "leader") == 0;
        }
    }
    return false;
}

size_t it_cluster_leader(struct it_cluster *c)
{
    size_t leader = 0;
    IT_UNTIL(IT_SOON_MS, agree_on_leader(c, &leader));
    return leader;
}

size_t it_cluster_follower(struct it_cluster *c, size_t nth)
{
    size_t leader = it_cluster_leader(c);
    for (size_t i = 0; i < c->n; i++) {
        if (i != leader && is_awake(c, i) && nth-- == 0) {
            return i;
        }
    }
    fail_msg("there is no such follower");
    return 0;
}

/* ---- requests */
const struct it_client *it_call(struct it_cluster *c, size_t i, const char *method,
    const char *target, const char *headers, const void *body, size_t body_len)
{
    struct it_client *client = &c->node[i].client;
    (void)it_client_call(client, method, target, headers, body, body_len);
    return client;
}

const struct it_client *it_get(struct it_cluster *c, size_t i, const char *target)
{
    return it_call(c, i, "GET", target, NULL, NULL, 0);
}

void it_put(struct it_cluster *c, size_t i, const char *key, const char *value)
{
    char target[256];
    (void)snprintf(target, sizeof target, "/v1/kv/%s", key);
    const struct it_client *answer = it_call(c, i, "PUT", target, NULL, value, strlen(value));
    if (answer->status != 200 && answer->status != 201) {
        fail_msg("PUT %s on %s: %d %s", key, c->node[i].name, answer->status, answer->body);
    }
}

const char *it_value(struct it_cluster *c, size_t i, const char *key)
{
    char target[256];
    (void)snprintf(target, sizeof target, "/v1/kv/%s", key);
    const struct it_client *answer = it_get(c, i, target);
    if (answer->status != 200) {
        fail_msg("GET %s on %s: %d %s", key, c->node[i].name, answer->status, answer->body);
    }
    return answer->body;
}

uint64_t it_metric(struct it_cluster *c, size_t i, const char *name)
{
    const struct it_client *answer = it_get(c, i, "/metrics");
    size_t len = strlen(name);
    assert_int_equal(answer->status, 200);
    for (const char *line = answer->body; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && line[len] == ' ') {
            return strtoull(line + len, NULL, 10);
        }
    }
    fail_msg("%s has no metric %s", c->node[i].name, name);
    return 0;
}

static void take_text(const json_t *object, const char *name, char *out, size_t max)
{
    const char *text = json_string_value(json_object_get(object, name));
    (void)snprintf(out, max, "%s", text != NULL ? text : "");
}

static uint64_t take_number(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

bool it_status(struct it_cluster *c, size_t i, struct it_status *out)
{
    const struct it_client *answer = it_get(c, i, "/v1/status");
    json_t *object = answer->status == 200 ? json_loads(answer->body, 0, NULL) : NULL;
    if (object == NULL) {
        return false;
    }
    *out = (struct it_status){
        .term = take_number(object, "term"),
        .commit = take_number(object, "commit"),
        .applied = take_number(object, "applied"),
        .ready = json_is_true(json_object_get(object, "ready")),
    };
    take_text(object, "id", out->id, sizeof out->id);
    take_text(object, "role", out->role, sizeof out->role);
    take_text(object, "leader", out->leader, sizeof out->leader);
    take_text(object, "digest", out->digest, sizeof out->digest);
    take_text(object, "history", out->history, sizeof out->history);
    take_text(object, "fsync", out->fsync, sizeof out->fsync);
    json_decref(object);
    return true;
}
