#define _GNU_SOURCE
#include "support/test.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "edge/gossip/gossip_int.h"
#include "pcache/assert.h"

#define A_ID 0xA1
#define B_ID 0xB2
#define DEADLINE_MS 10000

struct side {
    struct pc_gossip *gossip;
    struct pc_addr addr;
    int received;
    struct pc_swim_msg last;
    struct pc_addr last_from;
    int resolved;
    struct pc_addr resolved_addr;
};

static void side_recv(void *context, const struct pc_addr *from, const struct pc_swim_msg *msg)
{
    struct side *side = context;
    side->received++;
    side->last = *msg;
    side->last_from = *from;
}

static void side_resolved(void *context, const struct pc_addr *addr)
{
    struct side *side = context;
    side->resolved++;
    side->resolved_addr = *addr;
}

static void side_open(struct side *side, struct event_base *base, pc_node_id id,
    uint64_t generation, uint8_t key, const char *cluster)
{
    *side = (struct side){0};
    struct pc_gossip_opts opts = {.base = base,
        .listen = "127.0.0.1",
        .cluster = cluster,
        .self = id,
        .generation = generation,
        .recv = side_recv,
        .resolved = side_resolved,
        .context = side};
    memset(opts.cluster_key, key, sizeof opts.cluster_key);
    struct pc_error error;
    assert_ok(pc_gossip_open(&opts, &side->gossip, &error));
    char text[64];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", pc_gossip_port(side->gossip));
    assert_ok(pc_addr_parse(text, &side->addr));
}

static struct pc_gossip_stats side_stats(const struct side *side)
{
    struct pc_gossip_stats stats;
    pc_gossip_stats(side->gossip, &stats);
    return stats;
}

static struct pc_swim_msg ping(pc_node_id from, uint64_t generation, uint64_t nonce)
{
    struct pc_swim_msg msg = {.type = PC_SWIM_PING,
        .from = from,
        .from_generation = generation,
        .nonce = nonce,
        .target_id = B_ID,
        .updates_n = 1};
    msg.updates[0] = (struct pc_member){
        .id = from, .name = "node-a", .generation = generation, .state = PC_MEMBER_ALIVE};
    return msg;
}

static void turn(struct event_base *base)
{
    struct timeval pause = {.tv_usec = 2000};
    event_base_loopexit(base, &pause);
    event_base_dispatch(base);
}

#define WAIT_FOR(base, condition)                                                                  \
    do {                                                                                           \
        struct pc_instant wait_end = pc_instant_add_ms(pc_clock_now(), DEADLINE_MS);               \
        while (!(condition) && !pc_instant_is_due(wait_end, pc_clock_now())) {                     \
            turn(base);                                                                            \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

/* A plain socket between two sides: catches datagrams, sends them on as often as wanted. */
static int wire_open(struct pc_addr *addr)
{
    int fd;
    struct pc_error error;
    assert_ok(pc_os_bind_udp("127.0.0.1", 0, &fd, &error));
    char text[64];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", pc_os_local_port(fd));
    assert_ok(pc_addr_parse(text, addr));
    return fd;
}

static size_t wire_catch(int fd, uint8_t *packet, size_t max)
{
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), DEADLINE_MS);
    ssize_t got = -1;
    while (got < 0 && !pc_instant_is_due(end, pc_clock_now())) {
        got = recv(fd, packet, max, 0);
    }
    assert_true(got > 0);
    return (size_t)got;
}

static void wire_send(int fd, const struct pc_addr *to, const uint8_t *packet, size_t len)
{
    struct sockaddr_storage addr;
    socklen_t addr_len = pc_os_sockaddr_of(to, AF_INET, &addr);
    assert_int_equal(sendto(fd, packet, len, 0, (struct sockaddr *)&addr, addr_len), len);
}

