/* raft_int.h: what the files of core/raft share. Nothing outside this folder includes it. */
#ifndef PCACHE_RAFT_INT_H
#define PCACHE_RAFT_INT_H

#include "pcache/assert.h"
#include "pcache/prng.h"
#include "pcache/raft.h"

/* ---- raft_log.c: the entries in memory, and the term of every entry in the log.
 *
 *      1 ... | disk_first ... base.index | first ............ last
 *      gone  | on disk only              | in memory (ring)
 *            | term known by runs        | everything known
 *
 * Everything above the commit index is always in memory. What is in memory may also begin below
 * disk_first: the oldest index that is here at all is the lower one of the two. The term of the one
 * before is known as well. */
struct raft_log {
    struct pc_entry *ring; /* capacity is a power of two, or 0 */
    size_t cap, head, n;
    struct { /* the entry before the first one in memory; index 0 = start of the log */
        pc_index index;
        struct pc_hash chain;
    } base;
    struct pc_term_run *runs; /* ascending in both first and term */
    size_t runs_n, runs_cap;
    pc_index disk_first; /* what is below is gone from the disk; <= last + 1 */
    pc_ms base_stamp_ms; /* stamp of the base entry */
    size_t bytes;        /* sum of pc_entry_bytes over the ring */
};

void raft_log_create(struct raft_log *log, const struct pc_raft_restored *restored);
void raft_log_destroy(struct raft_log *log);
pc_index raft_log_first(const struct raft_log *log); /* first in memory (last + 1 when none is) */
/* First in memory or on disk (last + 1 when none is). */
pc_index raft_log_oldest(const struct raft_log *log);
pc_index raft_log_last(const struct raft_log *log);
pc_term raft_log_last_term(const struct raft_log *log);
pc_ms raft_log_last_stamp(const struct raft_log *log);
const struct pc_entry *raft_log_get(
    const struct raft_log *log, pc_index index); /* NULL: not here */
/* Requires oldest - 1 <= index <= last; 0 has term 0. */
pc_term raft_log_term_at(const struct raft_log *log, pc_index index);
/* The chain at `index` when it is known in memory. */
bool raft_log_chain_at(const struct raft_log *log, pc_index index, struct pc_hash *chain);
/* Requires entry->index == last + 1, term and stamp not below the last ones'. Copies. */
void raft_log_append(struct raft_log *log, const struct pc_entry *entry);
/* Drops from..last. Requires from > base.index. */
void raft_log_truncate(struct raft_log *log, pc_index from);
/* Forgets entries <= upto, oldest first, while more than bytes_max are held. */
void raft_log_trim(struct raft_log *log, pc_index upto, size_t bytes_max);
/* What is below `first` is gone from the disk. Requires first <= last + 1. */
void raft_log_compact(struct raft_log *log, pc_index first);
/* Nothing is left but the base. */
void raft_log_reset(struct raft_log *log, const struct pc_raft_base *base);
/* The largest index <= from whose term is <= term (0 when there is none): where two logs may agree
 * at most, when one has `term` at `from`. Where that is a matter of terms that are gone: any index
 * below oldest - 1. */
pc_index raft_log_agree_at_most(const struct raft_log *log, pc_index from, pc_term term);

/* ---- raft_progress.c: what a leader knows of one peer.
 *
 *             accepted                       rejected
 *   PROBE ----------------> PIPELINE ----------------> PROBE
 *   empty messages only:              a window of messages with
 *   where do the logs agree?          entries is in flight
 *
 *        what it needs next is gone here        its log has gone on
 *   any ----------------------------> SNAPSHOT -------------------> PROBE
 *                                     hints only                          */
enum raft_progress_state { RAFT_PROBE = 1, RAFT_PIPELINE = 2, RAFT_SNAPSHOT = 3 };

/* A peer that gets entries from others is left alone while its log grows so often. */
#define RAFT_FETCH_STALLED_MS 500

