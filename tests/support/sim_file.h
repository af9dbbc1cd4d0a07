/* sim_file.h: one file of the simulated file system (see sim_fs.h): its pages as visible and, where
 * they differ, as durable. */
#ifndef PC_SIM_FILE_H
#define PC_SIM_FILE_H

#include "pcache/bytes.h"
#include "pcache/prng.h"

#define PC_SIM_PAGE_BYTES 4096u

struct pc_sim_page {
    uint8_t *visible; /* NULL = zeros */
    uint8_t *durable; /* while in flight or stale; NULL = zeros */
    uint8_t touched;  /* sectors written since the last sync, one bit each */
    bool in_flight;
    bool stale; /* a sync failed: visible is only in the cache */
};

/* Zero-initialised is an empty file. */
struct pc_sim_file {
    struct pc_sim_page *pages;
    size_t pages_n;
    uint64_t bytes;
    uint64_t durable_bytes;
    uint32_t *flying; /* numbers of the pages in flight */
    size_t flying_n;
    size_t flying_cap;
    bool has_stale;
    bool is_dir;
};

/* Frees the pages and empties the file. */
void pc_sim_file_clear(struct pc_sim_file *file);
/* Replaces *file, a plain copy of another file's struct, by one with pages of its own. */
void pc_sim_file_own(struct pc_sim_file *file);
/* Visible at once, in flight until pc_sim_file_land. */
void pc_sim_file_write(struct pc_sim_file *file, uint64_t offset, struct pc_slice bytes);
void pc_sim_file_read(const struct pc_sim_file *file, uint64_t offset, uint8_t *out, size_t len);
/* What was in flight is on the disk. */
void pc_sim_file_land(struct pc_sim_file *file);
/* What was in flight never reaches the disk, though the cache has it. */
void pc_sim_file_lose_in_cache(struct pc_sim_file *file);
/* Shows what the disk holds where a sync has failed. */
void pc_sim_file_drop_stale(struct pc_sim_file *file);
/* The power is cut: the dice decide on what is in flight, or all of it is lost. */
void pc_sim_file_crash(struct pc_sim_file *file, struct pc_prng *dice, bool lose_all);
/* The same for both contents: damage, and a shorter file. */
void pc_sim_file_damage(struct pc_sim_file *file, uint64_t offset, struct pc_slice bytes);
void pc_sim_file_shorten(struct pc_sim_file *file, uint64_t bytes);

#endif
