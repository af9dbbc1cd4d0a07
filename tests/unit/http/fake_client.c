#define _GNU_SOURCE
#include "fake_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/os.h"
#include "support/test.h"

void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    bench->base = event_base_new();
    assert_non_null(bench->base);
    fake_node_open(&bench->node, bench->base);
    pc_http_opts_default(&bench->opts);
    bench->opts.base = bench->base;
    bench->opts.listen = "127.0.0.1:0";
    bench->opts.version = "1.0.0";
    bench->opts.fsync_mode = "always";
    bench->opts.ops = fake_node_ops(&bench->node);
    pc_log_setup(PC_LOG_ERROR, PC_LOG_LOGFMT, "node1");
}

void bench_open(struct bench *bench)
{
    struct pc_error error;
    assert_ok(pc_http_open(&bench->opts, &bench->http, &error));
    bench->node.http = bench->http;
    assert_int_not_equal(pc_http_port(bench->http), 0);
}

void bench_close(struct bench *bench)
{
    pc_http_close(bench->http);
    fake_node_close(&bench->node);
    /* libevent frees bufferevents in the loop's next turn. */
    (void)event_base_loop(bench->base, EVLOOP_NONBLOCK);
    event_base_free(bench->base);
}

void bench_turn(struct bench *bench)
{
    (void)event_base_loop(bench->base, EVLOOP_NONBLOCK);
    pc_http_turn(bench->http);
}

void client_open(struct bench *bench, struct client *client)
{
    *client = (struct client){.bench = bench};
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(client->fd >= 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
        .sin_port = htons(pc_http_port(bench->http)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(client->fd, (struct sockaddr *)&to, sizeof to), 0);
}

static void check_no_html(const struct client *client)
{
    for (size_t i = 0; i + 5 <= client->in.len; i++) {
        assert_int_not_equal(strncasecmp((const char *)client->in.data + i, "<html", 5), 0);
    }
}

void client_close(struct client *client)
{
    check_no_html(client);
    pc_buf_destroy(&client->in);
    (void)close(client->fd);
}

static void client_receive(struct client *client)
{
    char bytes[65536];
    while (!client->closed) {
        ssize_t n = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            return;
        }
        client->closed = n <= 0;
        pc_buf_append(&client->in, bytes, n > 0 ? (size_t)n : 0);
    }
}

void client_wait(struct client *client)
{
    bench_turn(client->bench);
    struct pollfd poll_fd = {.fd = client->fd, .events = POLLIN};
    (void)poll(&poll_fd, 1, 1);
    client_receive(client);
}

bool client_send(struct client *client, const void *bytes, size_t len)
{
    const char *at = bytes;
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), 20000);
    while (len > 0) {
        assert_false(pc_instant_is_due(end, pc_clock_now()));
        ssize_t n = send(client->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
            return false;
        }
        at += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        bench_turn(client->bench);
    }
    return true;
}

void client_text(struct client *client, const char *text)
{
    assert_true(client_send(client, text, strlen(text)));
}

/* Takes one answer out of what has come. False when it is not whole yet. */
static bool take_answer(struct client *client, struct answer *answer, bool head_only)
{
    const char *in = (const char *)client->in.data;
    const char *end = client->in.len > 0 ? memmem(in, client->in.len, "\r\n\r\n", 4) : NULL;
    if (end == NULL) {
        return false;
    }
    size_t head_len = (size_t)(end - in) + 4;
    assert_true(head_len < sizeof answer->head);
    *answer = (struct answer){0};
    memcpy(answer->head, in, head_len);
    assert_int_equal(sscanf(answer->head, "HTTP/1.%*d %d", &answer->status), 1);
    if (answer->status == 100) {
        head_only = true;
    }
    const char *length = answer_header(answer, "Content-Length");
    assert_true(
        length != NULL || answer->status == 204 || answer->status == 304 || answer->status == 100);
    size_t body_len = length == NULL || head_only ? 0 : (size_t)strtoull(length, NULL, 10);
    if (client->in.len < head_len + body_len) {
        return false;
    }
    pc_buf_append(&answer->body, client->in.data + head_len, body_len);
    check_no_html(client);
    client->in.len -= head_len + body_len;
    memmove(client->in.data, client->in.data + head_len + body_len, client->in.len);
    return true;
}

void client_answer(struct client *client, struct answer *answer, bool head_only)
{
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), 20000);
    while (!take_answer(client, answer, head_only)) {
        assert_false(client->closed);
        assert_false(pc_instant_is_due(end, pc_clock_now()));
        client_wait(client);
    }
}

void client_await_close(struct client *client)
{
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), 20000);
    while (!client->closed) {
        assert_false(pc_instant_is_due(end, pc_clock_now()));
        client_wait(client);
    }
}

void ask(struct bench *bench, struct answer *answer, const char *format, ...)
{
    char request[32768];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(request, sizeof request, format, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof request);
    struct client client;
    client_open(bench, &client);
    (void)client_send(&client, request, (size_t)len);
    client_answer(&client, answer, strncmp(request, "HEAD ", 5) == 0);
    client_close(&client);
}

void answer_destroy(struct answer *answer)
{
    pc_buf_destroy(&answer->body);
}

const char *answer_header(const struct answer *answer, const char *name)
{
    static char value[512];
    size_t len = strlen(name);
    for (const char *line = answer->head; line != NULL; line = strstr(line, "\r\n")) {
        line += strncmp(line, "\r\n", 2) == 0 ? 2 : 0;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *end = strstr(line, "\r\n");
            const char *begin = line + len + 2;
            size_t n = (size_t)(end - begin);
            assert_true(n < sizeof value);
            memcpy(value, begin, n);
            value[n] = '\0';
            return value;
        }
    }
    return NULL;
}

const char *answer_text(struct answer *answer)
{
    pc_buf_reserve(&answer->body, 1);
    answer->body.data[answer->body.len] = '\0';
    return (const char *)answer->body.data;
}
