/* A request head as a state machine over single bytes, stricter than RFC 9112 asks.
 *
 *   GET /v1/kv/a HTTP/1.1 CR LF          METHOD TARGET VERSION
 *   Host: x CR LF                        NAME ':' VALUE
 *   CR LF                                END
 *
 * It sees every byte before evhttp does, so whatever it lets pass must mean the same to both: one
 * reading of the length, no line end but CR LF, no name that evhttp would take for another one.
 * It keeps no text but short words (a method, a field name, a length), so its size is fixed however
 * the bytes are cut, and a head that never ends costs nothing but its limit. */
#include "http_int.h"

#include <string.h>

enum head_state {
    HEAD_METHOD = 0,
    HEAD_TARGET,
    HEAD_VERSION,
    HEAD_LINE_LF, /* CR seen at the end of the request line or a field */
    HEAD_NAME_FIRST,
    HEAD_NAME,
    HEAD_VALUE_START, /* white space behind the colon */
    HEAD_VALUE,
    HEAD_END_LF,
};

enum head_field {
    FIELD_OTHER = 0,
    FIELD_HOST,
    FIELD_LENGTH,
    FIELD_TRANSFER_ENCODING,
    FIELD_EXPECT,
    FIELD_CONNECTION,
};

/* RFC 9110, 5.6.2: one bit for each of the 128 ASCII characters. */
static bool is_token_char(uint8_t c)
{
    static const uint32_t token[4] = {0, 0x03ff6cfa, 0xc7fffffe, 0x57ffffff};
    return c < 128 && (token[c >> 5] >> (c & 31) & 1) != 0;
}

static bool is_control(uint8_t c)
{
    return c < 0x20 || c == 0x7f;
}

static void word_begin(struct pc_http_head *head)
{
    head->word_len = 0;
    head->space_seen = false;
}

static void word_add(struct pc_http_head *head, uint8_t c, bool fold_case)
{
    if (head->word_len < sizeof head->word) {
        bool upper = fold_case && c >= 'A' && c <= 'Z';
        head->word[head->word_len] = (char)(upper ? c + 32 : c);
    }
    head->word_len++;
}

static bool word_is(const struct pc_http_head *head, const char *text)
{
    size_t len = strlen(text);
    return head->word_len == len && memcmp(head->word, text, len) == 0;
}

static enum pc_http_fault method_end(struct pc_http_head *head)
{
    static const struct {
        const char *name;
        enum evhttp_cmd_type method;
    } methods[] = {
        {"GET", EVHTTP_REQ_GET},
        {"PUT", EVHTTP_REQ_PUT},
        {"HEAD", EVHTTP_REQ_HEAD},
        {"POST", EVHTTP_REQ_POST},
        {"PATCH", EVHTTP_REQ_PATCH},
        {"DELETE", EVHTTP_REQ_DELETE},
    };
    if (head->word_len == 0) {
        return PC_HTTP_FAULT_REQUEST_LINE;
    }
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (word_is(head, methods[i].name)) {
            head->method = methods[i].method;
        }
    }
    head->state = HEAD_TARGET;
    return PC_HTTP_FAULT_NONE;
}

static enum pc_http_fault method_feed(struct pc_http_head *head, uint8_t c)
{
    if (c == ' ') {
        return method_end(head);
    }
    if (!is_token_char(c) || head->word_len == PC_HTTP_WORD_BYTES_MAX) {
        return PC_HTTP_FAULT_REQUEST_LINE;
    }
    word_add(head, c, false);
    return PC_HTTP_FAULT_NONE;
}

/* evhttp parses the target as a URI: what begins with one slash it takes as a path, whatever
 * follows. "//x" it would take for an authority, with faults of its own. */
static enum pc_http_fault target_feed(
    struct pc_http_head *head, const struct pc_http_head_limits *limits, uint8_t c)
{
    if (c == ' ' && head->target_len > 0) {
        head->state = HEAD_VERSION;
        word_begin(head);
        return PC_HTTP_FAULT_NONE;
    }
    if (is_control(c) || c == ' ' || c == '#' || (head->target_len == 0 && c != '/') ||
        (head->target_len == 1 && c == '/')) {
        return PC_HTTP_FAULT_TARGET;
    }
    if (head->target_len == limits->target_bytes_max) {
        return PC_HTTP_FAULT_TARGET_LONG;
    }
    if (head->target_len < sizeof head->target) {
        head->target[head->target_len] = (char)c;
    }
    head->target_len++;
    return PC_HTTP_FAULT_NONE;
}

