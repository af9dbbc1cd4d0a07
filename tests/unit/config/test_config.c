#include "config_fixture.h"

#define THREE "[cluster]\nmembers = node2=127.0.0.1:2, node1=127.0.0.1:1,node3=[::1]:3\n"

/* Loads without a file. */
static pc_err load(struct fixture *f, const char *const *sets, char *const *environment)
{
    memset(f, 0, sizeof *f);
    for (; sets != NULL && *sets != NULL; sets++) {
        f->opts.sets[f->opts.sets_n++] = *sets;
    }
    f->opts.environment = environment;
    return pc_config_load(&f->opts, &f->config, &f->error);
}

static void assert_set_error(const char *set, const char *expected)
{
    struct fixture f;
    const char *const sets[] = {set, NULL};
    assert_int_equal(load(&f, sets, NULL), PC_E_INVALID);
    assert_string_equal(f.error.text, expected);
}

static void config__nothing_given__has_the_documented_defaults(void **state)
{
    (void)state;
    struct fixture f;
    assert_ok(load(&f, NULL, NULL));
    assert_string_equal(f.config.node.name, "node1");
    assert_string_equal(f.config.node.data_dir, "data");
    assert_string_equal(f.config.cluster.name, "pcache");
    assert_int_equal(f.config.cluster.members_n, 1);
    assert_string_equal(f.config.cluster.members[0].name, "node1");
    assert_string_equal(f.config.cluster.members[0].address, "127.0.0.1:7946");
    assert_false(f.config.cluster.has_key);
    assert_string_equal(f.config.http.listen, "127.0.0.1:8001");
    assert_false(f.config.http.insecure);
    assert_int_equal(f.config.http.drain_delay_ms, 1000);
    assert_string_equal(f.config.bus.listen, "127.0.0.1:7946");
    assert_string_equal(f.config.bus.advertise, "");
    assert_int_equal(f.config.log.fsync, PC_CONFIG_FSYNC_ALWAYS);
    assert_string_equal(f.config.log.fsync_text, "always");
    assert_int_equal(f.config.log.segment_bytes, 64 * 1024 * 1024);
    assert_int_equal(f.config.log.space_soft.bytes, 1 << 30);
    assert_int_equal(f.config.log.space_soft.percent, 10);
    assert_int_equal(f.config.log.space_hard.bytes, 128 << 20);
    assert_int_equal(f.config.log.space_hard.percent, 2);
    assert_int_equal(f.config.log.level, PC_LOG_INFO);
    assert_int_equal(f.config.bus.probe_interval_ms, 1000);
    assert_int_equal(f.config.raft.heartbeat_ms, 50);
    assert_int_equal(f.config.raft.election_min_ms, 500);
    assert_int_equal(f.config.raft.election_max_ms, 1000);
    assert_int_equal(f.config.limits.leader_wait_ms, 2000);
    assert_int_equal(f.config.limits.request_timeout_ms, 3000);
    assert_int_equal(f.config.limits.value_bytes, PC_VALUE_BYTES_DEFAULT);
    pc_config_destroy(&f.config);
}

static void layers__all_given__set_wins_over_environment_over_file(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, "[node]\nname = file\ndata_dir = file\n[cluster]\nname = file\n");
    char data_dir[] = "PCACHED_NODE_DATA_DIR=environment";
    char name[] = "PCACHED_NODE_NAME=environment", other[] = "OTHER_NODE_NAME=x";
    char *environment[] = {other, data_dir, name, NULL};
    f.opts.environment = environment;
    f.opts.sets[f.opts.sets_n++] = "node.name=first";
    f.opts.sets[f.opts.sets_n++] = "node.name=second";
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_string_equal(f.config.node.name, "second");
    assert_string_equal(f.config.node.data_dir, "environment");
    assert_string_equal(f.config.cluster.name, "file");
    pc_config_destroy(&f.config);
    fixture_destroy(&f);
}

static void layers__hidden_mistake_in_the_file__is_still_an_error(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, "[http]\nlisten = nowhere\n");
    f.opts.sets[f.opts.sets_n++] = "http.listen=127.0.0.1:1";
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    fixture_destroy(&f);
}

