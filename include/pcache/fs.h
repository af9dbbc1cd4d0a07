/* fs.h: the file system as a port. edge/os has the real one, the tests one that forgets unsynced
 * bytes at a power cut. Paths are absolute or relative to the process. A handle has one user.
 *
 * Calls that need a descriptor (open, open_read, sync_dir, list) return PC_E_AGAIN when there is
 * none to be had; nothing has happened then. */
#ifndef PCACHE_FS_H
#define PCACHE_FS_H

#include "pcache/bytes.h"

/* A handle of the port that gave it; never negative. */
typedef int pc_fd;

struct pc_fs {
    void *context;
    /* Opens for reading and writing. create: makes the file when missing (PC_E_EXISTS when
     * exclusive and there). Errors: PC_E_NOT_FOUND, PC_E_EXISTS, PC_E_IO, PC_E_NO_SPACE. */
    pc_err (*open)(void *context, const char *path, bool create, bool exclusive, pc_fd *fd,
        struct pc_error *error);
    pc_err (*open_read)(void *context, const char *path, pc_fd *fd, struct pc_error *error);
    void (*close)(void *context, pc_fd fd);
    /* Writes all bytes at `offset`, or fails. */
    pc_err (*write_at)(
        void *context, pc_fd fd, uint64_t offset, struct pc_slice bytes, struct pc_error *error);
    /* Reads up to len bytes; *got < len only at the end of the file. */
    pc_err (*read_at)(void *context, pc_fd fd, uint64_t offset, uint8_t *out, size_t len,
        size_t *got, struct pc_error *error);
    pc_err (*size)(void *context, pc_fd fd, uint64_t *bytes, struct pc_error *error);
    /* fdatasync. A failure is final for this file: never call it again (see reliability rules). */
    pc_err (*sync)(void *context, pc_fd fd, struct pc_error *error);
    /* fsync of the directory itself: makes creates, renames and unlinks in it durable. */
    pc_err (*sync_dir)(void *context, const char *path, struct pc_error *error);
    pc_err (*mkdir)(void *context, const char *path, struct pc_error *error); /* PC_OK if there */
    pc_err (*rename)(
        void *context, const char *from, const char *to, struct pc_error *error);
    pc_err (*unlink)(void *context, const char *path, struct pc_error *error);
    /* Calls `each` with every file name in the directory, in no particular order. */
    pc_err (*list)(void *context, const char *path, void (*each)(void *arg, const char *name),
        void *arg, struct pc_error *error);
    /* How large the file system of `path` is, and how much of it this process may still take. A
     * total of 0: it has no bound that is known. */
    pc_err (*space)(void *context, const char *path, uint64_t *free_bytes, uint64_t *total_bytes,
        struct pc_error *error);
};

/* The real file system (edge/os). */
const struct pc_fs *pc_fs_posix(void);

#endif
