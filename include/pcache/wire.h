/* wire.h: structs <-> bytes for what travels between nodes and what entries carry.
 * Byte layouts: docs/PROTOCOL.md. Decoders bound every length before they allocate. */
#ifndef PCACHE_WIRE_H
#define PCACHE_WIRE_H

#include "pcache/command.h"
#include "pcache/disk.h"
#include "pcache/mpack.h"
#include "pcache/raft.h"
#include "pcache/store.h"

/* ---- entry bodies */

/* Appends the canonical encoding of a command. Requires: what command.h says of it. */
void pc_wire_encode_command(const struct pc_command *command, struct pc_buf *out);
/* Slices of *out are borrowed from `bytes`. Returns PC_OK; PC_E_MALFORMED; PC_E_VERSION: a form
 * that came with a later protocol. */
PC_MUST_CHECK pc_err pc_wire_decode_command(struct pc_slice bytes, struct pc_command *out);
/* The protocol that the form of an encoded command came with: one with a condition has a form of
 * its own, and what comes later says its number. O(1); PC_PROTOCOL_FIRST for other bytes. */
uint8_t pc_wire_command_protocol(struct pc_slice body);

/* What a member is to be: whether it is, `votes` says. The target number of voters is that of the
 * names with WANT_VOTER. */
enum pc_member_want {
    PC_WANT_VOTER = 0,
    PC_WANT_REPLICA = 1, /* has all the data, and never votes */
    PC_WANT_SPARE = 2,   /* as a replica, until a voter dies */
};

/* The members of a cluster: body of a CONFIG entry. A name stands twice only while one identity
 * replaces another. Then at least the old one votes; where both do, the old one is the one whose
 * `want` is not WANT_VOTER. */
struct pc_cluster_member {
    pc_node_id id; /* 0 = invited, has not come yet */
    char name[PC_NAME_BYTES_MAX + 1];
    enum pc_member_want want;
    bool votes; /* implies id != 0 */
};
struct pc_cluster_config {
    uint8_t history[16]; /* random id of this log's history; all zero = none */
    size_t members_n;    /* 1..PC_CLUSTER_MEMBERS_MAX, of which 1..PC_VOTERS_MAX vote */
    struct pc_cluster_member members[PC_CLUSTER_MEMBERS_MAX]; /* ascending by (name, id) */
};
/* Whether members are in order, ids distinct where not 0, and their numbers within bounds. */
bool pc_wire_config_is_valid(const struct pc_cluster_config *config);
/* Requires: pc_wire_config_is_valid. */
void pc_wire_encode_config(const struct pc_cluster_config *config, struct pc_buf *out);
/* Returns PC_OK (then it is valid); PC_E_MALFORMED; PC_E_VERSION as above. */
PC_MUST_CHECK pc_err pc_wire_decode_config(struct pc_slice bytes, struct pc_cluster_config *out);
/* The protocol that it is written in: one member who does not vote, or is wanted as something else,
 * takes PC_PROTOCOL_MEMBERS. PC_PROTOCOL_FIRST for other bytes. */
uint8_t pc_wire_config_protocol(struct pc_slice body);
/* The protocol that a program has to speak to read this entry. */
uint8_t pc_wire_entry_protocol(const struct pc_entry *entry);
/* The voters, and as learners the others that have an id; out->index is left alone. False when
 * `body` does not decode. Serves as pc_raft_opts.config_of. */
bool pc_wire_raft_config(struct pc_slice body, struct pc_raft_config *out);

/* ---- snapshots: a meta, and chunks of items in any order */

/* What a snapshot is of. The store's stamp is base.stamp_ms. */
struct pc_snapshot_meta {
    uint8_t history[16];
    struct pc_raft_base base; /* the last entry in it */
    pc_index config_index;    /* of the newest CONFIG entry in it */
    struct pc_slice config;   /* its body: 1..PC_SNAPSHOT_CONFIG_BYTES_MAX bytes; borrowed */
    struct pc_hash digest;    /* of the store */
    uint64_t items;
};

/* Appends the encoding. Requires: base.index >= 1; 1 <= config_index <= base.index; a config within
 * its bound that pc_wire_decode_config takes. */
void pc_wire_encode_snapshot_meta(const struct pc_snapshot_meta *meta, struct pc_buf *out);
/* meta->config is borrowed from `bytes`. Returns PC_OK or PC_E_MALFORMED. */
PC_MUST_CHECK pc_err pc_wire_decode_snapshot_meta(
    struct pc_slice bytes, struct pc_snapshot_meta *out);

