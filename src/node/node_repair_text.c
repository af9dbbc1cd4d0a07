/* What a node that has lost entries says of itself: how far it is, what it waits for and from whom.
 */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

static void gaps_text(const struct pc_node *n, char *out, size_t out_max)
{
    const struct node_repair *r = &n->repair;
    pc_index lost = 0, back = 0;
    for (size_t i = 0; i < r->gaps_n; i++) {
        pc_index all = r->gaps[i].last - r->gaps[i].first + 1;
        pc_index of_this = r->next > r->gaps[i].first ? r->next - r->gaps[i].first : 0;
        lost += all;
        back += i < r->at ? all : i == r->at ? of_this : 0;
    }
    PC_ASSERT(back <= lost && lost > 0);
    char snapshot[96];
    node_snapshot_text(n, snapshot, sizeof snapshot);
    (void)snprintf(out, out_max, "repairing entries %llu..%llu from peers (%llu%%)%s%s",
        (unsigned long long)r->gaps[0].first, (unsigned long long)r->gaps[r->gaps_n - 1].last,
        (unsigned long long)(back * 100 / lost), snapshot[0] != '\0' ? "; " : "", snapshot);
}

static bool is_up(const struct pc_node *n, pc_node_id id)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].hello.id == id) {
            return n->peers[i].up;
        }
    }
    return false;
}

/* "node1, node3": the other members, or those of them that are not connected. */
static void others_text(const struct pc_node *n, bool absent_only, char *out, size_t out_max)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n->config.members_n && used < out_max; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        if (member->id == n->opts.id || (absent_only && is_up(n, member->id))) {
            continue;
        }
        int more = snprintf(out + used, out_max - used, "%s%s", used > 0 ? ", " : "", member->name);
        used += more > 0 ? (size_t)more : 0; /* for people: may be cut */
    }
}

/* A majority without this node must elect somebody: its own vote does not count. */
static void doubt_text(const struct pc_node *n, pc_node_id leader, char *out, size_t out_max)
{
    size_t quorum = n->config.members_n / 2 + 1;
    char others[96], absent[64];
    others_text(n, false, others, sizeof others);
    others_text(n, true, absent, sizeof absent);
    if (!node_is_formed(n)) {
        (void)snprintf(out, out_max, "the whole log was lost: waiting for a peer's entry 1");
    } else if (n->config.members_n == 1) {
        (void)snprintf(out, out_max,
            "the log's end was lost: no vote until it is accepted with --accept-data-loss");
    } else if (leader != 0) {
        (void)snprintf(out, out_max, "the log's end was lost: no vote until %s has brought it back",
            node_name_of(n, leader));
    } else if (n->config.members_n - 1 < quorum) {
        (void)snprintf(out, out_max,
            "the log's end was lost, and without this node's vote %s cannot be elected: restore"
            " this node's log as it was",
            others);
    } else {
        (void)snprintf(out, out_max,
            "the log's end was lost: no vote until %zu of %s have elected a leader%s%s", quorum,
            others, absent[0] != '\0' ? "; not connected: " : "", absent);
    }
}

void node_repair_text(const struct pc_node *n, char *out, size_t out_max)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    out[0] = '\0';
    if (node_repair_is_on(n)) {
        gaps_text(n, out, out_max);
    } else if (status.doubt != 0) {
        doubt_text(n, status.leader, out, out_max);
    }
}

void node_repair_tell_doubt(struct pc_node *n)
{
    struct pc_raft_status status;
    char text[192];
    pc_raft_status(n->raft, &status);
    node_repair_text(n, text, sizeof text);
    if (text[0] != '\0') {
        node_note_add(n, PC_NOTE_REPAIR, 0, status.last + 1, 0, text);
    }
}
