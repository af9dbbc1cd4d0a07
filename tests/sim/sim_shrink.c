/* A failing run made small: less time, fewer classes of faults, fewer nodes and clients, as long as
 * a property of the same kind breaks. Every class has dice of its own, so leaving one out changes
 * the others only by what no longer happens. */
#include "sim/sim_int.h"

#define STEP_MS 20

bool pc_sim_breaks(const struct pc_sim_params *params, enum pc_sim_property property)
{
    enum pc_sim_kind kind = pc_sim_property_kind(property);
    struct pc_sim *sim = pc_sim_new(params);
    pc_sim_run(sim);
    bool breaks = pc_sim_failed(sim) && pc_sim_property_kind(pc_sim_failure(sim)) == kind;
    pc_sim_delete(sim);
    return breaks;
}

/* Takes `smaller` over when it breaks as well. */
static bool keep_if_breaks(struct pc_sim_params *params, const struct pc_sim_params *smaller,
    enum pc_sim_property property)
{
    bool breaks = pc_sim_breaks(smaller, property);
    if (breaks) {
        *params = *smaller;
    }
    return breaks;
}

static bool shrink_time(struct pc_sim_params *params, enum pc_sim_property property)
{
    uint64_t before = params->chaos_ms, holds = 0;
    while (params->chaos_ms > holds + STEP_MS) {
        struct pc_sim_params smaller = *params;
        smaller.chaos_ms = holds + (params->chaos_ms - holds) / 2;
        if (!keep_if_breaks(params, &smaller, property)) {
            holds = smaller.chaos_ms;
        }
    }
    return params->chaos_ms < before;
}

static bool shrink_classes(struct pc_sim_params *params, enum pc_sim_property property)
{
    bool changed = false;
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        if (params->fault[i]) {
            struct pc_sim_params smaller = *params;
            pc_sim_params_leave_out(&smaller, (enum pc_sim_fault)i);
            changed |= keep_if_breaks(params, &smaller, property);
        }
    }
    if (params->frozen_rest) {
        struct pc_sim_params smaller = *params;
        smaller.frozen_rest = false;
        changed |= keep_if_breaks(params, &smaller, property);
    }
    return changed;
}

static bool shrink_size(struct pc_sim_params *params, enum pc_sim_property property)
{
    bool changed = false;
    size_t founders = sim_founders(params);
    for (size_t n = 1; n < founders; n++) {
        struct pc_sim_params smaller = *params;
        smaller.nodes_n = params->nodes_n - founders + n;
        smaller.founders_n = n;
        smaller.frozen_rest = smaller.frozen_rest && n >= 3;
        if (keep_if_breaks(params, &smaller, property)) {
            changed = true;
            break;
        }
    }
    while (params->clients_n > 0) {
        struct pc_sim_params smaller = *params;
        smaller.clients_n /= 2;
        if (!keep_if_breaks(params, &smaller, property)) {
            break;
        }
        changed = true;
    }
    return changed;
}

void pc_sim_shrink(struct pc_sim_params *params, enum pc_sim_property property)
{
    params->verbose = false;
    bool changed = true;
    for (int round = 0; round < 4 && changed; round++) {
        changed = shrink_time(params, property);
        changed |= shrink_classes(params, property);
        changed |= shrink_size(params, property);
    }
}
