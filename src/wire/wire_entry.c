/* A log entry as bytes. Canonical MessagePack only: a second encoding of one entry would have
 * another length and checksum in the log of another node, and pclog could not compare the two. */
#include "pcache/wire_entry.h"

#include <string.h>

#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/mpack.h"

#define ENTRY_FIELDS 9

void pc_wire_encode_entry(const struct pc_entry *entry, struct pc_buf *out)
{
    struct pc_slice body = pc_blob_slice(entry->body);
    PC_ASSERT(body.len <= PC_COMMAND_BYTES_MAX);
    pc_buf_reserve(out, body.len + PC_ENTRY_OVERHEAD_BYTES_MAX);
    size_t start = out->len;
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, ENTRY_FIELDS);
    pc_mpack_write_uint(&w, entry->index);
    pc_mpack_write_uint(&w, entry->term);
    pc_mpack_write_uint(&w, entry->stamp_ms);
    pc_mpack_write_uint(&w, entry->req.node);
    pc_mpack_write_uint(&w, entry->req.boot);
    pc_mpack_write_uint(&w, entry->req.seq);
    pc_mpack_write_uint(&w, (uint64_t)entry->kind);
    pc_mpack_write_bin(&w, pc_slice_of(entry->chain.b, sizeof entry->chain.b));
    pc_mpack_write_bin(&w, body);
    PC_ASSERT(out->len - start <= body.len + PC_ENTRY_OVERHEAD_BYTES_MAX);
}

static bool kind_is_known(uint32_t kind)
{
    return kind == PC_ENTRY_NOOP || kind == PC_ENTRY_CONFIG || kind == PC_ENTRY_COMMAND;
}

/* All but the body, which is only borrowed here: nothing is allocated for bytes that are refused.
 * The kind is that of the bytes, known or not. */
static bool read_fields(
    struct pc_mpack_reader *r, struct pc_entry *entry, struct pc_slice *body, uint32_t *kind)
{
    if (pc_mpack_read_array(r) != ENTRY_FIELDS) {
        return false;
    }
    entry->index = pc_mpack_read_uint(r, UINT64_MAX);
    entry->term = pc_mpack_read_uint(r, PC_TERM_MAX);
    entry->stamp_ms = pc_mpack_read_uint(r, PC_CLOCK_MS_MAX);
    entry->req.node = pc_mpack_read_uint(r, UINT64_MAX);
    entry->req.boot = pc_mpack_read_uint(r, UINT64_MAX);
    entry->req.seq = pc_mpack_read_uint(r, UINT64_MAX);
    *kind = (uint32_t)pc_mpack_read_uint(r, UINT32_MAX);
    struct pc_slice chain = pc_mpack_read_bin(r, sizeof entry->chain.b);
    *body = pc_mpack_read_bin(r, PC_COMMAND_BYTES_MAX);
    if (r->failed || entry->index == 0 || entry->term == 0 || *kind == 0 ||
        chain.len != sizeof entry->chain.b) {
        return false;
    }
    entry->kind = kind_is_known(*kind) ? (enum pc_entry_kind) * kind : (enum pc_entry_kind)0;
    memcpy(entry->chain.b, chain.data, sizeof entry->chain.b);
    return true;
}

static pc_err own_body(struct pc_entry *entry, struct pc_slice body, struct pc_entry *out)
{
    pc_err err = body.len > 0 ? pc_blob_new(body, &entry->body) : PC_OK;
    if (err == PC_OK) {
        *out = *entry;
    }
    return err;
}

pc_err pc_wire_read_entry(struct pc_mpack_reader *reader, struct pc_entry *out)
{
    struct pc_entry entry = {0};
    struct pc_slice body;
    uint32_t kind;
    if (!read_fields(reader, &entry, &body, &kind) || !kind_is_known(kind)) {
        pc_mpack_fail(reader);
        return PC_E_MALFORMED;
    }
    return own_body(&entry, body, out);
}

pc_err pc_wire_decode_entry(struct pc_slice bytes, struct pc_entry *out)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_entry entry = {0};
    struct pc_slice body;
    uint32_t kind;
    if (!read_fields(&r, &entry, &body, &kind) || pc_mpack_finish(&r) != PC_OK) {
        return PC_E_MALFORMED;
    }
    return kind_is_known(kind) ? own_body(&entry, body, out) : PC_E_VERSION;
}

uint32_t pc_wire_entry_kind(struct pc_slice bytes)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_entry entry = {0};
    struct pc_slice body;
    uint32_t kind;
    return read_fields(&r, &entry, &body, &kind) ? kind : 0;
}