static void environment__unknown_variable__is_refused_with_the_nearest(void **state)
{
    (void)state;
    char typo[] = "PCACHED_HTTP_LISTN=127.0.0.1:1", far[] = "PCACHED_PORT=tcp://10.0.0.1:80";
    char bad[] = "PCACHED_HTTP_INSECURE=1";
    char *environments[][2] = {{typo, NULL}, {far, NULL}, {bad, NULL}};
    static const char *const expected[] = {
        "environment: unknown variable PCACHED_HTTP_LISTN; did you mean PCACHED_HTTP_LISTEN?",
        "environment: unknown variable PCACHED_PORT",
        "PCACHED_HTTP_INSECURE: http.insecure: \"1\" is neither true nor false"};
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;
        assert_int_equal(load(&f, NULL, environments[i]), PC_E_INVALID);
        assert_string_equal(f.error.text, expected[i]);
    }
}

static void set__malformed_or_unknown__is_refused(void **state)
{
    (void)state;
    assert_set_error("http.listen", "--set http.listen: not of the form section.key=value");
    assert_set_error("listen=a.b", "--set listen=a.b: not of the form section.key=value");
    assert_set_error(
        "http.lisen=x:1", "--set http.lisen=x:1: unknown key; did you mean http.listen?");
    assert_set_error("raft.heartbeat=soon", "--set: raft.heartbeat: \"soon\" is not a duration "
                                            "such as 500ms, 30s, 5m or 2h");
    assert_set_error(
        "node.data_dir=a #b", "--set: node.data_dir: \"a #b\": a # after a blank begins a comment");
    assert_set_error(
        "node.data_dir= a", "--set: node.data_dir: \" a\" begins or ends with a blank");
    assert_set_error(
        "node.data_dir=a\nb", "--set: node.data_dir: control characters are not allowed");
    assert_set_error("cluster.key=" KEY_HEX, "--set cluster.key: every user of the machine can "
                                             "read a command line: use cluster.key_file");
}

static void duration__each_unit__becomes_milliseconds(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        pc_ms ms;
    } cases[] = {{"limits.idle=100ms", 100}, {"limits.idle=7s", 7000}, {"limits.idle=3m", 180000},
        {"limits.idle=2h", 7200000}, {"limits.idle=1d", 86400000}, {"limits.idle=9 s", 9000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        const char *const sets[] = {cases[i].set, NULL};
        assert_ok(load(&f, sets, NULL));
        assert_int_equal(f.config.limits.idle_ms, cases[i].ms);
        pc_config_destroy(&f.config);
    }
    assert_set_error("limits.idle=2d", "--set: limits.idle: \"2d\" is not within 100ms and 1d");
    struct fixture f;
    const char *const zero[] = {"http.drain_delay=0", NULL};
    assert_ok(load(&f, zero, NULL));
    assert_int_equal(f.config.http.drain_delay_ms, 0);
    pc_config_destroy(&f.config);
}

static void space__share_or_size_or_both__the_other_does_not_bound(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        uint64_t bytes;
        uint32_t percent;
    } cases[] = {{"log.space_hard=5%", UINT64_MAX, 5}, {"log.space_hard=512MiB", 512 << 20, 100},
        {"log.space_hard=1MiB  7%", 1 << 20, 7}, {"log.space_hard=0", 0, 100},
        {"log.space_hard=0%", UINT64_MAX, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f;
        const char *const sets[] = {cases[i].set, NULL};
        assert_ok(load(&f, sets, NULL));
        assert_true(f.config.log.space_hard.bytes == cases[i].bytes);
        assert_int_equal(f.config.log.space_hard.percent, cases[i].percent);
        pc_config_destroy(&f.config);
    }
    static const char *const bad[] = {"", "101%", "5% 6%", "1MiB 2MiB", "some", "1 GiB",
        "10% 1GiB 1", "11111111111111111111111111111111111%"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char set[96], expected[256];
        (void)snprintf(set, sizeof set, "log.space_soft=%s", bad[i]);
        (void)snprintf(expected, sizeof expected,
            "--set: log.space_soft: \"%s\" is neither a share such as 5%%, nor a size such as"
            " 512MiB, nor both",
            bad[i]);
        assert_set_error(set, expected);
    }
}

