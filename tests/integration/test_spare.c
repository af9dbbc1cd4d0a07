/* Three nodes and a spare: any node is killed hard, then any other, and the last two go on. And the
 * same without a spare where leaders may shrink the cluster: who may die then, and who may not. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "integration/kit/load.h"

#define SOME_WRITES 200
#define CHANGE_MS 60000 /* for what follows from a death; a second or four on an idle machine */
#define SPARE 3

static struct it_output output;

/* ---- what a node says of the members */

/* "node1 node3 node4": who votes, as node i sees it; "" when it does not answer. */
static const char *votes(struct it_cluster *c, size_t i)
{
    static char text[256];
    size_t used = 0, k;
    const json_t *member;
    const struct it_client *answer = it_get(c, i, "/v1/status");
    json_t *object = answer->status == 200 ? json_loads(answer->body, 0, NULL) : NULL;
    text[0] = '\0';
    json_array_foreach(json_object_get(object, "members"), k, member)
    {
        if (json_is_true(json_object_get(member, "votes"))) {
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                json_string_value(json_object_get(member, "name")));
        }
    }
    json_decref(object);
    return text;
}

/* Names of these nodes, as `votes` gives them. */
static const char *names(unsigned nodes)
{
    static char text[256];
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < IT_NODES_MAX; i++) {
        if (nodes >> i & 1) {
            used += (size_t)snprintf(
                text + used, sizeof text - used, "%snode%u", used > 0 ? " " : "", i + 1);
        }
    }
    return text;
}

static void await_votes(struct it_cluster *c, size_t i, unsigned nodes)
{
    uint64_t until = it_now_ms() + CHANGE_MS;
    while (strcmp(votes(c, i), names(nodes)) != 0) {
        if (it_now_ms() > until) {
            fail_msg("not \"%s\": %s", names(nodes), it_get(c, i, "/v1/status")->body);
        }
        it_pause();
    }
}

static bool is_role(struct it_cluster *c, size_t i, const char *role)
{
    struct it_status status;
    return it_status(c, i, &status) && strcmp(status.role, role) == 0;
}

/* Node i is a spare that has everything the others have. */
static void await_spare(struct it_cluster *c, size_t i)
{
    struct it_status here, leader;
    IT_UNTIL(CHANGE_MS, is_role(c, i, "spare") && it_status(c, i, &here) &&
                            it_status(c, it_cluster_leader(c), &leader) &&
                            here.applied == leader.applied);
    assert_string_equal(here.digest, leader.digest);
    const struct it_client *answer = it_get(c, i, "/readyz");
    assert_int_equal(answer->status, 503);
    it_contains(answer->body, "[-]spare this node is a spare");
    answer = it_call(c, i, "PUT", "/v1/kv/x", NULL, "1", 1);
    assert_int_equal(answer->status, 503);
    it_contains(answer->body, "\"code\":\"spare\"");
    assert_int_equal(it_get(c, i, "/v1/kv/x?consistency=local")->status, 503);
}

static const char *words_of(struct it_cluster *c, size_t i)
{
    char endpoint[64];
    (void)snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", c->node[i].http_port);
    it_run(&output, "pcadmin", "-e", endpoint, "status");
    return output.out;
}

/* Until `pcadmin status` of node i says this. */
static void await_words(struct it_cluster *c, size_t i, const char *words)
{
    uint64_t until = it_now_ms() + CHANGE_MS;
    while (strstr(words_of(c, i), words) == NULL) {
        if (it_now_ms() > until) {
            fail_msg("not \"%s\": %s", words, output.out);
        }
        it_pause();
    }
}

static void use_timers(struct it_cluster *c, const char *more)
{
    c->sets[0] = "cluster.dead_after=1s";
    c->sets[1] = more;
}

/* ---- a spare */

static unsigned bit(size_t i)
{
    return 1U << i;
}

static void stop_and_judge(struct it_load *load, struct it_cluster *c)
{
    struct it_load_counts counts;
    struct it_history history = {0};
    struct it_figures figures;
    char why[512] = "";
    it_load_stop(load, &counts);
    it_load_check(load, c);
    it_load_history(load, &history);
    size_t wrong = it_history_judge(&history, why, sizeof why);
    it_history_figures(&history, 1000000, &figures);
    it_say("%llu writes acknowledged, longest time without one %llu ms",
        (unsigned long long)figures.acked, (unsigned long long)figures.gap_us / 1000);
    it_history_free(&history);
    if (wrong > 0) {
        fail_msg("%zu reads may not be: %s", wrong, why);
    }
    assert_int_equal(counts.odd, 0);
}

/* `first` is killed and the spare votes; then `second` is: those that are left write and read. */
static void kill_two(struct it_cluster *c, size_t first, size_t second)
{
    static const struct it_load_opts opts = {.threads = 3, .nodes = 7, .records = true};
    struct it_load *load = it_load_start(c, &opts);
    it_load_await(load, SOME_WRITES);
    it_node_kill(c, first);
    unsigned left = 15U & ~bit(first);
    it_load_use(load, c, left & ~bit(SPARE));
    size_t witness = first == 0 ? 1 : 0;
    await_votes(c, witness, left);
    it_node_await_ready(c, SPARE);
    it_load_use(load, c, left);
    it_load_await(load, SOME_WRITES);
    await_words(c, witness, "1 more node may fail\n");
    it_node_kill(c, second);
    left &= ~bit(second);
    it_load_use(load, c, left);
    it_load_await(load, SOME_WRITES);
    stop_and_judge(load, c);
    for (size_t i = 0; i < 4; i++) {
        if (left & bit(i)) {
            it_put(c, i, "last", c->node[i].name);
            assert_string_equal(it_value(c, i, "last"), c->node[i].name);
        }
    }
    await_words(c, it_cluster_leader(c), "none may fail: ");
    /* The first one returns: as the spare, which takes the place of the second. */
    it_node_start(c, first);
    await_votes(c, it_cluster_leader(c), left | bit(first));
    it_node_await_ready(c, first);
    it_node_start(c, second);
    await_spare(c, second);
    assert_string_equal(it_value(c, first, "last"), it_value(c, SPARE, "last"));
}