struct raft_inflight {
    pc_index last;
    size_t bytes;
};

struct raft_progress {
    pc_node_id id;
    enum raft_progress_state state;
    pc_index match;     /* durable there and equal to ours; grows while its process lives */
    pc_index next;      /* first index not sent yet; > match */
    bool loading;       /* old entries were asked for */
    bool load_failed;   /* and did not come: not before the next heartbeat again */
    bool beat;          /* send something this turn, empty if need be */
    bool heartbeat;     /* send an empty one: only that is answered without waiting for a disk */
    bool votes;         /* a voter of the config in force: it counts. A learner does not */
    bool leaving;       /* no member any more */
    bool fetch_failed;  /* it fetches, but too slowly: it is sent to all the same */
    pc_index fetching;  /* it gets entries up to there from others; 0 = no */
    pc_index fetch_end; /* how far its log went when it last grew */
    struct pc_instant fetch_grew_at;
    pc_index commit_sent;
    uint64_t round_acked;
    struct pc_instant heard_at;
    struct raft_inflight inflight[PC_INFLIGHT_MSGS_MAX]; /* ring */
    size_t inflight_head, inflight_n, inflight_bytes;
};

void raft_progress_create(
    struct raft_progress *p, pc_node_id id, pc_index next, struct pc_instant now);
bool raft_progress_is_open(const struct raft_progress *p); /* may entries be sent now? */
void raft_progress_on_sent(struct raft_progress *p, pc_index last, size_t bytes);
/* True when match or state changed. */
bool raft_progress_on_accepted(struct raft_progress *p, pc_index match);
void raft_progress_on_rejected(struct raft_progress *p, pc_index next);
/* The entry `next` is gone. */
void raft_progress_on_gone(struct raft_progress *p);

/* ---- raft_quorum.c: majorities */
/* How many of n make a majority. */
size_t raft_quorum_size(size_t n);
/* The largest value that a majority of v[0..n) has reached; sorts v. Requires n > 0. */
uint64_t raft_quorum_reached(uint64_t *v, size_t n);
/* The lower median of v[0..n); sorts v. Requires n > 0. */
uint64_t raft_quorum_median(uint64_t *v, size_t n);

/* A message that promises something, kept until the write `need` is durable, and of the write
 * `need_vote` at least the term and vote. */
struct raft_held {
    uint64_t need;
    uint64_t need_vote;
    struct pc_raft_msg msg;
};

/* A write that was handed out and not reported durable yet. */
struct raft_write_mark {
    uint64_t seq;
    size_t bytes;         /* of its entries */
    struct pc_instant at; /* when it was handed out */
    pc_index last;        /* of the log after it; lowered when a truncation follows */
};

/* With this many writes, or bytes of entries, unreported the disk is behind: the machine takes
 * nothing new that would have to be written, until some are reported. Heartbeats and reads go on.
 */
#define RAFT_WRITES_BEHIND 1024
#define RAFT_UNSYNCED_BYTES_MAX (64 * 1024 * 1024)

/* With so many bytes of entries in memory beyond those kept for peers, a leader takes no more. Most
 * of them are not committed: a majority answers heartbeats, but their disks are full or hang. */
#define RAFT_UNCOMMITTED_BYTES_MAX (64 * 1024 * 1024)

struct raft_read {
    uint64_t ctx;
    pc_node_id from; /* 0 = this node */
    pc_index index;  /* 0 = waits for a round to begin */
    uint64_t round;
};

#define RAFT_PEERS_MAX (2 * (PC_VOTERS_MAX + PC_LEARNERS_MAX)) /* those in, and those leaving */

/* So many hints in a row that a log is of no use: it is another one. */
#define RAFT_SNAPSHOT_HINTS 4

/* See raft_config.c. There is always one; the first may be index 0: none. */
struct raft_configs {
    struct pc_raft_config *v;
    size_t n, cap;
};

