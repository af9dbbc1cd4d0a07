/* branch_int.h: what the files of edge/branch share. The byte layouts are drawn in
 * docs/LOGFORMAT.md.
 *
 *   branch_format  header, frames and their bodies, to bytes and back
 *   branch_names   names of files, and what lies in rollback/
 *   branch_reader  a file from its header to its end
 *   branch_writer  the same, written
 *   branch_find    which branch stands open at a start, and what becomes of a damaged one
 *   branch_index   what is known of the closed ones
 *   branch_json    records as lines of text
 *   branch_thread  all of it on a thread of its own */
#ifndef PC_BRANCH_INT_H
#define PC_BRANCH_INT_H

#include "pcache/branch.h"
#include "pcache/wire.h"

#define BRANCH_VERSION 1u
#define BRANCH_HEADER_BYTES 512u
#define BRANCH_SECTOR_BYTES 512u /* what one sync has written no later write touches */
#define BRANCH_FRAME_BYTES 32u   /* in front of every body */
/* Command, the value before, numbers and a content type. */
#define BRANCH_BODY_BYTES_MAX (PC_COMMAND_BYTES_MAX + PC_VALUE_BYTES_MAX + 1024u)
#define BRANCH_DIR_BYTES_MAX 4096
#define BRANCH_WALL_MS_MAX UINT64_C(253402300799999) /* the last one of the year 9999 */
#define BRANCH_NEW_NAME "branch.new"

struct branch_path {
    char text[BRANCH_DIR_BYTES_MAX + 96];
};

/* ---- branch_format.c */
void pc_branch_header_encode(const struct pc_branch_head *head, uint8_t *block);
/* Returns PC_OK; PC_E_MALFORMED; PC_E_VERSION, which it says only of an intact header. */
PC_MUST_CHECK pc_err pc_branch_header_decode(const uint8_t *block, struct pc_branch_head *out);
/* What the first frame carries as `before`. */
uint32_t pc_branch_header_crc(const uint8_t *block);

/* The numbers are part of the format. */
enum branch_body {
    BRANCH_BODY_RECORD = 1,
    BRANCH_BODY_RESUMED = 2, /* a process found the branch open, and goes on with it */
    BRANCH_BODY_END = 3,
};

struct branch_frame {
    uint32_t bytes;  /* of the body; behind it zeros up to a multiple of 8 */
    uint64_t synced; /* where the last frame ended that was durable when this was written */
    uint32_t before; /* crc of the frame in front of it, or of the header */
    uint32_t body_crc;
    enum branch_body type;
    uint32_t crc; /* of all that, the branch's id and the frame's place in the file */
};

/* Computes frame->crc. `out` has room for BRANCH_FRAME_BYTES. */
void pc_branch_frame_encode(
    const uint8_t id[16], uint64_t at, struct branch_frame *frame, uint8_t *out);
/* False when the bytes are no frame of this branch at this place. Its length is within bounds then;
 * the body is not checked. */
bool pc_branch_frame_decode(
    const uint8_t id[16], uint64_t at, const uint8_t *bytes, struct branch_frame *out);
/* Bytes of the frame and its body in the file. */
uint64_t pc_branch_frame_size(const struct branch_frame *frame);
/* Where the first frame of the next sync begins, when the last one ended at `end`. */
uint64_t pc_branch_next_sector(uint64_t end);

void pc_branch_record_encode(const struct pc_branch_record *record, struct pc_buf *out);
/* *out is the caller's, pc_branch_record_clear. Returns PC_OK, PC_E_MALFORMED (also when its
 * command is), PC_E_NOMEM. */
PC_MUST_CHECK pc_err pc_branch_record_decode(struct pc_slice body, struct pc_branch_record *out);

struct branch_end {
    uint64_t records;
    uint64_t last;
    pc_ms ended_ms;
};
void pc_branch_end_encode(const struct branch_end *end, struct pc_buf *out);
PC_MUST_CHECK pc_err pc_branch_end_decode(struct pc_slice body, struct branch_end *out);
void pc_branch_resumed_encode(pc_ms wall_ms, struct pc_buf *out);

