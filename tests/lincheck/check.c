/* A history, key by key. Versions decide almost every key; the others are searched. */
#include "lincheck/check_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int by_key(const void *a, const void *b)
{
    const struct lin_op *x = a, *y = b;
    int order = ORDER(x->key, y->key);
    return order != 0 ? order : ORDER(x->t0_us, y->t0_us);
}

static void report_stuck(struct lin_report *report, const struct lin_violation *v)
{
    lin_violation_add(report, v->rule, v->ops_n > 0 ? &v->op[0] : NULL,
        v->ops_n > 1 ? &v->op[1] : NULL, NULL,
        "where the search came farthest, the last one could not be placed");
}

static void disagree(const struct lin_key *key, enum lin_verdict by_versions)
{
    lin_violation_add(key->report, LIN_RULE_DISAGREE, &key->op[0], NULL, NULL, "by versions: %s",
        by_versions == LIN_GOOD ? "good" : "a violation");
}

/* The search knows nothing of local reads. */
static bool has_local_reads(const struct lin_key *key)
{
    for (size_t i = 0; i < key->n; i++) {
        if (key->op[i].is_local) {
            return true;
        }
    }
    return false;
}

static enum lin_verdict search_key(struct lin_key *key, struct lin_violation *stuck, char *why)
{
    uint64_t states = 0;
    enum lin_verdict verdict = lin_search(key, stuck, &states, why);
    key->report->by_search++;
    key->report->states_most =
        states > key->report->states_most ? states : key->report->states_most;
    return verdict;
}

/* Versions and search; they must say the same as far as both say something. */
static enum lin_verdict judge(struct lin_key *key, char *why)
{
    struct lin_violation stuck;
    enum lin_verdict verdict = LIN_UNDECIDED;
    if (!key->options->is_search_only) {
        verdict = lin_versions_check(key, why);
    }
    if (verdict != LIN_UNDECIDED && !key->options->is_cross_check) {
        return verdict;
    }
    char why_not[LIN_WHY_MAX] = "";
    enum lin_verdict searched = search_key(key, &stuck, why_not);
    if (verdict == LIN_UNDECIDED) {
        if (searched == LIN_VIOLATION) {
            report_stuck(key->report, &stuck);
        }
        char both[LIN_WHY_MAX];
        (void)snprintf(
            both, sizeof both, "%.110s%s%.80s", why, why[0] != '\0' ? "; " : "", why_not);
        memcpy(why, both, sizeof both);
        return searched;
    }
    bool is_said_by_local = verdict == LIN_VIOLATION && has_local_reads(key);
    if (searched != LIN_UNDECIDED && searched != verdict && !is_said_by_local) {
        disagree(key, verdict);
    }
    return verdict;
}

static void check_key(struct lin_key *key)
{
    char why[LIN_WHY_MAX] = "";
    key->report->keys++;
    lin_requests_merge(key);
    if (judge(key, why) != LIN_UNDECIDED) {
        return;
    }
    if (key->report->undecided++ == 0) {
        (void)snprintf(key->report->undecided_why, sizeof key->report->undecided_why,
            "key \"%.48s\": %.140s", lin_history_text(key->h, key->op[0].key), why);
    }
}

enum lin_verdict lin_check(
    const struct lin_history *h, const struct lin_options *options, struct lin_report *report)
{
    memset(report, 0, sizeof *report);
    struct lin_op *ops = calloc(h->n + 1, sizeof *ops);
    PC_ASSERT(ops != NULL);
    if (h->n > 0) {
        memcpy(ops, h->op, h->n * sizeof *ops);
    }
    qsort(ops, h->n, sizeof *ops, by_key);
    for (size_t from = 0, to; from < h->n; from = to) {
        for (to = from + 1; to < h->n && ops[to].key == ops[from].key; to++) {
        }
        struct lin_key key = {
            .h = h, .options = options, .report = report, .op = ops + from, .n = to - from};
        check_key(&key);
    }
    free(ops);
    lin_log_check(h, options, report);
    lin_sessions_check(h, report);
    lin_finals_check(h, report);
    lin_figures(h, report);
    return report->violations > 0  ? LIN_VIOLATION
           : report->undecided > 0 ? LIN_UNDECIDED
                                   : LIN_GOOD;
}
