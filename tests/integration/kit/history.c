/* The judge walks along the time line once. What a read must at least give is fixed when it begins,
 * what it may at most give when it ends; so every operation is met twice, and at one instant
 * beginnings are taken before ends: what overlaps by the clock's grain counts as overlapping. */
#include "integration/kit/history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

void it_history_add(struct it_history *h, const struct it_op *op)
{
    if (h->n == h->cap) {
        h->cap = h->cap * 2 + 1024;
        h->op = realloc(h->op, h->cap * sizeof *h->op);
        PC_ASSERT(h->op != NULL);
    }
    h->op[h->n++] = *op;
}

void it_history_free(struct it_history *h)
{
    free(h->op);
    *h = (struct it_history){.op = NULL};
}

/* ---- as text */
bool it_history_write(const struct it_history *h, const char *path)
{
    FILE *file = fopen(path, "a");
    if (file == NULL) {
        return false;
    }
    for (size_t i = 0; i < h->n; i++) {
        const struct it_op *op = &h->op[i];
        (void)fprintf(file, "%" PRIu64 " %" PRIu64 " %c %" PRIu32 " %" PRIu64 " %c %d %s\n",
            op->begin_us, op->end_us, op->kind, op->key, op->value, op->outcome, op->status,
            op->node);
    }
    bool is_ok = ferror(file) == 0;
    return fclose(file) == 0 && is_ok;
}

static bool parse(const char *line, struct it_op *op)
{
    int fields =
        sscanf(line, "%" SCNu64 " %" SCNu64 " %c %" SCNu32 " %" SCNu64 " %c %d %15s", &op->begin_us,
            &op->end_us, &op->kind, &op->key, &op->value, &op->outcome, &op->status, op->node);
    return fields == 8 && op->begin_us <= op->end_us && strchr("WR", op->kind) != NULL &&
           strchr("+-?", op->outcome) != NULL;
}

bool it_history_read(struct it_history *h, const char *path, char *why, size_t why_max)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        (void)snprintf(why, why_max, "%s cannot be read", path);
        return false;
    }
    char line[256];
    bool is_ok = true;
    for (unsigned number = 1; is_ok && fgets(line, sizeof line, file) != NULL; number++) {
        struct it_op op = {.key = 0};
        is_ok = parse(line, &op);
        if (is_ok) {
            it_history_add(h, &op);
        } else {
            (void)snprintf(why, why_max, "%s:%u is not an operation", path, number);
        }
    }
    (void)fclose(file);
    return is_ok;
}

/* ---- what is expected of keys */
static int by_begin(const void *a, const void *b)
{
    const struct it_op *x = a, *y = b;
    return (x->begin_us > y->begin_us) - (x->begin_us < y->begin_us);
}

static int by_key(const void *a, const void *b)
{
    const struct it_expect *x = a, *y = b;
    return (x->key > y->key) - (x->key < y->key);
}

static struct it_expect *expect_find(struct it_expect *all, size_t count, uint32_t key)
{
    struct it_expect wanted = {.key = key};
    return bsearch(&wanted, all, count, sizeof *all, by_key);
}

/* A row for each key, with nothing known yet. */
static struct it_expect *expect_new(const struct it_history *h, size_t *count)
{
    struct it_expect *all = calloc(h->n + 1, sizeof *all);
    PC_ASSERT(all != NULL);
    for (size_t i = 0; i < h->n; i++) {
        all[i].key = h->op[i].key;
    }
    qsort(all, h->n, sizeof *all, by_key);
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (n == 0 || all[n - 1].key != all[i].key) {
            all[n++] = all[i];
        }
    }
    *count = n;
    return all;
}

static void raise_to(uint64_t *value, uint64_t to)
{
    *value = to > *value ? to : *value;
}

struct it_expect *it_history_expect(const struct it_history *h, size_t *count)
{
    struct it_expect *all = expect_new(h, count);
    for (size_t i = 0; i < h->n; i++) {
        const struct it_op *op = &h->op[i];
        struct it_expect *expect = expect_find(all, *count, op->key);
        if (op->outcome == IT_DONE) {
            raise_to(&expect->least, op->value);
        }
        if (op->kind == IT_WRITE && op->outcome != IT_REFUSED) {
            raise_to(&expect->most, op->value);
        }
    }
    return all;
}

/* ---- refused writes, in order */
static int by_key_and_value(const void *a, const void *b)
{
    const struct it_op *x = *(const struct it_op *const *)a, *y = *(const struct it_op *const *)b;
    int order = (x->key > y->key) - (x->key < y->key);
    return order != 0 ? order : (x->value > y->value) - (x->value < y->value);
}

struct refused {
    const struct it_op **op;
    size_t n;
};

static struct refused refused_new(const struct it_history *h)
{
    struct refused out = {.op = calloc(h->n + 1, sizeof *out.op)};
    PC_ASSERT(out.op != NULL);
    for (size_t i = 0; i < h->n; i++) {
        if (h->op[i].kind == IT_WRITE && h->op[i].outcome == IT_REFUSED) {
            out.op[out.n++] = &h->op[i];
        }
    }
    qsort(out.op, out.n, sizeof *out.op, by_key_and_value);
    return out;
}

