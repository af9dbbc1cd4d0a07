/* check.h: is a history linearizable, and did what was promised beside that hold?
 *
 * Every key is a register of its own and is judged for itself:
 *
 *   by versions   Effects are sorted by the log index at which they happened. If every answer says
 *                 at which index it stands, that order is the only possible one, and it has only to
 *                 be compared with real time: O(n log n). Unknown outcomes fall into place when a
 *                 read shows them. Says "undecided" when the answers leave the order open.
 *   by search     Looks for an order (Wing and Gong, with Lowe's memory of states seen), within a
 *                 bound of states. Used where versions do not decide.
 *
 * What is demanded of one key, beyond some order that a register can explain and that respects real
 * time: effects stand in that order by strictly growing log index, an answer that names the index
 * it stands at shows exactly the effects up to there, a request id has one effect, and what failed
 * has none. A value with a ttl may be gone when that time has passed since its request began, not
 * sooner; and a linearizable read that begins long after that time no longer shows it.
 *
 * Of all keys together: a log index has changed one key only.
 *
 * Local reads may be late, but never show what was not written yet, never what another answer says
 * differently of the same index, and never go back within a session. Final reads, local ones too,
 * show everything that was acknowledged before they began. */
#ifndef PC_LIN_CHECK_H
#define PC_LIN_CHECK_H

#include "lincheck/history.h"

enum lin_verdict { LIN_GOOD, LIN_VIOLATION, LIN_UNDECIDED };

#define LIN_RULE_LIST(X)                                                                           \
    X(STALE, "stale", "older than what was known before it began")                                 \
    X(LOST, "lost", "an acknowledged write is not there")                                          \
    X(DUPLICATE, "duplicate", "one request has had two effects")                                   \
    X(VERSION_TWICE, "version-twice", "two writes have one version")                               \
    X(ORDER, "order", "a write has a version below what was known before it began")                \
    X(FUTURE, "future", "read before it was written")                                              \
    X(NEVER_WRITTEN, "never-written", "nobody wrote what was read")                                \
    X(FAILED_SEEN, "failed-seen", "a write that was refused has had an effect")                    \
    X(WRONG_VALUE, "wrong-value", "not what was written at that version")                          \
    X(CAS, "cas", "a compare-and-set took the wrong branch")                                       \
    X(COUNTER, "counter", "the sum is wrong")                                                      \
    X(EARLY, "early", "gone before its time to live was over")                                     \
    X(LATE, "late", "still there long after its time to live was over")                            \
    X(FORK, "fork", "one log index has changed two keys")                                          \
    X(BACKWARDS, "backwards", "a node went back within a session")                                 \
    X(UNREAD, "unread", "a key was not read on a node at the end")                                 \
    X(NO_ORDER, "no-order", "no order of the operations explains the answers")                     \
    X(DISAGREE, "disagree", "the two checkers do not agree: one of them is wrong")

enum lin_rule {
#define LIN_RULE_ENUM(name, word, text) LIN_RULE_##name,
    LIN_RULE_LIST(LIN_RULE_ENUM)
#undef LIN_RULE_ENUM
        LIN_RULES_N
};
const char *lin_rule_word(enum lin_rule rule);
const char *lin_rule_text(enum lin_rule rule);

#define LIN_VIOLATIONS_KEPT 50
struct lin_violation {
    enum lin_rule rule;
    lin_text key;
    struct lin_op op[3]; /* that contradict each other, in the order to be read */
    size_t ops_n;
    char text[160];
};

/* Longest times without an answer, of the load (final reads do not count): from the first answer of
 * the kind to the end of the load. */
struct lin_gaps {
    lin_text node; /* 0 = all together */
    uint64_t operations, read_gap_us, write_gap_us;
};

#define LIN_NODES_MAX 64
struct lin_report {
    uint64_t operations, ok, failed, unknown, reads, local_reads, writes, final_reads, keys;
    uint64_t undecided;   /* keys */
    uint64_t by_search;   /* keys that versions did not decide */
    uint64_t states_most; /* of one search */
    uint64_t violations;  /* all of them */
    uint64_t count[LIN_RULES_N];
    struct lin_violation violation[LIN_VIOLATIONS_KEPT]; /* the first ones */
    size_t violations_n;
    char undecided_why[200]; /* of the first such key */
    struct lin_gaps all, node[LIN_NODES_MAX];
    size_t nodes_n;
};

struct lin_options {
    uint64_t states_max;   /* of the search of one key */
    uint64_t ttl_early_ms; /* how much too early an expiry is let pass */
    uint64_t ttl_late_ms;  /* how much too late, beside the time in which nothing was written */
    bool is_cross_check;   /* search every key, and compare */
    bool is_search_only;   /* do not look at versions first */
};
#define LIN_STATES_MAX 2000000
#define LIN_TTL_LATE_MS 3000

/* Judges the history. `report` is large: not for the stack of a thread. */
enum lin_verdict lin_check(
    const struct lin_history *h, const struct lin_options *options, struct lin_report *report);

/* The violation as lines for a human, the last without a newline. Cut when it does not fit. */
void lin_violation_format(
    const struct lin_history *h, const struct lin_violation *violation, char *out, size_t max);

#endif
