/* Buses of different age: what they speak with each other, and how they part when there is
 * nothing. */
#define _GNU_SOURCE
#include "bus_kit.h"

#include <sodium.h>

#include "pcache/limits.h"

#define A_ID 0xA1
#define B_ID 0xB2
#define GREETING_I_BYTES 88
#define GREETING_R_BYTES 56

static const struct side_opts opts_a = {.name = "node-a", .id = A_ID, .generation = 10, .key = 7};
static const struct side_opts opts_b = {.name = "node-b", .id = B_ID, .generation = 10, .key = 7};

/* a and b, dialling each other. */
struct pair {
    struct event_base *base;
    struct side a;
    struct side b;
};

static void pair_open(struct pair *pair, struct pc_protocols a, struct pc_protocols b)
{
    struct side_opts a_opts = opts_a, b_opts = opts_b;
    a_opts.protocols = a;
    b_opts.protocols = b;
    pair->base = event_base_new();
    side_open(&pair->a, pair->base, a_opts);
    side_open(&pair->b, pair->base, b_opts);
    side_dial_port(&pair->a, "node-b", pair->b.port);
    side_dial_port(&pair->b, "node-a", pair->a.port);
}

static void pair_close(struct pair *pair)
{
    pc_bus_close(pair->a.bus);
    pc_bus_close(pair->b.bus);
    event_base_free(pair->base);
}

static bool send_disk(struct side *side, pc_node_id to)
{
    struct pc_msg msg = {.type = PC_MSG_DISK, .from = side->self.id, .to = to};
    msg.disk = (struct pc_disk_msg){.free_bytes = 4096, .sync_us = 7, .total_bytes = 8192};
    return pc_bus_send(side->bus, &msg);
}

static void link__both_speak_the_next__says_what_is_new(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, (struct pc_protocols){1, 3}, (struct pc_protocols){2, 3});
    WAIT_FOR(pair.base, pair.a.ups == 1 && pair.b.ups == 1);
    assert_int_equal(pair.a.up_hello.protocols.min, 2);
    assert_int_equal(pair.a.up_hello.protocols.max, 3);
    assert_true(send_disk(&pair.a, B_ID));
    WAIT_FOR(pair.base, pair.b.disks == 1);
    assert_int_equal(pair.b.disk.total_bytes, 8192);
    pair_close(&pair);
}

static void link__one_speaks_the_next__leaves_out_what_is_new(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, (struct pc_protocols){1, 3}, (struct pc_protocols){1, 2});
    WAIT_FOR(pair.base, pair.a.ups == 1 && pair.b.ups == 1);
    assert_true(send_disk(&pair.a, B_ID));
    assert_true(send_disk(&pair.b, A_ID));
    WAIT_FOR(pair.base, pair.a.disks == 1 && pair.b.disks == 1);
    assert_int_equal(pair.b.disk.free_bytes, 4096);
    assert_int_equal(pair.b.disk.total_bytes, 0);
    assert_int_equal(pair.a.disk.total_bytes, 0);
    assert_int_equal(pair.a.downs + pair.b.downs, 0);
    pair_close(&pair);
}

static void link__peer_speaks_the_first__newer_messages_are_withheld(void **state)
{
    (void)state;
    struct pair pair;
    pair_open(&pair, (struct pc_protocols){1, 2}, (struct pc_protocols){1, 1});
    WAIT_FOR(pair.base, pair.a.ups == 1 && pair.b.ups == 1);
    assert_false(send_disk(&pair.a, B_ID));
    assert_int_equal(side_stats(&pair.a).withheld, 1);
    assert_true(side_send(&pair.a, B_ID, 1, 100));
    assert_true(side_send(&pair.b, A_ID, 1, 100));
    WAIT_FOR(pair.base, pair.a.msgs == 1 && pair.b.msgs == 1);
    assert_int_equal(pair.b.disks, 0);
    assert_int_equal(pair.a.downs + pair.b.downs, 0);
    pair_close(&pair);
}

static void ranges__apart__both_say_by_name_who_is_to_be_upgraded(void **state)
{
    (void)state;
    static const char text[] = "node-b speaks protocol 3 to 4, node-a 1 to 2: upgrade node-a first";
    static const char other[] =
        "node-a speaks protocol 1 to 2, node-b 3 to 4: upgrade node-a first";
    struct pair pair;
    pair_open(&pair, (struct pc_protocols){1, 2}, (struct pc_protocols){3, 4});
    WAIT_FOR(pair.base, pair.a.refusals >= 1 && pair.b.refusals >= 1);
    /* Each is told by the other, in the words of the other. */
    assert_string_equal(pair.b.refused_text, text);
    assert_string_equal(pair.a.refused_text, other);
    assert_int_equal(pair.a.refused_why, PC_E_AUTH);
    assert_true(side_stats(&pair.a).rejected_version >= 1);
    assert_true(side_stats(&pair.b).rejected_version >= 1);
    assert_int_equal(side_stats(&pair.a).rejected_identity, 0);
    assert_int_equal(pair.a.ups + pair.b.ups + pair.a.admits + pair.b.admits, 0);
    pair_close(&pair);
}

