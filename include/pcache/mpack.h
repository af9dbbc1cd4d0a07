/* mpack.h: MessagePack for every layout of ours: a bounded cursor to read, msgpack-c to write.
 *
 * Bytes of a peer or a disk are read by the cursor only. It allocates nothing, compares every
 * length and count with the bytes that are left before it believes it, and takes exactly one
 * encoding per value (the shortest), because some of these bytes are hashed. Floats, extension
 * types and the never used byte 0xc1 are malformed: no layout of ours has them.
 *
 *     struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
 *     uint32_t n = pc_mpack_read_array(&r);
 *     uint64_t term = pc_mpack_read_uint(&r, UINT64_MAX);
 *     ...
 *     pc_mpack_skip_rest(&r, n - 2);       what a newer version has added
 *     pc_err err = pc_mpack_finish(&r);    tells whether any of it may be believed */
#ifndef PCACHE_MPACK_H
#define PCACHE_MPACK_H

#include "pcache/bytes.h"

/* Containers inside one another, the outermost counted as one. */
#define PC_MPACK_DEPTH_MAX 8

enum pc_mpack_type {
    PC_MPACK_NONE = 0, /* the end of the bytes, a failed reader, or a type that we never use */
    PC_MPACK_NIL,
    PC_MPACK_BOOL,
    PC_MPACK_UINT, /* 0..2^64-1 */
    PC_MPACK_INT,  /* -2^63..-1: a number that is not negative is always a UINT */
    PC_MPACK_BIN,
    PC_MPACK_STR,
    PC_MPACK_ARRAY,
    PC_MPACK_MAP,
};

/* A cursor over borrowed bytes. Once a read fails, `failed` stays set and further reads give zeros
 * and empty slices, so a decoder may check once, by pc_mpack_finish. It must not loop on a count
 * without looking at `failed`, though a count is never above the bytes that were left. */
struct pc_mpack_reader {
    const uint8_t *at;
    const uint8_t *end;
    uint32_t due[PC_MPACK_DEPTH_MAX]; /* values still to come in each open container */
    uint32_t depth;                   /* open containers */
    bool failed;
};

struct pc_mpack_reader pc_mpack_reader_of(struct pc_slice bytes);
size_t pc_mpack_left(const struct pc_mpack_reader *reader); /* bytes; 0 once failed */
/* The type of the next value, nothing consumed. */
enum pc_mpack_type pc_mpack_peek(const struct pc_mpack_reader *reader);
/* For a decoder that has read a well-formed value which makes no sense. */
void pc_mpack_fail(struct pc_mpack_reader *reader);

/* Each reads one value; another type, a length past the end, or a value above `max` fails. */
void pc_mpack_read_nil(struct pc_mpack_reader *reader);
bool pc_mpack_read_bool(struct pc_mpack_reader *reader);
uint64_t pc_mpack_read_uint(struct pc_mpack_reader *reader, uint64_t max);
int64_t pc_mpack_read_int(struct pc_mpack_reader *reader); /* UINT to INT64_MAX, or INT */
/* Borrowed from the input; `max` bounds the length. The bytes of a string are not checked. */
struct pc_slice pc_mpack_read_bin(struct pc_mpack_reader *reader, size_t max);
struct pc_slice pc_mpack_read_str(struct pc_mpack_reader *reader, size_t max);
/* How many values (pairs for a map) follow; they close the container by being read. */
uint32_t pc_mpack_read_array(struct pc_mpack_reader *reader);
uint32_t pc_mpack_read_map(struct pc_mpack_reader *reader);
/* The key of the next pair in a map with unsigned keys in strictly rising order, which rules out
 * duplicates. *last is the key before (caller: UINT64_MAX before the first) and is updated. */
uint64_t pc_mpack_read_key(struct pc_mpack_reader *reader, uint64_t *last);

/* Reads over one value with all that it contains; gives its bytes. */
struct pc_slice pc_mpack_skip(struct pc_mpack_reader *reader);
/* The same for the next `n` values. */
void pc_mpack_skip_rest(struct pc_mpack_reader *reader, uint32_t n);

/* PC_OK when nothing failed, every container is complete and no byte is left; else
 * PC_E_MALFORMED. */
PC_MUST_CHECK pc_err pc_mpack_finish(const struct pc_mpack_reader *reader);

/* Writes canonical MessagePack to the end of `buf` (borrowed). Like pc_buf it ends the process
 * when there is no memory: callers bound what they write. */
struct pc_mpack_writer {
    struct pc_buf *buf;
};

struct pc_mpack_writer pc_mpack_writer_of(struct pc_buf *buf);
void pc_mpack_write_nil(struct pc_mpack_writer *writer);
void pc_mpack_write_bool(struct pc_mpack_writer *writer, bool v);
void pc_mpack_write_uint(struct pc_mpack_writer *writer, uint64_t v);
void pc_mpack_write_int(struct pc_mpack_writer *writer, int64_t v);
/* Requires len <= UINT32_MAX. */
void pc_mpack_write_bin(struct pc_mpack_writer *writer, struct pc_slice bytes);
void pc_mpack_write_str(struct pc_mpack_writer *writer, struct pc_slice text);
/* Only the head of `len` bytes that the caller puts behind it itself. */
void pc_mpack_write_bin_head(struct pc_mpack_writer *writer, size_t len);
/* The head of a container; n values (pairs) must follow. */
void pc_mpack_write_array(struct pc_mpack_writer *writer, uint32_t n);
void pc_mpack_write_map(struct pc_mpack_writer *writer, uint32_t n);

#endif
