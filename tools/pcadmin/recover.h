/* recover.h: one node of a cluster that has lost its quorum for good becomes the only voter of a
 * cluster that begins with what this node has. Offline, on its data directory.
 *
 *       snapshot + log, entries ..N            as they stand on this disk, committed or not
 *                 |
 *                 v
 *       a snapshot of entry N+1 = CONFIG{ new history, this node votes, the others are invited }
 *
 * Nothing else is written: the log ends before that snapshot, so the next start replaces it by one
 * that begins behind it, as it does with any snapshot that its log does not lead to (wal.h).
 *
 * (1) The snapshot is written aside, synced, and renamed (snap.h). A crash before the rename is
 *     durable leaves the node as it was; one after it leaves the new cluster, whole. There is no
 *     third.
 * (2) N+1 is above every index on this disk, and its term above every term on it: no start takes
 *     anything of the old log for what follows.
 * (3) Members of before have the old history, and whoever has data of another history is refused by
 *     this node and refuses it. With an empty disk, and the name of one who is invited, they come
 *     back by themselves.
 * (4) The note beside the log (data_dir/history) is written last. The log and the snapshot count
 *     before it, and a start that finds another one there writes it anew.
 * (5) Done twice it changes nothing: a node that is the only voter, and whose log is whole, has
 *     nothing to recover. */
#ifndef PCADMIN_RECOVER_H
#define PCADMIN_RECOVER_H

#include "pcache/fs.h"
#include "pcache/snap.h"
#include "pcache/store.h"
#include "pcached/identity.h"

#define RECOVER_WHERE_BYTES 400

/* What a data directory holds. */
struct recovery {
    const struct pc_fs *fs;
    const char *data_dir; /* borrowed */
    char log_dir[4096];
    pc_node_id id;
    struct pc_store *store;          /* the state after `kept` */
    struct pc_raft_base kept;        /* the last entry of an unbroken log */
    struct pc_cluster_config config; /* the newest at or below it */
    struct pc_index_range {
        pc_index first, last;
    } lost;            /* entries on this disk that come behind damage: not kept; first 0 = none */
    pc_index snapshot; /* entry of the newest one; 0 = none */
    pc_index rotten;   /* entry of one that cannot be read, where the log has all of it; 0 = none */
    pc_index committed;              /* highest index known committed; 0 when the log is damaged */
    pc_index top;                    /* no entry above it is on this disk */
    pc_term term;                    /* no later one is on this disk */
    char where[RECOVER_WHERE_BYTES]; /* of damage; "" = none */
};

/* Reads everything, and loads the state into memory; nothing is written.
 * Requires: no process runs on the directory. hash_seed: 16 random bytes.
 * Returns PC_OK; PC_E_NOT_FOUND (no node has used the directory); PC_E_INVALID (its node has never
 *   been in a cluster, or is no member of it); PC_E_CORRUPT (what is there does not lead from
 *   entry 1, or a snapshot, to anything: the text says what is missing. A snapshot whose inside is
 *   damaged is passed over where the log begins with entry 1, and what only it had is lost);
 * PC_E_VERSION, PC_E_IO, PC_E_NOMEM, PC_E_AGAIN. */
PC_MUST_CHECK pc_err recovery_open(const struct pc_fs *fs, const char *data_dir,
    const uint8_t *hash_seed, struct recovery *out, struct pc_error *error);
void recovery_close(struct recovery *recovery);

/* Is this node the only voter already, and nothing lost of what could say otherwise? */
bool recovery_is_done(const struct recovery *recovery);

/* Makes it the only voter of the history given (16 random bytes); where it is that already, only
 * the note of its history is made good. The state is spent afterwards: recovery_close follows.
 * On PC_OK it is durable, and recovery->config says who is a member now. Else the directory is as
 * it was, or as if it had been PC_OK: to be called again on what recovery_open finds.
 * Returns PC_OK, PC_E_NO_SPACE, PC_E_IO, PC_E_AGAIN, PC_E_NOMEM. */
PC_MUST_CHECK pc_err recovery_write(
    struct recovery *recovery, const uint8_t *history, struct pc_error *error);

#endif
