/* Committed entries go to the store, in order, once each. Those that are not in memory (replay
 * after a start, mostly) are loaded from the log a piece at a time; the same path serves both. What
 * the start itself has read of them comes along with the node, and needs no loading. */
#include <stdlib.h>

#include "node_int.h"

#define EARLY_ENTRIES_A_TURN 512 /* less than a millisecond: heartbeats must not wait for all */

/* NULL: the entry carries no command, or none that can be read. */
static const struct pc_command *command_of(
    struct pc_node *n, const struct pc_entry *entry, struct pc_command *out)
{
    if (entry->kind != PC_ENTRY_COMMAND) {
        return NULL;
    }
    if (pc_wire_decode_command(pc_blob_slice(entry->body), out) == PC_OK) {
        return out;
    }
    n->bad_commands++; /* the same bytes, hence the same decision, on every node */
    return NULL;
}

static void apply_entry(
    struct pc_node *n, const struct pc_entry *entry, const struct pc_command *to_apply)
{
    PC_ASSERT(entry->index == n->applied + 1);
    struct pc_outcome outcome = {0};
    pc_err err = pc_store_apply(n->store, entry->index, entry->stamp_ms, to_apply, &outcome);
    if (err != PC_OK) {
        pc_out_of_memory(pc_blob_slice(entry->body).len); /* a replica may not skip an entry */
    }
    n->applied = entry->index;
    n->applied_chain = entry->chain;
    node_snapshot_applied(n, entry);
    node_digest_applied(n);
    node_client_applied(n, entry, &outcome);
    if (entry->term > n->applied_term) {
        n->applied_term = entry->term;
        node_client_give_up(n);
    }
}

/* Entries whose commands are decoded, and whose keys are on their way from memory, before the first
 * of them is applied. */
struct ahead {
    const struct pc_entry *entries[PC_STORE_PREFETCH_MAX];
    size_t n;
};

static void apply_ahead(struct pc_node *n, struct ahead *ahead)
{
    struct pc_command commands[PC_STORE_PREFETCH_MAX];
    const struct pc_command *to_apply[PC_STORE_PREFETCH_MAX];
    struct pc_slice keys[PC_STORE_PREFETCH_MAX];
    size_t keys_n = 0;
    PC_ASSERT(ahead->n <= PC_STORE_PREFETCH_MAX);
    for (size_t i = 0; i < ahead->n; i++) {
        to_apply[i] = command_of(n, ahead->entries[i], &commands[i]);
        if (to_apply[i] != NULL && to_apply[i]->op != PC_OP_TICK) {
            keys[keys_n++] = to_apply[i]->key;
        }
    }
    if (keys_n > 1) {
        pc_store_prefetch(n->store, keys, keys_n);
    }
    for (size_t i = 0; i < ahead->n; i++) {
        apply_entry(n, ahead->entries[i], to_apply[i]);
    }
    ahead->n = 0;
}

static void apply_next(struct pc_node *n, struct ahead *ahead, const struct pc_entry *entry)
{
    PC_ASSERT(entry->index == n->applied + ahead->n + 1);
    ahead->entries[ahead->n++] = entry;
    if (ahead->n == PC_STORE_PREFETCH_MAX) {
        apply_ahead(n, ahead);
    }
}

/* The first entry that is taken from memory. While the state is made anew that is none which the
 * disk has: entries in memory may be as damaged as the state was, and only what is read from the
 * disk is checked. */
static pc_index first_from_memory(const struct pc_node *n, const struct pc_raft_status *status)
{
    if (!node_digest_is_coming_back(n)) {
        return status->first_in_memory;
    }
    pc_index back_at = n->digest.back_at;
    pc_index first = (back_at < status->durable ? back_at : status->durable) + 1;
    return first > status->first_in_memory ? first : status->first_in_memory;
}

/* ---- what the start has read */

void node_apply_adopt(struct pc_node *n, struct pc_node_preload *preload)
{
    PC_ASSERT(n->early.entries.n == 0);
    if (preload != NULL) {
        n->early.entries = preload->entries;
        preload->entries = (struct pc_entries){0};
    }
}

void node_apply_destroy(struct pc_node *n)
{
    pc_entries_clear(&n->early.entries);
    n->early.head = 0;
}

