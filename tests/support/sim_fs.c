/* Directories are one flat table of paths, kept twice: as visible and as durable. Each change of a
 * name is a pending step until the directory it happened in is synced. */
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "support/sim_fs_int.h"

/* ---- names */
static void add_pending(
    struct pc_sim_fs *fs, enum pc_sim_change what, const char *from, const char *path, size_t inode)
{
    fs->pending = pc_xrealloc(fs->pending, (fs->pending_n + 1) * sizeof *fs->pending);
    struct pc_sim_pending *step = &fs->pending[fs->pending_n++];
    step->what = what;
    pc_sim_path_dir(path, step->dir);
    pc_sim_path_copy(step->from, from);
    pc_sim_path_copy(step->path, path);
    step->inode = inode;
}

/* ---- faults */
static pc_err powered_off(struct pc_error *error)
{
    return pc_error_set(error, PC_E_IO, "the power is off");
}

static pc_err check_fault(struct pc_sim_fs *fs, enum pc_sim_fs_op op, struct pc_error *error)
{
    if (fs->off) {
        return powered_off(error);
    }
    if (fs->held) {
        return PC_OK;
    }
    fs->tries[op]++;
    struct fault *fault = &fs->faults[op];
    if (fault->armed && fault->skip-- == 0) {
        fault->armed = false;
        fs->faulted++;
        return pc_error_set(error, fault->err, "injected fault");
    }
    if (fault->per_million > 0 && pc_prng_chance(&fs->prng, fault->per_million)) {
        fs->faulted++;
        return pc_error_set(error, fault->random_err, "injected random fault");
    }
    return PC_OK;
}

/* Counts a changing call; at the one where the power goes, says whether it still happens. */
static bool step(struct pc_sim_fs *fs)
{
    if (fs->steps++ < fs->off_at) {
        return true;
    }
    fs->off = true;
    return pc_prng_chance(&fs->prng, 500000);
}

/* ---- the port */
static struct pc_sim_file *inode_of(struct pc_sim_fs *fs, pc_fd fd)
{
    size_t slot = (size_t)fd & (HANDLES_MAX - 1);
    if (fd < 0 || slot >= fs->handles_n || fs->handles[slot].inode == SIZE_MAX ||
        fs->handles[slot].life != (uint32_t)fd >> HANDLE_SHIFT) {
        return NULL;
    }
    return &fs->inodes[fs->handles[slot].inode];
}

static pc_fd new_handle(struct pc_sim_fs *fs, size_t inode)
{
    size_t slot = 0;
    while (slot < fs->handles_n && fs->handles[slot].inode != SIZE_MAX) {
        slot++;
    }
    PC_ASSERT(slot < HANDLES_MAX);
    if (slot == fs->handles_n) {
        fs->handles = pc_xrealloc(fs->handles, (slot + 1) * sizeof *fs->handles);
        fs->handles[fs->handles_n++] = (struct handle){.life = 0};
    }
    struct handle *handle = &fs->handles[slot];
    handle->inode = inode;
    handle->life = (handle->life + 1) & (INT32_MAX >> HANDLE_SHIFT);
    return (pc_fd)(handle->life << HANDLE_SHIFT | (uint32_t)slot);
}

static size_t new_inode(struct pc_sim_fs *fs, bool is_dir)
{
    fs->inodes = pc_xrealloc(fs->inodes, (fs->inodes_n + 1) * sizeof *fs->inodes);
    fs->inodes[fs->inodes_n] = (struct pc_sim_file){.is_dir = is_dir};
    return fs->inodes_n++;
}

