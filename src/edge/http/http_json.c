/* Writing JSON, base64 and numbers into buffers; checking JSON of clients.
 *
 * A client's JSON is only validated, never rebuilt: its own bytes are stored and echoed. */
#include "http_int.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define JSON_DEPTH_MAX 32

/* Length of the well-formed UTF-8 sequence at `at` (RFC 3629: no surrogates, shortest form), or 0.
 */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    if (at[0] < 0x80) {
        return 1;
    }
    size_t len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || left < len) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f)) {
        return 0;
    }
    return len;
}

bool pc_http_utf8_valid(struct pc_slice text)
{
    for (size_t i = 0; i < text.len;) {
        size_t len = utf8_sequence(text.data + i, text.len - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

void pc_http_text(struct pc_buf *out, const char *text)
{
    pc_buf_append(out, text, strlen(text));
}

size_t pc_http_u64_text(uint64_t v, char *out)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[n++] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    for (size_t i = 0; i < n; i++) {
        out[i] = digits[n - 1 - i];
    }
    out[n] = '\0';
    return n;
}

void pc_http_json_u64(struct pc_buf *out, uint64_t v)
{
    char text[21];
    pc_buf_append(out, text, pc_http_u64_text(v, text));
}

static void json_escape(struct pc_buf *out, uint8_t c)
{
    static const char from[] = "\b\t\n\f\r\"\\";
    static const char to[] = "btnfr\"\\";
    const char *at = c == 0 ? NULL : strchr(from, c);
    char text[8];
    if (at != NULL) {
        text[0] = '\\';
        text[1] = to[at - from];
        text[2] = '\0';
    } else {
        (void)snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    }
    pc_http_text(out, text);
}

void pc_http_json_string(struct pc_buf *out, struct pc_slice text)
{
    pc_buf_append_u8(out, '"');
    size_t plain = 0; /* where the bytes that need no change begin */
    for (size_t i = 0; i < text.len;) {
        uint8_t c = text.data[i];
        size_t len = utf8_sequence(text.data + i, text.len - i);
        if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
            i += len;
            continue;
        }
        pc_buf_append(out, text.data + plain, i - plain);
        if (len == 0) {
            pc_http_text(out, "\\ufffd");
        } else {
            json_escape(out, c);
        }
        plain = ++i;
    }
    if (text.len > plain) {
        pc_buf_append(out, text.data + plain, text.len - plain);
    }
    pc_buf_append_u8(out, '"');
}

void pc_http_base64(struct pc_buf *out, struct pc_slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    pc_buf_reserve(out, bytes.len / 3 * 4 + 4);
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t n = bytes.len - i < 3 ? bytes.len - i : 3;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= n > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= n > 2 ? bytes.data[i + 2] : 0;
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63],
            n > 1 ? digits[group >> 6 & 63] : '=', n > 2 ? digits[group & 63] : '='};
        pc_buf_append(out, text, sizeof text);
    }
}

/* Brackets outside of strings, before a parser that recurses sees them. */
static bool json_is_deep(struct pc_slice text)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (in_string) {
            i += c == '\\' ? 1 : 0;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if ((c == '[' || c == '{') && ++depth > JSON_DEPTH_MAX) {
            return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

bool pc_http_json_valid(struct pc_slice text, char *why, size_t why_max)
{
    if (text.len == 0) {
        (void)snprintf(why, why_max, "it is empty");
        return false;
    }
    if (memchr(text.data, 0, text.len) != NULL) {
        (void)snprintf(why, why_max, "it has a NUL byte"); /* jansson would take it for the end */
        return false;
    }
    if (json_is_deep(text)) {
        (void)snprintf(why, why_max, "nested deeper than %d", JSON_DEPTH_MAX);
        return false;
    }
    /* Integers as reals: any number of digits is a valid JSON number. */
    json_error_t error;
    json_t *value = json_loadb((const char *)text.data, text.len,
        JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    if (value == NULL) {
        (void)snprintf(why, why_max, "%s at byte %d", error.text, error.position);
        return false;
    }
    json_decref(value);
    return true;
}
