/* Who takes part: the configs that the log names, and which of them is in force.
 *
 * The newest CONFIG entry in the log is in force, committed or not (4.1): otherwise a node could
 * commit by a majority that the next leader's majority does not meet. So a truncation that removes
 * one brings the one before back, which is why those above the commit index are all kept:
 *
 *      configs.v[0]          v[1] ... v[n - 1]
 *      index <= commit       above commit, ascending; the last one is in force
 *
 * Any two configs that follow each other differ by one voter at most, so a majority of the one
 * meets every majority of the other; with more than one step under way that would not hold, and
 * neither would it while an entry of an earlier leader, which was never committed, could still be
 * followed by one of this term (the single-server bug of 2015). pc_raft_can_change_config is all of
 * that. */
#include "raft_int.h"

#include <stdlib.h>
#include <string.h>

static bool ids_hold(const pc_node_id *ids, size_t n, pc_node_id id)
{
    for (size_t i = 0; i < n; i++) {
        if (ids[i] == id) {
            return true;
        }
    }
    return false;
}

bool raft_config_is_valid(const struct pc_raft_config *config)
{
    if (config->voters_n == 0 || config->voters_n > PC_VOTERS_MAX ||
        config->learners_n > PC_LEARNERS_MAX) {
        return false;
    }
    for (size_t i = 0; i < config->voters_n; i++) {
        if (config->voters[i] == 0 || ids_hold(config->voters, i, config->voters[i])) {
            return false;
        }
    }
    for (size_t i = 0; i < config->learners_n; i++) {
        pc_node_id id = config->learners[i];
        if (id == 0 || ids_hold(config->learners, i, id) ||
            ids_hold(config->voters, config->voters_n, id)) {
            return false;
        }
    }
    return true;
}

bool raft_config_has_voter(const struct pc_raft_config *config, pc_node_id id)
{
    return ids_hold(config->voters, config->voters_n, id);
}

bool raft_config_has_learner(const struct pc_raft_config *config, pc_node_id id)
{
    return ids_hold(config->learners, config->learners_n, id);
}

static bool config_read(
    const struct pc_raft_opts *opts, const struct pc_entry *entry, struct pc_raft_config *out)
{
    PC_ASSERT(entry->kind == PC_ENTRY_CONFIG && opts->config_of != NULL);
    *out = (struct pc_raft_config){0};
    if (!opts->config_of(pc_blob_slice(entry->body), out) || !raft_config_is_valid(out)) {
        return false;
    }
    out->index = entry->index;
    return true;
}

bool raft_config_is_readable(const struct pc_raft *r, const struct pc_entry *entry)
{
    struct pc_raft_config config;
    if (entry->kind != PC_ENTRY_CONFIG) {
        return true;
    }
    return r->opts.config_of == NULL ? entry->index == 1 : config_read(&r->opts, entry, &config);
}

bool pc_raft_can_restore(const struct pc_raft_opts *opts, const struct pc_raft_restored *restored)
{
    struct pc_raft_config config;
    for (size_t i = 0; i < restored->tail_n; i++) {
        const struct pc_entry *entry = &restored->tail[i];
        bool asks = entry->kind == PC_ENTRY_CONFIG && opts->config_of != NULL;
        if (asks && !config_read(opts, entry, &config)) {
            return false;
        }
    }
    return true;
}

/* A leader follows at once: it sends to the new ones, and counts by the new majority. */
static void config_take(struct pc_raft *r)
{
    PC_ASSERT(r->configs.n > 0);
    PC_ASSERT(r->role == PC_RAFT_FOLLOWER || r->role == PC_RAFT_LEADER); /* votes[] go by place */
    r->config = r->configs.v[r->configs.n - 1];
    if (r->role == PC_RAFT_LEADER) {
        raft_peers_sync(r);
        raft_read_maybe_confirm(r); /* those who are needed now may have answered already */
    }
}

void raft_config_push(struct pc_raft *r, const struct pc_raft_config *config)
{
    struct raft_configs *configs = &r->configs;
    PC_ASSERT(raft_config_is_valid(config));
    PC_ASSERT(configs->n == 0 || configs->v[configs->n - 1].index < config->index);
    if (configs->n == configs->cap) {
        configs->cap = configs->cap == 0 ? 4 : configs->cap * 2;
        configs->v = pc_xrealloc(configs->v, configs->cap * sizeof *configs->v);
    }
    configs->v[configs->n++] = *config;
    config_take(r);
}

