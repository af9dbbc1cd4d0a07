/* node_snapshot_int.h: what the files about snapshots share; a part of node_int.h.
 *
 *   node_snapshot.c        when one is made, and what of the log may go then
 *   node_snapshot_order.c  for whom one is made at once
 *   node_snapshot_load.c   from the disk into a store
 *   node_snapshot_fetch.c  from a peer onto the disk
 *   node_snapshot_give.c   for peers */
#ifndef PCACHE_NODE_SNAPSHOT_INT_H
#define PCACHE_NODE_SNAPSHOT_INT_H

#include "pcache/node.h"

#define NODE_PEERS_MAX (2 * PC_CLUSTER_MEMBERS_MAX)

#define NODE_SNAPSHOT_ITEMS 256 /* visited in a turn, and twice as many as were applied */
#define NODE_SNAPSHOT_ITEMS_MAX 1024
#define NODE_SNAPSHOT_ASIDE_BYTES (16 * 1024 * 1024) /* kept aside, or a tenth of the store */
#define NODE_SNAPSHOT_ITEM_BYTES 64                  /* of an item beside its data, in a chunk */
#define NODE_SNAPSHOT_RETRY_MS 60000                 /* after one that failed */
#define NODE_LOAD_AHEAD 4                            /* chunks asked for and not loaded yet */
#define NODE_LOAD_RETRY_MS 200                       /* after a read that lacked something */
#define NODE_LOAD_RETRY_IO_MS 1000                   /* after one that failed, and so often */
#define NODE_LOAD_RETRIES_IO 3
#define NODE_FETCH_AHEAD 4        /* chunks asked for and not written yet */
#define NODE_FETCH_ANSWER_MS 1000 /* a peer's time to say what it has */
#define NODE_FETCH_STALL_MS 5000  /* a peer's time for a chunk, and the disk's */
#define NODE_FETCH_RETRY_MS 300   /* between two rounds of asking */
#define NODE_GIVES_MAX 32         /* chunks being read for peers */
#define NODE_LOG_MARKS 64
#define NODE_REFUSED_MAX 8
#define NODE_ORDERS_MAX 16 /* clients that wait for a snapshot */

struct node_log_mark {
    pc_index index;
    uint64_t bytes; /* of all entries applied up to it since the start */
};

struct node_newest {          /* the newest durable snapshot */
    struct pc_raft_base base; /* index 0 = none */
    struct pc_hash hash;
    uint32_t chunks;
    uint64_t bytes;
    uint64_t items;
    struct pc_blob *meta; /* encoded */
    pc_node_id from;      /* the peer that gave it; 0 = found at the start, or made here */
    bool is_damaged;      /* it cannot be loaded, and the log does not reach back far enough */
};

enum node_making_state { NODE_MAKING_NONE = 0, NODE_MAKING_ITEMS, NODE_MAKING_FINISH };

struct node_making {
    enum node_making_state state;
    uint64_t tag;
    struct pc_snapshot_meta meta;
    struct pc_blob *config; /* that meta.config points into */
    struct pc_wire_chunk chunk;
    uint64_t items;       /* given so far */
    struct pc_hash given; /* their digest */
    bool has_chunk;       /* the chunk waits for room */
    bool is_complete;     /* all items were given */
    uint32_t put_n, written_n;
    size_t ahead_bytes; /* put since the writer had nothing to do */
    pc_index seen;      /* applied at the last turn */
    uint64_t log_bytes; /* of snapshot.log_bytes, what it covers */
    bool is_ordered;
};

struct node_order { /* a client waits for a snapshot */
    uint64_t tag;
    pc_index at_least;
    struct pc_instant since;
};

struct node_snapshot {
    struct pc_raft_base applied; /* the last applied entry */
    struct pc_blob *config;      /* body of the newest applied CONFIG entry; NULL = none yet */
    pc_index config_index;
    struct node_newest newest;
    struct node_making making;
    uint64_t log_bytes;   /* applied behind the newest */
    uint64_t total_bytes; /* applied since the start */
    struct node_log_mark marks[NODE_LOG_MARKS];
    size_t marks_n;
    pc_index dropped_upto; /* what is certainly gone of the log */
    pc_index drop_asked_upto;
    bool is_dropping;                         /* more of it may be gone */
    pc_index damaged_at; /* of the log: the last of it that damage was met for, when applying */
    struct pc_hash refused[NODE_REFUSED_MAX]; /* a ring: what is in them is not their digest's */
    size_t refused_n;                         /* ever */
    bool is_ordered;
    struct node_order orders[NODE_ORDERS_MAX];
    size_t orders_n;
    struct pc_instant retry_at;
    uint64_t last_tag; /* of writes and reads */
};

struct node_load {
    bool is_on;
    struct pc_store *store;
    struct pc_snapshot_meta meta; /* config borrowed from newest.meta */
    uint64_t first_tag;           /* of the READ of chunk 0 */
    uint32_t asked, got;
    struct pc_instant retry_at; /* not asked for anything before this */
    bool is_lossy;              /* what cannot be read of it is done without */
    unsigned failed_n;          /* reads of the next chunk that the disk has refused */
};

