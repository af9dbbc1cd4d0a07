/* Clusters that grow, shrink and have every node replaced while clients write and read through
 * them: no request fails, and nothing acknowledged is lost. Clients leave a node alone that is
 * about to be stopped, as behind a balancer that looks at /readyz. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "integration/kit/load.h"

#define SOME_WRITES 400
#define SLOW_US 100000
#define CHANGE_MS 30000 /* for what follows from a change by itself */

static struct it_output output;

static const char *endpoint(const struct it_cluster *c, size_t i)
{
    static char text[64];
    (void)snprintf(text, sizeof text, "127.0.0.1:%u", c->node[i].http_port);
    return text;
}

/* ---- what a node says of the members */
struct view {
    size_t members, voters, voters_up;
    int redundancy; /* -1 = no quorum */
    char leader[16];
};

static bool is_voter(const json_t *member)
{
    return json_is_true(json_object_get(member, "votes"));
}

static bool view_of(struct it_cluster *c, size_t i, struct view *out)
{
    const struct it_client *answer = it_get(c, i, "/v1/status");
    json_t *object = answer->status == 200 ? json_loads(answer->body, 0, NULL) : NULL;
    if (object == NULL) {
        return false;
    }
    size_t k;
    const json_t *member, *redundancy = json_object_get(object, "redundancy");
    const char *leader = json_string_value(json_object_get(object, "leader"));
    *out = (struct view){
        .voters_up = (size_t)json_integer_value(json_object_get(object, "voters_up"))};
    json_array_foreach(json_object_get(object, "members"), k, member)
    {
        out->members += json_is_string(json_object_get(member, "want")) ? 1 : 0;
        out->voters += is_voter(member) ? 1 : 0;
    }
    out->redundancy = json_is_integer(redundancy) ? (int)json_integer_value(redundancy) : -1;
    (void)snprintf(out->leader, sizeof out->leader, "%s", leader != NULL ? leader : "");
    json_decref(object);
    return true;
}

/* So many members, all of which vote, are up, and seen so by node `i`. */
static bool is_settled(struct it_cluster *c, size_t i, size_t members)
{
    struct view view;
    return view_of(c, i, &view) && view.members == members && view.voters == members &&
           view.voters_up == members && view.leader[0] != '\0';
}

static void await_settled(struct it_cluster *c, size_t i, size_t members)
{
    uint64_t until = it_now_ms() + CHANGE_MS;
    while (!is_settled(c, i, members)) {
        if (it_now_ms() > until) {
            fail_msg("not %zu voters at rest: %s", members, it_get(c, i, "/v1/status")->body);
        }
        it_pause();
    }
}

/* ---- changes, as an operator makes them */
static void change(struct it_cluster *c, size_t through, const char *verb, size_t which)
{
    it_run(&output, "pcadmin", "-e", endpoint(c, through), "member", verb, c->node[which].name);
    if (output.status != 0) {
        fail_msg("member %s %s: %d %s", verb, c->node[which].name, output.status, output.err);
    }
}

static void stop(struct it_cluster *c, size_t i)
{
    it_node_signal(c, i, SIGTERM);
    assert_int_equal(it_node_wait(c, i, IT_SOON_MS), 0);
}

static void stop_and_judge(struct it_load *load, struct it_cluster *c, const char *what)
{
    struct it_load_counts counts;
    struct it_history history = {0};
    struct it_figures figures;
    char why[512] = "";
    it_load_stop(load, &counts);
    it_load_check(load, c);
    it_load_history(load, &history);
    size_t wrong = it_history_judge(&history, why, sizeof why);
    it_history_figures(&history, SLOW_US, &figures);
    it_say("%s: %llu requests, %llu writes acknowledged, %llu reads, %llu refused, %llu unknown",
        what, (unsigned long long)figures.requests, (unsigned long long)figures.acked,
        (unsigned long long)figures.reads, (unsigned long long)figures.refused,
        (unsigned long long)figures.unknown);
    it_say("%s: longest time without an acknowledged write %llu ms, slowest answer %llu ms", what,
        (unsigned long long)figures.gap_us / 1000, (unsigned long long)figures.slowest_us / 1000);
    it_history_free(&history);
    if (wrong > 0) {
        fail_msg("%zu reads may not be: %s", wrong, why);
    }
    assert_int_equal(figures.refused + figures.unknown, 0);
    assert_int_equal(counts.odd, 0);
    assert_true(figures.acked > 0 && figures.reads > 0);
}

/* ---- 3 -> 5 -> 3 */
static void grow(struct it_load *load, struct it_cluster *c, size_t through, unsigned *used)
{
    size_t i = it_cluster_add(c);
    change(c, through, "add", i);
    it_node_start_joining(c, i);
    it_node_await_ready(c, i);
    await_settled(c, through, i + 1);
    *used |= 1u << i;
    it_load_use(load, c, *used);
    it_load_await(load, SOME_WRITES);
}

static void shrink(struct it_load *load, struct it_cluster *c, size_t which, unsigned *used)
{
    size_t members = 0, through = which == 0 ? 1 : 0;
    for (size_t i = 0; i < c->n; i++) {
        members += c->node[i].pid > 0 ? 1 : 0;
        through = i != which && c->node[i].pid > 0 ? i : through;
    }
    *used &= ~(1u << which);
    it_load_use(load, c, *used);
    change(c, through, "remove", which);
    await_settled(c, through, members - 1);
    IT_UNTIL(CHANGE_MS, it_get(c, which, "/readyz")->status == 503);
    stop(c, which);
    it_load_await(load, SOME_WRITES);
}

