/* node_int.h: what the files of node/ share. Nothing outside this folder includes it. */
#ifndef PCACHE_NODE_INT_H
#define PCACHE_NODE_INT_H

#include "node_apply_int.h"
#include "node_catchup_int.h"
#include "node_digest_int.h"
#include "node_member_int.h"
#include "node_protocol_int.h"
#include "node_quorum_int.h"
#include "node_snapshot_int.h"
#include "node_solo_int.h"
#include "pcache/assert.h"
#include "pcache/node.h"

/* ---- a client's write on its way
 *
 *            proposed here, or forwarded
 *   WAITING ----------------------------> SENT ---- applied here ----> answered
 *      ^  |                                | |
 *      |  +-- no leader in time: 503       | +-- not applied in time, or its leader is gone and
 *      +------------ refused --------------+     a later one at work: 504, outcome unknown
 *
 * From WAITING a write may also go into a BRANCH (node_solo.c), and is answered from there.
 * A command that may have left is never sent again: only a refusal, which proves that the leader
 * did not propose it, brings it back. */
enum node_write_state { NODE_WRITE_WAITING = 1, NODE_WRITE_SENT, NODE_WRITE_BRANCH };

struct node_write {
    uint64_t seq;
    uint64_t tag;
    struct pc_blob *body;
    enum node_write_state state;
    uint32_t attempt;
    pc_node_id sent_to; /* the leader that has it, perhaps this node */
    uint64_t sent_life; /* generation of that peer; 0 for this node */
    pc_term sent_term;
    struct pc_instant wait_until; /* no longer for a leader than this, refusals included */
    struct pc_instant deadline;
    struct node_write *next, *prev; /* in the list of its state, ascending deadline */
    struct node_write *bucket_next;
};

struct node_write_list {
    struct node_write *first, *last;
};

#define NODE_WRITE_BUCKETS 4096

/* ---- a linearizable read on its way: ctx 0 = not asked yet; index 0 = not confirmed yet */
struct node_read {
    uint64_t tag;
    struct pc_blob *key;
    uint64_t ctx;
    pc_index index;
    struct pc_instant asked_at;
    struct pc_instant deadline;
    struct node_read *next, *prev;
};

/* An unanswered read index is asked for anew after this: a message may have been lost. */
#define NODE_READ_RETRY_MS 250
/* After a refusal nothing is forwarded, and no read asked, for this long. */
#define NODE_REFUSED_PAUSE_MS 20
/* A leader with expiring items lets time pass at least this often. */
#define NODE_TICK_MS 250
/* ... and on its disk's reserve, which it could else use up with that alone. */
#define NODE_TICK_SPARING_MS 2000
/* Entry 1 is sent again to a member that has not spoken Raft yet. */
#define NODE_FORM_RETRY_MS 500
/* Between two tries to hand leadership over: while one runs no write and no TICK is taken. */
#define NODE_HAND_OVER_MS 1000
/* The same because of a disk that is only slow: no hurry, and writes are to flow in between. */
#define NODE_HAND_OVER_SLOW_MS 5000
/* How often a peer's traffic is reported to SWIM as a sign of life. */
#define NODE_CONTACT_MS 100
/* Lag at which a node that catches up is ready, and at which a ready one is not any more. */
#define NODE_LAG_READY 100
#define NODE_LAG_UNREADY 50000

/* A peer that was asked for lost entries has this long to answer; after all of them were asked in
 * vain the next round begins after the other. */
#define NODE_REPAIR_ANSWER_MS 1000
#define NODE_REPAIR_RETRY_MS 300
/* Tags of loads: 0 = for applying, a peer's id = for raft, these = for a peer's FETCH. Ids are
 * random: none is so near the end. */
#define NODE_TAG_FETCH(slot) (UINT64_MAX - (slot))
PC_STATIC_ASSERT(NODE_TAG_FETCH(NODE_PEERS_MAX) > PC_NODE_TAG_DRIVER, "another than the driver's");

