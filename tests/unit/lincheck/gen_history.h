/* gen_history.h: random histories that are right, ways to break them, and a judge that tries
 * everything. */
#ifndef PC_GEN_HISTORY_H
#define PC_GEN_HISTORY_H

#include "lincheck/check.h"
#include "pcache/prng.h"

#define GEN_CLIENTS_MAX 16
#define GEN_KEYS_MAX 8

enum gen_key_kind { GEN_REGISTER, GEN_COUNTER, GEN_TTL, GEN_KEY_KINDS_N };

struct gen_params {
    uint64_t seed;
    size_t ops_n;
    unsigned clients_n, keys_n;
    unsigned unknown_percent, fail_percent, local_percent, retry_percent;
    bool is_index_told, is_version_told;
    bool is_final;     /* ends with every key read on every node */
    bool is_one_kind;  /* all keys are of the kind that the seed picks */
    uint64_t pause_us; /* most time between two operations of a client, and within one */
};

/* A history that a register with a log did produce. Adds to h, which is empty. */
void gen_history(struct lin_history *h, const struct gen_params *params);

enum gen_break {
    GEN_STALE_READ,
    GEN_LOST_WRITE,
    GEN_VALUE_TWICE,
    GEN_ID_TWICE,
    GEN_SUM_TOO_MUCH,
    GEN_VERSIONS_SWAPPED,
    GEN_VERSION_TWICE,
    GEN_FUTURE_READ,
    GEN_WRONG_VALUE,
    GEN_CAS_WRONG,
    GEN_CAS_REFUSED_WRONG,
    GEN_FAILED_SEEN,
    GEN_GONE,
    GEN_EARLY,
    GEN_LOCAL_BACK,
    GEN_FINAL_OLD,
    GEN_FINAL_MISSING,
    GEN_BREAKS_N
};
const char *gen_break_text(enum gen_break kind);

/* Breaks a right history in this way, at a place of its choice. False when there is none; then h is
 * as it was. */
bool gen_break(struct lin_history *h, enum gen_break kind, struct pc_prng *prng);

/* Does any order explain the operations of one key? Tries all orders of all subsets of what is
 * unknown, and every version for what did not tell one. For a handful of operations without local
 * reads, with versions of at most `version_max`. */
bool gen_oracle(const struct lin_history *h, uint64_t version_max);

#endif
