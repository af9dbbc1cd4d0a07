/* The closed branches of a directory, by name. What was looked at once is not read again: a closed
 * file does not change. */
#include <stdlib.h>
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"

static int by_name(const void *a, const void *b)
{
    const struct pc_branch_info *x = a;
    const struct pc_branch_info *y = b;
    return strcmp(x->name, y->name);
}

static const struct pc_branch_info *find(const struct branch_index *index, const char *name)
{
    for (size_t i = 0; i < index->n; i++) {
        if (strcmp(index->v[i].name, name) == 0) {
            return &index->v[i];
        }
    }
    return NULL;
}

void pc_branch_index_add(struct branch_index *index, const struct pc_branch_info *info)
{
    if (index->n == index->cap) {
        index->cap = index->cap == 0 ? 8 : index->cap * 2;
        index->v = pc_xrealloc(index->v, index->cap * sizeof *index->v);
    }
    index->v[index->n++] = *info;
}

void pc_branch_index_clear(struct branch_index *index)
{
    free(index->v);
    index->v = NULL;
    index->n = index->cap = 0;
}

/* Heads and the end alone: what the records say is looked at when somebody reads them. A file that
 * cannot be read is listed all the same, by its name. */
static void look_at(const struct branch_index *index, struct pc_branch_info *info)
{
    struct branch_path path;
    struct pc_branch_reader *reader = NULL;
    struct pc_error ignored;
    pc_err err = PC_E_INVALID;
    struct pc_branch_info named = *info;
    if (pc_branch_path(index->dir, info->name, path.text, sizeof path.text)) {
        err = pc_branch_reader_open(index->fs, path.text, &reader, &ignored);
    }
    while (err == PC_OK) {
        err = pc_branch_reader_next(reader, NULL, &ignored);
        if (err == PC_E_CORRUPT) {
            pc_branch_reader_skip(reader);
            err = PC_OK;
        }
    }
    if (reader != NULL) {
        *info = *pc_branch_reader_info(reader);
        memcpy(info->name, named.name, sizeof info->name);
    }
    pc_branch_reader_close(reader);
}

static void on_closed(void *arg, const char *name)
{
    struct pc_branch_info info = {0};
    memcpy(info.name, name, strlen(name) + 1);
    pc_branch_index_add(arg, &info);
}

pc_err pc_branch_index_update(struct branch_index *index, struct pc_error *error)
{
    struct branch_index now = {.fs = index->fs, .dir = index->dir};
    pc_err err = pc_branch_list(index->fs, index->dir, on_closed, &now, error);
    if (err != PC_OK) {
        pc_branch_index_clear(&now);
        return err;
    }
    for (size_t i = 0; i < now.n; i++) {
        const struct pc_branch_info *known = find(index, now.v[i].name);
        if (known != NULL) {
            now.v[i] = *known;
        } else {
            look_at(index, &now.v[i]);
        }
        now.v[i].is_replayed = pc_branch_is_replayed(index->fs, index->dir, now.v[i].name);
    }
    if (now.n > 1) {
        qsort(now.v, now.n, sizeof *now.v, by_name);
    }
    pc_branch_index_clear(index);
    *index = now;
    return PC_OK;
}