/* What is done about lost entries: node_repair.c. */
struct node_repair {
    struct pc_node_gap *gaps; /* gaps_n 0 = nothing is lost */
    size_t gaps_n;
    size_t at;            /* the one being filled; gaps_n = all are */
    pc_index next;        /* entry to ask for ... */
    struct pc_hash chain; /* ... which follows this one */
    bool from_floor;
    bool probing;     /* the gap's last entry alone is asked for */
    pc_node_id giver; /* of everything taken since the gap was begun; 0 = several, or nothing */
    pc_term doubt;    /* noted beside the gaps: a cut was begun, or is not over yet; 0 = none */
    bool busy;        /* an effect is being carried out */
    bool is_news;     /* not said yet */
    pc_node_id peer;  /* asked; 0 = nobody */
    uint64_t nonce;
    struct pc_instant ask_at; /* the next question; of an asked peer: the end of its time */
    bool asked_in_vain[NODE_PEERS_MAX]; /* by place in peers */
    size_t turn;
    bool is_dropped;    /* a peer has none of what was asked for */
    pc_index opened_at; /* base of the snapshot that the log was opened with last */
};

/* The own disk: node_disk.c. */
struct node_disk {
    struct pc_disk_report report;
    enum pc_space_level level; /* by the marks: never FULL */
    bool is_slow;
    unsigned rounds; /* measurements in a row that speak for the contrary of is_slow */
    uint64_t written_seq, stored_seq; /* of writes that were handed out, and reported back */
    struct pc_instant stored_at;      /* the last time that something was, or nothing waited */
    enum pc_space_level level_noted;
    bool slow_noted;
};

/* How a peer's log grew of late: two samples about a second apart. */
struct node_progress {
    bool begun;
    struct pc_instant older_at, newer_at;
    pc_index older_match, newer_match;
};

struct node_peer {
    struct pc_peer_hello hello;
    bool up;
    bool disk_told;
    struct pc_disk_msg disk; /* as told at disk_at */
    struct pc_instant disk_at;
    struct node_peer_digest digest;
    bool spoke_raft; /* it has entry 1: it said so, or showed it by a message of Raft or entry 1 */
    bool kept_log;   /* on its disk: it said so */
    struct pc_instant form_at;
    struct pc_instant contact_at;
    bool is_withheld;              /* what it cannot read, on this link; and that was said */
    uint64_t withheld_term;        /* in which entries were; 0 = none */
    struct node_progress progress; /* on the leader */
    struct node_question questions[NODE_QUESTIONS_MAX]; /* answered in this order */
    size_t questions_n;
    bool is_given;        /* the first one is loaded for */
    bool catchup_in_vain; /* asked in this attempt, and of no use */
    struct pc_instant invite_at;
    struct pc_instant stranger_at;
};

/* What is known of the lives of a peer: node_lives.c. */
struct node_life {
    pc_node_id id;
    uint64_t noted; /* on this disk */
    uint64_t noted_mark;
    uint64_t asked; /* to be noted */
    uint64_t met;   /* newest one admitted by this process; 0 = none */
    uint64_t met_mark;
    bool is_lossy;           /* of that one: it may lose what it promises */
    pc_term promised_term;   /* counted by this process: on the peer's disk is this term, ... */
    pc_index promised_last;  /* ... and if no later one, this entry */
    uint64_t held_of;        /* life that `held` is of; 0 = nothing is held */
    struct pc_raft_msg held; /* its last question or answer of an election; owns nothing */
};

struct pc_node {
    struct pc_node_opts opts;
    struct pc_raft *raft;
    struct pc_store *store;
    struct pc_swim *swim;
    struct pc_instant now;
    struct pc_node_effects *fx;
    struct pc_raft_effects raft_fx; /* scratch of one raft step */

    /* formation and identity */
    struct pc_cluster_config config; /* in force; members_n 0 = not formed */
    struct node_config *configs;     /* [0]: the newest known committed, or entry 1; the last one
                                        is in force; those between are in the log */
    size_t configs_n, configs_cap;
    bool joined; /* invited into n->history; entries are taken though there is no config */
    char not_member[PC_MEMBER_TEXT_BYTES_MAX + 1]; /* told so by a peer; "" = not */
    pc_node_id removed[NODE_REMOVED_MAX];          /* once members, no more; the newest win */
    size_t removed_n;
    struct node_leading leading;
    struct node_ask asks[NODE_ASKS_MAX];
    size_t asks_n;
    uint64_t next_nonce;
    char refused[192];   /* why a peer refuses us; "" = nobody does */
    bool members_edited; /* and not said yet */
    struct node_peer peers[NODE_PEERS_MAX];
    size_t peers_n;
    uint8_t history[16]; /* that this node belongs to, be its log lost or not */
    bool has_history;

