/* wire.h: structs <-> bytes for what travels between nodes and what entries carry.
 * Byte layouts: docs/PROTOCOL.md. Decoders bound every length before they allocate. */
#ifndef PCACHE_WIRE_H
#define PCACHE_WIRE_H

#include "pcache/command.h"
#include "pcache/raft.h"

/* ---- entry bodies */

/* Appends the canonical encoding of a command. */
void pc_wire_encode_command(const struct pc_command *command, struct pc_buf *out);
/* Slices of *out are borrowed from `bytes`. Returns PC_OK, PC_E_MALFORMED, PC_E_TOO_BIG. */
PC_MUST_CHECK pc_err pc_wire_decode_command(struct pc_slice bytes, struct pc_command *out);

/* The members of a cluster, as entry 1 names them: body of a CONFIG entry. */
struct pc_cluster_member {
    pc_node_id id;
    char name[PC_NAME_BYTES_MAX + 1];
};
struct pc_cluster_config {
    uint8_t history[16]; /* random id of this log's history; all zero = none */
    size_t members_n;
    struct pc_cluster_member members[PC_VOTERS_MAX]; /* the voters, ascending by name */
};
void pc_wire_encode_config(const struct pc_cluster_config *config, struct pc_buf *out);
PC_MUST_CHECK pc_err pc_wire_decode_config(struct pc_slice bytes, struct pc_cluster_config *out);

/* ---- messages between nodes */
enum pc_msg_type {
    PC_MSG_RAFT = 1,
    PC_MSG_FORWARD = 2,         /* commands for the leader's log */
    PC_MSG_FORWARD_REFUSED = 3, /* these were not proposed: the sender may try elsewhere */
    PC_MSG_FORM = 4,            /* entry 1, from the member that formed the cluster */
    PC_MSG_FETCH = 5,           /* entries that the sender has lost */
    PC_MSG_ENTRIES = 6,         /* the answer */
};

/* Why forwarded commands were not proposed. */
enum pc_refusal {
    PC_REFUSAL_NONE = 0,
    PC_REFUSAL_NOT_LEADER = 1, /* or about to hand leadership over: try again */
    PC_REFUSAL_LOG_FULL = 2,   /* no space on the leader's disk */
};

struct pc_forward_item {
    uint64_t seq;         /* of the request id {from, boot, seq} */
    uint32_t attempt;     /* echoed in a refusal, so that a late one is recognised */
    struct pc_blob *body; /* encoded command; owned by the message; NULL in a refusal */
};

struct pc_fetch { /* FETCH: first and last; ENTRIES: all of it */
    uint64_t nonce; /* echoed */
    pc_index first;
    pc_index last;          /* at most this one */
    pc_term term;           /* of the answering node */
    bool leads;             /* it is the leader of that term, and able to commit */
    pc_index has_last;      /* what its log ends with; 0 = it cannot say */
    pc_index commit;        /* what it knows committed */
    struct pc_entries v;    /* ENTRIES: first, first + 1, ...; may be empty; owned by the message */
};

struct pc_msg {
    enum pc_msg_type type;
    pc_node_id from;
    pc_node_id to;
    struct pc_raft_msg raft; /* RAFT */
    struct {                 /* FORWARD, FORWARD_REFUSED */
        uint64_t boot;
        enum pc_refusal reason;        /* FORWARD_REFUSED */
        struct pc_forward_item *items; /* owned */
        size_t items_n;
    } forward;
    struct pc_entry form; /* FORM; owned */
    struct pc_fetch fetch; /* FETCH, ENTRIES */
};

/* Releases what the message owns; it may be filled in again. */
void pc_msg_clear(struct pc_msg *msg);

/* Appends the encoding. Requires: at most PC_FRAME_BYTES_MAX come out (senders bound batches). */
void pc_wire_encode_msg(const struct pc_msg *msg, struct pc_buf *out);
/* `from` and `to` are what the authenticated connection says; they are not in the bytes.
 * Ownership: *out is the caller's, pc_msg_clear. Returns PC_OK, PC_E_MALFORMED, PC_E_TOO_BIG,
 * PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_wire_decode_msg(
    struct pc_slice bytes, pc_node_id from, pc_node_id to, struct pc_msg *out);

#endif
