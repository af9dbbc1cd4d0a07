/* node_preload.h: what a start makes ready before there is a node; a part of node.h. */
#ifndef PCACHE_NODE_PRELOAD_H
#define PCACHE_NODE_PRELOAD_H

#include "pcache/entry.h"
#include "pcache/store.h"

/* The start of the snapshot, loaded by whoever had the time, and entries that are committed and
 * come behind it (or from 1 on, without one), as they stand in the log. */
struct pc_node_preload {
    struct pc_store *store; /* in pc_store_load, with opts.store_seed; NULL = none */
    uint32_t chunks;        /* so many of its chunks are in it, the first ones */
    struct pc_entries entries;
};

/* Puts the items of a chunk of a snapshot of entry `upto` into a store that is being loaded.
 * Returns NULL, or what is wrong with them: the store is of no use then. */
PC_MUST_CHECK const char *pc_node_load_chunk(
    struct pc_store *store, pc_index upto, struct pc_slice chunk);

#endif
