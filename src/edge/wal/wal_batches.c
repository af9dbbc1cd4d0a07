/* Batches: the records of one segment in the order of writing, each checked against the log as the
 * replay has it so far. What does not fit is damage; from there on the log is uncertain until a
 * record says how it goes on (wal_replay.c).
 *
 * The chain covers every bit of an entry, so checksums of bodies are looked at only where the chain
 * cannot be compared, or breaks. */
#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"
#include "wal_replay.h"

static uint64_t offset_of(uint64_t at)
{
    return pc_wal_block_of(at) * (uint64_t)WAL_BLOCK_BYTES + WAL_STAMP_BYTES +
           at % WAL_PAYLOAD_BYTES;
}

static void show(struct wal_replay *replay, uint64_t at, const struct wal_record *record,
    const struct pc_entry *entry)
{
    if (replay->each == NULL) {
        return;
    }
    struct pc_wal_record_info info = {
        .segment = replay->reader.name,
        .offset = offset_of(at),
        .type = record->type,
        .index = record->index,
        .term = record->term,
        .chain = record->chain,
        .durable_upto = record->durable_upto,
        .commit = record->commit,
        .entry = entry,
    };
    replay->each(replay->arg, &info);
}

/* ---- damage */

/* From here on the log is uncertain, until a record says how it goes on. `cut`: where it ends if
 * none does. */
void pc_wal_replay_damage(struct wal_replay *replay, const struct wal_cut *cut, const char *text)
{
    replay->wal->marks.due = true; /* loads must not walk over it */
    if (!replay->pending) {
        replay->pending = true;
        replay->damages++;
        replay->cut = *cut;
        (void)snprintf(replay->where, sizeof replay->where, "%.*s", (int)sizeof replay->where - 1,
            text); /* for people: may be cut */
    }
}

/* The same of a place in the segment being read. */
void pc_wal_replay_damage_at(struct wal_replay *replay, uint64_t at, const char *why)
{
    struct pc_error text;
    (void)pc_wal_reader_damaged(&replay->reader, at, why, &text);
    pc_wal_replay_damage(replay, &replay->clean, text.text);
}

/* A batch has ended at `at`, or the segment begins there. Nothing behind damage is clean before it
 * is known what that has cost; nor anything in a segment whose header does not say where it
 * belongs. */
void pc_wal_replay_note_clean(struct wal_replay *replay, uint64_t at)
{
    const struct pc_wal *wal = replay->wal;
    bool bad_header = wal->segments[replay->segment].bad_header;
    if (!replay->pending && (!bad_header || at == WAL_FIRST_AT)) {
        replay->clean = (struct wal_cut){.needed = true,
            .segments = replay->segment + (bad_header ? 0 : 1),
            .end_at = bad_header ? 0 : at,
            .from = wal->last + 1};
    }
}

/* ---- records */

static bool record_is_lost(const struct wal_found *found)
{
    return found->seen != WAL_SEEN_RECORD;
}

/* Time does not fall along the log: Raft takes that for granted. */
static bool stamp_falls(const struct wal_replay *replay, const struct pc_entry *entry)
{
    const struct pc_entries *kept = &replay->window.kept;
    const struct pc_entry *last = kept->n > replay->window.head ? &kept->v[kept->n - 1] : NULL;
    return last != NULL && last->index + 1 == entry->index && entry->stamp_ms < last->stamp_ms;
}

/* Does the record follow in a log without damage? `entry` is filled in for an ENTRY. NULL: yes. */
static const char *misfit(
    struct wal_replay *replay, const struct wal_found *found, const struct pc_entry *entry)
{
    const struct pc_wal *wal = replay->wal;
    const struct wal_record *record = &found->record;
    struct pc_hash chain;
    switch (record->type) {
    case PC_WAL_RECORD_ENTRY:
        if (record->index != wal->last + 1 || record->term < wal->last_term) {
            return "index or term does not follow the entry before";
        }
        chain = pc_entry_chain(&wal->chain, entry);
        return pc_hash_equal(&chain, &entry->chain) ? NULL : "the chain is broken";
    case PC_WAL_RECORD_TRUNCATE:
        if (record->index >= wal->last) {
            return "a truncation behind the last entry";
        }
        if (record->index < wal->commit) {
            return "a truncation of what was committed";
        }
        return pc_wal_replay_chain(replay, record->index, &chain) &&
                       pc_hash_equal(&chain, &record->chain)
                   ? NULL
                   : "a truncation that does not fit the log";
    case PC_WAL_RECORD_NOTE:
        return record->index == wal->last && record->term == wal->last_term &&
                       pc_hash_equal(&record->chain, &wal->chain)
                   ? NULL
                   : "a note that does not fit";
    }
    return "a record of an unknown type";
}

