/* The reading of every key on every node, when the load is over and the faults are gone.
 *
 * A linearizable read gives the index that everything acknowledged is below; from each node a local
 * read is wanted that stands there or later. A node that is not there when the time for waiting is
 * over is not waited for again: its keys are recorded as not read. */
#define _GNU_SOURCE
#include "chaosclient/chaos_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integration/kit/clock.h"
#include "pcache/assert.h"

#define READERS 4

struct final {
    const struct chaos_options *options;
    const struct lin_history *h;
    struct chaos_sink *sink;
    lin_text *key;
    size_t keys_n;
    uint64_t until_ms;
    atomic_size_t next, unread;
    atomic_bool is_given_up[CHAOS_NODES_MAX];
};

struct reader {
    struct final *final;
    pthread_t thread;
    struct chaos_links links;
    struct lin_record record;
};

static int by_text(const void *a, const void *b)
{
    const lin_text *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void keys_collect(struct final *f)
{
    f->key = calloc(f->h->n + 1, sizeof *f->key);
    PC_ASSERT(f->key != NULL);
    for (size_t i = 0; i < f->h->n; i++) {
        f->key[i] = f->h->op[i].key;
    }
    qsort(f->key, f->h->n, sizeof *f->key, by_text);
    for (size_t i = 0; i < f->h->n; i++) {
        if (f->keys_n == 0 || f->key[f->keys_n - 1] != f->key[i]) {
            f->key[f->keys_n++] = f->key[i];
        }
    }
}

/* A final read that has no answer, into the record. */
static void read_begin(struct reader *r, lin_text key, size_t node, bool is_local)
{
    uint64_t now_us = chaos_now_us();
    r->record = (struct lin_record){.kind = LIN_GET,
        .status = LIN_FAIL,
        .is_local = is_local,
        .is_final = true,
        .client = r->links.client,
        .t0_us = now_us,
        .t1_us = now_us};
    (void)snprintf(r->record.key, sizeof r->record.key, "%s", lin_history_text(r->final->h, key));
    (void)snprintf(r->record.node, sizeof r->record.node, "%s", r->final->options->node[node].name);
}

static bool read_once(struct reader *r, lin_text key, size_t node, bool is_local)
{
    read_begin(r, key, node, is_local);
    chaos_call(&r->links, node, &r->record);
    return r->record.status == LIN_OK;
}

/* The index the linearizable read stands at; 0 when no node gave one in time. */
static uint64_t read_linearizable(struct reader *r, lin_text key)
{
    struct final *f = r->final;
    do {
        for (size_t i = 0; i < f->options->nodes_n; i++) {
            if (!atomic_load(&f->is_given_up[i]) && read_once(r, key, i, false)) {
                chaos_sink_add(f->sink, &r->record);
                return r->record.index;
            }
        }
        it_pause();
    } while (it_now_ms() < f->until_ms && !atomic_load(&chaos_stopped));
    read_begin(r, key, 0, false);
    chaos_sink_add(f->sink, &r->record);
    return 0;
}

static void read_local(struct reader *r, lin_text key, size_t node, uint64_t least_index)
{
    struct final *f = r->final;
    while (!atomic_load(&f->is_given_up[node])) {
        if (read_once(r, key, node, true) && r->record.index >= least_index) {
            chaos_sink_add(f->sink, &r->record);
            return;
        }
        if (it_now_ms() >= f->until_ms || atomic_load(&chaos_stopped)) {
            atomic_store(&f->is_given_up[node], true);
        }
        it_pause();
    }
    read_begin(r, key, node, true);
    chaos_sink_add(f->sink, &r->record);
    atomic_fetch_add(&f->unread, 1);
}

static void *reader_run(void *argument)
{
    struct reader *r = argument;
    struct final *f = r->final;
    size_t i;
    while ((i = atomic_fetch_add(&f->next, 1)) < f->keys_n) {
        uint64_t index = read_linearizable(r, f->key[i]);
        for (size_t node = 0; node < f->options->nodes_n; node++) {
            read_local(r, f->key[i], node, index);
        }
        if (index == 0) {
            atomic_fetch_add(&f->unread, 1);
        }
    }
    return NULL;
}

size_t chaos_final(
    const struct chaos_options *options, const struct lin_history *h, struct chaos_sink *sink)
{
    static struct reader readers[READERS];
    static struct final f;
    char why[128];
    f = (struct final){.options = options, .h = h, .sink = sink};
    f.until_ms = it_now_ms() + options->wait_ms;
    keys_collect(&f);
    for (size_t i = 0; i < READERS; i++) {
        struct reader *r = &readers[i];
        *r = (struct reader){.final = &f};
        uint32_t client = (uint32_t)(options->client_base + CHAOS_FINAL_CLIENT + i);
        if (!chaos_links_open(&r->links, options, client, why, sizeof why)) {
            fprintf(stderr, "chaos-client: %s\n", why);
            free(f.key);
            return f.keys_n + 1;
        }
    }
    for (size_t i = 0; i < READERS; i++) {
        PC_ASSERT(pthread_create(&readers[i].thread, NULL, reader_run, &readers[i]) == 0);
    }
    for (size_t i = 0; i < READERS; i++) {
        PC_ASSERT(pthread_join(readers[i].thread, NULL) == 0);
        chaos_links_close(&readers[i].links);
    }
    free(f.key);
    return atomic_load(&f.unread);
}
