/* One line of a history file: a flat JSON object, strictly read.
 *
 * The cursor never passes `end`, every string has a bound, and nothing nests. What a field means is
 * in one table; which fields an operation needs is judged when the whole line has been read. */
#include "lincheck/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define DELTA_MAX 1000000000000000000u /* a sum of two is in range */
#define WORD_BYTES_MAX 31              /* of a field's name, op, status or consistency */

static const char *const kind_texts[] = {"get", "put", "delete", "cas", "incr"};
static const char *const status_texts[] = {"ok", "fail", "info"};
static const char *const consistency_texts[] = {"linearizable", "local"};

const char *lin_kind_text(enum lin_kind kind)
{
    PC_ASSERT((size_t)kind < COUNT_OF(kind_texts));
    return kind_texts[kind];
}

const char *lin_status_text(enum lin_status status)
{
    PC_ASSERT((size_t)status < COUNT_OF(status_texts));
    return status_texts[status];
}

enum field {
    F_CLIENT,
    F_OP,
    F_KEY,
    F_STATUS,
    F_T0,
    F_T1,
    F_VALUE,
    F_EXPECT,
    F_DELTA,
    F_VERSION,
    F_INDEX,
    F_TTL,
    F_NODE,
    F_CONSISTENCY,
    F_ID,
    F_SESSION,
    F_FINAL,
    F_REFUSED,
    F_NONE,
};
static const char *const field_names[F_NONE] = {"client", "op", "key", "status", "t0_us", "t1_us",
    "value", "expect", "delta", "version", "index", "ttl_ms", "node", "consistency", "id",
    "session", "final", "refused"};

struct parser {
    const char *at, *end;
    struct lin_record *out;
    uint32_t seen; /* a bit for each enum field */
    bool is_null;  /* "value":null */
    char *why;
    size_t why_max;
};

__attribute__((format(printf, 2, 3))) static bool wrong(struct parser *p, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(p->why, p->why_max, format, args);
    va_end(args);
    return false;
}

/* ---- reading */
static void skip_blanks(struct parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\r')) {
        p->at++;
    }
}

static bool take(struct parser *p, char c)
{
    skip_blanks(p);
    if (p->at < p->end && *p->at == c) {
        p->at++;
        return true;
    }
    return false;
}

static bool take_word(struct parser *p, const char *word)
{
    size_t len = strlen(word);
    skip_blanks(p);
    if ((size_t)(p->end - p->at) < len || memcmp(p->at, word, len) != 0) {
        return false;
    }
    p->at += len;
    return true;
}

/* The four digits of \uXXXX, or -1. */
static int32_t take_hex(struct parser *p)
{
    int32_t code = 0;
    if (p->end - p->at < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++, p->at++) {
        const char *digits = "0123456789abcdef", *lower;
        char c = *p->at >= 'A' && *p->at <= 'F' ? (char)(*p->at + 32) : *p->at;
        if (c == '\0' || (lower = strchr(digits, c)) == NULL) {
            return -1;
        }
        code = code * 16 + (int32_t)(lower - digits);
    }
    return code;
}

static size_t utf8_put(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t len = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, code >>= 6) {
        out[i] = (char)(0x80 | (code & 0x3f));
    }
    out[0] = (char)((0xf00 >> len & 0xf0) | code);
    return len;
}

/* What stands behind \u, as UTF-8; 0 when it is no character, or NUL. */
static size_t take_unicode(struct parser *p, char out[4])
{
    int32_t code = take_hex(p);
    if (code >= 0xd800 && code < 0xdc00) {
        int32_t low = take_word(p, "\\u") ? take_hex(p) : -1;
        code = low >= 0xdc00 && low < 0xe000 ? 0x10000 + (code - 0xd800) * 1024 + low - 0xdc00 : -1;
    } else if (code >= 0xdc00 && code < 0xe000) {
        code = -1;
    }
    return code <= 0 ? 0 : utf8_put(out, (uint32_t)code);
}

/* What stands behind a backslash; 0 when JSON does not know it. */
static size_t take_escape(struct parser *p, char out[4])
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (p->at == p->end) {
        return 0;
    }
    char c = *p->at++;
    if (c == 'u') {
        return take_unicode(p, out);
    }
    const char *found = c != '\0' ? strchr(from, c) : NULL;
    if (found == NULL) {
        return 0;
    }
    out[0] = to[found - from];
    return 1;
}

