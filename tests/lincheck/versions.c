/* The check by versions, first half: which effects there were, in the order of the log, and whether
 * each answer fits the state of the key at the index it names.
 *
 *   effects     acknowledged writes, and unknown ones that an answer has shown
 *   marks       up to where each effect was still seen, from where on it was gone
 *   rest        compare-and-set, sums, real time (counter.c, order.c)
 *
 * An unknown write that no answer shows is taken not to have happened: that is always allowed,
 * because it need not have. The exceptions are a key that is gone although nobody is known to have
 * removed it, and sums: there an unknown delete or increment must have happened, at the latest at a
 * certain index, and order.c finds out whether there is one for each such place. */
#include "lincheck/check_int.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

void lin_undecided(struct lin_versions *v, const char *format, ...)
{
    if (!v->is_undecided) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(v->why, LIN_WHY_MAX, format, args);
        va_end(args);
    }
    v->is_undecided = true;
}

bool lin_number_of(const char *text, int64_t *out)
{
    size_t len = strlen(text), sign = text[0] == '-' ? 1 : 0;
    if (len == sign || len - sign > 18 || strspn(text + sign, "0123456789") != len - sign) {
        return false;
    }
    *out = strtoll(text, NULL, 10);
    return true;
}

static int by_version(const void *a, const void *b)
{
    const struct lin_effect *x = a, *y = b;
    return ORDER(x->version, y->version);
}

/* Number of effects with a version of at most `index`. */
static size_t effects_until(const struct lin_versions *v, uint64_t index)
{
    size_t low = 0, high = v->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->effect[middle].version <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct lin_effect *lin_effect_at(const struct lin_versions *v, uint64_t index)
{
    size_t n = effects_until(v, index);
    return n > 0 ? &v->effect[n - 1] : NULL;
}

struct lin_effect *lin_effect_find(const struct lin_versions *v, uint64_t version)
{
    struct lin_effect *e = lin_effect_at(v, version);
    return e != NULL && e->version == version ? e : NULL;
}

void lin_place_add(struct lin_places *places, uint64_t index, const struct lin_op *because)
{
    if (places->n == places->cap) {
        places->cap = places->cap * 2 + 16;
        places->v = realloc(places->v, places->cap * sizeof *places->v);
        PC_ASSERT(places->v != NULL);
    }
    places->v[places->n++] = (struct lin_place){.index = index, .because = because};
}

/* ---- effects */
static void effect_add(struct lin_versions *v, const struct lin_op *op, uint64_t version)
{
    PC_ASSERT(v->n < v->cap);
    v->effect[v->n++] =
        (struct lin_effect){.version = version, .op = op, .seen_to = version, .seen_by = op};
}

/* Sorts, and says which versions are there twice; one of the two is left out. */
static void effects_sort(struct lin_versions *v)
{
    size_t kept = 0;
    qsort(v->effect, v->n, sizeof *v->effect, by_version);
    for (size_t i = 0; i < v->n; i++) {
        if (kept > 0 && v->effect[kept - 1].version == v->effect[i].version) {
            lin_violation_add(v->key->report, LIN_RULE_VERSION_TWICE, v->effect[kept - 1].op,
                v->effect[i].op, NULL, "%s", "");
        } else {
            v->effect[kept++] = v->effect[i];
        }
    }
    v->n = kept;
}

static void effects_acknowledged(struct lin_versions *v)
{
    for (size_t i = 0; i < v->key->n; i++) {
        const struct lin_op *op = &v->key->op[i];
        if (!lin_is_write(op) || op->status != LIN_OK) {
            continue;
        }
        if (op->version == 0) {
            lin_undecided(v, "a write was acknowledged without its version");
        } else {
            effect_add(v, op, op->version);
        }
    }
    effects_sort(v);
}

static int by_value(const void *a, const void *b)
{
    const struct lin_op *x = *(const struct lin_op *const *)a,
                        *y = *(const struct lin_op *const *)b;
    return ORDER(x->value, y->value);
}

static void values_sort(struct lin_versions *v)
{
    for (size_t i = 0; i < v->key->n; i++) {
        const struct lin_op *op = &v->key->op[i];
        if (op->kind == LIN_PUT || op->kind == LIN_CAS) {
            v->by_value[v->by_value_n++] = op;
        }
    }
    qsort(v->by_value, v->by_value_n, sizeof *v->by_value, by_value);
}

/* ---- effects that only an answer shows */
/* Who may have written a value. */
struct writers {
    const struct lin_op *unknown, *shown, *done, *failed;
    size_t unknown_n;
};

static uint64_t *shown_at(const struct lin_versions *v, const struct lin_op *op)
{
    return &v->shown_at[op - v->key->op];
}

static struct writers writers_of(const struct lin_versions *v, lin_text value)
{
    struct writers w = {.unknown_n = 0};
    size_t low = 0, high = v->by_value_n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (v->by_value[middle]->value < value) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < v->by_value_n && v->by_value[low]->value == value; low++) {
        const struct lin_op *op = v->by_value[low];
        if (op->status == LIN_INFO && *shown_at(v, op) == 0) {
            w.unknown = op;
            w.unknown_n++;
        } else if (op->status == LIN_INFO) {
            w.shown = op;
        } else if (op->status == LIN_OK) {
            w.done = op;
        } else {
            w.failed = op;
        }
    }
    return w;
}

