/* node.h: one whole node as a pure machine: raft + swim + store + client requests + formation.
 * The daemon and the simulator run this very code.
 *
 * Order of effects (normative; the driver keeps it):
 *  1. Every `write` (term, vote, truncation, entries) goes to the log, in order of seq.
 *  2. Messages may be sent at once: what promises something is held back inside until SYNCED.
 *  3. SYNCED{seq} comes back as an event; only then does a node count itself in a quorum.
 *  4. Committed entries are applied inside, in order, exactly once per index; results are replies.
 *  5. Old entries are asked for by `load` and come back as LOADED.
 *
 * Call pattern: pc_node_step for each event; once per turn of the event loop pc_node_step with
 * PC_NODE_TURN, then act on the effects, empty them, and arm one timer with pc_node_wake_at. */
#ifndef PCACHE_NODE_H
#define PCACHE_NODE_H

#include "pcache/node_branch.h"
#include "pcache/node_note.h"
#include "pcache/node_preload.h"
#include "pcache/node_status.h"
#include "pcache/protocol.h"
#include "pcache/store.h"
#include "pcache/swim.h"
#include "pcache/wire.h"

struct pc_node_opts {
    pc_node_id id;
    uint64_t generation;                /* of this start; also `boot` in request ids */
    uint64_t prev_generation;           /* see pc_peer_hello; 0 = none */
    uint64_t mark;                      /* see pc_peer_hello */
    bool is_relaxed;                    /* not every write is synced before it is reported so */
    char build[PC_BUILD_BYTES_MAX + 1]; /* version of this program, for peers and people */
    struct pc_protocols protocols;      /* that are spoken: those of the build */
    char name[PC_NAME_BYTES_MAX + 1];
    /* Names of the initial members, [node].name among them; 1 = a cluster of one; none = this node
     * forms no cluster, and waits until one that it was added to invites it. */
    char members[PC_VOTERS_MAX][PC_NAME_BYTES_MAX + 1];
    size_t members_n;
    /* Names of the initial spares, none of them in `members`. Formation does not wait for them:
     * they are invited by entry 1. A spare itself has no members, and waits for that invitation. */
    char spares[PC_VOTERS_MAX][PC_NAME_BYTES_MAX + 1];
    size_t spares_n;
    uint64_t seed;               /* for timeouts and shuffles */
    uint8_t store_seed[16];      /* hash seed of the store */
    uint8_t history_seed[16];    /* random: the history id, should this node form the cluster */
    pc_ms leader_wait_ms;        /* how long an unsent command waits for a leader: 2000 */
    pc_ms request_timeout_ms;    /* how long a sent command's commit is awaited: 3000 */
    struct pc_addr advertise;    /* may be none */
    pc_ms ready_leader_grace_ms; /* readiness outlives the loss of the leader by this: 5000 */
    bool accept_data_loss;       /* alone in its cluster, a doubt is no reason not to vote */
    /* Alone in its cluster, with a log that is cut: what cannot be read of the snapshot is done
     * without. Otherwise the node fails. */
    bool accept_snapshot_loss;
    /* An empty disk under the name of a member that is gone may take its place without being told
     * to: true. Otherwise only where it is invited (ADD, REPLACE). */
    bool replaces_lost;
    /* A member that SWIM and the bus have not heard of for so long is dead: a spare, or an empty
     * disk under its name, may take its place. Also the pause between two such changes. 5000 */
    pc_ms dead_after_ms;
    /* A leader that could not lose another voter takes the votes of dead ones away, down to itself:
     * see src/node/node_member_spare.c. The same on every node. */
    bool auto_shrink;
    bool ready_without_quorum; /* ready as soon as local reads can be served, leader or not */
    /* Alone for so long, this node goes on in a branch: node_branch.h. */
    bool solo;
    pc_ms solo_after_ms;     /* 15000 */
    uint8_t branch_seed[16]; /* random per process: ids of branches */
    /* A snapshot is due when so much was applied since the last one: this many bytes of entries,
     * and this many percent of the bytes of the last snapshot. */
    uint64_t snapshot_log_bytes; /* 64 MiB */
    unsigned snapshot_percent;   /* 100 */
    uint64_t log_keep_bytes; /* of the log in front of a snapshot, for peers that lag: 256 MiB */
    /* So many entries behind the leader's commit, a follower gets them from other peers. >= 2 */
    pc_index catchup_entries; /* 2000 */
    /* Meanwhile so much of it at most waits for the own disk: enough that the disk never waits, too
     * little for Raft to refuse what the leader sends. */
    size_t catchup_unsynced_bytes;   /* 24 MiB */
    struct pc_space_mark space_soft; /* of free space: 10 % or 1 GiB */
    struct pc_space_mark space_hard; /* 2 % or 128 MiB */
    struct pc_raft_opts raft;        /* id and seed are filled in by the node */
    struct pc_swim_opts swim;        /* self and seed are filled in by the node */
};

