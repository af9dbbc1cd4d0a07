/* Texts to values, one function per type. */
#include "config_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *text;
    uint64_t factor;
};

static const struct unit durations[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0}};
static const struct unit sizes[] = {{"", 1}, {"B", 1}, {"K", 1024}, {"KiB", 1024}, {"M", 1048576},
    {"MiB", 1048576}, {"G", 1073741824}, {"GiB", 1073741824}, {NULL, 0}};
static const struct unit counts[] = {{"", 1}, {NULL, 0}};

/* Digits, blanks, unit. False when it is not that, or does not fit. */
static bool parse_number(const char *text, const struct unit *units, uint64_t *out)
{
    if (text[0] < '0' || text[0] > '9') {
        return false;
    }
    char *end;
    errno = 0;
    unsigned long long digits = strtoull(text, &end, 10);
    if (errno != 0) {
        return false;
    }
    end += strspn(end, " ");
    for (const struct unit *unit = units; unit->text != NULL; unit++) {
        if (strcmp(end, unit->text) == 0) {
            *out = digits * unit->factor;
            return digits <= UINT64_MAX / unit->factor;
        }
    }
    /* Zero needs no unit. */
    *out = 0;
    return digits == 0 && *end == '\0';
}

static const struct unit *units_of(enum config_type type)
{
    return type == CONFIG_DURATION ? durations : type == CONFIG_BYTES ? sizes : counts;
}

/* The number in the largest unit that divides it: for messages. */
static const char *number_text(enum config_type type, uint64_t value, char out[32])
{
    const struct unit *units = units_of(type), *best = units;
    for (const struct unit *unit = units; unit->text != NULL; unit++) {
        if (value != 0 && value % unit->factor == 0 && unit->factor >= best->factor) {
            best = unit;
        }
    }
    (void)snprintf(out, 32, "%llu%s", (unsigned long long)(value / best->factor), best->text);
    return out;
}

static pc_err parse_bounded(
    const struct config_key *key, const char *text, uint64_t *out, struct pc_error *error)
{
    uint64_t value;
    if (!parse_number(text, units_of(key->type), &value)) {
        const char *form = key->type == CONFIG_DURATION ? "a duration such as 500ms, 30s, 5m or 2h"
                           : key->type == CONFIG_BYTES  ? "a size such as 65536, 64KiB or 1MiB"
                                                        : "a whole number";
        return pc_error_set(error, PC_E_INVALID, "\"%.60s\" is not %s", text, form);
    }
    if (value < key->min || value > key->max) {
        char low[32], high[32];
        return pc_error_set(error, PC_E_INVALID, "\"%.60s\" is not within %s and %s", text,
            number_text(key->type, key->min, low), number_text(key->type, key->max, high));
    }
    *out = value;
    return PC_OK;
}

static const struct unit shares[] = {{"%", 1}, {NULL, 0}};

/* "10%", "1GiB", or both in either order. */
static pc_err parse_space(const char *text, struct pc_space_mark *out, struct pc_error *error)
{
    struct pc_space_mark mark = {.bytes = UINT64_MAX, .percent = 100};
    bool has_share = false, has_size = false;
    for (const char *at = text; *at != '\0'; at += strspn(at, " ")) {
        char word[32] = "";
        size_t len = strcspn(at, " ");
        uint64_t value = 0;
        memcpy(word, at, len < sizeof word ? len : 0);
        at += len;
        if (!has_size && parse_number(word, sizes, &value)) {
            mark.bytes = value;
            has_size = true;
        } else if (!has_share && parse_number(word, shares, &value) && value <= 100) {
            mark.percent = (uint32_t)value;
            has_share = true;
        } else {
            has_share = has_size = false;
            break;
        }
    }
    if (!has_share && !has_size) {
        return pc_error_set(error, PC_E_INVALID,
            "\"%.60s\" is neither a share such as 5%%, nor a size such as 512MiB, nor both", text);
    }
    *out = mark;
    return PC_OK;
}

static pc_err parse_bool(const char *text, bool *out, struct pc_error *error)
{
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0) {
        return pc_error_set(error, PC_E_INVALID, "\"%.60s\" is neither true nor false", text);
    }
    *out = is_true;
    return PC_OK;
}

