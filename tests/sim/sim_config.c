/* Who are the members? What the nodes believe is compared with the CONFIG entries in their logs.
 *
 * Every such entry that was ever made is kept here. The one in force on a node is the newest that
 * the image of its log has (B.13), whatever was truncated on the way; nothing that a node says of
 * its members is asked. When one is made for the first time, whoever makes it must lead, with an
 * entry of its own term committed and no other change pending, and change one vote at most (B.12).
 *
 * Majorities: a log that lacks a committed entry cannot win, so its members may be those of long
 * ago. Any two that lack none must not be able to elect, or to commit, beside each other. */
#include <inttypes.h>
#include <stdlib.h>

#include "sim/sim_int.h"

/* ---- all that were ever made */

static struct sim_config *config_at(
    const struct pc_sim *sim, pc_index index, const struct pc_hash *chain)
{
    for (size_t i = 0; i < sim->configs_n; i++) {
        struct sim_config *config = sim->configs[i];
        if (config->index == index && pc_hash_equal(&config->chain, chain)) {
            return config;
        }
    }
    return NULL;
}

/* The newest one that this log has, below `before`; NULL: it names no members. */
static const struct sim_config *newest_in(
    const struct pc_sim *sim, const struct sim_image *image, pc_index before)
{
    const struct sim_config *newest = NULL;
    for (size_t i = 0; i < sim->configs_n; i++) {
        const struct sim_config *config = sim->configs[i];
        bool is_newer = newest == NULL || config->index > newest->index;
        if (is_newer && config->index < before &&
            sim_image_has(image, config->index, &config->chain)) {
            newest = config;
        }
    }
    return newest;
}

static void config_keep(struct pc_sim *sim, struct sim_config *config)
{
    if (sim->configs_n == sim->configs_cap) {
        sim->configs_cap = sim->configs_cap == 0 ? 8 : sim->configs_cap * 2;
        sim->configs = pc_xrealloc(sim->configs, sim->configs_cap * sizeof(struct sim_config *));
    }
    sim->configs[sim->configs_n++] = config;
}

void sim_config_destroy(struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->configs_n; i++) {
        free(sim->configs[i]);
    }
    free(sim->configs);
    sim->configs = NULL;
    sim->configs_n = sim->configs_cap = 0;
}

bool sim_config_votes(const struct sim_config *config, pc_node_id id)
{
    for (size_t i = 0; i < config->raft.voters_n; i++) {
        if (config->raft.voters[i] == id) {
            return true;
        }
    }
    return false;
}

static size_t common_voters(const struct sim_config *a, const struct sim_config *b)
{
    size_t n = 0;
    for (size_t i = 0; i < a->raft.voters_n; i++) {
        n += sim_config_votes(b, a->raft.voters[i]) ? 1 : 0;
    }
    return n;
}

/* ---- B.12 */

/* Handed out when its maker may have been deposed already, in the same turn. */
static void check_made(struct pc_sim *sim, const struct sim_node *node,
    const struct sim_config *before, const struct sim_config *made)
{
    uint8_t maker = sim_ghost_id(&sim->ghost, node->id);
    bool led = sim_ghost_term(&sim->ghost, made->term)->leader == maker + 1;
    if (!led || before == NULL) {
        sim_fail(sim, PC_SIM_B12, "%s makes members at %" PRIu64 " and never led term %" PRIu64,
            node->name, made->index, made->term);
        return;
    }
    bool own_term = node->commit > 0 && node->mem.term[node->commit] >= made->term;
    if (!own_term) {
        sim_fail(sim, PC_SIM_B12,
            "%s changes the members at %" PRIu64 " with no entry of its term %" PRIu64 " committed",
            node->name, made->index, made->term);
    } else if (before->index > node->commit) {
        sim_fail(sim, PC_SIM_B12,
            "%s changes the members at %" PRIu64 " while the change at %" PRIu64 " is pending",
            node->name, made->index, before->index);
    }
    size_t same = common_voters(before, made);
    size_t changed = before->raft.voters_n - same + made->raft.voters_n - same;
    if (changed > 1) {
        sim_fail(sim, PC_SIM_B12, "%s changes %zu votes at once, at %" PRIu64, node->name, changed,
            made->index);
    }
}

/* A set of `n` voters that shares `common` with another has a majority that needs so many of them.
 */
static size_t needs_of(size_t n, size_t common)
{
    size_t majority = n / 2 + 1, own = n - common;
    return majority > own ? majority - own : 0;
}

static bool majorities_meet(const struct sim_config *a, const struct sim_config *b)
{
    size_t common = common_voters(a, b);
    return needs_of(a->raft.voters_n, common) + needs_of(b->raft.voters_n, common) > common;
}

