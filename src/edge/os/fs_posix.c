/* The file system port on POSIX calls.
 *
 * Surprising: opening for writing throws the file's clean pages out of the page cache. After a
 * failed fdatasync Linux marks the pages clean although the disk never got them, and a process that
 * starts again would read from memory what a power cut then takes away. Whoever recovers a log must
 * see what the disk holds. Dirty pages stay: they are still on their way. */
#define _GNU_SOURCE
#include "pcache/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static pc_err code_of(int number)
{
    switch (number) {
    case ENOENT:
    case ENOTDIR:
        return PC_E_NOT_FOUND;
    case EEXIST:
        return PC_E_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return PC_E_NO_SPACE;
    case EMFILE: /* only where a descriptor is made, so nothing has happened yet */
    case ENFILE:
        return PC_E_AGAIN;
    case ENOMEM:
        return PC_E_NOMEM;
    default:
        return PC_E_IO;
    }
}

static pc_err fail(struct pc_error *error, const char *doing, const char *path)
{
    int number = errno;
    char text[128];
    const char *why = strerror_r(number, text, sizeof text);
    return pc_error_set(error, code_of(number), "%s %s: %s", doing, path, why);
}

/* A descriptor has no name of its own in the messages; the caller wraps them with the path. */
static pc_err fail_fd(struct pc_error *error, const char *doing)
{
    int number = errno;
    char text[128];
    return pc_error_set(
        error, code_of(number), "%s: %s", doing, strerror_r(number, text, sizeof text));
}

static pc_err posix_open(
    void *context, const char *path, bool create, bool exclusive, pc_fd *fd, struct pc_error *error)
{
    (void)context;
    int flags = O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0) | (create && exclusive ? O_EXCL : 0);
    int got = open(path, flags, 0640);
    if (got < 0) {
        return fail(error, "open", path);
    }
    (void)posix_fadvise(got, 0, 0, POSIX_FADV_DONTNEED);
    *fd = got;
    return PC_OK;
}

static pc_err posix_open_read(void *context, const char *path, pc_fd *fd, struct pc_error *error)
{
    (void)context;
    int got = open(path, O_RDONLY | O_CLOEXEC);
    if (got < 0) {
        return fail(error, "open", path);
    }
    *fd = got;
    return PC_OK;
}

static void posix_close(void *context, pc_fd fd)
{
    (void)context;
    (void)close(fd);
}

static pc_err posix_write_at(
    void *context, pc_fd fd, uint64_t offset, struct pc_slice bytes, struct pc_error *error)
{
    (void)context;
    while (bytes.len > 0) {
        ssize_t n = pwrite(fd, bytes.data, bytes.len, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? fail_fd(error, "write")
                         : pc_error_set(error, PC_E_IO, "write: nothing was taken");
        }
        bytes.data += n;
        bytes.len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return PC_OK;
}

static pc_err posix_read_at(void *context, pc_fd fd, uint64_t offset, uint8_t *out, size_t len,
    size_t *got, struct pc_error *error)
{
    (void)context;
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, out + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail_fd(error, "read");
        }
        if (n == 0) {
            break;
        }
        done += (size_t)n;
    }
    *got = done;
    return PC_OK;
}

static pc_err posix_size(void *context, pc_fd fd, uint64_t *bytes, struct pc_error *error)
{
    (void)context;
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return fail_fd(error, "stat");
    }
    *bytes = (uint64_t)status.st_size;
    return PC_OK;
}

static pc_err posix_sync(void *context, pc_fd fd, struct pc_error *error)
{
    (void)context;
    /* Not even EINTR is tried again: whether the pages are still dirty is unknown by then. */
    return fdatasync(fd) == 0 ? PC_OK : fail_fd(error, "fdatasync");
}

static pc_err posix_sync_dir(void *context, const char *path, struct pc_error *error)
{
    (void)context;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return fail(error, "open", path);
    }
    pc_err err = fsync(fd) == 0 ? PC_OK : fail(error, "fsync", path);
    (void)close(fd);
    return err;
}

static pc_err posix_mkdir(void *context, const char *path, struct pc_error *error)
{
    (void)context;
    if (mkdir(path, 0750) == 0) {
        return PC_OK;
    }
    if (errno != EEXIST) {
        return fail(error, "mkdir", path);
    }
    struct stat status;
    if (stat(path, &status) != 0) {
        return fail(error, "stat", path);
    }
    return S_ISDIR(status.st_mode)
               ? PC_OK
               : pc_error_set(error, PC_E_EXISTS, "mkdir %s: a file of that name is there", path);
}

static pc_err posix_rename(void *context, const char *from, const char *to, struct pc_error *error)
{
    (void)context;
    return rename(from, to) == 0 ? PC_OK : fail(error, "rename", from);
}

static pc_err posix_unlink(void *context, const char *path, struct pc_error *error)
{
    (void)context;
    return unlink(path) == 0 ? PC_OK : fail(error, "unlink", path);
}

static pc_err posix_list(void *context, const char *path, void (*each)(void *arg, const char *name),
    void *arg, struct pc_error *error)
{
    (void)context;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return fail(error, "list", path);
    }
    pc_err err = PC_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            err = errno == 0 ? PC_OK : fail(error, "list", path);
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            each(arg, entry->d_name);
        }
    }
    (void)closedir(dir);
    return err;
}

static pc_err posix_space(void *context, const char *path, uint64_t *free_bytes,
    uint64_t *total_bytes, struct pc_error *error)
{
    (void)context;
    struct statvfs status;
    if (statvfs(path, &status) != 0) {
        return fail(error, "statvfs", path);
    }
    *free_bytes = (uint64_t)status.f_bavail * status.f_frsize;
    *total_bytes = (uint64_t)status.f_blocks * status.f_frsize;
    return PC_OK;
}

const struct pc_fs *pc_fs_posix(void)
{
    static const struct pc_fs fs = {
        .context = NULL,
        .open = posix_open,
        .open_read = posix_open_read,
        .close = posix_close,
        .write_at = posix_write_at,
        .read_at = posix_read_at,
        .size = posix_size,
        .sync = posix_sync,
        .sync_dir = posix_sync_dir,
        .mkdir = posix_mkdir,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .list = posix_list,
        .space = posix_space,
    };
    return &fs;
}
