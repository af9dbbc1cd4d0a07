/* recorder: a client that keeps a record, for experiments with a cluster that somebody else runs.
 *
 *   recorder load  -p PORT -n NAME -o FILE [-t THREADS] [-i MS]   until SIGTERM
 *       Writes and reads through PORT; a thread begins a request every MS. Then judges the record,
 *       appends it to FILE and prints its figures as name=value words. Exit 1: a wrong read.
 *   recorder check -p PORT -n NAME [-l PORT,...] FILE
 *       Is everything that FILE says was acknowledged there? Asks PORT, and each -l PORT for what
 *       that node itself has. Exit 1: something is missing.
 *   recorder ready -p PORT,... [-w MS]
 *       Waits until all are ready; prints when, in ms since 1970. Exit 1: not within -w.
 *   recorder fill  -p PORT -n NAME -c COUNT [-t THREADS]
 *       Writes COUNT keys as fast as it can. Exit 1: one was not acknowledged. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "integration/kit/cluster.h"
#include "integration/kit/history.h"
#include "integration/kit/suite.h"
#include "pcache/assert.h"

#define PORTS_MAX 8
#define THREADS_MAX 64
#define LIVE_KEYS 4
#define TIMEOUT_MS 15000    /* longer than any answer of the balancer takes */
#define LOCAL_WAIT_MS 10000 /* for a node to apply the end of the log */
#define SLOW_US 500000      /* a request that waited so long has noticed something */
#define FILL_KEYS_STEP 64

struct options {
    uint16_t port[PORTS_MAX], local[PORTS_MAX];
    size_t ports_n, locals_n, threads, count;
    uint64_t interval_ms, wait_ms;
    const char *name, *out;
};

struct worker {
    const struct options *options;
    struct worker *all;
    pthread_t thread;
    size_t number;
    uint32_t random;
    _Atomic uint32_t keys_n; /* handed out so far; the newest LIVE_KEYS or so are in use */
    uint32_t live[LIVE_KEYS];
    uint64_t sent[LIVE_KEYS];
    struct it_client client;
    struct it_history history;
    size_t failed;
};

static atomic_bool stopped;
static atomic_size_t filled;

static void stop(int number)
{
    (void)number;
    atomic_store(&stopped, true);
}

/* Monotonic, but counted from 1970: comparable with what the container engine says. */
static uint64_t now_us(void)
{
    static uint64_t offset; /* set by the first call, before there are threads */
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    if (offset == 0) {
        (void)clock_gettime(CLOCK_REALTIME, &t);
        offset = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000 - now;
    }
    return now + offset;
}