static void http__not_loopback__needs_insecure(void **state)
{
    (void)state;
    static const char *const refused[] = {"http.listen=0.0.0.0:8001", "http.listen=[::]:8001",
        "http.listen=127.example.org:80", "http.listen=10.127.0.1:80"};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct fixture f;
        const char *const plain[] = {refused[i], NULL};
        assert_int_equal(load(&f, plain, NULL), PC_E_INVALID);
        assert_non_null(strstr(f.error.text, "add insecure = true to [http]"));
        const char *const known[] = {refused[i], "http.insecure=true", NULL};
        assert_ok(load(&f, known, NULL));
        pc_config_destroy(&f.config);
    }
    static const char *const allowed[] = {
        "http.listen=127.9.9.9:1", "http.listen=localhost:1", "http.listen=[::1]:1"};
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        struct fixture f;
        const char *const plain[] = {allowed[i], NULL};
        assert_ok(load(&f, plain, NULL));
        pc_config_destroy(&f.config);
    }
}

static void raft__timers_out_of_order__are_refused(void **state)
{
    (void)state;
    assert_set_error("raft.heartbeat=251ms",
        "the default: raft.election_min: must be at least twice raft.heartbeat");
    assert_set_error(
        "raft.election_max=500ms", "--set: raft.election_max: must be more than raft.election_min");
}

static void members__bad_lists__are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        const char *list, *expected;
    } cases[] = {
        {"a", "member \"a\": is not name=host:port"},
        {"a=h:1,,b=h:2", "member \"\": is not name=host:port"},
        {"a=h", "member \"a=h\": the address is not host:port"},
        {"a=h:0", "member \"a=h:0\": the address is not host:port"},
        {"a=h:65536", "member \"a=h:65536\": the address is not host:port"},
        {"a b=h:1", "member \"a b=h:1\": a name is 1 to 63 of A-Z a-z 0-9 . _ -"},
        {"=h:1", "member \"=h:1\": a name is 1 to 63 of A-Z a-z 0-9 . _ -"},
        {"a=h:1,b=h:2,a=h:3", "the member name \"a\" stands twice"},
        {"a=h:1,b=h:1", "a and b have the same address h:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char set[100], expected[200];
        (void)snprintf(set, sizeof set, "cluster.members=%s", cases[i].list);
        (void)snprintf(expected, sizeof expected, "--set: cluster.members: %s", cases[i].expected);
        assert_set_error(set, expected);
    }
    char many[600] = "cluster.members=";
    for (int i = 0; i <= PC_VOTERS_MAX; i++) {
        size_t used = strlen(many);
        (void)snprintf(many + used, sizeof many - used, "n%d=h:%d,", i, i + 1);
    }
    assert_set_error(many, "--set: cluster.members: more than 15 members");
}

static void members__name_of_this_node__must_be_among_them(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, THREE);
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_string_equal(f.error.text, "node.name is not set: which of cluster.members is this "
                                      "node? (--set node.name=...; members: node1 node2 node3)");
    f.opts.sets[f.opts.sets_n++] = "node.name=node4";
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_string_equal(f.error.text,
        "--set: node.name: \"node4\" is not one of cluster.members: node1 node2 node3");
    fixture_destroy(&f);
}

static void members__one_only__names_the_node(void **state)
{
    (void)state;
    struct fixture f;
    const char *const sets[] = {"cluster.members=solo=10.0.0.1:9", NULL};
    assert_ok(load(&f, sets, NULL));
    assert_string_equal(f.config.node.name, "solo");
    assert_int_equal(f.config.cluster.members_n, 1);
    pc_config_destroy(&f.config);
}

