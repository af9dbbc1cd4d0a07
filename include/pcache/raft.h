/* raft.h: the replicated log (Ongaro and Ousterhout 2014; Ongaro's thesis), as a pure machine.
 *
 * Time, disk results and messages are inputs; messages, log writes and the next wake-up are
 * outputs. The section numbers below are of the thesis.
 *
 * Contract of the driver (normative):
 *  1. The driver calls pc_raft_step with events as they come, and with PC_RAFT_TURN after each
 * bunch of them: only then are entries replicated and reads confirmed, so a bunch becomes one
 * message and one log write.
 *  2. effects.write, when present, goes to the log in order of seq. When everything up to a seq is
 *     durable the driver answers with SYNCED{seq}.
 *  3. Every message in effects may be sent at once: the machine itself holds back whatever promises
 *     something (vote, acknowledgement, any message of a term) until SYNCED says it is durable. A
 *     leader sends entries in parallel with its own write (10.2.1) and counts itself on SYNCED.
 *  4. Entries up to `commit` are applied in order by the driver, exactly once.
 *  5. After a failed write the driver never steps this machine again.
 *
 * Departures from the papers: a promise waits inside the machine, not in the driver; vote freshness
 * can be cleared by the transport (LEADER_LOST); cluster time travels with the entries. */
#ifndef PCACHE_RAFT_H
#define PCACHE_RAFT_H

#include "pcache/entry.h"
#include "pcache/limits.h"
#include "pcache/time.h"

struct pc_raft; /* opaque */

enum pc_raft_role {
    PC_RAFT_FOLLOWER = 1,
    PC_RAFT_PRECANDIDATE = 2,
    PC_RAFT_CANDIDATE = 3,
    PC_RAFT_LEADER = 4,
};

/* Who takes part, as named by one CONFIG entry. Ids are distinct and not 0, nobody is in both
 * lists, and there is a voter.
 *
 * Learners are sent everything and count for nothing: neither for commitment, nor for a leader's
 * quorum, nor for a read. They may forward and ask for reads as voters do. (4.2.1)
 *
 * A CONFIG entry is in force as soon as it is in the log, and no more when it is truncated (4.1).
 */
struct pc_raft_config {
    pc_index index; /* of the entry; 0 = none yet: the node waits for formation, or to join */
    size_t voters_n;
    pc_node_id voters[PC_VOTERS_MAX];
    size_t learners_n;
    pc_node_id learners[PC_LEARNERS_MAX];
};

/* What the body of a CONFIG entry says; index is left alone. False when it says nothing valid. */
typedef bool (*pc_raft_config_fn)(struct pc_slice body, struct pc_raft_config *out);

struct pc_raft_opts {
    pc_node_id id;
    uint64_t seed;
    pc_ms heartbeat_ms;          /* 50 */
    pc_ms election_min_ms;       /* 500: also how long a heard leader is fresh (4.2.3, 9.6) */
    pc_ms election_max_ms;       /* 1000 */
    pc_ms lost_leader_jitter_ms; /* 50: campaign within 0..this after LEADER_LOST */
    size_t tail_bytes_max;       /* applied entries kept in memory for peers */
    /* Reads CONFIG entries. NULL: those other than entry 1 are refused, and what entry 1 says comes
     * from `restored` or pc_raft_bootstrap. */
    pc_raft_config_fn config_of;
    /* A leader of exactly two voters that does not hear the other one stays leader, suspended: it
     * commits nothing and confirms no reads until it is heard again, or is the only voter. */
    bool suspend_alone;
};

void pc_raft_opts_default(struct pc_raft_opts *opts); /* everything but id and seed */

/* An entry without its body: where a snapshot stands, and what a log begins behind. */
struct pc_raft_base {
    pc_index index;
    pc_term term;
    pc_ms stamp_ms;
    struct pc_hash chain;
};

/* The place of `entry`. */
static inline struct pc_raft_base pc_raft_base_of(const struct pc_entry *entry)
{
    return (struct pc_raft_base){.index = entry->index,
        .term = entry->term,
        .stamp_ms = entry->stamp_ms,
        .chain = entry->chain};
}

