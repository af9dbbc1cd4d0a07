/* The rules of the log, B.1 to B.11 and B.30, after every step of a node and for everything that
 * leaves it. Each check is O(1) for each entry or message; what a node believes is never asked
 * where the disk's own image can be. */
#include <inttypes.h>

#include "sim/sim_int.h"

void sim_check_started(struct pc_sim *sim, struct sim_node *node, pc_index commit)
{
    node->role = PC_RAFT_FOLLOWER;
    node->commit = commit;
    node->commit_checked = 0;
    node->applied = 0;
    node->shown = 0;
    node->acked = 0;
    node->acked_term = 0;
    for (size_t i = 0; i < PC_SIM_NODES_MAX; i++) {
        node->seen[i] = (struct sim_seen){0};
    }
    sim_config_follow(sim, node);
    if (commit > sim->ghost.last) {
        sim_fail(sim, PC_SIM_B6,
            "%s recovered commit %" PRIu64 ", but only %" PRIu64 " are committed", node->name,
            commit, sim->ghost.last);
    }
}

/* ---- elections */

static const char *name_of(struct pc_sim *sim, pc_node_id id)
{
    const struct sim_node *node = sim_node_by_id(sim, id);
    return node != NULL ? node->name : "one that is no more";
}

/* Votes of a majority of those who vote by its log have left their nodes; its own need not. One
 * whose removal is not known to be committed may lead without a vote (4.2.2). */
static void check_elected(
    struct pc_sim *sim, const struct sim_node *node, const struct sim_term *term)
{
    const struct pc_raft_config *config = pc_raft_config_get(pc_node_raft(node->node));
    size_t votes = 0;
    bool has_self = false;
    for (size_t i = 0; i < config->voters_n; i++) {
        uint8_t voter = sim_ghost_id(&sim->ghost, config->voters[i]);
        uint8_t self = sim_ghost_id(&sim->ghost, node->id);
        has_self |= voter == self;
        votes += voter == self || term->vote[voter] == self + 1 ? 1 : 0;
    }
    const struct pc_raft_config *committed = pc_raft_config_committed(pc_node_raft(node->node));
    for (size_t i = 0; i < committed->voters_n; i++) {
        has_self |= committed->voters[i] == node->id;
    }
    bool is_known = (sim->params.ignored >> PC_SIM_B10 & 1) == 0; /* one vote, or it is lost here */
    if (is_known && (!has_self || votes < config->voters_n / 2 + 1)) {
        sim_fail(sim, PC_SIM_B13, "%s leads term %" PRIu64 " with %zu of %zu votes%s", node->name,
            node->term, votes, config->voters_n, has_self ? "" : ", and has none itself");
    }
}

static void check_new_leader(struct pc_sim *sim, struct sim_node *node, pc_term term)
{
    struct sim_term *t = sim_ghost_term(&sim->ghost, term);
    uint8_t self = sim_ghost_id(&sim->ghost, node->id);
    if (t->leader != 0 && t->leader != self + 1) {
        sim_fail(sim, PC_SIM_B1, "%s and %s both lead term %" PRIu64,
            name_of(sim, sim->ghost.ids[t->leader - 1]), node->name, term);
    }
    t->leader = (uint8_t)(self + 1);
    check_elected(sim, node, t);
    sim->stats.elections_won++;
    /* A late winner of an old term need not have what a later term committed meanwhile. */
    pc_index last = sim->ghost.last;
    while (last > 0 && sim->ghost.v[last].committed_in >= term) {
        last--;
    }
    if (last > 0 && !sim_image_has(&node->mem, last, &sim->ghost.v[last].chain)) {
        sim_fail(sim, PC_SIM_B4,
            "%s leads term %" PRIu64 " without the committed entry %" PRIu64
            " (its log ends at %" PRIu64 ")",
            node->name, term, last, node->mem.last);
    }
}

static void check_vote(
    struct pc_sim *sim, const struct sim_node *voter, pc_term term, pc_node_id id)
{
    uint8_t candidate = sim_ghost_id(&sim->ghost, id);
    uint8_t *vote = &sim_ghost_term(&sim->ghost, term)->vote[sim_ghost_id(&sim->ghost, voter->id)];
    if (*vote != 0 && *vote != candidate + 1) {
        sim_fail(sim, PC_SIM_B10, "%s votes for %s and for %s in term %" PRIu64, voter->name,
            name_of(sim, sim->ghost.ids[*vote - 1]), name_of(sim, id), term);
    }
    *vote = (uint8_t)(candidate + 1);
}

/* ---- commit */

