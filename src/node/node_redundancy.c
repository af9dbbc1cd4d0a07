/* How many more voters may die, and how far members that catch up have come: for people.
 *
 * Both are estimates of this node. A voter counts as up while messages can be sent to it and SWIM
 * does not hold it for dead, so a node that is cut off from the others says that there is no
 * quorum, whatever they say. */
#include <string.h>

#include "node_int.h"

/* Progress is sampled this often; the rate is that since the sample before the last. */
#define PROGRESS_SAMPLE_MS 1000

/* While one identity replaces another, a name votes twice. */
static void name_once(const char **names, size_t *names_n, const char *name)
{
    for (size_t i = 0; i < *names_n; i++) {
        if (strcmp(names[i], name) == 0) {
            return;
        }
    }
    PC_ASSERT(*names_n < PC_VOTERS_MAX);
    names[(*names_n)++] = name;
}

void node_redundancy_of(
    const struct node_voter *voters, size_t voters_n, struct pc_node_redundancy *out)
{
    PC_ASSERT(voters_n <= PC_VOTERS_MAX);
    *out = (struct pc_node_redundancy){.voters_n = voters_n};
    if (voters_n == 0) {
        return;
    }
    for (size_t i = 0; i < voters_n; i++) {
        out->up_n += voters[i].up ? 1 : 0;
    }
    out->quorum = voters_n / 2 + 1;
    out->has_quorum = out->up_n >= out->quorum;
    out->may_fail = out->has_quorum ? out->up_n - out->quorum : 0;
    for (size_t i = 0; i < voters_n; i++) {
        if (!voters[i].up) {
            name_once(out->missing, &out->missing_n, voters[i].name);
        } else if (out->has_quorum && out->may_fail == 0) {
            name_once(out->must_survive, &out->must_survive_n, voters[i].name);
        }
    }
    PC_ASSERT(out->up_n <= out->voters_n && out->must_survive_n <= out->up_n);
    PC_ASSERT(out->missing_n <= out->voters_n - out->up_n);
    PC_ASSERT_IMPLIES(out->may_fail > 0, out->must_survive_n == 0);
}

static bool voter_is_up(const struct pc_node *n, pc_node_id id)
{
    if (id == n->opts.id) {
        return !n->failed && !node_repair_is_on(n);
    }
    const struct pc_member *member = pc_swim_find(n->swim, id);
    bool is_gone =
        member != NULL && (member->state == PC_MEMBER_DEAD || member->state == PC_MEMBER_LEFT);
    return pc_node_peer_is_up(n, id) && !is_gone;
}

void pc_node_redundancy(const struct pc_node *n, struct pc_node_redundancy *out)
{
    struct node_voter voters[PC_VOTERS_MAX] = {0};
    size_t voters_n = 0;
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        if (member->votes) {
            PC_ASSERT(voters_n < PC_VOTERS_MAX);
            voters[voters_n++] =
                (struct node_voter){.name = member->name, .up = voter_is_up(n, member->id)};
        }
    }
    node_redundancy_of(voters, voters_n, out);
    /* node_member_spare.c: the leader of two takes the other one's vote, unless a change is under
     * way. */
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (n->opts.auto_shrink && voters_n == 2 && out->must_survive_n == 2 && n->configs_n == 1 &&
        status.leader != 0 && pc_raft_is_voter(n->raft, status.leader)) {
        out->must_survive_n = 1;
        out->must_survive[0] = node_name_of(n, status.leader);
    }
}

/* ---- members that catch up */

void node_progress_sample(struct node_progress *p, struct pc_instant now, pc_index match)
{
    if (!p->begun || match < p->newer_match) {
        *p = (struct node_progress){.begun = true, .older_at = now, .newer_at = now};
        p->older_match = p->newer_match = match;
    } else if (pc_instant_ms_between(p->newer_at, now) >= PROGRESS_SAMPLE_MS) {
        p->older_at = p->newer_at;
        p->older_match = p->newer_match;
        p->newer_at = now;
        p->newer_match = match;
    }
}

bool node_progress_eta(const struct node_progress *p, struct pc_instant now, pc_index match,
    pc_index last, pc_ms *eta_ms)
{
    pc_ms elapsed = pc_instant_ms_between(p->older_at, now);
    if (!p->begun || elapsed == 0 || match <= p->older_match || match >= last) {
        return false;
    }
    pc_index done = match - p->older_match, left = last - match;
    /* So long a time says nothing any more, and the product must not wrap. */
    if (left > UINT64_MAX / elapsed) {
        return false;
    }
    *eta_ms = left * elapsed / done;
    return true;
}

void node_progress_turn(struct pc_node *n)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        struct pc_raft_peer_status status;
        if (pc_raft_peer(n->raft, n->peers[i].hello.id, n->now, &status)) {
            node_progress_sample(&n->peers[i].progress, n->now, status.match);
        }
    }
}

void node_progress_fill(
    const struct pc_node *n, struct pc_instant now, struct pc_node_member *member)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    for (size_t i = 0; i < n->peers_n && member->has_match; i++) {
        if (n->peers[i].hello.id == member->id) {
            member->has_eta =
                member->caught_up_percent < 100 && node_progress_eta(&n->peers[i].progress, now,
                                                       member->match, status.last, &member->eta_ms);
        }
    }
}

const struct pc_cluster_config *pc_node_config(const struct pc_node *n)
{
    return &n->config;
}
