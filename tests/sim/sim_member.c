/* Machines that come and go, and the administrators who decide on it.
 *
 * A machine has a name, and a disk with an identity, or an empty one:
 *
 *   absent -- ADD --> empty: a stranger -- invited --> its own again, a learner, a voter
 *                        ^                                       |
 *                        +--- disk lost, REPLACE, added again ---+--- REMOVE --> runs on, or absent
 *
 * Disks are lost for good only as long as of every set of members that may count, a majority has
 * its own. What a lost disk had acknowledged stays counted: a majority had it, too. A leader takes
 * up to a second to see that somebody is not there, and may take a vote away from another one
 * meanwhile: that would be a loss too many, which nothing can mend, and is left out.
 *
 * Two administrators ask any node for any change, at once and in any order. What was ordered is
 * carried out as people would: the machine is started, emptied or switched off when the answer is
 * there, or too early, or only when all is healed. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim_int.h"

#define LATER_US_MAX 3000000
#define TEND_US 200000
/* As long a request may be carried out, and a leader may take the dead for alive. */
#define ORDER_US 6000000
#define UNSEEN_US 2000000

static struct pc_prng *dice(struct pc_sim *sim)
{
    return &sim->rng_class[PC_SIM_FAULT_MEMBERS];
}

size_t sim_founders(const struct pc_sim_params *params)
{
    return params->founders_n > 0 ? params->founders_n : params->nodes_n;
}

bool sim_is_first_spare(const struct pc_sim_params *params, size_t index)
{
    size_t founders = sim_founders(params);
    return index >= founders && index < founders + params->spares_n;
}

/* ---- what may be lost */

/* Where votes of the dead go to others: a leader takes up to half a second to see that somebody is
 * not there, and may take the vote of a third one meanwhile, for good. As above, that is a loss too
 * many. */
static bool all_others_are_there(const struct pc_sim *sim, const struct sim_node *lost)
{
    bool votes_go = sim->params.auto_shrink || sim->params.spares_n > 0;
    for (size_t i = 0; votes_go && i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        bool is_cut = false;
        for (size_t j = 0; j < sim->params.nodes_n; j++) {
            is_cut |= sim->cuts[i][j] > 0 || sim->cuts[j][i] > 0 || sim->stream_cuts[i][j] > 0;
        }
        bool is_away = node->node == NULL || node->paused || is_cut;
        if (node != lost && is_away && sim_member_counts(sim, node)) {
            return false;
        }
    }
    return true;
}

static bool is_in_a_machine(const struct pc_sim *sim, pc_node_id id)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (sim->nodes[i].disk_id == id) {
            return true;
        }
    }
    return false;
}

static bool learns(const struct sim_config *config, pc_node_id id)
{
    for (size_t i = 0; i < config->raft.learners_n; i++) {
        if (config->raft.learners[i] == id) {
            return true;
        }
    }
    return false;
}

/* Every config that may be in force: the newest committed one, and all that were made behind it. A
 * learner is looked at as if it voted: it may at any moment. */
bool sim_member_may_lose(const struct pc_sim *sim, pc_node_id id)
{
    const struct sim_config *committed = sim_config_committed(sim);
    if (committed == NULL) {
        return false;
    }
    for (size_t i = 0; i < sim->configs_n; i++) {
        const struct sim_config *config = sim->configs[i];
        size_t voters_n = config->raft.voters_n, left = 0;
        bool votes = sim_config_votes(config, id);
        if (config->index < committed->index || (!votes && !learns(config, id))) {
            continue;
        }
        for (size_t j = 0; j < voters_n; j++) {
            pc_node_id voter = config->raft.voters[j];
            left += voter != id && is_in_a_machine(sim, voter) ? 1 : 0;
        }
        if (left < (votes ? voters_n : voters_n + 1) / 2 + 1) {
            return false;
        }
    }
    return true;
}

/* ---- machines */

static bool has_data(const struct sim_node *node)
{
    return !node->is_absent && !node->is_stranger;
}

/* An empty founder that still has its first settings forms a cluster with other empty ones. */
static bool another_founder_is_empty(const struct pc_sim *sim, const struct sim_node *node)
{
    size_t founders = sim_founders(&sim->params);
    for (size_t i = 0; i < founders; i++) {
        const struct sim_node *other = &sim->nodes[i];
        if (other != node && (other->is_stranger || other->joins)) {
            return true;
        }
    }
    return founders <= 2;
}

