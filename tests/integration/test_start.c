/* Starts that must not succeed, and nodes that must not be let in: each says what is wrong and what
 * to do, and disturbs nobody. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "integration/kit/cluster.h"

#define EXIT_DATA 65
#define EXIT_IN_USE 75
#define EXIT_CONFIG 78

/* ---- settings */
static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void settings__mistakes__end_with_place_and_nearest_name(void **state)
{
    (void)state;
    static const struct {
        const char *text, *place, *says;
    } cases[] = {
        {"[node]\nname = node1\n\n[http]\nlistn = 127.0.0.1:1\n", ":5: ", "http.listen"},
        {"[nod]\nname = node1\n", ":1: ", "node"},
        {"[log]\nfsync = sometimes\n", ":2: ", "always"},
        {"[limits]\nvalue_bytes = 1MB\n", ":2: ", "value_bytes"},
        {"[cluster]\nmembers = a=127.0.0.1:1, a=127.0.0.1:2\n", ":2: ", "a"},
        {"[http]\nlisten = 0.0.0.0:8001\n", ":2: ", "insecure"},
        {"[http]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:2\n", ":3: ", "listen"},
    };
    char dir[128], path[160], place[200];
    pc_test_dir_make(dir);
    (void)snprintf(path, sizeof path, "%s/wrong.ini", dir);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct it_output output;
        write_text(path, cases[i].text);
        (void)snprintf(place, sizeof place, "%s%s", path, cases[i].place);
        it_run(&output, "pcached", "-c", path);
        if (output.status != EXIT_CONFIG) {
            fail_msg("status %d for:\n%s", output.status, cases[i].text);
        }
        it_contains(output.err, place);
        it_contains(output.err, cases[i].says);
        it_run(&output, "pcached", "-c", path, "--check-config");
        assert_int_equal(output.status, EXIT_CONFIG);
    }
    pc_test_dir_remove(dir);
}

static void settings__unknown_set_and_variable__name_the_nearest(void **state)
{
    (void)state;
    struct it_output output;
    it_run(&output, "pcached", "--set", "bus.lisen=127.0.0.1:1");
    assert_int_equal(output.status, EXIT_CONFIG);
    it_contains(output.err, "bus.listen");
    static const char *const argv[] = {"pcached", "--check-config", NULL};
    static const char *const env[] = {"PCACHED_NODE_NAM=node1", NULL};
    it_program_run(argv, env, &output);
    assert_int_equal(output.status, EXIT_CONFIG);
    it_contains(output.err, "PCACHED_NODE_NAME");
    it_run(&output, "pcached", "--frobnicate");
    assert_int_equal(output.status, 64);
}

static void settings__key_file_readable_by_all__is_refused(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    struct it_output output;
    char key[160];
    (void)snprintf(key, sizeof key, "%s/cluster.key", c->dir);
    it_run(&output, "pcached", "-c", c->ini, "--set", "node.name=node2", "--check-config");
    assert_int_equal(output.status, 0);
    assert_int_equal(chmod(key, 0644), 0);
    it_run(&output, "pcached", "-c", c->ini, "--set", "node.name=node2", "--check-config");
    assert_int_equal(output.status, EXIT_CONFIG);
    it_contains(output.err, "cluster.key");
    it_run(&output, "pcached", "-c", c->ini, "--set", "node.name=node9", "--check-config");
    assert_int_equal(output.status, EXIT_CONFIG);
    it_contains(output.err, "node9");
}

static void settings__layers__set_wins_over_environment_over_file(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    char data[200];
    (void)snprintf(data, sizeof data, "PCACHED_NODE_DATA_DIR=%s", c->node[0].data_dir);
    const char *const env[] = {
        "PCACHED_CLUSTER_NAME=from-environment", "PCACHED_LOG_FSYNC=os", data, NULL};
    const char *const argv[] = {
        "pcached", "-c", c->ini, "--set", "log.fsync=interval", "--print-config", NULL};
    struct it_output output;
    it_program_run(argv, env, &output);
    assert_int_equal(output.status, 0);
    it_contains(output.out, "from-environment");
    it_contains(output.out, "interval");
    it_contains(output.out, "1MiB");
}

