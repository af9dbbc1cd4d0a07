/* check_int.h: what the parts of the checker share.
 *
 *   check.c      a history key by key; which checker decides
 *   requests.c   lines of one request id become one operation
 *   versions.c   effects by version, and what reads say about them
 *   counter.c    sums of increments
 *   order.c      positions against real time; places for what nobody has seen
 *   model.c      a register with its log index: what one operation does to it
 *   search.c     the bounded search for an order
 *   log.c        what all keys share: indexes, and time
 *   session.c    what one client sees of one node; final reads
 *   figures.c    counts and gaps
 *   explain.c    violations as text */
#ifndef PC_LIN_CHECK_INT_H
#define PC_LIN_CHECK_INT_H

#include "lincheck/check.h"

/* The operations of one key, by t0, one per request. */
struct lin_key {
    const struct lin_history *h;
    const struct lin_options *options;
    struct lin_report *report;
    struct lin_op *op;
    size_t n;
};

#define LIN_NEVER UINT64_MAX

/* ---- explain.c */
/* Counts a violation and keeps the first ones. Any of the operations may be NULL. */
__attribute__((format(printf, 6, 7))) void lin_violation_add(struct lin_report *report,
    enum lin_rule rule, const struct lin_op *a, const struct lin_op *b, const struct lin_op *c,
    const char *format, ...);

/* ---- requests.c */
void lin_requests_merge(struct lin_key *key);

/* ---- versions.c */
#define LIN_WHY_MAX 200
/* `why` (of LIN_WHY_MAX bytes) is filled in for LIN_UNDECIDED. Counts its violations itself. */
enum lin_verdict lin_versions_check(struct lin_key *key, char *why);

/* A change of the key at a known log index. */
struct lin_effect {
    uint64_t version;
    const struct lin_op *op; /* is_anonymous: any of the unknown increments */
    bool is_anonymous;       /* a read showed a sum that one of several increments made */
    bool has_number;
    int64_t number; /* that stands there afterwards, if it is one */
    /* Greatest index at which an answer still found it. */
    uint64_t seen_to;
    const struct lin_op *seen_by;
    /* Least index at which an answer no longer found it, though nothing known came after it; 0 =
     * none. `taken`: and its time to live was not over. */
    uint64_t gone_at, taken_at;
    uint64_t missing_to; /* greatest such index, also behind a delete */
    const struct lin_op *gone_by, *taken_by;
};

/* Some unknown operation must have happened, at this index or before. */
struct lin_place {
    uint64_t index;
    const struct lin_op *because;
};
struct lin_places {
    struct lin_place *v;
    size_t n, cap;
};

/* One key on its way through the check by versions. */
struct lin_versions {
    struct lin_key *key;
    struct lin_effect *effect; /* by version */
    uint64_t empty_to;         /* greatest index at which nothing stood there, before all effects */
    size_t n, cap;
    const struct lin_op **by_value; /* writes of values */
    size_t by_value_n;
    uint64_t *shown_at;          /* of each operation: version at which an unknown write was seen */
    size_t unseen[LIN_INCR + 1]; /* unknown writes of each kind that were not */
    bool is_unseen_ttl;          /* one of them with a ttl */
    bool can_vanish;             /* somebody may have removed the key, or its time may be over */
    struct lin_places deletes, incrs; /* that must have happened unseen */
    char *why;
    bool is_undecided;
};
__attribute__((format(printf, 2, 3))) void lin_undecided(
    struct lin_versions *v, const char *format, ...);
/* NULL when there is none. */
struct lin_effect *lin_effect_find(const struct lin_versions *v, uint64_t version);
/* The last one at or before an index. */
struct lin_effect *lin_effect_at(const struct lin_versions *v, uint64_t index);
void lin_place_add(struct lin_places *places, uint64_t index, const struct lin_op *because);

/* ---- counter.c, order.c */
void lin_counter_check(struct lin_versions *v);
void lin_order_check(struct lin_versions *v);

/* ---- model.c */
/* The key between two operations of an order. All bytes count: states are compared by their hash.
 */
struct lin_state {
    uint64_t version; /* of what stands there; 0 = nobody has said which */
    uint64_t low;     /* the next effect has a greater version */
    /* Of a version that nobody has said: it lies between, bounds included. `most`: LIN_NEVER = no
     * answer behind it has told its index yet. */
    uint64_t least, most;
    int64_t number;  /* of what stands there, when an increment left it */
    uint64_t writer; /* number of the operation that left it, + 1; 0 = none yet */
    uint64_t is_present;
};
/* Can the operation come next, with this answer? Then the state behind it. */
bool lin_model_step(const struct lin_key *key, const struct lin_op *op,
    const struct lin_state *before, struct lin_state *after);

/* ---- search.c */
/* The violation is left to the caller: op[0] could not be placed behind op[1] (ops_n: how many). */
enum lin_verdict lin_search(
    const struct lin_key *key, struct lin_violation *violation, uint64_t *states, char *why);

/* ---- session.c */
void lin_sessions_check(const struct lin_history *h, struct lin_report *report);
void lin_finals_check(const struct lin_history *h, struct lin_report *report);

/* ---- log.c */
void lin_log_check(
    const struct lin_history *h, const struct lin_options *options, struct lin_report *report);

/* ---- figures.c */
void lin_figures(const struct lin_history *h, struct lin_report *report);

/* ---- helpers */
static inline bool lin_is_write(const struct lin_op *op)
{
    return op->kind != LIN_GET;
}

static inline bool lin_is_ok_get(const struct lin_op *op)
{
    return op->kind == LIN_GET && op->status == LIN_OK;
}

/* When it had its effect at the latest. */
static inline uint64_t lin_end_us(const struct lin_op *op)
{
    return op->status == LIN_INFO ? LIN_NEVER : op->t1_us;
}

/* May what `write` left have passed its time to live when `by` had its effect? */
static inline bool lin_is_expirable(
    const struct lin_op *write, const struct lin_op *by, const struct lin_options *options)
{
    uint64_t early_us = options->ttl_early_ms * 1000;
    uint64_t due_us = write->t0_us + write->ttl_ms * 1000;
    return write->ttl_ms != 0 && lin_end_us(by) >= (due_us > early_us ? due_us - early_us : 0);
}

/* False when the text is no decimal number of at most 18 digits. */
bool lin_number_of(const char *text, int64_t *out);

#endif
