/* Where the log begins. A durable snapshot of an entry B stands for everything up to B, so the log
 * may lose its oldest segments (a drop), or all of them (a reset), and begin behind an entry.
 *
 *   the front: { number of the oldest segment; index, term and chain of the entry before it }
 *
 * stands beside term and vote, in both slots. A segment with a lower number is void: it is no part
 * of the log whether its file is still there or not. Numbers only grow, so what is void stays so.
 *
 *   drop    1  front := the first segment that stays                  both slots synced
 *           2  the files of the others go, one at a time              not even the directory is
 * synced
 *
 *   reset   0  the snapshot of B is durable                           the caller's, or an open's
 * base 1  front := { a number never used, B }                    both slots synced 2  all segments
 * and fillings go 3  the new segment, first = B + 1, is made and named      as any (wal_segment.c)
 *           4  the slots note its number                              synced
 *
 * Why a crash at any write leaves what it should:
 *   1. Before the front is durable nothing is gone: a drop has not begun; of a reset there is the
 *      snapshot and the old log. That log ends before B or has another entry in its place, which an
 *      open with that base finds out, and begins the reset anew.
 *   2. Slots are written alternately, and the front goes into both before the first file goes. So
 *      it is there whichever slot a crash tears, or rot takes: it is as hard to lose as a vote.
 *   3. From then on void files are passed over, by number, or by name where that is not behind the
 *      front: any of them may be there or not, in any order, as a power cut leaves unlinks that
 * were not synced. The next open removes what is left of them.
 *   4. A drop leaves the segment of the front and all later ones untouched, and no record in them
 *      leads in front of it: a segment that begins with a truncation, or was taken back behind its
 *      start by one later, is not chosen. What is recovered from there is what was there before.
 *   5. During a reset there is a time without any segment. The front's number is above the number
 *      of the newest segment then that the slots know. That is never so otherwise: no segment
 * behind a front that the slots know to have had one means that files were lost, and how far the
 * log went is not known. So a log that was lost is never taken for one that was just replaced.
 *   6. The new segment may have the name of a void one, and takes its place when it is named. Void
 *      files are removed before it is, and none later, so that none is taken for the other.
 *
 * Why nothing is lost for the cluster with a reset: an entry e that this node had acknowledged is
 * either at or below B: B is committed, so what is not among the entries that the snapshot stands
 * for was never committed; or behind B in a log that has another entry in B's place: then e follows
 * on an entry that was never committed, nor is e. A log whose end is lost is another matter: it is
 * cut first, under doubt (wal_cut.c). A doubt of terms up to T ends with a B of a term above T for
 * the same reason as with any durable entry of such a term: whoever led that term had everything
 * that was committed, and B's predecessors are in the snapshot. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "wal_int.h"

struct wal_point pc_wal_base_point(const struct pc_wal *wal)
{
    return (struct wal_point){
        .index = wal->base.index, .term = wal->base.term, .chain = wal->base.chain};
}

void pc_wal_begin_behind(struct pc_wal *wal, const struct wal_point *point)
{
    wal->start = *point;
    wal->last = point->index;
    wal->last_term = point->term;
    wal->chain = point->chain;
    wal->commit = point->index;
    wal->durable_upto = point->index;
    wal->marks.n = 0;
    wal->marks.due = true;
}

/* ---- files of void segments */

bool pc_wal_is_void(const struct pc_wal *wal, pc_index first)
{
    return wal->vote.front.number != 0 && first <= wal->vote.front.behind.index;
}

void pc_wal_doom(struct pc_wal *wal, pc_index first)
{
    if (wal->doomed_n == wal->doomed_cap) {
        wal->doomed_cap = wal->doomed_cap == 0 ? 16 : wal->doomed_cap * 2;
        wal->doomed = pc_xrealloc(wal->doomed, wal->doomed_cap * sizeof *wal->doomed);
    }
    wal->doomed[wal->doomed_n++] = first;
}

