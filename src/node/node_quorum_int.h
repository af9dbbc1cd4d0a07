/* node_quorum_int.h: whether a quorum can be reached, and how old what is here may be; a part of
 * node_int.h. The functions are node_quorum.c's. */
#ifndef PCACHE_NODE_QUORUM_INT_H
#define PCACHE_NODE_QUORUM_INT_H

#include "pcache/node.h"

struct node_told {             /* what a leader says of what is committed */
    struct pc_instant sent_at; /* the last word of it; zero = none yet */
    int64_t least[2];          /* the least that words were behind this node's clock: in the window
                                  of now, and in the one before; INT64_MAX = there were none */
    pc_ms window_ms;           /* of the window have passed */
    pc_ms heard_ms;            /* this node's clock at the last word; 0 = there was none */
};

/* Makes `now` the node's time: the next event comes then. */
void node_quorum_pass(struct pc_node *n, struct pc_instant now);
/* Raft was stepped with this message: perhaps a leader has told what is committed. */
void node_quorum_told(struct pc_node *n, const struct pc_raft_msg *msg);
void node_quorum_turn(struct pc_node *n);

#endif
