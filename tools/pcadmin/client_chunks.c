/* The chunked transfer coding (RFC 9112, 7.1), as far as a server without extensions or trailers of
 * its own needs it; both are passed over. */
#include "client.h"

enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE };

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_size(struct client_chunks *chunks, uint8_t c)
{
    int digit = hex_digit(c);
    if (digit >= 0 && chunks->digits < 15) {
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        chunks->digits++;
        return true;
    }
    if (chunks->digits == 0 || digit >= 0 || (c != '\r' && c != ';' && c != ' ')) {
        return false;
    }
    chunks->state = CHUNK_EXTENSION;
    return true;
}

/* Behind the last chunk: lines up to an empty one. */
static void take_trailer(struct client_chunks *chunks, uint8_t c)
{
    if (c == '\n') {
        chunks->state = chunks->digits == 0 ? CHUNK_DONE : CHUNK_TRAILER;
        chunks->digits = 0;
    } else if (c != '\r') {
        chunks->digits = 1;
    }
}

/* One byte that is not data. False: that is not how chunks look. */
static bool take_frame(struct client_chunks *chunks, uint8_t c)
{
    switch (chunks->state) {
    case CHUNK_SIZE:
        return take_size(chunks, c);
    case CHUNK_EXTENSION:
        if (c == '\n') {
            chunks->state = chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
            chunks->digits = 0;
        }
        return true;
    case CHUNK_DATA_END:
        if (c == '\n') {
            chunks->state = CHUNK_SIZE;
        }
        return c == '\n' || c == '\r';
    default:
        take_trailer(chunks, c);
        return true;
    }
}

enum chunks_result client_chunks_next(
    struct client_chunks *chunks, struct pc_slice *in, struct pc_slice *data)
{
    while (chunks->state != CHUNK_DONE) {
        if (in->len == 0) {
            return CHUNKS_MORE;
        }
        if (chunks->state == CHUNK_DATA) {
            size_t len = in->len < chunks->left ? in->len : (size_t)chunks->left;
            *data = pc_slice_of(in->data, len);
            *in = pc_slice_of(in->data + len, in->len - len);
            chunks->left -= len;
            chunks->state = chunks->left > 0 ? CHUNK_DATA : CHUNK_DATA_END;
            return CHUNKS_DATA;
        }
        uint8_t c = in->data[0];
        *in = pc_slice_of(in->data + 1, in->len - 1);
        if (!take_frame(chunks, c)) {
            return CHUNKS_BAD;
        }
    }
    return CHUNKS_END;
}
