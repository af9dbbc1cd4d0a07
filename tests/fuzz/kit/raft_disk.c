#include "fuzz/kit/raft_disk.h"

#include "fuzz/kit/fuzz.h"
#include "pcache/wire.h"

pc_index fuzz_disk_last(const struct fuzz_disk *disk)
{
    return disk->floor.index + disk->entries.n;
}

const struct pc_entry *fuzz_disk_at(const struct fuzz_disk *disk, pc_index index)
{
    PC_ASSERT(index > disk->floor.index && index <= fuzz_disk_last(disk));
    return &disk->entries.v[index - disk->floor.index - 1];
}

struct pc_raft_config fuzz_disk_config(const struct fuzz_disk *disk, pc_index commit)
{
    struct pc_raft_config config = disk->floor_config;
    for (pc_index i = disk->floor.index + 1; i <= commit; i++) {
        const struct pc_entry *entry = fuzz_disk_at(disk, i);
        if (entry->kind == PC_ENTRY_CONFIG) {
            bool is_one = pc_wire_raft_config(pc_blob_slice(entry->body), &config);
            FUZZ_CHECK("a config that was taken can be read", is_one);
            config.index = i;
        }
    }
    return config;
}

size_t fuzz_disk_runs(const struct fuzz_disk *disk, struct pc_term_run *runs, size_t max)
{
    size_t n = 0;
    if (disk->floor.index > 0) {
        runs[n++] = (struct pc_term_run){.first = disk->floor.index, .term = disk->floor.term};
    }
    for (size_t i = 0; i < disk->entries.n; i++) {
        const struct pc_entry *entry = &disk->entries.v[i];
        if (n == 0 || runs[n - 1].term != entry->term) {
            PC_ASSERT(n < max);
            runs[n++] = (struct pc_term_run){.first = entry->index, .term = entry->term};
        }
    }
    return n;
}

void fuzz_disk_reset(
    struct fuzz_disk *disk, const struct pc_raft_base *snap, const struct pc_raft_config *config)
{
    pc_entries_clear(&disk->entries);
    disk->floor = *snap;
    disk->floor_config = *config;
}

void fuzz_disk_compact(struct fuzz_disk *disk, pc_index upto)
{
    struct pc_raft_base floor = pc_raft_base_of(fuzz_disk_at(disk, upto));
    struct pc_raft_config config = fuzz_disk_config(disk, upto);
    struct pc_entries kept = {0};
    for (pc_index i = upto + 1; i <= fuzz_disk_last(disk); i++) {
        pc_entries_push(&kept, fuzz_disk_at(disk, i));
    }
    fuzz_disk_reset(disk, &floor, &config);
    disk->entries = kept;
}
