/* wal.h: the node's log on its own disk. Byte layout and crash table: docs/LOGFORMAT.md.
 *
 * One directory holds:
 *   vote-0 vote-1         term and vote, 4 KiB each, written alternately
 *   log-<first>.seg       segments, preallocated with zeros; <first> = 16 hex digits of first index
 *   spare.tmp             the next segment while its zeros are being written; made anew at a start
 *
 * `struct pc_wal` is single-threaded and synchronous; pc_wal_thread_* below runs one on a thread of
 * its own. Everything goes through the fs port, so that the simulator runs this very code. */
#ifndef PCACHE_WAL_H
#define PCACHE_WAL_H

#include "pcache/disk.h"
#include "pcache/entry.h"
#include "pcache/fs.h"
#include "pcache/raft.h"
#include "pcache/time.h"

enum pc_fsync_mode {
    PC_FSYNC_ALWAYS,   /* a batch is durable before it is reported */
    PC_FSYNC_INTERVAL, /* fdatasync every interval_ms; reported when written (relaxed) */
    PC_FSYNC_OS,       /* never fdatasync entries (relaxed) */
};

/* What an open does about damage that is not a provably torn tail. */
enum pc_wal_damage {
    PC_WAL_DAMAGE_REFUSE = 0, /* PC_E_CORRUPT */
    /* Entries that are lost keep their place: they are listed as gaps, and the log serves loads and
     * pc_wal_repair_* until it is closed and opened anew. When only its end is lost, that is cut
     * off, and the log comes under doubt. */
    PC_WAL_DAMAGE_REPAIR,
    PC_WAL_DAMAGE_CUT, /* the log ends in front of the first damage, and comes under doubt */
};

struct pc_wal_opts {
    const char *dir;        /* made when missing */
    uint64_t segment_bytes; /* size of a preallocated segment; 64 KiB..1 GiB; default 64 MiB */
    enum pc_fsync_mode fsync;
    uint32_t interval_ms; /* for PC_FSYNC_INTERVAL */
    bool read_only;       /* recover and load only: nothing is written (pclog) */
    enum pc_wal_damage damage;
    /* Nothing in front of the snapshot is passed over unread: for a node that has nobody to ask for
     * what is lost, should the snapshot turn out to be damaged. */
    bool reads_all;
    /* The same, decided late: asked at most once, when the log was found whole with its front
     * passed over, and before anything of that counts. False: it is read again, all of it. It may
     * take as long as it needs to find out whether the snapshot is good. NULL: it is. */
    bool (*is_base_whole)(void *context);
    void *is_base_whole_context;
    size_t early_bytes_max; /* of recovered.early; 0 = none are wanted */
    /* A durable snapshot of this entry is there (index 0 = none): what the log has at or below is
     * dispensable. A log that ends before it, or has another entry in its place, is replaced by an
     * empty one that begins behind it. */
    struct pc_raft_base base;
};

#define PC_WAL_WHERE_BYTES 192

/* Entries first..last of the log are lost, though they were durable once; it is known where they
 * belong. The one at `last` may be whole on the disk; `anchor` says which one it must be. Whatever
 * run of entries leads from `before` to `anchor` by the chain is what was lost.
 * A truncation may be among what was lost: only up to `floor` is it certain that the entries in
 * front of the gap are those which it continues. */
struct pc_wal_gap {
    pc_index first;
    pc_index last;
    pc_term last_term;     /* of entry `last`; 0 = not known */
    struct pc_hash before; /* chain value of entry first - 1 */
    struct pc_hash anchor; /* chain value of entry `last` */
    pc_index floor;        /* < first */
    struct pc_hash floor_chain;
    char where[PC_WAL_WHERE_BYTES]; /* "log-0000000000000001.seg: damaged at offset 520: ..." */
};

