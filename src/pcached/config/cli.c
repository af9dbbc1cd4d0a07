/* The command line of pcached. */
#include "config_int.h"

#include <string.h>

#include "pcache/protocol.h"

static pc_err usage_error(const char *option, const char *text, struct pc_error *error)
{
    return pc_error_set(error, PC_E_INVALID, "%.80s: %s", option, text);
}

/* `--name VALUE` or `--name=VALUE`; `short_name` (or NULL) VALUE. Returns whether argv[*i] is this
 * option; *value is NULL when its value is missing. Moves *i to the last argument used. */
static bool take_value(int argc, char *const *argv, int *i, const char *name,
    const char *short_name, const char **value)
{
    const char *argument = argv[*i];
    size_t len = strlen(name);
    if (strncmp(argument, name, len) == 0 && argument[len] == '=') {
        *value = argument + len + 1;
        return true;
    }
    if (strcmp(argument, name) == 0 || (short_name != NULL && strcmp(argument, short_name) == 0)) {
        *value = *i + 1 < argc ? argv[++*i] : NULL;
        return true;
    }
    return false;
}

static bool take_action(const char *argument, enum pc_cli_action *action)
{
    static const struct {
        const char *text;
        enum pc_cli_action action;
    } actions[] = {
        {"--check-config", PC_CLI_CHECK_CONFIG},
        {"--print-config", PC_CLI_PRINT_CONFIG},
        {"--version", PC_CLI_VERSION},
        {"-V", PC_CLI_VERSION},
        {"--help", PC_CLI_HELP},
        {"-h", PC_CLI_HELP},
    };
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(argument, actions[i].text) == 0) {
            *action = actions[i].action;
            return true;
        }
    }
    return false;
}

static pc_err parse_argument(
    int argc, char *const *argv, int *i, struct pc_cli *cli, struct pc_error *error)
{
    const char *option = argv[*i], *value = NULL;
    if (take_action(option, &cli->action)) {
        return PC_OK;
    }
    if (strcmp(option, "--accept-data-loss") == 0) {
        cli->accept_data_loss = true;
        return PC_OK;
    }
    if (take_value(argc, argv, i, "--config", "-c", &value)) {
        if (value == NULL) {
            return usage_error(option, "needs a file", error);
        }
        if (cli->config.file != NULL) {
            return usage_error(option, "given twice", error);
        }
        cli->config.file = value;
        return PC_OK;
    }
    if (take_value(argc, argv, i, "--set", NULL, &value)) {
        if (value == NULL) {
            return usage_error(option, "needs section.key=value", error);
        }
        if (cli->config.sets_n == PC_CONFIG_SETS_MAX) {
            return usage_error(option, "given too often", error);
        }
        cli->config.sets[cli->config.sets_n++] = value;
        return PC_OK;
    }
    return usage_error(option, "unknown option (try --help)", error);
}

pc_err pc_cli_parse(int argc, char *const *argv, struct pc_cli *out, struct pc_error *error)
{
    struct pc_cli cli = {.action = PC_CLI_RUN};
    for (int i = 1; i < argc; i++) {
        pc_err err = parse_argument(argc, argv, &i, &cli, error);
        if (err != PC_OK) {
            return err;
        }
    }
    *out = cli;
    return PC_OK;
}

static void print_help(void)
{
    printf("usage: pcached [-c FILE] [--set SECTION.KEY=VALUE]... [--accept-data-loss]\n"
           "               [--check-config | --print-config | --version | --help]\n"
           "\n"
           "One node of a pcache cluster, in the foreground; logs to standard error.\n"
           "\n"
           "  -c, --config FILE         settings (see cluster.ini.sample)\n"
           "  --set SECTION.KEY=VALUE   one setting; wins over everything else\n"
           "  --accept-data-loss        a node that is its cluster alone: cut a damaged log where\n"
           "                            the damage begins, and go on without what comes behind;\n"
           "                            of a damaged snapshot use what can be read\n"
           "  --check-config            say whether the settings are good, and exit\n"
           "  --print-config            print the settings in force and where they come from\n"
           "  -V, --version             print the version\n"
           "  -h, --help                print this\n"
           "\n"
           "--set wins over the environment (PCACHED_<SECTION>_<KEY>), which wins over the file,\n"
           "which wins over the defaults. Exit statuses: 0, 64 usage, 65 damaged data, 74 disk,\n"
           "75 in use by another process, 78 bad settings.\n"
           "\n");
    pc_config_print_keys(stdout);
}

static void print_checked(const struct pc_config *config)
{
    printf("the settings are good: %s, %s %zu member%s of cluster %s\n", config->node.name,
        pc_config_is_spare(config) ? "a spare of the" : "one of", config->cluster.members_n,
        config->cluster.members_n == 1 ? "" : "s", config->cluster.name);
}

/* Acts on an action that needs no settings. */
static bool act_without_config(enum pc_cli_action action)
{
    if (action == PC_CLI_HELP) {
        print_help();
    } else if (action == PC_CLI_VERSION) {
        struct pc_protocols spoken = pc_protocols_spoken();
        printf(
            "pcached %s (%s), protocol %u to %u\n", PC_VERSION, PC_COMMIT, spoken.min, spoken.max);
    } else {
        return false;
    }
    return true;
}

bool pc_cli_start(
    int argc, char *const *argv, char *const *environment, struct pc_config *out, int *status)
{
    struct pc_cli cli;
    struct pc_error error;
    if (pc_cli_parse(argc, argv, &cli, &error) != PC_OK) {
        fprintf(stderr, "pcached: %s\n", error.text);
        *status = PC_EXIT_USAGE;
        return false;
    }
    *status = 0;
    if (act_without_config(cli.action)) {
        return false;
    }
    cli.config.environment = environment;
    if (pc_config_load(&cli.config, out, &error) != PC_OK) {
        fprintf(stderr, "pcached: %s\n", error.text);
        *status = PC_EXIT_CONFIG;
        return false;
    }
    if (cli.action == PC_CLI_RUN) {
        out->accept_data_loss = cli.accept_data_loss;
        return true;
    }
    if (cli.action == PC_CLI_CHECK_CONFIG) {
        print_checked(out);
    } else {
        pc_config_print(out, stdout);
    }
    pc_config_destroy(out);
    return false;
}
