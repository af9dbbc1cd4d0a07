/* snap.h: snapshots of the store, as files beside the log. Byte layout and crash table:
 * docs/LOGFORMAT.md.
 *
 *   snap-<index>.snp    a whole snapshot; <index> = 16 hex digits of the last entry it holds
 *   snap.tmp            one of the node's own while it is written; worthless after a crash
 *   snap-<index>.part   one that comes from another node; goes on where it was after a restart
 *   bad-<index>.snp     one that was set aside as damaged; never read
 *
 * A file gets its name snap-*.snp when all of it is durable: what such a file lacks was damaged
 * later. Two levels of checks:
 *
 *   checksums (CRC-32C)   of every byte, whenever it is read. Against accidents.
 *   hash (BLAKE2b)        of the entry it stands on, all chunks in order, and the meta: when a
 *                         snapshot is received, and by pc_snap_verify. Against pieces of different
 *                         snapshots, each of them whole. It costs more than reading and checksums
 *                         together, and a file that was written by one call after the other cannot
 *                         have become such a mixture: a start leaves it out.
 *
 * Everything but the thread is synchronous and single-threaded, and goes through the fs port, so
 * that the simulator runs this very code. */
#ifndef PCACHE_SNAP_H
#define PCACHE_SNAP_H

#include "pcache/fs.h"
#include "pcache/limits.h"
#include "pcache/wire.h"

#define PC_SNAP_NAME_BYTES 40
#define PC_SNAP_WHERE_BYTES 192
#define PC_SNAP_CHUNKS_MAX (1u << 24)

/* A whole snapshot. */
struct pc_snap_info {
    struct pc_raft_base base; /* the last entry whose effects are in it */
    struct pc_hash hash;      /* equal exactly when base, chunks and meta are */
    uint32_t chunks;          /* 0 = an empty store */
    uint64_t bytes;           /* of all chunks */
    uint64_t file_bytes;
    char name[PC_SNAP_NAME_BYTES];
};

/* ---- reading */
struct pc_snap_reader; /* opaque; may be used after the file was removed or replaced */

/* Opens a snapshot under any name and checks all of it but the chunks. Returns PC_OK;
 *   PC_E_CORRUPT: the text names file and offset, as everywhere here;
 *   PC_E_VERSION: of a format this program does not know;
 *   PC_E_NOT_FOUND, PC_E_IO, PC_E_AGAIN (no descriptor), PC_E_NOMEM, PC_E_INVALID (path too long).
 * Ownership: *out is the caller's, pc_snap_reader_close. */
PC_MUST_CHECK pc_err pc_snap_reader_open(
    const struct pc_fs *fs, const char *path, struct pc_snap_reader **out, struct pc_error *error);
void pc_snap_reader_close(struct pc_snap_reader *reader); /* NULL is allowed */

/* Both are valid until the reader is closed. */
const struct pc_snap_info *pc_snap_reader_info(const struct pc_snap_reader *reader);
const struct pc_snapshot_meta *pc_snap_reader_meta(const struct pc_snap_reader *reader);

/* Reads chunk `number` (0..chunks-1) and checks its checksums. *out is borrowed from `room`, which
 * is emptied first: to be used for one chunk after the other. Returns PC_OK, PC_E_NOT_FOUND (no
 * such number), PC_E_CORRUPT, PC_E_IO. */
PC_MUST_CHECK pc_err pc_snap_reader_chunk(struct pc_snap_reader *reader, uint32_t number,
    struct pc_buf *room, struct pc_slice *out, struct pc_error *error);

/* What is done with each chunk, in order; an error ends the walk and is its result. */
typedef pc_err (*pc_snap_each_chunk)(
    void *arg, uint32_t number, struct pc_slice chunk, struct pc_error *error);

/* Reads everything and checks it, the hash included. `each` may be NULL. Returns PC_OK,
 * PC_E_CORRUPT, PC_E_IO, or what `each` returned. */
PC_MUST_CHECK pc_err pc_snap_verify(
    struct pc_snap_reader *reader, pc_snap_each_chunk each, void *arg, struct pc_error *error);

/* Reads up to max bytes of the file as it is, from `offset` on, and appends them to out. Returns
 * PC_OK, PC_E_INVALID (behind the end of the file), PC_E_IO. */
PC_MUST_CHECK pc_err pc_snap_reader_raw(struct pc_snap_reader *reader, uint64_t offset, size_t max,
    struct pc_buf *out, struct pc_error *error);

/* What pc_snap_check has seen of the items. */
struct pc_snap_content {
    uint64_t items;
    uint64_t data_bytes; /* keys, values and content types */
    struct pc_hash digest;
};

/* What is done with each item; an error ends the walk and is its result. */
typedef pc_err (*pc_snap_each_item)(void *arg, const struct pc_stored_item *item);

