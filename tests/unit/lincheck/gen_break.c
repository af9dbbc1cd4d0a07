/* Mistakes that systems of this kind have made, put into a right history. Each is chosen so that no
 * order can explain it, whatever became of the operations of unknown outcome. */
#include "gen_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

const char *gen_break_text(enum gen_break kind)
{
    static const char *const texts[] = {"stale read", "lost write", "value at two versions",
        "two answers to one id", "sum too much", "versions swapped", "version twice", "future read",
        "wrong value", "cas wrongly done", "cas wrongly refused", "failed write seen", "gone",
        "gone early", "local read back", "final read old", "final read missing"};
    PC_ASSERT((size_t)kind < sizeof texts / sizeof texts[0]);
    return texts[kind];
}

static bool is_write(const struct lin_op *op)
{
    return op->kind != LIN_GET;
}

static bool is_read(const struct lin_op *op)
{
    return op->kind == LIN_GET && op->status == LIN_OK && !op->is_local && !op->is_final;
}

static bool is_acked(const struct lin_op *op)
{
    return is_write(op) && op->status == LIN_OK;
}

/* The acknowledged write of a version, or NULL. */
static struct lin_op *writer(struct lin_history *h, lin_text key, uint64_t version)
{
    for (size_t i = 0; i < h->n; i++) {
        if (h->op[i].key == key && is_acked(&h->op[i]) && h->op[i].version == version) {
            return &h->op[i];
        }
    }
    return NULL;
}

static size_t unknown_count(const struct lin_history *h, lin_text key)
{
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        n += h->op[i].key == key && is_write(&h->op[i]) && h->op[i].status == LIN_INFO ? 1 : 0;
    }
    return n;
}

/* The greatest index that the history names. */
static uint64_t last_index(const struct lin_history *h)
{
    uint64_t last = 0;
    for (size_t i = 0; i < h->n; i++) {
        last = h->op[i].version > last ? h->op[i].version : last;
        last = h->op[i].index > last ? h->op[i].index : last;
    }
    return last;
}

static uint64_t last_us(const struct lin_history *h)
{
    uint64_t last = 0;
    for (size_t i = 0; i < h->n; i++) {
        last = h->op[i].t1_us > last ? h->op[i].t1_us : last;
    }
    return last;
}

/* When the request was sent for the first time. */
static uint64_t began_us(const struct lin_history *h, const struct lin_op *op)
{
    uint64_t began = op->t0_us;
    for (size_t i = 0; i < h->n; i++) {
        const struct lin_op *other = &h->op[i];
        if (op->id != 0 && other->id == op->id && other->key == op->key && other->t0_us < began) {
            began = other->t0_us;
        }
    }
    return began;
}

/* The next operation, from a random place on, that is fit; NULL when there is none. */
typedef bool (*fit)(struct lin_history *h, struct lin_op *op);
static struct lin_op *pick(struct lin_history *h, struct pc_prng *prng, fit is_fit)
{
    size_t from = (size_t)pc_prng_below(prng, h->n);
    for (size_t i = 0; i < h->n; i++) {
        struct lin_op *op = &h->op[(from + i) % h->n];
        if (is_fit(h, op)) {
            return op;
        }
    }
    return NULL;
}

/* ---- reads that show something older */
/* An acknowledged put or cas of the key before `version`. */
static struct lin_op *older(struct lin_history *h, lin_text key, uint64_t version)
{
    for (size_t i = 0; i < h->n; i++) {
        struct lin_op *op = &h->op[i];
        if (op->key == key && is_acked(op) && op->version < version &&
            (op->kind == LIN_PUT || op->kind == LIN_CAS)) {
            return op;
        }
    }
    return NULL;
}

/* What the read shows was acknowledged before it began, and something stood there before. */
static bool can_be_stale(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = op->version != 0 ? writer(h, op->key, op->version) : NULL;
    return is_read(op) && w != NULL && w->t1_us < op->t0_us &&
           older(h, op->key, op->version) != NULL;
}

static bool break_stale(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = older(h, op->key, op->version);
    op->value = w->value;
    op->version = w->version;
    op->index = op->index != 0 ? w->version : 0;
    return true;
}

/* Nobody sees the write, though the nodes stand behind it. */
static bool break_lost(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = older(h, op->key, op->version);
    uint64_t lost = op->version;
    lin_text key = op->key, value = w->value;
    uint64_t version = w->version;
    for (size_t i = 0; i < h->n; i++) {
        if (h->op[i].key == key && h->op[i].kind == LIN_GET && h->op[i].version == lost) {
            h->op[i].value = value;
            h->op[i].version = version;
        }
    }
    return true;
}

static bool can_be_final_old(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = op->version != 0 ? writer(h, op->key, op->version) : NULL;
    return op->is_final && op->is_local && w != NULL && older(h, op->key, op->version) != NULL;
}

/* The only final read of its node. */
static bool can_be_final_missing(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = op->version != 0 ? writer(h, op->key, op->version) : NULL;
    for (size_t i = 0; i < h->n; i++) {
        if (&h->op[i] != op && h->op[i].is_final && h->op[i].key == op->key &&
            h->op[i].node == op->node) {
            return false;
        }
    }
    return op->is_final && op->is_local && w != NULL;
}