static const struct lin_op *unknown_incr(const struct lin_versions *v)
{
    for (size_t i = 0; i < v->key->n; i++) {
        if (v->key->op[i].kind == LIN_INCR && v->key->op[i].status == LIN_INFO) {
            return &v->key->op[i];
        }
    }
    return NULL;
}

static bool anonymous_add(struct lin_versions *v, const struct lin_op *read, int64_t number)
{
    const struct lin_op *incr = unknown_incr(v);
    if (incr == NULL) {
        return false;
    }
    effect_add(v, incr, read->version);
    struct lin_effect *e = &v->effect[v->n - 1];
    e->is_anonymous = e->has_number = true;
    e->number = number;
    lin_place_add(&v->incrs, read->version, read);
    return true;
}

/* A read gave a version that no acknowledged write has: whose is it? */
static void effect_reveal(struct lin_versions *v, const struct lin_op *read)
{
    struct lin_report *report = v->key->report;
    struct writers w = writers_of(v, read->value);
    int64_t number;
    if (w.unknown_n > 1) {
        lin_undecided(v, "several unknown writes have one value");
    } else if (w.unknown_n == 1) {
        *shown_at(v, w.unknown) = read->version;
        effect_add(v, w.unknown, read->version);
    } else if (w.shown != NULL) {
        lin_violation_add(report, LIN_RULE_DUPLICATE, w.shown, read, NULL,
            "its value was seen at version %" PRIu64 " as well", *shown_at(v, w.shown));
    } else if (w.done != NULL) {
        lin_violation_add(report, LIN_RULE_DUPLICATE, w.done, read, NULL,
            "its value is there at version %" PRIu64 " as well", read->version);
    } else if (lin_number_of(lin_history_text(v->key->h, read->value), &number) &&
               anonymous_add(v, read, number)) {
        return;
    } else {
        lin_violation_add(report, w.failed != NULL ? LIN_RULE_FAILED_SEEN : LIN_RULE_NEVER_WRITTEN,
            w.failed, read, NULL, "%s", "");
    }
}

static int by_version_read(const void *a, const void *b)
{
    const struct lin_op *x = *(const struct lin_op *const *)a,
                        *y = *(const struct lin_op *const *)b;
    int order = ORDER(x->version, y->version);
    return order != 0 ? order : ORDER(x->t0_us, y->t0_us);
}

static void effects_reveal(struct lin_versions *v)
{
    const struct lin_op **reads = calloc(v->key->n + 1, sizeof *reads);
    PC_ASSERT(reads != NULL);
    size_t n = 0, known_n = v->n;
    for (size_t i = 0; i < v->key->n; i++) {
        const struct lin_op *op = &v->key->op[i];
        if (lin_is_ok_get(op) && op->version != 0 && lin_effect_find(v, op->version) == NULL) {
            reads[n++] = op;
        } else if (lin_is_ok_get(op) && op->version == 0 && op->value != 0) {
            lin_undecided(v, "a read did not tell its version");
        }
    }
    qsort(reads, n, sizeof *reads, by_version_read);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || reads[i]->version != reads[i - 1]->version) {
            effect_reveal(v, reads[i]);
        }
    }
    free(reads);
    PC_ASSERT(v->n >= known_n);
    effects_sort(v);
}

static void unseen_count(struct lin_versions *v)
{
    for (size_t i = 0; i < v->key->n; i++) {
        const struct lin_op *op = &v->key->op[i];
        if (lin_is_write(op) && op->status == LIN_INFO && v->shown_at[i] == 0) {
            v->unseen[op->kind]++;
            v->is_unseen_ttl = v->is_unseen_ttl || op->ttl_ms != 0;
        }
    }
}

static size_t unseen_all(const struct lin_versions *v)
{
    return v->unseen[LIN_PUT] + v->unseen[LIN_CAS] + v->unseen[LIN_DELETE] + v->unseen[LIN_INCR];
}

/* ---- what answers say of effects */
static void mark_seen(struct lin_effect *e, uint64_t index, const struct lin_op *by)
{
    if (index > e->seen_to) {
        e->seen_to = index;
        e->seen_by = by;
    }
}