/* ---- what another process has already */
static void data_directory__in_use__names_the_process(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    it_cluster_start(c);
    char data[200], pid[32];
    struct it_output output;
    (void)snprintf(data, sizeof data, "node.data_dir=%s", c->node[0].data_dir);
    (void)snprintf(pid, sizeof pid, "%d", (int)c->node[0].pid);
    it_run(&output, "pcached", "--set", data, "--set", "http.listen=127.0.0.1:0", "--set",
        "bus.listen=127.0.0.1:0");
    assert_int_equal(output.status, EXIT_IN_USE);
    it_contains(output.err, pid);
    it_contains(output.err, c->node[0].data_dir);
    it_put(c, 0, "k", "undisturbed");
}

/* Nothing of it may be touched before that is known. */
static void data_directory__of_a_newer_program__is_refused_as_it_is(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    char data[200], path[200];
    struct it_output output;
    (void)snprintf(data, sizeof data, "node.data_dir=%s", c->node[0].data_dir);
    (void)mkdir(c->node[0].data_dir, 0700);
    (void)snprintf(path, sizeof path, "%s/history", c->node[0].data_dir);
    write_text(path, "pcache-history 2 which is not known yet\n");
    it_run(&output, "pcached", "--set", data, "--set", "http.listen=127.0.0.1:0", "--set",
        "bus.listen=127.0.0.1:0");
    assert_int_equal(output.status, EXIT_DATA);
    it_contains(output.err, "history: format version 2 is not known");
    (void)snprintf(path, sizeof path, "%s/identity", c->node[0].data_dir);
    assert_int_equal(access(path, F_OK), -1);
}

static void refuse_port(struct it_cluster *c, const char *http, const char *bus, uint16_t port)
{
    char data[200], text[64];
    struct it_output output;
    (void)snprintf(data, sizeof data, "node.data_dir=%s/second", c->dir);
    it_run(&output, "pcached", "--set", data, "--set", http, "--set", bus);
    assert_int_equal(output.status, EXIT_IN_USE);
    (void)snprintf(text, sizeof text, "%u", port);
    it_contains(output.err, text);
    (void)snprintf(text, sizeof text, "%d", (int)c->node[0].pid);
    it_contains(output.err, text);
    it_contains(output.err, "pcached");
}

static void port__in_use__names_port_and_process(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(1);
    it_cluster_start(c);
    char listen[64];
    (void)snprintf(listen, sizeof listen, "http.listen=127.0.0.1:%u", c->node[0].http_port);
    refuse_port(c, listen, "bus.listen=127.0.0.1:0", c->node[0].http_port);
    (void)snprintf(listen, sizeof listen, "bus.listen=127.0.0.1:%u", c->node[0].bus_port);
    refuse_port(c, "http.listen=127.0.0.1:0", listen, c->node[0].bus_port);
    it_put(c, 0, "k", "undisturbed");
}

/* ---- strangers */
static uint64_t rejected(struct it_cluster *c, size_t i, const char *reason)
{
    char name[80];
    (void)snprintf(name, sizeof name, "pcached_bus_rejected_total{reason=\"%s\"}", reason);
    return it_metric(c, i, name);
}

/* Starts node 2 with these settings instead of its own: the others count it as `reason`, never link
 * with it, and go on; then it comes back as it was. */
static void refuse_stranger(struct it_cluster *c, const char *const *sets, const char *reason)
{
    it_node_start_with(c, 2, sets);
    IT_UNTIL(IT_SOON_MS, rejected(c, 0, reason) > 0 && rejected(c, 1, reason) > 0);
    for (size_t i = 0; i < 2; i++) {
        it_put(c, i, "k", reason);
        assert_string_equal(it_value(c, 1 - i, "k"), reason);
    }
    IT_UNTIL(IT_SOON_MS, it_get(c, 2, "/livez")->status == 200);
    assert_int_equal(it_get(c, 2, "/readyz")->status, 503);
    assert_int_equal(it_metric(c, 2, "pcached_bus_handshakes_total"), 0);
    assert_int_equal(it_metric(c, 2, "pcached_gossip_received_total"), 0);
    assert_int_equal(it_get(c, 2, "/v1/kv/k?consistency=local")->status, 404);
    it_node_kill(c, 2);
    it_node_start(c, 2);
    it_cluster_await_ready(c);
    assert_string_equal(it_value(c, 2, "k"), reason);
}

