/* The lock is the one that pcached takes. It is let go when the program ends. */
#define _GNU_SOURCE
#include "fresh_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcached/data_file.h"

static pc_err make_dir(const char *data_dir, struct pc_error *error)
{
    char above[4096];
    if (mkdir(data_dir, 0700) != 0) {
        return errno == EEXIST ? PC_OK
                               : pc_error_set(error, PC_E_IO, "make data directory %s: %s",
                                     data_dir, strerror(errno));
    }
    pc_err err = data_file_path(above, sizeof above, data_dir, "..", error);
    const struct pc_fs *fs = pc_fs_posix();
    return err == PC_OK ? fs->sync_dir(fs->context, above, error) : err;
}

pc_err fresh_dir_lock(const char *data_dir, int *fd, struct pc_error *error)
{
    char path[4096];
    pc_err err = data_file_path(path, sizeof path, data_dir, "LOCK", error);
    if (err == PC_OK) {
        err = make_dir(data_dir, error);
    }
    if (err != PC_OK) {
        return err;
    }
    int opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (opened < 0) {
        return pc_error_set(error, PC_E_IO, "open %s: %s", path, strerror(errno));
    }
    if (flock(opened, LOCK_EX | LOCK_NB) != 0) {
        err = errno == EWOULDBLOCK ? PC_E_LOCKED : PC_E_IO;
        (void)pc_error_set(error, err, "%s: %s", data_dir,
            err == PC_E_LOCKED ? "a node runs on this data directory" : strerror(errno));
        (void)close(opened);
        return err;
    }
    *fd = opened;
    return PC_OK;
}