/* Everything that can be wrong with a snapshot, but that a key stands in it twice: checksums, hash,
 * every item decodes and is of the time before the snapshot's entry, their number and their digest
 * are those of the meta. In bounded memory. `each` may be NULL. Returns PC_OK, PC_E_CORRUPT (names
 * file and offset), PC_E_IO, or what `each` returned. */
PC_MUST_CHECK pc_err pc_snap_check(struct pc_snap_reader *reader, pc_snap_each_item each, void *arg,
    struct pc_snap_content *out, struct pc_error *error);

/* What stands in a directory. */
struct pc_snap_found {
    struct pc_snap_reader *reader;   /* of the newest whole snapshot; the caller's */
    uint64_t damages;                /* snapshots newer than that which are damaged */
    char where[PC_SNAP_WHERE_BYTES]; /* the first of them: file, offset, what; "" = none */
};

/* Opens the newest snapshot in `dir` whose header and footer are whole. Never an older one without
 * saying so in `damages`: what the log lacks in front of it is the log's to notice.
 * Unless read_only, the snapshot's name is made durable, so that the log may be cut behind it, and
 * worthless leftovers are removed (snap.tmp, *.part up to the snapshot).
 * Returns PC_OK; PC_E_NOT_FOUND (none there); PC_E_CORRUPT (there are, and none is whole: names the
 *   newest); PC_E_IO, PC_E_AGAIN, PC_E_NOMEM, PC_E_VERSION (of any in front of the first whole one:
 *   it may be fine, so no older one is taken for it); PC_E_INVALID. */
PC_MUST_CHECK pc_err pc_snap_find(const struct pc_fs *fs, const char *dir, bool read_only,
    struct pc_snap_found *out, struct pc_error *error);

/* Renames a damaged snapshot to bad-<index>.snp, durably: from now on it is not found. One that was
 * set aside earlier is removed. Returns PC_OK, PC_E_NOT_FOUND, PC_E_IO, PC_E_AGAIN. */
PC_MUST_CHECK pc_err pc_snap_set_aside(
    const struct pc_fs *fs, const char *dir, pc_index index, struct pc_error *error);

/* ---- writing
 *
 *   open ---> put ... ---> finish ---> close
 *     |        |              |
 *     +--------+--------------+ error: close or abort, nothing else
 *
 * At no moment is there a file under the name of a snapshot that is not whole and durable. */
struct pc_snap_writer; /* opaque */

/* Begins a snapshot of everything up to `base`. Requires: base->index > 0.
 * hash NULL: one of the node's own.
 * hash given: one that comes from another node, which announced this hash. What an earlier writer
 *   with the same base and hash has kept is checked, and stays: see pc_snap_writer_chunks. What is
 *   there of other snapshots from other nodes is removed.
 * Returns PC_OK, PC_E_NO_SPACE, PC_E_IO, PC_E_AGAIN, PC_E_INVALID (dir too long).
 * Ownership: *out is the caller's, pc_snap_writer_close or _abort. */
PC_MUST_CHECK pc_err pc_snap_writer_open(const struct pc_fs *fs, const char *dir,
    const struct pc_raft_base *base, const struct pc_hash *hash, struct pc_snap_writer **out,
    struct pc_error *error);

/* How many chunks it has: the number of the next one to put. */
uint32_t pc_snap_writer_chunks(const struct pc_snap_writer *writer);

/* Adds a chunk. Not durable before finish, but synced every few MiB. Returns PC_OK, PC_E_INVALID
 * (empty), PC_E_TOO_BIG (over PC_SNAPSHOT_CHUNK_BYTES_MAX, or too many), PC_E_NO_SPACE, PC_E_IO. */
PC_MUST_CHECK pc_err pc_snap_writer_put(
    struct pc_snap_writer *writer, struct pc_slice chunk, struct pc_error *error);

/* Completes the snapshot: durable and under its name on PC_OK. Older ones are then removed (one
 * that cannot be is no error: the next time), and so is what came of others up to its entry.
 * Returns PC_OK; PC_E_INVALID (meta->base is not the base of open);
 *   PC_E_CORRUPT (not what the announced hash promised: nothing of it is kept);
 *   PC_E_MALFORMED (what was announced, but its items are not those that its meta says, so that it
 *   could not be loaded, whoever it comes from: nothing of it is kept, nor is anything replaced);
 *   PC_E_NO_SPACE, PC_E_AGAIN, PC_E_IO: the older snapshot stays the newest one; only when the very
 *   last step failed the new one may be found by the next start, whole, instead. */
PC_MUST_CHECK pc_err pc_snap_writer_finish(struct pc_snap_writer *writer,
    const struct pc_snapshot_meta *meta, struct pc_snap_info *info, struct pc_error *error);

/* Frees the writer. What it has not finished goes, unless it comes from another node: that is kept,
 * to be gone on with. NULL is allowed. */
