/* Changes that nobody asks for: who was invited comes, who is caught up votes, who comes with an
 * empty disk under the name of one that is gone takes its place. One step at a time:
 *
 *     a  invited name, empty peer                    its id is bound, it learns
 *     b  known name, another id, empty, old one gone it learns beside the old one
 *                                                    (in its place, if that did not vote)
 *     c  caught up, wanted as a voter                it votes; an old one beside it is leaving now
 *     d  leaving, and the new one votes              the old one is removed
 *     e  the new one is gone before it voted         its place is free again
 *
 * and what node_member_spare.c does when voters die. What was begun is finished first (d, e, c, the
 * dead, b, a), so there are few identities too many. Every step that changes who votes leaves a
 * living quorum. */
#include <string.h>

#include "node_int.h"

/* Old and new of one name; heir NULL: the name stands once. */
struct pair {
    struct pc_cluster_member *old;
    struct pc_cluster_member *heir;
};

static struct pair pair_of(struct pc_cluster_config *config, struct pc_cluster_member *member)
{
    size_t count;
    struct pc_cluster_member *first = node_config_named(config, member->name, &count);
    if (count < 2) {
        return (struct pair){.old = member};
    }
    struct pc_cluster_member *second = first + 1;
    bool first_is_old = first->votes && (!second->votes || node_member_is_leaving(first));
    return first_is_old ? (struct pair){.old = first, .heir = second}
                        : (struct pair){.old = second, .heir = first};
}

bool node_member_config_lives(struct pc_node *n, const struct pc_cluster_config *config)
{
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1];
    return node_config_voters(config) > 0 && node_member_quorum_lives(n, config, text);
}

/* It will not come back as it was, or it was said that it is not to. */
static bool old_may_go(struct pc_node *n, const struct pc_cluster_member *old)
{
    return node_member_is_leaving(old) || node_member_is_gone(n, old->id);
}

/* d. The old one goes before the new one votes where it is gone: with both, four voters of whom one
 * is dead would hang as soon as the new one dies, too, and the three that were before would not.
 * And where there are as many voters as there may be. Where it is the leader that is to go, it
 * hands over first: others do not wait for that. */
static bool next_removal(struct pc_node *n, struct pc_cluster_config *config, bool *hand_over)
{
    for (size_t i = 0; i < config->members_n; i++) {
        struct pair pair = pair_of(config, &config->members[i]);
        if (pair.heir == NULL) {
            continue;
        }
        bool goes_first = node_config_voters(config) == PC_VOTERS_MAX
                              ? old_may_go(n, pair.old)
                              : node_member_is_gone(n, pair.old->id);
        goes_first = goes_first && node_member_may_vote(n, pair.heir->id);
        if (!goes_first && (!pair.heir->votes || !node_member_is_alive(n, pair.heir->id))) {
            continue;
        }
        struct pc_cluster_config tried = *config;
        node_config_drop(&tried, &tried.members[pair.old - config->members]);
        if (!node_member_config_lives(n, &tried)) {
            continue;
        }
        if (pair.old->id == n->opts.id) {
            *hand_over = true;
            continue;
        }
        *hand_over = false;
        *config = tried;
        return true;
    }
    return false;
}

/* e. Without an order to replace it, an old member that is back keeps its place. With one, a
 * newcomer that is away is waited for: it has data already, and would otherwise be a stranger when
 * it is back. Another empty disk of its name may take the place meanwhile (newcomer_placed). */
static bool next_cancel(struct pc_node *n, struct pc_cluster_config *config)
{
    for (size_t i = 0; i < config->members_n; i++) {
        struct pair pair = pair_of(config, &config->members[i]);
        bool is_needless = pair.heir != NULL && !pair.heir->votes &&
                           !node_member_is_leaving(pair.old) &&
                           node_member_is_alive(n, pair.old->id);
        if (is_needless) {
            node_config_drop(config, pair.heir);
            return true;
        }
    }
    return false;
}

/* c */
static bool next_promotion(struct pc_node *n, struct pc_cluster_config *config)
{
    size_t voters_n = node_config_voters(config);
    for (size_t i = 0; i < config->members_n && voters_n < PC_VOTERS_MAX; i++) {
        struct pc_cluster_member *member = &config->members[i];
        if (member->votes || member->id == 0 || member->want != PC_WANT_VOTER ||
            !node_member_may_vote(n, member->id)) {
            continue;
        }
        struct pair pair = pair_of(config, member);
        bool may =
            pair.heir != NULL ? old_may_go(n, pair.old) : voters_n < node_config_target(config);
        if (!may) {
            continue;
        }
        struct pc_cluster_config tried = *config;
        tried.members[i].votes = true;
        if (pair.heir != NULL) {
            tried.members[pair.old - config->members].want = PC_WANT_REPLICA;
        }
        if (node_member_config_lives(n, &tried)) {
            *config = tried;
            return true;
        }
    }
    return false;
}

static bool peer_is_new_here(const struct pc_node *n, const struct node_peer *peer)
{
    return peer->up && node_peer_is_empty(peer) &&
           node_config_get(&n->config, peer->hello.id) == NULL &&
           !node_config_is_removed(n, peer->hello.id);
}

/* a, b: the place that this newcomer may have, taken. */
static bool newcomer_placed(
    struct pc_node *n, struct pc_cluster_config *config, const struct node_peer *peer)
{
    size_t count;
    struct pc_cluster_member *member = node_config_named(config, peer->hello.name, &count);
    if (count == 0) {
        return false;
    }
    struct pair pair = pair_of(config, member);
    struct pc_cluster_member *place = pair.heir != NULL ? pair.heir : pair.old;
    bool may_be_lost = n->opts.replaces_lost && node_member_is_gone(n, place->id);
    if (place->id != 0 && !may_be_lost) {
        return false;
    }
    if (!place->votes) {
        place->id = peer->hello.id;
        node_config_sort(config);
        return true;
    }
    if (pair.heir != NULL || config->members_n == PC_CLUSTER_MEMBERS_MAX) {
        return false; /* the old one goes first */
    }
    struct pc_cluster_member heir = *place;
    heir.id = peer->hello.id;
    heir.votes = false;
    node_config_add(config, &heir);
    return true;
}

bool node_member_next(
    struct pc_node *n, struct pc_cluster_config *config, bool *hand_over, char *why)
{
    *hand_over = false;
    why[0] = '\0';
    bool leads_on = false; /* although it is to go */
    /* What changes no vote waits for a quorum: begun without one it would never be committed, and
     * no other change could be, be it the one that would make do with fewer votes. */
    bool lives = node_member_config_lives(n, config);
    if (next_removal(n, config, &leads_on) || (lives && next_cancel(n, config)) ||
        node_member_relieve(n, config, hand_over) || next_promotion(n, config) ||
        node_member_take_over(n, config, why) || node_member_shrink(n, config, why)) {
        return true;
    }
    why[0] = '\0';
    for (size_t i = 0; i < n->peers_n && lives; i++) {
        if (peer_is_new_here(n, &n->peers[i]) && newcomer_placed(n, config, &n->peers[i])) {
            return true;
        }
    }
    *hand_over = leads_on;
    return leads_on;
}
