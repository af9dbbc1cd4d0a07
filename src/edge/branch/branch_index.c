/* The closed branches of a directory, by name, and what their files hold.
 *
 * Names are cheap, files may be long: they are read piece by piece, when there is nothing else to
 * do, so that a branch that is to begin waits for one piece at most. What was looked at once is not
 * read again: a closed file does not change. */
#include <stdlib.h>
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"

#define PIECE_BYTES (256u * 1024)

static int by_name(const void *a, const void *b)
{
    const struct branch_index_item *x = a;
    const struct branch_index_item *y = b;
    return strcmp(x->info.name, y->info.name);
}

static struct branch_index_item *find(const struct branch_index *index, const char *name)
{
    for (size_t i = 0; i < index->n; i++) {
        if (strcmp(index->v[i].info.name, name) == 0) {
            return &index->v[i];
        }
    }
    return NULL;
}

static struct branch_index_item *add(struct branch_index *index)
{
    if (index->n == index->cap) {
        index->cap = index->cap == 0 ? 8 : index->cap * 2;
        index->v = pc_xrealloc(index->v, index->cap * sizeof *index->v);
    }
    return &index->v[index->n++];
}

void pc_branch_index_add(struct branch_index *index, const struct pc_branch_info *info)
{
    *add(index) = (struct branch_index_item){.info = *info, .is_known = true};
}

static void look_no_more(struct branch_index *index)
{
    pc_branch_reader_close(index->reader);
    index->reader = NULL;
}

void pc_branch_index_clear(struct branch_index *index)
{
    look_no_more(index);
    free(index->v);
    index->v = NULL;
    index->n = index->cap = 0;
}

/* ---- names */

static void on_closed(void *arg, const char *name)
{
    struct branch_index_item *item = add(arg);
    *item = (struct branch_index_item){0};
    memcpy(item->info.name, name, strlen(name) + 1);
}

pc_err pc_branch_index_update(struct branch_index *index, struct pc_error *error)
{
    struct branch_index now = {.fs = index->fs, .dir = index->dir};
    pc_err err = pc_branch_list(index->fs, index->dir, on_closed, &now, error);
    if (err != PC_OK) {
        free(now.v);
        return err;
    }
    for (size_t i = 0; i < now.n; i++) {
        const struct branch_index_item *known = find(index, now.v[i].info.name);
        if (known != NULL) {
            now.v[i] = *known;
        }
        now.v[i].info.is_replayed =
            pc_branch_is_replayed(index->fs, index->dir, now.v[i].info.name);
    }
    if (now.n > 1) {
        qsort(now.v, now.n, sizeof *now.v, by_name);
    }
    free(index->v);
    index->v = now.v;
    index->n = now.n;
    index->cap = now.cap;
    return PC_OK;
}

/* ---- files */

/* What the records say is looked at when somebody reads them. A file that cannot be read is listed
 * all the same, by its name. */
static void look_at(struct branch_index *index, struct branch_index_item *item)
{
    struct branch_path path;
    struct pc_error ignored;
    pc_err err = PC_E_INVALID;
    if (pc_branch_path(index->dir, item->info.name, path.text, sizeof path.text)) {
        err = pc_branch_reader_open(index->fs, path.text, &index->reader, &ignored);
    }
    item->is_known = err != PC_OK;
    memcpy(index->name, item->info.name, sizeof index->name);
}

static void take_over(struct branch_index *index, struct branch_index_item *item)
{
    const struct pc_branch_info named = item->info;
    item->info = *pc_branch_reader_info(index->reader);
    memcpy(item->info.name, named.name, sizeof named.name);
    item->info.is_replayed = named.is_replayed;
    item->is_known = true;
    look_no_more(index);
}

bool pc_branch_index_look(struct branch_index *index)
{
    if (index->reader != NULL) {
        struct branch_index_item *item = find(index, index->name);
        if (item == NULL) { /* removed meanwhile */
            look_no_more(index);
        } else if (!pc_branch_reader_look(index->reader, PIECE_BYTES)) {
            take_over(index, item);
        }
        return true;
    }
    for (size_t i = 0; i < index->n; i++) {
        if (!index->v[i].is_known) {
            look_at(index, &index->v[i]);
            return true;
        }
    }
    return false;
}
