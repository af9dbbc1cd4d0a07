/* See json.h. Whoever replays such lines gets the very bytes: what is not UTF-8 is not mended. */
#include "json_int.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <sodium/utils.h>

#include "pcache/assert.h"

void pc_json_set_bytes(
    json_t *object, const char *name, const char *name_b64, struct pc_slice bytes)
{
    json_t *text = json_stringn(bytes.len > 0 ? (const char *)bytes.data : "", bytes.len);
    if (text != NULL) {
        (void)json_object_set_new(object, name, text);
    } else {
        pc_json_set_base64(object, name_b64, bytes);
    }
}

void pc_json_set_base64(json_t *object, const char *name_b64, struct pc_slice bytes)
{
    size_t room = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    char *encoded = pc_xalloc(room);
    (void)sodium_bin2base64(encoded, room, bytes.data, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    pc_json_set_text(object, name_b64, encoded);
    free(encoded);
}

void pc_json_set_number(json_t *object, const char *name, uint64_t number)
{
    (void)json_object_set_new(object, name, json_integer((json_int_t)number));
}

void pc_json_set_text(json_t *object, const char *name, const char *text)
{
    (void)json_object_set_new(object, name, json_string(text));
}

void pc_json_set_hex(json_t *object, const char *name, const uint8_t bytes[16])
{
    char text[33];
    pc_hex_encode(bytes, 16, text);
    pc_json_set_text(object, name, text);
}

void pc_json_set_id(json_t *object, const char *name, pc_node_id id)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%016" PRIx64, id);
    (void)json_object_set_new(object, name, id != 0 ? json_string(text) : json_null());
}

void pc_json_set_request(json_t *object, pc_node_id node, uint64_t boot, uint64_t seq)
{
    char text[80];
    (void)snprintf(
        text, sizeof text, "%016" PRIx64 "/%" PRIu64 "/%" PRIu64, (uint64_t)node, boot, seq);
    pc_json_set_text(object, "request", text);
}

const char *pc_json_op_name(enum pc_op op)
{
    static const char *const names[] = {
        [PC_OP_SET] = "set",
        [PC_OP_DELETE] = "delete",
        [PC_OP_EXPIRE] = "expire",
        [PC_OP_PERSIST] = "persist",
        [PC_OP_TICK] = "tick",
    };
    PC_ASSERT(op >= PC_OP_SET && op <= PC_OP_TICK);
    return names[op];
}

void pc_json_set_command(json_t *object, const struct pc_command *command)
{
    pc_json_set_text(object, "op", pc_json_op_name(command->op));
    if (command->op != PC_OP_TICK) {
        pc_json_set_bytes(object, "key", "key_b64", command->key);
    }
    if (command->op == PC_OP_SET) {
        pc_json_set_bytes(object, "value", "value_b64", command->value);
        if (command->content_type.len > 0) {
            pc_json_set_bytes(object, "content_type", "content_type_b64", command->content_type);
        }
    }
    if (command->has_ttl) {
        pc_json_set_number(object, "ttl_ms", command->ttl_ms);
    }
}
