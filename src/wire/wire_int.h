/* wire_int.h: what the files of wire/ share. */
#ifndef PCACHE_WIRE_INT_H
#define PCACHE_WIRE_INT_H

#include "pcache/mpack.h"
#include "pcache/wire.h"

/* The fields of a raft message, as values behind the message type (wire_raft.c). */
void wire_raft_encode(const struct pc_raft_msg *m, uint8_t protocol, struct pc_mpack_writer *w);
/* Reads what wire_raft_encode wrote. from and to are set by the caller.
 * Returns PC_OK or PC_E_NOMEM; malformed bytes leave the reader failed. */
pc_err wire_raft_decode(struct pc_mpack_reader *r, uint8_t protocol, struct pc_raft_msg *m);

/* The protocol that a body says it came with; 0 = it is in one of the forms known here. */
uint8_t wire_later_protocol(struct pc_slice body);

/* What a SNAP_* message has behind its type (wire_snapshot_msg.c), and how many values that is. */
uint32_t wire_snapshot_msg_fields(enum pc_msg_type type);
void wire_snapshot_msg_encode(const struct pc_msg *msg, struct pc_mpack_writer *w);
/* Returns PC_OK or PC_E_NOMEM; malformed bytes leave the reader failed. */
pc_err wire_snapshot_msg_decode(struct pc_mpack_reader *r, struct pc_msg *msg);

/* Messages about members (wire_member.c). encode writes the whole message, decode reads what
 * follows the type; malformed bytes leave the reader failed. */
void wire_member_encode(const struct pc_msg *msg, struct pc_mpack_writer *w);
void wire_member_decode(struct pc_mpack_reader *r, struct pc_msg *msg);
uint32_t wire_member_arity(enum pc_msg_type type);

#endif
