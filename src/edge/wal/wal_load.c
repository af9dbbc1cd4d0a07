/* Reads of old entries. A sparse index in memory names the place of every 64th entry (40 bytes for
 * 64 entries); from there the records are read in order.
 *
 * A truncation leaves the dropped entries where they were. They are never met: the first entry
 * after a truncation always gets a mark of its own, marks of dropped entries are gone, and a read
 * jumps to the next mark when it comes to its index. Marks of segments that were passed over unread
 * at the start (wal_skip.c) come as these are read. */
#include "wal_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/crc32c.h"

static bool is_due(const struct wal_marks *marks, const struct wal_mark *entry)
{
    if (marks->due || marks->n == 0) {
        return true;
    }
    const struct wal_mark *last = &marks->v[marks->n - 1];
    PC_ASSERT(last->index < entry->index);
    return last->segment != entry->segment || entry->index - last->index >= WAL_MARK_ENTRIES ||
           entry->at - last->at >= WAL_MARK_BYTES;
}

void pc_wal_marks_note(struct wal_marks *marks, const struct wal_mark *entry)
{
    if (!is_due(marks, entry)) {
        return;
    }
    if (marks->n == marks->cap) {
        marks->cap = marks->cap == 0 ? 64 : marks->cap * 2;
        marks->v = pc_xrealloc(marks->v, marks->cap * sizeof *marks->v);
    }
    marks->v[marks->n++] = *entry;
    marks->due = false;
}

void pc_wal_marks_truncate(struct wal_marks *marks, pc_index from)
{
    while (marks->n > 0 && marks->v[marks->n - 1].index >= from) {
        marks->n--;
    }
    marks->due = true;
}

/* ---- marks of segments that were passed over unread
 *
 * Each of these has one mark, for its beginning, and gets the others as it is read, so that a peer
 * which reads on finds the place where it stopped. */
#define LEARNT_MAX 64

struct learnt {
    struct wal_mark v[LEARNT_MAX];
    size_t n;
};

/* Behind the mark at `place`: all of them are. Returns the place of the last one. */
static size_t insert_learnt(struct wal_marks *marks, size_t place, struct learnt *learnt)
{
    size_t need = marks->n + learnt->n;
    if (need > marks->cap) {
        marks->cap = need * 2;
        marks->v = pc_xrealloc(marks->v, marks->cap * sizeof *marks->v);
    }
    struct wal_mark *to = marks->v + place + 1;
    memmove(to + learnt->n, to, (marks->n - place - 1) * sizeof *to);
    memcpy(to, learnt->v, learnt->n * sizeof *to);
    marks->n = need;
    place += learnt->n;
    learnt->n = 0;
    return place;
}

