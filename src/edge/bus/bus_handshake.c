/* The handshake (docs/PROTOCOL.md): one clear greeting each way with an ephemeral key, then both
 * speak under keys that need those ephemeral secrets *and* the cluster key.
 *
 *   dialled                                     accepted
 *     | greeting: protocols, cluster, key, random > |
 *     | <------- greeting: protocols, key, random   |   both derive the session keys
 *     | stream header, HELLO ---------------------> |   admits, or answers REFUSED
 *     | <----------------- stream header, HELLO     |
 *     | admits: link is up                          |
 *
 * The accepting side says HELLO only after that of the other side has decrypted, so whoever lacks
 * the cluster key learns nothing and makes it do nothing but two scalar multiplications. A replayed
 * greeting meets a fresh key: what was recorded behind it does not decrypt.
 *
 * Two sides without a protocol in common go on to HELLO all the same, for it says who they are, and
 * only then part: whose program is too old is a claim to be made by name, and by somebody with the
 * cluster key. So greetings, HELLO and REFUSED are read by every version: what is added to HELLO
 * stands behind what was there, and is read over by who does not know it. The ranges are part of
 * what the keys are made of: nobody on the way can have an older protocol spoken. */
#include "bus_int.h"

#include <stdio.h>
#include <string.h>

#include "pcache/assert.h"
#include "pcache/mpack.h"

static const uint8_t magic[4] = {'p', 'c', 'b', 's'};
static const char key_label[] = "pcache-bus-v1";

/* Of the handshake itself, which every protocol begins with. */
#define VERSION 1
/* Offsets in both greetings: magic 0, version 4, lowest and highest protocol 5 and 6, zero 7; then
 * they differ. Programs of before there were numbers have zeros at 5 and 6. */
#define MIN_AT 5
#define MAX_AT 6
#define I_CLUSTER_AT 8
#define I_KEY_AT 40
#define I_RANDOM_AT 72
#define R_KEY_AT 8
#define R_RANDOM_AT 40
#define RANDOM_BYTES 16
/* Fields of a HELLO: of the earliest version, with its port, with what a life says of its
 * beginning, and with the version of the program. */
#define HELLO_FIELDS_LEAST 5
#define HELLO_FIELDS_NO_LIFE 6
#define HELLO_FIELDS_LIFE 11
#define HELLO_FIELDS 12

PC_STATIC_ASSERT(I_RANDOM_AT + RANDOM_BYTES == BUS_GREETING_I_BYTES, "layout of a greeting");
PC_STATIC_ASSERT(R_RANDOM_AT + RANDOM_BYTES == BUS_GREETING_R_BYTES, "layout of an answer");

/* Codes in a REFUSED. */
#define REFUSED_OTHER 0
#define REFUSED_STALE 1
#define REFUSED_SUPERSEDED 2

struct hello {
    struct pc_peer_hello peer;
    uint8_t boot[BUS_BOOT_BYTES];
    uint16_t port; /* that its bus listens on; 0 = it does not say */
};

/* Our own greeting goes into the transcript and out. */
static void send_greeting(struct bus_conn *conn)
{
    bool outgoing = bus_conn_is_outgoing(conn);
    uint8_t *out = conn->greetings + (outgoing ? 0 : BUS_GREETING_I_BYTES);
    crypto_kx_keypair(conn->public_key, conn->secret_key);
    memcpy(out, magic, sizeof magic);
    out[sizeof magic] = VERSION;
    out[MIN_AT] = conn->bus->protocols.min;
    out[MAX_AT] = conn->bus->protocols.max;
    if (outgoing) {
        memcpy(out + I_CLUSTER_AT, conn->bus->cluster_id, sizeof conn->bus->cluster_id);
    }
    memcpy(out + (outgoing ? I_KEY_AT : R_KEY_AT), conn->public_key, sizeof conn->public_key);
    pc_entropy(out + (outgoing ? I_RANDOM_AT : R_RANDOM_AT), RANDOM_BYTES);
    pc_buf_append(&conn->out, out, outgoing ? BUS_GREETING_I_BYTES : BUS_GREETING_R_BYTES);
    bus_conn_mark_dirty(conn);
}

void bus_handshake_begin(struct bus_conn *conn)
{
    PC_ASSERT(bus_conn_is_outgoing(conn));
    send_greeting(conn);
    bus_conn_move(conn, BUS_CONN_GREETING);
}

