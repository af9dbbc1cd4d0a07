/* args.h: the command line of pcadmin, from static tables of commands and options. Usage, help and
 * completion are made from the same tables. */
#ifndef PCADMIN_ARGS_H
#define PCADMIN_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "pcache/err.h"

/* Exit statuses; the order is part of the interface. */
enum {
    EXIT_YES = 0,
    EXIT_NO = 1, /* a negative answer: not found, not ready, refused */
    EXIT_USAGE = 2,
    EXIT_CONNECT = 3,
    EXIT_AUTH = 4,
    EXIT_TIMEOUT = 5, /* or no quorum; a write may have happened */
    EXIT_LOCAL_IO = 6,
    EXIT_VERSION = 7, /* an answer that this version does not understand */
    EXIT_DAMAGED = 8,
};

#define ENDPOINTS_MAX 16
#define ENDPOINT_BYTES_MAX 262
#define POSITIONALS_MAX 2
#define SETS_MAX 32

enum output_form { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_FIELDS };

struct args;
struct command {
    const char *noun;
    const char *verb;        /* NULL: none */
    const char *positionals; /* for usage: "KEY [VALUE]" */
    size_t positionals_min;
    size_t positionals_max;
    const char *options; /* long names that apply beside the general ones: "ttl local" */
    const char *help;
    int (*run)(const struct args *args); /* returns an exit status */
};

struct args {
    const struct command *command;
    char endpoints[ENDPOINTS_MAX][ENDPOINT_BYTES_MAX + 1]; /* "host:port" */
    size_t endpoints_n;
    enum output_form form;
    uint64_t timeout_ms;
    const char *positionals[POSITIONALS_MAX]; /* NULL behind the given ones */
    const char *ttl;                          /* NULL: none */
    char condition[48];                       /* of a write, as a header field; "": none */
    const char *role;                         /* of a new member; NULL: not given */
    const char *data_dir;                     /* NULL: not given, as those below */
    const char *name;
    const char *members; /* "a,b,c" */
    uint64_t from;       /* 0: not given */
    bool follow;
    bool newest;
    bool local;
    const char *config;         /* --config; NULL: none */
    const char *sets[SETS_MAX]; /* --set, "section.key=value" */
    size_t sets_n;
    bool accept_data_loss;
    bool if_unchanged;
    bool force;
    bool dry_run;
    bool again;
    bool help;
};

/* The table, ended by an entry without a noun. */
extern const struct command commands[];

/* Parses argv[1..]. `environment` is PCADMIN_ENDPOINTS or NULL. out borrows argv.
 * Returns PC_OK, or PC_E_INVALID with a text: a usage error. With out->help the command may be
 * NULL. */
PC_MUST_CHECK pc_err args_parse(int argc, char *const *argv, const char *environment,
    const struct command *table, struct args *out, struct pc_error *error);

/* Help: of one command, or of all when `command` is NULL. */
void args_print_help(FILE *out, const struct command *table, const struct command *command);

#endif
