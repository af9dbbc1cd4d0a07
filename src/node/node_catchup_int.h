/* node_catchup_int.h: entries for peers and from peers; a part of node_int.h.
 *
 *   node_catchup.c       a node that is far behind gets them from whoever has them
 *   node_entries_give.c  what peers are given, whatever they need it for */
#ifndef PCACHE_NODE_CATCHUP_INT_H
#define PCACHE_NODE_CATCHUP_INT_H

#include "pcache/node.h"

/* Questions for entries that a peer may have open here. More are dropped: it asks again. */
#define NODE_QUESTIONS_MAX 3

/* Ranges that are on their way, or wait for one before them. */
#define NODE_CATCHUP_RANGES 32
/* ... of one peer. Its answers together never fill the queue of a link, whatever their size. */
#define NODE_CATCHUP_WINDOW NODE_QUESTIONS_MAX
PC_STATIC_ASSERT(
    NODE_CATCHUP_WINDOW *(PC_APPEND_BYTES_MAX + PC_ENTRY_BYTES_MAX + 4096) < PC_BUS_QUEUE_BYTES_MAX,
    "what a peer is asked for at a time fits the queue of a link");
/* Entries that came too early, and those asked for by estimate. */
#define NODE_CATCHUP_BYTES_MAX (16 * 1024 * 1024)
/* Entries offered that the leader has not vouched for yet: they stay in memory. */
#define NODE_CATCHUP_UNVOUCHED_BYTES_MAX (32 * 1024 * 1024)
/* Ranges taken into the log in one turn: hashing them takes about a millisecond each. */
#define NODE_CATCHUP_OFFERS_MAX 4
/* The first range of an attempt, while it is not known how large the entries are. */
#define NODE_CATCHUP_FIRST_ENTRIES 64
/* A peer has this long to answer; then it is asked no more in this attempt. */
#define NODE_CATCHUP_ANSWER_MS 300
/* The log has not grown for so long: the leader is to send. */
#define NODE_CATCHUP_STALL_MS 500
/* Between two attempts. */
#define NODE_CATCHUP_PAUSE_MS 2000

struct node_question {
    uint64_t nonce;
    pc_index first, last;
    pc_term term;    /* of which this node was the leader at the question; 0 = of none */
    pc_index commit; /* known committed at the question */
};

struct node_range {
    pc_index first, last;
    pc_node_id peer; /* asked for it now; 0 = nobody */
    uint64_t nonce;
    struct pc_instant until;
    pc_node_id giver;      /* of the newest of `got` */
    struct pc_entries got; /* first, first + 1, ... */
    size_t got_bytes;
};

struct node_catchup {
    pc_index until; /* entries up to there are wanted from peers; 0 = none are */
    pc_index lack;  /* how many that were when `until` was chosen */
    struct node_range ranges[NODE_CATCHUP_RANGES]; /* in order, without gaps */
    size_t ranges_n;
    size_t held_bytes;  /* of all `got` */
    size_t entry_bytes; /* of late; 0 = not known */
    uint64_t nonce;
    pc_index end, vouched; /* of the log; of it, known committed: as of the last turn */
    struct pc_instant grew_at;
    struct pc_instant begin_at; /* no attempt before */
    bool has_more;              /* than a turn may take */
};

/* ---- node_catchup.c */
void node_catchup_turn(struct pc_node *n);
/* An answer; to a question of the repair when it is to none of the catch-up. */
void node_catchup_entries(struct pc_node *n, const struct pc_msg *msg);
void node_catchup_peer_changed(struct pc_node *n, pc_node_id peer);
struct pc_instant node_catchup_wake_at(const struct pc_node *n);
void node_catchup_check(const struct pc_node *n);
void node_catchup_destroy(struct pc_node *n);

/* ---- node_entries_give.c */
void node_entries_asked(struct pc_node *n, const struct pc_msg *msg);
/* LOADED, for a peer: its tag says for which slot of the peers. */
void node_entries_loaded(struct pc_node *n, const struct pc_node_event *event);

#endif