void pc_node_opts_default(struct pc_node_opts *opts); /* what has a default above */

/* ---- client requests */
enum pc_consistency {
    PC_CONSISTENCY_LINEARIZABLE = 0,
    PC_CONSISTENCY_LOCAL = 1, /* what this node has applied, without asking anybody */
};

/* What a request asks for. */
enum pc_request_type {
    PC_REQUEST_GET = 1,
    PC_REQUEST_WRITE = 2,
    PC_REQUEST_MEMBER = 3, /* change the members: any node takes it, the leader does it */
    /* Make a snapshot of what is applied now, on this node. OK: it, or a later one, is durable.
     * TIMEOUT: not within PC_SNAPSHOT_ANSWER_MS; it is still being made. REFUSED: it could not be
     * made, or there is nothing to make one of. */
    PC_REQUEST_SNAPSHOT = 4,
};

#define PC_SNAPSHOT_ANSWER_MS 10000

/* ADD name want   invite a node of this name: it comes with an empty disk, catches up, and votes
 *                 when it is wanted as a voter
 * REMOVE name     take it out; a leader hands over first
 * PROMOTE name    want it as a voter
 * DEMOTE name     want it as a replica: it votes no more
 * REPLACE name    let whoever comes under this name with an empty disk take the place of the one
 *                 there is, dead or alive
 * OK when the entry that says so is committed; what follows from it by itself (catching up, voting)
 * comes later, and shows in pc_node_members. REFUSED when it cannot be or would leave fewer voters
 * alive than the new members' quorum. NO_LEADER: not done. UNKNOWN: perhaps done. */
struct pc_member_change {
    enum pc_member_op op;
    enum pc_member_want want; /* ADD */
    char name[PC_NAME_BYTES_MAX + 1];
};

/* Slices are borrowed during the step. */
struct pc_request {
    uint64_t tag; /* given back in the reply */
    enum pc_request_type type;
    enum pc_consistency consistency; /* GET */
    struct pc_slice key;             /* GET */
    struct pc_command command;       /* WRITE: SET DELETE EXPIRE PERSIST */
    struct pc_member_change member;  /* MEMBER */
};

#define PC_REPLY_LIST(X)                                                                           \
    X(OK)                                                                                          \
    X(NOT_FOUND)                                                                                   \
    X(NO_LEADER)  /* not done, may be retried: no leader within leader_wait_ms */                  \
    X(UNKNOWN)    /* a write whose outcome is unknown: no commit within request_timeout_ms */      \
    X(TIMEOUT)    /* a read that could not be confirmed in time */                                 \
    X(OVERLOADED) /* not done: too many requests are pending */                                    \
    X(LOG_FULL)   /* not done: the disk of the leader, or of a majority, is (almost) full */       \
    X(LOADING)    /* not done: this node is still reading its snapshot */                          \
    X(SPARE)      /* not done: this node is a spare, and serves no clients */                      \
    X(STOPPING)   /* not done: the log failed, or the node is going down */                        \
    /* A change of the members, or a write in a form that a member does not know: not done, and    \
     * text says why. */                                                                           \
    X(REFUSED)