/* key = BLAKE2b-256(key = cluster key, label || direction || kx key || H(greetings)) */
static void derive_key(
    const struct bus_conn *conn, const char *direction, const uint8_t *kx, uint8_t *out)
{
    uint8_t transcript[32];
    crypto_generichash(
        transcript, sizeof transcript, conn->greetings, sizeof conn->greetings, NULL, 0);
    const uint8_t *cluster_key = conn->bus->cluster_key;
    crypto_generichash_state state;
    crypto_generichash_init(&state, cluster_key, sizeof conn->bus->cluster_key,
        crypto_secretstream_xchacha20poly1305_KEYBYTES);
    crypto_generichash_update(&state, (const uint8_t *)key_label, sizeof key_label - 1);
    crypto_generichash_update(&state, (const uint8_t *)direction, 3);
    crypto_generichash_update(&state, kx, crypto_kx_SESSIONKEYBYTES);
    crypto_generichash_update(&state, transcript, sizeof transcript);
    crypto_generichash_final(&state, out, crypto_secretstream_xchacha20poly1305_KEYBYTES);
    sodium_memzero(&state, sizeof state);
}

/* Both session keys from the two greetings. False when the other side's key is a degenerate one. */
static bool derive_session(struct bus_conn *conn, const uint8_t *their_key)
{
    bool outgoing = bus_conn_is_outgoing(conn);
    uint8_t rx[crypto_kx_SESSIONKEYBYTES];
    uint8_t tx[crypto_kx_SESSIONKEYBYTES];
    uint8_t key[crypto_secretstream_xchacha20poly1305_KEYBYTES];
    int rc =
        outgoing
            ? crypto_kx_client_session_keys(rx, tx, conn->public_key, conn->secret_key, their_key)
            : crypto_kx_server_session_keys(rx, tx, conn->public_key, conn->secret_key, their_key);
    sodium_memzero(conn->secret_key, sizeof conn->secret_key);
    if (rc == 0) {
        derive_key(conn, outgoing ? "i2r" : "r2i", tx, key);
        crypto_secretstream_xchacha20poly1305_init_push(&conn->push, conn->push_header, key);
        derive_key(conn, outgoing ? "r2i" : "i2r", rx, conn->pull_key);
    }
    sodium_memzero(rx, sizeof rx);
    sodium_memzero(tx, sizeof tx);
    sodium_memzero(key, sizeof key);
    return rc == 0;
}

static void send_hello(struct bus_conn *conn)
{
    struct pc_peer_hello hello = {0};
    conn->bus->ops.hello(conn->bus->ops.context, &hello);
    PC_ASSERT(hello.id != 0);
    size_t begin = bus_frame_begin(conn, BUS_FRAME_HELLO);
    struct pc_mpack_writer writer = pc_mpack_writer_of(&conn->out);
    pc_mpack_write_array(&writer, hello.has_life ? HELLO_FIELDS : HELLO_FIELDS_NO_LIFE);
    pc_mpack_write_str(&writer, pc_slice_str(hello.name));
    pc_mpack_write_uint(&writer, hello.id);
    pc_mpack_write_bin(&writer, pc_slice_of(hello.history, sizeof hello.history));
    pc_mpack_write_uint(&writer, hello.generation);
    pc_mpack_write_bin(&writer, pc_slice_of(conn->bus->boot, sizeof conn->bus->boot));
    pc_mpack_write_uint(&writer, conn->bus->port);
    if (hello.has_life) {
        pc_mpack_write_uint(&writer, hello.mark);
        pc_mpack_write_uint(&writer, hello.prev_generation);
        pc_mpack_write_uint(&writer, hello.term);
        pc_mpack_write_uint(&writer, hello.last);
        pc_mpack_write_uint(&writer, hello.is_lossy ? 1 : 0);
        pc_mpack_write_str(&writer, pc_slice_str(hello.build));
    }
    bus_frame_end(conn, begin);
}

