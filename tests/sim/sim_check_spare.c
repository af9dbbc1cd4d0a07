/* Votes that the dead lose and spares get, nobody having asked: C.2, C.3. What is asked for is
 * C.1's business; here an entry is looked at for what no request can mean.
 *
 *     shrunk     a name stays wanted as a voter, and its vote goes
 *     taken      a name is wanted as a spare instead of as a voter, and another one the other way
 *                round; its vote goes, if it had one */
#include <inttypes.h>
#include <string.h>

#include "sim/sim_int.h"

/* Clocks of nodes may be wrong by this, in per cent. */
#define DRIFT 3
/* A node that stops in order may give its vote up for so long, and be gone by then. */
#define YIELD_US 10000000

static const struct pc_cluster_member *member_of(const struct sim_config *config, pc_node_id id)
{
    for (size_t i = 0; i < config->members.members_n && id != 0; i++) {
        if (config->members.members[i].id == id) {
            return &config->members.members[i];
        }
    }
    return NULL;
}

/* Is the name wanted as that? Of two of one name the one that is to vote counts. */
static bool is_wanted_as(
    const struct sim_config *config, const char *name, enum pc_member_want want)
{
    bool found = false, votes = false;
    for (size_t i = 0; i < config->members.members_n; i++) {
        const struct pc_cluster_member *member = &config->members.members[i];
        bool is_same = strcmp(member->name, name) == 0;
        found |= is_same && member->want == want;
        votes |= is_same && member->want == PC_WANT_VOTER;
    }
    return found && votes == (want == PC_WANT_VOTER);
}

/* Names that are wanted as `from` before and as `to` now; *name is one of them. */
static size_t names_turned(const struct sim_config *before, const struct sim_config *made,
    enum pc_member_want from, enum pc_member_want to, const char **name)
{
    size_t found = 0;
    for (size_t i = 0; i < made->members.members_n; i++) {
        const char *one = made->members.members[i].name;
        bool is_new_name = i == 0 || strcmp(made->members.members[i - 1].name, one) != 0;
        if (is_new_name && is_wanted_as(before, one, from) && is_wanted_as(made, one, to)) {
            *name = one;
            found++;
        }
    }
    return found;
}

bool sim_check_spare_is_swap(
    const struct sim_config *before, const struct sim_config *made, const char *name)
{
    const char *dead = "", *spare = "";
    bool is_swap = names_turned(before, made, PC_WANT_VOTER, PC_WANT_SPARE, &dead) == 1 &&
                   names_turned(before, made, PC_WANT_SPARE, PC_WANT_VOTER, &spare) == 1;
    return is_swap && (strcmp(name, dead) == 0 || strcmp(name, spare) == 0);
}

/* ---- C.3 */

void sim_check_spare_heard(
    struct sim_node *node, uint32_t from, const struct pc_raft_msg *msg, uint64_t now_us)
{
    if (msg->type == PC_RAFT_MSG_APPEND_RESP && msg->term == node->term) {
        node->answered_us[from] = now_us;
    }
}

static bool is_stopping(const struct pc_sim *sim, const struct sim_node *node)
{
    return node->stop_since_us > 0 && sim->now_us < node->stop_since_us + YIELD_US;
}

static uint64_t least_us(const struct pc_sim *sim)
{
    return sim->params.dead_after_ms * 1000 * (100 - DRIFT) / 100;
}

/* It has not answered this leader for long, and the last death that its log knows of is as long
 * ago. */
static void check_death(struct pc_sim *sim, const struct sim_node *maker,
    const struct sim_config *before, struct sim_config *made, const struct sim_node *dead)
{
    uint64_t answered_us = maker->answered_us[dead->index];
    if (sim->now_us < answered_us + least_us(sim)) {
        sim_fail(sim, PC_SIM_C3,
            "%s takes the vote of %s at %" PRIu64 ", which answered it %" PRIu64 " ms ago",
            maker->name, dead->name, made->index, (sim->now_us - answered_us) / 1000);
    } else if (before->death_us > 0 && sim->now_us < before->death_us + least_us(sim)) {
        sim_fail(sim, PC_SIM_C3,
            "%s takes the vote of %s at %" PRIu64 ", %" PRIu64 " ms after another one's",
            maker->name, dead->name, made->index, (sim->now_us - before->death_us) / 1000);
    }
    made->death_us = sim->now_us;
}

