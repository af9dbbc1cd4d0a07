/* The table of keys as texts: an ini file, a help page, a man page. */
#include "config_int.h"

#include <string.h>

static bool section_begins(size_t k)
{
    return k == 0 || strcmp(config_keys[k].section, config_keys[k - 1].section) != 0;
}

static const char *form(const struct config_key *key)
{
    switch (key->type) {
    case CONFIG_DURATION:
        return "duration";
    case CONFIG_BYTES:
        return "size";
    case CONFIG_SPACE:
        return "percent, size";
    case CONFIG_COUNT:
        return "number";
    case CONFIG_BOOL:
        return "true|false";
    case CONFIG_CHOICE:
        return key->choices;
    case CONFIG_ADDRESS:
        return "host:port";
    case CONFIG_NAME:
        return "name";
    case CONFIG_MEMBERS:
        return "list";
    case CONFIG_SECRET:
        return "64 hex digits";
    case CONFIG_TEXT:
        return "path";
    }
    return "";
}

void pc_config_print(const struct pc_config *config, FILE *out)
{
    for (size_t k = 0; k < config_keys_n; k++) {
        const struct config_key *key = &config_keys[k];
        const struct config_value *value = &config->values->v[k];
        if (section_begins(k)) {
            fprintf(out, "%s[%s]\n", k > 0 ? "\n" : "", key->section);
        }
        if (value->origin != NULL) {
            fprintf(out, "# from %s\n", value->origin);
        }
        if (key->type == CONFIG_SECRET) {
            fprintf(out, "# %s is %s\n", key->name, value->text != NULL ? "given" : "not given");
        } else {
            fprintf(out, "%s = %s\n", key->name, value->text != NULL ? value->text : key->initial);
        }
    }
}

/* Writes `text` in lines of at most 88 columns behind `indent`. */
static void print_wrapped(FILE *out, const char *indent, const char *text)
{
    size_t room = 88 - strlen(indent);
    while (*text != '\0') {
        size_t len = strlen(text);
        if (len > room) {
            len = room;
            while (len > 0 && text[len] != ' ') {
                len--;
            }
        }
        fprintf(out, "%s%.*s\n", indent, (int)len, text);
        text += len + strspn(text + len, " ");
    }
}

void pc_config_print_keys(FILE *out)
{
    for (size_t k = 0; k < config_keys_n; k++) {
        const struct config_key *key = &config_keys[k];
        if (section_begins(k)) {
            fprintf(out, "%s[%s]\n", k > 0 ? "\n" : "", key->section);
        }
        fprintf(out, "  %s = %s", key->name, form(key));
        fprintf(out, key->initial[0] != '\0' ? "   (default %s)\n" : "\n", key->initial);
        print_wrapped(out, "      ", key->help);
    }
}

/* A hyphen that is meant as one, and a dot that does not begin a request. */
static void print_roff(FILE *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '-') {
            fputs("\\-", out);
        } else {
            fputc(*c, out);
        }
    }
}

void pc_config_print_man(FILE *out)
{
    for (size_t k = 0; k < config_keys_n; k++) {
        const struct config_key *key = &config_keys[k];
        char variable[CONFIG_KEY_TEXT_MAX];
        config_key_variable(key, variable);
        if (section_begins(k)) {
            fprintf(out, ".SS [%s]\n", key->section);
        }
        fprintf(out, ".TP\n.B %s\n(", key->name);
        print_roff(out, form(key));
        if (key->initial[0] != '\0') {
            fputs("; default ", out);
            print_roff(out, key->initial);
        }
        fprintf(out, "; %s)\n.br\n", variable);
        print_roff(out, key->help);
        fputs(".\n", out);
    }
}