/* What recovery found. Owned by the receiver: pc_wal_recovered_clear. */
struct pc_wal_recovered {
    pc_term term;    /* max(newest valid vote slot, last entry's term) */
    pc_node_id vote; /* 0 when none in `term` */
    /* What can be loaded is first..last. A log that begins behind a base and is empty has first ==
     * last + 1, `last` being that base; both are 0 when it is empty and begins at 1. */
    pc_index first;
    pc_index last;
    pc_index commit;           /* highest index known committed, by any record or by opts.base */
    pc_ms last_stamp_ms;       /* stamp of the entry `last` */
    struct pc_term_run *terms; /* ascending; covers first - 1 (if that is > 0) to last */
    size_t terms_n;
    /* The entry at `commit` (zero when that is 0), with its body; without, and with nothing else
     * than index, term, stamp and chain, when it is known from opts.base only. */
    struct pc_entry base;
    /* The newest entry of kind CONFIG in first..commit; zero when there is none, or when it is not
     * known whether it is the newest: then the one of the snapshot counts. */
    struct pc_entry config;
    struct pc_entries tail; /* entries commit+1..last */
    /* The first of the entries behind opts.base that are committed, as many as early_bytes_max
     * hold (as pc_entry_bytes counts them): they are applied next, and have just been read. Empty
     * when there was any damage. */
    struct pc_entries early;
    uint64_t cut_bytes;     /* torn tail that was cut (0 = none): log it */
    char cut_segment[64];   /* file name of the cut */
    uint64_t cut_offset;
    /* Damage. While there are gaps, or the end is lost, commit, terms, base and tail are not to be
     * relied on: the log is to be repaired, and opened anew. */
    struct pc_wal_gap *gaps; /* ascending; what is behind the last one counts in `last` */
    size_t gaps_n;
    bool open;        /* read_only: entries behind `last` were lost with the log's end */
    uint64_t damages; /* places that are damaged, harmless and repaired ones included */
    char where[PC_WAL_WHERE_BYTES]; /* the first of them; "" = none */
    pc_index cut_from;         /* what a cut would give up, damaged or not, begins here; 0 = none */
    pc_index cut_entries_from; /* this start has cut durable entries from here on; 0 = none */
    /* Not 0: entries that this log had acknowledged, in terms up to this one, may be missing
     * behind `last`. Until it holds a durable entry of a later term its node must not vote. */
    pc_term doubt;
};

/* One unit of durability, in the order of effects of node.h: vote, truncation, entries. */
struct pc_wal_batch {
    uint64_t seq;  /* given back in the completion */
    bool has_vote; /* term and vote below are to be made durable first */
    pc_term term;
    pc_node_id vote;
    pc_index truncate_from; /* entries >= this are dropped (logged as a record); 0 = none */
    pc_index commit;        /* to note in record headers, in each at most the record's index */
    struct pc_entries entries;
};

struct pc_wal; /* opaque */

/* Opens or creates the log and recovers it.
 * Whatever is recovered is durable on PC_OK (unless read_only).
 * Returns PC_OK; PC_E_CORRUPT (damage that opts->damage does not put up with, or both copies of
 *   term and vote are lost: the text names file and offset; the daemon exits 65); PC_E_IO;
 *   PC_E_NO_SPACE; PC_E_VERSION;
 *   PC_E_INVALID (options out of range); PC_E_NOT_FOUND (read_only and no log there).
 * On an error *out is not written. */
PC_MUST_CHECK pc_err pc_wal_open(const struct pc_fs *fs, const struct pc_wal_opts *opts,
    struct pc_wal **out, struct pc_wal_recovered *recovered, struct pc_error *error);
/* Syncs what was written, notes that it is durable (not while a batch waits to be tried again: what
 * there is of it is no part of the log), frees. NULL is allowed. */
void pc_wal_close(struct pc_wal *wal);
void pc_wal_recovered_clear(struct pc_wal_recovered *recovered);

/* Writes a batch without syncing the entries; the vote part, when present, is written *and* synced
 * first. A truncation is a record of its own, durable with the rest of the batch.
 * Requires: entries are consecutive, the first one is last + 1 after the truncation; commit is at
 *   most the last index that the log has with the batch; nothing committed is truncated.
 * Returns PC_OK; PC_E_NO_SPACE, PC_E_AGAIN (no descriptor) or PC_E_NOMEM when something is short:
 *   the vote part is durable, nothing else of the batch is in the log (loads, recovery), though a
 *   piece of it may be on the disk. Term and vote apart, nothing but the same batch may be written
 *   next (has_vote may be false then), as often as it takes; or the log is closed, and the next
 *   start cuts the piece;
 *   any other error is final: the log accepts nothing any more. */
PC_MUST_CHECK pc_err pc_wal_write(
    struct pc_wal *wal, const struct pc_wal_batch *batch, struct pc_error *error);

/* Makes everything written durable (per the fsync mode). An error is final. */
PC_MUST_CHECK pc_err pc_wal_sync(struct pc_wal *wal, struct pc_error *error);

/* Drops entries from the front of the log, as far as they are <= upto, in whole segments and never
 * the newest one. They cannot be loaded any more; their files go one by one, here or, on the log
 * thread, between its batches. *first: what the log begins with now.
 * Requires: entry `upto` is committed, a snapshot of it or of a later one is durable, and will be
 *   opts.base of the next open. Entries that the log does not have yet may be among them.
 * Returns PC_OK, also when there is nothing to drop; any error is final for the log. */
PC_MUST_CHECK pc_err pc_wal_drop(
    struct pc_wal *wal, pc_index upto, pc_index *first, struct pc_error *error);

