/* sim_member.h: members that change, and what is checked of it. Part of sim_int.h. */
#ifndef PC_SIM_MEMBER_H
#define PC_SIM_MEMBER_H

#include "sim/sim.h"

struct pc_sim;
struct sim_node;
struct sim_op;

/* ---- sim_config.c: a CONFIG entry that was made */
struct sim_config {
    pc_index index;
    pc_term term;
    struct pc_hash chain;
    struct pc_cluster_config members;
    struct pc_raft_config raft; /* its voters and learners; index is not set */
    uint64_t asked;             /* tag of the one request that it can be of; 0 = none, or several */
    bool is_refused;            /* and that was answered as not done */
    uint64_t death_us;          /* when the last vote was taken of somebody dead; 0 = never */
};

/* ---- sim_medium.c: disks that are lost for good */
/* Whatever is in a machine that is down, an empty disk takes its place for good. */
void sim_medium_renew(struct pc_sim *sim, struct sim_node *node);
/* The stranger on an empty disk is somebody now: that disk is the machine's own. */
void sim_medium_adopt(struct pc_sim *sim, struct sim_node *node);
/* Puts the disk that machine `from` had before into `into`, which is not in use. */
void sim_medium_old_disk(struct pc_sim *sim, const struct sim_node *from, struct sim_node *into);

/* ---- sim_member.c: machines that come and go */
size_t sim_founders(const struct pc_sim_params *params);
bool sim_is_first_spare(const struct pc_sim_params *params, size_t index);
/* A disk of this identity may be lost for good: everybody's majority has its own. */
bool sim_member_may_lose(const struct pc_sim *sim, pc_node_id id);
/* Gives a machine an empty disk, if that may be; it is down then. */
bool sim_member_empty(struct pc_sim *sim, struct sim_node *node, bool joins);
void sim_member_lose_disk(struct pc_sim *sim);
void sim_member_strike(struct pc_sim *sim);
/* The node was invited. False: it died of noting that. */
bool sim_member_joined(struct pc_sim *sim, struct sim_node *node);
void sim_member_answered(struct pc_sim *sim, const struct sim_op *op);
void sim_member_machine(struct pc_sim *sim, struct sim_node *node, enum pc_member_op op);
/* While all heals: every member gets a machine that may be it. */
void sim_member_tend(struct pc_sim *sim);
/* It is a member that the others may count on. */
bool sim_member_counts(const struct pc_sim *sim, const struct sim_node *node);
/* What is unfinished about the members; NULL = nothing. */
const char *sim_member_unsettled(const struct pc_sim *sim);

/* ---- sim_check_member.c: C.1 */
void sim_check_member_reply(
    struct pc_sim *sim, struct sim_node *node, struct sim_op *op, enum pc_reply_status status);
void sim_check_member_made(
    struct pc_sim *sim, const struct sim_config *before, struct sim_config *made);
void sim_check_member_refused(struct pc_sim *sim);

/* ---- sim_check_spare.c: C.2, C.3 */
/* This entry has a spare take the place of a voter, and the name is that of one of the two. */
bool sim_check_spare_is_swap(
    const struct sim_config *before, const struct sim_config *made, const char *name);
void sim_check_spare_made(struct pc_sim *sim, const struct sim_node *maker,
    const struct sim_config *before, struct sim_config *made);
/* A message of Raft has come from that machine. */
void sim_check_spare_heard(
    struct sim_node *node, uint32_t from, const struct pc_raft_msg *msg, uint64_t now_us);
void sim_check_spare_asked(const struct sim_node *node, struct sim_op *op);
void sim_check_spare_answer(
    struct pc_sim *sim, const struct sim_node *node, const struct sim_op *op);
/* It answers clients: in the end it is no spare. */
bool sim_check_spare_serves(const struct pc_sim *sim, const struct sim_node *node);

/* ---- sim_spare.c: deaths that last (C.4) */
void sim_spare_strike(struct pc_sim *sim);
void sim_spare_run(struct pc_sim *sim);

/* ---- sim_config.c: who the members are (B.12, B.13) */
void sim_config_destroy(struct pc_sim *sim);
/* A CONFIG entry is appended to the log of this node, which may be its first. */
void sim_config_made(struct pc_sim *sim, const struct sim_node *node, const struct pc_entry *entry);
/* The image of this log has changed. */
void sim_config_follow(struct pc_sim *sim, struct sim_node *node);
/* Does the node go by the newest members of its log? */
void sim_config_check(struct pc_sim *sim, const struct sim_node *node);
/* Majorities of members that may be elected by have a node in common. */
void sim_config_check_all(struct pc_sim *sim);
/* The newest that is committed; NULL = there is no cluster yet. */
const struct sim_config *sim_config_committed(const struct pc_sim *sim);
bool sim_config_votes(const struct sim_config *config, pc_node_id id);

#endif