/* Whether this log could win an election: nothing committed is missing in it. */
static bool may_win(const struct pc_sim *sim, const struct sim_node *node)
{
    pc_index last = sim->ghost.last;
    return node->node != NULL && node->config != NULL && last > 0 &&
           sim_image_has(&node->mem, last, &sim->ghost.v[last].chain);
}

void sim_config_check_all(struct pc_sim *sim)
{
    sim_check_member_refused(sim);
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *a = &sim->nodes[i];
        for (size_t j = 0; j < i && may_win(sim, a); j++) {
            const struct sim_node *b = &sim->nodes[j];
            if (may_win(sim, b) && !majorities_meet(a->config, b->config)) {
                sim_fail(sim, PC_SIM_B12,
                    "majorities of the members at %" PRIu64 " on %s and at %" PRIu64
                    " on %s have no node in common",
                    a->config->index, a->name, b->config->index, b->name);
            }
        }
    }
}

/* ---- following the logs */

void sim_config_made(struct pc_sim *sim, const struct sim_node *node, const struct pc_entry *entry)
{
    if (config_at(sim, entry->index, &entry->chain) != NULL) {
        return;
    }
    struct sim_config *made = pc_xalloc(sizeof *made);
    *made = (struct sim_config){.index = entry->index, .term = entry->term, .chain = entry->chain};
    struct pc_slice body = pc_blob_slice(entry->body);
    bool is_fine = pc_wire_decode_config(body, &made->members) == PC_OK &&
                   pc_wire_raft_config(body, &made->raft);
    if (!is_fine) {
        sim_fail(sim, PC_SIM_W1, "the members at %" PRIu64 " do not decode", entry->index);
        free(made);
        return;
    }
    config_keep(sim, made);
    if (entry->index == 1) {
        return;
    }
    const struct sim_config *before = newest_in(sim, &node->mem, entry->index);
    check_made(sim, node, before, made);
    if (!sim->failed) {
        sim_check_member_made(sim, before, made);
        sim_check_spare_made(sim, node, before, made);
    }
}

void sim_config_follow(struct pc_sim *sim, struct sim_node *node)
{
    const struct sim_config *before = node->config;
    node->config = newest_in(sim, &node->mem, node->mem.last + 1);
    if (node->config != before) {
        sim_config_check_all(sim);
    }
}

const struct sim_config *sim_config_committed(const struct pc_sim *sim)
{
    const struct sim_config *newest = NULL;
    for (size_t i = 0; i < sim->configs_n; i++) {
        const struct sim_config *config = sim->configs[i];
        bool is_committed = config->index <= sim->ghost.last &&
                            pc_hash_equal(&sim->ghost.v[config->index].chain, &config->chain);
        newest =
            is_committed && (newest == NULL || config->index > newest->index) ? config : newest;
    }
    return newest;
}

/* ---- B.13 */

static bool ids_equal(const pc_node_id *a, size_t a_n, const pc_node_id *b, size_t b_n)
{
    size_t found = 0;
    for (size_t i = 0; i < a_n; i++) {
        for (size_t j = 0; j < b_n; j++) {
            found += a[i] == b[j] ? 1 : 0;
        }
    }
    return a_n == b_n && found == a_n;
}

void sim_config_check(struct pc_sim *sim, const struct sim_node *node)
{
    const struct pc_raft_config *raft = pc_raft_config_get(pc_node_raft(node->node));
    const struct sim_config *want = node->config;
    bool is_made = raft->index > node->mem.last; /* and handed out by the next turn */
    if (node->rot.gaps_n > 0 || is_made) {
        return; /* with gaps, what it knows of its log is not whole */
    }
    if (raft->index != (want != NULL ? want->index : 0)) {
        sim_fail(sim, PC_SIM_B13, "%s: the members at %" PRIu64 " count, not those at %" PRIu64,
            node->name, raft->index, want != NULL ? want->index : 0);
        return;
    }
    if (want == NULL) {
        return;
    }
    bool same =
        ids_equal(raft->voters, raft->voters_n, want->raft.voters, want->raft.voters_n) &&
        ids_equal(raft->learners, raft->learners_n, want->raft.learners, want->raft.learners_n);
    const struct pc_cluster_config *named = pc_node_config(node->node);
    for (size_t i = 0; i < want->members.members_n && same; i++) {
        same = named->members_n == want->members.members_n &&
               named->members[i].id == want->members.members[i].id &&
               named->members[i].votes == want->members.members[i].votes &&
               named->members[i].want == want->members.members[i].want;
    }
    if (!same) {
        sim_fail(sim, PC_SIM_B13, "%s: others than the members at %" PRIu64 " count", node->name,
            want->index);
    }
}
