/* See json_int.h. An object a line costs ten times the time of a line that is written at once, and
 * whoever reads a log of millions of entries waits for each of them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <sodium/utils.h>

#include "json_int.h"
#include "pcache/assert.h"

static void put(struct pc_buf *out, const char *text)
{
    pc_buf_append(out, text, strlen(text));
}

static bool is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* Bytes of the character at `at`, of which `left` > 0 are there; 0 = it is none. The least second
 * byte rules out what has a shorter form, the greatest one surrogates and what Unicode ends at. */
static size_t character_bytes(const uint8_t *at, size_t left)
{
    uint8_t c = at[0], least = 0x80, greatest = 0xbf;
    size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
    if (n < 2 || n > left) {
        return n > left ? 0 : n;
    }
    least = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : least;
    greatest = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : greatest;
    bool is_one = at[1] >= least && at[1] <= greatest;
    for (size_t i = 2; i < n; i++) {
        is_one = is_one && is_tail(at[i]);
    }
    return is_one ? n : 0;
}

static bool is_utf8(struct pc_slice bytes)
{
    for (size_t i = 0; i < bytes.len;) {
        size_t n = character_bytes(bytes.data + i, bytes.len - i);
        if (n == 0) {
            return false;
        }
        i += n;
    }
    return true;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

static void put_escaped(struct pc_buf *out, uint8_t c)
{
    static const char shorts[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char text[8];
    if (c == '"' || c == '\\' || (c < sizeof shorts && shorts[c] != 0)) {
        pc_buf_append_u8(out, '\\');
        pc_buf_append_u8(out, c == '"' || c == '\\' ? c : (uint8_t)shorts[c]);
    } else {
        (void)snprintf(text, sizeof text, "\\u%04X", c);
        put(out, text);
    }
}

static void put_string(struct pc_buf *out, struct pc_slice text)
{
    size_t from = 0;
    pc_buf_reserve(out, text.len + 2);
    pc_buf_append_u8(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (!is_plain(text.data[i])) {
            pc_buf_append(out, text.data + from, i - from);
            put_escaped(out, text.data[i]);
            from = i + 1;
        }
    }
    if (from < text.len) {
        pc_buf_append(out, text.data + from, text.len - from);
    }
    pc_buf_append_u8(out, '"');
}

void pc_json_line_begin(struct pc_buf *out)
{
    pc_buf_append_u8(out, '{');
}

void pc_json_line_name(struct pc_buf *out, const char *name)
{
    PC_ASSERT(out->len > 0);
    if (out->data[out->len - 1] != '{') {
        pc_buf_append_u8(out, ',');
    }
    pc_buf_append_u8(out, '"');
    put(out, name);
    put(out, "\":");
}

void pc_json_line_number(struct pc_buf *out, const char *name, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    pc_json_line_name(out, name);
    pc_buf_append(out, digits + at, sizeof digits - at);
}

void pc_json_line_word(struct pc_buf *out, const char *name, const char *text)
{
    pc_json_line_name(out, name);
    pc_buf_append_u8(out, '"');
    put(out, text);
    pc_buf_append_u8(out, '"');
}

void pc_json_line_bytes(
    struct pc_buf *out, const char *name, const char *name_b64, struct pc_slice bytes)
{
    if (is_utf8(bytes)) {
        pc_json_line_name(out, name);
        put_string(out, bytes);
    } else {
        pc_json_line_base64(out, name_b64, bytes);
    }
}

void pc_json_line_base64(struct pc_buf *out, const char *name_b64, struct pc_slice bytes)
{
    size_t room = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    pc_json_line_name(out, name_b64);
    pc_buf_append_u8(out, '"');
    pc_buf_reserve(out, room);
    (void)sodium_bin2base64(
        (char *)out->data + out->len, room, bytes.data, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    out->len += room - 1; /* without its NUL */
    pc_buf_append_u8(out, '"');
}

void pc_json_line_id(struct pc_buf *out, const char *name, pc_node_id id)
{
    char text[24];
    if (id == 0) {
        pc_json_line_name(out, name);
        put(out, "null");
    } else {
        (void)snprintf(text, sizeof text, "%016" PRIx64, id);
        pc_json_line_word(out, name, text);
    }
}

void pc_json_line_end(struct pc_buf *out)
{
    pc_buf_append_u8(out, '}');
}
