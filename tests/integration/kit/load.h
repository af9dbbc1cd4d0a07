/* load.h: clients in the background that write and read through every node, remember what was
 * acknowledged, and check while they run and afterwards that nothing acknowledged is ever gone.
 *
 * Every key has one writer, which writes 1, 2, 3 ... and stops using the key as soon as the outcome
 * of a write is unknown. So at any time a linearizable read of a key may give exactly:
 *
 *   - not less than what was acknowledged, or read by anybody, before the read was sent;
 *   - not more than what was sent;
 *   - never a number that was refused ("not done"). */
#ifndef PC_IT_LOAD_H
#define PC_IT_LOAD_H

#include "integration/kit/cluster.h"
#include "integration/kit/history.h"

#define IT_LOAD_THREADS_MAX 32

struct it_load_opts {
    size_t threads;
    int timeout_ms; /* of a request; 0 = 6000, longer than any answer of a node takes */
    unsigned nodes; /* bit i = node i is used; 0 = all */
    bool writes_only;
    bool records; /* every request: it_load_history */
};

struct it_load_counts {
    uint64_t acked;   /* writes */
    uint64_t reads;   /* linearizable reads with an answer */
    uint64_t refused; /* not done: 503, 507, no connection */
    uint64_t unknown; /* 504, or no answer */
    uint64_t odd;     /* any other answer; always a mistake */
};

struct it_load;

struct it_load *it_load_start(struct it_cluster *c, const struct it_load_opts *opts);
/* From now on these nodes are used, bit i = node i, also such as were added since the start.
 * Returns when no request to another one is under way any more. */
void it_load_use(struct it_load *load, struct it_cluster *c, unsigned nodes);
/* Adds everything that was asked and answered to out. After it_load_stop. */
void it_load_history(const struct it_load *load, struct it_history *out);
void it_load_counts(struct it_load *load, struct it_load_counts *out);
/* Waits until `more` further writes have been acknowledged. */
void it_load_await(struct it_load *load, uint64_t more);
/* Ends the threads; fails the test when one of them saw a read that may not be. */
void it_load_stop(struct it_load *load, struct it_load_counts *out);
/* Reads every key from every running node and compares. After it_load_stop. */
void it_load_check(struct it_load *load, struct it_cluster *c);
/* Ends whatever load is left over from a failed test. */
void it_load_stop_all(void);

#endif
