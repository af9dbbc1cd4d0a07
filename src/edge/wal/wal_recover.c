/* Replay at start: every segment in the order of writing, every record checked (checksums, index
 * and term order, hash chain). The log streams through: what stays in memory is the runs of terms,
 * the sparse index, and the entries from the highest known commit index on.
 *
 * An older segment needs no judgement of its own: the header of its successor says with which index
 * and chain value it was left, and that has to be exactly what the replay has come to.
 *
 *      records, all good --> the end, or the successor fits             done
 *              |
 *              v  one is not
 *           DAMAGE   nothing is assumed of what is lost
 *              |  the next place that holds a valid header
 *              v
 *      the record there says what the log was: wal_replay finds out what is missing
 *
 * Where nothing valid comes any more, the successor's header says it, or else the log's end is
 * lost: how far it went, nobody knows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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
static void damage(struct wal_replay *replay, const struct wal_cut *cut, const char *text)
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
static void damage_at(struct wal_replay *replay, uint64_t at, const char *why)
{
    struct pc_error text;
    (void)pc_wal_reader_damaged(&replay->reader, at, why, &text);
    damage(replay, &replay->clean, text.text);
}

/* Between segments: what is lost lies before the one at `replay->segment`. */
static void damage_before(struct wal_replay *replay, const char *text)
{
    struct wal_cut cut = {
        .needed = true, .segments = replay->segment, .from = replay->wal->last + 1};
    damage(replay, &cut, text);
}

/* A batch has ended at `at`, or the segment begins there. Nothing behind damage is clean before it
 * is known what that has cost; nor anything in a segment whose header does not say where it
 * belongs. */
static void note_clean(struct wal_replay *replay, uint64_t at)
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
        damage_at(replay, at, why);
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
        damage_at(replay, at, why != NULL ? why : bad_body);
        return take_record(replay, at, &found->record, NULL, NULL, error);
    }
    if (err == PC_OK) {
        err = take_record(replay, at, &found->record, &entry, why, error);
    }
    pc_entry_clear(&entry);
    return err;
}

/* The records from *at to end_at, or up to the first whose header is not valid. *at: where it
 * stopped. */
static pc_err replay_records(
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
            damage_at(replay, *at, "it claims a commit index behind the last entry");
        }
        *at = found.next;
        if (batch_ends) {
            note_clean(replay, *at);
        }
    }
    return PC_OK;
}

/* ---- segments */

/* Whether segment `place` goes on where the replay has come to. */
static bool goes_on(const struct wal_replay *replay, size_t place)
{
    const struct pc_wal *wal = replay->wal;
    const struct wal_segment *next = &wal->segments[place];
    return next->first == wal->last + 1 &&
           (next->bad_header || pc_hash_equal(&next->before, &wal->chain));
}

static void file_text(const struct wal_segment *segment, struct pc_error *out)
{
    uint64_t offset = segment->is_short ? segment->blocks * (uint64_t)WAL_BLOCK_BYTES : 0;
    (void)pc_error_set(out, PC_E_CORRUPT,
        "log-%016" PRIx64 ".seg: damaged at offset %" PRIu64 ": %s", segment->first, offset,
        segment->bad_header ? "the segment header is not valid"
                            : "the file is shorter than it was made");
}

/* What its own file says against the segment at `replay->segment`. */
static void look_at_file(struct wal_replay *replay)
{
    const struct wal_segment *segment = &replay->wal->segments[replay->segment];
    uint64_t oldest = pc_wal_first_number(replay->wal);
    uint64_t want = replay->segment == 0 ? oldest : segment[-1].number + 1;
    struct pc_error text;
    if (segment->number != want) {
        (void)pc_error_set(&text, PC_E_CORRUPT,
            "log-%016" PRIx64 ".seg: this is segment %" PRIu64 " where segment %" PRIu64 " was "
            "expected: a segment is missing",
            segment->first, segment->number, want);
        damage_before(replay, text.text);
    }
    if (segment->bad_header || segment->is_short) {
        file_text(segment, &text);
        replay->damages++;
        if (!replay->pending) {
            (void)snprintf(replay->where, sizeof replay->where, "%.*s",
                (int)sizeof replay->where - 1, text.text);
        }
    }
}

/* What the header of the segment to be read next says of the log so far. */
static pc_err enter_segment(struct wal_replay *replay, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    const struct wal_segment *segment = &wal->segments[replay->segment];
    look_at_file(replay);
    if (segment->bad_header) {
        return PC_OK; /* its records will say */
    }
    if (goes_on(replay, replay->segment)) {
        replay->pending = false;
        return PC_OK;
    }
    struct wal_anchor anchor = {.index = segment->first - 1, .chain = segment->before};
    bool fits = false;
    if (!replay->pending) {
        damage_before(replay, "a segment begins behind another entry than the last one before it");
    }
    pc_err err = pc_wal_replay_reach(replay, &anchor, &fits, error);
    replay->pending = !fits;
    return err;
}

