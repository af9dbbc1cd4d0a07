/* bench_kit.h: what the measuring programs share: a clock, loopback connections, one HTTP answer,
 * and a histogram of latencies. They are clients only: nothing of pcache is linked. */
#ifndef PCACHE_BENCH_KIT_H
#define PCACHE_BENCH_KIT_H

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BENCH_PORTS_MAX 64

_Noreturn static inline void bench_fail(const char *program, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, strerror(errno));
    exit(1);
}

static inline uint64_t bench_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

/* "8001,8002": fills in the ports, returns how many; 0 when the text is not such a list. */
static inline size_t bench_ports_parse(const char *text, uint16_t out[BENCH_PORTS_MAX])
{
    size_t count = 0;
    for (const char *at = text; count < BENCH_PORTS_MAX;) {
        char *end;
        unsigned long port = strtoul(at, &end, 10);
        if (end == at || port == 0 || port > UINT16_MAX || (*end != ',' && *end != '\0')) {
            return 0;
        }
        out[count++] = (uint16_t)port;
        if (*end == '\0') {
            return count;
        }
        at = end + 1;
    }
    return 0;
}

/* Begins to connect to 127.0.0.1:port without blocking; -1 when it was refused at once. */
static inline int bench_dial(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (connect(fd, (const struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* The head of an HTTP answer, and how long the whole answer is. */
struct bench_answer {
    int status;
    bool is_last; /* the server closes the connection after it */
    size_t bytes;
};

static inline const char *bench_header(const char *head, const char *end, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = head; line != NULL && line < end;
         line = memchr(line, '\n', (size_t)(end - line))) {
        line += *line == '\n' ? 1 : 0;
        if ((size_t)(end - line) > len && strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            return line + strspn(line, " ");
        }
    }
    return NULL;
}

/* Is there a whole answer in `in`? It must be followed by a NUL. An answer without Content-Length
 * is taken to have no body. */
static inline bool bench_answer_parse(const char *in, size_t len, struct bench_answer *out)
{
    const char *end = memmem(in, len, "\r\n\r\n", 4);
    if (end == NULL || len < sizeof "HTTP/1.1 200") {
        return false;
    }
    end += 4;
    const char *length = bench_header(in, end, "content-length");
    const char *connection = bench_header(in, end, "connection");
    out->bytes = (size_t)(end - in) + (length != NULL ? strtoul(length, NULL, 10) : 0);
    out->status = (int)strtol(in + sizeof "HTTP/1.1", NULL, 10);
    out->is_last = connection != NULL && strncasecmp(connection, "close", 5) == 0;
    return len >= out->bytes;
}

/* Latencies in microseconds: 32 steps per power of two, so a figure is at most 3 % too high. */
#define BENCH_STEPS 32
struct bench_histogram {
    uint64_t counts[64 * BENCH_STEPS];
    uint64_t n;
    uint64_t max_us;
};

static inline unsigned bench_bucket(uint64_t us)
{
    if (us < 2 * BENCH_STEPS) {
        return (unsigned)us;
    }
    unsigned shift = (unsigned)(63 - __builtin_clzll(us)) - 5;
    return shift * BENCH_STEPS + (unsigned)(us >> shift);
}

static inline void bench_record(struct bench_histogram *h, uint64_t us)
{
    h->counts[bench_bucket(us)]++;
    h->n++;
    h->max_us = us > h->max_us ? us : h->max_us;
}

/* The latency that `permille` of all stay within. */
static inline uint64_t bench_quantile(const struct bench_histogram *h, unsigned permille)
{
    uint64_t rank = (h->n * permille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < 64 * BENCH_STEPS; i++) {
        seen += h->counts[i];
        if (seen >= rank && seen > 0) {
            uint64_t us = i < 2 * BENCH_STEPS ? i
                                              : (uint64_t)(BENCH_STEPS + i % BENCH_STEPS + 1)
                                                    << (i / BENCH_STEPS - 1);
            return us < h->max_us ? us : h->max_us;
        }
    }
    return h->max_us;
}

#endif