static void three_and_a_spare__leader_then_leader_killed__the_others_go_on(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new_with_spares(4, 1);
    use_timers(c, NULL);
    it_cluster_start(c);
    await_spare(c, SPARE);
    await_words(c, 0, "1 more node may fail, then node4 takes its place\n");
    size_t first = it_cluster_leader(c);
    kill_two(c, first, (first + 1) % 3);
}

static void three_and_a_spare__follower_then_the_spare_killed__the_others_go_on(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new_with_spares(4, 1);
    use_timers(c, NULL);
    it_cluster_start(c);
    await_spare(c, SPARE);
    size_t leader = it_cluster_leader(c), first = leader == 0 ? 1 : 0;
    it_put(c, leader, "last", "before");
    it_node_kill(c, first);
    await_votes(c, leader, 15U & ~bit(first));
    it_node_kill(c, SPARE);
    it_put(c, leader, "last", "two left");
    assert_string_equal(it_value(c, 3 - leader - first, "last"), "two left");
    it_node_start(c, first);
    await_votes(c, leader, 7);
    it_node_start(c, SPARE);
    await_spare(c, SPARE);
}

/* ---- auto_shrink */

/* A cluster of three, its leader and the others. Leaders are not replaced lightly: here it matters
 * which one leads. */
static struct it_cluster *new_of_three(size_t *leader, size_t *first, size_t *second)
{
    struct it_cluster *c = it_cluster_new(3);
    use_timers(c, "cluster.auto_shrink=on");
    c->sets[2] = "raft.election_min=1s";
    c->sets[3] = "raft.election_max=2s";
    it_cluster_start(c);
    *leader = it_cluster_leader(c);
    *first = it_cluster_follower(c, 0);
    *second = it_cluster_follower(c, 1);
    return c;
}

static void shrink__followers_killed__the_leader_goes_on_alone(void **state)
{
    (void)state;
    size_t leader, first, second;
    struct it_cluster *c = new_of_three(&leader, &first, &second);
    it_put(c, leader, "k", "of three");
    it_node_kill(c, first);
    await_votes(c, leader, bit(leader) | bit(second));
    char words[64];
    (void)snprintf(words, sizeof words, "1 more node may fail, but not %s\n", c->node[leader].name);
    await_words(c, second, words);
    it_node_kill(c, second);
    await_votes(c, leader, bit(leader));
    it_node_await_ready(c, leader);
    it_put(c, leader, "k", "alone");
    assert_string_equal(it_value(c, leader, "k"), "alone");
    (void)snprintf(words, sizeof words, "none may fail: %s must survive\n", c->node[leader].name);
    await_words(c, leader, words);
    it_node_start(c, first);
    it_node_start(c, second);
    await_votes(c, leader, 7);
    it_cluster_await_equal(c);
    assert_string_equal(it_value(c, first, "k"), "alone");
}

static void shrink__leader_killed_as_the_second__the_last_one_waits_for_it(void **state)
{
    (void)state;
    size_t leader, first, last;
    struct it_cluster *c = new_of_three(&leader, &first, &last);
    it_node_kill(c, first);
    char words[96];
    await_votes(c, last, bit(leader) | bit(last));
    (void)snprintf(
        words, sizeof words, "\"redundancy\":0,\"must_survive\":[\"%s\"]", c->node[leader].name);
    IT_UNTIL(CHANGE_MS, strstr(it_get(c, last, "/v1/status")->body, words) != NULL);
    it_node_kill(c, leader);
    (void)snprintf(
        words, sizeof words, "no quorum: 1 of 2 voters answers; missing: %s", c->node[leader].name);
    await_words(c, last, words);
    assert_int_equal(it_call(c, last, "PUT", "/v1/kv/k", NULL, "1", 1)->status, 503);
    it_node_start(c, leader);
    await_votes(c, last, bit(leader) | bit(last));
    it_node_await_ready(c, last);
    it_put(c, last, "k", "both");
    /* Stopped as it should be, one of two leaves the other one able to go on. */
    it_node_signal(c, last, SIGTERM);
    assert_int_equal(it_node_wait(c, last, IT_SOON_MS), 0);
    await_votes(c, leader, bit(leader));
    it_put(c, leader, "k", "one");
}

static const struct it_test tests[] = {
    IT_TEST(three_and_a_spare__leader_then_leader_killed__the_others_go_on),
    IT_TEST(three_and_a_spare__follower_then_the_spare_killed__the_others_go_on),
    IT_TEST(shrink__followers_killed__the_leader_goes_on_alone),
    IT_TEST(shrink__leader_killed_as_the_second__the_last_one_waits_for_it),
};
IT_MAIN(tests)
