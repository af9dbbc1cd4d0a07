/* A log, some keys, and clients that overlap. Every operation is given an instant between its
 * beginning and its end; in the order of these instants they are carried out on a plain model,
 * which writes down the answers. An operation of unknown outcome may have its instant long after
 * its client has given up, or none. */
#include "gen_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define NODES_N 3

struct plan {
    struct lin_record r;
    uint64_t at_us;
    unsigned key;
    bool is_done; /* has its effect */
};

/* The state of a key from an index on. */
struct past {
    uint64_t index, version;
    char value[24];
    bool is_present;
};

struct cell {
    struct past now;
    uint64_t due_us; /* 0 = never */
    struct past *past;
    size_t past_n;
};

struct gen {
    const struct gen_params *p;
    struct lin_history *h;
    struct pc_prng prng;
    struct plan *plan;
    size_t plans_n;
    struct cell cell[GEN_KEYS_MAX];
    uint64_t index;
    uint64_t stood_at[GEN_CLIENTS_MAX + 1][NODES_N];
};

static uint64_t draw(struct gen *g, uint64_t below)
{
    return pc_prng_below(&g->prng, below);
}

static bool chance(struct gen *g, unsigned percent)
{
    return draw(g, 100) < percent;
}

static enum gen_key_kind kind_of(const struct gen *g, unsigned key)
{
    return (enum gen_key_kind)((g->p->is_one_kind ? g->p->seed : key) % GEN_KEY_KINDS_N);
}

/* ---- what the clients will ask */
static void plan_register(struct gen *g, struct lin_record *r)
{
    uint64_t what = draw(g, 100);
    r->kind = what < 40 ? LIN_GET : what < 70 ? LIN_PUT : what < 90 ? LIN_CAS : LIN_DELETE;
}

static void plan_request(struct gen *g, struct plan *plan, unsigned client, size_t number)
{
    struct lin_record *r = &plan->r;
    plan->key = (unsigned)draw(g, g->p->keys_n);
    (void)snprintf(r->key, sizeof r->key, "k%u", plan->key);
    (void)snprintf(r->node, sizeof r->node, "n%u", (unsigned)draw(g, NODES_N) + 1);
    (void)snprintf(r->id, sizeof r->id, "id-%zu", number);
    r->client = client;
    r->session = 1;
    switch (kind_of(g, plan->key)) {
    case GEN_COUNTER:
        r->kind = chance(g, 50) ? LIN_INCR : LIN_GET;
        r->delta = r->kind == LIN_INCR ? 1 : 0;
        break;
    case GEN_TTL:
        r->kind = chance(g, 40) ? LIN_PUT : LIN_GET;
        r->ttl_ms = r->kind == LIN_PUT ? 1 + draw(g, 3) : 0;
        break;
    default:
        plan_register(g, r);
    }
    if (r->kind == LIN_PUT || r->kind == LIN_CAS) {
        (void)snprintf(r->value, sizeof r->value, "v%zu", number);
        r->has_value = true;
    }
    r->is_local = r->kind == LIN_GET && chance(g, g->p->local_percent);
}

static void plan_outcome(struct gen *g, struct plan *plan)
{
    struct lin_record *r = &plan->r;
    plan->is_done = true;
    if (r->kind == LIN_GET) {
        return;
    }
    if (chance(g, g->p->unknown_percent)) {
        r->status = LIN_INFO;
        plan->is_done = chance(g, 50);
        plan->at_us += chance(g, 50) ? draw(g, 4 * g->p->pause_us + 1) : 0;
    } else if (chance(g, g->p->fail_percent)) {
        r->status = LIN_FAIL;
        plan->is_done = false;
    }
}

static int by_instant(const void *a, const void *b)
{
    const struct plan *x = a, *y = b;
    return (x->at_us > y->at_us) - (x->at_us < y->at_us);
}

