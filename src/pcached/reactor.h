/* reactor.h: the engine thread: one event loop around one node. Private to pcached. */
#ifndef PCACHED_REACTOR_H
#define PCACHED_REACTOR_H

#include "bell.h"
#include "config/config.h"
#include "identity.h"
#include "lives.h"
#include "pcache/branch.h"
#include "pcache/bus.h"
#include "pcache/feed.h"
#include "pcache/gossip.h"
#include "pcache/http.h"
#include "pcache/snap.h"
#include "pcache/wal.h"

/* Exit statuses beside those of config.h (sysexits). */
#define PC_EXIT_DATA 65     /* damaged data */
#define PC_EXIT_SOFTWARE 70 /* a part could not be set up */
#define PC_EXIT_OS 71
#define PC_EXIT_IO 74       /* the log can no longer be written */
#define PC_EXIT_TEMPFAIL 75 /* the data directory, or a port, is in use */

/* Where a stop stands; see reactor_drain.c. */
enum drain_state {
    DRAIN_NONE = 0,
    DRAIN_HAND_OVER,
    DRAIN_ANNOUNCE,
    DRAIN_FINISH,
    DRAIN_DONE,
};

struct reactor {
    const struct pc_config *config;
    struct identity *identity; /* borrowed; has_log is noted from here */
    uint8_t history[16];       /* noted beside the log (history.h) */
    bool has_history;
    bool had_log;                     /* has_log, as this start found it */
    bool snapshot_is_bad;             /* there are some beside the log, and none is whole */
    struct pc_instant repair_warn_at; /* the next warning that a repair is short of something */
    struct event_base *base;
    struct event *timer, *sigterm, *sigint, *drain_timer, *seed_timer;
    struct bell lives_bell; /* a note on a peer's life has an outcome */
    struct lives_thread *lives;
    struct bell wal_bell;   /* the log thread has completions */
    uint8_t store_seed[16]; /* of stores of this process */
    struct pc_node *node;
    struct pc_wal_thread *wal;
    struct pc_snap_thread *snaps;
    struct bell snap_bell;                  /* the snapshot thread has completions */
    struct pc_snap_reader *snapshot_reader; /* of the newest, until the thread has it */
    struct pc_node_snapshot snapshot;       /* as found at the start; borrows of the reader */
    bool has_snapshot;
    struct pc_branch_thread *branches;
    struct bell branch_bell;             /* the branch thread has completions */
    struct pc_branch_found branch_found; /* as the start found it, until the thread has it */
    struct pc_feed *feed;
    struct bell feed_bell; /* the feed thread has something */
    uint64_t feed_tag;     /* of the page that is being read or written; 0 = none */
    struct pc_bus *bus;
    struct pc_gossip *gossip;
    struct links_dialled *dialled;        /* reactor_links.c */
    struct pc_cluster_config dialled_for; /* the members as of the last look */
    struct pc_http *http;
    /* Steps add to effects[collecting]; the other one is being acted on, which may step again. */
    struct pc_node_effects effects[2];
    unsigned collecting;
    struct pc_instant armed_for; /* what the timer waits for; NEVER: it is not set */
    bool is_dirty;               /* a step was made since the last turn */
    bool stop;
    int exit_status;
    enum drain_state drain;
    struct pc_instant drain_since;
};

/* Sets up everything on the data directory of `identity` and runs until a signal or a failure.
 * Returns the exit status; messages have been logged. */
int reactor_run(const struct pc_config *config, struct identity *identity);

/* Steps the node with an event, whose `now` is filled in. */
void reactor_step(struct reactor *r, struct pc_node_event *event);

void reactor_node_opts(const struct reactor *r, struct pc_node_opts *opts);
int reactor_log_exit_status(pc_err err);
/* The log is of no use any more: clients are told, and the process ends. */
void reactor_log_failed(struct reactor *r, const struct pc_error *error);
/* Ends the process with this status as soon as the last answers have left. The first call counts.
 */
void reactor_end(struct reactor *r, int exit_status);

