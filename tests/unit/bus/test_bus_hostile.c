/* What strangers, damage and recordings can do to a bus: be counted, and lose their connection. */
#define _GNU_SOURCE
#include "bus_kit.h"

#include <sodium.h>

#include "pcache/limits.h"

#define A_ID 0xA1
#define B_ID 0xB2
#define C_ID 0xC3

static const struct side_opts opts_a = {.name = "node-a", .id = A_ID, .generation = 10, .key = 7};
static const struct side_opts opts_b = {.name = "node-b", .id = B_ID, .generation = 10, .key = 7};
static const struct side_opts opts_c = {.name = "node-c", .id = C_ID, .generation = 10, .key = 7};

/* a under attack, and c linked to it: the bystander that must not notice. */
struct scene {
    struct event_base *base;
    struct side a;
    struct side c;
};

static void scene_open(struct scene *scene)
{
    scene->base = event_base_new();
    side_open(&scene->a, scene->base, opts_a);
    side_open(&scene->c, scene->base, opts_c);
    side_dial_port(&scene->c, "node-a", scene->a.port);
    side_dial_port(&scene->a, "node-c", scene->c.port);
    WAIT_FOR(scene->base, scene->c.ups == 1 && scene->a.ups == 1);
}

static void scene_close(struct scene *scene)
{
    uint64_t before = scene->a.msgs;
    assert_true(side_send(&scene->c, A_ID, 1, 1000));
    WAIT_FOR(scene->base, scene->a.msgs == before + 1);
    assert_int_equal(scene->c.downs + scene->a.downs + scene->a.losts + scene->c.losts, 0);
    pc_bus_close(scene->a.bus);
    pc_bus_close(scene->c.bus);
    event_base_free(scene->base);
}

/* A greeting that a stranger who knows the cluster's name can make. */
static void make_greeting(uint8_t *greeting, uint8_t version, const char *cluster)
{
    memset(greeting, 0, 88);
    memcpy(greeting, "pcbs", 4);
    greeting[4] = version;
    crypto_generichash(greeting + 8, 32, (const uint8_t *)cluster, strlen(cluster), NULL, 0);
    uint8_t secret[32];
    crypto_kx_keypair(greeting + 40, secret);
    randombytes_buf(greeting + 72, 16);
}

/* Ends a peer in good order; its goodbye is none of the bystander's business. */
static void part_with(struct scene *scene, struct side *peer)
{
    pc_bus_close(peer->bus);
    WAIT_FOR(scene->base, scene->a.losts == 1);
    scene->a.losts = 0;
}

/* Sends bytes and waits until the bus has closed the connection. */
static void attack(struct scene *scene, const void *bytes, size_t len)
{
    int fd = raw_connect(scene->a.port);
    raw_send(fd, bytes, len);
    WAIT_FOR(scene->base, raw_is_closed(fd));
    close(fd);
}

