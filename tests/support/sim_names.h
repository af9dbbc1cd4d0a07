/* sim_names.h: the paths of the simulated file system (see sim_fs.h): one flat table, directories
 * and files alike. */
#ifndef PC_SIM_NAMES_H
#define PC_SIM_NAMES_H

#include <stddef.h>

#define PC_SIM_PATH_BYTES 512

struct pc_sim_name {
    char path[PC_SIM_PATH_BYTES];
    size_t inode;
};

struct pc_sim_names {
    struct pc_sim_name *v;
    size_t n;
};

enum pc_sim_change { PC_SIM_NAME_SET, PC_SIM_NAME_REMOVED, PC_SIM_NAME_MOVED };

/* A change of a name that is not durable yet: path (or from -> path) in directory `dir`. */
struct pc_sim_pending {
    enum pc_sim_change what;
    char dir[PC_SIM_PATH_BYTES];
    char from[PC_SIM_PATH_BYTES];
    char path[PC_SIM_PATH_BYTES];
    size_t inode;
};

/* Requires strlen(from) < PC_SIM_PATH_BYTES. */
void pc_sim_path_copy(char *to, const char *from);
/* The directory that `path` lies in; "." when it names none. */
void pc_sim_path_dir(const char *path, char *out);

/* NULL when there is no such path. Valid until the next change of the table. */
struct pc_sim_name *pc_sim_names_find(const struct pc_sim_names *names, const char *path);
void pc_sim_names_remove(struct pc_sim_names *names, const char *path);
void pc_sim_names_set(struct pc_sim_names *names, const char *path, size_t inode);
/* Removes what lies in a directory that is not there. */
void pc_sim_names_drop_orphans(struct pc_sim_names *names);
/* Makes the change in the table. */
void pc_sim_names_apply(struct pc_sim_names *names, const struct pc_sim_pending *change);

#endif