/* Replaces the whole log by an empty one that begins behind `base`: a snapshot was installed that
 * the log does not lead to. What batches that could not be written for want of something brought is
 * void with the rest; term and vote stay.
 * Requires: that snapshot is durable, and will be opts.base of the next open (it, or a later one);
 *   base->index > commit, and the log has no such entry.
 * Returns PC_OK; PC_E_NO_SPACE, PC_E_AGAIN: the log is replaced, but takes nothing before this was
 *   called with the same base again and returned PC_OK; any other error is final. */
PC_MUST_CHECK pc_err pc_wal_reset(
    struct pc_wal *wal, const struct pc_raft_base *base, struct pc_error *error);

/* Reads entries first..last from disk, at most bytes_max as pc_entry_bytes counts them but at least
 * one entry; entries in front of damage are given without those behind it. Entries are checked
 * (checksums, chain) as they are read. Returns PC_OK, PC_E_NOT_FOUND
 * (an index that is not in the log), PC_E_AGAIN (no descriptor to read with), PC_E_NOMEM,
 * PC_E_CORRUPT, PC_E_IO. */
PC_MUST_CHECK pc_err pc_wal_load(struct pc_wal *wal, pc_index first, pc_index last,
    size_t bytes_max, struct pc_entries *out, struct pc_error *error);
/* The same as they stand there, at most bytes_max bytes or one entry. Checked by checksum alone:
 * whoever they are for checks their chain. */
PC_MUST_CHECK pc_err pc_wal_load_raw(struct pc_wal *wal, pc_index first, pc_index last,
    size_t bytes_max, struct pc_raw_entries *out, struct pc_error *error);

/* ---- repairing: on a log that was opened with gaps (DAMAGE_REPAIR) */

/* Puts n entries for gap `gap` (a place in recovered.gaps) aside: the next ones in order, or those
 * from gap.first, or from gap.floor + 1, to begin anew. *closed: the last one was among them, and
 * the whole is durable; the next open will have them in their place.
 * Requires: n > 0.
 * Returns PC_OK; PC_E_INVALID (they are not what the chain demands), PC_E_NO_SPACE, PC_E_AGAIN,
 *   PC_E_IO: what was put aside for this gap so far is dropped. */
PC_MUST_CHECK pc_err pc_wal_repair_put(struct pc_wal *wal, size_t gap,
    const struct pc_entry *entries, size_t n, bool *closed, struct pc_error *error);

/* Gives the first gap that was not closed, and everything behind it, up: the log ends in front of
 * the batch in which it begins, and is under doubt.
 * What is cut off is kept aside as bad-<first>.seg until it is cut again. To be opened anew.
 * Returns PC_OK, PC_E_IO, PC_E_NO_SPACE, PC_E_AGAIN. */
PC_MUST_CHECK pc_err pc_wal_repair_cut(struct pc_wal *wal, struct pc_error *error);

/* Closes the log and opens it anew as it was opened, after a repair; with `base` (NULL = as before)
 * when a snapshot was fetched meanwhile: gaps at or below it are none any more. On an error *wal is
 * NULL. */
PC_MUST_CHECK pc_err pc_wal_reopen(struct pc_wal **wal, const struct pc_raft_base *base,
    struct pc_wal_recovered *recovered, struct pc_error *error);

/* ---- offline reading (pclog) */
enum pc_wal_record_type {
    PC_WAL_RECORD_ENTRY = 1,
    PC_WAL_RECORD_TRUNCATE = 2, /* entries behind `index` are dropped; term, chain: of `index` */
    PC_WAL_RECORD_NOTE = 3,     /* says how far the log was durable; index, term, chain: the last */
};

/* One record, in the order of writing. Everything is borrowed for the call. */
struct pc_wal_record_info {
    const char *segment; /* file name */
    uint64_t offset;     /* of the record in the file */
    enum pc_wal_record_type type;
    pc_index index;
    pc_term term;
    struct pc_hash chain;
    pc_index durable_upto;        /* highest index known synced when this was written */
    pc_index commit;              /* highest index known committed then, at most `index` */
    const struct pc_entry *entry; /* ENTRY; else NULL */
};
typedef void (*pc_wal_each_record)(void *arg, const struct pc_wal_record_info *record);

/* Recovers a log without writing anything and shows every record of it that a start would use.
 * `base`: as in opts; NULL: it is not known, and a log without its beginning is taken as it is: it
 * needs a snapshot of entry recovered.first - 1 or of a later one.
 * `each` may be NULL. On an error the records before the damage have been shown.
 * Returns as pc_wal_open, and PC_E_NOT_FOUND when the directory holds no log.
 * Ownership: *recovered is the caller's on PC_OK. */
PC_MUST_CHECK pc_err pc_wal_scan(const struct pc_fs *fs, const char *dir,
    const struct pc_raft_base *base, pc_wal_each_record each, void *arg,
    struct pc_wal_recovered *recovered, struct pc_error *error);

