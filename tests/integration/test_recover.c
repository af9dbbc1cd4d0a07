/* The last resort: two of three disks are gone for good, and the third becomes a cluster of its
 * own, with a history of its own, that the others join with empty disks. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "integration/kit/cluster.h"

#define KEYS 200
#define EXIT_REFUSED 1
#define JOIN_MS 60000 /* for two empty nodes to come, catch up and vote */

static struct it_output output;

/* Runs it on the node's directory, with as many more arguments as are given. */
static int recover(const struct it_cluster *c, size_t i, const char *more)
{
    char name[64], dir[256];
    (void)snprintf(name, sizeof name, "node.name=%s", c->node[i].name);
    (void)snprintf(dir, sizeof dir, "node.data_dir=%s", c->node[i].data_dir);
    it_run(
        &output, "pcadmin", "cluster", "recover", "-c", c->ini, "--set", name, "--set", dir, more);
    return output.status;
}

static void write_keys(struct it_cluster *c, size_t i)
{
    for (int n = 0; n < KEYS; n++) {
        char key[16], value[16];
        (void)snprintf(key, sizeof key, "k%d", n);
        (void)snprintf(value, sizeof value, "v%d", n);
        it_put(c, i, key, value);
    }
}

static void check_keys(struct it_cluster *c, size_t i)
{
    for (int n = 0; n < KEYS; n++) {
        char key[16], value[16];
        (void)snprintf(key, sizeof key, "k%d", n);
        (void)snprintf(value, sizeof value, "v%d", n);
        assert_string_equal(it_value(c, i, key), value);
    }
}

static bool all_vote(struct it_cluster *c)
{
    const struct it_client *answer = it_get(c, 0, "/v1/status");
    return answer->status == 200 && strstr(answer->body, "\"voters\":3,\"voters_up\":3") != NULL;
}

/* ---- refusals */
static void refuse_while_it_may_not_be(struct it_cluster *c)
{
    assert_int_equal(recover(c, 0, "--accept-data-loss"), EXIT_REFUSED);
    it_contains(output.err, "is in use by process");
    it_node_kill(c, 0);
    assert_int_equal(recover(c, 0, "--accept-data-loss"), EXIT_REFUSED);
    it_contains(output.err, "node2 answers at 127.0.0.1:");
    it_contains(output.err, "node3 answers at 127.0.0.1:");
    it_node_kill(c, 1);
    it_node_kill(c, 2);
    char dir[256];
    (void)snprintf(dir, sizeof dir, "node.data_dir=%s", c->node[0].data_dir);
    it_run(&output, "pcadmin", "cluster", "recover", "-c", c->ini, "--set", "node.name=node2",
        "--set", dir, "--accept-data-loss");
    assert_int_equal(output.status, EXIT_REFUSED);
    it_contains(output.err, "is the data directory of node1, the settings are those of node2");
}

/* Without the flag it only tells. */
static void tell(struct it_cluster *c)
{
    assert_int_equal(recover(c, 0, NULL), EXIT_REFUSED);
    it_contains(output.out, "voters    node1, node2, node3");
    it_contains(output.out, " 200 keys");
    it_contains(output.out, "Nothing was changed");
    it_node_start(c, 0);
    IT_UNTIL(IT_SOON_MS, it_get(c, 0, "/readyz")->status == 503);
    it_contains(it_get(c, 0, "/v1/status")->body, "\"quorum\":2");
    it_node_kill(c, 0);
}

static void cluster__two_of_three_disks_are_lost__goes_on_with_the_third(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    struct it_status before, after;
    char lost[200];
    it_cluster_start(c);
    write_keys(c, 0);
    it_cluster_await_equal(c);
    assert_true(it_status(c, 0, &before));
    refuse_while_it_may_not_be(c);
    tell(c);
    assert_int_equal(recover(c, 0, "--accept-data-loss"), 0);
    it_contains(output.out, "node1 is the only voter of the new history ");
    it_contains(output.out, "node2, node3");
    assert_int_equal(recover(c, 0, "--accept-data-loss"), 0);
    it_contains(output.out, "there is nothing to recover");
    it_node_start(c, 0);
    it_node_await_ready(c, 0);
    check_keys(c, 0);
    it_put(c, 0, "after", "1");
    assert_true(it_status(c, 0, &after));
    assert_string_not_equal(after.history, before.history);
    assert_string_equal(after.id, before.id);
    assert_true(after.term > before.term && after.applied > before.applied);
    /* A disk of before is refused, by both sides and by name ... */
    it_node_start(c, 1);
    IT_UNTIL(IT_SOON_MS, strstr(it_get(c, 1, "/readyz")->body, "another cluster") != NULL);
    it_contains(it_node_log(c, 0), "node2 belongs to another cluster");
    it_contains(it_node_log(c, 0), after.history);
    it_node_kill(c, 1);
    /* ... and an empty one under the same name is taken in. */
    (void)snprintf(lost, sizeof lost, "%s.lost", c->node[1].data_dir);
    assert_int_equal(rename(c->node[1].data_dir, lost), 0);
    pc_test_dir_remove(c->node[2].data_dir);
    it_node_start(c, 1);
    it_node_start(c, 2);
    IT_UNTIL(JOIN_MS, all_vote(c));
    it_cluster_await_equal(c);
    check_keys(c, 2);
    it_node_kill(c, 0);
    IT_UNTIL(IT_SOON_MS, it_call(c, 1, "PUT", "/v1/kv/after", NULL, "2", 1)->status == 200);
    it_node_start(c, 0);
    it_cluster_await_equal(c);
    assert_string_equal(it_value(c, 0, "after"), "2");
}

static void directory__never_used__has_nothing_to_recover(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    assert_int_equal(recover(c, 0, "--accept-data-loss"), EXIT_REFUSED);
    it_contains(output.err, "no node has used this data directory");
    it_node_start(c, 0); /* it waits for the others */
    IT_UNTIL(IT_SOON_MS, it_get(c, 0, "/readyz")->status == 503);
    it_node_kill(c, 0);
    assert_int_equal(recover(c, 0, "--accept-data-loss"), EXIT_REFUSED);
    it_contains(output.err, "has never been in a cluster");
}

static const struct it_test tests[] = {
    IT_TEST(cluster__two_of_three_disks_are_lost__goes_on_with_the_third),
    IT_TEST(directory__never_used__has_nothing_to_recover),
};
IT_MAIN(tests)
