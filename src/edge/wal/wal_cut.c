/* Giving up what cannot be repaired: the log ends in front of its first damage.
 *
 *   1. term and vote: a higher term without a vote, and the doubt      durable
 *   2. unless there was a doubt already: older bad-*.seg go             directory synced
 *   3. what goes of the damaged segment is copied to bad-<first>.seg   best effort
 *   4. later segments become bad-<first>.seg, the newest first         directory synced
 *   5. zeros over the damaged segment's rest                           synced
 *
 * From 1 on the node is bound not to vote before it holds an entry of a term above the doubt; a
 * crash at any later moment leaves a log that is cut at the same place again, or one whose lost
 * rest still shows. The next open counts the segments that are left. A cut that begins under doubt
 * may be such a one again: it drops and replaces nothing of what was kept, so that all evidence of
 * one doubt stays together.
 *
 * Why that is enough (T = the doubt: the highest term in which this node can have acknowledged
 * anything; e = an entry that it had acknowledged and lost):
 *   1. This node votes for nobody in any term above T until the doubt ends.
 *   2. Let L be the leader of a term above T, elected meanwhile by a majority V, which this node is
 *      not in. Were e committed, or could it still be committed, in its own term t <= T by a
 *      majority A that counts this node's old acknowledgement, then A and V share a node, and it is
 *      another one. It acknowledged e before it voted for L (after that it takes nothing of term t
 *      any more), and had e when it voted, or was under doubt itself and did not vote. So L has e.
 *   3. Leaders of terms up to T were elected when this node had its log, and are as they always
 *      were. By induction over the terms every later leader has e, too.
 *   4. When this node holds an entry of a term above T, it holds everything that its leader had
 *      before it: e is back. If e was not there, it is not committed and cannot be any more.
 * Acknowledgements that it gives meanwhile are true ones: of entries that it has on disk, without a
 * gap from 1 on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "wal_int.h"

#define EVIDENCE_MAX 100

/* bad-<first>.seg; nth > 0: another one of the same name. */
static void bad_path(const struct pc_wal *wal, pc_index first, unsigned nth, struct wal_path *out)
{
    char name[40];
    char suffix[16] = "";
    if (nth > 0) {
        (void)snprintf(suffix, sizeof suffix, "-%u", nth);
    }
    (void)snprintf(name, sizeof name, "bad-%016" PRIx64 "%s.seg", first, suffix);
    pc_wal_path(wal, name, out);
}

static void segment_path(
    const struct pc_wal *wal, const struct wal_segment *segment, struct wal_path *out)
{
    char name[32];
    pc_wal_segment_file(segment, name, sizeof name);
    pc_wal_path(wal, name, out);
}

struct evidence {
    struct pc_wal *wal;
    struct wal_path paths[64];
    size_t n;
};

static void find_evidence(void *arg, const char *name)
{
    struct evidence *evidence = arg;
    if (strncmp(name, "bad-", 4) == 0 && strlen(name) < 40 && evidence->n < 64) {
        pc_wal_path(evidence->wal, name, &evidence->paths[evidence->n++]);
    }
}

/* That of the cuts before, which the cluster has got over. Gone for good before there is any new
 * one: a name that a crash brings back must not be taken for it. */
static pc_err drop_evidence(struct pc_wal *wal, struct pc_error *error)
{
    struct pc_error ignored;
    struct evidence *evidence = pc_xalloc(sizeof *evidence);
    evidence->wal = wal;
    if (wal->fs->list(wal->fs->context, wal->dir, find_evidence, evidence, &ignored) == PC_OK) {
        for (size_t i = 0; i < evidence->n; i++) {
            (void)wal->fs->unlink(wal->fs->context, evidence->paths[i].text, &ignored);
        }
    }
    bool dropped = evidence->n > 0;
    free(evidence);
    return dropped ? wal->fs->sync_dir(wal->fs->context, wal->dir, error) : PC_OK;
}

