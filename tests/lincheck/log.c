/* What all keys share: one log, and its time.
 *
 *   fork    a log index is an entry, and an entry changes one key: two keys that name one index
 * mean two logs, however well each key fits on its own late    a value with a ttl that is still
 * shown long after its time
 *
 * Time stands still while nobody can write, and how long that was the record itself tells: from one
 * acknowledged write, of any key, to the next. A value may live longer by what lies within its
 * life. Behind the last write nothing is excused: the final reading judges a cluster that is whole.
 */
#include "lincheck/check_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "pcache/assert.h"

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))
#define OUTAGE_US_MIN 100000

/* ---- outages */
struct outages {
    uint64_t *at_us;    /* ends of acknowledged writes */
    uint64_t *until_us; /* length of all outages until then */
    size_t n;
};

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return ORDER(*x, *y);
}

static uint64_t outage(uint64_t from_us, uint64_t to_us)
{
    return to_us - from_us >= OUTAGE_US_MIN ? to_us - from_us : 0;
}

static void outages_create(struct outages *o, const struct lin_history *h)
{
    *o = (struct outages){.at_us = calloc(h->n + 1, sizeof *o->at_us),
        .until_us = calloc(h->n + 1, sizeof *o->until_us)};
    PC_ASSERT(o->at_us != NULL && o->until_us != NULL);
    for (size_t i = 0; i < h->n; i++) {
        if (lin_is_write(&h->op[i]) && h->op[i].status == LIN_OK) {
            o->at_us[o->n++] = h->op[i].t1_us;
        }
    }
    qsort(o->at_us, o->n, sizeof *o->at_us, by_number);
    for (size_t i = 1; i < o->n; i++) {
        o->until_us[i] = o->until_us[i - 1] + outage(o->at_us[i - 1], o->at_us[i]);
    }
}

static void outages_destroy(struct outages *o)
{
    free(o->at_us);
    free(o->until_us);
}

/* Length of all outages before that time. */
static uint64_t outages_before(const struct outages *o, uint64_t time_us)
{
    size_t low = 0, high = o->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (o->at_us[middle] <= time_us) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return 0;
    }
    bool is_within = low < o->n && outage(o->at_us[low - 1], o->at_us[low]) > 0;
    return o->until_us[low - 1] + (is_within ? time_us - o->at_us[low - 1] : 0);
}

/* ---- what was told of each index */
static int by_version(const void *a, const void *b)
{
    const struct lin_op *x = *(const struct lin_op *const *)a,
                        *y = *(const struct lin_op *const *)b;
    int order = ORDER(x->version, y->version);
    order = order != 0 ? order : ORDER(x->key, y->key);
    order = order != 0 ? order : ORDER(!lin_is_write(x), !lin_is_write(y));
    return order != 0 ? order : ORDER(x->t0_us, y->t0_us);
}

static void late_judge(const struct outages *o, const struct lin_options *options,
    struct lin_report *report, const struct lin_op *write, const struct lin_op *read)
{
    if (write->ttl_ms == 0 || read->is_local || lin_is_write(read) || read->value == 0) {
        return;
    }
    uint64_t before = outages_before(o, write->t1_us), until = outages_before(o, read->t0_us);
    uint64_t excused_us = until > before ? until - before : 0;
    uint64_t due_us = write->t1_us + write->ttl_ms * 1000;
    if (read->t0_us > due_us + excused_us + options->ttl_late_ms * 1000) {
        lin_violation_add(report, LIN_RULE_LATE, write, read, NULL,
            "there %" PRIu64 " ms after its time was over, of which %" PRIu64
            " ms without an acknowledged write",
            (read->t0_us - due_us) / 1000, excused_us / 1000);
    }
}

/* Whatever names an index: writes, which made it, before reads, which saw it. */
static const struct lin_op **told_collect(const struct lin_history *h, size_t *n)
{
    const struct lin_op **told = calloc(h->n + 1, sizeof *told);
    PC_ASSERT(told != NULL);
    *n = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (h->op[i].status == LIN_OK && h->op[i].version != 0) {
            told[(*n)++] = &h->op[i];
        }
    }
    qsort(told, *n, sizeof *told, by_version);
    return told;
}

void lin_log_check(
    const struct lin_history *h, const struct lin_options *options, struct lin_report *report)
{
    struct outages outages;
    size_t n;
    const struct lin_op **told = told_collect(h, &n), *first = NULL;
    outages_create(&outages, h);
    for (size_t i = 0; i < n; i++) {
        bool is_same = first != NULL && first->version == told[i]->version;
        if (is_same && first->key == told[i]->key) {
            if (lin_is_write(first)) {
                late_judge(&outages, options, report, first, told[i]);
            }
            continue;
        }
        if (is_same) {
            lin_violation_add(report, LIN_RULE_FORK, first, told[i], NULL,
                "the other key: \"%.48s\"", lin_history_text(h, first->key));
        }
        first = told[i];
    }
    outages_destroy(&outages);
    free(told);
}
