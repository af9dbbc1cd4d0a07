/* history.h: which history this node's log belongs to, noted beside the log. Private to pcached.
 *
 *   data_dir/history   one line: pcache-history 1 <history id: 32 hex> <crc32c: 8 hex>
 *
 * Entry 1 of the log says the same. Where it is lost, the node finds its cluster by this note, and
 * takes no other cluster's entry 1 for its own. Written with the first durable write that
 * comes when it is known. */
#ifndef PCACHED_HISTORY_H
#define PCACHED_HISTORY_H

#include "pcache/err.h"
#include "pcache/fs.h"

/* Returns PC_OK; PC_E_NOT_FOUND: there is no such note, or it is damaged, or cannot be read;
 * PC_E_VERSION: a newer program has written it. */
PC_MUST_CHECK pc_err history_read(
    const struct pc_fs *fs, const char *data_dir, uint8_t out[16], struct pc_error *error);
/* Durable on PC_OK. */
PC_MUST_CHECK pc_err history_write(const struct pc_fs *fs, const char *data_dir,
    const uint8_t history[16], struct pc_error *error);

#endif
