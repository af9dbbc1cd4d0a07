/* swim_bench: a cluster of real processes on loopback, watched from outside.
 *
 *   swim_bench pcache|serf|serf-sealed MEMBERS [-k kills] [-s seconds of each trouble] [-n NODE]
 *
 * NODE is the program swim_node. serf is that of the PATH, an agent per member with its LAN
 * profile, which is its default; sealed: with a key, as pcache always is. One row of a table comes
 * out (swim_bench head: its head):
 *
 *   formed     from the first start until everybody has reported everybody
 *   B/s, ...   per member, idle: bytes and packets of the loopback device of a network namespace
 *              that holds nothing but these processes, so UDP, TCP and all heads count; CPU time
 *              and resident memory from /proc
 *   killed     kill -9 of one: until the first of the others reports it, and until all did
 *   false      deaths reported of members that run, by trouble: none; one member stopped and
 *              continued (SIGSTOP, SIGCONT) for 0.5/0.1, 1/0.2 and 3/0.2 s; 10 % of all datagrams
 *              lost (iptables). A member counts again once somebody has reported it alive again.
 *
 * Reports are the lines that the processes print, timed when they arrive here. Without the right
 * to make a network namespace the figures include whatever else uses loopback, and nothing is
 * lost; the row says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pcache/prng.h"

#define MEMBERS_MAX 200
#define LINE_MAX_BYTES 4096
#define PORT 7946
#define FORM_LIMIT_MS 150000
#define KILL_LIMIT_MS 60000
#define SETTLE_MS 4000
#define KILLS_MAX 32

enum kind { KIND_PCACHE, KIND_SERF, KIND_SERF_SEALED };

enum view { VIEW_NONE, VIEW_ALIVE, VIEW_DEAD };

struct member {
    pid_t pid; /* 0 = down */
    int fd;
    unsigned life;
    char line[LINE_MAX_BYTES];
    size_t line_len;
    enum view sees[MEMBERS_MAX];
    uint64_t dead_at[MEMBERS_MAX]; /* when it last came to see that one dead, us */
    bool buried;                   /* somebody reports it dead though it runs */
};

static struct {
    enum kind kind;
    const char *node;
    size_t n;
    struct member *members;
    unsigned false_deaths;
    bool private_net;
    struct pc_prng prng;
    unsigned kills;
    uint64_t trouble_ms;
} bench = {.kills = 5, .trouble_ms = 15000};

static uint64_t now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

_Noreturn static void fail(const char *what)
{
    fprintf(stderr, "swim_bench: %s%s%s\n", what, errno != 0 ? ": " : "",
        errno != 0 ? strerror(errno) : "");
    for (size_t i = 0; i < bench.n; i++) {
        if (bench.members[i].pid > 0) {
            (void)kill(bench.members[i].pid, SIGKILL);
        }
    }
    exit(1);
}

/* ---- processes */
static void exec_member(size_t i)
{
    char name[32], life[16], port[16], bind[64], rpc[64];
    (void)snprintf(port, sizeof port, "%d", PORT);
    if (bench.kind == KIND_PCACHE) {
        (void)snprintf(name, sizeof name, "%zu", i + 1);
        (void)snprintf(life, sizeof life, "%u", bench.members[i].life);
        (void)execl(bench.node, "swim_node", name, life, port, (char *)NULL);
        _exit(127);
    }
    (void)snprintf(name, sizeof name, "-node=n%zu", i + 1);
    (void)snprintf(bind, sizeof bind, "-bind=127.0.1.%zu:%s", i + 1, port);
    (void)snprintf(rpc, sizeof rpc, "-rpc-addr=127.0.1.%zu:7373", i + 1);
    const char *sealed =
        bench.kind == KIND_SERF_SEALED ? "-encrypt=AAECAwQFBgcICQoLDA0ODw==" : NULL;
    (void)execlp("serf", "serf", "agent", name, bind, rpc, "-profile=lan", "-log-level=info",
        "-retry-interval=1s", "-retry-join=127.0.1.1:7946", sealed, (char *)NULL);
    _exit(127);
}

