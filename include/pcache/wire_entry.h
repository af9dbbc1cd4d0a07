/* wire_entry.h: a log entry <-> bytes. The bus and the log use the same encoding, so an entry has
 * exactly one form outside memory.
 *
 *   array of 9: index, term, stamp_ms, req.node, req.boot, req.seq, kind, chain (bin 16),
 *   body (bin)
 *
 * Every number is in its shortest form, so equal entries have equal bytes. */
#ifndef PCACHE_WIRE_ENTRY_H
#define PCACHE_WIRE_ENTRY_H

#include "pcache/entry.h"
#include "pcache/mpack.h"

/* Appends the encoding of `entry`: its body plus at most PC_ENTRY_OVERHEAD_BYTES_MAX bytes.
 * Requires: a body of at most PC_COMMAND_BYTES_MAX bytes. */
void pc_wire_encode_entry(const struct pc_entry *entry, struct pc_buf *out);

/* Decodes exactly one entry; the body is copied into a blob of its own. The chain is taken as it
 * stands: who knows the entry before compares it with pc_entry_chain.
 * Ownership: *out is the caller's, pc_entry_clear.
 * Returns PC_OK; PC_E_MALFORMED (not canonical, index 0, a term out of 1..PC_TERM_MAX, a stamp
 *   over PC_CLOCK_MS_MAX, kind 0, trailing bytes, a body over PC_COMMAND_BYTES_MAX); PC_E_VERSION
 *   (all of that is well, but the kind is not known here: pc_wire_entry_kind tells it); PC_E_NOMEM.
 */
PC_MUST_CHECK pc_err pc_wire_decode_entry(struct pc_slice bytes, struct pc_entry *out);
/* The kind that an encoded entry says it is of, known or not; 0 = malformed bytes. */
uint32_t pc_wire_entry_kind(struct pc_slice bytes);
/* The same for the next value of `reader`, whatever follows it; malformed bytes fail the reader. */
PC_MUST_CHECK pc_err pc_wire_read_entry(struct pc_mpack_reader *reader, struct pc_entry *out);

#endif