/* ---- joining a cluster that exists */
static void join__own_name_missing_among_the_members__loads(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, THREE "join = true\n");
    char name[] = "PCACHED_NODE_NAME=node4", key[] = "PCACHED_CLUSTER_KEY=" KEY_HEX;
    char *environment[] = {name, key, NULL};
    f.opts.environment = environment;
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_true(f.config.cluster.join);
    assert_string_equal(f.config.node.name, "node4");
    assert_int_equal(f.config.cluster.members_n, 3);
    assert_false(pc_config_is_alone(&f.config));
    pc_config_destroy(&f.config);
    /* The variable wins over the file, and one node to ask is enough: it is not alone with it. */
    char off[] = "PCACHED_CLUSTER_JOIN=false";
    char *overridden[] = {name, key, off, NULL};
    f.opts.environment = overridden;
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_non_null(strstr(f.error.text, "\"node4\" is not one of cluster.members"));
    f.opts.environment = environment;
    f.opts.sets[f.opts.sets_n++] = "cluster.members=node1=127.0.0.1:1";
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_int_equal(f.config.cluster.members_n, 1);
    assert_false(pc_config_is_alone(&f.config));
    pc_config_destroy(&f.config);
    fixture_destroy(&f);
}

static void join__something_missing__says_what(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4], *expected;
    } cases[] = {
        {{"cluster.join=true", "cluster.members=node1=h:1"}, "under which name"},
        {{"cluster.join=true", "node.name=node4"}, "names no other node to find the cluster by"},
        {{"cluster.join=true", "node.name=node4", "cluster.members=node4=h:1"},
            "names no other node to find the cluster by"},
        {{"cluster.join=true", "node.name=node4", "cluster.members=node1=h:1"},
            "cluster.join: cluster.key_file is not set"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f = {0};
        for (; f.opts.sets_n < 4 && cases[i].sets[f.opts.sets_n] != NULL; f.opts.sets_n++) {
            f.opts.sets[f.opts.sets_n] = cases[i].sets[f.opts.sets_n];
        }
        assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
        assert_non_null(strstr(f.error.text, cases[i].expected));
    }
}

/* ---- spares */
#define WITH_SPARES THREE "spares = spare2=127.0.0.1:6, spare1=127.0.0.1:5\n"

static void spares__beside_the_members__load_and_the_node_may_be_one(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, WITH_SPARES "dead_after = 2s\nauto_shrink = on\n"
                                   "on_quorum_loss = solo\nsolo_after = 20s\n");
    char member[] = "PCACHED_NODE_NAME=node2", spare[] = "PCACHED_NODE_NAME=spare1";
    char key[] = "PCACHED_CLUSTER_KEY=" KEY_HEX;
    for (int is_spare = 0; is_spare < 2; is_spare++) {
        char *environment[] = {is_spare ? spare : member, key, NULL};
        f.opts.environment = environment;
        assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
        assert_int_equal(f.config.cluster.members_n, 3);
        assert_int_equal(f.config.cluster.spares_n, 2);
        assert_string_equal(f.config.cluster.spares[0].name, "spare1");
        assert_string_equal(f.config.cluster.spares[1].address, "127.0.0.1:6");
        assert_int_equal(f.config.cluster.dead_after_ms, 2000);
        assert_int_equal(f.config.cluster.auto_shrink, PC_CONFIG_ON);
        assert_int_equal(f.config.cluster.on_quorum_loss, PC_CONFIG_SOLO);
        assert_int_equal(f.config.cluster.solo_after_ms, 20000);
        assert_int_equal(pc_config_is_spare(&f.config), is_spare);
        assert_false(pc_config_is_alone(&f.config));
        pc_config_destroy(&f.config);
    }
    fixture_destroy(&f);
}

