/* sim_kit.h: what tests of named histories of whole clusters share. */
#ifndef PC_SIM_KIT_H
#define PC_SIM_KIT_H

#include "sim/sim.h"
#include "support/test.h"

static inline void must_hold(const struct pc_sim *sim)
{
    if (pc_sim_failed(sim)) {
        pc_sim_print_timeline(sim, stdout);
        fail_msg("%s: %s", pc_sim_property_number(pc_sim_failure(sim)), pc_sim_failure_text(sim));
    }
}

static inline bool has_leader(struct pc_sim *sim, void *arg)
{
    (void)arg;
    return pc_sim_leader(sim) >= 0;
}

static inline void wait_for_leader(struct pc_sim *sim, uint64_t ms)
{
    bool found = pc_sim_run_until(sim, has_leader, NULL, ms);
    must_hold(sim);
    assert_true(found);
}

/* A calm cluster with a leader; which one is told, unless leader is NULL. */
static inline struct pc_sim *started_calm(uint64_t seed, size_t nodes_n, size_t *leader)
{
    struct pc_sim_params params;
    pc_sim_params_calm(&params, seed, nodes_n);
    struct pc_sim *sim = pc_sim_new(&params);
    for (size_t i = 0; i < nodes_n; i++) {
        pc_sim_start(sim, i);
    }
    wait_for_leader(sim, 4000);
    if (leader != NULL) {
        *leader = (size_t)pc_sim_leader(sim);
    }
    return sim;
}

static inline void finish(struct pc_sim *sim)
{
    pc_sim_heal(sim);
    must_hold(sim);
    pc_sim_delete(sim);
}

static inline bool op_done(struct pc_sim *sim, void *arg)
{
    return pc_sim_result(sim, *(uint64_t *)arg).done;
}

static inline struct pc_sim_op_result outcome(struct pc_sim *sim, uint64_t op)
{
    bool done = pc_sim_run_until(sim, op_done, &op, 6000);
    must_hold(sim);
    assert_true(done);
    return pc_sim_result(sim, op);
}

#endif
