/* pcadmin and pclog as an operator or a script uses them: output, and above all exit statuses. */
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "integration/kit/cluster.h"

#define EXIT_NO 1
#define EXIT_USAGE 2
#define EXIT_CONNECT 3
#define EXIT_TIMEOUT 5

static struct it_output output;

static void endpoint(const struct it_cluster *c, size_t i, char *out, size_t max)
{
    (void)snprintf(out, max, "127.0.0.1:%u", c->node[i].http_port);
}

static void endpoints(const struct it_cluster *c, char *out, size_t max)
{
    size_t used = 0;
    for (size_t i = 0; i < c->n; i++) {
        used += (size_t)snprintf(
            out + used, max - used, "%s127.0.0.1:%u", i > 0 ? "," : "", c->node[i].http_port);
    }
}

static void expect_status(int status)
{
    if (output.status != status) {
        fail_msg(
            "wanted status %d, but it is %d\n%s%s", status, output.status, output.out, output.err);
    }
}

/* The line of the table that contains `part`. */
static const char *line_of(const char *part)
{
    static char line[512];
    for (const char *at = output.out; *at != '\0'; at += strcspn(at, "\n") + 1) {
        (void)snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        if (strstr(line, part) != NULL) {
            return line;
        }
        if (strchr(at, '\n') == NULL) {
            break;
        }
    }
    fail_msg("no line with %s in:\n%s", part, output.out);
    return "";
}

static void kv__put_get_del__and_what_is_missing(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    char one[64], all[256];
    endpoint(c, 1, one, sizeof one);
    endpoints(c, all, sizeof all);
    it_run(&output, "pcadmin", "-e", one, "put", "a key/ü", "value 1");
    expect_status(0);
    it_contains(output.out, "created, version ");
    it_run(&output, "pcadmin", "put", "a key/ü", "value 2", "-e", all); /* options behind */
    expect_status(0);
    it_contains(output.out, "replaced, version ");
    it_run(&output, "pcadmin", "-e", all, "get", "a key/ü");
    expect_status(0);
    assert_string_equal(output.out, "value 2"); /* the value and nothing else, for pipes */
    assert_string_equal(it_value(c, 2, "a%20key%2f%c3%bc"), "value 2");
    it_run(&output, "pcadmin", "-e", one, "-o", "json", "get", "--local", "a key/ü");
    expect_status(0);
    json_t *object = json_loads(output.out, 0, NULL);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "value")), "value 2");
    json_decref(object);
    it_run(&output, "pcadmin", "-e", one, "put", "a key/ü", "value 3", "--if-absent");
    expect_status(EXIT_NO);
    it_contains(output.err, "not done: what stands there has version");
    it_run(&output, "pcadmin", "-e", one, "del", "a key/ü", "--if-version", "1");
    expect_status(EXIT_NO);
    it_run(&output, "pcadmin", "-e", one, "del", "a key/ü");
    expect_status(0);
    it_run(&output, "pcadmin", "-e", one, "get", "a key/ü");
    expect_status(EXIT_NO);
    assert_string_equal(output.out, "");
    it_run(&output, "pcadmin", "-e", one, "put", "short", "x", "--ttl", "1h");
    expect_status(0);
    char ttl[32];
    (void)it_client_header(it_get(c, 0, "/v1/kv/short"), "X-PC-TTL-Ms", ttl, sizeof ttl);
    assert_true(ttl[0] != '\0');
}

static void views__status_members_health__show_the_cluster(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "k", "v");
    it_cluster_await_equal(c);
    size_t leader = it_cluster_leader(c), follower = (leader + 1) % 3;
    char all[256], one[64];
    endpoints(c, all, sizeof all);
    endpoint(c, follower, one, sizeof one);
    IT_UNTIL(IT_SOON_MS, it_metric(c, follower, "pcached_members{state=\"alive\"}") == 3);
    it_run(&output, "pcadmin", "-e", all, "status");
    expect_status(0);
    assert_memory_equal(output.out, "ST  NAME   ID ", 14);
    assert_memory_equal(line_of(c->node[leader].name), "UL  ", 4);
    it_contains(line_of(c->node[leader].name), "  leader  ");
    assert_memory_equal(line_of(c->node[follower].name), "UV  ", 4);
    it_contains(line_of(c->node[follower].name), "  voter  ");
    it_run(&output, "pcadmin", "-o", "json", "-e", one, "status");
    expect_status(0);
    json_t *document = json_loads(output.out, 0, NULL);
    assert_non_null(document);
    json_decref(document);
    it_run(&output, "pcadmin", "members", "-e", one);
    expect_status(0);
    (void)line_of("node1");
    (void)line_of("node3");
    it_run(&output, "pcadmin", "-e", all, "health");
    expect_status(0);
    it_run(&output, "pcadmin", "-e", all, "leader");
    expect_status(0);
    it_contains(output.out, c->node[leader].name);
    it_node_kill(c, follower);
    it_run(&output, "pcadmin", "-e", all, "health");
    expect_status(EXIT_NO);
    it_run(&output, "pcadmin", "-e", all, "status");
    expect_status(0);
}

static void leader_transfer__through_any_endpoint__waits_until_done(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    char all[256];
    endpoints(c, all, sizeof all);
    size_t target = it_cluster_follower(c, 1);
    it_run(&output, "pcadmin", "-e", all, "leader", "transfer", c->node[target].name);
    expect_status(0);
    it_contains(output.out, c->node[target].name);
    assert_int_equal(it_cluster_leader(c), target);
    it_run(&output, "pcadmin", "-e", all, "leader", "transfer", "nobody");
    expect_status(EXIT_NO);
}

