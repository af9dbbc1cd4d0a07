/* Writing. A batch becomes one run of blocks, encoded in memory and written by one call. It begins
 * on a fresh block: the block in which the batch before ends is never written again, so a torn
 * write cannot reach what is durable already. The padding costs a quarter of a kilobyte per batch
 * on average; group commit makes batches large exactly when there is much to write.
 *
 * A batch never spans two segments. State in memory, the commit index included, changes only after
 * the write has succeeded: whatever is written about the log then speaks of what is in it.
 *
 * A write that runs out of space midway (copy-on-write file systems do that inside a preallocated
 * file) leaves a piece of the batch behind the end of the log. Nothing else may be written there:
 *
 *               NO_SPACE midway                   written
 *      whole ---------------------> partial --------------------> whole
 *                                     |  the same bytes again: whatever reaches the disk of
 *                                     |  either attempt, a power cut leaves a torn batch, never
 *                                     |  a wrong one
 *                                     +--> close: no note; the next start cuts the piece */
#include "wal_int.h"

#include <inttypes.h>
#include <stdlib.h>

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/wire_entry.h"

#define SYNC_BUCKETS (sizeof((struct pc_wal_stats *)NULL)->sync_buckets / sizeof(uint64_t))
#define SYNC_BUCKET_US UINT64_C(32)

bool pc_wal_is_shortage(pc_err err)
{
    return err == PC_E_NO_SPACE || err == PC_E_AGAIN || err == PC_E_NOMEM;
}

pc_err pc_wal_die(struct pc_wal *wal, pc_err err, struct pc_error *error)
{
    wal->dead = true;
    return error->code = pc_wal_is_shortage(err) ? PC_E_IO : err;
}

pc_err pc_wal_refuse_dead(struct pc_error *error)
{
    return pc_error_set(error, PC_E_CLOSED, "the log has failed before and takes nothing more");
}

/* What the batch starts from: the entry before its first one, after the truncation. */
struct base {
    bool truncates;
    pc_index last;
    pc_term term;
    struct pc_hash chain;
};

static pc_index commit_with(const struct pc_wal *wal, const struct pc_wal_batch *batch)
{
    return batch->commit > wal->commit ? batch->commit : wal->commit;
}

/* No record claims more than the log holds when the records up to it are all there is. */
static pc_index commit_at(pc_index commit, pc_index index)
{
    return commit < index ? commit : index;
}

static pc_err find_base(
    struct pc_wal *wal, const struct pc_wal_batch *batch, struct base *out, struct pc_error *error)
{
    *out = (struct base){.last = wal->last, .term = wal->last_term, .chain = wal->chain};
    if (batch->truncate_from == 0 || batch->truncate_from > wal->last) {
        return PC_OK;
    }
    *out = (struct base){.truncates = true, .last = batch->truncate_from - 1};
    struct wal_point kept;
    pc_err err = pc_wal_load_point(wal, out->last, &kept, error);
    if (err == PC_OK) {
        out->term = kept.term;
        out->chain = kept.chain;
    }
    return err;
}

/* An upper bound of the blocks that the batch takes. */
static uint32_t blocks_needed(const struct pc_wal_batch *batch, const struct base *base)
{
    uint64_t bytes = base->truncates ? WAL_RECORD_HEADER_BYTES : 0;
    for (size_t i = 0; i < batch->entries.n; i++) {
        bytes += WAL_RECORD_HEADER_BYTES + PC_ENTRY_OVERHEAD_BYTES_MAX + WAL_ALIGN +
                 pc_blob_slice(batch->entries.v[i].body).len;
    }
    return pc_wal_block_of(pc_wal_block_ceil(bytes));
}

static pc_err make_room(struct pc_wal *wal, uint32_t blocks, struct pc_error *error)
{
    const struct wal_segment *newest = pc_wal_newest(wal);
    if (wal->next_block + (uint64_t)blocks <= newest->blocks) {
        return PC_OK;
    }
    return wal->last + 1 > newest->first ? pc_wal_segment_start(wal, blocks, error)
                                         : pc_wal_segment_grow(wal, blocks, error);
}

