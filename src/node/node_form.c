/* Formation: how a cluster begins, exactly once.
 *
 *   1. Every initial member is up and says that it has no data.
 *   2. The one with the lowest name makes entry 1 = {random history id, [(name, id)]}, writes it,
 * and sends it to the others, again and again until each of them speaks Raft. Spares stand in it as
 * invited: they come when they come (node_join.c).
 *   3. A member without data takes entry 1 when it names this very id, and writes it. From then on
 *      all have the same log of one entry, and Raft elects a leader in term 2.
 *
 * A node that has lost its log, but knows its history by its identity, takes no other entry 1 than
 * that history's, which any member that has it may give it (node_repair.c).
 *
 * A node that has data never takes entry 1, and one that has none never makes it while a member has
 * data or is missing: so there is no second history under the same members, unless all forgot all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node_int.h"

#define FORM_TERM 1

bool node_is_formed(const struct pc_node *n)
{
    return n->config.members_n > 0;
}

/* Settings name the members that a cluster begins with; what it has become since is not in them. */
static bool form_names_differ(const struct pc_node *n)
{
    if (n->configs_n != 1 || n->configs[0].index != 1 || n->opts.members_n == 0) {
        return false;
    }
    if (n->opts.members_n + n->opts.spares_n != n->config.members_n) {
        return true;
    }
    for (size_t i = 0; i < n->config.members_n; i++) {
        const struct pc_cluster_member *member = &n->config.members[i];
        bool is_spare = member->want == PC_WANT_SPARE;
        size_t names_n = is_spare ? n->opts.spares_n : n->opts.members_n;
        bool found = false;
        for (size_t j = 0; j < names_n; j++) {
            const char *name = is_spare ? n->opts.spares[j] : n->opts.members[j];
            found |= strcmp(name, member->name) == 0;
        }
        if (!found) {
            return true;
        }
    }
    return false;
}

static pc_err form_error_identity(
    const struct pc_node *n, const char *name, pc_node_id id, struct pc_error *error)
{
    return pc_error_set(error, PC_E_AUTH,
        "the log of this data directory knows %s by id %016llx, but this node is %s with id"
        " %016llx; start it under its own name, or with its own data directory",
        name, (unsigned long long)id, n->opts.name, (unsigned long long)n->opts.id);
}

/* A log that was made by this node names it, or was joined: then its history was noted beside it
 * before its first entry was written (docs/ARCHITECTURE.md). A log of before the node was a member,
 * or of after, may know another identity by its name; where the note is missing, it is enough that
 * this node has written a log here. */
static pc_err form_check_identity(struct pc_node *n, const struct pc_cluster_config *config,
    const struct pc_node_restored *restored, struct pc_error *error)
{
    const uint8_t *noted = restored->history;
    const struct pc_cluster_member *self = node_config_get(config, n->opts.id);
    if (self != NULL) {
        return strcmp(self->name, n->opts.name) == 0
                   ? PC_OK
                   : form_error_identity(n, self->name, self->id, error);
    }
    if (noted != NULL ? memcmp(noted, config->history, sizeof config->history) == 0
                      : restored->had_log) {
        return PC_OK;
    }
    size_t count;
    struct pc_cluster_config copy = *config;
    const struct pc_cluster_member *same = node_config_named(&copy, n->opts.name, &count);
    if (same != NULL) {
        return form_error_identity(n, same->name, same->id, error);
    }
    return pc_error_set(error, PC_E_AUTH,
        "the log of this data directory does not name %s (id %016llx) as a member", n->opts.name,
        (unsigned long long)n->opts.id);
}

static pc_err form_decode(const struct pc_node *n, const struct pc_entry *entry,
    struct pc_cluster_config *out, struct pc_error *error)
{
    pc_err err = node_protocol_read(n, entry, error);
    if (err != PC_OK) {
        return err;
    }
    err = pc_wire_decode_config(pc_blob_slice(entry->body), out);
    if (err == PC_OK) {
        return PC_OK;
    }
    return pc_error_set(error, PC_E_CORRUPT, "entry %llu, which names the members: %s",
        (unsigned long long)entry->index, pc_err_text(err));
}

/* The members that the newest snapshot names, if it came after what was found of the log: an entry,
 * owned by the caller. */
static bool form_of_snapshot(
    const struct pc_node *n, const struct pc_node_restored *restored, struct pc_entry *out)
{
    const struct node_newest *newest = &n->snapshot.newest;
    struct pc_snapshot_meta meta;
    pc_index found = restored->config_entry != NULL ? restored->config_entry->index : 0;
    if (newest->base.index == 0 || newest->base.index > restored->raft.commit) {
        return false;
    }
    pc_err err = pc_wire_decode_snapshot_meta(pc_blob_slice(newest->meta), &meta);
    PC_ASSERT(err == PC_OK);
    if (meta.config_index <= found) {
        return false;
    }
    *out = (struct pc_entry){.index = meta.config_index, .kind = PC_ENTRY_CONFIG};
    if (pc_blob_new(meta.config, &out->body) != PC_OK) {
        pc_out_of_memory(meta.config.len);
    }
    for (size_t i = 0; i < restored->raft.terms_n; i++) {
        const struct pc_term_run *run = &restored->raft.terms[i];
        out->term = run->first <= out->index ? run->term : out->term; /* 0 = not known any more */
    }
    return true;
}