static pc_err create_file(
    struct pc_sim_fs *fs, const char *path, size_t *inode, struct pc_error *error)
{
    char dir[PC_SIM_PATH_BYTES];
    pc_sim_path_dir(path, dir);
    if (pc_sim_names_find(&fs->visible, dir) == NULL) {
        return pc_error_set(error, PC_E_NOT_FOUND, "open %s: no such directory", path);
    }
    if (step(fs)) {
        *inode = new_inode(fs, false);
        pc_sim_names_set(&fs->visible, path, *inode);
        add_pending(fs, PC_SIM_NAME_SET, "", path, *inode);
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_open(
    void *context, const char *path, bool create, bool exclusive, pc_fd *fd, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_OPEN, error);
    if (err != PC_OK) {
        return err;
    }
    const struct pc_sim_name *name = pc_sim_names_find(&fs->visible, path);
    size_t inode = name != NULL ? name->inode : SIZE_MAX;
    if (name == NULL && !create) {
        return pc_error_set(error, PC_E_NOT_FOUND, "open %s: no such file", path);
    }
    if (name != NULL && create && exclusive) {
        return pc_error_set(error, PC_E_EXISTS, "open %s: it exists", path);
    }
    if (name == NULL) {
        err = create_file(fs, path, &inode, error);
        if (err != PC_OK) {
            return err;
        }
    }
    if (fs->inodes[inode].is_dir) {
        return pc_error_set(error, PC_E_IO, "open %s: is a directory", path);
    }
    pc_sim_file_drop_stale(&fs->inodes[inode]);
    *fd = new_handle(fs, inode);
    return PC_OK;
}

/* The name, unless *err says already that the call fails; *err when there is none. */
static const struct pc_sim_name *find(
    const struct pc_sim_fs *fs, const char *path, pc_err *err, struct pc_error *error)
{
    const struct pc_sim_name *name = pc_sim_names_find(&fs->visible, path);
    if (*err == PC_OK && name == NULL) {
        *err = pc_error_set(error, PC_E_NOT_FOUND, "%s: no such file", path);
    }
    return name;
}

static pc_err sim_open_read(void *context, const char *path, pc_fd *fd, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_OPEN, error);
    const struct pc_sim_name *name = find(fs, path, &err, error);
    if (err == PC_OK) {
        *fd = new_handle(fs, name->inode);
    }
    return err;
}

static void sim_close(void *context, pc_fd fd)
{
    struct pc_sim_fs *fs = context;
    if (inode_of(fs, fd) != NULL) {
        fs->handles[(size_t)fd & (HANDLES_MAX - 1)].inode = SIZE_MAX;
    }
}

static pc_err bad_handle(struct pc_error *error)
{
    return pc_error_set(error, PC_E_IO, "a handle from before the crash");
}

/* A write that fails in the middle has done a part of its work, from the front. The kernel copies
 * page by page, so a sector is there or not. */
static void write_part(
    struct pc_sim_fs *fs, struct pc_sim_file *inode, uint64_t offset, struct pc_slice bytes)
{
    uint64_t end = offset + bytes.len;
    uint64_t growth = end > inode->bytes ? end - inode->bytes : 0;
    uint64_t left = fs->used < fs->capacity ? fs->capacity - fs->used : 0;
    uint64_t lacks = growth > left ? growth - left : 0;
    uint64_t part = lacks < bytes.len ? pc_prng_below(&fs->prng, bytes.len - lacks + 1) : 0;
    uint64_t sectors_end = (offset + part) / 512 * 512;
    part = sectors_end > offset ? sectors_end - offset : 0;
    if (part > 0 && step(fs)) {
        uint64_t new_end = offset + part;
        fs->used += new_end > inode->bytes ? new_end - inode->bytes : 0;
        pc_sim_file_write(inode, offset, pc_slice_of(bytes.data, (size_t)part));
    }
}

