#include "data_file.h"

#include <stdio.h>

#define PATH_BYTES 4200

pc_err data_file_path(
    char *out, size_t out_max, const char *dir, const char *name, struct pc_error *error)
{
    int used = snprintf(out, out_max, "%s/%s", dir, name);
    if (used < 0 || (size_t)used >= out_max) {
        return pc_error_set(error, PC_E_INVALID, "data directory %s: the path is too long", dir);
    }
    return PC_OK;
}

pc_err data_file_replace(const struct pc_fs *fs, const char *dir, const char *name,
    struct pc_slice bytes, struct pc_error *error)
{
    char path[PATH_BYTES], aside[PATH_BYTES + 8];
    struct pc_error ignored;
    pc_fd fd;
    pc_err err = data_file_path(path, sizeof path, dir, name, error);
    if (err != PC_OK) {
        return err;
    }
    (void)snprintf(aside, sizeof aside, "%s.new", path);
    (void)fs->unlink(fs->context, aside, &ignored); /* left over from a crash, perhaps */
    err = fs->open(fs->context, aside, true, false, &fd, error);
    if (err != PC_OK) {
        return err;
    }
    err = fs->write_at(fs->context, fd, 0, bytes, error);
    if (err == PC_OK) {
        err = fs->sync(fs->context, fd, error);
    }
    fs->close(fs->context, fd);
    if (err == PC_OK) {
        err = fs->rename(fs->context, aside, path, error);
    }
    return err == PC_OK ? fs->sync_dir(fs->context, dir, error) : err;
}
