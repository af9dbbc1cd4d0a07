/* The order of everything: a binary heap by (time, order of scheduling). The second part makes two
 * events of one instant happen in the order in which they were asked for, on every machine. */
#include "sim/sim_int.h"

static bool queue_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_queue_push(struct sim_queue *queue, struct sim_event event)
{
    if (queue->n == queue->cap) {
        queue->cap = queue->cap == 0 ? 256 : queue->cap * 2;
        queue->v = pc_xrealloc(queue->v, queue->cap * sizeof *queue->v);
    }
    event.order = queue->order++;
    size_t at = queue->n++;
    while (at > 0 && queue_before(&event, &queue->v[(at - 1) / 2])) {
        queue->v[at] = queue->v[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->v[at] = event;
}

bool sim_queue_pop(struct sim_queue *queue, struct sim_event *out)
{
    if (queue->n == 0) {
        return false;
    }
    *out = queue->v[0];
    struct sim_event last = queue->v[--queue->n];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= queue->n) {
            break;
        }
        if (child + 1 < queue->n && queue_before(&queue->v[child + 1], &queue->v[child])) {
            child++;
        }
        if (!queue_before(&queue->v[child], &last)) {
            break;
        }
        queue->v[at] = queue->v[child];
        at = child;
    }
    if (queue->n > 0) {
        queue->v[at] = last;
    }
    return true;
}
