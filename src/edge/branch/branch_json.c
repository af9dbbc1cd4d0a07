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
#include <stdlib.h>
#include <string.h>

#include "branch_int.h"
#include "pcache/assert.h"
#include "pcache/json.h"

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
    json_t *object = json_object();
    pc_json_set_hex(object, "branch", head->id);
    pc_json_set_text(object, "node", head->name);
    pc_json_set_id(object, "id", head->node);
    pc_json_set_hex(object, "history", head->history);
    pc_json_set_number(object, "base", head->base.index);
    pc_json_set_number(object, "base_term", head->base.term);
    pc_json_set_number(object, "begun_ms", head->begun_ms);
    put_line(object, out);
}

static json_t *before_of(const struct pc_branch_record *record)
{
    if (!record->has_before) {
        return json_null();
    }
    json_t *before = json_object();
    pc_json_set_number(before, "version", record->before_version);
    pc_json_set_number(before, "deadline_ms", record->before_deadline_ms);
    if (record->before != NULL) {
        pc_json_set_bytes(before, "value", "value_b64", pc_blob_slice(record->before));
        if (record->before_type[0] != '\0') {
            pc_json_set_bytes(
                before, "content_type", "content_type_b64", pc_slice_str(record->before_type));
        }
    }
    return before;
}

void pc_branch_json_record(
    const struct pc_branch_head *head, const struct pc_branch_record *record, struct pc_buf *out)
{
    struct pc_command command;
    json_t *object = json_object();
    pc_err err = pc_wire_decode_command(pc_blob_slice(record->command), &command);
    PC_ASSERT(err == PC_OK && command.op != PC_OP_TICK); /* the reader has looked */
    pc_json_set_number(object, "number", record->number);
    pc_json_set_number(object, "time_ms", record->stamp_ms);
    pc_json_set_request(object, head->node, record->boot, record->number);
    pc_json_set_command(object, &command);
    (void)json_object_set_new(object, "before", before_of(record));
    put_line(object, out);
}

void pc_branch_json_end(const struct pc_branch_info *info, struct pc_buf *out)
{
    json_t *object = json_object();
    (void)json_object_set_new(object, "end", json_true());
    pc_json_set_number(object, "records", info->records);
    pc_json_set_number(object, "lost", info->last - info->records);
    if (info->is_ended) {
        pc_json_set_number(object, "closed_ms", info->ended_ms);
    } else {
        (void)json_object_set_new(object, "closed_ms", json_null());
    }
    put_line(object, out);
}