static void start(size_t i)
{
    struct member *member = &bench.members[i];
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0) {
        fail("pipe");
    }
    member->life++;
    member->line_len = 0;
    memset(member->sees, 0, sizeof member->sees);
    member->sees[i] = VIEW_ALIVE;
    member->pid = fork();
    if (member->pid < 0) {
        fail("fork");
    }
    if (member->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)fcntl(fds[1], F_SETFL, 0);
        (void)dup2(fds[1], STDOUT_FILENO);
        (void)dup2(fds[1], STDERR_FILENO);
        exec_member(i);
    }
    (void)close(fds[1]);
    member->fd = fds[0];
}

static void stop(size_t i)
{
    struct member *member = &bench.members[i];
    if (member->pid > 0) {
        (void)kill(member->pid, SIGKILL);
        (void)waitpid(member->pid, NULL, 0);
        (void)close(member->fd);
        member->pid = 0;
    }
}

/* ---- reports */
/* The member that `text` begins with, "n12 ...": its index, or n. */
static size_t parse_name(const char *text)
{
    char *end;
    unsigned long number = text[0] == 'n' ? strtoul(text + 1, &end, 10) : 0;
    return number >= 1 && number <= bench.n ? (size_t)number - 1 : bench.n;
}

static void report(size_t observer, size_t subject, enum view view, uint64_t at)
{
    struct member *member = &bench.members[observer];
    if (subject == bench.n || subject == observer) {
        return;
    }
    struct member *other = &bench.members[subject];
    if (view == VIEW_DEAD) {
        if (member->sees[subject] != VIEW_DEAD) {
            member->dead_at[subject] = at;
        }
        bench.false_deaths += other->pid > 0 && !other->buried;
        other->buried = other->buried || other->pid > 0;
    } else {
        other->buried = false;
    }
    member->sees[subject] = view;
}

static void read_line(size_t observer, const char *line, uint64_t at)
{
    static const struct {
        const char *text;
        enum view view;
        bool serf;
    } forms[] = {{"alive ", VIEW_ALIVE, false}, {"dead ", VIEW_DEAD, false},
        {"EventMemberJoin: ", VIEW_ALIVE, true}, {"EventMemberFailed: ", VIEW_DEAD, true}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const char *found = strstr(line, forms[i].text);
        bool fits = forms[i].serf == (bench.kind != KIND_PCACHE);
        if (found != NULL && fits) {
            report(observer, parse_name(found + strlen(forms[i].text)), forms[i].view, at);
        }
    }
}

static void read_member(size_t i)
{
    struct member *member = &bench.members[i];
    ssize_t got = read(
        member->fd, member->line + member->line_len, sizeof member->line - 1 - member->line_len);
    if (got <= 0) {
        return;
    }
    uint64_t at = now_us();
    member->line_len += (size_t)got;
    member->line[member->line_len] = '\0';
    char *begin = member->line;
    for (char *end; (end = strchr(begin, '\n')) != NULL; begin = end + 1) {
        *end = '\0';
        read_line(i, begin, at);
    }
    member->line_len = strlen(begin);
    memmove(member->line, begin, member->line_len);
    if (member->line_len == sizeof member->line - 1) {
        member->line_len = 0;
    }
}

/* Reads what the members report for so long. */
static void pump(uint64_t ms)
{
    uint64_t until = now_us() + ms * 1000;
    for (uint64_t now = now_us(); now < until; now = now_us()) {
        struct pollfd fds[MEMBERS_MAX];
        for (size_t i = 0; i < bench.n; i++) {
            int fd = bench.members[i].pid > 0 ? bench.members[i].fd : -1;
            fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
        }
        if (poll(fds, bench.n, (int)((until - now) / 1000) + 1) < 0 && errno != EINTR) {
            fail("poll");
        }
        for (size_t i = 0; i < bench.n; i++) {
            if ((fds[i].revents & POLLIN) != 0) {
                read_member(i);
            } else if ((fds[i].revents & POLLHUP) != 0) {
                errno = 0;
                fail("a member ended by itself");
            }
        }
    }
}

static bool all_see(size_t subject, enum view view)
{
    for (size_t i = 0; i < bench.n; i++) {
        const struct member *member = &bench.members[i];
        if (i != subject && member->pid > 0 && member->sees[subject] != view) {
            return false;
        }
    }
    return true;
}

static bool all_see_all(void)
{
    for (size_t k = 0; k < bench.n; k++) {
        if (!all_see(k, VIEW_ALIVE)) {
            return false;
        }
    }
    return true;
}