static pc_err form_restore(struct pc_node *n, const struct pc_node_restored *restored,
    struct pc_raft_config *config, struct pc_error *error)
{
    struct pc_cluster_config found;
    const struct pc_entry *entry = restored->config_entry;
    pc_err err = form_decode(n, entry, &found, error);
    if (err != PC_OK) {
        return err;
    }
    *config = (struct pc_raft_config){.index = entry->index};
    if (!pc_wire_raft_config(pc_blob_slice(entry->body), config)) {
        return pc_error_set(error, PC_E_CORRUPT, "entry %llu, which names the members",
            (unsigned long long)entry->index);
    }
    node_config_begin(n, entry->index, entry->term, &found);
    for (size_t i = 0; i < restored->raft.tail_n; i++) {
        const struct pc_entry *later = &restored->raft.tail[i];
        bool names = later->kind == PC_ENTRY_CONFIG && later->index > entry->index;
        err = names ? form_decode(n, later, &found, error) : node_protocol_read(n, later, error);
        if (err != PC_OK) {
            return err;
        }
        if (!names) {
            continue;
        }
        node_config_push(n, later->index, later->term, &found);
    }
    err = form_check_identity(n, &n->config, restored, error);
    n->members_edited = err == PC_OK && form_names_differ(n);
    return err;
}

pc_err node_form_restore(struct pc_node *n, const struct pc_node_restored *restored,
    struct pc_raft_config *config, struct pc_error *error)
{
    struct pc_node_restored with = *restored;
    struct pc_entry newer = {0};
    pc_err err = PC_OK;
    if (form_of_snapshot(n, restored, &newer)) {
        with.config_entry = &newer;
    }
    node_config_forget(n);
    if (with.config_entry != NULL) {
        err = form_restore(n, &with, config, error);
    }
    if (with.config_entry != NULL && err == PC_OK) {
        memcpy(n->history, n->config.history, sizeof n->history);
        n->has_history = true;
    }
    pc_entry_clear(&newer);
    return err;
}

static void form_adopt(
    struct pc_node *n, const struct pc_entry *entry, const struct pc_cluster_config *config)
{
    PC_ASSERT(!node_is_formed(n));
    struct pc_raft_config raft_config = {.index = entry->index};
    bool is_valid = pc_wire_raft_config(pc_blob_slice(entry->body), &raft_config);
    PC_ASSERT(is_valid);
    node_config_begin(n, entry->index, entry->term, config);
    n->members_edited = form_names_differ(n);
    pc_raft_bootstrap(n->raft, entry, &raft_config);
    char history[33];
    pc_hex_encode(config->history, 16, history);
    node_note_add(n, PC_NOTE_FORMED, n->opts.id, config->members_n, 0, history);
}

/* Entry 1 names spares in a form that the first protocol has not. */
static bool form_is_read_by(const struct pc_node *n, struct pc_protocols protocols)
{
    return n->opts.spares_n == 0 || protocols.max == 0 || protocols.max >= PC_PROTOCOL_MEMBERS;
}

static const struct node_peer *form_empty_peer(const struct pc_node *n, const char *name)
{
    for (size_t i = 0; i < n->peers_n; i++) {
        const struct node_peer *peer = &n->peers[i];
        if (peer->up && !peer->spoke_raft && strcmp(peer->hello.name, name) == 0) {
            return peer;
        }
    }
    return NULL;
}

void node_form_missing(const struct pc_node *n, char *out, size_t out_max)
{
    out[0] = '\0';
    size_t used = 0;
    for (size_t i = 0; i < n->opts.members_n; i++) {
        const char *name = n->opts.members[i];
        const struct node_peer *peer = form_empty_peer(n, name);
        bool is_older = peer != NULL && !form_is_read_by(n, peer->hello.protocols);
        if (strcmp(name, n->opts.name) == 0 || (peer != NULL && !is_older)) {
            continue;
        }
        int more = snprintf(out + used, out_max - used, "%s%s%s", used > 0 ? ", " : "", name,
            is_older ? " (upgrade it first: it cannot read of spares)" : "");
        if (more < 0 || (size_t)more >= out_max - used) {
            return;
        }
        used += (size_t)more;
    }
}

