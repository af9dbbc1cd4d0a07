/* Lines with one request id are one operation: it began with the first of them, and it was done
 * when the first of them was answered. Two answers that tell of two effects are the violation that
 * request ids exist to prevent. */
#include "lincheck/check_int.h"

#include <stdlib.h>

static int by_request(const void *a, const void *b)
{
    const struct lin_op *x = a, *y = b;
    int order = (x->id > y->id) - (x->id < y->id);
    return order != 0 ? order : (x->t0_us > y->t0_us) - (x->t0_us < y->t0_us);
}

static int by_begin(const void *a, const void *b)
{
    const struct lin_op *x = a, *y = b;
    int order = (x->t0_us > y->t0_us) - (x->t0_us < y->t0_us);
    return order != 0 ? order : (x->t1_us > y->t1_us) - (x->t1_us < y->t1_us);
}

static bool is_same_request(const struct lin_op *a, const struct lin_op *b)
{
    return a->id != 0 && a->id == b->id && lin_is_write(a) && a->kind == b->kind &&
           a->delta == b->delta && a->expect == b->expect &&
           (a->kind == LIN_INCR || a->value == b->value);
}

static void both_done(struct lin_report *report, struct lin_op *into, const struct lin_op *again)
{
    bool is_other = into->version != 0 && again->version != 0 && into->version != again->version;
    if (is_other || (into->value != 0 && again->value != 0 && into->value != again->value)) {
        lin_violation_add(report, LIN_RULE_DUPLICATE, into, again, NULL,
            "both answers are to the same request id");
    }
    into->version = into->version != 0 ? into->version : again->version;
    into->value = into->value != 0 ? into->value : again->value;
    into->t1_us = again->t1_us < into->t1_us ? again->t1_us : into->t1_us;
}

static void merge_into(struct lin_report *report, struct lin_op *into, const struct lin_op *again)
{
    uint64_t t0_us = into->t0_us; /* the earlier one: sorted */
    if (into->status == LIN_OK && again->status == LIN_OK) {
        both_done(report, into, again);
    } else if (again->status == LIN_OK) {
        *into = *again;
    } else if (into->status != LIN_OK) {
        into->is_refused = into->is_refused && again->is_refused;
        into->status = into->status == LIN_FAIL ? again->status : into->status;
        into->t1_us = again->t1_us > into->t1_us ? again->t1_us : into->t1_us;
    }
    into->t0_us = t0_us;
}

void lin_requests_merge(struct lin_key *key)
{
    size_t kept = 0;
    qsort(key->op, key->n, sizeof *key->op, by_request);
    for (size_t i = 0; i < key->n; i++) {
        if (kept > 0 && is_same_request(&key->op[kept - 1], &key->op[i])) {
            merge_into(key->report, &key->op[kept - 1], &key->op[i]);
        } else {
            key->op[kept++] = key->op[i];
        }
    }
    key->n = kept;
    qsort(key->op, key->n, sizeof *key->op, by_begin);
}
