/* Nodes are killed, stopped and cut down to a minority while clients write and read through all of
 * them. load.h says what is checked meanwhile; afterwards every acknowledged write is read back
 * from every node. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integration/kit/load.h"
#include "pcache/prng.h"

#define SOME_WRITES 400
#define FEW_WRITES 40 /* while one node in three does not answer */
#define READERS 16
#define MISHAPS 15

static const struct it_load_opts four_clients = {.threads = 4};

static void stop_and_check(struct it_load *load, struct it_cluster *c)
{
    struct it_load_counts counts;
    it_load_stop(load, &counts);
    it_load_check(load, c);
    it_say("%llu writes acknowledged, %llu refused, %llu unknown; %llu reads",
        (unsigned long long)counts.acked, (unsigned long long)counts.refused,
        (unsigned long long)counts.unknown, (unsigned long long)counts.reads);
    assert_int_not_equal(counts.reads, 0);
}

/* Milliseconds until a write through `through` is acknowledged. */
static uint64_t time_to_write(struct it_cluster *c, size_t through)
{
    uint64_t began = it_now_ms();
    int status = 0;
    IT_UNTIL(IT_SOON_MS,
        (status = it_call(c, through, "PUT", "/v1/kv/again", NULL, "1", 1)->status) == 200 ||
            status == 201);
    return it_now_ms() - began;
}

static void follower__killed_under_load__nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    struct it_load *load = it_load_start(c, &four_clients);
    for (size_t nth = 0; nth < 2; nth++) {
        it_load_await(load, SOME_WRITES);
        size_t victim = it_cluster_follower(c, nth);
        it_node_kill(c, victim);
        it_load_await(load, SOME_WRITES);
        it_node_start(c, victim);
        it_cluster_await_ready(c);
    }
    it_load_await(load, SOME_WRITES);
    stop_and_check(load, c);
}

static void leader__killed_under_load__nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    struct it_load *load = it_load_start(c, &four_clients);
    for (int round = 0; round < 4; round++) {
        it_load_await(load, SOME_WRITES);
        size_t victim = it_cluster_leader(c);
        size_t through = (victim + 1) % 3;
        it_node_kill(c, victim);
        it_say("leader killed under load: a write was acknowledged after %llu ms",
            (unsigned long long)time_to_write(c, through));
        it_load_await(load, SOME_WRITES);
        it_node_start(c, victim);
        it_cluster_await_ready(c);
    }
    stop_and_check(load, c);
}

static void leader__killed_at_rest__others_soon_accept_writes(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    for (int round = 0; round < 4; round++) {
        size_t victim = it_cluster_leader(c);
        size_t through = (victim + 1) % 3;
        it_put(c, through, "before", "1");
        it_node_kill(c, victim);
        it_say("leader killed: a write was acknowledged after %llu ms",
            (unsigned long long)time_to_write(c, through));
        it_node_start(c, victim);
        it_cluster_await_ready(c);
    }
    it_cluster_await_equal(c);
}

static void all_three__killed_under_load__nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    struct it_load *load = it_load_start(c, &four_clients);
    for (int round = 0; round < 2; round++) {
        it_load_await(load, SOME_WRITES);
        for (size_t i = 0; i < 3; i++) {
            it_node_kill(c, i);
        }
        for (size_t i = 0; i < 3; i++) {
            it_node_start(c, i);
        }
        it_cluster_await_ready(c);
    }
    it_load_await(load, SOME_WRITES);
    stop_and_check(load, c);
}

/* Requests that wait in the sockets of a stopped leader are the first that it sees when it goes on:
 * it then still believes to lead, and has missed everything. */
