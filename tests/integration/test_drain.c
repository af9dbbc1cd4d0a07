/* SIGTERM: a node leaves without a single failed request, in the order readyz 503, leadership away,
 * Connection: close, no more connections, exit 0. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "integration/kit/load.h"

#define DRAIN_DELAY_MS 1000 /* the default of [http] drain_delay */
#define EXIT_MS_MAX 8000

struct leaving {
    uint64_t not_ready_ms, close_ms, refused_ms; /* since the signal; 0 = not seen */
    uint64_t served;                             /* answered with 2xx since not ready */
};

static void look_at_readiness(struct it_cluster *c, size_t i, uint64_t began, struct leaving *out)
{
    it_client_hang_up(&c->node[i].client);
    const struct it_client *answer = it_get(c, i, "/readyz");
    if (answer->status == 503 && out->not_ready_ms == 0) {
        out->not_ready_ms = it_now_ms() - began + 1;
        it_contains(answer->body, "[-]drain draining");
    }
    it_client_hang_up(&c->node[i].client);
}

/* One look at a node that is going down: its readiness, then a request on a new connection each. */
static bool look(struct it_cluster *c, size_t i, uint64_t began, struct leaving *out)
{
    look_at_readiness(c, i, began, out);
    const struct it_client *answer =
        it_call(c, i, "PUT", "/v1/kv/through-the-leaving", NULL, "v", 1);
    if (answer->status <= 0) { /* the listening socket is closed; others are accepted no more */
        out->refused_ms = it_now_ms() - began + 1;
        return false;
    }
    if (answer->status != 200 && answer->status != 201) {
        fail_msg("the leaving node answered %d %s", answer->status, answer->body);
    }
    out->served += out->not_ready_ms > 0;
    char value[32];
    bool closes = strcmp(it_client_header(answer, "Connection", value, sizeof value), "close") == 0;
    if (closes && out->close_ms == 0) {
        look_at_readiness(c, i, began, out); /* the signal may have come between the two */
        out->close_ms = it_now_ms() - began + 1;
    } else if (out->close_ms > 0) {
        assert_true(closes);
    }
    return true;
}

static void drain_one(struct it_cluster *c, size_t leaving)
{
    struct it_load_opts opts = {.threads = 3, .nodes = 7u & ~(1u << leaving)};
    struct it_load *load = it_load_start(c, &opts);
    it_load_await(load, 100);
    struct leaving seen = {0};
    uint64_t began = it_now_ms();
    it_node_signal(c, leaving, SIGTERM);
    while (look(c, leaving, began, &seen)) {
        assert_true(it_now_ms() - began < EXIT_MS_MAX);
    }
    assert_int_equal(it_node_wait(c, leaving, EXIT_MS_MAX), 0);
    uint64_t took_ms = it_now_ms() - began;
    assert_true(took_ms < EXIT_MS_MAX);
    it_say("not ready after %llu ms, Connection: close after %llu, closed after %llu, ended after "
           "%llu; %llu requests served meanwhile",
        (unsigned long long)seen.not_ready_ms, (unsigned long long)seen.close_ms,
        (unsigned long long)seen.refused_ms, (unsigned long long)took_ms,
        (unsigned long long)seen.served);
    assert_true(seen.not_ready_ms > 0 && seen.close_ms >= seen.not_ready_ms);
    assert_true(seen.refused_ms >= seen.not_ready_ms + DRAIN_DELAY_MS / 2 && seen.served > 0);
    it_load_await(load, 100);
    struct it_load_counts counts;
    it_load_stop(load, &counts);
    assert_int_equal(counts.refused + counts.unknown + counts.odd, 0);
    assert_int_not_equal(it_cluster_leader(c), leaving);
    it_load_check(load, c);
}

static void sigterm__to_the_leader__no_request_fails(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c);
    drain_one(c, leader);
    /* It said goodbye: nobody has to suspect it. */
    size_t other = (leader + 1) % 3;
    IT_UNTIL(IT_SOON_MS, it_metric(c, other, "pcached_members{state=\"left\"}") == 1);
    it_node_start(c, leader);
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
}

static void sigterm__to_a_follower__no_request_fails(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    struct it_status before, after;
    size_t leader = it_cluster_leader(c);
    assert_true(it_status(c, leader, &before));
    drain_one(c, it_cluster_follower(c, 0));
    /* A follower that leaves is no reason for an election. */
    assert_true(it_status(c, leader, &after));
    assert_int_equal(after.term, before.term);
}

static void sigterm__to_all__ends_each_and_keeps_the_data(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "k", "v");
    uint64_t began = it_now_ms();
    for (size_t i = 0; i < 3; i++) {
        it_node_signal(c, i, SIGTERM);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(it_node_wait(c, i, EXIT_MS_MAX), 0);
    }
    assert_true(it_now_ms() - began < EXIT_MS_MAX);
    for (size_t i = 0; i < 3; i++) {
        it_node_start(c, i);
    }
    it_cluster_await_ready(c);
    assert_string_equal(it_value(c, 2, "k"), "v");
}

static const struct it_test tests[] = {
    IT_TEST(sigterm__to_the_leader__no_request_fails),
    IT_TEST(sigterm__to_a_follower__no_request_fails),
    IT_TEST(sigterm__to_all__ends_each_and_keeps_the_data),
};
IT_MAIN(tests)
