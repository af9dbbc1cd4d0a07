/* Deaths that last longer than the others wait, and one after the other (C.4).
 *
 *   chaos -> all healed -> one dies, its place is taken, another one dies, ... -> all healed again
 *
 * As many die, whoever they are, as there are spares, and one more; or one, and the spare that is
 * about to take its place. With auto_shrink then the
 * followers of the leader that is left, one by one, as soon as that may lose one; what the last one
 * acknowledges alone has to be there in the end (B.34). The dead have no power, or only think that
 * the others are dead: they are cut off, and that is the same to those. */
#include <inttypes.h>
#include <string.h>

#include "sim/sim_int.h"

#define LIMIT_MS 60000
#define LIMIT_WITH_GHOSTS_MS 240000
#define POLL_MS 20
#define AROUND_MS 2500

static struct pc_prng *dice(struct pc_sim *sim)
{
    return &sim->rng_class[PC_SIM_FAULT_DEATH];
}

static uint64_t limit_ms(const struct pc_sim *sim)
{
    return sim_params_has_ghosts(&sim->params) ? LIMIT_WITH_GHOSTS_MS : LIMIT_MS;
}

/* ---- during the faults */

static void cut_off(struct pc_sim *sim, uint32_t out, uint64_t ms)
{
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        if (i != out) {
            sim_fault_cut(sim, i, out, ms);
            sim_fault_cut(sim, out, i, ms);
        }
    }
}

/* A voter, mostly. */
static struct sim_node *choose_victim(struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    struct sim_node *any = &sim->nodes[pc_prng_below(dice(sim), sim->params.nodes_n)];
    if (config == NULL || pc_prng_chance(dice(sim), 200000)) {
        return any;
    }
    uint64_t number = pc_prng_below(dice(sim), config->raft.voters_n);
    struct sim_node *voter = sim_node_by_id(sim, config->raft.voters[number]);
    return voter != NULL ? voter : any;
}

void sim_spare_strike(struct pc_sim *sim)
{
    struct sim_node *node = choose_victim(sim);
    uint64_t least_ms = sim->params.dead_after_ms > 0 ? sim->params.dead_after_ms : 1000;
    uint64_t ms = pc_prng_between(dice(sim), least_ms, 4 * least_ms);
    bool dies = pc_prng_chance(dice(sim), 600000);
    bool dark = pc_prng_chance(dice(sim), 500000);
    if (node->node == NULL) {
        return;
    }
    sim->stats.long_deaths++;
    sim_trace_line(
        sim, "%s %s for %" PRIu64 " ms", node->name, dies ? "is dead" : "is cut off", ms);
    if (!dies) {
        cut_off(sim, node->index, ms);
        return;
    }
    sim_node_crash(sim, node, dark ? PC_SIM_FS_POWER_CUT : PC_SIM_FS_KILL);
    if (!node->start_pending) {
        node->start_pending = true;
        sim_at(sim, ms * 1000, (struct sim_event){.type = SIM_EV_START, .node = node->index});
    }
}

/* ---- one after the other */

static bool lives(const struct pc_sim *sim, pc_node_id id)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (node->id == id && node->node != NULL) {
            return !node->is_frozen;
        }
    }
    return false;
}

static size_t voters_alive(const struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    size_t alive = 0;
    for (size_t i = 0; i < config->raft.voters_n; i++) {
        alive += lives(sim, config->raft.voters[i]) ? 1 : 0;
    }
    return alive;
}

static size_t voters_n(const struct pc_sim *sim)
{
    return sim_config_committed(sim)->raft.voters_n;
}

static struct sim_node *leader_of(struct pc_sim *sim)
{
    int leader = pc_sim_leader(sim);
    return leader >= 0 && !sim->nodes[leader].is_frozen ? &sim->nodes[leader] : NULL;
}

/* Nothing mends it before the end: is_frozen. Silent: no connection says so. */
static void die(struct pc_sim *sim, struct sim_node *node, bool is_silent)
{
    uint64_t fate = pc_prng_between(dice(sim), is_silent ? 1 : 0, 2);
    static const char *const words[] = {"is killed", "loses its power", "is cut off"};
    sim_trace_line(sim, "%s %s", node->name, words[fate]);
    node->is_frozen = true;
    if (fate < 2) {
        sim_node_crash(sim, node, fate == 0 ? PC_SIM_FS_KILL : PC_SIM_FS_POWER_CUT);
        return;
    }
    for (uint32_t i = 0; i < sim->params.nodes_n; i++) {
        sim->cuts[i][node->index] += i != node->index ? 1 : 0;
        sim->cuts[node->index][i] += i != node->index ? 1 : 0;
    }
}

/* NULL: there is none that lives, but the one that is spared. */
static struct sim_node *living_voter(struct pc_sim *sim, const struct sim_node *spared)
{
    const struct sim_config *config = sim_config_committed(sim);
    size_t n = config->raft.voters_n, from = (size_t)pc_prng_below(dice(sim), n);
    for (size_t i = 0; i < n; i++) {
        pc_node_id id = config->raft.voters[(from + i) % n];
        struct sim_node *node = sim_node_by_id(sim, id);
        if (node != spared && lives(sim, id)) {
            return node;
        }
    }
    return NULL;
}

