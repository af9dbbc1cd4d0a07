/* Cluster time: stamps never fall, one wild wall clock moves nothing, and a change of leader
 * neither shortens nor restarts what is left of a time-to-live. */
#include "unit/raft/raft_net.h"

#define YEAR_MS (UINT64_C(365) * 24 * 3600 * 1000)

static pc_ms clock_of(const struct net *net, pc_node_id id)
{
    return pc_raft_clock_ms(net->nodes[id].raft, net->now);
}

static pc_ms last_stamp(const struct net *net, pc_node_id id)
{
    return pc_raft_entry(net->nodes[id].raft, net_status(net, id).last)->stamp_ms;
}

static struct net *net_with_walls(size_t n, const pc_ms *walls)
{
    struct net *net = net_new(n);
    for (pc_node_id id = 1; id <= n; id++) {
        net_crash(net, id);
        net->nodes[id].wall_ms = walls[id - 1];
        net_start(net, id);
    }
    return net;
}

struct wall_case {
    size_t n;
    pc_ms walls[NET_NODES_MAX];
    pc_node_id leader;
    pc_ms want;
};

/* Who leads first after a start takes the lower median of its vote quorum's wall clocks. */
static void clock__first_leader__takes_the_median_of_its_quorum(void **state)
{
    (void)state;
    static const struct wall_case cases[] = {
        {1, {50000}, 1, 50000},
        {3, {50000, 50000 + YEAR_MS, 50000 + YEAR_MS}, 1, 50000},
        {3, {50000 + YEAR_MS, 50000, 50000}, 1, 50000}, /* its own clock is the wild one */
        {5, {50000 + YEAR_MS, 50000, 2000, 0, 0}, 1, 50000},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct wall_case *c = &cases[i];
        struct net *net = net_with_walls(c->n, c->walls);
        struct pc_instant before = net->now;
        net_elect(net, c->leader);
        pc_ms elapsed = pc_instant_ms_between(before, net->now);
        assert_int_equal(clock_of(net, c->leader), c->want + elapsed);
        net_delete(net);
    }
}

static void stamp__wall_clocks_behind_the_log__never_falls(void **state)
{
    (void)state;
    static const pc_ms walls[] = {5 * YEAR_MS, 5 * YEAR_MS, 5 * YEAR_MS};
    struct net *net = net_with_walls(3, walls);
    net_elect(net, 1);
    net_propose(net, 1, "a");
    net_settle(net);
    net_run(net, 60);
    pc_ms stamp = last_stamp(net, 1);
    assert_true(stamp >= 5 * YEAR_MS);
    for (pc_node_id id = 1; id <= 3; id++) {
        net_crash(net, id);
        net->nodes[id].wall_ms = YEAR_MS; /* four years back */
        net_start(net, id);
        assert_int_equal(clock_of(net, id), stamp);
    }
    net_elect(net, 2);
    assert_true(last_stamp(net, 2) >= stamp);
    pc_ms before = clock_of(net, 2);
    net_run(net, 1000);
    net_propose(net, 2, "b");
    net_settle(net);
    assert_true(last_stamp(net, 2) >= stamp);
    assert_true(clock_of(net, 2) >= before);
    net_delete(net);
}

/* A member comes back with a clock that is years off, and even becomes leader. */
static void clock__one_restarts_years_off__time_goes_on(void **state)
{
    (void)state;
    static const pc_ms wild[] = {100 * YEAR_MS, 0};
    for (size_t i = 0; i < 2; i++) {
        static const pc_ms walls[] = {30 * YEAR_MS, 30 * YEAR_MS, 30 * YEAR_MS};
        struct net *net = net_with_walls(3, walls);
        struct pc_instant start = net->now;
        net_elect(net, 1);
        net_run(net, 10 * 1000);
        net_crash(net, 3);
        net->nodes[3].wall_ms = wild[i];
        net_start(net, 3);
        net_run(net, 100); /* a heartbeat puts its clock right */
        assert_int_equal(clock_of(net, 3), clock_of(net, 1));
        net_transfer(net, 1, 3);
        net_settle(net);
        assert_int_equal(net_leader(net), 3);
        net_run(net, 5000);
        net_propose(net, 3, "a");
        net_settle(net);
        pc_ms want = 30 * YEAR_MS + pc_instant_ms_between(start, net->now);
        assert_in_range(last_stamp(net, 3), want - 2, want + 2);
        net_delete(net);
    }
}

/* It leads before it has heard anybody: its quorum's other clock still bounds it from above. */
static void clock__leads_right_after_a_restart_years_ahead__is_held_by_the_other(void **state)
{
    (void)state;
    static const pc_ms walls[] = {30 * YEAR_MS, 30 * YEAR_MS, 30 * YEAR_MS};
    struct net *net = net_with_walls(3, walls);
    struct pc_instant start = net->now;
    net_elect(net, 1);
    net_run(net, 2000);
    net_crash(net, 1);
    net_crash(net, 3);
    net->nodes[3].wall_ms = 100 * YEAR_MS;
    net_start(net, 3);
    net_elect(net, 3);
    pc_ms want = 30 * YEAR_MS + pc_instant_ms_between(start, net->now);
    assert_in_range(clock_of(net, 3), want - 2, want + 2);
    net_delete(net);
}

static void clock__leader_changes__neither_stops_nor_jumps(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_run(net, 60);
    pc_ms clock = clock_of(net, 1);
    struct pc_instant at = net->now;
    for (size_t i = 0; i < 6; i++) {
        pc_node_id next = 1 + (i + 1) % 3;
        if (i % 2 == 0) {
            net_transfer(net, net_leader(net), next);
            net_settle(net);
        } else {
            net_elect(net, next);
        }
        net_propose(net, next, "a");
        net_settle(net);
        pc_ms want = clock + pc_instant_ms_between(at, net->now);
        assert_in_range(last_stamp(net, next), want - 2, want + 2);
        net_run(net, 333);
    }
    net_delete(net);
}

/* The old leader steps down; as a follower it goes on from where it was. */
static void clock__leader_steps_down__keeps_its_estimate(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    pc_ms before = clock_of(net, 1);
    struct pc_instant at = net->now;
    net->cut[2][1] = net->cut[3][1] = true;
    net_run(net, 3000);
    assert_int_not_equal(net_status(net, 1).role, PC_RAFT_LEADER);
    pc_ms want = before + pc_instant_ms_between(at, net->now);
    assert_in_range(clock_of(net, 1), want - 2, want + 2);
    net_delete(net);
}

static void clock__heartbeat_of_an_old_term__moves_nothing(void **state)
{
    (void)state;
    struct net *net = net_new(3);
    net_elect(net, 1);
    net_run(net, 60);
    pc_ms before = clock_of(net, 2);
    struct pc_raft_msg m = net_msg(PC_RAFT_MSG_APPEND, 3, 2, 1);
    m.u.append.clock_ms = 77 * YEAR_MS;
    net_recv(net, &m);
    assert_int_equal(clock_of(net, 2), before);
    net_delete(net);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(clock__first_leader__takes_the_median_of_its_quorum),
    PC_TEST(stamp__wall_clocks_behind_the_log__never_falls),
    PC_TEST(clock__one_restarts_years_off__time_goes_on),
    PC_TEST(clock__leads_right_after_a_restart_years_ahead__is_held_by_the_other),
    PC_TEST(clock__leader_changes__neither_stops_nor_jumps),
    PC_TEST(clock__leader_steps_down__keeps_its_estimate),
    PC_TEST(clock__heartbeat_of_an_old_term__moves_nothing),
};

PC_TEST_MAIN("raft_clock", tests)