struct pc_wal_stats {
    uint64_t segments;
    uint64_t bytes_written;
    uint64_t damaged_loads; /* that met damage */
    uint64_t syncs;
    uint64_t sync_us_total;
    uint64_t sync_us_max;
    uint64_t sync_buckets[16]; /* syncs that took < 2^i * 32 us; the last one: all longer ones */
};
void pc_wal_stats(const struct pc_wal *wal, struct pc_wal_stats *stats);

/* ---- the log thread: owns the wal, groups queued batches into one sync, serves loads in between.
 * Calls below come from the engine thread; completions are fetched with pc_wal_thread_poll. */
struct pc_wal_thread;

enum pc_wal_done_type {
    PC_WAL_SYNCED,   /* everything up to and including batch `seq` is durable */
    PC_WAL_LOADED,   /* answer to pc_wal_thread_load; err as of pc_wal_load */
    PC_WAL_FULL,     /* no space, descriptor or memory: writes stall; tried again every second */
    PC_WAL_FULL_END, /* space is back, the stalled batches were written */
    PC_WAL_VOTED,    /* while FULL: term and vote of batch `seq` are durable, its entries are not */
    PC_WAL_FAILED,   /* final: stop promising (error says what) */
    PC_WAL_REPAIRED, /* answer to pc_wal_thread_repair; err as of pc_wal_repair_put */
    PC_WAL_REOPENED, /* answer to pc_wal_thread_reopen */
    PC_WAL_DROPPED,  /* answer to pc_wal_thread_drop */
    PC_WAL_RESET,    /* answer to pc_wal_thread_reset */
    PC_WAL_DISK,     /* what pc_wal_thread_watch asked for */
};

struct pc_wal_done {
    enum pc_wal_done_type type;
    uint64_t seq;              /* SYNCED, VOTED */
    uint64_t tag;              /* LOADED */
    pc_err err;                /* LOADED, FAILED */
    struct pc_entries entries; /* LOADED; owned by the receiver */
    struct pc_raw_entries raw; /* LOADED, in their place; owned by the receiver */
    struct pc_error error;     /* FAILED, LOADED or REPAIRED with err, FULL */
    bool closed;               /* REPAIRED */
    pc_index first; /* DROPPED: what the log begins with now; LOADED: the first one asked for */
    struct pc_disk_report disk; /* DISK */
    /* REOPENED: owned by the receiver (clear, then free); `entries` is entry 1, if it is there. */
    struct pc_wal_recovered *recovered;
};

/* Starts the thread, which takes the wal over. notify_fd: an eventfd to which 1 is written whenever
 * a completion is queued. */
struct pc_wal_thread *pc_wal_thread_start(struct pc_wal *wal, int notify_fd);
/* Finishes what is queued, syncs, stops, closes the wal, frees. */
void pc_wal_thread_stop(struct pc_wal_thread *thread);
/* Queues a batch; takes batch->entries over (the caller's copy is emptied). */
void pc_wal_thread_write(struct pc_wal_thread *thread, struct pc_wal_batch *batch);
void pc_wal_thread_load(
    struct pc_wal_thread *thread, uint64_t tag, pc_index first, pc_index last, size_t bytes_max);
/* The same with pc_wal_load_raw. */
void pc_wal_thread_load_raw(
    struct pc_wal_thread *thread, uint64_t tag, pc_index first, pc_index last, size_t bytes_max);
/* Calls of a log with gaps, one at a time. Entries to put aside for a gap; takes them over. */
void pc_wal_thread_repair(struct pc_wal_thread *thread, size_t gap, struct pc_entries *entries);
/* Opens the log anew; cut: after giving its gaps up; base: as for pc_wal_reopen. */
void pc_wal_thread_reopen(struct pc_wal_thread *thread, bool cut, const struct pc_raft_base *base);
/* Drops entries from the front: see pc_wal_drop. DROPPED comes when the log begins behind them; the
 * files go afterwards, one between two groups of batches, so that none waits for more than one. */
void pc_wal_thread_drop(struct pc_wal_thread *thread, pc_index upto);
/* Replaces the log: see pc_wal_reset. Batches that were queued before it belong to the old log:
 * when they wait for space they are void, but for their votes, and are reported as SYNCED all the
 * same. Those queued after it follow on `base`. */
void pc_wal_thread_reset(struct pc_wal_thread *thread, const struct pc_raft_base *base);
/* From now on the disk is measured once a second, after each new segment, and when space ran out:
 * DISK. Not while the disk hangs. */
void pc_wal_thread_watch(struct pc_wal_thread *thread);
/* The next completion, in order; false when there is none. */
bool pc_wal_thread_poll(struct pc_wal_thread *thread, struct pc_wal_done *out);
void pc_wal_thread_stats(struct pc_wal_thread *thread, struct pc_wal_stats *stats);

#endif