static bool has_early(const struct pc_node *n)
{
    return n->early.head < n->early.entries.n;
}

static void forget_early_upto(struct pc_node *n, pc_index index)
{
    struct node_early *early = &n->early;
    while (has_early(n) && early->entries.v[early->head].index <= index) {
        pc_entry_clear(&early->entries.v[early->head++]);
    }
}

/* They are of use as long as they are what comes next, and nothing in memory is doubted. */
static void apply_early(struct pc_node *n, const struct pc_raft_status *status)
{
    struct node_early *early = &n->early;
    struct ahead ahead = {.n = 0};
    forget_early_upto(n, n->applied);
    const struct pc_entry *next = has_early(n) ? &early->entries.v[early->head] : NULL;
    bool is_next = next != NULL && next->index == n->applied + 1 && !node_digest_is_coming_back(n);
    size_t left = is_next ? early->entries.n - early->head : 0;
    size_t count = left < EARLY_ENTRIES_A_TURN ? left : EARLY_ENTRIES_A_TURN;
    for (size_t i = 0; i < count && !node_solo_holds(n); i++) {
        PC_ASSERT(next[i].index <= status->commit);
        PC_ASSERT(next[i].term == pc_raft_term_at(n->raft, next[i].index));
        if (!node_protocol_applies(n, &next[i])) {
            break;
        }
        apply_next(n, &ahead, &next[i]);
    }
    apply_ahead(n, &ahead);
    forget_early_upto(n, n->applied);
    if (left == 0 || !has_early(n)) {
        node_apply_destroy(n);
    }
}

/* What comes next is in a snapshot; or a branch lies on what there is. */
static bool apply_waits(const struct pc_node *n, const struct pc_raft_status *status)
{
    return node_load_is_first(n) || n->applied + 1 < status->first || node_load_is_waited_for(n) ||
           node_solo_holds(n);
}

struct pc_instant node_apply_wake_at(const struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool goes_on = has_early(n) && n->unreadable.code == PC_OK && !apply_waits(n, &status);
    if (goes_on) {
        return n->now;
    }
    return pc_instant_is_due(n->apply_retry_at, n->now) ? PC_INSTANT_NEVER : n->apply_retry_at;
}

void node_apply(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    PC_ASSERT(n->applied <= status.commit);
    if (apply_waits(n, &status)) {
        return;
    }
    apply_early(n, &status);
    pc_index from_memory = first_from_memory(n, &status);
    struct ahead ahead = {.n = 0};
    for (pc_index i = n->applied + 1; i >= from_memory && i <= status.commit; i++) {
        const struct pc_entry *entry = pc_raft_entry(n->raft, i);
        if (entry == NULL || !node_protocol_applies(n, entry)) {
            break;
        }
        apply_next(n, &ahead, entry);
    }
    apply_ahead(n, &ahead);
    if (!node_digest_is_coming_back(n)) { /* else Raft knows of more already */
        pc_raft_applied(n->raft, n->applied);
    }
    bool is_on_disk =
        n->unreadable.code == PC_OK && n->applied < status.commit && n->applied + 1 < from_memory;
    bool may_load = n->apply_from == 0 && pc_instant_is_due(n->apply_retry_at, n->now);
    if (is_on_disk && may_load && !has_early(n)) {
        pc_index last = from_memory - 1;
        n->apply_from = n->applied + 1;
        node_load_add(n, 0, n->apply_from, last < status.commit ? last : status.commit);
    }
}

void node_apply_loaded(struct pc_node *n, const struct pc_entries *entries)
{
    n->apply_from = 0;
    if (entries->n == 0) { /* something was short, and may be for a while */
        n->apply_retry_at = pc_instant_add_ms(n->now, NODE_LOAD_RETRY_MS);
    }
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    struct ahead ahead = {.n = 0};
    for (size_t i = 0; i < entries->n && !node_solo_holds(n); i++) {
        const struct pc_entry *entry = &entries->v[i];
        if (entry->index != n->applied + ahead.n + 1 || entry->index > status.commit) {
            continue;
        }
        PC_ASSERT(entry->term == pc_raft_term_at(n->raft, entry->index));
        if (!node_protocol_applies(n, entry)) {
            break;
        }
        apply_next(n, &ahead, entry);
    }
    apply_ahead(n, &ahead);
}
