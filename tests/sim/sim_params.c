/* What a seed stands for. The ranges come from the fault catalogue of the reliability plan; a class
 * that is off in a fifth of all runs lets the others show what it would have masked. */
#include <string.h>

#include "sim/sim_int.h"

static const struct {
    const char *name;
    uint32_t ppm;
    uint64_t gap_min_ms, gap_max_ms;
} classes[] = {
#define CLASS_ROW(id, ppm, lo, hi, text) {#id, ppm, lo, hi},
    PC_SIM_FAULT_LIST(CLASS_ROW)
#undef CLASS_ROW
};

const char *pc_sim_fault_name(enum pc_sim_fault fault)
{
    return classes[fault].name;
}

bool pc_sim_fault_strikes(enum pc_sim_fault fault)
{
    return classes[fault].gap_max_ms > 0;
}

void sim_params_seed(struct pc_prng *rng, uint64_t seed, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *name != '\0'; name++) {
        h = (h ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
    }
    pc_prng_seed(rng, seed * UINT64_C(0x9e3779b97f4a7c15) ^ h);
}

bool sim_params_has_ghosts(const struct pc_sim_params *params)
{
    return params->fault[PC_SIM_FAULT_CORRUPT] || params->fault[PC_SIM_FAULT_SWIM_LIES];
}

static uint64_t between(struct pc_prng *rng, uint64_t lo, uint64_t hi)
{
    return pc_prng_between(rng, lo, hi);
}

static size_t draw_nodes(struct pc_prng *rng)
{
    uint64_t dice = pc_prng_below(rng, 100);
    return dice < 76 ? 3 : dice < 90 ? 5 : dice < 94 ? 1 : dice < 97 ? 2 : 4;
}

static void draw_net(struct pc_sim_params *p, struct pc_prng *rng)
{
    p->delay_min_us = between(rng, 50, 2000);
    uint64_t slow_us = pc_prng_chance(rng, 500000) ? 2000 : 20000;
    p->delay_mean_us = p->fault[PC_SIM_FAULT_DELAY] ? between(rng, 200, slow_us) : 300;
    p->late_ppm = p->fault[PC_SIM_FAULT_DELAY] ? (uint32_t)between(rng, 0, 50000) : 0;
    p->late_max_us = between(rng, 100000, 3000000);
    bool loss = p->fault[PC_SIM_FAULT_LOSS];
    p->loss_ppm = loss ? (uint32_t)between(rng, 1000, 200000) : 0;
    p->reset_ppm = loss ? (uint32_t)between(rng, 0, 3000) : 0;
    p->duplicate_ppm = p->fault[PC_SIM_FAULT_DUPLICATE] ? (uint32_t)between(rng, 1000, 200000) : 0;
    p->reorder_ppm = p->fault[PC_SIM_FAULT_REORDER] ? (uint32_t)between(rng, 1000, 150000) : 0;
    uint32_t corrupt_ppm = (uint32_t)between(rng, 1000, 100000);
    p->corrupt_ppm = p->fault[PC_SIM_FAULT_CORRUPT] ? corrupt_ppm : 0;
    static const uint64_t stalls_us[] = {100000, 600000, 2000000, 10000000};
    p->stall_max_us = stalls_us[pc_prng_below(rng, 4)];
    p->lost_delay_us = between(rng, 1000, 60000);
    p->lost_ppm = (uint32_t)between(rng, 0, 1000000);
    p->partition_max_ms = between(rng, 200, 4000);
}

static void draw_disk(struct pc_sim_params *p, struct pc_prng *rng)
{
    p->disk_write_us = between(rng, 20, 1000);
    p->disk_sync_us = between(rng, 100, pc_prng_chance(rng, 500000) ? 2000 : 15000);
    p->disk_slow_us = between(rng, 20000, pc_prng_chance(rng, 700000) ? 800000 : 3000000);
    p->crash_in_write_ppm =
        p->fault[PC_SIM_FAULT_CRASH_IN_WRITE] ? (uint32_t)between(rng, 100, 5000) : 0;
    p->io_error_ppm = p->fault[PC_SIM_FAULT_IO_ERROR] ? (uint32_t)between(rng, 100, 5000) : 0;
    p->disk_lost_ppm = p->fault[PC_SIM_FAULT_DISK_LOST] ? (uint32_t)between(rng, 20000, 300000) : 0;
    p->segment_bytes = pc_prng_chance(rng, 700000) ? 64 << 10 : 256 << 10;
    p->tail_bytes_max = (size_t)between(rng, 256, 64 << 10);
}

