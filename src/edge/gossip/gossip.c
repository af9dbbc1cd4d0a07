/* The UDP socket. What comes in is judged from cheap to dear: rate of its source, form of the head,
 * replay, and only then cryptography; only an authentic datagram changes anything or is answered
 * (by the owner: this module itself never answers). */
#define _GNU_SOURCE
#include "gossip_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pcache/assert.h"
#include "pcache/wire_swim.h"

#define BATCH 64
/* One byte more than is allowed: a longer datagram shows by filling it. */
#define SLOT_BYTES (PC_GOSSIP_PACKET_BYTES_MAX + 1)
#define RESOLVES_MAX 32
#define STRANGERS_MAX 16

struct resolve {
    struct pc_gossip *gossip;
    uint64_t ticket;                        /* 0 = free */
    char address[PC_ADDRESS_BYTES_MAX + 1]; /* asked for last */
    struct pc_log_lasting unresolved;       /* that one */
};

struct pc_gossip {
    struct pc_gossip_opts opts; /* key wiped, strings not kept */
    struct gossip_cluster cluster;
    struct gossip_life life;
    uint8_t key[GOSSIP_KEY_BYTES];
    uint64_t counter; /* of the last datagram sent */
    int fd;
    int family;
    struct event *read_event;
    struct pc_resolver *resolver;
    bool owns_resolver;
    struct resolve resolves[RESOLVES_MAX];
    struct gossip_senders senders;
    struct gossip_rate rate;
    struct pc_addr strangers[STRANGERS_MAX]; /* who sent datagrams of another version; a ring */
    size_t strangers_n;
    struct pc_gossip_stats stats;
    struct pc_buf text; /* scratch of pc_gossip_send */
    struct mmsghdr headers[BATCH];
    struct iovec slices[BATCH];
    struct sockaddr_storage sources[BATCH];
    uint8_t packets[BATCH][SLOT_BYTES];
};

/* ---- receiving */
static void reject(
    struct pc_gossip *gossip, uint64_t *counter, const struct pc_addr *from, const char *why)
{
    (*counter)++;
    (void)gossip;
    char text[PC_ADDR_TEXT_MAX];
    pc_addr_format(from, text);
    pc_log_limited(
        GOSSIP_LOG_REJECT, PC_LOG_WARN, "datagram rejected", "address", text, "reason", why, NULL);
}

/* A node of another version sends several datagrams a second, for as long as it runs: each address
 * is named once, as long as the few last ones are remembered. */
static void reject_version(
    struct pc_gossip *gossip, const uint8_t *packet, const struct pc_addr *from)
{
    gossip->stats.rejected_version++;
    for (size_t i = 0; i < STRANGERS_MAX; i++) {
        if (pc_addr_equal(&gossip->strangers[i], from)) {
            return;
        }
    }
    gossip->strangers[gossip->strangers_n++ % STRANGERS_MAX] = *from;
    char text[PC_ADDR_TEXT_MAX];
    pc_addr_format(from, text);
    pc_log_limited(GOSSIP_LOG_VERSION, PC_LOG_WARN, "datagrams of another version", "address", text,
        "version", pc_log_u64(packet[GOSSIP_VERSION_AT]), NULL);
}

static void deliver(struct pc_gossip *gossip, const struct gossip_life *life, struct pc_slice text,
    const struct pc_addr *from)
{
    struct pc_swim_msg msg;
    bool sane = pc_wire_decode_swim(text, &msg) == PC_OK && msg.from == life->sender &&
                msg.from_generation == life->generation;
    if (!sane) {
        reject(gossip, &gossip->stats.rejected_malformed, from, "malformed message");
        return;
    }
    gossip->stats.received++;
    gossip->opts.recv(gossip->opts.context, from, &msg);
}

/* A sender never met, or a later life of one: its key is made for this one look. */
static void recv_new(struct pc_gossip *gossip, const struct gossip_head *head, uint8_t *packet,
    size_t len, const struct pc_addr *from)
{
    uint8_t key[GOSSIP_KEY_BYTES];
    struct pc_slice text;
    gossip_derive_key(&gossip->cluster, &head->life, key);
    if (gossip_unseal(&gossip->cluster, key, head, packet, len, &text) != PC_OK) {
        reject(gossip, &gossip->stats.rejected_key, from, "not authentic");
    } else {
        struct gossip_sender *sender = gossip_senders_admit(&gossip->senders, &head->life, key);
        gossip_window_mark(&sender->window, head->counter);
        deliver(gossip, &head->life, text, from);
    }
    sodium_memzero(key, sizeof key);
}

static void recv_known(struct pc_gossip *gossip, struct gossip_sender *sender,
    const struct gossip_head *head, uint8_t *packet, size_t len, const struct pc_addr *from)
{
    struct pc_slice text;
    if (gossip_unseal(&gossip->cluster, sender->key, head, packet, len, &text) != PC_OK) {
        reject(gossip, &gossip->stats.rejected_key, from, "not authentic");
        return;
    }
    gossip_window_mark(&sender->window, head->counter);
    deliver(gossip, &head->life, text, from);
}