enum pc_reply_status {
#define PC_REPLY_ENUM(name) PC_REPLY_##name,
    PC_REPLY_LIST(PC_REPLY_ENUM)
#undef PC_REPLY_ENUM
};

struct pc_reply {
    uint64_t tag;
    enum pc_reply_status status;
    struct pc_outcome outcome; /* WRITE with OK: done, or `unmet` */
    pc_index index;            /* WRITE: index of the command's entry; GET: applied index read at;
                                  SNAPSHOT: what a snapshot was asked of */
    pc_ms stamp_ms; /* cluster time of index: outcome.deadline_ms - stamp_ms is the ttl */
    /* GET, WRITE: the answer is that of a branch of this node alone. index is then the number of a
     * record, this write's or the last one read, and versions are above PC_BRANCH_VERSION unless
     * they are the base's. */
    bool has_branch;
    uint8_t branch[16];
    /* GET with OK: */
    struct pc_blob *value; /* owned by the effects; take a reference to keep it */
    pc_index version;
    bool expires;
    pc_ms ttl_ms;
    char content_type[PC_CONTENT_TYPE_BYTES_MAX + 1]; /* "" = application/octet-stream */
    struct pc_node_quorum quorum;            /* GET with OK or NOT_FOUND: when the value was read */
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1]; /* REFUSED: why, for people; else "" */
    struct pc_node_snapshot_info snapshot;   /* SNAPSHOT with OK */
    pc_ms took_ms;                           /* SNAPSHOT: since it was asked for */
};

/* ---- peers, as the bus reports them */
struct pc_peer_hello {
    pc_node_id id;
    uint64_t generation;
    uint8_t history[16]; /* all zero: the peer has no data */
    char name[PC_NAME_BYTES_MAX + 1];
    /* Of one life as it began (src/node/node_lives.c); an older program does not say it. */
    bool has_life;
    uint64_t mark; /* random: tells lives apart that two copies of a disk have numbered the same */
    uint64_t prev_generation; /* newest life before this one that a peer may have noted; 0 = none */
    pc_term term;             /* that it found on its disk */
    pc_index last;            /* end of the log that it found on its disk */
    bool is_lossy; /* it may have lost what it acknowledged, and knows: not every write is synced,
                      or its log was damaged */
    char build[PC_BUILD_BYTES_MAX + 1]; /* version of its program; "" = it does not say */
    struct pc_protocols protocols;      /* that it speaks */
};

/* A life of a node: one run of a process on its disk. */
struct pc_life {
    pc_node_id id;
    uint64_t generation;
    uint64_t mark; /* see pc_peer_hello */
};

/* ---- snapshots: work for the snapshot thread (snap.h), in order, and what became of it */
enum pc_node_snap_type {
    PC_NODE_SNAP_BEGIN = 1, /* write `tag` begins: base, and hash when it comes from a peer */
    PC_NODE_SNAP_PUT, /* its next chunk; at most PC_SNAPSHOT_AHEAD_BYTES, or one, are under way */
    PC_NODE_SNAP_FINISH,    /* its end: meta */
    PC_NODE_SNAP_ABORT,     /* it is given up; keep: what came of a peer's stays */
    PC_NODE_SNAP_READ,      /* chunk `number` of the snapshot of entry base.index */
    PC_NODE_SNAP_SET_ASIDE, /* that of base.index is damaged */
    PC_NODE_SNAP_LOST, /* that of base.index is damaged, and nobody else has what it held: the node
                          has failed */
    PC_NODE_SNAP_DROP_LOG, /* entries up to base.index may go; then LOG_DROPPED */
};

struct pc_node_snap {
    enum pc_node_snap_type type;
    uint64_t tag;
    struct pc_raft_base base;
    bool has_hash;
    struct pc_hash hash;
    struct pc_buf chunk; /* PUT; owned by the effects */
    uint32_t number;
    bool keep;
    struct pc_snapshot_meta meta;
    struct pc_blob *config; /* that meta.config points into; owned by the effects */
};

