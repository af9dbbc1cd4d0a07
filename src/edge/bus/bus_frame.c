/* Frames are sealed and opened where they lie: the message is encoded straight into the output
 * buffer behind room for the head, and opened inside the input buffer.
 *
 *   | length u32 | tag byte + kind + body, encrypted | authenticator 16 |
 *     associated   '------------- length ------------------------------'
 *
 * The secretstream functions allow input and output to coincide when the text lies one byte (the
 * tag) behind the start of the sealed form. */
#include "bus_int.h"

#include <string.h>

#include "pcache/assert.h"

#define REKEY_FRAMES (UINT64_C(1) << 20)

size_t bus_frame_begin(struct bus_conn *conn, enum bus_frame_kind kind)
{
    static const uint8_t head[BUS_FRAME_HEAD_BYTES + 1] = {0};
    if (!conn->push_started) {
        conn->push_started = true;
        pc_buf_append(&conn->out, conn->push_header, sizeof conn->push_header);
    }
    size_t begin = conn->out.len;
    pc_buf_append(&conn->out, head, sizeof head);
    pc_buf_append_u8(&conn->out, (uint8_t)kind);
    return begin;
}

static unsigned char frame_tag(struct bus_conn *conn, enum bus_frame_kind kind)
{
    if (kind == BUS_FRAME_BYE || kind == BUS_FRAME_REFUSED) {
        return crypto_secretstream_xchacha20poly1305_TAG_FINAL;
    }
    conn->frames_pushed++;
    return conn->frames_pushed % REKEY_FRAMES == 0
               ? crypto_secretstream_xchacha20poly1305_TAG_REKEY
               : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
}

void bus_frame_end(struct bus_conn *conn, size_t begin)
{
    size_t text_at = begin + BUS_FRAME_HEAD_BYTES + 1;
    PC_ASSERT(conn->out.len > text_at);
    size_t text_len = conn->out.len - text_at;
    size_t sealed = text_len + BUS_SEAL_BYTES;
    PC_ASSERT(sealed <= BUS_SEALED_BYTES_MAX);
    pc_buf_reserve(&conn->out, BUS_SEAL_BYTES - 1);
    conn->out.len += BUS_SEAL_BYTES - 1;
    uint8_t *frame = conn->out.data + begin;
    uint8_t *text = conn->out.data + text_at;
    unsigned char tag = frame_tag(conn, (enum bus_frame_kind)text[0]);
    pc_put_u32(frame, (uint32_t)sealed);
    crypto_secretstream_xchacha20poly1305_push(&conn->push, frame + BUS_FRAME_HEAD_BYTES, NULL,
        text, text_len, frame, BUS_FRAME_HEAD_BYTES, tag);
    conn->bus->stats.frames_sent++;
    bus_conn_mark_dirty(conn);
}

bool bus_frame_open(struct bus_conn *conn, uint8_t *frame, size_t sealed, struct pc_slice *inner,
    unsigned char *tag)
{
    PC_ASSERT(sealed >= BUS_SEALED_BYTES_MIN);
    uint8_t *text = frame + BUS_FRAME_HEAD_BYTES + 1;
    unsigned long long text_len;
    if (crypto_secretstream_xchacha20poly1305_pull(&conn->pull, text, &text_len, tag,
            frame + BUS_FRAME_HEAD_BYTES, sealed, frame, BUS_FRAME_HEAD_BYTES) != 0) {
        return false;
    }
    *inner = pc_slice_of(text, (size_t)text_len);
    return true;
}

void bus_frame_pull_start(struct bus_conn *conn, const uint8_t *header)
{
    PC_ASSERT(!conn->pull_ready);
    crypto_secretstream_xchacha20poly1305_init_pull(&conn->pull, header, conn->pull_key);
    sodium_memzero(conn->pull_key, sizeof conn->pull_key);
    conn->pull_ready = true;
}

void bus_frame_push_bye(struct bus_conn *conn)
{
    bus_frame_end(conn, bus_frame_begin(conn, BUS_FRAME_BYE));
}
