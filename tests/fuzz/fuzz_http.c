/* The REST API end to end: evhttp, the guard, our handlers, and behind them a whole node that is a
 * cluster of one, whose disk the input lets sync or not. Up to three clients on loopback send
 * anything:
 *
 *     0..2 bytes (n, n bytes)   3 a whole request (which, how)   4 the server runs
 *     5 time passes (n)         6 the client ends (how)          7 another client (which)
 *     8 the disk stops, goes on 9 draining begins
 *
 * The node is asked no more often than the bytes of each client hold whole requests, read by
 * nothing but the head parser and its lengths: nothing is smuggled. Answers are HTTP/1.1 and never
 * HTML. */
#define _GNU_SOURCE
#include "fuzz/kit/fuzz.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/http/http_int.h"
#include "pcache/os.h"

#define CLIENTS_MAX 3
#define OPS_MAX 48

struct client {
    int fd; /* -1: none */
    struct pc_buf sent;
    bool said_html;
    size_t answered; /* bytes */
};

struct world {
    struct pc_http *http;
    struct pc_node *node;
    struct pc_node_effects fx;
    uint64_t synced; /* newest write */
    bool disk_stopped;
    pc_ms skipped_ms; /* ahead of the clock */
    struct client clients[CLIENTS_MAX];
    size_t at;
    size_t requests; /* whole ones, of clients that are gone */
    size_t submitted;
    bool turning;
    uint64_t log_tag; /* of the page that the disk is asked for; 0 = none */
    pc_index log_first, log_last;
};

static struct event_base *base;

static struct pc_instant now_of(void *context)
{
    const struct world *w = context;
    return pc_instant_add_ms(pc_clock_now(), w->skipped_ms);
}

/* ---- the node, its disk at once or later */
static void node_event(struct world *w, struct pc_node_event *event)
{
    event->now = now_of(w);
    pc_node_step(w->node, event, &w->fx);
}

static void node_turn(struct world *w)
{
    for (int i = 0; i < 8; i++) {
        struct pc_node_event turn = {.type = PC_NODE_TURN};
        node_event(w, &turn);
        for (size_t k = 0; k < w->fx.writes_n; k++) {
            w->synced = w->fx.writes[k].seq;
        }
        for (size_t k = 0; k < w->fx.replies_n; k++) {
            pc_http_reply(w->http, &w->fx.replies[k]);
        }
        bool quiet = w->fx.writes_n == 0 && w->fx.replies_n == 0;
        pc_node_effects_clear(&w->fx);
        if (w->synced > 0 && !w->disk_stopped) {
            struct pc_node_event synced = {.type = PC_NODE_SYNCED};
            synced.u.seq = w->synced;
            node_event(w, &synced);
        }
        if (quiet && i > 0) {
            break;
        }
    }
    pc_node_check(w->node);
}

static void node_wake(struct world *w)
{
    struct pc_node_event wake = {.type = PC_NODE_WAKE};
    node_event(w, &wake);
    node_turn(w);
}

static void node_start(struct world *w)
{
    struct pc_node_opts opts = {0};
    pc_node_opts_default(&opts);
    pc_raft_opts_default(&opts.raft);
    pc_swim_opts_default(&opts.swim);
    opts.id = 1;
    opts.generation = 2;
    opts.seed = 3;
    opts.swim.packet_bytes_max = 1340;
    opts.history_seed[0] = 4;
    (void)snprintf(opts.name, sizeof opts.name, "node1");
    (void)snprintf(opts.members[0], sizeof opts.members[0], "node1");
    opts.members_n = 1;
    struct pc_node_restored restored = {.raft = {.wall_ms = 1000000}};
    struct pc_error error = {0};
    PC_ASSERT(pc_node_new(&opts, &restored, now_of(w), &w->node, &error) == PC_OK);
    struct pc_node_status status = {0};
    for (int i = 0; i < 100 && !status.ready; i++) {
        node_wake(w);
        w->skipped_ms += 20;
        pc_node_status(w->node, now_of(w), &status);
    }
    FUZZ_CHECK("a cluster of one is ready", status.ready);
}

/* ---- the server's owner */
static void on_submit(void *context, const struct pc_request *request)
{
    struct world *w = context;
    FUZZ_CHECK("a key", request->type != PC_REQUEST_GET ||
                            (request->key.len >= 1 && request->key.len <= PC_KEY_BYTES_MAX));
    FUZZ_CHECK("a bound",
        request->type != PC_REQUEST_WRITE || request->command.value.len <= PC_VALUE_BYTES_MAX);
    w->submitted++;
    struct pc_node_event event = {.type = PC_NODE_CLIENT, .u.request = request};
    node_event(w, &event);
}