/* A valid record behind damage, or one that does not fit without any. */
static pc_err take_after_damage(struct wal_replay *replay, uint64_t at,
    const struct wal_record *record, const struct pc_entry *entry, bool *fits,
    struct pc_error *error)
{
    struct wal_anchor anchor = {
        .index = record->index, .term = record->term, .chain = record->chain};
    return record->type == PC_WAL_RECORD_ENTRY
               ? pc_wal_replay_entry_after(replay, &anchor, entry, at, fits, error)
               : pc_wal_replay_reach(replay, &anchor, fits, error);
}

static void take_in_order(struct wal_replay *replay, uint64_t at, const struct wal_record *record,
    const struct pc_entry *entry)
{
    if (record->type == PC_WAL_RECORD_ENTRY) {
        pc_wal_replay_push(replay, entry, at, (uint32_t)replay->segment);
    } else if (record->type == PC_WAL_RECORD_TRUNCATE) {
        pc_wal_replay_truncate(replay, record->index);
    }
}

/* One valid record, which fits when `why` is NULL. `entry` is NULL unless it is an ENTRY whose body
 * is good. */
static pc_err take_record(struct wal_replay *replay, uint64_t at, const struct wal_record *record,
    const struct pc_entry *entry, const char *why, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    bool fits = true;
    if (why != NULL) {
        pc_wal_replay_damage_at(replay, at, why);
    }
    if (replay->pending) {
        pc_err err = take_after_damage(replay, at, record, entry, &fits, error);
        if (err != PC_OK || !fits) {
            return err;
        }
        replay->pending = false;
    } else {
        take_in_order(replay, at, record, entry);
    }
    show(replay, at, record, entry);
    wal->commit = record->commit > wal->commit ? record->commit : wal->commit;
    pc_wal_replay_drop_before(replay, wal->commit < wal->last ? wal->commit : wal->last);
    return PC_OK;
}

static const char bad_body[] = "wrong checksum of a record's body";

/* Reads the entry of an ENTRY. PC_E_CORRUPT when it is lost. The chain covers every bit of an
 * entry; only where it cannot be compared, or breaks, is the checksum asked as well. */
static pc_err read_entry(struct wal_replay *replay, uint64_t at, const struct wal_found *found,
    struct pc_entry *entry, const char **why, struct pc_error *error)
{
    pc_err err = pc_wal_reader_entry(&replay->reader, at, found, entry, error);
    if (err != PC_OK) {
        return err;
    }
    if (stamp_falls(replay, entry)) {
        *why = "the time of an entry falls behind that of the one before";
        pc_entry_clear(entry);
        return PC_E_CORRUPT;
    }
    *why = replay->pending ? NULL : misfit(replay, found, entry);
    if (*why != NULL || replay->pending) {
        struct wal_found again;
        err = pc_wal_reader_record(&replay->reader, at, &again, error);
        if (err == PC_OK && again.seen == WAL_SEEN_BAD_BODY) {
            err = PC_E_CORRUPT;
            *why = bad_body;
        }
        if (err != PC_OK) {
            pc_entry_clear(entry);
        }
    }
    return err;
}

/* The record at `at`, whose header is valid; its body perhaps is not. */
static pc_err replay_record(
    struct wal_replay *replay, uint64_t at, const struct wal_found *found, struct pc_error *error)
{
    if (found->record.type != PC_WAL_RECORD_ENTRY) {
        const char *why = replay->pending ? NULL : misfit(replay, found, NULL);
        return take_record(replay, at, &found->record, NULL, why, error);
    }
    struct pc_entry entry = {0};
    const char *why = NULL;
    pc_err err = read_entry(replay, at, found, &entry, &why, error);
    if (err == PC_E_CORRUPT) {
        pc_wal_replay_damage_at(replay, at, why != NULL ? why : bad_body);
        return take_record(replay, at, &found->record, NULL, NULL, error);
    }
    if (err == PC_OK) {
        err = take_record(replay, at, &found->record, &entry, why, error);
    }
    pc_entry_clear(&entry);
    return err;
}

/* The records from *at to end_at, or up to the first whose header is not valid, or as many as are
 * to be read of the segment. *at: where it stopped. */
pc_err pc_wal_replay_records(
    struct wal_replay *replay, uint64_t end_at, uint64_t *at, struct pc_error *error)
{
    while (*at < end_at) {
        struct wal_found found;
        pc_err err = pc_wal_reader_fetch(&replay->reader, *at, &found, error);
        if (err == PC_OK && record_is_lost(&found)) {
            break;
        }
        if (err == PC_OK) {
            err = replay_record(replay, *at, &found, error);
        }
        bool batch_ends = (found.record.flags & WAL_LAST_OF_BATCH) != 0;
        if (err != PC_OK) {
            return err;
        }
        /* A batch is there as a whole or not at all, and claims no more than the log holds. */
        if (batch_ends && !replay->pending && replay->wal->commit > replay->wal->last) {
            pc_wal_replay_damage_at(replay, *at, "it claims a commit index behind the last entry");
        }
        *at = found.next;
        if (batch_ends) {
            pc_wal_replay_note_clean(replay, *at);
        }
        if (batch_ends && pc_wal_skip_rest(replay, *at)) {
            return PC_OK;
        }
    }
    return PC_OK;
}
