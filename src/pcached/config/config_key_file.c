#define _POSIX_C_SOURCE 200809L
/* The cluster key: one line of 64 hex digits in a file that others cannot read. */
#include "config_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

/* Group-readable is allowed: a service account may share a group with its operators. */
static pc_err check_mode(int fd, const char *path, struct pc_error *error)
{
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return pc_error_set(error, PC_E_INVALID, "key file %.120s: %s", path, strerror(errno));
    }
    if (!S_ISREG(status.st_mode)) {
        return pc_error_set(error, PC_E_INVALID, "key file %.120s: not a regular file", path);
    }
    if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0) {
        return pc_error_set(error, PC_E_INVALID,
            "key file %.80s is open to everybody (mode %04o); run: chmod 600 %.80s", path,
            (unsigned)status.st_mode & 07777, path);
    }
    if ((status.st_mode & S_IWGRP) != 0) {
        return pc_error_set(error, PC_E_INVALID,
            "key file %.80s can be written by its group (mode %04o); run: chmod 600 %.80s", path,
            (unsigned)status.st_mode & 07777, path);
    }
    return PC_OK;
}

static pc_err read_line(int fd, const char *path, uint8_t key[32], struct pc_error *error)
{
    char text[64 + 8] = {0};
    size_t len = 0;
    ssize_t got;
    while (len < sizeof text - 1 && (got = read(fd, text + len, sizeof text - 1 - len)) > 0) {
        len += (size_t)got;
    }
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        len--;
    }
    bool good = len == 64 && pc_hex_decode(text, key, 32);
    sodium_memzero(text, sizeof text);
    if (!good) {
        return pc_error_set(error, PC_E_INVALID,
            "key file %.120s: not one line of 64 hex digits (make one with: pcadmin key gen)",
            path);
    }
    return PC_OK;
}

pc_err config_key_file_read(const char *path, uint8_t key[32], struct pc_error *error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return pc_error_set(error, PC_E_INVALID, "key file %.120s: %s", path, strerror(errno));
    }
    pc_err err = check_mode(fd, path, error);
    if (err == PC_OK) {
        err = read_line(fd, path, key, error);
    }
    (void)close(fd);
    return err;
}
