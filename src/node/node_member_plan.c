/* What a request makes of the members, or why it cannot be. Nothing here changes anything but the
 * config that it is given. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "node_int.h"

struct plan {
    struct pc_node *n;
    struct pc_cluster_config *config;
    struct pc_cluster_member *member; /* the first of the name, or NULL */
    size_t count;                     /* of that name */
    const struct pc_member_change *change;
    bool again;
    bool *changed;
    bool *hand_over;
    char *text;
};

static enum pc_member_result plan_say(struct plan *p, enum pc_member_result result,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

static enum pc_member_result plan_say(
    struct plan *p, enum pc_member_result result, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->text, PC_MEMBER_TEXT_BYTES_MAX + 1, format, args); /* may be cut */
    va_end(args);
    return result;
}

/* ---- a living quorum */

static void text_add(char *text, size_t *used, const char *more)
{
    size_t room = PC_MEMBER_TEXT_BYTES_MAX + 1 - *used;
    int put = snprintf(text + *used, room, "%s", more);
    *used += put < 0 ? 0 : (size_t)put < room ? (size_t)put : room - 1;
}

bool node_member_quorum_lives(struct pc_node *n, const struct pc_cluster_config *config, char *text)
{
    size_t voters_n = node_config_voters(config), alive = 0, silent = 0, used = 0;
    const char *names[PC_VOTERS_MAX];
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        bool lives = member->votes && node_member_is_fresh(n, member->id);
        alive += lives ? 1 : 0;
        if (member->votes && !lives) {
            names[silent++] = member->name;
        }
    }
    if (alive >= voters_n / 2 + 1) {
        return true;
    }
    text[0] = '\0';
    for (size_t i = 0; i < silent; i++) {
        text_add(text, &used, i == 0 ? "" : i + 1 < silent ? ", " : " and ");
        text_add(text, &used, names[i]);
    }
    char tail[96];
    (void)snprintf(tail, sizeof tail,
        " %s not answer: of the %zu voters that there would be %zu must be alive",
        silent == 1 ? "does" : "do", voters_n, voters_n / 2 + 1);
    text_add(text, &used, tail);
    return false;
}

/* ---- the requests */

static enum pc_member_result plan_add(struct plan *p)
{
    bool is_same = p->count == 1 && p->member->want == p->change->want;
    if (p->count > 0 && p->again && is_same) {
        return PC_MEMBER_DONE;
    }
    if (p->count > 0) {
        return plan_say(p, PC_MEMBER_REFUSED, "%s is %s already", p->change->name,
            p->member->id == 0 ? "invited" : "a member");
    }
    if (p->config->members_n == PC_CLUSTER_MEMBERS_MAX) {
        return plan_say(p, PC_MEMBER_REFUSED, "there are %d members already, the most there can be",
            PC_CLUSTER_MEMBERS_MAX);
    }
    if (p->change->want == PC_WANT_VOTER && node_config_target(p->config) == PC_VOTERS_MAX) {
        return plan_say(p, PC_MEMBER_REFUSED,
            "there are %d voters already, the most there can be: add it as a replica",
            PC_VOTERS_MAX);
    }
    struct pc_cluster_member member = {.want = p->change->want};
    memcpy(member.name, p->change->name, sizeof member.name);
    node_config_add(p->config, &member);
    *p->changed = true;
    return PC_MEMBER_DONE;
}

/* Who is being replaced may be switched off at any moment, and its disk be gone for good. NULL:
 * the others are a quorum without. */
static const struct pc_cluster_member *leaving_and_needed(struct plan *p)
{
    const struct pc_cluster_member *leaving = NULL;
    size_t stay = 0;
    for (size_t i = 0; i < p->config->members_n; i++) {
        const struct pc_cluster_member *member = &p->config->members[i];
        bool is_fresh = member->votes && node_member_is_fresh(p->n, member->id);
        stay += is_fresh && !node_member_is_leaving(member) ? 1 : 0;
        leaving = is_fresh && node_member_is_leaving(member) ? member : leaving;
    }
    return stay >= node_config_voters(p->config) / 2 + 1 ? NULL : leaving;
}

/* A vote less: some must be left, enough of them alive, and a leader goes on as none. */
static enum pc_member_result plan_check_loss(struct plan *p, bool loses_self)
{
    if (node_config_voters(p->config) == 0) {
        return plan_say(p, PC_MEMBER_REFUSED, "%s is the only voter", p->change->name);
    }
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1];
    if (!node_member_quorum_lives(p->n, p->config, text)) {
        return plan_say(p, PC_MEMBER_REFUSED, "%s", text);
    }
    const struct pc_cluster_member *leaving = leaving_and_needed(p);
    if (leaving != NULL) {
        return plan_say(p, PC_MEMBER_REFUSED,
            "%s is being replaced, and its vote would be needed: wait until that is over",
            leaving->name);
    }
    if (loses_self) {
        *p->hand_over = true;
        return plan_say(
            p, PC_MEMBER_RETRY, "%s leads, and no other voter takes over", p->change->name);
    }
    *p->changed = true;
    return PC_MEMBER_DONE;
}

