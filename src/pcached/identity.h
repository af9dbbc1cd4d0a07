/* identity.h: who this node is, kept on the data volume. Private to pcached.
 *
 *   data_dir/LOCK       flock'ed by the running process; holds its pid as text
 *   data_dir/identity   one line: "pcache-identity 1 <id: 16 hex> <generation: decimal> <crc32c: 8
 * hex>" data_dir/log/       the log (wal.h) */
#ifndef PCACHED_IDENTITY_H
#define PCACHED_IDENTITY_H

#include "pcache/err.h"
#include "pcache/fs.h"
#include "pcache/types.h"

struct identity {
    int lock_fd;
    pc_node_id id;
    uint64_t generation; /* max(last + 1, wall clock in ms): grows with every start */
    bool is_new;         /* there was none on this volume */
    char log_dir[4096];
};

/* Locks the directory (made when missing), reads or makes the identity, and makes the raised
 * generation durable.
 * Returns PC_OK; PC_E_LOCKED (the text names the holder's pid); PC_E_CORRUPT: the identity is
 * damaged, or missing beside a log; PC_E_IO, PC_E_NO_SPACE. */
PC_MUST_CHECK pc_err identity_open(
    const char *data_dir, struct identity *out, struct pc_error *error);
void identity_close(struct identity *identity);

#endif