static void unlink_named(struct pc_wal *wal, const char *name)
{
    struct wal_path path;
    struct pc_error ignored;
    pc_wal_path(wal, name, &path);
    (void)wal->fs->unlink(wal->fs->context, path.text, &ignored);
}

void pc_wal_unlink_one(struct pc_wal *wal)
{
    char name[32];
    PC_ASSERT(wal->doomed_n > 0);
    pc_wal_segment_name(wal->doomed[0], name, sizeof name);
    unlink_named(wal, name);
    wal->doomed_n--;
    memmove(wal->doomed, wal->doomed + 1, wal->doomed_n * sizeof *wal->doomed);
}

static void close_loader(struct pc_wal *wal)
{
    if (wal->loader_open) {
        wal->fs->close(wal->fs->context, wal->loader_fd);
        wal->loader_open = false;
    }
}

/* ---- drop */

/* Whether the segment at `place` and those behind it hold every entry from its first index on, and
 * no record that leads in front of it. */
static bool begins_cleanly(const struct pc_wal *wal, size_t place)
{
    const struct wal_segment *segment = &wal->segments[place];
    if (segment->bad_header) {
        return false;
    }
    for (size_t i = 0; i < wal->marks.n; i++) {
        const struct wal_mark *mark = &wal->marks.v[i];
        bool is_fill = (mark->segment & WAL_PLACE_FILL) != 0;
        if (!is_fill && mark->segment >= place) {
            return mark->segment == place && mark->index == segment->first;
        }
    }
    return segment->first == wal->last + 1;
}

/* The first segment that stays when entries up to `upto` may go. Where a snapshot stands in for a
 * damaged front, the log begins in the middle of its segments: those at its beginning wait for one
 * behind it. */
static size_t find_front(const struct pc_wal *wal, pc_index upto)
{
    for (size_t place = wal->segments_n - 1; place > 0; place--) {
        pc_index behind = wal->segments[place].first - 1;
        if (behind >= wal->start.index && behind <= upto && begins_cleanly(wal, place)) {
            return place;
        }
    }
    return 0;
}

/* Those before `place` are no part of the log any more. */
static void forget_segments(struct pc_wal *wal, size_t place)
{
    pc_index first = wal->segments[place].first;
    struct wal_marks *marks = &wal->marks;
    size_t kept = 0;
    for (size_t i = 0; i < place; i++) {
        pc_wal_doom(wal, wal->segments[i].first);
    }
    wal->segments_n -= place;
    memmove(wal->segments, wal->segments + place, wal->segments_n * sizeof *wal->segments);
    for (size_t i = 0; i < marks->n; i++) {
        struct wal_mark mark = marks->v[i];
        if (mark.index >= first) {
            bool is_fill = (mark.segment & WAL_PLACE_FILL) != 0;
            PC_ASSERT(is_fill || mark.segment >= place);
            mark.segment -= is_fill ? 0 : (uint32_t)place;
            marks->v[kept++] = mark;
        }
    }
    marks->n = kept;
    marks->due = marks->due || kept == 0;
    close_loader(wal);
}

pc_err pc_wal_drop_begin(struct pc_wal *wal, pc_index upto, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only && wal->whole);
    if (wal->dead) {
        return pc_wal_refuse_dead(error);
    }
    size_t place = wal->resetting ? 0 : find_front(wal, upto);
    if (place == 0) {
        return PC_OK;
    }
    struct wal_vote vote = wal->vote;
    struct pc_error ignored;
    vote.front.number = wal->segments[place].number;
    pc_err err =
        pc_wal_load_point(wal, wal->segments[place].first - 1, &vote.front.behind, &ignored);
    if (err != PC_OK || !pc_hash_equal(&vote.front.behind.chain, &wal->segments[place].before)) {
        return PC_OK; /* it cannot be read now: a later drop chooses another segment */
    }
    err = pc_wal_vote_store_both(wal, &vote, error);
    if (err != PC_OK) {
        return pc_error_wrap(error, "drop entries up to %" PRIu64, vote.front.behind.index);
    }
    forget_segments(wal, place);
    wal->start = vote.front.behind;
    wal->commit = wal->commit > wal->start.index ? wal->commit : wal->start.index;
    PC_ASSERT(wal->commit <= wal->last); /* INV-WAL-5 */
    return PC_OK;
}