/* ---- reactor_log.c: the log as it is found, and its repair */
/* Logs why there is no starting; returns `status`. */
int reactor_refuse(const struct pc_error *error, int status);
/* Opens the log, builds the node on it, and starts the log thread. Returns an exit status or 0. */
int reactor_data_open(struct reactor *r);
/* Once there is a log, its history is noted beside it. Errors are logged, besides. */
pc_err reactor_note_history(struct reactor *r, struct pc_error *error);
void reactor_repair_act(struct reactor *r, struct pc_node_repair *repair);
void reactor_repaired(struct reactor *r, const struct pc_wal_done *done);
void reactor_reopened(struct reactor *r, struct pc_wal_done *done);

/* ---- reactor_lives.c: whose life it is, this node's and those of its peers */
bool reactor_lives_open(struct reactor *r, struct pc_error *error);
/* Hands on what the node wants noted of peers. */
void reactor_note_lives(struct reactor *r, const struct pc_node_effects *fx);
void reactor_lives_close(struct reactor *r);
/* Before the first message of Raft leaves for a peer, the identity says that this life is met.
 * False when it cannot: then no message of `fx` may leave. */
bool reactor_note_met(struct reactor *r, const struct pc_node_effects *fx);
/* A peer has refused this node; when another life of it counts, the process ends. */
void reactor_lives_refused(struct reactor *r, pc_err why, const char *text);
/* ---- reactor_snapshot.c */
/* Looks for the newest snapshot beside the log. */
PC_MUST_CHECK pc_err reactor_snapshot_find(struct reactor *r, struct pc_error *error);
/* A CONFIG entry as the snapshot carries it, of which only index, kind and body are known. Owned by
 * the caller. */
PC_MUST_CHECK pc_err reactor_snapshot_config(const struct reactor *r, struct pc_entry *out);
bool reactor_snapshot_open(struct reactor *r, struct pc_error *error);
void reactor_snapshot_close(struct reactor *r);
/* For pc_http_ops.snapshot_read. */
bool reactor_snapshot_read(
    void *context, uint64_t tag, pc_index index, uint64_t offset, size_t max);
void reactor_snapshot_act(struct reactor *r, struct pc_node_snap *snap);

/* ---- reactor_branch.c */
/* Looks for an open branch. */
PC_MUST_CHECK pc_err reactor_branch_find(struct reactor *r, struct pc_error *error);
/* It, for pc_node_restored: `out`, which borrows of the reactor; NULL when there is none. */
const struct pc_node_branch_found *reactor_branch_found(
    const struct reactor *r, struct pc_node_branch_found *out);
bool reactor_branch_open(struct reactor *r, struct pc_error *error);
void reactor_branch_close(struct reactor *r);
void reactor_branch_act(struct reactor *r, struct pc_node_branch *branch);
/* For pc_http_ops. */
bool reactor_rollback_ask(void *context, uint64_t tag, enum pc_http_rollback_ask what,
    const char *name, const struct pc_http_place *place);
uint64_t reactor_rollbacks_pending(void *context);

/* ---- reactor_feed.c: the log for clients */
bool reactor_feed_open(struct reactor *r, struct pc_error *error);
void reactor_feed_close(struct reactor *r);
/* For pc_http_ops.log_read. */
void reactor_feed_ask(void *context, uint64_t tag, pc_index first, pc_index last);
/* What the log thread has read for it. */
void reactor_feed_loaded(struct reactor *r, struct pc_wal_done *loaded);

/* ---- reactor_links.c: bus and gossip */
bool reactor_links_open(struct reactor *r, struct pc_error *error);
void reactor_links_close(struct reactor *r);
/* Once per turn: members that are new are dialled. */
void reactor_links_turn(struct reactor *r);
void reactor_links_member_changed(struct reactor *r, const struct pc_member *member);

/* ---- reactor_drain.c: stopping in order */
bool reactor_drain_open(struct reactor *r);
void reactor_drain_close(struct reactor *r);

/* ---- reactor_notes.c: what is worth a log line */
void reactor_note_log(const struct reactor *r, const struct pc_note *note);

/* ---- reactor_metrics.c: Prometheus text of the log, the bus and the gossip */
void reactor_metrics(void *context, struct pc_buf *out);

#endif
