/* Disks that rot while their nodes are down, far more often than disks do. */
#include "support/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "sim/sim.h"

#define SEEDS (25 / PC_TEST_STRIDE)

/* Runs in which most restarts find a damaged log, and little else goes on. */
static void run(uint64_t seed, size_t nodes, uint32_t rot_ppm)
{
    struct pc_sim_params params;
    pc_sim_params_draw(&params, seed, nodes);
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        pc_sim_params_leave_out(&params, (enum pc_sim_fault)i);
    }
    params.serene = false;
    params.frozen_rest = false;
    params.rot_ppm = rot_ppm;
    params.snap_rot_ppm = seed % 3 == 0 && params.snapshot_log_bytes > 0 ? rot_ppm / 2 : 0;
    params.chaos_ms = 12000;
    params.crash_in_write_ppm = seed % 2 == 0 ? 2000 : 0;
    enum pc_sim_fault deaths[] = {
        PC_SIM_FAULT_KILL, PC_SIM_FAULT_POWER_CUT, PC_SIM_FAULT_ALL_POWER_CUT, PC_SIM_FAULT_STOP};
    for (size_t i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
        params.fault[deaths[i]] = true;
        params.fault_gap_ms[deaths[i]] = 2500;
    }
    struct pc_sim *sim = pc_sim_new(&params);
    pc_sim_run(sim);
    if (pc_sim_failed(sim) || getenv("ROT_SHOW") != NULL) {
        pc_sim_print_timeline(sim, stderr);
        if (pc_sim_failed(sim)) {
            fail_msg("seed %u", (unsigned)seed);
        }
    }
    pc_sim_delete(sim);
}

static void rot__of_any_disk__loses_nothing_and_stops_nobody(void **state)
{
    (void)state;
    const char *from = getenv("ROT_FROM");
    const char *count = getenv("ROT_COUNT");
    uint64_t first = from != NULL ? strtoull(from, NULL, 10) : 1;
    uint64_t n = count != NULL ? strtoull(count, NULL, 10) : SEEDS;
    for (uint64_t seed = first; seed < first + n; seed++) {
        run(seed, seed % 5 == 0 ? 5 : 3, 700000);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(rot__of_any_disk__loses_nothing_and_stops_nobody),
};
PC_TEST_MAIN("sim_rot", tests)
