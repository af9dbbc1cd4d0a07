/* crowd: clients that are up to no good, in large numbers, until SIGTERM.
 *
 *   crowd [-i IDLE] [-s SLOW] [-b BIG] ADDRESS:PORT...
 *
 * IDLE connections say nothing. SLOW ones send a request's head, a byte every 250 ms. BIG ones
 * announce a body of 1 GiB and send it for as long as somebody takes it. Spread over the servers in
 * turn; a connection that is closed is made anew, not more often than every 200 ms. Prints how many
 * were open at once at most, how often one was made, closed by the server or refused, per kind. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS_MAX 8192
#define SERVERS_MAX 8
#define SLOW_MS 250
#define AGAIN_MS 200

enum kind { IDLE, SLOW, BIG, KINDS_N };
static const char *const kind_names[KINDS_N] = {"idle", "slow", "big"};

static const char slow_head[] = "GET /v1/kv/slow HTTP/1.1\r\nHost: slow\r\nX-Slow: ";
static const char big_head[] =
    "PUT /v1/kv/big HTTP/1.1\r\nHost: big\r\nContent-Length: 1073741824\r\n\r\n";

struct conn {
    enum kind kind;
    int fd; /* -1 = none now */
    bool connected;
    size_t sent;
    uint64_t next_ms; /* when to do something by itself */
};

struct figures {
    uint64_t made, closed, refused, open, open_max;
};

static struct {
    struct sockaddr_in server[SERVERS_MAX];
    size_t servers_n, conns_n;
    struct conn conn[CONNS_MAX];
    struct pollfd poll[CONNS_MAX];
    struct figures figures[KINDS_N];
} crowd;

static volatile sig_atomic_t stopped;

static void stop(int number)
{
    (void)number;
    stopped = 1;
}

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void conn_close(struct conn *c, uint64_t now)
{
    struct figures *f = &crowd.figures[c->kind];
    if (c->connected) {
        f->closed++;
        f->open--;
    } else {
        f->refused++;
    }
    (void)close(c->fd);
    c->fd = -1;
    c->next_ms = now + AGAIN_MS;
}

static void conn_open(struct conn *c, size_t number, uint64_t now)
{
    const struct sockaddr_in *server = &crowd.server[number % crowd.servers_n];
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->connected = false;
    c->sent = 0;
    c->next_ms = UINT64_MAX;
    if (c->fd < 0) {
        c->next_ms = now + AGAIN_MS;
    } else if (connect(c->fd, (const struct sockaddr *)server, sizeof *server) != 0 &&
               errno != EINPROGRESS) {
        conn_close(c, now);
    }
}

static bool conn_write(struct conn *c, const char *bytes, size_t len)
{
    ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) {
        c->sent += (size_t)n;
    }
    return n > 0 || errno == EAGAIN;
}

static bool speak_slowly(struct conn *c, uint64_t now)
{
    if (now < c->next_ms) {
        return true;
    }
    c->next_ms = now + SLOW_MS;
    return conn_write(c, c->sent < sizeof slow_head - 1 ? slow_head + c->sent : "x", 1);
}

static bool speak_much(struct conn *c)
{
    static const char body[16384];
    return c->sent < sizeof big_head - 1
               ? conn_write(c, big_head + c->sent, sizeof big_head - 1 - c->sent)
               : conn_write(c, body, sizeof body);
}

static void connected(struct conn *c, uint64_t now)
{
    struct figures *f = &crowd.figures[c->kind];
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        conn_close(c, now);
        return;
    }
    c->connected = true;
    c->next_ms = c->kind == SLOW ? now : UINT64_MAX;
    f->made++;
    f->open++;
    f->open_max = f->open > f->open_max ? f->open : f->open_max;
}

/* What the server says is read and forgotten; false when it has hung up. */
static bool conn_read(struct conn *c)
{
    char bytes[4096];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void conn_turn(struct conn *c, size_t number, short events, uint64_t now)
{
    if (c->fd < 0) {
        if (now >= c->next_ms) {
            conn_open(c, number, now);
        }
        return;
    }
    if (!c->connected) {
        if ((events & (POLLOUT | POLLERR | POLLHUP)) != 0) {
            connected(c, now);
        }
        return;
    }
    bool alive = (events & (POLLIN | POLLERR | POLLHUP)) == 0 || conn_read(c);
    if (alive && c->kind == SLOW) {
        alive = speak_slowly(c, now);
    }
    if (alive && c->kind == BIG && (events & POLLOUT) != 0) {
        alive = speak_much(c);
    }
    if (!alive) {
        conn_close(c, now);
    }
}

static void run(void)
{
    while (!stopped) {
        for (size_t i = 0; i < crowd.conns_n; i++) {
            const struct conn *c = &crowd.conn[i];
            bool writes = !c->connected || c->kind == BIG;
            crowd.poll[i] =
                (struct pollfd){.fd = c->fd, .events = (short)(POLLIN | (writes ? POLLOUT : 0))};
        }
        (void)poll(crowd.poll, crowd.conns_n, 50);
        uint64_t now = now_ms();
        for (size_t i = 0; i < crowd.conns_n; i++) {
            short events = crowd.poll[i].fd >= 0 ? crowd.poll[i].revents : (short)0;
            conn_turn(&crowd.conn[i], i, events, now);
        }
        /* Large bodies are to be a nuisance to the servers, not to this machine. */
        struct timespec pause = {.tv_nsec = 10 * 1000000};
        (void)nanosleep(&pause, NULL);
    }
    for (int k = 0; k < KINDS_N; k++) {
        const struct figures *f = &crowd.figures[k];
        printf("%s_open=%lu %s_made=%lu %s_closed=%lu %s_refused=%lu%s", kind_names[k],
            (unsigned long)f->open_max, kind_names[k], (unsigned long)f->made, kind_names[k],
            (unsigned long)f->closed, kind_names[k], (unsigned long)f->refused,
            k == KINDS_N - 1 ? "\n" : " ");
    }
}

static bool add_server(char *text)
{
    char *colon = strrchr(text, ':');
    if (colon == NULL || crowd.servers_n == SERVERS_MAX) {
        return false;
    }
    struct sockaddr_in *server = &crowd.server[crowd.servers_n++];
    *colon = '\0';
    server->sin_family = AF_INET;
    server->sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    return inet_pton(AF_INET, text, &server->sin_addr) == 1;
}

static bool add_conns(enum kind kind, const char *text)
{
    size_t n = strtoul(text, NULL, 10);
    if (n > CONNS_MAX - crowd.conns_n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        crowd.conn[crowd.conns_n++] = (struct conn){.kind = kind, .fd = -1};
    }
    return true;
}

int main(int argc, char **argv)
{
    bool is_ok = true;
    int option;
    while (is_ok && (option = getopt(argc, argv, "i:s:b:")) != -1) {
        is_ok = option != '?' && add_conns(option == 'i'   ? IDLE
                                           : option == 's' ? SLOW
                                                           : BIG,
                                     optarg);
    }
    for (; is_ok && optind < argc; optind++) {
        is_ok = add_server(argv[optind]);
    }
    if (!is_ok || crowd.servers_n == 0 || crowd.conns_n == 0) {
        fprintf(stderr, "usage: crowd [-i IDLE] [-s SLOW] [-b BIG] ADDRESS:PORT...\n");
        return 2;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < CONNS_MAX + 64) {
        limit.rlim_cur = limit.rlim_max < CONNS_MAX + 64 ? limit.rlim_max : CONNS_MAX + 64;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    struct sigaction action = {.sa_handler = stop};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    run();
    return 0;
}