/* The effect was there no more: its time was over, or somebody took it away. */
static void mark_gone(
    struct lin_versions *v, struct lin_effect *e, uint64_t index, const struct lin_op *by)
{
    bool is_taken = !lin_is_expirable(e->op, by, v->key->options);
    /* What is due goes with the very entry; somebody else needs an entry before it. */
    uint64_t at = lin_is_write(by) && !by->is_refused && is_taken ? index - 1 : index;
    if (e->gone_at == 0 || at < e->gone_at) {
        e->gone_at = at;
        e->gone_by = by;
    }
    if (is_taken && (e->taken_at == 0 || at < e->taken_at)) {
        e->taken_at = at;
        e->taken_by = by;
    }
}

static bool is_value_right(
    const struct lin_versions *v, struct lin_effect *e, const struct lin_op *read)
{
    int64_t number = 0, told = 0;
    if (e->op->kind == LIN_DELETE) {
        return false;
    }
    if (e->op->kind != LIN_INCR) {
        return e->op->value == read->value;
    }
    if (!lin_number_of(lin_history_text(v->key->h, read->value), &number)) {
        return false;
    }
    if (!e->has_number) {
        bool is_told =
            e->op->value != 0 && lin_number_of(lin_history_text(v->key->h, e->op->value), &told);
        e->number = is_told ? told : number;
        e->has_number = true;
    }
    return e->number == number;
}

static void observe_value(struct lin_versions *v, const struct lin_op *read)
{
    struct lin_report *report = v->key->report;
    struct lin_effect *e = lin_effect_find(v, read->version);
    if (e == NULL) {
        return; /* a violation already, or undecided */
    }
    if (!is_value_right(v, e, read)) {
        lin_violation_add(report, LIN_RULE_WRONG_VALUE, e->op, read, NULL, "%s", "");
        return;
    }
    if (read->is_local && e->op->t0_us > read->t1_us) {
        lin_violation_add(report, LIN_RULE_FUTURE, read, e->op, NULL, "%s", "");
    }
    if (read->index != 0 && read->index < read->version) {
        lin_violation_add(report, LIN_RULE_FUTURE, e->op, read, NULL,
            "the answer stands at an index before the version it shows");
        return;
    }
    struct lin_effect *last = lin_effect_at(v, read->index);
    if (read->index != 0 && last != e) {
        lin_violation_add(report, LIN_RULE_LOST, last->op, read, NULL,
            "the node stood at index %" PRIu64 " and does not have version %" PRIu64, read->index,
            last->version);
        return;
    }
    mark_seen(e, read->index, read);
}

static bool can_vanish(const struct lin_versions *v)
{
    for (size_t i = 0; i < v->key->n; i++) {
        const struct lin_op *op = &v->key->op[i];
        if (lin_is_write(op) && op->status != LIN_FAIL &&
            (op->kind == LIN_DELETE || op->ttl_ms != 0)) {
            return true;
        }
    }
    return false;
}

static void observe_nothing(struct lin_versions *v, const struct lin_op *read)
{
    struct lin_effect *e = lin_effect_at(v, read->index);
    if (read->index == 0) {
        if (v->can_vanish) {
            lin_undecided(v, "a read found nothing and did not tell its index");
        }
    } else {
        uint64_t *to = e != NULL ? &e->missing_to : &v->empty_to;
        *to = read->index > *to ? read->index : *to;
        if (e != NULL && e->op->kind != LIN_DELETE) {
            mark_gone(v, e, read->index, read);
        }
    }
}

/* A compare-and-set for nothing took place: what stood there before was gone. */
static void observe_create(struct lin_versions *v, struct lin_effect *e)
{
    struct lin_effect *before = e > v->effect ? e - 1 : NULL;
    if (e->op->kind == LIN_CAS && e->op->expect == 0 && before != NULL &&
        before->op->kind != LIN_DELETE) {
        mark_gone(v, before, e->version, e->op);
    }
}

static void observe_refusal(struct lin_versions *v, const struct lin_op *op)
{
    if (op->index == 0) {
        lin_undecided(v, "a refused compare-and-set did not tell its index");
        return;
    }
    struct lin_effect *e = lin_effect_at(v, op->index);
    bool is_there =
        e != NULL && e->op->kind != LIN_DELETE && (e->gone_at == 0 || e->gone_at > op->index);
    if (op->expect == 0 && is_there) {
        mark_seen(e, op->index, op);
    }
    bool is_met = op->expect == 0 ? !is_there : is_there && e->version == op->expect;
    if (is_met && op->expect != 0 && lin_is_expirable(e->op, op, v->key->options)) {
        mark_gone(v, e, op->index, op);
        return;
    }
    if (is_met && unseen_all(v) > 0) {
        lin_undecided(v, "an unseen write may have made a compare-and-set fail");
    } else if (is_met) {
        lin_violation_add(v->key->report, LIN_RULE_CAS, e != NULL ? e->op : NULL, op, NULL,
            "refused although what it expects stood there");
    }
}

