/* A file system port with a lock around another one: the log thread and the test use the simulated
 * disk at the same time, and it knows nothing of threads. */
#ifndef PC_TEST_LOCKED_FS_H
#define PC_TEST_LOCKED_FS_H

#include <pthread.h>

#include "pcache/fs.h"

struct locked_fs {
    struct pc_fs port;
    const struct pc_fs *inner;
    pthread_mutex_t lock;
};

static inline const struct pc_fs *locked_enter(void *context)
{
    struct locked_fs *locked = context;
    (void)pthread_mutex_lock(&locked->lock);
    return locked->inner;
}

static inline pc_err locked_leave(void *context, pc_err err)
{
    struct locked_fs *locked = context;
    (void)pthread_mutex_unlock(&locked->lock);
    return err;
}

static inline pc_err locked_open(
    void *c, const char *path, bool create, bool exclusive, pc_fd *fd, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->open(fs->context, path, create, exclusive, fd, error));
}

static inline pc_err locked_open_read(void *c, const char *path, pc_fd *fd, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->open_read(fs->context, path, fd, error));
}

static inline void locked_close(void *c, pc_fd fd)
{
    const struct pc_fs *fs = locked_enter(c);
    fs->close(fs->context, fd);
    (void)locked_leave(c, PC_OK);
}

static inline pc_err locked_write_at(
    void *c, pc_fd fd, uint64_t offset, struct pc_slice bytes, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->write_at(fs->context, fd, offset, bytes, error));
}

static inline pc_err locked_read_at(void *c, pc_fd fd, uint64_t offset, uint8_t *out, size_t len,
    size_t *got, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->read_at(fs->context, fd, offset, out, len, got, error));
}

static inline pc_err locked_size(void *c, pc_fd fd, uint64_t *bytes, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->size(fs->context, fd, bytes, error));
}

static inline pc_err locked_sync(void *c, pc_fd fd, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->sync(fs->context, fd, error));
}

static inline pc_err locked_sync_dir(void *c, const char *path, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->sync_dir(fs->context, path, error));
}

static inline pc_err locked_mkdir(void *c, const char *path, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->mkdir(fs->context, path, error));
}

static inline pc_err locked_rename(
    void *c, const char *from, const char *to, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->rename(fs->context, from, to, error));
}

static inline pc_err locked_unlink(void *c, const char *path, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->unlink(fs->context, path, error));
}

static inline pc_err locked_list(void *c, const char *path,
    void (*each)(void *arg, const char *name), void *arg, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->list(fs->context, path, each, arg, error));
}

static inline pc_err locked_space(
    void *c, const char *path, uint64_t *free_bytes, uint64_t *total_bytes, struct pc_error *error)
{
    const struct pc_fs *fs = locked_enter(c);
    return locked_leave(c, fs->space(fs->context, path, free_bytes, total_bytes, error));
}

static inline void locked_fs_init(struct locked_fs *locked, const struct pc_fs *inner)
{
    (void)pthread_mutex_init(&locked->lock, NULL);
    locked->inner = inner;
    locked->port = (struct pc_fs){
        .context = locked,
        .open = locked_open,
        .open_read = locked_open_read,
        .close = locked_close,
        .write_at = locked_write_at,
        .read_at = locked_read_at,
        .size = locked_size,
        .sync = locked_sync,
        .sync_dir = locked_sync_dir,
        .mkdir = locked_mkdir,
        .rename = locked_rename,
        .unlink = locked_unlink,
        .list = locked_list,
        .space = locked_space,
    };
}

#endif
