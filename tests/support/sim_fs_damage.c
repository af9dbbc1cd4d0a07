/* What a test does to the simulated disk, and what it may ask of it: failing calls, a limit of
 * space, the power switch, damaged and missing bytes. */
#include "support/sim_fs_int.h"

void pc_sim_fs_fail(struct pc_sim_fs *fs, enum pc_sim_fs_op op, uint64_t skip, pc_err err)
{
    fs->faults[op].armed = true;
    fs->faults[op].skip = skip;
    fs->faults[op].err = err;
}

void pc_sim_fs_fail_randomly(
    struct pc_sim_fs *fs, enum pc_sim_fs_op op, uint32_t per_million, pc_err err)
{
    fs->faults[op].per_million = per_million;
    fs->faults[op].random_err = err;
}

void pc_sim_fs_hold(struct pc_sim_fs *fs, bool held)
{
    fs->held = held;
}

void pc_sim_fs_set_capacity(struct pc_sim_fs *fs, uint64_t bytes)
{
    fs->capacity = bytes;
}

void pc_sim_fs_power_off_after(struct pc_sim_fs *fs, uint64_t steps)
{
    fs->off_at = fs->steps + steps;
}

bool pc_sim_fs_is_off(const struct pc_sim_fs *fs)
{
    return fs->off;
}

uint64_t pc_sim_fs_steps(const struct pc_sim_fs *fs)
{
    return fs->steps;
}

uint64_t pc_sim_fs_syncs(const struct pc_sim_fs *fs)
{
    return fs->syncs;
}

uint64_t pc_sim_fs_tries(const struct pc_sim_fs *fs, enum pc_sim_fs_op op)
{
    return fs->tries[op];
}

uint64_t pc_sim_fs_faults(const struct pc_sim_fs *fs)
{
    return fs->faulted;
}

uint64_t pc_sim_fs_used(const struct pc_sim_fs *fs)
{
    return fs->used;
}

/* ---- looking and damaging */
static struct pc_sim_file *file_at(const struct pc_sim_fs *fs, const char *path)
{
    const struct pc_sim_name *name = pc_sim_names_find(&fs->visible, path);
    return name == NULL || fs->inodes[name->inode].is_dir ? NULL : &fs->inodes[name->inode];
}

uint64_t pc_sim_fs_file_bytes(const struct pc_sim_fs *fs, const char *path)
{
    const struct pc_sim_file *inode = file_at(fs, path);
    return inode == NULL ? UINT64_MAX : inode->bytes;
}

bool pc_sim_fs_overwrite(
    struct pc_sim_fs *fs, const char *path, uint64_t offset, struct pc_slice bytes)
{
    struct pc_sim_file *inode = file_at(fs, path);
    if (inode == NULL || offset + bytes.len > inode->bytes) {
        return false;
    }
    pc_sim_file_damage(inode, offset, bytes);
    return true;
}

bool pc_sim_fs_flip_bit(struct pc_sim_fs *fs, const char *path, uint64_t offset, unsigned bit)
{
    const struct pc_sim_file *inode = file_at(fs, path);
    if (inode == NULL || offset >= inode->bytes) {
        return false;
    }
    uint8_t byte;
    pc_sim_file_read(inode, offset, &byte, 1);
    byte ^= (uint8_t)(1u << bit);
    return pc_sim_fs_overwrite(fs, path, offset, pc_slice_of(&byte, 1));
}

bool pc_sim_fs_remove(struct pc_sim_fs *fs, const char *path)
{
    struct pc_sim_file *inode = file_at(fs, path);
    if (inode == NULL) {
        return false;
    }
    fs->used -= inode->bytes;
    pc_sim_names_remove(&fs->visible, path);
    pc_sim_names_remove(&fs->durable, path);
    return true;
}

bool pc_sim_fs_shorten(struct pc_sim_fs *fs, const char *path, uint64_t bytes)
{
    struct pc_sim_file *inode = file_at(fs, path);
    if (inode == NULL || bytes > inode->bytes) {
        return false;
    }
    fs->used -= inode->bytes - bytes;
    pc_sim_file_shorten(inode, bytes);
    return true;
}