static void encode_truncation(
    struct pc_wal *wal, const struct base *base, pc_index commit, bool is_last)
{
    struct wal_record record = {
        .type = PC_WAL_RECORD_TRUNCATE,
        .flags = is_last ? WAL_LAST_OF_BATCH : 0,
        .durable_block = wal->durable_block,
        .index = base->last,
        .term = base->term,
        .durable_upto = wal->durable_upto < base->last ? wal->durable_upto : base->last,
        .commit = commit_at(commit, base->last),
        .chain = base->chain,
    };
    pc_wal_record_put(&wal->out, &record, (struct pc_slice){0});
}

static void encode_entry(struct pc_wal *wal, const struct pc_entry *entry, pc_index durable_upto,
    pc_index commit, bool is_last)
{
    pc_buf_reset(&wal->body);
    pc_wire_encode_entry(entry, &wal->body);
    struct wal_record record = {
        .type = PC_WAL_RECORD_ENTRY,
        .flags = is_last ? WAL_LAST_OF_BATCH : 0,
        .durable_block = wal->durable_block,
        .index = entry->index,
        .term = entry->term,
        .durable_upto = durable_upto,
        .commit = commit_at(commit, entry->index),
        .chain = entry->chain,
    };
    pc_wal_record_put(&wal->out, &record, pc_slice_of(wal->body.data, wal->body.len));
}

static void reserve_places(struct pc_wal *wal, size_t n)
{
    if (n > wal->places_cap) {
        wal->places = pc_xrealloc(wal->places, n * sizeof *wal->places);
        wal->places_cap = n;
    }
}

/* The batch as blocks in wal->out, the address of each entry in wal->places. */
static void encode_batch(
    struct pc_wal *wal, const struct pc_wal_batch *batch, const struct base *base)
{
    pc_index durable_upto = wal->durable_upto < base->last ? wal->durable_upto : base->last;
    struct pc_hash before = base->chain;
    pc_term term = base->term;
    pc_index commit = commit_with(wal, batch);
    PC_ASSERT(!base->truncates || base->last >= wal->commit);
    reserve_places(wal, batch->entries.n);
    pc_wal_out_begin(&wal->out, pc_wal_newest(wal)->number, wal->next_block);
    if (base->truncates) {
        encode_truncation(wal, base, commit, batch->entries.n == 0);
    }
    for (size_t i = 0; i < batch->entries.n; i++) {
        const struct pc_entry *entry = &batch->entries.v[i];
        struct pc_hash chain = pc_entry_chain(&before, entry);
        PC_ASSERT(entry->index == base->last + 1 + i && entry->term >= term);
        PC_ASSERT(pc_hash_equal(&chain, &entry->chain));
        wal->places[i] = pc_wal_out_at(&wal->out);
        encode_entry(wal, entry, durable_upto, commit, i + 1 == batch->entries.n);
        before = entry->chain;
        term = entry->term;
    }
    PC_ASSERT(wal->out.buf.len % WAL_BLOCK_BYTES == 0);
}

static pc_err write_out(struct pc_wal *wal, struct pc_error *error)
{
    uint32_t blocks = (uint32_t)(wal->out.buf.len / WAL_BLOCK_BYTES);
    PC_ASSERT(wal->next_block + (uint64_t)blocks <= pc_wal_newest(wal)->blocks);
    pc_err err =
        wal->fs->write_at(wal->fs->context, wal->fd, (uint64_t)wal->next_block * WAL_BLOCK_BYTES,
            pc_slice_of(wal->out.buf.data, wal->out.buf.len), error);
    if (err != PC_OK) {
        return err;
    }
    wal->next_block += blocks;
    wal->noted_block = wal->out.durable_block;
    wal->stats.bytes_written += wal->out.buf.len;
    return PC_OK;
}

