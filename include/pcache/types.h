/* types.h: the scalars that have a meaning of their own. */
#ifndef PCACHE_TYPES_H
#define PCACHE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t pc_term;    /* Raft term; 0 = before the first election                       */
typedef uint64_t pc_index;   /* log index; the first entry is 1; 0 = none                      */
typedef uint64_t pc_node_id; /* random identity on the data volume; 0 = none                   */
typedef uint64_t pc_ms;      /* a duration, or cluster time / wall time since the Unix epoch   */

/* Names one client command for ever: which node took it, in which of its lives, and its number
 * there. All zero = none. */
struct pc_request_id {
    pc_node_id node;
    uint64_t boot; /* the node's generation, grows with every start */
    uint64_t seq;  /* from 1 */
};

/* 128 bits of BLAKE2b. */
struct pc_hash {
    uint8_t b[16];
};

#endif
