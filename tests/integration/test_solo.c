/* on_quorum_loss = solo: the last of three nodes goes on alone, marked, through a kill -9 of its
 * own; and what it wrote comes into the cluster when somebody says so, and not before. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define EXIT_NO 1
#define EXIT_USAGE 2
#define EXIT_DAMAGED 8
#define ALONE 2 /* the node that goes on */

static struct it_output output;

static void expect_status(int status)
{
    if (output.status != status) {
        fail_msg(
            "wanted status %d, but it is %d\n%s%s", status, output.status, output.out, output.err);
    }
}

static struct it_cluster *solo_cluster(void)
{
    struct it_cluster *c = it_cluster_new(3);
    c->sets[0] = "cluster.on_quorum_loss=solo";
    c->sets[1] = "cluster.solo_after=1s";
    c->sets[2] = "bus.probe_interval=300ms";
    it_cluster_start(c);
    return c;
}

static void endpoints_of(const struct it_cluster *c, char out[128])
{
    (void)snprintf(out, 128, "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u", c->node[0].http_port,
        c->node[1].http_port, c->node[2].http_port);
}

static bool is_solo(struct it_cluster *c)
{
    const struct it_client *answer = it_get(c, ALONE, "/v1/status");
    return answer->status == 200 && strstr(answer->body, "\"solo\":{\"state\":\"open\"") != NULL;
}

static bool is_marked(const struct it_client *answer)
{
    char text[64];
    return strlen(it_client_header(answer, "X-PC-Branch", text, sizeof text)) == 32 &&
           strcmp(it_client_header(answer, "X-PC-Durability", text, sizeof text), "solo") == 0;
}

static void write_solo(struct it_cluster *c, const char *method, const char *key, const char *value)
{
    char target[64];
    (void)snprintf(target, sizeof target, "/v1/kv/%s", key);
    const struct it_client *answer = it_call(c, ALONE, method, target, NULL, value, strlen(value));
    assert_in_range(answer->status, 200, 204);
    assert_true(is_marked(answer));
}

static void expect_under(
    struct it_cluster *c, size_t i, const char *key, const char *value, bool marked)
{
    char target[64];
    (void)snprintf(target, sizeof target, "/v1/kv/%s", key);
    const struct it_client *answer = it_get(c, i, target);
    assert_int_equal(answer->status, value != NULL ? 200 : 404);
    if (value != NULL) {
        assert_string_equal(answer->body, value);
    }
    assert_int_equal(is_marked(answer), marked);
}

/* Writes that the cluster has, then those of the branch: before and after a kill -9. */
static void write_all(struct it_cluster *c)
{
    it_put(c, 0, "kept", "k");
    it_put(c, 1, "edited", "old");
    it_put(c, 2, "removed", "r");
    it_put(c, 0, "contested", "old");
    for (int i = 0; i < 3;
         i++) { /* that an entry is committed stands on the disk with a later one */
        it_put(c, 0, "later", "l");
    }
    it_cluster_await_equal(c);
    for (size_t i = 0; i < 3; i++) {
        it_node_kill(c, i);
    }
    it_node_start(c, ALONE);
    IT_UNTIL(IT_SOON_MS, is_solo(c));
    it_node_await_ready(c, ALONE); /* a balancer sends clients to it */
    write_solo(c, "PUT", "edited", "alone");
    write_solo(c, "DELETE", "removed", "");
    write_solo(c, "PUT", "contested", "alone");
    expect_under(c, ALONE, "edited", "alone", true);
    expect_under(c, ALONE, "kept", "k", true);
    expect_under(c, ALONE, "removed", NULL, true);
    it_node_kill(c, ALONE);
    it_node_start(c, ALONE);
    IT_UNTIL(IT_SOON_MS, is_solo(c));
    expect_under(c, ALONE, "edited", "alone", true);
    write_solo(c, "PUT", "edited", "alone for long");
    write_solo(c, "PUT", "made", "new");
}

