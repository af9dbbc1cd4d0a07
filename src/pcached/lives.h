/* lives.h: the newest life of every peer that this node has counted anything of. Private to
 * pcached. What it is good for: src/node/node_lives.c.
 *
 *   data_dir/lives   two slots of 4096 bytes, each
 *
 *     0          8         12      16         24                                    4092    4096
 *     | "pclives " | version | count | sequence | count of [id, generation, mark], zeros | crc32c |
 *       8            u32       u32     u64        u64, u64, u64                           u32
 *
 * All integers are little-endian; the version is 1; the checksum covers the 4092 bytes before it.
 *
 * The file is made once, aside, and renamed, before there is an identity beside it; from then on it
 * is written in place, so that a note needs no block of a disk that is full. A note goes to the
 * slot that is older, or no good, with the sequence raised by one, and is synced: a power cut
 * leaves the other slot, which is what was noted before. Rot in the newer slot leads back to the
 * one before; what was noted since is then forgotten, and noted anew when that peer speaks again.
 */
#ifndef PCACHED_LIVES_H
#define PCACHED_LIVES_H

#include "pcache/fs.h"
#include "pcache/limits.h"
#include "pcache/node.h"

#define LIVES_SLOT_BYTES 4096

struct lives {
    const struct pc_fs *fs;
    char data_dir[4096];
    struct pc_life v[PC_LIVES_MAX]; /* distinct ids */
    size_t n;
    pc_node_id kept[PC_LIVES_KEPT_MAX]; /* not in the file */
    size_t kept_n;
    uint64_t sequence;
    unsigned newest;  /* slot that says this */
    bool was_missing; /* it was made: beside a log, whatever was noted is forgotten */
    bool was_damaged; /* a slot was no good: something that was noted may be forgotten */
};

/* Reads data_dir/lives, or makes it.
 * Returns PC_OK; PC_E_VERSION: another program has written it; PC_E_IO, PC_E_AGAIN; PC_E_NO_SPACE
 * when it is to be made. When both slots are damaged, nothing is known, and was_damaged says so. */
PC_MUST_CHECK pc_err lives_open(
    const struct pc_fs *fs, const char *data_dir, struct lives *out, struct pc_error *error);

/* Whose lives do not give way from now on: pc_node_lives_kept. */
void lives_keep(struct lives *lives, const pc_node_id *ids, size_t ids_n);

/* Notes a life durably. A lower generation than the noted one changes nothing. When all places are
 * taken, the lowest generation of those not kept gives way. Needs no space.
 * Returns PC_OK; PC_E_IO, PC_E_AGAIN, PC_E_NOT_FOUND (the file is gone): it may be noted or not. */
PC_MUST_CHECK pc_err lives_note(
    struct lives *lives, const struct pc_life *life, struct pc_error *error);

/* ---- lives_thread.c: the same beside the engine, which must not wait for a disk */
struct lives_thread; /* opaque */

/* Starts a thread that owns *lives until it is stopped. It writes 1 to notify_fd (an eventfd) when
 * there is something to poll. */
struct lives_thread *lives_thread_start(struct lives *lives, int notify_fd);
/* Waits for the note under way; others are left undone. NULL is allowed. */
void lives_thread_stop(struct lives_thread *thread);
/* Queues a note. Of one id only the newest waits. kept: as lives_keep; the last one counts. */
void lives_thread_note(
    struct lives_thread *thread, const struct pc_life *life, const pc_node_id *kept, size_t kept_n);
/* Gives the next outcome: *err and, on PC_OK, *life, which is durable; else *error. After the first
 * error nothing is noted any more. False when there is none. */
bool lives_thread_poll(
    struct lives_thread *thread, struct pc_life *life, pc_err *err, struct pc_error *error);

#endif
