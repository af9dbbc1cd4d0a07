/* What the clients do. Each is a thread with a connection to every node and asks one thing at a
 * time, of a node drawn anew for every operation, so that requests meet nodes that know less than
 * others.
 *
 *   register   get, put, compare-and-set and delete of ten hot keys; some reads local
 *   pair       a put at one node and, as soon as it is acknowledged, a read of it at another
 *   counter    increments and reads of a few sums
 *   set        a new key once, and reads of keys that were written before, by anybody
 *   ttl        short-lived values
 *
 * An operation of unknown outcome is asked again under its request id, at other nodes, until the
 * answer is definite; without request ids it stays unknown. */
#define _GNU_SOURCE
#include "chaosclient/chaos_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "integration/kit/clock.h"
#include "pcache/assert.h"
#include "pcache/prng.h"

#define NAP_NS_MAX 50000000
#define TTL_MS_MIN 300
#define TTL_MS_MAX 2500
#define PERCENT 10000u /* of pc_prng_chance */

atomic_bool chaos_stopped;

struct load {
    const struct chaos_options *options;
    const struct chaos_features *features;
    struct chaos_sink *sink;
    struct chaos_keys keys;
    char prefix[128];
    uint64_t begun_us, run; /* run: part of names, so that a second load in one file has others */
    atomic_uint_fast64_t set_keys_n; /* handed out */
    uint64_t set_step_us;            /* apart, at least, so that they last for the whole load */
};

struct worker {
    struct load *load;
    pthread_t thread;
    struct chaos_links links;
    struct pc_prng prng;
    uint64_t requests_n;
    struct lin_record record;
};

static size_t draw(struct worker *w, size_t below)
{
    return (size_t)pc_prng_below(&w->prng, below);
}

static bool chance(struct worker *w, uint32_t percent)
{
    return pc_prng_chance(&w->prng, percent * PERCENT);
}

static bool is_over(const struct load *load)
{
    uint64_t seconds = load->options->seconds;
    return atomic_load(&chaos_stopped) ||
           (seconds != 0 && chaos_now_us() - load->begun_us >= seconds * 1000000);
}

/* ---- one operation, whatever it takes */
static void record_begin(struct worker *w, enum lin_kind kind)
{
    w->record = (struct lin_record){.kind = kind};
    if (kind != LIN_GET) {
        w->requests_n++;
    }
    if (kind == LIN_PUT || kind == LIN_CAS) {
        (void)snprintf(w->record.value, sizeof w->record.value, "%" PRIu32 "-%" PRIx64 "-%" PRIu64,
            w->links.client, w->load->run, w->requests_n);
        w->record.has_value = true;
    }
    if (kind != LIN_GET && w->load->features->ids) {
        (void)snprintf(w->record.id, sizeof w->record.id, "%" PRIu32 "-%" PRIx64 "-%" PRIu64,
            w->links.client, w->load->run, w->requests_n);
    }
}

/* Once in doubt, only an answer to the request itself helps: that a node refuses to do it now says
 * nothing of the time before. */
static void request_repeat(struct worker *w, size_t node)
{
    struct lin_record *r = &w->record;
    uint64_t until_us = r->t0_us + w->load->options->retry_ms * 1000;
    while (r->status != LIN_OK && !r->is_refused) {
        r->status = LIN_INFO;
        if (atomic_load(&chaos_stopped) || chaos_now_us() > until_us) {
            return;
        }
        it_pause();
        node = (node + 1) % w->load->options->nodes_n;
        chaos_call(&w->links, node, r);
    }
}

/* Asks what the record says and adds it to the history. */
static enum lin_status request(struct worker *w, size_t node)
{
    struct lin_record *r = &w->record;
    r->t0_us = chaos_now_us();
    chaos_call(&w->links, node, r);
    if (r->status == LIN_INFO && r->id[0] != '\0') {
        request_repeat(w, node);
    }
    chaos_sink_add(w->load->sink, r);
    return r->status;
}

/* The same at the key of a slot. */
static void request_slot(struct worker *w, enum chaos_family family, size_t slot, size_t node)
{
    uint64_t generation = chaos_keys_name(
        &w->load->keys, family, slot, chaos_now_us(), w->record.key, sizeof w->record.key);
    if (request(w, node) == LIN_INFO) {
        chaos_keys_unknown(&w->load->keys, family, slot, generation);
    }
}

/* ---- workloads */
static void register_get(struct worker *w, size_t slot, bool is_local)
{
    record_begin(w, LIN_GET);
    w->record.is_local = is_local;
    request_slot(w, CHAOS_KEY_REGISTER, slot, draw(w, w->load->options->nodes_n));
}

static void register_write(struct worker *w, size_t slot, enum lin_kind kind, uint64_t expect)
{
    record_begin(w, kind);
    w->record.expect = expect;
    request_slot(w, CHAOS_KEY_REGISTER, slot, draw(w, w->load->options->nodes_n));
}

/* Looks, and changes what it saw: now and then somebody else is faster. */
static void register_change(struct worker *w, size_t slot)
{
    register_get(w, slot, false);
    if (w->record.status == LIN_OK) {
        register_write(w, slot, LIN_CAS, w->record.version);
    }
}

static void run_register(struct worker *w)
{
    size_t slot = draw(w, chaos_keys_count(CHAOS_KEY_REGISTER)), what = draw(w, 100);
    if (what < 25) {
        register_get(w, slot, false);
    } else if (what < 40) {
        register_get(w, slot, true);
    } else if (what < 47) {
        register_write(w, slot, LIN_DELETE, 0);
    } else if (what < 75 && w->load->features->cas) {
        register_change(w, slot);
    } else {
        register_write(w, slot, LIN_PUT, 0);
    }
}