static bool refused_has(const struct refused *refused, uint32_t key, uint64_t value)
{
    struct it_op op = {.key = key, .value = value};
    const struct it_op *wanted = &op;
    return bsearch(&wanted, refused->op, refused->n, sizeof *refused->op, by_key_and_value) != NULL;
}

bool it_history_was_refused(const struct it_history *h, uint32_t key, uint64_t value)
{
    struct refused refused = refused_new(h);
    bool is_refused = refused_has(&refused, key, value);
    free(refused.op);
    return is_refused;
}

/* ---- judging */
struct point {
    uint64_t at_us;
    uint64_t least; /* of a read, found when it begins */
    size_t op;
    bool is_end;
};

static int by_time(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    int order = (x->at_us > y->at_us) - (x->at_us < y->at_us);
    return order != 0 ? order : x->is_end - y->is_end;
}

static struct point *points_new(const struct it_history *h)
{
    struct point *points = calloc(2 * h->n + 1, sizeof *points);
    PC_ASSERT(points != NULL);
    for (size_t i = 0; i < h->n; i++) {
        points[2 * i] = (struct point){.at_us = h->op[i].begin_us, .op = i};
        points[2 * i + 1] = (struct point){.at_us = h->op[i].end_us, .op = i, .is_end = true};
    }
    qsort(points, 2 * h->n, sizeof *points, by_time);
    return points;
}

/* Is a read right? Says in `why` what is wrong with it. */
static bool read_is_right(const struct it_op *op, uint64_t least, uint64_t most,
    const struct refused *refused, char *why, size_t why_max)
{
    const char *fault = op->value < least                          ? "older than what was known"
                        : op->value > most                         ? "never sent"
                        : refused_has(refused, op->key, op->value) ? "refused"
                                                                   : NULL;
    if (fault != NULL) {
        (void)snprintf(why, why_max,
            "key %" PRIu32 " read from %s at %" PRIu64 " us gave %" PRIu64
            ": %s (known before: %" PRIu64 ", sent: %" PRIu64 ")",
            op->key, op->node, op->begin_us, op->value, fault, least, most);
    }
    return fault == NULL;
}

size_t it_history_judge(struct it_history *h, char *why, size_t why_max)
{
    qsort(h->op, h->n, sizeof *h->op, by_begin);
    size_t keys_n, wrong = 0;
    struct it_expect *keys = expect_new(h, &keys_n); /* what is known, as time goes on */
    struct refused refused = refused_new(h);
    struct point *points = points_new(h);
    uint64_t *least = calloc(h->n + 1, sizeof *least); /* of each read */
    PC_ASSERT(least != NULL);
    for (size_t i = 0; i < 2 * h->n; i++) {
        const struct it_op *op = &h->op[points[i].op];
        struct it_expect *key = expect_find(keys, keys_n, op->key);
        if (!points[i].is_end) {
            least[points[i].op] = key->least;
            raise_to(&key->most, op->kind == IT_WRITE ? op->value : 0);
            continue;
        }
        if (op->outcome != IT_DONE) {
            continue;
        }
        if (op->kind == IT_READ && !read_is_right(op, least[points[i].op], key->most, &refused,
                                       wrong == 0 ? why : NULL, wrong == 0 ? why_max : 0)) {
            wrong++;
        }
        raise_to(&key->least, op->value);
    }
    free(least);
    free(points);
    free(refused.op);
    free(keys);
    return wrong;
}

/* ---- figures */
static void count(const struct it_op *op, struct it_figures *out)
{
    out->requests++;
    out->refused += op->outcome == IT_REFUSED ? 1 : 0;
    out->unknown += op->outcome == IT_UNKNOWN ? 1 : 0;
    out->acked += op->outcome == IT_DONE && op->kind == IT_WRITE ? 1 : 0;
    out->reads += op->outcome == IT_DONE && op->kind == IT_READ ? 1 : 0;
    raise_to(&out->slowest_us, op->end_us - op->begin_us);
}

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* To the end of the record: a service that never came back has a gap too. */
static uint64_t longest_gap(const struct it_history *h)
{
    uint64_t *acks = calloc(h->n + 1, sizeof *acks);
    PC_ASSERT(acks != NULL);
    size_t n = 0;
    uint64_t last = 0, gap = 0;
    for (size_t i = 0; i < h->n; i++) {
        raise_to(&last, h->op[i].end_us);
        if (h->op[i].kind == IT_WRITE && h->op[i].outcome == IT_DONE) {
            acks[n++] = h->op[i].end_us;
        }
    }
    qsort(acks, n, sizeof *acks, by_number);
    acks[n] = last;
    for (size_t i = 0; i < n; i++) {
        raise_to(&gap, acks[i + 1] - acks[i]);
    }
    free(acks);
    return gap;
}

void it_history_figures(const struct it_history *h, uint64_t slow_us, struct it_figures *out)
{
    *out = (struct it_figures){.gap_us = longest_gap(h)};
    uint64_t first = 0, last = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct it_op *op = &h->op[i];
        count(op, out);
        if (op->outcome != IT_DONE || op->end_us - op->begin_us >= slow_us) {
            first = last == 0 || op->begin_us > last + IT_CALM_US ? op->begin_us : first;
            raise_to(&last, op->end_us);
            raise_to(&out->trouble_us, last - first);
        }
    }
}
