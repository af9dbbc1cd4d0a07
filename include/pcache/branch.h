/* branch.h: the files of branches (node_branch.h). Byte layout and crash table:
 * docs/LOGFORMAT.md.
 *
 *   <dir>/branch.open                          the branch that is open; at most one
 *   <dir>/rollback/<utc>-<id8>-<records>.kvr   one that was closed: utc of its beginning, the first
 *                                              8 hex digits of its id
 *   <dir>/rollback/<the same>.damaged          what the .kvr beside it was read from
 *   <dir>/rollback/<that>.kvr.replayed         empty: a replay of it has begun
 *   <dir>/branch.new, rollback/branch.new      while one is written anew; worthless after a crash
 *
 * Nothing of a branch is ever merged by a node, so a file of rollback/ stays until it is removed by
 * the operator. A branch without records leaves none.
 *
 * Everything but the thread is synchronous and single-threaded, and goes through the fs port, so
 * that the simulator runs this very code. */
#ifndef PCACHE_BRANCH_H
#define PCACHE_BRANCH_H

#include "pcache/fs.h"
#include "pcache/limits.h"
#include "pcache/bytes.h"
#include "pcache/node_branch.h"

#define PC_BRANCH_NAME_BYTES 64 /* of a file in rollback/, with its NUL */
#define PC_BRANCH_OPEN_NAME "branch.open"
#define PC_BRANCH_DIR_NAME "rollback"

/* What a branch is. */
struct pc_branch_head {
    pc_node_id node; /* whose it is */
    char name[PC_NAME_BYTES_MAX + 1];
    uint8_t history[16];
    uint8_t id[16];
    struct pc_branch_base base;
    pc_ms begun_ms; /* wall time */
};

/* What its file holds. */
struct pc_branch_info {
    struct pc_branch_head head;
    uint64_t records; /* that can be read */
    uint64_t last;    /* number of the last one there was; more than `records`: some are lost */
    bool is_ended;    /* closed in order; false: the end of the file is missing, or it is open */
    pc_ms ended_ms;   /* wall time; with is_ended */
    uint64_t bytes;   /* of the file */
    bool is_replayed; /* of a closed one: a replay was noted */
    char name[PC_BRANCH_NAME_BYTES]; /* in rollback/; "" = not there */
};

/* Gives up what the record owns. */
void pc_branch_record_clear(struct pc_branch_record *record);

/* ---- reading */
struct pc_branch_reader; /* opaque */

/* Opens a file under any name and checks its header. Returns PC_OK; PC_E_CORRUPT (the text names
 * the file, as everywhere here); PC_E_VERSION: of a format this program does not know;
 * PC_E_NOT_FOUND, PC_E_IO, PC_E_AGAIN, PC_E_INVALID (path too long).
 * Ownership: *out is the caller's, pc_branch_reader_close. */
PC_MUST_CHECK pc_err pc_branch_reader_open(const struct pc_fs *fs, const char *path,
    struct pc_branch_reader **out, struct pc_error *error);
void pc_branch_reader_close(struct pc_branch_reader *reader); /* NULL is allowed */

/* The next record, which is the caller's; numbers ascend, and the command decodes. out NULL: it is
 * passed over, what it says not looked at. Returns PC_OK;
 *   PC_E_NOT_FOUND: no more of them, text not set. The end of the file, or what a write under way
 *     left of it;
 *   PC_E_CORRUPT: here is damage, and more behind it; pc_branch_reader_skip goes on there;
 *   PC_E_IO, PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_branch_reader_next(
    struct pc_branch_reader *reader, struct pc_branch_record *out, struct pc_error *error);
/* After PC_E_CORRUPT: behind the damage. */
void pc_branch_reader_skip(struct pc_branch_reader *reader);
/* The head from the beginning, the numbers of what was read so far; `name` is "". Valid until the
 * reader is closed. */
const struct pc_branch_info *pc_branch_reader_info(const struct pc_branch_reader *reader);

/* Where a reader stands, to go on from there with another one of the same file. A zeroed one is its
 * beginning. */
struct pc_branch_place {
    uint64_t at;
    uint64_t records, last;
    uint32_t before;
};
struct pc_branch_place pc_branch_reader_place(const struct pc_branch_reader *reader);
void pc_branch_reader_seek(struct pc_branch_reader *reader, const struct pc_branch_place *place);

/* ---- what there is as lines of JSON: a head, records, an end. Each appends one line, with its
 * line feed. What is not UTF-8 comes in base64, under names that end with _b64. docs/HTTP.md. */
void pc_branch_json_head(const struct pc_branch_head *head, struct pc_buf *out);
void pc_branch_json_record(
    const struct pc_branch_head *head, const struct pc_branch_record *record, struct pc_buf *out);