static void draw_clients(struct pc_sim_params *p, struct pc_prng *rng)
{
    p->clients_n = (size_t)between(rng, 2, 12);
    p->keys_n = (size_t)between(rng, 2, 40);
    p->think_us = between(rng, 1000, 60000);
    p->local_ppm = (uint32_t)between(rng, 0, 500000);
}

/* Conditions in half of the runs. */
static void draw_conditions(struct pc_sim_params *p, struct pc_prng *rng)
{
    if (pc_prng_chance(rng, 500000)) {
        p->condition_ppm = (uint32_t)between(rng, 50000, 600000);
    }
}

/* Some runs are rough, most leave the cluster time to do something between two faults. */
static void draw_classes(struct pc_sim_params *p, uint64_t rest)
{
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        struct pc_prng rng;
        sim_params_seed(&rng, p->seed, classes[i].name);
        p->fault[i] = pc_prng_chance(&rng, classes[i].ppm);
        uint64_t hi = classes[i].gap_max_ms;
        p->fault_gap_ms[i] = hi > 0 ? rest * between(&rng, classes[i].gap_min_ms, hi) : 0;
    }
}

/* What a client should not notice: the operator's doings, clocks, and messages that come twice. */
static bool is_harmless(size_t fault)
{
    return fault == PC_SIM_FAULT_STOP || fault == PC_SIM_FAULT_TRANSFER ||
           fault == PC_SIM_FAULT_WALL_CLOCK || fault == PC_SIM_FAULT_DRIFT ||
           fault == PC_SIM_FAULT_DUPLICATE || fault == PC_SIM_FAULT_SLOW_CPU ||
           fault == PC_SIM_FAULT_PROTOCOLS;
}

static bool are_harmless(const struct pc_sim_params *params)
{
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        if (params->fault[i] && !is_harmless(i)) {
            return false;
        }
    }
    return params->nodes_n >= 3;
}

static void leave_harmless(struct pc_sim_params *p)
{
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        p->fault[i] = p->fault[i] && is_harmless(i);
        p->fault_gap_ms[i] = p->fault_gap_ms[i] > 0 ? classes[i].gap_min_ms : 0;
    }
}

/* In one run of ten there is one class only, at its worst; in a third of those what an operator may
 * do at any time, and no request may fail. */
static void draw_calm(struct pc_sim_params *p, struct pc_prng *rng)
{
    bool serene = pc_prng_chance(rng, 333333);
    size_t only = (size_t)pc_prng_below(rng, PC_SIM_FAULTS_N);
    if (serene) {
        leave_harmless(p);
        return;
    }
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        p->fault[i] = i == only;
        p->fault_gap_ms[i] = p->fault_gap_ms[i] > 0 ? classes[i].gap_min_ms : 0;
    }
}

static void draw_times(struct pc_sim_params *p, struct pc_prng *rng)
{
    p->faults_from_ms = pc_prng_chance(rng, 300000) ? 0 : between(rng, 100, 2000);
    p->down_max_ms = between(rng, 100, 4000);
    p->pause_max_ms = between(rng, 50, 4000);
    p->turn_delay_us = p->fault[PC_SIM_FAULT_SLOW_CPU] ? between(rng, 0, 4000) : 0;
    if (p->fault[PC_SIM_FAULT_DISK_LOST] && pc_prng_chance(rng, 600000)) {
        p->fault[PC_SIM_FAULT_WALL_CLOCK] = false; /* room for older copies: sim_medium.c */
    }
    p->wall_wild = p->fault[PC_SIM_FAULT_WALL_CLOCK];
    p->drift_ppm_max = p->fault[PC_SIM_FAULT_DRIFT] ? (int32_t)between(rng, 0, 10000) : 0;
    p->drain_delay_ms = between(rng, 0, 1000);
    p->frozen_rest = pc_prng_chance(rng, 500000) && p->nodes_n >= 3 && !p->serene;
    p->frozen_rest = p->frozen_rest && !p->replaces_lost;
    p->heal_max_ms = 20 * 1000; /* 20 election timeouts */
    if (p->replaces_lost) {
        /* One place after the other. */
        p->heal_max_ms = (sim_params_has_ghosts(p) ? 300 : 90) * 1000;
    }
}

/* Damage at rest, in runs whose disks are their own otherwise. Whoever is frozen cannot help. */
static void draw_rot(struct pc_sim_params *p, struct pc_prng *rng)
{
    bool may = p->nodes_n >= 3 && !p->serene && !p->fault[PC_SIM_FAULT_IO_ERROR] &&
               !p->fault[PC_SIM_FAULT_DISK_LOST] && !p->replaces_lost && !p->solo;
    if (pc_prng_chance(rng, 400000) && may) {
        p->rot_ppm = (uint32_t)between(rng, 50000, 500000);
        p->frozen_rest = false;
    }
}

