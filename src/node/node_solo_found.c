/* A branch that stood open on disk when the process began: it ended in the middle of it.
 *
 * The branch goes on only from where it began: on a log applied exactly to its base. A node knows
 * less committed after a start than before, for what is committed is noted with the entries that
 * come next, and alone it would never learn it again. But the base was applied, hence committed,
 * and the branch's file says so durably: a log that has this very entry, by term and chain, is
 * committed up to it. Whoever has another log there, or knows of entries behind it, has been with
 * the cluster since: the file is closed then. */
#include <string.h>

#include "node_int.h"

/* Bytes of a disk: what they say is looked at before it is relied upon. */
static bool record_is_sound(const struct pc_branch_record *record, uint64_t number, pc_ms stamp_ms)
{
    struct pc_command command;
    return record->number == number && record->stamp_ms >= stamp_ms &&
           record->stamp_ms <= PC_CLOCK_MS_MAX && record->command != NULL &&
           pc_wire_decode_command(pc_blob_slice(record->command), &command) == PC_OK &&
           command.op != PC_OP_TICK;
}

static bool found_is_sound(const struct pc_node_branch_found *found)
{
    pc_ms stamp_ms = 0;
    for (size_t i = 0; i < found->records_n; i++) {
        if (!record_is_sound(&found->records[i], i + 1, stamp_ms)) {
            return false;
        }
        stamp_ms = found->records[i].stamp_ms;
    }
    return found->base.index > 0;
}

static void found_take(struct pc_node *n, const struct pc_node_branch_found *found)
{
    struct node_solo *s = &n->solo;
    s->state = NODE_SOLO_FOUND;
    memcpy(s->id, found->id, sizeof s->id);
    s->last_number = found->records_n;
    if (!found_is_sound(found)) {
        return; /* base 0: it fits nothing, and is closed */
    }
    s->base = found->base;
    for (size_t i = 0; i < found->records_n; i++) {
        *node_solo_record_add(n) = (struct node_solo_record){
            .number = i + 1,
            .stamp_ms = found->records[i].stamp_ms,
            .command = pc_blob_ref(found->records[i].command),
        };
        s->records_bytes += found->records[i].command->len;
    }
}

static const struct pc_entry *base_in_tail(
    const struct pc_raft_restored *raft, const struct pc_branch_base *base)
{
    if (base->index <= raft->commit || base->index - raft->commit > raft->tail_n) {
        return NULL;
    }
    const struct pc_entry *entry = &raft->tail[base->index - raft->commit - 1];
    bool is_same = entry->index == base->index && entry->term == base->term &&
                   pc_hash_equal(&entry->chain, &base->chain);
    return is_same ? entry : NULL;
}

const struct pc_node_restored *node_solo_restore(
    struct pc_node *n, const struct pc_node_restored *restored, struct node_solo_start *start)
{
    if (restored->branch == NULL) {
        return restored;
    }
    found_take(n, restored->branch);
    const struct pc_entry *entry =
        restored->gaps_n == 0 ? base_in_tail(&restored->raft, &n->solo.base) : NULL;
    if (entry == NULL) {
        return restored;
    }
    *start = (struct node_solo_start){.restored = *restored, .base = pc_raft_base_of(entry)};
    struct pc_raft_restored *raft = &start->restored.raft;
    size_t known_n = entry->index - raft->commit;
    for (size_t i = 0; i < known_n; i++) {
        if (raft->tail[i].kind == PC_ENTRY_CONFIG) {
            start->restored.config_entry = &raft->tail[i];
        }
    }
    raft->commit = entry->index;
    raft->base = &start->base;
    raft->tail += known_n;
    raft->tail_n -= known_n;
    return &start->restored;
}

/* It is read again, record by record, as it was written. */
static void found_resume(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    struct pc_store_stats stats;
    pc_store_stats(n->store, &stats);
    s->stamp_ms = stats.stamp_ms;
    s->overlay = node_overlay_new(n->opts.store_seed, s->id);
    if (s->records_n > 0) {
        s->stamp_ms = s->records[s->records_at + s->records_n - 1].stamp_ms;
        node_solo_written(n, s->last_number);
    }
    s->state = NODE_SOLO_RESUMABLE;
    PC_ASSERT(s->records_n == 0 && node_overlay_number(s->overlay) == s->last_number);
}

void node_solo_judge_found(struct pc_node *n)
{
    struct node_solo *s = &n->solo;
    struct pc_raft_status status;
    pc_raft_status(n->raft, &status);
    bool is_elsewhere =
        s->base.index == 0 || status.commit != s->base.index || s->heard || !n->opts.solo;
    if (!is_elsewhere && (n->applied < status.commit || node_load_is_on(n))) {
        return; /* the log is not applied so far yet */
    }
    struct pc_store_stats stats;
    pc_store_stats(n->store, &stats);
    bool is_early = s->records_n > 0 && s->records[s->records_at].stamp_ms < stats.stamp_ms;
    bool is_same = !is_elsewhere && !is_early && pc_hash_equal(&n->applied_chain, &s->base.chain) &&
                   n->applied_term == s->base.term;
    if (is_same) {
        found_resume(n);
        return;
    }
    node_solo_note(n, 2, "found at the start, and not this log's end: it is not gone on with");
    node_solo_records_clear(n);
    node_solo_end(n);
}
