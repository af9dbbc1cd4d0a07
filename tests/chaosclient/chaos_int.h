/* chaos_int.h: the parts of chaos-client.
 *
 *   options.c   the command line
 *   sink.c      operations into the history file
 *   call.c      one operation at one node, over HTTP; what the nodes can do
 *   keys.c      names of keys, and when to leave them
 *   load.c      the clients and what they do
 *   final.c     every key on every node at the end
 *   main.c */
#ifndef PC_CHAOS_INT_H
#define PC_CHAOS_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "chaosclient/options.h"
#include "integration/kit/client.h"
#include "lincheck/history.h"

/* Clients of the final reading are counted from here, above those of the load. */
#define CHAOS_FINAL_CLIENT 100

uint64_t chaos_now_us(void);

/* ---- sink.c: thread-safe */
#define CHAOS_SINK_BYTES 65536
struct chaos_sink {
    pthread_mutex_t lock;
    int fd;
    bool has_failed; /* nothing is written any more */
    uint64_t flushed_us;
    uint64_t operations, ok, failed, unknown;
    size_t len;
    char buffer[CHAOS_SINK_BYTES + LIN_LINE_BYTES_MAX + 1]; /* whole lines */
};
/* Opens the file for appending. False, and `why` filled in, when it cannot be, or when what is in
 * it ends within a line. */
bool chaos_sink_open(struct chaos_sink *sink, const char *path, char *why, size_t why_max);
void chaos_sink_add(struct chaos_sink *sink, const struct lin_record *record);
/* Writes what is left. False when not everything has reached the file. */
bool chaos_sink_close(struct chaos_sink *sink);

/* ---- call.c */
/* What the nodes understand; found by trying. */
struct chaos_features {
    bool cas;  /* If-Match and If-None-Match */
    bool incr; /* PATCH {"incr": n} */
    bool ids;  /* Idempotency-Key: the same request twice is one */
};

/* A client's connections, one per node. */
struct chaos_links {
    const struct chaos_options *options;
    struct it_client link[CHAOS_NODES_MAX];
    uint32_t client; /* its number */
};
/* False, and the name in `why`, when a host cannot be found. */
bool chaos_links_open(struct chaos_links *links, const struct chaos_options *options,
    uint32_t client, char *why, size_t why_max);
void chaos_links_close(struct chaos_links *links);

/* Asks node number `node` once what `r` says (kind, key, value, ...; with its id when there is one)
 * and fills in the answer: status, version, index, value, node, session, t1_us. t0_us is the
 * caller's. */
void chaos_call(struct chaos_links *links, size_t node, struct lin_record *r);

/* Tries what the nodes can do until one answers; false when none does within options->probe_ms. */
bool chaos_probe(struct chaos_links *links, const char *key_prefix, struct chaos_features *out);

/* ---- keys.c: thread-safe */
enum chaos_family { CHAOS_KEY_REGISTER, CHAOS_KEY_COUNTER, CHAOS_KEY_TTL, CHAOS_FAMILIES_N };
#define CHAOS_SLOTS_MAX 10
struct chaos_keys {
    pthread_mutex_t lock;
    const char *prefix;
    uint64_t rotate_us;
    struct chaos_slot {
        uint64_t generation, since_us;
        unsigned unknown_n;
    } slot[CHAOS_FAMILIES_N][CHAOS_SLOTS_MAX];
};
void chaos_keys_create(struct chaos_keys *keys, const char *prefix, uint64_t rotate_ms);
/* Number of slots of a family. */
size_t chaos_keys_count(enum chaos_family family);
/* The key that stands in a slot at this time: its name, and its generation for chaos_keys_unknown.
 */
uint64_t chaos_keys_name(struct chaos_keys *keys, enum chaos_family family, size_t slot,
    uint64_t now_us, char *out, size_t max);
/* An operation on that key had an unknown outcome: after a few of them the slot gets a new key. */
void chaos_keys_unknown(
    struct chaos_keys *keys, enum chaos_family family, size_t slot, uint64_t generation);

/* ---- load.c, final.c */
extern atomic_bool chaos_stopped; /* by a signal, or because the file cannot be written */
/* Runs the load to its end. False when it could not be begun. */
bool chaos_load(const struct chaos_options *options, const struct chaos_features *features,
    struct chaos_sink *sink);
/* Reads every key of the history on every node. Returns how many could not be read. */
size_t chaos_final(
    const struct chaos_options *options, const struct lin_history *h, struct chaos_sink *sink);

#endif