static pc_err open_segment(struct pc_wal *wal, size_t place, pc_fd *fd, struct pc_error *error)
{
    char name[32];
    struct wal_path path;
    pc_wal_segment_file(&wal->segments[place], name, sizeof name);
    pc_wal_path(wal, name, &path);
    bool newest = place + 1 == wal->segments_n;
    return newest && !wal->read_only
               ? wal->fs->open(wal->fs->context, path.text, false, false, fd, error)
               : wal->fs->open_read(wal->fs->context, path.text, fd, error);
}

/* How the record at `at` came to be invalid, and where to go on. UINT64_MAX: nothing comes. */
static pc_err pass_damage(
    struct wal_replay *replay, uint64_t *at, const char *why, struct pc_error *error)
{
    damage_at(replay, *at, why);
    return pc_wal_tail_resync(&replay->reader, *at + WAL_ALIGN, at, error);
}

/* The successor that would say how this segment was left is lost itself: its records end where no
 * valid one comes any more. *at: the next one, or UINT64_MAX. */
static pc_err end_without_successor(struct wal_replay *replay, uint64_t *at, struct pc_error *error)
{
    uint64_t next;
    pc_err err = pc_wal_tail_resync(&replay->reader, *at, &next, error);
    if (err == PC_OK && next != UINT64_MAX) {
        damage_at(replay, *at, "an invalid record with valid ones behind it");
    }
    *at = next;
    return err;
}

static pc_err replay_older(struct wal_replay *replay, struct pc_error *error)
{
    const struct wal_segment *segment = &replay->wal->segments[replay->segment];
    uint64_t at = WAL_FIRST_AT;
    while (at != UINT64_MAX) {
        pc_err err = replay_records(replay, UINT64_MAX, &at, error);
        if (err != PC_OK) {
            return err;
        }
        bool fits = !replay->pending && goes_on(replay, replay->segment + 1);
        if (fits) {
            return PC_OK;
        }
        err = segment[1].number != segment->number + 1
                  ? end_without_successor(replay, &at, error)
                  : pass_damage(replay, &at,
                        "the segment ends here, but the next one goes on elsewhere", error);
        if (err != PC_OK) {
            return err;
        }
    }
    return PC_OK;
}

static pc_err replay_newest(struct wal_replay *replay, uint32_t durable_block,
    struct wal_tail *tail, struct pc_error *error)
{
    uint64_t at = WAL_FIRST_AT;
    uint32_t noted_block = 0;
    while (at != UINT64_MAX) {
        pc_err err = pc_wal_tail_find(&replay->reader, at, durable_block, tail, error);
        if (err == PC_OK) {
            noted_block = tail->noted_block > noted_block ? tail->noted_block : noted_block;
            tail->noted_block = noted_block;
            err =
                replay_records(replay, tail->damaged ? tail->damaged_at : tail->end_at, &at, error);
        }
        if (err != PC_OK) {
            return err;
        }
        if (!tail->damaged && at == tail->end_at) {
            /* A torn batch of which a part was passed over as damaged has no end to go on from. */
            if (at % WAL_PAYLOAD_BYTES != 0) {
                damage_at(replay, at, "the rest of its batch was never written");
            }
            replay->open = replay->pending;
            return PC_OK;
        }
        err = pass_damage(
            replay, &at, tail->damaged ? tail->why : "it reads otherwise each time", error);
        if (err != PC_OK) {
            return err;
        }
    }
    replay->open = true;
    return PC_OK;
}

static pc_err replay_segment(
    struct wal_replay *replay, struct wal_tail *tail, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    const struct wal_segment *segment = &wal->segments[replay->segment];
    pc_fd fd;
    pc_err err = enter_segment(replay, error);
    if (err == PC_OK) {
        err = open_segment(wal, replay->segment, &fd, error);
    }
    if (err != PC_OK) {
        return err;
    }
    pc_wal_reader_use(&replay->reader, fd, segment);
    wal->marks.due = true;
    note_clean(replay, WAL_FIRST_AT);
    if (replay->segment + 1 == wal->segments_n) {
        wal->fd = fd;
        wal->fd_open = true;
        bool vouches = wal->vote.segments == segment->number;
        err = replay_newest(replay, vouches ? wal->vote.durable_block : 0, tail, error);
        if (err == PC_OK && segment->is_short && !replay->open) {
            struct pc_error text;
            file_text(segment, &text);
            damage(replay, &replay->clean, text.text);
            replay->open = true;
        }
    } else {
        err = replay_older(replay, error);
        wal->fs->close(wal->fs->context, fd);
    }
    return err;
}

