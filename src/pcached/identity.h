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
    pc_node_id id;
    uint64_t generation; /* max(last + 1, wall clock in ms): grows with every start */
    bool has_log;        /* something of this id's log is durable, or was */
    char data_dir[4096];
    char log_dir[4096];
};

/* Locks the directory (made when missing), reads or makes the identity, and makes the raised
 * generation durable.
 * Returns PC_OK; PC_E_LOCKED (the text names the holder's pid); PC_E_CORRUPT: the identity is
 * damaged, or it and the log are not both there; PC_E_IO, PC_E_NO_SPACE. */
PC_MUST_CHECK pc_err identity_open(
    const char *data_dir, struct identity *out, struct pc_error *error);

/* Notes durably that there is a log. To be called when the first write of the log is durable,
 * before anything that this promises leaves the node. Does nothing when it is noted already. */
PC_MUST_CHECK pc_err identity_note_log(struct identity *identity, struct pc_error *error);
void identity_close(struct identity *identity);

#endif