static void spares__that_cannot_be__are_named(void **state)
{
    (void)state;
    static const struct {
        const char *sets[4], *expected;
    } cases[] = {
        {{"cluster.spares=s=h:1"}, "cluster.spares: cluster.members is not set"},
        {{"cluster.members=a=h:1", "cluster.spares=a=h:2"}, "a has the name of a member"},
        {{"cluster.members=a=h:1", "cluster.spares=s=h:1"}, "s has the address of a member"},
        {{"cluster.members=a=h:1", "cluster.spares=s=h:2,s=h:3"}, "\"s\" stands twice"},
        {{"cluster.members=a=h:1", "cluster.spares=s=h:2"}, "there are 2 members: make a key"},
        {{"cluster.members=a=h:1", "cluster.spares=s=h:2", "node.name=s"}, "make a key"},
        {{"cluster.auto_shrink=true"}, "\"true\" is none of off|on"},
        {{"cluster.dead_after=100ms"}, "is not within 1s and 1h"},
        {{"cluster.on_quorum_loss=go"}, "\"go\" is none of stop|solo"},
        {{"cluster.solo_after=1ms"}, "is not within 1s and 1h"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture f = {0};
        for (; f.opts.sets_n < 4 && cases[i].sets[f.opts.sets_n] != NULL; f.opts.sets_n++) {
            f.opts.sets[f.opts.sets_n] = cases[i].sets[f.opts.sets_n];
        }
        assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
        if (strstr(f.error.text, cases[i].expected) == NULL) {
            fail_msg("\"%s\" is not in \"%s\"", cases[i].expected, f.error.text);
        }
    }
}

/* ---- the key */
static pc_err load_with_key(struct fixture *f, const char *bytes, unsigned mode, char *path)
{
    (void)snprintf(path, 200, "%s/key", f->dir);
    fixture_write(path, bytes, strlen(bytes), mode);
    char set[240];
    (void)snprintf(set, sizeof set, "cluster.key_file=%s", path);
    f->opts.sets[0] = "node.name=node1";
    f->opts.sets[1] = set;
    f->opts.sets_n = 2;
    return pc_config_load(&f->opts, &f->config, &f->error);
}

static void key_file__good__is_read(void **state)
{
    (void)state;
    static const char *const forms[] = {KEY_HEX, KEY_HEX "\n", KEY_HEX "\r\n"};
    static const unsigned modes[] = {0600, 0640, 0400};
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;
        char path[200];
        fixture_create(&f, THREE);
        assert_ok(load_with_key(&f, forms[i], modes[i], path));
        assert_true(f.config.cluster.has_key);
        static const uint8_t begin[] = {0x00, 0x11, 0x22, 0x33}, end[] = {0xcc, 0xdd, 0xee, 0xff};
        assert_memory_equal(f.config.cluster.key, begin, 4);
        assert_memory_equal(f.config.cluster.key + 28, end, 4);
        assert_int_equal(f.config.cluster.members_n, 3);
        assert_string_equal(f.config.cluster.members[0].name, "node1");
        assert_string_equal(f.config.cluster.members[2].address, "[::1]:3");
        pc_config_destroy(&f.config);
        static const uint8_t zeros[32];
        assert_memory_equal(f.config.cluster.key, zeros, 32);
        fixture_destroy(&f);
    }
}

static void key_file__open_to_others__is_refused_with_the_command(void **state)
{
    (void)state;
    static const unsigned modes[] = {0644, 0604, 0602, 0620, 0660};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct fixture f;
        char path[200], command[240], mode[20];
        fixture_create(&f, THREE);
        assert_int_equal(load_with_key(&f, KEY_HEX "\n", modes[i], path), PC_E_INVALID);
        (void)snprintf(command, sizeof command, "run: chmod 600 %s", path);
        (void)snprintf(mode, sizeof mode, "(mode %04o)", modes[i]);
        assert_non_null(strstr(f.error.text, command));
        assert_non_null(strstr(f.error.text, mode));
        fixture_destroy(&f);
    }
}

static void key_file__bad_content__is_refused_without_showing_it(void **state)
{
    (void)state;
    static const char *const contents[] = {"", "\n", "0011", KEY_HEX "0", KEY_HEX "\n\n" KEY_HEX,
        "g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"};
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        struct fixture f;
        char path[200];
        fixture_create(&f, THREE);
        assert_int_equal(load_with_key(&f, contents[i], 0600, path), PC_E_INVALID);
        assert_non_null(strstr(f.error.text, "not one line of 64 hex digits"));
        assert_null(strstr(f.error.text, "0112233"));
        fixture_destroy(&f);
    }
}