    struct node_life lives[PC_LIVES_MAX];
    size_t lives_n;
    pc_term began_term; /* that this life found on its disk ... */
    pc_index began_last;
    bool began_lossy;

    struct node_repair repair;
    pc_index repair_last; /* of a log with gaps */
    struct node_catchup catchup;
    struct node_pace pace;

    struct node_digest digest;
    struct node_snapshot snapshot;
    struct node_load load;
    struct node_fetch fetch;
    struct node_give gives[NODE_GIVES_MAX];

    /* applying */
    pc_index applied;
    pc_term applied_term;
    uint8_t applied_protocol;   /* newest form of an entry that was applied since this start */
    struct pc_error unreadable; /* an entry of the own log, if code is not PC_OK */
    struct pc_hash applied_chain;
    pc_index apply_from; /* first of what is being loaded to be applied; 0 = nothing is */
    struct pc_instant apply_retry_at;
    struct node_early early;
    pc_index replay_until;  /* commit at start: replay of the own log */
    pc_index leader_commit; /* newest heard from a leader */
    bool heard_leader;      /* since this start */
    bool caught_up;
    struct node_progress progress; /* of `applied` */
    uint64_t bad_commands; /* entries whose body does not decode: applied as no-ops, everywhere */

    /* client requests */
    uint64_t next_seq;
    struct node_write_list waiting, sent, branched;
    struct node_write *buckets[NODE_WRITE_BUCKETS];
    size_t writes_n, writes_bytes;
    struct node_read *reads_first, *reads_last;
    size_t reads_n, reads_unasked;
    uint64_t next_ctx;
    struct pc_instant pause_until; /* after a refusal */
    struct pc_instant proposed_at; /* last proposal of this leader, for TICK */

    bool draining, log_full, failed;
    struct node_disk disk;
    struct node_solo solo;
    struct pc_instant hand_over_at;
    struct pc_instant yield_at; /* draining: the leader is told again */
    struct pc_instant leader_seen_at;
    bool leader_ever;
    struct node_told told;
    struct pc_instant resumed_at; /* from the last gap between two events; zero = there was none */
    bool was_fresh;               /* since this start; then at: */
    struct pc_instant fresh_at; /* all that was known committed was applied, as a leader knew it */
    enum pc_raft_role role_noted;
    pc_term term_noted;
    pc_node_id leader_noted;
    uint64_t divergence_noted;
};

/* ---- node.c */
/* Gives Raft a message of a peer whose life is noted. */
void node_recv_raft(struct pc_node *n, const struct pc_raft_msg *msg);

/* ---- node_effects.c */
struct pc_reply *node_reply_add(struct pc_node *n, uint64_t tag, enum pc_reply_status status);
struct pc_msg *node_msg_add(struct pc_node *n, enum pc_msg_type type, pc_node_id to);
void node_load_add(struct pc_node *n, uint64_t tag, pc_index first, pc_index last);
void node_note_add(struct pc_node *n, enum pc_note_type type, pc_node_id id, uint64_t a, uint64_t b,
    const char *text);
void node_note_members(struct pc_node *n); /* what SWIM has found in this step */
void node_life_add(struct pc_node *n, const struct pc_life *life);
/* Steps raft and takes its effects over. */
void node_raft_step(struct pc_node *n, struct pc_raft_event *event);
/* Notes changes of role, term and leader. */
void node_raft_watch(struct pc_node *n);

/* ---- node.c */
/* A leader that drains, or whose disk is short, tries to hand over. */
void node_hand_over_maybe(struct pc_node *n);

/* ---- node_log.c */
void node_log_event(struct pc_node *n, const struct pc_node_event *event);
/* Nothing may be promised any more. */
void node_log_failed(struct pc_node *n);

/* ---- node_client.c: writes */
void node_client_request(struct pc_node *n, const struct pc_request *request);
void node_client_send(struct pc_node *n); /* end of turn: propose or forward what waits */
void node_client_applied(
    struct pc_node *n, const struct pc_entry *entry, const struct pc_outcome *outcome);
void node_client_expire(struct pc_node *n);  /* deadlines */
void node_client_give_up(struct pc_node *n); /* a peer is gone or anew, or a later term applied */
void node_client_fail_all(struct pc_node *n, enum pc_reply_status status);
void node_client_tick(struct pc_node *n);
struct pc_instant node_client_wake_at(const struct pc_node *n);

