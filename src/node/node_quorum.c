/* Whether a quorum can be reached, and how old what is here may be: for marking local reads, and
 * for saying who is missing. Nothing is decided by it: what may be acknowledged is Raft's business.
 *
 * Fresh is a follower when it has applied all that a leader told it to be committed, as of the time
 * that it was told; a leader at work always is. Both may be wrong by an election timeout: so long a
 * leader may take to learn that there is another one. */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

void node_quorum_told(struct pc_node *n, const struct pc_raft_msg *msg)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool is_of_leader = status.leader != 0 && status.leader == msg->from; /* and of its term */
    if (msg->type == PC_RAFT_MSG_APPEND && is_of_leader) {
        n->leader_told_at = n->now;
    }
}

void node_quorum_turn(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool leads = status.role == PC_RAFT_LEADER && status.leader_ready && !status.suspended;
    if (leads && n->applied == status.commit) {
        n->was_fresh = true;
        n->fresh_at = n->now;
    } else if (status.role != PC_RAFT_LEADER && n->leader_told_at.us > n->fresh_at.us &&
               n->applied > 0 && n->applied >= n->leader_commit) {
        n->was_fresh = true;
        n->fresh_at = n->leader_told_at;
    }
    PC_ASSERT_IMPLIES(n->was_fresh, n->applied > 0);
}

static bool quorum_is_lost(const struct pc_node *n)
{
    struct pc_raft_status status;
    struct pc_node_redundancy redundancy;
    pc_raft_status(n->raft, &status);
    if ((status.leader != 0 && !status.suspended) ||
        node_config_get(&n->config, n->opts.id) == NULL) {
        return false;
    }
    pc_node_redundancy(n, &redundancy);
    return redundancy.voters_n > 0 && !redundancy.has_quorum;
}

void pc_node_quorum(const struct pc_node *n, struct pc_instant now, struct pc_node_quorum *out)
{
    *out = (struct pc_node_quorum){.lost = quorum_is_lost(n), .has_age = n->applied > 0};
    if (n->was_fresh) {
        out->age_ms = pc_instant_ms_between(n->fresh_at, now);
    } else if (n->applied > 0) {
        struct pc_store_stats stats;
        pc_store_stats(n->store, &stats);
        pc_ms clock_ms = pc_raft_clock_ms(n->raft, now);
        out->age_ms = clock_ms > stats.stamp_ms ? clock_ms - stats.stamp_ms : 0;
    }
}

void pc_node_quorum_text(const struct pc_node *n, char *out, size_t max)
{
    struct pc_node_redundancy r;
    out[0] = '\0';
    pc_node_redundancy(n, &r);
    if (r.voters_n == 0 || r.has_quorum || node_config_get(&n->config, n->opts.id) == NULL) {
        return;
    }
    int used = snprintf(out, max, "%zu of %zu voters answer%s; missing: ", r.up_n, r.voters_n,
        r.up_n == 1 ? "s" : "");
    for (size_t i = 0; i < r.missing_n && used >= 0 && (size_t)used < max; i++) {
        used += snprintf(out + used, max - (size_t)used, "%s%s", i > 0 ? ", " : "", r.missing[i]);
    }
}