static void plan_all(struct gen *g)
{
    uint64_t now[GEN_CLIENTS_MAX] = {0};
    for (size_t i = 0; i < g->p->ops_n; i++) {
        struct plan *plan = &g->plan[g->plans_n++];
        unsigned client = (unsigned)draw(g, g->p->clients_n);
        plan_request(g, plan, client, i + 1);
        plan->r.t0_us = now[client] + 1 + draw(g, g->p->pause_us);
        plan->at_us = plan->r.t0_us + draw(g, g->p->pause_us);
        plan->r.t1_us = plan->at_us + draw(g, g->p->pause_us);
        now[client] = plan->r.t1_us;
        plan_outcome(g, plan);
    }
    qsort(g->plan, g->plans_n, sizeof *g->plan, by_instant);
}

/* ---- what the log does */
static void cell_note(struct cell *c, uint64_t index)
{
    c->now.index = index;
    c->past[c->past_n++] = c->now;
}

/* Time passes: what is due goes, by an entry of its own. */
static void expire(struct gen *g, uint64_t now_us)
{
    for (unsigned k = 0; k < g->p->keys_n; k++) {
        struct cell *c = &g->cell[k];
        if (c->due_us != 0 && now_us >= c->due_us) {
            c->now = (struct past){.index = ++g->index};
            c->due_us = 0;
            cell_note(c, g->index);
        }
    }
}

static bool cas_is_met(const struct cell *c, const struct lin_record *r)
{
    return r->expect == 0 ? !c->now.is_present : c->now.is_present && c->now.version == r->expect;
}

static void effect(struct gen *g, struct cell *c, struct plan *plan)
{
    struct lin_record *r = &plan->r;
    g->index += 1 + draw(g, 2); /* other keys write as well */
    struct past now = {.version = g->index, .is_present = r->kind != LIN_DELETE};
    if (r->kind == LIN_INCR) {
        int64_t sum = c->now.is_present ? strtoll(c->now.value, NULL, 10) : 0;
        (void)snprintf(now.value, sizeof now.value, "%" PRId64, sum + r->delta);
        (void)snprintf(r->value, sizeof r->value, "%s", now.value);
        r->has_value = r->status == LIN_OK;
    } else {
        (void)snprintf(now.value, sizeof now.value, "%.20s", r->value);
    }
    c->due_us = r->ttl_ms != 0 ? plan->at_us + r->ttl_ms * 1000 : 0;
    c->now = now;
    cell_note(c, g->index);
    r->version = r->status == LIN_OK && g->p->is_version_told ? g->index : 0;
}

/* Most compare-and-sets expect what stands there; some guess. */
static void run_cas(struct gen *g, struct cell *c, struct plan *plan)
{
    struct lin_record *r = &plan->r;
    r->expect = c->now.is_present ? c->now.version : 0;
    if (chance(g, 25) && c->past_n > 0) {
        r->expect = c->past[draw(g, c->past_n)].version;
    }
    if (!plan->is_done) {
        return;
    }
    if (cas_is_met(c, r)) {
        effect(g, c, plan);
    } else if (r->status == LIN_OK) {
        r->status = LIN_FAIL;
        r->is_refused = true;
        r->index = g->p->is_index_told ? g->index : 0;
    }
}

static void answer(const struct gen *g, struct lin_record *r, const struct past *state)
{
    r->has_value = state->is_present;
    (void)snprintf(r->value, sizeof r->value, "%s", state->is_present ? state->value : "");
    r->version = state->is_present && g->p->is_version_told ? state->version : 0;
}

static void run_get(struct gen *g, struct cell *c, struct plan *plan)
{
    struct lin_record *r = &plan->r;
    uint64_t *stood_at = &g->stood_at[r->client % (GEN_CLIENTS_MAX + 1)][r->node[1] - '1'];
    uint64_t at = g->index;
    if (r->is_local && !r->is_final) {
        uint64_t least = *stood_at > 0 ? *stood_at : 1;
        at = least + draw(g, g->index - least + 1);
    }
    struct past state = {.index = 0};
    for (size_t i = 0; i < c->past_n && c->past[i].index <= at; i++) {
        state = c->past[i];
    }
    answer(g, r, &state);
    *stood_at = at;
    r->index = g->p->is_index_told ? at : 0;
}

