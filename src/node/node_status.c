/* What the node says of itself: readiness with its reasons, members, and the numbers behind them.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node_int.h"

static void check_add(struct pc_node_status *out, const char *name, bool ok, const char *format,
    ...) __attribute__((format(printf, 4, 5)));

static void check_add(
    struct pc_node_status *out, const char *name, bool ok, const char *format, ...)
{
    PC_ASSERT(out->checks_n < PC_READY_CHECKS_MAX);
    struct pc_ready_check *check = &out->checks[out->checks_n++];
    check->name = name;
    check->ok = ok;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(check->text, sizeof check->text, format, args); /* for people: may be cut */
    va_end(args);
}

static pc_index lag_of(pc_index target, pc_index applied)
{
    return target > applied ? target - applied : 0;
}

void node_catchup_update(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (status.role == PC_RAFT_LEADER && status.leader_ready) {
        n->heard_leader = true;
        n->leader_commit = status.commit;
    }
    pc_index lag = lag_of(n->leader_commit, n->applied);
    /* However few entries are missing: nobody says any more what came of the writes among them. */
    bool needs_snapshot = node_fetch_is_on(n) || node_load_is_on(n);
    bool is_near = lag <= NODE_LAG_READY && !needs_snapshot;
    if (!n->caught_up && n->heard_leader && is_near && n->applied > 0) {
        n->caught_up = true;
    } else if (n->caught_up && (lag > NODE_LAG_UNREADY || needs_snapshot)) {
        n->caught_up = false;
    }
    node_progress_sample(&n->progress, n->now, n->applied);
}

/* "81% eta 3s": by the rate of the last seconds; "81%" while there is none. */
static void check_catchup(
    const struct pc_node *n, struct pc_instant now, struct pc_node_status *out)
{
    if (n->caught_up || node_solo_is_open(n, NULL, 0)) {
        check_add(out, "catchup", true, "%s", "");
        return;
    }
    if (n->opts.ready_without_quorum && !n->heard_leader && n->applied >= n->replay_until &&
        node_is_formed(n)) {
        check_add(out, "catchup", true, "no leader to compare with");
        return;
    }
    if (!n->heard_leader || n->leader_commit == 0) {
        check_add(out, "catchup", false, "no leader heard since start");
        return;
    }
    uint64_t percent = n->applied * 100 / n->leader_commit;
    pc_ms eta_ms = 0;
    if (node_progress_eta(&n->progress, now, n->applied, n->leader_commit, &eta_ms)) {
        check_add(out, "catchup", false, "%llu%% eta %llus", (unsigned long long)percent,
            (unsigned long long)((eta_ms + 999) / 1000));
    } else {
        check_add(out, "catchup", false, "%llu%%", (unsigned long long)percent);
    }
}

static void check_leader(const struct pc_node *n, struct pc_instant now, struct pc_node_status *out)
{
    char branch[64];
    if (node_solo_is_open(n, branch, sizeof branch)) {
        check_add(out, "leader", true, "%s", branch);
        return;
    }
    if (out->raft.suspended) {
        check_add(out, "leader", n->opts.ready_without_quorum,
            "%s leads, and hears no other voter: nothing is acknowledged", n->opts.name);
        return;
    }
    if (out->raft.leader != 0) {
        check_add(out, "leader", true, "%s", out->leader_name);
        return;
    }
    pc_ms silent = pc_instant_ms_between(n->leader_seen_at, now);
    bool within_grace = n->leader_ever && silent < n->opts.ready_leader_grace_ms;
    bool ok = within_grace || n->opts.ready_without_quorum;
    if (n->leader_ever) {
        check_add(out, "leader", ok, "none %llu.%llus", (unsigned long long)(silent / 1000),
            (unsigned long long)(silent % 1000 / 100));
    } else {
        check_add(out, "leader", ok, "none yet");
    }
}

