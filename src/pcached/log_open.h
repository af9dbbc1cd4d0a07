/* log_open.h: the log is recovered, and meanwhile the snapshot goes into a store. Private to
 * pcached. */
#ifndef PCACHED_LOG_OPEN_H
#define PCACHED_LOG_OPEN_H

#include "pcache/node.h"
#include "pcache/snap.h"
#include "pcache/wal.h"

/* A larger one would keep a node that waits for it from listening too long. */
#define LOG_OPEN_WAIT_BYTES_MAX (UINT64_C(256) << 20)
/* Of entries that are handed from the recovery to the node; more than a log usually has behind its
 * snapshot, see [log] snapshot_bytes. */
#define LOG_OPEN_EARLY_BYTES_MAX (64u << 20)

/* Opens the log. `reader`: of the snapshot that opts->base is of, NULL = there is none; as much of
 * it as there is time for goes into preload->store, which gets `seed`.
 * is_alone: nobody else has what the log has in front of the snapshot. Then that is passed over
 * only when all of the snapshot was loaded, and its digest is right.
 * Returns as pc_wal_open; on PC_OK *preload is the caller's, to be cleared with log_open_clear. */
PC_MUST_CHECK pc_err log_open(const struct pc_fs *fs, const struct pc_wal_opts *opts,
    struct pc_snap_reader *reader, const uint8_t seed[16], bool is_alone, struct pc_wal **out,
    struct pc_wal_recovered *recovered, struct pc_node_preload *preload, struct pc_error *error);

void log_open_clear(struct pc_node_preload *preload);

#endif
