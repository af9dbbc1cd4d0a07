/* node_branch.h: branches: what a node does alone, while no other voter can be heard
 * (src/node/node_solo.c).
 *
 * A branch lies above the state of the log, which stands still below it. Its writes are records in
 * a file of their own, each durable before it is answered or seen; nothing of it ever reaches the
 * log. When another voter is there again the file is closed, and what is read is the log's state:
 * people decide what of the file is put into the cluster. At most one branch is open. */
#ifndef PCACHE_NODE_BRANCH_H
#define PCACHE_NODE_BRANCH_H

#include "pcache/blob.h"
#include "pcache/err.h"
#include "pcache/limits.h"
#include "pcache/time.h"
#include "pcache/types.h"

struct pc_branch_base {
    pc_index index; /* the last entry applied */
    pc_term term;
    struct pc_hash chain;
};

/* One write of a branch. Its condition, if it has one, was judged when the record was made: it
 * held. What it did follows from the base and the records before. */
struct pc_branch_record {
    uint64_t number;         /* 1, 2, ... without gaps */
    pc_ms stamp_ms;          /* branch clock, ascending: what the command is applied with */
    struct pc_blob *command; /* as pc_wire_encode_command makes it */
    bool has_before;         /* the base had a visible item under the key ... */
    pc_index before_version; /* ... of this version; 0 = none */
    pc_ms before_deadline_ms;
    struct pc_blob *before; /* its value: with the first record of a key, and perhaps some after it;
                               else NULL */
    char before_type[PC_CONTENT_TYPE_BYTES_MAX + 1];
    uint64_t boot; /* request id: node is that of the file, seq is number */
};

/* Versions of a branch: that of what record `number` changed is
 *
 *     PC_BRANCH_VERSION + (the first 16 bits of the branch's id << 36) + 2 * number
 *
 * No entry of a log has such a number, nor, but for one pair of branches in 65,536, another branch:
 * what a client read in one branch must not pass for what stands in the next. */
#define PC_BRANCH_VERSION (UINT64_C(1) << 52)
#define PC_BRANCH_VERSION_SHIFT 36

/* Work for the thread of the branch file, in order; answered by PC_NODE_BRANCH events. */
enum pc_node_branch_type {
    /* A file for branch `id`; or, when it is the one that was found at the start, it is gone on
     * with. Then BEGUN, or FAILED: there is no new one; that which was found is as before with
     * PC_E_NO_SPACE, and with any other error END comes. A file of another branch that stands in
     * the way is closed first. */
    PC_NODE_BRANCH_BEGIN = 1,
    /* A record; then WRITTEN, once for several. After FAILED no record that was not WRITTEN is
     * written any more, nor answered for: END comes next. */
    PC_NODE_BRANCH_PUT,
    /* Nothing more comes: the file is closed and kept. Then ENDED, or FAILED: it stays as it is,
     * and is closed at the next start or BEGIN. Also of a branch found at the start that was not
     * gone on with. */
    PC_NODE_BRANCH_END,
};

struct pc_node_branch {
    enum pc_node_branch_type type;
    uint8_t id[16];
    uint8_t history[16];            /* BEGIN */
    struct pc_branch_base base;     /* BEGIN */
    struct pc_branch_record record; /* PUT; its blobs are owned by the effects */
};

enum pc_node_branch_event_type {
    PC_NODE_BRANCH_BEGUN = 1, /* the file is durable, under its name */
    PC_NODE_BRANCH_WRITTEN,   /* number: durable up to this record */
    PC_NODE_BRANCH_ENDED,     /* closed, durably */
    /* err, text. PC_E_NO_SPACE for a PUT: nothing of what was not WRITTEN is in the file; any other
     * error: perhaps. */
    PC_NODE_BRANCH_FAILED,
};

struct pc_node_branch_event {
    enum pc_node_branch_event_type type;
    uint64_t number;  /* WRITTEN */
    pc_err err;       /* FAILED */
    const char *text; /* FAILED; may be NULL */
};

/* A branch that stood open on disk. Borrowed during pc_node_new. */
struct pc_node_branch_found {
    uint8_t id[16];
    struct pc_branch_base base;
    const struct pc_branch_record *records; /* 1..records_n; `before` is not looked at */
    size_t records_n;
};

/* "off": not switched on. "waiting": there is no branch. "opening" "open". "resumable": one was
 * found at the start, and is gone on with unless a voter is heard first. "closing". */
struct pc_node_solo {
    const char *state;
    uint8_t id[16]; /* of the branch; zero when there is none, as all that follows */
    pc_index base;
    uint64_t records; /* durable ones */
    pc_ms open_ms;    /* since it was opened or gone on with; 0 while it is not */
    bool is_due;      /* this node is alone: in due_in_ms a branch opens, or is gone on with */
    pc_ms due_in_ms;
};

#endif
