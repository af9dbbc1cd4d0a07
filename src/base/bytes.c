#include "pcache/bytes.h"

#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

struct pc_slice pc_slice_of(const void *data, size_t len)
{
    return (struct pc_slice){.data = data, .len = len};
}

struct pc_slice pc_slice_str(const char *text)
{
    return pc_slice_of(text, strlen(text));
}

bool pc_slice_equal(struct pc_slice a, struct pc_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

void *pc_xalloc(size_t bytes)
{
    void *p = calloc(1, bytes);
    if (p == NULL) {
        pc_out_of_memory(bytes);
    }
    return p;
}

void *pc_xrealloc(void *old, size_t bytes)
{
    PC_ASSERT(bytes > 0);
    void *p = realloc(old, bytes);
    if (p == NULL) {
        pc_out_of_memory(bytes);
    }
    return p;
}

void pc_buf_destroy(struct pc_buf *buf)
{
    free(buf->data);
    *buf = (struct pc_buf){0};
}

void pc_buf_reset(struct pc_buf *buf)
{
    buf->len = 0;
}

void pc_buf_reserve(struct pc_buf *buf, size_t more)
{
    PC_ASSERT(more <= SIZE_MAX / 2 - buf->len);
    size_t need = buf->len + more;
    if (need <= buf->cap) {
        return;
    }
    size_t cap = buf->cap < 64 ? 64 : buf->cap;
    while (cap < need) {
        cap *= 2;
    }
    buf->data = pc_xrealloc(buf->data, cap);
    buf->cap = cap;
}

void pc_buf_append(struct pc_buf *buf, const void *data, size_t len)
{
    if (len == 0) {
        return;
    }
    pc_buf_reserve(buf, len);
    memcpy(buf->data + buf->len, data, len);
    buf->len += len;
}

void pc_buf_append_u8(struct pc_buf *buf, uint8_t v)
{
    pc_buf_append(buf, &v, 1);
}

void pc_buf_append_u32(struct pc_buf *buf, uint32_t v)
{
    uint8_t b[4];
    pc_put_u32(b, v);
    pc_buf_append(buf, b, sizeof b);
}

void pc_buf_append_u64(struct pc_buf *buf, uint64_t v)
{
    uint8_t b[8];
    pc_put_u64(b, v);
    pc_buf_append(buf, b, sizeof b);
}

/* Written out, not as loops: compilers make one load or store of it where the machine can. */
void pc_put_u32(uint8_t *out, uint32_t v)
{
    out[0] = (uint8_t)v;
    out[1] = (uint8_t)(v >> 8);
    out[2] = (uint8_t)(v >> 16);
    out[3] = (uint8_t)(v >> 24);
}

void pc_put_u64(uint8_t *out, uint64_t v)
{
    pc_put_u32(out, (uint32_t)v);
    pc_put_u32(out + 4, (uint32_t)(v >> 32));
}

uint32_t pc_get_u32(const uint8_t *in)
{
    return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

uint64_t pc_get_u64(const uint8_t *in)
{
    return (uint64_t)pc_get_u32(in) | (uint64_t)pc_get_u32(in + 4) << 32;
}

struct pc_reader pc_reader_of(struct pc_slice bytes)
{
    static const uint8_t nothing[1] = {0};
    const uint8_t *at = bytes.data != NULL ? bytes.data : nothing;
    return (struct pc_reader){.at = at, .end = at + bytes.len};
}

size_t pc_reader_left(const struct pc_reader *reader)
{
    return reader->failed ? 0 : (size_t)(reader->end - reader->at);
}

struct pc_slice pc_reader_bytes(struct pc_reader *reader, size_t len)
{
    if (len > pc_reader_left(reader)) {
        reader->failed = true;
        return pc_slice_of(NULL, 0);
    }
    struct pc_slice out = pc_slice_of(reader->at, len);
    reader->at += len;
    return out;
}

uint8_t pc_reader_u8(struct pc_reader *reader)
{
    struct pc_slice b = pc_reader_bytes(reader, 1);
    return b.len == 1 ? b.data[0] : 0;
}

uint32_t pc_reader_u32(struct pc_reader *reader)
{
    struct pc_slice b = pc_reader_bytes(reader, 4);
    return b.len == 4 ? pc_get_u32(b.data) : 0;
}

uint64_t pc_reader_u64(struct pc_reader *reader)
{
    struct pc_slice b = pc_reader_bytes(reader, 8);
    return b.len == 8 ? pc_get_u64(b.data) : 0;
}

void pc_hex_encode(const uint8_t *in, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[in[i] >> 4];
        out[2 * i + 1] = digits[in[i] & 15];
    }
    out[2 * len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return -1;
}

bool pc_hex_decode(const char *text, uint8_t *out, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = hex_digit(text[2 * i]);
        int low = high < 0 ? -1 : hex_digit(text[2 * i + 1]);
        if (low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}
