/* The raw head parser: what passes, what does not, and that the cut into reads does not matter. */
#include "edge/http/http_int.h"
#include "support/test.h"

#include <stdio.h>
#include <string.h>

static const struct pc_http_head_limits limits = {
    .head_bytes_max = 512, .target_bytes_max = 64, .headers_max = 6, .body_bytes_max = 1000};

/* Parses in pieces of `cut` bytes. */
static enum pc_http_head_result feed(
    struct pc_http_head *head, struct pc_slice text, size_t cut, size_t *used)
{
    *head = (struct pc_http_head){0};
    *used = 0;
    for (size_t at = 0; at < text.len;) {
        size_t n = text.len - at < cut ? text.len - at : cut;
        size_t taken = 0;
        enum pc_http_head_result result =
            pc_http_head_feed(head, &limits, pc_slice_of(text.data + at, n), &taken);
        if (result != PC_HTTP_HEAD_MORE) {
            *used = at + taken;
            return result;
        }
        assert_int_equal(taken, n);
        at += n;
    }
    return PC_HTTP_HEAD_MORE;
}

static void expect(const char *text, size_t len, enum pc_http_fault fault)
{
    for (size_t cut = 1; cut <= len; cut = cut < 9 ? cut + 1 : cut + 13) {
        struct pc_http_head head;
        size_t used = 0;
        enum pc_http_head_result result = feed(&head, pc_slice_of(text, len), cut, &used);
        if (fault == PC_HTTP_FAULT_NONE) {
            assert_int_equal(result, PC_HTTP_HEAD_DONE);
            assert_int_equal(used, len);
        } else {
            assert_int_equal(result, PC_HTTP_HEAD_BAD);
            assert_string_equal(pc_http_fault_name(head.fault), pc_http_fault_name(fault));
        }
    }
}

#define PASSES(text) expect("" text, sizeof text - 1, PC_HTTP_FAULT_NONE)
#define FAILS(text, fault) expect("" text, sizeof text - 1, PC_HTTP_FAULT_##fault)
#define GET "GET /a HTTP/1.1\r\nHost: h\r\n"
#define PUT "PUT /a HTTP/1.1\r\nHost: h\r\n"