static void run_pair(struct worker *w)
{
    size_t slot = draw(w, chaos_keys_count(CHAOS_KEY_REGISTER));
    size_t nodes_n = w->load->options->nodes_n, node = draw(w, nodes_n);
    record_begin(w, LIN_PUT);
    request_slot(w, CHAOS_KEY_REGISTER, slot, node);
    if (w->record.status != LIN_OK) {
        return;
    }
    char key[sizeof w->record.key];
    memcpy(key, w->record.key, sizeof key);
    record_begin(w, LIN_GET);
    memcpy(w->record.key, key, sizeof key);
    size_t other = nodes_n > 1 ? (node + 1 + draw(w, nodes_n - 1)) % nodes_n : node;
    (void)request(w, other);
}

static void run_counter(struct worker *w)
{
    size_t slot = draw(w, chaos_keys_count(CHAOS_KEY_COUNTER));
    if (chance(w, 40)) {
        record_begin(w, LIN_GET);
        w->record.is_local = chance(w, 20);
    } else {
        record_begin(w, LIN_INCR);
        w->record.delta = 1;
    }
    request_slot(w, CHAOS_KEY_COUNTER, slot, draw(w, w->load->options->nodes_n));
}

static void set_key(struct worker *w, uint64_t number)
{
    (void)snprintf(w->record.key, sizeof w->record.key, "%s/s%" PRIu64, w->load->prefix, number);
}

static void run_set(struct worker *w)
{
    struct load *load = w->load;
    uint64_t n = atomic_load(&load->set_keys_n);
    bool is_due = chaos_now_us() - load->begun_us >= n * load->set_step_us;
    if (is_due && n < load->options->set_keys && chance(w, 70)) {
        n = atomic_fetch_add(&load->set_keys_n, 1);
        record_begin(w, LIN_PUT);
        set_key(w, n);
    } else if (n > 0) {
        record_begin(w, LIN_GET);
        w->record.is_local = chance(w, 10);
        set_key(w, draw(w, n));
    } else {
        return;
    }
    (void)request(w, draw(w, load->options->nodes_n));
}

static void run_ttl(struct worker *w)
{
    size_t slot = draw(w, chaos_keys_count(CHAOS_KEY_TTL));
    if (chance(w, 70)) {
        record_begin(w, LIN_GET);
        w->record.is_local = chance(w, 20);
    } else {
        record_begin(w, LIN_PUT);
        w->record.ttl_ms = pc_prng_between(&w->prng, TTL_MS_MIN, TTL_MS_MAX);
    }
    request_slot(w, CHAOS_KEY_TTL, slot, draw(w, w->load->options->nodes_n));
}

/* ---- threads */
static void run_one(struct worker *w)
{
    static void (*const runs[CHAOS_WORKLOADS_N])(struct worker *) = {
        run_register, run_counter, run_set, run_ttl, run_pair};
    size_t picked[CHAOS_WORKLOADS_N], n = 0;
    for (size_t i = 0; i < CHAOS_WORKLOADS_N; i++) {
        if (w->load->options->workload[i] && (i != CHAOS_COUNTER || w->load->features->incr)) {
            picked[n++] = i;
        }
    }
    if (n > 0) {
        runs[picked[draw(w, n)]](w);
    }
}

static void nap_until(const struct load *load, uint64_t until_us)
{
    uint64_t now = chaos_now_us();
    while (now < until_us && !is_over(load)) {
        uint64_t left_ns = (until_us - now) * 1000;
        struct timespec nap = {.tv_nsec = (long)(left_ns < NAP_NS_MAX ? left_ns : NAP_NS_MAX)};
        (void)nanosleep(&nap, NULL);
        now = chaos_now_us();
    }
}

static void *worker_run(void *argument)
{
    struct worker *w = argument;
    uint64_t interval_us = w->load->options->interval_ms * 1000;
    while (!is_over(w->load)) {
        /* After a long wait it goes on at its pace instead of catching up in a burst. */
        uint64_t next_us = chaos_now_us() + interval_us;
        run_one(w);
        nap_until(w->load, next_us);
    }
    return NULL;
}

static void load_create(struct load *load, const struct chaos_options *options,
    const struct chaos_features *features, struct chaos_sink *sink)
{
    *load = (struct load){.options = options, .features = features, .sink = sink};
    load->begun_us = chaos_now_us();
    load->run = load->begun_us / 1000;
    (void)snprintf(load->prefix, sizeof load->prefix, "%s/%" PRIx64 "", options->prefix, load->run);
    chaos_keys_create(&load->keys, load->prefix, options->rotate_ms);
    load->set_step_us = options->seconds * 1000000 / options->set_keys;
}

bool chaos_load(const struct chaos_options *options, const struct chaos_features *features,
    struct chaos_sink *sink)
{
    static struct load load;
    static struct worker workers[CHAOS_THREADS_MAX];
    char why[128];
    load_create(&load, options, features, sink);
    for (size_t i = 0; i < options->threads; i++) {
        struct worker *w = &workers[i];
        *w = (struct worker){.load = &load};
        pc_prng_seed(&w->prng, options->seed * CHAOS_THREADS_MAX + i);
        if (!chaos_links_open(
                &w->links, options, (uint32_t)(options->client_base + i), why, sizeof why)) {
            fprintf(stderr, "chaos-client: %s\n", why);
            return false;
        }
    }
    for (size_t i = 0; i < options->threads; i++) {
        PC_ASSERT(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
    }
    for (size_t i = 0; i < options->threads; i++) {
        PC_ASSERT(pthread_join(workers[i].thread, NULL) == 0);
        chaos_links_close(&workers[i].links);
    }
    return true;
}
