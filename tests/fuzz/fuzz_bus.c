/* The peer bus, told anything by somebody who has the cluster key. The target keeps up to three
 * connections, of which it dials some and the bus the others, and speaks the handshake itself: the
 * input says which steps come, in which order, what is wrong with them, and what the frames hold.
 *
 *     0 greeting   1 greeting, a byte changed (place, mask)   2 raw bytes (n, n bytes)
 *     3 stream header   4 frame (kind, flags, n, n bytes)   5 HELLO (who, generation, flags)
 *     6 the bus runs   7 the connection ends (how)   8 a new one (direction)   9 another one
 * (which) 10 the bus sends (to whom)
 *
 * No message arrives before its sender has said who it is, under the right key; every `up` has its
 * `down`; nothing is counted twice. */
#define _GNU_SOURCE
#include "fuzz/kit/fuzz.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/bus/bus_int.h"
#include "pcache/mpack.h"

#define CONNS_MAX 3
#define OPS_MAX 64
#define PEER "peer"

struct line {
    int fd; /* -1: none */
    bool dialled_by_bus;
    struct pc_addr addr;
    uint8_t public_key[crypto_kx_PUBLICKEYBYTES];
    uint8_t secret_key[crypto_kx_SECRETKEYBYTES];
    uint8_t ours[BUS_GREETING_I_BYTES], theirs[BUS_GREETING_I_BYTES];
    size_t theirs_n;
    bool has_keys;
    crypto_secretstream_xchacha20poly1305_state push;
    uint8_t header[crypto_secretstream_xchacha20poly1305_HEADERBYTES];
};

struct world {
    struct pc_bus *bus;
    int listen_fd; /* where the bus dials */
    struct line lines[CONNS_MAX];
    size_t at;
    bool said_hello[256]; /* by id, under the right key */
    int ups;
    uint64_t received;
    bool refuses;
};

static struct event_base *base;
static struct pc_resolver *resolver;

/* ---- the bus's owner */
static void on_hello(void *context, struct pc_peer_hello *out)
{
    (void)context;
    *out = (struct pc_peer_hello){.id = 1, .generation = 5, .name = "self"};
}

static pc_err on_admit(void *context, const struct pc_peer_hello *hello, struct pc_error *error)
{
    const struct world *w = context;
    FUZZ_CHECK("a hello was sent", hello->id < 256 && w->said_hello[hello->id]);
    FUZZ_CHECK("names end", memchr(hello->name, '\0', sizeof hello->name) != NULL);
    return w->refuses ? pc_error_set(error, PC_E_AUTH, "not you") : PC_OK;
}

static void on_up(void *context, const struct pc_peer_hello *hello, const struct pc_addr *peer)
{
    struct world *w = context;
    FUZZ_CHECK("a hello was sent", w->said_hello[hello->id]);
    FUZZ_CHECK("an address", !pc_addr_is_none(peer));
    w->ups++;
}

static void on_down(void *context, pc_node_id peer)
{
    struct world *w = context;
    FUZZ_CHECK("what was up is down", w->ups > 0 && w->said_hello[peer & 255]);
    w->ups--;
}

static void on_lost(void *context, pc_node_id peer)
{
    const struct world *w = context;
    FUZZ_CHECK("who is lost was there", w->said_hello[peer & 255]);
}

static void on_refused(void *context, pc_err why, const char *text)
{
    (void)context;
    FUZZ_CHECK("a known reason", why == PC_E_AUTH || why == PC_E_STALE || why == PC_E_SUPERSEDED);
    FUZZ_CHECK("a text", strlen(text) < 256);
}

static void on_recv(void *context, const struct pc_msg *msg)
{
    struct world *w = context;
    FUZZ_CHECK("the sender is known", msg->from < 256 && w->said_hello[msg->from]);
    FUZZ_CHECK("to this node", msg->to == 1);
    w->received++;
}

/* ---- lines */
static void run_bus(struct world *w)
{
    (void)w;
    for (int i = 0; i < 4; i++) {
        (void)event_base_loop(base, EVLOOP_NONBLOCK);
    }
}