/* ---- what it costs */
struct cost {
    uint64_t bytes, packets, ticks, rss_kib;
};

static void read_net(struct cost *cost)
{
    char line[512];
    FILE *file = fopen("/proc/self/net/dev", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        (void)sscanf(line, " lo: %" SCNu64 " %" SCNu64, &cost->bytes, &cost->packets);
    }
    if (file == NULL || fclose(file) != 0) {
        fail("/proc/self/net/dev");
    }
}

static void read_process(pid_t pid, struct cost *cost)
{
    char path[64], text[1024];
    uint64_t user = 0, sys = 0, pages = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    size_t len = file != NULL ? fread(text, 1, sizeof text - 1, file) : 0;
    text[len] = '\0';
    const char *at = strrchr(text, ')');
    if (file == NULL || fclose(file) != 0 || at == NULL ||
        sscanf(at,
            ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
            " %*d %*d %*d %*d %*d %*d %*u %*u %" SCNu64,
            &user, &sys, &pages) != 3) {
        fail(path);
    }
    cost->ticks += user + sys;
    cost->rss_kib += pages * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

static struct cost read_cost(void)
{
    struct cost cost = {0};
    read_net(&cost);
    for (size_t i = 0; i < bench.n; i++) {
        read_process(bench.members[i].pid, &cost);
    }
    return cost;
}

/* ---- the experiments */
static uint64_t form(void)
{
    uint64_t begun = now_us();
    for (size_t i = 0; i < bench.n; i++) {
        start(i);
    }
    while (!all_see_all()) {
        pump(20);
        if (now_us() - begun > FORM_LIMIT_MS * UINT64_C(1000)) {
            errno = 0;
            fail("the cluster did not form");
        }
    }
    return (now_us() - begun) / 1000;
}

struct kills {
    uint64_t first_ms[KILLS_MAX], all_ms[KILLS_MAX];
    size_t n, missed;
};

static void kill_one(struct kills *kills)
{
    size_t victim = 1 + (size_t)pc_prng_below(&bench.prng, bench.n - 1);
    pump(pc_prng_below(&bench.prng, 2000)); /* in any phase of everybody's timers */
    stop(victim);
    uint64_t killed = now_us();
    while (!all_see(victim, VIEW_DEAD) && now_us() - killed < KILL_LIMIT_MS * UINT64_C(1000)) {
        pump(20);
    }
    uint64_t first = UINT64_MAX, last = 0;
    for (size_t i = 0; i < bench.n; i++) {
        if (i != victim && bench.members[i].sees[victim] == VIEW_DEAD) {
            uint64_t at = bench.members[i].dead_at[victim];
            first = at < first ? at : first;
            last = at > last ? at : last;
        }
    }
    if (all_see(victim, VIEW_DEAD)) {
        kills->first_ms[kills->n] = (first - killed) / 1000;
        kills->all_ms[kills->n++] = (last - killed) / 1000;
    } else {
        kills->missed++;
    }
    start(victim);
    uint64_t restarted = now_us();
    while (!all_see_all() && now_us() - restarted < KILL_LIMIT_MS * UINT64_C(1000)) {
        pump(20);
    }
    pump(SETTLE_MS);
}

/* Stops and continues one member; returns the false deaths meanwhile and just after. */
static unsigned starve_one(uint64_t stopped_ms, uint64_t running_ms)
{
    size_t victim = 1 + (size_t)pc_prng_below(&bench.prng, bench.n - 1);
    unsigned before = bench.false_deaths;
    for (uint64_t passed = 0; passed < bench.trouble_ms; passed += stopped_ms + running_ms) {
        (void)kill(bench.members[victim].pid, SIGSTOP);
        pump(stopped_ms);
        (void)kill(bench.members[victim].pid, SIGCONT);
        pump(running_ms);
    }
    pump(SETTLE_MS);
    return bench.false_deaths - before;
}

/* Adds (-A) or deletes (-D) the rule that loses a tenth of what arrives. */
static bool run_iptables(const char *verb)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDERR_FILENO);
        (void)execlp("iptables", "iptables", verb, "INPUT", "-p", "udp", "-m", "statistic",
            "--mode", "random", "--probability", "0.1", "-j", "DROP", (char *)NULL);
        _exit(127);
    }
    int status = -1;
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static unsigned lose(void)
{
    unsigned before = bench.false_deaths;
    if (!bench.private_net || !run_iptables("-A")) {
        bench.private_net = false;
        return 0;
    }
    pump(bench.trouble_ms);
    if (!run_iptables("-D")) {
        fail("iptables -D");
    }
    pump(SETTLE_MS);
    return bench.false_deaths - before;
}