/* Says so before a leader is missed, and while readiness outlives one. */
static void check_quorum(const struct pc_node *n, struct pc_instant now, struct pc_node_status *out)
{
    struct pc_node_quorum quorum;
    char text[192];
    if (node_solo_is_open(n, text, sizeof text)) {
        check_add(out, "quorum", true, "%s", text);
        return;
    }
    pc_node_quorum(n, now, &quorum);
    pc_node_quorum_text(n, text, sizeof text);
    bool within_grace = n->leader_ever && pc_instant_ms_between(n->leader_seen_at, now) <
                                              n->opts.ready_leader_grace_ms;
    bool ok = !quorum.lost || within_grace || n->opts.ready_without_quorum;
    check_add(out, "quorum", ok, "%s", text);
}

static bool has_peer_up(const struct pc_node *n)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        if (n->peers[i].up) {
            return true;
        }
    }
    return false;
}

static bool is_meant_as_spare(const struct pc_node *n)
{
    for (size_t i = 0; i < n->opts.spares_n; i++) {
        if (strcmp(n->opts.spares[i], n->opts.name) == 0) {
            return true;
        }
    }
    return false;
}

/* Of a node that is to join a cluster, and is not in it yet. */
static void check_joined(const struct pc_node *n, struct pc_node_status *out)
{
    if (n->joined) {
        check_add(out, "formed", false, "waiting for the first entries of the cluster");
    } else if (strstr(n->refused, NODE_TEXT_NOT_A_MEMBER) != NULL) {
        check_add(out, "formed", false, "not invited: pcadmin member add %s%s", n->opts.name,
            is_meant_as_spare(n) ? " --role spare" : "");
    } else if (n->refused[0] != '\0') {
        check_add(out, "formed", false, "refused: %s", n->refused);
    } else if (has_peer_up(n)) {
        check_add(out, "formed", false, "waiting for the leader to let this node in");
    } else {
        check_add(out, "formed", false, "waiting for a node of the cluster to answer");
    }
}

static void check_formed(const struct pc_node *n, struct pc_node_status *out)
{
    char missing[128];
    node_form_missing(n, missing, sizeof missing);
    if (n->not_member[0] != '\0') {
        check_add(out, "formed", false, "%s", n->not_member);
    } else if (node_config_is_removed(n, n->opts.id)) {
        check_add(out, "formed", false, "%s was removed from this cluster", n->opts.name);
    } else if (!node_is_formed(n) && (n->joined || n->opts.members_n == 0)) {
        check_joined(n, out);
    } else if (n->refused[0] != '\0') {
        check_add(out, "formed", node_is_formed(n), "refused: %s", n->refused);
    } else if (node_is_formed(n)) {
        check_add(out, "formed", true, "%s", "");
    } else if (missing[0] != '\0') {
        check_add(out, "formed", false, "waiting for %s", missing);
    } else {
        check_add(out, "formed", false, "waiting for the first entry");
    }
}

static void status_checks(
    const struct pc_node *n, struct pc_instant now, struct pc_node_status *out)
{
    check_formed(n, out);
    char repair[192];
    node_repair_text(n, repair, sizeof repair);
    check_add(out, "repair", repair[0] == '\0', "%s", repair);
    char disk[192];
    node_disk_text(n, now, disk, sizeof disk);
    check_add(out, "log", !n->failed, "%s", n->failed ? "failed" : disk);
    char snapshot[192];
    node_snapshot_text(n, snapshot, sizeof snapshot);
    if (snapshot[0] != '\0') {
        bool is_there = n->applied > 0 && n->caught_up && !node_load_is_waited_for(n);
        check_add(out, "replay", is_there, "%s", snapshot);
    } else if (n->applied < n->replay_until) {
        check_add(out, "replay", false, "%llu%%",
            (unsigned long long)(n->applied * 100 / n->replay_until));
    } else {
        check_add(out, "replay", true, "%s", "");
    }
    check_quorum(n, now, out);
    char digest[192];
    node_digest_text(n, digest, sizeof digest);
    check_add(out, "digest", !node_digest_is_coming_back(n), "%s", digest);
    check_leader(n, now, out);
    check_catchup(n, now, out);
    if (node_is_spare(n)) {
        check_add(out, "spare", false,
            "this node is a spare: it serves no clients until it takes a dead node's place");
    }
    check_add(out, "drain", !n->draining, "%s", n->draining ? "draining" : "");
    out->ready = true;
    for (size_t i = 0; i < out->checks_n; i++) {
        out->ready = out->ready && out->checks[i].ok;
    }
}