static void status__nobody_there_or_no_quorum__has_its_own_exit(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    size_t left = it_cluster_leader(c);
    it_put(c, left, "k", "v");
    it_node_kill(c, (left + 1) % 3);
    it_node_kill(c, (left + 2) % 3);
    struct it_status status;
    IT_UNTIL(IT_SOON_MS, it_status(c, left, &status) && status.leader[0] == '\0');
    char one[64], dead[64];
    endpoint(c, left, one, sizeof one);
    endpoint(c, (left + 1) % 3, dead, sizeof dead);
    it_run(&output, "pcadmin", "-e", one, "put", "k", "w");
    expect_status(EXIT_TIMEOUT);
    it_run(&output, "pcadmin", "-e", one, "status");
    expect_status(EXIT_TIMEOUT);
    it_contains(output.out, "no quorum: 1 of 3 voters answers; missing: node");
    IT_UNTIL(IT_SOON_MS, it_get(c, left, "/readyz")->status == 503);
    it_run(&output, "pcadmin", "-e", one, "health");
    expect_status(EXIT_TIMEOUT);
    it_contains(output.out, "quorum 1 of 3 voters answers; missing: node");
    it_run(&output, "pcadmin", "-e", one, "get", "k", "--local");
    expect_status(0);
    assert_string_equal(output.out, "v");
    it_contains(output.err, "there is no quorum: this may be ");
    it_run(&output, "pcadmin", "-e", dead, "status");
    expect_status(EXIT_CONNECT);
    it_run(&output, "pcadmin", "-e", dead, "get", "k");
    expect_status(EXIT_CONNECT);
    it_node_signal(c, left, SIGSTOP);
    it_run(&output, "pcadmin", "-t", "300ms", "-e", one, "status");
    expect_status(EXIT_TIMEOUT);
}

static void usage__mistakes__end_with_two(void **state)
{
    (void)state;
    it_run(&output, "pcadmin");
    expect_status(EXIT_USAGE);
    it_run(&output, "pcadmin", "frobnicate");
    expect_status(EXIT_USAGE);
    it_run(&output, "pcadmin", "get");
    expect_status(EXIT_USAGE);
    it_run(&output, "pcadmin", "status", "--ttl", "1s");
    expect_status(EXIT_USAGE);
    it_run(&output, "pcadmin", "-e", "no-port", "status");
    expect_status(EXIT_USAGE);
    it_run(&output, "pcadmin", "--help");
    expect_status(0);
    it_contains(output.out, "leader transfer");
    it_run(&output, "pclog", "dump");
    expect_status(EXIT_USAGE);
}

static void key_gen__each_time__another_good_key(void **state)
{
    (void)state;
    static struct it_output other;
    it_run(&output, "pcadmin", "key", "gen");
    expect_status(0);
    assert_int_equal(strlen(output.out), 65);
    assert_int_equal(strspn(output.out, "0123456789abcdef"), 64);
    it_run(&other, "pcadmin", "key", "gen");
    assert_string_not_equal(output.out, other.out);
}

static void environment__endpoints__are_taken_from_it(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    it_cluster_start(c);
    char variable[96];
    (void)snprintf(
        variable, sizeof variable, "PCADMIN_ENDPOINTS=127.0.0.1:%u", c->node[0].http_port);
    const char *const env[] = {variable, NULL};
    const char *const argv[] = {"pcadmin", "put", "k", "v", NULL};
    it_program_run(argv, env, &output);
    expect_status(0);
    assert_string_equal(it_value(c, 0, "k"), "v");
}

static void pclog__dump_and_verify__tell_what_the_log_says(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "first", "12345");
    assert_int_equal(it_call(c, 1, "PUT", "/v1/kv/%00%22?ttl=5s", NULL, "", 0)->status, 201);
    assert_int_equal(it_call(c, 2, "DELETE", "/v1/kv/first", NULL, NULL, 0)->status, 204);
    it_cluster_await_equal(c);
    it_node_signal(c, 1, SIGTERM);
    assert_int_equal(it_node_wait(c, 1, IT_SOON_MS), 0);
    it_run(&output, "pclog", "verify", c->node[1].data_dir);
    expect_status(0);
    it_contains(output.out, "good: entries 1..");
    it_run(&output, "pclog", "dump", c->node[1].data_dir);
    expect_status(0);
    it_contains(output.out, "kind=config");
    it_contains(output.out, "members=node1:");
    it_contains(line_of("key=\"first\""), "op=set key=\"first\" value_bytes=5");
    it_contains(line_of("key=\"\\x00\\\"\""), "ttl_ms=5000");
    it_contains(line_of("op=delete"), "key=\"first\"");
    it_run(&output, "pclog", "verify", c->dir);
    expect_status(EXIT_NO);
}

static const struct it_test tests[] = {
    IT_TEST(kv__put_get_del__and_what_is_missing),
    IT_TEST(views__status_members_health__show_the_cluster),
    IT_TEST(leader_transfer__through_any_endpoint__waits_until_done),
    IT_TEST(status__nobody_there_or_no_quorum__has_its_own_exit),
    IT_TEST(usage__mistakes__end_with_two),
    IT_TEST(key_gen__each_time__another_good_key),
    IT_TEST(environment__endpoints__are_taken_from_it),
    IT_TEST(pclog__dump_and_verify__tell_what_the_log_says),
};
IT_MAIN(tests)
