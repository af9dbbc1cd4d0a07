/* B.42 to B.45: what nodes think of each other, against what is true and what they thought before.
 */
#include <inttypes.h>

#include "sim/sim_int.h"

static const struct pc_member *self_of(const struct sim_node *node)
{
    return pc_swim_find(pc_node_swim(node->node), node->id);
}

/* Is (generation, incarnation) of a after that of b? */
static bool life_after(const struct pc_member *a, const struct pc_member *b)
{
    return a->generation != b->generation ? a->generation > b->generation
                                          : a->incarnation > b->incarnation;
}

static void check_against_truth(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_member *said)
{
    struct sim_node *subject = sim_node_by_id(sim, said->id);
    if (subject == NULL) {
        return; /* an identity that was wiped */
    }
    const struct pc_member *own = subject->node != NULL ? self_of(subject) : NULL;
    bool invented =
        said->generation > subject->generation || (own != NULL && life_after(said, own));
    if (invented) {
        sim_fail(sim, PC_SIM_B43, "%s knows %s by %" PRIu64 "/%u, which it never was", node->name,
            subject->name, said->generation, said->incarnation);
    }
}

/* A verdict of an earlier life of the accuser comes back to it as a rumour. */
static bool was_declared(const struct pc_member *declared, const struct pc_member *now)
{
    return declared->id == now->id && declared->generation == now->generation &&
           declared->incarnation == now->incarnation;
}

static void check_death(
    struct pc_sim *sim, struct sim_node *node, size_t subject, const struct pc_member *now)
{
    const struct sim_seen *before = &node->seen[subject];
    bool own_verdict = now->state == PC_MEMBER_DEAD && now->accuser == node->id &&
                       (!before->known || before->member.state != PC_MEMBER_DEAD);
    if (!own_verdict || was_declared(&node->declared[subject], now)) {
        return;
    }
    node->declared[subject] = *now;
    if (before->blind) {
        return;
    }
    struct pc_swim_opts defaults;
    pc_swim_opts_default(&defaults);
    bool suspected = before->known && before->member.state == PC_MEMBER_SUSPECT &&
                     !life_after(now, &before->member);
    pc_ms waited = pc_instant_ms_between(before->suspect_since, sim_node_now(sim, node));
    if (!suspected || waited < defaults.suspicion_min_ms) {
        sim_fail(sim, PC_SIM_B45, "%s declares %s dead after %" PRIu64 " ms of suspicion",
            node->name, now->name, suspected ? waited : 0);
    }
}

static void check_member(struct pc_sim *sim, struct sim_node *node, const struct pc_member *now)
{
    struct sim_node *subject = sim_node_by_id(sim, now->id);
    if (subject == NULL) {
        return;
    }
    struct sim_seen *seen = &node->seen[subject->index];
    if (seen->member.id != now->id) {
        /* Another disk, another identity; what was thought of this one meanwhile was not seen. */
        *seen = (struct sim_seen){.blind = true};
        node->declared[subject->index] = *now;
    }
    if (seen->known && life_after(&seen->member, now)) {
        sim_fail(sim, PC_SIM_B43, "%s: the incarnation of %s falls", node->name, now->name);
    }
    bool same_life = seen->known && !life_after(now, &seen->member);
    if (same_life && now->state < seen->member.state) {
        sim_fail(sim, PC_SIM_B44, "%s: %s gets better from %d to %d in one incarnation", node->name,
            now->name, (int)seen->member.state, (int)now->state);
    }
    check_against_truth(sim, node, now);
    check_death(sim, node, subject->index, now);
    bool begins =
        now->state == PC_MEMBER_SUSPECT && (!same_life || seen->member.state != PC_MEMBER_SUSPECT);
    if (begins) {
        /* One suspicion after another is not reported: it began after the last look at least. */
        bool unseen = seen->known && seen->member.state == PC_MEMBER_SUSPECT;
        seen->suspect_since = unseen ? seen->at : sim_node_now(sim, node);
    }
    bool is_news = now->state == PC_MEMBER_ALIVE && seen->known && life_after(now, &seen->member);
    seen->blind = seen->blind && !is_news;
    seen->at = sim_node_now(sim, node);
    seen->known = true;
    seen->member = *now;
}

void sim_check_swim(struct pc_sim *sim, struct sim_node *node)
{
    const struct pc_member *members;
    size_t n = pc_swim_members(pc_node_swim(node->node), &members);
    bool leaves = node->says_goodbye && members[0].state == PC_MEMBER_LEFT;
    if (members[0].id != node->id || (members[0].state != PC_MEMBER_ALIVE && !leaves)) {
        sim_fail(sim, PC_SIM_B42, "%s thinks that it is not alive itself", node->name);
    }
    for (size_t i = 0; i < n && !sim->params.fault[PC_SIM_FAULT_SWIM_LIES]; i++) {
        check_member(sim, node, &members[i]);
    }
}

void sim_check_swim_recv(struct pc_sim *sim, struct sim_node *node, const struct pc_swim_msg *msg)
{
    if (node->node == NULL || node->log_failed || sim->params.fault[PC_SIM_FAULT_SWIM_LIES]) {
        return;
    }
    const struct pc_member *self = self_of(node);
    const struct pc_member *sender = pc_swim_find(pc_node_swim(node->node), msg->from);
    if (sender == NULL || msg->from_generation < sender->generation) {
        return; /* strangers, and the dead, are not listened to */
    }
    for (uint32_t i = 0; i < msg->updates_n; i++) {
        const struct pc_member *said = &msg->updates[i];
        bool ill = said->id == node->id && said->generation == self->generation &&
                   said->state != PC_MEMBER_ALIVE && said->incarnation >= self->incarnation;
        if (ill) {
            sim_fail(sim, PC_SIM_B42, "%s heard that it is not alive at %u, and stays at %u",
                node->name, said->incarnation, self->incarnation);
        }
    }
}
