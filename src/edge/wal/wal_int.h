/* wal_int.h: what the files of edge/wal share. The byte layouts are drawn in docs/LOGFORMAT.md.
 *
 *   wal_block    stamped 512-byte blocks: the place of every payload byte
 *   wal_record   record headers, the writer of a batch
 *   wal_read     records out of a segment, one chunk of the file at a time
 *   wal_segment  segment files: header, preallocation, the change to the next one
 *   wal_vote     the two slots of term and vote
 *   wal_tail     where the log ends, and whether that end is torn or damaged
 *   wal_recover  replay at start: the files
 *   wal_batches  ... their records
 *   wal_skip     ... and what of them need not be read
 *   wal_replay   ... and what their records mean, gaps included
 *   wal_fill     what stands aside for a gap
 *   wal_cut      the end of a log that cannot be repaired
 *   wal_front    where the log begins: dropping its front, replacing it as a whole
 *   wal_result   what a recovery has found, and what a snapshot makes of it
 *   wal_open     the start of a log
 *   wal_load     the sparse index and reads of old entries
 *   wal_thread   the log thread
 *   wal_queue    ... what passes between it and the engine
 *   wal_jobs     ... what it is asked for besides writes and loads
 *   wal_repair   ... and what it does on a log with gaps */
#ifndef PC_WAL_INT_H
#define PC_WAL_INT_H

#include "pcache/os.h"
#include "pcache/wal.h"

#define WAL_VERSION 1u
#define WAL_BLOCK_BYTES 512u
#define WAL_STAMP_BYTES 8u
#define WAL_PAYLOAD_BYTES (WAL_BLOCK_BYTES - WAL_STAMP_BYTES) /* 504: a multiple of WAL_ALIGN */
#define WAL_ALIGN 8u
#define WAL_RECORD_HEADER_BYTES 72u
#define WAL_VOTE_BYTES 4096u
#define WAL_SPARE_STEP_BYTES (1u << 20)
#define WAL_RECOVER_CHUNK_BYTES (1u << 20)
#define WAL_LOAD_CHUNK_BYTES (64u << 10)
#define WAL_MARK_ENTRIES 64u
#define WAL_MARK_BYTES (64u << 10)
#define WAL_DIR_BYTES_MAX 400

/* A place in a segment is a payload address: block * 504 + offset behind the stamp. Block 0 holds
 * the segment header, so the first record stands at address 504. */
#define WAL_FIRST_AT ((uint64_t)WAL_PAYLOAD_BYTES)

struct wal_path {
    char text[WAL_DIR_BYTES_MAX + 64];
};

/* ---- wal_block.c */
uint64_t pc_wal_stamp(uint64_t segment, uint32_t block);
/* Whether a write of ours ever reached this block: its stamp is there, up to a few flipped bits. */
bool pc_wal_block_was_written(const uint8_t *block, uint64_t segment, uint32_t number);
bool pc_wal_bytes_are_zero(const uint8_t *bytes, size_t len);
/* Zeros for preallocation and cuts; `len` up to WAL_ZEROS_BYTES. */
#define WAL_ZEROS_BYTES (64u << 10)
struct pc_slice pc_wal_zeros(size_t len);

static inline uint32_t pc_wal_block_of(uint64_t at)
{
    return (uint32_t)(at / WAL_PAYLOAD_BYTES);
}

/* The start of the block that `at` lies in, or of the next one. */
static inline uint64_t pc_wal_block_ceil(uint64_t at)
{
    return (at + WAL_PAYLOAD_BYTES - 1) / WAL_PAYLOAD_BYTES * WAL_PAYLOAD_BYTES;
}

/* The blocks of one batch, stamps included, as they go to the disk in one write. */
struct wal_out {
    struct pc_buf buf;
    uint64_t segment;
    uint32_t first_block;
    uint32_t durable_block; /* what the records in it carry */
};

void pc_wal_out_begin(struct wal_out *out, uint64_t segment, uint32_t first_block);
uint64_t pc_wal_out_at(const struct wal_out *out);
void pc_wal_out_put(struct wal_out *out, const void *bytes, size_t len);
/* Zeros up to the next multiple of `unit` (WAL_ALIGN or WAL_PAYLOAD_BYTES). */
void pc_wal_out_pad(struct wal_out *out, uint32_t unit);

