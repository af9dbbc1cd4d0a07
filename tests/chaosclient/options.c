#define _GNU_SOURCE
#include "chaosclient/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pcache/assert.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])
#define PREFIX_BYTES_MAX 64
#define PLAIN_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

static const char *const workload_texts[CHAOS_WORKLOADS_N] = {
    "register", "counter", "set", "ttl", "pair"};

const char *chaos_workload_text(enum chaos_workload workload)
{
    PC_ASSERT((size_t)workload < CHAOS_WORKLOADS_N);
    return workload_texts[workload];
}

struct why {
    char *text;
    size_t max;
};

__attribute__((format(printf, 2, 3))) static bool wrong(
    const struct why *why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(why->text, why->max, format, args);
    va_end(args);
    return false;
}

static bool number_parse(const char *text, uint64_t least, uint64_t most, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least ||
        value > most) {
        return false;
    }
    *out = value;
    return true;
}

/* ---- nodes */
static bool part_copy(char *out, size_t max, const char *from, size_t len)
{
    if (len == 0 || len >= max) {
        return false;
    }
    memcpy(out, from, len);
    out[len] = '\0';
    return true;
}

/* NAME=HOST:PORT */
static bool node_parse(const char *text, size_t len, struct chaos_node *out)
{
    char port_text[8];
    uint64_t port;
    const char *equals = memchr(text, '=', len), *colon = memrchr(text, ':', len);
    if (equals == NULL || colon == NULL || colon < equals) {
        return false;
    }
    if (!part_copy(out->name, sizeof out->name, text, (size_t)(equals - text)) ||
        !part_copy(out->host, sizeof out->host, equals + 1, (size_t)(colon - equals - 1)) ||
        !part_copy(port_text, sizeof port_text, colon + 1, (size_t)(text + len - colon - 1)) ||
        !number_parse(port_text, 1, UINT16_MAX, &port)) {
        return false;
    }
    out->port = (uint16_t)port;
    return strspn(out->name, PLAIN_CHARACTERS) == strlen(out->name);
}

static bool nodes_parse(const char *text, struct chaos_options *out, const struct why *why)
{
    out->nodes_n = 0;
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ",");
        struct chaos_node *node = &out->node[out->nodes_n];
        if (out->nodes_n == CHAOS_NODES_MAX) {
            return wrong(why, "more than %d nodes", CHAOS_NODES_MAX);
        }
        if (!node_parse(at, len, node)) {
            return wrong(why, "%.*s is not NAME=HOST:PORT", (int)len, at);
        }
        for (size_t i = 0; i < out->nodes_n; i++) {
            if (strcmp(out->node[i].name, node->name) == 0) {
                return wrong(why, "two nodes are called %s", node->name);
            }
        }
        out->nodes_n++;
        at += len;
        if (*at == '\0') {
            return true;
        }
    }
}

static bool workloads_parse(const char *text, struct chaos_options *out, const struct why *why)
{
    memset(out->workload, 0, sizeof out->workload);
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, ","), i = 0;
        while (i < CHAOS_WORKLOADS_N &&
               (strlen(workload_texts[i]) != len || memcmp(workload_texts[i], at, len) != 0)) {
            i++;
        }
        if (i == CHAOS_WORKLOADS_N) {
            return wrong(why, "there is no workload %.*s", (int)len, at);
        }
        out->workload[i] = true;
        at += len;
        if (*at == '\0') {
            return true;
        }
    }
}

/* ---- options */
struct number_option {
    const char *name;
    size_t offset; /* of a uint64_t in struct chaos_options */
    uint64_t initial, least, most;
};

#define NUMBER(text, field, initial, least, most)                                                  \
    {                                                                                              \
        text, offsetof(struct chaos_options, field), initial, least, most                          \
    }
static const struct number_option numbers[] = {
    NUMBER("--seconds", seconds, 0, 0, 86400),
    NUMBER("--threads", threads, 12, 1, CHAOS_THREADS_MAX),
    NUMBER("--interval-ms", interval_ms, 10, 0, 60000),
    NUMBER("--timeout-ms", timeout_ms, 3000, 1, 600000),
    NUMBER("--connect-ms", connect_ms, 1000, 1, 600000),
    NUMBER("--retry-ms", retry_ms, 10000, 0, 600000),
    NUMBER("--rotate-ms", rotate_ms, 10000, 1, 86400000),
    NUMBER("--set-keys", set_keys, 20000, 1, 10000000),
    NUMBER("--client-base", client_base, 0, 0, 1000000000),
    NUMBER("--seed", seed, 1, 0, UINT64_MAX),
    NUMBER("--probe-ms", probe_ms, 20000, 0, 3600000),
    NUMBER("--wait-ms", wait_ms, 30000, 0, 3600000),
};

static uint64_t *number_at(struct chaos_options *out, const struct number_option *option)
{
    return (uint64_t *)(void *)((char *)out + option->offset);
}

static bool number_option_parse(
    const char *name, const char *text, struct chaos_options *out, const struct why *why)
{
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            return number_parse(
                       text, numbers[i].least, numbers[i].most, number_at(out, &numbers[i])) ||
                   wrong(why, "%s %s is no number within its limits", name, text);
        }
    }
    return wrong(why, "there is no option %s", name);
}

static bool option_parse(
    const char *name, const char *text, struct chaos_options *out, const struct why *why)
{
    if (strcmp(name, "--nodes") == 0) {
        return nodes_parse(text, out, why);
    }
    if (strcmp(name, "--workloads") == 0) {
        return workloads_parse(text, out, why);
    }
    if (strcmp(name, "--out") == 0) {
        out->out = text;
        return text[0] != '\0' || wrong(why, "--out is empty");
    }
    if (strcmp(name, "--prefix") == 0) {
        out->prefix = text;
        size_t len = strlen(text);
        return (len > 0 && len <= PREFIX_BYTES_MAX && strspn(text, PLAIN_CHARACTERS) == len) ||
               wrong(why, "--prefix is no plain word");
    }
    return number_option_parse(name, text, out, why);
}

bool chaos_options_parse(
    int argc, char **argv, struct chaos_options *out, char *text, size_t text_max)
{
    struct why why = {.text = text, .max = text_max};
    *out = (struct chaos_options){.prefix = "chaos"};
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        *number_at(out, &numbers[i]) = numbers[i].initial;
    }
    for (size_t i = 0; i < CHAOS_WORKLOADS_N; i++) {
        out->workload[i] = true;
    }
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--final") == 0) {
            out->is_final = true;
            continue;
        }
        if (i + 1 == argc) {
            return wrong(&why, "%s: no such option, or nothing behind it", argv[i]);
        }
        if (!option_parse(argv[i], argv[i + 1], out, &why)) {
            return false;
        }
        i++;
    }
    if (out->nodes_n == 0 || out->out == NULL) {
        return wrong(&why, "--nodes and --out are needed");
    }
    return true;
}