void raft_config_create(struct pc_raft *r, const struct pc_raft_restored *restored)
{
    const struct pc_raft_config *config = &restored->config;
    PC_ASSERT(r->role == PC_RAFT_FOLLOWER && r->configs.n == 0);
    PC_ASSERT(pc_raft_can_restore(&r->opts, restored));
    r->configs.cap = 4;
    r->configs.v = pc_xalloc(r->configs.cap * sizeof *r->configs.v);
    r->configs.n = 1; /* none: index 0 */
    if (config->index > 0) {
        PC_ASSERT(config->index <= restored->last);
        raft_config_push(r, config);
    }
    for (size_t i = 0; i < restored->tail_n; i++) {
        if (restored->tail[i].index > config->index) {
            raft_config_on_append(r, &restored->tail[i]);
        }
    }
    raft_config_on_commit(r);
}

void raft_config_destroy(struct pc_raft *r)
{
    free(r->configs.v);
    r->configs = (struct raft_configs){0};
}

void raft_config_on_append(struct pc_raft *r, const struct pc_entry *entry)
{
    if (entry->kind != PC_ENTRY_CONFIG || r->opts.config_of == NULL) {
        return;
    }
    struct pc_raft_config config;
    bool is_readable = config_read(&r->opts, entry, &config);
    PC_ASSERT(is_readable); /* whoever appends has looked */
    raft_config_push(r, &config);
}

void raft_config_on_truncate(struct pc_raft *r, pc_index from)
{
    size_t before = r->configs.n;
    while (r->configs.n > 1 && r->configs.v[r->configs.n - 1].index >= from) {
        r->configs.n--;
    }
    if (r->configs.n < before) {
        config_take(r);
    }
    PC_ASSERT(r->config.index < from);
}

void raft_config_on_commit(struct pc_raft *r)
{
    struct raft_configs *configs = &r->configs;
    size_t done = 0;
    while (done + 1 < configs->n && configs->v[done + 1].index <= r->commit) {
        done++;
    }
    configs->n -= done;
    memmove(configs->v, configs->v + done, configs->n * sizeof *configs->v);
    PC_ASSERT(configs->n > 0 && configs->v[0].index <= r->commit);
}

void raft_config_on_install(struct pc_raft *r, const struct pc_raft_config *config)
{
    struct raft_configs *configs = &r->configs;
    PC_ASSERT(raft_config_is_valid(config) && config->index > 0 && config->index <= r->commit);
    raft_config_on_commit(r);
    configs->v[0] = *config;
    PC_ASSERT(configs->n == 1 || configs->v[1].index > r->commit);
    config_take(r);
}

static size_t voters_missing(const struct pc_raft_config *from, const struct pc_raft_config *in)
{
    size_t missing = 0;
    for (size_t i = 0; i < from->voters_n; i++) {
        missing += raft_config_has_voter(in, from->voters[i]) ? 0 : 1;
    }
    return missing;
}

void raft_config_assert_step(const struct pc_raft *r, const struct pc_raft_proposal *v, size_t n)
{
    bool has_config = false;
    for (size_t i = 0; i < n; i++) {
        has_config |= v[i].kind == PC_ENTRY_CONFIG;
    }
    if (!has_config) {
        return;
    }
    const struct pc_entry entry = {
        .index = raft_log_last(&r->log) + 1, .kind = PC_ENTRY_CONFIG, .body = v[0].body};
    struct pc_raft_config next;
    PC_ASSERT(n == 1 && pc_raft_can_change_config(r));
    bool is_readable = config_read(&r->opts, &entry, &next);
    PC_ASSERT(is_readable);
    PC_ASSERT(voters_missing(&r->config, &next) + voters_missing(&next, &r->config) <= 1);
}

/* 4.2.2: until the entry that removes a voter is known committed, that voter stands, though it does
 * not count itself. It may be the only one that has the entry on disk: its leader sends entries
 * beside its own sync, may lose power before that, and then could not win against this longer log.
 */
bool raft_config_may_stand(const struct pc_raft *r)
{
    for (size_t i = 0; i < r->configs.n; i++) {
        if (raft_config_has_voter(&r->configs.v[i], r->opts.id)) {
            return true;
        }
    }
    return false;
}

const struct pc_raft_config *pc_raft_config_get(const struct pc_raft *r)
{
    return &r->config;
}

const struct pc_raft_config *pc_raft_config_committed(const struct pc_raft *r)
{
    return &r->configs.v[0];
}

bool pc_raft_is_voter(const struct pc_raft *r, pc_node_id id)
{
    return raft_config_has_voter(&r->config, id);
}

bool pc_raft_can_change_config(const struct pc_raft *r)
{
    return pc_raft_can_propose(r) && r->commit >= r->term_start && r->config.index <= r->commit;
}
