/* The votes of members that die: a spare takes them over, or the leader takes them away.
 *
 *     a spare S                                  auto_shrink
 *     A B C  (S)    A is dead                    A B C    A is dead: B and C are just a quorum
 *     (a) B C (s)   A's vote goes; S is wanted   (a) B C  its vote goes; it stays a member
 *                   as A was, and A as S was     (a) B    C died: the leader of two takes the
 *     (a) B C  S    S votes; A is the spare,              vote of the other
 *                   when it returns              A B      A returned: it votes as soon as it has
 *                                                         caught up
 *
 * Both are ordinary changes by a leader (thesis 4.1), so no node decides alone that others are
 * dead: a majority of the old voters and one of the new ones always have a node in common. A leader
 * whose only fellow voter is silent does not step down (raft.h, suspend_alone): it acknowledges
 * nothing, and nobody else can be elected without it. So it may take the other one's vote, be that
 * dead or merely cut off. The other one may not: it cannot tell the leader's death from a cut.
 * "Nobody else" is true as soon as the config of two is committed, thus on both disks: who has only
 * an older one needs the vote of one of the two, and gets none without that entry. Before, a leader
 * may be suspended all the same, while others elect one by the older config: it acknowledges
 * nothing, and pc_raft_can_change_config lets it take no vote.
 *
 * The dead one's vote goes before S has one: of three voters either change is committed by B and C
 * alone, as everything was before, so what becomes of S meanwhile is no matter. Were S to vote
 * first, three of A, B, C and S would be needed, and a spare that had lost its power a moment ago,
 * which nobody can know yet, would stop B and C, who are well. What may happen in between, for as
 * long as an entry takes:
 *
 *   1  The leader changes. S is wanted as a voter and does not vote: so whoever leads sees that a
 *      place is free, and fills it (node_member_auto.c, c) when S has kept up for a while.
 *   2  S dies. B and C go on, and none of them may be missed, as before the first change. S has a
 *      place without a vote: any spare that lives takes it when S is gone, also A, when it is back.
 *   3  A returns. It is the spare; S votes.
 *   4  B or C dies as well. The other one waits for that very node: until S votes neither S nor
 *      A's return helps. With S voting first, two of four would wait, too, but for either dead one.
 *
 * So the death of B or C in the moment that an entry takes costs more than in the other order, and
 * that of S in the second before it, or then, costs nothing instead of everything.
 *
 * With two voters the change that gives S its vote needs S: of two both are a quorum. So nobody
 * gets a vote that has not answered within an election timeout (node_member_may_vote).
 *
 * The trap of auto_shrink: once A has lost its vote and then B dies, A's return helps nobody,
 * whereas A and C of three unchanged voters would go on. Therefore it is off by default, comes only
 * when not one voter more may be lost, and a member that returns votes again at once. A spare has
 * no such price. Dead is who was silent for opts.dead_after_ms on the bus, and dead or unknown for
 * SWIM (node_member_is_gone); two such steps are as far apart. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

bool node_is_spare(const struct pc_node *n)
{
    const struct pc_cluster_member *self = node_config_get(&n->config, n->opts.id);
    return self != NULL && self->want == PC_WANT_SPARE;
}

static size_t voters_alive(struct pc_node *n, const struct pc_cluster_config *config)
{
    size_t alive = 0;
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        alive += member->votes && node_member_is_alive(n, member->id) ? 1 : 0;
    }
    return alive;
}

/* The other one of this name, or NULL. */
static struct pc_cluster_member *namesake_of(
    struct pc_cluster_config *config, const struct pc_cluster_member *member)
{
    size_t count;
    struct pc_cluster_member *first = node_config_named(config, member->name, &count);
    PC_ASSERT(count == 1 || count == 2);
    return count == 1 ? NULL : first == member ? first + 1 : first;
}

/* One that is being replaced has no place to come back to. */
static void vote_remove(struct pc_cluster_config *config, struct pc_cluster_member *member)
{
    PC_ASSERT(member->votes);
    if (namesake_of(config, member) != NULL) {
        node_config_drop(config, member);
    } else {
        member->votes = false;
    }
}