/* A string of at most `max` bytes into out, which has room for one more. */
static bool take_string(struct parser *p, const char *name, char *out, size_t max)
{
    size_t len = 0;
    if (!take(p, '"')) {
        return wrong(p, "%s must be a string", name);
    }
    while (p->at < p->end && *p->at != '"') {
        char bytes[4] = {*p->at++};
        size_t n = bytes[0] == '\\' ? take_escape(p, bytes) : (uint8_t)bytes[0] >= 0x20 ? 1 : 0;
        if (n == 0) {
            return wrong(p, "%s has a bad escape or control character", name);
        }
        if (len + n > max) {
            return wrong(p, "%s is longer than %zu bytes", name, max);
        }
        memcpy(out + len, bytes, n);
        len += n;
    }
    out[len] = '\0';
    return take(p, '"') || wrong(p, "%s has no closing quote", name);
}

static bool take_number(struct parser *p, const char *name, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    skip_blanks(p);
    const char *first = p->at;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++) {
        uint64_t digit = (uint64_t)(*p->at - '0');
        if (value > (max - digit) / 10) {
            return wrong(p, "%s is over %" PRIu64, name, max);
        }
        value = value * 10 + digit;
    }
    if (p->at == first || (p->at < p->end && strchr(".eE", *p->at) != NULL)) {
        return wrong(p, "%s must be a whole number", name);
    }
    *out = value;
    return true;
}

static bool take_u32(struct parser *p, const char *name, uint32_t *out)
{
    uint64_t value = 0;
    bool is_ok = take_number(p, name, UINT32_MAX, &value);
    *out = (uint32_t)value;
    return is_ok;
}

static bool take_signed(struct parser *p, const char *name, int64_t *out)
{
    uint64_t value = 0;
    bool is_negative = take(p, '-');
    bool is_ok = take_number(p, name, DELTA_MAX, &value);
    *out = is_negative ? -(int64_t)value : (int64_t)value;
    return is_ok;
}

static bool take_bool(struct parser *p, const char *name, bool *out)
{
    *out = take_word(p, "true");
    return *out || take_word(p, "false") || wrong(p, "%s must be true or false", name);
}

/* One of the words of a table; its place in it. */
static bool take_choice(
    struct parser *p, const char *name, const char *const *words, size_t words_n, size_t *out)
{
    char word[WORD_BYTES_MAX + 1];
    if (!take_string(p, name, word, WORD_BYTES_MAX)) {
        return false;
    }
    for (size_t i = 0; i < words_n; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = i;
            return true;
        }
    }
    return wrong(p, "%s is none of those allowed", name);
}

/* ---- fields */
static bool value_parse(struct parser *p, const char *name)
{
    p->is_null = take_word(p, "null");
    p->out->has_value = !p->is_null;
    return p->is_null || take_string(p, name, p->out->value, LIN_VALUE_BYTES_MAX);
}

/* A field that nobody here knows: any scalar. */
static bool unknown_skip(struct parser *p, const char *name)
{
    char text[LIN_VALUE_BYTES_MAX + 1];
    skip_blanks(p);
    if (p->at < p->end && *p->at == '"') {
        return take_string(p, name, text, LIN_VALUE_BYTES_MAX);
    }
    if (take_word(p, "null") || take_word(p, "true") || take_word(p, "false")) {
        return true;
    }
    const char *first = p->at;
    while (
        p->at < p->end && (strchr("+-.eE", *p->at) != NULL || (*p->at >= '0' && *p->at <= '9'))) {
        p->at++;
    }
    return p->at > first || wrong(p, "%s has a value that is no scalar", name);
}

static bool word_field_parse(struct parser *p, enum field field, const char *name)
{
    size_t choice = 0;
    bool is_ok = false;
    if (field == F_OP) {
        is_ok = take_choice(p, name, kind_texts, COUNT_OF(kind_texts), &choice);
        p->out->kind = (enum lin_kind)choice;
    } else if (field == F_STATUS) {
        is_ok = take_choice(p, name, status_texts, COUNT_OF(status_texts), &choice);
        p->out->status = (enum lin_status)choice;
    } else {
        is_ok = take_choice(p, name, consistency_texts, COUNT_OF(consistency_texts), &choice);
        p->out->is_local = choice == 1;
    }
    return is_ok;
}