static const char *member_role(const struct pc_cluster_member *member)
{
    static const char *const wanted[] = {"learner", "replica", "spare"};
    return member->votes ? "voter" : member->id == 0 ? "invited" : wanted[member->want];
}

static const char *status_role(const struct pc_node *n, enum pc_raft_role role)
{
    if (node_repair_is_on(n)) {
        return "repairing";
    }
    if (!node_is_formed(n)) {
        return n->joined || n->opts.members_n == 0 ? "joining" : "forming";
    }
    if (role == PC_RAFT_LEADER) {
        return "leader";
    }
    const struct pc_cluster_member *self = node_config_get(&n->config, n->opts.id);
    if (self != NULL) {
        return member_role(self);
    }
    bool is_removed = n->not_member[0] != '\0' || node_config_is_removed(n, n->opts.id);
    return is_removed ? "removed" : "joining"; /* its log may not go so far yet */
}

static void status_snapshot(
    const struct pc_node *n, struct pc_instant now, struct pc_node_status *out)
{
    const struct node_snapshot *s = &n->snapshot;
    node_order_info(n, &out->snapshot);
    out->snapshot_is_damaged = s->newest.is_damaged;
    out->snapshot_is_due = s->is_ordered || s->making.state != NODE_MAKING_NONE;
    pc_ms clock_ms = pc_raft_clock_ms(n->raft, now);
    if (s->newest.base.index > 0 && clock_ms > s->newest.base.stamp_ms) {
        out->snapshot_age_ms = clock_ms - s->newest.base.stamp_ms;
    }
}

void pc_node_status(const struct pc_node *n, struct pc_instant now, struct pc_node_status *out)
{
    *out = (struct pc_node_status){
        .id = n->opts.id,
        .name = n->opts.name,
        .applied = n->applied,
        .digest = pc_store_digest(n->store),
        .formed = node_is_formed(n),
        .draining = n->draining,
        .failed = n->failed,
        .log_full = node_disk_space(n) >= PC_SPACE_HARD,
        .disk = {.space = node_disk_space(n),
            .report = n->disk.report,
            .slow = node_disk_is_slow(n, now),
            .waits_ms = node_disk_waits_ms(n, now)},
        .pending = n->writes_n + n->reads_n,
    };
    node_solo_status(n, now, &out->solo);
    out->protocols = n->opts.protocols;
    out->cluster_protocol = node_protocol(n);
    out->digest_check = (struct pc_node_digest){
        .differs = n->digest.text[0] != '\0',
        .is_coming_back = node_digest_is_coming_back(n),
        .alarms = n->digest.alarms,
        .resyncs = n->digest.resyncs,
        .passes = n->digest.passes,
    };
    node_digest_text(n, out->digest_check.text, sizeof out->digest_check.text);
    pc_raft_status(n->raft, &out->raft);
    struct pc_store_stats stats;
    pc_store_stats(n->store, &stats);
    out->stamp_ms = stats.stamp_ms;
    out->leader_name = node_name_of(n, out->raft.leader);
    out->role = status_role(n, out->raft.role);
    memcpy(out->history, n->joined ? n->history : n->config.history, sizeof out->history);
    status_snapshot(n, now, out);
    if (out->raft.role != PC_RAFT_LEADER) {
        out->leader_silent_ms = pc_instant_ms_between(n->leader_seen_at, now);
    }
    status_checks(n, now, out);
}

