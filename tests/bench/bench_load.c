/* bench_load: closed-loop HTTP load on loopback from one thread: every connection has one request
 * under way and sends the next when its answer is complete.
 *
 *   bench_load -p PORT[,PORT...] [-M PUT|GET] [-c connections] [-t seconds | -n requests]
 *              [-k key space] [-v value bytes] [-q] [-P path before the key] [-Q path after it]
 *              [-B body before the value] [-T content type] [-S seed] [-r requests per second]
 *
 * Keys are "k" and 15 digits: random in the key space, or one after the other with -q. -P - leaves
 * the key away (a fixed path given by -Q). With -r no more than that many are begun per second,
 * over all connections; one that is late is made up for. Prints one line:
 *
 *   ok=N rate=N p50_us=N p99_us=N p999_us=N max_us=N errors=N closed=N
 *
 * errors: answers other than 2xx, broken connections, and requests left unanswered at the end.
 * closed: connections that the server ended after an answer (Connection: close); made anew. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/epoll.h>

#include "bench_kit.h"

#define EVENTS_MAX 512
#define HEAD_BYTES_MAX 1024
#define LINGER_NS UINT64_C(5000000000) /* for the last answers, when the time is up */

struct conn {
    int fd; /* -1: to be dialled */
    uint16_t port;
    bool is_waiting; /* a request is under way */
    bool wants_out;
    uint64_t sent_at;
    char *out;
    size_t out_len, out_done;
    char *in;
    size_t in_len;
};

struct load {
    uint16_t ports[BENCH_PORTS_MAX];
    size_t ports_n;
    const char *method, *prefix, *suffix, *body, *type;
    size_t conns_n;
    double seconds;
    uint64_t requests_max; /* 0: until the time is up */
    uint64_t per_second;   /* 0: as fast as they are answered */
    uint64_t keys;
    size_t value_len;
    bool is_sequential;
    uint64_t random;
    int epoll;
    struct conn *conns;
    char *value;
    size_t in_max;
    uint64_t begun, issued, ok, errors, closed;
    bool is_over;
    struct bench_histogram latency;
};

static uint64_t load_random(struct load *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random;
}

static size_t load_build(struct load *load, char *out)
{
    char key[32] = "";
    if (strcmp(load->prefix, "-") != 0) {
        uint64_t number = load->is_sequential ? load->issued : load_random(load);
        (void)snprintf(key, sizeof key, "k%015" PRIu64, number % load->keys);
    }
    const char *prefix = key[0] != '\0' ? load->prefix : "";
    bool has_body = strcmp(load->method, "GET") != 0;
    int used = snprintf(out, HEAD_BYTES_MAX, "%s %s%s%s HTTP/1.1\r\nHost: bench\r\n", load->method,
        prefix, key, load->suffix);
    if (has_body) {
        size_t body_len = strlen(load->body) + load->value_len;
        used += snprintf(out + used, HEAD_BYTES_MAX - (size_t)used,
            "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", load->type, body_len, load->body);
        memcpy(out + used, load->value, load->value_len);
        return (size_t)used + load->value_len;
    }
    memcpy(out + used, "\r\n", 2);
    return (size_t)used + 2;
}

static void conn_watch(struct load *load, struct conn *c, int op, bool wants_out)
{
    struct epoll_event event = {.events = EPOLLIN | (wants_out ? (uint32_t)EPOLLOUT : 0)};
    event.data.ptr = c;
    c->wants_out = wants_out;
    if (epoll_ctl(load->epoll, op, c->fd, &event) != 0) {
        bench_fail("bench_load", "epoll_ctl");
    }
}

static void conn_dial(struct load *load, struct conn *c)
{
    c->in_len = 0;
    c->is_waiting = false;
    c->fd = bench_dial(c->port);
    if (c->fd < 0) {
        load->errors++;
        return;
    }
    conn_watch(load, c, EPOLL_CTL_ADD, true);
}

static void conn_end(struct load *load, struct conn *c)
{
    load->errors += c->is_waiting ? 1 : 0;
    c->is_waiting = false;
    (void)close(c->fd);
    c->fd = -1;
}