bool sim_member_empty(struct pc_sim *sim, struct sim_node *node, bool joins)
{
    bool may_shrink = sim->shrunk_us > 0 && sim->now_us < sim->shrunk_us + ORDER_US;
    if (has_data(node) && (may_shrink || !sim_member_may_lose(sim, node->disk_id) ||
                              !all_others_are_there(sim, node))) {
        return false;
    }
    sim->emptied_us = sim->now_us;
    if (node->node != NULL) {
        sim_node_crash(sim, node, PC_SIM_FS_KILL);
    }
    bool changes = sim->params.fault[PC_SIM_FAULT_MEMBERS]; /* in time founders may all be others */
    node->joins = node->joins || joins || changes || another_founder_is_empty(sim, node);
    sim_medium_renew(sim, node);
    sim_protocol_renew(sim, node);
    node->is_absent = false;
    return true;
}

void sim_member_lose_disk(struct pc_sim *sim)
{
    struct sim_node *node = &sim->nodes[pc_prng_below(sim->rng_fault, sim->params.nodes_n)];
    bool is_worth_it = has_data(node) && node->identity.has_log && node->disk.durable > 0;
    if (is_worth_it && sim_member_empty(sim, node, false)) {
        sim->stats.disks_replaced++;
        sim_node_start_later(sim, node);
    }
}

bool sim_member_joined(struct pc_sim *sim, struct sim_node *node)
{
    if (!sim_note_history(sim, node)) {
        return false;
    }
    if (node->is_stranger) {
        sim->stats.joined++;
        sim_trace_line(sim, "%s is let in as %016" PRIx64, node->name, node->id);
        sim_medium_adopt(sim, node);
    }
    return true;
}

/* ---- administrators */

static const struct pc_cluster_member *named(
    const struct pc_cluster_config *config, const char *name, size_t *count)
{
    const struct pc_cluster_member *first = NULL;
    *count = 0;
    for (size_t i = 0; i < config->members_n; i++) {
        if (strcmp(config->members[i].name, name) == 0) {
            first = first == NULL ? &config->members[i] : first;
            (*count)++;
        }
    }
    return first;
}

static bool suits(const struct pc_sim *sim, enum pc_member_op op, const struct sim_node *subject)
{
    const struct sim_config *config = sim_config_committed(sim);
    size_t count = 0;
    const struct pc_cluster_member *member =
        config != NULL ? named(&config->members, subject->name, &count) : NULL;
    switch (op) {
    case PC_MEMBER_ADD:
        return config != NULL && member == NULL;
    case PC_MEMBER_PROMOTE:
        return member != NULL && member->want != PC_WANT_VOTER;
    case PC_MEMBER_DEMOTE:
    case PC_MEMBER_REMOVE:
        return member != NULL && config->raft.voters_n > 1;
    default:
        return member != NULL && count == 1 && member->id != 0;
    }
}

/* What the cluster lacks is asked for more often, or it would be gone soon. */
static enum pc_member_op choose_op(struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    bool is_small = config != NULL && config->members.members_n < sim_founders(&sim->params);
    uint64_t n = pc_prng_below(dice(sim), 100);
    if (n < (is_small ? 50 : 25)) {
        return PC_MEMBER_ADD;
    }
    return n < 60   ? PC_MEMBER_REPLACE
           : n < 75 ? PC_MEMBER_PROMOTE
           : n < 87 ? PC_MEMBER_DEMOTE
                    : PC_MEMBER_REMOVE;
}

/* Somebody whom this change suits, mostly. */
static struct sim_node *choose_subject(struct pc_sim *sim, enum pc_member_op op)
{
    size_t n = sim->params.nodes_n, from = (size_t)pc_prng_below(dice(sim), n);
    bool is_careless = pc_prng_chance(dice(sim), 50000);
    for (size_t i = 0; i < n; i++) {
        struct sim_node *node = &sim->nodes[(from + i) % n];
        if (is_careless || suits(sim, op, node)) {
            return node;
        }
    }
    return NULL;
}

