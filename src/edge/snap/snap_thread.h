/* snap_thread.h: the state of the snapshot thread. */
#ifndef PC_SNAP_THREAD_H
#define PC_SNAP_THREAD_H

#include "pcache/os.h"
#include "snap_int.h"

#define SNAP_HELD_MAX 4

enum snap_job_type {
    SNAP_JOB_BEGIN,
    SNAP_JOB_PUT,
    SNAP_JOB_FINISH,
    SNAP_JOB_ABORT,
    SNAP_JOB_SET_ASIDE,
};

struct snap_job {
    struct snap_job *next;
    enum snap_job_type type;
    uint64_t tag;
    struct pc_raft_base base;     /* BEGIN; SET_ASIDE: its index */
    struct pc_hash hash;          /* BEGIN, when has_hash */
    struct pc_snapshot_meta meta; /* FINISH; its config lies in `bytes` */
    struct pc_buf bytes;          /* PUT: the chunk */
    bool has_hash;
    bool keep; /* ABORT */
};

struct snap_read {
    struct snap_read *next;
    uint64_t tag;
    pc_index index;
    uint32_t number;
    bool is_raw; /* bytes of the file: */
    uint64_t offset;
    size_t max;
};

struct snap_done {
    struct snap_done *next;
    struct pc_snap_done done;
};

/* A snapshot that chunks are read from. */
struct snap_source {
    pc_index index;                /* 0 = none */
    struct pc_snap_reader *reader; /* of the newest: NULL while it could not be opened */
    uint64_t used_at_us;           /* the last read; 0 = never */
};

struct pc_snap_thread {
    const struct pc_fs *fs;
    char dir[SNAP_DIR_BYTES_MAX];

    struct pc_worker worker; /* its lock guards from here ... */
    struct snap_job *jobs;
    struct snap_job **jobs_end;
    size_t jobs_bytes; /* of chunks, until they are written */
    struct snap_read *reads;
    struct snap_read **reads_end;
    size_t reads_n;     /* of chunks, until they are answered */
    size_t raw_reads_n; /* of bytes of the file, likewise */
    struct snap_done *done;
    struct snap_done **done_end;
    uint64_t hold_us; /* ... to here */

    /* The thread's own. */
    struct pc_snap_writer *writer;
    uint64_t write_tag; /* 0 = no write */
    struct snap_source newest;
    struct snap_source held[SNAP_HELD_MAX]; /* older ones, removed but open */
};

#endif
