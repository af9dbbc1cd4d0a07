/* json_int.h: lines of JSON written at once, for where there are too many of them for objects.
 * What they look like is what json.h says; the two are compared byte for byte by the tests.
 *
 * A line begins with pc_json_line_begin and ends with pc_json_line_end; commas are put in between.
 */
#ifndef PC_JSON_INT_H
#define PC_JSON_INT_H

#include "pcache/json.h"

void pc_json_line_begin(struct pc_buf *out); /* of the line, or of an object in it */
void pc_json_line_name(struct pc_buf *out, const char *name);
void pc_json_line_number(struct pc_buf *out, const char *name, uint64_t number);
/* text: ASCII without quotes, backslashes and controls. */
void pc_json_line_word(struct pc_buf *out, const char *name, const char *text);
void pc_json_line_bytes(
    struct pc_buf *out, const char *name, const char *name_b64, struct pc_slice bytes);
void pc_json_line_base64(struct pc_buf *out, const char *name_b64, struct pc_slice bytes);
void pc_json_line_id(struct pc_buf *out, const char *name, pc_node_id id);
void pc_json_line_end(struct pc_buf *out);

#endif
