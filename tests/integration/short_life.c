/* short_life: all that a node's threads do, in one short run of three nodes, for tools that watch
 * them from within (`make tsan`, `make valgrind`): names to resolve, load, kill -9 and a restart
 * that reads old entries from the log, expiry, a hand-over, one node stopped under load, then all.
 *
 * Every node must end by itself with status 0: the tools make it another one. SHORT_LIFE_WRITES is
 * the load of each part, SHORT_LIFE_SLOW=1 gives long times to nodes that run many times slower. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integration/kit/load.h"

#define METRICS_READS 60
#define END_MS_MAX 60000
#define BIG_BYTES (900 * 1024)
#define BIG_WRITES 20 /* together more than a leader keeps in memory for its peers */

static uint64_t writes_wanted(void)
{
    const char *text = getenv("SHORT_LIFE_WRITES");
    return text != NULL ? strtoull(text, NULL, 10) : 1000;
}

static bool is_slow(void)
{
    const char *text = getenv("SHORT_LIFE_SLOW");
    return text != NULL && strcmp(text, "1") == 0;
}

/* Members by name instead of by number, so that the thread that resolves names has work. */
static void use_names(struct it_cluster *c)
{
    static char members[200];
    (void)snprintf(members, sizeof members,
        "cluster.members=node1=localhost:%u,node2=localhost:%u,node3=localhost:%u",
        c->node[0].bus_port, c->node[1].bus_port, c->node[2].bus_port);
    c->sets[0] = members;
    if (is_slow()) {
        c->sets[1] = "raft.heartbeat=500ms";
        c->sets[2] = "raft.election_min=5s";
        c->sets[3] = "raft.election_max=10s";
        c->sets[4] = "limits.leader_wait=15s";
        c->sets[5] = "limits.request_timeout=20s";
    }
}

static struct it_load *load_start(struct it_cluster *c)
{
    struct it_load_opts opts = {.threads = is_slow() ? 3 : 8, .timeout_ms = is_slow() ? 30000 : 0};
    return it_load_start(c, &opts);
}

/* An acknowledged write; one that met an election is tried again. */
static bool can_put(
    struct it_cluster *c, size_t i, const char *target, const char *value, size_t len)
{
    int status = it_call(c, i, "PUT", target, NULL, value, len)->status;
    return status == 200 || status == 201;
}

static void write_big_values(struct it_cluster *c, size_t node)
{
    char *value = malloc(BIG_BYTES);
    assert_non_null(value);
    memset(value, 'b', BIG_BYTES);
    for (int i = 0; i < BIG_WRITES; i++) {
        char target[32];
        (void)snprintf(target, sizeof target, "/v1/kv/big/%d", i % 3);
        IT_UNTIL(END_MS_MAX, can_put(c, node, target, value, BIG_BYTES));
    }
    free(value);
}

static void kill_and_restart(struct it_cluster *c, struct it_load *load)
{
    size_t away = it_cluster_leader(c);
    for (int i = 0; i < METRICS_READS; i++) { /* counters of other threads, read at any time */
        assert_int_equal(it_get(c, (size_t)i % 3, "/metrics")->status, 200);
    }
    it_load_await(load, writes_wanted());
    it_node_kill(c, away);
    it_load_await(load, writes_wanted());
    write_big_values(c, (away + 1) % 3);
    it_node_start(c, away);
    it_load_await(load, writes_wanted());
    it_cluster_await_ready(c);
}

static void expire_and_hand_over(struct it_cluster *c)
{
    IT_UNTIL(END_MS_MAX, can_put(c, 0, "/v1/kv/brief?ttl=1s", "v", 1));
    IT_UNTIL(END_MS_MAX, it_get(c, 1, "/v1/kv/brief")->status == 404);
    size_t leader = it_cluster_leader(c), target = (leader + 1) % 3;
    char text[64];
    (void)snprintf(text, sizeof text, "/v1/leader/transfer?target=%s", c->node[target].name);
    assert_int_equal(it_call(c, leader, "POST", text, NULL, "", 0)->status, 202);
    IT_UNTIL(END_MS_MAX, it_cluster_leader(c) != leader);
    assert_int_equal(it_get(c, 1, "/v1/members")->status, 200);
}

static void stop_and_restart(struct it_cluster *c, struct it_load *load)
{
    size_t leader = it_cluster_leader(c);
    it_node_signal(c, leader, SIGTERM);
    assert_int_equal(it_node_wait(c, leader, END_MS_MAX), 0);
    it_load_await(load, writes_wanted());
    it_node_start(c, leader);
    it_cluster_await_ready(c);
}

static void short_life__of_three_nodes__ends_each_with_status_0(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    use_names(c);
    it_cluster_start(c);
    struct it_load *load = load_start(c);
    kill_and_restart(c, load);
    expire_and_hand_over(c);
    stop_and_restart(c, load);
    struct it_load_counts counts;
    it_load_stop(load, &counts);
    assert_int_equal(counts.odd, 0);
    it_cluster_await_equal(c);
    it_load_check(load, c);
    for (size_t i = 0; i < 3; i++) {
        it_node_signal(c, i, SIGTERM);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(it_node_wait(c, i, END_MS_MAX), 0);
    }
    it_say("%llu writes acknowledged, %llu reads, %llu refused, %llu unknown",
        (unsigned long long)counts.acked, (unsigned long long)counts.reads,
        (unsigned long long)counts.refused, (unsigned long long)counts.unknown);
}

static const struct it_test tests[] = {
    IT_TEST(short_life__of_three_nodes__ends_each_with_status_0),
};
IT_MAIN(tests)
