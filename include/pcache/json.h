/* json.h: what lines of JSON about the log and about branches have in common (pclog dump --json,
 * GET /v1/log, GET /v1/rollbacks/{name}): one way to show bytes, ids, commands and entries. Objects
 * are jansson's; what is set belongs to the object, and is left out when there is no memory for it.
 */
#ifndef PCACHE_JSON_H
#define PCACHE_JSON_H

#include <jansson.h>

#include "pcache/command.h"
#include "pcache/entry.h"
#include "pcache/types.h"

/* A string under `name` when the bytes are UTF-8; else base64 (RFC 4648, with padding) under
 * `name_b64`. */
void pc_json_set_bytes(
    json_t *object, const char *name, const char *name_b64, struct pc_slice bytes);
/* The same, base64 whatever they are. */
void pc_json_set_base64(json_t *object, const char *name_b64, struct pc_slice bytes);
/* For indices, terms and times, below INT64_MAX: jansson knows no larger integer. */
void pc_json_set_number(json_t *object, const char *name, uint64_t number);
/* text: UTF-8. */
void pc_json_set_text(json_t *object, const char *name, const char *text);
/* 32 hex digits. */
void pc_json_set_hex(json_t *object, const char *name, const uint8_t bytes[16]);
/* 16 hex digits; null for 0. */
void pc_json_set_id(json_t *object, const char *name, pc_node_id id);
/* "request": "<node>/<boot>/<seq>". */
void pc_json_set_request(json_t *object, pc_node_id node, uint64_t boot, uint64_t seq);
/* "set", "delete", "expire", "persist" or "tick". */
const char *pc_json_op_name(enum pc_op op);
/* "op", and what that op uses of "key", "value", "content_type" (left out when empty) and
 * "ttl_ms". */
void pc_json_set_command(json_t *object, const struct pc_command *command);

/* Appends the line that stands for an entry of the log, with its line end: docs/HTTP.md, "The log".
 * The entry may be of any kind, its body any bytes. */
void pc_json_append_entry(const struct pc_entry *entry, struct pc_buf *out);

#endif
