/* The lock of the data directory that a log lies in: a node that runs holds it, and reads and
 * writes the same files. Only a directory that a node has used before has one. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "pclog_int.h"

static long lock_holder(int fd)
{
    char text[32] = {0};
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    return got > 0 ? strtol(text, NULL, 10) : 0;
}

pc_err pclog_lock(const char *log_dir, int *out, struct pc_error *error)
{
    char path[4200];
    int used = snprintf(path, sizeof path, "%s/../LOCK", log_dir);
    if (used < 0 || (size_t)used >= sizeof path) {
        return pc_error_set(error, PC_E_INVALID, "%s: the name is too long", log_dir);
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *out = -1;
        return PC_OK;
    }
    if (fd < 0) {
        return pc_error_set(error, PC_E_IO, "open %s: %s", path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *out = fd;
        return PC_OK;
    }
    if (errno == EWOULDBLOCK) {
        (void)pc_error_set(error, PC_E_LOCKED,
            "the log %s is in use by process %ld: stop that node first", log_dir, lock_holder(fd));
    } else {
        (void)pc_error_set(error, PC_E_IO, "lock %s: %s", path, strerror(errno));
    }
    (void)close(fd);
    return error->code;
}

void pclog_unlock(int fd)
{
    if (fd >= 0) {
        (void)close(fd);
    }
}
