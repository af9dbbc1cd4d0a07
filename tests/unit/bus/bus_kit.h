/* bus_kit.h: buses on loopback inside one event loop, what they reported, a relay that can damage
 * and record what passes, and raw clients. */
#ifndef BUS_KIT_H
#define BUS_KIT_H

#include "support/test.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/assert.h"
#include "pcache/bus.h"
#include "pcache/os.h"

#define KIT_DEADLINE_MS 15000

/* One bus and everything it said. */
struct side {
    struct event_base *base;
    struct pc_bus *bus;
    struct pc_peer_hello self;
    uint16_t port;
    const char *refuse; /* text of `admit`'s error; NULL = everybody is welcome */
    int ups, downs, losts, refusals, admits;
    struct pc_peer_hello up_hello;
    struct pc_addr up_addr;
    pc_node_id lost_id;
    struct pc_instant lost_at;
    char refused_text[256];
    pc_err refused_why;
    uint64_t msgs;
    uint64_t next_commit; /* of the next append or answer expected; checked when check_order */
    bool check_order;
    uint64_t body_bytes;
    bool bodies_ok;
    pc_node_id last_from, last_to;
    struct pc_disk_msg disk; /* the last one */
    int disks;
};

static inline void side_hello(void *context, struct pc_peer_hello *out)
{
    struct side *side = context;
    *out = side->self;
}

static inline pc_err side_admit(
    void *context, const struct pc_peer_hello *hello, struct pc_error *error)
{
    struct side *side = context;
    side->admits++;
    PC_ASSERT(hello->id != 0);
    return side->refuse != NULL ? pc_error_set(error, PC_E_AUTH, "%s", side->refuse) : PC_OK;
}

static inline void side_up(
    void *context, const struct pc_peer_hello *hello, const struct pc_addr *addr)
{
    struct side *side = context;
    side->ups++;
    side->up_hello = *hello;
    side->up_addr = *addr;
}

static inline void side_down(void *context, pc_node_id peer)
{
    struct side *side = context;
    (void)peer;
    side->downs++;
}

static inline void side_lost(void *context, pc_node_id peer)
{
    struct side *side = context;
    side->losts++;
    side->lost_id = peer;
    side->lost_at = pc_clock_now();
}

static inline void side_refused(void *context, pc_err why, const char *text)
{
    struct side *side = context;
    side->refusals++;
    side->refused_why = why;
    (void)snprintf(side->refused_text, sizeof side->refused_text, "%s", text);
}

/* Every body a test sends is this pattern. */
static inline uint8_t pattern(size_t i, size_t len)
{
    return (uint8_t)(i * 131 + (i >> 8) + len);
}

static inline void side_recv(void *context, const struct pc_msg *msg)
{
    struct side *side = context;
    if (msg->type == PC_MSG_DISK) {
        side->disk = msg->disk;
        side->disks++;
        return;
    }
    PC_ASSERT(msg->type == PC_MSG_RAFT);
    side->last_from = msg->from;
    side->last_to = msg->to;
    if (side->check_order && msg->raft.term != side->next_commit) {
        side->bodies_ok = false;
    }
    side->next_commit++;
    for (size_t e = 0; e < msg->raft.entries.n; e++) {
        struct pc_slice body = pc_blob_slice(msg->raft.entries.v[e].body);
        side->body_bytes += body.len;
        for (size_t i = 0; i < body.len; i++) {
            side->bodies_ok = side->bodies_ok && body.data[i] == pattern(i, body.len);
        }
    }
    side->msgs++;
}

struct side_opts {
    const char *name;
    pc_node_id id;
    uint64_t generation;
    uint8_t key;         /* every byte of the cluster key */
    const char *cluster; /* NULL = "test" */
    uint16_t port;       /* 0 = any */
    struct pc_protocols protocols;
};

