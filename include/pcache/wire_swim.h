/* wire_swim.h: the bytes of a SWIM message, before sealing.
 *
 *     message = map { 0: type, 1: from, 2: generation, 3: nonce, 4: target id, 5: target address,
 *                     6: page, 7: pages, 8: [update, ...] }
 *     update  = [ id, name, address, generation, incarnation, state, accuser ]
 *     address = bin of 0 (none), 6 (IPv4) or 18 bytes (IPv6): the number, then the port, both
 *               in network order; the shortest that holds it
 *
 * Keys rise; what is zero or empty is left out. A later version may add keys above 8 and fields
 * behind the last one of an update: they are read over. */
#ifndef PCACHE_WIRE_SWIM_H
#define PCACHE_WIRE_SWIM_H

#include "pcache/swim.h"

/* Appends the encoding of `msg`. It takes at most PC_SWIM_HEAD_BYTES_MAX, and for each update
 * PC_SWIM_UPDATE_BYTES_MAX less what its name is shorter than PC_NAME_BYTES_MAX.
 * Returns PC_OK, or PC_E_TOO_BIG with `out` as it was when that is above
 * PC_GOSSIP_PACKET_BYTES_MAX. */
PC_MUST_CHECK pc_err pc_wire_encode_swim(const struct pc_swim_msg *msg, struct pc_buf *out);

/* Decodes bytes of a peer. What it accepts has a known type, a sender, names of [A-Za-z0-9._-],
 * states of the enum, and page < pages in a PUSH or PULL. Returns PC_OK or PC_E_MALFORMED. */
PC_MUST_CHECK pc_err pc_wire_decode_swim(struct pc_slice bytes, struct pc_swim_msg *out);

#endif
