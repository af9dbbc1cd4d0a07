/* bench_gap: how long nobody acknowledges a write after a node was killed.
 *
 *   bench_gap -k PID -p PORT[,PORT...] [-i interval_ms] [-w warm_ms] [-m longest_ms]
 *             [-P path before the key] [-B body] [-T content type]
 *
 * Writes to the given (surviving) nodes in turn, each on a connection of its own, one every
 * interval whatever has become of those before: a request that hangs delays none. After warm_ms
 * the process is killed (SIGKILL); the first 2xx answer to a write begun after that ends it.
 * Prints one line:
 *
 *   gap_ms=N tries=N refused=N        refused: answered, but not with 2xx
 *
 * Exits 1 when nothing was acknowledged before the kill, or not within longest_ms after it. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/epoll.h>

#include "bench_kit.h"

#define TRIES_MAX 4096 /* at a time: a try is given up when its place is needed again */
#define ANSWER_BYTES_MAX 4096

struct
try {
    int fd; /* -1: free */
    bool is_sent;
    bool is_after; /* begun after the kill */
    size_t in_len;
    char in[ANSWER_BYTES_MAX + 1];
};

struct gap {
    uint16_t ports[BENCH_PORTS_MAX];
    size_t ports_n;
    pid_t victim;
    uint64_t interval_ns, warm_ns, longest_ns;
    const char *prefix, *body, *type;
    int epoll;
    struct try *tries;
    uint64_t begun, killed_at, answered_at; /* 0: not yet */
    uint64_t tried, refused, acknowledged;
};

static void try_end(struct try *try)
{
    (void)close(try->fd);
    try->fd = -1;
}

static void gap_try(struct gap *gap)
{
    struct try *try = &gap->tries[gap->tried % TRIES_MAX];
    if (try->fd >= 0) {
        try_end(try);
    }
    uint16_t port = gap->ports[gap->tried % gap->ports_n];
    gap->tried++;
    int fd = bench_dial(port);
    if (fd < 0) {
        return;
    }
    *try = (struct try){.fd = fd, .is_after = gap->killed_at != 0};
    struct epoll_event event = {.events = EPOLLOUT | EPOLLIN};
    event.data.ptr = try;
    if (epoll_ctl(gap->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        bench_fail("bench_gap", "epoll_ctl");
    }
}

static void try_send(struct gap *gap, struct try *try)
{
    char out[1024];
    int used = snprintf(out, sizeof out,
        "PUT %sgap%03u HTTP/1.1\r\nHost: bench\r\nConnection: close\r\nContent-Type: %s\r\n"
        "Content-Length: %zu\r\n\r\n%s",
        gap->prefix, (unsigned)(gap->tried % 1000), gap->type, strlen(gap->body), gap->body);
    try->is_sent = true;
    struct epoll_event event = {.events = EPOLLIN};
    event.data.ptr = try;
    if (write(try->fd, out, (size_t)used) != used ||
        epoll_ctl(gap->epoll, EPOLL_CTL_MOD, try->fd, &event) != 0) {
        try_end(try);
    }
}

static void try_recv(struct gap *gap, struct try *try)
{
    ssize_t got = read(try->fd, try->in + try->in_len, ANSWER_BYTES_MAX - try->in_len);
    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        try_end(try);
        return;
    }
    try->in_len += (size_t)got;
    try->in[try->in_len] = '\0';
    struct bench_answer answer;
    if (!bench_answer_parse(try->in, try->in_len, &answer)) {
        return;
    }
    bool is_ok = answer.status >= 200 && answer.status < 300;
    gap->acknowledged += is_ok ? 1 : 0;
    gap->refused += is_ok ? 0 : 1;
    if (is_ok && try->is_after) {
        gap->answered_at = bench_now_ns();
    }
    try_end(try);
}

static void gap_kill(struct gap *gap)
{
    if (gap->acknowledged == 0) {
        fprintf(stderr, "bench_gap: nothing was acknowledged before the kill\n");
        exit(1);
    }
    if (kill(gap->victim, SIGKILL) != 0) {
        bench_fail("bench_gap", "kill");
    }
    gap->killed_at = bench_now_ns();
    gap->tried = gap->refused = 0;
}