/* What stood on disk. Borrowed during pc_raft_new. */
struct pc_raft_restored {
    pc_term term; /* below the log's last term only when that came with a snapshot */
    pc_node_id vote;
    pc_index last;   /* last index in the log; 0 = empty */
    pc_index commit; /* known committed; <= last */
    pc_ms wall_ms;   /* wall clock now: first estimate of cluster time */
    pc_index first;  /* first index on disk, <= commit + 1: a snapshot has what is below. 0 is 1 */
    /* Ascending runs covering first - 1 (when that is not 0) ..last; the first may begin below. */
    const struct pc_term_run *terms;
    size_t terms_n;
    const struct pc_raft_base *base; /* of the entry at commit; NULL when commit is 0 */
    const struct pc_entry *tail;     /* commit+1..last */
    size_t tail_n;
    /* The newest at or below commit. Those in the tail are found by opts.config_of; without it, the
     * newest there is. */
    struct pc_raft_config config;
    /* Not 0, and < term: entries that this node had acknowledged in terms up to this one may be
     * missing behind `last`. It grants no vote and does not stand for election until an entry of a
     * later term is durable; what it acknowledges meanwhile it has. */
    pc_term doubt;
};

/* ---- messages */
enum pc_raft_msg_type {
    PC_RAFT_MSG_VOTE = 1, /* RequestVote and PreVote (3.4, 9.6) */
    PC_RAFT_MSG_VOTE_RESP = 2,
    PC_RAFT_MSG_APPEND = 3, /* AppendEntries, also the heartbeat (3.5) */
    PC_RAFT_MSG_APPEND_RESP = 4,
    PC_RAFT_MSG_READ = 5, /* a follower asks for a read index (6.4) */
    PC_RAFT_MSG_READ_RESP = 6,
    PC_RAFT_MSG_TIMEOUT_NOW = 7, /* leadership transfer (3.10) */
    PC_RAFT_MSG_SNAPSHOT = 8,    /* instead of an APPEND: the entries it needs are gone */
};

struct pc_raft_msg {
    enum pc_raft_msg_type type;
    pc_node_id from;
    pc_node_id to;
    pc_term term; /* the sender's term; in a PreVote the term it would campaign in */
    union {
        struct {
            bool pre;
            bool transfer; /* campaign ordered by TIMEOUT_NOW: freshness does not count */
            pc_index last_index;
            pc_term last_term;
        } vote;
        struct {
            bool pre;
            bool granted;
            pc_ms clock_ms; /* the voter's estimate of cluster time */
        } vote_resp;
        struct {
            pc_index prev_index;
            pc_term prev_term;
            struct pc_hash prev_chain; /* all zero when the leader has it no longer in memory */
            pc_index commit;
            uint64_t round; /* echoed: confirms reads and the leader's quorum */
            pc_ms clock_ms; /* cluster time at the leader now */
        } append;
        struct {
            bool accepted;
            pc_index match; /* accepted: durable and equal up to here; rejected: the prev_index */
            pc_index hint;  /* rejected: logs may agree up to here at most (3.5 back-off) ... */
            pc_term hint_term; /* ... where the follower has this term */
            uint64_t round;
            /* Not 0: the follower gets entries up to there from others, and sends its own end as
             * hint with every answer. The leader sends none meanwhile. */
            pc_index fetching;
        } append_resp;
        struct {
            pc_index first; /* first index the leader can send: a snapshot of first - 1 or later is
                               needed. Answered like a rejected APPEND, with the own end as hint */
            pc_index commit;
            uint64_t round;
            pc_ms clock_ms;
        } snapshot;
        struct {
            uint64_t ctx;   /* READ: fresh counter of the asking node; RESP: echoed */
            pc_index index; /* RESP: apply up to here, then read; 0 = refused */
        } read;
    } u;
    struct pc_entries entries; /* APPEND; owned by the message */
};

void pc_raft_msg_clear(struct pc_raft_msg *msg); /* frees the entries */

