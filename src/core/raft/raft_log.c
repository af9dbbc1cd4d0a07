/* The part of the log that is in memory: a ring of entries, and one (first index, term) pair per
 * term for all of the log, so that the term of any entry is known without reading the disk. The
 * first pair may begin below what the log still has. */
#include "raft_int.h"

#include <stdlib.h>
#include <string.h>

static size_t log_slot(const struct raft_log *log, size_t position)
{
    return (log->head + position) & (log->cap - 1);
}

static void log_grow(struct raft_log *log)
{
    size_t cap = log->cap == 0 ? 64 : log->cap * 2;
    struct pc_entry *ring = pc_xalloc(cap * sizeof *ring);
    for (size_t i = 0; i < log->n; i++) {
        ring[i] = log->ring[log_slot(log, i)];
    }
    free(log->ring);
    log->ring = ring;
    log->cap = cap;
    log->head = 0;
}

static void log_note_term(struct raft_log *log, pc_index index, pc_term term)
{
    if (log->runs_n > 0 && log->runs[log->runs_n - 1].term == term) {
        return;
    }
    PC_ASSERT(log->runs_n == 0 || log->runs[log->runs_n - 1].term < term);
    if (log->runs_n == log->runs_cap) {
        log->runs_cap = log->runs_cap == 0 ? 16 : log->runs_cap * 2;
        log->runs = pc_xrealloc(log->runs, log->runs_cap * sizeof *log->runs);
    }
    log->runs[log->runs_n++] = (struct pc_term_run){.first = index, .term = term};
}

void raft_log_create(struct raft_log *log, const struct pc_raft_restored *restored)
{
    *log = (struct raft_log){0};
    PC_ASSERT(restored->commit <= restored->last);
    PC_ASSERT(restored->tail_n == restored->last - restored->commit);
    PC_ASSERT((restored->base != NULL) == (restored->commit > 0));
    log->disk_first = restored->first > 0 ? restored->first : 1;
    PC_ASSERT(log->disk_first <= restored->commit + 1);
    for (size_t i = 0; i < restored->terms_n; i++) {
        if (restored->terms[i].first <= restored->commit) {
            log_note_term(log, restored->terms[i].first, restored->terms[i].term);
        }
    }
    if (restored->base != NULL) {
        PC_ASSERT(restored->base->index == restored->commit);
        if (log->runs_n == 0) { /* the base is all there is */
            PC_ASSERT(log->disk_first == restored->commit + 1);
            log_note_term(log, restored->commit, restored->base->term);
        }
        PC_ASSERT(log->runs[0].first <= 1 || log->runs[0].first < log->disk_first);
        log->base.index = restored->commit;
        log->base.chain = restored->base->chain;
        log->base_stamp_ms = restored->base->stamp_ms;
        PC_ASSERT(raft_log_term_at(log, restored->commit) == restored->base->term);
    }
    for (size_t i = 0; i < restored->tail_n; i++) {
        raft_log_append(log, &restored->tail[i]);
    }
}

void raft_log_destroy(struct raft_log *log)
{
    for (size_t i = 0; i < log->n; i++) {
        pc_entry_clear(&log->ring[log_slot(log, i)]);
    }
    free(log->ring);
    free(log->runs);
    *log = (struct raft_log){0};
}

pc_index raft_log_first(const struct raft_log *log)
{
    return log->base.index + 1;
}

pc_index raft_log_oldest(const struct raft_log *log)
{
    pc_index first = raft_log_first(log);
    return log->disk_first < first ? log->disk_first : first;
}

pc_index raft_log_last(const struct raft_log *log)
{
    return log->base.index + log->n;
}

pc_term raft_log_last_term(const struct raft_log *log)
{
    return log->runs_n > 0 ? log->runs[log->runs_n - 1].term : 0;
}

pc_ms raft_log_last_stamp(const struct raft_log *log)
{
    return log->n > 0 ? log->ring[log_slot(log, log->n - 1)].stamp_ms : log->base_stamp_ms;
}

const struct pc_entry *raft_log_get(const struct raft_log *log, pc_index index)
{
    if (index <= log->base.index || index > raft_log_last(log)) {
        return NULL;
    }
    const struct pc_entry *entry = &log->ring[log_slot(log, index - log->base.index - 1)];
    PC_ASSERT(entry->index == index);
    return entry;
}