/* ---- wal_record.c */
#define WAL_LAST_OF_BATCH 1u /* the next record begins at the next block */

struct wal_record {
    enum pc_wal_record_type type;
    uint8_t flags;
    uint32_t body_bytes;
    uint32_t durable_block; /* blocks of this segment before it were known synced */
    pc_index index;
    pc_term term;
    pc_index durable_upto;
    pc_index commit;
    struct pc_hash chain;
    uint32_t body_crc;
};

void pc_wal_record_put(struct wal_out *out, const struct wal_record *record, struct pc_slice body);
/* False when the 72 bytes are not a header that was written at this place of this segment. */
bool pc_wal_record_decode(
    const uint8_t *header, uint64_t segment, uint64_t at, struct wal_record *out);
/* The address behind the record, alignment (or the rest of the block) included. */
uint64_t pc_wal_record_end(const struct wal_record *record, uint64_t at);

/* ---- wal_segment.c */
struct wal_segment {
    uint64_t number;       /* 1, 2, 3 ... in the order of writing */
    pc_index first;        /* last index + 1 when the segment was begun */
    struct pc_hash before; /* chain value of the entry first - 1 */
    uint32_t blocks;       /* size of the file now, header block included */
    bool bad_header;       /* number and first were deduced, before is not known */
    bool is_short;         /* the file was made larger than it is: */
    uint32_t made_blocks;
    pc_term one_term; /* not read at the start: all its entries are of this term; 0 = it was read */
    pc_index one_term_from; /* ... from this one on: those before it were read */
};

#define WAL_NUMBER_FILL (UINT64_C(1) << 63) /* set in the number of a filling */

struct wal_segment *pc_wal_newest(struct pc_wal *wal);
/* What the oldest segment of the log has or will have. */
uint64_t pc_wal_first_number(const struct pc_wal *wal);
void pc_wal_path(const struct pc_wal *wal, const char *name, struct wal_path *out);
void pc_wal_segment_name(pc_index first, char *out, size_t cap);
/* The file of a segment or of a filling. */
void pc_wal_segment_file(const struct wal_segment *segment, char *out, size_t cap);
/* The index in a segment's file name; 0 when `name` is no segment's. */
pc_index pc_wal_segment_parse_name(const char *name);
pc_index pc_wal_fill_parse_name(const char *name); /* the same of a filling */
void pc_wal_segment_encode_header(const struct wal_segment *segment, uint8_t *block);
/* Reads and checks the header block; fills *out. PC_E_CORRUPT: *out is what can be deduced, with
 * number 0 when the stamps of the blocks do not tell it; numbers from `lowest` on are tried. */
PC_MUST_CHECK pc_err pc_wal_segment_read_header(const struct pc_fs *fs, pc_fd fd, const char *name,
    uint64_t lowest, struct wal_segment *out, struct pc_error *error);
/* Writes up to WAL_SPARE_STEP_BYTES more zeros to the spare and syncs it. It is to become as large
 * as space allows, and at least `need` bytes. */
PC_MUST_CHECK pc_err pc_wal_spare_step(struct pc_wal *wal, uint64_t need, struct pc_error *error);
bool pc_wal_spare_is_complete(const struct pc_wal *wal);
/* Makes the spare the current segment, with room for `blocks` blocks of records. */
PC_MUST_CHECK pc_err pc_wal_segment_start(
    struct pc_wal *wal, uint32_t blocks, struct pc_error *error);
/* Adds zeroed room to the current segment, which must not be left yet. */
PC_MUST_CHECK pc_err pc_wal_segment_grow(
    struct pc_wal *wal, uint32_t blocks, struct pc_error *error);

/* ---- wal_vote.c */
/* An entry, as far as one that follows has to know it. Index 0: the log's very beginning. */
struct wal_point {
    pc_index index;
    pc_term term;
    struct pc_hash chain;
};

/* Where the log begins. Segments with a lower number are void. */
struct wal_front {
    uint64_t number; /* of the oldest segment; 0 = never noted: segment 1, with entry 1 */
    struct wal_point behind;
};

struct wal_vote {
    uint64_t generation;
    pc_term term;
    pc_node_id vote;
    uint64_t segments;      /* number of the newest segment when this was written */
    uint32_t durable_block; /* of that segment, at that time */
    pc_term doubt;          /* see pc_wal_recovered; 0 = none */
    struct wal_front front;
};