void pc_branch_json_end(const struct pc_branch_info *info, struct pc_buf *out);

/* ---- writing
 *
 *   begin -----+---> put ... sync, put ... sync ---> end ---> close
 *   (found) ---'          |                           |
 *                         +--- error: end or close    +--- error: close
 *
 * close alone leaves the branch open on disk, for the next start. */
struct pc_branch_writer; /* opaque */

/* Makes the file of a new branch: durable, under its name, on PC_OK. dir, head: copied. Returns
 * PC_OK; PC_E_EXISTS: there is an open one; PC_E_NO_SPACE, PC_E_IO, PC_E_AGAIN, PC_E_INVALID (dir
 * too long). Ownership: *out is the caller's, pc_branch_writer_close. */
PC_MUST_CHECK pc_err pc_branch_writer_begin(const struct pc_fs *fs, const char *dir,
    const struct pc_branch_head *head, struct pc_branch_writer **out, struct pc_error *error);
/* Notes, durably, that a branch found at the start is gone on with. Errors as of _sync; it may be
 * tried again: the disk may have room by then. */
PC_MUST_CHECK pc_err pc_branch_writer_resume(
    struct pc_branch_writer *writer, pc_ms wall_ms, struct pc_error *error);
/* Takes a record down; it is in memory until the next sync. Requires: its number follows on the
 * last one, its command and value are within their limits. */
void pc_branch_writer_put(struct pc_branch_writer *writer, const struct pc_branch_record *record);
size_t pc_branch_writer_waiting(const struct pc_branch_writer *writer); /* bytes to be synced */
/* Writes what was put: durable on PC_OK. PC_E_NO_SPACE: nothing of it is in the file, now or later;
 * any other error: perhaps. After an error only end or close may follow. */
PC_MUST_CHECK pc_err pc_branch_writer_sync(struct pc_branch_writer *writer, struct pc_error *error);
/* Closes the branch: syncs what waits, unless a sync has failed; what was durable before then has
 * its name in rollback/, durably; or is gone, when there was no record. *info is what the file
 * holds; its name "" = there is none. An error leaves the branch open on disk, or closed there
 * under the name of an open one: the next start, or pc_branch_settle, finishes. */
PC_MUST_CHECK pc_err pc_branch_writer_end(struct pc_branch_writer *writer, pc_ms wall_ms,
    struct pc_branch_info *info, struct pc_error *error);
void pc_branch_writer_close(struct pc_branch_writer *writer); /* NULL is allowed */
const struct pc_branch_head *pc_branch_writer_head(const struct pc_branch_writer *writer);
uint64_t pc_branch_writer_last(const struct pc_branch_writer *writer); /* durable record's number */

/* ---- what stands in a directory */
struct pc_branch_found {
    struct pc_branch_writer *writer;  /* of the open branch; NULL = none. The caller's */
    struct pc_branch_record *records; /* its records, 1..records_n; owned, _found_clear */
    size_t records_n;
    /* What was wrong: an open branch that was damaged is closed with what can be read of it, and
     * set aside. "" = nothing. */
    char where[256];
};

/* Looks for an open branch, at the start of a process. One whose closing was interrupted is closed,
 * so is a damaged one, unless that fails (`where` says why; it stays for pc_branch_settle). What is
 * found is durable. Returns PC_OK, also when there is none; PC_E_VERSION; PC_E_IO, PC_E_AGAIN,
 * PC_E_NOMEM, PC_E_INVALID (dir too long). */
PC_MUST_CHECK pc_err pc_branch_find(
    const struct pc_fs *fs, const char *dir, struct pc_branch_found *out, struct pc_error *error);
/* Frees the records and closes the writer, unless it was taken (set to NULL). */
void pc_branch_found_clear(struct pc_branch_found *found);

/* Closes the branch that stands open in the directory, if there is one. Requires: it has no writer.
 * Returns PC_OK, or as pc_branch_find and pc_branch_writer_end. */
PC_MUST_CHECK pc_err pc_branch_settle(
    const struct pc_fs *fs, const char *dir, pc_ms wall_ms, struct pc_error *error);

/* Whether it is the name of a file in rollback/. */
bool pc_branch_name_is_valid(const char *name);
/* dir/rollback/name. False: too long. */
bool pc_branch_path(const char *dir, const char *name, char *out, size_t out_bytes);

/* Calls `each` with the name of every closed branch, in no order. PC_OK also when there is none;
 * PC_E_IO, PC_E_AGAIN, PC_E_INVALID. */
PC_MUST_CHECK pc_err pc_branch_list(const struct pc_fs *fs, const char *dir,
    void (*each)(void *arg, const char *name), void *arg, struct pc_error *error);
