/* Words are taken from left to right: an option wherever it stands, otherwise the noun, the verb
 * (when a command of that noun has this one), then the positionals. `--` ends the options. */
#include "args.h"

#include <stdlib.h>
#include <string.h>

struct option {
    const char *name;  /* long, without dashes */
    char letter;       /* 0: none */
    const char *value; /* for usage; NULL: a switch */
    bool general;      /* applies to every command */
    const char *help;
    pc_err (*take)(struct args *args, const char *value, struct pc_error *error);
};

/* ---- what the options do */
static pc_err take_endpoints(struct args *args, const char *list, struct pc_error *error)
{
    args->endpoints_n = 0;
    while (true) {
        size_t len = strcspn(list, ",");
        const char *colon = len > 0 ? memchr(list, ':', len) : NULL;
        if (colon == NULL || len > ENDPOINT_BYTES_MAX || colon == list) {
            return pc_error_set(
                error, PC_E_INVALID, "endpoint \"%.*s\" is not host:port", (int)len, list);
        }
        if (args->endpoints_n == ENDPOINTS_MAX) {
            return pc_error_set(error, PC_E_INVALID, "more than %d endpoints", ENDPOINTS_MAX);
        }
        memcpy(args->endpoints[args->endpoints_n], list, len);
        args->endpoints[args->endpoints_n++][len] = '\0';
        if (list[len] == '\0') {
            return PC_OK;
        }
        list += len + 1;
    }
}

static pc_err take_output(struct args *args, const char *value, struct pc_error *error)
{
    static const char *const forms[] = {"table", "json", "fields"};
    for (unsigned i = 0; i < 3; i++) {
        if (strcmp(value, forms[i]) == 0) {
            args->form = (enum output_form)i;
            return PC_OK;
        }
    }
    return pc_error_set(
        error, PC_E_INVALID, "output \"%.40s\" is none of table, json, fields", value);
}

static pc_err take_timeout(struct args *args, const char *value, struct pc_error *error)
{
    char *end;
    unsigned long long n = value[0] >= '0' && value[0] <= '9' ? strtoull(value, &end, 10) : 0;
    if (n > 0 && n <= 3600000) {
        uint64_t factor = strcmp(end, "ms") == 0 ? 1 : strcmp(end, "s") == 0 ? 1000 : 0;
        args->timeout_ms = n * factor;
    } else {
        args->timeout_ms = 0;
    }
    if (args->timeout_ms == 0) {
        return pc_error_set(
            error, PC_E_INVALID, "timeout \"%.40s\" is not a duration such as 500ms or 10s", value);
    }
    return PC_OK;
}

static pc_err take_ttl(struct args *args, const char *value, struct pc_error *error)
{
    if (value[0] == '\0' || strspn(value, "0123456789mshd") != strlen(value)) {
        return pc_error_set(error, PC_E_INVALID,
            "ttl \"%.40s\" is not a duration such as 500ms, 30s, 5m or 2h", value);
    }
    args->ttl = value;
    return PC_OK;
}

static pc_err set_condition(struct args *args, const char *field, struct pc_error *error)
{
    if (args->condition[0] != '\0') {
        return pc_error_set(error, PC_E_INVALID, "give one of --if-version and --if-absent, once");
    }
    (void)snprintf(args->condition, sizeof args->condition, "%s", field);
    return PC_OK;
}

static pc_err take_if_version(struct args *args, const char *value, struct pc_error *error)
{
    char field[32];
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 16 || value[digits] != '\0' || value[0] == '0') {
        return pc_error_set(error, PC_E_INVALID,
            "version \"%.40s\" is not a number as get and put print it", value);
    }
    (void)snprintf(field, sizeof field, "If-Match: \"%s\"", value);
    return set_condition(args, field, error);
}

static pc_err take_if_absent(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    return set_condition(args, "If-None-Match: *", error);
}

static pc_err take_local(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->local = true;
    return PC_OK;
}

