/* Reads of old entries. A sparse index in memory names the place of every 64th entry (40 bytes for
 * 64 entries); from there the records are read in order.
 *
 * A truncation leaves the dropped entries where they were. They are never met: the first entry
 * after a truncation always gets a mark of its own, marks of dropped entries are gone, and a read
 * jumps to the next mark when it comes to its index. */
#include "wal_int.h"

#include <inttypes.h>
#include <stdlib.h>

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
};

static pc_err cursor_jump(
    struct pc_wal *wal, size_t place, struct cursor *cursor, struct pc_error *error)
{
    const struct wal_mark *mark = &wal->marks.v[place];
    bool same = cursor->mark != SIZE_MAX && wal->marks.v[cursor->mark].segment == mark->segment;
    pc_err err = same ? PC_OK : use_segment(wal, mark->segment, error);
    if (err == PC_OK) {
        *cursor = (struct cursor){
            .mark = place, .index = mark->index, .at = mark->at, .before = mark->before};
    }
    return err;
}

/* Finds the ENTRY record cursor->index and leaves the cursor at it. */
static pc_err cursor_find(
    struct pc_wal *wal, struct cursor *cursor, struct wal_found *found, struct pc_error *error)
{
    if (cursor->mark + 1 < wal->marks.n && wal->marks.v[cursor->mark + 1].index == cursor->index) {
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
        if (found->record.type != PC_WAL_RECORD_NOTE) {
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
    cursor->at = found.next;
    cursor->index++;
    *out = entry;
    return PC_OK;
}

pc_err pc_wal_load_point(
    struct pc_wal *wal, pc_index index, struct wal_point *out, struct pc_error *error)
{
    PC_ASSERT(index >= wal->start.index && index <= wal->last);
    if (index == wal->start.index) {
        *out = wal->start;
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
    struct cursor cursor = {.mark = SIZE_MAX};
    size_t bytes = 0;
    pc_err err = cursor_jump(wal, find_mark(&wal->marks, first), &cursor, error);
    while (err == PC_OK && cursor.index <= last) {
        struct pc_entry entry;
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
    return err;
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
    cursor->at = found.next;
    cursor->index++;
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
            cursor->index++;
            cursor->at = found.next;
        }
    }
    return err;
}

static pc_err load_raw(struct pc_wal *wal, pc_index last, size_t bytes_max,
    struct pc_raw_entries *out, struct pc_error *error)
{
    struct cursor cursor = {.mark = SIZE_MAX};
    pc_err err = cursor_seek(wal, &cursor, out->first, error);
    while (err == PC_OK && cursor.index <= last) {
        size_t before = out->bytes.len;
        err = cursor_take_raw(wal, &cursor, &out->bytes, error);
        if (err == PC_OK && out->n > 0 && out->bytes.len > bytes_max) {
            out->bytes.len = before;
            break;
        }
        out->n += err == PC_OK ? 1 : 0;
    }
    return err;
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
        return err;
    }
    PC_ASSERT(raw.n > 0);
    *out = raw;
    return PC_OK;
}