static void conn_write(struct load *load, struct conn *c)
{
    while (c->out_done < c->out_len) {
        ssize_t put = write(c->fd, c->out + c->out_done, c->out_len - c->out_done);
        if (put < 0 && errno != EAGAIN) {
            conn_end(load, c);
            return;
        }
        if (put < 0) {
            break;
        }
        c->out_done += (size_t)put;
    }
    bool wants_out = c->out_done < c->out_len;
    if (wants_out != c->wants_out) {
        conn_watch(load, c, EPOLL_CTL_MOD, wants_out);
    }
}

static bool load_has_next(const struct load *load)
{
    if (load->is_over || (load->requests_max > 0 && load->issued >= load->requests_max)) {
        return false;
    }
    double seconds = (double)(bench_now_ns() - load->begun) / 1e9;
    return load->per_second == 0 || (double)load->issued < seconds * (double)load->per_second;
}

/* The connection stays idle when nothing is to be sent: load_pace comes back to it. */
static void conn_send(struct load *load, struct conn *c)
{
    if (!load_has_next(load)) {
        return;
    }
    c->out_len = load_build(load, c->out);
    c->out_done = 0;
    load->issued++;
    c->is_waiting = true;
    c->sent_at = bench_now_ns();
    conn_write(load, c);
}

static void conn_answer(struct load *load, struct conn *c, const struct bench_answer *answer)
{
    if (answer->status >= 200 && answer->status < 300) {
        load->ok++;
        bench_record(&load->latency, (bench_now_ns() - c->sent_at) / 1000);
    } else {
        load->errors++;
    }
    c->is_waiting = false;
    c->in_len -= answer->bytes;
    memmove(c->in, c->in + answer->bytes, c->in_len);
    if (answer->is_last) {
        load->closed++;
        conn_end(load, c);
        conn_dial(load, c);
        return;
    }
    conn_send(load, c);
}

static void conn_read(struct load *load, struct conn *c)
{
    ssize_t got = read(c->fd, c->in + c->in_len, load->in_max - c->in_len);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) {
            conn_end(load, c);
        }
        return;
    }
    c->in_len += (size_t)got;
    c->in[c->in_len] = '\0';
    struct bench_answer answer;
    if (c->is_waiting && bench_answer_parse(c->in, c->in_len, &answer)) {
        conn_answer(load, c, &answer);
    } else if (c->in_len == load->in_max) {
        conn_end(load, c);
    }
}

static void conn_ready(struct load *load, struct conn *c, uint32_t events)
{
    if (c->fd >= 0 && (events & EPOLLOUT) != 0) {
        if (c->is_waiting) {
            conn_write(load, c);
        } else {
            int error = 0;
            socklen_t len = sizeof error;
            (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
            if (error != 0) {
                load->errors++;
                conn_end(load, c);
                return;
            }
            conn_watch(load, c, EPOLL_CTL_MOD, false);
            conn_send(load, c);
        }
    }
    if (c->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        conn_read(load, c);
    }
}

static bool load_is_done(struct load *load, uint64_t now)
{
    uint64_t end = load->begun + (uint64_t)(load->seconds * 1e9);
    bool is_all_issued = load->requests_max > 0 && load->issued >= load->requests_max;
    load->is_over = load->requests_max == 0 && now >= end;
    if (!load->is_over && !is_all_issued) {
        return false;
    }
    size_t waiting = 0;
    for (size_t i = 0; i < load->conns_n; i++) {
        waiting += load->conns[i].is_waiting ? 1 : 0;
    }
    if (load->is_over && now >= end + LINGER_NS) {
        load->errors += waiting;
        return true;
    }
    return waiting == 0;
}

/* A server that refuses connections is asked again a hundred times a second, not in a busy loop. */
static void load_redial(struct load *load, uint64_t now, uint64_t *next)
{
    if (now < *next || load->is_over) {
        return;
    }
    *next = now + 10000000;
    for (size_t i = 0; i < load->conns_n; i++) {
        if (load->conns[i].fd < 0) {
            conn_dial(load, &load->conns[i]);
        }
    }
}

/* What is due goes to connections that are idle. */
static void load_pace(struct load *load)
{
    for (size_t i = 0; i < load->conns_n && load_has_next(load); i++) {
        struct conn *c = &load->conns[i];
        if (c->fd >= 0 && !c->is_waiting && !c->wants_out) {
            conn_send(load, c);
        }
    }
}

static uint64_t load_run(struct load *load)
{
    load->begun = bench_now_ns();
    uint64_t redial_at = load->begun;
    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        uint64_t now = bench_now_ns();
        if (load_is_done(load, now)) {
            return now - load->begun;
        }
        load_redial(load, now, &redial_at);
        if (load->per_second > 0) {
            load_pace(load);
        }
        int count = epoll_wait(load->epoll, events, EVENTS_MAX, load->per_second > 0 ? 1 : 10);
        for (int i = 0; i < count; i++) {
            conn_ready(load, events[i].data.ptr, events[i].events);
        }
    }
}