/* Of those who vote. */
static size_t copies_on_disk(const struct pc_sim *sim, const struct pc_raft_config *config,
    pc_index index, const struct pc_hash *chain)
{
    size_t copies = 0;
    for (size_t i = 0; i < config->voters_n; i++) {
        copies += sim_medium_has(sim, config->voters[i], index, chain) ? 1 : 0;
    }
    return copies;
}

/* A leader moves the commit index beyond all that is known committed. */
static void check_commit_rule(struct pc_sim *sim, struct sim_node *node, pc_index commit)
{
    if (commit > node->mem.last) {
        sim_fail(
            sim, PC_SIM_B7, "%s commits %" PRIu64 ", which it has not written", node->name, commit);
        return;
    }
    const struct pc_raft_config *config = pc_raft_config_get(pc_node_raft(node->node));
    size_t copies = copies_on_disk(sim, config, commit, &node->mem.chain[commit]);
    if (node->role != PC_RAFT_LEADER || node->mem.term[commit] != node->term) {
        sim_fail(sim, PC_SIM_B7,
            "%s (term %" PRIu64 ") commits %" PRIu64 " of term %" PRIu64
            ", which no leader of that term has",
            node->name, node->term, commit, node->mem.term[commit]);
    } else if (copies < config->voters_n / 2 + 1) {
        sim_fail(sim, PC_SIM_B7, "%s commits %" PRIu64 " with %zu of %zu copies on disk",
            node->name, commit, copies, config->voters_n);
    }
    for (pc_index i = sim->ghost.last + 1; i <= commit && !sim->failed; i++) {
        const struct pc_entry *entry = pc_raft_entry(pc_node_raft(node->node), i);
        PC_ASSERT(entry != NULL); /* what is not applied is in memory */
        sim_ghost_commit(sim, entry, node->term);
    }
}

static void check_same_commit(struct pc_sim *sim, struct sim_node *node)
{
    pc_index upto = node->commit < node->mem.last ? node->commit : node->mem.last;
    for (pc_index i = node->commit_checked + 1; i <= upto && i <= sim->ghost.last; i++) {
        if (!pc_hash_equal(&node->mem.chain[i], &sim->ghost.v[i].chain)) {
            sim_fail(sim, PC_SIM_B5, "%s holds another entry committed at %" PRIu64, node->name, i);
            return;
        }
        node->commit_checked = i;
    }
}

void sim_check_step(struct pc_sim *sim, struct sim_node *node)
{
    struct pc_raft_status status;
    pc_raft_status(pc_node_raft(node->node), &status);
    bool leads = status.role == PC_RAFT_LEADER;
    bool is_new = leads && (node->role != PC_RAFT_LEADER || node->term != status.term);
    if (status.term < node->term) {
        sim_fail(sim, PC_SIM_B6, "%s goes back from term %" PRIu64 " to %" PRIu64, node->name,
            node->term, status.term);
    }
    node->role = status.role;
    node->term = status.term;
    if (is_new) {
        check_new_leader(sim, node, status.term);
    }
    if (status.commit < node->commit) {
        sim_fail(sim, PC_SIM_B6, "%s: commit goes back from %" PRIu64 " to %" PRIu64, node->name,
            node->commit, status.commit);
    }
    node->commit = status.commit;
    if (status.commit > sim->ghost.last && !sim->failed) {
        check_commit_rule(sim, node, status.commit);
    }
}

void sim_check_turn(struct pc_sim *sim, struct sim_node *node)
{
    check_same_commit(sim, node); /* here the image of its log is up to date */
    sim_config_check(sim, node);
    struct pc_store_stats stats;
    pc_store_stats(pc_node_store(node->node), &stats);
    if (stats.applied < node->applied || stats.applied > node->commit) {
        sim_fail(sim, PC_SIM_B6,
            "%s: applied goes from %" PRIu64 " to %" PRIu64 " with commit %" PRIu64, node->name,
            node->applied, stats.applied, node->commit);
    }
    if (node->applied < node->disk.snap.index && stats.applied >= node->disk.snap.index) {
        node->snap.loaded_tag = sim->ops_n;
    }
    bool moved = stats.applied != node->applied;
    sim_protocol_check_applied(sim, node, node->applied, stats.applied);
    node->applied = stats.applied;
    if (!moved || sim->failed || stats.applied > sim->ghost.last) {
        return;
    }
    struct pc_hash digest = pc_store_digest(pc_node_store(node->node));
    bool is_same = pc_hash_equal(&digest, &sim->ghost.v[stats.applied].digest);
    if ((!is_same && !node->flip.is_open) ||
        stats.stamp_ms != sim->ghost.v[stats.applied].stamp_ms) {
        sim_fail(
            sim, PC_SIM_B30, "%s: another state after entry %" PRIu64, node->name, stats.applied);
    }
}

