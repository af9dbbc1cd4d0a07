/* node_overlay_int.h: what a branch has changed, as a layer above a store that stands still. */
#ifndef PCACHE_NODE_OVERLAY_INT_H
#define PCACHE_NODE_OVERLAY_INT_H

#include "pcache/node_branch.h"
#include "pcache/store.h"

struct node_overlay;

/* Of the branch `id`, and empty: what is seen is the base. Never NULL. */
struct node_overlay *node_overlay_new(const uint8_t hash_seed[16], const uint8_t id[16]);
void node_overlay_delete(struct node_overlay *o); /* NULL is allowed */

/* Applies record `number` of the branch, the next one. Its condition counts as judged. The base,
 * the same for every call, is looked at and stays as it is.
 * Requires: number is that of the last call + 1, from 1; stamp_ms >= the last one, and not before
 *   the base's; a command that came through pc_wire_decode_command, and is no TICK. */
void node_overlay_apply(struct node_overlay *o, const struct pc_store *base, uint64_t number,
    pc_ms stamp_ms, const struct pc_command *command, struct pc_outcome *outcome);

/* What the view shows under `key` at now_ms, which is not before the last stamp: the branch's item,
 * or the base's when the branch has not touched the key. False: nothing. Borrowed until either
 * changes. */
bool node_overlay_get(const struct node_overlay *o, const struct pc_store *base,
    struct pc_slice key, pc_ms now_ms, struct pc_item *out);

/* The branch, not the base, says what is under this key. */
bool node_overlay_has(const struct node_overlay *o, struct pc_slice key);

/* The last record applied; 0 = none. */
uint64_t node_overlay_number(const struct node_overlay *o);

/* The item of a base that is visible at now_ms, whatever the store's own time. */
bool node_overlay_base_get(
    const struct pc_store *base, struct pc_slice key, pc_ms now_ms, struct pc_item *out);

/* Of what record `number` of the branch `id` has changed. */
pc_index node_overlay_version(const uint8_t id[16], uint64_t number);

void node_overlay_check(const struct node_overlay *o);

#endif