static pc_err take_role(struct args *args, const char *value, struct pc_error *error)
{
    static const char *const roles[] = {"voter", "replica", "spare"};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (strcmp(value, roles[i]) == 0) {
            args->role = value;
            return PC_OK;
        }
    }
    return pc_error_set(
        error, PC_E_INVALID, "role \"%.40s\" is none of voter, replica, spare", value);
}

static pc_err take_newest(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->newest = true;
    return PC_OK;
}

static pc_err take_from(struct args *args, const char *value, struct pc_error *error)
{
    char *end = NULL;
    bool is_number = value[0] >= '1' && value[0] <= '9';
    unsigned long long n = is_number ? strtoull(value, &end, 10) : 0;
    if (!is_number || *end != '\0') {
        return pc_error_set(
            error, PC_E_INVALID, "from \"%.40s\" is not the index of an entry", value);
    }
    args->from = n;
    return PC_OK;
}

static pc_err take_follow(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->follow = true;
    return PC_OK;
}

static pc_err take_data_dir(struct args *args, const char *value, struct pc_error *error)
{
    (void)error;
    args->data_dir = value;
    return PC_OK;
}

static pc_err take_name(struct args *args, const char *value, struct pc_error *error)
{
    (void)error;
    args->name = value;
    return PC_OK;
}

static pc_err take_members(struct args *args, const char *value, struct pc_error *error)
{
    (void)error;
    args->members = value;
    return PC_OK;
}

static pc_err take_config(struct args *args, const char *value, struct pc_error *error)
{
    (void)error;
    args->config = value;
    return PC_OK;
}

static pc_err take_set(struct args *args, const char *value, struct pc_error *error)
{
    if (args->sets_n == SETS_MAX) {
        return pc_error_set(error, PC_E_INVALID, "more than %d settings", SETS_MAX);
    }
    args->sets[args->sets_n++] = value;
    return PC_OK;
}

static pc_err take_accept(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->accept_data_loss = true;
    return PC_OK;
}

static pc_err take_if_unchanged(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->if_unchanged = true;
    return PC_OK;
}

static pc_err take_force(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->force = true;
    return PC_OK;
}

static pc_err take_dry_run(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->dry_run = true;
    return PC_OK;
}

static pc_err take_again(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->again = true;
    return PC_OK;
}

static pc_err take_help(struct args *args, const char *value, struct pc_error *error)
{
    (void)value;
    (void)error;
    args->help = true;
    return PC_OK;
}

static const struct option options[] = {
    {"endpoints", 'e', "HOST:PORT,...", true,
        "nodes to ask in turn (or PCADMIN_ENDPOINTS; "
        "default 127.0.0.1:8001)",
        take_endpoints},
    {"output", 'o', "table|json|fields", true, "form of the answer (default table)", take_output},
    {"timeout", 't', "DURATION", true, "longest wait for one answer (default 10s)", take_timeout},
    {"help", 'h', NULL, true, "print help, also of one command", take_help},
    {"ttl", 0, "DURATION", false, "let the value expire: 500ms, 30s, 5m, 2h", take_ttl},
    {"if-version", 0, "VERSION", false, "only if what stands there has this version",
        take_if_version},
    {"if-absent", 0, NULL, false, "only if nothing stands there", take_if_absent},
    {"role", 0, "voter|replica|spare", false, "what a new member is to be (default voter)",
        take_role},
    {"newest", 0, NULL, false, "the newest snapshot there is, without making one", take_newest},
    {"from", 0, "INDEX", false, "the first entry (default: the first one there is)", take_from},
    {"follow", 'f', NULL, false, "go on: print entries as they come", take_follow},
    {"data-dir", 0, "DIR", false, "the node's data directory: empty, or not there yet",
        take_data_dir},
    {"name", 0, "NAME", false, "of the node (default: the first voter in the snapshot)", take_name},
    {"members", 0, "NAME,...", false,
        "who may join it as voters (default: those that are members in the snapshot)",
        take_members},
    {"config", 'c', "FILE", false, "settings of the node, as pcached takes them", take_config},
    {"set", 0, "SECTION.KEY=VALUE", false, "one of them", take_set},
    {"accept-data-loss", 0, NULL, false, "do it, instead of saying what would be done",
        take_accept},
    {"if-unchanged", 0, NULL, false,
        "only keys that nobody has changed in the cluster since the branch began",
        take_if_unchanged},
    {"force", 0, NULL, false, "all keys, over what the cluster has now", take_force},
    {"again", 0, NULL, false, "though a replay of the branch was begun before", take_again},
    {"dry-run", 0, NULL, false, "say what would be done", take_dry_run},
    {"local", 0, NULL, false, "what this node has, without asking the others", take_local},
};
#define OPTIONS_N (sizeof options / sizeof options[0])

