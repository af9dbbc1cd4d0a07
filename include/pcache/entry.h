/* entry.h: one entry of the replicated log, in memory. */
#ifndef PCACHE_ENTRY_H
#define PCACHE_ENTRY_H

#include "pcache/blob.h"
#include "pcache/types.h"

enum pc_entry_kind {
    PC_ENTRY_NOOP = 1,    /* first entry of a leader's term; empty body                   */
    PC_ENTRY_CONFIG = 2,  /* the voters; body: wire.h pc_wire_encode_config               */
    PC_ENTRY_COMMAND = 3, /* a store command; body: wire.h pc_wire_encode_command         */
};

/*   chain(i) = BLAKE2b-128( chain(i-1) || index || term || stamp_ms || req || kind || body )
 *
 * so two logs that agree on the chain at an index agree on everything before it. chain(0) is 0. */
struct pc_entry {
    pc_index index;
    pc_term term;
    pc_ms stamp_ms; /* cluster time given by the leader; never decreases along the log */
    struct pc_request_id req;
    struct pc_hash chain;
    struct pc_blob *body; /* NULL = empty */
    enum pc_entry_kind kind;
};

/* The chain value of `entry` when the entry before it has `prev`. entry->chain is not read. */
struct pc_hash pc_entry_chain(const struct pc_hash *prev, const struct pc_entry *entry);

/* Compares all 128 bits. */
/* A run of entries of one term: from `first` up to the next run's first - 1. */
struct pc_term_run {
    pc_index first;
    pc_term term;
};

/* Are the two the same 128 bits? */
bool pc_hash_equal(const struct pc_hash *a, const struct pc_hash *b);

/* Copies *from into *to and takes one more reference to the body. */
void pc_entry_copy(struct pc_entry *to, const struct pc_entry *from);

/* Gives the body's reference up and zeroes the entry. */
void pc_entry_clear(struct pc_entry *entry);

/* Bytes an entry counts for in memory and message budgets: its body plus a fixed overhead. */
size_t pc_entry_bytes(const struct pc_entry *entry);

/* A run of entries, owned. Zero-initialised is empty. */
struct pc_entries {
    struct pc_entry *v;
    size_t n;
    size_t cap;
};

void pc_entries_push(struct pc_entries *entries, const struct pc_entry *entry); /* copies, refs */
/* The same with the caller's reference to the body: *entry is not to be cleared. */
void pc_entries_take(struct pc_entries *entries, const struct pc_entry *entry);
void pc_entries_clear(struct pc_entries *entries); /* frees everything */

/* A run of entries as they are in the log and on the bus, one encoding (wire_entry.h) behind the
 * other: to be passed on, not to be looked at. Owned. Zero-initialised is empty. */
struct pc_raw_entries {
    struct pc_buf bytes;
    pc_index first; /* 0 = empty */
    size_t n;
};

void pc_raw_entries_clear(struct pc_raw_entries *raw); /* frees everything */

#endif