/* Sends `greeting` to a bus that speaks 1 to 2. Returns what it answers. */
static ssize_t greet(struct pair *pair, const uint8_t *greeting, uint8_t answer[256])
{
    int fd = raw_connect(pair->a.port);
    ssize_t got = -1;
    raw_send(fd, greeting, GREETING_I_BYTES);
    WAIT_FOR(pair->base, (got = got >= 0 ? got : recv(fd, answer, 256, MSG_DONTWAIT)) >= 0);
    close(fd);
    return got;
}

/* As a program made it that knows of no numbers. */
static void make_old_greeting(uint8_t greeting[GREETING_I_BYTES])
{
    uint8_t secret[32];
    memset(greeting, 0, GREETING_I_BYTES);
    memcpy(greeting, "pcbs\1", 5);
    crypto_generichash(greeting + 8, 32, (const uint8_t *)"test", 4, NULL, 0);
    crypto_kx_keypair(greeting + 40, secret);
}

static void greeting__byte_by_byte__as_documented(void **state)
{
    (void)state;
    static const uint8_t head[8] = {'p', 'c', 'b', 's', 1, 1, 2, 0};
    struct pair pair;
    struct relay relay;
    uint8_t sent[GREETING_I_BYTES], answer[256], cluster[32];
    pair_open(&pair, (struct pc_protocols){1, 2}, (struct pc_protocols){1, 3});
    relay_open(&relay, pair.base, pair.b.port);
    side_dial_port(&pair.a, "node-c", relay.port); /* whatever answers there */
    WAIT_FOR(pair.base, evbuffer_get_length(relay.recorded) >= sizeof sent);
    (void)evbuffer_copyout(relay.recorded, sent, sizeof sent);
    crypto_generichash(cluster, sizeof cluster, (const uint8_t *)"test", 4, NULL, 0);
    assert_memory_equal(sent, head, sizeof head);
    assert_memory_equal(sent + 8, cluster, sizeof cluster);
    make_old_greeting(sent);
    assert_int_equal(greet(&pair, sent, answer), GREETING_R_BYTES);
    assert_memory_equal(answer, head, sizeof head);
    relay_close(&relay);
    pair_close(&pair);
}

static void greeting__no_range__is_malformed(void **state)
{
    (void)state;
    struct pair pair;
    uint8_t greeting[GREETING_I_BYTES], answer[256];
    pair_open(&pair, (struct pc_protocols){1, 2}, (struct pc_protocols){1, 2});
    WAIT_FOR(pair.base, pair.a.ups == 1 && pair.b.ups == 1);
    make_old_greeting(greeting);
    greeting[5] = 3;
    greeting[6] = 2;
    assert_int_equal(greet(&pair, greeting, answer), 0);
    greeting[5] = 0;
    assert_int_equal(greet(&pair, greeting, answer), 0);
    assert_int_equal(side_stats(&pair.a).rejected_malformed, 2);
    assert_int_equal(pair.a.downs, 0);
    pair_close(&pair);
}

/* Somebody on the way who would have an older protocol spoken. */
static void greeting__range_changed_on_the_way__does_not_authenticate(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a, b;
    struct relay relay;
    struct side_opts b_opts = opts_b;
    b_opts.protocols = (struct pc_protocols){1, 0x41};
    side_open(&a, base, opts_a);
    side_open(&b, base, b_opts);
    relay_open(&relay, base, a.port);
    relay.flip_at = 6; /* 0x41 becomes 1 */
    side_dial_port(&b, "node-a", relay.port);
    WAIT_FOR(base, side_stats(&a).rejected_key == 1);
    assert_int_equal(a.admits + b.admits, 0);
    WAIT_FOR(base, b.ups == 1);
    relay_close(&relay);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void hello__says_its_version__the_other_side_has_it(void **state)
{
    (void)state;
    struct pair pair;
    struct event_base *base = event_base_new();
    pair.base = base;
    side_open(&pair.a, base, opts_a);
    side_open(&pair.b, base, opts_b);
    pair.a.self.has_life = true;
    pair.a.self.term = 3;
    (void)snprintf(pair.a.self.build, sizeof pair.a.self.build, "1.2.3");
    pair.b.self.has_life = true;
    (void)snprintf(pair.b.self.build, sizeof pair.b.self.build, "no version");
    side_dial_port(&pair.a, "node-b", pair.b.port);
    side_dial_port(&pair.b, "node-a", pair.a.port);
    WAIT_FOR(base, pair.a.ups == 1 && pair.b.ups == 1);
    assert_string_equal(pair.b.up_hello.build, "1.2.3");
    assert_int_equal(pair.b.up_hello.term, 3);
    assert_string_equal(pair.a.up_hello.build, ""); /* what has a blank in it is none */
    pair_close(&pair);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(link__both_speak_the_next__says_what_is_new),
    PC_TEST(link__one_speaks_the_next__leaves_out_what_is_new),
    PC_TEST(link__peer_speaks_the_first__newer_messages_are_withheld),
    PC_TEST(ranges__apart__both_say_by_name_who_is_to_be_upgraded),
    PC_TEST(greeting__byte_by_byte__as_documented),
    PC_TEST(greeting__no_range__is_malformed),
    PC_TEST(greeting__range_changed_on_the_way__does_not_authenticate),
    PC_TEST(hello__says_its_version__the_other_side_has_it),
};
PC_TEST_MAIN("bus_protocol", tests)