/* The text goes out before the connection is closed: it is small, the socket takes it. */
static void refuse(struct bus_conn *conn, const char *peer, const struct pc_error *error)
{
    struct pc_bus_stats *stats = &conn->bus->stats;
    ++*(error->code == PC_E_VERSION ? &stats->rejected_version : &stats->rejected_identity);
    bus_refusal_log(conn, peer, true, error->text);
    size_t begin = bus_frame_begin(conn, BUS_FRAME_REFUSED);
    struct pc_mpack_writer writer = pc_mpack_writer_of(&conn->out);
    pc_mpack_write_array(&writer, 2);
    pc_mpack_write_str(&writer, pc_slice_str(error->text));
    pc_mpack_write_uint(&writer, error->code == PC_E_STALE        ? REFUSED_STALE
                                 : error->code == PC_E_SUPERSEDED ? REFUSED_SUPERSEDED
                                                                  : REFUSED_OTHER);
    bus_frame_end(conn, begin);
    if (bus_conn_is_outgoing(conn)) {
        bus_link_on_refused(conn->link);
    }
    bus_conn_flush(conn);
    if (conn->state != BUS_CONN_CLOSED) {
        bus_conn_close(conn, BUS_END_REFUSED, "refused");
    }
}

/* Zeros are those of a program that knows of no numbers. */
static struct pc_protocols greeting_protocols(const uint8_t *bytes)
{
    struct pc_protocols range = {.min = bytes[MIN_AT], .max = bytes[MAX_AT]};
    if (range.min == 0 && range.max == 0) {
        range.min = range.max = PC_PROTOCOL_FIRST;
    }
    return range;
}

size_t bus_handshake_recv_greeting(struct bus_conn *conn, const uint8_t *bytes, size_t len)
{
    PC_ASSERT(conn->state == BUS_CONN_GREETING);
    struct pc_bus *bus = conn->bus;
    bool outgoing = bus_conn_is_outgoing(conn);
    size_t need = outgoing ? BUS_GREETING_R_BYTES : BUS_GREETING_I_BYTES;
    /* Whoever talks another protocol is told from its first bytes, not at the deadline. */
    if (memcmp(bytes, magic, len < sizeof magic ? len : sizeof magic) != 0) {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, "not the bus protocol");
        return 0;
    }
    if (len > sizeof magic && bytes[sizeof magic] != VERSION) {
        bus_conn_reject(conn, &bus->stats.rejected_version,
            "another handshake: a much later version of the program; upgrade this one first");
        return 0;
    }
    if (len < need) {
        return 0;
    }
    conn->theirs = greeting_protocols(bytes);
    if (conn->theirs.min == 0 || conn->theirs.min > conn->theirs.max) {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, "not a range of protocols");
        return 0;
    }
    conn->protocol = pc_protocols_common(bus->protocols, conn->theirs);
    if (!outgoing && memcmp(bytes + I_CLUSTER_AT, bus->cluster_id, sizeof bus->cluster_id) != 0) {
        bus_conn_reject(conn, &bus->stats.rejected_cluster, "a node of another cluster");
        return 0;
    }
    memcpy(conn->greetings + (outgoing ? BUS_GREETING_I_BYTES : 0), bytes, need);
    if (!outgoing) {
        send_greeting(conn);
    }
    if (!derive_session(conn, bytes + (outgoing ? R_KEY_AT : I_KEY_AT))) {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, "a degenerate public key");
        return 0;
    }
    bus_conn_move(conn, BUS_CONN_HELLO);
    if (outgoing) {
        send_hello(conn);
    }
    return need;
}

static bool name_is_valid(struct pc_slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
        if (!ok) {
            return false;
        }
    }
    return name.len > 0;
}

/* What a life says of its beginning; peers of before said nothing of it. */
static void decode_hello_life(struct pc_mpack_reader *reader, struct pc_peer_hello *out)
{
    out->has_life = true;
    out->mark = pc_mpack_read_uint(reader, UINT64_MAX);
    out->prev_generation = pc_mpack_read_uint(reader, UINT64_MAX);
    out->term = pc_mpack_read_uint(reader, PC_TERM_MAX);
    out->last = pc_mpack_read_uint(reader, UINT64_MAX);
    out->is_lossy = pc_mpack_read_uint(reader, 1) == 1;
}

/* For people: what does not look like a version is none. */
static void decode_hello_build(struct pc_mpack_reader *reader, struct pc_peer_hello *out)
{
    struct pc_slice build = pc_mpack_read_str(reader, PC_BUILD_BYTES_MAX);
    for (size_t i = 0; i < build.len; i++) {
        if (build.data[i] <= ' ' || build.data[i] > '~') {
            return;
        }
    }
    memcpy(out->build, build.data, build.len);
}

