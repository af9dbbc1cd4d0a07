/* sim_jobs.h: seeds shared out to several processes. */
#ifndef PC_SIM_JOBS_H
#define PC_SIM_JOBS_H

#include "sim/sim.h"

#define SIM_JOBS_MAX 64

struct sim_jobs {
    uint64_t from, count;
    size_t processes; /* 1..SIM_JOBS_MAX */
    /* Runs a seed and adds to `total`; prints what failed. Returns 0, or the exit status. */
    int (*run)(void *arg, uint64_t seed, struct pc_sim_stats *total);
    bool (*is_over)(void *arg); /* asked before each seed: is the time up? */
    void *arg;
};

/* Runs the seeds in order, up to the first that fails: all before it have been run, whatever the
 * number of processes. One process: in this one. What the failing seed printed is printed. Sets
 * *done to the number of seeds from `from` on that were run, the failing one the last. Returns 0,
 * or the status of the seed that failed; 1 when its process died. */
int sim_jobs_run(const struct sim_jobs *jobs, struct pc_sim_stats *total, uint64_t *done);

#endif