static void leader__stopped_and_continued__never_gives_old_data(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    /* Clients at the stopped node give up soon, and go on with the others. */
    struct it_load *load =
        it_load_start(c, &(struct it_load_opts){.threads = 4, .timeout_ms = 250});
    it_load_await(load, SOME_WRITES);
    size_t old = it_cluster_leader(c), other = (old + 1) % 3;
    it_put(c, other, "fact", "old");
    it_node_signal(c, old, SIGSTOP);
    it_say("leader stopped: a write was acknowledged after %llu ms",
        (unsigned long long)time_to_write(c, other));
    assert_int_not_equal(it_cluster_leader(c), old);
    it_put(c, other, "fact", "new");
    struct it_client readers[READERS];
    for (size_t i = 0; i < READERS; i++) {
        it_client_open(&readers[i], c->node[old].http_port, 10000);
        assert_true(it_client_send(&readers[i], "GET", "/v1/kv/fact", NULL, NULL, 0));
    }
    it_load_await(load, FEW_WRITES);
    it_node_signal(c, old, SIGCONT);
    size_t answered = 0;
    for (size_t i = 0; i < READERS; i++) {
        int status = it_client_receive(&readers[i], false);
        answered += status == 200;
        if (status == 200) {
            assert_string_equal(readers[i].body, "new");
        } else if (status != 503 && status != 504) {
            fail_msg("a read at the continued node: %d", status);
        }
        it_client_close(&readers[i]);
    }
    it_say("%zu of %d waiting reads were answered", answered, READERS);
    it_cluster_await_ready(c);
    it_load_await(load, SOME_WRITES);
    stop_and_check(load, c);
}

/* One mishap, and its end; never more than one node out of the way at a time. */
static void mishap(struct it_cluster *c, size_t victim, uint64_t kind)
{
    if (kind < 2) {
        it_node_kill(c, victim);
        it_node_start(c, victim);
    } else if (kind == 2) {
        it_node_signal(c, victim, SIGSTOP);
        uint64_t until = it_now_ms() + 700; /* sometimes long enough for an election */
        IT_UNTIL(IT_SOON_MS, it_now_ms() > until);
        it_node_signal(c, victim, SIGCONT);
    } else {
        it_node_signal(c, victim, SIGTERM);
        if (kind == 3) { /* killed in the middle of its orderly end */
            it_node_kill(c, victim);
        } else {
            assert_int_equal(it_node_wait(c, victim, IT_SOON_MS), 0);
        }
        it_node_start(c, victim);
    }
}

static void mishaps__one_behind_the_other__nothing_acknowledged_is_lost(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    c->sets[0] = "http.drain_delay=100ms";
    it_cluster_start(c);
    struct pc_prng prng;
    uint64_t seed = it_now_ms();
    it_say("seed %llu", (unsigned long long)seed);
    pc_prng_seed(&prng, seed);
    struct it_load *load =
        it_load_start(c, &(struct it_load_opts){.threads = 4, .timeout_ms = 500});
    for (int i = 0; i < MISHAPS; i++) {
        size_t victim =
            pc_prng_below(&prng, 2) == 0 ? it_cluster_leader(c) : (size_t)pc_prng_below(&prng, 3);
        mishap(c, victim, pc_prng_below(&prng, 5));
        /* With 0 the next one may come in the middle of the election that this one caused. */
        it_cluster_await_ready(c);
        it_load_await(load, pc_prng_below(&prng, 3) * 40);
    }
    stop_and_check(load, c);
}

/* The leader alone has it on disk, and the others have it at most in a socket: that is no majority.
 */
static void followers__both_stopped__nothing_is_acknowledged(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c);
    it_put(c, leader, "k", "before");
    it_cluster_await_equal(c);
    it_node_signal(c, (leader + 1) % 3, SIGSTOP);
    it_node_signal(c, (leader + 2) % 3, SIGSTOP);
    int status = it_call(c, leader, "PUT", "/v1/kv/k", NULL, "meanwhile", 9)->status;
    if (status != 504 && status != 503) {
        fail_msg("a write without a majority: %d", status);
    }
    assert_string_equal(it_get(c, leader, "/v1/kv/k?consistency=local")->body, "before");
    int read = it_get(c, leader, "/v1/kv/k")->status;
    if (read != 504 && read != 503) {
        fail_msg("a linearizable read without a majority: %d", read);
    }
    it_node_signal(c, (leader + 1) % 3, SIGCONT);
    it_node_signal(c, (leader + 2) % 3, SIGCONT);
    it_cluster_await_equal(c);
    (void)time_to_write(c, leader);
}

static bool has_no_leader(struct it_cluster *c, size_t i)
{
    struct it_status status;
    return it_status(c, i, &status) && status.leader[0] == '\0';
}

/* "no quorum: 1 of 3 voters answers; missing: node2, node3" */
static const char *missing_words(const struct it_cluster *c, size_t left)
{
    static char text[128];
    size_t a = left == 0 ? 1 : 0, b = left == 2 ? 1 : 2;
    (void)snprintf(text, sizeof text, "1 of 3 voters answers; missing: %s, %s", c->node[a].name,
        c->node[b].name);
    return text;
}

