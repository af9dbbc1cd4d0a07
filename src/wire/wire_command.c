/* The body of a COMMAND entry, in one of two forms:
 *
 *     [ op, key bin, value bin, content type bin, ttl_ms uint | nil ]
 *     [ op, key bin, value bin, content type bin, ttl_ms uint | nil, condition, if_version ]
 *
 * The second has a condition, and came with PC_PROTOCOL_CONDITIONS. Its first byte tells it.
 *
 * Canonical: one command has one encoding, so that the log's chain hash covers its meaning. */
#include "pcache/assert.h"
#include "pcache/limits.h"
#include "pcache/mpack.h"
#include "pcache/protocol.h"
#include "wire_int.h"

enum { FIELDS = 5, FIELDS_WITH_CONDITION = 7 };

/* A condition that can hold, and one encoding for it. */
static bool condition_makes_sense(const struct pc_command *command)
{
    bool has_version = command->condition == PC_IF_VERSION;
    return command->op != PC_OP_TICK && command->condition != PC_IF_ANY &&
           command->condition <= PC_IF_PRESENT && (command->if_version != 0) == has_version &&
           command->if_version <= PC_VERSION_MAX;
}

void pc_wire_encode_command(const struct pc_command *command, struct pc_buf *out)
{
    PC_ASSERT(command->key.len <= PC_KEY_BYTES_MAX);
    PC_ASSERT(command->value.len <= PC_VALUE_BYTES_MAX);
    PC_ASSERT(command->content_type.len <= PC_CONTENT_TYPE_BYTES_MAX);
    bool has_condition = command->condition != PC_IF_ANY;
    PC_ASSERT_IMPLIES(has_condition, condition_makes_sense(command));
    struct pc_mpack_writer w = pc_mpack_writer_of(out);
    pc_mpack_write_array(&w, has_condition ? FIELDS_WITH_CONDITION : FIELDS);
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
    if (has_condition) {
        pc_mpack_write_uint(&w, command->condition);
        pc_mpack_write_uint(&w, command->if_version);
    }
}

uint8_t pc_wire_command_protocol(struct pc_slice body)
{
    enum { ARRAY_OF_7 = 0x90 | FIELDS_WITH_CONDITION };
    if (body.len > 0 && body.data[0] == ARRAY_OF_7) {
        return PC_PROTOCOL_CONDITIONS;
    }
    uint8_t later = wire_later_protocol(body);
    return later != 0 ? later : PC_PROTOCOL_FIRST;
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
    if (wire_later_protocol(bytes) != 0) {
        return PC_E_VERSION;
    }
    uint32_t fields = pc_mpack_read_array(&r);
    if (fields != FIELDS && fields != FIELDS_WITH_CONDITION) {
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
    if (fields == FIELDS_WITH_CONDITION) {
        command.condition = (enum pc_condition)pc_mpack_read_uint(&r, PC_IF_PRESENT);
        command.if_version = pc_mpack_read_uint(&r, PC_VERSION_MAX);
    }
    pc_err err = pc_mpack_finish(&r);
    bool makes_sense =
        command_makes_sense(&command) && (fields == FIELDS || condition_makes_sense(&command));
    if (err == PC_OK && !makes_sense) {
        err = PC_E_MALFORMED;
    }
    if (err == PC_OK) {
        *out = command;
    }
    return err;
}
