/* node_status.h: what a node says of itself and of the cluster, for status pages, tools and the
 * answers of local reads; a part of node.h. What is pointed to is borrowed until the next step. */
#ifndef PCACHE_NODE_STATUS_H
#define PCACHE_NODE_STATUS_H

#include "pcache/node_branch.h"
#include "pcache/protocol.h"
#include "pcache/raft.h"
#include "pcache/store.h"
#include "pcache/swim.h"
#include "pcache/wire.h"

struct pc_node; /* opaque */

/* The newest durable snapshot on this node. */
struct pc_node_snapshot_info {
    pc_index index; /* of its last entry; 0 = there is none */
    pc_term term;
    uint64_t items;
    uint64_t bytes; /* of all its chunks */
};

/* What a local read of this node is worth. */
struct pc_node_quorum {
    bool lost; /* there is no leader at work, and too few voters are up for one: as this node sees
                  them, which is a member */
    /* Everything that was acknowledged until so long ago is applied here, give or take an election
     * timeout. A node that has heard no leader since its start goes by the clocks: it tells the age
     * of the newest entry that it has applied. */
    bool has_age; /* false: nothing is applied */
    pc_ms age_ms;
};

struct pc_ready_check {
    const char *name; /* "formed" "repair" "log" "replay" "quorum" "leader" "catchup" "spare"
                         "drain"; "spare" only of a node that is one */
    bool ok;
    char text[192]; /* "81% eta 3s"; "" when there is nothing to say */
};
#define PC_READY_CHECKS_MAX 12

struct pc_node_status {
    pc_node_id id;
    const char *name;
    struct pc_raft_status raft;
    const char *leader_name; /* "" when unknown */
    const char *role;        /* "leader" "voter" "learner" "replica" "spare" "forming"
                                "joining" "removed" "repairing" */
    pc_index applied;
    pc_ms stamp_ms;
    struct pc_hash digest; /* of the store at applied */
    uint8_t history[16];
    bool formed;
    bool ready;
    bool draining;
    bool failed;   /* its log is of no use any more: clients get STOPPING, and it is to be ended */
    bool log_full; /* its disk is full, or below the hard mark: as a leader it refuses writes */
    struct pc_node_disk {
        enum pc_space_level space;
        struct pc_disk_report report; /* the last one; zero = none yet */
        bool slow;                    /* its syncs take long, or it stores nothing at all */
        pc_ms waits_ms; /* since the disk last stored anything, though something waits; 0 = well */
    } disk;
    size_t checks_n;
    struct pc_ready_check checks[PC_READY_CHECKS_MAX];
    struct pc_node_snapshot_info snapshot; /* the newest */
    pc_ms snapshot_age_ms;                 /* cluster time since its last entry; 0 without one */
    bool snapshot_is_due;                  /* one is being made, or ordered */
    bool snapshot_is_damaged; /* the newest one could not be loaded: `snapshot` is zero */
    uint64_t pending;         /* client requests not yet answered */
    pc_ms leader_silent_ms;   /* since the leader was last heard; 0 on the leader itself */
    struct pc_protocols protocols;
    /* Whether the state is that of the others, and the memory what was put into it. */
    struct pc_node_digest {
        bool differs;        /* a member holds another state than this node */
        bool is_coming_back; /* this node's state was not right, and is made anew: no reads */
        uint64_t alarms, resyncs, passes; /* since the start; passes over the memory */
        char text[192];                   /* of what differs; "" = nothing */
    } digest_check;
    uint8_t cluster_protocol; /* the highest that this node and all members linked to it speak */
    struct pc_node_solo solo;
};
void pc_node_status(const struct pc_node *node, struct pc_instant now, struct pc_node_status *out);

/* Members for people: the union of the cluster's members, configured names (of a node without a
 * cluster) and SWIM's view, ascending by name. A name stands twice while one identity replaces
 * another. */
struct pc_node_member {
    pc_node_id id; /* 0 = never met, or invited and not come yet */
    char name[PC_NAME_BYTES_MAX + 1];
    struct pc_addr addr;
    enum pc_member_state state; /* DEAD when never met */
    const char *role;           /* "leader" "voter" "learner" (to be a voter) "replica" "spare"
                                   "invited", and "member": known of, but not of the cluster */
    bool is_member;             /* of the cluster; else want and votes say nothing */
    enum pc_member_want want;
    bool votes;
    bool has_match; /* on the leader: how far it is known to have the log */
    pc_index match;
    uint32_t caught_up_percent; /* has_match: 0..100, of the leader's log; 100 only within a lag
                                   that lets it vote */
    bool has_eta; /* on the leader: when it will have caught up, at the rate of the last seconds */
    pc_ms eta_ms;
    pc_ms silent_ms;
    char build[PC_BUILD_BYTES_MAX + 1]; /* as it said last; "" = not */
    uint8_t protocol_max;               /* the highest that it speaks; 0 = not known */
    uint64_t disk_free_bytes;           /* as it said of late; 0 = not */
    uint64_t disk_total_bytes;
};
size_t pc_node_members(
    const struct pc_node *node, struct pc_instant now, struct pc_node_member *out, size_t max);

/* Names those whose disks are full or below the hard mark, as far as this node knows: "node2,
 * node3"; "" = none. */
void pc_node_full_disks(const struct pc_node *node, struct pc_instant now, char *out, size_t max);

/* What the voters that are up, as this node sees them, mean. */
struct pc_node_redundancy {
    size_t voters_n; /* 0 = there is no cluster yet */
    size_t up_n;     /* of them; this node is, unless its log is of no use */
    size_t quorum;
    bool has_quorum;
    size_t may_fail; /* so many more voters may die; 0 without a quorum */
    /* With a quorum, when may_fail is 0: those without whom work does not go on, each once,
     * borrowed until the next step. All voters that are up; with auto_shrink and two of them the
     * leader. */
    size_t must_survive_n;
    const char *must_survive[PC_VOTERS_MAX];
    /* The names of the voters that are not up, likewise. */
    size_t missing_n;
    const char *missing[PC_VOTERS_MAX];
};
void pc_node_redundancy(const struct pc_node *node, struct pc_node_redundancy *out);

/* What a local read would be worth at this time. */
void pc_node_quorum(const struct pc_node *node, struct pc_instant now, struct pc_node_quorum *out);
/* Who is missing for a quorum: "1 of 3 voters answers; missing: node2, node3"; "" when there is
 * one, or this node is no member. */
void pc_node_quorum_text(const struct pc_node *node, char *out, size_t max);

#endif
