/* An entry of the log as a line of JSON, for whoever reads the log as a feed:
 *
 *   {"index":2,"term":2,"time_ms":5000,"kind":"command","request":"<node>/<boot>/<seq>",
 *    "op":"set","key":"k","value":"v","content_type":"text/plain","ttl_ms":700}
 *
 * A command with a condition has "if": "version" (and "if_version": 7), "absent" or "present".
 * What is not UTF-8 comes as key_b64, value_b64. An entry of which this program cannot read the
 * body comes with body_b64 alone: the nodes that applied it made nothing of it either. */
#include <inttypes.h>
#include <stdio.h>

#include "json_int.h"
#include "pcache/assert.h"
#include "pcache/wire.h"

static void put_request(struct pc_buf *out, const struct pc_request_id *req)
{
    char text[80];
    (void)snprintf(
        text, sizeof text, "%016" PRIx64 "/%" PRIu64 "/%" PRIu64, req->node, req->boot, req->seq);
    pc_json_line_word(out, "request", text);
}

/* It was done only where this held: whoever replays the feed judges it as the nodes did. */
static void put_condition(struct pc_buf *out, const struct pc_command *command)
{
    static const char *const names[] = {NULL, "version", "absent", "present"};
    if (command->condition != PC_IF_ANY) {
        pc_json_line_word(out, "if", names[command->condition]);
    }
    if (command->condition == PC_IF_VERSION) {
        pc_json_line_number(out, "if_version", command->if_version);
    }
}

static bool put_command(struct pc_buf *out, const struct pc_entry *entry)
{
    struct pc_command command;
    if (pc_wire_decode_command(pc_blob_slice(entry->body), &command) != PC_OK) {
        return false;
    }
    put_request(out, &entry->req);
    pc_json_line_word(out, "op", pc_json_op_name(command.op));
    if (command.op != PC_OP_TICK) {
        pc_json_line_bytes(out, "key", "key_b64", command.key);
    }
    if (command.op == PC_OP_SET) {
        pc_json_line_bytes(out, "value", "value_b64", command.value);
        if (command.content_type.len > 0) {
            pc_json_line_bytes(out, "content_type", "content_type_b64", command.content_type);
        }
    }
    if (command.has_ttl) {
        pc_json_line_number(out, "ttl_ms", command.ttl_ms);
    }
    put_condition(out, &command);
    return true;
}

static void put_member(struct pc_buf *out, const struct pc_cluster_member *member)
{
    static const char *const wants[] = {"voter", "replica", "spare"};
    pc_json_line_begin(out);
    pc_json_line_bytes(out, "name", "name_b64", pc_slice_str(member->name));
    pc_json_line_id(out, "id", member->id);
    pc_json_line_word(out, "want", wants[member->want]);
    pc_json_line_name(out, "votes");
    pc_buf_append(out, member->votes ? "true" : "false", member->votes ? 4 : 5);
    pc_json_line_end(out);
}

static bool put_config(struct pc_buf *out, const struct pc_entry *entry)
{
    struct pc_cluster_config config;
    char history[33];
    if (pc_wire_decode_config(pc_blob_slice(entry->body), &config) != PC_OK) {
        return false;
    }
    pc_hex_encode(config.history, 16, history);
    pc_json_line_word(out, "history", history);
    pc_json_line_name(out, "members");
    pc_buf_append_u8(out, '[');
    for (size_t i = 0; i < config.members_n; i++) {
        if (i > 0) {
            pc_buf_append_u8(out, ',');
        }
        put_member(out, &config.members[i]);
    }
    pc_buf_append_u8(out, ']');
    return true;
}

void pc_json_append_entry(const struct pc_entry *entry, struct pc_buf *out)
{
    static const char *const kinds[] = {
        [PC_ENTRY_NOOP] = "noop",
        [PC_ENTRY_CONFIG] = "config",
        [PC_ENTRY_COMMAND] = "command",
    };
    PC_ASSERT(entry->kind >= PC_ENTRY_NOOP && entry->kind <= PC_ENTRY_COMMAND);
    pc_json_line_begin(out);
    pc_json_line_number(out, "index", entry->index);
    pc_json_line_number(out, "term", entry->term);
    pc_json_line_number(out, "time_ms", entry->stamp_ms);
    pc_json_line_word(out, "kind", kinds[entry->kind]);
    bool is_known = entry->kind == PC_ENTRY_COMMAND  ? put_command(out, entry)
                    : entry->kind == PC_ENTRY_CONFIG ? put_config(out, entry)
                                                     : true;
    if (!is_known) {
        pc_json_line_base64(out, "body_b64", pc_blob_slice(entry->body));
    }
    pc_json_line_end(out);
    pc_buf_append_u8(out, '\n');
}
