/* Names of branch files, and what lies in rollback/. */
#define _GNU_SOURCE
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "branch_int.h"
#include "pcache/assert.h"

#define SUFFIX ".kvr"
#define NOTE_SUFFIX ".replayed"
#define UTC_BYTES 16 /* 20261123T002101Z */

/* Of what does not change while a branch is open or being closed, so that closing it twice, after a
 * crash in between, comes to the same name. */
void pc_branch_name(const struct pc_branch_head *head, uint64_t records, char *out)
{
    time_t seconds = (time_t)(head->begun_ms / 1000);
    struct tm utc;
    char text[UTC_BYTES + 1], id[9];
    PC_ASSERT(head->begun_ms <= BRANCH_WALL_MS_MAX);
    bool ok = gmtime_r(&seconds, &utc) != NULL &&
              strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc) == UTC_BYTES;
    PC_ASSERT(ok);
    pc_hex_encode(head->id, 4, id);
    (void)snprintf(out, PC_BRANCH_NAME_BYTES, "%s-%s-%" PRIu64 SUFFIX, text, id, records);
}

static const char *skip_of(const char *at, size_t n, int (*is)(int))
{
    for (size_t i = 0; at != NULL && i < n; i++) {
        at = is((unsigned char)*at) != 0 ? at + 1 : NULL;
    }
    return at;
}

static const char *skip_char(const char *at, char c)
{
    return at != NULL && *at == c ? at + 1 : NULL;
}

static int is_lower_hex(int c)
{
    return isdigit(c) != 0 || (c >= 'a' && c <= 'f');
}

bool pc_branch_name_is_valid(const char *name)
{
    const char *at = skip_of(name, 8, isdigit);
    at = skip_char(at, 'T');
    at = skip_of(at, 6, isdigit);
    at = skip_char(skip_char(at, 'Z'), '-');
    at = skip_of(at, 8, is_lower_hex);
    at = skip_char(at, '-');
    if (at == NULL || strlen(name) >= PC_BRANCH_NAME_BYTES) {
        return false;
    }
    size_t digits = strspn(at, "0123456789");
    return digits > 0 && at[0] != '0' && strcmp(at + digits, SUFFIX) == 0;
}

bool pc_branch_join(const char *dir, const char *name, struct branch_path *out)
{
    int n = snprintf(out->text, sizeof out->text, "%s/%s", dir, name);
    return strlen(dir) < BRANCH_DIR_BYTES_MAX && n > 0 && (size_t)n < sizeof out->text;
}

bool pc_branch_path(const char *dir, const char *name, char *out, size_t out_bytes)
{
    int n = snprintf(out, out_bytes, "%s/" PC_BRANCH_DIR_NAME "/%s", dir, name);
    return n > 0 && (size_t)n < out_bytes;
}

static pc_err too_long(struct pc_error *error)
{
    return pc_error_set(error, PC_E_INVALID, "data directory: the path is too long");
}

pc_err pc_branch_make_dir(const struct pc_fs *fs, const char *dir, struct pc_error *error)
{
    struct branch_path path;
    if (!pc_branch_join(dir, PC_BRANCH_DIR_NAME, &path)) {
        return too_long(error);
    }
    pc_err err = fs->mkdir(fs->context, path.text, error);
    return err == PC_OK ? fs->sync_dir(fs->context, dir, error) : err;
}

/* The new name first: between the two syncs the file has both or the new one. */
pc_err pc_branch_move(const struct pc_fs *fs, const char *dir, const char *from, const char *to,
    struct pc_error *error)
{
    struct branch_path old, new, folder;
    pc_err err = pc_branch_make_dir(fs, dir, error);
    if (err != PC_OK) {
        return err;
    }
    if (!pc_branch_join(dir, from, &old) || !pc_branch_join(dir, PC_BRANCH_DIR_NAME, &folder) ||
        !pc_branch_path(dir, to, new.text, sizeof new.text)) {
        return too_long(error);
    }
    err = fs->rename(fs->context, old.text, new.text, error);
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, folder.text, error);
    }
    return err == PC_OK ? fs->sync_dir(fs->context, dir, error) : err;
}

