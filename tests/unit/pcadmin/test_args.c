#include "support/test.h"

#include <string.h>

#include "pcadmin/pcadmin_int.h"

static pc_err parse(
    char *const *argv, const char *environment, struct args *args, struct pc_error *error)
{
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    memset(args, 0, sizeof *args);
    return args_parse(argc, argv, environment, commands, args, error);
}

static void options__before_and_after_the_noun__mean_the_same(void **state)
{
    (void)state;
    static char *const lines[][12] = {
        {"pcadmin", "-e", "a:1,b:2", "-o", "json", "--ttl", "5s", "put", "k", "v", NULL},
        {"pcadmin", "put", "k", "v", "-ea:1,b:2", "--output=json", "--ttl=5s", NULL},
        {"pcadmin", "--endpoints=a:1,b:2", "put", "--ttl", "5s", "k", "-ojson", "v", NULL}};
    for (size_t i = 0; i < 3; i++) {
        struct args args;
        struct pc_error error;
        assert_ok(parse(lines[i], "c:3", &args, &error));
        assert_ptr_equal(args.command->run, run_put);
        assert_int_equal(args.endpoints_n, 2);
        assert_string_equal(args.endpoints[1], "b:2");
        assert_int_equal(args.form, OUTPUT_JSON);
        assert_string_equal(args.positionals[0], "k");
        assert_string_equal(args.positionals[1], "v");
        assert_string_equal(args.ttl, "5s");
    }
}

