/* bytes.h: borrowed slices, a growable buffer, a bounded reader, and the small allocator. */
#ifndef PCACHE_BYTES_H
#define PCACHE_BYTES_H

#include "pcache/err.h"
#include "pcache/types.h"

/* Borrowed bytes. data may be NULL when len is 0. */
struct pc_slice {
    const uint8_t *data;
    size_t len;
};

struct pc_slice pc_slice_of(const void *data, size_t len);
struct pc_slice pc_slice_str(const char *text); /* without the terminating NUL */
bool pc_slice_equal(struct pc_slice a, struct pc_slice b);

/* Zeroed memory for small fixed objects; ends the process when there is none. */
void *pc_xalloc(size_t bytes);
/* Like realloc, but ends the process when there is none. New bytes are not zeroed. */
void *pc_xrealloc(void *old, size_t bytes);

/* A growable byte buffer. Zero-initialised is empty. The owner calls pc_buf_destroy. */
struct pc_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void pc_buf_destroy(struct pc_buf *buf);
void pc_buf_reset(struct pc_buf *buf); /* len = 0, memory kept */
/* Makes room for `more` bytes behind len. Ends the process when there is no memory: callers bound
 * what they append by limits.h first. */
void pc_buf_reserve(struct pc_buf *buf, size_t more);
void pc_buf_append(struct pc_buf *buf, const void *data, size_t len);
void pc_buf_append_u8(struct pc_buf *buf, uint8_t v);
/* Fixed-width integers are little-endian in every layout of ours. */
void pc_buf_append_u32(struct pc_buf *buf, uint32_t v);
void pc_buf_append_u64(struct pc_buf *buf, uint64_t v);

/* Little-endian integers at a place that the caller knows to be big enough. */
void pc_put_u32(uint8_t *out, uint32_t v);
void pc_put_u64(uint8_t *out, uint64_t v);
uint32_t pc_get_u32(const uint8_t *in);
uint64_t pc_get_u64(const uint8_t *in);

/* A reader that never passes its end. Once a read fails, `failed` stays set and further reads give
 * zeros and empty slices, so a decoder may check once at the end. */
struct pc_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

struct pc_reader pc_reader_of(struct pc_slice bytes);
size_t pc_reader_left(const struct pc_reader *reader);
uint8_t pc_reader_u8(struct pc_reader *reader);
uint32_t pc_reader_u32(struct pc_reader *reader);
uint64_t pc_reader_u64(struct pc_reader *reader);
struct pc_slice pc_reader_bytes(struct pc_reader *reader, size_t len); /* borrowed from the input */

/* Lower-case hex of `in`, NUL-terminated; out has room for 2 * len + 1. */
void pc_hex_encode(const uint8_t *in, size_t len, char *out);
/* Decodes exactly 2 * len hex digits of `text` (which may be longer). False on another one. */
bool pc_hex_decode(const char *text, uint8_t *out, size_t len);

#endif
