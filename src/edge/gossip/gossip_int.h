/* gossip_int.h: what the files of edge/gossip share.
 *
 *   gossip.c         the socket and the owner's calls
 *   gossip_seal.c    datagram layout, keys, sealing and opening
 *   gossip_replay.c  senders that have authenticated, and their replay windows
 *   gossip_rate.c    how many datagrams a source may have looked at */
#ifndef PCACHE_GOSSIP_INT_H
#define PCACHE_GOSSIP_INT_H

#include <sodium.h>

#include "pcache/gossip.h"
#include "pcache/os.h"

/* Buckets of pc_log_limited. What is said once must not be lost in what is said often. */
#define GOSSIP_LOG_REJECT 2
#define GOSSIP_LOG_VERSION 9

#define GOSSIP_SALT_BYTES 16
#define GOSSIP_HEAD_BYTES 44
#define GOSSIP_VERSION_AT 2
#define GOSSIP_KEY_BYTES crypto_aead_xchacha20poly1305_ietf_KEYBYTES
#define GOSSIP_SEAL_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES

PC_STATIC_ASSERT(GOSSIP_HEAD_BYTES + GOSSIP_SEAL_BYTES == PC_GOSSIP_OVERHEAD_BYTES,
    "the owner's budget is what is left of a datagram");

/* One life of one sender: what its key is made of. */
struct gossip_life {
    pc_node_id sender;
    uint64_t generation;
    uint8_t salt[GOSSIP_SALT_BYTES];
};

struct gossip_head {
    struct gossip_life life;
    uint64_t counter;
};

/* What binds a datagram to a cluster. */
struct gossip_cluster {
    uint8_t key[32];
    uint8_t id[32];
};

/* ---- gossip_seal.c */
void gossip_derive_key(
    const struct gossip_cluster *cluster, const struct gossip_life *life, uint8_t *key);
/* packet has room for PC_GOSSIP_PACKET_BYTES_MAX. Returns the length of the datagram.
 * Requires: text.len <= PC_GOSSIP_MESSAGE_BYTES_MAX. */
size_t gossip_seal(const struct gossip_cluster *cluster, const uint8_t *key,
    const struct gossip_head *head, struct pc_slice text, uint8_t *packet);
/* Reads the head of a datagram; nothing in it is authentic yet. PC_OK; PC_E_MALFORMED; PC_E_VERSION
 * for one of another version, of which no more is known. */
PC_MUST_CHECK pc_err gossip_parse_head(struct pc_slice packet, struct gossip_head *out);
/* Opens in place. PC_OK or PC_E_AUTH. Requires: gossip_parse_head took the packet. */
PC_MUST_CHECK pc_err gossip_unseal(const struct gossip_cluster *cluster, const uint8_t *key,
    const struct gossip_head *head, uint8_t *packet, size_t len, struct pc_slice *text);

/* ---- gossip_replay.c */
#define GOSSIP_WINDOW 1024
struct gossip_window {
    uint64_t top;                      /* highest counter seen; 0 = none */
    uint64_t seen[GOSSIP_WINDOW / 64]; /* bit counter % 1024, for top-1023..top */
};
bool gossip_window_is_fresh(const struct gossip_window *window, uint64_t counter);
/* Requires: it is fresh. */
void gossip_window_mark(struct gossip_window *window, uint64_t counter);

struct gossip_sender {
    struct gossip_life life;
    uint8_t key[GOSSIP_KEY_BYTES];
    struct gossip_window window;
    uint64_t used; /* for the choice of whom to forget */
};

struct gossip_senders {
    struct gossip_sender *v;
    size_t n;
    size_t cap;
    uint64_t clock;
};

enum gossip_verdict {
    GOSSIP_KNOWN, /* this life has authenticated before, the counter is fresh */
    GOSSIP_NEW,   /* an unknown sender, or a later life of a known one */
    GOSSIP_REPLAY,
    GOSSIP_OLD_LIFE, /* an earlier generation, or the same one with another salt */
};
/* *sender is set with KNOWN. */
enum gossip_verdict gossip_senders_judge(
    struct gossip_senders *senders, const struct gossip_head *head, struct gossip_sender **sender);
/* A datagram of this life has authenticated: from now on no earlier one will. */
struct gossip_sender *gossip_senders_admit(
    struct gossip_senders *senders, const struct gossip_life *life, const uint8_t *key);
void gossip_senders_destroy(struct gossip_senders *senders);

/* ---- gossip_rate.c */
#define GOSSIP_RATE_PER_S 200
#define GOSSIP_RATE_SETS 256
#define GOSSIP_RATE_WAYS 4

struct gossip_source {
    uint8_t ip[16];
    struct pc_instant at; /* when `tokens` was right; 0 = free */
    uint64_t micro_tokens;
};

struct gossip_rate {
    uint8_t hash_key[crypto_shorthash_KEYBYTES];
    struct gossip_source sources[GOSSIP_RATE_SETS][GOSSIP_RATE_WAYS];
};
/* Takes a token of the source. False when it has none. */
bool gossip_rate_admit(struct gossip_rate *rate, const struct pc_addr *from, struct pc_instant now);

#endif
