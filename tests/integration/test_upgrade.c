/* Programs of different age in one cluster: this build, the next one (pcached-next1, which speaks
 * one protocol more), and one that has given this build's protocols up (pcached-next2). */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "integration/kit/load.h"

#define NEXT "pcached-next1"
#define FAR "pcached-next2"

static const char *member_at(const char *body, const char *name)
{
    char part[48];
    (void)snprintf(part, sizeof part, "\"name\":\"%s\"", name);
    const char *members = strstr(body, "\"members\":[");
    return members != NULL ? strstr(members, part) : NULL;
}

/* What node i says of the member: a number behind its name; 0 = nothing. */
static uint64_t member_number(struct it_cluster *c, size_t i, const char *name, const char *key)
{
    const struct it_client *answer = it_get(c, i, "/v1/members");
    const char *at = answer->status == 200 ? member_at(answer->body, name) : NULL;
    const char *end = at != NULL ? strchr(at, '}') : NULL;
    char part[48];
    int len = snprintf(part, sizeof part, "\"%s\":", key);
    const char *found = at != NULL ? strstr(at, part) : NULL;
    unsigned long long value = 0;
    if (found != NULL && found < end) {
        assert_int_equal(sscanf(found + len, "%llu", &value), 1);
    }
    return value;
}

static uint64_t cluster_protocol(struct it_cluster *c, size_t i)
{
    const struct it_client *answer = it_get(c, i, "/v1/status");
    const char *at = answer->status == 200 ? strstr(answer->body, "\"cluster\":") : NULL;
    unsigned long long value = 0;
    return at != NULL && sscanf(at, "\"cluster\":%llu", &value) == 1 ? value : 0;
}

/* Stops the node in good order and starts it as `program`. The load leaves it alone meanwhile, as a
 * balancer does. */
static void exchange(struct it_cluster *c, struct it_load *load, size_t i, const char *program)
{
    it_load_use(load, c, 7u & ~(1u << i));
    it_node_signal(c, i, SIGTERM);
    assert_int_equal(it_node_wait(c, i, IT_SOON_MS), 0);
    c->node[i].program = program;
    it_node_start(c, i);
    it_node_await_ready(c, i);
    it_load_use(load, c, 7u);
    it_load_await(load, 50);
}

/* Every node sees what every other one speaks; how large a disk is, only where both ends are new.
 */
static void await_protocols(struct it_cluster *c, const uint64_t speaks[3], uint64_t cluster)
{
    for (size_t i = 0; i < 3; i++) {
        IT_UNTIL(IT_SOON_MS, cluster_protocol(c, i) == cluster);
        for (size_t k = 0; k < 3; k++) {
            const char *name = c->node[k].name;
            IT_UNTIL(IT_SOON_MS, member_number(c, i, name, "protocol") == speaks[k]);
            bool says_size = i == k || (speaks[i] >= 3 && speaks[k] >= 3);
            IT_UNTIL(
                IT_SOON_MS, member_number(c, i, name, "disk_free_bytes") != 0 &&
                                (member_number(c, i, name, "disk_total_bytes") != 0) == says_size);
        }
    }
}

static void rolling_restart__to_the_next_and_back__no_request_fails(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    c->sets[0] = "http.drain_delay=200ms";
    it_cluster_start(c);
    struct it_load_opts opts = {.threads = 3, .records = true};
    struct it_load *load = it_load_start(c, &opts);
    it_load_await(load, 100);
    uint64_t speaks[3] = {2, 2, 2};
    await_protocols(c, speaks, 2);
    for (size_t i = 0; i < 3; i++) {
        exchange(c, load, i, NEXT);
        speaks[i] = 3;
        await_protocols(c, speaks, i < 2 ? 2 : 3);
    }
    for (size_t i = 0; i < 3; i++) {
        exchange(c, load, i, NULL);
        speaks[i] = 2;
        await_protocols(c, speaks, 2);
    }
    struct it_load_counts counts;
    it_load_stop(load, &counts);
    assert_int_equal(counts.refused + counts.unknown + counts.odd, 0);
    for (size_t i = 0; i < 3; i++) { /* nobody said what another one could not read */
        assert_int_equal(it_metric(c, i, "pcached_bus_rejected_total{reason=\"malformed\"}"), 0);
        assert_int_equal(it_metric(c, i, "pcached_bus_rejected_total{reason=\"version\"}"), 0);
    }
    it_cluster_await_equal(c);
    it_load_check(load, c);
}

static void await_log(struct it_cluster *c, size_t i, const char *text)
{
    IT_UNTIL(IT_SOON_MS, strstr(it_node_log(c, i), text) != NULL);
}

static void node__speaks_nothing_in_common__is_refused_by_name_on_both_sides(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "key", "value");
    it_node_kill(c, 2);
    c->node[2].program = FAR;
    it_node_start(c, 2);
    /* Each says it of the other when it is dialled, and hears it when it dials. */
    await_log(c, 2, "node1 speaks protocol 1 to 2, node3 3: upgrade node1 first");
    await_log(c, 2, "node3 speaks protocol 3, node1 1 to 2: upgrade node1 first");
    await_log(c, 0, "node1 speaks protocol 1 to 2, node3 3: upgrade node1 first");
    await_log(c, 0, "node3 speaks protocol 3, node1 1 to 2: upgrade node1 first");
    IT_UNTIL(IT_SOON_MS, it_get(c, 2, "/readyz")->status == 503);
    IT_UNTIL(IT_SOON_MS, strstr(it_get(c, 2, "/readyz")->body, "speaks protocol") != NULL);
    assert_true(it_metric(c, 0, "pcached_bus_rejected_total{reason=\"version\"}") > 0);
    it_put(c, 1, "without", "it");
    /* The others upgraded to one that speaks both: it comes back as it was. */
    for (size_t i = 0; i < 2; i++) {
        it_node_kill(c, i);
        c->node[i].program = NEXT;
        it_node_start(c, i);
    }
    it_cluster_await_ready(c);
    it_cluster_await_equal(c);
    assert_string_equal(it_value(c, 2, "without"), "it");
}

static const struct it_test tests[] = {
    IT_TEST(rolling_restart__to_the_next_and_back__no_request_fails),
    IT_TEST(node__speaks_nothing_in_common__is_refused_by_name_on_both_sides),
};
IT_MAIN(tests)