/* How much of a file to read at `offset`; 0 behind its end, or where it cannot be read. */
static size_t read_some(struct pc_wal *wal, pc_fd fd, uint64_t offset, uint8_t *chunk)
{
    struct pc_error ignored;
    size_t got = 0;
    pc_err err =
        wal->fs->read_at(wal->fs->context, fd, offset, chunk, WAL_ZEROS_BYTES, &got, &ignored);
    return err == PC_OK ? got : 0;
}

/* Whether every block of the segment is in the copy, too, or is zeros by now. */
static bool copy_has_all(struct pc_wal *wal, pc_fd segment, pc_fd copy)
{
    uint8_t *chunk = pc_xalloc(WAL_ZEROS_BYTES);
    uint8_t *copied = pc_xalloc(WAL_ZEROS_BYTES);
    bool has = true;
    size_t got = WAL_ZEROS_BYTES;
    for (uint64_t offset = 0; has && got == WAL_ZEROS_BYTES; offset += got) {
        got = read_some(wal, segment, offset, chunk);
        size_t other = read_some(wal, copy, offset, copied);
        for (size_t i = 0; i < got && has; i += WAL_BLOCK_BYTES) {
            size_t len = got - i < WAL_BLOCK_BYTES ? got - i : WAL_BLOCK_BYTES;
            has = pc_wal_bytes_are_zero(chunk + i, len) ||
                  (i + len <= other && memcmp(chunk + i, copied + i, len) == 0);
        }
    }
    free(chunk);
    free(copied);
    return has;
}

/* A name under which nothing is kept yet. With `segment`, *has: under an earlier one everything
 * that is in it already is, by a cut that was interrupted. False when names run out. */
static bool free_name(
    struct pc_wal *wal, pc_index first, const pc_fd *segment, struct wal_path *out, bool *has)
{
    for (unsigned nth = 0; nth < EVIDENCE_MAX; nth++) {
        struct pc_error ignored;
        pc_fd fd;
        bad_path(wal, first, nth, out);
        pc_err err = wal->fs->open_read(wal->fs->context, out->text, &fd, &ignored);
        if (err != PC_OK) {
            return err == PC_E_NOT_FOUND;
        }
        *has = *has || (segment != NULL && copy_has_all(wal, *segment, fd));
        wal->fs->close(wal->fs->context, fd);
    }
    return false;
}

static pc_err copy_bytes(struct pc_wal *wal, pc_fd from, pc_fd to, struct pc_error *error)
{
    uint8_t *chunk = pc_xalloc(WAL_ZEROS_BYTES);
    pc_err err = PC_OK;
    for (uint64_t offset = 0; err == PC_OK;) {
        size_t got = 0;
        err = wal->fs->read_at(wal->fs->context, from, offset, chunk, WAL_ZEROS_BYTES, &got, error);
        if (err != PC_OK || got == 0) {
            break;
        }
        if (!pc_wal_bytes_are_zero(chunk, got)) {
            err = wal->fs->write_at(wal->fs->context, to, offset, pc_slice_of(chunk, got), error);
        }
        offset += got;
    }
    free(chunk);
    return err;
}

/* A full disk must not keep a node from being repaired: without a copy it goes on. */
static void keep_copy(struct pc_wal *wal, const struct wal_segment *segment)
{
    struct wal_path from, to;
    struct pc_error ignored;
    pc_fd in, out;
    bool has = false;
    segment_path(wal, segment, &from);
    if (wal->fs->open_read(wal->fs->context, from.text, &in, &ignored) != PC_OK) {
        return;
    }
    if (free_name(wal, segment->first, &in, &to, &has) && !has &&
        wal->fs->open(wal->fs->context, to.text, true, false, &out, &ignored) == PC_OK) {
        pc_err err = copy_bytes(wal, in, out, &ignored);
        if (err == PC_OK) {
            err = wal->fs->sync(wal->fs->context, out, &ignored);
        }
        wal->fs->close(wal->fs->context, out);
        if (err != PC_OK) {
            (void)wal->fs->unlink(wal->fs->context, to.text, &ignored);
        }
    }
    wal->fs->close(wal->fs->context, in);
}

