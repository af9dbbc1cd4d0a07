/* The data directory as one process's: made when missing, and locked while the process lives. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data_file.h"
#include "history.h"
#include "identity.h"
#include "pcache/os.h"

static long lock_holder(int fd)
{
    char text[32] = {0};
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    return got > 0 ? strtol(text, NULL, 10) : 0;
}

static pc_err lock_take(const char *dir, struct identity *out, struct pc_error *error)
{
    char path[sizeof out->log_dir];
    pc_err err = data_file_path(path, sizeof path, dir, "LOCK", error);
    if (err != PC_OK) {
        return err;
    }
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return pc_error_set(error, PC_E_IO, "open %s: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int reason = errno;
        if (reason == EWOULDBLOCK) {
            (void)pc_error_set(error, PC_E_LOCKED,
                "data directory %s is in use by process %ld; stop it, or give this node its own"
                " [node] data_dir",
                dir, lock_holder(fd));
        } else {
            (void)pc_error_set(error, PC_E_IO, "lock %s: %s", path, strerror(reason));
        }
        close(fd);
        return error->code;
    }
    /* Always as long, so that on a full disk it goes where the one before was. It is for people: a
     * disk that has no room for the first one must not keep the node from starting. */
    char pid[32];
    int used = snprintf(pid, sizeof pid, "%-20ld\n", (long)getpid());
    if (pwrite(fd, pid, (size_t)used, 0) != used) {
        pc_log(PC_LOG_WARN, "cannot note the process id in the lock file", "path", path, NULL);
    }
    out->lock_fd = fd;
    return PC_OK;
}

/* Makes the directory, and its name in the one above durable. */
static pc_err data_dir_make(const char *data_dir, struct pc_error *error)
{
    if (mkdir(data_dir, 0700) != 0) {
        return errno == EEXIST ? PC_OK
                               : pc_error_set(error, PC_E_IO, "make data directory %s: %s",
                                     data_dir, strerror(errno));
    }
    char above[sizeof((struct identity *)0)->data_dir];
    pc_err err = data_file_path(above, sizeof above, data_dir, "..", error);
    const struct pc_fs *fs = pc_fs_posix();
    return err == PC_OK ? fs->sync_dir(fs->context, above, error) : err;
}

pc_err identity_open(const char *data_dir, struct identity *out, struct pc_error *error)
{
    *out = (struct identity){.lock_fd = -1, .fs = pc_fs_posix()};
    pc_err err = data_file_path(out->log_dir, sizeof out->log_dir, data_dir, "log", error);
    if (err != PC_OK) {
        return err;
    }
    (void)snprintf(out->data_dir, sizeof out->data_dir, "%s", data_dir); /* shorter than log_dir */
    err = data_dir_make(data_dir, error);
    if (err == PC_OK) {
        err = lock_take(data_dir, out, error);
    }
    /* Before anything is written: a newer program may read what this one leaves otherwise. */
    uint8_t history[16];
    if (err == PC_OK && history_read(out->fs, data_dir, history, error) == PC_E_VERSION) {
        err = PC_E_VERSION;
    }
    /* Where there is an identity, there are lives: a node that has run needs no space to start. */
    if (err == PC_OK) {
        err = lives_open(out->fs, data_dir, &out->lives, error);
    }
    pc_node_id fresh = 0;
    while (fresh == 0) {
        fresh = pc_entropy_u64();
    }
    if (err == PC_OK) {
        err = identity_load(out, fresh, pc_clock_wall_ms(), error);
    }
    if (err != PC_OK) {
        identity_close(out);
    } else if (out->was_mended) {
        pc_log(PC_LOG_WARN,
            "one of the two copies of the identity was not whole, as after a power cut; it is"
            " written anew from the other",
            "path", data_dir, "offset",
            pc_log_u64((uint64_t)out->mended_slot * IDENTITY_SLOT_BYTES), NULL);
    }
    if (err == PC_OK && out->lives.was_damaged) {
        pc_log(PC_LOG_WARN,
            "a copy of the notes on lives of peers was not whole, as after a power cut", "path",
            data_dir, "known", pc_log_u64(out->lives.n), NULL);
    }
    if (err == PC_OK && out->lives.was_missing && out->has_log) {
        pc_log(PC_LOG_WARN,
            "the notes on lives of peers are gone, and begin anew: until this node has met a peer"
            " again, it would take an older copy of that peer's disk for the disk",
            "path", data_dir, NULL);
    }
    return err;
}

void identity_close(struct identity *identity)
{
    if (identity->lock_fd >= 0) {
        close(identity->lock_fd);
        identity->lock_fd = -1;
    }
}