static inline void side_open(struct side *side, struct event_base *base, struct side_opts opts)
{
    *side = (struct side){.base = base, .bodies_ok = true, .next_commit = 1};
    side->self.id = opts.id;
    side->self.generation = opts.generation;
    (void)snprintf(side->self.name, sizeof side->self.name, "%s", opts.name);
    memset(side->self.history, 0x11, sizeof side->self.history);
    char listen_text[64];
    (void)snprintf(listen_text, sizeof listen_text, "127.0.0.1:%u", opts.port);
    struct pc_bus_opts bus_opts = {
        .base = base,
        .listen = listen_text,
        .cluster = opts.cluster != NULL ? opts.cluster : "test",
        .ops = {.context = side,
            .hello = side_hello,
            .admit = side_admit,
            .up = side_up,
            .down = side_down,
            .lost = side_lost,
            .refused = side_refused,
            .recv = side_recv},
        .seed = opts.id,
        .protocols = opts.protocols,
    };
    memset(bus_opts.cluster_key, opts.key, sizeof bus_opts.cluster_key);
    struct pc_error error;
    pc_err err = pc_bus_open(&bus_opts, &side->bus, &error);
    if (err != PC_OK) {
        fail_msg("%s", error.text);
    }
    side->port = pc_bus_port(side->bus);
}

static inline void side_dial_port(struct side *side, const char *name, uint16_t port)
{
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    pc_bus_dial(side->bus, name, address);
}

static inline struct pc_bus_stats side_stats(const struct side *side)
{
    struct pc_bus_stats stats;
    pc_bus_stats(side->bus, &stats);
    return stats;
}

/* An append with one entry of `body` bytes; `number` is checked at the other end. */
static inline bool side_send(struct side *side, pc_node_id to, uint64_t number, size_t body)
{
    struct pc_msg msg = {.type = PC_MSG_RAFT, .from = side->self.id, .to = to};
    msg.raft = (struct pc_raft_msg){
        .type = PC_RAFT_MSG_APPEND_RESP, .from = msg.from, .to = to, .term = number};
    msg.raft.u.append_resp.accepted = true;
    if (body > 0) {
        uint8_t *bytes = malloc(body);
        PC_ASSERT(bytes != NULL);
        for (size_t i = 0; i < body; i++) {
            bytes[i] = pattern(i, body);
        }
        struct pc_entry entry = {.index = 1, .term = 1, .kind = PC_ENTRY_COMMAND};
        assert_ok(pc_blob_new(pc_slice_of(bytes, body), &entry.body));
        free(bytes);
        msg.raft.type = PC_RAFT_MSG_APPEND;
        memset(&msg.raft.u, 0, sizeof msg.raft.u);
        pc_entries_push(&msg.raft.entries, &entry);
        pc_entry_clear(&entry);
    }
    bool sent = pc_bus_send(side->bus, &msg);
    pc_msg_clear(&msg);
    return sent;
}

/* ---- waiting */
static inline void kit_turn(struct event_base *base)
{
    struct timeval pause = {.tv_usec = 2000};
    event_base_loopexit(base, &pause);
    event_base_dispatch(base);
}

#define WAIT_FOR(base, condition)                                                                  \
    do {                                                                                           \
        struct pc_instant wait_end = pc_instant_add_ms(pc_clock_now(), KIT_DEADLINE_MS);           \
        while (!(condition) && !pc_instant_is_due(wait_end, pc_clock_now())) {                     \
            kit_turn(base);                                                                        \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

/* Lets the loop run for a while in which nothing bad must happen. */
static inline void kit_run(struct event_base *base, pc_ms ms)
{
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), ms);
    while (!pc_instant_is_due(end, pc_clock_now())) {
        kit_turn(base);
    }
}