/* The position of `text` among "a|b|c". */
static pc_err parse_choice(
    const char *choices, const char *text, unsigned *out, struct pc_error *error)
{
    unsigned position = 0;
    for (const char *at = choices; *at != '\0'; position++) {
        size_t len = strcspn(at, "|");
        if (strlen(text) == len && memcmp(at, text, len) == 0) {
            *out = position;
            return PC_OK;
        }
        at += len + (at[len] == '|' ? 1 : 0);
    }
    return pc_error_set(error, PC_E_INVALID, "\"%.60s\" is none of %s", text, choices);
}

bool config_name_is_valid(struct pc_slice name)
{
    if (name.len == 0 || name.len > PC_NAME_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
        if (!allowed) {
            return false;
        }
    }
    return true;
}

static pc_err parse_name(const char *text, struct pc_error *error)
{
    if (*text != '\0' && !config_name_is_valid(pc_slice_str(text))) {
        return pc_error_set(error, PC_E_INVALID,
            "\"%.70s\" is not a name: 1 to %d of A-Z a-z 0-9 . _ -", text, PC_NAME_BYTES_MAX);
    }
    return PC_OK;
}

static pc_err parse_address(const char *text, struct pc_error *error)
{
    char host[PC_ADDRESS_BYTES_MAX + 1];
    uint16_t port;
    if (*text != '\0' && (strlen(text) > PC_ADDRESS_BYTES_MAX ||
                             pc_os_split_address(text, host, sizeof host, &port) != PC_OK)) {
        return pc_error_set(
            error, PC_E_INVALID, "\"%.80s\" is not host:port (an IPv6 host in brackets)", text);
    }
    return PC_OK;
}

static pc_err parse_secret(const char *text, uint8_t key[32], struct pc_error *error)
{
    if (*text != '\0' && (strlen(text) != 64 || !pc_hex_decode(text, key, 32))) {
        return pc_error_set(error, PC_E_INVALID, "not a key: 64 hex digits (pcadmin key gen)");
    }
    return PC_OK;
}

/* Every text must come back from a file as it was: --print-config prints one. */
static pc_err check_text(const char *text, struct pc_error *error)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return pc_error_set(error, PC_E_INVALID, "control characters are not allowed");
        }
        bool comment = text[i] == ';' || text[i] == '#';
        if (comment && (i == 0 || text[i - 1] == ' ')) {
            return pc_error_set(error, PC_E_INVALID,
                "\"%.60s\": a %c after a blank begins a comment", text, text[i]);
        }
    }
    if (len > 0 && (text[0] == ' ' || text[len - 1] == ' ')) {
        return pc_error_set(error, PC_E_INVALID, "\"%.60s\" begins or ends with a blank", text);
    }
    return PC_OK;
}

/* The field is written through its own type, so the struct may hold plain C types. */
static pc_err parse_into(const struct config_key *key, const char *text, struct pc_config *config,
    struct pc_error *error)
{
    void *field = (char *)config + key->offset;
    unsigned position = 0;
    pc_err err = PC_OK;
    switch (key->type) {
    case CONFIG_DURATION:
    case CONFIG_BYTES:
    case CONFIG_COUNT:
        return parse_bounded(key, text, field, error);
    case CONFIG_SPACE:
        return parse_space(text, field, error);
    case CONFIG_BOOL:
        return parse_bool(text, field, error);
    case CONFIG_CHOICE:
        err = parse_choice(key->choices, text, &position, error);
        memcpy(field, &position, sizeof position);
        return err;
    case CONFIG_MEMBERS:
        return config_members_parse(text, field,
            field == config->cluster.members ? &config->cluster.members_n
                                             : &config->cluster.spares_n,
            error);
    case CONFIG_SECRET:
        return parse_secret(text, field, error);
    case CONFIG_NAME:
        err = parse_name(text, error);
        break;
    case CONFIG_ADDRESS:
        err = parse_address(text, error);
        break;
    case CONFIG_TEXT:
        break;
    }
    memcpy(field, &text, sizeof text);
    return err;
}

PC_STATIC_ASSERT(sizeof(enum pc_log_level) == sizeof(unsigned), "choices are stored as unsigned");
PC_STATIC_ASSERT(
    sizeof(enum pc_config_switch) == sizeof(unsigned), "choices are stored as unsigned");
PC_STATIC_ASSERT(
    sizeof(enum pc_config_fsync) == sizeof(unsigned), "choices are stored as unsigned");

pc_err config_value_parse(
    const struct config_key *key, const char *text, struct pc_config *out, struct pc_error *error)
{
    pc_err err = check_text(text, error);
    return err == PC_OK ? parse_into(key, text, out, error) : err;
}
