/* Who is alone: a voter that hears no other one. No link up, nothing received by bus or gossip,
 * nobody alive by SWIM, no leader, and no peer that refuses it. On the other side of a cut there
 * may well be a cluster at work; hence the mark on every answer. Whatever is heard of a voter
 * closes the branch at once, within the step, so that not even the next request of the same turn is
 * taken by it.
 *
 * Surprising: a voter that is there for the gossip alone, because something between the nodes lets
 * datagrams through and no connections, is heard as any other one. It may be part of a quorum that
 * goes on, and a branch beside a quorum is what is to be avoided; that it cannot be worked with is
 * no reason to have a branch. So such a node answers 503, until the connections are back, or the
 * datagrams stop as well. The histories:
 *
 * - (1) Nothing passes, the branch is open. (2) Datagrams pass again: a voter's ping comes, or an
 *   ack, or others say that it lives. (3) Closing, in that step; what was out becomes durable and
 *   is answered, marked. (4) The voter is alive by SWIM: no other branch is opened.
 * - (1) BEGIN is out. (2) A datagram of a voter comes. (3) BEGUN: END follows without a record.
 * - One way: (1) a voter's datagrams come here, but not ours there. Each is dead for the other, and
 *   SWIM stays at that, for nothing that we say of ourselves arrives. (2) It still speaks to one
 *   dead member now and then, and each of these datagrams is heard: it closes the branch, or starts
 *   the wait again. (3) A wait that is shorter than those pauses opens one branch after the other;
 *   they are as marked as ever.
 * - (1) The branch of before a restart is RESUMABLE. (2) A third node that is no voter says, from
 *   before it knew better, that a dead voter lives. That delays, and does not end, what stands on
 *   the disk. A datagram of the voter itself ends it. */
#include <string.h>

#include "node_int.h"

static bool voter_is_alive(const struct pc_node *n, pc_node_id id)
{
    const struct pc_member *seen = pc_swim_find(n->swim, id);
    return seen != NULL && (seen->state == PC_MEMBER_ALIVE || seen->state == PC_MEMBER_SUSPECT);
}

static bool voter_is_around(const struct pc_node *n, pc_node_id id)
{
    return pc_node_peer_is_up(n, id) || voter_is_alive(n, id);
}

static bool any_other_voter(
    const struct pc_node *n, bool (*is)(const struct pc_node *n, pc_node_id id))
{
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        if (member->votes && member->id != n->opts.id && is(n, member->id)) {
            return true;
        }
    }
    return false;
}

/* One of several voters, by a config that is committed. */
static bool is_one_of_many(const struct pc_node *n)
{
    const struct pc_cluster_member *self = node_config_get(&n->config, n->opts.id);
    return self != NULL && self->votes && n->configs_n == 1 && node_config_voters(&n->config) > 1;
}

/* All that is known is applied, and none of it is to be made anew. */
static bool is_settled(const struct pc_node *n, const struct pc_raft_status *status)
{
    return n->applied == status->commit && n->applied > 0 && status->doubt == 0 &&
           !node_load_is_on(n) && !node_digest_is_coming_back(n) && !node_repair_is_on(n);
}

static bool is_refused(const struct pc_node *n)
{
    return !pc_instant_is_due(n->solo.refused_until, n->now);
}

bool node_solo_is_alone(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool leads = status.role == PC_RAFT_LEADER || status.leader != 0;
    return !n->failed && !n->draining && !leads && is_one_of_many(n) && !node_is_spare(n) &&
           is_settled(n, &status) && !is_refused(n) && !any_other_voter(n, voter_is_around);
}

const char *node_solo_why_close(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (n->solo.heard || any_other_voter(n, pc_node_peer_is_up)) {
        return "another voter is heard";
    }
    if (is_refused(n)) {
        return "a peer refuses this node";
    }
    if (status.leader != 0 || status.role == PC_RAFT_LEADER) {
        return "there is a leader";
    }
    return status.commit != n->solo.base.index ? "there are entries behind its base" : NULL;
}

const char *node_solo_why_not_open(const struct pc_node *n)
{
    const char *why = node_solo_why_close(n);
    bool is_alive = why == NULL && any_other_voter(n, voter_is_alive);
    return is_alive ? "the gossip knows another voter to be alive" : why;
}

void node_solo_heard(struct pc_node *n, pc_node_id id)
{
    struct node_solo *s = &n->solo;
    if (!n->opts.solo && s->state == NODE_SOLO_NONE) {
        return;
    }
    const struct pc_cluster_member *member = node_config_get(&n->config, id);
    if (member == NULL || !member->votes || id == n->opts.id) {
        return;
    }
    s->is_alone = false;
    s->heard = true;
    if (s->state == NODE_SOLO_OPEN) {
        node_solo_close(n, node_solo_why_close(n));
    }
}

void node_solo_refused(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    s->refused_until = pc_instant_add_ms(n->now, NODE_SOLO_REFUSED_MS);
    s->is_alone = false;
    if (s->state == NODE_SOLO_OPEN) {
        node_solo_close(n, node_solo_why_close(n));
    }
}

void node_solo_gossiped(struct pc_node *n, const struct pc_swim_event *swim)
{
    if (swim->type == PC_SWIM_RECV) {
        node_solo_heard(n, swim->msg->from);
    }
    if (n->solo.state == NODE_SOLO_OPEN) {
        const char *why = node_solo_why_not_open(n);
        if (why != NULL) {
            node_solo_close(n, why);
        }
    }
}