static void cluster__grows_to_five_and_shrinks_to_three__no_request_fails(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    static const struct it_load_opts opts = {.threads = 4, .records = true};
    it_cluster_start(c);
    struct it_load *load = it_load_start(c, &opts);
    unsigned used = 7;
    it_load_await(load, SOME_WRITES);
    grow(load, c, 0, &used);
    grow(load, c, it_cluster_follower(c, 0), &used);
    struct view view;
    IT_UNTIL(IT_SOON_MS, view_of(c, it_cluster_leader(c), &view) && view.redundancy == 2);
    shrink(load, c, it_cluster_leader(c), &used);
    shrink(load, c, it_cluster_leader(c), &used);
    IT_UNTIL(IT_SOON_MS, view_of(c, it_cluster_leader(c), &view) && view.redundancy == 1);
    stop_and_judge(load, c, "3 to 5 to 3");
    it_cluster_await_equal(c);
}

/* ---- every node comes back with an empty disk */
static void wipe(struct it_load *load, struct it_cluster *c, size_t which)
{
    struct it_status before, after;
    size_t other = which == 0 ? 1 : 0;
    assert_true(it_status(c, which, &before));
    it_load_use(load, c, 7u & ~(1u << which));
    stop(c, which);
    pc_test_dir_remove(c->node[which].data_dir);
    it_node_start(c, which);
    it_node_await_ready(c, which);
    await_settled(c, other, 3);
    assert_true(it_status(c, which, &after));
    assert_string_equal(after.history, before.history);
    assert_string_not_equal(after.id, before.id);
    it_load_use(load, c, 7);
    it_load_await(load, SOME_WRITES);
}

static void nodes__each_wiped_in_turn__are_replaced_and_no_request_fails(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    static const struct it_load_opts opts = {.threads = 4, .records = true};
    it_cluster_start(c);
    struct it_load *load = it_load_start(c, &opts);
    it_load_await(load, SOME_WRITES);
    for (size_t i = 0; i < 3; i++) {
        wipe(load, c, i);
    }
    stop_and_judge(load, c, "each of 3 replaced");
    it_cluster_await_equal(c);
}

/* ---- who may come, and what is refused */
static void join__not_invited__says_so_and_comes_in_when_it_is(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "before", "there");
    size_t i = it_cluster_add(c);
    it_node_start_joining(c, i);
    IT_UNTIL(IT_SOON_MS,
        strstr(it_get(c, i, "/readyz")->body, "not invited: pcadmin member add node4") != NULL);
    assert_int_equal(it_get(c, i, "/readyz")->status, 503);
    it_run(&output, "pcadmin", "-e", endpoint(c, 1), "member", "add", "node4", "--role", "replica");
    assert_int_equal(output.status, 0);
    it_contains(output.out, "node4 is invited");
    it_node_await_ready(c, i);
    assert_string_equal(it_value(c, i, "before"), "there");
    it_run(&output, "pcadmin", "-e", endpoint(c, 0), "status");
    it_contains(output.out, "replica");
    it_contains(output.out, "1 more node may fail\n");
    it_run(&output, "pcadmin", "-e", endpoint(c, i), "member", "promote", "node4");
    assert_int_equal(output.status, 0);
    await_settled(c, 0, 4);
    /* It finds its place again after a restart, still with the word that it joins. */
    it_node_kill(c, i);
    it_node_start_joining(c, i);
    it_node_await_ready(c, i);
    await_settled(c, 0, 4);
}

static void changes__that_endanger_the_cluster__are_refused_in_words(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c), dead = it_cluster_follower(c, 0);
    size_t other = it_cluster_follower(c, 1);
    it_run(&output, "pcadmin", "-e", endpoint(c, other), "member", "add", c->node[dead].name);
    assert_int_equal(output.status, 1);
    it_contains(output.err, "409");
    it_run(&output, "pcadmin", "-e", endpoint(c, other), "member", "remove", "node9");
    assert_int_equal(output.status, 1);
    it_node_kill(c, dead);
    struct view view;
    IT_UNTIL(IT_SOON_MS, view_of(c, leader, &view) && view.redundancy == 0);
    it_run(&output, "pcadmin", "-e", endpoint(c, leader), "status");
    it_contains(output.out, "none may fail: ");
    it_contains(output.out, " must survive\n");
    /* Two of three are left: a cluster of the dead one and another would have no quorum. */
    it_run(&output, "pcadmin", "-e", endpoint(c, other), "member", "demote", c->node[other].name);
    assert_int_equal(output.status, 1);
    it_contains(output.err, c->node[dead].name);
    /* The dead one may go. */
    it_run(&output, "pcadmin", "-e", endpoint(c, other), "member", "remove", c->node[dead].name);
    assert_int_equal(output.status, 0);
    await_settled(c, leader, 2);
    it_put(c, other, "still", "works");
}

static const struct it_test tests[] = {
    IT_TEST(cluster__grows_to_five_and_shrinks_to_three__no_request_fails),
    IT_TEST(nodes__each_wiped_in_turn__are_replaced_and_no_request_fails),
    IT_TEST(join__not_invited__says_so_and_comes_in_when_it_is),
    IT_TEST(changes__that_endanger_the_cluster__are_refused_in_words),
};
IT_MAIN(tests)
