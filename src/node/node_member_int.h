/* node_member_int.h: the members of the cluster, and the work on them; a part of node_int.h.
 *
 *   node_config.c        the configs in the log
 *   node_member_plan.c   what a request makes of the members
 *   node_member.c        the leader's work on them
 *   node_member_auto.c   changes that nobody asked for
 *   node_member_spare.c  the votes of members that die
 *   node_member_ask.c    requests at the node that took them */
#ifndef PCACHE_NODE_MEMBER_INT_H
#define PCACHE_NODE_MEMBER_INT_H

#include "pcache/node.h"

/* The leader looks this often at what is to be done about the members. */
#define NODE_MEMBER_TURN_MS 100
/* A voter that has answered within this is alive; a member is gone when it has been silent, and
 * this leader at work, for opts.dead_after_ms. */
#define NODE_MEMBER_ALIVE_MS 1000
/* A learner is caught up when for this long ... */
#define NODE_CAUGHT_UP_MS 2000
/* ... it was either this close to the leader's log, or had within that time what the leader had. */
#define NODE_CAUGHT_UP_LAG 100
#define NODE_CAUGHT_UP_ROUND_MS 500
#define NODE_INVITE_MS 500
/* How often a peer is told that it is no member. */
#define NODE_STRANGER_MS 2000
/* How often a node that stops tells the leader that its vote may go. */
#define NODE_YIELD_MS 100
/* Requests about members that may be on their way from this node. */
#define NODE_ASKS_MAX 64
#define NODE_ASK_RETRY_MS 100
/* Identities whose removal this node remembers. */
#define NODE_REMOVED_MAX 32

/* A CONFIG entry. */
struct node_config {
    pc_index index;
    pc_term term;
    struct pc_cluster_config members;
};

/* A request about members, at the node that took it:
 *
 *   waits --> sent --> answered
 *     ^         |
 *     +---------+  RETRY (not done), or its leader is gone: then it may have been done (again)   */
struct node_ask {
    uint64_t tag;
    uint64_t nonce;
    struct pc_member_change change;
    bool sent;
    bool again;
    pc_node_id sent_to;
    pc_term sent_term;
    struct pc_instant try_at;
    struct pc_instant deadline;
    char text[PC_MEMBER_TEXT_BYTES_MAX + 1]; /* of the last RETRY */
};

/* What the leader knows of how a learner keeps up. */
struct node_learner {
    pc_node_id id;
    pc_index mark; /* the end of the leader's log at mark_at */
    struct pc_instant mark_at;
    bool is_good;
    struct pc_instant good_since;
};

/* The work of a ready leader on the members. */
struct node_leading {
    pc_term term; /* of this leader; 0 = this node is none */
    struct pc_instant since;
    struct pc_instant turn_at;
    bool has_work;             /* turn_at is to be waited for */
    bool is_open;              /* a change was not committed yet, as of the last turn */
    struct pc_instant calm_at; /* no vote changes for a death before this */
    struct node_learner learners[PC_CLUSTER_MEMBERS_MAX];
    size_t learners_n;
    /* The change under way that somebody waits for: its entry. index 0 = nobody waits. */
    pc_index change_index;
    pc_node_id asker;
    uint64_t nonce;
};

/* ---- node_config.c: the configs in the log */
/* Starts the stack anew with this one, known committed or entry 1. */
void node_config_begin(
    struct pc_node *n, pc_index index, pc_term term, const struct pc_cluster_config *config);
/* Puts one on top: of an entry behind that of the one in force. */
void node_config_push(
    struct pc_node *n, pc_index index, pc_term term, const struct pc_cluster_config *config);
/* A snapshot that holds this one is about to be installed: what is at or below it goes. */
void node_config_install(
    struct pc_node *n, pc_index index, pc_term term, const struct pc_cluster_config *config);
/* After a step of raft: takes over what was appended, truncated, committed. */
void node_config_watch(struct pc_node *n);
void node_config_forget(struct pc_node *n);
bool node_config_is_removed(const struct pc_node *n, pc_node_id id);
/* Members of a config: NULL when there is none. */
struct pc_cluster_member *node_config_find(struct pc_cluster_config *config, pc_node_id id);
const struct pc_cluster_member *node_config_get(
    const struct pc_cluster_config *config, pc_node_id id);
