/* fresh_dir.h: the data directory of a node with which a new history begins, out of a snapshot. */
#ifndef PCADMIN_FRESH_DIR_H
#define PCADMIN_FRESH_DIR_H

#include "pcache/fs.h"
#include "pcache/snap.h"
#include "pcache/wire.h"

struct fresh_dir {
    const char *data_dir;
    pc_node_id id;                    /* of the node; not 0 */
    pc_ms wall_ms;                    /* now */
    struct pc_cluster_config members; /* with the new history; only `id` votes */
};

/* The members of the new history: `self` with this id alone votes; every other name of `from` is
 * invited, to be what it was. names: "a,b,c", to invite these as voters instead of those of `from`;
 * NULL = none given. history: 16 random bytes.
 * Returns PC_OK; PC_E_INVALID (a name that cannot be one, or too many; text). */
PC_MUST_CHECK pc_err fresh_members(const struct pc_cluster_config *from, const char *self,
    pc_node_id id, const char *names, const uint8_t *history, struct pc_cluster_config *out,
    struct pc_error *error);

/* Fills dir->data_dir, which is there, with what a node of this id starts from: all items of the
 * snapshot, as they were, behind one more entry that names the members. *base: that entry. What an
 * interrupted call has left is removed first. The snapshot is read and checked to its end before
 * anything in the directory counts.
 * Returns PC_OK (durable); PC_E_EXISTS (there is data already: nothing is changed); PC_E_CORRUPT
 * (the snapshot); PC_E_INVALID; PC_E_IO, PC_E_NO_SPACE, PC_E_AGAIN. */
PC_MUST_CHECK pc_err fresh_dir_make(const struct pc_fs *fs, const struct fresh_dir *dir,
    struct pc_snap_reader *from, struct pc_raft_base *base, struct pc_error *error);

/* Makes the directory when it is missing, and keeps nodes from starting on it.
 * Returns PC_OK; PC_E_LOCKED (by a node that runs), PC_E_IO, PC_E_INVALID. */
PC_MUST_CHECK pc_err fresh_dir_lock(const char *data_dir, int *fd, struct pc_error *error);

#endif