static void dialler__wrong_key__is_rejected(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    struct side_opts opts = opts_b;
    opts.key = 8;
    side_open(&b, scene.base, opts);
    side_dial_port(&b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, side_stats(&scene.a).rejected_key >= 2);
    assert_int_equal(scene.a.admits, 2); /* those of c */
    assert_int_equal(b.ups + b.admits + b.refusals, 0);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

static void dialler__wrong_cluster__is_rejected(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    struct side_opts opts = opts_b;
    opts.cluster = "tesu";
    side_open(&b, scene.base, opts);
    side_dial_port(&b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, side_stats(&scene.a).rejected_cluster >= 1);
    assert_int_equal(side_stats(&scene.a).rejected_key, 0);
    assert_int_equal(b.ups, 0);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

static void greeting__wrong_version__is_rejected(void **state)
{
    (void)state;
    struct scene scene;
    uint8_t greeting[88];
    scene_open(&scene);
    make_greeting(greeting, 2, "test");
    attack(&scene, greeting, sizeof greeting);
    assert_int_equal(side_stats(&scene.a).rejected_version, 1);
    scene_close(&scene);
}

static void garbage__of_any_kind__is_rejected_at_once(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    const char http[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    attack(&scene, http, sizeof http - 1);
    attack(&scene, "p", 1 + 1);
    uint8_t noise[8192];
    randombytes_buf(noise, sizeof noise);
    noise[0] = 0;
    attack(&scene, noise, sizeof noise);
    assert_int_equal(side_stats(&scene.a).rejected_malformed, 3);
    assert_int_equal(scene.a.admits, 2);
    scene_close(&scene);
}

static void public_key__degenerate__is_rejected(void **state)
{
    (void)state;
    struct scene scene;
    uint8_t greeting[88];
    scene_open(&scene);
    make_greeting(greeting, 1, "test");
    memset(greeting + 40, 0, 32);
    attack(&scene, greeting, sizeof greeting);
    assert_int_equal(side_stats(&scene.a).rejected_malformed, 1);
    scene_close(&scene);
}

static void first_frame__length_out_of_bounds__is_rejected(void **state)
{
    (void)state;
    static const uint32_t lengths[] = {0, 17, 512 - 28 + 1, 0x00100000, 0xffffffff};
    struct scene scene;
    scene_open(&scene);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t bytes[88 + 24 + 4];
        make_greeting(bytes, 1, "test");
        randombytes_buf(bytes + 88, 24);
        pc_put_u32(bytes + 88 + 24, lengths[i]);
        attack(&scene, bytes, sizeof bytes);
        assert_int_equal(side_stats(&scene.a).rejected_malformed, i + 1);
    }
    scene_close(&scene);
}

static void first_frame__noise_of_good_length__does_not_decrypt(void **state)
{
    (void)state;
    struct scene scene;
    uint8_t bytes[88 + 24 + 4 + 100];
    scene_open(&scene);
    make_greeting(bytes, 1, "test");
    randombytes_buf(bytes + 88, sizeof bytes - 88);
    pc_put_u32(bytes + 88 + 24, 100);
    attack(&scene, bytes, sizeof bytes);
    assert_int_equal(side_stats(&scene.a).rejected_key, 1);
    scene_close(&scene);
}

static void handshake__dripped__is_cut_at_the_deadline(void **state)
{
    (void)state;
    struct scene scene;
    uint8_t greeting[88];
    scene_open(&scene);
    make_greeting(greeting, 1, "test");
    struct pc_instant start = pc_clock_now();
    int fd = raw_connect(scene.a.port);
    size_t at = 0;
    struct pc_instant next = start;
    while (!raw_is_closed(fd)) {
        pc_ms elapsed = pc_instant_ms_between(start, pc_clock_now());
        assert_in_range(elapsed, 0, PC_BUS_HANDSHAKE_MS + 1500);
        if (pc_instant_is_due(next, pc_clock_now())) {
            (void)send(fd, greeting + at++, 1, MSG_NOSIGNAL);
            next = pc_instant_add_ms(next, 200);
        }
        kit_turn(scene.base);
    }
    assert_true(pc_instant_ms_between(start, pc_clock_now()) >= PC_BUS_HANDSHAKE_MS - 50);
    assert_int_equal(side_stats(&scene.a).rejected_timeout, 1);
    close(fd);
    scene_close(&scene);
}

static void unauthenticated__one_over_the_limit__is_closed(void **state)
{
    (void)state;
    struct scene scene;
    int fds[PC_BUS_UNAUTHENTICATED_MAX + 1];
    scene_open(&scene);
    for (size_t i = 0; i < PC_BUS_UNAUTHENTICATED_MAX + 1; i++) {
        fds[i] = raw_connect(scene.a.port);
        kit_turn(scene.base);
    }
    WAIT_FOR(scene.base, raw_is_closed(fds[PC_BUS_UNAUTHENTICATED_MAX]));
    assert_int_equal(side_stats(&scene.a).rejected_limit, 1);
    for (size_t i = 0; i < PC_BUS_UNAUTHENTICATED_MAX; i++) {
        assert_false(raw_is_closed(fds[i]));
    }
    for (size_t i = 0; i < PC_BUS_UNAUTHENTICATED_MAX + 1; i++) {
        close(fds[i]);
    }
    /* Their places are free again. */
    struct side b;
    side_open(&b, scene.base, opts_b);
    side_dial_port(&b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, b.ups == 1);
    assert_int_equal(side_stats(&scene.a).rejected_limit, 1);
    part_with(&scene, &b);
    scene_close(&scene);
}

static void session__recorded_and_replayed__does_not_authenticate(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    struct relay relay;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    relay_open(&relay, scene.base, scene.a.port);
    side_dial_port(&b, "node-a", relay.port);
    WAIT_FOR(scene.base, b.ups == 1);
    assert_true(side_send(&b, A_ID, 1, 100));
    WAIT_FOR(scene.base, scene.a.msgs == 1);
    size_t len = evbuffer_get_length(relay.recorded);
    assert_true(len > 88 + 24);
    int admits = scene.a.admits;
    attack(&scene, evbuffer_pullup(relay.recorded, -1), len);
    assert_int_equal(side_stats(&scene.a).rejected_key, 1);
    assert_int_equal(scene.a.admits, admits);
    assert_int_equal(scene.a.msgs, 1);
    /* The first message alone gets an answer that says nothing, and then silence. */
    int fd = raw_connect(scene.a.port);
    raw_send(fd, evbuffer_pullup(relay.recorded, -1), 88);
    uint8_t answer[256];
    ssize_t got = 0;
    WAIT_FOR(scene.base, (got = got > 0 ? got : recv(fd, answer, sizeof answer, MSG_DONTWAIT)) > 0);
    assert_int_equal(got, 56);
    close(fd);
    assert_int_equal(b.downs, 0);
    relay_close(&relay);
    pc_bus_close(b.bus); /* cut off before: its goodbye reaches nobody */
    scene_close(&scene);
}

static void handshake__any_byte_damaged__does_not_authenticate(void **state)
{
    (void)state;
    /* Of the greeting: magic, version, protocols, zero, cluster, key, random; then stream header,
     * length, frame. */
    static const long offsets[] = {
        0, 4, 5, 6, 7, 8, 39, 40, 71, 72, 87, 88, 111, 112, 114, 116, 117, 150};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        struct event_base *base = event_base_new();
        struct side a;
        struct side b;
        struct relay relay;
        side_open(&a, base, opts_a);
        side_open(&b, base, opts_b);
        relay_open(&relay, base, a.port);
        relay.flip_at = offsets[i];
        side_dial_port(&b, "node-a", relay.port);
        WAIT_FOR(base, relay.flip_at == -1 && (relay.client == NULL || relay.accepted > 1));
        assert_int_equal(a.admits, 0);
        assert_int_equal(b.admits, 0);
        struct pc_bus_stats stats = side_stats(&a);
        assert_int_equal(stats.rejected_key + stats.rejected_cluster + stats.rejected_version +
                             stats.rejected_malformed + side_stats(&b).rejected_key,
            1);
        WAIT_FOR(base, b.ups == 1); /* the next try passes unharmed */
        relay_close(&relay);
        pc_bus_close(a.bus);
        pc_bus_close(b.bus);
        event_base_free(base);
    }
}

/* Damages byte `at` of the stream from b to a, counted from where it stands after the handshake. */
static void damage_stream(long at, uint64_t *key, uint64_t *malformed)
{
    struct scene scene;
    struct side b;
    struct relay relay;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    relay_open(&relay, scene.base, scene.a.port);
    side_dial_port(&b, "node-a", relay.port);
    WAIT_FOR(scene.base, b.ups == 1);
    assert_true(side_send(&b, A_ID, 1, 5000));
    WAIT_FOR(scene.base, scene.a.msgs == 1);
    relay.flip_at = (long)relay.passed + at;
    assert_true(side_send(&b, A_ID, 2, 5000));
    assert_true(side_send(&b, A_ID, 3, 5000));
    WAIT_FOR(scene.base, b.downs == 1);
    assert_int_equal(scene.a.msgs, 1);
    *key = side_stats(&scene.a).rejected_key;
    *malformed = side_stats(&scene.a).rejected_malformed;
    WAIT_FOR(scene.base, b.ups == 2);
    assert_int_equal(b.losts, 0);
    assert_true(side_send(&b, A_ID, 4, 5000));
    WAIT_FOR(scene.base, scene.a.msgs == 2);
    assert_true(scene.a.bodies_ok);
    relay_close(&relay);
    pc_bus_close(b.bus); /* cut off before: its goodbye reaches nobody */
    scene_close(&scene);
}

static void stream__byte_damaged__only_that_connection_ends(void **state)
{
    (void)state;
    static const long offsets[] = {0, 4, 5, 2500, 5000};
    for (size_t i = 0; i < sizeof offsets / sizeof offsets[0]; i++) {
        uint64_t key;
        uint64_t malformed;
        damage_stream(offsets[i], &key, &malformed);
        assert_int_equal(key, 1);
        assert_int_equal(malformed, 0);
    }
}

static void stream__length_over_the_limit__is_malformed(void **state)
{
    (void)state;
    uint64_t key;
    uint64_t malformed;
    damage_stream(3, &key, &malformed);
    assert_int_equal(key, 0);
    assert_int_equal(malformed, 1);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(dialler__wrong_key__is_rejected),
    PC_TEST(dialler__wrong_cluster__is_rejected),
    PC_TEST(greeting__wrong_version__is_rejected),
    PC_TEST(garbage__of_any_kind__is_rejected_at_once),
    PC_TEST(public_key__degenerate__is_rejected),
    PC_TEST(first_frame__length_out_of_bounds__is_rejected),
    PC_TEST(first_frame__noise_of_good_length__does_not_decrypt),
    PC_TEST(handshake__dripped__is_cut_at_the_deadline),
    PC_TEST(unauthenticated__one_over_the_limit__is_closed),
    PC_TEST(session__recorded_and_replayed__does_not_authenticate),
    PC_TEST(handshake__any_byte_damaged__does_not_authenticate),
    PC_TEST(stream__byte_damaged__only_that_connection_ends),
    PC_TEST(stream__length_over_the_limit__is_malformed),
};

PC_TEST_MAIN("bus_hostile", tests)
