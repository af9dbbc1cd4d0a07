/* The check by versions, second half: real time.
 *
 * Every operation has a position, or a range of them:
 *
 *     2 * version       an effect
 *     2 * index + 1     an answer that stands at that index, behind the effect there
 *     range             an answer that names a version but no index: from behind that effect to
 *                       before the next one
 *
 * An order that respects real time exists if and only if no operation begins after another has
 * ended whose least position is above its own greatest one. One walk along the time line finds all
 * such pairs; beginnings come before ends at one instant, so that what touches counts as
 * overlapping. Final local reads have no position, as their node may stand at any index by now;
 * they must show at least the effects that were acknowledged before. */
#include "lincheck/check_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "pcache/assert.h"

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))
#define EFFECT_AT(version) (2 * (version))
#define ANSWER_AT(index) (2 * (index) + 1)

enum role { ROLE_NONE, ROLE_EFFECT, ROLE_ANSWER, ROLE_FINAL, ROLE_UNSEEN };

struct positioned {
    const struct lin_op *op;
    enum role role;
    uint64_t least, greatest;
    uint64_t end_us; /* LIN_NEVER: its outcome was unknown */
    /* Found when it begins: the greatest of the least positions of what had ended. */
    uint64_t floor;
};

struct point {
    uint64_t at_us;
    size_t number;
    bool is_end;
};

static int by_time(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    int order = ORDER(x->at_us, y->at_us);
    return order != 0 ? order : x->is_end - y->is_end;
}

/* ---- positions */
static void position_value(const struct lin_versions *v, struct positioned *p)
{
    const struct lin_effect *e = lin_effect_find(v, p->op->version);
    if (e == NULL) {
        p->role = ROLE_NONE;
        return;
    }
    bool is_last = e == &v->effect[v->n - 1];
    uint64_t end = is_last ? LIN_NEVER : EFFECT_AT(e[1].version);
    if (e->gone_at != 0 && ANSWER_AT(e->gone_at) < end) {
        end = ANSWER_AT(e->gone_at) - 1;
    }
    p->least = ANSWER_AT(e->version);
    p->greatest = end - 1;
}

static void position_answer(const struct lin_versions *v, struct positioned *p)
{
    p->role = p->op->is_local ? (p->op->is_final ? ROLE_FINAL : ROLE_NONE) : ROLE_ANSWER;
    if (p->role == ROLE_FINAL && (p->op->version != 0 || p->op->index == 0)) {
        position_value(v, p);
    } else if (p->op->index != 0) {
        p->least = p->greatest = ANSWER_AT(p->op->index);
    } else if (p->op->version != 0) {
        position_value(v, p);
    } else if (p->op->value == 0 && !p->op->is_refused && !v->can_vanish) {
        p->least = 1; /* before everything */
        p->greatest = v->n > 0 ? EFFECT_AT(v->effect[0].version) - 1 : LIN_NEVER;
    } else {
        p->role = ROLE_NONE;
    }
}

static struct positioned position_of(const struct lin_versions *v, const struct lin_op *op)
{
    struct positioned p = {.op = op, .role = ROLE_NONE, .end_us = op->t1_us};
    uint64_t shown_at = v->shown_at[op - v->key->op];
    if (lin_is_ok_get(op) || op->is_refused) {
        position_answer(v, &p);
    } else if (lin_is_write(op) && op->status == LIN_OK && op->version != 0) {
        p.role = ROLE_EFFECT;
        p.least = p.greatest = EFFECT_AT(op->version);
    } else if (lin_is_write(op) && op->status == LIN_INFO) {
        p.role = shown_at != 0 ? ROLE_EFFECT : ROLE_UNSEEN;
        p.least = p.greatest = EFFECT_AT(shown_at);
        p.end_us = LIN_NEVER;
    }
    return p;
}

/* ---- violations */
static void order_wrong(
    struct lin_versions *v, const struct positioned *before, const struct positioned *p)
{
    enum lin_rule rule = LIN_RULE_STALE;
    if (p->role == ROLE_EFFECT) {
        bool is_seen = before->role == ROLE_ANSWER && before->op->version * 2 == p->least;
        rule = is_seen ? LIN_RULE_FUTURE : LIN_RULE_ORDER;
    } else if (p->op->is_final) {
        rule = LIN_RULE_LOST;
    }
    lin_violation_add(v->key->report, rule, before->op, p->op, NULL,
        "the second began %" PRIu64 " us after the first had ended",
        p->op->t0_us - before->op->t1_us);
}

