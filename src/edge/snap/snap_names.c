/* Names of snapshot files, and what lies in a directory. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "snap_int.h"

static const struct {
    const char *prefix, *suffix;
} forms[] = {
    [SNAP_WHOLE] = {"snap-", ".snp"},
    [SNAP_PART] = {"snap-", ".part"},
    [SNAP_BAD] = {"bad-", ".snp"},
};

void pc_snap_name(enum snap_kind kind, pc_index index, char *out)
{
    (void)snprintf(out, PC_SNAP_NAME_BYTES, "%s%016" PRIx64 "%s", forms[kind].prefix, index,
        forms[kind].suffix);
}

bool pc_snap_path(const char *dir, const char *name, struct snap_path *out)
{
    if (strlen(dir) >= SNAP_DIR_BYTES_MAX) {
        return false;
    }
    int n = snprintf(out->text, sizeof out->text, "%s/%s", dir, name);
    return n > 0 && (size_t)n < sizeof out->text;
}

/* Only what pc_snap_name makes is a name of ours: not 1 with another number of zeros, no capital
 * letters. */
static bool parse_name(const char *name, struct snap_file *out)
{
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        size_t skip = strlen(forms[i].prefix);
        if (strncmp(name, forms[i].prefix, skip) != 0 || strlen(name) < skip + 16) {
            continue;
        }
        char same[PC_SNAP_NAME_BYTES];
        uint64_t index = strtoull(name + skip, NULL, 16);
        pc_snap_name((enum snap_kind)i, index, same);
        if (index > 0 && strcmp(name, same) == 0) {
            *out = (struct snap_file){.kind = (enum snap_kind)i, .index = index};
            return true;
        }
    }
    return false;
}

static void on_name(void *arg, const char *name)
{
    struct snap_files *files = arg;
    struct snap_file file;
    if (!parse_name(name, &file)) {
        return;
    }
    if (files->n == files->cap) {
        files->cap = files->cap == 0 ? 8 : files->cap * 2;
        files->v = pc_xrealloc(files->v, files->cap * sizeof *files->v);
    }
    files->v[files->n++] = file;
}

static int newer_first(const void *a, const void *b)
{
    const struct snap_file *x = a;
    const struct snap_file *y = b;
    return x->index < y->index ? 1 : x->index > y->index ? -1 : 0;
}

pc_err pc_snap_list(
    const struct pc_fs *fs, const char *dir, struct snap_files *out, struct pc_error *error)
{
    struct snap_files files = {0};
    pc_err err = fs->list(fs->context, dir, on_name, &files, error);
    if (err != PC_OK) {
        free(files.v);
        return err;
    }
    if (files.n > 1) {
        qsort(files.v, files.n, sizeof *files.v, newer_first);
    }
    *out = files;
    return PC_OK;
}

void pc_snap_remove(const struct pc_fs *fs, const char *dir, const char *name)
{
    struct snap_path path;
    struct pc_error ignored;
    PC_ASSERT(pc_snap_path(dir, name, &path));
    (void)fs->unlink(fs->context, path.text, &ignored);
}

void pc_snap_remove_all(const struct pc_fs *fs, const char *dir, enum snap_kind kind,
    pc_index first, pc_index last, pc_index but)
{
    struct snap_files files;
    struct pc_error ignored;
    if (pc_snap_list(fs, dir, &files, &ignored) != PC_OK) {
        return;
    }
    for (size_t i = 0; i < files.n; i++) {
        const struct snap_file *file = &files.v[i];
        if (file->kind == kind && file->index >= first && file->index <= last &&
            file->index != but) {
            char name[PC_SNAP_NAME_BYTES];
            pc_snap_name(kind, file->index, name);
            pc_snap_remove(fs, dir, name);
        }
    }
    free(files.v);
}
