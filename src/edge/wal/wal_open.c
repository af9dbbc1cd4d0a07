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

struct listing {
    pc_index *firsts;
    size_t n;
    size_t cap;
};

static void list_one(void *arg, const char *name)
{
    struct listing *listing = arg;
    pc_index first = pc_wal_segment_parse_name(name);
    if (first == 0) {
        return;
    }
    if (listing->n == listing->cap) {
        listing->cap = listing->cap == 0 ? 16 : listing->cap * 2;
        listing->firsts = pc_xrealloc(listing->firsts, listing->cap * sizeof *listing->firsts);
    }
    listing->firsts[listing->n++] = first;
}

static int compare_index(const void *a, const void *b)
{
    const pc_index *x = a;
    const pc_index *y = b;
    return *x < *y ? -1 : *x > *y;
}

static pc_err read_header(
    struct pc_wal *wal, pc_index first, struct wal_segment *out, struct pc_error *error)
{
    char name[32];
    struct wal_path path;
    pc_fd fd;
    pc_wal_segment_name(first, name, sizeof name);
    pc_wal_path(wal, name, &path);
    pc_err err = wal->fs->open_read(wal->fs->context, path.text, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = pc_wal_segment_read_header(wal->fs, fd, name, out, error);
    wal->fs->close(wal->fs->context, fd);
    return err;
}

/* Numbers ascend by one from 1, so that a segment missing in the middle shows; the first one begins
 * at index 1. */
static pc_err check_order(const struct pc_wal *wal, struct pc_error *error)
{
    for (size_t i = 0; i < wal->segments_n; i++) {
        const struct wal_segment *segment = &wal->segments[i];
        if (segment->number != i + 1 || (i == 0 && segment->first != 1)) {
            return pc_error_set(error, PC_E_CORRUPT,
                "log-%016" PRIx64 ".seg: this is segment %" PRIu64 " where segment %zu was "
                "expected: a segment is missing",
                segment->first, segment->number, i + 1);
        }
    }
    if (wal->vote.segments > wal->segments_n) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s: segment %" PRIu64 " is missing: only %zu are there", wal->dir, wal->vote.segments,
            wal->segments_n);
    }
    return PC_OK;
}

static pc_err read_segments(struct pc_wal *wal, struct pc_error *error)
{
    struct listing listing = {0};
    pc_err err = wal->fs->list(wal->fs->context, wal->dir, list_one, &listing, error);
    if (err == PC_OK && listing.n > 0) {
        qsort(listing.firsts, listing.n, sizeof *listing.firsts, compare_index);
        wal->segments = pc_xalloc(listing.n * sizeof *wal->segments);
        wal->segments_cap = listing.n;
        for (size_t i = 0; i < listing.n && err == PC_OK; i++) {
            err = read_header(wal, listing.firsts[i], &wal->segments[i], error);
            wal->segments_n += err == PC_OK;
        }
    }
    free(listing.firsts);
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

/* A directory without a segment: the log was never complete, so nothing was ever promised. */
static pc_err create_log(struct pc_wal *wal, struct pc_wal_recovered *out, struct pc_error *error)
{
    if (wal->read_only) {
        return pc_error_set(error, PC_E_NOT_FOUND, "%s: there is no log", wal->dir);
    }
    if (wal->vote.term != 0) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s: there is a vote of term %" PRIu64 " but no segment: the segments are missing",
            wal->dir, wal->vote.term);
    }
    pc_err err = pc_wal_vote_create(wal, error);
    if (err == PC_OK) {
        err = pc_wal_segment_start(wal, 1, error);
    }
    if (err == PC_OK) {
        *out = (struct pc_wal_recovered){0};
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
    struct wal_vote vote = wal->vote;
    vote.segments = wal->segments_n;
    return pc_wal_vote_store(wal, &vote, error);
}

static pc_err open_log(struct pc_wal *wal, struct pc_wal_recovered *out, pc_wal_each_record each,
    void *arg, struct pc_error *error)
{
    pc_err err = wal->read_only ? PC_OK : make_dir(wal, error);
    if (err == PC_OK) {
        err = read_segments(wal, error);
    }
    if (err != PC_OK) {
        return err;
    }
    err = pc_wal_vote_open(wal, error);
    if (err == PC_E_NOT_FOUND) {
        /* Both files are complete before there is a first segment, and never removed. */
        err = wal->segments_n == 0 ? PC_OK : PC_E_CORRUPT;
        error->code = err;
    }
    if (err == PC_OK) {
        err = check_order(wal, error);
    }
    if (err != PC_OK) {
        return err;
    }
    if (wal->segments_n == 0) {
        return create_log(wal, out, error);
    }
    struct wal_tail tail;
    err = pc_wal_recover(wal, &tail, out, each, arg, error);
    if (err == PC_OK) {
        tell_cut(wal, &tail, out);
        err = wal->read_only ? PC_OK : settle(wal, &tail, error);
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
    wal->synced_at_us = pc_wal_now_us();
    return wal;
}

static pc_err open_with(const struct pc_fs *fs, const struct pc_wal_opts *opts,
    pc_wal_each_record each, void *arg, struct pc_wal **out, struct pc_wal_recovered *recovered,
    struct pc_error *error)
{
    pc_err err = check_opts(opts, error);
    if (err != PC_OK) {
        return err;
    }
    struct pc_wal *wal = wal_new(fs, opts);
    struct pc_wal_recovered found;
    err = open_log(wal, &found, each, arg, error);
    if (err != PC_OK) {
        wal->dead = true; /* nothing more may be written when it is freed */
        pc_wal_close(wal);
        return pc_error_wrap(error, "log %s", opts->dir);
    }
    *recovered = found;
    *out = wal;
    return PC_OK;
}

pc_err pc_wal_open(const struct pc_fs *fs, const struct pc_wal_opts *opts, struct pc_wal **out,
    struct pc_wal_recovered *recovered, struct pc_error *error)
{
    return open_with(fs, opts, NULL, NULL, out, recovered, error);
}

pc_err pc_wal_scan(const struct pc_fs *fs, const char *dir, pc_wal_each_record each, void *arg,
    struct pc_wal_recovered *recovered, struct pc_error *error)
{
    struct pc_wal_opts opts = {.dir = dir, .read_only = true};
    struct pc_wal *wal = NULL;
    pc_err err = open_with(fs, &opts, each, arg, &wal, recovered, error);
    if (err == PC_OK) {
        pc_wal_close(wal);
    }
    return err;
}
