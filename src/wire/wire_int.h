/* wire_int.h: what the files of wire/ share. */
#ifndef PCACHE_WIRE_INT_H
#define PCACHE_WIRE_INT_H

#include "pcache/mpack.h"
#include "pcache/wire.h"

/* The fields of a raft message, as values behind the message type (wire_raft.c). */
void wire_raft_encode(const struct pc_raft_msg *m, struct pc_mpack_writer *w);
/* Reads what wire_raft_encode wrote. from and to are set by the caller.
 * Returns PC_OK or PC_E_NOMEM; malformed bytes leave the reader failed. */
pc_err wire_raft_decode(struct pc_mpack_reader *r, struct pc_raft_msg *m);

#endif
