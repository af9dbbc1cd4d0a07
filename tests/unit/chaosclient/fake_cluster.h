/* fake_cluster.h: HTTP servers that answer like nodes of a cluster, out of one store, with
 * conditions, increments and request ids; and with faults and mistakes on demand. */
#ifndef PC_FAKE_CLUSTER_H
#define PC_FAKE_CLUSTER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pcache/prng.h"

#define FAKE_NODES 3
#define FAKE_CONNS_MAX 64
#define FAKE_KEYS_MAX 4096
#define FAKE_IDS_MAX 8192

enum fake_mistake {
    FAKE_NONE,
    FAKE_ID_FORGOTTEN, /* now and then a request sent again is carried out again */
    FAKE_STALE_READ,   /* now and then a read shows what stood there before */
    FAKE_LOST_WRITE,   /* now and then a put is acknowledged and forgotten */
};

struct fake_item {
    char key[96], value[64], before[64];
    uint64_t version, version_before, due_us;
    bool is_present;
};
struct fake_id {
    char id[64];
    char answer[320];
};
struct fake_conn {
    int fd; /* -1 = free */
    size_t node, len;
    char in[4096];
};

struct fake_cluster {
    uint16_t port[FAKE_NODES];
    /* Set before fake_start. */
    enum fake_mistake mistake;
    bool is_plain;          /* knows neither conditions nor increments nor request ids */
    _Atomic bool is_faulty; /* refuses, and hangs up before or after the work is done */
    uint64_t stop_after;    /* requests; then chaos_stopped is set */
    /* Its own. */
    pthread_t thread;
    int listener[FAKE_NODES], wake[2];
    struct fake_conn conn[FAKE_CONNS_MAX];
    struct fake_item item[FAKE_KEYS_MAX];
    struct fake_id id[FAKE_IDS_MAX];
    size_t items_n, ids_n;
    uint64_t index, requests_n;
    struct pc_prng prng;
};

void fake_start(struct fake_cluster *f);
void fake_stop(struct fake_cluster *f);

#endif