/* Gone, and nobody is about to take its place under its own name. */
static bool is_dead(
    struct pc_node *n, struct pc_cluster_config *config, const struct pc_cluster_member *member)
{
    const struct pc_cluster_member *other = namesake_of(config, member);
    bool has_heir =
        other != NULL && (other->votes || other->id == 0 || node_member_is_alive(n, other->id));
    return member->id != 0 && !node_member_is_leaving(member) && !has_heir &&
           node_member_is_gone(n, member->id);
}

/* The same for the leader that takes votes away: an order to replace it need not have been followed
 * yet, and stands. */
static bool is_dead_or_leaving(
    struct pc_node *n, struct pc_cluster_config *config, const struct pc_cluster_member *member)
{
    const struct pc_cluster_member *other = namesake_of(config, member);
    bool has_heir =
        other != NULL && other->id != 0 && (other->votes || node_member_is_alive(n, other->id));
    return member->id != 0 && !has_heir && node_member_is_gone(n, member->id);
}

/* ---- a spare */

static struct pc_cluster_member *spare_of(
    struct pc_node *n, struct pc_cluster_config *config, bool is_caught_up)
{
    for (size_t i = 0; i < config->members_n; i++) {
        struct pc_cluster_member *member = &config->members[i];
        bool is_idle = member->want == PC_WANT_SPARE && !member->votes && member->id != 0 &&
                       namesake_of(config, member) == NULL;
        if (is_idle && node_member_is_alive(n, member->id) &&
            (!is_caught_up || node_member_may_vote(n, member->id))) {
            return member;
        }
    }
    return NULL;
}

/* A voter that is dead; or one that died without a vote: auto_shrink took it, or it was a spare
 * that was about to have one. It may also be a newcomer: that one's place is taken only where a
 * voter more costs nothing, since of an odd number one more may be lost than of the even one below.
 */
static struct pc_cluster_member *place_for_spare(
    struct pc_node *n, struct pc_cluster_config *config)
{
    bool fills = n->opts.auto_shrink || node_config_voters(config) % 2 == 0;
    for (size_t i = 0; i < config->members_n; i++) {
        struct pc_cluster_member *member = &config->members[i];
        bool is_wanted = member->want == PC_WANT_VOTER &&
                         (member->votes || (fills && namesake_of(config, member) == NULL));
        if (is_wanted && is_dead(n, config, member)) {
            return member;
        }
    }
    return NULL;
}

bool node_member_take_over(struct pc_node *n, struct pc_cluster_config *config, char *why)
{
    struct pc_cluster_config tried = *config;
    struct pc_cluster_member *spare = spare_of(n, &tried, true);
    struct pc_cluster_member *dead = spare == NULL ? NULL : place_for_spare(n, &tried);
    if (dead == NULL || !pc_instant_is_due(n->leading.calm_at, n->now)) {
        return false;
    }
    (void)snprintf(why, PC_MEMBER_TEXT_BYTES_MAX + 1,
        "%s is dead: %s takes its vote, and is the"
        " spare no more",
        dead->name, spare->name);
    struct pc_cluster_member *other = namesake_of(&tried, dead);
    spare->want = PC_WANT_VOTER;
    dead->want = PC_WANT_SPARE;
    if (other != NULL) {
        other->want = PC_WANT_SPARE;
    }
    if (dead->votes) {
        vote_remove(&tried, dead);
    }
    if (!node_member_config_lives(n, &tried)) {
        return false;
    }
    *config = tried;
    return true;
}

/* Leaders of older versions give the spare its vote first, and may stop there. As long as there are
 * no more voters than there are to be, the vote of the dead one may still be of use. */