static pc_err decode_hello(struct pc_slice body, struct hello *out)
{
    struct hello hello = {0};
    struct pc_mpack_reader reader = pc_mpack_reader_of(body);
    uint32_t n = pc_mpack_read_array(&reader);
    struct pc_slice name = pc_mpack_read_str(&reader, PC_NAME_BYTES_MAX);
    hello.peer.id = pc_mpack_read_uint(&reader, UINT64_MAX);
    struct pc_slice history = pc_mpack_read_bin(&reader, sizeof hello.peer.history);
    hello.peer.generation = pc_mpack_read_uint(&reader, UINT64_MAX);
    struct pc_slice boot = pc_mpack_read_bin(&reader, sizeof hello.boot);
    if (n >= HELLO_FIELDS_NO_LIFE) {
        hello.port = (uint16_t)pc_mpack_read_uint(&reader, UINT16_MAX);
    }
    if (n >= HELLO_FIELDS_LIFE) {
        decode_hello_life(&reader, &hello.peer);
    }
    if (n >= HELLO_FIELDS) {
        decode_hello_build(&reader, &hello.peer);
    }
    uint32_t known = n >= HELLO_FIELDS           ? HELLO_FIELDS
                     : n >= HELLO_FIELDS_LIFE    ? HELLO_FIELDS_LIFE
                     : n >= HELLO_FIELDS_NO_LIFE ? HELLO_FIELDS_NO_LIFE
                                                 : HELLO_FIELDS_LEAST;
    pc_mpack_skip_rest(&reader, n > known ? n - known : 0);
    bool sane = hello.peer.id != 0 && history.len == sizeof hello.peer.history &&
                boot.len == sizeof hello.boot && name_is_valid(name);
    if (pc_mpack_finish(&reader) != PC_OK || !sane) {
        return PC_E_MALFORMED;
    }
    memcpy(hello.peer.name, name.data, name.len);
    memcpy(hello.peer.history, history.data, history.len);
    memcpy(hello.boot, boot.data, boot.len);
    *out = hello;
    return PC_OK;
}

/* A process that has been replaced must not speak in the name of the one in its place; nor must a
 * copy of its data directory. Which of the two it is shows by whether the later one is there. */
static bool is_stale_life(
    const struct bus_peer *peer, const struct hello *hello, struct pc_error *error)
{
    if (hello->peer.generation > peer->generation) {
        return false;
    }
    if (hello->peer.generation == peer->generation) {
        if (memcmp(hello->boot, peer->boot, sizeof peer->boot) == 0) {
            return false;
        }
        (void)pc_error_set(error, PC_E_SUPERSEDED,
            "another process says it is node %s (%s) in the same generation: its data directory was"
            " copied; stop one of them, and give each its own",
            hello->peer.name, pc_log_id(hello->peer.id));
        return true;
    }
    bool is_linked = peer->in != NULL || peer->out != NULL;
    (void)pc_error_set(error, is_linked ? PC_E_SUPERSEDED : PC_E_STALE,
        "node %s (%s): generation %s is over, %s has been seen: %s", hello->peer.name,
        pc_log_id(hello->peer.id), pc_log_u64(hello->peer.generation), pc_log_u64(peer->generation),
        is_linked ? "another process runs on a copy of its data directory; stop one of them"
                  : "its data directory is an older copy; move it away and start the node with an"
                    " empty one");
    return true;
}

/* Puts the connection in its peer's place for it. False when it ended instead. */
static bool take_place(struct bus_conn *conn, struct bus_peer *peer)
{
    struct bus_conn **place = bus_conn_is_outgoing(conn) ? &peer->out : &peer->in;
    struct bus_conn *old = *place;
    if (old != NULL && bus_conn_is_outgoing(conn)) {
        bus_link_on_double(conn->link, peer->id);
        bus_conn_close(conn, BUS_END_OURS, "another link to this peer is up");
        return false;
    }
    if (old != NULL) {
        bus_conn_close(old, BUS_END_OURS, "a newer connection has taken its place");
    }
    *place = conn;
    conn->peer = peer;
    return true;
}