/* Notes beside the file, durably, that a replay of it begins. PC_OK; PC_E_EXISTS: that was noted
 * before, text set; PC_E_NOT_FOUND: there is no such file; PC_E_NO_SPACE, PC_E_IO, PC_E_AGAIN,
 * PC_E_INVALID (path too long). */
PC_MUST_CHECK pc_err pc_branch_note_replay(
    const struct pc_fs *fs, const char *path, struct pc_error *error);
/* Removes one, durably, and its note. PC_E_NOT_FOUND: there is none of this name. PC_E_IO,
 * PC_E_AGAIN, PC_E_INVALID. */
PC_MUST_CHECK pc_err pc_branch_remove(
    const struct pc_fs *fs, const char *dir, const char *name, struct pc_error *error);

/* ---- the branch thread: writes records, many by one sync, and looks at closed branches for
 * clients. Calls below come from the engine thread; completions are fetched with
 * pc_branch_thread_poll. What is queued is done in order. */
struct pc_branch_thread;

#define PC_BRANCH_READ_BYTES                                                                       \
    (256 * 1024)              /* a piece of lines; the record that fills it is whole               \
                               */
#define PC_BRANCH_ASKS_MAX 16 /* list, read, note, remove that wait */

enum pc_branch_done_type {
    PC_BRANCH_BEGUN,   /* the file is durable */
    PC_BRANCH_WRITTEN, /* number: durable up to this record */
    PC_BRANCH_ENDED,   /* info: of the closed file */
    PC_BRANCH_FAILED,  /* err: of begin, put or end. See pc_branch_thread_put */
    PC_BRANCH_LISTED,  /* infos, ascending by name; err */
    PC_BRANCH_READ,    /* lines, place, is_last; err */
    PC_BRANCH_NOTED,   /* err: as pc_branch_note_replay */
    PC_BRANCH_REMOVED, /* err */
};

struct pc_branch_done {
    enum pc_branch_done_type type;
    uint64_t tag; /* of the question */
    uint64_t number;
    struct pc_branch_info info;
    struct pc_branch_info *infos; /* owned by the receiver, free */
    size_t infos_n;
    struct pc_buf lines;          /* owned by the receiver */
    struct pc_branch_place place; /* where the next piece begins */
    bool is_last;
    pc_err err;
    struct pc_error error; /* the same with err */
};

/* Starts the thread. writer: of the branch found open, taken over; NULL = none. dir and self (of
 * which node and name count) are copied. notify_fd: as pc_worker_start. */
struct pc_branch_thread *pc_branch_thread_start(const struct pc_fs *fs, const char *dir,
    const struct pc_branch_head *self, struct pc_branch_writer *writer, int notify_fd);
/* Does what is queued, stops, frees. An open branch stays open. NULL is allowed. */
void pc_branch_thread_stop(struct pc_branch_thread *thread);

/* Opens a branch, or goes on with the one of this id; then BEGUN or FAILED. One of another id that
 * stands in the way is closed first. */
void pc_branch_thread_begin(struct pc_branch_thread *thread, const uint8_t id[16],
    const uint8_t history[16], const struct pc_branch_base *base);
/* Queues a record, whose blobs are taken over (the caller's pointers are emptied). WRITTEN or
 * FAILED comes; after FAILED those that were not WRITTEN are dropped, as all that follow up to the
 * end. With PC_E_NO_SPACE they are not in the file. */
void pc_branch_thread_put(struct pc_branch_thread *thread, struct pc_branch_record *record);
/* Closes the branch; then ENDED or FAILED. ENDED also when there is none. */
void pc_branch_thread_end(struct pc_branch_thread *thread);

/* Questions about closed branches; each is answered by a completion with its tag. False when
 * PC_BRANCH_ASKS_MAX wait: nothing has happened. A list waits until all files were looked through;
 * nothing else waits for that. */
bool pc_branch_thread_list(struct pc_branch_thread *thread, uint64_t tag);
/* Lines of JSON from `place` on. err: PC_E_NOT_FOUND; PC_E_CORRUPT... Damaged records are passed
 * over: the line of the end says how many. */
bool pc_branch_thread_read(struct pc_branch_thread *thread, uint64_t tag, const char *name,
    const struct pc_branch_place *place);
bool pc_branch_thread_note(struct pc_branch_thread *thread, uint64_t tag, const char *name);
bool pc_branch_thread_remove(struct pc_branch_thread *thread, uint64_t tag, const char *name);

/* How many closed branches wait for the operator, as of the last look at the directory. */
uint64_t pc_branch_thread_pending(struct pc_branch_thread *thread);

/* The next completion, in order; false when there is none. */
bool pc_branch_thread_poll(struct pc_branch_thread *thread, struct pc_branch_done *out);

#endif