static void stranger__with_another_key__is_counted_and_kept_out(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_node_kill(c, 2);
    char path[160], set[200];
    struct it_output key;
    (void)snprintf(path, sizeof path, "%s/other.key", c->dir);
    (void)snprintf(set, sizeof set, "cluster.key_file=%s", path);
    it_run(&key, "pcadmin", "key", "gen");
    assert_int_equal(key.status, 0);
    write_text(path, key.out);
    assert_int_equal(chmod(path, 0600), 0);
    const char *const sets[] = {set, NULL};
    refuse_stranger(c, sets, "key");
}

static void stranger__of_another_cluster__is_counted_and_kept_out(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_node_kill(c, 2);
    static const char *const sets[] = {"cluster.name=another", NULL};
    refuse_stranger(c, sets, "cluster");
}

static void remove_data(const struct it_cluster *c, size_t i)
{
    pc_test_dir_remove(c->node[i].data_dir);
}

/* It has nothing left of what it promised, so it counts for nobody until a leader has taken it in
 * in the place of the one it was. */
static void wiped_node__under_its_old_name__has_no_vote_until_it_is_taken_in(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    struct it_status before, after;
    assert_true(it_status(c, 2, &before));
    it_contains(it_node_log(c, 0), "cluster formed: this is a NEW one");
    it_contains(it_node_log(c, 0), before.history);
    it_put(c, 0, "k", "on");
    it_node_kill(c, 1);
    it_node_kill(c, 2);
    remove_data(c, 2);
    it_node_start(c, 2);
    /* With its old vote there would be a quorum. */
    IT_UNTIL(IT_SOON_MS, it_status(c, 0, &after) && after.leader[0] == '\0');
    assert_int_equal(it_call(c, 0, "PUT", "/v1/kv/k", NULL, "no", 2)->status, 503);
    assert_int_equal(it_get(c, 2, "/v1/kv/k?consistency=local")->status, 404);
    assert_int_equal(it_get(c, 2, "/readyz")->status, 503);
    it_node_start(c, 1);
    it_cluster_await_ready(c);
    assert_true(it_status(c, 2, &after));
    assert_string_not_equal(after.id, before.id);
    assert_string_equal(after.history, before.history);
    assert_string_equal(it_value(c, 2, "k"), "on");
}

static void members__edited_after_formation__are_only_warned_about(void **state)
{
    (void)state;
    struct it_cluster *c = it_cluster_new(3);
    it_cluster_start(c);
    it_put(c, 0, "k", "v");
    it_node_kill(c, 2);
    char members[200];
    (void)snprintf(members, sizeof members,
        "cluster.members=node1=127.0.0.1:%u,node2=127.0.0.1:%u,node3=127.0.0.1:%u,node4=127.0.0.1:"
        "1",
        c->node[0].bus_port, c->node[1].bus_port, c->node[2].bus_port);
    const char *const sets[] = {members, NULL};
    it_node_start_with(c, 2, sets);
    it_cluster_await_ready(c);
    assert_string_equal(it_value(c, 2, "k"), "v");
    it_contains(it_node_log(c, 2), "level=warn");
    it_contains(it_node_log(c, 2), "differ from those that formed the cluster");
}

static const struct it_test tests[] = {
    IT_TEST(settings__mistakes__end_with_place_and_nearest_name),
    IT_TEST(settings__unknown_set_and_variable__name_the_nearest),
    IT_TEST(settings__key_file_readable_by_all__is_refused),
    IT_TEST(settings__layers__set_wins_over_environment_over_file),
    IT_TEST(data_directory__in_use__names_the_process),
    IT_TEST(data_directory__of_a_newer_program__is_refused_as_it_is),
    IT_TEST(port__in_use__names_port_and_process),
    IT_TEST(stranger__with_another_key__is_counted_and_kept_out),
    IT_TEST(stranger__of_another_cluster__is_counted_and_kept_out),
    IT_TEST(wiped_node__under_its_old_name__has_no_vote_until_it_is_taken_in),
    IT_TEST(members__edited_after_formation__are_only_warned_about),
};
IT_MAIN(tests)
