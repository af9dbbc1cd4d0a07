/* The committed entries of a log as JSON, an object a line, for whoever reads the log as a feed:
 *
 *   {"index":2,"term":2,"time_ms":5000,"kind":"command","request":"<node>/<boot>/<seq>",
 *    "op":"set","key":"k","value":"v","content_type":"text/plain","ttl_ms":700}
 *
 * A command with a condition has "if": "version" (and "if_version": 7), "absent" or "present".
 * What is not UTF-8 comes as key_b64, value_b64. An entry of which this program cannot read the
 * body comes with body_b64 alone: the nodes that applied it made nothing of it either. What is not
 * committed is left out, for it may never have been. */
#include <inttypes.h>
#include <stdlib.h>

#include <jansson.h>
#include <sodium/utils.h>

#include "pcache/snap.h"
#include "pclog_int.h"

#define LOAD_BYTES (1024 * 1024)

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

static void set_id(json_t *object, const char *name, pc_node_id id)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%016" PRIx64, id);
    (void)json_object_set_new(object, name, id != 0 ? json_string(text) : json_null());
}

/* It was done only where this held: whoever replays the feed judges it as the nodes did. */
static void set_condition(json_t *object, const struct pc_command *command)
{
    static const char *const names[] = {NULL, "version", "absent", "present"};
    if (command->condition != PC_IF_ANY) {
        set_text(object, "if", names[command->condition]);
    }
    if (command->condition == PC_IF_VERSION) {
        set_number(object, "if_version", command->if_version);
    }
}

static bool set_command(json_t *object, const struct pc_entry *entry)
{
    static const char *const names[] = {
        [PC_OP_SET] = "set",
        [PC_OP_DELETE] = "delete",
        [PC_OP_EXPIRE] = "expire",
        [PC_OP_PERSIST] = "persist",
        [PC_OP_TICK] = "tick",
    };
    struct pc_command command;
    char request[64];
    if (pc_wire_decode_command(pc_blob_slice(entry->body), &command) != PC_OK) {
        return false;
    }
    (void)snprintf(request, sizeof request, "%016" PRIx64 "/%" PRIu64 "/%" PRIu64, entry->req.node,
        entry->req.boot, entry->req.seq);
    set_text(object, "request", request);
    set_text(object, "op", names[command.op]);
    if (command.op != PC_OP_TICK) {
        set_bytes(object, "key", "key_b64", command.key);
    }
    if (command.op == PC_OP_SET) {
        set_bytes(object, "value", "value_b64", command.value);
        if (command.content_type.len > 0) {
            set_bytes(object, "content_type", "content_type_b64", command.content_type);
        }
    }
    if (command.has_ttl) {
        set_number(object, "ttl_ms", command.ttl_ms);
    }
    set_condition(object, &command);
    return true;
}

static bool set_config(json_t *object, const struct pc_entry *entry)
{
    static const char *const wants[] = {"voter", "replica", "spare"};
    struct pc_cluster_config config;
    char history[33];
    if (pc_wire_decode_config(pc_blob_slice(entry->body), &config) != PC_OK) {
        return false;
    }
    pc_hex_encode(config.history, sizeof config.history, history);
    set_text(object, "history", history);
    json_t *members = json_array();
    for (size_t i = 0; i < config.members_n; i++) {
        const struct pc_cluster_member *member = &config.members[i];
        json_t *one = json_object();
        set_text(one, "name", member->name);
        set_id(one, "id", member->id);
        set_text(one, "want", wants[member->want]);
        (void)json_object_set_new(one, "votes", json_boolean(member->votes));
        (void)json_array_append_new(members, one);
    }
    (void)json_object_set_new(object, "members", members);
    return true;
}

