/* What the cluster may be asked to understand. A message, or a field of one, is a matter of the two
 * at its ends, and the bus sees to it. An entry is read by every member: a form of it that is newer
 * than the first protocol is proposed only while all members linked to the leader speak its
 * number, and who does not is let in no more as long as the members are written in such a form. One
 * that was away meanwhile and comes back with its old program is thus refused, by name, until it is
 * upgraded; it cannot acknowledge what it cannot read, so nothing depends on its being asked. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

static const struct node_peer *peer_of(const struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].hello.id == id) {
            return &n->peers[i];
        }
    }
    return NULL;
}

/* The member that speaks least, and is linked; NULL = none speaks less than this node. */
static const struct node_peer *oldest_member(const struct pc_node *n)
{
    const struct node_peer *oldest = NULL;
    uint8_t least = n->opts.protocols.max;
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct node_peer *peer = peer_of(n, n->config.members[i].id);
        bool is_known = peer != NULL && peer->up && peer->hello.protocols.max != 0;
        if (is_known && peer->hello.protocols.max < least) {
            least = peer->hello.protocols.max;
            oldest = peer;
        }
    }
    return oldest;
}

uint8_t node_protocol(const struct pc_node *n)
{
    const struct node_peer *oldest = oldest_member(n);
    return oldest != NULL ? oldest->hello.protocols.max : n->opts.protocols.max;
}

bool node_protocol_lacks(const struct pc_node *n, uint8_t protocol, char *text, size_t max)
{
    const struct node_peer *oldest = oldest_member(n);
    if (oldest == NULL || oldest->hello.protocols.max >= protocol) {
        return false;
    }
    (void)snprintf(text, max, "%s speaks protocol %u, and this takes %u: upgrade it first",
        oldest->hello.name, oldest->hello.protocols.max, protocol);
    return true;
}

/* Are there members that the first protocol has no words for? */
static bool members_are_newer(const struct pc_cluster_config *config)
{
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        if (!member->votes || member->want != PC_WANT_VOTER) {
            return true;
        }
    }
    return false;
}

pc_err node_protocol_admit(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error)
{
    uint8_t speaks = hello->protocols.max;
    if (speaks == 0 || speaks >= PC_PROTOCOL_MEMBERS || !members_are_newer(&n->config)) {
        return PC_OK;
    }
    return pc_error_set(error, PC_E_VERSION,
        "%s speaks protocol %u, and the members of this cluster are written in protocol %d: upgrade"
        " %s first",
        hello->name, hello->protocols.max, PC_PROTOCOL_MEMBERS, hello->name);
}

void node_protocol_fill(const struct pc_node *n, struct pc_node_member *member)
{
    const struct node_peer *peer = member->id != 0 ? peer_of(n, member->id) : NULL;
    if (peer != NULL) {
        memcpy(member->build, peer->hello.build, sizeof member->build);
        member->protocol_max = peer->hello.protocols.max;
    }
    if (member->id == n->opts.id) {
        memcpy(member->build, n->opts.build, sizeof member->build);
        member->protocol_max = n->opts.protocols.max;
    }
}