static enum pc_member_result plan_remove(struct plan *p)
{
    if (p->count == 0 && p->again) {
        return PC_MEMBER_DONE;
    }
    size_t before = node_config_voters(p->config);
    bool has_self = false;
    while (p->count-- > 0) {
        has_self |= p->member->id == p->n->opts.id && p->member->votes;
        node_config_drop(p->config, p->member); /* the next one takes its place */
    }
    size_t lost = before - node_config_voters(p->config);
    if (lost > 1) {
        return plan_say(p, PC_MEMBER_RETRY, "%s is just being replaced", p->change->name);
    }
    if (lost == 1) {
        return plan_check_loss(p, has_self);
    }
    *p->changed = true;
    return PC_MEMBER_DONE;
}

static enum pc_member_result plan_promote(struct plan *p)
{
    if (p->member->want == PC_WANT_VOTER) {
        return PC_MEMBER_DONE;
    }
    if (node_config_target(p->config) == PC_VOTERS_MAX) {
        return plan_say(p, PC_MEMBER_REFUSED, "there are %d voters already, the most there can be",
            PC_VOTERS_MAX);
    }
    p->member->want = PC_WANT_VOTER;
    *p->changed = true;
    return PC_MEMBER_DONE;
}

static enum pc_member_result plan_demote(struct plan *p)
{
    bool voted = p->member->votes;
    if (p->member->want == PC_WANT_REPLICA && !voted) {
        return PC_MEMBER_DONE;
    }
    p->member->want = PC_WANT_REPLICA;
    p->member->votes = false;
    if (voted) {
        return plan_check_loss(p, p->member->id == p->n->opts.id);
    }
    *p->changed = true;
    return PC_MEMBER_DONE;
}

/* Who has no vote has nothing to lose: its place is free at once. */
static enum pc_member_result plan_replace(struct plan *p)
{
    if (p->member->id == 0) {
        return PC_MEMBER_DONE;
    }
    if (!p->member->votes) {
        p->member->id = 0;
        *p->changed = true;
        return PC_MEMBER_DONE;
    }
    if (p->config->members_n == PC_CLUSTER_MEMBERS_MAX) {
        return plan_say(p, PC_MEMBER_REFUSED, "there are %d members already, the most there can be",
            PC_CLUSTER_MEMBERS_MAX);
    }
    struct pc_cluster_member heir = *p->member;
    heir.id = 0;
    heir.votes = false;
    p->member->want = PC_WANT_REPLICA;
    node_config_add(p->config, &heir);
    *p->changed = true;
    return PC_MEMBER_DONE;
}

/* Where the others are a quorum as it is, it keeps its vote: it comes back. */
static enum pc_member_result plan_yield(struct plan *p)
{
    bool is_needed = p->member->votes && node_member_has_no_slack(p->n, p->config);
    if (!p->n->opts.auto_shrink || !is_needed) {
        return PC_MEMBER_DONE;
    }
    p->member->votes = false;
    return plan_check_loss(p, p->member->id == p->n->opts.id);
}

/* The newcomer of an order to replace is away, and another one is to come in its place. */
static bool plan_free_place(struct plan *p)
{
    struct pc_cluster_member *first = p->member, *second = p->member + 1;
    struct pc_cluster_member *heir = first->votes ? second : first;
    const struct pc_cluster_member *old = first->votes ? first : second;
    if (heir->votes || !node_member_is_leaving(old) || node_member_is_alive(p->n, heir->id)) {
        return false;
    }
    heir->id = 0;
    node_config_sort(p->config);
    *p->changed = true;
    return true;
}

enum pc_member_result node_member_plan(struct pc_node *n, const struct pc_member_change *change,
    bool again, struct pc_cluster_config *config, bool *changed, bool *hand_over, char *text)
{
    struct plan p = {.n = n,
        .config = config,
        .change = change,
        .again = again,
        .changed = changed,
        .hand_over = hand_over,
        .text = text};
    *changed = *hand_over = false;
    text[0] = '\0';
    p.member = node_config_named(config, change->name, &p.count);
    if (node_protocol_lacks(n, PC_PROTOCOL_MEMBERS, text, PC_MEMBER_TEXT_BYTES_MAX + 1)) {
        return PC_MEMBER_REFUSED;
    }
    if (!node_name_is_valid(change->name)) {
        return plan_say(&p, PC_MEMBER_REFUSED, "that is not a name");
    }
    if (change->op == PC_MEMBER_ADD) {
        return plan_add(&p);
    }
    if (p.count == 0 && !(again && change->op == PC_MEMBER_REMOVE)) {
        return plan_say(&p, PC_MEMBER_REFUSED, "%s is not a member", change->name);
    }
    if (change->op == PC_MEMBER_REMOVE) {
        return plan_remove(&p);
    }
    if (change->op == PC_MEMBER_REPLACE && p.member->id == 0) {
        return PC_MEMBER_DONE; /* waited for already */
    }
    if (change->op == PC_MEMBER_REPLACE && p.count == 2 && plan_free_place(&p)) {
        return PC_MEMBER_DONE;
    }
    if (p.count == 2) {
        return plan_say(&p, PC_MEMBER_REFUSED,
            "%s is being replaced: wait until that is over, or remove it", change->name);
    }
    switch (change->op) {
    case PC_MEMBER_PROMOTE:
        return plan_promote(&p);
    case PC_MEMBER_DEMOTE:
        return plan_demote(&p);
    case PC_MEMBER_YIELD:
        return plan_yield(&p);
    default:
        PC_ASSERT(change->op == PC_MEMBER_REPLACE);
        return plan_replace(&p);
    }
}
