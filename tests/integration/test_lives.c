/* Data directories that are put back, and data directories that run twice. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "integration/kit/cluster.h"

#define EXIT_DATA 65
#define EXIT_TEMPFAIL 75

/* A copy of the node's directory, beside it. */
static void copy_taken(struct it_cluster *c, size_t i, char out[200])
{
    struct it_output output;
    (void)snprintf(out, 200, "%s.copy", c->node[i].data_dir);
    it_run(&output, "/bin/cp", "-a", c->node[i].data_dir, out);
    assert_int_equal(output.status, 0);
}

/* The node is down: the copy takes the place of its directory. */
static void copy_put(struct it_cluster *c, size_t i, const char *copy)
{
    char aside[200];
    (void)snprintf(aside, sizeof aside, "%s.newer", c->node[i].data_dir);
    assert_int_equal(rename(c->node[i].data_dir, aside), 0);
    assert_int_equal(rename(copy, c->node[i].data_dir), 0);
}

static void write_some(struct it_cluster *c, size_t i, const char *key)
{
    for (int n = 0; n < 20; n++) {
        it_put(c, i, key, "value");
    }
}

static void older_copy__of_a_life_before__is_refused_however_often_it_starts(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char copy[200];
    it_cluster_start(c);
    size_t victim = it_cluster_follower(c, 0);
    write_some(c, victim, "before");
    it_node_kill(c, victim);
    copy_taken(c, victim, copy);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    write_some(c, victim, "after");
    it_node_kill(c, victim);
    copy_put(c, victim, copy);
    /* The others run anew: what they know is on their disks. */
    for (size_t i = 0; i < c->n; i++) {
        if (i != victim) {
            it_node_kill(c, i);
            it_node_start(c, i);
        }
    }
    for (int n = 0; n < 3; n++) {
        it_node_start(c, victim);
        assert_int_equal(it_node_wait(c, victim, IT_SOON_MS), EXIT_DATA);
        it_contains(it_node_log(c, victim), "older copy of this node's own");
        it_contains(it_node_log(c, victim), "move it away and start the node with an empty one");
    }
    it_cluster_await_ready(c);
    assert_string_equal(it_value(c, (victim + 1) % 3, "after"), "value");
}

static void older_copy__of_the_same_life__is_refused_by_who_has_counted_on_it(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char copy[200];
    it_cluster_start(c);
    size_t leader = it_cluster_leader(c);
    size_t victim = it_cluster_follower(c, 0);
    write_some(c, leader, "before");
    it_cluster_await_equal(c);
    it_node_signal(c, victim, SIGSTOP);
    copy_taken(c, victim, copy);
    it_node_signal(c, victim, SIGCONT);
    write_some(c, leader, "after");
    it_cluster_await_equal(c);
    it_node_kill(c, victim);
    copy_put(c, victim, copy);
    it_node_start(c, victim);
    assert_int_equal(it_node_wait(c, victim, IT_SOON_MS), EXIT_DATA);
    it_contains(it_node_log(c, victim), "had promised");
}

static void own_disk__put_back_after_the_copy_was_refused__is_the_node_again(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char copy[200], aside[200];
    it_cluster_start(c);
    size_t victim = it_cluster_follower(c, 0);
    it_node_kill(c, victim);
    copy_taken(c, victim, copy);
    it_node_start(c, victim);
    it_cluster_await_ready(c);
    write_some(c, victim, "after");
    it_node_kill(c, victim);
    copy_put(c, victim, copy);
    it_node_start(c, victim);
    assert_int_equal(it_node_wait(c, victim, IT_SOON_MS), EXIT_DATA);
    (void)snprintf(aside, sizeof aside, "%s.newer", c->node[victim].data_dir);
    assert_int_equal(rename(c->node[victim].data_dir, copy), 0);
    assert_int_equal(rename(aside, c->node[victim].data_dir), 0);
    it_node_start(c, victim);
    it_cluster_await_equal(c);
    assert_string_equal(it_value(c, victim, "after"), "value");
}

/* Two processes, one identity: the later one stays. */
static void two_processes__of_one_id__the_earlier_one_ends(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    char copy[200];
    it_cluster_start(c);
    size_t victim = it_cluster_follower(c, 0), other = it_cluster_leader(c);
    write_some(c, other, "before");
    it_cluster_await_equal(c);
    it_node_signal(c, victim, SIGSTOP);
    copy_taken(c, victim, copy);
    it_node_signal(c, victim, SIGCONT);
    struct it_node *twin = &c->node[3]; /* beside those that count */
    *twin = (struct it_node){.http_port = it_port_free(), .bus_port = it_port_free()};
    twin->client.fd = -1;
    memcpy(twin->name, c->node[victim].name, sizeof twin->name);
    (void)snprintf(twin->data_dir, sizeof twin->data_dir, "%.150s", copy);
    (void)snprintf(twin->log_path, sizeof twin->log_path, "%.100s/twin.log", c->dir);
    it_node_start(c, 3);
    assert_int_equal(it_node_wait(c, victim, IT_SOON_MS), EXIT_TEMPFAIL);
    it_contains(it_node_log(c, victim), "another process runs as this node, and has begun later");
    write_some(c, other, "after");
    assert_false(it_node_has_ended(c, 3));
    it_node_kill(c, 3);
}

static const struct it_test tests[] = {
    IT_TEST(older_copy__of_a_life_before__is_refused_however_often_it_starts),
    IT_TEST(older_copy__of_the_same_life__is_refused_by_who_has_counted_on_it),
    IT_TEST(own_disk__put_back_after_the_copy_was_refused__is_the_node_again),
    IT_TEST(two_processes__of_one_id__the_earlier_one_ends),
};
IT_MAIN(tests)
