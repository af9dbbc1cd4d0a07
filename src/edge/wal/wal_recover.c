/* Replay at start: every segment in the order of writing, every record checked (checksums, index
 * and term order, hash chain). The log streams through: what stays in memory is the runs of terms,
 * the sparse index, and the entries from the highest known commit index on.
 *
 * An older segment needs no judgement of its own: the header of its successor says with which index
 * and chain value it was left, and that has to be exactly what the replay has come to. */
#include "wal_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define WINDOW_SLACK 1024

/* The entries from min(commit, last) to last: `kept.v[head..n)`. */
struct window {
    struct pc_entries kept;
    size_t head;
};

struct replay {
    struct pc_wal *wal;
    struct wal_reader reader;
    struct window window;
    struct pc_term_run *terms;
    size_t terms_n;
    size_t terms_cap;
    size_t segment; /* place in wal->segments */
    pc_wal_each_record each;
    void *arg;
};

static void window_clear(struct window *window)
{
    pc_entries_clear(&window->kept);
    window->head = 0;
}

/* Drops the entries before `first`. Moves the rest down only now and then. */
static void window_drop_before(struct window *window, pc_index first)
{
    struct pc_entries *kept = &window->kept;
    while (window->head < kept->n && kept->v[window->head].index < first) {
        pc_entry_clear(&kept->v[window->head++]);
    }
    if (window->head >= WINDOW_SLACK && window->head * 2 >= kept->n) {
        kept->n -= window->head;
        memmove(kept->v, kept->v + window->head, kept->n * sizeof *kept->v);
        window->head = 0;
    }
}

static void window_drop_from(struct window *window, pc_index from)
{
    struct pc_entries *kept = &window->kept;
    while (kept->n > window->head && kept->v[kept->n - 1].index >= from) {
        pc_entry_clear(&kept->v[--kept->n]);
    }
}

static void push_term(struct replay *replay, const struct pc_entry *entry)
{
    if (replay->terms_n > 0 && replay->terms[replay->terms_n - 1].term == entry->term) {
        return;
    }
    if (replay->terms_n == replay->terms_cap) {
        replay->terms_cap = replay->terms_cap == 0 ? 16 : replay->terms_cap * 2;
        replay->terms = pc_xrealloc(replay->terms, replay->terms_cap * sizeof *replay->terms);
    }
    replay->terms[replay->terms_n++] =
        (struct pc_term_run){.first = entry->index, .term = entry->term};
}