PC_MUST_CHECK pc_err pc_wal_vote_create(struct pc_wal *wal, struct pc_error *error);
/* PC_E_NOT_FOUND: no file, or none that holds anything valid. */
PC_MUST_CHECK pc_err pc_wal_vote_open(struct pc_wal *wal, struct pc_error *error);
/* Stores term, vote and segments, with the present durable_block. Durable on PC_OK; a failure is
 * final for the log. */
PC_MUST_CHECK pc_err pc_wal_vote_store(
    struct pc_wal *wal, const struct wal_vote *vote, struct pc_error *error);
/* The same into both slots: the older one, should the newer one rot, must know it, too. */
PC_MUST_CHECK pc_err pc_wal_vote_store_both(
    struct pc_wal *wal, const struct wal_vote *vote, struct pc_error *error);

/* ---- wal_read.c */
struct wal_reader {
    const struct pc_fs *fs;
    pc_fd fd;
    uint64_t segment;
    uint32_t blocks;
    uint8_t *chunk;
    uint32_t chunk_cap;   /* blocks */
    uint32_t chunk_first; /* block number */
    uint32_t chunk_n;     /* blocks; 0 = nothing read */
    struct pc_buf scratch;
    char name[32];
};

enum wal_seen {
    WAL_SEEN_RECORD,
    WAL_SEEN_BAD_HEADER, /* extent unknown beyond the header */
    WAL_SEEN_BAD_BODY,   /* header good, body not */
    WAL_SEEN_FILE_END,   /* it would reach past the end of the file */
};

/* A record as read; the body is borrowed until the next call on the reader. */
struct wal_found {
    enum wal_seen seen;
    struct wal_record record; /* unless BAD_HEADER */
    struct pc_slice body;     /* RECORD */
    uint64_t next;            /* RECORD: where the following one stands */
};

void pc_wal_reader_init(struct wal_reader *reader, const struct pc_fs *fs, uint32_t chunk_bytes);
/* Points the reader at a file, which stays the caller's. */
void pc_wal_reader_use(struct wal_reader *reader, pc_fd fd, const struct wal_segment *segment);
void pc_wal_reader_destroy(struct wal_reader *reader);
PC_MUST_CHECK pc_err pc_wal_reader_block(
    struct wal_reader *reader, uint32_t number, const uint8_t **out, struct pc_error *error);
PC_MUST_CHECK pc_err pc_wal_reader_header(
    struct wal_reader *reader, uint64_t at, struct wal_found *out, struct pc_error *error);
/* A record with its body as it stands: for callers that compare the chain, which covers every bit
 * of an entry and costs less than chain and checksum together. */
PC_MUST_CHECK pc_err pc_wal_reader_fetch(
    struct wal_reader *reader, uint64_t at, struct wal_found *out, struct pc_error *error);
/* The same with the body's checksum compared. */
PC_MUST_CHECK pc_err pc_wal_reader_record(
    struct wal_reader *reader, uint64_t at, struct wal_found *out, struct pc_error *error);
/* The entry in an ENTRY record, compared with the header; *out is the caller's. The error names
 * file and offset. */
PC_MUST_CHECK pc_err pc_wal_reader_entry(const struct wal_reader *reader, uint64_t at,
    const struct wal_found *found, struct pc_entry *out, struct pc_error *error);
/* PC_E_CORRUPT with file, offset and `why`. */
pc_err pc_wal_reader_damaged(
    const struct wal_reader *reader, uint64_t at, const char *why, struct pc_error *error);

/* ---- wal_tail.c */
struct wal_tail {
    uint64_t end_at;      /* where the next batch goes: always the start of a block */
    uint32_t used_blocks; /* one more than the last block that is not all zeros; >= end's block */
    uint32_t noted_block; /* highest durable_block in a record before the end */
    bool damaged;         /* the records are good up to damaged_at only, and this is no torn tail */
    uint64_t damaged_at;
    const char *why;
};

/* Finds the end of the newest segment, of which the blocks before durable_block are known synced
 * (0 = nothing is known), from the record at `from` on. A torn tail lies between end_at and
 * used_blocks. Returns PC_OK, PC_E_IO. */