enum node_fetch_state {
    NODE_FETCH_NONE = 0,
    NODE_FETCH_ASKING,
    NODE_FETCH_GETTING,
    NODE_FETCH_FINISH,
};

struct node_fetch {
    enum node_fetch_state state;
    pc_index at_least;
    pc_node_id peer; /* asked, or the source; 0 = none */
    uint64_t nonce;
    struct pc_instant act_at; /* ask next; or the end of the peer's time */
    bool asked_in_vain[NODE_PEERS_MAX];
    struct pc_blob *meta;
    struct pc_raft_base base;
    struct pc_hash hash;
    uint64_t bytes;
    uint64_t tag; /* of the write; 0 = none */
    bool has_begun;
    size_t ahead_bytes; /* put since the writer had nothing to do */
    uint32_t chunks, asked, put, written;
};

struct node_give {
    uint64_t tag; /* 0 = free */
    pc_node_id peer;
    uint64_t nonce;
    pc_index index;
    uint32_t chunk;
};

struct pc_node_snap *node_snap_add(struct pc_node *n, enum pc_node_snap_type type, uint64_t tag);

/* ---- node_snapshot.c */
void node_snapshot_applied(struct pc_node *n, const struct pc_entry *entry);
/* The store is that of a snapshot now. */
void node_snapshot_loaded(struct pc_node *n, const struct pc_snapshot_meta *meta);
/* The store is empty now. */
void node_snapshot_forget(struct pc_node *n);
void node_snapshot_take_newest(struct pc_node *n, const struct pc_node_snapshot *newest);
void node_snapshot_turn(struct pc_node *n);
/* Something else has to be written, or the store goes. */
void node_snapshot_give_up(struct pc_node *n, const char *why);
struct pc_instant node_snapshot_wake_at(const struct pc_node *n);
/* False when the event is not about the snapshot being made. */
bool node_snapshot_event(struct pc_node *n, const struct pc_node_snap_event *event);
void node_snapshot_drop_log(struct pc_node *n);
/* The disk was measured, and found below its soft mark. */
void node_snapshot_disk_is_low(struct pc_node *n);
void node_snapshot_log_dropped(struct pc_node *n, pc_index first);
void node_snapshot_destroy(struct pc_node *n);

/* ---- node_snapshot_order.c */
void node_order_request(struct pc_node *n, const struct pc_request *request);
void node_order_turn(struct pc_node *n); /* answers who has what was asked for, or waits too long */
/* The snapshot of entry `index`, which was being made, will not be. */
void node_order_given_up(struct pc_node *n, pc_index index, const char *why);
void node_order_fail_all(struct pc_node *n, enum pc_reply_status status);
struct pc_instant node_order_wake_at(const struct pc_node *n);
void node_order_info(const struct pc_node *n, struct pc_node_snapshot_info *out);

/* ---- node_snapshot_load.c */
bool node_load_is_on(const struct pc_node *n);
bool node_load_is_first(const struct pc_node *n); /* and there is nothing to read from yet */
/* Nothing on this disk has what comes next: only a snapshot of a peer does. */
bool node_load_is_waited_for(const struct pc_node *n);
bool node_load_may_wait(const struct pc_node *n); /* for one: there may be a peer that has it */
void node_load_begin(struct pc_node *n);          /* the newest one */
/* Goes on from what was loaded of it before (NULL: nothing), unless no load was begun. */
void node_load_adopt(struct pc_node *n, struct pc_node_preload *preload);
void node_load_turn(struct pc_node *n);
struct pc_instant node_load_wake_at(const struct pc_node *n);
/* The bytes of the snapshot with this hash are those that its hash says, and yet it cannot be
 * loaded: nobody's copy of it can. */
void node_load_refuse(struct pc_node *n, const struct pc_hash *hash);
/* The snapshot with this hash was refused, and is no good wherever it comes from. */
bool node_load_has_refused(const struct pc_node *n, const struct pc_hash *hash);
bool node_load_event(struct pc_node *n, const struct pc_node_snap_event *event);
unsigned node_load_percent(const struct pc_node *n);

/* ---- node_snapshot_fetch.c */
bool node_fetch_is_on(const struct pc_node *n);
void node_fetch_want(struct pc_node *n, pc_index at_least);
void node_fetch_turn(struct pc_node *n);
struct pc_instant node_fetch_wake_at(const struct pc_node *n);
void node_fetch_peer_changed(struct pc_node *n, pc_node_id peer);
void node_fetch_meta(struct pc_node *n, const struct pc_msg *msg);
void node_fetch_chunk(struct pc_node *n, const struct pc_msg *msg);
bool node_fetch_event(struct pc_node *n, const struct pc_node_snap_event *event);
void node_snapshot_text(const struct pc_node *n, char *out, size_t out_max);

/* ---- node_snapshot_give.c */
void node_give_ask(struct pc_node *n, const struct pc_msg *msg);
void node_give_get(struct pc_node *n, const struct pc_msg *msg);
bool node_give_event(struct pc_node *n, const struct pc_node_snap_event *event);

#endif
