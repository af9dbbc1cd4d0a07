/* Peers that come and go: dialled without a configured address, and forgotten. */
#define _GNU_SOURCE
#include "bus_kit.h"

#include "edge/bus/bus_int.h"

#define A_ID 0xA1
#define B_ID 0xB2
#define C_ID 0xC3

static const struct side_opts opts_a = {.name = "node-a", .id = A_ID, .generation = 10, .key = 7};
static const struct side_opts opts_b = {.name = "node-b", .id = B_ID, .generation = 10, .key = 7};
static const struct side_opts opts_c = {.name = "node-c", .id = C_ID, .generation = 10, .key = 7};

struct scene {
    struct event_base *base;
    struct side a, b, c;
};

static void scene_open(struct scene *scene)
{
    scene->base = event_base_new();
    side_open(&scene->a, scene->base, opts_a);
    side_open(&scene->b, scene->base, opts_b);
    side_open(&scene->c, scene->base, opts_c);
}

static void scene_close(struct scene *scene)
{
    pc_bus_close(scene->a.bus);
    pc_bus_close(scene->b.bus);
    pc_bus_close(scene->c.bus);
    event_base_free(scene->base);
}

static void hint(struct side *side, const char *name, uint16_t port)
{
    char text[64];
    struct pc_addr addr;
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_ok(pc_addr_parse(text, &addr));
    pc_bus_hint(side->bus, name, &addr);
}

/* ---- without a configured address */

static void unconfigured__nothing_known__waits(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    kit_run(scene.base, 300);
    assert_int_equal(scene.a.ups, 0);
    assert_int_equal(side_stats(&scene.b).handshakes_ok, 0);
    scene_close(&scene);
}

