/* raft_disk.h: what is durable of one machine's log. Zero-initialised is empty. */
#ifndef PC_FUZZ_RAFT_DISK_H
#define PC_FUZZ_RAFT_DISK_H

#include "pcache/raft.h"

struct fuzz_disk {
    struct pc_entries entries; /* behind `floor`; its index 0 = from the start */
    struct pc_raft_base floor;
    struct pc_raft_config floor_config; /* newest at or below floor */
};

pc_index fuzz_disk_last(const struct fuzz_disk *disk);
/* The entry `index`, which is there. */
const struct pc_entry *fuzz_disk_at(const struct fuzz_disk *disk, pc_index index);
/* The newest config at or below `commit`. */
struct pc_raft_config fuzz_disk_config(const struct fuzz_disk *disk, pc_index commit);
/* The runs of terms from the floor on; at most `max`, asserted. Returns how many. */
size_t fuzz_disk_runs(const struct fuzz_disk *disk, struct pc_term_run *runs, size_t max);
/* The log is void: it does not reach the snapshot, or is another one. */
void fuzz_disk_reset(
    struct fuzz_disk *disk, const struct pc_raft_base *snap, const struct pc_raft_config *config);
/* The entries up to `upto` go. */
void fuzz_disk_compact(struct fuzz_disk *disk, pc_index upto);

#endif
