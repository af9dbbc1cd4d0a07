/* sim_branch.h: branches of nodes that are alone, and what is known of them beside the nodes. Part
 * of sim_int.h. */
#ifndef PC_SIM_BRANCH_H
#define PC_SIM_BRANCH_H

#include "pcache/branch.h"
#include "sim/sim.h"
#include "sim/sim_client.h"

struct pc_sim;
struct sim_node;

struct sim_branch_write { /* one record, as it was made */
    struct pc_blob *command;
    pc_ms stamp_ms;
    size_t key;
    enum pc_op op;
    bool has_ttl;
    pc_ms ttl_ms;
    uint64_t value;
};

struct sim_branch {
    uint8_t id[16];
    struct pc_branch_base base;
    struct sim_branch_write *v; /* record n is v[n - 1] */
    size_t n, cap;
    uint64_t written; /* records that were reported durable, or were found after a crash */
};

struct sim_branches {
    struct sim_branch *v; /* that began on this node's disk, oldest first */
    size_t n, cap;
    struct pc_node_branch *jobs;
    size_t jobs_n, jobs_cap;
    bool busy;
    bool has_failed;              /* up to its end a branch takes no more records */
    bool is_left;                 /* one could not be closed, and stands in the way */
    struct pc_branch_found found; /* at the start; its writer is the one in use */
    struct pc_node_branch_found given;
    uint64_t begun_us; /* when the last branch was to begin, or to be gone on with */
    uint64_t heard_us; /* when the node last heard another voter */
};

/* ---- sim_branch.c: the thread of the branch file */
/* Takes a job over. */
void sim_branch_queue(struct pc_sim *sim, struct sim_node *node, struct pc_node_branch *job);
void sim_branch_act(struct pc_sim *sim, struct sim_node *node); /* what waits */
void sim_branch_clear(struct sim_node *node);                   /* the process is gone */
/* Drops the handles; what is on the disk stays as it is. */
void sim_branch_close(struct sim_node *node);
void sim_branch_destroy(struct sim_node *node);
/* The branch that stands open on the disk, for a start. */
PC_MUST_CHECK pc_err sim_branch_find(
    struct pc_sim *sim, struct sim_node *node, struct pc_error *error);
/* NULL: none. */
const struct pc_node_branch_found *sim_branch_given(struct sim_node *node);

/* ---- sim_check_branch.c: A.1 to A.4 */
struct sim_branch *sim_branch_of(struct sim_node *node, const uint8_t id[16]); /* NULL: unknown */
/* The node is about to be told this. */
void sim_check_branch_hears(
    struct pc_sim *sim, struct sim_node *node, const struct pc_node_event *event);
void sim_check_branch_begins(
    struct pc_sim *sim, struct sim_node *node, const struct pc_node_branch *begin);
void sim_check_branch_record(
    struct pc_sim *sim, struct sim_node *node, const struct pc_node_branch *put);
void sim_check_branch_written(struct sim_node *node, const uint8_t id[16], uint64_t number);
/* Are the records that a start has found those that were made, and all that were durable? */
void sim_check_branch_found(struct pc_sim *sim, struct sim_node *node);
/* Does each durable record stand in exactly one file of the node's disk? */
void sim_check_branch_files(struct pc_sim *sim, struct sim_node *node);
void sim_check_branch_reply(struct pc_sim *sim, struct sim_node *node, const struct sim_op *op,
    const struct pc_reply *reply);

#endif