static void on_transfer(void *context, pc_node_id target)
{
    struct world *w = context;
    struct pc_node_event event = {.type = PC_NODE_TRANSFER, .u.transfer_target = target};
    node_event(w, &event);
}

static void on_metrics(void *context, struct pc_buf *out)
{
    (void)context;
    (void)out;
}

/* ---- clients */
static void client_receive(struct client *client)
{
    char bytes[4096 + 1];
    ssize_t got;
    while (client->fd >= 0 && (got = recv(client->fd, bytes, 4096, MSG_DONTWAIT)) > 0) {
        bytes[got] = '\0';
        FUZZ_CHECK("an answer is HTTP", client->answered > 0 || got < 9 ||
                                            strncmp(bytes, "HTTP/1.1 ", 9) == 0 ||
                                            strncmp(bytes, "HTTP/1.0 ", 9) == 0);
        FUZZ_CHECK("never HTML", strstr(bytes, "<HTML><HEAD>") == NULL);
        client->answered += (size_t)got;
    }
}

/* The lines are empty ones: what is in them is not the server's business. */
static void give_page(struct world *w)
{
    struct pc_buf lines = {0};
    size_t n = (size_t)(w->log_last - w->log_first) / 2 + 1; /* a page may be cut short */
    for (size_t i = 0; i < n; i++) {
        pc_buf_append_u8(&lines, '\n');
    }
    struct pc_http_log_page page = {.tag = w->log_tag, .n = n, .lines = &lines};
    w->log_tag = 0;
    pc_http_log_page(w->http, &page);
    pc_buf_destroy(&lines);
}

static void run_server(struct world *w)
{
    for (int i = 0; i < 3; i++) {
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
        node_turn(w);
        pc_http_turn(w->http);
        if (w->log_tag != 0 && !w->disk_stopped) {
            give_page(w);
        }
    }
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        client_receive(&w->clients[i]);
    }
}

/* How many requests these bytes begin whole heads of. */
static size_t count_requests(const struct pc_http *http, struct pc_slice bytes)
{
    size_t n = 0;
    while (bytes.len > 0) {
        struct pc_http_head head = {0};
        size_t used = 0;
        if (pc_http_head_feed(&head, &http->limits, bytes, &used) != PC_HTTP_HEAD_DONE) {
            break;
        }
        n++;
        size_t skip = used + (size_t)head.content_length;
        if (skip > bytes.len) {
            break;
        }
        bytes = pc_slice_of(bytes.data + skip, bytes.len - skip);
    }
    return n;
}

static void client_forget(struct world *w, struct client *client)
{
    if (client->sent.len > 0) {
        w->requests += count_requests(w->http, pc_slice_of(client->sent.data, client->sent.len));
    }
    pc_buf_destroy(&client->sent);
    if (client->fd >= 0) {
        struct linger reset = {.l_onoff = 1};
        (void)setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        (void)close(client->fd);
    }
    *client = (struct client){.fd = -1};
}

static void client_send(struct world *w, const void *bytes, size_t len)
{
    struct client *client = &w->clients[w->at];
    if (client->fd < 0) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(pc_http_port(w->http))};
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        PC_ASSERT(client->fd >= 0);
        if (connect(client->fd, (struct sockaddr *)&to, sizeof to) != 0) {
            client_forget(w, client);
            return;
        }
    }
    ssize_t took = send(client->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (took > 0) {
        pc_buf_append(&client->sent, bytes, (size_t)took);
    }
}

/* Requests as they should be, for the input to mix with others. */
static void send_request(struct world *w, uint8_t which, uint8_t how)
{
    static const char *const lines[] = {"GET /v1/kv/k", "PUT /v1/kv/k", "DELETE /v1/kv/k",
        "POST /api/cache/k", "GET /api/cache/k", "PATCH /v1/kv/k", "GET /v1/status", "GET /metrics",
        "GET /v1/members", "GET /readyz", "POST /v1/leader/transfer", "HEAD /v1/kv/k",
        "GET /api/health", "GET /nothing", "GET /v1/leader", "PATCH /api/cache/k"};
    static const char *const of_the_log[] = {"GET /v1/log", "GET /v1/log?limit=1&wait=30s",
        "GET /v1/log?from=1&limit=1", "GET /v1/log?from=5&wait=2s"};
    static const char *const bodies[] = {
        "", "value", "{\"ttl\":\"5s\"}", "{\"value\":1,\"ttl\":9}"};
    char text[512];
    const char *line = which < 240 ? lines[which % 16] : of_the_log[which % 4];
    bool has_body = line[0] == 'P';
    const char *body = has_body ? bodies[how & 3] : "";
    int len = snprintf(text, sizeof text, "%s%s HTTP/1.%d\r\nHost: x\r\n%s", line,
        (how & 4) != 0 ? "?ttl=2s" : "", (how & 8) != 0 ? 0 : 1,
        (how & 16) != 0 ? "Connection: close\r\n" : "");
    if (has_body) {
        len += snprintf(
            text + len, sizeof text - (size_t)len, "Content-Length: %zu\r\n", strlen(body));
    }
    len += snprintf(text + len, sizeof text - (size_t)len, "%s\r\n%s",
        (how & 32) != 0 ? "Expect: 100-continue\r\n" : "", body);
    client_send(w, text, (size_t)len);
}