static void recv_packet(
    struct pc_gossip *gossip, uint8_t *packet, size_t len, const struct pc_addr *from)
{
    struct pc_gossip_stats *stats = &gossip->stats;
    struct gossip_head head;
    pc_err err = gossip_parse_head(pc_slice_of(packet, len), &head);
    if (err == PC_E_VERSION) {
        reject_version(gossip, packet, from);
        return;
    }
    if (err != PC_OK) {
        reject(gossip, &stats->rejected_malformed, from, "malformed datagram");
        return;
    }
    if (head.life.sender == gossip->life.sender) {
        reject(gossip, &stats->rejected_replay, from, "our own name on it");
        return;
    }
    struct gossip_sender *sender;
    switch (gossip_senders_judge(&gossip->senders, &head, &sender)) {
    case GOSSIP_KNOWN:
        recv_known(gossip, sender, &head, packet, len, from);
        break;
    case GOSSIP_NEW:
        recv_new(gossip, &head, packet, len, from);
        break;
    case GOSSIP_REPLAY:
        reject(gossip, &stats->rejected_replay, from, "seen before, or too old");
        break;
    case GOSSIP_OLD_LIFE:
        reject(gossip, &stats->rejected_old_boot, from, "from an earlier life of its sender");
        break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct pc_gossip *gossip = arg;
    for (size_t i = 0; i < BATCH; i++) {
        gossip->headers[i].msg_hdr.msg_namelen = sizeof gossip->sources[i];
    }
    int n = recvmmsg(fd, gossip->headers, BATCH, 0, NULL);
    struct pc_instant now = pc_clock_now();
    for (int i = 0; i < n; i++) {
        struct pc_addr from;
        size_t len = gossip->headers[i].msg_len;
        pc_os_addr_of((const struct sockaddr *)&gossip->sources[i], &from);
        gossip->stats.bytes_received += len;
        if (gossip_rate_admit(&gossip->rate, &from, now)) {
            recv_packet(gossip, gossip->packets[i], len, &from);
        } else {
            reject(gossip, &gossip->stats.rejected_rate, &from, "too many datagrams");
        }
    }
}

/* ---- opening and closing */
static void prepare_batch(struct pc_gossip *gossip)
{
    for (size_t i = 0; i < BATCH; i++) {
        gossip->slices[i] =
            (struct iovec){.iov_base = gossip->packets[i], .iov_len = sizeof gossip->packets[i]};
        struct msghdr *header = &gossip->headers[i].msg_hdr;
        header->msg_iov = &gossip->slices[i];
        header->msg_iovlen = 1;
        header->msg_name = &gossip->sources[i];
    }
}

static void gossip_init(struct pc_gossip *gossip, const struct pc_gossip_opts *opts)
{
    gossip->opts = *opts;
    sodium_memzero(gossip->opts.cluster_key, sizeof gossip->opts.cluster_key);
    gossip->opts.listen = NULL;
    gossip->opts.cluster = NULL;
    gossip->resolver = opts->resolver;
    memcpy(gossip->cluster.key, opts->cluster_key, sizeof gossip->cluster.key);
    crypto_generichash(gossip->cluster.id, sizeof gossip->cluster.id,
        (const uint8_t *)opts->cluster, strlen(opts->cluster), NULL, 0);
    gossip->life.sender = opts->self;
    gossip->life.generation = opts->generation;
    pc_entropy(gossip->life.salt, sizeof gossip->life.salt);
    pc_entropy(gossip->rate.hash_key, sizeof gossip->rate.hash_key);
    gossip_derive_key(&gossip->cluster, &gossip->life, gossip->key);
    prepare_batch(gossip);
}

static void gossip_free(struct pc_gossip *gossip)
{
    if (gossip->owns_resolver) {
        pc_resolver_close(gossip->resolver);
    }
    gossip_senders_destroy(&gossip->senders);
    pc_buf_destroy(&gossip->text);
    sodium_memzero(&gossip->cluster, sizeof gossip->cluster);
    sodium_memzero(gossip->key, sizeof gossip->key);
    free(gossip);
}

static int socket_family(int fd)
{
    int family = AF_INET;
    socklen_t len = sizeof family;
    int rc = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len);
    PC_ASSERT(rc == 0);
    return family;
}