/* So little log that a node which was down for a while needs a snapshot. */
static void draw_snapshots(struct pc_sim_params *p, struct pc_prng *rng)
{
    bool makes = pc_prng_chance(rng, 800000);
    /* Programs of the first protocol know of no snapshots: who needs one waits for its upgrade. */
    if (!makes || (p->serene && p->fault[PC_SIM_FAULT_PROTOCOLS])) {
        return;
    }
    p->snapshot_log_bytes = between(rng, 2 << 10, 64 << 10);
    p->snapshot_percent = (unsigned)between(rng, 0, 100);
    p->log_keep_bytes = pc_prng_chance(rng, 300000) ? 0 : between(rng, 0, 64 << 10);
    p->tail_bytes_max = (size_t)between(rng, 256, 8 << 10);
    p->segment_bytes = 64 << 10;
    p->value_more_max = (size_t)between(rng, 256, 8 << 10);
    if (pc_prng_chance(rng, 250000)) { /* whoever was away needs a snapshot */
        p->snapshot_log_bytes = between(rng, 1 << 10, 8 << 10);
        p->log_keep_bytes = 0;
        p->value_more_max = (size_t)between(rng, 8 << 10, 32 << 10);
        p->think_us = p->think_us / 4 + 500;
    }
    bool may_rot = p->nodes_n >= 3 && !p->serene && !p->fault[PC_SIM_FAULT_IO_ERROR] &&
                   !p->fault[PC_SIM_FAULT_DISK_LOST] && !p->solo;
    if (pc_prng_chance(rng, 400000) && may_rot) {
        p->snap_rot_ppm = (uint32_t)between(rng, 50000, 500000);
        p->frozen_rest = false; /* the one that could help may be outside */
    }
}

/* What a node misses while it is down is a few dozen entries, seldom more. */
static void draw_catchup(struct pc_sim_params *p, struct pc_prng *rng)
{
    p->catchup_entries = pc_prng_chance(rng, 800000) ? between(rng, 2, 25) : 2000;
    p->catchup_unsynced_bytes = (size_t)p->catchup_entries * 500;
}

/* In some runs nodes that are alone go on in branches: on disks that are their own, cut off for
 * long, and SWIM knows who is dead. */
static void draw_solo_classes(struct pc_sim_params *p)
{
    struct pc_prng rng;
    sim_params_seed(&rng, p->seed, "solo");
    p->solo = pc_prng_chance(&rng, 150000) && p->nodes_n >= 2;
    if (p->solo) {
        p->fault[PC_SIM_FAULT_DISK_LOST] = p->fault[PC_SIM_FAULT_SWIM_LIES] = false;
        p->fault[PC_SIM_FAULT_WIPED] = p->fault[PC_SIM_FAULT_MEMBERS] = false;
        p->fault[PC_SIM_FAULT_PARTITION] = true;
        p->fault_gap_ms[PC_SIM_FAULT_PARTITION] = between(&rng, 2000, 6000);
    }
}

static void draw_solo(struct pc_sim_params *p, struct pc_prng *rng)
{
    if (p->solo) {
        p->solo_after_ms = between(rng, 100, 2000);
        p->partition_max_ms = between(rng, 8000, 20000);
        p->down_max_ms = between(rng, 2000, 10000);
        p->chaos_ms += between(rng, 5000, 15000);
    }
}

static void draw_parts(struct pc_sim_params *p)
{
    static const struct {
        const char *name;
        void (*draw)(struct pc_sim_params *p, struct pc_prng *rng);
    } parts[] = {{"net", draw_net}, {"disk", draw_disk}, {"clients", draw_clients},
        {"conditions", draw_conditions}, {"times", draw_times}, {"rot", draw_rot},
        {"snapshots", draw_snapshots}, {"catchup", draw_catchup}, {"solo", draw_solo}};
    struct pc_prng rng;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        sim_params_seed(&rng, p->seed, parts[i].name);
        parts[i].draw(p, &rng);
    }
}

/* Members that change are tried in runs whose disks are not put back as they were: what a node may
 * do on an empty one is another matter then. The leader takes its time with them. */
