/* swim_node: one member of a cluster for swim-bench: the SWIM machine and the sealed datagrams of
 * the product in a process of its own, and nothing else.
 *
 *   swim_node NUMBER LIFE PORT
 *
 * It is called n<NUMBER>, lives at 127.0.1.<NUMBER> (a source address of its own: the limit of
 * datagrams is by source), joins n1, and prints "alive n3", "suspect n3", "dead n3" or "left n3"
 * whenever it learns that. LIFE grows with each restart. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/gossip.h"
#include "pcache/os.h"
#include "pcache/swim.h"

#define JOIN_RETRY_MS 1000

struct node {
    struct event_base *base;
    struct event *timer;
    struct event *join_timer;
    struct pc_gossip *gossip;
    struct pc_swim *swim;
    struct pc_swim_effects effects;
    struct pc_addr seed;
};

static const char *const states[] = {"", "alive", "suspect", "dead", "left"};

static void set_timer(struct node *node)
{
    struct pc_instant now = pc_clock_now();
    struct pc_instant at = pc_swim_wake_at(node->swim);
    uint64_t us = at.us > now.us ? at.us - now.us : 0;
    us = us < UINT64_C(3600000000) ? us : UINT64_C(3600000000);
    struct timeval in = {.tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000)};
    event_add(node->timer, &in);
}

static void step(struct node *node, struct pc_swim_event *event)
{
    event->now = pc_clock_now();
    pc_swim_step(node->swim, event, &node->effects);
    for (size_t i = 0; i < node->effects.out_n; i++) {
        pc_gossip_send(node->gossip, &node->effects.out[i].to, &node->effects.out[i].msg);
    }
    for (size_t i = 0; i < node->effects.changed_n; i++) {
        const struct pc_member *changed = &node->effects.changed[i];
        printf("%s %s\n", states[changed->state], changed->name);
    }
    if (node->effects.changed_n > 0) {
        (void)fflush(stdout);
    }
    node->effects.out_n = node->effects.changed_n = 0;
    set_timer(node);
}

static void on_recv(void *context, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    struct pc_swim_event event = {.type = PC_SWIM_RECV, .addr = *from, .msg = msg};
    step(context, &event);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct pc_swim_event event = {.type = PC_SWIM_WAKE};
    step(arg, &event);
}

/* The seed may not be up yet: again until somebody is known. */
static void on_join(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct node *node = arg;
    const struct pc_member *members;
    if (pc_swim_members(node->swim, &members) > 1) {
        return;
    }
    struct pc_swim_event event = {.type = PC_SWIM_JOIN, .addr = node->seed};
    step(node, &event);
    struct timeval in = {.tv_sec = JOIN_RETRY_MS / 1000};
    event_add(node->join_timer, &in);
}

static void on_resolved(void *context, const struct pc_addr *addr)
{
    (void)context;
    (void)addr;
}

static void open_node(struct node *node, unsigned number, uint64_t life, uint16_t port)
{
    struct pc_swim_opts opts = {.seed = pc_entropy_u64()};
    /* The same after a restart, and as long as those of the product. */
    opts.self.id = UINT64_C(0x9e3779b97f4a7c15) * number;
    opts.self.generation = life;
    opts.self.state = PC_MEMBER_ALIVE;
    (void)snprintf(opts.self.name, sizeof opts.self.name, "n%u", number);
    char host[32];
    char address[64];
    (void)snprintf(host, sizeof host, "127.0.1.%u", number);
    (void)snprintf(address, sizeof address, "%s:%u", host, port);
    pc_err err = pc_addr_parse(address, &opts.self.addr);
    PC_ASSERT(err == PC_OK);
    pc_swim_opts_default(&opts);
    node->swim = pc_swim_new(&opts, pc_clock_now());

    struct pc_gossip_opts gossip = {.base = node->base,
        .listen = host,
        .port = port,
        .cluster = "bench",
        .cluster_key = {1, 2, 3},
        .self = opts.self.id,
        .generation = life,
        .recv = on_recv,
        .resolved = on_resolved,
        .context = node};
    struct pc_error error = {0};
    if (pc_gossip_open(&gossip, &node->gossip, &error) != PC_OK) {
        fprintf(stderr, "swim_node: %s\n", error.text);
        exit(1);
    }
    err = pc_addr_parse("127.0.1.1:1", &node->seed);
    PC_ASSERT(err == PC_OK);
    node->seed.port = port;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: swim_node NUMBER LIFE PORT\n");
        return 2;
    }
    unsigned number = (unsigned)strtoul(argv[1], NULL, 10);
    struct node node = {.base = event_base_new()};
    PC_ASSERT(node.base != NULL && number >= 1 && number <= 254);
    node.timer = evtimer_new(node.base, on_timer, &node);
    node.join_timer = evtimer_new(node.base, on_join, &node);
    open_node(&node, number, strtoull(argv[2], NULL, 10), (uint16_t)strtoul(argv[3], NULL, 10));
    if (number != 1 || strtoull(argv[2], NULL, 10) > 1) {
        on_join(-1, 0, &node);
    }
    set_timer(&node);
    return event_base_dispatch(node.base) == 0 ? 0 : 1;
}
