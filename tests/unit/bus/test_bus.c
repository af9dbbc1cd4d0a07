#define _GNU_SOURCE
#include "bus_kit.h"

#include <signal.h>
#include <sys/wait.h>

#define A_ID 0xA1
#define B_ID 0xB2
#define C_ID 0xC3

static const struct side_opts opts_a = {.name = "node-a", .id = A_ID, .generation = 10, .key = 7};
static const struct side_opts opts_b = {.name = "node-b", .id = B_ID, .generation = 10, .key = 7};

static struct side_opts later(struct side_opts opts, uint64_t generation, uint16_t port)
{
    opts.generation = generation;
    opts.port = port;
    return opts;
}

static void connect_both(struct event_base *base, struct side *a, struct side *b)
{
    side_open(a, base, opts_a);
    side_open(b, base, opts_b);
    side_dial_port(a, "node-b", b->port);
    side_dial_port(b, "node-a", a->port);
    WAIT_FOR(base, a->ups == 1 && b->ups == 1);
}

static void two_buses__dialled__link_up_both_ways(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    connect_both(base, &a, &b);
    assert_int_equal(a.up_hello.id, B_ID);
    assert_string_equal(a.up_hello.name, "node-b");
    assert_int_equal(a.up_hello.generation, 10);
    assert_memory_equal(a.up_hello.history, b.self.history, 16);
    assert_int_equal(a.up_addr.port, b.port);
    char text[PC_ADDR_TEXT_MAX];
    pc_addr_format(&b.up_addr, text);
    assert_int_equal(strncmp(text, "127.0.0.1:", 10), 0);
    assert_int_equal(side_stats(&a).handshakes_ok, 2);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void messages__every_size__arrive_whole_and_in_order(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 100, 65519, 65536, 70000, PC_APPEND_BYTES_MAX, 1 << 20,
        PC_VALUE_BYTES_MAX, 0, PC_COMMAND_BYTES_MAX, 17};
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    connect_both(base, &a, &b);
    a.check_order = b.check_order = true;
    uint64_t total = 0;
    size_t n = sizeof sizes / sizeof sizes[0];
    for (size_t i = 0; i < n; i++) {
        assert_true(side_send(&a, B_ID, i + 1, sizes[i]));
        assert_true(side_send(&b, A_ID, i + 1, sizes[i]));
        total += sizes[i];
        WAIT_FOR(base, b.msgs == i + 1 && a.msgs == i + 1);
    }
    assert_true(a.bodies_ok && b.bodies_ok);
    assert_int_equal(a.body_bytes, total);
    assert_int_equal(b.body_bytes, total);
    assert_int_equal(b.last_from, A_ID);
    assert_int_equal(b.last_to, B_ID);
    assert_int_equal(side_stats(&b).rejected_malformed, 0);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void messages__ten_thousand_in_one_turn__arrive_in_order(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    connect_both(base, &a, &b);
    b.check_order = true;
    for (uint64_t i = 1; i <= 10000; i++) {
        assert_true(side_send(&a, B_ID, i, i % 100 == 0 ? 3000 : 0));
    }
    /* Nothing leaves before the turn ends, everything that the socket takes when it does. */
    uint64_t before = side_stats(&a).bytes_sent;
    pc_bus_flush(a.bus);
    assert_true(side_stats(&a).bytes_sent > before);
    WAIT_FOR(base, b.msgs == 10000);
    assert_true(b.bodies_ok);
    assert_int_equal(side_stats(&a).frames_sent, 2 + 10000);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void send__without_link__is_refused(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    side_open(&a, base, opts_a);
    side_open(&b, base, opts_b);
    side_dial_port(&b, "node-a", a.port);
    WAIT_FOR(base, b.ups == 1);
    /* Only b dialled, so only b may send: a link is simplex. */
    assert_false(side_send(&a, B_ID, 1, 0));
    assert_true(side_send(&b, A_ID, 1, 0));
    assert_false(side_send(&b, C_ID, 1, 0));
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void queue__peer_stops_reading__is_cut(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct event_base *other = event_base_new();
    struct side a;
    struct side b;
    side_open(&a, base, opts_a);
    side_open(&b, other, opts_b);
    side_dial_port(&a, "node-b", b.port);
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), KIT_DEADLINE_MS);
    while (a.ups == 0 && !pc_instant_is_due(end, pc_clock_now())) {
        kit_turn(base);
        kit_turn(other);
    }
    assert_int_equal(a.ups, 1);
    /* From here on b's loop stands still. */
    int sent = 0;
    while (sent < 100 && side_send(&a, B_ID, 1, 1 << 20)) {
        sent++;
        pc_bus_flush(a.bus);
    }
    assert_in_range(sent, PC_BUS_QUEUE_BYTES_MAX >> 20, 60);
    assert_int_equal(a.downs, 1);
    assert_false(side_send(&a, B_ID, 1, 0));
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
    event_base_free(other);
}

static void admit__refuses__dialler_is_told_why(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    side_open(&a, base, opts_a);
    side_open(&b, base, opts_b);
    b.refuse = "history 22 is not history 11: wipe the data directory";
    side_dial_port(&a, "node-b", b.port);
    WAIT_FOR(base, a.refusals >= 1);
    assert_string_equal(a.refused_text, b.refuse);
    assert_int_equal(a.ups, 0);
    assert_int_equal(side_stats(&b).rejected_identity, 1);
    assert_int_equal(side_stats(&b).handshakes_ok, 0);
    /* It backs off, then comes in once it is welcome. */
    kit_run(base, 200);
    assert_int_equal(a.refusals, 1);
    b.refuse = NULL;
    WAIT_FOR(base, a.ups == 1);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void admit__dialler_refuses__other_side_is_told_why(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    side_open(&a, base, opts_a);
    side_open(&b, base, opts_b);
    a.refuse = "who are you";
    side_dial_port(&a, "node-b", b.port);
    WAIT_FOR(base, b.refusals == 1);
    assert_string_equal(b.refused_text, "who are you");
    assert_int_equal(a.ups, 0);
    assert_int_equal(b.losts, 0);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void goodbye__peer_closes_its_bus__lost_at_once_and_found_elsewhere(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    connect_both(base, &a, &b);
    uint16_t old_port = b.port;
    pc_bus_close(b.bus);
    WAIT_FOR(base, a.losts == 1 && a.downs == 1);
    assert_int_equal(a.lost_id, B_ID);
    assert_false(side_send(&a, B_ID, 1, 0));
    kit_run(base, 150);
    assert_int_equal(a.losts, 1);
    struct pc_error error;
    int holder; /* so that the new life cannot get the old port */
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", old_port);
    assert_ok(pc_os_listen_tcp(address, &holder, &error));
    side_open(&b, base, later(opts_b, 11, 0));
    assert_true(b.port != old_port);
    (void)snprintf(address, sizeof address, "localhost:%u", b.port);
    pc_bus_dial(a.bus, "node-b", address);
    WAIT_FOR(base, a.ups == 2);
    assert_int_equal(a.up_hello.generation, 11);
    assert_int_equal(a.losts, 1);
    close(holder);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void lost__process_is_killed__is_told_soon(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    uint16_t peer_port;
    side_open(&a, base, opts_a);
    pid_t pid = spawn_peer(a.port, opts_b, &peer_port);
    side_dial_port(&a, "node-b", peer_port);
    WAIT_FOR(base, a.ups == 1 && side_stats(&a).handshakes_ok == 2);
    struct pc_instant killed = pc_clock_now();
    PC_ASSERT(kill(pid, SIGKILL) == 0);
    WAIT_FOR(base, a.losts == 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    pc_ms took = pc_instant_ms_between(killed, a.lost_at);
    assert_in_range(took, 0, PC_BUS_CONFIRM_MS + 500);
    assert_int_equal(a.lost_id, B_ID);
    assert_int_equal(a.downs, 1);
    kit_run(base, 200);
    assert_int_equal(a.losts, 1);
    pc_bus_close(a.bus);
    event_base_free(base);
}

static void lost__process_is_only_paused__is_not_told(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    uint16_t peer_port;
    side_open(&a, base, opts_a);
    pid_t pid = spawn_peer(a.port, opts_b, &peer_port);
    side_dial_port(&a, "node-b", peer_port);
    WAIT_FOR(base, a.ups == 1);
    PC_ASSERT(kill(pid, SIGSTOP) == 0);
    kit_run(base, 300);
    assert_int_equal(a.losts, 0);
    assert_int_equal(a.downs, 0);
    PC_ASSERT(kill(pid, SIGKILL) == 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    WAIT_FOR(base, a.losts == 1);
    pc_bus_close(a.bus);
    event_base_free(base);
}

static void lost__connection_cut_but_peer_listens__is_not_told(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    struct relay relay;
    side_open(&a, base, opts_a);
    side_open(&b, base, opts_b);
    relay_open(&relay, base, b.port);
    side_dial_port(&a, "node-b", relay.port);
    WAIT_FOR(base, a.ups == 1);
    relay_cut(&relay);
    WAIT_FOR(base, a.downs == 1);
    WAIT_FOR(base, a.ups == 2);
    kit_run(base, 4 * PC_BUS_CONFIRM_MS);
    assert_int_equal(a.losts, 0);
    relay_close(&relay);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void lost__reconnect_stays_unanswered__is_told_after_the_wait(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    struct relay relay;
    side_open(&a, base, opts_a);
    side_open(&b, base, opts_b);
    relay_open(&relay, base, b.port);
    side_dial_port(&a, "node-b", relay.port);
    WAIT_FOR(base, a.ups == 1);
    /* The relay's queue of connections becomes one long, is filled, and nobody accepts. */
    event_del(relay.accept_event);
    assert_int_equal(listen(relay.listen_fd, 0), 0);
    int fillers[4];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(relay.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < 4; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&to, sizeof to);
    }
    kit_run(base, 20);
    struct pc_instant cut = pc_clock_now();
    relay_cut(&relay);
    WAIT_FOR(base, a.losts == 1);
    assert_in_range(
        pc_instant_ms_between(cut, a.lost_at), PC_BUS_CONFIRM_MS - 5, PC_BUS_CONFIRM_MS + 500);
    for (size_t i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    relay_close(&relay);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void later_life__authenticates__ends_the_earlier_one(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    struct side b2;
    connect_both(base, &a, &b);
    side_open(&b2, base, later(opts_b, 11, 0));
    side_dial_port(&b2, "node-a", a.port);
    WAIT_FOR(base, b2.ups == 1 && a.downs == 1);
    assert_int_equal(a.losts, 1);
    /* What is left of the earlier life is turned away and learns why. */
    WAIT_FOR(base, b.refusals >= 1);
    assert_non_null(strstr(b.refused_text, "generation 10 is over, 11 has been seen"));
    assert_int_equal(b2.downs, 0);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    pc_bus_close(b2.bus);
    event_base_free(base);
}

static void same_life__of_two_processes__second_is_refused(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    struct side clone;
    connect_both(base, &a, &b);
    side_open(&clone, base, opts_b);
    side_dial_port(&clone, "node-a", a.port);
    WAIT_FOR(base, clone.refusals == 1);
    assert_non_null(strstr(clone.refused_text, "another process"));
    assert_int_equal(a.downs, 0);
    assert_int_equal(b.downs, 0);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    pc_bus_close(clone.bus);
    event_base_free(base);
}

static void two_addresses__of_one_peer__settle_on_one_link(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    connect_both(base, &a, &b);
    char address[64];
    (void)snprintf(address, sizeof address, "localhost:%u", a.port);
    pc_bus_dial(b.bus, "other-name", address);
    WAIT_FOR(base, side_stats(&a).handshakes_ok >= 3);
    kit_run(base, 300);
    uint64_t settled = side_stats(&a).handshakes_ok;
    kit_run(base, 2200);
    assert_int_equal(side_stats(&a).handshakes_ok, settled);
    assert_true(side_send(&b, A_ID, 1, 0));
    WAIT_FOR(base, a.msgs == 1);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void own_address__dialled__is_closed_quietly(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    side_open(&a, base, opts_a);
    side_dial_port(&a, "somebody", a.port);
    WAIT_FOR(base, side_stats(&a).frames_received >= 2);
    struct pc_bus_stats stats = side_stats(&a);
    assert_int_equal(a.ups + a.admits + a.losts + a.refusals, 0);
    assert_int_equal(stats.handshakes_ok + stats.rejected_key + stats.rejected_identity, 0);
    pc_bus_close(a.bus);
    event_base_free(base);
}

static void open__port_in_use__says_so(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    side_open(&a, base, opts_a);
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", a.port);
    struct pc_bus_opts opts = {.base = base, .listen = address, .cluster = "test"};
    struct pc_bus *second = NULL;
    struct pc_error error;
    assert_int_equal(pc_bus_open(&opts, &second, &error), PC_E_EXISTS);
    assert_null(second);
    assert_non_null(strstr(error.text, "open bus: "));
    assert_non_null(strstr(error.text, "in use by pid"));
    pc_bus_close(a.bus);
    event_base_free(base);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(two_buses__dialled__link_up_both_ways),
    PC_TEST(messages__every_size__arrive_whole_and_in_order),
    PC_TEST(messages__ten_thousand_in_one_turn__arrive_in_order),
    PC_TEST(send__without_link__is_refused),
    PC_TEST(queue__peer_stops_reading__is_cut),
    PC_TEST(admit__refuses__dialler_is_told_why),
    PC_TEST(admit__dialler_refuses__other_side_is_told_why),
    PC_TEST(goodbye__peer_closes_its_bus__lost_at_once_and_found_elsewhere),
    PC_TEST(lost__process_is_killed__is_told_soon),
    PC_TEST(lost__process_is_only_paused__is_not_told),
    PC_TEST(lost__connection_cut_but_peer_listens__is_not_told),
    PC_TEST(lost__reconnect_stays_unanswered__is_told_after_the_wait),
    PC_TEST(later_life__authenticates__ends_the_earlier_one),
    PC_TEST(same_life__of_two_processes__second_is_refused),
    PC_TEST(two_addresses__of_one_peer__settle_on_one_link),
    PC_TEST(own_address__dialled__is_closed_quietly),
    PC_TEST(open__port_in_use__says_so),
};

PC_TEST_MAIN("bus", tests)