/* The place of the last mark with an index <= index. */
static size_t find_mark(const struct wal_marks *marks, pc_index index)
{
    size_t low = 0;
    size_t high = marks->n;
    PC_ASSERT(marks->n > 0 && marks->v[0].index <= index); /* INV-WAL-3 */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (marks->v[middle].index <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The newest segment is read through the descriptor that writes it: a truncation, which looks at
 * the entry that stays, then rarely needs another one. */
static pc_err use_segment(struct pc_wal *wal, size_t segment, struct pc_error *error)
{
    if (wal->loader.chunk == NULL) {
        pc_wal_reader_init(&wal->loader, wal->fs, WAL_LOAD_CHUNK_BYTES);
    }
    bool is_fill = (segment & WAL_PLACE_FILL) != 0;
    const struct wal_segment *at =
        is_fill ? &wal->fills[segment & ~(size_t)WAL_PLACE_FILL] : &wal->segments[segment];
    if (wal->fd_open && segment + 1 == wal->segments_n) {
        pc_wal_reader_use(&wal->loader, wal->fd, at);
        return PC_OK;
    }
    if (wal->loader_open && wal->loader_segment != segment) {
        wal->fs->close(wal->fs->context, wal->loader_fd);
        wal->loader_open = false;
    }
    if (!wal->loader_open) {
        char name[32];
        struct wal_path path;
        pc_wal_segment_file(at, name, sizeof name);
        pc_wal_path(wal, name, &path);
        pc_err err = wal->fs->open_read(wal->fs->context, path.text, &wal->loader_fd, error);
        if (err != PC_OK) {
            return err;
        }
        wal->loader_open = true;
        wal->loader_segment = segment;
    }
    /* Also forgets the chunk, behind whose back records may have been written. */
    pc_wal_reader_use(&wal->loader, wal->loader_fd, at);
    return PC_OK;
}

/* Where a read stands: the next record is at `at`, and no entry before `index` matters any more. */
struct cursor {
    size_t mark;
    pc_index index;
    uint64_t at;
    struct pc_hash before;
    bool is_checked; /* `before` is that of the entry read last */
    struct learnt *learnt;
};

static pc_err cursor_jump(
    struct pc_wal *wal, size_t place, struct cursor *cursor, struct pc_error *error)
{
    const struct wal_mark *mark = &wal->marks.v[place];
    bool same = cursor->mark != SIZE_MAX && wal->marks.v[cursor->mark].segment == mark->segment;
    pc_err err = same ? PC_OK : use_segment(wal, mark->segment, error);
    if (err == PC_OK) {
        cursor->mark = place;
        cursor->index = mark->index;
        cursor->at = mark->at;
        cursor->before = mark->before;
        cursor->is_checked = false;
    }
    return err;
}

static bool next_is_marked(const struct pc_wal *wal, const struct cursor *cursor)
{
    const struct wal_marks *marks = &wal->marks;
    return cursor->mark + 1 < marks->n && marks->v[cursor->mark + 1].index == cursor->index;
}

/* Marks the place where the cursor stands, if it is far enough from the last mark. */
static void cursor_learn(struct pc_wal *wal, struct cursor *cursor)
{
    struct learnt *learnt = cursor->learnt;
    const struct wal_mark *last =
        learnt->n > 0 ? &learnt->v[learnt->n - 1] : &wal->marks.v[cursor->mark];
    bool is_marked = next_is_marked(wal, cursor);
    if (is_marked || (cursor->index - last->index < WAL_MARK_ENTRIES &&
                         cursor->at - last->at < WAL_MARK_BYTES)) {
        return;
    }
    learnt->v[learnt->n++] = (struct wal_mark){.index = cursor->index,
        .at = cursor->at,
        .before = cursor->before,
        .segment = last->segment};
    if (learnt->n == LEARNT_MAX) {
        cursor->mark = insert_learnt(&wal->marks, cursor->mark, learnt);
    }
}

/* Whether the read goes on behind this record. In a segment that was passed over unread no mark
 * leads around what was truncated: but that is of another term than what the log has in its place,
 * or is the very same entry, which came again. */
static bool is_passed_by(
    const struct pc_wal *wal, const struct cursor *cursor, const struct wal_record *record)
{
    uint32_t place = wal->marks.v[cursor->mark].segment;
    bool is_fill = (place & WAL_PLACE_FILL) != 0;
    bool was_read = is_fill || cursor->index < wal->segments[place].one_term_from;
    pc_term one_term = was_read ? 0 : wal->segments[place].one_term;
    if (record->type == PC_WAL_RECORD_NOTE || one_term == 0) {
        return record->type == PC_WAL_RECORD_NOTE;
    }
    return record->type == PC_WAL_RECORD_TRUNCATE || record->term != one_term ||
           record->index < cursor->index;
}

/* Finds the ENTRY record cursor->index and leaves the cursor at it. */
static pc_err cursor_find(
    struct pc_wal *wal, struct cursor *cursor, struct wal_found *found, struct pc_error *error)
{
    if (next_is_marked(wal, cursor)) {
        if (cursor->learnt != NULL) {
            cursor->mark = insert_learnt(&wal->marks, cursor->mark, cursor->learnt);
        }
        const struct wal_mark *next = &wal->marks.v[cursor->mark + 1];
        if (cursor->is_checked && !pc_hash_equal(&next->before, &cursor->before)) {
            return pc_wal_reader_damaged(
                &wal->loader, cursor->at, "the next entry follows on another one", error);
        }
        pc_err err = cursor_jump(wal, cursor->mark + 1, cursor, error);
        if (err != PC_OK) {
            return err;
        }
    }
    for (;;) {
        pc_err err = pc_wal_reader_fetch(&wal->loader, cursor->at, found, error);
        if (err != PC_OK) {
            return err;
        }
        if (found->seen != WAL_SEEN_RECORD) {
            return pc_wal_reader_damaged(
                &wal->loader, cursor->at, "no valid record where one was", error);
        }
        if (!is_passed_by(wal, cursor, &found->record)) {
            break;
        }
        cursor->at = found->next;
    }
    if (found->record.type != PC_WAL_RECORD_ENTRY || found->record.index != cursor->index) {
        return pc_wal_reader_damaged(&wal->loader, cursor->at, "not the expected entry", error);
    }
    return PC_OK;
}

/* One entry, checked against the chain; the cursor moves behind it. */
static pc_err cursor_take(
    struct pc_wal *wal, struct cursor *cursor, struct pc_entry *out, struct pc_error *error)
{
    struct wal_found found;
    struct pc_entry entry;
    pc_err err = cursor_find(wal, cursor, &found, error);
    if (err == PC_OK) {
        err = pc_wal_reader_entry(&wal->loader, cursor->at, &found, &entry, error);
    }
    if (err != PC_OK) {
        return err;
    }
    struct pc_hash chain = pc_entry_chain(&cursor->before, &entry);
    if (!pc_hash_equal(&chain, &entry.chain)) {
        pc_entry_clear(&entry);
        return pc_wal_reader_damaged(&wal->loader, cursor->at, "the chain is broken", error);
    }
    cursor->before = chain;
    cursor->is_checked = true;
    cursor->at = found.next;
    cursor->index++;
    *out = entry;
    return PC_OK;
}

/* The last entry of a segment that was passed over, which is known without reading it. */
static bool point_of_passed(const struct pc_wal *wal, pc_index index, struct wal_point *out)
{
    for (size_t i = 0; i + 1 < wal->segments_n; i++) {
        const struct wal_segment *segment = &wal->segments[i];
        if (segment->one_term != 0 && segment[1].first == index + 1) {
            *out = (struct wal_point){
                .index = index, .term = segment->one_term, .chain = segment[1].before};
            return true;
        }
    }
    return false;
}

/* Damage is told to whoever asks for the entry that is damaged: `got` entries are in front of it.
 */
static pc_err cursor_end(struct pc_wal *wal, struct cursor *cursor, pc_err err, size_t got)
{
    if (cursor->mark != SIZE_MAX) {
        (void)insert_learnt(&wal->marks, cursor->mark, cursor->learnt);
    }
    return err == PC_E_CORRUPT && got > 0 ? PC_OK : err;
}

pc_err pc_wal_load_point(
    struct pc_wal *wal, pc_index index, struct wal_point *out, struct pc_error *error)
{
    PC_ASSERT(index >= wal->start.index && index <= wal->last);
    if (index == wal->start.index) {
        *out = wal->start;
        return PC_OK;
    }
    if (point_of_passed(wal, index, out)) {
        return PC_OK;
    }
    struct cursor cursor = {.mark = SIZE_MAX};
    struct wal_found found;
    pc_err err = cursor_jump(wal, find_mark(&wal->marks, index), &cursor, error);
    while (err == PC_OK) {
        err = cursor_find(wal, &cursor, &found, error);
        if (err == PC_OK && cursor.index == index) {
            *out = (struct wal_point){
                .index = index, .term = found.record.term, .chain = found.record.chain};
            break;
        }
        cursor.index++;
        cursor.at = found.next;
    }
    return err;
}

static pc_err load_range(struct pc_wal *wal, pc_index first, pc_index last, size_t bytes_max,
    struct pc_entries *out, struct pc_error *error)
{
    struct learnt learnt = {.n = 0};
    struct cursor cursor = {.mark = SIZE_MAX, .learnt = &learnt};
    size_t bytes = 0;
    pc_err err = cursor_jump(wal, find_mark(&wal->marks, first), &cursor, error);
    while (err == PC_OK && cursor.index <= last) {
        struct pc_entry entry;
        cursor_learn(wal, &cursor);
        err = cursor_take(wal, &cursor, &entry, error);
        if (err != PC_OK) {
            break;
        }
        bool wanted = entry.index >= first;
        if (wanted) {
            bytes += pc_entry_bytes(&entry);
        }
        bool fits = out->n == 0 || bytes <= bytes_max;
        if (wanted && fits) {
            pc_entries_take(out, &entry);
        } else {
            pc_entry_clear(&entry);
        }
        if (!fits) {
            break;
        }
    }
    return cursor_end(wal, &cursor, err, out->n);
}

/* Behind a record of which the header is believed. */
static void cursor_pass(struct cursor *cursor, const struct wal_found *found)
{
    cursor->before = found->record.chain;
    cursor->is_checked = true;
    cursor->at = found->next;
    cursor->index++;
}

/* The bytes of one entry, appended to *out; the cursor moves behind it. */
static pc_err cursor_take_raw(
    struct pc_wal *wal, struct cursor *cursor, struct pc_buf *out, struct pc_error *error)
{
    struct wal_found found;
    pc_err err = cursor_find(wal, cursor, &found, error);
    if (err != PC_OK) {
        return err;
    }
    if (pc_crc32c(0, found.body) != found.record.body_crc) {
        return pc_wal_reader_damaged(&wal->loader, cursor->at, "the entry's checksum", error);
    }
    pc_buf_append(out, found.body.data, found.body.len);
    cursor_pass(cursor, &found);
    return PC_OK;
}

/* Moves to `index`; what is in between is only looked at as far as that takes. */
static pc_err cursor_seek(
    struct pc_wal *wal, struct cursor *cursor, pc_index index, struct pc_error *error)
{
    pc_err err = cursor_jump(wal, find_mark(&wal->marks, index), cursor, error);
    while (err == PC_OK && cursor->index < index) {
        struct wal_found found;
        err = cursor_find(wal, cursor, &found, error);
        if (err == PC_OK) {
            cursor_pass(cursor, &found);
            cursor_learn(wal, cursor);
        }
    }
    return err;
}

static pc_err load_raw(struct pc_wal *wal, pc_index last, size_t bytes_max,
    struct pc_raw_entries *out, struct pc_error *error)
{
    struct learnt learnt = {.n = 0};
    struct cursor cursor = {.mark = SIZE_MAX, .learnt = &learnt};
    pc_err err = cursor_seek(wal, &cursor, out->first, error);
    while (err == PC_OK && cursor.index <= last) {
        size_t before = out->bytes.len;
        cursor_learn(wal, &cursor);
        err = cursor_take_raw(wal, &cursor, &out->bytes, error);
        if (err == PC_OK && out->n > 0 && out->bytes.len > bytes_max) {
            out->bytes.len = before;
            break;
        }
        out->n += err == PC_OK ? 1 : 0;
    }
    return cursor_end(wal, &cursor, err, out->n);
}

/* False when `first` lies in a gap; *last goes back to the entry before the next one. */
static bool is_free_of_gaps(const struct pc_wal *wal, pc_index first, pc_index *last)
{
    for (size_t i = 0; i < wal->gaps_n; i++) {
        const struct pc_wal_gap *gap = &wal->gaps[i];
        if (first >= gap->first && first <= gap->last) {
            return false;
        }
        if (first < gap->first && *last >= gap->first) {
            *last = gap->first - 1;
        }
    }
    return true;
}

static pc_err check_range(
    const struct pc_wal *wal, pc_index first, pc_index *upto, struct pc_error *error)
{
    pc_index last = *upto;
    if (first <= wal->start.index || first > last || last > wal->last) {
        return pc_error_set(error, PC_E_NOT_FOUND,
            "entries %" PRIu64 "..%" PRIu64 " are not in the log, which has %" PRIu64 "..%" PRIu64,
            first, last, wal->start.index + 1, wal->last);
    }
    if (!is_free_of_gaps(wal, first, upto)) {
        return pc_error_set(error, PC_E_NOT_FOUND, "entry %" PRIu64 " is lost in a gap", first);
    }
    return PC_OK;
}

pc_err pc_wal_load(struct pc_wal *wal, pc_index first, pc_index last, size_t bytes_max,
    struct pc_entries *out, struct pc_error *error)
{
    struct pc_entries entries = {0};
    pc_err err = check_range(wal, first, &last, error);
    if (err == PC_OK) {
        err = load_range(wal, first, last, bytes_max, &entries, error);
    }
    if (err != PC_OK) {
        pc_entries_clear(&entries);
        wal->stats.damaged_loads += err == PC_E_CORRUPT ? 1 : 0;
        return err;
    }
    PC_ASSERT(entries.n > 0 && entries.v[0].index == first);
    *out = entries;
    return PC_OK;
}

pc_err pc_wal_load_raw(struct pc_wal *wal, pc_index first, pc_index last, size_t bytes_max,
    struct pc_raw_entries *out, struct pc_error *error)
{
    struct pc_raw_entries raw = {.first = first};
    pc_err err = check_range(wal, first, &last, error);
    if (err == PC_OK) {
        err = load_raw(wal, last, bytes_max, &raw, error);
    }
    if (err != PC_OK) {
        pc_raw_entries_clear(&raw);
        wal->stats.damaged_loads += err == PC_E_CORRUPT ? 1 : 0;
        return err;
    }
    PC_ASSERT(raw.n > 0);
    *out = raw;
    return PC_OK;
}
