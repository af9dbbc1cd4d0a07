/* C.1: what is answered about members is true. "Done" means that a committed entry says so, of the
 * time of the request or later; what was refused as not done is never committed. And nobody becomes
 * or ceases to be a member, or is wanted as something else, unless somebody asked for it. */
#include <inttypes.h>
#include <string.h>

#include "sim/sim_int.h"

/* ---- what a config says of a name */

struct standing {
    size_t count;
    const struct pc_cluster_member *first;
    bool is_invited;
};

static struct standing standing_of(const struct sim_config *config, const char *name)
{
    struct standing standing = {0};
    for (size_t i = 0; config != NULL && i < config->members.members_n; i++) {
        const struct pc_cluster_member *member = &config->members.members[i];
        if (strcmp(member->name, name) == 0) {
            standing.first = standing.count == 0 ? member : standing.first;
            standing.is_invited |= member->id == 0;
            standing.count++;
        }
    }
    return standing;
}

static bool says(const struct sim_config *config, const struct pc_member_change *change)
{
    struct standing now = standing_of(config, change->name);
    switch (change->op) {
    case PC_MEMBER_ADD:
        return now.count > 0;
    case PC_MEMBER_REMOVE:
        return now.count == 0;
    case PC_MEMBER_PROMOTE:
        return now.count > 0 && now.first->want == PC_WANT_VOTER;
    case PC_MEMBER_DEMOTE:
        return now.count > 0 && now.first->want == PC_WANT_REPLICA && !now.first->votes;
    default:
        return now.is_invited;
    }
}

/* ---- answers */

static bool is_committed(const struct pc_sim *sim, const struct sim_config *config)
{
    return config->index <= sim->ghost.last &&
           pc_hash_equal(&sim->ghost.v[config->index].chain, &config->chain);
}

static void check_done(struct pc_sim *sim, const struct sim_node *node, const struct sim_op *op)
{
    for (size_t i = 0; i < sim->configs_n; i++) {
        const struct sim_config *config = sim->configs[i];
        if (config->index >= op->since && is_committed(sim, config) && says(config, &op->member)) {
            return;
        }
    }
    sim_fail(sim, PC_SIM_C1, "%s says that change %d of %s is done, and no committed entry does",
        node->name, (int)op->member.op, op->member.name);
}

void sim_check_member_reply(
    struct pc_sim *sim, struct sim_node *node, struct sim_op *op, enum pc_reply_status status)
{
    op->is_refused = status != PC_REPLY_OK && status != PC_REPLY_UNKNOWN;
    if (status == PC_REPLY_OK) {
        check_done(sim, node, op);
    }
    for (size_t i = 0; i < sim->configs_n && op->is_refused; i++) {
        struct sim_config *config = sim->configs[i];
        config->is_refused |= config->asked == op->tag;
    }
}

void sim_check_member_refused(struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->configs_n; i++) {
        const struct sim_config *config = sim->configs[i];
        if (config->is_refused && is_committed(sim, config)) {
            sim_fail(sim, PC_SIM_C1, "the change of members at %" PRIu64 " was refused as not done",
                config->index);
        }
    }
}

/* ---- entries */

/* Has somebody asked for this? *config notes who, when only one can have been meant. */
static bool was_asked(
    struct pc_sim *sim, struct sim_config *config, enum pc_member_op kind, const char *name)
{
    size_t found = 0; /* what was answered as unknown may still be on its way */
    for (size_t i = 0; i < sim->ops_n; i++) {
        const struct sim_op *op = &sim->ops[i];
        if (op->type != PC_REQUEST_MEMBER || !op->arrived || op->is_refused ||
            op->member.op != kind || strcmp(op->member.name, name) != 0) {
            continue;
        }
        found++;
        config->asked = op->tag;
    }
    config->asked = found == 1 ? config->asked : 0;
    return found > 0;
}

static void check_name(
    struct pc_sim *sim, const struct sim_config *before, struct sim_config *made, const char *name)
{
    struct standing old = standing_of(before, name), new = standing_of(made, name);
    enum pc_member_op kind;
    if (old.count == 0 || new.count == 0) {
        kind = old.count == 0 ? PC_MEMBER_ADD : PC_MEMBER_REMOVE;
    } else if (old.count == 1 && new.count == 1 && old.first->want != new.first->want) {
        kind = new.first->want == PC_WANT_VOTER ? PC_MEMBER_PROMOTE : PC_MEMBER_DEMOTE;
    } else {
        return;
    }
    if (!was_asked(sim, made, kind, name)) {
        sim_fail(sim, PC_SIM_C1, "change %d of %s at %" PRIu64 " was asked for by nobody",
            (int)kind, name, made->index);
    }
}

void sim_check_member_made(
    struct pc_sim *sim, const struct sim_config *before, struct sim_config *made)
{
    for (size_t i = 0; i < made->members.members_n; i++) {
        const char *name = made->members.members[i].name;
        if (!sim_check_spare_is_swap(before, made, name)) {
            check_name(sim, before, made, name);
        }
    }
    for (size_t i = 0; i < before->members.members_n; i++) {
        const char *name = before->members.members[i].name;
        if (standing_of(made, name).count == 0) {
            check_name(sim, before, made, name);
        }
    }
}
