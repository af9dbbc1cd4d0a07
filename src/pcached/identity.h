/* identity.h: who this node is, kept on the data volume. Private to pcached.
 *
 *   data_dir/LOCK       flock'ed by the running process; holds its pid as text
 *   data_dir/identity   one line: pcache-identity 1 <id: 16 hex> <generation> <log: 0 | 1>
 *                       <crc32c: 8 hex>
 *   data_dir/log/       the log (wal.h)
 *
 * log = 1 says that this id has a log, hence may have voted and acknowledged. An id whose log is
 * gone must not be heard again: it would deny what it promised. */
#ifndef PCACHED_IDENTITY_H
#define PCACHED_IDENTITY_H

#include "pcache/err.h"
#include "pcache/fs.h"
#include "pcache/types.h"

struct identity {
    int lock_fd;
    const struct pc_fs *fs; /* where the files below are */
    pc_node_id id;
    uint64_t generation; /* max(last + 1, wall clock in ms): grows with every start */
    bool has_log;        /* something of this id's log is durable, or was */
    char data_dir[4096];
    char log_dir[4096];
};

/* ---- identity.c */
/* Reads the identity of data_dir, or makes one with `fresh_id` where there is neither identity nor
 * log, and makes the raised generation durable. wall_ms: the wall clock now.
 * Requires: fs, data_dir and log_dir are set, everything else is zero.
 * Returns as identity_open, less PC_E_LOCKED. */
PC_MUST_CHECK pc_err identity_load(
    struct identity *out, pc_node_id fresh_id, pc_ms wall_ms, struct pc_error *error);
/* Compares with what recovery found in the log: its last index and the term.
 * Returns PC_OK; PC_E_CORRUPT when this id had a log and this one is empty; PC_E_IO, PC_E_NO_SPACE
 * when a log that is there cannot be noted. */
PC_MUST_CHECK pc_err identity_check_log(
    struct identity *identity, pc_index last, pc_term term, struct pc_error *error);
/* dir/name. PC_E_INVALID when that is too long. */
PC_MUST_CHECK pc_err identity_path(
    char *out, size_t out_max, const char *dir, const char *name, struct pc_error *error);

/* Notes durably that there is a log. To be called when the first write of the log is durable,
 * before anything that this promises leaves the node. Does nothing when it is noted already. */
PC_MUST_CHECK pc_err identity_note_log(struct identity *identity, struct pc_error *error);

/* ---- identity_lock.c */
/* Locks the directory (made when missing), and loads the identity.
 * Returns PC_OK; PC_E_LOCKED (the text names the holder's pid); PC_E_CORRUPT: the identity is
 * damaged, or it and the log are not both there; PC_E_IO, PC_E_NO_SPACE. */
PC_MUST_CHECK pc_err identity_open(
    const char *data_dir, struct identity *out, struct pc_error *error);
void identity_close(struct identity *identity);

#endif