PC_MUST_CHECK pc_err pc_wal_tail_find(struct wal_reader *reader, uint64_t from,
    uint32_t durable_block, struct wal_tail *out, struct pc_error *error);
/* The first valid record header at `from` or behind it; UINT64_MAX when there is none. */
PC_MUST_CHECK pc_err pc_wal_tail_resync(
    struct wal_reader *reader, uint64_t from, uint64_t *at, struct pc_error *error);

/* ---- wal_load.c */
/* Every 64th entry or so, the first of a segment and the first after a truncation: where it stands
 * and the chain value before it. Entries from one mark to the next are contiguous on disk. */
struct wal_mark {
    pc_index index;
    uint64_t at;
    struct pc_hash before;
    uint32_t segment; /* place in wal->segments, or in wal->fills and WAL_PLACE_FILL */
};
#define WAL_PLACE_FILL (UINT32_C(1) << 31)

struct wal_marks {
    struct wal_mark *v;
    size_t n;
    size_t cap;
    bool due; /* the next entry gets a mark */
};

void pc_wal_marks_note(struct wal_marks *marks, const struct wal_mark *entry);
void pc_wal_marks_truncate(struct wal_marks *marks, pc_index from);
/* Index, term and chain value of an entry that the log has or begins behind.
 * Requires start.index <= index <= last. */
PC_MUST_CHECK pc_err pc_wal_load_point(
    struct pc_wal *wal, pc_index index, struct wal_point *out, struct pc_error *error);

/* ---- wal_recover.c */
/* Replays every segment in wal->segments into `wal` and *out; cuts nothing. `each` may be NULL. */
/* *replace: the log is dispensable as a whole; it is to be replaced by an empty one behind the
 * base, as which *out describes it. */
PC_MUST_CHECK pc_err pc_wal_recover(struct pc_wal *wal, struct wal_tail *tail,
    struct pc_wal_recovered *out, bool *replace, pc_wal_each_record each, void *arg,
    struct pc_error *error);

/* ---- wal_result.c */
/* An empty log that begins behind `last`. */
void pc_wal_result_empty(struct pc_wal *wal, struct pc_wal_recovered *out);

/* ---- wal_front.c */
struct wal_point pc_wal_base_point(const struct pc_wal *wal);
/* The log is empty and begins behind the point; in memory only. */
void pc_wal_begin_behind(struct pc_wal *wal, const struct wal_point *point);
/* Whether a file of this first index is void by its name alone. */
bool pc_wal_is_void(const struct pc_wal *wal, pc_index first);
/* Its file goes with the next calls of pc_wal_unlink_one. */
void pc_wal_doom(struct pc_wal *wal, pc_index first);
/* Removes one file of a void segment. What cannot be removed stays until the next start. */
void pc_wal_unlink_one(struct pc_wal *wal);
/* pc_wal_drop without removing the files. */
PC_MUST_CHECK pc_err pc_wal_drop_begin(struct pc_wal *wal, pc_index upto, struct pc_error *error);

/* ---- wal_fill.c */
struct wal_fix { /* the filling being written */
    pc_fd fd;
    bool open;
    size_t gap; /* place in wal->gaps */
    struct wal_segment segment;
    struct pc_hash chain; /* of the last entry written */
    pc_index next;
};
void pc_wal_fix_drop(struct pc_wal *wal);

/* ---- wal_cut.c */
/* Where the log ends when what is lost is given up: in front of the batch that it begins in. */
struct wal_cut {
    bool needed;
    size_t segments; /* how many stay */
    uint64_t end_at; /* in the last of them; 0 = all of it stays */
    pc_index from;   /* first index that goes */
};
/* Cuts at wal->cut, with the doubt durable first. The log is then to be recovered anew. */
PC_MUST_CHECK pc_err pc_wal_cut(struct pc_wal *wal, struct pc_error *error);

/* ---- wal.c */
struct wal_spare {
    pc_fd fd;
    bool open;
    bool named;      /* it has its header and name, but the directory is not synced */
    uint64_t bytes;  /* zeroed and synced so far */
    uint64_t target; /* of these; may get more */
};

