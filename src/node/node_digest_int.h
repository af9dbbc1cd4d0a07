/* node_digest_int.h: what states are compared by (node_digest.c); a part of node_int.h. */
#ifndef PCACHE_NODE_DIGEST_INT_H
#define PCACHE_NODE_DIGEST_INT_H

#include "pcache/node.h"

#define NODE_DIGEST_EVERY 1024 /* and the first entry of each second */
#define NODE_DIGEST_MARKS 256

struct node_digest_mark {
    pc_index index;
    struct pc_hash hash;
};

struct node_digest {
    struct node_digest_mark marks[NODE_DIGEST_MARKS]; /* a ring */
    size_t marks_n;                                   /* ever made since it was empty */
    uint64_t second;                                  /* of the last applied entry's stamp */
    pc_index told_applied;                            /* applied at the last report */
    pc_index back_at; /* the state is made anew up to this entry at least; 0 = it is not */
    bool wants_peer;  /* of a peer's snapshot, not of what is on this disk */
    unsigned tries;   /* so often a majority held another state, and none has held this one since */
    uint64_t alarms, resyncs, passes;
    char text[192]; /* who differs; "" = nobody */
};

struct node_peer_digest {
    pc_index told_index; /* 0 = nothing that waits to be compared */
    struct pc_hash told;
    bool is_known;
    pc_index index;      /* compared last */
    struct pc_hash diff; /* theirs less ours */
};

void node_digest_applied(struct pc_node *n); /* one more entry */
void node_digest_recv(struct pc_node *n, const struct pc_msg *msg);
/* About once a second: looks at some memory, compares, tells. */
void node_digest_report(struct pc_node *n);
void node_digest_turn(struct pc_node *n);
/* The items in memory are not what the digest says: makes the state anew, unless that is under way
 * or another one is about to come. */
void node_digest_unsound(struct pc_node *n);
/* The state is made anew: what there is of it is not for clients. */
bool node_digest_is_coming_back(const struct pc_node *n);
/* The log is not to be replayed: it led to another state than that of the others. */
bool node_digest_waits_for_peer(const struct pc_node *n);
void node_digest_text(const struct pc_node *n, char *out, size_t max);

#endif