/* A peer in a process of its own, which dials `port`; its own port comes through the pipe. */
static inline pid_t spawn_peer(uint16_t port, struct side_opts opts, uint16_t *peer_port)
{
    int ends[2];
    PC_ASSERT(pipe(ends) == 0);
    pid_t pid = fork();
    PC_ASSERT(pid >= 0);
    if (pid == 0) {
        struct event_base *base = event_base_new();
        struct side side;
        side_open(&side, base, opts);
        side_dial_port(&side, "parent", port);
        PC_ASSERT(write(ends[1], &side.port, sizeof side.port) == sizeof side.port);
        kit_run(base, KIT_DEADLINE_MS * 2);
        _exit(0);
    }
    PC_ASSERT(read(ends[0], peer_port, sizeof *peer_port) == sizeof *peer_port);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

/* ---- raw clients */
static inline int raw_connect(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    PC_ASSERT(fd >= 0);
    PC_ASSERT(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

static inline void raw_send(int fd, const void *bytes, size_t len)
{
    PC_ASSERT(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* Takes what is there. True once the other side has closed. */
static inline bool raw_is_closed(int fd)
{
    uint8_t bytes[4096];
    ssize_t got;
    do {
        got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    } while (got > 0);
    return got == 0 || (errno != EAGAIN && errno != EINTR);
}

/* ---- a relay between a dialler and the bus on `target` */
struct relay {
    struct event_base *base;
    int listen_fd;
    struct event *accept_event;
    uint16_t port;
    uint16_t target;
    struct bufferevent *client; /* of the newest pair only */
    struct bufferevent *server;
    int accepted;
    size_t passed;             /* bytes of this pair from the dialler */
    long flip_at;              /* damages this byte of the next stream that has it; -1 = none */
    struct evbuffer *recorded; /* everything from the diallers */
};

static inline void relay_cut(struct relay *relay)
{
    if (relay->client != NULL) {
        bufferevent_free(relay->client);
        bufferevent_free(relay->server);
        relay->client = NULL;
        relay->server = NULL;
    }
}

static inline void relay_on_client(struct bufferevent *bev, void *arg)
{
    struct relay *relay = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    size_t len = evbuffer_get_length(in);
    uint8_t *bytes = evbuffer_pullup(in, -1);
    evbuffer_add(relay->recorded, bytes, len);
    if (relay->flip_at >= 0 && (size_t)relay->flip_at >= relay->passed &&
        (size_t)relay->flip_at < relay->passed + len) {
        bytes[(size_t)relay->flip_at - relay->passed] ^= 0x40;
        relay->flip_at = -1;
    }
    relay->passed += len;
    evbuffer_add_buffer(bufferevent_get_output(relay->server), in);
}

static inline void relay_on_server(struct bufferevent *bev, void *arg)
{
    struct relay *relay = arg;
    evbuffer_add_buffer(bufferevent_get_output(relay->client), bufferevent_get_input(bev));
}

static inline void relay_on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) {
        relay_cut(arg);
    }
}

static inline void relay_on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct relay *relay = arg;
    int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0) {
        return;
    }
    /* Probes of the bus come here too, while a pair is running: they are only held open. */
    relay->accepted++;
    relay_cut(relay);
    int server = raw_connect(relay->target);
    evutil_make_socket_nonblocking(server);
    relay->passed = 0;
    relay->client = bufferevent_socket_new(relay->base, client, BEV_OPT_CLOSE_ON_FREE);
    relay->server = bufferevent_socket_new(relay->base, server, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_setcb(relay->client, relay_on_client, NULL, relay_on_event, relay);
    bufferevent_setcb(relay->server, relay_on_server, NULL, relay_on_event, relay);
    bufferevent_enable(relay->client, EV_READ | EV_WRITE);
    bufferevent_enable(relay->server, EV_READ | EV_WRITE);
}

static inline void relay_open(struct relay *relay, struct event_base *base, uint16_t target)
{
    *relay = (struct relay){.base = base, .target = target, .flip_at = -1};
    struct pc_error error;
    assert_ok(pc_os_listen_tcp("127.0.0.1:0", &relay->listen_fd, &error));
    relay->port = pc_os_local_port(relay->listen_fd);
    relay->recorded = evbuffer_new();
    relay->accept_event =
        event_new(base, relay->listen_fd, EV_READ | EV_PERSIST, relay_on_accept, relay);
    event_add(relay->accept_event, NULL);
}

static inline void relay_close(struct relay *relay)
{
    relay_cut(relay);
    event_free(relay->accept_event);
    evbuffer_free(relay->recorded);
    close(relay->listen_fd);
}

#endif