struct pc_raft {
    struct pc_raft_opts opts;
    struct pc_prng prng;
    struct pc_instant now;      /* of the event being handled */
    struct pc_raft_effects *fx; /* of the step being made */

    enum pc_raft_role role;
    pc_term term;
    pc_node_id vote;
    pc_node_id leader;
    struct pc_raft_config config; /* in force: the last one of configs */
    struct raft_configs configs;
    bool joining; /* JOIN: entries are taken though no config is known */

    struct raft_log log;
    pc_index commit;
    pc_index applied;
    pc_index durable; /* entries <= this are on disk and will not be truncated by a queued write */

    /* Durability. The write under construction gets seq = write_seq + 1 at the end of the turn. */
    struct pc_raft_write building;
    bool building_used;
    uint64_t write_seq;  /* last one handed out */
    uint64_t synced_seq; /* last one reported durable */
    uint64_t voted_seq;  /* the same for terms and votes alone: >= synced_seq */
    uint64_t term_seq; /* the write that carries (term, vote); nothing of the term leaves before */
    struct raft_write_mark *marks; /* handed out, not reported durable, ascending */
    size_t marks_n, marks_cap;
    size_t unsynced_bytes; /* sum over the marks */
    bool is_full; /* RAFT_UNCOMMITTED_BYTES_MAX, as of the last turn: PROPOSEs of a turn go together
                   */
    struct raft_held *held;
    size_t held_n, held_cap;

    /* Elections. */
    struct pc_instant election_at; /* campaign when reached */
    struct pc_instant fresh_until; /* a leader was heard: refuse votes before this */
    bool votes[PC_VOTERS_MAX];     /* granted, by position in config */
    pc_ms vote_clocks[PC_VOTERS_MAX];
    bool campaign_transfer;  /* this campaign was ordered by the old leader */
    bool leader_lost;        /* no leader since its process died, or ever: try again soon */
    uint64_t round_echoed;   /* follower: highest round answered in this term */
    pc_index acked;          /* follower: highest index perhaps acknowledged in this term */
    pc_index fetching;       /* follower: entries up to there come from others; 0 = none do */
    unsigned snapshot_hints; /* since the last APPEND that fitted, up to RAFT_SNAPSHOT_HINTS */

    /* Leader. */
    struct raft_progress peers[RAFT_PEERS_MAX];
    size_t peers_n;
    bool suspended;      /* the other one of two voters is not heard: opts.suspend_alone */
    pc_index term_start; /* index of the NOOP of this term */
    struct pc_instant heartbeat_at;
    uint64_t round;        /* current confirmation round */
    uint64_t round_quorum; /* the newest one that a majority has answered */
    struct raft_read *reads;
    size_t reads_n, reads_cap;
    bool transferring;
    bool transfer_sent;
    pc_node_id transfer_to;
    pc_node_id transfer_failed_to; /* the last target that did not take over; 0 = none */
    struct pc_instant transfer_until;
    struct pc_instant hand_over_after; /* not before this because of a stalled disk */

    /* Cluster time: clock_ms at clock_at, running with the monotonic clock. */
    pc_ms clock_ms;
    struct pc_instant clock_at;

    pc_term doubt; /* what was acknowledged up to this term may be missing: no vote. 0 = none */

    uint64_t elections_started, elections_won, divergence;
};

/* ---- raft_outbox.c: writes under construction, held messages */
void raft_write_vote(struct pc_raft *r);                    /* term and vote are to be durable */
void raft_write_truncate(struct pc_raft *r, pc_index from); /* also truncates the log */
void raft_write_append(
    struct pc_raft *r, const struct pc_entry *entry); /* also appends to the log */