/* What is replayed must not end in another branch. An open one may be looked at. */
static void replay_alone(struct it_cluster *c)
{
    char endpoint[64], path[256];
    (void)snprintf(endpoint, sizeof endpoint, "127.0.0.1:%u", c->node[ALONE].http_port);
    (void)snprintf(path, sizeof path, "%s/branch.open", c->node[ALONE].data_dir);
    it_run(&output, "pcadmin", "-e", endpoint, "rollback", "show", path);
    expect_status(0);
    it_contains(output.err, "the file has no end");
    it_run(&output, "pcadmin", "-e", endpoint, "rollback", "replay", path, "--if-unchanged");
    assert_int_not_equal(output.status, 0);
    it_contains(output.err, "in a branch of its own");
}

/* The others come back: the branch is closed, and the cluster has what it had. */
static void come_back(struct it_cluster *c)
{
    it_node_start(c, 0);
    it_node_start(c, 1);
    IT_UNTIL(IT_SOON_MS, it_metric(c, ALONE, "pcached_rollbacks_pending") == 1);
    it_cluster_await_ready(c);
    assert_int_equal(it_metric(c, ALONE, "pcached_solo"), 0);
    for (size_t i = 0; i < 3; i++) {
        expect_under(c, i, "edited", "old", false);
        expect_under(c, i, "removed", "r", false);
        expect_under(c, i, "made", NULL, false);
    }
    it_put(c, 0, "contested", "somebody was faster");
}

/* Its name goes to `name`, the path of its file to `path`. */
static void find_name(struct it_cluster *c, const char *endpoints, char name[64], char path[256])
{
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "list");
    expect_status(0);
    const char *end = strstr(output.out, ".kvr");
    assert_non_null(end);
    const char *begin = end;
    while (begin > output.out && begin[-1] != ' ') {
        begin--;
    }
    (void)snprintf(name, 64, "%.*s.kvr", (int)(end - begin), begin);
    (void)snprintf(path, 256, "%s/rollback/%s", c->node[ALONE].data_dir, name);
    assert_int_equal(access(path, R_OK), 0);
}

static void show(const char *endpoints, const char *name, const char *path)
{
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "show", name);
    expect_status(0);
    it_contains(output.out, "alone for long");
    it_contains(output.out, "delete");
    it_run(&output, "pcadmin", "-e", endpoints, "-o", "json", "rollback", "show", name);
    expect_status(0);
    it_contains(output.out, "\"op\":\"set\",\"key\":\"made\",\"value\":\"new\",\"before\":null}");
    it_contains(output.out, "{\"end\":true,\"records\":5,\"lost\":0,");
    struct it_output of_file;
    it_run(&of_file, "pcadmin", "-o", "json", "rollback", "show", path);
    assert_string_equal(of_file.out, output.out);
}

/* A key that the branch has made, and somebody has removed since, does not come back by itself. */
static void replay_again(struct it_cluster *c, const char *endpoints, const char *name)
{
    it_run(&output, "pcadmin", "-e", endpoints, "-o", "fields", "rollback", "list");
    it_contains(output.out, "replayed=true");
    assert_int_equal(it_call(c, 0, "DELETE", "/v1/kv/made", NULL, "", 0)->status, 204);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", name, "--if-unchanged");
    expect_status(EXIT_NO);
    it_contains(output.err, "a replay of it was begun before");
    expect_under(c, 0, "made", NULL, false);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", name, "--if-unchanged",
        "--again");
    expect_status(EXIT_NO);
    it_contains(strstr(output.out, "contested"), "changed since");
    it_contains(output.err, "1 keys applied, 2 the same already, 1 changed since");
    expect_under(c, 2, "made", "new", false);
}

static void replay(struct it_cluster *c, const char *endpoints, const char *name, const char *path)
{
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", name);
    expect_status(EXIT_USAGE);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", name, "--if-unchanged",
        "--dry-run");
    expect_status(EXIT_NO);
    it_contains(output.out, "would be applied");
    expect_under(c, 0, "edited", "old", false);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", name, "--if-unchanged");
    expect_status(EXIT_NO);
    it_contains(strstr(output.out, "contested"), "changed since");
    it_contains(output.err, "3 keys applied, 0 the same already, 1 changed since");
    assert_null(strstr(output.err, "another history"));
    expect_under(c, 0, "edited", "alone for long", false);
    expect_under(c, 1, "made", "new", false);
    expect_under(c, 2, "removed", NULL, false);
    expect_under(c, 2, "contested", "somebody was faster", false);
    replay_again(c, endpoints, name);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", path, "--if-unchanged");
    expect_status(EXIT_NO); /* by whichever way it is read */
    it_contains(output.err, "a replay of it was begun before");
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", path, "--force");
    expect_status(0);
    expect_under(c, 1, "contested", "alone", false);
}