void pc_snap_writer_close(struct pc_snap_writer *writer);
/* The same, and nothing unfinished is kept. NULL is allowed. */
void pc_snap_writer_abort(struct pc_snap_writer *writer);

/* ---- the snapshot thread: apart from the log thread, whose syncs must not wait for these. Writes
 * one snapshot at a time, in between it reads chunks for peers. Calls below come from the engine
 * thread; completions are fetched with pc_snap_thread_poll. */
struct pc_snap_thread;

#define PC_SNAP_QUEUE_BYTES_MAX (2 * 1024 * 1024) /* chunks that wait to be written */
#define PC_SNAP_READS_MAX 64                      /* reads of chunks that wait */
#define PC_SNAP_RAW_READS_MAX 8                   /* reads of bytes of the file that wait */

enum pc_snap_done_type {
    PC_SNAP_BEGUN,     /* `chunks` are there already (0 but for one gone on with) */
    PC_SNAP_WRITTEN,   /* a chunk; `chunks` are there now; there is room in the queue */
    PC_SNAP_FINISHED,  /* `info`; from now on it is the newest */
    PC_SNAP_FAILED,    /* err; this write is over. A shortage keeps what came from another node */
    PC_SNAP_READ,      /* answer to pc_snap_thread_read; err */
    PC_SNAP_SET_ASIDE, /* answer to pc_snap_thread_set_aside; err */
};

struct pc_snap_done {
    enum pc_snap_done_type type;
    uint64_t tag; /* of the write, or of the read */
    uint32_t chunks;
    struct pc_snap_info info; /* FINISHED; READ of bytes of the file */
    pc_err err;               /* FAILED, READ, SET_ASIDE */
    struct pc_error error;    /* the same with err */
    struct pc_buf bytes;      /* READ; owned by the receiver */
};

/* Starts the thread. newest: of the newest snapshot, taken over; NULL = there is none. dir is
 * copied. notify_fd: an eventfd to which 1 is written whenever a completion is queued; -1 = none.
 * Requires: dir is not too long (pc_snap_find has accepted it). */
struct pc_snap_thread *pc_snap_thread_start(
    const struct pc_fs *fs, const char *dir, struct pc_snap_reader *newest, int notify_fd);
/* Finishes what is queued for writing, stops, frees. A write without its finish: as
 * pc_snap_writer_close. */
void pc_snap_thread_stop(struct pc_snap_thread *thread);

/* Begins a write; one that has not ended is given up as by pc_snap_thread_abort(keep), without a
 * completion. tag: fresh, not 0. base, hash: as pc_snap_writer_open; copied. */
void pc_snap_thread_begin(struct pc_snap_thread *thread, uint64_t tag,
    const struct pc_raft_base *base, const struct pc_hash *hash);
/* Queues a chunk and takes it over (the caller's buffer is emptied); false when there is no room:
 * nothing has happened, a WRITTEN comes. An empty queue has room for any one chunk. Those of a
 * write that has ended are dropped. */
bool pc_snap_thread_put(struct pc_snap_thread *thread, uint64_t tag, struct pc_buf *chunk);
/* Queues the end; meta is copied. FINISHED or FAILED comes, unless FAILED was queued before. */
void pc_snap_thread_finish(
    struct pc_snap_thread *thread, uint64_t tag, const struct pc_snapshot_meta *meta);
/* Gives a write up. keep: what came from another node stays, to be gone on with. No completion. */
void pc_snap_thread_abort(struct pc_snap_thread *thread, uint64_t tag, bool keep);
/* pc_snap_set_aside, in its turn among the writes; then SET_ASIDE. It is read no more. */
void pc_snap_thread_set_aside(struct pc_snap_thread *thread, pc_index index);

/* Asks for a chunk of the snapshot of entry `index`. It is there when it is the newest, or the one
 * before as long as it is asked for (every PC_SNAP_HOLD_MS). Else PC_E_NOT_FOUND. False when
 * PC_SNAP_READS_MAX wait: nothing has happened. Errors of the READ: as pc_snap_reader_chunk,
 * PC_E_AGAIN. */
bool pc_snap_thread_read(
    struct pc_snap_thread *thread, uint64_t tag, pc_index index, uint32_t number);
#define PC_SNAP_HOLD_MS 30000
/* The same of bytes of the file as it is: at most `max` from `offset` on; index 0: of the newest.
 * READ says in info of which. PC_E_INVALID: behind its end. False when PC_SNAP_RAW_READS_MAX wait:
 * those of clients take no room from those of chunks. */
bool pc_snap_thread_read_raw(
    struct pc_snap_thread *thread, uint64_t tag, pc_index index, uint64_t offset, size_t max);

/* The next completion, in order; false when there is none. */
bool pc_snap_thread_poll(struct pc_snap_thread *thread, struct pc_snap_done *out);

#endif
