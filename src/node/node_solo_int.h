/* node_solo_int.h: the branch of a node that is alone. */
#ifndef PCACHE_NODE_SOLO_INT_H
#define PCACHE_NODE_SOLO_INT_H

#include "node_overlay_int.h"
#include "pcache/node.h"

/* Peers that refuse are called again at least every 5 s. */
#define NODE_SOLO_REFUSED_MS 15000

/* See node_solo.c. */
enum node_solo_state {
    NODE_SOLO_NONE = 0,
    NODE_SOLO_FOUND,     /* on disk at the start; the log is not applied as far as it is known */
    NODE_SOLO_RESUMABLE, /* ... and it is, to the base; nobody is served from the branch */
    NODE_SOLO_OPENING,   /* BEGIN is out */
    NODE_SOLO_OPEN,
    NODE_SOLO_CLOSING, /* records are out, no more come */
    NODE_SOLO_ENDING,  /* END is out */
};

/* A record that was found, or that is not WRITTEN yet. */
struct node_solo_record {
    uint64_t number;
    pc_ms stamp_ms;
    struct pc_blob *command;
    uint64_t seq; /* of the write that waits for it; 0 = none */
};

struct node_solo {
    enum node_solo_state state;
    uint8_t id[16];
    struct pc_branch_base base;
    struct node_overlay *overlay;
    bool serves; /* the overlay is what clients see, and the base must not move */
    bool heard;  /* a voter, since this branch began to open, or this process */
    /* records[at, at + n) in order of number */
    struct node_solo_record *records;
    size_t records_at, records_n, records_cap;
    size_t records_bytes;
    uint64_t last_number; /* of the last record made */
    pc_ms stamp_ms;       /* of it, or of the base */
    bool is_alone;
    struct pc_instant alone_since;
    struct pc_instant opened_at;
    struct pc_instant refused_until; /* a peer that refuses this node counts as heard */
    uint64_t drawn;                  /* ids */
};

/* ---- node_solo.c */
void node_solo_turn(struct pc_node *n);
void node_solo_event(struct pc_node *n, const struct pc_node_branch_event *event);
/* Takes what waits for a leader into the branch. False: there is no open one. */
bool node_solo_take_writes(struct pc_node *n);
/* Answers a GET. False: it is not the branch's to answer. */
bool node_solo_read(struct pc_node *n, const struct pc_request *request);
/* Nothing may change what the log's store shows. */
bool node_solo_holds(const struct pc_node *n);
/* Clients are served from a branch; then text says so. */
bool node_solo_is_open(const struct pc_node *n, char *text, size_t max);
void node_solo_status(const struct pc_node *n, struct pc_instant now, struct pc_node_solo *out);
struct pc_instant node_solo_wake_at(const struct pc_node *n);
void node_solo_destroy(struct pc_node *n);
void node_solo_check(const struct pc_node *n);

/* ---- node_solo_alone.c */
bool node_solo_is_alone(const struct pc_node *n);
/* This peer is linked to this node, or has spoken. */
void node_solo_heard(struct pc_node *n, pc_node_id id);
/* A peer refuses this node. It is there, then, and there may be a cluster around it that has
 * removed this node: that is all such a one ever hears. */
void node_solo_refused(struct pc_node *n);
/* SWIM has taken this. */
void node_solo_gossiped(struct pc_node *n, const struct pc_swim_event *swim);
/* Why a branch must end, open or not; why an open one must. NULL: it need not. */
const char *node_solo_why_close(const struct pc_node *n);
const char *node_solo_why_not_open(const struct pc_node *n);

/* ---- node_effects.c, node_read.c */
struct pc_node_branch *node_branch_add(struct pc_node *n, enum pc_node_branch_type type);
/* Puts what was found into the answer to a GET. */
void node_read_fill(struct pc_reply *reply, const struct pc_item *item, pc_ms ttl_ms);

/* ---- node_solo_close.c */
/* No new write comes in from now on; what is out is still answered. */
void node_solo_close(struct pc_node *n, const char *why);
/* Nothing is out: the file is closed. */
void node_solo_end(struct pc_node *n);
void node_solo_written(struct pc_node *n, uint64_t number);
void node_solo_failed(struct pc_node *n, pc_err err, const char *text);
void node_solo_note(struct pc_node *n, uint64_t what, const char *text);
void node_solo_mark(const struct pc_node *n, struct pc_reply *reply);
struct node_solo_record *node_solo_record_add(struct pc_node *n);
void node_solo_records_clear(struct pc_node *n);
struct pc_node_branch *node_solo_effect(struct pc_node *n, enum pc_node_branch_type type);

/* ---- node_solo_found.c */
/* What a start goes by when a branch was found: more may be known committed by it. */
struct node_solo_start {
    struct pc_node_restored restored;
    struct pc_raft_base base;
};
/* Takes the branch over, if there is one. The result is `restored`, or *start. */
const struct pc_node_restored *node_solo_restore(
    struct pc_node *n, const struct pc_node_restored *restored, struct node_solo_start *start);
/* The log is applied as far as it is known: does the branch that was found fit it? */
void node_solo_judge_found(struct pc_node *n);

#endif
