/* The peers of a leader: everybody else in the config in force, voters and learners; and for a
 * while those whom it has just taken out. They are told that they are out, and not waited for. */
#include "raft_int.h"

struct raft_progress *raft_peer_find(struct pc_raft *r, pc_node_id id)
{
    for (size_t i = 0; i < r->peers_n; i++) {
        if (r->peers[i].id == id) {
            return &r->peers[i];
        }
    }
    return NULL;
}

static void peers_add(struct pc_raft *r, pc_node_id id, bool votes)
{
    struct raft_progress *p = raft_peer_find(r, id);
    if (id == r->opts.id) {
        return;
    }
    if (p == NULL) {
        PC_ASSERT(r->peers_n < RAFT_PEERS_MAX);
        p = &r->peers[r->peers_n++];
        raft_progress_create(p, id, raft_log_last(&r->log) + 1, r->now);
    }
    p->votes = votes;
    p->leaving = false;
}

static void peers_drop(struct pc_raft *r, size_t at)
{
    PC_ASSERT(at < r->peers_n && r->peers[at].leaving);
    r->peers[at] = r->peers[--r->peers_n];
}

void raft_peers_sync(struct pc_raft *r)
{
    PC_ASSERT(r->role == PC_RAFT_LEADER);
    for (size_t i = r->peers_n; i > 0; i--) {
        struct raft_progress *p = &r->peers[i - 1];
        bool was_leaving = p->leaving;
        p->leaving = true;
        p->votes = false;
        if (was_leaving) {
            peers_drop(r, i - 1);
        }
    }
    for (size_t i = 0; i < r->config.voters_n; i++) {
        peers_add(r, r->config.voters[i], true);
    }
    for (size_t i = 0; i < r->config.learners_n; i++) {
        peers_add(r, r->config.learners[i], false);
    }
}

/* Has it been told what takes it out, or will it not be? */
static bool peer_has_left(const struct pc_raft *r, const struct raft_progress *p)
{
    if (!p->leaving || r->config.index > r->commit) {
        return false;
    }
    return p->match >= r->config.index || p->state == RAFT_SNAPSHOT ||
           pc_instant_ms_between(p->heard_at, r->now) >= r->opts.election_max_ms;
}

void raft_peers_let_go(struct pc_raft *r)
{
    for (size_t i = r->peers_n; i > 0; i--) {
        if (peer_has_left(r, &r->peers[i - 1])) {
            peers_drop(r, i - 1);
        }
    }
}

size_t raft_peers_voters(const struct pc_raft *r, uint64_t (*of)(const struct raft_progress *p),
    uint64_t own, uint64_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < r->peers_n; i++) {
        if (r->peers[i].votes) {
            out[n++] = of(&r->peers[i]);
        }
    }
    if (raft_voter_position(r, r->opts.id) >= 0) {
        out[n++] = own;
    }
    PC_ASSERT(r->role == PC_RAFT_LEADER && n == r->config.voters_n);
    return n;
}

/* What is committed stays so; only what this leader believes of the peer's log begins anew. */
void raft_peer_restarted(struct pc_raft *r, pc_node_id peer)
{
    struct raft_progress *p = r->role == PC_RAFT_LEADER ? raft_peer_find(r, peer) : NULL;
    if (p == NULL) {
        return;
    }
    bool votes = p->votes, leaving = p->leaving;
    /* A greeting is no answer to a heartbeat: check-quorum counts on with what was heard. */
    raft_progress_create(p, peer, raft_log_last(&r->log) + 1, p->heard_at);
    p->votes = votes;
    p->leaving = leaving;
}

bool pc_raft_peer(const struct pc_raft *r, pc_node_id id, struct pc_instant now,
    struct pc_raft_peer_status *status)
{
    for (size_t i = 0; i < r->peers_n; i++) {
        const struct raft_progress *p = &r->peers[i];
        if (p->id == id) {
            status->match = p->match;
            status->silent_ms = pc_instant_ms_between(p->heard_at, now);
            status->needs_snapshot = p->state == RAFT_SNAPSHOT;
            return true;
        }
    }
    return false;
}
