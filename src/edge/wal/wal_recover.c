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

/* ---- segments */

/* Between segments: what is lost lies before the one at `replay->segment`. */
static void damage_before(struct wal_replay *replay, const char *text)
{
    struct wal_cut cut = {
        .needed = true, .segments = replay->segment, .from = replay->wal->last + 1};
    pc_wal_replay_damage(replay, &cut, text);
}

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
    pc_wal_replay_damage_at(replay, *at, why);
    return pc_wal_tail_resync(&replay->reader, *at + WAL_ALIGN, at, error);
}

/* The successor that would say how this segment was left is lost itself: its records end where no
 * valid one comes any more. *at: the next one, or UINT64_MAX. */
static pc_err end_without_successor(struct wal_replay *replay, uint64_t *at, struct pc_error *error)
{
    uint64_t next;
    pc_err err = pc_wal_tail_resync(&replay->reader, *at, &next, error);
    if (err == PC_OK && next != UINT64_MAX) {
        pc_wal_replay_damage_at(replay, *at, "an invalid record with valid ones behind it");
    }
    *at = next;
    return err;
}

static pc_err replay_older(struct wal_replay *replay, struct pc_error *error)
{
    const struct wal_segment *segment = &replay->wal->segments[replay->segment];
    uint64_t at = WAL_FIRST_AT;
    pc_wal_skip_prepare(replay);
    while (at != UINT64_MAX) {
        pc_err err = pc_wal_replay_records(replay, UINT64_MAX, &at, error);
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
            err = pc_wal_replay_records(
                replay, tail->damaged ? tail->damaged_at : tail->end_at, &at, error);
        }
        if (err != PC_OK) {
            return err;
        }
        if (!tail->damaged && at == tail->end_at) {
            /* A torn batch of which a part was passed over as damaged has no end to go on from. */
            if (at % WAL_PAYLOAD_BYTES != 0) {
                pc_wal_replay_damage_at(replay, at, "the rest of its batch was never written");
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
    replay->rest_term = 0;
    pc_wal_replay_note_clean(replay, WAL_FIRST_AT);
    if (replay->segment + 1 == wal->segments_n) {
        wal->fd = fd;
        wal->fd_open = true;
        bool vouches = wal->vote.segments == segment->number;
        err = replay_newest(replay, vouches ? wal->vote.durable_block : 0, tail, error);
        if (err == PC_OK && segment->is_short && !replay->open) {
            struct pc_error text;
            file_text(segment, &text);
            pc_wal_replay_damage(replay, &replay->clean, text.text);
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
            pc_wal_replay_damage(
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
        if (!pc_wal_skip_segment(replay)) {
            err = replay_segment(replay, tail, error);
        }
    }
    if (err == PC_OK) {
        check_end(replay, tail);
    }
    return err;
}

/* As if nothing had been replayed yet. */
static void forget_replay(struct wal_replay *replay)
{
    struct pc_wal *wal = replay->wal;
    pc_wal_replay_clear(replay);
    replay->pending = false;
    replay->open = false;
    replay->damages = 0;
    replay->segment = 0;
    replay->where[0] = '\0';
    if (wal->fd_open) {
        wal->fs->close(wal->fs->context, wal->fd);
        wal->fd_open = false;
    }
}

/* Once more, from the base on. */
static pc_err replay_from_base(
    struct wal_replay *replay, struct wal_tail *tail, struct pc_error *error)
{
    char where[PC_WAL_WHERE_BYTES];
    memcpy(where, replay->gaps[0].where, sizeof where);
    replay->each = NULL; /* it has seen what there is */
    forget_replay(replay);
    begin_at_base(replay, where);
    return replay_all(replay, tail, error);
}

static pc_err replay_from_front(struct wal_replay *replay, struct wal_tail *tail,
    enum wal_verdict *verdict, struct pc_error *error)
{
    pc_err err = begin_at_front(replay, error);
    if (err == PC_OK) {
        err = replay_all(replay, tail, error);
    }
    *verdict = err == PC_OK ? pc_wal_result_judge(replay) : WAL_KEEP;
    return err;
}

/* Whoever has nobody to ask relies on the snapshot only when it was looked at. Whether it was is
 * known of this recovery alone: a later one reads everything. */
static bool base_is_whole(struct pc_wal *wal)
{
    if (wal->is_base_whole == NULL) {
        return true;
    }
    bool is_whole = wal->is_base_whole(wal->is_base_whole_context);
    wal->is_base_whole = NULL;
    wal->reads_all = true;
    return is_whole;
}

/* With what is in front of the base unread: *done when there is nothing to decide about the rest.
 * Whatever else it was is told by the replay of all, and so is where a filling belongs. */
static pc_err replay_shortened(
    struct wal_replay *replay, struct wal_tail *tail, bool *done, struct pc_error *error)
{
    struct pc_wal *wal = replay->wal;
    enum wal_verdict verdict;
    *done = false;
    bool may_skip = !wal->read_only && !wal->reads_all && replay->each == NULL &&
                    wal->base.index > 0 && wal->vote.doubt == 0 && wal->fills_n == 0;
    if (!may_skip) {
        return PC_OK;
    }
    replay->may_skip = true;
    pc_err err = replay_from_front(replay, tail, &verdict, error);
    replay->may_skip = false;
    *done = err == PC_OK && verdict == WAL_KEEP && replay->damages == 0 && !replay->open &&
            replay->gaps_n == 0 && base_is_whole(wal);
    if (!*done) {
        forget_replay(replay);
        for (size_t i = 0; i < wal->segments_n; i++) {
            wal->segments[i].one_term = 0;
        }
    }
    return err;
}

pc_err pc_wal_recover(struct pc_wal *wal, struct wal_tail *tail, struct pc_wal_recovered *out,
    bool *replace, pc_wal_each_record each, void *arg, struct pc_error *error)
{
    PC_ASSERT(wal->last == 0 && wal->marks.n == 0);
    struct wal_replay replay = {.wal = wal, .each = each, .arg = arg};
    enum wal_verdict verdict = WAL_KEEP;
    bool done = false;
    wal->cut = (struct wal_cut){0};
    *replace = false;
    pc_wal_reader_init(&replay.reader, wal->fs, WAL_RECOVER_CHUNK_BYTES);
    pc_err err = replay_shortened(&replay, tail, &done, error);
    if (err == PC_OK && !done) {
        err = replay_from_front(&replay, tail, &verdict, error);
    }
    if (err == PC_OK && verdict == WAL_FROM_BASE) {
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