static void load_create(struct load *load)
{
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    load->conns = calloc(load->conns_n, sizeof *load->conns);
    load->value = malloc(load->value_len + 1);
    load->in_max = 16384 + 2 * load->value_len;
    if (load->epoll < 0 || load->conns == NULL || load->value == NULL) {
        bench_fail("bench_load", "set up");
    }
    for (size_t i = 0; i < load->value_len; i++) {
        load->value[i] = (char)('a' + i % 26);
    }
    for (size_t i = 0; i < load->conns_n; i++) {
        struct conn *c = &load->conns[i];
        c->fd = -1;
        c->port = load->ports[i % load->ports_n];
        c->out = malloc(HEAD_BYTES_MAX + load->value_len);
        c->in = malloc(load->in_max + 1);
        if (c->out == NULL || c->in == NULL) {
            bench_fail("bench_load", "set up");
        }
    }
}

static void load_destroy(struct load *load)
{
    for (size_t i = 0; i < load->conns_n; i++) {
        if (load->conns[i].fd >= 0) {
            (void)close(load->conns[i].fd);
        }
        free(load->conns[i].out);
        free(load->conns[i].in);
    }
    free(load->conns);
    free(load->value);
    (void)close(load->epoll);
}

static bool load_option(struct load *load, int option, const char *text)
{
    switch (option) {
    case 'p':
        load->ports_n = bench_ports_parse(text, load->ports);
        return load->ports_n > 0;
    case 'M':
        load->method = text;
        return true;
    case 'c':
        load->conns_n = strtoul(text, NULL, 10);
        return load->conns_n > 0;
    case 't':
        load->seconds = strtod(text, NULL);
        return load->seconds > 0;
    case 'n':
        load->requests_max = strtoull(text, NULL, 10);
        return load->requests_max > 0;
    case 'k':
        load->keys = strtoull(text, NULL, 10);
        return load->keys > 0;
    case 'r':
        load->per_second = strtoull(text, NULL, 10);
        return load->per_second > 0;
    case 'v':
        load->value_len = strtoul(text, NULL, 10);
        return true;
    case 'S':
        load->random += strtoull(text, NULL, 10) * UINT64_C(0x9e3779b97f4a7c15);
        return load->random != 0;
    case 'P':
        load->prefix = text;
        return strlen(text) < 256;
    case 'Q':
        load->suffix = text;
        return strlen(text) < 256;
    case 'B':
        load->body = text;
        return strlen(text) < 128;
    case 'T':
        load->type = text;
        return strlen(text) < 128;
    case 'q':
        load->is_sequential = true;
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    static struct load load = {
        .method = "PUT",
        .prefix = "/v1/kv/",
        .suffix = "",
        .body = "",
        .type = "application/octet-stream",
        .conns_n = 1,
        .seconds = 3,
        .keys = 100000,
        .value_len = 100,
        .random = UINT64_C(0x2545f4914f6cdd1d),
    };
    int option;
    while ((option = getopt(argc, argv, "p:M:c:t:n:k:r:v:S:P:Q:B:T:q")) != -1) {
        if (!load_option(&load, option, optarg)) {
            fprintf(stderr, "bench_load: bad option -%c\n", option);
            return 2;
        }
    }
    if (load.ports_n == 0) {
        fprintf(stderr, "bench_load: -p PORT is missing\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    load_create(&load);
    uint64_t took_ns = load_run(&load);
    printf("ok=%" PRIu64 " rate=%.0f p50_us=%" PRIu64 " p99_us=%" PRIu64 " p999_us=%" PRIu64
           " max_us=%" PRIu64 " errors=%" PRIu64 " closed=%" PRIu64 "\n",
        load.ok, (double)load.ok * 1e9 / (double)took_ns, bench_quantile(&load.latency, 500),
        bench_quantile(&load.latency, 990), bench_quantile(&load.latency, 999), load.latency.max_us,
        load.errors, load.closed);
    load_destroy(&load);
    return 0;
}