static void key__missing_with_three_members__is_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, THREE);
    f.opts.sets[f.opts.sets_n++] = "node.name=node1";
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_non_null(strstr(f.error.text, "cluster.key_file is not set, and there are 3 members"));
    f.opts.sets[f.opts.sets_n++] = "cluster.key_file=/nonexistent/key";
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_string_equal(
        f.error.text, "--set: key file /nonexistent/key: No such file or directory");
    fixture_destroy(&f);
}

static void key__from_the_environment__is_text_or_file(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, THREE);
    char name[] = "PCACHED_NODE_NAME=node2", text[] = "PCACHED_CLUSTER_KEY=" KEY_HEX;
    char path[180], file[240];
    (void)snprintf(path, sizeof path, "%s/key", f.dir);
    (void)snprintf(file, sizeof file, "PCACHED_CLUSTER_KEY_FILE=%s", path);
    fixture_write(path, KEY_HEX, 64, 0600);
    char *with_text[] = {name, text, NULL}, *with_file[] = {name, file, NULL};
    char *with_both[] = {name, text, file, NULL};
    f.opts.environment = with_text;
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_true(f.config.cluster.has_key);
    assert_int_equal(f.config.cluster.key[1], 0x11);
    pc_config_destroy(&f.config);
    f.opts.environment = with_file;
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_true(f.config.cluster.has_key);
    pc_config_destroy(&f.config);
    f.opts.environment = with_both;
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_non_null(strstr(f.error.text, "give one"));
    fixture_destroy(&f);
}

/* ---- the sample serves every node */
static void sample__each_node__loads(void **state)
{
    (void)state;
    static const char *const names[] = {"node.name=node1", "node.name=node2", "node.name=node3"};
    for (size_t i = 0; i < 3; i++) {
        struct fixture f;
        fixture_create(&f, "");
        char key[180], set[240];
        (void)snprintf(key, sizeof key, "%s/key", f.dir);
        fixture_write(key, KEY_HEX "\n", 65, 0600);
        (void)snprintf(set, sizeof set, "cluster.key_file=%s", key);
        f.opts.file = "cluster.ini.sample";
        f.opts.sets[0] = names[i];
        f.opts.sets[1] = set;
        f.opts.sets_n = 2;
        assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
        assert_int_equal(f.config.cluster.members_n, 3);
        pc_config_destroy(&f.config);
        fixture_destroy(&f);
    }
}

static const struct CMUnitTest tests[] = {
    PC_TEST(config__nothing_given__has_the_documented_defaults),
    PC_TEST(layers__all_given__set_wins_over_environment_over_file),
    PC_TEST(layers__hidden_mistake_in_the_file__is_still_an_error),
    PC_TEST(environment__unknown_variable__is_refused_with_the_nearest),
    PC_TEST(set__malformed_or_unknown__is_refused),
    PC_TEST(duration__each_unit__becomes_milliseconds),
    PC_TEST(space__share_or_size_or_both__the_other_does_not_bound),
    PC_TEST(http__not_loopback__needs_insecure),
    PC_TEST(raft__timers_out_of_order__are_refused),
    PC_TEST(members__bad_lists__are_refused_by_name),
    PC_TEST(members__name_of_this_node__must_be_among_them),
    PC_TEST(members__one_only__names_the_node),
    PC_TEST(join__own_name_missing_among_the_members__loads),
    PC_TEST(join__something_missing__says_what),
    PC_TEST(spares__beside_the_members__load_and_the_node_may_be_one),
    PC_TEST(spares__that_cannot_be__are_named),
    PC_TEST(key_file__good__is_read),
    PC_TEST(key_file__open_to_others__is_refused_with_the_command),
    PC_TEST(key_file__bad_content__is_refused_without_showing_it),
    PC_TEST(key__missing_with_three_members__is_refused),
    PC_TEST(key__from_the_environment__is_text_or_file),
    PC_TEST(sample__each_node__loads),
};
PC_TEST_MAIN("config", tests)
