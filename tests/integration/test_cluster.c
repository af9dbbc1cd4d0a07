/* One cluster at peace: it forms, every node serves every request, and each sees what another
 * wrote. */
#include <stdio.h>
#include <string.h>

#include "integration/kit/cluster.h"

static void formation__missing_member__is_waited_for_and_named(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_node_start(c, 0);
    it_node_start(c, 1);
    for (size_t i = 0; i < 2; i++) {
        IT_UNTIL(IT_SOON_MS,
            it_get(c, i, "/readyz")->status == 503 &&
                strstr(c->node[i].client.body, "[-]formed waiting for node3\n") != NULL);
        assert_int_equal(it_get(c, i, "/livez")->status, 200);
    }
    /* Two of three would be a majority, but not all: nothing may be promised yet. */
    assert_int_equal(it_call(c, 0, "PUT", "/v1/kv/early", NULL, "1", 1)->status, 503);
    struct it_status status;
    assert_true(it_status(c, 0, &status));
    assert_string_equal(status.role, "forming");
    assert_int_equal(status.commit, 0);
    it_node_start(c, 2);
    it_cluster_await_ready(c);
    assert_int_equal(it_get(c, 2, "/v1/kv/early")->status, 404);
    it_cluster_await_equal(c);
}

static void set_on_one__read_on_another__every_ordered_pair(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    for (int round = 0; round < 20; round++) {
        for (size_t writer = 0; writer < 3; writer++) {
            for (size_t reader = 0; reader < 3; reader++) {
                char key[32], value[32];
                (void)snprintf(key, sizeof key, "pair-%zu-%zu", writer, reader);
                (void)snprintf(value, sizeof value, "%d", round);
                it_put(c, writer, key, value);
                /* At once: a linearizable read has to wait by itself. */
                assert_string_equal(it_value(c, reader, key), value);
            }
        }
    }
    it_cluster_await_equal(c);
}

static void one_node__without_peers__serves_alone(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    it_cluster_start(c);
    it_put(c, 0, "k", "v1");
    it_node_kill(c, 0);
    it_node_start(c, 0);
    it_cluster_await_ready(c);
    assert_string_equal(it_value(c, 0, "k"), "v1");
}

static void members__every_node__lists_all_alive(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c);
    for (size_t i = 0; i < 3; i++) {
        const struct it_client *answer = &c->node[i].client;
        IT_UNTIL(IT_SOON_MS, it_get(c, i, "/v1/members")->status == 200 &&
                                 strstr(answer->body, "\"dead\"") == NULL &&
                                 strstr(answer->body, "suspect") == NULL);
        char role[32];
        (void)snprintf(role, sizeof role, "\"name\":\"%s\"", c->node[leader].name);
        it_contains(answer->body, "\"name\":\"node1\"");
        it_contains(answer->body, "\"name\":\"node3\"");
        it_contains(strstr(answer->body, role), "\"role\":\"leader\"");
        assert_int_equal(it_metric(c, i, "pcached_members{state=\"alive\"}"), 3);
        assert_int_equal(it_metric(c, i, "pcached_ready"), 1);
        it_contains(it_get(c, i, "/v1/leader")->body, c->node[leader].name);
    }
}

static int transfer_to(struct it_cluster *c, size_t through, const char *name)
{
    char body[64];
    int len = snprintf(body, sizeof body, "{\"target\":\"%s\"}", name);
    return it_call(c, through, "POST", "/v1/leader/transfer", NULL, body, (size_t)len)->status;
}

static void leader_transfer__to_a_named_node__moves_there(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c), target = it_cluster_follower(c, 1);
    /* Only the leader can hand over; the others say who that is. */
    assert_int_equal(transfer_to(c, target, c->node[target].name), 409);
    it_contains(c->node[target].client.body, c->node[leader].name);
    assert_int_equal(transfer_to(c, leader, "nobody"), 400);
    assert_int_equal(transfer_to(c, leader, c->node[target].name), 202);
    IT_UNTIL(IT_SOON_MS, it_cluster_leader(c) == target);
    for (size_t i = 0; i < 3; i++) {
        it_put(c, i, "after", "transfer");
    }
}

static const struct it_test tests[] = {
    IT_TEST(formation__missing_member__is_waited_for_and_named),
    IT_TEST(set_on_one__read_on_another__every_ordered_pair),
    IT_TEST(one_node__without_peers__serves_alone),
    IT_TEST(members__every_node__lists_all_alive),
    IT_TEST(leader_transfer__to_a_named_node__moves_there),
};
IT_MAIN(tests)
