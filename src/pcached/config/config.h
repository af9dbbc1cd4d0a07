/* config.h: the settings of pcached, from four layers: --set over environment over file over
 * default. Every key stands once, in the table of config_keys.c; man page: pcached.ini(5).
 * Private to pcached. */
#ifndef PCACHED_CONFIG_H
#define PCACHED_CONFIG_H

#include <stdio.h>

#include "pcache/disk.h"
#include "pcache/err.h"
#include "pcache/limits.h"
#include "pcache/os.h"
#include "pcache/types.h"

#define PC_CONFIG_SETS_MAX 128
#define PC_CONFIG_FILE_BYTES_MAX (1024 * 1024)

/* Exit statuses of sysexits(3). */
#define PC_EXIT_USAGE 64
#define PC_EXIT_CONFIG 78

/* In the order of the choices of log.fsync. */
enum pc_config_fsync {
    PC_CONFIG_FSYNC_ALWAYS,
    PC_CONFIG_FSYNC_INTERVAL,
    PC_CONFIG_FSYNC_OS,
};

/* In the order of the choices off|on. */
enum pc_config_switch {
    PC_CONFIG_OFF,
    PC_CONFIG_ON,
};

/* In the order of the choices of cluster.on_quorum_loss. */
enum pc_config_quorum_loss {
    PC_CONFIG_STOP,
    PC_CONFIG_SOLO,
};

struct pc_config_member {
    char name[PC_NAME_BYTES_MAX + 1];
    char address[PC_ADDRESS_BYTES_MAX + 1]; /* "host:port" of its bus, a DNS name or numeric */
};

struct pc_config_values; /* the texts behind the fields, and where each comes from */

/* Strings are never NULL and live as long as the config. Sizes in bytes, durations in ms. */
struct pc_config {
    bool accept_data_loss; /* --accept-data-loss: of this start alone, never in a file */
    struct {
        const char *name;     /* a member's name; found by itself when there is one member */
        const char *data_dir; /* not empty */
    } node;
    struct {
        const char *name;
        const char *key_file;
        /* Ascending by name, the node itself among them; 1 = a cluster of one, whose address may
         * have port 0. With `join` those by whom the cluster is found: this node need not be among
         * them, but somebody else is. */
        struct pc_config_member members[PC_VOTERS_MAX];
        size_t members_n; /* 1..PC_VOTERS_MAX */
        /* Ascending by name; none is among `members`. This node may be one of them: then it forms
         * no cluster, and waits to be taken in as a spare. */
        struct pc_config_member spares[PC_VOTERS_MAX];
        size_t spares_n;
        pc_ms dead_after_ms;
        enum pc_config_switch auto_shrink;
        enum pc_config_quorum_loss on_quorum_loss;
        pc_ms solo_after_ms;
        bool join;       /* this node forms no cluster: it waits to be taken into one */
        bool has_key;    /* always when members_n > 1, spares_n > 0, or join */
        uint8_t key[32]; /* wiped by pc_config_destroy */
    } cluster;
    struct {
        const char *listen; /* "host:port"; loopback unless insecure */
        bool insecure;
        bool ready_without_quorum;
        pc_ms drain_delay_ms;
    } http;
    struct {
        const char *listen;    /* "host:port" */
        const char *advertise; /* "host:port", or "": the address that peers see */
        pc_ms probe_interval_ms;
    } bus;
    struct {
        enum pc_config_fsync fsync;
        const char *fsync_text; /* "always" "interval" "os" */
        pc_ms fsync_interval_ms;
        uint64_t segment_bytes;
        uint64_t snapshot_bytes; /* of log since the last snapshot, at least, until the next */
        uint64_t keep_bytes;     /* of the log in front of a snapshot, for peers that lag */
        struct pc_space_mark space_soft;
        struct pc_space_mark space_hard;
        enum pc_log_level level;
        enum pc_log_format format;
    } log;
    struct {
        pc_ms heartbeat_ms;
        pc_ms election_min_ms; /* at least twice the heartbeat */
        pc_ms election_max_ms; /* more than election_min_ms */
    } raft;
    struct {
        pc_ms leader_wait_ms;
        pc_ms request_timeout_ms;
        uint64_t value_bytes;
        uint64_t head_bytes;
        uint64_t target_bytes;
        uint64_t headers;
        uint64_t connections;
        uint64_t in_flight;
        uint64_t requests_per_connection;
        pc_ms request_deadline_ms;
        pc_ms idle_ms;
        pc_ms write_deadline_ms;
    } limits;
    struct pc_config_values *values;
};

/* Is this node its cluster alone, as far as its settings say? */
static inline bool pc_config_is_alone(const struct pc_config *config)
{
    return config->cluster.members_n == 1 && config->cluster.spares_n == 0 && !config->cluster.join;
}

/* Is this node a spare, as far as its settings say? What it has become since, the log says. */
bool pc_config_is_spare(const struct pc_config *config);

struct pc_config_opts {
    const char *file;                     /* NULL: no file */
    const char *sets[PC_CONFIG_SETS_MAX]; /* "section.key=value"; a later one wins */
    size_t sets_n;
    char *const *environment; /* "NAME=value", ended by NULL, like environ; NULL: none */
};

/* Reads all layers, checks them, reads the key file.
 * Ownership: *out is the caller's, pc_config_destroy.
 * Returns PC_OK; PC_E_INVALID with a text that says where (file and line, variable, or --set), what
 * is wrong and what to write instead: the daemon exits with PC_EXIT_CONFIG. */
PC_MUST_CHECK pc_err pc_config_load(
    const struct pc_config_opts *opts, struct pc_config *out, struct pc_error *error);
/* Wipes the key and frees; the struct may be loaded again. */
void pc_config_destroy(struct pc_config *config);

/* The settings in force as a file that loads to the same settings; each line that is not a default
 * says where it comes from. Secrets are not printed. */
void pc_config_print(const struct pc_config *config, FILE *out);
/* Every key with its default and meaning, for --help. */
void pc_config_print_keys(FILE *out);
/* The same as the KEYS section of pcached.ini(5), in man(7) markup. */
void pc_config_print_man(FILE *out);

/* ---- the command line */
enum pc_cli_action {
    PC_CLI_RUN,
    PC_CLI_CHECK_CONFIG,
    PC_CLI_PRINT_CONFIG,
    PC_CLI_VERSION,
    PC_CLI_HELP,
};

struct pc_cli {
    enum pc_cli_action action;
    bool accept_data_loss;
    struct pc_config_opts config; /* borrows argv */
};

/* Parses `pcached [-c FILE] [--set section.key=value]... [--check-config | --print-config |
 * --version | --help] [--accept-data-loss]`. Returns PC_OK, or PC_E_INVALID with a text: a usage
 * error. */
PC_MUST_CHECK pc_err pc_cli_parse(
    int argc, char *const *argv, struct pc_cli *out, struct pc_error *error);

/* Does everything up to the decision to run: parses, loads, prints what was asked for.
 * Returns true when the daemon is to run: *out is loaded. Otherwise *status is the exit status (0,
 * PC_EXIT_USAGE, PC_EXIT_CONFIG) and all messages have been written. */
bool pc_cli_start(
    int argc, char *const *argv, char *const *environment, struct pc_config *out, int *status);

#endif