static void run(struct gen *g, struct plan *plan)
{
    struct cell *c = &g->cell[plan->key];
    expire(g, plan->at_us);
    if (plan->r.kind == LIN_GET) {
        run_get(g, c, plan);
    } else if (plan->r.kind == LIN_CAS) {
        run_cas(g, c, plan);
    } else if (plan->is_done) {
        effect(g, c, plan);
    }
}

/* ---- writing it down */
/* As one line, or as a first try without an answer and a second one with it. */
static void emit(struct gen *g, const struct lin_record *r)
{
    struct lin_record line = *r;
    if (r->kind != LIN_GET && r->status == LIN_OK && chance(g, g->p->retry_percent)) {
        struct lin_record first = *r;
        first.status = LIN_INFO;
        first.version = 0;
        first.has_value = r->has_value && r->kind != LIN_INCR;
        first.t1_us = r->t0_us + (r->t1_us - r->t0_us) / 2;
        line.t0_us = first.t1_us;
        PC_ASSERT(lin_history_add(g->h, &first, (uint32_t)g->h->n + 1));
    }
    PC_ASSERT(lin_history_add(g->h, &line, (uint32_t)g->h->n + 1));
}

static void emit_finals(struct gen *g, uint64_t now_us)
{
    struct plan plan = {.at_us = now_us};
    for (unsigned k = 0; k < g->p->keys_n; k++) {
        for (unsigned n = 0; n <= NODES_N; n++) {
            struct lin_record *r = &plan.r;
            *r = (struct lin_record){.kind = LIN_GET, .is_final = true, .is_local = n > 0};
            r->client = GEN_CLIENTS_MAX;
            r->session = 1;
            plan.key = k;
            (void)snprintf(r->key, sizeof r->key, "k%u", k);
            (void)snprintf(r->node, sizeof r->node, "n%u", n > 0 ? n : 1);
            r->t0_us = plan.at_us + 1;
            plan.at_us = r->t0_us + 1;
            r->t1_us = plan.at_us + 1;
            run(g, &plan);
            emit(g, r);
            plan.at_us = r->t1_us;
        }
    }
}

void gen_history(struct lin_history *h, const struct gen_params *params)
{
    struct gen *g = calloc(1, sizeof *g);
    PC_ASSERT(g != NULL && params->clients_n <= GEN_CLIENTS_MAX && params->keys_n <= GEN_KEYS_MAX);
    *g = (struct gen){.p = params, .h = h, .index = 1};
    pc_prng_seed(&g->prng, params->seed);
    g->plan = calloc(params->ops_n + 1, sizeof *g->plan);
    PC_ASSERT(g->plan != NULL);
    for (unsigned k = 0; k < params->keys_n; k++) {
        /* An effect each, and each may expire. */
        g->cell[k].past = calloc(2 * params->ops_n + 2, sizeof *g->cell[k].past);
        PC_ASSERT(g->cell[k].past != NULL);
    }
    plan_all(g);
    uint64_t end_us = 0;
    for (size_t i = 0; i < g->plans_n; i++) {
        run(g, &g->plan[i]);
        emit(g, &g->plan[i].r);
        end_us = g->plan[i].at_us > end_us ? g->plan[i].at_us : end_us;
        end_us = g->plan[i].r.t1_us > end_us ? g->plan[i].r.t1_us : end_us;
    }
    if (params->is_final) {
        emit_finals(g, end_us);
    }
    for (unsigned k = 0; k < params->keys_n; k++) {
        free(g->cell[k].past);
    }
    free(g->plan);
    free(g);
}
