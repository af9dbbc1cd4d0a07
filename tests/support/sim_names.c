#include "support/sim_names.h"

#include <string.h>

#include "pcache/assert.h"
#include "pcache/bytes.h"

void pc_sim_path_copy(char *to, const char *from)
{
    size_t len = strlen(from);
    PC_ASSERT(len < PC_SIM_PATH_BYTES);
    memcpy(to, from, len + 1);
}

struct pc_sim_name *pc_sim_names_find(const struct pc_sim_names *names, const char *path)
{
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->v[i].path, path) == 0) {
            return &names->v[i];
        }
    }
    return NULL;
}

void pc_sim_names_remove(struct pc_sim_names *names, const char *path)
{
    struct pc_sim_name *name = pc_sim_names_find(names, path);
    if (name != NULL) {
        *name = names->v[--names->n];
    }
}

void pc_sim_names_set(struct pc_sim_names *names, const char *path, size_t inode)
{
    struct pc_sim_name *name = pc_sim_names_find(names, path);
    if (name == NULL) {
        names->v = pc_xrealloc(names->v, (names->n + 1) * sizeof *names->v);
        name = &names->v[names->n++];
        pc_sim_path_copy(name->path, path);
    }
    name->inode = inode;
}

void pc_sim_path_dir(const char *path, char *out)
{
    pc_sim_path_copy(out, path);
    char *slash = strrchr(out, '/');
    if (slash == NULL) {
        pc_sim_path_copy(out, ".");
    } else {
        slash[slash == out] = '\0';
    }
}

void pc_sim_names_drop_orphans(struct pc_sim_names *names)
{
    for (size_t i = 0; i < names->n;) {
        char dir[PC_SIM_PATH_BYTES];
        pc_sim_path_dir(names->v[i].path, dir);
        if (pc_sim_names_find(names, dir) != NULL) {
            i++;
            continue;
        }
        char path[PC_SIM_PATH_BYTES];
        pc_sim_path_copy(path, names->v[i].path);
        pc_sim_names_remove(names, path);
        i = 0; /* it may have been a directory itself */
    }
}

void pc_sim_names_apply(struct pc_sim_names *names, const struct pc_sim_pending *change)
{
    if (change->what == PC_SIM_NAME_MOVED) {
        pc_sim_names_remove(names, change->from);
    }
    if (change->what == PC_SIM_NAME_REMOVED) {
        pc_sim_names_remove(names, change->path);
    } else {
        pc_sim_names_set(names, change->path, change->inode);
    }
}
