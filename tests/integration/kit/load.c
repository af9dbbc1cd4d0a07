#define _GNU_SOURCE
#include "integration/kit/load.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pcache/assert.h"
#include "pcache/prng.h"

#define LIVE_KEYS 8     /* of a thread at a time */
#define KEYS_MAX 4096   /* of a thread altogether: each unknown outcome uses one up */
#define REFUSED_KEPT 64 /* per key */
#define TIMEOUT_MS 6000
#define LOADS_MAX 4

struct key {
    _Atomic uint64_t sent, acked, seen; /* highest of each */
    bool retired;                       /* the outcome of `sent` is unknown */
    uint64_t refused[REFUSED_KEPT];     /* not done, so never to be seen; a ring */
    size_t refused_n;
};

struct worker {
    struct it_load *load;
    pthread_t thread;
    size_t number;
    struct pc_prng prng;
    struct it_client client[IT_NODES_MAX];
    struct key *keys;
    _Atomic size_t keys_n; /* handed out so far; the last LIVE_KEYS or so are in use */
    size_t live[LIVE_KEYS];
    struct it_history history; /* with opts.records; of this thread until it has ended */
};

struct it_load {
    struct it_load_opts opts;
    _Atomic size_t nodes_n; /* that there are clients for */
    char names[IT_NODES_MAX][16];
    _Atomic unsigned nodes;               /* in use; those of a new node are ready before it is */
    _Atomic unsigned calls[IT_NODES_MAX]; /* under way */
    struct worker worker[IT_LOAD_THREADS_MAX];
    atomic_bool stop;
    bool joined;
    _Atomic uint64_t acked, reads, refused, unknown, odd;
    pthread_mutex_t lock;
    char violation[512]; /* the first one; under lock */
};

static struct it_load *loads[LOADS_MAX];
static size_t loads_n;

