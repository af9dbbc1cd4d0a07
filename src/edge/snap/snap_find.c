/* Which snapshot a start uses. A name was given when the file was whole and durable, so what is
 * wrong with the newest one has gone bad since, and never was a crash. It is not passed over
 * silently: what it covered may be gone from the log. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "snap_int.h"

/* Opens one file; what its name says must be what it says. */
static pc_err open_one(const struct pc_fs *fs, const char *dir, pc_index index,
    struct pc_snap_reader **out, struct pc_error *error)
{
    char name[PC_SNAP_NAME_BYTES];
    struct snap_path path;
    pc_snap_name(SNAP_WHOLE, index, name);
    PC_ASSERT(pc_snap_path(dir, name, &path));
    struct pc_snap_reader *reader = NULL;
    pc_err err = pc_snap_reader_open(fs, path.text, &reader, error);
    if (err == PC_OK && pc_snap_reader_info(reader)->base.index != index) {
        err = pc_error_set(error, PC_E_CORRUPT,
            "%s: damaged at offset 0: the header is that of another file", name);
        pc_snap_reader_close(reader);
    }
    if (err == PC_OK) {
        *out = reader;
    }
    return err;
}

static pc_err find_whole(const struct pc_fs *fs, const char *dir, const struct snap_files *files,
    struct pc_snap_found *found, struct pc_error *error)
{
    struct pc_error first = {0};
    for (size_t i = 0; i < files->n; i++) {
        if (files->v[i].kind != SNAP_WHOLE) {
            continue;
        }
        pc_err err = open_one(fs, dir, files->v[i].index, &found->reader, error);
        if (err != PC_E_CORRUPT) {
            return err;
        }
        if (found->damages++ == 0) {
            first = *error;
            (void)snprintf(found->where, sizeof found->where, "%.*s", (int)sizeof found->where - 1,
                error->text);
        }
    }
    if (found->damages > 0) {
        *error = first;
        return PC_E_CORRUPT;
    }
    return pc_error_set(error, PC_E_NOT_FOUND, "there is no snapshot in %s", dir);
}

/* A crash may have come between a rename and the directory's sync: its name may still be lost. */
static pc_err settle(const struct pc_fs *fs, const char *dir, const struct pc_snap_found *found,
    struct pc_error *error)
{
    pc_err err = fs->sync_dir(fs->context, dir, error);
    if (err == PC_OK) {
        pc_index index = pc_snap_reader_info(found->reader)->base.index;
        pc_snap_remove_all(fs, dir, SNAP_PART, 0, index, 0);
    }
    return err;
}

pc_err pc_snap_find(const struct pc_fs *fs, const char *dir, bool read_only,
    struct pc_snap_found *out, struct pc_error *error)
{
    struct snap_files files;
    struct pc_snap_found found = {0};
    if (strlen(dir) >= SNAP_DIR_BYTES_MAX) {
        return pc_error_set(error, PC_E_INVALID, "the name of the directory is too long");
    }
    pc_err err = pc_snap_list(fs, dir, &files, error);
    if (err != PC_OK) {
        return err;
    }
    if (!read_only) {
        pc_snap_remove(fs, dir, SNAP_TMP_NAME);
    }
    err = find_whole(fs, dir, &files, &found, error);
    free(files.v);
    if (err == PC_OK && !read_only) {
        err = settle(fs, dir, &found, error);
        if (err != PC_OK) {
            pc_snap_reader_close(found.reader);
        }
    }
    if (err == PC_OK) {
        *out = found;
    }
    return err;
}

pc_err pc_snap_set_aside(
    const struct pc_fs *fs, const char *dir, pc_index index, struct pc_error *error)
{
    char name[PC_SNAP_NAME_BYTES], bad[PC_SNAP_NAME_BYTES];
    struct snap_path from, to;
    pc_snap_name(SNAP_WHOLE, index, name);
    pc_snap_name(SNAP_BAD, index, bad);
    if (!pc_snap_path(dir, name, &from) || !pc_snap_path(dir, bad, &to)) {
        return pc_error_set(error, PC_E_INVALID, "the name of the directory is too long");
    }
    pc_err err = fs->rename(fs->context, from.text, to.text, error);
    if (err != PC_OK) {
        return err;
    }
    pc_snap_remove_all(fs, dir, SNAP_BAD, 0, UINT64_MAX, index);
    return fs->sync_dir(fs->context, dir, error);
}
