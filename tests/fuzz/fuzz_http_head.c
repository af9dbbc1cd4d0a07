/* Request heads. The first four bytes choose limits and how the rest is cut into pieces: the result
 * is the same however it is cut. A head that is taken is read again by a naive parser, which knows
 * nothing but what docs/HTTP.md promises about what passes. */
#include "fuzz/kit/fuzz.h"

#include "edge/http/http_int.h"
#include "pcache/prng.h"

struct heard {
    struct pc_http_head head;
    enum pc_http_head_result result;
    size_t used; /* when DONE */
};

static void feed(struct heard *out, const struct pc_http_head_limits *limits, struct pc_slice bytes,
    struct pc_prng *dice)
{
    *out = (struct heard){.result = PC_HTTP_HEAD_MORE};
    size_t at = 0;
    while (at < bytes.len && out->result == PC_HTTP_HEAD_MORE) {
        size_t len = bytes.len - at;
        if (dice != NULL) {
            size_t piece = 1 + (size_t)pc_prng_below(dice, 40);
            len = piece < len ? piece : len;
        }
        size_t used = 0;
        out->result =
            pc_http_head_feed(&out->head, limits, pc_slice_of(bytes.data + at, len), &used);
        FUZZ_CHECK("used what it had", used <= len);
        at += out->result == PC_HTTP_HEAD_DONE ? used : len;
    }
    out->used = out->result == PC_HTTP_HEAD_DONE ? at : 0;
}

static void check_same(const struct heard *a, const struct heard *b)
{
    FUZZ_CHECK("cuts do not matter", a->result == b->result && a->used == b->used);
    FUZZ_CHECK("cuts do not matter", a->head.fault == b->head.fault);
    FUZZ_CHECK("cuts do not matter", a->head.method == b->head.method);
    FUZZ_CHECK("cuts do not matter", a->head.content_length == b->head.content_length);
    FUZZ_CHECK("cuts do not matter", a->head.headers == b->head.headers);
    FUZZ_CHECK("cuts do not matter", a->head.keeps_open == b->head.keeps_open);
    FUZZ_CHECK("cuts do not matter", a->head.continues == b->head.continues);
    FUZZ_CHECK(
        "cuts do not matter", memcmp(a->head.target, b->head.target, sizeof a->head.target) == 0);
}

/* ---- the naive parser */
struct line {
    struct pc_slice text; /* without CR LF */
};

static bool take_line(struct pc_slice *rest, struct line *out)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->data, '\n', rest->len) : NULL;
    if (end == NULL || end == rest->data || end[-1] != '\r') {
        return false;
    }
    size_t len = (size_t)(end - rest->data) + 1;
    out->text = pc_slice_of(rest->data, len - 2);
    *rest = pc_slice_of(rest->data + len, rest->len - len);
    return true;
}

static bool is_token(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool name_is(struct pc_slice name, const char *other)
{
    if (name.len != strlen(other)) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != other[i]) {
            return false;
        }
    }
    return true;
}

static uint64_t read_length(struct pc_slice value)
{
    uint64_t n = 0;
    size_t digits = 0;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        FUZZ_CHECK("Content-Length is digits", (c >= '0' && c <= '9') || c == ' ' || c == '\t');
        if (c >= '0' && c <= '9') {
            n = n * 10 + (uint64_t)(c - '0');
            digits++;
        }
    }
    FUZZ_CHECK("Content-Length is digits", digits > 0);
    return n;
}

static void check_field(struct pc_slice line, unsigned *hosts, unsigned *lengths, uint64_t *length)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    FUZZ_CHECK("a field has a colon", colon != NULL && colon > line.data);
    struct pc_slice name = pc_slice_of(line.data, (size_t)(colon - line.data));
    struct pc_slice value = pc_slice_of(colon + 1, line.len - name.len - 1);
    for (size_t i = 0; i < name.len; i++) {
        FUZZ_CHECK("a field's name is a token", is_token(name.data[i]));
    }
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        FUZZ_CHECK("no control characters", (c >= 0x20 && c != 0x7f) || c == '\t');
    }
    FUZZ_CHECK("no Transfer-Encoding", !name_is(name, "transfer-encoding"));
    *hosts += name_is(name, "host");
    if (name_is(name, "content-length")) {
        (*lengths)++;
        *length = read_length(value);
    }
}

static void check_taken(
    const struct heard *heard, const struct pc_http_head_limits *limits, struct pc_slice head)
{
    FUZZ_CHECK("limit", head.len <= limits->head_bytes_max + 4);
    struct line line;
    /* An empty line before the request is allowed (RFC 9112, 2.2). */
    do {
        FUZZ_CHECK("lines end with CR LF", take_line(&head, &line));
    } while (line.text.len == 0 && head.len > 0);
    for (size_t i = 0; i < line.text.len; i++) {
        FUZZ_CHECK("no control characters", line.text.data[i] > 0x1f && line.text.data[i] != 0x7f);
    }
    unsigned hosts = 0, lengths = 0, fields = 0;
    uint64_t length = 0;
    for (;;) {
        FUZZ_CHECK("lines end with CR LF", take_line(&head, &line));
        if (line.text.len == 0) {
            break;
        }
        check_field(line.text, &hosts, &lengths, &length);
        fields++;
    }
    FUZZ_CHECK("the head ends where it ends", head.len == 0);
    FUZZ_CHECK("limit", fields <= limits->headers_max && fields == heard->head.headers);
    FUZZ_CHECK("one Host", hosts <= 1 && (heard->head.version == 0 || hosts == 1));
    FUZZ_CHECK("one Content-Length", lengths <= 1);
    FUZZ_CHECK("the length is the length", lengths == 0 || length == heard->head.content_length);
    FUZZ_CHECK("limit", heard->head.content_length <= limits->body_bytes_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    bool small = (fuzz_u8(&in) & 1) != 0;
    struct pc_prng dice;
    pc_prng_seed(&dice, fuzz_u8(&in) | (uint64_t)fuzz_u8(&in) << 8 | (uint64_t)fuzz_u8(&in) << 16);
    struct pc_http_head_limits limits = {.head_bytes_max = small ? 300 : 8192,
        .target_bytes_max = small ? 40 : 4096,
        .headers_max = small ? 4 : 64,
        .body_bytes_max = 1024 * 1024};
    struct pc_slice bytes = pc_slice_of(in.at, fuzz_left(&in));
    struct heard whole, cut;
    feed(&whole, &limits, bytes, NULL);
    feed(&cut, &limits, bytes, &dice);
    check_same(&whole, &cut);
    FUZZ_CHECK("a fault has a name",
        (whole.result == PC_HTTP_HEAD_BAD) == (whole.head.fault != PC_HTTP_FAULT_NONE));
    if (whole.result == PC_HTTP_HEAD_DONE) {
        check_taken(&whole, &limits, pc_slice_of(bytes.data, whole.used));
    }
    return 0;
}
