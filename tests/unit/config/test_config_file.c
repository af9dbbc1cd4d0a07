#include "config_fixture.h"

#include "pcache/prng.h"

static void file__keys_in_sections__are_read(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, "\xef\xbb\xbf# a comment\r\n[node]\r\nname=a.b-c_9\r\n"
                       "data_dir = /var/lib/a;b c#d ; comment\n"
                       "\n; another\n  [log]\n  level = warn # why\n  format=json\n"
                       "[node]\n[http]\nlisten = localhost:0\ninsecure = false\n"
                       "[limits]\nvalue_bytes = 2 MiB\nidle=0d12\n");
    /* 0d12 is no duration: the message proves that reading came to the last line. */
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_non_null(strstr(f.error.text, "c.ini:16: limits.idle: \"0d12\" is not a duration"));
    f.opts.sets[f.opts.sets_n++] = "limits.idle=1d";
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    fixture_destroy(&f);
    fixture_create(&f, "\xef\xbb\xbf# a comment\r\n[node]\r\nname=a.b-c_9\r\n"
                       "data_dir = /var/lib/a;b c#d ; comment\n"
                       "\n; another\n  [log]\n  level = warn # why\n  format=json\n"
                       "[node]\n[http]\nlisten = localhost:0\n[limits]\nvalue_bytes = 2 MiB");
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_string_equal(f.config.node.name, "a.b-c_9");
    assert_string_equal(f.config.node.data_dir, "/var/lib/a;b c#d");
    assert_int_equal(f.config.log.level, PC_LOG_WARN);
    assert_int_equal(f.config.log.format, PC_LOG_JSON);
    assert_string_equal(f.config.http.listen, "localhost:0");
    assert_int_equal(f.config.limits.value_bytes, 2 * 1024 * 1024);
    pc_config_destroy(&f.config);
    fixture_destroy(&f);
}

static void file__mistakes__are_named_with_line_and_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"[http]\nlistn = 127.0.0.1:1\n",
            "c.ini:2: unknown key \"listn\" in [http]; did you mean http.listen?"},
        {"[node]\nlisten = x\n",
            "c.ini:2: unknown key \"listen\" in [node]; did you mean http.listen?"},
        {"\n\n[limits]\nvaluebytes = 1\n",
            "c.ini:4: unknown key \"valuebytes\" in [limits]; did you mean limits.value_bytes?"},
        {"[node]\nzzzzzzzzzz = 1\n", "c.ini:2: unknown key \"zzzzzzzzzz\" in [node]"},
        {"[nod]\n", "c.ini:1: unknown section [nod]; did you mean [node]?"},
        {"[elephants]\nname = x\n", "c.ini:1: unknown section [elephants]"},
        {"name = x\n", "c.ini:1: a key before the first [section]"},
        {"[node]\nname\n", "c.ini:2: neither [section] nor key = value"},
        {"[node\nname = x\n", "c.ini:1: the section has no closing bracket"},
        {"[node] name = x\n", "c.ini:1: text behind the section's closing bracket"},
        {"[http]\ninsecure = yes\n", "c.ini:2: http.insecure: \"yes\" is neither true nor false"},
        {"[log]\nfsync = never\n", "c.ini:2: log.fsync: \"never\" is none of always|interval|os"},
        {"[log]\nsegment_bytes = 1KiB\n",
            "c.ini:2: log.segment_bytes: \"1KiB\" is not within 64KiB and 1GiB"},
        {"[raft]\nheartbeat = 50\n", "c.ini:2: raft.heartbeat: \"50\" is not a duration such as "
                                     "500ms, 30s, 5m or 2h"},
        {"[limits]\nheaders = -1\n", "c.ini:2: limits.headers: \"-1\" is not a whole number"},
        {"[limits]\nheaders = 18446744073709551616\n",
            "c.ini:2: limits.headers: \"18446744073709551616\" is not a whole number"},
        {"[limits]\nvalue_bytes = 18014398509481985KiB\n",
            "c.ini:2: limits.value_bytes: \"18014398509481985KiB\" is not a size such as 65536, "
            "64KiB or 1MiB"},
        {"[bus]\nlisten = ::1\n",
            "c.ini:2: bus.listen: \"::1\" is not host:port (an IPv6 host in brackets)"},
        {"[node]\nname = a b\n",
            "c.ini:2: node.name: \"a b\" is not a name: 1 to 63 of A-Z a-z 0-9 . _ -"},
        {"[node]\ndata_dir =\n", "c.ini:2: node.data_dir: must not be empty"},
        {"[cluster]\nkey = " KEY_HEX "\n",
            "c.ini:2: a secret does not belong here: use cluster.key_file"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_file_error(cases[i].text, cases[i].expected);
    }
}

static void file__same_key_twice__names_both_lines(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, "[node]\nname = a\n[log]\n[node]\nname = b\n");
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_non_null(strstr(f.error.text, "c.ini:5: node.name is already set in "));
    assert_non_null(strstr(f.error.text, "c.ini:2"));
    fixture_destroy(&f);
}

static void file__nul_byte_or_missing_file__is_an_error(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, "");
    fixture_write(f.file, "[node]\nname = a\0b\n", 18, 0600);
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_non_null(strstr(f.error.text, "c.ini:2: a NUL byte"));
    f.opts.file = "/nonexistent/c.ini";
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    assert_string_equal(f.error.text, "/nonexistent/c.ini: No such file or directory");
    f.opts.file = f.dir;
    assert_int_equal(pc_config_load(&f.opts, &f.config, &f.error), PC_E_INVALID);
    fixture_destroy(&f);
}

