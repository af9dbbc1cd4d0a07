/* Sums. An acknowledged increment must have found what stands before it and left that plus its
 * delta. More than that is allowed only when unknown increments happened in between, and each of
 * those needs a log index of its own there. */
#include "lincheck/check_int.h"

#include <inttypes.h>

/* What the unknown increments of the key have in common. */
struct unknowns {
    size_t n;
    int64_t delta;
    bool is_mixed; /* several deltas, or none that changes anything */
};

static struct unknowns unknowns_of(const struct lin_versions *v)
{
    struct unknowns u = {.n = 0};
    for (size_t i = 0; i < v->key->n; i++) {
        const struct lin_op *op = &v->key->op[i];
        if (op->kind == LIN_INCR && op->status == LIN_INFO) {
            u.is_mixed = u.is_mixed || op->delta == 0 || (u.n > 0 && op->delta != u.delta);
            u.delta = op->delta;
            u.n++;
        }
    }
    return u;
}

/* The number an effect leaves as far as its own answer says; false when it says none. */
static bool number_told(const struct lin_versions *v, struct lin_effect *e)
{
    if (!e->has_number && e->op->kind != LIN_DELETE && e->op->value != 0) {
        e->has_number = lin_number_of(lin_history_text(v->key->h, e->op->value), &e->number);
    }
    return e->has_number;
}

static bool base_of(const struct lin_versions *v, struct lin_effect *before, int64_t *out)
{
    *out = 0;
    if (before == NULL || before->op->kind == LIN_DELETE || before->gone_at != 0) {
        return true;
    }
    if (!number_told(v, before)) {
        return false;
    }
    *out = before->number;
    return true;
}

/* `extra`: by how much the sum is off. May unknown increments explain it? */
static bool places_add(struct lin_versions *v, const struct lin_effect *before,
    const struct lin_effect *e, const struct unknowns *u, int64_t extra)
{
    if (u->n == 0 || u->is_mixed || extra % u->delta != 0 || extra / u->delta < 0) {
        return false;
    }
    uint64_t count = (uint64_t)(extra / u->delta);
    uint64_t from = before == NULL                         ? v->empty_to
                    : before->missing_to > before->seen_to ? before->missing_to
                                                           : before->seen_to;
    if (count > u->n || e->version < from + 1 || count > e->version - from - 1) {
        return false;
    }
    for (uint64_t i = 1; i <= count; i++) {
        lin_place_add(&v->incrs, e->version - i, e->op);
    }
    return true;
}

static void sum_wrong(struct lin_versions *v, const struct lin_effect *before,
    const struct lin_effect *e, int64_t expected)
{
    int64_t extra = e->number - expected, delta = e->op->delta;
    enum lin_rule rule = extra == 0                                 ? LIN_RULE_COUNTER
                         : (extra > 0) == (delta > 0) && delta != 0 ? LIN_RULE_DUPLICATE
                                                                    : LIN_RULE_LOST;
    lin_violation_add(v->key->report, rule, before != NULL ? before->op : NULL, e->op, NULL,
        "the sum at version %" PRIu64 " is %" PRId64 ", and should be %" PRId64, e->version,
        e->number, expected);
}

static void incr_check(struct lin_versions *v, struct lin_effect *before, struct lin_effect *e,
    const struct unknowns *u)
{
    int64_t base;
    bool is_other_unseen = v->unseen[LIN_PUT] + v->unseen[LIN_CAS] + v->unseen[LIN_DELETE] > 0;
    if (!base_of(v, before, &base)) {
        lin_undecided(v, "an increment of what is not known to be a number");
        return;
    }
    int64_t expected = (int64_t)((uint64_t)base + (uint64_t)e->op->delta);
    if (!number_told(v, e)) {
        if (u->n > 0 || is_other_unseen) {
            lin_undecided(v, "an increment did not tell its sum");
        }
        e->number = expected;
        e->has_number = true;
        return;
    }
    bool is_explained = e->number == expected ||
                        places_add(v, before, e, u, e->number - expected) ||
                        (before != NULL && lin_is_expirable(before->op, e->op, v->key->options) &&
                            e->number == e->op->delta);
    if (is_explained) {
        return;
    }
    if (is_other_unseen || (u->n > 0 && u->is_mixed)) {
        lin_undecided(v, "unseen writes may explain a sum");
    } else {
        sum_wrong(v, before, e, expected);
    }
}

void lin_counter_check(struct lin_versions *v)
{
    struct unknowns u = unknowns_of(v);
    for (size_t i = 0; i < v->n; i++) {
        if (v->effect[i].op->kind == LIN_INCR) {
            if (v->effect[i].is_anonymous && u.is_mixed) {
                lin_undecided(v, "unknown increments of several amounts");
            } else {
                incr_check(v, i > 0 ? &v->effect[i - 1] : NULL, &v->effect[i], &u);
            }
        }
    }
}
