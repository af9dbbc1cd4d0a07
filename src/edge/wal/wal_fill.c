/* What is put aside for a gap: the entries that were lost, as another node had them.
 *
 *   fix.tmp                 header, batches of ENTRY records, as in a segment
 *   fix-<first>.seg         synced, renamed, directory synced: the gap is closed
 *
 * A damaged segment is never written to: what was lost stands beside it, and every later start puts
 * the two together. So a crash at any moment leaves either the gap or its filling, and what was
 * damaged stays as evidence. Nothing is believed for its name: a filling closes a gap when it
 * begins at an entry that the log has and its last entry has the chain value that the log demands.
 *
 * Its number, which is in stamps and checksums, is no segment's: 2^63 + first index. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/wire_entry.h"
#include "wal_replay.h"

#define FIX_TMP "fix.tmp"

static pc_err fill_open(struct pc_wal *wal, size_t place, pc_fd *fd, struct pc_error *error)
{
    char name[32];
    struct wal_path path;
    pc_wal_segment_file(&wal->fills[place], name, sizeof name);
    pc_wal_path(wal, name, &path);
    return wal->fs->open_read(wal->fs->context, path.text, fd, error);
}

/* Goes through the entries of a filling, from its first on, as far as they follow `chain`. With
 * `push` they become part of the log. *last, *chain: what it came to. */
static pc_err fill_read(struct wal_replay *replay, struct wal_reader *reader, size_t place,
    bool push, pc_index upto, pc_index *last, struct pc_hash *chain, struct pc_error *error)
{
    const struct wal_segment *fill = &replay->wal->fills[place];
    uint64_t at = WAL_FIRST_AT;
    *last = fill->first - 1;
    while (*last < upto) {
        struct wal_found found;
        struct pc_entry entry;
        pc_err err = pc_wal_reader_record(reader, at, &found, error);
        if (err != PC_OK) {
            return err;
        }
        if (found.seen != WAL_SEEN_RECORD || found.record.type != PC_WAL_RECORD_ENTRY ||
            found.record.index != *last + 1) {
            return PC_OK;
        }
        err = pc_wal_reader_entry(reader, at, &found, &entry, error);
        if (err != PC_OK) {
            return err == PC_E_CORRUPT ? PC_OK : err;
        }
        struct pc_hash follows = pc_entry_chain(chain, &entry);
        bool fits = pc_hash_equal(&follows, &entry.chain);
        if (fits && push) {
            pc_wal_replay_push(replay, &entry, at, (uint32_t)place | WAL_PLACE_FILL);
        }
        pc_entry_clear(&entry);
        if (!fits) {
            return PC_OK;
        }
        *chain = follows;
        (*last)++;
        at = found.next;
    }
    return PC_OK;
}

