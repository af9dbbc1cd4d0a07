#include "support/test.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/prng.h"
#include "pcadmin/pcadmin_int.h"

static pc_err parse(const char *text, bool ended, struct response *response)
{
    *response = (struct response){0};
    pc_buf_append(&response->bytes, text, strlen(text));
    return response_parse(response, ended);
}

static void response__each_form_of_body__is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *text, *body;
        int status;
        bool ended;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"17\"\r\n\r\nabcXX", "abc", 200, false},
        {"HTTP/1.1 200 OK\r\ncontent-length:\t0\r\netag: \"17\"\r\n\r\n", "", 200, false},
        {"HTTP/1.0 404 Not Found\r\nETag: \"17\"\r\n\r\nup to the end", "up to the end", 404, true},
        {"HTTP/1.1 204 \r\nETag: \"17\"\r\nContent-Length: 9\r\n\r\n", "", 204, false},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nETag: \"17\"\r\n"
         "Content-Length: 1\r\n\r\nx",
            "x", 201, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct response response;
        assert_ok(parse(cases[i].text, cases[i].ended, &response));
        assert_int_equal(response.status, cases[i].status);
        assert_true(pc_slice_equal(response.body, pc_slice_str(cases[i].body)));
        assert_int_equal(etag_version(response.etag), 17);
        response_destroy(&response);
    }
}

static void response__every_prefix__asks_for_more_or_is_cut_short(void **state)
{
    (void)state;
    static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\n\r\nhello";
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        char part[sizeof whole] = {0};
        memcpy(part, whole, len);
        struct response response;
        assert_int_equal(parse(part, false, &response), PC_E_AGAIN);
        response_destroy(&response);
        assert_int_equal(parse(part, true, &response), PC_E_CLOSED);
        response_destroy(&response);
    }
}

/* Of a long answer the head is taken alone: what it announces, and what has come behind it. */
static void response__head_of_a_long_one__is_taken_without_its_body(void **state)
{
    (void)state;
    static const struct {
        const char *text, *rest;
        uint64_t length;
    } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc", "abc", 99999999999},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 0},
        {"HTTP/1.1 200 OK\r\n\r\nabc", "abc", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct response response = {0};
        struct pc_slice rest;
        uint64_t length;
        pc_buf_append(&response.bytes, cases[i].text, strlen(cases[i].text));
        assert_ok(response_parse_head(&response, false, &rest, &length));
        assert_int_equal(response.status, 200);
        assert_true(pc_slice_equal(rest, pc_slice_str(cases[i].rest)));
        assert_true(length == cases[i].length);
        response.bytes.len = 18; /* within the head */
        assert_int_equal(response_parse_head(&response, false, &rest, &length), PC_E_AGAIN);
        assert_int_equal(response_parse_head(&response, true, &rest, &length), PC_E_CLOSED);
        response_destroy(&response);
    }
}

static void response__page_of_the_log__says_what_follows(void **state)
{
    (void)state;
    struct response response;
    assert_ok(parse(
        "HTTP/1.1 200 OK\r\nX-PC-Next: 88214\r\nContent-Length: 2\r\n\r\n{}", false, &response));
    assert_int_equal(response.next, 88214);
    response_destroy(&response);
    assert_ok(parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, &response));
    assert_int_equal(response.next, 0);
    response_destroy(&response);
}