pc_term raft_log_term_at(const struct raft_log *log, pc_index index)
{
    if (index == 0) {
        return 0;
    }
    PC_ASSERT(index <= raft_log_last(log) && log->runs_n > 0);
    size_t low = 0, high = log->runs_n; /* runs[low].first <= index < runs[high].first */
    PC_ASSERT(log->runs[0].first <= index);
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->runs[middle].first <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return log->runs[low].term;
}

bool raft_log_chain_at(const struct raft_log *log, pc_index index, struct pc_hash *chain)
{
    if (index == log->base.index) {
        *chain = log->base.chain;
        return true;
    }
    const struct pc_entry *entry = raft_log_get(log, index);
    if (entry != NULL) {
        *chain = entry->chain;
    }
    return entry != NULL;
}

void raft_log_append(struct raft_log *log, const struct pc_entry *entry)
{
    PC_ASSERT(entry->index == raft_log_last(log) + 1);
    PC_ASSERT(entry->term >= raft_log_last_term(log) && entry->term > 0);
    PC_ASSERT(entry->stamp_ms >= raft_log_last_stamp(log));
    if (log->n == log->cap) {
        log_grow(log);
    }
    log_note_term(log, entry->index, entry->term);
    pc_entry_copy(&log->ring[log_slot(log, log->n)], entry);
    log->n++;
    log->bytes += pc_entry_bytes(entry);
}

void raft_log_truncate(struct raft_log *log, pc_index from)
{
    PC_ASSERT(from > log->base.index);
    while (raft_log_last(log) >= from) {
        struct pc_entry *entry = &log->ring[log_slot(log, log->n - 1)];
        log->bytes -= pc_entry_bytes(entry);
        pc_entry_clear(entry);
        log->n--;
    }
    while (log->runs_n > 0 && log->runs[log->runs_n - 1].first >= from) {
        log->runs_n--;
    }
}

/* Terms below oldest - 1 are of no use any more. */
static void log_drop_runs(struct raft_log *log)
{
    pc_index needed = raft_log_oldest(log) - 1;
    size_t done = 0;
    while (done + 1 < log->runs_n && log->runs[done + 1].first <= needed) {
        done++;
    }
    if (done > 0) {
        log->runs_n -= done;
        memmove(log->runs, log->runs + done, log->runs_n * sizeof *log->runs);
    }
    PC_ASSERT(log->runs_n == 0 || log->runs[0].first <= (needed > 1 ? needed : 1));
}

void raft_log_compact(struct raft_log *log, pc_index first)
{
    PC_ASSERT(first > 0 && first <= raft_log_last(log) + 1);
    if (first > log->disk_first) {
        log->disk_first = first;
        log_drop_runs(log);
    }
}

void raft_log_reset(struct raft_log *log, const struct pc_raft_base *base)
{
    PC_ASSERT(base->index > 0 && base->term > 0);
    for (size_t i = 0; i < log->n; i++) {
        pc_entry_clear(&log->ring[log_slot(log, i)]);
    }
    log->head = 0;
    log->n = 0;
    log->bytes = 0;
    log->runs_n = 0;
    log->base.index = base->index;
    log->base.chain = base->chain;
    log->base_stamp_ms = base->stamp_ms;
    log->disk_first = base->index + 1;
    log_note_term(log, base->index, base->term);
}

void raft_log_trim(struct raft_log *log, pc_index upto, size_t bytes_max)
{
    while (log->n > 0 && log->base.index < upto && log->bytes > bytes_max) {
        struct pc_entry *entry = &log->ring[log->head];
        log->base.index = entry->index;
        log->base.chain = entry->chain;
        log->base_stamp_ms = entry->stamp_ms;
        log->bytes -= pc_entry_bytes(entry);
        pc_entry_clear(entry);
        log->head = (log->head + 1) & (log->cap - 1);
        log->n--;
    }
    log_drop_runs(log);
}

pc_index raft_log_agree_at_most(const struct raft_log *log, pc_index from, pc_term term)
{
    pc_index index = from < raft_log_last(log) ? from : raft_log_last(log);
    pc_index known = raft_log_oldest(log) - 1;
    for (size_t i = log->runs_n; i > 0 && index > 0 && index >= known; i--) {
        const struct pc_term_run *run = &log->runs[i - 1];
        if (run->first > index) {
            continue;
        }
        if (run->term <= term) {
            return index;
        }
        index = run->first - 1;
    }
    return index;
}
