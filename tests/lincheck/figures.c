#include "lincheck/check_int.h"

#include <stdlib.h>

#include "pcache/assert.h"

static int by_number(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static uint64_t longest_gap(uint64_t *answers, size_t n, uint64_t end_us)
{
    uint64_t longest = 0;
    qsort(answers, n, sizeof *answers, by_number);
    for (size_t i = 0; i < n; i++) {
        uint64_t next = i + 1 < n ? answers[i + 1] : end_us;
        uint64_t gap = next > answers[i] ? next - answers[i] : 0;
        longest = gap > longest ? gap : longest;
    }
    return longest;
}

/* Local reads need no quorum: they would hide a gap. */
static bool counts_as(const struct lin_op *op, lin_text node, bool is_write)
{
    return op->status == LIN_OK && !op->is_final && !op->is_local && lin_is_write(op) == is_write &&
           (node == 0 || op->node == node);
}

static void gaps(
    const struct lin_history *h, struct lin_gaps *out, uint64_t *scratch, uint64_t end_us)
{
    for (int is_write = 0; is_write < 2; is_write++) {
        size_t n = 0;
        for (size_t i = 0; i < h->n; i++) {
            if (counts_as(&h->op[i], out->node, is_write == 1)) {
                scratch[n++] = h->op[i].t1_us;
            }
        }
        uint64_t gap = longest_gap(scratch, n, end_us);
        *(is_write == 1 ? &out->write_gap_us : &out->read_gap_us) = gap;
    }
}

static void count_op(const struct lin_op *op, struct lin_report *r)
{
    r->operations++;
    r->ok += op->status == LIN_OK ? 1 : 0;
    r->failed += op->status == LIN_FAIL ? 1 : 0;
    r->unknown += op->status == LIN_INFO ? 1 : 0;
    r->writes += lin_is_write(op) ? 1 : 0;
    r->reads += !lin_is_write(op) && !op->is_final ? 1 : 0;
    r->local_reads += op->is_local && !op->is_final ? 1 : 0;
    r->final_reads += op->is_final ? 1 : 0;
}

static void count_node(const struct lin_op *op, struct lin_report *r)
{
    size_t i = 0;
    while (i < r->nodes_n && r->node[i].node != op->node) {
        i++;
    }
    if (op->node == 0 || i == LIN_NODES_MAX) {
        return;
    }
    if (i == r->nodes_n) {
        r->node[r->nodes_n++] = (struct lin_gaps){.node = op->node};
    }
    r->node[i].operations++;
}

void lin_figures(const struct lin_history *h, struct lin_report *r)
{
    uint64_t end_us = 0;
    for (size_t i = 0; i < h->n; i++) {
        const struct lin_op *op = &h->op[i];
        count_op(op, r);
        count_node(op, r);
        end_us = !op->is_final && op->t1_us > end_us ? op->t1_us : end_us;
    }
    uint64_t *scratch = calloc(h->n + 1, sizeof *scratch);
    PC_ASSERT(scratch != NULL);
    r->all.operations = r->operations;
    gaps(h, &r->all, scratch, end_us);
    for (size_t i = 0; i < r->nodes_n; i++) {
        gaps(h, &r->node[i], scratch, end_us);
    }
    free(scratch);
}