/* ---- one request, two effects */
static bool can_be_twice(struct lin_history *h, struct lin_op *op)
{
    (void)h;
    return is_acked(op) && op->version != 0 && (op->kind == LIN_PUT || op->kind == LIN_CAS);
}

/* A read at the very end of what `op` wrote, at a version behind everything. */
static void read_append(struct lin_history *h, const struct lin_op *op)
{
    struct lin_record r = {.kind = LIN_GET, .has_value = true, .client = 4000};
    (void)snprintf(r.key, sizeof r.key, "%s", lin_history_text(h, op->key));
    (void)snprintf(r.value, sizeof r.value, "%s", lin_history_text(h, op->value));
    r.version = r.index = last_index(h) + 3;
    r.t0_us = last_us(h) + 10;
    r.t1_us = r.t0_us + 10;
    PC_ASSERT(lin_history_add(h, &r, (uint32_t)h->n + 1));
}

static bool break_value_twice(struct lin_history *h, struct lin_op *op)
{
    read_append(h, op);
    return true;
}

static bool break_id_twice(struct lin_history *h, struct lin_op *op)
{
    struct lin_record r = {.kind = (enum lin_kind)op->kind, .has_value = true, .client = 4000};
    r.expect = op->expect;
    r.ttl_ms = op->ttl_ms;
    (void)snprintf(r.key, sizeof r.key, "%s", lin_history_text(h, op->key));
    (void)snprintf(r.value, sizeof r.value, "%s", lin_history_text(h, op->value));
    (void)snprintf(r.id, sizeof r.id, "%s", lin_history_text(h, op->id));
    r.version = last_index(h) + 3;
    r.t0_us = last_us(h) + 10;
    r.t1_us = r.t0_us + 10;
    return lin_history_add(h, &r, (uint32_t)h->n + 1);
}

static bool can_be_sum(struct lin_history *h, struct lin_op *op)
{
    (void)h;
    return is_acked(op) && op->kind == LIN_INCR && op->value != 0;
}

/* More than all unknown increments can explain. */
static bool break_sum(struct lin_history *h, struct lin_op *op)
{
    long long sum = strtoll(lin_history_text(h, op->value), NULL, 10);
    struct lin_record r = {.kind = LIN_GET, .status = LIN_FAIL, .key = "x", .has_value = true};
    (void)snprintf(r.value, sizeof r.value, "%lld", sum + 1 + (long long)unknown_count(h, op->key));
    size_t at = (size_t)(op - h->op);
    PC_ASSERT(lin_history_add(h, &r, 1)); /* for its text */
    h->op[at].value = h->op[--h->n].value;
    return true;
}

/* ---- versions */
/* A write that ended before `op` began. */
static struct lin_op *write_before(struct lin_history *h, const struct lin_op *op)
{
    for (size_t i = 0; i < h->n; i++) {
        struct lin_op *w = &h->op[i];
        if (w->key == op->key && is_acked(w) && w->t1_us < began_us(h, op) && w->version != 0) {
            return w;
        }
    }
    return NULL;
}

static bool can_be_swapped(struct lin_history *h, struct lin_op *op)
{
    return is_acked(op) && op->version != 0 && write_before(h, op) != NULL;
}

static bool break_swap(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *before = write_before(h, op);
    uint64_t version = op->version;
    op->version = before->version;
    before->version = version;
    return true;
}

static bool break_version_twice(struct lin_history *h, struct lin_op *op)
{
    op->version = write_before(h, op)->version;
    return true;
}

/* ---- reads of what is not so */
static bool can_be_future(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = op->version != 0 ? writer(h, op->key, op->version) : NULL;
    return is_read(op) && w != NULL && began_us(h, w) > 1;
}

static bool break_future(struct lin_history *h, struct lin_op *op)
{
    op->t0_us = op->t1_us = began_us(h, writer(h, op->key, op->version)) - 1;
    return true;
}

static bool can_be_wrong(struct lin_history *h, struct lin_op *op)
{
    (void)h;
    return is_read(op) && op->value != 0;
}

static bool break_value(struct lin_history *h, struct lin_op *op)
{
    struct lin_record r = {.kind = LIN_GET, .key = "x", .has_value = true, .value = "nobody"};
    size_t at = (size_t)(op - h->op);
    PC_ASSERT(lin_history_add(h, &r, 1)); /* for its text */
    h->op[at].value = h->op[--h->n].value;
    return true;
}

static bool can_be_failed_seen(struct lin_history *h, struct lin_op *op)
{
    (void)h;
    return op->kind == LIN_PUT && op->status == LIN_FAIL;
}

static bool can_be_gone(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = op->version != 0 ? writer(h, op->key, op->version) : NULL;
    return is_read(op) && w != NULL && w->ttl_ms == 0 && w->t1_us < op->t0_us &&
           unknown_count(h, op->key) == 0;
}

