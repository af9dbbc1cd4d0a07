/* bench_bus: two buses on loopback in one event loop, hence on one core: messages and bytes a
 * second through sealing, TCP and opening.
 *
 *   bench/bus
 *
 * Numbers only; nothing is asserted beyond the calls' success. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/bus.h"
#include "pcache/os.h"

struct side {
    struct pc_peer_hello self;
    struct pc_bus *bus;
    bool up;
    uint64_t received;
};

static void on_hello(void *context, struct pc_peer_hello *out)
{
    *out = ((struct side *)context)->self;
}

static pc_err on_admit(void *context, const struct pc_peer_hello *hello, struct pc_error *error)
{
    (void)context;
    (void)hello;
    (void)error;
    return PC_OK;
}

static void on_up(void *context, const struct pc_peer_hello *hello, const struct pc_addr *addr)
{
    (void)hello;
    (void)addr;
    ((struct side *)context)->up = true;
}

static void on_peer(void *context, pc_node_id peer)
{
    (void)context;
    (void)peer;
}

static void on_refused(void *context, pc_err why, const char *text)
{
    (void)context;
    (void)why;
    (void)text;
}

static void on_recv(void *context, const struct pc_msg *msg)
{
    (void)msg;
    ((struct side *)context)->received++;
}

static void side_open(struct side *side, struct event_base *base, pc_node_id id)
{
    *side = (struct side){.self = {.id = id, .generation = 1, .name = "bench"}};
    struct pc_bus_opts opts = {.base = base,
        .listen = "127.0.0.1:0",
        .cluster = "bench",
        .ops = {.context = side,
            .hello = on_hello,
            .admit = on_admit,
            .up = on_up,
            .down = on_peer,
            .lost = on_peer,
            .refused = on_refused,
            .recv = on_recv}};
    struct pc_error error;
    pc_err err = pc_bus_open(&opts, &side->bus, &error);
    PC_ASSERT(err == PC_OK);
}

/* `total` messages with one entry of `body` bytes each, `batch` per turn of the loop. */
static void run(struct event_base *base, struct side *from, struct side *to, uint64_t total,
    uint64_t batch, size_t body)
{
    struct pc_msg msg = {.type = PC_MSG_RAFT, .from = from->self.id, .to = to->self.id};
    msg.raft =
        (struct pc_raft_msg){.type = PC_RAFT_MSG_APPEND, .from = msg.from, .to = msg.to, .term = 3};
    uint8_t *bytes = calloc(1, body);
    PC_ASSERT(bytes != NULL);
    struct pc_entry entry = {.index = 1, .term = 1, .kind = PC_ENTRY_COMMAND};
    pc_err err = pc_blob_new(pc_slice_of(bytes, body), &entry.body);
    PC_ASSERT(err == PC_OK);
    pc_entries_push(&msg.raft.entries, &entry);
    to->received = 0;
    uint64_t sent = 0;
    struct pc_instant begin = pc_clock_now();
    while (to->received < total) {
        for (uint64_t i = 0; i < batch && sent < total && sent - to->received < 4 * batch; i++) {
            bool queued = pc_bus_send(from->bus, &msg);
            PC_ASSERT(queued);
            sent++;
        }
        pc_bus_flush(from->bus);
        event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    }
    double s = (double)(pc_clock_now().us - begin.us) / 1e6;
    printf("%-4" PRIu64 " per turn, %7zu bytes: %9.0f messages/s %8.1f MB/s\n", batch, body,
        (double)total / s, (double)total * (double)body / s / 1e6);
    pc_entry_clear(&entry);
    pc_msg_clear(&msg);
    free(bytes);
}

int main(void)
{
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    pc_log_setup(PC_LOG_ERROR, PC_LOG_LOGFMT, "bench");
    side_open(&a, base, 1);
    side_open(&b, base, 2);
    char address[32];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", pc_bus_port(b.bus));
    pc_bus_dial(a.bus, "b", address);
    while (!a.up) {
        event_base_loop(base, EVLOOP_ONCE);
    }
    run(base, &a, &b, 20000, 1, 64);
    run(base, &a, &b, 500000, 100, 64);
    run(base, &a, &b, 200000, 100, 1024);
    run(base, &a, &b, 4000, 4, PC_APPEND_BYTES_MAX);
    run(base, &a, &b, 100, 1, PC_VALUE_BYTES_MAX);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
    return 0;
}
