/* Where a link is dialled, how often, and what is left of a peer that comes in only. */
#define _GNU_SOURCE
#include "bus_kit.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "edge/bus/bus_int.h"

#define A_ID 0xA1
#define B_ID 0xB2
#define C_ID 0xC3

static const struct side_opts opts_a = {.name = "node-a", .id = A_ID, .generation = 10, .key = 7};
static const struct side_opts opts_b = {.name = "node-b", .id = B_ID, .generation = 10, .key = 7};
static const struct side_opts opts_c = {.name = "node-c", .id = C_ID, .generation = 10, .key = 7};

/* An address that takes connections and drops them: the wrong place. */
struct trap {
    struct event *event;
    int fd;
    uint16_t port;
    char letter; /* goes to the track of all traps for each connection */
    int hits;
};

static char track[256];
static size_t track_n;

static void trap_on_accept(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct trap *trap = arg;
    int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    if (conn < 0) {
        return;
    }
    close(conn);
    trap->hits++;
    PC_ASSERT(track_n < sizeof track - 1);
    track[track_n++] = trap->letter;
}

static void trap_open(struct trap *trap, struct event_base *base, char letter)
{
    *trap = (struct trap){.letter = letter};
    struct pc_error error;
    assert_ok(pc_os_listen_tcp("127.0.0.1:0", &trap->fd, &error));
    trap->port = pc_os_local_port(trap->fd);
    trap->event = event_new(base, trap->fd, EV_READ | EV_PERSIST, trap_on_accept, trap);
    event_add(trap->event, NULL);
    memset(track, 0, sizeof track);
    track_n = 0;
}

static void trap_close(struct trap *trap)
{
    event_free(trap->event);
    close(trap->fd);
}

static struct pc_addr local_addr(uint16_t port)
{
    struct pc_addr addr;
    char text[64];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", port);
    assert_ok(pc_addr_parse(text, &addr));
    return addr;
}

static void side_hint_port(struct side *side, const char *name, uint16_t port)
{
    struct pc_addr addr = local_addr(port);
    pc_bus_hint(side->bus, name, &addr);
}

/* a, and two wrong places to look for b at. */
struct scene {
    struct event_base *base;
    struct side a;
    struct trap configured;
    struct trap hinted;
};

static void scene_open(struct scene *scene)
{
    scene->base = event_base_new();
    side_open(&scene->a, scene->base, opts_a);
    trap_open(&scene->configured, scene->base, 'c');
    trap_open(&scene->hinted, scene->base, 'h');
}

static void scene_close(struct scene *scene)
{
    pc_bus_close(scene->a.bus);
    trap_close(&scene->configured);
    trap_close(&scene->hinted);
    event_base_free(scene->base);
}

/* ---- which address */

static void configured_and_hint__nobody_there__are_tried_in_turn(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    side_hint_port(&scene.a, "node-b", scene.hinted.port);
    WAIT_FOR(scene.base, track_n >= 6);
    track[6] = '\0';
    assert_string_equal(track, "chchch");
    scene_close(&scene);
}

