/* A node that comes into a cluster that there is: it is empty, says so, and takes no part until a
 * leader, which has it among its members, invites it. Then it takes that history's entries as they
 * come; the config is in them.
 *
 * The history is said to peers only when an entry of it is durable here: before that the node could
 * still be empty again, and would look like one that has lost what it had. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

static void join(struct pc_node *n)
{
    n->joined = true;
    n->not_member[0] = '\0';
    n->refused[0] = '\0';
    struct pc_raft_event event = {.type = PC_RAFT_JOIN};
    node_raft_step(n, &event);
    char history[33];
    pc_hex_encode(n->history, sizeof n->history, history);
    node_note_add(n, PC_NOTE_JOINED, n->opts.id, 0, 0, history);
}

void node_join_invited(struct pc_node *n, const struct pc_member_msg *invite)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool is_ours = !n->has_history || memcmp(n->history, invite->history, 16) == 0;
    bool is_empty = status.last == 0 && !node_is_formed(n) && !n->joined;
    if (!is_ours || !is_empty || strcmp(invite->name, n->opts.name) != 0) {
        return;
    }
    memcpy(n->history, invite->history, sizeof n->history);
    join(n);
}

void node_join_back(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (n->has_history && status.last == 0 && !node_is_formed(n) && !n->joined) {
        join(n);
    }
}

void node_join_refused(struct pc_node *n, const char *text)
{
    if (strcmp(n->not_member, text) != 0) {
        (void)snprintf(n->not_member, sizeof n->not_member, "%s", text);
        node_note_add(n, PC_NOTE_NOT_MEMBER, n->opts.id, 0, 0, text);
    }
}

void node_join_heard(struct pc_node *n, const struct pc_raft_msg *msg)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (n->not_member[0] != '\0' && msg->term >= status.term) {
        n->not_member[0] = '\0';
    }
}
