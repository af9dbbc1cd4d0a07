/* snap_int.h: what the files of edge/snap share. The byte layouts are drawn in docs/LOGFORMAT.md.
 *
 *   snap_format  the fixed pieces of a file, to bytes and back
 *   snap_names   names of files, what lies in a directory, and what of it may go
 *   snap_writer  a file from its first byte to its name
 *   snap_resume  what an interrupted transfer has left
 *   snap_reader  a file that has its name
 *   snap_check   whether what is in a file is what it says
 *   snap_find    which one a start uses
 *   snap_thread  all of it on a thread of its own */
#ifndef PC_SNAP_INT_H
#define PC_SNAP_INT_H

#include "pcache/snap.h"

#define SNAP_VERSION 1u
#define SNAP_HEADER_BYTES 512u
#define SNAP_HEAD_BYTES 32u /* in front of every chunk */
#define SNAP_ROW_BYTES 8u
#define SNAP_TRAILER_BYTES 64u
#define SNAP_META_BYTES_MAX (PC_SNAPSHOT_CONFIG_BYTES_MAX + 512u)
#define SNAP_DIR_BYTES_MAX 400

struct snap_path {
    char text[SNAP_DIR_BYTES_MAX + 64];
};

/* ---- snap_format.c */
struct snap_header {
    struct pc_raft_base base;
    struct pc_hash hash; /* what was announced of a snapshot from another node; else zeros */
};

void pc_snap_header_encode(const struct snap_header *header, uint8_t *block);
/* Returns PC_OK; PC_E_MALFORMED; PC_E_VERSION, which it says only of an intact header. */
PC_MUST_CHECK pc_err pc_snap_header_decode(const uint8_t *block, struct snap_header *out);

/* A row of the table is bytes and crc of one chunk. */
struct snap_head {
    uint32_t bytes;
    uint32_t number;
    uint32_t crc;
    struct pc_hash before; /* the chain in front of this chunk */
};

/* Computes crc from the rest and the chunk. */
void pc_snap_head_encode(const struct snap_head *head, struct pc_slice chunk, uint8_t *out);
/* False when the bytes are no head. Its length is within bounds then; crc is not checked yet. */
bool pc_snap_head_decode(const uint8_t *bytes, struct snap_head *out);
/* The checksum of a head and its chunk. */
uint32_t pc_snap_head_crc(const uint8_t *head, struct pc_slice chunk);

struct snap_trailer {
    pc_index index;
    uint32_t chunks;
    uint32_t meta_bytes;
    uint64_t table_at;   /* where the chunks end */
    uint32_t footer_crc; /* of table and meta */
    struct pc_hash hash;
};

void pc_snap_trailer_encode(const struct snap_trailer *trailer, uint8_t *out);
bool pc_snap_trailer_decode(const uint8_t *bytes, struct snap_trailer *out);

struct pc_hash pc_snap_chain_begin(const struct pc_raft_base *base);
/* What follows on `before` with these bytes: a chunk, or in the end the meta. */
struct pc_hash pc_snap_chain_next(const struct pc_hash *before, struct pc_slice bytes);
bool pc_snap_base_equal(const struct pc_raft_base *a, const struct pc_raft_base *b);

/* ---- snap_names.c */
#define SNAP_TMP_NAME "snap.tmp"

enum snap_kind { SNAP_WHOLE, SNAP_PART, SNAP_BAD };

struct snap_file {
    enum snap_kind kind;
    pc_index index;
};

/* Descending by index. */
struct snap_files {
    struct snap_file *v; /* owned: free */
    size_t n, cap;
};

/* `out` has room for PC_SNAP_NAME_BYTES. */
void pc_snap_name(enum snap_kind kind, pc_index index, char *out);
/* False when it gets too long. */
bool pc_snap_path(const char *dir, const char *name, struct snap_path *out);
PC_MUST_CHECK pc_err pc_snap_list(
    const struct pc_fs *fs, const char *dir, struct snap_files *out, struct pc_error *error);
void pc_snap_remove(const struct pc_fs *fs, const char *dir, const char *name);
/* Removes files of that kind with first <= index <= last, but for the one at `but`. What cannot be
 * removed stays: it is worthless, not harmful. */
void pc_snap_remove_all(const struct pc_fs *fs, const char *dir, enum snap_kind kind,
    pc_index first, pc_index last, pc_index but);

/* ---- snap_check.c: the content of a snapshot, chunk by chunk, then its end */
struct snap_check {
    const char *name;       /* of the file, for errors */
    pc_index upto;          /* no item is of a later entry */
    pc_snap_each_item each; /* NULL = nothing */
    void *arg;
    struct pc_snap_content content;
};

/* arg: the struct snap_check. Returns PC_OK, PC_E_CORRUPT, or what `each` returned. */
PC_MUST_CHECK pc_err pc_snap_check_chunk(
    void *arg, uint32_t number, struct pc_slice chunk, struct pc_error *error);
/* Whether they are, together, what the meta says. Returns PC_OK, PC_E_CORRUPT. */
PC_MUST_CHECK pc_err pc_snap_check_end(
    const struct snap_check *check, const struct pc_snapshot_meta *meta, struct pc_error *error);

/* ---- snap_writer.c */
struct pc_snap_writer {
    const struct pc_fs *fs;
    char dir[SNAP_DIR_BYTES_MAX];
    char name[PC_SNAP_NAME_BYTES]; /* until it is whole */
    pc_fd fd;
    struct snap_header header;
    bool received;
    struct snap_check check; /* of what is received */
    bool is_nonsense;        /* a chunk of it failed the check, which says so: */
    struct pc_error nonsense;
    struct pc_hash chain; /* behind the last chunk */
    uint64_t at;          /* where the next chunk goes */
    uint64_t synced_at;
    uint32_t chunks;
    struct pc_buf rows; /* of the table */
    struct pc_buf out;  /* reused */
    bool failed;
    bool spoiled; /* nothing of it is worth keeping */
    bool named;
};

/* A chunk of the file is there, number writer->chunks: counts it, and looks into it. */
void pc_snap_writer_count(
    struct pc_snap_writer *writer, struct pc_slice chunk, const struct snap_head *head);

/* ---- snap_resume.c */
/* Takes over what the open file holds: header, then chunks up to the first that is not whole.
 * Returns PC_OK; PC_E_NOT_FOUND: nothing to go on with. */
PC_MUST_CHECK pc_err pc_snap_resume(struct pc_snap_writer *writer, struct pc_error *error);

#endif
