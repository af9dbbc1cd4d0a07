/* history.h: a record of what clients asked and were answered, and what may be concluded from it.
 *
 * Every key has one writer, which writes 1, 2, 3 ... and leaves the key for good as soon as the
 * outcome of a write is unknown. A record can be judged after the fact, by somebody else than who
 * made it, and be kept as evidence: it is a text file with one line per operation. */
#ifndef PC_IT_HISTORY_H
#define PC_IT_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum it_op_kind { IT_WRITE = 'W', IT_READ = 'R' };

enum it_outcome {
    IT_DONE = '+',    /* acknowledged; of a read: answered */
    IT_REFUSED = '-', /* certainly not done */
    IT_UNKNOWN = '?', /* sent, and perhaps done */
};

struct it_op {
    uint64_t begin_us, end_us; /* since 1970 */
    uint32_t key;
    char kind, outcome; /* enum it_op_kind, enum it_outcome */
    int status;         /* HTTP, or one of client.h */
    uint64_t value;     /* written, or read; 0 = the key is missing */
    char node[16];      /* that answered; "-" = none, or the balancer itself */
};

struct it_history {
    struct it_op *op;
    size_t n, cap;
};

void it_history_add(struct it_history *h, const struct it_op *op);
void it_history_free(struct it_history *h);

/* Appends the operations to a file; false when the system refuses. */
bool it_history_write(const struct it_history *h, const char *path);
/* Adds the operations of a file to h; false, and `why` filled in, when it is not such a file. */
bool it_history_read(struct it_history *h, const char *path, char *why, size_t why_max);

/* Sorts h by time and judges every read: it must give
 *
 *   - not less than what was acknowledged, or read by anybody, before it began;
 *   - not more than what had been sent when it ended;
 *   - never what was refused.
 *
 * Returns how many reads may not be, and names the first one in `why`. */
size_t it_history_judge(struct it_history *h, char *why, size_t why_max);

/* What a read that begins after the end of the record may give. */
struct it_expect {
    uint32_t key;
    uint64_t least, most;
};
/* One element per key, sorted; the caller frees it. */
struct it_expect *it_history_expect(const struct it_history *h, size_t *count);
bool it_history_was_refused(const struct it_history *h, uint32_t key, uint64_t value);

#define IT_CALM_US 1000000
struct it_figures {
    uint64_t requests, acked, reads, refused, unknown;
    uint64_t gap_us;     /* longest time without an acknowledged write, from the first one on */
    uint64_t slowest_us; /* longest wait for any answer or failure */
    uint64_t trouble_us; /* longest time of trouble: from the beginning of a failed or slow request
                            to the end of the last one that began within IT_CALM_US after another */
};
/* A request is slow from `slow_us` on. h must be sorted: by it_history_judge. */
void it_history_figures(const struct it_history *h, uint64_t slow_us, struct it_figures *out);

#endif