/* Builds one chunk: begin, add while there is room, end. Zero-initialised before the first begin;
 * begin may follow end and keeps the memory; the owner calls pc_buf_destroy(&chunk->bytes). */
struct pc_wire_chunk {
    struct pc_buf bytes; /* room for the array's head, then items */
    uint32_t items_n;
};

void pc_wire_chunk_begin(struct pc_wire_chunk *chunk);
/* Adds an item. Returns true when there is room for another one: the chunk has less than
 * PC_SNAPSHOT_CHUNK_BYTES. Requires: there was room. */
bool pc_wire_chunk_add(struct pc_wire_chunk *chunk, const struct pc_item *item);
/* The finished chunk, at most PC_SNAPSHOT_CHUNK_BYTES_MAX bytes, borrowed until the next begin. */
struct pc_slice pc_wire_chunk_end(struct pc_wire_chunk *chunk);

/* The same as a buffer of its own, which the caller owns (*out is overwritten). */
void pc_wire_chunk_take(struct pc_wire_chunk *chunk, struct pc_buf *out);

/* Reads a chunk item by item:
 *
 *     struct pc_wire_chunk_reader r = pc_wire_chunk_reader_of(bytes);
 *     while (pc_wire_chunk_next(&r, &item)) ...
 *     pc_err err = pc_wire_chunk_finish(&r);      tells whether any of it may be believed */
struct pc_wire_chunk_reader {
    struct pc_mpack_reader mpack;
    uint32_t left; /* items still to come */
};

struct pc_wire_chunk_reader pc_wire_chunk_reader_of(struct pc_slice bytes);
/* The next item, borrowed from the bytes, its lengths within their bounds; false at the end and
 * when the bytes are malformed. */
bool pc_wire_chunk_next(struct pc_wire_chunk_reader *reader, struct pc_stored_item *item);
/* Returns PC_OK when all items were read and nothing else is there, else PC_E_MALFORMED. */
PC_MUST_CHECK pc_err pc_wire_chunk_finish(const struct pc_wire_chunk_reader *reader);

/* ---- messages between nodes */
enum pc_msg_type {
    PC_MSG_RAFT = 1,
    PC_MSG_FORWARD = 2,         /* commands for the leader's log */
    PC_MSG_FORWARD_REFUSED = 3, /* these were not proposed: the sender may try elsewhere */
    PC_MSG_FORM = 4,            /* entry 1, from the member that formed the cluster */
    PC_MSG_FETCH = 5,           /* entries that the sender has lost */
    PC_MSG_ENTRIES = 6,         /* the answer */
    PC_MSG_SNAP_ASK = 7,        /* has anybody a snapshot of this entry or a later one? */
    PC_MSG_SNAP_META = 8,       /* the answer */
    PC_MSG_SNAP_GET = 9,        /* one chunk of it, please */
    PC_MSG_SNAP_CHUNK = 10,     /* the answer */
    PC_MSG_MEMBER = 11,         /* a change of the members, for the leader */
    PC_MSG_MEMBER_RESULT = 12,  /* the answer */
    PC_MSG_INVITE = 13,         /* to a member whose log is empty: take this history's entries */
    PC_MSG_DISK = 14,           /* how the sender's disk is: soft state, said again and again */
    PC_MSG_DIGEST = 15,         /* what the sender's state was after an entry: the same */
};

/* Why forwarded commands were not proposed. */
enum pc_refusal {
    PC_REFUSAL_NONE = 0,
    PC_REFUSAL_NOT_LEADER = 1, /* or about to hand leadership over: try again */
    PC_REFUSAL_LOG_FULL = 2,   /* no space on the leader's disk */
    /* A member does not know such commands. Said only of what came in such a form. */
    PC_REFUSAL_PROTOCOL = 3,
};

struct pc_forward_item {
    uint64_t seq;         /* of the request id {from, boot, seq} */
    uint32_t attempt;     /* echoed in a refusal, so that a late one is recognised */
    struct pc_blob *body; /* encoded command; owned by the message; NULL in a refusal */
};

struct pc_fetch {   /* FETCH: first and last; ENTRIES: all of it */
    uint64_t nonce; /* echoed */
    pc_index first;
    pc_index last;       /* at most this one */
    pc_term term;        /* of the answering node */
    bool leads;          /* it is the leader of that term, and able to commit */
    pc_index has_last;   /* what its log ends with; 0 = it cannot say */
    pc_index commit;     /* what it knows committed */
    struct pc_entries v; /* ENTRIES: first, first + 1, ...; may be empty; owned by the message */
    /* ENTRIES: in their place, to be encoded as they are; a decoded message has none. Owned. */
    struct pc_raw_entries raw;
};