static void head__ordinary_requests__pass(void **state)
{
    (void)state;
    PASSES(GET "\r\n");
    PASSES("GET /a?b=c HTTP/1.0\r\n\r\n");
    PASSES("DELETE /a HTTP/1.1\r\nhOsT:h\r\nContent-Length: 0\r\n\r\n");
    PASSES("HEAD /\xd0\xba HTTP/1.1\r\nHost:\r\nX-Empty:\r\nAccept: a,  b\t;c \r\n\r\n");
    PASSES(PUT "Content-Length: 1000\r\nExpect: 100-Continue\r\n\r\n");
    PASSES("POST /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    PASSES("PATCH /a HTTP/1.1\r\nHost: h:1\r\ncontent-length:  7  \r\n\r\n");
}

static void head__what_it_says__is_kept(void **state)
{
    (void)state;
    static const char text[] = "PATCH /api/cache/x HTTP/1.0\r\nContent-Length: 17\r\n\r\nrest";
    struct pc_http_head head;
    size_t used = 0;
    assert_int_equal(
        feed(&head, pc_slice_of(text, sizeof text - 1), 1000, &used), PC_HTTP_HEAD_DONE);
    assert_int_equal(used, sizeof text - 1 - 4);
    assert_int_equal(head.method, EVHTTP_REQ_PATCH);
    assert_int_equal(head.version, 0);
    assert_int_equal(head.content_length, 17);
    assert_int_equal(head.target_len, 12);
    assert_memory_equal(head.target, "/api/cache/x", 12);
}

static void head__request_lines__are_exact(void **state)
{
    (void)state;
    FAILS("\r\nGET /a HTTP/1.1\r\n", REQUEST_LINE);
    FAILS(" GET /a HTTP/1.1\r\n", REQUEST_LINE);
    FAILS("G(T /a HTTP/1.1\r\n", REQUEST_LINE);
    FAILS("GET\t/a HTTP/1.1\r\n", REQUEST_LINE);
    FAILS("GET  /a HTTP/1.1\r\n", TARGET);
    FAILS("GET /a  HTTP/1.1\r\n", REQUEST_LINE);
    FAILS("GET /a\tb HTTP/1.1\r\n", TARGET);
    FAILS("GET /a\r\n", TARGET); /* HTTP/0.9 */
    FAILS("GET /a\n", TARGET);
    FAILS("GET http://h/a HTTP/1.1\r\n", TARGET);
    FAILS("GET //h/a HTTP/1.1\r\n", TARGET);
    FAILS("GET /a#b HTTP/1.1\r\n", TARGET);
    FAILS("GET * HTTP/1.1\r\n", TARGET);
    FAILS("GET /\x7f HTTP/1.1\r\n", TARGET);
    FAILS("GET /\0 HTTP/1.1\r\n", TARGET);
    FAILS("GET /a HTTP/1.9\r\n", VERSION);
    FAILS("GET /a HTTP/2.0\r\n", VERSION);
    FAILS("GET /a HTTP/1.10\r\n", VERSION);
    FAILS("GET /a http/1.1\r\n", VERSION);
    FAILS("GET /a HTTP/1.1 \r\n", REQUEST_LINE);
    FAILS("GET /a HTTP/1.1\n", LINE_END);
    FAILS("GET /a HTTP/1.1\r\r\n", LINE_END);
    FAILS("BREW /a HTTP/1.1\r\n", METHOD);
    FAILS("OPTIONS /a HTTP/1.1\r\n", METHOD);
    FAILS("get /a HTTP/1.1\r\n", METHOD);
    FAILS("AVERYLONGMETHODTHATNOBODYHAS /a HTTP/1.1\r\n", REQUEST_LINE);
}

static void head__fields__are_strict(void **state)
{
    (void)state;
    FAILS(GET "X : 1\r\n", HEADER_SPACE);
    FAILS(GET "X\t: 1\r\n", HEADER_SPACE);
    FAILS(GET ": 1\r\n", HEADER_NAME);
    FAILS(GET "X\r\n", HEADER_NAME);
    FAILS(GET "X(: 1\r\n", HEADER_NAME);
    FAILS(GET "X: 1\r\n folded\r\n", HEADER_FOLD);
    FAILS(GET "X: 1\r\n\tfolded\r\n", HEADER_FOLD);
    FAILS(GET "X: 1\n\r\n", LINE_END);
    FAILS(GET "X: 1\r\n\n", LINE_END);
    FAILS(GET "X: 1\rY: 2\r\n", LINE_END);
    FAILS(GET "X: a\0b\r\n", HEADER_VALUE);
    FAILS(GET "X: a\x1b\r\n", HEADER_VALUE);
    FAILS(GET "A:1\r\nB:1\r\nC:1\r\nD:1\r\nE:1\r\nF:1\r\n", HEADERS_MANY);
    PASSES(GET "A:1\r\nB:1\r\nC:1\r\nD:1\r\nE:1\r\n\r\n");
}

static void head__hosts__exactly_one(void **state)
{
    (void)state;
    FAILS("GET /a HTTP/1.1\r\n\r\n", HOST);
    FAILS(GET "Host: h\r\n", HOST);
    FAILS("GET /a HTTP/1.0\r\nHost: a\r\nHost: b\r\n", HOST);
    FAILS("GET /a HTTP/1.1\r\nHost: a b\r\n", HOST);
}

static void head__lengths__once_and_digits_only(void **state)
{
    (void)state;
    FAILS(PUT "Content-Length: 3\r\nContent-Length: 3\r\n", LENGTH);
    FAILS(PUT "Content-Length: 3\r\nContent-Length: 4\r\n", LENGTH);
    FAILS(PUT "Content-Length: +3\r\n", LENGTH);
    FAILS(PUT "Content-Length: -3\r\n", LENGTH);
    FAILS(PUT "Content-Length: 0x3\r\n", LENGTH);
    FAILS(PUT "Content-Length: 3, 3\r\n", LENGTH);
    FAILS(PUT "Content-Length: 3 3\r\n", LENGTH);
    FAILS(PUT "Content-Length:\t3\r\n", LENGTH);
    FAILS(PUT "Content-Length:\r\n", LENGTH);
    FAILS(PUT "Content-Length: 99999999999999999999\r\n", LENGTH);
    FAILS(PUT "Content-Length: 1001\r\n\r\n", BODY_LARGE);
    FAILS(PUT "Content-Length : 3\r\n", HEADER_SPACE);
    FAILS(PUT "\r\n", LENGTH_MISSING);
    FAILS("POST /a HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", LENGTH_MISSING);
    FAILS("POST /a HTTP/1.1\r\nHost: h\r\nConnection:\tclose\r\n\r\n", LENGTH_MISSING);
    FAILS(GET "Content-Length: 1\r\n\r\n", BODY_UNEXPECTED);
    FAILS("DELETE /a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n", BODY_UNEXPECTED);
}

static void head__transfer_encodings__are_refused(void **state)
{
    (void)state;
    FAILS(PUT "Transfer-Encoding: chunked\r\n", TRANSFER_ENCODING);
    FAILS(PUT "transfer-encoding: identity\r\n", TRANSFER_ENCODING);
    FAILS(PUT "Content-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n", TRANSFER_ENCODING);
    FAILS(GET "Transfer-Encoding:\r\n", TRANSFER_ENCODING);
}

static void head__expectations__only_continue(void **state)
{
    (void)state;
    FAILS(PUT "Expect: 200-ok\r\n", EXPECT);
    FAILS(PUT "Expect: 100-continue, x\r\n", EXPECT);
    FAILS(PUT "Expect:\t100-continue\r\n", EXPECT);
    FAILS(PUT "Expect:\r\n", EXPECT);
}

static void head__limits__hold_at_the_byte(void **state)
{
    (void)state;
    char text[600];
    static const char as[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    int len = snprintf(text, sizeof text, "GET /%.63s HTTP/1.1\r\nHost: h\r\n\r\n", as);
    expect(text, (size_t)len, PC_HTTP_FAULT_NONE);
    len = snprintf(text, sizeof text, "GET /%.64s HTTP/1.1\r\nHost: h\r\n\r\n", as);
    expect(text, (size_t)len, PC_HTTP_FAULT_TARGET_LONG);
    for (int over = 0; over <= 1; over++) {
        len = snprintf(text, sizeof text, GET "X: %0*d\r\n\r\n",
            (int)(limits.head_bytes_max - (sizeof GET - 1) - 7) + over, 0);
        assert_int_equal(len, limits.head_bytes_max + (size_t)over);
        expect(text, (size_t)len, over ? PC_HTTP_FAULT_HEAD_LARGE : PC_HTTP_FAULT_NONE);
    }
}

/* Any bytes at all: no verdict but the three, and none that depends on the cut. */
static void head__random_bytes__give_the_same_verdict_for_every_cut(void **state)
{
    (void)state;
    static const char pieces[] =
        "GET PUT /a:? HTTP/1.1\r\n\r\nHost: h\r\nContent-Length: 5\r\n\t\0\xff";
    uint64_t seed = 12345;
    for (int round = 0; round < 3000; round++) {
        uint8_t text[80];
        for (size_t i = 0; i < sizeof text; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            size_t from = (size_t)(seed >> 33) % (sizeof pieces - 1);
            text[i] = i > 0 && (seed >> 20) % 8 != 0 ? text[i - 1] : (uint8_t)pieces[from];
            if (i < 16 && (seed >> 50) % 16 != 0) {
                text[i] = (uint8_t)pieces[i];
            }
        }
        struct pc_http_head whole, split;
        size_t used_whole = 0, used_split = 0;
        struct pc_slice bytes = pc_slice_of(text, sizeof text);
        enum pc_http_head_result result = feed(&whole, bytes, sizeof text, &used_whole);
        assert_int_equal(feed(&split, bytes, 1 + seed % 7, &used_split), result);
        assert_int_equal(split.fault, whole.fault);
        assert_int_equal(split.bytes, whole.bytes);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(head__ordinary_requests__pass),
    PC_TEST(head__what_it_says__is_kept),
    PC_TEST(head__request_lines__are_exact),
    PC_TEST(head__fields__are_strict),
    PC_TEST(head__hosts__exactly_one),
    PC_TEST(head__lengths__once_and_digits_only),
    PC_TEST(head__transfer_encodings__are_refused),
    PC_TEST(head__expectations__only_continue),
    PC_TEST(head__limits__hold_at_the_byte),
    PC_TEST(head__random_bytes__give_the_same_verdict_for_every_cut),
};
PC_TEST_MAIN("http_head", tests)
