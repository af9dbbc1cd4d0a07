/* A datagram:
 *
 *    0      2    3    4          12            20      36        44
 *   | magic |ver | 0 | sender id | generation | salt  | counter | sealed message | tag |
 *    2       1    1   8           8            16      8         n                16
 *
 * The key belongs to one life of one sender (the generation grows with every start and the salt is
 * random, should a restored disk ever repeat a generation), so the counter alone makes the nonce
 * unique. Associated data: the head, then the cluster id. */
#include "gossip_int.h"

#include <string.h>

#include "pcache/assert.h"

static const uint8_t magic[2] = {'p', 'g'};
static const char key_label[] = "gossip-v1";

#define VERSION 1
#define SENDER_AT 4
#define GENERATION_AT 12
#define SALT_AT 20
#define COUNTER_AT 36

PC_STATIC_ASSERT(SALT_AT + GOSSIP_SALT_BYTES == COUNTER_AT, "layout of the head");
PC_STATIC_ASSERT(COUNTER_AT + 8 == GOSSIP_HEAD_BYTES, "layout of the head");

#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define AD_BYTES (GOSSIP_HEAD_BYTES + 32)

/* BLAKE2b-256(key = cluster key, label || cluster id || sender || generation || salt) */
void gossip_derive_key(
    const struct gossip_cluster *cluster, const struct gossip_life *life, uint8_t *key)
{
    uint8_t ids[16];
    pc_put_u64(ids, life->sender);
    pc_put_u64(ids + 8, life->generation);
    crypto_generichash_state state;
    crypto_generichash_init(&state, cluster->key, sizeof cluster->key, GOSSIP_KEY_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)key_label, sizeof key_label - 1);
    crypto_generichash_update(&state, cluster->id, sizeof cluster->id);
    crypto_generichash_update(&state, ids, sizeof ids);
    crypto_generichash_update(&state, life->salt, sizeof life->salt);
    crypto_generichash_final(&state, key, GOSSIP_KEY_BYTES);
    sodium_memzero(&state, sizeof state);
}

static void make_nonce(uint64_t counter, uint8_t *nonce)
{
    memset(nonce, 0, NONCE_BYTES);
    pc_put_u64(nonce, counter);
}

static void make_ad(const uint8_t *head, const struct gossip_cluster *cluster, uint8_t *ad)
{
    memcpy(ad, head, GOSSIP_HEAD_BYTES);
    memcpy(ad + GOSSIP_HEAD_BYTES, cluster->id, sizeof cluster->id);
}

size_t gossip_seal(const struct gossip_cluster *cluster, const uint8_t *key,
    const struct gossip_head *head, struct pc_slice text, uint8_t *packet)
{
    PC_ASSERT(text.len <= PC_GOSSIP_MESSAGE_BYTES_MAX);
    PC_ASSERT(head->counter > 0);
    memcpy(packet, magic, sizeof magic);
    packet[GOSSIP_VERSION_AT] = VERSION;
    packet[3] = 0;
    pc_put_u64(packet + SENDER_AT, head->life.sender);
    pc_put_u64(packet + GENERATION_AT, head->life.generation);
    memcpy(packet + SALT_AT, head->life.salt, sizeof head->life.salt);
    pc_put_u64(packet + COUNTER_AT, head->counter);
    uint8_t nonce[NONCE_BYTES];
    uint8_t ad[AD_BYTES];
    make_nonce(head->counter, nonce);
    make_ad(packet, cluster, ad);
    unsigned long long sealed;
    crypto_aead_xchacha20poly1305_ietf_encrypt(
        packet + GOSSIP_HEAD_BYTES, &sealed, text.data, text.len, ad, sizeof ad, NULL, nonce, key);
    return GOSSIP_HEAD_BYTES + (size_t)sealed;
}

pc_err gossip_parse_head(struct pc_slice packet, struct gossip_head *out)
{
    if (packet.len < PC_GOSSIP_OVERHEAD_BYTES || packet.len > PC_GOSSIP_PACKET_BYTES_MAX) {
        return PC_E_MALFORMED;
    }
    const uint8_t *p = packet.data;
    if (memcmp(p, magic, sizeof magic) == 0 && p[GOSSIP_VERSION_AT] != VERSION) {
        return PC_E_VERSION;
    }
    if (memcmp(p, magic, sizeof magic) != 0 || p[3] != 0) {
        return PC_E_MALFORMED;
    }
    struct gossip_head head = {.counter = pc_get_u64(p + COUNTER_AT)};
    head.life.sender = pc_get_u64(p + SENDER_AT);
    head.life.generation = pc_get_u64(p + GENERATION_AT);
    memcpy(head.life.salt, p + SALT_AT, sizeof head.life.salt);
    if (head.life.sender == 0 || head.counter == 0) {
        return PC_E_MALFORMED;
    }
    *out = head;
    return PC_OK;
}

pc_err gossip_unseal(const struct gossip_cluster *cluster, const uint8_t *key,
    const struct gossip_head *head, uint8_t *packet, size_t len, struct pc_slice *text)
{
    PC_ASSERT(len >= PC_GOSSIP_OVERHEAD_BYTES);
    uint8_t nonce[NONCE_BYTES];
    uint8_t ad[AD_BYTES];
    make_nonce(head->counter, nonce);
    make_ad(packet, cluster, ad);
    uint8_t *sealed = packet + GOSSIP_HEAD_BYTES;
    unsigned long long text_len;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, &text_len, NULL, sealed,
            len - GOSSIP_HEAD_BYTES, ad, sizeof ad, nonce, key) != 0) {
        return PC_E_AUTH;
    }
    *text = pc_slice_of(sealed, (size_t)text_len);
    return PC_OK;
}