static enum pc_http_fault version_feed(struct pc_http_head *head, uint8_t c)
{
    if (c == '\r') {
        if (!word_is(head, "HTTP/1.1") && !word_is(head, "HTTP/1.0")) {
            return PC_HTTP_FAULT_VERSION;
        }
        head->version = (unsigned)(head->word[7] - '0');
        head->state = HEAD_LINE_LF;
        return head->method == 0 ? PC_HTTP_FAULT_METHOD : PC_HTTP_FAULT_NONE;
    }
    if (c == '\n') {
        return PC_HTTP_FAULT_LINE_END;
    }
    if (is_control(c) || c == ' ') {
        return PC_HTTP_FAULT_REQUEST_LINE;
    }
    if (head->word_len == 8) {
        return PC_HTTP_FAULT_VERSION;
    }
    word_add(head, c, false);
    return PC_HTTP_FAULT_NONE;
}

static enum head_field field_of(const struct pc_http_head *head)
{
    static const char *const names[] = {
        "", "host", "content-length", "transfer-encoding", "expect", "connection"};
    for (int i = FIELD_HOST; i <= FIELD_CONNECTION; i++) {
        if (word_is(head, names[i])) {
            return (enum head_field)i;
        }
    }
    return FIELD_OTHER;
}

static enum pc_http_fault name_end(struct pc_http_head *head)
{
    head->field = (int)field_of(head);
    if (head->field == FIELD_TRANSFER_ENCODING) {
        return PC_HTTP_FAULT_TRANSFER_ENCODING;
    }
    head->state = HEAD_VALUE_START;
    word_begin(head);
    return PC_HTTP_FAULT_NONE;
}

static enum pc_http_fault name_feed(
    struct pc_http_head *head, const struct pc_http_head_limits *limits, uint8_t c)
{
    bool first = head->state == HEAD_NAME_FIRST;
    if (first && c == '\r') {
        head->state = HEAD_END_LF;
        return PC_HTTP_FAULT_NONE;
    }
    if (first && (c == ' ' || c == '\t')) {
        return PC_HTTP_FAULT_HEADER_FOLD;
    }
    if (c == '\n') {
        return PC_HTTP_FAULT_LINE_END;
    }
    if (!first && c == ':') {
        return name_end(head);
    }
    if (!first && (c == ' ' || c == '\t')) {
        return PC_HTTP_FAULT_HEADER_SPACE;
    }
    if (!is_token_char(c)) {
        return PC_HTTP_FAULT_HEADER_NAME;
    }
    if (first) {
        if (head->headers == limits->headers_max) {
            return PC_HTTP_FAULT_HEADERS_MANY;
        }
        head->headers++;
        head->state = HEAD_NAME;
    }
    word_add(head, c, true);
    return PC_HTTP_FAULT_NONE;
}

static enum pc_http_fault length_end(struct pc_http_head *head)
{
    if (++head->lengths > 1 || head->space_seen || head->word_len == 0 || head->word_len > 18) {
        return PC_HTTP_FAULT_LENGTH;
    }
    uint64_t length = 0;
    for (size_t i = 0; i < head->word_len; i++) {
        if (head->word[i] < '0' || head->word[i] > '9') {
            return PC_HTTP_FAULT_LENGTH;
        }
        length = length * 10 + (uint64_t)(head->word[i] - '0');
    }
    head->content_length = length;
    return PC_HTTP_FAULT_NONE;
}

static enum pc_http_fault value_end(struct pc_http_head *head)
{
    head->state = HEAD_LINE_LF;
    switch ((enum head_field)head->field) {
    case FIELD_HOST:
        return ++head->hosts > 1 || head->space_seen ? PC_HTTP_FAULT_HOST : PC_HTTP_FAULT_NONE;
    case FIELD_LENGTH:
        return length_end(head);
    case FIELD_EXPECT:
        head->continues = word_is(head, "100-continue") && !head->space_seen;
        return head->continues ? PC_HTTP_FAULT_NONE : PC_HTTP_FAULT_EXPECT;
    case FIELD_CONNECTION:
        head->connection = true;
        head->keeps_open = head->keeps_open || !word_is(head, "close") || head->space_seen;
        return PC_HTTP_FAULT_NONE;
    case FIELD_OTHER:
    case FIELD_TRANSFER_ENCODING:
        break;
    }
    return PC_HTTP_FAULT_NONE;
}

static enum pc_http_fault value_feed(struct pc_http_head *head, uint8_t c)
{
    if (c == '\r') {
        return value_end(head);
    }
    if (c == '\n') {
        return PC_HTTP_FAULT_LINE_END;
    }
    if (c == ' ' || c == '\t') {
        /* Trailing white space is no part of a value, inner one is: remembered until it is known.
         */
        if (head->state == HEAD_VALUE) {
            head->state = HEAD_VALUE_START;
        }
        /* evhttp takes a tab before a value for a part of it. */
        head->space_seen = head->space_seen || (c == '\t' && head->word_len == 0);
        return PC_HTTP_FAULT_NONE;
    }
    if (is_control(c)) {
        return PC_HTTP_FAULT_HEADER_VALUE;
    }
    if (head->state == HEAD_VALUE_START) {
        head->space_seen = head->space_seen || head->word_len > 0;
        head->state = HEAD_VALUE;
    }
    word_add(head, c, true);
    return PC_HTTP_FAULT_NONE;
}