static void answers_observe(struct lin_versions *v)
{
    for (size_t i = 0; i < v->key->n; i++) {
        const struct lin_op *op = &v->key->op[i];
        if (lin_is_ok_get(op) && op->version != 0) {
            observe_value(v, op);
        } else if (lin_is_ok_get(op) && op->value == 0) {
            observe_nothing(v, op);
        }
    }
    for (size_t i = 0; i < v->n; i++) {
        observe_create(v, &v->effect[i]);
    }
    for (size_t i = 0; i < v->key->n; i++) {
        if (v->key->op[i].is_refused) {
            observe_refusal(v, &v->key->op[i]);
        }
    }
}

/* ---- judging the marks */
static void taken_judge(struct lin_versions *v, const struct lin_effect *e)
{
    if (v->unseen[LIN_DELETE] > 0) {
        lin_place_add(&v->deletes, e->taken_at, e->taken_by);
    } else if (v->is_unseen_ttl) {
        lin_undecided(v, "an unseen write with a ttl may have come and gone");
    } else {
        bool is_early = e->op->ttl_ms != 0;
        lin_violation_add(v->key->report, is_early ? LIN_RULE_EARLY : LIN_RULE_LOST, e->op,
            e->taken_by, NULL, "nobody removed it");
    }
}

static void marks_judge(struct lin_versions *v)
{
    for (size_t i = 0; i < v->n; i++) {
        const struct lin_effect *e = &v->effect[i];
        if (e->gone_at != 0 && e->gone_at <= e->seen_to) {
            lin_violation_add(v->key->report, e->taken_at != 0 ? LIN_RULE_LOST : LIN_RULE_STALE,
                e->op, e->gone_by, e->seen_by != e->op ? e->seen_by : NULL,
                "gone at index %" PRIu64 ", there at index %" PRIu64, e->gone_at, e->seen_to);
        } else if (e->taken_at != 0) {
            taken_judge(v, e);
        }
    }
}

static void cas_judge(struct lin_versions *v, const struct lin_effect *e)
{
    const struct lin_op *op = e->op;
    struct lin_effect *before = e > v->effect ? &v->effect[e - v->effect - 1] : NULL;
    if (op->expect == 0) {
        return; /* by its marks */
    }
    bool is_met = before != NULL && before->version == op->expect &&
                  before->op->kind != LIN_DELETE && before->gone_at == 0;
    if (!is_met && lin_effect_find(v, op->expect) == NULL && unseen_all(v) > 0) {
        lin_undecided(v, "a compare-and-set met a version that nobody saw");
    } else if (!is_met) {
        lin_violation_add(v->key->report, LIN_RULE_CAS, before != NULL ? before->op : NULL, op,
            before != NULL ? before->gone_by : NULL,
            "done although version %" PRIu64 " did not stand there", op->expect);
    }
}

static void versions_judge(struct lin_versions *v)
{
    values_sort(v);
    effects_reveal(v);
    unseen_count(v);
    v->can_vanish = can_vanish(v);
    answers_observe(v);
    marks_judge(v);
    for (size_t i = 0; i < v->n; i++) {
        if (v->effect[i].op->kind == LIN_CAS) {
            cas_judge(v, &v->effect[i]);
        }
    }
    lin_counter_check(v);
    lin_order_check(v);
}

enum lin_verdict lin_versions_check(struct lin_key *key, char *why)
{
    struct lin_versions v = {.key = key, .why = why, .cap = 2 * key->n + 1};
    uint64_t violations = key->report->violations;
    v.effect = calloc(v.cap, sizeof *v.effect);
    v.by_value = calloc(key->n + 1, sizeof *v.by_value);
    v.shown_at = calloc(key->n + 1, sizeof *v.shown_at);
    PC_ASSERT(v.effect != NULL && v.by_value != NULL && v.shown_at != NULL);
    effects_acknowledged(&v);
    /* With a hole among the effects everything else would be guessed. */
    if (!v.is_undecided) {
        versions_judge(&v);
    }
    free(v.effect);
    free(v.by_value);
    free(v.shown_at);
    free(v.deletes.v);
    free(v.incrs.v);
    return key->report->violations > violations ? LIN_VIOLATION
           : v.is_undecided                     ? LIN_UNDECIDED
                                                : LIN_GOOD;
}
