/* identity.h: who this node is, kept on the data volume. Private to pcached.
 *
 *   data_dir/LOCK       flock'ed by the running process; holds its pid as text
 *   data_dir/identity   who this node is, twice: two slots of 4096 bytes, as text, each
 *
 *       pcache-identity 2 <slot: 0 | 1> <id: 16 hex> <generation> <log: 0 | 1> <prev> <met: 0 | 1>
 *       <blanks> <crc32c of the 4087 bytes before: 8 hex><newline>
 *
 *   data_dir/lives      the newest life of every peer (lives.h)
 *
 *   data_dir/log/       the log (wal.h)
 *
 * log = 1 says that this id has a log, hence may have voted and acknowledged. An id whose log is
 * gone must not be heard again: it would deny what it promised.
 *
 * met = 1 says that this generation has spoken Raft to a peer, which may have noted it. prev is the
 * newest generation before this one that was met: peers hold it against what they have noted, and
 * so tell a node on its own disk from one on an older copy of it (src/node/node_lives.c). A start
 * that no peer admits leaves prev as it is. Version 1 said neither; a generation of it counts as
 * met.
 *
 * The file is made once, aside, and renamed. From then on it is written in place, so that a start
 * needs no block of a disk that is full.
 *
 *   open: drop what a failed sync has left in memory -> read both slots -> sync, so that what was
 *   read is on the disk -> write the slot that is older, or no good; sync -> write the other; sync
 *   -> and only now use it
 *
 * (1) At every moment one slot is whole on the disk: the one that is not being written was synced
 *     before, by this open or by the write of the first slot. A power cut leaves the old content
 *     or the new one, and never nothing.
 * (2) What is used stands in both slots. So any one slot that is whole is at least as new as what
 *     was ever used, and which of the two is damaged, by a torn write or by rot, does not matter:
 * no generation comes twice, and a log that was noted stays noted. (Were a generation used when one
 * slot has it, rot in that slot would lead back to the one before; and as the wall clock may set
 * generations, no skipping would be wide enough.) (3) The generation only grows, in one generation
 * log and met only grow, and each write raises one of them: which slot is newer needs no number of
 * its own.
 *
 * Slots are as long as a page and a disk's sector, so a torn write never reaches into the other.
 * Every version keeps the length of a slot, its first word, and the place and reach of its
 * checksum: so it is certain that a version is another one, and not this one, damaged. */
#ifndef PCACHED_IDENTITY_H
#define PCACHED_IDENTITY_H

#include "pcache/err.h"
#include "pcache/fs.h"
#include "lives.h"
#include "pcache/types.h"

#define IDENTITY_SLOT_BYTES 4096

struct identity {
    int lock_fd;
    const struct pc_fs *fs; /* where the files below are */
    pc_node_id id;
    uint64_t generation;      /* max(last + 1, wall clock in ms): grows with every start */
    uint64_t prev_generation; /* newest one before it that was met; 0 = none */
    bool has_log;             /* something of this id's log is durable, or was */
    bool has_met;             /* this generation has spoken Raft to a peer, or is about to */
    bool was_mended;          /* one slot was no good at the start, and was written anew */
    unsigned mended_slot;
    struct lives lives; /* beside it; set by identity_open */
    char data_dir[4096];
    char log_dir[4096];
};

/* ---- identity.c */
/* Reads the identity of data_dir, or makes one with `fresh_id` where there is neither identity nor
 * log, and makes the raised generation durable. Needs no space where there is an identity.
 * wall_ms: the wall clock now.
 * Requires: fs, data_dir and log_dir are set, everything else is zero.
 * Returns as identity_open, less PC_E_LOCKED. */
PC_MUST_CHECK pc_err identity_load(
    struct identity *out, pc_node_id fresh_id, pc_ms wall_ms, struct pc_error *error);
/* Compares with what recovery found in the log: its last index and the term.
 * Returns PC_OK; PC_E_CORRUPT when this id had a log and this one is empty; or as
 * identity_note_log. */
PC_MUST_CHECK pc_err identity_check_log(
    struct identity *identity, pc_index last, pc_term term, struct pc_error *error);

/* Notes durably that there is a log. To be called when the first write of the log is durable,
 * before anything that this promises leaves the node. Does nothing when it is noted already. Needs
 * no space.
 * Returns PC_OK; PC_E_IO, PC_E_AGAIN, PC_E_CORRUPT: it is not noted. */
PC_MUST_CHECK pc_err identity_note_log(struct identity *identity, struct pc_error *error);

/* Notes durably that this generation is met. To be called before its first message of Raft leaves
 * for a peer that has admitted it. Else as identity_note_log. */
PC_MUST_CHECK pc_err identity_note_met(struct identity *identity, struct pc_error *error);

/* ---- identity_file.c */
struct identity_record {
    pc_node_id id;
    uint64_t generation;
    uint64_t prev_generation;
    bool has_log;
    bool has_met;
    unsigned version; /* of the slot it was read from; nothing else than the newest is written */
};

struct identity_file {
    const struct pc_fs *fs;
    pc_fd fd;
    char path[4096];
    struct identity_record record; /* what the file says */
    bool is_good[2];               /* slots; one of them at least */
    unsigned newest;               /* a good slot, no older than the other one */
};

/* Makes data_dir/identity.
 * Returns PC_OK; PC_E_IO, PC_E_NO_SPACE, PC_E_AGAIN: there is none, or it says *record. */
PC_MUST_CHECK pc_err identity_file_create(const struct pc_fs *fs, const char *data_dir,
    const struct identity_record *record, struct pc_error *error);
/* Opens data_dir/identity and reads it.
 * Returns PC_OK; PC_E_NOT_FOUND: there is none; PC_E_CORRUPT: no slot is good, or they name two
 * nodes; PC_E_VERSION: it is of another version; PC_E_IO, PC_E_AGAIN. Open on PC_OK only. */
PC_MUST_CHECK pc_err identity_file_open(const struct pc_fs *fs, const char *data_dir,
    struct identity_file *out, struct pc_error *error);
/* Makes *record durable in both slots. On an error the file is to be closed; it says what it said,
 * or *record. */
PC_MUST_CHECK pc_err identity_file_write(
    struct identity_file *file, const struct identity_record *record, struct pc_error *error);
void identity_file_close(struct identity_file *file);

/* ---- identity_lock.c */
/* Locks the directory (made when missing), and loads the identity.
 * Returns PC_OK; PC_E_LOCKED (the text names the holder's pid); PC_E_CORRUPT: the identity is
 * damaged, or it and the log are not both there; PC_E_VERSION: a newer program has written it;
 * PC_E_IO; PC_E_AGAIN; PC_E_NO_SPACE, at the first start only. */
PC_MUST_CHECK pc_err identity_open(
    const char *data_dir, struct identity *out, struct pc_error *error);
void identity_close(struct identity *identity);

#endif