static void conditions__of_a_write__become_a_header_field(void **state)
{
    (void)state;
    static const struct {
        char *line[8];
        const char *field;
    } cases[] = {
        {{"pcadmin", "put", "k", "v", "--if-version", "88213", NULL}, "If-Match: \"88213\""},
        {{"pcadmin", "put", "k", "v", "--if-absent", NULL}, "If-None-Match: *"},
        {{"pcadmin", "del", "k", "--if-version=7", NULL}, "If-Match: \"7\""},
        {{"pcadmin", "put", "k", "v", NULL}, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct args args;
        struct pc_error error;
        assert_ok(parse(cases[i].line, NULL, &args, &error));
        assert_string_equal(args.condition, cases[i].field);
    }
}

static void settings__of_a_recovery__are_kept_in_order(void **state)
{
    (void)state;
    static char *const line[] = {"pcadmin", "cluster", "recover", "-c", "a.ini", "--set", "a.b=1",
        "--set=c.d=2", "--accept-data-loss", NULL};
    static char *const elsewhere[] = {"pcadmin", "status", "--accept-data-loss", NULL};
    struct args args;
    struct pc_error error;
    assert_ok(parse(line, NULL, &args, &error));
    assert_ptr_equal(args.command->run, run_cluster_recover);
    assert_true(args.accept_data_loss);
    assert_string_equal(args.config, "a.ini");
    assert_int_equal(args.sets_n, 2);
    assert_string_equal(args.sets[0], "a.b=1");
    assert_string_equal(args.sets[1], "c.d=2");
    assert_int_equal(parse(elsewhere, NULL, &args, &error), PC_E_INVALID);
    char *many[4 + 2 * (SETS_MAX + 1)] = {"pcadmin", "cluster", "recover"};
    for (size_t i = 0; i <= SETS_MAX; i++) {
        many[3 + 2 * i] = "--set";
        many[4 + 2 * i] = "a.b=1";
    }
    assert_int_equal(parse(many, NULL, &args, &error), PC_E_INVALID);
}

static void endpoints__not_given__come_from_the_environment_or_the_default(void **state)
{
    (void)state;
    char *argv[] = {"pcadmin", "status", NULL};
    struct args args;
    struct pc_error error;
    assert_ok(parse(argv, "x:1,y:2,z:3", &args, &error));
    assert_int_equal(args.endpoints_n, 3);
    assert_string_equal(args.endpoints[2], "z:3");
    assert_ok(parse(argv, "", &args, &error));
    assert_int_equal(args.endpoints_n, 1);
    assert_string_equal(args.endpoints[0], "127.0.0.1:8001");
    assert_int_equal(parse(argv, "x", &args, &error), PC_E_INVALID);
    assert_string_equal(error.text, "PCADMIN_ENDPOINTS: endpoint \"x\" is not host:port");
}

static void verb__of_a_noun__is_found_or_is_a_positional(void **state)
{
    (void)state;
    struct args args;
    struct pc_error error;
    char *transfer[] = {"pcadmin", "leader", "transfer", "node2", NULL};
    assert_ok(parse(transfer, NULL, &args, &error));
    assert_ptr_equal(args.command->run, run_leader_transfer);
    assert_string_equal(args.positionals[0], "node2");
    char *bare[] = {"pcadmin", "leader", NULL};
    assert_ok(parse(bare, NULL, &args, &error));
    assert_ptr_equal(args.command->run, run_leader_show);
    char *key[] = {"pcadmin", "get", "transfer", NULL};
    assert_ok(parse(key, NULL, &args, &error));
    assert_string_equal(args.positionals[0], "transfer");
    char *dashes[] = {"pcadmin", "put", "--", "-k", "--ttl", NULL};
    assert_ok(parse(dashes, NULL, &args, &error));
    assert_string_equal(args.positionals[0], "-k");
    assert_string_equal(args.positionals[1], "--ttl");
    char *input[] = {"pcadmin", "put", "k", "-", NULL};
    assert_ok(parse(input, NULL, &args, &error));
    assert_string_equal(args.positionals[1], "-");
}

static void member__add_with_a_role__takes_known_ones_only(void **state)
{
    (void)state;
    struct args args;
    struct pc_error error;
    char *plain[] = {"pcadmin", "member", "add", "node4", NULL};
    assert_ok(parse(plain, NULL, &args, &error));
    assert_ptr_equal(args.command->run, run_member_add);
    assert_string_equal(args.positionals[0], "node4");
    assert_null(args.role);
    char *replica[] = {"pcadmin", "member", "add", "--role=replica", "node4", NULL};
    assert_ok(parse(replica, NULL, &args, &error));
    assert_string_equal(args.role, "replica");
    char *odd[] = {"pcadmin", "member", "add", "node4", "--role", "king", NULL};
    assert_int_equal(parse(odd, NULL, &args, &error), PC_E_INVALID);
    assert_string_equal(error.text, "role \"king\" is none of voter, replica, spare");
    char *elsewhere[] = {"pcadmin", "member", "promote", "node4", "--role", "voter", NULL};
    assert_int_equal(parse(elsewhere, NULL, &args, &error), PC_E_INVALID);
    char *nobody[] = {"pcadmin", "member", "remove", NULL};
    assert_int_equal(parse(nobody, NULL, &args, &error), PC_E_INVALID);
    assert_string_equal(error.text, "usage: pcadmin member remove NAME");
}

static void mistakes__each_kind__is_a_usage_error_with_a_reason(void **state)
{
    (void)state;
    static const struct {
        char *argv[8];
        const char *expected;
    } cases[] = {
        {{"pcadmin", NULL}, "what is to be done? (try: pcadmin help)"},
        {{"pcadmin", "statsu", NULL}, "unknown command \"statsu\""},
        {{"pcadmin", "key", NULL}, "key needs a verb (try: pcadmin key --help)"},
        {{"pcadmin", "get", NULL}, "usage: pcadmin get KEY"},
        {{"pcadmin", "del", "a", "b", NULL}, "usage: pcadmin del KEY"},
        {{"pcadmin", "put", "a", "b", "c", "d", NULL}, "too many arguments: d"},
        {{"pcadmin", "status", "-x", NULL}, "unknown option -x"},
        {{"pcadmin", "status", "--outputs=json", NULL}, "unknown option --outputs=json"},
        {{"pcadmin", "status", "-o", NULL}, "--output needs a value: table|json|fields"},
        {{"pcadmin", "status", "-o", "xml", NULL}, "output \"xml\" is none of table, json, fields"},
        {{"pcadmin", "get", "k", "--local=1", NULL}, "--local takes no value"},
        {{"pcadmin", "get", "k", "--ttl", "1s", NULL}, "--ttl does not apply to get"},
        {{"pcadmin", "put", "k", "v", "--ttl", "1s&x", NULL},
            "ttl \"1s&x\" is not a duration such as 500ms, 30s, 5m or 2h"},
        {{"pcadmin", "put", "k", "v", "--if-version", "\"7\"", NULL},
            "version \"\"7\"\" is not a number as get and put print it"},
        {{"pcadmin", "put", "k", "v", "--if-version", "0", NULL},
            "version \"0\" is not a number as get and put print it"},
        {{"pcadmin", "put", "k", "--if-version", "7", "--if-absent", NULL},
            "give one of --if-version and --if-absent, once"},
        {{"pcadmin", "del", "k", "--if-absent", NULL}, "--if-absent does not apply to del"},
        {{"pcadmin", "status", "-t", "5", NULL},
            "timeout \"5\" is not a duration such as 500ms or 10s"},
        {{"pcadmin", "status", "-t", "0s", NULL},
            "timeout \"0s\" is not a duration such as 500ms or 10s"},
        {{"pcadmin", "status", "-e", "a:1,,b:2", NULL}, "endpoint \"\" is not host:port"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct args args;
        struct pc_error error;
        assert_int_equal(parse(cases[i].argv, NULL, &args, &error), PC_E_INVALID);
        assert_string_equal(error.text, cases[i].expected);
    }
}

static void help__of_a_noun_without_verb__needs_nothing_else(void **state)
{
    (void)state;
    char *argv[] = {"pcadmin", "key", "-h", NULL};
    struct args args;
    struct pc_error error;
    assert_ok(parse(argv, NULL, &args, &error));
    assert_true(args.help);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(options__before_and_after_the_noun__mean_the_same),
    PC_TEST(conditions__of_a_write__become_a_header_field),
    PC_TEST(settings__of_a_recovery__are_kept_in_order),
    PC_TEST(endpoints__not_given__come_from_the_environment_or_the_default),
    PC_TEST(verb__of_a_noun__is_found_or_is_a_positional),
    PC_TEST(member__add_with_a_role__takes_known_ones_only),
    PC_TEST(mistakes__each_kind__is_a_usage_error_with_a_reason),
    PC_TEST(help__of_a_noun_without_verb__needs_nothing_else),
};
PC_TEST_MAIN("args", tests)