static void message__between_two__comes_back_whole(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    side_open(&a, base, A_ID, 5, 7, "test");
    side_open(&b, base, B_ID, 5, 7, "test");
    for (uint64_t i = 1; i <= 100; i++) {
        struct pc_swim_msg msg = ping(A_ID, 5, 1000 + i);
        pc_gossip_send(a.gossip, &b.addr, &msg);
    }
    WAIT_FOR(base, b.received == 100);
    assert_int_equal(b.last.nonce, 1100);
    assert_int_equal(b.last.from, A_ID);
    assert_int_equal(b.last.updates_n, 1);
    assert_string_equal(b.last.updates[0].name, "node-a");
    assert_true(pc_addr_equal(&b.last_from, &a.addr));
    struct pc_swim_msg back = ping(B_ID, 5, 3);
    pc_gossip_send(b.gossip, &a.addr, &back);
    WAIT_FOR(base, a.received == 1);
    struct pc_gossip_stats stats = side_stats(&b);
    assert_int_equal(stats.received, 100);
    assert_int_equal(stats.sent, 1);
    assert_int_equal(stats.bytes_received, side_stats(&a).bytes_sent);
    pc_gossip_close(a.gossip);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

/* One authentic datagram of a, caught on its way. */
static size_t catch_one(
    struct side *a, int wire, const struct pc_addr *wire_addr, uint64_t generation, uint8_t *packet)
{
    struct pc_swim_msg msg = ping(A_ID, generation, 42);
    pc_gossip_send(a->gossip, wire_addr, &msg);
    return wire_catch(wire, packet, 2048);
}

static void datagram__replayed__is_dropped(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    struct pc_addr wire_addr;
    uint8_t packet[2048];
    int wire = wire_open(&wire_addr);
    side_open(&a, base, A_ID, 5, 7, "test");
    side_open(&b, base, B_ID, 5, 7, "test");
    size_t len = catch_one(&a, wire, &wire_addr, 5, packet);
    assert_true(len <= PC_GOSSIP_PACKET_BYTES_MAX);
    wire_send(wire, &b.addr, packet, len);
    WAIT_FOR(base, b.received == 1);
    wire_send(wire, &b.addr, packet, len);
    wire_send(wire, &b.addr, packet, len);
    WAIT_FOR(base, side_stats(&b).rejected_replay == 2);
    /* To its own sender it is no news either. */
    wire_send(wire, &a.addr, packet, len);
    WAIT_FOR(base, side_stats(&a).rejected_replay == 1);
    assert_int_equal(a.received, 0);
    assert_int_equal(b.received, 1);
    close(wire);
    pc_gossip_close(a.gossip);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

static int rejected(const struct side *side)
{
    struct pc_gossip_stats s = side_stats(side);
    return (int)(s.rejected_key + s.rejected_malformed + s.rejected_replay + s.rejected_old_boot +
                 s.rejected_version);
}

/* What is logged goes to a file from here ... */
static int log_divert(char path[64])
{
    (void)snprintf(path, 64, "/tmp/pcache-gossip-log-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    int saved = dup(STDERR_FILENO);
    assert_true(saved >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
    return saved;
}

/* ... to here, where it is read and removed. */
static void log_take(int saved, const char *path, char *out, size_t max)
{
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    close(saved);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t got = read(fd, out, max - 1);
    assert_true(got >= 0);
    out[got] = '\0';
    close(fd);
    assert_int_equal(unlink(path), 0);
}

static void datagram__any_byte_damaged__is_dropped_and_changes_nothing(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    struct pc_addr wire_addr;
    uint8_t packet[2048];
    int wire = wire_open(&wire_addr);
    side_open(&a, base, A_ID, 5, 7, "test");
    side_open(&b, base, B_ID, 5, 7, "test");
    size_t len = catch_one(&a, wire, &wire_addr, 5, packet);
    assert_in_range(len, 60, 190); /* below the rate limit: one try per byte */
    for (size_t i = 0; i < len; i++) {
        packet[i] ^= 0x01;
        wire_send(wire, &b.addr, packet, len);
        packet[i] ^= 0x01;
        WAIT_FOR(base, rejected(&b) == (int)i + 1);
    }
    assert_int_equal(b.received, 0);
    /* Neither a forged later life nor a forged counter has stuck. */
    wire_send(wire, &b.addr, packet, len);
    WAIT_FOR(base, b.received == 1);
    close(wire);
    pc_gossip_close(a.gossip);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

static void datagram__wrong_length__is_malformed(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side b;
    struct pc_addr wire_addr;
    uint8_t packet[PC_GOSSIP_PACKET_BYTES_MAX + 100] = {'p', 'g', 1, 0, 9};
    packet[36] = 1;
    int wire = wire_open(&wire_addr);
    side_open(&b, base, B_ID, 5, 7, "test");
    wire_send(wire, &b.addr, packet, 1);
    wire_send(wire, &b.addr, packet, PC_GOSSIP_OVERHEAD_BYTES - 1);
    wire_send(wire, &b.addr, packet, PC_GOSSIP_PACKET_BYTES_MAX + 1);
    wire_send(wire, &b.addr, packet, sizeof packet);
    WAIT_FOR(base, side_stats(&b).rejected_malformed == 4);
    wire_send(wire, &b.addr, packet, PC_GOSSIP_PACKET_BYTES_MAX);
    WAIT_FOR(base, side_stats(&b).rejected_key == 1);
    assert_int_equal(recv(wire, packet, sizeof packet, 0), -1); /* nobody answers */
    close(wire);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

static void datagram__other_version__is_counted_and_its_sender_named_once(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side b;
    struct pc_addr wire_addr;
    uint8_t packet[PC_GOSSIP_OVERHEAD_BYTES] = {'p', 'g', 2, 0, 9};
    char log[4096], path[64];
    int wire = wire_open(&wire_addr);
    side_open(&b, base, B_ID, 5, 7, "test");
    int saved = log_divert(path);
    for (int i = 0; i < 5; i++) {
        wire_send(wire, &b.addr, packet, sizeof packet);
    }
    WAIT_FOR(base, side_stats(&b).rejected_version == 5);
    log_take(saved, path, log, sizeof log);
    const char *named = strstr(log, "datagrams of another version");
    assert_non_null(named);
    assert_null(strstr(named + 1, "datagrams of another version"));
    assert_int_equal(rejected(&b), 5);
    assert_int_equal(b.received, 0);
    close(wire);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

static void datagram__other_key_or_cluster__is_dropped(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    struct side c;
    side_open(&a, base, A_ID, 5, 8, "test");
    side_open(&b, base, B_ID, 5, 7, "test");
    side_open(&c, base, A_ID, 5, 7, "tesu");
    struct pc_swim_msg msg = ping(A_ID, 5, 1);
    pc_gossip_send(a.gossip, &b.addr, &msg);
    WAIT_FOR(base, side_stats(&b).rejected_key == 1);
    pc_gossip_send(c.gossip, &b.addr, &msg);
    WAIT_FOR(base, side_stats(&b).rejected_key == 2);
    assert_int_equal(b.received, 0);
    pc_gossip_close(a.gossip);
    pc_gossip_close(b.gossip);
    pc_gossip_close(c.gossip);
    event_base_free(base);
}

static void sender__starts_anew__its_earlier_life_is_over(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side old;
    struct side new;
    struct side twin;
    struct side b;
    side_open(&old, base, A_ID, 5, 7, "test");
    side_open(&new, base, A_ID, 6, 7, "test");
    side_open(&twin, base, A_ID, 6, 7, "test"); /* the same generation, another salt */
    side_open(&b, base, B_ID, 5, 7, "test");
    struct pc_swim_msg from_old = ping(A_ID, 5, 1);
    struct pc_swim_msg from_new = ping(A_ID, 6, 2);
    pc_gossip_send(old.gossip, &b.addr, &from_old);
    WAIT_FOR(base, b.received == 1);
    pc_gossip_send(new.gossip, &b.addr, &from_new);
    WAIT_FOR(base, b.received == 2);
    pc_gossip_send(old.gossip, &b.addr, &from_old);
    WAIT_FOR(base, side_stats(&b).rejected_old_boot == 1);
    pc_gossip_send(twin.gossip, &b.addr, &from_new);
    WAIT_FOR(base, side_stats(&b).rejected_old_boot == 2);
    pc_gossip_send(new.gossip, &b.addr, &from_new);
    WAIT_FOR(base, b.received == 3);
    pc_gossip_close(old.gossip);
    pc_gossip_close(new.gossip);
    pc_gossip_close(twin.gossip);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

static void message__names_another_sender_than_the_datagram__is_malformed(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    side_open(&a, base, A_ID, 5, 7, "test");
    side_open(&b, base, B_ID, 5, 7, "test");
    struct pc_swim_msg wrong_id = ping(0xC3, 5, 1);
    struct pc_swim_msg wrong_generation = ping(A_ID, 6, 1);
    pc_gossip_send(a.gossip, &b.addr, &wrong_id);
    pc_gossip_send(a.gossip, &b.addr, &wrong_generation);
    WAIT_FOR(base, side_stats(&b).rejected_malformed == 2);
    assert_int_equal(b.received, 0);
    pc_gossip_close(a.gossip);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

static void flood__from_one_address__is_cut_before_any_cryptography(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side b;
    struct pc_addr wire_addr;
    uint8_t packet[100] = {'p', 'g', 1, 0, 9};
    packet[36] = 1;
    int wire = wire_open(&wire_addr);
    side_open(&b, base, B_ID, 5, 7, "test");
    struct pc_instant start = pc_clock_now();
    for (int i = 0; i < 1000; i++) {
        wire_send(wire, &b.addr, packet, sizeof packet);
        if (i % 50 == 49) {
            turn(base);
        }
    }
    WAIT_FOR(base, side_stats(&b).rejected_rate + side_stats(&b).rejected_key == 1000);
    uint64_t ms = pc_instant_ms_between(start, pc_clock_now());
    assert_true(
        side_stats(&b).rejected_key <= GOSSIP_RATE_PER_S + ms * GOSSIP_RATE_PER_S / 1000 + 1);
    assert_true(side_stats(&b).rejected_key >= GOSSIP_RATE_PER_S);
    close(wire);
    pc_gossip_close(b.gossip);
    event_base_free(base);
}

static void rate__bucket__refills_with_time_and_per_source(void **state)
{
    (void)state;
    static struct gossip_rate rate;
    struct pc_addr one;
    struct pc_addr two;
    struct pc_addr net_a;
    struct pc_addr net_b;
    assert_ok(pc_addr_parse("10.0.0.1:1", &one));
    assert_ok(pc_addr_parse("10.0.0.2:1", &two));
    assert_ok(pc_addr_parse("[2001:db8:1:2::1]:1", &net_a));
    assert_ok(pc_addr_parse("[2001:db8:1:2:ffff::9]:1", &net_b));
    struct pc_instant now = {.us = 1000000};
    for (int i = 0; i < GOSSIP_RATE_PER_S; i++) {
        assert_true(gossip_rate_admit(&rate, &one, now));
        assert_true(gossip_rate_admit(&rate, &net_a, now));
    }
    assert_false(gossip_rate_admit(&rate, &one, now));
    assert_true(gossip_rate_admit(&rate, &two, now));
    assert_false(gossip_rate_admit(&rate, &net_b, now)); /* the same /64 */
    now = pc_instant_add_ms(now, 4);
    assert_false(gossip_rate_admit(&rate, &one, now)); /* 0.8 of a token */
    now = pc_instant_add_ms(now, 1);
    assert_true(gossip_rate_admit(&rate, &one, now));
    assert_false(gossip_rate_admit(&rate, &one, now));
    now = pc_instant_add_ms(now, 3600 * 1000);
    for (int i = 0; i < GOSSIP_RATE_PER_S; i++) {
        assert_true(gossip_rate_admit(&rate, &one, now));
    }
    assert_false(gossip_rate_admit(&rate, &one, now));
}

static void window__counters__are_fresh_once(void **state)
{
    (void)state;
    struct gossip_window window = {0};
    assert_false(gossip_window_is_fresh(&window, 0));
    gossip_window_mark(&window, 1);
    assert_false(gossip_window_is_fresh(&window, 1));
    gossip_window_mark(&window, 1000);
    for (uint64_t i = 2; i < 1000; i++) {
        assert_true(gossip_window_is_fresh(&window, i));
        gossip_window_mark(&window, i);
        assert_false(gossip_window_is_fresh(&window, i));
    }
    gossip_window_mark(&window, 1024 + 3);
    assert_false(gossip_window_is_fresh(&window, 3)); /* behind the window */
    assert_false(gossip_window_is_fresh(&window, 4)); /* its last place, seen */
    assert_true(gossip_window_is_fresh(&window, 1001));
    gossip_window_mark(&window, UINT64_MAX);
    assert_false(gossip_window_is_fresh(&window, UINT64_MAX));
    assert_false(gossip_window_is_fresh(&window, 1001));
    assert_true(gossip_window_is_fresh(&window, UINT64_MAX - 1));
    assert_true(gossip_window_is_fresh(&window, UINT64_MAX - 1023));
    assert_false(gossip_window_is_fresh(&window, UINT64_MAX - 1024));
}

static void senders__more_than_fit__forget_the_longest_silent(void **state)
{
    (void)state;
    struct gossip_senders senders = {0};
    uint8_t key[GOSSIP_KEY_BYTES] = {0};
    struct gossip_sender *found;
    for (uint64_t id = 1; id <= PC_MEMBERS_MAX; id++) {
        struct gossip_life life = {.sender = id, .generation = 1};
        assert_non_null(gossip_senders_admit(&senders, &life, key));
    }
    struct gossip_head first = {.life = {.sender = 1, .generation = 1}, .counter = 1};
    struct gossip_head second = {.life = {.sender = 2, .generation = 1}, .counter = 1};
    assert_int_equal(gossip_senders_judge(&senders, &first, &found), GOSSIP_KNOWN);
    struct gossip_life one_more = {.sender = 99999, .generation = 1};
    assert_non_null(gossip_senders_admit(&senders, &one_more, key));
    assert_int_equal(senders.n, PC_MEMBERS_MAX);
    assert_int_equal(gossip_senders_judge(&senders, &first, &found), GOSSIP_KNOWN);
    assert_int_equal(gossip_senders_judge(&senders, &second, &found), GOSSIP_NEW);
    gossip_senders_destroy(&senders);
}

static void seal__same_inputs__bytes_stay_those_of_version_1(void **state)
{
    (void)state;
    struct gossip_cluster cluster;
    struct gossip_head head = {.life = {.sender = 1, .generation = 2}, .counter = 3};
    uint8_t key[GOSSIP_KEY_BYTES];
    uint8_t packet[PC_GOSSIP_PACKET_BYTES_MAX];
    memset(cluster.key, 7, sizeof cluster.key);
    memset(cluster.id, 8, sizeof cluster.id);
    memset(head.life.salt, 9, sizeof head.life.salt);
    gossip_derive_key(&cluster, &head.life, key);
    size_t len = gossip_seal(&cluster, key, &head, pc_slice_str("hi"), packet);
    assert_int_equal(len, 62);
    char hex[2 * 62 + 1];
    pc_hex_encode(packet, len, hex);
    assert_string_equal(hex,
        "70670100010000000000000002000000000000000909090909090909090909090909090903000000"
        "000000009d5fbd0b4055499032bbb180b5cd3883b834");
    struct gossip_head parsed;
    struct pc_slice text;
    assert_ok(gossip_parse_head(pc_slice_of(packet, len), &parsed));
    assert_ok(gossip_unseal(&cluster, key, &parsed, packet, len, &text));
    assert_true(pc_slice_equal(text, pc_slice_str("hi")));
}

static void resolve__name__gives_addresses(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    side_open(&a, base, A_ID, 5, 7, "test");
    pc_gossip_resolve(a.gossip, "nonsense");
    pc_gossip_resolve(a.gossip, "localhost:7946");
    WAIT_FOR(base, a.resolved >= 1);
    assert_int_equal(a.resolved_addr.port, 7946);
    pc_gossip_resolve(a.gossip, "localhost:7947"); /* closing drops it */
    pc_gossip_close(a.gossip);
    event_base_free(base);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(message__between_two__comes_back_whole),
    PC_TEST(datagram__replayed__is_dropped),
    PC_TEST(datagram__any_byte_damaged__is_dropped_and_changes_nothing),
    PC_TEST(datagram__wrong_length__is_malformed),
    PC_TEST(datagram__other_version__is_counted_and_its_sender_named_once),
    PC_TEST(datagram__other_key_or_cluster__is_dropped),
    PC_TEST(sender__starts_anew__its_earlier_life_is_over),
    PC_TEST(message__names_another_sender_than_the_datagram__is_malformed),
    PC_TEST(flood__from_one_address__is_cut_before_any_cryptography),
    PC_TEST(rate__bucket__refills_with_time_and_per_source),
    PC_TEST(window__counters__are_fresh_once),
    PC_TEST(senders__more_than_fit__forget_the_longest_silent),
    PC_TEST(seal__same_inputs__bytes_stay_those_of_version_1),
    PC_TEST(resolve__name__gives_addresses),
};

PC_TEST_MAIN("gossip", tests)