/* ---- node_forward.c: commands between nodes */
void node_forward_send(struct pc_node *n, pc_node_id leader);
void node_forward_recv(struct pc_node *n, const struct pc_msg *msg);
void node_forward_refused(struct pc_node *n, const struct pc_msg *msg);

/* ---- node_write_table.c: the pending writes and their lists */
struct node_write *node_write_new(struct pc_node *n, uint64_t tag, struct pc_blob *body);
struct node_write *node_write_find(const struct pc_node *n, uint64_t seq);
void node_write_move(struct pc_node *n, struct node_write *w, enum node_write_state state);
/* Moves it to those that are sent: to this leader, of this term. */
void node_write_sent(struct pc_node *n, struct node_write *w, pc_node_id leader, pc_term term);
void node_write_answer(struct pc_node *n, struct node_write *w, enum pc_reply_status status);
void node_write_refuse(struct pc_node *n, struct node_write *w, const char *text);
void node_write_remove(struct pc_node *n, struct node_write *w);

/* ---- node_read.c */
void node_read_request(struct pc_node *n, const struct pc_request *request);
void node_read_ask(struct pc_node *n); /* end of turn */
void node_read_done(struct pc_node *n, uint64_t ctx, pc_index index);
void node_read_answer_ready(struct pc_node *n);
void node_read_expire(struct pc_node *n);
void node_read_fail_all(struct pc_node *n, enum pc_reply_status status);
struct pc_instant node_read_wake_at(const struct pc_node *n);

/* ---- node_peers.c */
/* In the refusal of a stranger; a node that is to join knows by it what is missing. */
#define NODE_TEXT_NOT_A_MEMBER "is not a member of this cluster"
struct node_peer *node_peer_find(struct pc_node *n, pc_node_id id);
bool node_peer_is_empty(const struct node_peer *peer); /* by its hello */
void node_peer_up(struct pc_node *n, const struct pc_peer_hello *hello);
void node_peer_down(struct pc_node *n, pc_node_id id);
void node_peer_lost(struct pc_node *n, pc_node_id peer);
/* It belongs to another cluster than the one that this node comes into. */
bool node_peer_is_foreign(struct pc_node *n, pc_node_id id);
/* A peer, which does not say who it is, lets this node not in. */
void node_peer_refused(struct pc_node *n, const char *text);
void node_peer_heard(struct pc_node *n, const struct pc_msg *msg);
bool node_peer_has_acknowledged(const struct pc_node *n, pc_node_id id); /* an entry, to us */
const char *node_name_of(const struct pc_node *n, pc_node_id id);        /* "" when unknown */

/* ---- node_lives.c */
void node_lives_restore(struct pc_node *n, const struct pc_node_restored *restored);
void node_lives_hello(const struct pc_node *n, struct pc_peer_hello *out);
/* Returns PC_OK, PC_E_STALE, PC_E_SUPERSEDED. */
pc_err node_lives_admit(
    const struct pc_node *n, const struct pc_peer_hello *hello, struct pc_error *error);
void node_lives_meet(struct pc_node *n, const struct pc_peer_hello *hello);
/* May a message of Raft from this peer be given to it? If not, its life is being noted. */
bool node_lives_may_speak(struct pc_node *n, pc_node_id id);
/* Keeps what came of a life that may not speak yet, if it is worth it. */
void node_lives_hold(struct pc_node *n, const struct pc_raft_msg *msg);
/* True: what was kept of this peer may be heard now, and is in *out. */
bool node_lives_release(struct pc_node *n, pc_node_id id, struct pc_raft_msg *out);
void node_lives_noted(struct pc_node *n, const struct pc_life *noted);
/* Raft was stepped with this message; was_candidate: the role before. */
void node_lives_count(struct pc_node *n, const struct pc_raft_msg *msg, bool was_candidate);
void node_lives_check(const struct pc_node *n);

/* ---- node_form.c */
bool node_is_formed(const struct pc_node *n);
/* Takes over the configs of the log, or of a newer snapshot; *config is what raft is told. */
pc_err node_form_restore(struct pc_node *n, const struct pc_node_restored *restored,
    struct pc_raft_config *config, struct pc_error *error);