static void draw_members(struct pc_sim_params *p)
{
    struct pc_prng rng;
    sim_params_seed(&rng, p->seed, "members");
    bool changes = p->fault[PC_SIM_FAULT_MEMBERS] || p->fault[PC_SIM_FAULT_WIPED];
    bool is_put_back = p->fault[PC_SIM_FAULT_DISK_LOST] && pc_prng_chance(&rng, 500000);
    uint64_t longer_ms = between(&rng, 4000, 14000);
    size_t more = (size_t)between(&rng, 1, PC_SIM_NODES_MAX - PC_SIM_FOUNDERS_MAX);
    if (!changes || is_put_back) {
        p->fault[PC_SIM_FAULT_MEMBERS] = p->fault[PC_SIM_FAULT_WIPED] = false;
        return;
    }
    p->fault[PC_SIM_FAULT_DISK_LOST] = false;
    p->replaces_lost = true;
    p->founders_n = p->nodes_n;
    p->nodes_n += p->fault[PC_SIM_FAULT_MEMBERS] ? more : 0;
    p->chaos_ms += longer_ms;
}

/* Spares, and votes that go by themselves: in some of the runs whose members change anyhow, and in
 * some others. The dead are not waited for as long as by default, so that it happens often. */
static void draw_spares(struct pc_sim_params *p)
{
    struct pc_prng rng;
    sim_params_seed(&rng, p->seed, "spares");
    bool wanted = pc_prng_chance(&rng, p->replaces_lost ? 500000 : 300000);
    size_t spares_n = (size_t)between(&rng, 0, 2);
    bool shrinks = pc_prng_chance(&rng, 500000);
    pc_ms dead_after_ms = between(&rng, 1200, 4000);
    bool deaths = pc_prng_chance(&rng, 700000);
    uint64_t longer_ms = between(&rng, 0, 20000);
    if (!wanted || p->fault[PC_SIM_FAULT_DISK_LOST] || are_harmless(p) ||
        (spares_n == 0 && !shrinks)) {
        return;
    }
    size_t founders = p->founders_n > 0 ? p->founders_n : p->nodes_n;
    p->founders_n = founders;
    p->nodes_n += spares_n;
    p->nodes_n = p->nodes_n < PC_SIM_NODES_MAX ? p->nodes_n : PC_SIM_NODES_MAX;
    p->spares_n = spares_n;
    p->auto_shrink = shrinks;
    p->dead_after_ms = dead_after_ms;
    p->deaths = deaths;
    p->replaces_lost = true; /* who is in is not said once and for all */
    p->fault[PC_SIM_FAULT_DEATH] = true;
    p->chaos_ms += longer_ms;
}

/* Bits flip where others can tell, and nobody goes on alone on what it has. Nodes look through
 * their memory when they are told how their disks are. */
static void draw_flips(struct pc_sim_params *p)
{
    if (p->solo || sim_founders(p) < 3) {
        p->fault[PC_SIM_FAULT_FLIP] = false;
    }
    p->disk_measured = p->disk_measured || p->fault[PC_SIM_FAULT_FLIP];
}

/* In some of them in entries only. */
static void draw_flipped_entries(struct pc_sim_params *p)
{
    struct pc_prng rng;
    sim_params_seed(&rng, p->seed, "flips");
    p->flips_entries = pc_prng_chance(&rng, 500000) && p->fault[PC_SIM_FAULT_FLIP] &&
                       !p->replaces_lost && !p->fault[PC_SIM_FAULT_DISK_LOST];
    if (p->flips_entries) {
        p->frozen_rest = false;
        p->snapshot_log_bytes = 0;
        p->snap_rot_ppm = 0;
    }
}

static void draw_size(struct pc_sim_params *p, uint64_t seed, size_t nodes_n)
{
    struct pc_prng rng;
    sim_params_seed(&rng, seed, "size");
    *p = (struct pc_sim_params){.seed = seed};
    size_t drawn = draw_nodes(&rng);
    p->nodes_n = nodes_n != 0 ? nodes_n : drawn;
    PC_ASSERT(p->nodes_n <= PC_SIM_FOUNDERS_MAX);
    p->chaos_ms = between(&rng, 6000, 20000);
    draw_classes(p, pc_prng_chance(&rng, 300000) ? 1 : between(&rng, 2, 4));
}