static pc_err sim_write_at(
    void *context, pc_fd fd, uint64_t offset, struct pc_slice bytes, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    struct pc_sim_file *inode = inode_of(fs, fd);
    pc_err err = inode == NULL ? bad_handle(error) : check_fault(fs, PC_SIM_FS_WRITE, error);
    if (err != PC_OK || bytes.len == 0) {
        if (inode != NULL && !fs->off && bytes.len > 0) {
            write_part(fs, inode, offset, bytes);
        }
        return err;
    }
    uint64_t end = offset + bytes.len;
    uint64_t growth = end > inode->bytes ? end - inode->bytes : 0;
    if (growth > 0 && (fs->used >= fs->capacity || growth > fs->capacity - fs->used)) {
        write_part(fs, inode, offset, bytes);
        return fs->off ? powered_off(error)
                       : pc_error_set(error, PC_E_NO_SPACE, "write: no space left on the device");
    }
    if (!step(fs)) {
        return powered_off(error);
    }
    fs->used += growth;
    pc_sim_file_write(inode, offset, bytes);
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_read_at(void *context, pc_fd fd, uint64_t offset, uint8_t *out, size_t len,
    size_t *got, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    const struct pc_sim_file *inode = inode_of(fs, fd);
    pc_err err = inode == NULL ? bad_handle(error) : check_fault(fs, PC_SIM_FS_READ, error);
    if (err != PC_OK) {
        return err;
    }
    uint64_t left = offset < inode->bytes ? inode->bytes - offset : 0;
    *got = len < left ? len : (size_t)left;
    pc_sim_file_read(inode, offset, out, *got);
    return PC_OK;
}

static pc_err sim_size(void *context, pc_fd fd, uint64_t *bytes, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    const struct pc_sim_file *inode = inode_of(fs, fd);
    if (inode == NULL || fs->off) {
        return inode == NULL ? bad_handle(error) : powered_off(error);
    }
    *bytes = inode->bytes;
    return PC_OK;
}

static pc_err sim_sync(void *context, pc_fd fd, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    struct pc_sim_file *inode = inode_of(fs, fd);
    pc_err err = inode == NULL ? bad_handle(error) : check_fault(fs, PC_SIM_FS_SYNC, error);
    if (err != PC_OK) {
        if (inode != NULL && !fs->off) {
            pc_sim_file_lose_in_cache(inode);
        }
        return err;
    }
    if (step(fs)) {
        pc_sim_file_land(inode);
    }
    fs->syncs += !fs->off;
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_sync_dir(void *context, const char *path, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_SYNC_DIR, error);
    (void)find(fs, path, &err, error);
    if (err != PC_OK) {
        return err;
    }
    if (step(fs)) {
        size_t kept = 0;
        for (size_t i = 0; i < fs->pending_n; i++) {
            if (strcmp(fs->pending[i].dir, path) == 0) {
                pc_sim_names_apply(&fs->durable, &fs->pending[i]);
            } else {
                fs->pending[kept++] = fs->pending[i];
            }
        }
        fs->pending_n = kept;
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_mkdir(void *context, const char *path, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    if (fs->off) {
        return powered_off(error);
    }
    const struct pc_sim_name *name = pc_sim_names_find(&fs->visible, path);
    if (name != NULL) {
        return fs->inodes[name->inode].is_dir
                   ? PC_OK
                   : pc_error_set(error, PC_E_EXISTS, "mkdir %s: a file is there", path);
    }
    if (step(fs)) {
        size_t inode = new_inode(fs, true);
        pc_sim_names_set(&fs->visible, path, inode);
        add_pending(fs, PC_SIM_NAME_SET, "", path, inode);
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_rename(void *context, const char *from, const char *to, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_RENAME, error);
    const struct pc_sim_name *name = find(fs, from, &err, error);
    if (err != PC_OK) {
        return err;
    }
    if (step(fs)) {
        size_t inode = name->inode;
        pc_sim_names_remove(&fs->visible, from);
        pc_sim_names_set(&fs->visible, to, inode);
        add_pending(fs, PC_SIM_NAME_MOVED, from, to, inode);
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_unlink(void *context, const char *path, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_UNLINK, error);
    const struct pc_sim_name *name = find(fs, path, &err, error);
    if (err != PC_OK) {
        return err;
    }
    if (step(fs)) {
        size_t inode = name->inode;
        fs->used -= fs->inodes[inode].bytes;
        pc_sim_names_remove(&fs->visible, path);
        add_pending(fs, PC_SIM_NAME_REMOVED, "", path, inode);
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_list(void *context, const char *path, void (*each)(void *arg, const char *name),
    void *arg, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = fs->off ? powered_off(error) : PC_OK;
    const struct pc_sim_name *dir_name = find(fs, path, &err, error);
    if (err == PC_OK && !fs->inodes[dir_name->inode].is_dir) {
        err = pc_error_set(error, PC_E_NOT_FOUND, "list %s: not a directory", path);
    }
    if (err != PC_OK) {
        return err;
    }
    for (size_t i = 0; i < fs->visible.n; i++) {
        char dir[PC_SIM_PATH_BYTES];
        pc_sim_path_dir(fs->visible.v[i].path, dir);
        const char *slash = strrchr(fs->visible.v[i].path, '/');
        if (strcmp(dir, path) == 0 && strcmp(fs->visible.v[i].path, path) != 0) {
            each(arg, slash != NULL ? slash + 1 : fs->visible.v[i].path);
        }
    }
    return PC_OK;
}

static pc_err sim_space(void *context, const char *path, uint64_t *free_bytes,
    uint64_t *total_bytes, struct pc_error *error)
{
    const struct pc_sim_fs *fs = context;
    (void)path;
    if (fs->off) {
        return powered_off(error);
    }
    bool is_bounded = fs->capacity != UINT64_MAX;
    *free_bytes = is_bounded && fs->capacity > fs->used ? fs->capacity - fs->used : 0;
    *total_bytes = is_bounded ? fs->capacity : 0;
    return PC_OK;
}

/* ---- life */
static void set_port(struct pc_sim_fs *fs)
{
    fs->port = (struct pc_fs){
        .context = fs,
        .open = sim_open,
        .open_read = sim_open_read,
        .close = sim_close,
        .write_at = sim_write_at,
        .read_at = sim_read_at,
        .size = sim_size,
        .sync = sim_sync,
        .sync_dir = sim_sync_dir,
        .mkdir = sim_mkdir,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .list = sim_list,
        .space = sim_space,
    };
}

struct pc_sim_fs *pc_sim_fs_new(uint64_t seed)
{
    struct pc_sim_fs *fs = pc_xalloc(sizeof *fs);
    set_port(fs);
    pc_prng_seed(&fs->prng, seed);
    fs->capacity = UINT64_MAX;
    fs->off_at = UINT64_MAX;
    for (const char *root = "/"; root != NULL; root = *root == '/' ? "." : NULL) {
        size_t inode = new_inode(fs, true);
        pc_sim_names_set(&fs->visible, root, inode);
        pc_sim_names_set(&fs->durable, root, inode);
    }
    return fs;
}

void pc_sim_fs_delete(struct pc_sim_fs *fs)
{
    if (fs == NULL) {
        return;
    }
    for (size_t i = 0; i < fs->inodes_n; i++) {
        pc_sim_file_clear(&fs->inodes[i]);
    }
    free(fs->inodes);
    free(fs->visible.v);
    free(fs->durable.v);
    free(fs->pending);
    free(fs->handles);
    free(fs);
}

static void *copy_array(const void *from, size_t n, size_t size)
{
    if (n == 0) {
        return NULL;
    }
    void *copy = pc_xalloc(n * size);
    memcpy(copy, from, n * size);
    return copy;
}

struct pc_sim_fs *pc_sim_fs_clone(const struct pc_sim_fs *fs)
{
    struct pc_sim_fs *copy = copy_array(fs, 1, sizeof *fs);
    set_port(copy);
    copy->inodes = copy_array(fs->inodes, fs->inodes_n, sizeof *fs->inodes);
    copy->visible.v = copy_array(fs->visible.v, fs->visible.n, sizeof *fs->visible.v);
    copy->durable.v = copy_array(fs->durable.v, fs->durable.n, sizeof *fs->durable.v);
    copy->pending = copy_array(fs->pending, fs->pending_n, sizeof *fs->pending);
    copy->handles = copy_array(fs->handles, fs->handles_n, sizeof *fs->handles);
    for (size_t i = 0; i < copy->inodes_n; i++) {
        pc_sim_file_own(&copy->inodes[i]);
    }
    return copy;
}

const struct pc_fs *pc_sim_fs_port(struct pc_sim_fs *fs)
{
    return &fs->port;
}

void pc_sim_fs_reseed(struct pc_sim_fs *fs, uint64_t seed)
{
    pc_prng_seed(&fs->prng, seed);
}

/* ---- the crash */
/* Every inode that lost its last name frees its pages. */
static void collect(struct pc_sim_fs *fs)
{
    bool *live = pc_xalloc(fs->inodes_n * sizeof *live);
    for (size_t i = 0; i < fs->durable.n; i++) {
        live[fs->durable.v[i].inode] = true;
    }
    fs->used = 0;
    for (size_t i = 0; i < fs->inodes_n; i++) {
        if (!live[i]) {
            pc_sim_file_clear(&fs->inodes[i]);
        }
        fs->used += fs->inodes[i].bytes;
    }
    free(live);
}

void pc_sim_fs_crash(struct pc_sim_fs *fs, enum pc_sim_fs_crash how)
{
    for (size_t i = 0; i < fs->handles_n; i++) {
        fs->handles[i].inode = SIZE_MAX;
    }
    memset(fs->faults, 0, sizeof fs->faults);
    fs->off = false;
    fs->off_at = UINT64_MAX;
    if (how == PC_SIM_FS_KILL) {
        return;
    }
    bool lose_all = how == PC_SIM_FS_LOSE_ALL;
    for (size_t i = 0; i < fs->pending_n; i++) {
        if (!lose_all && pc_prng_chance(&fs->prng, 500000)) {
            pc_sim_names_apply(&fs->durable, &fs->pending[i]);
        }
    }
    fs->pending_n = 0;
    pc_sim_names_drop_orphans(&fs->durable);
    free(fs->visible.v);
    fs->visible.v = copy_array(fs->durable.v, fs->durable.n, sizeof *fs->durable.v);
    fs->visible.n = fs->durable.n;
    for (size_t i = 0; i < fs->inodes_n; i++) {
        pc_sim_file_crash(&fs->inodes[i], &fs->prng, lose_all);
    }
    collect(fs);
}