enum pc_node_snap_event_type {
    PC_NODE_SNAP_BEGUN = 1, /* chunks: that many are there already */
    PC_NODE_SNAP_WRITTEN,   /* chunks: so many are there now */
    PC_NODE_SNAP_FINISHED,  /* chunks, bytes, hash of the whole: durable, and the newest */
    PC_NODE_SNAP_FAILED,    /* err: the write is over */
    PC_NODE_SNAP_GOT,       /* chunk, or err */
};

struct pc_node_snap_event {
    enum pc_node_snap_event_type type;
    uint64_t tag;
    uint32_t chunks;
    uint64_t bytes;
    struct pc_hash hash;
    pc_err err;
    const char *text;      /* with err; may be NULL */
    struct pc_slice chunk; /* borrowed */
};

enum pc_node_event_type {
    PC_NODE_WAKE = 1,
    PC_NODE_TURN,
    PC_NODE_CLIENT,    /* request */
    PC_NODE_PEER_MET,  /* hello: admitted; told before the first message of its connection. PEER_UP
                          says as much */
    PC_NODE_PEER_UP,   /* hello: messages to this id can be sent now */
    PC_NODE_PEER_DOWN, /* peer: they can no longer */
    PC_NODE_PEER_LOST, /* peer: its process is gone: connection ended, reconnect failed */
    PC_NODE_PEER_REFUSED, /* text: a peer refuses this node (wrong identity, foreign history) */
    PC_NODE_RECV,         /* msg; borrowed, entries are referenced when kept */
    PC_NODE_SWIM,         /* swim: an event for the membership machine, forwarded as it is */
    PC_NODE_SYNCED,       /* seq */
    PC_NODE_VOTED,  /* seq: while the log is full, its term and vote are durable, not its entries */
    PC_NODE_LOADED, /* loaded */
    PC_NODE_LOG_FULL,
    PC_NODE_LOG_FULL_END,
    PC_NODE_DISK,        /* disk: the log's disk was measured; without these it passes for well */
    PC_NODE_LOG_FAILED,  /* stop promising: every pending request gets STOPPING */
    PC_NODE_TRANSFER,    /* hand leadership to transfer_target (0 = any) */
    PC_NODE_DRAIN,       /* not ready from now on; leadership is handed over */
    PC_NODE_REPAIR_DONE, /* repair: answers a PUT or a CUT of effects.repairs */
    PC_NODE_RESTORED,    /* restored: answers a REOPEN */
    PC_NODE_LIFE_NOTED,  /* life: answers one of effects.lives */
    PC_NODE_SNAP,        /* snap: what became of effects.snaps */
    PC_NODE_SNAPSHOT,    /* make a snapshot now, due or not */
    PC_NODE_LOG_DROPPED, /* log_first: what the log begins with now */
    PC_NODE_BRANCH,      /* branch: what became of effects.branches */
};

struct pc_node_event {
    enum pc_node_event_type type;
    struct pc_instant now;
    union {
        const struct pc_request *request;
        const struct pc_peer_hello *hello;
        pc_node_id peer;
        const char *text;
        const struct pc_msg *msg;
        const struct pc_swim_event *swim;
        uint64_t seq;
        struct {
            uint64_t tag;
            const struct pc_entries *entries; /* borrowed; empty when the load failed */
            struct pc_raw_entries *raw;       /* NULL, or in their place; emptied when passed on */
            bool is_damaged; /* it met damage that pc_node_can_spare puts up with */
        } loaded;
        pc_node_id transfer_target;
        const struct pc_disk_report *disk;
        struct {
            bool ok;     /* PUT: else what was put of this gap is gone, and it begins anew */
            bool closed; /* PUT: the gap's last entry was among them */
        } repair;
        const struct pc_node_restored *restored;
        struct pc_life life;
        const struct pc_node_snap_event *snap;
        pc_index log_first;
        struct pc_node_branch_event branch;
    } u;
};

