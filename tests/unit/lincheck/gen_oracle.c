/* All orders, by brute force. Nothing of this is shared with the checkers: versions that nobody
 * told are tried one after the other instead of being bounded, and no state is remembered. */
#include "gen_history.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define OPS_MAX 12

struct oracle {
    const struct lin_history *h;
    uint64_t version_max;
    bool is_placed[OPS_MAX];
};

struct world {
    bool is_present;
    const struct lin_op *writer; /* of what stands there */
    uint64_t version, last;      /* of what stands there; the greatest index so far */
    int64_t sum;
};

static bool is_required(const struct lin_op *op)
{
    return op->status == LIN_OK || op->is_refused;
}

static bool is_due(const struct world *w, const struct lin_op *op)
{
    return w->is_present && w->writer->ttl_ms != 0 &&
           (op->status == LIN_INFO || op->t1_us >= w->writer->t0_us + w->writer->ttl_ms * 1000);
}

/* Everything that ended before this one began has been placed. */
static bool is_next(const struct oracle *o, size_t number)
{
    const struct lin_op *op = &o->h->op[number];
    for (size_t i = 0; i < o->h->n; i++) {
        const struct lin_op *before = &o->h->op[i];
        if (!o->is_placed[i] && is_required(before) && before->t1_us < op->t0_us) {
            return false;
        }
    }
    return !o->is_placed[number] &&
           (is_required(op) || (op->status == LIN_INFO && op->kind != LIN_GET));
}

static bool explain(struct oracle *o, struct world w);

static bool place(struct oracle *o, size_t number, struct world w)
{
    o->is_placed[number] = true;
    bool is_found = explain(o, w);
    o->is_placed[number] = false;
    return is_found;
}

static bool place_answer(struct oracle *o, size_t number, struct world w)
{
    const struct lin_op *op = &o->h->op[number];
    if (op->index != 0) {
        if (op->index < w.last) {
            return false;
        }
        w.last = op->index;
    }
    return place(o, number, w);
}

static bool place_get(struct oracle *o, size_t number, struct world w)
{
    const struct lin_op *op = &o->h->op[number];
    const char *text = lin_history_text(o->h, op->value);
    if (op->value == 0) {
        if (w.is_present && !is_due(&w, op)) {
            return false;
        }
        w.last += w.is_present ? 1 : 0; /* it went with an entry of its own */
        w.is_present = false;
        return place_answer(o, number, w);
    }
    if (!w.is_present || (op->version != 0 && op->version != w.version)) {
        return false;
    }
    bool is_same = w.writer->kind == LIN_INCR ? strtoll(text, NULL, 10) == w.sum
                                              : w.writer->value == op->value;
    return is_same && place_answer(o, number, w);
}

/* The sum behind an increment; false when what stands there is no number. */
static bool sum_after(const struct oracle *o, const struct lin_op *op, struct world *w)
{
    int64_t base = 0;
    if (w->is_present && w->writer->kind == LIN_INCR) {
        base = w->sum;
    } else if (w->is_present) {
        const char *text = lin_history_text(o->h, w->writer->value);
        char *end;
        base = strtoll(text, &end, 10);
        if (end == text || *end != '\0') {
            return false;
        }
    }
    w->sum = base + op->delta;
    return op->value == 0 || op->status != LIN_OK ||
           strtoll(lin_history_text(o->h, op->value), NULL, 10) == w->sum;
}

static bool place_effect(struct oracle *o, size_t number, struct world w)
{
    const struct lin_op *op = &o->h->op[number];
    if (op->kind == LIN_CAS && op->expect == 0 && w.is_present && !is_due(&w, op)) {
        return false;
    }
    if (op->kind == LIN_CAS && op->expect != 0 && (!w.is_present || w.version != op->expect)) {
        return false;
    }
    if (op->kind == LIN_INCR && !sum_after(o, op, &w)) {
        return false;
    }
    uint64_t from = op->version != 0 ? op->version : w.last + 1;
    uint64_t to = op->version != 0 ? op->version : o->version_max;
    w.is_present = op->kind != LIN_DELETE;
    w.writer = op;
    uint64_t last = w.last;
    for (uint64_t version = from; version <= to; version++) {
        w.version = w.last = version;
        if (version > last && place(o, number, w)) {
            return true;
        }
    }
    return false;
}

static bool place_refusal(struct oracle *o, size_t number, struct world w)
{
    const struct lin_op *op = &o->h->op[number];
    bool is_met = op->expect == 0 ? !w.is_present : w.is_present && w.version == op->expect;
    if (is_met && op->expect != 0 && is_due(&w, op)) {
        w.last++;
        w.is_present = is_met = false;
    }
    return !is_met && place_answer(o, number, w);
}

static bool explain(struct oracle *o, struct world w)
{
    bool is_whole = true;
    for (size_t i = 0; i < o->h->n; i++) {
        const struct lin_op *op = &o->h->op[i];
        is_whole = is_whole && (o->is_placed[i] || !is_required(op));
        if (!is_next(o, i)) {
            continue;
        }
        bool is_found = op->is_refused        ? place_refusal(o, i, w)
                        : op->kind == LIN_GET ? place_get(o, i, w)
                                              : place_effect(o, i, w);
        if (is_found) {
            return true;
        }
    }
    return is_whole;
}

bool gen_oracle(const struct lin_history *h, uint64_t version_max)
{
    struct oracle o = {.h = h, .version_max = version_max};
    PC_ASSERT(h->n <= OPS_MAX);
    return explain(&o, (struct world){.is_present = false});
}