/* ---- events */
enum pc_raft_event_type {
    PC_RAFT_WAKE = 1, /* wake_at was reached; spurious ones are harmless */
    PC_RAFT_RECV,     /* msg */
    PC_RAFT_PROPOSE,  /* entries to append; requires pc_raft_can_propose */
    PC_RAFT_READ,     /* a linearizable read; read_ctx comes back in effects.reads, or
                         never when a message is lost: then ask anew, with a fresh ctx */
    PC_RAFT_SYNCED,   /* the write `seq` and all before are durable */
    PC_RAFT_VOTED,    /* of the write `seq` and all before, at least term and vote are durable */
    PC_RAFT_LOADED,   /* answer to effects.load, entries borrowed; empty when it failed */
    PC_RAFT_PEER_RESTARTED, /* `peer` runs anew: what it had acknowledged it may have lost when its
                               log does not sync every write, so its progress is found out anew */
    PC_RAFT_PEER_UP,     /* messages to `peer` arrive again: a node that stands for election asks it
                            now, and does not wait for its next election timeout */
    PC_RAFT_LEADER_LOST, /* the transport saw the leader's process die: freshness is void */
    PC_RAFT_TRANSFER,    /* hand leadership to `target`, 0 = the most advanced voter */
    PC_RAFT_TURN,        /* end of a bunch of events */
    PC_RAFT_JOIN,        /* the node was invited: a leader's entries are taken though no config is
                            known. Requires an empty log and no config */
    PC_RAFT_COMPACTED, /* entries below `compacted_first` are gone from the disk; a durable snapshot
                          has them. Requires compacted_first <= commit + 1 */
    PC_RAFT_INSTALL,   /* a snapshot is durable, and loaded by the driver. Requires
                          install->base.index > commit */
    PC_RAFT_OFFER,     /* entries that a peer has and knows committed, which follow on the last one
                          here; any others are ignored */
    PC_RAFT_FETCHING,  /* entries up to `fetching_until` are being asked for from peers; 0 = no
                          more */
};

/* A snapshot taken over from a peer: of a committed entry, so `base` is of an entry that every
 * later leader has.
 *
 * When the log has that very entry, what is behind it stays. Otherwise the whole log is replaced by
 * the base, and the next write says so (pc_raft_write.has_reset). Either way commit and applied are
 * base.index afterwards. */
struct pc_raft_install {
    struct pc_raft_base base;
    const struct pc_raft_config *config; /* newest at or below base.index */
};

struct pc_raft_proposal {
    enum pc_entry_kind kind;
    struct pc_request_id req;
    struct pc_blob *body; /* borrowed; the log takes a reference */
};

struct pc_raft_event {
    enum pc_raft_event_type type;
    struct pc_instant now;
    union {
        const struct pc_raft_msg *recv;
        struct {
            const struct pc_raft_proposal *v;
            size_t n;
        } propose;
        uint64_t read_ctx;
        uint64_t synced_seq; /* SYNCED, VOTED */
        struct {
            pc_node_id peer;
            const struct pc_entries *entries;
        } loaded;
        pc_node_id peer;        /* PEER_RESTARTED, PEER_UP */
        pc_node_id leader_lost; /* the peer whose process is gone */
        pc_node_id transfer_target;
        pc_index compacted_first;
        const struct pc_raft_install *install;
        const struct pc_entries *offer;
        pc_index fetching_until;
    } u;
};

/* ---- effects */
struct pc_raft_write {
    uint64_t seq;
    bool has_vote;
    pc_term term;
    pc_node_id vote;
    /* Before anything else of this write: the log is replaced by an empty one behind `reset`, of
     * which a durable snapshot exists. Then there is no truncate_from. */
    bool has_reset;
    struct pc_raft_base reset;
    pc_index truncate_from; /* 0 = none */
    pc_index commit;        /* to be noted on disk with the entries */
    struct pc_entries entries;
};

struct pc_raft_read_done {
    uint64_t ctx;
    pc_index index; /* 0 = refused: ask again when there is a leader */
};

/* Old entries wanted for a peer, first..last, as many as suit the driver; at least one. */
struct pc_raft_load {
    pc_node_id peer;
    pc_index first;
    pc_index last;
};

/* This follower needs a snapshot of at_least or later. Repeated as long as it does. */
struct pc_raft_snapshot_need {
    pc_index at_least;
    pc_node_id leader; /* who said so; any peer may give it */
};

/* Appended to by steps, emptied by the caller with pc_raft_effects_clear. Zero-initialised is
 * empty. */
struct pc_raft_effects {
    struct pc_raft_msg *msgs; /* owned by the effects */
    size_t msgs_n, msgs_cap;
    struct pc_raft_write *writes; /* one per step that wrote, ascending seq */
    size_t writes_n, writes_cap;
    struct pc_raft_read_done *reads;
    size_t reads_n, reads_cap;
    struct pc_raft_load *loads;
    size_t loads_n, loads_cap;
    struct pc_raft_snapshot_need *snapshots;
    size_t snapshots_n, snapshots_cap;
};

void pc_raft_effects_clear(struct pc_raft_effects *effects);   /* empties, keeps memory */
void pc_raft_effects_destroy(struct pc_raft_effects *effects); /* empties, frees memory */