/* ---- the row */
static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void print_times(uint64_t *ms, size_t n)
{
    if (n == 0) {
        printf(" - |");
        return;
    }
    qsort(ms, n, sizeof *ms, compare);
    uint64_t median = n % 2 != 0 ? ms[n / 2] : (ms[n / 2 - 1] + ms[n / 2]) / 2;
    printf(" %" PRIu64 " (%" PRIu64 "-%" PRIu64 ") |", median, ms[0], ms[n - 1]);
}

static void print_head(void)
{
    printf("| | members | formed ms | killed: first ms | killed: all ms | false: none | 0.5/0.1 | "
           "1/0.2 | 3/0.2 | 10 %% lost | B/s | packets/s | CPU %% | KiB |\n"
           "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
}

static void measure(const char *name)
{
    uint64_t formed_ms = form();
    pump(SETTLE_MS);
    struct cost before = read_cost();
    uint64_t begun = now_us();
    pump(bench.trouble_ms);
    double seconds = (double)(now_us() - begun) / 1e6 * (double)bench.n;
    struct cost after = read_cost();
    struct kills kills = {0};
    for (unsigned k = 0; k < bench.kills; k++) {
        kill_one(&kills);
    }
    unsigned quiet = bench.false_deaths;
    unsigned halves = starve_one(500, 100);
    unsigned ones = starve_one(1000, 200);
    unsigned threes = starve_one(3000, 200);
    unsigned lost = lose();
    printf("| %s | %zu | %" PRIu64 " |", name, bench.n, formed_ms);
    print_times(kills.first_ms, kills.n);
    print_times(kills.all_ms, kills.n);
    printf(" %u | %u | %u | %u |", quiet, halves, ones, threes);
    if (bench.private_net) {
        printf(" %u |", lost);
    } else {
        printf(" - |");
    }
    printf(" %.0f | %.1f | %.2f | %" PRIu64 " |", (double)(after.bytes - before.bytes) / seconds,
        (double)(after.packets - before.packets) / seconds,
        100.0 * (double)(after.ticks - before.ticks) / (double)sysconf(_SC_CLK_TCK) / seconds,
        after.rss_kib / bench.n);
    printf("%s%s\n", bench.private_net ? "" : " shared loopback, nothing lost",
        kills.missed > 0 ? " deaths missed" : "");
}

/* ---- */
static bool enter_private_net(void)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
        return false;
    }
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) != 0) {
        fail("lo up");
    }
    (void)close(fd);
    return true;
}

static void parse(int argc, char **argv)
{
    static const char *const kinds[] = {"pcache", "serf", "serf-sealed"};
    int option;
    while ((option = getopt(argc, argv, "k:s:n:")) != -1) {
        unsigned long v = option == 'n' ? 0 : strtoul(optarg, NULL, 10);
        if (option == 'k' && v <= KILLS_MAX) {
            bench.kills = (unsigned)v;
        } else if (option == 's') {
            bench.trouble_ms = v * 1000;
        } else if (option == 'n') {
            bench.node = optarg;
        }
    }
    bool known = false;
    for (size_t k = 0; k < 3 && optind + 2 == argc; k++) {
        if (strcmp(argv[optind], kinds[k]) == 0) {
            bench.kind = (enum kind)k;
            known = true;
        }
    }
    bench.n = known ? strtoul(argv[optind + 1], NULL, 10) : 0;
    if (bench.n < 2 || bench.n > MEMBERS_MAX || (bench.kind == KIND_PCACHE && !bench.node)) {
        fprintf(stderr, "usage: see the head of tests/swim/swim_bench.c\n");
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "head") == 0) {
        print_head();
        return 0;
    }
    parse(argc, argv);
    bench.members = calloc(bench.n, sizeof *bench.members);
    if (bench.members == NULL) {
        fail("calloc");
    }
    pc_prng_seed(&bench.prng, now_us());
    bench.private_net = enter_private_net();
    measure(argv[optind]);
    for (size_t i = 0; i < bench.n; i++) {
        stop(i);
    }
    free(bench.members);
    return 0;
}
