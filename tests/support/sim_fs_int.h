/* sim_fs_int.h: what the files of the simulated file system share. */
#ifndef PC_SIM_FS_INT_H
#define PC_SIM_FS_INT_H

#include "pcache/prng.h"
#include "support/sim_file.h"
#include "support/sim_fs.h"
#include "support/sim_names.h"

#define HANDLES_MAX 4096
#define HANDLE_SHIFT 12

struct handle {
    size_t inode; /* SIZE_MAX = closed */
    uint32_t life;
};

struct fault {
    bool armed;
    uint64_t skip;
    pc_err err;
    uint32_t per_million;
    pc_err random_err;
};

struct pc_sim_fs {
    struct pc_fs port;
    struct pc_prng prng;
    struct pc_sim_file *inodes;
    size_t inodes_n;
    struct pc_sim_names visible;
    struct pc_sim_names durable;
    struct pc_sim_pending *pending;
    size_t pending_n;
    struct handle *handles;
    size_t handles_n;
    struct fault faults[PC_SIM_FS_OPS];
    uint64_t tries[PC_SIM_FS_OPS];
    uint64_t faulted;
    uint64_t capacity;
    uint64_t used;
    uint64_t steps;
    uint64_t syncs;
    uint64_t off_at; /* value of steps; UINT64_MAX = never */
    bool off;
    bool held; /* injected faults wait */
};

#endif
