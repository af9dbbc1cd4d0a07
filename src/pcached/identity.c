#define _GNU_SOURCE
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pcache/crc32c.h"
#include "pcache/os.h"

#define IDENTITY_BYTES_MAX 128

static pc_err path_join(
    char *out, size_t out_max, const char *dir, const char *name, struct pc_error *error)
{
    int used = snprintf(out, out_max, "%s/%s", dir, name);
    if (used < 0 || (size_t)used >= out_max) {
        return pc_error_set(error, PC_E_INVALID, "data directory %s: the path is too long", dir);
    }
    return PC_OK;
}

static long lock_holder(int fd)
{
    char text[32] = {0};
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    return got > 0 ? strtol(text, NULL, 10) : 0;
}

static pc_err lock_take(const char *dir, struct identity *out, struct pc_error *error)
{
    char path[sizeof out->log_dir];
    pc_err err = path_join(path, sizeof path, dir, "LOCK", error);
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
    char pid[32];
    int used = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    /* The pid is for people: a disk too full to note it must not keep the node from starting. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)used, 0) != used) {
        pc_log(PC_LOG_WARN, "cannot note the process id in the lock file", "path", path, NULL);
    }
    out->lock_fd = fd;
    return PC_OK;
}

static uint32_t identity_crc(pc_node_id id, uint64_t generation)
{
    uint8_t bytes[16];
    pc_put_u64(bytes, id);
    pc_put_u64(bytes + 8, generation);
    return pc_crc32c(0, pc_slice_of(bytes, sizeof bytes));
}

static bool identity_parse(const char *text, struct identity *out)
{
    uint64_t id = 0, generation = 0;
    uint32_t crc = 0;
    int end = 0;
    int fields = sscanf(text, "pcache-identity 1 %16" SCNx64 " %20" SCNu64 " %8" SCNx32 "\n%n", &id,
        &generation, &crc, &end);
    if (fields != 3 || text[end] != '\0' || id == 0 || crc != identity_crc(id, generation)) {
        return false;
    }
    out->id = id;
    out->generation = generation;
    return true;
}

static pc_err identity_read(const char *path, struct identity *out, struct pc_error *error)
{
    const struct pc_fs *fs = pc_fs_posix();
    pc_fd fd;
    pc_err err = fs->open_read(fs->context, path, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    char text[IDENTITY_BYTES_MAX + 1] = {0};
    size_t got = 0;
    err = fs->read_at(fs->context, fd, 0, (uint8_t *)text, IDENTITY_BYTES_MAX, &got, error);
    fs->close(fs->context, fd);
    if (err != PC_OK) {
        return err;
    }
    if (!identity_parse(text, out)) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s is damaged: this node cannot prove who it is; restore the file, or move the data"
            " directory away and let the node join as a new one",
            path);
    }
    return PC_OK;
}

static pc_err identity_write(
    const char *dir, const char *path, const struct identity *identity, struct pc_error *error)
{
    const struct pc_fs *fs = pc_fs_posix();
    char text[IDENTITY_BYTES_MAX], aside[sizeof identity->log_dir + 8];
    int used =
        snprintf(text, sizeof text, "pcache-identity 1 %016" PRIx64 " %" PRIu64 " %08" PRIx32 "\n",
            identity->id, identity->generation, identity_crc(identity->id, identity->generation));
    (void)snprintf(aside, sizeof aside, "%s.new", path);
    struct pc_error ignored;
    (void)fs->unlink(fs->context, aside, &ignored); /* left over from a crash, perhaps */
    pc_fd fd;
    pc_err err = fs->open(fs->context, aside, true, false, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = fs->write_at(fs->context, fd, 0, pc_slice_of(text, (size_t)used), error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, fd, error);
    }
    fs->close(fs->context, fd);
    if (err == PC_OK) {
        err = fs->rename(fs->context, aside, path, error);
    }
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, dir, error);
    }
    return err;
}

static void count_entry(void *arg, const char *name)
{
    (void)name;
    (*(size_t *)arg)++;
}

/* A log without an identity beside it was somebody's: it must not become a new node's. */
static pc_err identity_make(const char *path, struct identity *out, struct pc_error *error)
{
    const struct pc_fs *fs = pc_fs_posix();
    size_t files = 0;
    struct pc_error missing;
    pc_err err = fs->list(fs->context, out->log_dir, count_entry, &files, &missing);
    if (err == PC_OK && files > 0) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s is missing, but %s holds a log: restore the file, or move the data directory away",
            path, out->log_dir);
    }
    do {
        out->id = pc_entropy_u64();
    } while (out->id == 0);
    out->is_new = true;
    return PC_OK;
}

static pc_err identity_load(const char *dir, struct identity *out, struct pc_error *error)
{
    char path[sizeof out->log_dir];
    pc_err err = path_join(path, sizeof path, dir, "identity", error);
    if (err == PC_OK) {
        err = identity_read(path, out, error);
    }
    if (err == PC_E_NOT_FOUND) {
        err = identity_make(path, out, error);
    }
    if (err != PC_OK) {
        return err;
    }
    pc_ms wall = pc_clock_wall_ms();
    out->generation = out->generation + 1 > wall ? out->generation + 1 : wall;
    return identity_write(dir, path, out, error);
}

pc_err identity_open(const char *data_dir, struct identity *out, struct pc_error *error)
{
    *out = (struct identity){.lock_fd = -1};
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST) {
        return pc_error_set(
            error, PC_E_IO, "make data directory %s: %s", data_dir, strerror(errno));
    }
    pc_err err = path_join(out->log_dir, sizeof out->log_dir, data_dir, "log", error);
    if (err == PC_OK) {
        err = lock_take(data_dir, out, error);
    }
    if (err == PC_OK) {
        err = identity_load(data_dir, out, error);
    }
    if (err != PC_OK) {
        identity_close(out);
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