pc_err pc_wal_drop(struct pc_wal *wal, pc_index upto, pc_index *first, struct pc_error *error)
{
    pc_err err = pc_wal_drop_begin(wal, upto, error);
    while (err == PC_OK && wal->doomed_n > 0) {
        pc_wal_unlink_one(wal);
    }
    if (err == PC_OK) {
        *first = wal->start.index + 1;
    }
    return err;
}

/* ---- reset */

/* A number that no file has or had: that of the newest segment may be lost or not noted yet, and
 * one that was just named, but not begun, has the one behind it. */
static uint64_t unused_number(const struct pc_wal *wal)
{
    uint64_t number = wal->vote.segments;
    for (size_t i = 0; i < wal->segments_n; i++) {
        number = wal->segments[i].number > number ? wal->segments[i].number : number;
    }
    number = wal->vote.front.number > number ? wal->vote.front.number : number;
    return number + (wal->spare.named ? 2 : 1);
}

/* The files of all there is. A spare that has its name already goes with them. */
static void unlink_all(struct pc_wal *wal)
{
    char name[32];
    while (wal->doomed_n > 0) {
        pc_wal_unlink_one(wal);
    }
    for (size_t i = 0; i < wal->segments_n; i++) {
        pc_wal_segment_file(&wal->segments[i], name, sizeof name);
        unlink_named(wal, name);
    }
    for (size_t i = 0; i < wal->fills_n; i++) {
        pc_wal_segment_file(&wal->fills[i], name, sizeof name);
        unlink_named(wal, name);
    }
    if (wal->spare.named) {
        pc_wal_segment_name(wal->last + 1, name, sizeof name);
        unlink_named(wal, name);
        wal->fs->close(wal->fs->context, wal->spare.fd);
        wal->spare = (struct wal_spare){0};
    }
    wal->segments_n = 0;
    wal->fills_n = 0;
}

static pc_err void_all(struct pc_wal *wal, const struct pc_raft_base *base, struct pc_error *error)
{
    struct wal_vote vote = wal->vote;
    vote.front = (struct wal_front){.number = unused_number(wal),
        .behind = {.index = base->index, .term = base->term, .chain = base->chain}};
    vote.doubt = base->term > vote.doubt ? 0 : vote.doubt;
    pc_err err = pc_wal_vote_store_both(wal, &vote, error);
    if (err != PC_OK) {
        return err;
    }
    close_loader(wal);
    if (wal->fd_open) {
        wal->fs->close(wal->fs->context, wal->fd);
        wal->fd_open = false;
    }
    unlink_all(wal);
    wal->stuck = false;
    wal->partial = false;
    wal->next_block = wal->durable_block = wal->entries_block = wal->noted_block = 0;
    wal->base = *base;
    pc_wal_begin_behind(wal, &vote.front.behind);
    wal->resetting = true;
    return PC_OK;
}

pc_err pc_wal_reset(struct pc_wal *wal, const struct pc_raft_base *base, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only && wal->whole && base->index > 0);
    if (wal->dead) {
        return pc_wal_refuse_dead(error);
    }
    if (!wal->resetting || base->index > wal->start.index) {
        PC_ASSERT(base->index >= wal->commit);
        pc_err err = void_all(wal, base, error);
        if (err != PC_OK) {
            return pc_error_wrap(error, "begin anew behind entry %" PRIu64, base->index);
        }
    }
    PC_ASSERT(base->index == wal->start.index);
    pc_err err = pc_wal_segment_start(wal, 1, error);
    if (err == PC_OK) {
        wal->resetting = false;
        return PC_OK;
    }
    if (wal->dead || !pc_wal_is_shortage(err)) {
        err = pc_wal_die(wal, err, error);
    }
    return pc_error_wrap(error, "begin anew behind entry %" PRIu64, base->index);
}
