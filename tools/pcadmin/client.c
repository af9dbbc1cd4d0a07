#define _POSIX_C_SOURCE 200809L
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "pcache/limits.h"

/* Reaching a node that is up takes milliseconds; the next endpoint is not to wait for long. */
#define CONNECT_MS_MAX 2000

struct deadline {
    struct timespec at;
};

static struct deadline deadline_in(uint64_t ms)
{
    struct deadline deadline;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline.at);
    deadline.at.tv_sec += (time_t)(ms / 1000);
    deadline.at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (deadline.at.tv_nsec >= 1000000000) {
        deadline.at.tv_sec++;
        deadline.at.tv_nsec -= 1000000000;
    }
    return deadline;
}

static int ms_left(const struct deadline *deadline)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    long long ms = (long long)(deadline->at.tv_sec - now.tv_sec) * 1000 +
                   (deadline->at.tv_nsec - now.tv_nsec) / 1000000;
    return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

/* Waits until the socket is readable or writable. False at the deadline. */
static bool wait_for(int fd, short events, const struct deadline *deadline)
{
    struct pollfd item = {.fd = fd, .events = events};
    int ready;
    do {
        ready = poll(&item, 1, ms_left(deadline));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* ---- connecting */
static int connect_one(const struct addrinfo *info, const struct deadline *deadline, int *why)
{
    int fd = socket(info->ai_family, info->ai_socktype, info->ai_protocol);
    if (fd < 0) {
        *why = errno;
        return -1;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    int rc = connect(fd, info->ai_addr, info->ai_addrlen);
    *why = rc == 0 ? 0 : errno;
    if (rc != 0 && errno == EINPROGRESS) {
        socklen_t len = sizeof *why;
        *why = ETIMEDOUT;
        if (wait_for(fd, POLLOUT, deadline)) {
            (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, why, &len);
        }
    }
    if (*why != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static bool split_endpoint(
    const char *endpoint, char host[ENDPOINT_BYTES_MAX + 1], const char **port)
{
    const char *colon = strrchr(endpoint, ':');
    size_t len = colon != NULL ? (size_t)(colon - endpoint) : 0;
    if (len == 0 || len > ENDPOINT_BYTES_MAX || colon[1] == '\0') {
        return false;
    }
    if (endpoint[0] == '[' && endpoint[len - 1] == ']') {
        endpoint++;
        len -= 2;
    }
    memcpy(host, endpoint, len);
    host[len] = '\0';
    *port = colon + 1;
    return true;
}

static int connect_to(const char *endpoint, const struct deadline *deadline, struct pc_error *error)
{
    char host[ENDPOINT_BYTES_MAX + 1];
    const char *port;
    if (!split_endpoint(endpoint, host, &port)) {
        (void)pc_error_set(error, PC_E_INVALID, "%.120s: not host:port", endpoint);
        return -1;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, port, &hints, &found);
    if (rc != 0) {
        (void)pc_error_set(error, PC_E_IO, "%.120s: %s", endpoint, gai_strerror(rc));
        return -1;
    }
    int fd = -1, why = 0;
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next) {
        fd = connect_one(info, deadline, &why);
    }
    freeaddrinfo(found);
    if (fd < 0) {
        (void)pc_error_set(error, PC_E_IO, "%.120s: %s", endpoint, strerror(why));
    }
    return fd;
}

bool client_reaches(const char *endpoint, uint64_t timeout_ms)
{
    struct pc_error ignored;
    struct deadline deadline = deadline_in(timeout_ms);
    int fd = connect_to(endpoint, &deadline, &ignored);
    if (fd >= 0) {
        (void)close(fd);
    }
    return fd >= 0;
}

/* ---- talking */
static void write_head(const char *endpoint, const struct request *request, struct pc_buf *out)
{
    char length[64];
    const char *const parts[] = {request->method, " ", request->target,
        " HTTP/1.1\r\nHost: ", endpoint, "\r\nUser-Agent: pcadmin\r\nConnection: close\r\n"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        pc_buf_append(out, parts[i], strlen(parts[i]));
    }
    if (request->content_type != NULL) {
        pc_buf_append(out, "Content-Type: ", 14);
        pc_buf_append(out, request->content_type, strlen(request->content_type));
        pc_buf_append(out, "\r\n", 2);
    }
    if (request->condition != NULL) {
        pc_buf_append(out, request->condition, strlen(request->condition));
        pc_buf_append(out, "\r\n", 2);
    }
    if (request->has_body) {
        int len = snprintf(length, sizeof length, "Content-Length: %zu\r\n", request->body.len);
        pc_buf_append(out, length, (size_t)len);
    }
    pc_buf_append(out, "\r\n", 2);
}

/* A server that refuses a body may answer and close before it has read it all: then what it said is
 * worth more than the failed send. */
static bool send_all(int fd, struct pc_slice bytes, const struct deadline *deadline)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes = pc_slice_of(bytes.data + sent, bytes.len - (size_t)sent);
        } else if (errno == EAGAIN || errno == EINTR) {
            if (!wait_for(fd, POLLOUT, deadline)) {
                return false;
            }
        } else {
            return errno == EPIPE || errno == ECONNRESET;
        }
    }
    return true;
}

static enum client_result result_of(pc_err err)
{
    return err == PC_OK ? CLIENT_OK : err == PC_E_CLOSED ? CLIENT_LOST : CLIENT_GARBLED;
}

static enum client_result fail_with(pc_err err, struct pc_error *error)
{
    (void)pc_error_set(error, err,
        err == PC_E_CLOSED ? "the connection ended before the answer" : "not an answer of pcached");
    return result_of(err);
}

/* Adds what comes next to the response; *ended: nothing comes any more. False at the deadline. */
static bool receive_more(int fd, const struct deadline *deadline, struct response *response,
    bool *ended, struct pc_error *error)
{
    ssize_t got = -1;
    do {
        if (!wait_for(fd, POLLIN, deadline)) {
            (void)pc_error_set(error, PC_E_AGAIN, "no answer in time");
            return false;
        }
        pc_buf_reserve(&response->bytes, 65536);
        got = recv(fd, response->bytes.data + response->bytes.len, 65536, 0);
    } while (got < 0 && (errno == EAGAIN || errno == EINTR));
    response->bytes.len += got > 0 ? (size_t)got : 0;
    *ended = got <= 0;
    return true;
}

static enum client_result receive(
    int fd, const struct deadline *deadline, struct response *response, struct pc_error *error)
{
    bool ended = false;
    pc_err err = response_parse(response, ended); /* some of it may be there */
    while (err == PC_E_AGAIN) {
        if (!receive_more(fd, deadline, response, &ended, error)) {
            return CLIENT_TIMEOUT;
        }
        err = response_parse(response, ended);
    }
    return err == PC_OK ? CLIENT_OK : fail_with(err, error);
}

/* Connects and sends; *fd is open on CLIENT_OK. */
static enum client_result send_request(const char *endpoint, uint64_t timeout_ms,
    const struct request *request, int *fd, struct pc_error *error)
{
    struct deadline whole = deadline_in(timeout_ms);
    struct deadline connecting =
        deadline_in(timeout_ms < CONNECT_MS_MAX ? timeout_ms : CONNECT_MS_MAX);
    *fd = connect_to(endpoint, &connecting, error);
    if (*fd < 0) {
        return CLIENT_UNREACHABLE;
    }
    struct pc_buf out = {0};
    write_head(endpoint, request, &out);
    pc_buf_append(&out, request->body.data, request->body.len);
    bool is_sent = send_all(*fd, pc_slice_of(out.data, out.len), &whole);
    pc_buf_destroy(&out);
    if (!is_sent) {
        (void)pc_error_set(error, PC_E_AGAIN, "the request could not be sent in time");
        (void)pc_error_wrap(error, "%.120s", endpoint);
        (void)close(*fd);
        return CLIENT_TIMEOUT;
    }
    return CLIENT_OK;
}

enum client_result client_call(const char *endpoint, uint64_t timeout_ms,
    const struct request *request, struct response *response, struct pc_error *error)
{
    *response = (struct response){0};
    struct deadline whole = deadline_in(timeout_ms);
    int fd;
    enum client_result result = send_request(endpoint, timeout_ms, request, &fd, error);
    if (result != CLIENT_OK) {
        return result;
    }
    result = receive(fd, &whole, response, error);
    if (result != CLIENT_OK) {
        (void)pc_error_wrap(error, "%.120s", endpoint);
    }
    (void)close(fd);
    return result;
}

/* ---- long answers */
static enum client_result sink_body(int fd, uint64_t timeout_ms, const struct client_sink *sink,
    struct pc_slice rest, uint64_t length, struct response *response, struct pc_error *error)
{
    uint64_t left = length;
    bool ended = false;
    while (true) {
        struct pc_slice bytes = rest.len < left ? rest : pc_slice_of(rest.data, (size_t)left);
        if (bytes.len > 0 && !sink->take(sink->arg, bytes, length, error)) {
            return CLIENT_REFUSED;
        }
        left -= bytes.len;
        if (left == 0) {
            return CLIENT_OK;
        }
        if (ended) {
            (void)pc_error_set(error, PC_E_CLOSED,
                "the connection ended when %llu of %llu bytes were there",
                (unsigned long long)(length - left), (unsigned long long)length);
            return CLIENT_LOST;
        }
        struct deadline next = deadline_in(timeout_ms);
        response->bytes.len = 0;
        if (!receive_more(fd, &next, response, &ended, error)) {
            return CLIENT_TIMEOUT;
        }
        rest = pc_slice_of(response->bytes.data, response->bytes.len);
    }
}

/* The same of a body in chunks, which says where it ends. */
static enum client_result sink_chunks(int fd, uint64_t timeout_ms, const struct client_sink *sink,
    struct pc_slice rest, struct response *response, struct pc_error *error)
{
    struct client_chunks chunks = {0};
    bool ended = false;
    while (true) {
        struct pc_slice data;
        enum chunks_result result = client_chunks_next(&chunks, &rest, &data);
        if (result == CHUNKS_DATA && !sink->take(sink->arg, data, UINT64_MAX, error)) {
            return CLIENT_REFUSED;
        }
        if (result == CHUNKS_END || result == CHUNKS_BAD) {
            return result == CHUNKS_END ? CLIENT_OK : fail_with(PC_E_MALFORMED, error);
        }
        if (result == CHUNKS_DATA) {
            continue;
        }
        if (ended) {
            (void)pc_error_set(error, PC_E_CLOSED, "the connection ended in the middle");
            return CLIENT_LOST;
        }
        struct deadline next = deadline_in(timeout_ms);
        response->bytes.len = 0;
        if (!receive_more(fd, &next, response, &ended, error)) {
            return CLIENT_TIMEOUT;
        }
        rest = pc_slice_of(response->bytes.data, response->bytes.len);
    }
}

static enum client_result receive_long(int fd, uint64_t timeout_ms, const struct client_sink *sink,
    struct response *response, struct pc_error *error)
{
    struct deadline first = deadline_in(timeout_ms);
    struct pc_slice rest;
    uint64_t length = 0;
    pc_err err = PC_E_AGAIN;
    while (err == PC_E_AGAIN) {
        bool ended;
        if (!receive_more(fd, &first, response, &ended, error)) {
            return CLIENT_TIMEOUT;
        }
        err = response_parse_head(response, ended, &rest, &length);
    }
    if (err != PC_OK) {
        return fail_with(err, error);
    }
    if (response->status == 200 && response->is_chunked) {
        return sink_chunks(fd, timeout_ms, sink, rest, response, error);
    }
    if (response->status == 200 && length != UINT64_MAX) {
        return sink_body(fd, timeout_ms, sink, rest, length, response, error);
    }
    return response->status == 200 ? fail_with(PC_E_MALFORMED, error)
                                   : receive(fd, &first, response, error);
}

enum client_result client_download(const char *endpoint, uint64_t timeout_ms, const char *target,
    const struct client_sink *sink, struct response *response, struct pc_error *error)
{
    struct request request = {.method = "GET", .target = target};
    *response = (struct response){0};
    int fd;
    enum client_result result = send_request(endpoint, timeout_ms, &request, &fd, error);
    if (result != CLIENT_OK) {
        return result;
    }
    result = receive_long(fd, timeout_ms, sink, response, error);
    if (result != CLIENT_OK && result != CLIENT_REFUSED) {
        (void)pc_error_wrap(error, "%.120s", endpoint);
    }
    (void)close(fd);
    return result;
}

void response_destroy(struct response *response)
{
    pc_buf_destroy(&response->bytes);
    *response = (struct response){0};
}
