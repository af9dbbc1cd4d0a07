/* The members, as the CONFIG entries of the log say. A config counts from the moment its entry is
 * in the log, and no more when that is truncated: so those above commit are kept, one on the other,
 * with the newest committed one below them.
 *
 *     configs[0]     [1]        [2] = in force
 *     ---+------------+----------+-------> log
 *            commit ^
 *
 * Raft keeps the same stack of what it needs of them. Here are the names, too; node_config_watch
 * brings this one into step after each step of raft. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

/* ---- members of one config */

const struct pc_cluster_member *node_config_get(
    const struct pc_cluster_config *config, pc_node_id id)
{
    for (size_t i = 0; i < config->members_n && id != 0; i++) {
        if (config->members[i].id == id) {
            return &config->members[i];
        }
    }
    return NULL;
}

struct pc_cluster_member *node_config_find(struct pc_cluster_config *config, pc_node_id id)
{
    return (struct pc_cluster_member *)node_config_get(config, id);
}

struct pc_cluster_member *node_config_named(
    struct pc_cluster_config *config, const char *name, size_t *count)
{
    struct pc_cluster_member *first = NULL;
    *count = 0;
    for (size_t i = 0; i < config->members_n; i++) {
        if (strcmp(config->members[i].name, name) == 0) {
            first = first == NULL ? &config->members[i] : first;
            (*count)++;
        }
    }
    return first;
}

static int member_order(const void *a, const void *b)
{
    const struct pc_cluster_member *one = a, *two = b;
    int by_name = strcmp(one->name, two->name);
    return by_name != 0 ? by_name : one->id < two->id ? -1 : one->id > two->id ? 1 : 0;
}

void node_config_sort(struct pc_cluster_config *config)
{
    qsort(config->members, config->members_n, sizeof config->members[0], member_order);
}

void node_config_add(struct pc_cluster_config *config, const struct pc_cluster_member *member)
{
    PC_ASSERT(config->members_n < PC_CLUSTER_MEMBERS_MAX);
    config->members[config->members_n++] = *member;
    node_config_sort(config);
}

void node_config_drop(struct pc_cluster_config *config, struct pc_cluster_member *member)
{
    size_t at = (size_t)(member - config->members);
    PC_ASSERT(at < config->members_n);
    config->members_n--;
    memmove(member, member + 1, (config->members_n - at) * sizeof *member);
    config->members[config->members_n] = (struct pc_cluster_member){0};
}

size_t node_config_voters(const struct pc_cluster_config *config)
{
    size_t voters_n = 0;
    for (size_t i = 0; i < config->members_n; i++) {
        voters_n += config->members[i].votes ? 1 : 0;
    }
    return voters_n;
}

/* Of two of one name at most one is wanted as a voter that is not there yet or stays. */
size_t node_config_target(const struct pc_cluster_config *config)
{
    size_t target = 0;
    for (size_t i = 0; i < config->members_n; i++) {
        const struct pc_cluster_member *member = &config->members[i];
        bool is_new_name = i == 0 || strcmp(member[-1].name, member->name) != 0;
        bool was_counted = !is_new_name && member[-1].want == PC_WANT_VOTER;
        target += member->want == PC_WANT_VOTER && !was_counted ? 1 : 0;
    }
    return target;
}

bool node_member_is_leaving(const struct pc_cluster_member *member)
{
    return member->votes && member->want == PC_WANT_REPLICA;
}

bool node_member_is_relieved(const struct pc_cluster_member *member)
{
    return member->votes && member->want == PC_WANT_SPARE;
}

/* ---- the stack */

static void configs_put(
    struct pc_node *n, pc_index index, pc_term term, const struct pc_cluster_config *config)
{
    if (n->configs_n == n->configs_cap) {
        n->configs_cap = n->configs_cap == 0 ? 4 : n->configs_cap * 2;
        n->configs = pc_xrealloc(n->configs, n->configs_cap * sizeof *n->configs);
    }
    n->configs[n->configs_n++] =
        (struct node_config){.index = index, .term = term, .members = *config};
}

/* Who was a member by the older of two committed configs, and is none by the newer. */
static void removed_note(
    struct pc_node *n, const struct pc_cluster_config *older, const struct pc_cluster_config *newer)
{
    for (size_t i = 0; i < older->members_n; i++) {
        pc_node_id id = older->members[i].id;
        if (id == 0 || node_config_get(newer, id) != NULL || node_config_is_removed(n, id)) {
            continue;
        }
        n->removed[n->removed_n % NODE_REMOVED_MAX] = id;
        n->removed_n++;
        struct node_peer *peer = node_peer_find(n, id);
        if (peer != NULL) {
            peer->stranger_at = n->now; /* it is told at once */
        }
    }
}

bool node_config_is_removed(const struct pc_node *n, pc_node_id id)
{
    size_t kept = n->removed_n < NODE_REMOVED_MAX ? n->removed_n : NODE_REMOVED_MAX;
    for (size_t i = 0; i < kept; i++) {
        if (n->removed[i] == id) {
            return true;
        }
    }
    return false;
}

