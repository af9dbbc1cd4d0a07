/* node_catchup_int.h: entries for peers and from peers; a part of node_int.h.
 *
 *   node_catchup.c       a node that is far behind gets them from whoever has them
 *   node_entries_give.c  what peers are given, whatever they need it for
 *   node_give_pace.c     how fast */
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

/* The longest pause between two ranges that are given, to whomever. */
#define NODE_GIVE_PAUSE_US_MAX 20000
PC_STATIC_ASSERT(4 * NODE_QUESTIONS_MAX * NODE_GIVE_PAUSE_US_MAX < NODE_CATCHUP_ANSWER_MS * 1000,
    "several peers have their answers in time at the slowest pace");

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

/* How fast entries are given: node_give_pace.c. */
struct node_pace {
    uint64_t seq; /* a write whose sync is awaited, since: */
    struct pc_instant written_at;
    struct pc_instant stored_at; /* the last one that was awaited */
    uint64_t calm_us, busy_us; /* a write takes so long: while nothing is given, and while it is */
    uint64_t pause_us;         /* between two ranges */
    size_t last_slot;          /* of the peers: who was given the last range */
    bool gave;                 /* the last one at: */
    struct pc_instant gave_at;
    struct pc_instant judged_at;
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
/* What had to wait, as far as it is due. */
void node_entries_turn(struct pc_node *n);
struct pc_instant node_entries_wake_at(const struct pc_node *n);

/* ---- node_give_pace.c */
void node_pace_written(struct pc_node *n, uint64_t seq); /* as node_disk_written ... */
void node_pace_stored(struct pc_node *n, uint64_t seq);  /* ... and node_disk_stored */
void node_pace_given(struct pc_node *n, size_t slot);    /* a range is being loaded for it */
/* The next one is not loaded before; past: at once. */
struct pc_instant node_pace_next_at(const struct pc_node *n);
void node_pace_check(const struct pc_node *n);

#endif