static void take_over(struct pc_wal *wal, const struct pc_wal_batch *batch, const struct base *base)
{
    if (base->truncates) {
        pc_wal_marks_truncate(&wal->marks, base->last + 1);
        wal->last = base->last;
        wal->last_term = base->term;
        wal->chain = base->chain;
        wal->durable_upto = wal->durable_upto < wal->last ? wal->durable_upto : wal->last;
    }
    for (size_t i = 0; i < batch->entries.n; i++) {
        const struct pc_entry *entry = &batch->entries.v[i];
        struct wal_mark mark = {.index = entry->index,
            .at = wal->places[i],
            .before = wal->chain,
            .segment = (uint32_t)(wal->segments_n - 1)};
        pc_wal_marks_note(&wal->marks, &mark);
        wal->last = entry->index;
        wal->last_term = entry->term;
        wal->chain = entry->chain;
    }
    wal->entries_block = wal->next_block;
}

static pc_err write_records(
    struct pc_wal *wal, const struct pc_wal_batch *batch, struct pc_error *error)
{
    struct base base;
    pc_err err = find_base(wal, batch, &base, error);
    if (err != PC_OK || (!base.truncates && batch->entries.n == 0)) {
        return err;
    }
    PC_ASSERT(batch->entries.n == 0 || batch->entries.v[0].index == base.last + 1);
    pc_index last = base.last + batch->entries.n;
    if (wal->partial) {
        PC_ASSERT(wal->partial_last == last); /* the same batch: wal->out still holds it */
    } else {
        err = make_room(wal, blocks_needed(batch, &base), error);
        if (err != PC_OK) {
            return err;
        }
        encode_batch(wal, batch, &base);
    }
    err = write_out(wal, error);
    wal->partial = pc_wal_is_shortage(err);
    wal->partial_last = last;
    if (err == PC_OK) {
        take_over(wal, batch, &base);
    }
    return err;
}

pc_err pc_wal_write_vote(
    struct pc_wal *wal, const struct pc_wal_batch *batch, struct pc_error *error)
{
    if (wal->dead) {
        return pc_wal_refuse_dead(error);
    }
    if (!batch->has_vote || (batch->term == wal->vote.term && batch->vote == wal->vote.vote)) {
        return PC_OK; /* what was stored last is durable already */
    }
    struct wal_vote vote = wal->vote;
    vote.term = batch->term;
    vote.vote = batch->vote;
    if (vote.doubt != 0 && wal->last_term > vote.doubt) {
        /* What ends the doubt may be truncated later: it is noted with the first vote behind it,
         * when it is durable whatever the mode. */
        pc_err err = pc_wal_sync_now(wal, error);
        if (err != PC_OK) {
            return err;
        }
        vote.doubt = 0;
    }
    return pc_wal_vote_store(wal, &vote, error);
}

pc_err pc_wal_write(struct pc_wal *wal, const struct pc_wal_batch *batch, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only && wal->whole && !wal->resetting);
    pc_err err = pc_wal_write_vote(wal, batch, error);
    if (err != PC_OK) {
        return err;
    }
    err = write_records(wal, batch, error);
    if (err != PC_OK && (wal->dead || !pc_wal_is_shortage(err))) {
        return pc_wal_die(wal, err, error);
    }
    wal->stuck = err != PC_OK;
    if (err == PC_OK) {
        wal->commit = commit_with(wal, batch);
        PC_ASSERT(wal->commit <= wal->last); /* INV-WAL-5 */
    }
    return err;
}

static void count_sync(struct pc_wal *wal, uint64_t us)
{
    struct pc_wal_stats *stats = &wal->stats;
    size_t bucket = 0;
    while (bucket + 1 < SYNC_BUCKETS && us >= (SYNC_BUCKET_US << bucket)) {
        bucket++;
    }
    stats->syncs++;
    stats->sync_us_total += us;
    stats->sync_us_max = us > stats->sync_us_max ? us : stats->sync_us_max;
    stats->sync_buckets[bucket]++;
}

pc_err pc_wal_sync_now(struct pc_wal *wal, struct pc_error *error)
{
    if (wal->dead) {
        return pc_wal_refuse_dead(error);
    }
    PC_ASSERT(wal->durable_block <= wal->next_block); /* INV-WAL-1 */
    if (wal->durable_block == wal->next_block) {
        return PC_OK;
    }
    uint64_t start_us = pc_clock_monotonic_us();
    pc_err err = wal->fs->sync(wal->fs->context, wal->fd, error);
    if (err != PC_OK) {
        /* What the disk holds is unknown now, and a second try would be told that all is well. */
        return pc_wal_die(wal, err, error);
    }
    wal->synced_at_us = pc_clock_monotonic_us();
    count_sync(wal, wal->synced_at_us - start_us);
    wal->durable_block = wal->next_block;
    wal->durable_upto = wal->last;
    return PC_OK;
}

