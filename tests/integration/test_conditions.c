/* Compare-and-set over real nodes: clients at every node count up one key together, each by what it
 * has read, while the leader dies. No count may be lost, and none done twice. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integration/kit/clock.h"
#include "integration/kit/cluster.h"

#define KEY "/v1/kv/counter"
#define SOME_COUNTS 60

struct counter {
    pthread_t thread;
    struct it_client client;
    atomic_bool *stop;
    atomic_uint created, done, unmet, unknown;
};

static int put_if(struct it_client *client, const char *field, const char *etag, uint64_t value)
{
    char headers[96], text[24];
    (void)snprintf(headers, sizeof headers, "%s: %s\r\n", field, etag);
    int len = snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return it_client_call(client, "PUT", KEY, headers, text, (size_t)len);
}

/* Reads, and puts one more in the place of exactly what it read. */
static void count_once(struct counter *counter)
{
    char etag[32];
    if (it_client_call(&counter->client, "GET", KEY, NULL, NULL, 0) != 200) {
        it_pause();
        return;
    }
    uint64_t value = strtoull(counter->client.body, NULL, 10);
    (void)it_client_header(&counter->client, "ETag", etag, sizeof etag);
    int status = put_if(&counter->client, "If-Match", etag, value + 1);
    if (status == 200) {
        atomic_fetch_add(&counter->done, 1);
    } else if (status == 412) {
        atomic_fetch_add(&counter->unmet, 1);
    } else if (status == 504 || status == IT_NO_ANSWER) {
        atomic_fetch_add(&counter->unknown, 1);
    } else {
        it_pause();
    }
}

static void *counter_run(void *argument)
{
    struct counter *counter = argument;
    atomic_store(&counter->created, put_if(&counter->client, "If-None-Match", "*", 0) == 201);
    while (!atomic_load(counter->stop)) {
        count_once(counter);
    }
    return NULL;
}

static unsigned done_of(struct counter counters[3])
{
    return atomic_load(&counters[0].done) + atomic_load(&counters[1].done) +
           atomic_load(&counters[2].done);
}

static void counter__counted_up_by_all_while_the_leader_dies__is_the_sum(void **state)
{
    (void)state;
    static struct counter counters[3];
    static atomic_bool stop;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    for (size_t i = 0; i < 3; i++) {
        counters[i].stop = &stop;
        it_client_open(&counters[i].client, c->node[i].http_port, 5000);
        assert_int_equal(pthread_create(&counters[i].thread, NULL, counter_run, &counters[i]), 0);
    }
    IT_UNTIL(IT_SOON_MS, done_of(counters) >= SOME_COUNTS);
    size_t victim = it_cluster_leader(c);
    it_node_kill(c, victim);
    unsigned before = done_of(counters);
    IT_UNTIL(IT_SOON_MS, done_of(counters) >= before + SOME_COUNTS);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    atomic_store(&stop, true);
    unsigned created = 0, unmet = 0, unknown = 0;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(counters[i].thread, NULL), 0);
        it_client_close(&counters[i].client);
        created += atomic_load(&counters[i].created);
        unmet += atomic_load(&counters[i].unmet);
        unknown += atomic_load(&counters[i].unknown);
    }
    it_cluster_await_equal(c);
    assert_int_equal(created, 1);
    assert_int_not_equal(unmet, 0); /* they did meet */
    it_say("%u counted, %u met another's, %u unknown", done_of(counters), unmet, unknown);
    for (size_t i = 0; i < 3; i++) {
        assert_in_range(strtoull(it_value(c, i, "counter"), NULL, 10), done_of(counters),
            done_of(counters) + unknown);
    }
}

static const struct it_test tests[] = {
    IT_TEST(counter__counted_up_by_all_while_the_leader_dies__is_the_sum),
};
IT_MAIN(tests)
