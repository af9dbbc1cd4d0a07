/* raft_craft.h: messages of peers that may say anything, built near the edges of what the receiver
 * has: indexes around the ends of its log, terms around its own. Each has been through the wire's
 * encoder and decoder: what arrives is what an authenticated peer can make arrive. */
#ifndef PC_FUZZ_RAFT_CRAFT_H
#define PC_FUZZ_RAFT_CRAFT_H

#include "fuzz/kit/fuzz.h"
#include "pcache/raft.h"
#include "pcache/wire.h"

#define CRAFT_SELF 1  /* the receiver; its peers are 2, 3, ... */
#define CRAFT_PEERS 4 /* of which some may be no voters */

/* Operations with such a code, or a higher one, came later than the others: the inputs that were
 * found before keep their meaning. The message of one is SNAPSHOT. */
#define CRAFT_CODE_NEW 224

/* Fills *out from one operation: a: type and sender, b: term and index, c: flags, d: numbers.
 * False when the wire takes no such message. Ownership: pc_msg_clear. */
bool craft_raft_msg(const struct pc_raft *raft, const struct fuzz_op *op, struct pc_msg *out);

/* Sends a message through encoder and decoder; *msg is released. False when it does not decode. */
bool craft_through_wire(struct pc_msg *msg, struct pc_msg *out);

/* What an install is of: an entry of the log above commit, or one of a log that nobody has seen. */
struct pc_raft_base craft_base(const struct pc_raft *raft, const struct fuzz_op *op);

/* The newest config at or below `upto`, which is in memory; the committed one when upto is 0. */
struct pc_raft_config craft_config_at(const struct pc_raft *raft, pc_index upto);

/* The config in force with one member made a voter, a learner or nobody, as the body of an entry.
 * False when nobody would vote. */
bool craft_next_config(const struct pc_raft *raft, const struct fuzz_op *op, struct pc_blob **body);

/* Entries to offer: most of them follow on the last one, which is `snap` when it is not in memory.
 */
void craft_offer(const struct pc_raft *raft, const struct fuzz_op *op,
    const struct pc_raft_base *snap, struct pc_entries *out);

/* The body of an entry: an encoded command on one of a few keys, or bytes that are none. */
struct pc_blob *craft_body(enum pc_entry_kind kind, uint8_t what, uint32_t number);

#endif