/* ---- members */

struct member_list {
    struct pc_node_member *v;
    size_t n, max;
};

/* Behind those of the same name, in the order of names. NULL when there is no room. */
static struct pc_node_member *member_insert(struct member_list *list, const char *name)
{
    if (list->n == list->max) {
        return NULL;
    }
    size_t at = list->n++;
    while (at > 0 && strcmp(list->v[at - 1].name, name) > 0) {
        list->v[at] = list->v[at - 1];
        at--;
    }
    list->v[at] = (struct pc_node_member){.state = PC_MEMBER_DEAD, .role = "member"};
    (void)snprintf(list->v[at].name, sizeof list->v[at].name, "%s", name);
    return &list->v[at];
}

static void members_of_config(const struct pc_node *n, struct member_list *list)
{
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        struct pc_node_member *m = member_insert(list, member->name);
        if (m != NULL) {
            m->id = member->id;
            m->is_member = true;
            m->want = member->want;
            m->votes = member->votes;
            m->role = member_role(member);
        }
    }
}

/* The one with this id; else one of this name that nobody has met, unless it is to be another's. */
static struct pc_node_member *member_met(
    const struct pc_node *n, struct member_list *list, const struct pc_member *seen)
{
    struct pc_node_member *named = NULL;
    for (size_t i = 0; i < list->n; i++) {
        struct pc_node_member *m = &list->v[i];
        if (m->id == seen->id) {
            return m;
        }
        named = strcmp(m->name, seen->name) == 0 ? m : named;
    }
    if (named == NULL) {
        return member_insert(list, seen->name);
    }
    return named->id == 0 && !node_is_formed(n) ? named : NULL;
}

static void members_of_swim(const struct pc_node *n, struct member_list *list)
{
    const struct pc_member *seen;
    size_t seen_n = pc_swim_members(n->swim, &seen);
    for (size_t i = 0; i < seen_n; i++) {
        /* A stranger under a member's name is not that member. */
        struct pc_node_member *m = member_met(n, list, &seen[i]);
        if (m != NULL) {
            m->id = seen[i].id;
            m->addr = seen[i].addr;
            m->state = seen[i].state;
        }
    }
}

static uint32_t member_percent(const struct pc_node *n, pc_node_id id, pc_index match)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    if (match >= status.last || node_member_is_caught_up(n, id)) {
        return 100;
    }
    uint64_t percent = match * 100 / status.last;
    return status.last - match <= NODE_CAUGHT_UP_LAG ? 100 : percent > 99 ? 99 : (uint32_t)percent;
}

static void member_fill(const struct pc_node *n, struct pc_instant now, pc_node_id leader,
    struct pc_node_member *member)
{
    if (member->id != 0 && member->id == leader && member->is_member) {
        member->role = "leader";
    }
    struct pc_raft_peer_status peer;
    if (member->id != 0 && pc_raft_peer(n->raft, member->id, now, &peer)) {
        member->has_match = true;
        member->match = peer.match;
        member->caught_up_percent = member_percent(n, member->id, peer.match);
        member->silent_ms = peer.silent_ms;
        node_progress_fill(n, now, member);
    }
    node_protocol_fill(n, member);
    node_disk_fill(n, now, member);
}

size_t pc_node_members(
    const struct pc_node *n, struct pc_instant now, struct pc_node_member *out, size_t max)
{
    struct member_list list = {.v = out, .max = max};
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    for (size_t i = 0; i < n->opts.members_n && !node_is_formed(n); i++) {
        (void)member_insert(&list, n->opts.members[i]);
    }
    members_of_config(n, &list);
    members_of_swim(n, &list);
    for (size_t i = 0; i < list.n; i++) {
        member_fill(n, now, status.leader, &list.v[i]);
    }
    return list.n;
}