static uint32_t draw(struct worker *w, uint32_t below)
{
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

static uint32_t key_of(size_t worker, uint32_t number)
{
    PC_ASSERT(worker < THREADS_MAX && number < 1u << 20);
    return (uint32_t)worker << 20 | number;
}

static void target_of(const char *name, uint32_t key, const char *query, char *out, size_t max)
{
    int used = snprintf(out, max, "/v1/kv/%s/%" PRIu32 "%s", name, key, query);
    PC_ASSERT(used > 0 && (size_t)used < max);
}

/* ---- load */
static char outcome_of(int status, bool is_read)
{
    if (status == 200 || status == 201 || (is_read && status == 404)) {
        return IT_DONE;
    }
    return status == 503 || status == 507 || status == IT_NOT_SENT ? IT_REFUSED : IT_UNKNOWN;
}

static void record(struct worker *w, struct it_op *op)
{
    char node[sizeof op->node];
    op->end_us = now_us();
    op->status = w->client.status;
    op->outcome = outcome_of(op->status, op->kind == IT_READ);
    it_client_header(&w->client, "X-PC-Node", node, sizeof node);
    (void)snprintf(op->node, sizeof op->node, "%s", node[0] != '\0' ? node : "-");
    it_history_add(&w->history, op);
}

static void write_one(struct worker *w)
{
    uint32_t slot = draw(w, LIVE_KEYS);
    struct it_op op = {.kind = IT_WRITE, .key = w->live[slot], .value = ++w->sent[slot]};
    char target[128], value[24];
    target_of(w->options->name, op.key, "", target, sizeof target);
    int len = snprintf(value, sizeof value, "%" PRIu64, op.value);
    op.begin_us = now_us();
    it_client_call(&w->client, "PUT", target, NULL, value, (size_t)len);
    record(w, &op);
    if (w->history.op[w->history.n - 1].outcome == IT_UNKNOWN) {
        w->live[slot] = key_of(w->number, atomic_fetch_add(&w->keys_n, 1));
        w->sent[slot] = 0;
    }
}

/* Anybody's key, also one that is being written just now. */
static void read_one(struct worker *w)
{
    size_t owner = draw(w, (uint32_t)w->options->threads);
    struct it_op op = {.kind = IT_READ};
    op.key = key_of(owner, draw(w, atomic_load(&w->all[owner].keys_n)));
    char target[128];
    target_of(w->options->name, op.key, "", target, sizeof target);
    op.begin_us = now_us();
    it_client_call(&w->client, "GET", target, NULL, NULL, 0);
    op.value = w->client.status == 200 ? strtoull(w->client.body, NULL, 10) : 0;
    record(w, &op);
}

static void *load_run(void *argument)
{
    struct worker *w = argument;
    uint64_t next = now_us();
    while (!atomic_load(&stopped)) {
        if (draw(w, 2) == 0) {
            write_one(w);
        } else {
            read_one(w);
        }
        /* Behind after a long wait: goes on at its pace instead of catching up in a burst. */
        uint64_t now = now_us();
        next = next + w->options->interval_ms * 1000 > now ? next + w->options->interval_ms * 1000
                                                           : now + w->options->interval_ms * 1000;
        while (now_us() < next && !atomic_load(&stopped)) {
            it_pause();
        }
    }
    return NULL;
}

static void workers_run(const struct options *options, struct worker *all, void *(*run)(void *))
{
    for (size_t i = 0; i < options->threads; i++) {
        struct worker *w = &all[i];
        *w = (struct worker){.options = options, .all = all, .number = i, .keys_n = LIVE_KEYS};
        w->random = (uint32_t)(now_us() * 64 + i);
        for (uint32_t k = 0; k < LIVE_KEYS; k++) {
            w->live[k] = key_of(i, k);
        }
        it_client_open(&w->client, options->port[0], TIMEOUT_MS);
    }
    for (size_t i = 0; i < options->threads; i++) {
        PC_ASSERT(pthread_create(&all[i].thread, NULL, run, &all[i]) == 0);
    }
    for (size_t i = 0; i < options->threads; i++) {
        PC_ASSERT(pthread_join(all[i].thread, NULL) == 0);
        it_client_close(&all[i].client);
    }
}

static int load(const struct options *options)
{
    static struct worker all[THREADS_MAX];
    struct it_history h = {.op = NULL};
    struct it_figures f;
    char why[256] = "";
    workers_run(options, all, load_run);
    for (size_t i = 0; i < options->threads; i++) {
        for (size_t k = 0; k < all[i].history.n; k++) {
            it_history_add(&h, &all[i].history.op[k]);
        }
        it_history_free(&all[i].history);
    }
    size_t wrong = it_history_judge(&h, why, sizeof why);
    it_history_figures(&h, SLOW_US, &f);
    printf("requests=%" PRIu64 " acked=%" PRIu64 " reads=%" PRIu64 " refused=%" PRIu64
           " unknown=%" PRIu64 " failed=%" PRIu64 " gap_ms=%" PRIu64 " slowest_ms=%" PRIu64
           " trouble_ms=%" PRIu64 " wrong=%zu\n",
        f.requests, f.acked, f.reads, f.refused, f.unknown, f.refused + f.unknown, f.gap_us / 1000,
        f.slowest_us / 1000, f.trouble_us / 1000, wrong);
    bool is_kept = it_history_write(&h, options->out);
    it_history_free(&h);
    if (wrong > 0 || !is_kept) {
        fprintf(stderr, "recorder: %s\n", wrong > 0 ? why : "the record cannot be written");
        return 1;
    }
    return 0;
}

/* ---- check */
/* Reads until the answer may be; a node's own memory may be a moment behind. */
static bool check_key(struct it_client *client, const struct it_history *h,
    const struct it_expect *expect, const char *name, const char *query)
{
    char target[128];
    target_of(name, expect->key, query, target, sizeof target);
    uint64_t until = it_now_ms() + LOCAL_WAIT_MS, value;
    int status;
    for (;;) {
        status = it_client_call(client, "GET", target, NULL, NULL, 0);
        value = status == 200 ? strtoull(client->body, NULL, 10) : 0;
        if ((status == 200 || status == 404) && value >= expect->least && value <= expect->most &&
            !it_history_was_refused(h, expect->key, value)) {
            return true;
        }
        if (it_now_ms() > until) {
            break;
        }
        it_pause();
    }
    fprintf(stderr,
        "recorder: %s of port %u: status %d, value %" PRIu64 "; acknowledged or read: %" PRIu64
        ", sent: %" PRIu64 "\n",
        target, client->port, status, value, expect->least, expect->most);
    return false;
}

static int check(const struct options *options, const char *path)
{
    struct it_history h = {.op = NULL};
    char why[256];
    if (!it_history_read(&h, path, why, sizeof why)) {
        fprintf(stderr, "recorder: %s\n", why);
        return 1;
    }
    size_t keys_n, missing = 0;
    struct it_expect *expect = it_history_expect(&h, &keys_n);
    for (size_t p = 0; p < options->ports_n + options->locals_n; p++) {
        bool is_local = p >= options->ports_n;
        struct it_client client;
        it_client_open(&client, is_local ? options->local[p - options->ports_n] : options->port[p],
            TIMEOUT_MS);
        /* One that is gone altogether would otherwise be waited for at each key. */
        for (size_t i = 0; i < keys_n && missing < 3; i++) {
            missing += check_key(&client, &h, &expect[i], options->name,
                           is_local ? "?consistency=local" : "")
                           ? 0
                           : 1;
        }
        it_client_close(&client);
    }
    printf("keys=%zu missing=%zu\n", keys_n, missing);
    free(expect);
    it_history_free(&h);
    return missing > 0 || keys_n == 0 ? 1 : 0;
}

/* ---- ready */
static int ready(const struct options *options)
{
    struct it_client clients[PORTS_MAX];
    for (size_t i = 0; i < options->ports_n; i++) {
        it_client_open(&clients[i], options->port[i], 500);
    }
    uint64_t until = it_now_ms() + options->wait_ms;
    size_t ready_n = 0;
    while (ready_n < options->ports_n && it_now_ms() < until) {
        for (ready_n = 0; ready_n < options->ports_n; ready_n++) {
            if (it_client_call(&clients[ready_n], "GET", "/readyz", NULL, NULL, 0) != 200) {
                it_pause();
                break;
            }
        }
    }
    uint64_t now = now_us() / 1000;
    for (size_t i = 0; i < options->ports_n; i++) {
        it_client_close(&clients[i]);
    }
    if (ready_n < options->ports_n) {
        fprintf(stderr, "recorder: port %u is not ready\n", options->port[ready_n]);
        return 1;
    }
    printf("%" PRIu64 "\n", now);
    return 0;
}

/* ---- fill */
static void *fill_run(void *argument)
{
    struct worker *w = argument;
    for (;;) {
        size_t from = atomic_fetch_add(&filled, FILL_KEYS_STEP), count = w->options->count;
        if (from >= count || atomic_load(&stopped)) {
            return NULL;
        }
        for (size_t i = from; i < count && i < from + FILL_KEYS_STEP; i++) {
            char target[128];
            target_of(w->options->name, (uint32_t)i, "", target, sizeof target);
            int status = it_client_call(&w->client, "PUT", target, NULL, "filled", 6);
            w->failed += outcome_of(status, false) == IT_DONE ? 0 : 1;
        }
    }
}

static int fill(const struct options *options)
{
    static struct worker all[THREADS_MAX];
    uint64_t begun = it_now_ms();
    workers_run(options, all, fill_run);
    size_t failed = 0;
    for (size_t i = 0; i < options->threads; i++) {
        failed += all[i].failed;
    }
    printf("count=%zu failed=%zu ms=%" PRIu64 "\n", options->count, failed, it_now_ms() - begun);
    return failed > 0 || atomic_load(&stopped) ? 1 : 0;
}

/* ---- arguments */
static size_t parse_ports(const char *text, uint16_t out[PORTS_MAX])
{
    size_t n = 0;
    for (const char *at = text; n < PORTS_MAX; at++) {
        char *end;
        unsigned long port = strtoul(at, &end, 10);
        if (port == 0 || port > UINT16_MAX || (*end != ',' && *end != '\0')) {
            return 0;
        }
        out[n++] = (uint16_t)port;
        at = end;
        if (*end == '\0') {
            break;
        }
    }
    return n;
}

static bool parse_option(struct options *options, int option, const char *text)
{
    switch (option) {
    case 'p':
        return (options->ports_n = parse_ports(text, options->port)) > 0;
    case 'l':
        return (options->locals_n = parse_ports(text, options->local)) > 0;
    case 'n':
        options->name = text;
        return strlen(text) < 64;
    case 'o':
        options->out = text;
        return true;
    case 't':
        options->threads = strtoul(text, NULL, 10);
        return options->threads > 0 && options->threads <= THREADS_MAX;
    case 'i':
        options->interval_ms = strtoul(text, NULL, 10);
        return options->interval_ms < 1000;
    case 'w':
        options->wait_ms = strtoul(text, NULL, 10);
        return true;
    case 'c':
        options->count = strtoul(text, NULL, 10);
        return true;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    struct options options = {
        .threads = 8, .interval_ms = 20, .wait_ms = IT_SOON_MS, .name = "run"};
    const char *verb = argc > 1 ? argv[1] : "";
    int option;
    bool is_ok = true;
    optind = 2;
    while (is_ok && (option = getopt(argc, argv, "p:l:n:o:t:i:w:c:")) != -1) {
        is_ok = parse_option(&options, option, optarg);
    }
    (void)now_us();
    (void)signal(SIGPIPE, SIG_IGN);
    struct sigaction action = {.sa_handler = stop};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    if (is_ok && options.ports_n > 0) {
        if (strcmp(verb, "load") == 0 && options.out != NULL) {
            return load(&options);
        }
        if (strcmp(verb, "check") == 0 && optind < argc) {
            return check(&options, argv[optind]);
        }
        if (strcmp(verb, "ready") == 0) {
            return ready(&options);
        }
        if (strcmp(verb, "fill") == 0) {
            return fill(&options);
        }
    }
    fprintf(stderr, "usage: recorder load|check|ready|fill -p PORT ... (see its first lines)\n");
    return 2;
}
