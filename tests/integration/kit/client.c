/* The outcome of a request is what load threads reason with, so the client is exact about it: a
 * refused connection is IT_NOT_SENT, everything that broke behind the first byte sent IT_NO_ANSWER.
 * A kept connection may have been closed by the server in the meantime; whether it has is looked at
 * before anything is sent on it. */
#define _GNU_SOURCE
#include "integration/kit/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "integration/kit/clock.h"
#include "pcache/assert.h"

#define HEAD_MAX 9000

void it_client_open(struct it_client *c, uint16_t port, int timeout_ms)
{
    *c = (struct it_client){.host = "localhost",
        .port = port,
        .timeout_ms = timeout_ms,
        .fd = -1,
        .address = htonl(INADDR_LOOPBACK),
        .head = "",
        .body = ""};
}

bool it_client_open_at(struct it_client *c, const char *host, uint16_t port, int timeout_ms)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    it_client_open(c, port, timeout_ms);
    int used = snprintf(c->host, sizeof c->host, "%s", host);
    if (used <= 0 || (size_t)used >= sizeof c->host ||
        getaddrinfo(host, NULL, &hints, &found) != 0) {
        return false;
    }
    struct sockaddr_in in;
    memcpy(&in, found->ai_addr, sizeof in);
    c->address = in.sin_addr.s_addr;
    freeaddrinfo(found);
    return true;
}

void it_client_hang_up(struct it_client *c)
{
    if (c->fd >= 0) {
        close(c->fd);
        c->fd = -1;
    }
}

void it_client_close(struct it_client *c)
{
    it_client_hang_up(c);
    free(c->in);
    *c = (struct it_client){.fd = -1, .head = "", .body = ""};
}

static bool wait_for(int fd, short events, uint64_t until)
{
    for (;;) {
        uint64_t now = it_now_ms();
        struct pollfd poll_fd = {.fd = fd, .events = events};
        int n = now < until ? poll(&poll_fd, 1, (int)(until - now)) : 0;
        if (n > 0 || (n == 0 && now >= until)) {
            return n > 0;
        }
    }
}

/* A connection that the server has closed, or spoken on unasked, is of no use any more. */
static bool is_stale(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got >= 0 || errno != EAGAIN;
}

static bool client_connect(struct it_client *c, uint64_t until)
{
    if (c->fd >= 0 && !is_stale(c->fd)) {
        return true;
    }
    uint64_t connect_until = it_now_ms() + (uint64_t)c->connect_ms;
    until = c->connect_ms != 0 && connect_until < until ? connect_until : until;
    it_client_hang_up(c);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(c->port), .sin_addr.s_addr = c->address};
    int on = 1, failure = 0;
    socklen_t len = sizeof failure;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if ((connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) ||
        !wait_for(fd, POLLOUT, until) ||
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &len) != 0 || failure != 0) {
        close(fd);
        return false;
    }
    c->fd = fd;
    c->connects_n++;
    return true;
}

static bool send_all(int fd, const void *bytes, size_t len, uint64_t until)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent > 0) {
            at += sent;
            len -= (size_t)sent;
        } else if (errno != EAGAIN || !wait_for(fd, POLLOUT, until)) {
            return false;
        }
    }
    return true;
}

bool it_client_send(struct it_client *c, const char *method, const char *target,
    const char *headers, const void *body, size_t body_len)
{
    uint64_t until = it_now_ms() + (uint64_t)c->timeout_ms;
    c->status = IT_NOT_SENT;
    c->head = c->body = "";
    c->body_len = c->in_len = 0;
    if (!client_connect(c, until)) {
        return false;
    }
    char head[HEAD_MAX];
    char length[48] = "";
    if (body != NULL) {
        (void)snprintf(length, sizeof length, "Content-Length: %zu\r\n", body_len);
    }
    int used = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: %s:%u\r\n%s%s\r\n", method,
        target, c->host, c->port, length, headers != NULL ? headers : "");
    PC_ASSERT(used > 0 && (size_t)used < sizeof head);
    c->status = IT_NO_ANSWER;
    /* A server may answer and close before it has the whole body: the answer counts. */
    return send_all(c->fd, head, (size_t)used, until) && send_all(c->fd, body, body_len, until);
}

static bool receive_more(struct it_client *c, uint64_t until)
{
    if (c->in_cap - c->in_len < 4096) {
        c->in_cap = c->in_cap * 2 + 16384;
        c->in = realloc(c->in, c->in_cap);
        PC_ASSERT(c->in != NULL);
    }
    for (;;) {
        ssize_t got = recv(c->fd, c->in + c->in_len, c->in_cap - c->in_len - 1, 0);
        if (got > 0) {
            c->in_len += (size_t)got;
            c->in[c->in_len] = '\0';
            return true;
        }
        if (got == 0 || errno != EAGAIN || !wait_for(c->fd, POLLIN, until)) {
            return false;
        }
    }
}

const char *it_client_header(const struct it_client *c, const char *name, char *out, size_t max)
{
    size_t len = strlen(name);
    out[0] = '\0';
    for (const char *line = strstr(c->head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1 + strspn(line + len + 1, " ");
            (void)snprintf(out, max, "%.*s", (int)strcspn(value, "\r"), value);
            break;
        }
    }
    return out;
}

static bool receive_answer(struct it_client *c, bool is_head, uint64_t until)
{
    char *end = NULL;
    while (c->in_len == 0 || (end = strstr(c->in, "\r\n\r\n")) == NULL) {
        if (!receive_more(c, until)) {
            return false;
        }
    }
    end[2] = '\0'; /* the head ends with its last line */
    size_t head_len = (size_t)(end - c->in) + 4;
    char value[64];
    c->head = c->in;
    long status = strtol(c->in + strlen("HTTP/1.1 "), NULL, 10);
    size_t body_len = strtoul(it_client_header(c, "Content-Length", value, sizeof value), NULL, 10);
    body_len = is_head || status == 204 || status == 304 ? 0 : body_len;
    while (c->in_len < head_len + body_len) {
        if (!receive_more(c, until)) {
            c->head = "";
            return false;
        }
    }
    c->in[head_len + body_len] = '\0';
    c->head = c->in;
    c->body = c->in + head_len;
    c->body_len = body_len;
    c->status = (int)status;
    if (strcasecmp(it_client_header(c, "Connection", value, sizeof value), "close") == 0) {
        it_client_hang_up(c);
    }
    return true;
}

int it_client_receive(struct it_client *c, bool is_head)
{
    if (c->fd < 0 || !receive_answer(c, is_head, it_now_ms() + (uint64_t)c->timeout_ms)) {
        it_client_hang_up(c);
        c->head = c->body = "";
        c->body_len = 0;
    }
    return c->status;
}

int it_client_call(struct it_client *c, const char *method, const char *target, const char *headers,
    const void *body, size_t body_len)
{
    if (!it_client_send(c, method, target, headers, body, body_len) && c->status == IT_NOT_SENT) {
        return IT_NOT_SENT;
    }
    return it_client_receive(c, strcmp(method, "HEAD") == 0);
}