static bool can_be_early(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *w = op->version != 0 ? writer(h, op->key, op->version) : NULL;
    return is_read(op) && w != NULL && w->ttl_ms != 0 && w->t1_us < op->t0_us &&
           op->t1_us < began_us(h, w) + w->ttl_ms * 1000 && unknown_count(h, op->key) == 0;
}

static bool break_gone(struct lin_history *h, struct lin_op *op)
{
    /* An order in which another write comes between must be impossible: none began since. */
    for (size_t i = 0; i < h->n; i++) {
        if (h->op[i].key == op->key && is_write(&h->op[i]) && h->op[i].kind != LIN_INCR &&
            op->index == 0 && h->op[i].kind == LIN_DELETE) {
            return false;
        }
    }
    op->value = 0;
    op->version = 0;
    return true;
}

/* ---- compare-and-set */
static bool can_be_cas(struct lin_history *h, struct lin_op *op)
{
    return is_acked(op) && op->kind == LIN_CAS && op->expect != 0 && op->version != 0 &&
           older(h, op->key, op->expect) != NULL;
}

static bool break_cas(struct lin_history *h, struct lin_op *op)
{
    op->expect = older(h, op->key, op->expect)->version;
    return true;
}

static bool can_be_refused(struct lin_history *h, struct lin_op *op)
{
    return is_acked(op) && op->kind == LIN_CAS && op->expect != 0 && op->version != 0 &&
           unknown_count(h, op->key) == 0;
}

/* It took place at the end of what it expects: now it says it was refused there. Whoever saw its
 * value is gone with it. */
static bool break_refused(struct lin_history *h, struct lin_op *op)
{
    uint64_t version = op->version;
    lin_text key = op->key;
    for (size_t i = 0; i < h->n; i++) {
        struct lin_op *other = &h->op[i];
        if (other != op && other->key == key &&
            (other->version == version || other->expect == version ||
                (other->id != 0 && other->id == op->id))) {
            return false;
        }
    }
    op->status = LIN_FAIL;
    op->is_refused = true;
    op->index = version - 1;
    op->version = 0;
    return true;
}

/* ---- sessions */
/* The client's next read at the same node. */
static struct lin_op *next_in_session(struct lin_history *h, const struct lin_op *op)
{
    struct lin_op *next = NULL;
    for (size_t i = 0; i < h->n; i++) {
        struct lin_op *other = &h->op[i];
        if (other->kind == LIN_GET && other->is_local && other->client == op->client &&
            other->node == op->node && other->t0_us >= op->t1_us && other != op &&
            (next == NULL || other->t0_us < next->t0_us)) {
            next = other;
        }
    }
    return next;
}

static bool can_go_back(struct lin_history *h, struct lin_op *op)
{
    return op->kind == LIN_GET && op->index > 1 && next_in_session(h, op) != NULL;
}

static bool break_session(struct lin_history *h, struct lin_op *op)
{
    struct lin_op *next = next_in_session(h, op);
    /* Before everything, where every key is missing. */
    next->index = 1;
    next->value = 0;
    next->version = 0;
    return true;
}

static bool break_final_missing(struct lin_history *h, struct lin_op *op)
{
    (void)h;
    op->status = LIN_FAIL;
    op->value = 0;
    op->version = op->index = 0;
    return true;
}

struct way {
    fit can;
    bool (*act)(struct lin_history *h, struct lin_op *op);
};
static const struct way ways[GEN_BREAKS_N] = {
    [GEN_STALE_READ] = {can_be_stale, break_stale},
    [GEN_LOST_WRITE] = {can_be_stale, break_lost},
    [GEN_VALUE_TWICE] = {can_be_twice, break_value_twice},
    [GEN_ID_TWICE] = {can_be_twice, break_id_twice},
    [GEN_SUM_TOO_MUCH] = {can_be_sum, break_sum},
    [GEN_VERSIONS_SWAPPED] = {can_be_swapped, break_swap},
    [GEN_VERSION_TWICE] = {can_be_swapped, break_version_twice},
    [GEN_FUTURE_READ] = {can_be_future, break_future},
    [GEN_WRONG_VALUE] = {can_be_wrong, break_value},
    [GEN_CAS_WRONG] = {can_be_cas, break_cas},
    [GEN_CAS_REFUSED_WRONG] = {can_be_refused, break_refused},
    [GEN_FAILED_SEEN] = {can_be_failed_seen, break_value_twice},
    [GEN_GONE] = {can_be_gone, break_gone},
    [GEN_EARLY] = {can_be_early, break_gone},
    [GEN_LOCAL_BACK] = {can_go_back, break_session},
    [GEN_FINAL_OLD] = {can_be_final_old, break_stale},
    [GEN_FINAL_MISSING] = {can_be_final_missing, break_final_missing},
};

bool gen_break(struct lin_history *h, enum gen_break kind, struct pc_prng *prng)
{
    struct lin_op *op = h->n > 0 ? pick(h, prng, ways[kind].can) : NULL;
    return op != NULL && ways[kind].act(h, op);
}