struct lister {
    void (*each)(void *arg, const char *name);
    void *arg;
};

static void on_name(void *arg, const char *name)
{
    const struct lister *lister = arg;
    if (pc_branch_name_is_valid(name)) {
        lister->each(lister->arg, name);
    }
}

pc_err pc_branch_list(const struct pc_fs *fs, const char *dir,
    void (*each)(void *arg, const char *name), void *arg, struct pc_error *error)
{
    struct branch_path path;
    struct lister lister = {.each = each, .arg = arg};
    if (!pc_branch_join(dir, PC_BRANCH_DIR_NAME, &path)) {
        return too_long(error);
    }
    pc_err err = fs->list(fs->context, path.text, on_name, &lister, error);
    return err == PC_E_NOT_FOUND ? PC_OK : err;
}

/* ---- whether it was replayed */

static bool note_path(const char *path, struct branch_path *out)
{
    int n = snprintf(out->text, sizeof out->text, "%s" NOTE_SUFFIX, path);
    return n > 0 && (size_t)n < sizeof out->text;
}

static bool is_there(const struct pc_fs *fs, const char *path, pc_err *err, struct pc_error *error)
{
    pc_fd fd;
    *err = fs->open_read(fs->context, path, &fd, error);
    if (*err == PC_OK) {
        fs->close(fs->context, fd);
    }
    return *err == PC_OK;
}

bool pc_branch_is_replayed(const struct pc_fs *fs, const char *dir, const char *name)
{
    struct branch_path path, note;
    struct pc_error ignored;
    pc_err err;
    return pc_branch_path(dir, name, path.text, sizeof path.text) && note_path(path.text, &note) &&
           is_there(fs, note.text, &err, &ignored);
}

static pc_err sync_dir_of(const struct pc_fs *fs, const char *path, struct pc_error *error)
{
    struct branch_path dir;
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    memcpy(dir.text, path, len);
    dir.text[len] = '\0';
    return fs->sync_dir(fs->context, len > 0 ? dir.text : ".", error);
}

pc_err pc_branch_note_replay(const struct pc_fs *fs, const char *path, struct pc_error *error)
{
    struct branch_path note;
    struct pc_error other;
    pc_err err;
    pc_fd fd;
    if (!note_path(path, &note)) {
        return pc_error_set(error, PC_E_INVALID, "the name of the file is too long");
    }
    if (!is_there(fs, path, &err, error)) {
        return err;
    }
    err = fs->open(fs->context, note.text, true, true, &fd, error);
    if (err == PC_OK) {
        fs->close(fs->context, fd);
    }
    if (err == PC_OK || err == PC_E_EXISTS) { /* who made it may not have come so far */
        pc_err synced = sync_dir_of(fs, path, &other);
        if (synced != PC_OK) {
            *error = other;
            return synced;
        }
    }
    return err;
}

/* The note goes last: without one a branch that is still there looks as if nobody had replayed it.
 */
pc_err pc_branch_remove(
    const struct pc_fs *fs, const char *dir, const char *name, struct pc_error *error)
{
    struct branch_path path, folder, note;
    struct pc_error ignored;
    if (!pc_branch_name_is_valid(name)) {
        return pc_error_set(error, PC_E_NOT_FOUND, "no closed branch has this name");
    }
    if (!pc_branch_path(dir, name, path.text, sizeof path.text) ||
        !pc_branch_join(dir, PC_BRANCH_DIR_NAME, &folder) || !note_path(path.text, &note)) {
        return too_long(error);
    }
    pc_err err = fs->unlink(fs->context, path.text, error);
    if (err == PC_OK) {
        err = fs->sync_dir(fs->context, folder.text, error);
    }
    if (err == PC_OK) {
        (void)fs->unlink(fs->context, note.text, &ignored); /* mostly there is none */
    }
    return err;
}
