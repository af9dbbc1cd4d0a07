/* Committed entries go to the store, in order, once each. Those that are not in memory (replay
 * after a start, mostly) are loaded from the log a piece at a time; the same path serves both. */
#include "node_int.h"

static void apply_entry(struct pc_node *n, const struct pc_entry *entry)
{
    PC_ASSERT(entry->index == n->applied + 1);
    struct pc_command command;
    const struct pc_command *to_apply = NULL;
    if (entry->kind == PC_ENTRY_COMMAND) {
        if (pc_wire_decode_command(pc_blob_slice(entry->body), &command) == PC_OK) {
            to_apply = &command;
        } else {
            n->bad_commands++; /* the same bytes, hence the same decision, on every node */
        }
    }
    struct pc_outcome outcome = {0};
    pc_err err = pc_store_apply(n->store, entry->index, entry->stamp_ms, to_apply, &outcome);
    if (err != PC_OK) {
        pc_out_of_memory(pc_blob_slice(entry->body).len); /* a replica may not skip an entry */
    }
    n->applied = entry->index;
    node_snapshot_applied(n, entry);
    node_digest_applied(n);
    node_client_applied(n, entry, &outcome);
    if (entry->term > n->applied_term) {
        n->applied_term = entry->term;
        node_client_give_up(n);
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

void node_apply(struct pc_node *n)
{
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    PC_ASSERT(n->applied <= status.commit);
    if (node_load_is_first(n) || n->applied + 1 < status.first) {
        return; /* what comes next is in a snapshot */
    }
    pc_index from_memory = first_from_memory(n, &status);
    while (n->applied < status.commit && n->applied + 1 >= from_memory) {
        const struct pc_entry *entry = pc_raft_entry(n->raft, n->applied + 1);
        if (entry == NULL) {
            break;
        }
        apply_entry(n, entry);
    }
    if (!node_digest_is_coming_back(n)) { /* else Raft knows of more already */
        pc_raft_applied(n->raft, n->applied);
    }
    bool is_on_disk = n->applied < status.commit && n->applied + 1 < from_memory;
    if (is_on_disk && !n->apply_loading) {
        pc_index last = from_memory - 1;
        n->apply_loading = true;
        node_load_add(n, 0, n->applied + 1, last < status.commit ? last : status.commit);
    }
}

void node_apply_loaded(struct pc_node *n, const struct pc_entries *entries)
{
    n->apply_loading = false;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    for (size_t i = 0; i < entries->n; i++) {
        const struct pc_entry *entry = &entries->v[i];
        if (entry->index != n->applied + 1 || entry->index > status.commit) {
            continue;
        }
        PC_ASSERT(entry->term == pc_raft_term_at(n->raft, entry->index));
        apply_entry(n, entry);
    }
}