static void unconfigured__hint__is_dialled(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    kit_run(scene.base, 20);
    hint(&scene.a, "node-b", scene.b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    assert_int_equal(scene.a.up_hello.id, B_ID);
    scene_close(&scene);
}

/* Its connection comes from a port that it does not listen on: it says the one that it does. */
static void unconfigured__comes_in__is_dialled_at_the_port_it_says(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    side_dial_port(&scene.b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, scene.a.ups == 1 && scene.b.ups == 1);
    assert_int_equal(scene.a.up_addr.port, scene.b.port);
    assert_true(side_send(&scene.a, B_ID, 1, 0));
    WAIT_FOR(scene.base, scene.b.msgs == 1);
    scene_close(&scene);
}

/* It comes back at another port: the next time that it comes in says so. */
static void unconfigured__starts_anew_elsewhere__is_found(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    side_dial_port(&scene.b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    uint16_t before = scene.b.port;
    pc_bus_close(scene.b.bus);
    struct side_opts again = opts_b;
    again.generation++;
    side_open(&scene.b, scene.base, again);
    side_dial_port(&scene.b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, scene.a.ups == 2);
    assert_int_equal(scene.a.up_addr.port, scene.b.port);
    assert_int_not_equal(before, scene.b.port);
    scene_close(&scene);
}

/* Only the link is cut, by the peer's refusal of it: where it came from is still known. */
static void unconfigured__link_cut__is_dialled_again(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    side_dial_port(&scene.b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, scene.a.ups == 1 && scene.b.ups == 1);
    struct bus_peer *peer = bus_peer_find(scene.a.bus, B_ID);
    assert_non_null(peer);
    bus_conn_close(peer->out, BUS_END_OURS, "test");
    WAIT_FOR(scene.base, scene.a.ups == 2);
    assert_int_equal(scene.b.ups, 1);
    scene_close(&scene);
}

static void unconfigured__address_follows__is_used(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    kit_run(scene.base, 20);
    side_dial_port(&scene.a, "node-b", scene.b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    /* And is not lost by naming the peer once more. */
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    struct bus_link *link = bus_link_find(scene.a.bus, "node-b");
    assert_string_not_equal(link->address, "");
    scene_close(&scene);
}

/* c lives where b was: b is looked for there in vain, and c's link is left alone. */
static void unconfigured__its_place_is_anothers_now__leaves_that_link_alone(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_dial(scene.a.bus, "node-b", NULL);
    side_dial_port(&scene.b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    uint16_t place = scene.b.port;
    pc_bus_close(scene.b.bus);
    pc_bus_close(scene.c.bus);
    struct side_opts there = opts_c;
    there.port = place;
    there.generation++;
    side_open(&scene.c, scene.base, there);
    side_dial_port(&scene.a, "node-c", place);
    WAIT_FOR(scene.base, scene.a.ups == 2);
    assert_int_equal(scene.a.up_hello.id, C_ID);
    kit_run(scene.base, 1500);
    assert_int_equal(scene.a.ups, 2);
    assert_int_equal(scene.a.downs, 1); /* b's */
    side_open(&scene.b, scene.base, opts_b);
    scene_close(&scene);
}

/* ---- forgotten */

static void forgotten__link_up__both_ways_end_for_good(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    side_dial_port(&scene.a, "node-b", scene.b.port);
    side_dial_port(&scene.a, "node-c", scene.c.port);
    side_dial_port(&scene.b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, scene.a.ups == 2 && scene.b.ups == 1);
    scene.a.refuse = "was removed";
    pc_bus_forget(scene.a.bus, "node-b");
    assert_int_equal(scene.a.downs, 1);
    assert_false(side_send(&scene.a, B_ID, 1, 0));
    /* b calls again, and is told; nobody calls b. */
    WAIT_FOR(scene.base, scene.b.refusals >= 1);
    assert_string_equal(scene.b.refused_text, "was removed");
    kit_run(scene.base, 300);
    assert_int_equal(scene.a.ups, 2);
    assert_int_equal(scene.a.losts, 0);
    assert_true(side_send(&scene.a, C_ID, 1, 0)); /* another one is left alone */
    scene_close(&scene);
}

static void forgotten__connect_under_way_or_unknown__nothing_is_left(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    pc_bus_forget(scene.a.bus, "node-b");
    side_dial_port(&scene.a, "node-b", scene.b.port);
    pc_bus_forget(scene.a.bus, "node-b"); /* before its first try */
    side_dial_port(&scene.a, "node-b", scene.b.port);
    WAIT_FOR(scene.base, scene.a.bus->conns.tqh_first != NULL);
    pc_bus_forget(scene.a.bus, "node-b");
    kit_run(scene.base, 200);
    assert_null(bus_link_find(scene.a.bus, "node-b"));
    assert_int_equal(scene.a.bus->links_n, 0);
    assert_int_equal(scene.a.ups, scene.a.downs); /* should the handshake have been over */
    pc_bus_dial(scene.a.bus, "node-b", "does-not-resolve.invalid:1");
    kit_run(scene.base, 5);
    pc_bus_forget(scene.a.bus, "node-b"); /* while its name is looked up */
    kit_run(scene.base, 200);
    assert_int_equal(scene.a.bus->links_n, 0);
    scene_close(&scene);
}

static void forgotten__dialled_once_more__is_up_again(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    side_dial_port(&scene.a, "node-b", scene.b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    pc_bus_forget(scene.a.bus, "node-b");
    side_dial_port(&scene.a, "node-b", scene.b.port);
    WAIT_FOR(scene.base, scene.a.ups == 2);
    scene_close(&scene);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(unconfigured__nothing_known__waits),
    PC_TEST(unconfigured__hint__is_dialled),
    PC_TEST(unconfigured__comes_in__is_dialled_at_the_port_it_says),
    PC_TEST(unconfigured__starts_anew_elsewhere__is_found),
    PC_TEST(unconfigured__link_cut__is_dialled_again),
    PC_TEST(unconfigured__address_follows__is_used),
    PC_TEST(unconfigured__its_place_is_anothers_now__leaves_that_link_alone),
    PC_TEST(forgotten__link_up__both_ways_end_for_good),
    PC_TEST(forgotten__connect_under_way_or_unknown__nothing_is_left),
    PC_TEST(forgotten__dialled_once_more__is_up_again),
};

PC_TEST_MAIN("bus_members", tests)