static void show(struct replay *replay, uint64_t at, const struct wal_record *record,
    const struct pc_entry *entry)
{
    if (replay->each == NULL) {
        return;
    }
    struct pc_wal_record_info info = {
        .segment = replay->reader.name,
        .offset = pc_wal_block_of(at) * (uint64_t)WAL_BLOCK_BYTES + WAL_STAMP_BYTES +
                  at % WAL_PAYLOAD_BYTES,
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

static pc_err replay_entry(
    struct replay *replay, uint64_t at, const struct wal_found *found, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    if (found->record.index != wal->last + 1 || found->record.term < wal->last_term) {
        return pc_wal_reader_damaged(
            &replay->reader, at, "index or term does not follow the entry before", error);
    }
    struct pc_entry entry;
    pc_err err = pc_wal_reader_entry(&replay->reader, at, found, &entry, error);
    if (err != PC_OK) {
        return err;
    }
    struct pc_hash chain = pc_entry_chain(&wal->chain, &entry);
    if (!pc_hash_equal(&chain, &entry.chain)) {
        pc_entry_clear(&entry);
        return pc_wal_reader_damaged(&replay->reader, at, "the chain is broken", error);
    }
    struct wal_mark mark = {
        .index = entry.index, .at = at, .before = wal->chain, .segment = (uint32_t)replay->segment};
    pc_wal_marks_note(&wal->marks, &mark);
    wal->last = entry.index;
    wal->last_term = entry.term;
    wal->chain = chain;
    push_term(replay, &entry);
    pc_entries_push(&replay->window.kept, &entry);
    show(replay, at, &found->record, &entry);
    pc_entry_clear(&entry);
    return PC_OK;
}

static pc_err replay_truncate(
    struct replay *replay, uint64_t at, const struct wal_record *record, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    if (record->index >= wal->last) {
        return pc_wal_reader_damaged(
            &replay->reader, at, "a truncation behind the last entry", error);
    }
    if (record->index < wal->commit) {
        return pc_wal_reader_damaged(
            &replay->reader, at, "a truncation of what was committed", error);
    }
    struct wal_record kept = {0}; /* of index 0: term 0, chain zero */
    pc_err err = record->index == 0 ? PC_OK : pc_wal_load_header(wal, record->index, &kept, error);
    if (err != PC_OK) {
        return err;
    }
    if (kept.term != record->term || !pc_hash_equal(&kept.chain, &record->chain)) {
        return pc_wal_reader_damaged(
            &replay->reader, at, "a truncation that does not fit the log", error);
    }
    pc_index from = record->index + 1;
    pc_wal_marks_truncate(&wal->marks, from);
    window_drop_from(&replay->window, from);
    while (replay->terms_n > 0 && replay->terms[replay->terms_n - 1].first >= from) {
        replay->terms_n--;
    }
    wal->last = record->index;
    wal->last_term = record->term;
    wal->chain = record->chain;
    show(replay, at, record, NULL);
    return PC_OK;
}

static pc_err replay_note(
    struct replay *replay, uint64_t at, const struct wal_record *record, struct pc_error *error)
{
    const struct pc_wal *wal = replay->wal;
    if (record->index != wal->last || record->term != wal->last_term ||
        !pc_hash_equal(&record->chain, &wal->chain)) {
        return pc_wal_reader_damaged(&replay->reader, at, "a note that does not fit", error);
    }
    show(replay, at, record, NULL);
    return PC_OK;
}

/* A batch is there as a whole or not at all, and never claims more than the log holds with it. */
static pc_err check_commit(const struct replay *replay, uint64_t at, struct pc_error *error)
{
    return replay->wal->commit <= replay->wal->last
               ? PC_OK
               : pc_wal_reader_damaged(
                     &replay->reader, at, "it claims a commit index behind the last entry", error);
}

static pc_err replay_record(
    struct replay *replay, uint64_t at, const struct wal_found *found, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    pc_err err = PC_OK;
    switch (found->record.type) {
    case PC_WAL_RECORD_ENTRY:
        err = replay_entry(replay, at, found, error);
        break;
    case PC_WAL_RECORD_TRUNCATE:
        err = replay_truncate(replay, at, &found->record, error);
        break;
    case PC_WAL_RECORD_NOTE:
        err = replay_note(replay, at, &found->record, error);
        break;
    }
    if (err != PC_OK) {
        return err;
    }
    wal->commit = found->record.commit > wal->commit ? found->record.commit : wal->commit;
    window_drop_before(&replay->window, wal->commit < wal->last ? wal->commit : wal->last);
    bool batch_ends = (found->record.flags & WAL_LAST_OF_BATCH) != 0;
    return batch_ends ? check_commit(replay, at, error) : PC_OK;
}

/* The records before `end_at`, or up to the first that is not valid. *at: where it stopped. */
static pc_err replay_records(
    struct replay *replay, uint64_t end_at, uint64_t *at, struct pc_error *error)
{
    *at = WAL_FIRST_AT;
    while (*at < end_at) {
        struct wal_found found;
        pc_err err = pc_wal_reader_fetch(&replay->reader, *at, &found, error);
        if (err == PC_OK && found.seen != WAL_SEEN_RECORD) {
            break;
        }
        if (err == PC_OK) {
            err = replay_record(replay, *at, &found, error);
        }
        if (err != PC_OK) {
            return err;
        }
        *at = found.next;
    }
    return PC_OK;
}

/* Whether the next segment goes on where the replay of this one has ended. */
static pc_err check_successor(struct replay *replay, uint64_t at, struct pc_error *error)
{
    const struct pc_wal *wal = replay->wal;
    const struct wal_segment *next = &wal->segments[replay->segment + 1];
    if (next->first == wal->last + 1 && pc_hash_equal(&next->before, &wal->chain)) {
        return PC_OK;
    }
    return pc_wal_reader_damaged(
        &replay->reader, at, "the segment ends here, but the next one goes on elsewhere", error);
}

static pc_err open_segment(struct pc_wal *wal, size_t place, pc_fd *fd, struct pc_error *error)
{
    char name[32];
    struct wal_path path;
    pc_wal_segment_name(wal->segments[place].first, name, sizeof name);
    pc_wal_path(wal, name, &path);
    bool newest = place + 1 == wal->segments_n;
    return newest && !wal->read_only
               ? wal->fs->open(wal->fs->context, path.text, false, false, fd, error)
               : wal->fs->open_read(wal->fs->context, path.text, fd, error);
}

static pc_err replay_segment(struct replay *replay, struct wal_tail *tail, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    pc_fd fd;
    pc_err err = open_segment(wal, replay->segment, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    bool newest = replay->segment + 1 == wal->segments_n;
    pc_wal_reader_use(&replay->reader, fd, &wal->segments[replay->segment]);
    wal->marks.due = true;
    uint64_t at = 0;
    uint64_t end_at = UINT64_MAX;
    if (newest) {
        wal->fd = fd;
        wal->fd_open = true;
        bool vouches = wal->vote.segments == wal->segments[replay->segment].number;
        uint32_t durable_block = vouches ? wal->vote.durable_block : 0;
        err = pc_wal_tail_find(&replay->reader, durable_block, tail, error);
        end_at = tail->end_at;
    }
    if (err == PC_OK) {
        err = replay_records(replay, end_at, &at, error);
    }
    if (err == PC_OK && newest && at != end_at) {
        err = pc_wal_reader_damaged(&replay->reader, at, "it reads otherwise each time", error);
    }
    if (err == PC_OK) {
        err = check_commit(replay, at, error);
    }
    if (err == PC_OK && !newest) {
        err = check_successor(replay, at, error);
    }
    if (!newest) {
        wal->fs->close(wal->fs->context, fd);
    }
    return err;
}

/* Hands what was collected over to the receiver. */
static void fill_recovered(struct replay *replay, struct pc_wal_recovered *out)
{
    struct pc_wal *wal = replay->wal;
    struct pc_entries *kept = &replay->window.kept;
    size_t head = replay->window.head;
    struct pc_wal_recovered got = {
        .term = wal->vote.term > wal->last_term ? wal->vote.term : wal->last_term,
        .first = wal->last == 0 ? 0 : wal->segments[0].first,
        .last = wal->last,
        .commit = wal->commit,
        .terms = replay->terms,
        .terms_n = replay->terms_n,
    };
    got.vote = got.term == wal->vote.term ? wal->vote.vote : 0;
    if (wal->last > 0) {
        got.last_stamp_ms = kept->v[kept->n - 1].stamp_ms;
    }
    if (wal->commit > 0) {
        PC_ASSERT(kept->v[head].index == wal->commit);
        got.base = kept->v[head++];
    }
    PC_ASSERT(wal->commit <= wal->last && kept->n - head == wal->last - wal->commit);
    got.tail = *kept;
    got.tail.n = kept->n - head;
    if (got.tail.n > 0) {
        memmove(got.tail.v, got.tail.v + head, got.tail.n * sizeof *got.tail.v);
    }
    replay->terms = NULL;
    replay->window = (struct window){0};
    *out = got;
}

pc_err pc_wal_recover(struct pc_wal *wal, struct wal_tail *tail, struct pc_wal_recovered *out,
    pc_wal_each_record each, void *arg, struct pc_error *error)
{
    PC_ASSERT(wal->segments_n > 0 && wal->last == 0);
    struct replay replay = {.wal = wal, .each = each, .arg = arg};
    pc_wal_reader_init(&replay.reader, wal->fs, WAL_RECOVER_CHUNK_BYTES);
    pc_err err = PC_OK;
    for (size_t i = 0; i < wal->segments_n && err == PC_OK; i++) {
        replay.segment = i;
        err = replay_segment(&replay, tail, error);
    }
    if (err == PC_OK) {
        window_drop_before(&replay.window, wal->commit);
        fill_recovered(&replay, out);
    }
    window_clear(&replay.window);
    free(replay.terms);
    pc_wal_reader_destroy(&replay.reader);
    return err;
}

void pc_wal_recovered_clear(struct pc_wal_recovered *recovered)
{
    free(recovered->terms);
    pc_entry_clear(&recovered->base);
    pc_entries_clear(&recovered->tail);
    *recovered = (struct pc_wal_recovered){0};
}