/*   INV-WAL-1  durable_block <= next_block; equal exactly when nothing waits for a sync
 *   INV-WAL-2  durable_upto <= last
 *   INV-WAL-3  marks ascend by index; without gaps marks[0].index <= start.index + 1 while there is
 *              such an entry
 *   INV-WAL-4  segments ascend by number (by one, where none was lost) and by first index
 *   INV-WAL-5  commit <= last
 *   INV-WAL-6  partial implies stuck; while partial, `out` is the batch and is written as it is
 *   INV-WAL-7  start.index <= commit; segments[0].number >= vote.front.number, and no segment
 *              before the one of that number is needed for an entry behind start */
struct pc_wal {
    const struct pc_fs *fs;
    char dir[WAL_DIR_BYTES_MAX];
    uint64_t segment_bytes;
    enum pc_fsync_mode fsync;
    uint64_t interval_us;
    bool read_only;
    bool dead;    /* a write or sync has failed: nothing is accepted any more */
    bool stuck;   /* the last batch has not been taken over: it comes again, or the log is closed */
    bool partial; /* ... and a piece of it may be in the segment, from next_block on */
    pc_index partial_last; /* last index of that batch */

    struct wal_segment *segments;
    size_t segments_n;
    size_t segments_cap;
    struct wal_segment *fills;
    size_t fills_n;
    enum pc_wal_damage damage;
    bool reads_all;           /* nothing is passed over at a start */
    bool (*is_base_whole)(void *context); /* as in the options; forgotten with the recovery */
    void *is_base_whole_context;
    size_t early_bytes_max;
    bool whole;               /* no gap, no lost end: the log may be written */
    struct pc_raft_base base; /* as opened with */
    bool trusting;            /* read_only without a base: the log begins where its front says */
    struct wal_point start;   /* entries behind this one can be loaded */
    bool resetting;           /* the log was replaced, but has no segment yet */
    pc_index *doomed;         /* first indexes of void segments whose files are still there */
    size_t doomed_n;
    size_t doomed_cap;
    struct pc_wal_gap *gaps;
    size_t gaps_n;
    struct wal_cut *gap_cuts; /* of each gap; not `needed` any more: it was closed since */
    struct wal_cut cut;       /* of the first gap or, without one, of the lost end */
    struct wal_fix fix;
    pc_fd fd; /* of the newest segment */
    bool fd_open;
    uint32_t next_block;    /* where the next batch begins */
    uint32_t durable_block; /* blocks before it are synced */
    uint32_t entries_block; /* end of the last batch that was not just a note */
    uint32_t noted_block;   /* highest durable_block that a record of this segment carries */
    struct wal_spare spare;

    pc_index last;
    pc_term last_term;
    struct pc_hash chain; /* of the entry `last` */
    pc_index durable_upto;
    pc_index commit;
    struct wal_marks marks;

    struct wal_vote vote;
    pc_fd vote_fd[2];
    unsigned vote_fds;  /* how many are open */
    unsigned vote_slot; /* where `vote` stands */

    struct wal_out out;
    struct pc_buf body;
    uint64_t *places; /* address of each entry of the batch being written */
    size_t places_cap;
    struct wal_reader loader;
    pc_fd loader_fd;
    bool loader_open;
    size_t loader_segment;

    uint64_t synced_at_us;
    struct pc_wal_stats stats;
};

/* Space, descriptors or memory are short: it may be otherwise in a while. */
bool pc_wal_is_shortage(pc_err err);
/* For a failure after which nothing may be written any more. Returns `err`, or PC_E_IO for one that
 * would pass for a shortage. */
pc_err pc_wal_die(struct pc_wal *wal, pc_err err, struct pc_error *error);
/* PC_E_CLOSED. */
pc_err pc_wal_refuse_dead(struct pc_error *error);
/* One sync of the newest segment whatever the mode; nothing when nothing waits. */
PC_MUST_CHECK pc_err pc_wal_sync_now(struct pc_wal *wal, struct pc_error *error);
/* Writes down, unsynced, how far the log is known durable, unless a record already says so: what is
 * damaged afterwards can no longer pass for a torn tail. */
PC_MUST_CHECK pc_err pc_wal_note_durable(struct pc_wal *wal, struct pc_error *error);
/* Term and vote of a batch. Durable on PC_OK. */
PC_MUST_CHECK pc_err pc_wal_write_vote(
    struct pc_wal *wal, const struct pc_wal_batch *batch, struct pc_error *error);

#endif
