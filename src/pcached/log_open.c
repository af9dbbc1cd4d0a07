/* The two long parts of a start need nothing of each other: what the log says, and what is in the
 * snapshot. So they run side by side. The store stays with the engine thread, whose allocator it is
 * going to live in; the log is recovered beside it.
 *
 *   engine thread   find snapshot --+-- chunk, chunk, chunk ... --+-- node: the rest of the chunks
 *                                   |                             |
 *   recovery                        +-- pc_wal_open -- whole? ----+
 *                                                   (alone: waits for the verdict)
 *
 * A node that has peers is there when its log is: it votes, and acknowledges entries, while the
 * rest of a large snapshot comes in. Nothing is decided here about a chunk that is no good: the
 * store is dropped, and the node meets that chunk again on its ordinary way, which knows what to
 * do.
 *
 * A node that is alone, and whose snapshot is damaged, has what was in it nowhere but in the log in
 * front of it. So its recovery passes that over on one condition only, and asks before anything
 * counts of what it found (wal_skip.c): every chunk has its checksum and decodes, and the items
 * together have the digest. That costs nothing, as the node needs them anyway; and a snapshot for
 * which it would have to wait too long is one that is not known to be whole. */
#include "log_open.h"

#include <string.h>

#include "pcache/assert.h"
#include "pcache/os.h"

enum verdict {
    VERDICT_NONE = 0,
    VERDICT_WHOLE,
    VERDICT_NOT_WHOLE,
};

struct opening {
    struct pc_worker worker; /* its lock guards verdict and is_over */
    enum verdict verdict;
    bool is_over;
    const struct pc_fs *fs;
    struct pc_wal_opts opts;
    struct pc_wal *wal; /* from here on the recovery's, until it is over */
    struct pc_wal_recovered recovered;
    pc_err err;
    struct pc_error error;
};

/* ---- the recovery */

static bool is_base_whole(void *context)
{
    struct opening *o = context;
    pc_worker_lock(&o->worker);
    while (o->verdict == VERDICT_NONE) {
        (void)pc_worker_wait(&o->worker, UINT64_MAX);
    }
    bool is_whole = o->verdict == VERDICT_WHOLE;
    pc_worker_unlock(&o->worker);
    return is_whole;
}

static void *recover(void *context)
{
    struct opening *o = context;
    pc_err err = pc_wal_open(o->fs, &o->opts, &o->wal, &o->recovered, &o->error);
    pc_worker_lock(&o->worker);
    o->err = err;
    o->is_over = true;
    pc_worker_unlock(&o->worker);
    return NULL;
}

static bool is_over(struct opening *o)
{
    pc_worker_lock(&o->worker);
    bool over = o->is_over;
    pc_worker_unlock(&o->worker);
    return over;
}

static void tell(struct opening *o, enum verdict verdict)
{
    pc_worker_lock(&o->worker);
    o->verdict = verdict;
    pc_worker_wake(&o->worker);
    pc_worker_unlock(&o->worker);
}

/* ---- the snapshot */

static bool load_one(
    struct pc_snap_reader *reader, struct pc_buf *room, struct pc_node_preload *preload)
{
    struct pc_error ignored;
    struct pc_slice chunk;
    pc_index upto = pc_snap_reader_info(reader)->base.index;
    return pc_snap_reader_chunk(reader, preload->chunks, room, &chunk, &ignored) == PC_OK &&
           pc_node_load_chunk(preload->store, upto, chunk) == NULL;
}

/* Loads until everything is there, or the recovery is over. False: it is not whole. */
static bool load(struct opening *o, struct pc_snap_reader *reader, struct pc_node_preload *preload)
{
    const struct pc_snap_info *info = pc_snap_reader_info(reader);
    struct pc_buf room = {0};
    bool is_good = true;
    while (is_good && preload->chunks < info->chunks && !is_over(o)) {
        is_good = load_one(reader, &room, preload);
        preload->chunks += is_good ? 1 : 0;
    }
    pc_buf_destroy(&room);
    if (is_good && preload->chunks == info->chunks) {
        struct pc_hash digest = pc_store_digest(preload->store);
        is_good = pc_hash_equal(&digest, &pc_snap_reader_meta(reader)->digest);
    }
    return is_good;
}

static void preload_begin(
    struct pc_node_preload *preload, struct pc_snap_reader *reader, const uint8_t seed[16])
{
    struct pc_store_opts opts;
    memcpy(opts.hash_seed, seed, sizeof opts.hash_seed);
    preload->store = pc_store_new(&opts);
    pc_store_load_begin(preload->store, pc_snap_reader_meta(reader)->items);
}

void log_open_clear(struct pc_node_preload *preload)
{
    pc_store_delete(preload->store);
    pc_entries_clear(&preload->entries);
    *preload = (struct pc_node_preload){0};
}

/* ---- both */

/* What the recovery is to do about entries in front of the snapshot. */
static void set_reading(struct opening *o, const struct pc_snap_reader *reader)
{
    bool is_short = pc_snap_reader_info(reader)->bytes <= LOG_OPEN_WAIT_BYTES_MAX;
    bool may_wait = is_short && o->opts.damage == PC_WAL_DAMAGE_REFUSE;
    o->opts.reads_all = !may_wait;
    o->opts.is_base_whole = may_wait ? is_base_whole : NULL;
    o->opts.is_base_whole_context = o;
}

static void open_beside(struct opening *o, struct pc_snap_reader *reader, const uint8_t seed[16],
    struct pc_node_preload *preload)
{
    pc_worker_start(&o->worker, "pcached-open", -1, recover, o);
    preload_begin(preload, reader, seed);
    bool is_good = load(o, reader, preload);
    tell(o, is_good ? VERDICT_WHOLE : VERDICT_NOT_WHOLE);
    if (!is_good) {
        log_open_clear(preload);
    }
    pc_worker_stop(&o->worker);
    pc_worker_destroy(&o->worker);
}

pc_err log_open(const struct pc_fs *fs, const struct pc_wal_opts *opts,
    struct pc_snap_reader *reader, const uint8_t seed[16], bool is_alone, struct pc_wal **out,
    struct pc_wal_recovered *recovered, struct pc_node_preload *preload, struct pc_error *error)
{
    struct opening o = {.fs = fs, .opts = *opts};
    o.opts.early_bytes_max = LOG_OPEN_EARLY_BYTES_MAX;
    *preload = (struct pc_node_preload){0};
    if (reader == NULL) {
        o.err = pc_wal_open(fs, &o.opts, &o.wal, &o.recovered, &o.error);
    } else {
        PC_ASSERT(opts->base.index == pc_snap_reader_info(reader)->base.index);
        if (is_alone) {
            set_reading(&o, reader);
        }
        open_beside(&o, reader, seed, preload);
    }
    if (o.err != PC_OK) {
        log_open_clear(preload);
        *error = o.error;
        return o.err;
    }
    preload->entries = o.recovered.early;
    o.recovered.early = (struct pc_entries){0};
    *recovered = o.recovered;
    *out = o.wal;
    return PC_OK;
}