/* Somebody leads, all who vote live, and no change is under way. */
static bool is_whole(struct pc_sim *sim, void *arg)
{
    return leader_of(sim) != NULL && voters_alive(sim) == voters_n(sim) &&
           voters_n(sim) == *(const size_t *)arg;
}

/* The leader may lose another one: of those that live a quorum would be left, or itself. */
static bool may_lose_another(struct pc_sim *sim, void *arg)
{
    (void)arg;
    size_t alive = voters_alive(sim), n = voters_n(sim);
    return leader_of(sim) != NULL && (alive > n / 2 + 1 || (n <= 2 && alive == n));
}

static bool op_is_done(struct pc_sim *sim, void *arg)
{
    return pc_sim_result(sim, *(uint64_t *)arg).done;
}

static bool is_done_at(struct pc_sim *sim, const struct sim_node *node)
{
    size_t key = (size_t)pc_prng_below(dice(sim), sim->params.keys_n);
    uint64_t write = pc_sim_write(sim, node->index, PC_OP_SET, key, 0);
    return pc_sim_run_until(sim, op_is_done, &write, limit_ms(sim)) &&
           pc_sim_result(sim, write).status == PC_REPLY_OK;
}

/* Every voter that lives takes a write. */
static void check_goes_on(struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    uint64_t until_us = sim->now_us + limit_ms(sim) * 1000;
    for (size_t i = 0; i < config->raft.voters_n && !sim->failed; i++) {
        struct sim_node *node = sim_node_by_id(sim, config->raft.voters[i]);
        bool done = node == NULL || node->is_frozen;
        while (!done && !sim->failed && sim->now_us < until_us) {
            done = is_done_at(sim, node);
            pc_sim_run_for(sim, POLL_MS);
        }
        if (!done && !sim->failed) {
            sim_fail(sim, PC_SIM_C4, "%s takes no write, after deaths one by one", node->name);
        }
    }
    sim->stats.survived += sim->failed ? 0 : 1;
}

static bool wait_for(
    struct pc_sim *sim, bool (*done)(struct pc_sim *sim, void *arg), void *arg, const char *what)
{
    bool reached = pc_sim_run_until(sim, done, arg, limit_ms(sim));
    if (!reached && !sim->failed) {
        sim_fail(sim, PC_SIM_C4, "%s: not within %" PRIu64 " ms", what, limit_ms(sim));
    }
    return reached;
}

static size_t spares_ready(const struct pc_sim *sim)
{
    const struct pc_cluster_config *config = &sim_config_committed(sim)->members;
    size_t n = 0;
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        bool is_spare = member->want == PC_WANT_SPARE && !member->votes;
        n += is_spare && lives(sim, member->id) ? 1 : 0;
    }
    return n;
}

static struct sim_node *any_spare(struct pc_sim *sim)
{
    const struct pc_cluster_config *config = &sim_config_committed(sim)->members;
    size_t from = (size_t)pc_prng_below(dice(sim), config->members_n);
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[(from + i) % config->members_n];
        if (member->want == PC_WANT_SPARE && !member->votes && lives(sim, member->id)) {
            return sim_node_by_id(sim, member->id);
        }
    }
    return NULL;
}

/* The spare dies before it takes the place, while it does, or after: the others do not need it. */
static void die_around_a_take_over(struct pc_sim *sim)
{
    struct sim_node *spare = any_spare(sim);
    pc_ms dead_after_ms = sim->params.dead_after_ms;
    if (spare == NULL || voters_n(sim) < 3) {
        return;
    }
    die(sim, living_voter(sim, NULL), false);
    pc_sim_run_for(sim, pc_prng_between(dice(sim), dead_after_ms, dead_after_ms + 2000));
    if (!sim->failed) {
        die(sim, spare, true);
        pc_sim_run_for(sim, AROUND_MS);
        check_goes_on(sim);
    }
}

static void die_with_spares(struct pc_sim *sim)
{
    size_t spares_n = spares_ready(sim), all = voters_n(sim);
    for (size_t i = 0; i <= spares_n && all >= 3 && !sim->failed; i++) {
        if (i > 0 && !wait_for(sim, is_whole, &all, "a spare takes the place of a dead voter")) {
            return;
        }
        die(sim, living_voter(sim, NULL), false);
        check_goes_on(sim);
    }
}

static void die_until_one_is_left(struct pc_sim *sim)
{
    while (!sim->failed && voters_alive(sim) > 1) {
        if (!wait_for(sim, may_lose_another, NULL, "auto_shrink makes do with those that live")) {
            return;
        }
        die(sim, living_voter(sim, leader_of(sim)), false);
        check_goes_on(sim);
    }
}

/* An order to replace somebody may wait for a machine that does not come (sim_member_unsettled). */
static bool is_calm(const struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    for (size_t i = 0; config != NULL && i < config->members.members_n; i++) {
        if (!lives(sim, config->members.members[i].id)) {
            return false;
        }
    }
    return config != NULL;
}

void sim_spare_run(struct pc_sim *sim)
{
    if (!is_calm(sim)) {
        return;
    }
    sim_trace_line(sim, "one dies after the other");
    if (pc_prng_chance(dice(sim), 500000) && any_spare(sim) != NULL) {
        die_around_a_take_over(sim);
    } else {
        die_with_spares(sim);
        if (sim->params.auto_shrink && !sim->failed) {
            die_until_one_is_left(sim);
        }
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        sim->nodes[i].is_frozen = false;
    }
}