static void print_entry(FILE *out, const struct pc_entry *entry)
{
    static const char *const kinds[] = {
        [PC_ENTRY_NOOP] = "noop",
        [PC_ENTRY_CONFIG] = "config",
        [PC_ENTRY_COMMAND] = "command",
    };
    json_t *object = json_object();
    set_number(object, "index", entry->index);
    set_number(object, "term", entry->term);
    set_number(object, "time_ms", entry->stamp_ms);
    set_text(object, "kind", kinds[entry->kind]);
    bool is_known = entry->kind == PC_ENTRY_COMMAND  ? set_command(object, entry)
                    : entry->kind == PC_ENTRY_CONFIG ? set_config(object, entry)
                                                     : true;
    if (!is_known) {
        struct pc_slice body = pc_blob_slice(entry->body);
        size_t room = sodium_base64_encoded_len(body.len, sodium_base64_VARIANT_ORIGINAL);
        char *encoded = pc_xalloc(room);
        (void)sodium_bin2base64(encoded, room, body.data, body.len, sodium_base64_VARIANT_ORIGINAL);
        set_text(object, "body_b64", encoded);
        free(encoded);
    }
    (void)json_dumpf(object, out, JSON_COMPACT | JSON_PRESERVE_ORDER);
    (void)fputc('\n', out);
    json_decref(object);
}

static pc_err print_entries(
    struct pc_wal *wal, pc_index first, pc_index last, FILE *out, struct pc_error *error)
{
    pc_err err = PC_OK;
    while (first <= last && err == PC_OK) {
        struct pc_entries entries = {0};
        err = pc_wal_load(wal, first, last, LOAD_BYTES, &entries, error);
        for (size_t i = 0; i < entries.n && err == PC_OK; i++) {
            print_entry(out, &entries.v[i]);
        }
        first += entries.n;
        pc_entries_clear(&entries);
        if (err == PC_OK && ferror(out)) {
            err = pc_error_set(error, PC_E_IO, "the output cannot be written");
        }
    }
    return err;
}

static pc_err find_base(
    const struct pc_fs *fs, const char *dir, struct pc_raft_base *out, struct pc_error *error)
{
    struct pc_snap_found found = {0};
    *out = (struct pc_raft_base){0};
    pc_err err = pc_snap_find(fs, dir, true, &found, error);
    if (err == PC_OK) {
        *out = pc_snap_reader_info(found.reader)->base;
        pc_snap_reader_close(found.reader);
    }
    return err == PC_E_NOT_FOUND ? PC_OK : err;
}

static pc_err open_log(const struct pc_fs *fs, const char *dir, struct pc_wal **wal,
    struct pc_wal_recovered *got, struct pc_error *error)
{
    struct pc_wal_opts opts = {.dir = dir, .read_only = true};
    pc_err err = find_base(fs, dir, &opts.base, error);
    return err == PC_OK ? pc_wal_open(fs, &opts, wal, got, error) : err;
}

/* What is not lost, from entry `from` on. */
static pc_err print_log(struct pc_wal *wal, const struct pc_wal_recovered *got, pc_index from,
    FILE *out, struct pc_error *error)
{
    if (got->gaps_n > 0 || got->open) {
        return pc_error_set(
            error, PC_E_CORRUPT, "%s", got->gaps_n > 0 ? got->gaps[0].where : got->where);
    }
    if (from != 0 && from < got->first) {
        return pc_error_set(error, PC_E_NOT_FOUND,
            "entry %" PRIu64 " is not in this log any more: it begins with entry %" PRIu64, from,
            got->first);
    }
    pc_index first = got->first > from ? got->first : from;
    return first > 0 ? print_entries(wal, first, got->commit, out, error) : PC_OK;
}

pc_err pclog_dump_json(
    const struct pc_fs *fs, const char *dir, pc_index from, FILE *out, struct pc_error *error)
{
    char below[4096];
    struct pc_wal *wal = NULL;
    struct pc_wal_recovered got;
    struct pc_error other;
    pc_err err = open_log(fs, dir, &wal, &got, error);
    int used = snprintf(below, sizeof below, "%s/log", dir);
    if (err == PC_E_NOT_FOUND && used > 0 && (size_t)used < sizeof below) {
        err = open_log(fs, below, &wal, &got, &other);
        *error = err != PC_OK && err != PC_E_NOT_FOUND ? other : *error;
    }
    if (err != PC_OK) {
        return err;
    }
    err = print_log(wal, &got, from, out, error);
    pc_wal_recovered_clear(&got);
    pc_wal_close(wal);
    return err;
}
