#include "config_fixture.h"

#include <fcntl.h>
#include <unistd.h>

static pc_err parse(char *const *argv, struct pc_cli *cli, struct pc_error *error)
{
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    return pc_cli_parse(argc, argv, cli, error);
}

static void cli__options__are_taken_in_both_forms(void **state)
{
    (void)state;
    char *argv[] = {"pcached", "-c", "a.ini", "--set", "node.name=x", "--set=log.level=warn",
        "--check-config", "--accept-data-loss", NULL};
    struct pc_cli cli;
    struct pc_error error;
    assert_ok(parse(argv, &cli, &error));
    assert_string_equal(cli.config.file, "a.ini");
    assert_int_equal(cli.config.sets_n, 2);
    assert_string_equal(cli.config.sets[0], "node.name=x");
    assert_string_equal(cli.config.sets[1], "log.level=warn");
    assert_int_equal(cli.action, PC_CLI_CHECK_CONFIG);
    assert_true(cli.accept_data_loss);
    char *none[] = {"pcached", NULL};
    assert_ok(parse(none, &cli, &error));
    assert_int_equal(cli.action, PC_CLI_RUN);
    assert_false(cli.accept_data_loss);
    assert_null(cli.config.file);
}

static void cli__mistakes__are_usage_errors(void **state)
{
    (void)state;
    char *cases[][5] = {{"pcached", "-x", NULL}, {"pcached", "cluster.ini", NULL},
        {"pcached", "-c", NULL}, {"pcached", "--set", NULL}, {"pcached", "--sets=a.b=c", NULL},
        {"pcached", "-c", "a", "--config=b", NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_cli cli;
        struct pc_error error;
        assert_int_equal(parse(cases[i], &cli, &error), PC_E_INVALID);
    }
    char *argv[PC_CONFIG_SETS_MAX + 3] = {"pcached"};
    for (size_t i = 0; i <= PC_CONFIG_SETS_MAX; i++) {
        argv[i + 1] = "--set=node.name=x";
    }
    struct pc_cli cli;
    struct pc_error error;
    assert_int_equal(parse(argv, &cli, &error), PC_E_INVALID);
}

/* Calls pc_cli_start with both outputs going to /dev/null; messages are tested elsewhere. */
static bool start(char **argv, struct pc_config *config, int *status)
{
    int argc = 0;
    while (argv[argc] != NULL) {
        argc++;
    }
    assert_int_equal(fflush(stdout), 0);
    int null = open("/dev/null", O_WRONLY), out = dup(1), err = dup(2);
    assert_true(null >= 0 && out >= 0 && err >= 0);
    assert_int_equal(dup2(null, 1), 1);
    assert_int_equal(dup2(null, 2), 2);
    bool runs = pc_cli_start(argc, argv, NULL, config, status);
    (void)fflush(stdout);
    assert_int_equal(dup2(out, 1), 1);
    assert_int_equal(dup2(err, 2), 2);
    (void)close(null);
    (void)close(out);
    (void)close(err);
    return runs;
}

static void start__each_outcome__has_its_exit_status(void **state)
{
    (void)state;
    static const struct {
        char *argv[4];
        int status;
    } cases[] = {
        {{"pcached", "--version", NULL}, 0},
        {{"pcached", "--help", NULL}, 0},
        {{"pcached", "--check-config", NULL}, 0},
        {{"pcached", "--print-config", NULL}, 0},
        {{"pcached", "--nonsense", NULL}, PC_EXIT_USAGE},
        {{"pcached", "--set=a.b=c", NULL}, PC_EXIT_CONFIG},
        {{"pcached", "--set=http.listen=0.0.0.0:1", NULL}, PC_EXIT_CONFIG},
        {{"pcached", "-c", "/nonexistent", NULL}, PC_EXIT_CONFIG},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pc_config config;
        int status = -1;
        char *argv[4];
        memcpy(argv, cases[i].argv, sizeof argv);
        assert_false(start(argv, &config, &status));
        assert_int_equal(status, cases[i].status);
    }
}

static void start__good_settings__hands_them_over(void **state)
{
    (void)state;
    struct pc_config config;
    int status = -1;
    char *argv[] = {"pcached", "--set=node.name=me", NULL};
    assert_true(start(argv, &config, &status));
    assert_string_equal(config.node.name, "me");
    pc_config_destroy(&config);
}

static const struct CMUnitTest tests[] = {
    PC_TEST(cli__options__are_taken_in_both_forms),
    PC_TEST(cli__mistakes__are_usage_errors),
    PC_TEST(start__each_outcome__has_its_exit_status),
    PC_TEST(start__good_settings__hands_them_over),
};
PC_TEST_MAIN("cli", tests)
