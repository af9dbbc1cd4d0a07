/* Time to live, in real time: a key is there until its deadline, gone soon behind it, and no change
 * of leader, crash or restart moves the deadline. */
#include <stdio.h>
#include <string.h>

#include "integration/kit/cluster.h"

/* Expiry comes at most a tick of 250 ms and a commit late; the rest is for a busy machine. */
#define LATE_MS 1500

static void put_with_ttl(struct it_cluster *c, size_t i, const char *key, const char *ttl)
{
    char target[64];
    (void)snprintf(target, sizeof target, "/v1/kv/%s?ttl=%s", key, ttl);
    assert_int_equal(it_call(c, i, "PUT", target, NULL, "v", 1)->status, 201);
}

static bool is_gone(struct it_cluster *c, size_t i, const char *target)
{
    int status = it_get(c, i, target)->status;
    if (status != 200 && status != 404 && status != 503 && status != 504) {
        fail_msg("GET %s: %d", target, status);
    }
    return status == 404;
}

/* Waits until the key is gone on node i, and checks when: `began` is before the PUT was sent,
 * `done` behind its answer. */
static void expires_in_time(struct it_cluster *c, size_t i, const char *target, uint64_t began,
    uint64_t done, uint64_t ttl_ms)
{
    IT_UNTIL(IT_SOON_MS, is_gone(c, i, target));
    uint64_t now = it_now_ms();
    if (now < began + ttl_ms) {
        fail_msg("%s on %s: %llu ms early", target, c->node[i].name,
            (unsigned long long)(began + ttl_ms - now));
    }
    if (now > done + ttl_ms + LATE_MS) {
        fail_msg("%s on %s: %llu ms late", target, c->node[i].name,
            (unsigned long long)(now - done - ttl_ms));
    }
}

static void expiry__deadline_passes__gone_on_every_node(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    uint64_t began = it_now_ms();
    put_with_ttl(c, 0, "k", "1s");
    uint64_t done = it_now_ms();
    put_with_ttl(c, 1, "stays", "1h");
    for (size_t i = 0; i < 3; i++) {
        expires_in_time(c, i, "/v1/kv/k?consistency=local", began, done, 1000);
        assert_int_equal(it_get(c, i, "/v1/kv/k")->status, 404);
        assert_int_equal(it_get(c, i, "/v1/kv/stays")->status, 200);
        IT_UNTIL(IT_SOON_MS, it_metric(c, i, "pcached_store_expired_total") == 1);
        assert_int_equal(it_metric(c, i, "pcached_store_items"), 1);
    }
}

static void expiry__of_zero_or_withdrawn__at_once_or_never(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "now", "v");
    assert_int_equal(
        it_call(c, 1, "PATCH", "/v1/kv/now", NULL, "{\"ttl\":\"0s\"}", 12)->status, 200);
    assert_int_equal(it_get(c, 2, "/v1/kv/now")->status, 404);
    put_with_ttl(c, 0, "first", "900ms");
    put_with_ttl(c, 0, "kept", "800ms");
    assert_int_equal(
        it_call(c, 1, "PATCH", "/v1/kv/kept", NULL, "{\"ttl\":null}", 12)->status, 200);
    put_with_ttl(c, 2, "overwritten", "700ms");
    it_put(c, 0, "overwritten", "w");
    /* When this one is gone, the deadlines of the two others have passed as well. */
    IT_UNTIL(IT_SOON_MS, is_gone(c, 1, "/v1/kv/first"));
    assert_string_equal(it_value(c, 2, "kept"), "v");
    assert_string_equal(it_value(c, 1, "overwritten"), "w");
}

static void ttl__leader_killed__neither_early_nor_begun_anew(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t victim = it_cluster_leader(c), left = (victim + 1) % 3;
    uint64_t began = it_now_ms();
    put_with_ttl(c, left, "k", "4s");
    uint64_t done = it_now_ms();
    /* Half of the time is over: a deadline begun anew would be late by 2 s. */
    IT_UNTIL(IT_SOON_MS, it_now_ms() > began + 2000);
    assert_int_equal(it_get(c, left, "/v1/kv/k")->status, 200);
    it_node_kill(c, victim);
    expires_in_time(c, left, "/v1/kv/k", began, done, 4000);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    assert_int_equal(it_get(c, victim, "/v1/kv/k")->status, 404);
}

static void ttl__all_killed_meanwhile__neither_early_nor_begun_anew(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    uint64_t began = it_now_ms();
    put_with_ttl(c, 0, "k", "6s");
    uint64_t done = it_now_ms();
    IT_UNTIL(IT_SOON_MS, it_now_ms() > began + 2500);
    for (size_t i = 0; i < 3; i++) {
        it_node_kill(c, i);
    }
    for (size_t i = 0; i < 3; i++) {
        it_node_start(c, i);
    }
    it_cluster_await_ready(c);
    if (it_now_ms() < began + 5900) {
        assert_int_equal(it_get(c, 1, "/v1/kv/k")->status, 200);
    }
    expires_in_time(c, 1, "/v1/kv/k", began, done, 6000);
}

static const struct it_test tests[] = {
    IT_TEST(expiry__deadline_passes__gone_on_every_node),
    IT_TEST(expiry__of_zero_or_withdrawn__at_once_or_never),
    IT_TEST(ttl__leader_killed__neither_early_nor_begun_anew),
    IT_TEST(ttl__all_killed_meanwhile__neither_early_nor_begun_anew),
};
IT_MAIN(tests)
