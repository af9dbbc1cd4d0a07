/* pclog_int.h: the program but for main. */
#ifndef PC_PCLOG_INT_H
#define PC_PCLOG_INT_H

#include <stdio.h>

#include "pcache/wal.h"

/* Exit statuses, shared with pcadmin where they mean the same. */
enum {
    PCLOG_GOOD = 0,
    PCLOG_NO = 1,
    PCLOG_USAGE = 2,
    PCLOG_LOCAL_IO = 6,
    PCLOG_DAMAGED = 8,
    PCLOG_LOCKED = 75, /* as pcached says it */
};

/* Runs the command line, prints to the two files; returns the exit status. */
int pc_pclog_run(const struct pc_fs *fs, int argc, char **argv, FILE *out, FILE *err_out);

/* ` history=... members=...` of a CONFIG entry's body. */
void pclog_print_config(FILE *out, struct pc_slice body);

/* ---- snapshot.c */
/* Checks the snapshot in the file `path`, or the newest one in the directory, and says what it is
 * of. loads: loads it into memory, too. Returns PC_OK, or as pc_snap_find, pc_snap_verify and
 * pc_store_load. */
PC_MUST_CHECK pc_err pclog_snapshot(const struct pc_fs *fs, const char *path, bool loads, FILE *out,
    FILE *err_out, struct pc_error *error);

/* What the newest snapshot in the log directory is of, as a start would take it; index 0: there is
 * none. A damaged one that an older one stands in for is named in err_out, unless that is NULL.
 * Returns PC_OK, or as pc_snap_find. */
PC_MUST_CHECK pc_err pclog_find_base(const struct pc_fs *fs, const char *dir,
    struct pc_raft_base *out, FILE *err_out, struct pc_error *error);

/* ---- json.c */
/* Prints the committed entries of the log in `dir`, or below it, from entry `from` on (0 = from the
 * first one there is), each as a line of JSON. Returns PC_OK; PC_E_NOT_FOUND: no log, or entry
 * `from` is not in it any more; PC_E_IO; or as pc_snap_find, pc_wal_open and pc_wal_load, for a log
 * that is damaged is not dumped in part. */
PC_MUST_CHECK pc_err pclog_dump_json(
    const struct pc_fs *fs, const char *dir, pc_index from, FILE *out, struct pc_error *error);

/* ---- lock.c */
/* Locks the data directory in which `log_dir` lies, in the real file system, as pcached does. *out:
 * to be unlocked; -1 when there is no lock to take.
 * Returns PC_OK; PC_E_LOCKED (the text names the holder's pid); PC_E_INVALID, PC_E_IO. */
PC_MUST_CHECK pc_err pclog_lock(const char *log_dir, int *out, struct pc_error *error);
void pclog_unlock(int fd);

/* ---- repair.c */
/* Fills the gaps of the log in `dir`, which has a snapshot of `base`, from the one in `from`, as
 * far as its entries are the right ones, and says what it did. Requires: there are gaps. Returns as
 * pc_wal_open. */
PC_MUST_CHECK pc_err pclog_repair(const struct pc_fs *fs, const char *dir,
    const struct pc_raft_base *base, const char *from, FILE *out, FILE *err_out,
    struct pc_error *error);

#endif
