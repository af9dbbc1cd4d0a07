/* One run, from the formed cluster to the last member that learns of the crash. */
#include "pcache/assert.h"
#include "swim/swimsim.h"

void swimsim_params_default(struct swimsim_params *params)
{
    *params = (struct swimsim_params){
        .members = 3, .seed = 1, .warm_ms = 5000, .calm_ms = 60000, .limit_ms = 120000};
    pc_swim_opts_default(&params->opts);
}

static void run_for(struct swimsim *sim, pc_ms ms)
{
    struct pc_instant until = pc_instant_add_ms(sim->now, ms);
    while (swimsim_turn(sim, until)) {
    }
}

static bool is_judge(const struct swimsim *sim, size_t i)
{
    return i != sim->victim && !sim->members[i].starved;
}

static size_t count_ignorant(const struct swimsim *sim)
{
    size_t n = 0;
    for (size_t i = 0; i < sim->n; i++) {
        n += is_judge(sim, i) && sim->known_at[i].us == 0;
    }
    return n;
}

static void sum_up(struct swimsim *sim, pc_ms limit)
{
    struct swimsim_result *result = sim->result;
    struct pc_instant first = PC_INSTANT_NEVER;
    struct pc_instant last = {0};
    for (size_t i = 0; i < sim->n; i++) {
        struct pc_instant at = sim->known_at[i];
        if (is_judge(sim, i) && at.us != 0) {
            first = pc_instant_min(first, at);
            last.us = at.us > last.us ? at.us : last.us;
        }
    }
    result->ignorant = count_ignorant(sim);
    result->first_ms = last.us != 0 ? pc_instant_ms_between(sim->crashed_at, first) : limit;
    result->all_ms = result->ignorant == 0 ? pc_instant_ms_between(sim->crashed_at, last) : limit;
    result->suspect_ms = sim->suspected_at.us != 0
                             ? pc_instant_ms_between(sim->crashed_at, sim->suspected_at)
                             : limit;
}

/* Neither a starved member, whose crash is no surprise, nor an end of the broken link. */
static size_t draw_victim(struct swimsim *sim)
{
    size_t healthy = sim->n - sim->params->starved;
    size_t first = sim->params->one_way && healthy > 2 ? 2 : 0;
    return first + (size_t)pc_prng_below(&sim->net, healthy - first);
}

void swimsim_run(const struct swimsim_params *params, struct swimsim_result *result)
{
    *result = (struct swimsim_result){0};
    struct swimsim sim;
    swimsim_create(&sim, params, result);
    struct pc_instant start = sim.now;
    run_for(&sim, params->warm_ms);
    sim.calm = true;
    run_for(&sim, params->calm_ms);
    sim.calm = false;
    result->calm_member_ms = params->calm_ms * sim.n;
    run_for(&sim, pc_prng_below(&sim.net, 10000)); /* in any phase of everybody's timers */
    result->member_ms = pc_instant_ms_between(start, sim.now) * sim.n;
    swimsim_crash(&sim, draw_victim(&sim));
    struct pc_instant until = pc_instant_add_ms(sim.now, params->limit_ms);
    while (count_ignorant(&sim) > 0 && sim.now.us < until.us) {
        run_for(&sim, 10);
    }
    sum_up(&sim, params->limit_ms);
    for (size_t i = 0; i < sim.n; i++) {
        if (sim.members[i].swim != NULL) {
            pc_swim_check(sim.members[i].swim);
        }
    }
    swimsim_destroy(&sim);
}