static struct sim_node *choose_asked(struct pc_sim *sim)
{
    size_t n = sim->params.nodes_n, from = (size_t)pc_prng_below(dice(sim), n);
    for (size_t i = 0; i < n; i++) {
        struct sim_node *node = &sim->nodes[(from + i) % n];
        if (node->node != NULL && !node->paused && node->stop == SIM_STOP_NONE) {
            return node;
        }
    }
    return NULL;
}

static void later(struct pc_sim *sim, const struct sim_node *subject, enum pc_member_op op)
{
    uint64_t us = pc_prng_chance(dice(sim), 300000) ? pc_prng_below(dice(sim), LATER_US_MAX) : 1000;
    sim_at(sim, us,
        (struct sim_event){.type = SIM_EV_MACHINE, .node = subject->index, .a = (uint64_t)op});
}

static void administrator_act(struct pc_sim *sim, size_t administrator)
{
    enum pc_member_op op = choose_op(sim);
    struct sim_node *subject = choose_subject(sim, op), *asked = choose_asked(sim);
    bool shrinks = op == PC_MEMBER_REMOVE || op == PC_MEMBER_DEMOTE;
    bool is_unseen = sim->emptied_us > 0 && sim->now_us < sim->emptied_us + UNSEEN_US;
    if (subject == NULL || asked == NULL || (shrinks && is_unseen)) {
        return;
    }
    sim->shrunk_us = shrinks ? sim->now_us : sim->shrunk_us;
    bool as_spare = sim->params.spares_n > 0 && pc_prng_chance(dice(sim), 500000);
    enum pc_member_want want = pc_prng_chance(dice(sim), 800000) ? PC_WANT_VOTER
                               : as_spare                        ? PC_WANT_SPARE
                                                                 : PC_WANT_REPLICA;
    struct pc_member_change change = {.op = op, .want = want};
    memcpy(change.name, subject->name, sizeof subject->name);
    sim->administrators[administrator] = sim_client_member(sim, asked, &change);
    sim->stats.member_requests++;
    if (op == PC_MEMBER_ADD && pc_prng_chance(dice(sim), 200000)) {
        later(sim, subject, op); /* started before it is known that it may come */
    }
}

void sim_member_strike(struct pc_sim *sim)
{
    bool both = pc_prng_chance(dice(sim), 300000);
    size_t first = (size_t)pc_prng_below(dice(sim), SIM_ADMINISTRATORS);
    for (size_t i = 0; i < SIM_ADMINISTRATORS; i++) {
        if (sim->administrators[i] == 0 && (both || i == first)) {
            administrator_act(sim, i);
        }
    }
}

static struct sim_node *node_named(struct pc_sim *sim, const char *name)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (strcmp(sim->nodes[i].name, name) == 0) {
            return &sim->nodes[i];
        }
    }
    return NULL;
}

void sim_member_answered(struct pc_sim *sim, const struct sim_op *op)
{
    for (size_t i = 0; i < SIM_ADMINISTRATORS; i++) {
        if (sim->administrators[i] != op->tag) {
            continue;
        }
        sim->administrators[i] = 0;
        struct sim_node *subject = node_named(sim, op->member.name);
        bool done = !op->died && op->result.status == PC_REPLY_OK;
        bool perhaps = op->died || op->result.status == PC_REPLY_UNKNOWN;
        sim->stats.members_changed += done ? 1 : 0;
        if (sim->chaos && (done || (perhaps && pc_prng_chance(dice(sim), 500000)))) {
            later(sim, subject, op->member.op);
        }
    }
}

/* ---- what is done with a machine after an order */

void sim_member_machine(struct pc_sim *sim, struct sim_node *node, enum pc_member_op op)
{
    const struct sim_config *config = sim_config_committed(sim);
    size_t count = 0;
    const struct pc_cluster_member *member =
        config != NULL ? named(&config->members, node->name, &count) : NULL;
    bool knows_it = false;
    for (size_t i = 0; config != NULL && i < config->members.members_n; i++) {
        knows_it |= node->disk_id != 0 && config->members.members[i].id == node->disk_id;
    }
    bool is_for_new = op == PC_MEMBER_ADD && has_data(node) && !knows_it;
    bool is_for_replaced = op == PC_MEMBER_REPLACE && count == 2 && knows_it && has_data(node);
    if (node->is_absent || is_for_new || is_for_replaced) {
        bool wanted = op == PC_MEMBER_ADD || op == PC_MEMBER_REPLACE;
        if (wanted && sim_member_empty(sim, node, true)) {
            sim_node_start_later(sim, node);
        }
    } else if (op == PC_MEMBER_REMOVE && member == NULL && pc_prng_chance(dice(sim), 300000)) {
        if (node->node != NULL) {
            sim_node_crash(sim, node, PC_SIM_FS_KILL);
        }
        sim_trace_line(sim, "%s is switched off for good", node->name);
        node->is_absent = true; /* whoever switches it on again empties it first */
    }
}

