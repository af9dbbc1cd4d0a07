/* sim_client.h: clients and what they ask. Part of sim_int.h. */
#ifndef PC_SIM_CLIENT_H
#define PC_SIM_CLIENT_H

#include "sim/sim.h"

/* ---- sim_client.c: one operation of a client, and what the client keeps of the last ones */
struct sim_op {
    uint64_t tag;
    uint32_t node, life;
    int client; /* -1 = the test's own */
    bool arrived, done, died;
    enum pc_request_type type;
    enum pc_consistency consistency;
    enum pc_op op;
    size_t key;
    bool has_ttl;
    pc_ms ttl_ms;
    enum pc_condition condition;
    pc_index if_version;
    uint64_t value;
    size_t value_len;
    bool is_serene; /* began when the run was */
    struct pc_member_change member;
    const struct sim_config *asked_spare; /* it was one by these members when it was asked */
    pc_index since;  /* MEMBER: of the newest members committed when it began */
    bool is_refused; /* MEMBER: answered as not done */
    pc_index v0;
    uint64_t deadline_us;
    struct pc_sim_op_result result;
};

struct sim_client {
    uint64_t op; /* tag under way; 0 = none */
    bool verify; /* read verify_key next, not on verify_not */
    size_t verify_key;
    uint32_t verify_not;
    pc_index last_index;
    bool has_seen; /* what it saw last: under this key this version, 0 = nothing */
    size_t seen_key;
    pc_index seen_version;
};

enum sim_phase { SIM_PHASE_BUSY = 0, SIM_PHASE_READS, SIM_PHASE_IDLE, SIM_PHASES_N };

#endif