/* Tries one filling: looks it through first, and takes it over only when it ends as demanded. */
static pc_err fill_try(struct wal_replay *replay, size_t place, const struct pc_wal_gap *gap,
    bool *closed, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    const struct wal_segment *fill = &wal->fills[place];
    struct pc_hash chain;
    bool begins = fill->first > gap->floor && fill->first <= gap->first &&
                  pc_wal_replay_chain(replay, fill->first - 1, &chain) &&
                  pc_hash_equal(&chain, &fill->before);
    pc_fd fd;
    if (!begins) {
        return PC_OK;
    }
    pc_err err = fill_open(wal, place, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    struct wal_reader reader;
    pc_wal_reader_init(&reader, wal->fs, WAL_LOAD_CHUNK_BYTES);
    pc_wal_reader_use(&reader, fd, fill);
    pc_index last;
    err = fill_read(replay, &reader, place, false, gap->last, &last, &chain, error);
    if (err == PC_OK && last == gap->last && pc_hash_equal(&chain, &gap->anchor)) {
        pc_wal_replay_truncate(replay, fill->first - 1);
        chain = fill->before;
        wal->marks.due = true;
        err = fill_read(replay, &reader, place, true, gap->last, &last, &chain, error);
        *closed = wal->last == gap->last;
        wal->marks.due = true;
        if (err == PC_OK && !*closed) {
            err = pc_error_set(error, PC_E_IO, "%s: it reads otherwise each time", reader.name);
        }
    }
    pc_wal_reader_destroy(&reader);
    wal->fs->close(wal->fs->context, fd);
    return err;
}

pc_err pc_wal_fill_apply(
    struct wal_replay *replay, const struct pc_wal_gap *gap, bool *closed, struct pc_error *error)
{
    pc_err err = PC_OK;
    *closed = false;
    for (size_t i = 0; i < replay->wal->fills_n && err == PC_OK && !*closed; i++) {
        err = fill_try(replay, i, gap, closed, error);
    }
    return err;
}

/* ---- writing one */

void pc_wal_fix_drop(struct pc_wal *wal)
{
    struct wal_fix *fix = &wal->fix;
    if (fix->open) {
        struct wal_path path;
        struct pc_error ignored;
        wal->fs->close(wal->fs->context, fix->fd);
        pc_wal_path(wal, FIX_TMP, &path);
        /* Should it stay, it is worthless, and the next one takes its place. */
        (void)wal->fs->unlink(wal->fs->context, path.text, &ignored);
    }
    *fix = (struct wal_fix){0};
}

static pc_err fix_begin(
    struct pc_wal *wal, size_t gap_place, pc_index first, struct pc_error *error)
{
    struct wal_fix *fix = &wal->fix;
    const struct pc_wal_gap *gap = &wal->gaps[gap_place];
    struct wal_path path;
    struct pc_error ignored;
    pc_wal_fix_drop(wal);
    pc_wal_path(wal, FIX_TMP, &path);
    (void)wal->fs->unlink(wal->fs->context, path.text, &ignored);
    pc_err err = wal->fs->open(wal->fs->context, path.text, true, false, &fix->fd, error);
    if (err != PC_OK) {
        return err;
    }
    fix->open = true;
    fix->gap = gap_place;
    fix->segment = (struct wal_segment){.number = WAL_NUMBER_FILL | first,
        .first = first,
        .before = first == gap->first ? gap->before : gap->floor_chain,
        .blocks = 1};
    fix->chain = fix->segment.before;
    fix->next = first;
    return PC_OK;
}

/* The entries as one batch behind what there is. */
static pc_err fix_write(
    struct pc_wal *wal, const struct pc_entry *entries, size_t n, struct pc_error *error)
{
    struct wal_fix *fix = &wal->fix;
    pc_wal_out_begin(&wal->out, fix->segment.number, fix->segment.blocks);
    for (size_t i = 0; i < n; i++) {
        pc_buf_reset(&wal->body);
        pc_wire_encode_entry(&entries[i], &wal->body);
        struct wal_record record = {.type = PC_WAL_RECORD_ENTRY,
            .flags = i + 1 == n ? WAL_LAST_OF_BATCH : 0,
            .durable_block = 1,
            .index = entries[i].index,
            .term = entries[i].term,
            .chain = entries[i].chain};
        pc_wal_record_put(&wal->out, &record, pc_slice_of(wal->body.data, wal->body.len));
    }
    uint64_t offset = (uint64_t)fix->segment.blocks * WAL_BLOCK_BYTES;
    pc_err err = wal->fs->write_at(
        wal->fs->context, fix->fd, offset, pc_slice_of(wal->out.buf.data, wal->out.buf.len), error);
    fix->segment.blocks += (uint32_t)(wal->out.buf.len / WAL_BLOCK_BYTES);
    return err;
}

/* The header last: it says how many blocks there are. Then the name. */
static pc_err fix_finish(struct pc_wal *wal, struct pc_error *error)
{
    struct wal_fix *fix = &wal->fix;
    const struct pc_fs *fs = wal->fs;
    uint8_t header[WAL_BLOCK_BYTES];
    char name[32];
    struct wal_path from, to;
    pc_wal_segment_encode_header(&fix->segment, header);
    pc_err err = fs->write_at(fs->context, fix->fd, 0, pc_slice_of(header, sizeof header), error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, fix->fd, error);
    }
    fs->close(fs->context, fix->fd);
    fix->open = false;
    pc_wal_path(wal, FIX_TMP, &from);
    pc_wal_segment_file(&fix->segment, name, sizeof name);
    pc_wal_path(wal, name, &to);
    if (err == PC_OK) {
        err = fs->rename(fs->context, from.text, to.text, error);
    }
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, wal->dir, error);
    }
    *fix = (struct wal_fix){0};
    return err;
}

/* Each follows the one before, none goes beyond the gap, and the last one of it is the right one.
 */
static bool fix_fits(const struct wal_fix *fix, const struct pc_wal_gap *gap,
    const struct pc_entry *entries, size_t n, struct pc_hash *chain)
{
    *chain = fix->chain;
    for (size_t i = 0; i < n; i++) {
        struct pc_hash follows = pc_entry_chain(chain, &entries[i]);
        if (entries[i].index != fix->next + i || entries[i].index > gap->last ||
            !pc_hash_equal(&follows, &entries[i].chain)) {
            return false;
        }
        *chain = follows;
    }
    return fix->next + n <= gap->last || pc_hash_equal(chain, &gap->anchor);
}

pc_err pc_wal_repair_put(struct pc_wal *wal, size_t gap_place, const struct pc_entry *entries,
    size_t n, bool *closed, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only && !wal->whole && gap_place < wal->gaps_n && n > 0);
    struct wal_fix *fix = &wal->fix;
    const struct pc_wal_gap *gap = &wal->gaps[gap_place];
    pc_index first = entries[0].index;
    *closed = false;
    pc_err err = PC_OK;
    if (!fix->open || fix->gap != gap_place || fix->next != first) {
        if (first != gap->first && first != gap->floor + 1) {
            return pc_error_set(
                error, PC_E_INVALID, "entry %" PRIu64 " does not begin this gap", first);
        }
        err = fix_begin(wal, gap_place, first, error);
    }
    struct pc_hash chain;
    if (err == PC_OK && !fix_fits(fix, gap, entries, n, &chain)) {
        err = pc_error_set(error, PC_E_INVALID,
            "entries %" PRIu64 "..%" PRIu64 " do not fit the log's chain", first, first + n - 1);
    }
    if (err == PC_OK) {
        err = fix_write(wal, entries, n, error);
    }
    if (err == PC_OK) {
        fix->chain = chain;
        fix->next += n;
        *closed = fix->next > gap->last;
        err = *closed ? fix_finish(wal, error) : PC_OK;
        wal->gap_cuts[gap_place].needed = !*closed || err != PC_OK;
    }
    if (err != PC_OK) {
        *closed = false;
        pc_wal_fix_drop(wal);
        return pc_error_wrap(error, "repair entries %" PRIu64 "..%" PRIu64, gap->first, gap->last);
    }
    return PC_OK;
}
