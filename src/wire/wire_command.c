/* The body of a COMMAND entry:
 *
 *     [ op, key bin, value bin, content type bin, ttl_ms uint | nil ]
 *
 * Canonical: one command has one encoding, so that the log's chain hash covers its meaning. */
#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/mpack.h"
#include "pcache/wire.h"

void pc_wire_encode_command(const struct pc_command *command, struct pc_buf *out)
{
    PC_ASSERT(command->key.len <= PC_KEY_BYTES_MAX);
    PC_ASSERT(command->value.len <= PC_VALUE_BYTES_MAX);
    PC_ASSERT(command->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, 5);
    pc_mpack_write_uint(&w, command->op);
    pc_mpack_write_bin(&w, command->key);
    pc_mpack_write_bin(&w, command->value);
    pc_mpack_write_bin(&w, command->content_type);
    if (command->has_ttl) {
        PC_ASSERT(command->ttl_ms <= PC_TTL_MS_MAX);
        pc_mpack_write_uint(&w, command->ttl_ms);
    } else {
        pc_mpack_write_nil(&w);
    }
}

/* What each operation may and must carry. */
static bool command_makes_sense(const struct pc_command *command)
{
    bool has_key = command->key.len >= 1;
    bool has_value = command->value.len > 0 || command->content_type.len > 0;
    switch (command->op) {
    case PC_OP_SET:
        return has_key;
    case PC_OP_DELETE:
    case PC_OP_PERSIST:
        return has_key && !has_value && !command->has_ttl;
    case PC_OP_EXPIRE:
        return has_key && !has_value && command->has_ttl;
    case PC_OP_TICK:
        return !has_key && !has_value && !command->has_ttl;
    }
    return false;
}

pc_err pc_wire_decode_command(struct pc_slice bytes, struct pc_command *out)
{
    struct pc_mpack_reader r = pc_mpack_reader_of(bytes);
    struct pc_command command = {0};
    if (pc_mpack_read_array(&r) != 5) {
        return PC_E_MALFORMED;
    }
    command.op = (enum pc_op)pc_mpack_read_uint(&r, PC_OP_TICK);
    command.key = pc_mpack_read_bin(&r, PC_KEY_BYTES_MAX);
    command.value = pc_mpack_read_bin(&r, PC_VALUE_BYTES_MAX);
    command.content_type = pc_mpack_read_bin(&r, PC_CONTENT_TYPE_BYTES_MAX);
    if (pc_mpack_peek(&r) == PC_MPACK_NIL) {
        pc_mpack_read_nil(&r);
    } else {
        command.has_ttl = true;
        command.ttl_ms = pc_mpack_read_uint(&r, PC_TTL_MS_MAX);
    }
    pc_err err = pc_mpack_finish(&r);
    if (err == PC_OK && !command_makes_sense(&command)) {
        err = PC_E_MALFORMED;
    }
    if (err == PC_OK) {
        *out = command;
    }
    return err;
}
