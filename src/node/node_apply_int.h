/* node_apply_int.h: entries on their way to the store; a part of node_int.h. */
#ifndef PCACHE_NODE_APPLY_INT_H
#define PCACHE_NODE_APPLY_INT_H

#include "pcache/node.h"

/* Committed entries that were read before there was a node: v[head..n). */
struct node_early {
    struct pc_entries entries;
    size_t head;
};

void node_apply(struct pc_node *n);
void node_apply_loaded(struct pc_node *n, const struct pc_entries *entries);
/* Takes entries over that then need not be loaded. NULL: there are none. */
void node_apply_adopt(struct pc_node *n, struct pc_node_preload *preload);
struct pc_instant node_apply_wake_at(const struct pc_node *n);
/* Forgets entries that were taken over. */
void node_apply_destroy(struct pc_node *n);

#endif
