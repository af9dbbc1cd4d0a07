/* The command line: arguments are separated by line ends. Then every argument by itself is taken
 * for an address, a list of members, and the value of each key there is. */
#include "fuzz/kit/fuzz.h"

#include "pcached/config/config_int.h"
#include "pcache/addr.h"
#include "pcache/os.h"

#define ARGUMENTS_MAX 64

static void try_address(const char *text)
{
    struct pc_addr addr, again;
    if (pc_addr_parse(text, &addr) == PC_OK) {
        char formatted[PC_ADDR_TEXT_MAX];
        pc_addr_format(&addr, formatted);
        FUZZ_CHECK("what is printed parses", pc_addr_parse(formatted, &again) == PC_OK);
        FUZZ_CHECK("to the same address", pc_addr_equal(&addr, &again));
    }
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (pc_os_split_address(text, host, sizeof host, &port) == PC_OK) {
        FUZZ_CHECK("a host", host[0] != '\0' && strlen(host) < strlen(text));
    }
}

static void try_members(const char *text)
{
    struct pc_config_member members[PC_VOTERS_MAX];
    size_t n = 0;
    struct pc_error error = {0};
    if (config_members_parse(text, members, &n, &error) != PC_OK) {
        FUZZ_CHECK("an error says what", error.text[0] != '\0');
        return;
    }
    FUZZ_CHECK("some members", n <= PC_VOTERS_MAX);
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK("names are names", config_name_is_valid(pc_slice_str(members[i].name)));
        FUZZ_CHECK("names ascend", i == 0 || strcmp(members[i - 1].name, members[i].name) < 0);
        try_address(members[i].address);
    }
}

static void try_value(const char *text)
{
    for (size_t k = 0; k < config_keys_n; k++) {
        const struct config_key *key = &config_keys[k];
        struct pc_config config;
        memset(&config, 0, sizeof config);
        struct pc_error error = {0};
        if (config_value_parse(key, text, &config, &error) != PC_OK) {
            FUZZ_CHECK("an error says what", error.text[0] != '\0');
            continue;
        }
        bool bounded =
            key->type == CONFIG_DURATION || key->type == CONFIG_BYTES || key->type == CONFIG_COUNT;
        uint64_t number = 0;
        if (bounded) {
            memcpy(&number, (const char *)&config + key->offset, sizeof number);
            FUZZ_CHECK("within its bounds", number >= key->min && number <= key->max);
        }
    }
    char nearest[CONFIG_KEY_TEXT_MAX];
    (void)config_section_nearest(pc_slice_str(text), nearest);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = fuzz_in_of(data, size);
    char *text = fuzz_text(pc_slice_of(in.at, size));
    char program[] = "pcached";
    char *argv[ARGUMENTS_MAX + 2] = {program};
    int argc = 1;
    for (char *at = text; *at != '\0' && argc <= ARGUMENTS_MAX;) {
        argv[argc++] = at;
        at += strcspn(at, "\n");
        if (*at == '\n') {
            *at++ = '\0';
        }
    }
    struct pc_cli cli;
    struct pc_error error = {0};
    if (pc_cli_parse(argc, argv, &cli, &error) == PC_OK) {
        FUZZ_CHECK("an action", cli.action <= PC_CLI_HELP);
        FUZZ_CHECK("not too many", cli.config.sets_n <= PC_CONFIG_SETS_MAX);
    } else {
        FUZZ_CHECK("an error says what", error.text[0] != '\0');
    }
    for (int i = 1; i < argc && i <= 4; i++) {
        try_address(argv[i]);
        try_members(argv[i]);
        try_value(argv[i]);
    }
    free(text);
    return 0;
}