/* What may be asked for; see node.h. */
enum pc_member_op {
    PC_MEMBER_ADD = 1,
    PC_MEMBER_REMOVE = 2,
    PC_MEMBER_PROMOTE = 3,
    PC_MEMBER_DEMOTE = 4,
    PC_MEMBER_REPLACE = 5,
    PC_MEMBER_YIELD = 6, /* nobody's request: the asking node stops, and gives up its vote if the
                            others are only then a quorum (auto_shrink) */
};

/* What became of it. */
enum pc_member_result {
    PC_MEMBER_DONE = 1,    /* its entry is committed, or nothing was left to be done */
    PC_MEMBER_REFUSED = 2, /* `text` says why */
    PC_MEMBER_RETRY = 3,   /* not done: not the leader, or a change is under way; ask again */
    PC_MEMBER_REMOVED = 4, /* not an answer: the receiver is not a member any more */
};

#define PC_MEMBER_TEXT_BYTES_MAX 255

struct pc_member_msg {
    uint64_t nonce;                          /* MEMBER; MEMBER_RESULT: echoed, REMOVED: 0 */
    enum pc_member_op op;                    /* MEMBER */
    enum pc_member_want want;                /* MEMBER with ADD */
    bool again;                              /* MEMBER: it may have been done already */
    enum pc_member_result result;            /* MEMBER_RESULT */
    uint8_t history[16];                     /* INVITE */
    char name[PC_NAME_BYTES_MAX + 1];        /* MEMBER; INVITE: of the receiver */
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1]; /* MEMBER_RESULT: for people */
};

/* What the SNAP_* messages say; each leaves zero what is not listed for it.
 *   ASK    nonce, index: at least this entry
 *   META   nonce, body: an encoded pc_snapshot_meta, NULL = has none; bytes, chunks, hash
 *   GET    nonce, index, chunk
 *   CHUNK  nonce, index, chunk, body: the chunk, not decoded; NULL = the snapshot is gone */
struct pc_snapshot_msg {
    uint64_t nonce; /* echoed */
    pc_index index; /* base.index of the snapshot */
    uint32_t chunk; /* from 0 */
    uint32_t chunks;
    uint64_t bytes;       /* of all chunks */
    struct pc_hash hash;  /* of the whole snapshot, see snap.h */
    struct pc_blob *body; /* owned by the message */
};

struct pc_disk_msg {
    enum pc_space_level level;
    uint64_t free_bytes;
    uint64_t sync_us;     /* as in pc_disk_report */
    uint64_t total_bytes; /* from PC_PROTOCOL_DISK_SIZE on; 0 = not said */
};

struct pc_digest_msg {
    pc_index index; /* at least 1 */
    struct pc_hash hash;
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
    struct pc_entry form;            /* FORM; owned */
    struct pc_fetch fetch;           /* FETCH, ENTRIES */
    struct pc_snapshot_msg snapshot; /* SNAP_* */
    struct pc_member_msg *member;    /* MEMBER, MEMBER_RESULT, INVITE; owned, else NULL */
    struct pc_disk_msg disk;         /* DISK */
    struct pc_digest_msg digest;     /* DIGEST */
};

/* Releases what the message owns; it may be filled in again. */
void pc_msg_clear(struct pc_msg *msg);

/* The protocol (protocol.h) that this message came with: it may not be said where an older one is
 * spoken. */
uint8_t pc_wire_msg_protocol(const struct pc_msg *msg);

/* Appends the encoding, in the highest protocol of this build. Requires: at most PC_FRAME_BYTES_MAX
 * come out (senders bound batches). */
void pc_wire_encode_msg(const struct pc_msg *msg, struct pc_buf *out);
/* The same in `protocol`, without the fields that are newer. Requires: the message is not. */
void pc_wire_encode_msg_as(const struct pc_msg *msg, uint8_t protocol, struct pc_buf *out);
/* `from` and `to` are what the authenticated connection says; they are not in the bytes.
 * Ownership: *out is the caller's, pc_msg_clear. Returns PC_OK, PC_E_MALFORMED, PC_E_TOO_BIG,
 * PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_wire_decode_msg(
    struct pc_slice bytes, pc_node_id from, pc_node_id to, struct pc_msg *out);
/* The same where `protocol` is spoken: what is newer is PC_E_MALFORMED. */
PC_MUST_CHECK pc_err pc_wire_decode_msg_as(
    struct pc_slice bytes, uint8_t protocol, pc_node_id from, pc_node_id to, struct pc_msg *out);

#endif