/* ---- what is written */

static void check_reset(struct pc_sim *sim, struct sim_node *node, const struct pc_raft_base *base)
{
    if (!sim_snap_is_committed(sim, base)) {
        sim_fail(sim, PC_SIM_B15,
            "%s begins its log anew behind %" PRIu64 ", which is another entry", node->name,
            base->index);
    } else if (sim_image_has(&node->mem, base->index, &base->chain)) {
        sim_fail(sim, PC_SIM_B15, "%s replaces a log that has entry %" PRIu64 " by its snapshot",
            node->name, base->index);
    } else if (base->index > node->disk.snap.index) {
        sim_fail(sim, PC_SIM_B15,
            "%s begins its log anew behind %" PRIu64 " with a snapshot of %" PRIu64, node->name,
            base->index, node->disk.snap.index);
    } else {
        sim->stats.snaps_installed++;
        sim_trace_line(sim, "%s begins its log anew behind %" PRIu64, node->name, base->index);
        sim_image_truncate(&node->mem, 1);
        sim_image_fill(&node->mem, &sim->ghost, base->index);
        sim_config_follow(sim, node);
    }
}

static void check_truncation(struct pc_sim *sim, struct sim_node *node, pc_index from)
{
    if (node->role == PC_RAFT_LEADER && from <= node->mem.last &&
        node->mem.term[node->mem.last] == node->term) {
        sim_fail(sim, PC_SIM_B2, "%s leads term %" PRIu64 " and truncates from %" PRIu64,
            node->name, node->term, from);
    }
    bool committed = from <= sim->ghost.last && from <= node->mem.last &&
                     pc_hash_equal(&node->mem.chain[from], &sim->ghost.v[from].chain);
    if (committed) {
        sim_fail(
            sim, PC_SIM_B11, "%s truncates from %" PRIu64 ", which is committed", node->name, from);
    }
    if (node->acked_term == node->term && from <= node->acked) {
        sim_fail(sim, PC_SIM_B11,
            "%s truncates from %" PRIu64 ", but acknowledged %" PRIu64 " in this term", node->name,
            from, node->acked);
    }
}

/* Entry 1 is the one that a node may make twice in one term: when it lost the first before it was
 * synced, and hence before anybody was told. */
static void maybe_forget_first(struct pc_sim *sim)
{
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        if (sim->nodes[i].mem.last > 0 || sim->nodes[i].disk.written.last > 0) {
            return;
        }
    }
    sim_ghost_forget(&sim->ghost, 1);
}

void sim_check_write(struct pc_sim *sim, struct sim_node *node, const struct pc_raft_write *write)
{
    if (write->has_reset) {
        check_reset(sim, node, &write->reset);
    }
    if (write->truncate_from != 0 && !sim->failed) {
        check_truncation(sim, node, write->truncate_from);
        sim_image_truncate(&node->mem, write->truncate_from);
        sim_config_follow(sim, node);
    }
    for (size_t i = 0; i < write->entries.n; i++) {
        const struct pc_entry *e = &write->entries.v[i];
        if (e->index != node->mem.last + 1) {
            sim_fail(sim, PC_SIM_B3, "%s writes entry %" PRIu64 " behind %" PRIu64, node->name,
                e->index, node->mem.last);
            return;
        }
        if (e->index == 1) {
            maybe_forget_first(sim);
        }
        if (!sim_ghost_register(&sim->ghost, e->index, e->term, &e->chain)) {
            sim_fail(sim, PC_SIM_B3,
                "%s writes entry %" PRIu64 " of term %" PRIu64
                " with another chain than it has elsewhere",
                node->name, e->index, e->term);
        }
        sim_protocol_check_write(sim, node, e);
        sim_image_append(&node->mem, e->index, e->term, &e->chain);
        if (e->kind == PC_ENTRY_CONFIG) {
            sim_config_made(sim, node, e);
            sim_config_follow(sim, node);
        }
    }
}

/* ---- what waits (B.53) */

/* The machine stops at 1024 writes and takes in what one turn brings on top. */
#define WRITES_MAX (1024 + 256)
/* The window, and what is small: heartbeats and answers while a line stands, reads, forwards. */
#define MESSAGES_MAX (PC_INFLIGHT_MSGS_MAX + 2048)