static void hint__wrong__does_not_prevent_the_link(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    /* b's place is known but empty: a port that was free a moment ago. */
    side_open(&b, scene.base, opts_b);
    struct side_opts opts = opts_b;
    opts.port = b.port;
    opts.generation++;
    pc_bus_close(b.bus);
    side_dial_port(&scene.a, "node-b", opts.port);
    side_hint_port(&scene.a, "node-b", scene.hinted.port);
    WAIT_FOR(scene.base, scene.hinted.hits >= 2);
    side_open(&b, scene.base, opts);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    assert_int_equal(scene.a.up_addr.port, opts.port);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

static void configured__stale__hint_links_and_links_again(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    side_hint_port(&scene.a, "node-b", b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    assert_int_equal(scene.a.up_addr.port, b.port);
    assert_int_equal(scene.configured.hits, 1);
    /* The next life is found at the same place without being told of it again. */
    struct side_opts opts = opts_b;
    opts.port = b.port;
    opts.generation++;
    pc_bus_close(b.bus);
    WAIT_FOR(scene.base, scene.a.downs == 1);
    side_open(&b, scene.base, opts);
    WAIT_FOR(scene.base, scene.a.ups == 2);
    assert_true(scene.configured.hits >= 2);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

/* Name servers may take seconds to deny a name; a peer that comes in shows where it is. */
static void configured__does_not_resolve__peer_that_comes_in_is_found(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    char address[64];
    (void)snprintf(address, sizeof address, "no-such-host.invalid:%u", (unsigned)b.port);
    pc_bus_dial(scene.a.bus, "node-b", address);
    side_dial_port(&b, "node-a", scene.a.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    assert_int_equal(scene.a.up_addr.port, b.port);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

static void configured__does_not_resolve__hint_links(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    pc_bus_dial(scene.a.bus, "node-b", "no colon and no port");
    side_hint_port(&scene.a, "node-b", b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

static void both__wrong_then_hint_corrected__link_is_up(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    side_hint_port(&scene.a, "node-b", scene.hinted.port);
    WAIT_FOR(scene.base, scene.hinted.hits >= 4 && track[track_n - 1] == 'c');
    kit_run(scene.base, 20);
    /* By now it waits half a second at least, for the hint's turn: a corrected one ends the wait.
     */
    struct pc_instant corrected = pc_clock_now();
    side_hint_port(&scene.a, "node-b", b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    assert_in_range(pc_instant_ms_between(corrected, pc_clock_now()), 0, 400);
    assert_int_equal(scene.a.up_hello.id, B_ID);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

static void hint__keeps_changing__configured_keeps_its_turn(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), KIT_DEADLINE_MS);
    for (unsigned i = 0; track_n < 20 && !pc_instant_is_due(end, pc_clock_now()); i++) {
        struct pc_addr addr = local_addr(scene.hinted.port);
        addr.ip[15] = (uint8_t)(1 + i % 2); /* 127.0.0.2 is refused: nobody listens there */
        pc_bus_hint(scene.a.bus, "node-b", &addr);
        kit_turn(scene.base);
    }
    assert_true(track_n >= 20);
    assert_true(scene.configured.hits >= scene.hinted.hits);
    scene_close(&scene);
}

static void both__wrong_then_configured_corrected__link_is_up(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    side_hint_port(&scene.a, "node-b", scene.hinted.port);
    WAIT_FOR(scene.base, scene.configured.hits >= 2 && scene.hinted.hits >= 2);
    side_dial_port(&scene.a, "node-b", b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    assert_int_equal(scene.a.up_addr.port, b.port);
    pc_bus_close(b.bus);
    scene_close(&scene);
}

static void hint__leads_to_another_peer__is_given_up(void **state)
{
    (void)state;
    struct scene scene;
    struct side b;
    struct side c;
    scene_open(&scene);
    side_open(&b, scene.base, opts_b);
    side_open(&c, scene.base, opts_c);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    side_hint_port(&scene.a, "node-b", c.port);
    WAIT_FOR(scene.base, side_stats(&c).handshakes_ok == 1);
    int before = scene.configured.hits;
    WAIT_FOR(scene.base, scene.configured.hits >= before + 3);
    assert_int_equal(side_stats(&c).handshakes_ok, 1);
    assert_int_equal(scene.a.ups + scene.a.admits + c.losts, 0);
    /* Told the same once more, it knows better. */
    side_hint_port(&scene.a, "node-b", c.port);
    WAIT_FOR(scene.base, scene.configured.hits >= before + 5);
    assert_int_equal(side_stats(&c).handshakes_ok, 1);
    side_hint_port(&scene.a, "node-b", b.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    assert_string_equal(scene.a.up_hello.name, "node-b");
    pc_bus_close(b.bus);
    pc_bus_close(c.bus);
    scene_close(&scene);
}

static void hint__is_another_links_address__leaves_that_link_alone(void **state)
{
    (void)state;
    struct scene scene;
    struct side c;
    scene_open(&scene);
    side_open(&c, scene.base, opts_c);
    side_dial_port(&scene.a, "node-c", c.port);
    WAIT_FOR(scene.base, scene.a.ups == 1);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    side_hint_port(&scene.a, "node-b", c.port);
    WAIT_FOR(scene.base, scene.configured.hits >= 4);
    assert_int_equal(side_stats(&c).handshakes_ok, 1);
    assert_int_equal(scene.a.downs, 0);
    pc_bus_close(c.bus);
    scene_close(&scene);
}

static void hint__taken_back_or_of_a_stranger__is_not_tried(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene);
    side_dial_port(&scene.a, "node-b", scene.configured.port);
    side_hint_port(&scene.a, "stranger", scene.hinted.port);
    WAIT_FOR(scene.base, scene.configured.hits >= 3);
    assert_int_equal(scene.hinted.hits, 0);
    side_hint_port(&scene.a, "node-b", scene.hinted.port);
    WAIT_FOR(scene.base, scene.hinted.hits == 1);
    pc_bus_hint(scene.a.bus, "node-b", &(struct pc_addr){0});
    int before = scene.configured.hits;
    WAIT_FOR(scene.base, scene.configured.hits >= before + 3);
    assert_int_equal(scene.hinted.hits, 1);
    scene_close(&scene);
}

/* ---- refusals */

/* Standard error goes to a memory file between these two. */
static int saved_stderr;
static int capture_fd;

static void capture_begin(void)
{
    saved_stderr = dup(STDERR_FILENO);
    capture_fd = memfd_create("log", MFD_CLOEXEC);
    PC_ASSERT(saved_stderr >= 0 && capture_fd >= 0);
    PC_ASSERT(dup2(capture_fd, STDERR_FILENO) >= 0);
}

static char *capture_end(void)
{
    PC_ASSERT(dup2(saved_stderr, STDERR_FILENO) >= 0);
    close(saved_stderr);
    off_t len = lseek(capture_fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    PC_ASSERT(text != NULL);
    PC_ASSERT(pread(capture_fd, text, (size_t)len, 0) == len);
    close(capture_fd);
    return text;
}

static size_t count_of(const char *text, const char *what)
{
    size_t n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what)) {
        n++;
    }
    return n;
}

static void run_until_refusals(struct event_base *base, const struct side *side, int refusals)
{
    struct pc_instant end = pc_instant_add_ms(pc_clock_now(), KIT_DEADLINE_MS);
    while (side->refusals < refusals && !pc_instant_is_due(end, pc_clock_now())) {
        kit_turn(base);
    }
}

/* A peer with a wiped data directory: each side dials, and a refuses both ways. */
static void refused__again_and_again__is_tried_more_rarely_and_logged_once(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    pc_log_setup(PC_LOG_INFO, PC_LOG_LOGFMT, "");
    side_open(&a, base, opts_a);
    side_open(&b, base, opts_b);
    a.refuse = "not the node-b that it knows";
    capture_begin();
    side_dial_port(&a, "node-b", b.port);
    side_dial_port(&b, "node-a", a.port);
    run_until_refusals(base, &b, 2);
    struct pc_instant first = pc_clock_now();
    run_until_refusals(base, &b, 8);
    struct pc_instant last = pc_clock_now();
    char *log = capture_end();
    assert_int_equal(b.refusals, 8);
    /* Four rounds of both sides: half a second, one and two seconds apart at the least. */
    assert_true(pc_instant_ms_between(first, last) >= 3300);
    assert_int_equal(count_of(log, "msg=\"peer refused\""), 1);
    assert_int_equal(count_of(log, "msg=\"a peer refuses this node\" peer=node-a"), 1);
    assert_int_equal(count_of(log, "\n"), 2);
    free(log);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void refused__then_comes_in_and_is_welcome__is_dialled_at_once(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    side_open(&a, base, opts_a);
    side_open(&b, base, opts_b);
    a.refuse = "not the node-b that it knows";
    side_dial_port(&a, "node-b", b.port);
    WAIT_FOR(base, b.refusals == 2);
    /* From here on a waits a second at least. */
    a.refuse = NULL;
    struct pc_instant welcome = pc_clock_now();
    side_dial_port(&b, "node-a", a.port);
    WAIT_FOR(base, a.ups == 1 && b.ups == 1);
    assert_in_range(pc_instant_ms_between(welcome, pc_clock_now()), 0, 900);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

/* A listener that takes no connection: what knocks is not answered, nor refused. */
static int open_deaf(uint16_t *port, int *fillers, size_t n)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int one = 1;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    for (size_t i = 0; i < n; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fillers[i], (struct sockaddr *)&at, sizeof at);
    }
    return fd;
}

static void unanswered_connect__peer_comes_in__is_given_up_for_a_new_one(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct side b;
    uint16_t port;
    int fillers[4];
    int deaf = open_deaf(&port, fillers, 4);
    side_open(&a, base, opts_a);
    side_dial_port(&a, "node-b", port);
    kit_run(base, 50); /* the connect is under way */
    for (size_t i = 0; i < 4; i++) {
        close(fillers[i]);
    }
    close(deaf);
    struct side_opts there = opts_b;
    there.port = port;
    side_open(&b, base, there);
    struct pc_instant began = pc_clock_now();
    side_dial_port(&b, "node-a", a.port);
    WAIT_FOR(base, a.ups == 1 && b.ups == 1);
    /* The system would try again after a second. */
    assert_in_range(pc_instant_ms_between(began, pc_clock_now()), 0, 700);
    pc_bus_close(a.bus);
    pc_bus_close(b.bus);
    event_base_free(base);
}

static void delay__round_after_round__doubles_up_to_its_limit(void **state)
{
    (void)state;
    static const pc_ms plain[] = {50, 100, 200, 400, 800, 1000, 1000};
    static const pc_ms refused[] = {1000, 2000, 4000, 5000, 5000};
    pc_ms delay = 0;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++) {
        delay = bus_link_delay_after(delay, false);
        assert_int_equal(delay, plain[i]);
    }
    delay = 0;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        delay = bus_link_delay_after(delay, true);
        assert_int_equal(delay, refused[i]);
    }
    assert_int_equal(bus_link_delay_after(delay, false), 1000);
}

static void refusals__of_one_peer__one_line_a_minute_with_the_rest_counted(void **state)
{
    (void)state;
    struct bus_refusals *refusals = pc_xalloc(sizeof *refusals);
    struct pc_instant start = {.us = 5};
    uint64_t left_out = 99;
    assert_true(bus_refusals_admit(refusals, "b", true, start, &left_out));
    assert_int_equal(left_out, 0);
    struct pc_instant before = pc_instant_add_ms(start, PC_BUS_REFUSAL_LOG_MS - 1);
    for (int i = 0; i < 7; i++) {
        assert_false(bus_refusals_admit(refusals, "b", true, before, &left_out));
    }
    /* Neither the other way nor another peer is part of it. */
    assert_true(bus_refusals_admit(refusals, "b", false, before, &left_out));
    assert_true(bus_refusals_admit(refusals, "c", true, before, &left_out));
    assert_int_equal(left_out, 0);
    struct pc_instant after = pc_instant_add_ms(start, PC_BUS_REFUSAL_LOG_MS);
    assert_true(bus_refusals_admit(refusals, "b", true, after, &left_out));
    assert_int_equal(left_out, 7);
    assert_false(bus_refusals_admit(refusals, "b", true, after, &left_out));
    after = pc_instant_add_ms(after, PC_BUS_REFUSAL_LOG_MS);
    assert_true(bus_refusals_admit(refusals, "b", true, after, &left_out));
    assert_int_equal(left_out, 1);
    free(refusals);
}

static void refusals__more_peers_than_it_holds__oldest_makes_room(void **state)
{
    (void)state;
    struct bus_refusals *refusals = pc_xalloc(sizeof *refusals);
    uint64_t left_out;
    char name[PC_NAME_BYTES_MAX + 1];
    for (uint64_t i = 0; i <= BUS_REFUSALS_MAX; i++) {
        (void)snprintf(name, sizeof name, "node-%u", (unsigned)i);
        assert_true(bus_refusals_admit(
            refusals, name, true, (struct pc_instant){.us = 1000 + i}, &left_out));
    }
    struct pc_instant now = {.us = 5000};
    assert_false(bus_refusals_admit(refusals, name, true, now, &left_out));
    assert_false(bus_refusals_admit(refusals, "node-1", true, now, &left_out));
    assert_true(bus_refusals_admit(refusals, "node-0", true, now, &left_out));
    free(refusals);
}

/* ---- a peer that comes in only */

static void incoming_only__never_dialled__its_end_tells_nothing(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    uint16_t peer_port;
    side_open(&a, base, opts_a);
    pid_t pid = spawn_peer(a.port, opts_b, &peer_port);
    WAIT_FOR(base, side_stats(&a).handshakes_ok == 1);
    PC_ASSERT(kill(pid, SIGKILL) == 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    kit_run(base, 4 * PC_BUS_CONFIRM_MS);
    assert_int_equal(a.losts + a.downs, 0);
    pc_bus_close(a.bus);
    event_base_free(base);
}

/* The link to it has ended, and only its own connection is left: where the link led is remembered,
 * and says that its process is gone. */
static void incoming_only__dialled_before__its_end_is_checked_at_the_last_address(void **state)
{
    (void)state;
    struct event_base *base = event_base_new();
    struct side a;
    struct relay relay;
    uint16_t peer_port;
    side_open(&a, base, opts_a);
    pid_t pid = spawn_peer(a.port, opts_b, &peer_port);
    relay_open(&relay, base, peer_port);
    side_dial_port(&a, "node-b", relay.port);
    WAIT_FOR(base, a.ups == 1 && side_stats(&a).handshakes_ok == 2);
    /* The relay still listens, so the cut is not taken for a death; but it passes nothing on. */
    event_del(relay.accept_event);
    relay_cut(&relay);
    WAIT_FOR(base, a.downs == 1);
    kit_run(base, 4 * PC_BUS_CONFIRM_MS);
    assert_int_equal(a.losts, 0);
    assert_int_equal(a.ups, 1);
    relay_close(&relay);
    kit_run(base, 2 * PC_BUS_CONFIRM_MS);
    assert_int_equal(a.losts, 0); /* its own connection is still there */
    PC_ASSERT(kill(pid, SIGKILL) == 0);
    WAIT_FOR(base, a.losts == 1);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(a.lost_id, B_ID);
    pc_bus_close(a.bus);
    event_base_free(base);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(configured_and_hint__nobody_there__are_tried_in_turn),
    PC_TEST(hint__wrong__does_not_prevent_the_link),
    PC_TEST(configured__stale__hint_links_and_links_again),
    PC_TEST(configured__does_not_resolve__peer_that_comes_in_is_found),
    PC_TEST(configured__does_not_resolve__hint_links),
    PC_TEST(both__wrong_then_hint_corrected__link_is_up),
    PC_TEST(both__wrong_then_configured_corrected__link_is_up),
    PC_TEST(hint__keeps_changing__configured_keeps_its_turn),
    PC_TEST(hint__leads_to_another_peer__is_given_up),
    PC_TEST(hint__is_another_links_address__leaves_that_link_alone),
    PC_TEST(hint__taken_back_or_of_a_stranger__is_not_tried),
    PC_TEST(refused__again_and_again__is_tried_more_rarely_and_logged_once),
    PC_TEST(refused__then_comes_in_and_is_welcome__is_dialled_at_once),
    PC_TEST(unanswered_connect__peer_comes_in__is_given_up_for_a_new_one),
    PC_TEST(delay__round_after_round__doubles_up_to_its_limit),
    PC_TEST(refusals__of_one_peer__one_line_a_minute_with_the_rest_counted),
    PC_TEST(refusals__more_peers_than_it_holds__oldest_makes_room),
    PC_TEST(incoming_only__never_dialled__its_end_tells_nothing),
    PC_TEST(incoming_only__dialled_before__its_end_is_checked_at_the_last_address),
};

PC_TEST_MAIN("bus_link", tests)
