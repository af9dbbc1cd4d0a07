/* Is there an order? (J. M. Wing and C. Gong 1993, with the memory of G. Lowe 2017.)
 *
 * Beginnings and ends of the operations stand in a list by time. Whatever begins before the first
 * end may come next in the order: it is tried, taken out of the list, and the search goes on behind
 * it; where an end is reached whose operation has not been placed, the last choice was wrong. A
 * pair of (set of placed operations, state) that was met before need not be tried again: it is
 * remembered by a hash of 128 bits, to which the memory of all sets would not fit.
 *
 * Operations of unknown outcome have a beginning and no end: they may be placed late, or never. */
#include "lincheck/check_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define ORDER(a, b) (((a) > (b)) - ((a) < (b)))

struct entry {
    uint64_t at_us;
    const struct lin_op *op;
    struct entry *before, *next; /* in the list */
    struct entry *end;           /* of a beginning; NULL: none */
    bool is_end;
};

struct choice {
    struct entry *entry;
    struct lin_state state; /* before it */
};

struct hash {
    uint64_t a, b;
};

struct search {
    const struct lin_key *key;
    struct entry *entry; /* [0] is the head of the list */
    size_t entries_n;
    size_t *rank;        /* of each operation: place among acknowledged effects by version, + 1 */
    size_t placed_ranks; /* how many of those have been placed */
    struct choice *choice;
    size_t choices_n, required_left;
    struct lin_state state;
    struct hash set; /* of the operations placed */
    struct hash *memory;
    size_t memory_n, memory_size;
    size_t deepest;
    struct lin_violation *violation;
};

/* ---- memory */
static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static struct hash hash_of_op(const struct search *s, const struct lin_op *op)
{
    uint64_t number = (uint64_t)(op - s->key->op) + 1;
    return (struct hash){mix(number * 0x9e3779b97f4a7c15u), mix(number * 0xd1342543de82ef95u + 1)};
}

static void toggle(struct search *s, const struct lin_op *op)
{
    struct hash h = hash_of_op(s, op);
    s->set.a ^= h.a;
    s->set.b ^= h.b;
}

static struct hash hash_of(const struct search *s)
{
    const uint64_t words[] = {s->state.version, s->state.low, s->state.least, s->state.most,
        (uint64_t)s->state.number, s->state.writer, s->state.is_present};
    struct hash h = s->set;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        h.a = mix(h.a + 0x9e3779b97f4a7c15u + words[i]);
        h.b = mix(h.b * 3 + 0xa0761d6478bd642fu + words[i]);
    }
    h.a |= 1; /* 0 is a free slot */
    return h;
}

static struct hash *memory_find(const struct search *s, struct hash h)
{
    size_t at = h.a & (s->memory_size - 1);
    while (s->memory[at].a != 0 && (s->memory[at].a != h.a || s->memory[at].b != h.b)) {
        at = (at + 1) & (s->memory_size - 1);
    }
    return &s->memory[at];
}

static void memory_grow(struct search *s)
{
    struct hash *old = s->memory;
    size_t old_size = s->memory_size;
    s->memory_size = old_size == 0 ? 1024 : old_size * 2;
    s->memory = calloc(s->memory_size, sizeof *s->memory);
    PC_ASSERT(s->memory != NULL);
    for (size_t i = 0; i < old_size; i++) {
        if (old[i].a != 0) {
            *memory_find(s, old[i]) = old[i];
        }
    }
    free(old);
}

/* False when this set and state were met before. */
static bool memory_add(struct search *s)
{
    if (s->memory_n * 2 >= s->memory_size) {
        memory_grow(s);
    }
    struct hash h = hash_of(s), *slot = memory_find(s, h);
    if (slot->a != 0) {
        return false;
    }
    *slot = h;
    s->memory_n++;
    return true;
}

/* ---- list */
static bool is_searched(const struct lin_op *op)
{
    if (op->kind == LIN_GET) {
        return op->status == LIN_OK && !op->is_local;
    }
    return op->status != LIN_FAIL || op->is_refused;
}

static int by_time(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int order = ORDER(x->at_us, y->at_us);
    order = order != 0 ? order : x->is_end - y->is_end;
    return order != 0 ? order : ORDER(x->op, y->op);
}

static void list_link(struct search *s)
{
    struct entry **begin = calloc(s->key->n + 1, sizeof *begin);
    PC_ASSERT(begin != NULL);
    for (size_t i = 1; i < s->entries_n; i++) {
        struct entry *e = &s->entry[i];
        e->before = e - 1;
        e[-1].next = e;
        if (e->is_end) {
            begin[e->op - s->key->op]->end = e;
        } else {
            begin[e->op - s->key->op] = e;
        }
    }
    free(begin);
}

