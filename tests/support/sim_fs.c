/* Files are tables of 4 KiB pages; a page that was never written is not there and reads as zeros. A
 * page keeps the durable bytes beside the visible ones only while it has something in flight, so a
 * write costs its own pages and a sync the pages written since the last one.
 *
 * Directories are one flat table of paths, kept twice: as visible and as durable. Each change of a
 * name is a pending step until the directory it happened in is synced. */
#include "support/sim_fs.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/prng.h"

#define PAGE_BYTES 4096u
#define SECTOR_BYTES 512u
#define SECTORS (PAGE_BYTES / SECTOR_BYTES)
#define PATH_BYTES 512
#define HANDLES_MAX 4096
#define HANDLE_SHIFT 12

struct page {
    uint8_t *visible; /* NULL = zeros */
    uint8_t *durable; /* while in flight or stale; NULL = zeros */
    uint8_t touched;  /* sectors written since the last sync, one bit each */
    bool in_flight;
    bool stale; /* a sync failed: visible is only in the cache */
};

struct inode {
    struct page *pages;
    size_t pages_n;
    uint64_t bytes;
    uint64_t durable_bytes;
    uint32_t *flying; /* numbers of the pages in flight */
    size_t flying_n;
    size_t flying_cap;
    bool has_stale;
    bool is_dir;
};

struct name {
    char path[PATH_BYTES];
    size_t inode;
};

struct names {
    struct name *v;
    size_t n;
};

/* A change of a name that is not durable yet: path (or from -> path) in directory `dir`. */
struct pending {
    enum { NAME_SET, NAME_REMOVED, NAME_MOVED } what;
    char dir[PATH_BYTES];
    char from[PATH_BYTES];
    char path[PATH_BYTES];
    size_t inode;
};

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
    struct inode *inodes;
    size_t inodes_n;
    struct names visible;
    struct names durable;
    struct pending *pending;
    size_t pending_n;
    struct handle *handles;
    size_t handles_n;
    struct fault faults[PC_SIM_FS_OPS];
    uint64_t capacity;
    uint64_t used;
    uint64_t steps;
    uint64_t syncs;
    uint64_t off_at; /* value of steps; UINT64_MAX = never */
    bool off;
};

/* ---- names */
static void copy_path(char *to, const char *from)
{
    size_t len = strlen(from);
    PC_ASSERT(len < PATH_BYTES);
    memcpy(to, from, len + 1);
}

static struct name *names_find(const struct names *names, const char *path)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->v[i].path, path) == 0) {
            return &names->v[i];
        }
    }
    return NULL;
}

static void names_remove(struct names *names, const char *path)
{
    struct name *name = names_find(names, path);
    if (name != NULL) {
        *name = names->v[--names->n];
    }
}

static void names_set(struct names *names, const char *path, size_t inode)
{
    struct name *name = names_find(names, path);
    if (name == NULL) {
        names->v = pc_xrealloc(names->v, (names->n + 1) * sizeof *names->v);
        name = &names->v[names->n++];
        copy_path(name->path, path);
    }
    name->inode = inode;
}

static void dir_of(const char *path, char *out)
{
    copy_path(out, path);
    char *slash = strrchr(out, '/');
    if (slash == NULL) {
        copy_path(out, ".");
    } else {
        slash[slash == out] = '\0';
    }
}

static void add_pending(
    struct pc_sim_fs *fs, int what, const char *from, const char *path, size_t inode)
{
    fs->pending = pc_xrealloc(fs->pending, (fs->pending_n + 1) * sizeof *fs->pending);
    struct pending *step = &fs->pending[fs->pending_n++];
    step->what = what;
    dir_of(path, step->dir);
    copy_path(step->from, from);
    copy_path(step->path, path);
    step->inode = inode;
}

static void make_durable(struct pc_sim_fs *fs, const struct pending *step)
{
    if (step->what == NAME_MOVED) {
        names_remove(&fs->durable, step->from);
    }
    if (step->what == NAME_REMOVED) {
        names_remove(&fs->durable, step->path);
    } else {
        names_set(&fs->durable, step->path, step->inode);
    }
}

/* ---- pages */
static struct page *page_at(struct inode *inode, size_t number)
{
    if (number >= inode->pages_n) {
        size_t n = inode->pages_n * 2 > number + 1 ? inode->pages_n * 2 : number + 1;
        inode->pages = pc_xrealloc(inode->pages, n * sizeof *inode->pages);
        memset(inode->pages + inode->pages_n, 0, (n - inode->pages_n) * sizeof *inode->pages);
        inode->pages_n = n;
    }
    return &inode->pages[number];
}