/* Everything that only the whole head can tell. */
static enum pc_http_fault head_end(
    const struct pc_http_head *head, const struct pc_http_head_limits *limits)
{
    if (head->version == 1 && head->hosts != 1) {
        return PC_HTTP_FAULT_HOST;
    }
    bool takes_body = head->method == EVHTTP_REQ_PUT || head->method == EVHTTP_REQ_POST ||
                      head->method == EVHTTP_REQ_PATCH;
    if (!takes_body && head->content_length > 0) {
        return PC_HTTP_FAULT_BODY_UNEXPECTED;
    }
    if (head->content_length > limits->body_bytes_max) {
        return PC_HTTP_FAULT_BODY_LARGE;
    }
    /* evhttp cannot tell how long a body without a length is when a Connection field asks for
     * anything but "close", and would answer by itself. */
    if (takes_body && head->lengths == 0 &&
        (head->method != EVHTTP_REQ_POST || (head->connection && head->keeps_open))) {
        return PC_HTTP_FAULT_LENGTH_MISSING;
    }
    return PC_HTTP_FAULT_NONE;
}

static enum pc_http_fault head_feed_byte(
    struct pc_http_head *head, const struct pc_http_head_limits *limits, uint8_t c)
{
    switch ((enum head_state)head->state) {
    case HEAD_METHOD:
        return method_feed(head, c);
    case HEAD_TARGET:
        return target_feed(head, limits, c);
    case HEAD_VERSION:
        return version_feed(head, c);
    case HEAD_NAME_FIRST:
    case HEAD_NAME:
        return name_feed(head, limits, c);
    case HEAD_VALUE_START:
    case HEAD_VALUE:
        return value_feed(head, c);
    case HEAD_LINE_LF:
        head->state = HEAD_NAME_FIRST;
        word_begin(head);
        return c == '\n' ? PC_HTTP_FAULT_NONE : PC_HTTP_FAULT_LINE_END;
    case HEAD_END_LF:
        return c == '\n' ? head_end(head, limits) : PC_HTTP_FAULT_LINE_END;
    }
    return PC_HTTP_FAULT_REQUEST_LINE;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Most of a head is the target, and the text of fields that nobody looks at here. Returns how many
 * bytes at the front of `bytes` are just that: more of what is under way, and within the limits.
 * target_feed and value_feed would do the same with each of them. */
static size_t skip_plain(
    struct pc_http_head *head, const struct pc_http_head_limits *limits, struct pc_slice bytes)
{
    bool in_target = head->state == HEAD_TARGET && head->target_len > 1;
    bool in_value = head->state == HEAD_VALUE && head->field == FIELD_OTHER;
    if (!in_target && !in_value) {
        return 0;
    }
    size_t max = smaller(bytes.len, limits->head_bytes_max - head->bytes);
    max = in_target ? smaller(max, limits->target_bytes_max - head->target_len) : max;
    size_t n = 0;
    while (n < max && bytes.data[n] > ' ' && bytes.data[n] != 0x7f &&
           (in_value || bytes.data[n] != '#')) {
        n++;
    }
    if (in_target) {
        size_t at = smaller(head->target_len, sizeof head->target);
        memcpy(head->target + at, bytes.data, smaller(n, sizeof head->target - at));
        head->target_len += n;
    }
    head->bytes += n;
    return n;
}

enum pc_http_head_result pc_http_head_feed(struct pc_http_head *head,
    const struct pc_http_head_limits *limits, struct pc_slice bytes, size_t *used)
{
    PC_ASSERT(head->fault == PC_HTTP_FAULT_NONE);
    for (size_t i = 0; i < bytes.len; i++) {
        i += skip_plain(head, limits, pc_slice_of(bytes.data + i, bytes.len - i));
        if (i == bytes.len) {
            break;
        }
        bool last = head->state == HEAD_END_LF;
        bool full = head->bytes == limits->head_bytes_max;
        head->bytes++;
        head->fault = full ? PC_HTTP_FAULT_HEAD_LARGE : head_feed_byte(head, limits, bytes.data[i]);
        if (head->fault != PC_HTTP_FAULT_NONE) {
            return PC_HTTP_HEAD_BAD;
        }
        if (last) {
            *used = i + 1;
            return PC_HTTP_HEAD_DONE;
        }
    }
    *used = bytes.len;
    return PC_HTTP_HEAD_MORE;
}