/* ---- branch_names.c */
/* `out` has room for PC_BRANCH_NAME_BYTES. */
void pc_branch_name(const struct pc_branch_head *head, uint64_t records, char *out);
/* False when it gets too long. */
bool pc_branch_join(const char *dir, const char *name, struct branch_path *out);
/* The directory rollback/, durably there. */
PC_MUST_CHECK pc_err pc_branch_make_dir(
    const struct pc_fs *fs, const char *dir, struct pc_error *error);
/* Gives the file `from` of dir the name `to` in rollback/, durably. */
PC_MUST_CHECK pc_err pc_branch_move(const struct pc_fs *fs, const char *dir, const char *from,
    const char *to, struct pc_error *error);

/* Whether the closed branch of this name has a note of pc_branch_note_replay; false also when the
 * disk does not say. */
bool pc_branch_is_replayed(const struct pc_fs *fs, const char *dir, const char *name);

/* ---- branch_reader.c */
/* As pc_branch_reader_open, of a file that is open already; the reader closes it. path is for the
 * texts. On an error it is left open. */
PC_MUST_CHECK pc_err pc_branch_reader_of(const struct pc_fs *fs, pc_fd fd, const char *path,
    struct pc_branch_reader **out, struct pc_error *error);
/* Passes over records, and over damage, for about so many bytes. False: there is no more. */
bool pc_branch_reader_look(struct pc_branch_reader *reader, uint64_t bytes);
/* Ends the reader and hands the file over. */
pc_fd pc_branch_reader_release(struct pc_branch_reader *reader);

/* ---- branch_writer.c */
struct pc_branch_writer {
    const struct pc_fs *fs;
    char dir[BRANCH_DIR_BYTES_MAX];
    pc_fd fd;
    struct pc_branch_head head;
    /* What is durable: where its last frame ends, the crc of that, records, their last number. */
    uint64_t end;
    uint32_t before;
    uint64_t records, last;
    /* What waits: frames from the sector behind `end` on, and what the above becomes with them. */
    struct pc_buf out;
    uint32_t out_before;
    uint64_t out_records, out_last;
    struct pc_buf body; /* reused */
    bool failed;        /* nothing can be put any more */
    bool undone;        /* failed, and the file is as before */
    bool sync_failed;   /* nor can the file be trusted behind `end` */
};

/* Syncs what waits, and an END. last: number of the last record there was. Then only close. */
PC_MUST_CHECK pc_err pc_branch_writer_finish(
    struct pc_branch_writer *writer, uint64_t last, pc_ms wall_ms, struct pc_error *error);

/* A writer that goes on at the reader's place, whose file it takes over. */
struct pc_branch_writer *pc_branch_writer_of(
    const struct pc_fs *fs, const char *dir, struct pc_branch_reader *reader);

/* ---- branch_index.c: the closed branches of a directory; {.fs, .dir}, the rest zeroed, is none */
struct branch_index_item {
    struct pc_branch_info info; /* the name; the rest as far as is_known */
    bool is_known;
};

struct branch_index {
    const struct pc_fs *fs;
    const char *dir;
    struct branch_index_item *v; /* ascending by name */
    size_t n, cap;
    struct pc_branch_reader *reader; /* of the one that is looked at; NULL = none */
    char name[PC_BRANCH_NAME_BYTES]; /* its name */
};
/* Which ones lie there now; none is read. On an error the index is as before. */
PC_MUST_CHECK pc_err pc_branch_index_update(struct branch_index *index, struct pc_error *error);
/* Reads on for a bounded piece. False: all are known. */
bool pc_branch_index_look(struct branch_index *index);
/* One that is known without being read, until the next update. */
void pc_branch_index_add(struct branch_index *index, const struct pc_branch_info *info);
void pc_branch_index_clear(struct branch_index *index);

#endif