/* Who voted, and does not, though nobody asked for that; NULL: nobody. */
static const struct pc_cluster_member *loser_of(
    const struct sim_config *before, const struct sim_config *made)
{
    for (size_t i = 0; i < before->raft.voters_n; i++) {
        pc_node_id id = before->raft.voters[i];
        const struct pc_cluster_member *old = member_of(before, id), *new = member_of(made, id);
        bool stays = old != NULL && new != NULL && old->want == PC_WANT_VOTER;
        if (stays && !new->votes &&new->want != PC_WANT_REPLICA) {
            return new;
        }
    }
    return NULL;
}

static void note_votes(
    struct pc_sim *sim, const struct sim_config *before, const struct sim_config *made)
{
    for (size_t i = 0; i < made->raft.voters_n; i++) {
        pc_node_id id = made->raft.voters[i];
        bool voted = false;
        for (size_t j = 0; j < sim->configs_n && !sim_config_votes(before, id); j++) {
            voted |= sim->configs[j]->index < made->index && sim_config_votes(sim->configs[j], id);
        }
        sim->stats.votes_regained += voted ? 1 : 0;
    }
}

void sim_check_spare_made(struct pc_sim *sim, const struct sim_node *maker,
    const struct sim_config *before, struct sim_config *made)
{
    const char *name = "";
    size_t up = names_turned(before, made, PC_WANT_SPARE, PC_WANT_VOTER, &name);
    size_t down = names_turned(before, made, PC_WANT_VOTER, PC_WANT_SPARE, &name);
    made->death_us = before->death_us;
    note_votes(sim, before, made);
    if (down > 0 && (down > 1 || up != 1)) {
        sim_fail(sim, PC_SIM_C3,
            "at %" PRIu64 " %zu become spares instead of voters, and %zu the other way round",
            made->index, down, up);
        return;
    }
    const struct pc_cluster_member *loser = loser_of(before, made);
    const struct sim_node *dead = loser != NULL ? sim_node_by_id(sim, loser->id) : NULL;
    bool shrinks = loser != NULL && loser->want == PC_WANT_VOTER;
    sim->stats.places_taken += down;
    sim->stats.votes_taken += shrinks ? 1 : 0;
    if (shrinks && !sim->params.auto_shrink) {
        sim_fail(sim, PC_SIM_C3, "%s loses its vote at %" PRIu64 ", and auto_shrink is off",
            loser->name, made->index);
    } else if (dead != NULL && !(shrinks && is_stopping(sim, dead))) {
        check_death(sim, maker, before, made, dead);
    }
}

/* ---- C.2 */

static bool is_spare(const struct sim_node *node)
{
    const struct pc_cluster_member *self =
        node->config != NULL ? member_of(node->config, node->id) : NULL;
    return self != NULL && self->want == PC_WANT_SPARE;
}

void sim_check_spare_asked(const struct sim_node *node, struct sim_op *op)
{
    op->asked_spare = is_spare(node) ? node->config : NULL;
}

/* It was one when it was asked, and has been since. */
void sim_check_spare_answer(
    struct pc_sim *sim, const struct sim_node *node, const struct sim_op *op)
{
    if (op->asked_spare != NULL && op->asked_spare == node->config) {
        sim_fail(sim, PC_SIM_C2, "%s answers a %s, and is a spare", node->name,
            op->type == PC_REQUEST_GET ? "read" : "write");
    }
}

bool sim_check_spare_serves(const struct pc_sim *sim, const struct sim_node *node)
{
    const struct sim_config *config = sim_config_committed(sim);
    const struct pc_cluster_member *self = config != NULL ? member_of(config, node->id) : NULL;
    return self == NULL || self->want != PC_WANT_SPARE;
}