static void line_close(struct line *line, unsigned how)
{
    if (line->fd < 0) {
        return;
    }
    if (how % 3 == 1) {
        (void)shutdown(line->fd, SHUT_WR);
        return;
    }
    struct linger reset = {.l_onoff = 1};
    (void)setsockopt(line->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    (void)close(line->fd);
    line->fd = -1;
}

static void line_send(struct line *line, const void *bytes, size_t len)
{
    if (line->fd >= 0 && len > 0) {
        (void)send(line->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void line_open(struct world *w, struct line *line, bool dialled_by_bus)
{
    line_close(line, 0);
    *line = (struct line){.fd = -1, .dialled_by_bus = dialled_by_bus};
    crypto_kx_keypair(line->public_key, line->secret_key);
    struct pc_addr addr = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}, .port = 1};
    if (dialled_by_bus) {
        for (int i = 0; i < 8 && line->fd < 0; i++) {
            run_bus(w);
            line->fd = accept4(w->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        }
        return;
    }
    int ends[2];
    PC_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    line->fd = ends[0];
    (void)bus_conn_accepted(w->bus, ends[1], &addr);
}

/* The layout of docs/PROTOCOL.md. */
static size_t greeting_make(const struct world *w, struct line *line)
{
    static const uint8_t begin[7] = {'p', 'c', 'b', 's', 1, 1, 255};
    uint8_t *out = line->ours;
    memset(out, 0, sizeof line->ours);
    memcpy(out, begin, sizeof begin);
    if (line->dialled_by_bus) {
        memcpy(out + 8, line->public_key, sizeof line->public_key);
        return BUS_GREETING_R_BYTES;
    }
    memcpy(out + 8, w->bus->cluster_id, sizeof w->bus->cluster_id);
    memcpy(out + 40, line->public_key, sizeof line->public_key);
    return BUS_GREETING_I_BYTES;
}

static void derive_push(const struct world *w, struct line *line)
{
    bool server = line->dialled_by_bus;
    uint8_t rx[crypto_kx_SESSIONKEYBYTES], tx[crypto_kx_SESSIONKEYBYTES], transcript[32];
    uint8_t key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    const uint8_t *theirs = line->theirs + (server ? 40 : 8);
    int rc =
        server ? crypto_kx_server_session_keys(rx, tx, line->public_key, line->secret_key, theirs)
               : crypto_kx_client_session_keys(rx, tx, line->public_key, line->secret_key, theirs);
    if (rc != 0) {
        return;
    }
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, sizeof transcript);
    crypto_generichash_update(&state, server ? line->theirs : line->ours, BUS_GREETING_I_BYTES);
    crypto_generichash_update(&state, server ? line->ours : line->theirs, BUS_GREETING_R_BYTES);
    crypto_generichash_final(&state, transcript, sizeof transcript);
    crypto_generichash_init(&state, w->bus->cluster_key, sizeof w->bus->cluster_key, sizeof key);
    crypto_generichash_update(&state, (const uint8_t *)"pcache-bus-v1", 13);
    crypto_generichash_update(&state, (const uint8_t *)(server ? "r2i" : "i2r"), 3);
    crypto_generichash_update(&state, tx, sizeof tx);
    crypto_generichash_update(&state, transcript, sizeof transcript);
    crypto_generichash_final(&state, key, sizeof key);
    crypto_secretstream_xchacha20poly1305_init_push(&line->push, line->header, key);
    line->has_keys = true;
}

/* Their greeting as far as it is there, then everything else into the void. */
static void line_listen(const struct world *w, struct line *line)
{
    size_t need = line->dialled_by_bus ? BUS_GREETING_I_BYTES : BUS_GREETING_R_BYTES;
    if (line->fd < 0) {
        return;
    }
    if (line->theirs_n < need) {
        ssize_t got =
            recv(line->fd, line->theirs + line->theirs_n, need - line->theirs_n, MSG_DONTWAIT);
        line->theirs_n += got > 0 ? (size_t)got : 0;
    }
    if (line->theirs_n == need && !line->has_keys) {
        derive_push(w, line);
    }
    uint8_t void_[2048];
    while (line->theirs_n == need && recv(line->fd, void_, sizeof void_, MSG_DONTWAIT) > 0) {
    }
}

/* flags: 1 the final tag, 2 a rekey tag, 4 a byte is damaged, 8 the length lies. */
static void line_frame(struct line *line, uint8_t kind, struct pc_slice body, unsigned flags)
{
    uint8_t frame[4096];
    uint8_t inner[2048];
    if (!line->has_keys || body.len + 1 > sizeof inner) {
        return;
    }
    inner[0] = kind;
    if (body.len > 0) {
        memcpy(inner + 1, body.data, body.len);
    }
    unsigned char tag = (flags & 1) != 0   ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
                        : (flags & 2) != 0 ? crypto_secretstream_xchacha20poly1305_TAG_REKEY
                                           : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE;
    size_t sealed = body.len + 1 + BUS_SEAL_BYTES;
    pc_put_u32(frame, (uint32_t)sealed + ((flags & 8) != 0 ? 1u << (flags >> 4) : 0));
    crypto_secretstream_xchacha20poly1305_push(&line->push, frame + BUS_FRAME_HEAD_BYTES, NULL,
        inner, body.len + 1, frame, BUS_FRAME_HEAD_BYTES, tag);
    frame[BUS_FRAME_HEAD_BYTES + 2] ^= (flags & 4) != 0;
    line_send(line, frame, BUS_FRAME_HEAD_BYTES + sealed);
}

static void line_hello(struct world *w, struct line *line, struct fuzz_in *in)
{
    static const char *const names[] = {PEER, "other", "self", "bad name", ""};
    uint8_t who = fuzz_u8(in), generation = fuzz_u8(in), flags = fuzz_u8(in);
    uint8_t zeros[16] = {0}, boot[16] = {flags};
    struct pc_buf body = {0};
    struct pc_mpack_writer writer = pc_mpack_writer_of(&body);
    pc_node_id id = 1 + who % 4;
    bool whole = (flags & 8) != 0 && (flags & 16) == 0;
    pc_mpack_write_array(&writer, whole ? 12 : (flags & 16) != 0 ? 7 : (flags & 64) != 0 ? 6 : 5);
    pc_mpack_write_str(&writer, pc_slice_str(names[(who >> 2) % 5]));
    pc_mpack_write_uint(&writer, id);
    pc_mpack_write_bin(&writer, pc_slice_of(zeros, (flags & 32) != 0 ? 3 : 16));
    pc_mpack_write_uint(&writer, generation);
    pc_mpack_write_bin(&writer, pc_slice_of(boot, sizeof boot));
    if (whole || (flags & (16 | 64)) != 0) {
        pc_mpack_write_uint(&writer, (flags & 128) != 0 ? 70000 : generation);
    }
    if ((flags & 16) != 0) {
        pc_mpack_write_nil(&writer);
    }
    for (unsigned i = 0; i < 5 && whole; i++) {
        pc_mpack_write_uint(&writer, i < 4 ? generation : flags & 1);
    }
    if (whole) {
        pc_mpack_write_str(&writer, pc_slice_str((flags & 2) != 0 ? "1.2" : "no version"));
    }
    w->said_hello[id] = w->said_hello[id] || line->has_keys;
    line_frame(line, BUS_FRAME_HELLO, pc_slice_of(body.data, body.len), 0);
    pc_buf_destroy(&body);
}

/* ---- operations */
static void greet(struct world *w, struct line *line, uint8_t place, uint8_t mask)
{
    size_t len = greeting_make(w, line);
    uint8_t sent[BUS_GREETING_I_BYTES];
    memcpy(sent, line->ours, len);
    sent[place % len] ^= mask;
    line_send(line, sent, len);
}

static void send_from_bus(struct world *w, pc_node_id to)
{
    struct pc_msg msg = {.type = PC_MSG_RAFT, .from = 1, .to = to};
    msg.raft =
        (struct pc_raft_msg){.type = PC_RAFT_MSG_TIMEOUT_NOW, .from = 1, .to = to, .term = 2};
    (void)pc_bus_send(w->bus, &msg);
    pc_bus_flush(w->bus);
}

static void run_op(struct world *w, struct fuzz_in *in)
{
    struct line *line = &w->lines[w->at];
    line_listen(w, line);
    uint8_t code = fuzz_u8(in), a, b;
    struct pc_slice bytes;
    switch (code % 11) {
    case 0:
        greet(w, line, 0, 0);
        break;
    case 1:
        a = fuzz_u8(in);
        b = fuzz_u8(in);
        greet(w, line, a, b);
        break;
    case 2:
        bytes = fuzz_bytes(in, fuzz_u8(in));
        line_send(line, bytes.data, bytes.len);
        break;
    case 3:
        line_send(line, line->header, line->has_keys ? sizeof line->header : 0);
        break;
    case 4:
        a = fuzz_u8(in);
        b = fuzz_u8(in);
        bytes = fuzz_bytes(in, fuzz_u8(in));
        /* A HELLO of any content may be one. */
        memset(w->said_hello, a == BUS_FRAME_HELLO, a == BUS_FRAME_HELLO ? 256 : 0);
        line_frame(line, a, bytes, b);
        break;
    case 5:
        line_hello(w, line, in);
        break;
    case 7:
        line_close(line, fuzz_u8(in));
        break;
    case 8:
        line_open(w, line, (fuzz_u8(in) & 1) != 0);
        break;
    case 9:
        w->at = fuzz_u8(in) % CONNS_MAX;
        break;
    case 10:
        send_from_bus(w, 2 + fuzz_u8(in) % 3);
        break;
    default:
        break;
    }
    run_bus(w);
}

static void check_bus(const struct world *w)
{
    struct pc_bus_stats stats;
    size_t unauthenticated = 0;
    const struct bus_conn *conn;
    TAILQ_FOREACH(conn, &w->bus->conns, entry)
    {
        FUZZ_CHECK("a state", conn->state < BUS_CONN_CLOSED);
        FUZZ_CHECK("UP has a peer", (conn->state == BUS_CONN_UP) == (conn->peer != NULL));
        bool before = !bus_conn_is_outgoing(conn) && conn->state != BUS_CONN_UP;
        unauthenticated += before;
        FUZZ_CHECK("bounded", !before || conn->in_cap <= PC_BUS_HANDSHAKE_BYTES_MAX);
    }
    FUZZ_CHECK("counted right", unauthenticated == w->bus->unauthenticated_n);
    pc_bus_stats(w->bus, &stats);
    FUZZ_CHECK("received is counted", w->received <= stats.frames_received);
}

static int open_listener(uint16_t *port)
{
    struct pc_error error;
    int fd = -1;
    PC_ASSERT(pc_os_listen_tcp("127.0.0.1:0", &fd, &error) == PC_OK);
    *port = pc_os_local_port(fd);
    return fd;
}

static void world_open(struct world *w, uint8_t flags)
{
    struct pc_error error;
    if (base == NULL) {
        pc_log_setup(PC_LOG_ERROR, PC_LOG_LOGFMT, "fuzz");
        PC_ASSERT(sodium_init() >= 0);
        base = event_base_new();
        PC_ASSERT(pc_resolver_open(base, &resolver, &error) == PC_OK);
    }
    struct pc_bus_opts opts = {.base = base,
        .listen = "127.0.0.1:0",
        .cluster = "fuzz",
        .cluster_key = {7, 7, 7},
        .resolver = resolver,
        .seed = 1,
        .ops = {.context = w,
            .hello = on_hello,
            .admit = on_admit,
            .up = on_up,
            .down = on_down,
            .lost = on_lost,
            .refused = on_refused,
            .recv = on_recv}};
    PC_ASSERT(pc_bus_open(&opts, &w->bus, &error) == PC_OK);
    w->refuses = (flags & 1) != 0;
    w->listen_fd = -1;
    if ((flags & 2) != 0) {
        uint16_t port = 0;
        char address[32];
        w->listen_fd = open_listener(&port);
        (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
        pc_bus_dial(w->bus, PEER, address);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    struct world w = {0};
    for (size_t i = 0; i < CONNS_MAX; i++) {
        w.lines[i].fd = -1;
    }
    uint8_t flags = fuzz_u8(&in);
    world_open(&w, flags);
    line_open(&w, &w.lines[0], w.listen_fd >= 0 && (flags & 4) != 0);
    for (int i = 0; i < OPS_MAX && fuzz_left(&in) > 0; i++) {
        run_op(&w, &in);
        check_bus(&w);
    }
    for (size_t i = 0; i < CONNS_MAX; i++) {
        line_close(&w.lines[i], 0);
    }
    run_bus(&w);
    check_bus(&w);
    pc_bus_close(w.bus);
    if (w.listen_fd >= 0) {
        (void)close(w.listen_fd);
    }
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    return 0;
}