static bool field_parse(struct parser *p, enum field field, const char *name)
{
    struct lin_record *out = p->out;
    switch (field) {
    case F_CLIENT:
        return take_u32(p, name, &out->client);
    case F_SESSION:
        return take_u32(p, name, &out->session);
    case F_OP:
    case F_STATUS:
    case F_CONSISTENCY:
        return word_field_parse(p, field, name);
    case F_KEY:
        return take_string(p, name, out->key, LIN_KEY_BYTES_MAX);
    case F_NODE:
        return take_string(p, name, out->node, LIN_NAME_BYTES_MAX);
    case F_ID:
        return take_string(p, name, out->id, LIN_NAME_BYTES_MAX);
    case F_T0:
        return take_number(p, name, INT64_MAX, &out->t0_us);
    case F_T1:
        return take_number(p, name, INT64_MAX, &out->t1_us);
    case F_EXPECT:
        return take_number(p, name, INT64_MAX, &out->expect);
    case F_VERSION:
        return take_number(p, name, INT64_MAX, &out->version);
    case F_INDEX:
        return take_number(p, name, INT64_MAX, &out->index);
    case F_TTL:
        return take_number(p, name, INT64_MAX / 1000, &out->ttl_ms);
    case F_DELTA:
        return take_signed(p, name, &out->delta);
    case F_FINAL:
        return take_bool(p, name, &out->is_final);
    case F_REFUSED:
        return take_bool(p, name, &out->is_refused);
    case F_VALUE:
        return value_parse(p, name);
    case F_NONE:
        break;
    }
    return unknown_skip(p, name);
}

static bool pair_parse(struct parser *p)
{
    char name[WORD_BYTES_MAX + 1];
    if (!take_string(p, "a field's name", name, WORD_BYTES_MAX)) {
        return false;
    }
    if (!take(p, ':')) {
        return wrong(p, "no colon behind %s", name);
    }
    enum field field = F_CLIENT;
    while (field != F_NONE && strcmp(field_names[field], name) != 0) {
        field++;
    }
    if (field != F_NONE && (p->seen & 1u << field) != 0) {
        return wrong(p, "%s comes twice", name);
    }
    p->seen |= field != F_NONE ? 1u << field : 0;
    return field_parse(p, field, name);
}

/* ---- the line as a whole */
static bool is_decimal(const char *text)
{
    size_t len = strlen(text), sign = text[0] == '-' ? 1 : 0;
    return len > sign && len - sign <= 18 && strspn(text + sign, "0123456789") == len - sign;
}

static bool record_judge(struct parser *p)
{
    const struct lin_record *r = p->out;
    bool stores = r->kind == LIN_PUT || r->kind == LIN_CAS, is_get = r->kind == LIN_GET;
    uint32_t needs =
        1u << F_CLIENT | 1u << F_OP | 1u << F_KEY | 1u << F_STATUS | 1u << F_T0 | 1u << F_T1;
    needs |= stores || (is_get && r->status == LIN_OK) ? 1u << F_VALUE : 0;
    needs |= r->kind == LIN_CAS ? 1u << F_EXPECT : 0;
    needs |= r->kind == LIN_INCR ? 1u << F_DELTA : 0;
    for (enum field field = F_CLIENT; field < F_NONE; field++) {
        if ((needs & ~p->seen & 1u << field) != 0) {
            return wrong(p, "%s is missing", field_names[field]);
        }
    }
    if (r->key[0] == '\0') {
        return wrong(p, "key is empty");
    }
    if (r->t1_us < r->t0_us) {
        return wrong(p, "t1_us is before t0_us");
    }
    if ((stores && !r->has_value) || (r->kind == LIN_DELETE && r->has_value)) {
        return wrong(p, "value does not fit a %s", lin_kind_text(r->kind));
    }
    if (r->kind == LIN_INCR && r->has_value && !is_decimal(r->value)) {
        return wrong(p, "value of an incr must be a decimal number");
    }
    if (is_get && r->status == LIN_OK && !r->has_value && r->version != 0) {
        return wrong(p, "a missing key has no version");
    }
    if (r->version != 0 && r->status != LIN_OK) {
        return wrong(p, "version is of what was done");
    }
    if ((r->is_local || r->is_final) && !is_get) {
        return wrong(p, "consistency and final are of a get");
    }
    if (r->is_refused && (r->kind != LIN_CAS || r->status != LIN_FAIL)) {
        return wrong(p, "refused is of a cas that failed");
    }
    return true;
}