/* ---- finding options and commands */
static const struct option *option_find(const char *word, const char **inline_value)
{
    *inline_value = NULL;
    for (size_t i = 0; i < OPTIONS_N; i++) {
        const struct option *option = &options[i];
        size_t len = strlen(option->name);
        if (word[1] == '-' && strncmp(word + 2, option->name, len) == 0 &&
            (word[2 + len] == '\0' || word[2 + len] == '=')) {
            *inline_value = word[2 + len] == '=' ? word + 3 + len : NULL;
            return option;
        }
        if (option->letter != 0 && word[1] == option->letter) {
            *inline_value = word[2] != '\0' ? word + 2 : NULL;
            return option;
        }
    }
    return NULL;
}

static bool option_applies(const struct option *option, const struct command *command)
{
    return option->general ||
           (command->options != NULL && strstr(command->options, option->name) != NULL);
}

static const struct command *command_find(
    const struct command *table, const char *noun, const char *verb)
{
    for (const struct command *command = table; command->noun != NULL; command++) {
        bool same_verb = verb == NULL ? command->verb == NULL
                                      : command->verb != NULL && strcmp(command->verb, verb) == 0;
        if (strcmp(command->noun, noun) == 0 && same_verb) {
            return command;
        }
    }
    return NULL;
}

static bool noun_exists(const struct command *table, const char *noun)
{
    while (table->noun != NULL && strcmp(table->noun, noun) != 0) {
        table++;
    }
    return table->noun != NULL;
}

/* ---- parsing */
#define WORDS_MAX (2 + POSITIONALS_MAX)
struct words {
    const char *word[WORDS_MAX];
    size_t n;
    const struct option *special[OPTIONS_N]; /* given, and not general */
    size_t special_n;
};

static pc_err take_option(int argc, char *const *argv, int *i, struct args *args,
    struct words *words, struct pc_error *error)
{
    const char *value, *word = argv[*i];
    const struct option *option = option_find(word, &value);
    if (option == NULL) {
        return pc_error_set(error, PC_E_INVALID, "unknown option %.60s", word);
    }
    if (option->value == NULL && value != NULL) {
        return pc_error_set(error, PC_E_INVALID, "--%s takes no value", option->name);
    }
    if (option->value != NULL && value == NULL) {
        if (*i + 1 == argc) {
            return pc_error_set(
                error, PC_E_INVALID, "--%s needs a value: %s", option->name, option->value);
        }
        value = argv[++*i];
    }
    if (!option->general && words->special_n < OPTIONS_N) {
        words->special[words->special_n++] = option;
    }
    return option->take(args, value, error);
}

static pc_err take_words(
    int argc, char *const *argv, struct args *args, struct words *words, struct pc_error *error)
{
    bool only_words = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && word[0] == '-' && word[1] != '\0') {
            pc_err err = take_option(argc, argv, &i, args, words, error);
            if (err != PC_OK) {
                return err;
            }
        } else if (words->n == WORDS_MAX) {
            return pc_error_set(error, PC_E_INVALID, "too many arguments: %.60s", word);
        } else {
            words->word[words->n++] = word;
        }
    }
    return PC_OK;
}