/* Segments that were begun behind the newest one which is there. */
static void check_end(struct wal_replay *replay, const struct wal_tail *tail)
{
    struct pc_wal *wal = replay->wal;
    uint64_t newest = wal->segments_n > 0 ? pc_wal_newest(wal)->number : 0;
    bool none = wal->segments_n == 0 && wal->vote.front.number <= wal->vote.segments;
    if (wal->vote.segments > newest || none) {
        struct pc_error text;
        (void)pc_error_set(&text, PC_E_CORRUPT,
            "%s: segment %" PRIu64 " is missing: only %zu are there", wal->dir,
            wal->vote.segments > 0 ? wal->vote.segments : 1, wal->segments_n);
        replay->open = true;
        if (tail->used_blocks > pc_wal_block_of(tail->end_at)) {
            damage(
                replay, &replay->clean, text.text); /* it had a successor: this is no torn tail */
        }
        replay->segment = wal->segments_n;
        damage_before(replay, text.text);
    }
}

/* ---- the whole */

/* The log begins where its front says; if no snapshot reaches up to there, behind a gap. */
static pc_err begin_at_front(struct wal_replay *replay, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    const struct wal_point *front = &wal->vote.front.behind;
    struct wal_point base = pc_wal_base_point(wal);
    if (front->index <= base.index) {
        pc_wal_replay_begin(replay, front);
        return PC_OK;
    }
    pc_wal_replay_begin(replay, &base);
    struct pc_error text;
    (void)pc_error_set(&text, PC_E_CORRUPT,
        "%s: the log begins behind entry %" PRIu64 ", and there is no snapshot of it or of a later "
        "one",
        wal->dir, front->index);
    damage_before(replay, text.text);
    struct wal_anchor anchor = {.index = front->index, .term = front->term, .chain = front->chain};
    bool fits = false;
    pc_err err = pc_wal_replay_reach(replay, &anchor, &fits, error);
    replay->pending = !fits;
    return err;
}

/* Behind the base, whatever is in front of it: what the files hold is uncertain until something
 * follows on it. */
static void begin_at_base(struct wal_replay *replay, const char *where)
{
    struct wal_point base = pc_wal_base_point(replay->wal);
    replay->from_base = true;
    pc_wal_replay_begin(replay, &base);
    damage_before(replay, where);
}

static pc_err replay_all(struct wal_replay *replay, struct wal_tail *tail, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    pc_err err = PC_OK;
    *tail = (struct wal_tail){0};
    for (size_t i = 0; i < wal->segments_n && err == PC_OK; i++) {
        replay->segment = i;
        err = replay_segment(replay, tail, error);
    }
    if (err == PC_OK) {
        check_end(replay, tail);
    }
    return err;
}

/* Once more, from the base on. */
static pc_err replay_from_base(
    struct wal_replay *replay, struct wal_tail *tail, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    char where[PC_WAL_WHERE_BYTES];
    memcpy(where, replay->gaps[0].where, sizeof where);
    pc_wal_replay_clear(replay);
    replay->each = NULL; /* it has seen what there is */
    replay->pending = false;
    replay->open = false;
    replay->damages = 0;
    if (wal->fd_open) {
        wal->fs->close(wal->fs->context, wal->fd);
        wal->fd_open = false;
    }
    replay->segment = 0;
    begin_at_base(replay, where);
    return replay_all(replay, tail, error);
}

pc_err pc_wal_recover(struct pc_wal *wal, struct wal_tail *tail, struct pc_wal_recovered *out,
    bool *replace, pc_wal_each_record each, void *arg, struct pc_error *error)
{
    PC_ASSERT(wal->last == 0 && wal->marks.n == 0);
    struct wal_replay replay = {.wal = wal, .each = each, .arg = arg};
    wal->cut = (struct wal_cut){0};
    *replace = false;
    pc_wal_reader_init(&replay.reader, wal->fs, WAL_RECOVER_CHUNK_BYTES);
    pc_err err = begin_at_front(&replay, error);
    if (err == PC_OK) {
        err = replay_all(&replay, tail, error);
    }
    enum wal_verdict verdict = err == PC_OK ? pc_wal_result_judge(&replay) : WAL_KEEP;
    if (verdict == WAL_FROM_BASE) {
        err = replay_from_base(&replay, tail, error);
    }
    if (err == PC_OK && verdict == WAL_REPLACE) {
        struct wal_point base = pc_wal_base_point(wal);
        *replace = true;
        if (wal->last >= base.index && !wal->read_only) {
            /* What goes may have been acknowledged in this term, and must not be missing in it. */
            wal->vote.term++;
            wal->vote.vote = 0;
        }
        pc_wal_begin_behind(wal, &base);
        pc_wal_result_empty(wal, out);
    } else if (err == PC_OK) {
        pc_wal_result_take(&replay, out);
    }
    pc_wal_replay_clear(&replay);
    pc_wal_reader_destroy(&replay.reader);
    return err;
}
