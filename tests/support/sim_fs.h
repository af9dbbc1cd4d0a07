/* sim_fs.h: a file system in memory that behaves as badly at a power cut as a real one may.
 *
 * A write is visible at once and durable after sync. Until then it is in flight: at a power cut
 * each 4 KiB page with unsynced bytes is, by the dice, new, old, or decided per 512-byte sector
 * between new, old, zeros and noise. Creates, renames and unlinks are durable after sync_dir; until
 * then each of them is kept or lost on its own, a directory with all that is in it. The same seed
 * and the same calls give the same outcome.
 *
 *        write            sync
 *   ----------> in flight ----> durable
 *                  | power cut
 *                  +----------> new | old | zero | noise
 *
 * A sync that is made to fail behaves as on Linux: the pages count as clean afterwards although the
 * disk never got them; a later sync succeeds without them; opening the file for writing shows what
 * the disk holds. */
#ifndef PC_SIM_FS_H
#define PC_SIM_FS_H

#include "pcache/fs.h"

struct pc_sim_fs; /* opaque */

/* The root "/" and "." exist; other directories are made with mkdir. */
struct pc_sim_fs *pc_sim_fs_new(uint64_t seed);
void pc_sim_fs_delete(struct pc_sim_fs *fs);
/* A copy of everything, open handles and dice included. */
struct pc_sim_fs *pc_sim_fs_clone(const struct pc_sim_fs *fs);
/* Valid as long as the file system. */
const struct pc_fs *pc_sim_fs_port(struct pc_sim_fs *fs);
/* New dice for what comes. */
void pc_sim_fs_reseed(struct pc_sim_fs *fs, uint64_t seed);

enum pc_sim_fs_crash {
    PC_SIM_FS_KILL,      /* the process dies: everything written stays */
    PC_SIM_FS_POWER_CUT, /* the dice decide on everything in flight */
    PC_SIM_FS_LOSE_ALL,  /* everything in flight is lost */
};

/* Closes every handle (old numbers are refused from now on), applies the crash, and is ready for a
 * restart; injected faults are off. */
void pc_sim_fs_crash(struct pc_sim_fs *fs, enum pc_sim_fs_crash how);

/* ---- faults */
enum pc_sim_fs_op {
    PC_SIM_FS_OPEN,
    PC_SIM_FS_READ,
    PC_SIM_FS_WRITE,
    PC_SIM_FS_SYNC,
    PC_SIM_FS_SYNC_DIR,
    PC_SIM_FS_RENAME,
    PC_SIM_FS_UNLINK,
    PC_SIM_FS_OPS,
};

/* The call of this kind after `skip` more of them fails once with `err`. */
void pc_sim_fs_fail(struct pc_sim_fs *fs, enum pc_sim_fs_op op, uint64_t skip, pc_err err);
/* Calls of this kind fail with probability per_million / 1,000,000. 0 = never. */
void pc_sim_fs_fail_randomly(
    struct pc_sim_fs *fs, enum pc_sim_fs_op op, uint32_t per_million, pc_err err);
/* While held, no call fails by the two above, nor counts: the test itself looks. */
void pc_sim_fs_hold(struct pc_sim_fs *fs, bool held);
/* Files may not grow beyond this many bytes in all: PC_E_NO_SPACE. UINT64_MAX = no limit. Of a
 * write that fails, for this or by a fault, any part from the front may have been made. */
void pc_sim_fs_set_capacity(struct pc_sim_fs *fs, uint64_t bytes);
/* After `steps` more calls that change something (write, sync, sync_dir, create, rename, unlink)
 * the power is gone: the last of them may or may not have happened, and from then on every call
 * fails with PC_E_IO until pc_sim_fs_crash. */
void pc_sim_fs_power_off_after(struct pc_sim_fs *fs, uint64_t steps);
bool pc_sim_fs_is_off(const struct pc_sim_fs *fs);

/* ---- looking and damaging, for tests */
uint64_t pc_sim_fs_steps(const struct pc_sim_fs *fs); /* changing calls so far */
uint64_t pc_sim_fs_syncs(const struct pc_sim_fs *fs); /* successful file syncs so far */
uint64_t pc_sim_fs_tries(const struct pc_sim_fs *fs, enum pc_sim_fs_op op); /* calls, all of them */
uint64_t pc_sim_fs_faults(const struct pc_sim_fs *fs); /* injected failures so far */
uint64_t pc_sim_fs_used(const struct pc_sim_fs *fs);   /* bytes of all files */
/* Size of a file, or UINT64_MAX when there is none. */
uint64_t pc_sim_fs_file_bytes(const struct pc_sim_fs *fs, const char *path);
/* Both change the durable and the visible content. False when there is no such byte. */
bool pc_sim_fs_flip_bit(struct pc_sim_fs *fs, const char *path, uint64_t offset, unsigned bit);
bool pc_sim_fs_overwrite(
    struct pc_sim_fs *fs, const char *path, uint64_t offset, struct pc_slice bytes);
/* Removes a file for good, or cuts it to `bytes`. */
bool pc_sim_fs_remove(struct pc_sim_fs *fs, const char *path);
bool pc_sim_fs_shorten(struct pc_sim_fs *fs, const char *path, uint64_t bytes);

#endif