/* The log is replaced by `base`, of which a durable snapshot exists. */
void raft_write_reset(struct pc_raft *r, const struct pc_raft_base *base);
void raft_write_flush(struct pc_raft *r);             /* end of turn: hand it out */
uint64_t raft_write_barrier(const struct pc_raft *r); /* seq that covers all done so far */
bool raft_disk_is_behind(const struct pc_raft *r);
/* The oldest write has been under way for an election timeout. */
bool raft_disk_is_stalled(const struct pc_raft *r);
void raft_recv_synced(struct pc_raft *r, uint64_t seq);
void raft_recv_voted(struct pc_raft *r, uint64_t seq);
/* A message of the current term to `to`, to be filled in. */
struct pc_raft_msg raft_msg(const struct pc_raft *r, enum pc_raft_msg_type type, pc_node_id to);
/* Takes the message over; it leaves once write `need` is durable, and its term and vote too. */
void raft_send(struct pc_raft *r, struct pc_raft_msg *msg, uint64_t need);
void raft_read_report(struct pc_raft *r, uint64_t ctx, pc_index index);
void raft_load_request(struct pc_raft *r, pc_node_id peer, pc_index first, pc_index last);

/* ---- raft_role.c */
void raft_become_follower(struct pc_raft *r, pc_term term, pc_node_id leader);
void raft_become_precandidate(struct pc_raft *r);
void raft_become_candidate(struct pc_raft *r);
void raft_become_leader(struct pc_raft *r);
int raft_voter_position(const struct pc_raft *r, pc_node_id id); /* -1: not a voter */
/* A leader outside the committed config hands over and steps down. */
void raft_maybe_retire(struct pc_raft *r);

/* ---- raft_config.c */
bool raft_config_is_valid(const struct pc_raft_config *config);
bool raft_config_has_voter(const struct pc_raft_config *config, pc_node_id id);
bool raft_config_has_learner(const struct pc_raft_config *config, pc_node_id id);
/* True for what is no CONFIG entry. */
bool raft_config_is_readable(const struct pc_raft *r, const struct pc_entry *entry);
void raft_config_create(struct pc_raft *r, const struct pc_raft_restored *restored);
void raft_config_destroy(struct pc_raft *r);
void raft_config_push(struct pc_raft *r, const struct pc_raft_config *config);
void raft_config_on_append(struct pc_raft *r, const struct pc_entry *entry);
void raft_config_on_truncate(struct pc_raft *r, pc_index from);
void raft_config_on_commit(struct pc_raft *r);
void raft_config_on_install(struct pc_raft *r, const struct pc_raft_config *config);
/* Whether this node is a voter of a configuration that may still be in force: of the newest one
 * known committed, or of a later one. */
bool raft_config_may_stand(const struct pc_raft *r);
/* Asserts the rules of PROPOSE for a CONFIG entry, if there is one among the n. */
void raft_config_assert_step(const struct pc_raft *r, const struct pc_raft_proposal *v, size_t n);

/* ---- raft_peers.c */
struct raft_progress *raft_peer_find(struct pc_raft *r, pc_node_id id);
void raft_peers_sync(struct pc_raft *r);   /* with the config in force */
void raft_peers_let_go(struct pc_raft *r); /* of those who know that they are out */
/* What the voters of the config in force have, in any order: `of` each peer, `own` for this node.
 * out has room for PC_VOTERS_MAX. Returns how many. */
size_t raft_peers_voters(const struct pc_raft *r, uint64_t (*of)(const struct raft_progress *p),
    uint64_t own, uint64_t *out);
void raft_peer_restarted(struct pc_raft *r, pc_node_id peer);

/* ---- raft_snapshot.c */
void raft_snapshot_hint(struct pc_raft *r, struct raft_progress *p);
void raft_recv_snapshot(struct pc_raft *r, const struct pc_raft_msg *m);
void raft_compacted(struct pc_raft *r, pc_index first);
void raft_install(struct pc_raft *r, const struct pc_raft_install *install);