void sim_check_caps(struct pc_sim *sim, const struct sim_node *node)
{
    struct pc_node_status status;
    pc_node_status(node->node, sim_node_now(sim, node), &status);
    if (status.pending > 2 * PC_PENDING_REQUESTS_MAX || node->disk.n > WRITES_MAX) {
        sim_fail(sim, PC_SIM_B53, "%s has %" PRIu64 " requests and %zu writes waiting", node->name,
            status.pending, node->disk.n);
    }
    for (size_t i = 0; i < sim->params.nodes_n; i++) {
        size_t n = 0, bytes = 0;
        for (const struct sim_packet *p = sim->links[node->index][i].first; p != NULL;
             p = p->next) {
            n++;
            bytes += p->bytes.len;
        }
        if (n > MESSAGES_MAX || bytes > PC_BUS_QUEUE_BYTES_MAX) {
            sim_fail(sim, PC_SIM_B53, "%s has %zu messages of %zu bytes under way to %s",
                node->name, n, bytes, sim->nodes[i].name);
        }
    }
}

/* ---- what leaves */

static void check_send_vote(struct pc_sim *sim, struct sim_node *node, const struct pc_raft_msg *m)
{
    pc_node_id candidate = m->type == PC_RAFT_MSG_VOTE ? node->id : m->to;
    if (node->disk.term != m->term || node->disk.vote != candidate) {
        sim_fail(sim, PC_SIM_B8,
            "%s sends a vote of term %" PRIu64 " for %016" PRIx64 ", but has term %" PRIu64
            " and %016" PRIx64 " on disk",
            node->name, m->term, candidate, node->disk.term, node->disk.vote);
    }
    check_vote(sim, node, m->term, candidate);
}

/* Whoever gave the entries: they count for this leader only when they are its own. */
static void check_ack_vouched(
    struct pc_sim *sim, const struct sim_node *node, const struct pc_raft_msg *m, pc_index match)
{
    const struct sim_node *leader = sim_node_by_id(sim, m->to);
    bool leads = leader != NULL && leader->node != NULL && leader->role == PC_RAFT_LEADER &&
                 leader->term == m->term;
    if (leads && match > 0 && match <= node->mem.last &&
        !sim_image_has(&leader->mem, match, &node->mem.chain[match])) {
        sim_fail(sim, PC_SIM_B41,
            "%s acknowledges %" PRIu64 " to %s, which has another entry there, or none", node->name,
            match, leader->name);
    }
}

static void check_send_ack(struct pc_sim *sim, struct sim_node *node, const struct pc_raft_msg *m)
{
    pc_index match = m->u.append_resp.match;
    check_ack_vouched(sim, node, m, match);
    bool on_disk = match == 0 || match <= node->disk.snap.index ||
                   (match <= node->disk.durable && match <= node->mem.last &&
                       sim_image_has(&node->disk.written, match, &node->mem.chain[match]));
    if (!on_disk) {
        sim_fail(sim, PC_SIM_B9, "%s acknowledges %" PRIu64 " with %" PRIu64 " on disk", node->name,
            match, node->disk.durable);
    }
    if (node->acked_term != m->term) {
        node->acked_term = m->term;
        node->acked = 0;
    }
    node->acked = match > node->acked ? match : node->acked;
}

void sim_check_send(struct pc_sim *sim, struct sim_node *node, const struct pc_msg *msg)
{
    if (node->log_failed) {
        sim_fail(sim, PC_SIM_B39, "%s sends a message after its log failed", node->name);
    }
    if (msg->type != PC_MSG_RAFT) {
        return;
    }
    if (node->is_stranger || msg->from != node->id || node->disk_id != node->id) {
        sim_fail(sim, PC_SIM_B14, "%s takes part in the election or the log on an empty disk",
            node->name);
    }
    const struct pc_raft_msg *m = &msg->raft;
    bool pre = (m->type == PC_RAFT_MSG_VOTE && m->u.vote.pre) ||
               (m->type == PC_RAFT_MSG_VOTE_RESP && m->u.vote_resp.pre);
    if (pre) {
        return; /* promises nothing */
    }
    if (node->disk.term < m->term) {
        sim_fail(sim, PC_SIM_B8,
            "%s sends a message (type %d) of term %" PRIu64 " with term %" PRIu64 " on disk",
            node->name, (int)m->type, m->term, node->disk.term);
    }
    bool votes =
        m->type == PC_RAFT_MSG_VOTE || (m->type == PC_RAFT_MSG_VOTE_RESP && m->u.vote_resp.granted);
    if (votes) {
        check_send_vote(sim, node, m);
    } else if (m->type == PC_RAFT_MSG_APPEND_RESP && m->u.append_resp.accepted) {
        check_send_ack(sim, node, m);
    }
}