static void gap_poll(struct gap *gap, uint64_t wait_ns)
{
    struct epoll_event events[64];
    /* A millisecond is the finest that epoll_wait waits; the rest is polled. */
    int count = epoll_wait(gap->epoll, events, 64, wait_ns > 1500000 ? 1 : 0);
    for (int i = 0; i < count && gap->answered_at == 0; i++) {
        struct try *try = events[i].data.ptr;
        if (try->fd < 0) {
            continue;
        }
        if (!try->is_sent && (events[i].events & (EPOLLERR | EPOLLHUP)) == 0) {
            try_send(gap, try);
        } else {
            try_recv(gap, try);
        }
    }
}

static bool gap_run(struct gap *gap)
{
    gap->begun = bench_now_ns();
    uint64_t next = gap->begun;
    for (;;) {
        uint64_t now = bench_now_ns();
        if (gap->killed_at == 0 && now - gap->begun >= gap->warm_ns) {
            gap_kill(gap);
            next = now = gap->killed_at;
        }
        if (gap->killed_at != 0 && now - gap->killed_at >= gap->longest_ns) {
            return false;
        }
        if (now >= next) {
            gap_try(gap);
            next = next + gap->interval_ns > now ? next + gap->interval_ns : now + gap->interval_ns;
        }
        gap_poll(gap, next > now ? next - now : 0);
        if (gap->answered_at != 0) {
            return true;
        }
    }
}

static bool gap_option(struct gap *gap, int option, const char *text)
{
    switch (option) {
    case 'p':
        gap->ports_n = bench_ports_parse(text, gap->ports);
        return gap->ports_n > 0;
    case 'k':
        gap->victim = (pid_t)strtol(text, NULL, 10);
        return gap->victim > 1;
    case 'i':
        gap->interval_ns = strtoull(text, NULL, 10) * 1000000;
        return gap->interval_ns > 0;
    case 'w':
        gap->warm_ns = strtoull(text, NULL, 10) * 1000000;
        return true;
    case 'm':
        gap->longest_ns = strtoull(text, NULL, 10) * 1000000;
        return true;
    case 'P':
        gap->prefix = text;
        return strlen(text) < 256;
    case 'B':
        gap->body = text;
        return strlen(text) < 128;
    case 'T':
        gap->type = text;
        return strlen(text) < 128;
    default:
        return false;
    }
}

int main(int argc, char **argv)
{
    struct gap gap = {
        .interval_ns = 5000000,
        .warm_ns = 500000000,
        .longest_ns = UINT64_C(30000000000),
        .prefix = "/v1/kv/",
        .body = "hello",
        .type = "application/octet-stream",
    };
    int option;
    while ((option = getopt(argc, argv, "p:k:i:w:m:P:B:T:")) != -1) {
        if (!gap_option(&gap, option, optarg)) {
            fprintf(stderr, "bench_gap: bad option -%c\n", option);
            return 2;
        }
    }
    if (gap.ports_n == 0 || gap.victim == 0) {
        fprintf(stderr, "bench_gap: -p PORT and -k PID are needed\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    gap.epoll = epoll_create1(EPOLL_CLOEXEC);
    gap.tries = calloc(TRIES_MAX, sizeof *gap.tries);
    if (gap.epoll < 0 || gap.tries == NULL) {
        bench_fail("bench_gap", "set up");
    }
    for (size_t i = 0; i < TRIES_MAX; i++) {
        gap.tries[i].fd = -1;
    }
    bool is_over = gap_run(&gap);
    double gap_ms = is_over ? (double)(gap.answered_at - gap.killed_at) / 1e6 : -1;
    printf("gap_ms=%.1f tries=%" PRIu64 " refused=%" PRIu64 "\n", gap_ms, gap.tried, gap.refused);
    free(gap.tries);
    return is_over ? 0 : 1;
}
