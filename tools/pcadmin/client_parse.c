/* Answers of HTTP/1.1, as far as pcached and the balancers before it give them: a status line,
 * headers, a body of Content-Length or up to the end. Interim answers (1xx) are skipped. */
#include "client.h"

#include <string.h>
#include <strings.h>

struct head {
    int status;
    bool has_length;
    uint64_t length;
    size_t bytes; /* with the empty line */
    char etag[64];
    bool quorum_lost;
    bool is_branch;
    bool is_chunked;
    uint64_t age_ms;
    uint64_t next;
};

/* The offset behind the next CRLF CRLF, or 0. */
static size_t head_end(struct pc_slice bytes)
{
    for (size_t i = 3; i < bytes.len && i < RESPONSE_HEAD_BYTES_MAX; i++) {
        if (memcmp(bytes.data + i - 3, "\r\n\r\n", 4) == 0) {
            return i + 1;
        }
    }
    return 0;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static pc_err parse_status(struct pc_slice line, struct head *head)
{
    bool good = line.len >= 12 && memcmp(line.data, "HTTP/1.", 7) == 0 && line.data[8] == ' ' &&
                is_digit(line.data[9]) && is_digit(line.data[10]) && is_digit(line.data[11]) &&
                line.data[9] != '0';
    if (!good) {
        return PC_E_MALFORMED;
    }
    head->status = (line.data[9] - '0') * 100 + (line.data[10] - '0') * 10 + line.data[11] - '0';
    return PC_OK;
}

static pc_err parse_number(struct pc_slice value, uint64_t *out)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is_digit(value.data[i])) {
            return PC_E_MALFORMED;
        }
        if (number > (UINT64_MAX - 9) / 10) {
            return PC_E_TOO_BIG;
        }
        number = number * 10 + (uint64_t)(value.data[i] - '0');
    }
    *out = number;
    return value.len > 0 ? PC_OK : PC_E_MALFORMED;
}

static bool is_name(struct pc_slice name, const char *expected)
{
    return name.len == strlen(expected) &&
           strncasecmp((const char *)name.data, expected, name.len) == 0;
}

static pc_err parse_header(struct pc_slice line, struct head *head)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    if (colon == NULL) {
        return PC_E_MALFORMED;
    }
    struct pc_slice name = pc_slice_of(line.data, (size_t)(colon - line.data));
    struct pc_slice value = pc_slice_of(colon + 1, line.len - name.len - 1);
    while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
        value = pc_slice_of(value.data + 1, value.len - 1);
    }
    if (is_name(name, "content-length")) {
        head->has_length = true;
        return parse_number(value, &head->length);
    }
    if (is_name(name, "transfer-encoding")) {
        head->is_chunked = is_name(value, "chunked");
        return head->is_chunked ? PC_OK : PC_E_MALFORMED;
    }
    head->is_branch = head->is_branch || is_name(name, "x-pc-branch");
    if (is_name(name, "x-pc-age-ms")) {
        return parse_number(value, &head->age_ms);
    }
    if (is_name(name, "x-pc-next")) {
        return parse_number(value, &head->next);
    }
    head->quorum_lost = head->quorum_lost || is_name(name, "x-pc-quorum");
    if (is_name(name, "etag") && value.len < sizeof head->etag) {
        memcpy(head->etag, value.data, value.len);
        head->etag[value.len] = '\0';
    }
    return PC_OK;
}

/* bytes is one whole head. */
static pc_err parse_head(struct pc_slice bytes, struct head *head)
{
    size_t at = 0;
    bool first = true;
    while (at + 2 < bytes.len) {
        const uint8_t *cr = memchr(bytes.data + at, '\r', bytes.len - at);
        size_t len = (size_t)(cr - (bytes.data + at));
        struct pc_slice line = pc_slice_of(bytes.data + at, len);
        pc_err err = cr[1] != '\n' ? PC_E_MALFORMED
                     : first       ? parse_status(line, head)
                                   : parse_header(line, head);
        if (err != PC_OK) {
            return err;
        }
        first = false;
        at += len + 2;
    }
    head->bytes = bytes.len;
    return PC_OK;
}

static pc_err take_body(
    struct response *response, const struct head *head, struct pc_slice rest, bool ended)
{
    bool bodyless = head->status == 204 || head->status == 304;
    bool is_large = head->has_length && head->length > RESPONSE_BODY_BYTES_MAX;
    if (is_large || rest.len > RESPONSE_BODY_BYTES_MAX) {
        return PC_E_TOO_BIG;
    }
    size_t wanted = bodyless ? 0 : head->has_length ? (size_t)head->length : rest.len;
    if (rest.len < wanted) {
        return ended ? PC_E_CLOSED : PC_E_AGAIN;
    }
    if (!bodyless && !head->has_length && !ended) {
        return PC_E_AGAIN;
    }
    response->body = pc_slice_of(rest.data, wanted);
    return PC_OK;
}

/* The head behind all interim ones; *rest: what has come behind it. */
static pc_err take_head(
    struct response *response, bool ended, struct head *head, struct pc_slice *rest)
{
    *rest = pc_slice_of(response->bytes.data, response->bytes.len);
    while (true) {
        *head = (struct head){0};
        size_t end = rest->len > 0 ? head_end(*rest) : 0;
        if (end == 0) {
            return rest->len >= RESPONSE_HEAD_BYTES_MAX ? PC_E_TOO_BIG
                   : ended                              ? PC_E_CLOSED
                                                        : PC_E_AGAIN;
        }
        pc_err err = parse_head(pc_slice_of(rest->data, end), head);
        if (err != PC_OK) {
            return err;
        }
        *rest = pc_slice_of(rest->data + end, rest->len - end);
        if (head->status >= 200) {
            response->status = head->status;
            memcpy(response->etag, head->etag, sizeof response->etag);
            response->quorum_lost = head->quorum_lost;
            response->is_branch = head->is_branch;
            response->is_chunked = head->is_chunked;
            response->age_ms = head->age_ms;
            response->next = head->next;
            return PC_OK;
        }
    }
}

pc_err response_parse_head(
    struct response *response, bool ended, struct pc_slice *rest, uint64_t *length)
{
    struct head head;
    pc_err err = take_head(response, ended, &head, rest);
    if (err == PC_OK) {
        *length = head.has_length ? head.length : UINT64_MAX;
    }
    return err;
}

pc_err response_parse(struct response *response, bool ended)
{
    struct head head;
    struct pc_slice rest;
    pc_err err = take_head(response, ended, &head, &rest);
    if (err == PC_OK && head.is_chunked) {
        return PC_E_MALFORMED; /* only a download may be of any length */
    }
    return err == PC_OK ? take_body(response, &head, rest, ended) : err;
}

void append_percent_encoded(struct pc_buf *out, const char *text)
{
    append_percent_encoded_bytes(out, pc_slice_str(text));
}

void append_percent_encoded_bytes(struct pc_buf *out, struct pc_slice bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char c = bytes.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            pc_buf_append_u8(out, c);
        } else {
            pc_buf_append_u8(out, '%');
            pc_buf_append_u8(out, (uint8_t)digits[c >> 4]);
            pc_buf_append_u8(out, (uint8_t)digits[c & 15]);
        }
    }
}