/* ---- healing */

static bool runs(const struct pc_sim *sim, const char *name, pc_node_id id)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        const struct sim_node *node = &sim->nodes[i];
        if (strcmp(node->name, name) == 0 && node->disk_id == id && node->node != NULL) {
            return true;
        }
    }
    return false;
}

/* An identity that was let in once and is out again does not come back, empty as it may be. */
static bool was_member(const struct pc_sim *sim, pc_node_id id)
{
    for (size_t i = 0; i < sim->configs_n && id != 0; i++) {
        if (sim_config_votes(sim->configs[i], id) || learns(sim->configs[i], id)) {
            return true;
        }
    }
    return false;
}

/* Sees to it that every member has a machine that may be it. */
static void tend(struct pc_sim *sim, struct sim_node *node, const struct pc_cluster_config *config)
{
    size_t count;
    bool knows_it = false, is_invited = false;
    if (named(config, node->name, &count) == NULL) {
        return;
    }
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        bool is_same = strcmp(member->name, node->name) == 0;
        knows_it |= is_same && member->id == node->disk_id && node->disk_id != 0;
        is_invited |= is_same && member->id == 0;
    }
    bool is_somebody = has_data(node) || was_member(sim, node->disk_id);
    bool is_useless = is_somebody && (!knows_it || is_invited);
    if ((node->is_absent && !knows_it) || is_useless) {
        (void)sim_member_empty(sim, node, true);
    }
    node->is_absent = false;
    if (node->node == NULL && !sim->failed) {
        sim_node_start(sim, node);
    }
}

void sim_member_tend(struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    if (!sim->params.replaces_lost || sim->now_us < sim->tended_us + TEND_US || config == NULL) {
        return;
    }
    sim->tended_us = sim->now_us;
    for (size_t i = 0; i < sim->params.nodes_n && !sim->failed; i++) {
        tend(sim, &sim->nodes[i], &config->members);
    }
}

bool sim_member_counts(const struct pc_sim *sim, const struct sim_node *node)
{
    const struct sim_config *config = sim_config_committed(sim);
    bool is_member = config == NULL || !sim->params.replaces_lost;
    for (size_t i = 0; !is_member && i < config->members.members_n; i++) {
        is_member = config->members.members[i].id == node->id;
    }
    return is_member && !node->is_absent && (!node->is_lost || sim->params.replaces_lost);
}

/* An order to replace one who cannot be spared: it waits for another machine of its name. */
static bool waits_rightly(
    const struct pc_sim *sim, const struct pc_cluster_config *config, const char *name)
{
    bool is_invited = false, is_kept = false;
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        bool is_same = strcmp(member->name, name) == 0;
        is_invited |= is_same && member->id == 0;
        is_kept |= is_same && member->votes && runs(sim, name, member->id) &&
                   !sim_member_may_lose(sim, member->id);
    }
    return is_invited && is_kept;
}

const char *sim_member_unsettled(const struct pc_sim *sim)
{
    const struct sim_config *config = sim_config_committed(sim);
    if (config == NULL || !sim->params.replaces_lost) {
        return NULL;
    }
    for (size_t i = 0; i < config->members.members_n; i++) {
        const struct pc_cluster_member *member = &config->members.members[i];
        size_t count;
        (void)named(&config->members, member->name, &count);
        if (count > 1 && waits_rightly(sim, &config->members, member->name)) {
            continue;
        }
        if (count > 1) {
            return "one takes the place of another";
        }
        if (member->id == 0 || !runs(sim, member->name, member->id)) {
            return "a member is not there";
        }
        if (member->votes != (member->want == PC_WANT_VOTER)) {
            return "not all vote who are to";
        }
    }
    return NULL;
}
