/* wal_thread.h: what wal_thread.c, wal_queue.c, wal_jobs.c, wal_repair.c and wal_disk.c share: the
 * thread's state. */
#ifndef PC_WAL_THREAD_H
#define PC_WAL_THREAD_H

#include "wal_int.h"

struct write_job {
    struct write_job *next;
    struct pc_wal_batch batch;
    bool voted;    /* VOTED was reported while the log was full */
    bool is_reset; /* no batch: the log is replaced */
    struct pc_raft_base base;
};

struct load_job {
    struct load_job *next;
    uint64_t tag;
    pc_index first;
    pc_index last;
    size_t bytes_max;
    bool raw;
};

struct repair_job {
    enum pc_wal_done_type answer; /* REPAIRED: entries for a gap; REOPENED */
    bool cut;
    size_t gap;
    struct pc_entries entries;
    bool has_base;
    struct pc_raft_base base;
};

struct done_item {
    struct done_item *next;
    struct pc_wal_done done;
};

#define WAL_SYNCS_KEPT 64

struct wal_sync_time {
    uint64_t at_us; /* when it ended */
    uint64_t us;
};

struct wal_disk {
    bool watched;
    bool now; /* look at the next opportunity */
    uint64_t look_at_us;
    uint64_t taken;                              /* what space_taken said at the last look */
    uint64_t syncs, sync_us;                     /* of the statistics, as noted last */
    struct wal_sync_time recent[WAL_SYNCS_KEPT]; /* ring */
    uint64_t recent_n;                           /* ever noted */
};

struct pc_wal_thread {
    struct pc_wal *wal;

    struct pc_worker worker; /* its lock guards from here ... */
    struct write_job *writes;
    struct write_job **writes_end;
    struct load_job *loads;
    struct load_job **loads_end;
    struct repair_job *repair;
    bool drops;
    pc_index drop_upto;
    struct done_item *done;
    struct done_item **done_end;
    bool watch;                /* from the next turn on */
    struct pc_wal_stats stats; /* ... to here */

    /* The thread's own. */
    struct write_job *backlog; /* taken from the queue, not written yet */
    struct write_job **backlog_end;
    bool full;
    bool failed;
    uint64_t retry_at_us;
    uint64_t wrote_at_us;
    uint64_t spare_at_us;   /* the next segment is not prepared before this */
    struct done_item *late; /* answers to loads that lacked something, until late_at_us */
    uint64_t late_at_us;
    struct wal_disk disk;
};

/* The thread itself. Final: says so, and drops what waits. */
void pc_wal_thread_fail(struct pc_wal_thread *thread, const struct pc_error *error);
/* Frees a job of the backlog that is done, the first one, and leads on to the next. */
void pc_wal_thread_next(struct pc_wal_thread *thread);

/* ---- wal_queue.c */
/* The thread itself: queues a completion; the same in a while; what is due of those. */
void pc_wal_thread_report(struct pc_wal_thread *thread, const struct pc_wal_done *done);
void pc_wal_thread_report_late(struct pc_wal_thread *thread, const struct pc_wal_done *done);
void pc_wal_thread_flush_late(struct pc_wal_thread *thread);
/* The engine: takes the job over. */
void pc_wal_thread_queue(struct pc_wal_thread *thread, struct write_job *job);

/* ---- wal_jobs.c */
/* When the backlog holds a reset: what is in front of it is void, but for its votes. */
PC_MUST_CHECK pc_err pc_wal_jobs_void(struct pc_wal_thread *thread, struct pc_error *error);
/* The reset that is the first of the backlog. */
PC_MUST_CHECK pc_err pc_wal_jobs_reset(struct pc_wal_thread *thread, struct pc_error *error);
/* Drops what is asked for, as far as it may go, and reports. */
void pc_wal_jobs_drop(struct pc_wal_thread *thread, pc_index upto);

/* ---- wal_disk.c */
/* After whatever may have synced: how long that took. */
void pc_wal_disk_note_sync(struct pc_wal_thread *thread);
bool pc_wal_disk_is_due(const struct pc_wal_thread *thread);
/* Measures and reports. Requires that it is due. */
void pc_wal_disk_look(struct pc_wal_thread *thread);

/* ---- wal_repair.c */
/* Does the job, which may be NULL, and frees it. */
void pc_wal_repair_serve(struct pc_wal_thread *thread, struct repair_job *job);

#endif