/* ---- raft_fetch.c */
void raft_offer(struct pc_raft *r, const struct pc_entries *entries);
pc_index raft_fetching_until(const struct pc_raft *r);
/* An answer of the peer, after what it means for its progress. */
void raft_fetch_note(struct pc_raft *r, struct raft_progress *p, const struct pc_raft_msg *m);
/* Are its entries left to others now? */
bool raft_fetch_waits(const struct pc_raft *r, struct raft_progress *p);

/* ---- raft_election.c */
void raft_election_reset(struct pc_raft *r);    /* a new random deadline */
void raft_election_campaign(struct pc_raft *r); /* pre-vote, or the vote itself on a transfer */
void raft_election_count(struct pc_raft *r);    /* enough votes? */
bool raft_leader_is_fresh(const struct pc_raft *r);
void raft_leader_lost(struct pc_raft *r, pc_node_id peer);
void raft_election_peer_up(struct pc_raft *r, pc_node_id peer);

/* ---- raft_replicate.c */
void raft_propose(struct pc_raft *r, const struct pc_raft_proposal *v, size_t n);
void raft_replicate(struct pc_raft *r); /* end of turn: send what is open to every peer */
void raft_heartbeat(struct pc_raft *r); /* the timer: mark every peer, check the quorum */
void raft_commit_maybe_advance(struct pc_raft *r);
void raft_recv_loaded(struct pc_raft *r, pc_node_id peer, const struct pc_entries *entries);

/* ---- raft_transfer.c */
/* The most advanced voter that answers; NULL when none does. */
struct raft_progress *raft_transfer_best(struct pc_raft *r);
void raft_transfer_begin(struct pc_raft *r, pc_node_id target);
void raft_transfer_maybe_begin(struct pc_raft *r); /* away from a stalled disk */
void raft_transfer_maybe_send(struct pc_raft *r);
void raft_transfer_end(struct pc_raft *r);
void raft_transfer_give_up(struct pc_raft *r); /* the target did not take over in time */

/* ---- raft_read.c */
void raft_read_add(struct pc_raft *r, uint64_t ctx, pc_node_id from);
void raft_read_begin_round(struct pc_raft *r);   /* end of turn */
void raft_read_maybe_confirm(struct pc_raft *r); /* after an answer with a round */
void raft_read_refuse_all(struct pc_raft *r);    /* leadership ended, or suspended */

/* ---- raft_clock.c */
void raft_clock_follow(struct pc_raft *r, pc_ms leader_ms);
void raft_clock_lead(struct pc_raft *r); /* at election: median of the quorum's estimates */
pc_ms raft_clock_now(const struct pc_raft *r);
pc_ms raft_clock_stamp(const struct pc_raft *r); /* for the next entry */

/* ---- raft_recv_append.c, for APPEND and SNAPSHOT */
/* A leader of this term or a later one was heard: this node follows it. False, and answered where
 * there is an answer to give, when the message is not to be taken. `prev`, `hint` as in
 * raft_append_reject.
 */
bool raft_leader_hear(struct pc_raft *r, const struct pc_raft_msg *m, pc_index prev, pc_index hint);
/* `prev` does not fit; the log may agree with the leader's up to `hint`. */
void raft_append_reject(
    struct pc_raft *r, pc_node_id to, pc_index prev, uint64_t round, pc_index hint);

/* ---- raft_recv_*.c: one received message each */
void raft_recv_vote(struct pc_raft *r, const struct pc_raft_msg *m);
void raft_recv_vote_resp(struct pc_raft *r, const struct pc_raft_msg *m);
void raft_recv_append(struct pc_raft *r, const struct pc_raft_msg *m);
void raft_recv_append_resp(struct pc_raft *r, const struct pc_raft_msg *m);
void raft_recv_read(struct pc_raft *r, const struct pc_raft_msg *m);
void raft_recv_read_resp(struct pc_raft *r, const struct pc_raft_msg *m);
void raft_recv_timeout_now(struct pc_raft *r, const struct pc_raft_msg *m);

#endif
