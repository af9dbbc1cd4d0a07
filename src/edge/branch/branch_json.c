/* A branch file as lines of JSON, an object each: what it is of, its records, its end.
 *
 *   {"branch":"<32 hex>","node":"node3","id":"<16 hex>","history":"<32 hex>","base":41,
 *    "base_term":2,"begun_ms":...}
 *   {"number":1,"time_ms":...,"request":"<node>/<boot>/<number>","op":"set","key":"k","value":"v",
 *    "content_type":"text/plain","ttl_ms":700,"before":null}
 *   {"number":2,...,"before":{"version":17,"deadline_ms":0,"value":"w"}}
 *   {"end":true,"records":2,"lost":0,"closed_ms":...}
 *
 * What is not UTF-8 comes as key_b64, value_b64, content_type_b64. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <sodium/utils.h>

#include "branch_int.h"
#include "pcache/assert.h"

/* Under `name`, or base64 under `name_b64`. */
static void set_bytes(json_t *object, const char *name, const char *name_b64, struct pc_slice bytes)
{
    json_t *text = json_stringn(bytes.len > 0 ? (const char *)bytes.data : "", bytes.len);
    if (text != NULL) {
        (void)json_object_set_new(object, name, text);
        return;
    }
    size_t room = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    char *encoded = pc_xalloc(room);
    (void)sodium_bin2base64(encoded, room, bytes.data, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    (void)json_object_set_new(object, name_b64, json_string(encoded));
    free(encoded);
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
    (void)json_object_set_new(object, name, json_integer((json_int_t)number));
}

static void set_text(json_t *object, const char *name, const char *text)
{
    (void)json_object_set_new(object, name, json_string(text));
}

static void set_hex(json_t *object, const char *name, const uint8_t bytes[16])
{
    char text[33];
    pc_hex_encode(bytes, 16, text);
    set_text(object, name, text);
}

static void put_line(json_t *object, struct pc_buf *out)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER);
    if (text == NULL) {
        pc_out_of_memory(0);
    }
    pc_buf_append(out, text, strlen(text));
    pc_buf_append_u8(out, '\n');
    free(text);
    json_decref(object);
}

void pc_branch_json_head(const struct pc_branch_head *head, struct pc_buf *out)
{
    char id[24];
    json_t *object = json_object();
    (void)snprintf(id, sizeof id, "%016" PRIx64, head->node);
    set_hex(object, "branch", head->id);
    set_text(object, "node", head->name);
    set_text(object, "id", id);
    set_hex(object, "history", head->history);
    set_number(object, "base", head->base.index);
    set_number(object, "base_term", head->base.term);
    set_number(object, "begun_ms", head->begun_ms);
    put_line(object, out);
}

static void set_command(json_t *object, const struct pc_branch_record *record)
{
    static const char *const names[] = {
        [PC_OP_SET] = "set",
        [PC_OP_DELETE] = "delete",
        [PC_OP_EXPIRE] = "expire",
        [PC_OP_PERSIST] = "persist",
    };
    struct pc_command command;
    pc_err err = pc_wire_decode_command(pc_blob_slice(record->command), &command);
    PC_ASSERT(err == PC_OK && command.op != PC_OP_TICK); /* the reader has looked */
    set_text(object, "op", names[command.op]);
    set_bytes(object, "key", "key_b64", command.key);
    if (command.op == PC_OP_SET) {
        set_bytes(object, "value", "value_b64", command.value);
        if (command.content_type.len > 0) {
            set_bytes(object, "content_type", "content_type_b64", command.content_type);
        }
    }
    if (command.has_ttl) {
        set_number(object, "ttl_ms", command.ttl_ms);
    }
}

static json_t *before_of(const struct pc_branch_record *record)
{
    if (!record->has_before) {
        return json_null();
    }
    json_t *before = json_object();
    set_number(before, "version", record->before_version);
    set_number(before, "deadline_ms", record->before_deadline_ms);
    if (record->before != NULL) {
        set_bytes(before, "value", "value_b64", pc_blob_slice(record->before));
        if (record->before_type[0] != '\0') {
            set_bytes(
                before, "content_type", "content_type_b64", pc_slice_str(record->before_type));
        }
    }
    return before;
}

void pc_branch_json_record(
    const struct pc_branch_head *head, const struct pc_branch_record *record, struct pc_buf *out)
{
    char request[80];
    json_t *object = json_object();
    (void)snprintf(request, sizeof request, "%016" PRIx64 "/%" PRIu64 "/%" PRIu64, head->node,
        record->boot, record->number);
    set_number(object, "number", record->number);
    set_number(object, "time_ms", record->stamp_ms);
    set_text(object, "request", request);
    set_command(object, record);
    (void)json_object_set_new(object, "before", before_of(record));
    put_line(object, out);
}

void pc_branch_json_end(const struct pc_branch_info *info, struct pc_buf *out)
{
    json_t *object = json_object();
    (void)json_object_set_new(object, "end", json_true());
    set_number(object, "records", info->records);
    set_number(object, "lost", info->last - info->records);
    if (info->is_ended) {
        set_number(object, "closed_ms", info->ended_ms);
    } else {
        (void)json_object_set_new(object, "closed_ms", json_null());
    }
    put_line(object, out);
}