/* Asks for entries first..last of the log; answered by LOADED with the same tag. */
struct pc_node_load {
    uint64_t tag;
    pc_index first, last;
    size_t bytes_max;
    bool raw; /* they are only passed on */
};

/* Work on a log with gaps, one piece at a time (wal.h, pc_wal_repair_*). */
enum pc_node_repair_type {
    PC_NODE_REPAIR_PUT = 1, /* entries for gap `gap`; then REPAIR_DONE */
    PC_NODE_REPAIR_CUT,     /* end the log before the first gap not closed yet; then as REOPEN */
    PC_NODE_REPAIR_REOPEN,  /* all gaps are closed: open the log anew; then RESTORED */
};
struct pc_node_repair {
    enum pc_node_repair_type type;
    size_t gap;
    struct pc_entries entries; /* PUT; owned by the effects */
    struct pc_raft_base base;  /* CUT, REOPEN: of a snapshot that came meanwhile; index 0 = none */
};

/* Appended to by steps; the driver empties them with pc_node_effects_clear after each turn. */
struct pc_node_effects {
    struct pc_msg *msgs;
    size_t msgs_n, msgs_cap;
    struct pc_raft_write *writes;
    size_t writes_n, writes_cap;
    struct pc_node_load *loads;
    size_t loads_n, loads_cap;
    struct pc_reply *replies;
    size_t replies_n, replies_cap;
    struct pc_note *notes;
    size_t notes_n, notes_cap;
    struct pc_node_repair *repairs;
    size_t repairs_n, repairs_cap;
    struct pc_life *lives; /* to be noted durably; then LIFE_NOTED */
    size_t lives_n, lives_cap;
    struct pc_node_snap *snaps;
    size_t snaps_n, snaps_cap;
    struct pc_node_branch *branches;
    size_t branches_n, branches_cap;
    struct pc_swim_effects swim; /* datagrams to send; changed members */
};

/* clear empties and keeps the memory, destroy frees it; both release what the effects own. */
void pc_node_effects_clear(struct pc_node_effects *effects);
void pc_node_effects_destroy(struct pc_node_effects *effects);

/* What stood on disk. terms, base, tail as in raft.h; config is found by the node: `config_entry`
 * is the newest CONFIG entry at or below commit, or entry 1 when there is none (NULL when empty);
 * those in the tail the node finds itself. */
struct pc_node_gap { /* see pc_wal_gap */
    pc_index first;
    pc_index last;
    struct pc_hash before;
    struct pc_hash anchor;
    pc_index floor;
    struct pc_hash floor_chain;
    pc_term last_term; /* of entry `last`; 0 = not known */
};

/* A snapshot that stood on disk. Borrowed. */
struct pc_node_snapshot {
    struct pc_snapshot_meta meta;
    struct pc_hash hash;
    uint32_t chunks;
    uint64_t bytes;
};

struct pc_node_restored {
    struct pc_raft_restored raft; /* .config is filled in by the node */
    /* The newest; NULL = none. Its entry is at or below raft.commit. config_entry may then be one
     * that was made of its meta. */
    const struct pc_node_snapshot *snapshot;
    const struct pc_entry *config_entry;
    /* Entries that the log has lost. With gaps only term, vote, doubt, last and wall_ms of `raft`
     * count, and config_entry may be NULL although there is a log: the node then does nothing but
     * have them repaired (effects.repairs) until RESTORED comes without any. */
    const struct pc_node_gap *gaps;
    size_t gaps_n;
    const uint8_t *history; /* 16 bytes, known beside the log: of whose history it was; or NULL */
    /* What tells who this node is said before this start that it has written a log here: the one
     * that there is need not name it any more. */
    bool had_log;
    /* Lives of peers that were noted. Looked at by pc_node_new only. */
    const struct pc_life *lives;
    size_t lives_n;
    const struct pc_node_branch_found *branch; /* or NULL. Looked at by pc_node_new only. */
    /* What was made ready before there was a node, or NULL; looked at by pc_node_new only. What it
     * has a use for it takes over, and leaves zeros: the rest stays the caller's. */
    struct pc_node_preload *preload;
};