static void go_up(struct bus_conn *conn, const struct hello *hello)
{
    struct pc_bus *bus = conn->bus;
    struct bus_peer *peer = conn->peer;
    bus->stats.handshakes_ok++;
    bus_conn_move(conn, BUS_CONN_UP);
    if (bus->ops.met != NULL) {
        bus->ops.met(bus->ops.context, &hello->peer);
    }
    if (conn->state != BUS_CONN_UP) {
        return;
    }
    if (!bus_conn_is_outgoing(conn)) {
        send_hello(conn);
        struct bus_link *link = bus_link_find(bus, hello->peer.name);
        if (link != NULL) {
            bus_link_on_welcome(link, &conn->addr, hello->port);
        }
        return;
    }
    peer->addr = conn->addr;
    bus_link_on_up(conn->link, peer->id);
    char addr[PC_ADDR_TEXT_MAX];
    pc_addr_format(&conn->addr, addr);
    pc_log_limited(BUS_LOG_LINK, PC_LOG_INFO, "link is up", "peer", hello->peer.name, "id",
        pc_log_id(hello->peer.id), "address", addr, NULL);
    bus->ops.up(bus->ops.context, &hello->peer, &conn->addr);
}

void bus_handshake_recv_hello(struct bus_conn *conn, struct pc_slice body)
{
    struct pc_bus *bus = conn->bus;
    struct hello hello;
    if (decode_hello(body, &hello) != PC_OK) {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, "malformed hello");
        return;
    }
    struct pc_peer_hello self = {0};
    bus->ops.hello(bus->ops.context, &self);
    bus->self = self.id;
    if (hello.peer.id == self.id) {
        bus_conn_close(conn, BUS_END_OURS, "it is this node itself");
        return;
    }
    if (bus_conn_is_outgoing(conn) && !bus_link_accepts(conn->link, hello.peer.name)) {
        bus_conn_close(conn, BUS_END_OURS, "another peer's address");
        return;
    }
    struct pc_error error = {0};
    hello.peer.protocols = conn->theirs;
    if (conn->protocol == 0) {
        (void)pc_protocols_refuse(hello.peer.name, conn->theirs, self.name, bus->protocols, &error);
        refuse(conn, hello.peer.name, &error);
        return;
    }
    if (bus->ops.admit(bus->ops.context, &hello.peer, &error) != PC_OK) {
        refuse(conn, hello.peer.name, &error);
        return;
    }
    struct bus_peer *peer = bus_peer_get(bus, hello.peer.id);
    if (peer == NULL) {
        bus_conn_reject(conn, &bus->stats.rejected_limit, "too many peers");
        return;
    }
    if (is_stale_life(peer, &hello, &error)) {
        refuse(conn, hello.peer.name, &error);
        return;
    }
    bus_peer_on_hello(peer, hello.peer.name, hello.peer.generation, hello.boot);
    if (take_place(conn, peer)) {
        go_up(conn, &hello);
    }
}

void bus_handshake_recv_refused(struct bus_conn *conn, struct pc_slice body)
{
    struct pc_bus *bus = conn->bus;
    struct pc_mpack_reader reader = pc_mpack_reader_of(body);
    uint32_t n = pc_mpack_read_array(&reader);
    struct pc_slice text = pc_mpack_read_str(&reader, sizeof((struct pc_error *)0)->text - 1);
    uint64_t code = n >= 2 ? pc_mpack_read_uint(&reader, UINT64_MAX) : REFUSED_OTHER;
    pc_mpack_skip_rest(&reader, n > 2 ? n - 2 : 0);
    if (pc_mpack_finish(&reader) != PC_OK) {
        bus_conn_reject(conn, &bus->stats.rejected_malformed, "malformed refusal");
        return;
    }
    char copy[sizeof((struct pc_error *)0)->text];
    (void)snprintf(copy, sizeof copy, "%.*s", (int)text.len, (const char *)text.data);
    bool outgoing = bus_conn_is_outgoing(conn);
    bus_refusal_log(conn, outgoing ? conn->link->name : conn->peer->name, false, copy);
    if (outgoing) {
        bus_link_on_refused(conn->link);
    }
    bus_conn_close(conn, BUS_END_REFUSED, "the peer refuses us");
    pc_err why = code == REFUSED_STALE        ? PC_E_STALE
                 : code == REFUSED_SUPERSEDED ? PC_E_SUPERSEDED
                                              : PC_E_AUTH;
    bus->ops.refused(bus->ops.context, why, copy);
}