bool node_member_relieve(struct pc_node *n, struct pc_cluster_config *config, bool *hand_over)
{
    for (size_t i = 0; i < config->members_n; i++) {
        struct pc_cluster_config tried = *config;
        struct pc_cluster_member *member = &tried.members[i];
        if (!node_member_is_relieved(member) ||
            node_config_voters(&tried) <= node_config_target(&tried)) {
            continue;
        }
        bool is_self = member->id == n->opts.id;
        vote_remove(&tried, member);
        if (node_member_config_lives(n, &tried)) {
            *hand_over = is_self;
            *config = tried;
            return true;
        }
    }
    return false;
}

/* ---- auto_shrink */

/* Not one voter more may be lost; or the other one of two is. */
bool node_member_has_no_slack(struct pc_node *n, const struct pc_cluster_config *config)
{
    const struct pc_cluster_member *self = node_config_get(config, n->opts.id);
    size_t voters_n = node_config_voters(config), alive = voters_alive(n, config);
    bool is_last = voters_n == 2 && alive == 1;
    return self != NULL && self->votes && voters_n > 1 && (alive == voters_n / 2 + 1 || is_last);
}

bool node_member_shrink(struct pc_node *n, struct pc_cluster_config *config, char *why)
{
    bool is_due = n->opts.auto_shrink && pc_instant_is_due(n->leading.calm_at, n->now) &&
                  node_member_has_no_slack(n, config);
    /* A spare on its way does better, as long as work goes on without it. */
    bool goes_on = is_due && voters_alive(n, config) > node_config_voters(config) / 2;
    if (!is_due || (goes_on && spare_of(n, config, false) != NULL)) {
        return false;
    }
    for (size_t i = 0; i < config->members_n; i++) {
        struct pc_cluster_config tried = *config;
        struct pc_cluster_member *member = &tried.members[i];
        if (!member->votes || !is_dead_or_leaving(n, &tried, member)) {
            continue;
        }
        (void)snprintf(why, PC_MEMBER_TEXT_BYTES_MAX + 1,
            "%s is dead: it votes no more, until it returns", member->name);
        vote_remove(&tried, member);
        if (node_member_config_lives(n, &tried)) {
            *config = tried;
            return true;
        }
    }
    return false;
}

/* ---- waiting for a death */

bool node_member_awaits_death(struct pc_node *n)
{
    bool matters = n->opts.auto_shrink;
    for (size_t i = 0; i < n->config.members_n; i++) {
        matters |= n->config.members[i].want == PC_WANT_SPARE;
    }
    return matters && voters_alive(n, &n->config) < node_config_voters(&n->config);
}

/* ---- stopping */

/* In the eyes of a node that stops: it votes, it does not lead, and without it there is no quorum.
 */
static bool is_to_yield(const struct pc_node *n, const struct pc_raft_status *status)
{
    const struct pc_cluster_member *self = node_config_get(&n->config, n->opts.id);
    struct pc_node_redundancy redundancy;
    pc_node_redundancy(n, &redundancy);
    return n->draining && n->opts.auto_shrink && self != NULL && self->votes &&
           status->role != PC_RAFT_LEADER && status->leader != 0 &&
           pc_node_peer_is_up(n, status->leader) && redundancy.has_quorum &&
           redundancy.may_fail == 0;
}

void node_member_yield(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (!is_to_yield(n, &status) || !pc_instant_is_due(n->yield_at, n->now)) {
        return;
    }
    n->yield_at = pc_instant_add_ms(n->now, NODE_YIELD_MS);
    struct pc_msg *msg = node_msg_add(n, PC_MSG_MEMBER, status.leader);
    msg->member = pc_xalloc(sizeof *msg->member);
    *msg->member = (struct pc_member_msg){.nonce = n->next_nonce++, .op = PC_MEMBER_YIELD};
    memcpy(msg->member->name, n->opts.name, sizeof msg->member->name);
}

struct pc_instant node_member_yield_wake_at(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    return is_to_yield(n, &status) ? n->yield_at : PC_INSTANT_NEVER;
}

bool pc_node_may_stop(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool leads = status.role == PC_RAFT_LEADER && n->config.members_n > 1;
    return !leads && !is_to_yield(n, &status);
}
