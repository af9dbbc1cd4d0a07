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

static uint32_t identity_crc(pc_node_id id, uint64_t generation, unsigned has_log)
{
    uint8_t bytes[17];
    pc_put_u64(bytes, id);
    pc_put_u64(bytes + 8, generation);
    bytes[16] = (uint8_t)has_log;
    return pc_crc32c(0, pc_slice_of(bytes, sizeof bytes));
}

static bool identity_parse(const char *text, struct identity *out)
{
    uint64_t id = 0, generation = 0;
    unsigned has_log = 0;
    uint32_t crc = 0;
    int end = 0;
    int fields = sscanf(text, "pcache-identity 1 %16" SCNx64 " %20" SCNu64 " %1u %8" SCNx32 "\n%n",
        &id, &generation, &has_log, &crc, &end);
    if (fields != 4 || text[end] != '\0' || id == 0 || has_log > 1 ||
        crc != identity_crc(id, generation, has_log)) {
        return false;
    }
    out->id = id;
    out->generation = generation;
    out->has_log = has_log == 1;
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

static pc_err identity_write(const struct identity *identity, struct pc_error *error)
{
    const struct pc_fs *fs = pc_fs_posix();
    const char *dir = identity->data_dir;
    char text[IDENTITY_BYTES_MAX], path[sizeof identity->data_dir], aside[sizeof path + 8];
    pc_err err = path_join(path, sizeof path, dir, "identity", error);
    if (err != PC_OK) {
        return err;
    }
    unsigned has_log = identity->has_log ? 1 : 0;
    int used = snprintf(text, sizeof text,
        "pcache-identity 1 %016" PRIx64 " %" PRIu64 " %u %08" PRIx32 "\n", identity->id,
        identity->generation, has_log, identity_crc(identity->id, identity->generation, has_log));
    (void)snprintf(aside, sizeof aside, "%s.new", path);
    struct pc_error ignored;
    (void)fs->unlink(fs->context, aside, &ignored); /* left over from a crash, perhaps */
    pc_fd fd;
    err = fs->open(fs->context, aside, true, false, &fd, error);
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

/* Files of a log; a fresh volume's lost+found is none. */
static void count_entry(void *arg, const char *name)
{
    if (strncmp(name, "log-", 4) == 0 || strncmp(name, "vote-", 5) == 0) {
        (*(size_t *)arg)++;
    }
}

/* How many files the log's directory holds; none when there is no directory. */
static pc_err log_files(const struct identity *identity, size_t *files, struct pc_error *error)
{
    const struct pc_fs *fs = pc_fs_posix();
    *files = 0;
    pc_err err = fs->list(fs->context, identity->log_dir, count_entry, files, error);
    return err == PC_E_NOT_FOUND ? PC_OK : err;
}

/* A log without an identity beside it was somebody's: it must not become a new node's. And an
 * identity that has lost its log must not pass for one that never had any. */
static pc_err identity_fits_log(
    const struct identity *identity, bool is_new, struct pc_error *error)
{
    size_t files;
    pc_err err = log_files(identity, &files, error);
    if (err != PC_OK) {
        return err;
    }
    if (is_new && files > 0) {
        return pc_error_set(error, PC_E_CORRUPT,
            "%s/identity is missing, but %s holds a log: restore the file, or move the data"
            " directory away",
            identity->data_dir, identity->log_dir);
    }
    if (identity->has_log && files == 0) {
        return pc_error_set(error, PC_E_CORRUPT,
            "the log of node %016" PRIx64 " is missing from %s: restore it (is a volume not"
            " mounted?), or move the data directory away",
            identity->id, identity->log_dir);
    }
    return PC_OK;
}

static pc_err identity_load(struct identity *out, struct pc_error *error)
{
    char path[sizeof out->data_dir];
    pc_err err = path_join(path, sizeof path, out->data_dir, "identity", error);
    if (err == PC_OK) {
        err = identity_read(path, out, error);
    }
    bool is_new = err == PC_E_NOT_FOUND;
    while (is_new && out->id == 0) {
        out->id = pc_entropy_u64();
    }
    if (err == PC_OK || is_new) {
        err = identity_fits_log(out, is_new, error);
    }
    if (err != PC_OK) {
        return err;
    }
    pc_ms wall = pc_clock_wall_ms();
    out->generation = out->generation + 1 > wall ? out->generation + 1 : wall;
    return identity_write(out, error);
}

pc_err identity_note_log(struct identity *identity, struct pc_error *error)
{
    if (identity->has_log) {
        return PC_OK;
    }
    identity->has_log = true;
    return identity_write(identity, error);
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
    pc_err err = path_join(above, sizeof above, data_dir, "..", error);
    const struct pc_fs *fs = pc_fs_posix();
    return err == PC_OK ? fs->sync_dir(fs->context, above, error) : err;
}

pc_err identity_open(const char *data_dir, struct identity *out, struct pc_error *error)
{
    *out = (struct identity){.lock_fd = -1};
    pc_err err = path_join(out->log_dir, sizeof out->log_dir, data_dir, "log", error);
    if (err != PC_OK) {
        return err;
    }
    (void)snprintf(out->data_dir, sizeof out->data_dir, "%s", data_dir); /* shorter than log_dir */
    err = data_dir_make(data_dir, error);
    if (err == PC_OK) {
        err = lock_take(data_dir, out, error);
    }
    if (err == PC_OK) {
        err = identity_load(out, error);
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