static void configs_drop_below(struct pc_node *n, size_t count)
{
    PC_ASSERT(count < n->configs_n);
    for (size_t i = 0; i < count; i++) {
        removed_note(n, &n->configs[i].members, &n->configs[i + 1].members);
    }
    n->configs_n -= count;
    memmove(n->configs, n->configs + count, n->configs_n * sizeof *n->configs);
}

/* "node1 node2, not voting: node3, invited: node4" */
static void config_describe(const struct pc_cluster_config *config, char *out, size_t out_max)
{
    static const char *const heads[] = {"", "; not voting:", "; invited:"};
    size_t used = 0;
    out[0] = '\0';
    for (size_t kind = 0; kind < 3; kind++) {
        bool is_first = true;
        for (size_t i = 0; i < config->members_n; i++) {
            const struct pc_cluster_member *member = &config->members[i];
            size_t is = member->votes ? 0 : member->id != 0 ? 1 : 2;
            if (is != kind) {
                continue;
            }
            int more = snprintf(out + used, out_max - used, "%s%s%s", is_first ? heads[kind] : "",
                used > 0 ? " " : "", member->name);
            if (more < 0 || (size_t)more >= out_max - used) {
                return; /* for people: may be cut */
            }
            used += (size_t)more;
            is_first = false;
        }
    }
}

/* What is on top has changed. */
static void config_now(struct pc_node *n)
{
    const struct node_config *top = &n->configs[n->configs_n - 1];
    n->config = top->members;
    if (n->fx != NULL) { /* at a start there is nobody to tell */
        char text[sizeof(((struct pc_note *)NULL)->text)];
        config_describe(&n->config, text, sizeof text);
        node_note_add(n, PC_NOTE_CONFIG, 0, top->index, node_config_voters(&n->config), text);
    }
}

void node_config_forget(struct pc_node *n)
{
    n->configs_n = 0;
    n->config = (struct pc_cluster_config){0};
}

void node_config_begin(
    struct pc_node *n, pc_index index, pc_term term, const struct pc_cluster_config *config)
{
    n->configs_n = 0;
    configs_put(n, index, term, config);
    n->config = *config;
}

void node_config_push(
    struct pc_node *n, pc_index index, pc_term term, const struct pc_cluster_config *config)
{
    PC_ASSERT(n->configs_n == 0 || index > n->configs[n->configs_n - 1].index);
    configs_put(n, index, term, config);
    n->config = *config;
}

void node_config_install(
    struct pc_node *n, pc_index index, pc_term term, const struct pc_cluster_config *config)
{
    size_t covered = 0;
    while (covered < n->configs_n && n->configs[covered].index <= index) {
        covered++;
    }
    if (covered > 0) {
        n->configs[covered - 1] =
            (struct node_config){.index = index, .term = term, .members = *config};
        if (covered > 1) {
            configs_drop_below(n, covered - 1);
        }
    } else {
        configs_put(n, index, term, config);
        struct node_config last = n->configs[n->configs_n - 1];
        memmove(n->configs + 1, n->configs, (n->configs_n - 1) * sizeof *n->configs);
        n->configs[0] = last;
    }
    config_now(n);
}

/* Its entry is not the log's any more. [0] is committed, or entry 1: no log has another. */
static bool config_is_void(
    const struct pc_node *n, const struct node_config *config, const struct pc_raft_status *status)
{
    return config->index > status->last ||
           (config->index + 1 >= status->first &&
               pc_raft_term_at(n->raft, config->index) != config->term);
}

static void configs_take(struct pc_node *n, pc_index from, pc_index upto)
{
    struct pc_cluster_config config;
    for (pc_index index = from; index <= upto; index++) {
        const struct pc_entry *entry = pc_raft_entry(n->raft, index);
        if (entry != NULL && entry->kind == PC_ENTRY_CONFIG &&
            pc_wire_decode_config(pc_blob_slice(entry->body), &config) == PC_OK) {
            configs_put(n, index, entry->term, &config);
        }
    }
}

void node_config_watch(struct pc_node *n)
{
    const struct pc_raft_config *raft = pc_raft_config_get(n->raft);
    pc_index top = n->configs_n > 0 ? n->configs[n->configs_n - 1].index : 0;
    if (raft->index == top && n->configs_n <= 1) {
        return;
    }
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    pc_term top_term = n->configs_n > 0 ? n->configs[n->configs_n - 1].term : 0;
    /* Raft's is the newest of the log: what stands above it here is of a log that was replaced. */
    while (n->configs_n > 1 && (n->configs[n->configs_n - 1].index > raft->index ||
                                   config_is_void(n, &n->configs[n->configs_n - 1], &status))) {
        n->configs_n--;
    }
    pc_index kept = n->configs_n > 0 ? n->configs[n->configs_n - 1].index : 0;
    if (raft->index > kept) {
        pc_index from = kept + 1 > status.first_in_memory ? kept + 1 : status.first_in_memory;
        configs_take(n, from, raft->index);
    }
    if (n->configs_n == 0) {
        return;
    }
    const struct node_config *now = &n->configs[n->configs_n - 1];
    if (now->index != top || now->term != top_term) {
        config_now(n);
    }
    size_t settled = 0;
    while (settled + 1 < n->configs_n && n->configs[settled + 1].index <= status.commit) {
        settled++;
    }
    configs_drop_below(n, settled);
}
