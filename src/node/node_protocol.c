/* What the cluster may be asked to understand. A message, or a field of one, is a matter of the two
 * at its ends, and the bus sees to it. An entry is read by every member: a form of it that is newer
 * than the first protocol is proposed only while this node and all members linked to it speak its
 * number. One that was away meanwhile, and comes back with its old program, is refused by name
 * until it is upgraded, by everybody who has applied such an entry, or has such members: it could
 * not have the log any more, and what its own disk has of such entries it would take for something
 * else. Until somebody refuses it, the leader withholds from it what it cannot read, and says so.
 * It cannot acknowledge that either, so nothing depends on its being asked. For the rest of that
 * term it gets no heartbeats either: a leader that only such members hear would go on for ever
 * without committing anything, where others may have a majority that can.
 *
 * For the same reason a program that finds such an entry in its own log does nothing with it, and
 * nothing behind it: the node ends, and says which program it takes. */
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

/* Who of this node and the members linked to it speaks least. */
static struct pc_protocols oldest_of(const struct pc_node *n, const char **name)
{
    struct pc_protocols least = n->opts.protocols;
    *name = n->opts.name;
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct node_peer *peer = peer_of(n, n->config.members[i].id);
        bool is_known = peer != NULL && peer->up && peer->hello.protocols.max != 0;
        if (is_known && peer->hello.protocols.max < least.max) {
            least = peer->hello.protocols;
            *name = peer->hello.name;
        }
    }
    return least;
}

uint8_t node_protocol(const struct pc_node *n)
{
    const char *name;
    return oldest_of(n, &name).max;
}

bool node_protocol_lacks(const struct pc_node *n, uint8_t protocol, char *text, size_t max)
{
    const char *name;
    uint8_t least = oldest_of(n, &name).max;
    if (least >= protocol) {
        return false;
    }
    (void)snprintf(text, max, "%s speaks protocol %u, and this takes %u: upgrade it first", name,
        least, protocol);
    return true;
}

/* ---- who is let in */

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
    if (speaks == 0) {
        return PC_OK;
    }
    if (speaks < n->applied_protocol) {
        return pc_error_set(error, PC_E_VERSION,
            "%s speaks protocol %u, and entries of this log are written in protocol %u: upgrade %s"
            " first",
            hello->name, speaks, n->applied_protocol, hello->name);
    }
    if (speaks >= PC_PROTOCOL_MEMBERS || !members_are_newer(&n->config)) {
        return PC_OK;
    }
    return pc_error_set(error, PC_E_VERSION,
        "%s speaks protocol %u, and the members of this cluster are written in protocol %d: upgrade"
        " %s first",
        hello->name, speaks, PC_PROTOCOL_MEMBERS, hello->name);
}

/* ---- what this program reads, and a peer's */

static pc_err refuse_entry(
    const struct pc_node *n, pc_index index, uint8_t protocol, struct pc_error *error)
{
    char ours[16];
    pc_protocols_format(n->opts.protocols, ours);
    return pc_error_set(error, PC_E_VERSION,
        "entry %llu is written in protocol %u, and this program speaks %s: start the version that"
        " ran here last",
        (unsigned long long)index, protocol, ours);
}

pc_err node_protocol_read(
    const struct pc_node *n, const struct pc_entry *entry, struct pc_error *error)
{
    uint8_t protocol = pc_wire_entry_protocol(entry);
    return protocol <= n->opts.protocols.max ? PC_OK
                                             : refuse_entry(n, entry->index, protocol, error);
}

bool node_protocol_applies(struct pc_node *n, const struct pc_entry *entry)
{
    if (n->unreadable.code != PC_OK || node_protocol_read(n, entry, &n->unreadable) != PC_OK) {
        return false;
    }
    uint8_t protocol = pc_wire_entry_protocol(entry);
    n->applied_protocol = protocol > n->applied_protocol ? protocol : n->applied_protocol;
    return true;
}

void node_protocol_turn(struct pc_node *n)
{
    if (n->unreadable.code != PC_OK && !n->failed) {
        node_note_add(n, PC_NOTE_UNREADABLE, 0, 0, 0, n->unreadable.text);
        node_log_failed(n);
    }
}

bool node_protocol_may_send(struct pc_node *n, const struct pc_msg *msg)
{
    PC_ASSERT(msg->type == PC_MSG_RAFT);
    uint8_t protocol = pc_wire_msg_protocol(msg);
    struct node_peer *peer = node_peer_find(n, msg->to);
    bool is_append = msg->raft.type == PC_RAFT_MSG_APPEND;
    if (protocol == PC_PROTOCOL_FIRST && is_append && peer != NULL && peer->withheld_term != 0) {
        /* Heartbeats alone would keep a leader in place that can commit nothing. */
        return peer->withheld_term != msg->raft.term;
    }
    if (protocol == PC_PROTOCOL_FIRST) {
        return true;
    }
    if (protocol > n->opts.protocols.max) {
        return false; /* committed before this program ran here: it ends when it applies it */
    }
    if (peer == NULL || peer->hello.protocols.max == 0 || peer->hello.protocols.max >= protocol) {
        return true;
    }
    peer->withheld_term = is_append ? msg->raft.term : peer->withheld_term;
    if (!peer->is_withheld) {
        char text[PC_MEMBER_TEXT_BYTES_MAX + 1];
        (void)snprintf(text, sizeof text,
            "%s speaks protocol %u, and its next entries take %u: it gets none before it is"
            " upgraded",
            peer->hello.name, peer->hello.protocols.max, protocol);
        peer->is_withheld = true;
        node_note_add(n, PC_NOTE_WITHHELD, peer->hello.id, protocol, 0, text);
    }
    return false;
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
