/* bench_ready: when do all of these answer 200?
 *
 *   bench_ready -p PORT[,PORT...] [-s seconds since 1970, as bash's $EPOCHREALTIME] [-Q path]
 *               [-i interval_ms] [-m longest_ms]
 *
 * Asks each port for the path (/readyz) until each has answered 200 once, and prints
 *
 *   ready_ms=N        since -s, or since this program began
 *
 * Exits 1 after longest_ms (60000). */
#define _GNU_SOURCE
#include <poll.h>

#include "bench_kit.h"

struct options {
    uint16_t ports[BENCH_PORTS_MAX];
    size_t ports_n;
    double since_s;
    const char *path;
    int interval_ms;
    double longest_ms;
};

static double wall_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Waits for the descriptor, at most a second: a node that takes a connection and stays silent is
 * asked again. */
static bool await(int fd, short what)
{
    struct pollfd wait = {.fd = fd, .events = what};
    return poll(&wait, 1, 1000) == 1 && (wait.revents & what) != 0;
}

static int ask(uint16_t port, const char *path)
{
    int fd = bench_dial(port);
    if (fd < 0) {
        return 0;
    }
    char text[8192];
    int used = snprintf(
        text, sizeof text, "GET %s HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n", path);
    struct bench_answer answer = {0};
    if (await(fd, POLLOUT) && write(fd, text, (size_t)used) == used) {
        size_t len = 0;
        while (len < sizeof text - 1 && await(fd, POLLIN)) {
            ssize_t got = read(fd, text + len, sizeof text - 1 - len);
            if (got <= 0) {
                break;
            }
            len += (size_t)got;
            text[len] = '\0';
            if (bench_answer_parse(text, len, &answer)) {
                break;
            }
        }
    }
    (void)close(fd);
    return answer.status;
}

static bool options_parse(int argc, char **argv, struct options *o)
{
    int option;
    while ((option = getopt(argc, argv, "p:s:Q:i:m:")) != -1) {
        switch (option) {
        case 'p':
            o->ports_n = bench_ports_parse(optarg, o->ports);
            break;
        case 's':
            o->since_s = strtod(optarg, NULL);
            break;
        case 'Q':
            o->path = optarg;
            break;
        case 'i':
            o->interval_ms = (int)strtol(optarg, NULL, 10);
            break;
        case 'm':
            o->longest_ms = strtod(optarg, NULL);
            break;
        default:
            return false;
        }
    }
    return o->ports_n > 0;
}

int main(int argc, char **argv)
{
    struct options o = {
        .since_s = wall_s(), .path = "/readyz", .interval_ms = 1, .longest_ms = 60000};
    if (!options_parse(argc, argv, &o)) {
        fprintf(stderr, "bench_ready: -p PORT is missing, or an option is unknown\n");
        return 2;
    }
    size_t ready = 0;
    while (ready < o.ports_n) {
        if (ask(o.ports[ready], o.path) == 200) {
            ready++;
            continue;
        }
        if ((wall_s() - o.since_s) * 1e3 > o.longest_ms) {
            printf("ready_ms=-1\n");
            return 1;
        }
        (void)poll(NULL, 0, o.interval_ms);
    }
    printf("ready_ms=%.1f\n", (wall_s() - o.since_s) * 1e3);
    return 0;
}