/* A record that has gone bad is said, by the status too. */
static void show_damaged(const char *path)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 512 + 40, SEEK_SET), 0);
    assert_int_equal(fwrite("\0\0\0\0", 1, 4, file), 4);
    assert_int_equal(fclose(file), 0);
    it_run(&output, "pcadmin", "-o", "json", "rollback", "show", path);
    expect_status(EXIT_DAMAGED);
    it_contains(output.out, "{\"end\":true,\"records\":4,\"lost\":1,");
    it_contains(output.err, "1 records are lost to damage");
}

static void two_nodes_lost__last_one__goes_on_marked_and_is_brought_back_by_hand(void **state)
{
    (void)state;
    char endpoints[128], name[64], path[256];
    struct it_cluster *c = solo_cluster();
    endpoints_of(c, endpoints);
    write_all(c);
    replay_alone(c);
    come_back(c);
    find_name(c, endpoints, name, path);
    show(endpoints, name, path);
    replay(c, endpoints, name, path);
    show_damaged(path);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "remove", name);
    expect_status(0);
    assert_int_not_equal(access(path, F_OK), 0);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "remove", name);
    expect_status(EXIT_NO);
    assert_int_equal(it_metric(c, ALONE, "pcached_rollbacks_pending"), 0);
    it_cluster_await_equal(c);
}

/* The other two die under a node that runs: it has to find that out first. */
static void go_alone(struct it_cluster *c)
{
    it_put(c, 0, "kept", "k");
    it_put(c, 1, "edited", "old");
    it_cluster_await_equal(c);
    it_node_kill(c, 0);
    it_node_kill(c, 1);
    const struct it_client *early = it_call(c, ALONE, "PUT", "/v1/kv/early", NULL, "e", 1);
    assert_true(early->status >= 500 || is_marked(early));
    IT_UNTIL(IT_SOON_MS, is_solo(c));
    write_solo(c, "PUT", "edited", "alone");
    write_solo(c, "PUT", "made", "new");
    expect_under(c, ALONE, "edited", "alone", true);
    expect_under(c, ALONE, "kept", "k", true);
}

/* Whatever it says meanwhile, only what is marked is of the branch. */
static bool has_closed(struct it_cluster *c)
{
    const struct it_client *answer = it_get(c, ALONE, "/v1/kv/edited?consistency=local");
    if (answer->status == 200) {
        assert_string_equal(answer->body, is_marked(answer) ? "alone" : "old");
    }
    return it_metric(c, ALONE, "pcached_rollbacks_pending") == 1;
}

static void two_nodes_killed_under_a_third__it_goes_on_marked_and_gives_way(void **state)
{
    (void)state;
    char endpoints[128], name[64], path[256];
    struct it_cluster *c = solo_cluster();
    endpoints_of(c, endpoints);
    go_alone(c);
    it_node_start(c, 0);
    it_node_start(c, 1);
    IT_UNTIL(IT_SOON_MS, has_closed(c));
    it_cluster_await_ready(c);
    for (size_t i = 0; i < 3; i++) {
        expect_under(c, i, "kept", "k", false);
        expect_under(c, i, "edited", "old", false);
        expect_under(c, i, "made", NULL, false);
    }
    find_name(c, endpoints, name, path);
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "show", name);
    expect_status(0);
    it_contains(output.out, "alone");
    it_run(&output, "pcadmin", "-e", endpoints, "rollback", "replay", name, "--if-unchanged");
    expect_status(0);
    for (size_t i = 0; i < 3; i++) {
        expect_under(c, i, "edited", "alone", false);
        expect_under(c, i, "made", "new", false);
    }
    it_cluster_await_equal(c);
}

static const struct it_test tests[] = {
    IT_TEST(two_nodes_lost__last_one__goes_on_marked_and_is_brought_back_by_hand),
    IT_TEST(two_nodes_killed_under_a_third__it_goes_on_marked_and_gives_way),
};
IT_MAIN(tests)