static void list_build(struct search *s)
{
    s->entry = calloc(2 * s->key->n + 1, sizeof *s->entry);
    PC_ASSERT(s->entry != NULL);
    s->entries_n = 1;
    for (size_t i = 0; i < s->key->n; i++) {
        const struct lin_op *op = &s->key->op[i];
        if (!is_searched(op)) {
            continue;
        }
        s->entry[s->entries_n++] = (struct entry){.at_us = op->t0_us, .op = op};
        if (op->status != LIN_INFO) {
            s->entry[s->entries_n++] = (struct entry){.at_us = op->t1_us, .op = op, .is_end = true};
            s->required_left++;
        }
    }
    qsort(s->entry + 1, s->entries_n - 1, sizeof *s->entry, by_time);
    list_link(s);
}

static void take_out(struct entry *e)
{
    e->before->next = e->next;
    if (e->next != NULL) {
        e->next->before = e->before;
    }
}

static void put_back(struct entry *e)
{
    e->before->next = e;
    if (e->next != NULL) {
        e->next->before = e;
    }
}

/* ---- effects in order of version: any other order of them is hopeless */
static int by_version(const void *a, const void *b)
{
    const struct lin_op *x = *(const struct lin_op *const *)a,
                        *y = *(const struct lin_op *const *)b;
    return ORDER(x->version, y->version);
}

static void ranks_build(struct search *s)
{
    const struct lin_op **effects = calloc(s->key->n + 1, sizeof *effects);
    s->rank = calloc(s->key->n + 1, sizeof *s->rank);
    PC_ASSERT(effects != NULL && s->rank != NULL);
    size_t n = 0;
    for (size_t i = 0; i < s->key->n; i++) {
        const struct lin_op *op = &s->key->op[i];
        if (lin_is_write(op) && op->status == LIN_OK && op->version != 0) {
            effects[n++] = op;
        }
    }
    qsort(effects, n, sizeof *effects, by_version);
    for (size_t i = 0; i < n; i++) {
        s->rank[effects[i] - s->key->op] = i + 1;
    }
    free(effects);
}

/* ---- the search */
static bool place(struct search *s, struct entry *e)
{
    struct lin_state after;
    size_t rank = s->rank[e->op - s->key->op];
    if ((rank != 0 && rank != s->placed_ranks + 1) ||
        !lin_model_step(s->key, e->op, &s->state, &after)) {
        return false;
    }
    struct lin_state before = s->state;
    toggle(s, e->op);
    s->state = after;
    if (!memory_add(s)) {
        toggle(s, e->op);
        s->state = before;
        return false;
    }
    s->choice[s->choices_n++] = (struct choice){.entry = e, .state = before};
    s->placed_ranks += rank != 0 ? 1 : 0;
    s->required_left -= e->end != NULL ? 1 : 0;
    take_out(e);
    if (e->end != NULL) {
        take_out(e->end);
    }
    return true;
}

static struct entry *take_back(struct search *s)
{
    struct choice *c = &s->choice[--s->choices_n];
    if (c->entry->end != NULL) {
        put_back(c->entry->end);
        s->required_left++;
    }
    put_back(c->entry);
    s->placed_ranks -= s->rank[c->entry->op - s->key->op] != 0 ? 1 : 0;
    toggle(s, c->entry->op);
    s->state = c->state;
    return c->entry;
}

/* The operation that could not be placed, where the search came farthest, is the best explanation
 * there is. */
static void remember_stuck(struct search *s, const struct entry *e)
{
    if (s->choices_n < s->deepest || e == NULL) {
        return;
    }
    s->deepest = s->choices_n;
    *s->violation = (struct lin_violation){.rule = LIN_RULE_NO_ORDER, .key = e->op->key};
    if (s->state.writer != 0) {
        s->violation->op[s->violation->ops_n++] = s->key->op[s->state.writer - 1];
    }
    s->violation->op[s->violation->ops_n++] = *e->op;
}

static enum lin_verdict search_run(struct search *s, uint64_t states_max)
{
    struct entry *e = s->entry[0].next;
    while (s->required_left > 0) {
        if (e != NULL && !e->is_end) {
            e = place(s, e) ? s->entry[0].next : e->next;
            if (s->memory_n > states_max) {
                return LIN_UNDECIDED;
            }
            continue;
        }
        remember_stuck(s, e);
        if (s->choices_n == 0) {
            return LIN_VIOLATION;
        }
        e = take_back(s)->next;
    }
    return LIN_GOOD;
}

enum lin_verdict lin_search(
    const struct lin_key *key, struct lin_violation *violation, uint64_t *states, char *why)
{
    struct search s = {.key = key, .violation = violation};
    *violation = (struct lin_violation){.rule = LIN_RULE_NO_ORDER};
    list_build(&s);
    ranks_build(&s);
    memory_grow(&s);
    s.choice = calloc(key->n + 1, sizeof *s.choice);
    PC_ASSERT(s.choice != NULL);
    enum lin_verdict verdict = search_run(&s, key->options->states_max);
    *states = s.memory_n;
    if (verdict == LIN_UNDECIDED) {
        (void)snprintf(why, LIN_WHY_MAX, "no answer after %" PRIu64 " states", *states);
    }
    free(s.entry);
    free(s.rank);
    free(s.choice);
    free(s.memory);
    return verdict;
}
