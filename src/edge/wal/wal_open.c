/* Opening a log: find its files, recover, cut a torn tail, make sure that everything that was
 * recovered is durable before anybody is told of it.
 *
 * The last point is not idle: after a crash of the process alone the newest records may be in the
 * page cache only. The newest segment is therefore synced here, and term and vote are written once
 * more, into the slot that does not hold them. */
#include "wal_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define SEGMENT_BYTES_MIN (UINT64_C(64) << 10)
#define SEGMENT_BYTES_MAX (UINT64_C(1) << 30)
/* Damage that a later segment had shown to be harmless may be none without that. */
#define CUTS_MAX 16

struct listing {
    pc_index *firsts;
    size_t n;
    size_t cap;
    pc_index (*parse)(const char *name);
};

static void list_one(void *arg, const char *name)
{
    struct listing *listing = arg;
    pc_index first = listing->parse(name);
    if (first == 0) {
        return;
    }
    if (listing->n == listing->cap) {
        listing->cap = listing->cap == 0 ? 16 : listing->cap * 2;
        listing->firsts = pc_xrealloc(listing->firsts, listing->cap * sizeof *listing->firsts);
    }
    listing->firsts[listing->n++] = first;
}

static int compare_segments(const void *a, const void *b)
{
    const struct wal_segment *x = a;
    const struct wal_segment *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

static pc_err read_header(struct pc_wal *wal, struct wal_segment *segment, struct pc_error *error)
{
    char name[32];
    struct wal_path path;
    pc_fd fd;
    pc_wal_segment_file(segment, name, sizeof name);
    pc_wal_path(wal, name, &path);
    pc_err err = wal->fs->open_read(wal->fs->context, path.text, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = pc_wal_segment_read_header(wal->fs, fd, name, pc_wal_first_number(wal), segment, error);
    wal->fs->close(wal->fs->context, fd);
    return err;
}

/* Whether the file is no part of the log any more; it is removed later. */
static bool pass_void(struct pc_wal *wal, const struct wal_segment *segment, bool by_name)
{
    bool is_void = by_name ? pc_wal_is_void(wal, segment->first)
                           : segment->number != 0 && segment->number < wal->vote.front.number;
    if (is_void) {
        pc_wal_doom(wal, segment->first);
    }
    return is_void;
}

/* Reads the headers of the files that `parse` knows. A file of which even the number is lost is no
 * segment: it is missing. `flag`: what the numbers of this kind have set. */
static pc_err read_files(struct pc_wal *wal, pc_index (*parse)(const char *name), uint64_t flag,
    struct wal_segment **out, size_t *out_n, struct pc_error *error)
{
    struct listing listing = {.parse = parse};
    pc_err err = wal->fs->list(wal->fs->context, wal->dir, list_one, &listing, error);
    if (err == PC_OK && listing.n > 0) {
        *out = pc_xalloc(listing.n * sizeof **out);
    }
    for (size_t i = 0; i < listing.n && err == PC_OK; i++) {
        struct wal_segment segment = {.number = flag, .first = listing.firsts[i]};
        if (flag == 0 && pass_void(wal, &segment, true)) {
            continue;
        }
        err = read_header(wal, &segment, error);
        bool damaged = err == PC_E_CORRUPT;
        err = damaged ? PC_OK : err;
        bool placed = flag != 0 ? !damaged : segment.number != 0;
        if (err == PC_OK && placed && !pass_void(wal, &segment, false)) {
            (*out)[(*out_n)++] = segment;
        }
    }
    free(listing.firsts);
    return err;
}

static pc_err read_segments(struct pc_wal *wal, struct pc_error *error)
{
    pc_err err =
        read_files(wal, pc_wal_segment_parse_name, 0, &wal->segments, &wal->segments_n, error);
    wal->segments_cap = wal->segments_n;
    if (err == PC_OK && wal->segments_n > 0) {
        qsort(wal->segments, wal->segments_n, sizeof *wal->segments, compare_segments);
    }
    if (err == PC_OK) {
        err = read_files(
            wal, pc_wal_fill_parse_name, WAL_NUMBER_FILL, &wal->fills, &wal->fills_n, error);
    }
    return err;
}

/* The directory and its entry in the one above. */
static pc_err make_dir(struct pc_wal *wal, struct pc_error *error)
{
    pc_err err = wal->fs->mkdir(wal->fs->context, wal->dir, error);
    if (err != PC_OK) {
        return err;
    }
    char parent[WAL_DIR_BYTES_MAX];
    (void)snprintf(parent, sizeof parent, "%s", wal->dir);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        (void)snprintf(parent, sizeof parent, ".");
    } else {
        slash[slash == parent] = '\0';
    }
    return wal->fs->sync_dir(wal->fs->context, parent, error);
}

/* Whether a directory without a segment is to get an empty log: it never was complete, so nothing
 * was ever promised; or nothing is left of it, and the doubt says so; or it was about to get one,
 * and the front says so. What it would begin behind must be at hand. */
static bool is_to_be_made(const struct pc_wal *wal)
{
    const struct wal_vote *vote = &wal->vote;
    bool never = vote->term == 0 && vote->front.number == 0 && wal->base.index == 0;
    bool cut = vote->doubt != 0;
    bool replaced = vote->front.number > vote->segments;
    return wal->segments_n == 0 && (never || cut || replaced) &&
           vote->front.behind.index <= wal->base.index;
}

/* Notes that the log begins behind the base. */
static pc_err store_front(struct pc_wal *wal, struct pc_error *error)
{
    struct wal_vote vote = wal->vote;
    vote.front.number = pc_wal_first_number(wal);
    vote.front.behind = pc_wal_base_point(wal);
    return pc_wal_vote_store_both(wal, &vote, error);
}

/* Under doubt a log may lack all of its segments because a cut was interrupted; or they were lost
 * since, with what was acknowledged in later terms. So the doubt is of every term there was. */
static void widen_doubt(struct wal_vote *vote)
{
    bool knows_one = vote->segments > 0 && vote->front.number <= vote->segments;
    if (vote->doubt != 0 && knows_one && vote->term > vote->doubt) {
        vote->doubt = vote->term;
        vote->term++;
        vote->vote = 0;
    }
}

static pc_err create_log(struct pc_wal *wal, struct pc_wal_recovered *out, struct pc_error *error)
{
    struct wal_point base = pc_wal_base_point(wal);
    bool is_new = wal->vote.doubt == 0 && wal->vote.front.number == 0;
    if (wal->read_only && is_new) {
        return pc_error_set(error, PC_E_NOT_FOUND, "%s: there is no log", wal->dir);
    }
    pc_wal_begin_behind(wal, &base);
    widen_doubt(&wal->vote);
    pc_err err = PC_OK;
    if (is_new) {
        err = pc_wal_vote_create(wal, error);
    } else if (base.index > 0 && !wal->read_only) {
        err = store_front(wal, error);
    } else if (!wal->read_only) {
        struct wal_vote vote = wal->vote;
        err = pc_wal_vote_store(wal, &vote, error);
    }
    if (err == PC_OK && !wal->read_only) {
        err = pc_wal_segment_start(wal, 1, error);
    }
    if (err == PC_OK) {
        wal->whole = true;
        pc_wal_result_empty(wal, out);
    }
    return err;
}

/* Zeros over the torn tail, so that no later record is ever read together with a piece of it. A
 * crash on the way leaves the tail as torn as it was. */
static pc_err cut_tail(struct pc_wal *wal, const struct wal_tail *tail, struct pc_error *error)
{
    uint64_t from = (uint64_t)pc_wal_block_of(tail->end_at) * WAL_BLOCK_BYTES;
    uint64_t to = (uint64_t)tail->used_blocks * WAL_BLOCK_BYTES;
    while (from < to) {
        uint64_t len = to - from < WAL_ZEROS_BYTES ? to - from : WAL_ZEROS_BYTES;
        pc_err err =
            wal->fs->write_at(wal->fs->context, wal->fd, from, pc_wal_zeros((size_t)len), error);
        if (err != PC_OK) {
            return err;
        }
        from += len;
    }
    return PC_OK;
}

static void tell_cut(
    const struct pc_wal *wal, const struct wal_tail *tail, struct pc_wal_recovered *out)
{
    uint32_t end = pc_wal_block_of(tail->end_at);
    PC_ASSERT(tail->used_blocks >= end);
    if (tail->used_blocks > end) {
        out->cut_bytes = (uint64_t)(tail->used_blocks - end) * WAL_BLOCK_BYTES;
        out->cut_offset = (uint64_t)end * WAL_BLOCK_BYTES;
        pc_wal_segment_name(
            wal->segments[wal->segments_n - 1].first, out->cut_segment, sizeof out->cut_segment);
    }
}

static pc_err write_header(
    struct pc_wal *wal, const struct wal_segment *segment, struct pc_error *error)
{
    uint8_t header[WAL_BLOCK_BYTES];
    char name[32];
    struct wal_path path;
    pc_fd fd;
    pc_wal_segment_encode_header(segment, header);
    pc_wal_segment_file(segment, name, sizeof name);
    pc_wal_path(wal, name, &path);
    pc_err err = wal->fs->open(wal->fs->context, path.text, false, false, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = wal->fs->write_at(wal->fs->context, fd, 0, pc_slice_of(header, sizeof header), error);
    if (err == PC_OK) {
        err = wal->fs->sync(wal->fs->context, fd, error);
    }
    wal->fs->close(wal->fs->context, fd);
    return err;
}

/* Headers that were lost, of segments whose records are all there. */
static pc_err restore_headers(struct pc_wal *wal, struct pc_error *error)
{
    pc_err err = PC_OK;
    for (size_t i = 0; i < wal->segments_n && err == PC_OK; i++) {
        struct wal_segment *segment = &wal->segments[i];
        struct wal_point before = {0};
        if (!segment->bad_header || segment->first - 1 > wal->last ||
            segment->first - 1 < wal->start.index) {
            continue; /* but in the first case it stays as it is, and is deduced each time */
        }
        err = pc_wal_load_point(wal, segment->first - 1, &before, error);
        if (err == PC_OK) {
            segment->before = before.chain;
            err = write_header(wal, segment, error);
            segment->bad_header = err != PC_OK;
        }
    }
    return err;
}

/* What was put aside and is of no use any more. Under doubt it may be evidence: of a gap that was
 * filled once and lay behind the place of the cut. */
static void drop_unused(struct pc_wal *wal)
{
    struct pc_error ignored;
    struct wal_path path;
    bool in_doubt = wal->vote.doubt != 0 && wal->last_term <= wal->vote.doubt;
    for (size_t i = 0; i < wal->fills_n && !in_doubt; i++) {
        bool used = false;
        for (size_t m = 0; m < wal->marks.n && !used; m++) {
            used = wal->marks.v[m].segment == ((uint32_t)i | WAL_PLACE_FILL);
        }
        if (!used) {
            char name[32];
            pc_wal_segment_file(&wal->fills[i], name, sizeof name);
            pc_wal_path(wal, name, &path);
            (void)wal->fs->unlink(wal->fs->context, path.text, &ignored);
        }
    }
    pc_wal_path(wal, "fix.tmp", &path);
    (void)wal->fs->unlink(wal->fs->context, path.text, &ignored);
}

/* Everything that was recovered becomes durable. */
static pc_err settle(struct pc_wal *wal, const struct wal_tail *tail, struct pc_error *error)
{
    pc_err err = cut_tail(wal, tail, error);
    if (err == PC_OK) {
        err = wal->fs->sync(wal->fs->context, wal->fd, error);
    }
    if (err == PC_OK) {
        err = wal->fs->sync_dir(wal->fs->context, wal->dir, error);
    }
    if (err != PC_OK) {
        return err;
    }
    wal->next_block = pc_wal_block_of(tail->end_at);
    wal->durable_block = wal->next_block;
    wal->entries_block = wal->next_block;
    wal->noted_block = tail->noted_block;
    wal->durable_upto = wal->last;
    wal->marks.due = true;
    err = restore_headers(wal, error);
    if (err != PC_OK) {
        return err;
    }
    drop_unused(wal);
    wal->whole = true;
    struct wal_vote vote = wal->vote;
    vote.segments = pc_wal_newest(wal)->number;
    vote.doubt = wal->last_term > vote.doubt || vote.vote != 0 ? 0 : vote.doubt;
    err = pc_wal_vote_store(wal, &vote, error);
    while (err == PC_OK && wal->doomed_n > 0) {
        pc_wal_unlink_one(wal);
    }
    return err;
}

/* What is there: the files, term and vote. */
static pc_err open_files(struct pc_wal *wal, struct pc_error *error)
{
    struct pc_error vote_error = {0};
    pc_err err = wal->read_only ? PC_OK : make_dir(wal, error);
    if (err != PC_OK) {
        return err;
    }
    pc_err vote_err = pc_wal_vote_open(wal, &vote_error);
    if (wal->trusting && vote_err == PC_OK) {
        const struct wal_point *behind = &wal->vote.front.behind;
        wal->base = (struct pc_raft_base){
            .index = behind->index, .term = behind->term, .chain = behind->chain};
    }
    if (vote_err == PC_OK || vote_err == PC_E_NOT_FOUND) {
        err = read_segments(wal, error);
    }
    if (vote_err == PC_E_NOT_FOUND) {
        /* Both files are complete before there is a first segment, and never removed. */
        bool is_new = wal->segments_n == 0 && wal->base.index == 0;
        vote_err = vote_error.code = is_new ? PC_OK : PC_E_CORRUPT;
    }
    if (err == PC_OK && vote_err != PC_OK) {
        *error = vote_error;
        err = vote_err;
    }
    return err;
}

/* Lost entries, and nobody asked for a log that is not whole. */
static pc_err refuse_damage(const struct pc_wal_recovered *out, struct pc_error *error)
{
    char range[80] = "";
    if (out->gaps_n > 0) {
        (void)snprintf(range, sizeof range, "entries %" PRIu64 "..%" PRIu64 " are lost",
            out->gaps[0].first, out->gaps[0].last);
    } else {
        (void)snprintf(
            range, sizeof range, "entries from %" PRIu64 " on may be lost", out->last + 1);
    }
    return pc_error_set(error, PC_E_CORRUPT,
        "%s (%s; without them the log ends before %" PRIu64 ")", out->where, range, out->cut_from);
}

static void keep_gaps(struct pc_wal *wal, const struct pc_wal_recovered *out)
{
    wal->gaps_n = out->gaps_n;
    wal->gaps = pc_xalloc((out->gaps_n + 1) * sizeof *wal->gaps);
    if (out->gaps_n > 0) {
        memcpy(wal->gaps, out->gaps, out->gaps_n * sizeof *wal->gaps);
    }
}

/* What is to become of the log as it was found. *again: it was cut, and is to be opened anew. */
static pc_err conclude(struct pc_wal *wal, const struct wal_tail *tail,
    struct pc_wal_recovered *out, bool replace, bool *again, struct pc_error *error)
{
    keep_gaps(wal, out);
    if (replace) {
        wal->whole = true;
        return wal->read_only ? PC_OK : pc_wal_reset(wal, &wal->base, error);
    }
    if (out->gaps_n == 0 && !out->open) {
        tell_cut(wal, tail, out);
        return wal->read_only ? PC_OK : settle(wal, tail, error);
    }
    if (wal->read_only) {
        return PC_OK;
    }
    if (wal->damage == PC_WAL_DAMAGE_REFUSE) {
        return refuse_damage(out, error);
    }
    if (wal->damage == PC_WAL_DAMAGE_CUT || out->gaps_n == 0) {
        *again = true;
        return pc_wal_cut(wal, error);
    }
    return PC_OK;
}

static pc_err open_log(struct pc_wal *wal, struct pc_wal_recovered *out, pc_wal_each_record each,
    void *arg, bool *again, struct pc_error *error)
{
    pc_err err = open_files(wal, error);
    if (err != PC_OK) {
        return err;
    }
    if (is_to_be_made(wal)) {
        return create_log(wal, out, error);
    }
    struct wal_tail tail;
    bool replace = false;
    err = pc_wal_recover(wal, &tail, out, &replace, each, arg, error);
    if (err == PC_OK) {
        err = conclude(wal, &tail, out, replace, again, error);
        if (err != PC_OK) {
            pc_wal_recovered_clear(out);
        }
    }
    return err;
}

static pc_err check_opts(const struct pc_wal_opts *opts, struct pc_error *error)
{
    if (strlen(opts->dir) == 0 || strlen(opts->dir) >= WAL_DIR_BYTES_MAX) {
        return pc_error_set(error, PC_E_INVALID, "log directory: name of 1..%d bytes wanted",
            WAL_DIR_BYTES_MAX - 1);
    }
    if (opts->segment_bytes != 0 &&
        (opts->segment_bytes < SEGMENT_BYTES_MIN || opts->segment_bytes > SEGMENT_BYTES_MAX)) {
        return pc_error_set(error, PC_E_INVALID, "segment_bytes: 64 KiB..1 GiB wanted");
    }
    return PC_OK;
}

static struct pc_wal *wal_new(const struct pc_fs *fs, const struct pc_wal_opts *opts)
{
    struct pc_wal *wal = pc_xalloc(sizeof *wal);
    uint64_t bytes = opts->segment_bytes != 0 ? opts->segment_bytes : SEGMENT_BYTES_DEFAULT;
    wal->fs = fs;
    (void)snprintf(wal->dir, sizeof wal->dir, "%s", opts->dir);
    wal->segment_bytes = bytes / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    wal->fsync = opts->fsync;
    wal->interval_us = (uint64_t)opts->interval_ms * 1000;
    wal->read_only = opts->read_only;
    wal->damage = opts->damage;
    wal->reads_all = opts->reads_all;
    wal->is_base_whole = opts->is_base_whole;
    wal->is_base_whole_context = opts->is_base_whole_context;
    wal->early_bytes_max = opts->early_bytes_max;
    wal->base = opts->base;
    wal->trusting = opts->read_only && opts->base.index == 0;
    wal->synced_at_us = pc_clock_monotonic_us();
    return wal;
}

/* *out is NULL when the log was cut. */
static pc_err open_once(const struct pc_fs *fs, const struct pc_wal_opts *opts,
    pc_wal_each_record each, void *arg, struct pc_wal **out, struct pc_wal_recovered *found,
    struct pc_error *error)
{
    struct pc_wal *wal = wal_new(fs, opts);
    bool again = false;
    *found = (struct pc_wal_recovered){0};
    pc_err err = open_log(wal, found, each, arg, &again, error);
    if (err != PC_OK || again) {
        wal->dead = true; /* nothing more may be written when it is freed */
        pc_wal_close(wal);
        wal = NULL;
    }
    *out = wal;
    return err == PC_OK ? PC_OK : pc_error_wrap(error, "log %s", opts->dir);
}

static pc_err open_with(const struct pc_fs *fs, const struct pc_wal_opts *opts,
    pc_wal_each_record each, void *arg, struct pc_wal **out, struct pc_wal_recovered *recovered,
    struct pc_error *error)
{
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered found;
    pc_err err = check_opts(opts, error);
    if (err == PC_OK) {
        err = open_once(fs, opts, each, arg, &wal, &found, error);
    }
    for (unsigned cuts = 1; err == PC_OK && wal == NULL; cuts++) {
        char where[PC_WAL_WHERE_BYTES];
        memcpy(where, found.where, sizeof where);
        pc_wal_recovered_clear(&found);
        if (cuts > CUTS_MAX) {
            return pc_error_set(error, PC_E_IO, "log %s: cutting it was in vain", opts->dir);
        }
        err = open_once(fs, opts, each, arg, &wal, &found, error);
        if (err == PC_OK && wal != NULL) {
            memcpy(found.where, where, sizeof found.where);
            found.cut_entries_from = found.last + 1;
        }
    }
    if (err == PC_OK) {
        *recovered = found;
        *out = wal;
    }
    return err;
}

pc_err pc_wal_open(const struct pc_fs *fs, const struct pc_wal_opts *opts, struct pc_wal **out,
    struct pc_wal_recovered *recovered, struct pc_error *error)
{
    return open_with(fs, opts, NULL, NULL, out, recovered, error);
}

pc_err pc_wal_reopen(struct pc_wal **wal, const struct pc_raft_base *base,
    struct pc_wal_recovered *recovered, struct pc_error *error)
{
    char dir[WAL_DIR_BYTES_MAX];
    const struct pc_fs *fs = (*wal)->fs;
    struct pc_wal_opts opts = {.dir = dir,
        .segment_bytes = (*wal)->segment_bytes,
        .fsync = (*wal)->fsync,
        .interval_ms = (uint32_t)((*wal)->interval_us / 1000),
        .damage = (*wal)->damage,
        .reads_all = (*wal)->reads_all,
        .base = base != NULL ? *base : (*wal)->base};
    memcpy(dir, (*wal)->dir, sizeof dir);
    pc_wal_close(*wal);
    *wal = NULL;
    return pc_wal_open(fs, &opts, wal, recovered, error);
}

pc_err pc_wal_scan(const struct pc_fs *fs, const char *dir, const struct pc_raft_base *base,
    pc_wal_each_record each, void *arg, struct pc_wal_recovered *recovered, struct pc_error *error)
{
    struct pc_wal_opts opts = {.dir = dir, .read_only = true, .damage = PC_WAL_DAMAGE_REPAIR};
    if (base != NULL) {
        opts.base = *base;
    }
    struct pc_wal *wal = NULL;
    pc_err err = open_with(fs, &opts, each, arg, &wal, recovered, error);
    if (err == PC_OK) {
        pc_wal_close(wal);
    }
    return err;
}