/* Creates the node.
 * Returns PC_OK; PC_E_CORRUPT when the config entry does not decode, or entries are lost and there
 *   is no other voter to have them; PC_E_AUTH when this node's id
 *   and name do not match the log's members (error says both and the remedy). */
PC_MUST_CHECK pc_err pc_node_new(const struct pc_node_opts *opts,
    const struct pc_node_restored *restored, struct pc_instant now, struct pc_node **out,
    struct pc_error *error);
void pc_node_delete(struct pc_node *node);

/* Advances the node by one event; what is to be done is appended to effects. wake_at: when the next
 * PC_NODE_WAKE is due at the latest. */
void pc_node_step(
    struct pc_node *node, const struct pc_node_event *event, struct pc_node_effects *effects);
struct pc_instant pc_node_wake_at(const struct pc_node *node);

/* Whether a peer that says `hello` may talk to this node (both directions).
 * Returns PC_OK; PC_E_AUTH with a text that names both ids, both histories and the remedy;
 *   PC_E_STALE when its disk is an older copy: it has forgotten a life that was met here, or what
 *   it promised to this node; PC_E_SUPERSEDED when a later life of it is linked to this node. */
PC_MUST_CHECK pc_err pc_node_admit(
    const struct pc_node *node, const struct pc_peer_hello *hello, struct pc_error *error);

/* What this node says of itself to peers. */
void pc_node_hello(const struct pc_node *node, struct pc_peer_hello *out);

/* ---- looking in: node_status.h, and */
/* Whether nothing is lost when a node that drains ends now: it does not lead others, and its vote
 * is not to be taken away first (auto_shrink). Either may fail: a driver waits for it, but not for
 * ever.
 */
bool pc_node_may_stop(const struct pc_node *node);

/* The members of the cluster, as the newest entry in this log says, committed or not; members_n 0 =
 * there is no cluster yet. Borrowed until the next step. */
const struct pc_cluster_config *pc_node_config(const struct pc_node *node);

/* Whether the node can go on when a load of effects.loads, of entry `first`, has met damage: a peer
 * asked, and the newest snapshot stands for that entry; or the node is to apply it (tag 0), and has
 * peers whose snapshots do. Then LOADED follows, with is_damaged; otherwise the log has failed. */
bool pc_node_can_spare(const struct pc_node *node, uint64_t tag, pc_index first);
/* Can messages be sent to this peer now (PEER_UP without PEER_DOWN)? */
bool pc_node_peer_is_up(const struct pc_node *node, pc_node_id id);
/* Whose noted lives must not give way to others', whatever there is room for: the members, by any
 * config that is in force or may be again. At most PC_LIVES_KEPT_MAX; returns how many. */
size_t pc_node_lives_kept(const struct pc_node *node, pc_node_id *out);

/* What this node can give of the log: entries oldest..last are on its disk, committed and applied;
 * last + 1 == oldest when there are none. */
struct pc_node_log_span {
    pc_index oldest;  /* >= 1 */
    pc_index last;    /* >= oldest - 1 */
    pc_index applied; /* the disk may lag behind it */
    bool has_branch; /* it serves clients alone, out of this branch, of which nothing is in there */
    uint8_t branch[16];
};
void pc_node_log_span(const struct pc_node *node, struct pc_node_log_span *out);
/* A tag of loads that is never the node's: for what its driver loads for others. */
#define PC_NODE_TAG_DRIVER (UINT64_MAX - UINT64_C(0xffff))

/* The parts, for status pages and checks; borrowed. */
const struct pc_store *pc_node_store(const struct pc_node *node);
const struct pc_raft *pc_node_raft(const struct pc_node *node);
const struct pc_swim *pc_node_swim(const struct pc_node *node);

/* Asserts the invariants of every part. */
void pc_node_check(const struct pc_node *node);

#endif
