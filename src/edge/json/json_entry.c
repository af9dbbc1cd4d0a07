/* An entry of the log as a line of JSON, for whoever reads the log as a feed:
 *
 *   {"index":2,"term":2,"time_ms":5000,"kind":"command","request":"<node>/<boot>/<seq>",
 *    "op":"set","key":"k","value":"v","content_type":"text/plain","ttl_ms":700}
 *
 * A command with a condition has "if": "version" (and "if_version": 7), "absent" or "present".
 * What is not UTF-8 comes as key_b64, value_b64. An entry of which this program cannot read the
 * body comes with body_b64 alone: the nodes that applied it made nothing of it either. */
#include "pcache/assert.h"
#include "pcache/json.h"
#include "pcache/wire.h"

/* It was done only where this held: whoever replays the feed judges it as the nodes did. */
static void set_condition(json_t *object, const struct pc_command *command)
{
    static const char *const names[] = {NULL, "version", "absent", "present"};
    if (command->condition != PC_IF_ANY) {
        pc_json_set_text(object, "if", names[command->condition]);
    }
    if (command->condition == PC_IF_VERSION) {
        pc_json_set_number(object, "if_version", command->if_version);
    }
}

static bool set_command(json_t *object, const struct pc_entry *entry)
{
    struct pc_command command;
    if (pc_wire_decode_command(pc_blob_slice(entry->body), &command) != PC_OK) {
        return false;
    }
    pc_json_set_request(object, entry->req.node, entry->req.boot, entry->req.seq);
    pc_json_set_command(object, &command);
    set_condition(object, &command);
    return true;
}

static bool set_config(json_t *object, const struct pc_entry *entry)
{
    static const char *const wants[] = {"voter", "replica", "spare"};
    struct pc_cluster_config config;
    if (pc_wire_decode_config(pc_blob_slice(entry->body), &config) != PC_OK) {
        return false;
    }
    pc_json_set_hex(object, "history", config.history);
    json_t *members = json_array();
    for (size_t i = 0; i < config.members_n; i++) {
        const struct pc_cluster_member *member = &config.members[i];
        json_t *one = json_object();
        pc_json_set_text(one, "name", member->name);
        pc_json_set_id(one, "id", member->id);
        pc_json_set_text(one, "want", wants[member->want]);
        (void)json_object_set_new(one, "votes", json_boolean(member->votes));
        (void)json_array_append_new(members, one);
    }
    (void)json_object_set_new(object, "members", members);
    return true;
}

static int append(const char *bytes, size_t len, void *out)
{
    pc_buf_append(out, bytes, len);
    return 0;
}

void pc_json_append_entry(const struct pc_entry *entry, struct pc_buf *out)
{
    static const char *const kinds[] = {
        [PC_ENTRY_NOOP] = "noop",
        [PC_ENTRY_CONFIG] = "config",
        [PC_ENTRY_COMMAND] = "command",
    };
    PC_ASSERT(entry->kind >= PC_ENTRY_NOOP && entry->kind <= PC_ENTRY_COMMAND);
    json_t *object = json_object();
    pc_json_set_number(object, "index", entry->index);
    pc_json_set_number(object, "term", entry->term);
    pc_json_set_number(object, "time_ms", entry->stamp_ms);
    pc_json_set_text(object, "kind", kinds[entry->kind]);
    bool is_known = entry->kind == PC_ENTRY_COMMAND  ? set_command(object, entry)
                    : entry->kind == PC_ENTRY_CONFIG ? set_config(object, entry)
                                                     : true;
    if (!is_known) {
        pc_json_set_base64(object, "body_b64", pc_blob_slice(entry->body));
    }
    (void)json_dump_callback(object, append, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    pc_buf_append_u8(out, '\n');
    json_decref(object);
}