pc_err pc_gossip_open(
    const struct pc_gossip_opts *opts, struct pc_gossip **out, struct pc_error *error)
{
    PC_ASSERT(opts->self != 0);
    if (sodium_init() < 0) {
        return pc_error_set(error, PC_E_IO, "open gossip: libsodium does not start");
    }
    struct pc_gossip *gossip = pc_xalloc(sizeof *gossip);
    gossip_init(gossip, opts);
    pc_err err = pc_os_bind_udp(opts->listen, opts->port, &gossip->fd, error);
    if (err != PC_OK) {
        gossip_free(gossip);
        return pc_error_wrap(error, "open gossip");
    }
    if (gossip->resolver == NULL) {
        err = pc_resolver_open(opts->base, &gossip->resolver, error);
        if (err != PC_OK) {
            (void)close(gossip->fd);
            gossip_free(gossip);
            return pc_error_wrap(error, "open gossip");
        }
        gossip->owns_resolver = true;
    }
    gossip->family = socket_family(gossip->fd);
    gossip->read_event =
        event_new(opts->base, gossip->fd, EV_READ | EV_PERSIST, on_readable, gossip);
    PC_ASSERT(gossip->read_event != NULL);
    event_add(gossip->read_event, NULL);
    *out = gossip;
    return PC_OK;
}

void pc_gossip_close(struct pc_gossip *gossip)
{
    if (gossip == NULL) {
        return;
    }
    for (size_t i = 0; i < RESOLVES_MAX; i++) {
        if (gossip->resolves[i].ticket != 0) {
            pc_resolver_cancel(gossip->resolver, gossip->resolves[i].ticket);
        }
    }
    event_free(gossip->read_event);
    (void)close(gossip->fd);
    gossip_free(gossip);
}

uint16_t pc_gossip_port(const struct pc_gossip *gossip)
{
    return pc_os_local_port(gossip->fd);
}

/* ---- the owner's calls */
void pc_gossip_send(
    struct pc_gossip *gossip, const struct pc_addr *to, const struct pc_swim_msg *msg)
{
    struct sockaddr_storage addr;
    socklen_t addr_len = pc_os_sockaddr_of(to, gossip->family, &addr);
    if (addr_len == 0) {
        return; /* an IPv6 address from an IPv4 socket: a loss like any other */
    }
    pc_buf_reset(&gossip->text);
    pc_err err = pc_wire_encode_swim(msg, &gossip->text);
    PC_ASSERT(err == PC_OK && gossip->text.len <= PC_GOSSIP_MESSAGE_BYTES_MAX);
    struct gossip_head head = {.life = gossip->life, .counter = ++gossip->counter};
    uint8_t packet[PC_GOSSIP_PACKET_BYTES_MAX];
    size_t len = gossip_seal(&gossip->cluster, gossip->key, &head,
        pc_slice_of(gossip->text.data, gossip->text.len), packet);
    ssize_t sent = sendto(gossip->fd, packet, len, MSG_NOSIGNAL | MSG_DONTWAIT,
        (const struct sockaddr *)&addr, addr_len);
    if (sent == (ssize_t)len) {
        gossip->stats.sent++;
        gossip->stats.bytes_sent += len;
    }
}

static void on_resolved(
    void *context, const struct pc_addr *addrs, size_t addrs_n, const char *error)
{
    struct resolve *resolve = context;
    struct pc_gossip *gossip = resolve->gossip;
    resolve->ticket = 0;
    if (addrs_n > 0) {
        pc_log_lasting_over(&resolve->unresolved);
    } else if (pc_log_lasting_found(&resolve->unresolved, error, pc_clock_now())) {
        pc_log_limited(GOSSIP_LOG_REJECT, PC_LOG_WARN, "seed address does not resolve", "address",
            resolve->address, "reason", error, NULL);
    }
    for (size_t i = 0; i < addrs_n; i++) {
        gossip->opts.resolved(gossip->opts.context, &addrs[i]);
    }
}

/* A free place: that of the same address, an unused one, or any. NULL when there is none. */
static struct resolve *place_for(struct pc_gossip *gossip, const char *address)
{
    struct resolve *place = NULL;
    for (size_t i = 0; i < RESOLVES_MAX; i++) {
        struct resolve *resolve = &gossip->resolves[i];
        if (resolve->ticket != 0) {
            continue;
        }
        if (strcmp(resolve->address, address) == 0) {
            return resolve;
        }
        bool is_better =
            place == NULL || (resolve->address[0] == '\0' && place->address[0] != '\0');
        place = is_better ? resolve : place;
    }
    return place;
}

void pc_gossip_resolve(struct pc_gossip *gossip, const char *address)
{
    struct resolve *resolve = place_for(gossip, address);
    if (resolve == NULL) {
        pc_log_limited(GOSSIP_LOG_REJECT, PC_LOG_WARN, "too many seed addresses at once", "address",
            address, NULL);
        return;
    }
    if (strcmp(resolve->address, address) != 0) {
        pc_log_lasting_over(&resolve->unresolved);
        (void)snprintf(resolve->address, sizeof resolve->address, "%s", address);
    }
    resolve->gossip = gossip;
    resolve->ticket = pc_resolver_ask(gossip->resolver, address, on_resolved, resolve);
}

void pc_gossip_stats(const struct pc_gossip *gossip, struct pc_gossip_stats *stats)
{
    *stats = gossip->stats;
}