static uint8_t *copy_page(const uint8_t *page)
{
    if (page == NULL) {
        return NULL;
    }
    uint8_t *copy = pc_xalloc(PAGE_BYTES);
    memcpy(copy, page, PAGE_BYTES);
    return copy;
}

static void take_flight(struct inode *inode, uint32_t number)
{
    struct page *page = &inode->pages[number];
    if (page->in_flight) {
        return;
    }
    if (!page->stale) {
        page->durable = copy_page(page->visible);
    }
    page->in_flight = true;
    page->touched = 0;
    if (inode->flying_n == inode->flying_cap) {
        inode->flying_cap = inode->flying_cap == 0 ? 16 : inode->flying_cap * 2;
        inode->flying = pc_xrealloc(inode->flying, inode->flying_cap * sizeof *inode->flying);
    }
    inode->flying[inode->flying_n++] = number;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

static void write_page(
    struct inode *inode, uint32_t number, size_t from, const uint8_t *bytes, size_t len)
{
    struct page *page = page_at(inode, number);
    take_flight(inode, number);
    for (size_t s = from / SECTOR_BYTES; s <= (from + len - 1) / SECTOR_BYTES; s++) {
        page->touched |= (uint8_t)(1u << s);
    }
    if (page->visible == NULL) {
        if (is_zero(bytes, len)) {
            return;
        }
        page->visible = pc_xalloc(PAGE_BYTES);
    }
    memcpy(page->visible + from, bytes, len);
}

/* What was in flight is on the disk. */
static void land(struct inode *inode)
{
    for (size_t i = 0; i < inode->flying_n; i++) {
        struct page *page = &inode->pages[inode->flying[i]];
        free(page->durable);
        page->durable = NULL;
        page->in_flight = false;
        page->stale = false;
    }
    inode->flying_n = 0;
    inode->durable_bytes = inode->bytes;
}

/* What was in flight never reaches the disk, though the cache has it. */
static void lose_in_cache(struct inode *inode)
{
    for (size_t i = 0; i < inode->flying_n; i++) {
        struct page *page = &inode->pages[inode->flying[i]];
        page->in_flight = false;
        page->stale = true;
    }
    inode->has_stale = inode->has_stale || inode->flying_n > 0;
    inode->flying_n = 0;
    inode->durable_bytes = inode->bytes;
}

static void to_durable(struct page *page)
{
    free(page->visible);
    page->visible = page->durable;
    page->durable = NULL;
    page->in_flight = false;
    page->stale = false;
}

static void drop_stale(struct inode *inode)
{
    for (size_t i = 0; inode->has_stale && i < inode->pages_n; i++) {
        if (inode->pages[i].stale && !inode->pages[i].in_flight) {
            to_durable(&inode->pages[i]);
        }
    }
    inode->has_stale = false;
}

static void inode_clear(struct inode *inode)
{
    for (size_t i = 0; i < inode->pages_n; i++) {
        free(inode->pages[i].visible);
        free(inode->pages[i].durable);
    }
    free(inode->pages);
    free(inode->flying);
    *inode = (struct inode){0};
}

static void read_inode(const struct inode *inode, uint64_t offset, uint8_t *out, size_t len)
{
    while (len > 0) {
        size_t number = (size_t)(offset / PAGE_BYTES);
        size_t from = (size_t)(offset % PAGE_BYTES);
        size_t take = PAGE_BYTES - from < len ? PAGE_BYTES - from : len;
        const uint8_t *page = number < inode->pages_n ? inode->pages[number].visible : NULL;
        if (page == NULL) {
            memset(out, 0, take);
        } else {
            memcpy(out, page + from, take);
        }
        out += take;
        offset += take;
        len -= take;
    }
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
    struct fault *fault = &fs->faults[op];
    if (fault->armed && fault->skip-- == 0) {
        fault->armed = false;
        return pc_error_set(error, fault->err, "injected fault");
    }
    if (fault->per_million > 0 && pc_prng_chance(&fs->prng, fault->per_million)) {
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
static struct inode *inode_of(struct pc_sim_fs *fs, pc_fd fd)
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
    fs->inodes[fs->inodes_n] = (struct inode){.is_dir = is_dir};
    return fs->inodes_n++;
}

static pc_err create_file(
    struct pc_sim_fs *fs, const char *path, size_t *inode, struct pc_error *error)
{
    char dir[PATH_BYTES];
    dir_of(path, dir);
    if (names_find(&fs->visible, dir) == NULL) {
        return pc_error_set(error, PC_E_NOT_FOUND, "open %s: no such directory", path);
    }
    bool happens = step(fs);
    if (happens) {
        *inode = new_inode(fs, false);
        names_set(&fs->visible, path, *inode);
        add_pending(fs, NAME_SET, "", path, *inode);
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
    const struct name *name = names_find(&fs->visible, path);
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
    drop_stale(&fs->inodes[inode]);
    *fd = new_handle(fs, inode);
    return PC_OK;
}

static pc_err sim_open_read(void *context, const char *path, pc_fd *fd, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_OPEN, error);
    const struct name *name = names_find(&fs->visible, path);
    if (err == PC_OK && name == NULL) {
        err = pc_error_set(error, PC_E_NOT_FOUND, "open %s: no such file", path);
    }
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

static pc_err sim_write_at(
    void *context, pc_fd fd, uint64_t offset, struct pc_slice bytes, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    struct inode *inode = inode_of(fs, fd);
    pc_err err = inode == NULL ? bad_handle(error) : check_fault(fs, PC_SIM_FS_WRITE, error);
    if (err != PC_OK || bytes.len == 0) {
        return err;
    }
    uint64_t end = offset + bytes.len;
    uint64_t growth = end > inode->bytes ? end - inode->bytes : 0;
    if (growth > 0 && (fs->used >= fs->capacity || growth > fs->capacity - fs->used)) {
        return pc_error_set(error, PC_E_NO_SPACE, "write: no space left on the device");
    }
    if (!step(fs)) {
        return powered_off(error);
    }
    fs->used += growth;
    inode->bytes += growth;
    while (bytes.len > 0) {
        size_t from = (size_t)(offset % PAGE_BYTES);
        size_t take = PAGE_BYTES - from < bytes.len ? PAGE_BYTES - from : bytes.len;
        write_page(inode, (uint32_t)(offset / PAGE_BYTES), from, bytes.data, take);
        offset += take;
        bytes.data += take;
        bytes.len -= take;
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_read_at(void *context, pc_fd fd, uint64_t offset, uint8_t *out, size_t len,
    size_t *got, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    const struct inode *inode = inode_of(fs, fd);
    pc_err err = inode == NULL ? bad_handle(error) : check_fault(fs, PC_SIM_FS_READ, error);
    if (err != PC_OK) {
        return err;
    }
    uint64_t left = offset < inode->bytes ? inode->bytes - offset : 0;
    *got = len < left ? len : (size_t)left;
    read_inode(inode, offset, out, *got);
    return PC_OK;
}

static pc_err sim_size(void *context, pc_fd fd, uint64_t *bytes, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    const struct inode *inode = inode_of(fs, fd);
    if (inode == NULL) {
        return bad_handle(error);
    }
    if (fs->off) {
        return powered_off(error);
    }
    *bytes = inode->bytes;
    return PC_OK;
}

static pc_err sim_sync(void *context, pc_fd fd, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    struct inode *inode = inode_of(fs, fd);
    pc_err err = inode == NULL ? bad_handle(error) : check_fault(fs, PC_SIM_FS_SYNC, error);
    if (err != PC_OK) {
        if (inode != NULL && !fs->off) {
            lose_in_cache(inode);
        }
        return err;
    }
    if (step(fs)) {
        land(inode);
    }
    fs->syncs += !fs->off;
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_sync_dir(void *context, const char *path, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_SYNC_DIR, error);
    if (err == PC_OK && names_find(&fs->visible, path) == NULL) {
        err = pc_error_set(error, PC_E_NOT_FOUND, "sync %s: no such directory", path);
    }
    if (err != PC_OK) {
        return err;
    }
    if (step(fs)) {
        size_t kept = 0;
        for (size_t i = 0; i < fs->pending_n; i++) {
            if (strcmp(fs->pending[i].dir, path) == 0) {
                make_durable(fs, &fs->pending[i]);
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
    const struct name *name = names_find(&fs->visible, path);
    if (name != NULL) {
        return fs->inodes[name->inode].is_dir
                   ? PC_OK
                   : pc_error_set(error, PC_E_EXISTS, "mkdir %s: a file is there", path);
    }
    if (step(fs)) {
        size_t inode = new_inode(fs, true);
        names_set(&fs->visible, path, inode);
        add_pending(fs, NAME_SET, "", path, inode);
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_rename(void *context, const char *from, const char *to, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_RENAME, error);
    const struct name *name = names_find(&fs->visible, from);
    if (err == PC_OK && name == NULL) {
        err = pc_error_set(error, PC_E_NOT_FOUND, "rename %s: no such file", from);
    }
    if (err != PC_OK) {
        return err;
    }
    if (step(fs)) {
        size_t inode = name->inode;
        names_remove(&fs->visible, from);
        names_set(&fs->visible, to, inode);
        add_pending(fs, NAME_MOVED, from, to, inode);
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_unlink(void *context, const char *path, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    pc_err err = check_fault(fs, PC_SIM_FS_UNLINK, error);
    const struct name *name = names_find(&fs->visible, path);
    if (err == PC_OK && name == NULL) {
        err = pc_error_set(error, PC_E_NOT_FOUND, "unlink %s: no such file", path);
    }
    if (err != PC_OK) {
        return err;
    }
    if (step(fs)) {
        size_t inode = name->inode;
        fs->used -= fs->inodes[inode].bytes;
        names_remove(&fs->visible, path);
        add_pending(fs, NAME_REMOVED, "", path, inode);
    }
    return fs->off ? powered_off(error) : PC_OK;
}

static pc_err sim_list(void *context, const char *path, void (*each)(void *arg, const char *name),
    void *arg, struct pc_error *error)
{
    struct pc_sim_fs *fs = context;
    if (fs->off) {
        return powered_off(error);
    }
    if (names_find(&fs->visible, path) == NULL) {
        return pc_error_set(error, PC_E_NOT_FOUND, "list %s: no such directory", path);
    }
    for (size_t i = 0; i < fs->visible.n; i++) {
        char dir[PATH_BYTES];
        dir_of(fs->visible.v[i].path, dir);
        const char *slash = strrchr(fs->visible.v[i].path, '/');
        if (strcmp(dir, path) == 0 && strcmp(fs->visible.v[i].path, path) != 0) {
            each(arg, slash != NULL ? slash + 1 : fs->visible.v[i].path);
        }
    }
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
    };
}

struct pc_sim_fs *pc_sim_fs_new(uint64_t seed)
{
    struct pc_sim_fs *fs = pc_xalloc(sizeof *fs);
    set_port(fs);
    pc_prng_seed(&fs->prng, seed);
    fs->capacity = UINT64_MAX;
    fs->off_at = UINT64_MAX;
    static const char *const roots[] = {"/", "."};
    for (size_t i = 0; i < 2; i++) {
        size_t inode = new_inode(fs, true);
        names_set(&fs->visible, roots[i], inode);
        names_set(&fs->durable, roots[i], inode);
    }
    return fs;
}

void pc_sim_fs_delete(struct pc_sim_fs *fs)
{
    if (fs == NULL) {
        return;
    }
    for (size_t i = 0; i < fs->inodes_n; i++) {
        inode_clear(&fs->inodes[i]);
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
        struct inode *inode = &copy->inodes[i];
        inode->pages = copy_array(inode->pages, inode->pages_n, sizeof *inode->pages);
        inode->flying = copy_array(inode->flying, inode->flying_n, sizeof *inode->flying);
        inode->flying_cap = inode->flying_n;
        for (size_t p = 0; p < inode->pages_n; p++) {
            inode->pages[p].visible = copy_page(inode->pages[p].visible);
            inode->pages[p].durable = copy_page(inode->pages[p].durable);
        }
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
static void noise(struct pc_sim_fs *fs, uint8_t *bytes)
{
    for (size_t i = 0; i < SECTOR_BYTES; i += 8) {
        pc_put_u64(bytes + i, pc_prng_next(&fs->prng));
    }
}

/* Sector by sector: new (stays), old, zeros, noise. */
static void tear_page(struct pc_sim_fs *fs, struct page *page)
{
    if (page->visible == NULL) {
        page->visible = pc_xalloc(PAGE_BYTES);
    }
    for (size_t s = 0; s < SECTORS; s++) {
        uint8_t *sector = page->visible + s * SECTOR_BYTES;
        if ((page->touched & 1u << s) == 0) {
            continue;
        }
        switch (pc_prng_below(&fs->prng, 4)) {
        case 0:
            break;
        case 1:
            if (page->durable != NULL) {
                memcpy(sector, page->durable + s * SECTOR_BYTES, SECTOR_BYTES);
            } else {
                memset(sector, 0, SECTOR_BYTES);
            }
            break;
        case 2:
            memset(sector, 0, SECTOR_BYTES);
            break;
        default:
            noise(fs, sector);
            break;
        }
    }
    free(page->durable);
    page->durable = NULL;
    page->in_flight = false;
    page->stale = false;
}

static void cut_size(struct pc_sim_fs *fs, struct inode *inode, uint64_t bytes)
{
    fs->used -= inode->bytes - bytes;
    inode->bytes = bytes;
    inode->durable_bytes = bytes;
    for (size_t p = (size_t)(bytes / PAGE_BYTES); p < inode->pages_n; p++) {
        struct page *page = &inode->pages[p];
        size_t keep = p == bytes / PAGE_BYTES ? (size_t)(bytes % PAGE_BYTES) : 0;
        if (page->visible != NULL) {
            memset(page->visible + keep, 0, PAGE_BYTES - keep);
        }
    }
}

static void crash_inode(struct pc_sim_fs *fs, struct inode *inode, bool lose_all)
{
    drop_stale(inode);
    for (size_t i = 0; i < inode->flying_n; i++) {
        struct page *page = &inode->pages[inode->flying[i]];
        uint64_t die = lose_all ? 0 : pc_prng_below(&fs->prng, 3);
        if (die == 0) {
            to_durable(page);
        } else if (die == 2) {
            tear_page(fs, page);
        }
    }
    uint64_t durable_bytes = inode->durable_bytes;
    bool keeps_size = !lose_all && pc_prng_chance(&fs->prng, 500000);
    land(inode);
    if (!keeps_size && durable_bytes < inode->bytes) {
        cut_size(fs, inode, durable_bytes);
    }
}

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
            inode_clear(&fs->inodes[i]);
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
            make_durable(fs, &fs->pending[i]);
        }
    }
    fs->pending_n = 0;
    free(fs->visible.v);
    fs->visible.v = copy_array(fs->durable.v, fs->durable.n, sizeof *fs->durable.v);
    fs->visible.n = fs->durable.n;
    for (size_t i = 0; i < fs->inodes_n; i++) {
        crash_inode(fs, &fs->inodes[i], lose_all);
    }
    collect(fs);
}

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

/* ---- looking and damaging */
static struct inode *file_at(const struct pc_sim_fs *fs, const char *path)
{
    const struct name *name = names_find(&fs->visible, path);
    return name == NULL || fs->inodes[name->inode].is_dir ? NULL : &fs->inodes[name->inode];
}

uint64_t pc_sim_fs_file_bytes(const struct pc_sim_fs *fs, const char *path)
{
    const struct inode *inode = file_at(fs, path);
    return inode == NULL ? UINT64_MAX : inode->bytes;
}

bool pc_sim_fs_overwrite(
    struct pc_sim_fs *fs, const char *path, uint64_t offset, struct pc_slice bytes)
{
    struct inode *inode = file_at(fs, path);
    if (inode == NULL || offset + bytes.len > inode->bytes) {
        return false;
    }
    for (size_t i = 0; i < bytes.len; i++) {
        struct page *page = page_at(inode, (size_t)((offset + i) / PAGE_BYTES));
        size_t at = (size_t)((offset + i) % PAGE_BYTES);
        if (page->visible == NULL) {
            page->visible = pc_xalloc(PAGE_BYTES);
        }
        page->visible[at] = bytes.data[i];
        if (page->durable != NULL) {
            page->durable[at] = bytes.data[i];
        }
    }
    return true;
}

bool pc_sim_fs_flip_bit(struct pc_sim_fs *fs, const char *path, uint64_t offset, unsigned bit)
{
    const struct inode *inode = file_at(fs, path);
    if (inode == NULL || offset >= inode->bytes) {
        return false;
    }
    uint8_t byte;
    read_inode(inode, offset, &byte, 1);
    byte ^= (uint8_t)(1u << bit);
    return pc_sim_fs_overwrite(fs, path, offset, pc_slice_of(&byte, 1));
}

bool pc_sim_fs_remove(struct pc_sim_fs *fs, const char *path)
{
    struct inode *inode = file_at(fs, path);
    if (inode == NULL) {
        return false;
    }
    fs->used -= inode->bytes;
    names_remove(&fs->visible, path);
    names_remove(&fs->durable, path);
    return true;
}

bool pc_sim_fs_shorten(struct pc_sim_fs *fs, const char *path, uint64_t bytes)
{
    struct inode *inode = file_at(fs, path);
    if (inode == NULL || bytes > inode->bytes) {
        return false;
    }
    cut_size(fs, inode, bytes);
    return true;
}
