/* Whether a quorum can be reached, and how old what is here may be: for marking local reads, and
 * for saying who is missing. Nothing is decided by it: what may be acknowledged is Raft's business.
 *
 * Fresh is a follower when it has applied all that a leader told it to be committed, as of the time
 * that it was told, an entry of that leader's term among it: all that was committed before its term
 * a leader knows only when it has committed an entry of its own. A leader is fresh as of the time
 * that a quorum was last heard, so that one which was paused, and replaced meanwhile, does not pass
 * for fresh. Both may be wrong by an election timeout: so long after the others a leader may learn
 * that there is another one.
 *
 * What counts is when a word was sent, not when it was heard: a process that was stopped, or
 * starved of its processor, finds what has come meanwhile all at once, and it looks new. A leader's
 * word carries its clock. How far that is behind this node's when it is heard is the difference of
 * the clocks, and the way; the least of the last seconds is a word that was not held up, and a word
 * is as late as it is above that. Seconds in which nothing was heard do not count: so the words
 * that lay waiting do not become the measure of their own delay.
 *
 *     behind                                  x  x  x        late by what is above the line
 *       |  .  .      .                                . .
 *       |..__.__...___.___ stopped ___________________.___. the least of two windows
 *
 * Answers carry no clock. A leader that was stopped lets those go by which may have been waiting.
 */
#include <stdio.h>
#include <string.h>

#include "node_int.h"

#define WINDOW_MS 2000
#define WINDOW_STEP_MAX_MS 200 /* of it at most between two words */

/* As long nothing comes to a process only if it does not run. With an election timeout of two
 * heartbeats, which is allowed, half of it passes between any two of them. */
static pc_ms gap_ms(const struct pc_node *n)
{
    pc_ms half = n->opts.raft.election_min_ms / 2;
    pc_ms beats = n->opts.raft.heartbeat_ms * 3 / 2;
    return half > beats ? half : beats;
}

void node_quorum_pass(struct pc_node *n, struct pc_instant now)
{
    if (pc_instant_ms_between(n->now, now) >= gap_ms(n)) {
        n->resumed_at = now;
    }
    n->now = now;
}

/* How much later than others this word is heard. */
static pc_ms told_late_ms(struct node_told *told, pc_ms now_ms, pc_ms clock_ms)
{
    if (told->heard_ms == 0) {
        told->least[0] = told->least[1] = INT64_MAX;
    }
    pc_ms step = now_ms - told->heard_ms;
    told->heard_ms = now_ms;
    told->window_ms += step < WINDOW_STEP_MAX_MS ? step : WINDOW_STEP_MAX_MS;
    if (told->window_ms >= WINDOW_MS) {
        told->window_ms = 0;
        told->least[1] = told->least[0];
        told->least[0] = INT64_MAX;
    }
    int64_t behind = (int64_t)now_ms - (int64_t)clock_ms; /* both are below PC_CLOCK_MS_MAX */
    told->least[0] = behind < told->least[0] ? behind : told->least[0];
    int64_t least = told->least[0] < told->least[1] ? told->least[0] : told->least[1];
    pc_ms late = (uint64_t)behind - (uint64_t)least; /* which may be more than INT64_MAX */
    return late < now_ms ? late : now_ms;
}

void node_quorum_told(struct pc_node *n, const struct pc_raft_msg *msg)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool is_of_leader = status.leader != 0 && status.leader == msg->from; /* and of its term */
    if (msg->type == PC_RAFT_MSG_APPEND && is_of_leader) {
        pc_ms late = told_late_ms(&n->told, n->now.us / 1000, msg->u.append.clock_ms);
        struct pc_instant sent_at = {.us = n->now.us - late * 1000};
        n->told.sent_at = sent_at.us > n->told.sent_at.us ? sent_at : n->told.sent_at;
    }
}

/* For how long a quorum has not been heard, this leader among it if it votes. */
static pc_ms quorum_silence(const struct pc_node *n)
{
    pc_ms silences[PC_VOTERS_MAX]; /* ascending */
    size_t silences_n = 0, voters_n = 0;
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        struct pc_raft_peer_status peer = {0};
        if (!member->votes) {
            continue;
        }
        voters_n++;
        bool is_known =
            member->id == n->opts.id || pc_raft_peer(n->raft, member->id, n->now, &peer);
        if (!is_known) {
            continue;
        }
        size_t at = silences_n++;
        PC_ASSERT(at < PC_VOTERS_MAX);
        for (; at > 0 && silences[at - 1] > peer.silent_ms; at--) {
            silences[at] = silences[at - 1];
        }
        silences[at] = peer.silent_ms;
    }
    size_t quorum = voters_n / 2 + 1;
    return quorum <= silences_n ? silences[quorum - 1] : UINT64_MAX;
}

/* What is heard for a while behind a gap may have come in it. A node that is its own quorum needs
 * to hear nobody. */
static bool was_not_waiting(const struct pc_node *n, struct pc_instant heard_at)
{
    bool is_alone = node_config_voters(&n->config) == 1;
    return is_alone || n->resumed_at.us == 0 ||
           heard_at.us >= pc_instant_add_ms(n->resumed_at, gap_ms(n)).us;
}

static void quorum_was_fresh(struct pc_node *n, struct pc_instant at)
{
    if (!n->was_fresh || at.us > n->fresh_at.us) {
        n->was_fresh = true;
        n->fresh_at = at;
    }
}

void node_quorum_turn(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    PC_ASSERT(n->told.sent_at.us <= n->now.us && n->resumed_at.us <= n->now.us);
    bool leads = status.role == PC_RAFT_LEADER && status.leader_ready && !status.suspended;
    if (leads && n->applied == status.commit) {
        pc_ms silence = quorum_silence(n);
        struct pc_instant heard_at = {.us = n->now.us - silence * 1000};
        if (silence <= n->now.us / 1000 && was_not_waiting(n, heard_at)) {
            quorum_was_fresh(n, heard_at);
        }
    } else if (status.role != PC_RAFT_LEADER && n->told.sent_at.us > 0 && n->applied > 0 &&
               n->applied >= n->leader_commit && n->applied_term == status.term) {
        quorum_was_fresh(n, n->told.sent_at);
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