/* Whether opts->config_of can read every CONFIG entry of the restored tail. Bytes of a disk are
 * asked here before pc_raft_new asserts it. */
bool pc_raft_can_restore(const struct pc_raft_opts *opts, const struct pc_raft_restored *restored);

/* Creates the machine as a follower.
 * Requires: opts->id != 0; restored is consistent (asserted; the edge has checked its bytes);
 * pc_raft_can_restore. */
struct pc_raft *pc_raft_new(const struct pc_raft_opts *opts,
    const struct pc_raft_restored *restored, struct pc_instant now);
void pc_raft_delete(struct pc_raft *raft);

/* Puts entry 1, which names the voters, into an empty log (formation). The entry is written with
 * the next TURN. The node stands for election within lost_leader_jitter_ms.
 * Requires: the log is empty; entry->index == 1, kind CONFIG, its chain right. */
void pc_raft_bootstrap(
    struct pc_raft *raft, const struct pc_entry *entry, const struct pc_raft_config *config);

/* Advances the machine by one event. A message with bad content is ignored, never an error. */
void pc_raft_step(
    struct pc_raft *raft, const struct pc_raft_event *event, struct pc_raft_effects *effects);

/* When to step with WAKE next. */
struct pc_instant pc_raft_wake_at(const struct pc_raft *raft);

/* ---- looking in */
struct pc_raft_status {
    enum pc_raft_role role;
    pc_term term;
    pc_node_id vote;
    pc_node_id leader; /* 0 = unknown */
    pc_index first;    /* first index that is here at all, in memory or on disk */
    pc_index first_in_memory;
    pc_index last;
    pc_index durable; /* last index that SYNCED has covered */
    pc_index commit;
    bool transferring;
    bool suspended;             /* a leader that does not hear the other voter: suspend_alone */
    bool joining;               /* JOIN, and no config came yet */
    pc_term doubt;              /* 0 = none (any more) */
    bool leader_ready;          /* leader with an entry of its own term committed */
    uint64_t elections_started; /* real ones, not pre-votes */
    uint64_t elections_won;
    uint64_t divergence; /* appends refused because the chain did not fit: an alarm */
};
void pc_raft_status(const struct pc_raft *raft, struct pc_raft_status *status);
/* The config in force: the newest in the log. Borrowed until the next step. */
const struct pc_raft_config *pc_raft_config_get(const struct pc_raft *raft);
/* The newest one at or below commit; index 0 when there is none. Borrowed until the next step. */
const struct pc_raft_config *pc_raft_config_committed(const struct pc_raft *raft);
bool pc_raft_is_voter(const struct pc_raft *raft, pc_node_id id);

/* Leader, not transferring, neither its disk nor those of the others behind: PROPOSE is allowed. */
bool pc_raft_can_propose(const struct pc_raft *raft);

/* A follower with a leader or without, whose disk is not behind: OFFERs that link are taken. */
bool pc_raft_takes_offers(const struct pc_raft *raft);

/* A CONFIG entry may be proposed: PROPOSE is allowed, an entry of the own term is committed, and no
 * CONFIG entry is uncommitted. It goes alone into its PROPOSE, and its voters differ from those in
 * force by at most one added or one removed. */
bool pc_raft_can_change_config(const struct pc_raft *raft);

/* The entry at `index`, or NULL when it is not in memory. Borrowed until the next step. */
const struct pc_entry *pc_raft_entry(const struct pc_raft *raft, pc_index index);

/* Term of the entry at `index`; 0 for index 0. Requires status.first - 1 <= index <= last, or 0. */
pc_term pc_raft_term_at(const struct pc_raft *raft, pc_index index);

/* Tells how far the driver has applied. Entries above that are kept in memory (those that are
 * committed and durable here only while there is room), and those not durable here yet.
 * Requires <= commit. */
void pc_raft_applied(struct pc_raft *raft, pc_index applied);

/* This node's estimate of cluster time. */
pc_ms pc_raft_clock_ms(const struct pc_raft *raft, struct pc_instant now);

/* A leader's view of a peer; false when there is none. */
struct pc_raft_peer_status {
    pc_index match;
    pc_ms silent_ms;     /* since its last answer */
    bool needs_snapshot; /* what it needs next is gone here */
};
bool pc_raft_peer(const struct pc_raft *raft, pc_node_id id, struct pc_instant now,
    struct pc_raft_peer_status *status);

/* Asserts the invariants that one state can show; O(entries in memory). */
void pc_raft_check(const struct pc_raft *raft);

#endif