void node_form_maybe(struct pc_node *n); /* form the cluster when everybody is there and empty */
bool node_form_wants_entry(const struct pc_node *n, const struct node_peer *peer);
void node_form_spread(struct pc_node *n); /* send entry 1 to members that have nothing */
void node_form_recv(struct pc_node *n, const struct pc_msg *msg);
struct pc_instant node_form_wake_at(const struct pc_node *n);
/* Writes the names of configured members that were not met yet: "node2, node3". */
void node_form_missing(const struct pc_node *n, char *out, size_t out_max);

/* ---- node_join.c: the invited side */
void node_join_invited(struct pc_node *n, const struct pc_member_msg *invite);
/* It has lost all it had of its history, whose beginning nobody has any more: it takes what comes.
 */
void node_join_back(struct pc_node *n);
void node_join_refused(struct pc_node *n, const char *text);
/* A leader sends entries: this node is a member after all. */
void node_join_heard(struct pc_node *n, const struct pc_raft_msg *msg);

/* ---- node_repair.c */
bool node_repair_is_on(const struct pc_node *n);
/* doubt: that stands on disk beside the gaps (raft.h). */
void node_repair_begin(
    struct pc_node *n, const struct pc_node_gap *gaps, size_t gaps_n, pc_term doubt);
void node_repair_turn(struct pc_node *n);
struct pc_instant node_repair_wake_at(const struct pc_node *n);
void node_repair_peer_changed(struct pc_node *n, pc_node_id peer, bool up);
void node_repair_entries(struct pc_node *n, const struct pc_msg *msg);
void node_repair_done(struct pc_node *n, bool ok, bool closed);

/* ---- node_repair_text.c */
/* Says once, as a note, what a node under doubt waits for. */
void node_repair_tell_doubt(struct pc_node *n);
/* "repairing entries 120..180 from peers (40%)"; "" when all is well. */
void node_repair_text(const struct pc_node *n, char *out, size_t out_max);

/* ---- node_disk.c */
void node_disk_report(struct pc_node *n, const struct pc_disk_report *report);
void node_disk_recv(struct pc_node *n, const struct pc_msg *msg);
void node_disk_tell_all(struct pc_node *n);              /* the voters: how this disk is */
void node_disk_written(struct pc_node *n, uint64_t seq); /* was handed to the disk */
void node_disk_stored(struct pc_node *n, uint64_t seq);  /* and all before: came back */
void node_disk_turn(struct pc_node *n);
enum pc_space_level node_disk_space(const struct pc_node *n);
/* False: that peer says that its disk takes nothing more. */
bool node_disk_peer_has_room(const struct pc_node *n, pc_node_id id);
/* Do so many bytes more fit above the hard mark? */
bool node_disk_has_room(const struct pc_node *n, uint64_t bytes);
/* Since when the disk stores nothing, though something waits; 0 = it does, or not for long. */
pc_ms node_disk_waits_ms(const struct pc_node *n, struct pc_instant now);
bool node_disk_is_slow(const struct pc_node *n, struct pc_instant now);
/* For a leader. FULL: nothing can be stored; HARD: nothing that grows may be; else OK. */
enum pc_space_level node_disk_verdict(const struct pc_node *n);
bool node_disk_refuses(enum pc_space_level verdict, const struct pc_blob *body);
/* For a leader: who had better lead, for its disk; 0 = nobody. */
pc_node_id node_disk_successor(const struct pc_node *n);
void node_disk_text(const struct pc_node *n, struct pc_instant now, char *out, size_t max);
/* What the member said of its disk of late. */
void node_disk_fill(const struct pc_node *n, struct pc_instant now, struct pc_node_member *member);

/* ---- node_redundancy.c */
struct node_voter {
    const char *name;
    bool up;
};
void node_redundancy_of(
    const struct node_voter *voters, size_t voters_n, struct pc_node_redundancy *out);
void node_progress_sample(struct node_progress *p, struct pc_instant now, pc_index match);
/* False while no rate is known, or there is nothing to wait for. */
bool node_progress_eta(const struct node_progress *p, struct pc_instant now, pc_index match,
    pc_index last, pc_ms *eta_ms);
void node_progress_turn(struct pc_node *n);
/* Fills in the estimate of a member that catches up. */
void node_progress_fill(
    const struct pc_node *n, struct pc_instant now, struct pc_node_member *member);

/* ---- node_status.c */
void node_catchup_update(struct pc_node *n);

#endif