/* 15 members with host names of 240 bytes: a line of 4,000 bytes, twenty times what inih takes. */
static void members__line_of_4000_bytes__keeps_every_byte(void **state)
{
    (void)state;
    static const char *const separators[] = {",", ", ", " ,  ", ",\n    "};
    for (size_t s = 0; s < sizeof separators / sizeof separators[0]; s++) {
        char text[6000] = "[node]\nname = m03\n[cluster]\nmembers = ";
        char host[241];
        for (size_t i = 0; i < sizeof host - 1; i++) {
            host[i] = (char)('a' + i % 26);
        }
        host[sizeof host - 1] = '\0';
        for (int i = 0; i < PC_VOTERS_MAX; i++) {
            size_t used = strlen(text);
            (void)snprintf(text + used, sizeof text - used, "%sm%02d=%s:%d",
                i > 0 ? separators[s] : "", i, host, 1000 + i);
        }
        assert_true(strlen(text) > 3700);
        struct fixture f;
        fixture_create(&f, text);
        fixture_write(f.file, text, strlen(text), 0600);
        char key_file[180], set[220];
        (void)snprintf(key_file, sizeof key_file, "%s/key", f.dir);
        fixture_write(key_file, KEY_HEX "\n", 65, 0600);
        (void)snprintf(set, sizeof set, "cluster.key_file=%s", key_file);
        f.opts.sets[f.opts.sets_n++] = set;
        assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
        assert_int_equal(f.config.cluster.members_n, PC_VOTERS_MAX);
        for (int i = 0; i < PC_VOTERS_MAX; i++) {
            char address[300];
            (void)snprintf(address, sizeof address, "%s:%d", host, 1000 + i);
            assert_string_equal(f.config.cluster.members[i].address, address);
        }
        pc_config_destroy(&f.config);
        fixture_destroy(&f);
    }
}

/* Lines of every length around the places where they are cut, with blanks and comment signs in
 * awkward places, come back byte for byte. */
static void value__any_length_and_content__comes_back_unchanged(void **state)
{
    (void)state;
    struct pc_prng prng;
    pc_prng_seed(&prng, 7);
    static const char alphabet[] = "ab;c#d =:[]e/";
    size_t k = config_key_find(pc_slice_str("node"), pc_slice_str("data_dir"));
    for (size_t len = 1; len <= 900; len += len < 160 || (len > 230 && len < 360) ? 7 : 1) {
        char value[1024], text[1200];
        for (size_t i = 0; i < len; i++) {
            value[i] = alphabet[pc_prng_below(&prng, sizeof alphabet - 1)];
            bool blank_before = i == 0 || value[i - 1] == ' ';
            if (blank_before && (value[i] == ';' || value[i] == '#' || value[i] == ' ')) {
                value[i] = 'x';
            }
        }
        if (value[len - 1] == ' ') {
            value[len - 1] = 'y';
        }
        value[len] = '\0';
        int used = snprintf(text, sizeof text, "[node]\ndata_dir = %s\n", value);
        struct pc_config_values *values = pc_xalloc(sizeof *values);
        struct pc_error error;
        assert_ok(config_file_parse(values, "t", pc_slice_of(text, (size_t)used), &error));
        assert_string_equal(values->v[k].text, value);
        assert_string_equal(values->v[k].origin, "t:2");
        config_values_delete(values);
    }
}

/* An indented line is a line of its own unless the value before ends with a comma. */
static void indented_line__after_a_complete_value__is_its_own_key(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f, "[node]\n  name = a\n  data_dir = d\n[cluster]\n  members = a=h:1, ; one\n"
                       "# between\n\n  \n\n");
    assert_ok(pc_config_load(&f.opts, &f.config, &f.error));
    assert_string_equal(f.config.node.name, "a");
    assert_string_equal(f.config.node.data_dir, "d");
    assert_int_equal(f.config.cluster.members_n, 1);
    pc_config_destroy(&f.config);
    fixture_destroy(&f);
}

/* Bytes from a file never end the process: damaged copies of a real file load or are refused. */
static void file__random_damage__is_refused_or_read(void **state)
{
    (void)state;
    FILE *file = fopen("cluster.ini.sample", "rb");
    assert_non_null(file);
    char sample[8192];
    size_t len = fread(sample, 1, sizeof sample, file);
    assert_int_equal(fclose(file), 0);
    assert_true(len > 1000 && len < sizeof sample);
    struct pc_prng prng;
    pc_prng_seed(&prng, 99);
    unsigned refused = 0;
    for (int round = 0; round < 1500; round++) {
        char text[sizeof sample];
        memcpy(text, sample, len);
        for (uint64_t n = pc_prng_between(&prng, 1, 40); n > 0; n--) {
            static const char bytes[] = "\n\n\n=[]#; \t,x\0\xff";
            text[pc_prng_below(&prng, len)] = bytes[pc_prng_below(&prng, sizeof bytes - 1)];
        }
        struct pc_config_values *values = pc_xalloc(sizeof *values);
        struct pc_error error = {0};
        if (config_file_parse(values, "t", pc_slice_of(text, len), &error) != PC_OK) {
            refused++;
            assert_memory_equal(error.text, "t:", 2);
        }
        config_values_delete(values);
    }
    assert_in_range(refused, 100, 1499);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(file__keys_in_sections__are_read),
    PC_TEST(file__mistakes__are_named_with_line_and_remedy),
    PC_TEST(file__same_key_twice__names_both_lines),
    PC_TEST(file__nul_byte_or_missing_file__is_an_error),
    PC_TEST(members__line_of_4000_bytes__keeps_every_byte),
    PC_TEST(value__any_length_and_content__comes_back_unchanged),
    PC_TEST(indented_line__after_a_complete_value__is_its_own_key),
    PC_TEST(file__random_damage__is_refused_or_read),
};
PC_TEST_MAIN("config_file", tests)