static pc_err set_aside(struct pc_wal *wal, struct pc_error *error)
{
    pc_err err = PC_OK;
    for (size_t i = wal->segments_n; i > wal->cut.segments && err == PC_OK; i--) {
        struct wal_path from, to;
        bool has = false;
        segment_path(wal, &wal->segments[i - 1], &from);
        err = free_name(wal, wal->segments[i - 1].first, NULL, &to, &has)
                  ? wal->fs->rename(wal->fs->context, from.text, to.text, error)
                  : pc_error_set(error, PC_E_IO, "%s: there are too many of that name", to.text);
    }
    return err == PC_OK ? wal->fs->sync_dir(wal->fs->context, wal->dir, error) : err;
}

/* To the end of the file as it was made. */
static pc_err zero_rest(
    struct pc_wal *wal, const struct wal_segment *segment, struct pc_error *error)
{
    struct wal_path path;
    pc_fd fd;
    segment_path(wal, segment, &path);
    pc_err err = wal->fs->open(wal->fs->context, path.text, false, false, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    uint64_t from = (uint64_t)pc_wal_block_of(wal->cut.end_at) * WAL_BLOCK_BYTES;
    uint32_t blocks = segment->is_short ? segment->made_blocks : segment->blocks;
    uint64_t to = (uint64_t)blocks * WAL_BLOCK_BYTES;
    while (from < to && err == PC_OK) {
        uint64_t len = to - from < WAL_ZEROS_BYTES ? to - from : WAL_ZEROS_BYTES;
        err = wal->fs->write_at(wal->fs->context, fd, from, pc_wal_zeros((size_t)len), error);
        from += len;
    }
    if (err == PC_OK) {
        err = wal->fs->sync(wal->fs->context, fd, error);
    }
    wal->fs->close(wal->fs->context, fd);
    return err;
}

pc_err pc_wal_cut(struct pc_wal *wal, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only && wal->cut.needed && wal->cut.segments <= wal->segments_n);
    struct wal_vote vote = wal->vote;
    bool in_doubt = vote.doubt != 0 && wal->last_term <= vote.doubt;
    pc_term seen = wal->last_term > vote.term ? wal->last_term : vote.term;
    vote.doubt = seen > vote.doubt ? seen : vote.doubt;
    vote.term = vote.doubt + 1;
    vote.vote = 0;
    wal->durable_block = wal->vote.durable_block; /* it says nothing new of the segment */
    pc_err err = pc_wal_vote_store(wal, &vote, error);
    if (err != PC_OK) {
        return err;
    }
    if (wal->fd_open) {
        wal->fs->close(wal->fs->context, wal->fd);
        wal->fd_open = false;
    }
    if (!in_doubt) {
        err = drop_evidence(wal, error);
    }
    const struct wal_segment *last =
        wal->cut.segments > 0 && wal->cut.end_at > 0 ? &wal->segments[wal->cut.segments - 1] : NULL;
    if (last != NULL && err == PC_OK) {
        keep_copy(wal, last);
    }
    if (err == PC_OK) {
        err = set_aside(wal, error);
    }
    if (err == PC_OK && last != NULL) {
        err = zero_rest(wal, last, error);
    }
    if (err == PC_OK) {
        /* Fewer segments are right from now on, and none of their blocks is vouched for. */
        vote.segments = wal->cut.segments > 0 ? wal->segments[wal->cut.segments - 1].number : 0;
        if (vote.segments == 0 && vote.front.number != 0) {
            vote.front.behind = pc_wal_base_point(wal); /* what was in front of it is given up */
        }
        wal->durable_block = 0;
        err = pc_wal_vote_store(wal, &vote, error);
    }
    return err == PC_OK ? PC_OK : pc_error_wrap(error, "cut off what is damaged");
}

pc_err pc_wal_repair_cut(struct pc_wal *wal, struct pc_error *error)
{
    PC_ASSERT(!wal->whole && wal->gaps_n > 0);
    pc_wal_fix_drop(wal);
    for (size_t i = 0; i < wal->gaps_n; i++) {
        if (wal->gap_cuts[i].needed) {
            wal->cut = wal->gap_cuts[i];
            return pc_wal_cut(wal, error);
        }
    }
    return PC_OK; /* all of them were closed meanwhile */
}