void pc_sim_params_draw(struct pc_sim_params *params, uint64_t seed, size_t nodes_n)
{
    struct pc_sim_params p;
    struct pc_prng rng;
    draw_size(&p, seed, nodes_n);
    sim_params_seed(&rng, seed, "measured");
    p.disk_measured = pc_prng_chance(&rng, 400000);
    sim_params_seed(&rng, seed, "calm");
    if (pc_prng_chance(&rng, 100000)) {
        draw_calm(&p, &rng);
    }
    draw_solo_classes(&p);
    draw_members(&p);
    draw_spares(&p);
    draw_flips(&p);
    p.serene = are_harmless(&p);
    draw_parts(&p);
    draw_flipped_entries(&p);
    *params = p;
}

void pc_sim_params_draw_serene(struct pc_sim_params *params, uint64_t seed)
{
    struct pc_sim_params p;
    draw_size(&p, seed, seed % 4 == 0 ? 5 : 3);
    leave_harmless(&p);
    p.fault[PC_SIM_FAULT_STOP] = true;
    p.fault_gap_ms[PC_SIM_FAULT_STOP] = 1000;
    p.serene = are_harmless(&p);
    draw_parts(&p);
    *params = p;
}

static bool votes_go(const struct pc_sim_params *params)
{
    return params->spares_n > 0 || params->auto_shrink;
}

void pc_sim_params_leave_out(struct pc_sim_params *params, enum pc_sim_fault fault)
{
    params->fault[fault] = false;
    switch (fault) {
    case PC_SIM_FAULT_DELAY:
        params->delay_mean_us = 300;
        params->late_ppm = 0;
        break;
    case PC_SIM_FAULT_LOSS:
        params->loss_ppm = 0;
        params->reset_ppm = 0;
        break;
    case PC_SIM_FAULT_DUPLICATE:
        params->duplicate_ppm = 0;
        break;
    case PC_SIM_FAULT_REORDER:
        params->reorder_ppm = 0;
        break;
    case PC_SIM_FAULT_CORRUPT:
        params->corrupt_ppm = 0;
        break;
    case PC_SIM_FAULT_SLOW_CPU:
        params->turn_delay_us = 0;
        break;
    case PC_SIM_FAULT_CRASH_IN_WRITE:
        params->crash_in_write_ppm = 0;
        break;
    case PC_SIM_FAULT_DRIFT:
        params->drift_ppm_max = 0;
        break;
    case PC_SIM_FAULT_WALL_CLOCK:
        params->wall_wild = false;
        break;
    case PC_SIM_FAULT_IO_ERROR:
        params->io_error_ppm = 0;
        break;
    case PC_SIM_FAULT_DISK_LOST:
        params->disk_lost_ppm = 0;
        break;
    case PC_SIM_FAULT_MEMBERS:
        params->nodes_n = sim_founders(params) + params->spares_n;
        params->replaces_lost = params->fault[PC_SIM_FAULT_WIPED] || votes_go(params);
        break;
    case PC_SIM_FAULT_DEATH: /* and what is done about it */
        params->nodes_n -= params->spares_n;
        params->spares_n = 0;
        params->auto_shrink = params->deaths = false;
        params->dead_after_ms = 0;
        params->replaces_lost =
            params->fault[PC_SIM_FAULT_MEMBERS] || params->fault[PC_SIM_FAULT_WIPED];
        break;
    case PC_SIM_FAULT_WIPED:
        params->replaces_lost = params->fault[PC_SIM_FAULT_MEMBERS] || votes_go(params);
        break;
    default:
        PC_ASSERT(pc_sim_fault_strikes(fault) || fault == PC_SIM_FAULT_INSTANT_RESTART);
        break;
    }
}

void pc_sim_params_calm(struct pc_sim_params *params, uint64_t seed, size_t nodes_n)
{
    *params = (struct pc_sim_params){
        .seed = seed,
        .nodes_n = nodes_n,
        .chaos_ms = 3000,
        .delay_min_us = 100,
        .delay_mean_us = 300,
        .late_max_us = 1,
        .stall_max_us = 1000000,
        .lost_delay_us = 20000,
        .lost_ppm = 1000000,
        .down_max_ms = 500,
        .pause_max_ms = 500,
        .partition_max_ms = 500,
        .disk_write_us = 50,
        .disk_sync_us = 1000,
        .disk_slow_us = 50000,
        .clients_n = 3,
        .keys_n = 16,
        .think_us = 10000,
        .local_ppm = 100000,
        .tail_bytes_max = 64 << 10,
        .segment_bytes = 64 << 10,
        .catchup_entries = 2000,
        .catchup_unsynced_bytes = 24 << 20,
        .drain_delay_ms = 200,
        .heal_max_ms = 20 * 1000,
    };
    for (size_t i = 0; i < PC_SIM_FAULTS_N; i++) {
        params->fault_gap_ms[i] = 1000;
    }
}
