/* Records of a branch from the lines that branch_json.c writes. They come over a network, or out of
 * a file: each field is looked at before it is believed. */
#include "rollback.h"

#include <string.h>

#include <sodium/utils.h>

#include "pcache/limits.h"

void rollback_record_clear(struct rollback_record *record)
{
    struct pc_buf *owned[] = {
        &record->key, &record->value, &record->type, &record->before_value, &record->before_type};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        pc_buf_destroy(owned[i]);
    }
    *record = (struct rollback_record){0};
}

static bool decode_base64(const char *text, size_t len, struct pc_buf *out)
{
    size_t got = 0;
    pc_buf_reserve(out, len / 4 * 3 + 3);
    bool ok = sodium_base642bin(out->data, out->cap, text, len, NULL, &got, NULL,
                  sodium_base64_VARIANT_ORIGINAL) == 0;
    out->len = ok ? got : 0;
    return ok;
}

/* The bytes under `name`, or under `name_b64`. False when they are there and are none, or too many.
 */
static bool take_bytes(const json_t *object, const char *name, const char *name_b64, size_t max,
    struct pc_buf *out, bool *is_there)
{
    const json_t *text = json_object_get(object, name);
    const json_t *encoded = json_object_get(object, name_b64);
    *is_there = text != NULL || encoded != NULL;
    if (!*is_there) {
        return true;
    }
    if (text != NULL && json_is_string(text)) {
        pc_buf_append(out, json_string_value(text), json_string_length(text));
        return out->len <= max;
    }
    return json_is_string(encoded) &&
           decode_base64(json_string_value(encoded), json_string_length(encoded), out) &&
           out->len <= max;
}

static bool take_number(const json_t *object, const char *name, uint64_t *out)
{
    const json_t *number = json_object_get(object, name);
    if (!json_is_integer(number) || json_integer_value(number) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(number);
    return true;
}

static bool take_op(const json_t *object, enum pc_op *out)
{
    static const struct {
        const char *name;
        enum pc_op op;
    } ops[] = {{"set", PC_OP_SET}, {"delete", PC_OP_DELETE}, {"expire", PC_OP_EXPIRE},
        {"persist", PC_OP_PERSIST}};
    const char *text = json_string_value(json_object_get(object, "op"));
    for (size_t i = 0; text != NULL && i < sizeof ops / sizeof ops[0]; i++) {
        if (strcmp(text, ops[i].name) == 0) {
            *out = ops[i].op;
            return true;
        }
    }
    return false;
}

static bool take_before(const json_t *object, struct rollback_record *record)
{
    const json_t *before = json_object_get(object, "before");
    bool has_type = false;
    record->has_before = json_is_object(before);
    if (!record->has_before) {
        return json_is_null(before);
    }
    return take_number(before, "version", &record->before_version) && record->before_version > 0 &&
           take_number(before, "deadline_ms", &record->before_deadline_ms) &&
           take_bytes(before, "value", "value_b64", PC_VALUE_BYTES_MAX, &record->before_value,
               &record->has_before_value) &&
           take_bytes(before, "content_type", "content_type_b64", PC_CONTENT_TYPE_BYTES_MAX,
               &record->before_type, &has_type);
}

static bool take_record(const json_t *object, struct rollback_record *record)
{
    bool has_key = false, has_value = false, has_type = false;
    bool ok =
        take_number(object, "number", &record->number) && record->number > 0 &&
        take_number(object, "time_ms", &record->time_ms) && take_op(object, &record->op) &&
        take_bytes(object, "key", "key_b64", PC_KEY_BYTES_MAX, &record->key, &has_key) &&
        take_bytes(object, "value", "value_b64", PC_VALUE_BYTES_MAX, &record->value, &has_value) &&
        take_bytes(object, "content_type", "content_type_b64", PC_CONTENT_TYPE_BYTES_MAX,
            &record->type, &has_type) &&
        take_before(object, record);
    record->has_ttl = json_object_get(object, "ttl_ms") != NULL;
    if (ok && record->has_ttl) {
        ok = take_number(object, "ttl_ms", &record->ttl_ms) && record->ttl_ms <= PC_TTL_MS_MAX;
    }
    return ok && has_key && record->key.len > 0 && has_value == (record->op == PC_OP_SET) &&
           (record->op != PC_OP_EXPIRE || record->has_ttl);
}

pc_err rollback_record_of(const json_t *object, struct rollback_record *out)
{
    struct rollback_record record = {0};
    if (!json_is_object(object) || !take_record(object, &record)) {
        rollback_record_clear(&record);
        return PC_E_MALFORMED;
    }
    *out = record;
    return PC_OK;
}