/* The first of this name; *n: how many there are (0, 1, 2). */
struct pc_cluster_member *node_config_named(
    struct pc_cluster_config *config, const char *name, size_t *count);
void node_config_add(struct pc_cluster_config *config, const struct pc_cluster_member *member);
void node_config_drop(struct pc_cluster_config *config, struct pc_cluster_member *member);
void node_config_sort(struct pc_cluster_config *config);
size_t node_config_voters(const struct pc_cluster_config *config);
/* Names that are wanted as voters. */
size_t node_config_target(const struct pc_cluster_config *config);
/* It is on its way out: another identity takes its place. */
bool node_member_is_leaving(const struct pc_cluster_member *member);
/* Its vote is to go: a spare votes in its place, as leaders of older versions leave it. */
bool node_member_is_relieved(const struct pc_cluster_member *member);

/* ---- node_member_plan.c: what a request makes of the members */
/* Fills in *config, which comes as the one in force, and text when it is not DONE.
 * Returns DONE with *changed = false when nothing is to be done; RETRY with *hand_over when this
 * node has to hand leadership over first. */
enum pc_member_result node_member_plan(struct pc_node *n, const struct pc_member_change *change,
    bool again, struct pc_cluster_config *config, bool *changed, bool *hand_over, char *text);
/* Whether a quorum of these voters is fresh; else text says who is not. */
bool node_member_quorum_lives(
    struct pc_node *n, const struct pc_cluster_config *config, char *text);

/* ---- node_member.c: the leader's work on the members */
void node_member_turn(struct pc_node *n);
/* A request, of this node or another: answered by node_member_answer, sooner or later. */
void node_member_handle(struct pc_node *n, pc_node_id asker, const struct pc_member_msg *ask);
/* A member that does not talk to this leader, nor to SWIM. */
bool node_member_is_gone(struct pc_node *n, pc_node_id id);
bool node_member_is_alive(const struct pc_node *n, pc_node_id id);
/* Alive, and has answered within an election timeout. */
bool node_member_is_fresh(const struct pc_node *n, pc_node_id id);
bool node_member_is_caught_up(const struct pc_node *n, pc_node_id id);
/* Caught up, and fresh: it may be given a vote. */
bool node_member_may_vote(const struct pc_node *n, pc_node_id id);
/* Who is there has changed. */
void node_member_poke(struct pc_node *n);
struct pc_instant node_member_wake_at(const struct pc_node *n);

/* ---- node_member_auto.c: changes that nobody asked for */
/* The next one that is due, if any: *config, which comes as the one in force, is changed and true
 * returned; *hand_over: leadership goes first. why[PC_MEMBER_TEXT_BYTES_MAX + 1]: who died, when
 * that is the reason; else "". */
bool node_member_next(
    struct pc_node *n, struct pc_cluster_config *config, bool *hand_over, char *why);
/* There are voters, and most of them are fresh. */
bool node_member_config_lives(struct pc_node *n, const struct pc_cluster_config *config);

/* ---- node_member_spare.c: the votes of members that die; the three as node_member_next */
bool node_is_spare(const struct pc_node *n); /* this node: it serves no clients */
bool node_member_take_over(struct pc_node *n, struct pc_cluster_config *config, char *why);
bool node_member_relieve(struct pc_node *n, struct pc_cluster_config *config, bool *hand_over);
bool node_member_shrink(struct pc_node *n, struct pc_cluster_config *config, char *why);
/* As a leader sees it: not one voter more may be lost, or the other one of two is. */
bool node_member_has_no_slack(struct pc_node *n, const struct pc_cluster_config *config);
/* A node that stops gives its vote up. */
void node_member_yield(struct pc_node *n);
struct pc_instant node_member_yield_wake_at(const struct pc_node *n);
/* A voter is silent, and when it counts as dead something is to be done. */
bool node_member_awaits_death(struct pc_node *n);

/* ---- node_member_ask.c: requests at the node that took them */
void node_member_request(struct pc_node *n, const struct pc_request *request);
void node_member_send(struct pc_node *n);
void node_member_answered(struct pc_node *n, pc_node_id from, const struct pc_member_msg *answer);
void node_member_expire(struct pc_node *n);
void node_member_fail_all(struct pc_node *n, enum pc_reply_status status);
struct pc_instant node_member_ask_wake_at(const struct pc_node *n);
bool node_name_is_valid(const char *name);

#endif