/* ---- operations */
static void run_op(struct world *w, struct fuzz_in *in)
{
    uint8_t code = fuzz_u8(in) % 10, a;
    struct pc_slice bytes;
    switch (code) {
    case 0:
    case 1:
    case 2:
        bytes = fuzz_bytes(in, fuzz_u8(in));
        client_send(w, bytes.data, bytes.len);
        break;
    case 3:
        a = fuzz_u8(in);
        send_request(w, a, fuzz_u8(in));
        break;
    case 5:
        w->skipped_ms += (pc_ms)fuzz_u8(in) * 100;
        node_wake(w);
        break;
    case 6:
        a = fuzz_u8(in);
        if (w->clients[w->at].fd >= 0 && (a & 1) != 0) {
            (void)shutdown(w->clients[w->at].fd, SHUT_WR);
        } else {
            client_forget(w, &w->clients[w->at]);
        }
        break;
    case 7:
        w->at = fuzz_u8(in) % CLIENTS_MAX;
        break;
    case 8:
        w->disk_stopped = !w->disk_stopped;
        break;
    case 9:
        if (fuzz_u8(in) == 0) {
            pc_http_drain_begin(w->http);
        }
        break;
    default:
        break;
    }
    run_server(w);
}

static bool on_snapshot_read(
    void *context, uint64_t tag, pc_index index, uint64_t offset, size_t max)
{
    (void)context;
    (void)tag;
    (void)index;
    (void)offset;
    (void)max;
    return false; /* there is no disk here */
}

static bool on_rollback_ask(void *context, uint64_t tag, enum pc_http_rollback_ask what,
    const char *name, const struct pc_http_place *place)
{
    (void)context;
    (void)tag;
    (void)what;
    (void)name;
    (void)place;
    return false;
}

static void on_log_read(void *context, uint64_t tag, pc_index first, pc_index last)
{
    struct world *w = context;
    struct pc_node_log_span span;
    pc_node_log_span(w->node, &span);
    FUZZ_CHECK("one page at a time", w->log_tag == 0 && tag != 0);
    FUZZ_CHECK("of what there is", first >= span.oldest && first <= last && last <= span.last);
    w->log_tag = tag;
    w->log_first = first;
    w->log_last = last;
}

static uint64_t on_rollbacks_pending(void *context)
{
    (void)context;
    return 0;
}

static void world_open(struct world *w)
{
    struct pc_error error = {0};
    if (base == NULL) {
        pc_log_setup(PC_LOG_ERROR, PC_LOG_LOGFMT, "fuzz");
        base = event_base_new();
    }
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        w->clients[i].fd = -1;
    }
    struct pc_http_opts opts = {0};
    pc_http_opts_default(&opts);
    opts.base = base;
    opts.listen = "127.0.0.1:0";
    opts.version = "1.0.0";
    opts.fsync_mode = "always";
    opts.head_bytes_max = 600;
    opts.target_bytes_max = 200;
    opts.headers_max = 8;
    opts.value_bytes_max = 4096;
    opts.in_flight_max = 4;
    opts.ops = (struct pc_http_ops){.context = w,
        .submit = on_submit,
        .transfer = on_transfer,
        .snapshot_read = on_snapshot_read,
        .log_read = on_log_read,
        .rollback_ask = on_rollback_ask,
        .rollbacks_pending = on_rollbacks_pending,
        .metrics = on_metrics,
        .now = now_of};
    node_start(w);
    opts.node = w->node;
    PC_ASSERT(pc_http_open(&opts, &w->http, &error) == PC_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct world *w = pc_xalloc(sizeof *w);
    world_open(w);
    for (int i = 0; i < OPS_MAX && fuzz_left(&in) > 0; i++) {
        run_op(w, &in);
    }
    w->disk_stopped = false;
    run_server(w);
    for (size_t i = 0; i < CLIENTS_MAX; i++) {
        client_forget(w, &w->clients[i]);
    }
    FUZZ_CHECK("nothing is smuggled", w->submitted <= w->requests);
    run_server(w);
    pc_http_close(w->http);
    pc_node_delete(w->node);
    pc_node_effects_destroy(&w->fx);
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    free(w);
    return 0;
}
