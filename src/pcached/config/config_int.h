/* config_int.h: shared by the files of this folder. */
#ifndef PCACHED_CONFIG_INT_H
#define PCACHED_CONFIG_INT_H

#include "config.h"
#include "pcache/bytes.h"

enum config_type {
    CONFIG_TEXT,     /* const char *, any text                            */
    CONFIG_NAME,     /* const char *, [A-Za-z0-9._-]{1,63} or empty       */
    CONFIG_ADDRESS,  /* const char *, host:port or empty                  */
    CONFIG_DURATION, /* pc_ms; "500ms" "30s" "5m" "2h" "1d"               */
    CONFIG_BYTES,    /* uint64_t; "65536" "64KiB" "1MiB" "1GiB"           */
    CONFIG_SPACE,    /* struct pc_space_mark; "10%" "1GiB" "10% 1GiB" "0"  */
    CONFIG_COUNT,    /* uint64_t                                          */
    CONFIG_BOOL,     /* bool; "true" "false"                              */
    CONFIG_CHOICE,   /* an enum counted from 0, in the order of `choices` */
    CONFIG_MEMBERS,  /* struct pc_config_member[], "name=host:port, ..."  */
    CONFIG_SECRET,   /* uint8_t[32] as hex; from the environment only     */
};

/* One key. The whole knowledge about it, but for relations between keys (config_check.c). */
struct config_key {
    const char *section;
    const char *name;
    enum config_type type;
    size_t offset; /* of the field in struct pc_config */
    const char *initial;
    uint64_t min; /* DURATION in ms, BYTES, COUNT */
    uint64_t max;
    const char *choices; /* CHOICE: "a|b|c" */
    const char *help;
};

#define CONFIG_KEYS_MAX 64
#define CONFIG_KEY_TEXT_MAX 64 /* "section.name" */

extern const struct config_key config_keys[];
extern const size_t config_keys_n;
#define CONFIG_NONE SIZE_MAX

/* Index of a key by name, or CONFIG_NONE. Lengths let callers look into longer texts. */
size_t config_key_find(struct pc_slice section, struct pc_slice name);
bool config_section_exists(struct pc_slice section);
/* The key whose name is most like this one, as "section.name" in out; false when none is near. */
bool config_key_nearest(
    struct pc_slice section, struct pc_slice name, char out[CONFIG_KEY_TEXT_MAX]);
bool config_section_nearest(struct pc_slice section, char out[CONFIG_KEY_TEXT_MAX]);
/* "PCACHED_HTTP_LISTEN". */
void config_key_variable(const struct config_key *key, char out[CONFIG_KEY_TEXT_MAX]);

/* Number of insertions, deletions, replacements and swaps of neighbours from a to b. Texts over 63
 * bytes are far from everything (SIZE_MAX). */
size_t config_distance(struct pc_slice a, struct pc_slice b);

/* ---- values. Each parser returns PC_OK, or PC_E_INVALID with a text that says what would do. */
pc_err config_value_parse(
    const struct config_key *key, const char *text, struct pc_config *out, struct pc_error *error);
pc_err config_members_parse(const char *text, struct pc_config_member out[PC_VOTERS_MAX],
    size_t *out_n, struct pc_error *error);
bool config_name_is_valid(struct pc_slice name);

/* ---- layers */
struct config_value {
    char *text;   /* owned; NULL = not given */
    char *origin; /* owned; "cluster.ini:12", "--set", "PCACHED_HTTP_LISTEN"; NULL = default */
};
struct pc_config_values {
    struct config_value v[CONFIG_KEYS_MAX];
};

/* Takes a text for key `k`, after checking that it parses. Errors: PC_E_INVALID, text complete. */
pc_err config_values_set(struct pc_config_values *values, size_t k, const char *text,
    const char *origin, struct pc_error *error);
void config_values_delete(struct pc_config_values *values);
/* Where the key's value comes from, for messages: its origin, or "the default". */
const char *config_origin(const struct pc_config *config, const char *section, const char *name);

pc_err config_file_load(struct pc_config_values *values, const char *path, struct pc_error *error);
/* The same from memory; `path` is for messages. */
pc_err config_file_parse(struct pc_config_values *values, const char *path, struct pc_slice bytes,
    struct pc_error *error);
pc_err config_environment_load(
    struct pc_config_values *values, char *const *environment, struct pc_error *error);
pc_err config_set_load(
    struct pc_config_values *values, const char *setting, struct pc_error *error);

/* ---- after all layers */
pc_err config_key_file_read(const char *path, uint8_t key[32], struct pc_error *error);
/* Relations between keys; fills in what follows from others (name of a cluster of one). */
pc_err config_check(struct pc_config *config, struct pc_error *error);

#endif
