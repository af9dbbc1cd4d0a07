/* limits.h: every compile-time bound of the program, and the relations between them.
 *
 * A run-time setting (see cluster.ini.sample, [limits]) may be lower than its bound here, never
 * higher. */
#ifndef PCACHE_LIMITS_H
#define PCACHE_LIMITS_H

#include "pcache/assert.h"

/* Client data. */
#define PC_KEY_BYTES_MAX 1024
#define PC_VALUE_BYTES_DEFAULT (1024 * 1024)
#define PC_VALUE_BYTES_MAX (8 * 1024 * 1024)
#define PC_CONTENT_TYPE_BYTES_MAX 255
#define PC_TTL_MS_MAX (UINT64_C(1000) * 3600 * 24 * 365 * 100) /* 100 years */

/* Membership. */
#define PC_NAME_BYTES_MAX 63     /* node and cluster names: [A-Za-z0-9._-] */
#define PC_BUILD_BYTES_MAX 63    /* what a program says of its version */
#define PC_ADDRESS_BYTES_MAX 262 /* DNS name of 253 bytes, brackets, colon, port */
#define PC_VOTERS_MAX 15
#define PC_LEARNERS_MAX 64
#define PC_MEMBERS_MAX 1024       /* members that SWIM tracks */
#define PC_CLUSTER_MEMBERS_MAX 64 /* members of a cluster: voters, replicas, invited ones */
#define PC_LIVES_MAX 128          /* peers whose newest life is noted on disk */
#define PC_LIVES_KEPT_MAX 96      /* ... of whom members at most, who give way to nobody */

/* The log. */
#define PC_TERM_MAX (UINT64_MAX / 2)     /* that bytes may carry: counting on from it never wraps */
#define PC_CLOCK_MS_MAX (UINT64_MAX / 2) /* cluster time that bytes may carry; it ends there */
#define PC_COMMAND_BYTES_MAX                                                                       \
    (PC_VALUE_BYTES_MAX + PC_KEY_BYTES_MAX + PC_CONTENT_TYPE_BYTES_MAX + 64)
#define PC_ENTRY_OVERHEAD_BYTES_MAX 128 /* an encoded entry less its body */
#define PC_ENTRY_BYTES_MAX (PC_COMMAND_BYTES_MAX + PC_ENTRY_OVERHEAD_BYTES_MAX)
#define PC_RAFT_TAIL_BYTES_MAX (16 * 1024 * 1024) /* entries kept in memory for peers */
#define PC_LOAD_BYTES_MAX (1024 * 1024)           /* one read of old entries from disk */

/* Snapshots. A chunk ends with the item that makes it so large; an item is its key, value and
 * content type, three numbers and the heads in front of them. */
#define PC_SNAPSHOT_CHUNK_BYTES (256 * 1024)
#define PC_SNAPSHOT_ITEM_OVERHEAD_BYTES_MAX 64
#define PC_SNAPSHOT_AHEAD_BYTES (1024 * 1024) /* chunks on their way to the snapshot's file */
#define PC_SNAPSHOT_CHUNK_BYTES_MAX                                                                \
    (PC_SNAPSHOT_CHUNK_BYTES + PC_VALUE_BYTES_MAX + PC_KEY_BYTES_MAX + PC_CONTENT_TYPE_BYTES_MAX + \
        PC_SNAPSHOT_ITEM_OVERHEAD_BYTES_MAX)
#define PC_SNAPSHOT_CONFIG_BYTES_MAX (8 * 1024) /* the CONFIG entry's body in a snapshot's meta */

/* Replication. A message holds at least one entry, whatever its size. */
#define PC_APPEND_BYTES_MAX (256 * 1024)
#define PC_APPEND_ENTRIES_MAX 1024
#define PC_INFLIGHT_BYTES_MAX (4 * 1024 * 1024)
#define PC_INFLIGHT_MSGS_MAX 64

/* The peer bus. */
#define PC_FRAME_BYTES_MAX (9 * 1024 * 1024)
#define PC_BUS_QUEUE_BYTES_MAX (32 * 1024 * 1024) /* unsent bytes per peer before it is cut */
#define PC_BUS_UNAUTHENTICATED_MAX 64
#define PC_BUS_HANDSHAKE_BYTES_MAX 512
#define PC_BUS_HANDSHAKE_MS 3000
#define PC_GOSSIP_PACKET_BYTES_MAX 1400

/* Client requests in this process. */
#define PC_PENDING_REQUESTS_MAX 4096
#define PC_PENDING_BYTES_MAX (64 * 1024 * 1024)

/* GET /v1/log. An answer ends with the entry that makes it so large, or in front of it. */
#define PC_FEED_ENTRIES_DEFAULT 1000
#define PC_FEED_ENTRIES_MAX 100000
#define PC_FEED_BYTES (256 * 1024) /* of entries, as they are in the log; or one entry */
#define PC_FEED_ASKS_MAX 64        /* requests that wait for entries, or for the disk */
#define PC_FEED_WAIT_MS_MAX 60000
#define PC_FEED_UNSENT_BYTES_MAX (16 * 1024 * 1024) /* no page is read while so much is unsent */

/* Items whose deadline has passed that one applied entry may remove (a bound on its time). */
#define PC_EXPIRE_PER_ENTRY_MAX 256

PC_STATIC_ASSERT(PC_VALUE_BYTES_DEFAULT <= PC_VALUE_BYTES_MAX, "default within bound");
PC_STATIC_ASSERT(PC_APPEND_BYTES_MAX + PC_ENTRY_BYTES_MAX + 4096 <= PC_FRAME_BYTES_MAX,
    "a batch that just misses its byte target, plus one entry of any size, fits a frame");
PC_STATIC_ASSERT(PC_SNAPSHOT_CHUNK_BYTES_MAX + 4096 <= PC_FRAME_BYTES_MAX,
    "any chunk of a snapshot fits a frame");
PC_STATIC_ASSERT(PC_FEED_ENTRIES_DEFAULT <= PC_FEED_ENTRIES_MAX, "default within bound");
PC_STATIC_ASSERT(PC_LOAD_BYTES_MAX >= PC_FEED_BYTES, "a page is no longer than any other load");
PC_STATIC_ASSERT(PC_LOAD_BYTES_MAX >= PC_APPEND_BYTES_MAX, "one load fills one message");
PC_STATIC_ASSERT(PC_FRAME_BYTES_MAX < PC_BUS_QUEUE_BYTES_MAX, "a queue holds any one frame");

#endif