static uint64_t age_of(const struct it_client *answer)
{
    char value[64];
    const char *text = it_client_header(answer, "X-PC-Age-Ms", value, sizeof value);
    assert_true(text[0] >= '0' && text[0] <= '9');
    return strtoull(text, NULL, 10);
}

static void refuse_in_time(struct it_cluster *c, size_t i, const char *method)
{
    uint64_t began = it_now_ms();
    const char *body = strcmp(method, "PUT") == 0 ? "2" : NULL;
    const struct it_client *answer = it_call(c, i, method, "/v1/kv/k", NULL, body, body != NULL);
    uint64_t took_ms = it_now_ms() - began;
    char value[64];
    assert_int_equal(answer->status, 503);
    it_contains(answer->head, "application/problem+json");
    it_contains(answer->body, "\"code\":\"no_quorum\"");
    it_contains(answer->body, missing_words(c, i));
    assert_string_equal(it_client_header(answer, "Retry-After", value, sizeof value), "1");
    if (took_ms > 2500) {
        fail_msg("%s without a quorum took %llu ms", method, (unsigned long long)took_ms);
    }
}

/* A local answer says that there is no quorum, and how old it may be: older every time. */
static void read_marked(struct it_cluster *c, size_t left)
{
    char value[64];
    const struct it_client *answer = it_get(c, left, "/v1/kv/k?consistency=local");
    assert_int_equal(answer->status, 200);
    assert_string_equal(answer->body, "1");
    assert_string_equal(it_client_header(answer, "X-PC-Quorum", value, sizeof value), "lost");
    uint64_t age = age_of(answer);
    assert_true(age < 10 * IT_SOON_MS);
    IT_UNTIL(IT_SOON_MS, age_of(it_get(c, left, "/v1/kv/k?consistency=local")) > age);
    assert_int_equal(it_get(c, left, "/v1/kv/none?consistency=local")->status, 404);
    it_contains(c->node[left].client.head, "X-PC-Quorum: lost");
    it_contains(it_get(c, left, "/v1/status")->body, "\"quorum_lost\":true");
}

static void minority__one_of_three_left__reads_locally_and_refuses_the_rest(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "k", "1");
    it_cluster_await_equal(c);
    size_t left = it_cluster_leader(c);
    it_node_kill(c, (left + 1) % 3);
    it_node_kill(c, (left + 2) % 3);
    /* Until the leader has noticed, a write may have gone into its log: "unknown" is its answer. */
    IT_UNTIL(IT_SOON_MS, has_no_leader(c, left));
    refuse_in_time(c, left, "PUT");
    refuse_in_time(c, left, "GET");
    refuse_in_time(c, left, "DELETE");
    read_marked(c, left);
    assert_int_equal(it_get(c, left, "/livez")->status, 200);
    IT_UNTIL(IT_SOON_MS, it_get(c, left, "/readyz")->status == 503);
    it_contains(c->node[left].client.body, "[-]leader none");
    it_contains(c->node[left].client.body, missing_words(c, left));
    uint64_t began = it_now_ms();
    it_node_start(c, (left + 1) % 3);
    (void)time_to_write(c, left);
    it_say("second node back: a write was acknowledged %llu ms after its start",
        (unsigned long long)(it_now_ms() - began));
    it_cluster_await_ready(c);
    assert_string_equal(it_value(c, (left + 1) % 3, "k"), "1");
    const struct it_client *answer = it_get(c, left, "/v1/kv/k?consistency=local");
    assert_null(strstr(answer->head, "X-PC-Quorum"));
    assert_true(age_of(answer) < IT_SOON_MS);
}

static const struct it_test tests[] = {
    IT_TEST(follower__killed_under_load__nothing_acknowledged_is_lost),
    IT_TEST(leader__killed_under_load__nothing_acknowledged_is_lost),
    IT_TEST(leader__killed_at_rest__others_soon_accept_writes),
    IT_TEST(all_three__killed_under_load__nothing_acknowledged_is_lost),
    IT_TEST(leader__stopped_and_continued__never_gives_old_data),
    IT_TEST(mishaps__one_behind_the_other__nothing_acknowledged_is_lost),
    IT_TEST(followers__both_stopped__nothing_is_acknowledged),
    IT_TEST(minority__one_of_three_left__reads_locally_and_refuses_the_rest),
};
IT_MAIN(tests)
