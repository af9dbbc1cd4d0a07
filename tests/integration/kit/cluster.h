/* cluster.h: real pcached processes in a directory of their own, on free ports of 127.0.0.1.
 *
 * Nodes are counted from 0; node 0 is called node1. Directory of a cluster:
 *   cluster.ini cluster.key   node1/ node2/ ...   node1.log node2.log ...
 * It is removed with its cluster; kept, and named, when PCACHE_KEEP=1. */
#ifndef PC_IT_CLUSTER_H
#define PC_IT_CLUSTER_H

#include "integration/kit/client.h"
#include "integration/kit/program.h"
#include "integration/kit/suite.h"

#define IT_NODES_MAX 8
#define IT_SETS_MAX 8

/* How long anything may take that takes milliseconds on an idle machine. */
#define IT_SOON_MS 20000

struct it_node {
    char name[16];
    const char *program; /* NULL = pcached; what the next start runs */
    char data_dir[160];
    char log_path[160];
    uint16_t http_port, bus_port;
    pid_t pid;       /* 0 = not running */
    int exit_status; /* of the last run */
    bool stopped;    /* by SIGSTOP */
    struct it_client client;
};

struct it_cluster {
    char dir[128];
    char ini[160];
    size_t n;
    size_t spares_first, spares_n; /* those among the initial nodes */
    struct it_node node[IT_NODES_MAX];
    char mount[160];       /* a disk mounted for it, to be unmounted at the end; "" = none */
    bool accept_data_loss; /* starts with --accept-data-loss */
    const char *sets[IT_SETS_MAX]; /* "section.key=value" for every node, from the next start on */
};

/* ---- whole clusters */
/* Directory, key, ports and settings for n nodes; nothing runs yet. */
struct it_cluster *it_cluster_new(size_t n);
/* The same, of which the last `spares_n` are its spares. */
struct it_cluster *it_cluster_new_with_spares(size_t n, size_t spares_n);
/* One more node, not among the members in the settings; returns which. Nothing runs yet. */
size_t it_cluster_add(struct it_cluster *c);
/* Starts all nodes, and waits until all but the spares are ready. */
void it_cluster_start(struct it_cluster *c);
/* Ends all nodes of all clusters by pid and removes their directories; with the logs' ends printed
 * when the test failed. */
void it_cluster_end_all(bool failed);
/* Waits until every running node is ready. */
void it_cluster_await_ready(struct it_cluster *c);
/* Waits until every running node is ready and all stand at one index with one digest. Nothing may
 * write meanwhile. */
void it_cluster_await_equal(struct it_cluster *c);
/* Waits until all running nodes name the same running leader; returns which. */
size_t it_cluster_leader(struct it_cluster *c);
/* A running node that does not lead, `nth` of them. */
size_t it_cluster_follower(struct it_cluster *c, size_t nth);

/* ---- one node */
void it_node_start(struct it_cluster *c, size_t i);
/* As one that joins a cluster which exists (it_cluster_add). */
void it_node_start_joining(struct it_cluster *c, size_t i);
/* With more settings, NULL-terminated; they win over c->sets. */
void it_node_start_with(struct it_cluster *c, size_t i, const char *const *sets);
void it_node_kill(struct it_cluster *c, size_t i); /* kill -9 */
void it_node_signal(struct it_cluster *c, size_t i, int number);
/* Waits for the end of a node and returns its exit status. */
int it_node_wait(struct it_cluster *c, size_t i, int limit_ms);
/* Has a node that should run ended by itself? Then its exit status is in exit_status. */
bool it_node_has_ended(struct it_cluster *c, size_t i);
void it_node_await_ready(struct it_cluster *c, size_t i);
/* The end of its log. */
const char *it_node_log(struct it_cluster *c, size_t i);

/* ---- requests, on connections kept for the main thread */
const struct it_client *it_call(struct it_cluster *c, size_t i, const char *method,
    const char *target, const char *headers, const void *body, size_t body_len);
const struct it_client *it_get(struct it_cluster *c, size_t i, const char *target);
/* PUT and GET of a string under /v1/kv; both fail the test unless the status is 2xx. */
void it_put(struct it_cluster *c, size_t i, const char *key, const char *value);
const char *it_value(struct it_cluster *c, size_t i, const char *key);
/* Value of a line of /metrics, given with its labels: `pcached_bus_rejected_total{reason="key"}`.
 */
uint64_t it_metric(struct it_cluster *c, size_t i, const char *name);

struct it_status {
    char id[17], role[16], leader[16], digest[33], history[33], fsync[16];
    uint64_t term, commit, applied;
    bool ready;
};
/* False when the node does not answer. */
bool it_status(struct it_cluster *c, size_t i, struct it_status *out);

/* ---- ports */
/* A port that is free for TCP and UDP now, below those the kernel gives to clients: otherwise a
 * client's port could be in the way when a killed node starts again. */
uint16_t it_port_free(void);

#endif