bool lin_record_parse(
    const char *line, size_t len, struct lin_record *out, char *why, size_t why_max)
{
    struct parser p = {.at = line, .end = line + len, .out = out, .why = why, .why_max = why_max};
    *out = (struct lin_record){.kind = LIN_GET};
    if (!take(&p, '{')) {
        return wrong(&p, "no JSON object");
    }
    do {
        if (!pair_parse(&p)) {
            return false;
        }
    } while (take(&p, ','));
    if (!take(&p, '}')) {
        return wrong(&p, "no closing brace where one belongs");
    }
    skip_blanks(&p);
    return p.at == p.end ? record_judge(&p) : wrong(&p, "more behind the closing brace");
}

/* ---- writing */
struct writer {
    char *out;
    size_t len, max;
    bool is_full;
};

static void put_bytes(struct writer *w, const char *bytes, size_t len)
{
    if (w->is_full || w->max - w->len < len) {
        w->is_full = true;
        return;
    }
    memcpy(w->out + w->len, bytes, len);
    w->len += len;
}

static void put_text(struct writer *w, const char *text)
{
    put_bytes(w, text, strlen(text));
}

static void put_string(struct writer *w, const char *name, const char *text)
{
    char escape[8];
    put_text(w, w->len > 1 ? ",\"" : "\"");
    put_text(w, name);
    put_text(w, "\":\"");
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\' || (uint8_t)*text < 0x20) {
            int len = snprintf(escape, sizeof escape, "\\u%04x", (unsigned)(uint8_t)*text);
            put_bytes(w, escape, (size_t)len);
        } else {
            put_bytes(w, text, 1);
        }
    }
    put_text(w, "\"");
}

static void put_number(struct writer *w, const char *name, uint64_t value, bool is_negative)
{
    char text[64];
    int len = snprintf(text, sizeof text, "%s\"%s\":%s%" PRIu64, w->len > 1 ? "," : "", name,
        is_negative ? "-" : "", value);
    put_bytes(w, text, (size_t)len);
}

/* Absent means 0. */
static void put_optional(struct writer *w, const char *name, uint64_t value)
{
    if (value != 0) {
        put_number(w, name, value, false);
    }
}

static void put_value(struct writer *w, const struct lin_record *r)
{
    if (r->has_value) {
        put_string(w, "value", r->value);
    } else if (r->kind == LIN_GET && r->status == LIN_OK) {
        put_text(w, ",\"value\":null");
    }
}

size_t lin_record_format(const struct lin_record *r, char *out, size_t max)
{
    struct writer w = {.out = out, .max = max};
    put_text(&w, "{");
    put_number(&w, "client", r->client, false);
    put_string(&w, "op", lin_kind_text(r->kind));
    put_string(&w, "key", r->key);
    put_value(&w, r);
    if (r->kind == LIN_CAS) {
        put_number(&w, "expect", r->expect, false);
    } else if (r->kind == LIN_INCR) {
        uint64_t size = r->delta < 0 ? (uint64_t)-r->delta : (uint64_t)r->delta;
        put_number(&w, "delta", size, r->delta < 0);
    } else if (r->kind == LIN_GET) {
        put_string(&w, "consistency", consistency_texts[r->is_local ? 1 : 0]);
    }
    put_string(&w, "status", lin_status_text(r->status));
    put_optional(&w, "version", r->version);
    put_optional(&w, "index", r->index);
    put_optional(&w, "ttl_ms", r->ttl_ms);
    put_string(&w, "node", r->node);
    put_optional(&w, "session", r->session);
    put_number(&w, "t0_us", r->t0_us, false);
    put_number(&w, "t1_us", r->t1_us, false);
    if (r->id[0] != '\0') {
        put_string(&w, "id", r->id);
    }
    put_text(&w, r->is_final ? ",\"final\":true" : "");
    put_text(&w, r->is_refused ? ",\"refused\":true" : "");
    put_text(&w, "}\n");
    return w.is_full ? 0 : w.len;
}