/* ---- the walk */
struct walk {
    struct lin_versions *v;
    struct positioned *all;
    const struct positioned *highest, *highest_effect; /* of what has ended */
};

static void walk_begin(struct walk *w, struct positioned *p)
{
    p->floor = w->highest != NULL ? w->highest->least : 0;
    if (p->role == ROLE_EFFECT || p->role == ROLE_ANSWER) {
        if (p->floor > p->greatest) {
            order_wrong(w->v, w->highest, p);
        }
    } else if (p->role == ROLE_FINAL && w->highest_effect != NULL &&
               w->highest_effect->least > p->greatest) {
        order_wrong(w->v, w->highest_effect, p);
    }
}

static void walk_end(struct walk *w, const struct positioned *p)
{
    bool is_effect = p->role == ROLE_EFFECT;
    if ((is_effect || p->role == ROLE_ANSWER) &&
        (w->highest == NULL || p->least > w->highest->least)) {
        w->highest = p;
    }
    if (is_effect && (w->highest_effect == NULL || p->least > w->highest_effect->least)) {
        w->highest_effect = p;
    }
}

static void walk(struct walk *w, size_t n)
{
    struct point *points = calloc(2 * n + 1, sizeof *points);
    PC_ASSERT(points != NULL);
    size_t points_n = 0;
    for (size_t i = 0; i < n; i++) {
        points[points_n++] = (struct point){.at_us = w->all[i].op->t0_us, .number = i};
        if (w->all[i].end_us != LIN_NEVER) {
            points[points_n++] =
                (struct point){.at_us = w->all[i].end_us, .number = i, .is_end = true};
        }
    }
    qsort(points, points_n, sizeof *points, by_time);
    for (size_t i = 0; i < points_n; i++) {
        struct positioned *p = &w->all[points[i].number];
        if (points[i].is_end) {
            walk_end(w, p);
        } else {
            walk_begin(w, p);
        }
    }
    free(points);
}

/* ---- places for what nobody has seen */
static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return ORDER(*x, *y);
}

static int by_index(const void *a, const void *b)
{
    const struct lin_place *x = a, *y = b;
    return ORDER(x->index, y->index);
}

/* An operation of unknown outcome can take any place above its floor: the one with the lowest floor
 * is given the lowest place. */
static void places_check(struct lin_versions *v, struct lin_places *places, enum lin_kind kind,
    const struct positioned *all, size_t n)
{
    uint64_t *floors = calloc(n + 1, sizeof *floors);
    PC_ASSERT(floors != NULL);
    size_t floors_n = 0;
    for (size_t i = 0; i < n; i++) {
        if (all[i].role == ROLE_UNSEEN && all[i].op->kind == kind) {
            floors[floors_n++] = all[i].floor;
        }
    }
    qsort(floors, floors_n, sizeof *floors, by_number);
    if (places->n > 0) {
        qsort(places->v, places->n, sizeof *places->v, by_index);
    }
    for (size_t i = 0; i < places->n; i++) {
        if (i >= floors_n || floors[i] >= EFFECT_AT(places->v[i].index)) {
            lin_violation_add(v->key->report,
                kind == LIN_DELETE ? LIN_RULE_LOST : LIN_RULE_DUPLICATE, places->v[i].because, NULL,
                NULL, "it needs more unknown %ss before index %" PRIu64 " than there can have been",
                lin_kind_text(kind), places->v[i].index + 1);
            break;
        }
    }
    free(floors);
}

void lin_order_check(struct lin_versions *v)
{
    struct positioned *all = calloc(v->key->n + 1, sizeof *all);
    PC_ASSERT(all != NULL);
    for (size_t i = 0; i < v->key->n; i++) {
        all[i] = position_of(v, &v->key->op[i]);
    }
    struct walk w = {.v = v, .all = all};
    walk(&w, v->key->n);
    if (v->deletes.n > 0 && v->incrs.n > 0) {
        lin_undecided(v, "unseen deletes and unseen increments at once");
    } else {
        places_check(v, &v->deletes, LIN_DELETE, all, v->key->n);
        places_check(v, &v->incrs, LIN_INCR, all, v->key->n);
    }
    free(all);
}
