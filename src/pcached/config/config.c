/* The layers, put on top of each other: file, environment, --set. Each value is checked where it is
 * given, also one that a higher layer replaces: a mistake in a file is not to lie in wait for the
 * day on which the variable that hides it goes away. */
#include "config_int.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#define VARIABLE_PREFIX "PCACHED_"

static char *copy_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(pc_xalloc(bytes), text, bytes);
}

static void clear_value(struct config_value *value)
{
    if (value->text != NULL) {
        sodium_memzero(value->text, strlen(value->text));
    }
    free(value->text);
    free(value->origin);
    *value = (struct config_value){0};
}

pc_err config_values_set(struct pc_config_values *values, size_t k, const char *text,
    const char *origin, struct pc_error *error)
{
    PC_ASSERT(k < config_keys_n);
    struct pc_config scratch;
    memset(&scratch, 0, sizeof scratch);
    pc_err err = config_value_parse(&config_keys[k], text, &scratch, error);
    sodium_memzero(scratch.cluster.key, sizeof scratch.cluster.key);
    if (err != PC_OK) {
        return pc_error_wrap(
            error, "%.120s: %s.%s", origin, config_keys[k].section, config_keys[k].name);
    }
    clear_value(&values->v[k]);
    values->v[k] = (struct config_value){.text = copy_text(text), .origin = copy_text(origin)};
    return PC_OK;
}

void config_values_delete(struct pc_config_values *values)
{
    for (size_t k = 0; values != NULL && k < config_keys_n; k++) {
        clear_value(&values->v[k]);
    }
    free(values);
}

const char *config_origin(const struct pc_config *config, const char *section, const char *name)
{
    size_t k = config_key_find(pc_slice_str(section), pc_slice_str(name));
    PC_ASSERT(k != CONFIG_NONE);
    const char *origin = config->values->v[k].origin;
    return origin != NULL ? origin : "the default";
}

/* ---- the environment */
static size_t find_variable(struct pc_slice variable)
{
    char name[CONFIG_KEY_TEXT_MAX];
    for (size_t k = 0; k < config_keys_n; k++) {
        config_key_variable(&config_keys[k], name);
        if (pc_slice_equal(variable, pc_slice_str(name))) {
            return k;
        }
    }
    return CONFIG_NONE;
}

static pc_err unknown_variable(struct pc_slice variable, struct pc_error *error)
{
    char nearest[CONFIG_KEY_TEXT_MAX] = "", name[CONFIG_KEY_TEXT_MAX];
    size_t best_distance = variable.len / 4;
    for (size_t k = 0; k < config_keys_n; k++) {
        config_key_variable(&config_keys[k], name);
        size_t distance = config_distance(variable, pc_slice_str(name));
        if (distance <= best_distance) {
            best_distance = distance;
            memcpy(nearest, name, sizeof nearest);
        }
    }
    bool near = nearest[0] != '\0';
    return pc_error_set(error, PC_E_INVALID, "environment: unknown variable %.*s%s%s%s",
        (int)(variable.len < 80 ? variable.len : 80), (const char *)variable.data,
        near ? "; did you mean " : "", nearest, near ? "?" : "");
}

pc_err config_environment_load(
    struct pc_config_values *values, char *const *environment, struct pc_error *error)
{
    for (char *const *item = environment; item != NULL && *item != NULL; item++) {
        const char *equals = strchr(*item, '=');
        if (equals == NULL || strncmp(*item, VARIABLE_PREFIX, strlen(VARIABLE_PREFIX)) != 0) {
            continue;
        }
        struct pc_slice variable = pc_slice_of(*item, (size_t)(equals - *item));
        size_t k = find_variable(variable);
        if (k == CONFIG_NONE) {
            return unknown_variable(variable, error);
        }
        char name[CONFIG_KEY_TEXT_MAX];
        config_key_variable(&config_keys[k], name);
        pc_err err = config_values_set(values, k, equals + 1, name, error);
        if (err != PC_OK) {
            return err;
        }
    }
    return PC_OK;
}

/* ---- --set */
pc_err config_set_load(struct pc_config_values *values, const char *setting, struct pc_error *error)
{
    const char *equals = strchr(setting, '='), *dot = strchr(setting, '.');
    if (equals == NULL || dot == NULL || dot > equals) {
        return pc_error_set(
            error, PC_E_INVALID, "--set %.80s: not of the form section.key=value", setting);
    }
    struct pc_slice section = pc_slice_of(setting, (size_t)(dot - setting));
    struct pc_slice name = pc_slice_of(dot + 1, (size_t)(equals - dot - 1));
    size_t k = config_key_find(section, name);
    if (k == CONFIG_NONE) {
        char nearest[CONFIG_KEY_TEXT_MAX];
        bool near = config_key_nearest(section, name, nearest);
        return pc_error_set(error, PC_E_INVALID, "--set %.80s: unknown key%s%s%s", setting,
            near ? "; did you mean " : "", near ? nearest : "", near ? "?" : "");
    }
    if (config_keys[k].type == CONFIG_SECRET) {
        return pc_error_set(error, PC_E_INVALID,
            "--set %s.%s: every user of the machine can read a command line: use cluster.key_file",
            config_keys[k].section, config_keys[k].name);
    }
    return config_values_set(values, k, equals + 1, "--set", error);
}

/* ---- all of it */
static pc_err load_layers(
    const struct pc_config_opts *opts, struct pc_config_values *values, struct pc_error *error)
{
    pc_err err = opts->file == NULL ? PC_OK : config_file_load(values, opts->file, error);
    if (err == PC_OK) {
        err = config_environment_load(values, opts->environment, error);
    }
    for (size_t i = 0; err == PC_OK && i < opts->sets_n; i++) {
        err = config_set_load(values, opts->sets[i], error);
    }
    return err;
}

static void fill_in(struct pc_config *config)
{
    struct pc_error error;
    for (size_t k = 0; k < config_keys_n; k++) {
        const char *text = config->values->v[k].text;
        pc_err err = config_value_parse(
            &config_keys[k], text != NULL ? text : config_keys[k].initial, config, &error);
        /* Given values were checked when they came in; defaults are ours. */
        PC_ASSERT(err == PC_OK);
    }
    static const char *const fsync_texts[] = {"always", "interval", "os"};
    config->log.fsync_text = fsync_texts[config->log.fsync];
}

pc_err pc_config_load(
    const struct pc_config_opts *opts, struct pc_config *out, struct pc_error *error)
{
    PC_ASSERT(opts->sets_n <= PC_CONFIG_SETS_MAX);
    struct pc_config config;
    memset(&config, 0, sizeof config);
    config.values = pc_xalloc(sizeof *config.values);
    pc_err err = load_layers(opts, config.values, error);
    if (err == PC_OK) {
        fill_in(&config);
        err = config_check(&config, error);
    }
    if (err == PC_OK) {
        *out = config;
    } else {
        config_values_delete(config.values);
    }
    sodium_memzero(config.cluster.key, sizeof config.cluster.key);
    return err;
}

void pc_config_destroy(struct pc_config *config)
{
    config_values_delete(config->values);
    sodium_memzero(config, sizeof *config);
}