pc_err pc_wal_sync(struct pc_wal *wal, struct pc_error *error)
{
    PC_ASSERT(!wal->read_only);
    if (wal->dead) {
        return pc_wal_refuse_dead(error);
    }
    bool due = wal->fsync == PC_FSYNC_ALWAYS ||
               (wal->fsync == PC_FSYNC_INTERVAL &&
                   pc_clock_monotonic_us() - wal->synced_at_us >= wal->interval_us);
    return due ? pc_wal_sync_now(wal, error) : PC_OK;
}

pc_err pc_wal_note_durable(struct pc_wal *wal, struct pc_error *error)
{
    if (wal->dead) {
        return pc_wal_refuse_dead(error);
    }
    bool is_news = wal->durable_block >= wal->entries_block &&
                   wal->noted_block < wal->entries_block && wal->entries_block > 1;
    if (!is_news || wal->stuck || wal->next_block >= pc_wal_newest(wal)->blocks) {
        return PC_OK;
    }
    struct wal_record record = {
        .type = PC_WAL_RECORD_NOTE,
        .flags = WAL_LAST_OF_BATCH,
        .durable_block = wal->durable_block,
        .index = wal->last,
        .term = wal->last_term,
        .durable_upto = wal->durable_upto,
        .commit = wal->commit,
        .chain = wal->chain,
    };
    pc_wal_out_begin(&wal->out, pc_wal_newest(wal)->number, wal->next_block);
    pc_wal_record_put(&wal->out, &record, (struct pc_slice){0});
    pc_err err = write_out(wal, error);
    if (pc_wal_is_shortage(err)) {
        return PC_OK; /* a note is welcome, not owed; one block, so there is no piece of it */
    }
    return err == PC_OK ? PC_OK : pc_wal_die(wal, err, error);
}

void pc_wal_stats(const struct pc_wal *wal, struct pc_wal_stats *stats)
{
    *stats = wal->stats;
    stats->segments = wal->segments_n;
}

/* Failures here concern only what nobody was told to be durable. */
static void finish(struct pc_wal *wal)
{
    struct pc_error ignored;
    if (pc_wal_sync_now(wal, &ignored) == PC_OK && pc_wal_note_durable(wal, &ignored) == PC_OK) {
        pc_err err = pc_wal_sync_now(wal, &ignored);
        if (err == PC_OK) {
            struct wal_vote vote = wal->vote;
            err = pc_wal_vote_store(wal, &vote, &ignored);
        }
        (void)err;
    }
}

void pc_wal_close(struct pc_wal *wal)
{
    if (wal == NULL) {
        return;
    }
    if (!wal->dead && !wal->read_only && wal->whole && !wal->resetting) {
        finish(wal);
    }
    while (!wal->dead && wal->whole && wal->doomed_n > 0) {
        pc_wal_unlink_one(wal);
    }
    pc_wal_fix_drop(wal);
    const struct pc_fs *fs = wal->fs;
    if (wal->fd_open) {
        fs->close(fs->context, wal->fd);
    }
    if (wal->spare.open) {
        fs->close(fs->context, wal->spare.fd);
    }
    if (wal->loader_open) {
        fs->close(fs->context, wal->loader_fd);
    }
    while (wal->vote_fds > 0) {
        fs->close(fs->context, wal->vote_fd[--wal->vote_fds]);
    }
    pc_wal_reader_destroy(&wal->loader);
    pc_buf_destroy(&wal->out.buf);
    pc_buf_destroy(&wal->body);
    free(wal->places);
    free(wal->marks.v);
    free(wal->segments);
    free(wal->fills);
    free(wal->doomed);
    free(wal->gaps);
    free(wal->gap_cuts);
    free(wal);
}
