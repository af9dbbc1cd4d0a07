/* options.h: the command line of chaos-client, the load with a record.
 *
 *   chaos-client --nodes NAME=HOST:PORT[,NAME=HOST:PORT...] --out FILE [OPTION...]
 *       Finds out what the nodes can do (waits up to --probe-ms for one that answers), prints
 *       "started features=NAME[,NAME...]" and drives all of them until --seconds are over or
 *       SIGTERM or SIGINT comes; then finishes what is under way. Appends every operation to FILE
 *       (see lincheck/history.h) and prints one line of figures, words of the form name=number.
 *
 *   chaos-client --final --nodes ... --out FILE [OPTION...]
 *       Reads every key that FILE names on every node and appends that to FILE: linearizable on
 *       the first node that answers, then, with what that read stood at as the least, local on each
 *       node. Waits up to --wait-ms for a node that does not answer or is behind. Call it when the
 *       cluster has healed.
 *
 *   --nodes LIST          name, host (numeric or a name) and HTTP port of each; 1 to 16 nodes
 *   --out FILE            history to append to; is made when it is not there
 *   --seconds N           length of the load; 0 (default) = until a signal
 *   --threads N           clients, 1 to 64; default 12
 *   --interval-ms N       a client begins an operation so often at most; default 10, 0 = at once
 *   --timeout-ms N        wait for one answer, connecting included; default 3000
 *   --connect-ms N        of which for connecting; default 1000
 *   --retry-ms N          how long the same request id is sent again; default 10000
 *   --rotate-ms N         age at which keys are left for new ones; default 10000
 *   --workloads LIST      of register,counter,set,ttl,pair; default all
 *   --set-keys N          most unique keys of the set workload; default 20000
 *   --prefix TEXT         first part of every key, up to 64 of a-z A-Z 0-9 . _ -; default "chaos"
 *   --client-base N       number of the first client: distinct for clients that share a check
 *   --seed N              of the random choices; default 1
 *   --probe-ms N          default 20000
 *   --wait-ms N           default 30000
 *
 * Exit status: 0; 1 no node answered, the file could not be written, or with --final a key could
 * not be read on a node (what was read is in FILE all the same); 2 usage. */
#ifndef PC_CHAOS_OPTIONS_H
#define PC_CHAOS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CHAOS_NODES_MAX 16
#define CHAOS_THREADS_MAX 64

enum chaos_workload { CHAOS_REGISTER, CHAOS_COUNTER, CHAOS_SET, CHAOS_TTL, CHAOS_PAIR };
#define CHAOS_WORKLOADS_N 5

struct chaos_node {
    char name[32];
    char host[64];
    uint16_t port;
};

struct chaos_options {
    struct chaos_node node[CHAOS_NODES_MAX];
    size_t nodes_n;
    const char *out;    /* borrowed from argv */
    const char *prefix; /* borrowed from argv */
    bool is_final;
    bool workload[CHAOS_WORKLOADS_N];
    uint64_t seconds, threads, interval_ms, timeout_ms, connect_ms, retry_ms, rotate_ms, set_keys;
    uint64_t client_base, seed, probe_ms, wait_ms;
};

/* The name of a workload, as in --workloads. */
const char *chaos_workload_text(enum chaos_workload workload);

/* Fills `out` from the command line. False, and `why` filled in, when it cannot be meant. */
bool chaos_options_parse(
    int argc, char **argv, struct chaos_options *out, char *why, size_t why_max);

#endif