static pc_err find_command(const struct command *table, const struct words *words,
    struct args *args, size_t *used, struct pc_error *error)
{
    const char *noun = words->word[0];
    *used = 2;
    args->command = words->n > 1 ? command_find(table, noun, words->word[1]) : NULL;
    if (args->command == NULL) {
        *used = 1;
        args->command = command_find(table, noun, NULL);
    }
    if (args->command != NULL) {
        return PC_OK;
    }
    if (!noun_exists(table, noun)) {
        return pc_error_set(error, PC_E_INVALID, "unknown command \"%.40s\"", noun);
    }
    return pc_error_set(
        error, PC_E_INVALID, "%s needs a verb (try: pcadmin %s --help)", noun, noun);
}

static pc_err check_command(
    const struct words *words, size_t used, struct args *args, struct pc_error *error)
{
    const struct command *command = args->command;
    for (size_t i = 0; i < words->special_n; i++) {
        if (!option_applies(words->special[i], command)) {
            return pc_error_set(error, PC_E_INVALID, "--%s does not apply to %s",
                words->special[i]->name, command->noun);
        }
    }
    size_t given = words->n - used;
    if (given < command->positionals_min || given > command->positionals_max) {
        return pc_error_set(error, PC_E_INVALID, "usage: pcadmin %s%s%s %s", command->noun,
            command->verb != NULL ? " " : "", command->verb != NULL ? command->verb : "",
            command->positionals);
    }
    for (size_t i = 0; i < given; i++) {
        args->positionals[i] = words->word[used + i];
    }
    return PC_OK;
}

pc_err args_parse(int argc, char *const *argv, const char *environment, const struct command *table,
    struct args *out, struct pc_error *error)
{
    struct args args = {.timeout_ms = 10000};
    struct words words = {0};
    bool given = environment != NULL && environment[0] != '\0';
    pc_err err = take_endpoints(&args, given ? environment : "127.0.0.1:8001", error);
    if (err != PC_OK) {
        return pc_error_wrap(error, "PCADMIN_ENDPOINTS");
    }
    err = take_words(argc, argv, &args, &words, error);
    if (err != PC_OK) {
        return err;
    }
    size_t used = 0;
    if (words.n > 0) {
        err = find_command(table, &words, &args, &used, error);
    } else if (!args.help) {
        err = pc_error_set(error, PC_E_INVALID, "what is to be done? (try: pcadmin help)");
    }
    /* Help is given also for a command that is not complete. */
    if (err == PC_OK && !args.help) {
        err = check_command(&words, used, &args, error);
    } else if (args.help) {
        err = PC_OK;
    }
    if (err == PC_OK) {
        *out = args;
    }
    return err;
}

/* ---- help */
static void print_option(FILE *out, const struct option *option)
{
    char left[64];
    (void)snprintf(left, sizeof left, "%s%c%s--%s%s%s", option->letter != 0 ? "-" : "    ",
        option->letter != 0 ? option->letter : ' ', option->letter != 0 ? ", " : "", option->name,
        option->value != NULL ? " " : "", option->value != NULL ? option->value : "");
    const char *begin = left + (option->letter != 0 ? 0 : 1);
    fprintf(out, "  %-30s %s\n", begin, option->help);
}

static void print_command(FILE *out, const struct command *command)
{
    char left[80];
    (void)snprintf(left, sizeof left, "%s%s%s %s", command->noun, command->verb != NULL ? " " : "",
        command->verb != NULL ? command->verb : "", command->positionals);
    fprintf(out, "  %-30s %s\n", left, command->help);
}

void args_print_help(FILE *out, const struct command *table, const struct command *command)
{
    fprintf(out, "usage: pcadmin [OPTION]... NOUN [VERB] [ARGUMENT]...\n\n");
    for (const struct command *row = table; row->noun != NULL; row++) {
        if (command == NULL || strcmp(row->noun, command->noun) == 0) {
            print_command(out, row);
        }
    }
    fprintf(out, "\n");
    for (size_t i = 0; i < OPTIONS_N; i++) {
        if (command == NULL || option_applies(&options[i], command)) {
            print_option(out, &options[i]);
        }
    }
    fprintf(out,
        "\nExit status: 0 yes, 1 a negative answer, 2 usage, 3 cannot connect, 4 not authorised,\n"
        "5 timeout or no quorum, 6 local input or output, 7 version mismatch, 8 damaged data.\n");
}