static void response__not_http_as_we_know_it__is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        pc_err err;
    } cases[] = {
        {"SSH-2.0-OpenSSH\r\n\r\n", PC_E_MALFORMED},
        {"HTTP/1.1 2x0 OK\r\n\r\n", PC_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", PC_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", PC_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", PC_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nX-PC-Next: x\r\nContent-Length: 0\r\n\r\n", PC_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", PC_E_MALFORMED},
        {"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", PC_E_TOO_BIG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct response response;
        assert_int_equal(parse(cases[i].text, true, &response), cases[i].err);
        response_destroy(&response);
    }
}

static void response__random_bytes__never_harm(void **state)
{
    (void)state;
    struct pc_prng prng;
    pc_prng_seed(&prng, 3);
    static const char seed[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"12\"\r\n\r\nhelloHTTP/1.1 100\r\n\r\n";
    for (int round = 0; round < 20000; round++) {
        struct response response = {0};
        pc_buf_append(&response.bytes, seed, pc_prng_between(&prng, 1, sizeof seed - 1));
        for (uint64_t n = pc_prng_below(&prng, 6); n > 0; n--) {
            static const char bytes[] = "\r\n: 0129H/.\0\xff";
            response.bytes.data[pc_prng_below(&prng, response.bytes.len)] =
                (uint8_t)bytes[pc_prng_below(&prng, sizeof bytes - 1)];
        }
        pc_err err = response_parse(&response, pc_prng_chance(&prng, 500000));
        assert_true(err == PC_OK || err == PC_E_AGAIN || err == PC_E_CLOSED ||
                    err == PC_E_MALFORMED || err == PC_E_TOO_BIG);
        if (err == PC_OK) {
            assert_true(response.body.len <= response.bytes.len);
        }
        response_destroy(&response);
    }
}

static void key__any_bytes__become_one_path_segment(void **state)
{
    (void)state;
    struct args args = {.positionals = {"a b/c?\xff~%"}, .ttl = "5s"};
    struct pc_buf target = {0};
    kv_target(&args, &target);
    assert_string_equal((char *)target.data, "/v1/kv/a%20b%2Fc%3F%FF~%25?ttl=5s");
    pc_buf_destroy(&target);
    args = (struct args){.positionals = {"k"}, .local = true};
    kv_target(&args, &target);
    assert_string_equal((char *)target.data, "/v1/kv/k?consistency=local");
    pc_buf_destroy(&target);
}

/* A port where nobody listens: bound, so that nobody else gets it, and closed to connections. */
static int closed_port(char endpoint[32])
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(endpoint, 32, "127.0.0.1:%u", ntohs(address.sin_port));
    return fd;
}

static void call__nobody_listens__is_unreachable(void **state)
{
    (void)state;
    char endpoint[32];
    int fd = closed_port(endpoint);
    const struct request request = {.method = "GET", .target = "/livez"};
    struct response response;
    struct pc_error error;
    assert_int_equal(client_call(endpoint, 1000, &request, &response, &error), CLIENT_UNREACHABLE);
    assert_non_null(strstr(error.text, "Connection refused"));
    response_destroy(&response);
    (void)close(fd);
}

static void call__listener_that_never_answers__times_out(void **state)
{
    (void)state;
    char endpoint[32];
    int fd = closed_port(endpoint);
    assert_int_equal(listen(fd, 4), 0);
    const struct request request = {.method = "GET", .target = "/livez"};
    struct response response;
    struct pc_error error;
    assert_int_equal(client_call(endpoint, 50, &request, &response, &error), CLIENT_TIMEOUT);
    response_destroy(&response);
    (void)close(fd);
}

static void status__of_http__becomes_the_documented_exit_status(void **state)
{
    (void)state;
    static const int pairs[][2] = {{200, EXIT_YES}, {202, EXIT_YES}, {204, EXIT_YES},
        {404, EXIT_NO}, {409, EXIT_NO}, {413, EXIT_NO}, {507, EXIT_NO}, {401, EXIT_AUTH},
        {403, EXIT_AUTH}, {503, EXIT_TIMEOUT}, {504, EXIT_TIMEOUT}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        assert_int_equal(exit_of_status(pairs[i][0]), pairs[i][1]);
    }
    assert_int_equal(exit_of_result(CLIENT_UNREACHABLE), 3);
    assert_int_equal(exit_of_result(CLIENT_TIMEOUT), 5);
    assert_int_equal(exit_of_result(CLIENT_LOST), 5);
    assert_int_equal(exit_of_result(CLIENT_GARBLED), 7);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(response__each_form_of_body__is_taken),
    PC_TEST(response__every_prefix__asks_for_more_or_is_cut_short),
    PC_TEST(response__head_of_a_long_one__is_taken_without_its_body),
    PC_TEST(response__page_of_the_log__says_what_follows),
    PC_TEST(response__not_http_as_we_know_it__is_refused),
    PC_TEST(response__random_bytes__never_harm),
    PC_TEST(key__any_bytes__become_one_path_segment),
    PC_TEST(call__nobody_listens__is_unreachable),
    PC_TEST(call__listener_that_never_answers__times_out),
    PC_TEST(status__of_http__becomes_the_documented_exit_status),
};
PC_TEST_MAIN("client", tests)