/* Everybody named is here and empty, and nobody has a lower name. Fills in the members. */
static bool form_is_due(const struct pc_node *n, struct pc_cluster_config *config)
{
    for (size_t i = 0; i < n->opts.members_n; i++) {
        const char *name = n->opts.members[i];
        struct pc_cluster_member *member = &config->members[config->members_n++];
        memcpy(member->name, name, sizeof member->name);
        member->votes = true;
        if (strcmp(name, n->opts.name) == 0) {
            member->id = n->opts.id;
            continue;
        }
        const struct node_peer *peer = form_empty_peer(n, name);
        if (peer == NULL || !form_is_read_by(n, peer->hello.protocols) ||
            strcmp(name, n->opts.name) < 0) {
            return false;
        }
        member->id = peer->hello.id;
    }
    for (size_t i = 0; i < n->opts.spares_n; i++) {
        struct pc_cluster_member *spare = &config->members[config->members_n++];
        memcpy(spare->name, n->opts.spares[i], sizeof spare->name);
        spare->want = PC_WANT_SPARE;
    }
    node_config_sort(config);
    return true;
}

void node_form_maybe(struct pc_node *n)
{
    struct pc_cluster_config config = {0};
    bool may = !node_is_formed(n) && !n->has_history && !n->joined && n->opts.members_n > 0 &&
               form_is_read_by(n, n->opts.protocols);
    if (!may || !form_is_due(n, &config)) {
        return;
    }
    memcpy(config.history, n->opts.history_seed, sizeof config.history);
    struct pc_buf buf = {0};
    pc_wire_encode_config(&config, &buf);
    struct pc_entry entry = {
        .index = 1,
        .term = FORM_TERM,
        .stamp_ms = pc_raft_clock_ms(n->raft, n->now),
        .kind = PC_ENTRY_CONFIG,
    };
    pc_err err = pc_blob_new(pc_slice_of(buf.data, buf.len), &entry.body);
    pc_buf_destroy(&buf);
    if (err != PC_OK) {
        pc_out_of_memory(buf.len);
    }
    static const struct pc_hash start = {{0}};
    entry.chain = pc_entry_chain(&start, &entry);
    form_adopt(n, &entry, &config);
    pc_entry_clear(&entry);
}

/* Entry 1 leaves this node only when it is durable here. A follower leaves it to its leader:
 * members that have a log answer the leader alone, so nobody else learns that they do. */
static bool form_may_spread(const struct pc_node *n, struct pc_raft_status *status)
{
    pc_raft_status(n->raft, status);
    bool is_mine = status->leader == 0 || status->leader == n->opts.id;
    return node_is_formed(n) && status->durable >= 1 && is_mine;
}

/* What a peer says is no proof that it has entry 1; what it has acknowledged is, to its leader.
 * When a snapshot has taken entry 1's place in the log, the peer is invited instead. */
bool node_form_wants_entry(const struct pc_node *n, const struct node_peer *peer)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool is_unproved =
        status.role == PC_RAFT_LEADER && !node_peer_has_acknowledged(n, peer->hello.id);
    return peer->up && status.first == 1 && n->configs_n > 0 &&
           n->configs[n->configs_n - 1].index == 1 && (!peer->spoke_raft || is_unproved) &&
           pc_raft_is_voter(n->raft, peer->hello.id);
}

void node_form_spread(struct pc_node *n)
{
    struct pc_raft_status status;
    if (!form_may_spread(n, &status)) {
        return;
    }
    for (size_t i = 0; i < n->peers_n; i++) {
        struct node_peer *peer = &n->peers[i];
        const struct pc_entry *entry = pc_raft_entry(n->raft, 1);
        if (!node_form_wants_entry(n, peer) || !pc_instant_is_due(peer->form_at, n->now)) {
            continue;
        }
        peer->form_at = pc_instant_add_ms(n->now, NODE_FORM_RETRY_MS);
        if (entry == NULL) {
            node_load_add(n, peer->hello.id, 1, 1);
        } else {
            pc_entry_copy(&node_msg_add(n, PC_MSG_FORM, peer->hello.id)->form, entry);
        }
    }
}

struct pc_instant node_form_wake_at(const struct pc_node *n)
{
    struct pc_instant wake = PC_INSTANT_NEVER;
    struct pc_raft_status status;
    for (size_t i = 0; form_may_spread(n, &status) && i < n->peers_n; i++) {
        if (node_form_wants_entry(n, &n->peers[i])) {
            wake = pc_instant_min(wake, n->peers[i].form_at);
        }
    }
    return wake;
}

void node_form_recv(struct pc_node *n, const struct pc_msg *msg)
{
    static const struct pc_hash start = {{0}};
    struct pc_cluster_config config;
    const struct pc_entry *entry = &msg->form;
    if (node_is_formed(n) || n->joined || entry->index != 1 || entry->term != FORM_TERM ||
        entry->kind != PC_ENTRY_CONFIG ||
        pc_wire_decode_config(pc_blob_slice(entry->body), &config) != PC_OK) {
        return;
    }
    struct pc_hash chain = pc_entry_chain(&start, entry);
    bool is_ours = !n->has_history || memcmp(config.history, n->history, 16) == 0;
    if (!pc_hash_equal(&chain, &entry->chain) || !is_ours) {
        return;
    }
    for (size_t i = 0; i < config.members_n; i++) {
        if (config.members[i].id == n->opts.id &&
            strcmp(config.members[i].name, n->opts.name) == 0) {
            form_adopt(n, entry, &config);
            return;
        }
    }
}