static void note_violation(struct it_load *load, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note_violation(struct it_load *load, const char *format, ...)
{
    (void)pthread_mutex_lock(&load->lock);
    if (load->violation[0] == '\0') {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(load->violation, sizeof load->violation, format, args);
        va_end(args);
    }
    (void)pthread_mutex_unlock(&load->lock);
}

static void raise_to(_Atomic uint64_t *value, uint64_t to)
{
    uint64_t have = atomic_load(value);
    while (have < to && !atomic_compare_exchange_weak(value, &have, to)) {
    }
}

static void key_target(size_t worker, size_t key, char *out, size_t max)
{
    (void)snprintf(out, max, "/v1/kv/load/%zu/%zu", worker, key);
}

/* ---- one operation */
/* Counted as under way before it is looked whether the node is still in use: who takes it out of
 * use waits until none is. */
static size_t draw_node(struct worker *w)
{
    struct it_load *load = w->load;
    for (size_t i = 0; i < atomic_load(&load->nodes_n); i++) {
        if ((atomic_load(&load->nodes) >> i & 1) == 0 && w->client[i].fd >= 0) {
            it_client_hang_up(&w->client[i]); /* it may be another process when it is used again */
        }
    }
    for (;;) {
        size_t i = pc_prng_below(&w->prng, IT_NODES_MAX);
        if ((atomic_load(&load->nodes) >> i & 1) == 0) {
            continue;
        }
        atomic_fetch_add(&load->calls[i], 1);
        if ((atomic_load(&load->nodes) >> i & 1) != 0) {
            return i;
        }
        atomic_fetch_sub(&load->calls[i], 1);
    }
}

static uint64_t now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static char outcome_of(int status, bool is_read)
{
    bool is_done = status == 200 || status == 201 || (is_read && status == 404);
    bool is_refused = status == 503 || status == 507 || status == IT_NOT_SENT;
    return is_done ? IT_DONE : is_refused ? IT_REFUSED : IT_UNKNOWN;
}

/* One request to any node in use, recorded where that is asked for. */
static struct it_client *call_one(
    struct worker *w, char kind, size_t key, const char *target, uint64_t value)
{
    struct it_load *load = w->load;
    char text[24];
    int len = kind == IT_WRITE ? snprintf(text, sizeof text, "%llu", (unsigned long long)value) : 0;
    size_t i = draw_node(w);
    struct it_client *client = &w->client[i];
    struct it_op op = {.begin_us = now_us(), .kind = kind, .key = (uint32_t)key, .value = value};
    op.status = it_client_call(client, kind == IT_WRITE ? "PUT" : "GET", target, NULL,
        kind == IT_WRITE ? text : NULL, (size_t)len);
    op.end_us = now_us();
    atomic_fetch_sub(&load->calls[i], 1);
    op.outcome = outcome_of(op.status, kind == IT_READ);
    op.value = kind == IT_READ && op.status == 200 ? strtoull(client->body, NULL, 10) : value;
    (void)snprintf(op.node, sizeof op.node, "%s", load->names[i]);
    if (load->opts.records) {
        it_history_add(&w->history, &op);
    }
    return client;
}

static void note_odd(struct worker *w, const char *method, const struct it_client *client)
{
    atomic_fetch_add(&w->load->odd, 1);
    note_violation(w->load, "%s on port %u was answered %d: %.300s", method, client->port,
        client->status, client->body);
}

static void write_one(struct worker *w)
{
    size_t slot = pc_prng_below(&w->prng, LIVE_KEYS);
    struct key *key = &w->keys[w->live[slot]];
    char target[64];
    key_target(w->number, w->live[slot], target, sizeof target);
    uint64_t number = atomic_load(&key->sent) + 1;
    atomic_store(&key->sent, number);
    struct it_client *client =
        call_one(w, IT_WRITE, w->number * KEYS_MAX + w->live[slot], target, number);
    switch (client->status) {
    case 200:
    case 201:
        raise_to(&key->acked, number);
        atomic_fetch_add(&w->load->acked, 1);
        return;
    case 503:
    case 507:
    case IT_NOT_SENT:
        key->refused[key->refused_n++ % REFUSED_KEPT] = number;
        atomic_fetch_add(&w->load->refused, 1);
        it_pause(); /* a node that is down answers at once: leave the processor to the others */
        return;
    case 504:
    case IT_NO_ANSWER:
        atomic_fetch_add(&w->load->unknown, 1);
        break;
    default:
        note_odd(w, "PUT", client);
        break;
    }
    key->retired = true;
    PC_ASSERT(w->keys_n < KEYS_MAX);
    w->live[slot] = atomic_fetch_add(&w->keys_n, 1);
}

/* Any worker's key: also those that another one is writing just now. */
static void read_one(struct worker *w)
{
    size_t whose = pc_prng_below(&w->prng, (uint32_t)w->load->opts.threads);
    struct worker *owner = &w->load->worker[whose];
    size_t keys_n = atomic_load(&owner->keys_n);
    size_t which = pc_prng_below(&w->prng, (uint32_t)keys_n);
    struct key *key = &owner->keys[which];
    char target[64];
    key_target(whose, which, target, sizeof target);
    uint64_t acked = atomic_load(&key->acked), seen = atomic_load(&key->seen);
    uint64_t least = acked > seen ? acked : seen;
    const struct it_client *client = call_one(w, IT_READ, whose * KEYS_MAX + which, target, 0);
    int status = client->status;
    if (status == 503 || status == 504 || status <= 0) {
        it_pause();
        return;
    }
    if (status != 200 && status != 404) {
        note_odd(w, "GET", client);
        return;
    }
    uint64_t got = status == 200 ? strtoull(client->body, NULL, 10) : 0;
    if (got < least || got > atomic_load(&key->sent)) {
        note_violation(w->load,
            "%s on port %u gave %llu: acknowledged before %llu, read before %llu, sent %llu",
            target, client->port, (unsigned long long)got, (unsigned long long)acked,
            (unsigned long long)seen, (unsigned long long)atomic_load(&key->sent));
    }
    raise_to(&key->seen, got);
    atomic_fetch_add(&w->load->reads, 1);
}

static void *worker_run(void *argument)
{
    struct worker *w = argument;
    while (!atomic_load(&w->load->stop)) {
        if (w->load->opts.writes_only || pc_prng_below(&w->prng, 2) == 0) {
            write_one(w);
        } else {
            read_one(w);
        }
    }
    return NULL;
}

/* ---- starting, watching, stopping */
static void worker_open(struct it_load *load, size_t number)
{
    struct worker *w = &load->worker[number];
    w->load = load;
    w->number = number;
    pc_prng_seed(&w->prng, it_now_ms() * 64 + number);
    w->keys = calloc(KEYS_MAX, sizeof *w->keys);
    assert_non_null(w->keys);
    w->keys_n = LIVE_KEYS;
    for (size_t i = 0; i < LIVE_KEYS; i++) {
        w->live[i] = i;
    }
    for (size_t i = 0; i < IT_NODES_MAX; i++) {
        w->client[i].fd = -1;
    }
}

/* Clients of the nodes that there are none for yet. */
static void open_clients(struct it_load *load, struct it_cluster *c)
{
    int timeout_ms = load->opts.timeout_ms > 0 ? load->opts.timeout_ms : TIMEOUT_MS;
    for (; load->nodes_n < c->n; load->nodes_n++) {
        size_t i = load->nodes_n;
        (void)snprintf(load->names[i], sizeof load->names[i], "%s", c->node[i].name);
        for (size_t t = 0; t < load->opts.threads; t++) {
            it_client_open(&load->worker[t].client[i], c->node[i].http_port, timeout_ms);
        }
    }
}

struct it_load *it_load_start(struct it_cluster *c, const struct it_load_opts *opts)
{
    assert_true(loads_n < LOADS_MAX && opts->threads <= IT_LOAD_THREADS_MAX);
    struct it_load *load = calloc(1, sizeof *load);
    assert_non_null(load);
    load->opts = *opts;
    load->nodes = opts->nodes != 0 ? opts->nodes : (1u << c->n) - 1;
    (void)pthread_mutex_init(&load->lock, NULL);
    for (size_t i = 0; i < opts->threads; i++) {
        worker_open(load, i);
    }
    open_clients(load, c);
    for (size_t i = 0; i < opts->threads; i++) {
        assert_int_equal(
            pthread_create(&load->worker[i].thread, NULL, worker_run, &load->worker[i]), 0);
    }
    loads[loads_n++] = load;
    return load;
}

static bool is_calling(struct it_load *load, unsigned nodes)
{
    for (size_t i = 0; i < load->nodes_n; i++) {
        if ((nodes >> i & 1) != 0 && atomic_load(&load->calls[i]) > 0) {
            return true;
        }
    }
    return false;
}

void it_load_use(struct it_load *load, struct it_cluster *c, unsigned nodes)
{
    assert_true(nodes != 0 && nodes < 1u << c->n);
    open_clients(load, c);
    atomic_store(&load->nodes, nodes);
    IT_UNTIL(IT_SOON_MS, !is_calling(load, ~nodes));
}

void it_load_history(const struct it_load *load, struct it_history *out)
{
    assert_true(load->joined && load->opts.records);
    for (size_t i = 0; i < load->opts.threads; i++) {
        const struct it_history *part = &load->worker[i].history;
        for (size_t k = 0; k < part->n; k++) {
            it_history_add(out, &part->op[k]);
        }
    }
}

void it_load_counts(struct it_load *load, struct it_load_counts *out)
{
    *out = (struct it_load_counts){
        .acked = atomic_load(&load->acked),
        .reads = atomic_load(&load->reads),
        .refused = atomic_load(&load->refused),
        .unknown = atomic_load(&load->unknown),
        .odd = atomic_load(&load->odd),
    };
}

void it_load_await(struct it_load *load, uint64_t more)
{
    uint64_t want = atomic_load(&load->acked) + more;
    IT_UNTIL(60000, atomic_load(&load->acked) >= want);
}

static void load_join(struct it_load *load)
{
    atomic_store(&load->stop, true);
    for (size_t i = 0; i < load->opts.threads && !load->joined; i++) {
        (void)pthread_join(load->worker[i].thread, NULL);
    }
    load->joined = true;
}

void it_load_stop(struct it_load *load, struct it_load_counts *out)
{
    load_join(load);
    it_load_counts(load, out);
    if (load->violation[0] != '\0') {
        fail_msg("%s", load->violation);
    }
}

static void load_delete(struct it_load *load)
{
    for (size_t i = 0; i < load->opts.threads; i++) {
        for (size_t k = 0; k < load->nodes_n; k++) {
            it_client_close(&load->worker[i].client[k]);
        }
        free(load->worker[i].keys);
        it_history_free(&load->worker[i].history);
    }
    (void)pthread_mutex_destroy(&load->lock);
    free(load);
}

void it_load_stop_all(void)
{
    for (size_t i = 0; i < loads_n; i++) {
        load_join(loads[i]);
        load_delete(loads[i]);
    }
    loads_n = 0;
}

/* ---- reading back */
static bool was_refused(const struct key *key, uint64_t number)
{
    for (size_t i = 0; i < key->refused_n && i < REFUSED_KEPT; i++) {
        if (key->refused[i] == number) {
            return true;
        }
    }
    return false;
}

static void check_value(const struct key *key, const char *where, const char *target, uint64_t got)
{
    uint64_t acked = atomic_load(&key->acked), sent = atomic_load(&key->sent);
    bool is_unknown_one = key->retired && got == sent;
    if ((got != acked && !is_unknown_one) || got < atomic_load(&key->seen)) {
        fail_msg("%s on %s is %llu%s; acknowledged was %llu, sent %llu%s", target, where,
            (unsigned long long)got, was_refused(key, got) ? ", which was refused" : "",
            (unsigned long long)acked, (unsigned long long)sent,
            key->retired ? " with unknown outcome" : "");
    }
}

static void check_key(struct it_cluster *c, const struct worker *w, size_t which, const char *query)
{
    char target[96];
    uint64_t first = 0;
    bool have_first = false;
    key_target(w->number, which, target, sizeof target);
    (void)snprintf(target + strlen(target), sizeof target - strlen(target), "%s", query);
    for (size_t i = 0; i < c->n; i++) {
        if (c->node[i].pid == 0) {
            continue;
        }
        const struct it_client *answer = it_get(c, i, target);
        if (answer->status != 200 && answer->status != 404) {
            fail_msg("%s on %s: %d %s", target, c->node[i].name, answer->status, answer->body);
        }
        uint64_t got = answer->status == 200 ? strtoull(answer->body, NULL, 10) : 0;
        check_value(&w->keys[which], c->node[i].name, target, got);
        /* An outcome that is unknown may still turn out while this looks, but only one way. */
        bool may_differ = w->keys[which].retired && got > first;
        if (have_first && got != first && !may_differ) {
            fail_msg("%s is %llu on %s, but %llu before", target, (unsigned long long)got,
                c->node[i].name, (unsigned long long)first);
        }
        first = got;
        have_first = true;
    }
}

void it_load_check(struct it_load *load, struct it_cluster *c)
{
    assert_true(load->joined);
    for (size_t i = 0; i < load->opts.threads; i++) {
        for (size_t k = 0; k < load->worker[i].keys_n; k++) {
            check_key(c, &load->worker[i], k, "");
        }
    }
    /* What each node has in its own memory, without asking anybody. */
    it_cluster_await_equal(c);
    for (size_t i = 0; i < load->opts.threads; i++) {
        for (size_t k = 0; k < load->worker[i].keys_n; k++) {
            check_key(c, &load->worker[i], k, "?consistency=local");
        }
    }
}
