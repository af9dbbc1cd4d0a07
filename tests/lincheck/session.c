/* What one client sees of one node, and whether the final reading is whole.
 *
 * A session is one connection: it ends with the node's process, which may come back a little
 * behind. Within it the index that answers stand at never decreases, whatever the key; where
 * answers do not tell it, at least the version of each key never does. */
#include "lincheck/check_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "pcache/assert.h"

typedef int (*compare)(const void *, const void *);

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

static int by_session(const void *a, const void *b)
{
    const struct lin_op *x = *(const struct lin_op *const *)a,
                        *y = *(const struct lin_op *const *)b;
    int order = ORDER(x->client, y->client);
    order = order != 0 ? order : ORDER(x->node, y->node);
    order = order != 0 ? order : ORDER(x->session, y->session);
    return order != 0 ? order : ORDER(x->t0_us, y->t0_us);
}

static int by_session_and_key(const void *a, const void *b)
{
    const struct lin_op *x = *(const struct lin_op *const *)a,
                        *y = *(const struct lin_op *const *)b;
    int order = ORDER(x->client, y->client);
    order = order != 0 ? order : ORDER(x->node, y->node);
    order = order != 0 ? order : ORDER(x->session, y->session);
    order = order != 0 ? order : ORDER(x->key, y->key);
    return order != 0 ? order : ORDER(x->t0_us, y->t0_us);
}

static bool is_same_session(const struct lin_op *a, const struct lin_op *b)
{
    return a->client == b->client && a->node == b->node && a->session == b->session;
}

/* The answered reads of the history, sorted. */
static const struct lin_op **reads_sorted(const struct lin_history *h, compare order, size_t *n)
{
    const struct lin_op **reads = calloc(h->n + 1, sizeof *reads);
    PC_ASSERT(reads != NULL);
    *n = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (lin_is_ok_get(&h->op[i])) {
            reads[(*n)++] = &h->op[i];
        }
    }
    qsort(reads, *n, sizeof *reads, order);
    return reads;
}

static void indexes_check(const struct lin_history *h, struct lin_report *report)
{
    size_t n;
    const struct lin_op **reads = reads_sorted(h, by_session, &n);
    const struct lin_op *highest = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct lin_op *op = reads[i];
        if (highest != NULL && !is_same_session(highest, op)) {
            highest = NULL;
        }
        if (highest != NULL && op->index != 0 && op->index < highest->index &&
            highest->t1_us <= op->t0_us) {
            lin_violation_add(report, LIN_RULE_BACKWARDS, highest, op, NULL,
                "the node stood at index %" PRIu64 " and then at %" PRIu64, highest->index,
                op->index);
        }
        highest = highest == NULL || op->index > highest->index ? op : highest;
    }
    free(reads);
}

static void versions_check(const struct lin_history *h, struct lin_report *report)
{
    size_t n;
    const struct lin_op **reads = reads_sorted(h, by_session_and_key, &n);
    const struct lin_op *highest = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct lin_op *op = reads[i];
        if (highest != NULL && (!is_same_session(highest, op) || highest->key != op->key)) {
            highest = NULL;
        }
        bool is_told = highest != NULL && highest->index != 0 && op->index != 0;
        if (highest != NULL && !is_told && op->version != 0 && op->version < highest->version &&
            highest->t1_us <= op->t0_us) {
            lin_violation_add(report, LIN_RULE_BACKWARDS, highest, op, NULL,
                "the node showed version %" PRIu64 " and then %" PRIu64, highest->version,
                op->version);
        }
        highest = highest == NULL || op->version > highest->version ? op : highest;
    }
    free(reads);
}

void lin_sessions_check(const struct lin_history *h, struct lin_report *report)
{
    indexes_check(h, report);
    versions_check(h, report);
}

/* ---- final reads */
static int by_key_and_node(const void *a, const void *b)
{
    const struct lin_op *x = *(const struct lin_op *const *)a,
                        *y = *(const struct lin_op *const *)b;
    int order = ORDER(x->key, y->key);
    return order != 0 ? order : ORDER(x->node, y->node);
}

static int by_text(const void *a, const void *b)
{
    const lin_text *x = a, *y = b;
    return ORDER(*x, *y);
}

static const struct lin_op *write_find(const struct lin_history *h, lin_text key)
{
    for (size_t i = 0; i < h->n; i++) {
        if (h->op[i].key == key && lin_is_write(&h->op[i]) && h->op[i].status == LIN_OK) {
            return &h->op[i];
        }
    }
    return NULL;
}

/* Keys with an acknowledged write, each once, sorted. */
static lin_text *keys_written(const struct lin_history *h, size_t *n)
{
    size_t all = 0;
    lin_text *keys = calloc(h->n + 1, sizeof *keys);
    PC_ASSERT(keys != NULL);
    for (size_t i = 0; i < h->n; i++) {
        if (lin_is_write(&h->op[i]) && h->op[i].status == LIN_OK) {
            keys[all++] = h->op[i].key;
        }
    }
    qsort(keys, all, sizeof *keys, by_text);
    *n = 0;
    for (size_t i = 0; i < all; i++) {
        if (*n == 0 || keys[*n - 1] != keys[i]) {
            keys[(*n)++] = keys[i];
        }
    }
    return keys;
}

static bool text_add(lin_text *texts, size_t *n, size_t max, lin_text text)
{
    for (size_t i = 0; i < *n; i++) {
        if (texts[i] == text) {
            return true;
        }
    }
    if (*n == max) {
        return false;
    }
    texts[(*n)++] = text;
    return true;
}

static void key_read_check(const struct lin_history *h, struct lin_report *report, lin_text key,
    const lin_text *nodes, size_t nodes_n, const struct lin_op *const *read, size_t reads_n)
{
    for (size_t i = 0; i < nodes_n; i++) {
        size_t r = 0;
        while (r < reads_n && read[r]->node != nodes[i]) {
            r++;
        }
        if (r == reads_n) {
            bool is_kept = report->violations_n < LIN_VIOLATIONS_KEPT;
            lin_violation_add(report, LIN_RULE_UNREAD, is_kept ? write_find(h, key) : NULL, NULL,
                NULL, "node %s gave no answer for it at the end", lin_history_text(h, nodes[i]));
        }
    }
}

/* Of every node that the history names, provided that there was a final reading at all. */
void lin_finals_check(const struct lin_history *h, struct lin_report *report)
{
    lin_text nodes[LIN_NODES_MAX];
    size_t nodes_n = 0, keys_n, reads_n = 0, at = 0;
    bool is_final = false;
    const struct lin_op **reads = calloc(h->n + 1, sizeof *reads);
    PC_ASSERT(reads != NULL);
    for (size_t i = 0; i < h->n; i++) {
        if (h->op[i].node != 0) {
            (void)text_add(nodes, &nodes_n, LIN_NODES_MAX, h->op[i].node);
        }
        is_final = is_final || h->op[i].is_final;
        if (h->op[i].is_final && h->op[i].status == LIN_OK) {
            reads[reads_n++] = &h->op[i];
        }
    }
    qsort(reads, reads_n, sizeof *reads, by_key_and_node);
    lin_text *keys = keys_written(h, &keys_n);
    for (size_t i = 0; is_final && i < keys_n; i++) {
        while (at < reads_n && reads[at]->key < keys[i]) {
            at++;
        }
        size_t from = at;
        while (at < reads_n && reads[at]->key == keys[i]) {
            at++;
        }
        key_read_check(h, report, keys[i], nodes, nodes_n, reads + from, at - from);
    }
    free(keys);
    free(reads);
}
